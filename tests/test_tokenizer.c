/* Section 12: the tokenizer against the tokenizers library's own ids (tests/data), its properties, bad files, memory that
   runs out. */
#define RLVR_NO_BLOCK_REUSE      /* so that every allocation can fail, and AddressSanitizer sees each free */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

#define DATA "tests/data/"

static rlvr_ctx *ctx;
static bool quick;      /* RLVR_TEST_QUICK, where sanitizers make everything slow */
static uint32_t state = 12345;
static uint32_t draw(uint32_t n) { state = state * 1664525u + 1013904223u; return (uint32_t)((uint64_t)state * n >> 32); }

static rlvr_ctx *quiet_ctx(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    return rlvr_open(&d);
}

static bool said(const char *text)
{
    if (strstr(rlvr_last_error(ctx), text)) return true;
    printf("    it said: %s\n", rlvr_last_error(ctx));
    return false;
}

static char *read_text(const char *path, size_t *n)      /* with a NUL behind it */
{
    rlvr__file f;
    char *text = NULL;
    *n = 0;
    if (rlvr__file_open(ctx, path, &f) == RLVR_OK) {
        text = rlvr__strndup(ctx, (const char *)f.data, f.len);
        *n = f.len;
        rlvr__file_close(ctx, &f);
    }
    return text;
}

static void write_text(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (f) { fwrite(text, 1, n, f); fclose(f); }
}

static uint64_t fnv(uint64_t h, const int *ids, int n)      /* as tests/parity.py has it */
{
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) h = (h ^ ((uint32_t)ids[i] >> 8 * k & 255)) * 0x100000001b3u;
    return h;
}
static const uint64_t fnv_start = 0xcbf29ce484222325u;

static uint64_t hash_of(const rlvr__tokenizer *t, const char *s, size_t len, bool parse_special, uint64_t h)
{
    int *ids, n = rlvr__tok_encode(t, s, len, parse_special, &ids);
    if (n >= 0) h = fnv(h, ids, n);
    rlvr__free(ctx, ids);
    return h;
}

/* ---- decode(encode(x)) == x, and streams ---- */

/* Bytes without those that the vocabulary has no token for. Added tokens bring theirs along: none here has such a byte. */
static void put_known(const rlvr__tokenizer *t, rlvr__buf *b, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (t->byte_token[(unsigned char)s[i]] >= 0) rlvr__buf_add(b, s + i, 1);
}

static void put_lossy(rlvr__buf *b, const char *s, size_t len)      /* each piece that is no UTF-8 as U+FFFD */
{
    for (size_t at = 0; at < len;) {
        uint32_t c;
        int n = rlvr__utf8_read(s + at, len - at, &c);
        if (c == RLVR__NOT_UTF8) rlvr__buf_add(b, "\xef\xbf\xbd", 3);
        else rlvr__buf_add(b, s + at, (size_t)n);
        at += (size_t)n;
    }
}

static bool is_utf8(const char *s, size_t len)
{
    uint32_t c = 0;
    for (size_t at = 0; at < len; at += (size_t)rlvr__utf8_read(s + at, len - at, &c))
        if (c == RLVR__NOT_UTF8) return false;
    return c != RLVR__NOT_UTF8;
}

static bool same(const rlvr__buf *b, const char *s, size_t len) { return b->len == len && (!len || !memcmp(b->data, s, len)); }

/* The stream of an encoded text is what the whole of it decodes to, and UTF-8 after each token; that is the text itself, where
   it is not known that the vocabulary is damaged. */
static bool streams(const rlvr__tokenizer *t, const char *s, size_t len, bool parse_special, bool exact)
{
    rlvr__buf known = {ctx, NULL, 0, 0, false}, lossy = {ctx, NULL, 0, 0, false}, stream = {ctx, NULL, 0, 0, false};
    rlvr__tok_stream st;
    size_t n_text = 0;
    int *ids, n = rlvr__tok_encode(t, s, len, parse_special, &ids);
    char *text = rlvr__tok_decode(t, ids, n, true, &n_text);
    bool ok = n >= 0 && text && strlen(text) <= n_text;
    put_known(t, &known, s, len);
    if (ok && exact) ok = same(&known, text, n_text);
    memset(&st, 0, sizeof st);
    for (int i = 0; ok && i < n; i++) {
        size_t before = stream.len;
        rlvr__tok_stream_push(t, &st, ids[i], &stream);
        ok = is_utf8(stream.data + before, stream.len - before) && st.n < 4;
    }
    rlvr__tok_stream_flush(&st, &stream);
    if (ok) put_lossy(&lossy, text, n_text);
    if (ok) ok = same(&stream, lossy.data, lossy.len);
    rlvr__buf_free(&known);
    rlvr__buf_free(&lossy);
    rlvr__buf_free(&stream);
    rlvr__free(ctx, text);
    rlvr__free(ctx, ids);
    return ok;
}

static bool round_trip(const rlvr__tokenizer *t, const char *s, size_t len, bool parse_special)
{
    return streams(t, s, len, parse_special, true);
}

/* ---- the small tokenizer: added tokens of every kind ---- */

static rlvr__tokenizer *small(void)
{
    size_t n;
    char *text = read_text(DATA "tokenizer_small.json", &n);
    rlvr__tokenizer *t = text ? rlvr__tokenizer_from_json(ctx, "small.json", text, n) : NULL;
    rlvr__free(ctx, text);
    return t;
}

static bool same_ids(const rlvr__tokenizer *t, const char *s, size_t len, bool parse_special, const rlvr__json *want)
{
    int *ids, n = rlvr__tok_encode(t, s, len, parse_special, &ids), i = 0;
    bool ok = n == rlvr__json_count(want);
    RLVR__JSON_EACH(id, want)
        if (ok && rlvr__json_int(id, -1) != ids[i++]) ok = false;
    rlvr__free(ctx, ids);
    return ok;
}

