/* Rollouts that the present weights have not sampled: replay of rare successes, a fixed lag, demonstrations. Small random models;
   rewards by a script, gradients by hand from the public loss. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

enum { PROMPTS = 2, GROUP = 4, MAX_TOKENS = 8, N_STOPS = 30 };

static rlvr_ctx *open_ctx(int threads)
{
    rlvr_desc d;
    memset(&d, 0, sizeof d);
    d.n_threads = threads;
    d.quiet = true;
    return rlvr_open(&d);
}

static rlvr_model *small_model(rlvr_ctx *ctx)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>"};
    rlvr_model_desc d;
    memset(&d, 0, sizeof d);
    d.n_vocab = 258; d.n_ctx = 64; d.d_model = 12; d.n_layers = 2; d.n_heads = 2; d.n_kv_heads = 1; d.head_dim = 6; d.d_ff = 16;
    d.tied = true; d.seed = 11; d.init_std = 0.2f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

static int stops[N_STOPS];      /* so many tokens end a completion that most end before max_tokens */

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    for (int i = 0; i < N_STOPS; i++) stops[i] = 8 * i + 7;
    d.prompts_per_step = PROMPTS;
    d.group_size = GROUP;
    d.sampling.max_tokens = MAX_TOKENS;
    d.sampling.stop_tokens = stops;
    d.sampling.n_stop_tokens = N_STOPS;
    d.max_prompt_tokens = 32;
    d.optim.lr = 3e-3f;
    d.seed = 5;
    return d;
}

/* Seven prompts that come again and again; every third has a demonstration. */
static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say something longer", "Say it", "Tell: 12 + 30 = ", "Say no more", "Say", "Say something"};
    (void)user;
    task->prompt = text[index % 7];
    task->answer = index % 2 ? "odd" : "even";
    task->demonstration = index % 3 == 0 ? "smart" : NULL;
    task->raw = true;
    return RLVR_OK;
}

/* Right where the first token is a multiple of four: about a quarter. */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    (void)user;
    *reward = r->tokens[0] % 4 == 0 || r->tokens[0] == 's' ? 1 : 0;
    return RLVR_OK;
}

static rlvr_trainer_desc running(void)
{
    rlvr_trainer_desc d = description();
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 5;
    return d;
}

static float *saved_weights(const rlvr_model *m)
{
    size_t bytes = (size_t)m->n_floats * sizeof(float);
    float *w = (float *)malloc(bytes);
    memcpy(w, m->weights, bytes);
    return w;
}

/* ---- rewards by a script: what each rollout of tasks A and B earns in each step ---- */

enum { WRONG = 0, RIGHT = 1, FAILED = 2 };
typedef struct script { int step; const char *const (*earn)[2]; int asked; } script;      /* earn[step][task]: "0100", F fails */

static rlvr_result judge_script(const rlvr_rollout *r, void *user, float *reward)
{
    script *s = (script *)user;
    char c = s->earn[s->step][r->task->answer[0] - 'A'][r->index];
    s->asked++;
    *reward = c == '1' ? 1 : 0;
    return c == 'F' ? RLVR_REWARD_ERROR : RLVR_OK;
}

static rlvr_tasks *two_tasks(rlvr_ctx *ctx)
{
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    for (int i = 0; i < 2; i++) {
        rlvr_task task;
        memset(&task, 0, sizeof task);
        task.prompt = "Say something";      /* one prompt, two answers: two tasks */
        task.answer = i ? "B" : "A";
        task.raw = true;
        CHECK(rlvr_tasks_add(tasks, &task) == RLVR_OK);
    }
    return tasks;
}

/* Every odd token ends a completion: those of the script end by themselves. */
static rlvr_trainer_desc scripted_description(rlvr_ctx *ctx, script *s)
{
    static int odd[128];
    rlvr_trainer_desc d = description();
    for (int i = 0; i < 128; i++) odd[i] = 2 * i + 1;
    d.sampling.stop_tokens = odd;
    d.sampling.n_stop_tokens = 128;
    d.tasks = two_tasks(ctx);
    d.reward.fn = judge_script;
    d.reward.user = s;
    return d;
}

static rlvr_rollout *of_task(rlvr_trainer *t, char task, int index)
{
    for (int g = 0; g < PROMPTS; g++)
        if (rlvr_rollouts_get(rlvr_trainer_rollouts(t), g * GROUP)->task->answer[0] == task) return rlvr_rollouts_get(rlvr_trainer_rollouts(t), g * GROUP + index);
    return NULL;
}

/* Where in the buffer these tokens lie for the task of rollout o; -1: nowhere. */
static int stored_at(const rlvr_trainer *t, const int *tokens, int n)
{
    int found = -1, times = 0;
    for (int e = 0; e < t->desc.plan.replay_capacity; e++) {
        const rlvr__success *x = &t->replay.stored[e];
        if (!x->age || x->n_tokens != n || memcmp(t->replay.tokens + e * MAX_TOKENS, tokens, (size_t)n * sizeof(int))) continue;
        found = e;
        times++;
    }
    CHECK(times <= 1);
    return found;
}

typedef struct kept { int tokens[MAX_TOKENS], n; float logprobs[MAX_TOKENS]; } kept;
static kept keep(const rlvr_rollout *o)
{
    kept k;
    memset(&k, 0, sizeof k);
    k.n = o->n_tokens;
    memcpy(k.tokens, o->tokens, (size_t)k.n * sizeof(int));
    memcpy(k.logprobs, o->logprobs, (size_t)k.n * sizeof(float));
    return k;
}
static bool is_kept(const rlvr_rollout *o, const kept *k)
{
    return o->n_tokens == k->n && !memcmp(o->tokens, k->tokens, (size_t)k->n * sizeof(int));
}

