/* Section 19b: training on preferences and on the best of rollouts: its gradient against another path to it, passes, threads,
   checkpoints, what it learns, files, and bad input. A small random model. */
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

static rlvr_model *small_model(rlvr_ctx *ctx, bool tied)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 258; d.n_ctx = 64; d.d_model = 32; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 8; d.d_ff = 48;
    d.tied = tied; d.seed = 5; d.init_std = 0.2f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

/* ---- pairs that can be told apart: preferred is what is made of small letters ---- */

enum { PAIRS = 12, LONGEST = 10 };
typedef struct pairs {
    rlvr_preference list[PAIRS];
    int prompt[PAIRS][LONGEST], chosen[PAIRS][LONGEST], rejected[PAIRS][LONGEST], gold[PAIRS][LONGEST];
} pairs;

static int dice(int n, int seed, int i, int k) { return (int)(rlvr__random(77, (uint32_t)seed, (uint32_t)i, (uint32_t)k, 0) % (uint32_t)n); }

static void make_pairs(pairs *p, int seed)
{
    memset(p, 0, sizeof *p);
    for (int i = 0; i < PAIRS; i++) {
        rlvr_preference *x = &p->list[i];
        x->prompt = p->prompt[i];
        x->n_prompt = 2 + dice(5, seed, i, 100);
        x->chosen = p->chosen[i];
        x->n_chosen = 1 + dice(8, seed, i, 101);
        x->rejected = p->rejected[i];
        x->n_rejected = 1 + dice(8, seed, i, 102);
        x->line = i + 1;
        for (int k = 0; k < LONGEST; k++) {
            p->prompt[i][k] = '0' + dice(10, seed, i / 2, k);      /* two pairs of one prompt now and then */
            p->chosen[i][k] = 'a' + dice(12, seed, i, 20 + k);
            p->rejected[i][k] = 'A' + dice(12, seed, i, 40 + k);
            p->gold[i][k] = '*' + dice(12, seed, i, 60 + k);
        }
        if (i % 2) x->n_prompt = p->list[i - 1].n_prompt;
    }
}

static rlvr_trainer_desc description(rlvr_preference_kind kind)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.preference.kind = kind;
    d.optim.lr = 1e-3f;
    d.micro_tokens = 1024;
    return d;
}

/* Of a completion behind its prompt, by scoring alone; its tokens from `whole` on count `ld` each. */
static double sum_of_part(rlvr_model *m, const int *prompt, int n_prompt, const int *tokens, int n, int whole, double ld)
{
    int all[64];
    float logprob[64];
    double sum = 0;
    memcpy(all, prompt, (size_t)n_prompt * sizeof(int));
    memcpy(all + n_prompt, tokens, (size_t)n * sizeof(int));
    CHECK(rlvr_score(m, all, n_prompt + n, NULL, logprob) == RLVR_OK);
    for (int i = 0; i < n; i++) sum += (i < whole ? 1 : ld) * (double)logprob[n_prompt - 1 + i];
    return sum;
}

static double sum_of(rlvr_model *m, const int *prompt, int n_prompt, const int *tokens, int n) { return sum_of_part(m, prompt, n_prompt, tokens, n, n, 1); }

/* ---- the gradient, by another way: scores of copies, the pure loss, and rlvr_grad_tokens() on whole texts ---- */

static double worst_gradient, worst_loss;

