/* No download: a byte-level model of a million parameters is made from nothing, reads generated documents, and then learns
   from a verifier what the documents only sometimes say. A document is "38194>9" and an end: five digits and one of them: in
   45 % of the documents just the first, in 40 % the largest, in the rest any. So what the model has read most often is wrong,
   and being surer of it (sharpening) would not help: RLVR must turn its habit round. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "scratch.h"

typedef struct settings {
    const char *out;
    int steps, threads;
    float lr;
    bool quick;
    scratch_world world;
} settings;

static const option options[] = {
    {"out", OPT_TEXT, offsetof(settings, out), "build/scratch", "folder of metrics and the tuned model"},
    {"read", OPT_INT, offsetof(settings, world.read), "1000", "steps of reading, 64 documents each"},
    {"read_lr", OPT_FLOAT, offsetof(settings, world.read_lr), "2e-3", "their learning rate"},
    {"steps", OPT_INT, offsetof(settings, steps), "100", "steps of RLVR"},
    {"lr", OPT_FLOAT, offsetof(settings, lr), "3e-4", "their learning rate"},
    {"seed", OPT_LONG, offsetof(settings, world.seed), "0", "of the weights, the documents and the sampling"},
    {"threads", OPT_INT, offsetof(settings, threads), "all cores", "threads"},
    {"quick", OPT_FLAG, offsetof(settings, quick), "", "a few steps of each, to see that it runs"},
};

enum { HELD_OUT = 256 };

static rlvr_result run(rlvr_ctx *ctx, settings *s)
{
    rlvr_eval_report before, after;
    rlvr_trainer_desc d = scratch_training(&s->world, s->lr);
    const rlvr_reward_desc judge = d.reward;
    d.out_dir = s->out;
    rlvr_model *m = scratch_model(ctx, s->world.seed);
    rlvr_tasks *held_out = held_out_tasks(ctx, HELD_OUT);
    rlvr_result r = RLVR_OK;
    if (!m || !held_out) return RLVR_ERROR_MEMORY;
    remove(in_folder(d.out_dir, "metrics.jsonl"));
    if (r == RLVR_OK) r = print_head("made from nothing", m, &d);
    printf("task       largest of five digits, where the documents say the first more often; %d held out\n", HELD_OUT);
    if (r == RLVR_OK) r = read_documents(m, &s->world);
    if (r == RLVR_OK) r = evaluate(m, held_out, judge, 16, &d.sampling, "before", &before);
    rlvr_trainer *t = r == RLVR_OK ? rlvr_trainer_open(m, &d) : NULL;
    r = t ? train(t, s->steps, d.out_dir, false) : RLVR_ERROR_ARGUMENT;
    rlvr_trainer_close(t);
    if (r == RLVR_OK) r = evaluate(m, held_out, judge, 16, &d.sampling, "after", &after);
    if (r == RLVR_OK) r = rlvr_model_save(m, in_folder(d.out_dir, "model"));
    if (r == RLVR_OK) write_result(d.out_dir, "scratch", "exact", s->world.seed, s->steps, &before, &after);
    return r;
}

int main(int argc, char **argv)
{
    settings s = {"build/scratch", 100, 0, 3e-4f, false, {0, 1000, 2e-3f, "", ""}};
    options_read(argc, argv, "build/03_scratch [options]", options, COUNT(options), &s, NULL, 0);
    if (s.quick) { s.world.read = 30; s.steps = 3; }
    rlvr_desc desc = {0};
    desc.n_threads = s.threads;
    rlvr_ctx *ctx = rlvr_open(&desc);
    rlvr_result r = ctx ? run(ctx, &s) : RLVR_ERROR_MEMORY;
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
