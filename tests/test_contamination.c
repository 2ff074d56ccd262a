/* Section 20c and the trainer's gate: n-grams against a plain list of them, likelihood statistics by hand, a model that has
   read a planted set against one that has not, the order of a list, twins, and held-out tasks that cannot enter training. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static int n_errors_logged, n_warnings_logged;
static char last_warning[2048];
static void count_log(void *user, rlvr_log_level level, const char *text)
{
    (void)user;
    n_errors_logged += level == RLVR_LOG_ERROR;
    n_warnings_logged += level == RLVR_LOG_WARN;
    if (level == RLVR_LOG_WARN) snprintf(last_warning, sizeof last_warning, "%s", text);
}

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.log_fn = count_log;
    return rlvr_open(&d);
}

static bool quick(void) { return getenv("RLVR_TEST_QUICK") != NULL; }

/* ---- n-grams ---- */

static double share_of(rlvr_ngrams *g, const char *text) { return rlvr_ngrams_share(g, text, strlen(text), NULL); }

static void test_ngrams(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_ngrams *g = rlvr_ngrams_new(ctx, 3, 0);
    int64_t looked_up;
    const char *text = "The cat sat on the mat. It was  HAPPY!";
    CHECK(rlvr_ngrams_add(g, text, strlen(text)) == RLVR_OK && rlvr_ngrams_count(g) == 7);      /* nine words */
    CHECK(share_of(g, text) == 1 && share_of(g, "the CAT, sat on \"the\" mat") == 1);
    CHECK(share_of(g, "the cat sat on a mat") == 0.5);      /* two of four */
    CHECK(rlvr_ngrams_share(g, "cat the sat on", 14, &looked_up) == 0 && looked_up == 2);
    CHECK(share_of(g, "cat sat") == 0 && rlvr_ngrams_share(g, "", 0, &looked_up) == 0 && looked_up == 0);
    CHECK(rlvr_ngrams_add(g, "two words", 9) == RLVR_OK && share_of(g, "Two words!") == 1 && share_of(g, "two words more") == 0 && share_of(g, "words") == 0);
    CHECK(rlvr_ngrams_add(g, "3 + 4 = 7", 9) == RLVR_OK && share_of(g, "3+4=7") == 1 && share_of(g, "3 - 4 = 7") < 0.5);      /* signs count */
    CHECK(rlvr_ngrams_add(g, "Stra\xc3\x9f" "e caf\xc3\xa9 Gr\xc3\x9c\xc3\x9f" "e", 22) == RLVR_OK);
    CHECK(share_of(g, "stra\xc3\x9f" "e cafe\xcc\x81 gr\xc3\xbc\xc3\x9f" "e") == 1);      /* case and the accent's spelling */
    CHECK(rlvr_ngrams_add(g, "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x82\x92", 12) == RLVR_OK && share_of(g, "\xe6\x9c\xac\xe8\xaa\x9e\xe3\x82\x92") == 1);
    CHECK(rlvr_ngrams_add(g, "\xff\xfe bytes \xc3", 10) == RLVR_OK && share_of(g, "\xff\xfe bytes \xc3") == 1);
    CHECK(share_of(g, "on the mat it was happy it was") == 4.0 / 6);      /* grams are of the order */
    rlvr_ngrams_free(g);
    rlvr_ngrams_free(NULL);
    CHECK(rlvr_ngrams_new(ctx, -1, 0) == NULL && rlvr_ngrams_new(ctx, 3, -1) == NULL && strstr(rlvr_last_error(ctx), "max_grams"));

    /* random texts of a few words against a plain search for each gram */
    g = rlvr_ngrams_new(ctx, 4, 0);
    enum { WORDS = 4000, N = 4 };
    static int word[2][WORDS];
    static char words[2][WORDS * 4 + 1];
    int found = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0, at = 0; i < WORDS; i++) {
            word[k][i] = (int)(7 * rlvr_uniform(3, (uint32_t)k, (uint32_t)i, 0, 0));
            at += sprintf(words[k] + at, "w%d ", word[k][i]);
        }
    CHECK(rlvr_ngrams_add(g, words[0], strlen(words[0])) == RLVR_OK);
    for (int i = 0; i + N <= WORDS; i++) {
        bool there = false;
        for (int j = 0; j + N <= WORDS && !there; j++) there = memcmp(word[1] + i, word[0] + j, N * sizeof(int)) == 0;
        found += there;
    }
    CHECK_LE(fabs(rlvr_ngrams_share(g, words[1], strlen(words[1]), &looked_up) - (double)found / (WORDS - N + 1)), 1e-15);
    CHECK(looked_up == WORDS - N + 1 && found > 1000);
    rlvr_ngrams_free(g);

    /* a bound: memory stays, and the share is still about right: half of the text is known */
    g = rlvr_ngrams_new(ctx, 5, 500);
    static char many[200000];
    size_t half = 0, len = 0;
    for (int i = 0; i < 20000; i++) {
        if (i == 10000) half = len;
        len += (size_t)sprintf(many + len, "%d ", (int)(100000 * rlvr_uniform(9, (uint32_t)i, 0, 0, 0)));
    }
    n_warnings_logged = 0;
    CHECK(rlvr_ngrams_add(g, many, half) == RLVR_OK && rlvr_ngrams_count(g) <= 500 && rlvr_ngrams_count(g) > 100 && g->slots <= 1024);
    CHECK(n_warnings_logged == 1 && strstr(last_warning, "estimated"));
    double share = rlvr_ngrams_share(g, many, len, &looked_up);
    CHECK(fabs(share - 0.5) < 0.1 && looked_up > 300 && looked_up < 1500);
    REPORT("n-grams: %d of 10,000 held under a bound of 500; a text known by half has share %.3f", (int)rlvr_ngrams_count(g), share);
    rlvr_ngrams_free(g);
    rlvr_close(ctx);
}