/* A step whose script has at most capacity successes; every one of them ends by itself (checked by the caller's seed). */
static rlvr_metrics scripted(rlvr_trainer *t, script *s)
{
    rlvr_metrics m;
    s->asked = 0;
    CHECK(rlvr_train_step(t, &m) == RLVR_OK);
    CHECK(s->asked == PROMPTS * GROUP);      /* what is replayed is not graded again */
    s->step++;
    return m;
}

static void test_buffer(bool two_forwards)
{
    static const char *const earn[][2] = {
        {"0100", "0110"},      /* 0: A has a rare success, B has two of four, which are not rare */
        {"1000", "F00F"},      /* 1: A another; nothing is stored for B */
        {"0000", "0001"},      /* 2: A's newest takes a place; B's first is stored */
        {"F00F", "0000"},      /* 3: A's newest goes where there was no reward; B's too */
        {"0110", "FFFF"},      /* 4: A has become easy: forgotten. B has no rollout with a reward that could stay */
        {"0000", "1FFF"},      /* 5: A has nothing left. One of one is not rare, and B is forgotten too */
        {"0000", "0000"},      /* 6 */
    };
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    script s = {0, earn, 0};
    rlvr_trainer_desc d = scripted_description(ctx, &s);
    d.plan.replay_capacity = 8;
    d.two_forwards = two_forwards;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t != NULL);
    rlvr_metrics x = scripted(t, &s);
    CHECK(x.n_replayed == 0 && x.n_stored == 1 && of_task(t, 'A', 1)->finish_reason == RLVR_FINISH_STOP);
    kept first = keep(of_task(t, 'A', 1)), second, third;
    CHECK(stored_at(t, first.tokens, first.n) == 0 && !memcmp(t->replay.logprobs, first.logprobs, (size_t)first.n * sizeof(float)));

    x = scripted(t, &s);
    CHECK(x.n_replayed == 0 && x.n_stored == 2 && x.n_reward_errors == 2);
    second = keep(of_task(t, 'A', 0));

    x = scripted(t, &s);
    const rlvr_rollout *o = of_task(t, 'A', 3);
    CHECK(x.n_replayed == 1 && x.n_stored == 3 && x.n_groups_signal == 2 && x.frac_reward_zero_std == 0);
    CHECK(x.reward_mean == 1 / 8.0 && x.n_reward_errors == 0);      /* what the policy itself has done */
    CHECK(o->origin == RLVR_ORIGIN_REPLAY && is_kept(o, &second) && o->reward == 1 && o->graded == RLVR_OK && o->finish_reason == RLVR_FINISH_STOP);
    CHECK(o->behaviour && !memcmp(o->behaviour, second.logprobs, (size_t)second.n * sizeof(float)));
    CHECK(memcmp(o->logprobs, second.logprobs, (size_t)second.n * sizeof(float)) != 0 && o->advantage > 0 && x.n_off_policy == second.n);
    for (int i = 0; i < 3; i++) CHECK(of_task(t, 'A', i)->origin == RLVR_ORIGIN_POLICY && !of_task(t, 'A', i)->behaviour && of_task(t, 'A', i)->advantage < 0);
    size_t len;
    char *text = rlvr_detokenize(m, o->tokens, o->n_tokens, false, &len);
    CHECK(text && len == o->text_len && !memcmp(text, o->text, len));
    third = keep(of_task(t, 'B', 3));

    x = scripted(t, &s);
    CHECK(x.n_replayed == 2 && x.n_stored == 3 && x.n_reward_errors == 2 && is_kept(of_task(t, 'A', 3), &second) && is_kept(of_task(t, 'B', 3), &third));
    CHECK(of_task(t, 'A', 0)->graded == RLVR_REWARD_ERROR && of_task(t, 'A', 0)->advantage == 0);

    x = scripted(t, &s);
    CHECK(x.n_replayed == 0 && x.n_stored == 1 && x.n_reward_errors == 4 && stored_at(t, first.tokens, first.n) < 0 && stored_at(t, second.tokens, second.n) < 0);
    for (int i = 0; i < GROUP; i++) CHECK(of_task(t, 'B', i)->origin == RLVR_ORIGIN_POLICY && of_task(t, 'B', i)->advantage == 0);

    x = scripted(t, &s);
    CHECK(x.n_replayed == 0 && x.n_stored == 0);
    uint64_t before = rlvr_model_hash(m);
    x = scripted(t, &s);
    CHECK(x.n_replayed == 0 && x.skipped && rlvr_model_hash(m) == before);
    rlvr_close(ctx);
}

