/* Sections 20 and 21: pass@k against every subset, majority votes, the bootstrap's coverage, a whole evaluation against one
   recomputed from the same rollouts, and the chart. */
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

/* ---- majority ---- */

static bool majority(const char *const *text, const float *reward, const rlvr_result *graded, int n, bool by_number)
{
    rlvr_rollout group[16];
    memset(group, 0, sizeof group);
    for (int i = 0; i < n; i++) {
        group[i].text = text[i];
        group[i].text_len = strlen(text[i]);
        group[i].reward = reward[i];
        group[i].graded = graded ? graded[i] : RLVR_OK;
    }
    return rlvr__majority_passes(group, n, by_number);
}

static void test_majority(void)
{
    {   const char *const t[] = {"7", "is 42", "42.0", "\\boxed{7}", "#### 42"}; const float r[] = {0, 1, 1, 0, 1};
        CHECK(majority(t, r, NULL, 5, true) == true);
        CHECK(majority(t, r, NULL, 5, false) == false); }      /* by text all differ: the first wins */
    {   const char *const t[] = {"7", "42", "7", "42"}; const float r[] = {0, 1, 0, 1};      /* a tie: who came first */
        CHECK(majority(t, r, NULL, 4, true) == false && majority(t + 1, r + 1, NULL, 3, true) == true); }
    {   const char *const t[] = {"none", "none", "none", "42"}; const float r[] = {0, 0, 0, 1};      /* no number, no vote */
        CHECK(majority(t, r, NULL, 4, true) == true && majority(t, r, NULL, 4, false) == false); }
    {   const char *const t[] = {"a", " b\n", "b", "a", "b "}; const float r[] = {0, 1, 1, 0, 1};
        CHECK(majority(t, r, NULL, 5, false) == true); }
    {   const char *const t[] = {"7", "7", "42"}; const float r[] = {0, 0, 1};      /* the ungraded do not vote */
        const rlvr_result g[] = {RLVR_REWARD_ERROR, RLVR_REWARD_ERROR, RLVR_OK};
        CHECK(majority(t, r, g, 3, true) == true && majority(t, r, g, 2, true) == false); }
    {   const char *const t[] = {"x", "y"}; const float r[] = {0, 0};
        CHECK(majority(t, r, NULL, 2, true) == false); }
    {   const char *const t[] = {"", "", "a"}; const float r[] = {0.5f, 0.5f, 0};      /* half a reward is a pass */
        CHECK(majority(t, r, NULL, 3, false) == true); }
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
        maj += rlvr__majority_passes(rlvr_rollouts_get(all, t * N), N, false);
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
    for (int t = 0; t < N_TASKS; t++) maj += rlvr__majority_passes(rlvr_rollouts_get(all, t * N), N, true);
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
    for (int64_t k = 0; !survived && k < 4000; k++) {
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
        CHECK(m != NULL);
        r.left = k;
        rlvr_result e = rlvr_eval(m, tasks + 1, 3, &d, &report);
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
    REPORT("memory: refused at each of %d allocations", tried - 1);
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
    test_majority();
    test_bootstrap();
    test_eval();
    test_memory();
    test_chart();
    return test_done();
}