/* ---- sets of tasks ---- */

static void test_task_set(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_tasks *list = rlvr_tasks_new(ctx);
    rlvr_task t;
    char prompt[64];
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 300; i++) {
        snprintf(prompt, sizeof prompt, "What is %d + %d?", i, i + 1);
        t.prompt = prompt;
        t.line = i + 1;
        rlvr_tasks_add(list, &t);
    }
    rlvr_message messages[2] = {{"system", "Be brief."}, {"user", "Why?"}};
    t.prompt = NULL;
    t.messages = messages;
    t.n_messages = 2;
    rlvr_tasks_add(list, &t);
    rlvr_task_set *s = rlvr_task_set_new(ctx, list);
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 300; i += 37) {
        snprintf(prompt, sizeof prompt, "  what  IS %d + %d\n", i, i + 1);
        t.prompt = prompt;
        CHECK(rlvr_task_set_find(s, &t) == i);
    }
    t.prompt = "What is 3 - 4?";
    CHECK(rlvr_task_set_find(s, &t) == -1);
    t.prompt = "Be brief. why";
    CHECK(rlvr_task_set_find(s, &t) == 300);
    t.prompt = "";
    CHECK(rlvr_task_set_find(s, &t) == -1);
    s->hash[5] = s->hash[6];      /* equal hashes are not equal prompts */
    t.prompt = "What is 6 + 7?";
    CHECK(rlvr_task_set_find(s, &t) == 6);
    rlvr_task_set_free(s);
    rlvr_task_set_free(NULL);
    s = rlvr_task_set_new(ctx, NULL);
    CHECK(s && rlvr_task_set_find(s, &t) == -1);
    rlvr_close(ctx);
}

/* ---- by hand: Min-K%, AUC, ROUGE-L, twins' numbers ---- */

static void test_by_hand(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    const rlvr_token_stats s[] = {{-1, -2, 1, 0}, {-4, -2, 0.5f, 0}, {-2, -1, 2, 0}, {-8, -3, 2.5f, 0}, {-0.5f, -1, 0.25f, 0}};
    float scratch[5];
    CHECK(rlvr_min_k(s, 5, 0.2f, scratch) == -8 && rlvr_min_k(s, 5, 0.4f, scratch) == -6 && rlvr_min_k(s, 5, 1, scratch) == -3.1);
    CHECK(rlvr_min_k_pp(s, 5, 0.2f, scratch) == -4 && rlvr_min_k_pp(s, 5, 0.4f, scratch) == -3);      /* 1, -4, -0.5, -2, 2 */
    CHECK(rlvr_min_k_pp(s, 5, 0, scratch) == -4 && rlvr_min_k(s, 2, 0.1f, scratch) == -4 && isnan(rlvr_min_k(s, 0, 0.2f, scratch)));
    const rlvr_token_stats sure[] = {{0, 0, 0, 0}};
    CHECK(rlvr_min_k_pp(sure, 1, 0.2f, scratch) == 0);      /* no deviation at all */
    const double a[] = {3, 1, 2, NAN}, b[] = {0, 2, 1};
    CHECK_LE(fabs(rlvr_auc(a, 4, b, 3) - 7.0 / 9), 1e-15);      /* 3: all; 1: 0 and half of 1; 2: 0, 1 and half of 2 */
    CHECK(rlvr_auc(a, 3, a, 3) == 0.5 && isnan(rlvr_auc(a, 0, b, 3)));
    const char *x = "the quick brown fox", *y = "The brown quick fox jumps!";
    CHECK_LE(fabs(rlvr_rouge_l(ctx, x, strlen(x), y, strlen(y)) - 6.0 / 9), 1e-15);      /* 3 of 4 and of 5 words */
    CHECK(rlvr_rouge_l(ctx, x, strlen(x), x, strlen(x)) == 1 && rlvr_rouge_l(ctx, x, strlen(x), "", 0) == 0 && rlvr_rouge_l(ctx, "", 0, "", 0) == 1);

    char *r = rlvr_renumber(ctx, "Tom has 12 apples, eats 3, buys 12 at 4.50 in 2024; 0 and 007 stay.", 5);
    int n[6];
    char rest[64];
    CHECK(r && sscanf(r, "Tom has %d apples, eats %d, buys %d at %d.%d in %d; %63[^\n]", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], rest) == 7);
    CHECK_STR(rest, "0 and 007 stay.");
    CHECK(n[0] == n[2] && n[0] != 12 && n[0] >= 10 && n[0] <= 99 && n[1] != 3 && n[1] >= 1 && n[1] <= 9 && n[1] != n[3] && n[4] != n[0] && n[5] >= 1000 && n[5] != 2024);
    char *again = rlvr_renumber(ctx, "12 3", 5), *other = rlvr_renumber(ctx, "12 345678901234567890123", 6);
    char want[32];
    snprintf(want, sizeof want, "%d %d", n[0], n[1]);
    CHECK_STR(again, want);
    CHECK(other && strcmp(other + 3, "345678901234567890123") == 0 && strncmp(other, again, 2) != 0);
    int seen[100] = {0}, all = 0;
    for (int i = 10; i < 100; i++) {      /* a permutation without fixed points */
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        char *to = rlvr_renumber(ctx, text, 77);
        all += to && atoi(to) != i && !seen[atoi(to)]++;
        rlvr_free(ctx, to);
    }
    CHECK(all == 90);
    rlvr_close(ctx);
}

