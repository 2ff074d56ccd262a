/* Grading overlaps with sampling: verdicts of other processes are asked for as rollouts end, while others are still decoded. The
   same rewards as without; nothing is left behind by a step that fails. */
/* Not under ThreadSanitizer: the verifiers are started by clone(CLONE_VM), after which it no longer follows this thread. */
#define RLVR_NO_SIMD
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "test.h"

#ifdef RLVR__SANDBOX
static const char *const log_path = "build/test_overlap.log";

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
    d.n_vocab = 259; d.n_ctx = 96; d.d_model = 24; d.n_layers = 2; d.n_heads = 4; d.n_kv_heads = 2; d.head_dim = 6; d.d_ff = 40;
    d.tied = true; d.seed = 11; d.init_std = 0.4f;
    rlvr_model *m = rlvr_model_init(ctx, &d);
    if (m) rlvr_model_set_byte_tokenizer(m, special, 2);
    return m;
}

static rlvr_result ask(void *user, uint64_t index, rlvr_task *task)
{
    static const char *const text[] = {"Say a b", "Say something longer than that", "Say it", "Tell: 12 + 30 = ", "Say no more, no less"};
    (void)user;
    task->prompt = text[index % 5];
    task->answer = index % 2 ? "odd" : "even";
    task->json = index % 2 ? "{\"kind\":\"odd\"}" : "{\"kind\":\"even\"}";
    task->raw = true;
    return RLVR_OK;
}

/* What the command below answers: the share of the bytes in the text that JSON can carry and that are even. */
static rlvr_result judge(const rlvr_rollout *r, void *user, float *reward)
{
    int even = 0, n = 0;
    (void)user;
    for (size_t i = 0; i < r->text_len; i++) {
        if (r->text[i] < 33 || r->text[i] > 126) continue;
        n++;
        even += r->text[i] % 2 == 0;
    }
    *reward = (float)((double)even / (n ? n : 1) + (!strcmp(r->task->answer, "odd") ? 0.5 : 0.25));
    return RLVR_OK;
}

/* Each request is a line in the log before its answer. */
#define SCRIPT(before) "import json,sys,time\\nfor line in sys.stdin:\\n    j=json.loads(line)\\n    " \
    "open('build/test_overlap.log','a').write('x')\\n    " before "t=[ord(c) for c in j['completion'] if 32<ord(c)<127]\\n    " \
    "e=sum(c%2==0 for c in t)\\n    r=e/(len(t) or 1)+(0.5 if j['gold']=='odd' and j['task']['kind']=='odd' else 0.25)\\n    " \
    "print(json.dumps({'id':j['id'],'reward':r}),flush=True)\\n"
#define PROCESS(before) "{\"timeout\":300,\"command\":[\"python3\",\"-c\",\"" SCRIPT(before) "\"]}"
#define COMPOSE "{\"parts\":[{\"kind\":\"process\",\"timeout\":300,\"command\":[\"python3\",\"-c\",\"" SCRIPT("") "\"]}," \
    "{\"kind\":\"code\",\"program\":\"def f(x):\\n    return x + 1\\n\",\"tests\":\"assert f(1) == 2\",\"timeout\":300}]}"

static int log_size(void)
{
    FILE *f = fopen(log_path, "rb");
    if (!f) return 0;
    fseek(f, 0, SEEK_END);
    int n = (int)ftell(f);
    fclose(f);
    return n;
}

/* Watches decoding from within: once a rollout has ended and another has not, waits until the command has been asked. */
typedef struct watch { rlvr_trainer *t; int asked, ended, running, stop_at; } watch;
static bool on_text(void *user, int prompt, int rollout, const char *text, size_t len)
{
    watch *w = (watch *)user;
    (void)prompt; (void)rollout; (void)text; (void)len;
    if (!w->t || w->asked) return true;
    rlvr_rollouts *r = rlvr_trainer_rollouts(w->t);
    w->ended = w->running = 0;
    for (int i = 0; i < rlvr_rollouts_count(r); i++) {
        if (rlvr_rollouts_get(r, i)->finish_reason) w->ended++;
        else w->running++;
    }
    if (!w->ended || !w->running) return true;
    for (int ms = 0; ms < 30000 && !log_size(); ms++) {
        struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    w->asked = log_size();
    return !w->stop_at || w->ended < w->stop_at;
}

static const int stops[] = {'a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U', ' ', 1, 2, 3, 4, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210};

static rlvr_trainer_desc description(void)
{
    rlvr_trainer_desc d;
    memset(&d, 0, sizeof d);
    d.task_fn = ask;
    d.reward.fn = judge;
    d.prompts_per_step = 5;
    d.group_size = 4;
    d.sampling.max_tokens = 24;
    d.sampling.stop_tokens = stops;
    d.sampling.n_stop_tokens = sizeof stops / sizeof *stops;
    d.max_prompt_tokens = 40;
    d.optim.lr = 3e-3f;
    d.seed = 5;
    return d;
}

static uint64_t run(rlvr_trainer_desc d, int steps, watch *w, float *rewards)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_model *m = small_model(ctx);
    rlvr_trainer *t = rlvr_trainer_open(m, &d);
    rlvr_metrics metrics;
    CHECK(t != NULL);
    if (!t) printf("    %s\n", rlvr_last_error(ctx));
    if (w) w->t = t;
    remove(log_path);
    for (int i = 0; t && i < steps; i++) {
        CHECK(rlvr_train_step(t, &metrics) == RLVR_OK);
        CHECK(metrics.n_reward_errors == 0);
    }
    for (int i = 0; t && rewards && i < 20; i++) rewards[i] = rlvr_rollouts_get(rlvr_trainer_rollouts(t), i)->reward;
    uint64_t hash = rlvr_model_hash(m);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
    return hash;
}

