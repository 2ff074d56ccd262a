/* Section 17b: preference losses against TRL's own methods (losses_trl.jsonl, which also holds its policy losses), against finite
   differences in double, their settings that exclude each other, and implicit process rewards. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;
static uint32_t dice_at;
static double uniform(double low, double high) { return low + (high - low) * (double)rlvr_uniform(23, 0, 0, 0, dice_at++); }

enum { MOST = 64, SEQS = 8, TRL_SEQS = 10 };

/* ---- TRL ---- */

static int fill_floats(const rlvr__json *j, const char *name, float *out)
{
    int n = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, name)) out[n++] = (float)rlvr__json_num(v, 0);
    return n;
}
static int fill_doubles(const rlvr__json *j, const char *name, double *out)
{
    int n = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, name)) out[n++] = rlvr__json_num(v, 0);
    return n;
}
static int fill_ints(const rlvr__json *j, const char *name, int *out)
{
    int n = 0;
    RLVR__JSON_EACH(v, rlvr__json_get(j, name)) out[n++] = (int)rlvr__json_int(v, 0);
    return n;
}
static double number(const rlvr__json *j, const char *name) { return rlvr__json_num(rlvr__json_get(j, name), 0); }

/* The worst distance of got from the list, as a part of the list's largest number. */
static double distance(const rlvr__json *list, const float *got)
{
    double off = 0, largest = 0;
    int i = 0;
    RLVR__JSON_EACH(v, list) {
        largest = fmax(largest, fabs(rlvr__json_num(v, 0)));
        off = fmax(off, fabs((double)got[i++] - rlvr__json_num(v, 0)));
    }
    return i && largest > 0 ? off / largest : off;
}

static double worst_policy, worst_policy_grad, worst_preference, worst_preference_grad, worst_metric;
static int n_policy[RLVR_LOSS_KIND_COUNT], n_preference[RLVR_PREFER_COUNT], n_clipped;

static void policy_case(const rlvr__json *j)
{
    rlvr_loss_desc d;
    rlvr_loss_batch b;
    rlvr_loss_stats stats;
    int offset[SEQS + 1], mask_list[MOST];
    float logprob[MOST], old[MOST], ref[MOST], behaviour[MOST], advantage[SEQS], token_advantage[MOST], entropy[MOST], tau[2], vespo[4], grad[MOST], dentropy[MOST];
    unsigned char mask[MOST];
    memset(&d, 0, sizeof d);
    memset(&b, 0, sizeof b);
    d.kind = (rlvr_loss_kind)number(j, "loss_kind");
    d.aggregation = (rlvr_aggregation)number(j, "aggregation");
    d.kl_coef = (float)number(j, "kl_coef");
    d.clip_eps_low = (float)number(j, "low");
    d.clip_eps_high = (float)number(j, "high");
    d.dual_clip = (float)number(j, "delta");
    d.stale_kl = (float)number(j, "stale");
    d.correction = (rlvr_correction)number(j, "correction");
    d.entropy_coef = (float)number(j, "entropy_coef");
    d.max_tokens = (int)number(j, "max_tokens");
    fill_floats(j, "tau", tau);
    d.sapo_tau_positive = tau[0];
    d.sapo_tau_negative = tau[1];
    d.a2po_beta = (float)number(j, "a2po_beta");
    if (fill_floats(j, "vespo", vespo)) {
        d.vespo_k_positive = vespo[0];
        d.vespo_lambda_positive = vespo[1];
        d.vespo_k_negative = vespo[2];
        d.vespo_lambda_negative = vespo[3];
    }
    b.n_seq = fill_ints(j, "offset", offset) - 1;
    int n = fill_ints(j, "mask", mask_list);
    for (int i = 0; i < n; i++) mask[i] = (unsigned char)mask_list[i];
    fill_floats(j, "logprob", logprob);
    fill_floats(j, "old", old);
    fill_floats(j, "advantage", advantage);
    b.offset = offset;
    b.logprob = logprob;
    b.old_logprob = old;
    b.advantage = advantage;
    b.mask = mask;
    if (fill_floats(j, "ref", ref)) b.ref_logprob = ref;
    if (fill_floats(j, "behaviour", behaviour)) b.behaviour_logprob = behaviour;
    if (fill_floats(j, "token_advantage", token_advantage)) b.token_advantage = token_advantage;
    if (fill_floats(j, "entropy", entropy)) b.entropy = entropy;
    if (!CHECK(rlvr_policy_loss(&d, &b, grad, dentropy, &stats) == RLVR_OK)) { REPORT("%s", rlvr_loss_problem(&d, &b)); return; }
    worst_policy = fmax(worst_policy, fabs(stats.loss - number(j, "loss")));
    worst_policy_grad = fmax(worst_policy_grad, distance(rlvr__json_get(j, "grad"), grad));
    if (b.entropy) worst_policy_grad = fmax(worst_policy_grad, distance(rlvr__json_get(j, "grad_entropy"), dentropy));
    n_policy[d.kind]++;
    n_clipped += stats.clip_low + stats.clip_high > 0;
    CHECK(stats.n_stale > 0 || d.stale_kl != 0.05f);
}

static void metric_case(const rlvr__json *metrics, const char *name, double got)
{
    const rlvr__json *want = rlvr__json_get(metrics, name);
    if (want) worst_metric = fmax(worst_metric, fabs(got - rlvr__json_num(want, 0)) / fmax(1, fabs(rlvr__json_num(want, 0))));
}

