/* GEMM beside OpenBLAS, in turn, best of several, at the shapes of SmolLM2-135M: y = x W^T, dX = dY W, dW += dY^T X with
   1024 rows, y = x W^T with fewer. OpenBLAS (libopenblas.so.0) is loaded at run time with the core type that is fastest,
   found by trying. Lines end in `ratio R`: ours / OpenBLAS, above 1 is faster. Before them the speed of multiply-adds alone,
   behind them what decoding's matrix products make of the memory.   bench_gemm [THREADS [TURNS]]; the products of
   few rows take a third of the turns */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include <dlfcn.h>
#include <sys/wait.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda,
                         const float *b, int ldb, float beta, float *c, int ldc);

typedef struct shape {
    const char *name;
    int m, n, k;
    float *x, *w, *y;                        /* (m, k) (n, k) (m, n) */
    float *packed, *dpacked, *scratch;
} shape;

static float *floats(int64_t n)
{
    float *p = (float *)aligned_alloc(64, (size_t)((n + 15) / 16 * 64));
    if (!p) { fputs("out of memory\n", stderr); exit(1); }
    for (int64_t i = 0; i < n; i++) p[i] = rlvr_uniform(3, (uint32_t)i, 0, 0, 0) - 0.5f;
    return p;
}

static void theirs(const shape *s, int kind, sgemm_fn sgemm)
{
    if (kind == 0) sgemm(ROW_MAJOR, NO_TRANS, TRANS, s->m, s->n, s->k, 1, s->x, s->k, s->w, s->k, 0, s->y, s->n);
    if (kind == 1) sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, s->m, s->k, s->n, 1, s->y, s->n, s->w, s->k, 0, s->x, s->k);
    if (kind == 2) sgemm(ROW_MAJOR, TRANS, NO_TRANS, s->n, s->k, s->m, 1, s->y, s->n, s->x, s->k, 1, s->w, s->k);
}

static void ours(const shape *s, int kind, rlvr_ctx *ctx)
{
    if (kind == 0) rlvr__gemm_fwd(ctx, s->y, s->n, s->x, s->k, s->packed, s->m, s->n, s->k, false);
    if (kind == 1) rlvr__gemm_dx(ctx, s->x, s->k, s->y, s->n, s->packed, s->m, s->n, s->k, false, s->scratch);
    if (kind == 2) rlvr__gemm_dw(ctx, s->dpacked, s->y, s->n, s->x, s->k, s->m, s->n, s->k, s->scratch);
}

/* GFLOP/s over 15 ms, after a sleep in which the other side's threads stop spinning. Many short turns: on a machine shared
   with others the best of them meets a moment that was ours alone. */
static double speed(const shape *s, int kind, rlvr_ctx *ctx, sgemm_fn sgemm)
{
    struct timespec pause = {0, 5000000};
    nanosleep(&pause, NULL);
    double start = 0, t = 0;
    int n = -1;
    do {
        if (sgemm) theirs(s, kind, sgemm); else ours(s, kind, ctx);
        if (++n == 0) start = rlvr__now();      /* the first call wakes the threads */
        else t = rlvr__now() - start;
    } while (t < 0.015);
    return 2e-9 * s->m * s->n * s->k * n / t;
}

static sgemm_fn load(const char *core, const char *threads)
{
    if (core[0]) setenv("OPENBLAS_CORETYPE", core, 1); else unsetenv("OPENBLAS_CORETYPE");
    setenv("OPENBLAS_NUM_THREADS", threads, 1);
    setenv("OPENBLAS_THREAD_TIMEOUT", "20", 1);      /* its threads spin 2^20 cycles, not 2^26, which would reach into our turn */
    unsetenv("OPENBLAS_L2_SIZE");
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    sgemm_fn f = NULL;
    void *symbol = lib ? dlsym(lib, "cblas_sgemm") : NULL;
    memcpy(&f, &symbol, sizeof f);
    return f;
}