/* ---- a model that has read a planted set ---- */

enum { VOCAB = 257, TEXT = 34, PLANTED = 24, READ_BATCH = 24, LOOKED = 160 };

/* A text of the language: "key " and letters of which each follows from the one before in one of four ways. */
static void make_text(uint64_t seed, uint32_t index, char *text)
{
    int at = sprintf(text, "key "), c = (int)(26 * rlvr_uniform(seed, index, 0, 0, 0));
    while (at < TEXT - 4) {
        text[at] = (char)('a' + c);
        c = (c * 5 + 3 + 7 * (int)(4 * rlvr_uniform(seed, index, 0, 0, (uint32_t)at))) % 26;
        at++;
    }
    strcpy(text + at, " end");
}

static rlvr_tasks *make_list(rlvr_ctx *ctx, uint64_t seed, int n)
{
    rlvr_tasks *list = rlvr_tasks_new(ctx);
    for (int i = 0; i < n; i++) {
        char text[TEXT + 8];
        rlvr_task t;
        memset(&t, 0, sizeof t);
        make_text(seed, (uint32_t)i, text);
        t.prompt = text;
        t.answer = "x";
        t.raw = true;
        t.line = i + 1;
        rlvr_tasks_add(list, &t);
    }
    return list;
}

/* Mid-training on texts of the language; half of each batch are the planted ones, where there are any. */
static rlvr_model *read_texts(rlvr_ctx *ctx, int steps, uint64_t planted_seed, double *loss)
{
    static const char *const special[] = {"<|end|>"};
    const rlvr_model_desc shape = {VOCAB, 64, 32, 2, 2, 2, 16, 64, 0, 0, true, 0.05f, 4};
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    memset(&d, 0, sizeof d);
    d.micro_tokens = READ_BATCH * (TEXT + 1);
    d.optim.lr = 4e-3f;
    d.optim.beta2 = 0.99f;
    d.optim.warmup_steps = 10;
    rlvr_model *m = rlvr_model_init(ctx, &shape);
    if (!m || rlvr_model_set_byte_tokenizer(m, special, 1) != RLVR_OK) return NULL;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!CHECK(t != NULL)) printf("    %s\n", rlvr_last_error(ctx));
    *loss = 0;
    for (int step = 0; step < steps && t; step++) {
        int tokens[READ_BATCH * (TEXT + 1)], offset[READ_BATCH + 1] = {0}, at = 0;
        for (int i = 0; i < READ_BATCH; i++) {
            char text[TEXT + 8];
            bool planted = planted_seed && i % 2 == 0;
            make_text(planted ? planted_seed : 1000, planted ? (uint32_t)(step * READ_BATCH / 2 + i / 2) % PLANTED : (uint32_t)(step * READ_BATCH + i), text);
            for (const char *p = text; *p; p++) tokens[at++] = (unsigned char)*p;
            tokens[at++] = rlvr_token_eos(m);
            offset[i + 1] = at;
        }
        if (!CHECK(rlvr_train_tokens(t, tokens, offset, READ_BATCH, NULL, &metrics) == RLVR_OK)) break;
        *loss = metrics.loss;
    }
    rlvr_trainer_close(t);
    return m;
}

typedef struct finding { double auc, auc_pp, auc_logprob, exact[2], by_heart[2], rouge[2]; } finding;

