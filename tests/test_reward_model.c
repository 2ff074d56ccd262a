/* Reward models and process rewards: TRL's and torch's figures (values_ref.jsonl), finite differences, what a head learns from
   pairs and from labels, and a policy that is trained on what a head says. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static bool quick;

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

static rlvr_model *small_model(rlvr_ctx *ctx, int width, uint64_t seed)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 257; d.n_ctx = 64; d.d_model = width; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 40;
    d.tied = true; d.seed = seed; d.init_std = 0.3f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 1);
    return m;
}

/* ---- the fixture ---- */

static int numbers(const rlvr__json *j, const char *name, float *out)
{
    int n = 0;
    const rlvr__json *list = rlvr__json_get(j, name);
    if (!rlvr__json_is(list, RLVR__JSON_ARRAY)) return 0;
    RLVR__JSON_EACH(x, list) out[n++] = (float)rlvr__json_num(x, NAN);
    return n;
}

static double worst_loss, worst_grad;
static void compare(double loss, const rlvr__json *j, const float *grad, int n)
{
    float want[64];
    double right = rlvr__json_num(rlvr__json_get(j, "loss"), NAN);
    CHECK(numbers(j, "grad", want) == n);
    worst_loss = fmax(worst_loss, fabs(loss - right) / fmax(1, fabs(right)));
    for (int i = 0; i < n; i++) worst_grad = fmax(worst_grad, fabs((double)grad[i] - (double)want[i]) / fmax(1, fabs((double)want[i])));
}

static void test_fixture(void)
{
    const char *path = "tests/data/values_ref.jsonl";
    rlvr_ctx *ctx = open_ctx(1);
    rlvr__file f;
    int pairs = 0, values = 0, bce = 0;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        float a[64], b[64], c[64], g[64];
        unsigned char mask[64];
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        const char *kind = rlvr__json_str(rlvr__json_get(j, "kind"), NULL);
        if (!strcmp(kind, "pairs")) {
            rlvr_pair_stats stats;
            int n = numbers(j, "score", a) / 2, margins = numbers(j, "margin", b);
            CHECK(rlvr_bradley_terry(a, a + n, margins ? b : NULL, n, (float)rlvr__json_num(rlvr__json_get(j, "coef"), 0), g, g + n, &stats) == RLVR_OK);
            compare(stats.loss, j, g, 2 * n);
            CHECK_LE(fabs(stats.accuracy - rlvr__json_num(rlvr__json_get(j, "accuracy"), NAN)), 1e-9);
            pairs++;
        } else if (!strcmp(kind, "value")) {
            rlvr_value_stats stats;
            int n = numbers(j, "mask", c);
            for (int i = 0; i < n; i++) mask[i] = c[i] != 0;
            numbers(j, "value", a);
            numbers(j, "old", b);
            numbers(j, "target", c);
            CHECK(rlvr_value_loss((float)rlvr__json_num(rlvr__json_get(j, "clip"), NAN), a, b, c, mask, n, 0, g, &stats) == RLVR_OK);
            compare(stats.loss, j, g, n);
            numbers(j, "x", a);
            numbers(j, "white", b);
            rlvr_whiten(a, mask, n);
            for (int i = 0; i < n; i++) CHECK_LE(fabs((double)a[i] - (double)b[i]), 1e-6);
            values++;
        } else {
            rlvr_process_stats stats;
            int n = numbers(j, "logit", a);
            numbers(j, "label", b);
            CHECK(rlvr_process_loss(a, b, n, g, &stats) == RLVR_OK);
            compare(stats.loss, j, g, n);
            bce++;
        }
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    rlvr_close(ctx);
    CHECK(pairs == 36 && values == 3 && bce == 3);
    CHECK_LE(worst_loss, 1e-6);
    CHECK_LE(worst_grad, 1e-6);
    REPORT("TRL: %d batches of pairs, torch: %d value losses, %d cross-entropies: losses within %.1e, gradients %.1e", pairs, values, bce,
           worst_loss, worst_grad);
}

