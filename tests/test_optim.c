/* Optimizers: torch's, torchao's and transformers' figures (optim_ref.jsonl), each update against one written plainly in double,
   and what a trainer owes them: the same bits for any number of threads, killed and resumed, nothing moved without signal, memory as
   planned. */
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

/* The generator of tests/parity_optim.py. */
static uint32_t seed;
static double number(int power)
{
    seed = seed * 1664525u + 1013904223u;
    return pow((seed >> 8) / 16777216.0 - 0.5, power);
}

/* ---- one block of parameters, moved by hand ---- */

enum { PARAMS = 8 };
typedef struct block {
    rlvr_ctx *ctx;
    rlvr_optim_desc d;
    rlvr__param params[PARAMS];
    int n_params;
    int64_t n_floats, updates;
    float *weights, *grads;
    rlvr__kept kept;
} block;

static rlvr__param *add(block *b, int64_t rows, int64_t cols, bool matrix)
{
    rlvr__param *p = &b->params[b->n_params++];
    p->rows = rows;
    p->cols = cols;
    p->matrix = matrix;
    p->floats = matrix ? rlvr__packed_floats(rows, cols) : (rows + 15) / 16 * 16;
    p->offset = b->n_floats;
    b->n_floats += p->floats;
    return p;
}

static int64_t place(const rlvr__param *p, int64_t row, int64_t col)      /* of an element in its block */
{
    return p->offset + (p->matrix ? (row / 32 * p->cols + col) * 32 + row % 32 : row);
}

static void fill(const block *b, float *x, float size, int power)
{
    for (int i = 0; i < b->n_params; i++)
        for (int64_t r = 0; r < b->params[i].rows; r++)
            for (int64_t c = 0; c < b->params[i].cols; c++) x[place(&b->params[i], r, c)] = size * (float)number(power);
}

static void open_block(block *b)      /* its context, description and parameters are set */
{
    CHECK(rlvr__optim_check(b->ctx, &b->d) == RLVR_OK);
    b->weights = RLVR__NEW(b->ctx, float, b->n_floats);
    b->grads = RLVR__NEW(b->ctx, float, b->n_floats);
    fill(b, b->weights, 1, 1);
    CHECK(rlvr__kept_alloc(b->ctx, &b->d, b->params, b->n_params, b->weights, &b->kept) == RLVR_OK);
}

static void update(block *b, float scale)
{
    b->updates++;
    double n = (double)b->updates;
    rlvr__rate u = {b->d.lr, (float)(1 - pow((double)b->d.beta1, n)), (float)(1 - pow((double)b->d.beta2, n)), scale};
    rlvr__optim_update(b->ctx, &b->d, &u, b->params, b->n_params, b->weights, b->grads, &b->kept);
}

static void close_block(block *b)
{
    rlvr__kept_free(b->ctx, &b->kept);
    rlvr__free(b->ctx, b->weights);
    rlvr__free(b->ctx, b->grads);
}

/* ---- the fixture ---- */

static double get(const rlvr__json *j, const char *name) { return rlvr__json_num(rlvr__json_get(j, name), 0); }
static bool is_true(const rlvr__json *j, const char *name) { return rlvr__json_bool(rlvr__json_get(j, name), false); }

/* Runs a case's steps; returns the largest difference from its weights. */
static double follow(rlvr_ctx *ctx, const rlvr__json *j, rlvr_optim_kind kind)
{
    static block b;
    double worst = 0;
    int rows = (int)get(j, "rows"), cols = (int)get(j, "cols"), power = (int)get(j, "power"), every = (int)get(j, "every"), i = 0;
    memset(&b, 0, sizeof b);
    seed = (uint32_t)get(j, "seed");
    b.ctx = ctx;
    b.d.kind = kind;
    b.d.lr = (float)get(j, "lr");
    b.d.beta1 = (float)get(j, "beta1");
    b.d.beta2 = (float)get(j, "beta2");
    b.d.eps = (float)get(j, "eps");
    b.d.weight_decay = (float)get(j, "weight_decay");
    b.d.momentum = (float)get(j, "momentum");
    b.d.ema_decay = (float)get(j, "ema");
    if (b.d.momentum != 0) b.d.nesterov = is_true(j, "nesterov") ? RLVR_NESTEROV_ON : RLVR_NESTEROV_OFF;
    bool panels = kind == RLVR_OPTIM_ADAMW8;      /* written as they lie in memory */
    rlvr__param *p = panels ? add(&b, cols, rows, true) : add(&b, rows, cols, true);
    open_block(&b);
    seed = (uint32_t)get(j, "seed");
    for (int step = -1; step < (int)get(j, "steps"); step++) {
        float *x = step < 0 ? b.weights : b.grads;
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < cols; c++) x[panels ? place(p, c, r) : place(p, r, c)] = (float)number(step < 0 ? 1 : power);
        if (step < 0) {
            rlvr__kept_free(ctx, &b.kept);
            CHECK(rlvr__kept_alloc(ctx, &b.d, b.params, 1, b.weights, &b.kept) == RLVR_OK);
        } else update(&b, 1);
    }
    const float *end = b.d.ema_decay > 0 ? (const float *)b.kept.part[RLVR__AVERAGE] : b.weights;
    RLVR__JSON_EACH(x, rlvr__json_get(j, "w")) {
        int at = i++ * every, r = at / cols, c = at % cols;
        worst = fmax(worst, fabs(rlvr__json_num(x, NAN) - (double)end[panels ? place(p, c, r) : place(p, r, c)]));
    }
    CHECK(i * every == rows * cols);
    close_block(&b);
    return worst;
}

static void check_line(const rlvr__json *j)
{
    static rlvr__q8 q;
    int n = 0;
    rlvr__q8_init(&q, is_true(j, "negative"));
    RLVR__JSON_EACH(x, rlvr__json_get(j, "value")) {
        CHECK_LE(fabs(rlvr__json_num(x, NAN) - (double)q.value[n]), 1e-6 * fabs((double)q.value[n]));
        n++;
    }
    CHECK(n == 256);
}

