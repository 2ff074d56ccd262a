/* Algorithms as a whole: presets, the trainer's own parts of them, functions of the caller's, and the check of gradients. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

enum { PROMPTS = 3, GROUP = 4, MOST = 8, ROLLOUTS = PROMPTS * GROUP, TOKENS = ROLLOUTS * MOST };

static bool quick;
static rlvr_ctx *open_ctx(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    d.quiet = true;
    return rlvr_open(&d);
}

static rlvr_model *small_model(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 258; d.n_ctx = 32; d.d_model = 12; d.n_layers = 1; d.n_heads = 2; d.n_kv_heads = 1; d.head_dim = 6; d.d_ff = 16;
    d.tied = true; d.seed = 11; d.init_std = 0.4f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 1);
    return m;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say it", "Say: 12 + 3", "Say no more"};
    (void)user;
    task->prompt = text[index % 4];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result ask_showing(void *user, uint64_t index, rlvr_task *task)
{
    task->demonstration = index % 4 == 3 ? NULL : "as 12";
    return ask(user, index, task);
}

static rlvr_result even(const rlvr_rollout *r, void *user, float *reward)      /* the share of even bytes */
{
    int n = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) n += r->tokens[i] % 2 == 0;
    *reward = (float)n / (float)r->n_tokens;
    return RLVR_OK;
}
static rlvr_result first_low(const rlvr_rollout *r, void *user, float *reward) { (void)user; *reward = r->tokens[0] < 128; return RLVR_OK; }
static rlvr_result last_low(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = r->tokens[r->n_tokens - 1] < 170;
    return RLVR_OK;
}
static rlvr_result same(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0.3f; return RLVR_OK; }

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = even;
    d.prompts_per_step = PROMPTS;
    d.group_size = GROUP;
    d.sampling.max_tokens = MOST;
    d.max_prompt_tokens = 16;
    d.optim.lr = 3e-3f;
    d.optim.max_grad_norm = -1;
    d.seed = 5;
    return d;
}

/* ---- a step by hand: public functions on plain arrays ---- */

typedef struct hand {
    rlvr_trainer_desc d;
    float *before, *grads;                        /* weights that sampled; the step's gradient */
    int offset[ROLLOUTS + 1], n;
    float logprob[TOKENS], ref[TOKENS], entropy[TOKENS], reward[ROLLOUTS], advantage[ROLLOUTS], dlogprob[TOKENS];
    float baseline[PROMPTS];
    bool valid[ROLLOUTS];
    int length[ROLLOUTS];
    unsigned char mask[TOKENS], right[ROLLOUTS], selected[TOKENS];
    rlvr_advantage_batch batch;
    rlvr_metrics metrics;
} hand;

/* One step of the trainer; what it was given and what it made of it. */
static bool hand_step(hand *h, rlvr_model *m, rlvr_trainer *t, const rlvr_trainer_desc *d)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    memset(h, 0, sizeof *h);
    h->d = *d;
    h->before = (float *)malloc(bytes);
    h->grads = (float *)malloc(bytes);
    memcpy(h->before, m->weights, bytes);
    if (!CHECK(rlvr_train_step(t, &h->metrics) == RLVR_OK)) { printf("    %s\n", rlvr_last_error(rlvr_model_ctx(m))); return false; }
    if (m->grads) memcpy(h->grads, m->grads, bytes);      /* not those of an adapter */
    rlvr_rollouts *r = rlvr_trainer_rollouts(t);
    for (int i = 0; i < ROLLOUTS; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        for (int k = 0; k < o->n_tokens; k++) {
            h->logprob[h->n] = o->logprobs[k];
            h->entropy[h->n] = o->entropy[k];
            h->mask[h->n++] = o->graded == RLVR_OK;
        }
        h->offset[i + 1] = h->n;
        h->length[i] = o->n_tokens;
        h->reward[i] = o->reward;
        h->valid[i] = o->graded == RLVR_OK;
        h->right[i] = o->reward >= 0.5f;
    }
    h->batch.n_groups = PROMPTS;
    h->batch.group_size = GROUP;
    h->batch.reward = h->reward;
    h->batch.valid = h->valid;
    h->batch.length = h->length;
    h->batch.offset = h->offset;
    h->batch.logprob = h->logprob;
    return true;
}

static void hand_free(hand *h) { free(h->before); free(h->grads); }

/* The step's prompts, each completed `each` times by other weights. */
static rlvr_rollouts *sample_with(rlvr_model *m, const float *weights, int step, int each, const rlvr_sampling *s)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *own = (float *)malloc(bytes);
    rlvr_task tasks[PROMPTS];
    rlvr_rollouts *r = NULL;
    memset(tasks, 0, sizeof tasks);
    for (int i = 0; i < PROMPTS; i++) ask(NULL, (uint64_t)(step * PROMPTS + i), &tasks[i]);
    memcpy(own, m->weights, bytes);
    memcpy(m->weights, weights, bytes);
    CHECK(rlvr_sample(m, tasks, PROMPTS, each, s, &r) == RLVR_OK);
    memcpy(m->weights, own, bytes);
    free(own);
    return r;
}

/* Advantages and loss by rlvr_advantage_of() and rlvr_policy_loss(), the gradient by rlvr_grad_tokens() at the weights that sampled:
   how far is the trainer's from it, relative to the largest? */
static double hand_gradient(hand *h, rlvr_model *m, rlvr_trainer *t)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *after = (float *)malloc(bytes), weight[TOKENS + ROLLOUTS * 16], logprob[TOKENS + ROLLOUTS * 16];
    int tokens[TOKENS + ROLLOUTS * 16], offset[ROLLOUTS + 1] = {0};
    rlvr_loss_batch b;
    double worst = 0, largest = 0;
    memset(&b, 0, sizeof b);
    memset(weight, 0, sizeof weight);
    CHECK(rlvr_advantage_of(&h->d.advantage, &h->batch, h->advantage) == RLVR_OK);
    b.token_advantage = h->batch.token_advantage;
    b.n_seq = ROLLOUTS;
    b.offset = h->offset;
    b.logprob = b.old_logprob = h->logprob;
    b.ref_logprob = h->ref;
    b.advantage = h->advantage;
    b.mask = h->mask;
    b.right = h->right;
    b.selected = h->selected;
    b.entropy = h->entropy;
    if (!h->d.loss.max_tokens) h->d.loss.max_tokens = MOST;
    CHECK(rlvr_policy_loss(&h->d.loss, &b, h->dlogprob, NULL, NULL) == RLVR_OK);
    rlvr_rollouts *r = rlvr_trainer_rollouts(t);
    for (int i = 0, at = 0; i < ROLLOUTS; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        memcpy(tokens + at, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(tokens + at + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        memcpy(weight + at + o->n_prompt, h->dlogprob + h->offset[i], (size_t)o->n_tokens * sizeof(float));
        offset[i + 1] = at += o->n_prompt + o->n_tokens;
    }
    rlvr_trainer_desc plain;
    memset(&plain, 0, sizeof plain);
    rlvr_trainer *given = test_open_trainer(m, &plain);
    memcpy(after, m->weights, bytes);
    memcpy(m->weights, h->before, bytes);
    CHECK(rlvr_grad_tokens(given, tokens, offset, ROLLOUTS, weight, logprob) == RLVR_OK);
    memcpy(m->weights, after, bytes);
    for (int64_t i = 0; i < m->n_floats; i++) largest = fmax(largest, fabs((double)m->grads[i]));
    for (int64_t i = 0; i < m->n_floats; i++) worst = fmax(worst, fabs((double)m->grads[i] - (double)h->grads[i]));
    rlvr_trainer_close(given);
    free(after);
    return largest > 0 ? worst / largest : worst > 0 ? INFINITY : 0;
}

/* Log-probabilities of the rollouts' tokens under weights. */
static void score_with(rlvr_model *m, const float *weights, rlvr_rollouts *r, float *out)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *keep = (float *)malloc(bytes), all[64];
    memcpy(keep, m->weights, bytes);
    memcpy(m->weights, weights, bytes);
    for (int i = 0, at = 0; i < rlvr_rollouts_count(r); i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        int tokens[64];
        memcpy(tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(tokens + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        CHECK(rlvr_score(m, tokens, o->n_prompt + o->n_tokens, NULL, all) == RLVR_OK);
        memcpy(out + at, all + o->n_prompt - 1, (size_t)o->n_tokens * sizeof(float));
        at += o->n_tokens;
    }
    memcpy(m->weights, keep, bytes);
    free(keep);
}

/* ---- presets ---- */

static void test_names(void)
{
    rlvr_trainer_desc d = description();
    const char *paper = NULL;
    for (int k = 0; k < RLVR_ALGORITHM_COUNT; k++) {
        const char *name = rlvr_algorithm_name((rlvr_algorithm)k, &paper);
        CHECK(name && rlvr_algorithm_find(name) == (rlvr_algorithm)k && paper && *paper);
        CHECK(rlvr_preset((rlvr_algorithm)k, &d) == RLVR_OK);
    }
    CHECK(rlvr_algorithm_name(RLVR_ALGORITHM_COUNT, NULL) == NULL);
    CHECK(rlvr_algorithm_find("fame") == RLVR_ALGORITHM_COUNT && rlvr_algorithm_find(NULL) == RLVR_ALGORITHM_COUNT);
    CHECK(rlvr_preset(RLVR_ALGORITHM_COUNT, &d) == RLVR_ERROR_ARGUMENT);
    /* nothing of one preset is left in the next, and what is no algorithm's stays */
    CHECK(rlvr_preset(RLVR_VAPO, &d) == RLVR_OK && rlvr_preset(RLVR_DAPO, &d) == RLVR_OK && !d.value.on && d.loss.nll_coef == 0);
    CHECK(d.plan.overlong_cache == MOST / 5 && d.plan.max_refills > 0 && d.loss.clip_eps_high == 0.28f && d.loss.clip_eps_low == 0.2f);
    CHECK(rlvr_preset(RLVR_DR_GRPO, &d) == RLVR_OK && !d.plan.overlong_cache && !d.plan.max_refills && d.advantage.kind == RLVR_ADV_DR_GRPO);
    CHECK(d.prompts_per_step == PROMPTS && d.optim.lr == 3e-3f && d.reward.fn == even);
}

/* A list of n tasks, "0>" and on. */
static rlvr_tasks *numbered(rlvr_ctx *ctx, int n)
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    for (int i = 0; i < n; i++) {
        char text[16];
        rlvr_task task;
        memset(&task, 0, sizeof task);
        snprintf(text, sizeof text, "%d>", i);
        task.prompt = text;
        task.raw = true;
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
    }
    return tasks;
}

/* Each preset trains; and where all rewards of a step are equal, it moves nothing. */
static void test_presets(void)
{
    int n_still = 0;
    for (int k = 0; k < RLVR_ALGORITHM_COUNT; k++)
        for (int equal = 0; equal < (k == RLVR_A2PO ? 1 : 2); equal++) {      /* a2po's square has a slope wherever the policy has left the reference */
            rlvr_ctx *ctx = open_ctx();
            rlvr_model *m = small_model(ctx);
            rlvr_trainer_desc d = description();
            CHECK(rlvr_preset((rlvr_algorithm)k, &d) == RLVR_OK);
            if (k == RLVR_SPO) { d.task_fn = NULL; d.tasks = numbered(ctx, 2 * PROMPTS); }
            if (d.minibatches > PROMPTS) d.minibatches = PROMPTS;
            if (d.value.on && !equal) d.value.warmup_steps = 0;
            if (equal) { d.reward.fn = same; d.plan.overlong_cache = 0; d.loss.kl_coef = 0; }
            rlvr_trainer *t = test_open_trainer(m, &d);
            uint64_t hash = rlvr_model_hash(m);
            rlvr_metrics metrics;
            for (int step = 0; t && step < 2; step++) {
                CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
                CHECK(isfinite(metrics.loss) && isfinite(metrics.grad_norm));
                CHECK(metrics.skipped == (equal && !d.value.on));
                if (!equal || !d.value.on) CHECK((rlvr_model_hash(m) != hash) == !equal);
            }
            if (equal && !d.value.on) n_still++;
            rlvr_tasks_free(d.tasks);
            rlvr_close(ctx);
        }
    REPORT("%d presets train two steps; %d of them move no bit where all rewards are equal", (int)RLVR_ALGORITHM_COUNT, n_still);
}

/* The gradient of a preset's step is that of the pure functions. */
static void test_by_hand(void)
{
    static const rlvr_algorithm which[] = {RLVR_DR_GRPO, RLVR_RLOO, RLVR_REINFORCE, RLVR_REINFORCE_PP, RLVR_REINFORCE_PP_BASELINE, RLVR_MAXRL,
        RLVR_OPO, RLVR_DISCO, RLVR_GPG, RLVR_PASS_AT_K, RLVR_GSPO, RLVR_GSPO_TOKEN, RLVR_GMPO, RLVR_CISPO, RLVR_SAPO, RLVR_VESPO, RLVR_GDPO, RLVR_GRPO};
    double worst = 0;
    for (int k = 0; k < (int)(sizeof which / sizeof *which); k++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        CHECK(rlvr_preset(which[k], &d) == RLVR_OK);
        d.minibatches = 1;
        d.loss.kl_coef = 0;
        if (which[k] == RLVR_PASS_AT_K) d.reward.fn = first_low;
        rlvr_trainer *t = test_open_trainer(m, &d);
        hand h;
        if (t && hand_step(&h, m, t, &d)) {
            double off = hand_gradient(&h, m, t);
            CHECK(h.metrics.grad_norm > 0);
            if (!CHECK(off < 1e-5)) REPORT("%s: %.1e", rlvr_algorithm_name(which[k], NULL), off);
            worst = fmax(worst, off);
            hand_free(&h);
        }
        rlvr_close(ctx);
    }
    REPORT("the steps of %d presets by hand: gradients within %.1e of the largest", (int)(sizeof which / sizeof *which), worst);
}

/* NLL on right rollouts (VAPO's, without its values). */
static void test_nll(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description();
    d.reward.fn = first_low;
    d.loss.nll_coef = 0.3f;
    rlvr_trainer *t = test_open_trainer(m, &d);
    hand h;
    if (t && hand_step(&h, m, t, &d)) {
        int right = 0;
        for (int i = 0; i < ROLLOUTS; i++) right += h.right[i];
        CHECK(right > 0 && right < ROLLOUTS);
        CHECK_LE(hand_gradient(&h, m, t), 1e-5);
        h.d.loss.nll_coef = 0;
        CHECK(hand_gradient(&h, m, t) > 1e-2);
        hand_free(&h);
    }
    rlvr_close(ctx);
}

/* ---- remax ---- */

static void test_remax(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description(), plain = d;
    rlvr_preset(RLVR_REMAX, &d);
    d.plan.overlong_cache = 4;
    d.plan.overlong_weight = 0.25f;
    rlvr_memory with, without;
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK && rlvr_memory_plan(m, &plain, &without) == RLVR_OK && with.kv_cache > without.kv_cache);
    rlvr_trainer *t = test_open_trainer(m, &d);
    int64_t tokens = 0;
    for (int step = 0; step < 2; step++) {
        hand h;
        rlvr_sampling s = d.sampling;
        if (!hand_step(&h, m, t, &d)) break;
        s.greedy = true;
        rlvr_rollouts *greedy = sample_with(m, h.before, step, 1, &s);
        double mean = 0;
        bool apart = false;
        for (int i = 0; i < PROMPTS; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(greedy, i);
            even(o, NULL, &h.baseline[i]);
            h.baseline[i] += 0.25f * rlvr_overlong(o->n_tokens, MOST, 4);
            mean += (double)h.baseline[i] / PROMPTS;
            tokens += o->n_prompt + o->n_tokens;
        }
        for (int i = 0; i < ROLLOUTS; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
            CHECK(o->advantage == h.reward[i] - h.baseline[i / GROUP]);
            apart |= o->advantage != 0;
            tokens += o->n_tokens + (i % GROUP ? 0 : o->n_prompt);
        }
        CHECK(apart && h.metrics.n_greedy == PROMPTS);
        CHECK_LE(fabs(h.metrics.greedy_reward - mean), 1e-6);
        CHECK(h.metrics.num_tokens == tokens);      /* the cost of the baselines is counted */
        h.batch.baseline = h.baseline;
        CHECK_LE(hand_gradient(&h, m, t), 1e-5);
        rlvr_rollouts_free(greedy);
        hand_free(&h);
    }
    rlvr_close(ctx);
}