/* ---- pure functions ---- */

static double pairs_double(const double *c, const double *r, const float *margin, int n, double coef)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += log1p(exp(-(c[i] - r[i] - (double)margin[i]))) + coef * (c[i] + r[i]) * (c[i] + r[i]);
    return sum / n;
}

static void test_bradley_terry(void)
{
    enum { N = 9 };
    float c[N], r[N], margin[N], dc[N], dr[N];
    double worst = 0;
    for (int i = 0; i < N; i++) {
        c[i] = 6 * rlvr_uniform(1, 0, (uint32_t)i, 0, 0) - 3;
        r[i] = 6 * rlvr_uniform(1, 0, (uint32_t)i, 1, 0) - 3;
        margin[i] = rlvr_uniform(1, 0, (uint32_t)i, 2, 0);
    }
    CHECK(rlvr_bradley_terry(c, r, margin, N, 0.05f, dc, dr, NULL) == RLVR_OK);
    for (int i = 0; i < 2 * N; i++) {
        double x[2 * N], side[2], h = 1e-6;
        for (int s = 0; s < 2; s++) {
            for (int k = 0; k < N; k++) { x[k] = (double)c[k]; x[N + k] = (double)r[k]; }
            x[i] += s ? -h : h;
            side[s] = pairs_double(x, x + N, margin, N, (double)0.05f);
        }
        double g = (double)(i < N ? dc[i] : dr[i - N]), numeric = (side[0] - side[1]) / (2 * h);
        worst = fmax(worst, fabs(g - numeric) / fmax(fabs(numeric), 1e-2));
    }
    CHECK_LE(worst, 1e-6);
    REPORT("Bradley-Terry: gradient within %.1e of finite differences", worst);
    /* far apart: finite, and as flat or steep as it must be; by hand: equal scores are log 2 */
    float one[1] = {1000}, none[1] = {-1000}, same[1] = {0.5f}, a[1], b[1], bad[1] = {NAN};
    rlvr_pair_stats st;
    CHECK(rlvr_bradley_terry(one, none, NULL, 1, 0, a, b, &st) == RLVR_OK && st.loss == 0 && a[0] == 0 && b[0] == 0 && st.accuracy == 1 && st.margin == 2000);
    CHECK(rlvr_bradley_terry(none, one, NULL, 1, 0, a, b, &st) == RLVR_OK && st.loss == 2000 && a[0] == -1 && b[0] == 1 && st.accuracy == 0);
    CHECK(rlvr_bradley_terry(same, same, NULL, 1, 0, a, b, &st) == RLVR_OK && fabs(st.loss - log(2.0)) < 1e-12 && a[0] == -0.5f && st.mean == 0.5);
    CHECK(rlvr_bradley_terry(bad, one, NULL, 1, 0, a, b, &st) == RLVR_ERROR_NUMERIC && a[0] == 0 && b[0] == 0);
    CHECK(rlvr_bradley_terry(one, none, NULL, 0, 0, a, b, &st) == RLVR_OK && st.loss == 0);
    float score[5] = {0.1f, NAN, 0.7f, 0.7f, -INFINITY}, no[2] = {NAN, INFINITY};
    CHECK(rlvr_best_of(score, 5) == 2 && rlvr_best_of(score, 1) == 0 && rlvr_best_of(no, 2) == -1 && rlvr_best_of(score, 0) == -1);
}

