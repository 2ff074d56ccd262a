/* The library as a command line: build/rlvr help. Every subcommand is a thin call of public functions; only JSON goes through
   the library's own reader and writer (rlvr__json_...), which this file sees because it holds the implementation. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"

typedef struct args {
    const char *model, *tasks, *prompt, *reward, *out, *resume, *stop_tokens, *title, *field;
    const char *stop[16];  int n_stop;
    int n, steps, threads, bootstrap, level;
    const char *cpu;
    long long seed;
    bool json, raw, greedy, decode, chat, special, params;
    rlvr_sampling sampling;
    rlvr_trainer_desc trainer;
    const char *words[256];  int n_words;
} args;

#define AT(field) offsetof(args, field)

static const option machine_options[] = {
    {"threads", OPT_INT, AT(threads), "all cores", "threads"},
    {"cpu", OPT_TEXT, AT(cpu), "the best there is", "avx512, avx2, neon or portable"},
};
static const option model_options[] = {{"model", OPT_TEXT, AT(model), "", "GGUF file or safetensors folder"}};
static const option json_options[] = {{"json", OPT_FLAG, AT(json), "", "print JSON"}};
static const option raw_options[] = {{"raw", OPT_FLAG, AT(raw), "", "prompts are not put through the chat template"}};
static const option info_options[] = {{"params", OPT_FLAG, AT(params), "", "list the parameter tensors too"}};
static const option tokenize_options[] = {
    {"chat", OPT_FLAG, AT(chat), "", "put the text through the chat template first"},
    {"decode", OPT_FLAG, AT(decode), "", "the other way: token numbers in, text out"},
};
static const option tasks_options[] = {
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL: {\"prompt\":...} or {\"messages\":[...]}, with \"answer\""},
    {"reward", OPT_TEXT, AT(reward), "number", "the verifier: exact or number"},
};
static const option generate_options[] = {
    {"prompt", OPT_TEXT, AT(prompt), "", "the prompt; else a word of the command line, --tasks, or stdin (text or JSONL)"},
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL file of prompts"},
    {"n", OPT_INT, AT(n), "1", "samples of each prompt (also -n)"},
    {"greedy", OPT_FLAG, AT(greedy), "", "always the most probable token (as --temperature 0)"},
};
static const option eval_options[] = {
    {"n", OPT_INT, AT(n), "1", "samples of each task (also -n)"},
    {"greedy", OPT_FLAG, AT(greedy), "", "also one greedy completion of each task"},
    {"bootstrap", OPT_INT, AT(bootstrap), "1000", "resamples of the interval, by prompt"},
};
static const option sampling_options[] = {
    {"temperature", OPT_FLOAT, AT(sampling.temperature), "1", "divides the logits"},
    {"top_k", OPT_INT, AT(sampling.top_k), "0", "draw from the k most probable tokens; 0: off"},
    {"top_p", OPT_FLOAT, AT(sampling.top_p), "1", "draw from the most probable tokens of this much probability"},
    {"min_p", OPT_FLOAT, AT(sampling.min_p), "0", "drop tokens less probable than this times the most probable; 0: off"},
    {"max_tokens", OPT_INT, AT(sampling.max_tokens), "256", "longest completion"},
    {"min_tokens", OPT_INT, AT(sampling.min_tokens), "0", "no end before this many tokens"},
    {"stop_tokens", OPT_TEXT, AT(stop_tokens), "", "token numbers that end a completion, as 1,2,3"},
    {"ignore_eos", OPT_FLAG, AT(sampling.ignore_eos), "", "the end-of-text token does not end a completion"},
    {"max_batch", OPT_INT, AT(sampling.max_batch), "256", "rollouts decoded at once"},
    {"seed", OPT_LONG, AT(seed), "0", "the same seed gives the same bits"},
};
static const option train_options[] = {
    {"steps", OPT_INT, AT(steps), "100", "steps"},
    {"out", OPT_TEXT, AT(out), "", "folder of metrics.jsonl, completions.jsonl, checkpoint and model/"},
    {"resume", OPT_TEXT, AT(resume), "", "go on with the run in this folder; its options are those it was begun with"},
    {"prompts_per_step", OPT_INT, AT(trainer.prompts_per_step), "8", "prompts in a step"},
    {"group_size", OPT_INT, AT(trainer.group_size), "8", "rollouts of each"},
    {"advantage", OPT_CHOICE, AT(trainer.advantage), "", "grpo|dr_grpo"},
    {"clip_eps_low", OPT_FLOAT, AT(trainer.loss.clip_eps_low), "0.2", "the ratio is clipped below 1 - this"},
    {"clip_eps_high", OPT_FLOAT, AT(trainer.loss.clip_eps_high), "as low", "... and above 1 + this"},
    {"aggregation", OPT_CHOICE, AT(trainer.loss.aggregation), "", "token_mean|seq_mean_token_mean|seq_mean_token_sum_norm"},
    {"kl", OPT_CHOICE, AT(trainer.loss.kl), "", "k3|k1|k2"},
    {"kl_coef", OPT_FLOAT, AT(trainer.loss.kl_coef), "0", "weight of the divergence from the model at the start; 0: none"},
    {"loss_max_tokens", OPT_INT, AT(trainer.loss.max_tokens), "max_tokens", "the constant of seq_mean_token_sum_norm"},
    {"lr", OPT_FLOAT, AT(trainer.optim.lr), "1e-5", "learning rate"},
    {"beta1", OPT_FLOAT, AT(trainer.optim.beta1), "0.9", "AdamW"},
    {"beta2", OPT_FLOAT, AT(trainer.optim.beta2), "0.999", "AdamW"},
    {"eps", OPT_FLOAT, AT(trainer.optim.eps), "1e-8", "AdamW"},
    {"weight_decay", OPT_FLOAT, AT(trainer.optim.weight_decay), "0", "on matrices"},
    {"max_grad_norm", OPT_FLOAT, AT(trainer.optim.max_grad_norm), "1", "clip the gradient to this norm; below 0: do not"},
    {"warmup_steps", OPT_INT, AT(trainer.optim.warmup_steps), "0", "updates until the learning rate is whole"},
    {"total_steps", OPT_INT, AT(trainer.optim.total_steps), "all updates", "updates in the schedule"},
    {"schedule", OPT_CHOICE, AT(trainer.optim.schedule), "", "constant|cosine|linear"},
    {"lr_min", OPT_FLOAT, AT(trainer.optim.lr_min), "0", "learning rate at the end of the schedule"},
    {"epochs", OPT_INT, AT(trainer.epochs), "1", "passes over each batch of rollouts"},
    {"minibatches", OPT_INT, AT(trainer.minibatches), "1", "updates in each pass"},
    {"max_prompt_tokens", OPT_INT, AT(trainer.max_prompt_tokens), "256", "a longer prompt is refused"},
    {"micro_tokens", OPT_INT, AT(trainer.micro_tokens), "as memory allows", "most token rows in one training pass"},
    {"two_forwards", OPT_FLAG, AT(trainer.two_forwards), "", "do not keep decoding's activations for the backward pass"},
    {"memory_limit", OPT_LONG, AT(trainer.memory_limit), "90 % of what is free", "bytes that the plan may use"},
    {"save_every", OPT_COUNT, AT(trainer.save_every), "20", "steps between checkpoints; 0: none but on Ctrl-C"},
    {"log_completions", OPT_COUNT, AT(trainer.log_completions), "8", "rollouts of each step in completions.jsonl; -1: all"},
};
static const option plot_options[] = {
    {"out", OPT_TEXT, AT(out), "", "the SVG file to write"},
    {"field", OPT_TEXT, AT(field), "reward", "what to plot, by its name in metrics.jsonl"},
    {"title", OPT_TEXT, AT(title), "", "above the chart"},
};

static const option make_tasks_options[] = {
    {"n", OPT_INT, AT(n), "1", "tasks (also -n)"},
    {"level", OPT_INT, AT(level), "1", "how hard, 1 to 5"},
    {"seed", OPT_LONG, AT(seed), "0", "the same seed makes the same tasks, everywhere"},
};

typedef struct group { const option *list; int n; } group;
#define GROUP(list) {list, COUNT(list)}

/* ---- shared pieces ---- */

