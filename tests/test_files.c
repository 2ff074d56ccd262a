/* Section 11: GGUF and safetensors. The files in tests/data/files are made by the formats' own Python libraries
   (tests/data/make_files.py), which also say what is inside. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"
#include <signal.h>
#include <sys/resource.h>

#define DATA "tests/data/files/"

static rlvr_ctx *ctx;
static char folder[200];      /* for what is written; removed at the end */

/* ---- a context whose n-th allocation fails, and which counts what is not given back ---- */

typedef struct failing { long until, live; size_t most, total; } failing;
static void *failing_alloc(void *user, void *p, size_t n)
{
    failing *f = (failing *)user;
    (void)p;
    f->most = RLVR__MAX(f->most, n);
    f->total += n;
    if (f->until-- <= 0) return NULL;
    f->live++;
    return malloc(n);
}
static void failing_free(void *user, void *p) { ((failing *)user)->live -= p != NULL; free(p); }

static rlvr_ctx *failing_open(failing *f, long until)
{
    rlvr_desc d;
    memset(f, 0, sizeof *f);
    memset(&d, 0, sizeof d);
    f->until = until + 1;      /* the context's second block is not what is tested here */
    d.quiet = true;
    d.n_threads = 1;
    d.realloc_fn = failing_alloc;
    d.free_fn = failing_free;
    d.alloc_user = f;
    rlvr_ctx *poor = rlvr_open(&d);
    f->total = 0;
    return poor;
}

/* ---- bytes ---- */

typedef struct bytes { unsigned char *p; size_t n; } bytes;

static bytes slurp(const char *path)
{
    bytes b = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (!f) return b;
    fseek(f, 0, SEEK_END);
    b.n = (size_t)ftell(f);
    rewind(f);
    b.p = (unsigned char *)malloc(b.n ? b.n : 1);
    if (fread(b.p, 1, b.n, f) != b.n) b.n = 0;
    fclose(f);
    return b;
}

static void spill(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f) return;
    fwrite(p, 1, n, f);
    fclose(f);
}

/* Reads a copy of bytes that ends where its block ends, so that AddressSanitizer sees each byte read too many; then every
   tensor, value and string of it. */
static rlvr_result read_memory(rlvr_ctx *c, const void *p, size_t n)
{
    rlvr__tensors t;
    memset(&t, 0, sizeof t);
    t.ctx = c;
    t.sources = RLVR__NEW(c, rlvr__source, 1);
    if (!t.sources) return RLVR_ERROR_MEMORY;
    t.sources[0].path = rlvr__strndup(c, "m", 1);
    unsigned char *copy = (unsigned char *)malloc(n ? n : 1);
    memcpy(copy, p, n);
    t.sources[0].file.data = copy;
    t.sources[0].file.len = n;
    t.n_sources = 1;
    rlvr_result r = rlvr__tensors_read(&t, 0);
    if (r == RLVR_OK) r = rlvr__tensors_index(&t);
    if (r == RLVR_OK) {
        double sum = 0;
        for (int64_t i = 0; i < t.count; i++) {
            const rlvr__tensor *x = &t.list[i];
            float out[64];
            if (rlvr__tensor_find(&t, x->name) != x) CHECK(!"a tensor is found by its name");
            for (int64_t at = 0; at < x->n; at += 64) {
                int64_t take = RLVR__MIN(x->n - at, 64);
                if (rlvr__tensor_to_f32(&t, x, at, take, out) != RLVR_OK) break;
                sum += (double)out[take - 1];
            }
            for (size_t k = 0; k < x->bytes; k++) sum += x->data[k];
        }
        for (int64_t i = 0; i < t.n_kv; i++) {
            char key[64];
            rlvr__str *s;
            for (int64_t k = 0; k < t.kv[i].count; k++) {
                sum += rlvr__gguf_num_at(&t.kv[i], k, 0);
                sum += (double)rlvr__gguf_int_at(&t.kv[i], k, 0);
            }
            if (t.kv[i].key.n >= sizeof key) continue;
            memcpy(key, t.kv[i].key.s, t.kv[i].key.n);
            key[t.kv[i].key.n] = 0;
            int64_t count = rlvr__gguf_strings(&t, key, &s);
            for (int64_t k = 0; k < count; k++) for (size_t b = 0; b < s[k].n; b++) sum += s[k].s[b];
            rlvr__free(c, s);
            rlvr__str one = rlvr__gguf_str(&t, key);
            for (size_t b = 0; b < one.n; b++) sum += one.s[b];
        }
        volatile double keep = sum;
        (void)keep;
    }
    t.sources[0].file.data = NULL;
    rlvr__tensors_close(&t);
    free(copy);
    return r;
}

static void refuses(const bytes *b, const char *message)
{
    if (!CHECK(read_memory(ctx, b->p, b->n) != RLVR_OK && !strncmp(rlvr_last_error(ctx), "m:", 2) &&
               strstr(rlvr_last_error(ctx), message))) printf("    \"%s\", not \"%s\"\n", rlvr_last_error(ctx), message);
}

static bool opens(rlvr__tensors *t, const char *path)
{
    bool ok = CHECK(rlvr__tensors_open(ctx, t, path) == RLVR_OK);
    if (!ok) printf("    %s\n", rlvr_last_error(ctx));
    return ok;
}

static bool said(const char *text) { return strstr(rlvr_last_error(ctx), text) != NULL; }

/* ---- what Python wrote ---- */

