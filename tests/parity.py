"""The outside truth: what torch and transformers compute, held against the fixtures in tests/data and against rlvr.h.

    python tests/parity.py                    re-derive every fixture and compare; then the same for rlvr.h (compiled here,
                                              called through ctypes), a folder it saves, and build/rlvr if it is there
    python tests/parity.py --fixtures         the fixtures alone
    python tests/parity.py --write [NAME ...] write the fixtures instead (tiny, logits, greedy, tokenizer)
    python tests/parity.py --saved DIR        only this: transformers loads a folder that rlvr.h saved from the unchanged
                                              model, and gives the same greedy text

The model's path is --model, else $RLVR_MODEL, else the cache folder; GSM8K's is --gsm8k, else $RLVR_GSM8K.
"""
import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

import gguf
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging

import smollm2

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
DATA = os.path.join(HERE, "data")
CACHE = os.environ.get("RLVR_CACHE") or (os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) + "/rlvr"
passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok    ' if ok else 'FAILED'} {what}", flush=True)


def check_close(got, want, tolerance, what, relative=False):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return check(False, f"{what}: shape {got.shape}, expected {want.shape}")
    delta = np.abs(got - want).max(initial=0) / (np.abs(want).max(initial=1e-30) if relative else 1)
    check(delta <= tolerance, f"{what}: max {'relative ' if relative else ''}difference {delta:.2e} <= {tolerance:g}")


def fixture(path, tensors, write, tolerance):
    """Writes tensors to tests/data/path, or compares them: floats within tolerance of the tensor's largest value."""
    file = os.path.join(DATA, path)
    if write:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, file)
        return print(f"wrote  {path}: {os.path.getsize(file)} bytes")
    want = load_file(file)
    check(want.keys() == tensors.keys(), f"{path}: {len(want)} tensors")
    exact = [k for k, v in want.items() if v.dtype.kind != "f"]
    check(all(np.array_equal(tensors[k], want[k]) for k in exact), f"{path}: {len(exact)} integer tensors equal")
    delta = {k: np.abs(tensors[k] - v).max() / max(np.abs(v).max(), 1e-30) for k, v in want.items() if v.dtype.kind == "f"}
    worst = max(delta, key=delta.get) if delta else None
    if worst:
        check(delta[worst] <= tolerance, f"{path}: max relative difference {delta[worst]:.1e} ({worst}) <= {tolerance:g}")


def logprobs(z, tokens):
    """Of each token but the first, given the logits after every token."""
    return torch.log_softmax(z[:-1], -1).gather(1, torch.as_tensor(tokens)[1:, None])[:, 0]


# ---- tiny random models: logits, gradients, ten AdamW steps ----

TINY = {   # name: vocab, hidden, heads, kv heads, head_dim, ffn, layers, rope_theta, eps, tied
    "tiny_tied_gqa":   (97, 48, 4, 2, 12, 80, 2, 10000.0, 1e-5, True),
    "tiny_tied_mha":   (101, 32, 2, 2, 16, 52, 3, 100000.0, 1e-6, True),
    "tiny_untied_gqa": (97, 24, 6, 2, 16, 40, 2, 100000.0, 1e-5, False),
    "tiny_untied_mha": (83, 36, 3, 3, 12, 44, 2, 10000.0, 1e-3, False),
}
TINY_LENGTHS = [11, 1, 7, 5]
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
WEIGHT_DECAY = 0.01   # on matrices only