/* Two places, three successes: the oldest is out; the same tokens again are one rollout, and a newer one. */
static void test_eviction(void)
{
    static const char *const earn[][2] = {{"0100", "0010"}, {"1000", "0000"}, {"0000", "0000"}, {"0000", "0000"}};
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    script s = {0, earn, 0};
    rlvr_trainer_desc d = scripted_description(ctx, &s);
    d.plan.replay_capacity = 2;
    d.plan.replay_per_group = 3;
    d.optim.lr = 1e-12f;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_metrics x = scripted(t, &s);
    CHECK(x.n_stored == 2 && t->replay.age == 2);
    const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), 0);      /* the batch's first group came in first */
    char oldest = o->task->answer[0], newest = (char)('A' + 'B' - oldest);
    kept a = keep(of_task(t, 'A', 1)), b = keep(of_task(t, 'B', 2));
    x = scripted(t, &s);      /* B's comes back, A's second takes the place of the older of the two */
    kept c = keep(of_task(t, 'A', 0));
    CHECK(x.n_stored == 2 && t->replay.age == 3 && x.n_replayed == 1 && is_kept(of_task(t, 'B', 3), &b) && stored_at(t, c.tokens, c.n) >= 0);
    CHECK(stored_at(t, oldest == 'A' ? a.tokens : b.tokens, oldest == 'A' ? a.n : b.n) < 0);
    CHECK(stored_at(t, newest == 'A' ? a.tokens : b.tokens, newest == 'A' ? a.n : b.n) >= 0);
    CHECK(of_task(t, 'B', 3)->behaviour[0] == b.logprobs[0]);      /* also where its place in the buffer is another's now */
    /* all that there are, the newest last in the group; one rollout of the group's own stays */
    x = scripted(t, &s);
    CHECK(x.n_replayed == 2);
    if (newest == 'A') CHECK(is_kept(of_task(t, 'A', 3), &c) && is_kept(of_task(t, 'A', 2), &a) && of_task(t, 'A', 1)->origin == RLVR_ORIGIN_POLICY);
    else CHECK(is_kept(of_task(t, 'A', 3), &c) && is_kept(of_task(t, 'B', 3), &b));

    /* the same tokens again */
    rlvr_rollout *again = rlvr_rollouts_get(rlvr_trainer_rollouts(t), 0);
    int before = 0, after = 0;
    rlvr_metrics none;
    memset(&none, 0, sizeof none);
    for (int i = 0; i < PROMPTS * GROUP; i++) rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->reward = 0;
    for (int i = 0; i < GROUP; i++) again[i].origin = RLVR_ORIGIN_POLICY;
    memcpy(t->rollouts->tokens, c.tokens, (size_t)c.n * sizeof(int));
    again[0].n_tokens = c.n;
    again[0].reward = 1;
    again[0].finish_reason = RLVR_FINISH_STOP;
    t->replay.stored[stored_at(t, c.tokens, c.n)].task = rlvr__asked_key(t->rollouts, 0);
    before = (int)t->replay.stored[stored_at(t, c.tokens, c.n)].age;
    rlvr__replay_store(t, &none);
    after = (int)t->replay.stored[stored_at(t, c.tokens, c.n)].age;
    CHECK(after == t->replay.age && after > before && none.n_stored == 2);
    /* cut by max_tokens: right, yet no example; an error never */
    t->replay.stored[0].age = t->replay.stored[1].age = none.n_stored = 0;
    again[0].finish_reason = RLVR_FINISH_LENGTH;
    rlvr__replay_store(t, &none);
    CHECK(none.n_stored == 0);
    again[0].finish_reason = RLVR_FINISH_STOP;
    again[0].graded = RLVR_REWARD_ERROR;
    rlvr__replay_store(t, &none);
    CHECK(none.n_stored == 0);
    again[0].graded = RLVR_OK;
    rlvr__replay_store(t, &none);
    CHECK(none.n_stored == 1);
    /* one of three that have a reward is more than a quarter */
    t->replay.stored[0].age = t->replay.stored[1].age = none.n_stored = 0;
    again[1].graded = RLVR_REWARD_ERROR;
    rlvr__replay_store(t, &none);
    CHECK(none.n_stored == 0);
    rlvr_close(ctx);
}

/* A generator's tasks do not come again, but those with a success stored can be asked again: by their numbers. */
static rlvr_result ask_new(void *user, uint64_t index, rlvr_task *task)
{
    char *text = (char *)user;
    snprintf(text, 32, "Say number %u", (unsigned)index);
    task->prompt = text;
    task->answer = "x";
    task->raw = true;
    return RLVR_OK;
}

static void test_replay_prompts(void)
{
    char text[32];
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = running();
    rlvr_metrics x;
    d.task_fn = ask_new;
    d.task_user = text;
    d.plan.replay_capacity = 32;
    d.plan.replay_prompts = 2;
    d.optim.lr = 1e-12f;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    int again = 0, replayed = 0;
    for (int step = 0; step < 8; step++) {
        bool there[2] = {false, false};
        int64_t stored = 0;
        rlvr__success before[32];
        memcpy(before, t->replay.stored, sizeof before);
        for (int e = 0; e < 32; e++) stored += before[e].age > 0;
        CHECK(rlvr_train_step(t, &x) == RLVR_OK);
        for (int p = 0; p < 5; p++) {
            char want[32];
            snprintf(want, sizeof want, "Say number %d", (int)t->task_index[p]);
            CHECK_STR(rlvr_rollouts_get(rlvr_trainer_rollouts(t), p * GROUP)->task->prompt, want);
            if (p < 3) CHECK(t->task_index[p] == 5 * step + p);
            for (int e = 0; p >= 3 && e < 32; e++) there[p - 3] |= before[e].age && before[e].index == t->task_index[p];
            if (p >= 3) CHECK(there[p - 3] || t->task_index[p] == 5 * step + p);
        }
        CHECK(t->task_index[3] != t->task_index[4] && (!stored || there[0]));
        again += there[0] + there[1];
        replayed += x.n_replayed;
    }
    CHECK(again >= 8 && replayed > 0);
    REPORT("a generator: %d of 40 prompts asked again, %d rollouts replayed", again, replayed);
    rlvr_close(ctx);
}

/* ---- given tokens run as drawn ones do ---- */

