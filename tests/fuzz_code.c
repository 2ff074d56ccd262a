/* libFuzzer on what section 15.9 and 15.10 read: programs in completions, outputs of programs, messages of the sandbox's interpreters
   and answers of external verifiers. No process is started.
     clang -O1 -g -std=gnu11 -I. -Ibuild/include -fsanitize=fuzzer,address,undefined tests/fuzz_code.c -lm -lpthread */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char *copy(const char *from, size_t n)      /* of its own, so that a read past its end is seen */
{
    char *text = (char *)malloc(n ? n : 1);
    memcpy(text, from, n);
    return text;
}

static void program(rlvr_ctx *ctx, const rlvr__language *language, char *text, size_t n)
{
    rlvr_grade_result out;
    rlvr__case c;
    const char *found = NULL;
    size_t len = 0;
    memset(&out, 0, sizeof out);
    memset(&c, 0, sizeof c);
    c.ctx = ctx;
    c.text = text;
    c.len = n;
    c.out = &out;
    if (rlvr__code_program(&c, language, &found, &len)) {
        if (found < text || found + len > text + n || memchr(found, 0, len)) abort();
    } else if (out.status != RLVR_STATUS_UNPARSED && out.status != RLVR_STATUS_UNEQUAL) abort();
}

static void outputs(const char *got, size_t n_got, const char *want, size_t n_want)
{
    for (int compare = RLVR__BY_TOKENS; compare <= RLVR__EXACTLY; compare++) {
        bool one = rlvr__stdio_equal(got, n_got, want, n_want, compare, 1e-6);
        if (!rlvr__stdio_equal(got, n_got, got, n_got, compare, 1e-6)) abort();
        if (compare != RLVR__BY_FLOAT && one != rlvr__stdio_equal(want, n_want, got, n_got, compare, 1e-6)) abort();
        if (n_got == n_want && !memcmp(got, want, n_got) && !one) abort();
    }
}

static void messages(rlvr_ctx *ctx, int state, const char *text, size_t n)
{
    rlvr__job job;
    rlvr__duo p;
    memset(&job, 0, sizeof job);
    memset(&p, 0, sizeof p);
    p.out[0].ctx = p.out[1].ctx = ctx;
    p.to[0] = p.to[1] = p.from[0] = p.from[1] = -1;
    p.state = state & 1 ? RLVR__DUO_BUSY : RLVR__DUO_CLEANING;
    p.due[0] = p.due[1] = state & 1 ? 1 : 2;      /* R for the start, and for the cleaning */
    p.job = state & 1 ? &job : NULL;
    int side = state >> 1 & 1;
    size_t used = 0;
    while (used < n) {
        int64_t m = rlvr__duo_message(&p, side, text + used, n - used);
        if (m > (int64_t)(n - used)) abort();
        if (m <= 0) break;
        used += (size_t)m;
    }
    if (job.done && (!rlvr__finite((double)job.reward) || job.reward < 0 || (p.job != NULL) || (side && job.done))) abort();
    rlvr__buf_free(&p.out[0]);
    rlvr__buf_free(&p.out[1]);
}

static void answers(rlvr_ctx *ctx, const char *text, size_t n)
{
    static char name[] = "verifier";
    char *argv[] = {name, NULL};
    rlvr__job job[3];
    rlvr__command m;
    memset(job, 0, sizeof job);
    memset(&m, 0, sizeof m);
    m.argv = argv;
    m.jobs = &job[0];
    m.last = &job[2];
    for (int i = 0; i < 3; i++) {
        job[i].next = i < 2 ? &job[i + 1] : NULL;
        job[i].id = i;
        job[i].sent = i < 2;
        m.n_sent += job[i].sent;
    }
    for (const char *end = text + n, *next; text < end; text = next) {
        next = (const char *)memchr(text, '\n', (size_t)(end - text));
        char *line = copy(text, (size_t)((next ? next : end) - text));
        rlvr__command_answer(ctx, &m, line, (size_t)((next ? next : end) - text));
        free(line);
        next = next ? next + 1 : end;
    }
    int waiting = 0;
    for (rlvr__job *j = m.jobs; j; j = j->next) waiting++;
    for (int i = 0; i < 3; i++) waiting += job[i].done;
    if (waiting != 3 || job[2].done || !rlvr__finite((double)job[0].reward) || !rlvr__finite((double)job[1].reward)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static rlvr_ctx *ctx;
    if (!ctx) {
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.quiet = true;
        d.n_threads = 1;
        ctx = rlvr_open(&d);
        if (!ctx) abort();
    }
    if (n < 2) return 0;
    int mode = data[0], more = data[1];
    const char *p = (const char *)data + 2;
    size_t len = n - 2, cut = len * (size_t)more / 255;
    char *first = copy(p, cut), *second = copy(p + cut, len - cut), *all = copy(p, len);
    switch (mode % 4) {
    case 0: program(ctx, &rlvr__languages[mode / 4 % RLVR__LANGUAGES], all, len); break;
    case 1: outputs(first, cut, second, len - cut); break;
    case 2: messages(ctx, more, all, len); break;
    default: answers(ctx, all, len);
    }
    free(first);
    free(second);
    free(all);
    return 0;
}
