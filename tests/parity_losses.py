"""Policy losses, preference losses and losses between vocabularies against TRL's own methods, called on random batches with a
stand-in for the trainer.

    python tests/parity_losses.py            re-derive tests/data/losses_trl.jsonl and gold_trl.jsonl with the installed trl and compare
    python tests/parity_losses.py --write    write the files instead

tests/test_preferences.c holds rlvr.h against the file: GRPOTrainer._compute_loss (sequence-level ratios, CISPO, SAPO, two-sided
clip, stale sequences, importance weights, entropy, advantages by token, VESPO; tests/parity_learning.py has the plain clip),
A2POTrainer.compute_loss, DPOTrainer and
KTOTrainer._compute_loss, ORPOTrainer and CPOTrainer.get_batch_loss_metrics. All in double, but for ORPO's odds (float in TRL).
tests/test_gold.c holds it against gold_trl.jsonl: GOLD's ULDLoss, whose alignment, merging of tokens and two losses are called whole.
"""
import json
import os
import sys
from unittest.mock import MagicMock

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")


def f32(x):
    import numpy as np
    return float(np.float32(x))


def stand_in():
    """What the trainers' methods ask of self besides their own settings."""
    self = MagicMock()
    self.accelerator.gather = self.accelerator.gather_for_metrics = lambda x: x
    self.accelerator.reduce = lambda x, reduction=None: x
    self.accelerator.num_processes = 1
    self.accelerator.device = "cpu"
    self.accelerator.sync_gradients = True
    self.aux_loss_enabled = False
    self.model.training = True
    self.metrics = {}
    store = MagicMock()
    store.__getitem__ = lambda _, name: MagicMock(append=lambda x: self.metrics.__setitem__(name, [x]), __getitem__=lambda _, i: self.metrics[name][i])
    self._metrics = {"train": store}
    return self


# ---- GRPOTrainer._compute_loss ----

# loss_type -> rlvr_aggregation: token_mean 0, seq_mean_token_mean 1, seq_mean_token_sum_norm 2, seq_mean_token_sum 3
AGGREGATION = {"dapo": 0, "bnpo": 0, "cispo": 0, "vespo": 0, "grpo": 1, "sapo": 1, "dr_grpo": 2, "luspo": 3}


