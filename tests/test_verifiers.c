/* Section 15, the verifiers of text: exact's levelling, number's options, choice, format, shape, ifcheck; ifcheck beside IFEval's own
   checks (tests/parity_ifeval.py); hostile bytes and work. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "work.h"
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static bool quick;
static rlvr_grade_result last;

enum { NO_VERDICT = -99 };

/* Grades with the fields of a JSON object (NULL: none), as the task's or, where `options`, the desc's. An error is NO_VERDICT. */
static double grade_at(rlvr_reward_kind kind, const char *json, bool options, const char *text, size_t len, const char *gold)
{
    rlvr_task task;
    rlvr_reward_desc desc;
    char *copy = (char *)malloc(len ? len : 1);      /* a block of its own length, so that a sanitizer sees a read past it */
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    memset(&last, 0, sizeof last);
    if (len) memcpy(copy, text, len);
    task.answer = gold;
    task.json = options ? NULL : json;
    desc.kind = kind;
    desc.options = options ? json : NULL;
    rlvr_result r = rlvr_grade_task(ctx, &desc, copy, len, &task, &last);
    free(copy);
    if (r == RLVR_REWARD_ERROR) return NO_VERDICT;
    if (!CHECK(r == RLVR_OK)) printf("    %s\n", rlvr_last_error(ctx));
    return (double)last.reward;
}

static double grade(rlvr_reward_kind kind, const char *json, const char *text, const char *gold)
{
    return grade_at(kind, json, false, text, strlen(text), gold);
}

/* A table row: what a text must earn. */
static void row(int line, rlvr_reward_kind kind, const char *json, const char *text, const char *gold, double want)
{
    double got = grade(kind, json, text, gold), as_option = grade_at(kind, json, true, text, strlen(text), gold);
    if (!test_check(fabs(got - want) < 1e-5 && fabs(as_option - want) < 1e-5, __FILE__, line, "reward"))
        printf("    %g (as an option %g), not %g: %s | %s | %s [%s %s]\n", got, as_option, want, json ? json : "", text, gold ? gold : "",
               rlvr_status_text(last.status), last.reason);
}
#define EXACT(json, text, gold, want) row(__LINE__, RLVR_REWARD_EXACT, json, text, gold, want)
#define NUMBER(json, text, gold, want) row(__LINE__, RLVR_REWARD_NUMBER, json, text, gold, want)
#define CHOICE(json, text, gold, want) row(__LINE__, RLVR_REWARD_CHOICE, json, text, gold, want)
#define FORMAT(json, text, want) row(__LINE__, RLVR_REWARD_FORMAT, json, text, NULL, want)
#define SHAPE(json, text, want) row(__LINE__, RLVR_REWARD_SHAPE, json, text, "42", want)
#define IF(json, text, want) row(__LINE__, RLVR_REWARD_IFCHECK, json, text, NULL, want)

static uint32_t dice(uint32_t n) { static uint32_t at; return rlvr__random(11, 0, 0, 0, at++) % n; }

/* ---- exact ---- */

