/* Section 9: every op against a plain double reference, its backward against finite differences of that reference, and the
   properties that the library rests on: the same bits alone and in a batch, at any number of threads, on any vector unit. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

enum { MAX_CTX = 8 };
static rlvr_ctx *contexts[MAX_CTX], *ctx;      /* contexts[0]: best, 1 thread; then 2, 3 threads; then other vector units */
static int n_contexts;
static rlvr_ctx *portable;
#if defined(__FP_FAST_FMAF) || defined(__aarch64__)
static const bool portable_fma = true;
#else
static const bool portable_fma = false;        /* two roundings where others have one: only checked to be near */
#endif

static uint32_t draws;
static float uniform(void) { return rlvr_uniform(7, draws++, 0, 0, 0); }
static float noise(float scale) { return scale * (2 * uniform() - 1); }
static float *floats(int64_t n) { float *p = (float *)calloc((size_t)n + 16, sizeof *p); if (!p) exit(2); return p; }
static float *noises(int64_t n, float scale)
{
    float *p = floats(n);
    for (int64_t i = 0; i < n; i++) p[i] = noise(scale);
    return p;
}
static double *doubles(const float *x, int64_t n)
{
    double *p = (double *)calloc((size_t)n + 1, sizeof *p);
    if (!p) exit(2);
    for (int64_t i = 0; x && i < n; i++) p[i] = (double)x[i];
    return p;
}
static int same(const float *a, const float *b, int64_t n) { return memcmp(a, b, (size_t)n * sizeof *a) == 0; }

/* Largest difference, relative to the larger of 1 and the reference's largest number. */
static double distance(const float *a, const double *b, int64_t n)
{
    double worst = 0, scale = 1;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= worst)) worst = d;
        if (fabs(b[i]) > scale) scale = fabs(b[i]);
    }
    return worst / scale;
}

static void contexts_open(void)
{
    static const char *const cpu[] = {NULL, NULL, NULL, "avx512", "avx2", "neon"};
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    for (int i = 0; i < 6; i++) {
        d.cpu = cpu[i];
        d.n_threads = i < 3 ? i + 1 : 2;
        rlvr_ctx *c = rlvr_open(&d);
        if (c) contexts[n_contexts++] = c;
    }
    d.cpu = "portable";
    portable = rlvr_open(&d);
    CHECK(portable != NULL);
    d.cpu = "vax";
    CHECK(rlvr_open(&d) == NULL);
#ifdef RLVR__HAS_AVX
    d.cpu = "neon";
    CHECK(rlvr_open(&d) == NULL);
#endif
    ctx = contexts[0];
    for (int i = 0; i < n_contexts; i++) REPORT("%s, %d threads", rlvr__kernels_name(contexts[i]->kernels), contexts[i]->n_threads);
}

/* A case runs an op on inputs that it always makes the same way, and leaves all that the op wrote in out; returns the count. */
typedef int64_t (*case_fn)(rlvr_ctx *c, const int64_t *shape, float *out);
static void bits(const char *name, case_fn run, const int64_t *shape)
{
    int64_t cap = 1 << 22;
    float *a = floats(cap), *b = floats(cap);
    uint32_t start = draws;
    int64_t n = run(contexts[0], shape, a);
    for (int i = 1; i <= n_contexts; i++) {
        rlvr_ctx *c = i < n_contexts ? contexts[i] : portable;
        draws = start;
        memset(b, 0, (size_t)cap * sizeof *b);
        run(c, shape, b);
        double worst = 0;
        for (int64_t k = 0; k < n; k++) worst = fmax(worst, fabs((double)a[k] - (double)b[k]) / (1 + fabs((double)a[k])));
        if (!CHECK(i < n_contexts || portable_fma ? same(a, b, n) : worst < 1e-4))
            printf("    %s: %s, %d threads: %g\n", name, rlvr__kernels_name(c->kernels), c->n_threads, worst);
    }
    free(a);
    free(b);
}

/* ---- embedding ---- */

static int64_t case_embed(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t M = s[0], V = s[1], D = s[2];
    float *w = noises(V * D, 1), *wp = floats(rlvr__packed_floats(V, D)), *dx = noises(M * D, 1);
    int *token = (int *)calloc((size_t)M, sizeof(int));
    for (int64_t i = 0; i < M; i++) token[i] = (int)(uniform() * (float)V);
    rlvr__pack(w, wp, V, D);
    rlvr__embed_fwd(c, out, wp, token, M, V, D);
    int wrong = 0;
    for (int64_t i = 0; i < M; i++) wrong += !same(out + i * D, w + token[i] * D, D);
    CHECK(!wrong);
    rlvr__embed_bwd(c, wp, dx, token, M, V, D);
    for (int64_t i = 0; i < M; i++)
        for (int64_t k = 0; k < D; k++) w[token[i] * D + k] += dx[i * D + k];
    rlvr__unpack(wp, out + M * D, V, D);
    CHECK(same(w, out + M * D, V * D));
    free(w); free(wp); free(dx); free(token);
    return M * D + V * D;
}

/* ---- RMSNorm ---- */

static double ref_norm(const double *x, const double *w, const double *dy, int64_t M, int64_t D, double eps, double *y)
{
    double loss = 0;
    for (int64_t i = 0; i < M; i++) {
        double s = 0;
        for (int64_t k = 0; k < D; k++) s += x[i * D + k] * x[i * D + k];
        for (int64_t k = 0; k < D; k++) {
            double v = x[i * D + k] / sqrt(s / (double)D + eps) * w[k];
            if (y) y[i * D + k] = v;
            loss += v * dy[i * D + k];
        }
    }
    return loss;
}

