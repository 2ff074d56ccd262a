/* The model against PyTorch and transformers: logits, every parameter's gradient, ten AdamW steps, greedy text; saving and
   loading; files that are not what they should be. The references are committed fixtures, which parity.py derives. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

static rlvr_ctx *ctx;

/* ---- fixtures ---- */

static float *floats(const rlvr__tensors *t, const char *name, int64_t *n)
{
    const rlvr__tensor *x = rlvr__tensor_find(t, name);
    float *out = x ? (float *)malloc((size_t)(x->n + 1) * sizeof(float)) : NULL;
    CHECK(out && rlvr__tensor_to_f32(t, x, 0, x->n, out) == RLVR_OK);
    if (n) *n = x ? x->n : 0;
    return out;
}

static int *ints(const rlvr__tensors *t, const char *name, int64_t *n)
{
    int64_t count;
    float *f = floats(t, name, &count);
    int *out = (int *)malloc((size_t)(count + 1) * sizeof(int));
    for (int64_t i = 0; i < count; i++) out[i] = (int)f[i];
    free(f);
    if (n) *n = count;
    return out;
}

/* ---- tiny random models against PyTorch ---- */

static void test_tiny(const char *name)
{
    char path[256];
    rlvr__tensors ref;
    snprintf(path, sizeof path, "tests/data/%s", name);
    rlvr_model *m = rlvr_model_load(ctx, path);
    CHECK(m != NULL);
    snprintf(path, sizeof path, "tests/data/%s/ref.safetensors", name);
    if (!m || !CHECK(rlvr__tensors_open(ctx, &ref, path) == RLVR_OK)) return;
    int64_t n_tokens, n_seq, V = m->info.n_vocab;
    int *tokens = ints(&ref, "tokens", &n_tokens), *lengths = ints(&ref, "lengths", &n_seq), offset[64] = {0};
    for (int64_t i = 0; i < n_seq; i++) offset[i + 1] = offset[i] + lengths[i];
    CHECK(offset[n_seq] == n_tokens);

    float *logits = floats(&ref, "logits", NULL), *got = (float *)malloc((size_t)(n_tokens * V) * sizeof(float));
    double worst = 0;
    for (int64_t s = 0; s < n_seq; s++) CHECK(rlvr_logits(m, tokens + offset[s], lengths[s], got + offset[s] * V) == RLVR_OK);
    for (int64_t i = 0; i < n_tokens * V; i++) worst = fmax(worst, fabs((double)got[i] - (double)logits[i]));
    CHECK_LE(worst, 1e-4);

    /* gradients of loss = -sum weight * logprob */
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    float *weight = floats(&ref, "target_weight", NULL), *logprob = floats(&ref, "logprob", NULL), *ours = (float *)calloc((size_t)n_tokens, sizeof(float));
    for (int64_t i = 0; i < n_tokens; i++) weight[i] = -weight[i];
    CHECK(rlvr_grad_tokens(t, tokens, offset, (int)n_seq, weight, ours) == RLVR_OK);
    double worst_logprob = 0, worst_grad = 0;
    for (int64_t i = 0; i < n_tokens; i++)
        if (weight[i] != 0) worst_logprob = fmax(worst_logprob, fabs((double)ours[i] - (double)logprob[i]));
    CHECK_LE(worst_logprob, 1e-4);
    const char *param;
    int64_t rows, cols;
    int n_params = 0;
    for (int i = 0; rlvr_model_param(m, i, &param, &rows, &cols); i++, n_params++) {
        char key[128];
        snprintf(key, sizeof key, "grad.%s", param);
        float *want = floats(&ref, key, NULL), *g = (float *)malloc((size_t)(rows * cols) * sizeof(float));
        CHECK(rlvr_model_get(m, param, true, g, rows * cols) == RLVR_OK);
        double difference = 0, size = 0;
        for (int64_t k = 0; want && k < rows * cols; k++) {
            difference += ((double)g[k] - (double)want[k]) * ((double)g[k] - (double)want[k]);
            size += (double)want[k] * (double)want[k];
        }
        double relative = size > 0 ? sqrt(difference / size) : 1;
        if (relative > 1e-3) printf("    %s: relative error %g\n", key, relative);
        worst_grad = fmax(worst_grad, relative);
        free(want);
        free(g);
    }
    CHECK_LE(worst_grad, 1e-3);
    CHECK(n_params == 9 * m->info.n_layers + 2 + !m->info.tied);
    rlvr_trainer_close(t);

    /* ten steps of AdamW on the mean cross-entropy */
    d.optim.lr = 1e-3f;
    d.optim.weight_decay = 0.01f;
    d.optim.max_grad_norm = -1;
    t = rlvr_trainer_open(m, &d);
    int64_t n_curve;
    float *curve = floats(&ref, "adamw_loss", &n_curve);
    double worst_loss = 0;
    CHECK(n_curve == 11);
    for (int64_t i = 0; i < n_curve; i++) {
        rlvr_metrics metrics;
        CHECK(rlvr_train_tokens(t, tokens, offset, (int)n_seq, NULL, &metrics) == RLVR_OK);
        worst_loss = fmax(worst_loss, fabs(metrics.loss - (double)curve[i]));
    }
    CHECK_LE(worst_loss, 1e-4);
    REPORT("%s: logits %.1e, logprobs %.1e, gradients %.1e relative, 10-step AdamW loss %.1e (%.3f to %.3f)", name, worst, worst_logprob,
           worst_grad, worst_loss, (double)curve[0], (double)curve[n_curve - 1]);
    rlvr_trainer_close(t);
    free(curve); free(weight); free(logprob); free(ours); free(logits); free(got); free(tokens); free(lengths);
    rlvr__tensors_close(&ref);
    rlvr_model_free(m);
}

