/* Sections 16 to 18: advantages, policy loss and learning rate against TRL, torch and transformers (learning_ref.jsonl), every
   loss gradient against finite differences in double, exactness where it is promised, and bad input. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static uint32_t dice_at;
static double uniform(double low, double high) { return low + (high - low) * (double)rlvr_uniform(11, 0, 0, 0, dice_at++); }
static int dice(int n) { return (int)uniform(0, n); }

/* ---- a batch and the loss of it as the formulas say, in double ---- */

enum { SEQS = 6, TOKENS = 64 };
typedef struct batch {
    rlvr_loss_desc d;
    int n_seq, n, offset[SEQS + 1];
    float logprob[TOKENS], old[TOKENS], ref[TOKENS], advantage[SEQS];
    unsigned char mask[TOKENS];
    bool masked;
} batch;

static double low_of(const batch *b) { return b->d.clip_eps_low == 0 ? (double)0.2f : (double)b->d.clip_eps_low; }
static double high_of(const batch *b) { return b->d.clip_eps_high == 0 ? low_of(b) : (double)b->d.clip_eps_high; }
static bool counts(const batch *b, int i) { return !b->masked || b->mask[i]; }

/* min(r A, clip(r) A) as it is written in the paper, each denominator counted anew. */
static double reference(const batch *b, const double *logprob, double *policy_part)
{
    double loss = 0, policy = 0;
    int tokens = 0, seqs = 0;
    for (int s = 0; s < b->n_seq; s++) {
        int in = 0;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) in += counts(b, i);
        tokens += in;
        seqs += in > 0;
    }
    for (int s = 0; s < b->n_seq; s++) {
        double sum = 0, sum_policy = 0, A = (double)b->advantage[s];
        int in = 0;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) {
            if (!counts(b, i)) continue;
            double r = exp(logprob[i] - (double)b->old[i]), x = logprob[i] - (double)b->ref[i], kl;
            double clipped = fmin(fmax(r, 1 - low_of(b)), 1 + high_of(b));
            if (b->d.kl == RLVR_KL_K1) kl = x;
            else if (b->d.kl == RLVR_KL_K2) kl = x * x / 2;
            else kl = exp(-x) - 1 + x;
            sum_policy -= fmin(r * A, clipped * A);
            sum += (double)b->d.kl_coef * kl;
            in++;
        }
        if (!in) continue;
        double scale = b->d.aggregation == RLVR_AGG_TOKEN_MEAN ? 1.0 / tokens
                     : b->d.aggregation == RLVR_AGG_SEQ_MEAN_TOKEN_MEAN ? 1.0 / in / seqs : 1.0 / seqs / b->d.max_tokens;
        policy += scale * sum_policy;
        loss += scale * (sum + sum_policy);
    }
    if (policy_part) *policy_part = policy;
    return loss;
}

static rlvr_result loss_of(const rlvr_loss_desc *d, int n_seq, const int *offset, const float *logprob, const float *old, const float *ref,
                        const float *advantage, const unsigned char *mask, int64_t n_seq_total, int64_t n_tokens_total, float *dlogprob,
                        rlvr_loss_stats *stats)
{
    rlvr_loss_batch b;
    memset(&b, 0, sizeof b);
    b.n_seq = n_seq;
    b.offset = offset;
    b.logprob = logprob;
    b.old_logprob = old;
    b.ref_logprob = ref;
    b.advantage = advantage;
    b.mask = mask;
    b.n_seq_total = n_seq_total;
    b.n_tokens_total = n_tokens_total;
    return rlvr_policy_loss(d, &b, dlogprob, NULL, stats);
}

static rlvr_result run(const batch *b, float *dlogprob, rlvr_loss_stats *stats)
{
    return loss_of(&b->d, b->n_seq, b->offset, b->logprob, b->old, b->d.kl_coef != 0 ? b->ref : NULL, b->advantage,
                            b->masked ? b->mask : NULL, 0, 0, dlogprob, stats);
}

/* Advantages of one group, by an estimator's defaults. */
static void group_advantage(rlvr_advantage kind, const float *reward, const bool *valid, int n, float *out)
{
    rlvr_advantage_desc d;
    rlvr_advantage_batch b;
    int offset[64];
    float logprob[64], collision[64], token_advantage[64];
    for (int i = 0; i <= n; i++) { offset[i] = i; logprob[i] = -1; collision[i] = 0.5f; }      /* one token each, for optimal_token */
    memset(&b, 0, sizeof b);
    b.n_groups = 1;
    b.group_size = n;
    b.reward = b.baseline = reward;
    b.valid = valid;
    b.offset = offset;
    b.logprob = logprob;
    b.collision = collision;
    b.token_advantage = token_advantage;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    CHECK(rlvr_advantage_of(&d, &b, out) == RLVR_OK);
}

/* ---- outside truth ---- */

static int fill_floats(const rlvr__json *j, const char *name, float *out)
{
    int n = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, name)) out[n++] = rlvr__json_is(v, RLVR__JSON_NULL) ? NAN : (float)rlvr__json_num(v, 0);
    return n;
}

static double worst_loss, worst_grad, worst_advantage, worst_rate;

static void loss_case(const rlvr__json *j)
{
    batch b;
    float got[TOKENS];
    rlvr_loss_stats stats;
    double largest = 0, off = 0;
    int i = 0;
    memset(&b, 0, sizeof b);
    b.d.aggregation = (rlvr_aggregation)rlvr__json_int(rlvr__json_get(j, "aggregation"), 9);
    b.d.kl_coef = (float)rlvr__json_num(rlvr__json_get(j, "kl_coef"), 0);
    b.d.clip_eps_low = (float)rlvr__json_num(rlvr__json_get(j, "low"), 0);
    b.d.clip_eps_high = (float)rlvr__json_num(rlvr__json_get(j, "high"), 0);
    b.d.max_tokens = (int)rlvr__json_int(rlvr__json_get(j, "max_tokens"), 0);
    RLVR__JSON_EACH(v, rlvr__json_get(j, "offset")) b.offset[b.n_seq++] = (int)rlvr__json_int(v, 0);
    b.n = b.offset[--b.n_seq];
    RLVR__JSON_EACH(v, rlvr__json_get(j, "mask")) b.mask[i++] = (unsigned char)rlvr__json_int(v, 0);
    b.masked = true;
    fill_floats(j, "logprob", b.logprob);
    fill_floats(j, "old", b.old);
    fill_floats(j, "ref", b.ref);
    fill_floats(j, "advantage", b.advantage);
    if (!CHECK(run(&b, got, &stats) == RLVR_OK)) return;
    i = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, "grad")) largest = fmax(largest, fabs(rlvr__json_num(v, 0)));
    RLVR__JSON_EACH(v, rlvr__json_get(j, "grad")) off = fmax(off, fabs((double)got[i++] - rlvr__json_num(v, 0)));
    CHECK(i == b.n && largest > 0);
    worst_grad = fmax(worst_grad, off / largest);
    worst_loss = fmax(worst_loss, fabs(stats.loss - rlvr__json_num(rlvr__json_get(j, "loss"), 99)));
    CHECK_LE(fabs(stats.kl - rlvr__json_num(rlvr__json_get(j, "kl"), 99)), 1e-7);      /* TRL's means of these are in float */
    CHECK_LE(fabs(stats.clip_low - rlvr__json_num(rlvr__json_get(j, "clip_low"), 99)), 1e-6);
    CHECK_LE(fabs(stats.clip_high - rlvr__json_num(rlvr__json_get(j, "clip_high"), 99)), 1e-6);
}

static void advantage_case(const rlvr__json *j)
{
    float reward[16], want[16], got[16];
    bool valid[16];
    int n = fill_floats(j, "reward", reward);
    for (int i = 0; i < n; i++) valid[i] = !isnan(reward[i]);
    for (int kind = 0; kind < 2; kind++) {
        fill_floats(j, kind == RLVR_ADV_GRPO ? "grpo" : "dr_grpo", want);
        group_advantage((rlvr_advantage)kind, reward, valid, n, got);
        for (int i = 0; i < n; i++)
            worst_advantage = fmax(worst_advantage, fabs((double)(got[i] - want[i])) / fmax(1e-30, fabs((double)want[i])));
    }
}

static void schedule_case(const rlvr__json *j)
{
    rlvr_optim_desc d;
    const char *name = rlvr__json_str(rlvr__json_get(j, "schedule"), NULL);
    memset(&d, 0, sizeof d);
    d.lr = 2e-4f;
    d.warmup_steps = (int)rlvr__json_int(rlvr__json_get(j, "warmup"), 0);
    d.total_steps = (int)rlvr__json_int(rlvr__json_get(j, "total"), 0);
    d.schedule = !strcmp(name, "cosine") ? RLVR_LR_COSINE : !strcmp(name, "linear") ? RLVR_LR_LINEAR : RLVR_LR_CONSTANT;
    int64_t step = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, "factor")) {
        double want = rlvr__json_num(v, 0) * (double)d.lr;
        if (d.schedule == RLVR_LR_COSINE && step >= d.total_steps) want = 0;      /* transformers' would rise again */
        worst_rate = fmax(worst_rate, fabs((double)rlvr_learning_rate(&d, step) - want) / (double)d.lr);
        step++;
    }
    CHECK(step > 10);
}

static void test_fixture(void)
{
    const char *path = "tests/data/learning_ref.jsonl";
    int losses = 0, advantages = 0, schedules = 0;
    rlvr__file f;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        const char *kind = rlvr__json_str(rlvr__json_get(j, "kind"), NULL);
        if (!strcmp(kind, "loss")) { loss_case(j); losses++; }
        else if (!strcmp(kind, "advantage")) { advantage_case(j); advantages++; }
        else { schedule_case(j); schedules++; }
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(losses >= 54 && advantages >= 10 && schedules >= 9);
    CHECK_LE(worst_loss, 1e-7);
    CHECK_LE(worst_grad, 1e-6);
    CHECK_LE(worst_advantage, 1e-6);
    CHECK_LE(worst_rate, 1e-6);
    REPORT("TRL: %d losses within %.1e, gradients %.1e, %d groups' advantages %.1e; transformers: %d schedules %.1e", losses, worst_loss,
           worst_grad, advantages, worst_advantage, schedules, worst_rate);
}

/* ---- finite differences ---- */

/* Ratios inside the clip, below it and above it; old == logprob as bits now and then; no ratio so near the border that a
   difference would step over it. */
