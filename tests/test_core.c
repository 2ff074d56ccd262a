/* Context, errors, allocator, files, random numbers, thread pool. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"
#include <sys/resource.h>
#include <signal.h>

static void test_philox(void)
{
    /* known answers published with the algorithm's reference implementation (Random123) */
    static const uint32_t known[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rlvr_philox(known[i], known[i] + 4, out);
        CHECK(!memcmp(out, known[i] + 6, sizeof out));
    }
    double sum = 0, square = 0;
    int n = 100000;
    for (int i = 0; i < n; i++) {
        float u = rlvr_uniform(7, 1, 2, 3, (uint32_t)i);
        if (!(u >= 0 && u < 1)) CHECK(0);
        sum += (double)u;
        square += (double)u * (double)u;
    }
    CHECK_LE(fabs(sum / n - 0.5), 0.004);
    CHECK_LE(fabs(square / n - 1.0 / 3), 0.004);
    float base = rlvr_uniform(7, 1, 2, 3, 4);
    CHECK(base == rlvr_uniform(7, 1, 2, 3, 4));
    CHECK(base != rlvr_uniform(8, 1, 2, 3, 4) && base != rlvr_uniform(7, 2, 2, 3, 4) && base != rlvr_uniform(7, 1, 3, 3, 4) &&
          base != rlvr_uniform(7, 1, 2, 4, 4) && base != rlvr_uniform(7, 1, 2, 3, 5) && base != rlvr_uniform(7ull + (1ull << 32), 1, 2, 3, 4));
}

static void test_halves(void)
{
    /* every half against its definition */
    int wrong = 0;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (h >> 10) & 31, mantissa = h & 1023;
        double value = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        float got = rlvr__f16_to_f32((uint16_t)h);
        if (exponent == 31) wrong += mantissa ? !isnan(got) : !isinf(got);
        else wrong += (double)got != (h & 0x8000 ? -value : value);
    }
    CHECK(wrong == 0);
    CHECK(rlvr__bf16_to_f32(0x3f80) == 1.0f && rlvr__bf16_to_f32(0xc040) == -3.0f);
}

/* ---- allocator ---- */

typedef struct counter { int64_t live, calls, fail_at; } counter;
static void *counting_alloc(void *user, void *p, size_t n)
{
    counter *c = (counter *)user;
    (void)p;
    if (c->fail_at && ++c->calls >= c->fail_at) return NULL;
    if (!c->fail_at) c->calls++;
    c->live++;
    return malloc(n);
}
static void counting_free(void *user, void *p) { ((counter *)user)->live--; free(p); }

static char logged[4096];
static void log_here(void *user, rlvr_log_level level, const char *text) { (void)user; (void)level; snprintf(logged, sizeof logged, "%s", text); }

static void test_allocator(void)
{
    counter c = {0, 0, 0};
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    d.realloc_fn = counting_alloc;
    d.free_fn = counting_free;
    d.alloc_user = &c;
    d.log_fn = log_here;
    rlvr_ctx *ctx = rlvr_open(&d);
    CHECK(ctx != NULL);
    unsigned char *p = RLVR__NEW(ctx, unsigned char, 1000);
    CHECK(p && ((uintptr_t)p & 63) == 0);
    int zero = 1;
    for (int i = 0; i < 1000; i++) zero &= p[i] == 0;
    CHECK(zero);
    memset(p, 255, 1000);
    rlvr__free(ctx, p);
    unsigned char *q = RLVR__NEW(ctx, unsigned char, 1000);
    zero = 1;
    for (int i = 0; i < 1000; i++) zero &= q[i] == 0;
    CHECK(zero);      /* taken again from the spares, zeroed again */
    CHECK(rlvr__alloc(ctx, SIZE_MAX / 2, 3) == NULL);
    CHECK(strstr(rlvr_last_error(ctx), "out of memory") != NULL);
    CHECK_STR(logged, rlvr_last_error(ctx));
    for (int i = 0; i < 100; i++) RLVR__NEW(ctx, char, i * 1000);      /* left for rlvr_close */
    rlvr_close(ctx);
    CHECK(c.live == 0);

    for (int fail = 1; fail < 6; fail++) {      /* every allocation of rlvr_open failing in turn */
        counter f = {0, 0, fail};
        d.alloc_user = &f;
        d.n_threads = 3;
        ctx = rlvr_open(&d);
        rlvr_close(ctx);
        CHECK(f.live == 0);
    }
}