static finding look(rlvr_model *m, const rlvr_tasks *seen, const rlvr_tasks *unseen)
{
    static rlvr_known known[2][LOOKED];
    static double x[3][2][LOOKED];
    int64_t n[2] = {rlvr_tasks_count(seen), rlvr_tasks_count(unseen)};
    finding f;
    memset(&f, 0, sizeof f);
    for (int k = 0; k < 2; k++) {
        CHECK(rlvr_tasks_known(m, rlvr_tasks_get(k ? unseen : seen, 0), n[k], NULL, known[k]) == RLVR_OK);
        for (int64_t i = 0; i < n[k]; i++) {
            x[0][k][i] = known[k][i].min_k;
            x[1][k][i] = known[k][i].min_k_pp;
            x[2][k][i] = known[k][i].logprob;
            f.exact[k] += (double)known[k][i].exact / (double)n[k];
            f.by_heart[k] += (double)rlvr_known_by_heart(&known[k][i]) / (double)n[k];
            f.rouge[k] += known[k][i].rouge_l / (double)n[k];
        }
    }
    f.auc = rlvr_auc(x[0][0], n[0], x[0][1], n[1]);
    f.auc_pp = rlvr_auc(x[1][0], n[0], x[1][1], n[1]);
    f.auc_logprob = rlvr_auc(x[2][0], n[0], x[2][1], n[1]);
    return f;
}

/* One prompt's figures, made plainly from the model's logits. */
static void check_figures(rlvr_model *m, const rlvr_tasks *list)
{
    static float logits[128 * VOCAB];
    rlvr_known known[PLANTED];
    CHECK(rlvr_tasks_known(m, rlvr_tasks_get(list, 0), PLANTED, NULL, known) == RLVR_OK);
    const char *text = rlvr_tasks_get(list, 3)->prompt;
    int n = (int)strlen(text), prefix = 4, suffix = 4, tokens[128];
    for (int i = 0; i < n; i++) tokens[i] = (unsigned char)text[i];
    CHECK(known[3].n_tokens == n - prefix - suffix && known[3].n_rest == known[3].n_tokens - (int)ceil(0.6 * known[3].n_tokens - 1e-6));
    rlvr_logits(m, tokens, n, logits);
    double z[128], sum = 0;
    for (int i = prefix; i < n - suffix; i++) {
        const float *row = logits + (i - 1) * VOCAB;
        double total = 0, mean = 0, square = 0;
        for (int v = 0; v < VOCAB; v++) total += exp((double)row[v]);
        for (int v = 0; v < VOCAB; v++) {
            double log_p = (double)row[v] - log(total);
            mean += exp(log_p) * log_p;
            square += exp(log_p) * log_p * log_p;
        }
        double log_p = (double)row[tokens[i]] - log(total);
        sum += log_p;
        z[i] = (log_p - mean) / sqrt(square - mean * mean);
    }
    int k = (int)(0.2 * known[3].n_tokens);
    double lows = 0;
    for (int round = 0; round < k; round++) {
        int at = prefix;
        for (int i = prefix; i < n - suffix; i++) if (z[i] < z[at]) at = i;
        lows += z[at] / k;
        z[at] = 1e30;
    }
    CHECK_LE(fabs(known[3].logprob - sum / known[3].n_tokens), 1e-5);
    CHECK_LE(fabs(known[3].min_k_pp - lows), 1e-3 * fabs(lows));
    /* the greedy completion, token by token */
    int at = prefix + known[3].n_tokens - known[3].n_rest, right = 0;
    for (int i = at; i < n - suffix; i++) {
        rlvr_logits(m, tokens, i, logits);
        int best = 0;
        for (int v = 1; v < VOCAB; v++) if (logits[(i - 1) * VOCAB + v] > logits[(i - 1) * VOCAB + best]) best = v;
        right += best == (unsigned char)text[i];
        tokens[i] = best;
    }
    CHECK(known[3].exact == (right == known[3].n_rest));
}