static void test_exact(void)
{
    EXACT("{\"ignore_case\":true}", "BLUE", "blue", 1);
    EXACT("{\"ignore_case\":true}", "\xc3\x84PFEL", "\xc3\xa4pfel", 1);                             /* Latin */
    EXACT("{\"ignore_case\":true}", "\xce\xa3\xce\x9f\xce\xa6\xce\x99\xce\x91", "\xcf\x83\xce\xbf\xcf\x86\xce\xb9\xce\xb1", 1);      /* Greek */
    EXACT("{\"ignore_case\":true}", "\xce\xa3", "\xcf\x82", 1);                                     /* final sigma */
    EXACT("{\"ignore_case\":true}", "\xd0\x9c\xd0\x98\xd0\xa0", "\xd0\xbc\xd0\xb8\xd1\x80", 1);     /* Cyrillic */
    EXACT("{\"ignore_case\":true}", "\xe1\xba\x9e", "\xc3\x9f", 1);                                 /* capital sharp s */
    EXACT("{\"ignore_case\":true}", "ss", "\xc3\x9f", 0);                                           /* simple folding: one for one */
    EXACT("{\"ignore_case\":false}", "BLUE", "blue", 0);
    EXACT("{\"nfc\":true}", "e\xcc\x81", "\xc3\xa9", 1);
    EXACT("{}", "e\xcc\x81", "\xc3\xa9", 0);
    EXACT("{\"nfc\":true}", "\xe1\xbb\x87", "e\xcc\xa3\xcc\x82", 1);                                /* Vietnamese, marks in order */
    EXACT("{\"nfc\":true}", "\xe1\xbb\x87", "e\xcc\x82\xcc\xa3", 1);                                /* ... and not in order */
    EXACT("{\"nfc\":true}", "\xed\x95\x9c", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", 1);             /* Hangul */
    EXACT("{\"nfc\":true}", "\xe1\xbe\xb7", "\xce\xb1\xcd\x82\xcd\x85", 1);                         /* Greek with iota */
    EXACT("{\"nfc\":true}", "\xd0\xb9", "\xd0\xb8\xcc\x86", 1);                                     /* Cyrillic short i */
    EXACT("{\"nfc\":true}", "\xe2\x84\xab", "A\xcc\x8a", 1);                                        /* the angstrom sign is a letter */
    EXACT("{\"nfc\":true}", "e\xcc\x80", "\xc3\xa9", 0);
    EXACT("{\"nfc\":true}", "\xef\xac\x81", "fi", 0);                                               /* compatibility is no canonical equality */
    EXACT("{\"ignore_case\":true,\"nfc\":true}", "E\xcc\x81", "\xc3\xa9", 1);
    EXACT("{\"ignore_space\":true}", " a \t\n b\xc2\xa0 c ", "a b c", 1);
    EXACT("{\"ignore_space\":true}", "ab", "a b", 0);
    EXACT("{}", "a  b", "a b", 0);
    EXACT("{\"ignore_punctuation\":true}", "\xe2\x80\x9cIt's (so)!\xe2\x80\x9d", "Its so", 1);
    EXACT("{\"ignore_punctuation\":true,\"ignore_space\":true}", "Paris , France .", "Paris, France", 1);
    EXACT("{\"ignore_punctuation\":true}", "3.5", "35", 0);
    EXACT("{\"ignore_punctuation\":true}", "...", "blue", 0);
    EXACT("{\"ignore_punctuation\":true}", "blue", "...", NO_VERDICT);
    EXACT("{\"answers\":[\"red\",\"blue\"]}", "blue", NULL, 1);
    EXACT("{\"answers\":[\"red\",\"blue\"]}", "red", NULL, 1);
    EXACT("{\"answers\":[\"red\",\"blue\"]}", "green", NULL, 0);
    EXACT("{\"answers\":[\"red\"]}", "green", "green", 1);
    EXACT("{\"answers\":[7, \"seven\"]}", "7", NULL, 1);
    EXACT("{\"answers\":[]}", "x", NULL, NO_VERDICT);
    EXACT("{\"answers\":[\"red\",\"\"]}", "red", NULL, NO_VERDICT);
    EXACT("{\"answers\":\"red\"}", "red", NULL, NO_VERDICT);
    EXACT("{\"answers\":[{}]}", "red", NULL, NO_VERDICT);
    EXACT("{\"ignore_case\":1}", "red", "red", NO_VERDICT);
    EXACT("{\"ignore_case\":null}", "red", "red", 1);
    EXACT(NULL, "red", NULL, NO_VERDICT);
    /* a task's own field wins over the options */
    rlvr_task task;
    rlvr_reward_desc desc;
    rlvr_grade_result out;
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    task.answer = "blue";
    task.json = "{\"ignore_case\":false}";
    desc.kind = RLVR_REWARD_EXACT;
    desc.options = "{\"ignore_case\":true}";
    CHECK(rlvr_grade_task(ctx, &desc, "BLUE", 4, &task, &out) == RLVR_OK && out.reward == 0);
    task.json = "{}";
    CHECK(rlvr_grade_task(ctx, &desc, "BLUE", 4, &task, &out) == RLVR_OK && out.reward == 1);
}

/* Keys: levelling twice changes nothing; bytes that are not UTF-8 stay apart. */
static void test_keys(void)
{
    static const char *const piece[] = {"a", "E", "\xc3\xa9", "\xcc\x81", "\xcc\xa3", "\xe1\xbb\x87", "\xed\x95\x9c", "\xce\xa3", " ", "\t", "\xc2\xa0", ".", "5", ",",
                                        "\xff", "\xc3", "\xe2\x82", "\xcd\x85", "\xe0\xa5\x98", "\xe3\x81\x8c", "'", "\xe2\x80\x9c", "\xf0\x9f\x98\x80", "\xe2\x80\x8b"};
    int n = (int)(sizeof piece / sizeof *piece), wrong = 0, rounds = quick ? 2000 : 20000;
    rlvr__buf once = {ctx, NULL, 0, 0, false}, twice = {ctx, NULL, 0, 0, false};
    for (int round = 0; round < rounds; round++) {
        char text[128];
        size_t len = 0;
        for (int k = (int)dice(12); k >= 0; k--) {
            const char *p = piece[dice((uint32_t)n)];
            memcpy(text + len, p, strlen(p));
            len += strlen(p);
        }
        rlvr__key_options o = {dice(2) == 0, dice(2) == 0, dice(2) == 0, dice(2) == 0};
        once.len = twice.len = 0;
        rlvr__key(&once, text, len, &o);
        bool utf8 = !once.len || !memchr(once.data, 0xff, once.len);
        if (!utf8 || (o.ignore_punctuation && strpbrk(once.len ? once.data : "", ".,"))) continue;      /* ". 5" may meet */
        rlvr__key(&twice, once.data, once.len, &o);
        if (once.len != twice.len || (once.len && memcmp(once.data, twice.data, once.len))) {
            if (wrong++ < 3) printf("    %.*s\n", (int)len, text);
        }
    }
    CHECK(wrong == 0);
    rlvr__buf_free(&once);
    rlvr__buf_free(&twice);
    for (uint32_t c = 0; c < 0x110000; c++) {      /* folding is done in one step; no decomposition ends in a part that decomposes */
        uint32_t part[8];
        int parts = rlvr__decompose(c, part);
        if (rlvr__fold(rlvr__fold(c)) != rlvr__fold(c)) wrong++;
        for (int i = 0; i < parts; i++) {
            uint32_t again[8];
            if (rlvr__decompose(part[i], again) != 1) wrong++;
        }
        if (c == 0xd7ff) c = 0xdfff;
        if (quick && c > 0x20000) break;
    }
    CHECK(wrong == 0);
    CHECK(rlvr__fold(0x130) == 0x130 && rlvr__fold(0x1f88) == 0x1f80 && rlvr__fold(0x10400) == 0x10428);
}

/* ---- number ---- */

static void test_number(void)
{
    NUMBER("{\"abs_tol\":0.1}", "0.4", "0.3", 1);       /* in doubles 0.4 - 0.3 > 0.1 */
    NUMBER("{\"abs_tol\":0.1}", "0.2", "0.3", 1);
    NUMBER("{\"abs_tol\":0.1}", "0.40000000000000000000000000000001", "0.3", 0);
    NUMBER("{\"abs_tol\":0.1}", "-0.3", "0.3", 0);
    NUMBER("{\"abs_tol\":1e-30}", "1.000000000000000000000000000001", "1", 1);
    NUMBER("{\"abs_tol\":1e-31}", "1.000000000000000000000000000001", "1", 0);
    NUMBER("{\"abs_tol\":0}", "0.3", "0.30", 1);
    NUMBER("{\"rel_tol\":0.01}", "101", "100", 1);
    NUMBER("{\"rel_tol\":0.01}", "99", "100", 1);
    NUMBER("{\"rel_tol\":0.01}", "101.0001", "100", 0);
    NUMBER("{\"rel_tol\":0.01}", "-101", "-100", 1);
    NUMBER("{\"rel_tol\":1e-6}", "3.14159265", "3.14159266", 1);
    NUMBER("{\"rel_tol\":0.5}", "0.001", "0", 0);
    NUMBER("{\"rel_tol\":0.5,\"abs_tol\":0.01}", "0.001", "0", 1);
    NUMBER("{\"rel_tol\":0.01}", "1e300", "1e-300", 0);
    NUMBER("{\"rel_tol\":0.01}", "1.001e400", "1e400", 1);
    NUMBER("{\"abs_tol\":1}", "1e999999999", "1e999999998", 0);
    NUMBER("{\"abs_tol\":-1}", "1", "1", NO_VERDICT);
    NUMBER("{\"abs_tol\":\"1\"}", "1", "1", NO_VERDICT);
    NUMBER("{\"range\":[1,3]}", "1", NULL, 1);
    NUMBER("{\"range\":[1,3]}", "3.0", NULL, 1);
    NUMBER("{\"range\":[1,3]}", "3.0000000001", NULL, 0);
    NUMBER("{\"range\":[-1,1e2]}", "-1", NULL, 1);
    NUMBER("{\"range\":[null,3]}", "-1e50", NULL, 1);
    NUMBER("{\"range\":[null,3]}", "4", NULL, 0);
    NUMBER("{\"range\":[3,null]}", "4", NULL, 1);
    NUMBER("{\"range\":[1,3]}", "7", "7", 1);           /* the answer beside the range */
    NUMBER("{\"range\":[3,1]}", "2", NULL, NO_VERDICT);
    NUMBER("{\"range\":[null,null]}", "2", NULL, NO_VERDICT);
    NUMBER("{\"range\":[1]}", "2", NULL, NO_VERDICT);
    NUMBER("{\"range\":[\"1\",2]}", "2", NULL, NO_VERDICT);
    NUMBER("{\"range\":[1,3]}", "none", NULL, 0);
    NUMBER("{\"answers\":[\"5\",7,\"1e3\"]}", "1000", NULL, 1);
    NUMBER("{\"answers\":[\"5\",7,\"1e3\"]}", "7.0", NULL, 1);
    NUMBER("{\"answers\":[\"5\",7,\"1e3\"]}", "6", NULL, 0);
    NUMBER("{\"answers\":[\"five\"]}", "5", NULL, NO_VERDICT);
    NUMBER("{\"answers\":[\"5\"]}", "5", "no number", NO_VERDICT);
    NUMBER("{}", "1.5E+3", "1500", 1);
    NUMBER("{}", "July 4, 1776", "1776", 1);
    NUMBER("{}", "3, 5", "5", 1);
    NUMBER("{}", "I first got 41. No, it is 42.", "42", 1);
    NUMBER("{}", "It is not 41 but 42.", "42", 1);
    NUMBER("{}", "I do not know why, but 42", "42", 1);
    NUMBER("{}", "<think>1 or 2?</think> 42", "42", 1);
    NUMBER("{}", "42 or 42.0", "42", 1);
    NUMBER("{}", "\\boxed{42} and \\boxed{42}", "42", 1);
    NUMBER("{}", "$\\boxed{41}$ was wrong, so $\\boxed{42}$", "42", 1);
}

static void test_units(void)
{
    static const char *const same[][8] = {      /* a unit, and spellings that carry it */
        {"km", "5 km", "5km", "5 kilometers", "5\\text{ km}", "\\boxed{5\\,\\mathrm{km}}", "about 5 Kilometres.", NULL},
        {"m/s", "5 m/s", "5 meters per second", "5 m s^-1", "$5\\ \\text{m/s}$", "5 m/sec", "5 mps", NULL},
        {"m/s^2", "5 m/s^2", "5 m/s\xc2\xb2", "5 meters per second squared", "5 m s^{-2}", NULL, NULL, NULL},
        {"mph", "5 mph", "5 miles per hour", "5 mi/h", NULL, NULL, NULL, NULL},
        {"m^2", "5 m^2", "5 m\xc2\xb2", "5 square meters", "5 sq m", "\\boxed{5 \\text{ m}^2}", NULL, NULL},
        {"cm^3", "5 cm^3", "5 cubic centimeters", "5 cm\xc2\xb3", NULL, NULL, NULL, NULL},
        {"%", "5%", "5\\%", "5 percent", "\\boxed{5\\%}", "5 per cent", NULL, NULL},
        {"$", "$5", "5 dollars", "\\$5", "USD 5", "5 USD", "**$5**", NULL},
        {"\xe2\x82\xac", "\xe2\x82\xac""5", "5 euros", "5 \xe2\x82\xac", "EUR 5", NULL, NULL, NULL},
        {"\xc2\xb0""C", "5 \xc2\xb0""C", "5^\\circ\\text{C}", "5 degrees Celsius", "5\xc2\xb0""C", NULL, NULL, NULL},
        {"N m", "5 N m", "5 N\xc2\xb7m", "5 N*m", "5 newton meters", NULL, NULL, NULL},
        {"J/(kg K)", "5 J/(kg K)", "5 J/(kg\xc2\xb7K)", "5 J kg^-1 K^-1", NULL, NULL, NULL, NULL},
        {"apples", "5 apples", "5 apple", "5 Apples", NULL, NULL, NULL, NULL},
        {"hours", "5 h", "5 hours", "5 hrs", "5 hr", NULL, NULL, NULL},
        {"g", "5 grams", "5 g", "5g", NULL, NULL, NULL, NULL},
        {"kWh", "5 kWh", "5 kilowatt hours", NULL, NULL, NULL, NULL, NULL},
    };
    int n = (int)(sizeof same / sizeof *same), crossed = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            for (int j = 1; j < 8 && same[k][j]; j++) {
                char json[64];
                snprintf(json, sizeof json, "{\"unit\":\"%s\"}", same[i][0]);
                double got = grade(RLVR_REWARD_NUMBER, json, same[k][j], "5");
                crossed++;
                if (!CHECK(got == (i == k))) printf("    %s with unit %s: %g\n", same[k][j], same[i][0], got);
            }
    NUMBER("{\"unit\":\"km\"}", "6 km", "5", 0);
    NUMBER("{\"unit\":\"\"}", "6 km", "6", NO_VERDICT);
    NUMBER("{\"unit\":5}", "6 km", "6", NO_VERDICT);
    NUMBER("{\"unit\":\"km\",\"abs_tol\":1}", "6 km", "5", 1);
    NUMBER("{\"unit\":\"km\",\"range\":[1,9]}", "6 km", NULL, 1);
    NUMBER("{\"unit\":\"km\",\"range\":[1,9]}", "6 m", NULL, 0);
    NUMBER("{}", "6 km", "6", 1);
    REPORT("units: %d pairs of a unit and a spelling", crossed);
}

/* |a - gold| <= tol against integers: numbers of a few digits in thousandths. */
static void test_tolerance(void)
{
    int rounds = quick ? 2000 : 20000, near = 0;
    for (int i = 0; i < rounds; i++) {
        int a = (int)dice(4000) - 2000, b = (int)dice(4000) - 2000, tol = 1 + (int)dice(900), rel = 1 + (int)dice(900);
        char text[32], gold[32], json[96];
        snprintf(text, sizeof text, "%s%d.%03d", a < 0 ? "-" : "", abs(a) / 1000, abs(a) % 1000);
        snprintf(gold, sizeof gold, "%s%de-3", b < 0 ? "-" : "", abs(b));
        snprintf(json, sizeof json, "{\"abs_tol\":0.%03d}", tol);
        double got = grade(RLVR_REWARD_NUMBER, json, text, gold);
        bool want = abs(a - b) <= tol;
        near += want;
        if (got != want) { CHECK(got == want); printf("    %s %s %s\n", text, gold, json); }
        snprintf(json, sizeof json, "{\"rel_tol\":0.%03d}", rel);
        got = grade(RLVR_REWARD_NUMBER, json, text, gold);
        want = 1000LL * abs(a - b) <= (long long)rel * abs(b);
        if (got != want) { CHECK(got == want); printf("    %s %s %s\n", text, gold, json); }
    }
    CHECK(near > rounds / 50);
}

/* ---- choice ---- */

static void test_choice(void)
{
    static const char *const right[] = {"B", "b", "(B)", "(b)", "B.", "B)", "B:", "**B**", "**(B)**", "`B`", "$B$", "\\boxed{B}", "\\boxed{(B)}", "\\boxed{\\text{B}}",
        "\\boxed{\\textbf{(B) }Paris}", "\\boxed{Paris}", "Answer: B", "answer: b", "ANSWER: B", "Answer:B", "Answer: (B)", "Answer: **B**", "**Answer: B**", "**Answer:** B",
        "The answer is B", "The answer is B.", "the answer is (B)", "the answer is **B**", "The answer is: B", "The correct answer is B.", "The correct answer is option B.",
        "The answer is b.", "The answer is option b because it is.", "So the answer must be B.", "The answer is B) Paris", "The answer is (B) Paris.", "The answer is Paris.",
        "The answer is: Paris", "Answer: Paris", "answer = B", "Answer\nB", "Answer:\n\nB", "option b", "Option B", "It is option B.", "choice B", "I choose B", "I pick B.",
        "I would select (B).", "B is correct.", "B is the correct answer.", "(B) is right", "B is the best answer", "Paris", "paris", "Paris.", "\"Paris\"", "It is Paris.",
        "The capital of France is Paris.", "It's Paris", "Let me think.\nParis", "B) Paris", "B. Paris", "(B) Paris", "B: Paris", "B - Paris", "B Paris", "b) paris",
        "#### B", "#### (B) Paris", "<answer>B</answer>", "<answer> (B) Paris </answer>", "<think>A or C?</think>B", "<think>A</think><answer>B</answer>",
        "A is wrong, C is wrong and D is wrong. B is correct.", "Not A. The answer is B.", "The answer is not A, it is B.", "A city in France. The answer is B",
        "Option A is wrong. Option B is right.", "London is not it. The answer is Paris.", "I think it is B", "I'd go with B.", "\n\nB\n", "The answer is $\\boxed{B}$.",
        "The answer is \\boxed{B}, not A.", "\\boxed{B} and \\boxed{B}", "Answer: B. London is in England.", "The answer is B because A is in England.",
        "The answer is B. A is wrong because it is in England.", "Therefore, B", "the answer is \xe2\x80\x9c""B\xe2\x80\x9d", "A. London\nB. Paris\nC. Rome\nAnswer: B",
        "The answer isn't A. The answer is B.", NULL};
    static const char *const wrong[] = {"", " ", "A", "C", "(A)", "AB", "A, B", "A B", "A or B", "B or A", "A and B", "A/B", "(A)(B)", "(A) (B) (C) (D)", "A B C D", "A\nB\nC\nD",
        "ABCD", "The answer is A or B", "The answer is A and B.", "The answer is A/B", "The answer is A. The answer is B.", "Answer: A\nAnswer: B", "\\boxed{A}\\boxed{B}",
        "\\boxed{A, B}", "\\boxed{AB}", "\\boxed{A} or \\boxed{B}", "<answer>A B</answer>", "The answer is not B", "not B", "It isn't B.", "It cannot be B", "B is wrong",
        "B is incorrect.", "B isn't right", "(B) is not correct", "Option B is not the answer.", "never B", "B) London", "The answer is B, London", "(B) Rome", "Paris or London",
        "Paris, London, Rome, Berlin", "London\nParis", "Because", "Be", "Bob", "Bingo is the answer", "VitaminB", "I do not know.", "The answer is unclear.", "option", "Answer:",
        "The answer is not Paris.", "It isn't Paris.", "<think>B</think>", "<think>B", "E", "Z", "2", "\xd0\x92", "\xef\xbc\xa2", "B\xe2\x80\x8b""C",
        "A) London\nB) Paris\nC) Rome\nD) Berlin", "A. London B. Paris C. Rome D. Berlin", "Options: A, B, C, D", "(A) London (B) Paris", "all except B",
        "anything but B", "Either A or B.", "B? A?", "\\boxed{}", "\\boxed{none} B", "B++", "B-tree", "B2", "B_1", "B'", NULL};
    const char *json = "{\"choices\":[\"London\",\"Paris\",\"Rome\",\"Berlin\"]}";
    for (int i = 0; right[i]; i++) { CHOICE(json, right[i], "B", 1); CHOICE(json, right[i], "A", 0); CHOICE(json, right[i], "C", 0); }
    for (int i = 0; wrong[i]; i++) CHOICE(json, wrong[i], "B", 0);
    for (int i = 0; right[i]; i++) CHOICE(json, right[i], "Paris", 1);
    CHOICE("{\"choices\":{\"A\":\"yes\",\"B\":\"no\"}}", "no", "B", 1);
    CHOICE("{\"choices\":{\"a\":\"yes\",\"b\":\"no\"}}", "B", "(b)", 1);
    CHOICE("{\"choices\":[3, 4, 5]}", "The answer is 4.", "B", 1);
    CHOICE("{\"choices\":[\"10\",\"100\"]}", "100", "B", 1);
    CHOICE("{\"choices\":[\"10\",\"100\"]}", "100", "A", 0);
    CHOICE("{\"choices\":[\"\xc3\x89t\xc3\xa9\",\"hiver\"]}", "e\xcc\x81te\xcc\x81", "A", 1);
    CHOICE("{}", "The answer is G.", "G", 1);
    CHOICE("{}", "I think it is G", "G", 1);
    CHOICE("{}", "G", "London", NO_VERDICT);
    CHOICE(json, "B", "E", NO_VERDICT);
    CHOICE(json, "B", "Madrid", NO_VERDICT);
    CHOICE(json, "B", NULL, NO_VERDICT);
    CHOICE("{\"choices\":[\"x\"]}", "A", "A", NO_VERDICT);
    CHOICE("{\"choices\":{\"AA\":\"x\",\"B\":\"y\"}}", "A", "B", NO_VERDICT);
    CHOICE("{\"choices\":\"AB\"}", "A", "B", NO_VERDICT);
    CHOICE("{\"choices\":[\"x\",[]]}", "A", "B", NO_VERDICT);
    CHOICE("{\"choices\":[\"same\",\"same\"]}", "same", "A", 0);      /* two options are named at once */
    grade(RLVR_REWARD_CHOICE, json, "(A) or (B)", "B");
    CHECK_STR(last.extracted, "A B");
}

/* ---- format ---- */

static void test_format(void)
{
    const char *tags = "{\"tags\":[\"think\",\"answer\"]}";
    FORMAT(tags, "<think>a</think><answer>b</answer>", 1);
    FORMAT(tags, " \n<think>\na\n</think>\n\n<answer>b</answer>\n", 1);
    FORMAT(tags, "<think>a < b > c <b>x</b></think><answer>b</answer>", 1);
    FORMAT(tags, "<think>a</think><answer>b</answer>.", 0);
    FORMAT(tags, "<think>a</think><answer>b</answer><answer>b</answer>", 0);
    FORMAT(tags, "<answer>b</answer><think>a</think>", 0);
    FORMAT(tags, "<think>a<answer>b</answer></think>", 0);
    FORMAT(tags, "<think>a</think><answer>b", 0);
    FORMAT(tags, "<think></think><answer>b</answer>", 0);
    FORMAT("{\"tags\":[\"think\",\"answer\"],\"min_chars\":0}", "<think></think><answer></answer>", 1);
    FORMAT("{\"tags\":[\"a\"],\"min_chars\":3,\"max_chars\":5}", "<a> abc </a>", 1);
    FORMAT("{\"tags\":[\"a\"],\"min_chars\":3,\"max_chars\":5}", "<a>ab</a>", 0);
    FORMAT("{\"tags\":[\"a\"],\"min_chars\":3,\"max_chars\":5}", "<a>\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6</a>", 1);
    FORMAT("{\"tags\":[\"a\"],\"min_chars\":3,\"max_chars\":5}", "<a>abcdef</a>", 0);
    FORMAT("{\"tags\":[\"a\",\"b\"],\"min_chars\":{\"b\":3}}", "<a>x</a><b>yy</b>", 0);
    FORMAT("{\"tags\":[\"a\",\"b\"],\"min_chars\":{\"b\":3}}", "<a>x</a><b>yyy</b>", 1);
    FORMAT("{\"tags\":[\"a\"],\"outside\":true}", "x <a>y</a> z", 1);
    FORMAT("{\"tags\":[\"a\"],\"outside\":true}", "x <a>y</a> <a>z</a>", 0);
    FORMAT("{\"tags\":[\"a\"],\"outside\":true}", "x <A>y</A> <a>z</a>", 0);
    FORMAT("{\"tags\":[\"a\",\"ab\"]}", "<a>x</a><ab>y</ab>", 1);
    FORMAT("{\"tags\":[\"a\"],\"pattern\":\"'<a>' digit+ '</a>'\"}", "<a>12</a>", 1);
    FORMAT("{\"tags\":[\"a\"],\"pattern\":\"'<a>' digit+ '</a>'\"}", "<a>x</a>", 0);
    FORMAT("{\"tags\":[\"a\"],\"pattern\":\"'<a>' digit+ '</a>'\",\"max_chars\":3}", "<a>12</a>", 1);
    FORMAT("{\"tags\":[\"a\",\"b\"],\"pattern\":{\"b\":\"digit+\"}}", "<a>x</a><b> 12 </b>", 1);
    FORMAT("{\"tags\":[\"a\",\"b\"],\"pattern\":{\"b\":\"digit+\"}}", "<a>x</a><b>12x</b>", 0);
    FORMAT("{\"min_chars\":3}", "ab", 0);
    FORMAT("{\"min_chars\":3}", "abc", 1);
    FORMAT("{}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[]}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[\"a\",\"A\"]}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[\"a b\"]}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[1]}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[\"a\"],\"min_chars\":\"3\"}", "x", NO_VERDICT);
    FORMAT("{\"tags\":[\"a\"],\"pattern\":{\"a\":\"digit{\"}}", "no tag at all", NO_VERDICT);
    FORMAT("{\"pattern\":{\"a\":\"digit\"}}", "x", NO_VERDICT);
}

static void pattern(int line, const char *p, const char *yes, const char *no)      /* texts parted by ~ */
{
    rlvr__buf json = {ctx, NULL, 0, 0, false};
    rlvr__buf_addf(&json, "{\"pattern\":");
    rlvr__json_put_string(&json, p, strlen(p));
    rlvr__buf_addf(&json, "}");
    for (int k = 0; k < 2; k++)
        for (const char *t = k ? no : yes, *stop; t; t = *stop ? stop + 1 : NULL) {
            stop = strchr(t, '~') ? strchr(t, '~') : t + strlen(t);
            double got = grade_at(RLVR_REWARD_FORMAT, json.data, false, t, (size_t)(stop - t), NULL);
            if (!test_check(got == !k, __FILE__, line, "pattern")) printf("    %s on %.*s: %g (%s)\n", p, (int)(stop - t), t, got, last.reason);
        }
    rlvr__buf_free(&json);
}
#define PATTERN(p, yes, no) pattern(__LINE__, p, yes, no)

static void test_pattern(void)
{
    PATTERN("'a'", "a~ a ", "~b~aa");
    PATTERN("'ab' 'c'", "abc", "ab~abcc~a b c");
    PATTERN("'a'?", "~a", "aa~b");
    PATTERN("'a'*", "~a~aaaaa", "b~ab");
    PATTERN("'a'+", "a~aaa", "~b");
    PATTERN("'a'{3}", "aaa", "aa~aaaa");
    PATTERN("'a'{2,4}", "aa~aaa~aaaa", "a~aaaaa");
    PATTERN("'a'{0,2} 'b'", "b~ab~aab", "aaab~a");
    PATTERN("'a'{0} 'b'", "b", "ab");
    PATTERN("'a'{2,}", "aa~aaaaaa", "a~");
    PATTERN("('a' | 'b' 'c' | 'd'?) 'e'", "ae~bce~de~e", "be~abe~ce");
    PATTERN("('a' 'b'){2,3}", "abab~ababab", "ab~abababab~aba");
    PATTERN("('a'* 'b')* 'c'", "c~bc~aabbabc", "ac~aab");
    PATTERN("('a'*)*", "~aaa", "b");
    PATTERN("(('a'?)* | 'b'+)+", "~aba~bbbaaa", "c");
    PATTERN("'yes' | 'no'", "yes~no", "yesno~~maybe");
    PATTERN("[a-c0] [^a-c]", "ax~0d", "dx~aa");
    PATTERN("[\\]\\-\\\\]+", "]-\\", "a");
    PATTERN("\"it's\"", "it's", "its");
    PATTERN("upper lower+ space digit{1,2}", "Ab 1~Abc 12", "ab 1~Ab1");
    PATTERN("letter+ '-' alnum+ '_' word+", "\xc3\xa4-1a_b_1", "1-a_b");
    PATTERN("line+ '\n' any*", "ab\n\ncd", "ab~");
    PATTERN("'#### ' '-'? digit{1,9} ('.' digit+)?", "#### 42~#### -1.50", "#### ~#### 1.~x #### 42");
    PATTERN("any{3}", "abc~\xc3\xa4\xc3\xb6\xc3\xbc", "ab~abcd");
    static const char *const bad[] = {"'a", "[a", "('a'", "'a')", "a", "'a'{", "'a'{2", "'a'{3,2}", "'a'{x}", "?", "*", "'a'{1001}{1001}", "digitx", "'a'{9999999999}", NULL};
    for (int i = 0; bad[i]; i++) {
        rlvr__buf json = {ctx, NULL, 0, 0, false};
        rlvr__buf_addf(&json, "{\"pattern\":\"%s\"}", bad[i]);
        if (!CHECK(grade(RLVR_REWARD_FORMAT, json.data, "a", NULL) == NO_VERDICT)) printf("    %s\n", bad[i]);
        CHECK(last.status == RLVR_STATUS_BAD_GOLD);
        rlvr__buf_free(&json);
    }
    /* what makes a backtracking engine take exponential time */
    char text[2001];
    memset(text, 'a', 2000);
    text[2000] = 0;
    uint64_t before = test_work;
    FORMAT("{\"pattern\":\"('a'* 'a'*)* 'b'\"}", text, 0);
    FORMAT("{\"pattern\":\"(('a' | 'a' 'a')+)+ 'b'\"}", text, 0);
    FORMAT("{\"pattern\":\"'a'{0,500} 'a'{500}\"}", text, 0);
    CHECK_LE(test_work - before, 4e7);
}

/* ---- shape ---- */

static void test_shape(void)
{
    char text[4001];
    memset(text, 'x', 4000);
    text[4000] = 0;
    SHAPE("{\"max_tokens\":100,\"cache\":20,\"n_tokens\":80}", "a", 0);
    SHAPE("{\"max_tokens\":100,\"cache\":20,\"n_tokens\":85}", "a", -0.25);
    SHAPE("{\"max_tokens\":100,\"cache\":20,\"n_tokens\":100}", "a", -1);
    SHAPE("{\"max_tokens\":100,\"cache\":20,\"n_tokens\":101}", "a", -1);
    SHAPE("{\"max_tokens\":100,\"cache\":20,\"n_tokens\":1e300}", "a", -1);
    SHAPE("{\"max_tokens\":100,\"n_tokens\":100}", "a", 0);
    SHAPE("{\"max_tokens\":100,\"n_tokens\":101}", "a", -1);
    SHAPE("{\"max_tokens\":1000}", text, 0);        /* 4000 bytes are 1000 tokens */
    SHAPE("{\"max_tokens\":999}", text, -1);
    SHAPE("{\"target_tokens\":100,\"n_tokens\":100}", "a", 0);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":110}", "a", -0.1);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":90}", "a", -0.1);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":1000}", "a", -1);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":90,\"mode\":\"max\"}", "a", 0.6);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":0,\"mode\":\"max\"}", "a", 1);
    SHAPE("{\"target_tokens\":100,\"alpha\":0.01,\"n_tokens\":200,\"mode\":\"max\"}", "a", 0);
    SHAPE("{\"ngram\":1}", "a b c d", 0);
    SHAPE("{\"ngram\":1}", "a a b b", -0.5);
    SHAPE("{\"ngram\":2}", "a b a b a", -0.5);      /* ab ba ab ba */
    SHAPE("{\"ngram\":2,\"repeat_weight\":-3}", "a b a b a", -1.5);
    SHAPE("{\"ngram\":9}", "a b a b a", 0);
    SHAPE("{\"ngram\":1}", "Yes, yes", -1.0 / 3);      /* yes , yes */
    SHAPE("{\"max_tokens\":3,\"count\":\"words\"}", "one two three", 0);
    SHAPE("{\"max_tokens\":3,\"count\":\"words\"}", "one two three four", -1);
    SHAPE("{\"max_tokens\":3,\"count\":\"chars\"}", "\xc3\xa4\xc3\xb6\xc3\xbc", 0);
    SHAPE("{\"max_tokens\":3,\"count\":\"chars\"}", "abcd", -1);
    SHAPE("{\"cosine\":{\"max_tokens\":100},\"n_tokens\":0}", "a", 2);
    SHAPE("{\"cosine\":{\"max_tokens\":100},\"n_tokens\":50}", "a", 1.5);
    SHAPE("{\"cosine\":{\"max_tokens\":100},\"n_tokens\":100}", "a", -10);
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"number\"},\"n_tokens\":0}", "42", 2);
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"number\"},\"n_tokens\":0}", "41", -10);
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"number\"},\"n_tokens\":50}", "41", -5);
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"number\",\"wrong\":[-1,-0.5],\"correct\":[1,0.5],\"exceed\":-2},\"n_tokens\":25}", "41",
          -0.5 - 0.25 * (1 + cos(3.14159265358979 / 4)));
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"choice\",\"choices\":[\"x\",\"y\"]},\"n_tokens\":25}", "B", NO_VERDICT);      /* gold 42 */
    SHAPE("{\"cosine\":{\"max_tokens\":100,\"kind\":\"shape\"},\"n_tokens\":25}", "B", NO_VERDICT);
    SHAPE("{\"cosine\":{\"max_tokens\":0}}", "B", NO_VERDICT);
    SHAPE("{\"cosine\":{\"max_tokens\":9,\"wrong\":[1]}}", "B", NO_VERDICT);
    SHAPE("{}", "B", NO_VERDICT);
    SHAPE("{\"max_tokens\":\"9\"}", "B", NO_VERDICT);
    SHAPE("{\"max_tokens\":-9}", "B", NO_VERDICT);
    SHAPE("{\"ngram\":0}", "B", NO_VERDICT);
    SHAPE("{\"max_tokens\":9,\"count\":\"bytes\"}", "B", NO_VERDICT);
    SHAPE("{\"max_tokens\":100,\"cache\":50,\"n_tokens\":75,\"target_tokens\":65,\"alpha\":0.01}", "a", -0.6);      /* terms add */
    grade(RLVR_REWARD_SHAPE, "{\"max_tokens\":9}", "a", NULL);
    CHECK(last.status == RLVR_STATUS_PARTIAL);
    /* of a rollout its tokens count */
    rlvr_rollouts r;
    rlvr_rollout item;
    rlvr_reward_desc desc;
    static const int tokens[] = {5, 6, 5, 6, 5};
    memset(&r, 0, sizeof r);
    memset(&item, 0, sizeof item);
    memset(&desc, 0, sizeof desc);
    r.ctx = ctx;
    r.items = &item;
    r.n = r.group_size = 1;
    item.text = text;
    item.text_len = 4000;
    item.tokens = tokens;
    item.n_tokens = 5;
    desc.kind = RLVR_REWARD_SHAPE;
    desc.options = "{\"max_tokens\":6,\"cache\":2,\"ngram\":2}";
    CHECK(rlvr_grade_rollouts(&r, &desc) == RLVR_OK && item.graded == RLVR_OK && fabsf(item.reward - -1.0f) < 1e-6f);
}

