"""SmolLM2 from its GGUF file, for the Python side of the tests: exact float32 weights, tokenizer, transformers folder.

    python tests/smollm2.py MODEL.gguf --hf FOLDER      a folder that transformers loads
    python tests/smollm2.py MODEL.gguf --f32 FILE.gguf  the same weights as an f32 GGUF
"""
import argparse
import json
import os

import gguf
import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NAMES = {   # GGUF -> transformers
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def field(reader, key, default=None):
    return reader.fields[key].contents() if key in reader.fields else default


def config(reader):
    """The model's transformers config, as a dict."""
    n_heads = field(reader, "llama.attention.head_count")
    d_model = field(reader, "llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": len(field(reader, "tokenizer.ggml.tokens")), "hidden_size": d_model,
        "intermediate_size": field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": field(reader, "llama.block_count"), "num_attention_heads": n_heads,
        "num_key_value_heads": field(reader, "llama.attention.head_count_kv"), "head_dim": d_model // n_heads,
        "max_position_embeddings": field(reader, "llama.context_length"),
        "rms_norm_eps": round(field(reader, "llama.attention.layer_norm_rms_epsilon"), 12),
        "rope_theta": field(reader, "llama.rope.freq_base"), "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": all(t.name != "output.weight" for t in reader.tensors), "torch_dtype": "float32",
        "bos_token_id": field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": field(reader, "tokenizer.ggml.padding_token_id"),
    }


def weights(reader, cfg):
    """Exactly dequantised float32 weights by transformers name. GGUF stores q and k rows as RoPE pairs (i, i+1)
    lie side by side; transformers pairs (i, i + head_dim/2)."""
    out = {}
    for t in reader.tensors:
        w = np.array(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32)
        stem = t.name.removesuffix(".weight")
        if stem.startswith("blk."):
            _, layer, stem = stem.split(".")
            name = f"model.layers.{layer}.{NAMES[stem]}.weight"
        else:
            name = f"{NAMES[stem]}.weight"
        if stem in ("attn_q", "attn_k"):
            heads = cfg["num_attention_heads" if stem == "attn_q" else "num_key_value_heads"]
            w = np.ascontiguousarray(w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape))
        out[name] = w
    return out


def tokenizer(reader, digits=True):
    """The published SmolLM2 tokenizer; without digits, GPT-2's pre-tokenizer over the same vocabulary."""
    tokens = field(reader, "tokenizer.ggml.tokens")
    merges = [tuple(m.split(" ")) for m in field(reader, "tokenizer.ggml.merges")]
    tok = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level]) if digits else byte_level
    tok.decoder = decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=True)
    special = [t for t, kind in zip(tokens, field(reader, "tokenizer.ggml.token_type")) if kind == gguf.TokenType.CONTROL]
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
    return tok


def tokenizer_config(reader):
    tokens = field(reader, "tokenizer.ggml.tokens")
    token = lambda key: tokens[field(reader, f"tokenizer.ggml.{key}_token_id")]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "clean_up_tokenization_spaces": False,
        "bos_token": token("bos"), "eos_token": token("eos"), "pad_token": token("padding"), "unk_token": token("unknown"),
        "model_max_length": field(reader, "llama.context_length"), "chat_template": field(reader, "tokenizer.chat_template"),
    }


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, ensure_ascii=False)
        f.write("\n")


def write_tokenizer(reader, folder):
    os.makedirs(folder, exist_ok=True)
    tokenizer(reader).save(f"{folder}/tokenizer.json")
    write_json(f"{folder}/tokenizer_config.json", tokenizer_config(reader))


def write_hf(reader, folder):
    write_tokenizer(reader, folder)
    cfg = config(reader)
    write_json(f"{folder}/config.json", cfg)
    write_json(f"{folder}/generation_config.json", {k: cfg[k] for k in ("bos_token_id", "eos_token_id", "pad_token_id")})
    save_file(weights(reader, cfg), f"{folder}/model.safetensors", metadata={"format": "pt"})


def write_f32(reader, path):
    """The same file with every tensor as f32, for peers that read GGUF."""
    w = gguf.GGUFWriter(path, field(reader, "general.architecture"))
    for key, f in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value, kind = f.contents(), f.types[0]
        if key == "general.file_type":
            value = gguf.LlamaFileType.ALL_F32
        w.add_key_value(key, value, kind, sub_type=f.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for t in reader.tensors:
        w.add_tensor(t.name, gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--hf")
    p.add_argument("--f32")
    a = p.parse_args()
    r = gguf.GGUFReader(a.model)
    if a.hf:
        write_hf(r, a.hf)
    if a.f32:
        write_f32(r, a.f32)
