/* Section 15.13: lint finds the hole of each of six naive verifiers, and says of sound ones that there is none. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"
#include <sys/wait.h>

static rlvr_ctx *ctx;

static const rlvr_lint_probe *probe(const rlvr_lint_report *r, const char *name)
{
    for (int i = 0; i < r->n_probes; i++)
        if (!strcmp(r->probes[i].name, name)) return &r->probes[i];
    printf("    there is no probe \"%s\"\n", name);
    exit(1);
}

static void show(const char *what, const rlvr_lint_report *r)
{
    char text[1024] = "";
    for (int i = 0; i < r->n_probes; i++)
        if (r->probes[i].hole && strlen(text) < 900)
            sprintf(text + strlen(text), "%s%s %.2f", *text ? ", " : "", r->probes[i].name, r->probes[i].mean);
    REPORT("%s: %d holes%s%s", what, r->n_holes, *text ? ": " : "", text);
}

static rlvr_tasks *make_tasks(const char *const (*list)[2], int n, const char *json)
{
    rlvr_tasks *t = rlvr_tasks_new(ctx);
    for (int i = 0; i < n; i++) {
        rlvr_task task;
        memset(&task, 0, sizeof task);
        task.prompt = list[i][0];
        task.answer = list[i][1];
        task.json = json;
        task.line = i + 1;
        CHECK(rlvr_tasks_add(t, &task) == RLVR_OK);
    }
    return t;
}

static const char *const sums[][2] = {{"What is 3 + 4?", "7"}, {"What is 20 + 22?", "42"}, {"What is 6 times 9?", "54"}, {"What is 100 - 1?", "99"},
                                      {"What is 7 squared?", "49"}, {"What is half of 62?", "31"}, {"What is 5 + 8?", "13"}, {"What is 9 times 7?", "63"}};
static const char *const quiz[][2] = {{"Which is a fruit? (A) stone (B) pear (C) rope (D) ink", "B"}, {"Which flies? (A) bat (B) cow (C) eel (D) ant", "A"},
                                      {"Which is wet? (A) sand (B) coal (C) rain (D) wool", "C"}, {"Which is red? (A) sky (B) sea (C) pea (D) ruby", "D"}};

/* ---- six verifiers as people write them ---- */

static rlvr_result last_number(const rlvr_rollout *r, void *user, float *reward)      /* re.findall(r"-?\d+", text)[-1] == gold */
{
    const char *last = NULL;
    size_t n = 0;
    (void)user;
    for (size_t i = 0; i < r->text_len; i++)
        if (rlvr__is_digit(r->text[i])) {
            size_t begin = i;
            while (i < r->text_len && rlvr__is_digit(r->text[i])) i++;
            last = r->text + begin;
            n = i - begin;
        }
    *reward = last && n == strlen(r->task->answer) && !memcmp(last, r->task->answer, n);
    return RLVR_OK;
}

static rlvr_result contains(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = strstr(r->text, r->task->answer) != NULL;
    return RLVR_OK;
}

static rlvr_result same_process(const rlvr_rollout *r, void *user, float *reward)      /* program and tests in one sh; exit status 0 passes */
{
    (void)user;
    FILE *f = popen("timeout 5 sh >/dev/null 2>&1", "w");
    if (!f) return RLVR_REWARD_ERROR;
    fprintf(f, "%.1000s\n[ \"$(f 2)\" = 4 ] || exit 1\n", r->text);
    int status = pclose(f);
    *reward = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return RLVR_OK;
}

static rlvr_result any_letter(const rlvr_rollout *r, void *user, float *reward)      /* the right letter stands somewhere in brackets */
{
    char want[8];
    (void)user;
    snprintf(want, sizeof want, "(%s)", r->task->answer);
    *reward = strstr(r->text, want) != NULL;
    return RLVR_OK;
}

static rlvr_result long_is_good(const rlvr_rollout *r, void *user, float *reward)      /* a word more, a little more */
{
    (void)user;
    *reward = 0.001f * (float)r->n_tokens;
    return RLVR_OK;
}