static void test_small(void)
{
    rlvr__tokenizer *t = small(), *u = NULL;
    rlvr__buf written = {ctx, NULL, 0, 0, false};
    rlvr__file f;
    if (!CHECK(t && t->n == 433 && t->n_added == 13 && t->n_late == 4 && t->digits && t->regex)) return;
    char *json = t->json;      /* without the file's own text it is written anew; read back, it does the same */
    t->json = NULL;
    rlvr__tok_to_json(t, &written);
    t->json = json;
    CHECK(!written.failed && (u = rlvr__tokenizer_from_json(ctx, "written", written.data, written.len)) != NULL);
    if (!u || !CHECK(rlvr__file_open(ctx, DATA "tokenizer_small.jsonl", &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    static const char *const field[] = {"ids", "plain", "gpt2", "whole"};
    int wrong[4] = {0}, trips = 0, lines = 0;
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, "small.jsonl", it.text, it.len, it.line);
        size_t len;
        const char *s = rlvr__json_str(rlvr__json_get(j, "text"), &len);
        for (int k = 0; k < 4; k++) {
            const rlvr__json *want = rlvr__json_get(j, field[k]);
            if (!want) want = rlvr__json_get(j, "ids");
            t->digits = u->digits = k < 2;
            t->regex = u->regex = k < 3;
            bool ok = same_ids(t, s, len, k != 1, want) && same_ids(u, s, len, k != 1, want);
            if (!ok && wrong[k]++ < 3) printf("    line %lld, %s differs: %s\n", (long long)it.line, field[k], s);
        }
        trips += round_trip(t, s, len, true) && round_trip(t, s, len, false);
        lines++;
        rlvr__json_free(ctx, j);
    }
    CHECK(lines == 400 && trips == lines);
    for (int k = 0; k < 4; k++) CHECK(!wrong[k]);
    rlvr__file_close(ctx, &f);
    written.len = 0;
    rlvr__tok_to_json(t, &written);      /* a file's own text comes back as it was */
    CHECK(same(&written, t->json, strlen(t->json)));
    rlvr__buf_free(&written);
    rlvr__tokenizer_free(t);
    rlvr__tokenizer_free(u);
}

/* Merging by the book: look through the whole word for the lowest rank, join the leftmost such pair, again and again. */
static int merge_by_the_book(const rlvr__tokenizer *t, const char *s, int len, int *id)
{
    int n = 0;
    for (int i = 0; i < len; i++) {
        id[n] = t->byte_token[(unsigned char)s[i]];
        n += id[n] >= 0;
    }
    for (;;) {
        int best = INT_MAX, at = -1;
        for (int i = 0; i + 1 < n; i++)
            for (int m = 0; m < t->n_merges && m < best; m++)
                if (t->merges[m].left == id[i] && t->merges[m].right == id[i + 1]) { best = m; at = i; }
        if (at < 0) return n;
        id[at] = t->merges[best].result;
        n--;
        for (int i = at + 1; i < n; i++) id[i] = id[i + 1];
    }
}

static void test_merges(void)
{
    rlvr__tokenizer *t = small();
    static const char *const alphabet[] = {"the inraos", "th", "e", " ,.0123456789", "\xd0\xb0\xd1\x81\xd0\xb5", "abcdefghijklmnopqrstuvwxyz "};
    int bad[2] = {0, 0}, want[256];
    char s[256];
    if (!CHECK(t != NULL)) return;
    for (int round = 0; round < 3000; round++) {
        const char *a = alphabet[draw(6)];
        int len = 1 + (int)draw(round % 10 ? RLVR__SHORT_WORD : 256);
        for (int i = 0; i < len; i++) s[i] = a[draw((uint32_t)strlen(a))];
        int n = merge_by_the_book(t, s, len, want);
        for (int path = 0; path < 2; path++) {
            rlvr__encoder e;
            if (!path && len > RLVR__SHORT_WORD) continue;
            memset(&e, 0, sizeof e);
            e.t = t;
            if (path) rlvr__encode_long(&e, s, (size_t)len);
            else rlvr__encode_short(&e, s, (size_t)len);
            if (e.failed || e.n != n || memcmp(e.ids, want, (size_t)n * sizeof(int))) bad[path]++;
            rlvr__free(ctx, e.ids);
            rlvr__free(ctx, e.symbols);
            rlvr__free(ctx, e.heap);
        }
    }
    CHECK(!bad[0]);
    CHECK(!bad[1]);
    rlvr__tokenizer_free(t);
}

/* A byte without a token is gone before merging; of two equal merges the last one counts: both as the tokenizers library has
   it. Short words and long ones. */
static void test_odd_vocabularies(void)
{
    static const char drop[] = "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{\"vocab\":"
                               "{\"a\":0,\"c\":1,\"ac\":2},\"merges\":[\"a c\"]}}";
    static const char twice[] = "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{\"vocab\":"
                                "{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"bc\":4},\"merges\":[\"a b\",\"b c\",\"a b\"]}}";
    rlvr__tokenizer *d = rlvr__tokenizer_from_json(ctx, "drop", drop, sizeof drop - 1);
    rlvr__tokenizer *t = rlvr__tokenizer_from_json(ctx, "twice", twice, sizeof twice - 1);
    char s[90];
    for (int i = 0; i < 90; i++) s[i] = "abc"[i % 3];
    for (int words = 1; d && t && words <= 30; words++) {
        int *ids, n = rlvr__tok_encode(d, s, (size_t)words * 3, true, &ids), right = 0;
        for (int i = 0; i < n; i++) right += ids[i] == 2;
        CHECK(n == words && right == words);
        rlvr__free(ctx, ids);
        n = rlvr__tok_encode(t, s, (size_t)words * 3, true, &ids);
        right = 0;
        for (int i = 0; i < n; i++) right += ids[i] == (i % 2 ? 4 : 0);
        CHECK(n == 2 * words && right == n);
        rlvr__free(ctx, ids);
    }
    CHECK(d && t);
    rlvr__tokenizer_free(d);
    rlvr__tokenizer_free(t);
}

/* As the library cuts them; | stands between words. */
static void test_words(void)
{
    static const char *const want[] = {
        "it|'s| they|'re| I|'m| we|'ll| he|'d| I|'ve| don|'t", "IT|'|S", "'s|ain", "'| sad", "'re|st", "''|s|'t", " '|s", "'|l|'ll|l",
        "'d|'d|d", "'ve|x", "'m|m", "'\xe2\x80\x99|s", "a|  | b", "a| \n| b| ", "a| \n", "\n\n| x", "\t|\t|x", "  ",
        "a|\xc2\xa0|\xc2\xa0|b", "a| |\xe3\x80\x80|b", "x|1|y|22| 33", "1\xc2\xb2\xc2\xbd| \xe2\x91\xa0", "\xc3\xa9\xe6\x97\xa5| \xed\x95\x9c",
        "a|.|b|!?| ...", "_|a|_|1|-", "e|\xcc\x81|x", " \xcc\x81", "a|\xe2\x80\x8b|b",
        "a|\xff.\xc3|b",      /* no UTF-8: like punctuation */
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char text[128], got[256];
        size_t len = 0, out = 0;
        for (const char *c = want[i]; *c; c++)
            if (*c != '|') text[len++] = *c;
        for (size_t at = 0; at < len;) {
            size_t end = rlvr__word_end(text, len, at);
            if (!CHECK(end > at && end <= len)) break;
            if (at) got[out++] = '|';
            memcpy(got + out, text + at, end - at);
            out += end - at;
            at = end;
        }
        got[out] = 0;
        CHECK_STR(got, want[i]);
    }
}

/* Bytes of every kind, most of them no UTF-8. */
static void test_bytes_in(void)
{
    static const char *const piece[] = {"\xc3", "\xe2\x82", "\xf0\x9f\x99", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x80", "a", " ",
                                        "1", "\xc3\xa9", "\xf0\x9f\x99\x82", "<|end|>", "<|en", "<tool>", "\xc2\xa0", "'s", "\xe0\x9f"};
    rlvr__tokenizer *t = small();
    int bad = 0;
    char s[512];
    if (!CHECK(t != NULL)) return;
    for (int round = 0; round < 4000; round++) {
        size_t len = 0;
        for (int parts = 1 + (int)draw(12); parts > 0; parts--) {
            const char *p = piece[draw(sizeof piece / sizeof *piece)];
            if (draw(3)) { memcpy(s + len, p, strlen(p)); len += strlen(p); }
            else s[len++] = (char)draw(256);
        }
        char *exact = (char *)malloc(len);      /* so that a read past the end is seen */
        memcpy(exact, s, len);
        bad += !round_trip(t, exact, len, round & 1);
        free(exact);
    }
    CHECK(!bad);
    /* a stream of tokens that no text gave */
    for (int round = 0; round < 500; round++) {
        rlvr__buf whole = {ctx, NULL, 0, 0, false}, lossy = {ctx, NULL, 0, 0, false}, stream = {ctx, NULL, 0, 0, false};
        rlvr__tok_stream st;
        int ids[32];
        memset(&st, 0, sizeof st);
        for (int i = 0; i < 32; i++) {
            ids[i] = (int)draw(round & 1 ? 256 : 440) - (round % 7 == 0);      /* also ids that there are not */
            rlvr__tok_stream_push(t, &st, ids[i], &stream);
            if (!is_utf8(stream.data ? stream.data : "", stream.len)) bad++;
        }
        rlvr__tok_stream_flush(&st, &stream);
        rlvr__tok_decode_into(t, ids, 32, true, &whole);
        put_lossy(&lossy, whole.data, whole.len);
        bad += !same(&stream, lossy.data, lossy.len);
        rlvr__buf_free(&whole);
        rlvr__buf_free(&lossy);
        rlvr__buf_free(&stream);
    }
    CHECK(!bad);
    rlvr__tokenizer_free(t);
}

static void test_stream(void)
{
    rlvr__tokenizer *t = rlvr__tokenizer_bytes(ctx, NULL, 0);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__tok_stream st;
    memset(&st, 0, sizeof st);
    if (!CHECK(t && t->eos < 0)) return;
    static const int ids[] = {'a', 0xf0, 0x9f, 0x99, 0x82, 0xe2, 0x82, 'b', 0xc3};
    static const size_t len[] = {1, 1, 1, 1, 5, 5, 5, 9, 9};      /* a, then the whole face, then U+FFFD and b, then one that waits */
    for (int i = 0; i < 9; i++) {
        rlvr__tok_stream_push(t, &st, ids[i], &b);
        CHECK(b.len == len[i]);
    }
    rlvr__tok_stream_flush(&st, &b);
    rlvr__tok_stream_flush(&st, &b);
    CHECK_STR(b.data, "a\xf0\x9f\x99\x82\xef\xbf\xbd" "b\xef\xbf\xbd");
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
}

/* Two contexts in two threads do not meet (their n_threads do not matter here; the word brings this file to ThreadSanitizer). */
static void *load_and_encode(void *arg)
{
    rlvr_ctx *c = quiet_ctx();
    rlvr__json *j = c ? rlvr__json_load(c, DATA "tokenizer_small.json") : NULL;
    rlvr__file f;
    int64_t n = 0;
    if (j && rlvr__file_open(c, DATA "tokenizer_small.json", &f) == RLVR_OK) {
        for (int i = 0; i < 20; i++) {
            rlvr__tokenizer *t = rlvr__tokenizer_from_json(c, "small", (const char *)f.data, f.len);
            int *ids, count = t ? rlvr__tok_encode(t, "It's the answer.", 16, true, &ids) : -1;
            n += count;
            if (count >= 0) rlvr__free(c, ids);
            rlvr__tokenizer_free(t);
        }
        rlvr__file_close(c, &f);
    }
    rlvr_close(c);
    *(int64_t *)arg = n;
    return NULL;
}

static void test_threads(void)
{
    pthread_t other;
    int64_t n[2] = {-1, -2};
    if (!CHECK(pthread_create(&other, NULL, load_and_encode, &n[1]) == 0)) return;
    load_and_encode(&n[0]);
    pthread_join(other, NULL);
    CHECK(n[0] > 0 && n[0] == n[1]);
}

/* ---- SmolLM2 ---- */

static rlvr__tokenizer *smollm2(void)
{
    char path[1024];
    const char *home = getenv("HOME");
    snprintf(path, sizeof path, "%s/.cache/rlvr/SmolLM2-135M-Instruct.Q4_1.gguf", home ? home : "");
    const char *file = test_file("RLVR_MODEL", path);
    rlvr__tensors g;
    rlvr__tokenizer *t = NULL;
    if (!file || !CHECK(rlvr__tensors_open(ctx, &g, file) == RLVR_OK)) return NULL;
    double start = rlvr__now();
    CHECK((t = rlvr__tokenizer_from_gguf(ctx, &g, file)) != NULL);
    REPORT("loaded from GGUF in %.0f ms", (rlvr__now() - start) * 1e3);
    rlvr__tensors_close(&g);
    return t;
}

typedef struct fixture { rlvr__tensors t; const unsigned char *text, *ids; } fixture;
static uint64_t fixture_at(fixture *f, const char *name, int64_t i)      /* of an I64 tensor */
{
    const rlvr__tensor *x = rlvr__tensor_find(&f->t, name);
    return x && i < x->n && x->bytes == 8 * (size_t)x->n ? rlvr__read_u64(x->data + 8 * i) : 0;
}

static void test_smollm2_hostile(rlvr__tokenizer *t, rlvr__tokenizer *u)
{
    fixture f;
    memset(&f, 0, sizeof f);
    if (!CHECK(rlvr__tensors_open(ctx, &f.t, DATA "tokenizer_ref.safetensors") == RLVR_OK)) return;
    const rlvr__tensor *ends = rlvr__tensor_find(&f.t, "text_end"), *text = rlvr__tensor_find(&f.t, "text"), *ids = rlvr__tensor_find(&f.t, "ids");
    int wrong[4] = {0}, trips = 0;
    int64_t n = ends && text && ids ? ends->n : 0;
    for (int64_t i = 0, from = 0, first = 0; i < n; i++) {
        int64_t to = (int64_t)fixture_at(&f, "text_end", i), last = (int64_t)fixture_at(&f, "ids_end", i);
        if (!CHECK(to >= from && to <= text->n && last >= first && last <= ids->n)) break;
        const char *s = (const char *)text->data + from;
        size_t len = (size_t)(to - from);
        int *got, count = rlvr__tok_encode(t, s, len, true, &got);
        bool ok = count == last - first && (!count || !memcmp(got, ids->data + 4 * first, 4 * (size_t)count));
        wrong[0] += !ok;
        if (!ok && wrong[0] < 4) printf("    text %lld differs: %.*s\n", (long long)i, (int)len, s);
        if (count >= 0) wrong[3] += hash_of(u, s, len, true, fnv_start) != fnv(fnv_start, got, count);
        rlvr__free(ctx, got);
        wrong[1] += hash_of(t, s, len, false, fnv_start) != fixture_at(&f, "plain_hash", i);
        t->digits = false;
        wrong[2] += hash_of(t, s, len, true, fnv_start) != fixture_at(&f, "gpt2_hash", i);
        t->digits = true;
        trips += round_trip(t, s, len, i & 1);
        from = to;
        first = last;
    }
    CHECK(n == 2000 && trips == 2000);
    CHECK(!wrong[0]);      /* ids */
    CHECK(!wrong[1]);      /* special tokens as plain text */
    CHECK(!wrong[2]);      /* GPT-2's pre-tokeniser */
    CHECK(!wrong[3]);      /* written as tokenizer.json and read back */
    REPORT("%lld hostile texts: %d differences", (long long)n, wrong[0] + wrong[1] + wrong[2] + wrong[3]);
    rlvr__tensors_close(&f.t);
}

static void test_smollm2_gsm8k(rlvr__tokenizer *t, rlvr__tokenizer *u)
{
    const char *file = test_file("RLVR_GSM8K", "../shared/data/gsm8k/train.jsonl");
    size_t n, bytes = 0;
    fixture f;
    memset(&f, 0, sizeof f);
    if (!file || !CHECK(rlvr__tensors_open(ctx, &f.t, DATA "tokenizer_ref.safetensors") == RLVR_OK)) return;
    char *text = read_text(file, &n);
    rlvr__lines it = rlvr__lines_of(text ? text : "", n);
    int64_t line = 0, wrong = 0, again = 0, trips = 0, tokens = 0;
    double seconds = 0;
    static const char *const field[2] = {"question", "answer"};
    while (rlvr__lines_next(&it)) {
        if (quick && line % 16) { line++; continue; }
        rlvr__json *j = rlvr__json_parse(ctx, file, it.text, it.len, it.line);
        uint64_t h = fnv_start, h2 = fnv_start;
        for (int k = 0; k < 2; k++) {
            size_t len;
            const char *s = rlvr__json_str(rlvr__json_get(j, field[k]), &len);
            double start = rlvr__now();
            int *ids, count = s ? rlvr__tok_encode(t, s, len, true, &ids) : -1;
            seconds += rlvr__now() - start;
            bytes += len;
            if (count < 0) { wrong++; continue; }
            tokens += count;
            h = fnv(h, ids, count);
            rlvr__free(ctx, ids);
            if (line % 16 == 0) { h2 = hash_of(u, s, len, true, h2); trips += round_trip(t, s, len, true); }
        }
        wrong += h != fixture_at(&f, "gsm8k_hash", line);
        again += line % 16 == 0 && h != h2;
        line++;
        rlvr__json_free(ctx, j);
    }
    const rlvr__tensor *hash = rlvr__tensor_find(&f.t, "gsm8k_hash");
    CHECK(hash && line == hash->n && line == 7473);
    CHECK(!wrong);
    CHECK(!again && trips == 2 * ((line + 15) / 16));
    REPORT("%lld GSM8K questions and answers: %lld differences; %.1f MB/s, %lld tokens", (long long)(quick ? trips : 2 * line),
           (long long)wrong, (double)bytes / seconds * 1e-6, (long long)tokens);
    rlvr__free(ctx, text);
    rlvr__tensors_close(&f.t);
}

/* One word of a million bytes: n log n, where looking through it for each join would take hours. */
static void test_smollm2_long(rlvr__tokenizer *t)
{
    const int size = quick ? 1 << 17 : 1 << 20;
    char *s = RLVR__NEW(ctx, char, size);
    static const char *const kind[] = {"one letter", "random letters", "spaces", "random bytes", "digits", "special tokens"};
    for (int k = 0; s && k < 6; k++) {
        for (int i = 0; i < size; i++)
            s[i] = k == 0 ? 'a' : k == 1 ? (char)('a' + draw(26)) : k == 2 ? ' ' : k == 3 ? (char)draw(256) : k == 4 ? (char)('0' + draw(10)) : "<|im_end|>"[i % 10];
        double start = rlvr__now();
        int *ids, n = rlvr__tok_encode(t, s, (size_t)size, true, &ids);
        double seconds = rlvr__now() - start;
        CHECK(n > 0);
        CHECK_LE(seconds, 60);
        REPORT("%.3f MB of %s: %d tokens, %.2f s", size / 1048576.0, kind[k], n, seconds);
        rlvr__free(ctx, ids);
        CHECK(round_trip(t, s, (size_t)size, true));
    }
    rlvr__free(ctx, s);
}

static void test_smollm2(void)
{
    rlvr__tokenizer *t = smollm2(), *u = NULL;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (!t) return;
    int missing = 0;
    for (int i = 0; i < 256; i++) missing += t->byte_token[i] < 0;
    CHECK(t->n == 49152 && t->n_merges == 48900 && t->n_added == 17 && t->digits && t->regex && missing == 21);
    CHECK(t->bos == 1 && rlvr__tok_eos(t) == 2 && t->pad == 2 && t->unk == 0 && rlvr__tok_size(t) == 49152);
    CHECK(rlvr__tok_is_special(t, 2) && !rlvr__tok_is_special(t, 17) && rlvr__tok_is_special(t, -1) && rlvr__tok_is_special(t, 49152));
    CHECK_STR(t->system, "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    rlvr__tok_to_json(t, &b);
    CHECK(!b.failed && (u = rlvr__tokenizer_from_json(ctx, "written", b.data, b.len)) != NULL);
    if (u) {
        CHECK(u->n == t->n && u->n_merges == t->n_merges && !memcmp(u->merges, t->merges, (size_t)t->n_merges * sizeof *t->merges));
        CHECK(u->digits && u->regex && !memcmp(u->kind, t->kind, (size_t)t->n));
        test_smollm2_hostile(t, u);
        test_smollm2_gsm8k(t, u);
        test_smollm2_long(t);
    }
    rlvr__json *j = rlvr__json_load(ctx, DATA "smollm2_greedy.json");
    CHECK(j && rlvr__json_count(rlvr__json_get(j, "chat")) >= 4);
    RLVR__JSON_EACH(c, rlvr__json_get(j, "chat")) {
        rlvr_message m[8];
        int n = 0;
        RLVR__JSON_EACH(message, rlvr__json_get(c, "messages")) {
            m[n].role = rlvr__json_str(rlvr__json_get(message, "role"), NULL);
            m[n++].content = rlvr__json_str(rlvr__json_get(message, "content"), NULL);
        }
        b.len = 0;
        CHECK(rlvr__chat_format(t, m, n, &b) == RLVR_OK);
        CHECK_STR(b.data, rlvr__json_str(rlvr__json_get(c, "text"), NULL));
    }
    rlvr__json_free(ctx, j);
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
    rlvr__tokenizer_free(u);
}

/* ---- bytes as tokens ---- */

static void test_byte_tokenizer(void)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>", "<|\xc3\xa9nd|>"};
    rlvr__tokenizer *t = rlvr__tokenizer_bytes(ctx, special, 3), *u = NULL;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    int *ids;
    char all[256];
    if (!CHECK(t && t->n == 259 && t->eos == 258 && rlvr__tok_is_special(t, 256) && !rlvr__tok_is_special(t, 255))) return;
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    int n = rlvr__tok_encode(t, all, 256, true, &ids), right = 0;
    for (int i = 0; i < n; i++) right += ids[i] == i;
    CHECK(n == 256 && right == 256);
    rlvr__free(ctx, ids);
    n = rlvr__tok_encode(t, "a<|\xc3\xa9nd|>", 9, true, &ids);
    CHECK(n == 2 && ids[0] == 'a' && ids[1] == 258);
    size_t len;
    char *text = rlvr__tok_decode(t, ids, n, false, &len);
    CHECK(len == 1);
    CHECK_STR(text, "a");
    rlvr__free(ctx, text);
    rlvr__free(ctx, ids);
    n = rlvr__tok_encode(t, "<|im_end|>", 10, false, &ids);
    CHECK(n == 10 && ids[0] == '<');
    rlvr__free(ctx, ids);
    n = rlvr__tok_encode(t, NULL, 0, true, &ids);
    CHECK(n == 0 && ids);
    rlvr__free(ctx, ids);
    CHECK(round_trip(t, all, 256, true));
    rlvr__tok_to_json(t, &b);
    CHECK((u = rlvr__tokenizer_from_json(ctx, "bytes", b.data, b.len)) != NULL);
    CHECK(u && u->n == 259 && !u->digits && !u->regex && !memcmp(u->byte_token, t->byte_token, sizeof t->byte_token) && u->kind[258] == t->kind[258]);
    rlvr__tokenizer_free(u);
    rlvr__tokenizer_free(t);
    rlvr__buf_free(&b);
    static const char *const bad[][2] = {{"x", "<|end|>"}, {"", "<|end|>"}, {"<|end|>", "<|end|>"}, {"<|\xff|>", "<|end|>"}, {NULL, "<|end|>"}};
    for (int i = 0; i < 5; i++) CHECK(!rlvr__tokenizer_bytes(ctx, bad[i], 2) && said("special token"));
    CHECK(!rlvr__tokenizer_bytes(ctx, NULL, -1) && said("n_special"));
}

/* ---- chat ---- */

static void chat_is(rlvr__tokenizer *t, const char *chat_template, const char *role, const char *want)      /* want NULL: refused */
{
    rlvr_message m = {role, "hi"};
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__free(ctx, t->chat_template);
    rlvr__free(ctx, t->system);
    t->chat_template = t->system = NULL;
    CHECK(rlvr__tok_set_template(t, chat_template, chat_template ? strlen(chat_template) : 0) == RLVR_OK);
    rlvr_result r = rlvr__chat_format(t, &m, 1, &b);
    if (want) { CHECK(r == RLVR_OK); CHECK_STR(b.data, want); }
    else CHECK(r == RLVR_ERROR_UNSUPPORTED && said("raw"));
    rlvr__buf_free(&b);
}

static void test_chat(void)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    static const char plain[] = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
    rlvr__tokenizer *t = rlvr__tokenizer_bytes(ctx, special, 2), *none = rlvr__tokenizer_bytes(ctx, special, 1);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (!CHECK(t && none)) return;
    chat_is(t, NULL, "user", plain);
    chat_is(t, "{{ '<|im_start|>system\\nIt\\'s \\\\ me\\n<|im_end|>\\n' }}", "user",
            "<|im_start|>system\nIt's \\ me\n<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    chat_is(t, "{{ \"<|im_start|>system\nIt's me<|im_end|>\n\" }}", "system", "<|im_start|>system\nhi<|im_end|>\n<|im_start|>assistant\n");
    chat_is(t, "{{ '<|im_start|>system\\n' + m + '<|im_end|>' }}", "user", plain);      /* no text of its own */
    chat_is(t, "<|im_start|>system\n{{ m }}<|im_end|>", "user", plain);
    chat_is(t, "{% if x %}<|im_start|>system\nHm<|im_end|>\n", "user",
            "<|im_start|>system\nHm<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    chat_is(t, "{{ '<|im_start|>systematic", "user", plain);
    chat_is(t, "{{ '<|im_start|>system", "user", plain);
    chat_is(t, "{{ '<|im_start|>system\\", "user", plain);
    chat_is(t, "[INST] {{ m }} [/INST]", "user", NULL);
    chat_is(none, NULL, "user", "hi");
    chat_is(none, "<|im_start|>", "user", NULL);
    chat_is(t, "{{ '<|im_start|>system\\nA<|im_end|>\\n' }}", "system", "<|im_start|>system\nhi<|im_end|>\n<|im_start|>assistant\n");
    CHECK(rlvr__chat_format(t, NULL, 0, &b) == RLVR_OK);
    CHECK_STR(b.data, "<|im_start|>assistant\n");
    b.len = 0;
    rlvr_message m[2] = {{"user", "a"}, {"user", NULL}};
    CHECK(rlvr__chat_format(t, m, 2, &b) == RLVR_ERROR_ARGUMENT && said("message 1"));
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
    rlvr__tokenizer_free(none);
}

/* ---- a folder ---- */

static rlvr__tokenizer *load_with(const char *folder, const char *config, const char *jinja)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    remove(path);
    if (config) write_text(path, config, strlen(config));
    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    remove(path);
    if (jinja) write_text(path, jinja, strlen(jinja));
    return rlvr__tokenizer_load(ctx, folder);
}

static void test_folder(void)
{
    char folder[64], path[128];
    size_t n;
    snprintf(folder, sizeof folder, "build/test_tokenizer.%d", (int)getpid());
    if (!CHECK(rlvr__make_dir(ctx, folder) == RLVR_OK)) return;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    CHECK(!rlvr__tokenizer_load(ctx, folder) && said("tokenizer.json"));
    char *text = read_text(DATA "tokenizer_small.json", &n);
    write_text(path, text, n);
    rlvr__tokenizer *t = load_with(folder, NULL, NULL);
    CHECK(t && t->eos == t->im_end && t->im_end == 422 && !t->chat_template);
    rlvr__tokenizer_free(t);
    t = load_with(folder, "{\"eos_token\": \"<|end|>\", \"bos_token\": {\"content\": \"<|im_start|>\"}, \"pad_token\": null, \"unk_token\": \"no\","
                  "\"chat_template\": \"{{ '<|im_start|>system\\nA<|im_end|>' }}\"}", "other");
    CHECK(t && t->eos == 420 && t->bos == 421 && t->pad == -1 && t->unk == -1 && t->system && !strcmp(t->system, "A"));
    rlvr__buf b = {ctx, NULL, 0, 0, false};      /* written and read back */
    if (t) {
        char *chat = rlvr__strndup(ctx, t->chat_template, strlen(t->chat_template));
        rlvr__tok_config_to_json(t, &b);
        rlvr__tokenizer_free(t);
        t = load_with(folder, b.data, NULL);
        CHECK(t && t->eos == 420 && t->bos == 421 && t->pad == -1 && t->unk == -1);
        CHECK_STR(t ? t->chat_template : NULL, chat);
        rlvr__free(ctx, chat);
    }
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
    t = load_with(folder, "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"x\"}, {\"name\": \"default\", \"template\": \"y\"}]}", "z");
    CHECK_STR(t ? t->chat_template : NULL, "y");
    rlvr__tokenizer_free(t);
    t = load_with(folder, "{}", "z");
    CHECK_STR(t ? t->chat_template : NULL, "z");
    rlvr__tokenizer_free(t);
    CHECK(!load_with(folder, "{", NULL) && said("tokenizer_config.json:1"));
    CHECK(!load_with(folder, "{\"add_prefix_space\": true}", NULL) && said("add_prefix_space"));
    remove(path);
    CHECK(!load_with(folder, NULL, NULL) && said("tokenizer.json"));
    rlvr__free(ctx, text);
    rmdir(folder);
}

/* ---- bad files ---- */

static void refuses(const char *json, const char *what)
{
    rlvr__tokenizer *t = rlvr__tokenizer_from_json(ctx, "bad.json", json, strlen(json));
    if (!test_check(!t && said(what) && said("bad.json"), __FILE__, __LINE__, what)) printf("    %s\n", json);
    rlvr__tokenizer_free(t);
}

#define LEVEL "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define MODEL(vocab, merges) "\"model\":{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[" merges "]}"
#define PRE(text) "{\"pre_tokenizer\":" text "," MODEL("\"a\":0", "") "}"
#define WITH(field) "{" field "," LEVEL "," MODEL("\"a\":0", "") "}"
#define INSIDE(field) "{" LEVEL ",\"model\":{\"type\":\"BPE\"," field ",\"vocab\":{\"a\":0},\"merges\":[]}}"
#define ADDED(field) "{\"added_tokens\":[{\"id\":1,\"content\":\"<x>\"," field "}]," LEVEL "," MODEL("\"a\":0", "") "}"

static void test_bad_json(void)
{
    rlvr__tokenizer *t;
    static const char *const good[] = {
        WITH("\"normalizer\":null"), INSIDE("\"dropout\":0.0"), INSIDE("\"continuing_subword_prefix\":\"\",\"unk_token\":null"),
        ADDED("\"special\":true"), "{" LEVEL ",\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\",[\"a\",\"b\"]]}}",
        WITH("\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":{\"type\":\"ByteLevel\"}"),
        PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}]},"
            "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"),
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<x>\"}]," LEVEL "," MODEL("", "") "}", ADDED("\"content\":\"\""),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        CHECK((t = rlvr__tokenizer_from_json(ctx, "good.json", good[i], strlen(good[i]))) != NULL);
        if (t) CHECK(streams(t, "aab<x>", 6, true, false) && round_trip(t, "aab", 3, true));
        rlvr__tokenizer_free(t);
    }
    refuses("", "1:1");
    refuses("[]", "pre_tokenizer");
    refuses("{}", "pre_tokenizer");
    refuses("{" LEVEL "}", "model.vocab");
    refuses("{" LEVEL ",\"model\":{\"vocab\":[],\"merges\":[]}}", "model.vocab");
    refuses("{" LEVEL ",\"model\":{\"vocab\":{\"a\":0},\"merges\":{}}}", "model.merges");
    refuses("{" LEVEL "," MODEL("", "") "}", "model.vocab");
    refuses("{" LEVEL ",\"model\":{\"type\":\"WordPiece\"}}", "model.type");
    refuses(WITH("\"normalizer\":{\"type\":\"NFC\"}"), "normalizer");
    refuses(WITH("\"post_processor\":{\"type\":\"TemplateProcessing\"}"), "post_processor");
    refuses(WITH("\"decoder\":{\"type\":\"Metaspace\"}"), "decoder");
    refuses(INSIDE("\"byte_fallback\":true"), "byte_fallback");
    refuses(INSIDE("\"ignore_merges\":true"), "ignore_merges");
    refuses(INSIDE("\"dropout\":0.1"), "dropout");
    refuses(INSIDE("\"unk_token\":\"a\""), "unk_token");
    refuses(INSIDE("\"end_of_word_suffix\":\"</w>\""), "end_of_word_suffix");
    refuses(INSIDE("\"continuing_subword_prefix\":\"##\""), "continuing_subword_prefix");
    refuses(PRE("null"), "pre_tokenizer");
    refuses(PRE("{\"type\":\"Whitespace\"}"), "pre_tokenizer");
    refuses(PRE("{\"type\":\"ByteLevel\"}"), "add_prefix_space");
    refuses(PRE("{\"type\":\"Digits\",\"individual_digits\":true}"), "no ByteLevel");
    refuses(PRE("{\"type\":\"Sequence\",\"pretokenizers\":[]}"), "no ByteLevel");
    refuses(PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":false}]}"), "individual_digits");
    refuses(PRE("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false},{\"type\":\"Digits\"}]}"), "behind ByteLevel");
    refuses(ADDED("\"lstrip\":true"), "lstrip");
    refuses(ADDED("\"rstrip\":true"), "rstrip");
    refuses(ADDED("\"single_word\":true"), "single_word");
    refuses(ADDED("\"id\":2"), "past the number");
    refuses(ADDED("\"id\":0"), "id of a vocabulary token");
    refuses(ADDED("\"id\":null"), "has no id");
    refuses(ADDED("\"id\":-1"), "has no id");
    refuses(ADDED("\"id\":99999999999999999999"), "has no id");
    refuses(ADDED("\"content\":1"), "has no content");
    refuses(ADDED("\"content\":\"a\\u0000\""), "NUL");
    refuses("{\"added_tokens\":[1]," LEVEL "," MODEL("\"a\":0", "") "}", "has no content");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"b\":0", "") "}", "another one");
    refuses("{" LEVEL "," MODEL("\"a\":1,\"b\":2", "") "}", "past the number");
    refuses("{\"added_tokens\":[{\"id\":2,\"content\":\"<x>\"},{\"id\":2,\"content\":\"<x>\"}]," LEVEL "," MODEL("\"a\":0", "") "}", "no gaps");
    refuses("{" LEVEL "," MODEL("\"a\":\"0\"", "") "}", "has no id");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"b\":1", "\"a b\"") "}", "merge 0 joins \"a\" and \"b\"");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "\"a a\",\"a\"") "}", "merge 1 joins \"a\" and \"\"");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "\"\"") "}", "merge 0");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "[\"a\"]") "}", "no pair of strings");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "[\"a\",1]") "}", "no pair of strings");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "3") "}", "no pair of strings");
    refuses("{" LEVEL "," MODEL("\"a\":0,\"aa\":1", "\"a\\u0000 a\"") "}", "no pair of strings");
}

