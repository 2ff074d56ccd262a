/* The whole recipe on a model of a million parameters, without a download: mid-training, RLVR, preference polish.

   A question is "s3819>", the last digit of a sum, or "m3819>", the largest digit. 1. Mid-training: the model reads documents of
   several habits. Most guess, some write out each step ("3+8=1,1+1=2,2+9=1:1"), some chain the steps ("3+8=1+1=2+9=1:1"), and some
   forget the ":" before the answer. It learns all of them, and from a bare prompt it mostly guesses. 2. RLVR: a verifier pays for
   the right digit behind the ":", of sums alone; how it was found is not looked at. 3. Polish: an editor who cannot add shortens
   the model's own workings into chains and prefers them so: DPO, with the likelihood of what is preferred (RPO). The same polish
   straight after mid-training, without RLVR, stands beside it. Every stage is a folder with a checkpoint and a model: a run that
   was killed, in whatever stage, goes on by --resume to the same bits. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "scratch.h"
#include <time.h>

typedef struct settings {
    const char *out, *report;
    int seeds, steps, polish, loss, tasks, threads;
    float lr, polish_lr, beta, nll;
    bool quick, resume;
    scratch_world world;
    int argc;  char **argv;
} settings;

static const option options[] = {
    {"out", OPT_TEXT, offsetof(settings, out), "build/recipe", "folder of the stages' folders"},
    {"resume", OPT_FLAG, offsetof(settings, resume), "", "go on where a run with the same options was stopped or killed"},
    {"report", OPT_TEXT, offsetof(settings, report), "none", "write the tables to this Markdown file"},
    {"seeds", OPT_INT, offsetof(settings, seeds), "1", "runs, from seed on"},
    {"seed", OPT_LONG, offsetof(settings, world.seed), "0", "the first one: of the weights, the documents and the sampling"},
    {"read", OPT_INT, offsetof(settings, world.read), "800", "steps of mid-training, 64 documents each"},
    {"read_lr", OPT_FLOAT, offsetof(settings, world.read_lr), "2e-3", "their learning rate"},
    {"steps", OPT_INT, offsetof(settings, steps), "50", "steps of RLVR, 32 questions with 8 answers each"},
    {"lr", OPT_FLOAT, offsetof(settings, lr), "3e-4", "their learning rate"},
    {"polish", OPT_INT, offsetof(settings, polish), "40", "steps of polish, 32 pairs each"},
    {"polish_lr", OPT_FLOAT, offsetof(settings, polish_lr), "1e-4", "their learning rate"},
    {"loss", OPT_CHOICE, offsetof(settings, loss), "dpo", "dpo|ipo|orpo|simpo"},
    {"beta", OPT_FLOAT, offsetof(settings, beta), "0.5", "how far the reference counts"},
    {"nll", OPT_FLOAT, offsetof(settings, nll), "1", "weight of the preferred answers' likelihood"},
    {"tasks", OPT_INT, offsetof(settings, tasks), "256", "held-out tasks of each kind"},
    {"threads", OPT_INT, offsetof(settings, threads), "all cores", "threads"},
    {"quick", OPT_FLAG, offsetof(settings, quick), "", "a few steps of each, to see that it runs"},
};

/* ---- the world ---- */

enum { LEAST = 3, MOST = 5, LONGER = 6, FULL_TOKENS = 40, SAMPLES = 8, MAX_SEEDS = 16, SHOWN = 3 };
enum { PAIR_SEED = 5, PAIR_PROMPTS = 1024, PAIR_BATCH = 32 };

typedef struct question { char family; int n, digit[LONGER]; } question;      /* family: 's' sum, 'm' largest */
typedef enum style { STYLE_GUESS, STYLE_FULL, STYLE_CHAIN, STYLE_COUNT } style;

static question draw_question(uint64_t seed, uint64_t index, char family, int least, int most, bool held_out)
{
    question q = {family, least + (int)((float)(most - least + 1) * rlvr_uniform(seed, (uint32_t)index, 0, 7, 1)), {0}};
    draw(seed, index, held_out, q.digit, q.n);
    return q;
}

static int combine(const question *q, int a, int b) { return q->family == 's' ? (a + b) % 10 : a > b ? a : b; }

static int answer_of(const question *q)
{
    int x = q->digit[0];
    for (int i = 1; i < q->n; i++) x = combine(q, x, q->digit[i]);
    return x;
}

