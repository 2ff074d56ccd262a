/* LoRA and frozen parameters: gradients, bits, what must not move, checkpoints, plans, PEFT's files. */
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

static rlvr_model *small_model(rlvr_ctx *ctx, bool tied, uint64_t seed)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 257; d.n_ctx = 48; d.d_model = 24; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 10; d.d_ff = 44;
    d.tied = tied; d.seed = seed; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 1);
    return m;
}

static rlvr_lora_desc lora(int rank, float alpha, const char *targets, bool rslora)
{
    rlvr_lora_desc d;
    memset(&d, 0, sizeof d);
    d.rank = rank;
    d.alpha = alpha;
    d.targets = targets;
    d.rslora = rslora;
    d.seed = 4;
    return d;
}

/* An adapter that does something: B is not zero. */
static void add_lora(rlvr_model *m, rlvr_lora_desc d)
{
    CHECK(rlvr_lora_add(m, &d) == RLVR_OK);
    for (int i = 1; i < m->lora->n_views; i += 2) {
        const rlvr__view *v = &m->lora->views[i];
        float *x = (float *)malloc((size_t)(v->rows * v->cols) * sizeof(float));
        for (int64_t k = 0; k < v->rows * v->cols; k++) x[k] = 0.4f * (rlvr_uniform(9, (uint32_t)i, (uint32_t)k, 0, 0) - 0.5f);
        CHECK(rlvr_model_set(m, v->name, x, v->rows * v->cols) == RLVR_OK);
        free(x);
    }
}

static uint64_t adapter_hash(const rlvr_model *m) { return rlvr__hash_bits(1, m->lora->weights, m->lora->n_floats); }

static const char *const texts[] = {"Say a b", "Say something else", "Say it"};
static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    (void)user;
    task->prompt = texts[index % 3];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = (float)even / (float)r->n_tokens;
    return RLVR_OK;
}

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 3;
    d.group_size = 4;
    d.sampling.max_tokens = 6;
    d.max_prompt_tokens = 24;
    d.optim.lr = 5e-3f;
    d.optim.weight_decay = 0.01f;
    d.seed = 5;
    return d;
}

/* ---- gradients ---- */

enum { N = 30 };
static int sample_tokens[N], sample_offset[3] = {0, 13, N};
static float sample_weight[N];

static void make_sample(void)
{
    for (int i = 0; i < N; i++) {
        sample_tokens[i] = (i * 37 + 5) % 257;
        sample_weight[i] = i % 4 == 1 ? 0 : 0.2f * (float)(i % 5) - 0.35f;
    }
}

static double weighted(rlvr_model *m)
{
    float logprob[N];
    double sum = 0;
    for (int s = 0; s < 2; s++) {
        int from = sample_offset[s], n = sample_offset[s + 1] - from;
        CHECK(rlvr_score(m, sample_tokens + from, n, NULL, logprob) == RLVR_OK);
        for (int i = 1; i < n; i++) sum += (double)sample_weight[from + i] * (double)logprob[i - 1];
    }
    return sum;
}

static float *tensor(rlvr_model *m, const char *name, bool grad, const rlvr__view **view)
{
    const rlvr__view *v = NULL;
    for (int i = 0; (v = rlvr__view_number(m, i)) != NULL && strcmp(v->name, name); i++) {}
    *view = v;
    float *x = (float *)malloc((size_t)(v->rows * v->cols) * sizeof(float));
    CHECK(rlvr_model_get(m, name, grad, x, v->rows * v->cols) == RLVR_OK);
    return x;
}

/* dA and dB against what full training's dW of the merged model says they must be, and along each against finite differences. */
static void test_gradient(const char *targets, bool rslora, bool tied)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, tied, 3), *merged = small_model(ctx, tied, 3);
    rlvr_trainer_desc d;
    float logprob[N], alone[N];
    double worst = 0, slope = 0;
    memset(&d, 0, sizeof d);
    add_lora(m, lora(3, 5, targets, rslora));
    add_lora(merged, lora(3, 5, targets, rslora));
    CHECK(rlvr_lora_merge(merged) == RLVR_OK && !rlvr_lora_info(merged));
    double s = 5.0 / (rslora ? sqrt(3.0) : 3.0);
    rlvr_trainer *t = rlvr_trainer_open(m, &d), *full = rlvr_trainer_open(merged, &d);
    CHECK(t && full);
    CHECK(rlvr_grad_tokens(full, sample_tokens, sample_offset, 2, sample_weight, logprob) == RLVR_OK);
    CHECK(rlvr_grad_tokens(t, sample_tokens, sample_offset, 2, sample_weight, logprob) == RLVR_OK);
    CHECK(m->grads == NULL);      /* the base has none */
    for (int q = 0; q < 2; q++) {
        int from = sample_offset[q], n = sample_offset[q + 1] - from;
        CHECK(rlvr_score(m, sample_tokens + from, n, NULL, alone) == RLVR_OK);
        for (int i = 1; i < n; i++) CHECK(sample_weight[from + i] == 0 || logprob[from + i] == alone[i - 1]);
    }
    for (int i = 0; i < m->lora->n_views; i += 2) {
        char name[96];
        const rlvr__view *va, *vb, *vw;
        snprintf(name, sizeof name, "%.*sweight", (int)(strstr(m->lora->views[i].name, "lora_A") - m->lora->views[i].name), m->lora->views[i].name);
        float *a = tensor(m, m->lora->views[i].name, false, &va), *da = tensor(m, m->lora->views[i].name, true, &va);
        float *b = tensor(m, m->lora->views[i + 1].name, false, &vb), *db = tensor(m, m->lora->views[i + 1].name, true, &vb);
        float *dw = tensor(merged, name, true, &vw);
        double off = 0, length = 0;
        for (int64_t r = 0; r < va->rows; r++)
            for (int64_t k = 0; k < va->cols; k++) {
                double want = 0;
                for (int64_t o = 0; o < vw->rows; o++) want += s * (double)b[o * vb->cols + r] * (double)dw[o * vw->cols + k];
                off += pow(want - (double)da[r * va->cols + k], 2);
                length += want * want;
            }
        for (int64_t o = 0; o < vb->rows; o++)
            for (int64_t r = 0; r < vb->cols; r++) {
                double want = 0;
                for (int64_t k = 0; k < vw->cols; k++) want += s * (double)dw[o * vw->cols + k] * (double)a[r * va->cols + k];
                off += pow(want - (double)db[o * vb->cols + r], 2);
                length += want * want;
            }
        worst = fmax(worst, sqrt(off / length));
        for (int which = 0; which < 2; which++) {
            const rlvr__view *v = which ? vb : va;
            float *x = which ? b : a, *g = which ? db : da;
            int64_t n = v->rows * v->cols;
            float *u = (float *)malloc((size_t)n * sizeof(float));
            double norm = 0, side[2];
            for (int64_t k = 0; k < n; k++) norm += (double)g[k] * (double)g[k];
            norm = sqrt(norm);
            for (int sign = 0; sign < 2; sign++) {
                for (int64_t k = 0; k < n; k++) u[k] = (float)((double)x[k] + (sign ? -4e-3 : 4e-3) * (double)g[k] / norm);
                CHECK(rlvr_model_set(m, v->name, u, n) == RLVR_OK);
                side[sign] = weighted(m);
            }
            CHECK(rlvr_model_set(m, v->name, x, n) == RLVR_OK);
            slope = fmax(slope, fabs((side[0] - side[1]) / 8e-3 - norm) / norm);
            free(u);
        }
        free(a); free(da); free(b); free(db); free(dw);
    }
    CHECK_LE(worst, 1e-4);
    CHECK_LE(slope, 1e-2);
    REPORT("%s%s: dA, dB within %.1e of full training's dW, within %.1e of finite differences", targets ? targets : "all", rslora ? ", rsLoRA" : "", worst, slope);
    rlvr_trainer_close(t);
    rlvr_trainer_close(full);
    rlvr_close(ctx);
}

