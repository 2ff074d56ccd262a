#!/usr/bin/env python3
"""LoRA against peft (PyPI): adapters that peft made on tests/data's tiny models give our logits, adapters that rlvr.h made and saved
give peft's, and a merged model that rlvr.h saved gives transformers' own; all to 1e-4. The fixtures tests/data/lora_* are derived
anew and compared; tests/test_lora.c holds rlvr.h against them.

    python tests/parity_lora.py [--write]      from the repository's root; --write: writes the fixtures. Needs torch, transformers, peft
"""
import ctypes as ct
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
FIXTURES = {      # name: base, what is asked of peft
    "lora_plain": ("tiny_tied_gqa", dict(r=4, lora_alpha=6, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])),
    "lora_rslora": ("tiny_untied_mha", dict(r=5, lora_alpha=8, use_rslora=True, target_modules=["v_proj", "up_proj", "down_proj"])),
}

SHIM = """
#define RLVR_IMPLEMENTATION
#include "rlvr.h"
rlvr_model *parity_load(const char *base, const char *adapter)      /* adapter NULL: none */
{
    rlvr_model *m = rlvr_model_load(rlvr_open(NULL), base);
    return m && (!adapter || rlvr_lora_load(m, adapter) == RLVR_OK) ? m : NULL;
}
int parity_make(rlvr_model *m, int rank, float alpha, const char *targets, int rslora, const char *folder)      /* and saves it */
{
    rlvr_lora_desc d = {.rank = rank, .alpha = alpha, .targets = targets, .rslora = rslora, .seed = 11};
    if (rlvr_lora_add(m, &d) != RLVR_OK) return 0;
    const char *name;
    int64_t rows, cols;
    for (int i = 0; rlvr_model_param(m, i, &name, &rows, &cols); i++) {
        if (!strstr(name, "lora_B")) continue;
        float *x = malloc(sizeof(float) * rows * cols);
        for (int64_t k = 0; k < rows * cols; k++) x[k] = rlvr_uniform(3, i, k, 0, 0) - 0.5f;
        if (rlvr_model_set(m, name, x, rows * cols) != RLVR_OK) return 0;
        free(x);
    }
    return rlvr_lora_save(m, folder) == RLVR_OK;
}
int parity_logits(rlvr_model *m, const int *tokens, int n, float *out) { return rlvr_logits(m, tokens, n, out) == RLVR_OK; }
int parity_merge(rlvr_model *m, const char *folder) { return rlvr_lora_merge(m) == RLVR_OK && rlvr_model_save(m, folder) == RLVR_OK; }
"""


def library():
    path = "build/librlvr_lora.so"
    os.makedirs("build", exist_ok=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-std=gnu11", "-DRLVR_NO_SIMD", "-I.", "-Ibuild/include", "-x", "c", "-", "-o", path, "-lm", "-lpthread"],
                   input=SHIM.encode(), check=True)
    lib = ct.CDLL("./" + path)
    lib.parity_load.restype = ct.c_void_p
    lib.parity_load.argtypes = [ct.c_char_p, ct.c_char_p]
    lib.parity_make.argtypes = [ct.c_void_p, ct.c_int, ct.c_float, ct.c_char_p, ct.c_int, ct.c_char_p]
    lib.parity_logits.argtypes = [ct.c_void_p, ct.c_void_p, ct.c_int, ct.c_void_p]
    lib.parity_merge.argtypes = [ct.c_void_p, ct.c_char_p]
    return lib


def base_of(name):
    folder = os.path.join(DATA, name)
    return folder, load_file(os.path.join(folder, "ref.safetensors"))["tokens"].to(torch.int32)


def theirs(model, tokens):
    with torch.no_grad():
        return model(tokens.long()[None]).logits[0].float().numpy()


def ours(lib, model, tokens, width):
    ids = tokens.numpy().astype(np.int32)
    out = np.empty((len(ids), width), np.float32)
    assert model and lib.parity_logits(model, ids.ctypes.data, len(ids), out.ctypes.data)
    return out


def derive(base, asked):
    """An adapter by peft, its B drawn at random, and the logits with and without it."""
    folder, tokens = base_of(base)
    torch.manual_seed(17)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    off = theirs(model, tokens)
    peft = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **asked))
    for name, p in sorted(peft.named_parameters()):
        if "lora_" in name:
            p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(len(name) + sum(map(ord, name)))) * 0.3
    return peft.eval(), {"tokens": tokens.long(), "logits": torch.from_numpy(theirs(peft, tokens)), "base_logits": torch.from_numpy(off)}


def apart(a, b):
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())


def main():
    write, worst, bad = "--write" in sys.argv, {}, 0
    lib = library()
    for name, (base, asked) in FIXTURES.items():
        folder, fixture = os.path.join(DATA, base), os.path.join(DATA, name)
        peft, ref = derive(base, asked)
        tokens, width = ref["tokens"].to(torch.int32), ref["logits"].shape[1]
        made = "build/" + name
        peft.save_pretrained(made)
        if write:
            os.makedirs(fixture, exist_ok=True)
            shutil.copyfile(made + "/adapter_model.safetensors", fixture + "/adapter_model.safetensors")
            with open(made + "/adapter_config.json") as f, open(fixture + "/adapter_config.json", "w") as out:
                json.dump(json.load(f) | {"base_model_name_or_path": base}, out, indent=2, sort_keys=True)      # not this machine's path
            save_file(ref, os.path.join(fixture, "ref.safetensors"))
        stored, now = load_file(fixture + "/adapter_model.safetensors"), load_file(made + "/adapter_model.safetensors")
        kept = load_file(fixture + "/ref.safetensors")
        same = stored.keys() == now.keys() and all(apart(stored[k], now[k]) <= 1e-6 for k in now) and all(apart(kept[k], ref[k]) <= 1e-4 for k in ref)
        off = {"peft's adapter, by us": apart(ours(lib, lib.parity_load(folder.encode(), made.encode()), tokens, width), ref["logits"])}
        # ours, by peft; and merged, by transformers
        model = lib.parity_load(folder.encode(), None)
        assert lib.parity_make(model, asked["r"] + 1, 5, ",".join(asked["target_modules"]).encode(), int(asked.get("use_rslora", False)), (made + "_ours").encode())
        mine = ours(lib, model, tokens, width)
        loaded = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32), made + "_ours").eval()
        off["our adapter, by peft"] = apart(mine, theirs(loaded, tokens))
        assert lib.parity_merge(model, (made + "_merged").encode())
        off["our merged model, by transformers"] = apart(mine, theirs(LlamaForCausalLM.from_pretrained(made + "_merged", dtype=torch.float32), tokens))
        moved = apart(mine, ref["base_logits"])
        print(f"{name} on {base}: " + ", ".join(f"{k} {v:.1e}" for k, v in off.items()) + f" (adapters move logits by {moved:.2g})" + ("" if same else "; NOT AS STORED"))
        bad += (not same) + (moved < 0.05) + sum(v > 1e-4 for v in off.values())
    print("lora: " + ("all as they should be" if not bad else f"{bad} comparisons failed"))
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
