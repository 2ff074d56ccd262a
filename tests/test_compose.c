/* Section 15.12, compose: sums, products, gates, clips, GDPO against a reference in double, errors, what is kept and logged; a
   verifier that fails now and then bends no baseline; training with composed rewards replays and allocates nothing. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;

static int advantages(rlvr_rollouts *r, rlvr_advantage kind)
{
    rlvr_advantage_desc d;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    return rlvr_advantages(r, &d);
}

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

/* ---- single texts ---- */

/* Grades by compose with options; -99: an error. */
static double grade(const char *options, const char *text, const char *gold, const char *json, rlvr_grade_result *out)
{
    rlvr_reward_desc d;
    rlvr_grade_result own;
    rlvr_task task;
    memset(&d, 0, sizeof d);
    memset(&task, 0, sizeof task);
    d.kind = RLVR_REWARD_COMPOSE;
    d.options = options;
    task.answer = gold;
    task.json = json;
    task.line = 7;
    rlvr_result r = rlvr_grade_task(ctx, &d, text, strlen(text), &task, out ? out : &own);
    return r == RLVR_OK ? (double)(out ? out : &own)->reward : -99;
}

#define TWO "{\"kind\":\"number\",\"weight\":2},{\"kind\":\"exact\"}"

static void test_rules(void)
{
    rlvr_grade_result out;
    CHECK(grade("{\"parts\":[" TWO "]}", "42", "42", NULL, &out) == 3);
    CHECK(out.status == RLVR_STATUS_EQUAL);
    CHECK_STR(out.extracted, "42");
    CHECK_STR(out.reason, "");
    CHECK(grade("{\"parts\":[" TWO "]}", "it is 42", "42", NULL, &out) == 2);
    CHECK(out.status == RLVR_STATUS_PARTIAL);
    CHECK_STR(out.reason, "exact: unequal");
    CHECK(grade("{\"parts\":[" TWO "]}", "it is 43", "42", NULL, &out) == 0 && out.status == RLVR_STATUS_UNEQUAL);
    CHECK_STR(out.reason, "number: unequal");
    CHECK(grade("{\"parts\":[" TWO "]}", "none", "42", NULL, &out) == 0);
    CHECK_STR(out.reason, "number: unparsed, there is no number");
    /* gates: open, shut, with a weight */
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"gate\":true},{\"kind\":\"number\"}]}", "42", "42", NULL, &out) == 1 && out.status == RLVR_STATUS_EQUAL);
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"gate\":true},{\"kind\":\"number\"}]}", "is 42", "42", NULL, &out) == 0);
    CHECK(out.status == RLVR_STATUS_UNEQUAL);
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"gate\":true,\"weight\":0.5},{\"kind\":\"number\"}]}", "42", "42", NULL, NULL) == 1.5);
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"weight\":0},{\"kind\":\"number\"}]}", "42", "42", NULL, NULL) == 1);
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"weight\":-0.25},{\"kind\":\"number\"}]}", "42", "42", NULL, NULL) == 0.75);
    /* product, clip; a gate stands above the clip */
    CHECK(grade("{\"combine\":\"product\",\"parts\":[" TWO "]}", "42", "42", NULL, NULL) == 2);
    CHECK(grade("{\"combine\":\"product\",\"parts\":[" TWO "]}", "is 42", "42", NULL, NULL) == 0);
    CHECK(grade("{\"combine\":\"product\",\"parts\":[{\"kind\":\"number\",\"gate\":true}," TWO "]}", "42", "42", NULL, NULL) == 2);
    CHECK(grade("{\"clip\":[0,1],\"parts\":[" TWO "]}", "42", "42", NULL, NULL) == 1);
    CHECK(grade("{\"clip\":[0.5,9],\"parts\":[" TWO "]}", "43", "42", NULL, NULL) == 0.5);
    CHECK(grade("{\"clip\":[0.5,9],\"parts\":[{\"kind\":\"exact\",\"gate\":true}," TWO "]}", "43", "42", NULL, NULL) == 0);
    CHECK(grade("{\"normalize\":\"gdpo\",\"parts\":[" TWO "]}", "42", "42", NULL, NULL) == 3);      /* alone: the plain sum */
    /* parts of a task; parts in parts */
    CHECK(grade(NULL, "42", "42", "{\"parts\":[" TWO "]}", NULL) == 3);
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\"}]}", "is 42", "42", "{\"parts\":[{\"kind\":\"number\"}],\"clip\":[0,0.5]}", NULL) == 0.5);
    CHECK(grade("{\"parts\":[{\"kind\":\"compose\",\"weight\":10,\"clip\":[0,1],\"parts\":[" TWO "]},{\"kind\":\"exact\"}]}", "42", "42", NULL, NULL) == 11);
}

