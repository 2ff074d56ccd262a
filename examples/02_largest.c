/* The main job: a public 135 M model learns from a verifier to name the largest of five numbers or, with the argument
   `times`, the times tables. Held-out tasks are split off by a hash of their numbers in any order, so none is ever trained
   on, nor its mirror image. --reward random and --reward form are controls: the same run with nothing verified. --reward
   composed pays for the right number and, a fifth as much, for the form, by a verifier that fails one time in twenty. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"

typedef struct settings {
    const char *model, *out, *resume;
    int steps, prompts, group, eval, before, samples, threads, reward, max_refills, min_groups;
    float lr, entropy_coef;
    long long seed;
    bool times;
    char prompt[128], answer[16];      /* of the last task */
} settings;

static const option options[] = {
    {"model", OPT_TEXT, offsetof(settings, model), "SmolLM2-135M-Instruct.Q4_1.gguf", "GGUF file or safetensors folder"},
    {"out", OPT_TEXT, offsetof(settings, out), "build/largest, build/times", "folder of metrics, checkpoint and tuned model"},
    {"resume", OPT_TEXT, offsetof(settings, resume), "", "go on from the checkpoint in this folder"},
    {"reward", OPT_CHOICE, offsetof(settings, reward), "", "number|random|form|composed"},
    {"steps", OPT_INT, offsetof(settings, steps), "50", "steps"},
    {"prompts", OPT_INT, offsetof(settings, prompts), "16", "prompts in a step"},
    {"group", OPT_INT, offsetof(settings, group), "8", "rollouts of each"},
    {"lr", OPT_FLOAT, offsetof(settings, lr), "2e-5", "learning rate"},
    {"entropy_coef", OPT_FLOAT, offsetof(settings, entropy_coef), "0.01", "reward of entropy"},
    {"max_refills", OPT_COUNT, offsetof(settings, max_refills), "1", "rounds in which prompts without signal are replaced by others"},
    {"min_groups", OPT_COUNT, offsetof(settings, min_groups), "half of the prompts", "... until this many have signal"},
    {"seed", OPT_LONG, offsetof(settings, seed), "0", "of the training prompts and the sampling"},
    {"eval", OPT_INT, offsetof(settings, eval), "256; times: all", "held-out tasks"},
    {"before", OPT_COUNT, offsetof(settings, before), "1", "0: they are not asked before the training, only after it"},
    {"samples", OPT_INT, offsetof(settings, samples), "16; times: 64", "rollouts of each held-out task"},
    {"threads", OPT_INT, offsetof(settings, threads), "all cores", "threads"},
};

enum { TASK_SEED = 0x7461736b, COIN_SEED = 0x636f696e, FAIL_SEED = 0x6661696c, HELD_OUT_SEED = 0x68656c64, SPLIT_SEED = 0x73706c74 };

static bool is_held_out(const int *n, int count)      /* a quarter of all; the same for any order of the numbers */
{
    uint32_t key = 1;
    for (int i = 0; i < count; i++) key *= 2 * (uint32_t)n[i] + 1;
    return rlvr_uniform(SPLIT_SEED, key, 0, 0, 0) < 0.25f;
}

static void write_task(settings *s, const int *n, rlvr_task *task)
{
    int best = n[0];
    for (int i = 1; i < 5 && !s->times; i++) best = n[i] > best ? n[i] : best;
    if (s->times) snprintf(s->prompt, sizeof s->prompt, "What is %d * %d? Answer with a number only.", n[0], n[1]);
    else snprintf(s->prompt, sizeof s->prompt, "Which number is the largest: %d, %d, %d, %d, %d? Answer with a number only.",
                  n[0], n[1], n[2], n[3], n[4]);
    snprintf(s->answer, sizeof s->answer, "%d", s->times ? n[0] * n[1] : best);
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;
    task->answer = s->answer;
}

static void draw_task(settings *s, uint64_t seed, uint64_t index, bool held_out, rlvr_task *task)
{
    int n[5], count = s->times ? 2 : 5, low = s->times ? 2 : 10, high = s->times ? 12 : 999;
    uint32_t attempt = 0;
    do {      /* until it lies on the wanted side of the split */
        for (int i = 0; i < count; i++)
            n[i] = low + (int)(rlvr_uniform(seed, (uint32_t)index, (uint32_t)(index >> 32), attempt, (uint32_t)i) * (float)(high - low + 1));
        attempt++;
    } while (is_held_out(n, count) != held_out);
    write_task(s, n, task);
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    settings *s = (settings *)user;
    draw_task(s, (uint64_t)s->seed ^ (uint64_t)TASK_SEED << 32, index, false, task);
    return RLVR_OK;
}

static rlvr_tasks *held_out_tasks(rlvr_ctx *ctx, settings *s)
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    rlvr_task task;
    for (int i = 0; i < (s->times ? 11 * 11 : s->eval); i++) {
        int pair[2] = {2 + i / 11, 2 + i % 11};
        if (s->times && !is_held_out(pair, 2)) continue;
        if (s->times) write_task(s, pair, &task);
        else draw_task(s, HELD_OUT_SEED, (uint64_t)i, true, &task);
        if (rlvr_tasks_add(tasks, &task) != RLVR_OK) return NULL;
    }
    return tasks;
}