static rlvr_ctx *open_ctx(const args *a)
{
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = a->threads;
    desc.cpu = a->cpu;
    return rlvr_open(&desc);
}

static rlvr_model *open_model(rlvr_ctx *ctx, const char *path)
{
    if (!path) fprintf(stderr, "rlvr: --model is missing\n");
    return path && ctx ? rlvr_model_load(ctx, path) : NULL;
}

static char *read_all(FILE *f, size_t *len)
{
    size_t cap = 1 << 16;
    char *text = (char *)malloc(cap);
    for (*len = 0; text; ) {
        *len += fread(text + *len, 1, cap - *len - 1, f);
        if (*len + 1 < cap) { text[*len] = 0; return text; }
        char *more = (char *)realloc(text, cap *= 2);
        if (!more) free(text);
        text = more;
    }
    return NULL;
}

/* The tasks of a file, "-" being stdin; with raw, each marked so. */
static rlvr_tasks *open_tasks(rlvr_ctx *ctx, const char *path, bool raw)
{
    char spool[] = "/tmp/rlvr_tasks_XXXXXX";
    bool from_stdin = path && !strcmp(path, "-");
    if (!path) { fprintf(stderr, "rlvr: --tasks is missing\n"); return NULL; }
    if (from_stdin) {      /* the library reads files that it can measure */
        size_t len;
        char *text = read_all(stdin, &len);
        int fd = mkstemp(spool);
        FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
        if (!text || !f || fwrite(text, 1, len, f) != len || fclose(f)) fprintf(stderr, "rlvr: %s: cannot write\n", spool);
        free(text);
        path = spool;
    }
    rlvr_tasks *tasks = rlvr_tasks_load_jsonl(ctx, path), *copy = raw && tasks ? rlvr_tasks_new(ctx) : NULL;
    if (from_stdin) remove(spool);
    for (int64_t i = 0; copy && i < rlvr_tasks_count(tasks); i++) {
        rlvr_task task = *rlvr_tasks_get(tasks, i);
        task.raw = task.prompt != NULL;
        if (rlvr_tasks_add(copy, &task) != RLVR_OK) return NULL;
    }
    if (copy) rlvr_tasks_free(tasks);
    return raw ? copy : tasks;
}