static void test_formats(void)      /* each number format as gguf-py expands it, bit by bit, whole and in odd pieces */
{
    rlvr__tensors q, s;
    if (!opens(&q, DATA "quant.gguf")) return;
    if (!opens(&s, DATA "quant.safetensors")) return;
    CHECK(rlvr__tensors_is_gguf(&q) && !rlvr__tensors_is_gguf(&s) && q.count == 11 && s.count == 11);
    for (int64_t i = 0; i < q.count; i++) {
        const rlvr__tensor *x = &q.list[i], *y = rlvr__tensor_find(&s, x->name);
        float own[192], expect[192], piece[192];
        if (!CHECK(y && y->n == x->n && x->n <= 192 && !memcmp(x->dims, y->dims, sizeof x->dims) &&
                   x->n_dims == y->n_dims)) continue;
        CHECK_STR(x->type_name, x->name);
        CHECK(rlvr__tensor_to_f32(&s, y, 0, y->n, expect) == RLVR_OK);
        rlvr_result r = rlvr__tensor_to_f32(&q, x, 0, x->n, own);
        if (!strcmp(x->name, "I16")) {
            CHECK(r == RLVR_ERROR_UNSUPPORTED && said("quant.gguf: tensor I16 has type I16, which cannot be read; convert"));
            continue;
        }
        CHECK(r == RLVR_OK && !memcmp(own, expect, (size_t)x->n * 4));
        int wrong = 0;
        for (int64_t first = 0; first <= x->n; first++)
            for (int64_t n = 0; n <= x->n - first; n++) {
                memset(piece, 0xee, sizeof piece);
                wrong += rlvr__tensor_to_f32(&q, x, first, n, piece) != RLVR_OK ||
                    memcmp(piece, expect + first, (size_t)n * 4);
                wrong += n < 192 && rlvr__to_bits(piece[n]) != 0xeeeeeeee;
            }
        CHECK(wrong == 0);
        CHECK(rlvr__tensor_to_f32(&q, x, -1, 1, own) == RLVR_ERROR_ARGUMENT);
        CHECK(rlvr__tensor_to_f32(&q, x, 0, x->n + 1, own) == RLVR_ERROR_ARGUMENT);
        CHECK(rlvr__tensor_to_f32(&q, x, x->n + 1, 0, own) == RLVR_ERROR_ARGUMENT);
        CHECK(rlvr__tensor_to_f32(&q, x, 1, INT64_MAX, own) == RLVR_ERROR_ARGUMENT);
    }
    int64_t v[2];
    CHECK(rlvr__tensor_to_i64(&q, rlvr__tensor_find(&q, "I64"), 0, 2, v) == RLVR_OK && v[0] == -((int64_t)1 << 40) &&
          v[1] == 7);
    CHECK(rlvr__tensor_to_i64(&q, rlvr__tensor_find(&q, "I32"), 0, 2, v) == RLVR_OK && v[0] == INT32_MIN && v[1] == 1 << 24);
    CHECK(rlvr__tensor_to_i64(&q, rlvr__tensor_find(&q, "F32"), 0, 2, v) == RLVR_ERROR_UNSUPPORTED);
    CHECK(!rlvr__tensor_find(&q, "F3") && !rlvr__tensor_find(&q, "F322") && !rlvr__tensor_find(&q, ""));
    rlvr__tensors_close(&q);
    rlvr__tensors_close(&s);
}

static bool str_is(rlvr__str s, const char *text) { return s.s && s.n == strlen(text) && !memcmp(s.s, text, s.n); }

static void test_metadata(void)
{
    rlvr__tensors t;
    rlvr__str *list;
    if (!opens(&t, DATA "quant.gguf")) return;
    CHECK(rlvr__gguf_int(&t, "t.uint8", 0) == 200 && rlvr__gguf_int(&t, "t.int8", 0) == -100);
    CHECK(rlvr__gguf_int(&t, "t.uint16", 0) == 60000 && rlvr__gguf_int(&t, "t.int16", 0) == -30000);
    CHECK(rlvr__gguf_int(&t, "t.uint32", 0) == 4000000000 && rlvr__gguf_int(&t, "t.int32", 0) == -2000000000);
    CHECK(rlvr__gguf_int(&t, "t.uint64", 0) == INT64_MAX && rlvr__gguf_int(&t, "t.int64", 0) == -((int64_t)1 << 62));
    CHECK(rlvr__gguf_num(&t, "t.float32", 0) == (double)1e-5f && rlvr__gguf_num(&t, "t.float64", 0) == 0.1);
    CHECK(rlvr__gguf_num(&t, "t.uint16", 0) == 60000.0 && rlvr__gguf_int(&t, "t.float64", -9) == -9);
    CHECK(rlvr__gguf_bool(&t, "t.bool", false) && rlvr__gguf_int(&t, "t.bool", 0) == 1 &&
          rlvr__gguf_bool(&t, "t.uint8", false) == false);
    CHECK(str_is(rlvr__gguf_str(&t, "t.string"), "h\xc3\xa9llo") &&
          str_is(rlvr__gguf_str(&t, "general.architecture"), "llama"));
    CHECK(!rlvr__gguf_str(&t, "t.bool").s && !rlvr__gguf_str(&t, "nothing").s && !rlvr__gguf_str(&t, "list.string").s);
    CHECK(rlvr__gguf_int(&t, "nothing", -9) == -9 && rlvr__gguf_int(&t, "list.int32", -9) == -9 &&
          rlvr__gguf_int(&t, "t.string", -9) == -9);
    CHECK(rlvr__gguf_int(&t, "general.alignment", 0) == 64);
    CHECK(rlvr__gguf_strings(&t, "list.string", &list) == 4);
    CHECK(list && str_is(list[0], "") && str_is(list[1], "a") && str_is(list[2], "\xc4\xa0the") &&
          str_is(list[3], "\xf0\x9f\x98\x80"));
    rlvr__free(ctx, list);
    CHECK(rlvr__gguf_strings(&t, "list.int32", &list) == -1 && !list && rlvr__gguf_strings(&t, "t.string", &list) == -1);
    const rlvr__gguf_kv *n = rlvr__gguf_numbers(&t, "list.int32"), *f = rlvr__gguf_numbers(&t, "list.float32");
    CHECK(n && n->count == 3 && rlvr__gguf_int_at(n, 1, 0) == -2 && rlvr__gguf_int_at(n, 3, -9) == -9 &&
          rlvr__gguf_int_at(n, -1, -9) == -9);
    CHECK(f && f->count == 2 && rlvr__gguf_num_at(f, 1, 0) == -1.5 && !rlvr__gguf_numbers(&t, "list.string"));
    n = rlvr__gguf_numbers(&t, "list.bool");
    CHECK(n && n->count == 2 && rlvr__gguf_int_at(n, 0, 9) == 1 && rlvr__gguf_int_at(n, 1, 9) == 0);
    rlvr__tensors_close(&t);
}