/* ---- the real model against transformers ---- */

static void test_real_logits(rlvr_model *m)
{
    rlvr__tensors ref;
    if (!CHECK(rlvr__tensors_open(ctx, &ref, "tests/data/smollm2_ref.safetensors") == RLVR_OK)) return;
    int64_t n, n_ids, V = m->info.n_vocab, agree = 0, compared = 0;
    int *tokens = ints(&ref, "tokens", &n), *argmax = ints(&ref, "argmax", NULL), *ids = ints(&ref, "vocab_ids", &n_ids);
    float *max = floats(&ref, "max", NULL), *logsumexp = floats(&ref, "logsumexp", NULL), *some = floats(&ref, "logits", NULL);
    float *logprob = floats(&ref, "logprob", NULL), *score = (float *)malloc((size_t)n * sizeof(float)), *row = (float *)malloc((size_t)(n * V) * sizeof(float));
    CHECK(n >= 512 && rlvr_logits(m, tokens, (int)n, row) == RLVR_OK && rlvr_score(m, tokens, (int)n, NULL, score) == RLVR_OK);
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *z = row + i * V;
        int best = 0;
        double sum = 0;
        for (int v = 1; v < V; v++) if (z[v] > z[best]) best = v;
        for (int v = 0; v < V; v++) sum += exp((double)z[v] - (double)z[best]);
        agree += best == argmax[i];
        worst = fmax(worst, fabs((double)z[argmax[i]] - (double)max[i]));
        worst = fmax(worst, fabs((double)z[best] + log(sum) - (double)logsumexp[i]));
        for (int64_t k = 0; k < n_ids; k++, compared++) worst = fmax(worst, fabs((double)z[ids[k]] - (double)some[i * n_ids + k]));
        if (i + 1 < n) worst = fmax(worst, fabs((double)score[i] - (double)logprob[i]));
    }
    CHECK_LE(worst, 2e-3);
    CHECK(agree == n);
    REPORT("SmolLM2-135M: %lld tokens of real text, %lld logits compared: max |difference| %.1e, arg-max equal at %lld", (long long)n,
           (long long)compared, worst, (long long)agree);
    free(tokens); free(argmax); free(ids); free(max); free(logsumexp); free(some); free(logprob); free(score); free(row);
    rlvr__tensors_close(&ref);
}