static bool find_reward(const args *a, rlvr_reward_desc *reward)
{
    memset(reward, 0, sizeof *reward);
    reward->kind = rlvr_reward_find(a->reward);
    if (!reward->kind) fprintf(stderr, "rlvr: --reward: there is no verifier \"%s\"; exact or number\n", a->reward);
    return reward->kind != RLVR_REWARD_NONE;
}

static void put_tokens(rlvr__buf *b, const int *tokens, int n)
{
    rlvr__buf_addf(b, "[");
    for (int i = 0; i < n; i++) rlvr__buf_addf(b, i ? ",%d" : "%d", tokens[i]);
    rlvr__buf_addf(b, "]");
}

static void put_floats(rlvr__buf *b, const float *x, int n)
{
    rlvr__buf_addf(b, "[");
    for (int i = 0; i < n; i++) {
        if (i) rlvr__buf_addf(b, ",");
        rlvr__json_put_float(b, x[i]);
    }
    rlvr__buf_addf(b, "]");
}

static bool print_buf(rlvr__buf *b)      /* and empties it */
{
    bool ok = !b->failed && fwrite(b->data, 1, b->len, stdout) == b->len && fflush(stdout) == 0;
    b->len = 0;
    return ok;
}

/* ---- info, tokenize ---- */

