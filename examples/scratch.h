/* The world of the from-scratch examples: a byte-level model of a million parameters, made from nothing, reading by batches, and
   the documents and questions of five digits that 03_scratch.c tells about. */
#ifndef EXAMPLES_SCRATCH_H
#define EXAMPLES_SCRATCH_H

#include "common.h"

typedef struct scratch_world {
    long long seed;                  /* of the weights, the documents and the questions */
    int read;                        /* steps of reading, 64 documents each */
    float read_lr;
    char prompt[32], answer[8];      /* of the last task */
} scratch_world;

enum { READ_BATCH = 64, READ_TOKENS = 36, HELD_OUT_SEED = 1, READ_SEED = 2, ASK_SEED = 3, SPLIT_SEED = 4 };

/* Digits, on one side of a split by a hash that is the same for any order: the held-out ones are not read in any either. */
static void draw(uint64_t seed, uint64_t index, bool held_out, int *n, int count)
{
    uint32_t attempt = 0, product;
    do {
        product = 1;
        for (uint32_t i = 0; i < (uint32_t)count; i++) {
            n[i] = (int)(10 * rlvr_uniform(seed, (uint32_t)index, attempt, i, 0));
            product *= (uint32_t)n[i] + 2;
        }
        attempt++;
    } while ((rlvr_uniform(SPLIT_SEED, product, 0, 0, 0) < 0.1f) != held_out);
}

static int largest(const int *n)
{
    int best = n[0];
    for (int i = 1; i < 5; i++) best = n[i] > best ? n[i] : best;
    return best;
}

static void write_task(scratch_world *s, const int *n, rlvr_task *task)
{
    snprintf(s->prompt, sizeof s->prompt, "%d%d%d%d%d>", n[0], n[1], n[2], n[3], n[4]);
    snprintf(s->answer, sizeof s->answer, "%d", largest(n));
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;  task->answer = s->answer;  task->raw = true;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    scratch_world *s = (scratch_world *)user;
    int n[5];
    draw((uint64_t)s->seed << 8 | ASK_SEED, index, false, n, 5);
    write_task(s, n, task);
    return RLVR_OK;
}

MAYBE_UNUSED static rlvr_tasks *held_out_tasks(rlvr_ctx *ctx, int count)      /* NULL: memory is out */
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    scratch_world s;
    for (int i = 0; i < count && tasks; i++) {
        rlvr_task task;
        int n[5];
        draw(HELD_OUT_SEED, (uint64_t)i, true, n, 5);
        write_task(&s, n, &task);
        if (rlvr_tasks_add(tasks, &task) != RLVR_OK) return NULL;
    }
    return tasks;
}

static rlvr_model *scratch_model(rlvr_ctx *ctx, long long seed)
{
    static const char *const special[] = {"<|end|>"};
    rlvr_model_desc shape;
    memset(&shape, 0, sizeof shape);
    shape.n_vocab = 257;  shape.n_ctx = 64;  shape.d_model = 128;  shape.n_layers = 4;  shape.n_heads = 4;  shape.n_kv_heads = 2;
    shape.head_dim = 32;  shape.d_ff = 512;  shape.tied = true;  shape.seed = (uint64_t)seed;
    rlvr_model *m = rlvr_model_init(ctx, &shape);
    return m && rlvr_model_set_byte_tokenizer(m, special, 1) == RLVR_OK ? m : NULL;
}

/* What the trainer asks for: 32 questions a step, 16 answers to each. */
static rlvr_trainer_desc scratch_training(scratch_world *s, float lr)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;  d.reward.kind = RLVR_REWARD_EXACT;
    d.prompts_per_step = 32;  d.group_size = 16;  d.max_prompt_tokens = 16;  d.sampling.max_tokens = 4;
    d.optim.lr = lr;  d.seed = (uint64_t)s->seed;
    return d;
}

/* A batch of documents, each with its end; what stands behind the > is learned. */
typedef struct reading {
    int tokens[READ_BATCH * READ_TOKENS], offset[READ_BATCH + 1], n;
    unsigned char mask[READ_BATCH * READ_TOKENS];
} reading;

static void reading_add(reading *b, const char *text, int end)
{
    int at = b->offset[b->n];
    bool learned = false;
    for (; *text; text++) {      /* a byte is its own token */
        b->mask[at] = learned;
        b->tokens[at++] = (unsigned char)*text;
        learned |= *text == '>';
    }
    b->mask[at] = learned;
    b->tokens[at++] = end;
    b->offset[++b->n] = at;
}

static rlvr_trainer_desc reading_training(int steps, float lr)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.micro_tokens = READ_BATCH * READ_TOKENS;
    d.optim.lr = lr;  d.optim.beta2 = 0.99f;  d.optim.warmup_steps = 20;
    d.optim.schedule = RLVR_LR_COSINE;  d.optim.total_steps = steps > 21 ? steps : 22;
    return d;
}

/* Reads documents: cross-entropy on the answers. */
MAYBE_UNUSED static rlvr_result read_documents(rlvr_model *m, const scratch_world *s)
{
    rlvr_trainer_desc d = reading_training(s->read, s->read_lr);
    rlvr_metrics metrics;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_result r = t ? RLVR_OK : RLVR_ERROR_ARGUMENT;
    for (int step = 0; step < s->read && r == RLVR_OK; step++) {
        reading b = {{0}, {0}, 0, {0}};
        for (int i = 0; i < READ_BATCH; i++) {
            uint64_t seed = (uint64_t)s->seed << 8 | READ_SEED, index = (uint64_t)(step * READ_BATCH + i);
            char text[READ_TOKENS];
            int n[5];
            draw(seed, index, false, n, 5);
            float kind = rlvr_uniform(seed, (uint32_t)index, 0, 7, 1), any = rlvr_uniform(seed, (uint32_t)index, 0, 7, 2);
            snprintf(text, sizeof text, "%d%d%d%d%d>%d", n[0], n[1], n[2], n[3], n[4],
                     kind < 0.45f ? n[0] : kind < 0.85f ? largest(n) : n[(int)(5 * any)]);
            reading_add(&b, text, rlvr_token_eos(m));
        }
        r = rlvr_train_tokens(t, b.tokens, b.offset, b.n, b.mask, &metrics);
        if (r == RLVR_OK && (step % 200 == 199 || step + 1 == s->read))
            printf("read %4d/%d loss %.3f  %.0f ms a step\n", step + 1, s->read, metrics.loss, 1e3 * metrics.step_time);
        fflush(stdout);
    }
    rlvr_trainer_close(t);
    return r;
}

#endif