/* Every truncation is refused; whatever else befalls a file, it is loaded or refused, and what was loaded can be used. */
static void test_damaged_json(void)
{
    size_t n;
    char *text = read_text(DATA "tokenizer_small.json", &n), path[] = "damaged";
    static const char sample[] = "It's <|end|><tool>x, the answer: 42  \xe2\x82";
    int loaded = 0, bad = 0, rounds = quick ? 500 : 3000;
    if (!CHECK(text != NULL)) return;
    for (size_t cut = 0; cut < n - 1; cut += 1 + cut / 200) {
        char *exact = (char *)malloc(cut);
        memcpy(exact, text, cut);
        rlvr__tokenizer *t = rlvr__tokenizer_from_json(ctx, path, exact, cut);
        bad += t != NULL;
        rlvr__tokenizer_free(t);
        free(exact);
    }
    CHECK(!bad);
    for (int round = 0; round < rounds; round++) {
        char *copy = (char *)malloc(n);
        memcpy(copy, text, n);
        for (int changes = 1 + (int)draw(3); changes > 0; changes--) {
            static const char bytes[] = "0123456789\"[]{}:, abtn\\<>";
            size_t at = draw((uint32_t)n);
            copy[at] = draw(4) ? bytes[draw(sizeof bytes - 1)] : (char)draw(256);
        }
        rlvr__tokenizer *t = rlvr__tokenizer_from_json(ctx, path, copy, n);
        free(copy);
        if (!t) continue;
        loaded++;
        bad += !streams(t, sample, sizeof sample - 1, true, false);
        rlvr__tokenizer_free(t);
    }
    CHECK(!bad);
    CHECK(loaded > 0 && loaded < rounds);
    rlvr__free(ctx, text);
}

