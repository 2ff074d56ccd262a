/* Section 8: the vector vocabulary against libm in double, GEMM against a naive chain of fused multiply-adds (bits) and
   against double precision, and the promises: no bit depends on the number of rows, on threads or on the instruction set. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static uint32_t test_seed = 1;
static uint32_t test_random(void) { return rlvr__random(7, test_seed++, 0, 0, 0); }
static float test_float(void) { return (float)((int32_t)test_random() >> 8) / 8388608.0f; }     /* [-1, 1) */
static void test_fill(float *p, int64_t n) { for (int64_t i = 0; i < n; i++) p[i] = test_float(); }
static bool same_float(float a, float b) { return rlvr__to_bits(a) == rlvr__to_bits(b) || (a != a && b != b); }
static bool same_floats(const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!same_float(a[i], b[i])) {
            printf("    item %lld: %.9g is not %.9g\n", (long long)i, (double)a[i], (double)b[i]);
            return false;
        }
    return true;
}

/* ---- the vocabulary, for each instruction set ---- */

enum { ADD, SUB, MUL, DIV, MAX, MIN, FMA, FNMA, NEG, ABS, SQRT, ROUND, LDEXP, GE, GT, EQ, EXP, LOG, SPLIT_M, SPLIT_E, ZERO,
       SET1, HSUM, HMAX, N_OPS };

#define VOCABULARY(isa, attributes)                                                                                        \
attributes static void vocabulary_##isa(int op, const float *pa, const float *pb, const float *pc, float *out)             \
{                                                                                                                          \
    rlvr__vf_##isa a = rlvr__v_load_##isa(pa), b = rlvr__v_load_##isa(pb), c = rlvr__v_load_##isa(pc), r = c, e;           \
    switch (op) {                                                                                                          \
        case ADD:   r = rlvr__v_add_##isa(a, b); break;                                                                    \
        case SUB:   r = rlvr__v_sub_##isa(a, b); break;                                                                    \
        case MUL:   r = rlvr__v_mul_##isa(a, b); break;                                                                    \
        case DIV:   r = rlvr__v_div_##isa(a, b); break;                                                                    \
        case MAX:   r = rlvr__v_max_##isa(a, b); break;                                                                    \
        case MIN:   r = rlvr__v_min_##isa(a, b); break;                                                                    \
        case FMA:   r = rlvr__v_fma_##isa(a, b, c); break;                                                                 \
        case FNMA:  r = rlvr__v_fnma_##isa(a, b, c); break;                                                                \
        case NEG:   r = rlvr__v_neg_##isa(a); break;                                                                       \
        case ABS:   r = rlvr__v_abs_##isa(a); break;                                                                       \
        case SQRT:  r = rlvr__v_sqrt_##isa(a); break;                                                                      \
        case ROUND: r = rlvr__v_round_##isa(a); break;                                                                     \
        case LDEXP: r = rlvr__v_ldexp_##isa(a, b); break;                                                                  \
        case GE:    r = rlvr__v_select_ge_##isa(a, b, c, a); break;                                                        \
        case GT:    r = rlvr__v_select_gt_##isa(a, b, c, a); break;                                                        \
        case EQ:    r = rlvr__v_select_eq_##isa(a, b, c, a); break;                                                        \
        case EXP:   r = rlvr__v_exp_##isa(a); break;                                                                       \
        case LOG:   r = rlvr__v_log_##isa(a); break;                                                                       \
        case SPLIT_M: r = rlvr__v_split_##isa(a, &e); break;                                                               \
        case SPLIT_E: rlvr__v_split_##isa(a, &r); break;                                                                   \
        case ZERO:  r = rlvr__v_zero_##isa(); break;                                                                       \
        case SET1:  r = rlvr__v_set1_##isa(pa[3]); break;                                                                  \
        case HSUM:  r = rlvr__v_set1_##isa(rlvr__v_hsum_##isa(a)); break;                                                  \
        case HMAX:  r = rlvr__v_set1_##isa(rlvr__v_hmax_##isa(a)); break;                                                  \
    }                                                                                                                      \
    rlvr__v_store_##isa(out, r);                                                                                           \
}                                                                                                                          \
attributes static void partial_##isa(const float *from, float *to, int n_load, int n_store)                                \
{                                                                                                                          \
    rlvr__v_storen_##isa(to, rlvr__v_loadn_##isa(from, n_load), n_store);                                                  \
}