static void test_real_greedy(rlvr_model *m, int most)
{
    rlvr__json *j = rlvr__json_load(ctx, "tests/data/smollm2_greedy.json");
    const rlvr__json *list = rlvr__json_get(j, "greedy");
    int same = 0, count = 0;
    CHECK(j != NULL);
    RLVR__JSON_EACH(item, list) {
        if (count == most) break;
        rlvr_task task;
        memset(&task, 0, sizeof task);
        task.prompt = rlvr__json_str(rlvr__json_get(item, "prompt"), NULL);
        rlvr_sampling s;
        memset(&s, 0, sizeof s);
        s.greedy = true;
        s.max_tokens = 64;
        rlvr_rollouts *r = NULL;
        CHECK(rlvr_sample(m, &task, 1, 1, &s, &r) == RLVR_OK);
        const rlvr_rollout *o = rlvr_rollouts_get(r, 0);
        const rlvr__json *prompt_ids = rlvr__json_get(item, "prompt_tokens"), *ids = rlvr__json_get(item, "tokens");
        bool equal = rlvr__json_count(prompt_ids) == o->n_prompt && rlvr__json_count(ids) == o->n_tokens;
        int i = 0;
        RLVR__JSON_EACH(id, prompt_ids) { equal = equal && rlvr__json_int(id, -1) == o->prompt_tokens[i]; i++; }
        i = 0;
        RLVR__JSON_EACH(id, ids) { equal = equal && rlvr__json_int(id, -1) == o->tokens[i]; i++; }
        if (!equal) printf("    differs: %s -> %s\n", task.prompt, o->text);
        same += equal;
        count++;
        rlvr_rollouts_free(r);
    }
    CHECK(count == most && same == count);
    REPORT("SmolLM2-135M: greedy 64 tokens equal to transformers' on %d of %d prompts", same, count);
    rlvr__json_free(ctx, j);
}

/* ---- saving and loading ---- */

static void test_save(rlvr_model *m, const char *folder)
{
    uint64_t hash = rlvr_model_hash(m);
    CHECK(rlvr_model_save(m, folder) == RLVR_OK);
    rlvr_model *again = rlvr_model_load(ctx, folder);
    CHECK(again && rlvr_model_hash(again) == hash && !memcmp(&again->info.n_vocab, &m->info.n_vocab, offsetof(rlvr_model_desc, tied)));
    if (again) {
        int *a, *b, n = rlvr_tokenize(m, "2 + 2 = 4, na\xc3\xafve", 17, true, &a), k = rlvr_tokenize(again, "2 + 2 = 4, na\xc3\xafve", 17, true, &b);
        CHECK(n > 0 && n == k && !memcmp(a, b, (size_t)n * sizeof(int)) && rlvr_token_eos(m) == rlvr_token_eos(again));
        rlvr_free(ctx, a);
        rlvr_free(ctx, b);
    }
    rlvr_model_free(again);
    CHECK(rlvr_model_save(m, "/proc/nowhere") == RLVR_ERROR_IO);
}

static rlvr_model *byte_model(void)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 258; d.n_ctx = 64; d.d_model = 24; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 6; d.d_ff = 40; d.tied = true;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    CHECK(m && rlvr_model_set_byte_tokenizer(m, special, 2) == RLVR_OK);
    return m;
}

/* ---- what is not as it should be ---- */

static void replace(const char *path, const char *from, const char *to)
{
    static char text[1 << 20], out[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f) fclose(f);
    char *at = strstr(text, from);
    CHECK(at != NULL);
    if (!at) return;
    int before = (int)(at - text);
    size_t m = (size_t)snprintf(out, sizeof out, "%.*s%s%s", before, text, to, at + strlen(from));
    f = fopen(path, "wb");
    CHECK(f && fwrite(out, 1, m, f) == m);
    if (f) fclose(f);
}

