/* The verifier `math`, sections 15.2 to 15.4a: 3,600 pairs judged by the package math-verify (tests/parity_math.py makes
   tests/data/math_ref.jsonl), what each mode and option asks for, statuses, hostile input, and that time grows linearly. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static rlvr_grade_result result;

static rlvr_status grade_bytes(const char *gold, const char *pred, size_t len, const char *options, const char *task_json)
{
    rlvr_reward_desc d;
    rlvr_task task;
    memset(&d, 0, sizeof d);
    memset(&task, 0, sizeof task);
    d.kind = RLVR_REWARD_MATH;
    d.options = options;
    task.answer = gold;
    task.json = task_json;
    memset(&result, 0, sizeof result);
    rlvr_grade_task(ctx, &d, pred, len, &task, &result);
    return result.status;
}

static rlvr_status grade(const char *gold, const char *pred, const char *options) { return grade_bytes(gold, pred, strlen(pred),
    options, NULL); }

#define EQUAL(gold, pred)    test_check(grade(gold, pred, NULL) == RLVR_STATUS_EQUAL, __FILE__, __LINE__, gold " = " pred)
#define UNEQUAL(gold, pred)  test_check(grade(gold, pred, NULL) == RLVR_STATUS_UNEQUAL, __FILE__, __LINE__, gold " != " pred)
#define STATUS(gold, pred, options, status) test_check(grade(gold, pred, options) == (status), __FILE__, __LINE__, gold " ? " pred " is " #status)

/* ---- the package's verdicts ---- */

static void test_reference(void)
{
    rlvr__file f;
    int lines = 0, agree = 0, differ = 0, unreasoned = 0, wrong = 0, stale = 0;
    if (!CHECK(rlvr__file_open(ctx, "tests/data/math_ref.jsonl", &f) == RLVR_OK)) return;
    const char *end = (const char *)f.data + f.len;
    for (const char *p = (const char *)f.data, *next; p < end; p = next) {
        next = (const char *)memchr(p, '\n', (size_t)(end - p));
        next = next ? next + 1 : end;
        rlvr__json *j = rlvr__json_parse(ctx, "math_ref.jsonl", p, (size_t)(next - p), ++lines);
        if (!CHECK(j != NULL)) break;
        size_t n = 0;
        const char *pred = rlvr__json_str(rlvr__json_get(j, "pred"), &n), *gold = rlvr__json_str(rlvr__json_get(j, "gold"), NULL);
        const char *reason = rlvr__json_str(rlvr__json_get(j, "reason"), NULL);
        bool verdict = rlvr__json_bool(rlvr__json_get(j, "verdict"), false), right = rlvr__json_bool(rlvr__json_get(j, "right"),
            false);
        const rlvr__json *o = rlvr__json_get(j, "options");
        char options[64];
        snprintf(options, sizeof options, "{\"allow_set_relation_comp\":%s}", rlvr__json_bool(rlvr__json_get(o,
            "allow_set_relation_comp"), false) ? "true" : "false");
        bool equal = grade_bytes(gold, pred, n, options, NULL) == RLVR_STATUS_EQUAL;
        bool same = equal == verdict;
        agree += same;
        differ += !same;
        if (!same && !reason) { unreasoned++; printf("    line %d: %s ? %s: ours %s\n", lines, gold, pred,
            rlvr_status_text(result.status)); }
        if (!same && reason && strncmp(reason, rlvr_status_text(result.status), strlen(rlvr_status_text(result.status)))) stale++;
        if (!same && equal && !right) { wrong++; printf("    line %d: accepted: %s ? %s\n", lines, gold, pred); }
        rlvr__json_free(ctx, j);
    }
    REPORT("%d pairs, %d agree with math-verify (%.2f %%), %d differ with a reason", lines, agree, 100.0 * agree / lines,
        differ - unreasoned);
    CHECK(lines >= 3000);
    CHECK(agree >= 0.98 * lines);
    CHECK(unreasoned == 0);
    CHECK(wrong == 0);
    CHECK(stale == 0);
    rlvr__file_close(ctx, &f);
}

/* ---- arithmetic ---- */

