#!/usr/bin/env bash
# Speed beside the peers: ours and theirs in turn on this machine, medians; each line ends in `ratio R`, ours / theirs, above
# 1 is faster. ./build.sh bench compiles build/bench_* and calls it.
#   tests/bench_peers.sh [TABLE ...]        tables: gemm decode train grpo; without argument all
#   tests/bench_peers.sh setup              only installs and builds the peers that are missing, in the cache folder
#   tests/bench_peers.sh peer NAME [ARGUMENT ...]   one peer alone: llama BATCH | torch | trl; prints `peer NAME METRIC VALUE`
# ROUNDS=N sets the number of turns (default: 90 of gemm, 5 of decode, 3 of train, 1 of grpo), RLVR_THREADS the threads.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RLVR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rlvr}
model=${RLVR_MODEL:-$cache/SmolLM2-135M-Instruct.Q4_1.gguf}
threads=${RLVR_THREADS:-$(nproc)}
venv=$cache/venv-parity
f32=$cache/SmolLM2-135M-Instruct.f32.gguf
llama_version=0.3.36
llama=$cache/llama-$llama_version/llama-batched-bench
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=$threads

# ---- setup ----

need() {            # need PACKAGE COMMAND: installs a Debian package when the command fails
    sh -c "$2" >/dev/null 2>&1 && return
    echo "installing $1" >&2
    apt-get install -y -qq "$1" >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq "$1"; } >/dev/null
}

setup_venv() {      # the venv of ./build.sh parity
    local mark
    mark=$(sha256sum <"$here/requirements-parity.txt" | cut -d' ' -f1)
    [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$mark" ] || return 0
    echo "making $venv (large, once)" >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements-parity.txt"
    echo "$mark" >"$venv/requirements.sha256"
}

setup_llama() (     # llama.cpp as llama-cpp-python ships it, compiled for this CPU
    [ ! -x "$llama" ] || exit 0
    echo "building llama.cpp (minutes, once)" >&2
    work=$(mktemp -d "$cache/llama.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$venv/bin/pip" download -q --disable-pip-version-check --no-deps --no-binary :all: -d "$work" "llama-cpp-python==$llama_version"
    tar xzf "$work"/llama_cpp_python-*.tar.gz -C "$work" --strip-components=3 --wildcards '*/vendor/llama.cpp'
    mkdir -p "$(dirname "$llama")"
    { cmake -S "$work" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF &&
        cmake --build "$work/build" -j "$threads" --target llama-batched-bench; } >"$llama.log" 2>&1 ||
        { tail "$llama.log" >&2; exit 1; }
    mv "$work/build/bin/llama-batched-bench" "$llama"
)

setup_f32() {
    [ ! -f "$f32" ] || return 0
    "$venv/bin/python" "$here/smollm2.py" "$model" --f32 "$f32.part"
    mv "$f32.part" "$f32"
}

setup() {
    mkdir -p "$cache"
    need gcc 'gcc --version'
    need g++ 'g++ --version'
    need cmake 'cmake --version'
    need python3-venv 'python3 -c "import ensurepip"'
    need libopenblas0-pthread 'ldconfig -p | grep libopenblas.so.0'
    setup_venv
    setup_llama
    setup_f32
}

# ---- one measurement each: prints a number ----

peer_llama() {      # tok/s of decoding at batch $1: a prompt of 40 tokens, 64 new ones
    "$llama" -m "$f32" -c 8192 -b 2048 -ub 512 -npp 40 -ntg 64 -npl "$1" -t "$threads" -tb "$threads" --output-format jsonl 2>/dev/null |
        sed -n 's/.*"speed_tg": \([0-9.]*\),.*/peer llama.cpp decode_'"$1"' \1/p'
}
peer_torch() { "$venv/bin/python" "$here/bench_torch.py" --model "$model" "$@"; }
peer_trl() { "$venv/bin/python" "$here/bench_trl.py" --model "$model" "$@"; }
ours() { "$here/../build/bench_model" "$model" "$@"; }

value() { awk 'END { print $NF }'; }
median() { printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

versus() {          # versus TITLE UNIT ROUNDS PEER OURS THEIRS: commands as words; less is better when the unit is s
    local a=() b=() i
    for ((i = 0; i < ${ROUNDS:-$3}; i++)); do
        a+=("$($5 | value)")
        b+=("$($6 | value)")
    done
    awk -v title="$1" -v unit="$2" -v peer="$4" -v a="$(median "${a[@]}")" -v b="$(median "${b[@]}")" 'BEGIN {
        ratio = unit == "s" ? (a > 0 ? b / a : 0) : (b > 0 ? a / b : 0)
        printf "%-34s ours %8.2f %-5s  %s %8.2f %-5s  ratio %.2f\n", title, a, unit, peer, b, unit, ratio }'
}

table_gemm() { "$here/../build/bench_gemm" "$threads" "${ROUNDS:-90}"; }
table_decode() {
    local batch
    for batch in 1 8 32 64; do
        versus "decode f32, batch $batch" tok/s 5 llama.cpp "ours decode $batch" "peer_llama $batch"
    done
}
table_train() { versus "train f32, 64 x 64 tokens" tok/s 3 PyTorch "ours train" peer_torch; }
table_grpo() { versus "GRPO step, 8 x 8 rollouts" s 1 TRL "ours grpo" peer_trl; }

case ${1:-} in
setup) setup ;;
peer) setup; "peer_$2" "${@:3}" ;;
*)
    [ $# -gt 0 ] || set -- gemm decode train grpo
    for table; do
        declare -F "table_$table" >/dev/null || { sed -n '4,7s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
    done
    setup
    for table; do "table_$table"; done ;;
esac
