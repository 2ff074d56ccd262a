/* Sections 20, 20b, 20d and 21: pass@k, maj@k and best-of-k against every subset, the bootstrap's coverage, budget forcing against
   a loop over single tokens, whole evaluations against ones recomputed from the same rollouts, and the chart. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"
#include <locale.h>

static int n_errors_logged, n_warnings_logged;
static void count_log(void *user, rlvr_log_level level, const char *text)
{
    (void)user; (void)text;
    n_errors_logged += level == RLVR_LOG_ERROR;
    n_warnings_logged += level == RLVR_LOG_WARN;
}

static rlvr_ctx *open_ctx(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 2;
    d.log_fn = count_log;
    return rlvr_open(&d);
}

/* ---- pass@k: every subset of n samples, counted ---- */

static void test_pass_at_k(void)
{
    double worst = 0;
    for (int n = 1; n <= 10; n++)
        for (int c = 0; c <= n; c++)
            for (int k = 1; k <= n; k++) {
                int subsets = 0, hold = 0;
                for (int s = 0; s < 1 << n; s++) {
                    if (__builtin_popcount((unsigned)s) != k) continue;
                    subsets++;
                    hold += (s & ((1 << c) - 1)) != 0;      /* the first c are right */
                }
                worst = fmax(worst, fabs(rlvr_pass_at_k(n, c, k) - (double)hold / subsets));
            }
    CHECK_LE(worst, 1e-14);
    CHECK(rlvr_pass_at_k(10, 0, 5) == 0 && rlvr_pass_at_k(10, 10, 1) == 1 && rlvr_pass_at_k(10, 6, 5) == 1);
    CHECK(rlvr_pass_at_k(0, 0, 1) == 0 && rlvr_pass_at_k(5, 2, 0) == 0 && rlvr_pass_at_k(5, -1, 2) == 0);
    /* where binomials overflow: C(1000-c, 500) / C(1000, 500) by logarithms */
    for (int c = 1; c < 60; c += 7) {
        double by_log = 1 - exp(lgamma(1001.0 - c) - lgamma(501.0 - c) - lgamma(1001) + lgamma(501));
        CHECK_LE(fabs(rlvr_pass_at_k(1000, c, 500) - by_log), 1e-10);
    }
    CHECK_LE(fabs(rlvr_pass_at_k(32768, 1, 16384) - 0.5), 1e-12);
}

/* ---- votes and choices: every subset of n samples, counted ---- */

static unsigned noise(unsigned *state) { return (*state = *state * 1664525u + 1013904223u) >> 8; }

/* What the answers with the most votes in a subset are worth on average; an answer is worth its passing share of all n. */
static double vote_in_subset(const int *answer, const unsigned char *right, int n, int subset)
{
    int votes[16] = {0}, all[16] = {0}, passed[16] = {0}, most = 0, equals = 0;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (answer[i] < 0) continue;
        all[answer[i]]++;
        passed[answer[i]] += right[i];
        votes[answer[i]] += subset >> i & 1;
    }
    for (int a = 0; a < n; a++) most = votes[a] > most ? votes[a] : most;
    for (int a = 0; a < n && most; a++)
        if (votes[a] == most) { sum += (double)passed[a] / all[a]; equals++; }
    return equals ? sum / equals : 0;
}

static double best_in_subset(const float *score, const unsigned char *right, int n, int subset)
{
    int equals = 0, passed = 0;
    float best = -1e30f;
    bool any = false;
    for (int i = 0; i < n; i++)
        if ((subset >> i & 1) && score[i] == score[i]) { best = !any || score[i] > best ? score[i] : best; any = true; }
    for (int i = 0; i < n; i++)
        if ((subset >> i & 1) && (any ? score[i] == best : true)) { equals++; passed += right[i]; }
    return (double)passed / equals;
}

static void test_choices(void)
{
    double worst_maj = 0, worst_best = 0, worst_pass = 0;
    unsigned state = 1;
    for (int run = 0; run < 300; run++) {
        int n = 1 + (int)(noise(&state) % 9), answer[16], values = 1 + (int)(noise(&state) % 5), c = 0;
        unsigned char right[16];
        float score[16], reward[16];
        for (int i = 0; i < n; i++) {
            int label = (int)(noise(&state) % (unsigned)values);
            answer[i] = noise(&state) % 6 ? i : -1;
            for (int k = 0; k < i && answer[i] >= 0; k++)      /* first of its answer: label is kept in reward for now */
                if (answer[k] == k && (int)reward[k] == label) { answer[i] = k; break; }
            reward[i] = (float)label;
            right[i] = noise(&state) % 3 == 0;
            score[i] = noise(&state) % 7 ? (float)(int)(noise(&state) % 4) - 1.5f : NAN;
            c += right[i];
        }
        for (int i = 0; i < n; i++) reward[i] = right[i];
        for (int k = 1; k <= n; k++) {
            double maj = 0, best = 0;
            int subsets = 0;
            for (int subset = 0; subset < 1 << n; subset++) {
                if (__builtin_popcount((unsigned)subset) != k) continue;
                subsets++;
                maj += vote_in_subset(answer, right, n, subset);
                best += best_in_subset(score, right, n, subset);
            }
            worst_maj = fmax(worst_maj, fabs(rlvr_maj_at_k(answer, right, n, k) - maj / subsets));
            worst_best = fmax(worst_best, fabs(rlvr_best_of_k(score, right, n, k) - best / subsets));
            worst_pass = fmax(worst_pass, fabs(rlvr_best_of_k(reward, right, n, k) - rlvr_pass_at_k(n, c, k)));
        }
    }
    CHECK_LE(worst_maj, 1e-13);
    CHECK_LE(worst_best, 1e-13);
    CHECK_LE(worst_pass, 1e-13);      /* the verifier itself as score */
    REPORT("choices: maj@k and best-of-k are off the mean over all subsets by %.1e and %.1e", worst_maj, worst_best);

    /* by hand: A A B with A right. Two of three: AA, AB, AB, and a tie is half a point: (1 + 1/2 + 1/2) / 3 */
    {   const int answer[] = {0, 0, 2}; const unsigned char right[] = {1, 1, 0};
        CHECK_LE(fabs(rlvr_maj_at_k(answer, right, 3, 2) - 2.0 / 3), 1e-15);
        CHECK_LE(fabs(rlvr_maj_at_k(answer, right, 3, 1) - 2.0 / 3), 1e-15);
        CHECK(rlvr_maj_at_k(answer, right, 3, 3) == 1);
        CHECK(isnan(rlvr_maj_at_k(answer, right, 3, 4)) && isnan(rlvr_maj_at_k(answer, right, 3, 0)) && isnan(rlvr_maj_at_k(answer, right, 0, 1))); }
    /* scores 3 2 1 0, only the second right: it is the best of two in {2,1} and {2,0}: 2 of 6 */
    {   const float score[] = {3, 2, 1, 0}; const unsigned char right[] = {0, 1, 0, 0};
        CHECK_LE(fabs(rlvr_best_of_k(score, right, 4, 2) - 1.0 / 3), 1e-15);
        CHECK(rlvr_best_of_k(score, right, 4, 4) == 0); }
    /* Borda, ranks 1 2 3 4 of four: weights 4 3 2 1 to the power p; equals share their mean rank; NaN weighs nothing */
    {   const float score[] = {0.9f, 0.1f, 0.5f, 0.7f}, equals[] = {1, 1, NAN}; float w[4];
        rlvr_borda(score, 4, 1, w);
        CHECK(w[0] == 4 && w[1] == 1 && w[2] == 2 && w[3] == 3);
        rlvr_borda(score, 4, 2, w);
        CHECK(w[0] == 16 && w[1] == 1 && w[2] == 4 && w[3] == 9);
        rlvr_borda(score, 4, 0, w);
        CHECK(w[0] == 1 && w[1] == 1 && w[2] == 1 && w[3] == 1);
        rlvr_borda(equals, 3, 1, w);
        CHECK(w[0] == 2.5f && w[1] == 2.5f && w[2] == 0); }
    /* votes: 2 against 2 is who came first; weights turn it; a minority with weight wins; nobody votes */
    {   const int answer[] = {0, 1, 1, 0, -1}, silent[] = {-1, -1}; const float w[] = {1, 2, 0.5f, 1, 9}, none[] = {0, -1, NAN, 0, 1};
        CHECK(rlvr_vote(answer, NULL, 5) == 0 && rlvr_vote(answer, w, 5) == 1 && rlvr_vote(silent, NULL, 2) == -1 && rlvr_vote(answer, none, 5) == -1); }
    /* many samples: 600 of which 400 say A and 200 B; of one it is 2/3, of 63 surely A; what no estimate can be had for is NaN */
    {   int answer[600]; unsigned char right[600];
        for (int i = 0; i < 600; i++) { answer[i] = i % 3 == 2 ? 2 : 0; right[i] = i % 3 != 2; }
        CHECK_LE(fabs(rlvr_maj_at_k(answer, right, 600, 1) - 2.0 / 3), 1e-12);
        double three = (400.0 * 399 * 398 + 3.0 * 400 * 399 * 200) / (600.0 * 599 * 598);
        CHECK_LE(fabs(rlvr_maj_at_k(answer, right, 600, 3) - three), 1e-12);
        CHECK(rlvr_maj_at_k(answer, right, 600, 63) > 0.995 && rlvr_maj_at_k(answer, right, 600, 600) == 1 && isnan(rlvr_maj_at_k(answer, right, 600, 65))); }
}