static void test_arithmetic(void)
{
    EQUAL("$2^{200}$", "$1606938044258990275541962092341162602522202993782792835301376$");
    UNEQUAL("$2^{200}$", "$1606938044258990275541962092341162602522202993782792835301377$");
    EQUAL("$25!$", "$15511210043330985984000000$");
    UNEQUAL("$25!$", "$15511210043330985984000001$");
    EQUAL("$\\binom{100}{50}$", "$100891344545564193334812497256$");
    UNEQUAL("$\\binom{100}{50}$", "$100891344545564193334812497257$");
    EQUAL("$\\frac{123456789012345678901234567890}{987654321098765432109876543210}$",
        "$\\frac{13717421001371742100137174210}{109739369010973936901097393690}$");
    UNEQUAL("$\\frac{1}{3}$", "$\\frac{33333333333333333333}{100000000000000000000}$");
    EQUAL("$x+10^{30}$", "$10^{30}+x$");
    UNEQUAL("$x+10^{30}$", "$x+10^{30}+1$");
    UNEQUAL("$(x+10^{30})(x+1)$", "$(x+10^{30}+1)(x+1)$");
    UNEQUAL("$\\sqrt{2}+10^{30}$", "$\\sqrt{3}+10^{30}$");
    UNEQUAL("$2^{70}\\sqrt2$", "$2^{70}\\sqrt2+1$");
    UNEQUAL("$\\sum_{k=0}^{70}2^k$", "$2^{71}$");
    EQUAL("$0.\\overline{3}$", "$\\frac13$");
    EQUAL("$0.1\\overline{6}$", "$\\frac16$");
    EQUAL("$\\sqrt{\\frac{49}{64}}$", "$\\frac78$");
    EQUAL("$27^{2/3}$", "$9$");
    UNEQUAL("$0.1$", "$0.1000006$");
    EQUAL("$0.1$", "$0.1000004$");
    STATUS("$0.1$", "$0.12$", "{\"precision\":1}", RLVR_STATUS_EQUAL);
    STATUS("$0.1$", "$0.16$", "{\"precision\":1}", RLVR_STATUS_UNEQUAL);
    STATUS("$\\frac13$", "$0.333333$", "{\"precision\":9}", RLVR_STATUS_UNEQUAL);
    STATUS("$\\frac13$", "$0.333333333$", "{\"precision\":9}", RLVR_STATUS_EQUAL);
    STATUS("$1$", "$1$", "{\"precision\":19}", RLVR_STATUS_ERROR);
    STATUS("$1$", "$1$", "{\"mode\":\"lenient\"}", RLVR_STATUS_ERROR);
}

/* ---- where the answer stands ---- */