static void test_errors(void)
{
    static const char *const bad[][2] = {      /* options, and what the message names */
        {"{\"parts\":[]}", "parts"}, {"{\"parts\":{}}", "parts"}, {"{\"parts\":[3]}", "parts[0]"}, {"{\"parts\":[{}]}", "parts[0]"},
        {"{\"parts\":[{\"kind\":\"number\"},{\"kind\":\"fame\"}]}", "parts[1]"}, {"{\"parts\":[{\"kind\":\"number\",\"weight\":\"1\"}]}", "weight"},
        {"{\"parts\":[{\"kind\":\"number\",\"weight\":1e999}]}", ""}, {"{\"parts\":[{\"kind\":\"number\",\"gate\":1}]}", "gate"},
        {"{\"combine\":\"mean\",\"parts\":[" TWO "]}", "combine"}, {"{\"clip\":[1,0],\"parts\":[" TWO "]}", "clip"},
        {"{\"clip\":[1],\"parts\":[" TWO "]}", "clip"}, {"{\"clip\":3,\"parts\":[" TWO "]}", "clip"},
        {"{\"normalize\":\"yes\",\"parts\":[" TWO "]}", "normalize"}, {"{\"normalize\":\"gdpo\",\"combine\":\"product\",\"parts\":[" TWO "]}", "normalize"},
        {"[1]", "object"}, {"{", "options"}, {"{\"parts\":[{\"kind\":\"compose\",\"normalize\":\"gdpo\",\"parts\":[" TWO "]}]}", "normalize"},
        {"{\"parts\":[{\"kind\":\"compose\",\"parts\":[{\"kind\":\"compose\",\"parts\":[{\"kind\":\"compose\",\"parts\":[{\"kind\":\"compose\","
         "\"parts\":[" TWO "]}]}]}]}]}", "parts within"}};
    rlvr_grade_result out;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bool named = grade(bad[i][0], "42", "42", NULL, &out) == -99 && strstr(rlvr_last_error(ctx), bad[i][1]);
        if (!CHECK(named)) printf("    %s: %s\n", bad[i][0], rlvr_last_error(ctx));
        CHECK(out.status == RLVR_STATUS_ERROR);
    }
    /* the task's own mistakes; an error of a part is one of the whole, whatever its gate and weight */
    CHECK(grade(NULL, "42", "42", NULL, &out) == -99 && out.status == RLVR_STATUS_BAD_GOLD && strstr(out.reason, "parts"));
    CHECK(grade(NULL, "42", "42", "{\"parts\":[{\"kind\":\"fame\"}]}", &out) == -99 && out.status == RLVR_STATUS_BAD_GOLD && strstr(out.reason, "fame"));
    CHECK(grade("{\"parts\":[" TWO "]}", "42", "42", "{\"clip\":0}", &out) == -99 && strstr(out.reason, "clip"));
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\"},{\"kind\":\"number\",\"weight\":0,\"name\":\"worth\"}]}", "many", "many", NULL, &out) == -99);
    CHECK(out.status == RLVR_STATUS_BAD_GOLD && out.reward == 0 && strstr(out.reason, "worth: "));
    CHECK(grade("{\"parts\":[{\"kind\":\"exact\",\"gate\":true},{\"kind\":\"number\"}]}", "wrong", "many", NULL, &out) == -99);
    CHECK(grade("{\"parts\":[" TWO "]}", "42", NULL, NULL, &out) == -99 && out.status == RLVR_STATUS_BAD_GOLD);
    CHECK(grade("{\"parts\":[{\"kind\":\"number\",\"weight\":1e30},{\"kind\":\"number\",\"weight\":1e30}],\"combine\":\"product\"}", "42", "42", NULL, &out) == -99);
    /* tasks are refused with line and field */
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    rlvr_reward_desc d;
    rlvr_task task;
    memset(&d, 0, sizeof d);
    memset(&task, 0, sizeof task);
    d.kind = RLVR_REWARD_COMPOSE;
    d.options = "{\"parts\":[" TWO "]}";
    task.prompt = "?";
    task.line = 31;
    CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
    CHECK(rlvr_reward_check(ctx, &d, tasks) == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "line 31") && strstr(rlvr_last_error(ctx), "answer"));
    d.options = NULL;
    CHECK(rlvr_reward_check(ctx, &d, tasks) == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), "parts"));
    rlvr_tasks_free(tasks);
}

