/* Sections 15.7 and 15.8: countdown against a naive evaluator, every family's answers against checks of its own, reasoning-gym's
   verdicts from a fixture, hostile text, what cheap answers earn. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static bool quick;

static uint32_t dice(uint32_t n) { static uint32_t at; return rlvr__random(15, 7, 0, 0, at++) % n; }

/* Grades one completion; -1: an error. The text lies in a block of its own length, so that a sanitizer sees a read past it. */
static rlvr_grade_result last;
static int grade(rlvr_reward_kind kind, const char *json, const char *answer, const char *text, size_t len)
{
    rlvr_task task;
    rlvr_reward_desc desc;
    char *copy = (char *)malloc(len ? len : 1);
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    memcpy(copy, text, len);
    task.answer = answer;
    task.json = json;
    task.line = 1;
    desc.kind = kind;
    rlvr_result r = rlvr_grade_task(ctx, &desc, copy, len, &task, &last);
    free(copy);
    if (r == RLVR_REWARD_ERROR) return -1;
    if (r != RLVR_OK || (last.reward != 0 && last.reward != 1) || (last.reward == 1) != (last.status == RLVR_STATUS_EQUAL)) CHECK(!"a verdict of 0, 1 or an error");
    return (int)last.reward;
}

static int proc(const char *json, const char *answer, const char *text) { return grade(RLVR_REWARD_PROC, json, answer, text, strlen(text)); }
static int countdown(const char *json, const char *text) { return grade(RLVR_REWARD_COUNTDOWN, json, NULL, text, strlen(text)); }

/* ---- reasoning-gym ---- */