def policy_case(rng, loss, level="token", kl_coef=0.0, low=0.2, high=0.28, delta=None, masked=False, stale=None, weights=None, entropy=0.0,
                by_token=False, tau=(1.0, 1.05), vespo=(2.0, 3.0, 3.0, 2.0)):
    import numpy as np
    import torch
    from trl import GRPOTrainer

    rows, max_tokens = 4, 9
    low, high, kl_coef, entropy = f32(low), f32(high), f32(kl_coef), f32(entropy)
    lengths = [int(n) for n in rng.integers(2, 7, rows)]
    n, width = sum(lengths), max(lengths)
    offset = [0] + [int(x) for x in np.cumsum(lengths)]
    spread = 1.2 if loss == "cispo" else 0.5
    old = rng.uniform(-6, -2, n).astype(np.float32)
    shift = np.repeat(rng.normal(0, 0.4, rows) if level == "sequence" else np.zeros(rows), lengths)
    logprob = (old + shift + rng.normal(0, spread, n)).astype(np.float32)
    ref = (logprob + rng.normal(0, 0.5, n)).astype(np.float32)
    behaviour = (old + rng.normal(0, 0.6, n)).astype(np.float32)
    advantage = rng.normal(0, 1, rows).astype(np.float32)
    advantage[:2] = [f32(-1.1), f32(0.9)]
    token_advantage = rng.normal(0, 1, n).astype(np.float32)
    entropies = rng.uniform(0, 3, n).astype(np.float32)
    mask = np.ones(n, int)
    if masked:
        mask = (rng.random(n) < 0.6).astype(int)
        mask[offset[:-1]] = 1   # TRL counts a sequence without a token, rlvr.h does not

    def pad(flat):
        out = torch.zeros(rows, width, dtype=torch.float64)
        for i in range(rows):
            out[i, :lengths[i]] = torch.tensor(flat[offset[i]:offset[i + 1]].astype(np.float64))
        return out

    self = stand_in()
    policy, spent = pad(logprob).requires_grad_(), pad(entropies).requires_grad_()
    self._get_per_token_logps_and_entropies.return_value = (policy, spent, None)
    self.get_off_policy_mask = GRPOTrainer.get_off_policy_mask
    self.args.delta, self.args.use_bias_correction_kl, self.args.steps_per_generation = delta, False, 1
    self.args.sapo_temperature_pos, self.args.sapo_temperature_neg = (f32(t) for t in tau)
    self.args.vespo_k_pos, self.args.vespo_lambda_pos, self.args.vespo_k_neg, self.args.vespo_lambda_neg = (f32(v) for v in vespo)
    self.get_gamma_weights = GRPOTrainer.get_gamma_weights
    self.top_entropy_quantile, self.importance_sampling_level, self.off_policy_mask_threshold = 1.0, level, stale
    # TRL's epsilon_high of cispo is the bound of the ratio itself
    self.beta, self.epsilon_low, self.epsilon_high = kl_coef, low, 1 + high if loss == "cispo" else high
    self.loss_type, self.use_vllm, self.vllm_importance_sampling_correction = loss, weights is not None, weights is not None
    self.current_gradient_accumulation_steps, self.max_completion_length = 1, max_tokens
    self._entropy_bonus_enabled, self.use_adaptive_entropy, self.entropy_coef = entropy != 0, False, entropy
    padded, ids = pad(mask), torch.zeros(rows, width, dtype=torch.long)
    inputs = {"prompt_ids": ids[:, :1], "prompt_mask": ids[:, :1] + 1, "completion_ids": ids, "completion_mask": padded,
              "advantages": pad(token_advantage) if by_token else torch.tensor(advantage.astype(np.float64)),
              "old_per_token_logps": pad(old), "ref_per_token_logps": pad(ref), "num_items_in_batch": padded.sum()}
    if weights:     # as _generate_and_score_completions makes them, cap 2: of tokens, or of a sequence's sum
        log = (pad(old) - pad(behaviour)) * padded
        ratio = torch.exp(log if weights.startswith("token") else log.sum(-1, keepdim=True))
        inputs["importance_sampling_ratio"] = (torch.clamp(ratio, max=2.0) if weights.endswith("truncate")
                                               else ratio.masked_fill(ratio > 2.0, 0.0))
    value = GRPOTrainer._compute_loss(self, None, inputs)
    value.backward()

    def flat(x):
        return [float(v) for i in range(rows) for v in x[i, :lengths[i]]]

    kind = {"cispo": 4, "sapo": 5, "vespo": 7}.get(loss, 2 if level == "sequence" else 0)    # rlvr_loss_kind
    correction = ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"].index(weights) + 1 if weights else 0
    case = {"what": "policy", "name": f"{loss} {level}", "loss_kind": kind, "aggregation": AGGREGATION[loss], "kl_coef": kl_coef,
            "low": 1.0 if loss == "cispo" else low, "high": high, "delta": delta or 0, "stale": stale or 0, "correction": correction,
            "entropy_coef": entropy, "tau": [f32(t) for t in tau], "vespo": [f32(v) for v in vespo], "max_tokens": max_tokens, "by_token": by_token, "offset": offset,
            "mask": [int(x) for x in mask], "logprob": [float(x) for x in logprob], "old": [float(x) for x in old],
            "advantage": [float(x) for x in advantage], "loss": value.item(), "grad": flat(policy.grad)}
    if kl_coef:
        case["ref"] = [float(x) for x in ref]
    if weights:
        case["behaviour"] = [float(x) for x in behaviour]
    if by_token:
        case["token_advantage"] = [float(x) for x in token_advantage]
    if entropy:
        case["entropy"] = [float(x) for x in entropies]
        case["grad_entropy"] = flat(spent.grad)
    return case


