/* The library as a command line: build/rlvr help. Every subcommand is a thin call of public functions; only JSON goes through
   the library's own reader and writer (rlvr__json_...), which this file sees because it holds the implementation. */
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
#include "common.h"
#include <pthread.h>

typedef struct args {
    const char *model, *adapter, *tasks, *pairs, *prompt, *reward, *kind, *options, *judge, *head, *critic, *value_head, *process_model, *process_head, *teacher,
        *teacher_field, *out, *resume, *stop_tokens, *title, *field, *algorithm;
    const char *stop[16];  int n_stop;
    int n, steps, threads, bootstrap, jobs, limit, level, preference;
    const char *cpu;
    long long seed;
    bool json, raw, greedy, decode, chat, special, params, certainty;
    rlvr_budget budget;
    const char *marker, *second_round, *against, *held_out;
    float borda_p, min_k, prefix;
    int ngram, permutations;
    bool twins;
    rlvr_lora_desc lora;
    rlvr_sampling sampling;
    rlvr_trainer_desc trainer;
    rlvr__buf teacher_text;              /* of the teacher's prompt at hand; lives in the context */
    const char *words[256];  int n_words;
} args;

#define AT(field) offsetof(args, field)

static const option machine_options[] = {
    {"threads", OPT_INT, AT(threads), "all cores", "threads"},
    {"cpu", OPT_TEXT, AT(cpu), "the best there is", "avx512, avx2, neon or portable"},
};
static const option model_options[] = {
    {"model", OPT_TEXT, AT(model), "", "GGUF file or safetensors folder"},
    {"adapter", OPT_TEXT, AT(adapter), "", "folder of a LoRA adapter for it, as PEFT and train write them"},
};
static const option adapter_options[] = {{"adapter", OPT_TEXT, AT(adapter), "", "folder of a LoRA adapter for the model: its shape is told too"}};
static const option lora_options[] = {
    {"lora_rank", OPT_INT, AT(lora.rank), "0", "train a LoRA adapter of this rank alone; 0: the whole model, or --adapter"},
    {"lora_alpha", OPT_FLOAT, AT(lora.alpha), "8", "its scale is this / rank"},
    {"lora_targets", OPT_TEXT, AT(lora.targets), "all", "of q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj, with commas between"},
    {"rslora", OPT_FLAG, AT(lora.rslora), "", "its scale is alpha / sqrt(rank)"},
    {"frozen_layers", OPT_INT, AT(trainer.frozen.layers), "0", "the first so many layers are not trained"},
    {"frozen_embeddings", OPT_FLAG, AT(trainer.frozen.embeddings), "", "nor is the embedding"},
    {"frozen_names", OPT_TEXT, AT(trainer.frozen.names), "", "nor are tensors whose names hold one of these, with commas between"},
};
static const option merge_options[] = {{"out", OPT_TEXT, AT(out), "", "folder of the merged model"}};
static const option json_options[] = {{"json", OPT_FLAG, AT(json), "", "print JSON"}};
static const option raw_options[] = {{"raw", OPT_FLAG, AT(raw), "", "prompts are not put through the chat template"}};
static const option info_options[] = {{"params", OPT_FLAG, AT(params), "", "list the parameter tensors too"}};
static const option tokenize_options[] = {
    {"chat", OPT_FLAG, AT(chat), "", "put the text through the chat template first"},
    {"decode", OPT_FLAG, AT(decode), "", "the other way: token numbers in, text out"},
};
static const option tasks_options[] = {
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL: {\"prompt\":...} or {\"messages\":[...]}, with \"answer\""},
    {"reward", OPT_TEXT, AT(reward), "number", "the verifier's kind: number, exact, math, compose ..."},
};
static const option reward_options[] = {
    {"options", OPT_TEXT, AT(options), "", "JSON object: the verifier's fields where a task has none, as '{\"parts\":[...]}' of compose"},
    {"judge", OPT_TEXT, AT(judge), "the model itself", "model of the verifiers judge and reward_model"},
    {"head", OPT_TEXT, AT(head), "", "safetensors file of the verifier reward_model's head, on --judge"},
};
static const option grade_options[] = {
    {"kind", OPT_TEXT, AT(kind), "", "the verifier of cases that name none"},
    {"jobs", OPT_INT, AT(jobs), "1", "cases graded at once"},
};
static const option lint_options[] = {
    {"kind", OPT_TEXT, AT(kind), "", "the verifier"},
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL: {\"prompt\":...} or {\"messages\":[...]}, with \"answer\""},
    {"n", OPT_INT, AT(n), "8", "with --model: samples of each task (also -n)"},
    {"limit", OPT_INT, AT(limit), "32", "with --model: tasks that are sampled"},
};
static const option generate_options[] = {
    {"prompt", OPT_TEXT, AT(prompt), "", "the prompt; else a word of the command line, --tasks, or stdin (text or JSONL)"},
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL file of prompts"},
    {"n", OPT_INT, AT(n), "1", "samples of each prompt (also -n)"},
    {"greedy", OPT_FLAG, AT(greedy), "", "always the most probable token (as --temperature 0)"},
};
static const option eval_options[] = {
    {"n", OPT_INT, AT(n), "1", "samples of each task (also -n)"},
    {"greedy", OPT_FLAG, AT(greedy), "", "also one greedy completion of each task"},
    {"bootstrap", OPT_INT, AT(bootstrap), "1000", "resamples of the interval, by prompt"},
    {"certainty", OPT_FLAG, AT(certainty), "", "choose among the samples by self-certainty too: best of k, votes"},
    {"borda_p", OPT_FLOAT, AT(borda_p), "1", "power of the Borda votes"},
    {"max_think", OPT_INT, AT(budget.max_think), "", "budget forcing: tokens of thinking, then --end_think is put behind them"},
    {"max_answer", OPT_INT, AT(budget.max_answer), "max_tokens", "... and tokens of the answer"},
    {"n_wait", OPT_INT, AT(budget.n_wait), "0", "times that thinking is prolonged by --wait where it would end"},
    {"wait", OPT_TEXT, AT(budget.wait), "Wait", "the text that prolongs it"},
    {"end_think", OPT_TEXT, AT(budget.end_think), "</think>", "the text that ends it"},
    {"marker", OPT_TEXT, AT(marker), "", "count self-correction: the answer before this word (Wait) and the last one"},
    {"second_round", OPT_TEXT, AT(second_round), "", "count self-correction by a second round that begins with this text"},
};
static const option contamination_options[] = {
    {"tasks", OPT_TEXT, AT(tasks), "", "JSONL: the tasks that are looked at"},
    {"against", OPT_TEXT, AT(against), "", "JSONL: the other set, as what was trained on, or what surely was not"},
    {"ngram", OPT_INT, AT(ngram), "13", "words of an n-gram"},
    {"min_k", OPT_FLOAT, AT(min_k), "0.2", "share of the least likely tokens in Min-K% and Min-K%++"},
    {"prefix", OPT_FLOAT, AT(prefix), "0.6", "share of a prompt that is given, to see whether the model knows the rest"},
    {"permutations", OPT_INT, AT(permutations), "99", "shuffles of the list's order"},
    {"twins", OPT_FLAG, AT(twins), "", "also the accuracy on renumbered twins of procedural tasks (make-tasks)"},
    {"n", OPT_INT, AT(n), "1", "... with this many samples of each"},
};
static const option sampling_options[] = {
    {"temperature", OPT_FLOAT, AT(sampling.temperature), "1", "divides the logits"},
    {"top_k", OPT_INT, AT(sampling.top_k), "0", "draw from the k most probable tokens; 0: off"},
    {"top_p", OPT_FLOAT, AT(sampling.top_p), "1", "draw from the most probable tokens of this much probability"},
    {"min_p", OPT_FLOAT, AT(sampling.min_p), "0", "drop tokens less probable than this times the most probable; 0: off"},
    {"max_tokens", OPT_INT, AT(sampling.max_tokens), "256", "longest completion"},
    {"min_tokens", OPT_INT, AT(sampling.min_tokens), "0", "no end before this many tokens"},
    {"stop_tokens", OPT_TEXT, AT(stop_tokens), "", "token numbers that end a completion, as 1,2,3"},
    {"ignore_eos", OPT_FLAG, AT(sampling.ignore_eos), "", "the end-of-text token does not end a completion"},
    {"max_batch", OPT_INT, AT(sampling.max_batch), "256", "rollouts decoded at once"},
    {"seed", OPT_LONG, AT(seed), "0", "the same seed gives the same bits"},
};
static const option train_options[] = {
    {"steps", OPT_INT, AT(steps), "100", "steps"},
    {"out", OPT_TEXT, AT(out), "", "folder of metrics.jsonl, completions.jsonl, checkpoint and model/"},
    {"held_out", OPT_TEXT, AT(held_out), "", "JSONL: tasks that must not be trained on; --tasks with one of them is refused"},
    {"gate", OPT_CHOICE, AT(trainer.gate), "", "none|report|refuse"},
    {"resume", OPT_TEXT, AT(resume), "", "go on with the run in this folder; its options are those it was begun with"},
    {"prompts_per_step", OPT_INT, AT(trainer.prompts_per_step), "8", "prompts in a step"},
    {"group_size", OPT_INT, AT(trainer.group_size), "8", "rollouts of each"},
    {"max_refills", OPT_INT, AT(trainer.plan.max_refills), "0", "dynamic sampling: rounds in which groups without signal are replaced"},
    {"min_groups", OPT_INT, AT(trainer.plan.min_groups), "all", "... until this many groups of the step have signal"},
    {"overlong_filter", OPT_FLAG, AT(trainer.plan.overlong_filter), "", "rollouts that max_tokens has cut have no part in the loss"},
    {"overlong_cache", OPT_INT, AT(trainer.plan.overlong_cache), "0", "the reward falls within this many tokens before max_tokens; 0: off"},
    {"overlong_weight", OPT_FLOAT, AT(trainer.plan.overlong_weight), "1", "... by up to this"},
    {"token_budget", OPT_LONG, AT(trainer.plan.token_budget), "0", "training ends after this many tokens, or --steps; 0: off"},
    {"curriculum", OPT_FLOAT, AT(trainer.plan.curriculum), "0", "share of the prompts drawn by their measured pass rate"},
    {"curriculum_decay", OPT_FLOAT, AT(trainer.plan.curriculum_decay), "0.5", "of a task's former rate when it is measured anew"},
    {"algorithm", OPT_TEXT, AT(algorithm), "", "a preset, whose fields the other options then change; --help lists them"},
    {"replay_capacity", OPT_INT, AT(trainer.plan.replay_capacity), "0", "right rollouts of hard tasks that are stored, the oldest out; 0: off"},
    {"replay_below", OPT_FLOAT, AT(trainer.plan.replay_below), "0.25", "... of groups with a pass rate of at most this"},
    {"replay_per_group", OPT_INT, AT(trainer.plan.replay_per_group), "1", "... and come back into groups without a right one, so many at most"},
    {"lag", OPT_INT, AT(trainer.plan.lag), "0", "rollouts are sampled by the weights of this many steps ago"},
    {"demonstrations", OPT_FLAG, AT(trainer.plan.demonstrations), "", "a task's \"demonstration\" takes the last place of its group"},
    {"demo_gamma", OPT_FLOAT, AT(trainer.loss.demo_gamma), "0.1", "... with p / (p + this) for the ratio"},
    {"correction", OPT_CHOICE, AT(trainer.loss.correction), "", "none|token_truncate|token_mask|sequence_truncate|sequence_mask"},
    {"is_cap", OPT_FLOAT, AT(trainer.loss.is_cap), "2", "... of the weights of what other weights have sampled"},
    {"advantage", OPT_CHOICE, AT(trainer.advantage.kind), "",
     "grpo|dr_grpo|rloo|reinforce|reinforce_pp|reinforce_pp_baseline|remax|maxrl|opo|gdpo|pass_at_k|a2po|optimal_token|disco|spo"},
    {"advantage_eps", OPT_FLOAT, AT(trainer.advantage.eps), "1e-4", "beside a standard deviation"},
    {"pass_k", OPT_INT, AT(trainer.advantage.k), "half the group", "k of pass_at_k"},
    {"advantage_tau", OPT_FLOAT, AT(trainer.advantage.tau), "10", "of disco: how much more the likely wrong ones count, the less the more"},
    {"advantage_rho", OPT_FLOAT, AT(trainer.advantage.rho), "by distance", "of spo: how much of what a task has earned before still counts"},
    {"advantage_beta", OPT_FLOAT, AT(trainer.advantage.beta), "0.5", "of a2po: temperature of the optimal value"},
    {"positive_scale", OPT_FLOAT, AT(trainer.advantage.positive_scale), "1", "of advantages above 0; below 0: none is used"},
    {"negative_scale", OPT_FLOAT, AT(trainer.advantage.negative_scale), "1", "of advantages below 0, likewise"},
    {"loss", OPT_CHOICE, AT(trainer.loss.kind), "", "clip|reinforce|gspo|gspo_token|cispo|sapo|gmpo|vespo|a2po"},
    {"clip_eps_low", OPT_FLOAT, AT(trainer.loss.clip_eps_low), "0.2", "the ratio is clipped below 1 - this"},
    {"clip_eps_high", OPT_FLOAT, AT(trainer.loss.clip_eps_high), "as low", "... and above 1 + this"},
    {"aggregation", OPT_CHOICE, AT(trainer.loss.aggregation), "", "token_mean|seq_mean_token_mean|seq_mean_token_sum_norm|seq_mean_token_sum"},
    {"kl", OPT_CHOICE, AT(trainer.loss.kl), "", "k3|k1|k2"},
    {"kl_coef", OPT_FLOAT, AT(trainer.loss.kl_coef), "0", "weight of the divergence from the model at the start; 0: none"},
    {"dual_clip", OPT_FLOAT, AT(trainer.loss.dual_clip), "off", "bound of the ratio where the advantage is below 0"},
    {"stale_kl", OPT_FLOAT, AT(trainer.loss.stale_kl), "off", "bad rollouts that have moved further than this are left out"},
    {"a2po_beta", OPT_FLOAT, AT(trainer.loss.a2po_beta), "1e-3", "of --loss a2po: how far log(p / reference) counts"},
    {"trust_kl", OPT_FLOAT, AT(trainer.loss.trust_kl), "off", "rollouts whose sampler is further than this from the policy are left out"},
    {"entropy_coef", OPT_FLOAT, AT(trainer.loss.entropy_coef), "0", "reward of entropy"},
    {"nll_coef", OPT_FLOAT, AT(trainer.loss.nll_coef), "0", "likelihood of right rollouts"},
    {"loss_max_tokens", OPT_INT, AT(trainer.loss.max_tokens), "max_tokens", "the constant of seq_mean_token_sum_norm"},
    {"value", OPT_FLAG, AT(trainer.value.on), "", "PPO: a value function, advantages by GAE"},
    {"critic", OPT_TEXT, AT(critic), "the policy's trunk", "model that the value head is on and that is trained with it"},
    {"value_head", OPT_TEXT, AT(value_head), "zeros", "safetensors file of the value head to begin with"},
    {"value_detach", OPT_FLAG, AT(trainer.value.detach), "", "the trunk learns nothing from values"},
    {"value_lr", OPT_FLOAT, AT(trainer.value.lr), "10 lr", "learning rate of value head and critic"},
    {"value_coef", OPT_FLOAT, AT(trainer.value.coef), "0.5", "weight of the value loss"},
    {"value_clip", OPT_FLOAT, AT(trainer.value.clip), "0.2", "a value moves no further than this in a step; below 0: no clipping"},
    {"value_warmup", OPT_INT, AT(trainer.value.warmup_steps), "0", "first steps in which only head and critic learn"},
    {"gamma", OPT_FLOAT, AT(trainer.value.gae.gamma), "1", "discount of GAE"},
    {"lambda", OPT_FLOAT, AT(trainer.value.gae.lambda), "0.95", "lambda of the policy's advantages"},
    {"lambda_value", OPT_FLOAT, AT(trainer.value.gae.lambda_value), "1", "lambda of the values' returns"},
    {"length_alpha", OPT_FLOAT, AT(trainer.value.gae.length_alpha), "off", "the policy's lambda by a rollout's length n: 1 - 1/(alpha n)"},
    {"raw_advantages", OPT_FLAG, AT(trainer.value.raw_advantages), "", "GAE's advantages are not whitened over the batch"},
    {"kl_reward", OPT_FLOAT, AT(trainer.regulariser.kl_reward), "0", "the divergence, by --kl, times this is taken from the reward"},
    {"kl_target", OPT_FLOAT, AT(trainer.regulariser.kl_target), "fixed", "kl_reward or kl_coef moves until a token's divergence is this"},
    {"kl_horizon", OPT_FLOAT, AT(trainer.regulariser.kl_horizon), "10000", "... over this many rollouts"},
    {"entropy_target", OPT_FLOAT, AT(trainer.regulariser.entropy_target), "fixed", "entropy_coef moves until a token's entropy is this"},
    {"entropy_delta", OPT_FLOAT, AT(trainer.regulariser.entropy_delta), "0.001", "... by this much a step"},
    {"ref_refresh", OPT_INT, AT(trainer.regulariser.ref_refresh), "never", "steps after which the reference follows the policy"},
    {"ref_mix", OPT_FLOAT, AT(trainer.regulariser.ref_mix), "1", "... by this share of the way"},
    {"teacher", OPT_TEXT, AT(teacher), "", "on-policy distillation: model in the reference's place, with --distill_coef, or --kl_coef 1 --kl k2"},
    {"teacher_field", OPT_TEXT, AT(teacher_field), "", "a task's field that the teacher reads as its prompt; without --teacher it is the policy itself"},
    {"teacher_prompt_tokens", OPT_INT, AT(trainer.regulariser.teacher_prompt_tokens), "twice max_prompt_tokens", "of these prompts, at most"},
    {"teacher_max_tokens", OPT_INT, AT(trainer.regulariser.teacher_max_tokens), "twice max_tokens", "of uld and gold, whose teacher reads its own tokens: of a completion, at most"},
    {"distill_coef", OPT_FLOAT, AT(trainer.regulariser.distill_coef), "0", "how far whole distributions are from the teacher's, in the loss"},
    {"distill", OPT_CHOICE, AT(trainer.regulariser.distill), "", "reverse_kl|forward_kl|jsd|uld|gold"},
    {"distill_beta", OPT_FLOAT, AT(trainer.regulariser.distill_beta), "0.5", "of jsd and gold: the teacher's share of the mixture"},
    {"explore_coef", OPT_FLOAT, AT(trainer.regulariser.explore_coef), "0", "reward of rollouts that are unlike the others of their group, where one is right"},
    {"explore_ridge", OPT_FLOAT, AT(trainer.regulariser.explore_ridge), "0.01", "... how large a difference between hidden states counts"},
    {"cov_share", OPT_FLOAT, AT(trainer.regulariser.cov_share), "0", "share of the tokens, by covariance, for KL-Cov (--kl_cov_coef) or Clip-Cov"},
    {"kl_cov_coef", OPT_FLOAT, AT(trainer.loss.kl_cov_coef), "0", "weight of KL-Cov's penalty"},
    {"process_model", OPT_TEXT, AT(process_model), "", "with --value: model of a process reward model, whose chances reward the steps"},
    {"process_head", OPT_TEXT, AT(process_head), "", "safetensors file of its head"},
    {"process_form", OPT_CHOICE, AT(trainer.value.process_form), "", "min|sum|difference"},
    {"process_coef", OPT_FLOAT, AT(trainer.value.process_coef), "1", "weight of its rewards"},
    {"process_delimiter", OPT_TEXT, AT(trainer.value.process_delimiter), "a line's end", "what ends a step"},
    {"epochs", OPT_INT, AT(trainer.epochs), "1", "passes over each batch of rollouts"},
    {"minibatches", OPT_INT, AT(trainer.minibatches), "1", "updates in each pass"},
    {"max_prompt_tokens", OPT_INT, AT(trainer.max_prompt_tokens), "256", "a longer prompt is refused"},
    {"micro_tokens", OPT_INT, AT(trainer.micro_tokens), "as memory allows", "most token rows in one training pass"},
    {"two_forwards", OPT_FLAG, AT(trainer.two_forwards), "", "do not keep decoding's activations for the backward pass"},
    {"memory_limit", OPT_LONG, AT(trainer.memory_limit), "90 % of what is free", "bytes that the plan may use"},
    {"save_every", OPT_COUNT, AT(trainer.save_every), "20", "steps between checkpoints; 0: none but on Ctrl-C"},
    {"log_completions", OPT_COUNT, AT(trainer.log_completions), "8", "rollouts of each step in completions.jsonl; -1: all"},
};
static const option optim_options[] = {
    {"optim", OPT_CHOICE, AT(trainer.optim.kind), "", "adamw|adamw8|muon|sgd"},
    {"lr", OPT_FLOAT, AT(trainer.optim.lr), "1e-5", "learning rate"},
    {"adamw_lr", OPT_FLOAT, AT(trainer.optim.adamw_lr), "lr", "with muon: of embeddings, norms and heads, which go by AdamW"},
    {"beta1", OPT_FLOAT, AT(trainer.optim.beta1), "0.9", "AdamW"},
    {"beta2", OPT_FLOAT, AT(trainer.optim.beta2), "0.999", "AdamW"},
    {"eps", OPT_FLOAT, AT(trainer.optim.eps), "1e-8", "AdamW"},
    {"momentum", OPT_FLOAT, AT(trainer.optim.momentum), "muon 0.95, sgd 0", "of muon and sgd"},
    {"nesterov", OPT_CHOICE, AT(trainer.optim.nesterov), "", "default|on|off"},
    {"weight_decay", OPT_FLOAT, AT(trainer.optim.weight_decay), "0", "on matrices"},
    {"max_grad_norm", OPT_FLOAT, AT(trainer.optim.max_grad_norm), "1", "clip the gradient to this norm; below 0: do not"},
    {"ema_decay", OPT_FLOAT, AT(trainer.optim.ema_decay), "0", "of the weights' average, which is saved beside the model as average/; 0: none"},
    {"warmup_steps", OPT_INT, AT(trainer.optim.warmup_steps), "0", "updates until the learning rate is whole"},
    {"total_steps", OPT_INT, AT(trainer.optim.total_steps), "all updates", "updates in the schedule"},
    {"decay_steps", OPT_INT, AT(trainer.optim.decay_steps), "a tenth", "of wsd and wsd_sqrt: updates at the end in which it falls"},
    {"schedule", OPT_CHOICE, AT(trainer.optim.schedule), "", "constant|cosine|linear|wsd|wsd_sqrt"},
    {"lr_min", OPT_FLOAT, AT(trainer.optim.lr_min), "0", "learning rate at the end of the schedule"},
};
static const option prefer_options[] = {
    {"pairs", OPT_TEXT, AT(pairs), "", "JSONL: {\"prompt\":...,\"chosen\":...,\"rejected\":...}; for kto {\"prompt\":...,\"completion\":...,\"label\":true}"},
    {"loss", OPT_CHOICE, AT(preference), "dpo", "dpo|ipo|orpo|simpo|kto|hinge|robust|exo|nca|bco|sppo|apo_zero|apo_down|discopop|implicit_prm|"
     "aot|aot_unpaired"},
    {"beta", OPT_FLOAT, AT(trainer.preference.beta), "0.1; simpo 2", "strength: how far the reference counts"},
    {"gamma", OPT_FLOAT, AT(trainer.preference.gamma), "0", "margin of dpo and simpo"},
    {"label_smoothing", OPT_FLOAT, AT(trainer.preference.label_smoothing), "0", "share of pairs held to be the wrong way round"},
    {"length", OPT_CHOICE, AT(trainer.preference.length), "", "default|sum|mean"},
    {"divergence", OPT_CHOICE, AT(trainer.preference.divergence), "", "reverse_kl|forward_kl|js|alpha"},
    {"alpha", OPT_FLOAT, AT(trainer.preference.alpha), "0.5", "of --divergence alpha; with simpo (there 0): AlphaPO"},
    {"ld_alpha", OPT_FLOAT, AT(trainer.preference.ld_alpha), "1", "LD-DPO: what tokens past the pair's shorter one count; below 0: nothing"},
    {"weighting", OPT_FLAG, AT(trainer.preference.weighting), "", "WPO: pairs count by how likely the policy holds them"},
    {"no_reference", OPT_FLAG, AT(trainer.preference.no_reference), "", "leave the reference out (with --nll_coef 1: CPO)"},
    {"nll_coef", OPT_FLOAT, AT(trainer.preference.nll_coef), "0; orpo 1", "likelihood of what is chosen"},
    {"desirable_weight", OPT_FLOAT, AT(trainer.preference.desirable_weight), "1", "of kto"},
    {"undesirable_weight", OPT_FLOAT, AT(trainer.preference.undesirable_weight), "1", "of kto"},
    {"steps", OPT_INT, AT(steps), "100", "updates"},
    {"out", OPT_TEXT, AT(out), "", "folder of metrics.jsonl, checkpoint and model/"},
    {"resume", OPT_TEXT, AT(resume), "", "go on with the run in this folder; its options are those it was begun with"},
    {"pairs_per_step", OPT_INT, AT(trainer.prompts_per_step), "8", "lines in an update"},
    {"micro_tokens", OPT_INT, AT(trainer.micro_tokens), "2048", "most token rows in one training pass"},
    {"memory_limit", OPT_LONG, AT(trainer.memory_limit), "90 % of what is free", "bytes that the plan may use"},
    {"save_every", OPT_COUNT, AT(trainer.save_every), "20", "steps between checkpoints; 0: none but on Ctrl-C"},
    {"seed", OPT_LONG, AT(seed), "0", "of the order of the lines"},
};
static const option plot_options[] = {
    {"out", OPT_TEXT, AT(out), "", "the SVG file to write"},
    {"field", OPT_TEXT, AT(field), "reward", "what to plot, by its name in metrics.jsonl"},
    {"title", OPT_TEXT, AT(title), "", "above the chart"},
};