static void preference_case(const rlvr__json *j)
{
    rlvr_preference_desc d;
    rlvr_preference_batch b;
    rlvr_preference_stats s;
    double logprob[TRL_SEQS], ref[TRL_SEQS], mismatch[TRL_SEQS], mismatch_ref[TRL_SEQS], slope[TRL_SEQS], reward[TRL_SEQS];
    float grad[TRL_SEQS];
    int length[TRL_SEQS], label_list[TRL_SEQS];
    unsigned char label[TRL_SEQS];
    memset(&d, 0, sizeof d);
    memset(&b, 0, sizeof b);
    d.kind = rlvr_preference_find(rlvr__json_str(rlvr__json_get(j, "kind"), NULL));
    d.beta = (float)number(j, "beta");
    d.gamma = (float)number(j, "gamma");
    d.label_smoothing = (float)number(j, "label_smoothing");
    d.nll_coef = (float)number(j, "nll_coef");
    d.desirable_weight = (float)number(j, "desirable_weight");
    d.undesirable_weight = (float)number(j, "undesirable_weight");
    d.divergence = (rlvr_divergence)number(j, "divergence");
    d.alpha = (float)number(j, "alpha");
    d.no_reference = rlvr__json_bool(rlvr__json_get(j, "no_reference"), false);
    if (rlvr__json_bool(rlvr__json_get(j, "mean"), false)) d.length = RLVR_SCORE_MEAN;
    b.n = fill_doubles(j, "logprob", logprob);
    fill_ints(j, "length", length);
    for (int i = 0, n = fill_ints(j, "label", label_list); i < n; i++) label[i] = (unsigned char)label_list[i];
    b.logprob = logprob;
    b.length = length;
    b.desirable = label;
    if (fill_doubles(j, "ref", ref)) b.ref_logprob = ref;
    b.n_mismatch = fill_doubles(j, "mismatch", mismatch);
    fill_doubles(j, "mismatch_ref", mismatch_ref);
    b.mismatch_logprob = mismatch;
    b.mismatch_ref_logprob = mismatch_ref;
    if (!CHECK(rlvr_preference_loss(&d, &b, slope, reward, &s) == RLVR_OK)) { REPORT("%s", rlvr_preference_problem(&d, &b)); return; }
    for (int i = 0; i < b.n; i++) grad[i] = (float)slope[i];
    worst_preference = fmax(worst_preference, fabs(s.loss - number(j, "loss")) / fmax(1, fabs(number(j, "loss"))));
    worst_preference_grad = fmax(worst_preference_grad, distance(rlvr__json_get(j, "grad"), grad));
    const rlvr__json *metrics = rlvr__json_get(j, "metrics");
    metric_case(metrics, "rewards/chosen", s.reward_chosen);
    metric_case(metrics, "rewards/rejected", s.reward_rejected);
    metric_case(metrics, "rewards/accuracies", s.accuracy);
    metric_case(metrics, "rewards/margins", s.margin);
    metric_case(metrics, "logps/chosen", s.logp_chosen);
    metric_case(metrics, "logps/rejected", s.logp_rejected);
    metric_case(metrics, "kl", s.kl);
    metric_case(metrics, "log_odds_ratio", s.log_odds_ratio);
    metric_case(metrics, "log_odds_chosen", s.log_odds_chosen);
    n_preference[d.kind]++;
}

static void test_trl(void)
{
    const char *path = "tests/data/losses_trl.jsonl";
    char version[32] = "";
    int policies = 0, preferences = 0;
    rlvr__file f;
    if (!CHECK(rlvr__file_open(ctx, path, &f) == RLVR_OK)) return;
    rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
    while (rlvr__lines_next(&it)) {
        rlvr__json *j = rlvr__json_parse(ctx, path, it.text, it.len, it.line);
        if (!CHECK(j != NULL)) break;
        const char *what = rlvr__json_str(rlvr__json_get(j, "what"), NULL);
        if (!strcmp(what, "policy")) { policy_case(j); policies++; }
        else if (!strcmp(what, "preference")) { preference_case(j); preferences++; }
        else snprintf(version, sizeof version, "%s", rlvr__json_str(rlvr__json_get(j, "trl"), NULL));
        rlvr__json_free(ctx, j);
    }
    rlvr__file_close(ctx, &f);
    CHECK(policies >= 60 && preferences >= 50 && n_clipped >= 20);
    CHECK(n_policy[RLVR_LOSS_CLIP] && n_policy[RLVR_LOSS_GSPO] && n_policy[RLVR_LOSS_CISPO] && n_policy[RLVR_LOSS_SAPO]);
    CHECK(n_policy[RLVR_LOSS_VESPO] && n_policy[RLVR_LOSS_A2PO]);
    for (int k = 1; k < RLVR_PREFER_COUNT; k++)
        if (k != RLVR_PREFER_IMPLICIT_PRM && !CHECK(n_preference[k] > 0)) REPORT("no case of %s", rlvr_preference_name((rlvr_preference_kind)k));
    CHECK_LE(worst_policy, 1e-7);
    CHECK_LE(worst_policy_grad, 1e-6);
    CHECK_LE(worst_preference, 1e-6);      /* orpo's odds are float in TRL */
    CHECK_LE(worst_preference_grad, 1e-6);
    CHECK_LE(worst_metric, 1e-6);
    REPORT("TRL %s: %d policy losses within %.1e (clip active in %d), gradients %.1e; %d preference losses %.1e, gradients %.1e, metrics %.1e", version,
           policies, worst_policy, n_clipped, worst_policy_grad, preferences, worst_preference, worst_preference_grad, worst_metric);
}

