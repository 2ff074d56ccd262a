# Splits rlvr.h in two, so that the tests compile it once instead of each for itself, and still reach its private functions:
#   awk -f tests/private.awk -v part=library rlvr.h         the whole header, its functions not static
#   awk -f tests/private.awk -v part=declarations rlvr.h    every function without its body, to be linked with the first
# It goes by the header's layout: a function's name begins at the left margin, its body lies between a { and a } at the left margin,
# or on the line of its name. What is `static inline` or RLVR__INLINE is in both, as are types, tables and macros.

function flush() { if (held != "") print held; held = "" }
function global(text) {
    if (text ~ /^(RLVR__[A-Z_]+(\([^)]*\))? )?static /) sub(/static /, "", text)
    sub(/^RLVR__FN /, "RLVR__UNUSED RLVR__TARGET ", text)
    return text
}
function is_function(text) { return text ~ /^[A-Za-z_][^={;]*\(/ && text !~ /^(static inline|RLVR__INLINE|typedef|extern) / }

/^#if defined\(RLVR_IMPLEMENTATION\)/ { inside = 1 }
!inside { print; next }

skipping { if ($0 == "}") skipping = 0; next }

$0 == "{" && is_function(held) {
    held = global(held)
    if (part == "declarations") { print held ";"; held = ""; skipping = 1; n++; next }
    flush()
    print
    next
}

/^[A-Za-z_]/ { flush(); held = $0 }
!/^[A-Za-z_]/ { if (held == "" || !/^[ \t]/) { flush(); print; next } held = held "\n" $0 }

held ~ /;( *\/\*.*\*\/)?$/ {          # a prototype, or no function
    if (is_function(held)) held = global(held)
    flush()
}
held ~ /\{.*\}( *\/\*.*\*\/)?$/ && is_function(held) {         # a function on one line
    held = global(held)
    if (part == "declarations") { sub(/ *\{.*/, ";", held); n++ }
    flush()
}
held ~ /\{$/ { flush() }

END { flush(); if (part == "declarations" && n < 1000) { print "#error " n " functions found: the layout is another" } }