static void fill(batch *b, int mask_kind)
{
    b->n_seq = SEQS;
    b->n = 0;
    for (int s = 0; s < SEQS; s++) {
        int length = s == 3 ? 0 : 1 + dice(8);
        b->offset[s] = b->n;
        b->n += length;
        b->advantage[s] = s == 1 ? 0 : (float)uniform(0.2, 2) * (s % 2 ? -1.0f : 1.0f);
    }
    b->offset[SEQS] = b->n;
    for (int i = 0; i < b->n; i++) {
        double low = log(1 - low_of(b)), high = log(1 + high_of(b)), x;
        switch (dice(4)) {
        case 0: x = 0; break;
        case 1: x = uniform(low + 0.01, high - 0.01); break;
        case 2: x = uniform(low - 0.5, low - 0.01); break;
        default: x = uniform(high + 0.01, high + 0.5);
        }
        b->old[i] = (float)uniform(-5, -0.9);
        b->logprob[i] = (float)((double)b->old[i] + x);
        b->ref[i] = (float)((double)b->logprob[i] + uniform(-1, 1));
        b->mask[i] = (unsigned char)(mask_kind == 1 ? dice(3) > 0 : 1);
    }
    b->masked = mask_kind > 0;
    for (int i = b->offset[4]; mask_kind == 2 && i < b->offset[5]; i++) b->mask[i] = 0;      /* a sequence without any token */
}

static double worst_difference;
static int sides[2][3];      /* [A < 0, A > 0][below, inside, above the clip]: every one must have been seen */

static void difference_case(const batch *b)
{
    double logprob[TOKENS], policy, largest = 0, want[TOKENS];
    float got[TOKENS];
    rlvr_loss_stats stats;
    int n_low = 0, n_high = 0, n_in = 0, outside = 0;
    double kl = 0, ratio_max = 0;
    for (int i = 0; i < TOKENS; i++) got[i] = 123;
    if (!CHECK(run(b, got, &stats) == RLVR_OK)) return;
    for (int i = 0; i < b->n; i++) logprob[i] = (double)b->logprob[i];
    CHECK_LE(fabs(stats.loss - reference(b, logprob, &policy)), 1e-12 * fmax(1, fabs(stats.loss)));
    CHECK_LE(fabs(stats.policy_loss - policy), 1e-12 * fmax(1, fabs(policy)));
    for (int i = 0; i < b->n; i++) {
        double keep = logprob[i], h = 1e-4;      /* fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h */
        logprob[i] = keep + h;      double f1 = reference(b, logprob, NULL);
        logprob[i] = keep - h;      double f2 = reference(b, logprob, NULL);
        logprob[i] = keep + 2 * h;  double f3 = reference(b, logprob, NULL);
        logprob[i] = keep - 2 * h;  double f4 = reference(b, logprob, NULL);
        logprob[i] = keep;
        want[i] = (8 * (f1 - f2) - (f3 - f4)) / (12 * h);
        largest = fmax(largest, fabs(want[i]));
        outside += !counts(b, i) && got[i] != 0;
    }
    for (int i = 0; i < b->n && largest > 0; i++) worst_difference = fmax(worst_difference, fabs((double)got[i] - want[i]) / largest);
    for (int i = b->n; i < TOKENS; i++) outside += got[i] != 123;      /* nothing behind the last token is touched */
    CHECK(outside == 0);
    for (int s = 0; s < b->n_seq; s++)
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) {
            double r = exp(logprob[i] - (double)b->old[i]), A = (double)b->advantage[s], x = logprob[i] - (double)b->ref[i];
            if (!counts(b, i)) continue;
            int side = r < 1 - low_of(b) ? 0 : r > 1 + high_of(b) ? 2 : 1;
            if (A != 0) sides[A > 0][side]++;
            n_low += A < 0 && side == 0;
            n_high += A > 0 && side == 2;
            n_in++;
            ratio_max = fmax(ratio_max, r);
            kl += b->d.kl == RLVR_KL_K1 ? x : b->d.kl == RLVR_KL_K2 ? x * x / 2 : exp(-x) - 1 + x;
        }
    CHECK(stats.n_tokens == n_in);
    CHECK_LE(fabs(stats.clip_low * n_in - n_low), 1e-9);
    CHECK_LE(fabs(stats.clip_high * n_in - n_high), 1e-9);
    CHECK_LE(fabs(stats.kl * n_in - (b->d.kl_coef != 0 ? kl : 0)), 1e-9);
    CHECK_LE(fabs(stats.ratio_max - ratio_max), 1e-12);
}

/* Any split into micro-batches, each told the whole's totals, gives the same bits, and the losses add up. */
static void split_case(const batch *b)
{
    float whole[TOKENS], parts[TOKENS];
    rlvr_loss_stats all, part;
    double loss = 0, policy = 0;
    int64_t tokens = 0, seqs = 0;
    if (!CHECK(run(b, whole, &all) == RLVR_OK)) return;
    for (int s = 0; s < b->n_seq; s++) {
        int in = 0;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) in += counts(b, i);
        seqs += in > 0;
    }
    for (int i = 0; i < TOKENS; i++) parts[i] = 321;
    for (int first = 0, last; first < b->n_seq; first = last) {
        last = first + 1 + dice(b->n_seq - first);
        CHECK(loss_of(&b->d, last - first, b->offset + first, b->logprob, b->old, b->ref, b->advantage + first,
                               b->masked ? b->mask : NULL, seqs, all.n_tokens, parts, &part) == RLVR_OK);
        loss += part.loss;
        policy += part.policy_loss;
        tokens += part.n_tokens;
    }
    CHECK(memcmp(whole, parts, (size_t)b->n * sizeof(float)) == 0);
    CHECK(tokens == all.n_tokens);
    CHECK_LE(fabs(loss - all.loss), 1e-12 * fmax(1, fabs(all.loss)));
    CHECK_LE(fabs(policy - all.policy_loss), 1e-12 * fmax(1, fabs(all.policy_loss)));
}

static void test_differences(void)
{
    static const float clips[][2] = {{0, 0}, {0.2f, 0.28f}, {0.1f, 0}, {0.05f, 0.5f}}, coefs[] = {0, 0.04f, 1.5f};
    int n = 0;
    for (int aggregation = 0; aggregation < 3; aggregation++)
        for (int kl = 0; kl < 3; kl++)
            for (int coef = 0; coef < 3; coef++)
                for (int clip = 0; clip < 4; clip++)
                    for (int mask = 0; mask < 3; mask++)
                        for (int seed = 0; seed < 3; seed++) {
                            batch b;
                            memset(&b, 0, sizeof b);
                            b.d.aggregation = (rlvr_aggregation)aggregation;
                            b.d.kl = (rlvr_kl)kl;
                            b.d.kl_coef = coefs[coef];
                            b.d.clip_eps_low = clips[clip][0];
                            b.d.clip_eps_high = clips[clip][1];
                            b.d.max_tokens = 16;
                            fill(&b, mask);
                            difference_case(&b);
                            split_case(&b);
                            n++;
                        }
    for (int sign = 0; sign < 2; sign++)
        for (int side = 0; side < 3; side++) CHECK(sides[sign][side] > 500);
    CHECK_LE(worst_difference, 2e-7);
    REPORT("finite differences: %d losses, worst gradient %.1e of the largest; tokens by side: A<0 %d %d %d, A>0 %d %d %d", n,
           worst_difference, sides[0][0], sides[0][1], sides[0][2], sides[1][0], sides[1][1], sides[1][2]);
}

/* ---- the whole matrix: surrogate x aggregation x regularisers x mask, once more as the formulas say ---- */

typedef struct matrix {
    batch b;
    float behaviour[TOKENS], entropy[TOKENS], token_advantage[TOKENS];
    unsigned char right[SEQS], demo[SEQS], selected[TOKENS];
    bool by_token, demos;
    rlvr_token_loss_fn fn;
} matrix;

/* A surrogate of the caller's: the square of r's distance from 1, towards A. */
static void own_loss(void *user, const rlvr_token *t, double *value, double *slope)
{
    (void)user;
    *value = -t->advantage * (t->ratio - 0.5 * (t->ratio - 1) * (t->ratio - 1));
    *slope = -t->advantage * (1 - (t->ratio - 1)) * t->ratio;
}

static int n_left_out;      /* sequences, by the last call of matrix_loss */

static double or_else(float x, double otherwise) { return x == 0 ? otherwise : (double)x; }