static void check_schedule(const rlvr__json *j)
{
    static const char *const names[] = {"constant", "cosine", "linear", "wsd", "wsd_sqrt"};
    rlvr_optim_desc d;
    memset(&d, 0, sizeof d);
    d.lr = 1;
    while (strcmp(names[d.schedule], rlvr__json_str(rlvr__json_get(j, "schedule"), NULL))) d.schedule = (rlvr_schedule)(d.schedule + 1);
    d.warmup_steps = (int)get(j, "warmup_steps");
    d.total_steps = (int)get(j, "total_steps");
    d.decay_steps = (int)get(j, "decay_steps");
    d.lr_min = (float)get(j, "lr_min");
    int step = d.warmup_steps;
    RLVR__JSON_EACH(x, rlvr__json_get(j, "lr")) CHECK_LE(fabs(rlvr__json_num(x, NAN) - (double)rlvr_learning_rate(&d, step++)), 1e-7);
    CHECK(step == 25);
}

static void test_fixture(void)
{
    const char *path = "tests/data/optim_ref.jsonl";
    struct { const char *name; rlvr_optim_kind kind; double limit; int cases, n; double worst; } of[] = {
        {"adamw", RLVR_OPTIM_ADAMW, 1e-6, 3, 0, 0}, {"adamw8", RLVR_OPTIM_ADAMW8, 1e-6, 2, 0, 0}, {"sgd", RLVR_OPTIM_SGD, 1e-6, 3, 0, 0},
        {"muon", RLVR_OPTIM_MUON, 2e-6, 6, 0, 0}, {"muon_bf16", RLVR_OPTIM_MUON, 2e-3, 6, 0, 0}};
    rlvr_ctx *ctx = open_ctx(1);
    rlvr__file f;
    int lines = 0, schedules = 0;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        const char *kind = rlvr__json_str(rlvr__json_get(j, "kind"), NULL);
        if (!strcmp(kind, "line")) { check_line(j); lines++; }
        if (!strcmp(kind, "schedule")) { check_schedule(j); schedules++; }
        for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
            if (strcmp(kind, of[i].name)) continue;
            of[i].worst = fmax(of[i].worst, follow(ctx, j, of[i].kind));
            of[i].n++;
        }
        rlvr__json_free(ctx, j);
    }
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        CHECK(of[i].n == of[i].cases);
        CHECK_LE(of[i].worst, of[i].limit);
        REPORT("%s: %d cases, weights within %.2g", of[i].name, of[i].n, of[i].worst);
    }
    CHECK(lines == 2 && schedules == 4);
    rlvr__file_close(ctx, &f);
    rlvr_close(ctx);
}

/* ---- settings ---- */

static void test_names(void)
{
    for (int k = 0; k < RLVR_OPTIM_COUNT; k++) CHECK(rlvr_optim_find(rlvr_optim_name((rlvr_optim_kind)k)) == (rlvr_optim_kind)k);
    CHECK_STR(rlvr_optim_name(RLVR_OPTIM_MUON), "muon");
    CHECK(!rlvr_optim_name(RLVR_OPTIM_COUNT) && rlvr_optim_find("adam") == RLVR_OPTIM_COUNT && rlvr_optim_find(NULL) == RLVR_OPTIM_COUNT);
}

static void test_schedule(void)
{
    rlvr_optim_desc d;
    memset(&d, 0, sizeof d);
    d.lr = 2;  d.lr_min = 1;  d.warmup_steps = 4;  d.total_steps = 100;  d.schedule = RLVR_LR_WSD;
    CHECK(rlvr_learning_rate(&d, 0) == 0.5f && rlvr_learning_rate(&d, 3) == 2 && rlvr_learning_rate(&d, 4) == 2);
    CHECK(rlvr_learning_rate(&d, 90) == 2 && rlvr_learning_rate(&d, 95) == 1.5f && rlvr_learning_rate(&d, 99) == 1.1f);      /* a tenth: ten steps */
    CHECK(rlvr_learning_rate(&d, 100) == 1 && rlvr_learning_rate(&d, 1000000) == 1);
    d.decay_steps = 4;
    CHECK(rlvr_learning_rate(&d, 96) == 2 && rlvr_learning_rate(&d, 97) == 1.75f && rlvr_learning_rate(&d, 98) == 1.5f);
    d.schedule = RLVR_LR_WSD_SQRT;
    CHECK(rlvr_learning_rate(&d, 96) == 2 && rlvr_learning_rate(&d, 97) == 1.5f && rlvr_learning_rate(&d, 100) == 1);
    d.schedule = RLVR_LR_WSD;  d.warmup_steps = 0;  d.total_steps = 5;  d.decay_steps = 0;      /* at least one */
    CHECK(rlvr_learning_rate(&d, 4) == 2 && rlvr_learning_rate(&d, 5) == 1);
    d.schedule = RLVR_LR_LINEAR;  d.warmup_steps = 2;  d.total_steps = 10;
    CHECK(rlvr_learning_rate(&d, 2) == 2 && rlvr_learning_rate(&d, 6) == 1.5f && rlvr_learning_rate(&d, 10) == 1);
    d.schedule = RLVR_LR_COSINE;
    CHECK(rlvr_learning_rate(&d, 2) == 2 && fabsf(rlvr_learning_rate(&d, 6) - 1.5f) < 1e-6f && rlvr_learning_rate(&d, 11) == 1);
    d.schedule = RLVR_LR_CONSTANT;
    CHECK(rlvr_learning_rate(&d, 11) == 2);
}

static void test_refused(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_optim_desc d;
#define REFUSED(set, field) do { memset(&d, 0, sizeof d); set; CHECK(rlvr__optim_check(ctx, &d) == RLVR_ERROR_ARGUMENT); \
        if (!CHECK(strstr(rlvr_last_error(ctx), "rlvr_trainer_desc.optim." field))) printf("    %s\n", rlvr_last_error(ctx)); } while (0)
    REFUSED(d.kind = RLVR_OPTIM_COUNT, "kind");
    REFUSED(d.lr = -1, "lr");
    REFUSED(d.ema_decay = 1, "ema_decay");
    REFUSED(d.ema_decay = NAN, "ema_decay");
    REFUSED(d.momentum = 0.9f, "momentum");
    REFUSED((d.kind = RLVR_OPTIM_SGD, d.momentum = 1), "momentum");
    REFUSED(d.nesterov = RLVR_NESTEROV_ON, "nesterov");
    REFUSED((d.kind = RLVR_OPTIM_SGD, d.nesterov = RLVR_NESTEROV_ON), "nesterov");
    REFUSED(d.nesterov = RLVR_NESTEROV_COUNT, "nesterov");
    REFUSED((d.kind = RLVR_OPTIM_ADAMW8, d.adamw_lr = 1), "adamw_lr");
    REFUSED(d.decay_steps = 3, "decay_steps");
    REFUSED((d.schedule = RLVR_LR_WSD, d.total_steps = 10, d.warmup_steps = 4, d.decay_steps = 7), "decay_steps");
    REFUSED((d.schedule = RLVR_LR_WSD_SQRT), "total_steps");
    REFUSED((d.schedule = RLVR_LR_COUNT, d.total_steps = 9), "schedule");