static int64_t case_norm(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t M = s[0], D = s[1];
    float *x = noises(M * D, 2), *w = noises(D, 1), *dy = noises(M * D, 1), *y = out, *rstd = y + M * D, *dx = rstd + M, *dw = dx + M * D;
    for (int64_t i = 0; i < M * D; i++) dx[i] = noise(1);
    for (int64_t i = 0; i < D; i++) dw[i] = noise(1);
    double *old_dx = doubles(dx, M * D), *old_dw = doubles(dw, D), *dwant = doubles(NULL, M * D);
    rlvr__rmsnorm_fwd(c, y, rstd, x, w, M, D, 1e-5f);
    rlvr__rmsnorm_bwd(c, dx, dw, dy, x, w, rstd, M, D);
    if (c == contexts[0]) {
        double *X = doubles(x, M * D), *W = doubles(w, D), *DY = doubles(dy, M * D), h = 1e-5;
        ref_norm(X, W, DY, M, D, 1e-5f, dwant);
        CHECK_LE(distance(y, dwant, M * D), 3e-7);
        int64_t step = M * D > 3000 ? 131 : 1;
        double worst = 0;
        for (int64_t i = 0; i < M * D; i += step) {      /* only row i / D of the loss depends on x[i] */
            double keep = X[i], up, down, *row = X + i / D * D, *drow = DY + i / D * D;
            X[i] = keep + h; up = ref_norm(row, W, drow, 1, D, 1e-5f, NULL);
            X[i] = keep - h; down = ref_norm(row, W, drow, 1, D, 1e-5f, NULL);
            X[i] = keep;
            worst = fmax(worst, fabs(old_dx[i] + (up - down) / (2 * h) - (double)dx[i]));
        }
        CHECK_LE(worst, 1e-5);
        worst = 0;
        for (int64_t k = 0; k < D; k += D > 200 ? 37 : 1) {
            double keep = W[k], up, down;
            W[k] = keep + h; up = ref_norm(X, W, DY, M, D, 1e-5f, NULL);
            W[k] = keep - h; down = ref_norm(X, W, DY, M, D, 1e-5f, NULL);
            W[k] = keep;
            worst = fmax(worst, fabs(old_dw[k] + (up - down) / (2 * h) - (double)dw[k]));
        }
        CHECK_LE(worst, 1e-4);
        /* in place; a row alone; two micro-batches */
        float *z = floats(M * D), r, *dx2 = floats(M * D), *dw2 = floats(D);
        memcpy(z, x, (size_t)(M * D) * sizeof *z);
        rlvr__rmsnorm_fwd(c, z, NULL, z, w, M, D, 1e-5f);
        CHECK(same(z, y, M * D));
        for (int64_t i = 0; i < M; i++) {
            rlvr__rmsnorm_fwd(c, z, &r, x + i * D, w, 1, D, 1e-5f);
            if (!CHECK(same(z, y + i * D, D) && same(&r, rstd + i, 1))) break;
        }
        for (int64_t i = 0; i < M * D; i++) dx2[i] = (float)old_dx[i];
        for (int64_t k = 0; k < D; k++) dw2[k] = (float)old_dw[k];
        int64_t cut = M / 3;
        rlvr__rmsnorm_bwd(c, dx2, dw2, dy, x, w, rstd, cut, D);
        rlvr__rmsnorm_bwd(c, dx2 + cut * D, dw2, dy + cut * D, x + cut * D, w, rstd + cut, M - cut, D);
        CHECK(same(dx2, dx, M * D) && same(dw2, dw, D));
        free(X); free(W); free(DY); free(z); free(dx2); free(dw2);
    }
    free(x); free(w); free(dy); free(old_dx); free(old_dw); free(dwant);
    return 2 * M * D + M + D;
}

/* ---- rotary position ---- */

static void ref_rope(double *y, const double *x, const float *cs, int64_t hd)
{
    for (int64_t i = 0; i < hd / 2; i++) {
        double c = (double)cs[2 * i], s = (double)cs[2 * i + 1], a = x[i], b = x[i + hd / 2];
        y[i] = a * c - b * s;
        y[i + hd / 2] = b * c + a * s;
    }
}

static int64_t case_rope(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t M = s[0], H = s[1], KV = s[2], hd = s[3], Q = H * hd, K = KV * hd, W = Q + 2 * K, slots = M + 5, n_ctx = 40;
    float *qkv = noises(M * W, 1), *cs = floats(n_ctx * hd), *dq = noises(M * Q, 1), *dheads = noises(H * M * 2 * hd, 1);
    float *q = out, *kv = q + M * Q, *dqkv = kv + slots * 2 * K;
    int *slot = (int *)calloc((size_t)M, sizeof(int)), *pos = (int *)calloc((size_t)M, sizeof(int));
    for (int64_t p = 0; p < n_ctx; p++)
        for (int64_t i = 0; i < hd / 2; i++) {
            double angle = (double)p * pow(10000, -2.0 * (double)i / (double)hd);
            cs[p * hd + 2 * i] = (float)cos(angle);
            cs[p * hd + 2 * i + 1] = (float)sin(angle);
        }
    for (int64_t i = 0; i < M; i++) { slot[i] = (int)((i * 7 + 3) % M + 4); pos[i] = (int)(uniform() * (float)n_ctx); }
    if (M % 7 == 0) for (int64_t i = 0; i < M; i++) slot[i] = (int)i + 2;
    for (int64_t i = 0; i < slots * 2 * K; i++) kv[i] = 5;
    rlvr__rope_fwd(c, q, kv, slot, qkv, cs, pos, M, H, KV, hd);
    rlvr__rope_bwd(c, dqkv, dq, dheads, cs, pos, M, H, KV, hd);
    if (c == contexts[0]) {
        double *X = doubles(qkv, M * W), y[512], worst = 0, adjoint = 0;
        for (int64_t i = 0; i < M; i++) {
            const float *row = kv + slot[i] * 2 * K;
            for (int64_t h = 0; h < H + KV; h++) {
                ref_rope(y, X + i * W + h * hd, cs + pos[i] * hd, hd);
                worst = fmax(worst, distance(h < H ? q + i * Q + h * hd : row + (h - H) * hd, y, hd));
            }
            CHECK(same(row + K, qkv + i * W + Q + K, K));
            /* the transpose: <dq, R x> = <R' dq, x>, and the sum over a group's heads, by heads of x */
            for (int64_t h = 0; h < H + 2 * KV; h++) {
                double left = 0, right = 0;
                ref_rope(y, X + i * W + h * hd, cs + pos[i] * hd, hd);
                if (h >= H + KV) memcpy(y, X + i * W + h * hd, (size_t)hd * sizeof *y);
                for (int64_t k = 0; k < hd; k++) {
                    double d = 0;
                    if (h < H) d = (double)dq[i * Q + h * hd + k];
                    else for (int64_t j = 0; j < H / KV; j++)
                        d += (double)dheads[(((h - H) % KV * (H / KV) + j) * M + i) * 2 * hd + (h < H + KV ? 0 : hd) + k];
                    left += d * y[k];
                    right += (double)dqkv[i * W + h * hd + k] * X[i * W + h * hd + k];
                }
                adjoint = fmax(adjoint, fabs(left - right));
            }
        }
        CHECK_LE(worst, 3e-7);
        CHECK_LE(adjoint, 2e-5);
        for (int64_t i = 0; i < 2 * 2 * K; i++) if (kv[i] != 5) { CHECK(!"a slot that no row has is untouched"); break; }
        free(X);
    }
    free(qkv); free(cs); free(dq); free(dheads); free(slot); free(pos);
    return M * Q + slots * 2 * K + M * W;
}