static rlvr_result coin(const rlvr_rollout *r, void *user, float *reward)      /* control: whatever it says */
{
    *reward = rlvr_uniform((uint64_t)((settings *)user)->seed ^ COIN_SEED, (uint32_t)r->task->line, (uint32_t)r->index, 0, 0) < 0.5f;
    return RLVR_OK;
}

static rlvr_result form(const rlvr_rollout *r, void *user, float *reward)      /* control: one number and an end, right or wrong */
{
    size_t digits = strspn(r->text, "0123456789");
    (void)user;
    *reward = digits > 0 && digits == r->text_len && r->finish_reason == RLVR_FINISH_STOP;
    return RLVR_OK;
}

static rlvr_result shaky_form(const rlvr_rollout *r, void *user, float *reward)      /* a verifier that breaks down now and then */
{
    if (rlvr_uniform(((settings *)user)->seed ^ FAIL_SEED, (uint32_t)r->task->line, (uint32_t)r->index, 0, 0) < 0.05f) return RLVR_ERROR_IO;
    return form(r, user, reward);
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    const rlvr_reward_desc parts[] = {{.kind = RLVR_REWARD_NUMBER}, {.fn = shaky_form, .user = s, .name = "form", .weight = 0.2f}};
    const struct { const char *name, *control; rlvr_reward_desc desc; } rewards[] = {
        {"number", NULL, {.kind = RLVR_REWARD_NUMBER}}, {"random", "by a coin for each rollout", {.fn = coin}},
        {"form", "for one number and an end, right or wrong", {.fn = form}},
        {"composed", "of the number and 0.2 of the form, whose verifier fails one time in twenty",
         {.kind = RLVR_REWARD_COMPOSE, .parts = parts, .n_parts = COUNT(parts)}}};
    const rlvr_reward_desc judge = {.kind = RLVR_REWARD_NUMBER};
    rlvr_eval_report before, after;
    rlvr_trainer_desc d;
    bool ask_before = s->before && !s->resume;
    int samples = s->samples ? s->samples : s->times ? 64 : 16;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;
    d.reward = rewards[s->reward].desc;  d.reward.user = s;
    d.prompts_per_step = s->prompts;  d.group_size = s->group;  d.max_prompt_tokens = 96;
    d.sampling.max_tokens = 20;  d.optim.lr = s->lr;  d.seed = (uint64_t)s->seed;
    d.out_dir = s->resume ? s->resume : s->out ? s->out : s->times ? "build/times" : "build/largest";
    d.loss.entropy_coef = s->entropy_coef;  d.plan.max_refills = s->max_refills;
    d.plan.min_groups = !s->max_refills || s->min_groups ? s->min_groups : (s->prompts + 1) / 2;
    d.log_completions = 8;
    rlvr_model *m = rlvr_model_load(ctx, s->model);
    rlvr_tasks *held_out = held_out_tasks(ctx, s);
    if (!m || !held_out) return RLVR_ERROR_IO;
    rlvr_result r = print_head(s->model, m, &d);
    if (r != RLVR_OK) return r;
    printf("task       %s; %d held out, %s, none ever trained on\n", s->times ? "times tables of 2 to 12, drawn anew every step" :
           "largest of five numbers, fresh prompts every step", (int)rlvr_tasks_count(held_out), s->times ? "all there are, a*b with b*a" :
           "generated from another seed");
    if (rewards[s->reward].control) printf("reward     %s\n", rewards[s->reward].control);

    if (ask_before) r = evaluate(m, held_out, judge, samples, &d.sampling, "before", &before);      /* memory for this is given back before the trainer opens */
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, &d) : NULL;
    r = t ? train(t, s->steps, d.out_dir, s->resume != NULL) : RLVR_ERROR_ARGUMENT;
    rlvr_trainer_close(t);
    if (r == RLVR_OK) r = evaluate(m, held_out, judge, samples, &d.sampling, "after", &after);
    if (r == RLVR_OK) r = rlvr_model_save(m, in_folder(d.out_dir, "model"));
    if (r == RLVR_OK) printf("saved      %s/model (a folder that transformers loads)\n", d.out_dir);
    if (r == RLVR_OK && !s->resume) write_result(d.out_dir, s->times ? "times" : "largest", rewards[s->reward].name, s->seed, s->steps,
                                                   ask_before ? &before : NULL, &after);
    return r;
}

int main(int argc, char **argv)
{
    settings s = {0};
    const char *word = "times";
    s.model = options[0].fallback;
    s.steps = 50;
    s.prompts = 16;
    s.lr = 2e-5f;
    s.entropy_coef = 0.01f;
    s.max_refills = 1;
    s.eval = 256;
    s.before = 1;
    s.times = options_read(argc, argv, "build/02_largest [times] [options]", options, COUNT(options), &s, &word, 1) > 0;
    if (strcmp(word, "times")) { fprintf(stderr, "%s: the other task is called times\n", word); return 2; }
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
