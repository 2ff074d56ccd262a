#!/usr/bin/env bash
# Kill -9 at ten random moments, and at three while an adapter is trained, resume each: the final weights are those of the run that
# nobody killed.
cd "$(dirname "$0")/.."
passed=0 failed=0 kills=0
dir=build/test/resume
rm -rf $dir; mkdir -p $dir
build/03_scratch --quick --out $dir/made >$dir/made.log 2>&1
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\":\"${i}2345>\",\"answer\":\"$((i > 5 ? i : 5))\",\"raw\":true}"; done >$dir/tasks.jsonl

train() {
    ${exec_it:-} build/rlvr train --model $dir/made/model --tasks $dir/tasks.jsonl --steps 40 --save_every 3 --prompts_per_step 8 --group_size 8 \
        --max_tokens 4 --lr 1e-3 --log_completions 2 "$@"
}
hash_of() { build/rlvr info "$1" --json 2>/dev/null | grep -oE '"hash":"[0-9a-f]*"'; }
check() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1: \"$2\" is not \"$3\""; fi
}

start=$(date +%s%N)
train --out $dir/whole >$dir/whole.log 2>&1
took=$((($(date +%s%N) - start) / 1000000))
want=$(hash_of $dir/whole/model)
steps() { grep -oE '"step":[0-9]+' "$1/metrics.jsonl" | tr '\n' ' '; }

for i in 1 2 3 4 5 6 7 8 9 10; do
    run=$dir/run$i
    (exec_it=exec; train --out $run) >$dir/run$i.log 2>&1 &      # exec: what is killed is the program, not a shell around it
    pid=$!
    ms=$((RANDOM * 32768 + RANDOM))
    ms=$((ms % took))
    sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
    if kill -9 $pid 2>/dev/null; then kills=$((kills + 1)); fi
    wait $pid 2>/dev/null
    train --resume $run >>$dir/run$i.log 2>&1 || tail -n 3 $dir/run$i.log
    check "killed after $ms ms, resumed: the weights" "$(hash_of $run/model)" "$want"
    check "killed after $ms ms, resumed: the metrics log" "$(steps $run)" "$(steps $dir/whole)"
done
echo "    $kills of 10 runs of $took ms were killed before their end"

lora() { train --lora_rank 4 --kl_coef 0.01 --curriculum 0.5 "$@"; }
lora --out $dir/lora >$dir/lora.log 2>&1
for i in 1 2 3; do
    run=$dir/lora$i
    (exec_it=exec; lora --out $run) >$dir/lora$i.log 2>&1 &
    pid=$!
    ms=$((RANDOM % took))
    sleep $((ms / 1000)).$(printf %03d $((ms % 1000)))
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    train --resume $run >>$dir/lora$i.log 2>&1 || tail -n 3 $dir/lora$i.log
    check "LoRA, killed after $ms ms, resumed: the adapter" "$(sha256sum <$run/adapter/adapter_model.safetensors)" "$(sha256sum <$dir/lora/adapter/adapter_model.safetensors)"
done
[ -z "${KEEP:-}" ] && rm -rf $dir
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
