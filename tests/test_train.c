/* The loop: bitwise on-policy, exact replay, and what must not move. A small random model; the real one where it is there. */
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

static rlvr_model *small_model(rlvr_ctx *ctx, bool tied)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 259; d.n_ctx = 128; d.d_model = 48; d.n_layers = 3; d.n_heads = 6; d.n_kv_heads = 2; d.head_dim = 10; d.d_ff = 72;
    d.tied = tied; d.seed = 11; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

/* Prompts of different lengths with a common beginning. */
static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say something longer than that", "Say it", "Say: 12 + 30 = ", "Say no more, no less"};
    (void)user;
    task->prompt = text[index % 5];
    task->answer = "x";
    task->raw = true;
    return RLVR_OK;
}

/* Something that varies inside a group: the share of even bytes. */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    if (user) ++*(int *)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = (float)even / (float)r->n_tokens;
    return RLVR_OK;
}
static rlvr_result judge_zero(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0; return RLVR_OK; }
static rlvr_result judge_broken(const rlvr_rollout *r, void *user, float *reward)
{
    if (r->index == 1) return RLVR_REWARD_ERROR;
    if (r->index == 2) { *reward = NAN; return RLVR_OK; }
    return judge(r, user, reward);
}

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 5;
    d.group_size = 4;
    d.sampling.max_tokens = 12;
    d.max_prompt_tokens = 64;
    d.optim.lr = 3e-3f;
    d.optim.weight_decay = 0.01f;
    d.seed = 5;
    return d;
}

/* ---- invariant 1: the same bits whoever asks, alone or in company ---- */

static void test_on_policy(rlvr_model *m, const rlvr_task *tasks, int n_tasks, int group, rlvr_sampling s, const char *what)
{
    rlvr_rollouts *a = NULL, *b = NULL;
    CHECK(rlvr_sample(m, tasks, n_tasks, group, &s, &a) == RLVR_OK);
    int n = rlvr_rollouts_count(a), same = 1, lengths[2] = {1 << 30, 0};
    int64_t tokens = 0;
    CHECK(n == n_tasks * group);
    s.max_batch = group;      /* one group at a time */
    CHECK(rlvr_sample(m, tasks, n_tasks, group, &s, &b) == RLVR_OK);
    float *alone = (float *)malloc(sizeof(float) * 8192);
    for (int i = 0; i < n; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(a, i), *p = rlvr_rollouts_get(b, i);
        same &= o->n_tokens == p->n_tokens && !memcmp(o->tokens, p->tokens, (size_t)o->n_tokens * sizeof(int)) &&
                !memcmp(o->logprobs, p->logprobs, (size_t)o->n_tokens * sizeof(float)) &&
                !memcmp(o->entropy, p->entropy, (size_t)o->n_tokens * sizeof(float));
        /* and as one sequence of its own, run from its first token to its last */
        int whole[4096], count = o->n_prompt + o->n_tokens;
        memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        if (!s.min_tokens) {
            CHECK(rlvr_score(m, whole, count, &s, alone) == RLVR_OK);
            same &= !memcmp(alone + o->n_prompt - 1, o->logprobs, (size_t)o->n_tokens * sizeof(float));
        }
        for (int k = 0; k < o->n_tokens; k++) same &= isfinite(o->logprobs[k]) && o->logprobs[k] <= 0;
        lengths[0] = RLVR__MIN(lengths[0], o->n_tokens);
        lengths[1] = RLVR__MAX(lengths[1], o->n_tokens);
        tokens += o->n_tokens;
    }
    CHECK(same);
    REPORT("%s: %d rollouts, %lld tokens, lengths %d to %d: the same bits together, in single groups, and scored alone", what, n,
           (long long)tokens, lengths[0], lengths[1]);
    free(alone);
    rlvr_rollouts_free(a);
    rlvr_rollouts_free(b);
}