static void gradient_case(rlvr_preference_desc preference, bool tied, int micro, bool gold)
{
    rlvr_preference_kind kind = preference.kind;
    double ld = preference.ld_alpha == 0 ? 1 : fmax(0, (double)preference.ld_alpha);
    static pairs p;
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx, tied), *start = small_model(ctx, tied), *now = small_model(ctx, tied);
    rlvr_trainer_desc d = description(kind), plain;
    rlvr_metrics metrics;
    rlvr_preference_stats stats;
    make_pairs(&p, 3);
    for (int i = 0; i < PAIRS && gold; i++) { p.list[i].gold = p.gold[i]; p.list[i].n_gold = 1 + dice(8, 3, i, 103); }
    d.optim.lr = 3e-3f;
    d.micro_tokens = micro;
    d.preference = preference;
    if (kind == RLVR_PREFER_KTO) d.preference.undesirable_weight = 0.02f;      /* so that the divergence grows: a baseline above 0 */
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!CHECK(t != NULL)) { REPORT("%s", rlvr_last_error(ctx)); return; }
    for (int i = 0; i < 2; i++) CHECK(rlvr_train_preferences(t, p.list, PAIRS, NULL) == RLVR_OK);      /* away from the reference */
    memcpy(now->weights, m->weights, (size_t)m->n_floats * sizeof(float));
    CHECK(rlvr_train_preferences(t, p.list, PAIRS, &metrics) == RLVR_OK && !metrics.skipped);

    enum { N = 2 * PAIRS, ALL = N + PAIRS };
    double logprob[N], ref[N], mismatch[N], mismatch_ref[N], gold_logprob[PAIRS], slope[ALL];
    int length[ALL], whole[ALL], tokens[ALL * 2 * LONGEST], offset[ALL + 1] = {0}, all = gold ? ALL : N;
    float weight[ALL * 2 * LONGEST] = {0}, out[ALL * 2 * LONGEST];
    unsigned char label[N];
    for (int i = 0; i < N; i++) {
        const rlvr_preference *x = &p.list[i / 2];
        const int *text = i % 2 ? x->rejected : x->chosen;
        length[i] = i % 2 ? x->n_rejected : x->n_chosen;
        label[i] = i % 2 == 0;
        whole[i] = x->n_chosen < x->n_rejected ? x->n_chosen : x->n_rejected;
        logprob[i] = sum_of_part(now, x->prompt, x->n_prompt, text, length[i], whole[i], ld);
        ref[i] = sum_of_part(start, x->prompt, x->n_prompt, text, length[i], whole[i], ld);
        memcpy(tokens + offset[i], x->prompt, (size_t)x->n_prompt * sizeof(int));
        memcpy(tokens + offset[i] + x->n_prompt, text, (size_t)length[i] * sizeof(int));
        offset[i + 1] = offset[i] + x->n_prompt + length[i];
        int other = i;      /* the nearest completion before it of another prompt */
        do other = (other + N - 1) % N; while (!memcmp(p.list[other / 2].prompt, x->prompt, (size_t)x->n_prompt * sizeof(int)) && p.list[other / 2].n_prompt == x->n_prompt);
        const rlvr_preference *y = &p.list[other / 2];
        mismatch[i] = sum_of(now, x->prompt, x->n_prompt, other % 2 ? y->rejected : y->chosen, other % 2 ? y->n_rejected : y->n_chosen);
        mismatch_ref[i] = sum_of(start, x->prompt, x->n_prompt, other % 2 ? y->rejected : y->chosen, other % 2 ? y->n_rejected : y->n_chosen);
    }
    for (int i = 0; i < PAIRS && gold; i++) {
        const rlvr_preference *x = &p.list[i];
        whole[N + i] = length[N + i] = x->n_gold;
        gold_logprob[i] = sum_of(now, x->prompt, x->n_prompt, x->gold, x->n_gold);
        memcpy(tokens + offset[N + i], x->prompt, (size_t)x->n_prompt * sizeof(int));
        memcpy(tokens + offset[N + i] + x->n_prompt, x->gold, (size_t)x->n_gold * sizeof(int));
        offset[N + i + 1] = offset[N + i] + x->n_prompt + x->n_gold;
    }
    rlvr_preference_batch b = {N, logprob, ref, length, label, mismatch, mismatch_ref, N, 0, 0, gold ? gold_logprob : NULL, length + N};
    CHECK(rlvr_preference_loss(&d.preference, &b, slope, NULL, &stats) == RLVR_OK);
    for (int i = 0; i < all; i++)
        for (int k = 0; k < length[i]; k++) weight[offset[i + 1] - length[i] + k] = (float)(slope[i] * (k < whole[i] ? 1 : ld));
    memset(&plain, 0, sizeof plain);
    rlvr_trainer *other = rlvr_trainer_open(now, &plain);
    CHECK(rlvr_grad_tokens(other, tokens, offset, all, weight, out) == RLVR_OK);
    double largest = 0, off = 0;
    for (int64_t i = 0; i < m->n_floats; i++) {
        largest = fmax(largest, fabs((double)now->grads[i]));
        off = fmax(off, fabs((double)now->grads[i] - (double)m->grads[i]));
    }
    CHECK(largest > 0);
    worst_gradient = fmax(worst_gradient, off / largest);
    worst_loss = fmax(worst_loss, fabs(metrics.loss - stats.loss) / fmax(1, fabs(stats.loss)));
    if (ld == 1) CHECK(metrics.loss == stats.loss && metrics.preference.margin == stats.margin && metrics.preference.kl == stats.kl);
    CHECK_LE(fabs(metrics.loss - stats.loss), 1e-12 * fmax(1, fabs(stats.loss)));
    CHECK(metrics.preference.n_chosen == PAIRS && metrics.preference.n_rejected == PAIRS);
    if (kind == RLVR_PREFER_KTO) CHECK(stats.kl > 0);
    rlvr_close(ctx);
}

static void test_gradient(void)
{
    static const rlvr_preference_kind kinds[] = {RLVR_PREFER_DPO, RLVR_PREFER_IPO, RLVR_PREFER_ORPO, RLVR_PREFER_SIMPO, RLVR_PREFER_KTO, RLVR_PREFER_IMPLICIT_PRM};
    for (int k = 0; k < 6; k++)
        for (int tied = 0; tied < 2; tied++)
            for (int micro = 0; micro < 3; micro++)
                if (!quick || (2 * k + 3 * tied + micro) % 7 == 0)
                    gradient_case((rlvr_preference_desc){.kind = kinds[k]}, tied, micro == 0 ? 1024 : micro == 1 ? 60 : 17, false);
    gradient_case((rlvr_preference_desc){.kind = RLVR_PREFER_DPO, .length = RLVR_SCORE_MEAN}, false, 1024, false);
    CHECK_LE(worst_gradient, 2e-5);
    REPORT("against scoring and rlvr_grad_tokens(): losses the same bits (%.1e), gradients within %.1e of the largest", worst_loss, worst_gradient);
}