def write_tiny(name):
    vocab, hidden, heads, kv, head_dim, ffn, layers, theta, eps, tied = TINY[name]
    rng = np.random.Generator(np.random.PCG64(sum(name.encode())))
    folder = os.path.join(DATA, name)
    os.makedirs(folder, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "head_dim": head_dim, "max_position_embeddings": 64, "rms_norm_eps": eps,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": tied, "bos_token_id": 1, "eos_token_id": 2,
    }
    if tied:
        config |= {"rope_theta": theta, "torch_dtype": "float32"}                                      # transformers 4
    else:
        config |= {"rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "dtype": "float32"}   # and 5
    smollm2.write_json(f"{folder}/config.json", config)
    model = LlamaForCausalLM(AutoConfig.from_pretrained(folder))
    tensors = {k: (rng.standard_normal(p.shape) * (0.3 if p.dim() > 1 else 0.2) + (p.dim() == 1)).astype(np.float32)
               for k, p in model.named_parameters()}
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    tokens = rng.integers(0, vocab, sum(TINY_LENGTHS))
    weight = rng.standard_normal(len(tokens)).astype(np.float32)
    weight[3::5] = 0
    return tokens, weight


def tiny(name, write):
    """ref.safetensors: sequences lie one after the other (tokens, lengths), each alone in its context.
    weight[t] weighs logprob(token t+1 | tokens ..t); target_weight and logprob hold the same by target token (0 at each
    sequence's first). loss = -sum_t weight[t] * logprob(t+1), grad.NAME = d loss / d NAME.
    adamw_loss: mean cross-entropy of all predicted tokens before each of ten updates and after the last."""
    folder = os.path.join(DATA, name)
    if write:
        tokens, weight = write_tiny(name)
    else:
        old = load_file(f"{folder}/ref.safetensors")
        tokens, weight = old["tokens"], old["weight"].copy()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    ends = np.cumsum(TINY_LENGTHS)
    weight[ends - 1] = 0

    def forward():
        logits = [model(torch.from_numpy(s)[None]).logits[0] for s in np.split(tokens, ends[:-1])]
        return torch.cat(logits), [logprobs(z, s) for z, s in zip(logits, np.split(tokens, ends[:-1]))]

    logits, logprob = forward()
    target = torch.cat([torch.cat([torch.zeros(1), p]) for p in logprob])
    target_weight = np.roll(weight, 1)
    loss = -(torch.from_numpy(target_weight) * target).sum()
    loss.backward()
    out = {"tokens": tokens, "lengths": np.array(TINY_LENGTHS), "weight": weight, "target_weight": target_weight,
           "logits": logits.detach().numpy(), "logprob": target.detach().numpy(), "loss": loss.detach().numpy()[None]}
    out |= {f"grad.{k}": p.grad.numpy().copy() for k, p in model.named_parameters()}

    groups = [{"params": [p for p in model.parameters() if (p.dim() > 1) == matrix], "weight_decay": WEIGHT_DECAY * matrix}
              for matrix in (True, False)]
    optimizer, curve = torch.optim.AdamW(groups, **ADAMW), []
    for step in range(11):
        optimizer.zero_grad()
        loss = -torch.cat(forward()[1]).mean()
        curve.append(loss.item())
        if step < 10:
            loss.backward()
            optimizer.step()
    fixture(f"{name}/ref.safetensors", out | {"adamw_loss": np.array(curve, np.float32)}, write, 2e-5)


# ---- SmolLM2: logits and greedy text ----

def load_smollm2(reader):
    config = smollm2.config(reader)
    model = LlamaForCausalLM(AutoConfig.for_model(**config))
    missing, unexpected = model.load_state_dict(
        {k: torch.from_numpy(v) for k, v in smollm2.weights(reader, config).items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    return model.float().eval()


def gsm8k_lines(path):
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


REF_TOKENS = 576


def logits(model, tok, gsm8k, write):
    """smollm2_ref.safetensors: for each position of real text, what can be said about its logits in a few numbers."""
    if write:
        text = "\n\n".join(row["question"] + "\n" + row["answer"] for row in gsm8k[:8])
        tokens = np.array(tok(text)["input_ids"][:REF_TOKENS])
        vocab_ids = np.sort(np.random.Generator(np.random.PCG64(24)).choice(model.config.vocab_size, 24, replace=False))
    else:
        old = load_file(os.path.join(DATA, "smollm2_ref.safetensors"))
        tokens, vocab_ids = old["tokens"], old["vocab_ids"]
    with torch.no_grad():
        z = model(torch.from_numpy(tokens)[None]).logits[0]
    top = z.topk(2, -1).values.numpy()
    fixture("smollm2_ref.safetensors", {
        "tokens": tokens, "vocab_ids": vocab_ids, "logits": z[:, vocab_ids].numpy(), "argmax": z.argmax(-1).numpy(),
        "max": top[:, 0], "margin": top[:, 0] - top[:, 1], "logsumexp": torch.logsumexp(z, -1).numpy(),
        "logprob": logprobs(z, tokens).numpy(),
    }, write, 2e-4)
    return tokens, z.numpy()


LARGEST = "Which number is the largest: {}? Answer with a number only."
PROMPTS = [
    LARGEST.format("147, 592, 877, 831, 792"), LARGEST.format("23, 904, 511, 66, 318"), LARGEST.format("999, 998, 10, 45, 700"),
    "What is 6 * 7? Answer with a number only.", "What is 9 + 23? Answer with a number only.",
    "What is the capital of France?", "Write a haiku about the sea.", "Explain what a hash table is in one sentence.",
    "List three uses for a paperclip.", "Translate to Spanish: Good morning, my friend.",
    "Who wrote Romeo and Juliet?", "Give me a recipe for pancakes.", "Why is the sky blue?",
    "Write a C function that returns the larger of two integers.", "Summarize: Water boils at 100 degrees Celsius at sea level.",
    "Tom has 3 apples and buys 5 more. How many apples does he have?", "Name a prime number between 10 and 20.",
    "What is the opposite of up?", "Ünïcödé 漢字 🙂", "What does the emoji 🙂 mean?",
]
GREEDY_TOKENS = 64


def greedy_completion(model, tok, prompt):
    ids = tok.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False)
    with torch.no_grad():
        out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                             max_new_tokens=GREEDY_TOKENS, output_logits=True, return_dict_in_generate=True,
                             pad_token_id=tok.pad_token_id, eos_token_id=tok.eos_token_id)
    completion = out.sequences[0, len(ids):].tolist()
    top = torch.cat(out.logits).topk(2, -1).values
    return {"prompt": prompt, "prompt_tokens": ids, "tokens": completion, "text": tok.decode(completion, skip_special_tokens=True),
            "margin": round((top[:, 0] - top[:, 1]).min().item(), 5)}


CHATS = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  hi \n"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b <|im_end|>"}, {"role": "user", "content": ""}],
    [{"role": "user", "content": "a"}, {"role": "system", "content": "late"}],
]


