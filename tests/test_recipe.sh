#!/usr/bin/env bash
# Example 08's three stages, killed with -9 in each of them and resumed with another number of threads: every stage's final
# weights and log are those of the run that nobody killed.
cd "$(dirname "$0")/.."
passed=0 failed=0
dir=build/test/recipe_kill
rm -rf $dir; mkdir -p $dir
stages="read rlvr polish alone"

check() {
    if [ "$2" = "$3" ] && [ -n "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1: \"$2\" is not \"$3\""; fi
}
hashes() { local s; for s in $stages; do sha256sum <"$1/seed-0/$s/model/model.safetensors"; done; }
steps() { local s; for s in $stages; do echo "$s"; grep -oE '"step":[0-9]+' "$1/seed-0/$s/metrics.jsonl"; done; }
lines() { cat "$1" 2>/dev/null | wc -l; }

build/08_recipe --quick --threads 2 --out $dir/whole >$dir/whole.log 2>&1
want=$(hashes $dir/whole)
table=$(grep '^| ' $dir/whole.log)
check "the four stages leave four different models" "$(sort -u <<<"$want" | wc -l)" 4
check "the table has a row of each stage" "$(wc -l <<<"$table")" 5

for stage in $stages; do
    run=$dir/$stage
    seen=2; [ $stage != read ] || seen=4      # steps that are in the log: a checkpoint stands before the last of them
    build/08_recipe --quick --threads 2 --out $run >$run.log 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null && [ "$(lines $run/seed-0/$stage/metrics.jsonl)" -lt $seen ]; do sleep 0.02; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    check "killed in stage $stage: before the end" "$([ "$(lines $run/seed-0/alone/metrics.jsonl)" -lt 3 ] && echo yes)" yes
    build/08_recipe --quick --threads 1 --out $run --resume >>$run.log 2>&1 || tail -n 3 $run.log
    check "killed in stage $stage: it went on from there" "$(grep -cE "^$stage +resumed after step [1-9]" $run.log)" 1
    check "killed in stage $stage, resumed: the weights" "$(hashes $run)" "$want"
    check "killed in stage $stage, resumed: the logs" "$(steps $run)" "$(steps $dir/whole)"
    check "killed in stage $stage, resumed: the table" "$(grep '^| ' $run.log)" "$table"
done
[ -z "${KEEP:-}" ] && rm -rf $dir
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