static void test_extraction(void)
{
    EQUAL("\\frac12", "The answer is $0.5$.");
    CHECK_STR(result.extracted, "0.5");
    EQUAL("72", "He did 48/2 = <<48/2=24>>24 clips.\n48+24 = <<48+24=72>>72 altogether.\n#### 72");
    EQUAL("48/2 = 24 clips.\n#### 72", "\\boxed{72}");
    EQUAL("7", "First \\boxed{3} but this is wrong as one can see easily. In truth \\boxed{7}.");
    UNEQUAL("3", "First \\boxed{3} but this is wrong as one can see easily. In truth \\boxed{7}.");
    EQUAL("$3,4$", "\\boxed{3} and \\boxed{4}");
    UNEQUAL("$3$", "\\boxed{3} or \\boxed{4}");
    UNEQUAL("$4$", "It is $3$ or $4$.");
    EQUAL("$\\frac{1}{2}$", "\\boxed{\\frac{1}{2}} and later $7$ stands alone");
    EQUAL("5", "The final answer is 5. We also saw 7 and 9.");
    EQUAL("5", "Answer: 5\n\nWe also saw 7.");
    EQUAL("5", "$3$, $4$ and at last the value $5$");
    EQUAL("6", "the price is $5 and then $6.");
    EQUAL("1234", "It is 1,234 in all");
    EQUAL("-5", "so we have \xe2\x88\x92" "5");
    EQUAL("$x^2+1$", "x^2+1");
    EQUAL("\\sqrt{2}", "\\sqrt{2}");
    EQUAL("Evelyn", "\\boxed{\\text{Evelyn}}");
    EQUAL("$\\text{(B)}$", "\\boxed{B}");
    EQUAL("8", "\\[ x = 3 + 5 = 8 \\]");
    UNEQUAL("\\boxed{2}", "3");
    UNEQUAL("5", "\\boxed{5 apples cost 10}");
    STATUS("5", "\\boxed{}", NULL, RLVR_STATUS_UNPARSED);
    STATUS("5", "\\boxed{?} 5", NULL, RLVR_STATUS_UNPARSED);
    STATUS("5", "no idea", NULL, RLVR_STATUS_UNPARSED);
    STATUS("5", "", NULL, RLVR_STATUS_UNPARSED);
    STATUS("", "5", NULL, RLVR_STATUS_BAD_GOLD);
    STATUS("$$", "5", NULL, RLVR_STATUS_BAD_GOLD);
    STATUS("   ", "   ", NULL, RLVR_STATUS_BAD_GOLD);
    STATUS("$\\frac{1}{0}$", "$\\frac10$", NULL, RLVR_STATUS_BAD_GOLD);
    STATUS("$10^{10^{10}}$", "$5$", NULL, RLVR_STATUS_LIMIT);
    STATUS("$10^{10^{10}}$", "$10^{10^{10}}$", NULL, RLVR_STATUS_EQUAL);
    STATUS("$5$", "$10^{10^{10}}$", NULL, RLVR_STATUS_UNEQUAL);
    STATUS("$5$", "$99999999!$", NULL, RLVR_STATUS_UNEQUAL);
}

/* ---- what meets what ---- */

static void test_meeting(void)
{
    EQUAL("$x=5$", "$5$");
    EQUAL("$5$", "$x=5$");
    UNEQUAL("$x=5$", "$y=5$");
    UNEQUAL("$2x+z=1$", "$1$");
    EQUAL("$1<x<2$", "$(1,2)$");
    UNEQUAL("$(1,2)$", "$1<x<2$");
    STATUS("$(1,2)$", "$1<x<2$", "{\"allow_set_relation_comp\":true}", RLVR_STATUS_EQUAL);
    STATUS("$(1,2)$", "$1<x\\le2$", "{\"allow_set_relation_comp\":true}", RLVR_STATUS_UNEQUAL);
    EQUAL("$(1,2)$", "$1,2$");
    UNEQUAL("$(1,2,3)$", "$3,2,1$");
    EQUAL("$1,2,3$", "$(3,2,1)$");
    UNEQUAL("$(1,2)$", "$[1,2]$");
    EQUAL("$(-\\infty,1)\\cup(1,\\infty)$", "$\\mathbb{R}\\setminus\\{1\\}$");
    UNEQUAL("$(-\\infty,1)\\cup(1,\\infty)$", "$\\mathbb{R}$");
    EQUAL("$\\frac{-1\\pm\\sqrt5}{2}$", "$\\frac{-1+\\sqrt5}{2},\\frac{-1-\\sqrt5}{2}$");
    UNEQUAL("$\\frac{-1\\pm\\sqrt5}{2}$", "$\\frac{-1+\\sqrt5}{2}$");
    EQUAL("$e^{i\\pi}$", "$-1$");
    UNEQUAL("$x$", "$\\sqrt{x^2}$");
    UNEQUAL("$\\ln(xy)$", "$\\ln(x-y)$");
    EQUAL("$\\frac{x^2-1}{x-1}$", "$x+1$");
    UNEQUAL("$f(x)$", "$f(y)$");
    UNEQUAL("$\\int x^2 dx$", "$\\int x dx$");
    EQUAL("$\\int_0^1 x^2 dx$", "$\\frac13$");
    UNEQUAL("$\\int_0^1 x^2 dx$", "$\\frac14$");
    EQUAL("$2$", "$\\int_0^{\\pi}\\sin x\\,dx$");
    EQUAL("$\\int_1^e\\frac{dx}{x}$", "$1$");
    EQUAL("$2\\begin{pmatrix}1\\\\2\\end{pmatrix}$", "$\\begin{bmatrix}2\\\\4\\end{bmatrix}$");
    UNEQUAL("$\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$", "$\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}$");
    EQUAL("$\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}$", "$-2$");
    EQUAL("$9\\%$", "$9$");
    EQUAL("$9\\%$", "$0.09$");
    UNEQUAL("$9\\%$", "$0.9$");
    UNEQUAL("$-4$", "$4$");
}