static int write_question(const question *q, char *text)      /* returns its length */
{
    int n = sprintf(text, "%c", q->family);
    for (int i = 0; i < q->n; i++) n += sprintf(text + n, "%d", q->digit[i]);
    return n + sprintf(text + n, ">");
}

/* What stands behind the question: working by its style, then ":" (formed), then the answer. */
static void write_answer(const question *q, style s, bool formed, int guess, char *text)
{
    int x = q->digit[0], n = 0;
    for (int i = 1; i < q->n && s != STYLE_GUESS; i++) {
        int next = combine(q, x, q->digit[i]);
        if (s == STYLE_FULL && i > 1) n += sprintf(text + n, ",");
        if (s == STYLE_FULL || i == 1) n += sprintf(text + n, "%d", x);
        n += sprintf(text + n, "%c%d=%d", q->family == 's' ? '+' : '^', q->digit[i], next);
        x = next;
    }
    if (formed) sprintf(text + n, ":%d", s == STYLE_GUESS ? guess : x);
    else if (s == STYLE_GUESS) sprintf(text, "%d", guess);
}

/* A document: 64 % guess one of the question's digits, 24 % work in full, 12 % in a chain; a quarter of the guesses has no ":",
   half of the chains stop at their last step. */
static void write_document(uint64_t seed, uint64_t index, char *text)
{
    float u[4];
    for (uint32_t i = 0; i < 4; i++) u[i] = rlvr_uniform(seed, (uint32_t)index, 0, 7, 2 + i);
    question q = draw_question(seed, index, u[0] < 0.67f ? 's' : 'm', LEAST, MOST, false);
    style s = u[1] < 0.64f ? STYLE_GUESS : u[1] < 0.88f ? STYLE_FULL : STYLE_CHAIN;
    bool formed = s == STYLE_GUESS ? u[2] < 0.75f : s == STYLE_FULL || u[2] < 0.5f;
    write_answer(&q, s, formed, q.digit[(int)((float)q.n * u[3])], text + write_question(&q, text));
}

static void write_question_task(scratch_world *w, const question *q, rlvr_task *task)
{
    memset(task, 0, sizeof *task);
    write_question(q, w->prompt);
    snprintf(w->answer, sizeof w->answer, "%d", answer_of(q));
    task->prompt = w->prompt;  task->answer = w->answer;  task->raw = true;
}

static rlvr_result ask_sum(void *user, uint64_t index, rlvr_task *task)      /* an rlvr_task_fn */
{
    scratch_world *w = (scratch_world *)user;
    question q = draw_question((uint64_t)w->seed << 8 | ASK_SEED, index, 's', LEAST, MOST, false);
    write_question_task(w, &q, task);
    return RLVR_OK;
}

/* NULL: memory is out. */
static rlvr_tasks *question_tasks(rlvr_ctx *ctx, uint64_t seed, int count, char family, int least, int most, bool held_out)
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    scratch_world w;
    for (int i = 0; i < count && tasks; i++) {
        rlvr_task task;
        question q = draw_question(seed, (uint64_t)i, family, least, most, held_out);
        write_question_task(&w, &q, &task);
        if (rlvr_tasks_add(tasks, &task) != RLVR_OK) return NULL;
    }
    return tasks;
}

/* ---- the verifier ---- */

static bool well_formed(const rlvr_rollout *o)      /* ends by itself with ":" and one digit, its only ":" */
{
    const char *colon = (const char *)memchr(o->text, ':', o->text_len);
    return o->finish_reason == RLVR_FINISH_STOP && colon && colon[1] >= '0' && colon[1] <= '9' && colon + 2 == o->text + o->text_len;
}

static rlvr_result verify(const rlvr_rollout *o, void *user, float *reward)
{
    (void)user;
    *reward = well_formed(o) && o->text[o->text_len - 1] == o->task->answer[0];
    return RLVR_OK;
}

static rlvr_reward_desc verifier(void)
{
    rlvr_reward_desc d;
    memset(&d, 0, sizeof d);
    d.fn = verify;
    return d;
}

/* ---- what a stage came to ---- */

typedef struct measures {
    double sampled, low, high, greedy, pass, form, style[STYLE_COUNT], length, right, wrong, longer, other, kl;
    char example[FULL_TOKENS + 1];       /* one answer to held-out task number SHOWN */
} measures;