/* The trainer's own forward over the packed forest gives the log-probabilities of the sampler, as bits: the ratio is 1. */
static void test_ratio_one(rlvr_model *m, rlvr_trainer_desc d, const char *what)
{
    for (int two = 0; two < 2; two++) {
        d.two_forwards = two;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL);
        if (!t) { printf("    %s\n", rlvr_last_error(rlvr_model_ctx(m))); return; }
        CHECK(t->plan.one_forward == !two);
        size_t bytes = (size_t)m->n_floats * sizeof(float);
        float *sampled = (float *)malloc(bytes);      /* the weights that were sampled from: the update is taken back */
        memcpy(sampled, m->weights, bytes);
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        memcpy(m->weights, sampled, bytes);
        free(sampled);
        rlvr__forest_groups(t, 0, d.prompts_per_step, false);
        rlvr__forest_forward(t);
        int n = t->offset[t->rollouts->n], same = 1, counted = 0;
        for (int i = 0; i < n; i++) t->logprob[i] = 1;
        rlvr__forest_logprobs(t, &t->rollouts->policy, t->logprob);
        for (int i = 0; i < n; i++) {
            if (t->logprob[i] == 1) continue;      /* of a group without signal */
            counted++;
            same &= !memcmp(&t->logprob[i], &t->old_logprob[i], sizeof(float));
        }
        CHECK(same && counted > 0);
        REPORT("%s, %s: trainer == sampler for %d tokens, as bits", what, two ? "two forwards" : "one forward", counted);
        rlvr_trainer_close(t);
    }
}

/* ---- invariant 2: exact replay ---- */

static uint64_t run(int threads, bool tied, rlvr_trainer_desc d, int steps, rlvr_metrics *last)
{
    rlvr_ctx *ctx = open_ctx(threads);
    rlvr_model *m = small_model(ctx, tied);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_metrics local;
    CHECK(t != NULL);
    if (!t) printf("    %s\n", rlvr_last_error(ctx));
    for (int i = 0; t && i < steps; i++) CHECK(rlvr_train_step(t, last ? last : &local) == RLVR_OK);
    uint64_t hash = rlvr_model_hash(m);
    rlvr_trainer_close(t);
    rlvr_model_free(m);
    rlvr_close(ctx);
    return hash;
}

static void test_replay(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    uint64_t one = run(1, true, d, 4, &m), start = run(1, true, d, 0, NULL);
    CHECK(one != start);
    CHECK(m.step == 4 && m.n_rollouts == 20 && m.n_groups_signal > 0 && m.grad_norm > 0 && isfinite(m.loss) && m.n_skipped == 0);
    CHECK(run(1, true, d, 4, NULL) == one);
    CHECK(run(2, true, d, 4, NULL) == one);
    CHECK(run(3, true, d, 4, NULL) == one);
    d.two_forwards = true;
    CHECK(run(2, true, d, 4, NULL) == one);      /* kept activations are those that a forward pass would compute */
    d.two_forwards = false;
    d.sampling.max_batch = 4;
    CHECK(run(2, true, d, 4, NULL) == one);
    d.seed = 6;
    CHECK(run(1, true, d, 4, NULL) != one);
}

static void test_resume(void)
{
    const char *path = "build/test_train.checkpoint";
    rlvr_trainer_desc d = description();
    d.loss.kl_coef = 0.05f;      /* the reference must come back too */
    d.epochs = 2;
    uint64_t unbroken = run(2, true, d, 6, NULL);
    for (int pieces = 0; pieces < 6; pieces++) {
        rlvr_ctx *ctx = open_ctx(1 + pieces % 2);
        rlvr_model *m = small_model(ctx, true);
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        if (pieces) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        CHECK(rlvr_trainer_steps(t) == pieces);
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        if (pieces == 5) CHECK(rlvr_model_hash(m) == unbroken);
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    /* a checkpoint of another run, a cut one, and none */
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    d.seed = 99;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    uint64_t before = rlvr_model_hash(m);
    CHECK(rlvr_trainer_resume(t, path) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), path));
    CHECK(rlvr_trainer_resume(t, "build/none") == RLVR_ERROR_IO);
    CHECK(truncate(path, 100000) == 0 && rlvr_trainer_resume(t, path) == RLVR_ERROR_FORMAT);
    CHECK(rlvr_trainer_save(t, "/proc/nowhere/checkpoint") == RLVR_ERROR_IO);
    CHECK(rlvr_model_hash(m) == before);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
    remove(path);
}