static void test_process_pure(void)
{
    /* labels of 4 steps, 3 completions each */
    const float earned[12] = {1, 0, 0, NAN, 1, 1, NAN, NAN, NAN, 0, 0.4f, 0};
    float label[4];
    rlvr_shepherd_labels(earned, 4, 3, true, label);
    CHECK(label[0] == 1 && label[1] == 1 && isnan(label[2]) && label[3] == 0);
    rlvr_shepherd_labels(earned, 4, 3, false, label);
    CHECK(label[0] == 1.0f / 3 && label[1] == 1 && isnan(label[2]) && label[3] == 0);
    /* scores and rewards of the forms, by hand */
    const float p[4] = {0.5f, 0.75f, 0.25f, 1};
    const int end[4] = {1, 2, 5, 6};
    CHECK(rlvr_process_score(RLVR_PROCESS_MIN, p, 4) == 0.25f && rlvr_process_score(RLVR_PROCESS_SUM, p, 4) == 2.5f);
    CHECK(rlvr_process_score(RLVR_PROCESS_DIFFERENCE, p, 4) == 1 && rlvr_process_score(RLVR_PROCESS_PRODUCT, p, 4) == 0.09375f);
    CHECK(rlvr_process_score(RLVR_PROCESS_MEAN, p, 4) == 0.625f && rlvr_process_score(RLVR_PROCESS_MIN, p, 0) == 0);
    float r[7] = {0};
    CHECK(rlvr_process_rewards(RLVR_PROCESS_MIN, 2, 0, p, end, 4, r) == RLVR_OK);
    for (int i = 0; i < 7; i++) CHECK(r[i] == (i == 5 ? 0.5f : 0));
    memset(r, 0, sizeof r);
    r[6] = 1;      /* adds to what is there: the outcome */
    CHECK(rlvr_process_rewards(RLVR_PROCESS_DIFFERENCE, 1, 0.25f, p, end, 4, r) == RLVR_OK);
    CHECK(r[1] == 0.25f && r[2] == 0.25f && r[5] == -0.5f && r[6] == 1.75f);
    memset(r, 0, sizeof r);
    CHECK(rlvr_process_rewards(RLVR_PROCESS_SUM, 1, 0, p, end, 4, r) == RLVR_OK && r[1] == 0.5f && r[6] == 1);
    CHECK(rlvr_process_rewards(RLVR_PROCESS_PRODUCT, 1, 0, p, end, 4, r) == RLVR_ERROR_ARGUMENT);
    /* cross-entropy: labels that are not there have no part */
    const float logit[3] = {0, 2, -1}, y[3] = {1, NAN, 0.25f};
    float g[3];
    rlvr_process_stats st;
    CHECK(rlvr_process_loss(logit, y, 3, g, &st) == RLVR_OK && st.n_steps == 2 && g[1] == 0 && g[0] == -0.25f && st.accuracy == 0.5);
    CHECK_LE(fabs(st.loss - 0.5 * (log(2.0) + log1p(exp(-1.0)) + 0.25)), 1e-7);
    CHECK_LE(fabs((double)g[2] - 0.5 * (1 / (1 + exp(1.0)) - 0.25)), 1e-7);
}

static int steps_of(rlvr_model *m, const char *text, const char *delimiter, int *end)
{
    int tokens[64], n = (int)strlen(text);
    for (int i = 0; i < n; i++) tokens[i] = (unsigned char)text[i];
    tokens[n++] = 256;      /* the end of the text */
    return rlvr_step_ends(m, tokens, n, delimiter, end);
}

static void test_steps(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, 24, 3);
    int end[64];
    CHECK(steps_of(m, "a=1\nb=2\n\n \nc", NULL, end) == 3 && end[0] == 3 && end[1] == 10 && end[2] == 12);      /* blank lines go with b=2 */
    CHECK(steps_of(m, "a=1\n", NULL, end) == 1 && end[0] == 4);          /* the end token belongs to the last step */
    CHECK(steps_of(m, "one. two. three", ". ", end) == 3 && end[0] == 4 && end[1] == 9 && end[2] == 15);
    CHECK(steps_of(m, "", NULL, end) == 1 && end[0] == 0);
    CHECK(steps_of(m, "aaaa", "aa", end) == 2 && end[0] == 1 && end[1] == 4);      /* the end token alone is no step */
    int none[1] = {0};
    CHECK(rlvr_step_ends(m, none, 0, NULL, end) == 0);
    CHECK(steps_of(m, "x", "0123456789012345678901234567890123456789012345678901234567890123456789", end) == -1);
    rlvr_close(ctx);
}