/* ---- majority over texts ---- */

static double majority(rlvr_ctx *ctx, const char *const *text, const float *reward, const rlvr_result *graded, int n, rlvr_reward_kind kind)
{
    rlvr_rollout group[16];
    rlvr_grade_result verdicts[16];
    rlvr_rollouts r;
    rlvr_reward_desc desc;
    int answer[16];
    unsigned char right[16];
    memset(group, 0, sizeof group);
    memset(verdicts, 0, sizeof verdicts);
    memset(&r, 0, sizeof r);
    memset(&desc, 0, sizeof desc);
    desc.kind = kind;
    if (kind == RLVR_REWARD_NONE) desc.fn = (rlvr_reward_fn)(void (*)(void))majority;      /* only whether there is one is looked at */
    r.ctx = ctx;
    r.items = group;
    r.verdicts = verdicts;
    r.n = r.group_size = n;
    r.n_parts = 1;
    for (int i = 0; i < n; i++) {
        group[i].text = text[i];
        group[i].text_len = strlen(text[i]);
        group[i].reward = reward[i];
        group[i].graded = graded ? graded[i] : RLVR_OK;
        right[i] = reward[i] >= 0.5f;
        if (kind == RLVR_REWARD_MATH) {
            rlvr_task task;
            memset(&task, 0, sizeof task);
            task.answer = "0.5";
            rlvr_grade_task(ctx, &desc, text[i], strlen(text[i]), &task, &verdicts[i]);
        }
    }
    CHECK(rlvr_rollouts_answers(&r, &desc, answer) == RLVR_OK);
    return rlvr_maj_at_k(answer, right, n, n);
}

static void test_majority(void)
{
    const rlvr_reward_kind number = RLVR_REWARD_NUMBER, text = RLVR_REWARD_NONE, math = RLVR_REWARD_MATH;
    rlvr_ctx *ctx = open_ctx();
    {   const char *const t[] = {"7", "is 42", "42.0", "\\boxed{7}", "#### 42"}; const float r[] = {0, 1, 1, 0, 1};
        CHECK(majority(ctx, t, r, NULL, 5, number) == 1);
        CHECK_LE(fabs(majority(ctx, t, r, NULL, 5, text) - 0.6), 1e-15); }      /* by text all differ: each has a share */
    {   const char *const t[] = {"7", "42", "7", "42"}; const float r[] = {0, 1, 0, 1};      /* a tie, and none */
        CHECK(majority(ctx, t, r, NULL, 4, number) == 0.5 && majority(ctx, t + 1, r + 1, NULL, 3, number) == 1); }
    {   const char *const t[] = {"none", "none", "none", "42"}; const float r[] = {0, 0, 0, 1};      /* no number, no vote */
        CHECK(majority(ctx, t, r, NULL, 4, number) == 1 && majority(ctx, t, r, NULL, 4, text) == 0); }
    {   const char *const t[] = {"a", " b\n", "b", "a", "b "}; const float r[] = {0, 1, 1, 0, 1};
        CHECK(majority(ctx, t, r, NULL, 5, text) == 1); }
    {   const char *const t[] = {"7", "7", "42"}; const float r[] = {0, 0, 1};      /* the ungraded do not vote */
        const rlvr_result g[] = {RLVR_REWARD_ERROR, RLVR_REWARD_ERROR, RLVR_OK};
        CHECK(majority(ctx, t, r, g, 3, number) == 1 && majority(ctx, t, r, g, 2, number) == 0); }
    {   const char *const t[] = {"x", "y"}; const float r[] = {0, 0};
        CHECK(majority(ctx, t, r, NULL, 2, text) == 0); }
    {   const char *const t[] = {"", "", "a"}; const float r[] = {0.5f, 0.5f, 0};      /* half a reward is a pass */
        CHECK(majority(ctx, t, r, NULL, 3, text) == 1); }
    {   const char *const t[] = {"so \\boxed{\\frac12}", "\\boxed{7}", "it is \\boxed{0.50}", "\\boxed{7}", "\\boxed{2/4}", "no idea"};      /* equal values vote together */
        const float r[] = {1, 0, 1, 0, 1, 0};
        CHECK(majority(ctx, t, r, NULL, 6, math) == 1 && majority(ctx, t, r, NULL, 4, math) == 0.5); }
    rlvr_close(ctx);
}

/* ---- bootstrap ---- */

enum { TASKS = 64, RESAMPLES = 300 };

static void test_bootstrap(void)
{
    double value[TASKS], packed[TASKS], means[2000], others[2000], mean, low, high, low2, high2;
    int covered = 0, runs = 500;
    for (int i = 0; i < TASKS; i++) value[i] = i % 4 == 0;
    CHECK(rlvr__bootstrap(value, TASKS, packed, means, 2000, 1, &mean, &low, &high));
    double half = 1.96 * sqrt(0.25 * 0.75 / TASKS);
    CHECK(mean == 0.25);
    CHECK_LE(fabs(low - (0.25 - half)), 0.02);
    CHECK_LE(fabs(high - (0.25 + half)), 0.02);
    rlvr__bootstrap(value, TASKS, packed, means, 2000, 1, &mean, &low2, &high2);
    CHECK(low2 == low && high2 == high);      /* a pure function of its seed */
    rlvr__bootstrap(value, TASKS, packed, others, 2000, 2, &mean, &low2, &high2);
    CHECK(memcmp(means, others, sizeof means) != 0);
    for (int i = 0; i < TASKS; i++) value[i] = 1;
    CHECK(rlvr__bootstrap(value, TASKS, packed, means, 100, 1, &mean, &low, &high) && mean == 1 && low == 1 && high == 1);
    for (int i = 0; i < TASKS; i++) value[i] = i ? -1 : 0.5;      /* absent tasks are in no mean */
    CHECK(rlvr__bootstrap(value, TASKS, packed, means, 100, 1, &mean, &low, &high) && mean == 0.5 && low == 0.5 && high == 0.5);
    value[0] = -1;
    CHECK(!rlvr__bootstrap(value, TASKS, packed, means, 100, 1, &mean, &low, &high));
    CHECK(rlvr__bootstrap(packed, 1, value, means, 1, 1, &mean, &low, &high) && low == high);
    const double five[] = {1, 2, 3, 4, 5};
    CHECK(rlvr__percentile(five, 5, 0) == 1 && rlvr__percentile(five, 5, 1) == 5 && fabs(rlvr__percentile(five, 5, 0.3) - 2.2) < 1e-12);
    /* clustered: prompts differ (p uniform), 16 rollouts each. 95 % intervals must hold the true mean 0.5 about 95 times in 100;
       an interval over single rollouts, four times too narrow, would do so in about 40. */
    for (int run = 0; run < runs; run++) {
        for (int i = 0; i < TASKS; i++) {
            double p = (double)rlvr_uniform(5, (uint32_t)run, (uint32_t)i, 99, 0) < 0.5 ? 0.02 : 0.98;
            value[i] = 0;
            for (int k = 0; k < 16; k++) value[i] += ((double)rlvr_uniform(5, (uint32_t)run, (uint32_t)i, (uint32_t)k, 1) < p) / 16.0;
        }
        rlvr__bootstrap(value, TASKS, packed, means, RESAMPLES, (uint64_t)run, &mean, &low, &high);
        covered += low <= 0.5 && 0.5 <= high;
    }
    CHECK(covered >= runs * 0.91 && covered <= runs * 0.98);
    REPORT("bootstrap: %d of %d 95 %% intervals hold the true mean", covered, runs);
}

