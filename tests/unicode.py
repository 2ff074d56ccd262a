"""The tables of Unicode's letters and numbers in rlvr.h, measured in the tokenizers library code point by code point.

    python tests/unicode.py                 prints the tables as C
    python tests/unicode.py --check FILE    compares the tables in FILE (rlvr.h) and the rules beside them with the library

What a tokenizer does depends on the Unicode version of its library, and two are at work in tokenizers 0.23.3: the ByteLevel
regular expression (Oniguruma) knows Unicode 16, Digits (Rust's char::is_numeric) Unicode 17. A code point is a letter if
"a" and it are one word, a number if "1" and it are one, other if "!" and it are one, and white space if none holds.
Needs: pip install tokenizers==0.23.3
"""
import argparse
import re
import sys
import unicodedata

import tokenizers
from tokenizers import pre_tokenizers

SPACE = [(9, 13), (32, 32), (0x85, 0x85), (0xa0, 0xa0), (0x1680, 0x1680), (0x2000, 0x200a), (0x2028, 0x2029), (0x202f, 0x202f),
         (0x205f, 0x205f), (0x3000, 0x3000)]     # written out in rlvr__class_of()
DIGITS_ONLY = [(0x11de0, 0x11de9), (0x16ff4, 0x16ff6)]     # there too: numbers to Digits, other to the regular expression


def ranges(codes):
    out = []
    for c in sorted(codes):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return [tuple(r) for r in out]


def measure():
    """The sets of letters, numbers, white space (to the regular expression) and of what Digits isolates."""
    regex = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = lambda p, s: len(p.pre_tokenize_str(s))
    letter, number, space, isolated = set(), set(), set(), set()
    for code in range(0x110000):
        if 0xd800 <= code < 0xe000:
            continue
        c = chr(code)
        if words(regex, "a" + c) == 1:
            letter.add(code)
        elif words(regex, "1" + c) == 1:
            number.add(code)
        elif words(regex, "!" + c) != 1:
            space.add(code)
        if words(digits, "a" + c) == 2:
            isolated.add(code)
    return letter, number, space, isolated


def table(name, comment, pairs):
    lines, line = [f"static const uint32_t {name}[][2] = {{      /* {comment} */"], "   "
    for low, high in pairs:
        item = f" {{{low:#x},{high:#x}}},"
        if len(line) + len(item) > 124:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join(lines + [line, "};"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="FILE")
    args = parser.parse_args()
    letter, number, space, isolated = measure()
    letters = table("rlvr__unicode_letter", r"\p{L}", ranges(letter))
    numbers = table("rlvr__unicode_number", r"what Digits isolates: \p{N} and thirteen numbers more", ranges(isolated))
    if not args.check:
        print(letters + numbers, end="")
        return
    with open(args.check, encoding="utf-8") as f:
        text = f.read()
    by_python = {c for c in range(0x110000) if unicodedata.category(chr(c))[0] == "L"}
    checks = [
        (letters in text, "letters"), (numbers in text, "numbers"), (ranges(space) == SPACE, "white space"),
        (ranges(isolated - number) == DIGITS_ONLY and number <= isolated, "numbers of Digits alone"),
        (all(re.search(f"c == {a:#x}\\b|c >= {a:#x} && c <= {b:#x}", text) for a, b in SPACE[2:] + DIGITS_ONLY if b - a != 1),
         "rules of rlvr__class_of()"),
    ]
    print(f"tokenizers {tokenizers.__version__}: {len(letter)} letters, {len(number)} numbers, {len(isolated)} of Digits, "
          f"{len(space)} white space; Python's Unicode {unicodedata.unidata_version} has {len(by_python - letter)} letters more, "
          f"{len(letter - by_python)} less")
    for ok, what in checks:
        if not ok:
            print(f"FAILED: {what} differ from {args.check}")
    failed = sum(not ok for ok, _ in checks)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