/* ---- modes ---- */

static void test_modes(void)
{
    static const char strict[] = "{\"mode\":\"strict\"}", literal[] = "{\"mode\":\"literal\"}", units[] = "{\"mode\":\"units\"}";
    STATUS("$55$", "$\\sum_{k=1}^{10}k$", NULL, RLVR_STATUS_EQUAL);
    STATUS("$55$", "$\\sum_{k=1}^{10}k$", strict, RLVR_STATUS_UNEQUAL);
    STATUS("$-2$", "$\\det\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}$", strict, RLVR_STATUS_UNEQUAL);
    STATUS("$12$", "$x=3\\cdot4=12$", NULL, RLVR_STATUS_EQUAL);
    STATUS("$12$", "$x=3\\cdot4=12$", strict, RLVR_STATUS_UNEQUAL);
    STATUS("$12$", "$x=12$", strict, RLVR_STATUS_EQUAL);
    STATUS("$12$", "<think>I guess $12$</think> I do not know.", strict, RLVR_STATUS_UNPARSED);
    STATUS("$12$", "<think>I guess $12$", strict, RLVR_STATUS_UNPARSED);
    STATUS("$12$", "<think>I guess $7$</think> $12$", strict, RLVR_STATUS_EQUAL);
    const char *task = "{\"prompt\":\"Is it \\\\boxed{12} or not?\"}", *echo = " Is it \\boxed{12} or not?",
        *right = "Is it \\boxed{12} or not? It is \\boxed{12}.";
    CHECK(grade_bytes("$12$", echo, strlen(echo), strict, task) == RLVR_STATUS_UNPARSED);
    CHECK(grade_bytes("$12$", right, strlen(right), strict, task) == RLVR_STATUS_EQUAL);
    CHECK(grade_bytes("$12$", right, strlen(right), strict, "{\"mode\":\"literal\",\"prompt\":\"?\"}") == RLVR_STATUS_EQUAL);
        /* the task's line wins */
    STATUS("$5$", "$2+3$", NULL, RLVR_STATUS_EQUAL);
    STATUS("$5$", "$2+3$", literal, RLVR_STATUS_UNEQUAL);
    STATUS("$\\frac52$", "$2\\frac12$", literal, RLVR_STATUS_EQUAL);
    STATUS("$\\frac52$", "2.5", literal, RLVR_STATUS_EQUAL);
    STATUS("$-\\frac52$", "$-5/2$", literal, RLVR_STATUS_EQUAL);
    STATUS("$\\frac12$", "$50\\%$", literal, RLVR_STATUS_EQUAL);
    STATUS("$120$", "$5!$", literal, RLVR_STATUS_UNEQUAL);
    STATUS("$8$", "$2^3$", literal, RLVR_STATUS_UNEQUAL);
    STATUS("$5\\text{ cm}$", "$5\\text{ m}$", NULL, RLVR_STATUS_EQUAL);
    STATUS("$5\\text{ cm}$", "$5\\text{ m}$", units, RLVR_STATUS_UNEQUAL);
    STATUS("$5\\text{ cm}$", "$5$", units, RLVR_STATUS_UNEQUAL);
    STATUS("$5\\text{ cm}$", "It is 5 centimeters", units, RLVR_STATUS_EQUAL);
    STATUS("$5\\text{ cm}^2$", "$5\\text{ cm}$", units, RLVR_STATUS_UNEQUAL);
    STATUS("$5\\text{ cm}^2$", "$5 \\mathrm{cm}^{2}$", units, RLVR_STATUS_EQUAL);
    STATUS("$6\\text{ cm}$", "$5\\text{ cm}$", units, RLVR_STATUS_UNEQUAL);
}

/* ---- hostile input ---- */

