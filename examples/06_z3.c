/* The host program is the judge: the model names two whole numbers that fulfil a formula, and Z3 decides whether they do. A formula
   has many models, and any of them is right: no answer is stored anywhere. Only the two numbers go from the text to Z3. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"
#include <z3.h>

typedef struct settings {
    const char *model, *out;
    int steps, eval, samples, threads;
    float lr;
    long long seed;
    Z3_context z3;
    char prompt[512], answer[128];      /* of the last task; the answer is the formula, in SMT-LIB */
} settings;

static const option options[] = {RUN_OPTIONS(settings, "build/z3")};

/* Questions: x + y is a number, and x lies on one side of another. One sum in five is held out. */
static void ask_about(settings *s, uint64_t seed, uint64_t index, bool held_out, rlvr_task *task)
{
    uint32_t at = (uint32_t)index, attempt = 0;
    int sum, above = rlvr_uniform(seed, at, 0, 1, 0) < 0.5f, bound;
    do sum = 5 + (int)(16 * rlvr_uniform(seed, at, ++attempt, 0, 0));
    while ((sum % 5 == 0) != held_out);
    bound = 2 + (int)((float)(sum - 3) * rlvr_uniform(seed, at, 0, 2, 0));
    snprintf(s->prompt, sizeof s->prompt, "x + y = 9 and x > 6. A solution: x = 7, y = 2.\nx + y = 16 and x < 5. A solution: x = 4, y = 12.\n"
             "x + y = %d and x %c %d. A solution: x =", sum, above ? '>' : '<', bound);
    snprintf(s->answer, sizeof s->answer, "(assert (and (= (+ x y) %d) (%c x %d)))", sum, above ? '>' : '<', bound);
    memset(task, 0, sizeof *task);
    task->prompt = s->prompt;
    task->answer = s->answer;
    task->raw = true;      /* the model goes on writing; no chat */
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    settings *s = (settings *)user;
    ask_about(s, (uint64_t)s->seed << 8 | 3, index, false, task);
    return RLVR_OK;
}

/* ---- the judge ---- */

/* Is the formula true of x and y? What Z3 cannot read or decide is our fault, not the model's. */
static rlvr_result fulfils(Z3_context z3, const char *formula, long long x, long long y, bool *yes)
{
    char text[512];
    Z3_solver solver = Z3_mk_simple_solver(z3);
    Z3_lbool found = Z3_L_UNDEF;
    snprintf(text, sizeof text, "(declare-const x Int)(declare-const y Int)%s(assert (= x (- %lld 1000000)))(assert (= y (- %lld 1000000)))",
             formula, x + 1000000, y + 1000000);      /* SMT-LIB has no negative numerals */
    Z3_solver_inc_ref(z3, solver);
    Z3_solver_from_string(z3, solver, text);
    if (Z3_get_error_code(z3) == Z3_OK) found = Z3_solver_check(z3, solver);
    Z3_solver_dec_ref(z3, solver);
    *yes = found == Z3_L_TRUE;
    return found == Z3_L_UNDEF ? RLVR_REWARD_ERROR : RLVR_OK;
}

/* The completion is " 8, y = 4", perhaps with a full stop: two numbers of at most six digits, and nothing else. */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    const settings *s = (const settings *)user;
    int x, y, end = 0;
    bool yes = false;
    rlvr_result result = RLVR_OK;
    if (sscanf(r->text, " %6d, y = %6d%n", &x, &y, &end) == 2 && end > 0 && r->text[end + (int)strspn(r->text + end, ". \n")] == 0)
        result = fulfils(s->z3, r->task->answer, x, y, &yes);
    *reward = yes;
    return result;
}

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    static const char *const stop[] = {".", "\n"};
    const rlvr_reward_desc reward = {.fn = judge, .user = s, .name = "z3"};
    rlvr_trainer_desc d;
    bool right, wrong;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;  d.task_user = s;  d.reward = reward;  d.max_prompt_tokens = 128;  d.sampling.max_tokens = 16;
    d.sampling.stop = stop;  d.sampling.n_stop = 2;
    d.optim.lr = s->lr;  d.seed = (uint64_t)s->seed;  d.out_dir = s->out;  d.log_completions = 8;
    if (fulfils(s->z3, "(assert (< x y))", -3, 2, &right) != RLVR_OK || fulfils(s->z3, "(assert (< x y))", 3, -2, &wrong) != RLVR_OK || !right || wrong) {
        fprintf(stderr, "06_z3: this Z3 does not decide -3 < 2: %s\n", Z3_get_full_version());
        return RLVR_ERROR_UNSUPPORTED;
    }
    rlvr_model *m = rlvr_model_load(ctx, s->model);
    rlvr_tasks *held_out = rlvr_tasks_new(ctx);
    if (!m || !held_out) return RLVR_ERROR_IO;
    for (int i = 0; i < s->eval; i++) {
        rlvr_task task;
        ask_about(s, 1, (uint64_t)i, true, &task);
        if (rlvr_tasks_add(held_out, &task) != RLVR_OK) return RLVR_ERROR_MEMORY;
    }
    rlvr_result r = print_head(s->model, m, &d);
    if (r == RLVR_OK) printf("task       two numbers that fulfil a formula, judged by Z3; %d held out\n", s->eval);
    return r == RLVR_OK ? run_example(m, &d, held_out, s->steps, s->samples, "z3") : r;
}

int main(int argc, char **argv)
{
    settings s = {"SmolLM2-135M-Instruct.Q4_1.gguf", "build/z3", 40, 64, 8, 0, 0, 0, NULL, "", ""};
    options_read(argc, argv, "build/06_z3 [options]", options, COUNT(options), &s, NULL, 0);
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    Z3_config config = Z3_mk_config();
    Z3_set_param_value(config, "timeout", "1000");      /* ms for one formula */
    s.z3 = Z3_mk_context(config);
    Z3_del_config(config);
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx && s.z3 ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    Z3_del_context(s.z3);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
