/* The library on one screen: a model, a file of tasks, a judge of our own, twenty steps. build/01_first MODEL [STEPS] */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include <stdio.h>
#include <stdlib.h>

static rlvr_result grade(const rlvr_rollout *r, void *user, float *reward)      /* the host program is the judge */
{
    (void)user;
    *reward = atoi(r->text) == atoi(r->task->answer);
    return RLVR_OK;
}

int main(int argc, char **argv)
{
    rlvr_desc desc = {0};                                /* zero means default, everywhere */
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_model *model = rlvr_model_load(ctx, argc > 1 ? argv[1] : "SmolLM2-135M-Instruct.Q4_1.gguf");
    rlvr_tasks *tasks = rlvr_tasks_load_jsonl(ctx, "examples/tasks.jsonl");
    if (!model || !tasks) return 1;                      /* the reason is on stderr */

    rlvr_trainer_desc td = {0};
    td.tasks = tasks;  td.reward.fn = grade;  td.sampling.max_tokens = 20;
    rlvr_trainer *trainer = rlvr_trainer_open(model, &td);
    for (int step = 1; trainer && step <= (argc > 2 ? atoi(argv[2]) : 20); step++) {
        rlvr_metrics m;
        if (rlvr_train_step(trainer, &m) != RLVR_OK) return 1;
        printf("step %d reward %.3f\n", step, m.reward_mean);
    }
    rlvr_result saved = rlvr_model_save(model, "build/tuned.safetensors");
    rlvr_close(ctx);
    return saved;
}