static char *repeat(const char *part, size_t total, size_t *n)
{
    size_t k = strlen(part);
    char *s = (char *)malloc(total + k + 1);
    for (*n = 0; *n < total; *n += k) memcpy(s + *n, part, k);
    s[*n] = 0;
    return s;
}

static double work_of(char *s, size_t n)
{
    uint64_t before = test_work;
    rlvr_status status = grade_bytes("$5$", s, n, NULL, NULL);
    CHECK(status != RLVR_STATUS_EQUAL && !rlvr__status_is_error(status));
    return (double)(test_work - before);
}

static const char *const hostile[] = {
    "(", ")", "{", "}", "[", "]", "$", "\\", "\\(", "\\[", "$$", "|", "\\left(", "\\boxed{", "\\boxed{1}", "\\boxed{}}",
        "\\fbox{", "\\frac", "\\frac{1}{", "\\sqrt", "\\sqrt{",
    "^", "2^", "_", "x_", "-", "+", "1+", "(1+", "1,", "1,000", "9", "1 ", "1.", "e", "x", "ab", "\\text{", "\\text{a}", "$1$",
        "$1$,", "$1$ and ", "answer ", "answer: ", "final answer is ",
    "#### ", "#", "= ", "1=", "x=1,", "\\sin", "\\log_", "\\sum_{k=1}^{9}", "\\prod_{k=1}^{99999}", "\\begin{matrix}", "1&",
        "\\\\", "!", "9!", "%", "\\%", "\\pm", "\\pm1", "<", "1<",
    "\\{", "\\{1,", "(1,2)\\cup", "\xff", "\xe2\x88\x92", "\xe2", "\n", " ", "\\ ", "99999^", "(99999^", "9^9", "1e9", "1/",
        "1/0+", "\\binom", "\\gcd(", "\\overline{", "0.\\overline{1}", "f(", "<think>", "</think>",
    "\\infty", "i", "^\\circ", "\\int", "\\lim_", "a\\neq ", "\\cdot", "1\\cdot", "and", "1 and ", "\"", "'", "{,}", "\\!", "\\,",
        "$5 and $6 "};

