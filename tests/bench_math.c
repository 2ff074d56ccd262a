/* Grades a file of {"gold", "pred", "options"} lines by `math`: prints the verdict of each line, or with a count of rounds the
   verdicts per second. tests/parity_math.py calls it beside the Python package.
       bench_math FILE             one line each: status, TAB, what was extracted
       bench_math FILE ROUNDS      seconds for all lines, ROUNDS times */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    rlvr_desc d;
    rlvr__file f;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    rlvr_ctx *ctx = rlvr_open(&d);
    if (argc < 2 || !ctx || rlvr__file_open(ctx, argv[1], &f) != RLVR_OK) { fprintf(stderr, "usage: bench_math FILE [ROUNDS]\n");
        return 2; }
    int rounds = argc > 2 ? atoi(argv[2]) : 1, lines = 0;
    double seconds = 0, worst = 0;
    const char *end = (const char *)f.data + f.len;
    for (const char *p = (const char *)f.data, *next; p < end; p = next) {
        next = (const char *)memchr(p, '\n', (size_t)(end - p));
        next = next ? next + 1 : end;
        rlvr__json *j = rlvr__json_parse(ctx, argv[1], p, (size_t)(next - p), ++lines);
        if (!j) { fprintf(stderr, "%s\n", rlvr_last_error(ctx)); return 1; }
        size_t n = 0, n_gold = 0;
        const char *pred = rlvr__json_str(rlvr__json_get(j, "pred"), &n), *gold = rlvr__json_str(rlvr__json_get(j, "gold"),
            &n_gold);
        rlvr_reward_desc desc;
        rlvr_grade_result out;
        memset(&desc, 0, sizeof desc);
        desc.kind = RLVR_REWARD_MATH;
        rlvr__case c = {.ctx = ctx, .desc = &desc, .task = rlvr__json_get(j, "options"), .text = pred, .len = n,
            .gold = gold, .gold_len = n_gold, .out = &out};
        double begin = now();
        for (int i = 0; i < rounds; i++) { memset(&out, 0, sizeof out); rlvr__grade_math(&c); }
        double took = now() - begin;
        seconds += took;
        if (took > worst) worst = took;
        if (argc == 2) printf("%s\t%s\n", rlvr_status_text(out.status), out.extracted);
        rlvr__json_free(ctx, j);
    }
    if (argc > 2) printf("%.9f\n", seconds);
    fprintf(stderr, "%d lines, %.6f s, worst line %.6f s\n", lines, seconds / rounds, worst / rounds);
    rlvr__file_close(ctx, &f);
    rlvr_close(ctx);
    return 0;
}