static void test_fixture(void)
{
    rlvr__file f;
    int n = 0, differ = 0, wrong = 0;
    if (!CHECK(rlvr__file_open(ctx, "tests/data/proc_ref.jsonl", &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, "proc_ref", it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        char *line = rlvr__strndup(ctx, it.text, it.len);
        size_t len = 0;
        const char *text = rlvr__json_str(rlvr__json_get(j, "completion"), &len);
        int want = (int)rlvr__json_int(rlvr__json_get(j, "expected"), 9), other = (int)rlvr__json_int(rlvr__json_get(j, "reasoning_gym"), 9);
        int got = grade(RLVR_REWARD_PROC, line, rlvr__json_str(rlvr__json_get(j, "answer"), NULL), text, len);
        if (got != want && wrong++ < 5) printf("    line %lld: got %d: %.*s\n", (long long)it.line, got, (int)it.len, it.text);
        CHECK((want == other) == !rlvr__json_get(j, "comment"));
        n++;
        differ += want != other;
        rlvr__json_free(ctx, j);
        rlvr__free(ctx, line);
    }
    rlvr__file_close(ctx, &f);
    CHECK(wrong == 0 && n > 1000);
    REPORT("reasoning-gym: %d answers, %d judged as it does, %d otherwise and why", n, n - differ, differ);
}

/* ---- countdown ---- */

static void test_countdown(void)
{
    static const char *const task = "{\"numbers\":[3,8,5,2],\"target\":24}", *const all = "{\"numbers\":[3,8],\"target\":24,\"use\":\"exactly\"}";
    static const struct { const char *text; int want; } cases[] = {
        {"3*8", 1}, {"8 * 3", 1}, {"3 \xc3\x97 8", 1}, {"3 x 8", 1}, {"3x8", 1}, {"3 \xc2\xb7 8", 1}, {"(5-2)*8", 1}, {"(5 \xe2\x88\x92 2) * 8", 1},
        {"$3 \\times 8$", 1}, {"\\(3 \\cdot 8\\)", 1}, {"\\[ 3\\cdot8 \\]", 1}, {"\\boxed{3 \\times 8}", 1}, {"\\boxed{3 \\times 8 = 24}", 1},
        {"\\boxed{\\left(5-2\\right) \\times 8}", 1}, {"<answer>3*8</answer>", 1}, {"<answer>\n3 * 8\n</answer> and so on.", 1}, {"#### 3*8", 1},
        {"I try 3+8 first.\nThe answer is 3*8.", 1}, {"Answer: 3*8", 1}, {"**Answer:** 3*8", 1}, {"**Answer: 3*8**", 1}, {"**3*8**", 1}, {"`3*8`", 1},
        {"So (5-2)*8 = 24", 1}, {"(5-2)*8 = 24.", 1}, {"$(5-2) \\times 8$ = $24$", 1}, {"- 3*8", 1}, {"```\n3*8\n```", 1}, {"3*8\nI hope this helps!", 1},
        {"8*\\frac{3}{1}", 0}, {"\\frac{8*3}{5-3}", 0}, {"8/(2/(3*2))", 0}, {"8*3*(5-2)/(5-2)", 0}, {"<think>3+8</think>3*8", 1}, {"+3*8", 1}, {"-3*-8", 1},
        {"-(2-5)*8", 1}, {"\\frac{3}{2} \\times 8 \\times 2", 0}, {"3*8+5-5", 0}, {"\\boxed{5} no, \\boxed{3*8}", 1}, {"\\boxed{3*8", 0}, {"<answer>3*8", 0},
        {"Let me see: \\boxed{3*8} is it. <answer>3+8</answer>", 0}, {"<answer>3+8</answer> \\boxed{3*8}", 1}, {"\\boxed{\\boxed{3*8}", 1},
        /* none of these */
        {"", 0}, {" ", 0}, {"24", 0}, {"24*1", 0}, {"12*2", 0}, {"3*8*1", 0}, {"3**8", 0}, {"3^8", 0}, {"38-14", 0}, {"3 8", 0}, {"3*8!", 0}, {"4!", 0}, {"8(5-2)", 0},
        {"(5-2)8", 0}, {"(5-2)(8)", 0}, {"3*8 or 5*2", 0}, {"3*8, 5*2", 0}, {"not 3*8", 0}, {"The answer is not 3*8.", 0}, {"It isn't: 3*8", 0}, {"3*8 = 25", 0},
        {"24 = 3*8", 0}, {"3*8 = 3*8", 0}, {"3+8 = 24", 0}, {"3*8 = 24 = 24", 0}, {"3*8 = ", 0}, {"--3*8", 0}, {"3*+-8", 0}, {"sqrt(9)*8", 0}, {"0x18", 0}, {"3.0*8", 0},
        {"03*8", 0}, {"3*8e0", 0}, {"3//8", 0}, {"3*8%25", 0}, {"3*(8", 0}, {"3*8)", 0}, {"()3*8", 0}, {"3*()8", 0}, {"8/0*3", 0}, {"8/(2-2)", 0}, {"8/(5-3-2)", 0}, {"3*8 5", 0},
        {"<think>3*8</think>", 0}, {"<think>3*8", 0}, {"max(3*8,5)", 0}, {"3*8 if 1 else 0", 0}, {"\"3\"*8", 0}, {"3*\\text{8}", 0}, {"\\frac{3*8}", 0}, {"\\frac{3*8}{}", 0},
        {"3*8#", 0}, {"3 A*:*", 0}, {"3*8 is: **", 0}, {"\xef\xbc\x93*8", 0}, {"3*8\\", 0}, {"3 \\timesx 8", 0}, {"3*8; import os", 0}, {"~-4*8", 0}, {"1e1+14", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (!CHECK(countdown(task, cases[i].text) == cases[i].want)) printf("    %s: want %d, %s\n", cases[i].text, cases[i].want, last.reason);
    CHECK(countdown(all, "3*8") == 1 && countdown(all, "8+3") == 0);
    CHECK(countdown("{\"numbers\":[3,8,1],\"target\":24,\"use\":\"exactly\"}", "3*8") == 0 && strstr(last.reason, "all numbers"));
    CHECK(countdown("{\"numbers\":[3,8,1],\"target\":24,\"use\":\"exactly\"}", "3*8/1") == 1);
    CHECK(countdown("{\"numbers\":[3,3],\"target\":6}", "3+3") == 1 && countdown("{\"numbers\":[3,4],\"target\":6}", "3+3") == 0);
    CHECK(countdown("{\"numbers\":[8,3,8,3],\"target\":24}", "8/(3-8/3)") == 1);
    CHECK(countdown("{\"numbers\":[8,3,8,3],\"target\":24,\"division\":\"integer\"}", "8/(3-8/3)") == 0 && strstr(last.reason, "exact"));
    CHECK(countdown("{\"numbers\":[8,2,6],\"target\":24,\"division\":\"integer\"}", "8/2*6") == 1);
    CHECK(countdown("{\"numbers\":[7,2],\"target\":\"7/2\"}", "7/2") == 1 && countdown("{\"numbers\":[7,2],\"target\":3.5}", "\\dfrac{7}{2} = 3.5") == 1);
    CHECK(countdown("{\"numbers\":[7,2],\"target\":\"7/2\"}", "7 \xc3\xb7 2 = 7/2") == 1 && countdown("{\"numbers\":[7,2],\"target\":3.5}", "7-2") == 0);
    CHECK(countdown("{\"numbers\":[-3,10],\"target\":7}", "10 + -3") == 1 && countdown("{\"numbers\":[-3,10],\"target\":7}", "10 - 3") == 0);
    CHECK(countdown("{\"numbers\":[-3,10],\"target\":13}", "10 - (-3)") == 1 && countdown("{\"numbers\":[3,10],\"target\":-7}", "3-10") == 1);
    CHECK(countdown("{\"numbers\":[0,5],\"target\":0}", "0*5") == 1 && countdown("{\"numbers\":[0,5],\"target\":0}", "5*0/0") == 0);
    CHECK(countdown("{\"numbers\":[4],\"target\":4}", "4") == 1);
    /* values of 128 bits are exact, and beyond them a zero, not an error */
    CHECK(countdown("{\"numbers\":[1000000007,1000000009,998244353,3],\"target\":3}", "1000000007*1000000009*998244353*3/(1000000007*1000000009*998244353)") == 0);
    CHECK(countdown("{\"numbers\":[999999999989,999999999961,999999999959],\"target\":\"999999999909000000002588999975450\"}",
                    "999999999989*999999999961*999999999959") == 0);
    CHECK(countdown("{\"numbers\":[1000000000000,1000000000001,2],\"target\":\"2000000000002000000000000\"}", "1000000000000*1000000000001*2") == 1);
    CHECK(countdown("{\"numbers\":[9223372036854775807,9223372036854775806,9223372036854775805,3],\"target\":3}",
                    "9223372036854775807*9223372036854775806*9223372036854775805*3") == 0 && last.status == RLVR_STATUS_UNEQUAL);
    CHECK(countdown(task, "99999999999999999999999999*8") == 0);
    /* options hold where the task has no field; bad tasks are errors */
    rlvr_reward_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kind = RLVR_REWARD_COUNTDOWN;
    desc.options = "{\"numbers\":[3,8],\"target\":24}";
    CHECK(rlvr_grade(ctx, &desc, "3*8", NULL, &last) == RLVR_OK && last.reward == 1);
    CHECK(strcmp(last.extracted, "3*8") == 0);
    static const char *const bad[] = {"{}", "{\"numbers\":[3,8]}", "{\"target\":24}", "{\"numbers\":[],\"target\":24}", "{\"numbers\":[3,\"8\"],\"target\":24}",
        "{\"numbers\":[3,8.5],\"target\":24}", "{\"numbers\":[3,8],\"target\":\"x\"}", "{\"numbers\":[3,8],\"target\":\"1/0\"}", "{\"numbers\":[3,8],\"target\":null}",
        "{\"numbers\":[3,8],\"target\":24,\"use\":\"some\"}", "{\"numbers\":[3,8],\"target\":24,\"division\":1}", "{\"numbers\":24,\"target\":24}",
        "{\"numbers\":[9223372036854775808],\"target\":24}", "{\"numbers\":[3,8],\"target\":1e99}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!CHECK(countdown(bad[i], "3*8") == -1)) printf("    %s\n", bad[i]);
    CHECK(last.status == RLVR_STATUS_BAD_GOLD);
}

/* A second evaluator, on doubles: binary splitting at the last operator of the lowest rank outside brackets. NAN: it is none. */
static double naive(const char *p, const char *end, int *used)
{
    int depth = 0;
    const char *split = NULL, *first = p;
    while (p < end && *p == ' ') p++;
    while (end > p && end[-1] == ' ') end--;
    if (p == end) return NAN;
    for (const char *q = p; q < end; q++) {
        depth += (*q == '(') - (*q == ')');
        if (depth < 0) return NAN;
        const char *before = q;
        while (before > p && before[-1] == ' ') before--;
        bool binary = before > p && (before[-1] == ')' || rlvr__is_digit(before[-1]));
        if (depth == 0 && binary && (*q == '+' || *q == '-')) split = q;
    }
    if (depth) return NAN;
    for (const char *q = p; !split && q < end; q++) {
        depth += (*q == '(') - (*q == ')');
        if (depth == 0 && (*q == '*' || *q == '/')) first = q;
        if (depth == 0 && q + 1 == end && first > p && (*first == '*' || *first == '/')) split = first;
    }
    if (split) {
        double a = naive(p, split, used), b = naive(split + 1, end, used);
        return *split == '+' ? a + b : *split == '-' ? a - b : *split == '*' ? a * b : b != 0 ? a / b : NAN;
    }
    if (*p == '-' || *p == '+') {
        const char *q = p + 1;
        while (q < end && *q == ' ') q++;
        if (q < end && (*q == '-' || *q == '+')) return NAN;
        return *p == '-' ? -naive(p + 1, end, used) : naive(p + 1, end, used);
    }
    if (*p == '(') return end[-1] == ')' ? naive(p + 1, end - 1, used) : NAN;
    double value = 0;
    const char *digits = p;
    for (; p < end; p++) {
        if (!rlvr__is_digit(*p)) return NAN;
        value = value * 10 + (*p - '0');
    }
    if (*digits == '0' && p - digits > 1) return NAN;
    if (value > 9) { used[0] = 9; return value; }
    used[(int)value]++;
    return value;
}

static void test_countdown_random(void)
{
    static const char *const piece[] = {"1", "2", "3", "4", "6", "+", "-", "*", "/", "(", ")", " ", "1+", "2*", "(3", "3)", "4*", "6/"};
    int n = quick ? 20000 : 200000, right = 0, wrong = 0;
    for (int round = 0; round < n; round++) {
        char text[128] = "<answer>", json[96];
        int used[10] = {0}, target = (int)dice(13), count = 1 + (int)dice(9);
        for (int k = 0; k < count; k++) strcat(text, piece[dice(18)]);
        const char *end = text + strlen(text);
        double value = naive(text + 8, end, used);
        bool fine = fabs(value - target) < 1e-9 && used[0] <= 0 && used[1] <= 2 && used[2] <= 1 && used[3] <= 1 && used[4] <= 1 && used[6] <= 1 &&
                    !used[5] && !used[7] && !used[8] && !used[9];
        strcat(text, "</answer>");
        snprintf(json, sizeof json, "{\"numbers\":[1,2,3,1,4,6],\"target\":%d}", target);
        int got = countdown(json, text);
        right += got == 1;
        if (got != fine && wrong++ < 10) printf("    %s, target %d: got %d, naive %g\n", text, target, got, value);
    }
    CHECK(wrong == 0);
    CHECK(right > n / 1000);
    REPORT("countdown: %d random texts as a naive evaluator judges them, %d of them right", n, right);
}

/* ---- the families: their answers against checks that share nothing with generator and scorer ---- */

static const rlvr__json *param(const rlvr__json *j, const char *name) { return rlvr__json_get(rlvr__json_get(j, "params"), name); }

static int ints(const rlvr__json *list, long long *out)
{
    int n = 0;
    RLVR__JSON_EACH(item, list) out[n++] = rlvr__json_int(item, 0);
    return n;
}

static int weekday_by_walking(int year, int month, int day)      /* from Saturday, 1 January 2000, day by day */
{
    int y = 2000, m = 1, d = 1, w = 5;
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    while (y < year || (y == year && (m < month || (m == month && d < day)))) {
        int last = days[m - 1] + (m == 2 && ((y % 4 == 0 && y % 100) || y % 400 == 0));
        w = (w + 1) % 7;
        if (++d > last) { d = 1; if (++m > 12) { m = 1; y++; } }
    }
    while (y > year || (y == year && (m > month || (m == month && d > day)))) {
        w = (w + 6) % 7;
        if (--d < 1) { if (--m < 1) { m = 12; y--; } d = days[m - 1] + (m == 2 && ((y % 4 == 0 && y % 100) || y % 400 == 0)); }
    }
    return w;
}

static const char *const day_names[] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

static int month_of(const char *text)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char three[4] = {text[0], text[1], text[2], 0};
    return (int)(strstr(names, three) - names) / 3 + 1;
}

static bool check_calendar(const char *prompt, const char *answer)
{
    char a[32], b[32], c[32], d[32];
    int x, y, p, q;
    if (sscanf(prompt, "Today is %30[A-Za-z]. Which day of the week will it be in %d", a, &x) == 2 || (x = 0, sscanf(prompt, "Today is %30[A-Za-z]. Which day of the week was it %d", a, &y) == 2 && (x = -y))) {
        int from = 0, to = 0;
        while (strcmp(day_names[from], a)) from++;
        while (strcmp(day_names[to], answer)) to++;
        for (; x > 0; x--) from = (from + 1) % 7;
        for (; x < 0; x++) from = (from + 6) % 7;
        return from == to;
    }
    if (sscanf(prompt, "%30[A-Za-z] %d, %d is a %30[A-Za-z]. Which day of the week is %30[A-Za-z] %d, %d?", a, &x, &y, b, c, &p, &q) == 7)
        return !strcmp(day_names[weekday_by_walking(q, month_of(c), p)], answer) && !strcmp(day_names[weekday_by_walking(y, month_of(a), x)], b);
    if (sscanf(prompt, "How many leap years are there from %d to %d", &x, &y) == 2) {
        for (p = 0; x <= y; x++) p += x % 400 == 0 || (x % 100 != 0 && x % 4 == 0);
        return p == atoi(answer);
    }
    if (sscanf(prompt, "On which day of the month does the %30[a-z] %30[A-Za-z] of %30[A-Za-z] %d", a, b, c, &y) == 4) {
        int n = 0, day = atoi(answer), which = a[0] == 's' ? 2 : a[0] == 't' ? 3 : a[1] == 'i' ? 1 : 4;
        for (int k = 1; k <= day; k++) n += !strcmp(day_names[weekday_by_walking(y, month_of(c), k)], b);
        return n == which && !strcmp(day_names[weekday_by_walking(y, month_of(c), day)], b);
    }
    int y2;
    if (sscanf(prompt, "How many %30[A-Za-z] are there from %30[A-Za-z], %30[A-Za-z] %d, %d to %30[A-Za-z] %d, %d,", a, b, c, &x, &y, d, &p, &y2) != 8) return false;
    a[strlen(a) - 1] = 0;
    int day = x, month = month_of(c), n = 0;
    while (true) {
        n += !strcmp(day_names[weekday_by_walking(y, month, day)], a);
        if (day == p && month == month_of(d) && y == y2) break;
        int w = weekday_by_walking(y, month, day);
        if (day < 28 || (day < 31 && weekday_by_walking(y, month, day + 1) == (w + 1) % 7 && day < 29 + (month != 2) + (month < 8 ? month & 1 : !(month & 1)) * (month != 2) - (month == 2 && !((y % 4 == 0 && y % 100) || y % 400 == 0)))) day++;
        else { day = 1; if (++month > 12) { month = 1; y++; } }
    }
    return n == atoi(answer);
}

static bool check_sorted(const char *answer, const rlvr__json *list, bool descending, bool numbers)
{
    char text[64][32], copy[1024];
    int n = 0;
    snprintf(copy, sizeof copy, "%s", answer);
    for (char *p = strtok(copy, ", "); p; p = strtok(NULL, ", ")) snprintf(text[n++], 32, "%s", p);
    if (n != (int)rlvr__json_count(list)) return false;
    for (int i = 1; i < n; i++) {
        double order = numbers ? atof(text[i]) - atof(text[i - 1]) : strcmp(text[i], text[i - 1]);
        if (descending ? order > 0 : order < 0) return false;
    }
    RLVR__JSON_EACH(item, list) {      /* each item as often as there */
        int a = 0, b = 0;
        for (int i = 0; i < n; i++) a += !strcmp(text[i], item->text);
        RLVR__JSON_EACH(other, list) b += !strcmp(other->text, item->text);
        if (a != b) return false;
    }
    return true;
}

static int far_by_relaxing(const rlvr__json *grid, int *start_row, int *start_col)      /* steps from S to G, by Bellman and Ford */
{
    int n = (int)grid->count, d[64][64], goal = -1;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++) {
            char c = rlvr__json_at(grid, i)->text[k];
            d[i][k] = c == 'S' ? 0 : 9999;
            if (c == 'S') { *start_row = i; *start_col = k; }
        }
    for (int round = 0; round < n * n; round++)
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++) {
                char c = rlvr__json_at(grid, i)->text[k];
                if (c == '#') continue;
                if (i && d[i - 1][k] + 1 < d[i][k]) d[i][k] = d[i - 1][k] + 1;
                if (k && d[i][k - 1] + 1 < d[i][k]) d[i][k] = d[i][k - 1] + 1;
                if (i + 1 < n && d[i + 1][k] + 1 < d[i][k]) d[i][k] = d[i + 1][k] + 1;
                if (k + 1 < n && d[i][k + 1] + 1 < d[i][k]) d[i][k] = d[i][k + 1] + 1;
                if (c == 'G') goal = d[i][k];
            }
    return goal;
}

static bool sat_holds(const rlvr__json *clauses, unsigned values)
{
    RLVR__JSON_EACH(clause, clauses) {
        bool holds = false;
        RLVR__JSON_EACH(item, clause) {
            int x = (int)rlvr__json_int(item, 0);
            holds |= x > 0 ? (values >> (x - 1) & 1) : !(values >> (-x - 1) & 1);
        }
        if (!holds) return false;
    }
    return true;
}

/* Is a stored answer right? By brute force on the task as it was written. */
static bool check_answer(const char *family, const char *prompt, const char *answer, const rlvr__json *j)
{
    long long x[64], number = atoll(answer);
    size_t len;
    int n = 0;
    if (!strcmp(family, "chain_sum")) {
        long long sum = 0, sign = 1;
        for (const char *p = prompt + 8; *p != '?'; p++) {
            if (*p == '+' || *p == '-') sign = *p == '-' ? -1 : 1;
            if (rlvr__is_digit(*p)) { sum += sign * strtoll(p, (char **)&p, 10); p--; }
        }
        return sum == number;
    }
    if (!strcmp(family, "products")) {
        long long a, b, c = 1;
        n = sscanf(prompt, "What is %lld * %lld * %lld", &a, &b, &c);
        return n >= 2 && a * b * (n == 3 ? c : 1) == number;
    }
    if (!strcmp(family, "gcd") || !strcmp(family, "lcm")) {
        n = ints(param(j, "numbers"), x);
        for (long long d = *family == 'g' ? x[0] : 1;; d += *family == 'g' ? -1 : 1) {
            bool all = true;
            for (int i = 0; i < n; i++) all &= *family == 'g' ? x[i] % d == 0 : d % x[i] == 0;
            if (all) return d == number;
        }
    }
    if (!strcmp(family, "base_conversion"))
        return strtoll(rlvr__json_str(param(j, "number"), NULL), NULL, (int)rlvr__json_int(param(j, "from"), 0)) ==
               strtoll(answer, NULL, (int)rlvr__json_int(param(j, "to"), 0));
    if (!strcmp(family, "count_bits")) return __builtin_popcountll((unsigned long long)rlvr__json_int(param(j, "number"), 0)) == number;
    if (!strcmp(family, "letter_counting")) {
        const char *quote = strchr(prompt, '"'), *text = strstr(prompt, "stand in");
        for (const char *p = text + 10; *p != '"'; p++) n += *p == quote[1];
        return n == number;
    }
    if (!strcmp(family, "spell_backward")) {
        const char *word = rlvr__json_str(param(j, "word"), &len);
        for (size_t i = 0; i < len; i++)
            if (word[i] != answer[len - 1 - i]) return false;
        return strlen(answer) == len;
    }
    if (strstr(family, "_sorting"))
        return check_sorted(answer, *family == 'n' ? param(j, "numbers") : param(j, "words"), strstr(prompt, "descending") != NULL, *family == 'n');
    if (!strcmp(family, "caesar")) {
        const char *text = rlvr__json_str(param(j, "text"), &len);
        int shift = (int)rlvr__json_int(param(j, "shift"), -1);
        for (size_t i = 0; i < len; i++)
            if (answer[i] == ' ' ? text[i] != ' ' : (answer[i] - 'a' + shift) % 26 != text[i] - 'a') return false;
        return strlen(answer) == len;
    }
    if (!strcmp(family, "number_sequence")) {      /* some recurrence of the terms, a x[i-1] + b x[i-2] + c, goes on so */
        n = ints(param(j, "terms"), x);
        x[n] = number;
        for (int a = -4; a <= 4; a++)
            for (int b = -1; b <= 1; b++) {
                bool fits = true;
                for (int i = 3; i <= n; i++) fits &= x[i] - a * x[i - 1] - b * x[i - 2] == x[2] - a * x[1] - b * x[0];
                if (fits) return true;
            }
        for (int i = 3; i <= n; i++)      /* or the third differences vanish, or the steps alternate */
            if (x[i] - 3 * x[i - 1] + 3 * x[i - 2] - x[i - 3]) { n = -n; break; }
        if (n > 0) return true;
        n = -n;
        for (int i = 4; i <= n; i++)
            if (x[i] - x[i - 2] != x[i - 2] - x[i - 4]) return false;
        return true;
    }
    if (!strcmp(family, "simple_equations")) {
        char text[128], left[256] = "", right[256] = "", letter = *rlvr__json_str(param(j, "variable"), NULL);
        snprintf(text, sizeof text, "%s", rlvr__json_str(param(j, "equation"), NULL));
        bool behind = false;
        for (const char *p = text; *p; p++) {
            char *side = behind ? right : left;
            if (*p == '=') behind = true;
            else if (*p == letter) sprintf(side + strlen(side), "(%s)", answer);
            else sprintf(side + strlen(side), "%c", *p);
        }
        int used[10] = {0};
        return naive(left, left + strlen(left), used) == naive(right, right + strlen(right), used);
    }
    if (!strcmp(family, "fraction_simplification")) {
        long long a, b, c, d;
        if (sscanf(prompt, "Reduce the fraction %lld/%lld", &a, &b) != 2 || sscanf(answer, "%lld/%lld", &c, &d) != 2 || a * d != b * c) return false;
        for (long long k = 2; k <= d; k++)
            if (c % k == 0 && d % k == 0) return false;
        return true;
    }
    if (!strcmp(family, "prime_factorization")) {
        long long product = 1, of = 0;
        sscanf(prompt, "Write %lld as", &of);
        for (const char *p = answer; *p; ) {
            long long f = strtoll(p, (char **)&p, 10);
            for (long long k = 2; k < f; k++)
                if (f % k == 0) return false;
            product *= f;
            p += strspn(p, " *");
        }
        return product == of;
    }
    if (!strcmp(family, "calendar")) return check_calendar(prompt, answer);
    if (!strcmp(family, "countdown") || !strcmp(family, "game24")) {
        int have[10000] = {0};
        n = ints(param(j, "numbers"), x);
        for (int i = 0; i < n; i++) have[x[i]]++;
        for (const char *p = answer; *p; p++)
            if (rlvr__is_digit(*p)) { have[strtoll(p, (char **)&p, 10)]--; p--; }
        for (int i = 0; i < 10000; i++)
            if (have[i] < 0 || (*family == 'g' && have[i])) return false;
        int used[10] = {0};
        return fabs(naive(answer, answer + strlen(answer), used) - (*family == 'g' ? 24 : (double)rlvr__json_int(param(j, "target"), 0))) < 1e-9;
    }
    if (!strcmp(family, "mini_sudoku")) {
        int cell[16], solutions = 0;
        for (const char *p = answer; *p; p++)
            if (rlvr__is_digit(*p)) cell[n++] = *p - '0';
        for (int code = 0; code < 24 * 24 * 24 * 24; code++) {      /* every grid whose rows are permutations */
            static const char rows[] = "1234124313241342142314322134214323142341241324313124314232143241341234214123413242134231431243210";
            bool fits = true;
            int grid[16], rest = code;
            for (int r = 0; r < 4; r++, rest /= 24)
                for (int k = 0; k < 4; k++) grid[r * 4 + k] = rows[rest % 24 * 4 + k] - '0';
            for (int i = 0; fits && i < 16; i++) {
                int given = (int)rlvr__json_int(rlvr__json_at(rlvr__json_at(param(j, "puzzle"), i / 4), i % 4), 0);
                fits = !given || given == grid[i];
                for (int k = 0; fits && k < i; k++)
                    if (grid[i] == grid[k] && (i % 4 == k % 4 || i / 4 == k / 4 || (i / 8 == k / 8 && i % 4 / 2 == k % 4 / 2))) fits = false;
            }
            if (!fits) continue;
            solutions++;
            if (memcmp(grid, cell, sizeof grid)) return false;
        }
        return n == 16 && solutions == 1;
    }
    if (!strcmp(family, "maze")) {
        int row, col, far = far_by_relaxing(param(j, "grid"), &row, &col);
        if (strstr(prompt, "How many")) return far == number;
        for (const char *p = answer; *p; p += strcspn(p, " "), p += *p == ' ', n++) {
            row += (*p == 'd') - (*p == 'u');
            col += (*p == 'r') - (*p == 'l');
            const rlvr__json *line = rlvr__json_at(param(j, "grid"), row);
            if (!line || col < 0 || col >= (int)line->len || line->text[col] == '#') return false;
        }
        return n == far && rlvr__json_at(param(j, "grid"), row)->text[col] == 'G';
    }
    if (!strcmp(family, "sat")) {
        unsigned values = 0;
        for (const char *p = answer; *p; p++)
            if (*p >= 'A' && *p <= 'Z' && p[1] == '=' && p[2] == 't') values |= 1u << (*p - 'A');
        return sat_holds(param(j, "clauses"), values);
    }
    return false;
}

static uint64_t fnv(uint64_t h, const char *s) { for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u; return h; }

static void test_family(const char *family)
{
    rlvr_task_maker maker;
    rlvr_task task;
    int n = quick ? 6 : 60, wrong = 0, guessed = 0;
    double best_share = 0, size[6] = {0};
    int best_level = 0, fewest = 1 << 30;
    memset(&maker, 0, sizeof maker);
    maker.ctx = ctx;
    maker.family = family;
    maker.seed = 99;
    for (maker.level = 1; maker.level <= 5; maker.level++) {
        char *answers[200], *lines[200], text[4096];
        int n_made = quick ? 60 : 200, distinct = 0;
        for (int i = 0; i < n_made; i++) {
            if (!CHECK(rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK)) return;
            answers[i] = strdup(task.answer);
            lines[i] = strdup(task.json);
            for (const char *p = task.json; *p; p++) size[maker.level] += (*p == '_' ? 20.0 : 1.0) / n_made;
            distinct += i == 0;
            bool seen = false;
            for (int k = 0; k < i; k++) seen |= !strcmp(lines[k], lines[i]);
            distinct += i && !seen;
        }
        if (distinct * 100 / n_made < fewest) fewest = distinct * 100 / n_made;
        for (int i = 0; i < n; i++) {
            rlvr__json *j = rlvr__json_parse(ctx, family, lines[i], strlen(lines[i]), 1);
            if (!CHECK(j != NULL)) return;
            const char *prompt = rlvr__json_str(rlvr__json_get(j, "prompt"), NULL), *a = answers[i];
            if ((strcmp(family, "mini_sudoku") || i < 3) && !check_answer(family, prompt, a, j) && wrong++ < 3) printf("    not right: %s\n", lines[i]);
            static const char *const right[] = {"%s", "<answer>%s</answer>", "\\boxed{%s}", "<think>\\boxed{9}</think>\n%s\n", "Let me think.\n\n%s\n",
                                                "<think>hm\n</think>\n<answer>\n%s\n</answer>", "I think 5 or 7.\n\\boxed{%s}.", "#### %s", "The answer is:\n%s"};
            for (int k = 0; k < 9; k++) {
                if (k == 7 && strchr(a, '\n')) continue;
                snprintf(text, sizeof text, right[k], a);
                if (proc(lines[i], a, text) != 1 && wrong++ < 6) printf("    refused, %s: %s: %s\n", last.reason, text, lines[i]);
            }
            /* no answer, the prompt, a denial, answers that are not finished, several at once */
            static const char *const none[] = {"", "?", "I do not know.", "<answer></answer>", "\\boxed{}", "<think>%s", "<think>%s</think>", "<answer>%s", "\\boxed{%s",
                                               "<answer>not %s</answer>", "The answer is not %s", "<answer>%s or 7 or Monday</answer>", "It isn't %s", "<answer>%s</answer> <answer>?</answer>"};
            for (int k = 0; k < 14; k++) {
                snprintf(text, sizeof text, none[k], a);
                if ((!strcmp(family, "mini_sudoku") && (k == 10 || k == 12))) continue;      /* rows stand on lines of their own */
                if (proc(lines[i], a, text) != 0 && wrong++ < 12) printf("    accepted: %s: %s\n", text, lines[i]);
            }
            if (proc(lines[i], a, prompt) != 0 && wrong++ < 12) printf("    the prompt is an answer to %s\n", lines[i]);
            /* one character more, less or other: right only where the check by brute force says so */
            for (int k = 0; k < 6; k++) {
                snprintf(text, sizeof text, "<answer>%s</answer>", a);
                char *at = text + 8 + dice((uint32_t)strlen(a));
                char old = *at;
                if (k < 3) memmove(at, at + 1, strlen(at));
                else *at = "0123456789xq"[dice(12)];
                if (old == ' ' || old == ',' || old == '(' || old == ')' || old == '\n' || old == '=' || old == '.' || *at == old || (*at == 'x' && old == '*')) continue;
                text[strlen(text) - 9] = 0;
                bool still = strlen(text + 8) > 0 && strspn(text + 8, " ,") != strlen(text + 8) && strcmp(family, "mini_sudoku") && strcmp(family, "maze") &&
                             strcmp(family, "sat") && strcmp(family, "calendar") && strcmp(family, "base_conversion") && strcmp(family, "number_sorting") &&
                             strcmp(family, "prime_factorization") && strcmp(family, "number_sequence") && !strpbrk(text + 8, "xq") && check_answer(family, prompt, text + 8, j);
                bool zeros = old == '0' && k < 3 && (at == text + 8 || !rlvr__is_digit(at[-1]) || !strcmp(family, "number_sorting"));      /* 09, 5.10 */
                zeros |= !strcmp(family, "sat") || (!strcmp(family, "maze") && !rlvr__is_digit(a[0])) || (!strcmp(family, "prime_factorization") && old == '*');
                strcat(text, "</answer>");
                if (!still && !zeros && proc(lines[i], a, text) != 0 && wrong++ < 12) printf("    accepted: %s: %s\n", text, lines[i]);
            }
            rlvr__json_free(ctx, j);
        }
        /* the same again, in another order and context; other seeds make others */
        int same = 0, others = 0;
        for (int i = n - 1; i >= 0; i--) same += rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK && !strcmp(task.json, lines[i]);
        maker.seed = 100;
        for (int i = 0; i < n; i++) others += rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK && strcmp(task.json, lines[i]) != 0;
        maker.seed = 99;
        CHECK(same == n && others >= n - 2);
        /* what the most common answer would earn, and some other cheap ones */
        int most = 0, which = 0;
        for (int i = 0; i < n_made; i++) {
            int count = 0;
            for (int k = 0; k < n_made; k++) count += !strcmp(answers[i], answers[k]);
            if (count > most) { most = count; which = i; }
        }
        const char *cheap[] = {answers[which], "0", "1", "2", "3", "4", "5", "6", "Monday", "up", "1 2 3 4 5 6 7 8 9 10", "true", "A=true, B=true, C=true, D=true, E=true, F=true, G=true",
                               "A=false, B=false, C=false, D=false, E=false, F=false, G=false", "A=true, B=false, C=true, D=false, E=true, F=false, G=true"};
        for (int k = 0; k < 15; k++) {
            int earned = 0;
            for (int i = 0; i < n_made; i++) earned += proc(lines[i], answers[i], cheap[k]) == 1;
            if ((double)earned / n_made > best_share) { best_share = (double)earned / n_made; guessed = k; best_level = maker.level; }
        }
        for (int i = 0; i < n_made; i++) { free(answers[i]); free(lines[i]); }
    }
    rlvr_task_maker_free(&maker);
    CHECK(wrong == 0);
    CHECK(size[5] > size[1]);
    CHECK_LE(best_share, quick ? 0.45 : 0.35);
    CHECK(fewest >= 20);      /* spell_backward has one word of a list */
    REPORT("%-24s fewest distinct of a level %d %%, best constant answer earns %.0f %% (level %d, kind %d)", family, fewest, 100 * best_share, best_level, guessed);
}

static void test_all(void)      /* the bits that every machine must make */
{
    rlvr_task_maker maker;
    rlvr_task task;
    uint64_t h = 14695981039346656037u;
    memset(&maker, 0, sizeof maker);
    maker.ctx = ctx;
    maker.family = "all";
    maker.seed = 0x123456789abcdefu;
    for (maker.level = 1; maker.level <= 5; maker.level++)
        for (uint64_t i = 0; i < 21 * 10; i++) {
            CHECK(rlvr_make_task(&maker, i + ((uint64_t)1 << 40), &task) == RLVR_OK);
            h = fnv(h, task.json);
        }
    REPORT("hash of 1050 tasks: %016llx", (unsigned long long)h);
    CHECK(h == 0xb1faca09f86478ffu);
    maker.level = 0;
    maker.family = "gcd,chain_sum";
    CHECK(rlvr_make_task(&maker, 4, &task) == RLVR_OK && strstr(task.json, "\"gcd\",\"level\":1"));
    CHECK(rlvr_make_task(&maker, 5, &task) == RLVR_OK && strstr(task.json, "chain_sum"));
    char *line = strdup(task.json);
    maker.family = "chain_sum";
    CHECK(rlvr_make_task(&maker, 2, &task) == RLVR_OK && !strcmp(task.json, line));
    free(line);
    static const char *const bad[] = {"", "fame", "gcd,", ",gcd", "gcd,fame", "gcd chain_sum"};
    for (int i = 0; i < 6; i++) {
        maker.family = bad[i];
        CHECK(rlvr_make_task(&maker, 0, &task) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_task_maker.family"));
    }
    maker.family = NULL;
    CHECK(rlvr_make_task(&maker, 0, &task) == RLVR_ERROR_ARGUMENT);
    maker.family = "gcd";
    maker.level = 6;
    CHECK(rlvr_make_task(&maker, 0, &task) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "level"));
    rlvr_task_maker_free(&maker);
    int n = 0;
    while (rlvr_family_name(n)) n++;
    CHECK(n == 21 && !rlvr_family_name(-1));
}

/* ---- any right answer ---- */

static void test_alternatives(void)
{
    rlvr_task_maker maker;
    rlvr_task task;
    char text[512];
    int wrong = 0, right = 0, n = quick ? 10 : 60;
    memset(&maker, 0, sizeof maker);
    maker.ctx = ctx;
    maker.seed = 5;
    maker.level = 4;
    maker.family = "sat";      /* all values of all variables */
    for (int i = 0; i < n; i++) {
        CHECK(rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK);
        char *line = strdup(task.json);
        rlvr__json *j = rlvr__json_parse(ctx, "sat", line, strlen(line), 1);
        for (unsigned v = 0; v < 128; v++) {
            static const char *const spelled[] = {"%s%c=%s", "%s%c: %s", "%s%c is %s", "%s$%c$ = %s", "%s**%c** = %s"}, *const names[] = {"true", "True", "TRUE", "T", "1"};
            static const char *const nots[] = {"false", "False", "FALSE", "F", "0"};
            char *at = text;
            for (int k = 0; k < 7; k++) at += sprintf(at, spelled[v % 5], k ? v & 1 ? ", " : "\n" : "", 'A' + k, v >> k & 1 ? names[v % 5] : nots[v % 5]);
            int got = proc(line, NULL, text), want = sat_holds(param(j, "clauses"), v);
            right += want;
            if (got != want && wrong++ < 5) printf("    sat: got %d for %s: %s\n", got, text, line);
        }
        rlvr__json_free(ctx, j);
        free(line);
    }
    REPORT("sat: %d assignments, %d of them right", 128 * n, right);
    CHECK(right > n);
    maker.family = "maze";      /* random walks of the shortest length and one that is longer */
    int paths = 0;
    for (int i = 0; i < n; i++) {
        CHECK(rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK);
        if (!strstr(task.json, "\"path\"")) continue;
        char *line = strdup(task.json);
        rlvr__json *j = rlvr__json_parse(ctx, "maze", line, strlen(line), 1);
        const rlvr__json *grid = param(j, "grid");
        int row0 = 0, col0 = 0, far = far_by_relaxing(grid, &row0, &col0);
        for (int round = 0; round < 400; round++) {
            int row = row0, col = col0, steps = far + (round % 8 == 0 ? 2 : 0);
            char *at = text;
            bool inside = true;
            *text = 0;
            for (int k = 0; k < steps; k++) {
                int d = (int)dice(4);
                at += sprintf(at, "%s%s", k ? " " : "", rlvr__directions[d]);
                row += (d == 2) - (d == 0);
                col += (d == 1) - (d == 3);
                const rlvr__json *l = row >= 0 ? rlvr__json_at(grid, row) : NULL;
                inside = inside && l && col >= 0 && col < (int)l->len && l->text[col] != '#';
            }
            int want = inside && steps == far && rlvr__json_at(grid, row)->text[col] == 'G', got = proc(line, NULL, text);
            paths += want;
            if (got != want && wrong++ < 5) printf("    maze: got %d for %s: %s\n", got, text, line);
        }
        rlvr__json_free(ctx, j);
        free(line);
    }
    REPORT("maze: %d random walks were shortest paths", paths);
    rlvr_task_maker_free(&maker);
    CHECK(wrong == 0 && paths > 0);
    static const char *const two = "{\"family\":\"mini_sudoku\",\"params\":{\"puzzle\":[[1,2,3,4],[3,4,1,2],[0,0,0,0],[0,0,0,0]]}}";
    CHECK(proc(two, NULL, "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1") == 1 && proc(two, NULL, "1 2 3 4\n3 4 1 2\n4 3 2 1\n2 1 4 3") == 1);
    CHECK(proc(two, NULL, "1 2 3 4\n3 4 1 2\n4 3 2 1\n4 3 2 1") == 0 && proc(two, NULL, "1 2 3 4\n3 4 1 2\n2 1 4 3") == 0);
    CHECK(proc(two, NULL, "2 1 3 4\n3 4 1 2\n1 2 4 3\n4 3 2 1") == 0 && proc(two, NULL, "| 1 2 | 3 4 |\n| 3 4 | 1 2 |\n|-----+-----|\n| 2 1 | 4 3 |\n| 4 3 | 2 1 |") == 1);
    CHECK(proc(two, NULL, "[[1,2,3,4],\n[3,4,1,2],\n[2,1,4,3],\n[4,3,2,1]]") == 1 && proc(two, NULL, "1 2 3 4\n3 4 1 2\n9 1 4 3\n4 3 2 1") == 0);
    static const char *const square = "{\"family\":\"simple_equations\",\"params\":{\"equation\":\"x*x = 9\",\"variable\":\"x\"}}";
    CHECK(proc(square, NULL, "3") == 1 && proc(square, NULL, "x = -3") == 1 && proc(square, NULL, "x = 9/3") == 1 && proc(square, NULL, "4") == 0);
    static const char *const half = "{\"family\":\"simple_equations\",\"params\":{\"equation\":\"2*y + 1 = 8\",\"variable\":\"y\"}}";
    CHECK(proc(half, NULL, "7/2") == 1 && proc(half, NULL, "3.5") == 1 && proc(half, NULL, "$y = \\frac{7}{2}$") == 1 && proc(half, NULL, "$y$ = 3.50.") == 1);
    CHECK(proc(half, NULL, "y = 3") == 0 && proc(half, NULL, "2*y + 1 = 8") == 0 && proc(half, NULL, "y") == 0 && proc(half, NULL, "y = y") == 0 && proc(half, NULL, "So y = 3.5") == 1);
    CHECK(proc("{\"family\":\"simple_equations\",\"params\":{\"equation\":\"y = y\",\"variable\":\"y\"}}", NULL, "3") == -1);
    CHECK(proc("{\"family\":\"simple_equations\",\"params\":{\"equation\":\"1/y = 1/2\",\"variable\":\"y\"}}", NULL, "2") == 1);
    CHECK(proc("{\"family\":\"simple_equations\",\"params\":{\"equation\":\"1/y = 1/2\",\"variable\":\"y\"}}", NULL, "0") == 0);
    static const char *const f = "{\"family\":\"fraction_simplification\",\"params\":{\"numerator\":6,\"denominator\":8}}";
    CHECK(proc(f, NULL, "3/4") == 1 && proc(f, NULL, "6/8 = 3/4") == 1 && proc(f, NULL, "$\\frac{3}{4}$.") == 1 && proc(f, NULL, "It is 3/4, I think") == 1);
    CHECK(proc(f, NULL, "6/8") == 0 && strstr(last.reason, "lowest") && proc(f, NULL, "-3/4") == 0 && proc(f, NULL, "0.75") == 0 && proc(f, NULL, "3/4/1") == 0 && proc(f, NULL, "4/3") == 0);
    static const char *const p = "{\"family\":\"prime_factorization\",\"params\":{\"number\":12}}";
    CHECK(proc(p, NULL, "2 * 2 * 3") == 1 && proc(p, NULL, "3*2*2") == 1 && proc(p, NULL, "2^2 \\times 3") == 1 && proc(p, NULL, "12 = 2^{2} * 3") == 1 && proc(p, NULL, "[2, 2, 3]") == 1);
    CHECK(proc(p, NULL, "4 * 3") == 0 && proc(p, NULL, "2 * 3") == 0 && proc(p, NULL, "12") == 0 && proc(p, NULL, "2*2*3*1") == 0 && proc(p, NULL, "2*2*3*") == 0 && proc(p, NULL, "2^2^1*3") == 0);
    static const char *const w = "{\"family\":\"word_sorting\",\"params\":{\"words\":[\"pear\",\"apple\",\"fig\"]}}";
    CHECK(proc(w, NULL, "apple, fig, pear") == 1 && proc(w, NULL, "[\"apple\", \"fig\", \"pear\"]") == 1 && proc(w, NULL, "<answer>apple\nfig\npear</answer>") == 1 && proc(w, NULL, "apple fig pear") == 1);
    CHECK(proc(w, NULL, "apple, fig") == 0 && proc(w, NULL, "apple, pear, fig") == 0 && proc(w, NULL, "apple, fig, pear, pear") == 0 && proc(w, NULL, "Apple, fig, pear") == 0);
    static const char *const b = "{\"family\":\"base_conversion\",\"params\":{\"number\":\"31\",\"from\":10,\"to\":16}}";
    CHECK(proc(b, NULL, "1f") == 1 && proc(b, NULL, "1F") == 1 && proc(b, NULL, "0x1f") == 1 && proc(b, NULL, "$1f_{16}$") == 1 && proc(b, NULL, "1f (base 16)") == 1 && proc(b, NULL, "It is 1f.") == 1);
    CHECK(proc(b, NULL, "31") == 0 && proc(b, NULL, "1f 1f") == 0 && proc(b, NULL, "0b11111") == 0 && proc(b, NULL, "-1f") == 0);
    static const char *const c = "{\"family\":\"calendar\",\"params\":{\"ask\":\"leap\",\"year\":2000}}";
    CHECK(proc(c, NULL, "Yes") == 1 && proc(c, NULL, "No.") == 0 && proc(c, NULL, "yes and no") == 0 && proc(c, NULL, "The answer is yes") == 1);
    static const char *const s = "{\"family\":\"chain_sum\",\"params\":{\"terms\":[1000,234]}}";
    CHECK(proc(s, NULL, "1,234") == 1 && proc(s, NULL, "1000 + 234") == 0 && proc(s, NULL, "1000 + 234 = 1234") == 1 && proc(s, NULL, "+1234.0") == 1 && proc(s, NULL, "-1234") == 0);
    static const char *const nowhere = "{\"family\":\"maze\",\"params\":{\"grid\":[\"S#G\"],\"ask\":\"path\"}}";
    CHECK(proc(nowhere, NULL, "infeasible") == 1 && proc(nowhere, NULL, "right right") == 0);
}

/* ---- tasks that cannot be graded ---- */

static void test_bad(void)
{
    static const char *const bad[] = {"{}", "{\"family\":\"gcd\"}", "{\"family\":\"fame\",\"params\":{}}", "{\"family\":\"gcd\",\"params\":{}}", "{\"family\":7,\"params\":{\"numbers\":[1]}}",
        "{\"family\":\"gcd\",\"params\":{\"numbers\":[]}}", "{\"family\":\"gcd\",\"params\":{\"numbers\":[0,0]}}", "{\"family\":\"gcd\",\"params\":{\"numbers\":[1,\"2\"]}}",
        "{\"family\":\"lcm\",\"params\":{\"numbers\":[9223372036854775807,9223372036854775806]}}", "{\"family\":\"lcm\",\"params\":{\"numbers\":[0]}}",
        "{\"family\":\"chain_sum\",\"params\":{\"terms\":[9223372036854775807,1]}}", "{\"family\":\"products\",\"params\":{\"factors\":[9223372036854775807,3]}}",
        "{\"family\":\"number_sequence\",\"params\":{\"terms\":[1,2]}}", "{\"family\":\"mini_sudoku\",\"params\":{\"puzzle\":[[1,2,3,4]]}}",
        "{\"family\":\"maze\",\"params\":{\"grid\":[\"SG\",\"S\"]}}", "{\"family\":\"maze\",\"params\":{\"grid\":[\"S.\"]}}", "{\"family\":\"maze\",\"params\":{\"grid\":[\"SG\"],\"ask\":\"x\"}}",
        "{\"family\":\"sat\",\"params\":{\"variables\":2,\"clauses\":[[3]]}}", "{\"family\":\"sat\",\"params\":{\"variables\":27,\"clauses\":[[1]]}}",
        "{\"family\":\"calendar\",\"params\":{\"ask\":\"weekday\",\"date\":\"2022-02-30\"}}", "{\"family\":\"calendar\",\"params\":{\"ask\":\"moon\"}}",
        "{\"family\":\"simple_equations\",\"params\":{\"equation\":\"x + \",\"variable\":\"x\"}}", "{\"family\":\"base_conversion\",\"params\":{\"number\":\"19\",\"from\":8,\"to\":2}}",
        "{\"family\":\"fraction_simplification\",\"params\":{\"numerator\":1,\"denominator\":0}}", "{\"family\":\"prime_factorization\",\"params\":{\"number\":1}}",
        "{\"family\":\"countdown\",\"params\":{\"numbers\":[1],\"target\":\"x\"}}", "{\"family\":\"word_sorting\",\"params\":{\"words\":[1]}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (!CHECK(proc(bad[i], NULL, "A=true, B=false\n7") == -1)) printf("    %s\n", bad[i]);
    rlvr_reward_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kind = RLVR_REWARD_PROC;
    rlvr_task task;
    memset(&task, 0, sizeof task);
    task.prompt = "?";
    task.line = 31;
    static const char *const lacks[][2] = {{"{}", "family"}, {"{\"family\":\"gcd\"}", "params"}, {"{\"family\":\"gcd\",\"params\":{}}", "numbers"},
                                           {"{\"family\":\"number_sequence\",\"params\":{\"terms\":[1]}}", "answer"}};
    for (int i = 0; i < 4; i++) {
        rlvr_tasks *tasks = rlvr_tasks_new(ctx);
        task.json = lacks[i][0];
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK && rlvr_reward_check(ctx, &desc, tasks) == RLVR_ERROR_FORMAT);
        CHECK(strstr(rlvr_last_error(ctx), "line 31") && strstr(rlvr_last_error(ctx), lacks[i][1]));
        rlvr_tasks_free(tasks);
    }
    desc.kind = RLVR_REWARD_COUNTDOWN;
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    task.json = "{\"numbers\":[1,2]}";
    CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK && rlvr_reward_check(ctx, &desc, tasks) == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "target"));
    rlvr_tasks_free(tasks);
}