/* ---- ifcheck ---- */

static void test_ifcheck(void)
{
    IF("{\"instructions\":[{\"id\":\"no_comma\"},{\"id\":\"startend:quotation\"}]}", "\"Yes\"", 1);
    IF("{\"instructions\":[{\"id\":\"no_comma\"},{\"id\":\"startend:quotation\"}]}", "Yes", 0);
    IF("{\"instructions\":[{\"id\":\"no_comma\"},{\"id\":\"startend:quotation\"}],\"partial\":true}", "Yes", 0.5);
    IF("{\"instructions\":[{\"id\":\"no_comma\"},{\"id\":\"startend:quotation\"}],\"partial\":true}", "Yes, so", 0);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}]}", "Sure, here it is:\nYes", 0);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}],\"loose\":true}", "Sure, here it is:\nYes", 1);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}],\"loose\":true}", "Sure, here it is:\nYes\nBye, now", 1);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}],\"loose\":true}", "a\nb, c\nd", 0);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}],\"loose\":true}", "", 0);
    IF("{\"instructions\":[{\"id\":\"no_comma\"}],\"loose\":true}", "one, line", 0);
    IF("{\"instructions\":[{\"id\":\"english_lowercase\"}],\"loose\":true}", "*Title*\nall small", 1);
    IF("{\"instruction_id_list\":[\"length_constraints:number_words\"],\"kwargs\":[{\"num_words\":3,\"relation\":\"at least\",\"keyword\":null}]}", "a b c", 1);
    IF("{\"instruction_id_list\":[\"length_constraints:number_words\"],\"kwargs\":[{\"num_words\":3.0,\"relation\":\"less than\"}]}", "a b c", 0);
    IF("{\"instructions\":[{\"id\":\"number_words\",\"num_words\":3,\"relation\":\"at most\"}]}", "a b c", 1);
    IF("{\"instructions\":[{\"id\":\"number_words\",\"num_words\":3,\"relation\":\"more than\"}]}", "a b c", 0);
    IF("{\"instructions\":[{\"id\":\"number_words\",\"num_words\":3,\"relation\":\"exactly\"}]}", "it's so", 1);
    IF("{\"instructions\":[{\"id\":\"number_sentences\",\"num_sentences\":2,\"relation\":\"exactly\"}]}", "Dr. Smith paid 3.50 dollars. Really?!", 1);
    IF("{\"instructions\":[{\"id\":\"number_sentences\",\"num_sentences\":2,\"relation\":\"exactly\"}]}", "It said \"so.\" Then it went", 1);
    IF("{\"instructions\":[{\"id\":\"english_capital\"}]}", "\xc3\x89T\xc3\x89 1789!", 1);
    IF("{\"instructions\":[{\"id\":\"english_capital\"}]}", "\xc3\xa9T\xc3\x89", 0);
    IF("{\"instructions\":[{\"id\":\"english_lowercase\"}]}", "\xd0\xbc\xd0\xb8\xd1\x80", 1);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "{\"a\":{\"b\":[1,-2.5e-3,\"\\u00e4\\n\",true,null,{}]}}", 1);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "[1,]", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "{\"a\":}", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "{\"a\":1 \"b\":2}", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "{1:2}", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "01", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "\"a\nb\"", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "[1] [2]", 0);
    IF("{\"instructions\":[{\"id\":\"json_format\"}]}", "[}", 0);
    IF("{\"instructions\":[{\"id\":\"nonsense\"}]}", "a", NO_VERDICT);
    IF("{\"instructions\":[{}]}", "a", NO_VERDICT);
    IF("{\"instruction_id_list\":[\"language:response_language\"],\"kwargs\":[{\"language\":\"de\"}]}", "ja", NO_VERDICT);
    IF("{\"instruction_id_list\":[\"keywords:frequency\"]}", "a", NO_VERDICT);
    IF("{\"instruction_id_list\":[\"keywords:frequency\"],\"kwargs\":[{}]}", "a", NO_VERDICT);
    IF("{\"instruction_id_list\":[\"keywords:existence\"],\"kwargs\":[{\"keywords\":[]}]}", "a", NO_VERDICT);
    IF("{\"instruction_id_list\":[\"keywords:frequency\"],\"kwargs\":[{\"keyword\":\"a\",\"frequency\":2,\"relation\":\"about\"}]}", "a", NO_VERDICT);
    IF("{\"instruction_id_list\":[]}", "a", NO_VERDICT);
    IF("{}", "a", NO_VERDICT);
}