/* A verdict that is waited for, inside a composed one. */
static void test_pending(void)
{
    rlvr__part part;
    rlvr_grade_result out;
    rlvr_reward_desc d;
    memset(&d, 0, sizeof d);
    d.kind = RLVR_REWARD_COMPOSE;
    d.options = "{\"parts\":[{\"kind\":\"compose\",\"weight\":3,\"parts\":[{\"kind\":\"number\"}]},{\"kind\":\"exact\"}]}";
    CHECK(rlvr__part_open(ctx, "test", &d, NULL, 0, &part) == RLVR_OK);
    rlvr__case c = rlvr__case_of(ctx, &part, NULL, "42", 2, "42", &out);
    rlvr__case_begin(&c);
    CHECK(out.status == RLVR_STATUS_EQUAL && out.reward == 4);
    rlvr__compose *k = (rlvr__compose *)c.job;
    k->out[0].status = out.status = RLVR_STATUS_PENDING;
    k->out[0].reward = out.reward = 0;
    CHECK(rlvr__case_poll(&c, 0) && out.status == RLVR_STATUS_EQUAL && out.reward == 4);
    rlvr__case_end(&c);
    rlvr__part_close(ctx, &part);
}

/* ---- groups ---- */

enum { G = 8, GROUPS = 3, N = G * GROUPS };
static float table[4][N];      /* rewards of four callbacks by rollout; NaN: it fails */
static rlvr_result look_up(const rlvr_rollout *o, void *user, float *reward)
{
    *reward = ((const float *)user)[o->prompt_index * G + o->index];
    return isnan(*reward) ? RLVR_REWARD_ERROR : RLVR_OK;
}

typedef struct fake { rlvr_rollouts r; rlvr_rollout items[N]; rlvr_task task[GROUPS]; } fake;
static void make_fake(fake *f)
{
    memset(f, 0, sizeof *f);
    f->r.ctx = ctx;
    f->r.items = f->items;
    f->r.n = N;
    f->r.group_size = G;
    f->r.n_tasks = GROUPS;
    for (int i = 0; i < N; i++) {
        f->items[i].prompt_index = i / G;
        f->items[i].index = i % G;
        f->items[i].task = &f->task[i / G];
        f->items[i].text = "4";
        f->items[i].text_len = 1;
        f->items[i].n_tokens = 1;
    }
}
static void free_fake(fake *f)
{
    void *arrays[] = {f->r.cases, f->r.verdicts, f->r.part_reward, f->r.normal, f->r.valid};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) rlvr__free(ctx, arrays[i]);
}

static float dice(void) { static uint32_t at; return rlvr_uniform(3, at++, 0, 0, 0); }