static void test_planted(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    int steps = quick() ? 16 : 300, looked = quick() ? PLANTED : LOOKED;
    double loss[2];
    rlvr_model *dirty = read_texts(ctx, steps, 7, &loss[0]), *clean = read_texts(ctx, steps, 0, &loss[1]);
    rlvr_tasks *seen = make_list(ctx, 7, PLANTED), *more = make_list(ctx, 7, looked), *unseen = make_list(ctx, 8, looked);
    if (!CHECK(dirty && clean)) { rlvr_close(ctx); return; }
    finding d = look(dirty, seen, unseen), c = look(clean, more, unseen);      /* the clean model has read none of either */
    check_figures(dirty, seen);
    REPORT("planted: after %d steps (loss %.2f) AUC of Min-K%%++ %.3f, of Min-K%% %.3f, of the log-probability %.3f; completed exactly %.2f of the seen, %.2f of others",
           steps, loss[0], d.auc_pp, d.auc, d.auc_logprob, d.exact[0], d.exact[1]);
    REPORT("clean:   (loss %.2f) AUC of Min-K%%++ %.3f, of Min-K%% %.3f, of the log-probability %.3f; completed exactly %.2f and %.2f", loss[1], c.auc_pp, c.auc,
           c.auc_logprob, c.exact[0], c.exact[1]);
    double off = quick() ? 0.25 : 0.1;      /* three deviations of such an AUC: 0.03 over 160 and 160 texts, 0.08 over 24 and 24 */
    CHECK_LE(fabs(c.auc_pp - 0.5), off);
    CHECK_LE(fabs(c.auc - 0.5), off);
    CHECK(c.exact[0] < 0.05 && c.by_heart[0] == 0);
    if (!quick()) {
        CHECK(d.auc_pp > 0.85 && d.auc > 0.8 && d.exact[0] > 0.4 && d.exact[1] < 0.1 && d.by_heart[0] == d.exact[0] && d.rouge[0] > d.rouge[1] + 0.3);
    }
    rlvr_known_desc half;
    rlvr_known known[PLANTED];
    memset(&half, 0, sizeof half);
    half.no_completion = true;
    CHECK(rlvr_tasks_known(dirty, rlvr_tasks_get(seen, 0), PLANTED, &half, known) == RLVR_OK && known[0].rouge_l == -1 && !known[0].exact && known[0].logprob < 0);
    half.no_completion = false;
    half.no_likelihood = true;
    half.prefix = 0.25f;
    CHECK(rlvr_tasks_known(dirty, rlvr_tasks_get(seen, 0), PLANTED, &half, known) == RLVR_OK && isnan(known[0].logprob) && known[0].n_rest == 19);
    CHECK(rlvr_tasks_known(dirty, rlvr_tasks_get(seen, 0), 1, &half, known) == RLVR_OK && known[0].n_tokens == TEXT);      /* alone, nothing is common */
    half.prefix = 1;
    CHECK(rlvr_tasks_known(dirty, rlvr_tasks_get(seen, 0), 2, &half, known) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "prefix"));

    /* the gate of a trainer: reports, refuses, or says nothing where there is nothing */
    rlvr_trainer_desc td;
    memset(&td, 0, sizeof td);
    td.tasks = seen;
    td.reward.kind = RLVR_REWARD_EXACT;
    td.prompts_per_step = 2;
    td.group_size = 2;
    td.max_prompt_tokens = 64;
    td.sampling.max_tokens = 2;
    td.gate = RLVR_GATE_REFUSE;
    rlvr_trainer *t = rlvr_trainer_open(clean, &td);
    CHECK(t != NULL);
    rlvr_trainer_close(t);
    bool by_heart = d.by_heart[0] > 0;
    n_errors_logged = n_warnings_logged = 0;
    t = rlvr_trainer_open(dirty, &td);
    CHECK(!t == by_heart && n_errors_logged == by_heart && (t || (strstr(rlvr_last_error(ctx), "rlvr_trainer_desc.gate") && strstr(rlvr_last_error(ctx), "lines "))));
    rlvr_trainer_close(t);
    td.gate = RLVR_GATE_REPORT;
    t = rlvr_trainer_open(dirty, &td);
    CHECK(t && n_warnings_logged == by_heart && (!by_heart || strstr(last_warning, "word for word")));
    rlvr_trainer_close(t);
    td.gate = (rlvr_gate)7;
    CHECK(rlvr_trainer_open(clean, &td) == NULL && strstr(rlvr_last_error(ctx), "rlvr_trainer_desc.gate"));
    rlvr_close(ctx);
}

/* ---- the order of a list: a model that reads one list again and again, in its order ---- */

static rlvr_model *read_in_order(rlvr_ctx *ctx, rlvr_tasks *list, int steps, double *loss)
{
    static const char *const special[] = {"<|end|>"};
    const rlvr_model_desc shape = {VOCAB, 224, 32, 2, 2, 2, 16, 64, 0, 0, true, 0.05f, 4};
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    int tokens[1024], offset[2] = {0, 0}, at = 0;
    memset(&d, 0, sizeof d);
    d.micro_tokens = 512;
    d.optim.lr = 4e-3f;
    d.optim.beta2 = 0.99f;
    rlvr_model *m = rlvr_model_init(ctx, &shape);
    if (!m || rlvr_model_set_byte_tokenizer(m, special, 1) != RLVR_OK) return NULL;
    tokens[at++] = 256;
    for (int64_t i = 0; i < rlvr_tasks_count(list); i++) {
        for (const char *p = rlvr_tasks_get(list, i)->prompt; *p; p++) tokens[at++] = (unsigned char)*p;
        tokens[at++] = ' ';
        tokens[at++] = 'x';
        tokens[at++] = '\n';
    }
    offset[1] = at;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    for (int step = 0; step < steps && t; step++) CHECK(rlvr_train_tokens(t, tokens, offset, 1, NULL, &metrics) == RLVR_OK);
    *loss = metrics.loss;
    rlvr_trainer_close(t);
    return m;
}