/* Passes of few tokens, and more rows than the adapter takes at once, give the bits of one pass. */
static void test_pieces(void)
{
    enum { SEQ = 16, EACH = 40 };
    static int tokens[SEQ * EACH], offset[SEQ + 1];
    static float weight[SEQ * EACH], logprob[SEQ * EACH];
    uint64_t hash[2];
    for (int i = 0; i < SEQ * EACH; i++) { tokens[i] = (i * 53 + 11) % 257; weight[i] = i % 29 == 7 ? (float)(i % 5) - 1.7f : 0; }
    for (int i = 0; i <= SEQ; i++) offset[i] = EACH * i;
    CHECK(SEQ * (EACH - 1) > RLVR__LORA_ROWS);
    for (int micro = 0; micro < 2; micro++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx, true, 3);
        rlvr_trainer_desc d;
        memset(&d, 0, sizeof d);
        d.micro_tokens = micro ? 100 : 0;
        add_lora(m, lora(4, 8, NULL, false));
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(rlvr_grad_tokens(t, tokens, offset, SEQ, weight, logprob) == RLVR_OK);
        hash[micro] = rlvr__hash_bits(1, m->lora->grads, m->lora->n_floats);
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    CHECK(hash[0] == hash[1]);
}

/* ---- bits ---- */

static void same_logits(rlvr_model *a, rlvr_model *b, bool same, const char *what)
{
    float x[13 * 257], y[13 * 257];
    CHECK(rlvr_logits(a, sample_tokens, 13, x) == RLVR_OK && rlvr_logits(b, sample_tokens, 13, y) == RLVR_OK);
    if (!CHECK(!memcmp(x, y, sizeof x) == same)) printf("    %s\n", what);
}

static double logits_apart(rlvr_model *a, rlvr_model *b)
{
    float x[13 * 257], y[13 * 257];
    double worst = 0;
    CHECK(rlvr_logits(a, sample_tokens, 13, x) == RLVR_OK && rlvr_logits(b, sample_tokens, 13, y) == RLVR_OK);
    for (int i = 0; i < 13 * 257; i++) worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    return worst;
}

