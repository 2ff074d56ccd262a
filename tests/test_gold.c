/* Distillation from a teacher with another vocabulary (sections 12c, 13c, 19d): alignment, merging and both losses against TRL's
   (gold_trl.jsonl, which tests/parity_losses.py derives), the trainer's gradient against finite differences of a loss in double. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

enum { PROMPTS = 4, GROUP = 4, MOST = 6, ROLLOUTS = PROMPTS * GROUP, PLACES = 48, VOCAB = 16 };

static bool quick;

static rlvr_ctx *open_ctx(int n_threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = n_threads;
    d.quiet = true;
    return rlvr_open(&d);
}

/* ---- two small vocabularies ---- */

static const char *const own_tokens[] = {"a", "b", "c", "d", "ab", "cd", "abc", "ba", "<|end|>", NULL};
static const char *const own_merges[] = {"a b", "c d", "ab c", "b a", NULL};
static const char *const other_tokens[] = {"<|stop|>", "d", "c", "b", "a", "bc", "da", "bcd", "aa", "dd", "cda", "q", NULL};
static const char *const other_merges[] = {"b c", "d a", "bc d", "a a", "d d", "c da", NULL};

/* end: the token that ends a text, special; -1: none. */
static rlvr__tokenizer *make_tokenizer(rlvr_ctx *ctx, const char *const *tokens, const char *const *merges, int end)
{
    rlvr__tok_source s;
    rlvr__str token[32], merge[32][2];
    unsigned char kind[32] = {0};
    memset(&s, 0, sizeof s);
    s.file = "a test's";
    s.token = token;
    s.kind = kind;
    s.merge = merge;
    for (; tokens[s.n]; s.n++) { token[s.n].s = tokens[s.n]; token[s.n].n = strlen(tokens[s.n]); }
    for (; merges && merges[s.n_merges]; s.n_merges++) {
        rlvr__str pair = {merges[s.n_merges], strlen(merges[s.n_merges])};
        rlvr__split_merge(pair, merge[s.n_merges]);
    }
    if (end >= 0) kind[end] = RLVR__TOKEN_ADDED | RLVR__TOKEN_SPECIAL;
    rlvr__tokenizer *t = rlvr__tok_build(ctx, &s);
    if (t) t->eos = end;
    return t;
}

static rlvr_model *make_model(rlvr_ctx *ctx, bool teacher, int n_vocab, int n_ctx)
{
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = n_vocab; d.n_ctx = n_ctx; d.d_model = teacher ? 16 : 12; d.n_layers = 1 + teacher; d.n_heads = 2; d.n_kv_heads = 1; d.head_dim = 6;
    d.d_ff = 16; d.tied = !teacher; d.seed = teacher ? 3 : 11; d.init_std = 0.4f;
    return rlvr_model_init(ctx, &d);
}

static rlvr_model *policy_model(rlvr_ctx *ctx)
{
    rlvr_model *m = make_model(ctx, false, 10, 32);
    m->tokenizer = make_tokenizer(ctx, own_tokens, own_merges, 8);
    return m;
}

static rlvr_model *teacher_model(rlvr_ctx *ctx)
{
    rlvr_model *m = make_model(ctx, true, 13, 30);      /* a smaller context than the policy's */
    m->tokenizer = make_tokenizer(ctx, other_tokens, other_merges, 0);
    return m;
}

static const char *const prompt_text[] = {"abcd", "bcda", "abba", "cd"};
static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    (void)user;
    task->prompt = prompt_text[index % 4];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result told_more(void *user, rlvr_rollouts *r, int group, rlvr_task *task)
{
    static const char *const text[] = {"dabcd", "bb", "cdaab", "d"};
    (void)user;
    (void)r;
    task->prompt = text[group];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result same(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0.3f; return RLVR_OK; }

static rlvr_trainer_desc description(rlvr_model *teacher, rlvr_distill kind)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = same;
    d.prompts_per_step = PROMPTS;
    d.group_size = GROUP;
    d.sampling.max_tokens = MOST;
    d.max_prompt_tokens = 8;
    d.optim.lr = 1e-12f;
    d.optim.max_grad_norm = -1;
    d.seed = 5;
    d.regulariser.teacher = teacher;
    d.regulariser.distill = kind;
    d.regulariser.distill_coef = 0.7f;
    return d;
}

/* ---- against TRL ---- */

static int read_list(const rlvr__json *j, const char *name, double *out)
{
    int n = 0;
    RLVR__JSON_EACH(item, rlvr__json_get(j, name)) out[n++] = rlvr__json_num(item, 0);
    return n;
}