/* LD-DPO: what is past the pair's shorter completion counts less, or not at all. */
static void test_ld(void)
{
    static const float alphas[] = {0.4f, -1};
    for (int k = 0; k < 6; k++)
        gradient_case((rlvr_preference_desc){.kind = k / 3 ? RLVR_PREFER_HINGE : RLVR_PREFER_DPO, .ld_alpha = alphas[k % 2]}, k % 3 == 1, k % 3 ? 17 : 1024, false);
    CHECK_LE(worst_gradient, 2e-5);
}

/* TPO: a third completion whose likelihood is learned beside the pair; without a coefficient it is not even read. */
static void test_gold(void)
{
    gradient_case((rlvr_preference_desc){.kind = RLVR_PREFER_DPO, .no_reference = true, .nll_coef = 1}, false, 1024, true);
    gradient_case((rlvr_preference_desc){.kind = RLVR_PREFER_SIMPO, .gamma = 0.5f, .nll_coef = 0.3f}, true, 17, true);
    gradient_case((rlvr_preference_desc){.kind = RLVR_PREFER_DPO, .nll_coef = 0.3f}, false, 60, true);
    CHECK_LE(worst_gradient, 2e-5);
    for (int with = 0; with < 2; with++) {
        static pairs p;
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx, false);
        rlvr_trainer_desc d = description(RLVR_PREFER_DPO);
        d.preference.nll_coef = (float)with;
        make_pairs(&p, 3);
        p.list[2].gold = p.gold[2];
        p.list[2].n_gold = 3;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(rlvr_train_preferences(t, p.list, PAIRS, NULL) == (with ? RLVR_ERROR_ARGUMENT : RLVR_OK));
        if (with) CHECK(strstr(rlvr_last_error(ctx), "preference of line 1: gold has 0 tokens"));
        rlvr_close(ctx);
    }
}

/* ---- the same weights for any threads, passes and interruptions ---- */

static uint64_t run(int threads, rlvr_trainer_desc d, int steps, int cut, rlvr_metrics *last)
{
    const char *path = "build/test_prefer_checkpoint";
    static pairs p;
    rlvr_ctx *ctx = open_ctx(threads);
    rlvr_model *m = small_model(ctx, false);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    uint64_t hash = 0;
    for (int step = 0; CHECK(t != NULL) && step < steps; step++) {
        make_pairs(&p, 10 + step);
        CHECK(rlvr_train_preferences(t, p.list, PAIRS, last) == RLVR_OK);
        if (step + 1 != cut) continue;
        CHECK(rlvr_trainer_save(t, path) == RLVR_OK);      /* a new process, as good as */
        rlvr_close(ctx);
        ctx = open_ctx(threads);
        m = small_model(ctx, false);
        t = rlvr_trainer_open(m, &d);
        CHECK(rlvr_trainer_resume(t, path) == RLVR_OK && rlvr_trainer_steps(t) == cut);
        remove(path);
    }
    if (t) hash = rlvr_model_hash(m);
    rlvr_close(ctx);
    return hash;
}

static void test_replay(void)
{
    static const rlvr_preference_kind kinds[] = {RLVR_PREFER_DPO, RLVR_PREFER_KTO, RLVR_PREFER_ORPO};
    for (int k = 0; k < (quick ? 1 : 3); k++) {
        rlvr_trainer_desc d = description(kinds[quick ? 1 : k]);
        uint64_t whole = run(1, d, 5, 0, NULL);
        CHECK(whole && run(3, d, 5, 0, NULL) == whole);
        CHECK(run(2, d, 5, 2, NULL) == whole && run(1, d, 5, 4, NULL) == whole);
    }
}

/* ---- the reference: kept, computed before, or none ---- */

static void test_reference(void)
{
    static pairs p;
    rlvr_trainer_desc d = description(RLVR_PREFER_DPO);
    rlvr_memory plan;
    rlvr_metrics a, b;
    uint64_t hash[2];
    for (int before = 0; before < 2; before++) {
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx, true), *start = small_model(ctx, true);
        d.preference.precomputed_ref = before;
        CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK && plan.reference == (before ? 0 : m->n_floats * 4));
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        make_pairs(&p, 4);
        if (before) CHECK(rlvr_preferences_reference(start, p.list, PAIRS) == RLVR_OK);
        for (int i = 0; i < 3; i++) CHECK(rlvr_train_preferences(t, p.list, PAIRS, before ? &b : &a) == RLVR_OK);
        hash[before] = rlvr_model_hash(m);
        rlvr_close(ctx);
    }
    CHECK(hash[0] == hash[1] && a.loss == b.loss && a.grad_norm == b.grad_norm && a.preference.margin > 0);
    d = description(RLVR_PREFER_SIMPO);
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK && plan.reference == 0);
    d = description(RLVR_PREFER_DPO);
    d.preference.no_reference = true;
    d.preference.nll_coef = 1;      /* CPO */
    CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK && plan.reference == 0);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(rlvr_train_preferences(t, p.list, PAIRS, &a) == RLVR_OK && a.preference.nll > 0 && a.preference.reward_chosen < 0);
    rlvr_close(ctx);
}