/* ---- invariants 4, 5: what must not move ---- */

static void test_no_signal(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    uint64_t start = run(2, true, d, 0, NULL);
    d.reward.fn = judge_zero;
    CHECK(run(2, true, d, 3, &m) == start);
    CHECK(m.skipped && m.n_skipped == 3 && m.frac_reward_zero_std == 1.0 && m.reward_mean == 0);
    /* not even through momentum: a step with signal, then steps without any, equals the one step */
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *model = small_model(ctx, true);
    d.reward.fn = judge;
    rlvr_trainer *t = rlvr_trainer_open(model, &d);
    CHECK(rlvr_train_step(t, &m) == RLVR_OK && !m.skipped);
    uint64_t hash = rlvr_model_hash(model);
    t->desc.reward.fn = judge_zero;
    for (int i = 0; i < 3; i++) CHECK(rlvr_train_step(t, &m) == RLVR_OK && m.skipped);
    CHECK(rlvr_model_hash(model) == hash);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

static void test_reward_errors(void)
{
    rlvr_trainer_desc d = description();
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *model = small_model(ctx, true);
    d.reward.fn = judge_broken;
    rlvr_trainer *t = rlvr_trainer_open(model, &d);
    rlvr_metrics m;
    CHECK(rlvr_train_step(t, &m) == RLVR_OK);
    CHECK(m.n_reward_errors == 2 * 5);
    double sum = 0;
    for (int i = 0; i < 20; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
        bool bad = o->index == 1 || o->index == 2;
        CHECK((o->graded != RLVR_OK) == bad);
        if (bad) CHECK(o->advantage == 0);
        else sum += (double)o->reward;
        for (int k = t->offset[i]; bad && k < t->offset[i + 1]; k++) CHECK(t->mask[k] == 0);
    }
    CHECK_LE(fabs(m.reward_mean - sum / 10), 1e-6);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* ---- invariant 7: micro-batches ---- */

static float *gradients(rlvr_model *m, int64_t *n)
{
    *n = m->n_floats;
    float *copy = (float *)malloc((size_t)*n * sizeof(float));
    memcpy(copy, m->grads, (size_t)*n * sizeof(float));
    return copy;
}

static void test_micro_batches(void)
{
    enum { SEQ = 7 };
    int tokens[SEQ * 30], offset[SEQ + 1] = {0};
    float weight[SEQ * 30], logprob[2][SEQ * 30];
    for (int s = 0; s < SEQ; s++) {
        int n = 5 + s * 3;
        for (int i = 0; i < n; i++) {
            int at = offset[s] + i;
            tokens[at] = (int)(rlvr__random(3, (uint32_t)s, (uint32_t)i, 0, 0) % 259);
            weight[at] = i % 3 == 2 ? 0.0f : (float)(i % 5) - 1.7f;
        }
        offset[s + 1] = offset[s] + n;
    }
    for (int tied = 0; tied < 2; tied++) {
        float *g[2];
        int64_t n;
        for (int micro = 0; micro < 2; micro++) {
            rlvr_ctx *ctx = open_ctx(2);
            rlvr_model *m = small_model(ctx, tied);
            rlvr_trainer_desc d;
            memset(&d, 0, sizeof d);
            d.micro_tokens = micro ? 24 : 0;
            rlvr_trainer *t = rlvr_trainer_open(m, &d);
            CHECK(rlvr_grad_tokens(t, tokens, offset, SEQ, weight, logprob[micro]) == RLVR_OK);
            g[micro] = gradients(m, &n);
            rlvr_trainer_close(t);
            rlvr_close(ctx);
        }
        double difference = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            difference = fmax(difference, fabs((double)g[0][i] - (double)g[1][i]));
            size = fmax(size, fabs((double)g[0][i]));
        }
        CHECK(size > 0);
        if (!tied) CHECK(difference == 0);      /* the chain of additions goes on where the last pass stopped */
        CHECK_LE(difference, 1e-5 * size);      /* tied: head and embedding take turns in another order */
        CHECK(!memcmp(logprob[0], logprob[1], (size_t)offset[SEQ] * sizeof(float)));
        free(g[0]);
        free(g[1]);
    }
    /* the same for rollouts: passes of few groups against one pass */
    rlvr_trainer_desc d = description();
    d.two_forwards = true;
    rlvr_metrics whole, parts;
    run(1, false, d, 1, &whole);
    d.micro_tokens = 110;
    run(1, false, d, 1, &parts);
    CHECK_LE(fabs(whole.grad_norm - parts.grad_norm), 1e-5 * whole.grad_norm);
    CHECK_LE(fabs(whole.loss - parts.loss), 1e-6);
}

/* ---- rollouts that have drawn alike so far run once ---- */

static rlvr_model *decided_model(rlvr_ctx *ctx)      /* one whose rollouts often begin alike */
{
    rlvr_model *m = small_model(ctx, false);
    float norm[48];
    CHECK(rlvr_model_get(m, "model.norm.weight", false, norm, 48) == RLVR_OK);
    for (int i = 0; i < 48; i++) norm[i] *= 6.0f;
    CHECK(rlvr_model_set(m, "model.norm.weight", norm, 48) == RLVR_OK);
    return m;
}

/* Nodes of the trees that the groups' completions make, their last tokens aside. */
static int64_t nodes(const rlvr_rollouts *r)
{
    int64_t n = 0;
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k + 1 < r->items[i].n_tokens; k++) {
            bool seen = false;
            for (int j = i / r->group_size * r->group_size; j < i && !seen; j++)
                seen = r->items[j].n_tokens > k + 1 && !memcmp(r->items[j].tokens, r->items[i].tokens, (size_t)(k + 1) * sizeof(int));
            n += !seen;
        }
    return n;
}