def greedy(model, tok, write):
    file = os.path.join(DATA, "smollm2_greedy.json")
    if write:
        value = {"chat": [{"messages": m, "text": tok.apply_chat_template(m, tokenize=False, add_generation_prompt=True)}
                          for m in CHATS],
                 "greedy": [greedy_completion(model, tok, p) for p in PROMPTS]}
        with open(file, "w", encoding="utf-8") as f:
            f.write('{"chat": [\n' + ",\n".join(json.dumps(c) for c in value["chat"]) + '\n],\n"greedy": [\n'
                    + ",\n".join(json.dumps(g) for g in value["greedy"]) + "\n]}\n")
        return print(f"wrote  smollm2_greedy.json: smallest margin {min(g['margin'] for g in value['greedy'])}")
    with open(file, encoding="utf-8") as f:
        want = json.load(f)
    check(all(tok.apply_chat_template(c["messages"], tokenize=False, add_generation_prompt=True) == c["text"]
              for c in want["chat"]), f"chat template: {len(want['chat'])} conversations")
    same = [greedy_completion(model, tok, g["prompt"])["tokens"] == g["tokens"] for g in want["greedy"]]
    check(all(same), f"greedy text: {sum(same)} of {len(same)} prompts")


# ---- tokenizer ----

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<empty_output>"]
ALPHABETS = [
    " ", " \n", " \t\n\r\v\f", "ab ", "aB'sS ", "'tTrReE lL", "0123456789", "0 1", "a1 .", "-_=+*/#<>|", "!?.,;: \n",
    "\u00a0 \u2003\u3000\u200b\u0085", "\u0301\u0308e\u20d0a", "\u0000\u0004\u0006\u0013\u001d\u007fx ", "éüñßøÅ ", "日本語漢字かなカナ", "한국어 조선",
    "العربية שלום ", "अनुच्छेद हिन्दी ", "กขคงไทย", "🙂👍🏽👩‍👩‍👧🇩🇪\ufe0f", "٣४५൧Ⅷ½²①㊿ ", "ǅǈʰªºˠ", "\ufeff\ufffd\ufffe\uffff", "\u202e\u2066\u200d\u200c",
    "\U00011de0\U00011de9\U00016ff4\U00016ff6 1a", "\U00040000\U00080000\U000f0000\U0010ffff", "{}[]()\"\\`$ ", "<|im_end", "i'm we'LL ",
]
FIXED = [
    "", " ", "  ", "\n", "\r\n", "\t", "\0", "a", "1", "a  1", "a 1", "1 a", " 1", "'s", " 's", "it's they're I'm we'll he'd I've don't",
    "IT'S", "'S", "’s", "-\x04-", "\x04", "th\x04e", "<|im_start|>system\nhi<|im_end|>\n", "<|im_end|><|im_end|>", "x<|im_end|>y",
    "<|im_end|", "|im_end|>", "<|IM_END|>", "< |im_end|>", "<<|im_end|>>", "<reponame><repo_name>", "<|endoftext|> 12", " <|endoftext|> ",
    "1,234,567.89", "3.14159e-10", "x=1;y=22", "\\boxed{42}", "#### 72", "$100", "50%", "e\u0301 é", "ﬁ ﬂ", "Straße STRASSE", "İıſ",
    "a" * 1000, " " * 500, "\n" * 200, "7" * 300, "ab " * 300, "!" * 400, "é" * 300, "🙂" * 100, "the " * 250 + "\n",
    "a\u200db", "\u200b", "\ufeffhello", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟏𝟐𝟑", "①②③", "ⅣⅤ", "½ ¼", "௧௨௩", "\u0661\u0662", "0" + "\u0301", "a b\u00a0c\u2003d\u3000e",
]