/* ---- what it learns, and that it holds for pairs that were not seen ---- */

static double held_out_accuracy(rlvr_model *start, rlvr_model *m, bool means, double *margin)
{
    static pairs p, q;
    int right = 0;
    *margin = 0;
    make_pairs(&p, 999);
    q = p;
    CHECK(rlvr_preferences_reference(start, p.list, PAIRS) == RLVR_OK && rlvr_preferences_reference(m, q.list, PAIRS) == RLVR_OK);
    for (int i = 0; i < PAIRS; i++) {
        double c = q.list[i].ref_chosen - (means ? 0 : p.list[i].ref_chosen), r = q.list[i].ref_rejected - (means ? 0 : p.list[i].ref_rejected);
        if (means) { c /= p.list[i].n_chosen; r /= p.list[i].n_rejected; }
        right += c > r;
        *margin += (c - r) / PAIRS;
    }
    return (double)right / PAIRS;
}

static void test_learning(void)
{
    int steps = quick ? 10 : 40, kinds = 0;
    for (int kind = 1; kind < RLVR_PREFER_COUNT; kind++) {
        static pairs p;
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_model *m = small_model(ctx, true), *start = small_model(ctx, true);
        rlvr_trainer_desc d = description((rlvr_preference_kind)kind);
        rlvr_metrics first, last;
        double before, after, accuracy;
        bool means = kind == RLVR_PREFER_ORPO || kind == RLVR_PREFER_SIMPO;
        if (quick && kind != RLVR_PREFER_DPO && kind != RLVR_PREFER_KTO) { rlvr_close(ctx); continue; }
        d.optim.lr = 4e-3f;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        held_out_accuracy(start, m, means, &before);
        for (int step = 0; step < steps; step++) {
            make_pairs(&p, step);
            CHECK(rlvr_train_preferences(t, p.list, PAIRS, step ? &last : &first) == RLVR_OK);
        }
        accuracy = held_out_accuracy(start, m, means, &after);
        CHECK(after > before + 1 || (means && after > before));
        /* sppo stops at scores of +-1 / (2 beta); apo_down lowers chosen ones too: margins grow, not every pair is told apart so soon */
        double least = kind == RLVR_PREFER_SPPO ? 0.9 : kind == RLVR_PREFER_APO_DOWN ? 0.6 : 1;
        if (!CHECK(accuracy >= least)) REPORT("%s: %.3f", rlvr_preference_name((rlvr_preference_kind)kind), accuracy);
        CHECK(last.preference.margin > first.preference.margin);
        if (!quick && !CHECK(last.preference.accuracy >= RLVR__MIN(least, 0.95))) REPORT("%s %g", rlvr_preference_name((rlvr_preference_kind)kind), last.preference.accuracy);
        REPORT("%-12s %d updates: margin %7.3f -> %7.3f, accuracy %.2f, held out %.2f (score margin %.2f)", rlvr_preference_name((rlvr_preference_kind)kind), steps,
               first.preference.margin, last.preference.margin, last.preference.accuracy, accuracy, after);
        kinds++;
        rlvr_close(ctx);
    }
    CHECK(kinds >= 2);
}

/* ---- nothing moves without a gradient; nothing is allocated after the first update ---- */

static void test_still(void)
{
    static pairs p;
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc d = description(RLVR_PREFER_HINGE);
    rlvr_metrics metrics;
    d.preference.beta = 5;
    d.preference.precomputed_ref = true;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    make_pairs(&p, 1);
    CHECK(rlvr_train_preferences(t, p.list, 2, &metrics) == RLVR_OK && !metrics.skipped);      /* momentum */
    for (int i = 0; i < PAIRS; i++) p.list[i].ref_chosen = -1e4;      /* all pairs are far apart already */
    uint64_t hash = rlvr_model_hash(m);
    CHECK(rlvr_train_preferences(t, p.list, PAIRS, &metrics) == RLVR_OK && metrics.skipped && metrics.n_skipped == 1 && metrics.loss == 0);
    CHECK(rlvr_model_hash(m) == hash && metrics.step == 2);
    p.list[0].ref_chosen = NAN;
    CHECK(rlvr_train_preferences(t, p.list, PAIRS, &metrics) == RLVR_OK && metrics.skipped && rlvr_model_hash(m) == hash);
    rlvr_close(ctx);
}

