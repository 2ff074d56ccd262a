"""TRL's speed at one GRPO step of the main job: largest of five numbers, 8 prompts x 8 rollouts, 20 new tokens, float32.

Prints: peer trl grpo_step_s VALUE (median over the steps after the first), and the reward of each step.
"""
import argparse
import os
import random
import re
import statistics
import tempfile
import time

import gguf
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from transformers.utils import logging
from trl import GRPOConfig, GRPOTrainer

import smollm2

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--model", required=True)
p.add_argument("--prompts", type=int, default=8)
p.add_argument("--group", type=int, default=8)
p.add_argument("--steps", type=int, default=4)
p.add_argument("--seed", type=int, default=42)
a = p.parse_args()

folder = tempfile.TemporaryDirectory()
smollm2.write_hf(gguf.GGUFReader(a.model), folder.name)
rng = random.Random(a.seed)
rows = []
for _ in range(a.prompts * a.steps):
    numbers = rng.sample(range(10, 1000), 5)
    text = f"Which number is the largest: {', '.join(map(str, numbers))}? Answer with a number only."
    rows.append({"prompt": [{"role": "user", "content": text}], "answer": str(max(numbers))})


def reward(completions, answer, **_):
    last = [re.findall(r"\d+", c[0]["content"]) for c in completions]
    return [float(bool(n) and n[-1] == gold) for n, gold in zip(last, answer)]


class Clock(TrainerCallback):
    seconds = []

    def on_step_begin(self, *_, **__):
        self.begin = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.begin)

    def on_log(self, args, state, control, logs=None, **_):
        if "reward" in (logs or {}):
            print(f"# step {state.global_step}: {self.seconds[-1]:.1f} s, reward {logs['reward']}", flush=True)


logging.disable_progress_bar()
trainer = GRPOTrainer(
    model=AutoModelForCausalLM.from_pretrained(folder.name, dtype=torch.float32),
    processing_class=AutoTokenizer.from_pretrained(folder.name, padding_side="left"),
    reward_funcs=reward, train_dataset=Dataset.from_list(rows), callbacks=[Clock()],
    args=GRPOConfig(
        output_dir=os.path.join(folder.name, "out"), per_device_train_batch_size=a.prompts * a.group,
        num_generations=a.group, max_completion_length=20, temperature=1.0, learning_rate=1e-5,
        lr_scheduler_type="constant", beta=0.0, max_steps=a.steps,
        logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
        activation_checkpointing=False, optim="adamw_torch", disable_tqdm=True, seed=a.seed))
trainer.train()
print(f"peer trl grpo_step_s {statistics.median(Clock.seconds[1:] or Clock.seconds):.2f}")