static void test_ifeval(void)
{
    const char *path = "tests/data/ifeval_ref.jsonl";
    rlvr__file f;
    int n = 0, differ = 0, wrong = 0;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        char *line = rlvr__strndup(ctx, it.text, it.len);
        const char *text = rlvr__json_str(rlvr__json_get(j, "response"), NULL);
        for (int loose = 0; loose < 2; loose++) {
            rlvr_task task;
            rlvr_reward_desc desc;
            memset(&task, 0, sizeof task);
            memset(&desc, 0, sizeof desc);
            task.json = line;
            desc.kind = RLVR_REWARD_IFCHECK;
            desc.options = loose ? "{\"loose\":true}" : "{}";
            const rlvr__json *theirs = rlvr__json_get(j, loose ? "lm_eval_loose" : "lm_eval_strict");
            const rlvr__json *ours = rlvr__json_get(j, loose ? "expected_loose" : "expected");
            bool want = rlvr__json_bool(ours ? ours : theirs, false);
            CHECK(theirs && (!ours || rlvr__json_get(j, "comment")));
            CHECK(rlvr_grade_task(ctx, &desc, text, strlen(text), &task, &last) == RLVR_OK);
            n++;
            differ += ours != NULL;
            if ((last.reward == 1) != want && wrong++ < (getenv("RLVR_TEST_ALL") ? 100000 : 20)) printf("    line %lld%s: %g, not %d (%s): %.*s\n", (long long)it.line,
                loose ? " loose" : "", (double)last.reward, want, last.reason, (int)it.len, it.text);
        }
        rlvr__free(ctx, line);
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(wrong == 0);
    CHECK(n >= 4000);
    REPORT("ifcheck: %d verdicts, %d of them as IFEval's, %d otherwise and why, %d wrong", n, n - differ, differ, wrong);
}

