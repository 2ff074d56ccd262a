"""A small tokenizer with added tokens of every kind, and what the tokenizers library makes of hostile texts with it.

    python tests/tokenizer_small.py          writes tests/data/tokenizer_small.json and tokenizer_small.jsonl
    python tests/tokenizer_small.py --check  encodes the texts anew and compares

A line of the .jsonl is {"text", "ids", "plain" (special tokens as plain text), "gpt2" (without Digits), "whole" (without Digits
and the regular expression)}; the last three are left out where they equal ids.
Needs: pip install tokenizers==0.23.3
"""
import argparse
import json
import os
import random
import sys

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
TEXT = """The answer is 42. It's what they've said: we'll add 17 and 25, don't you think? I'm sure he'd agree, they're right.
    A train leaves at 10:30 and arrives at 12:45; how long does it take? New York, 1999. for (int i = 0; i < n; i++) sum += a[i];
Größe, naïve café, señor, Ελλάδα, Привет, как дела, 日本語の文章, 한국어, שלום עולם, مرحبا, हिन्दी, ไทย 🙂👍🏽 ½ ② Ⅷ ٣٤
There there then the other their them these those; is it his this thing thinking. 100 200 300, 1,000,000 and 3.14159!!! ??? ...
"""
ADDED = [   # content, special, normalized
    ("<|end|>", True, False), ("<|im_start|>", True, False), ("<|im_end|>", True, False), ("<|late|>", True, True), ("é!", True, False),
    ("<tool>", False, False), ("<tool>x", False, False), ("im_end", False, False), ("new york", False, True), ("york<tool>", False, True),
    ("12", False, False), ("  ", False, True), ("🙂👍", False, False),
]
PARTS = [
    " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "a", "the ", " the", "answer", "'s", "'re", "'LL", "it's", "1", "12", "123", "x1y",
    "½", "٣", "Ⅷ", "\U00011de0", "\U00016ff4", "é", "e\u0301", "é!", "日本", "한", "שלום", "🙂", "🙂👍", "👍🏽", "\U000e0001", "\U0010ffff", "\u0000",
    "\u0004", "\ufeff", "<", "<|", "|>", "<|end|>", "<|im_start|>", "<|im_end|>", "<|im_end", "im_end", "<|late|>", "<tool>", "<tool>x",
    "<tool", "new york", "york<tool>", "new ", "york", "!", "?!", "...", "_", "-", "#", "\\", '"', "for (int i", "thethethethethethe" * 3,
]


def train():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, show_progress=False))
    for content, special, normalized in ADDED:
        token = AddedToken(content, normalized=normalized, special=special)
        (tok.add_special_tokens if special else tok.add_tokens)([token])
    j = json.loads(tok.to_str())
    j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]      # the older way to write them
    return json.dumps(j, ensure_ascii=False, indent=1) + "\n"


def texts(n=400):
    rng = random.Random(7)
    out = [""] + PARTS
    while len(out) < n:
        out.append("".join(rng.choice(PARTS) for _ in range(rng.randrange(2, 9))))
    return out


def encode(text, what):
    """The library's tokenizer, changed in one thing."""
    j = json.loads(what["json"])
    level = j["pre_tokenizer"]["pretokenizers"][1]
    if what.get("gpt2") or what.get("whole"):
        j["pre_tokenizer"] = dict(level, use_regex=not what.get("whole"))
    tok = Tokenizer.from_str(json.dumps(j))
    tok.encode_special_tokens = bool(what.get("plain"))
    return [tok.encode(t, add_special_tokens=False).ids for t in text]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    paths = [os.path.join(DATA, "tokenizer_small" + e) for e in (".json", ".jsonl")]
    if args.check:
        old = [open(p, encoding="utf-8").read() for p in paths]
        text, source = [json.loads(line)["text"] for line in old[1].splitlines()], old[0]
    else:
        text, source = texts(), train()
    ids = encode(text, {"json": source})
    others = {name: encode(text, {"json": source, name: True}) for name in ("plain", "gpt2", "whole")}
    lines = []
    for i, t in enumerate(text):
        line = {"text": t, "ids": ids[i]}
        line.update({name: other[i] for name, other in others.items() if other[i] != ids[i]})
        lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    new = [source, "".join(lines)]
    if args.check:
        print("1 passed, 0 failed" if new == old else "0 passed, 1 failed")
        sys.exit(new != old)
    for path, content in zip(paths, new):
        with open(path, "w", encoding="utf-8") as f:
            f.write(content)


if __name__ == "__main__":
    main()