static void test_switch_and_merge(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *base = small_model(ctx, false, 3), *m = small_model(ctx, false, 3), *on = small_model(ctx, false, 3);
    rlvr_lora_desc fresh = lora(0, 0, NULL, false);
    CHECK(rlvr_lora_info(m) == NULL && rlvr_lora_add(m, &fresh) == RLVR_OK);
    const rlvr_lora_desc *info = rlvr_lora_info(m);
    if (!CHECK(info != NULL)) return;
    CHECK(info->rank == 8 && info->alpha == 8 && !strcmp(info->targets, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj") && m->lora->scale == 1);
    CHECK_LE(logits_apart(base, m), 0);      /* B is zero: it says what it said */
    const rlvr__view *v;
    float *a = tensor(m, "model.layers.1.mlp.down_proj.lora_A.weight", false, &v);
    double low = 1, high = -1, bound = 1 / sqrt(44.0);
    CHECK(v->rows == 8 && v->cols == 44);
    for (int64_t i = 0; i < v->rows * v->cols; i++) { low = fmin(low, (double)a[i]); high = fmax(high, (double)a[i]); }
    CHECK(low >= -bound && high <= bound && low < -0.9 * bound && high > 0.9 * bound);
    free(a);
    CHECK(rlvr_lora_remove(m) == RLVR_OK && rlvr_lora_info(m) == NULL);
    same_logits(base, m, true, "removed");
    add_lora(m, lora(4, 16, NULL, false));
    add_lora(on, lora(4, 16, NULL, false));
    same_logits(m, on, true, "the same adapter");
    same_logits(base, on, false, "an adapter does something");
    CHECK(rlvr_lora_enable(on, false) == RLVR_OK);
    same_logits(base, on, true, "switched off");
    CHECK(rlvr_lora_enable(on, true) == RLVR_OK);
    same_logits(m, on, true, "switched on again");
    CHECK(rlvr_model_hash(on) == rlvr_model_hash(base));
    CHECK(rlvr_lora_merge(on) == RLVR_OK && rlvr_model_hash(on) != rlvr_model_hash(base));
    double apart = logits_apart(m, on), far = logits_apart(m, base);
    CHECK_LE(apart, 1e-4);
    CHECK(far > 0.1);
    REPORT("merged: logits within %.1e of the unmerged adapter's (the base's are %.2g away)", apart, far);
    rlvr_close(ctx);
}

/* Sampled with the adapter unmerged: the log-probabilities are those of rlvr_score() and of the trainer's forward, as bits. */
static void test_on_policy(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true, 3);
    rlvr_task task[3];
    rlvr_sampling s;
    rlvr_rollouts *r = NULL;
    rlvr_trainer_desc d;
    memset(task, 0, sizeof task);
    memset(&s, 0, sizeof s);
    memset(&d, 0, sizeof d);
    for (int i = 0; i < 3; i++) { task[i].prompt = texts[i]; task[i].raw = true; }
    s.max_tokens = 8;
    CHECK(rlvr_sample(m, task, 3, 4, &s, &r) == RLVR_OK);      /* its cache was made before there was an adapter */
    add_lora(m, lora(4, 16, NULL, true));
    CHECK(rlvr_sample(m, task, 3, 4, &s, &r) == RLVR_OK);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    int same = 1, n = rlvr_rollouts_count(r);
    for (int i = 0; i < n; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        int whole[48], count = o->n_prompt + o->n_tokens, offset[2] = {0, count};
        float alone[48], weight[48], trained[48];
        memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        for (int k = 0; k < count; k++) weight[k] = 1;
        CHECK(rlvr_score(m, whole, count, &s, alone) == RLVR_OK && rlvr_grad_tokens(t, whole, offset, 1, weight, trained) == RLVR_OK);
        same &= !memcmp(alone + o->n_prompt - 1, o->logprobs, (size_t)o->n_tokens * sizeof(float));
        same &= !memcmp(trained + o->n_prompt, o->logprobs, (size_t)o->n_tokens * sizeof(float));
    }
    CHECK(same);
    rlvr_trainer_close(t);
    rlvr_rollouts_free(r);
    rlvr_close(ctx);
}

/* ---- training ---- */

typedef struct outcome { uint64_t adapter, base, start; rlvr_metrics last; } outcome;
static outcome run(int threads, rlvr_trainer_desc d, int steps)
{
    outcome out;
    rlvr_ctx *ctx = open_ctx(threads);
    rlvr_model *m = small_model(ctx, true, 3);
    out.start = rlvr_model_hash(m);
    add_lora(m, lora(4, 8, NULL, false));
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!CHECK(t != NULL)) printf("    %s\n", rlvr_last_error(ctx));
    for (int i = 0; t && i < steps; i++) CHECK(rlvr_train_step(t, &out.last) == RLVR_OK);
    out.adapter = adapter_hash(m);
    out.base = rlvr_model_hash(m);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
    return out;
}

static void test_training(void)
{
    rlvr_trainer_desc d = description();
    outcome none = run(1, d, 0), one = run(1, d, 3);
    CHECK(one.adapter != none.adapter && one.base == one.start && one.last.grad_norm > 0 && !one.last.skipped);
    CHECK(run(2, d, 3).adapter == one.adapter);
    d.two_forwards = true;
    CHECK(run(1, d, 3).adapter == one.adapter);
}

/* The reference is the base: the divergence that a step tells is that of the policy from a copy of the base. */
static void test_reference(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true, 3), *base = small_model(ctx, true, 3);
    rlvr_trainer_desc d = description();
    rlvr_metrics metrics;
    rlvr_memory with, without;
    d.loss.kl_coef = 0.1f;
    add_lora(m, lora(4, 8, NULL, false));
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    for (int step = 0; step < 2; step++) {
        double sum = 0;
        int64_t n = 0;
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        rlvr_rollouts *r = rlvr_trainer_rollouts(t);
        for (int i = 0; i < rlvr_rollouts_count(r); i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(r, i);
            int whole[48], count = o->n_prompt + o->n_tokens;
            float ref[48];
            memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
            memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
            CHECK(rlvr_score(base, whole, count, NULL, ref) == RLVR_OK);
            for (int k = 0; k < o->n_tokens; k++, n++) {
                CHECK(t->ref_logprob[t->offset[i] + k] == ref[o->n_prompt - 1 + k]);
                double x = (double)o->logprobs[k] - (double)ref[o->n_prompt - 1 + k];
                sum += exp(-x) - 1 + x;
            }
        }
        CHECK(metrics.kl > 1e-3);
        CHECK_LE(fabs(metrics.kl - sum / (double)n), 1e-6 * metrics.kl);
    }
    CHECK(t->reference == NULL && m->lora->on);
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK && with.reference == 0);
    CHECK(rlvr_memory_plan(base, &d, &without) == RLVR_OK && without.reference == base->n_floats * 4);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* Preferences: the reference by switching off gives the bits of one that was written down beforehand by a copy of the base. */
static void test_preferences(void)
{
    int tokens[24];
    uint64_t hash[2];
    double margin[2];
    for (int i = 0; i < 24; i++) tokens[i] = (i * 29 + 3) % 257;
    for (int written = 0; written < 2; written++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx, true, 3), *base = small_model(ctx, true, 3);
        rlvr_trainer_desc d;
        rlvr_preference p[2];
        rlvr_metrics metrics;
        memset(&d, 0, sizeof d);
        memset(p, 0, sizeof p);
        for (int i = 0; i < 2; i++) {
            p[i].prompt = tokens + 12 * i;       p[i].n_prompt = 4;
            p[i].chosen = tokens + 12 * i + 4;   p[i].n_chosen = 5;
            p[i].rejected = tokens + 12 * i + 9; p[i].n_rejected = 3;
        }
        d.preference.kind = RLVR_PREFER_DPO;
        d.preference.precomputed_ref = written;
        d.optim.lr = 1e-2f;
        add_lora(m, lora(4, 8, "q_proj,down_proj", false));
        if (written) CHECK(rlvr_preferences_reference(base, p, 2) == RLVR_OK);
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        for (int i = 0; i < 3; i++) CHECK(rlvr_train_preferences(t, p, 2, &metrics) == RLVR_OK);
        margin[written] = metrics.preference.margin;
        hash[written] = adapter_hash(m);
        CHECK(rlvr_model_hash(m) == rlvr_model_hash(base));
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    CHECK(margin[0] == margin[1] && margin[0] != 0 && hash[0] == hash[1]);
}