VOCABULARY(portable, )
#ifdef RLVR__HAS_AVX
VOCABULARY(avx2, __attribute__((target("avx2,fma"))))
VOCABULARY(avx512, __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))))
#endif
#ifdef RLVR__HAS_NEON
VOCABULARY(neon, )
#endif

typedef struct isa {
    const char *name;
    void (*vocabulary)(int op, const float *a, const float *b, const float *c, float *out);
    void (*partial)(const float *from, float *to, int n_load, int n_store);
} isa;
static const isa isas[] = {
#ifdef RLVR__HAS_AVX
    {"avx512", vocabulary_avx512, partial_avx512}, {"avx2", vocabulary_avx2, partial_avx2},
#endif
#ifdef RLVR__HAS_NEON
    {"neon", vocabulary_neon, partial_neon},
#endif
    {"portable", vocabulary_portable, partial_portable}};
enum { N_ISAS = sizeof isas / sizeof *isas };

static bool portable_fma(void)      /* does the portable v_fma round once? */
{
    float a[16], c[16], r[16];
    for (int i = 0; i < 16; i++) { a[i] = 1.0f + FLT_EPSILON; c[i] = -1.0f - 2.0f * FLT_EPSILON; }
    vocabulary_portable(FMA, a, a, c, r);
    return r[0] != 0;
}

static float expected(int op, const float *a, const float *b, const float *c, int i)
{
    float s[16], x = a[i], y = b[i], z = c[i];
    int e;
    memcpy(s, a, sizeof s);
    switch (op) {
        case ADD:   return x + y;
        case SUB:   return x - y;
        case MUL:   return x * y;
        case DIV:   return x / y;
        case MAX:   return x > y ? x : y;
        case MIN:   return x < y ? x : y;
        case FMA:   return fmaf(x, y, z);
        case FNMA:  return fmaf(-x, y, z);
        case NEG:   return rlvr__from_bits(rlvr__to_bits(x) ^ 0x80000000u);
        case ABS:   return fabsf(x);
        case SQRT:  return sqrtf(x);
        case ROUND: return rintf(x);
        case LDEXP: return (float)ldexp((double)x, (int)y);
        case GE:    return x >= y ? z : x;
        case GT:    return x > y ? z : x;
        case EQ:    return x == y ? z : x;
        case SPLIT_M:
        case SPLIT_E:
            x = frexpf(x, &e);
            if (x < 0.70710677f) { x *= 2; e--; }
            return op == SPLIT_M ? x : (float)e;
        case SET1:  return a[3];
        case HSUM:
        case HMAX:
            for (int half = 8; half; half /= 2)
                for (int j = 0; j < half; j++)
                    s[j] = op == HSUM ? s[j] + s[j + half] : s[j] > s[j + half] ? s[j] : s[j + half];
            return s[0];
        default:    return 0;
    }
}

static float any_float(int op, int argument)      /* every kind of float that the operation is defined for */
{
    static const float odd[] = {0.0f, -0.0f, 1.0f, -1.0f, FLT_MAX, -FLT_MAX, FLT_MIN, 1e-45f, -1e-45f, (float)INFINITY,
                                -(float)INFINITY, (float)NAN, 0.5f, 1.5f, 2.5f, -2.5f};
    if (op == LDEXP && argument == 1) return (float)((int)(test_random() % 301) - 150);
    if (op == ROUND) return test_random() % 4 ? test_float() * 4e6f : (float)((int)(test_random() % 64) - 32) + 0.5f;
    if (op == SPLIT_M || op == SPLIT_E) return ldexpf(1.0f + 0.5f * (1.0f + test_float()), (int)(test_random() % 250) - 125);
    if (op == HMAX || op == LDEXP) return test_float();
    if (test_random() % 4 == 0) return odd[test_random() % 16];
    return test_random() % 2 ? test_float() : rlvr__from_bits(test_random());
}

