/* Heads, value functions and PPO: gradients, replay, what must not move, and a chain whose values are known. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static bool quick;

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

static rlvr_model *small_model(rlvr_ctx *ctx, int width, uint64_t seed)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 257; d.n_ctx = 64; d.d_model = width; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 40;
    d.tied = true; d.seed = seed; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 1);
    return m;
}

/* ---- pure functions ---- */

static double value_loss_double(float clip, const double *v, const float *old, const float *target, const unsigned char *mask, int n)
{
    double sum = 0, count = 0;
    for (int i = 0; i < n; i++) {
        if (!mask[i]) continue;
        double held = clip > 0 ? fmin(fmax(v[i], (double)old[i] - (double)clip), (double)old[i] + (double)clip) : v[i];
        double a = v[i] - (double)target[i], b = held - (double)target[i];
        sum += 0.5 * fmax(a * a, b * b);
        count++;
    }
    return sum / count;
}

static void test_value_loss(void)
{
    enum { N = 40 };
    float value[N], old[N], target[N], grad[N], part[N];
    unsigned char mask[N];
    double worst = 0;
    int clipped = 0;
    for (int round = 0; round < 3; round++) {
        float clip = round == 0 ? 0.2f : round == 1 ? 0.05f : -1.0f;
        rlvr_value_stats stats, half;
        for (int i = 0; i < N; i++) {
            value[i] = 2 * rlvr_uniform(1, (uint32_t)round, (uint32_t)i, 0, 0) - 1;
            old[i] = value[i] + rlvr_uniform(1, (uint32_t)round, (uint32_t)i, 1, 0) - 0.5f;
            target[i] = 3 * rlvr_uniform(1, (uint32_t)round, (uint32_t)i, 2, 0) - 1.5f;
            mask[i] = i % 7 != 3;
        }
        CHECK(rlvr_value_loss(clip, value, old, target, mask, N, 0, grad, &stats) == RLVR_OK);
        for (int i = 0; i < N; i++) {
            double x[N], side[2], h = 1e-6;
            for (int s = 0; s < 2; s++) {
                for (int k = 0; k < N; k++) x[k] = (double)value[k] + (k == i ? (s ? -h : h) : 0);
                side[s] = value_loss_double(clip, x, old, target, mask, N);
            }
            double numeric = (side[0] - side[1]) / (2 * h);
            worst = fmax(worst, fabs(numeric - (double)grad[i]));
            if (!mask[i]) CHECK(grad[i] == 0);
        }
        double x[N];
        for (int k = 0; k < N; k++) x[k] = (double)value[k];
        CHECK_LE(fabs(stats.loss - value_loss_double(clip, x, old, target, mask, N)), 1e-12);
        clipped += stats.clipped > 0;
        CHECK((stats.clipped > 0) == (clip > 0));
        /* two micro-batches with the whole's total: the same gradient as bits, losses that add up */
        double sum = 0;
        for (int s = 0; s < 2; s++) {
            int from = s * 15, n = s ? N - 15 : 15;
            CHECK(rlvr_value_loss(clip, value + from, old + from, target + from, mask + from, n, stats.n_tokens, part + from, &half) == RLVR_OK);
            sum += half.loss;
        }
        CHECK(!memcmp(part, grad, sizeof grad));
        CHECK_LE(fabs(sum - stats.loss), 1e-12);
    }
    CHECK(clipped == 2);
    CHECK_LE(worst, 1e-7);
    REPORT("value loss: gradient within %.1e of finite differences", worst);
    /* by hand: V 1, old 0, R 2, clip 0.2: V' = 0.2, errors 1 and 1.8; the larger one is flat */
    float v = 1, o = 0, r = 2, g;
    rlvr_value_stats st;
    CHECK(rlvr_value_loss(0.2f, &v, &o, &r, NULL, 1, 0, &g, &st) == RLVR_OK && g == 0 && fabs(st.loss - 0.5 * 1.8 * 1.8) < 1e-6 && st.clipped == 1);
    CHECK(rlvr_value_loss(0, &v, &o, &r, NULL, 1, 0, &g, &st) == RLVR_OK && g == -1 && st.loss == 0.5 && st.clipped == 0);
    v = NAN;
    CHECK(rlvr_value_loss(0.2f, &v, &o, &r, NULL, 1, 0, &g, &st) == RLVR_ERROR_NUMERIC && g == 0);
}

