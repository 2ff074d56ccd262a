/* Our side of ./build.sh bench: bench_model MODEL decode BATCH | train | grpo prints `ours METRIC VALUE`. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n) { qsort(v, (size_t)n, sizeof *v, by_value); return v[n / 2]; }

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static char prompt[160], answer[16];
    int n[5], best = 0;
    (void)user;
    for (int i = 0; i < 5; i++) {
        n[i] = 10 + (int)(rlvr_uniform(1, (uint32_t)index, (uint32_t)i, 0, 0) * 990);
        if (n[i] > best) best = n[i];
    }
    snprintf(prompt, sizeof prompt, "Which number is the largest: %d, %d, %d, %d, %d? Answer with a number only.", n[0], n[1], n[2], n[3], n[4]);
    snprintf(answer, sizeof answer, "%d", best);
    task->prompt = prompt;
    task->answer = answer;
    return RLVR_OK;
}

/* Tokens a second of decoding alone, of prompts apart as llama-batched-bench has them: the time of many tokens less the time of one. */
static double decode(rlvr_model *m, int batch)
{
    enum { LONG = 65, MOST = 64 };
    static rlvr_task tasks[MOST];
    if (batch < 1 || batch > MOST) return 0;
    for (int i = 0; i < batch; i++) tasks[i].prompt = "Tell me a long story about a river.";
    rlvr_sampling s;
    memset(&s, 0, sizeof s);
    s.ignore_eos = true;
    s.max_batch = batch;
    double seconds[5];
    rlvr_rollouts *r = NULL;
    for (int round = -1; round < 5; round++) {
        double t[2];
        for (int k = 0; k < 2; k++) {
            s.max_tokens = k ? LONG : 1;
            double start = rlvr__now();
            if (rlvr_sample(m, tasks, batch, 1, &s, &r) != RLVR_OK) return 0;
            t[k] = rlvr__now() - start;
        }
        if (round >= 0) seconds[round] = t[1] - t[0];
    }
    rlvr_rollouts_free(r);
    return batch * (LONG - 1) / median(seconds, 5);
}

/* Tokens a second of forward + backward + AdamW on 64 sequences of 64 tokens. */
static double train(rlvr_model *m)
{
    enum { SEQ = 64, LEN = 64 };
    static int tokens[SEQ * LEN], offset[SEQ + 1];
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.micro_tokens = SEQ * LEN;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!t) return 0;
    for (int i = 0; i < SEQ * LEN; i++) tokens[i] = (int)(rlvr_uniform(2, (uint32_t)i, 0, 0, 0) * (float)m->info.n_vocab);
    for (int i = 0; i <= SEQ; i++) offset[i] = i * LEN;
    double seconds[3];
    for (int round = -1; round < 3; round++) {
        rlvr_metrics metrics;
        if (rlvr_train_tokens(t, tokens, offset, SEQ, NULL, &metrics) != RLVR_OK) return 0;
        if (round >= 0) seconds[round] = metrics.step_time;
    }
    rlvr_trainer_close(t);
    return SEQ * LEN / median(seconds, 3);
}

/* Seconds of one step of the main job, at the start of training, where completions are longest. */
static double grpo(rlvr_model *m)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.kind = RLVR_REWARD_NUMBER;
    d.sampling.max_tokens = 20;
    d.max_prompt_tokens = 96;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    if (!t) return 0;
    double seconds[5];
    for (int round = -1; round < 5; round++) {
        rlvr_metrics metrics;
        if (rlvr_train_step(t, &metrics) != RLVR_OK) return 0;
        fprintf(stderr, "step %.2f s: sample %.2f, train %.2f, reward %.3f, length %.1f, %d of %d groups with signal\n", metrics.step_time,
                metrics.sample_time, metrics.train_time, metrics.reward_mean, metrics.completion_mean_length, metrics.n_groups_signal,
                metrics.n_groups);
        if (round >= 0) seconds[round] = metrics.step_time;
    }
    rlvr_trainer_close(t);
    return median(seconds, 5);
}

int main(int argc, char **argv)
{
    rlvr_ctx *ctx = rlvr_open(NULL);
    rlvr_model *m = ctx && argc > 2 ? rlvr_model_load(ctx, argv[1]) : NULL;
    if (!m) { fprintf(stderr, "usage: bench_model MODEL decode BATCH | train | grpo\n"); return 2; }
    if (!strcmp(argv[2], "decode")) {
        int batch = argc > 3 ? atoi(argv[3]) : 1;
        printf("ours decode_%d %.2f\n", batch, decode(m, batch));
    } else if (!strcmp(argv[2], "train")) printf("ours train %.2f\n", train(m));
    else printf("ours grpo_step %.3f\n", grpo(m));
    rlvr_model_free(m);
    rlvr_close(ctx);
    return 0;
}