static void test_alike(void)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = decided_model(ctx);
    rlvr_trainer_desc d = description();
    rlvr_task task[5];
    memset(task, 0, sizeof task);
    for (uint64_t i = 0; i < 5; i++) CHECK(ask(NULL, i, &task[i]) == RLVR_OK);
    rlvr_sampling s;
    memset(&s, 0, sizeof s);
    s.max_tokens = 12; s.max_batch = 20; s.seed = 3;      /* 20 of 40 at once: slots are given back and taken again */
    test_on_policy(m, task, 5, 8, s, "rollouts that begin alike");
    s.greedy = true;
    test_on_policy(m, task, 5, 8, s, "rollouts that are alike");

    d.group_size = 8;
    d.optim.lr = 1e-30f;      /* the weights stay, to the bit */
    d.optim.weight_decay = 0;
    for (int two = 0; two < 2; two++) {
        d.two_forwards = two;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        uint64_t before = rlvr_model_hash(m);
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK && rlvr_model_hash(m) == before);
        rlvr_rollouts *r = t->rollouts;
        int64_t n, tokens = 0, prompts = r->shared, own = nodes(r), rows = r->shared;
        for (int i = 0; i < r->n; i++) tokens += r->items[i].n_tokens - 1;
        for (int g = 0; g < r->n_tasks; g++) prompts += r->prompt_begin[g + 1] - r->prompt_begin[g] - r->shared;
        CHECK(own < tokens * 3 / 4);
        if (!two) CHECK(r->next_slot == prompts + own);
        rlvr__forest_groups(t, 0, r->n_tasks, false);
        for (int g = 0; g < r->n_tasks; g++) rows += rlvr__group_rows(t, g);
        CHECK(t->forest.n_rows == rows && rows <= prompts + own);

        /* its gradient is that of every rollout as a sequence of its own */
        float *shared = gradients(m, &n), weight[40 * 80] = {0}, logprob[40 * 80];
        int sequence[40 * 80], offset[41] = {0};
        for (int i = 0; i < r->n; i++) {
            const rlvr_rollout *o = &r->items[i];
            int *at = sequence + offset[i], length = o->n_prompt + o->n_tokens;
            memcpy(at, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
            memcpy(at + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
            memcpy(weight + offset[i] + o->n_prompt, t->dlogprob + t->offset[i], (size_t)o->n_tokens * sizeof(float));
            if (o->advantage == 0) memset(weight + offset[i], 0, (size_t)length * sizeof(float));
            offset[i + 1] = offset[i] + length;
        }
        CHECK(rlvr_grad_tokens(t, sequence, offset, r->n, weight, logprob) == RLVR_OK);
        double difference = 0, size = 0;
        for (int64_t i = 0; i < n; i++) {
            difference = fmax(difference, fabs((double)m->grads[i] - (double)shared[i]));
            size = fmax(size, fabs((double)shared[i]));
        }
        CHECK(size > 0);
        CHECK_LE(difference, 1e-5 * size);
        REPORT("%s: %lld rows for %lld drawn tokens; gradient of the rollouts one by one: relative difference %.1e", two ? "two forwards" : "one forward",
               (long long)own, (long long)tokens, difference / size);
        free(shared);
        rlvr_trainer_close(t);
    }
    rlvr_close(ctx);
}