static rlvr__tokenizer *read_tokens(rlvr_ctx *ctx, const rlvr__json *j, const char *name, int *n)
{
    const char *token[VOCAB + 1] = {NULL};
    int end = -1;
    *n = 0;
    RLVR__JSON_EACH(item, rlvr__json_get(j, name)) {
        token[*n] = rlvr__json_str(item, NULL);
        if (!strcmp(token[*n], "<end>")) end = *n;
        (*n)++;
    }
    return make_tokenizer(ctx, token, NULL, end);
}

static void probabilities(const double *z, int n, float *p)
{
    double sum = 0;
    for (int v = 0; v < n; v++) sum += exp(z[v]);
    for (int v = 0; v < n; v++) p[v] = (float)(exp(z[v]) / sum);
}

/* One case: groups, their merged probabilities, the loss of each, and its slopes by the logits. */
static void trl_case(rlvr_ctx *ctx, const rlvr__json *j, double *worst, double *worst_slope)
{
    static double z[2][PLACES * VOCAB], id[2][PLACES], want[PLACES * VOCAB], slope[PLACES * VOCAB];
    static float p[2][PLACES * VOCAB];
    uint32_t scratch[6 * VOCAB];
    int n[2], V[2], token[2][PLACES], match[VOCAB], n_groups = 0;
    double beta = rlvr__json_num(rlvr__json_get(j, "beta"), 0), loss = 0;
    bool hybrid = !strcmp(rlvr__json_str(rlvr__json_get(j, "what"), NULL), "gold");
    rlvr__group group[PLACES];
    rlvr__tokenizer *t[2] = {read_tokens(ctx, j, "own", &V[0]), read_tokens(ctx, j, "other", &V[1])};
    for (int side = 0; side < 2; side++) {
        n[side] = read_list(j, side ? "other_tokens" : "tokens", id[side]);
        CHECK(read_list(j, side ? "other_logits" : "logits", z[side]) == n[side] * V[side]);
        for (int k = 0; k < n[side]; k++) { token[side][k] = (int)id[side][k]; probabilities(z[side] + k * V[side], V[side], p[side] + k * V[side]); }
    }
    read_list(j, "grad", want);
    memset(slope, 0, sizeof slope);
    CHECK(rlvr__tok_match(t[0], t[1], match, V[0]) == RLVR_OK);
    CHECK(rlvr__align(t[0], token[0], n[0] - 1, t[1], token[1], n[1] - 1, group));
    group[n[0] - 1].other = n[1] - 1;      /* the two ends */
    group[n[0] - 1].n_other = group[n[0] - 1].n_own = 1;
    for (int k = 0; k < n[0]; k++) n_groups += group[k].other >= 0;
    for (int k = 0; k < n[0]; k++) {
        float merged[2][VOCAB], by_p[VOCAB];
        double factor[2] = {1, 1}, sum = 0;
        if (group[k].other < 0) continue;
        for (int i = 1; i < group[k].n_own; i++) factor[0] *= (double)p[0][(k + i) * V[0] + token[0][k + i]];
        for (int i = group[k].other + 1; i < group[k].other + group[k].n_other; i++) factor[1] *= (double)p[1][i * V[1] + token[1][i]];
        for (int v = 0; v < V[0]; v++) merged[0][v] = (float)(factor[0] * (double)p[0][k * V[0] + v]);
        for (int v = 0; v < V[1]; v++) merged[1][v] = (float)(factor[1] * (double)p[1][group[k].other * V[1] + v]);
        loss += rlvr_uld(merged[0], V[0], merged[1], V[1], hybrid ? match : NULL, (float)beta, by_p, scratch) / n_groups;
        for (int v = 0; v < V[0]; v++) sum += (double)merged[0][v] * (double)by_p[v] / n_groups;
        for (int v = 0; v < V[0]; v++) slope[k * V[0] + v] += (double)merged[0][v] * (double)by_p[v] / n_groups - sum * (double)p[0][k * V[0] + v];
        for (int i = 1; i < group[k].n_own; i++)
            for (int v = 0; v < V[0]; v++) slope[(k + i) * V[0] + v] += sum * ((v == token[0][k + i]) - (double)p[0][(k + i) * V[0] + v]);
    }
    *worst = fmax(*worst, fabs(loss - rlvr__json_num(rlvr__json_get(j, "loss"), 0)));
    for (int i = 0; i < n[0] * V[0]; i++) *worst_slope = fmax(*worst_slope, fabs(slope[i] - want[i]));
    for (int side = 0; side < 2; side++) rlvr__tokenizer_free(t[side]);
}

