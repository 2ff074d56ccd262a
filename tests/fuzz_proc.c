/* Fuzz driver for sections 15.7 and 15.8. The first byte picks a task, made by the generators or built here, the second how it is
   used: the rest is a completion for it as it is; in <answer>, in a box, behind "####"; behind its right answer; the right answer
   with edits; a list of numbers and a target for countdown, then a completion; the JSON of a whole task, then a completion.
       clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_proc.c -lm -lpthread -o build/fuzz_proc
       build/fuzz_proc -max_total_time=60 build/corpus/fuzz_proc      (from the repository's root) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { N_MADE = 21 * 5 };
static rlvr_ctx *ctx;
static char *lines[N_MADE + 4], *golds[N_MADE + 4];

static void grade(rlvr_reward_kind kind, const char *json, const char *gold, const char *text, size_t len, bool valid)
{
    rlvr_reward_desc desc;
    rlvr_task task;
    rlvr_grade_result out;
    memset(&desc, 0, sizeof desc);
    memset(&task, 0, sizeof task);
    desc.kind = kind;
    task.json = json;
    task.answer = gold;
    char *copy = (char *)malloc(len ? len : 1);      /* of its own length, so that a read past it is seen */
    memcpy(copy, text, len);
    rlvr_result r = rlvr_grade_task(ctx, &desc, copy, len, &task, &out);
    free(copy);
    if (r == RLVR_OK && (out.reward != 0) != (out.status == RLVR_STATUS_EQUAL)) __builtin_trap();
    if (valid && r != RLVR_OK) __builtin_trap();      /* no completion is an error */
    if (r == RLVR_OK && (memchr(out.extracted, 0, sizeof out.extracted) == NULL || memchr(out.reason, 0, sizeof out.reason) == NULL)) __builtin_trap();
}

static void prepare(void)
{
    static const char *const more[][2] = {
        {"{\"family\":\"calendar\",\"params\":{\"ask\":\"leap\",\"year\":2000}}", "Yes"},
        {"{\"family\":\"maze\",\"params\":{\"grid\":[\"S#G\"],\"ask\":\"path\"}}", "infeasible"},
        {"{\"family\":\"simple_equations\",\"params\":{\"equation\":\"(3*x - 7/2)/(x + 1) = 3/8\",\"variable\":\"x\"}}", "31/21"},
        {"{\"family\":\"countdown\",\"params\":{\"numbers\":[-3,10,0,9223372036854775807],\"target\":\"7/1\",\"division\":\"integer\"}}", "10 + -3"}};
    rlvr_desc d;
    rlvr_task_maker maker;
    rlvr_task task;
    memset(&d, 0, sizeof d);
    memset(&maker, 0, sizeof maker);
    d.quiet = true;
    d.n_threads = 1;
    maker.ctx = ctx = rlvr_open(&d);
    maker.family = "all";
    if (!ctx) __builtin_trap();
    for (int i = 0; i < N_MADE + 4; i++) {
        maker.level = i / 21 + 1;
        if (i < N_MADE && rlvr_make_task(&maker, (uint64_t)i, &task) != RLVR_OK) __builtin_trap();
        lines[i] = strdup(i < N_MADE ? task.json : more[i - N_MADE][0]);
        golds[i] = strdup(i < N_MADE ? task.answer : more[i - N_MADE][1]);
        grade(RLVR_REWARD_PROC, lines[i], golds[i], golds[i], strlen(golds[i]), true);
    }
    rlvr_task_maker_free(&maker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const wrap[][2] = {{"", ""}, {"<answer>", "</answer>"}, {"\\boxed{", "}"}, {"#### ", "\n"}, {"The answer is ", "."}, {"<answer>x = ", "</answer>"}};
    if (!ctx) prepare();
    if (n < 2) return 0;
    int which = data[0] % (N_MADE + 4), how = data[1] % 10;
    const char *text = (const char *)data + 2;
    size_t len = n - 2;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (how < 6) {
        rlvr__buf_addf(&b, "%s", wrap[how][0]);
        rlvr__buf_add(&b, text, len);
        rlvr__buf_addf(&b, "%s", wrap[how][1]);
        grade(RLVR_REWARD_PROC, lines[which], golds[which], b.data, b.len, true);
    } else if (how == 6) {      /* the right answer, two bytes an edit: place, byte */
        rlvr__buf_addf(&b, "<answer>%s</answer>", golds[which]);
        for (; len >= 2; text += 2, len -= 2) b.data[(unsigned char)text[0] % b.len] = text[1];
        grade(RLVR_REWARD_PROC, lines[which], golds[which], b.data, b.len, true);
    } else if (how == 7) {
        rlvr__buf_addf(&b, "<answer>%s</answer>\n", golds[which]);
        rlvr__buf_add(&b, text, len);
        grade(RLVR_REWARD_PROC, lines[which], golds[which], b.data, b.len, true);
    } else if (how == 8 && len > 4) {
        rlvr__buf_addf(&b, "{\"numbers\":[%d,%d,%d,%d],\"target\":%d,\"use\":\"%s\",\"division\":\"%s\"}", (signed char)text[0], (unsigned char)text[1] % 10,
                       (unsigned char)text[2] % 4, 3, (signed char)text[3], data[0] & 1 ? "exactly" : "at_most", data[0] & 2 ? "integer" : "rational");
        grade(RLVR_REWARD_COUNTDOWN, b.data, NULL, text + 4, len - 4, true);
    } else if (how == 9) {      /* edits of a task, three bytes each, up to a zero byte; then a completion */
        rlvr__buf_addf(&b, "%s", lines[which]);
        for (; len >= 3 && text[0]; text += 3, len -= 3) b.data[((unsigned char)text[0] | (size_t)(unsigned char)text[1] << 8) % b.len] = text[2] ? text[2] : ' ';
        grade(RLVR_REWARD_PROC, b.data, golds[which], text, len, false);
        grade(RLVR_REWARD_PROC, b.data, golds[which], golds[which], strlen(golds[which]), false);
    }
    rlvr__buf_free(&b);
    return 0;
}