typedef struct recipe {
    rlvr_ctx *ctx;
    settings *s;
    rlvr_tasks *held_out, *longer, *other;
    rlvr_tasks *asked;                   /* for pairs; then the answers, what the editor made of them, and the pairs */
    rlvr_rollouts *seen;
    int (*edited)[FULL_TOKENS];
    rlvr_preference *pairs;  int n_pairs;
} recipe;

static rlvr_sampling answers(void)
{
    rlvr_sampling s;
    memset(&s, 0, sizeof s);
    s.max_tokens = FULL_TOKENS;
    return s;
}

static style style_of(const rlvr_rollout *o)
{
    return memchr(o->text, ',', o->text_len) ? STYLE_FULL : memchr(o->text, '=', o->text_len) ? STYLE_CHAIN : STYLE_GUESS;
}

/* log p of a rollout under the model that sampled it less that under base. */
static rlvr_result divergence(const rlvr_rollout *o, rlvr_model *base, double *kl)
{
    int tokens[64], n = o->n_prompt + o->n_tokens;
    float logprob[64];
    memcpy(tokens, o->prompt_tokens, (size_t)o->n_prompt * sizeof(int));
    memcpy(tokens + o->n_prompt, o->tokens, (size_t)o->n_tokens * sizeof(int));
    rlvr_result r = rlvr_score(base, tokens, n, NULL, logprob);
    for (int i = 0; i < o->n_tokens && r == RLVR_OK; i++) *kl += (double)o->logprobs[i] - (double)logprob[o->n_prompt - 1 + i];
    return r;
}

/* Form, styles and divergence of one answer to each held-out task. */
static rlvr_result measure_answers(recipe *c, rlvr_model *m, rlvr_model *base, measures *x)
{
    rlvr_sampling s = answers();
    rlvr_rollouts *all = NULL;
    const int n = c->s->tasks;
    s.seed = HELD_OUT_SEED;
    rlvr_result r = rlvr_sample(m, rlvr_tasks_get(c->held_out, 0), n, 1, &s, &all);
    for (int i = 0; i < n && r == RLVR_OK; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(all, i);
        x->form += (double)well_formed(o) / n;
        x->style[style_of(o)] += 1.0 / n;
        if (i == SHOWN % n) snprintf(x->example, sizeof x->example, "%s", o->text);
        r = divergence(o, base, &x->kl);
    }
    for (char *p = x->example; *p; p++)      /* it stands in a table */
        if (*p < ' ' || *p > '~' || *p == '|' || *p == '`') *p = '?';
    x->kl /= n;
    rlvr_rollouts_free(all);
    return r;
}

static rlvr_result measure(recipe *c, rlvr_model *m, rlvr_model *base, const char *name, measures *x)
{
    rlvr_eval_report e, longer, other;
    const rlvr_sampling s = answers();
    memset(x, 0, sizeof *x);
    rlvr_result r = evaluate(m, c->held_out, verifier(), SAMPLES, &s, name, &e);
    if (r == RLVR_OK) r = evaluate(m, c->longer, verifier(), SAMPLES, &s, "  longer", &longer);
    if (r == RLVR_OK) r = evaluate(m, c->other, verifier(), SAMPLES, &s, "  other", &other);
    if (r == RLVR_OK) r = measure_answers(c, m, base, x);
    if (r != RLVR_OK) return r;
    x->sampled = e.pass_at_1;  x->low = e.pass_at_1_low;  x->high = e.pass_at_1_high;
    x->greedy = e.greedy;  x->pass = e.pass_at_k[e.n_k - 1];
    x->length = e.mean_length;  x->right = e.right.mean;  x->wrong = e.wrong.mean;
    x->longer = longer.pass_at_1;  x->other = other.pass_at_1;
    return RLVR_OK;
}

/* ---- the stages ---- */

typedef struct stage {
    const char *name, *title, *from;     /* from: the stage whose model it starts with; NULL: made from nothing */
    rlvr_trainer_desc (*training)(recipe *c);
    rlvr_result (*prepare)(recipe *c, rlvr_model *m);      /* before the trainer is opened; NULL: nothing to do */
    rlvr_result (*step)(recipe *c, rlvr_model *m, rlvr_trainer *t, rlvr_metrics *metrics);
    size_t steps;                        /* where their number stands in settings */
} stage;