static void test_vocabulary(const isa *t)
{
    float a[16], b[16], c[16], got[16];
    bool fma = strcmp(t->name, "portable") || portable_fma();
    for (int op = 0; op < N_OPS; op++) {
        if (op == EXP || op == LOG || ((op == FMA || op == FNMA) && !fma)) continue;
        int wrong = 0;
        for (int round = 0; round < 2000; round++) {
            for (int i = 0; i < 16; i++) { a[i] = any_float(op, 0); b[i] = any_float(op, 1); c[i] = any_float(op, 2); }
            t->vocabulary(op, a, b, c, got);
            for (int i = 0; i < 16; i++) {
                float want = expected(op, a, b, c, i);
                if (!same_float(got[i], want) && wrong++ == 0)
                    printf("    %s op %d (%.9g, %.9g, %.9g): %.9g is not %.9g\n", t->name, op, (double)a[i], (double)b[i],
                           (double)c[i], (double)got[i], (double)want);
            }
        }
        CHECK(wrong == 0);
    }
    for (int n = 0; n <= 16; n++)
        for (int m = 0; m <= 16; m++) {
            float to[18], *from = (float *)malloc(sizeof(float) * (size_t)(n + !n));      /* exact, for the sanitizer */
            bool ok = true;
            test_fill(from, n);
            for (int i = 0; i < 18; i++) to[i] = 77.0f;
            t->partial(from, to + 1, n, m);
            for (int i = 0; i < 16; i++) ok = ok && to[i + 1] == (i >= m ? 77.0f : i < n ? from[i] : 0.0f);
            CHECK(ok && to[0] == 77.0f && to[17] == 77.0f);
            free(from);
        }
}

static double ulps(float got, double want)      /* distance in units of the last place of want */
{
    int e;
    if (want != want) return got != got ? 0 : 1e9;
    if (fabs(want) >= 3.402823567797337e38) return isinf(got) && (got > 0) == (want > 0) ? 0 : 1e9;
    if (got != got || isinf(got)) return 1e9;
    frexp(want, &e);
    return fabs((double)got - want) / ldexp(1.0, want == 0 ? -149 : RLVR__MAX(e - 24, -149));
}

static void test_exp_log(const isa *t)
{
    float x[16], y[16];
    for (int op = EXP; op <= LOG; op++) {
        double worst = 0, at = 0;
        for (uint64_t bits = 0; bits < 1ull << 32; bits += 16 * 811) {
            for (int i = 0; i < 16; i++) x[i] = rlvr__from_bits((uint32_t)bits + (uint32_t)i * 811);
            if (bits / (16 * 811) % 2)      /* half of the points where the function bends: exp near its range, log near 1 */
                for (int i = 0; i < 16; i++) x[i] = op == EXP ? 105.0f * test_float() : 1.0f + test_float() * 0.6f;
            t->vocabulary(op, x, x, x, y);
            for (int i = 0; i < 16; i++) {
                double d = ulps(y[i], op == EXP ? exp((double)x[i]) : log((double)x[i]));
                if (d > worst) { worst = d; at = (double)x[i]; }
            }
        }
        REPORT("%s %s: %.3f ulp at %.9g", t->name, op == EXP ? "exp" : "log", worst, at);
        CHECK_LE(worst, op == EXP ? 1.1 : 1.0);
    }
    static const float odd[16] = {0.0f, -0.0f, (float)INFINITY, -(float)INFINITY, (float)NAN, 1e-45f, -1e-45f, FLT_MIN,
                                  FLT_MAX, -FLT_MAX, 88.722839f, 88.722847f, -103.97207f, -103.97209f, 1.0f, -87.5f};
    t->vocabulary(EXP, odd, odd, odd, y);
    for (int i = 0; i < 16; i++) CHECK_LE(ulps(y[i], exp((double)odd[i])), 1.1);
    CHECK(y[0] == 1.0f && y[1] == 1.0f && y[3] == 0.0f && y[4] != y[4]);
    t->vocabulary(LOG, odd, odd, odd, y);
    for (int i = 0; i < 16; i++) CHECK_LE(ulps(y[i], log((double)odd[i])), 1.0);
    CHECK(y[14] == 0.0f && y[4] != y[4] && y[3] != y[3]);
}

/* ---- GEMM ---- */

