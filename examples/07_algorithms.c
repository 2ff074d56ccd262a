/* Four algorithms on one task: GRPO, RLOO, REINFORCE++ and PPO, the last with its value head on the policy's trunk and with a
   critic of its own. For each seed a model is made from nothing and reads documents (03_scratch.c tells which); from that one
   model every algorithm starts, with the same questions, rollouts and steps. The table says what each came to and what it cost. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "scratch.h"

typedef struct settings {
    int seeds, steps, prompts, group, threads;
    float lr;
    bool quick;
    scratch_world world;
} settings;

static const option options[] = {
    {"seeds", OPT_INT, offsetof(settings, seeds), "3", "runs of each, from seed on"},
    {"seed", OPT_LONG, offsetof(settings, world.seed), "0", "the first one: of the weights, the documents and the sampling"},
    {"read", OPT_INT, offsetof(settings, world.read), "1000", "steps of reading, 64 documents each"},
    {"read_lr", OPT_FLOAT, offsetof(settings, world.read_lr), "2e-3", "their learning rate"},
    {"steps", OPT_INT, offsetof(settings, steps), "100", "steps of RLVR"},
    {"prompts", OPT_INT, offsetof(settings, prompts), "16", "questions in a step"},
    {"group", OPT_INT, offsetof(settings, group), "8", "rollouts of each"},
    {"lr", OPT_FLOAT, offsetof(settings, lr), "3e-4", "their learning rate"},
    {"threads", OPT_INT, offsetof(settings, threads), "all cores", "threads"},
    {"quick", OPT_FLAG, offsetof(settings, quick), "", "a few steps of each, to see that it runs"},
};

enum { HELD_OUT = 256, SAMPLES = 8, MAX_SEEDS = 16 };

typedef struct algorithm {
    const char *name;
    rlvr_advantage advantage;
    bool values, critic;
} algorithm;

static const algorithm algorithms[] = {
    {"GRPO", RLVR_ADV_GRPO, false, false},
    {"RLOO", RLVR_ADV_RLOO, false, false},
    {"REINFORCE++", RLVR_ADV_REINFORCE_PP, false, false},
    {"PPO, shared trunk", RLVR_ADV_GRPO, true, false},
    {"PPO, own critic", RLVR_ADV_GRPO, true, true},
};

typedef struct outcome { double before[MAX_SEEDS], after[MAX_SEEDS], seconds, bytes, explained; } outcome;

/* A model of its own with the same weights. */
static rlvr_model *copy_model(rlvr_ctx *ctx, rlvr_model *from, long long seed)
{
    rlvr_model *to = scratch_model(ctx, seed);
    const char *name;
    int64_t rows, cols;
    for (int i = 0; to && rlvr_model_param(from, i, &name, &rows, &cols); i++) {
        float *x = (float *)malloc((size_t)(rows * cols) * sizeof(float));
        bool ok = x && rlvr_model_get(from, name, false, x, rows * cols) == RLVR_OK && rlvr_model_set(to, name, x, rows * cols) == RLVR_OK;
        free(x);
        if (!ok) return NULL;
    }
    return to;
}

