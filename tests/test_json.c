/* Section 10: JSON, JSONL, task lists. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"
#include <iconv.h>
#include <locale.h>

static rlvr_ctx *ctx;

/* ---- a context whose n-th allocation fails, and which counts what is not given back ---- */

typedef struct failing { long until, live; } failing;
static void *failing_alloc(void *user, void *p, size_t n)
{
    failing *f = (failing *)user;
    (void)p;
    if (f->until-- <= 0) return NULL;
    f->live++;
    return malloc(n);
}
static void failing_free(void *user, void *p) { ((failing *)user)->live -= p != NULL; free(p); }

static rlvr_ctx *failing_open(failing *f)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    d.realloc_fn = failing_alloc;
    d.free_fn = failing_free;
    d.alloc_user = f;
    f->until++;      /* the context's second block is not what is tested here */
    return rlvr_open(&d);
}

/* Parses a copy that ends where its block ends, so that AddressSanitizer sees each byte read too many. */
static rlvr__json *parse(const char *text, size_t n)
{
    char *copy = (char *)malloc(n ? n : 1);
    memcpy(copy, text, n);
    rlvr__json *j = rlvr__json_parse(ctx, "f", copy, n, 1);
    free(copy);
    return j;
}

static void dump(rlvr__buf *b, const rlvr__json *j)      /* the tree as text again, without white space */
{
    if (j->key) { rlvr__json_put_string(b, j->key, j->key_len); rlvr__buf_add(b, ":", 1); }
    switch (j->type) {
    case RLVR__JSON_NULL: rlvr__buf_add(b, "null", 4); break;
    case RLVR__JSON_BOOL: rlvr__buf_addf(b, "%s", j->number != 0 ? "true" : "false"); break;
    case RLVR__JSON_NUMBER: rlvr__buf_add(b, j->text, j->len); break;
    case RLVR__JSON_STRING: rlvr__json_put_string(b, j->text, j->len); break;
    default:
        rlvr__buf_add(b, j->type == RLVR__JSON_ARRAY ? "[" : "{", 1);
        RLVR__JSON_EACH(item, j) {
            dump(b, item);
            if (item->next) rlvr__buf_add(b, ",", 1);
        }
        rlvr__buf_add(b, j->type == RLVR__JSON_ARRAY ? "]" : "}", 1);
    }
}

static void accepts(const char *text, const char *same)      /* same: how dump() writes it; NULL: as it is */
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__json *j = parse(text, strlen(text));
    if (!CHECK(j != NULL)) { printf("    %s: %s\n", text, rlvr_last_error(ctx)); return; }
    dump(&b, j);
    CHECK_STR(b.data, same ? same : text);
    rlvr__buf_free(&b);
    rlvr__json_free(ctx, j);
}

static void rejects_n(const char *text, size_t n, const char *message)
{
    rlvr__json *j = parse(text, n);
    if (!CHECK(j == NULL)) { printf("    %s\n", text); rlvr__json_free(ctx, j); return; }
    if (!CHECK(!strncmp(rlvr_last_error(ctx), message, strlen(message))))
        printf("    %s: \"%s\", not \"%s\"\n", text, rlvr_last_error(ctx), message);
}
static void rejects(const char *text, const char *message) { rejects_n(text, strlen(text), message); }