static void test_force(bool two_forwards)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = running();
    d.two_forwards = two_forwards;
    d.sampling.min_tokens = 3;      /* bans, as when drawing */
    d.sampling.temperature = 0.8f;
    d.plan.replay_capacity = 1;     /* room for what is run again */
    d.plan.replay_per_group = 3;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    float *w = saved_weights(m), logprobs[MAX_TOKENS], entropy[MAX_TOKENS];
    CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
    memcpy(m->weights, w, (size_t)m->n_floats * sizeof(float));
    int one = 0;
    for (int i = 0; i < 20; i += 2) {
        rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
        size_t bytes = (size_t)o->n_tokens * sizeof(float);
        memcpy(logprobs, o->logprobs, bytes);
        memcpy(entropy, o->entropy, bytes);
        memset(t->rollouts->logprobs + i * MAX_TOKENS, 0, bytes);
        memset(t->rollouts->entropy + i * MAX_TOKENS, 0, bytes);
        if (i == 18) { o->n_tokens = 1; bytes = sizeof(float); }
        rlvr__rollouts_force(t->rollouts, &t->store, i);
        CHECK(!memcmp(logprobs, o->logprobs, bytes) && !memcmp(entropy, o->entropy, bytes));
        one += o->n_tokens == 1;
    }
    CHECK(one > 0);
    /* long ones, in several calls of the model and of the head */
    t->store.n_rows = 5;
    t->store.head_rows = 3;
    rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), 0);
    memcpy(logprobs, o->logprobs, (size_t)o->n_tokens * sizeof(float));
    memset(t->rollouts->logprobs, 0, (size_t)o->n_tokens * sizeof(float));
    if (t->store.keep) t->rollouts->next_slot -= 20;
    rlvr__rollouts_force(t->rollouts, &t->store, 0);
    CHECK(o->n_tokens > 3 && !memcmp(logprobs, o->logprobs, (size_t)o->n_tokens * sizeof(float)));
    t->store.n_rows = 64;
    free(w);
    rlvr_close(ctx);
}

/* ---- the gradient of a step, by hand ---- */

/* Runs a step from given weights and compares its gradient with that of the public loss on its rollouts, token by token. */
static void check_gradient(rlvr_trainer *t, const char *what)
{
    rlvr_model *m = t->m;
    rlvr_metrics x;
    float *w = saved_weights(m);
    double square = 0, apart = 0, log_ratio = 0, most = 0, weights = 0;
    int64_t n_off = 0;
    CHECK(rlvr_train_step(t, &x) == RLVR_OK && !x.skipped);
    memcpy(m->weights, w, (size_t)m->n_floats * sizeof(float));
    free(w);
    float *grads = (float *)malloc((size_t)m->n_floats * sizeof(float));
    memcpy(grads, m->grads, (size_t)m->n_floats * sizeof(float));
    enum { MOST = 2048 };
    static float logprob[MOST], old[MOST], behaviour[MOST], dlogprob[MOST], weight[MOST], at[MOST];
    static int tokens[MOST], offset[64], sequence[64];
    unsigned char demo[64], mask[MOST];
    float advantage[64];
    rlvr_rollouts *r = rlvr_trainer_rollouts(t);
    int n = 0, all = 0;
    for (int i = 0; i < rlvr_rollouts_count(r); i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(r, i);
        sequence[i] = all;
        offset[i] = n;
        for (int k = 0; k < o->n_prompt; k++) tokens[all++] = o->prompt_tokens[k];
        for (int k = 0; k < o->n_tokens; k++) tokens[all++] = o->tokens[k];
        CHECK(all < MOST && rlvr_score(m, tokens + sequence[i], o->n_prompt + o->n_tokens, NULL, at) == RLVR_OK);
        bool other = o->origin == RLVR_ORIGIN_REPLAY || (o->origin == RLVR_ORIGIN_POLICY && x.lag > 0);
        for (int k = 0; k < o->n_tokens; k++, n++) {
            logprob[n] = at[o->n_prompt - 1 + k];
            behaviour[n] = o->behaviour ? o->behaviour[k] : o->origin == RLVR_ORIGIN_POLICY ? o->logprobs[k] : logprob[n];
            old[n] = t->desc.loss.correction == RLVR_IS_NONE ? behaviour[n] : logprob[n];
            mask[n] = o->graded == RLVR_OK;
            if (!other && o->origin == RLVR_ORIGIN_POLICY) CHECK(!memcmp(&logprob[n], &o->logprobs[k], sizeof(float)));
            if (other && o->advantage != 0) { log_ratio += fabs((double)logprob[n] - (double)behaviour[n]); n_off++; }
            if (o->graded == RLVR_OK) most = fmax(most, exp((double)logprob[n] - (double)old[n]));
        }
        double product = 1, cap = (double)t->desc.loss.is_cap;
        for (int k = offset[i]; k < n; k++) product *= exp((double)old[k] - (double)behaviour[k]);
        for (int k = offset[i]; other && o->advantage != 0 && k < n; k++)
            weights += t->desc.loss.correction == RLVR_IS_NONE ? 1 : t->desc.loss.correction == RLVR_IS_SEQUENCE_MASK ? product <= cap ? product : 0
                     : fmin(exp((double)old[k] - (double)behaviour[k]), cap);
        demo[i] = o->origin == RLVR_ORIGIN_DEMONSTRATION;
        advantage[i] = o->advantage;
    }
    offset[rlvr_rollouts_count(r)] = n;
    sequence[rlvr_rollouts_count(r)] = all;
    rlvr_loss_batch b;
    memset(&b, 0, sizeof b);
    b.n_seq = rlvr_rollouts_count(r);
    b.offset = offset;
    b.logprob = logprob;
    b.old_logprob = old;
    b.behaviour_logprob = behaviour;
    b.advantage = advantage;
    b.mask = mask;
    b.demo = demo;
    rlvr_loss_stats stats;
    CHECK(rlvr_policy_loss(&t->desc.loss, &b, dlogprob, NULL, &stats) == RLVR_OK);
    memset(weight, 0, sizeof weight);
    for (int i = 0; i < b.n_seq; i++)
        for (int k = offset[i]; k < offset[i + 1]; k++) weight[sequence[i] + rlvr_rollouts_get(r, i)->n_prompt + k - offset[i]] = dlogprob[k];
    CHECK(rlvr_grad_tokens(t, tokens, sequence, b.n_seq, weight, at) == RLVR_OK);
    for (int64_t i = 0; i < m->n_floats; i++) {
        square += (double)grads[i] * (double)grads[i];
        apart += ((double)grads[i] - (double)m->grads[i]) * ((double)grads[i] - (double)m->grads[i]);
    }
    CHECK(square > 0);
    CHECK_LE(sqrt(apart / square), 1e-5);
    CHECK_LE(fabs(x.loss - stats.loss), 1e-5);
    CHECK(x.n_off_policy == n_off);
    if (n_off) CHECK_LE(fabs(x.log_ratio - log_ratio / (double)n_off), 1e-6);
    if (n_off) CHECK_LE(fabs(x.correction - weights / (double)n_off), 1e-6);
    REPORT("%s: %d replayed, %d demonstrations, lag %d: gradient by hand %.1e apart, ratio at most %.3f, weights %.3f", what, x.n_replayed, x.n_demonstrations,
           x.lag, sqrt(apart / square), most, n_off ? weights / (double)n_off : 1);
    free(grads);
}