/* ---- spo: what tasks have earned before ---- */

typedef struct remembered { double alpha, beta; int n, tokens[MOST + 8]; float logprob[MOST]; } remembered;

/* How far the weights are from those that sampled a task's last rollout: mean |log ratio|. */
static double moved(rlvr_model *m, const float *weights, const remembered *x, int n_prompt)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *own = (float *)malloc(bytes), now[MOST + 8];
    double apart = 0;
    memcpy(own, m->weights, bytes);
    memcpy(m->weights, weights, bytes);
    CHECK(rlvr_score(m, x->tokens, n_prompt + x->n, NULL, now) == RLVR_OK);
    for (int k = 0; k < x->n; k++) apart += fabs((double)now[n_prompt - 1 + k] - (double)x->logprob[k]) / x->n;
    memcpy(m->weights, own, bytes);
    free(own);
    return apart;
}

/* Steps by hand: baselines by the paper's Beta distributions, kept by a given rho or by how far the policy has moved. One task is twice
   in a batch now and then, and one rollout in eight has no verdict. */
static rlvr_result even_or_none(const rlvr_rollout *r, void *user, float *reward)
{
    even(r, user, reward);
    if (r->tokens[0] % 8 == 3) *reward = NAN;
    return RLVR_OK;
}

static void test_spo(void)
{
    enum { TASKS = 4, STEPS = 8 };
    int n_kept = 0, n_lost = 0, n_twice = 0;
    for (int kind = 0; kind < 3; kind++) {      /* by distance, in one pack or several; by a given rho */
        bool given = kind == 2;
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description(), plain;
        remembered of[TASKS];
        rlvr_memory with, without;
        memset(of, 0, sizeof of);
        for (int i = 0; i < TASKS; i++) of[i].alpha = of[i].beta = 0.5;
        CHECK(rlvr_preset(RLVR_SPO, &d) == RLVR_OK);
        d.task_fn = NULL;
        d.tasks = numbered(ctx, TASKS);
        d.reward.fn = even_or_none;
        d.optim.lr = 3e-4f;
        if (kind == 1) d.micro_tokens = 40;
        if (given) d.advantage.rho = 0.9f;
        plain = d;
        plain.advantage.kind = RLVR_ADV_REINFORCE;
        plain.advantage.rho = 0;
        CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK && rlvr_memory_plan(m, &plain, &without) == RLVR_OK && with.scratch > without.scratch);
        rlvr_trainer *t = test_open_trainer(m, &d);
        for (int step = 0; t && step < STEPS; step++) {
            hand h;
            int task[PROMPTS], n_prompt[PROMPTS];
            double value = 0, keep[PROMPTS], mean_keep = 0;
            if (!hand_step(&h, m, t, &d)) break;
            rlvr_rollouts *r = rlvr_trainer_rollouts(t);
            for (int g = 0; g < PROMPTS; g++) {
                const rlvr_rollout *o = rlvr_rollouts_get(r, g * GROUP);
                task[g] = atoi(o->task->prompt);
                n_prompt[g] = o->n_prompt;
                const remembered *x = &of[task[g]];
                h.baseline[g] = (float)(x->alpha / (x->alpha + x->beta));
                double apart = x->n ? moved(m, h.before, x, n_prompt[g]) : 0;
                keep[g] = given ? (double)0.9f : fmin(fmax(pow(2, -apart / 0.06), 0.875), 0.96);
                n_kept += !given && keep[g] > 0.876 && keep[g] < 0.959;
                value += (double)h.baseline[g] / PROMPTS;
                mean_keep += keep[g] / PROMPTS;
            }
            CHECK(h.metrics.n_tracked == PROMPTS);
            CHECK_LE(fabs(h.metrics.tracked_value - value), 1e-6);
            CHECK_LE(fabs(h.metrics.tracked_keep - mean_keep), 1e-5);
            h.batch.baseline = h.baseline;
            CHECK_LE(hand_gradient(&h, m, t), 1e-5);
            for (int i = 0; i < ROLLOUTS; i++) {
                const rlvr_rollout *o = rlvr_rollouts_get(r, i);
                CHECK_LE(fabs((double)o->advantage - (double)h.advantage[i]), 1e-5);
                CHECK(h.valid[i] || o->advantage == 0);
            }
            for (int i = 0; i < ROLLOUTS; i++) {
                const rlvr_rollout *o = rlvr_rollouts_get(r, i);
                remembered *x = &of[task[i / GROUP]];
                n_lost += !h.valid[i];
                if (!h.valid[i]) continue;
                x->alpha = keep[i / GROUP] * x->alpha + (double)o->reward;
                x->beta = keep[i / GROUP] * x->beta + 1 - (double)o->reward;
                for (int g = 0; g < PROMPTS; g++) {
                    n_twice += g != i / GROUP && task[g] == task[i / GROUP];
                    if (task[g] == task[i / GROUP]) keep[g] = 1;
                }
                x->n = o->n_tokens;
                memcpy(x->tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
                memcpy(x->tokens + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
                memcpy(x->logprob, o->logprobs, (size_t)o->n_tokens * sizeof(float));
            }
            hand_free(&h);
        }
        rlvr_tasks_free(d.tasks);
        rlvr_close(ctx);
    }
    CHECK(n_kept > 3 && n_lost > 3 && n_twice > 0);
    REPORT("spo: %d of its keeps by distance were within their bounds", n_kept);
}

static rlvr_result by_task(const rlvr_rollout *r, void *user, float *reward)      /* the first half of the tasks pays, the other every other time */
{
    (void)user;
    *reward = atoi(r->task->prompt) < 10 || r->tokens[0] % 2 == 0;
    return RLVR_OK;
}

/* A curriculum draws by the tracked values, with the paper's weights: how often a step's first task is one that always pays. */
static void test_spo_curriculum(void)
{
    enum { TASKS = 20 };
    int steps = quick ? 60 : 400;
    double want = 0, variance = 0, got = 0;
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description();
    rlvr_tracked of[TASKS];
    for (int i = 0; i < TASKS; i++) { of[i].value = 0.5f; of[i].weight = 1; }
    CHECK(rlvr_preset(RLVR_SPO, &d) == RLVR_OK);
    d.task_fn = NULL;
    d.tasks = numbered(ctx, TASKS);
    d.reward.fn = by_task;
    d.group_size = 1;
    d.plan.curriculum = 1;
    d.advantage.rho = 0.9f;
    d.optim.lr = 1e-9f;
    rlvr_trainer *t = test_open_trainer(m, &d);
    for (int step = 0; t && step < steps; step++) {
        double sum = 0, easy = 0;
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        for (int i = 0; i < TASKS; i++) {
            double p = (double)of[i].value, w = sqrt(p * (1 - p)) + 0.05;
            sum += w;
            easy += i < 10 ? w : 0;
        }
        want += easy / sum;
        variance += easy / sum * (1 - easy / sum);
        for (int g = 0; g < PROMPTS; g++) {
            const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), g);
            if (g == 0) got += atoi(o->task->prompt) < 10;
            rlvr_track(&of[atoi(o->task->prompt)], o->reward, (double)0.9f);
        }
    }
    CHECK_LE(fabs(got - want), 4 * sqrt(variance));
    CHECK(want < 0.4 * steps);
    REPORT("spo's curriculum: a task that always pays comes first in %.0f of %d steps, %.1f expected", got, steps, want);
    rlvr_tasks_free(d.tasks);
    rlvr_close(ctx);
}