def hostile_strings(n=2000):
    """Strings that break tokenizers: every plane, mixed spaces, digits, contractions, special tokens as text."""
    rng = random.Random(2000)
    out = list(FIXED)
    for plane in range(17):
        for _ in range(24):
            size = 0xd800 if plane == 0 else 0x10000
            out.append("".join(chr(plane * 0x10000 + rng.randrange(size)) for _ in range(rng.randrange(1, 6))))
    assigned = [c for c in map(chr, range(0x20000)) if unicodedata.category(c)[0] in "LNMZ" and not c.isascii()]
    while len(out) < n:
        parts = []
        for _ in range(rng.randrange(1, 5)):
            kind = rng.random()
            if kind < 0.62:
                alphabet = rng.choice(ALPHABETS)
                parts.append("".join(rng.choice(alphabet) for _ in range(rng.randrange(1, 9))))
            elif kind < 0.72:
                parts.append(rng.choice(SPECIAL))
            elif kind < 0.9:
                parts.append("".join(rng.choice(assigned) for _ in range(rng.randrange(1, 4))))
            else:
                parts.append(rng.choice(["hello", " world", "The", " answer", " is", "42", " 3+4=7", "'re", " don't"]))
        out.append("".join(parts))
    return out


def fnv1a(ids):
    """FNV-1a 64 over the ids as little-endian 32-bit numbers."""
    h = 0xcbf29ce484222325
    for b in np.asarray(ids, "<u4").tobytes():
        h = (h ^ b) * 0x100000001b3 & 0xffffffffffffffff
    return h