static rlvr_trainer_desc mid_training(recipe *c) { return reading_training(c->s->world.read, c->s->world.read_lr); }

static rlvr_result read_step(recipe *c, rlvr_model *m, rlvr_trainer *t, rlvr_metrics *metrics)
{
    reading b = {{0}, {0}, 0, {0}};
    for (int i = 0; i < READ_BATCH; i++) {
        char text[READ_TOKENS];
        write_document((uint64_t)c->s->world.seed << 8 | READ_SEED, (uint64_t)(rlvr_trainer_steps(t) * READ_BATCH + i), text);
        reading_add(&b, text, rlvr_token_eos(m));
    }
    return rlvr_train_tokens(t, b.tokens, b.offset, b.n, b.mask, metrics);
}

static rlvr_trainer_desc rlvr_training(recipe *c)
{
    rlvr_trainer_desc d = scratch_training(&c->s->world, c->s->lr);
    d.task_fn = ask_sum;
    d.reward = verifier();
    d.group_size = SAMPLES;
    d.sampling = answers();
    return d;
}

static rlvr_result rlvr_step(recipe *c, rlvr_model *m, rlvr_trainer *t, rlvr_metrics *metrics)
{
    (void)c;  (void)m;
    return rlvr_train_step(t, metrics);
}

static const rlvr_preference_kind preference_kinds[] = {RLVR_PREFER_DPO, RLVR_PREFER_IPO, RLVR_PREFER_ORPO, RLVR_PREFER_SIMPO};

static rlvr_trainer_desc polish_training(recipe *c)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.preference.kind = preference_kinds[c->s->loss];
    d.preference.beta = c->s->beta;
    d.preference.nll_coef = c->s->nll;
    d.prompts_per_step = PAIR_BATCH;
    d.micro_tokens = 2 * PAIR_BATCH * (FULL_TOKENS + 8);
    d.optim.lr = c->s->polish_lr;
    return d;
}

/* An editor who cannot add: strikes out each "," and the digit behind it, so that "3+8=1,1+1=2:2" becomes "3+8=1+1=2:2". Returns
   the length; 0 where nothing is to be done: no such place, or an answer that is not well formed. A token is a byte. */
static int shorten(const rlvr_rollout *o, int *out)
{
    int n = 0;
    if (!well_formed(o) || style_of(o) != STYLE_FULL) return 0;
    for (int i = 0; i < o->n_tokens; i++) {
        if (o->tokens[i] == ',') i++;
        else out[n++] = o->tokens[i];
    }
    return n;
}

/* Pairs: what the editor made of the model's own answers against what it had written. The same every time, so that a resumed run
   has the same pairs. */
static rlvr_result find_pairs(recipe *c, rlvr_model *m)
{
    rlvr_sampling s = answers();
    const uint64_t seed = (uint64_t)c->s->world.seed << 8 | PAIR_SEED;
    s.seed = seed;
    rlvr_tasks_free(c->asked);
    c->asked = question_tasks(c->ctx, seed, PAIR_PROMPTS, 's', LEAST, MOST, false);
    if (!c->asked) return RLVR_ERROR_MEMORY;
    rlvr_result r = rlvr_sample(m, rlvr_tasks_get(c->asked, 0), PAIR_PROMPTS, 1, &s, &c->seen);
    c->n_pairs = 0;
    for (int i = 0; i < PAIR_PROMPTS && r == RLVR_OK; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(c->seen, i);
        rlvr_preference *p = &c->pairs[c->n_pairs];
        memset(p, 0, sizeof *p);
        p->prompt = o->prompt_tokens;  p->n_prompt = o->n_prompt;
        p->chosen = c->edited[c->n_pairs];  p->n_chosen = shorten(o, c->edited[c->n_pairs]);
        p->rejected = o->tokens;  p->n_rejected = o->n_tokens;
        c->n_pairs += p->n_chosen > 0;
    }
    if (r != RLVR_OK) return r;
    printf("pairs      %d of %d answers show their working and are shortened\n", c->n_pairs, PAIR_PROMPTS);
    if (c->n_pairs) return RLVR_OK;
    fprintf(stderr, "no answer shows its working in the wanted form: there is nothing to shorten; give mid-training more steps (--read)\n");
    return RLVR_ERROR_ARGUMENT;
}