static void test_trl(void)
{
    const char *path = "tests/data/gold_trl.jsonl";
    rlvr_ctx *ctx = open_ctx(1);
    double worst[2] = {0, 0}, worst_slope[2] = {0, 0};
    int n[2] = {0, 0};
    rlvr__file f;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        const char *what = j ? rlvr__json_str(rlvr__json_get(j, "what"), NULL) : NULL;
        if (CHECK(what) && strcmp(what, "from")) {
            int gold = !strcmp(what, "gold");
            trl_case(ctx, j, &worst[gold], &worst_slope[gold]);
            n[gold]++;
        }
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(n[0] == 20 && n[1] == 40);
    for (int gold = 0; gold < 2; gold++) { CHECK_LE(worst[gold], 2e-6); CHECK_LE(worst_slope[gold], 2e-6); }
    REPORT("TRL's %d universal losses within %.1e, slopes %.1e; %d hybrid ones %.1e, slopes %.1e", n[0], worst[0], worst_slope[0], n[1], worst[1],
           worst_slope[1]);
    rlvr_close(ctx);
}

/* ---- the trainer's gradient ---- */

static int downwards(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return (x < y) - (x > y); }

/* The divergence of two merged distributions by its definition; V_p, V_q: entries. */
static double divergence_of(const rlvr_trainer_desc *d, const rlvr_model *m, const double *p, const double *q)
{
    int V[2] = {m->info.n_vocab, d->regulariser.teacher->info.n_vocab}, n[2] = {0, 0}, n_match = 0;
    double left[2][VOCAB] = {{0}}, beta = d->regulariser.distill_beta == 0 ? 0.5 : (double)d->regulariser.distill_beta, direct = 0, rest = 0;
    const rlvr__tokenizer *t[2] = {m->tokenizer, d->regulariser.teacher->tokenizer};
    bool taken[VOCAB] = {false};
    for (int v = 0; v < V[0]; v++) {
        int other = -1;
        for (int w = 0; w < V[1] && d->regulariser.distill == RLVR_DISTILL_GOLD; w++) {
            size_t len[2];
            const char *s[2] = {rlvr__tok_bytes(t[0], v, &len[0]), rlvr__tok_bytes(t[1], w, &len[1])};
            if (v == t[0]->eos ? w == t[1]->eos : len[0] && len[0] == len[1] && !memcmp(s[0], s[1], len[0])) other = w;
        }
        if (other < 0) { left[0][n[0]++] = p[v]; continue; }
        double mix = beta * q[other] + (1 - beta) * p[v];
        direct += beta * q[other] * log(q[other] / mix) + (1 - beta) * p[v] * log(p[v] / mix);
        taken[other] = true;
        n_match++;
    }
    for (int w = 0; w < V[1]; w++)
        if (!taken[w]) left[1][n[1]++] = q[w];
    for (int side = 0; side < 2; side++) qsort(left[side], (size_t)n[side], sizeof(double), downwards);
    for (int k = 0; k < VOCAB && n[0] && n[1]; k++) rest += fabs(left[0][k] - left[1][k]);
    return ((double)n_match * direct + (V[1] - n_match) * rest) / V[1];
}

static double log_of(const float *z, int V, int token)      /* its probability */
{
    double sum = 0;
    for (int v = 0; v < V; v++) sum += exp((double)z[v]);
    return (double)z[token] - log(sum);
}