/* ---- tasks that lack something are refused with their line ---- */

static void refused(rlvr_reward_kind kind, const char *json, const char *answer, const char *field)
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    rlvr_task task;
    rlvr_reward_desc desc;
    memset(&task, 0, sizeof task);
    memset(&desc, 0, sizeof desc);
    task.prompt = "?";
    task.json = json;
    task.answer = answer;
    task.line = 17;
    desc.kind = kind;
    rlvr_tasks_add(tasks, &task);
    rlvr_result r = rlvr_reward_check(ctx, &desc, tasks);
    char name[64];
    snprintf(name, sizeof name, "\"%s\"", field ? field : "");
    if (!field) CHECK(r == RLVR_OK);
    else CHECK(r == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "line 17") && strstr(rlvr_last_error(ctx), name));
    rlvr_tasks_free(tasks);
}

static void test_lacks(void)
{
    refused(RLVR_REWARD_EXACT, "{}", NULL, "answer");
    refused(RLVR_REWARD_EXACT, "{\"answers\":[\"x\"]}", NULL, NULL);
    refused(RLVR_REWARD_NUMBER, "{}", NULL, "answer");
    refused(RLVR_REWARD_NUMBER, "{\"range\":[1,2]}", NULL, NULL);
    refused(RLVR_REWARD_CHOICE, "{\"choices\":[\"x\",\"y\"]}", NULL, "answer");
    refused(RLVR_REWARD_CHOICE, "{}", "London", "choices");
    refused(RLVR_REWARD_CHOICE, "{}", "(C)", NULL);
    refused(RLVR_REWARD_FORMAT, "{}", NULL, "tags");
    refused(RLVR_REWARD_FORMAT, "{\"pattern\":\"digit\"}", NULL, NULL);
    refused(RLVR_REWARD_SHAPE, "{}", NULL, "max_tokens");
    refused(RLVR_REWARD_IFCHECK, "{}", NULL, "instruction_id_list");
    refused(RLVR_REWARD_IFCHECK, "{\"instructions\":[{\"id\":\"no_comma\"}]}", NULL, NULL);
}

