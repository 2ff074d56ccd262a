/* Section 15: the verifiers against Math-Verify and hand-made cases, exact decimals against a naive reference, grading. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static int n_warnings;
static char last_warning[1024];

static void keep_warning(void *user, rlvr_log_level level, const char *text)
{
    (void)user;
    if (level != RLVR_LOG_WARN) return;
    n_warnings++;
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

/* Grades one completion; -1: an error. The text lies in a block of its own length, so that a sanitizer sees a read past it. */
static double grade(rlvr_reward_kind kind, const char *text, size_t len, const char *answer)
{
    rlvr_task task;
    rlvr_reward_desc desc;
    rlvr_grade_result out;
    char *copy = (char *)malloc(len ? len : 1);
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    memcpy(copy, text, len);
    task.answer = answer;
    desc.kind = kind;
    rlvr_result r = rlvr_grade_task(ctx, &desc, copy, len, &task, &out);
    free(copy);
    if (r == RLVR_REWARD_ERROR) return -1;
    if (r != RLVR_OK || (out.reward != 0 && out.reward != 1)) CHECK(!"a verdict of 0, 1 or an error");
    return (double)out.reward;
}

static double number(const char *text, const char *answer) { return grade(RLVR_REWARD_NUMBER, text, strlen(text), answer); }
static double exact(const char *text, const char *answer) { return grade(RLVR_REWARD_EXACT, text, strlen(text), answer); }

static void test_fixture(void)
{
    const char *path = "tests/data/number_ref.jsonl";
    rlvr__file f;
    int n = 0, differ = 0, wrong = 0, errors = 0;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        size_t len = 0;
        const char *completion = rlvr__json_str(rlvr__json_get(j, "completion"), &len);
        const char *answer = rlvr__json_str(rlvr__json_get(j, "answer"), NULL);
        double want = rlvr__json_num(rlvr__json_get(j, "expected"), 99), other = rlvr__json_num(rlvr__json_get(j, "math_verify"), 99);
        bool explained = rlvr__json_get(j, "comment") != NULL;
        double got = completion && answer ? grade(RLVR_REWARD_NUMBER, completion, len, answer) : 99;
        if (got != want) { wrong++; printf("    line %lld: got %g: %.*s\n", (long long)it.line, got, (int)it.len, it.text); }
        CHECK((want == other) == !explained);
        n++;
        differ += want != other;
        errors += want < 0;
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(wrong == 0);
    CHECK(n >= 400 && errors >= 10);
    REPORT("number: %d cases, %d of them judged as Math-Verify does, %d otherwise and why", n, n - differ, differ);
}

static void test_exact(void)
{
    CHECK(exact("blue", "blue") == 1);
    CHECK(exact(" \n\tblue\r\n", "blue") == 1);
    CHECK(exact("blue", " blue\n") == 1);
    CHECK(exact("Blue", "blue") == 0);
    CHECK(exact("blue.", "blue") == 0);
    CHECK(exact("light blue", "blue") == 0);
    CHECK(exact("", "blue") == 0);
    CHECK(exact("   ", "blue") == 0);
    CHECK(exact("a  b", "a b") == 0);
    CHECK(exact("42.0", "42") == 0);
    CHECK(exact("\xc3\xa4", "\xc3\xa4") == 1);
    CHECK(exact("blue", NULL) == -1);
    CHECK(exact("", "") == -1);
    CHECK(exact(" ", " \n ") == -1);
    CHECK(grade(RLVR_REWARD_EXACT, "blue\0ink", 8, "blue") == 0);
    CHECK(number("5", NULL) == -1);
    CHECK(grade(RLVR_REWARD_NUMBER, "4\0 5", 4, "5") == 1);
    CHECK(rlvr_reward_find("exact") == RLVR_REWARD_EXACT);
    CHECK(rlvr_reward_find("number") == RLVR_REWARD_NUMBER);
    CHECK(!rlvr_reward_find("numbe") && !rlvr_reward_find("") && !rlvr_reward_find(NULL));
}

/* ---- exact decimals: random numbers in two spellings against a reference that writes every digit out ---- */

static uint32_t dice(uint32_t n) { static uint32_t at; return rlvr__random(7, 0, 0, 0, at++) % n; }

typedef struct spelled { char text[256]; char digits[512]; } spelled;      /* digits: sign, 120 places each side of the point */

