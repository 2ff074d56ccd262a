"""The outside truth of the learning sections: TRL's own loss, torch's statistics, transformers' schedules, and Math-Verify.

    python tests/parity_learning.py                      re-derive the fixtures of what is installed and compare
    python tests/parity_learning.py --write [NAME ...]   write the fixtures instead (learning, number)

learning_ref.jsonl needs torch, transformers and trl; number_ref.jsonl needs math-verify. tests/test_learning.c and
tests/test_rewards.c hold rlvr.h against them.
"""
import argparse
import json
import os
import random
import sys

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


# ---- losses: GRPOTrainer._compute_loss itself, in double, on given log-probabilities ----

AGGREGATIONS = ["dapo", "grpo", "dr_grpo"]   # token_mean, seq_mean_token_mean, seq_mean_token_sum_norm


def learning():
    from unittest.mock import MagicMock
    import numpy as np
    import torch
    from transformers import (get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup,
                              get_linear_schedule_with_warmup)
    from trl import GRPOTrainer
    from trl.trainer.utils import nanstd

    def loss_case(rng, aggregation, kl_coef, low, high, masked):
        lengths = [int(n) for n in rng.integers(1, 9, 5)]
        n, width, max_tokens = sum(lengths), max(lengths), 12
        old = rng.uniform(-6, -0.01, n).astype(np.float32)
        logprob = np.minimum(old + rng.normal(0, 0.35, n).astype(np.float32), 0).astype(np.float32)
        logprob[::4] = old[::4]
        ref = (logprob + rng.normal(0, 0.5, n)).astype(np.float32)
        advantage = rng.normal(0, 1, 5).astype(np.float32)
        advantage[2] = 0
        mask = np.ones(n, int)
        if masked:
            mask = (rng.random(n) < 0.6).astype(int)
            mask[np.cumsum([0] + lengths[:-1])] = 1   # TRL counts a sequence without a token, rlvr.h does not

        def pad(flat):
            out, at = torch.zeros(5, width, dtype=torch.float64), 0
            for i, length in enumerate(lengths):
                out[i, :length] = torch.tensor(flat[at:at + length].astype(np.float64))
                at += length
            return out

        policy = pad(logprob).requires_grad_()
        trainer = MagicMock()
        trainer._get_per_token_logps_and_entropies.return_value = (policy, torch.zeros_like(policy).detach(), None)
        trainer.accelerator.gather = trainer.accelerator.gather_for_metrics = lambda x: x
        trainer.accelerator.reduce = lambda x, reduction=None: x
        trainer.accelerator.num_processes = 1
        trainer.args.delta, trainer.args.use_bias_correction_kl, trainer.args.steps_per_generation = None, False, 1
        trainer.top_entropy_quantile, trainer.importance_sampling_level, trainer.off_policy_mask_threshold = 1.0, "token", None
        trainer.beta, trainer.epsilon_low, trainer.epsilon_high = kl_coef, low, high
        trainer.loss_type, trainer.use_vllm, trainer.aux_loss_enabled = aggregation, False, False
        trainer.current_gradient_accumulation_steps, trainer.max_completion_length = 1, max_tokens
        trainer._entropy_bonus_enabled, trainer.model.training = False, True
        metrics = {}
        trainer._metrics = {"train": MagicMock()}
        trainer._metrics["train"].__getitem__ = lambda _, name: MagicMock(append=lambda x: metrics.__setitem__(name, x))
        padded = pad(mask)
        ids = torch.zeros(5, width, dtype=torch.long)
        loss = GRPOTrainer._compute_loss(trainer, None, {
            "prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1] + 1, "completion_ids": ids, "completion_mask": padded,
            "advantages": torch.tensor(advantage.astype(np.float64)), "old_per_token_logps": pad(old),
            "ref_per_token_logps": pad(ref), "num_items_in_batch": padded.sum()})
        loss.backward()
        grad = np.concatenate([policy.grad[i, :length].numpy() for i, length in enumerate(lengths)])
        floats = {"logprob": logprob, "old": old, "ref": ref, "advantage": advantage}
        return {"kind": "loss", "aggregation": AGGREGATIONS.index(aggregation), "kl_coef": kl_coef, "low": low, "high": high,
                "max_tokens": max_tokens, "offset": [0] + [int(x) for x in np.cumsum(lengths)], "mask": [int(x) for x in mask],
                **{k: [float(x) for x in v] for k, v in floats.items()}, "loss": loss.item(),
                "kl": metrics.get("kl", 0.0),
                "clip_low": metrics["clip_ratio/low_mean"], "clip_high": metrics["clip_ratio/high_mean"],
                "grad": [float(x) for x in grad]}

    out, rng = [], np.random.default_rng(1)
    for aggregation in AGGREGATIONS:
        for kl_coef in 0.0, 0.04, 1.0:
            for low, high in (0.2, 0.2), (0.2, 0.28), (0.05, 0.5):
                for masked in False, True:
                    out.append(loss_case(rng, aggregation, kl_coef, float(np.float32(low)), float(np.float32(high)), masked))

    # advantages as TRL computes them: NaN is a rollout without a reward
    groups = [[0, 0, 1, 0], [0.95] * 7 + [0], [1, 2], [0.1, 0.2, 0.3, float("nan")], [1e-3, 0, 0, 0, 0], [-5, 3.25, 7, 100],
              [float("nan"), 1, 0, 1], [1e30, -1e30, 0], [1e-30, 0, 0, 0], [3, 3, 3.0000002, 3]]
    for group in groups:
        r = torch.tensor(group, dtype=torch.float32).double()
        centred = r - torch.nanmean(r)
        a = centred / (nanstd(r) + 1e-4)
        out.append({"kind": "advantage", "reward": [None if x != x else float(x) for x in r], "dr_grpo": torch.nan_to_num(centred).tolist(),
                    "grpo": torch.nan_to_num(a).tolist()})

    # learning rates: transformers' schedulers ask for the factor of step s; its warm-up begins at 0, ours one step further
    parameter = torch.nn.Parameter(torch.zeros(1))
    for name, make in [("constant", get_constant_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup),
                       ("linear", get_linear_schedule_with_warmup)]:
        for warmup, total in (0, 10), (5, 50), (10, 11):
            factor = make(torch.optim.SGD([parameter], lr=1.0), *([warmup] if name == "constant" else [warmup, total])).lr_lambdas[0]
            out.append({"kind": "schedule", "schedule": name, "warmup": warmup, "total": total,
                        "factor": [factor(s + 1 if s < warmup else s) for s in range(total + 3)]})
    return out


