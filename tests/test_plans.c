/* Sampling plans: which rollouts a step trains on. A small random model; the same bits for any number of threads, with kept
   activations and without, killed and resumed. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

static rlvr_model *small_model(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 259; d.n_ctx = 96; d.d_model = 24; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 6; d.d_ff = 40;
    d.tied = true; d.seed = 11; d.init_std = 0.4f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

/* Prompts of different lengths, some with a common beginning; what their answer says is how they are graded. */
static const char *const prompts[][2] = {
    {"Say a b", "zero"}, {"Say something longer than that", "one"}, {"Say it", "even"}, {"Tell: 12 + 30 = ", "zero"}, {"Say no more, no less", "even"},
    {"Say", "zero"}, {"Say something longer", "even"}};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    (void)user;
    task->prompt = prompts[index % N_PROMPTS][0];
    task->answer = prompts[index % N_PROMPTS][1];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = !strcmp(r->task->answer, "zero") ? 0 : !strcmp(r->task->answer, "one") ? 1 : (float)even / (float)r->n_tokens;
    return RLVR_OK;
}
static rlvr_result judge_zero(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0; return RLVR_OK; }

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 4;
    d.group_size = 4;
    d.sampling.max_tokens = 12;
    d.max_prompt_tokens = 64;
    d.optim.lr = 3e-3f;
    d.seed = 5;
    return d;
}

/* The weights after some steps, in `pieces` processes: each but the first begins with the checkpoint of the one before it. */
static uint64_t run_pieces(int threads, rlvr_trainer_desc d, int steps, int pieces, rlvr_metrics *last)
{
    const char *path = "build/test_plans.checkpoint";
    rlvr_metrics local;
    uint64_t hash = 0;
    for (int piece = 0; piece < pieces; piece++) {
        rlvr_ctx *ctx = open_ctx(threads);
        rlvr_model *m = small_model(ctx);
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL);
        if (!t) { printf("    %s\n", rlvr_last_error(ctx)); rlvr_close(ctx); return 0; }
        if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int i = steps * piece / pieces; i < steps * (piece + 1) / pieces; i++) CHECK(rlvr_train_step(t, last ? last : &local) == RLVR_OK);
        if (pieces > 1) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        hash = rlvr_model_hash(m);
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    remove(path);
    return hash;
}
static uint64_t run(int threads, rlvr_trainer_desc d, int steps, rlvr_metrics *last) { return run_pieces(threads, d, steps, 1, last); }

/* The same bits however it runs, and cut into pieces. Returns the hash. */
static uint64_t check_replay(rlvr_trainer_desc d, int steps, const char *what)
{
    uint64_t one = run(1, d, steps, NULL), start = run(1, d, 0, NULL);
    CHECK(one != start);
    CHECK(run(2, d, steps, NULL) == one);
    CHECK(run_pieces(2, d, steps, steps, NULL) == one);
    d.two_forwards = true;
    CHECK(run_pieces(1, d, steps, 2, NULL) == one);
    d.two_forwards = false;
    d.sampling.max_batch = 4;
    CHECK(run(3, d, steps, NULL) == one);
    REPORT("%s: %d steps, the same bits for 1 to 3 threads, kept and recomputed activations, cut into 2 and %d pieces", what, steps, steps);
    return one;
}

/* ---- dynamic sampling ---- */

static bool same_rollout(const rlvr_rollout *a, const rlvr_rollout *b)
{
    return a->n_tokens == b->n_tokens && a->n_prompt == b->n_prompt && !memcmp(a->prompt_tokens, b->prompt_tokens, (size_t)a->n_prompt * sizeof(int)) &&
           !memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof(int)) && !memcmp(a->logprobs, b->logprobs, (size_t)a->n_tokens * sizeof(float)) &&
           !memcmp(a->entropy, b->entropy, (size_t)a->n_tokens * sizeof(float)) && a->text_len == b->text_len && !strcmp(a->text, b->text) &&
           a->reward == b->reward && a->graded == b->graded && !strcmp(a->task->prompt, b->task->prompt);
}