static uint64_t mix(const float *x, int64_t n)      /* as in make_files.py */
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (uint64_t)rlvr__to_bits(x[i]) * (2 * (uint64_t)i + 1);
    return sum;
}

static void test_model(void)      /* the real one, against gguf-py's figures */
{
    static const struct { const char *name; double sum; uint64_t mix; } table[] = {
        {"token_embd.weight", -15353.044494152069, 17181128949590517824u},
        {"blk.0.attn_norm.weight", 0.61294364929199219, 673134713438208u},
        {"blk.0.ffn_down.weight", 150.63577270507812, 8875142421117766656u},
        {"blk.29.attn_q.weight", 191.08612442016602, 10079010152425128960u},
        {"output_norm.weight", 1038.33203125, 356819661881344u}};
    char fallback[512];
    rlvr__tensors t;
    snprintf(fallback, sizeof fallback, "%s/.cache/rlvr/SmolLM2-135M-Instruct.Q4_1.gguf",
             getenv("HOME") ? getenv("HOME") : "");
    const char *path = test_file("RLVR_MODEL", fallback);
    if (!path) return;
    double start = rlvr__now(), elements = 0;
    if (!opens(&t, path)) return;
    REPORT("%lld tensors, %lld keys, opened in %.2f ms", (long long)t.count, (long long)t.n_kv, (rlvr__now() - start) * 1e3);
    CHECK(t.count == 272 && rlvr__gguf_int(&t, "llama.block_count", 0) == 30 &&
          rlvr__gguf_num(&t, "llama.rope.freq_base", 0) == 100000.0);
    float *out = RLVR__NEW(ctx, float, 49152 * 576);
    uint64_t total = 0;
    double expand = 0;
    for (int64_t i = 0; i < t.count; i++) {
        const rlvr__tensor *x = &t.list[i];
        start = rlvr__now();
        if (!CHECK(x->n <= 49152 * 576 && rlvr__tensor_to_f32(&t, x, 0, x->n, out) == RLVR_OK)) break;
        expand += rlvr__now() - start;
        elements += (double)x->n;
        total = total * 31 + mix(out, x->n);
        for (size_t k = 0; k < sizeof table / sizeof *table; k++) {
            if (strcmp(x->name, table[k].name)) continue;
            double sum = 0;
            for (int64_t e = 0; e < x->n; e++) sum += (double)out[e];
            CHECK_LE(fabs(sum - table[k].sum), 1e-9 * fabs(table[k].sum));
            CHECK(mix(out, x->n) == table[k].mix);
        }
    }
    CHECK(total == 1479399351276654016u);
    REPORT("%.1f M numbers expanded in %.0f ms", elements * 1e-6, expand * 1e3);
    rlvr__free(ctx, out);
    rlvr__tensors_close(&t);
}

static void test_types(void)
{
    rlvr__tensors t;
    float v[3];
    if (!opens(&t, DATA "types.safetensors")) return;
    CHECK(t.count == 8 && t.n_kv == 0);
    const rlvr__tensor *x = rlvr__tensor_find(&t, "f64");
    CHECK(x && x->n_dims == 2 && x->dims[0] == 1 && x->dims[1] == 2 && rlvr__tensor_to_f32(&t, x, 0, 1, v) == RLVR_OK &&
          v[0] == 0.1f);
    x = rlvr__tensor_find(&t, "f32");
    CHECK(x && x->n_dims == 0 && x->n == 1 && rlvr__tensor_to_f32(&t, x, 0, 1, v) == RLVR_OK && v[0] == 2.5f);
    x = rlvr__tensor_find(&t, "f16");
    CHECK(x && x->n == 3 && rlvr__tensor_to_f32(&t, x, 0, 3, v) == RLVR_OK && v[0] == 1.5f &&
          v[1] == 5.9604644775390625e-8f && v[2] == 65504.0f);
    x = rlvr__tensor_find(&t, "i64");
    int64_t n[2];
    CHECK(x && rlvr__tensor_to_i64(&t, x, 0, 2, n) == RLVR_OK && n[0] == (int64_t)1 << 60 && n[1] == -3);
    x = rlvr__tensor_find(&t, "i8");
    CHECK(x && rlvr__tensor_to_f32(&t, x, 0, 2, v) == RLVR_OK && v[0] == -128.0f && v[1] == 127.0f);
    x = rlvr__tensor_find(&t, "empty");
    CHECK(x && x->n == 0 && x->bytes == 0 && x->dims[1] == 4 && rlvr__tensor_to_f32(&t, x, 0, 0, v) == RLVR_OK);
    x = rlvr__tensor_find(&t, "bool");
    CHECK(x && x->bytes == 2 && !strcmp(x->type_name, "BOOL") &&
          rlvr__tensor_to_f32(&t, x, 0, 2, v) == RLVR_ERROR_UNSUPPORTED);
    CHECK(said("types.safetensors: tensor bool has type BOOL, which cannot be read; convert"));
    rlvr__tensors_close(&t);
}

static void put(const char *name, const char *text)      /* a file in our folder */
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    spill(path, text, strlen(text));
}