static void test_gradients(void)
{
    for (int kind = 0; kind < 12; kind++) {
        static const char *const name[] = {"replay", "demonstrations", "lag", "all three"};
        rlvr_ctx *ctx = open_ctx(1);
        rlvr_model *m = small_model(ctx);
        rlvr_trainer_desc d = running();
        int which = kind % 4;
        if (which == 0 || which == 3) d.plan.replay_capacity = 16;
        if (which == 2 || which == 3) d.plan.lag = 3;
        d.plan.demonstrations = which == 1 || which == 3;
        d.two_forwards = kind / 4 == 1;
        d.loss.correction = which != 1 && kind / 4 ? kind / 4 == 1 ? RLVR_IS_TOKEN_TRUNCATE : RLVR_IS_SEQUENCE_MASK : RLVR_IS_NONE;
        if (d.loss.correction) d.loss.is_cap = 1.1f;
        if (kind / 4 == 2) { d.loss.kind = RLVR_LOSS_GSPO_TOKEN; d.micro_tokens = 40; }
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        rlvr_metrics x = {0};
        CHECK(t != NULL);
        for (int i = 0; i < 40 && (i < 6 || (d.plan.replay_capacity && !x.n_replayed)); i++) CHECK(rlvr_train_step(t, &x) == RLVR_OK);
        int replayed = x.n_replayed;
        if (d.plan.replay_capacity) {      /* once more, from the state before a step that replays: the next one of that seed */
            CHECK(replayed > 0);
            for (int i = 0; i < 40; i++) {
                CHECK(rlvr_trainer_save(t, "build/test_replay.checkpoint") == RLVR_OK && rlvr_train_step(t, &x) == RLVR_OK);
                if (x.n_replayed && !x.skipped) break;
            }
            CHECK(x.n_replayed > 0 && rlvr_trainer_resume(t, "build/test_replay.checkpoint") == RLVR_OK);
        }
        check_gradient(t, name[which]);
        remove("build/test_replay.checkpoint");
        rlvr_close(ctx);
    }
}

/* ---- lag ---- */

static void test_lag(int lag, bool tokens_between)
{
    enum { STEPS = 6 };
    rlvr_ctx *ctx = open_ctx(1), *other = open_ctx(1);
    rlvr_model *m = small_model(ctx), *old = small_model(other);
    rlvr_trainer_desc d = running();
    rlvr_metrics x;
    float *w[STEPS + 1];
    int moved = 0;
    d.plan.lag = lag;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    for (int step = 0; step < STEPS; step++) {
        static const int tokens[] = {65, 66, 67, 68}, offset[] = {0, 4};
        if (tokens_between) CHECK(rlvr_train_tokens(t, tokens, offset, 1, NULL, NULL) == RLVR_OK);
        w[step] = saved_weights(m);
        rlvr_sampling s = d.sampling;
        s.seed = d.seed;
        s.step = (uint32_t)rlvr_trainer_steps(t);
        CHECK(rlvr_train_step(t, &x) == RLVR_OK && x.lag == (step < lag ? step : lag));
        int behind = step < lag ? 0 : step - lag;
        if (step) moved += memcmp(w[step], w[step - 1], (size_t)m->n_floats * sizeof(float)) != 0;
        memcpy(old->weights, w[behind], (size_t)m->n_floats * sizeof(float));
        rlvr_task task[5];
        rlvr_rollouts *r = NULL;
        memset(task, 0, sizeof task);
        for (int i = 0; i < 5; i++) ask(NULL, (uint64_t)(5 * step + i), &task[i]);
        CHECK(rlvr_sample(old, task, 5, GROUP, &s, &r) == RLVR_OK);
        int same = 0;
        for (int i = 0; i < 5 * GROUP; i++) {
            const rlvr_rollout *a = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i), *b = rlvr_rollouts_get(r, i);
            same += a->n_tokens == b->n_tokens && !memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof(int)) &&
                    !memcmp(a->logprobs, b->logprobs, (size_t)a->n_tokens * sizeof(float));
        }
        CHECK(same == 5 * GROUP);
        CHECK((x.log_ratio > 0) == (x.lag > 0 && !x.skipped));
        rlvr_rollouts_free(r);
    }
    CHECK(moved >= STEPS / 2);
    for (int i = 0; i < STEPS; i++) free(w[i]);
    rlvr_close(ctx);
    rlvr_close(other);
}

/* ---- demonstrations ---- */