/* The loss at `logprob`, whose gradient holds what stop-gradients hold at `at`, the point that is looked at. */
static double matrix_loss(const matrix *m, const double *logprob, const double *at, const double *entropy)
{
    const batch *b = &m->b;
    const rlvr_loss_desc *d = &b->d;
    bool cispo = d->kind == RLVR_LOSS_CISPO, gmpo = d->kind == RLVR_LOSS_GMPO && !d->fn;
    double low = or_else(d->clip_eps_low, cispo ? 1 : gmpo ? 1 - exp(-0.4) : (double)0.2f);
    double high = or_else(d->clip_eps_high, cispo ? 4 : gmpo ? exp(0.4) - 1 : low);
    double loss = 0, cap = or_else(d->is_cap, 2), gamma = or_else(d->demo_gamma, (double)0.1f);
    int tokens = 0, seqs = 0, right_tokens = 0;
    n_left_out = 0;
    for (int s = 0; s < b->n_seq; s++) {
        int in = 0;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) in += counts(b, i);
        tokens += in;
        seqs += in > 0;
        right_tokens += m->right[s] ? in : 0;
    }
    for (int s = 0; s < b->n_seq; s++) {
        int in = 0;
        double mean_log = 0, mean_at = 0, mean_clipped = 0, off = 0, apart = 0, from_ref = 0;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) {
            if (!counts(b, i)) continue;
            in++;
            mean_log += logprob[i] - (double)b->old[i];
            mean_at += at[i] - (double)b->old[i];
            from_ref += logprob[i] - (double)b->ref[i];
            double moved = logprob[i] - (double)b->old[i];      /* gmpo: by the sign of A, each token on its own */
            mean_clipped += b->advantage[s] > 0 ? fmin(moved, log(1 + high)) : b->advantage[s] < 0 ? fmax(moved, log(1 - low)) : moved;
            off += (double)b->old[i] - (double)m->behaviour[i];
            double p = exp((double)m->behaviour[i]), q = exp(at[i]), other_p = 1 - p, other_q = 1 - q;
            apart += p * log(p / q) + other_p * log(other_p / other_q);
        }
        if (!in) continue;
        mean_log /= in;
        mean_at /= in;
        mean_clipped /= in;
        apart /= in;
        bool stale = d->stale_kl > 0 && b->advantage[s] < 0 && -mean_at > (double)d->stale_kl;
        stale |= d->trust_kl > 0 && !(m->demos && m->demo[s]) && apart > (double)d->trust_kl;
        n_left_out += stale;
        double scale = d->aggregation == RLVR_AGG_TOKEN_MEAN ? 1.0 / tokens : d->aggregation == RLVR_AGG_SEQ_MEAN_TOKEN_MEAN ? 1.0 / in / seqs :
                       d->aggregation == RLVR_AGG_SEQ_MEAN_TOKEN_SUM ? 1.0 / seqs : 1.0 / seqs / d->max_tokens;
        for (int i = b->offset[s]; i < b->offset[s + 1]; i++) {
            if (!counts(b, i)) continue;
            double A = (double)(m->by_token ? m->token_advantage[i] : b->advantage[s]), r = exp(logprob[i] - (double)b->old[i]), value = 0;
            double held = fmin(fmax(exp(at[i] - (double)b->old[i]), 1 - low), 1 + high), w = 1, x = logprob[i] - (double)b->ref[i];
            double token_w = exp((double)b->old[i] - (double)m->behaviour[i]);
            if (d->correction == RLVR_IS_TOKEN_TRUNCATE) w = fmin(token_w, cap);
            if (d->correction == RLVR_IS_TOKEN_MASK) w = token_w <= cap ? token_w : 0;
            if (d->correction == RLVR_IS_SEQUENCE_TRUNCATE) w = fmin(exp(off), cap);
            if (d->correction == RLVR_IS_SEQUENCE_MASK) w = exp(off) <= cap ? exp(off) : 0;
            if (d->kind == RLVR_LOSS_GSPO) r = exp(mean_log);
            if (d->kind == RLVR_LOSS_GSPO_TOKEN) r = exp(mean_at + logprob[i] - at[i]);
            double clipped = fmin(fmax(r, 1 - low), 1 + high), tau = A > 0 ? or_else(d->sapo_tau_positive, 1) : or_else(d->sapo_tau_negative, (double)1.05f);
            if (m->demos && m->demo[s]) { w = 1; value = -exp(logprob[i]) / (exp(logprob[i]) + gamma) * A; }
            else if (d->fn) value = -A * (r - 0.5 * (r - 1) * (r - 1));
            else if (d->kind == RLVR_LOSS_REINFORCE) value = -A * logprob[i];
            else if (d->kind == RLVR_LOSS_CISPO) value = -held * A * logprob[i];
            else if (d->kind == RLVR_LOSS_VESPO) {
                double W = exp(mean_at * in), k = A > 0 ? or_else(d->vespo_k_positive, 2) : or_else(d->vespo_k_negative, 3);
                double lambda = A > 0 ? or_else(d->vespo_lambda_positive, 3) : or_else(d->vespo_lambda_negative, 2);
                value = -pow(W, k) * exp(lambda * (1 - W)) * A * logprob[i];
            }
            else if (d->kind == RLVR_LOSS_A2PO) value = pow(or_else(d->a2po_beta, (double)1e-3f) * from_ref - A, 2) / in;
            else if (gmpo) value = -A * exp(mean_clipped);
            else if (d->kind == RLVR_LOSS_SAPO) value = -4 / tau / (1 + exp(-tau * (r - 1))) * A;
            else {
                value = -fmin(r * A, clipped * A);
                if (d->dual_clip > 0 && A < 0) value = fmin(value, -(double)d->dual_clip * A);
            }
            if (stale) w = 0;
            bool frozen = m->selected[i] && d->kl_cov_coef == 0;      /* its value counts, its slope does not: taken out here */
            if (!frozen) loss += scale * w * value;
            if (m->selected[i] && d->kl_cov_coef != 0) loss += scale * (double)d->kl_cov_coef * fabs(logprob[i] - (double)b->old[i]);
            double k = d->kl == RLVR_KL_K1 ? x : d->kl == RLVR_KL_K2 ? x * x / 2 : exp(-x) - 1 + x;
            loss += scale * ((double)d->kl_coef * k - (double)d->entropy_coef * entropy[i]);
            if (m->right[s]) loss -= (double)d->nll_coef * logprob[i] / right_tokens;
        }
    }
    return loss;
}

static double worst_matrix;
static int n_matrix, n_trusted[2];

static void matrix_case(matrix *m)
{
    double logprob[TOKENS], at[TOKENS], entropy[TOKENS], largest = 0, want[TOKENS];
    float got[TOKENS], dentropy[TOKENS];
    rlvr_loss_stats stats, part;
    rlvr_loss_batch b;
    memset(&b, 0, sizeof b);
    b.n_seq = m->b.n_seq;
    b.offset = m->b.offset;
    b.logprob = m->b.logprob;
    b.old_logprob = m->b.old;
    b.ref_logprob = m->b.ref;
    b.behaviour_logprob = m->behaviour;
    b.advantage = m->b.advantage;
    b.token_advantage = m->by_token ? m->token_advantage : NULL;
    b.entropy = m->entropy;
    b.mask = m->b.masked ? m->b.mask : NULL;
    b.right = m->right;
    b.demo = m->demos ? m->demo : NULL;
    b.selected = m->selected;
    if (!CHECK(rlvr_policy_loss(&m->b.d, &b, got, dentropy, &stats) == RLVR_OK)) { REPORT("%s", rlvr_loss_problem(&m->b.d, &b)); return; }
    for (int i = 0; i < m->b.n; i++) { at[i] = logprob[i] = (double)m->b.logprob[i]; entropy[i] = (double)m->entropy[i]; }
    for (int i = 0; i < m->b.n; i++) {
        double f[4], h = 1e-4;
        for (int k = 0; k < 4; k++) {
            logprob[i] = at[i] + (k % 2 ? -h : h) * (k / 2 + 1);
            f[k] = matrix_loss(m, logprob, at, entropy);
        }
        logprob[i] = at[i];
        want[i] = (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h);
        largest = fmax(largest, fabs(want[i]));
    }
    for (int i = 0; i < m->b.n && largest > 0; i++) worst_matrix = fmax(worst_matrix, fabs((double)got[i] - want[i]) / largest);
    double here = matrix_loss(m, logprob, at, entropy);
    CHECK(stats.n_stale == n_left_out);
    if (m->b.d.trust_kl > 0) { n_trusted[0] += n_left_out; n_trusted[1] += m->b.n_seq - n_left_out; }
    for (int i = 0; i < m->b.n; i++) {      /* the loss is linear in the entropies */
        entropy[i] += 1;
        double slope = matrix_loss(m, logprob, at, entropy) - here;
        entropy[i] -= 1;
        CHECK_LE(fabs((double)dentropy[i] - slope), 1e-7);
    }
    bool frozen = false;
    for (int i = 0; i < m->b.n; i++) frozen |= m->selected[i] && m->b.d.kl_cov_coef == 0;
    if (!frozen) CHECK_LE(fabs(stats.loss - here), 1e-10 * fmax(1, fabs(here)));
    /* any split into micro-batches that are told the totals gives the same bits */
    float parts[TOKENS];
    double sum = 0;
    rlvr_loss_batch piece = b;
    for (int s = 0; s < m->b.n_seq; s++) {
        int in = 0;
        for (int i = b.offset[s]; i < b.offset[s + 1]; i++) in += counts(&m->b, i);
        piece.n_seq_total += in > 0;
        piece.n_right_total += m->right[s] ? in : 0;
    }
    piece.n_tokens_total = stats.n_tokens;
    for (int first = 0, last; first < m->b.n_seq; first = last) {
        last = first + 1 + dice(m->b.n_seq - first);
        piece.n_seq = last - first;
        piece.offset = b.offset + first;
        piece.advantage = b.advantage + first;
        piece.right = m->right + first;
        piece.demo = m->demos ? m->demo + first : NULL;
        CHECK(rlvr_policy_loss(&m->b.d, &piece, parts, NULL, &part) == RLVR_OK);
        sum += part.loss;
    }
    CHECK(memcmp(parts, got, (size_t)m->b.n * sizeof(float)) == 0);
    CHECK_LE(fabs(sum - stats.loss), 1e-10 * fmax(1, fabs(stats.loss)));
    n_matrix++;
}