/* ---- attention ---- */

typedef struct forest { int64_t M; int *n_context, *items, **context, *tree_begin, n_trees, max_context; } forest;

/* Trees of a prompt and children, as rows in order: a row's context is its ancestors' rows, then its own. */
static forest forest_make(int n_trees, int prompt, int children, int child)
{
    forest f;
    memset(&f, 0, sizeof f);
    f.M = n_trees * (prompt + children * child);
    f.n_trees = n_trees;
    f.max_context = prompt + child;
    f.n_context = (int *)calloc((size_t)f.M, sizeof(int));
    f.context = (int **)calloc((size_t)f.M, sizeof(int *));
    f.items = (int *)calloc((size_t)(f.M * f.max_context), sizeof(int));
    f.tree_begin = (int *)calloc((size_t)n_trees + 1, sizeof(int));
    int row = 0;
    for (int t = 0; t < n_trees; t++) {
        int root = row;
        for (int g = -1; g < children; g++)
            for (int k = 0, first = row; k < (g < 0 ? prompt : child); k++, row++) {
                f.context[row] = f.items + row * f.max_context;
                for (int j = 0; g >= 0 && j < prompt; j++) f.context[row][f.n_context[row]++] = root + j;
                for (int j = first; j <= row; j++) f.context[row][f.n_context[row]++] = j;
            }
        f.tree_begin[t + 1] = row;
    }
    return f;
}
static void forest_free(forest *f) { free(f->n_context); free(f->context); free(f->items); free(f->tree_begin); }

/* out (M,H,hd) and the loss sum dout out; then dq and dkv (M, 2 KV hd, heads summed) where dq is not NULL. */
static double ref_attn(const forest *f, int64_t H, int64_t KV, int64_t hd, const double *q, const double *kv, const double *dout,
                       double *out, double *lse, double *dq, double *dkv)
{
    double loss = 0, scale = 1 / sqrt((double)hd), *p = doubles(NULL, f->max_context), *dp = doubles(NULL, f->max_context);
    for (int64_t i = 0; i < f->M; i++)
        for (int64_t h = 0; h < H; h++) {
            const double *qh = q + (i * H + h) * hd, *d = dout + (i * H + h) * hd;
            int64_t at = h / (H / KV) * hd, W = 2 * KV * hd;
            int n = f->n_context[i];
            double max = -1e300, sum = 0, mean = 0;
            for (int j = 0; j < n; j++) {
                p[j] = 0;
                for (int64_t k = 0; k < hd; k++) p[j] += qh[k] * kv[f->context[i][j] * W + at + k] * scale;
                if (p[j] > max) max = p[j];
            }
            for (int j = 0; j < n; j++) sum += p[j] = exp(p[j] - max);
            if (lse) lse[i * H + h] = max + log(sum);
            for (int64_t k = 0; k < hd; k++) {
                double o = 0;
                for (int j = 0; j < n; j++) o += p[j] / sum * kv[f->context[i][j] * W + KV * hd + at + k];
                if (out) out[(i * H + h) * hd + k] = o;
                loss += o * d[k];
            }
            if (!dq) continue;
            for (int j = 0; j < n; j++) {
                dp[j] = 0;
                for (int64_t k = 0; k < hd; k++) dp[j] += d[k] * kv[f->context[i][j] * W + KV * hd + at + k];
                mean += dp[j] * p[j] / sum;
            }
            for (int j = 0; j < n; j++)
                for (int64_t k = 0; k < hd; k++) {
                    int64_t c = f->context[i][j] * W + at + k;
                    double ds = p[j] / sum * (dp[j] - mean) * scale;
                    dq[(i * H + h) * hd + k] += ds * kv[c];
                    dkv[c] += ds * qh[k];
                    dkv[c + KV * hd] += p[j] / sum * d[k];
                }
        }
    free(p); free(dp);
    return loss;
}