static const option make_tasks_options[] = {
    {"n", OPT_INT, AT(n), "1", "tasks (also -n)"},
    {"level", OPT_INT, AT(level), "1", "how hard, 1 to 5"},
    {"seed", OPT_LONG, AT(seed), "0", "the same seed makes the same tasks, everywhere"},
};

typedef struct group { const option *list; int n; } group;
#define GROUP(list) {list, COUNT(list)}

/* ---- shared pieces ---- */

static rlvr_ctx *open_ctx(const args *a)
{
    rlvr_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.n_threads = a->threads;
    desc.cpu = a->cpu;
    return rlvr_open(&desc);
}

static rlvr_model *open_model(rlvr_ctx *ctx, const args *a, const char *path)      /* with --adapter, where there is one */
{
    if (!path) fprintf(stderr, "rlvr: --model is missing\n");
    rlvr_model *m = path && ctx ? rlvr_model_load(ctx, path) : NULL;
    return m && a->adapter && rlvr_lora_load(m, a->adapter) != RLVR_OK ? NULL : m;
}

/* The adapter that a run trains: that of --adapter, or a new one by --lora_rank. False: they do not go together, said. */
static bool find_lora(args *a, rlvr_model *m)
{
    a->lora.seed = (uint64_t)a->seed;
    if (!a->lora.rank && (a->lora.alpha != 0 || a->lora.targets || a->lora.rslora)) {
        fprintf(stderr, "rlvr: --lora_alpha, --lora_targets and --rslora need --lora_rank\n");
        return false;
    }
    return !a->lora.rank || rlvr_lora_add(m, &a->lora) == RLVR_OK;
}

static char *read_all(FILE *f, size_t *len)
{
    size_t cap = 1 << 16;
    char *text = (char *)malloc(cap);
    for (*len = 0; text; ) {
        *len += fread(text + *len, 1, cap - *len - 1, f);
        if (*len + 1 < cap) { text[*len] = 0; return text; }
        char *more = (char *)realloc(text, cap *= 2);
        if (!more) free(text);
        text = more;
    }
    return NULL;
}