static void test_whiten(void)
{
    float x[6] = {1, 2, 3, 4, 100, NAN}, same[5] = {0.95f, 0.95f, 0.95f, 7, 0.95f}, y[2] = {0.1f, 0.1f};
    unsigned char mask[6] = {1, 1, 1, 1, 0, 0}, but[5] = {1, 1, 1, 0, 1};
    rlvr_whiten(x, mask, 6);
    double want[4] = {-1.5, -0.5, 0.5, 1.5};      /* over 1 .. 4: mean 2.5, variance 5/3 */
    for (int i = 0; i < 4; i++) CHECK_LE(fabs((double)x[i] - want[i] / sqrt(5.0 / 3.0 + 1e-8)), 1e-6);
    CHECK(x[4] == 0 && x[5] == 0);
    rlvr_whiten(same, but, 5);
    for (int i = 0; i < 5; i++) CHECK(same[i] == 0);
    rlvr_whiten(y, NULL, 1);
    CHECK(y[0] == 0);
    float r[4] = {1, 2, 3, 4}, half[4] = {0.5f, 1, 1.5f, 2}, shifted[4] = {11, 12, 13, 14}, flat[4] = {3, 3, 3, 3};
    CHECK(rlvr_explained_variance(r, r, NULL, 4) == 1 && rlvr_explained_variance(shifted, r, NULL, 4) == 1);
    CHECK(rlvr_explained_variance(flat, r, NULL, 4) == 0 && rlvr_explained_variance(r, flat, NULL, 4) == 0);
    CHECK_LE(fabs(rlvr_explained_variance(half, r, NULL, 4) - 0.75), 1e-12);
}

/* ---- heads ---- */

static void test_head(void)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, 24, 3);
    const char *path = "build/test_values_head.safetensors";
    float w[25], u[25], a[64], b[64];
    int tokens[64];
    for (int i = 0; i < 64; i++) tokens[i] = (i * 31 + 7) % 257;
    rlvr_head *zero = rlvr_head_new(m, 0, 0), *h = rlvr_head_new(m, 0.1f, 4), *same = rlvr_head_new(m, 0.1f, 4);
    rlvr_head_get(zero, false, w);
    for (int i = 0; i < 25; i++) CHECK(w[i] == 0);
    CHECK(rlvr_head_values(zero, tokens, 64, a) == RLVR_OK);
    for (int i = 0; i < 64; i++) CHECK(a[i] == 0);
    rlvr_head_get(h, false, w);
    rlvr_head_get(same, false, u);
    CHECK(!memcmp(w, u, sizeof w) && w[0] != 0 && w[24] == 0);
    w[24] = 0.25f;
    CHECK(rlvr_head_set(h, w) == RLVR_OK);
    /* saved and loaded: the same bits; the file's names are those that transformers' sequence classifiers have */
    CHECK(rlvr_head_save(h, path) == RLVR_OK);
    rlvr_head *loaded = rlvr_head_load(m, path);
    CHECK(loaded != NULL && rlvr_head_model(loaded) == m);
    CHECK(rlvr_head_values(h, tokens, 64, a) == RLVR_OK && rlvr_head_values(loaded, tokens, 64, b) == RLVR_OK && !memcmp(a, b, sizeof a));
    /* a value depends on the tokens before it alone, whatever stands behind and however it is run */
    for (int n = 1; n < 64; n += 9) CHECK(rlvr_head_values(loaded, tokens, n, b) == RLVR_OK && !memcmp(a, b, (size_t)n * sizeof(float)));
    /* bad input */
    rlvr_model *wide = small_model(ctx, 32, 3);
    CHECK(rlvr_head_load(wide, path) == NULL && strstr(rlvr_last_error(ctx), "score.weight"));
    CHECK(rlvr_head_load(m, "build/none.safetensors") == NULL);
    CHECK(rlvr_head_new(m, NAN, 0) == NULL && strstr(rlvr_last_error(ctx), "init_std"));
    CHECK(rlvr_head_values(h, tokens, 65, a) == RLVR_ERROR_CONTEXT);
    CHECK(rlvr_head_values(h, tokens, 0, a) == RLVR_ERROR_CONTEXT);
    tokens[3] = 257;
    CHECK(rlvr_head_values(h, tokens, 5, a) == RLVR_ERROR_ARGUMENT);
    w[3] = INFINITY;
    CHECK(rlvr_head_set(h, w) == RLVR_ERROR_NUMERIC);
    CHECK(truncate(path, 100) == 0 && rlvr_head_load(m, path) == NULL);
    rlvr_head_free(h);
    rlvr_head_free(NULL);
    rlvr_close(ctx);
    remove(path);
}

