# Kill -9 at ten random moments of a run, resume each time: the weights end as those of the unbroken run, bit for bit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
RLVR=build/rlvr
DIR=build/test/resume
rm -rf $DIR
mkdir -p $DIR
passed=0 failed=0
check() { if "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $1"; fi; }

# a model of nothing: the scratch example's, read for a moment
build/03_scratch --read 5 --steps 1 --out $DIR/scratch >/dev/null
MODEL=$DIR/scratch/model
TASKS=$DIR/tasks.jsonl
for a in 1 2 3 4 5 6 7 8 9; do echo "{\"prompt\":\"$a + 3 = \",\"raw\":true,\"answer\":\"$((a + 3))\"}"; done >$TASKS
ARGS="--tasks $TASKS --reward number --steps 30 --max_tokens 8 --lr 1e-3 --kl_coef 0.01 --epochs 2 --seed 3"
hash_of() { $RLVR info "$1" --json | grep -o '"hash": *"[^"]*"'; }

$RLVR train --model $MODEL $ARGS --out $DIR/whole --save_every 0 >/dev/null 2>&1
want=$(hash_of $DIR/whole/model)
check "the unbroken run has a hash" [ -n "$want" ]
check "and has learned something" [ "$want" != "$(hash_of $MODEL)" ]

# the broken run saves after every step; each life lasts a random fraction of a second
RANDOM=7
$RLVR train --model $MODEL $ARGS --out $DIR/broken --save_every 1 >/dev/null 2>&1 &
for kill in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.$((RANDOM % 60 + 10))
    kill -9 $! 2>/dev/null || true
    wait $! 2>/dev/null || true
    if [ -e $DIR/broken/checkpoint ]; then $RLVR train --resume $DIR/broken >/dev/null 2>&1 &
    else $RLVR train --model $MODEL $ARGS --out $DIR/broken --save_every 1 >/dev/null 2>&1 &
    fi
done
wait $! || true
check "killed ten times: the same weights" [ "$(hash_of $DIR/broken/model)" = "$want" ]
steps() { sed 's/.*"step":\([0-9]*\).*/\1/' "$1/metrics.jsonl" | tr '\n' ' '; }
check "every step is logged once" [ "$(steps $DIR/broken)" = "$(seq -s ' ' 1 30) " ]
losses() { sed 's/.*"loss":\([^,]*\).*/\1/' "$1/metrics.jsonl"; }
check "with the same losses" [ "$(losses $DIR/broken)" = "$(losses $DIR/whole)" ]
echo "$passed passed, $failed failed"
[ $failed = 0 ]