/* ---- finite differences ---- */

typedef struct sample {
    rlvr_preference_desc d;
    rlvr_preference_batch b;
    double logprob[SEQS], ref[SEQS], mismatch[3], mismatch_ref[3];
    int length[SEQS];
    unsigned char label[SEQS];
} sample;

static void fill(sample *x)
{
    memset(&x->b, 0, sizeof x->b);
    for (int i = 0; i < SEQS; i++) {
        x->length[i] = 1 + (int)uniform(0, 9);
        x->logprob[i] = -x->length[i] * uniform(0.2, 2);
        x->ref[i] = x->logprob[i] + uniform(-4, 4);
        x->label[i] = (unsigned char)(i % 3 != 1);
    }
    for (int i = 0; i < 3; i++) { x->mismatch[i] = uniform(-9, -5); x->mismatch_ref[i] = uniform(-12, -7); }
    x->b.n = SEQS;
    x->b.logprob = x->logprob;
    x->b.ref_logprob = x->ref;
    x->b.length = x->length;
    x->b.desirable = x->label;
    x->b.n_mismatch = 3;
    x->b.mismatch_logprob = x->mismatch;
    x->b.mismatch_ref_logprob = x->mismatch_ref;
}

/* Any first pair alone, and a descriptor of nothing but its kind. */
static void one_pair(sample *x, rlvr_preference_kind kind)
{
    memset(x, 0, sizeof *x);
    fill(x);
    x->b.n = 2;
    x->d.kind = kind;
}

/* The loss, its pairs all having one constant weight. */
static double loss_at(const sample *x, double weight)
{
    double slope[SEQS];
    rlvr_preference_stats s;
    rlvr_preference_desc d = x->d;
    d.weighting = false;
    CHECK(rlvr_preference_loss(&d, &x->b, slope, NULL, &s) == RLVR_OK);
    return weight * s.preference_loss + (s.loss - s.preference_loss);
}

/* Whether a step of the differences would cross a corner: hinge's, or a change of aot's order. */
static bool near_corner(const sample *x)
{
    double beta = x->d.beta == 0 ? 0.1 : (double)x->d.beta, s[SEQS];
    for (int i = 0; i < SEQS; i++)
        s[i] = (x->logprob[i] - (x->d.no_reference ? 0 : x->ref[i])) / (x->d.length == RLVR_SCORE_MEAN ? x->length[i] : 1);
    for (int i = 0; i < SEQS; i += 2) {
        if (x->d.kind == RLVR_PREFER_HINGE && fabs(beta * (s[i] - s[i + 1]) - 1) < 0.01) return true;
        for (int k = 0; k < i; k += 2) {
            double margins = x->logprob[i] - x->logprob[i + 1] - (x->logprob[k] - x->logprob[k + 1]);
            if (x->d.kind == RLVR_PREFER_AOT && fabs(margins) < 0.01) return true;
            if (x->d.kind == RLVR_PREFER_AOT_UNPAIRED && (fabs(s[i] - s[k]) < 0.01 || fabs(s[i + 1] - s[k + 1]) < 0.01)) return true;
        }
    }
    return false;
}

static double worst_difference;

static void difference_case(sample *x)
{
    double slope[SEQS], parts[SEQS], largest = 0, off = 0, h = 1e-3, whole, sum = 0;
    int64_t tokens = 0;
    rlvr_preference_stats s;
    if (!CHECK(rlvr_preference_loss(&x->d, &x->b, slope, NULL, &s) == RLVR_OK)) { REPORT("%s", rlvr_preference_problem(&x->d, &x->b)); return; }
    whole = s.loss;
    for (int i = 0; i < SEQS; i++) {
        double keep = x->logprob[i], f[4], weight = 1;
        int pair = i / 2 * 2;
        if (x->d.weighting) weight = exp(x->logprob[pair] / x->length[pair] + x->logprob[pair + 1] / x->length[pair + 1]);
        static const double step[] = {1, -1, 2, -2};
        for (int k = 0; k < 4; k++) { x->logprob[i] = keep + step[k] * h; f[k] = loss_at(x, weight); }
        x->logprob[i] = keep;
        double want = (8 * (f[0] - f[1]) - (f[2] - f[3])) / (12 * h);
        largest = fmax(largest, fabs(want));
        off = fmax(off, fabs(want - slope[i]));
    }
    CHECK(largest > 0);
    if (off / largest > 1e-6) REPORT("%s: slopes %.1e off", rlvr_preference_name(x->d.kind), off / largest);
    worst_difference = fmax(worst_difference, off / largest);
    if (rlvr__prefer_sorts(x->d.kind)) return;       /* its pairs depend on each other */
    /* in two parts that are told the whole's totals: the same slopes as bits, losses that add up */
    for (int i = 0; i < SEQS; i += 2) tokens += x->length[i];
    for (int part = 0; part < 2; part++) {
        rlvr_preference_batch b = x->b;
        int from = part ? 4 : 0;
        b.n = part ? SEQS - 4 : 4;
        b.logprob += from;
        b.ref_logprob += from;
        b.length += from;
        b.desirable += from;
        b.n_total = SEQS;
        b.n_chosen_tokens_total = tokens;
        CHECK(rlvr_preference_loss(&x->d, &b, parts + from, NULL, &s) == RLVR_OK);
        sum += s.loss;
    }
    CHECK(!memcmp(parts, slope, sizeof slope));
    CHECK_LE(fabs(sum - whole), 1e-12 * fmax(1, fabs(whole)));
}

