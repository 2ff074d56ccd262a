"""PyTorch's speed at one training step of SmolLM2: forward, cross-entropy, backward, AdamW, float32.

Prints: peer torch train_tok_s VALUE (median over the timed steps).
"""
import argparse
import statistics
import time

import gguf
import torch
from transformers import AutoConfig, LlamaForCausalLM

import smollm2

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--model", required=True)
p.add_argument("--sequences", type=int, default=64)
p.add_argument("--tokens", type=int, default=64)
p.add_argument("--micro", type=int, default=0, help="sequences in one forward and backward; 0: all")
p.add_argument("--steps", type=int, default=2)
a = p.parse_args()

reader = gguf.GGUFReader(a.model)
config = smollm2.config(reader)
model = LlamaForCausalLM(AutoConfig.for_model(**config)).float().train()
model.load_state_dict({k: torch.from_numpy(v) for k, v in smollm2.weights(reader, config).items()}, strict=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
tokens = torch.randint(17, config["vocab_size"], (a.sequences, a.tokens), generator=torch.Generator().manual_seed(1))
micro = a.micro or a.sequences


def step():
    optimizer.zero_grad()
    for part in tokens.split(micro):
        loss = model(part, labels=part, use_cache=False).loss * (len(part) / len(tokens))
        loss.backward()
    optimizer.step()


seconds = []
for i in range(a.steps + 1):   # the first one warms up
    begin = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - begin)
    print(f"# step {i}: {seconds[-1]:.2f} s, {torch.get_num_threads()} threads", flush=True)
print(f"peer torch train_tok_s {tokens.numel() / statistics.median(seconds[1:]):.1f}")