/* ---- a reward model learns ---- */

enum { LENGTH = 10, PAIRS = 16 };

/* Tokens from a .. p; what is wanted is many of a .. d. */
static int quality(const int *tokens, int n)
{
    int good = 0;
    for (int i = 0; i < n; i++) good += tokens[i] >= 'a' && tokens[i] < 'e';
    return good;
}
static void some_text(uint64_t seed, uint32_t index, uint32_t which, int *tokens)
{
    for (uint32_t i = 0; i < LENGTH; i++) tokens[i] = 'a' + (int)(16 * rlvr_uniform(seed, index, which, i, 0));
}
/* Fills pairs whose qualities are two apart or more, the better one first. */
static void some_pairs(uint64_t seed, uint32_t from, int n, int *tokens, int *offset)
{
    offset[0] = 0;
    for (int i = 0; i < n; i++) {
        int a[LENGTH], b[LENGTH];
        for (uint32_t attempt = 0;; attempt += 2) {
            some_text(seed, from + (uint32_t)i, attempt, a);
            some_text(seed, from + (uint32_t)i, attempt + 1, b);
            if (abs(quality(a, LENGTH) - quality(b, LENGTH)) > 1) break;
        }
        bool first = quality(a, LENGTH) > quality(b, LENGTH);
        memcpy(tokens + 2 * i * LENGTH, first ? a : b, sizeof a);
        memcpy(tokens + (2 * i + 1) * LENGTH, first ? b : a, sizeof a);
        offset[2 * i + 1] = (2 * i + 1) * LENGTH;
        offset[2 * i + 2] = (2 * i + 2) * LENGTH;
    }
}

static void test_reward_model(void)
{
    enum { TEST = 200, N = 8 };
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, 32, 5);
    int tokens[2 * TEST * LENGTH], offset[2 * TEST + 1], right = 0, steps = quick ? 5 : 250;
    float a, b;
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    rlvr_pair_stats first, stats;
    memset(&d, 0, sizeof d);
    d.value.on = true;
    d.optim.lr = 3e-3f;  d.optim.schedule = RLVR_LR_LINEAR;  d.optim.total_steps = steps;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_head *h = rlvr_trainer_head(t);
    for (int step = 0; step < steps; step++) {
        some_pairs(1, (uint32_t)(step * PAIRS), PAIRS, tokens, offset);
        CHECK(rlvr_train_pairs(t, tokens, offset, PAIRS, NULL, 0.01f, step ? &stats : &first, &metrics) == RLVR_OK);
    }
    CHECK_LE(fabs(first.loss - log(2.0)), 1e-6);      /* a head of zeros knows nothing */
    CHECK(metrics.n_values == 2 * PAIRS && metrics.loss == stats.loss && metrics.step == steps);
    some_pairs(2, 0, TEST, tokens, offset);           /* pairs that no step has seen */
    for (int i = 0; i < TEST; i++) {
        CHECK(rlvr_head_score(h, tokens + offset[2 * i], LENGTH, &a) == RLVR_OK && rlvr_head_score(h, tokens + offset[2 * i + 1], LENGTH, &b) == RLVR_OK);
        right += a > b;
    }
    /* best of N by its score against the mean text */
    double best = 0, mean = 0;
    for (int i = 0; i < 50; i++) {
        float score[N];
        int text[N][LENGTH];
        for (int k = 0; k < N; k++) {
            some_text(3, (uint32_t)i, (uint32_t)k, text[k]);
            CHECK(rlvr_head_score(h, text[k], LENGTH, &score[k]) == RLVR_OK);
            mean += quality(text[k], LENGTH) / (50.0 * N);
        }
        best += quality(text[rlvr_best_of(score, N)], LENGTH) / 50.0;
    }
    REPORT("reward model after %d steps of %d pairs: %.1f %% of %d new pairs right, best of %d has quality %.2f, the mean text %.2f", steps, PAIRS,
           100.0 * right / TEST, TEST, N, best, mean);
    if (!quick) CHECK(right >= 0.95 * TEST && best > mean + 1);
    /* bad input */
    offset[1] = 0;
    CHECK(rlvr_train_pairs(t, tokens, offset, 1, NULL, 0, NULL, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "empty"));
    CHECK(rlvr_train_pairs(t, tokens, offset, 0, NULL, 0, NULL, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "n_pairs"));
    offset[1] = 65;
    offset[2] = 70;
    CHECK(rlvr_train_pairs(t, tokens, offset, 1, NULL, 0, NULL, NULL) == RLVR_ERROR_CONTEXT);
    offset[1] = 10;
    offset[2] = 20;
    tokens[4] = 999;
    CHECK(rlvr_train_pairs(t, tokens, offset, 1, NULL, 0, NULL, NULL) == RLVR_ERROR_ARGUMENT);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* ---- its score as a reward ---- */

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say it", "Say more"};
    (void)user;
    task->prompt = text[index % 3];
    task->raw = true;
    return RLVR_OK;
}