static double weighted_values(rlvr_head *h, const int *tokens, const int *offset, int n_seq, const float *weight)
{
    float value[64];
    double sum = 0;
    for (int s = 0; s < n_seq; s++) {
        CHECK(rlvr_head_values(h, tokens + offset[s], offset[s + 1] - offset[s], value) == RLVR_OK);
        for (int i = offset[s]; i < offset[s + 1]; i++) sum += (double)weight[i] * (double)value[i - offset[s]];
    }
    return sum;
}

/* Finite differences of sum weight * value through head and trunk, along the gradient of each tensor. */
static void test_head_gradient(bool own_critic)
{
    static const char *const names[] = {"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight",
        "model.layers.1.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight", "model.layers.0.mlp.gate_proj.weight",
        "model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.down_proj.weight", "model.layers.0.input_layernorm.weight",
        "model.layers.1.post_attention_layernorm.weight", "model.norm.weight"};
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *policy = small_model(ctx, 24, 3), *m = own_critic ? small_model(ctx, 32, 8) : policy;
    int D = m->info.d_model, tokens[30], offset[4] = {0, 12, 12, 30};
    rlvr_head *h = rlvr_head_new(m, 0.3f, 5);
    float weight[30], value[30], first[33], w[33], g[33];
    double worst = 0;
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.value.on = true;
    d.value.critic = own_critic ? m : NULL;
    d.value.head = h;
    rlvr_trainer *t = rlvr_trainer_open(policy, &d);
    CHECK(t != NULL && rlvr_trainer_head(t) == h);
    for (int i = 0; i < 30; i++) { tokens[i] = (i * 37 + 5) % 257; weight[i] = i % 4 == 1 ? 0 : 0.2f * (float)(i % 5) - 0.35f; }
    CHECK(rlvr_grad_values(t, tokens, offset, 3, weight, value) == RLVR_OK);
    /* what it says is what rlvr_head_values() says, as bits */
    float alone[30];
    for (int s = 0; s < 3; s++) {
        int n = offset[s + 1] - offset[s];
        if (n) CHECK(rlvr_head_values(h, tokens + offset[s], n, alone + offset[s]) == RLVR_OK);
    }
    for (int i = 0; i < 30; i++) CHECK(weight[i] == 0 ? value[i] == 0 : value[i] == alone[i]);
    int pairs[3] = {0, 12, 30};
    /* the head is linear: its gradient is exact up to rounding */
    rlvr_head_get(h, false, first);
    rlvr_head_get(h, true, g);
    for (int part = 0; part < 2; part++) {
        double length = 0, side[2];
        for (int k = part ? D : 0; k < (part ? D + 1 : D); k++) length += (double)g[k] * (double)g[k];
        length = sqrt(length);
        CHECK(length > 1e-3);
        for (int sign = 0; sign < 2; sign++) {
            memcpy(w, first, sizeof w);
            for (int k = part ? D : 0; k < (part ? D + 1 : D); k++) w[k] += (float)((sign ? -0.1 : 0.1) * (double)g[k] / length);
            CHECK(rlvr_head_set(h, w) == RLVR_OK);
            side[sign] = weighted_values(h, tokens, pairs, 2, weight);
        }
        CHECK_LE(fabs((side[0] - side[1]) / 0.2 - length), 1e-4 * length);
    }
    CHECK(rlvr_head_set(h, first) == RLVR_OK);
    for (size_t p = 0; p < sizeof names / sizeof *names; p++) {
        const rlvr__view *v = NULL;
        for (int i = 0; i < m->n_views; i++) if (!strcmp(m->views[i].name, names[p])) v = &m->views[i];
        int64_t n = v->rows * v->cols;
        float *x = (float *)malloc((size_t)n * 4), *dx = (float *)malloc((size_t)n * 4), *u = (float *)malloc((size_t)n * 4);
        CHECK(rlvr_model_get(m, names[p], false, x, n) == RLVR_OK && rlvr_model_get(m, names[p], true, dx, n) == RLVR_OK);
        double length = 0, side[2];
        for (int64_t i = 0; i < n; i++) length += (double)dx[i] * (double)dx[i];
        length = sqrt(length);
        for (int sign = 0; sign < 2; sign++) {
            for (int64_t i = 0; i < n; i++) u[i] = (float)((double)x[i] + (sign ? -2e-3 : 2e-3) * (double)dx[i] / length);
            CHECK(rlvr_model_set(m, names[p], u, n) == RLVR_OK);
            side[sign] = weighted_values(h, tokens, pairs, 2, weight);
        }
        CHECK(rlvr_model_set(m, names[p], x, n) == RLVR_OK);
        worst = fmax(worst, fabs((side[0] - side[1]) / 4e-3 - length) / length);
        free(x); free(dx); free(u);
    }
    CHECK_LE(worst, 5e-3);
    REPORT("head through %s: every tensor's gradient within %.1e of finite differences", own_critic ? "a critic of its own" : "the policy's trunk", worst);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* Passes of few tokens give the gradient of one pass. */
static void test_micro(void)
{
    int tokens[60], offset[6];
    float weight[60], value[2][60], head[2][25];
    uint64_t hash[2];
    for (int i = 0; i < 60; i++) { tokens[i] = (i * 53 + 11) % 257; weight[i] = (float)(i % 5) - 1.7f; }
    for (int i = 0; i < 6; i++) offset[i] = 12 * i;
    for (int micro = 0; micro < 2; micro++) {
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_model *m = small_model(ctx, 24, 3);
        rlvr_trainer_desc d;
        memset(&d, 0, sizeof d);
        d.value.on = true;
        d.value.head = rlvr_head_new(m, 0.3f, 5);
        d.micro_tokens = micro ? 24 : 0;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(rlvr_grad_values(t, tokens, offset, 5, weight, value[micro]) == RLVR_OK);
        rlvr_head_get(d.value.head, true, head[micro]);
        float *keep = m->weights;      /* the hash of the gradients */
        m->weights = m->grads;
        hash[micro] = rlvr_model_hash(m);
        m->weights = keep;
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    CHECK(!memcmp(value[0], value[1], sizeof value[0]) && !memcmp(head[0], head[1], sizeof head[0]) && hash[0] == hash[1]);
}

/* ---- a known chain ---- */

/* Chains of tokens that follow one another without chance; the reward r stands at the end, so that the value k steps before it is
   gamma^k r. Nobody tells the head so: it is trained on returns that lean on its own values (lambda 0.5), which have the same
   fixed point. */
static void test_chain(void)
{
    enum { CHAINS = 4 };
    static const int length[CHAINS] = {3, 5, 6, 8};
    static const float reward[CHAINS] = {1, -0.5f, 0.75f, 0};
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, 32, 3);
    int tokens[32], offset[CHAINS + 1] = {0}, steps = 400;
    float target[32], value[32];
    rlvr_gae_desc gae = {0.9f, 0, 0.5f, 0};
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    memset(&d, 0, sizeof d);
    d.value.on = true;
    d.optim.lr = 2e-3f;  d.optim.beta2 = 0.99f;  d.optim.schedule = RLVR_LR_COSINE;  d.optim.total_steps = steps;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    for (int c = 0; c < CHAINS; c++) {
        for (int k = 0; k < length[c]; k++) tokens[offset[c] + k] = 40 + 16 * c + k;
        offset[c + 1] = offset[c] + length[c];
    }
    for (int step = 0; step < steps; step++) {
        for (int c = 0; c < CHAINS; c++) {
            float r[8] = {0};
            CHECK(rlvr_head_values(rlvr_trainer_head(t), tokens + offset[c], length[c], value) == RLVR_OK);
            r[length[c] - 1] = reward[c];
            rlvr_gae(&gae, r, value, length[c], 0, NULL, target + offset[c]);
        }
        CHECK(rlvr_train_values(t, tokens, offset, CHAINS, target, NULL, &metrics) == RLVR_OK);
    }
    double worst = 0;
    for (int c = 0; c < CHAINS; c++) {
        CHECK(rlvr_head_values(rlvr_trainer_head(t), tokens + offset[c], length[c], value) == RLVR_OK);
        for (int k = 0; k < length[c]; k++) worst = fmax(worst, fabs((double)value[k] - (double)reward[c] * pow(0.9, length[c] - 1 - k)));
    }
    REPORT("known chains: largest error of a value %.1e after %d steps", worst, steps);
    CHECK_LE(worst, 1e-3);
    CHECK(metrics.n_values == 22 && metrics.value_loss == metrics.loss);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* ---- PPO ---- */

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say more than that", "Say it", "Say: 1 + 3 = ", "Say no more, no less"};
    (void)user;
    task->prompt = text[index % 5];
    task->answer = "x";
    task->raw = true;
    return RLVR_OK;
}
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = (float)even / (float)r->n_tokens;
    return r->index == 2 && r->prompt_index == 1 ? RLVR_REWARD_ERROR : RLVR_OK;
}
static rlvr_result judge_zero(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0; return RLVR_OK; }
static rlvr_result judge_two(const rlvr_rollout *r, void *user, float *reward)      /* depends on the prompt alone */
{
    (void)user;
    *reward = r->prompt_index % 2 ? 1 : 0.25f;
    return RLVR_OK;
}

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 5;
    d.group_size = 3;
    d.sampling.max_tokens = 8;
    d.max_prompt_tokens = 32;
    d.optim.lr = 2e-3f;
    d.optim.weight_decay = 0.01f;
    d.seed = 5;
    d.value.on = true;
    return d;
}