static int64_t case_attn(rlvr_ctx *c, const int64_t *s, float *out)
{
    forest f = forest_make((int)s[0], (int)s[1], (int)s[2], (int)s[3]);
    int64_t H = s[4], KV = s[5], hd = s[6], M = f.M, W = 2 * KV * hd, Q = H * hd, slots = 2 * M + 3;
    float sharp = s[7] ? 20.0f : 2.0f;
    float *q = noises(M * Q, sharp), *kv = noises(M * W, 1), *dout = noises(M * Q, 1), *o = out, *lse = o + M * Q, *dq = lse + M * H;
    float *dheads = dq + M * Q, *kv_slots = floats(slots * W), *scratch = floats(rlvr__attn_scratch_floats(c, f.max_context, H, KV, hd));
    /* forward: keys and values lie at scattered slots; rows as context[i] names them are slots */
    int *slot_of = (int *)calloc((size_t)M, sizeof(int)), *items = (int *)calloc((size_t)(M * f.max_context), sizeof(int));
    int **context = (int **)calloc((size_t)M, sizeof(int *));
    for (int64_t i = 0; i < M; i++) slot_of[i] = (int)(i % 2 ? 2 * M - i : i);
    for (int64_t i = 0; i < slots * W; i++) kv_slots[i] = (float)NAN;
    for (int64_t i = 0; i < M; i++) {
        memcpy(kv_slots + slot_of[i] * W, kv + i * W, (size_t)W * sizeof *kv);
        context[i] = items + i * f.max_context;
        for (int j = 0; j < f.n_context[i]; j++) context[i][j] = slot_of[f.context[i][j]];
    }
    rlvr__attn_fwd(c, o, lse, q, kv_slots, (const int *const *)context, f.n_context, M, H, KV, hd, scratch, f.max_context);
    for (int64_t i = 0; i < H * M * 2 * hd; i++) dheads[i] = (float)NAN;
    rlvr__attn_bwd(c, dq, dheads, dout, o, lse, q, kv, (const int *const *)f.context, f.n_context, M, H, KV, hd, f.tree_begin, f.n_trees, scratch);
    if (c == contexts[0]) {
        double *Qd = doubles(q, M * Q), *K = doubles(kv, M * W), *D = doubles(dout, M * Q), *O = doubles(NULL, M * Q), *L = doubles(NULL, M * H);
        double *dQ = doubles(NULL, M * Q), *dK = doubles(NULL, M * W), h = 1e-5, worst = 0;
        ref_attn(&f, H, KV, hd, Qd, K, D, O, L, dQ, dK);
        CHECK_LE(distance(o, O, M * Q), 3e-6);
        CHECK_LE(distance(lse, L, M * H), 1e-6);
        CHECK_LE(distance(dq, dQ, M * Q), 1e-5);
        float *dkv = floats(M * W);
        for (int64_t i = 0; i < M; i++)
            for (int64_t g = 0; g < H; g++)
                for (int64_t k = 0; k < 2 * hd; k++)
                    dkv[i * W + (k < hd ? 0 : KV * hd) + g / (H / KV) * hd + k % hd] += dheads[(g * M + i) * 2 * hd + k];
        CHECK_LE(distance(dkv, dK, M * W), 1e-5);
        if (M * Q < 1500) {      /* the reference's own backward against its finite differences */
            for (int part = 0; part < 2; part++)
                for (int64_t i = 0; i < (part ? M * W : M * Q); i++) {
                    double *x = part ? K + i : Qd + i, keep = *x, up, down;
                    *x = keep + h; up = ref_attn(&f, H, KV, hd, Qd, K, D, NULL, NULL, NULL, NULL);
                    *x = keep - h; down = ref_attn(&f, H, KV, hd, Qd, K, D, NULL, NULL, NULL, NULL);
                    *x = keep;
                    worst = fmax(worst, fabs((up - down) / (2 * h) - (part ? dK[i] : dQ[i])));
                }
            CHECK_LE(worst, 1e-6);
        }
        /* a row alone has the bits that it has in the batch; a tree alone too; all as one tree too */
        float *o1 = floats(Q), *l1 = floats(H);
        int wrong = 0;
        for (int64_t i = 0; i < M; i++) {
            const int *one = context[i];
            rlvr__attn_fwd(c, o1, l1, q + i * Q, kv_slots, &one, f.n_context + i, 1, H, KV, hd, scratch, f.max_context);
            wrong += !same(o1, o + i * Q, Q) || !same(l1, lse + i * H, H);
        }
        CHECK(!wrong);
        float *dq2 = floats(M * Q), *dheads2 = floats(H * M * 2 * hd);
        rlvr__attn_bwd(c, dq2, dheads2, dout, o, lse, q, kv, (const int *const *)f.context, f.n_context, M, H, KV, hd, NULL, 0, scratch);
        CHECK(same(dq2, dq, M * Q) && same(dheads2, dheads, H * M * 2 * hd));
        if (f.n_trees > 1) {
            int64_t m = f.tree_begin[1];
            rlvr__attn_bwd(c, dq2, dheads2, dout, o, lse, q, kv, (const int *const *)f.context, f.n_context, m, H, KV, hd, NULL, 0, scratch);
            wrong = !same(dq2, dq, m * Q);
            for (int64_t g = 0; g < H; g++) wrong += !same(dheads2 + g * m * 2 * hd, dheads + g * M * 2 * hd, m * 2 * hd);
            CHECK(!wrong);
        }
        free(Qd); free(K); free(D); free(O); free(L); free(dQ); free(dK); free(dkv); free(o1); free(l1); free(dq2); free(dheads2);
    }
    free(q); free(kv); free(dout); free(kv_slots); free(scratch); free(slot_of); free(items); free(context);
    forest_free(&f);
    return 2 * M * Q + M * H + H * M * 2 * hd;
}

/* ---- SwiGLU ---- */

static double ref_swiglu(double g, double u) { return g / (1 + exp(-g)) * u; }
static int64_t case_swiglu(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t M = s[0], F = s[1];
    float *gu = noises(M * 2 * F, 6), *dh = noises(M * F, 1), *h = out, *dgu = h + M * F;
    gu[0] = 100; gu[1] = -100; gu[2] = 0;
    rlvr__swiglu_fwd(c, h, gu, M, F);
    rlvr__swiglu_bwd(c, dgu, dh, gu, M, F);
    if (c == contexts[0]) {
        double worst = 0, back = 0, e = 1e-5;
        for (int64_t i = 0; i < M; i++)
            for (int64_t k = 0; k < F; k++) {
                double g = (double)gu[i * 2 * F + k], u = (double)gu[i * 2 * F + F + k], d = (double)dh[i * F + k];
                worst = fmax(worst, fabs(ref_swiglu(g, u) - (double)h[i * F + k]) / (1 + fabs(g * u)));
                back = fmax(back, fabs((ref_swiglu(g + e, u) - ref_swiglu(g - e, u)) / (2 * e) * d - (double)dgu[i * 2 * F + k]));
                back = fmax(back, fabs(ref_swiglu(g, 1) * d - (double)dgu[i * 2 * F + F + k]));
            }
        CHECK_LE(worst, 3e-7);
        CHECK_LE(back, 1e-5);
        float *one = floats(F);
        rlvr__swiglu_fwd(c, one, gu + (M - 1) * 2 * F, 1, F);
        CHECK(same(one, h + (M - 1) * F, F));
        free(one);
    }
    free(gu); free(dh);
    return 3 * M * F;
}

/* ---- distributions ---- */

