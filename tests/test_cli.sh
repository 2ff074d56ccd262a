#!/usr/bin/env bash
# The command line: every subcommand on a tiny model made from nothing, and on the real one where it is there.
cd "$(dirname "$0")/.."
passed=0 failed=0
dir=build/test/cli
rm -rf $dir; mkdir -p $dir

check() {           # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >$dir/out 2>$dir/err; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what: $*"; head -n 5 $dir/out $dir/err; fi
}
fails() { ! "$@" && ! grep -qE 'Sanitizer|Segmentation' $dir/err; }
says() { grep -qE -- "$1" "$2"; }
prints() { local want=$1; shift; "$@" 2>$dir/err | grep -qE -- "$want"; }
is_json() { python3 -c 'import json,sys; [json.loads(l) for l in open(sys.argv[1])]' "$1"; }
rlvr() { build/rlvr "$@"; }

build/03_scratch --quick --threads 2 --out $dir/made >$dir/made.log 2>&1
model=$dir/made/model
check "a model is made" test -f $model/model.safetensors
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\":\"${i}2345>\",\"answer\":\"$((i > 5 ? i : 5))\",\"raw\":true}"; done >$dir/tasks.jsonl

check "help" prints 'rlvr train' rlvr help
for c in info tokenize generate score eval train prefer merge advantage grade lint-verifier contamination make-tasks plot; do check "$c --help" prints "rlvr $c" rlvr $c --help; done
check "no such command" fails rlvr fly
check "no such option" fails rlvr info --fly
check "a value that is no number" fails rlvr eval --model $model --tasks $dir/tasks.jsonl --n many
check "a zero that would mean a default" fails rlvr train --model $model --tasks $dir/tasks.jsonl --out $dir/x --lr 0
check "no such model" fails rlvr info $dir/nothing
check "no such task file" fails rlvr eval --model $model --tasks $dir/nothing
check "no such verifier" fails rlvr eval --model $model --tasks $dir/tasks.jsonl --reward fame
check "a bad line is named" fails rlvr score --model $model <<<'{"tokens":[1,2'
check "a token out of range" fails rlvr score --model $model <<<'{"tokens":[1,99999]}'

check "advantage" prints '^\{"advantages":\[0\.8658754[0-9]*,0\.8658754' rlvr advantage <<<'{"estimator":"grpo","rewards":[1,1,0,0]}'
check "advantage of groups" prints '^\{"advantages":\[0\.5,-0\.5,0,0\]\}$' rlvr advantage <<<'{"estimator":"dr_grpo","rewards":[1,0,1,1],"group_size":2}'
check "advantage: a line without rewards" fails rlvr advantage <<<'{"estimator":"grpo"}'
check "info" prints '1\.0 M parameters' rlvr info $model
check "info --json" prints '"hash":"[0-9a-f]{16}"' rlvr info $model --json
check "tokenize" prints '^49 50 62$' rlvr tokenize --model $model '12>'
check "tokenize --decode" prints '^12>$' rlvr tokenize --model $model --decode 49 50 62
printf 12 >$dir/in
check "tokenize from stdin" prints '^\{"tokens":\[49,50\]\}$' rlvr tokenize --model $model --json <$dir/in

rlvr generate --model $model --raw '12345>' --json -n 3 --max_tokens 4 --seed 5 >$dir/a.jsonl 2>$dir/err
rlvr generate --model $model --raw '12345>' --json -n 3 --max_tokens 4 --seed 5 --threads 1 >$dir/b.jsonl 2>$dir/err
check "generate: the same seed, the same bits, with 1 and 2 threads" cmp $dir/a.jsonl $dir/b.jsonl
check "generate --json is JSON" is_json $dir/a.jsonl
check "generate -n" test "$(wc -l <$dir/a.jsonl)" = 3
rlvr generate --model $model --raw --json --greedy --max_tokens 3 <$dir/tasks.jsonl >$dir/c.jsonl 2>$dir/err
check "generate from JSONL on stdin" test "$(wc -l <$dir/c.jsonl)" = 8
check "generate: temperature 0 is greedy" cmp <(rlvr generate --model $model --raw '12345>' --temperature 0 --max_tokens 3) \
    <(rlvr generate --model $model --raw '12345>' --greedy --max_tokens 3)