/* The tasks of a file, "-" being stdin; with raw, each marked so. */
static rlvr_tasks *open_tasks(rlvr_ctx *ctx, const char *path, bool raw)
{
    char spool[] = "/tmp/rlvr_tasks_XXXXXX";
    bool from_stdin = path && !strcmp(path, "-");
    if (!path) { fprintf(stderr, "rlvr: --tasks is missing\n"); return NULL; }
    if (from_stdin) {      /* the library reads files that it can measure */
        size_t len;
        char *text = read_all(stdin, &len);
        int fd = mkstemp(spool);
        FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
        if (!text || !f || fwrite(text, 1, len, f) != len || fclose(f)) fprintf(stderr, "rlvr: %s: cannot write\n", spool);
        free(text);
        path = spool;
    }
    rlvr_tasks *tasks = rlvr_tasks_load_jsonl(ctx, path), *copy = raw && tasks ? rlvr_tasks_new(ctx) : NULL;
    if (from_stdin) remove(spool);
    for (int64_t i = 0; copy && i < rlvr_tasks_count(tasks); i++) {
        rlvr_task task = *rlvr_tasks_get(tasks, i);
        task.raw = task.prompt != NULL;
        if (rlvr_tasks_add(copy, &task) != RLVR_OK) return NULL;
    }
    if (copy) rlvr_tasks_free(tasks);
    return raw ? copy : tasks;
}

/* The verifier that --reward, --kind, --options and --judge name. False: there is none such, said. */
static bool find_reward(rlvr_ctx *ctx, const args *a, const char *kind, rlvr_reward_desc *reward)
{
    memset(reward, 0, sizeof *reward);
    reward->kind = rlvr_reward_find(kind);
    reward->options = a->options;
    if (!reward->kind) {
        fprintf(stderr, "rlvr: there is no verifier \"%s\"; there are", kind ? kind : "");
        for (int k = 1; k < RLVR_REWARD_KIND_COUNT; k++)
            if (rlvr__verifier_of((rlvr_reward_kind)k)) fprintf(stderr, " %s", rlvr__reward_name((rlvr_reward_kind)k));
        fprintf(stderr, "\n");
        return false;
    }
    if (a->judge && !(reward->model = rlvr_model_load(ctx, a->judge))) return false;
    if (!a->head) return true;
    if (!reward->model) fprintf(stderr, "rlvr: --head needs --judge, the model that the head is on\n");
    return reward->model && (reward->head = rlvr_head_load(reward->model, a->head)) != NULL;
}

/* The models and heads that the options of a value function name. False: one cannot be had, said. */
static bool find_values(rlvr_ctx *ctx, const args *a, rlvr_model *policy, rlvr_value_desc *v)
{
    if (!v->on && (a->critic || a->value_head || a->process_model || v->warmup_steps)) {
        fprintf(stderr, "rlvr: --critic, --value_head, --value_warmup and --process_model need --value\n");
        return false;
    }
    if (a->critic && !(v->critic = rlvr_model_load(ctx, a->critic))) return false;
    if (a->value_head && !(v->head = rlvr_head_load(v->critic ? v->critic : policy, a->value_head))) return false;
    if (!a->process_model != !a->process_head) { fprintf(stderr, "rlvr: --process_model and --process_head go together\n"); return false; }
    rlvr_model *m = a->process_model ? rlvr_model_load(ctx, a->process_model) : NULL;
    return !a->process_model || (m && (v->process = rlvr_head_load(m, a->process_head)) != NULL);
}

static void put_tokens(rlvr__buf *b, const int *tokens, int n)
{
    rlvr__buf_addf(b, "[");
    for (int i = 0; i < n; i++) rlvr__buf_addf(b, i ? ",%d" : "%d", tokens[i]);
    rlvr__buf_addf(b, "]");
}

static void put_floats(rlvr__buf *b, const float *x, int n)
{
    rlvr__buf_addf(b, "[");
    for (int i = 0; i < n; i++) {
        if (i) rlvr__buf_addf(b, ",");
        rlvr__json_put_float(b, x[i]);
    }
    rlvr__buf_addf(b, "]");
}

static bool print_buf(rlvr__buf *b)      /* and empties it */
{
    bool ok = !b->failed && fwrite(b->data, 1, b->len, stdout) == b->len && fflush(stdout) == 0;
    b->len = 0;
    return ok;
}

/* ---- info, tokenize ---- */