def a2po_case(rng, beta, masked):
    """A2POTrainer.compute_loss: the whole sequence's log-ratio to the reference, regressed."""
    import numpy as np
    import torch
    from trl.experimental.a2po import A2POTrainer
    rows = 4
    lengths = [int(n) for n in rng.integers(2, 7, rows)]
    n, offset = sum(lengths), [0] + [int(x) for x in np.cumsum(lengths)]
    logprob = rng.uniform(-6, -1, n).astype(np.float32)
    ref = (logprob + rng.normal(0, 0.5, n)).astype(np.float32)
    advantage = rng.normal(0, 1, rows).astype(np.float32)
    mask = np.ones(n, int)
    if masked:
        mask = (rng.random(n) < 0.6).astype(int)
        mask[offset[:-1]] = 1
    policy = torch.tensor(logprob.astype(np.float64)).requires_grad_()

    def sums(x):
        return torch.stack([(x * torch.tensor(mask))[a:b].sum() for a, b in zip(offset, offset[1:])])

    self = stand_in()
    self.args.beta2 = f32(beta)
    self._get_sequence_logps.return_value = sums(policy)
    inputs = {name: None for name in ("input_ids", "attention_mask", "logits_to_keep")}
    inputs.update(ref_logps=sums(torch.tensor(ref.astype(np.float64))), rewards=torch.tensor(advantage.astype(np.float64)), v_star=torch.zeros(rows))
    value = A2POTrainer.compute_loss(self, None, inputs)
    value.backward()
    return {"what": "policy", "name": "a2po", "loss_kind": 8, "aggregation": 3, "a2po_beta": f32(beta), "kl_coef": 0, "low": 0.2, "high": 0.2, "delta": 0,
            "stale": 0, "correction": 0, "entropy_coef": 0, "tau": [1.0, 1.05], "max_tokens": 9, "by_token": False, "offset": offset,
            "mask": [int(x) for x in mask], "logprob": [float(x) for x in logprob], "old": [float(x) for x in logprob],
            "ref": [float(x) for x in ref], "advantage": [float(x) for x in advantage], "loss": value.item(), "grad": [float(x) for x in policy.grad]}


def policy_cases(rng):
    out = []
    for masked in False, True:
        for kl_coef in 0.0, 0.04:
            for loss in "grpo", "bnpo", "dapo", "dr_grpo", "luspo":      # GSPO and its other sums
                out.append(policy_case(rng, loss, "sequence", kl_coef, 0.15, 0.2, masked=masked))
            for loss in "bnpo", "luspo":
                out.append(policy_case(rng, loss, "token", kl_coef, masked=masked))
            out.append(policy_case(rng, "cispo", "token", kl_coef, high=1.0, masked=masked))
            out.append(policy_case(rng, "sapo", "token", kl_coef, masked=masked, tau=(1.0, 1.05)))
            out.append(policy_case(rng, "sapo", "token", kl_coef, masked=masked, tau=(0.7, 2.0)))
            for loss in "grpo", "dapo":
                out.append(policy_case(rng, loss, "token", kl_coef, delta=1.5, masked=masked))
        for loss in "grpo", "dapo":
            out.append(policy_case(rng, loss, "sequence", 0.0, 0.15, 0.2, delta=1.25, masked=masked))
        for stale in 0.05, 0.3:
            out.append(policy_case(rng, "grpo", "token", 0.04, stale=stale, masked=masked))
        for weights in "token_truncate", "token_mask", "sequence_truncate", "sequence_mask":
            out.append(policy_case(rng, "dapo", "token", 0.04, weights=weights, masked=masked))
        out.append(policy_case(rng, "dapo", "token", entropy=0.01, masked=masked))
        for loss in "grpo", "dapo", "cispo", "sapo":
            out.append(policy_case(rng, loss, "token", by_token=True, masked=masked))
    for masked in False, True:
        for kl_coef in 0.0, 0.04:
            out.append(policy_case(rng, "vespo", "token", kl_coef, masked=masked))
            out.append(policy_case(rng, "vespo", "token", kl_coef, masked=masked, vespo=(1.5, 0.4, 0.7, 1.0)))
        out += [a2po_case(rng, beta, masked) for beta in (1e-3, 0.3)]
    return out


# ---- preferences: per-sequence sums, chosen and rejected taking turns as rlvr.h has them ----

def draw(rng, n):
    import numpy as np
    lengths = [int(x) for x in rng.integers(2, 12, n)]
    logprob = np.array([-rng.uniform(0.3, 2.0) * length for length in lengths])
    return lengths, logprob, logprob + rng.normal(0, 4, n)


def answer(kind, case, value, grad, metrics):
    names = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "kl",
             "log_odds_ratio", "log_odds_chosen"]
    got = {name: float(metrics[name]) for name in names if name in metrics}
    return {"what": "preference", "kind": kind, **case, "loss": float(value), "grad": [float(x) for x in grad], "metrics": got}


class Answers:
    """A model that gives the log-probabilities it was told: each sequence's sum at its first completion token."""
    def __init__(self, *sums):
        self.sums, self.calls = sums, 0

    def __call__(self, input_ids=None, labels=None, **_):
        import torch
        sums = self.sums[min(self.calls, len(self.sums) - 1)]
        self.calls += 1
        rest = torch.zeros(input_ids.shape[0], input_ids.shape[1] - 2, dtype=torch.float64)
        out = MagicMock()
        out.log_probs = torch.cat([sums[:, None], rest], 1)
        out.entropy = out.mean_logits = torch.zeros_like(out.log_probs).detach()
        out.is_top1 = out.entropy.bool()
        return out