static rlvr_result polish_step(recipe *c, rlvr_model *m, rlvr_trainer *t, rlvr_metrics *metrics)
{
    rlvr_preference batch[PAIR_BATCH];
    (void)m;
    for (int i = 0; i < PAIR_BATCH; i++) batch[i] = c->pairs[(rlvr_trainer_steps(t) * PAIR_BATCH + i) % c->n_pairs];
    return rlvr_train_preferences(t, batch, PAIR_BATCH, metrics);
}

static const stage stages[] = {
    {"read", "mid-training", NULL, mid_training, NULL, read_step, offsetof(settings, world.read)},
    {"rlvr", "RLVR", "read", rlvr_training, NULL, rlvr_step, offsetof(settings, steps)},
    {"polish", "polish", "rlvr", polish_training, find_pairs, polish_step, offsetof(settings, polish)},
    {"alone", "polish without RLVR", "read", polish_training, find_pairs, polish_step, offsetof(settings, polish)},
};

static const char *stage_file(const recipe *c, const char *stage_name, const char *name, char *path)
{
    snprintf(path, 1024, "%s/seed-%lld/%s/%s", c->s->out, c->s->world.seed, stage_name, name);
    return path;
}

static void print_stage(const stage *g, const rlvr_metrics *m, int steps)
{
    printf("%-10s %4lld/%d loss %.3f", g->name, (long long)m->step, steps, m->loss);
    if (m->n_rollouts) printf("  reward %.3f  length %.1f", m->reward_mean, m->completion_mean_length);
    if (m->preference.n_chosen) printf("  pairs told apart %.2f  margin %.2f", m->preference.accuracy, m->preference.margin);
    printf("  %.0f ms\n", 1e3 * m->step_time);
    fflush(stdout);
}

/* Trains m to the stage's end, from its checkpoint where there is one. */
static rlvr_result train_stage(recipe *c, const stage *g, rlvr_model *m)
{
    const int steps = *(int *)((char *)c->s + g->steps), shown = steps > 100 ? 100 : 10;
    char folder[1024], checkpoint[1024], model[1024], metrics_path[1024];
    rlvr_metrics metrics;
    rlvr_trainer_desc d = g->training(c);
    stage_file(c, g->name, "checkpoint", checkpoint);
    const bool resume = access(checkpoint, F_OK) == 0;
    if (!resume) remove(stage_file(c, g->name, "metrics.jsonl", metrics_path));
    d.seed = (uint64_t)c->s->world.seed;
    d.out_dir = stage_file(c, g->name, "", folder);
    d.save_every = steps > 10 ? steps / 10 : 1;
    rlvr_result r = g->prepare ? g->prepare(c, m) : RLVR_OK;
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, &d) : NULL;
    if (!t) return r == RLVR_OK ? RLVR_ERROR_ARGUMENT : r;
    if (resume) r = rlvr_trainer_resume(t, checkpoint);
    if (r == RLVR_OK && resume) printf("%-10s resumed after step %lld\n", g->name, (long long)rlvr_trainer_steps(t));
    while (r == RLVR_OK && rlvr_trainer_steps(t) < steps && !interrupted) {
        r = g->step(c, m, t, &metrics);
        if (r == RLVR_OK && (metrics.step % shown == 0 || metrics.step == steps)) print_stage(g, &metrics, steps);
    }
    if (r == RLVR_OK) r = rlvr_trainer_save(t, checkpoint);
    if (r == RLVR_OK && interrupted) { printf("stopped    go on with --resume\n"); r = RLVR_STOPPED; }
    if (r == RLVR_OK) r = rlvr_model_save(m, stage_file(c, g->name, "model", model));
    rlvr_trainer_close(t);
    return r;
}

static rlvr_result run_stage(recipe *c, const stage *g, measures *x)
{
    char path[1024];
    rlvr_model *m = g->from ? rlvr_model_load(c->ctx, stage_file(c, g->from, "model", path)) : scratch_model(c->ctx, c->s->world.seed);
    rlvr_result r = m ? train_stage(c, g, m) : RLVR_ERROR_IO;
    rlvr_rollouts_free(c->seen);
    c->seen = NULL;
    rlvr_model *base = r == RLVR_OK ? rlvr_model_load(c->ctx, stage_file(c, stages[0].name, "model", path)) : NULL;
    if (r == RLVR_OK) r = base ? measure(c, m, base, g->title, x) : RLVR_ERROR_IO;
    rlvr_model_free(base);
    rlvr_model_free(m);
    return r;
}

