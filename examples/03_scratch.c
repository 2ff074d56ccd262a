/* No download: a byte-level model of a million parameters is made from nothing, reads generated documents, and then learns
   from a verifier what the documents only sometimes say. A document is "38194>9" and an end: five digits and one of them: in
   45 % of the documents just the first, in 40 % the largest, in the rest any. So what the model has read most often is wrong,
   and being surer of it (sharpening) would not help: RLVR must turn its habit round. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"

typedef struct settings {
    const char *out;
    int read, steps, threads;
    float read_lr, lr;
    long long seed;
    bool quick;
    char prompt[32], answer[8];      /* of the last task */
} settings;

static const option options[] = {
    {"out", OPT_TEXT, offsetof(settings, out), "build/scratch", "folder of metrics and the tuned model"},
    {"read", OPT_INT, offsetof(settings, read), "1000", "steps of reading, 64 documents each"},
    {"read_lr", OPT_FLOAT, offsetof(settings, read_lr), "2e-3", "their learning rate"},
    {"steps", OPT_INT, offsetof(settings, steps), "100", "steps of RLVR"},
    {"lr", OPT_FLOAT, offsetof(settings, lr), "3e-4", "their learning rate"},
    {"seed", OPT_LONG, offsetof(settings, seed), "0", "of the weights, the documents and the sampling"},
    {"threads", OPT_INT, offsetof(settings, threads), "all cores", "threads"},
    {"quick", OPT_FLAG, offsetof(settings, quick), "", "a few steps of each, to see that it runs"},
};

enum { READ_BATCH = 64, READ_TOKENS = 16, HELD_OUT = 256, HELD_OUT_SEED = 1, READ_SEED = 2, ASK_SEED = 3, SPLIT_SEED = 4 };

/* Five digits, on one side of a split by a hash that is the same for any order: the held-out ones are not read in any either. */
static void draw(uint64_t seed, uint64_t index, bool held_out, int *n)
{
    uint32_t attempt = 0;
    do {
        for (uint32_t i = 0; i < 5; i++) n[i] = (int)(10 * rlvr_uniform(seed, (uint32_t)index, attempt, i, 0));
        attempt++;
    } while ((rlvr_uniform(SPLIT_SEED, (uint32_t)((n[0] + 2) * (n[1] + 2) * (n[2] + 2) * (n[3] + 2) * (n[4] + 2)), 0, 0, 0) < 0.1f) != held_out);
}

static int largest(const int *n)
{
    int best = n[0];
    for (int i = 1; i < 5; i++) best = n[i] > best ? n[i] : best;
    return best;
}

static void write_task(settings *s, const int *n, rlvr_task *task)
{
    snprintf(s->prompt, sizeof s->prompt, "%d%d%d%d%d>", n[0], n[1], n[2], n[3], n[4]);
    snprintf(s->answer, sizeof s->answer, "%d", largest(n));
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;  task->answer = s->answer;  task->raw = true;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    settings *s = (settings *)user;
    int n[5];
    draw((uint64_t)s->seed << 8 | ASK_SEED, index, false, n);
    write_task(s, n, task);
    return RLVR_OK;
}