static void test_gdpo(void)
{
    fake f;
    rlvr_reward_desc parts[3], d;
    make_fake(&f);
    memset(parts, 0, sizeof parts);
    memset(&d, 0, sizeof d);
    for (int p = 0; p < 3; p++) { parts[p].fn = look_up; parts[p].user = table[p]; }
    parts[0].name = "form";
    parts[0].gate = true;
    parts[1].name = "small";
    parts[2].name = "large";
    parts[2].weight = 2;
    d.kind = RLVR_REWARD_COMPOSE;
    d.parts = parts;
    d.n_parts = 3;
    d.options = "{\"normalize\":\"gdpo\"}";
    double worst = 0;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < N; i++) {
            table[0][i] = round % 2 ? 1.0f : (float)(dice() > 0.3f);
            table[1][i] = i < G ? 0.95f : 0.01f * dice();      /* the first group: equal values */
            table[2][i] = dice() < 0.05f ? NAN : (float)(int)(100 * dice());
        }
        CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
        for (int g = 0; g < GROUPS; g++) {
            double sum[G] = {0};
            for (int p = 1; p < 3; p++) {
                double mean = 0, square = 0, x[G];
                int n = 0;
                for (int i = 0; i < G; i++) {
                    int at = g * G + i;
                    x[i] = table[0][at] > 0 ? (double)table[p][at] : 0;
                    if (isnan(table[2][at])) continue;
                    n++;
                    mean += x[i];
                }
                mean /= n;
                for (int i = 0; i < G; i++)
                    if (!isnan(table[2][g * G + i])) square += (x[i] - mean) * (x[i] - mean);
                double std = n > 1 ? sqrt(square / (n - 1)) : 0;
                for (int i = 0; i < G; i++) sum[i] += std > 1e-12 ? p * (x[i] - mean) / (std + 1e-4) : 0;
            }
            for (int i = 0; i < G; i++) {
                const rlvr_rollout *o = &f.items[g * G + i];
                bool bad = isnan(table[2][g * G + i]);
                CHECK((o->graded != RLVR_OK) == bad);
                if (!bad) worst = fmax(worst, fabs(sum[i] - (double)o->reward));
            }
        }
    }
    CHECK_LE(worst, 2e-4);
    REPORT("gdpo: %d rewards, at most %.1e from the reference in double", 200 * N, worst);
    /* equal values give exactly 0; opposite parts cancel to equal sums, so there is no signal out of rounding */
    for (int i = 0; i < N; i++) { table[0][i] = 1; table[1][i] = i % G < 7 ? 0.95f : 0; table[2][i] = 0.3f; }
    parts[0].gate = false;
    parts[0].user = table[2];
    parts[1].user = table[2];
    CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
    for (int i = 0; i < N; i++) CHECK(f.items[i].reward == 0);
    for (int i = 0; i < N; i++) { table[0][i] = 0.1f * (float)(i % 5); table[1][i] = 1 - table[0][i]; }
    parts[2].weight = 1;
    parts[1].user = table[0];
    parts[2].user = table[1];
    CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
    CHECK(advantages(&f.r, RLVR_ADV_GRPO) == 0);
    free_fake(&f);
}