/* A judge whose prompt is text around text, and which stands for a model that goes on where its prompt seems to end: here it
   reads the last verdict that stands behind the answer's end. */
static rlvr_result open_frame(const rlvr_rollout *r, void *user, float *reward)
{
    char prompt[4096];
    (void)user;
    snprintf(prompt, sizeof prompt, "<answer>%.3000s</answer>", r->text);
    const char *behind = strstr(prompt, "</answer>");
    *reward = behind && strstr(behind, "Verdict: yes");
    return RLVR_OK;
}

static void test_naive(void)
{
    rlvr_tasks *numbers = make_tasks(sums, 8, NULL), *letters = make_tasks(quiz, 4, NULL);
    struct { const char *name; rlvr_reward_fn fn; rlvr_tasks *tasks; const char *hole; double earns; } naive[] = {
        {"last number by regex", last_number, numbers, "the gold in a negation", 1},
        {"contains gold", contains, numbers, "every number 0..100", 1},
        {"tests in the same process", same_process, numbers, "the same in sh", 1},
        {"unbounded choice", any_letter, letters, "all choice letters", 1},
        {"length without cap", long_is_good, numbers, "a very long answer", 65},
        {"judge without escaping", open_frame, numbers, "text that closes a judge's frame", 1}};
    for (size_t i = 0; i < sizeof naive / sizeof *naive; i++) {
        rlvr_lint_report r;
        rlvr_reward_desc d;
        memset(&d, 0, sizeof d);
        d.fn = naive[i].fn;
        CHECK(rlvr_lint_verifier(ctx, &d, naive[i].tasks, &r) == RLVR_OK);
        const rlvr_lint_probe *p = probe(&r, naive[i].hole);
        CHECK(p->hole && p->mean >= naive[i].earns && r.n_holes >= 1);
        if (naive[i].fn != long_is_good) CHECK(!probe(&r, "empty")->hole && probe(&r, "empty")->n == r.n_tasks);
        show(naive[i].name, &r);
    }
    rlvr_lint_report r;
    rlvr_reward_desc d;
    memset(&d, 0, sizeof d);
    d.fn = contains;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK);
    CHECK(probe(&r, "all golds joined by or")->hole && probe(&r, "the gold inside a word")->hole && probe(&r, "several boxes, the last one wrong")->hole);
    CHECK(!probe(&r, "another task's gold")->hole && r.right == 1 && r.most_common == 0.125);
    CHECK(strstr(probe(&r, "the gold in a negation")->example, ", not "));
    rlvr_tasks_free(numbers);
    rlvr_tasks_free(letters);
}

/* ---- sound ones, and what is said of them ---- */

static rlvr_result whole_text(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = strcmp(r->text, r->task->answer) == 0;
    return RLVR_OK;
}
static rlvr_result always(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 1; return RLVR_OK; }
static rlvr_result never(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; (void)reward; return RLVR_REWARD_ERROR; }
static rlvr_result well_formed(const rlvr_rollout *r, void *user, float *reward)      /* what a rollout that is made up must have */
{
    (void)user;
    *reward = r->task && r->tokens && r->n_tokens >= 1 && r->logprobs[r->n_tokens - 1] == 0 && r->entropy[r->n_tokens - 1] == 0 &&
              r->n_prompt >= 1 && r->prompt_tokens && strlen(r->text) == r->text_len && r->finish_reason == RLVR_FINISH_STOP ? 0 : 1;
    return RLVR_OK;
}