#ifndef RLVR__SANITIZED      /* a sanitizer wants to see every free: then nothing is kept for later */
static void test_allocations(void)
{
    static pairs p;
    test_counter c;
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 2;
    test_count(&d, &c);
    rlvr_ctx *ctx = rlvr_open(&d);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc td = description(RLVR_PREFER_KTO);
    rlvr_trainer *t = rlvr_trainer_open(m, &td);
    make_pairs(&p, 1);
    int64_t opened = c.bytes;
    CHECK(rlvr_train_preferences(t, p.list, PAIRS, NULL) == RLVR_OK);
    int64_t after_first = c.calls;
    CHECK_LE(c.bytes - opened, 4 * 96 * (int64_t)PAIRS + 8192);      /* what the plan has for it, with room for blocks' rounding */
    for (int i = 0; i < 5; i++) CHECK(rlvr_train_preferences(t, p.list, PAIRS - i, NULL) == RLVR_OK);
    CHECK_LE(c.calls, after_first);
    rlvr_close(ctx);
}
#else
static void test_allocations(void) {}
#endif

/* ---- bad input ---- */

static void test_bad_input(void)
{
    static pairs p;
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc d = description(RLVR_PREFER_DPO);
    int long_text[80] = {0};
    d.micro_tokens = 0;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    uint64_t hash = rlvr_model_hash(m);
#define REFUSED(what) CHECK(rlvr_train_preferences(t, p.list, PAIRS, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), what)); make_pairs(&p, 2)
    make_pairs(&p, 2);
    CHECK(rlvr_train_preferences(t, p.list, 0, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "n is 0"));
    p.list[3].n_rejected = 0;
    REFUSED("preference of line 4: rejected has 0 tokens");
    p.list[5].n_prompt = 0;
    REFUSED("line 6");
    p.rejected[2][0] = 258;
    REFUSED("token 258 of its rejected");
    p.prompt[2][0] = -1;
    REFUSED("token -1 of its prompt");
    p.list[1].chosen = long_text;
    p.list[1].n_chosen = 80;
    REFUSED("one pass takes");
    CHECK(rlvr_model_hash(m) == hash && rlvr_trainer_steps(t) == 0);
    rlvr_trainer_close(t);
    d.preference.kind = RLVR_PREFER_NONE;
    t = rlvr_trainer_open(m, &d);
    REFUSED("preference.kind");
    rlvr_trainer_close(t);
    d.preference.kind = RLVR_PREFER_KTO;
    t = rlvr_trainer_open(m, &d);
    CHECK(rlvr_train_preferences(t, p.list, 2, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "two prompts"));
    p.list[0].n_chosen = p.list[0].n_rejected = 0;
    CHECK(rlvr_train_preferences(t, p.list, 1, NULL) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "no preference has a completion"));
    rlvr_trainer_close(t);
    d.preference.gamma = 1;
    CHECK(rlvr_trainer_open(m, &d) == NULL && strstr(rlvr_last_error(ctx), "rlvr_trainer_desc.preference: gamma"));
#undef REFUSED
    rlvr_close(ctx);
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    if (CHECK(f != NULL)) { fputs(text, f); fclose(f); }
}