# ---- the number verifier against Math-Verify ----

# (text, its number as rlvr.h must read it or None, why Math-Verify may see it otherwise)
NUMBERS = ["42", "-42", "7", "0", "1,234", "1,234,567", "3.50", "0.5", "-0.25", "1000000", "007", "12.000", "98765432109876543210",
           "-1,000.50", "1000000.000001"]
TEMPLATES = ["{}", "The answer is {}.", "#### {}", "First 3 cats, then 12 dogs.\n#### {}", "so x = {}", "\\boxed{{{}}}",
             "The result is $\\boxed{{{}}}$.", "After 2 days she has {} apples", "6 \\times 7 = {}", "We get ${}$.",
             "Total: {}%", "Thus {}, as asked."]
EVALUATES = "Math-Verify evaluates the expression; `number` takes no operand for an answer"
SIGN = "Math-Verify reads no such sign there"
BROAD = "Math-Verify's last-number pattern wants a space before the number"
COMMA = "Math-Verify reads the comma as a decimal point; here it groups three digits or parts two numbers"
LAST = "Math-Verify takes all boxes as a set, or another one of several numbers; here the last one counts"
TAKEN_BACK = "the text takes this number back"
SPACE = "Math-Verify joins groups of digits over a space; here they are two numbers"
EXPONENT = "Math-Verify does not read powers of ten in this spelling"
ROUND = "Math-Verify rounds to six places; here decimals are compared exactly"
PERCENT = "Math-Verify also takes a percentage for a fraction; here the sign does not count"
GOLD = "a gold that is an expression or has no number is an error, never a zero"
MARK = "Math-Verify gives the mark no meaning or evaluates the line; here what stands right behind it counts"
BOX = "a box with several numbers is not one number"
UNIT = "Math-Verify reads the number differently beside these signs"
FREE = "here thousands groups may be written as LaTeX and typography do"
SPECIAL = [   # completion, answer, expected (-1: an error), why Math-Verify may differ
    ("10 - 3", "7", 0, EVALUATES), ("10 - 3", "3", 0, EVALUATES), ("3/4", "4", 0, EVALUATES), ("3/4", "0.75", 0, EVALUATES),
    ("2^3", "8", 0, EVALUATES), ("2^3", "3", 0, EVALUATES), ("\\boxed{\\frac{1}{2}}", "2", 0, EVALUATES),
    ("\\boxed{\\frac{84}{2} = 42}", "42", 1, EVALUATES), ("\\boxed{2\\pi}", "2", 0, EVALUATES), ("3\\sqrt{2}", "2", 0, EVALUATES),
    ("4 * 11", "11", 0, EVALUATES), ("4 * 11", "44", 0, EVALUATES), ("4 * 11 = 44", "44", 1, EVALUATES), ("4 x 11 = 44", "44", 1, None),
    ("4x11", "11", 0, EVALUATES), ("the ratio is 5:30", "30", 0, EVALUATES), ("open 24/7", "7", 0, EVALUATES), ("2020-01-05", "5", 0, EVALUATES),
    ("5-10 minutes", "10", 0, EVALUATES), ("$5-$10", "10", 0, EVALUATES), ("x^2 + 5", "5", 0, EVALUATES), ("about 2π", "2", 0, EVALUATES),
    ("√2", "2", 0, EVALUATES), ("0x1F", "1", 0, EVALUATES), ("version 1.2.3", "3", 0, EVALUATES), ("3 + 4 = 7", "7", 1, EVALUATES),
    ("12 / 3 = 4", "4", 1, EVALUATES), ("1 + 1 = 2 + 0", "2", 0, EVALUATES), ("\\boxed{x = -3}", "-3", 1, EVALUATES),
    ("Step 2 - 42", "42", 0, EVALUATES), ("H2O", "2", 0, None), ("x_1", "1", 0, EVALUATES), ("x_{12} = 7", "7", 1, EVALUATES), ("A1", "1", 0, None),
    ("−5", "-5", 1, SIGN), ("–5", "-5", 1, SIGN), ("x = –5", "-5", 1, SIGN), ("－5", "-5", 1, SIGN), ("+7", "7", 1, SIGN), ("x = +7", "7", 1, SIGN),
    ("-$5", "-5", 1, SIGN), ("$-5$", "-5", 1, SIGN), ("x = - 5", "-5", 1, SIGN), ("- 5 apples", "5", 1, SIGN), ("\\boxed{- 5}", "-5", 1, SIGN),
    ("-.5", "-0.5", 1, SIGN), ("(-3)", "-3", 1, SIGN), ("GPT-3", "3", 1, SIGN), ("GPT-3", "-3", 0, SIGN), ("-0", "0", 1, None), ("5", "-5", 0, None),
    ("Answer:42", "42", 1, BROAD), ("答案是42", "42", 1, BROAD), ("is:42.", "42", 1, BROAD), ("(42)", "42", 1, BROAD), ("\"42\"", "42", 1, BROAD),
    ("**42**", "42", 1, BROAD), ("I got a **42**", "42", 1, BROAD), ("1) **42**", "42", 1, BROAD), ("__42__", "42", 1, BROAD), ("_42_", "42", 1, BROAD),
    ("\\(42\\)", "42", 1, BROAD), ("\\[42\\]", "42", 1, BROAD), ("`42`", "42", 1, BROAD), ("...5", "5", 1, BROAD), ("no.5", "5", 1, BROAD),
    ("1,2", "2", 1, COMMA), ("1,2", "1.2", 0, COMMA), ("0,123", "123", 1, COMMA), ("1234,567", "567", 1, COMMA), ("1234,567", "1234567", 0, COMMA),
    ("12,345,67", "67", 1, COMMA), ("1,234,5678", "5678", 1, COMMA), ("1.234,56", "1234.56", 0, COMMA), ("1.234,56", "56", 0, COMMA),
    ("3, 5", "5", 1, COMMA), ("1, 234", "234", 1, COMMA), ("100,200,300", "100200300", 1, COMMA),
    ("\\boxed{7} and \\boxed{9}", "9", 0, LAST), ("\\boxed{7} and \\boxed{9}", "7", 0, LAST), ("it is 42, not 41", "41", 0, TAKEN_BACK),
    ("it is 42, not 41", "42", 0, LAST), ("\\boxed{7} or 8", "7", 1, LAST), ("\\boxed{7} or 8", "8", 0, LAST), ("147, 592, 877, 831, 792", "792", 1, LAST),
    ("147, 592, 877, 831, 792", "877", 0, LAST), ("3 cats, 2 dogs and 14 fish.", "14", 1, LAST), ("\\boxed{7", "7", 1, LAST),
    ("\\boxed{8} then \\boxed{9", "8", 1, LAST), ("\\boxed{\\boxed{3}}", "3", 1, LAST), ("\\boxed{\\{3\\}}", "3", 1, LAST), ("\\boxed{\\text{none}} 5", "5", 0, LAST),
    ("\\boxed{}5", "5", 0, LAST), ("\\boxed{5}\\boxed{}", "5", 0, LAST), ("1.5 2.5", "2.5", 1, LAST),
    ("1 000", "1000", 0, SPACE), ("147 592 877", "877", 1, SPACE),
    ("1e5", "100000", 1, EXPONENT), ("1E-3", "0.001", 1, EXPONENT), ("2.5e+3", "2500", 1, EXPONENT), ("100000", "1e5", 1, EXPONENT), ("1e5", "1", 0, EXPONENT),
    ("12e-1", "1.2", 1, EXPONENT), ("0e99", "0", 1, EXPONENT), ("1e99999999999999999999", "1e99999999999999999999", -1, GOLD), ("5e3x", "5", 1, EXPONENT),
    ("0.1000000001", "0.1", 0, ROUND), ("3.14159265", "3.14159266", 0, ROUND), ("0.1000000000000000000000000001", "0.1", 0, ROUND),
    ("123456789012345678901234567890", "123456789012345678901234567891", 0, None), ("0.30000000000000004", "0.3", 0, ROUND),
    ("50%", "50", 1, PERCENT), ("50\\%", "50", 1, PERCENT), ("50%", "0.5", 0, PERCENT), ("0.5", "50%", 0, PERCENT), ("50", "50%", 1, PERCENT),
    ("5", "none", -1, GOLD), ("5", "", -1, GOLD), ("5", "3/4", -1, GOLD), ("5", "\\frac{1}{2}", -1, GOLD), ("5", "x + 5", -1, GOLD), ("5", "2\\pi", -1, GOLD),
    ("5", "10 - 5", -1, GOLD), ("", "five", -1, GOLD), ("5", "\\boxed{\\text{yes}}", -1, GOLD), ("5", "\\boxed{3, 5}", -1, GOLD),
    ("#### 3/4", "4", 0, MARK), ("#### 3/4", "3", 0, MARK), ("#### 3 + 4 = 7", "7", 1, MARK), ("#### $1,000 in 3 days", "1000", 1, MARK),
    ("#### **1,234**", "1234", 1, MARK), ("####42", "42", 1, MARK), ("#### -5", "-5", 1, MARK), ("#### 41\nno:\n#### 42", "42", 1, MARK),
    ("#### 41\nno:\n#### 42", "41", 0, MARK), ("#### Step 1\nWe add.\nThe answer is 42", "42", 1, MARK), ("#### Step 1\nWe add.\nThe answer is 42", "1", 0, MARK),
    ("#### 42\n#### Why\nbecause of 7", "42", 1, MARK), ("\\boxed{9}\n#### 42", "42", 1, MARK), ("\\boxed{9}\n#### 42", "9", 0, MARK),
    ("#### \n42", "42", 1, MARK), ("#### The answer is 42", "42", 1, None), ("42 ####", "42", 1, MARK), ("##### 42", "42", 1, MARK), ("#### $-5$", "-5", 1, MARK),
    ("### 41\n42", "42", 1, MARK), ("42", "48/2 = <<48/2=24>>24 clips in May.\n48+24 = 72\n#### 72", 0, MARK), ("72", "48/2 = <<48/2=24>>24 clips in May.\n#### 72", 1, MARK),
    ("1000", "#### 1,000", 1, MARK), ("42", "#### 42", 1, MARK),
    ("\\boxed{3, 5}", "5", 0, BOX), ("\\boxed{3, 5}", "3", 0, BOX), ("\\boxed{(3, 5)}", "5", 0, BOX), ("\\boxed{5 \\text{ or } 6}", "6", 0, BOX),
    ("\\boxed{42 \\text{ apples}}", "42", 1, UNIT), ("\\boxed{5\\text{ m}^2}", "5", 1, UNIT), ("\\boxed{5\\ \\text{cm}^{2}}", "5", 1, UNIT), ("45^\\circ", "45", 1, UNIT),
    ("\\boxed{45^{\\circ}}", "45", 1, UNIT), ("45°", "45", 1, UNIT), ("5 m^2", "5", 1, UNIT), ("60 km/h", "60", 1, UNIT), ("5km", "5", 1, UNIT), ("the 5th", "5", 1, UNIT),
    ("5!", "5", 1, UNIT), ("€5", "5", 1, UNIT), ("5€", "5", 1, UNIT), ("£1,000.00", "1000", 1, UNIT), ("\\$5", "5", 1, UNIT), ("\\boxed{\\$5}", "5", 1, UNIT), ("Rs.5", "5", 1, UNIT),
    ("$1,000.00", "1000", 1, UNIT), ("5 - I think", "5", 1, UNIT), ("$5/hour", "5", 1, UNIT), ("5'10", "10", 1, UNIT), ("1_000", "1000", 0, UNIT), ("1_000", "1", 0, UNIT),
    ("\\boxed{10,\\!000}", "10000", 1, FREE), ("10,\\!000", "10000", 1, FREE), ("\\boxed{1{,}000}", "1000", 1, FREE), ("\\boxed{1\\,000}", "1000", 1, FREE),
    ("1'000", "1000", 1, FREE), ("1\u202f000", "1000", 1, FREE), ("1\u2009000\u2009000", "1000000", 1, FREE), ("1\\,234\\,567", "1234567", 1, FREE),
    ("", "5", 0, None), ("no number here", "5", 0, None), ("５", "5", 0, None), ("5", "5.", 1, None), ("5.", "5.0", 1, None), (".5", "0.50", 1, None),
    ("1.", "1", 1, None), ("9.", "9", 1, None), ("3.5.", "3.5", 1, None), ("00", "0", 1, None), ("0.0", "0", 1, None), ("42\n\n", "42", 1, None), ("\\begin{x}42\\end{x}", "42", 1, BROAD),
]