static void test_grammar(void)
{
    accepts("null", NULL); accepts("true", NULL); accepts("false", NULL); accepts("\"\"", NULL); accepts("0", NULL);
    accepts("[]", NULL); accepts("{}", NULL); accepts("-0", NULL); accepts("-1.50e+3", NULL); accepts("1E5", NULL);
    accepts(" \t\r\n[ 1 , 2 ] \n", "[1,2]");
    accepts("[[],[[]],{},{\"a\":{\"b\":[1,{\"c\":null}]}},\"x\"]", NULL);
    accepts("{ \"a\" : 1 , \"b\" : [ true , false ] }", "{\"a\":1,\"b\":[true,false]}");
    accepts("{\"\":0}", NULL);
    accepts("{\"a\":1,\"a\":2}", NULL);
    accepts("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    accepts("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\uD83D\\uDE00\"",
            "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf0\x9f\x98\x80\"");
    accepts("\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\"");
    accepts("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\"",
            NULL);
    accepts("\xef\xbb\xbf[1]", "[1]");

    rejects("", "f:1:1: the text ends where a JSON value");
    rejects("  ", "f:1:3: the text ends");
    rejects("[1,2", "f:1:5: the text ends where a comma or ]");
    rejects("[1,]", "f:1:4: expected a JSON value, found ]");
    rejects("[,1]", "f:1:2: expected a JSON value, found ,");
    rejects("[1 2]", "f:1:4: expected a comma or ] behind an item, found 2");
    rejects("[1}", "f:1:3: expected a comma or ]");
    rejects("{\"a\" 1}", "f:1:6: expected a colon");
    rejects("{\"a\":1,}", "f:1:8: expected a key in double quotes, found }");
    rejects("{a:1}", "f:1:2: expected a key in double quotes, found a");
    rejects("{'a':1}", "f:1:2: expected a key in double quotes, found '; JSON strings take double quotes");
    rejects("{\"a\":1 \"b\":2}", "f:1:8: expected a comma or }");
    rejects("{1:2}", "f:1:2: expected a key");
    rejects("nul", "f:1:1: expected a JSON value");
    rejects("True", "f:1:1: expected a JSON value, found T");
    rejects("nullx", "f:1:5: expected the end of the text, found x");
    rejects("1 2", "f:1:3: expected the end of the text, found 2");
    rejects("NaN", "f:1:1:"); rejects("Infinity", "f:1:1:"); rejects("-Infinity", "f:1:2: expected a digit");
    rejects("01", "f:1:2: a number may not begin with 0"); rejects("-01", "f:1:3: a number");
    rejects("1.", "f:1:3: the text ends where a digit"); rejects(".5", "f:1:1:"); rejects("+1", "f:1:1:");
    rejects("1e", "f:1:3:"); rejects("1e+", "f:1:4:"); rejects("1.e1", "f:1:3: expected a digit"); rejects("0x1", "f:1:2:");
    rejects("-", "f:1:2:"); rejects("1e400", "f:1:1: the number is too large");
    rejects("[1,-1e999]", "f:1:4: the number is");
    rejects("\"abc", "f:1:5: the text ends where the end of a string");
    rejects("\"a\tb\"", "f:1:3: byte 0x09 inside a string; write it as \\u0009");
    rejects("\"a\nb\"", "f:1:3: byte 0x0a"); rejects_n("\"a\0b\"", 5, "f:1:3: byte 0x00"); rejects_n("[\0]", 3, "f:1:2:");
    rejects("\"\\x41\"", "f:1:3: expected one of"); rejects("\"\\u12\"", "f:1:6: expected a hexadecimal digit");
    rejects("\"\\u12g4\"", "f:1:6: expected a hexadecimal digit of \\uXXXX, found g");
    rejects("\"\\", "f:1:3: the text ends");
    rejects("\"\\ud800\"", "f:1:2: \\ud800 is half"); rejects("\"\\ude00\"", "f:1:2: \\ude00 is half");
    rejects("\"\\ud800\\u0041\"", "f:1:2: \\ud800 is half"); rejects("\"\\ud83d\\ud83d\"", "f:1:2:");
    rejects("\"\xc3\xa9\xff\"", "f:1:3: byte 0xff is not UTF-8"); rejects("\"\xed\xa0\x80\"", "f:1:2: byte 0xed");
    rejects("\"\xc0\x80\"", "f:1:2: byte 0xc0"); rejects("\"\xf4\x90\x80\x80\"", "f:1:2:"); rejects("\"\xe2\x82", "f:1:2:");
    rejects("// c\n1", "f:1:1:"); rejects("[1]\n// c", "f:2:1:"); rejects("\xef\xbb\xbf", "f:1:1: the text ends");
    rejects("{\"a\": 1,\n \"b\": [2,\n  3,\n  oops]}", "f:4:3: expected a JSON value, found o");
    rejects("[\"\xc3\xa9\xc3\xa9\", x]", "f:1:8:");      /* columns count characters */
    rejects("\x01", "f:1:1: expected a JSON value, found byte 0x01");
    rejects("\xff", "f:1:1: expected a JSON value, found byte 0xff");

    rlvr__json *j = rlvr__json_parse(ctx, "tasks.jsonl", "{", 1, 41);
    CHECK(!j && !strncmp(rlvr_last_error(ctx), "tasks.jsonl:41:2: the text ends", 31));
}