static void test_file_of_preferences(void)
{
    const char *path = "build/test_preferences.jsonl";
    static const struct { const char *line, *says; } bad[] = {
        {"[1]", "a preference is an object"}, {"{\"chosen\":\"a\",\"rejected\":\"b\"}", "\"prompt\""}, {"{\"prompt\":\"x\",\"chosen\":\"a\"}", "\"rejected\" is absent"},
        {"{\"prompt\":\"x\",\"chosen\":1,\"rejected\":\"b\"}", "\"chosen\" is a number"},
        {"{\"prompt\":\"x\",\"chosen\":\"a\",\"rejected\":\"b\",\"gold\":true}", "\"gold\" is true or false"}, {"{\"prompt\":\"x\",\"completion\":\"a\"}", "\"label\" is absent"},
        {"{\"prompt\":\"x\",\"completion\":\"a\",\"chosen\":\"b\",\"label\":true}", "beside"}, {"{\"prompt\":\"x\",\"completion\":\"a\",\"label\":1}", "\"label\" is a number"},
        {"{\"prompt\":\"x\",\"raw\":1,\"chosen\":\"a\",\"rejected\":\"b\"}", "\"raw\""}, {"{\"prompt\":\"x\",", ":2"},
        {"{\"prompt\":\"x\",\"raw\":true,\"chosen\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"rejected\":\"b\"}", "the model takes 64; shorten"},
        {"{\"prompt\":\"0123456789012345678901234567890123456789012345678901234567890123456789\",\"raw\":true,\"chosen\":\"a\",\"rejected\":\"b\"}", "shorten it"}};
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    write_file(path, "{\"prompt\":\"hi\",\"raw\":true,\"chosen\":\"yes\",\"rejected\":\"no<|im_end|>\"}\n\n"
                     "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\"}],\"rejected\":\"\"}\n"
                     "{\"prompt\":\"q\",\"raw\":true,\"completion\":\"good\",\"label\":true}\n{\"prompt\":\"q\",\"raw\":true,\"completion\":\"bad\",\"label\":false}\n");
    rlvr_preferences *p = rlvr_preferences_load_jsonl(m, path);
    if (!CHECK(p && rlvr_preferences_count(p) == 4)) { REPORT("%s", rlvr_last_error(ctx)); return; }
    const rlvr_preference *x = rlvr_preferences_get(p, 0);
    int eos = rlvr_token_eos(m);
    CHECK(x[0].n_prompt == 2 && x[0].prompt[0] == 'h' && x[0].n_chosen == 4 && x[0].chosen[2] == 's' && x[0].chosen[3] == eos && x[0].line == 1);
    CHECK(x[0].n_rejected == 3 && x[0].rejected[1] == 'o' && x[0].rejected[2] == eos);      /* it ended by itself */
    rlvr_message hi = {"user", "hi"};
    size_t len;
    char *chat = rlvr_chat(m, &hi, 1, &len);
    int *tokens, n = rlvr_tokenize(m, chat, len, true, &tokens);
    CHECK(x[1].n_prompt == n && !memcmp(x[1].prompt, tokens, (size_t)n * sizeof(int)) && x[1].n_chosen == 2 && x[1].n_rejected == 1 && x[1].line == 3);
    CHECK(x[2].n_chosen == 5 && !x[2].n_rejected && !x[3].n_chosen && x[3].n_rejected == 4);
    CHECK(rlvr_preferences_get(p, 4) == NULL && rlvr_preferences_get(p, -1) == NULL);
    /* batches: every preference once an epoch, each epoch in its own order, the same for the same arguments */
    rlvr_preference all[40], again[8];
    int64_t seen[10][4] = {{0}};
    bool moved = false;
    rlvr_preferences_batch(p, 7, 0, 40, all);
    rlvr_preferences_batch(p, 7, 16, 8, again);
    for (int i = 0; i < 40; i++)
        for (int k = 0; k < 4; k++) seen[i / 4][k] += all[i].line == x[k].line;
    for (int e = 0; e < 10; e++)
        for (int k = 0; k < 4; k++) { CHECK(seen[e][k] == 1); moved |= all[4 * e + k].line != all[k].line; }
    CHECK(moved && !memcmp(again, all + 16, sizeof again));
    rlvr_preferences_free(p);
    rlvr_preferences_free(NULL);
    write_file(path, "{\"prompt\":\"hi\",\"raw\":true,\"chosen\":\"yes\",\"rejected\":\"no\",\"gold\":\"certainly\"}\n");
    p = rlvr_preferences_load_jsonl(m, path);
    CHECK(p && (x = rlvr_preferences_get(p, 0))->n_gold == 10 && x->gold[0] == 'c' && x->gold[9] == eos && x->n_chosen == 4 && x->n_rejected == 3);
    rlvr_preferences_free(p);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[1024];
        snprintf(text, sizeof text, "{\"prompt\":\"hi\",\"raw\":true,\"chosen\":\"yes\",\"rejected\":\"no\"}\n%s\n", bad[i].line);
        write_file(path, text);
        bool ok = rlvr_preferences_load_jsonl(m, path) == NULL && strstr(rlvr_last_error(ctx), "build/test_preferences.jsonl:2") && strstr(rlvr_last_error(ctx), bad[i].says);
        if (!CHECK(ok)) REPORT("%s: %s", bad[i].line, rlvr_last_error(ctx));
    }
    write_file(path, "\n");
    CHECK(rlvr_preferences_load_jsonl(m, path) == NULL && strstr(rlvr_last_error(ctx), "no preference"));
    remove(path);
    CHECK(rlvr_preferences_load_jsonl(m, path) == NULL && strstr(rlvr_last_error(ctx), path));
    rlvr_close(ctx);
}

static void test_log(void)
{
    static const char *const names[] = {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "loss",
                                        "grad_norm", "learning_rate", "num_tokens", "step"};
    static pairs p;
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, true);
    rlvr_trainer_desc d = description(RLVR_PREFER_DPO);
    rlvr_metrics metrics;
    rlvr__file f;
    d.out_dir = "build/test_prefer_log";
    d.save_every = 2;
    remove("build/test_prefer_log/metrics.jsonl");
    remove("build/test_prefer_log/checkpoint");
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    make_pairs(&p, 1);
    for (int i = 0; i < 2; i++) CHECK(rlvr_train_preferences(t, p.list, PAIRS, &metrics) == RLVR_OK);
    if (!CHECK(rlvr__file_open(ctx, "build/test_prefer_log/metrics.jsonl", &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    rlvr__json *j = NULL;
    while (rlvr__lines_next(&it)) j = rlvr__json_parse(ctx, "log", it.text, it.len, it.line);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) CHECK(rlvr__json_is(rlvr__json_get(j, names[i]), RLVR__JSON_NUMBER));
    CHECK_LE(fabs(rlvr__json_num(rlvr__json_get(j, "rewards/margins"), 0) - metrics.preference.margin), 1e-7);
    int64_t tokens = 0;
    for (int i = 0; i < PAIRS; i++) tokens += p.list[i].n_chosen + p.list[i].n_rejected + (i && p.list[i].n_prompt == p.list[i - 1].n_prompt && p.prompt[i][0] == p.prompt[i - 1][0] && i % 2 ? 0 : p.list[i].n_prompt);
    CHECK(metrics.num_tokens == 2 * tokens && metrics.step == 2);
    rlvr__file_close(ctx, &f);
    CHECK(rlvr_trainer_resume(t, "build/test_prefer_log/checkpoint") == RLVR_OK && rlvr_trainer_steps(t) == 2);
    rlvr_close(ctx);
}

/* ---- the best of rollouts ---- */

static const char *const questions[] = {"Say a b", "Tell", "12+", "Q: more"};
static void make_tasks(rlvr_task *task)
{
    memset(task, 0, 4 * sizeof *task);
    for (int i = 0; i < 4; i++) { task[i].prompt = questions[i]; task[i].raw = true; task[i].line = i + 1; }
}

/* The share of bytes that are even, as the policy's own sampling gives it. */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0;
    (void)user;
    for (int i = 0; i < r->n_tokens; i++) even += r->tokens[i] % 2 == 0;
    *reward = (float)even / (float)r->n_tokens;
    return RLVR_OK;
}