static void test_bad_desc(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.log_fn = log_here;
    d.n_threads = -1;
    CHECK(rlvr_open(&d) == NULL && strstr(logged, "n_threads") != NULL);
    d.n_threads = 1;
    d.cpu = "z80";
    CHECK(rlvr_open(&d) == NULL && strstr(logged, "z80") != NULL);
    d.cpu = NULL;
    d.free_fn = counting_free;
    CHECK(rlvr_open(&d) == NULL && strstr(logged, "realloc_fn") != NULL);
    CHECK_STR(rlvr_result_text(RLVR_OK), "ok");
    CHECK_STR(rlvr_result_text((rlvr_result)999), "unknown result");
    CHECK_STR(rlvr_last_error(NULL), "no context");
}

/* ---- files ---- */

static void test_files(rlvr_ctx *ctx)
{
    const char *path = "build/test_core.tmp";
    rlvr__writer w;
    rlvr__file f;
    CHECK(rlvr__make_dir(ctx, "build/a/b/c") == RLVR_OK && rlvr__make_dir(ctx, "build/a/b/c") == RLVR_OK);
    CHECK(rlvr__make_dir(ctx, "tests/test.h/x") == RLVR_ERROR_IO);
    CHECK(rlvr__writer_open(ctx, &w, path) == RLVR_OK);
    rlvr__write(&w, "first", 5);
    CHECK(rlvr__writer_close(&w) == RLVR_OK);

    /* a write that fails half-way leaves the old file whole and no litter */
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    char block[8192];
    memset(block, 'x', sizeof block);
    CHECK(rlvr__writer_open(ctx, &w, path) == RLVR_OK);
    for (int i = 0; i < 16; i++) rlvr__write(&w, block, sizeof block);
    CHECK(rlvr__writer_close(&w) == RLVR_ERROR_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(strstr(rlvr_last_error(ctx), "untouched") != NULL);
    CHECK(access("build/test_core.tmp.partial", F_OK) != 0);
    CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK && f.len == 5 && !memcmp(f.data, "first", 5));
    rlvr__file_close(ctx, &f);
    CHECK(rlvr__file_open(ctx, "build", &f) == RLVR_ERROR_IO);
    CHECK(rlvr__file_open(ctx, "build/none", &f) == RLVR_ERROR_IO && strstr(rlvr_last_error(ctx), "build/none") != NULL);
    CHECK(rlvr__writer_open(ctx, &w, "/proc/nowhere/x") == RLVR_ERROR_IO);
    remove(path);
}

/* ---- threads ---- */

typedef struct tally { int64_t *seen; int64_t n; int bad, threads; } tally;
static void tally_loop(void *arg, int64_t begin, int64_t end, int thread)
{
    tally *t = (tally *)arg;
    if (thread < 0 || thread >= t->threads || begin < 0 || end > t->n || begin >= end) __atomic_store_n(&t->bad, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++) t->seen[i]++;
}

static void test_threads(void)
{
    for (int threads = 1; threads <= 4; threads++) {
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.n_threads = threads;
        rlvr_ctx *ctx = rlvr_open(&d);
        CHECK(ctx != NULL);
        int64_t seen[1000];
        int ok = 1, bad = 0;
        for (int round = 0; round < 2000; round++) {
            tally t = {seen, 1 + (round * 37) % 1000, 0, threads};
            memset(seen, 0, sizeof seen);
            rlvr__parallel(ctx, t.n, 1 + round % 7, tally_loop, &t);
            for (int64_t i = 0; i < t.n; i++) ok &= seen[i] == 1;
            bad |= t.bad;
            if (round % 500 == 499) { struct timespec rest = {0, 5000000}; nanosleep(&rest, NULL); }      /* let the workers fall asleep */
        }
        CHECK(ok && !bad);
        rlvr_close(ctx);
    }
}

/* A pool that the caller brings: runs the pieces backwards, one after the other. */
static void backwards(void *user, int64_t n, int64_t grain, rlvr_loop_fn fn, void *arg)
{
    ++*(int *)user;
    for (int64_t at = (n - 1) / grain * grain; at >= 0; at -= grain) fn(arg, at, at + grain < n ? at + grain : n, (int)(at / grain % 2));
}

static void test_own_threads(void)
{
    int calls = 0;
    int64_t seen[100] = {0};
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 2;
    d.parallel_for = backwards;
    d.parallel_user = &calls;
    rlvr_ctx *ctx = rlvr_open(&d);
    tally t = {seen, 100, 0, 2};
    rlvr__parallel(ctx, 100, 7, tally_loop, &t);
    int ok = 1;
    for (int i = 0; i < 100; i++) ok &= seen[i] == 1;
    CHECK(ok && !t.bad && calls == 1);
    rlvr_close(ctx);
}

int main(void)
{
    rlvr_desc quiet;
    memset(&quiet, 0, sizeof quiet);
    quiet.quiet = true;
    test_philox();
    test_halves();
    test_allocator();
    test_bad_desc();
    rlvr_ctx *ctx = rlvr_open(&quiet);
    test_files(ctx);
    rlvr_close(ctx);
    test_threads();
    test_own_threads();
    return test_done();
}
