"""The tables of section 15.0 of rlvr.h (case folding, canonical decomposition, combining classes), from Python's unicodedata.

    python tests/text_tables.py                 prints the tables as C
    python tests/text_tables.py --check FILE    compares the tables in FILE (rlvr.h) with this Python's: what Unicode gave a code
                                                point once it keeps, so a newer Python may have rows more, never other ones

The tables of rlvr.h are those of Unicode 14. Covered: folding everywhere; decomposition and classes below U+10000 without the
CJK compatibility ideographs (U+F900..U+FAFF) and Hangul, which is computed.
"""
import re
import sys
import unicodedata


def fold(code):
    c = chr(code)
    folded = c.casefold()
    if len(folded) == 1:
        return ord(folded)
    lower = c.lower()
    return ord(lower) if len(lower) == 1 else code


def folds():
    runs = []
    for code in range(0x110000):
        to = code if 0xd800 <= code < 0xe000 else fold(code)
        if to == code:
            continue
        last = runs[-1] if runs else None
        step = code - last[1] if last else 0
        if last and last[3] - last[0] == to - code and step in (1, 2) and (last[1] == last[0] or last[2] == step):
            last[1], last[2] = code, step
        else:
            runs.append([code, code, 1, to])
    return runs


def decompositions():
    rows = []
    for code in range(0xc0, 0x10000):
        d = unicodedata.decomposition(chr(code))
        if d and not d.startswith("<") and not 0xf900 <= code < 0xfb00:
            parts = [int(x, 16) for x in d.split()]
            rows.append([code, parts[0], parts[1] if len(parts) > 1 else 0])
    return rows


def classes():
    rows = []
    for code in range(0x300, 0x10000):
        k = unicodedata.combining(chr(code))
        if k and rows and rows[-1][1] == code - 1 and rows[-1][2] == k:
            rows[-1][1] = code
        elif k:
            rows.append([code, code, k])
    return rows


def table(head, rows):
    lines, line = [head + " = {"], "   "
    for row in rows:
        item = " {" + ",".join(hex(x) if x > 9 else str(x) for x in row) + "},"
        if len(line) + len(item) > 128:
            lines.append(line)
            line = "   "
        line += item
    return "\n".join(lines + [line, "};"]) + "\n"


TABLES = [
    ("rlvr__fold_runs", "static const uint32_t rlvr__fold_runs[][4]", folds),
    ("rlvr__decompositions", "static const uint16_t rlvr__decompositions[][3]", decompositions),
    ("rlvr__mark_classes", "static const uint16_t rlvr__mark_classes[][3]", classes),
]


def expand(name, rows):
    out = {}
    for r in rows:
        if name == "rlvr__fold_runs":
            out.update({c: r[3] + c - r[0] for c in range(r[0], r[1] + 1, r[2])})
        elif name == "rlvr__mark_classes":
            out.update({c: r[2] for c in range(r[0], r[1] + 1)})
        else:
            out[r[0]] = (r[1], r[2])
    return out


def main():
    if sys.argv[1:2] != ["--check"]:
        print("\n".join(table(head, rows()) for _, head, rows in TABLES), end="")
        return
    text, failed = open(sys.argv[2], encoding="utf-8").read(), 0
    for name, _, rows in TABLES:
        body = re.search(name + r"\[\]\[\d\] = \{[^\n]*\n(.*?)\n\};", text, re.S)
        found = [[int(x, 0) for x in r.split(",")] for r in re.findall(r"\{([^{}]*)\}", body.group(1))] if body else []
        ours, theirs = expand(name, found), expand(name, rows())
        ok = bool(ours) and all(theirs.get(c) == v for c, v in ours.items())
        failed += not ok
        print(f"{name}: {len(found)} rows, {len(ours)} code points; this Python's Unicode {unicodedata.unidata_version} has "
              f"{len(theirs.keys() - ours.keys())} more" + ("" if ok else "; FAILED"))
    print(f"{len(TABLES) - failed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