/* ---- tables ---- */

typedef struct results {
    measures of[MAX_SEEDS][COUNT(stages)];
    double seconds[MAX_SEEDS], processor[MAX_SEEDS];
    long long first;  int n;
} results;

typedef struct column { const char *name; size_t offset; double scale; int digits; } column;
static const column columns[] = {
    {"sampled, %", offsetof(measures, sampled), 100, 1}, {"greedy, %", offsetof(measures, greedy), 100, 1},
    {"pass@8, %", offsetof(measures, pass), 100, 1}, {"six digits, %", offsetof(measures, longer), 100, 1},
    {"largest digit, %", offsetof(measures, other), 100, 1}, {"form, %", offsetof(measures, form), 100, 0},
    {"guesses, %", offsetof(measures, style[STYLE_GUESS]), 100, 0}, {"full, %", offsetof(measures, style[STYLE_FULL]), 100, 0},
    {"chain, %", offsetof(measures, style[STYLE_CHAIN]), 100, 0}, {"length", offsetof(measures, length), 1, 1},
    {"of right", offsetof(measures, right), 1, 1}, {"of wrong", offsetof(measures, wrong), 1, 1}, {"KL, nats", offsetof(measures, kl), 1, 2},
};

static double cell(const measures *x, const column *o) { return o->scale * *(const double *)((const char *)x + o->offset); }

static void put_head(FILE *f, const char *first, const char *last)
{
    fprintf(f, "\n| %s |", first);
    for (int i = 0; i < COUNT(columns); i++) fprintf(f, " %s |", columns[i].name);
    fprintf(f, "%s\n|---|", last);
    for (int i = 0; i < COUNT(columns) + (*last != 0); i++) fprintf(f, "---|");
    fprintf(f, "\n");
}

static void put_means(FILE *f, const results *x)
{
    put_head(f, "mean of the seeds, after", "");
    for (int g = 0; g < COUNT(stages); g++) {
        fprintf(f, "| %s |", stages[g].title);
        for (int i = 0; i < COUNT(columns); i++) {
            double sum = 0;
            for (int seed = 0; seed < x->n; seed++) sum += cell(&x->of[seed][g], &columns[i]);
            fprintf(f, " %.*f |", columns[i].digits, sum / x->n);
        }
        fprintf(f, "\n");
    }
}

/* A table of the means, where there are several seeds, and one of each seed. */
static void put_tables(FILE *f, const recipe *c, const results *x)
{
    char first[64], last[64];
    if (x->n > 1) put_means(f, x);
    snprintf(last, sizeof last, " an answer to `%.16s` |", rlvr_tasks_get(c->held_out, SHOWN % c->s->tasks)->prompt);
    for (int seed = 0; seed < x->n; seed++) {
        snprintf(first, sizeof first, "seed %lld, after", x->first + seed);
        put_head(f, first, last);
        for (int g = 0; g < COUNT(stages); g++) {
            const measures *e = &x->of[seed][g];
            fprintf(f, "| %s |", stages[g].title);
            for (int i = 0; i < COUNT(columns); i++) {
                fprintf(f, " %.*f", columns[i].digits, cell(e, &columns[i]));
                if (!i) fprintf(f, " [%.1f, %.1f]", 100 * e->low, 100 * e->high);
                fprintf(f, " |");
            }
            fprintf(f, " `%s` |\n", e->example);
        }
    }
    fprintf(f, "\nSeconds (of all threads' processor time): ");
    for (int seed = 0; seed < x->n; seed++)
        fprintf(f, "%sseed %lld %.0f (%.0f)", seed ? ", " : "", x->first + seed, x->seconds[seed], x->processor[seed]);
    fprintf(f, "; evaluations included%s. Where other programs share\n"
            "the machine, the processor time is what compares.\n", c->s->resume ? "; a resumed run's are those since it was resumed" : "");
}