/* ---- finite differences through the whole model ---- */

static void test_finite_differences(void)
{
    static const char *const names[] = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight",
        "model.layers.2.self_attn.v_proj.weight", "model.layers.1.self_attn.o_proj.weight", "model.layers.0.mlp.gate_proj.weight",
        "model.layers.2.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.0.input_layernorm.weight",
        "model.layers.2.post_attention_layernorm.weight", "model.norm.weight", "lm_head.weight"};
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, false);
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    int tokens[20], offset[3] = {0, 12, 20};
    float weight[20], logprob[20];
    for (int i = 0; i < 20; i++) { tokens[i] = (i * 37 + 5) % 259; weight[i] = 0.2f * (float)(i % 4) - 0.25f; }
    CHECK(rlvr_grad_tokens(t, tokens, offset, 2, weight, logprob) == RLVR_OK);
    for (size_t p = 0; p < sizeof names / sizeof *names; p++) {
        const rlvr__view *v = NULL;
        for (int i = 0; i < m->n_views; i++) if (!strcmp(m->views[i].name, names[p])) v = &m->views[i];
        int64_t n = v->rows * v->cols;
        float *w = (float *)malloc((size_t)n * 4), *g = (float *)malloc((size_t)n * 4), *u = (float *)malloc((size_t)n * 4);
        CHECK(rlvr_model_get(m, names[p], false, w, n) == RLVR_OK && rlvr_model_get(m, names[p], true, g, n) == RLVR_OK);
        /* the derivative along the gradient itself: large, so that float's rounding does not drown it */
        double length = 0, side[2];
        for (int64_t i = 0; i < n; i++) length += (double)g[i] * (double)g[i];
        length = sqrt(length);
        for (int sign = 0; sign < 2; sign++) {
            double h = (sign ? -1 : 1) * 2e-3;
            for (int64_t i = 0; i < n; i++) u[i] = (float)((double)w[i] + h * (double)g[i] / length);
            CHECK(rlvr_model_set(m, names[p], u, n) == RLVR_OK);
            side[sign] = 0;
            for (int s = 0; s < 2; s++) {
                CHECK(rlvr_score(m, tokens + offset[s], offset[s + 1] - offset[s], NULL, logprob) == RLVR_OK);
                for (int i = offset[s] + 1; i < offset[s + 1]; i++) side[sign] += (double)weight[i] * (double)logprob[i - offset[s] - 1];
            }
        }
        CHECK(rlvr_model_set(m, names[p], w, n) == RLVR_OK);
        double numeric = (side[0] - side[1]) / 4e-3;
        CHECK_LE(fabs(numeric - length), 5e-3 * length);
        free(w); free(g); free(u);
    }
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* ---- the rest of the trainer ---- */