static float even_share(const rlvr_rollout *o)
{
    int even = 0;
    for (int i = 0; i < o->n_tokens; i++) even += o->tokens[i] % 2 == 0;
    return (float)even / (float)o->n_tokens;
}

/* Pairs of a policy's own texts, judged by their share of even bytes, make a reward model; the policy is then trained on what it
   says, by GRPO and by PPO, and that rises. How far the share of even bytes goes along is
   reported, and PPO is held to it: a small reward model can also be climbed where it is wrong. */
static void test_rlhf(void)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *policy = small_model(ctx, 24, 3), *judge = small_model(ctx, 32, 6);
    int tokens[2 * PAIRS * 32], offset[2 * PAIRS + 1], steps = quick ? 3 : 60, n_pairs;
    rlvr_trainer_desc d;
    rlvr_pair_stats stats;
    memset(&d, 0, sizeof d);
    memset(&stats, 0, sizeof stats);
    d.value.on = true;
    d.optim.lr = 2e-3f;
    rlvr_head *h = rlvr_head_new(judge, 0, 0);
    d.value.head = h;
    rlvr_trainer *t = rlvr_trainer_open(judge, &d);
    rlvr_task tasks[3];
    rlvr_rollouts *r = NULL;
    rlvr_sampling s;
    memset(tasks, 0, sizeof tasks);
    memset(&s, 0, sizeof s);
    s.max_tokens = 8;
    for (int i = 0; i < 3; i++) ask(NULL, (uint64_t)i, &tasks[i]);
    for (int step = 0; step < steps; step++) {
        s.step = (uint32_t)step;
        CHECK(rlvr_sample(policy, tasks, 3, 10, &s, &r) == RLVR_OK);
        offset[0] = n_pairs = 0;
        for (int i = 0; i + 1 < rlvr_rollouts_count(r); i += 2) {
            const rlvr_rollout *o[2] = {rlvr_rollouts_get(r, i), rlvr_rollouts_get(r, i + 1)};
            if (even_share(o[0]) == even_share(o[1])) continue;
            bool swap = even_share(o[1]) > even_share(o[0]);
            for (int k = 0; k < 2; k++) {
                const rlvr_rollout *x = o[swap ? !k : k];
                int at = offset[2 * n_pairs + k];
                memcpy(tokens + at, x->prompt_tokens, (size_t)x->n_prompt * sizeof(int));
                memcpy(tokens + at + x->n_prompt, x->tokens, (size_t)x->n_tokens * sizeof(int));
                offset[2 * n_pairs + k + 1] = at + x->n_prompt + x->n_tokens;
            }
            n_pairs++;
        }
        CHECK(rlvr_train_pairs(t, tokens, offset, n_pairs, NULL, 0.01f, &stats, NULL) == RLVR_OK);
    }
    rlvr_trainer_close(t);
    /* a reward is the head's score of the rollout's own tokens, as bits, whatever was kept of the rollout before it */
    rlvr_reward_desc reward;
    rlvr_grade_result verdict;
    memset(&reward, 0, sizeof reward);
    reward.kind = RLVR_REWARD_MODEL;
    reward.head = h;
    CHECK(rlvr_grade_rollouts(r, &reward) == RLVR_OK);
    for (int i = 0; i < rlvr_rollouts_count(r); i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        float score;
        memcpy(tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(tokens + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        CHECK(rlvr_head_score(h, tokens, o->n_prompt + o->n_tokens, &score) == RLVR_OK && o->graded == RLVR_OK && score == o->reward);
    }
    /* a text by itself: prompt, text and end are tokenised */
    rlvr_task task;
    memset(&task, 0, sizeof task);
    task.prompt = "Say it";
    task.json = "{\"prompt\":\"Say it\",\"raw\":true}";
    CHECK(rlvr_grade_task(ctx, &reward, "abc", 3, &task, &verdict) == RLVR_OK);
    int whole[10] = {'S', 'a', 'y', ' ', 'i', 't', 'a', 'b', 'c', 256};
    float score;
    CHECK(rlvr_head_score(h, whole, 10, &score) == RLVR_OK && score == verdict.reward && verdict.n_tokens == 10);
    reward.options = "{\"max_tokens\":5}";
    CHECK(rlvr_grade_task(ctx, &reward, "abc", 3, &task, &verdict) == RLVR_REWARD_ERROR && verdict.status == RLVR_STATUS_LIMIT);
    reward.options = NULL;
    reward.head = NULL;
    CHECK(rlvr_grade(ctx, &reward, "abc", NULL, &verdict) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "head"));
    reward.head = h;
    CHECK(rlvr_reward_find("reward_model") == RLVR_REWARD_MODEL);
    for (int ppo = 0; ppo < 2; ppo++) {
        rlvr_model *m = small_model(ctx, 24, 3);
        rlvr_metrics metrics;
        double share[2] = {0, 0}, learned[2] = {0, 0};
        memset(&d, 0, sizeof d);
        d.task_fn = ask;
        d.reward = reward;
        d.prompts_per_step = 3;  d.group_size = 10;  d.max_prompt_tokens = 16;  d.sampling.max_tokens = 8;
        d.optim.lr = 2e-3f;
        d.value.on = ppo;
        uint64_t before = rlvr_model_hash(judge);
        t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL);
        for (int step = 0; step < (quick ? 2 : 40); step++) {
            CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && metrics.n_reward_errors == 0);
            double sum = 0;
            for (int i = 0; i < 30; i++) sum += (double)even_share(rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)) / 30;
            share[step > 0] = sum;
            learned[step > 0] = metrics.reward_mean;
        }
        REPORT("%s on a learned reward (pairs right at the end: %.0f %%): it is %.3f at first, %.3f at the end; share of even bytes %.3f, %.3f",
               ppo ? "PPO" : "GRPO", 100 * stats.accuracy, learned[0], learned[1], share[0], share[1]);
        if (!quick) CHECK(learned[1] > learned[0]);
        if (!quick && ppo) CHECK(share[1] > share[0] + 0.15);
        CHECK(rlvr_model_hash(judge) == before);
        rlvr_trainer_close(t);
    }
    rlvr_rollouts_free(r);
    rlvr_close(ctx);
}