/* ---- any bytes, and time ---- */

static const struct { rlvr_reward_kind kind; const char *json, *gold; } hostile[] = {
    {RLVR_REWARD_EXACT, "{\"ignore_case\":true,\"nfc\":true,\"ignore_space\":true,\"ignore_punctuation\":true}", "blue"},
    {RLVR_REWARD_NUMBER, "{\"abs_tol\":0.1,\"rel_tol\":0.1,\"unit\":\"km/h\"}", "42"},
    {RLVR_REWARD_CHOICE, "{\"choices\":[\"London\",\"Paris is a city\",\"a\",\"answer\"]}", "B"},
    {RLVR_REWARD_FORMAT, "{\"tags\":[\"think\",\"answer\"],\"outside\":true,\"pattern\":\"(line* '\\n' | any{1,9})*\"}", NULL},
    {RLVR_REWARD_FORMAT, "{\"pattern\":\"('a' | 'ab' | [^x] digit)* 'b'\"}", NULL},
    {RLVR_REWARD_SHAPE, "{\"max_tokens\":100,\"cache\":9,\"ngram\":3,\"cosine\":{\"max_tokens\":9,\"kind\":\"number\"}}", "42"},
    {RLVR_REWARD_IFCHECK, "{\"loose\":true,\"instructions\":[{\"id\":\"json_format\"},{\"id\":\"title\"},{\"id\":\"number_placeholders\",\"num_placeholders\":9},"
        "{\"id\":\"postscript\",\"postscript_marker\":\"P.S.\"},{\"id\":\"number_bullet_lists\",\"num_bullets\":3},{\"id\":\"number_highlighted_sections\",\"num_highlights\":3}]}", NULL},
    {RLVR_REWARD_IFCHECK, "{\"instructions\":[{\"id\":\"two_responses\"},{\"id\":\"number_paragraphs\",\"num_paragraphs\":3},{\"id\":\"capital_word_frequency\",\"capital_frequency\":3},"
        "{\"id\":\"multiple_sections\",\"section_spliter\":\"Section\",\"num_sections\":2},{\"id\":\"forbidden_words\",\"forbidden_words\":[\"bad\",\"a\"]},"
        "{\"id\":\"number_sentences\",\"num_sentences\":3},{\"id\":\"nth_paragraph_first_word\",\"num_paragraphs\":3,\"nth_paragraph\":2,\"first_word\":\"a\"},"
        "{\"id\":\"end_checker\",\"end_phrase\":\"a\"},{\"id\":\"keywords:frequency\",\"keyword\":\"aa\",\"frequency\":2}]}", NULL},
};
enum { HOSTILE = (int)(sizeof hostile / sizeof *hostile) };