static void test_bad_files(void)
{
    const char *folder = "build/test_model.bad", *config = "build/test_model.bad/config.json", *weights = "build/test_model.bad/model.safetensors";
    rlvr_model *m = byte_model();
    static const struct { const char *from, *to, *word; } change[] = {
        {"\"model_type\": \"llama\"", "\"model_type\": \"mamba\"", "mamba"}, {"\"hidden_size\": 24", "\"hidden_size\": 25", "is not ("},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "missing"}, {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "multiple"},
        {"\"vocab_size\": 258", "\"vocab_size\": -1", "vocab_size"}, {"\"head_dim\": 6", "\"head_dim\": 7", "even"},
        {"\"attention_bias\": false", "\"attention_bias\": true", "bias"}, {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "silu"},
        {"{", "[", "config.json"}};
    for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
        CHECK(rlvr_model_save(m, folder) == RLVR_OK);
        replace(config, change[i].from, change[i].to);
        rlvr_model *bad = rlvr_model_load(ctx, folder);
        if (!test_check(!bad && strstr(rlvr_last_error(ctx), change[i].word) && strstr(rlvr_last_error(ctx), folder), __FILE__, __LINE__, change[i].to))
            printf("    %s\n", rlvr_last_error(ctx));
        rlvr_model_free(bad);
    }
    /* a NaN among the weights, a weights file cut anywhere, none at all */
    CHECK(rlvr_model_save(m, folder) == RLVR_OK);
    struct stat st;
    CHECK(stat(weights, &st) == 0);
    FILE *f = fopen(weights, "r+b");
    float nan_value = NAN;
    fseek(f, -40, SEEK_END);
    fwrite(&nan_value, 4, 1, f);
    fclose(f);
    CHECK(!rlvr_model_load(ctx, folder) && strstr(rlvr_last_error(ctx), "not finite"));
    for (long cut = st.st_size - 1; cut >= 0; cut -= st.st_size / 40 + 1) {
        CHECK(truncate(weights, cut) == 0);
        CHECK(rlvr_model_load(ctx, folder) == NULL);
    }
    remove(weights);
    CHECK(!rlvr_model_load(ctx, folder) && strstr(rlvr_last_error(ctx), "model.safetensors"));
    CHECK(!rlvr_model_load(ctx, "build/nothing"));
    float row[24] = {0};
    CHECK(rlvr_model_get(m, "model.norm.weight", false, row, 24) == RLVR_OK && row[3] == 1.0f);
    CHECK(rlvr_model_get(m, "model.norm.weight", false, row, 23) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_model_get(m, "no.such.weight", false, row, 24) == RLVR_ERROR_ARGUMENT);
    CHECK(rlvr_model_get(m, "model.norm.weight", true, row, 24) == RLVR_ERROR_ARGUMENT);
    row[5] = INFINITY;
    CHECK(rlvr_model_set(m, "model.norm.weight", row, 24) == RLVR_ERROR_NUMERIC);
    int tokens[80] = {0};
    float out[80];
    CHECK(rlvr_score(m, tokens, 65, NULL, out) == RLVR_ERROR_CONTEXT);
    tokens[3] = 258;
    CHECK(rlvr_score(m, tokens, 8, NULL, out) == RLVR_ERROR_ARGUMENT);
    rlvr_task task;
    memset(&task, 0, sizeof task);
    char longer[200];
    memset(longer, 'a', 199);
    longer[199] = 0;
    task.prompt = longer;
    task.line = 7;
    rlvr_rollouts *r = NULL;
    CHECK(rlvr_sample(m, &task, 1, 2, NULL, &r) == RLVR_ERROR_CONTEXT && strstr(rlvr_last_error(ctx), "line 7"));
    rlvr_rollouts_free(r);
    rlvr_model_free(m);
}