/* ---- process reward models ---- */

/* A text of lines; a line is good while no line up to it holds an x. */
static int some_lines(uint64_t seed, uint32_t index, int *tokens, float *label, int *end)
{
    int n = 0, steps = 0;
    bool good = true;
    for (uint32_t line = 0; line < 4; line++) {
        for (uint32_t k = 0; k < 3; k++) {
            float u = rlvr_uniform(seed, index, line, k, 0);
            tokens[n] = u < 0.08f ? 'x' : 'a' + (int)(10 * u);
            good &= tokens[n] != 'x';
            label[n++] = NAN;
        }
        tokens[n] = line == 3 ? 256 : '\n';
        end[steps++] = n;
        label[n++] = good;
    }
    return n;
}

static void test_process_model(void)
{
    enum { BATCH = 16, TEST = 64 };
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, 32, 5);
    int tokens[BATCH * 16], offset[BATCH + 1] = {0}, end[8], found[16], right = 0, all = 0, steps = quick ? 5 : 150;
    float label[BATCH * 16], value[16];
    rlvr_trainer_desc d;
    rlvr_process_stats stats;
    memset(&d, 0, sizeof d);
    memset(&stats, 0, sizeof stats);
    d.value.on = true;
    d.optim.lr = 2e-3f;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    for (int step = 0; step < steps; step++) {
        for (int i = 0; i < BATCH; i++)
            offset[i + 1] = offset[i] + some_lines(1, (uint32_t)(step * BATCH + i), tokens + offset[i], label + offset[i], end);
        CHECK(rlvr_train_process(t, tokens, offset, BATCH, label, &stats, NULL) == RLVR_OK && stats.n_steps == 4 * BATCH);
    }
    for (int i = 0; i < TEST; i++) {
        int n = some_lines(2, (uint32_t)i, tokens, label, end);
        CHECK(rlvr_step_ends(m, tokens, n, NULL, found) == 4 && !memcmp(found, end, 4 * sizeof(int)));
        CHECK(rlvr_head_values(rlvr_trainer_head(t), tokens, n, value) == RLVR_OK);
        for (int s = 0; s < 4; s++, all++) right += (value[end[s]] > 0) == (label[end[s]] > 0.5f);
    }
    REPORT("process reward model after %d steps: %.1f %% of %d new steps right", steps, 100.0 * right / all, all);
    if (!quick) CHECK(right >= 0.95 * all);
    label[0] = 1.5f;
    CHECK(rlvr_train_process(t, tokens, offset, 1, label, NULL, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "label[0]"));
    for (int i = 0; i < 16; i++) label[i] = NAN;
    CHECK(rlvr_train_process(t, tokens, offset, 1, label, NULL, NULL) == RLVR_ERROR_ARGUMENT);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