/* Rollout i's groups, each with its first policy token's weight. n_wide: groups of several tokens are counted. */
static double rollout_loss(rlvr_model *m, const rlvr_trainer_desc *d, const rlvr_rollout *o, int group, rlvr_rollouts *r, int *n_wide)
{
    rlvr_model *model[2] = {m, d->regulariser.teacher};
    int V[2] = {m->info.n_vocab, model[1]->info.n_vocab}, text[2][64], n_prompt[2], n[2], end[2][64], *ids;
    static float z[2][64 * VOCAB];
    bool ended = o->tokens[o->n_tokens - 1] == rlvr_token_eos(m);
    size_t len;
    char *completion = rlvr_detokenize(m, o->tokens, o->n_tokens, false, &len);
    rlvr_task task = *o->task;
    if (d->regulariser.teacher_task) told_more(NULL, r, group, &task);
    for (int side = 0; side < 2; side++) {
        n_prompt[side] = rlvr_tokenize(model[side], side ? task.prompt : o->task->prompt, strlen(side ? task.prompt : o->task->prompt), true, &ids);
        memcpy(text[side], ids, (size_t)n_prompt[side] * sizeof(int));
        rlvr_free(m->ctx, ids);
        n[side] = side ? rlvr_tokenize(model[1], completion, len, false, &ids) : o->n_tokens - ended;
        memcpy(text[side] + n_prompt[side], side ? ids : o->tokens, (size_t)n[side] * sizeof(int));
        if (side) rlvr_free(m->ctx, ids);
        for (int k = 0, at = 0; k < n[side]; k++) end[side][k] = at += (int)rlvr__tok_width(model[side]->tokenizer, text[side][n_prompt[side] + k]);
        if (ended) { end[side][n[side]] = (int)len + 1; text[side][n_prompt[side] + n[side]++] = rlvr_token_eos(model[side]); }
        CHECK(rlvr_logits(model[side], text[side], n_prompt[side] + n[side], z[side]) == RLVR_OK);
    }
    rlvr_free(m->ctx, completion);
    double loss = 0;
    for (int i = 0, j = 0; i < n[0] && j < n[1];) {      /* from one place where both end to the next */
        int next[2] = {i + 1, j + 1};
        if (end[0][i] == (i ? end[0][i - 1] : 0)) { i++; continue; }      /* an id without a text */
        while (end[0][next[0] - 1] != end[1][next[1] - 1]) next[end[0][next[0] - 1] > end[1][next[1] - 1]]++;
        double merged[2][VOCAB];
        for (int side = 0; side < 2; side++) {
            int first = side ? j : i;
            const float *at = z[side] + (n_prompt[side] - 1 + first) * V[side];
            for (int v = 0; v < V[side]; v++) {
                double sum = log_of(at, V[side], v);
                for (int k = first + 1; k < next[side]; k++)
                    sum += log_of(z[side] + (n_prompt[side] - 1 + k) * V[side], V[side], text[side][n_prompt[side] + k]);
                merged[side][v] = exp(sum);
            }
            n_wide[side] += next[side] - first > 1;
        }
        loss += divergence_of(d, m, merged[0], merged[1]);
        i = next[0];
        j = next[1];
    }
    return loss;
}

/* The loss of groups `from` and on, aggregated. */
static double distill_loss(rlvr_model *m, const rlvr_trainer_desc *d, rlvr_rollouts *r, int from, int *n_wide)
{
    int tokens = 0, n = (PROMPTS - from) * GROUP;
    double loss = 0;
    for (int i = from * GROUP; i < ROLLOUTS; i++) tokens += rlvr_rollouts_get(r, i)->n_tokens;
    for (int i = from * GROUP; i < ROLLOUTS; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        double scale = d->loss.aggregation == RLVR_AGG_TOKEN_MEAN ? 1.0 / tokens : 1.0 / n / o->n_tokens;
        loss += scale * rollout_loss(m, d, o, i / GROUP, r, n_wide);
    }
    return loss;
}

/* A step that distils and does nothing else and hardly moves: its gradient along itself and parts of it, by differences of the loss. */
static void test_gold(void)
{
    double worst = 0;
    int n_wide[2] = {0, 0}, n_empty = 0, n_shared = 0;
    for (int kind = RLVR_DISTILL_ULD; kind <= RLVR_DISTILL_GOLD; kind++)
        for (int aggregation = 0; aggregation < 2; aggregation++)
            for (int form = 0; form < 3; form++) {      /* one pack; several, and a teacher's prompts; two minibatches */
                if (quick && (kind + form) % 2 != aggregation) continue;
                rlvr_ctx *ctx = open_ctx(1);
                rlvr_model *m = policy_model(ctx);
                rlvr_trainer_desc d = description(teacher_model(ctx), (rlvr_distill)kind);
                rlvr_metrics metrics;
                d.loss.aggregation = (rlvr_aggregation)aggregation;
                if (kind == RLVR_DISTILL_GOLD && aggregation) d.regulariser.distill_beta = 0.2f;
                d.seed = (uint64_t)(5 + form);
                if (form) d.micro_tokens = 40;
                if (form == 1) d.regulariser.teacher_task = told_more;
                if (form == 2) d.minibatches = 2;
                rlvr_trainer *t = test_open_trainer(m, &d);
                int from = form == 2 ? PROMPTS / 2 : 0, none[2];
                size_t bytes = (size_t)m->n_floats * sizeof(float);
                float *before = (float *)malloc(bytes), *grads = (float *)malloc(bytes);
                double length = 0, here = 0;
                if (t && CHECK(rlvr_train_step(t, &metrics) == RLVR_OK)) here = distill_loss(m, &d, rlvr_trainer_rollouts(t), 0, n_wide);
                if (form != 2) CHECK_LE(fabs(metrics.distill - here), 2e-5 * here);
                CHECK_LE(fabs(metrics.loss - 0.7 * metrics.distill), 2e-5 * metrics.loss);
                CHECK(!metrics.skipped && !metrics.n_undistilled && metrics.distill > 0.05);
                for (int i = 0; i < ROLLOUTS; i++) {
                    const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
                    n_empty += o->tokens[0] == rlvr_token_eos(m);
                    n_shared += i % GROUP && o->tokens[0] == rlvr_rollouts_get(rlvr_trainer_rollouts(t), i - 1)->tokens[0];
                }
                memcpy(before, m->weights, bytes);
                memcpy(grads, m->grads, bytes);
                for (int64_t i = 0; i < m->n_floats; i++) length += (double)grads[i] * (double)grads[i];
                length = sqrt(length);
                for (int along = 0; along < 5; along++) {
                    static const int steps[] = {1, -1, 2, -2};
                    double f[4], slope = 0, step = (kind == RLVR_DISTILL_ULD ? 2e-4 : 2e-3) / length;      /* uld has kinks */
                    for (int side = 0; side < 4; side++) {
                        for (int64_t i = 0; i < m->n_floats; i++) {
                            bool in = !along || rlvr_uniform((uint64_t)along, (uint32_t)i, 0, 0, 0) < 0.5f;
                            m->weights[i] = before[i] + (in ? (float)(steps[side] * step * (double)grads[i]) : 0);
                            slope += side || !in ? 0 : (double)grads[i] * (double)grads[i];
                        }
                        f[side] = distill_loss(m, &d, rlvr_trainer_rollouts(t), from, none);
                    }
                    double off = fabs((double)0.7f * (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * step) - slope) / (length * length);
                    worst = fmax(worst, off);
                }
                free(before);
                free(grads);
                rlvr_close(ctx);
            }
    CHECK(n_wide[0] > 10 && n_wide[1] > 10 && n_empty && n_shared > 3);
    CHECK_LE(worst, 2e-3);
    REPORT("distillation between vocabularies: slopes within %.1e of differences; %d and %d groups of several tokens, %d empty completions", worst,
           n_wide[0], n_wide[1], n_empty);
}