static void test_differences(void)
{
    static const float betas[] = {0, 0.05f, 0.7f}, gammas[] = {0, 0.9f}, smoothings[] = {0, 0.2f}, nlls[] = {0, 0.5f, -1}, weights[] = {0, 1.7f};
    int n = 0, of_kind[RLVR_PREFER_COUNT] = {0};
    for (int kind = 1; kind < RLVR_PREFER_COUNT; kind++)
        for (int beta = 0; beta < 3; beta++)
            for (int gamma = 0; gamma < 2; gamma++)
                for (int smoothing = 0; smoothing < 2; smoothing++)
                    for (int length = 0; length < RLVR_SCORE_COUNT; length++)
                        for (int nll = 0; nll < 3; nll++)
                            for (int option = 0; option < 8 * 6 * 2; option++) {
                                static const struct { rlvr_divergence divergence; float alpha; } shapes[] = {
                                    {RLVR_DIVERGENCE_REVERSE_KL, 0}, {RLVR_DIVERGENCE_FORWARD_KL, 0}, {RLVR_DIVERGENCE_JS, 0},
                                    {RLVR_DIVERGENCE_ALPHA, 0}, {RLVR_DIVERGENCE_ALPHA, 0.2f}, {RLVR_DIVERGENCE_REVERSE_KL, 0.6f}};
                                sample x;
                                memset(&x, 0, sizeof x);
                                x.d.kind = (rlvr_preference_kind)kind;
                                x.d.beta = betas[beta];
                                x.d.gamma = gammas[gamma];
                                x.d.label_smoothing = smoothings[smoothing];
                                x.d.length = (rlvr_score_length)length;
                                x.d.nll_coef = nlls[nll];
                                x.d.no_reference = option & 1;
                                x.d.desirable_weight = weights[option >> 1 & 1];
                                x.d.zero_baseline = option & 4;
                                x.d.divergence = shapes[option / 8 % 6].divergence;
                                x.d.alpha = shapes[option / 8 % 6].alpha;
                                x.d.weighting = option / 48;
                                if (rlvr_preference_problem(&x.d, NULL)) continue;
                                do fill(&x); while (near_corner(&x));
                                difference_case(&x);
                                of_kind[kind]++;
                                n++;
                            }
    for (int kind = 1; kind < RLVR_PREFER_COUNT; kind++) CHECK(of_kind[kind] >= 3);
    CHECK_LE(worst_difference, 1e-6);
    REPORT("finite differences: %d losses, worst slope %.1e of the largest", n, worst_difference);
}

/* ---- what is known by hand ---- */

static void test_values(void)
{
    sample x;
    rlvr_preference_stats s;
    double slope[SEQS], reward[SEQS];
    one_pair(&x, RLVR_PREFER_DPO);
    x.logprob[0] = x.ref[0] = -3;
    x.logprob[1] = x.ref[1] = -5;      /* policy = reference: log 2, beta / 2 */
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
    CHECK_LE(fabs(s.loss - log(2)), 1e-15);
    CHECK_LE(fabs(slope[0] + 0.05), 1e-15);
    CHECK(slope[1] == -slope[0] && reward[0] == 0 && s.accuracy == 0 && s.margin == 0 && s.n_chosen == 1 && s.n_rejected == 1);
    x.d.kind = RLVR_PREFER_IPO;      /* (0 - 1 / 0.2)^2 */
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
    CHECK_LE(fabs(s.loss - 25), 1e-12);
    x.d.kind = RLVR_PREFER_ORPO;     /* probabilities 1/2 and 1/4 a token: odds 1 and 1/3 */
    x.length[0] = 2; x.logprob[0] = 2 * log(0.5);
    x.length[1] = 3; x.logprob[1] = 3 * log(0.25);
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
    CHECK_LE(fabs(s.log_odds_chosen - log(3)), 1e-14);
    CHECK_LE(fabs(s.preference_loss + 0.1 * log(0.75)), 1e-14);
    CHECK_LE(fabs(s.nll - log(2)), 1e-14);
    x.logprob[0] = 0;                /* certain: the odds are held, nothing overflows */
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && isfinite(s.loss) && isfinite(slope[0]));
    /* gap too large for exp(): still finite */
    x.d.kind = RLVR_PREFER_DPO;
    x.logprob[0] = -1e5;
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && isfinite(s.loss) && s.loss > 1000);
    CHECK_LE(fabs(slope[0] + 0.1), 1e-12);
    x.logprob[1] = NAN;
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_ERROR_NUMERIC && slope[0] == 0 && slope[1] == 0 && s.loss == 0 && reward[0] == 0);
    x.b.n = 0;
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && s.loss == 0);
    /* kto: the baseline is never below 0, and each label pushes its own way */
    memset(&x.d, 0, sizeof x.d);
    fill(&x);
    x.d.kind = RLVR_PREFER_KTO;
    for (int i = 0; i < 3; i++) x.mismatch[i] = x.mismatch_ref[i] - 1;
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && s.kl == 0);
    for (int i = 0; i < 3; i++) x.mismatch[i] = x.mismatch_ref[i] + 1;
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
    CHECK_LE(fabs(s.kl - 1), 1e-12);
    for (int i = 0; i < SEQS; i++) CHECK(x.label[i] ? slope[i] < 0 : slope[i] > 0);
}