def tokens_of(lengths):
    import torch
    mask = torch.zeros(len(lengths), max(lengths) + 1, dtype=torch.long)
    for i, length in enumerate(lengths):
        mask[i, 1:length + 1] = 1
    return mask


# rlvr_divergence -> TRL's name; its alpha_divergence, of which forward_kl is alpha 0, does not take doubles
DIVERGENCE = ["reverse_kl", "forward_kl", "js_divergence"]


def dpo_case(rng, kind, loss_type, beta, label_smoothing=0.0, nll=0.0, n=3, divergence=0, **fields):
    import numpy as np
    import torch
    from trl import DPOTrainer
    lengths, logprob, ref = draw(rng, 2 * n)
    order = list(range(0, 2 * n, 2)) + list(range(1, 2 * n, 2))     # TRL: all chosen, then all rejected
    self = stand_in()
    self.ld_alpha, self.precompute_ref_logps, self.use_weighting = None, True, False
    self.f_divergence_type = DIVERGENCE[divergence]
    if divergence:
        fields = {**fields, "divergence": divergence}
    self.beta, self.label_smoothing, self.args.discopop_tau = f32(beta), f32(label_smoothing), 0.05
    self.loss_types, self.loss_weights = ([loss_type, "sft"], [1.0, f32(nll)]) if nll else ([loss_type], [1.0])
    self._total_train_tokens, self._tp_size = 0, 1
    sums = torch.tensor(logprob[order], requires_grad=True)
    mask = tokens_of([lengths[i] for i in order])
    value = DPOTrainer._compute_loss(self, Answers(sums), {
        "input_ids": torch.zeros_like(mask), "attention_mask": torch.ones_like(mask), "completion_mask": mask,
        "ref_chosen_logps": torch.tensor(ref[0::2]), "ref_rejected_logps": torch.tensor(ref[1::2])}, False)
    value.backward()
    grad = np.empty(2 * n)
    grad[order] = sums.grad.numpy()
    case = {"beta": f32(beta), "label_smoothing": f32(label_smoothing), "nll_coef": f32(nll), "length": lengths, **fields,
            "logprob": [float(x) for x in logprob], "ref": [float(x) for x in ref]}
    return answer(kind, case, value.item(), grad, {k: v[0] for k, v in self.metrics.items()})


def kto_case(rng, beta, desirable, undesirable, above):
    import torch
    from trl import KTOTrainer
    n = 5
    lengths, logprob, ref = draw(rng, n)
    _, mismatch, mismatch_ref = draw(rng, n)
    mismatch_ref = mismatch - abs(mismatch_ref - mismatch) * (1 if above else -1)      # a baseline above 0, or one held at 0
    label = [bool(x) for x in rng.integers(0, 2, n)]
    label[:2] = [True, False]
    self = stand_in()
    self.calculate_KL, self.precompute_ref_logps, self.loss_type = True, True, "kto"
    self.beta, self.desirable_weight, self.undesirable_weight = f32(beta), f32(desirable), f32(undesirable)
    self._total_train_tokens, self._tp_size = 0, 1
    self._compute_kl_logps = lambda model, batch: KTOTrainer._compute_kl_logps(self, model, batch)
    sums, mask = torch.tensor(logprob, requires_grad=True), tokens_of(lengths)
    ids, ones = torch.zeros_like(mask), torch.ones_like(mask)
    value = KTOTrainer._compute_loss(self, Answers(torch.tensor(mismatch), sums), {
        "input_ids": ids, "attention_mask": ones, "completion_mask": mask, "label": torch.tensor(label), "KL_input_ids": ids,
        "KL_attention_mask": ones, "KL_completion_mask": mask, "ref_logps": torch.tensor(ref), "ref_KL_logps": torch.tensor(mismatch_ref)}, False)
    value.backward()
    case = {"beta": f32(beta), "desirable_weight": f32(desirable), "undesirable_weight": f32(undesirable), "length": lengths,
            "label": [int(x) for x in label], "logprob": [float(x) for x in logprob], "ref": [float(x) for x in ref],
            "mismatch": [float(x) for x in mismatch], "mismatch_ref": [float(x) for x in mismatch_ref]}
    return answer("kto", case, value.item(), sums.grad.numpy(), {k: v[0] for k, v in self.metrics.items()})