static void put_digits(spelled *s, const char *whole, const char *fraction, int exponent, bool negative)
{
    int n = (int)strlen(whole), at = 240 - n - exponent;
    memset(s->digits, '0', sizeof s->digits);
    s->digits[511] = 0;
    for (int i = 0; i < n; i++) s->digits[at + i] = whole[i];
    for (int i = 0; fraction[i]; i++) s->digits[at + n + i] = fraction[i];
    bool zero = true;
    for (int i = 0; i < 511; i++) zero &= s->digits[i] == '0';
    s->digits[0] = negative && !zero ? '-' : '+';
}

/* A random number: few different digits, so that equal values and near misses are frequent. */
static void spell(spelled *s)
{
    char whole[32], fraction[32], *out = s->text;
    int n = 1 + (int)dice(4), m = (int)dice(4), exponent = dice(3) ? 0 : (int)dice(7) - 3;
    bool negative = dice(3) == 0, grouped;
    for (int i = 0; i < n; i++) whole[i] = "0010259"[dice(7)];
    for (int i = 0; i < m; i++) fraction[i] = "0010259"[dice(7)];
    whole[n] = fraction[m] = 0;
    put_digits(s, whole, fraction, exponent, negative);
    if (negative) out += sprintf(out, "%s", dice(2) ? "-" : "\xe2\x88\x92");
    grouped = n == 4 && whole[0] != '0' && dice(2);
    out += grouped ? sprintf(out, "%c,%s", whole[0], whole + 1) : sprintf(out, "%s", whole);
    if (m) out += sprintf(out, ".%s", fraction);
    if (exponent) sprintf(out, "%c%+d", dice(2) ? 'e' : 'E', exponent);
}

static void test_decimals(void)
{
    int wrong = 0, equal = 0, n = 40000;
    spelled a, b;
    for (int i = 0; i < n; i++) {
        spell(&a);
        spell(&b);
        bool same = strcmp(a.digits, b.digits) == 0;
        double got = number(a.text, b.text);
        equal += same;
        if (got != (same ? 1 : 0) && wrong++ < 5) printf("    %s and %s: %g\n", a.text, b.text, got);
    }
    CHECK(wrong == 0);
    CHECK(equal > n / 200);
    REPORT("decimals: %d pairs, %d of them equal", n, equal);

    enum { LONG = 200000 };      /* a number of any length, its last digit included */
    char *x = (char *)malloc(LONG + 3), *y = (char *)malloc(LONG + 8);
    for (int i = 0; i < LONG; i++) x[i] = (char)('1' + i % 9);
    x[LONG] = 0;
    memcpy(y, x, LONG);
    strcpy(y + LONG, ".000");
    CHECK(number(x, y) == 1);
    y[LONG - 1] = y[LONG - 1] == '9' ? '8' : '9';
    CHECK(number(x, y) == 0);
    strcpy(y + LONG, "e0");
    CHECK(number(x, y) == 0);
    y[LONG - 1] = x[LONG - 1];
    CHECK(number(x, y) == 1);
    free(x);
    free(y);
}

/* ---- hostile text: pieces that mean something to the scanner, thrown together; every prefix of some ---- */

static void test_hostile(void)
{
    static const char *const piece[] = {"1", "42", "000", "1,234", ",", ".", "-", "+", "\xe2\x88\x92", "\xe2\x80\x93", "e", "E+", "x", "####", "\n", " ", "$", "\\$",
                                        "\\boxed{", "}", "{", "(", ")", "[", "]", "\\frac", "\\sqrt", "\\pi", "\\", "\\\\", "^", "_", "*", "**", "/", ":", "=", "%", "\xc2",
                                        "\xe2", "\xe2\x82", "\xff", "\xc3\x97", "\\times", "\\left(", "\\text{a}", ",\\!", "{,}", "\\,", "^\\circ", "a", "word"};
    int n_pieces = (int)(sizeof piece / sizeof *piece), found = 0, wrong = 0;
    char text[512];
    for (int round = 0; round < 20000; round++) {
        size_t len = 0;
        for (int k = (int)dice(14); k >= 0; k--) {
            const char *p = piece[dice((uint32_t)n_pieces)];
            memcpy(text + len, p, strlen(p));
            len += strlen(p);
        }
        text[len] = 0;
        found += grade(RLVR_REWARD_NUMBER, text, len, "42") == 1;
        for (size_t cut = 0; round % 64 == 0 && cut < len; cut++) grade(RLVR_REWARD_NUMBER, text, cut, "42");
        double as_gold = number("42", text), back = number(text, text);
        if (back != (as_gold == -1 ? -1 : 1) && wrong++ < 5) printf("    not equal to itself: %s\n", text);
    }
    CHECK(wrong == 0);      /* whatever a text's number is, it agrees with itself */
    CHECK(found > 30);
    size_t big = 300000;
    char *flood = (char *)malloc(big + 1);
    for (int k = 0; k < n_pieces; k++) {      /* no piece makes the scan slow or deep */
        size_t len = 0, n = strlen(piece[k]);
        for (; len + n <= (strstr(piece[k], "boxed") ? big / 20 : big); len += n) memcpy(flood + len, piece[k], n);
        flood[len] = 0;
        uint64_t before = test_work;
        grade(RLVR_REWARD_NUMBER, flood, len, "42");
        CHECK_LE(test_work - before, 5e8);
    }
    free(flood);
}