/* ---- a whole evaluation ---- */

/* A model that likes to write the digits 0 to 3: rows of its head that stand out. */
static rlvr_model *digit_model(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    float head[258 * 32];
    memset(&d, 0, sizeof d);
    d.n_vocab = 258; d.n_ctx = 64; d.d_model = 32; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 48;
    d.seed = 3;
    d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (!m || rlvr_model_set_byte_tokenizer(m, special, 2) != RLVR_OK) return NULL;
    if (rlvr_model_get(m, "lm_head.weight", false, head, 258 * 32) != RLVR_OK) return NULL;
    for (int v = 0; v < 258; v++)
        for (int k = 0; k < 32; k++) head[v * 32 + k] *= (v >= '0' && v <= '3') || v == 257 ? 4.0f : v == ' ' ? 2.0f : 0.1f;
    return rlvr_model_set(m, "lm_head.weight", head, 258 * 32) == RLVR_OK ? m : NULL;
}

enum { N_TASKS = 300, N = 5 };
static char prompts[N_TASKS][32];
static rlvr_task tasks[N_TASKS];

static void make_tasks(void)
{
    memset(tasks, 0, sizeof tasks);
    for (int i = 0; i < N_TASKS; i++) {
        snprintf(prompts[i], sizeof prompts[i], "task %d of many", i * 7919 % 1000);
        tasks[i].prompt = prompts[i];
        tasks[i].raw = true;
        tasks[i].answer = i % 3 == 0 ? "1" : i % 3 == 1 ? "2" : "33";
        tasks[i].line = i + 1;
    }
}

/* The number verifier, which fails on every 5th task's second rollout and on all of every 50th task. */
static rlvr_result unsteady(const rlvr_rollout *o, void *user, float *reward)
{
    int64_t i = o->task->line - 1;
    if (i % 50 == 0 || (i % 5 == 0 && o->index == 1)) return RLVR_REWARD_ERROR;
    const rlvr_reward_desc number = {NULL, NULL, RLVR_REWARD_NUMBER, NULL, NULL, 0, false, NULL, 0, NULL, NULL};
    rlvr_grade_result out;
    rlvr_result r = rlvr_grade_task((rlvr_ctx *)user, &number, o->text, o->text_len, o->task, &out);
    *reward = out.reward;
    return r;
}

static rlvr_eval_desc eval_desc(rlvr_ctx *ctx)
{
    rlvr_eval_desc d;
    memset(&d, 0, sizeof d);
    d.n = N;
    d.sampling.max_tokens = 4;
    d.sampling.seed = 77;
    d.seed = 5;
    d.greedy = true;
    d.bootstrap = 200;
    d.reward.fn = unsteady;
    d.reward.user = ctx;      /* unsteady grades with it */
    return d;
}

/* By trimmed text, counted plainly: what the most frequent answers of a group's graded rollouts are worth. */
static double majority_of(rlvr_rollouts *all, int task)
{
    int most = 0, equals = 0;
    double sum = 0;
    for (int i = 0; i < N; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(all, task * N + i);
        int votes = 0, passed = 0;
        if (o->graded != RLVR_OK) continue;
        for (int k = 0; k < N; k++) {
            const rlvr_rollout *p = rlvr_rollouts_get(all, task * N + k);
            const char *a = o->text, *b = p->text;
            size_t n = o->text_len, m = p->text_len;
            rlvr__trim(&a, &n);
            rlvr__trim(&b, &m);
            if (p->graded != RLVR_OK || n != m || memcmp(a, b, n)) continue;
            votes++;
            passed += p->reward == 1;
        }
        if (votes > most) { most = votes; sum = 0; equals = 0; }
        if (votes == most) { sum += (double)passed / votes / votes; equals++; }      /* each of its voters comes by here */
    }
    return most ? sum / ((double)equals / most) : 0;
}

