/* GEMM beside OpenBLAS, interleaved, at the shapes of a training step of SmolLM2 with 1024 rows: y = x W^T, dX = dY W,
   dW += dY^T X. OpenBLAS (libopenblas.so.0) is loaded at run time with the core type that is fastest here, found by trying.
   bench_gemm [THREADS] prints a table whose lines end in `ratio R`: ours / OpenBLAS, above 1 is faster. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include <dlfcn.h>
#include <sys/wait.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112, ROUNDS = 9 };
typedef void (*sgemm_fn)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
                         int ldb, float beta, float *c, int ldc);

typedef struct shape { const char *name; int m, n, k; float *x, *w, *y; /* (m,k) (n,k) (m,n) */ float *packed, *dpacked, *scratch; } shape;

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

/* GFLOP/s over 60 ms, after 30 ms of sleep in which the other side's threads stop spinning. */
static double speed(const shape *s, int kind, rlvr_ctx *ctx, sgemm_fn sgemm)
{
    struct timespec pause = {0, 30000000};
    nanosleep(&pause, NULL);
    double start = 0, t = 0;
    int n = -1;
    do {
        if (sgemm) theirs(s, kind, sgemm); else ours(s, kind, ctx);
        if (++n == 0) start = rlvr__now();      /* the first call wakes the threads */
        else t = rlvr__now() - start;
    } while (t < 0.06);
    return 2e-9 * s->m * s->n * s->k * n / t;
}

static sgemm_fn load(const char *core, const char *threads)
{
    if (core[0]) setenv("OPENBLAS_CORETYPE", core, 1); else unsetenv("OPENBLAS_CORETYPE");
    setenv("OPENBLAS_NUM_THREADS", threads, 1);
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
        if (f) for (int i = 0; i < 5; i++) { double v = speed(s, 0, NULL, f); if (v > result) result = v; }
        _exit(write(ends[1], &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != (ssize_t)sizeof result) result = 0;
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return result;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static const char *const cores[] = {"", "SKYLAKEX", "ZEN", "HASWELL"};
    static const char *const kinds[] = {"forward", "dX", "dW"};
    shape shapes[] = {{"q, k, v", 1024, 960, 576, 0, 0, 0, 0, 0, 0}, {"attention out", 1024, 576, 576, 0, 0, 0, 0, 0, 0},
                      {"gate, up", 1024, 3072, 576, 0, 0, 0, 0, 0, 0}, {"down", 1024, 576, 1536, 0, 0, 0, 0, 0, 0},
                      {"lm-head", 1024, 8192, 576, 0, 0, 0, 0, 0, 0}};
    int n_shapes = (int)(sizeof shapes / sizeof *shapes), best = 0;
    long n_threads = argc > 1 ? atol(argv[1]) : sysconf(_SC_NPROCESSORS_ONLN);
    char threads[24];
    double most = 0;
    snprintf(threads, sizeof threads, "%ld", n_threads);
    for (int i = 0; i < n_shapes; i++) {
        shape *s = &shapes[i];
        s->x = floats((int64_t)s->m * s->k);
        s->w = floats((int64_t)s->n * s->k);
        s->y = floats((int64_t)s->m * s->n);
    }
    for (int i = 0; i < 4; i++) {
        double v = try_core(&shapes[2], cores[i], threads);
        if (v > most) { most = v; best = i; }
        printf("# OpenBLAS core type %s: %.0f GFLOP/s\n", cores[i][0] ? cores[i] : "as it detects", v);
    }
    if (most == 0) { fprintf(stderr, "libopenblas.so.0: not there; apt-get install libopenblas0-pthread\n"); return 2; }
    sgemm_fn sgemm = load(cores[best], threads);
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = (int)n_threads;
    rlvr_ctx *ctx = rlvr_open(&d);
    if (!ctx || !sgemm) return 1;
    printf("# %s; OpenBLAS core type %s\n", rlvr_describe(ctx), cores[best][0] ? cores[best] : "as it detects");
    double log_sum = 0;
    for (int i = 0; i < n_shapes; i++) {
        shape *s = &shapes[i];
        s->packed = floats(rlvr__packed_floats(s->n, s->k));
        s->dpacked = floats(rlvr__packed_floats(s->n, s->k));
        s->scratch = floats(rlvr__gemm_scratch_floats(ctx, s->m, s->n, s->k));
        rlvr__pack(s->w, s->packed, s->n, s->k);
        for (int kind = 0; kind < 3; kind++) {
            double a[ROUNDS], b[ROUNDS];
            for (int r = 0; r < ROUNDS; r++) {
                a[r] = speed(s, kind, ctx, NULL);
                b[r] = speed(s, kind, NULL, sgemm);
            }
            qsort(a, ROUNDS, sizeof *a, by_value);
            qsort(b, ROUNDS, sizeof *b, by_value);
            double ratio = a[ROUNDS / 2] / b[ROUNDS / 2];
            printf("gemm %-13s %-7s %4d x %4d x %4d  ours %6.1f GFLOP/s  OpenBLAS %6.1f GFLOP/s  ratio %.2f\n", s->name, kinds[kind],
                   s->m, s->n, s->k, a[ROUNDS / 2], b[ROUNDS / 2], ratio);
            fflush(stdout);
            log_sum += log(ratio);
        }
    }
    printf("gemm geometric mean of %d shapes, %s threads  ratio %.2f\n", n_shapes * 3, threads, exp(log_sum / (n_shapes * 3)));
    rlvr_close(ctx);
    return 0;
}