/* The trainer's own forward over what it has gives the sampler's bits. */
static void check_on_policy(rlvr_trainer *t, int n_groups)
{
    int n = t->offset[t->rollouts->n], same = 1, counted = 0;
    for (int i = 0; i < n; i++) t->logprob[i] = 1;
    rlvr__forest_groups(t, 0, n_groups, false);
    rlvr__forest_forward(t);
    rlvr__forest_logprobs(t, &t->rollouts->policy, t->logprob);
    for (int i = 0; i < n; i++) {
        if (t->logprob[i] == 1) continue;      /* of a group without signal */
        counted++;
        same &= !memcmp(&t->logprob[i], &t->old_logprob[i], sizeof(float));
    }
    CHECK(same && counted > 16);
}

/* One step whose update is taken back: the weights are those that were sampled from. */
static void step_in_place(rlvr_trainer *t, rlvr_metrics *metrics)
{
    size_t bytes = (size_t)t->m->n_floats * sizeof(float);
    float *sampled = (float *)malloc(bytes);
    memcpy(sampled, t->m->weights, bytes);
    CHECK(rlvr_train_step(t, metrics) == RLVR_OK);
    memcpy(t->m->weights, sampled, bytes);
    free(sampled);
}

/* Kept and later groups begin differently: the first round keeps the one prompt that is unlike the others. */
static rlvr_result ask_unlike(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Tell a tale", "Say x", "Say y", "Say z", "Say more", "Say more of it", "Say most"};
    (void)user;
    task->prompt = text[index % 7];
    task->answer = index % 7 == 0 || index % 7 > 3 ? "even" : "zero";
    task->raw = true;
    return RLVR_OK;
}

static void test_shared_beginnings(void)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description();
    rlvr_metrics metrics;
    d.task_fn = ask_unlike;
    d.plan.max_refills = 1;
    for (int two = 0; two < 2; two++) {
        d.two_forwards = two;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        step_in_place(t, &metrics);
        CHECK(metrics.n_groups_signal == 4 && metrics.n_refills == 1 && metrics.n_groups_sampled == 7);
        check_on_policy(t, 4);
        rlvr_trainer_close(t);
    }
    rlvr_close(ctx);
}

/* A step with refills holds the groups with signal of a step with as many prompts as it asked, and measures what that measures. */
static void test_refill(bool two_forwards, bool list)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description();
    rlvr_metrics few, many;
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    for (int i = 0; list && i < N_PROMPTS; i++) {
        rlvr_task task;
        memset(&task, 0, sizeof task);
        ask(NULL, (uint64_t)i, &task);
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
    }
    if (list) { d.task_fn = NULL; d.tasks = tasks; }
    d.two_forwards = two_forwards;
    d.plan.max_refills = 20;
    rlvr_memory with, without;
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    step_in_place(t, &few);
    CHECK(few.n_groups == 4 && few.n_groups_signal == 4 && few.n_rollouts == 16);
    CHECK(few.n_refills >= 2 && few.n_groups_sampled > 4 && t->cursor == few.n_groups_sampled);
    CHECK(fabs(few.frac_reward_zero_std - (1 - 4.0 / few.n_groups_sampled)) < 1e-12);

    check_on_policy(t, 4);

    rlvr_trainer_desc e = d;
    memset(&e.plan, 0, sizeof e.plan);
    CHECK(rlvr_memory_plan(m, &e, &without) == RLVR_OK && without.total == with.total);
    e.prompts_per_step = few.n_groups_sampled;
    rlvr_trainer *u = rlvr_trainer_open(m, &e);
    CHECK(rlvr_train_step(u, &many) == RLVR_OK);
    CHECK(many.n_groups == few.n_groups_sampled && many.n_refills == 0 && many.n_groups_sampled == many.n_groups);
    int found = 0;
    for (int g = 0; g < many.n_groups; g++) {
        bool differs = rlvr__group_differs(u->rollouts, g);
        for (int k = 0; differs && k < 4; k++)
            CHECK(same_rollout(rlvr_rollouts_get(rlvr_trainer_rollouts(t), found * 4 + k), rlvr_rollouts_get(rlvr_trainer_rollouts(u), g * 4 + k)));
        found += differs;
    }
    CHECK(found == 4);
    CHECK(few.reward_mean == many.reward_mean && few.reward_std == many.reward_std && few.entropy == many.entropy && few.truncated == many.truncated);
    CHECK(few.completion_mean_length == many.completion_mean_length && few.completion_min_length == many.completion_min_length &&
          few.completion_max_length == many.completion_max_length && few.num_tokens == many.num_tokens);
    CHECK(few.n_parts == 1 && many.n_parts == 1);
    CHECK_LE(fabs(few.parts[0].mean - many.parts[0].mean), 1e-12);
    CHECK_LE(fabs(few.parts[0].std - many.parts[0].std), 1e-12);
    CHECK_LE(fabs(few.parts[0].mean - few.reward_mean), 1e-7);
    REPORT("%d groups asked in %d rounds for 4 with signal: the rollouts of a step of %d prompts, reward %.4f of both", few.n_groups_sampled,
           1 + few.n_refills, many.n_groups, few.reward_mean);
    rlvr_trainer_close(t);
    rlvr_trainer_close(u);
    rlvr_close(ctx);
}

