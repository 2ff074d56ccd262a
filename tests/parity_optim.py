"""The outside truth of optimizers: torch's AdamW, SGD, Muon and AveragedModel, torchao's AdamW of 8 bits with its two number lines,
transformers' schedules.

    python tests/parity_optim.py            re-derive tests/data/optim_ref.jsonl and compare
    python tests/parity_optim.py --write    write it instead

Needs torch (2.9 or later, for Muon), transformers and torchao. tests/test_optim.c holds rlvr.h against the file. Weights and
gradients are not in it: both sides draw them from one generator. torch computes in float64; its Muon rounds to bfloat16 within, so
each of its cases is there twice: as it is, and with that rounding left out.
"""
import json
import os
import sys

os.environ["TORCHDYNAMO_DISABLE"] = "1"      # torchao compiles its update, where a compiler is found

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "optim_ref.jsonl")


class Numbers:
    """x <- 1664525 x + 1013904223 mod 2^32; a number is its upper 24 bits, within -0.5 .. 0.5, to the power of 1 or 3."""

    def __init__(self, seed):
        self.x = seed

    def take(self, n, power=1):
        out = []
        for _ in range(n):
            self.x = (self.x * 1664525 + 1013904223) & 0xffffffff
            out.append(((self.x >> 8) / 16777216 - 0.5) ** power)
        return out


def derive():
    import numpy as np
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup, get_wsd_schedule
    from torchao.optim import AdamW8bit
    from torchao.optim.subclass_8bit import get_qmap_signed, get_qmap_unsigned

    out = []

    def f32(x):
        return float(np.float32(x))

    def run(kind, rows, cols, steps, make, dtype=torch.float64, ema=0.0, power=1, every=1, **fields):
        numbers = Numbers(1000 + len(out))
        fields = {k: f32(v) if isinstance(v, float) else v for k, v in fields.items()}

        def tensor(p):
            return torch.tensor(np.array(numbers.take(rows * cols, p), np.float32), dtype=dtype).reshape(rows, cols)

        module = torch.nn.Module()
        module.w = torch.nn.Parameter(tensor(1))
        optimizer = make(module.w, **fields)
        average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(f32(ema))) if ema else None
        if average:
            average.update_parameters(module)      # its first call takes the weights as they are
        for _ in range(steps):
            module.w.grad = tensor(power)
            optimizer.step()
            if average:
                average.update_parameters(module)
        w = (average.module if average else module).w
        out.append({"kind": kind, "rows": rows, "cols": cols, "steps": steps, "seed": 1000 + len(out), "power": power, "ema": f32(ema),
                    "every": every, **fields, "w": [float(f"{v:.9g}") for v in w.detach().flatten().tolist()[::every]]})

    def adamw(w, lr, beta1, beta2, eps, weight_decay):
        return torch.optim.AdamW([w], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)

    def adamw8(w, lr, beta1, beta2, eps, weight_decay):
        return AdamW8bit([w], lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)

    def sgd(w, lr, momentum, nesterov, weight_decay):
        return torch.optim.SGD([w], lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def muon(w, lr, momentum, nesterov, weight_decay):
        return torch.optim.Muon([w], lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    adam = dict(beta1=0.9, beta2=0.99, eps=1e-8)
    for decay in 0.0, 0.1:
        run("adamw", 6, 10, 8, adamw, lr=1e-2, weight_decay=decay, power=3, **adam)
    run("adamw", 6, 10, 8, adamw, lr=1e-2, weight_decay=0.1, ema=0.9, **adam)
    for momentum, nesterov, decay in (0.0, False, 0.1), (0.9, False, 0.0), (0.9, True, 0.0):
        run("sgd", 6, 10, 8, sgd, lr=1e-2, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    # torchao takes 256 numbers in the order of memory; of 32 rows this is the order of rlvr.h's panels, if written (cols, rows)
    for decay in 0.0, 0.1:
        run("adamw8", 128, 32, 6, adamw8, dtype=torch.float32, lr=1e-2, weight_decay=decay, every=16, **adam)

    bfloat16 = torch.bfloat16
    for rounded in True, False:
        for rows, cols in (8, 20), (20, 8), (12, 12):
            for nesterov in True, False:
                torch.bfloat16 = bfloat16 if rounded else torch.float64
                run("muon_bf16" if rounded else "muon", rows, cols, 4, muon, lr=1e-2, momentum=0.95, nesterov=nesterov, weight_decay=0.1)
    torch.bfloat16 = bfloat16

    for negative in True, False:
        line = get_qmap_signed() if negative else get_qmap_unsigned()
        out.append({"kind": "line", "negative": negative, "value": [float(f"{v:.9g}") for v in line]})

    def lr(kind, make, **fields):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule, values = make(optimizer), []
        for _ in range(25):
            values.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        out.append({"kind": "schedule", "schedule": kind, "warmup_steps": 4, "total_steps": 24, **fields, "lr": values[4:]})

    lr("cosine", lambda o: get_cosine_schedule_with_warmup(o, 4, 24), lr_min=0.0)
    lr("linear", lambda o: get_linear_schedule_with_warmup(o, 4, 24), lr_min=0.0)
    for name, form in ("wsd", "linear"), ("wsd_sqrt", "1-sqrt"):
        lr(name, lambda o: get_wsd_schedule(o, 4, 8, num_training_steps=24, min_lr_ratio=0.125, decay_type=form), decay_steps=8, lr_min=0.125)
    return out


def close(a, b, limit):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(close(x, y, limit) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return abs(a - b) <= limit * max(1.0, abs(a))
    return a == b


def main():
    derived = derive()
    if "--write" in sys.argv:
        with open(PATH, "w") as f:
            f.writelines(json.dumps(case) + "\n" for case in derived)
        print(f"{len(derived)} cases written to {PATH}")
        return 0
    with open(PATH) as f:
        stored = [json.loads(line) for line in f]
    # other processors' bfloat16 products and float32 steps of 8-bit states round otherwise
    limit = {"muon_bf16": 1e-3, "adamw8": 1e-5}
    bad = abs(len(stored) - len(derived))
    bad += sum(not all(close(v, s.get(k), limit.get(d["kind"], 1e-8)) for k, v in d.items()) for s, d in zip(stored, derived))
    print(f"optimizers: {len(derived) - bad} of {len(derived)} cases as stored")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