static void test_matrix(void)
{
    for (int kind = 0; kind <= RLVR_LOSS_KIND_COUNT; kind++)      /* the last: the caller's own */
        for (int aggregation = 0; aggregation < RLVR_AGG_COUNT; aggregation++)
            for (int extra = 0; extra < 8; extra++)
                for (int mask = 0; mask < 3; mask++)
                    for (int seed = 0; seed < 2; seed++) {
                        static const float duals[] = {0, 1.5f, 3};
                        matrix m;
                        bool clips = kind == RLVR_LOSS_CLIP || kind == RLVR_LOSS_GSPO || kind == RLVR_LOSS_GSPO_TOKEN;
                        memset(&m, 0, sizeof m);
                        m.b.d.kind = (rlvr_loss_kind)(kind % RLVR_LOSS_KIND_COUNT);
                        m.b.d.fn = kind == RLVR_LOSS_KIND_COUNT ? own_loss : NULL;
                        m.b.d.aggregation = (rlvr_aggregation)aggregation;
                        m.b.d.max_tokens = 16;
                        m.b.d.dual_clip = clips ? duals[(extra + seed) % 3] : 0;
                        if (extra == 6 && seed) { m.b.d.vespo_k_positive = 1.5f; m.b.d.vespo_lambda_positive = 0.4f; }
                        if (extra == 6 && seed) { m.b.d.vespo_k_negative = 0.7f; m.b.d.vespo_lambda_negative = 1; }
                        if (kind == RLVR_LOSS_A2PO) m.b.d.a2po_beta = seed ? 0.3f : 0;
                        if (extra == 1) { m.b.d.kl_coef = 0.3f; m.b.d.kl = (rlvr_kl)(mask % 3); }
                        if (extra == 2) { m.b.d.entropy_coef = 0.02f; m.b.d.nll_coef = 0.1f; }
                        if (extra >= 3 && extra <= 6) { m.b.d.correction = (rlvr_correction)(extra - 2); m.b.d.is_cap = seed ? 1.3f : 0; }
                        if (extra == 6) { m.b.d.trust_kl = 0.05f; m.demos = seed == 1; }
                        if (extra == 7) { m.demos = true; m.b.d.kl_cov_coef = seed ? 0.5f : 0; m.b.d.stale_kl = 0.15f; }
                        m.by_token = kind != RLVR_LOSS_GSPO && kind != RLVR_LOSS_GMPO && kind != RLVR_LOSS_A2PO && seed == 1 && extra != 7;
                        fill(&m.b, mask);
                        for (int s = 0; s < SEQS; s++) { m.right[s] = (unsigned char)dice(2); m.demo[s] = (unsigned char)(dice(3) == 0); }
                        for (int i = 0; i < m.b.n; i++) {
                            m.behaviour[i] = fminf(m.b.old[i] + (float)uniform(-1, 1), -0.01f);
                            m.entropy[i] = (float)uniform(0, 3);
                            m.token_advantage[i] = (float)uniform(0.2, 2) * (dice(2) ? 1.0f : -1.0f);
                            m.selected[i] = (unsigned char)(extra == 7 && dice(4) == 0 && fabsf(m.b.logprob[i] - m.b.old[i]) > 1e-3f);
                        }
                        bool near = false;      /* a difference must not step over a sequence's own border */
                        for (int s = 0; s < SEQS; s++) {
                            double log_ratio = 0, borders[] = {log(0.8), log(1.2), log(1.5), log(3), -0.15, -0.4, 0.4};
                            int in = 0;
                            for (int i = m.b.offset[s]; i < m.b.offset[s + 1]; i++)
                                if (counts(&m.b, i)) { log_ratio += (double)m.b.logprob[i] - (double)m.b.old[i]; in++; }
                            for (int k = 0; k < 5; k++) near |= in && fabs(log_ratio / in - borders[k]) < 1e-3;
                            for (int i = m.b.offset[s]; i < m.b.offset[s + 1]; i++)
                                for (int k = 2; k < 7; k += k == 3 ? 2 : 1) near |= fabs((double)m.b.logprob[i] - (double)m.b.old[i] - borders[k]) < 1e-3;
                        }
                        if (!near) matrix_case(&m);
                    }
    CHECK(n_matrix > 1200);
    CHECK(n_trusted[0] > 50 && n_trusted[1] > 50);
    CHECK_LE(worst_matrix, 1e-6);
    REPORT("loss matrix: %d of surrogate x aggregation x regulariser x mask, worst gradient %.1e of the largest; trust_kl left out %d of %d sequences",
           n_matrix, worst_matrix, n_trusted[0], n_trusted[0] + n_trusted[1]);
}

/* What does not go together is refused, with the reason. */
static void test_problems(void)
{
    rlvr_loss_desc d;
    float x[] = {-1, -2}, a[] = {1}, got[2];
    int offset[] = {0, 2};
    rlvr_loss_batch b;
    memset(&b, 0, sizeof b);
    b.n_seq = 1;
    b.offset = offset;
    b.logprob = b.old_logprob = x;
    b.advantage = a;
#define PROBLEM(set, word) do { memset(&d, 0, sizeof d); set; got[0] = 9; CHECK(rlvr_policy_loss(&d, &b, got, NULL, NULL) == RLVR_ERROR_ARGUMENT); \
        CHECK(got[0] == 0); CHECK(rlvr_loss_problem(&d, &b) && strstr(rlvr_loss_problem(&d, &b), word)); } while (0)
    PROBLEM(d.kind = (rlvr_loss_kind)77, "kind");
    PROBLEM((d.kind = RLVR_LOSS_SAPO, d.dual_clip = 3), "dual_clip");
    PROBLEM(d.vespo_k_negative = -1, "vespo_k");
    PROBLEM(d.vespo_lambda_positive = NAN, "vespo_lambda");
    PROBLEM(d.dual_clip = 0.5f, "dual_clip");
    PROBLEM(d.trust_kl = NAN, "trust_kl");
    PROBLEM(d.correction = RLVR_IS_TOKEN_MASK, "behaviour_logprob");
    PROBLEM(d.kl_coef = 1, "ref_logprob");
    PROBLEM(d.kind = RLVR_LOSS_A2PO, "ref_logprob");
    PROBLEM(d.a2po_beta = -1, "a2po_beta");
    PROBLEM(d.aggregation = RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM, "max_tokens");
    b.token_advantage = x;
    PROBLEM(d.kind = RLVR_LOSS_GSPO, "gspo_token");
    b.advantage = NULL;
    PROBLEM(d.stale_kl = 1, "advantage");
    b.token_advantage = NULL;
    PROBLEM((void)0, "advantage");
#undef PROBLEM
    for (int k = 0; k < RLVR_LOSS_KIND_COUNT; k++) CHECK(rlvr_loss_name((rlvr_loss_kind)k) != NULL);
    CHECK(rlvr_loss_name(RLVR_LOSS_KIND_COUNT) == NULL);
}

/* Over a known distribution, exactly: k1 in the loss has zero mean gradient, k2's is that of the divergence, k3 is never
   negative and its mean is the divergence. */
static void test_kl_facts(void)
{
    enum { V = 5 };
    double z[V], q[V], p[V], sum = 0, divergence = 0, mean[3] = {0}, worst[3] = {0};
    for (int round = 0; round < 50; round++) {
        sum = divergence = 0;
        double zsum = 0;
        for (int v = 0; v < V; v++) { z[v] = uniform(-2, 2); q[v] = exp(uniform(-2, 2)); sum += q[v]; zsum += exp(z[v]); }
        for (int v = 0; v < V; v++) { p[v] = exp(z[v]) / zsum; q[v] /= sum; divergence += p[v] * log(p[v] / q[v]); }
        memset(mean, 0, sizeof mean);
        for (int kl = 0; kl < 3; kl++) {
            double grad[V] = {0};      /* of the mean, by the logits: sum_v p_v slope_v (delta - p) */
            for (int v = 0; v < V; v++) {
                double slope, k = rlvr__kl_of((rlvr_kl)kl, log(p[v] / q[v]), &slope);
                mean[kl] += p[v] * k;
                if (kl == RLVR_KL_K3) CHECK(k >= 0);
                for (int u = 0; u < V; u++) grad[u] += p[v] * slope * ((u == v) - p[u]);
            }
            for (int u = 0; u < V; u++) {
                double true_grad = p[u] * (log(p[u] / q[u]) - divergence);
                if (kl == RLVR_KL_K1) worst[kl] = fmax(worst[kl], fabs(grad[u]));
                if (kl == RLVR_KL_K2) worst[kl] = fmax(worst[kl], fabs(grad[u] - true_grad));
            }
        }
        worst[0] = fmax(worst[0], fabs(mean[RLVR_KL_K3] - divergence));
        worst[0] = fmax(worst[0], fabs(mean[RLVR_KL_K1] - divergence));
    }
    for (int k = 0; k < 3; k++) CHECK_LE(worst[k], 1e-12);
    double slope;
    CHECK(rlvr__kl_of(RLVR_KL_K3, -1000, &slope) == rlvr__kl_of(RLVR_KL_K3, -20, &slope) && rlvr__kl_of(RLVR_KL_K1, 1e9, &slope) == 20 && slope == 0);
    /* as a part of the reward */
    float logprob[] = {-1, -2}, ref[] = {-1.5f, -2}, reward[] = {0, 1};
    rlvr_kl_reward(RLVR_KL_K1, 0.1f, logprob, ref, 2, reward);
    CHECK_LE(fabs((double)reward[0] + 0.05), 1e-7);
    CHECK(reward[1] == 1);
    CHECK(rlvr_adapt_kl(1, 0.1, 0.1, 64, 1000) == 1 && rlvr_adapt_kl(1, 9, 0.1, 100, 1000) == 1.02f && rlvr_adapt_kl(1, 0, 0.1, 100, 1000) == 0.98f);
    CHECK(rlvr_adapt_entropy(0.01f, 0.1, 0.2, 0.005f) > 0.01f && rlvr_adapt_entropy(0.001f, 0.5, 0.2, 0.005f) == 0);
    /* covariance: the confident token of a good answer first */
    float lp[] = {-0.01f, -3, -0.02f, -2, -5, -0.5f}, A[] = {2, 2, -1, -1, 2, -1}, scratch[12];
    unsigned char selected[6], mask[] = {1, 1, 1, 1, 0, 1};
    CHECK(rlvr_covariance_select(lp, A, mask, 6, 0.2f, scratch, selected) == 1);
    CHECK(selected[0] && !selected[1] && !selected[2] && !selected[3] && !selected[4] && !selected[5]);
    CHECK(rlvr_covariance_select(lp, A, NULL, 6, 0, scratch, selected) == 0 && !selected[0]);
}

/* ---- through a softmax: logits -> log-probabilities -> loss, down to the sign of a step ---- */

enum { VOCAB = 7, LENGTH = 5 };
static void softmax_logprobs(const double *logits, const int *token, int n, double *out)
{
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int v = 0; v < VOCAB; v++) sum += exp(logits[i * VOCAB + v]);
        out[i] = logits[i * VOCAB + token[i]] - log(sum);
    }
}

static void test_softmax(void)
{
    batch b;
    double logits[TOKENS * VOCAB] = {0}, logprob[TOKENS] = {0}, worst = 0;
    int token[TOKENS] = {0};
    memset(&b, 0, sizeof b);
    b.n_seq = 4;
    b.d.kl_coef = 0.1f;
    b.d.aggregation = RLVR_AGG_SEQ_MEAN_TOKEN_MEAN;
    for (int s = 0; s <= b.n_seq; s++) b.offset[s] = s * LENGTH;
    b.n = b.n_seq * LENGTH;
    for (int s = 0; s < b.n_seq; s++) b.advantage[s] = s % 2 ? -0.7f : 0.9f;
    for (int i = 0; i < b.n; i++) token[i] = dice(VOCAB);
    for (int i = 0; i < b.n * VOCAB; i++) logits[i] = uniform(-1, 1);
    softmax_logprobs(logits, token, b.n, logprob);
    for (int i = 0; i < b.n; i++) { b.logprob[i] = b.old[i] = (float)logprob[i]; b.ref[i] = b.old[i] + (float)uniform(-.3, .3); }
    float dlogprob[TOKENS];
    rlvr_loss_stats stats;
    CHECK(run(&b, dlogprob, &stats) == RLVR_OK);
    CHECK(stats.ratio_max == 1);
    double before = reference(&b, logprob, NULL), step[TOKENS * VOCAB];
    for (int i = 0; i < b.n; i++)
        for (int v = 0; v < VOCAB; v++) {
            double *z = &logits[i * VOCAB + v], keep = *z, h = 1e-5, p, up, down;
            *z = keep + h;
            softmax_logprobs(logits, token, b.n, logprob);
            up = reference(&b, logprob, NULL);
            *z = keep - h;
            softmax_logprobs(logits, token, b.n, logprob);
            down = reference(&b, logprob, NULL);
            *z = keep;
            double sum = 0;
            for (int u = 0; u < VOCAB; u++) sum += exp(logits[i * VOCAB + u]);
            p = exp(keep) / sum;
            step[i * VOCAB + v] = (double)dlogprob[i] * ((v == token[i]) - p);
            worst = fmax(worst, fabs(step[i * VOCAB + v] - (up - down) / (2 * h)));
        }
    CHECK_LE(worst, 1e-7);
    for (int i = 0; i < b.n * VOCAB; i++) logits[i] -= 0.05 * step[i];      /* descent lowers the loss ... */
    softmax_logprobs(logits, token, b.n, logprob);
    CHECK(reference(&b, logprob, NULL) < before);
    b.d.kl_coef = 0;
    CHECK(run(&b, dlogprob, &stats) == RLVR_OK);
    for (int i = 0; i < b.n; i++) CHECK(b.advantage[i / LENGTH] > 0 ? dlogprob[i] < 0 : dlogprob[i] > 0);      /* ... and raises what was good */
    REPORT("softmax chain: worst difference %.1e", worst);
}