#undef REFUSED
    memset(&d, 0, sizeof d);
    d.warmup_steps = 10;
    CHECK(rlvr__optim_check(ctx, &d) == RLVR_OK);      /* a warm-up alone has no end to reach */
    memset(&d, 0, sizeof d);
    d.kind = RLVR_OPTIM_MUON;
    d.lr = 1e-3f;
    CHECK(rlvr__optim_check(ctx, &d) == RLVR_OK && d.momentum == 0.95f && d.adamw_lr == 1e-3f && d.nesterov == RLVR_NESTEROV_ON);
    rlvr_close(ctx);
}

/* ---- moments of 8 bits ---- */

/* The two number lines, written otherwise: every value by itself, in any order. */
static void plain_line(double *value, bool negative)
{
    int n = 0;
    value[n++] = 0;
    value[n++] = 1;
    for (int i = 0; i < 7; i++) {
        double count = pow(2, i + (negative ? 0 : 1)), low = 0.1, step = 0.9 / count;
        for (double k = 0; k < count; k++) {
            double middle = (low + k * step + low + (k + 1) * step) / 2 * pow(10, i - 6);
            value[n++] = middle;
            if (negative) value[n++] = -middle;
        }
    }
    CHECK(n == 256);
}

static double nearest(const double *value, double x)
{
    double best = value[0];
    for (int i = 1; i < 256; i++)
        if (fabs(value[i] - x) < fabs(best - x)) best = value[i];
    return best;
}

static void test_q8(void)
{
    static rlvr__q8 q;
    double value[256];
    seed = 3;
    for (int negative = 0; negative < 2; negative++) {
        plain_line(value, negative);
        rlvr__q8_init(&q, negative);
        for (int round = 0; round < 200; round++) {
            float x[256], back[256], most = 0, size = (float)pow(10, -round % 40);
            unsigned char code[256];
            int n = round % 3 ? 256 : 1 + round;
            for (int i = 0; i < n; i++) {
                x[i] = size * (float)number(1 + round % 9);
                if (round % 7 == 0 && i % 2) x[i] = size * q.middle[(round + i) % 255] * (i % 4 == 1 ? 1.000001f : 0.999999f);
                if (!negative) x[i] = fabsf(x[i]);
                if (i % 50 == 49) x[i] = 0;
                most = fmaxf(most, fabsf(x[i]));
            }
            float scale = rlvr__q8_put(&q, x, code, n);
            rlvr__q8_get(&q, code, scale, back, n);
            CHECK(scale == most);
            double worst = 0;
            for (int i = 0; i < n; i++) {
                double part = (double)x[i] / (double)scale, want = nearest(value, part), got = (double)q.value[code[i]];
                if (!negative && x[i] > 0 && want == 0) want = 3.25e-7;      /* the least above 0 */
                worst = fmax(worst, fabs(got - part) - fabs(want - part));
                CHECK(back[i] == q.value[code[i]] * scale);
            }
            CHECK_LE(worst, 1e-7);
        }
    }
    float zero[3] = {0, 0, 0};
    unsigned char code[3] = {9, 9, 9};
    CHECK(rlvr__q8_put(&q, zero, code, 3) == 0 && q.value[code[0]] == 0 && q.value[code[2]] == 0);
}

static int64_t shape_of_all(block *b)      /* a matrix of two panels, a vector, a table, a matrix whose last 256 are not whole */
{
    add(b, 40, 24, true);
    add(b, 24, 1, false);
    add(b, 50, 24, true)->table = true;
    add(b, 20, 33, true);
    return b->n_floats;
}