static rlvr_result info(rlvr_ctx *ctx, args *a)
{
    const char *path = a->n_words ? a->words[0] : a->model, *name;
    int64_t rows, cols;
    rlvr_model *m = open_model(ctx, a, path);
    if (!m) return RLVR_ERROR_IO;
    const rlvr_model_desc *d = rlvr_model_info(m);
    const rlvr_lora_desc *lora = rlvr_lora_info(m);
    int64_t adapted = 0;      /* numbers of the adapter */
    for (int i = 0; rlvr_model_param(m, i, &name, &rows, &cols); i++) adapted += strstr(name, ".lora_") ? rows * cols : 0;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (a->json) {
        rlvr__buf_addf(&b, "{\"file\":");
        rlvr__json_put_string(&b, path, strlen(path));
        rlvr__buf_addf(&b, ",\"n_params\":%lld,\"n_vocab\":%d,\"n_ctx\":%d,\"d_model\":%d,\"n_layers\":%d,\"n_heads\":%d,\"n_kv_heads\":%d,"
                       "\"head_dim\":%d,\"d_ff\":%d,\"rope_theta\":%.9g,\"rms_eps\":%.9g,\"tied\":%s,\"eos\":%d,\"hash\":\"%016llx\"",
                       (long long)rlvr_model_n_params(m), d->n_vocab, d->n_ctx, d->d_model, d->n_layers, d->n_heads, d->n_kv_heads,
                       d->head_dim, d->d_ff, (double)d->rope_theta, (double)d->rms_eps, d->tied ? "true" : "false", rlvr_token_eos(m),
                       (unsigned long long)rlvr_model_hash(m));
        if (lora)
            rlvr__buf_addf(&b, ",\"lora\":{\"rank\":%d,\"alpha\":%g,\"rslora\":%s,\"targets\":\"%s\",\"n_params\":%lld}", lora->rank, (double)lora->alpha,
                           lora->rslora ? "true" : "false", lora->targets, (long long)adapted);
        for (int i = 0; a->params && rlvr_model_param(m, i, &name, &rows, &cols); i++)
            rlvr__buf_addf(&b, "%s{\"name\":\"%s\",\"rows\":%lld,\"cols\":%lld}", i ? "," : ",\"params\":[", name, (long long)rows, (long long)cols);
        rlvr__buf_addf(&b, a->params ? "]}\n" : "}\n");
    } else {
        rlvr__buf_addf(&b, "machine    %s\n", rlvr_describe(ctx));
        rlvr__buf_addf(&b, "file       %s\nmodel      llama, %.1f M parameters, %s head\n", path, 1e-6 * (double)rlvr_model_n_params(m),
                       d->tied ? "tied" : "untied");
        rlvr__buf_addf(&b, "shape      %d layers, width %d, %d heads of %d (%d for keys and values), feed-forward %d\n", d->n_layers, d->d_model,
                       d->n_heads, d->head_dim, d->n_kv_heads, d->d_ff);
        rlvr__buf_addf(&b, "context    %d tokens, vocabulary %d, end of text %d, rope theta %g, rms eps %g\n", d->n_ctx, d->n_vocab,
                       rlvr_token_eos(m), (double)d->rope_theta, (double)d->rms_eps);
        rlvr__buf_addf(&b, "hash       %016llx\n", (unsigned long long)rlvr_model_hash(m));
        if (lora)
            rlvr__buf_addf(&b, "adapter    LoRA, %.3f M parameters, rank %d, alpha %g%s, on %s\n", 1e-6 * (double)adapted, lora->rank, (double)lora->alpha,
                           lora->rslora ? " (rsLoRA)" : "", lora->targets);
        for (int i = 0; a->params && rlvr_model_param(m, i, &name, &rows, &cols); i++)
            rlvr__buf_addf(&b, "%-52s %6lld x %lld\n", name, (long long)rows, (long long)cols);
    }
    return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

static rlvr_result tokenize(rlvr_ctx *ctx, args *a)
{
    rlvr_model *m = open_model(ctx, a, a->model);
    size_t len = 0;
    char *text = NULL;
    if (!m) return RLVR_ERROR_IO;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (a->n_words)
        for (int i = 0; i < a->n_words; i++) rlvr__buf_addf(&b, i ? " %s" : "%s", a->words[i]);
    else if ((text = read_all(stdin, &len)) != NULL) { rlvr__buf_add(&b, text, len); free(text); }
    char *in = rlvr__strndup(ctx, b.data ? b.data : "", b.len);
    len = b.len;
    b.len = 0;
    if (!in) return RLVR_ERROR_MEMORY;
    if (a->decode) {
        int n = 0, *tokens = RLVR__NEW(ctx, int, len + 1);
        if (!tokens) return RLVR_ERROR_MEMORY;
        for (char *p = in, *end; *p; p = end) {
            p += strspn(p, " ,[]\r\n\t");
            if (!*p) break;
            long id = strtol(p, &end, 10);
            if (end == p || id < 0 || id >= rlvr_model_info(m)->n_vocab) {
                fprintf(stderr, "rlvr: \"%.20s\": not a token of this model\n", p);
                return RLVR_ERROR_ARGUMENT;
            }
            tokens[n++] = (int)id;
        }
        char *out = rlvr_detokenize(m, tokens, n, true, &len);
        if (!out) return RLVR_ERROR_MEMORY;
        if (a->json) { rlvr__buf_addf(&b, "{\"text\":"); rlvr__json_put_string(&b, out, len); rlvr__buf_addf(&b, "}\n"); }
        else { rlvr__buf_add(&b, out, len); rlvr__buf_add(&b, "\n", 1); }
        return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
    }
    if (a->chat) {
        rlvr_message message = {"user", in};
        in = rlvr_chat(m, &message, 1, &len);
        if (!in) return RLVR_ERROR_ARGUMENT;
    }
    int *tokens, n = rlvr_tokenize(m, in, len, true, &tokens);
    if (n < 0) return RLVR_ERROR_ARGUMENT;
    if (a->json) { rlvr__buf_addf(&b, "{\"tokens\":"); put_tokens(&b, tokens, n); rlvr__buf_addf(&b, "}\n"); }
    else {
        for (int i = 0; i < n; i++) rlvr__buf_addf(&b, i ? " %d" : "%d", tokens[i]);
        rlvr__buf_addf(&b, "\n");
    }
    return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

/* ---- generate ---- */

static bool stream_text(void *user, int prompt, int rollout, const char *text, size_t len)
{
    (void)user; (void)prompt; (void)rollout;
    fwrite(text, 1, len, stdout);
    fflush(stdout);
    return !interrupted;
}

static rlvr_tasks *prompts(rlvr_ctx *ctx, args *a)
{
    size_t len = 0;
    char *text = NULL;
    rlvr_task task;
    if (a->tasks) return open_tasks(ctx, a->tasks, a->raw);
    if (!a->prompt && a->n_words) a->prompt = a->words[0];
    if (!a->prompt) {      /* stdin: JSONL where it begins as such, else one prompt */
        int c = getc(stdin);
        ungetc(c, stdin);
        if (c == '{') return open_tasks(ctx, "-", a->raw);
        a->prompt = text = read_all(stdin, &len);
        while (text && len && (text[len - 1] == '\n' || text[len - 1] == '\r') && !a->raw) text[--len] = 0;
    }
    memset(&task, 0, sizeof task);
    task.prompt = a->prompt;
    task.raw = a->raw;
    rlvr_tasks *tasks = rlvr_tasks_new(ctx);
    if (tasks && rlvr_tasks_add(tasks, &task) != RLVR_OK) tasks = NULL;
    free(text);
    return tasks;
}

static rlvr_result generate(rlvr_ctx *ctx, args *a)
{
    static const char *const finish[] = {"none", "stop", "length"};
    rlvr_model *m = open_model(ctx, a, a->model);
    rlvr_tasks *tasks = m ? prompts(ctx, a) : NULL;
    if (!tasks) return RLVR_ERROR_IO;
    int64_t count = rlvr_tasks_count(tasks), piece = RLVR__MAX(1, 256 / a->n);
    bool stream = count == 1 && a->n == 1 && !a->json;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr_rollouts *r = NULL;
    rlvr_result result = RLVR_OK;
    a->sampling.greedy |= a->greedy;
    if (stream) a->sampling.on_text = stream_text;
    catch_interrupt();
    for (int64_t at = 0; at < count && result == RLVR_OK && !interrupted; at += piece) {
        a->sampling.first_prompt = (uint32_t)at;
        result = rlvr_sample(m, rlvr_tasks_get(tasks, at), (int)RLVR__MIN(piece, count - at), a->n, &a->sampling, &r);
        for (int i = 0; result == RLVR_OK && i < rlvr_rollouts_count(r); i++) {
            const rlvr_rollout *o = rlvr_rollouts_get(r, i);
            if (stream) { rlvr__buf_addf(&b, "\n"); continue; }
            if (!a->json) {
                if (count > 1 || a->n > 1) rlvr__buf_addf(&b, "# prompt %d, sample %d: %d tokens, %s\n", (int)at + o->prompt_index + 1,
                                                          o->index + 1, o->n_tokens, finish[o->finish_reason]);
                rlvr__buf_add(&b, o->text, o->text_len);
                rlvr__buf_addf(&b, "\n");
                continue;
            }
            rlvr__buf_addf(&b, "{\"prompt\":%d,\"sample\":%d,\"text\":", (int)at + o->prompt_index, o->index);
            rlvr__json_put_string(&b, o->text, o->text_len);
            rlvr__buf_addf(&b, ",\"finish_reason\":\"%s\",\"prompt_tokens\":", finish[o->finish_reason]);
            put_tokens(&b, o->prompt_tokens, o->n_prompt);
            rlvr__buf_addf(&b, ",\"tokens\":");
            put_tokens(&b, o->tokens, o->n_tokens);
            rlvr__buf_addf(&b, ",\"logprobs\":");
            put_floats(&b, o->logprobs, o->n_tokens);
            rlvr__buf_addf(&b, "}\n");
        }
        if (!print_buf(&b)) result = RLVR_ERROR_IO;
    }
    return interrupted ? RLVR_STOPPED : result;
}

/* ---- advantage ---- */

/* The numbers of a list, or one number n_one times; null is NaN. Returns how many there are; -1: the field is something else. */
static int read_floats(rlvr_ctx *ctx, const rlvr__json *j, int n_one, float **out)
{
    int n = 0;
    bool one = rlvr__json_is(j, RLVR__JSON_NUMBER);
    *out = NULL;
    if (!j) return 0;
    if ((!one && !rlvr__json_is(j, RLVR__JSON_ARRAY)) || !(*out = RLVR__NEW(ctx, float, (one ? n_one : rlvr__json_count(j)) + 1))) return -1;
    for (; one && n < n_one; n++) (*out)[n] = (float)rlvr__json_num(j, 0);
    if (!one)
        RLVR__JSON_EACH(item, j) {
            if (item->type != RLVR__JSON_NUMBER && item->type != RLVR__JSON_NULL) return -1;
            (*out)[n++] = item->type == RLVR__JSON_NULL ? NAN : (float)item->number;
        }
    return n;
}

/* One line: {"estimator":"grpo","rewards":[1,1,0,0]}, and where wanted group_size, lengths, greedy, optimal or tracked, parts with part_weights, eps,
   k, positive_scale, negative_scale. Returns what is wrong with it; NULL: nothing, and the answer stands in b. */
static const char *advantage_line(rlvr_ctx *ctx, const rlvr__json *j, rlvr__buf *b)
{
    rlvr_advantage_desc d;
    rlvr_advantage_batch batch;
    const char *name = rlvr__json_str(rlvr__json_get(j, "estimator"), NULL);
    float *reward, *length, *baseline, *weight, *part = NULL;
    memset(&d, 0, sizeof d);
    memset(&batch, 0, sizeof batch);
    for (int k = 0; k < RLVR_ADVANTAGE_COUNT && name; k++, d.kind = (rlvr_advantage)k)
        if (!strcmp(rlvr_advantage_name((rlvr_advantage)k), name)) break;
    if (!name || d.kind == RLVR_ADVANTAGE_COUNT) return "\"estimator\" is none of grpo, dr_grpo, rloo, reinforce, reinforce_pp, "
        "reinforce_pp_baseline, remax, maxrl, opo, gdpo, pass_at_k, a2po, spo";
    int n = read_floats(ctx, rlvr__json_get(j, "rewards"), 1, &reward);
    if (n < 1) return "\"rewards\" must be a list of numbers (null: no reward)";
    batch.group_size = (int)rlvr__json_int(rlvr__json_get(j, "group_size"), n);
    if (batch.group_size < 1 || n % batch.group_size) return "\"group_size\" does not divide the number of rewards";
    batch.n_groups = n / batch.group_size;
    int n_length = read_floats(ctx, rlvr__json_get(j, "lengths"), n, &length);
    const rlvr__json *given = rlvr__json_get(j, d.kind == RLVR_ADV_A2PO ? "optimal" : d.kind == RLVR_ADV_SPO ? "tracked" : "greedy");
    int n_baseline = read_floats(ctx, given, batch.n_groups, &baseline);
    if (n_length && n_length != n) return "\"lengths\" must have a number for each reward";
    if (n_baseline && n_baseline != batch.n_groups) return "\"greedy\", \"optimal\" and \"tracked\" must have a number for each group";
    const rlvr__json *parts = rlvr__json_get(j, "parts");
    if (parts) {
        batch.n_parts = (int)rlvr__json_count(parts);
        part = RLVR__NEW(ctx, float, (size_t)batch.n_parts * (size_t)n + 1);
        int p = 0;
        RLVR__JSON_EACH(row, parts) {
            float *values;
            if (!part || read_floats(ctx, row, n, &values) != n) return "\"parts\" must be lists as long as \"rewards\"";
            memcpy(part + (size_t)p++ * (size_t)n, values, (size_t)n * sizeof(float));
        }
        if (read_floats(ctx, rlvr__json_get(j, "part_weights"), batch.n_parts, &weight) > 0) batch.part_weight = weight;
    }
    int *tokens = RLVR__NEW(ctx, int, n);
    float *out = RLVR__NEW(ctx, float, n);
    if (!tokens || !out) return "out of memory";
    for (int i = 0; i < n_length; i++) tokens[i] = (int)length[i];
    batch.reward = reward;
    batch.length = n_length ? tokens : NULL;
    batch.baseline = baseline;
    batch.part = part;
    d.eps = (float)rlvr__json_num(rlvr__json_get(j, "eps"), 0);
    d.k = (int)rlvr__json_int(rlvr__json_get(j, "k"), 0);
    d.positive_scale = (float)rlvr__json_num(rlvr__json_get(j, "positive_scale"), 0);
    d.negative_scale = (float)rlvr__json_num(rlvr__json_get(j, "negative_scale"), 0);
    if (rlvr_advantage_of(&d, &batch, out) != RLVR_OK) return "the estimator lacks what it needs (remax: \"greedy\", a2po: \"optimal\", spo: \"tracked\"), or eps is not above 0";
    rlvr__buf_addf(b, "{\"advantages\":");
    put_floats(b, out, n);
    rlvr__buf_addf(b, "}\n");
    return NULL;
}

static rlvr_result advantage(rlvr_ctx *ctx, args *a)
{
    rlvr_result r = RLVR_OK;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    (void)ctx;
    a->threads = 1;
    for (int64_t number = 1; r == RLVR_OK && (len = getline(&line, &cap, stdin)) >= 0; number++) {
        if (strspn(line, " \t\r\n") == (size_t)len) continue;
        rlvr_ctx *own = open_ctx(a);           /* what a line needs goes with it */
        rlvr__json *j = own ? rlvr__json_parse(own, "stdin", line, (size_t)len, number) : NULL;
        rlvr__buf b = {own, NULL, 0, 0, false};
        const char *wrong = j ? advantage_line(own, j, &b) : NULL;
        if (wrong) fprintf(stderr, "rlvr: stdin:%lld: %s\n", (long long)number, wrong);
        if (!j || wrong) r = RLVR_ERROR_FORMAT;
        else if (!print_buf(&b)) r = RLVR_ERROR_IO;
        rlvr_close(own);
    }
    free(line);
    return r;
}

/* ---- score ---- */

/* The tokens of a line: given, or of its prompt (or messages) and completion. Returns their number, -1 on failure. */
static int score_tokens(rlvr_model *m, const rlvr__json *line, bool raw, int64_t number, int **tokens, int *n_prompt)
{
    rlvr_ctx *ctx = rlvr_model_ctx(m);
    const rlvr__json *list = rlvr__json_get(line, "tokens");
    size_t len, completion_len;
    const char *prompt = rlvr__json_str(rlvr__json_get(line, "prompt"), &len), *completion = rlvr__json_str(rlvr__json_get(line, "completion"), &completion_len);
    int n = 0, *rest = NULL;
    *n_prompt = 0;
    if (rlvr__json_is(list, RLVR__JSON_ARRAY)) {
        if (!(*tokens = RLVR__NEW(ctx, int, rlvr__json_count(list) + 1))) return -1;
        RLVR__JSON_EACH(item, list) {
            int64_t id = rlvr__json_int(item, -1);
            if (id < 0 || id >= rlvr_model_info(m)->n_vocab) {
                fprintf(stderr, "rlvr: stdin:%lld: tokens[%d] is not a token of this model\n", (long long)number, n);
                return -1;
            }
            (*tokens)[n++] = (int)id;
        }
        return n;
    }
    if (!prompt || !completion) {
        fprintf(stderr, "rlvr: stdin:%lld: write {\"tokens\":[...]} or {\"prompt\":\"...\",\"completion\":\"...\"}\n", (long long)number);
        return -1;
    }
    rlvr_message message = {"user", prompt};
    char *text = raw ? NULL : rlvr_chat(m, &message, 1, &len);
    if (!raw && !text) return -1;
    *n_prompt = rlvr_tokenize(m, raw ? prompt : text, len, true, tokens);
    n = rlvr_tokenize(m, completion, completion_len, true, &rest);      /* apart, as the sampler would have added them */
    rlvr_free(ctx, text);
    if (*n_prompt < 0 || n < 0) return -1;
    int *all = RLVR__NEW(ctx, int, *n_prompt + n + 1);
    if (!all) return -1;
    if (*n_prompt) memcpy(all, *tokens, (size_t)*n_prompt * sizeof(int));
    if (n) memcpy(all + *n_prompt, rest, (size_t)n * sizeof(int));
    rlvr_free(ctx, *tokens);
    rlvr_free(ctx, rest);
    *tokens = all;
    return *n_prompt + n;
}

static rlvr_result score(rlvr_ctx *ctx, args *a)
{
    rlvr_model *m = open_model(ctx, a, a->model);
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    rlvr_result r = m ? RLVR_OK : RLVR_ERROR_IO;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    for (int64_t number = 1; r == RLVR_OK && (len = getline(&line, &cap, stdin)) >= 0; number++) {
        int *tokens = NULL, n_prompt = 0;
        if (strspn(line, " \t\r\n") == (size_t)len) continue;
        rlvr__json *j = rlvr__json_parse(ctx, "stdin", line, (size_t)len, number);
        int n = j ? score_tokens(m, j, a->raw, number, &tokens, &n_prompt) : -1;
        float *logprobs = n >= 0 ? RLVR__NEW(ctx, float, n + 1) : NULL;
        r = logprobs ? RLVR_OK : RLVR_ERROR_FORMAT;
        if (r == RLVR_OK && n > 1) r = rlvr_score(m, tokens, n, NULL, logprobs);
        if (r == RLVR_OK) {
            rlvr__buf_addf(&b, "{\"logprobs\":");
            put_floats(&b, logprobs, n > 1 ? n - 1 : 0);
            if (n_prompt) rlvr__buf_addf(&b, ",\"n_prompt\":%d", n_prompt);
            rlvr__buf_addf(&b, "}\n");
            if (!print_buf(&b)) r = RLVR_ERROR_IO;
        }
        rlvr__json_free(ctx, j);
        rlvr_free(ctx, tokens);
        rlvr_free(ctx, logprobs);
    }
    free(line);
    return r;
}

/* ---- eval ---- */

/* "NAME@k":mean, "NAME@k_low": ... for each k of the report that has a value. */
static void put_at_k(rlvr__buf *b, const char *name, const rlvr_eval_report *e, const rlvr_at_k *at, int from)
{
    for (int i = from; i < e->n_k; i++)
        if (at->mean[i] >= 0) rlvr__buf_addf(b, ",\"%s@%d\":%.9g,\"%s@%d_low\":%.9g,\"%s@%d_high\":%.9g", name, e->k[i], at->mean[i], name, e->k[i],
                                             at->low[i], name, e->k[i], at->high[i]);
}

static void put_lengths(rlvr__buf *b, const char *name, const rlvr_lengths *l)
{
    rlvr__buf_addf(b, "%s\"%s\":{\"n\":%lld,\"mean\":%.9g}", strcmp(name, "right") ? "," : ",\"length\":{", name, (long long)l->n, l->mean);
}

static void put_correction(rlvr__buf *b, const char *name, const rlvr_self_correction *c)
{
    rlvr__buf_addf(b, ",\"%s\":{\"n\":%lld,\"right_right\":%lld,\"wrong_right\":%lld,\"right_wrong\":%lld,\"wrong_wrong\":%lld,\"net\":%.9g}", name,
                   (long long)c->n, (long long)c->right_right, (long long)c->wrong_right, (long long)c->right_wrong, (long long)c->wrong_wrong, c->net);
}

static void put_eval(rlvr__buf *b, const args *a, const rlvr_eval_report *e)
{
    rlvr__buf_addf(b, "{\"n_tasks\":%lld,\"n\":%d,\"pass@1\":%.9g,\"pass@1_low\":%.9g,\"pass@1_high\":%.9g", (long long)e->n_tasks, e->n, e->pass_at_1,
                   e->pass_at_1_low, e->pass_at_1_high);
    put_at_k(b, "pass", e, &e->pass, 1);
    put_at_k(b, "maj", e, &e->maj, e->n == 1 ? 0 : 1);
    if (a->certainty) {
        const rlvr_chosen *c = &e->by_certainty;
        put_at_k(b, "certainty", e, &c->best, 0);
        rlvr__buf_addf(b, ",\"certainty_vote\":%.9g,\"certainty_vote_low\":%.9g,\"certainty_vote_high\":%.9g", c->vote, c->vote_low, c->vote_high);
        rlvr__buf_addf(b, ",\"certainty_borda\":%.9g,\"certainty_borda_low\":%.9g,\"certainty_borda_high\":%.9g", c->borda, c->borda_low, c->borda_high);
        if (e->certainty_right >= 0) rlvr__buf_addf(b, ",\"certainty_right\":%.9g", e->certainty_right);
        if (e->certainty_wrong >= 0) rlvr__buf_addf(b, ",\"certainty_wrong\":%.9g", e->certainty_wrong);
    }
    if (a->greedy) rlvr__buf_addf(b, ",\"greedy\":%.9g,\"greedy_low\":%.9g,\"greedy_high\":%.9g", e->greedy, e->greedy_low, e->greedy_high);
    put_lengths(b, "right", &e->right);
    put_lengths(b, "wrong", &e->wrong);
    put_lengths(b, "truncated", &e->cut);
    rlvr__buf_addf(b, "}");
    if (a->marker) put_correction(b, "self_correction", &e->within);
    if (a->second_round) put_correction(b, "second_round", &e->second);
    rlvr__buf_addf(b, ",\"mean_length\":%.9g,\"truncated\":%.9g,\"entropy\":%.9g,\"signal\":%.9g,\"reward_errors\":%lld,\"num_tokens\":%lld,\"seconds\":%.3f}\n",
                   e->mean_length, e->truncated, e->entropy, e->signal, (long long)e->n_reward_errors, (long long)e->n_tokens, e->seconds);
}

static void print_at_k(const char *name, const rlvr_eval_report *e, const rlvr_at_k *at)
{
    printf("%-10s", name);
    for (int i = 0; i < e->n_k; i++)
        if (at->mean[i] >= 0) printf(" %d: %.1f %% [%.1f, %.1f]", e->k[i], 100 * at->mean[i], 100 * at->low[i], 100 * at->high[i]);
    printf("\n");
}

static void print_correction(const char *name, const rlvr_self_correction *c)
{
    printf("%-10s %lld compared: wrong to right %lld, right to wrong %lld, net %+.1f %%; right both times %lld, wrong both times %lld\n", name, (long long)c->n,
           (long long)c->wrong_right, (long long)c->right_wrong, 100 * c->net, (long long)c->right_right, (long long)c->wrong_wrong);
}

static rlvr_result eval(rlvr_ctx *ctx, args *a)
{
    rlvr_eval_desc d;
    rlvr_eval_report e;
    memset(&d, 0, sizeof d);
    if (!find_reward(ctx, a, a->reward, &d.reward)) return RLVR_ERROR_ARGUMENT;
    rlvr_model *m = open_model(ctx, a, a->model);
    rlvr_tasks *tasks = m ? open_tasks(ctx, a->tasks, a->raw) : NULL;
    if (!tasks) return RLVR_ERROR_IO;
    d.sampling = a->sampling;
    d.n = a->n;
    d.greedy = a->greedy;
    d.bootstrap = a->bootstrap;
    d.seed = (uint64_t)a->seed;
    d.self_certainty = a->certainty;
    d.borda_p = a->borda_p;
    d.budget = a->budget;
    d.marker = a->marker;
    d.second_round = a->second_round;
    rlvr_result r = rlvr_eval(m, rlvr_tasks_get(tasks, 0), rlvr_tasks_count(tasks), &d, &e);
    if (r != RLVR_OK) return r;
    if (a->json) {
        rlvr__buf b = {ctx, NULL, 0, 0, false};
        put_eval(&b, a, &e);
        return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
    }
    printf("tasks      %lld, %d samples each, reward %s\n", (long long)e.n_tasks, e.n, a->reward);
    print_eval("accuracy", &e);
    print_at_k("pass@k", &e, &e.pass);
    print_at_k("maj@k", &e, &e.maj);
    if (a->certainty) {
        const rlvr_chosen *c = &e.by_certainty;
        print_at_k("certainty", &e, &c->best);
        printf("votes      of all %d, weighted by self-certainty %.1f %% [%.1f, %.1f], by its rank %.1f %% [%.1f, %.1f]\n", e.n, 100 * c->vote, 100 * c->vote_low,
               100 * c->vote_high, 100 * c->borda, 100 * c->borda_low, 100 * c->borda_high);
    }
    printf("length     right %.1f (%lld), wrong %.1f (%lld), cut off %.1f (%lld)\n", e.right.mean, (long long)e.right.n, e.wrong.mean, (long long)e.wrong.n,
           e.cut.mean, (long long)e.cut.n);
    if (a->marker) print_correction("marker", &e.within);
    if (a->second_round) print_correction("2nd round", &e.second);
    if (e.n_reward_errors) printf("ungraded   %lld\n", (long long)e.n_reward_errors);
    return RLVR_OK;
}

/* ---- train ---- */

/* What a run has learned: OUT/adapter where there is one, else OUT/model; with --ema_decay its average too. */
static rlvr_result save_trained(rlvr_trainer *t, rlvr_model *m, const rlvr_trainer_desc *d, const args *a)
{
    bool adapter = rlvr_lora_info(m) != NULL;
    rlvr_result (*save)(rlvr_model *, const char *) = adapter ? rlvr_lora_save : rlvr_model_save;
    rlvr_result r = save(m, in_folder(a->out, adapter ? "adapter" : "model"));
    if (r == RLVR_OK && d->optim.ema_decay != 0) {
        r = rlvr_trainer_swap_average(t);
        if (r == RLVR_OK) r = save(m, in_folder(a->out, "average"));
        if (r == RLVR_OK) r = rlvr_trainer_swap_average(t);
    }
    if (r != RLVR_OK) return r;
    if (adapter) printf("saved      %s/adapter (a folder that peft loads; --adapter takes it, rlvr merge makes a model of it)\n", a->out);
    else printf("saved      %s/model (a folder that transformers loads; --model takes it)\n", a->out);
    return RLVR_OK;
}

/* The text that a task's line has for the teacher. */
static rlvr_result teacher_prompt(void *user, rlvr_rollouts *r, int group, rlvr_task *task)
{
    args *a = (args *)user;
    rlvr__buf *text = &a->teacher_text;
    const rlvr_task *own = rlvr_rollouts_get(r, group * rlvr_rollouts_group_size(r))->task;
    rlvr_ctx *ctx = text->ctx;
    rlvr__json *j = own->json ? rlvr__json_parse(ctx, a->tasks, own->json, strlen(own->json), own->line) : NULL;
    const char *found = j ? rlvr__json_str(rlvr__json_get(j, a->teacher_field), NULL) : NULL;
    text->len = 0;
    if (found) rlvr__buf_add(text, found, strlen(found) + 1);
    bool there = found != NULL;
    if (j) rlvr__json_free(ctx, j);
    if (!there || text->failed) return there ? RLVR_ERROR_MEMORY : RLVR_ERROR_ARGUMENT;
    task->prompt = text->data;
    task->raw = own->raw;
    return RLVR_OK;
}

static rlvr_result run_training(rlvr_ctx *ctx, args *a)
{
    rlvr_trainer_desc *d = &a->trainer;
    if (!find_reward(ctx, a, a->reward, &d->reward)) return RLVR_ERROR_ARGUMENT;
    rlvr_model *m = open_model(ctx, a, a->model);
    d->tasks = m ? open_tasks(ctx, a->tasks, a->raw) : NULL;
    d->held_out = d->tasks && a->held_out ? open_tasks(ctx, a->held_out, a->raw) : NULL;
    if (!d->tasks || (a->held_out && !d->held_out)) return RLVR_ERROR_IO;
    if (!find_lora(a, m) || !find_values(ctx, a, m, &d->value)) return RLVR_ERROR_ARGUMENT;
    if (a->teacher && !(d->regulariser.teacher = rlvr_model_load(ctx, a->teacher))) return RLVR_ERROR_IO;
    if (a->teacher_field) {
        a->teacher_text.ctx = ctx;
        d->regulariser.teacher_task = teacher_prompt;
        d->regulariser.teacher_user = a;
        if (!a->teacher) d->regulariser.teacher = m;
    }
    d->sampling = a->sampling;
    d->seed = (uint64_t)a->seed;
    d->out_dir = a->out;
    if (d->optim.schedule != RLVR_LR_CONSTANT && !d->optim.total_steps)
        d->optim.total_steps = a->steps * RLVR__MAX(1, d->epochs) * RLVR__MAX(1, d->minibatches);
    bool resume = a->resume && access(in_folder(a->out, "checkpoint"), F_OK) == 0;
    if (a->resume && !resume) printf("resumed    %s has no checkpoint yet: from the beginning\n", a->resume);
    if (!resume) for (int i = 0; i < 2; i++) remove(in_folder(a->out, i ? "metrics.jsonl" : "completions.jsonl"));
    rlvr_result r = print_head(a->model, m, d);
    if (r != RLVR_OK) return r;
    printf("task       %s, %lld lines, reward %s\n", a->tasks, (long long)rlvr_tasks_count(d->tasks), a->reward);
    rlvr_trainer *t = rlvr_trainer_open(m, d);
    r = t ? train(t, a->steps, a->out, resume) : RLVR_ERROR_ARGUMENT;
    if (r == RLVR_OK && d->save_every && rlvr_trainer_steps(t) % d->save_every) r = rlvr_trainer_save(t, in_folder(a->out, "checkpoint"));
    if (r == RLVR_OK) r = save_trained(t, m, d, a);
    if (r == RLVR_OK && d->value.critic) r = rlvr_model_save(d->value.critic, in_folder(a->out, "critic"));
    const char *head = d->value.critic ? "critic/head.safetensors" : rlvr_lora_info(m) ? "adapter/head.safetensors" : "model/head.safetensors";
    if (r == RLVR_OK && d->value.on) r = rlvr_head_save(rlvr_trainer_head(t), in_folder(a->out, head));
    return r;
}

/* ---- prefer ---- */

static void print_preference(const rlvr_metrics *m, int steps)
{
    const rlvr_preference_stats *p = &m->preference;
    printf("step %3lld/%d loss %.4f  accuracy %.3f  margin %.4f  chosen %.4f  rejected %.4f  %.2f s%s\n", (long long)m->step, steps, m->loss, p->accuracy,
           p->margin, p->reward_chosen, p->reward_rejected, m->step_time, m->skipped ? "  nothing moved" : "");
    fflush(stdout);
}

static rlvr_result prefer(rlvr_ctx *ctx, args *a)
{
    rlvr_trainer_desc *d = &a->trainer;
    rlvr_metrics metrics;
    int n = d->prompts_per_step ? d->prompts_per_step : 8;
    if (!a->pairs) { fprintf(stderr, "rlvr prefer: --pairs is missing\n"); return RLVR_ERROR_ARGUMENT; }
    rlvr_model *m = open_model(ctx, a, a->model);
    rlvr_preferences *pairs = m ? rlvr_preferences_load_jsonl(m, a->pairs) : NULL;
    rlvr_preference *batch = pairs ? RLVR__NEW(ctx, rlvr_preference, n) : NULL;
    if (!batch) return RLVR_ERROR_IO;
    if (!find_lora(a, m)) return RLVR_ERROR_ARGUMENT;
    d->preference.kind = (rlvr_preference_kind)(RLVR_PREFER_NONE + 1 + a->preference);
    d->seed = (uint64_t)a->seed;
    d->out_dir = a->out;
    d->log_completions = 0;
    if (d->optim.schedule != RLVR_LR_CONSTANT && !d->optim.total_steps) d->optim.total_steps = a->steps;
    bool resume = a->resume && access(in_folder(a->out, "checkpoint"), F_OK) == 0;
    if (!resume) remove(in_folder(a->out, "metrics.jsonl"));
    rlvr_result r = print_head(a->model, m, d);
    if (r != RLVR_OK) return r;
    printf("task       %s, %lld lines, loss %s\n", a->pairs, (long long)rlvr_preferences_count(pairs), rlvr_preference_name(d->preference.kind));
    rlvr_trainer *t = rlvr_trainer_open(m, d);
    if (!t) return RLVR_ERROR_ARGUMENT;
    if (resume) r = rlvr_trainer_resume(t, in_folder(a->out, "checkpoint"));
    catch_interrupt();
    while (r == RLVR_OK && rlvr_trainer_steps(t) < a->steps && !interrupted) {
        rlvr_preferences_batch(pairs, d->seed, rlvr_trainer_steps(t) * n, n, batch);
        r = rlvr_train_preferences(t, batch, n, &metrics);
        if (r == RLVR_OK) print_preference(&metrics, a->steps);
    }
    if (r == RLVR_OK && (interrupted || (d->save_every && rlvr_trainer_steps(t) % d->save_every))) r = rlvr_trainer_save(t, in_folder(a->out, "checkpoint"));
    if (r == RLVR_OK && interrupted) { printf("stopped    after step %lld; go on with --resume %s\n", (long long)rlvr_trainer_steps(t), a->out); return RLVR_STOPPED; }
    return r == RLVR_OK ? save_trained(t, m, d, a) : r;
}

/* ---- merge ---- */

static rlvr_result merge(rlvr_ctx *ctx, args *a)
{
    if (!a->adapter || !a->out) { fprintf(stderr, "rlvr merge: --adapter and --out are needed\n"); return RLVR_ERROR_ARGUMENT; }
    rlvr_model *m = open_model(ctx, a, a->model);
    if (!m) return RLVR_ERROR_IO;
    rlvr_result r = rlvr_lora_merge(m);
    if (r == RLVR_OK) r = rlvr_model_save(m, a->out);
    if (r == RLVR_OK) printf("saved      %s (a folder that transformers loads; --model takes it)\n", a->out);
    return r;
}

/* ---- grade: cases in, verdicts out, in their order; each worker has a context of its own ---- */

typedef enum slot_state { SLOT_FREE, SLOT_READ, SLOT_TAKEN, SLOT_DONE } slot_state;
typedef struct slot {
    slot_state state;
    int64_t number;                      /* of the line */
    char *line;  size_t cap, len;
    char *out;  size_t out_len;          /* what is printed for it; NULL: memory ran out */
} slot;

typedef struct grading {
    const args *a;
    slot *slots;  int n_slots;           /* a ring */
    int64_t n_read, n_taken, n_printed;  /* cases so far */
    bool end, failed;                    /* no more lines; output cannot be written */
    pthread_mutex_t lock;
    pthread_cond_t changed;
} grading;

typedef struct grader { grading *g; pthread_t thread; rlvr_ctx *ctx; rlvr_model *judge; rlvr__buf b; } grader;

static void put_shortest(rlvr__buf *b, float value)      /* the fewest digits that read back as the same float */
{
    size_t from = b->len;
    for (int digits = 1; digits <= 9 && !b->failed; digits++) {
        b->len = from;
        rlvr__json_put_digits(b, (double)value, digits);
        if ((float)rlvr__json_value(b->data + from, b->len - from) == value) return;
    }
}

static void put_json(rlvr__buf *b, const rlvr__json *j)      /* a value as it was read */
{
    bool object = j->type == RLVR__JSON_OBJECT, first = true;
    switch (j->type) {
    case RLVR__JSON_NULL: rlvr__buf_addf(b, "null"); break;
    case RLVR__JSON_BOOL: rlvr__buf_addf(b, j->number != 0 ? "true" : "false"); break;
    case RLVR__JSON_NUMBER: rlvr__buf_add(b, j->text, j->len); break;
    case RLVR__JSON_STRING: rlvr__json_put_string(b, j->text, j->len); break;
    default:
        rlvr__buf_add(b, object ? "{" : "[", 1);
        RLVR__JSON_EACH(item, j) {
            if (!first) rlvr__buf_add(b, ",", 1);
            first = false;
            if (object) { rlvr__json_put_string(b, item->key, item->key_len); rlvr__buf_add(b, ":", 1); }
            put_json(b, item);
        }
        rlvr__buf_add(b, object ? "}" : "]", 1);
    }
}

/* Fields of a case that belong to the case or to the verdict; every other one is passed through. */
static bool is_ours(const rlvr__json *field)
{
    static const char *const ours[] = {"kind", "gold", "answer", "pred", "completion", "program", "tests", "entry", "lang", "cases", "parts", "rubric",
                                       "mode", "precision", "options", "allow_set_relation_comp", "reward", "status", "extracted", "reason", "n_tokens"};
    for (int i = 0; i < COUNT(ours); i++)
        if (strlen(ours[i]) == field->key_len && !memcmp(ours[i], field->key, field->key_len)) return true;
    return false;
}

static void put_field(rlvr__buf *b, const char *name, const char *text)
{
    rlvr__buf_addf(b, ",\"%s\":", name);
    rlvr__json_put_string(b, text, strlen(text));
}

static void put_verdict(rlvr__buf *b, const rlvr_grade_result *v, bool graded, const rlvr__json *line)
{
    rlvr__buf_addf(b, "{\"reward\":");
    if (graded) put_shortest(b, v->reward);
    else rlvr__buf_addf(b, "null");
    put_field(b, "status", rlvr_status_text(v->status));
    put_field(b, "extracted", v->extracted);
    put_field(b, "reason", v->reason);
    if (v->n_tokens) rlvr__buf_addf(b, ",\"n_tokens\":%lld", (long long)v->n_tokens);
    if (rlvr__json_is(line, RLVR__JSON_OBJECT))
        RLVR__JSON_EACH(field, line) {
            if (is_ours(field)) continue;
            rlvr__buf_add(b, ",", 1);
            rlvr__json_put_string(b, field->key, field->key_len);
            rlvr__buf_add(b, ":", 1);
            put_json(b, field);
        }
    rlvr__buf_add(b, "}\n", 2);
}

static const rlvr__json *either(const rlvr__json *j, const char *a, const char *b)
{
    const rlvr__json *found = rlvr__json_get(j, a);
    return found ? found : rlvr__json_get(j, b);
}

/* Grades the case of a line. Returns NULL, or what is wrong with the line. */
static const char *grade_case(grader *w, const slot *s, const rlvr__json *j, rlvr_grade_result *v, bool *graded)
{
    const char *kind = w->g->a->kind;
    const rlvr__json *gold = either(j, "gold", "answer"), *pred = either(j, "pred", "completion"), *own = rlvr__json_get(j, "kind");
    rlvr_reward_desc desc;
    rlvr_task task;
    size_t len;
    memset(&desc, 0, sizeof desc);
    memset(&task, 0, sizeof task);
    if (j->type != RLVR__JSON_OBJECT) return "a case is an object like {\"kind\":\"number\",\"gold\":\"4\",\"pred\":\"It is 4.\"}";
    if (own && !rlvr__json_str(own, NULL)) return "\"kind\" is no string";
    if (own) kind = own->text;
    if (!kind) return "the case names no \"kind\", and --kind gives none";
    desc.kind = rlvr_reward_find(kind);
    if (!desc.kind || !rlvr__verifier_of(desc.kind)) {
        snprintf(v->reason, sizeof v->reason, "there is no verifier \"%.60s\"", kind);
        return v->reason;
    }
    if (!pred) pred = rlvr__json_get(j, "program");
    const char *text = rlvr__json_str(pred, &len);
    if (!text) return pred ? "\"pred\" is no string" : "the case has no \"pred\"";
    if (rlvr__json_is(gold, RLVR__JSON_NUMBER) || rlvr__json_is(gold, RLVR__JSON_STRING)) task.answer = gold->text;
    if (task.answer && memchr(task.answer, 0, gold->len)) return "\"gold\" holds the character \\u0000";
    desc.options = w->g->a->options;
    desc.model = w->judge;
    task.prompt = rlvr__json_str(rlvr__json_get(j, "prompt"), NULL);
    task.json = s->line;
    task.line = s->number;
    rlvr_result r = rlvr_grade_task(w->ctx, &desc, text, len, &task, v);
    *graded = r == RLVR_OK;
    return r == RLVR_OK || r == RLVR_REWARD_ERROR ? NULL : rlvr_last_error(w->ctx);
}

static void grade_line(grader *w, slot *s)
{
    rlvr_grade_result v;
    bool graded = false;
    memset(&v, 0, sizeof v);
    rlvr__json *j = rlvr__json_parse(w->ctx, "stdin", s->line, s->len, s->number);
    const char *wrong = j ? grade_case(w, s, j, &v, &graded) : rlvr_last_error(w->ctx);
    if (wrong) {
        char text[sizeof v.reason];
        if (!j) {      /* FILE:LINE:COLUMN: text */
            const char *space = strchr(wrong, ' ');
            wrong = space ? space + 1 : wrong;
        }
        snprintf(text, sizeof text, "line %lld: %.200s", (long long)s->number, wrong);
        memset(&v, 0, sizeof v);
        v.status = RLVR_STATUS_ERROR;
        memcpy(v.reason, text, sizeof text);
    }
    w->b.len = 0;
    put_verdict(&w->b, &v, graded, j);
    rlvr__json_free(w->ctx, j);
    s->out = w->b.failed ? NULL : (char *)malloc(w->b.len + 1);
    s->out_len = w->b.len;
    if (s->out) memcpy(s->out, w->b.data, w->b.len);
}

static void print_done(grading *g)      /* what is done and next in order; under the lock */
{
    for (slot *s; (s = &g->slots[g->n_printed % g->n_slots])->state == SLOT_DONE; g->n_printed++) {
        if (!s->out || fwrite(s->out, 1, s->out_len, stdout) != s->out_len || fflush(stdout) != 0) g->failed = true;
        free(s->out);
        s->out = NULL;
        s->state = SLOT_FREE;
    }
}

static void *grader_main(void *arg)
{
    grader *w = (grader *)arg;
    grading *g = w->g;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        while (g->n_taken == g->n_read && !g->end && !g->failed) pthread_cond_wait(&g->changed, &g->lock);
        if (g->n_taken == g->n_read || g->failed) break;
        slot *s = &g->slots[g->n_taken++ % g->n_slots];
        s->state = SLOT_TAKEN;
        pthread_mutex_unlock(&g->lock);
        grade_line(w, s);
        pthread_mutex_lock(&g->lock);
        s->state = SLOT_DONE;
        print_done(g);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* Reads lines into the ring until stdin ends. */
static void read_cases(grading *g)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    for (int64_t number = 1; (len = getline(&line, &cap, stdin)) >= 0; number++) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) line[--len] = 0;
        if (strspn(line, " \t\r\n") == (size_t)len) continue;
        pthread_mutex_lock(&g->lock);
        slot *s = &g->slots[g->n_read % g->n_slots];
        while (s->state != SLOT_FREE && !g->failed) pthread_cond_wait(&g->changed, &g->lock);
        bool failed = g->failed;
        if (!failed) {
            char *old = s->line;
            size_t old_cap = s->cap;
            s->line = line;
            s->cap = cap;
            s->len = (size_t)len;
            s->number = number;
            s->state = SLOT_READ;
            line = old;
            cap = old_cap;
            g->n_read++;
            pthread_cond_broadcast(&g->changed);
        }
        pthread_mutex_unlock(&g->lock);
        if (failed) break;
    }
    free(line);
}