/* The log-ratios of the pair are log 2 and log(1/2), beta is 1: each divergence's f' at 2 and 1/2. */
static void test_divergences(void)
{
    static const struct { rlvr_divergence divergence; float alpha; double above, below, of_above, of_below; } known[] = {
        {RLVR_DIVERGENCE_REVERSE_KL, 0, 0.69314718055994531, -0.69314718055994531, 1, 1},
        {RLVR_DIVERGENCE_FORWARD_KL, 0, 0.5, -1, 0.5, 2},                                     /* 1 - 1 / t; slope 1 / t */
        {RLVR_DIVERGENCE_JS, 0, -0.40546510810816438, -1.0986122886681098, 1 / 3.0, 2 / 3.0},     /* log(t / (1 + t)); 1 / (1 + t) */
        {RLVR_DIVERGENCE_ALPHA, 1, 0.5, -1, 0.5, 2},
        {RLVR_DIVERGENCE_ALPHA, 0, 0.58578643762690497, -0.82842712474619010, 0.70710678118654752, 1.4142135623730950}};
    sample x;
    rlvr_preference_stats s;
    double slope[SEQS], reward[SEQS];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        one_pair(&x, RLVR_PREFER_DPO);
        x.d.beta = 1;
        x.d.divergence = known[i].divergence;
        x.d.alpha = known[i].alpha;
        x.logprob[0] = x.ref[0] + log(2);
        x.logprob[1] = x.ref[1] - log(2);
        double margin = known[i].above - known[i].below, push = 1 / (1 + exp(margin));
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
        CHECK_LE(fabs(s.loss - log1p(exp(-margin))), 1e-14);
        CHECK_LE(fabs(slope[0] + push * known[i].of_above), 1e-14);
        CHECK_LE(fabs(slope[1] - push * known[i].of_below), 1e-14);
        CHECK_LE(fabs(reward[0] - log(2)), 1e-14);       /* the reward stays the log-ratio */
        for (int far = 0; far < 4; far++) {              /* finite however far the policy has gone */
            x.logprob[0] = x.ref[0] + (far & 1 ? -1e6 : 1e6);
            x.logprob[1] = x.ref[1] + (far & 2 ? -1e6 : 1e6);
            CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
            CHECK(isfinite(s.loss) && s.loss >= 0 && isfinite((float)slope[0]) && isfinite((float)slope[1]) && slope[0] <= 0 && slope[1] >= 0);
        }
    }
}

/* AlphaPO: token probabilities 1/2 and 1/4 in the geometric mean, alpha 1: rewards 1 - 2 and 1 - 4; alpha -1: 1/2 - 1 and 1/4 - 1. */
static void test_alphapo(void)
{
    sample x;
    rlvr_preference_stats s;
    double slope[SEQS], reward[SEQS];
    one_pair(&x, RLVR_PREFER_SIMPO);
    x.length[0] = 2; x.logprob[0] = 2 * log(0.5);
    x.length[1] = 3; x.logprob[1] = 3 * log(0.25);
    for (int sign = -1; sign <= 1; sign += 2) {
        double c = sign > 0 ? -1 : -0.5, r = sign > 0 ? -3 : -0.75, x_of = 2 * (c - r) - 0.5, push = 2 / (1 + exp(x_of));
        x.d.alpha = (float)sign;
        x.d.gamma = 0.5f;
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
        CHECK_LE(fabs(s.loss - log1p(exp(-x_of))), 1e-14);
        CHECK_LE(fabs(reward[0] - 2 * c) + fabs(reward[1] - 2 * r), 1e-14);
        CHECK_LE(fabs(slope[0] + push * (sign > 0 ? 2 : 0.5) / 2), 1e-14);
        CHECK_LE(fabs(slope[1] - push * (sign > 0 ? 4 : 0.25) / 3), 1e-14);
    }
    x.d.alpha = 2;
    for (int far = 0; far < 2; far++) {
        x.logprob[far] = -1e5;
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && isfinite(s.loss));
        CHECK(isfinite((float)slope[0]) && isfinite((float)slope[1]) && isfinite(reward[0]) && isfinite(reward[1]));
    }
}

/* Token probabilities 1/2 and 1/4 in the geometric mean: the pair counts an eighth of dpo's; its likelihood term counts whole. */
static void test_wpo(void)
{
    sample x;
    rlvr_preference_stats s;
    double slope[SEQS], reward[SEQS];
    one_pair(&x, RLVR_PREFER_DPO);
    x.d.weighting = true;
    x.d.nll_coef = 0.5f;
    x.length[0] = 2; x.logprob[0] = x.ref[0] = 2 * log(0.5);
    x.length[1] = 3; x.logprob[1] = x.ref[1] = 3 * log(0.25);
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
    CHECK_LE(fabs(s.preference_loss - log(2) / 8), 1e-15);
    CHECK_LE(fabs(s.loss - log(2) / 8 - 0.5 * log(2)), 1e-15);
    CHECK_LE(fabs(slope[0] + 0.05 / 8 + 0.25) + fabs(slope[1] - 0.05 / 8), 1e-9);      /* beta is a float */
    x.logprob[1] = -1e6;             /* what the policy would never say counts nothing */
    CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK && s.preference_loss == 0 && slope[1] == 0);
}