/* ---- checkpoints ---- */

static void test_resume(bool values)
{
    const char *path = "build/test_lora.checkpoint";
    rlvr_trainer_desc d = description();
    uint64_t unbroken = 0;
    d.loss.kl_coef = 0.05f;
    d.epochs = 2;
    d.value.on = values;
    for (int broken = 0; broken < 2; broken++)
        for (int piece = 0; piece < (broken ? 3 : 1); piece++) {
            rlvr_ctx *ctx = open_ctx(1);
            rlvr_model *m = small_model(ctx, true, 3);
            add_lora(m, lora(4, 8, NULL, false));
            rlvr_trainer *t = rlvr_trainer_open(m, &d);
            if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
            for (int i = 0; i < (broken ? 1 : 3); i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
            if (broken) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
            if (!broken) unbroken = adapter_hash(m);
            if (piece == 2) CHECK(adapter_hash(m) == unbroken);
            rlvr_trainer_close(t);
            rlvr_close(ctx);
        }
    /* another base, another alpha, other targets of the same size, none */
    struct { uint64_t seed; float alpha; const char *targets, *why; } other[] = {
        {8, 8, NULL, "another base"}, {3, 9, NULL, "rank, alpha or targets"}, {3, 8, "q_proj", "rank, alpha or targets"}, {3, 0, NULL, "or of none"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx, true, other[i].seed);
        if (other[i].alpha > 0) add_lora(m, lora(4, other[i].alpha, other[i].targets, false));
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        uint64_t before = other[i].alpha > 0 ? adapter_hash(m) : 0;
        CHECK(rlvr_trainer_resume(t, path) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), other[i].why) && strstr(rlvr_last_error(ctx), path));
        if (other[i].alpha > 0) CHECK(adapter_hash(m) == before);
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    remove(path);
}

/* ---- memory ---- */

typedef struct counter { int64_t calls, bytes, left; } counter;
static void *count_alloc(void *user, void *p, size_t n)
{
    counter *c = (counter *)user;
    (void)p;
    c->calls++;
    c->bytes += (int64_t)n;
    return c->left >= 0 && c->left-- == 0 ? NULL : malloc(n);
}
static void count_free(void *user, void *p) { (void)user; free(p); }

static rlvr_ctx *counting_ctx(counter *c)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    d.quiet = true;
    d.realloc_fn = count_alloc;
    d.free_fn = count_free;
    d.alloc_user = c;
    return rlvr_open(&d);
}

/* The plan of an adapter, of frozen layers, of a critic with an adapter, against what is allocated; and no allocation in a step
   after the first. */
static void test_memory(void)
{
    int64_t bytes[4], planned[4], full = 0;
    for (int kind = 0; kind < 4; kind++) {
        counter c = {0, 0, -1};
        rlvr_memory plan;
        rlvr_ctx *ctx = counting_ctx(&c);
        rlvr_model *m = small_model(ctx, false, 3);
        rlvr_trainer_desc d = description();
        if (kind == 1) add_lora(m, lora(2, 8, NULL, false));
        if (kind == 2) { d.frozen.layers = 2; d.frozen.embeddings = true; }
        if (kind == 3) {
            add_lora(m, lora(2, 8, NULL, false));
            d.value.on = true;
            d.value.critic = small_model(ctx, false, 7);
            add_lora(d.value.critic, lora(3, 8, "v_proj", false));
        }
        CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK);
        int64_t before = c.bytes, owned = m->n_floats * 4 + rlvr__lora_bytes(m);      /* what was there already */
        if (kind == 3) owned += d.value.critic->n_floats * 4 + rlvr__lora_bytes(d.value.critic) + 48 * 10 * 4;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL && rlvr_train_step(t, NULL) == RLVR_OK);
        bytes[kind] = c.bytes - before;
        planned[kind] = plan.total - owned;
        int64_t trained = 0, after_first = c.calls;
        (void)after_first;
        for (int b = 0; t && b < t->n_trained; b++) trained += t->trained[b].n_floats * 4;
        if (kind < 3)      /* a value head's block is padded */ CHECK(plan.gradients == trained && plan.optimizer == 2 * trained);
        if (kind == 0) full = plan.gradients;
        else CHECK(plan.gradients < full && m->grads == NULL);
        for (int i = 0; i < 3; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later, and sizes are as asked */
        CHECK_LE(c.calls, after_first);
#endif
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    const char *const name[] = {"all", "adapter", "frozen", "adapter and critic's adapter"};
    for (int kind = 1; kind < 4; kind++) {
        double plan = (double)(planned[kind] - planned[0]), real = (double)(bytes[kind] - bytes[0]);
        REPORT("memory, %s: %.0f bytes planned beside all of it trained, %.0f allocated", name[kind], plan, real);
#ifdef RLVR__SANITIZED
        CHECK_LE(fabs(plan - real), 0.05 * fabs(plan) + 128 * 128);
#endif
    }
}

