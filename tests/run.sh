# ./build.sh test: sourced by build.sh, whose functions it uses. Every part of it is a job: a command whose output goes to
# build/log/NAME.log and whose last line, "N passed, N failed", is added up. Jobs run JOBS at once and are reported in order.

names=() passed=0 failed=0 failures=()

job() {             # job NAME COMMAND...
    names+=("$1")
    spawn run_job "$@"
}

run_job() {
    local name=$1 start=$SECONDS code=0
    shift
    "$@" >"build/log/$name.log" 2>&1 || code=$?
    echo "$code $((SECONDS - start))" >"build/log/$name.code"
}

report() {          # report TITLE: waits for the jobs begun since the last report
    local name code seconds last log
    join
    echo "== $1"
    for name in "${names[@]}"; do
        log=build/log/$name.log
        read -r code seconds <"build/log/$name.code"
        last=$(tail -n 1 "$log")
        if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
            passed=$((passed + BASH_REMATCH[1]))
            failed=$((failed + BASH_REMATCH[2]))
            [ "$code" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || { failed=$((failed + 1)); last="$last, but exit status $code"; }
        else
            failed=$((failed + 1))
            last="FAILED: exit status $code before its end"
        fi
        [[ $last =~ ,\ 0\ failed$ ]] && grep -E '^ +(skipped|[^ ].*)' "$log" | head -n 30 || tail -n 60 "$log"
        printf '%-34s %s (%s s)\n' "$name" "$last" "$seconds"
        [[ $last =~ ,\ 0\ failed$ ]] || failures+=("$name: $last" "$(grep -m 10 -A 2 FAILED "$log" || tail -n 20 "$log")")
    done
    names=()
}

one() {             # one COMMAND...: a command that passes or fails as a whole
    if "$@"; then echo "1 passed, 0 failed"; else echo "0 passed, 1 failed"; return 1; fi
}

# ---- the header ----

header_compiles() { # header_compiles COMPILER FLAGS... : the implementation, without a warning
    "$@" -Wall -Wextra -Wpedantic -Werror -I. -Ibuild/include -c -o /dev/null tests/header/implementation.c
}

header_links() {    # header_links CC CXX : two files, C and C++, one implementation
    local dir=build/test/header
    mkdir -p $dir
    "$1" $WARNINGS -std=gnu11 -O1 -I. -Ibuild/include -c -o $dir/implementation.o tests/header/implementation.c &&
        "$1" $WARNINGS -std=c99 -I. -c -o $dir/user.o tests/header/user.c &&
        "$2" $WARNINGS -std=c++17 -I. -x c++ -c -o $dir/main.o tests/header/main.cpp &&
        "$2" -o $dir/program $dir/main.o $dir/user.o $dir/implementation.o $LIBS && $dir/program
}

header_declares() { # the declarations alone need neither stb nor CUDA nor POSIX
    local found
    found=$("$CC" -std=c99 -I. -H -fsyntax-only tests/header/user.c 2>&1 | grep -E 'stb|cuda|pthread|unistd|windows' || true)
    [ -z "$found" ] || { echo "$found"; return 1; }
}

others_compile() {  # benches and fuzzers, which no test runs, still fit the header; so do the examples, each by itself
    local source header package library
    for source in tests/bench_*.c tests/fuzz_*.c examples/[0-9]*.c; do
        read -r header package library < <(example_needs "$(basename "$source" .c)") && ! header_there "$header" && continue
        "$CC" $FLAGS -DRLVR_NO_SIMD -fsyntax-only "$source" || return 1
    done
}

test_header() {
    local std level
    for std in gnu99 gnu11; do
        job "header-gcc-$std" one header_compiles gcc -std=$std -O2
        ! have clang || job "header-clang-$std" one header_compiles clang -std=$std -O2
    done
    ! have g++ || job header-g++ one header_compiles g++ -x c++ -std=c++17 -O2
    ! have clang++ || job header-clang++ one header_compiles clang++ -x c++ -std=c++17 -O2
    for level in 0 3; do job header-gcc-O$level one header_compiles gcc -std=gnu11 -O$level; done
    ! have aarch64-linux-gnu-gcc || job header-aarch64 one header_compiles aarch64-linux-gnu-gcc -std=gnu11 -O2
    ! have x86_64-w64-mingw32-gcc || job header-mingw one header_compiles x86_64-w64-mingw32-gcc -std=gnu11 -O2
    job header-declares one header_declares
    job benches-fuzzers-examples one others_compile
    ! have g++ || job header-links-gcc one header_links gcc g++
    report "the header: C, C++, other targets, two files of one program"
}

# ---- tests/test_*.c, plain and under sanitizers ----
#
# The header is compiled once for each kind, build/test/library*.o, and the tests, which see its private functions declared alone,
# are linked to it (tests/private.awk). A test that compiles the header in a way of its own, with another RLVR_... defined or
# work.h, holds all of it.

PLAIN=-O1 ASAN="-O0 -g -fsanitize=address,undefined -fno-sanitize-recover=all" TSAN="-O1 -g -fsanitize=thread"

shared() { ! grep -E '#define RLVR_|#include "work.h"' "$1" | grep -qv RLVR_IMPLEMENTATION; }

library() {         # library SUFFIX FLAGS... : build/test/librarySUFFIX.o
    local target=build/test/library$1.o
    shift
    stale $target build/test/whole/rlvr.h || return 0
    compile $target build/library.c "$@" -std=gnu11 $WARNINGS -Ibuild/test/whole -Ibuild/include -c || { cat $target.log; return 1; }
}

test_library() {
    mkdir -p build/test/private build/test/whole
    if stale build/test/whole/rlvr.h rlvr.h tests/private.awk; then
        awk -f tests/private.awk -v part=declarations rlvr.h >build/test/private/rlvr.h
        awk -f tests/private.awk -v part=library rlvr.h >build/test/whole/rlvr.h
    fi
    job library one library "" $PLAIN
    job library.asan one library .asan $ASAN
    job library.tsan one library .tsan $TSAN
    report "the library for the tests, compiled once of each kind"
}

c_test() {          # c_test NAME SUFFIX FLAGS... : compiles build/test/NAMESUFFIX from its source and runs it
    local source=tests/$1.c target=build/test/$1$2 library= with=
    if shared "$source"; then
        library=build/test/library$2.o
        with="-DRLVR_NO_STB_DS_IMPLEMENTATION -Ibuild/test/private $library"
    fi
    shift 2
    if stale "$target" rlvr.h tests/test.h tests/work.h "$source" $library; then
        compile "$target" "$source" "$@" -std=gnu11 $WARNINGS $with -I. -Ibuild/include $LIBS || { cat "$target.log"; return 1; }
    fi
    timeout 900 $NO_ASLR "$target"
}

test_c() {          # test_c TITLE SUFFIX PATTERN FLAGS...: the test files that hold PATTERN
    local title=$1 suffix=$2 pattern=$3 source name optimise
    shift 3
    for source in $(grep -lE "$pattern" tests/test_*.c); do
        [[ $source == *"$filter"* ]] || continue
        [ "$suffix" != .tsan ] || ! grep -q 'Not under ThreadSanitizer' "$source" || continue
        optimise=     # what is not about kernels compiles five times as fast without
        ! grep -q 'define RLVR_NO_SIMD' "$source" || optimise=-O0
        ! grep -q '#include "work.h"' "$source" || optimise="$optimise -fsanitize-coverage=trace-pc"
        name=$(basename "$source" .c)
        job "$name$suffix" c_test "$name" "$suffix" "$@" $optimise
    done
    report "$title"
}

test_examples() { run_examples; [ "$examples_failed" = 0 ]; }

test_main() {
    local filter=${1:-} source NO_ASLR=
    compiler
    local missing=()
    have clang || missing+=(clang libclang-rt-dev)
    have g++ || missing+=(g++)
    have aarch64-linux-gnu-gcc || missing+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
    have x86_64-w64-mingw32-gcc || missing+=(gcc-mingw-w64-x86-64-posix)
    missing+=($(example_packages))
    have lua5.4 || missing+=(lua5.4)
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}" || say "going on without: what needs them is left out"
    mode_build
    if model; then export RLVR_MODEL=$MODEL; else say "going on without the model: what needs it is left out"; fi

    [ -n "$filter" ] || test_header
    test_library
    test_c "tests" "" . $PLAIN
    export RLVR_TEST_QUICK=1 ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
    test_c "tests under AddressSanitizer and UBSan" .asan . $ASAN
    ! have setarch || NO_ASLR="setarch -R"      # ThreadSanitizer of gcc 12 cannot place its shadow on every random layout
    test_c "threaded tests under ThreadSanitizer" .tsan 'n_threads = [a-z2-9]' $TSAN
    NO_ASLR=
    unset RLVR_TEST_QUICK
    for source in tests/test_*.sh; do
        [[ $source == *"$filter"* ]] || continue
        job "$(basename "$source" .sh)" timeout 1200 bash "$source"
    done
    [ -n "$filter" ] || job examples one test_examples
    report "the command line, kill and resume, the examples"
    [ "$failed" = 0 ] || printf '%s\n' "== what failed" "${failures[@]}"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
