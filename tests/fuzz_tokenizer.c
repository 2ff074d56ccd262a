/* Fuzz driver for section 12. The first byte picks: a text for the small tokenizer; a tokenizer.json as it is; edits of the
   small tokenizer.json, four bytes each (place, what, byte), and the rest a text for it; a chat template.
       clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_tokenizer.c -lm -lpthread -o build/fuzz_tokenizer
       build/fuzz_tokenizer -max_total_time=60 build/corpus/fuzz_tokenizer      (from the repository's root) */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_text(rlvr_ctx *ctx, const rlvr__tokenizer *t, const char *text, size_t n, bool parse_special, bool exact)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__tok_stream st;
    size_t len = 0;
    int *ids, count = rlvr__tok_encode(t, text, n, parse_special, &ids);
    if (count < 0) __builtin_trap();
    char *back = rlvr__tok_decode(t, ids, count, true, &len);
    if (!back || (exact && (len != n || (n && memcmp(back, text, n))))) __builtin_trap();
    memset(&st, 0, sizeof st);
    for (int i = 0; i < count; i++) rlvr__tok_stream_push(t, &st, ids[i], &b);
    rlvr__tok_stream_flush(&st, &b);
    uint32_t c = 0;
    for (size_t at = 0; at < b.len; at += (size_t)rlvr__utf8_read(b.data + at, b.len - at, &c))
        if (c == RLVR__NOT_UTF8) __builtin_trap();
    rlvr__buf_free(&b);
    rlvr__free(ctx, back);
    rlvr__free(ctx, ids);
}

static void fuzz_json(rlvr_ctx *ctx, const char *json, size_t n, const char *text, size_t len)
{
    rlvr__tokenizer *t = rlvr__tokenizer_from_json(ctx, "j", json, n);
    if (!t) return;
    fuzz_text(ctx, t, text, len, true, false);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__free(ctx, t->json);
    t->json = NULL;
    rlvr__tok_to_json(t, &b);
    rlvr__tok_config_to_json(t, &b);
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static rlvr_ctx *ctx;
    static rlvr__tokenizer *small, *bytes;
    static rlvr__file f;
    if (!ctx) {
        static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.quiet = true;
        d.n_threads = 1;
        ctx = rlvr_open(&d);
        if (!ctx || rlvr__file_open(ctx, "tests/data/tokenizer_small.json", &f) != RLVR_OK) __builtin_trap();
        small = rlvr__tokenizer_from_json(ctx, "small", (const char *)f.data, f.len);
        bytes = rlvr__tokenizer_bytes(ctx, special, 2);
        if (!small || !bytes) __builtin_trap();
    }
    if (!n) return 0;
    const char *text = (const char *)data + 1;
    size_t len = n - 1;
    if (data[0] % 4 == 0) {
        fuzz_text(ctx, small, text, len, data[0] & 4, true);
        fuzz_text(ctx, bytes, text, len, data[0] & 4, true);
    } else if (data[0] % 4 == 1) fuzz_json(ctx, text, len, text, len);
    else if (data[0] % 4 == 2) {
        char *copy = rlvr__strndup(ctx, (const char *)f.data, f.len);
        size_t size = f.len, edits = 0;
        for (; edits < 8 && len >= 4; edits++, text += 4, len -= 4) {
            size_t at = ((unsigned char)text[0] | (size_t)(unsigned char)text[1] << 8) % (size + 1);
            if (text[2] % 3 == 0 && at < size) copy[at] = text[3];      /* another byte, one less, or the end */
            else if (text[2] % 3 == 1 && at < size) { memmove(copy + at, copy + at + 1, size - at - 1); size--; }
            else if (text[2] == 2) size = at;
        }
        fuzz_json(ctx, copy, size, text, len);
        rlvr__free(ctx, copy);
    } else {
        rlvr_message m = {data[0] & 4 ? "user" : "system", "hi"};
        rlvr__buf b = {ctx, NULL, 0, 0, false};
        if (rlvr__tok_set_template(bytes, text, len) != RLVR_OK) __builtin_trap();
        rlvr__chat_format(bytes, &m, 1, &b);
        rlvr__buf_free(&b);
        rlvr__free(ctx, bytes->chat_template);
        rlvr__free(ctx, bytes->system);
        bytes->chat_template = bytes->system = NULL;
    }
    return 0;
}