static void test_depth(void)
{
    static char text[2000001];
    int most = RLVR__JSON_DEPTH;
    memset(text, '[', (size_t)most);
    memset(text + most, ']', (size_t)most);
    rlvr__json *j = parse(text, (size_t)most * 2);
    CHECK(j != NULL);
    rlvr__json_free(ctx, j);
    rlvr__buf b = {ctx, NULL, 0, 0, false};      /* side by side is not deep */
    for (int i = 0; i < 500; i++) rlvr__buf_addf(&b, "%s[[],{},{\"a\":[1]}]", i ? "," : "[");
    rlvr__buf_add(&b, "]", 1);
    j = parse(b.data, b.len);
    CHECK(rlvr__json_count(j) == 500);
    rlvr__json_free(ctx, j);
    rlvr__buf_free(&b);
    memset(text, '[', sizeof text - 1);
    rejects_n(text, sizeof text - 1, "f:1:129: nested deeper than 128 levels");
}

/* ---- numbers: the compiler's own literals and the C library are the truth ---- */

static double number(const char *text)
{
    rlvr__json *j = parse(text, strlen(text));
    double v = rlvr__json_num(j, -12345.0);
    CHECK(j && !strcmp(j->text, text));
    rlvr__json_free(ctx, j);
    return v;
}

static bool same(double a, double b) { return !memcmp(&a, &b, sizeof a); }