static const char *const pieces[] = {"a", "A", "B", "b", " ", "\n", "\n\n", "\t", "(", ")", "[", "]", "{", "}", "<", ">", "</", "*", "**", "***", "******", "-", "- ", "* ", "_", "`", "```",
    "\"", "'", "$", "\\", "\\boxed{", "\\boxed{B}", "\\text{", "####", "#### ", "<think>", "</think>", "<answer>", "</answer>", "<!--", "-->", "answer ", "The answer is ", "Answer: ",
    "option ", "choice", " or ", " and ", ", ", "/", ".", "!", "?", "not ", "isn't ", " is wrong", "is ", "but ", "42", "1", "0.", "e5", "1,000", " km", "km/h", "per ", "%", "<<", ">>", "P.S.",
    "p. ", "Section ", "Section 1", "{\"a\":", "[1,", "\\u00e4", "\x00", "\xff", "\xc3", "\xc3\xa4", "\xcc\x81", "\xe2\x80\x8b", "\xe1\xbb\x87", "\xed\x95\x9c", "\xf0\x9f\x98\x80", "Paris is a city",
    "word ", "it's ", "A. ", "(A) ", "A) ", "\\frac", "^", "~~", "=", "+", "\xe2\x88\x92"};
enum { PIECES = (int)(sizeof pieces / sizeof *pieces) };