static void test_demonstrations(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = running();
    rlvr_metrics x;
    d.plan.demonstrations = true;
    int eos = rlvr_token_eos(m), shown = 0, n = 0, truncated = 0;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(rlvr_train_step(t, &x) == RLVR_OK);
    double reward = 0, length = 0, entropy = 0;
    for (int i = 0; i < 5 * GROUP; i++) {
        const rlvr_rollout *o = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i);
        bool its = i % GROUP == GROUP - 1 && o->task->demonstration;
        CHECK(o->origin == (its ? RLVR_ORIGIN_DEMONSTRATION : RLVR_ORIGIN_POLICY));
        if (its) {
            CHECK(o->n_tokens == 6 && o->tokens[0] == 's' && o->tokens[4] == 't' && o->tokens[5] == eos && o->finish_reason == RLVR_FINISH_STOP);
            CHECK(!strcmp(o->text, "smart") && o->reward == 1 && o->graded == RLVR_OK && !o->behaviour && o->advantage >= 0);
            shown++;
            continue;
        }
        n++;
        reward += (double)o->reward;
        length += o->n_tokens;
        truncated += o->finish_reason == RLVR_FINISH_LENGTH;
        for (int k = 0; k < o->n_tokens; k++) entropy += (double)o->entropy[k];
    }
    CHECK(shown == 2 && x.n_demonstrations == 2 && x.demonstration_reward == 1 && n == 18);
    CHECK_LE(fabs(x.reward_mean - reward / n), 1e-12);
    CHECK_LE(fabs(x.parts[0].mean - reward / n), 1e-12);
    CHECK_LE(fabs(x.completion_mean_length - length / n), 1e-12);
    CHECK_LE(fabs(x.entropy - entropy / length), 1e-9);
    CHECK_LE(fabs(x.truncated - (double)truncated / n), 1e-12);

    /* the others are those of a run without, but for the place that the demonstration takes */
    d.plan.demonstrations = false;
    rlvr_trainer *u = rlvr_trainer_open(small_model(ctx), &d);
    CHECK(rlvr_train_step(u, NULL) == RLVR_OK);
    for (int i = 0; i < 5 * GROUP; i++) {
        const rlvr_rollout *a = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i), *b = rlvr_rollouts_get(rlvr_trainer_rollouts(u), i);
        if (a->origin == RLVR_ORIGIN_POLICY)
            CHECK(a->n_tokens == b->n_tokens && !memcmp(a->tokens, b->tokens, (size_t)a->n_tokens * sizeof(int)) &&
                  !memcmp(a->logprobs, b->logprobs, (size_t)a->n_tokens * sizeof(float)));
    }
    rlvr_close(ctx);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void check_refused(rlvr_model *m, rlvr_trainer_desc d, const char *want)
{
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_ctx *ctx = rlvr_model_ctx(m);
    CHECK(!t && strstr(rlvr_last_error(ctx), want));
    if (t || !strstr(rlvr_last_error(ctx), want)) printf("    \"%s\" is not in \"%s\"\n", want, t ? "" : rlvr_last_error(ctx));
    rlvr_trainer_close(t);
}

static void test_task_files(void)
{
    const char *path = "build/test_replay.jsonl";
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer_desc d = description();
    rlvr_metrics x;
    write_file(path, "{\"prompt\":\"a\",\"answer\":\"1\",\"raw\":true,\"demonstration\":\"1\"}\n{\"prompt\":\"b\",\"answer\":\"2\",\"raw\":true,\"demonstration\":null}\n");
    rlvr_tasks *tasks = rlvr_tasks_load_jsonl(ctx, path);
    CHECK(tasks && !strcmp(rlvr_tasks_get(tasks, 0)->demonstration, "1") && !rlvr_tasks_get(tasks, 1)->demonstration);
    d.tasks = tasks;
    d.reward.kind = RLVR_REWARD_EXACT;
    d.plan.demonstrations = true;
    d.out_dir = "build/test_replay_out";
    d.log_completions = -1;
    remove("build/test_replay_out/metrics.jsonl");
    remove("build/test_replay_out/completions.jsonl");
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t && rlvr_train_step(t, &x) == RLVR_OK && x.n_demonstrations == 1 && x.demonstration_reward == 1);
    rlvr_trainer_close(t);
    char text[8192];
    for (int i = 0; i < 2; i++) {
        FILE *f = fopen(i ? "build/test_replay_out/completions.jsonl" : "build/test_replay_out/metrics.jsonl", "r");
        size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
        text[n] = 0;
        if (f) fclose(f);
        CHECK(strstr(text, i ? "\"origin\":\"demonstration\"" : "\"demonstrations/count\":1,\"demonstrations/reward\":1") != NULL);
        CHECK(!strstr(text, "replay") && !strstr(text, "off_policy"));
        remove(i ? "build/test_replay_out/completions.jsonl" : "build/test_replay_out/metrics.jsonl");
    }
    remove("build/test_replay_out");
    d.out_dir = NULL;

    struct { const char *line, *want; } bad[] = {
        {"{\"prompt\":\"a\",\"answer\":\"1\",\"demonstration\":\"far too long\"}\n", "line 1: its demonstration (13 tokens) has more tokens than"},
        {"{\"prompt\":\"a\",\"answer\":\"1\",\"demonstration\":\"no'way\"}\n", "line 1: its demonstration (7 tokens) holds a token that ends"},
        {"{\"prompt\":\"a\",\"answer\":\"1\"}\n", "no task has one"}};
    for (int i = 0; i < 3; i++) {
        write_file(path, bad[i].line);
        d.tasks = rlvr_tasks_load_jsonl(ctx, path);
        check_refused(m, d, bad[i].want);
    }
    write_file(path, "{\"prompt\":\"a\",\"answer\":\"1\",\"demonstration\":\"1\"}\n");
    d.tasks = rlvr_tasks_load_jsonl(ctx, path);
    d.sampling.min_tokens = 2;
    check_refused(m, d, "has no more tokens than sampling.min_tokens");
    d.sampling.min_tokens = 0;
    d.sampling.ignore_eos = true;
    write_file(path, "{\"prompt\":\"a\",\"answer\":\"1\",\"demonstration\":\"\"}\n");
    d.tasks = rlvr_tasks_load_jsonl(ctx, path);
    check_refused(m, d, "is empty");
    write_file(path, "{\"prompt\":\"a\",\"answer\":\"1\",\"demonstration\":1}\n");
    CHECK(!rlvr_tasks_load_jsonl(ctx, path) && strstr(rlvr_last_error(ctx), ":1: \"demonstration\" is a number; write a string"));
    remove(path);
    rlvr_close(ctx);
}