static void refuses_folder(const char *index, const char *message)
{
    rlvr__tensors t;
    put("model.safetensors.index.json", index);
    if (!CHECK(rlvr__tensors_open(ctx, &t, folder) != RLVR_OK && said(folder) && said(message)))
        printf("    \"%s\", not \"%s\"\n", rlvr_last_error(ctx), message);
    CHECK(t.count == 0 && !t.list);
}

static void test_shards(void)
{
    rlvr__tensors t;
    float v;
    if (!opens(&t, DATA "shards")) return;
    const rlvr__tensor *x = rlvr__tensor_find(&t, "x"), *z = rlvr__tensor_find(&t, "z");
    CHECK(t.count == 3 && t.n_sources == 2 && x && x->n == 2 && x->source == 0 && z && z->source == 1);
    CHECK(rlvr__tensor_to_f32(&t, x, 1, 1, &v) == RLVR_OK && v == 2.0f && rlvr__tensor_to_f32(&t, z, 0, 1, &v) == RLVR_OK &&
          v == 4.0f);
    CHECK_STR(rlvr__tensor_file(&t, z), DATA "shards/model-00002-of-00002.safetensors");
    rlvr__tensors_close(&t);
    CHECK(rlvr__tensors_open(ctx, &t, DATA "shards/") == RLVR_OK && t.count == 3);
    rlvr__tensors_close(&t);
    rlvr__tensors_close(&t);

    CHECK(rlvr__tensors_open(ctx, &t, folder) == RLVR_ERROR_IO && said("no model.safetensors and no"));
    CHECK(rlvr__tensors_open(ctx, &t, "/nowhere.gguf") == RLVR_ERROR_IO && said("/nowhere.gguf: cannot open"));
    bytes one = slurp(DATA "shards/model-00001-of-00002.safetensors"), gguf = slurp(DATA "quant.gguf");
    char a[256], b[256], g[256], index[256], single[256];
    snprintf(a, sizeof a, "%s/a", folder);
    snprintf(b, sizeof b, "%s/b", folder);
    snprintf(g, sizeof g, "%s/g", folder);
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    spill(a, one.p, one.n);
    spill(b, one.p, one.n);
    spill(g, gguf.p, gguf.n);
    refuses_folder("{", ":1:2:");
    refuses_folder("[]", "no \"weight_map\"");
    refuses_folder("{\"weight_map\":{}}", "no \"weight_map\"");
    refuses_folder("{\"weight_map\":{\"x\":1}}", ":1: the entry of x must be the plain name");
    refuses_folder("{\"weight_map\":{\"x\":\"../a\"}}", "plain name");
    refuses_folder("{\"weight_map\":{\"x\":\"/etc/passwd\"}}", "plain name");
    refuses_folder("{\"weight_map\":{\"x\":\"\"}}", "plain name");
    refuses_folder("{\"weight_map\":{\"x\":\"missing\"}}", "missing: cannot open");
    refuses_folder("{\"weight_map\":{\"x\":\"a\",\n\"y\":\"a\"}}", ":2: tensor y is not in a");
    refuses_folder("{\"weight_map\":{\"x\":\"a\",\"y\":\"b\"}}", "tensor x is there twice");
    refuses_folder("{\"weight_map\":{\"x\":\"a\",\"F32\":\"g\"}}", "a GGUF file among");
    put("model.safetensors.index.json", "{\"weight_map\":{\"x\":\"a\"}}");
    CHECK(rlvr__tensors_open(ctx, &t, folder) == RLVR_OK && t.count == 1);
    rlvr__tensors_close(&t);
    snprintf(single, sizeof single, "%s/model.safetensors", folder);      /* the single file comes before the index */
    bytes both = slurp(DATA "plain.safetensors");
    spill(single, both.p, both.n);
    CHECK(rlvr__tensors_open(ctx, &t, folder) == RLVR_OK && t.count == 2 && rlvr__tensor_find(&t, "b.weight"));
    rlvr__tensors_close(&t);
    remove(single);
    free(both.p);
    remove(a);
    remove(b);
    remove(g);
    remove(index);
    free(one.p);
    free(gguf.p);
}

/* ---- damage ---- */