static uint64_t hash_head(const rlvr_head *h)
{
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < h->n_floats; i++) hash = (hash ^ rlvr__to_bits(h->weights[i])) * 1099511628211u;
    return hash;
}

typedef struct ran { uint64_t policy, head, critic; } ran;

/* critic: 0: the policy's trunk; else the width of a model of its own. path: resume and save around every step. */
static ran run(int threads, rlvr_trainer_desc d, int steps, int critic, const char *path, rlvr_metrics *last)
{
    ran out;
    rlvr_metrics local;
    memset(&out, 0, sizeof out);
    for (int piece = 0; piece < (path ? steps : 1); piece++) {
        rlvr_ctx *ctx = open_ctx(path ? 1 + piece % 2 : threads);
        rlvr_model *m = small_model(ctx, 24, 3);
        d.value.critic = critic ? small_model(ctx, critic, 9) : NULL;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL);
        if (!t) { printf("    %s\n", rlvr_last_error(ctx)); rlvr_close(ctx); return out; }
        if (path && piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int i = 0; i < (path ? 1 : steps); i++) CHECK(rlvr_train_step(t, last ? last : &local) == RLVR_OK);
        if (path) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        out.policy = rlvr_model_hash(m);
        out.head = hash_head(rlvr_trainer_head(t));
        out.critic = critic ? rlvr_model_hash(d.value.critic) : 0;
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    return out;
}
static bool equal(ran a, ran b) { return a.policy == b.policy && a.head == b.head && a.critic == b.critic; }