static int ascending(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

/* Against sorted lists; the reward stays that of the pairs as they are. */
static void test_aot(void)
{
    enum { N = SEQS / 2 };
    sample x;
    rlvr_preference_stats s, plain;
    double slope[SEQS], of_plain[SEQS], reward[SEQS], first[N], second[N], own = 0;
    int reordered = 0;
    for (int round = 0; round < 40; round++)
        for (int unpaired = 0; unpaired < 2; unpaired++) {
            double want = 0;
            memset(&x, 0, sizeof x);
            fill(&x);
            x.d.kind = RLVR_PREFER_DPO;
            CHECK(rlvr_preference_loss(&x.d, &x.b, of_plain, NULL, &plain) == RLVR_OK);
            x.d.kind = unpaired ? RLVR_PREFER_AOT_UNPAIRED : RLVR_PREFER_AOT;
            for (int i = 0; i < N; i++) {
                const double *p = &x.logprob[2 * i], *r = &x.ref[2 * i];
                first[i] = unpaired ? p[0] - r[0] : p[0] - p[1];
                second[i] = unpaired ? p[1] - r[1] : r[0] - r[1];
            }
            qsort(first, N, sizeof *first, ascending);
            qsort(second, N, sizeof *second, ascending);
            for (int i = 0; i < N; i++) want += log1p(exp(-(double)0.1f * (first[i] - second[i]))) / N;
            CHECK(rlvr_preference_loss(&x.d, &x.b, slope, reward, &s) == RLVR_OK);
            CHECK_LE(fabs(s.loss - want), 1e-8);
            CHECK_LE(fabs(s.margin - plain.margin), 1e-12);
            CHECK(s.accuracy == plain.accuracy);
            for (int i = 0; i < SEQS; i += 2) { own = slope[i] + slope[i + 1]; CHECK(unpaired || own == 0); }
            reordered += fabs(s.loss - plain.loss) > 1e-6;
            /* pairs that are all the same are sorted as they stand: dpo */
            for (int i = 2; i < SEQS; i++) { x.logprob[i] = x.logprob[i % 2]; x.ref[i] = x.ref[i % 2]; x.length[i] = x.length[i % 2]; }
            CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_OK);
            x.d.kind = RLVR_PREFER_DPO;
            CHECK(rlvr_preference_loss(&x.d, &x.b, of_plain, NULL, &plain) == RLVR_OK);
            CHECK(!memcmp(slope, of_plain, sizeof slope) && s.loss == plain.loss);
            x.d.kind = unpaired ? RLVR_PREFER_AOT_UNPAIRED : RLVR_PREFER_AOT;
            x.logprob[2] = -1e6;
            CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_OK && isfinite(s.loss));
            x.logprob[round % SEQS] = NAN;
            CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_ERROR_NUMERIC && slope[0] == 0 && s.loss == 0);
        }
    CHECK(reordered > 40);
}

static void test_names(void)
{
    for (int k = 1; k < RLVR_PREFER_COUNT; k++) CHECK(rlvr_preference_find(rlvr_preference_name((rlvr_preference_kind)k)) == (rlvr_preference_kind)k);
    CHECK(rlvr_preference_name(RLVR_PREFER_NONE) == NULL && rlvr_preference_name(RLVR_PREFER_COUNT) == NULL);
    CHECK(rlvr_preference_find("none") == RLVR_PREFER_NONE && rlvr_preference_find(NULL) == RLVR_PREFER_NONE);
    for (int k = 1; k < RLVR_PREFER_COUNT; k++) CHECK(rlvr__prefer_row_of((rlvr_preference_kind)k) != NULL);
}