/* ---- grading ---- */

typedef struct judge { int calls; } judge;
static rlvr_result fickle(const rlvr_rollout *o, void *user, float *reward)
{
    ((judge *)user)->calls++;
    switch (o->index) {
    case 0: *reward = 0.25f; return RLVR_OK;
    case 1: *reward = NAN; return RLVR_OK;
    case 2: *reward = INFINITY; return RLVR_OK;
    case 3: *reward = 1; return RLVR_REWARD_ERROR;
    case 4: *reward = 1; return RLVR_ERROR_IO;
    case 5: return RLVR_OK;      /* forgets to write */
    case 6: *reward = -3; return RLVR_OK;
    default: *reward = 0; return RLVR_OK;
    }
}

static void test_grade(void)
{
    rlvr_rollouts r;
    rlvr_rollout items[8];
    rlvr_task task[2];
    judge j = {0};
    memset(&r, 0, sizeof r);
    memset(items, 0, sizeof items);
    memset(task, 0, sizeof task);
    r.ctx = ctx;
    r.items = items;
    r.n = r.group_size = 8;
    task[0].line = 12;
    for (int i = 0; i < 8; i++) { items[i].index = i; items[i].task = &task[0]; items[i].reward = 9; items[i].advantage = 9; items[i].text = "4"; items[i].text_len = 1; }
    rlvr_reward_desc reward;
    memset(&reward, 0, sizeof reward);
    reward.fn = fickle;
    reward.user = &j;
    n_warnings = 0;
    CHECK(rlvr_grade_rollouts(&r, &reward) == RLVR_OK);
    CHECK(j.calls == 8 && n_warnings == 1);
    CHECK(strstr(last_warning, "5 of 8") && strstr(last_warning, "line 12"));
    for (int i = 0; i < 8; i++) {
        bool good = i == 0 || i >= 6;
        CHECK(items[i].graded == (good ? RLVR_OK : RLVR_REWARD_ERROR));
        CHECK(items[i].reward == (i == 0 ? 0.25f : i == 6 ? -3.0f : 0.0f));
        CHECK(items[i].advantage == 0);
    }
    /* a bad gold is named with its line; the good task beside it is graded */
    task[0].answer = "several";
    task[1].answer = "#### 4";
    items[7].task = &task[1];
    reward.fn = NULL;
    reward.kind = RLVR_REWARD_NUMBER;
    reward.user = NULL;
    CHECK(rlvr_grade_rollouts(&r, &reward) == RLVR_OK);
    CHECK(items[0].graded == RLVR_REWARD_ERROR && items[7].graded == RLVR_OK && items[7].reward == 1);
    CHECK(strstr(last_warning, "7 of 8") && strstr(last_warning, "line 12") && strstr(last_warning, "several"));
    task[0].answer = NULL;
    CHECK(rlvr_grade_rollouts(&r, &reward) == RLVR_OK && strstr(last_warning, "no answer"));
    task[0].answer = "4";
    n_warnings = 0;
    CHECK(rlvr_grade_rollouts(&r, &reward) == RLVR_OK && n_warnings == 0 && items[0].graded == RLVR_OK && items[0].reward == 1);
    reward.kind = RLVR_REWARD_NONE;
    CHECK(rlvr_grade_rollouts(&r, &reward) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "reward.fn"));
    CHECK(rlvr_grade_rollouts(&r, NULL) == RLVR_ERROR_ARGUMENT);
}

int main(void)
{
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 1;
    desc.log_fn = keep_warning;
    ctx = rlvr_open(&desc);
    if (!CHECK(ctx != NULL)) return test_done();
    test_exact();
    test_fixture();
    test_decimals();
    test_hostile();
    test_grade();
    rlvr_close(ctx);
    return test_done();
}