/* Each step in double from the moments that the codes say, and the codes that come out of it. */
static void test_adamw8(void)
{
    static block b;
    double line[2][256], worst = 0, worst_code = 0;
    memset(&b, 0, sizeof b);
    b.ctx = open_ctx(2);
    b.d.kind = RLVR_OPTIM_ADAMW8;
    b.d.lr = 1e-2f;  b.d.beta2 = 0.99f;  b.d.weight_decay = 0.1f;
    int64_t n = shape_of_all(&b);
    seed = 5;
    open_block(&b);
    for (int i = 0; i < 2; i++) plain_line(line[i], i == 0);
    rlvr__q8 *q = (rlvr__q8 *)b.kept.part[RLVR__TABLES];
    CHECK(b.kept.n[RLVR__CODES] == 2 * (b.params[0].floats + b.params[3].floats) && b.kept.n[RLVR__SCALES] == 2 * (6 + 5) &&
          b.kept.n[RLVR__MOMENT1] == b.params[1].floats + b.params[2].floats);
    float *before = RLVR__NEW(b.ctx, float, n), *scales = RLVR__NEW(b.ctx, float, 2 * 11);
    unsigned char *codes = RLVR__NEW(b.ctx, unsigned char, b.kept.n[RLVR__CODES]);
    for (int step = 0; step < 6; step++) {
        memcpy(before, b.weights, (size_t)n * sizeof(float));
        memcpy(scales, b.kept.part[RLVR__SCALES], 22 * sizeof(float));
        memcpy(codes, b.kept.part[RLVR__CODES], (size_t)b.kept.n[RLVR__CODES]);
        fill(&b, b.grads, 1, 3);
        update(&b, 0.7f);
        int64_t at = 0, at_scale = 0;
        for (int k = 0; k < 4; k += 3) {
            int64_t floats = b.params[k].floats, blocks = (floats + 255) / 256;
            const unsigned char *now = (unsigned char *)b.kept.part[RLVR__CODES] + at;
            const float *scale = (float *)b.kept.part[RLVR__SCALES] + at_scale;
            for (int64_t i = 0; i < floats; i++) {
                double g = 0.7 * (double)b.grads[b.params[k].offset + i], w = (double)before[b.params[k].offset + i];
                double m = (double)q[0].value[codes[at + i]] * (double)scales[at_scale + i / 256];
                double v = (double)q[1].value[codes[at + floats + i]] * (double)scales[at_scale + blocks + i / 256];
                m = (double)b.d.beta1 * m + (1 - (double)b.d.beta1) * g;
                v = (double)b.d.beta2 * v + (1 - (double)b.d.beta2) * g * g;
                double bias1 = 1 - pow((double)b.d.beta1, step + 1), bias2 = 1 - pow((double)b.d.beta2, step + 1);
                w -= (double)b.d.lr * (double)b.d.weight_decay * w;
                w -= (double)b.d.lr * m / bias1 / (sqrt(v / bias2) + (double)b.d.eps);
                worst = fmax(worst, fabs(w - (double)b.weights[b.params[k].offset + i]));
                for (int part = 0; part < 2; part++) {
                    double s = (double)scale[part * blocks + i / 256], x = (part ? v : m) / s, got = (double)q[part].value[now[part * floats + i]];
                    double want = nearest(line[part], x);
                    if (part && v > 0 && want == 0) want = 3.25e-7;
                    worst_code = fmax(worst_code, fabs(got - x) - fabs(want - x));
                }
            }
            at += 2 * floats;
            at_scale += 2 * blocks;
        }
    }
    CHECK_LE(worst, 1e-6);
    CHECK_LE(worst_code, 1e-6);
    close_block(&b);
    rlvr_close(b.ctx);
}

/* How far moments of 8 bits lead away from those of 32, and that no step is larger than AdamW's can be by much. */
static void test_adamw8_bound(void)
{
    static block b[2];
    double apart = 0, way = 0, largest = 0;
    for (int k = 0; k < 2; k++) {
        memset(&b[k], 0, sizeof b[k]);
        b[k].ctx = open_ctx(1);
        b[k].d.kind = k ? RLVR_OPTIM_ADAMW8 : RLVR_OPTIM_ADAMW;
        b[k].d.lr = 1e-3f;  b[k].d.beta2 = 0.99f;
        add(&b[k], 64, 48, true);
        seed = 8;
        open_block(&b[k]);
    }
    int64_t n = b[0].n_floats;
    float *start = RLVR__NEW(b[0].ctx, float, n), *before = RLVR__NEW(b[0].ctx, float, n);
    memcpy(start, b[0].weights, (size_t)n * sizeof(float));
    for (int step = 0; step < 40; step++) {
        fill(&b[0], b[0].grads, 1, 3);
        for (int64_t i = 0; i < n; i++) b[0].grads[i] += 0.02f * b[0].weights[i];
        memcpy(b[1].grads, b[0].grads, (size_t)n * sizeof(float));
        memcpy(before, b[1].weights, (size_t)n * sizeof(float));
        for (int k = 0; k < 2; k++) update(&b[k], 1);
        for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)b[1].weights[i] - (double)before[i]));
    }
    for (int64_t i = 0; i < n; i++) {
        apart += pow((double)b[1].weights[i] - (double)b[0].weights[i], 2);
        way += pow((double)b[0].weights[i] - (double)start[i], 2);
    }
    REPORT("adamw8 and adamw after 40 steps: %.2f %% of the way apart, largest step %.2f lr", 100 * sqrt(apart / way), largest / 1e-3);
    CHECK(apart > 0);
    CHECK_LE(sqrt(apart / way), 0.05);
    CHECK_LE(largest, 3e-3);
    for (int k = 0; k < 2; k++) { close_block(&b[k]); rlvr_close(b[k].ctx); }
}

/* ---- Muon ---- */

/* The eigenvalues of a symmetric matrix (n, n), by Jacobi's rotations. */
static void eigenvalues(double *a, int n)
{
    for (int sweep = 0; sweep < 60; sweep++)
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) < 1e-14) continue;
                double t = 0.5 * atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]), c = cos(t), s = sin(t);
                for (int k = 0; k < n; k++) {
                    double x = a[k * n + p], y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (int k = 0; k < n; k++) {
                    double x = a[p * n + k], y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                }
            }
}

static void multiply(double *out, const double *a, const double *b, int n, int k, int m)      /* (n, m) = (n, k) (k, m) */
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            double sum = 0;
            for (int l = 0; l < k; l++) sum += a[i * k + l] * b[l * m + j];
            out[i * m + j] = sum;
        }
}

static void transpose(double *out, const double *a, int rows, int cols)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) out[j * rows + i] = a[i * cols + j];
}

enum { MOST = 64 * 64 };
static double singular_low = 1e9, singular_high;

/* X (rows, cols) orthogonalised as Keller Jordan's text has it, and the range of its singular values. */
static void plain_muon(double *x, int rows, int cols)
{
    static double t[MOST], gram[MOST], square[MOST], next[MOST], back[MOST];
    double norm = 0;
    bool tall = rows > cols;
    int r = tall ? cols : rows, c = tall ? rows : cols;
    for (int i = 0; i < rows * cols; i++) norm += x[i] * x[i];
    for (int i = 0; i < rows * cols; i++) x[i] /= sqrt(norm) + 1e-7;
    if (tall) { transpose(t, x, rows, cols); memcpy(x, t, sizeof(double) * (size_t)(r * c)); }
    for (int step = 0; step < 5; step++) {
        transpose(t, x, r, c);
        multiply(gram, x, t, r, c, r);
        multiply(square, gram, gram, r, r, r);
        for (int i = 0; i < r * r; i++) square[i] = -4.7750 * gram[i] + 2.0315 * square[i];
        multiply(next, square, x, r, r, c);
        for (int i = 0; i < r * c; i++) x[i] = 3.4445 * x[i] + next[i];
    }
    transpose(t, x, r, c);
    multiply(gram, x, t, r, c, r);
    eigenvalues(gram, r);
    for (int i = 0; i < r; i++) {
        singular_low = fmin(singular_low, sqrt(gram[i * r + i]));
        singular_high = fmax(singular_high, sqrt(gram[i * r + i]));
    }
    if (tall) { transpose(back, x, r, c); memcpy(x, back, sizeof(double) * (size_t)(r * c)); }
}