/* ---- exactness ---- */

static void test_exactness(void)
{
    rlvr_loss_desc d;
    rlvr_loss_stats stats;
    int offset[] = {0, 2, 4};
    float logprob[] = {-0.1f, -7.3f, -2.5f, 0}, advantage[] = {1.5f, -2}, got[4];
    memset(&d, 0, sizeof d);
    /* same bits: the ratio is 1, the gradient -A / n to the last bit */
    CHECK(loss_of(&d, 2, offset, logprob, logprob, NULL, advantage, NULL, 0, 0, got, &stats) == RLVR_OK);
    CHECK(stats.ratio_max == 1 && stats.clip_low == 0 && stats.clip_high == 0 && stats.kl == 0);
    CHECK(got[0] == -0.375f && got[1] == -0.375f && got[2] == 0.5f && got[3] == 0.5f);
    CHECK(stats.loss == -(1.5 * 2 - 2 * 2) / 4);
    /* a tie at the clip's border has the unclipped gradient: 1 + 1e-30 is 1 */
    d.clip_eps_low = d.clip_eps_high = 1e-30f;
    CHECK(loss_of(&d, 2, offset, logprob, logprob, NULL, advantage, NULL, 0, 0, got, &stats) == RLVR_OK);
    CHECK(got[0] == -0.375f && got[2] == 0.5f && stats.clip_low == 0 && stats.clip_high == 0);
    /* an advantage of zero everywhere: no gradient and no loss, not even a rounding's */
    float zero[2] = {0, 0}, old[] = {-0.3f, -7.2f, -2.4f, -0.1f};
    memset(&d, 0, sizeof d);
    CHECK(loss_of(&d, 2, offset, logprob, old, NULL, zero, NULL, 0, 0, got, &stats) == RLVR_OK);
    for (int i = 0; i < 4; i++) CHECK(got[i] == 0);
    CHECK(stats.loss == 0);
    /* the KL alone pulls towards the reference, and is zero where the policy is it */
    d.kl_coef = 1;
    for (int kl = 0; kl < 3; kl++) {
        d.kl = (rlvr_kl)kl;
        CHECK(loss_of(&d, 2, offset, logprob, logprob, logprob, zero, NULL, 0, 0, got, &stats) == RLVR_OK);
        CHECK(stats.kl == 0 && got[0] == (kl == RLVR_KL_K1 ? 0.25f : 0));
        CHECK(loss_of(&d, 2, offset, logprob, logprob, old, zero, NULL, 0, 0, got, &stats) == RLVR_OK);
        if (kl != RLVR_KL_K1) CHECK(got[0] > 0 && got[1] < 0);
    }
    /* the mask alone decides: what lies outside it may be anything, and no denominator counts it */
    unsigned char mask[] = {0, 1, 1, 0};
    float wild[] = {NAN, -7.3f, -2.5f, INFINITY};
    memset(&d, 0, sizeof d);
    CHECK(loss_of(&d, 2, offset, wild, wild, NULL, advantage, mask, 0, 0, got, &stats) == RLVR_OK);
    CHECK(stats.n_tokens == 2 && got[0] == 0 && got[1] == -0.75f && got[2] == 1 && got[3] == 0);
    /* nothing under the mask, or nothing at all */
    memset(mask, 0, sizeof mask);
    CHECK(loss_of(&d, 2, offset, wild, wild, NULL, advantage, mask, 0, 0, got, &stats) == RLVR_OK);
    CHECK(stats.n_tokens == 0 && stats.loss == 0 && got[1] == 0);
    CHECK(loss_of(&d, 0, offset, wild, wild, NULL, advantage, mask, 0, 0, got, NULL) == RLVR_OK);
    /* a huge ratio is cut where the advantage is good and honest where it is bad */
    float far_old[] = {-90, -90, -90, -90};
    advantage[1] = 1;
    CHECK(loss_of(&d, 2, offset, logprob, far_old, NULL, advantage, NULL, 0, 0, got, &stats) == RLVR_OK);
    CHECK(stats.clip_high == 1 && got[0] == 0 && stats.loss == -(1 + (double)0.2f) * 1.25);
}

static void test_bad_input(void)
{
    rlvr_loss_desc d;
    rlvr_loss_stats stats;
    int offset[] = {0, 2, 4}, back[] = {0, 3, 2}, below[] = {-1, 2, 4};
    float good[] = {-1, -2, -3, -4}, advantage[] = {1, -1}, got[4];
    const float wild[] = {NAN, INFINITY, -INFINITY};
    memset(&d, 0, sizeof d);
    d.kl_coef = 0.1f;
    for (int which = 0; which < 4; which++)
        for (int w = 0; w < 3; w++) {
            float a[4], b[4], c[4], A[2];
            memcpy(a, good, sizeof a); memcpy(b, good, sizeof b); memcpy(c, good, sizeof c); memcpy(A, advantage, sizeof A);
            if (which == 0) a[2] = wild[w]; else if (which == 1) b[2] = wild[w]; else if (which == 2) c[2] = wild[w]; else A[1] = wild[w];
            for (int i = 0; i < 4; i++) got[i] = 9;
            CHECK(loss_of(&d, 2, offset, a, b, c, A, NULL, 0, 0, got, &stats) == RLVR_ERROR_NUMERIC);
            for (int i = 0; i < 4; i++) CHECK(got[i] == 0);
            CHECK(stats.loss == 0 && stats.n_tokens == 0);
        }
    float old[] = {-1, -1e4f, -3, -4};      /* finite, but the ratio is not: the advantage is bad, nothing cuts it */
    CHECK(loss_of(&d, 1, offset, good, old, good, advantage + 1, NULL, 0, 0, got, &stats) == RLVR_ERROR_NUMERIC);
    CHECK(loss_of(&d, 2, offset, good, good, NULL, advantage, NULL, 0, 0, got, &stats) == RLVR_ERROR_ARGUMENT);
    CHECK(loss_of(&d, 2, back, good, good, good, advantage, NULL, 0, 0, got, &stats) == RLVR_ERROR_ARGUMENT);
    CHECK(loss_of(&d, 2, below, good, good, good, advantage, NULL, 0, 0, got, &stats) == RLVR_ERROR_ARGUMENT);
    CHECK(loss_of(&d, -1, offset, good, good, good, advantage, NULL, 0, 0, got, &stats) == RLVR_ERROR_ARGUMENT);
    for (int which = 0; which < 8; which++) {
        rlvr_loss_desc bad = d;
        if (which == 0) bad.clip_eps_low = -0.1f;
        if (which == 1) bad.clip_eps_high = -0.1f;
        if (which == 2) bad.clip_eps_low = NAN;
        if (which == 3) bad.kl_coef = NAN;
        if (which == 4) bad.aggregation = RLVR_AGG_COUNT;
        if (which == 5) bad.kl = (rlvr_kl)3;
        if (which == 6) { bad.aggregation = RLVR_AGG_SEQ_MEAN_TOKEN_SUM_NORM; bad.max_tokens = 0; }
        if (which == 7) bad.kl_coef = INFINITY;
        for (int i = 0; i < 4; i++) got[i] = 9;
        CHECK(loss_of(&bad, 2, offset, good, good, good, advantage, NULL, 0, 0, got, &stats) == RLVR_ERROR_ARGUMENT);
        for (int i = 0; i < 4; i++) CHECK(got[i] == 0);
    }
    CHECK(loss_of(&d, 2, offset, good, good, good, advantage, NULL, 0, 0, got, NULL) == RLVR_OK);
}

/* ---- advantages ---- */

static int advantages(rlvr_rollouts *r, rlvr_advantage kind)
{
    rlvr_advantage_desc d;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    return rlvr_advantages(r, &d);
}

/* C(n, k) as a double, counted by Pascal's rule. */
static double choose(int n, int k) { return k < 0 || k > n ? 0 : k == 0 ? 1 : choose(n - 1, k - 1) + choose(n - 1, k); }