/* The gradient of a step, allocated. */
static float *gradient_of(const rlvr_model *m)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    return (float *)memcpy(malloc(bytes), m->grads, bytes);
}

/* How far two are apart, relative to the largest slope; frees them. */
static double gradients_apart(float *a, float *b, int64_t n)
{
    double worst = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    }
    free(a);
    free(b);
    return worst / largest;
}

/* A teacher that reads the same tokens, all of them equal: gold is jsd. */
static void test_same_tokens(void)
{
    static const char *const letters[] = {"a", "b", "c", "d", "<|end|>", NULL};
    float *grads[2] = {NULL, NULL};
    rlvr_metrics metrics[2];
    int64_t n = 0;
    for (int gold = 0; gold < 2; gold++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = make_model(ctx, false, 5, 32), *teacher = make_model(ctx, true, 5, 32);
        m->tokenizer = make_tokenizer(ctx, letters, NULL, 4);
        teacher->tokenizer = make_tokenizer(ctx, letters, NULL, 4);
        rlvr_trainer_desc d = description(teacher, gold ? RLVR_DISTILL_GOLD : RLVR_DISTILL_JSD);
        d.regulariser.distill_beta = 0.3f;
        d.sampling.min_tokens = 2;
        d.sampling.temperature = 1.3f;
        d.loss.aggregation = RLVR_AGG_SEQ_MEAN_TOKEN_SUM;
        d.micro_tokens = 40;
        rlvr_trainer *t = test_open_trainer(m, &d);
        if (t) CHECK(rlvr_train_step(t, &metrics[gold]) == RLVR_OK);
        n = m->n_floats;
        grads[gold] = gradient_of(m);
        rlvr_close(ctx);
    }
    double off = gradients_apart(grads[1], grads[0], n);
    CHECK_LE(fabs(metrics[1].distill - metrics[0].distill), 1e-6 * metrics[0].distill);
    CHECK_LE(off, 1e-5);
    REPORT("with equal tokens gold is jsd within %.1e, the largest slope 1", off);
}

/* Few rows of the policy's, many of a teacher's that spells its tokens out: a pass ends where the teacher's is full, and the gradient is
   that of one pass. */