static void test_numbers(void)
{
#define LITERAL(x) CHECK(same(number(#x), x))
    LITERAL(0.0); LITERAL(0.1); LITERAL(1e22); LITERAL(1e23); LITERAL(123456789012345678.0); LITERAL(9007199254740993.0);
    LITERAL(9007199254740992.5); LITERAL(9007199254740993.000000000000000000000000000000000000000000000000000000000000001);
    LITERAL(2.2250738585072011e-308); LITERAL(2.2250738585072014e-308); LITERAL(4.9406564584124654e-324);
    LITERAL(2.48e-324); LITERAL(1.7976931348623157e308); LITERAL(1.7976931348623158e308); LITERAL(8.98846567431158e307);
    LITERAL(0.000000000000000000000000000000000000000000000000000000000000000000000000000000000000012345678901234567890e99);
    LITERAL(123456.789e-30); LITERAL(7.0064923216240854e-46); LITERAL(0e999999999999999999999);
    LITERAL(6250000000000000000000000000000000.0e-33); LITERAL(3.1415926535897932384626433832795028841971);
#undef LITERAL
    CHECK(same(number("-0"), -0.0));
    CHECK(same(number("1e-400"), 0.0) && same(number("2.47e-324"), 0.0));
    CHECK(same(number("-0.1e1"), -1.0));
    CHECK(same(number("1e-99999999999999999999"), 0.0));

    /* 2^-1074 + 2^-1075 lies exactly between two doubles: one more digit, 800 digits behind, decides. */
    char text[1600];
    double tie = ldexp(1.0, -1074);
    snprintf(text, sizeof text, "%.1100f", tie);
    rlvr__buf half = {ctx, NULL, 0, 0, false};
    /* 1.5 * 2^-1074, its decimal digits by long multiplication of 3 * 5^1075 * 10^-1075 */
    static unsigned char digit[1200];
    int n = 1;
    digit[0] = 3;
    for (int i = 0; i < 1075; i++) {
        int carry = 0;
        for (int k = 0; k < n; k++) { int v = digit[k] * 5 + carry; digit[k] = (unsigned char)(v % 10); carry = v / 10; }
        while (carry) { digit[n++] = (unsigned char)(carry % 10); carry /= 10; }
    }
    rlvr__buf_add(&half, "0.", 2);
    for (int i = n; i < 1075; i++) rlvr__buf_add(&half, "0", 1);
    for (int i = n - 1; i >= 0; i--) rlvr__buf_addf(&half, "%d", digit[i]);
    CHECK(n > 750 && n < 800);
    CHECK(same(number(half.data), ldexp(1.0, -1073)));                  /* even */
    half.data[half.len - 1] = '4';
    CHECK(same(number(half.data), tie));
    half.data[half.len - 1] = '5';
    for (int i = 0; i < 300; i++) rlvr__buf_add(&half, "0", 1);
    CHECK(same(number(half.data), ldexp(1.0, -1073)));
    rlvr__buf_free(&half);
    memset(text, '0', sizeof text);
    memcpy(text, "9007199254740993", 16);                               /* 2^53 + 1: a tie, down; and a bit more: up */
    snprintf(text + 1200, 16, "e-1184");
    CHECK(same(number(text), 9007199254740992.0));
    text[1199] = '1';
    CHECK(same(number(text), 9007199254740994.0));

    for (uint32_t i = 0; i < 200000; i++) {                             /* out and in again: the same bits */
        uint32_t counter[4] = {i, 0, 0, 0}, key[2] = {1, 2}, r[4];
        rlvr_philox(counter, key, r);
        uint64_t bits = (uint64_t)r[0] << 32 | r[1];
        double d, back;
        float f = rlvr__from_bits(r[2]);
        memcpy(&d, &bits, 8);
        rlvr__buf b = {ctx, NULL, 0, 0, false};
        rlvr__json_put_double(&b, d);
        rlvr__json_put_float(&b, f);
        if (!isfinite(d) || !isfinite(f)) { rlvr__buf_free(&b); continue; }
        b.len = 0;
        rlvr__json_put_double(&b, d);
        back = rlvr__json_value(b.data, b.len);
        if (!same(back, d) || !same(back, strtod(b.data, NULL))) CHECK(!"a double comes back as it was");
        b.len = 0;
        rlvr__json_put_float(&b, f);
        if (rlvr__to_bits((float)rlvr__json_value(b.data, b.len)) != r[2]) CHECK(!"a float comes back as it was");
        b.len = 0;
        rlvr__buf_addf(&b, "%u%u%u.%ue%d", r[0], r[1], r[2], r[3], (int)(r[0] % 640) - 340);      /* many digits */
        back = rlvr__json_value(b.data, b.len);
        if (!same(back, strtod(b.data, NULL))) CHECK(!"as strtod reads it");
        rlvr__buf_free(&b);
    }
    CHECK(1);

    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__json_put_double(&b, NAN); rlvr__buf_add(&b, " ", 1);
    rlvr__json_put_float(&b, -INFINITY); rlvr__buf_add(&b, " ", 1);
    rlvr__json_put_float(&b, 0.1f); rlvr__buf_add(&b, " ", 1);
    rlvr__json_put_double(&b, -1e300);
    CHECK_STR(b.data, "null null 0.100000001 -1.0000000000000001e+300");
    rlvr__buf_free(&b);

#define INT(text, expect) do { rlvr__json *j = parse(text, strlen(text)); \
        CHECK(rlvr__json_int(j, -77) == (expect)); rlvr__json_free(ctx, j); } while (0)
    INT("0", 0); INT("-5", -5); INT("9223372036854775807", INT64_MAX); INT("-9223372036854775808", INT64_MIN);
    INT("9223372036854775808", -77); INT("-9223372036854775809", -77); INT("9007199254740993", 9007199254740993);
    INT("1e3", 1000); INT("2.0", 2); INT("2.5", -77); INT("1e300", -77); INT("\"1\"", -77); INT("null", -77);
    INT("true", -77);
#undef INT
}

static void test_locale(void)      /* a decimal comma in the host program's locale changes nothing */
{
    const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "de_DE"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!setlocale(LC_NUMERIC, names[i])) continue;
        rlvr__buf b = {ctx, NULL, 0, 0, false};
        rlvr__json_put_double(&b, 0.5);
        CHECK_STR(b.data, "0.5");
        CHECK(same(number("0.1"), 0.1) && same(number("1.7976931348623157e308"), 1.7976931348623157e308));
        CHECK(same(number("3.1415926535897932384626433832795028841971"), 3.1415926535897932384626433832795028841971));
        rlvr__buf_free(&b);
        setlocale(LC_NUMERIC, "C");
        return;
    }
    REPORT("skipped: no locale with a decimal comma on this machine");
}

/* ---- characters: iconv, and the counts and examples of the Unicode standard, are the truth ---- */