/* Each estimator once more, as its formula is written, over all of the batch; in[i]: it has a reward. */
static void naive_advantages(rlvr_advantage kind, const rlvr_advantage_batch *b, const bool *in, int k, double *out)
{
    int n = b->n_groups * b->group_size, G = b->group_size, n_in = 0;
    double batch_sum = 0, tokens = 0, token_sum = 0, token_square = 0;
    for (int i = 0; i < n; i++) {
        out[i] = 0;
        if (!in[i]) continue;
        n_in++;
        batch_sum += (double)b->reward[i];
        tokens += b->length[i];
        token_sum += b->length[i] * (double)b->reward[i];
    }
    for (int i = 0; i < n; i++) token_square += in[i] ? b->length[i] * pow((double)b->reward[i] - token_sum / tokens, 2) : 0;
    for (int i = 0; i < n; i++) {
        int first = i / G * G, m = 0, right = 0;
        double sum = 0, square = 0, length = 0, weighted = 0, R = (double)b->reward[i];
        bool equal = true;
        for (int j = first; j < first + G; j++) {
            if (!in[j]) continue;
            m++;
            sum += (double)b->reward[j];
            length += b->length[j];
            weighted += b->length[j] * (double)b->reward[j];
            right += b->reward[j] >= 0.5f;
            equal &= b->reward[j] == b->reward[i];
        }
        for (int j = first; j < first + G; j++) square += in[j] ? pow((double)b->reward[j] - sum / m, 2) : 0;
        if (!in[i]) continue;
        if (kind == RLVR_ADV_REMAX || kind == RLVR_ADV_A2PO || kind == RLVR_ADV_SPO) { out[i] = R - (double)b->baseline[i / G]; continue; }
        if (kind == RLVR_ADV_REINFORCE) { out[i] = R - batch_sum / n_in; continue; }
        if (kind == RLVR_ADV_REINFORCE_PP) { out[i] = (R - token_sum / tokens) / (sqrt(token_square / tokens) + 1e-4); continue; }
        if (equal) continue;
        switch (kind) {
        case RLVR_ADV_GRPO: out[i] = (R - sum / m) / (sqrt(square / (m - 1)) + 1e-4); break;
        case RLVR_ADV_RLOO: out[i] = R - (sum - R) / (m - 1); break;
        case RLVR_ADV_MAXRL: out[i] = sum > 0 ? (R - sum / m) / (sum / m) : 0; break;
        case RLVR_ADV_OPO: out[i] = R - weighted / length; break;
        case RLVR_ADV_PASS_AT_K: {      /* sets of k that hold i, and all sets, counted */
            int K = k < m ? k : m;
            double all = 1 - choose(m - right, K) / choose(m, K), own = R >= 0.5 ? 1 : 1 - choose(m - right - 1, K - 1) / choose(m - 1, K - 1);
            out[i] = all > 0 && all < 1 ? (own - all) / sqrt(all * (1 - all)) : 0;
            break;
        }
        default: out[i] = R - sum / m;      /* dr_grpo, and what is whitened below */
        }
    }
    double sum = 0, square = 0, weight = 0;
    if (kind == RLVR_ADV_SPO) {
        for (int i = 0; i < n; i++) sum += out[i] / n_in;
        for (int i = 0; i < n; i++) square += in[i] ? pow(out[i] - sum, 2) / (n_in - 1) : 0;
        for (int i = 0; i < n; i++) if (in[i]) out[i] = (out[i] - sum) / (sqrt(square) + 1e-4);
    }
    if (kind != RLVR_ADV_REINFORCE_PP_BASELINE) return;
    for (int i = 0; i < n; i++) if (out[i] != 0) { weight += b->length[i]; sum += b->length[i] * out[i]; }
    for (int i = 0; i < n; i++) square += out[i] != 0 ? b->length[i] * pow(out[i] - sum / weight, 2) : 0;
    for (int i = 0; i < n; i++) if (out[i] != 0) out[i] = (out[i] - sum / weight) / (sqrt(square / weight) + 1e-4);
}

static void test_estimators(void)
{
    enum { GROUPS = 5, SIZE = 6, N = GROUPS * SIZE };
    float reward[N], greedy[GROUPS], got[N];
    double want[N], worst = 0;
    int length[N], n_cases = 0;
    bool valid[N];
    for (int kind = 0; kind < RLVR_ADVANTAGE_COUNT; kind++)
        for (int round = 0; round < 60; round++) {
            rlvr_advantage_desc d;
            rlvr_advantage_batch b = {GROUPS, SIZE, reward, valid, length, greedy, NULL, NULL, 0, NULL, NULL, NULL, NULL};
            memset(&d, 0, sizeof d);
            d.kind = (rlvr_advantage)kind;
            d.k = round % 4 + 1;
            for (int i = 0; i < N; i++) {
                reward[i] = round % 3 == 0 ? (float)uniform(-2, 2) : (float)dice(2);
                length[i] = 1 + dice(30);
                valid[i] = dice(8) > 0;
            }
            for (int i = 0; i < SIZE; i++) reward[i] = reward[0];      /* a group without signal in every batch */
            for (int g = 0; g < GROUPS; g++) greedy[g] = (float)dice(2);
            if (kind == RLVR_ADV_GDPO || kind == RLVR_ADV_OPTIMAL_TOKEN || kind == RLVR_ADV_DISCO) continue;      /* of their own below */
            CHECK(rlvr_advantage_of(&d, &b, got) == RLVR_OK);
            naive_advantages(d.kind, &b, valid, d.k, want);
            for (int i = 0; i < N; i++) worst = fmax(worst, fabs((double)got[i] - want[i]) / fmax(1, fabs(want[i])));
            for (int i = 0; i < N; i++) CHECK(valid[i] || got[i] == 0);
            /* scales, and a sign that is not used */
            d.negative_scale = 0.5f;
            d.positive_scale = -1;
            float scaled[N];
            CHECK(rlvr_advantage_of(&d, &b, scaled) == RLVR_OK);
            for (int i = 0; i < N; i++) CHECK(scaled[i] == (got[i] > 0 ? 0 : 0.5f * got[i]));
            n_cases++;
        }
    CHECK_LE(worst, 3e-7);
    /* a reward that is not finite is as one that is not valid, to spo too; and so are the rewards of a task of which nothing is known */
    float none[] = {1, NAN, 0, 0, 1, 1}, known[] = {0.5f, 0.25f, NAN}, with[6], without[6];
    bool there[] = {true, false, true, true, false, false};
    rlvr_advantage_desc d;
    memset(&d, 0, sizeof d);
    d.kind = RLVR_ADV_SPO;
    rlvr_advantage_batch b = {3, 2, none, NULL, NULL, known, NULL, NULL, 0, NULL, NULL, NULL, NULL};
    CHECK(rlvr_advantage_of(&d, &b, with) == RLVR_OK);
    none[1] = 0;
    known[2] = 0.5f;
    b.valid = there;
    CHECK(rlvr_advantage_of(&d, &b, without) == RLVR_OK);
    CHECK(!memcmp(with, without, sizeof with) && with[0] > 0 && with[1] == 0 && with[2] < 0 && with[4] == 0);
    b.baseline = NULL;
    CHECK(rlvr_advantage_of(&d, &b, with) == RLVR_ERROR_ARGUMENT);
    REPORT("advantages: %d batches of %d estimators against their formulas, off by %.1e", n_cases, (int)RLVR_ADVANTAGE_COUNT - 3, worst);
}

/* What a task has earned is the mean of the Beta distribution of the paper; and only what is finite goes in. */
static void test_track(void)
{
    double worst = 0;
    for (int round = 0; round < 100; round++) {
        rlvr_tracked x = {0.5f, 1};
        double alpha = 0.5, beta = 0.5;
        for (int i = 0; i < 40; i++) {
            double keep = uniform(0.8, 1), R = round % 2 ? dice(2) : uniform(0, 1);
            alpha = keep * alpha + (double)(float)R;
            beta = keep * beta + 1 - (double)(float)R;
            rlvr_track(&x, (float)R, keep);
            worst = fmax(worst, fabs((double)x.value - alpha / (alpha + beta)));
            worst = fmax(worst, fabs((double)x.weight - alpha - beta) / (alpha + beta));
        }
        rlvr_tracked same = x;
        rlvr_track(&x, NAN, 0.9);
        rlvr_track(&x, INFINITY, 0.9);
        CHECK(x.value == same.value && x.weight == same.weight);
    }
    CHECK_LE(worst, 1e-6);
    CHECK(rlvr_track_keep(0) == 0.96 && rlvr_track_keep(0.06) == 0.875 && rlvr_track_keep(INFINITY) == 0.875);
    CHECK_LE(fabs(rlvr_track_keep(0.006) - pow(2, -0.1)), 1e-12);
}

/* x^T (ridge I + X^T X)^-1 x as it is written, the matrix (dim, dim) inverted by elimination. */
static double novelty_of(const double *x, int n, int dim, double ridge, int i)
{
    double a[8][9];
    for (int r = 0; r < dim; r++) {
        for (int c = 0; c < dim; c++) {
            a[r][c] = r == c ? ridge : 0;
            for (int j = 0; j < n; j++) a[r][c] += x[j * dim + r] * x[j * dim + c];
        }
        a[r][dim] = x[i * dim + r];
    }
    for (int k = 0; k < dim; k++)
        for (int r = 0; r < dim; r++) {
            double f = a[r][k] / a[k][k];
            for (int c = k; c <= dim && r != k; c++) a[r][c] -= f * a[k][c];
        }
    double sum = 0;
    for (int k = 0; k < dim; k++) sum += x[i * dim + k] * a[k][dim] / a[k][k];
    return sum;
}

static void test_novelty(void)
{
    enum { MOST = 10 };
    float v[MOST * 8], bonus[MOST];
    double x[MOST * 8], scratch[MOST * (MOST + 1)], worst = 0;
    for (int round = 0; round < 200; round++) {
        int n = 2 + dice(MOST - 1), dim = 1 + dice(8);
        double ridge = round % 2 ? 0.01 : uniform(0.1, 3);
        for (int i = 0; i < n * dim; i++) v[i] = (float)uniform(-2, 2);
        for (int k = 0; k < dim; k++) {
            double mean = 0;
            for (int i = 0; i < n; i++) mean += (double)v[i * dim + k] / n;
            for (int i = 0; i < n; i++) x[i * dim + k] = (double)v[i * dim + k] - mean;
        }
        CHECK(rlvr_novelty(v, n, dim, round % 2 ? 0 : (float)ridge, bonus, scratch) == RLVR_OK);
        for (int i = 0; i < n; i++) worst = fmax(worst, fabs((double)bonus[i] - novelty_of(x, n, dim, round % 2 ? 0.01 : (double)(float)ridge, i)));
    }
    CHECK_LE(worst, 1e-6);
    for (int i = 0; i < 5 * 8; i++) v[i] = 0.1f + (float)(i % 8);      /* all the same */
    CHECK(rlvr_novelty(v, 5, 8, 0, bonus, scratch) == RLVR_OK);
    for (int i = 0; i < 5; i++) CHECK(bonus[i] == 0);
    for (int k = 0; k < 8; k++) v[k] = -3.3f;      /* the first like no other, the others all the same */
    CHECK(rlvr_novelty(v, 5, 8, 1e-6f, bonus, scratch) == RLVR_OK);
    CHECK_LE(fabs((double)bonus[0] - 0.8), 1e-5);
    CHECK_LE(fabs((double)bonus[1] - 0.05), 1e-5);
    CHECK(bonus[1] == bonus[2] && bonus[2] == bonus[3] && bonus[3] == bonus[4]);
    float pair[] = {3, -1};      /* 2 and -2: 4 / (4 + 4 + ridge) */
    CHECK(rlvr_novelty(pair, 2, 1, 0.5f, bonus, scratch) == RLVR_OK);
    CHECK_LE(fabs((double)bonus[0] - 4 / 8.5), 1e-6);
    CHECK(bonus[0] == bonus[1]);
    pair[1] = NAN;
    CHECK(rlvr_novelty(pair, 2, 1, 0.5f, bonus, scratch) == RLVR_ERROR_NUMERIC && bonus[0] == 0 && bonus[1] == 0);
    pair[1] = 1;
    CHECK(rlvr_novelty(pair, 2, 1, -1, bonus, scratch) == RLVR_ERROR_NUMERIC && bonus[0] == 0);
}