/* The tables as a file, with what they are and how they came to be. */
static rlvr_result write_report(const recipe *c, const results *x)
{
    char date[16];
    const time_t now = time(NULL);
    strftime(date, sizeof date, "%Y-%m-%d", localtime(&now));
    FILE *f = fopen(c->s->report, "w");
    if (!f) { fprintf(stderr, "%s: cannot write: %s\n", c->s->report, strerror(errno)); return RLVR_ERROR_IO; }
    fprintf(f, "# Mid-training, RLVR, preference polish\n\nThis file is written by `");
    for (int i = 0; i < c->s->argc; i++) fprintf(f, "%s%s", i ? " " : "", c->s->argv[i]);
    fprintf(f, "`.\nMachine: %s; %s. Results do not depend on the number of threads.\n\n", rlvr_describe(c->ctx), date);
    fprintf(f, "A model of a million parameters, made from nothing, reads %d batches of 64 documents, then %d steps of RLVR, then %d steps of %s on\n"
            "pairs of its own answers, the preferred one shortened by an editor who cannot add; the last row is that polish straight after\n"
            "mid-training. `examples/08_recipe.c` tells about tasks and styles. Sampled: %d answers to each of %d held-out sums of three to five digits,\n"
            "with a 95 %% bootstrap interval over tasks. Six digits: sums longer than any that was read or asked. Largest digit: a kind of question\n"
            "that was read, but never asked by RLVR or polish (both sampled). Form: ends with \":\" and one digit. Guesses, full and chain are\n"
            "shares of all answers: without working, with each step written in full, with steps as a chain. Length: tokens of an answer, the\n"
            "end included. KL: log p of an answer less that under the mid-trained model, mean over answers.\n",
            c->s->world.read, c->s->steps, c->s->polish, rlvr_preference_name(preference_kinds[c->s->loss]), SAMPLES, c->s->tasks);
    put_tables(f, c, x);
    return fclose(f) ? RLVR_ERROR_IO : RLVR_OK;
}

/* ---- the run ---- */

static rlvr_result run_seed(recipe *c, results *x, int seed)
{
    char path[1024];
    const time_t start = time(NULL);
    const clock_t spent = clock();
    c->s->world.seed = x->first + seed;
    for (int g = 0; g < COUNT(stages) && !c->s->resume; g++) remove(stage_file(c, stages[g].name, "checkpoint", path));
    rlvr_result r = RLVR_OK;
    for (int g = 0; g < COUNT(stages) && r == RLVR_OK; g++) r = run_stage(c, &stages[g], &x->of[seed][g]);
    x->seconds[seed] = difftime(time(NULL), start);
    x->processor[seed] = (double)(clock() - spent) / CLOCKS_PER_SEC;
    return r;
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    static rlvr_preference pairs[PAIR_PROMPTS];
    static int edited[PAIR_PROMPTS][FULL_TOKENS];
    static results x;
    recipe c = {ctx, s, NULL, NULL, NULL, NULL, NULL, edited, pairs, 0};
    rlvr_result r = RLVR_OK;
    x.first = s->world.seed;
    x.n = s->seeds;
    c.held_out = question_tasks(ctx, HELD_OUT_SEED, s->tasks, 's', LEAST, MOST, true);
    c.longer = question_tasks(ctx, HELD_OUT_SEED, s->tasks, 's', LONGER, LONGER, true);
    c.other = question_tasks(ctx, HELD_OUT_SEED, s->tasks, 'm', LEAST, MOST, true);
    if (!c.held_out || !c.longer || !c.other) return RLVR_ERROR_MEMORY;
    printf("%s\n", rlvr_describe(ctx));
    catch_interrupt();
    for (int seed = 0; seed < s->seeds && r == RLVR_OK; seed++) r = run_seed(&c, &x, seed);
    if (r == RLVR_OK) put_tables(stdout, &c, &x);
    if (r == RLVR_OK && s->report) r = write_report(&c, &x);
    return r;
}

int main(int argc, char **argv)
{
    settings s = {"build/recipe", NULL, 1, 50, 40, 0, 256, 0, 3e-4f, 1e-4f, 0.5f, 1, false, false, {0, 800, 2e-3f, "", ""}, argc, argv};
    options_read(argc, argv, "build/08_recipe [options]", options, COUNT(options), &s, NULL, 0);
    if (s.quick) { s.world.read = 30; s.steps = 3; s.polish = 3; s.tasks = 32; }
    if (s.seeds < 1 || s.seeds > MAX_SEEDS) { fprintf(stderr, "--seeds: 1 to %d\n", MAX_SEEDS); return 2; }
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