def number():
    import logging
    import warnings
    from decimal import Decimal
    from math_verify import parse, verify
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)

    def math_verify(completion, answer):
        gold = parse(answer, parsing_timeout=None)
        return int(bool(gold) and bool(verify(gold, parse(completion, parsing_timeout=None), timeout_seconds=None)))

    def value(text):
        return Decimal(text.replace(",", ""))

    rng, cases = random.Random(3), []
    for spelled in NUMBERS:
        plain = value(spelled)
        right = [f"{plain:f}", f"{plain:,f}", f"#### {plain:f}", f"{plain:f}" + ("0" if "." in f"{plain:f}" else ".0")]
        wrong = [f"{plain + 1:f}", f"{-plain - 1:f}", f"{plain * 10 + 3:f}", f"{plain + Decimal('0.01'):f}"]
        for template in TEMPLATES:
            sign = SIGN if spelled.startswith("-") else None
            why = PERCENT if "%" in template else MARK if "####" in template else sign or (LAST if "days" in template else None)
            for answers, expected in (right, 1), (wrong, 0):
                answer = rng.choice(answers)
                cases.append((template.format(spelled), answer, expected, why))
    out = []
    for completion, answer, expected, why in cases + SPECIAL:
        other = math_verify(completion, answer)
        case = {"completion": completion, "answer": answer, "expected": expected, "math_verify": other}
        if other != expected:
            if not why:
                sys.exit(f"Math-Verify says {other}, the case {expected}, and it gives no reason: {case}")
            case["comment"] = why
        out.append(case)
    return out


def close(got, want):
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(close(got[k], want[k]) for k in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(close, got, want))
    if isinstance(want, float) and isinstance(got, (int, float)):
        return abs(got - want) <= 1e-12 * max(1, abs(want))
    return got == want


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", nargs="*", metavar="NAME")
    args = parser.parse_args()
    passed = failed = 0
    for name, make in ("learning", learning), ("number", number):
        path = os.path.join(DATA, name + "_ref.jsonl")
        if args.write and name not in args.write:
            continue
        try:
            cases = json.loads(json.dumps(make()))
        except ImportError as error:
            print(f"skipped: {name}_ref.jsonl: {error}")
            continue
        if args.write is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(json.dumps(case, ensure_ascii=False) + "\n" for case in cases)
            print(f"wrote  {name}_ref.jsonl: {len(cases)} cases")
            continue
        with open(path, encoding="utf-8") as f:
            want = [json.loads(line) for line in f]
        same = len(want) == len(cases) and all(map(close, cases, want))
        passed, failed = passed + same, failed + (not same)
        print(f"{'ok    ' if same else 'FAILED'} {name}_ref.jsonl: {len(want)} cases")
    if args.write is None:
        print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