/* disco: its advantages are the slopes of its objective in the scores, by differences. */
static void test_disco(void)
{
    enum { SIZE = 6, TOKENS_EACH = 3, ALL = SIZE * TOKENS_EACH };
    double worst = 0;
    int n_still = 0;
    for (int round = 0; round < 200; round++) {
        float reward[SIZE], logprob[ALL], got[SIZE], tau = round % 3 ? (float)uniform(0.3, 3) : 0;
        double score[SIZE], want[SIZE];
        int offset[SIZE + 1] = {0}, n = 0, right = 0;
        bool valid[SIZE];
        rlvr_advantage_desc d;
        rlvr_advantage_batch b = {1, SIZE, reward, valid, NULL, NULL, NULL, NULL, 0, offset, logprob, NULL, NULL};
        memset(&d, 0, sizeof d);
        d.kind = RLVR_ADV_DISCO;
        d.tau = tau;
        for (int i = 0; i < SIZE; i++) {
            reward[i] = (float)dice(2);
            valid[i] = dice(6) > 0;
            score[i] = 0;
            offset[i + 1] = offset[i] + 1 + dice(TOKENS_EACH);
            for (int k = offset[i]; k < offset[i + 1]; k++) {
                logprob[k] = (float)uniform(-4, 0);
                score[i] += (double)logprob[k] / (offset[i + 1] - offset[i]);
            }
            n += valid[i];
            right += valid[i] && reward[i] > 0;
        }
        CHECK(rlvr_advantage_of(&d, &b, got) == RLVR_OK);
        for (int i = 0; i < SIZE; i++) {
            double f[2], h = 1e-5, t = tau == 0 ? 10 : (double)tau;
            for (int side = 0; side < 2; side++) {
                double good = 0, bad = 0;
                score[i] += side ? -h : h;
                for (int j = 0; j < SIZE; j++) {
                    if (valid[j] && reward[j] > 0) good += score[j] / right;
                    if (valid[j] && reward[j] == 0) bad += exp(score[j] / t) / (n - right);
                }
                f[side] = good - t * log(bad);
                score[i] += side ? h : -h;
            }
            want[i] = right && right < n && valid[i] ? n * (f[0] - f[1]) / (2 * h) : 0;
            worst = fmax(worst, fabs(want[i] - (double)got[i]));
        }
        n_still += !right || right == n;
        b.logprob = NULL;
        CHECK(rlvr_advantage_of(&d, &b, got) == RLVR_ERROR_ARGUMENT);
    }
    CHECK(n_still > 5 && n_still < 100);
    CHECK_LE(worst, 1e-5);
}

/* The optimal token baseline, token by token as its formula says. */
static void test_optimal_token(void)
{
    enum { GROUPS = 3, SIZE = 4, N = GROUPS * SIZE, LONGEST = 7 };
    double worst = 0;
    int n_alone = 0, n_equal = 0;
    for (int round = 0; round < 200; round++) {
        float reward[N], logprob[N * LONGEST], collision[N * LONGEST], token[N * LONGEST], got[N], scaled[N], scaled_token[N * LONGEST];
        int offset[N + 1] = {0};
        bool valid[N];
        rlvr_advantage_desc d;
        rlvr_advantage_batch b = {GROUPS, SIZE, reward, valid, NULL, NULL, NULL, NULL, 0, offset, logprob, collision, token};
        memset(&d, 0, sizeof d);
        d.kind = RLVR_ADV_OPTIMAL_TOKEN;
        for (int i = 0; i < N; i++) {
            reward[i] = round % 2 ? (dice(2) ? 0.7f : 0.1f) : (float)uniform(-2, 2);      /* whose means are not exact */
            valid[i] = dice(8) > 0;
            offset[i + 1] = offset[i] + 1 + dice(LONGEST);
            for (int k = offset[i]; k < offset[i + 1]; k++) {
                bool sure = dice(2) == 0;      /* W of all sizes */
                logprob[k] = (float)(sure ? uniform(-1e-3, 0) : uniform(-4, 0));
                collision[k] = (float)(exp(2 * (double)logprob[k]) + uniform(0, sure ? 1e-5 : 0.1));
            }
        }
        for (int i = 0; i < SIZE; i++) reward[i] = 0.3f;      /* a group without signal */
        CHECK(rlvr_advantage_of(&d, &b, got) == RLVR_OK);
        for (int i = 0; i < N; i++) {
            double mean = 0;
            for (int t = 0; t < offset[i + 1] - offset[i]; t++) {
                double sum = 0, weighted = 0, want = 0;
                int n = 0, n_group = 0;
                bool equal = true, all_equal = true;
                for (int j = i / SIZE * SIZE; j < i / SIZE * SIZE + SIZE; j++) {
                    double W = 0;
                    n_group += valid[j];
                    all_equal &= !valid[j] || reward[j] == reward[i];
                    if (!valid[j] || offset[j + 1] - offset[j] <= t) continue;
                    for (int k = offset[j]; k <= offset[j] + t; k++) W += 1 - 2 * exp((double)logprob[k]) + (double)collision[k];
                    n++;
                    sum += W;
                    weighted += W * (double)reward[j];
                    equal &= reward[j] == reward[i];
                }
                if (valid[i] && n_group > 1 && !all_equal && !(n > 1 && equal)) want = (double)reward[i] - (n > 1 ? weighted / sum : 0);
                n_alone += want != 0 && n == 1;
                n_equal += valid[i] && !all_equal && n > 1 && equal;
                if (want == 0) CHECK(token[offset[i] + t] == 0);
                worst = fmax(worst, fabs((double)token[offset[i] + t] - want));
                mean += want / (offset[i + 1] - offset[i]);
            }
            worst = fmax(worst, fabs((double)got[i] - mean));
        }
        d.negative_scale = 0.5f;
        d.positive_scale = -1;
        b.token_advantage = scaled_token;
        CHECK(rlvr_advantage_of(&d, &b, scaled) == RLVR_OK);
        for (int k = 0; k < offset[N]; k++) CHECK(scaled_token[k] == (token[k] > 0 ? 0 : 0.5f * token[k]));
        b.collision = NULL;
        CHECK(rlvr_advantage_of(&d, &b, got) == RLVR_ERROR_ARGUMENT);
    }
    CHECK(n_alone > 20 && n_equal > 20);
    CHECK_LE(worst, 1e-6);
}

/* Vectors by hand and from the papers; equal rewards; 0.95 x 7 and 0. */
static void test_estimator_vectors(void)
{
    const float two[] = {1, 1, 0, 0}, one[] = {1, 0, 0, 0, 0, 0, 0, 0}, near[] = {0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0.95f, 0};
    float a[16], parts[2][8];
    group_advantage(RLVR_ADV_GRPO, two, NULL, 4, a);
    CHECK_LE(fabs((double)a[0] - 0.8659), 5e-5);
    CHECK_LE(fabs((double)a[3] + 0.8659), 5e-5);
    group_advantage(RLVR_ADV_GRPO, one, NULL, 8, a);
    CHECK_LE(fabs((double)a[0] - 2.474), 5e-4);
    CHECK_LE(fabs((double)a[1] + 0.3535), 5e-5);
    group_advantage(RLVR_ADV_RLOO, two, NULL, 4, a);
    CHECK_LE(fabs((double)a[0] - 2.0 / 3), 1e-7);
    group_advantage(RLVR_ADV_MAXRL, one, NULL, 8, a);      /* 1 / p - 1, and -1 */
    CHECK(a[0] == 7 && a[1] == -1);
    group_advantage(RLVR_ADV_PASS_AT_K, two, NULL, 4, a);      /* k = 2: 5 of 6 pairs pass, of a wrong one's pairs 2 of 3 */
    CHECK_LE(fabs((double)a[0] - (1 - 5.0 / 6) / sqrt(5.0 / 36)), 1e-6);
    CHECK_LE(fabs((double)a[3] - (2.0 / 3 - 5.0 / 6) / sqrt(5.0 / 36)), 1e-6);
    for (int kind = 0; kind < RLVR_ADVANTAGE_COUNT; kind++) {
        float same[8];
        for (int i = 0; i < 8; i++) same[i] = 0.1f;
        group_advantage((rlvr_advantage)kind, same, NULL, 8, a);      /* greedy is the first of them: equal too */
        for (int i = 0; i < 8; i++) CHECK(a[i] == 0);
        group_advantage((rlvr_advantage)kind, near, NULL, 8, a);
        for (int i = 0; i < 8; i++) CHECK(rlvr__finite((double)a[i]) && fabsf(a[i]) < 10);
        CHECK(kind == RLVR_ADV_REMAX || kind == RLVR_ADV_A2PO || kind == RLVR_ADV_PASS_AT_K || (a[0] > 0 && a[7] < 0));
        CHECK(rlvr_advantage_name((rlvr_advantage)kind) != NULL);
    }
    CHECK(rlvr_advantage_name(RLVR_ADVANTAGE_COUNT) == NULL);

    /* GDPO: two rewards that GRPO of their sum could not tell apart (1 + 0 and 0 + 1) are told apart by how rare each is */
    rlvr_advantage_desc d;
    float sum[8], weight[] = {1, 1};
    memset(&d, 0, sizeof d);
    d.kind = RLVR_ADV_GDPO;
    for (int i = 0; i < 8; i++) { parts[0][i] = i == 0; parts[1][i] = i > 0 && i < 5; sum[i] = parts[0][i] + parts[1][i]; }
    rlvr_advantage_batch b = {1, 8, sum, NULL, NULL, NULL, parts[0], weight, 2, NULL, NULL, NULL, NULL};
    CHECK(rlvr_advantage_of(&d, &b, a) == RLVR_OK);
    double z0[] = {7 / sqrt(8.0), -1 / sqrt(8.0)}, z1 = 0.5 / sqrt(2.0 / 7), raw[8], square = 0;
    for (int i = 0; i < 8; i++) {
        raw[i] = z0[i > 0] + (i > 0 && i < 5 ? z1 : -z1);
        square += raw[i] * raw[i] / 8;
    }
    for (int i = 0; i < 8; i++) CHECK_LE(fabs((double)a[i] - raw[i] / sqrt(square)), 2e-3);
    CHECK(a[0] > 1.5f * a[1] && a[1] > 0 && a[7] < 0);
    for (int i = 0; i < 8; i++) parts[0][i] = 0.3f;      /* a part without signal adds exactly nothing */
    weight[0] = 5;
    CHECK(rlvr_advantage_of(&d, &b, a) == RLVR_OK && a[1] == a[4] && a[0] == a[7]);

    /* what cannot be */
    d.kind = RLVR_ADV_REMAX;
    CHECK(rlvr_advantage_of(&d, &b, a) == RLVR_ERROR_ARGUMENT);
    d.kind = (rlvr_advantage)99;
    CHECK(rlvr_advantage_of(&d, &b, a) == RLVR_ERROR_ARGUMENT);
}