/* Out of memory at every allocation of adding, loading, merging and opening: a failure, not a crash, and the model as it was. */
static void test_out_of_memory(const char *folder)
{
    int failures = 0;
    for (int what = 0; what < 3; what++)
        for (int64_t left = 0; left < 400; left++) {
            counter c = {0, 0, -1};
            rlvr_ctx *ctx = counting_ctx(&c);
            rlvr_model *m = small_model(ctx, true, 3);
            rlvr_trainer_desc d;
            memset(&d, 0, sizeof d);
            d.frozen.layers = 1;
            uint64_t before = rlvr_model_hash(m);
            c.left = left;
            bool ok = what == 2 ? rlvr_trainer_open(m, &d) != NULL : (what ? rlvr_lora_load(m, folder) : rlvr_lora_add(m, NULL)) == RLVR_OK;
            bool reached = c.left < 0;
            c.left = -1;
            CHECK(rlvr_model_hash(m) == before && m->n_trainers == (what == 2 && ok));
            if (!ok) { failures++; CHECK(rlvr_lora_info(m) == NULL && *rlvr_last_error(ctx)); }
            rlvr_close(ctx);
            if (ok && !reached) break;
        }
    CHECK(failures > 10);
}

/* ---- PEFT's files ---- */

static const char *const folder = "build/test_lora_adapter";

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    fputs(text, f);
    fclose(f);
}

static void test_files(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true, 3), *other = small_model(ctx, true, 3);
    add_lora(m, lora(3, 7.5f, "down_proj, q_proj,o_proj", true));
    CHECK_STR(rlvr_lora_info(m)->targets, "q_proj,o_proj,down_proj");
    CHECK(rlvr_lora_save(m, folder) == RLVR_OK && rlvr_lora_load(other, folder) == RLVR_OK);
    const rlvr_lora_desc *d = rlvr_lora_info(other);
    CHECK(d->rank == 3 && d->alpha == 7.5f && d->rslora && !strcmp(d->targets, "q_proj,o_proj,down_proj"));
    CHECK(adapter_hash(m) == adapter_hash(other));
    same_logits(m, other, true, "saved and loaded");
    test_out_of_memory(folder);

    /* configurations that are not ours, broken, or hostile: refused with the file and the field, the model as it was */
    static const char *const begin = "{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":7.5,\"use_rslora\":true,\"target_modules\":[\"q_proj\",\"o_proj\",\"down_proj\"]";
    struct { const char *text, *why; } bad[] = {
        {"", "adapter_config.json"}, {"[1,2]", "the whole"}, {"{\"peft_type\":\"LORA\"", "adapter_config.json:1"},
        {"{\"peft_type\":\"IA3\",\"r\":3}", "peft_type"}, {"{\"r\":3}", "peft_type"},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":1,\"target_modules\":[\"q_proj\"]}", "r is missing or not within"},
        {"{\"peft_type\":\"LORA\",\"r\":99999999999999999999,\"lora_alpha\":1,\"target_modules\":[\"q_proj\"]}", "r is missing or not within"},
        {"{\"peft_type\":\"LORA\",\"r\":\"3\",\"lora_alpha\":1,\"target_modules\":[\"q_proj\"]}", "r is missing or not within"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1e400,\"target_modules\":[\"q_proj\"]}", "adapter_config.json:1"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":-1,\"target_modules\":[\"q_proj\"]}", "lora_alpha"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1}", "target_modules"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"target_modules\":[]}", "target_modules is empty"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"target_modules\":\".*_proj\"}", "target_modules is a pattern"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"target_modules\":[\"q_proj\",\"lm_head\"]}", "lm_head"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"target_modules\":[\"q_proj\",7]}", "target_modules holds"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":1,\"target_modules\":[\"q_proj\\u0000x\"]}", "target_modules holds"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":7.5,\"target_modules\":[\"q_proj\"]}", "o_proj"},      /* more tensors than it tells of */
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":7.5,\"target_modules\":\"all-linear\"}", "k_proj.lora_A.weight is missing"},
        {"{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":7.5,\"target_modules\":[\"q_proj\",\"o_proj\",\"down_proj\"]}", "q_proj.lora_A.weight is not (4, 24)"}};
    static const char *const beyond[] = {"\"use_dora\":true", "\"bias\":\"all\"", "\"fan_in_fan_out\":true", "\"modules_to_save\":[\"lm_head\"]",
        "\"rank_pattern\":{\"q_proj\":4}", "\"alpha_pattern\":{\"q_proj\":4}", "\"layers_to_transform\":[0]", "\"layer_replication\":[[0,1]]", "\"lora_bias\":true",
        "\"init_lora_weights\":\"pissa\"", "\"exclude_modules\":[\"o_proj\"]", "\"trainable_token_indices\":[1]", "\"target_parameters\":[\"x\"]"};
    CHECK(rlvr_lora_remove(other) == RLVR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad + sizeof beyond / sizeof *beyond; i++) {
        char text[512], why[64];
        size_t k = i - sizeof bad / sizeof *bad;
        bool of_bad = i < sizeof bad / sizeof *bad;
        if (of_bad) snprintf(text, sizeof text, "%s", bad[i].text);
        else snprintf(text, sizeof text, "%s,%s}", begin, beyond[k]);
        if (of_bad) snprintf(why, sizeof why, "%s", bad[i].why);
        else snprintf(why, sizeof why, "%.*s", (int)strcspn(beyond[k] + 1, "\""), beyond[k] + 1);
        put("adapter_config.json", text);
        if (!CHECK(rlvr_lora_load(other, folder) != RLVR_OK && strstr(rlvr_last_error(ctx), why) && strstr(rlvr_last_error(ctx), folder)))
            printf("    %s\n    %s\n", text, rlvr_last_error(ctx));
        CHECK(rlvr_lora_info(other) == NULL);
    }
    char text[512];
    snprintf(text, sizeof text, "%s,\"bias\":\"none\",\"modules_to_save\":null,\"rank_pattern\":{},\"use_dora\":false,\"init_lora_weights\":\"gaussian\"}", begin);
    put("adapter_config.json", text);
    CHECK(rlvr_lora_load(other, folder) == RLVR_OK && adapter_hash(m) == adapter_hash(other) && rlvr_lora_remove(other) == RLVR_OK);

    /* tensors */
    const rlvr__view *v;
    float *x = tensor(m, "model.layers.1.self_attn.o_proj.lora_B.weight", false, &v);
    m->lora->weights[m->lora->params[v->param].offset] = NAN;
    CHECK(rlvr_lora_save(m, folder) == RLVR_OK && rlvr_lora_load(other, folder) == RLVR_ERROR_NUMERIC);
    CHECK(strstr(rlvr_last_error(ctx), "base_model.model.model.layers.1.self_attn.o_proj.lora_B.weight") && strstr(rlvr_last_error(ctx), "not finite"));
    CHECK(rlvr_model_set(m, "model.layers.1.self_attn.o_proj.lora_B.weight", x, v->rows * v->cols) == RLVR_OK);
    free(x);
    CHECK(rlvr_lora_save(m, folder) == RLVR_OK);
    char path[256];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    struct stat st;
    CHECK(stat(path, &st) == 0);
    for (int64_t size = 0; size < (int64_t)st.st_size; size += 1 + (int64_t)st.st_size / 23) {
        CHECK(rlvr_lora_save(m, folder) == RLVR_OK && truncate(path, size) == 0);
        CHECK(rlvr_lora_load(other, folder) != RLVR_OK && strstr(rlvr_last_error(ctx), path) && rlvr_lora_info(other) == NULL);
    }
    remove(path);
    CHECK(rlvr_lora_load(other, folder) == RLVR_ERROR_IO && rlvr_lora_load(other, "build/nowhere") != RLVR_OK);
    /* an adapter of another model */
    rlvr_model_desc wide = *rlvr_model_info(m);
    wide.d_ff = 48;
    rlvr_model *w = rlvr_model_init(ctx, &wide);
    add_lora(w, lora(3, 7.5f, "q_proj,o_proj,down_proj", true));
    CHECK(rlvr_lora_save(w, folder) == RLVR_OK && rlvr_lora_load(other, folder) == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "down_proj.lora_A"));
    CHECK(rlvr_lora_save(other, folder) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "no adapter"));
    remove(path);
    put("adapter_config.json", "");
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    remove(path);
    rmdir(folder);
    rlvr_close(ctx);
}