static void test_passes(void)
{
    static const char *const spelt[] = {"<|stop|>", "d", "c", "b", "a", NULL}, *const words[] = {
        "abcd", "abdc", "acbd", "acdb", "adbc", "adcb", "bacd", "badc", "bcad", "bcda", "bdac", "bdca", "cabd", "cadb",
        "cbad", "cbda", "cdab", "cdba", "dabc", "dacb", "dbac", "dbca", "dcab", "dcba", "a", "b", "c", "d", "<|end|>", NULL};
    float *grads[2] = {NULL, NULL};
    int64_t n = 0;
    for (int whole = 0; whole < 2; whole++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = make_model(ctx, false, 29, 32), *teacher = make_model(ctx, true, 5, 64);
        m->tokenizer = make_tokenizer(ctx, words, NULL, 28);
        teacher->tokenizer = make_tokenizer(ctx, spelt, NULL, 0);
        rlvr_trainer_desc d = description(teacher, RLVR_DISTILL_GOLD);
        d.group_size = 16;
        d.sampling.max_tokens = 1;
        d.regulariser.teacher_max_tokens = 4;
        d.regulariser.teacher_prompt_tokens = 4;
        d.micro_tokens = whole ? 0 : 16;
        rlvr_trainer *t = test_open_trainer(m, &d);
        rlvr_metrics metrics;
        if (t && CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && !metrics.skipped && !metrics.n_undistilled)) {
            CHECK(rlvr__micro_end_in(t, &t->train, 0, PROMPTS) == PROMPTS && (rlvr__micro_end(t, 0, PROMPTS) == PROMPTS) == whole);
        }
        n = m->n_floats;
        grads[whole] = gradient_of(m);
        rlvr_close(ctx);
    }
    CHECK_LE(gradients_apart(grads[0], grads[1], n), 1e-5);
}

/* The policy comes near its teacher; the same bits for any number of threads, and where a run is killed and goes on. */
static void test_learning(void)
{
    enum { SEEN = 10 };
    static const char *const few[] = {"a", "b", "c", "d", "ab", "<|end|>", NULL}, *const few_merges[] = {"a b", NULL};
    static const char *const fewer[] = {"<|stop|>", "d", "c", "b", "a", "q", NULL};
    const char *path = "build/test_gold.checkpoint";
    int steps = quick ? SEEN : 160, saved = steps / 2;
    for (int kind = RLVR_DISTILL_ULD; kind <= RLVR_DISTILL_GOLD; kind++) {
        double first = 0, last = 0;
        uint64_t hash[3];
        for (int form = 0; form < 3; form++) {      /* 1: three threads; 2: goes on from the first one's middle */
            rlvr_ctx *ctx = open_ctx(form == 1 ? 3 : 1);
            rlvr_model *m = make_model(ctx, false, 6, 32), *teacher = make_model(ctx, true, 6, 40);
            m->tokenizer = make_tokenizer(ctx, few, few_merges, 5);
            teacher->tokenizer = make_tokenizer(ctx, fewer, NULL, 0);
            rlvr_trainer_desc d = description(teacher, (rlvr_distill)kind);
            d.optim.lr = 2e-2f;
            d.minibatches = 2;
            d.regulariser.distill_coef = 1;
            rlvr_trainer *t = test_open_trainer(m, &d);
            if (t && form == 2) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
            for (int step = form == 2 ? saved : 0; t && step < steps; step++) {
                rlvr_metrics metrics;
                CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && metrics.n_undistilled == 0);
                if (!form && step < SEEN) first += metrics.distill / SEEN;
                if (!form && step >= steps - SEEN) last += metrics.distill / SEEN;
                if (!form && step == saved - 1) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
            }
            hash[form] = rlvr_model_hash(m);
            rlvr_close(ctx);
        }
        CHECK(hash[1] == hash[0] && hash[2] == hash[0]);
        REPORT("%s: %.3f in the first steps, %.3f in the last", kind == RLVR_DISTILL_ULD ? "uld" : "gold", first, last);
        CHECK(first > 0 && last > 0);
        CHECK(quick || last < (kind == RLVR_DISTILL_ULD ? 0.75 : 0.4) * first);
    }
    remove(path);
}

/* ---- texts that a teacher cannot read, or only just ---- */

static rlvr_model *byte_policy(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model *m = make_model(ctx, false, 258, 32);
    CHECK(rlvr_model_set_byte_tokenizer(m, special, 1) == RLVR_OK);
    return m;
}

/* With tokens for every byte, a chat template and special tokens. */
static rlvr_model *chat_teacher(rlvr_ctx *ctx)
{
    const char *path = "tests/data/tokenizer_small.json";
    rlvr_model *m = make_model(ctx, true, 500, 64);
    rlvr__file f;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return m;
    m->tokenizer = rlvr__tokenizer_from_json(ctx, path, (const char *)f.data, f.len);
    rlvr__file_close(ctx, &f);
    if (CHECK(m->tokenizer && m->tokenizer->n <= 500)) m->tokenizer->eos = rlvr__tok_find_added(m->tokenizer, "<|end|>", 7);
    return m;
}

/* Rollout i drew these bytes, and the end behind them. */
static void put_bytes(rlvr_trainer *t, int i, const char *bytes, int n, bool ended)
{
    rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
    int *tokens = (int *)(uintptr_t)o->tokens;
    for (int k = 0; k < n; k++) tokens[k] = (unsigned char)bytes[k];
    if (ended) tokens[n] = 256;
    o->n_tokens = n + ended;
    o->finish_reason = ended ? RLVR_FINISH_STOP : RLVR_FINISH_LENGTH;
}