static void test_gae(void)
{
    double worst = 0;
    for (int round = 0; round < 200; round++) {
        float reward[12], value[12], advantage[12], returns[12];
        int n = 1 + dice(12);
        rlvr_gae_desc d = {(float)uniform(0.5, 1), (float)uniform(0.1, 1), (float)uniform(0.1, 1), 0};
        double last = round % 2 ? uniform(-1, 1) : 0, lambda = (double)d.lambda;
        if (round % 5 == 0) { d.length_alpha = 0.5f; lambda = fmax(0, 1 - 2.0 / n); }
        for (int i = 0; i < n; i++) { reward[i] = (float)uniform(-1, 1); value[i] = (float)uniform(-1, 1); }
        rlvr_gae(&d, reward, value, n, (float)last, advantage, returns);
        for (int i = 0; i < n; i++) {      /* the sum of (gamma lambda)^k delta_k, term by term */
            double sum = 0, target = 0;
            for (int k = i; k < n; k++) {
                double next = k + 1 < n ? (double)value[k + 1] : (double)(float)last;
                double delta = (double)reward[k] + (double)d.gamma * next - (double)value[k];
                sum += pow((double)d.gamma * lambda, k - i) * delta;
                target += pow((double)d.gamma * (double)d.lambda_value, k - i) * delta;
            }
            worst = fmax(worst, fabs((double)advantage[i] - sum));
            worst = fmax(worst, fabs((double)returns[i] - (double)value[i] - target));
        }
    }
    CHECK_LE(worst, 1e-6);
    const rlvr_gae_desc plain = {0, 0, 0, 0};      /* gamma 1, lambda for the value 1: returns are what is still to come */
    const float reward[] = {0, 0, 1}, value[] = {0.5f, 0.25f, 0.75f};
    float returns[3];
    rlvr_gae(&plain, reward, value, 3, 0, NULL, returns);
    for (int i = 0; i < 3; i++) CHECK_LE(fabs((double)returns[i] - 1), 1e-7);
    const float steps[] = {0.5f, 0.5f, 1, 0};
    const int begin[] = {0, 2, 3, 6};
    float a[6];
    rlvr_vine(steps, begin, 3, a);
    CHECK(a[0] == 0 && a[1] == 0 && a[2] == 0.5f && a[3] == -1 && a[5] == -1);
    REPORT("GAE against the sum it stands for: off by %.1e", worst);
}

static void test_advantages(void)
{
    float reward[16], a[16];
    bool valid[16];
    for (int kind = 0; kind < 2; kind++) {
        const float same[] = {0, 1, -3.7f, 0.95f, 0.1f, 1e30f, 1e-40f, FLT_MAX};
        for (int k = 0; k < 8; k++) {      /* equal rewards: exactly 0, whatever the mean rounds to */
            for (int i = 0; i < 7; i++) { reward[i] = same[k]; a[i] = 9; }
            group_advantage((rlvr_advantage)kind, reward, NULL, 7, a);
            for (int i = 0; i < 7; i++) CHECK(a[i] == 0);
        }
        reward[0] = 0.0f;
        reward[1] = -0.0f;
        group_advantage((rlvr_advantage)kind, reward, NULL, 2, a);
        CHECK(a[0] == 0 && a[1] == 0);
        group_advantage((rlvr_advantage)kind, reward, NULL, 1, a);      /* alone */
        CHECK(a[0] == 0);
        /* one valid, or valid ones equal: the invalid reward is not looked at, NaN or not */
        for (int i = 0; i < 4; i++) { reward[i] = (float)i; valid[i] = i == 2; a[i] = 9; }
        reward[0] = NAN;
        group_advantage((rlvr_advantage)kind, reward, valid, 4, a);
        for (int i = 0; i < 4; i++) CHECK(a[i] == 0);
        /* a NaN that nobody marked is left out too */
        reward[0] = NAN; reward[1] = 1; reward[2] = 3; reward[3] = INFINITY;
        group_advantage((rlvr_advantage)kind, reward, NULL, 4, a);
        CHECK(a[0] == 0 && a[3] == 0 && a[1] < 0 && a[2] == -a[1]);
        /* bounded and finite at the ends of float, centred everywhere */
        const float ends[] = {1e-45f, 1e-38f, 1e-10f, 1, 1e30f, FLT_MAX};
        for (int k = 0; k < 6; k++) {
            for (int i = 0; i < 8; i++) reward[i] = i == 5 ? -ends[k] : ends[k];
            group_advantage((rlvr_advantage)kind, reward, NULL, 8, a);
            double sum = 0, largest = 0;
            for (int i = 0; i < 8; i++) { CHECK(rlvr__finite((double)a[i])); sum += (double)a[i]; largest = fmax(largest, fabs((double)a[i])); }
            if (kind == RLVR_ADV_GRPO) CHECK_LE(largest, 7 / sqrt(8.0) + 1e-6);
            if (ends[k] > 1e-40f && ends[k] < 1e38f) CHECK_LE(fabs(sum), 1e-6 * largest);
        }
    }
    /* 0.95 x 7 and 0: by hand */
    for (int i = 0; i < 8; i++) reward[i] = i == 7 ? 0 : 0.95f;
    group_advantage(RLVR_ADV_GRPO, reward, NULL, 8, a);
    double R = (double)0.95f, mean = R * 7 / 8, std = sqrt((7 * (R / 8) * (R / 8) + mean * mean) / 7);
    for (int i = 0; i < 8; i++) CHECK_LE(fabs((double)a[i] - ((double)reward[i] - mean) / (std + 1e-4)), 1e-6);
    group_advantage(RLVR_ADV_DR_GRPO, reward, NULL, 8, a);
    for (int i = 0; i < 8; i++) CHECK_LE(fabs((double)a[i] - ((double)reward[i] - mean)), 1e-7);

    /* over rollouts: groups apart, errors out, signal counted */
    rlvr_rollouts r;
    rlvr_rollout items[12];
    const float rewards[12] = {1, 0, 0, 1,   1, 1, 0, 1,   5, 5, 5, 5};
    memset(&r, 0, sizeof r);
    memset(items, 0, sizeof items);
    r.ctx = ctx;
    r.items = items;
    r.n = 12;
    r.group_size = 4;
    for (int i = 0; i < 12; i++) { items[i].reward = rewards[i]; items[i].advantage = 9; items[i].graded = i == 6 ? RLVR_REWARD_ERROR : RLVR_OK; }
    CHECK(advantages(&r, RLVR_ADV_GRPO) == 1);      /* the second group's only 0 is an error */
    group_advantage(RLVR_ADV_GRPO, rewards, NULL, 4, a);
    for (int i = 0; i < 12; i++) CHECK(items[i].advantage == (i < 4 ? a[i] : 0));
    items[6].graded = RLVR_OK;
    items[3].graded = RLVR_REWARD_ERROR;
    CHECK(advantages(&r, RLVR_ADV_DR_GRPO) == 2);
    CHECK_LE(fabs((double)items[0].advantage - 2.0 / 3), 1e-7);
    CHECK(items[3].advantage == 0 && items[6].advantage == -0.75f && items[4].advantage == 0.25f);
}

static void test_schedule(void)
{
    rlvr_optim_desc d;
    memset(&d, 0, sizeof d);
    CHECK(rlvr_learning_rate(&d, 0) == 1e-5f && rlvr_learning_rate(&d, 1000000) == 1e-5f);
    d.lr = 1;
    d.warmup_steps = 4;
    CHECK(rlvr_learning_rate(&d, 0) == 0.25f && rlvr_learning_rate(&d, 3) == 1 && rlvr_learning_rate(&d, 4) == 1);
    CHECK(rlvr_learning_rate(&d, -5) == 0.25f);
    d.total_steps = 14;
    d.lr_min = 0.1f;
    for (int schedule = RLVR_LR_COSINE; schedule <= RLVR_LR_LINEAR; schedule++) {
        d.schedule = (rlvr_schedule)schedule;
        CHECK(rlvr_learning_rate(&d, 3) == 1 && rlvr_learning_rate(&d, 4) == 1);
        CHECK_LE(fabs((double)rlvr_learning_rate(&d, 9) - 0.55), 1e-6);
        for (int s = 4; s < 14; s++) CHECK(rlvr_learning_rate(&d, s) > rlvr_learning_rate(&d, s + 1));
        CHECK(rlvr_learning_rate(&d, 14) == 0.1f && rlvr_learning_rate(&d, 1 << 30) == 0.1f);
    }
    d.total_steps = 4;      /* over before it began: the least */
    CHECK(rlvr_learning_rate(&d, 4) == 0.1f);
    d.total_steps = 2;
    CHECK(rlvr_learning_rate(&d, 3) == 1 && rlvr_learning_rate(&d, 4) == 0.1f && rlvr_learning_rate(&d, 10) == 0.1f);
}

int main(void)
{
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = 1;
    ctx = rlvr_open(&desc);
    if (!CHECK(ctx != NULL)) return test_done();
    test_fixture();
    test_differences();
    test_matrix();
    test_problems();
    test_kl_facts();
    test_softmax();
    test_exactness();
    test_bad_input();
    test_advantages();
    test_estimators();
    test_optimal_token();
    test_track();
    test_novelty();
    test_disco();
    test_estimator_vectors();
    test_gae();
    test_schedule();
    rlvr_close(ctx);
    return test_done();
}