static void test_damage(const char *path)
{
    bytes b = slurp(path);
    if (!CHECK(b.n > 0 && read_memory(ctx, b.p, b.n) == RLVR_OK)) { free(b.p); return; }
    long cut = 0, mute = 0, accepted = 0, tried = 0;
    for (size_t n = 0; n < b.n; n++) {      /* cut off at each byte: refused, with the file's name */
        rlvr_result r = read_memory(ctx, b.p, n);
        cut += r == RLVR_OK;
        mute += r != RLVR_OK && (strncmp(rlvr_last_error(ctx), "m:", 2) || strlen(rlvr_last_error(ctx)) < 20);
    }
    /* A GGUF file may end in padding that belongs to nobody; safetensors data may not lack anything. */
    CHECK(strstr(path, ".gguf") ? cut < 64 : cut == 0);
    CHECK(mute == 0);
    for (size_t i = 0; i < b.n * 8; i++) {      /* each bit flipped */
        b.p[i / 8] ^= (unsigned char)(1 << i % 8);
        accepted += read_memory(ctx, b.p, b.n) == RLVR_OK;
        tried++;
        b.p[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    static const unsigned char extreme[] = {0x00, 0x7f, 0x80, 0xff};
    for (size_t i = 0; i + 8 <= b.n; i++)      /* eight bytes at once set to extremes: sizes near 2^63 and 2^64 */
        for (size_t k = 0; k < sizeof extreme; k++) {
            unsigned char old[8];
            memcpy(old, b.p + i, 8);
            memset(b.p + i, extreme[k], 8);
            accepted += read_memory(ctx, b.p, b.n) == RLVR_OK;
            tried++;
            memcpy(b.p + i, old, 8);
        }
    CHECK(read_memory(ctx, b.p, b.n) == RLVR_OK);
    REPORT("%s: of %ld damaged copies %ld could still be read", path, tried, accepted);
    CHECK(accepted < tried);
    free(b.p);
}

/* A GGUF file by hand. */
typedef struct maker { unsigned char p[4096]; size_t n; } maker;
static void raw(maker *m, const void *p, size_t n) { memcpy(m->p + m->n, p, n); m->n += n; }
static void u32(maker *m, uint32_t v) { raw(m, &v, 4); }
static void u64(maker *m, uint64_t v) { raw(m, &v, 8); }
static void str(maker *m, const char *s) { u64(m, strlen(s)); raw(m, s, strlen(s)); }
static void head(maker *m, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    m->n = 0;
    raw(m, "GGUF", 4);
    u32(m, version);
    u64(m, n_tensors);
    u64(m, n_kv);
}
static void tensor(maker *m, const char *name, uint32_t n_dims, uint64_t a, uint64_t b, uint32_t type, uint64_t offset)
{
    str(m, name);
    u32(m, n_dims);
    if (n_dims > 0) u64(m, a);
    for (uint32_t i = 1; i < n_dims; i++) u64(m, b);
    u32(m, type);
    u64(m, offset);
}
static void pad(maker *m, size_t align, size_t more)
{
    size_t n = (align - m->n % align) % align + more;
    memset(m->p + m->n, 0, n);
    m->n += n;
}
static void hostile(const maker *m, const char *message)
{
    bytes b = {(unsigned char *)(uintptr_t)m->p, m->n};
    failing f;
    refuses(&b, message);
    rlvr_ctx *c = failing_open(&f, 1000);      /* and without asking for more memory than the file accounts for */
    f.total = 0;
    read_memory(c, m->p, m->n);
    CHECK(f.total < m->n * 100 + 20000);
    rlvr_close(c);
    CHECK(f.live == 0);
}

static void test_hostile_gguf(void)
{
    maker m;
    head(&m, 3, 1, 0); tensor(&m, "w", 2, 32, 2, 2, 0); pad(&m, 32, 36);
    CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);
    head(&m, 2, 0, 0); CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);      /* nothing inside is no error here */
    head(&m, 3, 1, 0); tensor(&m, "w", 0, 0, 0, 0, 0); pad(&m, 32, 4); CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);
    head(&m, 3, 1, 0); tensor(&m, "w", 2, 0, 7, 0, 0); pad(&m, 32, 0); CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 32, 0, 99, 0); pad(&m, 32, 1); CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);

    head(&m, 1, 0, 0); hostile(&m, "byte 4: GGUF version 1; versions 2 and 3 can be read");
    head(&m, 4, 0, 0); hostile(&m, "GGUF version 4");
    head(&m, 0, 0, 0); hostile(&m, "GGUF version 0");
    head(&m, 0x03000000, 0, 0); hostile(&m, "big-endian");
    head(&m, 3, 1000, 0); hostile(&m, "byte 8: the number of tensors is 1000, more than the file's 24 bytes can hold");
    head(&m, 3, UINT64_MAX, 0); hostile(&m, "byte 8: the number of tensors");
    head(&m, 3, 0, UINT64_MAX / 2); hostile(&m, "byte 16: the number of metadata entries");
    head(&m, 3, 0, 1); u64(&m, UINT64_MAX); pad(&m, 1, 64); hostile(&m, "byte 32: a key of 18446744073709551615 bytes");
    head(&m, 3, 0, 1); str(&m, "k"); u32(&m, 13); pad(&m, 1, 64); hostile(&m, "the value of k has type 13");
    head(&m, 3, 0, 1); str(&m, "k"); u32(&m, 9); u32(&m, 9); pad(&m, 1, 64); hostile(&m, "type 9 in a list");
    head(&m, 3, 0, 1); str(&m, "k"); u32(&m, 9); u32(&m, 10); u64(&m, (uint64_t)1 << 61); pad(&m, 1, 64);
    hostile(&m, "the length of a list is 2305843009213693952");
    head(&m, 3, 0, 1); str(&m, "k"); u32(&m, 9); u32(&m, 8); u64(&m, 3); str(&m, "a"); u64(&m, 99); pad(&m, 1, 8);
    hostile(&m, "a string of 99 bytes goes past the end");
    head(&m, 3, 0, 2); str(&m, "k"); u32(&m, 4); u32(&m, 1); str(&m, "k"); u32(&m, 4); u32(&m, 2);
    hostile(&m, "key k is there twice");
    head(&m, 3, 0, 2); str(&m, "k"); u32(&m, 4); u32(&m, 1); hostile(&m, "the file's");

    head(&m, 3, 1, 0); tensor(&m, "w", 5, 1, 1, 0, 0); pad(&m, 32, 4); hostile(&m, "tensor w has 5 dimensions");
    head(&m, 3, 1, 0); str(&m, "w"); u32(&m, 0xffffffff); pad(&m, 32, 64); hostile(&m, "tensor w has 4294967295 dimensions");
}