static void test_texts(void)
{
    static const struct { const char *bytes; int n; bool ended; int n_teacher, n_groups; } text[] = {
        {"", 0, true, 1, 1},                     /* nothing but the end */
        {"\xff\xfe\x80\xc3", 4, false, 4, 4},    /* no UTF-8 */
        {"\0\0", 2, true, 3, 3},
        {"<|end|>", 7, true, 8, 8},              /* a special token's name, spelt out */
        {" they", 5, true, 2, 2},                /* one token of the teacher's */
        {" thein", 6, false, 2, 2}};
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = byte_policy(ctx), *teacher = chat_teacher(ctx);
    rlvr_trainer_desc d = description(teacher, RLVR_DISTILL_GOLD);
    rlvr_metrics metrics;
    d.sampling.max_tokens = 8;
    rlvr_trainer *t = test_open_trainer(m, &d);
    if (!t || !CHECK(rlvr_train_step(t, &metrics) == RLVR_OK)) { rlvr_close(ctx); return; }
    CHECK(metrics.n_undistilled == 0 && metrics.distill > 0 && !metrics.skipped);
    for (int i = 0; i < (int)(sizeof text / sizeof *text); i++) put_bytes(t, i, text[i].bytes, text[i].n, text[i].ended);
    rlvr__flatten(t);
    CHECK(rlvr__teacher_prompts(t, &metrics) == RLVR_OK && metrics.n_undistilled == 0);
    for (int i = 0; i < (int)(sizeof text / sizeof *text); i++) {
        int n = 0;
        for (int k = t->offset[i]; k < t->offset[i + 1]; k++) n += t->algorithm.group[k].other >= 0;
        if (!CHECK(t->algorithm.view->items[i].n_tokens == text[i].n_teacher && n == text[i].n_groups))
            printf("    text %d: %d tokens of the teacher's, %d groups\n", i, t->algorithm.view->items[i].n_tokens, n);
    }
    /* an id without a text alone; and a text that fits no more */
    put_bytes(t, 0, "", 0, true);
    ((int *)(uintptr_t)rlvr_rollouts_get(rlvr_trainer_rollouts(t), 0)->tokens)[0] = 257;
    put_bytes(t, 1, "xyz", 3, true);
    t->desc.regulariser.teacher_max_tokens = 3;
    rlvr__flatten(t);
    CHECK(rlvr__teacher_prompts(t, &metrics) == RLVR_OK && metrics.n_undistilled >= 2);
    for (int i = 0; i < 3; i++) {
        CHECK(t->algorithm.view->items[i].n_tokens == (i < 2 ? 0 : 3) && rlvr__takes_part(t, i) == (i == 2));
        CHECK((t->algorithm.group[t->offset[i]].other < 0) == (i < 2));
    }
    rlvr_close(ctx);

    /* too short a bound, and a teacher without a token for a byte: left out, counted, said once; where all are, nothing moves */
    for (int k = 0; k < 2; k++) {
        ctx = open_ctx(1);
        m = byte_policy(ctx);
        d = description(k ? teacher_model(ctx) : chat_teacher(ctx), RLVR_DISTILL_ULD);
        d.optim.lr = 1e-2f;
        d.regulariser.teacher_max_tokens = 5;
        t = test_open_trainer(m, &d);
        uint64_t hash = rlvr_model_hash(m);
        for (int step = 0; t && step < 3; step++) {
            int n_out = 0;
            CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
            for (int i = 0; i < ROLLOUTS; i++) n_out += t->algorithm.view->items[i].n_tokens == 0;
            CHECK(metrics.n_undistilled > 8 && n_out == metrics.n_undistilled && t->algorithm.told_left_out);
            if (n_out == ROLLOUTS) CHECK(metrics.skipped && rlvr_model_hash(m) == hash);
            else CHECK(!metrics.skipped && rlvr_model_hash(m) != hash);
            hash = rlvr_model_hash(m);
        }
        rlvr_close(ctx);
    }
}

/* ---- the door, and memory ---- */