/* ---- GGUF files made here: only metadata ---- */

static void put_u32(rlvr__buf *b, uint32_t v) { rlvr__buf_add(b, &v, 4); }
static void put_u64(rlvr__buf *b, uint64_t v) { rlvr__buf_add(b, &v, 8); }
static void put_str(rlvr__buf *b, const char *s, size_t n) { put_u64(b, n); rlvr__buf_add(b, s, n); }
static void put_key(rlvr__buf *b, const char *key, uint32_t type) { put_str(b, key, strlen(key)); put_u32(b, type); }
static void put_text(rlvr__buf *b, const char *key, const char *s) { put_key(b, key, RLVR__GGUF_STRING); put_str(b, s, strlen(s)); }
static void put_list(rlvr__buf *b, const char *key, const char *const *list, int n)
{
    put_key(b, key, RLVR__GGUF_ARRAY);
    put_u32(b, RLVR__GGUF_STRING);
    put_u64(b, (uint64_t)n);
    for (int i = 0; i < n; i++) put_str(b, list[i], strlen(list[i]));
}

typedef struct gguf { const char *model, *pre; const char *const *token; int n; const char *const *merge; int n_merges; int bos, nul; } gguf;

static rlvr__tokenizer *from_gguf(const gguf *g)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__tensors t;
    char path[64];
    static const uint32_t type[] = {3, 1, 1, 1, 4, 5};
    snprintf(path, sizeof path, "build/test_tokenizer.%d.gguf", (int)getpid());
    rlvr__buf_add(&b, "GGUF", 4);
    put_u32(&b, 3);
    put_u64(&b, 0);
    put_u64(&b, (uint64_t)(4 + (g->model != NULL) + (g->pre != NULL) + (g->merge != NULL) + g->bos));
    if (g->model) put_text(&b, "tokenizer.ggml.model", g->model);
    if (g->pre) put_text(&b, "tokenizer.ggml.pre", g->pre);
    put_list(&b, "tokenizer.ggml.tokens", g->token, g->n);
    if (g->nul) b.data[b.len - 1] = 0;
    if (g->merge) put_list(&b, "tokenizer.ggml.merges", g->merge, g->n_merges);
    put_key(&b, "tokenizer.ggml.token_type", RLVR__GGUF_ARRAY);
    put_u32(&b, RLVR__GGUF_I32);
    put_u64(&b, 6);
    for (int i = 0; i < 6; i++) put_u32(&b, type[i]);
    put_key(&b, "tokenizer.ggml.eos_token_id", RLVR__GGUF_U32);
    put_u32(&b, 0);
    put_key(&b, "tokenizer.ggml.bos_token_id", RLVR__GGUF_U32);
    put_u32(&b, 77);      /* there is none */
    if (g->bos) { put_key(&b, "tokenizer.ggml.add_bos_token", RLVR__GGUF_BOOL); rlvr__buf_add(&b, "\1", 1); }
    write_text(path, b.data, b.len);
    rlvr__buf_free(&b);
    rlvr__tokenizer *tok = NULL;
    if (CHECK(rlvr__tensors_open(ctx, &t, path) == RLVR_OK)) {
        tok = rlvr__tokenizer_from_gguf(ctx, &t, "some.gguf");
        rlvr__tensors_close(&t);
    }
    remove(path);
    return tok;
}

