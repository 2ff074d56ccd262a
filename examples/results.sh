#!/usr/bin/env bash
# The main job and its controls, three seeds of each: examples/results/main_job.md, largest.svg and times.svg. What a run came to
# lies in examples/results/main_job/TASK-REWARD-SEED.json, its curve beside it in .jsonl; a run that has them is not made again.
# Then the three-stage recipe: recipe.md. Two to three hours on 2 cores: the steps alone of the first 11 of 19 runs took 71 minutes.
# ./build.sh results calls it, with the model's path in MODEL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
to=examples/results
runs=$to/main_job
mkdir -p $runs build/results

arms() { printf '%s\n' {largest,times}\ number\ {1,2,3} "largest composed 1" {largest,times}\ {form,random}\ {1,2,3}; }      # TASK REWARD SEED

curve() {           # curve METRICS: of each step what the table and the charts need
    awk '{ line = ""
           while (match($0, /"(step|reward|entropy|num_groups_sampled|reward_errors|step_time|rewards\/[a-z]+\/mean|completions\/mean_length)":[-+0-9.e]+/)) {
               line = line (line == "" ? "{" : ",") substr($0, RSTART, RLENGTH)
               $0 = substr($0, RSTART + RLENGTH)
           }
           print line "}" }' "$1"
}

arms | while read -r task reward seed; do
    name=$task-$reward-$seed run=build/results/$task-$reward-$seed
    [ ! -f "$runs/$name.json" ] || continue
    before=0            # it is the same for every run of a task: the table takes it from the first
    [ "$reward-$seed" != number-1 ] || before=1
    echo "$name"
    build/02_largest ${task/largest/} --model "$MODEL" --reward "$reward" --seed "$seed" --before $before --out "$run" >"$run.log"
    curve "$run/metrics.jsonl" >$runs/$name.jsonl
    cp "$run/result.json" $runs/$name.json
done

field() {           # field FILE WHEN NAME: one number of result.json
    sed -E "s/.*\"$2\":\{([^}]*)\}.*/\1/; s/.*\"$3\":([-0-9.e]+).*/\1/" "$1"
}
percent() { awk -v x="$1" 'BEGIN { printf "%.1f", 100 * x }'; }
cell() {            # cell FILE WHEN NAME: percent, with its interval
    printf '%s [%s, %s]' "$(percent "$(field "$1" "$2" "$3")")" "$(percent "$(field "$1" "$2" "$3_low")")" "$(percent "$(field "$1" "$2" "$3_high")")"
}

composed() {        # what its two rewards came to, and how many verdicts failed
    awk 'function of(name,  at) { at = index($0, "\"" name "\":") + length(name) + 3; return substr($0, at) + 0 }
        { errors += of("reward_errors"); rollouts += 8 * of("num_groups_sampled"); number = of("rewards/number/mean"); form = of("rewards/form/mean")
          if (NR == 1) printf "\n`composed` has two rewards, the second by a verifier that fails one time in twenty. At the first step number %.3f, form %.3f; ", number, form }
        END { printf "at the last number %.3f, form %.3f. %d of %d rollouts had a verdict that failed: they had no part in their groups.\n", number, form, errors, rollouts }' \
        $runs/largest-composed-1.jsonl
}

{
    cat <<TEXT
# The main job, three seeds, beside two controls

\`./build.sh results\` writes this file. Each row is \`./build.sh main [times] --reward R --seed N\`: SmolLM2-135M-Instruct (Q4_1,
dequantised to f32), GRPO, 50 steps of 16 prompts x 8 rollouts, temperature 1, 20 new tokens, lr 2e-5 constant, entropy_coef 0.01,
no KL; where fewer than 8 groups of a step have signal, the others give their places to new prompts once. Accuracy in percent
at the final step, on held-out tasks that no step asked (a quarter of all, split by a hash), with 95 % bootstrap intervals over
prompts. \`number\` is the verifier; \`form\` pays for "digits, then the end", right or wrong; \`random\` is a coin; \`composed\` is
number and a fifth of form.
$(build/rlvr info "$MODEL" | head -n 1 | sed "s/^machine *rlvr [0-9.]* */Machine: /"), $(date +%Y-%m-%d). Results do not depend on the number of threads.

| task | reward | seed | sampled | greedy | pass@16 | length |
|---|---|---|---|---|---|---|
TEXT
    for task in largest times; do
        file=$runs/$task-number-1.json
        printf '| %s | (before) | | %s | %s | %s | %s |\n' $task "$(cell "$file" before pass@1)" "$(cell "$file" before greedy)" \
            "$(percent "$(field "$file" before pass@16)")" "$(field "$file" before mean_length)"
        arms | grep "^$task" | while read -r _ reward seed; do
            file=$runs/$task-$reward-$seed.json
            printf '| %s | %s | %d | %s | %s | %s | %s |\n' $task "$reward" "$seed" "$(cell "$file" after pass@1)" \
                "$(cell "$file" after greedy)" "$(percent "$(field "$file" after pass@16)")" "$(field "$file" after mean_length)"
        done
    done
    cat <<'TEXT'

![largest of five](largest.svg)

![times tables](times.svg)

Each curve is the reward that the arm itself was paid; only that of `number` is an accuracy (on fresh prompts).
TEXT
    composed
} >$to/main_job.md

for task in largest times; do
    curves=()
    for reward in number form random; do
        for seed in 1 2 3; do curves+=("$reward $seed=$runs/$task-$reward-$seed.jsonl"); done
    done
    build/rlvr plot --out $to/$task.svg --title "$task: reward of each arm" --field reward "${curves[@]}"
done
build/08_recipe --seeds 3 --out build/results/recipe --report $to/recipe.md
echo "written: $to/main_job.md, $to/recipe.md"