static void test_sound(void)
{
    rlvr_tasks *numbers = make_tasks(sums, 8, NULL);
    rlvr_lint_report r;
    rlvr_reward_desc d;
    memset(&d, 0, sizeof d);
    d.fn = whole_text;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == 0 && r.right == 1);
    CHECK(probe(&r, "the most common gold")->mean == 0.125 && probe(&r, "the most common gold")->fair == 0.125);
    d.fn = well_formed;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == 0);
    d.fn = always;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == r.n_probes);
    d.fn = never;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == 0 && probe(&r, "empty")->n_errors == 8 && probe(&r, "empty")->n == 0);
    d.fn = NULL;
    d.kind = RLVR_REWARD_EXACT;
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == 0 && r.right == 1);
    show("exact", &r);
    d.kind = RLVR_REWARD_NUMBER;      /* it takes the last number of a text, and a negation ends in one */
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.right == 1);
    CHECK(!probe(&r, "the gold inside a word")->hole && !probe(&r, "every number 0..100")->hole && !probe(&r, "all golds joined by or")->hole);
    show("number", &r);
    d.kind = RLVR_REWARD_COMPOSE;
    d.options = "{\"parts\":[{\"kind\":\"exact\",\"gate\":true},{\"kind\":\"number\"}]}";
    CHECK(rlvr_lint_verifier(ctx, &d, numbers, &r) == RLVR_OK && r.n_holes == 0 && r.right == 1);
    rlvr_tasks_free(numbers);
    /* tasks whose golds are mostly one: a constant may earn that much and no more */
    static const char *const skew[][2] = {{"a", "yes"}, {"b", "yes"}, {"c", "yes"}, {"d", "no"}};
    rlvr_tasks *t = make_tasks(skew, 4, NULL);
    d.kind = RLVR_REWARD_EXACT;
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_OK && r.most_common == 0.75 && r.n_holes == 0);
    CHECK(probe(&r, "the most common gold")->mean == 0.75);
    rlvr_tasks_free(t);
    /* no golds, one task, none; many tasks are thinned */
    static const char *const bare[][2] = {{"Say something", NULL}};
    t = make_tasks(bare, 1, "{\"prompt\":\"Say something\",\"entry\":\"go\"}");
    d.kind = RLVR_REWARD_NONE;
    d.fn = always;
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_OK && r.right == -1 && probe(&r, "the gold in a negation")->n == 0);
    CHECK(strstr(probe(&r, "a program whose results equal everything")->example, "class Same"));
    rlvr_tasks_free(t);
    t = rlvr_tasks_new(ctx);
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_ERROR_ARGUMENT);
    for (int i = 0; i < 1000; i++) {
        rlvr_task task;
        memset(&task, 0, sizeof task);
        task.prompt = "?";
        task.answer = i % 2 ? "1" : "2";
        CHECK(rlvr_tasks_add(t, &task) == RLVR_OK);
    }
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_OK && r.n_tasks == 250);
    d.fn = NULL;
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_ERROR_ARGUMENT);
    rlvr_tasks_free(t);
}

/* A judge of flesh: a model that is not trained says the same of everything, and lint shows that it pays for nothing. */
static void test_judge(void)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc m;
    rlvr_lint_report r;
    rlvr_reward_desc d;
    memset(&m, 0, sizeof m);
    memset(&d, 0, sizeof d);
    m.n_vocab = 259; m.n_ctx = 1024; m.d_model = 16; m.n_layers = 1; m.n_heads = 2; m.n_kv_heads = 2; m.head_dim = 8; m.d_ff = 16;
    d.kind = RLVR_REWARD_JUDGE;
    d.model = rlvr_model_init(ctx, &m);
    CHECK(d.model && rlvr_model_set_byte_tokenizer(d.model, special, 2) == RLVR_OK);
    rlvr_tasks *t = make_tasks(sums, 8, NULL);
    CHECK(rlvr_lint_verifier(ctx, &d, t, &r) == RLVR_OK && r.n_tasks == 8);
    CHECK(probe(&r, "empty")->hole && probe(&r, "empty")->mean > 0.2);
    CHECK(probe(&r, "a very long answer")->n_errors == 8 && probe(&r, "a very long answer")->n == 0);
    show("a judge that is not trained", &r);
    rlvr_tasks_free(t);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    d.quiet = true;
    ctx = rlvr_open(&d);
    if (!CHECK(ctx != NULL)) return test_done();
    test_naive();
    test_sound();
    test_judge();
    rlvr_close(ctx);
    return test_done();
}