static double reward_of(rlvr_rollouts *r)
{
    double sum = 0;
    for (int i = 0; i < rlvr_rollouts_count(r); i++) sum += (double)rlvr_rollouts_get(r, i)->reward / rlvr_rollouts_count(r);
    return sum;
}

static void test_best_learns(void)
{
    static const rlvr_best_desc kinds[] = {{0, true, 0, false}, {-1, false, 0.75f, false}};      /* RAFT; expert iteration */
    for (int k = quick; k < 2; k++) {
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_model *m = small_model(ctx, true);
        rlvr_trainer_desc d;
        rlvr_sampling s;
        rlvr_rollouts *r = NULL;
        rlvr_reward_desc reward;
        rlvr_task task[4];
        rlvr_metrics metrics;
        double first = 0, last = 0;
        int steps = quick ? 16 : 40;
        memset(&d, 0, sizeof d);
        memset(&s, 0, sizeof s);
        memset(&reward, 0, sizeof reward);
        make_tasks(task);
        reward.fn = judge;
        s.max_tokens = 6;
        d.optim.lr = 6e-3f;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        for (int step = 0; step < steps; step++) {
            s.step = (uint32_t)step;
            CHECK(rlvr_sample(m, task, 4, 8, &s, &r) == RLVR_OK && rlvr_grade_rollouts(r, &reward) == RLVR_OK);
            if (!step) first = reward_of(r);
            if (step >= steps - 4) last += reward_of(r) / 4;
            CHECK(rlvr_train_best(t, r, &kinds[k], &metrics) == RLVR_OK);
            if (!k) CHECK(metrics.n_selected == 4 && metrics.loss > 0);
        }
        CHECK_LE(first + (quick ? 0.1 : 0.3), last);
        REPORT("%s: reward %.3f -> %.3f in %d steps", k ? "expert iteration" : "RAFT", first, last, steps);
        rlvr_close(ctx);
    }
}