static void test_kept(void)
{
    fake f;
    rlvr_reward_desc parts[4], d;
    const float *reward = NULL;
    make_fake(&f);
    memset(parts, 0, sizeof parts);
    memset(&d, 0, sizeof d);
    for (int i = 0; i < N; i++) { table[0][i] = (float)i; table[1][i] = i % 6 ? 1.0f : NAN; }
    parts[0].fn = parts[1].fn = look_up;
    parts[0].user = table[0];
    parts[1].user = table[1];
    parts[2].kind = parts[3].kind = RLVR_REWARD_NUMBER;
    for (int g = 0; g < GROUPS; g++) f.task[g].answer = "4";
    d.kind = RLVR_REWARD_COMPOSE;
    d.parts = parts;
    d.n_parts = 4;
    CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
    CHECK_STR(rlvr_rollouts_part(&f.r, 0, &reward), "reward");
    CHECK(reward[5] == 5 && reward[6] == 6);
    CHECK_STR(rlvr_rollouts_part(&f.r, 1, &reward), "reward_2");
    CHECK(reward[5] == 1 && isnan(reward[6]));
    CHECK_STR(rlvr_rollouts_part(&f.r, 2, NULL), "number");
    CHECK_STR(rlvr_rollouts_part(&f.r, 3, NULL), "number_2");
    CHECK(!rlvr_rollouts_part(&f.r, 4, NULL) && !rlvr_rollouts_part(&f.r, -1, NULL));
    for (int i = 0; i < N; i++) CHECK(i % 6 ? f.items[i].graded == RLVR_OK && f.items[i].reward == (float)i + 3 : f.items[i].graded == RLVR_REWARD_ERROR);
    rlvr_part_metrics m;
    rlvr__part_sums sums;
    memset(&sums, 0, sizeof sums);
    rlvr__sample_part(&f.r, 0, 0, &sums);
    rlvr__measure_part(&f.r, 0, &sums, &m);
    CHECK(m.mean == 11.5 && m.n_errors == 0);
    CHECK_LE(fabs(m.std - sqrt(50)), 1e-12);
    memset(&sums, 0, sizeof sums);
    rlvr__sample_part(&f.r, 0, 1, &sums);
    rlvr__measure_part(&f.r, 1, &sums, &m);
    CHECK(m.mean == 1 && m.std == 0 && m.n_errors == 4);
    /* a reward that is not composed is one part, and tasks may bring parts of their own */
    CHECK(rlvr_grade_rollouts(&f.r, &parts[2]) == RLVR_OK);
    CHECK_STR(rlvr_rollouts_part(&f.r, 0, &reward), "number");
    CHECK(reward[N - 1] == 1 && !rlvr_rollouts_part(&f.r, 1, NULL));
    d.n_parts = 0;
    f.task[0].json = f.task[1].json = "{\"parts\":[{\"kind\":\"exact\"}]}";
    f.task[2].json = "{\"parts\":[{\"kind\":\"number\",\"weight\":5}]}";
    CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
    CHECK(f.items[0].reward == 1 && f.items[N - 1].reward == 5);
    CHECK_STR(rlvr_rollouts_part(&f.r, 0, &reward), "exact");
    CHECK(reward[0] == 1 && isnan(reward[N - 1]));
    CHECK_STR(rlvr_rollouts_part(&f.r, 1, &reward), "number");
    CHECK(reward[N - 1] == 1 && isnan(reward[0]) && f.r.part_errors[1] == 0);
    f.task[1].json = "{\"parts\":";      /* a line that is no JSON is an error of its rollouts alone */
    CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
    CHECK(f.items[0].graded == RLVR_OK && f.items[G].graded == RLVR_REWARD_ERROR && f.items[N - 1].graded == RLVR_OK);
    free_fake(&f);
}

/* A verifier that fails with a chance of its own: over all 2^G ways to fail, each with its probability, the mean that is taken
   off the rewards is the group's true mean, and what remains sums to 0. Counting a failure as 0 would bend it by its chance. */