/* One step of a matrix of b's parameter p in double: momentum (rows of p, cols) is the reference's own. */
static double follow_muon(const block *b, const rlvr__param *p, int row, int rows, const float *before, double *momentum)
{
    static double x[MOST];
    int cols = (int)p->cols;
    double mu = (double)b->d.momentum, worst = 0, lr = (double)b->d.lr;
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < cols; c++) {
            double g = 0.7 * (double)b->grads[place(p, row + i, c)], *m = &momentum[(row + i) * cols + c];
            *m = mu * *m + (1 - mu) * g;
            x[i * cols + c] = b->d.nesterov == RLVR_NESTEROV_ON ? (1 - mu) * g + mu * *m : *m;
        }
    plain_muon(x, rows, cols);
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < cols; c++) {
            double w = (double)before[place(p, row + i, c)] * (1 - lr * (double)b->d.weight_decay);
            w -= lr * 0.2 * sqrt(fmax(rows, cols)) * x[i * cols + c];
            worst = fmax(worst, fabs(w - (double)b->weights[place(p, row + i, c)]));
        }
    return worst;
}

static void test_muon(void)
{
    static block b;
    static double momentum[4][MOST], m[2][MOST], v[2][MOST];
    double worst = 0, worst_adamw = 0;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        memset(&b, 0, sizeof b);
        memset(momentum, 0, sizeof momentum);
        memset(m, 0, sizeof m);
        memset(v, 0, sizeof v);
        b.ctx = open_ctx(1 + nesterov);
        b.d.kind = RLVR_OPTIM_MUON;
        b.d.lr = 1e-2f;  b.d.adamw_lr = 3e-3f;  b.d.weight_decay = 0.1f;
        b.d.nesterov = nesterov ? RLVR_NESTEROV_DEFAULT : RLVR_NESTEROV_OFF;
        rlvr__param *fused = add(&b, 40, 24, true), *vector = add(&b, 24, 1, false), *table = add(&b, 50, 24, true), *tall = add(&b, 56, 16, true);
        rlvr__param *odd = add(&b, 20, 33, true), *narrow = add(&b, 33, 7, true);
        fused->cut[0] = 16;  fused->cut[1] = 28;
        tall->cut[0] = 28;
        table->table = true;
        seed = 11;
        open_block(&b);
        CHECK(b.kept.n[RLVR__MOMENT2] == vector->floats + table->floats && b.kept.n[RLVR__MOMENT1] == b.n_floats);
        float *before = RLVR__NEW(b.ctx, float, b.n_floats);
        for (int step = 1; step <= 4; step++) {
            memcpy(before, b.weights, (size_t)b.n_floats * sizeof(float));
            fill(&b, b.grads, 1, 1);
            update(&b, 0.7f);
            struct { rlvr__param *p; int row, rows, own; } part[] = {{fused, 0, 16, 0}, {fused, 16, 12, 0}, {fused, 28, 12, 0}, {tall, 0, 28, 1},
                                                                     {tall, 28, 28, 1}, {odd, 0, 20, 2}, {narrow, 0, 33, 3}};
            for (size_t i = 0; i < sizeof part / sizeof *part; i++)
                worst = fmax(worst, follow_muon(&b, part[i].p, part[i].row, part[i].rows, before, momentum[part[i].own]));
            for (int k = 0; k < 2; k++) {
                const rlvr__param *p = k ? table : vector;
                for (int64_t r = 0; r < p->rows; r++)
                    for (int64_t c = 0; c < p->cols; c++) {
                        double g = 0.7 * (double)b.grads[place(p, r, c)], w = (double)before[place(p, r, c)], lr = (double)b.d.adamw_lr;
                        double *M = &m[k][r * p->cols + c], *V = &v[k][r * p->cols + c];
                        *M = 0.9 * *M + 0.1 * g;
                        *V = 0.999 * *V + 0.001 * g * g;
                        if (k) w *= 1 - lr * (double)b.d.weight_decay;
                        w -= lr * *M / (1 - pow(0.9, step)) / (sqrt(*V / (1 - pow(0.999, step))) + 1e-8);
                        worst_adamw = fmax(worst_adamw, fabs(w - (double)b.weights[place(p, r, c)]));
                    }
            }
        }
        int64_t padding = 0;
        for (int64_t i = 0; i < b.n_floats; i++) padding += b.weights[i] == 0 && before[i] == 0 && b.grads[i] == 0;
        CHECK(padding >= (64 - 40) * 24 + (32 - 24) + (64 - 50) * 24 + (64 - 56) * 16 + (32 - 20) * 33 + (64 - 33) * 7);
        close_block(&b);
        rlvr_close(b.ctx);
    }
    CHECK_LE(worst, 1e-6);
    CHECK_LE(worst_adamw, 1e-6);
    CHECK_LE(0.67, singular_low);
    CHECK_LE(singular_high, 1.2);
    REPORT("muon: weights within %.2g of double, singular values of updates %.3f .. %.3f", worst, singular_low, singular_high);
}

/* A matrix without a gradient is left as it is. */
static void test_muon_zero(void)
{
    static block b;
    memset(&b, 0, sizeof b);
    b.ctx = open_ctx(1);
    b.d.kind = RLVR_OPTIM_MUON;
    add(&b, 24, 16, true);
    open_block(&b);
    float before = b.weights[5];
    update(&b, 1);
    CHECK(b.weights[5] == before && before != 0);
    close_block(&b);
    rlvr_close(b.ctx);
}

/* ---- SGD and the average, by hand ---- */