static void test_best_selects(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx, false);
    rlvr_trainer_desc d;
    rlvr_sampling s;
    rlvr_rollouts *r = NULL;
    rlvr_task task[4];
    rlvr_metrics metrics;
    rlvr_best_desc best;
    rlvr_preference pairs_of[32];
    memset(&d, 0, sizeof d);
    memset(&s, 0, sizeof s);
    memset(&best, 0, sizeof best);
    make_tasks(task);
    s.max_tokens = 5;
    s.ignore_eos = true;
    d.optim.lr = 1e-3f;
    CHECK(rlvr_sample(m, task, 4, 8, &s, &r) == RLVR_OK);
    for (int i = 0; i < 32; i++) {
        rlvr_rollout *o = rlvr_rollouts_get(r, i);
        o->graded = RLVR_OK;
        o->reward = i < 8 ? 0.25f : i < 16 ? (float)(i % 4) / 4 : i < 24 ? -1 : 1;
    }
    rlvr_rollouts_get(r, 24)->graded = RLVR_REWARD_ERROR;
    rlvr_rollouts_get(r, 25)->reward = NAN;
    memcpy((int *)(uintptr_t)rlvr_rollouts_get(r, 27)->tokens, rlvr_rollouts_get(r, 26)->tokens, 5 * sizeof(int));      /* drawn twice */
    /* the gradient of one update, by rlvr_train_tokens() on the same texts */
    int tokens[64 * 32], offset[33] = {0}, n = 0;
    unsigned char mask[64 * 32] = {0};
    static const int chosen[] = {11, 26};      /* the first of the best of groups 1 and 3; 0 and 2 have no right one */
    for (int k = 0; k < 2; k++, n++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, chosen[k]);
        memcpy(tokens + offset[n], o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
        memcpy(tokens + offset[n] + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
        offset[n + 1] = offset[n] + o->n_prompt + o->n_tokens;
        memset(mask + offset[n] + o->n_prompt, 1, (size_t)o->n_tokens);
    }
    rlvr_model *other = small_model(ctx, false);
    rlvr_trainer *t = rlvr_trainer_open(m, &d), *u = rlvr_trainer_open(other, &d);
    double loss;
    CHECK(rlvr_train_tokens(u, tokens, offset, n, mask, &metrics) == RLVR_OK);
    loss = metrics.loss;
    CHECK(rlvr_train_best(t, r, NULL, &metrics) == RLVR_OK && metrics.n_selected == 2);
    CHECK_LE(fabs(loss - metrics.loss), 1e-6);
    double off = 0, largest = 0;
    for (int64_t i = 0; i < m->n_floats; i++) {
        off = fmax(off, fabs((double)m->grads[i] - (double)other->grads[i]));
        largest = fmax(largest, fabs((double)other->grads[i]));
    }
    CHECK(largest > 0);
    CHECK_LE(off, 1e-5 * largest);
    /* how many each way of choosing takes */
    struct { rlvr_best_desc d; int n; } want[] = {{{0, true, 0, false}, 4}, {{-1, false, 0, false}, 4 + 5}, {{-1, false, 0, true}, 4 + 6},
                                                  {{-1, true, 0, true}, 30}, {{2, false, 0.2f, false}, 6}, {{1, false, 2, false}, 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        uint64_t hash = rlvr_model_hash(m);
        CHECK(rlvr_train_best(t, r, &want[i].d, &metrics) == RLVR_OK);
        if (!CHECK(metrics.n_selected == want[i].n)) REPORT("%d of case %d", metrics.n_selected, (int)i);
        CHECK((metrics.n_selected == 0) == metrics.skipped && (rlvr_model_hash(m) == hash) == metrics.skipped);
    }
    best.per_prompt = -2;
    CHECK(rlvr_train_best(t, r, &best, &metrics) == RLVR_ERROR_ARGUMENT && strstr(rlvr_last_error(ctx), "per_prompt"));
    /* preferences out of the same rollouts */
    CHECK(rlvr_preferences_from_rollouts(r, false, pairs_of) == 1);      /* one group alone has a better and a worse one */
    CHECK(pairs_of[0].chosen == rlvr_rollouts_get(r, 11)->tokens && pairs_of[0].rejected == rlvr_rollouts_get(r, 8)->tokens && pairs_of[0].line == 2);
    CHECK(rlvr_preferences_from_rollouts(r, true, pairs_of) == 30);
    int right = 0;
    for (int i = 0; i < 30; i++) right += pairs_of[i].n_chosen > 0 && pairs_of[i].n_rejected == 0;
    CHECK(right == 4 + 6);
    rlvr_close(ctx);
}

/* On a trainer that also samples, whose store is decoding's own: step, best, preferences, step. */
static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    (void)user;
    task->prompt = questions[index % 4];
    task->raw = true;
    return RLVR_OK;
}

static void test_beside_sampling(void)
{
    uint64_t hash[2];
    for (int two = 0; two < 2; two++) {
        static pairs p;
        rlvr_ctx *ctx = open_ctx(2);
        rlvr_model *m = small_model(ctx, false);
        rlvr_trainer_desc d = description(RLVR_PREFER_DPO);
        rlvr_metrics metrics;
        rlvr_best_desc raft = {0, true, 0, false};
        rlvr_preference out[16];
        d.micro_tokens = 0;
        d.task_fn = ask;
        d.reward.fn = judge;
        d.prompts_per_step = 4;
        d.group_size = 4;
        d.max_prompt_tokens = 12;
        d.sampling.max_tokens = 6;
        d.two_forwards = two;
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        make_pairs(&p, 8);
        if (!CHECK(t != NULL)) return;
        CHECK(t->plan.one_forward == !two);
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && !metrics.skipped);
        CHECK(rlvr_train_best(t, rlvr_trainer_rollouts(t), &raft, &metrics) == RLVR_OK && metrics.n_selected == 4);
        int n = rlvr_preferences_from_rollouts(rlvr_trainer_rollouts(t), false, out);
        CHECK(n > 0 && rlvr_train_preferences(t, out, n, &metrics) == RLVR_OK && metrics.preference.n_chosen == n);
        CHECK(rlvr_train_preferences(t, p.list, 4, &metrics) == RLVR_OK);
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK && !metrics.skipped && metrics.step == 5);
        hash[two] = rlvr_model_hash(m);
        rlvr_close(ctx);
    }
    CHECK(hash[0] == hash[1]);
}

int main(void)
{
    quick = getenv("RLVR_TEST_QUICK") != NULL;
    test_gradient();
    test_ld();
    test_gold();
    test_replay();
    test_reference();
    test_learning();
    test_still();
    test_allocations();
    test_bad_input();
    test_file_of_preferences();
    test_log();
    test_best_learns();
    test_best_selects();
    test_beside_sampling();
    return test_done();
}