static void test_unbiased(void)
{
    const double p = 0.05;
    fake f;
    rlvr_reward_desc parts[2], d;
    double weight = 0, mean = 0, zeros = 0, truth = 0, worst = 0, advantage[G] = {0}, alive[G] = {0};
    make_fake(&f);
    memset(parts, 0, sizeof parts);
    memset(&d, 0, sizeof d);
    parts[0].fn = parts[1].fn = look_up;
    parts[0].user = table[0];
    parts[1].user = table[1];
    d.kind = RLVR_REWARD_COMPOSE;
    d.parts = parts;
    d.n_parts = 2;
    f.r.n = G;
    f.r.n_tasks = 1;
    for (int i = 0; i < G; i++) { table[0][i] = (float)(i % 3) * 0.5f; truth += (double)table[0][i] / G; }
    for (int mask = 0; mask < 1 << G; mask++) {
        double chance = 1, group = 0, sum = 0;
        int n = 0;
        for (int i = 0; i < G; i++) {
            bool fails = mask >> i & 1;
            chance *= fails ? p : 1 - p;
            table[1][i] = fails ? NAN : 0;
        }
        CHECK(rlvr_grade_rollouts(&f.r, &d) == RLVR_OK);
        advantages(&f.r, RLVR_ADV_DR_GRPO);
        for (int i = 0; i < G; i++) {
            const rlvr_rollout *o = &f.items[i];
            CHECK((o->graded != RLVR_OK) == (mask >> i & 1));
            if (o->graded != RLVR_OK) { CHECK(o->advantage == 0); continue; }
            n++;
            group += (double)(o->reward - o->advantage);      /* the baseline, once for each */
            sum += (double)o->advantage;
            zeros += chance * (double)o->reward / G;
            if (mask < (1 << G) - 1) { advantage[i] += chance * (double)o->advantage; alive[i] += chance; }
        }
        worst = fmax(worst, fabs(sum));
        if (n) { mean += chance * group / n; weight += chance; }
    }
    CHECK_LE(fabs(mean / weight - truth), 1e-6);
    CHECK_LE(worst, 1e-5);
    /* an error does not push its neighbours either: expected advantages keep the direction and proportion of those without errors */
    double scale = advantage[2] / alive[2] / ((double)table[0][2] - truth);
    for (int i = 0; i < G; i++) CHECK_LE(fabs(advantage[i] / alive[i] - scale * ((double)table[0][i] - truth)), 1e-6);
    REPORT("a verifier failing %.0f %%, all %d ways: baseline %.9f, the group's mean %.9f; as zeros it would be %.6f; advantages times %.4f",
           100 * p, 1 << G, mean / weight, truth, zeros, scale);
    CHECK(fabs(zeros - truth) > 0.02);
    free_fake(&f);
}

/* ---- training ---- */

static rlvr_model *small_model(rlvr_ctx *c)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 259; d.n_ctx = 128; d.d_model = 32; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 48;
    d.tied = true; d.seed = 11; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(c, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say something longer than that", "Say it"};
    (void)user;
    task->prompt = text[index % 3];
    task->raw = true;
    return RLVR_OK;
}

static rlvr_result even(const rlvr_rollout *r, void *user, float *reward)
{
    int n = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) n += r->tokens[i] % 2 == 0;
    *reward = (float)n / (float)r->n_tokens;
    return RLVR_OK;
}
static rlvr_result brief(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = r->n_tokens < 12 ? 1.0f : 0.5f;
    return RLVR_OK;
}
/* Fails for one rollout in `user`, by what was sampled: so a run that is resumed fails where the unbroken one did. */
static rlvr_result fickle(const rlvr_rollout *r, void *user, float *reward)
{
    uint32_t hash = 0;
    for (int i = 0; i < r->n_tokens; i++) hash = rlvr__random(hash, (uint32_t)r->tokens[i], 1, 2, 3);
    *reward = 0;
    return hash % *(const uint32_t *)user ? RLVR_OK : RLVR_REWARD_ERROR;
}

static uint32_t one_in = 20;
static rlvr_reward_desc trained_parts[3];
static rlvr_trainer_desc description(const char *options)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    memset(trained_parts, 0, sizeof trained_parts);
    trained_parts[0].fn = even;
    trained_parts[0].name = "even";
    trained_parts[1].fn = brief;
    trained_parts[1].name = "brief";
    trained_parts[1].weight = 0.5f;
    trained_parts[2].fn = fickle;
    trained_parts[2].name = "fickle";
    trained_parts[2].user = &one_in;
    d.reward.kind = RLVR_REWARD_COMPOSE;
    d.reward.parts = trained_parts;
    d.reward.n_parts = 3;
    d.reward.options = options;
    d.task_fn = ask;
    d.prompts_per_step = 6;
    d.group_size = 8;
    d.sampling.max_tokens = 12;
    d.max_prompt_tokens = 48;
    d.optim.lr = 3e-3f;
    d.seed = 5;
    return d;
}