static void test_refused(void)
{
    const rlvr_preference_desc bad[] = {
        {.kind = RLVR_PREFER_NONE}, {.kind = RLVR_PREFER_COUNT}, {.kind = RLVR_PREFER_DPO, .beta = -1}, {.kind = RLVR_PREFER_DPO, .beta = NAN},
        {.kind = RLVR_PREFER_IPO, .gamma = 1}, {.kind = RLVR_PREFER_KTO, .gamma = 1}, {.kind = RLVR_PREFER_DPO, .gamma = INFINITY},
        {.kind = RLVR_PREFER_IPO, .label_smoothing = 0.1f}, {.kind = RLVR_PREFER_DPO, .label_smoothing = 0.5f}, {.kind = RLVR_PREFER_ROBUST, .label_smoothing = -0.1f},
        {.kind = RLVR_PREFER_ORPO, .length = RLVR_SCORE_SUM}, {.kind = RLVR_PREFER_SIMPO, .length = RLVR_SCORE_SUM},
        {.kind = RLVR_PREFER_IMPLICIT_PRM, .length = RLVR_SCORE_MEAN}, {.kind = RLVR_PREFER_DPO, .length = RLVR_SCORE_COUNT},
        {.kind = RLVR_PREFER_KTO, .no_reference = true}, {.kind = RLVR_PREFER_NCA, .no_reference = true}, {.kind = RLVR_PREFER_IMPLICIT_PRM, .no_reference = true},
        {.kind = RLVR_PREFER_DPO, .no_reference = true, .precomputed_ref = true}, {.kind = RLVR_PREFER_ORPO, .precomputed_ref = true},
        {.kind = RLVR_PREFER_DPO, .nll_coef = -1}, {.kind = RLVR_PREFER_DPO, .nll_coef = NAN}, {.kind = RLVR_PREFER_KTO, .nll_coef = 1},
        {.kind = RLVR_PREFER_DPO, .desirable_weight = 1}, {.kind = RLVR_PREFER_KTO, .undesirable_weight = -1}, {.kind = RLVR_PREFER_DPO, .zero_baseline = true},
        {.kind = RLVR_PREFER_AOT, .no_reference = true}, {.kind = RLVR_PREFER_AOT_UNPAIRED, .length = RLVR_SCORE_MEAN},
        {.kind = RLVR_PREFER_AOT, .weighting = true}, {.kind = RLVR_PREFER_KTO, .weighting = true}, {.kind = RLVR_PREFER_AOT, .gamma = 1},
        {.kind = RLVR_PREFER_DPO, .divergence = RLVR_DIVERGENCE_COUNT}, {.kind = RLVR_PREFER_SIMPO, .divergence = RLVR_DIVERGENCE_JS},
        {.kind = RLVR_PREFER_DPO, .divergence = RLVR_DIVERGENCE_JS, .no_reference = true}, {.kind = RLVR_PREFER_DPO, .alpha = 0.5f},
        {.kind = RLVR_PREFER_DPO, .divergence = RLVR_DIVERGENCE_JS, .length = RLVR_SCORE_MEAN}, {.kind = RLVR_PREFER_HINGE, .alpha = 0.5f},
        {.kind = RLVR_PREFER_DPO, .divergence = RLVR_DIVERGENCE_FORWARD_KL, .alpha = 0.5f}, {.kind = RLVR_PREFER_SIMPO, .alpha = NAN},
        {.kind = RLVR_PREFER_DPO, .divergence = RLVR_DIVERGENCE_ALPHA, .alpha = -0.5f},
        {.kind = RLVR_PREFER_KTO, .precomputed_ref = true}, {.kind = RLVR_PREFER_KTO, .ld_alpha = 0.5f}, {.kind = RLVR_PREFER_IPO, .ld_alpha = 0.5f},
        {.kind = RLVR_PREFER_DPO, .ld_alpha = 1.5f}, {.kind = RLVR_PREFER_DPO, .ld_alpha = NAN}, {.kind = RLVR_PREFER_DPO, .ld_alpha = 0.5f, .weighting = true},
        {.kind = RLVR_PREFER_DPO, .ld_alpha = 0.5f, .precomputed_ref = true}, {.kind = RLVR_PREFER_DPO, .ld_alpha = 0.5f, .nll_coef = 1}};
    sample x;
    double slope[SEQS + SEQS / 2];
    rlvr_preference_stats s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memset(&x, 0, sizeof x);
        fill(&x);
        x.d = bad[i];
        slope[0] = 9;
        if (!CHECK(rlvr_preference_problem(&x.d, NULL) != NULL)) REPORT("case %d", (int)i);
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_ERROR_ARGUMENT && slope[0] == 0);
    }
    for (int what = 0; what < 12; what++) {
        const double gold[SEQS / 2] = {-1, -1};
        const int gold_length[SEQS / 2] = {1, 0};
        memset(&x, 0, sizeof x);
        fill(&x);
        x.d.kind = what < 4 || what == 8 || what > 9 ? RLVR_PREFER_DPO : RLVR_PREFER_KTO;
        if (what == 0) x.b.n = 3;
        if (what == 1) x.b.ref_logprob = NULL;
        if (what == 2) x.length[1] = 0;
        if (what == 3) x.b.n = -2;
        if (what == 4) x.b.desirable = NULL;
        if (what == 5) x.b.n_mismatch = 0;
        if (what == 6) x.b.mismatch_ref_logprob = NULL;
        if (what == 7) x.b.length = NULL;
        if (what == 8) x.b.logprob = NULL;
        if (what > 8) x.b.gold_logprob = gold;
        if (what != 10) x.b.gold_length = gold_length;
        CHECK(rlvr_preference_problem(&x.d, &x.b) != NULL);
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_ERROR_ARGUMENT);
    }
}