static void test_kl_and_epochs(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    d.loss.kl_coef = 0.1f;
    run(2, true, d, 1, &m);
    CHECK(m.kl == 0);                     /* the policy is the reference, bit for bit */
    CHECK(m.clip_low == 0 && m.clip_high == 0);
    run(2, true, d, 5, &m);
    CHECK(m.kl > 0);
    d = description();
    d.epochs = 3;
    d.minibatches = 2;
    d.optim.lr = 1e-2f;
    run(2, true, d, 4, &m);
    CHECK(m.clip_low + m.clip_high > 0);      /* later passes leave the policy that sampled */
    d.sampling.min_tokens = 4;
    d.sampling.top_p = 0.9f;
    d.sampling.temperature = 0.8f;
    run(2, true, d, 2, &m);
    CHECK(m.completion_min_length >= 4);
}

#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later */
static void test_allocations(void)
{
    test_counter c;
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 2;
    test_count(&d, &c);
    rlvr_ctx *ctx = rlvr_open(&d);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc td = description();
    rlvr_trainer *t = rlvr_trainer_open(m, &td);
    CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    int64_t after_first = c.calls;
    for (int i = 0; i < 8; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    CHECK_LE(c.calls, after_first);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}
#else
static void test_allocations(void) {}
#endif

static void test_learning(void)
{
    /* the loop does what it is for: the share of even bytes rises */
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    double first;
    d.group_size = 8;
    d.optim.lr = 2e-3f;
    run(2, true, d, 1, &m);
    first = m.reward_mean;
    run(2, true, d, 40, &m);
    REPORT("reward %.3f at step 1, %.3f at step 40", first, m.reward_mean);
    CHECK(m.reward_mean > first + 0.2);

    /* cross-entropy on one text goes to nearly nothing */
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *model = small_model(ctx, true);
    memset(&d, 0, sizeof d);
    d.optim.lr = 3e-3f;
    rlvr_trainer *t = rlvr_trainer_open(model, &d);
    int *tokens, n = rlvr_tokenize(model, "the quick brown fox jumps over the lazy dog", 43, false, &tokens), offset[2] = {0, n};
    for (int i = 0; i < 60; i++) CHECK(rlvr_train_tokens(t, tokens, offset, 1, NULL, &m) == RLVR_OK);
    CHECK_LE(m.loss, 0.2);
    CHECK(rlvr_train_step(t, NULL) == RLVR_ERROR_ARGUMENT);
    rlvr_free(ctx, tokens);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

static void test_bad_descriptions(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc good = description();
#define REFUSED(change, word) do { rlvr_trainer_desc d = good; change; CHECK(rlvr_trainer_open(m, &d) == NULL); \
        if (!test_check(strstr(rlvr_last_error(ctx), word) != NULL, __FILE__, __LINE__, #change)) printf("    %s\n", rlvr_last_error(ctx)); } while (0)
    REFUSED(d.group_size = -1, "group_size");
    REFUSED(d.sampling.temperature = -1, "temperature");
    REFUSED(d.sampling.top_p = 1.5f, "top_p");
    REFUSED(d.sampling.min_tokens = 99, "min_tokens");
    REFUSED(d.optim.lr = NAN, "optim.lr");
    REFUSED(d.loss.kl_coef = -1, "kl_coef");
    REFUSED(d.loss.aggregation = (rlvr_aggregation)77, "aggregation");
    REFUSED(d.reward.fn = NULL, "reward");
    REFUSED(d.minibatches = 6, "minibatches");
    REFUSED(d.memory_limit = 100000, "memory_limit");
    REFUSED(d.out_dir = "/proc/nowhere", "/proc/nowhere");
    REFUSED(d.optim.schedule = RLVR_LR_COSINE, "total_steps");
    rlvr_trainer_desc d = good;
    d.max_prompt_tokens = 5;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    uint64_t before = rlvr_model_hash(m);
    CHECK(rlvr_train_step(t, NULL) == RLVR_ERROR_CONTEXT && strstr(rlvr_last_error(ctx), "max_prompt_tokens"));
    CHECK(rlvr_model_hash(m) == before);
    rlvr_trainer_close(t);
    rlvr_memory plan;
    CHECK(rlvr_memory_plan(m, &good, &plan) == RLVR_OK && plan.one_forward && plan.total > 0 && plan.total == plan.weights + plan.gradients +
          plan.optimizer + plan.reference + plan.kv_cache + plan.activations + plan.scratch);
    rlvr_close(ctx);
}

/* The same on the real model: 64 rollouts of mixed lengths. */
static void test_real_model(const char *path, int threads)
{
    rlvr_task tasks[8];
    static char prompt[8][64];
    rlvr_ctx *ctx = open_ctx(threads);
    rlvr_model *m = rlvr_model_load(ctx, path);
    CHECK(m != NULL);
    if (!m) { rlvr_close(ctx); return; }
    memset(tasks, 0, sizeof tasks);
    for (int i = 0; i < 8; i++) {
        snprintf(prompt[i], sizeof prompt[i], i % 2 ? "What is %d * 7?" : "Name the number that follows %d, then stop.", 3 + i);
        tasks[i].prompt = prompt[i];
    }
    rlvr_sampling s;
    memset(&s, 0, sizeof s);
    s.max_tokens = 24;
    s.top_p = 0.95f;
    s.temperature = 0.8f;
    s.seed = 11;
    char what[64];
    snprintf(what, sizeof what, "SmolLM2, %d thread%s", threads, threads == 1 ? "" : "s");
    test_on_policy(m, tasks, 8, 8, s, what);
    rlvr_trainer_desc d = description();
    d.prompts_per_step = d.group_size = 8;
    d.sampling = s;
    d.max_prompt_tokens = 96;
    test_ratio_one(m, d, what);
    rlvr_close(ctx);
}

int main(void)
{
    rlvr_task tasks[8];
    memset(tasks, 0, sizeof tasks);
    for (int threads = 1; threads <= 2; threads++) {
        rlvr_ctx *ctx = open_ctx(threads);
        rlvr_model *m = small_model(ctx, threads == 1);
        for (int i = 0; i < 8; i++) ask(NULL, (uint64_t)i, &tasks[i]);
        rlvr_sampling s;
        memset(&s, 0, sizeof s);
        s.max_tokens = 20;
        s.seed = 3;
        test_on_policy(m, tasks, 8, 8, s, "small model");
        s.top_p = 0.8f;
        s.temperature = 0.7f;
        test_on_policy(m, tasks, 8, 8, s, "small model, top_p and temperature");
        s.top_k = 20;
        s.min_p = 0.01f;
        s.min_tokens = 3;
        test_on_policy(m, tasks, 8, 8, s, "small model, every truncation");
        rlvr_trainer_desc d = description();
        test_ratio_one(m, d, "small model");
        d.sampling = s;
        d.sampling.max_tokens = 12;
        test_ratio_one(m, d, "small model, every truncation");
        rlvr_close(ctx);
    }
    test_replay();
    test_resume();
    test_no_signal();
    test_reward_errors();
    test_micro_batches();
    test_alike();
    test_finite_differences();
    test_kl_and_epochs();
    test_allocations();
    test_learning();
    test_bad_descriptions();
    char fallback[512];
    snprintf(fallback, sizeof fallback, "%s/.cache/rlvr/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("HOME") ? getenv("HOME") : "");
    const char *path = test_file("RLVR_MODEL", fallback);
    for (int threads = 1; path && threads <= 2 && !getenv("RLVR_TEST_QUICK"); threads++) test_real_model(path, threads);
    return test_done();
}
