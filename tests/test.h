/* The test harness: CHECK counts, test_done() prints the line that build.sh adds up. A test file includes this after
   rlvr.h (with RLVR_IMPLEMENTATION, so that private functions are in reach). */
#ifndef RLVR_TEST_H
#define RLVR_TEST_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int test_passed, test_failed;

static int test_check(int ok, const char *file, int line, const char *what)
{
    if (ok) test_passed++;
    else { test_failed++; printf("%s:%d: FAILED: %s\n", file, line, what); }
    return ok;
}
#define CHECK(condition) test_check(!!(condition), __FILE__, __LINE__, #condition)

/* CHECK with figures: prints both sides when it fails. */
#define CHECK_LE(a, b) do { double test_a = (double)(a), test_b = (double)(b); \
    if (!test_check(test_a <= test_b, __FILE__, __LINE__, #a " <= " #b)) printf("    %.9g > %.9g\n", test_a, test_b); } while (0)
#define CHECK_STR(a, b) do { const char *test_a = (a), *test_b = (b); \
    if (!test_check(test_a && test_b && !strcmp(test_a, test_b), __FILE__, __LINE__, #a " == " #b)) \
        printf("    \"%s\" != \"%s\"\n", test_a ? test_a : "(null)", test_b ? test_b : "(null)"); } while (0)

/* What a figure was, for the reader of the log. */
#define REPORT(...) do { printf("    "); printf(__VA_ARGS__); printf("\n"); } while (0)

/* A file that the environment names or a fallback path; NULL, said aloud, when it is not there. */
static __attribute__((unused)) const char *test_file(const char *variable, const char *fallback)
{
    const char *path = getenv(variable);
    if (!path || !*path) path = fallback;
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f) { printf("    skipped: %s is not set and %s is not there\n", variable, fallback ? fallback : "-"); return NULL; }
    fclose(f);
    return path;
}

/* An allocator for rlvr_desc that counts. Blocks that are freed go back to the context, which asks for them once. */
typedef struct test_counter { int64_t calls, bytes; } test_counter;
static __attribute__((unused)) void *test_count_alloc(void *user, void *p, size_t n)
{
    (void)p;
    ((test_counter *)user)->calls++;
    ((test_counter *)user)->bytes += (int64_t)n;
    return malloc(n);
}
static __attribute__((unused)) void test_count_free(void *user, void *p) { (void)user; free(p); }
static __attribute__((unused)) void test_count(rlvr_desc *d, test_counter *c)
{
    memset(c, 0, sizeof *c);
    d->realloc_fn = test_count_alloc;
    d->free_fn = test_count_free;
    d->alloc_user = c;
}

/* A trainer that must open; why it did not. */
static __attribute__((unused)) rlvr_trainer *test_open_trainer(rlvr_model *m, const rlvr_trainer_desc *d)
{
    rlvr_trainer *t = rlvr_trainer_open(m, d);
    if (!CHECK(t != NULL)) printf("    %s\n", rlvr_last_error(rlvr_model_ctx(m)));
    return t;
}

static int test_done(void)
{
#ifdef RLVR_TEST_WORK_H
    CHECK(test_is_counted());
#endif
    printf("%d passed, %d failed\n", test_passed, test_failed);
    return test_failed ? 1 : 0;
}
#endif