static void test_utf8(void)
{
    iconv_t to_utf8 = iconv_open("UTF-8", "UTF-32LE");
    long wrong = 0;
    if (CHECK(to_utf8 != (iconv_t)-1)) {
        for (uint32_t c = 0; c < 0x110000; c++) {
            char in[4], expect[8], own[4];
            char *from = in, *to = expect;
            size_t n_in = 4, n_out = sizeof expect;
            uint32_t code;
            if (c >= 0xd800 && c < 0xe000) continue;
            memcpy(in, &c, 4);
            if (iconv(to_utf8, &from, &n_in, &to, &n_out) == (size_t)-1) { wrong++; continue; }
            int n = (int)(to - expect);
            wrong += rlvr__utf8_write(own, c) != n || memcmp(own, expect, (size_t)n) ||
                rlvr__utf8_read(expect, (size_t)n, &code) != n ||
                     code != c;
            for (int k = 1; k < n; k++) wrong += rlvr__utf8_read(expect, (size_t)k, &code) != k || code != RLVR__NOT_UTF8;
        }
        iconv_close(to_utf8);
    }
    CHECK(wrong == 0);

    long valid[5] = {0, 0, 0, 0, 0};      /* how many byte strings of each length are one character */
    for (uint32_t i = 0; i < 0x1000000; i++) {
        char s[4] = {(char)(i >> 16), (char)(i >> 8), (char)i, 0};
        uint32_t code;
        int n = rlvr__utf8_read(s, 3, &code);
        if (code != RLVR__NOT_UTF8 && (n == 3 || (n == 2 && s[2] == 0) || (n == 1 && s[1] == 0 && s[2] == 0))) valid[n]++;
    }
    for (int i = 0; i < 32 * 256 * 96 * 96; i++) {
        char s[4] = {(char)(0xe0 + i / (256 * 96 * 96)), (char)(i / (96 * 96)), (char)(0x70 + i / 96 % 96),
            (char)(0x70 + i % 96)};
        uint32_t code;
        valid[4] += rlvr__utf8_read(s, 4, &code) == 4 && code != RLVR__NOT_UTF8;
    }
    CHECK(valid[1] == 128 && valid[2] == 1920 && valid[3] == 61440 && valid[4] == 1048576);

    /* The Unicode standard, section 3.9, tables 3-8 to 3-11: one U+FFFD for each longest prefix */
    static const struct { const char *in, *out; } table[] = {
        {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a???b?c??d"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", "????????A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", "????????A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", "?????A??B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "????A"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        rlvr__buf b = {ctx, NULL, 0, 0, false}, expect = {ctx, NULL, 0, 0, false};
        rlvr__json_put_string(&b, table[i].in, strlen(table[i].in));
        rlvr__buf_add(&expect, "\"", 1);
        for (const char *s = table[i].out; *s; s++) rlvr__buf_add(&expect, *s == '?' ? "\xef\xbf\xbd" : s, *s == '?' ? 3 : 1);
        rlvr__buf_add(&expect, "\"", 1);
        CHECK_STR(b.data, expect.data);
        rlvr__buf_free(&b);
        rlvr__buf_free(&expect);
    }

    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__json_put_string(&b, all, 128);
    rlvr__json *j = parse(b.data, b.len);
    CHECK(j && j->len == 128 && !memcmp(j->text, all, 128));
    rlvr__json_free(ctx, j);
    b.len = 0;
    rlvr__json_put_string(&b, all, 256);
    j = parse(b.data, b.len);
    CHECK(j && j->len == 128 + 3 * 128);
    rlvr__json_free(ctx, j);
    rlvr__buf_free(&b);
}

static void test_tree(void)
{
    const char *text = "{\"a\":1,\"list\":[10,[20,21],{\"x\":30}],\"a\":2,"
                       "\"s\":\"h\\u0000i\",\"n\":null,\"b\":true,\n\"k\\u0000\":3}";
    rlvr__json *j = parse(text, strlen(text));
    size_t n;
    if (!CHECK(j != NULL)) return;
    CHECK(rlvr__json_count(j) == 7 && rlvr__json_int(rlvr__json_get(j, "a"), 0) == 2);
    const rlvr__json *list = rlvr__json_get(j, "list");
    CHECK(rlvr__json_count(list) == 3 && rlvr__json_int(rlvr__json_at(list, 0), 0) == 10);
    CHECK(rlvr__json_int(rlvr__json_at(rlvr__json_at(list, 1), 1), 0) == 21);
    CHECK(rlvr__json_int(rlvr__json_get(rlvr__json_at(list, 2), "x"), 0) == 30);
    CHECK(!rlvr__json_at(list, 3) && !rlvr__json_at(list, -1) && !rlvr__json_at(NULL, 0));
    const char *s = rlvr__json_str(rlvr__json_get(j, "s"), &n);
    CHECK(s && n == 3 && !memcmp(s, "h\0i", 4));
    CHECK(!rlvr__json_get(j, "k") && !rlvr__json_get(j, "zz") && !rlvr__json_get(list, "a") && !rlvr__json_get(NULL, "a"));
    CHECK(rlvr__json_bool(rlvr__json_get(j, "b"), false) && rlvr__json_bool(rlvr__json_get(j, "n"), true));
    CHECK(!rlvr__json_str(list, &n) && n == 0 && !rlvr__json_first(rlvr__json_get(j, "s")));
    CHECK(rlvr__json_get(j, "b")->line == 1 && rlvr__json_at(j, 6)->line == 2 && rlvr__json_at(j, 6)->key_len == 2);
    int keys = 0;
    RLVR__JSON_EACH(m, j) keys++;
    CHECK(keys == 7);
    rlvr__json_free(ctx, j);
}

static void test_bad_bytes(void)      /* cut off anywhere, any byte changed: an error or a tree, never more */
{
    const char *text = "{\"prompt\":\"W\\u00e9 \xe2\x82\xac \\ud83d\\ude00\","
                       "\"n\":[-1.5e+3,0,true,null,{\"k\":\"v\"}],\"e\":{}}";
    size_t n = strlen(text);
    int accepted = 0;
    char copy[256];
    for (size_t i = 0; i < n; i++) {
        rlvr__json *j = parse(text, i);
        if (j || !strstr(rlvr_last_error(ctx), "f:1:")) CHECK(!"a cut text is refused with its place");
        rlvr__json_free(ctx, j);
    }
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 256; c++) {
            memcpy(copy, text, n);
            copy[i] = (char)c;
            rlvr__json *j = parse(copy, n);
            accepted += j != NULL;
            rlvr__json_free(ctx, j);
        }
    CHECK(accepted > (int)n && accepted < (int)n * 200);

    failing f = {1, 0};
    rlvr_ctx *poor = failing_open(&f);
    CHECK(poor && !rlvr__json_parse(poor, "f", text, n, 1) && strstr(rlvr_last_error(poor), "out of memory"));
    rlvr_close(poor);
    CHECK(f.live == 0);
}