/* ---- the same bits however it runs ---- */

static uint64_t run_pieces(int threads, rlvr_trainer_desc d, int steps, int pieces, rlvr_metrics *sum)
{
    const char *path = "build/test_replay.checkpoint";
    uint64_t hash = 0;
    for (int piece = 0; piece < pieces; piece++) {
        rlvr_ctx *ctx = open_ctx(threads);
        rlvr_model *m = small_model(ctx);
        rlvr_trainer *t = rlvr_trainer_open(m, &d);
        CHECK(t != NULL);
        if (!t) { printf("    %s\n", rlvr_last_error(ctx)); rlvr_close(ctx); return 0; }
        if (piece) CHECK(rlvr_trainer_resume(t, path) == RLVR_OK);
        for (int i = steps * piece / pieces; i < steps * (piece + 1) / pieces; i++) {
            rlvr_metrics x;
            CHECK(rlvr_train_step(t, &x) == RLVR_OK);
            if (sum) { sum->n_replayed += x.n_replayed; sum->n_demonstrations += x.n_demonstrations; sum->n_stored = x.n_stored; sum->lag = x.lag; }
        }
        if (pieces > 1) CHECK(rlvr_trainer_save(t, path) == RLVR_OK);
        hash = rlvr_model_hash(m);
        rlvr_close(ctx);
    }
    remove(path);
    return hash;
}

static void check_bits(rlvr_trainer_desc d, int steps, const char *what)
{
    rlvr_metrics sum;
    memset(&sum, 0, sizeof sum);
    uint64_t one = run_pieces(1, d, steps, 1, &sum);
    CHECK(one != run_pieces(1, d, 0, 1, NULL));
    CHECK(run_pieces(2, d, steps, 1, NULL) == one);
    CHECK(run_pieces(1, d, steps, steps, NULL) == one);
    d.sampling.max_batch = 4;
    d.two_forwards = true;
    CHECK(run_pieces(1, d, steps, 3, NULL) == one);
    CHECK(!d.plan.replay_capacity || sum.n_replayed > 0);
    CHECK(!d.plan.demonstrations || sum.n_demonstrations > 0);
    CHECK(sum.lag == d.plan.lag);
    REPORT("%s: %d steps, %d replayed, %d demonstrations: the same bits for 1 and 2 threads, kept and recomputed activations, in pieces", what, steps,
           sum.n_replayed, sum.n_demonstrations);
}

static void test_bits(void)
{
    rlvr_trainer_desc d = running(), e;
    uint64_t plain = run_pieces(1, d, 6, 1, NULL);
    e = d;
    e.plan.replay_capacity = 50;
    check_bits(e, 8, "replay");
    e.plan.max_refills = 3;
    check_bits(e, 6, "replay with refills");
    e.loss.correction = RLVR_IS_TOKEN_TRUNCATE;
    e.epochs = 2;
    e.minibatches = 2;
    e.plan.demonstrations = true;
    check_bits(e, 6, "replay with refills, demonstrations, correction, 2 epochs of 2");
    e.plan.lag = 2;
    check_bits(e, 9, "all of that with a lag of 2");
    e = d;
    e.plan.demonstrations = true;
    check_bits(e, 4, "demonstrations");
    CHECK(run_pieces(1, e, 6, 1, NULL) != plain);
    e = d;
    e.plan.lag = 1;
    check_bits(e, 4, "a lag of 1");
    CHECK(run_pieces(1, e, 6, 1, NULL) != plain);
    e.value.on = true;
    check_bits(e, 4, "a lag of 1 with PPO");
    e.loss.kl_coef = 0.1f;
    e.regulariser.kl_reward = 0.1f;
    check_bits(e, 4, "a lag of 1 with PPO and both divergences");
    /* one step behind is none at the first step; what never happens changes nothing */
    e = d;
    e.plan.lag = 4;
    CHECK(run_pieces(1, e, 1, 1, NULL) == run_pieces(1, d, 1, 1, NULL));
    e = d;
    e.plan.replay_capacity = 50;
    e.plan.replay_below = 0.01f;      /* of four rollouts one is 0.25 at least */
    CHECK(run_pieces(1, e, 6, 1, NULL) == plain);
    e.loss.correction = RLVR_IS_SEQUENCE_MASK;      /* of the policy's own: exactly 1 */
    CHECK(run_pieces(1, e, 6, 1, NULL) == plain);
}

static rlvr_result judge_zero(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 0; return RLVR_OK; }
static rlvr_result judge_one(const rlvr_rollout *r, void *user, float *reward) { (void)r; (void)user; *reward = 1; return RLVR_OK; }

static void test_no_signal(void)
{
    for (int one = 0; one < 2; one++) {
        rlvr_trainer_desc d = running();
        rlvr_metrics sum;
        memset(&sum, 0, sizeof sum);
        d.reward.fn = one ? judge_one : judge_zero;
        d.plan.replay_capacity = 8;
        d.plan.demonstrations = true;
        d.plan.lag = 1;
        CHECK(run_pieces(1, d, 4, 1, &sum) == run_pieces(1, d, 0, 1, NULL));
        CHECK(sum.n_demonstrations > 0 && sum.n_stored == 0 && sum.n_replayed == 0);
    }
}

