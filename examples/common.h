/* What the larger examples share besides the library: options by name, Ctrl-C, and the report's lines. Not needed to use
   rlvr.h: 01_first.c does without it. */
#ifndef EXAMPLES_COMMON_H
#define EXAMPLES_COMMON_H

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define MAYBE_UNUSED __attribute__((unused))

/* ---- options: --name value, kept at an offset of a struct ---- */

typedef enum option_type { OPT_INT, OPT_COUNT, OPT_LONG, OPT_FLOAT, OPT_FLAG, OPT_TEXT, OPT_CHOICE } option_type;
typedef struct option {
    const char *name;
    option_type type;
    size_t offset;
    const char *fallback;      /* for the help; a given 0 is refused, for it would mean this, except where this is "0" */
    const char *help;          /* OPT_CHOICE: "first|second|...", stored as an int from 0; OPT_COUNT is an int that may be 0 */
} option;

static int option_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (int i = 0; *choices; i++) {
        size_t len = strcspn(choices, "| ");
        if (len == n && !memcmp(choices, value, n)) return i;
        choices += len;
        if (*choices != '|') break;
        choices++;
    }
    return -1;
}

/* Sets option `name` (without dashes) of a list. 1: done; 0: not in this list; -1: a bad value, said on stderr. */
static int option_set(const option *list, int n, void *base, const char *name, const char *value)
{
    for (int i = 0; i < n; i++) {
        const option *o = &list[i];
        void *at = (char *)base + o->offset;
        char *end = NULL;
        if (strcmp(o->name, name)) continue;
        if (o->type == OPT_FLAG) { *(bool *)at = true; return 1; }
        if (!value) { fprintf(stderr, "--%s: a value is missing\n", name); return -1; }
        if (o->type == OPT_TEXT) { *(const char **)at = value; return 1; }
        errno = 0;
        if (o->type == OPT_CHOICE) {
            int choice = option_choice(o->help, value);
            if (choice < 0) { fprintf(stderr, "--%s: \"%s\" is none of %s\n", name, value, o->help); return -1; }
            *(int *)at = choice;
            return 1;
        }
        double number = strtod(value, &end);
        bool ok = end != value && !*end && !errno && number == number;
        if (ok && (o->type == OPT_INT || o->type == OPT_COUNT)) ok = number >= -2147483647.0 && number <= 2147483647.0 && number == (double)(int)number;
        if (ok && o->type == OPT_LONG) { *(long long *)at = strtoll(value, &end, 0); ok = !*end && !errno; }
        if (!ok) { fprintf(stderr, "--%s: \"%s\" is not a %s\n", name, value, o->type == OPT_FLOAT ? "number" : "whole number"); return -1; }
        if (number == 0 && o->type != OPT_COUNT && strcmp(o->fallback, "0")) {
            fprintf(stderr, "--%s: 0 stands for the default, %s (%s)\n", name, o->fallback, o->help);
            return -1;
        }
        if (o->type == OPT_INT || o->type == OPT_COUNT) *(int *)at = (int)number;
        if (o->type == OPT_FLOAT) *(float *)at = (float)number;
        return 1;
    }
    return 0;
}

static void options_help(const option *list, int n)
{
    static const char *const kind[] = {" N", " N", " N", " X", "", " TEXT", " NAME"};
    for (int i = 0; i < n; i++) {
        int width = printf("  --%s%s", list[i].name, kind[list[i].type]);
        printf("%*s%s", width < 28 ? 28 - width : 1, "", list[i].help);
        printf(*list[i].fallback ? " (%s)\n" : "\n", list[i].fallback);
    }
}

/* A program whose options are one list: words without dashes are counted in `words`. Ends the program on --help or an error. */
MAYBE_UNUSED static int options_read(int argc, char **argv, const char *usage, const option *list, int n, void *base, const char **words, int max)
{
    int n_words = 0;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (!strcmp(arg, "--help") || !strcmp(arg, "-h")) { puts(usage); options_help(list, n); exit(0); }
        bool dashed = !strncmp(arg, "--", 2), flag = false;
        if (!dashed && n_words < max) { words[n_words++] = arg; continue; }
        for (int k = 0; k < n; k++) flag |= dashed && !strcmp(list[k].name, arg + 2) && list[k].type == OPT_FLAG;
        int set = dashed ? option_set(list, n, base, arg + 2, flag || i + 1 == argc ? NULL : argv[i + 1]) : 0;
        if (!set) fprintf(stderr, "%s: no such option; --help lists them\n", arg);
        if (set < 1) exit(2);
        i += !flag;
    }
    return n_words;
}