static void test_refill_bounds(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    uint64_t start = run(1, d, 0, NULL);
    d.plan.max_refills = 3;
    d.reward.fn = judge_zero;
    CHECK(run(2, d, 2, &m) == start);
    CHECK(m.skipped && m.n_skipped == 2 && m.n_refills == 3 && m.n_groups_sampled == 16 && m.n_groups == 4 && m.n_groups_signal == 0);
    CHECK(m.frac_reward_zero_std == 1 && m.reward_mean == 0);
    d.reward.fn = judge;
    d.plan.max_refills = 20;
    d.plan.min_groups = 1;
    run(2, d, 1, &m);
    CHECK(m.n_refills == 0 && m.n_groups_signal == 1 && m.n_groups_sampled == 4);
    d.plan.min_groups = 2;
    run(2, d, 1, &m);
    CHECK(m.n_refills == 1 && m.n_groups_signal >= 2 && m.n_groups_sampled == 7);      /* three of four have let go */
    /* a group without signal that stays has no part in the gradient, one that goes neither */
    d.plan.max_refills = 0;
    d.plan.min_groups = 0;
    run(2, d, 1, &m);
    CHECK(m.n_groups_signal == 1 && !m.skipped && m.n_groups_sampled == 4 && m.n_refills == 0);
}