static void test_speed(void)      /* what a tokenizer.json looks like: 49k keys, 49k merges, 2 MB */
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr__buf_addf(&b, "{\"model\":{\"vocab\":{");
    for (int i = 0; i < 49152; i++) rlvr__buf_addf(&b, "%s\n      \"\xc4\xa0tok%d\": %d", i ? "," : "", i * 7, i);
    rlvr__buf_addf(&b, "},\"merges\":[");
    for (int i = 0; i < 48900; i++) rlvr__buf_addf(&b, "%s\n      \"\xc4\xa0 tok%d\"", i ? "," : "", i);
    rlvr__buf_addf(&b, "]}}");
    uint64_t before = test_work;
    rlvr__json *j = rlvr__json_parse(ctx, "tokenizer.json", b.data, b.len, 1);
    double work = (double)(test_work - before) / (double)b.len;
    int64_t sum = 0;
    RLVR__JSON_EACH(m, rlvr__json_get(rlvr__json_get(j, "model"), "vocab")) sum += rlvr__json_int(m, 0);
    CHECK(sum == (int64_t)49152 * 49151 / 2);
    CHECK(rlvr__json_count(rlvr__json_get(rlvr__json_get(j, "model"), "merges")) == 48900);
    rlvr__json_free(ctx, j);
    REPORT("%.1f MB of tokenizer.json take %.1f blocks and bytes for each byte", (double)b.len * 1e-6, work);
    CHECK_LE(work, 16);
    rlvr__buf_free(&b);
}

