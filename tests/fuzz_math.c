/* Fuzz driver for sections 15.2 to 15.4a. The first byte picks the mode and the options; a byte 0xff parts gold and completion.
   Without one, the text answers itself: then a verdict other than equal or an error must not come from a text that is read.
       clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_math.c -lm -lpthread -o build/fuzz_math
       build/fuzz_math -max_total_time=60 build/corpus/fuzz_math      (from the repository's root) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR__MATH_WORK ((int64_t)300000)      /* what is slow is slow here ten times over */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_big(rlvr_ctx *ctx, const uint8_t *data, size_t n)      /* q*b + r == a, and gcd divides */
{
    rlvr__math m;
    memset(&m, 0, sizeof m);
    m.ctx = ctx;
    m.work = RLVR__MATH_WORK;
    uint32_t limbs[2][40];
    int count[2] = {0, 0};
    memset(limbs, 0, sizeof limbs);
    for (size_t i = 0; i + 4 <= n && i < 320; i += 4) {
        int which = (int)(data[0] + i / 4) % 2;
        memcpy(&limbs[which][count[which]], data + i, 4);
        if (count[which] < 39) count[which]++;
    }
    rlvr__big a = rlvr__big_trim(limbs[0], count[0]), b = rlvr__big_trim(limbs[1], count[1]), rest;
    if (b.n > 0) {
        rlvr__big q = rlvr__big_div(&m, a, b, &rest), back = rlvr__big_add(&m, rlvr__big_mul(&m, q, b), rest);
        if (rlvr__big_cmp(back, a) != 0 || rlvr__big_cmp(rest, b) >= 0) __builtin_trap();
        rlvr__big g = rlvr__big_gcd(&m, a, b);
        if (g.n > 0) {
            rlvr__big_div(&m, b, g, &rest);
            if (rest.n != 0) __builtin_trap();
        }
    }
    rlvr__math_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static rlvr_ctx *ctx;
    static const char *const options[] = {NULL, "{\"mode\":\"strict\"}", "{\"mode\":\"literal\"}", "{\"mode\":\"units\"}",
                                          "{\"precision\":0,\"allow_set_relation_comp\":true}", "{\"precision\":18}"};
    if (!ctx) {
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.quiet = true;
        d.n_threads = 1;
        ctx = rlvr_open(&d);
        if (!ctx) __builtin_trap();
    }
    if (n < 1) return 0;
    if (data[0] % 8 == 7) { fuzz_big(ctx, data + 1, n - 1); return 0; }
    const char *text = (const char *)data + 1, *part = (const char *)memchr(text, 0xff, n - 1);
    size_t len = n - 1;
    rlvr_reward_desc desc;
    rlvr_grade_result out, again;
    memset(&desc, 0, sizeof desc);
    memset(&out, 0, sizeof out);
    desc.kind = RLVR_REWARD_MATH;
    rlvr__json *o = options[data[0] % 6] ? rlvr__json_parse(ctx, "o", options[data[0] % 6], strlen(options[data[0] % 6]), 1)
        : NULL;
    rlvr__case c = {.ctx = ctx, .desc = &desc, .options = o, .text = part ? part + 1 : text,
                    .len = part ? (size_t)(text + len - part - 1) : len, .gold = text,
                    .gold_len = part ? (size_t)(part - text) : len, .out = &out};
    rlvr__grade_math(&c);
    if (out.status >= RLVR_STATUS_COUNT || out.status == RLVR_STATUS_PENDING || (out.reward != 0 &&
        out.reward != 1)) __builtin_trap();
    if ((out.status == RLVR_STATUS_EQUAL) != (out.reward == 1)) __builtin_trap();
    memset(&again, 0, sizeof again);
    c.out = &again;
    rlvr__grade_math(&c);      /* the same again */
    if (again.status != out.status || strcmp(again.extracted, out.extracted)) __builtin_trap();
    rlvr__json_free(ctx, o);
    return 0;
}