/* Speed with a core type, tried in a process of its own: OpenBLAS chooses once, when it is loaded. */
static double try_core(const shape *s, const char *core, const char *threads)
{
    int ends[2];
    double result = 0;
    if (pipe(ends)) return 0;
    pid_t child = fork();
    if (child == 0) {
        sgemm_fn f = load(core, threads);
        if (f) result = fmax(speed(s, 0, NULL, f), speed(s, 0, NULL, f));
        _exit(write(ends[1], &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != (ssize_t)sizeof result) result = 0;
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return result;
}

/* ---- what the machine could do ---- */

#define PEAK(isa, attributes, n_acc)      /* n_acc chains of v_fma in registers: as many as hide its latency */            \
attributes static void peak_##isa(void *arg, int64_t begin, int64_t end, int thread)                                       \
{                                                                                                                          \
    rlvr__vf_##isa acc[n_acc], a = rlvr__v_set1_##isa(0.5f), b = rlvr__v_set1_##isa(1.0f);                                 \
    float lanes[16 + n_acc];      /* all differ: the compiler would join chains that are alike */                          \
    for (int i = 0; i < 16 + n_acc; i++) lanes[i] = (float)i;                                                              \
    RLVR__UNROLL for (int i = 0; i < n_acc; i++) acc[i] = rlvr__v_load_##isa(lanes + i);                                   \
    for (int64_t n = begin * 100000; n < end * 100000; n++)                                                                \
        RLVR__UNROLL for (int i = 0; i < n_acc; i++) acc[i] = rlvr__v_fma_##isa(acc[i], a, b);                             \
    RLVR__UNROLL for (int i = 1; i < n_acc; i++) acc[0] = rlvr__v_add_##isa(acc[0], acc[i]);                               \
    ((float *)arg)[thread] = rlvr__v_hsum_##isa(acc[0]);                                                                   \
}
#ifdef RLVR__HAS_AVX
PEAK(avx512, __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,avx2,fma"))), 12)
PEAK(avx2, __attribute__((target("avx2,fma"))), 6)
#endif
#ifdef RLVR__HAS_NEON
PEAK(neon, , 6)
#endif

static double peak(rlvr_ctx *ctx)      /* GFLOP/s of all threads, best of many; 0: no kernel for it */
{
    rlvr_loop_fn fn = NULL;
    int n_acc = 6;
    float *sink = floats(ctx->n_threads);
    double best = 0;
#ifdef RLVR__HAS_AVX
    if (!strncmp(rlvr__kernels_name(ctx->kernels), "AVX-512", 7)) { fn = peak_avx512; n_acc = 12; }
    else if (!strncmp(rlvr__kernels_name(ctx->kernels), "AVX2", 4)) fn = peak_avx2;
#endif
#ifdef RLVR__HAS_NEON
    fn = peak_neon;
#endif
    for (int i = 0; fn && i < 30; i++) {
        int64_t pieces = 16 * ctx->n_threads;
        double t = rlvr__now();
        rlvr__parallel(ctx, pieces, 1, fn, sink);
        best = fmax(best, (double)pieces * 1e5 * n_acc * 32 / (rlvr__now() - t) * 1e-9);
    }
    free(sink);
    return best;
}

typedef struct memory { const uint64_t *p; uint64_t *sum; } memory;

static void read_loop(void *arg, int64_t begin, int64_t end, int thread)      /* pieces of 64 KiB */
{
    const memory *m = (const memory *)arg;
    uint64_t s[8] = {0};
    for (int64_t i = begin * 8192; i < end * 8192; i += 8) {
        __builtin_prefetch(m->p + i + 1024);
        for (int j = 0; j < 8; j++) s[j] += m->p[i + j];
    }
    for (int j = 0; j < 8; j++) m->sum[thread * 8] += s[j];
}

/* The matrix products of one decoding step, all layers and the head, with M rows: how fast their weights are read. */
static void decode(rlvr_ctx *ctx)
{
    static const int product[5][2] = {{960, 576}, {576, 576}, {3072, 576}, {576, 1536}, {49152, 576}};
    static const int rows[] = {1, 2, 4, 8, 16, 32, 64};
    int64_t layer = 0, head = (int64_t)49152 * 576, total;
    for (int i = 0; i < 4; i++) layer += (int64_t)product[i][0] * product[i][1];
    total = 30 * layer + head;
    float *w = RLVR__NEW(ctx, float, total), *x = floats(64 * 1536), *y = floats((int64_t)64 * 49152);
    memory m;
    double read = 1e9;
    if (!w) exit(1);
    for (int64_t i = 0; i < total; i++) w[i] = (float)(i % 7) - 3;
    m.p = (const uint64_t *)(const void *)w;
    m.sum = (uint64_t *)(void *)floats(16 * ctx->n_threads);
    for (int i = 0; i < 9; i++) {
        double t = rlvr__now();
        rlvr__parallel(ctx, total * 4 / 65536, 16, read_loop, &m);
        read = fmin(read, rlvr__now() - t);
    }
    printf("# memory read alone: %.1f GB/s\n", 4e-9 * (double)total / read);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double best = 1e9;
        for (int turn = 0; turn < 7; turn++) {
            double t = rlvr__now();
            const float *p = w;
            for (int j = 0; j < 4 * 30 + 1; j++) {
                const int *nk = product[j < 120 ? j % 4 : 4];
                rlvr__gemm_fwd(ctx, y, nk[0], x, nk[1], p, rows[i], nk[0], nk[1], false);
                p += (int64_t)nk[0] * nk[1];
            }
            best = fmin(best, rlvr__now() - t);
        }
        printf("decode products M %2d: %6.2f ms  %5.1f GB/s  %6.1f GFLOP/s  %7.1f rows/s at most\n", rows[i], best * 1e3,
               4e-9 * (double)total / best, 2e-9 * (double)total * rows[i] / best, rows[i] / best);
        fflush(stdout);
    }
    rlvr__free(ctx, w);
    free(x); free(y); free((void *)m.sum);
}

typedef struct line { shape s; int kind; double ours, theirs; } line;

/* Best of several turns of each side. A turn goes over all lines, for a machine shared with others is slow for seconds at a
   time, which would fall on one line alone. */
static void measure(line *lines, int n, int turns, rlvr_ctx *ctx, sgemm_fn sgemm)
{
    for (int turn = 0; turn < turns; turn++)
        for (int i = 0; i < n; i++) {
            line *l = &lines[i];
            l->ours = fmax(l->ours, speed(&l->s, l->kind, ctx, NULL));
            l->theirs = fmax(l->theirs, speed(&l->s, l->kind, NULL, sgemm));
        }
}

static void print(const line *l, double most)
{
    static const char *const kinds[] = {"fwd", "dX", "dW"};
    printf("gemm %-3s %-13s %4d %5d %4d  %6.1f GFLOP/s (%3.0f %% of peak)  OpenBLAS %6.1f GFLOP/s  ratio %.2f\n", kinds[l->kind],
           l->s.name, l->s.m, l->s.n, l->s.k, l->ours, most > 0 ? 100 * l->ours / most : 0, l->theirs, l->ours / l->theirs);
}

int main(int argc, char **argv)
{
    static const char *const cores[] = {"", "SKYLAKEX", "ZEN", "HASWELL"};
    static const int few[] = {1, 8, 32, 64, 256};
    shape shapes[] = {{"q, k, v", 1024, 960, 576, 0, 0, 0, 0, 0, 0}, {"attention out", 1024, 576, 576, 0, 0, 0, 0, 0, 0},
                      {"gate, up", 1024, 3072, 576, 0, 0, 0, 0, 0, 0}, {"down", 1024, 576, 1536, 0, 0, 0, 0, 0, 0},
                      {"lm-head", 1024, 8192, 576, 0, 0, 0, 0, 0, 0}};
    int n_shapes = (int)(sizeof shapes / sizeof *shapes), best = 0;
    long n_threads = argc > 1 ? atol(argv[1]) : sysconf(_SC_NPROCESSORS_ONLN);
    static line lines[64];
    int n_lines = 0;
    char threads[24];
    double most = 0;
    snprintf(threads, sizeof threads, "%ld", n_threads);
    for (int i = 0; i < n_shapes; i++) {
        shape *s = &shapes[i];
        s->x = floats((int64_t)s->m * s->k);
        s->w = floats((int64_t)s->n * s->k);
        s->y = floats((int64_t)s->m * s->n);
    }
    double tried[4] = {0};
    for (int i = 0; i < 4 * 6; i++)      /* in turn too: one that met a slow second would lose to a worse one */
        tried[i % 4] = fmax(tried[i % 4], try_core(&shapes[2], cores[i % 4], threads));
    for (int i = 0; i < 4; i++) {
        if (tried[i] > most) { most = tried[i]; best = i; }
        printf("# OpenBLAS core type %s: %.0f GFLOP/s\n", cores[i][0] ? cores[i] : "as it detects", tried[i]);
    }
    if (most == 0) { fprintf(stderr, "libopenblas.so.0: not there; apt-get install libopenblas0-pthread\n"); return 2; }
    sgemm_fn sgemm = load(cores[best], threads);
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = (int)n_threads;
    rlvr_ctx *ctx = rlvr_open(&d);
    if (!ctx || !sgemm) return 1;
    printf("# %s; OpenBLAS core type %s\n", rlvr_describe(ctx), cores[best][0] ? cores[best] : "as it detects");
    double fma_peak = peak(ctx), log_sum = 0;
    printf("# multiply-adds alone: %.1f GFLOP/s at %s threads; columns: M N K\n", fma_peak, threads);
    for (int i = 0; i < n_shapes; i++) {
        shape *s = &shapes[i];
        s->packed = floats(rlvr__packed_floats(s->n, s->k));
        s->dpacked = floats(rlvr__packed_floats(s->n, s->k));
        s->scratch = floats(rlvr__gemm_scratch_floats(ctx, s->m, s->n, s->k));
        rlvr__pack(s->w, s->packed, s->n, s->k);
        for (int kind = 0; kind < 3; kind++) {
            lines[n_lines].s = *s;
            lines[n_lines++].kind = kind;
        }
    }
    for (int i = 0; i < n_shapes; i++)
        for (int m = 0; m < 5; m++) {
            lines[n_lines].s = shapes[i];
            lines[n_lines++].s.m = few[m];
        }
    int turns = argc > 2 ? atoi(argv[2]) : 90;
    measure(lines, 3 * n_shapes, turns, ctx, sgemm);
    measure(lines + 3 * n_shapes, n_lines - 3 * n_shapes, (turns + 2) / 3, ctx, sgemm);
    for (int i = 0; i < n_lines; i++) {
        print(&lines[i], fma_peak);
        if (i < 3 * n_shapes) log_sum += log(lines[i].ours / lines[i].theirs);
        if (i + 1 == 3 * n_shapes)
            printf("gemm geometric mean of %d products of 1024 rows, %s threads  ratio %.2f\n", i + 1, threads, exp(log_sum / (i + 1)));
    }
    decode(ctx);
    rlvr_close(ctx);
    return 0;
}