/* Reads documents: cross-entropy on the answers. */
static rlvr_result read_documents(rlvr_model *m, const settings *s)
{
    rlvr_trainer_desc d;
    rlvr_metrics metrics;
    memset(&d, 0, sizeof d);
    d.micro_tokens = READ_BATCH * READ_TOKENS;
    d.optim.lr = s->read_lr;  d.optim.beta2 = 0.99f;  d.optim.warmup_steps = 20;
    d.optim.schedule = RLVR_LR_COSINE;  d.optim.total_steps = s->read > 21 ? s->read : 22;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_result r = t ? RLVR_OK : RLVR_ERROR_ARGUMENT;
    for (int step = 0; step < s->read && r == RLVR_OK; step++) {
        int tokens[READ_BATCH * READ_TOKENS], offset[READ_BATCH + 1] = {0};
        unsigned char mask[READ_BATCH * READ_TOKENS] = {0};      /* learned: what follows the > */
        for (int i = 0; i < READ_BATCH; i++) {
            uint64_t seed = (uint64_t)s->seed << 8 | READ_SEED, index = (uint64_t)(step * READ_BATCH + i);
            char text[READ_TOKENS];
            int n[5], at = offset[i];
            draw(seed, index, false, n);
            float kind = rlvr_uniform(seed, (uint32_t)index, 0, 7, 1), any = rlvr_uniform(seed, (uint32_t)index, 0, 7, 2);
            int len = snprintf(text, sizeof text, "%d%d%d%d%d>%d", n[0], n[1], n[2], n[3], n[4],
                               kind < 0.45f ? n[0] : kind < 0.85f ? largest(n) : n[(int)(5 * any)]);
            for (int k = 0; k < len; k++) tokens[at++] = (unsigned char)text[k];      /* a byte is its own token */
            tokens[at++] = rlvr_token_eos(m);
            mask[at - 2] = mask[at - 1] = 1;
            offset[i + 1] = at;
        }
        r = rlvr_train_tokens(t, tokens, offset, READ_BATCH, mask, &metrics);
        if (r == RLVR_OK && (step % 200 == 199 || step + 1 == s->read))
            printf("read %4d/%d loss %.3f  %.0f ms a step\n", step + 1, s->read, metrics.loss, 1e3 * metrics.step_time);
        fflush(stdout);
    }
    rlvr_trainer_close(t);
    return r;
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    static const char *const special[] = {"<|end|>"};
    const rlvr_model_desc shape = {257, 64, 128, 4, 4, 2, 32, 512, 0, 0, true, 0, (uint64_t)s->seed};
    const rlvr_reward_desc judge = {.kind = RLVR_REWARD_EXACT};
    rlvr_eval_report before, after;
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;  d.reward = judge;
    d.prompts_per_step = 32;  d.group_size = 16;  d.max_prompt_tokens = 16;  d.sampling.max_tokens = 4;
    d.optim.lr = s->lr;  d.seed = (uint64_t)s->seed;  d.out_dir = s->out;
    rlvr_model *m = rlvr_model_init(ctx, &shape);
    rlvr_tasks *held_out = rlvr_tasks_new(ctx);
    if (!m || !held_out) return RLVR_ERROR_MEMORY;
    rlvr_result r = rlvr_model_set_byte_tokenizer(m, special, 1);
    for (uint64_t i = 0; i < HELD_OUT && r == RLVR_OK; i++) {
        rlvr_task task;
        int n[5];
        draw(HELD_OUT_SEED, i, true, n);
        write_task(s, n, &task);
        r = rlvr_tasks_add(held_out, &task);
    }
    remove(in_folder(d.out_dir, "metrics.jsonl"));
    if (r == RLVR_OK) r = print_head("made from nothing", m, &d);
    printf("task       largest of five digits, where the documents say the first more often; %d held out\n", HELD_OUT);
    if (r == RLVR_OK) r = read_documents(m, s);
    if (r == RLVR_OK) r = evaluate(m, held_out, judge, 16, &d.sampling, "before", &before);
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, &d) : NULL;
    r = t ? train(t, s->steps, d.out_dir, false) : RLVR_ERROR_ARGUMENT;
    rlvr_trainer_close(t);
    if (r == RLVR_OK) r = evaluate(m, held_out, judge, 16, &d.sampling, "after", &after);
    if (r == RLVR_OK) r = rlvr_model_save(m, in_folder(d.out_dir, "model"));
    if (r == RLVR_OK) write_result(d.out_dir, "scratch", "exact", s->seed, s->steps, &before, &after);
    return r;
}

int main(int argc, char **argv)
{
    settings s = {"build/scratch", 1000, 100, 0, 2e-3f, 3e-4f, 0, false, "", ""};
    options_read(argc, argv, "build/03_scratch [options]", options, COUNT(options), &s, NULL, 0);
    if (s.quick) { s.read = 30; s.steps = 3; }
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