static int descending(const void *a, const void *b) { double x = *(const double *)a, y = *(const double *)b; return x < y ? 1 : x > y ? -1 : 0; }

/* Checks one row's distribution against a sort in double. What lies within rounding of a limit may fall on either side. */
static void ref_dist(const rlvr__dist *d, const float *z, int64_t V, const rlvr_sampling *s)
{
    double *sorted = doubles(z, V), T = s->greedy || s->temperature == 0 ? 1.0 : (double)s->temperature, low = -INFINITY, high = -INFINITY;
    qsort(sorted, (size_t)V, sizeof *sorted, descending);
    double max = sorted[0], sum = 0, above = 0, t;
    int wrong = 0;
    if (!s->greedy) {      /* low: the least that the threshold may be; high: the most */
        if (s->top_k > 0 && s->top_k < V) low = high = sorted[s->top_k - 1];
        if (s->top_p > 0 && s->top_p < 1) {
            double p = (double)s->top_p, low_p = -INFINITY, high_p = max;
            for (int64_t i = 0; i < V && sorted[i] >= low; i++) sum += exp((sorted[i] - max) / T);
            for (int64_t i = 0; i < V && sorted[i] >= low; i++) {
                double e = exp((sorted[i] - max) / T) / sum;
                if (above < p - 1e-6) high_p = sorted[i];      /* surely kept */
                if (above < p + 1e-6) low_p = sorted[i];
                above += e;
            }
            low = fmax(low, low_p);
            high = fmax(high, high_p);
        }
        if (s->min_p > 0) {
            t = max + T * log((double)s->min_p);
            low = fmax(low, fmin(max, t - 1e-5 * (1 + fabs(t))));
            high = fmax(high, fmin(max, t + 1e-5 * (1 + fabs(t))));
        }
    }
    sum = above = 0;
    for (int64_t v = 0; v < V; v++) {
        double x = (double)z[v], e = exp((x - max) / T);
        bool kept = z[v] >= d->threshold;
        if (x >= high && x > -INFINITY && !kept) wrong++;
        if (x < low && kept) wrong++;
        if (!kept) continue;
        sum += e;
        if (e > 0) above += e * (x - max) / T;
    }
    if (!CHECK(!wrong)) printf("    V %d, T %g, k %d, p %g, min %g: %d tokens on the wrong side of %g, not in %g .. %g\n", (int)V, T, s->top_k,
                               (double)s->top_p, (double)s->min_p, wrong, (double)d->threshold, low, high);
    CHECK_LE(fabs((double)d->log_z - log(sum)), 2e-6);
    CHECK_LE(fabs((double)d->entropy - (log(sum) - above / sum)), 5e-6);
    CHECK_LE(fabs((double)rlvr__dist_logprob(d, (float)max) + log(sum)), 2e-6);
    if (d->threshold > -FLT_MAX) CHECK(rlvr__dist_logprob(d, nextafterf(d->threshold, -INFINITY)) == -INFINITY && rlvr__dist_logprob(d, d->threshold) > -1e30f);
    free(sorted);
}

static float bell(float scale) { return scale * (uniform() + uniform() + uniform() + uniform() - 2); }
static void make_row(float *z, int64_t V, int kind)
{
    for (int64_t v = 0; v < V; v++) z[v] = bell(4);
    if (kind == 1) for (int64_t v = 0; v < V; v++) z[v] = roundf(z[v] * 2) / 2;                     /* many ties */
    if (kind == 2) for (int64_t v = 0; v < V; v++) z[v] = 1.5f;                                     /* all equal */
    if (kind == 3) z[V / 2] = 80;                                                                   /* one dominant */
    if (kind == 4) for (int64_t v = 0; v < V; v += 2) z[v] = -INFINITY;                             /* half banned */
    if (kind == 5) for (int64_t v = 0; v < V; v++) z[v] = v == V - 1 ? -3.0f : -INFINITY;           /* a single one */
    if (kind == 6) for (int64_t v = 0; v < V; v++) z[v] *= 1e4f;
    if (kind == 7) for (int64_t v = 0; v < V; v++) z[v] = v % 3 ? 0.0f : -0.0f;
    if (kind == 8) for (int64_t v = 0; v < V; v++) z[v] = (float)(V - v) * -1e-4f;                  /* nearly flat, sorted */
}
enum { KINDS = 9, SETTINGS = 12 };
static rlvr_sampling setting(int i)
{
    static const struct { float temperature; int top_k; float top_p, min_p; } list[SETTINGS] = {
        {0, 0, 0, 0}, {0.7f, 0, 0, 0}, {1, 5, 0, 0}, {1, 0, 0.9f, 0}, {1, 0, 0, 0.1f}, {1.3f, 50, 0.95f, 0.02f}, {0.25f, 1, 0, 0},
        {2, 70, 0.5f, 0}, {1, 1000000, 1, 0}, {1, 0, 0.999f, 0}, {0.01f, 0, 0.3f, 1}, {1, 0, 1e-6f, 0}};
    rlvr_sampling s;
    memset(&s, 0, sizeof s);
    s.temperature = list[i].temperature;
    s.top_k = list[i].top_k;
    s.top_p = list[i].top_p;
    s.min_p = list[i].min_p;
    return s;
}