static void test_sgd(void)
{
    struct { float momentum; rlvr_nesterov nesterov; float decay, want[3]; } of[] = {
        {0, RLVR_NESTEROV_DEFAULT, 0, {0.75f, 0.5f, 0.25f}}, {0.5f, RLVR_NESTEROV_DEFAULT, 0, {0.75f, 0.375f, -0.0625f}},
        {0.5f, RLVR_NESTEROV_ON, 0, {0.625f, 0.1875f, -0.28125f}}, {0.5f, RLVR_NESTEROV_OFF, 0.25f, {0.625f, 0.171875f, -0.287109375f}}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        static block b;
        memset(&b, 0, sizeof b);
        b.ctx = open_ctx(1);
        b.d.kind = RLVR_OPTIM_SGD;
        b.d.lr = 0.5f;  b.d.momentum = of[i].momentum;  b.d.nesterov = of[i].nesterov;  b.d.weight_decay = of[i].decay;  b.d.ema_decay = 0.75f;
        const rlvr__param *matrix = add(&b, 3, 2, true), *vector = add(&b, 3, 1, false);
        open_block(&b);
        CHECK(b.kept.n[RLVR__MOMENT1] == (of[i].momentum != 0 ? b.n_floats : 0) && b.kept.n[RLVR__MOMENT2] == 0);
        float average = 1, *kept = (float *)b.kept.part[RLVR__AVERAGE];
        float *w = &b.weights[place(matrix, 2, 1)], *plain = &b.weights[place(vector, 1, 0)];
        *w = *plain = kept[place(matrix, 2, 1)] = 1;
        b.grads[place(matrix, 2, 1)] = b.grads[place(vector, 1, 0)] = 1;
        for (int step = 0; step < 3; step++) {
            update(&b, 0.5f);
            average = 0.75f * average + 0.25f * of[i].want[step];
            CHECK(*w == of[i].want[step]);
            CHECK(kept[place(matrix, 2, 1)] == average);
            if (!(of[i].decay > 0)) CHECK(*plain == of[i].want[step]);
        }
        if (of[i].decay > 0) CHECK(*plain == of[1].want[2]);      /* vectors do not decay */
        close_block(&b);
        rlvr_close(b.ctx);
    }
}

/* ---- in a trainer ---- */

static rlvr_model *small_model(rlvr_ctx *ctx, int width, uint64_t model_seed)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 257; d.n_ctx = 64; d.d_model = width; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 40;
    d.tied = width != 32; d.seed = model_seed; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 1);
    return m;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const prompts[] = {"Say a b", "Say something longer than that", "Say it", "Tell: 12 + 30 = "};
    (void)user;
    task->prompt = prompts[index % 4];
    task->raw = true;
    return RLVR_OK;
}

static bool all_right;      /* every rollout earns the same */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = all_right ? 1 : (float)even / (float)r->n_tokens;
    return RLVR_OK;
}

static rlvr_trainer_desc description(rlvr_optim_kind kind)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 2;
    d.group_size = 4;
    d.sampling.max_tokens = 8;
    d.max_prompt_tokens = 32;
    d.optim.kind = kind;
    d.optim.lr = 3e-3f;
    d.optim.weight_decay = 0.1f;
    d.optim.ema_decay = 0.75f;
    if (kind == RLVR_OPTIM_SGD) d.optim.momentum = 0.5f;
    d.seed = 5;
    return d;
}

static uint64_t hash_bytes(uint64_t h, const void *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 1099511628211u;
    return h;
}

/* Weights and all that the optimizer keeps beside them, as bits. */
static uint64_t hash_trained(const rlvr_trainer *t)
{
    uint64_t h = 14695981039346656037u;
    for (int b = 0; b < t->n_trained; b++) {
        const rlvr__trained *x = &t->trained[b];
        h = hash_bytes(h, x->weights, x->n_floats * 4);
        for (int i = 0; i < RLVR__SAVED; i++) h = hash_bytes(h, x->kept.part[i], x->kept.n[i] * (int64_t)rlvr__kept_size(i));
    }
    return h;
}

/* values: 0 none, 1 a head on the policy's trunk, 2 a critic. Cut into pieces, each resumes the one before. */
static uint64_t run(int threads, rlvr_trainer_desc d, int values, int steps, int pieces)
{
    const char *path = "build/test_optim.checkpoint";
    uint64_t hash = 0;
    for (int piece = 0; piece < pieces; piece++) {
        rlvr_ctx *ctx = open_ctx(threads);
        rlvr_model *m = small_model(ctx, 24, 3);
        d.value.on = values > 0;
        d.value.critic = values == 2 ? small_model(ctx, 32, 9) : NULL;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        if (!CHECK(t != NULL)) { printf("    %s\n", rlvr_last_error(ctx)); rlvr_close(ctx); return 0; }
        if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        while (rlvr_trainer_steps(t) < steps * (piece + 1) / pieces) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        hash = hash_trained(t);
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    remove(path);
    return hash;
}

static void test_replay(void)
{
    uint64_t seen[3 * RLVR_OPTIM_COUNT];
    int n = 0, steps = 2;
    for (int kind = 0; kind < RLVR_OPTIM_COUNT; kind++)
        for (int values = 0; values < 3; values++) {
            rlvr_trainer_desc d = description((rlvr_optim_kind)kind);
            uint64_t one = seen[n++] = run(1, d, values, steps, 1);
            CHECK(one != run(1, d, values, 0, 1));
            CHECK(run(2, d, values, steps, 2) == one);
            CHECK(run(3, d, values, steps, 1) == one);
            for (int i = 0; i + 1 < n; i++) CHECK(seen[i] != one);
        }
    REPORT("%d optimizers, without values, with a head, with a critic: the same bits for 1, 2 and 3 threads and resumed", RLVR_OPTIM_COUNT);
}

/* What lies in a checkpoint matters: changed there, the next step is another one; what another optimizer wrote is refused. */
static void test_checkpoints(void)
{
    const char *path = "build/test_optim.checkpoint";
    for (int writer = 0; writer < RLVR_OPTIM_COUNT; writer++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_trainer_desc d = description((rlvr_optim_kind)writer);
        rlvr_trainer *t = rlvr_trainer_open(small_model(ctx, 24, 3), &d);
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK && rlvr_trainer_save(t, path) == RLVR_OK);
        for (int reader = 0; reader < RLVR_OPTIM_COUNT; reader++) {
            rlvr_trainer_desc e = description((rlvr_optim_kind)reader);
            rlvr_trainer *other = rlvr_trainer_open(small_model(ctx, 24, 3), &e);
            uint64_t before = hash_trained(other);
            bool same = reader == writer;
            CHECK(rlvr_trainer_resume(other, path) == (same ? RLVR_OK : RLVR_ERROR_ARGUMENT));
            CHECK(hash_trained(other) == (same ? hash_trained(t) : before));
            if (!same) CHECK(strstr(rlvr_last_error(ctx), "optim.kind") && strstr(rlvr_last_error(ctx), rlvr_optim_name((rlvr_optim_kind)writer)));
            rlvr_trainer_close(other);
        }
        for (int field = 0; field < 2; field++) {
            rlvr_trainer_desc e = d;
            if (!field) e.optim.ema_decay = 0;
            else e.optim.momentum = 0;
            if (field && writer != RLVR_OPTIM_SGD) continue;
            rlvr_trainer *other = rlvr_trainer_open(small_model(ctx, 24, 3), &e);
            const char *name = field ? "optim.momentum" : "optim.ema_decay";
            CHECK(rlvr_trainer_resume(other, path) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), name));
            CHECK(rlvr_trainer_save(other, path) == RLVR_OK);
            CHECK(rlvr_trainer_resume(t, path) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), name));
            CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        }
        rlvr_trainer_close(t);
        rlvr_close(ctx);
    }
    remove(path);
}