static rlvr_trainer_desc one_of_each(rlvr_ctx *ctx)
{
    rlvr_trainer_desc d = description();
    CHECK(rlvr_preset(RLVR_SPO, &d) == RLVR_OK);
    d.task_fn = NULL;
    d.tasks = numbered(ctx, 8);
    d.group_size = 1;
    d.prompts_per_step = 6;
    d.plan.curriculum = 0.5f;
    return d;
}

/* A run that is resumed goes on as it was: with the tasks' values and their last rollouts. */
static void test_spo_resume(void)
{
    const char *path = "build/test_algorithms.checkpoint";
    uint64_t hash = 0;
    for (int resumed = 0; resumed < 2; resumed++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = one_of_each(ctx);
        d.optim.lr = 3e-4f;      /* distances are small enough to tell apart */
        rlvr_trainer *t = test_open_trainer(m, &d);
        if (resumed) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int step = resumed ? 6 : 0; t && step < 14; step++) {
            CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
            if (!resumed && step == 5) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        }
        if (!resumed) hash = rlvr_model_hash(m);
        CHECK(rlvr_model_hash(m) == hash);
        rlvr_tasks_free(d.tasks);
        rlvr_close(ctx);
    }
}

/* It learns from one rollout of each prompt. */
static void test_spo_learning(void)
{
    enum { SEEN = 10 };
    int steps = quick ? 2 * SEEN : 150;
    double first = 0, last = 0;
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = one_of_each(ctx);
    rlvr_trainer *t = test_open_trainer(m, &d);
    for (int step = 0; t && step < steps; step++) {
        rlvr_metrics metrics;
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        if (step < SEEN) first += metrics.reward_mean / SEEN;
        if (step >= steps - SEEN) last += metrics.reward_mean / SEEN;
    }
    rlvr_tasks_free(d.tasks);
    rlvr_close(ctx);
    REPORT("spo, one rollout of each prompt: reward %.3f in the first steps, %.3f in the last of %d", first, last, steps);
    CHECK(quick || last > first + 0.15);
}

/* ---- a2po: the reference's rollouts say what can be expected ---- */

static void test_a2po(void)
{
    enum { K = 3, SEEN = 10 };
    int steps = quick ? SEEN : 100;
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description(), plain = d;
    rlvr_preset(RLVR_A2PO, &d);
    d.advantage.k = K;
    d.advantage.beta = 0.25f;
    d.loss.a2po_beta = 0.02f;
    d.micro_tokens = 40;      /* in several packs */
    rlvr_memory with, without;
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK && rlvr_memory_plan(m, &plain, &without) == RLVR_OK);
    CHECK(with.kv_cache > without.kv_cache && with.reference > 0 && !without.reference);
    rlvr_trainer *t = test_open_trainer(m, &d);
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *reference = (float *)malloc(bytes);
    memcpy(reference, m->weights, bytes);
    int64_t tokens = 0;
    for (int step = 0; step < 3; step++) {
        hand h;
        rlvr_sampling s = d.sampling;
        if (!hand_step(&h, m, t, &d)) break;
        s.seed = d.seed ^ 0x7265666572656e63ull;
        s.step = (uint32_t)step;
        rlvr_rollouts *beside = sample_with(m, reference, step, K, &s);
        double mean = 0;
        for (int i = 0; i < PROMPTS; i++) {
            double sum = 0;
            for (int k = 0; k < K; k++) {
                float reward;
                const rlvr_rollout *o = rlvr_rollouts_get(beside, i * K + k);
                even(o, NULL, &reward);
                sum += exp((double)reward / 0.25) / K;
                tokens += o->n_tokens + (k ? 0 : o->n_prompt);
            }
            h.baseline[i] = (float)(0.25 * log(sum));
            mean += (double)h.baseline[i] / PROMPTS;
        }
        for (int i = 0; i < ROLLOUTS; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
            CHECK_LE(fabs((double)o->advantage - (double)(h.reward[i] - h.baseline[i / GROUP])), 1e-6);
            tokens += o->n_tokens + (i % GROUP ? 0 : o->n_prompt);
        }
        CHECK(h.metrics.n_reference == PROMPTS * K && h.metrics.num_tokens == tokens);
        CHECK_LE(fabs(h.metrics.optimal_value - mean), 1e-6);
        score_with(m, reference, rlvr_trainer_rollouts(t), h.ref);
        h.batch.baseline = h.baseline;
        CHECK_LE(hand_gradient(&h, m, t), 2e-5);
        rlvr_rollouts_free(beside);
        hand_free(&h);
    }
    free(reference);
    rlvr_close(ctx);
    double first = 0, last = 0;
    d.advantage.beta = 1;
    d.optim.lr = 1e-2f;
    ctx = open_ctx();
    m = small_model(ctx);
    t = test_open_trainer(m, &d);
    for (int step = 0; t && step < steps; step++) {
        rlvr_metrics metrics;
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        if (step < SEEN) first += metrics.reward_mean / SEEN;
        if (step >= steps - SEEN) last += metrics.reward_mean / SEEN;
    }
    REPORT("a2po: reward %.3f in the first steps, %.3f in the last of %d", first, last, steps);
    CHECK(quick || last > first + 0.15);
    rlvr_close(ctx);
    ctx = open_ctx();      /* rollouts of older weights, which it does not mind */
    m = small_model(ctx);
    d.plan.lag = 1;
    t = test_open_trainer(m, &d);
    for (int step = 0; t && step < 3; step++) {
        rlvr_metrics metrics;
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && metrics.lag == (step > 0) && isfinite(metrics.loss));
    }
    rlvr_close(ctx);
}

/* ---- the optimal token baseline, by distributions that are computed anew ---- */