static rlvr_result grade(rlvr_ctx *ctx, args *a)
{
    grading g;
    int jobs = RLVR__MAX(1, RLVR__MIN(a->jobs, 256)), n = 0;
    const char *judge = a->judge ? a->judge : a->model;
    memset(&g, 0, sizeof g);
    if (a->kind && !rlvr_reward_find(a->kind)) { rlvr_reward_desc d; find_reward(ctx, a, a->kind, &d); return RLVR_ERROR_ARGUMENT; }
    g.a = a;
    g.n_slots = 4 * jobs;
    g.slots = (slot *)calloc((size_t)g.n_slots, sizeof *g.slots);
    grader *workers = (grader *)calloc((size_t)jobs, sizeof *workers);
    rlvr_result r = g.slots && workers ? RLVR_OK : RLVR_ERROR_MEMORY;
    pthread_mutex_init(&g.lock, NULL);
    pthread_cond_init(&g.changed, NULL);
    for (; n < jobs && r == RLVR_OK; n++) {
        rlvr_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.n_threads = a->threads ? a->threads : judge && jobs == 1 ? 0 : 1;
        desc.cpu = a->cpu;
        desc.quiet = true;      /* what is wrong with a case stands in its line */
        grader *w = &workers[n];
        w->g = &g;
        w->ctx = w->b.ctx = rlvr_open(&desc);
        if (w->ctx && judge && !(w->judge = rlvr_model_load(w->ctx, judge))) { fprintf(stderr, "rlvr: %s\n", rlvr_last_error(w->ctx)); r = RLVR_ERROR_IO; }
        if (!w->ctx || r != RLVR_OK || pthread_create(&w->thread, NULL, grader_main, w) != 0) {
            rlvr_close(w->ctx);
            r = RLVR_ERROR_MEMORY;
            break;
        }
    }
    if (r == RLVR_OK) read_cases(&g);
    if (r == RLVR_OK && ferror(stdin)) r = RLVR_ERROR_IO;
    pthread_mutex_lock(&g.lock);
    g.end = true;
    pthread_cond_broadcast(&g.changed);
    pthread_mutex_unlock(&g.lock);
    for (int i = 0; i < n; i++) { pthread_join(workers[i].thread, NULL); rlvr_close(workers[i].ctx); }
    if (r == RLVR_OK && g.failed) r = RLVR_ERROR_IO;
    for (int i = 0; g.slots && i < g.n_slots; i++) { free(g.slots[i].line); free(g.slots[i].out); }
    free(g.slots);
    free(workers);
    return r;
}