/* ---- hostile text ---- */

static void test_hostile(void)
{
    static const char *const piece[] = {"1", "42", "3*8", "A=true", "B=false,", "up", "left ", "Monday", "not ", "n't", " is ", ":", "=", "(", ")", "[", "]", "{", "}", "\\boxed{", "\\frac{",
                                        "\\text{", "<answer>", "</answer>", "<think>", "</think>", "####", "\n", " ", "$", "\\", "**", "*", "/", "+", "-", "^", "\xc3\x97", "\xe2", "\xff", "\"",
                                        "'", "`", ",", ".", "1 2 3 4\n", "x", "```", "->", "\xe2\x86\x91", "\\left(", "\\(", "0"};
    int n_pieces = (int)(sizeof piece / sizeof *piece), n_tasks = 0;
    char *tasks[48];
    double most = 0;
    const char *what = "";
    rlvr_task_maker maker;
    rlvr_task task;
    memset(&maker, 0, sizeof maker);
    maker.ctx = ctx;
    maker.family = "all";
    maker.level = 3;
    for (int i = 0; i < 42; i++) {
        CHECK(rlvr_make_task(&maker, (uint64_t)i, &task) == RLVR_OK);
        tasks[n_tasks++] = strdup(task.json);
    }
    tasks[n_tasks++] = strdup("{\"family\":\"calendar\",\"params\":{\"ask\":\"leap\",\"year\":2000}}");
    rlvr_task_maker_free(&maker);
    char text[1024];
    for (int round = 0; round < (quick ? 3000 : 60000); round++) {
        size_t len = 0;
        for (int k = (int)dice(16); k >= 0; k--) {
            const char *p = piece[dice((uint32_t)n_pieces)];
            memcpy(text + len, p, strlen(p));
            len += strlen(p);
            if (dice(20) == 0) text[len++] = (char)dice(256);
        }
        grade(RLVR_REWARD_PROC, tasks[round % n_tasks], "7", text, len);
    }
    size_t big = quick ? 20000 : 40000;
    char *flood = (char *)malloc(big + 1);
    for (int k = 0; k < n_pieces; k++) {      /* no piece makes any of them slow or deep */
        size_t len = 0, n = strlen(piece[k]);
        for (; len + n <= big; len += n) memcpy(flood + len, piece[k], n);
        for (int i = 0; i < 22; i++) {
            uint64_t before = test_work;
            grade(RLVR_REWARD_PROC, tasks[i == 21 ? n_tasks - 1 : i], "7", flood, len);
            double work = (double)(test_work - before);
            if (work > most) { most = work; what = piece[k]; }
        }
    }
    CHECK_LE(most / (double)big, 1000);
    REPORT("%zu bytes of one piece repeated take at most %.0f blocks and bytes each (%s)", big, most / (double)big, what);
    double once = 0, twice = 0;      /* and all of them together are linear */
    for (int round = 0; round < 2; round++)
        for (int k = 0; k < n_pieces; k += 3)
            for (int i = 0; i < 22; i += 3) {
                size_t len = 0, n = strlen(piece[k]), most = big / 2 << round;
                for (; len + n <= most; len += n) memcpy(flood + len, piece[k], n);
                uint64_t before = test_work;
                grade(RLVR_REWARD_PROC, tasks[i == 21 ? n_tasks - 1 : i], "7", flood, len);
                *(round ? &twice : &once) += (double)(test_work - before);
            }
    CHECK_LE(twice, 2.3 * once);
    REPORT("twice the text, %.2f times the work", twice / once);
    for (int i = 0; i < n_tasks; i++) free(tasks[i]);
    free(flood);
}