static uint64_t run(int threads, rlvr_trainer_desc d, int steps, rlvr_metrics *last, double *errors)
{
    rlvr_ctx *c = open_ctx(threads);
    rlvr_model *m = small_model(c);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_metrics local;
    if (!CHECK(t != NULL)) { printf("    %s\n", rlvr_last_error(c)); return 0; }
    for (int i = 0; i < steps; i++) {
        CHECK(rlvr_train_step(t, last ? last : &local) == RLVR_OK);
        if (errors) *errors += (last ? last : &local)->n_reward_errors;
    }
    uint64_t hash = rlvr_model_hash(m);
    rlvr_trainer_close(t);
    rlvr_close(c);
    return hash;
}

static void test_training(void)
{
    static const char *const options[] = {NULL, "{\"normalize\":\"gdpo\"}"};
    bool quick = getenv("RLVR_TEST_QUICK") != NULL;
    int steps = quick ? 10 : 30;
    for (int k = 0; k < 2; k++) {
        rlvr_trainer_desc d = description(options[k]);
        rlvr_metrics first, last;
        double errors = 0;
        run(1, d, 1, &first, NULL);
        CHECK(first.n_parts == 3);
        CHECK_STR(first.parts[1].name, "brief");
        if (!k) CHECK_LE(fabs(first.reward_mean - (first.parts[0].mean + 0.5 * first.parts[1].mean)), 0.05);
        uint64_t hash = run(1, d, steps, &last, &errors);
        CHECK(hash == run(2, d, steps, NULL, NULL));
        CHECK(last.parts[0].mean > first.parts[0].mean + (quick ? 0.02 : 0.1));
        CHECK(last.n_skipped == 0 && isfinite(last.grad_norm));
        double n = 48.0 * steps, expected = n / one_in;
        CHECK_LE(fabs(errors - expected), 5 * sqrt(expected));
        REPORT("%s: even %.3f to %.3f in %d steps; %.0f of %.0f rollouts without a verdict (%.1f %%)", k ? "gdpo" : "sum", first.parts[0].mean,
               last.parts[0].mean, steps, errors, n, 100 * errors / n);
    }
}

static void test_resume(void)
{
    const char *path = "build/test_compose.checkpoint";
    rlvr_trainer_desc d = description("{\"normalize\":\"gdpo\",\"clip\":[-3,3]}");
    uint64_t unbroken = run(1, d, 4, NULL, NULL), hash = 0;
    for (int piece = 0; piece < 2; piece++) {
        rlvr_ctx *c = open_ctx(1);
        rlvr_model *m = small_model(c);
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int i = 0; i < 2; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
        if (!piece) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        hash = rlvr_model_hash(m);
        rlvr_trainer_close(t);
        rlvr_close(c);
    }
    CHECK(hash == unbroken);
    remove(path);
}

