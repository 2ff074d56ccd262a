"""The outside truth of values and reward models: TRL's own RewardTrainer.compute_loss, and PPO's clipped value loss, whitening and
binary cross-entropy by torch, with the gradients that autograd finds.

    python tests/parity_values.py            re-derive tests/data/values_ref.jsonl and compare
    python tests/parity_values.py --write    write it instead

Needs torch, transformers and trl. tests/test_reward_model.c holds rlvr.h against the file.
"""
import json
import os
import sys

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "values_ref.jsonl")


def derive():
    from types import SimpleNamespace
    from unittest.mock import MagicMock
    import numpy as np
    import torch
    from trl import RewardTrainer

    rng, out = np.random.default_rng(7), []

    def floats(x):
        return [float(v) for v in x]

    def single(x):
        return torch.tensor(x.astype(np.float32).astype(np.float64))

    for n in 1, 4, 16:
        for scale in 0.5, 4.0, 40.0:
            for with_margin in False, True:
                for coef in None, 0.01:
                    score = single(rng.normal(0, scale, 2 * n)).requires_grad_()
                    margin = single(rng.uniform(0, 2, n))
                    trainer = MagicMock()
                    trainer.model.training = False
                    trainer._total_train_tokens = 0
                    trainer.args.center_rewards_coefficient = coef
                    trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
                    inputs = {"margin": margin} if with_margin else {}
                    loss = RewardTrainer.compute_loss(trainer, lambda **_: SimpleNamespace(logits=score[:, None]), inputs)
                    loss.backward()
                    out.append({"kind": "pairs", "score": floats(score), "margin": floats(margin) if with_margin else None,
                                "coef": float(np.float32(coef or 0)), "loss": loss.item(), "grad": floats(score.grad),
                                "accuracy": float((score[:n] > score[n:]).double().mean())})

    for clip in 0.2, 0.05, 0.0:
        value, old = rng.normal(0, 1, 24), rng.normal(0, 0.3, 24)
        value, old, target = single(value).requires_grad_(), single(value + old), single(rng.normal(0, 1, 24))
        mask = torch.tensor((rng.random(24) < 0.7).astype(np.float64))
        clip = float(np.float32(clip))
        held = torch.clamp(value, old - clip, old + clip) if clip else value
        loss = 0.5 * (torch.maximum((value - target) ** 2, (held - target) ** 2) * mask).sum() / mask.sum()
        loss.backward()
        white, kept = single(rng.normal(3, 2, 24)), mask.bool()
        mean, var = white[kept].mean(), white[kept].var(unbiased=True)
        out.append({"kind": "value", "clip": clip, "value": floats(value), "old": floats(old), "target": floats(target), "mask": [int(x) for x in mask],
                    "loss": loss.item(), "grad": floats(value.grad), "x": floats(white),
                    "white": floats(torch.where(kept, (white - mean) * torch.rsqrt(var + 1e-8), torch.zeros_like(white)))})

    for n in 1, 9, 30:
        logit = single(rng.normal(0, 3, n)).requires_grad_()
        label = single(np.round(rng.random(n), 2) if n > 9 else (rng.random(n) < 0.5).astype(np.float64))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, label)
        loss.backward()
        out.append({"kind": "bce", "logit": floats(logit), "label": floats(label), "loss": loss.item(), "grad": floats(logit.grad)})
    return out


def close(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
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
    bad = abs(len(stored) - len(derived)) + sum(not all(close(v, s.get(k)) for k, v in d.items()) for s, d in zip(stored, derived))
    print(f"values: {len(derived) - bad} of {len(derived)} cases as stored")
    return bad != 0


if __name__ == "__main__":
    sys.exit(main())