/* ---- the trainer asks the generator and grades with its scorers ---- */

static void test_trainer(void)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc md;
    rlvr_task_maker maker;
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    memset(&md, 0, sizeof md);
    memset(&maker, 0, sizeof maker);
    memset(&d, 0, sizeof d);
    md.n_vocab = 259; md.n_ctx = 512; md.d_model = 16; md.n_layers = 1; md.n_heads = 2; md.n_kv_heads = 1; md.head_dim = 8; md.d_ff = 16;
    rlvr_model *m = rlvr_model_init(ctx, &md);
    if (!CHECK(m && rlvr_model_set_byte_tokenizer(m, special, 2) == RLVR_OK)) return;
    maker.ctx = ctx;
    maker.family = "chain_sum,gcd";
    d.task_fn = rlvr_make_task;
    d.task_user = &maker;
    d.reward.kind = RLVR_REWARD_PROC;
    d.prompts_per_step = d.group_size = 2;
    d.sampling.max_tokens = 4;
    d.memory_limit = (int64_t)1 << 30;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!CHECK(t && rlvr_train_step(t, &metrics) == RLVR_OK)) { printf("    %s\n", rlvr_last_error(ctx)); return; }
    CHECK(metrics.n_rollouts == 4 && metrics.n_reward_errors == 0);
    rlvr_rollouts *o = rlvr_trainer_rollouts(t);
    CHECK(strstr(rlvr_rollouts_get(o, 0)->task->json, "chain_sum") && strstr(rlvr_rollouts_get(o, 3)->task->json, "\"gcd\""));
    rlvr_trainer_close(t);
    rlvr_task_maker_free(&maker);
    rlvr_model_free(m);
}

int main(void)
{
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 1;
    desc.quiet = true;
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    ctx = rlvr_open(&desc);
    if (!CHECK(ctx != NULL)) return test_done();
    test_countdown();
    test_countdown_random();
    test_all();
    test_alternatives();
    test_bad();
    test_trainer();
    test_fixture();
    for (int i = 0; rlvr_family_name(i); i++) test_family(rlvr_family_name(i));
    test_hostile();
    rlvr_close(ctx);
    return test_done();
}