static void test_hostile(void)
{
    char text[512];
    int rounds = quick ? 300 : 4000;
    for (int round = 0; round < rounds; round++) {
        size_t len = 0;
        for (int k = (int)dice(16); k >= 0; k--) {
            const char *p = pieces[dice(PIECES)];
            size_t n = *p ? strlen(p) : 1;
            memcpy(text + len, p, n);
            len += n;
        }
        for (int h = 0; h < HOSTILE; h++)
            for (size_t cut = round % 16 ? len : 0; cut <= len; cut++) {
                double got = grade_at(hostile[h].kind, hostile[h].json, false, text, cut, hostile[h].gold);
                if (got == NO_VERDICT) CHECK(!"a verdict");
                if (hostile[h].kind != RLVR_REWARD_SHAPE && got != 0 && got != 1) CHECK(!"0 or 1");
            }
    }
}

/* No piece, alone or mixed with another, makes a verifier slower than its length: twice the length takes at most 2.3 times the work.
   RLVR_TEST_LONG=1: from 512 KiB to 1 MiB, and 10 MB of one byte. */
static double work(int h, const char *text, size_t len)
{
    uint64_t before = test_work;
    CHECK(grade_at(hostile[h].kind, hostile[h].json, false, text, len, hostile[h].gold) != NO_VERDICT);
    return (double)(test_work - before);
}

static void test_linear(void)
{
    bool whole_size = getenv("RLVR_TEST_LONG") != NULL;
    size_t big = whole_size ? 1 << 19 : quick ? 1 << 12 : 1 << 14;
    char *text = (char *)malloc(2 * big + 64);
    double worst = 0, most = 0, most_of_one = 0;
    for (int k = 0; k < PIECES; k++)
        for (int second = 0; second < (quick ? 1 : 2); second++) {
            size_t len = 0;
            int other = (int)dice(PIECES);
            while (len < 2 * big) {
                const char *p = pieces[(len && second && dice(2)) ? other : k];
                size_t n = *p ? strlen(p) : 1;
                memcpy(text + len, p, n);
                len += n;
            }
            for (int h = 0; h < HOSTILE; h++) {
                double half = work(h, text, big), whole = work(h, text, 2 * big);
                most = RLVR__MAX(most, whole / (2.0 * (double)big));
                worst = RLVR__MAX(worst, whole / half);
                if (whole > 2.3 * half) printf("    %s (%d): \"%s\" with \"%s\": %.0f, then %.0f\n", rlvr__reward_name(hostile[h].kind), h, pieces[k], second ? pieces[other] : "-", half, whole);
            }
        }
    free(text);
    CHECK_LE(worst, 2.3);
    CHECK_LE(most, 10000);
    REPORT("doubling to %zu bytes takes at most %.2f times the work, which is at most %.0f blocks and bytes for each byte", 2 * big, worst, most);
    size_t n = whole_size ? 10 << 20 : quick ? 1 << 14 : 1 << 17;
    text = (char *)malloc(n);
    for (int k = 0; k < 4; k++) {
        memset(text, "(\0a\xcc"[k], n);
        for (int h = 0; h < HOSTILE; h++) {
            double each = work(h, text, n) / (double)n;
            most_of_one = RLVR__MAX(most_of_one, each);
        }
    }
    CHECK_LE(most_of_one, 3000);
    REPORT("%zu bytes, all the same, take at most %.0f for each", n, most_of_one);
    free(text);
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
    test_exact();
    test_keys();
    test_number();
    test_units();
    test_tolerance();
    test_choice();
    test_format();
    test_pattern();
    test_shape();
    test_ifcheck();
    test_ifeval();
    test_lacks();
    test_hostile();
    test_linear();
    rlvr_close(ctx);
    return test_done();
}
