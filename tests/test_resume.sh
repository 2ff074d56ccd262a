#!/usr/bin/env bash
# Kill -9 at random moments and resume: the final weights and the metrics of every step are those of the run that nobody killed. For the
# plain run and for all that keeps a state of its own from step to step; a row of `plans` is one of them.
cd "$(dirname "$0")/.."
passed=0 failed=0 kills=0 runs=0
dir=build/test/resume
rm -rf $dir; mkdir -p $dir
build/03_scratch --quick --out $dir/made >$dir/made.log 2>&1
for i in 1 2 3 4 5 6 7 8; do
    answer=$((i > 5 ? i : 5))
    echo "{\"prompt\":\"${i}2345>\",\"answer\":\"$answer\",\"raw\":true,\"demonstration\":\"$answer\",\"hint\":\"so $answer ${i}2345>\"}"
done >$dir/tasks.jsonl

cp -r $dir/made/model $dir/swapped      # of another vocabulary
sed -i -E 's/"1": ?49/"1":@/; s/"2": ?50/"2":49/; s/@/50/' $dir/swapped/tokenizer.json

# name | kills | steps | options | what must have happened, as a pattern in metrics.jsonl
plans="
plain|10|40||\"skipped\":0
ppo|2|20|--value --value_warmup 2 --epochs 2|\"value/loss\":
critic|2|12|--value --critic $dir/made/model --kl_reward 0.01|\"value/loss\":
adaptive|3|20|--kl_coef 0.05 --kl_target 0.001 --kl_horizon 200 --entropy_coef 0.001 --entropy_target 0.5 --ref_refresh 7|\"kl\":[0-9.e-]*[1-9]
lora|3|20|--lora_rank 4 --kl_coef 0.01 --curriculum 0.5|\"kl\":[0-9.e-]*[1-9]
muon|2|12|--optim muon --ema_decay 0.9|\"skipped\":0
adamw8|2|12|--optim adamw8|\"skipped\":0
curriculum|2|20|--max_refills 3 --curriculum 0.5 --prompts_per_step 4|\"num_refills\":[1-9]
replay|3|40|--replay_capacity 32 --replay_per_group 2 --correction token_truncate|\"replay/num_replayed\":[1-9]
lag|3|20|--lag 3 --correction sequence_mask|\"off_policy/lag\":3
spo|3|20|--algorithm spo --group_size 1 --curriculum 0.5|\"reward/tracked\":
a2po|2|12|--algorithm a2po|\"reward/optimal\":
teacher|2|12|--teacher_field hint --distill_coef 0.5 --lora_rank 4|\"distill/divergence\":
gold|2|12|--teacher $dir/swapped --distill gold --distill_coef 0.5 --minibatches 2|\"distill/divergence\":
demonstrations|2|20|--demonstrations --minibatches 2|\"demonstrations/count\":8
all|3|30|--replay_capacity 32 --lag 2 --demonstrations --max_refills 2 --curriculum 0.5 --prompts_per_step 4|\"off_policy/lag\":2
"

train() {
    ${exec_it:-} build/rlvr train --model $dir/made/model --tasks $dir/tasks.jsonl --save_every 3 --prompts_per_step 8 --group_size 8 \
        --max_tokens 4 --lr 1e-3 --log_completions 2 "$@"
}
hash_of() {         # of the weights that a run has saved: the model's, or its adapter's
    if [ -d "$1/adapter" ]; then sha256sum <"$1/adapter/adapter_model.safetensors"
    else build/rlvr info "$1/model" --json 2>/dev/null | grep -oE '"hash":"[0-9a-f]*"'; fi
}
metrics() { sed -E 's/"[a-z]*_time":[^,}]*//g' "$1/metrics.jsonl" | sha256sum; }
check() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1: \"$2\" is not \"$3\""; fi
}
sleep_ms() { sleep $(($1 / 1000)).$(printf %03d $(($1 % 1000))); }

try() {             # try NAME KILLS STEPS OPTIONS PATTERN
    local name=$1 n=$2 whole=$dir/$1.whole start took want i run pid ms
    local options="--steps $3 $4"
    start=$(date +%s%N)
    train $options --out $whole >$whole.log 2>&1
    took=$((($(date +%s%N) - start) / 1000000))
    want=$(hash_of $whole)
    check "$name: steps of the run" "$(wc -l <$whole/metrics.jsonl)" "$3"
    check "$name: $5" "$(grep -cE "$5" $whole/metrics.jsonl | sed 's/^[1-9].*/some/')" some
    for ((i = 1; i <= n; i++)); do
        run=$dir/$name.$i
        (exec_it=exec; train $options --out $run) >$run.log 2>&1 &      # exec: what is killed is the program, not a shell around it
        pid=$!
        ms=$(((RANDOM * 32768 + RANDOM) % took))
        sleep_ms $ms
        if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
        runs=$((runs + 1))
        wait $pid 2>/dev/null
        train $options --resume $run >>$run.log 2>&1 || tail -n 3 $run.log
        check "$name: killed after $ms ms, resumed: the weights" "$(hash_of $run)" "$want"
        check "$name: killed after $ms ms, resumed: the metrics" "$(metrics $run)" "$(metrics $whole)"
    done
    echo "    $name: $n runs of $took ms, killed and resumed: $5 in $(grep -cE "$5" $whole/metrics.jsonl) of $3 steps"
}

while IFS='|' read -r name n steps options pattern; do
    [ -z "$name" ] || try "$name" "$n" "$steps" "$options" "$pattern" </dev/null
done <<<"$plans"
echo "    $kills of $runs runs were killed before their end"
[ -z "${KEEP:-}" ] && rm -rf $dir
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