static void test_door(void)
{
    static const char *const word[] = {"or distill uld or gold", "read texts", "read texts", "leave them out", "leave them out",
        "teacher_max_tokens is below 0", "is for distill", "teacher_prompt_tokens and teacher_max_tokens", "distill_beta", "leave sampling.top_k", "need one"};
    for (int k = 0; k < (int)(sizeof word / sizeof *word); k++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = policy_model(ctx), *teacher = teacher_model(ctx);
        rlvr_trainer_desc d = description(teacher, k == 0 ? RLVR_DISTILL_JSD : k == 8 ? RLVR_DISTILL_ULD : RLVR_DISTILL_GOLD);
        rlvr_memory plan;
        if (k == 1 || k == 2) { rlvr__tokenizer **t = k == 1 ? &m->tokenizer : &teacher->tokenizer; rlvr__tokenizer_free(*t); *t = NULL; }
        if (k == 3) d.loss.kl_coef = 0.1f;
        if (k == 4) d.regulariser.kl_reward = 0.1f;
        if (k == 5) d.regulariser.teacher_max_tokens = -1;
        if (k == 6) { d.regulariser.teacher = policy_model(ctx); d.regulariser.distill = RLVR_DISTILL_JSD; d.regulariser.teacher_max_tokens = 4; }
        if (k == 7) { d.regulariser.teacher_max_tokens = 20; d.regulariser.teacher_prompt_tokens = 11; }
        if (k == 8) d.regulariser.distill_beta = 0.3f;
        if (k == 9) d.sampling.top_k = 3;
        if (k == 10) { memset(&d.regulariser, 0, sizeof d.regulariser); d.regulariser.teacher_max_tokens = 4; }
        CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_ERROR_ARGUMENT && rlvr_trainer_open(m, &d) == NULL);
        if (!CHECK(strstr(rlvr_last_error(ctx), word[k]))) printf("    %s: %s\n", word[k], rlvr_last_error(ctx));
        rlvr_close(ctx);
    }
}

static int64_t alive(const rlvr_ctx *ctx)
{
    int64_t bytes = 0;
    for (const rlvr__block *b = ctx->blocks; b; b = b->next) bytes += (int64_t)b->bytes;
    return bytes;
}

/* No allocation in a step after the first. */
static void test_allocations(void)
{
    test_counter counter;
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 2;
    desc.quiet = true;
    test_count(&desc, &counter);
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_model *m = policy_model(ctx);
    rlvr_trainer_desc d = description(teacher_model(ctx), RLVR_DISTILL_GOLD);
    rlvr_trainer *t = test_open_trainer(m, &d);
    for (int step = 0; step < 3; step++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    int64_t calls = counter.calls;
    for (int step = 0; step < 6; step++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    (void)calls;
#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later */
    CHECK_LE(counter.calls, calls);
#endif
    rlvr_close(ctx);
}

static rlvr_result as_asked(void *user, rlvr_rollouts *r, int group, rlvr_task *task) { (void)r; return ask(user, (uint64_t)group, task); }

/* What such a teacher takes more than one with the policy's tokens and prompts of its own: as the plan has it, within the sizes in which
   memory is handed out. */
static void test_plan(void)
{
    int64_t planned[2], held[2];
    for (int gold = 0; gold < 2; gold++) {
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_model *m = make_model(ctx, false, 3000, 600), *teacher = make_model(ctx, true, gold ? 5000 : 3000, 600);
        m->tokenizer = make_tokenizer(ctx, own_tokens, own_merges, 8);
        teacher->tokenizer = gold ? make_tokenizer(ctx, other_tokens, other_merges, 0) : make_tokenizer(ctx, own_tokens, own_merges, 8);
        rlvr_trainer_desc d = description(teacher, gold ? RLVR_DISTILL_GOLD : RLVR_DISTILL_JSD);
        rlvr_memory plan;
        d.sampling.max_tokens = 250;
        d.prompts_per_step = 16;
        d.max_prompt_tokens = 40;
        if (!gold) d.regulariser.teacher_task = as_asked;
        CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK);
        planned[gold] = plan.total - plan.weights - plan.reference;
        held[gold] = -alive(ctx);
        rlvr_trainer *t = test_open_trainer(m, &d);
        if (!t || !CHECK(rlvr__next_tasks(t, 0, 0) == RLVR_OK && rlvr__step_layout(t, 0, 0) == RLVR_OK)) { rlvr_close(ctx); return; }
        rlvr_metrics metrics;
        memset(&metrics, 0, sizeof metrics);
        rlvr__flatten(t);
        CHECK(rlvr__teacher_prompts(t, &metrics) == RLVR_OK);
        held[gold] += alive(ctx);
        rlvr_close(ctx);
    }
    double more = (double)(planned[1] - planned[0]), is = (double)(held[1] - held[0]);
    CHECK(is > 0 && is < 1.05 * more && more < 1.05 * is);
    REPORT("%.2f MB more planned than with the policy's tokens, %.2f MB more held", more * 1e-6, is * 1e-6);
}

int main(void)
{
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_trl();
    test_gold();
    test_same_tokens();
    test_passes();
    test_learning();
    test_texts();
    test_door();
    test_allocations();
    test_plan();
    return test_done();
}