/* Adapters that peft made, with the logits that transformers gives for them (tests/parity_lora.py). */
static void test_fixtures(void)
{
    static const char *const bases[] = {"tiny_tied_gqa", "tiny_untied_mha"}, *const kinds[] = {"lora_plain", "lora_rslora"};
    for (int i = 0; i < 2; i++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr__tensors t;
        char path[160];
        snprintf(path, sizeof path, "tests/data/%s", bases[i]);
        rlvr_model *m = rlvr_model_load(ctx, path);
        snprintf(path, sizeof path, "tests/data/%s", kinds[i]);
        if (!CHECK(m && rlvr_lora_load(m, path) == RLVR_OK)) { printf("    %s\n", rlvr_last_error(ctx)); rlvr_close(ctx); continue; }
        snprintf(path, sizeof path, "tests/data/%s/ref.safetensors", kinds[i]);
        CHECK(rlvr__tensors_open(ctx, &t, path) == RLVR_OK);
        const rlvr__tensor *tokens = rlvr__tensor_find(&t, "tokens"), *logits = rlvr__tensor_find(&t, "logits"), *off = rlvr__tensor_find(&t, "base_logits");
        int n = (int)tokens->n, ids[64];
        int64_t wide[64];
        float *want = (float *)malloc((size_t)logits->n * 4), *got = (float *)malloc((size_t)logits->n * 4);
        double worst[2] = {0, 0}, apart = 0;
        CHECK(n <= 64 && rlvr__tensor_to_i64(&t, tokens, 0, n, wide) == RLVR_OK);
        for (int k = 0; k < n; k++) ids[k] = (int)wide[k];
        for (int on = 1; on >= 0; on--) {
            CHECK(rlvr_lora_enable(m, on) == RLVR_OK && rlvr_logits(m, ids, n, got) == RLVR_OK);
            CHECK(rlvr__tensor_to_f32(&t, on ? logits : off, 0, logits->n, want) == RLVR_OK);
            for (int64_t k = 0; k < logits->n; k++) worst[on] = fmax(worst[on], fabs((double)want[k] - (double)got[k]));
            if (!on) CHECK(rlvr__tensor_to_f32(&t, logits, 0, logits->n, want) == RLVR_OK);
        }
        for (int64_t k = 0; k < logits->n; k++) apart = fmax(apart, fabs((double)want[k] - (double)got[k]));
        CHECK_LE(worst[0], 1e-4);
        CHECK_LE(worst[1], 1e-4);
        CHECK(apart > 0.05);
        REPORT("%s on %s, made by peft: logits within %.1e, with the adapter off %.1e (it moves them by %.2g)", kinds[i], bases[i], worst[1], worst[0], apart);
        free(want);
        free(got);
        rlvr__tensors_close(&t);
        rlvr_close(ctx);
    }
}

/* ---- descriptors and guards ---- */

#define REFUSED(call, why) do { if (!CHECK((call) && strstr(rlvr_last_error(ctx), why))) printf("    %s\n", rlvr_last_error(ctx)); } while (0)