def batch_case(rng, kind, trainer, beta, gamma=0.0, label_smoothing=0.0, nll=0.0, alpha=0.0, **fields):
    """ORPO's and CPO's get_batch_loss_metrics; the likelihood term is handed in as rlvr.h defines it, over chosen completion tokens."""
    import numpy as np
    import torch
    n = 3
    lengths, logprob, _ = draw(rng, 2 * n)
    self = stand_in()
    self.beta, self.simpo_gamma, self.label_smoothing, self.cpo_alpha, self.alpha = f32(beta), f32(gamma), f32(label_smoothing), f32(nll), f32(alpha)
    if alpha:
        fields = {**fields, "alpha": f32(alpha)}
    self.loss_type = "simpo" if kind == "simpo" else {"dpo": "sigmoid"}.get(kind, kind)
    for name in "odds_ratio_loss", "cpo_loss":
        if hasattr(trainer, name):
            setattr(self, name, lambda *a, name=name: getattr(trainer, name)(self, *a))
    sums = torch.tensor(logprob, requires_grad=True)
    scores = sums / torch.tensor(lengths) if kind in ("orpo", "simpo", "ipo") else sums
    chosen_nll = -sums[0::2].sum() / sum(lengths[0::2])
    empty = torch.zeros(1)
    self.concatenated_forward.return_value = (scores[0::2], scores[1::2], empty, empty, chosen_nll)
    value, metrics = trainer.get_batch_loss_metrics(self, None, {})
    value.backward()
    case = {"beta": f32(beta), "gamma": f32(gamma), "label_smoothing": f32(label_smoothing), "nll_coef": f32(nll), "length": lengths, **fields,
            "logprob": [float(x) for x in logprob]}
    # CPO's ipo logs rewards of token means, DPO's of sums, and so does rlvr.h
    return answer(kind, case, value.item(), sums.grad.numpy(), {} if kind == "ipo" else metrics)


def preference_cases(rng):
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer
    out = []
    plain = {"dpo": "sigmoid", "ipo": "ipo", "hinge": "hinge", "nca": "nca_pair", "bco": "bco_pair", "sppo": "sppo_hard",
             "apo_zero": "apo_zero", "apo_down": "apo_down", "discopop": "discopop"}
    for beta in 0.1, 0.5:
        out += [dpo_case(rng, kind, loss_type, beta) for kind, loss_type in plain.items()]
        out.append(dpo_case(rng, "dpo", "sigmoid_norm", beta, mean=True))
        out.append(dpo_case(rng, "dpo", "sigmoid", beta, nll=0.7))
        for smoothing in 0.1, 0.3:
            out.append(dpo_case(rng, "dpo", "aot", beta, smoothing, n=1))      # of one pair, it is cDPO
            out.append(dpo_case(rng, "robust", "robust", beta, smoothing))
            out.append(dpo_case(rng, "exo", "exo_pair", beta, smoothing))
        for weights in (1, 1), (1.3, 0.6):
            for above in False, True:
                out.append(kto_case(rng, beta, *weights, above))
        out.append(batch_case(rng, "orpo", ORPOTrainer, beta, nll=1.0))
        for gamma, smoothing in (0.0, 0.0), (0.5, 0.0), (1.0, 0.2):
            out.append(batch_case(rng, "simpo", CPOTrainer, 4 * beta, gamma, smoothing))
        for kind in "dpo", "hinge", "ipo":
            out.append(batch_case(rng, kind, CPOTrainer, beta, nll=1.0, no_reference=True))
        out.append(batch_case(rng, "dpo", CPOTrainer, beta, label_smoothing=0.2, no_reference=True))
    for beta in 0.1, 0.5:
        for smoothing in 0.0, 0.3:
            out += [dpo_case(rng, kind, kind, beta, smoothing, n=5) for kind in ("aot", "aot_unpaired")]
        out += [dpo_case(rng, "dpo", "sigmoid", beta, divergence=divergence) for divergence in (1, 2)]
        out += [batch_case(rng, "simpo", CPOTrainer, 4 * beta, 0.5, alpha=alpha) for alpha in (0.25, -0.5)]
    return out


# ---- ULDLoss ----

class Vocabulary:
    def __init__(self, tokens):
        self.tokens = tokens

    def get_vocab(self):
        return {token: i for i, token in enumerate(self.tokens)}