/* The prompt must be followed by an even byte at place 2; what the grader sees of a re-rolled completion is all of it. */
static int graded_long;
static rlvr_result second_even(const rlvr_rollout *o, void *user, float *reward)
{
    (void)user;
    graded_long += o->n_tokens > 2 && (int)o->text_len > 0;
    *reward = o->n_tokens > 1 && o->tokens[1] % 2 == 0;
    return RLVR_OK;
}

static void test_process_rollouts(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, 24, 3), *prm = small_model(ctx, 32, 9);
    rlvr_task task;
    rlvr_sampling s;
    rlvr_rollouts *r = NULL, *same = NULL;
    rlvr_reward_desc reward;
    memset(&s, 0, sizeof s);
    memset(&task, 0, sizeof task);
    memset(&reward, 0, sizeof reward);
    task.prompt = "Say";
    task.raw = true;
    s.max_tokens = 8;
    s.ignore_eos = true;
    reward.fn = second_even;
    CHECK(rlvr_sample(m, &task, 1, 6, &s, &r) == RLVR_OK && rlvr_grade_rollouts(r, &reward) == RLVR_OK);
    /* a prompt as tokens draws what its text draws */
    const rlvr_rollout *o = rlvr_rollouts_get(r, 0);
    rlvr_task by_token;
    memset(&by_token, 0, sizeof by_token);
    by_token.tokens = o->prompt_tokens;
    by_token.n_tokens = o->n_prompt;
    CHECK(rlvr_sample(m, &by_token, 1, 6, &s, &same) == RLVR_OK);
    for (int i = 0; i < 6; i++)
        CHECK(!memcmp(rlvr_rollouts_get(r, i)->tokens, rlvr_rollouts_get(same, i)->tokens, 8 * sizeof(int)));
    int bad = 999;
    by_token.tokens = &bad;
    by_token.n_tokens = 1;
    CHECK(rlvr_sample(m, &by_token, 1, 1, &s, &same) == RLVR_ERROR_ARGUMENT);
    /* once the byte is drawn, every completion behind it has its reward; before it, some have */
    const int end[3] = {0, 1, 7};
    int mixed = 0;
    for (int i = 0; i < 6; i++) {
        float hard[3], soft[3];
        o = rlvr_rollouts_get(r, i);
        CHECK(rlvr_process_labels(m, o, &reward, &s, end, 3, 8, false, soft) == RLVR_OK);
        CHECK(rlvr_process_labels(m, o, &reward, &s, end, 3, 8, true, hard) == RLVR_OK);
        CHECK(soft[1] == o->reward && soft[2] == o->reward && hard[1] == o->reward && hard[0] == (soft[0] > 0));
        mixed += soft[0] > 0 && soft[0] < 1;
    }
    CHECK(mixed > 0 && graded_long > 0);
    CHECK(rlvr_process_labels(m, o, &reward, &s, end, 3, 0, true, (float[3]){0}) == RLVR_ERROR_ARGUMENT);
    /* scores of rollouts: the form of the chances after each step */
    rlvr_head *h = rlvr_head_new(prm, 0.3f, 2);
    float score[6], value[64];
    CHECK(rlvr_process_scores(h, r, RLVR_PROCESS_PRODUCT, "e", score) == RLVR_OK);
    for (int i = 0; i < 6; i++) {
        int whole[64], ends[16];
        double product = 1;
        o = rlvr_rollouts_get(r, i);
        memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        CHECK(rlvr_head_values(h, whole, o->n_prompt + o->n_tokens, value) == RLVR_OK);
        int steps = rlvr_step_ends(m, o->tokens, o->n_tokens, "e", ends);
        for (int k = 0; k < steps; k++) product *= 1 / (1 + exp(-(double)value[o->n_prompt + ends[k]]));
        CHECK_LE(fabs(product - (double)score[i]), 1e-6);
    }
    CHECK(rlvr_process_scores(h, r, (rlvr_process_form)9, NULL, score) == RLVR_ERROR_ARGUMENT);
    /* dense rewards in PPO: the difference form adds up to what the last step has more than the prompt */
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = second_even;
    d.prompts_per_step = 3;  d.group_size = 4;  d.max_prompt_tokens = 16;  d.sampling.max_tokens = 8;
    d.optim.lr = 1e-30f;
    d.value.on = true;
    d.value.process = h;
    d.value.process_form = RLVR_PROCESS_DIFFERENCE;
    d.value.process_coef = 0.5f;
    d.value.process_delimiter = "e";
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL && rlvr_train_step(t, NULL) == RLVR_OK);
    for (int i = 0; t && i < 12; i++) {
        int whole[64];
        o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
        memcpy(whole, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(whole + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        CHECK(rlvr_head_values(h, whole, o->n_prompt + o->n_tokens, value) == RLVR_OK);
        double last = 1 / (1 + exp(-(double)value[o->n_prompt + o->n_tokens - 1])), at_first = 1 / (1 + exp(-(double)value[o->n_prompt - 1]));
        double want = (double)o->reward + 0.5 * (last - at_first);      /* with gamma and lambda 1, and a head of zeros, the first token's return */
        CHECK_LE(fabs((double)t->values.returns[t->offset[i]] - want), 1e-5);
    }
    rlvr_trainer_close(t);
    d.value.process_form = RLVR_PROCESS_MEAN;
    CHECK(rlvr_trainer_open(m, &d) == NULL && strstr(rlvr_last_error(ctx), "process_form"));
    rlvr_rollouts_free(r);
    rlvr_rollouts_free(same);
    rlvr_close(ctx);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_fixture();
    test_bradley_terry();
    test_process_pure();
    test_steps();
    test_reward_model();
    test_rlhf();
    test_process_model();
    test_process_rollouts();
    return test_done();
}