static void test_guards(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true, 3), *critic = small_model(ctx, true, 6);
    rlvr_lora_desc l = lora(-1, 0, NULL, false);
    REFUSED(rlvr_lora_add(m, &l) == RLVR_ERROR_ARGUMENT, "rlvr_lora_desc: rank");
    l = lora(4097, 0, NULL, false);
    REFUSED(rlvr_lora_add(m, &l) == RLVR_ERROR_ARGUMENT, "rank is 4097");
    l = lora(4, NAN, NULL, false);
    REFUSED(rlvr_lora_add(m, &l) == RLVR_ERROR_ARGUMENT, "alpha");
    l = lora(4, 1, "q_proj,fame", false);
    REFUSED(rlvr_lora_add(m, &l) == RLVR_ERROR_ARGUMENT, "no target \"fame\"");
    l = lora(4, 1, " ,", false);
    REFUSED(rlvr_lora_add(m, &l) == RLVR_ERROR_ARGUMENT, "targets names none");
    REFUSED(rlvr_lora_merge(m) == RLVR_ERROR_ARGUMENT, "no adapter");
    REFUSED(rlvr_lora_remove(m) == RLVR_ERROR_ARGUMENT, "no adapter");
    REFUSED(rlvr_lora_enable(m, false) == RLVR_ERROR_ARGUMENT, "no adapter");
    add_lora(m, lora(2, 0, NULL, false));
    REFUSED(rlvr_lora_add(m, NULL) == RLVR_ERROR_ARGUMENT, "has an adapter");
    REFUSED(rlvr_lora_load(m, folder) == RLVR_ERROR_ARGUMENT, "has an adapter");

    rlvr_trainer_desc d = description();
    d.frozen.layers = 1;
    REFUSED(!rlvr_trainer_open(m, &d), "frozen: the model has an adapter");
    d.frozen.layers = 0;
    rlvr_lora_enable(m, false);
    REFUSED(!rlvr_trainer_open(m, &d), "adapter is switched off");
    rlvr_lora_enable(m, true);
    CHECK(m->n_trainers == 0);
    d.preference.kind = RLVR_PREFER_DPO;
    d.value.on = true;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL && m->n_trainers == 1);
    REFUSED(rlvr_lora_merge(m) == RLVR_ERROR_ARGUMENT, "a trainer is open");
    REFUSED(rlvr_lora_remove(m) == RLVR_ERROR_ARGUMENT, "a trainer is open");
    /* every way to train refuses while the adapter is off, and moves nothing */
    uint64_t before = adapter_hash(m);
    float logprob[N], target[N] = {0};
    rlvr_preference p;
    rlvr_rollouts *r = NULL;
    rlvr_task task;
    memset(&p, 0, sizeof p);
    memset(&task, 0, sizeof task);
    p.prompt = p.chosen = p.rejected = sample_tokens;
    p.n_prompt = p.n_chosen = 3;
    p.n_rejected = 2;
    task.prompt = "Say";
    task.raw = true;
    rlvr_lora_enable(m, false);
    CHECK(rlvr_sample(m, &task, 1, 2, &d.sampling, &r) == RLVR_OK);
    REFUSED(rlvr_train_step(t, NULL) == RLVR_ERROR_ARGUMENT, "rlvr_train_step: the model's adapter is switched off");
    REFUSED(rlvr_train_tokens(t, sample_tokens, sample_offset, 2, NULL, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_grad_tokens(t, sample_tokens, sample_offset, 2, sample_weight, logprob) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_train_preferences(t, &p, 1, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_train_best(t, r, NULL, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_grad_values(t, sample_tokens, sample_offset, 2, sample_weight, logprob) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_train_values(t, sample_tokens, sample_offset, 2, target, NULL, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_train_pairs(t, sample_tokens, sample_offset, 1, NULL, 0, NULL, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    REFUSED(rlvr_train_process(t, sample_tokens, sample_offset, 2, target, NULL, NULL) == RLVR_ERROR_ARGUMENT, "switched off");
    rlvr_lora_enable(m, true);
    CHECK(adapter_hash(m) == before && rlvr_trainer_steps(t) == 0);
    /* and all of them train the adapter alone while it is on, the value head beside it */
    uint64_t base = rlvr_model_hash(m), now;
    for (int way = 0; way < 5; way++) {
        rlvr_result result = way == 0 ? rlvr_train_tokens(t, sample_tokens, sample_offset, 2, NULL, NULL) : way == 1 ? rlvr_train_preferences(t, &p, 1, NULL)
            : way == 2 ? rlvr_train_values(t, sample_tokens, sample_offset, 2, target, NULL, NULL)
            : way == 3 ? rlvr_train_pairs(t, sample_tokens, sample_offset, 1, NULL, 0.1f, NULL, NULL) : rlvr_train_step(t, NULL);
        CHECK(result == RLVR_OK);
        if (way == 2) {      /* a head of zeros has no gradient for the trunk yet */
            for (int k = 0; k < N; k++) target[k] = 1;
            for (int k = 0; k < 2; k++) CHECK(rlvr_train_values(t, sample_tokens, sample_offset, 2, target, NULL, NULL) == RLVR_OK);
        }
        now = adapter_hash(m);
        if (!CHECK(now != before)) printf("    way %d\n", way);
        before = now;
    }
    CHECK(rlvr_model_hash(m) == base);
    rlvr_rollouts_free(r);
    rlvr_trainer_close(t);
    CHECK(m->n_trainers == 0 && rlvr_lora_merge(m) == RLVR_OK);

    /* a critic with an adapter learns in it alone; switched off it is refused */
    add_lora(critic, lora(2, 0, "up_proj", false));
    d = description();
    d.value.on = true;
    d.value.critic = critic;
    rlvr_lora_enable(critic, false);
    REFUSED(!rlvr_trainer_open(m, &d), "the critic's adapter is switched off");
    rlvr_lora_enable(critic, true);
    base = rlvr_model_hash(critic);
    before = adapter_hash(critic);
    uint64_t policy = rlvr_model_hash(m);
    t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL && critic->n_trainers == 1);
    for (int i = 0; i < 2; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    CHECK(rlvr_model_hash(critic) == base && adapter_hash(critic) != before && rlvr_model_hash(m) != policy);
    rlvr_trainer_close(t);
    CHECK(critic->n_trainers == 0);
    rlvr_close(ctx);
}

/* ---- frozen parameters ---- */

static bool same_tensor(rlvr_model *a, rlvr_model *b, const char *name, bool grad)
{
    const rlvr__view *v;
    float *x = tensor(a, name, grad, &v), *y = tensor(b, name, grad, &v);
    bool same = !memcmp(x, y, (size_t)(v->rows * v->cols) * sizeof(float));
    free(x);
    free(y);
    return same;
}

/* What is frozen keeps its bits and has no gradient; what is not has the gradient of full training, bit for bit. */
static void test_frozen(rlvr_frozen_desc f, bool tied, int n_blocks, const char *what)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, tied, 3), *start = small_model(ctx, tied, 3), *full = small_model(ctx, tied, 3);
    rlvr_trainer_desc d = description();
    rlvr_metrics metrics;
    float logprob[2][N];
    int moved = 0, still = 0;
    rlvr_trainer *all = rlvr_trainer_open(full, &d);
    d.frozen = f;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!CHECK(t && all)) { printf("    %s: %s\n", what, rlvr_last_error(ctx)); rlvr_close(ctx); return; }
    CHECK(t->n_trained == n_blocks && m->grads == NULL);
    CHECK(rlvr_grad_tokens(t, sample_tokens, sample_offset, 2, sample_weight, logprob[0]) == RLVR_OK);
    CHECK(rlvr_grad_tokens(all, sample_tokens, sample_offset, 2, sample_weight, logprob[1]) == RLVR_OK);
    CHECK(!memcmp(logprob[0], logprob[1], sizeof logprob[0]));
    for (int i = 0; i < m->n_views; i++) {
        const rlvr__view *v = &m->views[i];
        float x[1];
        if (t->still[v->param]) CHECK(rlvr_model_get(m, v->name, true, x, v->rows * v->cols) == RLVR_ERROR_ARGUMENT);
        else if (!CHECK(same_tensor(m, full, v->name, true))) printf("    %s: gradient of %s\n", what, v->name);
    }
    for (int i = 0; i < 2; i++) CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
    CHECK(metrics.grad_norm > 0);
    for (int i = 0; i < m->n_views; i++) {
        bool same = same_tensor(m, start, m->views[i].name, false);
        if (!CHECK(same == (t->still[m->views[i].param] != 0))) printf("    %s: %s\n", what, m->views[i].name);
        *(same ? &still : &moved) += 1;
    }
    CHECK(moved > 0 && still > 0);
    REPORT("frozen %s: %d tensors stand still, %d learn, in %d blocks", what, still, moved, t->n_trained);
    REFUSED(!rlvr_trainer_open(m, &d), "another trainer is open");
    d.frozen.layers = 0; d.frozen.embeddings = false; d.frozen.names = NULL;
    REFUSED(!rlvr_trainer_open(m, &d), "another trainer is open");
    rlvr_trainer_close(t);
    t = rlvr_trainer_open(m, &d);      /* and then the whole of it learns again */
    CHECK(t && m->grads && rlvr_train_step(t, NULL) == RLVR_OK && !same_tensor(m, start, "model.norm.weight", false));
    rlvr_trainer_close(t);
    rlvr_trainer_close(all);
    rlvr_close(ctx);
}

static rlvr_frozen_desc frozen(int layers, bool embeddings, const char *names)
{
    rlvr_frozen_desc f;
    memset(&f, 0, sizeof f);
    f.layers = layers;
    f.embeddings = embeddings;
    f.names = names;
    return f;
}

static void test_frozen_resume(void)
{
    const char *path = "build/test_lora_frozen.checkpoint";
    rlvr_trainer_desc d = description();
    uint64_t hash[2] = {0, 0};
    d.frozen = frozen(1, false, "lm_head");
    for (int broken = 0; broken < 2; broken++)
        for (int piece = 0; piece < 1 + broken; piece++) {
            rlvr_ctx *ctx = open_ctx(1);
            rlvr_model *m = small_model(ctx, false, 3);
            rlvr_trainer *t = rlvr_trainer_open(m, &d);
            if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
            for (int i = 0; i < 2 - broken; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
            if (broken) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
            hash[broken] = rlvr_model_hash(m);
            rlvr_trainer_close(t);
            rlvr_close(ctx);
        }
    CHECK(hash[0] == hash[1]);
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_trainer *t = rlvr_trainer_open(small_model(ctx, false, 8), &d);
    REFUSED(rlvr_trainer_resume(t, path) == RLVR_ERROR_ARGUMENT, "another base");
    d.frozen = frozen(0, false, NULL);
    t = rlvr_trainer_open(small_model(ctx, false, 3), &d);
    REFUSED(rlvr_trainer_resume(t, path) == RLVR_ERROR_ARGUMENT, "another base");
    rlvr_close(ctx);
    remove(path);
}

static void test_frozen_bad(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true, 3);
    rlvr_trainer_desc d = description();
    rlvr_memory plan;
    struct { rlvr_frozen_desc f; const char *why; } bad[] = {
        {frozen(3, false, NULL), "frozen.layers: 3"}, {frozen(-1, false, NULL), "frozen.layers: -1"}, {frozen(0, false, "fame"), "\"fame\""},
        {frozen(0, false, "norm,fame"), "is in no tensor's name"}, {frozen(0, false, "q_proj"), "one matrix"}, {frozen(0, false, "model"), "nothing is left"},
        {frozen(0, false, "up_proj"), "one matrix"}, {frozen(2, true, "model.norm"), "nothing is left"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        d.frozen = bad[i].f;
        REFUSED(!rlvr_trainer_open(m, &d), bad[i].why);
        REFUSED(rlvr_memory_plan(m, &d, &plan) == RLVR_ERROR_ARGUMENT, bad[i].why);
    }
    CHECK(m->n_trainers == 0);
    rlvr_close(ctx);
}

int main(void)
{
    make_sample();
    test_gradient(NULL, false, true);
    test_gradient("k_proj,up_proj,o_proj", true, false);
    test_pieces();
    test_switch_and_merge();
    test_on_policy();
    test_training();
    test_reference();
    test_preferences();
    test_resume(false);
    test_resume(true);
    test_memory();
    test_files();
    test_fixtures();
    test_guards();
    test_frozen(frozen(1, false, NULL), true, 2, "the first layer");
    test_frozen(frozen(1, true, NULL), false, 1, "the first layer and the embedding");
    test_frozen(frozen(0, true, NULL), true, 1, "the embedding, which is the head");
    test_frozen(frozen(0, false, "norm"), true, 4, "norms");
    test_frozen(frozen(0, false, "lm_head,layers.1.mlp,layers.0.self_attn"), false, 3, "by name");
    test_frozen(frozen(2, true, "lm_head"), false, 1, "all but the last norm");
    test_frozen_resume();
    test_frozen_bad();
    return test_done();
}
