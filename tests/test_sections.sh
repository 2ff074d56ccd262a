#!/usr/bin/env bash
# No section of rlvr.h is longer than 900 lines: who looks for something reads one sitting, not a book. A section begins at its banner.
# test_sections.sh [all]: prints those that are too long, or all, longest first.
cd "$(dirname "$0")/.."
awk -v all="${1:-}" '
    /^   [0-9]+[a-z]?(\.[0-9]+[a-z]?)?\.? .*>>[a-z-]+$/ && banner { if (name) print NR - start, name; start = NR; name = $0 }
    { banner = /^(\/\* | +)=+$/ }
    END { print NR - start, name }' rlvr.h | sort -rn | awk -v all="${1:-}" '{ long = $1 > 900; failed += long; passed += !long; if (long || all) print "    " $0 }
    END { printf "%d passed, %d failed\n", passed, failed; exit failed > 0 }'