static rlvr_result info(rlvr_ctx *ctx, args *a)
{
    const char *path = a->n_words ? a->words[0] : a->model, *name;
    rlvr_model *m = open_model(ctx, path);
    if (!m) return RLVR_ERROR_IO;
    const rlvr_model_desc *d = rlvr_model_info(m);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    int64_t rows, cols;
    if (a->json) {
        rlvr__buf_addf(&b, "{\"file\":");
        rlvr__json_put_string(&b, path, strlen(path));
        rlvr__buf_addf(&b, ",\"n_params\":%lld,\"n_vocab\":%d,\"n_ctx\":%d,\"d_model\":%d,\"n_layers\":%d,\"n_heads\":%d,\"n_kv_heads\":%d,"
                       "\"head_dim\":%d,\"d_ff\":%d,\"rope_theta\":%.9g,\"rms_eps\":%.9g,\"tied\":%s,\"eos\":%d,\"hash\":\"%016llx\"",
                       (long long)rlvr_model_n_params(m), d->n_vocab, d->n_ctx, d->d_model, d->n_layers, d->n_heads, d->n_kv_heads,
                       d->head_dim, d->d_ff, (double)d->rope_theta, (double)d->rms_eps, d->tied ? "true" : "false", rlvr_token_eos(m),
                       (unsigned long long)rlvr_model_hash(m));
        for (int i = 0; a->params && rlvr_model_param(m, i, &name, &rows, &cols); i++)
            rlvr__buf_addf(&b, "%s{\"name\":\"%s\",\"rows\":%lld,\"cols\":%lld}", i ? "," : ",\"params\":[", name, (long long)rows, (long long)cols);
        rlvr__buf_addf(&b, a->params ? "]}\n" : "}\n");
    } else {
        rlvr__buf_addf(&b, "machine    %s\n", rlvr_describe(ctx));
        rlvr__buf_addf(&b, "file       %s\nmodel      llama, %.1f M parameters, %s head\n", path, 1e-6 * (double)rlvr_model_n_params(m),
                       d->tied ? "tied" : "untied");
        rlvr__buf_addf(&b, "shape      %d layers, width %d, %d heads of %d (%d for keys and values), feed-forward %d\n", d->n_layers, d->d_model,
                       d->n_heads, d->head_dim, d->n_kv_heads, d->d_ff);
        rlvr__buf_addf(&b, "context    %d tokens, vocabulary %d, end of text %d, rope theta %g, rms eps %g\n", d->n_ctx, d->n_vocab,
                       rlvr_token_eos(m), (double)d->rope_theta, (double)d->rms_eps);
        rlvr__buf_addf(&b, "hash       %016llx\n", (unsigned long long)rlvr_model_hash(m));
        for (int i = 0; a->params && rlvr_model_param(m, i, &name, &rows, &cols); i++)
            rlvr__buf_addf(&b, "%-52s %6lld x %lld\n", name, (long long)rows, (long long)cols);
    }
    return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

static rlvr_result tokenize(rlvr_ctx *ctx, args *a)
{
    rlvr_model *m = open_model(ctx, a->model);
    size_t len = 0;
    char *text = NULL;
    if (!m) return RLVR_ERROR_IO;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (a->n_words)
        for (int i = 0; i < a->n_words; i++) rlvr__buf_addf(&b, i ? " %s" : "%s", a->words[i]);
    else if ((text = read_all(stdin, &len)) != NULL) { rlvr__buf_add(&b, text, len); free(text); }
    char *in = rlvr__strndup(ctx, b.data ? b.data : "", b.len);
    len = b.len;
    b.len = 0;
    if (!in) return RLVR_ERROR_MEMORY;
    if (a->decode) {
        int n = 0, *tokens = RLVR__NEW(ctx, int, len + 1);
        if (!tokens) return RLVR_ERROR_MEMORY;
        for (char *p = in, *end; *p; p = end) {
            p += strspn(p, " ,[]\r\n\t");
            if (!*p) break;
            long id = strtol(p, &end, 10);
            if (end == p || id < 0 || id >= rlvr_model_info(m)->n_vocab) {
                fprintf(stderr, "rlvr: \"%.20s\": not a token of this model\n", p);
                return RLVR_ERROR_ARGUMENT;
            }
            tokens[n++] = (int)id;
        }
        char *out = rlvr_detokenize(m, tokens, n, true, &len);
        if (!out) return RLVR_ERROR_MEMORY;
        if (a->json) { rlvr__buf_addf(&b, "{\"text\":"); rlvr__json_put_string(&b, out, len); rlvr__buf_addf(&b, "}\n"); }
        else { rlvr__buf_add(&b, out, len); rlvr__buf_add(&b, "\n", 1); }
        return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
    }
    if (a->chat) {
        rlvr_message message = {"user", in};
        in = rlvr_chat(m, &message, 1, &len);
        if (!in) return RLVR_ERROR_ARGUMENT;
    }
    int *tokens, n = rlvr_tokenize(m, in, len, true, &tokens);
    if (n < 0) return RLVR_ERROR_ARGUMENT;
    if (a->json) { rlvr__buf_addf(&b, "{\"tokens\":"); put_tokens(&b, tokens, n); rlvr__buf_addf(&b, "}\n"); }
    else {
        for (int i = 0; i < n; i++) rlvr__buf_addf(&b, i ? " %d" : "%d", tokens[i]);
        rlvr__buf_addf(&b, "\n");
    }
    return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

/* ---- generate ---- */

static bool stream_text(void *user, int prompt, int rollout, const char *text, size_t len)
{
    (void)user; (void)prompt; (void)rollout;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
    return !interrupted;
}

static rlvr_tasks *prompts(rlvr_ctx *ctx, args *a)
{
    size_t len = 0;
    char *text = NULL;
    rlvr_task task;
    if (a->tasks) return open_tasks(ctx, a->tasks, a->raw);
    if (!a->prompt && a->n_words) a->prompt = a->words[0];
    if (!a->prompt) {      /* stdin: JSONL where it begins as such, else one prompt */
        int c = getc(stdin);
        ungetc(c, stdin);
        if (c == '{') return open_tasks(ctx, "-", a->raw);
        a->prompt = text = read_all(stdin, &len);
        while (text && len && (text[len - 1] == '\n' || text[len - 1] == '\r') && !a->raw) text[--len] = 0;
    }
    memset(&task, 0, sizeof task);
    task.prompt = a->prompt;
    task.raw = a->raw;
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    if (tasks && rlvr_tasks_add(tasks, &task) != RLVR_OK) tasks = NULL;
    free(text);
    return tasks;
}

static rlvr_result generate(rlvr_ctx *ctx, args *a)
{
    static const char *const finish[] = {"none", "stop", "length"};
    rlvr_model *m = open_model(ctx, a->model);
    rlvr_tasks *tasks = m ? prompts(ctx, a) : NULL;
    if (!tasks) return RLVR_ERROR_IO;
    int64_t count = rlvr_tasks_count(tasks), piece = RLVR__MAX(1, 256 / a->n);
    bool stream = count == 1 && a->n == 1 && !a->json;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr_rollouts *r = NULL;
    rlvr_result result = RLVR_OK;
    a->sampling.greedy |= a->greedy;
    if (stream) a->sampling.on_text = stream_text;
    catch_interrupt();
    for (int64_t at = 0; at < count && result == RLVR_OK && !interrupted; at += piece) {
        a->sampling.first_prompt = (uint32_t)at;
        result = rlvr_sample(m, rlvr_tasks_get(tasks, at), (int)RLVR__MIN(piece, count - at), a->n, &a->sampling, &r);
        for (int i = 0; result == RLVR_OK && i < rlvr_rollouts_count(r); i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(r, i);
            if (stream) { rlvr__buf_addf(&b, "\n"); continue; }
            if (!a->json) {
                if (count > 1 || a->n > 1) rlvr__buf_addf(&b, "# prompt %d, sample %d: %d tokens, %s\n", (int)at + o->prompt_index + 1,
                                                          o->index + 1, o->n_tokens, finish[o->finish_reason]);
                rlvr__buf_add(&b, o->text, o->text_len);
                rlvr__buf_addf(&b, "\n");
                continue;
            }
            rlvr__buf_addf(&b, "{\"prompt\":%d,\"sample\":%d,\"text\":", (int)at + o->prompt_index, o->index);
            rlvr__json_put_string(&b, o->text, o->text_len);
            rlvr__buf_addf(&b, ",\"finish_reason\":\"%s\",\"prompt_tokens\":", finish[o->finish_reason]);
            put_tokens(&b, o->prompt_tokens, o->n_prompt);
            rlvr__buf_addf(&b, ",\"tokens\":");
            put_tokens(&b, o->tokens, o->n_tokens);
            rlvr__buf_addf(&b, ",\"logprobs\":");
            put_floats(&b, o->logprobs, o->n_tokens);
            rlvr__buf_addf(&b, "}\n");
        }
        if (!print_buf(&b)) result = RLVR_ERROR_IO;
    }
    return interrupted ? RLVR_STOPPED : result;
}

/* ---- score ---- */

/* The tokens of a line: given, or of its prompt (or messages) and completion. Returns their number, -1 on failure. */
static int score_tokens(rlvr_model *m, const rlvr__json *line, bool raw, int64_t number, int **tokens, int *n_prompt)
{
    rlvr_ctx *ctx = rlvr_model_ctx(m);
    const rlvr__json *list = rlvr__json_get(line, "tokens");
    size_t len, completion_len;
    const char *prompt = rlvr__json_str(rlvr__json_get(line, "prompt"), &len), *completion = rlvr__json_str(rlvr__json_get(line, "completion"), &completion_len);
    int n = 0, *rest = NULL;
    *n_prompt = 0;
    if (rlvr__json_is(list, RLVR__JSON_ARRAY)) {
        if (!(*tokens = RLVR__NEW(ctx, int, rlvr__json_count(list) + 1))) return -1;
        RLVR__JSON_EACH(item, list) {
            int64_t id = rlvr__json_int(item, -1);
            if (id < 0 || id >= rlvr_model_info(m)->n_vocab) {
                fprintf(stderr, "rlvr: stdin:%lld: tokens[%d] is not a token of this model\n", (long long)number, n);
                return -1;
            }
            (*tokens)[n++] = (int)id;
        }
        return n;
    }
    if (!prompt || !completion) {
        fprintf(stderr, "rlvr: stdin:%lld: write {\"tokens\":[...]} or {\"prompt\":\"...\",\"completion\":\"...\"}\n", (long long)number);
        return -1;
    }
    rlvr_message message = {"user", prompt};
    char *text = raw ? NULL : rlvr_chat(m, &message, 1, &len);
    if (!raw && !text) return -1;
    *n_prompt = rlvr_tokenize(m, raw ? prompt : text, len, true, tokens);
    n = rlvr_tokenize(m, completion, completion_len, true, &rest);      /* apart, as the sampler would have added them */
    rlvr_free(ctx, text);
    if (*n_prompt < 0 || n < 0) return -1;
    int *all = RLVR__NEW(ctx, int, *n_prompt + n + 1);
    if (!all) return -1;
    if (*n_prompt) memcpy(all, *tokens, (size_t)*n_prompt * sizeof(int));
    if (n) memcpy(all + *n_prompt, rest, (size_t)n * sizeof(int));
    rlvr_free(ctx, *tokens);
    rlvr_free(ctx, rest);
    *tokens = all;
    return *n_prompt + n;
}

static rlvr_result score(rlvr_ctx *ctx, args *a)
{
    rlvr_model *m = open_model(ctx, a->model);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr_result r = m ? RLVR_OK : RLVR_ERROR_IO;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    for (int64_t number = 1; r == RLVR_OK && (len = getline(&line, &cap, stdin)) >= 0; number++) {
        int *tokens = NULL, n_prompt = 0;
        if (strspn(line, " \t\r\n") == (size_t)len) continue;
        rlvr__json *j = rlvr__json_parse(ctx, "stdin", line, (size_t)len, number);
        int n = j ? score_tokens(m, j, a->raw, number, &tokens, &n_prompt) : -1;
        float *logprobs = n >= 0 ? RLVR__NEW(ctx, float, n + 1) : NULL;
        r = logprobs ? RLVR_OK : RLVR_ERROR_FORMAT;
        if (r == RLVR_OK && n > 1) r = rlvr_score(m, tokens, n, NULL, logprobs);
        if (r == RLVR_OK) {
            rlvr__buf_addf(&b, "{\"logprobs\":");
            put_floats(&b, logprobs, n > 1 ? n - 1 : 0);
            if (n_prompt) rlvr__buf_addf(&b, ",\"n_prompt\":%d", n_prompt);
            rlvr__buf_addf(&b, "}\n");
            if (!print_buf(&b)) r = RLVR_ERROR_IO;
        }
        rlvr__json_free(ctx, j);
        rlvr_free(ctx, tokens);
        rlvr_free(ctx, logprobs);
    }
    free(line);
    return r;
}

/* ---- eval ---- */

static rlvr_result eval(rlvr_ctx *ctx, args *a)
{
    rlvr_eval_desc d;
    rlvr_eval_report e;
    memset(&d, 0, sizeof d);
    if (!find_reward(a, &d.reward)) return RLVR_ERROR_ARGUMENT;
    rlvr_model *m = open_model(ctx, a->model);
    rlvr_tasks *tasks = m ? open_tasks(ctx, a->tasks, a->raw) : NULL;
    if (!tasks) return RLVR_ERROR_IO;
    d.sampling = a->sampling;
    d.n = a->n;
    d.greedy = a->greedy;
    d.bootstrap = a->bootstrap;
    d.seed = (uint64_t)a->seed;
    rlvr_result r = rlvr_eval(m, rlvr_tasks_get(tasks, 0), rlvr_tasks_count(tasks), &d, &e);
    if (r != RLVR_OK) return r;
    if (a->json) {
        printf("{\"n_tasks\":%lld,\"n\":%d,\"pass@1\":%.9g,\"pass@1_low\":%.9g,\"pass@1_high\":%.9g", (long long)e.n_tasks, e.n, e.pass_at_1,
               e.pass_at_1_low, e.pass_at_1_high);
        for (int i = 0; i < e.n_k; i++)
            if (e.k[i] > 1) printf(",\"pass@%d\":%.9g", e.k[i], e.pass_at_k[i]);
        printf(",\"maj@%d\":%.9g", e.n, e.maj_at_n);
        if (a->greedy) printf(",\"greedy\":%.9g,\"greedy_low\":%.9g,\"greedy_high\":%.9g", e.greedy, e.greedy_low, e.greedy_high);
        printf(",\"mean_length\":%.9g,\"truncated\":%.9g,\"entropy\":%.9g,\"reward_errors\":%lld,\"num_tokens\":%lld,\"seconds\":%.3f}\n",
               e.mean_length, e.truncated, e.entropy, (long long)e.n_reward_errors, (long long)e.n_tokens, e.seconds);
        return RLVR_OK;
    }
    printf("tasks      %lld, %d samples each, reward %s\n", (long long)e.n_tasks, e.n, a->reward);
    print_eval("accuracy", &e);
    printf("pass@k    ");
    for (int i = 0; i < e.n_k; i++) printf(" %d: %.1f %%", e.k[i], 100 * e.pass_at_k[i]);
    printf("   maj@%d: %.1f %%\n", e.n, 100 * e.maj_at_n);
    if (e.n_reward_errors) printf("ungraded   %lld\n", (long long)e.n_reward_errors);
    return RLVR_OK;
}

/* ---- train ---- */

static rlvr_result run_training(rlvr_ctx *ctx, args *a)
{
    rlvr_trainer_desc *d = &a->trainer;
    if (!find_reward(a, &d->reward)) return RLVR_ERROR_ARGUMENT;
    rlvr_model *m = open_model(ctx, a->model);
    d->tasks = m ? open_tasks(ctx, a->tasks, a->raw) : NULL;
    if (!d->tasks) return RLVR_ERROR_IO;
    d->sampling = a->sampling;
    d->seed = (uint64_t)a->seed;
    d->out_dir = a->out;
    if (d->optim.schedule != RLVR_LR_CONSTANT && !d->optim.total_steps)
        d->optim.total_steps = a->steps * RLVR__MAX(1, d->epochs) * RLVR__MAX(1, d->minibatches);
    bool resume = a->resume && access(in_folder(a->out, "checkpoint"), F_OK) == 0;
    if (a->resume && !resume) printf("resumed    %s has no checkpoint yet: from the beginning\n", a->resume);
    if (!resume) for (int i = 0; i < 2; i++) remove(in_folder(a->out, i ? "metrics.jsonl" : "completions.jsonl"));
    rlvr_result r = print_head(a->model, m, d);
    if (r != RLVR_OK) return r;
    printf("task       %s, %lld lines, reward %s\n", a->tasks, (long long)rlvr_tasks_count(d->tasks), a->reward);
    rlvr_trainer *t = rlvr_trainer_open(m, d);
    r = t ? train(t, a->steps, a->out, resume) : RLVR_ERROR_ARGUMENT;
    if (r == RLVR_OK && d->save_every && rlvr_trainer_steps(t) % d->save_every) r = rlvr_trainer_save(t, in_folder(a->out, "checkpoint"));
    if (r == RLVR_OK) r = rlvr_model_save(m, in_folder(a->out, "model"));
    if (r == RLVR_OK) printf("saved      %s/model (a folder that transformers loads; --model takes it)\n", a->out);
    return r;
}

/* ---- make-tasks ---- */

static rlvr_result make_tasks(rlvr_ctx *ctx, args *a)
{
    rlvr_task_maker maker;
    rlvr_task task;
    rlvr_result r = RLVR_OK;
    memset(&maker, 0, sizeof maker);
    if (a->n_words != 1) { fprintf(stderr, "rlvr: make-tasks takes one FAMILY; make-tasks list names them\n"); return RLVR_ERROR_ARGUMENT; }
    if (!strcmp(a->words[0], "list")) {
        for (int i = 0; rlvr_family_name(i); i++) puts(rlvr_family_name(i));
        return RLVR_OK;
    }
    maker.ctx = ctx;
    maker.family = a->words[0];
    maker.level = a->level;
    maker.seed = (uint64_t)a->seed;
    for (int i = 0; r == RLVR_OK && i < a->n; i++) {
        r = rlvr_make_task(&maker, (uint64_t)i, &task);
        if (r == RLVR_OK && puts(task.json) < 0) r = RLVR_ERROR_IO;
    }
    rlvr_task_maker_free(&maker);
    return r == RLVR_OK && fflush(stdout) ? RLVR_ERROR_IO : r;
}

/* ---- plot ---- */

static rlvr_result plot(rlvr_ctx *ctx, args *a)
{
    rlvr_series series[64];
    int n = 0;
    if (!a->out || !a->n_words) { fprintf(stderr, "rlvr: plot --out FILE.svg [--field reward] NAME=metrics.jsonl ...\n"); return RLVR_ERROR_ARGUMENT; }
    for (; n < a->n_words && n < COUNT(series); n++) {
        const char *path = strchr(a->words[n], '=');
        rlvr__file f;
        if (rlvr__file_open(ctx, path ? path + 1 : a->words[n], &f) != RLVR_OK) return RLVR_ERROR_IO;
        rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
        size_t cap = 1;
        for (size_t i = 0; i < f.len; i++) cap += f.data[i] == '\n';
        double *x = RLVR__NEW(ctx, double, cap), *y = RLVR__NEW(ctx, double, cap);
        char *name = rlvr__strndup(ctx, a->words[n], path ? (size_t)(path - a->words[n]) : strlen(a->words[n]));
        int points = 0;
        if (!x || !y || !name) return RLVR_ERROR_MEMORY;
        while (rlvr__lines_next(&it)) {
            rlvr__json *j = rlvr__json_parse(ctx, a->words[n], it.text, it.len, it.line);
            if (!j) return RLVR_ERROR_FORMAT;
            x[points] = rlvr__json_num(rlvr__json_get(j, "step"), points + 1);
            y[points++] = rlvr__json_num(rlvr__json_get(j, a->field), 0);
            rlvr__json_free(ctx, j);
        }
        rlvr__file_close(ctx, &f);
        rlvr_series one = {name, x, y, points};
        series[n] = one;
    }
    return rlvr_write_svg(ctx, a->out, a->title ? a->title : a->field, "step", a->field, series, n);
}

/* ---- the commands ---- */

typedef struct command {
    const char *name, *usage, *about;
    rlvr_result (*run)(rlvr_ctx *, args *);
    group groups[8];
} command;

static const command commands[] = {
    {"info", "FILE", "what a model file holds", info, {GROUP(info_options), GROUP(json_options), GROUP(machine_options)}},
    {"tokenize", "--model F [TEXT]", "token numbers of a text (stdin without TEXT), or its text", tokenize,
     {GROUP(model_options), GROUP(tokenize_options), GROUP(json_options), GROUP(machine_options)}},
    {"generate", "--model F [PROMPT]", "completions of prompts, streamed", generate,
     {GROUP(model_options), GROUP(generate_options), GROUP(sampling_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"score", "--model F < LINES", "log-probabilities: JSONL {\"tokens\":[...]} or {\"prompt\":...,\"completion\":...} in, {\"logprobs\":[...]} out",
     score, {GROUP(model_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"eval", "--model F --tasks T", "pass@1 with its interval, pass@k, maj@n, greedy", eval,
     {GROUP(model_options), GROUP(tasks_options), GROUP(eval_options), GROUP(sampling_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"train", "--model F --tasks T --out DIR", "reinforcement learning from a verifier", run_training,
     {GROUP(model_options), GROUP(tasks_options), GROUP(train_options), GROUP(sampling_options), GROUP(raw_options), GROUP(machine_options)}},
    {"make-tasks", "FAMILY -n N", "JSONL tasks of a procedural family, of several (a,b), of all; list: their names; for --reward proc", make_tasks,
     {GROUP(make_tasks_options)}},
    {"plot", "--out F.svg NAME=metrics.jsonl ...", "curves of training runs", plot, {GROUP(plot_options)}},
};

static int help(const command *c)
{
    if (c) {
        printf("rlvr %s %s\n%s\n", c->name, c->usage, c->about);
        for (int g = 0; g < COUNT(c->groups) && c->groups[g].list; g++) options_help(c->groups[g].list, c->groups[g].n);
        for (int i = 0; c->run == make_tasks && rlvr_family_name(i); i++) printf("%s%s", i ? ", " : "families: ", rlvr_family_name(i));
        if (c->run == make_tasks) printf("\n");
        if (c->groups[2].list == sampling_options || c->run == eval || c->run == run_training)
            printf("  --stop TEXT               ends a completion; may be given several times\n");
        return 0;
    }
    printf("rlvr %s: reinforcement learning from verifiable rewards\n\n", RLVR_VERSION);
    for (int i = 0; i < COUNT(commands); i++) printf("  rlvr %-10s %-36s %s\n", commands[i].name, commands[i].usage, commands[i].about);
    printf("\nrlvr COMMAND --help lists the command's options. A model is a GGUF file or a safetensors folder.\n");
    return 0;
}

static const option *find_option(const command *c, const char *name)
{
    for (int g = 0; g < COUNT(c->groups) && c->groups[g].list; g++)
        for (int i = 0; i < c->groups[g].n; i++)
            if (!strcmp(c->groups[g].list[i].name, name)) return &c->groups[g].list[i];
    return NULL;
}

/* Reads options and words into a. 0: fine; 1: help was asked for; 2: an error, said. */
static int read_args(const command *c, int argc, char **argv, args *a)
{
    for (int i = 0; i < argc; i++) {
        char name[64], *equals;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return 1;
        if (strncmp(argv[i], "--", 2) && strcmp(argv[i], "-n")) {
            if (a->n_words == COUNT(a->words)) { fprintf(stderr, "rlvr: too many words\n"); return 2; }
            a->words[a->n_words++] = argv[i];
            continue;
        }
        snprintf(name, sizeof name, "%s", argv[i] + (argv[i][1] == '-' ? 2 : 1));
        for (char *p = name; *p && *p != '='; p++)
            if (*p == '-') *p = '_';
        if ((equals = strchr(name, '=')) != NULL) { *equals = 0; value = strchr(argv[i], '=') + 1; }
        const option *o = find_option(c, name);
        bool stop = !strcmp(name, "stop") && find_option(c, "stop_tokens");
        if (!o && !stop) { fprintf(stderr, "rlvr %s: there is no option %s; --help lists them\n", c->name, argv[i]); return 2; }
        if (stop) {
            if (!value || a->n_stop == COUNT(a->stop)) { fprintf(stderr, "--stop: a value is missing, or too many\n"); return 2; }
            a->stop[a->n_stop++] = value;
        } else if (!strcmp(name, "temperature") && value && strtod(value, NULL) == 0 && c->run != run_training) a->sampling.greedy = true;
        else if (option_set(o, 1, a, name, value) < 0) return 2;
        if (!equals && (stop || o->type != OPT_FLAG)) i++;
    }
    return 0;
}

/* The options that a run was begun with lie in DIR/options, one argument a line; those of now count more. */
static bool load_options(args *a, char ***list, int *n)
{
    FILE *f = fopen(in_folder(a->resume, "options"), "rb");
    size_t len, count = 0;
    char *text = f ? read_all(f, &len) : NULL;
    if (f) fclose(f);
    if (!text) return false;
    for (size_t i = 0; i < len; i++) count += text[i] == '\n';
    *list = (char **)calloc(count + 1, sizeof **list);
    for (char *p = text, *end; *list && (end = strchr(p, '\n')) != NULL; p = end + 1) { *end = 0; (*list)[(*n)++] = p; }
    return *list != NULL;
}

static bool save_options(rlvr_ctx *ctx, const args *a, int argc, char **argv)
{
    rlvr__writer w;
    if (rlvr__make_dir(ctx, a->out) != RLVR_OK || rlvr__writer_open(ctx, &w, in_folder(a->out, "options")) != RLVR_OK) return false;
    for (int i = 0; i < argc; i++) {
        rlvr__write(&w, argv[i], strlen(argv[i]));
        rlvr__write(&w, "\n", 1);
    }
    return rlvr__writer_close(&w) == RLVR_OK;
}

static bool parse_stop_tokens(rlvr_ctx *ctx, args *a)
{
    const char *p = a->stop_tokens;
    int *list = p ? RLVR__NEW(ctx, int, strlen(p) + 1) : NULL, n = 0;
    while (list && *p) {
        char *end;
        list[n++] = (int)strtol(p, &end, 10);
        if (end == p) { fprintf(stderr, "--stop_tokens: \"%s\" is not a list of numbers\n", a->stop_tokens); return false; }
        p = end + (*end == ',');
    }
    a->sampling.stop_tokens = list;
    a->sampling.n_stop_tokens = n;
    a->sampling.stop = a->stop;
    a->sampling.n_stop = a->n_stop;
    a->sampling.seed = (uint64_t)a->seed;
    return true;
}

int main(int argc, char **argv)
{
    static args a, now;
    const command *c = NULL;
    char **begun = NULL;
    int n_begun = 0, status;
    for (int i = 0; i < COUNT(commands) && argc > 1; i++)
        if (!strcmp(commands[i].name, argv[1])) c = &commands[i];
    if (!c) {
        bool asked = argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
        if (!asked) fprintf(stderr, "rlvr: there is no command %s\n", argv[1]);
        for (int i = 0; i < COUNT(commands) && argc > 2; i++)
            if (!strcmp(commands[i].name, argv[2])) return help(&commands[i]);
        help(NULL);
        return asked ? 0 : 2;
    }
    a.reward = "number";
    a.field = "reward";
    a.n = a.level = 1;
    a.steps = 100;
    a.trainer.save_every = 20;
    a.trainer.log_completions = 8;
    now = a;
    status = read_args(c, argc - 2, argv + 2, &now);
    if (status) return status == 1 ? help(c) : status;
    if (now.resume && load_options(&now, &begun, &n_begun) && read_args(c, n_begun, begun, &a)) return 2;
    a.n_words = 0;
    a.resume = NULL;
    if (read_args(c, argc - 2, argv + 2, &a)) return 2;
    if (a.resume) a.out = a.resume;
    rlvr_ctx *ctx = open_ctx(&a);
    rlvr_result r = ctx && parse_stop_tokens(ctx, &a) ? RLVR_OK : RLVR_ERROR_ARGUMENT;
    if (r == RLVR_OK && c->run == run_training) {
        if (!a.out) { fprintf(stderr, "rlvr train: --out DIR is missing\n"); r = RLVR_ERROR_ARGUMENT; }
        else if (!a.resume && access(in_folder(a.out, "checkpoint"), F_OK) == 0) {
            fprintf(stderr, "rlvr train: %s holds a run; --resume %s goes on with it\n", a.out, a.out);
            r = RLVR_ERROR_ARGUMENT;
        } else if (!a.resume && !save_options(ctx, &a, argc - 2, argv + 2)) r = RLVR_ERROR_IO;
    }
    if (r == RLVR_OK) r = c->run(ctx, &a);
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