static void test_hostile_tensors(void)
{
    maker m;
    uint64_t big = (uint64_t)1 << 32;
    head(&m, 3, 1, 0); tensor(&m, "", 1, 1, 1, 0, 0); pad(&m, 32, 4); hostile(&m, "name is empty");
    head(&m, 3, 1, 0); u64(&m, 1); raw(&m, "\0", 1); u32(&m, 1); u64(&m, 1); u32(&m, 0); u64(&m, 0); pad(&m, 32, 4);
    hostile(&m, "holds a NUL");
    head(&m, 3, 1, 0); tensor(&m, "w", 2, big, big, 0, 0); pad(&m, 32, 4);
    hostile(&m, "tensor w (F32) has dimensions whose product overflows");
    head(&m, 3, 1, 0); tensor(&m, "w", 2, big, big / 8, 0, 0); pad(&m, 32, 4); hostile(&m, "product overflows");
    head(&m, 3, 1, 0); tensor(&m, "w", 3, big, big, 0, 0); pad(&m, 32, 4); hostile(&m, "product overflows");
    head(&m, 3, 1, 0); tensor(&m, "w", 3, 0, big, 0, 0); pad(&m, 32, 4); hostile(&m, "product overflows");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, UINT64_MAX, 1, 0, 0); pad(&m, 32, 4); hostile(&m, "negative dimension");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, INT64_MAX, 1, 0, 0); pad(&m, 32, 4); hostile(&m, "product overflows");
    head(&m, 3, 1, 0); tensor(&m, "w", 2, 16, 2, 2, 0); pad(&m, 32, 64);
    hostile(&m, "tensor w (Q4_0) has rows that are no multiple");
    head(&m, 3, 1, 0); tensor(&m, "w", 0, 0, 0, 8, 0); pad(&m, 32, 64); hostile(&m, "no multiple of its type's block");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 9, 1, 0, 0); pad(&m, 32, 35);
    hostile(&m, "tensor w: its data, 36 bytes from offset 0 on, goes past");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 1, 1, 0, 4); pad(&m, 32, 35); hostile(&m, "is not aligned");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 1, 1, 0, 32); pad(&m, 32, 35); hostile(&m, "goes past the end");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 1, 1, 0, (uint64_t)0 - 32); pad(&m, 32, 35); hostile(&m, "goes past the end");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 8, 1, 0, (uint64_t)0 - 32); pad(&m, 32, 35); hostile(&m, "goes past the end");
    head(&m, 3, 1, 0); tensor(&m, "w", 1, 1, 1, 0, 0); hostile(&m, "goes past the end");      /* no step 5 at all */
    head(&m, 3, 2, 0); tensor(&m, "w", 1, 1, 1, 0, 0); tensor(&m, "w", 1, 1, 1, 0, 0); pad(&m, 32, 4);
    hostile(&m, "tensor w is there twice");
    static const uint32_t bad[] = {0, 3, 48, 0x80000000u};
    for (size_t i = 0; i < 4; i++) {
        head(&m, 3, 1, 1); str(&m, "general.alignment"); u32(&m, 4); u32(&m, bad[i]); tensor(&m, "w", 1, 1, 1, 0, 0);
        pad(&m, 64, 64);
        hostile(&m, "general.alignment is");
    }
    rlvr__tensors t;      /* types that the table knows by name alone, or not at all */
    char path[256];
    float v[1];
    head(&m, 3, 1, 0); tensor(&m, "blk.0.w", 1, 256, 1, 14, 0); pad(&m, 32, 210);
    snprintf(path, sizeof path, "%s/k.gguf", folder);
    spill(path, m.p, m.n);
    if (opens(&t, path)) CHECK(rlvr__tensor_to_f32(&t, t.list, 0, 1, v) == RLVR_ERROR_UNSUPPORTED);
    CHECK(said("k.gguf: tensor blk.0.w has type Q6_K, which cannot be read; convert the model to"));
    rlvr__tensors_close(&t);
    head(&m, 3, 1, 0); tensor(&m, "blk.0.w", 1, 256, 1, 39, 0); pad(&m, 32, 210);
    spill(path, m.p, m.n);
    if (opens(&t, path)) CHECK(rlvr__tensor_to_f32(&t, t.list, 0, 1, v) == RLVR_ERROR_UNSUPPORTED);
    CHECK(said("tensor blk.0.w has type 39, which cannot be read"));
    rlvr__tensors_close(&t);
    head(&m, 3, 0, 1); str(&m, "k"); u32(&m, 10); u64(&m, UINT64_MAX);      /* more than int64_t holds is not taken for -1 */
    spill(path, m.p, m.n);
    CHECK(rlvr__tensors_open(ctx, &t, path) == RLVR_OK && rlvr__gguf_int(&t, "k", 5) == 5 &&
          rlvr__gguf_num(&t, "k", 5) > 1.8e19);
    rlvr__tensors_close(&t);
    remove(path);
}

static void safetensors(const char *header, size_t data, const char *message)      /* NULL: good */
{
    maker m;
    m.n = 0;
    str(&m, header);
    pad(&m, 1, data);
    if (message) hostile(&m, message);
    else CHECK(read_memory(ctx, m.p, m.n) == RLVR_OK);
}