static void test_hostile(void)
{
    size_t n, most = getenv("RLVR_TEST_QUICK") ? 4096 : 65536;
    uint64_t worst = 0;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        for (int form = 0; form < 4; form++) {
            char *body = repeat(hostile[i], most, &n), *s = (char *)malloc(n + 64);
            int open = form == 0 ? 0 : form == 1 ? snprintf(s, 64, "$") : form == 2 ? snprintf(s, 64, "\\boxed{") : snprintf(s,
                64, "The answer is ");
            memcpy(s + open, body, n);
            n += (size_t)open;
            if (form == 1) s[n++] = '$';
            if (form == 2) s[n++] = '}';
            s[n] = 0;
            uint64_t before = test_work;
            rlvr_status status = grade_bytes("$987654$", s, n, NULL, NULL);
            uint64_t work = test_work - before;
            if (work > worst) { worst = work; REPORT("%s x %zu, form %d: work %.3g", hostile[i], n, form, (double)work); }
            test_check(status == RLVR_STATUS_UNEQUAL || status == RLVR_STATUS_UNPARSED, __FILE__, __LINE__, hostile[i]);
            s[n] = 0;
            status = grade_bytes(s, "$987654$", 8, NULL, NULL);      /* as gold: no verdict, or one that is no reward */
            test_check(status != RLVR_STATUS_EQUAL, __FILE__, __LINE__, hostile[i]);
            free(body);
            free(s);
        }
    CHECK_LE(worst, getenv("RLVR_TEST_QUICK") ? 1e8 : 4e7);      /* up to 8,000 bytes are read as one expression */

    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++)
        for (int form = 0; form < 2; form++) {
            char *body = repeat(hostile[i], getenv("RLVR_TEST_QUICK") ? 800 : 8000, &n), *s = (char *)malloc(n + 64);
            snprintf(s, n + 64, form ? "\\boxed{%s1}" : "$%s1$", body);
            uint64_t before = test_work;
            rlvr_status status = grade_bytes("$987654$", s, strlen(s), NULL, NULL);
            uint64_t work = test_work - before;
            if (work > worst) { worst = work; REPORT("%s x 8000: work %.3g", hostile[i], (double)work); }
            test_check(status != RLVR_STATUS_EQUAL, __FILE__, __LINE__, hostile[i]);
            free(body);
            free(s);
        }
    CHECK_LE(worst, 1e8);

    char nul[] = "\\boxed{5\0}", broken[] = "\\boxed{\xc3\x28 5}", mixed[64];
    CHECK(grade_bytes("$5$", nul, sizeof nul - 1, NULL, NULL) == RLVR_STATUS_EQUAL);
    CHECK(grade_bytes("$5$", broken, sizeof broken - 1, NULL, NULL) != RLVR_STATUS_EQUAL);
    memset(mixed, 0, sizeof mixed);
    CHECK(grade_bytes("$5$", mixed, sizeof mixed, NULL, NULL) == RLVR_STATUS_UNPARSED);
    char *s = repeat("((((((((((", 100000, &n);
    CHECK(grade_bytes("$5$", s, n, NULL, NULL) == RLVR_STATUS_UNPARSED);
    free(s);
    char deep[2000];      /* 140 deep is read, 160 is not */
    for (int depth = 70; depth <= 160; depth += 90) {
        memset(deep, '(', (size_t)depth);
        deep[depth] = '5';
        memset(deep + depth + 1, ')', (size_t)depth);
        deep[2 * depth + 1] = 0;
        CHECK(grade("$5$", deep, NULL) == (depth == 70 ? RLVR_STATUS_EQUAL : RLVR_STATUS_UNPARSED));
    }
    const char *towers[] = {"$9^{9^{9^9}}$", "$2^{2^{2^{2^{2^2}}}}$", "$(((9!)!)!)!$", "$10^{-10^{10}}$",
        "$\\binom{999999999}{499999999}$", "$99999999999999999999999999999999!$",
                            "$\\sum_{k=1}^{999999999}k$", "$\\prod_{k=1}^{20000}\\sum_{j=1}^{20000}jk$", "$(x+1)^{999999}$",
                                "$\\sqrt[999999]{2^{8000}}$", "$1.000000001^{999999999}$"};
    for (size_t i = 0; i < sizeof towers / sizeof towers[0]; i++) {
        uint64_t before = test_work;
        rlvr_status status = grade("$5$", towers[i], NULL);
        uint64_t work = test_work - before;
        test_check(status == RLVR_STATUS_UNEQUAL || status == RLVR_STATUS_UNPARSED, __FILE__, __LINE__, towers[i]);
        CHECK_LE(work, 4e7);
    }
}

/* Doubling the text at most doubles the work, up to 1 MB; 10 MB is graded too. */
static void test_linear(void)
{
    if (getenv("RLVR_TEST_QUICK")) return;
    static const char *const parts[] = {"$", "\\[", "$1+1$ and ", "\\boxed{", "\\boxed{1} ", "1 + 2 = 3 ", "answer ", "(1+", "{",
        "word ", "a\\frac{1}{2} ", "#### 1\n", "final answer "};
    double worst_ratio = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n;
        double work[2];
        for (int k = 0; k < 2; k++) {
            char *s = repeat(parts[i], (size_t)524288 << k, &n);
            work[k] = work_of(s, n);
            free(s);
        }
        worst_ratio = RLVR__MAX(worst_ratio, work[1] / work[0]);
        if (work[1] > 2.3 * work[0]) REPORT("%s: %.0f, then %.0f", parts[i], work[0], work[1]);
    }
    REPORT("twice the text, at most %.2f times the work (512 KB to 1 MB)", worst_ratio);
    CHECK_LE(worst_ratio, 2.3);
    size_t n;
    char *s = repeat("We know $x$ and \\frac{1}{2} of 3 + 4, so the answer: ", 10 << 20, &n);
    CHECK_LE(work_of(s, n) / (double)n, 80);
    free(s);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    d.n_threads = 1;
    ctx = rlvr_open(&d);
    if (!CHECK(ctx != NULL)) return test_done();
    test_reference();
    test_arithmetic();
    test_extraction();
    test_meeting();
    test_modes();
    test_hostile();
    test_linear();
    rlvr_close(ctx);
    return test_done();
}