static void test_order(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_tasks *list = make_list(ctx, 21, 5), *other = make_list(ctx, 22, 5);
    rlvr_order_report r, o, again;
    double loss;
    int permutations = quick() ? 19 : 59;
    rlvr_model *m = read_in_order(ctx, list, quick() ? 30 : 150, &loss);
    if (!CHECK(m != NULL)) { rlvr_close(ctx); return; }
    CHECK(rlvr_order_test(m, rlvr_tasks_get(list, 0), 5, permutations, 1, &r) == RLVR_OK && rlvr_order_test(m, rlvr_tasks_get(other, 0), 5, permutations, 1, &o) == RLVR_OK);
    CHECK(rlvr_order_test(m, rlvr_tasks_get(list, 0), 5, permutations, 1, &again) == RLVR_OK && memcmp(&r, &again, sizeof r) == 0);
    REPORT("order: read in order p %.3f, log-probability %.3f against %.3f shuffled; another list p %.3f, %.3f against %.3f", r.p_value, r.logprob, r.shuffled,
           o.p_value, o.logprob, o.shuffled);
    CHECK(r.n_permutations == permutations && r.n_shards == 1 && r.n_tokens == 5 * (TEXT + 3) && r.n_left_out == 0);
    CHECK(r.logprob > r.shuffled && r.p_value <= 0.1 && o.p_value > 0.1);
    /* the canonical log-probability, plainly */
    int tokens[256], at = 0;
    float logprob[256];
    double sum = 0;
    tokens[at++] = 256;
    for (int i = 0; i < 5; i++) {
        for (const char *p = rlvr_tasks_get(list, i)->prompt; *p; p++) tokens[at++] = (unsigned char)*p;
        tokens[at++] = ' '; tokens[at++] = 'x'; tokens[at++] = '\n';
    }
    rlvr_score(m, tokens, at, NULL, logprob);
    for (int i = 0; i + 1 < at; i++) sum += (double)logprob[i];
    CHECK_LE(fabs(r.logprob - sum / (at - 1)), 1e-12);
    /* longer lists in shards; what is longer than half a context is left out */
    rlvr_tasks *many = make_list(ctx, 23, 12);
    rlvr_task t = *rlvr_tasks_get(many, 0);
    char text[120];
    memset(text, 'a', 115);
    text[115] = 0;
    t.prompt = text;
    rlvr_tasks_add(many, &t);
    CHECK(rlvr_order_test(m, rlvr_tasks_get(many, 0), 13, 3, 1, &o) == RLVR_OK && o.n_left_out == 1 && o.n_shards == 2 && o.n_tokens == 12 * (TEXT + 3));
    CHECK(rlvr_order_test(m, rlvr_tasks_get(many, 0), 1, 3, 1, &o) == RLVR_ERROR_ARGUMENT && rlvr_order_test(m, rlvr_tasks_get(many, 0), 5, -1, 1, &o) == RLVR_ERROR_ARGUMENT);

    rlvr_close(ctx);
}

/* ---- held-out tasks and a trainer ---- */

typedef struct maker { char prompt[32]; int calls; bool endless; } maker;
static rlvr_result make_number(void *user, uint64_t index, rlvr_task *task)      /* a prompt of 16, in turn */
{
    maker *k = (maker *)user;
    snprintf(k->prompt, sizeof k->prompt, "Number %d.", k->endless ? 3 : (int)(index * 7 % 16));
    task->prompt = k->prompt;
    task->answer = "1";
    task->raw = true;
    k->calls++;
    return RLVR_OK;
}

static rlvr_model *small_model(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    const rlvr_model_desc shape = {258, 64, 32, 1, 2, 2, 16, 48, 0, 0, true, 0.2f, 6};
    rlvr_model *m = rlvr_model_init(ctx, &shape);
    return m && rlvr_model_set_byte_tokenizer(m, special, 2) == RLVR_OK ? m : NULL;
}

static rlvr_trainer_desc small_trainer(maker *k, rlvr_tasks *held_out)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = make_number;
    d.task_user = k;
    d.reward.kind = RLVR_REWARD_NUMBER;
    d.prompts_per_step = 4;
    d.group_size = 2;
    d.max_prompt_tokens = 16;
    d.sampling.max_tokens = 3;
    d.optim.lr = 1e-3f;
    d.held_out = held_out;
    return d;
}