static void test_optimal_token(void)
{
    for (int kind = 0; kind < 3; kind++) {      /* the whole distribution; without its tail, and groups that give their places away; demonstrations */
        bool cut = kind == 1;
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        int V = rlvr_model_info(m)->n_vocab;
        rlvr_preset(RLVR_OPTIMAL_TOKEN, &d);
        double temperature = cut ? 0.8 : 1;      /* rlvr_grad_tokens() is at 1 */
        d.sampling.temperature = (float)temperature;
        if (cut) { d.sampling.top_k = 40; d.plan.max_refills = 1; d.reward.fn = first_low; }
        if (kind == 2) { d.plan.demonstrations = true; d.task_fn = ask_showing; }
        rlvr_trainer *t = test_open_trainer(m, &d);
        size_t bytes = (size_t)m->n_floats * sizeof(float);
        float *after = (float *)malloc(bytes), *logits = (float *)malloc((size_t)(64 * V) * sizeof(float));
        for (int step = 0; step < 2; step++) {
            hand h;
            float collision[TOKENS], token_advantage[TOKENS], largest = 0;
            if (!hand_step(&h, m, t, &d)) break;
            memcpy(after, m->weights, bytes);
            memcpy(m->weights, h.before, bytes);
            for (int i = 0; i < ROLLOUTS; i++) {
                const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
                int text[64];
                memcpy(text, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
                memcpy(text + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
                CHECK(rlvr_logits(m, text, o->n_prompt + o->n_tokens, logits) == RLVR_OK);
                for (int k = 0; k < o->n_tokens; k++) {
                    const float *z = logits + (o->n_prompt - 1 + k) * V;
                    double sum = 0, square = 0;
                    for (int v = 0; v < V; v++) {
                        int above = 0;
                        for (int w = 0; w < V && cut; w++) above += z[w] > z[v];
                        if (above >= 40) continue;
                        sum += exp((double)z[v] / temperature);
                        square += exp(2 * (double)z[v] / temperature);
                    }
                    collision[h.offset[i] + k] = (float)(square / sum / sum);
                    largest = fmaxf(largest, fabsf(collision[h.offset[i] + k] - t->algorithm.collision[h.offset[i] + k]));
                }
            }
            memcpy(m->weights, after, bytes);
            CHECK_LE((double)largest, 1e-5);
            h.batch.offset = h.offset;
            h.batch.logprob = h.logprob;
            h.batch.collision = collision;
            h.batch.token_advantage = token_advantage;
            if (kind == 0) CHECK_LE(hand_gradient(&h, m, t), 2e-5);
            else CHECK(rlvr_advantage_of(&d.advantage, &h.batch, h.advantage) == RLVR_OK);
            for (int k = 0; k < h.n; k++) CHECK_LE(fabs((double)token_advantage[k] - (double)t->algorithm.token_advantage[k]), 1e-4);
            for (int i = 0; i < ROLLOUTS; i++)
                CHECK_LE(fabs((double)h.advantage[i] - (double)rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->advantage), 1e-4);
            hand_free(&h);
        }
        free(after);
        free(logits);
        rlvr_close(ctx);
    }
}

/* ---- gdpo: the parts of a composed reward, one of them a gate ---- */

static void test_gdpo_parts(void)
{
    rlvr_reward_desc parts[3];
    memset(parts, 0, sizeof parts);
    parts[0].fn = even;       parts[0].name = "even";      parts[0].weight = 2;
    parts[1].fn = last_low;   parts[1].name = "last";
    parts[2].fn = first_low;  parts[2].name = "first";     parts[2].gate = true;
    for (int punished = 0; punished < 2; punished++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        rlvr_preset(RLVR_GDPO, &d);
        memset(&d.reward, 0, sizeof d.reward);
        d.reward.kind = RLVR_REWARD_COMPOSE;
        d.reward.parts = parts;
        d.reward.n_parts = 3;
        d.plan.overlong_cache = punished ? 6 : 0;
        rlvr_trainer *t = test_open_trainer(m, &d);
        hand h;
        if (t && hand_step(&h, m, t, &d)) {
            float part[4][ROLLOUTS], weight[] = {2, 1, 0, 1};
            const float *got[3];
            int shut = 0;
            for (int p = 0; p < 3; p++) CHECK(rlvr_rollouts_part(rlvr_trainer_rollouts(t), p, &got[p]) != NULL);
            for (int i = 0; i < ROLLOUTS; i++) {
                bool open = got[2][i] > 0;
                part[0][i] = open ? got[0][i] : 0;
                part[1][i] = open ? got[1][i] : 0;
                part[2][i] = got[2][i];
                part[3][i] = rlvr_overlong(h.length[i], MOST, d.plan.overlong_cache);
                shut += !open;
            }
            CHECK(shut > 0 && shut < ROLLOUTS);
            h.batch.part = part[0];
            h.batch.part_weight = weight;
            h.batch.n_parts = punished ? 4 : 3;
            CHECK_LE(hand_gradient(&h, m, t), 1e-5);
            for (int i = 0; i < ROLLOUTS; i++) CHECK(h.advantage[i] == rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->advantage);
            h.batch.part = NULL;      /* it is not gdpo of the sum */
            CHECK(hand_gradient(&h, m, t) > 1e-3);
            hand_free(&h);
        }
        rlvr_close(ctx);
    }
}

/* ---- divergence in the reward ---- */

/* The rollout's reward is lessened by the sum over its tokens, also of those that the over-long filter keeps out of the loss. */
static void test_kl_reward(void)
{
    for (int kl = 0; kl < RLVR_KL_COUNT; kl++)
        for (int filter = 0; filter < 2; filter++) {
            rlvr_ctx *ctx = open_ctx();
            rlvr_model *m = small_model(ctx);
            rlvr_trainer_desc d = description();
            rlvr_preset(RLVR_RLOO, &d);
            d.regulariser.kl_reward = 0.7f;
            d.loss.kl = (rlvr_kl)kl;
            d.plan.overlong_filter = filter;
            rlvr_trainer *t = test_open_trainer(m, &d);
            hand h;
            size_t bytes = (size_t)m->n_floats * sizeof(float);
            float *reference = (float *)malloc(bytes);
            memcpy(reference, m->weights, bytes);
            for (int step = 0; step < 2 && t && hand_step(&h, m, t, &d); step++) {
                double mean = 0;
                float lessened[ROLLOUTS];
                rlvr_rollouts *r = rlvr_trainer_rollouts(t);
                score_with(m, reference, r, h.ref);
                for (int i = 0; i < ROLLOUTS; i++) {
                    float minus[MOST] = {0}, sum = 0;
                    rlvr_kl_reward(d.loss.kl, 1, h.logprob + h.offset[i], h.ref + h.offset[i], h.length[i], minus);
                    for (int k = 0; k < h.length[i]; k++) { sum += minus[k]; mean -= (double)minus[k] / h.n; }
                    lessened[i] = h.reward[i] + 0.7f * sum;
                    bool cut = rlvr_rollouts_get(r, i)->finish_reason == RLVR_FINISH_LENGTH;
                    for (int k = h.offset[i]; filter && k < h.offset[i + 1]; k++) h.mask[k] = !cut;
                }
                h.batch.reward = lessened;
                CHECK_LE(hand_gradient(&h, m, t), 2e-5);
                for (int i = 0; i < ROLLOUTS; i++) CHECK_LE(fabs((double)h.advantage[i] - (double)rlvr_rollouts_get(r, i)->advantage), 1e-5);
                CHECK_LE(fabs(h.metrics.kl - mean), 1e-6);
                CHECK((mean != 0) == (step > 0));
                CHECK(h.metrics.kl_coef == (double)0.7f);
                CHECK_LE(fabs(h.metrics.reward_mean - (double)h.reward[0]), 1);      /* the reward that is shown is the verifier's */
                hand_free(&h);
            }
            free(reference);
            rlvr_close(ctx);
        }
}

/* ---- a teacher in the reference's place ---- */

/* Of another size than the policy. */
static rlvr_model *teacher_model(rlvr_ctx *ctx, int n_vocab, int n_ctx, const char *special)
{
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = n_vocab; d.n_ctx = n_ctx; d.d_model = 16; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 4; d.d_ff = 24;
    d.seed = 3; d.init_std = 0.4f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m && special) rlvr_model_set_byte_tokenizer(m, &special, 1);
    return m;
}

/* The step is that of the teacher's log-probabilities: in the loss by k1, k2 and k3, alone and beside a reward; then in the reward. */
/* ---- a bonus for what is new ---- */

/* The mean hidden state under weights from which a rollout's tokens were drawn, read off by heads that each say one coordinate. */
static void hidden_of(rlvr_model *m, const float *weights, const rlvr_rollout *o, double *out)
{
    enum { WIDTH = 12 };
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *own = (float *)malloc(bytes), said[64], coordinate[WIDTH + 1];
    int tokens[64], n = o->n_prompt + o->n_tokens - 1;
    memcpy(own, m->weights, bytes);
    memcpy(m->weights, weights, bytes);
    memcpy(tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
    memcpy(tokens + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
    rlvr_head *h = rlvr_head_new(m, 0, 1);
    for (int k = 0; k < WIDTH; k++) {
        out[k] = 0;
        for (int i = 0; i <= WIDTH; i++) coordinate[i] = i == k;
        CHECK(rlvr_head_set(h, coordinate) == RLVR_OK && rlvr_head_values(h, tokens, n, said) == RLVR_OK);
        for (int i = o->n_prompt - 1; i < n; i++) out[k] += (double)said[i] / o->n_tokens;
    }
    rlvr_head_free(h);
    memcpy(m->weights, own, bytes);
    free(own);
}

static rlvr_result low_or_none(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = r->tokens[0] % 8 == 3 ? NAN : (float)(r->tokens[0] % 4 == 0);
    return RLVR_OK;
}

/* The reward of a step by hand: the bonus stands in it where one of the group is right, and is that of the weights at the start. With
   an adapter they are the base's; with values the bonus is in the reward too. */
static void test_explore(void)
{
    enum { WIDTH = 12 };
    int n_groups = 0, n_none = 0, n_lost = 0;
    for (int kind = 0; kind < 4; kind++) {      /* plain; with the divergence in the reward; an adapter; values */
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_lora_desc lora;
        memset(&lora, 0, sizeof lora);
        lora.rank = 4;
        size_t bytes = (size_t)m->n_floats * sizeof(float);
        float *base = (float *)malloc(bytes);
        memcpy(base, m->weights, bytes);
        if (kind == 2) CHECK(rlvr_lora_add(m, &lora) == RLVR_OK);
        rlvr_trainer_desc d = description(), plain;
        rlvr_memory with, without;
        d.reward.fn = low_or_none;
        d.regulariser.explore_coef = 0.5f;
        d.regulariser.explore_ridge = 0.2f;
        d.micro_tokens = 40;      /* in several packs */
        if (kind == 1) d.regulariser.kl_reward = 0.1f;
        if (kind == 3) { d.value.on = true; d.value.raw_advantages = true; d.value.gae.lambda = 1; d.optim.lr = 1e-12f; d.value.lr = 1e-12f; }
        plain = d;
        plain.regulariser.explore_coef = plain.regulariser.explore_ridge = 0;
        CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK && rlvr_memory_plan(m, &plain, &without) == RLVR_OK && with.scratch > without.scratch);
        CHECK(kind == 1 || (kind == 2) == (with.reference == without.reference));
        rlvr_trainer *t = test_open_trainer(m, &d);
        for (int step = 0; t && step < 4; step++) {
            hand h;
            double novelty = 0;
            int n_novel = 0;
            if (!CHECK(hand_step(&h, m, t, &d))) break;
            rlvr_rollouts *r = rlvr_trainer_rollouts(t);
            if (kind == 2) rlvr_lora_enable(m, false);
            if (kind == 1) score_with(m, base, r, h.ref);
            for (int g = 0; g < PROMPTS; g++) {
                float vector[GROUP * WIDTH], bonus[GROUP];
                double scratch[GROUP * (GROUP + 1)];
                int n = 0, right = 0, who[GROUP];
                for (int i = g * GROUP; i < (g + 1) * GROUP; i++) {
                    double state[WIDTH];
                    right += h.valid[i] && h.reward[i] >= 0.5f;
                    if (!h.valid[i]) { n_lost++; continue; }
                    hidden_of(m, base, rlvr_rollouts_get(r, i), state);
                    for (int k = 0; k < WIDTH; k++) vector[n * WIDTH + k] = (float)state[k];
                    who[n++] = i;
                }
                n_groups += right > 0;
                n_none += !right;
                if (n < 2 || !right) continue;
                CHECK(rlvr_novelty(vector, n, WIDTH, 0.2f, bonus, scratch) == RLVR_OK);
                for (int j = 0; j < n; j++) {
                    h.reward[who[j]] += 0.5f * bonus[j];
                    novelty += (double)bonus[j];
                    n_novel++;
                }
            }
            if (kind == 2) rlvr_lora_enable(m, true);
            CHECK(h.metrics.n_novel == n_novel);
            if (n_novel) CHECK_LE(fabs(h.metrics.novelty - novelty / n_novel), 1e-5);
            for (int i = 0; kind == 1 && i < ROLLOUTS; i++)
                for (int k = h.offset[i]; k < h.offset[i + 1]; k++) {
                    double x = (double)h.logprob[k] - (double)h.ref[k];
                    h.reward[i] -= (float)(0.1 * (exp(-x) - 1 + x));
                }
            CHECK(rlvr_advantage_of(&d.advantage, &h.batch, h.advantage) == RLVR_OK);
            for (int i = 0; i < ROLLOUTS; i++) {
                const rlvr_rollout *o = rlvr_rollouts_get(r, i);
                double want = kind == 3 ? h.valid[i] ? (double)h.reward[i] : 0 : (double)h.advantage[i];
                CHECK_LE(fabs((double)o->advantage - want), kind == 1 ? 1e-3 : 1e-4);
            }
            hand_free(&h);
        }
        free(base);
        rlvr_close(ctx);
    }
    CHECK(n_groups > 5 && n_none > 5 && n_lost > 5);
    rlvr_ctx *ctx = open_ctx();
    rlvr_trainer_desc d = description();
    d.regulariser.explore_coef = d.regulariser.distill_coef = 1;
    d.regulariser.teacher = teacher_model(ctx, 258, 32, "<|end|>");
    CHECK(!rlvr_trainer_open(small_model(ctx), &d) && strstr(rlvr_last_error(ctx), "which a teacher has replaced"));
    rlvr_close(ctx);
}

static void test_teacher_by_hand(void)
{
    for (int kind = 0; kind < 7; kind++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        bool alone = kind % 2, in_reward = kind == 6;
        rlvr_preset(RLVR_RLOO, &d);
        d.loss.kl = in_reward ? RLVR_KL_K1 : (rlvr_kl)(kind / 2);
        *(in_reward ? &d.regulariser.kl_reward : &d.loss.kl_coef) = 0.7f;
        d.regulariser.teacher = teacher_model(ctx, 258, 40, "<|end|>");
        d.micro_tokens = 40;      /* in several packs */
        if (alone) d.reward.fn = same;
        rlvr_trainer *t = test_open_trainer(m, &d);
        hand h;
        for (int step = 0; step < 2 && t && hand_step(&h, m, t, &d); step++) {
            float lessened[ROLLOUTS], minus[TOKENS] = {0};
            double mean = 0;
            score_with(d.regulariser.teacher, d.regulariser.teacher->weights, rlvr_trainer_rollouts(t), h.ref);
            rlvr_kl_reward(d.loss.kl, 1, h.logprob, h.ref, h.n, minus);
            for (int i = 0; i < ROLLOUTS; i++) {
                lessened[i] = h.reward[i];
                for (int k = h.offset[i]; k < h.offset[i + 1]; k++) { lessened[i] += 0.7f * minus[k]; mean -= (double)minus[k] / h.n; }
            }
            if (in_reward) h.batch.reward = lessened;
            CHECK_LE(hand_gradient(&h, m, t), 2e-5);
            CHECK_LE(fabs(h.metrics.kl - mean), 1e-5);
            CHECK(!h.metrics.skipped && t->reference == NULL && h.metrics.n_groups_signal == (alone ? 0 : PROMPTS));
            hand_free(&h);
        }
        rlvr_close(ctx);
    }
}

/* Distillation alone, without a reward: the policy comes near its teacher, whole or by an adapter; and a run that is killed goes on
   with the same bits. */
static void test_teacher_learning(void)
{
    enum { SEEN = 10 };
    int steps = quick ? SEEN : 150, saved = quick ? 6 : 100;
    const char *path = "build/test_algorithms.checkpoint";
    for (int adapter = 0; adapter < 2; adapter++) {
        double first = 0, last = 0;
        uint64_t hash = 0;
        for (int resumed = 0; resumed < 2; resumed++) {
            rlvr_ctx *ctx = open_ctx();
            rlvr_model *m = small_model(ctx);
            rlvr_lora_desc lora;
            memset(&lora, 0, sizeof lora);
            lora.rank = 4;
            if (adapter) CHECK(rlvr_lora_add(m, &lora) == RLVR_OK);
            rlvr_trainer_desc d = description();
            rlvr_preset(RLVR_RLOO, &d);
            d.reward.fn = same;
            d.loss.aggregation = RLVR_AGG_TOKEN_MEAN;
            d.loss.kl = RLVR_KL_K2;
            d.loss.kl_coef = 1;
            d.optim.lr = 1e-2f;
            d.regulariser.teacher = teacher_model(ctx, 258, 32, "<|end|>");
            uint64_t teacher = rlvr_model_hash(d.regulariser.teacher);
            rlvr_trainer *t = test_open_trainer(m, &d);
            if (resumed) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
            for (int step = resumed ? saved : 0; t && step < steps; step++) {
                rlvr_metrics metrics;
                CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
                if (step < SEEN) first += metrics.kl / SEEN;
                if (!resumed && step >= steps - SEEN) last += metrics.kl / SEEN;
                if (step == saved - 1) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
            }
            if (!resumed) hash = rlvr_model_hash(m);
            CHECK(rlvr_model_hash(m) == hash && rlvr_model_hash(d.regulariser.teacher) == teacher);
            rlvr_close(ctx);
        }
        REPORT("distillation, %s: k2 of a token %.3f in the first steps, %.3f in the last", adapter ? "adapter" : "all weights", first, last);
        CHECK(quick || last < (adapter ? 0.75 : 0.5) * first);
    }
}

/* ---- whole distributions against the teacher's ---- */

/* The divergence of one place, from logits, in double. */
static double divergence_of(rlvr_distill kind, double beta, const float *z, const float *teacher, int V)
{
    double zp = 0, zq = 0, sum = 0;
    for (int v = 0; v < V; v++) { zp += exp((double)z[v]); zq += exp((double)teacher[v]); }
    for (int v = 0; v < V; v++) {
        double log_p = (double)z[v] - log(zp), log_q = (double)teacher[v] - log(zq), p = exp(log_p), q = exp(log_q), m = log(beta * q + (1 - beta) * p);
        sum += kind == RLVR_DISTILL_REVERSE_KL ? p * (log_p - log_q) : kind == RLVR_DISTILL_FORWARD_KL ? q * (log_q - log_p)
               : beta * q * (log_q - m) + (1 - beta) * p * (log_p - m);
    }
    return sum;
}

/* A longer prompt for the teacher, of another length for each group. */
static rlvr_result told_more(void *user, rlvr_rollouts *r, int group, rlvr_task *task)
{
    static char text[64];
    (void)user;
    snprintf(text, sizeof text, "%.*sso %.*s%.*s", group + 1, "abcdefg", rlvr_rollouts_get(r, group * GROUP)->n_prompt, "0123456789", group, "xyz");
    task->prompt = text;
    task->raw = true;
    return RLVR_OK;
}

/* The step's loss once more, at any weights of the policy: over its rollouts, aggregated. */
static double distill_loss(rlvr_model *m, rlvr_model *teacher, const rlvr_trainer_desc *d, rlvr_rollouts *r)
{
    int V = rlvr_model_info(m)->n_vocab, tokens = 0;
    float *z = (float *)malloc((size_t)(64 * V) * sizeof(float)), *q = (float *)malloc((size_t)(64 * V) * sizeof(float));
    double beta = d->regulariser.distill_beta == 0 ? 0.5 : (double)d->regulariser.distill_beta, loss = 0;
    for (int i = 0; i < ROLLOUTS; i++) tokens += rlvr_rollouts_get(r, i)->n_tokens;
    for (int i = 0; i < ROLLOUTS; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        int text[64], n = o->n_prompt + o->n_tokens;
        memcpy(text, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(text + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        int n_other = o->n_prompt, other[64];
        rlvr_task task;
        memset(&task, 0, sizeof task);
        memcpy(other, text, sizeof other);
        if (d->regulariser.teacher_task) {
            told_more(NULL, r, i / GROUP, &task);
            n_other = (int)strlen(task.prompt);
            for (int k = 0; k < n_other; k++) other[k] = (unsigned char)task.prompt[k];
            memcpy(other + n_other, o->tokens, (size_t)o->n_tokens * sizeof(int));
        }
        CHECK(rlvr_logits(m, text, n, z) == RLVR_OK && rlvr_logits(teacher, other, n_other + o->n_tokens, q) == RLVR_OK);
        double scale = d->loss.aggregation == RLVR_AGG_TOKEN_MEAN ? 1.0 / tokens : 1.0 / ROLLOUTS / o->n_tokens;
        for (int k = 0; k < o->n_tokens; k++)
            loss += scale * divergence_of(d->regulariser.distill, beta, z + (o->n_prompt - 1 + k) * V, q + (n_other - 1 + k) * V, V);
    }
    free(z);
    free(q);
    return loss;
}

/* A step that distils and does nothing else: its gradient along the gradient and across it, by differences of the loss. */
static void test_distill(void)
{
    double worst = 0;
    for (int kind = 0; kind <= RLVR_DISTILL_JSD; kind++)
        for (int aggregation = 0; aggregation < 2; aggregation++)
            for (int with_kl = 0; with_kl < 4; with_kl++) {      /* from 2 on: the teacher reads other prompts; 3: it is the policy itself */
                if (quick && (kind + with_kl) % 3 != aggregation) continue;
                rlvr_ctx *ctx = open_ctx();
                rlvr_model *m = small_model(ctx);
                rlvr_trainer_desc d = description();
                rlvr_preset(RLVR_RLOO, &d);
                d.reward.fn = same;
                d.loss.aggregation = (rlvr_aggregation)aggregation;
                d.regulariser.teacher = teacher_model(ctx, 258, 40, "<|end|>");
                d.regulariser.distill = (rlvr_distill)kind;
                d.regulariser.distill_coef = 0.7f;
                if (kind == RLVR_DISTILL_JSD && aggregation) d.regulariser.distill_beta = 0.2f;
                if (with_kl) d.micro_tokens = 40;      /* several packs */
                if (with_kl % 3) d.loss.kl_coef = 1e-20f;      /* the teacher is asked twice */
                if (with_kl == 1 && aggregation) d.regulariser.kl_reward = 1e-20f;      /* ... and before the advantages already */
                if (with_kl > 1) { d.regulariser.teacher_task = told_more; d.regulariser.teacher_prompt_tokens = 22; }
                rlvr_model *teacher = with_kl == 3 ? small_model(ctx) : d.regulariser.teacher;
                if (with_kl == 3) d.regulariser.teacher = m;
                rlvr_trainer *t = test_open_trainer(m, &d);
                hand h;
                if (!t || !hand_step(&h, m, t, &d)) { rlvr_close(ctx); continue; }
                size_t bytes = (size_t)m->n_floats * sizeof(float);
                float *after = (float *)malloc(bytes);
                double length = 0, here;
                memcpy(after, m->weights, bytes);
                memcpy(m->weights, h.before, bytes);
                here = distill_loss(m, teacher, &d, rlvr_trainer_rollouts(t));
                CHECK(!h.metrics.skipped && h.metrics.distill > (with_kl == 3 ? 0.001 : 0.1));
                CHECK_LE(fabs(h.metrics.distill - here), 1e-4 * here);
                CHECK_LE(fabs(h.metrics.loss - 0.7 * here), 1e-4 * here);
                for (int64_t i = 0; i < m->n_floats; i++) length += (double)h.grads[i] * (double)h.grads[i];
                length = sqrt(length);
                for (int along = 0; along < (quick ? 2 : 6); along++) {      /* the gradient itself, then parts of it by a hash */
                    static const int steps[] = {1, -1, 2, -2};
                    double f[4], slope = 0, step = 2e-2 / length;
                    for (int side = 0; side < 4; side++) {
                        for (int64_t i = 0; i < m->n_floats; i++) {
                            bool in = !along || rlvr_uniform((uint64_t)along, (uint32_t)i, 0, 0, 0) < 0.5f;
                            m->weights[i] = h.before[i] + (in ? (float)(steps[side] * step * (double)h.grads[i]) : 0);
                            slope += side || !in ? 0 : (double)h.grads[i] * (double)h.grads[i];
                        }
                        f[side] = distill_loss(m, teacher, &d, rlvr_trainer_rollouts(t));
                    }
                    worst = fmax(worst, fabs((double)0.7f * (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * step) - slope) / (length * length));
                }
                memcpy(m->weights, after, bytes);
                free(after);
                hand_free(&h);
                rlvr_close(ctx);
            }
    CHECK_LE(worst, 2e-3);
    REPORT("distillation of whole distributions: slopes along the gradient and parts of it within %.1e of differences", worst);
}

/* A teacher with prompts of its own, another model or the policy itself: the step is that of its log-probabilities behind those. */
static void test_teacher_prompts(void)
{
    for (int kind = 0; kind < 3; kind++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        rlvr_preset(RLVR_RLOO, &d);
        d.reward.fn = same;
        d.loss.kl = kind == 2 ? RLVR_KL_K1 : RLVR_KL_K2;
        *(kind == 2 ? &d.regulariser.kl_reward : &d.loss.kl_coef) = 0.7f;
        d.regulariser.teacher = kind == 1 ? m : teacher_model(ctx, 258, 40, "<|end|>");
        d.regulariser.teacher_task = told_more;
        d.regulariser.teacher_prompt_tokens = 22;
        d.micro_tokens = 40;
        rlvr_trainer *t = test_open_trainer(m, &d);
        hand h;
        for (int step = 0; step < 2 && t && hand_step(&h, m, t, &d); step++) {
            size_t bytes = (size_t)m->n_floats * sizeof(float);
            float lessened[ROLLOUTS], minus[TOKENS] = {0}, all[64], *after = (float *)malloc(bytes);
            memcpy(after, m->weights, bytes);
            memcpy(m->weights, h.before, bytes);
            for (int i = 0; i < ROLLOUTS; i++) {
                const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
                rlvr_task task;
                int text[64], n = 0;
                told_more(NULL, rlvr_trainer_rollouts(t), i / GROUP, &task);
                for (; task.prompt[n]; n++) text[n] = (unsigned char)task.prompt[n];
                memcpy(text + n, o->tokens, (size_t)o->n_tokens * sizeof(int));
                CHECK(rlvr_score(d.regulariser.teacher, text, n + o->n_tokens, NULL, all) == RLVR_OK);
                memcpy(h.ref + h.offset[i], all + n - 1, (size_t)o->n_tokens * sizeof(float));
            }
            memcpy(m->weights, after, bytes);
            free(after);
            rlvr_kl_reward(d.loss.kl, 1, h.logprob, h.ref, h.n, minus);
            for (int i = 0; i < ROLLOUTS; i++) {
                lessened[i] = h.reward[i];
                for (int k = h.offset[i]; k < h.offset[i + 1]; k++) lessened[i] += 0.7f * minus[k];
            }
            if (kind == 2) h.batch.reward = lessened;
            CHECK_LE(hand_gradient(&h, m, t), 2e-5);
            CHECK(t->reference == NULL && !h.metrics.skipped);
            hand_free(&h);
        }
        rlvr_close(ctx);
    }
}

/* The policy comes near its teacher by whole distributions, the same bits for any number of threads. */
static void test_distill_learning(void)
{
    enum { SEEN = 10 };
    int steps = quick ? SEEN : 100;      /* quick: for the bits alone */
    for (int kind = 0; kind < (quick ? 1 : RLVR_DISTILL_JSD + 1); kind++) {
        uint64_t hash[2];
        double first = 0, last = 0;
        for (int threads = 0; threads < (kind ? 1 : 2); threads++) {
            rlvr_desc desc;
            memset(&desc, 0, sizeof desc);
            desc.n_threads = 1 + 2 * threads;
            desc.quiet = true;
            rlvr_ctx *ctx = rlvr_open(&desc);
            rlvr_model *m = small_model(ctx);
            rlvr_trainer_desc d = description();
            d.reward.fn = same;
            d.optim.lr = 1e-2f;
            d.regulariser.teacher = teacher_model(ctx, 258, 32, "<|end|>");
            d.regulariser.distill = (rlvr_distill)kind;
            d.regulariser.distill_coef = 1;
            rlvr_trainer *t = test_open_trainer(m, &d);
            for (int step = 0; t && step < steps; step++) {
                rlvr_metrics metrics;
                CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
                if (!threads && step < SEEN) first += metrics.distill / SEEN;
                if (!threads && step >= steps - SEEN) last += metrics.distill / SEEN;
            }
            hash[threads] = rlvr_model_hash(m);
            rlvr_close(ctx);
        }
        CHECK(kind || hash[0] == hash[1]);
        REPORT("distillation of whole distributions, %s: %.3f in the first steps, %.3f in the last", kind == RLVR_DISTILL_REVERSE_KL ? "reverse_kl" :
               kind == RLVR_DISTILL_FORWARD_KL ? "forward_kl" : "jsd", first, last);
        CHECK(quick || last < 0.7 * first);
    }
}

/* What cannot be a teacher, and what one costs. */
static void test_teacher_door(void)
{
    static const char *const word[] = {"policy itself", "another context", "vocabulary", "smaller context", "token 256", "nothing asks it", "stands still",
        "context does not hold", "teacher_prompt_tokens is below", "there is no teacher_task"};
    for (int k = 0; k < (int)(sizeof word / sizeof *word); k++) {
        rlvr_ctx *ctx = open_ctx(), *other = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_memory plan;
        rlvr_trainer_desc d = description();
        d.loss.kl_coef = k == 5 ? 0 : 1;
        d.regulariser.ref_refresh = k == 6;
        if (k == 7 || k == 8) d.regulariser.teacher_task = told_more;
        if (k >= 7) d.regulariser.teacher_prompt_tokens = k == 7 ? 30 : k == 8 ? -1 : 5;
        d.regulariser.teacher = k == 0 ? m : teacher_model(k == 1 ? other : ctx, k == 2 ? 259 : 258, k == 3 ? 31 : 32, k == 2 ? NULL : "<|end|>");
        if (k == 4) {      /* one more byte's token, in the place of the policy's special one */
            rlvr__tokenizer *z = d.regulariser.teacher->tokenizer;
            z->kind[256] = 0;
            z->text[z->begin[256]] = '[';
        }
        CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "regulariser.teacher"));
        if (!CHECK(strstr(rlvr_last_error(ctx), word[k]))) printf("    %s: %s\n", word[k], rlvr_last_error(ctx));
        CHECK(rlvr_trainer_open(m, &d) == NULL);
        rlvr_close(ctx);
        rlvr_close(other);
    }
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_memory with, without;
    rlvr_trainer_desc d = description();
    d.loss.kl_coef = 1;
    CHECK(rlvr_memory_plan(m, &d, &without) == RLVR_OK);
    rlvr_model *teacher = d.regulariser.teacher = teacher_model(ctx, 258, 32, "<|end|>");
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK);
    CHECK(without.reference == m->n_floats * 4 && with.reference == (teacher->n_floats + 32 * 4) * 4);
    CHECK(with.kv_cache > without.kv_cache && with.activations > without.activations && with.scratch > without.scratch);
    d.memory_limit = with.total - 1;
    CHECK(rlvr_memory_plan(m, &d, &without) == RLVR_ERROR_MEMORY || without.total < with.total);
    rlvr_close(ctx);
}

/* ---- coefficients and a reference that move ---- */

static rlvr_trainer_desc moving(int kind)
{
    rlvr_trainer_desc d = description();
    rlvr_preset(kind == 2 ? RLVR_PPO : RLVR_RLOO, &d);
    if (kind == 1) d.loss.kl_coef = 0.5f;
    else d.regulariser.kl_reward = 0.5f;
    d.regulariser.kl_target = 0.002f;
    d.regulariser.kl_horizon = 30;
    d.regulariser.entropy_target = kind == 1 ? 1 : 100;
    d.regulariser.entropy_delta = 0.003f;
    d.loss.entropy_coef = 0.004f;
    d.regulariser.ref_refresh = 3;
    d.regulariser.ref_mix = kind == 1 ? 0 : 0.25f;
    return d;
}

/* The coefficients are those of rlvr_adapt_kl() and rlvr_adapt_entropy() on the metrics, and a run that is killed goes on with the
   same bits; kind 0: in the reward, 1: in the loss, 2: in the reward of PPO. */
static void test_moving(void)
{
    enum { STEPS = 7 };
    for (int kind = 0; kind < 3; kind++) {
        const char *path = "build/test_algorithms.checkpoint";
        rlvr_trainer_desc d = moving(kind);
        uint64_t hash[STEPS];
        double kl_coef[STEPS], entropy_coef[STEPS];
        float coef = 0.5f, entropy = 0.004f;
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer *t = test_open_trainer(m, &d);
        int up = 0, down = 0;
        for (int step = 0; t && step < STEPS; step++) {
            rlvr_metrics metrics;
            size_t bytes = (size_t)m->n_floats * sizeof(float);
            float *reference = (float *)malloc(bytes);
            memcpy(reference, t->reference, bytes);
            CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
            CHECK(metrics.kl_coef == (double)coef && metrics.entropy_coef == (double)entropy);
            float next = rlvr_adapt_kl(coef, metrics.kl, (double)0.002f, ROLLOUTS, 30);
            up += next > coef;
            down += next < coef;
            coef = next;
            entropy = rlvr_adapt_entropy(entropy, metrics.entropy, (double)d.regulariser.entropy_target, 0.003f);
            bool changed = false, mixed = true;
            for (int64_t i = 0; i < m->n_floats; i++) {
                double share = d.regulariser.ref_mix == 0 ? 1 : (double)d.regulariser.ref_mix;
                double want = (double)reference[i] + share * ((double)m->weights[i] - (double)reference[i]);
                changed |= t->reference[i] != reference[i];
                mixed &= fabs((double)t->reference[i] - want) <= 1e-6 * (1 + fabs(want));
            }
            CHECK(changed == (step % 3 == 2) && (mixed || !changed));
            free(reference);
            hash[step] = rlvr_model_hash(m);
            kl_coef[step] = metrics.kl_coef;
            entropy_coef[step] = metrics.entropy_coef;
            if (step == 3) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        }
        CHECK(up > 0 && down > 0);
        CHECK((entropy_coef[1] > entropy_coef[0]) == (d.regulariser.entropy_target > 50));
        if (kind == 1) CHECK(entropy_coef[STEPS - 1] == 0);
        rlvr_close(ctx);

        ctx = open_ctx();
        m = small_model(ctx);
        t = test_open_trainer(m, &d);
        CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int step = 4; step < STEPS; step++) {
            rlvr_metrics metrics;
            CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
            CHECK(rlvr_model_hash(m) == hash[step] && metrics.kl_coef == kl_coef[step] && metrics.entropy_coef == entropy_coef[step]);
        }
        rlvr_close(ctx);

        /* a checkpoint without the coefficient is refused by name */
        d.regulariser.kl_target = d.regulariser.kl_horizon = 0;
        ctx = open_ctx();
        m = small_model(ctx);
        t = test_open_trainer(m, &d);
        CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        rlvr_trainer_close(t);
        d = moving(kind);
        t = test_open_trainer(m, &d);
        CHECK(rlvr_trainer_resume(t, path) == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "kl_coef"));
        rlvr_close(ctx);
        remove(path);
    }
}