/* A third completion takes the chosen one's place in the likelihood, and nowhere else. */
static void test_gold(void)
{
    static const rlvr_preference_kind kinds[] = {RLVR_PREFER_DPO, RLVR_PREFER_SIMPO, RLVR_PREFER_ORPO, RLVR_PREFER_HINGE};
    enum { GOLD = SEQS / 2 };
    for (int k = 0; k < 4; k++) {
        sample x;
        double gold[GOLD], slope[SEQS + GOLD], pair[SEQS], sum = 0;
        int length[GOLD], tokens = 0;
        rlvr_preference_stats s, plain;
        memset(&x, 0, sizeof x);
        do fill(&x); while (near_corner(&x));
        for (int i = 0; i < GOLD; i++) { length[i] = 1 + (int)uniform(0, 9); gold[i] = -length[i] * uniform(0.2, 2); tokens += length[i]; sum -= gold[i]; }
        x.d.kind = kinds[k];
        x.d.nll_coef = k == 2 ? -1 : 0;
        CHECK(rlvr_preference_loss(&x.d, &x.b, pair, NULL, &plain) == RLVR_OK);
        x.d.nll_coef = 0.7f;
        x.b.gold_logprob = gold;
        x.b.gold_length = length;
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_OK);
        CHECK(!memcmp(slope, pair, sizeof pair) && s.preference_loss == plain.preference_loss);
        CHECK_LE(fabs(s.nll - sum / tokens), 1e-14);
        CHECK_LE(fabs(s.loss - plain.loss - (double)0.7f * sum / tokens), 1e-14);
        for (int i = SEQS; i < SEQS + GOLD; i++) CHECK_LE(fabs(slope[i] + (double)0.7f / tokens), 1e-16);
        gold[1] = NAN;
        CHECK(rlvr_preference_loss(&x.d, &x.b, slope, NULL, &s) == RLVR_ERROR_NUMERIC && slope[0] == 0 && slope[SEQS] == 0);
    }
}

/* ---- implicit process rewards ---- */

static void test_prime(void)
{
    enum { G = 4, GROUPS = 3, N = G * GROUPS };
    int offset[N + 1] = {0};
    float logprob[N * 7], ref[N * 7], reward[N * 7], outcome[N], got[N * 7];
    double worst = 0;
    for (int s = 0; s < N; s++) {
        offset[s + 1] = offset[s] + (s == 5 ? 0 : 1 + (int)uniform(0, 6));      /* one rollout without a token */
        outcome[s] = (float)((int)uniform(0, 2));
    }
    outcome[9] = NAN;                                                            /* and one without a reward */
    int n = offset[N];
    for (int i = 0; i < n; i++) { logprob[i] = (float)uniform(-4, 0); ref[i] = (float)uniform(-4, 0); }
    rlvr_implicit_reward(0.3f, logprob, ref, n, reward);
    for (int i = 0; i < n; i++) CHECK_LE(fabs((double)reward[i] - (double)0.3f * ((double)logprob[i] - (double)ref[i])), 1e-7);
    rlvr_implicit_reward(0, logprob, ref, n, got);
    CHECK_LE(fabs((double)got[0] - 0.05 * ((double)logprob[0] - (double)ref[0])), 1e-7);
    /* as the paper writes it, each sum anew */
    for (int with = 0; with < 2; with++)
        for (int g = 0; g < 2; g++) {
            double gamma = g ? 0.9 : 1;
            rlvr_prime_advantage(GROUPS, G, offset, reward, with ? outcome : NULL, g ? 0.9f : 0, got);
            for (int s = 0; s < N; s++) {
                double base = 0, base_outcome = 0;
                int others = 0;
                for (int o = s / G * G; o < s / G * G + G; o++) {
                    double mean = 0;
                    if (o == s || offset[o + 1] == offset[o] || (with && isnan(outcome[o]))) continue;
                    for (int i = offset[o]; i < offset[o + 1]; i++) mean += (double)reward[i] / (offset[o + 1] - offset[o]);
                    base += mean;
                    base_outcome += (double)outcome[o];
                    others++;
                }
                for (int i = offset[s]; i < offset[s + 1]; i++) {
                    double want = with ? (double)outcome[s] - base_outcome / others : 0;
                    for (int k = i; k < offset[s + 1]; k++) want += pow(gamma, k - i) * ((double)reward[k] - base / others);
                    if (with && isnan(outcome[s])) CHECK(got[i] == 0);
                    else worst = fmax(worst, fabs(want - (double)got[i]));
                }
            }
        }
    CHECK_LE(worst, 1e-6);
    /* no signal is exactly none: the model is its reference, and outcomes are equal */
    memset(reward, 0, sizeof reward);
    for (int s = 0; s < N; s++) outcome[s] = 0.1f;
    rlvr_prime_advantage(GROUPS, G, offset, reward, outcome, 0, got);
    for (int i = 0; i < n; i++) CHECK(got[i] == 0);
    rlvr_prime_advantage(N, 1, offset, logprob, outcome, 0, got);      /* a group of one has nothing to compare with */
    for (int i = 0; i < n; i++) CHECK(got[i] == 0);
    REPORT("PRIME's advantages against the sums: %.1e", worst);
    /* they go into the policy loss */
    rlvr_loss_desc d;
    rlvr_loss_batch b;
    rlvr_loss_stats stats;
    memset(&d, 0, sizeof d);
    memset(&b, 0, sizeof b);
    rlvr_prime_advantage(GROUPS, G, offset, logprob, outcome, 0, reward);
    b.n_seq = N;
    b.offset = offset;
    b.logprob = b.old_logprob = logprob;
    b.token_advantage = reward;
    CHECK(rlvr_policy_loss(&d, &b, got, NULL, &stats) == RLVR_OK);
    for (int i = 0; i < n; i++) CHECK_LE(fabs((double)got[i] + (double)reward[i] / n), 1e-6);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = 1;
    ctx = rlvr_open(&d);
    test_trl();
    test_differences();
    test_values();
    test_divergences();
    test_alphapo();
    test_wpo();
    test_aot();
    test_names();
    test_refused();
    test_gold();
    test_prime();
    rlvr_close(ctx);
    return test_done();
}