static void test_eval(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = digit_model(ctx);
    rlvr_eval_desc d = eval_desc(ctx);
    rlvr_eval_report r, again;
    rlvr_rollouts *all = NULL, *greedy = NULL;
    rlvr_sampling s = d.sampling;
    if (!CHECK(m != NULL)) { rlvr_close(ctx); return; }
    CHECK(rlvr_eval(m, tasks, N_TASKS, &d, &r) == RLVR_OK);

    /* the same rollouts, drawn in one call instead of in pieces, and the same figures counted plainly */
    CHECK(rlvr_sample(m, tasks, N_TASKS, N, &s, &all) == RLVR_OK && rlvr_grade_rollouts(all, &d.reward) == RLVR_OK);
    s.greedy = true;
    CHECK(rlvr_sample(m, tasks, N_TASKS, 1, &s, &greedy) == RLVR_OK && rlvr_grade_rollouts(greedy, &d.reward) == RLVR_OK);
    double pass[3] = {0, 0, 0}, greedy_sum = 0, maj = 0, entropy = 0, per_task[N_TASKS];
    int64_t tokens = 0, truncated = 0, errors = 0, counted = 0, greedy_counted = 0, greedy_tokens = 0, mixed = 0;
    const int ks[] = {1, 2, 4, 5};
    double pass_k[4] = {0, 0, 0, 0};
    for (int t = 0; t < N_TASKS; t++) {
        int n = 0, c = 0;
        for (int i = 0; i < N; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(all, t * N + i);
            tokens += o->n_tokens;
            truncated += o->finish_reason == RLVR_FINISH_LENGTH;
            for (int k = 0; k < o->n_tokens; k++) entropy += (double)o->entropy[k];
            if (o->graded != RLVR_OK) { errors++; continue; }
            n++;
            c += o->reward == 1;
        }
        per_task[t] = n ? (double)c / n : -1;
        const rlvr_rollout *g = rlvr_rollouts_get(greedy, t);
        greedy_tokens += g->n_tokens;
        if (g->graded == RLVR_OK) { greedy_sum += (double)g->reward; greedy_counted++; }
        else errors++;
        if (!n) continue;
        counted++;
        mixed += c > 0 && c < n;
        for (int q = 0; q < 4; q++) {
            int k = ks[q] < n ? ks[q] : n;
            double miss = 1;
            for (int i = 0; i < k; i++) miss *= fmax(0, (double)(n - c - i)) / (n - i);      /* drawn one after the other */
            pass_k[q] += 1 - miss;
        }
        maj += majority_of(all, t);
    }
    for (int t = 0; t < N_TASKS; t++) if (per_task[t] >= 0) pass[0] += per_task[t];
    CHECK(counted == N_TASKS - 6 && mixed > 30);
    CHECK(r.n_tasks == N_TASKS && r.n == N && r.n_k == 4);
    CHECK_LE(fabs(r.pass_at_1 - pass[0] / (double)counted), 1e-12);
    for (int q = 0; q < 4; q++) { CHECK(r.k[q] == ks[q]); CHECK_LE(fabs(r.pass_at_k[q] - pass_k[q] / (double)counted), 1e-12); }
    CHECK_LE(fabs(r.pass_at_1 - r.pass_at_k[0]), 1e-12);
    CHECK(r.pass_at_n == r.pass_at_k[3]);
    CHECK_LE(fabs(r.maj_at_n - maj / (double)counted), 1e-12);
    CHECK_LE(fabs(r.greedy - greedy_sum / (double)greedy_counted), 1e-12);
    CHECK(r.pass_at_1_low < r.pass_at_1 && r.pass_at_1 < r.pass_at_1_high && r.greedy_low < r.greedy && r.greedy < r.greedy_high);
    CHECK(r.n_reward_errors == errors && r.n_tokens == tokens + greedy_tokens);
    CHECK_LE(fabs(r.mean_length - (double)tokens / (N_TASKS * N)), 1e-12);
    CHECK_LE(fabs(r.truncated - (double)truncated / (N_TASKS * N)), 1e-12);
    CHECK_LE(fabs(r.entropy - entropy / (double)tokens), 1e-9);
    CHECK(r.truncated > 0 && r.truncated < 1 && r.seconds > 0);
    CHECK(r.pass_at_k[0] < r.pass_at_k[1] && r.pass_at_k[1] < r.pass_at_k[2] && r.pass_at_k[2] <= r.pass_at_k[3]);
    REPORT("eval: pass@1 %.3f [%.3f, %.3f]  pass@%d %.3f  maj@%d %.3f  greedy %.3f  %d mixed groups", r.pass_at_1, r.pass_at_1_low,
           r.pass_at_1_high, N, r.pass_at_n, N, r.maj_at_n, r.greedy, (int)mixed);

    /* twice the same; with the number verifier itself the vote is by number; another seed, other rollouts */
    CHECK(rlvr_eval(m, tasks, N_TASKS, &d, &again) == RLVR_OK);
    again.seconds = r.seconds;
    CHECK(memcmp(&again, &r, sizeof r) == 0);
    d.reward.fn = NULL;
    d.reward.kind = RLVR_REWARD_NUMBER;
    d.greedy = false;
    CHECK(rlvr_eval(m, tasks, N_TASKS, &d, &again) == RLVR_OK && again.greedy == -1 && again.n_reward_errors == 0);
    maj = 0;
    CHECK(rlvr_grade_rollouts(all, &d.reward) == RLVR_OK);
    int answers[N_TASKS * N];
    CHECK(rlvr_rollouts_answers(all, &d.reward, answers) == RLVR_OK);
    for (int t = 0; t < N_TASKS; t++) {
        unsigned char right[N];
        for (int i = 0; i < N; i++) right[i] = rlvr_rollouts_get(all, t * N + i)->reward == 1;
        maj += rlvr_maj_at_k(answers + t * N, right, N, N);
    }
    CHECK_LE(fabs(again.maj_at_n - maj / N_TASKS), 1e-12);
    d.sampling.seed = 0;      /* none of its own: the evaluation's */
    CHECK(rlvr_eval(m, tasks, 40, &d, &r) == RLVR_OK);
    d.sampling.seed = 5;
    CHECK(rlvr_eval(m, tasks, 40, &d, &again) == RLVR_OK);
    again.seconds = r.seconds;
    CHECK(memcmp(&again, &r, sizeof r) == 0);
    d.sampling.seed = 6;
    CHECK(rlvr_eval(m, tasks, 40, &d, &again) == RLVR_OK && again.entropy != r.entropy);
    d.n = 0;      /* one sample of each */
    CHECK(rlvr_eval(m, tasks, 40, &d, &r) == RLVR_OK && r.n == 1 && r.n_k == 1 && r.pass_at_n == r.pass_at_1 && r.maj_at_n == r.pass_at_1);

    /* what cannot be evaluated says so */
    rlvr_task bad = tasks[0];
    bad.answer = "unknown";
    n_errors_logged = 0;
    CHECK(rlvr_eval(m, &bad, 1, &d, &r) == RLVR_REWARD_ERROR && n_errors_logged == 1 && strstr(rlvr_last_error(ctx), "line 1"));
    CHECK(rlvr_eval(m, tasks, 0, &d, &r) == RLVR_ERROR_ARGUMENT && rlvr_eval(m, NULL, 3, &d, &r) == RLVR_ERROR_ARGUMENT);
    d.n = -1;
    CHECK(rlvr_eval(m, tasks, 1, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_eval_desc.n"));
    d.n = 1;
    d.bootstrap = -1;
    CHECK(rlvr_eval(m, tasks, 1, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "bootstrap"));
    d.bootstrap = 0;
    d.sampling.top_p = 2;
    CHECK(rlvr_eval(m, tasks, 1, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "top_p"));
    d.sampling.top_p = 0;
    d.reward.kind = RLVR_REWARD_NONE;
    CHECK(rlvr_eval(m, tasks, 1, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "reward.fn"));
    rlvr_rollouts_free(all);
    rlvr_rollouts_free(greedy);
    rlvr_close(ctx);
}

/* ---- what the distributions say ---- */

static void test_statistics(void)
{
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = digit_model(ctx);
    enum { V = 258, LEN = 40 };
    static float logits[LEN * V];
    float score[LEN];
    int tokens[LEN];
    rlvr_token_stats stats[LEN], again[LEN];
    double worst = 0, worst_certainty = 0;
    for (int i = 0; i < LEN; i++) tokens[i] = i * 37 % 256;
    CHECK(rlvr_logits(m, tokens, LEN, logits) == RLVR_OK && rlvr_score(m, tokens, LEN, NULL, score) == RLVR_OK);
    CHECK(rlvr_token_statistics(m, tokens, LEN, stats) == RLVR_OK);
    for (int i = 0; i + 1 < LEN; i++) {
        const float *z = logits + i * V;
        double sum = 0, mean = 0, variance = 0, uniform = 0;
        for (int v = 0; v < V; v++) sum += exp((double)z[v]);
        for (int v = 0; v < V; v++) mean += exp((double)z[v]) / sum * ((double)z[v] - log(sum));
        for (int v = 0; v < V; v++) {
            double log_p = (double)z[v] - log(sum);
            variance += exp(log_p) * (log_p - mean) * (log_p - mean);
            uniform += 1.0 / V * log(1.0 / V / exp(log_p));      /* KL(uniform || p) as it is defined */
        }
        CHECK(stats[i].logprob == score[i]);
        worst = fmax(worst, fmax(fabs((double)stats[i].mean - mean), fabs((double)stats[i].std - sqrt(variance))));
        worst_certainty = fmax(worst_certainty, fabs((double)stats[i].certainty - uniform));
    }
    CHECK_LE(worst, 2e-6);
    CHECK_LE(worst_certainty, 2e-6);
    rlvr_desc one;
    memset(&one, 0, sizeof one);
    one.n_threads = 1;
    one.quiet = true;
    rlvr_ctx *other = rlvr_open(&one);
    rlvr_model *n = digit_model(other);
    CHECK(rlvr_token_statistics(n, tokens, LEN, again) == RLVR_OK && memcmp(stats, again, (LEN - 1) * sizeof *stats) == 0);
    CHECK(rlvr_token_statistics(n, tokens, 1, again) == RLVR_OK && rlvr_token_statistics(n, tokens, 0, again) == RLVR_ERROR_CONTEXT);
    rlvr_close(other);
    rlvr_close(ctx);
}

/* ---- budget forcing, token by token ---- */

typedef struct transcript { int tokens[64], forced[64], n, drawn; rlvr_finish finish; } transcript;

/* Draws the next token behind a prompt and a transcript from the logits of all of it. */
static int draw_next(rlvr_model *m, const rlvr_rollout *o, const transcript *t, const rlvr_sampling *s)
{
    enum { V = 258 };
    static float logits[64 * V], scratch[4 * V + 64];
    int tokens[64], token = -1;
    rlvr_sampling set = *s;
    rlvr__dist dist;
    rlvr__sampling_defaults(&set);
    memcpy(tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
    memcpy(tokens + o->n_prompt, t->tokens, (size_t)t->n * sizeof(int));
    if (!CHECK(rlvr_logits(m, tokens, o->n_prompt + t->n, logits) == RLVR_OK)) return -1;
    float *last = logits + (o->n_prompt + t->n - 1) * V, u = rlvr_uniform(s->seed, 0, (uint32_t)o->prompt_index, (uint32_t)o->index, (uint32_t)t->drawn);
    rlvr__dist_rows(rlvr_model_ctx(m), &dist, last, 1, V, &set, scratch);
    rlvr__dist_sample_rows(rlvr_model_ctx(m), &token, &dist, last, &u, 1, V);
    return token;
}

static void force(transcript *t, const char *text)
{
    for (; *text; text++) { t->forced[t->n] = 1; t->tokens[t->n++] = (unsigned char)*text; }
}

/* The rules of rlvr_budget, one token at a time, for a byte tokenizer. end: at most two characters. */
static void think_and_answer(rlvr_model *m, const rlvr_rollout *o, const rlvr_sampling *s, const rlvr_budget *b, transcript *t, int *n_waits)
{
    int n_end = (int)strlen(b->end_think), n_wait = (int)strlen(b->wait), T = b->max_think ? b->max_think : s->max_tokens, from = 0;
    int answer = b->max_answer ? b->max_answer : s->max_tokens, eos = rlvr_token_eos(m), waits = 0;
    memset(t, 0, sizeof *t);
    for (;;) {      /* thinking */
        t->tokens[t->n] = draw_next(m, o, t, s);
        t->forced[t->n++] = 0;
        t->drawn++;
        bool over = t->tokens[t->n - 1] == eos, end = t->n - from >= n_end;
        for (int i = 0; i < n_end && end; i++) end = t->tokens[t->n - n_end + i] == (unsigned char)b->end_think[i];
        int keep = t->n - (over ? 1 : n_end);
        if ((over || end) && waits < b->n_wait && keep + n_wait < T) {
            t->n = keep;
            force(t, b->wait);
            from = t->n;
            waits++;
            ++*n_waits;
            continue;
        }
        if (over) { t->finish = RLVR_FINISH_STOP; return; }
        if (end) break;
        if (t->n == T) {
            if (!b->max_think) { t->finish = RLVR_FINISH_LENGTH; return; }
            force(t, b->end_think);
            break;
        }
    }
    for (int i = 0; i < answer; i++) {
        t->tokens[t->n] = draw_next(m, o, t, s);
        t->forced[t->n++] = 0;
        t->drawn++;
        if (t->tokens[t->n - 1] == eos) { t->finish = RLVR_FINISH_STOP; return; }
    }
    t->finish = RLVR_FINISH_LENGTH;
}

static void test_budget(void)
{
    enum { TASKS_HERE = 6, GROUP = 3, ALL = TASKS_HERE * GROUP };
    static const rlvr_budget budgets[] = {{2, 9, 5, "W,", "3"}, {1, 12, 4, " so ", "12"}, {0, 5, 6, "W", "0"}, {3, 0, 0, "x", "31"}, {0, 0, 3, "W", "2"}, {9, 6, 2, "W", "1"}};
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = digit_model(ctx);
    rlvr_sampling s;
    rlvr_rollouts *r = NULL, *plain = NULL;
    size_t n_budgets = getenv("RLVR_TEST_QUICK") ? 2 : sizeof budgets / sizeof *budgets;
    int n_waits = 0, n_ends = 0, equal_bits = 0, wrong = 0, compared = 0, after_force = 0;
    memset(&s, 0, sizeof s);
    s.max_tokens = 8;
    s.seed = 11;
    for (size_t k = 0; k < n_budgets; k++) {
        const rlvr_budget *b = &budgets[k];
        if (!CHECK(rlvr_sample_budget(m, tasks, TASKS_HERE, GROUP, &s, b, &r) == RLVR_OK)) break;
        rlvr_sampling longer = s;
        longer.max_tokens = 30;
        CHECK(rlvr_sample(m, tasks, TASKS_HERE, GROUP, &longer, &plain) == RLVR_OK);
        for (int i = 0; i < ALL; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(r, i), *p = rlvr_rollouts_get(plain, i);
            transcript t;
            think_and_answer(m, o, &s, b, &t, &n_waits);
            compared++;
            if (t.n != o->n_tokens || memcmp(t.tokens, o->tokens, (size_t)t.n * sizeof(int)) || t.finish != o->finish_reason) { wrong++; continue; }
            /* log-probabilities are those of the tokens in their context; of what was forced, 0 */
            int all[128], any_forced = 0;
            float score[128];
            memcpy(all, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
            memcpy(all + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
            CHECK(rlvr_score(m, all, o->n_prompt + o->n_tokens, &s, score) == RLVR_OK);
            for (int j = 0; j < o->n_tokens; j++) {
                wrong += t.forced[j] ? o->logprobs[j] != 0 || o->entropy[j] != 0 : o->logprobs[j] != score[o->n_prompt - 1 + j];
                any_forced |= t.forced[j];
                n_ends += t.forced[j] && j > 0 && !t.forced[j - 1];
                after_force += j > 0 && t.forced[j - 1] && !t.forced[j];
            }
            if (!any_forced && t.drawn == o->n_tokens) {      /* nothing was forced: as if there were no budget */
                int n = o->n_tokens < p->n_tokens ? o->n_tokens : p->n_tokens;
                wrong += memcmp(o->tokens, p->tokens, (size_t)n * sizeof(int)) || memcmp(o->logprobs, p->logprobs, (size_t)n * sizeof(float)) ||
                         memcmp(o->entropy, p->entropy, (size_t)n * sizeof(float));
                equal_bits++;
            }
            size_t len;
            char *text = rlvr_detokenize(m, o->tokens, o->n_tokens, false, &len);
            wrong += len != o->text_len || memcmp(text, o->text, len);
            rlvr_free(ctx, text);
        }
    }
    CHECK(wrong == 0 && compared == ALL * (int)n_budgets);
    if (n_budgets > 2) CHECK(n_waits > 15 && n_ends > 15 && equal_bits > 5 && after_force > 30);
    REPORT("budget forcing: %d rollouts as a loop over single tokens makes them; %d waits, %d forced ends or waits, %d untouched", compared, n_waits, n_ends, equal_bits);

    /* the end of thinking as a special token, of which no text is seen; the context's end; what is refused */
    rlvr_budget b = {2, 10, 4, "W", "<|im_start|>"};
    CHECK(rlvr_sample_budget(m, tasks, 2, 2, &s, &b, &r) == RLVR_OK);
    for (int i = 0; i < 4; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        int marks = 0;
        for (int j = 0; j < o->n_tokens; j++) marks += o->tokens[j] == 256;
        CHECK(marks <= 1 && (marks == 1 || o->finish_reason == RLVR_FINISH_STOP));
    }
    b.max_think = 60;
    b.max_answer = 60;
    CHECK(rlvr_sample_budget(m, tasks, 2, 2, &s, &b, &r) == RLVR_OK);
    for (int i = 0; i < 4; i++) CHECK(rlvr_rollouts_get(r, i)->n_prompt + rlvr_rollouts_get(r, i)->n_tokens <= 64);
    b.n_wait = -1;
    CHECK(rlvr_sample_budget(m, tasks, 2, 2, &s, &b, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_budget.n_wait"));
    b.n_wait = 1;
    b.wait = "";
    CHECK(rlvr_sample_budget(m, tasks, 2, 2, &s, &b, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "rlvr_budget.wait"));
    rlvr_rollouts_free(r);
    rlvr_rollouts_free(plain);
    rlvr_close(ctx);
}

static void test_second_round(void)
{
    enum { ALL = 12 };
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = digit_model(ctx);
    rlvr_sampling s;
    rlvr_rollouts *first = NULL, *second = NULL, *whole = NULL;
    int wrong = 0, continued = 0;
    memset(&s, 0, sizeof s);
    s.max_tokens = 5;
    s.seed = 4;
    CHECK(rlvr_sample(m, tasks, 4, 3, &s, &first) == RLVR_OK && rlvr_sample_again(first, " again ", &s, &second) == RLVR_OK);
    for (int i = 0; i < ALL; i++) {
        const rlvr_rollout *a = rlvr_rollouts_get(first, i), *b = rlvr_rollouts_get(second, i);
        int keep = a->n_tokens - (a->tokens[a->n_tokens - 1] == 257);
        transcript t;
        memset(&t, 0, sizeof t);
        memcpy(t.tokens, a->tokens, (size_t)keep * sizeof(int));
        t.n = keep;
        t.drawn = a->n_tokens;
        force(&t, " again ");
        for (int k = 0; k < 5; k++) {
            t.tokens[t.n] = draw_next(m, a, &t, &s);
            t.drawn++;
            if (t.tokens[t.n++] == 257) break;
        }
        wrong += t.n != b->n_tokens || memcmp(t.tokens, b->tokens, (size_t)t.n * sizeof(int)) != 0;
        wrong += memcmp(a->logprobs, b->logprobs, (size_t)keep * sizeof(float)) != 0 || b->task != a->task;
    }
    CHECK(wrong == 0);
    /* where the text is empty and nobody had ended, two rounds are one round of twice the length, bit for bit */
    s.ignore_eos = true;
    CHECK(rlvr_sample(m, tasks, 4, 3, &s, &first) == RLVR_OK && rlvr_sample_again(first, "", &s, &second) == RLVR_OK);
    s.max_tokens = 10;
    CHECK(rlvr_sample(m, tasks, 4, 3, &s, &whole) == RLVR_OK);
    for (int i = 0; i < ALL; i++) {
        const rlvr_rollout *a = rlvr_rollouts_get(whole, i), *b = rlvr_rollouts_get(second, i);
        if (rlvr_rollouts_get(first, i)->tokens[4] == 257) continue;      /* an end-of-text that was not heeded: taken back all the same */
        continued++;
        CHECK(b->n_tokens == 10 && memcmp(a->tokens, b->tokens, 10 * sizeof(int)) == 0 && memcmp(a->logprobs, b->logprobs, 10 * sizeof(float)) == 0);
    }
    CHECK(continued > 6);
    CHECK(rlvr_sample_again(first, NULL, &s, &second) == RLVR_ERROR_ARGUMENT && rlvr_sample_again(first, "x", &s, &first) == RLVR_ERROR_ARGUMENT);
    rlvr_rollouts_free(first);
    rlvr_rollouts_free(second);
    rlvr_rollouts_free(whole);
    rlvr_close(ctx);
}

/* ---- self-correction, scores and lengths in a report ---- */

/* A score that knows: the reward, but upside down for every third task, and none for one rollout in seven. */
static rlvr_result knows(void *user, const rlvr_rollout *group, int n, float *score)
{
    for (int i = 0; i < n; i++) {
        bool right = group[i].graded == RLVR_OK && group[i].reward >= 0.5f;
        score[i] = (group[i].task->line + i) % 7 == 0 ? NAN : (float)(right != (group[i].task->line % 3 == 0)) + 0.25f;
    }
    ++*(int *)user;
    return RLVR_OK;
}
static rlvr_result knows_not(void *user, const rlvr_rollout *group, int n, float *score)
{
    (void)user; (void)group; (void)n; (void)score;
    return RLVR_ERROR_NUMERIC;
}

static void test_report(void)
{
    enum { FEW = 60 };
    rlvr_ctx *ctx = open_ctx();
    rlvr_model *m = digit_model(ctx);
    rlvr_eval_desc d = eval_desc(ctx);
    rlvr_eval_report r;
    rlvr_rollouts *all = NULL, *second = NULL;
    int calls = 0, answers[FEW * N];
    float certainty[FEW * N], scores[FEW * N];
    d.reward.fn = NULL;
    d.reward.kind = RLVR_REWARD_NUMBER;
    d.score = knows;
    d.score_user = &calls;
    d.self_certainty = true;
    d.borda_p = 2;
    d.second_round = " or ";
    d.marker = "0";      /* any byte that the model writes */
    d.greedy = false;
    d.bootstrap = 300;
    CHECK(rlvr_eval(m, tasks, FEW, &d, &r) == RLVR_OK && calls == FEW);

    rlvr_sampling s = d.sampling;
    CHECK(rlvr_sample(m, tasks, FEW, N, &s, &all) == RLVR_OK && rlvr_grade_rollouts(all, &d.reward) == RLVR_OK);
    CHECK(rlvr_rollouts_answers(all, &d.reward, answers) == RLVR_OK && rlvr_self_certainty(all, certainty) == RLVR_OK);
    CHECK(rlvr_sample_again(all, " or ", &s, &second) == RLVR_OK && rlvr_grade_rollouts(second, &d.reward) == RLVR_OK);
    double best[2][4] = {{0}}, vote[2] = {0}, borda[2] = {0}, maj[4] = {0}, sure[2] = {0}, length[3] = {0};
    int64_t of[3] = {0}, n_sure[2] = {0}, marked = 0;
    rlvr_self_correction within, again;
    memset(&within, 0, sizeof within);
    memset(&again, 0, sizeof again);
    for (int t = 0; t < FEW; t++) {
        unsigned char right[N];
        float weight[N], *score[2] = {scores + t * N, certainty + t * N};
        knows(&calls, rlvr_rollouts_get(all, t * N), N, score[0]);
        for (int i = 0; i < N; i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(all, t * N + i), *o2 = rlvr_rollouts_get(second, t * N + i);
            right[i] = o->reward >= 0.5f;
            int kind = right[i] ? 0 : o->finish_reason == RLVR_FINISH_LENGTH ? 2 : 1;
            of[kind]++;
            length[kind] += o->n_tokens;
            sure[right[i]] += (double)score[1][i];
            n_sure[right[i]]++;
            rlvr_self_correction_add(&again, right[i], o2->reward >= 0.5f);
            size_t cut = rlvr_before_marker(o->text, o->text_len, "0");
            rlvr_grade_result g;
            if (cut == o->text_len) continue;
            CHECK(rlvr_grade_task(ctx, &d.reward, o->text, cut, o->task, &g) == RLVR_OK);
            if (g.status == RLVR_STATUS_UNPARSED) continue;
            rlvr_self_correction_add(&within, g.reward >= 0.5f, right[i]);
            marked++;
        }
        for (int q = 0; q < 4; q++) {
            const int ks[] = {1, 2, 4, 5};
            maj[q] += rlvr_maj_at_k(answers + t * N, right, N, ks[q]) / FEW;
            for (int kind = 0; kind < 2; kind++) best[kind][q] += rlvr_best_of_k(score[kind], right, N, ks[q]) / FEW;
        }
        for (int kind = 0; kind < 2; kind++) {
            for (int way = 0; way < 2; way++) {
                if (way) rlvr_borda(score[kind], N, 2, weight);
                else for (int i = 0; i < N; i++) weight[i] = score[kind][i];
                int chosen = rlvr_vote(answers + t * N, weight, N), votes = 0, passed = 0;
                for (int i = 0; i < N && chosen >= 0; i++)
                    if (answers[t * N + i] == chosen) { votes++; passed += right[i]; }
                (way ? borda : vote)[kind] += votes ? (double)passed / votes / FEW : 0;
            }
        }
    }
    const rlvr_chosen *chosen[] = {&r.by_score, &r.by_certainty};
    for (int q = 0; q < 4; q++) {
        CHECK_LE(fabs(r.maj.mean[q] - maj[q]), 1e-12);
        CHECK(r.maj.low[q] <= r.maj.mean[q] && r.maj.mean[q] <= r.maj.high[q] && r.pass.low[q] < r.pass.mean[q] && r.pass.mean[q] < r.pass.high[q]);
        for (int kind = 0; kind < 2; kind++) {
            CHECK_LE(fabs(chosen[kind]->best.mean[q] - best[kind][q]), 1e-12);
            CHECK(chosen[kind]->best.low[q] <= chosen[kind]->best.mean[q] && chosen[kind]->best.mean[q] <= chosen[kind]->best.high[q]);
        }
    }
    for (int kind = 0; kind < 2; kind++) {
        CHECK_LE(fabs(chosen[kind]->vote - vote[kind]), 1e-12);
        CHECK_LE(fabs(chosen[kind]->borda - borda[kind]), 1e-12);
        CHECK(chosen[kind]->vote_low <= chosen[kind]->vote && chosen[kind]->borda <= chosen[kind]->borda_high);
    }
    CHECK(r.pass.mean[0] == r.pass_at_k[0] && r.maj.mean[4] == -1 && r.pass.low[4] == -1);
    CHECK_LE(fabs(r.pass.low[0] - r.pass_at_1_low), 1e-12);      /* pass@1's interval by both ways */
    CHECK_LE(fabs(r.pass.high[0] - r.pass_at_1_high), 1e-12);
    CHECK_LE(fabs(r.by_score.best.mean[0] - r.pass_at_1), 1e-12);      /* the best of one is any */
    CHECK(r.by_score.best.mean[3] > r.by_score.best.mean[0] && r.pass.mean[3] >= r.by_score.best.mean[3]);
    CHECK(r.right.n == of[0] && r.wrong.n == of[1] && r.cut.n == of[2] && of[0] > 0 && of[1] > 0 && of[2] > 0);
    CHECK_LE(fabs(r.right.mean - length[0] / (double)of[0]) + fabs(r.wrong.mean - length[1] / (double)of[1]) + fabs(r.cut.mean - length[2] / (double)of[2]), 1e-12);
    CHECK_LE(fabs(r.certainty_wrong - sure[0] / (double)n_sure[0]) + fabs(r.certainty_right - sure[1] / (double)n_sure[1]), 1e-12);
    CHECK(memcmp(&r.second, &again, sizeof again) == 0 && again.n == FEW * N && again.wrong_right > 0 && again.right_wrong > 0);
    CHECK(memcmp(&r.within, &within, sizeof within) == 0 && within.n == marked && marked > 10);
    REPORT("report: best of %d by a score that knows %.3f, by self-certainty %.3f (pass@%d %.3f), maj@%d %.3f", N, r.by_score.best.mean[3],
           r.by_certainty.best.mean[3], N, r.pass_at_n, N, r.maj_at_n);
    REPORT("report: second round %d compared, wrong to right %d, right to wrong %d, net %.3f", (int)again.n, (int)again.wrong_right, (int)again.right_wrong, again.net);

    /* a budget in an evaluation; nothing asked for is -1; what fails says so */
    d.score = NULL;
    d.self_certainty = false;
    d.second_round = d.marker = NULL;
    d.budget.max_think = 3;
    d.budget.end_think = "=";
    CHECK(rlvr_eval(m, tasks, FEW, &d, &r) == RLVR_OK && r.mean_length > 4 && r.by_score.best.mean[0] == -1 && r.by_certainty.vote == -1);
    CHECK(r.certainty_right == -1 && r.within.n == 0 && r.second.n == 0);
    d.score = knows_not;
    CHECK(rlvr_eval(m, tasks, FEW, &d, &r) == RLVR_ERROR_NUMERIC && strstr(rlvr_last_error(ctx), "rlvr_eval_desc.score"));
    d.score = NULL;
    d.borda_p = -1;
    CHECK(rlvr_eval(m, tasks, FEW, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "borda_p"));
    d.borda_p = 0;
    d.marker = "";
    CHECK(rlvr_eval(m, tasks, FEW, &d, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "marker"));
    rlvr_rollouts_free(all);
    rlvr_rollouts_free(second);
    rlvr_close(ctx);

    /* markers begin and end a word */
    CHECK(rlvr_before_marker("5. Wait, 6", 10, "Wait") == 3 && rlvr_before_marker("Waiting", 7, "Wait") == 7 && rlvr_before_marker("xWait", 5, "Wait") == 5);
    CHECK(rlvr_before_marker("Waiting. Wait", 13, "Wait") == 9 && rlvr_before_marker("", 0, "Wait") == 0);
    rlvr_self_correction c;
    memset(&c, 0, sizeof c);
    rlvr_self_correction_add(&c, false, true);
    rlvr_self_correction_add(&c, false, true);
    rlvr_self_correction_add(&c, true, false);
    rlvr_self_correction_add(&c, true, true);
    rlvr_self_correction_add(&c, false, false);
    CHECK(c.n == 5 && c.wrong_right == 2 && c.right_wrong == 1 && c.right_right == 1 && c.wrong_wrong == 1 && fabs(c.net - 0.2) < 1e-15);
}

/* ---- memory that runs out at every allocation in turn ---- */

typedef struct ration { int64_t left, alive; } ration;
static void *rationed(void *user, void *p, size_t n)
{
    ration *r = (ration *)user;
    if (r->left == 0) return NULL;
    r->left--;
    r->alive += !p;
    return realloc(p, n);
}
static void give_back(void *user, void *p) { if (p) { ((ration *)user)->alive--; free(p); } }

static void test_memory(void)
{
    const char *path = "build/test_eval.svg";
    const double x[] = {1, 2, 3}, y[] = {3, 1, 2};
    const rlvr_series line = {"line", x, y, 3};
    int survived = 0, tried = 0;
    for (int64_t k = 0; !survived && k < 4000; k += getenv("RLVR_TEST_QUICK") ? 9 : 1) {
        ration r = {-1, 0};
        rlvr_desc desc;
        rlvr_eval_report report;
        rlvr_eval_desc d = eval_desc(NULL);
        memset(&desc, 0, sizeof desc);
        desc.n_threads = 1;
        desc.quiet = true;
        desc.realloc_fn = rationed;
        desc.free_fn = give_back;
        desc.alloc_user = &r;
        rlvr_ctx *ctx = rlvr_open(&desc);
        rlvr_model *m = digit_model(ctx);
        d.reward.user = ctx;
        d.bootstrap = 20;
        d.n = 2;
        d.self_certainty = true;
        d.budget.n_wait = 1;
        d.budget.max_think = 3;
        d.marker = "0";
        d.second_round = " or ";
        CHECK(m != NULL);
        r.left = k;
        rlvr_result e = rlvr_eval(m, tasks + 1, 2, &d, &report);
        if (e != RLVR_OK && !strstr(rlvr_last_error(ctx), "out of memory")) CHECK(!"the message says what was missing");
        rlvr_result w = rlvr_write_svg(ctx, path, "t", "x", "y", &line, 1);
        if (w != RLVR_OK && w != RLVR_ERROR_MEMORY) CHECK(!"only memory may be missing");
        survived = e == RLVR_OK && w == RLVR_OK && r.left > 0;
        tried++;
        r.left = -1;
        rlvr_close(ctx);
        if (r.alive) CHECK(!"everything is given back");
    }
    remove(path);
    CHECK(survived && tried > 5);
    REPORT("memory: refused at %d allocations in turn", tried - 1);
}

/* ---- the chart ---- */

static char *read_all(rlvr_ctx *ctx, const char *path)
{
    rlvr__file f;
    if (rlvr__file_open(ctx, path, &f) != RLVR_OK) return NULL;
    char *text = (char *)calloc(1, f.len + 1);
    memcpy(text, f.data, f.len);
    rlvr__file_close(ctx, &f);
    return text;
}

static int occurrences(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what)) n++;
    return n;
}

/* Well-formed XML as far as this writer could go wrong: tags open and close in order, attributes are quoted, & begins an entity. */
static bool well_formed(const char *p)
{
    char open[16][16];
    int depth = 0, tags = 0;
    while (*p) {
        if (*p == '&' && strncmp(p, "&lt;", 4) && strncmp(p, "&gt;", 4) && strncmp(p, "&amp;", 5) && strncmp(p, "&quot;", 6)) return false;
        if (*p == '>' || ((unsigned char)*p < 32 && *p != '\n' && *p != '\t')) return false;
        if (*p != '<') { p++; continue; }
        bool closing = *++p == '/';
        int n = 0;
        for (p += closing; (*p >= 'a' && *p <= 'z') && n < 15;) open[depth][n++] = *p++;
        open[depth][n] = 0;
        tags++;
        if (closing) {
            if (*p++ != '>' || depth == 0 || strcmp(open[depth - 1], open[depth])) return false;
            depth--;
            continue;
        }
        while (*p && *p != '>' && *p != '/') {
            if (*p == '"') { for (p++; *p && *p != '"'; p++) if (*p == '<') return false; }
            p++;
        }
        bool empty = *p == '/';
        p += empty;
        if (*p++ != '>') return false;
        if (!empty && ++depth == 16) return false;
    }
    return depth == 0 && tags > 5;
}

/* All coordinates of the lines lie inside the frame. */
static bool inside(const char *svg)
{
    for (const char *p = svg; (p = strstr(p, "class=\"line\"")) != NULL;) {
        const char *d = strstr(p, " d=\""), *end = d ? strchr(d + 4, '"') : NULL;
        if (!end) return false;
        for (p = d + 4; p < end; p++) {
            if (*p != 'M' && *p != 'L') continue;
            double x = atof(p + 1), y = atof(strchr(p, ' '));
            if (!(x >= 72 && x <= 2000 && y >= 55.99 && y <= 600)) return false;
        }
    }
    return true;
}

static void test_chart(void)
{
    const char *path = "build/test_eval.svg";
    rlvr_ctx *ctx = open_ctx();
    double x[10], y[3][10];
    rlvr_series s[3];
    static const char *const names[] = {"plain", "<tag> & \"quotes\"", "bad \xff byte \x01"};
    mkdir("build", 0777);
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 10; i++) { x[i] = i + 1; y[k][i] = 0.1 * i * (k + 1) / 3; }
        s[k].name = names[k]; s[k].x = x; s[k].y = y[k]; s[k].n = 10;
    }
    y[1][4] = y[1][6] = NAN;      /* two gaps and a lone point between */
    y[2][0] = INFINITY;
    CHECK(rlvr_write_svg(ctx, path, "a < b & c", "step", "reward", s, 3) == RLVR_OK);
    char *svg = read_all(ctx, path);
    if (CHECK(svg != NULL)) {
        CHECK(well_formed(svg) && inside(svg));
        CHECK(strstr(svg, "a &lt; b &amp; c") && strstr(svg, "&lt;tag&gt; &amp; &quot;quotes&quot;") && strstr(svg, "bad \xef\xbf\xbd byte \xef\xbf\xbd"));
        CHECK(occurrences(svg, "class=\"line\"") == 6 && occurrences(svg, "a1.5") == 2);
        CHECK(!strstr(svg, "nan") && !strstr(svg, "inf"));
        CHECK(strstr(svg, ">0.2</text>") && strstr(svg, ">1.0</text>") && strstr(svg, ">10</text>"));
    }
    free(svg);

    /* any locale writes points; any range draws: none, one point, equal values, tiny, huge, negative */
    setlocale(LC_ALL, "de_DE.UTF-8");
    const double wild[][3] = {{0, 0, 0}, {5, 5, 5}, {-3, -2, -1}, {1e-300, 2e-300, 3e-300}, {1e299, -1e299, 0}, {1e-9, -2e-9, 5e-9}, {1e6, 2e6, 3e6},
                              {1e15, 1e15 + 1, 1e15 + 2}, {NAN, NAN, NAN}, {1e300, 1e308, -1e308}, {INFINITY, 1, -INFINITY}, {0.999, 0.9991, 0.9992},
                              {4.9e-324, 0, 0}, {-1e-5, 1e5, 3}};
    for (size_t a = 0; a < sizeof wild / sizeof *wild; a++)
        for (size_t b = 0; b < sizeof wild / sizeof *wild; b++) {
            rlvr_series one = {"one", wild[a], wild[b], 3};
            bool ok = rlvr_write_svg(ctx, path, NULL, NULL, "y", &one, 1) == RLVR_OK;
            svg = ok ? read_all(ctx, path) : NULL;
            ok = svg && well_formed(svg) && inside(svg) && !strstr(svg, "nan") && !strstr(svg, "inf") && strlen(svg) < 20000 &&
                 occurrences(svg, "class=\"tick\"") >= 2;
            if (!ok) { printf("    ranges %d and %d\n", (int)a, (int)b); CHECK(!"a chart of any range"); }
            free(svg);
        }
    setlocale(LC_ALL, "C");
    rlvr_series nothing = {"nothing", NULL, NULL, 0}, half = {"half", x, NULL, 3};
    CHECK(rlvr_write_svg(ctx, path, "t", "x", "y", &nothing, 1) == RLVR_OK);
    CHECK(rlvr_write_svg(ctx, path, "t", "x", "y", NULL, 0) == RLVR_OK);

    /* refusals leave what was there */
    svg = read_all(ctx, path);
    n_errors_logged = 0;
    CHECK(rlvr_write_svg(ctx, path, "t", "x", "y", &half, 1) == RLVR_ERROR_ARGUMENT && rlvr_write_svg(ctx, NULL, "t", "x", "y", NULL, 0) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_write_svg(ctx, path, "t", "x", "y", NULL, 2) == RLVR_ERROR_ARGUMENT && rlvr_write_svg(ctx, path, "t", "x", "y", s, -1) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_write_svg(ctx, "build/no such folder/a.svg", "t", "x", "y", s, 1) == RLVR_ERROR_IO && strstr(rlvr_last_error(ctx), "no such folder"));
    CHECK(n_errors_logged == 5);
    char *after = read_all(ctx, path);
    CHECK(svg && after && !strcmp(svg, after));
    free(svg);
    free(after);
    remove(path);
    rlvr_close(ctx);
}

int main(void)
{
    make_tasks();
    test_pass_at_k();
    test_choices();
    test_majority();
    test_bootstrap();
    test_eval();
    test_statistics();
    test_budget();
    test_second_round();
    test_report();
    test_memory();
    test_chart();
    return test_done();
}