/* ---- KL-Cov and Clip-Cov ---- */

static void test_covariance(void)
{
    for (int kind = 0; kind < 2; kind++) {      /* 0: Clip-Cov, 1: KL-Cov */
        unsigned char chosen[2][TOKENS];
        float *grads[2] = {NULL, NULL}, *weights[2] = {NULL, NULL};
        double worst = 0, largest = 0;
        int n_floats = 0;
        for (int micro = 0; micro < 2; micro++) {
            rlvr_ctx *ctx = open_ctx();
            rlvr_model *m = small_model(ctx);
            rlvr_trainer_desc d = description();
            rlvr_preset(kind ? RLVR_KL_COV : RLVR_CLIP_COV, &d);
            d.regulariser.cov_share = 0.2f;
            d.micro_tokens = micro ? 40 : 0;
            d.minibatches = kind ? 3 : 1;
            rlvr_trainer *t = test_open_trainer(m, &d);
            hand h;
            if (!t || !hand_step(&h, m, t, &d)) { rlvr_close(ctx); return; }
            CHECK((t->train.n_slots < 100) == (micro == 1) || t->plan.one_forward);
            float by_token[TOKENS], scratch[2 * TOKENS];
            for (int i = 0; i < ROLLOUTS; i++)
                for (int k = h.offset[i]; k < h.offset[i + 1]; k++) by_token[k] = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->advantage;
            int n = rlvr_covariance_select(h.logprob, by_token, NULL, h.n, 0.2f, scratch, h.selected);
            CHECK(n > 3 && n == h.metrics.n_cov_selected && memcmp(h.selected, t->algorithm.selected, (size_t)h.n) == 0);
            if (!kind) {      /* one update: its gradient by hand, with and without the selection */
                CHECK_LE(hand_gradient(&h, m, t), 1e-5);
                memset(h.selected, 0, sizeof h.selected);
                CHECK(hand_gradient(&h, m, t) > 1e-3);
            }
            memset(chosen[micro], 0, TOKENS);
            memcpy(chosen[micro], t->algorithm.selected, (size_t)h.n);
            n_floats = (int)m->n_floats;
            grads[micro] = h.grads;
            weights[micro] = (float *)malloc((size_t)n_floats * sizeof(float));
            memcpy(weights[micro], m->weights, (size_t)n_floats * sizeof(float));
            free(h.before);
            rlvr_close(ctx);
        }
        CHECK(memcmp(chosen[0], chosen[1], TOKENS) == 0);      /* passes of any size, the same tokens */
        for (int i = 0; i < n_floats; i++) {
            largest = fmax(largest, fabs((double)grads[0][i]));
            worst = fmax(worst, fabs((double)grads[0][i] - (double)grads[1][i]));
        }
        if (!kind) CHECK_LE(worst, 1e-5 * largest);
        for (int i = 0; i < 2; i++) { free(grads[i]); free(weights[i]); }
    }
    /* KL-Cov's penalty is in the second update's loss */
    double loss[2];
    for (int on = 0; on < 2; on++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        rlvr_preset(RLVR_KL_COV, &d);
        d.regulariser.cov_share = 0.3f;
        d.minibatches = 1;
        d.epochs = 2;
        d.loss.kl_cov_coef = on ? 5 : 1e-6f;
        rlvr_trainer *t = test_open_trainer(m, &d);
        rlvr_metrics metrics;
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        loss[on] = metrics.loss;
        rlvr_close(ctx);
    }
    CHECK(loss[1] > loss[0] + 1e-4);
}