static rlvr_result train_with(rlvr_ctx *ctx, rlvr_model *base, const rlvr_tasks *held_out, const algorithm *a, settings *s, int seed, outcome *o)
{
    rlvr_trainer_desc d = scratch_training(&s->world, s->lr);
    rlvr_metrics metrics;
    rlvr_eval_report report;
    rlvr_memory plan;
    rlvr_model *m = copy_model(ctx, base, s->world.seed), *critic = a->critic ? copy_model(ctx, base, s->world.seed) : NULL;
    d.prompts_per_step = s->prompts;  d.group_size = s->group;
    d.advantage.kind = a->advantage;
    d.value.on = a->values;
    d.value.critic = critic;
    if (!m || (a->critic && !critic)) return RLVR_ERROR_MEMORY;
    rlvr_result r = rlvr_memory_plan(m, &d, &plan);
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, &d) : NULL;
    if (!t) return RLVR_ERROR_ARGUMENT;
    double seconds = 0;
    for (int step = 0; step < s->steps && r == RLVR_OK && !interrupted; step++) {
        r = rlvr_train_step(t, &metrics);
        seconds += metrics.step_time;
        if (r == RLVR_OK && (step % 25 == 24 || step + 1 == s->steps))
            printf("%-18s seed %lld step %3d/%d reward %.3f%s", a->name, s->world.seed, step + 1, s->steps, metrics.reward_mean, a->values ? "" : "\n");
        if (r == RLVR_OK && a->values && (step % 25 == 24 || step + 1 == s->steps))
            printf("  value loss %.4f, explained variance %.2f\n", metrics.value_loss, metrics.explained_variance);
        fflush(stdout);
    }
    rlvr_trainer_close(t);
    if (interrupted) r = RLVR_STOPPED;
    if (r == RLVR_OK) r = evaluate(m, held_out, d.reward, SAMPLES, &d.sampling, "after", &report);
    o->after[seed] = 100 * report.pass_at_1;
    o->seconds += seconds / s->steps;
    o->bytes = (double)plan.total;
    o->explained += metrics.explained_variance;
    rlvr_model_free(m);
    rlvr_model_free(critic);
    return r;
}

/* The mean over the seeds, then each. */
static void print_figures(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    printf(" | %.1f (", sum / n);
    for (int i = 0; i < n; i++) printf(i ? ", %.1f" : "%.1f", x[i]);
    printf(")");
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    outcome all[COUNT(algorithms)];
    const long long first = s->world.seed;
    rlvr_result r = RLVR_OK;
    memset(all, 0, sizeof all);
    printf("%s\n", rlvr_describe(ctx));
    catch_interrupt();
    for (int seed = 0; seed < s->seeds && r == RLVR_OK; seed++) {
        rlvr_eval_report report;
        s->world.seed = first + seed;
        rlvr_model *base = scratch_model(ctx, s->world.seed);
        rlvr_tasks *held_out = held_out_tasks(ctx, HELD_OUT);
        rlvr_trainer_desc d = scratch_training(&s->world, s->lr);
        r = base && held_out ? read_documents(base, &s->world) : RLVR_ERROR_MEMORY;
        if (r == RLVR_OK) r = evaluate(base, held_out, d.reward, SAMPLES, &d.sampling, "before", &report);
        for (int a = 0; a < COUNT(algorithms) && r == RLVR_OK; a++) {
            all[a].before[seed] = 100 * report.pass_at_1;
            r = train_with(ctx, base, held_out, &algorithms[a], s, seed, &all[a]);
        }
        rlvr_model_free(base);
        rlvr_tasks_free(held_out);
    }
    if (r != RLVR_OK) return r;
    printf("\n| algorithm | before, %% | after, %% | gain, points | least gain | s a step | memory, MB | explained variance |\n|---|---|---|---|---|---|---|---|\n");
    for (int a = 0; a < COUNT(algorithms); a++) {
        double gain[MAX_SEEDS], least = 100;
        for (int i = 0; i < s->seeds; i++) {
            gain[i] = all[a].after[i] - all[a].before[i];
            least = gain[i] < least ? gain[i] : least;
        }
        printf("| %s", algorithms[a].name);
        print_figures(all[a].before, s->seeds);
        print_figures(all[a].after, s->seeds);
        print_figures(gain, s->seeds);
        printf(" | %.1f | %.2f | %.1f | ", least, all[a].seconds / s->seeds, 1e-6 * all[a].bytes);
        if (algorithms[a].values) printf("%.2f |\n", all[a].explained / s->seeds);
        else printf("none |\n");
    }
    return r;
}

int main(int argc, char **argv)
{
    settings s = {3, 100, 16, 8, 0, 3e-4f, false, {0, 1000, 2e-3f, "", ""}};
    options_read(argc, argv, "build/07_algorithms [options]", options, COUNT(options), &s, NULL, 0);
    if (s.quick) { s.world.read = 30; s.steps = 2; s.seeds = 1; }
    if (s.seeds < 1 || s.seeds > MAX_SEEDS) { fprintf(stderr, "--seeds: 1 to %d\n", MAX_SEEDS); return 2; }
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