static void test_held_out(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_tasks *held = rlvr_tasks_new(ctx), *list = rlvr_tasks_new(ctx);
    rlvr_task task;
    maker k, l;
    rlvr_metrics metrics, again;
    const char *path = "build/test_contamination.checkpoint";
    memset(&task, 0, sizeof task);
    memset(&k, 0, sizeof k);
    memset(&l, 0, sizeof l);
    task.prompt = "number 3";
    task.answer = "1";
    task.line = 12;
    rlvr_tasks_add(held, &task);
    task.prompt = "NUMBER  10!";
    task.line = 13;
    rlvr_tasks_add(held, &task);
    rlvr_model *m = small_model(ctx), *n = small_model(ctx);
    rlvr_trainer_desc d = small_trainer(&k, held);

    /* a generator: passed over, counted, the cursor moves on; the same after a resume */
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    int bad = 0, asked[16] = {0};
    for (int step = 0; step < 7 && t; step++) {
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        for (int i = 0; i < 8; i += 2) {
            int number = -1;
            sscanf(rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->task->prompt, "Number %d.", &number);
            bad += number == 3 || number == 10;
            asked[number & 15]++;
        }
        if (step == 2) { CHECK(rlvr_trainer_save(t, path) == RLVR_OK); }
    }
    int least = 100, most = 0;
    for (int i = 0; i < 16; i++)
        if (i != 3 && i != 10) { least = asked[i] < least ? asked[i] : least; most = asked[i] > most ? asked[i] : most; }
    CHECK(bad == 0 && metrics.n_held_out == 4 && k.calls == 28 + 4 && least == 2 && most == 2);      /* 28 tasks: each of 14 twice */
    d.task_user = &l;
    rlvr_trainer *u = rlvr_trainer_open(n, &d);
    CHECK(u && rlvr_trainer_resume(u, path) == RLVR_OK);
    for (int step = 3; step < 7 && u; step++) CHECK(rlvr_train_step(u, &again) == RLVR_OK);
    CHECK(again.n_held_out == 4 && rlvr_model_hash(m) == rlvr_model_hash(n) && l.calls < k.calls);
    rlvr_trainer_close(t);
    rlvr_trainer_close(u);
    remove(path);

    /* one that makes nothing else ends in an error that names the line */
    l.endless = true;
    u = rlvr_trainer_open(n, &d);
    CHECK(u && rlvr_train_step(u, &again) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "line 12") && strstr(rlvr_last_error(ctx), "held_out"));
    rlvr_trainer_close(u);

    /* a list: refused at the door, with both lines */
    d.task_fn = NULL;
    d.tasks = list;
    for (int i = 0; i < 40; i++) {
        char prompt[32];
        snprintf(prompt, sizeof prompt, "Number %d", 100 + i);
        task.prompt = prompt;
        task.line = 40 + i;
        rlvr_tasks_add(list, &task);
    }
    t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL);
    rlvr_trainer_close(t);
    task.prompt = "Number\n10";
    task.line = 77;
    rlvr_tasks_add(list, &task);
    CHECK(rlvr_trainer_open(m, &d) == NULL && strstr(rlvr_last_error(ctx), "line 77") && strstr(rlvr_last_error(ctx), "line 13"));

    /* the plan counts what is held out */
    rlvr_memory with, without;
    CHECK(rlvr_memory_plan(m, &d, &with) == RLVR_OK);
    d.held_out = NULL;
    CHECK(rlvr_memory_plan(m, &d, &without) == RLVR_OK && with.total > without.total);
    rlvr_close(ctx);
}

/* ---- twins ---- */

static bool sum_twin(void *user, const rlvr_task *task, const char *prompt, uint64_t seed, rlvr_task *twin)      /* "12+34=" */
{
    int a, b;
    (void)seed;
    if (task->line == 5 || sscanf(prompt, "%d+%d=", &a, &b) != 2) return false;
    snprintf((char *)user, 16, "%d", a + b);
    twin->answer = (const char *)user;
    return true;
}

/* Right on the prompts that it remembers, wrong on all others: a reward that stands for a contaminated model. */
static rlvr_result remembers(const rlvr_rollout *o, void *user, float *reward)
{
    int a, b;
    if (sscanf(o->task->prompt, "%d+%d=", &a, &b) != 2 || atoi(o->task->answer) != a + b) ++*(int *)user;
    *reward = a % 10 == 1 ? 1.0f : 0.0f;
    return o->task->line == 7 ? RLVR_REWARD_ERROR : RLVR_OK;
}