typedef struct failing { int64_t live, calls, fail_at; } failing;
static void *fail_alloc(void *user, void *p, size_t n)
{
    failing *f = (failing *)user;
    (void)p;
    if (++f->calls == f->fail_at) return NULL;
    f->live++;
    return malloc(n);
}
static void fail_free(void *user, void *p) { ((failing *)user)->live--; free(p); }

static rlvr_result one(const rlvr_rollout *r, void *user, float *reward) { (void)user; *reward = (float)(r->n_tokens % 3); return RLVR_OK; }

/* Out of memory at every single allocation of load, train, save: an error each time, no crash, no leak. */
static void test_out_of_memory(void)
{
    rlvr_model *m = byte_model();
    CHECK(rlvr_model_save(m, "build/test_model.oom") == RLVR_OK);
    rlvr_model_free(m);
    rlvr_task task;
    memset(&task, 0, sizeof task);
    task.prompt = "ab";
    int step = getenv("RLVR_TEST_QUICK") ? 7 : 1, finished = 0;
    for (int64_t at = 1; !finished && at < 5000; at += step) {
        failing f = {0, 0, at};
        rlvr_desc d;
        memset(&d, 0, sizeof d);
        d.n_threads = 1;
        d.quiet = true;
        d.realloc_fn = fail_alloc;
        d.free_fn = fail_free;
        d.alloc_user = &f;
        rlvr_ctx *c = rlvr_open(&d);
        rlvr_model *model = c ? rlvr_model_load(c, "build/test_model.oom") : NULL;
        rlvr_tasks *tasks = model ? rlvr_tasks_new(c) : NULL;
        rlvr_trainer *t = NULL;
        bool ok = tasks && rlvr_tasks_add(tasks, &task) == RLVR_OK;
        if (ok) {
            rlvr_trainer_desc td;
            memset(&td, 0, sizeof td);
            td.tasks = tasks;
            td.reward.fn = one;
            td.prompts_per_step = 2;
            td.group_size = 2;
            td.sampling.max_tokens = 4;
            td.max_prompt_tokens = 48;
            t = rlvr_trainer_open(model, &td);
            ok = t && rlvr_train_step(t, NULL) == RLVR_OK && rlvr_model_save(model, "build/test_model.oom2") == RLVR_OK;
        }
        if (c && !ok && !strstr(rlvr_last_error(c), "memory")) {
            printf("    allocation %lld: \"%s\"\n", (long long)at, rlvr_last_error(c));
            CHECK(0);
        }
        rlvr_trainer_close(t);
        rlvr_tasks_free(tasks);
        rlvr_model_free(model);
        rlvr_close(c);
        if (f.live) printf("    allocation %lld: %lld blocks leaked\n", (long long)at, (long long)f.live);
        CHECK(f.live == 0);
        finished = f.calls < at;
        CHECK(ok == finished);
    }
    CHECK(finished);
}

int main(void)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.quiet = true;
    ctx = rlvr_open(&d);
    test_tiny("tiny_tied_gqa");
    test_tiny("tiny_tied_mha");
    test_tiny("tiny_untied_gqa");
    test_tiny("tiny_untied_mha");
    rlvr_model *m = byte_model();
    test_save(m, "build/test_model.saved");
    rlvr_model_free(m);
    test_bad_files();
    test_out_of_memory();

    char fallback[512];
    snprintf(fallback, sizeof fallback, "%s/.cache/rlvr/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("HOME") ? getenv("HOME") : "");
    const char *path = test_file("RLVR_MODEL", fallback);
    if (path && !getenv("RLVR_TEST_QUICK")) {
        m = rlvr_model_load(ctx, path);
        CHECK(m && rlvr_model_n_params(m) == 134515008);
        if (m) {
            test_real_logits(m);
            test_real_greedy(m, 20);
            test_save(m, "build/test_model.real");
        }
        rlvr_model_free(m);
    }
    rlvr_close(ctx);
    return test_done();
}