/* The options of an example that trains on tasks of its own; `type` has fields of these names. */
#define RUN_OPTIONS(type, folder) \
    {"model", OPT_TEXT, offsetof(type, model), "SmolLM2-135M-Instruct.Q4_1.gguf", "GGUF file or safetensors folder"}, \
    {"out", OPT_TEXT, offsetof(type, out), folder, "folder of metrics, completions and tuned model"}, \
    {"steps", OPT_INT, offsetof(type, steps), "40", "steps"}, \
    {"eval", OPT_INT, offsetof(type, eval), "64", "held-out questions"}, \
    {"samples", OPT_INT, offsetof(type, samples), "8", "rollouts of each"}, \
    {"lr", OPT_FLOAT, offsetof(type, lr), "1e-5", "learning rate"}, \
    {"seed", OPT_LONG, offsetof(type, seed), "0", "of the questions and the sampling"}, \
    {"threads", OPT_INT, offsetof(type, threads), "all cores", "threads"}

/* ---- Ctrl-C: the first one asks for an end after the step, the second ends at once ---- */

static volatile sig_atomic_t interrupted;
static void interrupt(int number) { (void)number; interrupted = 1; }
static void catch_interrupt(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- the report ---- */

static const char *base_name(const char *path) { const char *slash = strrchr(path, '/'); return slash && slash[1] ? slash + 1 : path; }

static const char *in_folder(const char *folder, const char *name)      /* lives until the next call */
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Machine, model and plan; refuses what would not fit. */
MAYBE_UNUSED static rlvr_result print_head(const char *path, rlvr_model *m, const rlvr_trainer_desc *d)
{
    rlvr_memory p;
    rlvr_result r = rlvr_memory_plan(m, d, &p);
    if (r != RLVR_OK) return r;
    struct { const char *name; int64_t bytes; } part[] = {{"weights", p.weights}, {"gradients", p.gradients}, {"optimizer", p.optimizer},
        {"reference", p.reference}, {"KV cache", p.kv_cache}, {"activations", p.activations}, {"scratch", p.scratch}};
    bool large = p.total >= 100000000;
    double unit = large ? 1e9 : 1e6;
    printf("%s\n", rlvr_describe(rlvr_model_ctx(m)));
    printf("model      %s  %.1f M parameters, llama, vocab %d\n", base_name(path), 1e-6 * (double)rlvr_model_n_params(m), rlvr_model_info(m)->n_vocab);
    printf("memory     ");
    for (int i = 0; i < COUNT(part); i++)
        if (part[i].bytes) printf("%s%s %.2f", i ? " + " : "", part[i].name, (double)part[i].bytes / unit);
    printf(" = %.2f %s (planned before anything is allocated)\n", (double)p.total / unit, large ? "GB" : "MB");
    fflush(stdout);
    return RLVR_OK;
}

/* One line that is written over on a terminal, one line a step elsewhere. */
static void print_step(const rlvr_metrics *m, int steps)
{
    bool terminal = isatty(1);
    static double first_time, first_step = -1;      /* of this run, for the mean time of its steps */
    if (first_step < 0) first_step = (double)m->step - 1;
    first_time += m->step_time;
    double eta = first_time / ((double)m->step - first_step) * (double)(steps - m->step);
    printf("%sstep %3lld/%d reward %.3f  length %.1f  truncated %.0f %%  entropy %.2f  %d groups (%d without signal)  %.2f s", terminal ? "\r" : "",
           (long long)m->step, steps, m->reward_mean, m->completion_mean_length, 100 * m->truncated, m->entropy, m->n_groups,
           m->n_groups - m->n_groups_signal, m->step_time);
    for (int i = 0; m->n_parts > 1 && i < m->n_parts; i++) printf("%s%s %.3f", i ? ", " : "  ", m->parts[i].name, m->parts[i].mean);
    if (m->n_values) printf("  value loss %.4f, explained %.2f", m->value_loss, m->explained_variance);
    if (m->n_refills) printf("  %d groups asked", m->n_groups_sampled);
    if (m->n_reward_errors) printf("  %d ungraded", m->n_reward_errors);
    if (m->skipped) printf("  nothing moved");
    if (m->step < steps) printf(eta < 90 ? "  [eta %.0f s]" : "  [eta %.0f min]", eta < 90 ? eta : eta / 60);
    printf(terminal ? "\033[K" : "\n");
    if (terminal && (m->step == steps || interrupted)) printf("\n");
    fflush(stdout);
}

static double pass_at_16(const rlvr_eval_report *e, int *k)      /* or at the largest k below */
{
    double pass = 0;
    for (int i = 0; i < e->n_k; i++)
        if (e->k[i] <= 16) { pass = e->pass_at_k[i]; *k = e->k[i]; }
    return pass;
}

static void print_eval(const char *when, const rlvr_eval_report *e)
{
    int k = 1;
    double pass = pass_at_16(e, &k);
    printf("%-10s sampled %.1f %% [%.1f, %.1f]", when, 100 * e->pass_at_1, 100 * e->pass_at_1_low, 100 * e->pass_at_1_high);
    if (e->greedy >= 0) printf("   greedy %.1f %% [%.0f, %.0f]", 100 * e->greedy, 100 * e->greedy_low, 100 * e->greedy_high);
    if (k > 1) printf("   pass@%d %.0f %%", k, 100 * pass);
    printf("   length %.1f   truncated %.0f %%   %.0f s\n", e->mean_length, 100 * e->truncated, e->seconds);
    fflush(stdout);
}

/* Samples each task a number of times and once greedily; the held-out seed is always the same. */
MAYBE_UNUSED static rlvr_result evaluate(rlvr_model *m, const rlvr_tasks *tasks, rlvr_reward_desc judge, int samples, const rlvr_sampling *sampling,
                                         const char *when, rlvr_eval_report *e)
{
    rlvr_eval_desc d;
    memset(&d, 0, sizeof d);
    d.n = samples;
    d.greedy = true;
    d.reward = judge;
    d.sampling = *sampling;
    d.seed = 0x6576616c;
    rlvr_result r = rlvr_eval(m, rlvr_tasks_get(tasks, 0), rlvr_tasks_count(tasks), &d, e);
    if (r == RLVR_OK) print_eval(when, e);
    return r;
}

static void write_eval(FILE *f, const char *when, const rlvr_eval_report *e)
{
    int k = 1;
    double pass = pass_at_16(e, &k);
    fprintf(f, ",\"%s\":{\"pass@1\":%.4f,\"pass@1_low\":%.4f,\"pass@1_high\":%.4f,\"greedy\":%.4f,\"greedy_low\":%.4f,\"greedy_high\":%.4f,"
            "\"pass@%d\":%.4f,\"mean_length\":%.2f,\"truncated\":%.4f,\"seconds\":%.1f}", when, e->pass_at_1, e->pass_at_1_low, e->pass_at_1_high,
            e->greedy, e->greedy_low, e->greedy_high, k, pass, e->mean_length, e->truncated, e->seconds);
}

/* What a run came to, for tables: folder/result.json. before: NULL where nobody asked. */
MAYBE_UNUSED static void write_result(const char *folder, const char *task, const char *reward, long long seed, int steps,
                                      const rlvr_eval_report *before, const rlvr_eval_report *after)
{
    FILE *f = fopen(in_folder(folder, "result.json"), "w");
    if (!f) return;
    fprintf(f, "{\"task\":\"%s\",\"reward\":\"%s\",\"seed\":%lld,\"steps\":%d,\"n\":%d", task, reward, seed, steps, (int)after->n_tasks);
    if (before) write_eval(f, "before", before);
    write_eval(f, "after", after);
    fprintf(f, "}\n");
    fclose(f);
}

/* ---- the loop ---- */

/* Steps until `steps` are done or somebody says stop; then a checkpoint, and RLVR_STOPPED. resume: go on from the checkpoint
   in the folder. */
MAYBE_UNUSED static rlvr_result train(rlvr_trainer *t, int steps, const char *folder, bool resume)
{
    rlvr_metrics metrics;
    rlvr_result r = resume ? rlvr_trainer_resume(t, in_folder(folder, "checkpoint")) : RLVR_OK;
    if (r == RLVR_OK && resume) printf("resumed    %s after step %lld\n", folder, (long long)rlvr_trainer_steps(t));
    catch_interrupt();
    while (r == RLVR_OK && rlvr_trainer_steps(t) < steps && !rlvr_trainer_done(t) && !interrupted) {
        r = rlvr_train_step(t, &metrics);
        if (r == RLVR_OK) print_step(&metrics, steps);
    }
    if (r != RLVR_OK || !interrupted) return r;
    if (!folder) return RLVR_STOPPED;
    r = rlvr_trainer_save(t, in_folder(folder, "checkpoint"));
    if (r == RLVR_OK) printf("stopped    after step %lld; go on with --resume %s\n", (long long)rlvr_trainer_steps(t), folder);
    return r == RLVR_OK ? RLVR_STOPPED : r;
}

/* A whole example: evaluation on held-out tasks, steps, the same evaluation, the tuned model in d->out_dir. */
MAYBE_UNUSED static rlvr_result run_example(rlvr_model *m, const rlvr_trainer_desc *d, const rlvr_tasks *held_out, int steps, int samples, const char *name)
{
    rlvr_eval_report before, after;
    for (int i = 0; i < 2; i++) remove(in_folder(d->out_dir, i ? "metrics.jsonl" : "completions.jsonl"));
    rlvr_result r = evaluate(m, held_out, d->reward, samples, &d->sampling, "before", &before);
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, d) : NULL;
    r = t ? train(t, steps, d->out_dir, false) : RLVR_ERROR_ARGUMENT;
    rlvr_trainer_close(t);
    if (r == RLVR_OK) r = evaluate(m, held_out, d->reward, samples, &d->sampling, "after", &after);
    if (r == RLVR_OK) r = rlvr_model_save(m, in_folder(d->out_dir, "model"));
    if (r == RLVR_OK) write_result(d->out_dir, base_name(d->out_dir), name, (long long)d->seed, steps, &before, &after);
    return r;
}
#endif
