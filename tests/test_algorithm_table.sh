#!/usr/bin/env bash
# README's table of algorithms, made from tests/data/algorithms.tsv: "write" puts it there; without argument it is checked that it
# stands there, that no cell is empty, and that every test it names is defined and called; and the example beside it against rlvr.h.
cd "$(dirname "$0")/.."
source_file=tests/data/algorithms.tsv
passed=0 failed=0

check() {           # check WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}

known() { case $1 in yes | -) ;; *) false ;; esac; }

table() {
    awk -F '\t' '
        /^#/ { next }
        !head++ { print "| algorithm | TRL | verl | OpenRLHF | open-instruct | rlvr.h | proved by |\n|---|---|---|---|---|---|---|" }
        { none = $7 ~ /^no: /
          print "| " $1 " | " $2 " | " $3 " | " $4 " | " $5 " | " (none ? "no" : $6) " | " (none ? substr($7, 5) : $7) " |" }
        END { print "\nTRL 1.16.0, verl 0.9.1, OpenRLHF 0.11.2: yes, found in the package or what its documentation lists; -, not found there." \
                    "\nopen-instruct: its `docs/algorithms`." }
    ' $source_file
}

written() { awk '/^<!-- algorithms: end -->/ { inside = 0 } inside { print } /^<!-- algorithms: begin -->/ { inside = 1 }' README.md; }

if [ "${1:-}" = write ]; then
    table >build/algorithms.md || exit 1
    awk '/^<!-- algorithms: end -->/ { inside = 0 }
         !inside { print }
         /^<!-- algorithms: begin -->/ { inside = 1; while ((getline line < "build/algorithms.md") > 0) print line }' README.md >build/README.md &&
        cat build/README.md >README.md
    exit
fi

check "README has the table of $source_file; tests/test_algorithm_table.sh write puts it there" [ "$(table)" = "$(written)" ]
while IFS= read -r line; do
    [[ $line != \#* ]] || continue
    IFS=$'\t' read -r name trl verl openrlhf open_instruct ours proof <<<"${line//$'\t\t'/$'\t'-$'\t'}"
    for cell in "$trl" "$verl" "$openrlhf" "$open_instruct"; do check "$name: \"$cell\" is none of yes, - and ?" known "$cell"; done
    if [[ $proof = no:\ * ]]; then check "$name: a reason" [ ${#proof} -gt 20 ]; continue; fi
    file=tests/${proof%%:*} function=${proof##*: }
    check "$name: what makes it" [ -n "$ours" ]
    check "$name: $proof is no test" grep -q "^static void $function(" "$file"
    check "$name: $file never calls $function" grep -qE "^ +.*\b$function\(" "$file"
done <$source_file

# what README shows of adding an estimator is what stands in rlvr.h
shown=0
while IFS= read -r line; do
    shown=$((shown + 1))
    check "README shows a line that is not in rlvr.h: $line" grep -qF -- "$line" rlvr.h
done < <(awk '/^```$/ { code = 0 } code { print } /^\*\*Adding an estimator/ { here = 1 } here && /^```c$/ { code = 1 } /the two agree/ { exit }' README.md)
check "README shows an estimator" [ $shown -gt 5 ]
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