#ifndef RLVR__SANITIZED
static int64_t allocations_after_first_step(rlvr_trainer_desc td, int steps)
{
    test_counter counter;
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 2;
    test_count(&d, &counter);
    rlvr_ctx *ctx = rlvr_open(&d);
    rlvr_trainer *t = rlvr_trainer_open(small_model(ctx), &td);
    CHECK(t && rlvr_train_step(t, NULL) == RLVR_OK);
    int64_t before = counter.calls;
    for (int i = 1; t && i < steps; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    before = counter.calls - before;
    rlvr_trainer_close(t);
    rlvr_close(ctx);
    return before;
}
#else
static int64_t allocations_after_first_step(rlvr_trainer_desc td, int steps) { (void)td; (void)steps; return 0; }
#endif

static void test_dynamic_sampling(void)
{
    rlvr_trainer_desc d = description();
    for (int i = 0; i < 4; i++) test_refill(i % 2, i / 2);
    test_refill_bounds();
    test_shared_beginnings();
    d.plan.max_refills = 5;
    uint64_t hash = check_replay(d, 6, "dynamic sampling");
    d.plan.max_refills = 0;
    CHECK(run(1, d, 6, NULL) != hash);
    d.plan.max_refills = 5;
    CHECK(allocations_after_first_step(d, 8) == 0);
    d.prompts_per_step = 64;
    d.group_size = 2;
    CHECK(allocations_after_first_step(d, 3) == 0);
}

/* ---- over-long rollouts, a budget of tokens ---- */

static void test_overlong(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    /* the paper's setting: 16384 tokens are expected, 4096 more are borne */
    CHECK(rlvr_overlong(1, 20480, 4096) == 0 && rlvr_overlong(16384, 20480, 4096) == 0 && rlvr_overlong(18432, 20480, 4096) == -0.5f);
    CHECK(rlvr_overlong(19456, 20480, 4096) == -0.75f && rlvr_overlong(20480, 20480, 4096) == -1 && rlvr_overlong(30000, 20480, 4096) == -1);
    CHECK(rlvr_overlong(20480, 20480, 0) == 0 && rlvr_overlong(5, 12, 12) < 0);

    rlvr_ctx *ctx = open_ctx(2);
    int cut[2] = {0, 0}, masked = 0;
    for (int soft = 0; soft < 2; soft++) {
        rlvr_trainer_desc e = d;
        e.plan.overlong_filter = !soft;
        e.plan.overlong_cache = soft ? 6 : 0;
        e.plan.overlong_weight = soft ? 0.5f : 0;
        rlvr_trainer *t = rlvr_trainer_open(small_model(ctx), &e);
        CHECK(rlvr_train_step(t, &m) == RLVR_OK);
        for (int i = 0; i < 16; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
            float want;
            judge(o, NULL, &want);
            cut[o->finish_reason == RLVR_FINISH_LENGTH]++;
            for (int k = t->offset[i]; k < t->offset[i + 1]; k++) {
                CHECK(t->mask[k] == (soft || o->finish_reason == RLVR_FINISH_STOP));
                masked += !t->mask[k];
                CHECK(t->mask[k] || t->dlogprob[k] == 0);
            }
            CHECK(o->reward == want + (soft ? 0.5f * rlvr_overlong(o->n_tokens, 12, 6) : 0) && o->punishment <= 0);
            CHECK(!soft || rlvr__is_right(o) == (want >= 0.5f));
        }
        rlvr_trainer_close(t);
    }
    CHECK(cut[0] > 0 && cut[1] > 0 && masked > 0);
    rlvr_close(ctx);

    /* all are cut: rewards differ, yet nothing is left that could move the weights */
    rlvr_trainer_desc all = d;
    all.sampling.ignore_eos = true;
    CHECK(run(1, all, 2, &m) != run(1, all, 0, NULL) && m.truncated == 1 && !m.skipped);
    all.plan.overlong_filter = true;
    CHECK(run(1, all, 2, &m) == run(1, all, 0, NULL) && m.truncated == 1 && m.skipped && m.n_groups_signal > 0);

    /* equal rewards are no signal for a refill, whatever their lengths */
    d.plan.overlong_cache = 6;
    d.plan.max_refills = 2;
    d.reward.fn = judge_zero;
    run(1, d, 1, &m);
    CHECK(m.n_refills == 2 && m.n_groups_sampled == 12 && m.reward_mean < 0);
    d.reward.fn = judge;
    d.plan.overlong_filter = true;
    check_replay(d, 4, "filter, punishment and refills");
}

static void test_budget(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    rlvr_ctx *ctx = open_ctx(1);
    d.plan.token_budget = 600;
    rlvr_trainer *t = rlvr_trainer_open(small_model(ctx), &d);
    int steps = 0;
    int64_t before = 0;
    for (; !rlvr_trainer_done(t) && steps < 50; steps++) {
        before = steps ? m.num_tokens : 0;
        CHECK(rlvr_train_step(t, &m) == RLVR_OK);
    }
    CHECK(steps > 1 && steps < 50 && before < 600 && m.num_tokens >= 600);
    CHECK(rlvr_train_step(t, &m) == RLVR_STOPPED && strstr(rlvr_last_error(ctx), "token_budget") && rlvr_trainer_steps(t) == steps);
    /* it is spent in a run that resumes, too */
    CHECK(rlvr_trainer_save(t, "build/test_plans.checkpoint") == RLVR_OK);
    rlvr_trainer *u = rlvr_trainer_open(small_model(ctx), &d);
    CHECK(!rlvr_trainer_done(u) && rlvr_trainer_resume(u, "build/test_plans.checkpoint") == RLVR_OK && rlvr_trainer_done(u));
    remove("build/test_plans.checkpoint");
    rlvr_trainer_close(t);
    rlvr_trainer_close(u);
    rlvr_close(ctx);
}

/* ---- curriculum ---- */

static void test_curriculum(void)
{
    enum { TASKS = 40, STEPS = 12 };
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    for (int i = 0; i < TASKS; i++) {      /* every fourth can be learned from */
        rlvr_task task;
        memset(&task, 0, sizeof task);
        ask(NULL, (uint64_t)i, &task);
        task.answer = i % 4 == 0 ? "even" : i % 2 ? "zero" : "one";
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
    }
    rlvr_trainer_desc d = description();
    d.task_fn = NULL;
    d.tasks = tasks;
    int asked[2][3] = {{0}};
    for (int on = 0; on < 2; on++) {
        rlvr_metrics m;
        d.plan.curriculum = on ? 0.9f : 0;
        d.optim.lr = 1e-6f;
        rlvr_trainer *t = rlvr_trainer_open(small_model(ctx), &d);
        CHECK((rlvr_trainer_pass_rates(t) != NULL) == (on == 1));
        double last[TASKS];
        for (int i = 0; i < TASKS; i++) last[i] = -1;
        for (int step = 0; step < STEPS; step++) {
            CHECK(rlvr_train_step(t, &m) == RLVR_OK);
            for (int g = 0; on && g < 4; g++) {
                int64_t at = t->task_index[g];
                int right = 0;
                for (int h = 0; h < g; h++) CHECK(t->task_index[h] != at);
                for (int k = 0; k < 4; k++) right += rlvr_rollouts_get(rlvr_trainer_rollouts(t), g * 4 + k)->reward >= 0.5f;
                last[at] = last[at] < 0 ? right / 4.0 : 0.5 * last[at] + 0.5 * right / 4.0;
                CHECK(!strcmp(rlvr_rollouts_get(rlvr_trainer_rollouts(t), g * 4)->task->answer, rlvr_tasks_get(tasks, at)->answer));
            }
            for (int g = 0; step >= STEPS / 2 && g < 4; g++) {
                const char *kind = rlvr_rollouts_get(rlvr_trainer_rollouts(t), g * 4)->task->answer;
                asked[on][!strcmp(kind, "even") ? 0 : !strcmp(kind, "one") ? 1 : 2]++;
            }
        }
        for (int i = 0; on && i < TASKS; i++) CHECK(fabs((double)rlvr_trainer_pass_rates(t)[i] - last[i]) < 1e-6);
        rlvr_trainer_close(t);
    }
    REPORT("curriculum: of the last %d prompts %d could be learned from, %d without it", STEPS / 2 * 4, asked[1][0], asked[0][0]);
    CHECK(asked[1][0] > asked[0][0]);
    d.optim.lr = 3e-3f;
    d.plan.curriculum = 0.7f;
    d.plan.max_refills = 2;
    check_replay(d, 5, "curriculum with refills");
    /* a step that asks for more tasks than there are */
    d.prompts_per_step = TASKS + 3;
    d.group_size = 2;
    d.plan.max_refills = 0;
    CHECK(run(1, d, 1, NULL) == run(2, d, 1, NULL));
    rlvr_close(ctx);
}

/* ---- refused ---- */

static void test_bad_plans(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc good = description();
#define REFUSED(change, word) do { rlvr_trainer_desc d = good; change; CHECK(rlvr_trainer_open(m, &d) == NULL); \
        if (!test_check(strstr(rlvr_last_error(ctx), word) != NULL, __FILE__, __LINE__, #change)) printf("    %s\n", rlvr_last_error(ctx)); } while (0)
    REFUSED(d.plan.max_refills = -1, "plan: max_refills");
    REFUSED(d.plan.min_groups = 2, "min_groups needs max_refills");
    REFUSED(d.plan.max_refills = 1; d.plan.min_groups = 5, "min_groups");
    REFUSED(d.plan.overlong_cache = 13, "overlong_cache");
    REFUSED(d.plan.overlong_weight = 1, "overlong_weight needs overlong_cache");
    REFUSED(d.plan.overlong_cache = 2; d.plan.overlong_weight = NAN, "overlong_weight");
    REFUSED(d.plan.token_budget = -1, "token_budget");
    REFUSED(d.plan.curriculum = 0.5f, "curriculum needs tasks");
    REFUSED(d.plan.curriculum = NAN, "curriculum");
    REFUSED(d.plan.curriculum_decay = 1, "curriculum_decay");
    rlvr_close(ctx);
}

int main(void)
{
    test_dynamic_sampling();
    test_overlong();
    test_budget();
    test_curriculum();
    test_bad_plans();
    return test_done();
}