static void test_dist(int64_t V)
{
    float *z = floats(KINDS * V), *scratch = floats(rlvr__dist_scratch_floats(ctx, V)), u[KINDS];
    rlvr__dist d[KINDS], one;
    int token[KINDS], top[KINDS];
    for (int k = 0; k < KINDS; k++) make_row(z + k * V, V, k);
    for (int i = 0; i < SETTINGS; i++) {
        rlvr_sampling s = setting(i);
        rlvr__dist_rows(ctx, d, z, KINDS, V, &s, scratch);
        for (int k = 0; k < KINDS; k++) {
            ref_dist(&d[k], z + k * V, V, &s);
            rlvr__dist_rows(ctx, &one, z + k * V, 1, V, &s, scratch);
            CHECK(!memcmp(&one, &d[k], sizeof one));
        }
        /* draws: never without probability, in the right place of the distribution's CDF, in the vocabulary's order */
        rlvr__argmax_rows(ctx, top, z, KINDS, V);
        int previous[KINDS] = {0};
        for (int draw = 0; draw < (V > 1000 ? 9 : 40); draw++) {
            float x = draw == 0 ? 0.0f : draw == 1 ? 1 - 0x1p-24f : uniform();
            for (int k = 0; k < KINDS; k++) u[k] = x;
            rlvr__dist_sample_rows(ctx, token, d, z, u, KINDS, V);
            for (int k = 0; k < KINDS; k++) {
                double before = 0, p = 0;
                const float *row = z + k * V;
                CHECK(token[k] >= 0 && token[k] < V && rlvr__dist_logprob(&d[k], row[token[k]]) > -104);
                for (int64_t v = 0; v <= token[k]; v++) { before += p; p = exp((double)rlvr__dist_logprob(&d[k], row[v])); }
                if (!CHECK(before <= (double)x + 3e-6 && before + p >= (double)x - 3e-6)) printf("    kind %d: %g %g %g\n", k, before, (double)x, before + p);
                if (s.top_k == 1 && k == 0) CHECK(token[k] == top[k]);
                if (draw == 0) previous[k] = token[k];
                CHECK(token[k] >= previous[k]);
            }
        }
    }
    for (int k = 0; k < KINDS; k++) {
        int64_t best = 0;
        for (int64_t v = 0; v < V; v++) if (z[k * V + v] > z[k * V + best]) best = v;
        CHECK(top[k] == (int)best);
    }
    /* greedy ignores everything else; broken rows are NaN, whatever is set */
    rlvr_sampling s = setting(5);
    s.greedy = true;
    rlvr__dist_rows(ctx, d, z, 1, V, &s, scratch);
    CHECK(d->temperature_inv == 1 && d->threshold == -INFINITY);
    s.greedy = false;
    for (int broken = 0; broken < 3; broken++) {
        make_row(z, V, 0);
        z[V / 3] = broken == 0 ? NAN : INFINITY;
        if (broken == 2) for (int64_t v = 0; v < V; v++) z[v] = -INFINITY;
        rlvr__dist_rows(ctx, d, z, 1, V, &s, scratch);
        CHECK(isnan(d->log_z) && isnan(d->entropy) && isnan(rlvr__dist_logprob(d, z[0])));
        float x = 0.5f;
        rlvr__dist_sample_rows(ctx, token, d, z, &x, 1, V);
        rlvr__argmax_rows(ctx, top, z, 1, V);
        CHECK(token[0] >= 0 && token[0] < V && top[0] >= 0 && top[0] < V);
    }
    free(z); free(scratch);
}

/* Draws of one distribution, counted. */
static void test_frequencies(void)
{
    enum { V = 97, ROWS = 500, ROUNDS = 400 };
    float *z = floats(ROWS * V), *scratch = floats(rlvr__dist_scratch_floats(ctx, V)), u[ROWS];
    rlvr__dist d[ROWS];
    int token[ROWS];
    for (int i = 0; i < SETTINGS; i++) {
        rlvr_sampling s = setting(i);
        double count[V] = {0}, chi = 0, n = 0;
        make_row(z, V, 0);
        rlvr__dist_rows(ctx, d, z, 1, V, &s, scratch);
        for (int r = 1; r < ROWS; r++) { memcpy(z + r * V, z, V * sizeof *z); d[r] = d[0]; }
        for (int round = 0; round < ROUNDS; round++) {
            for (int r = 0; r < ROWS; r++) u[r] = rlvr_uniform(1, (uint32_t)round, (uint32_t)r, (uint32_t)i, 0);
            rlvr__dist_sample_rows(ctx, token, d, z, u, ROWS, V);
            for (int r = 0; r < ROWS; r++) count[token[r]]++;
        }
        for (int v = 0; v < V; v++) {
            double p = exp((double)rlvr__dist_logprob(d, z[v])), want = p * ROWS * ROUNDS;
            if (p == 0) { CHECK(count[v] == 0); continue; }
            if (want < 5) { CHECK_LE(count[v], want + 6 * sqrt(want) + 6); continue; }
            chi += (count[v] - want) * (count[v] - want) / want;
            n++;
        }
        CHECK_LE(chi, n + 5 * sqrt(2 * n));
    }
    free(z); free(scratch);
}

static double ref_objective(const double *z, const rlvr__dist *d, const float *raw, int64_t V, const int *target, const float *dl, int n, double dh)
{
    double max = -1e300, sum = 0, ent = 0, loss = 0, inv = (double)d->temperature_inv;
    for (int64_t v = 0; v < V; v++) if (z[v] > max) max = z[v];
    for (int64_t v = 0; v < V; v++) if (raw[v] >= d->threshold) sum += exp((z[v] - max) * inv);
    for (int64_t v = 0; v < V; v++)
        if (raw[v] >= d->threshold && z[v] > -1e300) {
            double lp = (z[v] - max) * inv - log(sum);
            ent -= exp(lp) * lp;
        }
    for (int t = 0; t < n; t++) loss += (double)dl[t] * ((z[target[t]] - max) * inv - log(sum));
    return loss + dh * ent;
}