# what generate says of its tokens' log-probabilities, score says too, bit for bit
sample_tokens() { python3 -c '
import json,sys
for l in open(sys.argv[1]):
    j = json.loads(l); print(json.dumps({"tokens": j["prompt_tokens"] + j["tokens"]}))' "$1"; }
same_logprobs() { python3 -c '
import json,sys
for a, b in zip(open(sys.argv[1]), open(sys.argv[2])):
    a = json.loads(a); x = json.loads(b)["logprobs"]
    if x[len(a["prompt_tokens"]) - 1:] != a["logprobs"]: sys.exit("%s %s" % (a, x))' "$1" "$2"; }
sample_tokens $dir/a.jsonl | rlvr score --model $model >$dir/scored.jsonl 2>$dir/err
check "score: one logprob for each token but the first" test "$(wc -l <$dir/scored.jsonl)" = 3
check "score: the sampler's bits" same_logprobs $dir/a.jsonl $dir/scored.jsonl
check "score: prompt and completion" prints '"n_prompt":6' rlvr score --model $model --raw <<<'{"prompt":"12345>","completion":"5"}'

for i in 1 2 3 4 5 6; do echo "{\"prompt\":\"say $((i * 7919 % 997)) $((i * 104729 % 99991)) now\",\"answer\":\"1\",\"raw\":true}"; done >$dir/known.jsonl
head -n 2 $dir/known.jsonl | sed 's/say/  SAY/' >$dir/held.jsonl      # the same prompts, spelt otherwise
check "contamination of texts" prints '2 of 6 are in the other list of 2; the first is line 1, there line 1' rlvr contamination --tasks $dir/known.jsonl --against $dir/held.jsonl
rlvr contamination --model $model --tasks $dir/known.jsonl --against $dir/held.jsonl --ngram 2 --permutations 4 --json >$dir/contamination.json 2>$dir/err
check "contamination --json is JSON" is_json $dir/contamination.json
check "contamination --json" prints '"shared_prompts":2,"ngram":\{"n":2,"tasks":2,.*"known":\{"n":6,"n_likelihood":6,"n_completed":6,.*"min_k\+\+_auc":.*"order":\{"p_value":' cat $dir/contamination.json
check "contamination" prints 'AUC +tasks over' rlvr contamination --model $model --tasks $dir/known.jsonl --against $dir/held.jsonl --permutations 1
check "contamination needs something to compare with" fails rlvr contamination --tasks $dir/known.jsonl
check "contamination: twins need a model" fails rlvr contamination --tasks $dir/known.jsonl --against $dir/held.jsonl --twins
check "train refuses held-out tasks, naming both lines" says 'line 1 of the tasks has the prompt of held-out line 1' \
    <(rlvr train --model $model --tasks $dir/known.jsonl --held_out $dir/held.jsonl --out $dir/held 2>&1)
check "eval" prints 'pass@k' rlvr eval --model $model --tasks $dir/tasks.jsonl --n 4 --max_tokens 3
check "eval: lengths and intervals" prints 'length +right [0-9.]+ \([0-9]+\), wrong' rlvr eval --model $model --tasks $dir/tasks.jsonl --n 4 --max_tokens 3
rlvr eval --model $model --tasks $dir/tasks.jsonl --n 4 --max_tokens 3 --certainty --n_wait 1 --max_think 2 --end_think '>' --marker Wait --second_round ' ' --json >$dir/eval.json 2>$dir/err
check "eval --json is JSON" is_json $dir/eval.json
check "eval --certainty and a budget" prints '"maj@2_low":.*"certainty@4":.*"certainty_borda":.*"length":\{"right":.*"self_correction":\{"n":.*"second_round":\{"n":32,' cat $dir/eval.json
check "eval: a negative budget" fails rlvr eval --model $model --tasks $dir/tasks.jsonl --max_think -3
check "eval --json" prints '^\{.*"pass@1":[0-9.e-]+.*"maj@4":.*"greedy":[0-9.e-]+' rlvr eval --model $model --tasks $dir/tasks.jsonl --n 4 --max_tokens 3 --greedy --json

train() { rlvr train --model $model --tasks $dir/tasks.jsonl --prompts_per_step 4 --group_size 4 --max_tokens 3 --lr 1e-3 "$@"; }
hash_of() { rlvr info "$1" --json | grep -oE '"hash":"[0-9a-f]*"'; }
check "train" train --steps 4 --save_every 2 --out $dir/run
check "train: metrics.jsonl" is_json $dir/run/metrics.jsonl
check "train: a line for each step" test "$(wc -l <$dir/run/metrics.jsonl)" = 4
check "train: completions.jsonl" is_json $dir/run/completions.jsonl
check "train: a folder that holds a run is refused" fails train --steps 4 --out $dir/run
check "train: the tuned model loads" rlvr info $dir/run/model
check "train with 1 thread" train --steps 4 --threads 1 --out $dir/run1
check "train: the same weights with 1 and 2 threads" test "$(hash_of $dir/run/model)" = "$(hash_of $dir/run1/model)"
check "train: on to 6 steps" rlvr train --resume $dir/run --steps 6
check "train: 6 at once" train --steps 6 --out $dir/run6
check "train: the same weights in two parts" test "$(hash_of $dir/run/model)" = "$(hash_of $dir/run6/model)"
check "train: a preset" train --steps 1 --algorithm remax --out $dir/remax
check "train: its greedy completions are in the log" says '"reward/greedy":' $dir/remax/metrics.jsonl
check "train: rollouts of older weights" train --steps 2 --algorithm flash_reinforce --group_size 1 --out $dir/flash
check "train: rollouts of the reference" train --steps 1 --algorithm a2po --group_size 1 --pass_k 2 --out $dir/a2po
check "train: what they let expect is in the log" says '"reward/optimal":' $dir/a2po/metrics.jsonl
check "train: what tasks have earned before" train --steps 2 --algorithm spo --group_size 1 --advantage_rho 0.9 --out $dir/spo
check "train: that is in the log" says '"reward/tracked":' $dir/spo/metrics.jsonl
check "train: a bonus for what is new" train --steps 2 --explore_coef 0.1 --out $dir/explore
check "train: that is in the log too" says '"reward/novelty":0[.0-9]*[1-9]' $dir/explore/metrics.jsonl
check "train: a baseline for each token" train --steps 1 --algorithm optimal_token --out $dir/otb
check "train: whole distributions of a teacher" train --steps 1 --teacher $dir/otb/model --distill_coef 1 --distill jsd --distill_beta 0.3 --out $dir/gkd
check "train: the divergence from it is in the log" says '"distill/divergence":' $dir/gkd/metrics.jsonl
cp -r $dir/otb/model $dir/swapped
sed -i -E 's/"1": ?49/"1":@/; s/"2": ?50/"2":49/; s/@/50/' $dir/swapped/tokenizer.json
check "train: a teacher with other tokens cannot be compared token by token" fails train --steps 1 --teacher $dir/swapped --distill_coef 1 --out $dir/swap
cp $dir/err $dir/swap.err
check "... is told of, with the way out" says 'its token 49 is not the policy.s; .* or distill uld or gold' $dir/swap.err
check "train: ... but by gold" train --steps 1 --teacher $dir/swapped --distill_coef 1 --distill gold --distill_beta 0.3 --teacher_max_tokens 3 --out $dir/gold
check "train: the divergence of the two vocabularies is in the log" says '"distill/divergence":[0-9.e-]*[1-9]' $dir/gold/metrics.jsonl
sed 's/}$/,"hint":"so 5 12345>"}/' $dir/tasks.jsonl >$dir/hints.jsonl
check "train: the policy, told more, as its teacher" train --steps 1 --tasks $dir/hints.jsonl --teacher_field hint --distill_coef 1 --out $dir/sdft
check "train: it differs from what it is told" says '"distill/divergence":' $dir/sdft/metrics.jsonl
check "train: a field that no task has" fails train --steps 1 --teacher_field hint --distill_coef 1 --out $dir/sdft2
cp $dir/err $dir/hint.err
check "... is told of" says 'teacher_task: it has no prompt for the task of line' $dir/hint.err
check "train: options change a preset, wherever they stand" train --steps 1 --kl_coef 0.5 --algorithm grpo --out $dir/preset
check "train: ... in the log" says '"kl_coef":0.5,' $dir/preset/metrics.jsonl
check "train: a preset's fields after a resume" rlvr train --resume $dir/preset --steps 2
check "train: ... in the log" test "$(grep -c '"kl_coef":0.5,' $dir/preset/metrics.jsonl)" = 2
check "train: no such preset" fails train --steps 1 --algorithm fame --out $dir/x
check "train: a nonsensical choice is refused by its field" says 'regulariser: kl_target needs' <(train --steps 1 --kl_target 0.1 --out $dir/x 2>&1)
check "train --help lists the presets" prints 'algorithms: grpo, dr_grpo,.*clip_cov' rlvr train --help
check "train: every field" train --steps 2 --out $dir/fields --advantage dr_grpo --clip_eps_low 0.1 --clip_eps_high 0.3 \
    --aggregation seq_mean_token_sum_norm --kl k1 --kl_coef 0.01 --loss_max_tokens 3 --beta1 0.8 --beta2 0.9 --eps 1e-6 \
    --weight_decay 0.1 --max_grad_norm 0.5 --warmup_steps 1 --schedule cosine --lr_min 1e-6 --epochs 2 --minibatches 2 \
    --max_prompt_tokens 16 --micro_tokens 64 --two_forwards --log_completions -1 --temperature 0.9 --top_k 50 --top_p 0.95 --min_p 0.001
check "train --help lists every field of the optimizer" says 'optim .*adamw_lr .*momentum .*nesterov .*ema_decay .*decay_steps ' \
    <(rlvr train --help | tr '\n' ' ')
check "train: muon, its average" train --steps 2 --out $dir/muon --optim muon --adamw_lr 1e-4 --momentum 0.9 --nesterov off --ema_decay 0.9 \
    --schedule wsd --decay_steps 1 --entropy_coef 0.01
check "... which is a model of its own" rlvr info $dir/muon/average
check "... beside the model" test "$(hash_of $dir/muon/average)" != "$(hash_of $dir/muon/model)"
for optim in adamw8 sgd; do check "train: $optim" train --steps 1 --out $dir/$optim --optim $optim; done
check "train: momentum where there is none" fails train --steps 1 --out $dir/none --momentum 0.9
cp $dir/err $dir/none.err
check "... is refused by its name" says 'optim\.momentum' $dir/none.err
check "train: too little memory is refused with the plan" fails train --steps 1 --out $dir/small --memory_limit 1000000
cp $dir/err $dir/small.err      # check writes to out and err anew
check "... which it names" says 'memory_limit' $dir/small.err

# composed rewards from the command line
parts='{"parts":[{"kind":"number"},{"kind":"exact","weight":0.5}]}'
check "train: a composed reward" train --steps 2 --out $dir/composed --reward compose --options "$parts"
check "... each part in metrics.jsonl" says '"rewards/number/mean":[0-9.]+.*"rewards/exact/mean":[0-9.]+,"rewards/exact/std"' $dir/composed/metrics.jsonl
check "... each rollout's parts in completions.jsonl" says '"rewards":\{"number":[01],"exact":[01]\}' $dir/composed/completions.jsonl
check "train: a part that is no verifier" fails train --steps 2 --out $dir/composed2 --reward compose --options '{"parts":[{"kind":"fame"}]}'
cp $dir/err $dir/part.err
check "... is named" says 'parts\[0\].*fame' $dir/part.err
check "train: one reward is logged too" says '"rewards/number/mean":' $dir/run/metrics.jsonl

# preferences
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\":\"${i}2345>\",\"raw\":true,\"chosen\":\"$i\",\"rejected\":\"x$i\"}"; done >$dir/pairs.jsonl
sed 's/"chosen":\("[0-9]"\),"rejected":[^}]*/"completion":\1,"label":true/; 5,8s/true}$/false}/' $dir/pairs.jsonl >$dir/single.jsonl
prefer() { rlvr prefer --model $model --pairs $dir/pairs.jsonl --pairs_per_step 4 --lr 1e-3 "$@"; }
check "prefer" prefer --steps 4 --save_every 2 --out $dir/dpo
check "prefer: metrics.jsonl" is_json $dir/dpo/metrics.jsonl
check "prefer: TRL's names" says '"rewards/chosen":.*"rewards/rejected":.*"rewards/accuracies":.*"rewards/margins":.*"logps/chosen":' $dir/dpo/metrics.jsonl
check "prefer: a folder that holds a run is refused" fails prefer --steps 4 --out $dir/dpo
check "prefer: on to 6 steps" rlvr prefer --resume $dir/dpo --steps 6
check "prefer: 6 at once, 1 thread, small passes" prefer --steps 6 --threads 1 --out $dir/dpo6
check "prefer: the same weights in two parts" test "$(hash_of $dir/dpo/model)" = "$(hash_of $dir/dpo6/model)"
check "prefer: weights have moved" test "$(hash_of $dir/dpo/model)" != "$(hash_of $model)"
for loss in ipo orpo simpo hinge nca discopop aot_unpaired; do check "prefer --loss $loss" prints "loss $loss" prefer --loss $loss --steps 2 --out $dir/$loss; done
check "prefer --loss kto" prints 'step   2/2' rlvr prefer --model $model --pairs $dir/single.jsonl --loss kto --steps 2 --out $dir/kto
check "prefer --loss implicit_prm" prints 'loss implicit_prm' rlvr prefer --model $model --pairs $dir/single.jsonl --loss implicit_prm --steps 2 --out $dir/prm
check "prefer: CPO" prefer --no_reference --nll_coef 1 --beta 0.2 --label_smoothing 0.1 --length mean --steps 2 --out $dir/cpo
check "prefer: LD-DPO" prefer --ld_alpha 0.5 --steps 2 --out $dir/ld
sed 's/}$/,"gold":"7"}/' $dir/pairs.jsonl >$dir/triples.jsonl
check "prefer: TPO" rlvr prefer --model $model --pairs $dir/triples.jsonl --no_reference --nll_coef 1 --pairs_per_step 4 --steps 2 --out $dir/tpo
check "prefer: the same pairs without gold" prefer --no_reference --nll_coef 1 --steps 2 --out $dir/no_gold
check "prefer: what is gold counts" test "$(hash_of $dir/tpo/model)" != "$(hash_of $dir/no_gold/model)"
check "prefer: fields that exclude each other" fails prefer --loss ipo --gamma 1 --steps 2 --out $dir/bad
cp $dir/err $dir/bad.err
check "... with the reason" says 'gamma is the margin of dpo and simpo' $dir/bad.err
check "prefer: single lines where pairs are needed" fails rlvr prefer --model $model --pairs $dir/single.jsonl --steps 2 --out $dir/bad2
# LoRA and frozen layers
check "prefer --lora_rank" prints 'saved.*adapter' prefer --lora_rank 4 --lora_alpha 8 --lora_targets q_proj,v_proj,down_proj --rslora --steps 4 --save_every 2 --out $dir/lora
adapter=$dir/lora/adapter
check "... writes an adapter and no model" test -f $adapter/adapter_config.json -a -f $adapter/adapter_model.safetensors -a ! -e $dir/lora/model
check "... in two parts, 1 thread" prefer --lora_rank 4 --lora_alpha 8 --lora_targets q_proj,v_proj,down_proj --rslora --steps 2 --threads 1 --out $dir/lora2
check "... the rest" rlvr prefer --resume $dir/lora2 --steps 4
check "... the same adapter" cmp $adapter/adapter_model.safetensors $dir/lora2/adapter/adapter_model.safetensors
check "info --adapter" prints 'rank 4, alpha 8 \(rsLoRA\), on q_proj,v_proj,down_proj' rlvr info $model --adapter $adapter
check "info --adapter --json" prints '"lora":\{"rank":4,"alpha":8,"rslora":true,"targets":"q_proj,v_proj,down_proj","n_params":[0-9]+\}' rlvr info $model --adapter $adapter --json
rlvr generate --model $model --adapter $adapter --raw '12345>' --json -n 3 --max_tokens 4 --seed 5 >$dir/l.jsonl 2>$dir/err
check "generate --adapter: another model speaks" fails cmp -s $dir/a.jsonl $dir/l.jsonl
sample_tokens $dir/l.jsonl | rlvr score --model $model --adapter $adapter >$dir/scored.jsonl 2>$dir/err
check "score --adapter: the sampler's bits" same_logprobs $dir/l.jsonl $dir/scored.jsonl
check "merge" rlvr merge --model $model --adapter $adapter --out $dir/merged
nearly() { python3 -c '
import json,sys
for a, b in zip(open(sys.argv[1]), open(sys.argv[2])):
    if max(abs(x - y) for x, y in zip(json.loads(a)["logprobs"], json.loads(b)["logprobs"])) > 1e-4: sys.exit(1)' "$1" "$2"; }
sample_tokens $dir/l.jsonl | rlvr score --model $dir/merged >$dir/merged.jsonl 2>$dir/err
check "... says what the adapter says" nearly $dir/scored.jsonl $dir/merged.jsonl
check "merge without an adapter" fails rlvr merge --model $model --out $dir/merged2
check "train --adapter, with a value head" train --adapter $adapter --value --kl_coef 0.01 --steps 2 --out $dir/lora3
check "... goes on with it" fails cmp -s $adapter/adapter_model.safetensors $dir/lora3/adapter/adapter_model.safetensors
check "eval --adapter" prints 'pass@k' rlvr eval --model $model --adapter $dir/lora3/adapter --tasks $dir/tasks.jsonl --n 2 --max_tokens 3
check "--lora_alpha without a rank" fails train --lora_alpha 8 --steps 2 --out $dir/lora4
check "an adapter that is none" fails rlvr info $model --adapter $dir/run
check "train --frozen_layers" train --frozen_layers 1 --frozen_names norm --steps 2 --out $dir/frozen
check "train --frozen_names of half a matrix" fails train --frozen_names q_proj --steps 2 --out $dir/frozen2
cp $dir/err $dir/bad.err
check "... is told" says 'one matrix' $dir/bad.err

echo '{"prompt":"a","chosen":"b"}' >>$dir/pairs.jsonl
check "prefer: a bad line" fails prefer --steps 2 --out $dir/bad3
cp $dir/err $dir/bad.err
check "... is named" says 'pairs.jsonl:9: "rejected" is absent' $dir/bad.err
check "prefer without pairs" fails rlvr prefer --model $model --out $dir/bad4

# grade: JSON lines in, JSON lines out
cat >$dir/cases.jsonl <<'TEXT'
{"kind":"number","gold":"4","pred":"It is 4.","id":17,"meta":{"a":[1,2.50,null,true],"b":"\u00e4\n"}}
{"gold":4.0,"completion":"4","id":"x"}

{"gold":"4","pred":"5"
{"kind":"fame","gold":"4","pred":"5"}
{"kind":"number","gold":"many","pred":"5","id":3}
[1]
{"kind":"number","gold":"4"}
{"kind":"compose","parts":[{"kind":"number","weight":0.1},{"kind":"exact","weight":0.2}],"gold":"4","pred":"is 4"}
{"kind":"exact","gold":"a","pred":"b"}
TEXT
cat >$dir/want.jsonl <<'TEXT'
{"reward":1,"status":"equal","extracted":"4","reason":"","id":17,"meta":{"a":[1,2.50,null,true],"b":"ä\n"}}
{"reward":1,"status":"equal","extracted":"4","reason":"","id":"x"}
{"reward":null,"status":"error","extracted":"","reason":"line 4: the text ends where a comma or } behind a member should stand; it is cut off"}
{"reward":null,"status":"error","extracted":"","reason":"line 5: there is no verifier \"fame\""}
{"reward":null,"status":"bad_gold","extracted":"","reason":"no number can be read from the answer","id":3}
{"reward":null,"status":"error","extracted":"","reason":"line 7: a case is an object like {\"kind\":\"number\",\"gold\":\"4\",\"pred\":\"It is 4.\"}"}
{"reward":null,"status":"error","extracted":"","reason":"line 8: the case has no \"pred\""}
{"reward":0.1,"status":"partial","extracted":"4","reason":"exact: unequal"}
{"reward":0,"status":"unequal","extracted":"b","reason":""}
TEXT
for jobs in 1 3; do
    check "grade --jobs $jobs" rlvr grade --kind number --jobs $jobs <$dir/cases.jsonl
    cp $dir/out $dir/verdicts.jsonl
    check "... a verdict for each case, in order" cmp $dir/verdicts.jsonl $dir/want.jsonl
done
for ((i = 0; i < 5000; i++)); do echo "{\"id\":$i,\"gold\":\"$((i % 7))\",\"pred\":\"The answer is $((i % 5)).\"}"; done >$dir/many.jsonl
check "grade: 1 and 4 jobs say the same" cmp <(rlvr grade --kind number <$dir/many.jsonl) <(rlvr grade --kind number --jobs 4 <$dir/many.jsonl)
check "grade: no case is lost" test "$(rlvr grade --kind number --jobs 4 <$dir/many.jsonl | wc -l)" = 5000
check "grade: verdicts come while cases are still awaited" prints '"status":"equal"' timeout 20 bash -c \
    'mkfifo $0/pipe; build/rlvr grade <$0/pipe & exec 3>$0/pipe; echo "{\"kind\":\"exact\",\"gold\":\"a\",\"pred\":\"a\"}" >&3; sleep 2; kill %1' $dir
check "grade: no verifier by default" fails rlvr grade --kind fame <$dir/cases.jsonl
if [ -w /dev/full ]; then check "grade: output that cannot be written" fails bash -c "build/rlvr grade --kind number <$dir/many.jsonl >/dev/full"; fi
check "grade: a judge whose context is too short" prints '"reward":null,"status":"limit"' rlvr grade --model $model <<<'{"kind":"judge","gold":"4","pred":"4"}'

# lint-verifier
check "lint-verifier" prints "another task's gold +1\.00 +100 % +0\.00  HOLE" rlvr lint-verifier --kind number --options '{"abs_tol":100}' --tasks $dir/tasks.jsonl
for kind in exact number; do check "lint-verifier: a sound one" prints '^0 holes' rlvr lint-verifier --kind $kind --tasks $dir/tasks.jsonl; done
rlvr lint-verifier --kind number --tasks $dir/tasks.jsonl --model $model --max_tokens 3 -n 4 --json >$dir/lint.json 2>$dir/err
check "lint-verifier --json is JSON" is_json $dir/lint.json
check "... with the model's chances" says '"model":\{"pass@1":[0-9.e-]+,"pass@4":[0-9.e-]+,"terminated":[0-9.e-]+,"signal":[0-9.e-]+' $dir/lint.json
echo '{"prompt":"?"}' >$dir/bare.jsonl
check "lint-verifier: tasks without what it needs" fails rlvr lint-verifier --kind number --tasks $dir/bare.jsonl
cp $dir/err $dir/bare.err
check "... are named with line and field" says 'line 1 .*"answer"' $dir/bare.err

check "plot" rlvr plot --out $dir/reward.svg run=$dir/run/metrics.jsonl
check "... writes SVG" says '<svg' $dir/reward.svg

check "make-tasks list" test "$(rlvr make-tasks list | wc -l)" = 21
rlvr make-tasks all -n 42 --seed 3 --level 2 >$dir/made.jsonl 2>$dir/err
check "make-tasks is JSON" is_json $dir/made.jsonl
check "make-tasks -n" test "$(wc -l <$dir/made.jsonl)" = 42
check "make-tasks: the same seed, the same tasks" cmp $dir/made.jsonl <(rlvr make-tasks all -n 42 --seed 3 --level 2)
check "make-tasks: another seed, others" fails cmp -s $dir/made.jsonl <(rlvr make-tasks all -n 42 --seed 4 --level 2)
check "make-tasks help lists the families" prints 'mini_sudoku' rlvr make-tasks --help
check "make-tasks: no such family" fails rlvr make-tasks fame
check "make-tasks: no such level" fails rlvr make-tasks gcd --level 6
if [ -f "${RLVR_MODEL:-}" ]; then
    rlvr make-tasks gcd,chain_sum -n 4 --seed 3 >$dir/few.jsonl 2>$dir/err
    check "eval takes what make-tasks made" rlvr eval --model "$RLVR_MODEL" --tasks $dir/few.jsonl --reward proc --max_tokens 4 --json
fi

if [ -n "${RLVR_MODEL:-}" ] && [ -f "$RLVR_MODEL" ]; then
    check "the real model: info" prints '134\.5 M parameters' rlvr info "$RLVR_MODEL"
    check "the real model: tokenize" prints '^19556 905 28 216 33 34 35$' rlvr tokenize --model "$RLVR_MODEL" 'Hello world, 123'
    check "the real model: generate" prints 'Paris' rlvr generate --model "$RLVR_MODEL" --greedy --max_tokens 12 'What is the capital of France?'
    check "the real model: judges" prints '"reward":0\.[0-9]+,"status":"partial".*"n_tokens":[1-9]' rlvr grade --model "$RLVR_MODEL" <<<'{"kind":"judge","gold":"4","pred":"4"}'
else echo "    skipped: the real model is not there"
fi
rm -rf $dir
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