static void test_hostile_safetensors(void)
{
    maker m;
    memset(&m, 0, sizeof m);
    hostile(&m, "0 bytes are too few for a model file");
    raw(&m, "PK\3\4 something else entirely", 27);
    hostile(&m, "byte 0: neither the mark GGUF nor the length of a safetensors header");
    m.n = 0; u64(&m, UINT64_MAX); raw(&m, "{}", 2); hostile(&m, "byte 0");
    m.n = 0; u64(&m, 3); raw(&m, "{}", 2); hostile(&m, "byte 0");
    m.n = 0; u64(&m, 0); hostile(&m, "byte 0");
    safetensors("{}", 0, NULL);
    safetensors("{\"__metadata__\":{\"a\":\"b\"}}   ", 0, NULL);
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                "\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, NULL);
    safetensors("[]", 0, "byte 0");
    safetensors("{\"w\":}", 0, "m:1:6:");
    safetensors("{\"w\":1}", 0, "tensor w lacks dtype, shape or data_offsets");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "tensor w lacks");
    safetensors("{\"w\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor w lacks");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "tensor w lacks");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8, "tensor w lacks");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7,
                "data_offsets [0, 8] do not lie within the 7 bytes");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9]}}", 9,
                "2 elements of F32 take 8 bytes, data_offsets span 9");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "data_offsets [8, 0]");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "data_offsets [-8, 0]");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1e30,2e30]}}", 8, "data_offsets [-1");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775800,9223372036854775807]}}", 8,
                "data_offsets [9223");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "negative dimension");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[0.5],\"data_offsets\":[0,8]}}", 8, "negative dimension");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 8,
                "product overflows");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[0,4294967296,4294967296],\"data_offsets\":[0,0]}}", 8,
                "product overflows");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 8,
                "9 dimensions, more than 8");
    safetensors("{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "name is empty");
    safetensors("{\"w\\u0000\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "holds a NUL");
    safetensors("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8,
                "tensor w is there twice");
}

/* ---- writing ---- */

static rlvr__tensor describe(const char *name, rlvr__dtype dtype, int n_dims, int64_t a, int64_t b)
{
    rlvr__tensor x;
    memset(&x, 0, sizeof x);
    x.name = name;
    x.dtype = dtype;
    x.n_dims = n_dims;
    x.dims[0] = a;
    x.dims[1] = b;
    return x;
}

static rlvr_result save_plain(rlvr_ctx *c, const char *path)
{
    static const float a[] = {0, 1, 2, 3, 4, 5}, b[] = {0.5f, -0.25f};
    rlvr__tensor list[2] = {describe("a", RLVR__DTYPE_F32, 2, 2, 3), describe("b.weight", RLVR__DTYPE_F32, 1, 2, 0)};
    rlvr__writer w;
    rlvr_result r = rlvr__writer_open(c, &w, path);
    if (r != RLVR_OK) return r;
    rlvr__safetensors_begin(&w, list, 2, NULL);
    rlvr__write(&w, a, sizeof a);
    rlvr__write(&w, b, sizeof b);
    return rlvr__writer_close(&w);
}

static bool exists(const char *path) { struct stat st; return stat(path, &st) == 0; }

static void test_write(void)
{
    char path[256], partial[300];
    rlvr__writer w;
    rlvr__tensors t;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    CHECK(save_plain(ctx, path) == RLVR_OK && !exists(partial));
    bytes own = slurp(path), python = slurp(DATA "plain.safetensors");      /* byte by byte what Python's library writes */
    CHECK(own.n == python.n && own.n && !memcmp(own.p, python.p, own.n));
    free(python.p);

    /* other types, odd names, no dimension, no element */
    static const char *const metadata[] = {"step", "3", "q\"", "\xff", NULL};
    rlvr__tensor list[] = {describe("h\xc3\xa9 \"x\"\n", RLVR__DTYPE_BF16, 2, 1, 3),
                           describe("scalar", RLVR__DTYPE_F64, 0, 0, 0),
                           describe("none", RLVR__DTYPE_F16, 2, 0, 5), describe("id", RLVR__DTYPE_I64, 1, 2, 0)};
    uint16_t bf16[] = {0x3f80, 0xc000, 0x7f80};
    double f64 = 0.1;
    int64_t ids[] = {-1, (int64_t)1 << 53};
    CHECK(rlvr__writer_open(ctx, &w, path) == RLVR_OK && rlvr__safetensors_begin(&w, list, 4, metadata) == RLVR_OK);
    rlvr__write(&w, bf16, sizeof bf16);
    rlvr__write(&w, &f64, sizeof f64);
    rlvr__write(&w, ids, sizeof ids);
    CHECK(rlvr__writer_close(&w) == RLVR_OK && rlvr__tensors_open(ctx, &t, path) == RLVR_OK);
    float v[3];
    int64_t n[2];
    const rlvr__tensor *x = rlvr__tensor_find(&t, "h\xc3\xa9 \"x\"\n");
    CHECK(t.count == 4 && x && x->dims[1] == 3 && rlvr__tensor_to_f32(&t, x, 0, 3, v) == RLVR_OK && v[0] == 1 &&
          v[1] == -2 && isinf(v[2]));
    x = rlvr__tensor_find(&t, "scalar");
    CHECK(x && x->n_dims == 0 && rlvr__tensor_to_f32(&t, x, 0, 1, v) == RLVR_OK && v[0] == 0.1f);
    x = rlvr__tensor_find(&t, "id");
    CHECK(x && rlvr__tensor_to_i64(&t, x, 0, 2, n) == RLVR_OK && n[0] == -1 && n[1] == (int64_t)1 << 53);
    CHECK(t.sources && rlvr__read_u64(t.sources[0].file.data) % 8 == 0);
    const rlvr__json *meta = rlvr__json_get(t.sources[0].header, "__metadata__");
    CHECK_STR(rlvr__json_str(rlvr__json_get(meta, "format"), NULL), "pt");
    CHECK_STR(rlvr__json_str(rlvr__json_get(meta, "step"), NULL), "3");
    CHECK_STR(rlvr__json_str(rlvr__json_get(meta, "q\""), NULL), "\xef\xbf\xbd");
    rlvr__tensors_close(&t);

    rlvr__tensor bad = describe("w", RLVR__DTYPE_Q4_0, 1, 32, 0);      /* what it cannot hold leaves the old file alone */
    CHECK(rlvr__writer_open(ctx, &w, path) == RLVR_OK && rlvr__safetensors_begin(&w, &bad, 1, NULL) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr__writer_close(&w) == RLVR_ERROR_IO && !exists(partial) && exists(path));
    remove(path);
    free(own.p);
}

/* What cannot be written leaves what was there before, and nothing beside it. */
static void test_write_fails(void)
{
    char path[256], partial[320], inside[300];
    struct rlimit old, low;
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    CHECK(save_plain(ctx, path) == RLVR_OK);
    bytes before = slurp(path);

    signal(SIGXFSZ, SIG_IGN);      /* a limit on file sizes stands in for a full disk: write() fails half-way */
    getrlimit(RLIMIT_FSIZE, &old);
    long quiet = 0, changed = 0, left = 0, last = -1;
    for (rlim_t limit = 0; limit <= before.n; limit += 8) {
        low = old;
        low.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &low);
        rlvr_result r = save_plain(ctx, path);
        setrlimit(RLIMIT_FSIZE, &old);
        bytes after = slurp(path);
        changed += after.n != before.n || memcmp(after.p, before.p, before.n);
        left += exists(partial);
        if (r == RLVR_OK) last = (long)limit;
        else quiet += r != RLVR_ERROR_IO || !said(path) || !said("untouched");
        free(after.p);
    }
    CHECK(changed == 0 && left == 0 && quiet == 0 && last == (long)before.n);

    low = old;      /* the same with a file that is larger than any buffer, so that the write in the middle fails */
    low.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &low);
    static float big[100000];
    rlvr__tensor x = describe("w", RLVR__DTYPE_F32, 1, 100000, 0);
    rlvr__writer w;
    CHECK(rlvr__writer_open(ctx, &w, path) == RLVR_OK);
    rlvr__safetensors_begin(&w, &x, 1, NULL);
    rlvr__write(&w, big, sizeof big);
    rlvr__write(&w, big, sizeof big);
    rlvr_result r = rlvr__writer_close(&w);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(r == RLVR_ERROR_IO && said("cannot write") && !exists(partial));
    bytes after = slurp(path);
    CHECK(after.n == before.n && !memcmp(after.p, before.p, before.n));
    free(after.p);

    snprintf(inside, sizeof inside, "%s/m.safetensors/x", folder);
    /* its folder is a file; there is none; it is read-only */
    CHECK(save_plain(ctx, inside) == RLVR_ERROR_IO && said("cannot write: "));
    CHECK(save_plain(ctx, "/nowhere/x") == RLVR_ERROR_IO && said("/nowhere/x.partial: cannot write: "));
    uid_t user = geteuid();      /* root may write anywhere, so it is somebody else who tries */
    chmod(folder, 0555);
    if (user != 0 || seteuid(65534) == 0) CHECK(save_plain(ctx, path) == RLVR_ERROR_IO && said("ermission"));
    if (seteuid(user) != 0) CHECK(!"back to the user that it was");
    chmod(folder, 0700);
    after = slurp(path);
    CHECK(after.n == before.n && !memcmp(after.p, before.p, before.n));
    free(after.p);
    CHECK(save_plain(ctx, "/proc/m.safetensors") == RLVR_ERROR_IO);
    snprintf(inside, sizeof inside, "%s/taken", folder);      /* the place is a folder: the rename fails */
    CHECK(mkdir(inside, 0700) == 0 && save_plain(ctx, inside) == RLVR_ERROR_IO && said("cannot rename"));
    snprintf(partial, sizeof partial, "%s.partial", inside);
    CHECK(!exists(partial));
    rmdir(inside);

    rlvr__buf b = {ctx, NULL, 0, 0, false};      /* small files go the same way */
    rlvr__buf_addf(&b, "{\"a\": 1}\n");
    snprintf(inside, sizeof inside, "%s/config.json", folder);
    CHECK(rlvr__write_file(ctx, inside, &b) == RLVR_OK);
    after = slurp(inside);
    CHECK(after.n == 9 && !memcmp(after.p, "{\"a\": 1}\n", 9));
    free(after.p);
    b.failed = true;
    CHECK(rlvr__write_file(ctx, inside, &b) == RLVR_ERROR_MEMORY && exists(inside));
    rlvr__buf_free(&b);
    remove(inside);
    remove(path);
    free(before.p);
}