static void test_lines(void)
{
    const char text[] = "\xef\xbb\xbfone\r\n\r\n  \t\ntwo\n\n three \nfour";
    const char *const expect[] = {"one", "two", " three ", "four"};
    const int line[] = {1, 4, 6, 7};
    int n = 0;
    rlvr__lines it = rlvr__lines_of(text, sizeof text - 1);
    while (rlvr__lines_next(&it)) {
        CHECK(n < 4 && it.len == strlen(expect[n]) && !memcmp(it.text, expect[n], it.len) && it.line == line[n]);
        n++;
    }
    CHECK(n == 4);
    it = rlvr__lines_of("\n\n", 2);
    CHECK(!rlvr__lines_next(&it));
    it = rlvr__lines_of("", 0);
    CHECK(!rlvr__lines_next(&it));
}

/* ---- tasks ---- */

static char path[256];

static rlvr_tasks *load(rlvr_ctx *c, const char *text)
{
    FILE *f = fopen(path, "wb");
    if (!f) return NULL;
    fputs(text, f);
    fclose(f);
    return rlvr_tasks_load_jsonl(c, path);
}

static void refuses(const char *text, const char *place, const char *message)
{
    char expect[300];
    rlvr_tasks *t = load(ctx, text);
    snprintf(expect, sizeof expect, "%s%s", path, place);
    if (!CHECK(!t && !strncmp(rlvr_last_error(ctx), expect, strlen(expect)) && strstr(rlvr_last_error(ctx), message)))
        printf("    %s: \"%s\", not \"%s ... %s\"\n", text, rlvr_last_error(ctx), expect, message);
    rlvr_tasks_free(t);
}

static const char *const good_tasks =
    "{\"prompt\":\"2+2?\",\"answer\":\"4\"}\r\n"
    "\n"
    "{\"answer\": 1.50, \"prompt\": \"caf\\u00e9\\n\", \"level\": 3}\n"
    "{\"prompt\":\"<raw>\",\"raw\":true,\"answer\":null}\n"
    "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"}],\"answer\":\"a\"}\n"
    "{\"prompt\":\"\"}";

static void check_good(const rlvr_tasks *t)
{
    const rlvr_task *a = rlvr_tasks_get(t, 0);
    CHECK(rlvr_tasks_count(t) == 5 && !rlvr_tasks_get(t, 5) && !rlvr_tasks_get(t, -1));
    CHECK_STR(a[0].prompt, "2+2?"); CHECK_STR(a[0].answer, "4");
    CHECK_STR(a[0].json, "{\"prompt\":\"2+2?\",\"answer\":\"4\"}");
    CHECK(!a[0].raw && !a[0].messages && a[0].n_messages == 0 && a[0].line == 1);
    CHECK_STR(a[1].prompt, "caf\xc3\xa9\n"); CHECK_STR(a[1].answer, "1.50"); CHECK(a[1].line == 3);
    CHECK(strstr(a[1].json, "\"level\": 3}") != NULL);
    CHECK(a[2].raw && !a[2].answer && !strcmp(a[2].prompt, "<raw>"));
    CHECK(!a[3].prompt && a[3].n_messages == 2); CHECK_STR(a[3].messages[0].role, "system");
    CHECK_STR(a[3].messages[1].content, "u"); CHECK_STR(a[3].answer, "a");
    CHECK_STR(a[4].prompt, ""); CHECK(a[4].line == 6);
}