static void test_same_rewards(void)
{
    rlvr_trainer_desc d = description(), e;
    float plain[20], early[20];
    watch w;
    memset(&w, 0, sizeof w);
    uint64_t want = run(d, 3, NULL, plain);
    d.reward.fn = NULL;
    d.reward.kind = RLVR_REWARD_PROCESS;
    d.reward.options = PROCESS("");
    CHECK(run(d, 3, NULL, early) == want && !memcmp(plain, early, sizeof plain));
    CHECK(log_size() == 60);
    d.sampling.on_text = on_text;
    d.sampling.user = &w;
    CHECK(run(d, 3, &w, early) == want && !memcmp(plain, early, sizeof plain));
    CHECK(w.asked >= 1 && w.ended >= 1 && w.running >= 1 && log_size() == 60);
    REPORT("process: it had been asked %d times when %d rollouts had ended and %d were still decoded", w.asked, w.ended, w.running);

    /* parts, refills: as a function that gives the same sum */
    e = description();
    e.plan.max_refills = 2;
    d.plan = e.plan;
    CHECK(run(d, 3, &w, NULL) == run(e, 3, NULL, NULL));
    memset(&w, 0, sizeof w);
    d.plan.max_refills = 0;
    d.reward.kind = RLVR_REWARD_COMPOSE;
    d.reward.options = COMPOSE;
    run(d, 1, &w, early);
    run(description(), 1, NULL, plain);
    CHECK(w.asked >= 1);
    for (int i = 0; i < 20; i++) CHECK(early[i] == plain[i] + 1);
}

static int n_blocks(rlvr_ctx *ctx)      /* but the pool's buffers, which it keeps: when a worker is first needed is chance */
{
    int n = 0;
    rlvr__sandbox *s = ctx->sandbox;
    for (rlvr__block *b = ctx->blocks; b; b = b->next) n++;
    for (int i = 0; i < s->n_workers; i++)
        for (int side = 0; side < 2; side++) n -= (s->pairs[i].out[side].data != NULL) + (s->pairs[i].in[side].data != NULL);
    for (rlvr__command *c = s->commands; c; c = c->next) n -= (c->out.data != NULL) + (c->in.data != NULL);
    return n;
}

/* A step that is stopped while verdicts are pending gives them up; the next one is as if it had not been. */
static void test_stopped(const char *options, rlvr_reward_kind kind, const char *what)
{
    rlvr_ctx *ctx = open_ctx(2);
    rlvr_trainer_desc d = description();
    watch w;
    memset(&w, 0, sizeof w);
    d.reward.fn = NULL;
    d.reward.kind = kind;
    d.reward.options = options;
    d.sampling.on_text = on_text;
    d.sampling.user = &w;
    rlvr_trainer *t = rlvr_trainer_open(small_model(ctx), &d);
    rlvr_metrics m;
    int blocks[3] = {0, 0, 0}, pending = 0;
    w.t = t;
    for (int i = 0; t && i < 3; i++) {
        w.asked = 0;
        w.stop_at = 1;
        remove(log_path);
        CHECK(rlvr_train_step(t, &m) == RLVR_STOPPED);
        CHECK(ctx->sandbox && !ctx->sandbox->first && rlvr_trainer_steps(t) == 0);
        for (rlvr__command *c = ctx->sandbox->commands; c; c = c->next) pending += c->jobs != NULL;
        for (int k = 0; k < ctx->sandbox->n_workers; k++) pending += ctx->sandbox->pairs[k].job || ctx->sandbox->runs[k].job;
        blocks[i] = n_blocks(ctx);
    }
    CHECK(pending == 0);
    CHECK(blocks[1] == blocks[2]);
    w.t = NULL;
    CHECK(rlvr_train_step(t, &m) == RLVR_OK && m.n_reward_errors == 0 && m.n_rollouts == 20);
    REPORT("%s: stopped with %d ended and %d running, three times, nothing pending, %d blocks of memory each time; then a whole step", what, w.ended,
           w.running, blocks[2]);
    rlvr_trainer_close(t);
    rlvr_close(ctx);
}

int main(void)
{
    test_same_rewards();
    test_stopped(PROCESS("time.sleep(0.02)\\n    "), RLVR_REWARD_PROCESS, "process");
    test_stopped(COMPOSE, RLVR_REWARD_COMPOSE, "process and code");
    remove(log_path);
    return test_done();
}
#else
int main(void) { REPORT("skipped: no sandbox on this system"); return test_done(); }
#endif
