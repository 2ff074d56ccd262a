/* Counts work instead of time, which depends on what else a machine does: basic blocks entered, and bytes that the C library's
   functions went over. A test file includes this before rlvr.h and takes test_work's difference; tests/run.sh compiles such files
   with -fsanitize-coverage=trace-pc. The same on every machine of one compiler, so that a bound on it can be tight. */
#ifndef RLVR_TEST_WORK_H
#define RLVR_TEST_WORK_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__
#define TEST_UNCOUNTED __attribute__((unused, no_sanitize("coverage")))
#else
#define TEST_UNCOUNTED __attribute__((unused, no_sanitize_coverage))
#endif

static _Thread_local uint64_t test_work;
void __sanitizer_cov_trace_pc(void);
TEST_UNCOUNTED void __sanitizer_cov_trace_pc(void) { test_work++; }

/* Whether the compiler counts blocks at all: without the flag a bound on work could not fail. */
static void test_block(void) {}
static TEST_UNCOUNTED int test_is_counted(void)
{
    uint64_t before = test_work;
    test_block();
    return test_work > before;
}

static TEST_UNCOUNTED size_t test_strlen(const char *s) { size_t n = strlen(s); test_work += n; return n; }
static TEST_UNCOUNTED void *test_memcpy(void *d, const void *s, size_t n) { test_work += n; return memcpy(d, s, n); }
static TEST_UNCOUNTED void *test_memmove(void *d, const void *s, size_t n) { test_work += n; return memmove(d, s, n); }
static TEST_UNCOUNTED void *test_memset(void *d, int c, size_t n) { test_work += n; return memset(d, c, n); }
static TEST_UNCOUNTED void *test_realloc(void *p, size_t n) { test_work += n; return realloc(p, n); }
static TEST_UNCOUNTED void *test_calloc(size_t m, size_t n) { test_work += m * n; return calloc(m, n); }
static TEST_UNCOUNTED const void *test_memchr(const void *s, int c, size_t n)
{
    const void *r = memchr(s, c, n);
    test_work += r ? (size_t)((const char *)r - (const char *)s) : n;
    return r;
}
static TEST_UNCOUNTED int test_memcmp(const void *a, const void *b, size_t n)
{
    size_t same = 0;
    while (same < n && ((const char *)a)[same] == ((const char *)b)[same]) same++;
    test_work += same;
    return memcmp(a, b, n);
}
static TEST_UNCOUNTED const char *test_strchr(const char *s, int c)
{
    const char *r = strchr(s, c);
    test_work += r ? (size_t)(r - s) : strlen(s);
    return r;
}
static TEST_UNCOUNTED const char *test_strstr(const char *s, const char *part)
{
    const char *r = strstr(s, part);
    test_work += r ? (size_t)(r - s) : strlen(s);
    return r;
}
#define strlen(s) test_strlen(s)
#define memcpy(d, s, n) test_memcpy(d, s, n)
#define memmove(d, s, n) test_memmove(d, s, n)
#define memset(d, c, n) test_memset(d, c, n)
#define realloc(p, n) test_realloc(p, n)
#define calloc(m, n) test_calloc(m, n)
#define memchr(s, c, n) ((void *)test_memchr(s, c, n))
#define memcmp(a, b, n) test_memcmp(a, b, n)
#define strchr(s, c) ((char *)test_strchr(s, c))
#define strstr(s, part) ((char *)test_strstr(s, part))
#endif