/* ---- functions of the caller's ---- */

static rlvr_result own_advantage(void *user, const rlvr_advantage_batch *b, float *advantage)      /* Dr. GRPO once more */
{
    ++*(int *)user;
    for (int i = 0; i < b->n_groups * b->group_size; i++) {
        double sum = 0;
        for (int k = 0; k < b->group_size; k++) sum += (double)b->reward[i / b->group_size * b->group_size + k];
        advantage[i] = (float)((double)b->reward[i] - sum / b->group_size);
    }
    return RLVR_OK;
}
static void own_reinforce(void *user, const rlvr_token *t, double *value, double *slope)
{
    ++*(int *)user;
    *value = -t->advantage * t->logprob;
    *slope = -t->advantage;
}
static double own_token_mean(void *user, const rlvr_token_place *p) { ++*(int *)user; return 1.0 / (double)p->n_tokens_total; }
static double by_root(void *user, const rlvr_token_place *p)      /* neither sequences' nor tokens' mean; later tokens count more */
{
    (void)user;
    return (1 + (double)p->index) / ((double)p->n_seq_total * sqrt((double)p->n));
}
static void own_k2(void *user, const rlvr_token *t, double *value, double *slope)
{
    double x = t->logprob - t->ref_logprob;
    ++*(int *)user;
    *value = 0.5 * x * x;
    *slope = x;
}