static void test_gguf(void)
{
    static const char *const token[] = {"<|end|>", "a", "\xc4\xa0", "\xc4\xa0" "a", "a b", "\xe6\x97\xa5"}, *const merge[] = {"\xc4\xa0 a"};
    const gguf good = {"gpt2", "smollm", token, 6, merge, 1, 0, 0};
    gguf g = good;
    int *ids;
    rlvr__tokenizer *t = from_gguf(&good), *u = NULL;
    if (CHECK(t && t->eos == 0 && t->bos == -1 && t->digits && t->regex && t->n_added == 2)) {
        int n = rlvr__tok_encode(t, " aa ba<|end|>", 13, true, &ids);
        CHECK(n == 4 && ids[0] == 3 && ids[1] == 4 && ids[2] == 1 && ids[3] == 0);      /* "a b" is the user's own token */
        rlvr__free(ctx, ids);
        CHECK(!rlvr__tok_is_special(t, 4) && t->kind[5] == RLVR__TOKEN_VERBATIM);
        rlvr__buf b = {ctx, NULL, 0, 0, false};
        rlvr__tok_to_json(t, &b);
        CHECK((u = rlvr__tokenizer_from_json(ctx, "again", b.data, b.len)) != NULL);
        CHECK(u && u->n == 6 && !memcmp(u->kind, t->kind, 6) && !memcmp(u->begin, t->begin, 7 * sizeof *t->begin));
        rlvr__buf_free(&b);
        rlvr__tokenizer_free(u);
    }
    rlvr__tokenizer_free(t);
    g.pre = "gpt-2";
    CHECK((t = from_gguf(&g)) != NULL && !t->digits);
    rlvr__tokenizer_free(t);
    g.pre = NULL;
    CHECK((t = from_gguf(&g)) != NULL && !t->digits);
    rlvr__tokenizer_free(t);
    g.pre = "default";
    CHECK(!from_gguf(&g) && said("tokenizer.ggml.pre is \"default\"") && said("some.gguf"));
    g = good;
    g.model = "llama";
    CHECK(!from_gguf(&g) && said("tokenizer.ggml.model is \"llama\""));
    g.model = NULL;
    CHECK(!from_gguf(&g) && said("tokenizer.ggml.model is \"\""));
    g = good;
    g.bos = 1;
    CHECK(!from_gguf(&g) && said("add_bos_token"));
    g = good;
    g.merge = NULL;
    CHECK(!from_gguf(&g) && said("tokenizer.ggml.merges"));
    g = good;
    g.n = 0;
    CHECK(!from_gguf(&g) && said("tokenizer.ggml.tokens"));
    g = good;
    g.nul = 1;
    CHECK(!from_gguf(&g) && said("token 5"));
    static const char *const broken[] = {"<|end|>", "a", "\xff"}, *const joins[] = {"a b"}, *const single[] = {"a"};
    g = good;
    g.token = broken;
    g.n = 3;
    CHECK(!from_gguf(&g) && said("token 2 is not UTF-8"));
    g = good;
    g.merge = joins;
    CHECK(!from_gguf(&g) && said("merge 0 joins \"a\" and \"b\""));
    g.merge = single;
    CHECK(!from_gguf(&g) && said("merge 0 joins \"a\" and \"\""));
}