def tokenizer(reader, tok, gsm8k, write):
    """tokenizer_ref.safetensors: text (UTF-8 bytes, one string after the other; text_end), ids and ids_end, and FNV-1a
    hashes of the ids with special tokens as plain text (plain_hash), with GPT-2's pre-tokeniser (gpt2_hash), and of each
    GSM8K training line's question ids followed by its answer ids (gsm8k_hash)."""
    if write:
        strings = hostile_strings()
    else:
        old = load_file(os.path.join(DATA, "tokenizer_ref.safetensors"))
        strings = [s.tobytes().decode() for s in np.split(old["text"], old["text_end"][:-1])]
    gpt2 = smollm2.tokenizer(reader, digits=False)
    encode = lambda s: tok(s)["input_ids"]
    ids = [encode(s) for s in strings]
    gpt2_ids = [gpt2.encode(s).ids for s in strings]
    ends = lambda lists: np.cumsum([len(x) for x in lists])
    hashes = lambda lists: np.array([fnv1a(x) for x in lists], np.uint64).view(np.int64)
    encoded = [s.encode() for s in strings]
    out = {"text": np.frombuffer(b"".join(encoded), np.uint8), "text_end": ends(encoded),
           "ids": np.concatenate([np.array(x, np.int32) for x in ids]), "ids_end": ends(ids), "gpt2_hash": hashes(gpt2_ids),
           "plain_hash": hashes([tok(s, split_special_tokens=True)["input_ids"] for s in strings])}
    if gsm8k:
        lines = [(encode(row["question"]), encode(row["answer"])) for row in gsm8k]
        out["gsm8k_hash"] = hashes([q + a for q, a in lines])
    elif not write:
        out["gsm8k_hash"] = old["gsm8k_hash"]
        print("skipped: GSM8K is not there")
    fixture("tokenizer_ref.safetensors", out, write, 0)
    return strings


# ---- rlvr.h itself ----