static int64_t case_dist(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t V = s[0], i = s[1], M = KINDS;
    rlvr_sampling sampling = setting((int)i);
    float *z = floats(M * V), *scratch = floats(rlvr__dist_scratch_floats(c, V)), u[KINDS], dl[KINDS * 3], dh[KINDS];
    rlvr__dist d[KINDS];
    int begin[KINDS + 1] = {0}, target[KINDS * 3], token[KINDS];
    for (int k = 0; k < M; k++) make_row(z + k * V, V, k);
    rlvr__dist_rows(c, d, z, M, V, &sampling, scratch);
    for (int k = 0; k < M; k++) u[k] = uniform();
    rlvr__dist_sample_rows(c, token, d, z, u, M, V);
    int n = 0;
    for (int k = 0; k < M; k++) {
        for (int t = 0; t < k % 4; t++) {      /* 0 to 3 targets, the same one twice among them */
            float x = uniform();
            int drawn;
            rlvr__dist_sample_rows(c, &drawn, d + k, z + k * V, &x, 1, V);
            target[n] = t == 2 ? target[n - 1] : drawn;
            dl[n++] = noise(1);
        }
        begin[k + 1] = n;
        dh[k] = k % 3 ? noise(0.5f) : 0;
    }
    float *g = out;
    memcpy(g, z, (size_t)(M * V) * sizeof *z);
    rlvr__dist_bwd_rows(c, g, d, begin, target, dl, dh, M, V);
    if (c == contexts[0]) {
        int zeros = 0;
        for (int64_t v = 0; v < V; v++) zeros += g[v] == 0;
        CHECK(zeros == V);      /* row 0 has neither a target nor an entropy term */
        for (int k = 0; k < M; k++) {
            const float *row = z + k * V;
            double *Z = doubles(row, V), worst = 0, h = 1e-5 / (double)d[k].temperature_inv;
            for (int64_t v = 0; v < V; v += V > 1000 ? 251 : 1) {
                double keep = Z[v], up, down, want = 0;
                if (row[v] >= d[k].threshold && keep > -1e300) {
                    Z[v] = keep + h; up = ref_objective(Z, &d[k], row, V, target + begin[k], dl + begin[k], begin[k + 1] - begin[k], (double)dh[k]);
                    Z[v] = keep - h; down = ref_objective(Z, &d[k], row, V, target + begin[k], dl + begin[k], begin[k + 1] - begin[k], (double)dh[k]);
                    Z[v] = keep;
                    want = (up - down) / (2 * h);
                }
                worst = fmax(worst, fabs(want - (double)g[k * V + v]) / (double)d[k].temperature_inv);
            }
            CHECK_LE(worst, 1e-6);
            float *alone = floats(V);
            int b[2] = {begin[k], begin[k + 1]};
            memcpy(alone, row, (size_t)V * sizeof *row);
            rlvr__dist_bwd_rows(c, alone, d + k, b, target, dl, dh + k, 1, V);
            CHECK(same(alone, g + k * V, V));
            free(alone); free(Z);
        }
    }
    float *tail = out + M * V;
    memcpy(tail, d, sizeof d);
    for (int k = 0; k < M; k++) tail[M * 5 + k] = (float)token[k];
    for (int64_t k = 0; k < M * 6; k++) if (!(fabsf(tail[k]) <= FLT_MAX)) tail[k] = -1e9f;
    free(z); free(scratch);
    return M * V + M * 6;
}

/* One place's divergence from the teacher, in double, of logits that are at most 0 apart from -infinity. */
static double ref_divergence(rlvr_distill kind, double beta, double inv, const double *z, const float *teacher, int64_t V)
{
    double zp = 0, zq = 0, sum = 0;
    for (int64_t v = 0; v < V; v++) { zp += exp(z[v] * inv); zq += exp((double)teacher[v] * inv); }
    for (int64_t v = 0; v < V; v++) {
        double log_p = z[v] * inv - log(zp), log_q = (double)teacher[v] * inv - log(zq), p = exp(log_p), q = exp(log_q), m = log(beta * q + (1 - beta) * p);
        if (p + q == 0) continue;
        sum += kind == RLVR_DISTILL_REVERSE_KL ? p * (log_p - log_q) : kind == RLVR_DISTILL_FORWARD_KL ? q * (log_q - log_p)
               : beta * q * (log_q - m) + (1 - beta) * p * (log_p - m);
    }
    return sum;
}

static int64_t case_distill(rlvr_ctx *c, const int64_t *s, float *out)
{
    enum { M = 3 };
    int64_t V = s[0];
    rlvr_distill kind = (rlvr_distill)s[1];
    rlvr_sampling sampling = setting(0);
    float *z = noises(M * V, 3), *q = noises(M * V, 3), *scratch = floats(rlvr__dist_scratch_floats(c, V)), weight[M] = {1, -0.5f, 0};
    rlvr__dist d[M], teacher[M];
    sampling.temperature = 0.7f;
    for (int k = 0; k < M && V > 8; k++) z[k * V + 7] = q[k * V + 7] = -INFINITY;      /* banned: no part in anything */
    memcpy(out, q, (size_t)(M * V) * sizeof *q);
    rlvr__dist_rows(c, d, z, M, V, &sampling, scratch);
    rlvr__dist_rows(c, teacher, q, M, V, &sampling, scratch);
    rlvr__distill_rows(c, out, teacher, z, d, weight, kind, 0.3f, out + M * V, M, V);
    rlvr__dist_collision_rows(c, out + M * V + M, d, z, M, V);
    float *p = out + M * V + 2 * M;
    memcpy(p, z, (size_t)(M * V) * sizeof *z);
    for (int k = 0; k < M; k++) rlvr__dist_probs(c, p + k * V, &d[k], p + k * V, V);      /* in place */
    for (int k = 0; k < M && c == contexts[0]; k++) {
        double inv = (double)d[k].temperature_inv, *Z = doubles(z + k * V, V), worst = 0, sum = 0, square = 0;
        double here = ref_divergence(kind, (double)0.3f, inv, Z, q + k * V, V);
        CHECK_LE(fabs(here - (double)out[M * V + k]), 2e-6 * fmax(1, here));
        for (int64_t v = 0; v < V; v++) { sum += exp(Z[v] * inv); square += exp(2 * Z[v] * inv); }
        CHECK_LE(fabs(square / sum / sum - (double)out[M * V + M + k]), 1e-6);
        for (int64_t v = 0; v < V; v++) CHECK_LE(fabs(exp(Z[v] * inv) / sum - (double)p[k * V + v]), 2e-6 * exp(Z[v] * inv) / sum);
        for (int64_t v = 0; v < V; v += V > 1000 ? 251 : 1) {
            double keep = Z[v], f[2];
            if (keep < -1e300) { CHECK(out[k * V + v] == 0); continue; }
            for (int side = 0; side < 2; side++) { Z[v] = keep + (side ? -1e-5 : 1e-5); f[side] = ref_divergence(kind, (double)0.3f, inv, Z, q + k * V, V); }
            Z[v] = keep;
            worst = fmax(worst, fabs((double)weight[k] * (f[0] - f[1]) / 2e-5 - (double)out[k * V + v]));
        }
        CHECK_LE(worst, 2e-6);
        free(Z);
    }
    free(z); free(q); free(scratch);
    return 2 * M * V + 2 * M;
}

/* ---- optimizer ---- */