/* ---- memory that runs out, at every allocation in turn ---- */

typedef struct scarce { int64_t left, live; bool once; } scarce;      /* allocations left, then one fails, or all from there on */
static void *scarce_alloc(void *user, void *p, size_t n)
{
    scarce *s = (scarce *)user;
    (void)p;
    int64_t left = s->left--;
    if (s->once ? left == 0 : left <= 0) return NULL;
    s->live++;
    return malloc(n);
}
static void scarce_free(void *user, void *p) { ((scarce *)user)->live -= p != NULL; free(p); }

/* Everything once. True if nothing failed. */
static bool use_all(rlvr_ctx *c, const char *json, size_t n, const char *folder)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    static const rlvr_message m = {"user", "hi"};
    rlvr__tokenizer *t = rlvr__tokenizer_from_json(c, "j", json, n), *u = rlvr__tokenizer_bytes(c, special, 2), *l = rlvr__tokenizer_load(c, folder);
    rlvr__buf b = {c, NULL, 0, 0, false};
    rlvr__tok_stream st;
    int *ids = NULL, count = -1;
    char *text = NULL, word[300];
    memset(&st, 0, sizeof st);
    memset(word, 'e', sizeof word);
    if (t) count = rlvr__tok_encode(t, word, sizeof word, true, &ids);
    if (t && count >= 0) text = rlvr__tok_decode(t, ids, count, true, NULL);
    if (t) for (int i = 0; i < count; i++) rlvr__tok_stream_push(t, &st, ids[i], &b);
    bool ok = t && u && l && text && !b.failed;
    if (u) ok = rlvr__chat_format(u, &m, 1, &b) == RLVR_OK && ok;
    if (u) { rlvr__tok_to_json(u, &b); rlvr__tok_config_to_json(u, &b); }
    ok = ok && !b.failed;
    rlvr__free(c, ids);
    rlvr__free(c, text);
    rlvr__buf_free(&b);
    rlvr__tokenizer_free(t);
    rlvr__tokenizer_free(u);
    rlvr__tokenizer_free(l);
    return ok;
}