class Library:
    """rlvr.h as a shared object; only public functions are called."""

    def __init__(self, model_path, folder):
        source, shared = os.path.join(folder, "rlvr.c"), os.path.join(folder, "rlvr.so")
        with open(source, "w") as f:
            f.write('#define RLVR_IMPLEMENTATION\n#include "rlvr.h"\n')
        include = [f"-I{ROOT}", f"-I{ROOT}/build/include"]
        subprocess.check_call([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", *include, source, "-o", shared, "-lm", "-lpthread"])
        self.c = ctypes.CDLL(shared)
        for name in ("rlvr_open", "rlvr_model_load"):
            getattr(self.c, name).restype = ctypes.c_void_p
        self.c.rlvr_last_error.restype = ctypes.c_char_p
        self.ctx = ctypes.c_void_p(self.c.rlvr_open(None))
        self.model = ctypes.c_void_p(self.c.rlvr_model_load(self.ctx, model_path.encode()))
        self.expect(self.model.value)

    def expect(self, ok):
        if not ok:
            sys.exit(self.c.rlvr_last_error(self.ctx).decode())

    def tokenize(self, text, special=True):
        data, out = text.encode(), ctypes.POINTER(ctypes.c_int)()
        n = self.c.rlvr_tokenize(self.model, data, ctypes.c_size_t(len(data)), ctypes.c_bool(special), ctypes.byref(out))
        self.expect(n >= 0)
        ids = out[:n]
        self.c.rlvr_free(self.ctx, out)
        return ids

    def logits(self, tokens, n_vocab):
        out = np.empty((len(tokens), n_vocab), np.float32)
        array = (ctypes.c_int * len(tokens))(*tokens)
        self.expect(self.c.rlvr_logits(self.model, array, len(tokens), out.ctypes.data_as(ctypes.c_void_p)) == 0)
        return out

    def save(self, folder):
        self.expect(self.c.rlvr_model_save(self.model, folder.encode()) == 0)


def library(lib, tok, tokens, z, strings, gsm8k):
    ours = lib.logits(tokens.tolist(), z.shape[1])
    check_close(ours, z, 2e-3, f"rlvr.h: logits of {len(tokens)} tokens x {z.shape[1]}")
    check((ours.argmax(-1) == z.argmax(-1)).all(), "rlvr.h: same arg-max everywhere")
    texts = strings + [row[k] for row in gsm8k or [] for k in ("question", "answer")]
    wrong = [s for s in texts if lib.tokenize(s) != tok(s)["input_ids"]]
    wrong += [s for s in strings if lib.tokenize(s, False) != tok(s, split_special_tokens=True)["input_ids"]]
    check(not wrong, f"rlvr.h: tokenizer, {len(wrong)} differences in {len(texts)} texts {[w[:40] for w in wrong[:3]]}")
    with open(os.path.join(DATA, "smollm2_greedy.json"), encoding="utf-8") as f:
        want = json.load(f)["greedy"]
    good = 0
    for g in want:
        best = lib.logits(g["prompt_tokens"] + g["tokens"], z.shape[1]).argmax(-1)[len(g["prompt_tokens"]) - 1:-1]
        good += best.tolist() == g["tokens"]
    check(good == len(want), f"rlvr.h: greedy tokens of {good} of {len(want)} prompts")


def saved(folder):
    """A folder that rlvr.h saved from the unchanged model: transformers loads it and says the same."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tok = AutoTokenizer.from_pretrained(folder)
    with open(os.path.join(DATA, "smollm2_greedy.json"), encoding="utf-8") as f:
        want = json.load(f)["greedy"]
    got = [greedy_completion(model, tok, g["prompt"]) for g in want]
    same = sum(a["tokens"] == b["tokens"] and a["text"] == b["text"] for a, b in zip(got, want))
    check(same == len(want), f"saved folder: greedy text of {same} of {len(want)} prompts")


def cli(program, model_path, model, tok, gsm8k):
    """`rlvr score` on several texts, given as tokens."""
    rows = [tok(row["question"] + "\n" + row["answer"])["input_ids"] for row in (gsm8k or [])[100:124]]
    text = "".join(json.dumps({"tokens": r}) + "\n" for r in rows)
    done = subprocess.run([program, "score", "--model", model_path], input=text, stdout=subprocess.PIPE, text=True, check=True)
    ours = [json.loads(line)["logprobs"] for line in done.stdout.splitlines()]
    check([len(x) + 1 for x in ours] == [len(r) for r in rows], f"rlvr score: {len(rows)} lines")
    with torch.no_grad():
        want = [logprobs(model(torch.tensor([r])).logits[0], r) for r in rows]
    check_close(sum(ours, []), torch.cat(want), 2e-3, f"rlvr score: {sum(map(len, want))} logprobs")


def finish():
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", default=os.environ.get("RLVR_MODEL") or os.path.join(CACHE, "SmolLM2-135M-Instruct.Q4_1.gguf"))
    p.add_argument("--gsm8k", default=os.environ.get("RLVR_GSM8K") or os.path.join(ROOT, "../shared/data/gsm8k/train.jsonl"))
    p.add_argument("--write", nargs="*", metavar="NAME")
    p.add_argument("--fixtures", action="store_true")
    p.add_argument("--cli", default=os.path.join(ROOT, "build/rlvr"))
    p.add_argument("--saved")
    a = p.parse_args()
    parts = ("tiny", "logits", "greedy", "tokenizer")
    write = lambda name: a.write is not None and (not a.write or name in a.write)
    wanted = lambda name: a.write is None or write(name)
    unknown = set(a.write or ()) - set(parts)
    if unknown:
        p.error(f"unknown fixture {', '.join(unknown)}: choose from {', '.join(parts)}")
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    if a.saved:
        saved(a.saved)
        return finish()
    if wanted("tiny"):
        for name in TINY:
            tiny(name, write("tiny"))
    reader = gguf.GGUFReader(a.model)
    with tempfile.TemporaryDirectory() as folder:
        smollm2.write_tokenizer(reader, folder)
        tok = AutoTokenizer.from_pretrained(folder)
    gsm8k = gsm8k_lines(a.gsm8k)
    strings = tokenizer(reader, tok, gsm8k, write("tokenizer")) if wanted("tokenizer") else None
    if wanted("logits") or wanted("greedy"):
        model = load_smollm2(reader)
        if wanted("logits"):
            tokens, z = logits(model, tok, gsm8k, write("logits"))
        if wanted("greedy"):
            greedy(model, tok, write("greedy"))
    if a.write is None and not a.fixtures:
        with tempfile.TemporaryDirectory() as folder:
            lib = Library(a.model, folder)
            library(lib, tok, tokens, z, strings, gsm8k)
            lib.save(f"{folder}/saved")
            saved(f"{folder}/saved")
        if os.path.exists(a.cli):
            cli(a.cli, a.model, model, tok, gsm8k)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