/* Which matrices of a model lie in one parameter, and what are tables. */
static void test_matrices(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    for (int width = 24; width <= 32; width += 8) {      /* the second has a lm-head of its own */
        const rlvr_model *m = small_model(ctx, width, 3);
        int64_t want[2][3] = {{32, 16, 16}, {40, 40, 0}}, row, at;
        for (int k = 0; k < 2; k++)
            for (int i = at = 0; i < 3; at += want[k][i++]) {
                const rlvr__param *p = &m->params[k ? m->layers[1].gate_up : m->layers[1].qkv];
                CHECK(rlvr__param_matrix(p, i, &row) == want[k][i] && (!want[k][i] || row == at));
            }
        for (int i = 0; i < m->n_p; i++) CHECK(m->params[i].table == (i == m->embed || i == m->head));
        CHECK(rlvr__param_matrix(&m->params[m->layers[0].down], 0, &row) == width && !rlvr__param_matrix(&m->params[m->layers[0].down], 1, &row));
    }
    rlvr_close(ctx);
}

/* ---- the average ---- */

static void test_average(void)
{
    const char *folder = "build/test_optim.average";
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_trainer_desc d = description(RLVR_OPTIM_ADAMW);
    rlvr_model *m = small_model(ctx, 24, 3);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    double *average = (double *)malloc((size_t)m->n_floats * sizeof(double)), worst = 0;
    for (int64_t i = 0; i < m->n_floats; i++) average[i] = (double)m->weights[i];
    for (int step = 0; step < 5; step++) {
        CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        for (int64_t i = 0; i < m->n_floats; i++) average[i] = 0.75 * average[i] + 0.25 * (double)m->weights[i];
    }
    uint64_t weights = rlvr_model_hash(m), all = hash_trained(t);
    CHECK(rlvr_trainer_swap_average(t) == RLVR_OK);
    for (int64_t i = 0; i < m->n_floats; i++) worst = fmax(worst, fabs(average[i] - (double)m->weights[i]));
    CHECK_LE(worst, 1e-6);
    uint64_t of_average = rlvr_model_hash(m);
    CHECK(of_average != weights);

    int tokens[4] = {1, 2, 3, 4}, offset[2] = {0, 4};
    float grad_weight[4] = {0, 1, 1, 1}, logprob[4];
    CHECK(rlvr_train_step(t, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_trainer_swap_average"));
    CHECK(rlvr_train_tokens(t, tokens, offset, 1, NULL, NULL) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_grad_tokens(t, tokens, offset, 1, grad_weight, logprob) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_train_best(t, rlvr_trainer_rollouts(t), NULL, NULL) == RLVR_ERROR_ARGUMENT);
    CHECK(strstr(rlvr_last_error(ctx), "rlvr_trainer_swap_average") != NULL);
    CHECK(rlvr_trainer_save(t, "build/test_optim.checkpoint") == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_trainer_swap_average"));
    CHECK(rlvr_model_save(m, folder) == RLVR_OK);
    rlvr_model *saved = rlvr_model_load(ctx, folder);
    CHECK(saved && rlvr_model_hash(saved) == of_average);
    CHECK(rlvr_trainer_swap_average(t) == RLVR_OK && rlvr_model_hash(m) == weights && hash_trained(t) == all);

    /* a checkpoint puts the weights back; and the run goes on as without the swaps */
    CHECK(rlvr_trainer_save(t, "build/test_optim.checkpoint") == RLVR_OK && rlvr_trainer_swap_average(t) == RLVR_OK);
    CHECK(rlvr_trainer_resume(t, "build/test_optim.checkpoint") == RLVR_OK && hash_trained(t) == all);
    CHECK(rlvr_train_step(t, NULL) == RLVR_OK && hash_trained(t) == run(1, d, 0, 6, 1));
    d.optim.ema_decay = 0;
    rlvr_trainer *none = rlvr_trainer_open(m, &d);
    CHECK(rlvr_trainer_swap_average(none) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "optim.ema_decay"));
    free(average);
    remove("build/test_optim.checkpoint");
    rlvr_close(ctx);
}

/* ---- nothing moves without signal ---- */

static void test_still(void)
{
    for (int kind = 0; kind < RLVR_OPTIM_COUNT; kind++)
        for (int values = 0; values < 3; values += 2) {
            rlvr_metrics m;
            rlvr_ctx *ctx = open_ctx(2);
            rlvr_trainer_desc d = description((rlvr_optim_kind)kind);
            d.value.on = values > 0;
            d.value.critic = values ? small_model(ctx, 32, 9) : NULL;
            d.value.warmup_steps = values ? 4 : 0;      /* the policy stands still, the critic moves */
            rlvr_model *policy = small_model(ctx, 24, 3);
            rlvr_trainer *t = rlvr_trainer_open(policy, &d);
            uint64_t opened = rlvr_model_hash(policy), kept = hash_trained(t);
            for (int i = 0; i < 2; i++) CHECK(rlvr_train_step(t, &m) == RLVR_OK && !m.skipped);
            CHECK(hash_trained(t) != kept);
            if (values) {
                const rlvr__trained *b = &t->trained[0];
                bool moved = rlvr_model_hash(policy) != opened;
                for (int64_t i = 0; i < b->kept.n[RLVR__MOMENT1]; i++) moved |= ((float *)b->kept.part[RLVR__MOMENT1])[i] != 0;
                for (int64_t i = 0; i < b->kept.n[RLVR__SCALES]; i++) moved |= ((float *)b->kept.part[RLVR__SCALES])[i] != 0;
                moved |= memcmp(b->kept.part[RLVR__AVERAGE], policy->weights, (size_t)policy->n_floats * 4) != 0;
                CHECK(!moved);
            } else {
                kept = hash_trained(t);
                all_right = true;
                CHECK(rlvr_train_step(t, &m) == RLVR_OK && m.skipped && hash_trained(t) == kept);
                all_right = false;
                CHECK(rlvr_train_step(t, &m) == RLVR_OK && !m.skipped && hash_trained(t) != kept);
            }
            rlvr_close(ctx);
        }
}

/* ---- memory ---- */

/* What a trainer allocates when it is opened; its plan's figure for the optimizer; what the allocator makes of the parts. */
static int64_t open_counted(rlvr_trainer_desc d, bool critic, int64_t *planned, int64_t *rounded)
{
    test_counter c;
    rlvr_desc desc;
    rlvr_memory plan;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 2;
    desc.quiet = true;
    test_count(&desc, &c);
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_model *m = small_model(ctx, 24, 3);
    d.value.on = critic;
    d.value.critic = critic ? small_model(ctx, 32, 9) : NULL;
    CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK);
    CHECK(plan.total == plan.weights + plan.gradients + plan.optimizer + plan.reference + plan.kv_cache + plan.activations + plan.scratch);
    int64_t before = c.bytes, sum = 0;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL);
    before = c.bytes - before;
    for (int b = 0; b < t->n_trained; b++)
        for (int i = 0; i < RLVR__KEPT; i++) {
            size_t bytes = (size_t)t->trained[b].kept.n[i] * rlvr__kept_size(i), total = bytes + RLVR__HEADER + RLVR__LINE;
            sum += (int64_t)bytes;
            if (!bytes) continue;
            rlvr__size_class(&total);
            *rounded += (int64_t)total;
        }
    CHECK(sum == plan.optimizer);
    *planned = plan.optimizer;
    int tokens[6] = {1, 2, 3, 4, 5, 6}, offset[2] = {0, 6};
    float target[6] = {0, 1, 0, 1, 0, 1};
    int64_t first = 0;
    for (int i = 0; i < 4; i++) {
        CHECK(rlvr_train_tokens(t, tokens, offset, 1, NULL, NULL) == RLVR_OK);
        if (critic) CHECK(rlvr_train_values(t, tokens, offset, 1, target, NULL, NULL) == RLVR_OK);
        if (!i) first = c.calls;
    }
    CHECK(c.calls == first);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
    return before;
}