/* All four choices as the caller's functions give the bits of ours. */
static void test_own(void)
{
    uint64_t hash[2];
    int called[4] = {0};
    for (int own = 0; own < 2; own++) {
        rlvr_ctx *ctx = open_ctx();
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        d.advantage.kind = RLVR_ADV_DR_GRPO;
        d.loss.kind = RLVR_LOSS_REINFORCE;
        d.loss.aggregation = RLVR_AGG_TOKEN_MEAN;
        d.loss.kl = RLVR_KL_K2;
        d.loss.kl_coef = 0.3f;
        if (own) {
            d.advantage.kind = RLVR_ADV_GRPO;      /* not read */
            d.advantage.fn = own_advantage;        d.advantage.user = &called[0];
            d.loss.fn = own_reinforce;             d.loss.user = &called[1];
            d.loss.aggregation = RLVR_AGG_SEQ_MEAN_TOKEN_SUM;
            d.loss.aggregation_fn = own_token_mean;  d.loss.aggregation_user = &called[2];
            d.loss.kl = RLVR_KL_K3;
            d.loss.regulariser = own_k2;           d.loss.regulariser_user = &called[3];
        }
        rlvr_trainer *t = test_open_trainer(m, &d);
        for (int step = 0; step < 3; step++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        hash[own] = rlvr_model_hash(m);
        rlvr_close(ctx);
    }
    CHECK(hash[0] == hash[1]);
    for (int i = 0; i < 4; i++) CHECK(called[i] > 0);
}

/* verl's DPPO with the divergence of the sampled token alone: |p - p_old| within a bound, or no gradient; and DRO's square. */
static void dppo_tv(void *user, const rlvr_token *t, double *value, double *slope)
{
    double moved = exp(t->logprob) - exp(t->old_logprob), bound = *(double *)user;
    bool out = t->advantage > 0 ? moved > bound : moved < -bound;
    *value = out ? 0 : -t->advantage * t->ratio;
    *slope = out ? 0 : -t->advantage * t->ratio;
}
static void dro(void *user, const rlvr_token *t, double *value, double *slope)
{
    double x = t->logprob - t->old_logprob, beta = *(double *)user;
    *value = -t->advantage * x + 0.5 * beta * x * x;
    *slope = -t->advantage + beta * x;
}
static void wrong_slope(void *user, const rlvr_token *t, double *value, double *slope)
{
    own_reinforce(user, t, value, slope);
    if (t->logprob == -3.25) *slope *= 1.001;
}
static void holds(void *user, const rlvr_token *t, double *value, double *slope)      /* [r] A logprob */
{
    (void)user;
    *value = -t->ratio * t->advantage * t->logprob;
    *slope = -t->ratio * t->advantage;
}

/* ---- the check of gradients ---- */

static double worst_check;
static int n_compared, n_kinks;
static void gradient_case(rlvr_ctx *ctx, const rlvr_loss_desc *d, uint64_t seed)
{
    rlvr_gradient_report r;
    if (!CHECK(rlvr_gradient_check(ctx, d, NULL, 12, seed, &r) == RLVR_OK)) { printf("    %s\n", rlvr_last_error(ctx)); return; }
    CHECK(r.n_compared > 40 && r.token >= 0);
    if (!CHECK(r.worst < 1e-6)) REPORT("kind %d aggregation %d: token %d%s: %g, differences say %g", (int)d->kind, (int)d->aggregation, r.token,
                                       r.entropy ? "'s entropy" : "", r.slope, r.difference);
    worst_check = fmax(worst_check, r.worst);
    n_compared += r.n_compared;
    n_kinks += r.n_kinks;
}

static void test_gradient_check(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_loss_desc d;
    int calls = 0, n = 0;
    double bound = 0.05;
    for (int kind = 0; kind < RLVR_LOSS_KIND_COUNT + 3; kind++)
        for (int aggregation = 0; aggregation <= RLVR_AGG_COUNT; aggregation++)
            for (int extra = 0; extra < 6; extra++) {
                memset(&d, 0, sizeof d);
                d.kind = (rlvr_loss_kind)(kind < RLVR_LOSS_KIND_COUNT ? kind : 0);
                d.user = &bound;
                if (kind == RLVR_LOSS_KIND_COUNT) { d.fn = own_reinforce; d.user = &calls; }
                if (kind == RLVR_LOSS_KIND_COUNT + 1) d.fn = dppo_tv;
                if (kind == RLVR_LOSS_KIND_COUNT + 2) d.fn = dro;
                d.max_tokens = 16;
                if (aggregation == RLVR_AGG_COUNT) d.aggregation_fn = by_root;
                else d.aggregation = (rlvr_aggregation)aggregation;
                if (extra == 1) { d.kl_coef = 0.3f; d.kl = (rlvr_kl)(kind % RLVR_KL_COUNT); }
                if (extra == 2) { d.kl_coef = 0.3f; d.regulariser = own_k2; d.regulariser_user = &calls; }
                if (extra == 3) { d.entropy_coef = 0.02f; d.nll_coef = 0.1f; d.stale_kl = 0.1f; }
                if (extra == 4) d.kl_cov_coef = 0.5f;
                if (extra == 5) d.correction = (rlvr_correction)(1 + kind % (RLVR_IS_COUNT - 1));
                gradient_case(ctx, &d, (uint64_t)n++);
            }
    CHECK(n_kinks * 10 < n_compared);
    REPORT("rlvr_gradient_check: %d losses, %d slopes within %.1e, %d at a kink", n, n_compared, worst_check, n_kinks);
    rlvr_close(ctx);
}

/* It finds one slope that is wrong by a thousandth, says which, and judges no kink. */
static void test_gradient_check_finds(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_loss_desc d;
    rlvr_gradient_report r;
    rlvr_loss_batch b;
    int calls = 0, offset[] = {0, 2, 4};
    float logprob[] = {-1, -2, -3.25f, -1.5f}, old[] = {-1, -2.5f, -3, -1.5f - logf(1.2f)}, advantage[] = {1, -2}, entropy[] = {1, 2, 3, 4};
    memset(&d, 0, sizeof d);
    memset(&b, 0, sizeof b);
    b.n_seq = 2;
    b.offset = offset;
    b.logprob = logprob;
    b.old_logprob = old;
    b.advantage = advantage;
    d.fn = own_reinforce;
    d.user = &calls;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_OK && r.worst < 1e-6 && r.n_compared == 4);
    d.fn = wrong_slope;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_OK && r.token == 2 && r.n_compared == 4);
    CHECK_LE(fabs(r.worst - 1e-3), 1e-5);
    CHECK_LE(fabs(r.slope / r.difference - 1.001), 1e-6);
    d.fn = holds;      /* what a function holds constant by itself is a difference */
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_OK && r.worst > 0.1);
    d.fn = NULL;
    b.entropy = entropy;
    d.entropy_coef = 0.1f;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_OK && r.n_compared == 8 && r.worst < 1e-6);
    advantage[1] = 1;
    old[3] = logprob[3];
    old[0] = logprob[0] - log1pf(0.2f);      /* at the clip's border: a kink, where a difference is half a slope */
    d.clip_eps_high = expf(logprob[0] - old[0]) - 1;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_OK && r.worst < 1e-5 && r.n_kinks == 1);
    CHECK(logprob[0] == -1 && entropy[3] == 4);      /* the caller's arrays are as before */
    /* what is wrong is said, never passed over */
    d.kl_coef = 1;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "ref_logprob") && r.token == -1);
    d.kl_coef = 0;
    logprob[1] = NAN;
    CHECK(rlvr_gradient_check(ctx, &d, &b, 0, 0, &r) == RLVR_ERROR_NUMERIC && r.token == -1);
    CHECK(rlvr_gradient_check(ctx, &d, NULL, 0, 0, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "n_seq"));
    d.kind = (rlvr_loss_kind)99;
    CHECK(rlvr_gradient_check(ctx, &d, NULL, 4, 0, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "kind"));
    rlvr_close(ctx);
}