/* ---- lint-verifier ---- */

static void print_lint(const rlvr_lint_report *l, const char *kind, int64_t n_tasks)
{
    printf("tasks      %lld of %lld tried with %s; the most common gold is that of %.1f %%", (long long)l->n_tasks, (long long)n_tasks, kind, 100 * l->most_common);
    if (l->right >= 0) printf("; the gold itself earns %.2f%s", l->right, l->right < 0.5 ? ": the verifier does not fit these tasks" : "");
    printf("\n%-42s %8s %8s %9s\n", "probe", "earns", "passes", "may earn");
    for (int i = 0; i < l->n_probes; i++) {
        const rlvr_lint_probe *p = &l->probes[i];
        if (!p->n && !p->n_errors) continue;
        if (!p->n) { printf("%-42s no verdict\n", p->name); continue; }
        printf("%-42s %8.2f %6.0f %% %9.2f%s", p->name, p->mean, 100 * p->passed, p->fair, p->hole ? "  HOLE  " : "");
        for (const char *s = p->example; p->hole && *s && s < p->example + 60; s++) putchar(*s == '\n' ? ' ' : *s);
        printf("\n");
    }
    printf("%d holes\n", l->n_holes);
}

static void put_number(rlvr__buf *b, const char *name, double value)
{
    rlvr__buf_addf(b, "\"%s\":", name);
    rlvr__json_put_digits(b, value, 9);
}

static void put_lint(rlvr__buf *b, const rlvr_lint_report *l)
{
    rlvr__buf_addf(b, "{\"n_tasks\":%lld,\"n_holes\":%d,", (long long)l->n_tasks, l->n_holes);
    put_number(b, "most_common", l->most_common);
    if (l->right >= 0) { rlvr__buf_addf(b, ","); put_number(b, "right", l->right); }
    rlvr__buf_addf(b, ",\"probes\":[");
    for (int i = 0, n = 0; i < l->n_probes; i++) {
        const rlvr_lint_probe *p = &l->probes[i];
        if (!p->n && !p->n_errors) continue;
        rlvr__buf_addf(b, n++ ? ",{\"name\":" : "{\"name\":");
        rlvr__json_put_string(b, p->name, strlen(p->name));
        rlvr__buf_addf(b, ",\"n\":%d,\"n_errors\":%d,", p->n, p->n_errors);
        put_number(b, "reward", p->mean);
        rlvr__buf_addf(b, ",");
        put_number(b, "passed", p->passed);
        rlvr__buf_addf(b, ",");
        put_number(b, "fair", p->fair);
        rlvr__buf_addf(b, ",\"hole\":%s", p->hole ? "true" : "false");
        put_field(b, "example", p->example);
        rlvr__buf_addf(b, "}");
    }
    rlvr__buf_addf(b, "]");
}

/* Can a model learn here at all? Its pass@1 and pass@k, how many completions end by themselves, how many groups differ inside. */
static void print_preflight(const rlvr_eval_report *e)
{
    int k = e->n_k - 1;
    printf("model      pass@1 %.1f %% [%.1f, %.1f]   pass@%d %.1f %%   %.0f %% end by themselves   %.0f %% of the groups have signal\n", 100 * e->pass_at_1,
           100 * e->pass_at_1_low, 100 * e->pass_at_1_high, e->k[k], 100 * e->pass_at_k[k], 100 * (1 - e->truncated), 100 * e->signal);
    if (e->signal < 0.1) printf("           hardly a group has signal: RLVR cannot work here; take %s tasks, or more samples of each\n",
                                e->pass_at_1 > 0.5 ? "harder" : "easier");
    if (e->truncated > 0.5) printf("           most completions are cut off: raise --max_tokens, or nothing can be right\n");
}