static void test_memory(void)
{
    char folder[64], path[128];
    size_t n;
    char *json = read_text(DATA "tokenizer_small.json", &n);
    snprintf(folder, sizeof folder, "build/test_tokenizer.%d", (int)getpid());
    if (!CHECK(json && rlvr__make_dir(ctx, folder) == RLVR_OK)) return;
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    write_text(path, json, n);
    rlvr__tokenizer_free(load_with(folder, "{\"eos_token\": \"<|end|>\"}", "<|im_start|>system\nA<|im_end|>"));
    scarce s = {0, 0, false};
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.realloc_fn = scarce_alloc;
    d.free_fn = scarce_free;
    d.alloc_user = &s;
    s.live = 0;
    s.left = INT64_MAX;
    rlvr_ctx *c = rlvr_open(&d);
    int64_t base = s.live, fails = 0, leaks = 0, mute = 0, unnoticed = 0;
    for (int mode = 0; c && mode < 2; mode++) {
        bool failed = true;
        s.once = mode;
        for (int64_t k = 0; failed && k < 10000; k++) {
            s.left = k;
            c->error[0] = 0;
            bool ok = use_all(c, json, n, folder);
            failed = s.left < 0;
            fails += failed;
            leaks += s.live != base;
            unnoticed += failed && ok;
            mute += failed && !strstr(rlvr_last_error(c), "memory");
        }
        CHECK(!failed);
    }
    CHECK(fails > 100 && !leaks && !mute && !unnoticed);
    REPORT("%lld times an allocation failed", (long long)fails);
    rlvr_close(c);
    CHECK(s.live == 0);
    remove(path);
    CHECK(!load_with(folder, NULL, NULL));
    rmdir(folder);
    rlvr__free(ctx, json);
}