static rlvr_ctx *open_ctx(const char *cpu, int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.cpu = cpu;
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

/* A caller's thread pool that does the pieces backwards, in twos, as changing workers: a loop may depend on none of it. */
static void backwards(void *user, int64_t n, int64_t grain, rlvr_loop_fn fn, void *arg)
{
    int64_t step = grain > 1 ? grain / 2 : 1;
    for (int64_t i = (n + step - 1) / step - 1; i >= 0; i--)
        fn(arg, i * step, RLVR__MIN(n, (i + 1) * step), (int)(i % *(int *)user));
}

static float chain(float a, float b, float c, bool fma) { return fma ? fmaf(a, b, c) : a * b + c; }

/* One shape: matrices with strides, in exact allocations, with marks between the rows. */
typedef struct shape { int64_t M, N, K, ldx, ldy; } shape;
typedef struct problem {
    shape s;
    float *x, *y, *w;            /* (M, ldx), (M, ldy), (N, K) */
    float *wp, *dwp, *scratch;   /* packed */
    float *fwd, *dx, *dw;        /* expected results, each without its start added: (M, N), (M, K), (N, K) */
} problem;

static float *floats(int64_t n)
{
    void *p = NULL;
#ifdef _WIN32
    p = malloc(sizeof(float) * (size_t)n);
#else
    if (posix_memalign(&p, 64, sizeof(float) * (size_t)(n ? n : 1))) p = NULL;
#endif
    return (float *)p;
}

static problem problem_new(shape s)
{
    problem p;
    p.s = s;
    p.x = floats((s.M - 1) * s.ldx + s.K);
    p.y = floats((s.M - 1) * s.ldy + s.N);
    p.w = floats(s.N * s.K);
    p.wp = floats(rlvr__packed_floats(s.N, s.K));
    p.dwp = floats(rlvr__packed_floats(s.N, s.K));
    p.fwd = floats(s.M * s.N);
    p.dx = floats(s.M * s.K);
    p.dw = floats(s.N * s.K);
    p.scratch = NULL;
    test_fill(p.x, (s.M - 1) * s.ldx + s.K);
    test_fill(p.y, (s.M - 1) * s.ldy + s.N);
    test_fill(p.w, s.N * s.K);
    rlvr__pack(p.w, p.wp, s.N, s.K);
    return p;
}

static void problem_free(problem *p)
{
    free(p->x); free(p->y); free(p->w); free(p->wp); free(p->dwp); free(p->fwd); free(p->dx); free(p->dw); free(p->scratch);
}

static void problem_scratch(problem *p, rlvr_ctx *ctx)
{
    free(p->scratch);
    p->scratch = floats(rlvr__gemm_scratch_floats(ctx, p->s.M, p->s.N, p->s.K));
}

static const float MARK = 12345;

/* The three products through the library: out (rows without gaps) (+)= ...; gaps between rows must stay as they were. */
static bool run_fwd(rlvr_ctx *ctx, problem *p, float *out, bool accumulate, int64_t row, int64_t rows)
{
    int64_t ld = p->s.N + 3;
    float *c = floats((rows - 1) * ld + p->s.N);
    bool ok = true;
    for (int64_t i = 0; i < (rows - 1) * ld + p->s.N; i++) c[i] = i % ld < p->s.N ? out[i / ld * p->s.N + i % ld] : MARK;
    rlvr__gemm_fwd(ctx, c, ld, p->x + row * p->s.ldx, p->s.ldx, p->wp, rows, p->s.N, p->s.K, accumulate);
    for (int64_t i = 0; i < (rows - 1) * ld + p->s.N; i++) {
        if (i % ld < p->s.N) out[i / ld * p->s.N + i % ld] = c[i];
        else ok = ok && c[i] == MARK;
    }
    free(c);
    return ok;
}

static bool run_dx(rlvr_ctx *ctx, problem *p, float *out, bool accumulate, int64_t row, int64_t rows)
{
    int64_t ld = p->s.K + 5;
    float *c = floats((rows - 1) * ld + p->s.K);
    bool ok = true;
    for (int64_t i = 0; i < (rows - 1) * ld + p->s.K; i++) c[i] = i % ld < p->s.K ? out[i / ld * p->s.K + i % ld] : MARK;
    rlvr__gemm_dx(ctx, c, ld, p->y + row * p->s.ldy, p->s.ldy, p->wp, rows, p->s.N, p->s.K, accumulate, p->scratch);
    for (int64_t i = 0; i < (rows - 1) * ld + p->s.K; i++) {
        if (i % ld < p->s.K) out[i / ld * p->s.K + i % ld] = c[i];
        else ok = ok && c[i] == MARK;
    }
    free(c);
    return ok;
}

static void run_dw(rlvr_ctx *ctx, problem *p, float *dwp, int64_t row, int64_t rows)
{
    rlvr__gemm_dw(ctx, dwp, p->y + row * p->s.ldy, p->s.ldy, p->x + row * p->s.ldx, p->s.ldx, rows, p->s.N, p->s.K,
                  p->scratch);
}

static bool pads_are_zero(const float *packed, int64_t N, int64_t K)
{
    for (int64_t n = N; n < (N + 31) / 32 * 32; n++)
        for (int64_t k = 0; k < K; k++)
            if (rlvr__to_bits(packed[(n / 32 * K + k) * 32 + n % 32])) return false;
    return true;
}

/* Expected: the chain in k order, by definition; and how far that may lie from double precision. */
static void problem_expect(problem *p, bool fma)
{
    shape s = p->s;
    double worst = 0;
    for (int64_t m = 0; m < s.M; m++)
        for (int64_t n = 0; n < s.N; n++) {
            const float *x = p->x + m * s.ldx, *w = p->w + n * s.K;
            float c = 0;
            double sum = 0, size = 0;
            for (int64_t k = 0; k < s.K; k++) {
                c = chain(x[k], w[k], c, fma);
                sum += (double)x[k] * (double)w[k];
                size += fabs((double)x[k] * (double)w[k]);
            }
            p->fwd[m * s.N + n] = c;
            worst = RLVR__MAX(worst, fabs((double)c - sum) / (size * (double)s.K * 6e-8 + 1e-30));
        }
    CHECK_LE(worst, 2.0);
    for (int64_t m = 0; m < s.M; m++)
        for (int64_t k = 0; k < s.K; k++) {
            float c = 0;
            for (int64_t n = 0; n < s.N; n++) c = chain(p->y[m * s.ldy + n], p->w[n * s.K + k], c, fma);
            p->dx[m * s.K + k] = c;
        }
    for (int64_t n = 0; n < s.N; n++)
        for (int64_t k = 0; k < s.K; k++) {
            float c = 0;
            for (int64_t m = 0; m < s.M; m++) c = chain(p->x[m * s.ldx + k], p->y[m * s.ldy + n], c, fma);
            p->dw[n * s.K + k] = c;
        }
}

static void test_shape(rlvr_ctx *ctx, problem *p)
{
    shape s = p->s;
    float *fwd = floats(s.M * s.N), *dx = floats(s.M * s.K), *dw = floats(s.N * s.K);
    bool ok = true;
    problem_scratch(p, ctx);
    test_fill(fwd, s.M * s.N);      /* without accumulate the old values, here one NaN among them, do not matter */
    fwd[s.M * s.N - 1] = (float)NAN;
    ok = run_fwd(ctx, p, fwd, false, 0, s.M) && ok;
    ok = same_floats(fwd, p->fwd, s.M * s.N) && ok;
    test_fill(dx, s.M * s.K);
    dx[0] = (float)NAN;
    ok = run_dx(ctx, p, dx, false, 0, s.M) && ok;
    ok = same_floats(dx, p->dx, s.M * s.K) && ok;
    memset(p->dwp, 0, sizeof(float) * (size_t)rlvr__packed_floats(s.N, s.K));
    run_dw(ctx, p, p->dwp, 0, s.M);
    rlvr__unpack(p->dwp, dw, s.N, s.K);
    ok = same_floats(dw, p->dw, s.N * s.K) && pads_are_zero(p->dwp, s.N, s.K) && ok;
    if (!test_check(ok, __FILE__, __LINE__, "fwd, dx, dw == chains"))
        printf("    %s M %lld N %lld K %lld\n", rlvr_describe(ctx), (long long)s.M, (long long)s.N, (long long)s.K);
    free(fwd); free(dx); free(dw);
}

/* Accumulating goes on with the chain: two halves of K (or N, or M) give the bits of the whole. */
static void test_chaining(rlvr_ctx *ctx, problem *p)
{
    shape s = p->s;
    int64_t half = s.K / 2;
    float *w1 = floats(s.N * half), *w2 = floats(s.N * (s.K - half)), *out = floats(s.M * s.N), *dw = floats(s.N * s.K);
    float *wp1 = floats(rlvr__packed_floats(s.N, half)), *wp2 = floats(rlvr__packed_floats(s.N, s.K - half));
    float *dx = floats(s.M * s.K);
    problem_scratch(p, ctx);
    for (int64_t n = 0; n < s.N; n++) {
        memcpy(w1 + n * half, p->w + n * s.K, sizeof(float) * (size_t)half);
        memcpy(w2 + n * (s.K - half), p->w + n * s.K + half, sizeof(float) * (size_t)(s.K - half));
    }
    rlvr__pack(w1, wp1, s.N, half);
    rlvr__pack(w2, wp2, s.N, s.K - half);
    rlvr__gemm_fwd(ctx, out, s.N, p->x, s.ldx, wp1, s.M, s.N, half, false);
    rlvr__gemm_fwd(ctx, out, s.N, p->x + half, s.ldx, wp2, s.M, s.N, s.K - half, true);
    CHECK(same_floats(out, p->fwd, s.M * s.N));
    if (s.N > 32) {
        rlvr__gemm_dx(ctx, dx, s.K, p->y, s.ldy, p->wp, s.M, 32, s.K, false, p->scratch);
        rlvr__gemm_dx(ctx, dx, s.K, p->y + 32, s.ldy, p->wp + 32 * s.K, s.M, s.N - 32, s.K, true, p->scratch);
        CHECK(same_floats(dx, p->dx, s.M * s.K));
    }
    memset(p->dwp, 0, sizeof(float) * (size_t)rlvr__packed_floats(s.N, s.K));      /* micro-batches of 1, 2, 3 ... rows */
    for (int64_t m = 0, rows = 1; m < s.M; m += rows, rows++) run_dw(ctx, p, p->dwp, m, RLVR__MIN(rows, s.M - m));
    rlvr__unpack(p->dwp, dw, s.N, s.K);
    CHECK(same_floats(dw, p->dw, s.N * s.K));
    free(w1); free(w2); free(wp1); free(wp2); free(out); free(dw); free(dx);
}

static void test_rows_alone(rlvr_ctx *ctx, problem *p)      /* a row gives the same bits in any company */
{
    shape s = p->s;
    float *fwd = floats(s.M * s.N), *dx = floats(s.M * s.K);
    bool ok = true;
    problem_scratch(p, ctx);
    for (int64_t rows = 1; rows <= s.M; rows += 1 + rows / 3)
        for (int64_t m = 0; m < s.M; m += rows) {
            int64_t n = RLVR__MIN(rows, s.M - m);
            ok = run_fwd(ctx, p, fwd, false, m, n) && same_floats(fwd, p->fwd + m * s.N, n * s.N) && ok;
            ok = run_dx(ctx, p, dx, false, m, n) && same_floats(dx, p->dx + m * s.K, n * s.K) && ok;
        }
    CHECK(ok);
    free(fwd); free(dx);
}

static void test_nan(rlvr_ctx *ctx)
{
    shape s = {30, 45, 50, 50, 45};
    problem p = problem_new(s);
    float *fwd = floats(s.M * s.N), *dw = floats(s.N * s.K), *dx = floats(s.M * s.K);
    bool ok = true;
    problem_scratch(&p, ctx);
    p.x[7 * s.ldx + 49] = (float)NAN;
    p.x[9 * s.ldx] = (float)INFINITY;
    p.w[11 * s.K + 3] = (float)NAN;
    rlvr__pack(p.w, p.wp, s.N, s.K);
    run_fwd(ctx, &p, fwd, false, 0, s.M);
    for (int64_t m = 0; m < s.M; m++)
        for (int64_t n = 0; n < s.N; n++) ok = ok && (isfinite(fwd[m * s.N + n]) == (m != 7 && m != 9 && n != 11));
    CHECK(ok && isinf(fwd[9 * s.N]) && fwd[7 * s.N] != fwd[7 * s.N]);
    memset(p.dwp, 0, sizeof(float) * (size_t)rlvr__packed_floats(s.N, s.K));
    run_dw(ctx, &p, p.dwp, 0, s.M);
    rlvr__unpack(p.dwp, dw, s.N, s.K);
    ok = true;
    for (int64_t n = 0; n < s.N; n++)
        for (int64_t k = 0; k < s.K; k++) ok = ok && isfinite(dw[n * s.K + k]) == (k != 0 && k != 49);
    CHECK(ok && pads_are_zero(p.dwp, s.N, s.K));      /* 0 * infinity has not crept into the pads */
    run_dx(ctx, &p, dx, false, 0, s.M);
    ok = true;
    for (int64_t m = 0; m < s.M; m++)
        for (int64_t k = 0; k < s.K; k++) ok = ok && isfinite(dx[m * s.K + k]) == (k != 3);
    CHECK(ok);
    free(fwd); free(dw); free(dx);
    problem_free(&p);
}

static void test_pack(void)
{
    static const int64_t sizes[][2] = {{1, 1}, {32, 16}, {33, 17}, {31, 40}, {64, 5}, {100, 100}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t N = sizes[i][0], K = sizes[i][1], n = rlvr__packed_floats(N, K);
        float *w = floats(N * K), *back = floats(N * K), *packed = floats(n);
        bool ok = n == (N + 31) / 32 * 32 * K;
        test_fill(w, N * K);
        for (int64_t j = 0; j < n; j++) packed[j] = (float)NAN;
        rlvr__pack(w, packed, N, K);
        for (int64_t j = 0; j < N * K; j++) ok = ok && packed[(j / K / 32 * K + j % K) * 32 + j / K % 32] == w[j];
        rlvr__unpack(packed, back, N, K);
        CHECK(ok && pads_are_zero(packed, N, K) && same_floats(w, back, N * K));
        free(w); free(back); free(packed);
    }
}

int main(void)
{
    static const char *const cpu[] = {"avx512", "avx2", "neon", "portable"};
    test_pack();
    for (int i = 0; i < N_ISAS; i++) {
        rlvr_ctx *ctx = open_ctx(isas[i].name, 1);
        if (!ctx) { printf("    skipped: this CPU has no %s\n", isas[i].name); continue; }
        test_vocabulary(&isas[i]);
        test_exp_log(&isas[i]);
        test_nan(ctx);
        rlvr_close(ctx);
    }

    rlvr_ctx *ctxs[16];
    bool fused[16];
    int n_ctx = 0, workers = 5;
    for (int i = 0; i < 4; i++)
        for (int threads = 1; threads <= (i < 3 ? 3 : 1); threads++) {
            fused[n_ctx] = i < 3 || portable_fma();
            ctxs[n_ctx] = open_ctx(cpu[i], threads);
            if (ctxs[n_ctx]) n_ctx++;
        }
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = workers;
    d.parallel_for = backwards;
    d.parallel_user = &workers;
    fused[n_ctx] = fused[0];
    ctxs[n_ctx++] = rlvr_open(&d);

    shape shapes[128], wide[] = {
        {70, 40, 1537, 1540, 50},        /* K in two passes */
        {13, 1600, 33, 33, 1600},        /* dx in two chunks */
        {514, 33, 14, 16, 40},           /* dw in three passes */
        {70, 70, 512, 512, 512},         /* strides that are bad for the cache: rows are copied */
        {140, 20, 8192, 8192, 1024},     /* ... in two blocks */
        {3, 16400, 2, 512, 16896},       /* many panels of few */
        {300, 100, 64, 70, 100},
        {260, 40, 1030, 1030, 40}};      /* dw in blocks of rows */
    int n_shapes = 0;
    for (int i = 0; i < 70; i++) {
        static const int64_t N[] = {1, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 96, 130};
        static const int64_t K[] = {1, 2, 3, 16, 31, 32, 33, 50, 65, 100};
        shape s = {i + 1, N[test_random() % 13], K[test_random() % 10], 0, 0};
        s.ldx = s.K + test_random() % 8;
        s.ldy = s.N + test_random() % 8;
        shapes[n_shapes++] = s;
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) shapes[n_shapes++] = wide[i];
    for (int i = 0; i < n_shapes; i++)
        for (int fma = 0; fma < 2; fma++) {
            problem p = problem_new(shapes[i]);
            bool expected_yet = false;
            for (int c = 0; c < n_ctx; c++) {
                if (fused[c] != fma) continue;
                if (!expected_yet) problem_expect(&p, fma);
                expected_yet = true;
                test_shape(ctxs[c], &p);
                if (i % 16 == 15 || (i >= 70 && i < 73)) { test_chaining(ctxs[c], &p); test_rows_alone(ctxs[c], &p); }
            }
            problem_free(&p);
        }
    REPORT("%d shapes, %d contexts (instruction sets x threads), all bits equal to the chain", n_shapes, n_ctx);
    for (int c = 0; c < n_ctx; c++) rlvr_close(ctxs[c]);
    return test_done();
}