static rlvr_result lint(rlvr_ctx *ctx, args *a)
{
    rlvr_reward_desc reward;
    rlvr_lint_report report;
    rlvr_eval_desc d;
    rlvr_eval_report e;
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (!find_reward(ctx, a, a->kind, &reward)) return RLVR_ERROR_ARGUMENT;
    rlvr_model *m = a->model ? open_model(ctx, a, a->model) : NULL;
    rlvr_tasks *tasks = m || !a->model ? open_tasks(ctx, a->tasks, a->raw) : NULL;
    if (!tasks) return RLVR_ERROR_IO;
    if (!reward.model) reward.model = m;
    rlvr_result r = rlvr_reward_check(ctx, &reward, tasks);
    if (r == RLVR_OK) r = rlvr_lint_verifier(ctx, &reward, tasks, &report);
    if (r != RLVR_OK) return r;
    if (a->json) put_lint(&b, &report);
    else print_lint(&report, a->kind, rlvr_tasks_count(tasks));
    fflush(stdout);
    if (m) {
        memset(&d, 0, sizeof d);
        d.sampling = a->sampling;
        d.n = a->n > 1 ? a->n : 8;
        d.reward = reward;
        d.seed = (uint64_t)a->seed;
        r = rlvr_eval(m, rlvr_tasks_get(tasks, 0), RLVR__MIN(rlvr_tasks_count(tasks), (int64_t)(a->limit ? a->limit : 32)), &d, &e);
        if (r != RLVR_OK) return r;
        if (!a->json) print_preflight(&e);
        else {
            char name[32];
            rlvr__buf_addf(&b, ",\"model\":{");
            put_number(&b, "pass@1", e.pass_at_1);
            snprintf(name, sizeof name, "pass@%d", e.n);
            if (e.n > 1) { rlvr__buf_addf(&b, ","); put_number(&b, name, e.pass_at_n); }
            rlvr__buf_addf(&b, ",");
            put_number(&b, "terminated", 1 - e.truncated);
            rlvr__buf_addf(&b, ",");
            put_number(&b, "signal", e.signal);
            rlvr__buf_addf(&b, ",\"n_tasks\":%lld,\"reward_errors\":%lld}", (long long)e.n_tasks, (long long)e.n_reward_errors);
        }
    }
    if (a->json) rlvr__buf_addf(&b, "}\n");
    return !a->json || print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

/* ---- contamination ---- */

typedef struct known_set {           /* what a model knows of a list */
    double logprob, min_k, min_k_pp, exact, by_heart, rouge_l;
    double *min_k_of, *min_k_pp_of;  /* (n) */
    int64_t n, likely, completed;    /* prompts; those with a likelihood; those with a rest to complete */
} known_set;

/* Sums up what is known of one list. */
static rlvr_result sum_known(rlvr_ctx *ctx, const rlvr_known *known, int64_t n, known_set *k)
{
    memset(k, 0, sizeof *k);
    k->n = n;
    k->min_k_of = RLVR__NEW(ctx, double, n + 1);
    k->min_k_pp_of = RLVR__NEW(ctx, double, n + 1);
    if (!k->min_k_of || !k->min_k_pp_of) return RLVR_ERROR_MEMORY;
    for (int64_t i = 0; i < n; i++) {
        k->min_k_of[i] = known[i].min_k;
        k->min_k_pp_of[i] = known[i].min_k_pp;
        if (known[i].min_k_pp == known[i].min_k_pp) {
            k->likely++;
            k->logprob += known[i].logprob;
            k->min_k += known[i].min_k;
            k->min_k_pp += known[i].min_k_pp;
        }
        if (!known[i].n_rest) continue;
        k->completed++;
        k->exact += known[i].exact;
        k->by_heart += rlvr_known_by_heart(&known[i]);
        k->rouge_l += known[i].rouge_l;
    }
    double each = k->likely ? 1.0 / (double)k->likely : 0, one = k->completed ? 1.0 / (double)k->completed : 0;
    k->logprob *= each; k->min_k *= each; k->min_k_pp *= each;
    k->exact *= one; k->rouge_l *= one;
    return RLVR_OK;
}

/* Both lists in one call: what their prompts have in common counts for neither. */
static rlvr_result measure_known(rlvr_model *m, const args *a, const rlvr_tasks *tasks, const rlvr_tasks *against, known_set *k, known_set *other)
{
    rlvr_ctx *ctx = rlvr_model_ctx(m);
    rlvr_known_desc d;
    int64_t n = rlvr_tasks_count(tasks), m2 = rlvr_tasks_count(against);
    rlvr_task *all = RLVR__NEW(ctx, rlvr_task, n + m2 + 1);
    rlvr_known *known = RLVR__NEW(ctx, rlvr_known, n + m2 + 1);
    if (!all || !known) return RLVR_ERROR_MEMORY;
    memset(&d, 0, sizeof d);
    d.min_k = a->min_k;
    d.prefix = a->prefix;
    for (int64_t i = 0; i < n + m2; i++) all[i] = i < n ? *rlvr_tasks_get(tasks, i) : *rlvr_tasks_get(against, i - n);
    rlvr_result r = rlvr_tasks_known(m, all, n + m2, &d, known);
    if (r == RLVR_OK) r = sum_known(ctx, known, n, k);
    if (r == RLVR_OK && m2) r = sum_known(ctx, known + n, m2, other);
    rlvr_free(ctx, all);
    rlvr_free(ctx, known);
    return r;
}

static void put_known(rlvr__buf *b, const char *name, const known_set *k)
{
    rlvr__buf_addf(b, ",\"%s\":{\"n\":%lld,\"n_likelihood\":%lld,\"n_completed\":%lld", name, (long long)k->n, (long long)k->likely, (long long)k->completed);
    if (k->likely) rlvr__buf_addf(b, ",\"logprob\":%.9g,\"min_k\":%.9g,\"min_k++\":%.9g", k->logprob, k->min_k, k->min_k_pp);
    if (k->completed) rlvr__buf_addf(b, ",\"exact\":%.9g,\"rouge_l\":%.9g,\"by_heart\":%.9g", k->exact, k->rouge_l, k->by_heart);
    rlvr__buf_addf(b, "}");
}

static void print_known(const char *name, const known_set *k)
{
    if (k->likely) printf("%-10s log-probability %.3f   Min-K%% %.3f   Min-K%%++ %.3f   of %lld prompts\n", name, k->logprob, k->min_k, k->min_k_pp, (long long)k->likely);
    if (k->completed) printf("%-10s completed exactly %.1f %%, ROUGE-L %.3f, %.0f of %lld by heart\n", name, 100 * k->exact, k->rouge_l, k->by_heart, (long long)k->completed);
    if (!k->likely && !k->completed) printf("%-10s nothing is left to look at between what all prompts begin and end with\n", name);
}

/* Texts: prompts that are in both lists, and n-grams. Returns through b or prints. */
static rlvr_result contamination_texts(rlvr_ctx *ctx, const args *a, const rlvr_tasks *tasks, const rlvr_tasks *against, rlvr__buf *b)
{
    int64_t n = rlvr_tasks_count(tasks), shared = 0, touched = 0, first = -1, other = -1;
    double mean = 0, most = 0, *share = RLVR__NEW(ctx, double, n + 1);
    rlvr_ngrams *g = rlvr_ngrams_new(ctx, a->ngram, 0);
    rlvr_task_set *set = rlvr_task_set_new(ctx, against);
    if (!g || !share || !set) return RLVR_ERROR_ARGUMENT;
    rlvr_result r = rlvr_tasks_overlap(g, rlvr_tasks_get(against, 0), rlvr_tasks_count(against), NULL);
    if (r == RLVR_OK) r = rlvr_tasks_overlap(g, rlvr_tasks_get(tasks, 0), n, share);
    for (int64_t i = 0; r == RLVR_OK && i < n; i++) {
        int64_t at = rlvr_task_set_find(set, rlvr_tasks_get(tasks, i));
        if (at == -2) r = RLVR_ERROR_MEMORY;
        if (at >= 0 && !shared++) { first = i; other = at; }
        touched += share[i] > 0;
        mean += share[i] / (double)n;
        most = share[i] > most ? share[i] : most;
    }
    rlvr_ngrams_free(g);
    rlvr_task_set_free(set);
    rlvr_free(ctx, share);
    if (r != RLVR_OK) return r;
    if (a->json) {
        rlvr__buf_addf(b, ",\"n_against\":%lld,\"shared_prompts\":%lld,\"ngram\":{\"n\":%d,\"tasks\":%lld,\"mean_share\":%.9g,\"max_share\":%.9g}",
                       (long long)rlvr_tasks_count(against), (long long)shared, a->ngram ? a->ngram : 13, (long long)touched, mean, most);
        return RLVR_OK;
    }
    printf("prompts    %lld of %lld are in the other list of %lld", (long long)shared, (long long)n, (long long)rlvr_tasks_count(against));
    if (shared) printf("; the first is line %lld, there line %lld", (long long)rlvr_tasks_get(tasks, first)->line, (long long)rlvr_tasks_get(against, other)->line);
    printf("\n%d-grams   %lld of %lld tasks share some; mean share %.1f %%, largest %.1f %%\n", a->ngram ? a->ngram : 13, (long long)touched, (long long)n, 100 * mean, 100 * most);
    return RLVR_OK;
}

static rlvr_result contamination_model(rlvr_model *m, const args *a, const rlvr_tasks *tasks, const rlvr_tasks *against, rlvr__buf *b)
{
    known_set k, other;
    rlvr_order_report order;
    rlvr_result r = measure_known(m, a, tasks, against, &k, &other);
    if (r != RLVR_OK) return r;
    double auc = against ? rlvr_auc(k.min_k_of, k.n, other.min_k_of, other.n) : 0, auc_pp = against ? rlvr_auc(k.min_k_pp_of, k.n, other.min_k_pp_of, other.n) : 0;
    if (a->json) {
        put_known(b, "known", &k);
        if (against) put_known(b, "known_against", &other);
        if (against && auc == auc) rlvr__buf_addf(b, ",\"min_k_auc\":%.9g,\"min_k++_auc\":%.9g", auc, auc_pp);
    } else {
        print_known("tasks", &k);
        if (against) print_known("against", &other);
        if (against && auc_pp == auc_pp) printf("AUC        tasks over the other list: Min-K%% %.3f, Min-K%%++ %.3f (0.5: no difference)\n", auc, auc_pp);
    }
    if (rlvr_tasks_count(tasks) < 2) return RLVR_OK;
    r = rlvr_order_test(m, rlvr_tasks_get(tasks, 0), rlvr_tasks_count(tasks), a->permutations, (uint64_t)a->seed, &order);
    if (r != RLVR_OK) return r;
    if (a->json) rlvr__buf_addf(b, ",\"order\":{\"p_value\":%.9g,\"logprob\":%.9g,\"shuffled\":%.9g,\"permutations\":%d,\"shards\":%d,\"left_out\":%lld}", order.p_value,
                                order.logprob, order.shuffled, order.n_permutations, order.n_shards, (long long)order.n_left_out);
    else printf("order      p %.3f that it is no likelier than %d shuffles: %.4f a token against %.4f\n", order.p_value, order.n_permutations, order.logprob, order.shuffled);
    return RLVR_OK;
}

static rlvr_result contamination_twins(rlvr_model *m, const args *a, const rlvr_tasks *tasks, rlvr__buf *b)
{
    rlvr_eval_desc d;
    rlvr_twin_report t;
    memset(&d, 0, sizeof d);
    d.reward.kind = RLVR_REWARD_PROC;
    d.sampling = a->sampling;
    d.n = a->n;
    d.seed = (uint64_t)a->seed;
    rlvr_result r = rlvr_twin_test(m, rlvr_tasks_get(tasks, 0), rlvr_tasks_count(tasks), &d, NULL, NULL, &t);
    if (r != RLVR_OK) return r;
    if (a->json) rlvr__buf_addf(b, ",\"twins\":{\"n\":%lld,\"accuracy\":%.9g,\"twins\":%.9g,\"drop\":%.9g,\"drop_low\":%.9g,\"drop_high\":%.9g}", (long long)t.n, t.accuracy,
                                t.twins, t.drop, t.drop_low, t.drop_high);
    else printf("twins      accuracy %.1f %% of %lld, %.1f %% of their twins: drop %.1f [%.1f, %.1f]\n", 100 * t.accuracy, (long long)t.n, 100 * t.twins, 100 * t.drop,
                100 * t.drop_low, 100 * t.drop_high);
    return RLVR_OK;
}

static rlvr_result contamination(rlvr_ctx *ctx, args *a)
{
    rlvr__buf b = {ctx, NULL, 0, 0, false};
    if (!a->against && !a->model) { fprintf(stderr, "rlvr contamination: --against T2 or --model F is missing\n"); return RLVR_ERROR_ARGUMENT; }
    if (a->twins && !a->model) { fprintf(stderr, "rlvr contamination: --twins asks a model; --model F is missing\n"); return RLVR_ERROR_ARGUMENT; }
    rlvr_model *m = a->model ? open_model(ctx, a, a->model) : NULL;
    rlvr_tasks *tasks = m || !a->model ? open_tasks(ctx, a->tasks, false) : NULL, *against = tasks && a->against ? open_tasks(ctx, a->against, false) : NULL;
    if (!tasks || (a->against && !against)) return RLVR_ERROR_IO;
    rlvr_result r = RLVR_OK;
    if (a->json) rlvr__buf_addf(&b, "{\"n_tasks\":%lld", (long long)rlvr_tasks_count(tasks));
    if (against) r = contamination_texts(ctx, a, tasks, against, &b);
    if (r == RLVR_OK && m) r = contamination_model(m, a, tasks, against, &b);
    if (r == RLVR_OK && m && a->twins) r = contamination_twins(m, a, tasks, &b);
    if (r != RLVR_OK || !a->json) return r;
    rlvr__buf_addf(&b, "}\n");
    return print_buf(&b) ? RLVR_OK : RLVR_ERROR_IO;
}

/* ---- make-tasks ---- */

static rlvr_result make_tasks(rlvr_ctx *ctx, args *a)
{
    rlvr_task_maker maker;
    rlvr_task task;
    rlvr_result r = RLVR_OK;
    memset(&maker, 0, sizeof maker);
    if (a->n_words != 1) { fprintf(stderr, "rlvr: make-tasks takes one FAMILY; make-tasks list names them\n"); return RLVR_ERROR_ARGUMENT; }
    if (!strcmp(a->words[0], "list")) {
        for (int i = 0; rlvr_family_name(i); i++) puts(rlvr_family_name(i));
        return RLVR_OK;
    }
    maker.ctx = ctx;
    maker.family = a->words[0];
    maker.level = a->level;
    maker.seed = (uint64_t)a->seed;
    for (int i = 0; r == RLVR_OK && i < a->n; i++) {
        r = rlvr_make_task(&maker, (uint64_t)i, &task);
        if (r == RLVR_OK && puts(task.json) < 0) r = RLVR_ERROR_IO;
    }
    rlvr_task_maker_free(&maker);
    return r == RLVR_OK && fflush(stdout) ? RLVR_ERROR_IO : r;
}

/* ---- plot ---- */

static rlvr_result plot(rlvr_ctx *ctx, args *a)
{
    rlvr_series series[64];
    int n = 0;
    if (!a->out || !a->n_words) { fprintf(stderr, "rlvr: plot --out FILE.svg [--field reward] NAME=metrics.jsonl ...\n"); return RLVR_ERROR_ARGUMENT; }
    for (; n < a->n_words && n < COUNT(series); n++) {
        const char *path = strchr(a->words[n], '=');
        rlvr__file f;
        if (rlvr__file_open(ctx, path ? path + 1 : a->words[n], &f) != RLVR_OK) return RLVR_ERROR_IO;
        rlvr__lines it = rlvr__lines_of((const char *)f.data, f.len);
        size_t cap = 1;
        for (size_t i = 0; i < f.len; i++) cap += f.data[i] == '\n';
        double *x = RLVR__NEW(ctx, double, cap), *y = RLVR__NEW(ctx, double, cap);
        char *name = rlvr__strndup(ctx, a->words[n], path ? (size_t)(path - a->words[n]) : strlen(a->words[n]));
        int points = 0;
        if (!x || !y || !name) return RLVR_ERROR_MEMORY;
        while (rlvr__lines_next(&it)) {
            rlvr__json *j = rlvr__json_parse(ctx, a->words[n], it.text, it.len, it.line);
            if (!j) return RLVR_ERROR_FORMAT;
            x[points] = rlvr__json_num(rlvr__json_get(j, "step"), points + 1);
            y[points++] = rlvr__json_num(rlvr__json_get(j, a->field), 0);
            rlvr__json_free(ctx, j);
        }
        rlvr__file_close(ctx, &f);
        rlvr_series one = {name, x, y, points};
        series[n] = one;
    }
    return rlvr_write_svg(ctx, a->out, a->title ? a->title : a->field, "step", a->field, series, n);
}

/* ---- the commands ---- */

typedef struct command {
    const char *name, *usage, *about;
    rlvr_result (*run)(rlvr_ctx *, args *);
    group groups[10];
} command;

static const command commands[] = {
    {"info", "FILE", "what a model file holds", info, {GROUP(info_options), GROUP(adapter_options), GROUP(json_options), GROUP(machine_options)}},
    {"tokenize", "--model F [TEXT]", "token numbers of a text (stdin without TEXT), or its text", tokenize,
     {GROUP(model_options), GROUP(tokenize_options), GROUP(json_options), GROUP(machine_options)}},
    {"generate", "--model F [PROMPT]", "completions of prompts, streamed", generate,
     {GROUP(model_options), GROUP(generate_options), GROUP(sampling_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"score", "--model F < LINES", "log-probabilities: JSONL {\"tokens\":[...]} or {\"prompt\":...,\"completion\":...} in, {\"logprobs\":[...]} out",
     score, {GROUP(model_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"eval", "--model F --tasks T", "pass@1 with its interval, pass@k, maj@n, greedy", eval,
     {GROUP(model_options), GROUP(tasks_options), GROUP(reward_options), GROUP(eval_options), GROUP(sampling_options), GROUP(raw_options), GROUP(json_options),
      GROUP(machine_options)}},
    {"train", "--model F --tasks T --out DIR", "reinforcement learning from a verifier", run_training,
     {GROUP(model_options), GROUP(tasks_options), GROUP(reward_options), GROUP(train_options), GROUP(lora_options), GROUP(optim_options), GROUP(sampling_options),
      GROUP(raw_options), GROUP(machine_options)}},
    {"prefer", "--model F --pairs P --out DIR", "learning from preferences: dpo, ipo, orpo, simpo, kto ...", prefer,
     {GROUP(model_options), GROUP(prefer_options), GROUP(lora_options), GROUP(optim_options), GROUP(machine_options)}},
    {"merge", "--model F --adapter DIR --out DIR", "a model with its adapter's product added to its weights", merge,
     {GROUP(model_options), GROUP(merge_options), GROUP(machine_options)}},
    {"advantage", "< LINES", "advantages: JSONL {\"estimator\":\"grpo\",\"rewards\":[1,1,0,0]} in, {\"advantages\":[...]} out", advantage, {{NULL, 0}}},
    {"grade", "[--kind K] < CASES", "verdicts: JSONL {\"kind\":...,\"gold\":...,\"pred\":...} in, {\"reward\":...,\"status\":...} out, other fields passed on", grade,
     {GROUP(grade_options), GROUP(reward_options), GROUP(model_options), GROUP(machine_options)}},
    {"lint-verifier", "--kind K --tasks T [--model F]", "what cheap answers would earn, and whether a model could learn here", lint,
     {GROUP(lint_options), GROUP(reward_options), GROUP(model_options), GROUP(sampling_options), GROUP(raw_options), GROUP(json_options), GROUP(machine_options)}},
    {"contamination", "--tasks T [--against T2] [--model F]", "shared prompts and n-grams; what the model knows by heart", contamination,
     {GROUP(contamination_options), GROUP(model_options), GROUP(sampling_options), GROUP(json_options), GROUP(machine_options)}},
    {"make-tasks", "FAMILY -n N", "JSONL tasks of a procedural family, of several (a,b), of all; list: their names; for --reward proc", make_tasks,
     {GROUP(make_tasks_options)}},
    {"plot", "--out F.svg NAME=metrics.jsonl ...", "curves of training runs", plot, {GROUP(plot_options)}},
};

static const option *find_option(const command *c, const char *name)
{
    for (int g = 0; g < COUNT(c->groups) && c->groups[g].list; g++)
        for (int i = 0; i < c->groups[g].n; i++)
            if (!strcmp(c->groups[g].list[i].name, name)) return &c->groups[g].list[i];
    return NULL;
}

static int help(const command *c)
{
    if (c) {
        printf("rlvr %s %s\n%s\n", c->name, c->usage, c->about);
        for (int g = 0; g < COUNT(c->groups) && c->groups[g].list; g++) options_help(c->groups[g].list, c->groups[g].n);
        for (int i = 0; c->run == make_tasks && rlvr_family_name(i); i++) printf("%s%s", i ? ", " : "families: ", rlvr_family_name(i));
        if (c->run == make_tasks) printf("\n");
        for (int i = 0; c->run == run_training && i < RLVR_ALGORITHM_COUNT; i++)
            printf("%s%s", i ? ", " : "algorithms: ", rlvr_algorithm_name((rlvr_algorithm)i, NULL));
        if (c->run == run_training) printf("\n");
        if (find_option(c, "stop_tokens"))
            printf("  --stop TEXT               ends a completion; may be given several times\n");
        return 0;
    }
    printf("rlvr %s: reinforcement learning from verifiable rewards\n\n", RLVR_VERSION);
    for (int i = 0; i < COUNT(commands); i++) printf("  rlvr %-13s %-36s %s\n", commands[i].name, commands[i].usage, commands[i].about);
    printf("\nrlvr COMMAND --help lists the command's options. A model is a GGUF file or a safetensors folder.\n");
    return 0;
}

/* Reads options and words into a. 0: fine; 1: help was asked for; 2: an error, said. */
static int read_args(const command *c, int argc, char **argv, args *a)
{
    for (int i = 0; i < argc; i++) {
        char name[64], *equals;
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return 1;
        if (strncmp(argv[i], "--", 2) && strcmp(argv[i], "-n")) {
            if (a->n_words == COUNT(a->words)) { fprintf(stderr, "rlvr: too many words\n"); return 2; }
            a->words[a->n_words++] = argv[i];
            continue;
        }
        snprintf(name, sizeof name, "%s", argv[i] + (argv[i][1] == '-' ? 2 : 1));
        for (char *p = name; *p && *p != '='; p++)
            if (*p == '-') *p = '_';
        if ((equals = strchr(name, '=')) != NULL) { *equals = 0; value = strchr(argv[i], '=') + 1; }
        const option *o = find_option(c, name);
        bool stop = !strcmp(name, "stop") && find_option(c, "stop_tokens");
        if (!o && !stop) { fprintf(stderr, "rlvr %s: there is no option %s; --help lists them\n", c->name, argv[i]); return 2; }
        if (stop) {
            if (!value || a->n_stop == COUNT(a->stop)) { fprintf(stderr, "--stop: a value is missing, or too many\n"); return 2; }
            a->stop[a->n_stop++] = value;
        } else if (!strcmp(name, "temperature") && value && strtod(value, NULL) == 0 && c->run != run_training) a->sampling.greedy = true;
        else if (option_set(o, 1, a, name, value) < 0) return 2;
        if (!equals && (stop || o->type != OPT_FLAG)) i++;
    }
    return 0;
}

/* The options that a run was begun with lie in DIR/options, one argument a line; those of now count more. */
static bool load_options(args *a, char ***list, int *n)
{
    FILE *f = fopen(in_folder(a->resume, "options"), "rb");
    size_t len, count = 0;
    char *text = f ? read_all(f, &len) : NULL;
    if (f) fclose(f);
    if (!text) return false;
    for (size_t i = 0; i < len; i++) count += text[i] == '\n';
    *list = (char **)calloc(count + 1, sizeof **list);
    for (char *p = text, *end; *list && (end = strchr(p, '\n')) != NULL; p = end + 1) { *end = 0; (*list)[(*n)++] = p; }
    return *list != NULL;
}

static bool save_options(rlvr_ctx *ctx, const args *a, int argc, char **argv)
{
    rlvr__writer w;
    if (rlvr__make_dir(ctx, a->out) != RLVR_OK || rlvr__writer_open(ctx, &w, in_folder(a->out, "options")) != RLVR_OK) return false;
    for (int i = 0; i < argc; i++) {
        rlvr__write(&w, argv[i], strlen(argv[i]));
        rlvr__write(&w, "\n", 1);
    }
    return rlvr__writer_close(&w) == RLVR_OK;
}

static bool parse_stop_tokens(rlvr_ctx *ctx, args *a)
{
    const char *p = a->stop_tokens;
    int *list = p ? RLVR__NEW(ctx, int, strlen(p) + 1) : NULL, n = 0;
    while (list && *p) {
        char *end;
        list[n++] = (int)strtol(p, &end, 10);
        if (end == p) { fprintf(stderr, "--stop_tokens: \"%s\" is not a list of numbers\n", a->stop_tokens); return false; }
        p = end + (*end == ',');
    }
    a->sampling.stop_tokens = list;
    a->sampling.n_stop_tokens = n;
    a->sampling.stop = a->stop;
    a->sampling.n_stop = a->n_stop;
    a->sampling.seed = (uint64_t)a->seed;
    return true;
}

/* The fields of the preset that --algorithm names. False: there is none such, said. */
static bool preset(args *a)
{
    a->trainer.sampling.max_tokens = a->sampling.max_tokens;
    if (rlvr_preset(rlvr_algorithm_find(a->algorithm), &a->trainer) == RLVR_OK) return true;
    fprintf(stderr, "--algorithm: \"%s\" is none of", a->algorithm);
    for (int i = 0; i < RLVR_ALGORITHM_COUNT; i++) fprintf(stderr, " %s", rlvr_algorithm_name((rlvr_algorithm)i, NULL));
    fprintf(stderr, "\n");
    return false;
}

int main(int argc, char **argv)
{
    static args a, now;
    const command *c = NULL;
    char **begun = NULL;
    int n_begun = 0, status;
    for (int i = 0; i < COUNT(commands) && argc > 1; i++)
        if (!strcmp(commands[i].name, argv[1])) c = &commands[i];
    if (!c) {
        bool asked = argc < 2 || !strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h");
        if (!asked) fprintf(stderr, "rlvr: there is no command %s\n", argv[1]);
        for (int i = 0; i < COUNT(commands) && argc > 2; i++)
            if (!strcmp(commands[i].name, argv[2])) return help(&commands[i]);
        help(NULL);
        return asked ? 0 : 2;
    }
    a.reward = "number";
    a.field = "reward";
    a.n = a.level = 1;
    a.steps = 100;
    a.trainer.save_every = 20;
    a.trainer.log_completions = 8;
    now = a;
    status = read_args(c, argc - 2, argv + 2, &now);
    if (status) return status == 1 ? help(c) : status;
    if (now.resume) load_options(&now, &begun, &n_begun);
    for (int pass = 0; pass < 2; pass++) {      /* a preset comes before the options that change it, wherever it stands */
        if (read_args(c, n_begun, begun, &a)) return 2;
        a.n_words = 0;
        a.resume = NULL;
        if (read_args(c, argc - 2, argv + 2, &a)) return 2;
        if (pass || !a.algorithm) break;
        if (!preset(&a)) return 2;
        a.n_words = a.n_stop = 0;
    }
    if (a.resume) a.out = a.resume;
    rlvr_ctx *ctx = open_ctx(&a);
    rlvr_result r = ctx && parse_stop_tokens(ctx, &a) ? RLVR_OK : RLVR_ERROR_ARGUMENT;
    if (r == RLVR_OK && (c->run == run_training || c->run == prefer)) {
        if (!a.out) { fprintf(stderr, "rlvr %s: --out DIR is missing\n", c->name); r = RLVR_ERROR_ARGUMENT; }
        else if (!a.resume && access(in_folder(a.out, "checkpoint"), F_OK) == 0) {
            fprintf(stderr, "rlvr %s: %s holds a run; --resume %s goes on with it\n", c->name, a.out, a.out);
            r = RLVR_ERROR_ARGUMENT;
        } else if (!a.resume && !save_options(ctx, &a, argc - 2, argv + 2)) r = RLVR_ERROR_IO;
    }
    if (r == RLVR_OK) r = c->run(ctx, &a);
    rlvr_close(ctx);
    return r == RLVR_OK ? 0 : r == RLVR_STOPPED ? 130 : 1;
}