static int64_t case_adamw(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t n = s[0];
    float *w = out, *m = w + n, *v = m + n, *g = floats(n), lr = 3e-3f, b1 = 0.9f, b2 = 0.999f, eps = 1e-8f, decay = 0.1f, clip = 0.37f;
    for (int64_t i = 0; i < n; i++) w[i] = noise(1);
    double *W = doubles(w, n), *Mo = doubles(NULL, n), *Ve = doubles(NULL, n);
    for (int t = 1; t <= 10; t++) {
        float bias1 = (float)(1 - pow((double)b1, t)), bias2 = (float)(1 - pow((double)b2, t));
        for (int64_t i = 0; i < n; i++) g[i] = i % 7 == 3 ? 0 : noise(i % 5 ? 1e-3f : 10);
        rlvr__adamw(c, w, g, m, v, n, lr, b1, b2, eps, decay, bias1, bias2, clip);
        for (int64_t i = 0; i < n; i++) {
            double x = (double)g[i] * (double)clip;
            W[i] -= (double)lr * (double)decay * W[i];
            Mo[i] = (double)b1 * Mo[i] + (1 - (double)b1) * x;
            Ve[i] = (double)b2 * Ve[i] + (1 - (double)b2) * x * x;
            W[i] -= (double)lr * (Mo[i] / (double)bias1) / (sqrt(Ve[i] / (double)bias2) + (double)eps);
        }
    }
    if (c == contexts[0]) {
        double worst_w = 0, worst_m = 0, worst_v = 0;
        for (int64_t i = 0; i < n; i++) {
            double size = (i % 5 ? 1e-3 : 10) * (double)clip;      /* of its gradients: a moment may cancel to less */
            worst_w = fmax(worst_w, fabs((double)w[i] - W[i]));
            worst_m = fmax(worst_m, fabs((double)m[i] - Mo[i]) / size);
            worst_v = fmax(worst_v, fabs((double)v[i] - Ve[i]) / (1e-12 + Ve[i]));
        }
        CHECK_LE(worst_w, 1e-6);
        CHECK_LE(worst_m, 1e-6);
        CHECK_LE(worst_v, 1e-6);
        for (int64_t i = 3; i < n; i += 7) if (m[i] != 0 || v[i] != 0) { CHECK(!"no gradient, no moment"); break; }
    }
    free(g); free(W); free(Mo); free(Ve);
    return 3 * n;
}

static int64_t case_squares(rlvr_ctx *c, const int64_t *s, float *out)
{
    int64_t n = s[0];
    float *g = noises(n, 3);
    double want = 0, got = rlvr__sum_squares(c, g, n);
    for (int64_t i = 0; i < n; i++) want += (double)g[i] * (double)g[i];
    CHECK_LE(fabs(got - want), 1e-6 * want);
    out[0] = (float)got;
    out[1] = (float)((got - (double)out[0]) / (1 + got));
    if (n) {
        g[n - 1] = NAN;
        CHECK(isnan(rlvr__sum_squares(c, g, n)));
        g[n - 1] = -INFINITY;
        CHECK(isinf(rlvr__sum_squares(c, g, n)));
        rlvr__zero(c, g, n);
        CHECK(rlvr__sum_squares(c, g, n) == 0);
    }
    free(g);
    return 2;
}

int main(void)
{
    contexts_open();
    static const int64_t embed[][3] = {{1, 33, 5}, {40, 97, 80}, {70, 300, 576}};
    for (int i = 0; i < 3; i++) bits("embed", case_embed, embed[i]);
    static const int64_t norm[][2] = {{1, 5}, {7, 16}, {33, 80}, {9, 97}, {3, 130}, {67, 576}, {150, 200}};
    for (int i = 0; i < 7; i++) bits("rmsnorm", case_norm, norm[i]);
    static const int64_t rope[][4] = {{1, 1, 1, 2}, {5, 4, 2, 12}, {37, 9, 3, 64}, {11, 3, 1, 20}, {6, 2, 2, 128}, {25, 2, 1, 6}};
    for (int i = 0; i < 6; i++) bits("rope", case_rope, rope[i]);
    /* trees, prompt, children, rows of a child, heads, kv heads, head_dim, sharp */
    static const int64_t attn[][8] = {{2, 5, 2, 3, 3, 1, 12, 0}, {1, 20, 0, 0, 2, 2, 4, 0}, {2, 21, 3, 30, 9, 3, 64, 0}, {1, 17, 2, 16, 4, 1, 20, 0},
                                      {3, 4, 2, 15, 5, 1, 128, 0}, {1, 40, 1, 3, 7, 1, 80, 0}, {2, 70, 1, 20, 2, 1, 64, 1}, {1, 1, 0, 0, 6, 3, 34, 0},
                                      {1, 33, 2, 31, 8, 1, 96, 1}};
    for (int i = 0; i < 9; i++) bits("attention", case_attn, attn[i]);
    static const int64_t swiglu[][2] = {{1, 3}, {9, 80}, {31, 97}, {20, 1536}};
    for (int i = 0; i < 4; i++) bits("swiglu", case_swiglu, swiglu[i]);
    static const int64_t sizes[] = {5, 97, 1000, 49152};
    for (int i = 0; i < 4; i++) test_dist(sizes[i]);
    test_frequencies();
    for (int64_t i = 0; i < SETTINGS; i++) {
        int64_t shape[2] = {97, i}, large[2] = {5003, i};
        bits("dist", case_dist, shape);
        bits("dist", case_dist, large);
    }
    for (int64_t kind = 0; kind < RLVR_DISTILL_COUNT; kind++)
        for (int i = 0; i < 3; i++) {
            int64_t shape[2] = {sizes[i] + (i == 2 ? 3 : 0), kind};
            bits("distill", case_distill, shape);
        }
    static const int64_t counts[] = {0, 1, 15, 64, 1000, 65536, 200003};
    for (int i = 1; i < 7; i++) bits("adamw", case_adamw, counts + i);
    for (int i = 0; i < 7; i++) bits("squares", case_squares, counts + i);
    for (int i = 0; i < n_contexts; i++) rlvr_close(contexts[i]);
    rlvr_close(portable);
    return test_done();
}