static void test_letters(void)
{
    int seen[324] = {0}, bad = 0;
    for (int i = 0; i < 256; i++) {
        uint32_t l = rlvr__byte_letter(i);
        bad += l >= 324 || seen[l]++ || rlvr__letter_byte(l) != i;
    }
    for (uint32_t l = 0; l < 70000; l++) bad += rlvr__letter_byte(l) >= 0 && (l >= 324 || !seen[l]);
    CHECK(!bad && rlvr__byte_letter(' ') == 0x120 && rlvr__byte_letter('\n') == 0x10a && rlvr__byte_letter(0xad) == 0x143);
    int64_t count[4] = {0}, numeric = 0;      /* as tests/unicode.py measures them */
    for (uint32_t c = 0; c < 0x110000; c++) { count[rlvr__class_of(c)]++; numeric += rlvr__is_numeric(c); }
    CHECK(count[RLVR__LETTER] == 141028 && count[RLVR__NUMBER] == 1911 && count[RLVR__SPACE] == 25 && numeric == 1924);
    CHECK(rlvr__class_of(RLVR__NOT_UTF8) == RLVR__OTHER && rlvr__class_of(0xd800) == RLVR__OTHER);
}

int main(void)
{
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    ctx = quiet_ctx();
    if (!CHECK(ctx != NULL)) return test_done();
    const rlvr__block *before = ctx->blocks;
    CHECK(rlvr__make_dir(ctx, "build") == RLVR_OK);
    test_letters();
    test_small();
    test_merges();
    test_odd_vocabularies();
    test_words();
    test_bytes_in();
    test_stream();
    test_byte_tokenizer();
    test_chat();
    test_folder();
    test_bad_json();
    test_damaged_json();
    test_gguf();
    test_memory();
    test_threads();
    test_smollm2();
    CHECK(ctx->blocks == before);      /* nothing was left behind */
    rlvr_close(ctx);
    return test_done();
}