static void test_tasks(void)
{
    snprintf(path, sizeof path, "%s/rlvr_test_tasks_%d.jsonl", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    rlvr_tasks *t = load(ctx, good_tasks);
    if (!CHECK(t != NULL)) { printf("    %s\n", rlvr_last_error(ctx)); return; }
    check_good(t);

    rlvr_tasks *copy = rlvr_tasks_new(ctx);      /* what a program adds is copied */
    for (int64_t i = 0; i < 5; i++) CHECK(rlvr_tasks_add(copy, rlvr_tasks_get(t, i)) == RLVR_OK);
    rlvr_tasks_free(t);
    check_good(copy);
    rlvr_task task;
    memset(&task, 0, sizeof task);
    CHECK(rlvr_tasks_add(copy, &task) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "prompt"));
    rlvr_message hollow = {"user", NULL};
    task.messages = &hollow;
    task.n_messages = 1;
    CHECK(rlvr_tasks_add(copy, &task) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "messages[0]"));
    memset(&task, 0, sizeof task);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "p%d", i);
        task.prompt = text;
        if (rlvr_tasks_add(copy, &task) != RLVR_OK) CHECK(!"added");
    }
    CHECK(rlvr_tasks_count(copy) == 1005);
    CHECK_STR(rlvr_tasks_get(copy, 5)->prompt, "p0"); CHECK_STR(rlvr_tasks_get(copy, 1004)->prompt, "p999");
    rlvr_tasks_free(copy);
    rlvr_tasks_free(NULL);

    refuses("", ": no task", "write lines");
    refuses("\n  \n\r\n", ": no task", "");
    refuses("{\"prompt\":\"a\"}\n\n{\"prompt\":\"b\"\n", ":3:14: ", "ends where a comma or }");
    refuses("{\"prompt\":\"a\"}\nhello\n", ":2:1: ", "expected a JSON value");
    refuses("[\"a\"]", ":1: ", "a task is an object");
    refuses("{\"question\":\"a\",\"answer\":\"b\"}", ":1: ", "no prompt; give it one of \"prompt\" and \"messages\"");
    refuses("{\"prompt\":\"a\",\"messages\":[]}", ":1: ", "both");
    refuses("{\"prompt\":5}", ":1: ", "\"prompt\" is a number; write a string");
    refuses("{\"prompt\":null}", ":1: ", "\"prompt\" is null");
    refuses("{\"prompt\":[\"a\"]}", ":1: ", "\"prompt\" is a list");
    refuses("{\"prompt\":\"a\\u0000b\"}", ":1: ", "holds the character \\u0000");
    refuses("{\"prompt\":\"a\",\"answer\":[1]}", ":1: ", "\"answer\" is a list");
    refuses("{\"prompt\":\"a\",\"answer\":true}", ":1: ", "\"answer\" is true or false");
    refuses("{\"prompt\":\"a\",\"raw\":\"yes\"}", ":1: ", "\"raw\" is a string; write true or false");
    refuses("{\"messages\":\"a\"}", ":1: ", "\"messages\" must be a list");
    refuses("{\"messages\":[]}", ":1: ", "at least one");
    refuses("{\"messages\":[{\"role\":\"user\"}]}", ":1: ", "\"messages[0].content\" is absent");
    refuses("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"content\":\"a\"}]}", ":1: ",
            "\"messages[1].role\" is absent");
    refuses("{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", ":1: ", "content\" is a list");
    refuses("{\"messages\":[\"a\"]}", ":1: ", "messages[0].role");
    refuses("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"raw\":true}", ":1: ", "chat template");
    CHECK(!rlvr_tasks_load_jsonl(ctx, "/nowhere/tasks.jsonl") &&
          strstr(rlvr_last_error(ctx), "/nowhere/tasks.jsonl: cannot open"));
    CHECK(!rlvr_tasks_load_jsonl(ctx, "/tmp") && strstr(rlvr_last_error(ctx), "/tmp: not a regular file"));

    for (size_t n = 0, whole = strlen(good_tasks); n < whole; n++) {      /* cut off anywhere: whole lines or an error */
        char *cut = strndup(good_tasks, n);
        rlvr_tasks *some = load(ctx, cut);
        if (some && n && cut[n - 1] != '}' && cut[n - 1] != '\n' && cut[n - 1] != '\r') CHECK(!"a cut line was taken");
        rlvr_tasks_free(some);
        free(cut);
    }

    rlvr_tasks_free(load(ctx, good_tasks));
    for (long until = 1; ; until++) {      /* each allocation fails once */
        failing f = {until, 0};
        rlvr_ctx *poor = failing_open(&f);
        rlvr_tasks *some = rlvr_tasks_load_jsonl(poor, path);
        bool out = f.until < 0;
        if (!some && !strstr(rlvr_last_error(poor), "out of memory")) CHECK(!"the message says what is missing");
        if (out && some) CHECK(!"an allocation failed and nothing was said");
        if (some) check_good(some);
        rlvr_tasks_free(some);
        rlvr_close(poor);
        if (f.live) CHECK(!"all memory is given back");
        if (!out) { REPORT("%ld allocations to fail", until - 1); break; }
    }
    remove(path);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    ctx = rlvr_open(&d);
    test_grammar();
    test_depth();
    test_numbers();
    test_locale();
    test_utf8();
    test_tree();
    test_bad_bytes();
    test_speed();
    test_lines();
    test_tasks();
    CHECK(ctx->blocks && !ctx->blocks->next);      /* everything was given back */
    rlvr_close(ctx);
    return test_done();
}