static void test_replay(void)
{
    const char *path = "build/test_values.checkpoint";
    for (int kind = 0; kind < 4; kind++) {
        rlvr_trainer_desc d = description();
        rlvr_metrics m;
        int critic = kind == 1 || kind == 3 ? 32 : 0, steps = quick ? 3 : 5;
        d.value.warmup_steps = kind >= 2 ? 2 : 0;
        d.value.detach = kind == 2;
        d.epochs = kind == 0 ? 2 : 1;
        d.minibatches = kind == 3 ? 2 : 1;
        ran one = run(1, d, steps, critic, NULL, &m), start = run(1, d, 0, critic, NULL, NULL);
        CHECK(one.policy != start.policy && one.head != start.head && (!critic || one.critic != start.critic));
        CHECK(m.value_loss > 0 && isfinite(m.value_loss) && m.n_values > 0 && isfinite(m.explained_variance) && m.explained_variance <= 1);
        CHECK(equal(run(2, d, steps, critic, NULL, NULL), one));
        d.two_forwards = true;
        CHECK(equal(run(2, d, steps, critic, NULL, NULL), one));      /* kept activations are those that a forward pass computes */
        d.two_forwards = false;
        CHECK(equal(run(2, d, steps, critic, path, NULL), one));      /* killed and resumed after every step */
    }
    /* KL in the reward: two forwards by need; with minibatches and passes of few rows it replays and resumes too */
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    d.regulariser.kl_reward = 0.1f;
    d.minibatches = 2;
    ran one = run(1, d, 4, 0, NULL, &m);
    CHECK(m.kl > 0);
    CHECK(equal(run(2, d, 4, 0, path, NULL), one));
    d.regulariser.kl_reward = 0;
    CHECK(!equal(run(1, d, 4, 0, NULL, NULL), one));
    remove(path);
}