/* ---- what does not go together ---- */

static void refused(const rlvr_trainer_desc *d, const char *field, const char *word, int line)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    rlvr_memory plan;
    rlvr_trainer *t = rlvr_trainer_open(m, d);
    bool ok = !t && strstr(rlvr_last_error(ctx), field) && strstr(rlvr_last_error(ctx), word) && rlvr_memory_plan(m, d, &plan) == RLVR_ERROR_ARGUMENT;
    if (!test_check(ok, __FILE__, line, word)) printf("    %s: %s\n", t ? "opened" : "refused", rlvr_last_error(ctx));
    rlvr_close(ctx);
}

static void test_refusals(void)
{
    rlvr_trainer_desc d;
    rlvr_reward_desc parts[2];
    memset(parts, 0, sizeof parts);
    parts[0].fn = even;
    parts[1].fn = first_low;
#define REFUSED(set, field, word) do { d = description(); set; refused(&d, "rlvr_trainer_desc." field, word, __LINE__); } while (0)
    REFUSED(d.regulariser.kl_reward = -1, "regulariser", "kl_reward");
    REFUSED(d.regulariser.kl_reward = NAN, "regulariser", "kl_reward");
    REFUSED(d.regulariser.kl_target = 0.1f, "regulariser", "kl_target needs");
    REFUSED((d.regulariser.kl_target = 0.1f, d.regulariser.kl_reward = d.loss.kl_coef = 0.1f), "regulariser", "not both");
    REFUSED((d.regulariser.kl_horizon = 5, d.loss.kl_coef = 0.1f), "regulariser", "kl_horizon needs");
    REFUSED((d.regulariser.kl_horizon = 0.5f, d.regulariser.kl_target = 1, d.loss.kl_coef = 0.1f), "regulariser", "kl_horizon");
    REFUSED(d.regulariser.entropy_delta = 1, "regulariser", "entropy_delta needs");
    REFUSED(d.regulariser.entropy_target = -1, "regulariser", "entropy_target");
    REFUSED((d.regulariser.entropy_target = 1, d.loss.entropy_coef = -1), "regulariser", "entropy_target needs");
    REFUSED(d.regulariser.ref_refresh = 3, "regulariser", "there is no reference");
    REFUSED((d.regulariser.ref_refresh = -3, d.loss.kl_coef = 1), "regulariser", "ref_refresh");
    REFUSED((d.regulariser.ref_mix = 0.5f, d.loss.kl_coef = 1), "regulariser", "ref_mix needs");
    REFUSED((d.regulariser.ref_mix = 2, d.regulariser.ref_refresh = 1, d.loss.kl_coef = 1), "regulariser", "ref_mix is not");
    REFUSED(d.regulariser.cov_share = 1.5f, "regulariser", "cov_share");
    REFUSED(d.loss.kl_cov_coef = 1, "regulariser", "kl_cov_coef needs");
    REFUSED(d.regulariser.explore_coef = -1, "regulariser", "explore_coef is not");
    REFUSED((d.regulariser.explore_coef = 1, d.regulariser.explore_ridge = -1), "regulariser", "explore_ridge is not");
    REFUSED(d.regulariser.explore_ridge = 1, "regulariser", "explore_ridge needs");
    REFUSED((d.regulariser.explore_coef = 1, d.group_size = 1, d.advantage.kind = RLVR_ADV_REINFORCE), "regulariser", "group_size is 1");
    REFUSED((d.regulariser.explore_coef = 1, d.advantage.kind = RLVR_ADV_GDPO), "advantage", "explore_coef");
    REFUSED(d.regulariser.distill_coef = 1, "regulariser", "distill_coef needs a teacher");
    REFUSED(d.regulariser.teacher_task = told_more, "regulariser.teacher", "need one");
    REFUSED(d.regulariser.distill_coef = -1, "regulariser", "distill_coef is not within");
    REFUSED(d.regulariser.distill = RLVR_DISTILL_JSD, "regulariser", "need distill_coef");
    REFUSED(d.regulariser.distill = RLVR_DISTILL_COUNT, "regulariser", "no divergence");
    REFUSED(d.loss.kl_cov_coef = -1, "loss", "kl_cov_coef");
    REFUSED(d.advantage.eps = -1, "advantage", "eps");
    REFUSED(d.advantage.positive_scale = INFINITY, "advantage", "scale");
    REFUSED((d.advantage.positive_scale = -1, d.advantage.negative_scale = -1), "advantage", "nothing would be used");
    REFUSED(d.advantage.k = 2, "advantage", "pass_at_k's");
    REFUSED(d.advantage.beta = 2, "advantage", "a2po's");
    REFUSED((d.advantage.kind = RLVR_ADV_A2PO, d.advantage.beta = -2), "advantage", "beta");
    REFUSED((d.advantage.kind = RLVR_ADV_A2PO, d.advantage.k = 5000), "advantage", "4096");
    REFUSED((d.advantage.kind = RLVR_ADV_OPTIMAL_TOKEN, d.loss.kind = RLVR_LOSS_GSPO), "advantage", "optimal_token");
    REFUSED((d.advantage.kind = RLVR_ADV_DISCO, d.epochs = 2), "advantage", "one update a step");
    REFUSED(d.advantage.tau = 2, "advantage", "disco's");
    REFUSED(d.advantage.rho = 0.5f, "advantage", "rho is spo's");
    REFUSED((d.advantage.kind = RLVR_ADV_SPO, d.advantage.rho = 2), "advantage", "rho is not within");
    REFUSED(d.advantage.kind = RLVR_ADV_SPO, "advantage", "needs tasks, a list");
    REFUSED((d.value.on = true, d.loss.kind = RLVR_LOSS_A2PO), "value", "a2po");
    REFUSED((d.advantage.kind = RLVR_ADV_PASS_AT_K, d.advantage.k = GROUP + 1), "advantage", "group_size");
    REFUSED(d.group_size = 1, "advantage", "group_size is 1");
    REFUSED(d.sampling.greedy = true, "advantage", "sampling.greedy");
    REFUSED((d.advantage.kind = RLVR_ADV_REMAX, d.sampling.greedy = true), "advantage", "remax");
    REFUSED((d.advantage.kind = RLVR_ADV_GDPO, d.regulariser.kl_reward = 0.1f), "advantage", "gdpo");
    REFUSED((d.advantage.kind = RLVR_ADV_GDPO, d.reward.fn = NULL, d.reward.kind = RLVR_REWARD_COMPOSE, d.reward.parts = parts, d.reward.n_parts = 2,
             d.reward.options = "{\"normalize\":\"gdpo\"}"), "advantage", "normalize");
    REFUSED((d.value.on = true, d.advantage.kind = RLVR_ADV_RLOO), "value", "advantage.kind");
    REFUSED((d.value.on = true, d.advantage.negative_scale = 0.5f), "value", "negative_scale");
    REFUSED((d.value.on = true, d.loss.kind = RLVR_LOSS_GSPO), "value", "gspo");
    REFUSED((d.value.on = true, d.loss.kind = RLVR_LOSS_GMPO), "value", "gmpo");
    REFUSED(d.loss.regulariser = own_k2, "loss", "kl_coef");
    REFUSED((d.loss.kind = RLVR_LOSS_SAPO, d.loss.dual_clip = 3), "loss", "dual_clip");
    REFUSED(d.loss.correction = RLVR_IS_TOKEN_MASK, "loss", "correction");
    REFUSED((rlvr_preset(RLVR_DAPO, &d), d.plan.overlong_cache = 99), "plan", "overlong_cache");
    REFUSED((rlvr_preset(RLVR_GSPO, &d), d.prompts_per_step = 2), "minibatches", "not within");
#undef REFUSED
    /* and what only looks odd is not refused */
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = small_model(ctx);
    d = description();
    d.group_size = 1;
    d.advantage.kind = RLVR_ADV_REINFORCE;
    rlvr_trainer *t = test_open_trainer(m, &d);
    rlvr_trainer_close(t);
    d = description();
    d.group_size = 1;
    d.loss.entropy_coef = 0.1f;
    rlvr_trainer_close(test_open_trainer(m, &d));
    rlvr_close(ctx);
}

/* ---- memory ---- */

/* No allocation in a step after the first, whatever the algorithm holds. */
static void test_allocations(void)
{
    for (int k = 0; k < 5; k++) {
        test_counter c;
        rlvr_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.n_threads = 1;
        desc.quiet = true;
        test_count(&desc, &c);
        rlvr_ctx *ctx = rlvr_open(&desc);
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = description();
        rlvr_reward_desc parts[2];
        memset(parts, 0, sizeof parts);
        parts[0].fn = even;
        parts[1].fn = first_low;
        rlvr_preset(k == 0 ? RLVR_REMAX : k == 1 ? RLVR_GDPO : k == 4 ? RLVR_SPO : RLVR_KL_COV, &d);
        if (k == 4) { d.task_fn = NULL; d.tasks = numbered(ctx, PROMPTS); d.regulariser.explore_coef = 0.1f; }
        if (k == 1) { d.reward.fn = NULL; d.reward.kind = RLVR_REWARD_COMPOSE; d.reward.parts = parts; d.reward.n_parts = 2; }
        else d.regulariser.kl_reward = 0.1f;
        d.regulariser.cov_share = 0.1f;
        if (k == 3) d.regulariser.teacher = teacher_model(ctx, 258, 32, "<|end|>");
        d.optim.lr = 1e-5f;      /* completions keep their lengths */
        rlvr_trainer *t = test_open_trainer(m, &d);
        for (int step = 0; step < 4; step++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);      /* every prompt has been asked */
        int64_t after = c.calls;
        for (int step = 0; step < 4; step++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        (void)after;
#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later */
        CHECK_LE(c.calls, after);
#endif
        rlvr_tasks_free(d.tasks);
        rlvr_close(ctx);
    }
}

int main(void)
{
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_names();
    test_refusals();
    test_gradient_check();
    test_gradient_check_finds();
    test_presets();
    test_by_hand();
    test_nll();
    test_remax();
    test_spo();
    test_spo_curriculum();
    test_spo_resume();
    test_spo_learning();
    test_a2po();
    test_optimal_token();
    test_gdpo_parts();
    test_kl_reward();
    test_explore();
    test_teacher_by_hand();
    test_teacher_learning();
    test_distill();
    test_teacher_prompts();
    test_distill_learning();
    test_teacher_door();
    test_moving();
    test_covariance();
    test_own();
    test_allocations();
    return test_done();
}
