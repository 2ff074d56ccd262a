/* Fuzz driver for what comes from files: GGUF, safetensors, JSON, task lines. The bytes themselves tell which it is.
       clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/fuzz_files.c -lm -lpthread -o build/fuzz_files
       build/fuzz_files -max_total_time=60 build/corpus tests/data/files
   Without libFuzzer, -DFUZZ_STANDALONE makes a program that runs the files it is given. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_BLOCK_REUSE      /* so that AddressSanitizer sees each free */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

static void fuzz_model(rlvr_ctx *ctx, const uint8_t *data, size_t n)
{
    rlvr__tensors t;
    float out[100];
    memset(&t, 0, sizeof t);
    t.ctx = ctx;
    t.sources = RLVR__NEW(ctx, rlvr__source, 1);
    t.sources[0].path = rlvr__strndup(ctx, "m", 1);
    t.sources[0].file.data = data;
    t.sources[0].file.len = n;
    t.n_sources = 1;
    if (rlvr__tensors_read(&t, 0) == RLVR_OK && rlvr__tensors_index(&t) == RLVR_OK)
        for (int64_t i = 0; i < t.count; i++) {
            const rlvr__tensor *x = rlvr__tensor_find(&t, t.list[i].name);
            if (!x) __builtin_trap();
            for (int64_t at = 0; at < x->n && at < 5000; at += 100)
                rlvr__tensor_to_f32(&t, x, at, RLVR__MIN(x->n - at, 100), out);
            if (x->n) rlvr__tensor_to_f32(&t, x, x->n - 1, 1, out);
        }
    for (int64_t i = 0; i < t.n_kv && i < 100; i++) {
        char *key = rlvr__strndup(ctx, t.kv[i].key.s, t.kv[i].key.n);
        rlvr__str *list, one = rlvr__gguf_str(&t, key);
        int64_t count = rlvr__gguf_strings(&t, key, &list);
        uint32_t code;
        for (int64_t k = 0; k < count; k++) one.n += rlvr__utf8_read(list[k].s, list[k].n, &code) > 4;
        rlvr__gguf_num_at(&t.kv[i], t.kv[i].count - 1, 0);
        rlvr__gguf_int_at(&t.kv[i], t.kv[i].count - 1, 0);
        rlvr__free(ctx, list);
        rlvr__free(ctx, key);
    }
    t.sources[0].file.data = NULL;
    rlvr__tensors_close(&t);
}

static void fuzz_text(rlvr_ctx *ctx, const char *text, size_t n)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__json *j = rlvr__json_parse(ctx, "j", text, n, 1);
    if (j && j->type == RLVR__JSON_STRING) {      /* what is written reads back as it was */
        rlvr__json_put_string(&b, j->text, j->len);
        rlvr__json *again = rlvr__json_parse(ctx, "j", b.data, b.len, 1);
        if (!again || again->len != j->len || memcmp(again->text, j->text, j->len)) __builtin_trap();
        rlvr__json_free(ctx, again);
    }
    if (j && j->type == RLVR__JSON_NUMBER) {
        char copy[64];
        snprintf(copy, sizeof copy, "%s", j->text);
        if (j->len < sizeof copy && strtod(copy, NULL) != j->number) __builtin_trap();
    }
    rlvr__json_free(ctx, j);
    rlvr__buf_free(&b);

    rlvr_tasks *t = rlvr_tasks_new(ctx);
    rlvr__lines it = rlvr__lines_of(text, n);
    while (rlvr__lines_next(&it))
        if (rlvr__tasks_line(t, "t", &it) != RLVR_OK && !rlvr_last_error(ctx)[0]) __builtin_trap();
    rlvr_tasks_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    rlvr_ctx *ctx = rlvr_open(&d);
    if ((n >= 4 && !memcmp(data, "GGUF", 4)) || (n > 8 && data[8] == '{')) fuzz_model(ctx, data, n);
    else fuzz_text(ctx, (const char *)data, n);
    if (ctx->blocks) __builtin_trap();      /* everything was given back */
    rlvr_close(ctx);
    return 0;
}

#ifdef FUZZ_STANDALONE
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        static uint8_t data[1 << 20];
        size_t n = f ? fread(data, 1, sizeof data, f) : 0;
        if (f) fclose(f);
        uint8_t *copy = (uint8_t *)malloc(n ? n : 1);
        memcpy(copy, data, n);
        LLVMFuzzerTestOneInput(copy, n);
        free(copy);
    }
    printf("%d files, nothing amiss\n", argc - 1);
    return 0;
}
#endif