static void test_micro_rollouts(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics whole, parts;
    for (int critic = 0; critic < 2; critic++) {
        d.two_forwards = true;
        d.micro_tokens = 0;
        d.optim.lr = 1e-30f;      /* so that the two compare the same weights */
        run(1, d, 1, critic ? 32 : 0, NULL, &whole);
        d.micro_tokens = 60;
        run(1, d, 1, critic ? 32 : 0, NULL, &parts);
        CHECK_LE(fabs(whole.grad_norm - parts.grad_norm), 1e-5 * whole.grad_norm);
        CHECK_LE(fabs(whole.value_loss - parts.value_loss), 1e-9);
        CHECK(whole.explained_variance == parts.explained_variance);
    }
}

/* A zero head and rewards of zero: no advantage, no error, nothing moves. A prompt's own reward is what values are for: the head
   learns it while the policy stands still in its warm-up, or where no advantage is left. */
static void test_still(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m;
    for (int critic = 0; critic < 33; critic += 32) {
        d.value.warmup_steps = 0;
        d.reward.fn = judge_zero;
        ran start = run(1, d, 0, critic, NULL, NULL);
        CHECK(equal(run(1, d, 3, critic, NULL, &m), start) && m.skipped && m.n_skipped == 3);
        d.reward.fn = judge;
        d.value.warmup_steps = 3;
        ran warm = run(1, d, 3, critic, NULL, &m);
        CHECK(warm.policy == start.policy && warm.head != start.head && (!critic || warm.critic != start.critic));
        CHECK(m.grad_norm == 0 && !m.skipped && m.value_loss > 0);
        CHECK(run(1, d, 4, critic, NULL, NULL).policy != start.policy);
    }
    /* the first step after the warm-up is a first step of AdamW, of the size of the learning rate */
    d = description();
    d.optim.weight_decay = 0;
    d.value.warmup_steps = 6;
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *model = small_model(ctx, 24, 3);
    rlvr_trainer *t = rlvr_trainer_open(model, &d);
    float *before = (float *)malloc((size_t)model->n_floats * sizeof(float));
    for (int i = 0; i < 6; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    memcpy(before, model->weights, (size_t)model->n_floats * sizeof(float));
    CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    double most = 0;
    for (int64_t i = 0; i < model->n_floats; i++) most = fmax(most, fabs((double)model->weights[i] - (double)before[i]));
    CHECK_LE(most, 1.01 * (double)d.optim.lr);
    CHECK(most > 0.9 * (double)d.optim.lr);
    free(before);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* The advantages are those of rlvr_gae on the head's values, whitened over the tokens with a reward. */
static void test_advantages(void)
{
    rlvr_trainer_desc d = description();
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, 24, 3);
    d.value.head = rlvr_head_new(m, 0.2f, 1);
    d.value.gae.gamma = 0.9f;
    d.value.gae.lambda = 0.8f;
    d.value.gae.lambda_value = 0.7f;
    d.optim.lr = 1e-30f;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_metrics metrics;
    CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
    static float advantage[256], returns[256], value[64];
    static unsigned char mask[256];
    rlvr_rollouts *r = rlvr_trainer_rollouts(t);
    int at = 0;
    memset(advantage, 0, sizeof advantage);
    for (int i = 0; i < rlvr_rollouts_count(r); i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        int whole[64], n = o->n_prompt + o->n_tokens;
        float reward[16] = {0};
        memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        CHECK(rlvr_head_values(d.value.head, whole, n - 1, value) == RLVR_OK);
        /* the value of a token is what the head says before it is drawn */
        CHECK(o->graded != RLVR_OK || !memcmp(value + o->n_prompt - 1, t->values.old_value + t->offset[i], (size_t)o->n_tokens * sizeof(float)));
        memset(mask + at, o->graded == RLVR_OK, (size_t)o->n_tokens);
        reward[o->n_tokens - 1] = o->reward;
        if (o->graded == RLVR_OK) rlvr_gae(&d.value.gae, reward, value + o->n_prompt - 1, o->n_tokens, 0, advantage + at, returns + at);
        else CHECK(o->advantage == 0);
        at += o->n_tokens;
    }
    double spread = rlvr_explained_variance(t->values.old_value, returns, mask, at);
    rlvr_whiten(advantage, mask, at);
    CHECK(!memcmp(advantage, t->values.advantage, (size_t)at * sizeof(float)));
    CHECK(spread == metrics.explained_variance && metrics.n_values < at);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* The value head finds out what a prompt earns; then nothing is left for the policy. And PPO does what it is for. */
static void test_learning(void)
{
    rlvr_trainer_desc d = description();
    rlvr_metrics m, first;
    d.reward.fn = judge_two;
    d.optim.weight_decay = 0;
    d.value.warmup_steps = 1000;
    d.value.lr = 3e-3f;
    run(2, d, 1, 32, NULL, &first);
    run(2, d, 40, 32, NULL, &m);
    REPORT("critic alone: loss %.4f at step 1, %.4f at step 40, explained variance %.3f", first.value_loss, m.value_loss, m.explained_variance);
    CHECK(first.explained_variance == 0 && m.explained_variance > 0.9);
    for (int critic = 0; critic < 33; critic += 32) {
        d = description();
        d.group_size = 8;
        run(2, d, 1, critic, NULL, &first);
        run(2, d, 25, critic, NULL, &m);
        REPORT("PPO, %s: reward %.3f at step 1, %.3f at step 25", critic ? "critic of its own" : "shared trunk", first.reward_mean, m.reward_mean);
        CHECK(m.reward_mean > first.reward_mean + 0.2);
    }
}

/* No allocation in a step after the first, and the plan counts what is allocated for values. */
static void test_allocations(void)
{
    for (int kind = 0; kind < 3; kind++) {
        int64_t bytes[2], planned[2];
        for (int on = 0; on < 2; on++) {
            test_counter c;
            rlvr_desc desc;
            rlvr_memory plan;
            memset(&desc, 0, sizeof desc);
            desc.n_threads = 2;
            desc.quiet = true;
            test_count(&desc, &c);
            rlvr_ctx *ctx = rlvr_open(&desc);
            rlvr_model *m = small_model(ctx, 24, 3);
            rlvr_trainer_desc d = description();
            d.group_size = 16;
            d.two_forwards = kind == 2;
            d.value.on = on;
            if (kind == 1 && on) d.value.critic = small_model(ctx, 64, 9);
            CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK);
            int64_t weights = kind == 1 && on ? d.value.critic->n_floats * 4 + 64 * 8 * 4 : 0;      /* they were there before */
            bytes[on] = c.bytes;
            rlvr_trainer *t = rlvr_trainer_open(m, &d);
            CHECK(t != NULL && rlvr_train_step(t, NULL) == RLVR_OK);
            bytes[on] = c.bytes - bytes[on];
            planned[on] = plan.total - weights;
            int64_t after_first = c.calls;
            (void)after_first;
            for (int i = 0; i < (quick ? 1 : 4); i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later, and sizes are as asked */
            CHECK_LE(c.calls, after_first);
#endif
            rlvr_trainer_close(t);
            rlvr_close(ctx);
        }
        REPORT("values, %s: %lld bytes planned, %lld allocated", kind == 0 ? "shared trunk" : kind == 1 ? "critic" : "two forwards",
               (long long)(planned[1] - planned[0]), (long long)(bytes[1] - bytes[0]));
#ifdef RLVR__SANITIZED
        CHECK_LE((double)(bytes[1] - bytes[0]), 1.05 * (double)(planned[1] - planned[0]) + 128 * 128);
#endif
    }
}

static void test_log(void)
{
    rlvr_trainer_desc d = description();
    char text[4096];
    d.out_dir = "build/test_values_out";
    remove("build/test_values_out/metrics.jsonl");
    run(1, d, 1, 0, NULL, NULL);
    FILE *f = fopen("build/test_values_out/metrics.jsonl", "r");
    CHECK(f && fgets(text, sizeof text, f) && strstr(text, "\"value/loss\":") && strstr(text, "\"value/explained_variance\":") &&
          strstr(text, "\"value/clip_ratio\":"));
    if (f) fclose(f);
    remove("build/test_values_out/metrics.jsonl");
    d.value.on = false;
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, 24, 3);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(rlvr_trainer_head(t) == NULL && rlvr_train_step(t, NULL) == RLVR_OK);
    int tokens[3] = {1, 2, 3}, offset[2] = {0, 3};
    float x[3] = {0, 0, 0};
    CHECK(rlvr_train_values(t, tokens, offset, 1, x, NULL, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "value.on"));
    f = fopen("build/test_values_out/metrics.jsonl", "r");
    CHECK(f && fgets(text, sizeof text, f) && !strstr(text, "value/"));
    if (f) fclose(f);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

static void test_bad_descriptions(void)
{
    rlvr_ctx *ctx = open_ctx(1), *other = open_ctx(1);
    rlvr_model *m = small_model(ctx, 24, 3), *c = small_model(ctx, 32, 3), *far = small_model(other, 32, 3);
    rlvr_head *on_critic = rlvr_head_new(c, 0, 0);
    rlvr_trainer_desc good = description();
#define REFUSED(change, word) do { rlvr_trainer_desc d = good; change; CHECK(rlvr_trainer_open(m, &d) == NULL); \
        if (!test_check(strstr(rlvr_last_error(ctx), word) != NULL, __FILE__, __LINE__, #change)) printf("    %s\n", rlvr_last_error(ctx)); } while (0)
    REFUSED(d.value.lr = -1, "value: lr");
    REFUSED(d.value.coef = NAN, "value: coef");
    REFUSED(d.value.clip = INFINITY, "value: clip");
    REFUSED(d.regulariser.kl_reward = -1, "kl_reward");
    REFUSED(d.value.warmup_steps = -1, "warmup_steps");
    REFUSED(d.value.gae.gamma = 1.5f, "gamma");
    REFUSED(d.value.gae.lambda_value = -0.1f, "lambda");
    REFUSED(d.value.head = on_critic, "head");
    REFUSED(d.value.critic = far, "context");
    REFUSED(d.value.critic = c; d.value.detach = true, "detach");
    REFUSED(d.advantage.kind = RLVR_ADV_RLOO, "advantage");
    REFUSED(d.loss.kind = RLVR_LOSS_GSPO, "gspo_token");
    rlvr_model_desc tiny = c->info;
    tiny.n_ctx = 16;
    rlvr_model *shorter = rlvr_model_init(ctx, &tiny);
    REFUSED(d.value.critic = shorter, "critic");
    good.value.critic = c;
    good.value.head = on_critic;
    rlvr_trainer *t = rlvr_trainer_open(m, &good);
    CHECK(t != NULL && rlvr_trainer_head(t) == on_critic);
    rlvr_trainer_close(t);
    rlvr_close(other);
    rlvr_close(ctx);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_value_loss();
    test_whiten();
    test_head();
    test_head_gradient(false);
    test_head_gradient(true);
    test_micro();
    if (!quick) test_chain();
    test_replay();
    test_micro_rollouts();
    test_still();
    test_advantages();
    if (!quick) test_learning();
    test_allocations();
    test_log();
    test_bad_descriptions();
    return test_done();
}