/* ---- memory ---- */

static void test_memory(void)
{
    for (int kind = 0; kind < 4; kind++) {
        int64_t bytes[2], planned[2];
        for (int on = 0; on < 2; on++) {
            test_counter c;
            rlvr_desc desc;
            rlvr_memory plan;
            memset(&desc, 0, sizeof desc);
            desc.n_threads = 1;
            desc.quiet = true;
            test_count(&desc, &c);
            rlvr_ctx *ctx = rlvr_open(&desc);
            rlvr_model *m = small_model(ctx);
            rlvr_trainer_desc d = running();
            d.two_forwards = kind == 2 || kind == 1;
            if (on && kind != 2) d.plan.replay_capacity = 5000;
            if (on && kind == 2) d.plan.lag = 12;
            d.plan.demonstrations = kind == 3;
            CHECK(rlvr_memory_plan(m, &d, &plan) == RLVR_OK);
            bytes[on] = c.bytes;
            rlvr_trainer *t = rlvr_trainer_open(m, &d);
            CHECK(t != NULL && rlvr_train_step(t, NULL) == RLVR_OK);
            bytes[on] = c.bytes - bytes[on];
            planned[on] = plan.total;
            CHECK(plan.one_forward == !(d.plan.lag || d.two_forwards));
            int64_t after_first = c.calls;
            for (int i = 0; i < 8; i++) CHECK(rlvr_train_step(t, NULL) == RLVR_OK);
#ifndef RLVR__SANITIZED
            CHECK_LE(c.calls, after_first);
#endif
            (void)after_first;
            rlvr_close(ctx);
        }
        REPORT("%s: %lld bytes planned, %lld allocated", kind == 2 ? "lag 12" : "replay of 5000", (long long)(planned[1] - planned[0]),
               (long long)(bytes[1] - bytes[0]));
        CHECK(planned[1] > planned[0]);
#ifdef RLVR__SANITIZED
        CHECK_LE(fabs((double)(bytes[1] - bytes[0]) - (double)(planned[1] - planned[0])), 0.02 * (double)(planned[1] - planned[0]) + 4096);
#endif
    }
}

static void test_refusals(void)
{
    rlvr_ctx *ctx = open_ctx(1);
    rlvr_model *m = small_model(ctx);
    for (int i = 0; i < 17; i++) {
        rlvr_trainer_desc d = running();
        rlvr_plan_desc *p = &d.plan;
        const char *want = "";
        switch (i) {
        case 0: p->replay_capacity = -1; want = "replay_capacity"; break;
        case 1: p->replay_below = 0.5f; want = "need replay_capacity"; break;
        case 2: p->replay_per_group = 1; want = "need replay_capacity"; break;
        case 3: p->replay_capacity = 4; p->replay_below = 1.5f; want = "replay_below is not within"; break;
        case 4: p->replay_capacity = 4; p->replay_per_group = GROUP; want = "must stay"; break;
        case 5: p->replay_capacity = 4; p->replay_prompts = 6; want = "replay_prompts is not within"; break;
        case 6: p->replay_capacity = 4; p->replay_prompts = 1; d.task_fn = NULL; d.tasks = two_tasks(ctx); want = "come again by themselves"; break;
        case 7: p->lag = -1; want = "lag is not within"; break;
        case 8: p->lag = 65; want = "lag is not within"; break;
        case 9: p->demonstrations = true; d.group_size = 1; want = "group_size of 2"; break;
        case 10: p->lag = 1; d.sampling.top_k = 5; want = "whole distributions"; break;
        case 11: p->demonstrations = true; d.sampling.top_p = 0.9f; want = "whole distributions"; break;
        case 12: p->replay_capacity = 4; d.sampling.min_p = 0.1f; want = "whole distributions"; break;
        case 13: p->replay_capacity = 4; d.value.on = true; want = "do not go with value.on"; break;
        case 14: p->demonstrations = true; d.value.on = true; want = "do not go with value.on"; break;
        case 15: p->lag = 1; d.loss.kind = RLVR_LOSS_REINFORCE; want = "reinforce has none"; break;
        default: d.loss.correction = RLVR_IS_TOKEN_MASK; want = "without plan.replay_capacity and plan.lag"; break;
        }
        check_refused(m, d, want);
    }
    rlvr_trainer_desc d = running();      /* what the refusals tell to do instead */
    d.plan.lag = 1;
    d.loss.kind = RLVR_LOSS_REINFORCE;
    d.loss.correction = RLVR_IS_TOKEN_TRUNCATE;
    CHECK(run_pieces(1, d, 2, 1, NULL) != 0);
    /* another capacity or lag than the run's */
    d.plan.replay_capacity = 4;
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    CHECK(t && rlvr_trainer_save(t, "build/test_replay.checkpoint") == RLVR_OK);
    rlvr_trainer_close(t);
    for (int i = 0; i < 2; i++) {
        rlvr_trainer_desc e = d;
        if (i) e.plan.lag = 2; else e.plan.replay_capacity = 5;
        t = rlvr_trainer_open(m, &e);
        CHECK(t && rlvr_trainer_resume(t, "build/test_replay.checkpoint") == RLVR_ERROR_FORMAT && strstr(rlvr_last_error(ctx), i ? "lag" : "replay.stored"));
        rlvr_trainer_close(t);
    }
    remove("build/test_replay.checkpoint");
    rlvr_close(ctx);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 2; i++) test_buffer(i);
    test_eviction();
    test_replay_prompts();
    for (int i = 0; i < 2; i++) test_force(i);
    test_gradients();
    test_lag(1, false);
    test_lag(3, false);
    test_lag(2, true);
    test_demonstrations();
    test_task_files();
    test_bits();
    test_no_signal();
    test_memory();
    test_refusals();
    return test_done();
}