static void test_memory(void)      /* each allocation fails once: a message, no leak, no damage */
{
    const char *const paths[] = {DATA "quant.gguf", DATA "types.safetensors", DATA "shards", "write"};
    char path[256], partial[300];
    snprintf(path, sizeof path, "%s/m.safetensors", folder);
    snprintf(partial, sizeof partial, "%s.partial", path);
    CHECK(save_plain(ctx, path) == RLVR_OK);
    bytes before = slurp(path);
    for (size_t i = 0; i < 4; i++)
        for (long until = 1; ; until++) {
            failing f;
            rlvr__tensors t;
            rlvr_ctx *poor = failing_open(&f, until);
            rlvr__str *list = NULL;
            rlvr_result r = i == 3 ? save_plain(poor, path) : rlvr__tensors_open(poor, &t, paths[i]);
            if (i == 0 && r == RLVR_OK && rlvr__gguf_strings(&t, "list.string", &list) < 0) r = RLVR_ERROR_MEMORY;
            bool out = f.until < 0;
            if (out != (r != RLVR_OK)) CHECK(!"an allocation failed and nothing was said");
            if (out && !strstr(rlvr_last_error(poor), "out of memory")) CHECK(!"the message says what is missing");
            rlvr__free(poor, list);
            if (i < 3 && (r == RLVR_OK || list)) rlvr__tensors_close(&t);
            if (i == 3 && (exists(partial) || !exists(path))) CHECK(!"the old file stays and no new one is left");
            rlvr_close(poor);
            if (f.live) CHECK(!"all memory is given back");
            if (!out) { REPORT("%s: %ld allocations to fail", paths[i], until - 1); break; }
        }
    bytes after = slurp(path);
    CHECK(after.n == before.n && !memcmp(after.p, before.p, before.n));
    free(before.p);
    free(after.p);
    remove(path);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    ctx = rlvr_open(&d);
    snprintf(folder, sizeof folder, "%s/rlvr_test_files_%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    if (!CHECK(ctx && mkdir(folder, 0700) == 0)) return test_done();
    test_formats();
    test_metadata();
    test_model();
    test_types();
    test_shards();
    test_damage(DATA "quant.gguf");
    test_damage(DATA "types.safetensors");
    test_damage(DATA "plain.safetensors");
    test_hostile_gguf();
    test_hostile_tensors();
    test_hostile_safetensors();
    test_write();
    test_write_fails();
    test_memory();
    CHECK(rmdir(folder) == 0);
    CHECK(ctx->blocks && !ctx->blocks->next);      /* everything was given back */
    rlvr_close(ctx);
    return test_done();
}