static void test_logged(void)
{
    rlvr_trainer_desc d = description(NULL);
    rlvr_ctx *c = open_ctx(1);
    rlvr_model *m = small_model(c);
    rlvr_metrics metrics;
    rlvr__file f;
    remove("build/test_compose_run/metrics.jsonl");
    remove("build/test_compose_run/completions.jsonl");
    d.out_dir = "build/test_compose_run";
    d.log_completions = 2;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t && rlvr_train_step(t, &metrics) == RLVR_OK);
    rlvr_trainer_close(t);
    if (CHECK(rlvr__file_open(c, "build/test_compose_run/metrics.jsonl", &f) == RLVR_OK)) {
        rlvr__json *j = rlvr__json_parse(c, "metrics", (const char *)f.data, f.len, 1);
        CHECK_LE(fabs(rlvr__json_num(rlvr__json_get(j, "rewards/even/mean"), 9) - metrics.parts[0].mean), 1e-8);
        CHECK_LE(fabs(rlvr__json_num(rlvr__json_get(j, "rewards/even/std"), 9) - metrics.parts[0].std), 1e-8);
        CHECK(rlvr__json_num(rlvr__json_get(j, "rewards/fickle/errors"), -1) == metrics.n_reward_errors);
        CHECK(!rlvr__json_get(j, "judge/num_tokens"));
        rlvr__json_free(c, j);
        rlvr__file_close(c, &f);
    }
    if (CHECK(rlvr__file_open(c, "build/test_compose_run/completions.jsonl", &f) == RLVR_OK)) {
        rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
        CHECK(rlvr__lines_next(&it));
        rlvr__json *j = rlvr__json_parse(c, "completions", it.text, it.len, 1);
        CHECK(rlvr__json_count(rlvr__json_get(j, "rewards")) == 3);
        rlvr__json_free(c, j);
        rlvr__file_close(c, &f);
    }
    d = description(NULL);      /* a single reward is logged under its own name */
    d.reward = trained_parts[0];
    t = rlvr_trainer_open(m, &d);
    CHECK(t && rlvr_train_step(t, &metrics) == RLVR_OK && metrics.n_parts == 1);
    CHECK_STR(metrics.parts[0].name, "even");
    CHECK_LE(fabs(metrics.parts[0].mean - metrics.reward_mean), 1e-6);
    rlvr_trainer_close(t);
    rlvr_close(c);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void test_allocations(void)
{
    test_counter counter;
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    d.quiet = true;
    test_count(&d, &counter);
    rlvr_ctx *c = rlvr_open(&d);
    rlvr_model *m = small_model(c);
    rlvr_trainer_desc td = description("{\"normalize\":\"gdpo\"}");
    rlvr_reward_desc more[4];
    memcpy(more, trained_parts, sizeof trained_parts);
    memset(&more[3], 0, sizeof more[3]);
    more[3].kind = RLVR_REWARD_JUDGE;
    more[3].options = "{\"criterion\":\"It is short.\",\"max_tokens\":512,\"raw\":true}";
    td.reward.parts = more;
    rlvr_model_desc wide = *rlvr_model_info(m);      /* the judge: another model, with room for its question */
    wide.n_ctx = 1024;
    rlvr_model *judge = rlvr_model_init(c, &wide);
    rlvr_model_set_byte_tokenizer(judge, NULL, 0);
    more[3].model = judge;
    td.reward.n_parts = 4;
    rlvr_memory with, without;
    CHECK(rlvr_memory_plan(m, &td, &with) == RLVR_OK);
    rlvr_trainer *t = rlvr_trainer_open(m, &td);
    rlvr_metrics metrics;
    CHECK(t && rlvr_train_step(t, &metrics) == RLVR_OK && metrics.judge_tokens > 0 && metrics.n_parts == 4);
    int64_t after_first = counter.calls;
    for (int i = 0; i < 6; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    CHECK_LE(counter.calls, after_first);
    td.reward.n_parts = 3;
    CHECK(rlvr_memory_plan(m, &td, &without) == RLVR_OK);
    CHECK(with.scratch - without.scratch == rlvr__judge_bytes(judge, 512));
    rlvr_trainer_close(t);
    rlvr_close(c);
}
#else
static void test_allocations(void) {}
#endif

int main(void)
{
    ctx = open_ctx(1);
    if (!CHECK(ctx != NULL)) return test_done();
    test_rules();
    test_errors();
    test_pending();
    test_gdpo();
    test_kept();
    test_unbiased();
    test_training();
    test_resume();
    test_logged();
    test_allocations();
    rlvr_close(ctx);
    return test_done();
}