def read(rng, vocabulary, text, end):
    """Random tokens that spell a text, the end behind them; and each one's bytes."""
    ids, spans, at = [], [], 0
    while at < len(text):
        fits = [i for i, token in enumerate(vocabulary) if token != end and text.startswith(token, at)]
        ids.append(int(rng.choice(fits)))
        spans.append((at, at + len(vocabulary[ids[-1]])))
        at = spans[-1][1]
    return ids + [vocabulary.index(end)], spans + [(at, at)]


def gold_case(rng, own, other, text, hybrid, beta=0.5):
    """Logits k are those that predict token k: the answer begins at 0, and what TRL slices is then what predicts."""
    import numpy as np
    import torch
    from types import SimpleNamespace
    from trl.experimental.gold.gold_trainer import ULDLoss
    config = SimpleNamespace(uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=1.0, uld_teacher_temperature=1.0,
                             uld_skip_student_eos=False, uld_skip_teacher_eos=False, use_extended_uld=True, uld_token_merge_strategy="observed",
                             uld_use_hybrid_loss=hybrid, beta=f32(beta))
    loss = ULDLoss(config, Vocabulary(own), Vocabulary(other))
    sides = []
    for vocabulary in own, other:
        ids, spans = read(rng, vocabulary, text, "<end>")
        logits = np.round(rng.normal(0, 1.5, (len(ids), len(vocabulary))), 3)
        sides.append((ids, spans, logits))
    logits = [torch.tensor(side[2][None]) for side in sides]
    ids = [torch.tensor([side[0]]) for side in sides]
    spans = [torch.tensor([side[1]]) for side in sides]
    logits[0].requires_grad_()
    value = loss(logits[0], logits[1], ids[0], ids[1], ids[0], ids[1], spans[0], spans[1])
    value.backward()
    return {"what": "gold" if hybrid else "uld", "beta": f32(beta), "own": own, "other": other, "tokens": sides[0][0], "other_tokens": sides[1][0],
            "logits": sides[0][2].ravel().tolist(), "other_logits": sides[1][2].ravel().tolist(), "loss": value.item(),
            "grad": [round(float(x), 12) for x in logits[0].grad.ravel()]}


def gold_cases(rng):
    small = ["a", "b", "c", "d", "ab", "cd", "abc", "ba", "<end>"]
    large = ["<end>", "d", "c", "b", "a", "bc", "da", "bcd", "aa", "dd", "cda", "x", "y"]
    apart = ["<end>", "ab", "a", "b", "cd", "c", "dab", "d"]
    out = []
    for own, other in (small, large), (large, small), (small, small), (apart, large), (small, apart):
        for text in "abcdabba", "bcdaabcd", "d", "":
            out += [gold_case(rng, own, other, text, False)]
            out += [gold_case(rng, own, other, text, True, beta) for beta in (0.5, 0.2)]
    return out


def close(got, want, tolerance):
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(close(got[k], want[k], tolerance) for k in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(close(g, w, tolerance) for g, w in zip(got, want))
    if isinstance(want, float) and isinstance(got, (int, float)):
        return abs(got - want) <= tolerance * max(1, abs(want))
    return got == want


def main():
    try:
        import numpy as np
        import trl
    except ImportError as error:
        sys.exit(f"parity_losses needs trl and torch: {error}")
    files = ("losses_trl.jsonl", lambda rng: policy_cases(rng) + preference_cases(rng), 1e-12), ("gold_trl.jsonl", gold_cases, 1e-11)
    passed = 0
    for name, make, tolerance in files:
        cases = json.loads(json.dumps([{"what": "from", "trl": trl.__version__}] + make(np.random.default_rng(5))))
        path = os.path.join(DATA, name)
        if "--write" in sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as f:
                f.writelines(json.dumps(case) + "\n" for case in cases)
            print(f"wrote  {name}: {len(cases) - 1} cases from trl {trl.__version__}")
            continue
        with open(path, encoding="utf-8") as f:
            want = [json.loads(line) for line in f]
        off = [case.get("name", case.get("kind", case["what"])) for case, other in zip(cases, want)
               if not close(case, other, 1e-6 if case.get("kind") == "orpo" else tolerance)]
        ok = len(want) == len(cases) and not off
        print(f"{'ok    ' if ok else 'FAILED'} {name}: {len(want) - 1} cases, trl {trl.__version__} {' '.join(off)}")
        passed += ok
    if "--write" not in sys.argv[1:]:
        print(f"{passed} passed, {len(files) - passed} failed")
        sys.exit(passed < len(files))


if __name__ == "__main__":
    main()