static void test_twins(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_tasks *list = rlvr_tasks_new(ctx);
    rlvr_eval_desc d;
    rlvr_twin_report r, again;
    rlvr_task t;
    char answer[16];
    int wrong_answers = 0;
    memset(&d, 0, sizeof d);
    memset(&t, 0, sizeof t);
    for (int i = 0; i < 40; i++) {
        char prompt[32], sum[16];
        snprintf(prompt, sizeof prompt, "%d+%d=", 11 + i % 9 * 10, 20 + i);
        snprintf(sum, sizeof sum, "%d", 31 + i % 9 * 10 + i);
        t.prompt = prompt;
        t.answer = sum;
        t.raw = true;
        t.line = i + 1;
        rlvr_tasks_add(list, &t);
    }
    d.n = 2;
    d.sampling.max_tokens = 2;
    d.reward.fn = remembers;
    d.reward.user = &wrong_answers;
    d.seed = 3;
    CHECK(rlvr_twin_test(m, rlvr_tasks_get(list, 0), 40, &d, sum_twin, answer, &r) == RLVR_OK);
    CHECK(wrong_answers == 0 && r.n == 38 && r.n_without == 1 && r.accuracy == 1 && r.twins < 0.4);
    CHECK_LE(fabs(r.drop - (r.accuracy - r.twins)), 1e-12);
    CHECK(r.drop_low <= r.drop && r.drop <= r.drop_high && r.drop_low > 0.4);
    CHECK(rlvr_twin_test(m, rlvr_tasks_get(list, 0), 40, &d, sum_twin, answer, &again) == RLVR_OK && memcmp(&r, &again, sizeof r) == 0);
    REPORT("twins: accuracy %.2f, on renumbered twins %.2f, drop %.2f [%.2f, %.2f]", r.accuracy, r.twins, r.drop, r.drop_low, r.drop_high);
    CHECK(rlvr_twin_test(m, rlvr_tasks_get(list, 0), 40, &d, NULL, NULL, &r) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "twin"));

    /* families make their own */
    rlvr_task_maker maker;
    rlvr_tasks *proc = rlvr_tasks_new(ctx);
    memset(&maker, 0, sizeof maker);
    maker.ctx = ctx;
    maker.family = "chain_sum,gcd";
    for (int i = 0; i < 12 && CHECK(rlvr_make_task(&maker, (uint64_t)i, &t) == RLVR_OK); i++) {
        t.raw = true;      /* short enough or not: the context is 64 */
        if (strlen(t.prompt) < 60) rlvr_tasks_add(proc, &t);
    }
    rlvr_task_maker_free(&maker);
    int64_t n = rlvr_tasks_count(proc);
    d.reward.fn = NULL;
    d.reward.kind = RLVR_REWARD_PROC;
    CHECK(n > 4);
    if (n) {
        rlvr_tasks *twins = rlvr_tasks_new(ctx);
        for (int64_t i = 0; i < n; i++) {
            CHECK(rlvr__family_twin(ctx, rlvr_tasks_get(proc, i), 9, (uint64_t)i, twins) && rlvr_tasks_count(twins) == i + 1);
            const rlvr_task *twin = rlvr_tasks_get(twins, i);
            rlvr_grade_result g;
            CHECK(strcmp(twin->prompt, rlvr_tasks_get(proc, i)->prompt) != 0);
            CHECK(rlvr_grade_task(ctx, &d.reward, twin->answer, strlen(twin->answer), twin, &g) == RLVR_OK && g.reward == 1);
        }
    }
    REPORT("twins: %d procedural tasks have a twin that their family grades", (int)n);
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
    int survived = 0, tried = 0;
    for (int64_t k = 0; !survived && k < 4000; k += quick() ? 3 : 1) {
        ration ration = {-1, 0};
        rlvr_desc desc;
        maker mk;
        rlvr_known known[3];
        rlvr_order_report order;
        memset(&desc, 0, sizeof desc);
        memset(&mk, 0, sizeof mk);
        desc.n_threads = 1;
        desc.quiet = true;
        desc.realloc_fn = rationed;
        desc.free_fn = give_back;
        desc.alloc_user = &ration;
        rlvr_ctx *ctx = rlvr_open(&desc);
        rlvr_model *m = small_model(ctx);
        rlvr_tasks *list = make_list(ctx, 3, 3);
        ration.left = k;
        bool ok = true;
        ok = ok && rlvr_tasks_known(m, rlvr_tasks_get(list, 0), 3, NULL, known) == RLVR_OK;
        ok = ok && rlvr_order_test(m, rlvr_tasks_get(list, 0), 3, 2, 1, &order) == RLVR_OK;
        rlvr_ngrams *g = ok ? rlvr_ngrams_new(ctx, 2, 0) : NULL;
        ok = g && rlvr_tasks_overlap(g, rlvr_tasks_get(list, 0), 3, NULL) == RLVR_OK;
        rlvr_task_set *s = ok ? rlvr_task_set_new(ctx, list) : NULL;
        ok = s && rlvr_task_set_find(s, rlvr_tasks_get(list, 1)) == 1;
        if (!ok && !strstr(rlvr_last_error(ctx), "out of memory")) CHECK(!"the message says what was missing");
        survived = ok && ration.left > 0;
        tried++;
        ration.left = -1;
        rlvr_close(ctx);
        if (ration.alive) CHECK(!"everything is given back");
    }
    CHECK(survived && tried > 10);
    REPORT("memory: refused at %d allocations in turn", tried - 1);
}

int main(void)
{
    test_ngrams();
    test_task_set();
    test_by_hand();
    test_planted();
    test_order();
    test_held_out();
    test_twins();
    test_memory();
    return test_done();
}