static void test_memory(void)
{
    for (int critic = 0; critic < 2; critic++) {
        int64_t planned, rounded = 0, without[RLVR_OPTIM_COUNT] = {0};
        rlvr_trainer_desc d = description(RLVR_OPTIM_SGD);
        d.optim.momentum = d.optim.ema_decay = 0;
        int64_t bare = open_counted(d, critic, &planned, &rounded);
        CHECK(planned == 0 && rounded == 0);
        for (int kind = 0; kind < RLVR_OPTIM_COUNT; kind++)
            for (int average = 0; average < 2; average++) {
                d = description((rlvr_optim_kind)kind);
                if (!average) d.optim.ema_decay = 0;
                rounded = 0;
                int64_t bytes = open_counted(d, critic, &planned, &rounded);
                CHECK(bytes - bare == rounded && planned > 0);
                if (!average) without[kind] = planned;
                else CHECK(planned > without[kind]);
            }
        for (int kind = 0; kind < RLVR_OPTIM_COUNT; kind++)
            REPORT("%s%s: %lld bytes planned, as many allocated", rlvr_optim_name((rlvr_optim_kind)kind), critic ? " with a critic" : "",
                   (long long)without[kind]);
    }
}

/* ---- learning ---- */

/* Every optimizer learns three texts by heart, at a rate of its own. */
static void test_learning(void)
{
    const float lr[RLVR_OPTIM_COUNT] = {1e-2f, 1e-2f, 1e-2f, 0.5f};
    int tokens[48], offset[4] = {0, 16, 32, 48};
    for (int i = 0; i < 48; i++) tokens[i] = (i * i * 7 + i / 16 * 31) % 250;
    for (int kind = 0; kind < RLVR_OPTIM_COUNT; kind++) {
        rlvr_metrics first, m;
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_trainer_desc d = description((rlvr_optim_kind)kind);
        d.task_fn = NULL;
        d.micro_tokens = 64;
        d.optim.lr = lr[kind];
        d.optim.weight_decay = 0;
        rlvr_model *model = small_model(ctx, 24, 3);
        rlvr_trainer *t = rlvr_trainer_open(model, &d);
        CHECK(t && rlvr_train_tokens(t, tokens, offset, 3, NULL, &first) == RLVR_OK);
        for (int step = 0; step < 60; step++) CHECK(rlvr_train_tokens(t, tokens, offset, 3, NULL, &m) == RLVR_OK);
        REPORT("%s: loss %.3f, after 60 updates %.6f", rlvr_optim_name((rlvr_optim_kind)kind), first.loss, m.loss);
        CHECK_LE(m.loss, 0.2 * first.loss);
        CHECK(rlvr_trainer_swap_average(t) == RLVR_OK);
        rlvr_close(ctx);
    }
}

int main(void)
{
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_fixture();
    test_names();
    test_schedule();
    test_refused();
    test_q8();
    test_adamw8();
    test_adamw8_bound();
    test_muon();
    test_muon_zero();
    test_sgd();
    test_replay();
    test_checkpoints();
    test_matrices();
    test_average();
    test_still();
    test_memory();
    if (!quick) test_learning();
    return test_done();
}
