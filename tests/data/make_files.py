"""Makes tests/data/files/: small model files by the formats' own Python libraries, and what these say is inside.

    pip install gguf==0.19.0 safetensors==0.8.0 numpy && python tests/data/make_files.py [model.gguf]

With a model it also prints the table of tensor sums that tests/test_files.c holds."""
import json, os, sys
import gguf, numpy as np
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "files")
os.makedirs(os.path.join(here, "shards"), exist_ok=True)
rng = np.random.default_rng(7)


def quant():
    """quant.gguf: a tensor of each format, a value of each metadata type; quant.safetensors: the tensors as gguf-py expands
    them."""
    w = gguf.GGUFWriter(os.path.join(here, "quant.gguf"), "llama")
    w.add_custom_alignment(64)
    for add, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4000000000),
                       ("int32", -2000000000), ("uint64", 2 ** 63 - 1), ("int64", -2 ** 62), ("float32", 1e-5),
                       ("float64", 0.1), ("bool", True), ("string", "h\u00e9llo")):
        getattr(w, "add_" + add)("t." + add, value)
    w.add_array("list.string", ["", "a", "\u0120the", "\U0001f600"])
    w.add_array("list.int32", [1, -2, 3])
    w.add_array("list.float32", [0.5, -1.5])
    w.add_array("list.bool", [True, False])
    x = rng.normal(size=(3, 64)).astype(np.float32)
    x[0, :32] = 0                                   # a block whose scale is zero
    x[1, 0], x[1, 1] = 1e-6, 900.0                  # a scale in f16 with a large range
    x[2, 32:] *= 1e-7                               # a scale that is subnormal in f16
    expanded = {}
    for q in (Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1):
        data = gguf.quantize(x, q)
        w.add_tensor(q.name, data, raw_dtype=q)
        expanded[q.name] = np.ascontiguousarray(gguf.dequantize(data, q).astype(np.float32).reshape(x.shape))
    for name, a in (("F64", x[:, :5].astype(np.float64)), ("I8", np.arange(-4, 4, dtype=np.int8).reshape(2, 2, 2)),
                    ("I16", np.arange(3, dtype=np.int16)), ("I32", np.array([-2 ** 31, 2 ** 24], np.int32)),
                    ("I64", np.array([[-2 ** 40], [7]], np.int64))):
        w.add_tensor(name, a)
        expanded[name] = a.astype(np.float32)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    save_file(expanded, os.path.join(here, "quant.safetensors"))


def plain():
    """plain.safetensors: what a save of ours must equal byte by byte; types.safetensors: every type, one unknown to us."""
    save_file({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.weight": np.array([0.5, -0.25], np.float32)},
              os.path.join(here, "plain.safetensors"), {"format": "pt"})
    save_file({"f64": np.array([[0.1, -1e300]], np.float64), "f32": np.array(2.5, np.float32),
               "f16": np.array([[1.5], [6e-8], [65504.0]], np.float16), "i64": np.array([2 ** 60, -3], np.int64),
               "i32": np.array([7, -8], np.int32), "i8": np.array([-128, 127], np.int8), "bool": np.array([True, False]),
               "empty": np.zeros((0, 4), np.float32)}, os.path.join(here, "types.safetensors"), {"made by": "\"us\""})


def shards():
    folder = os.path.join(here, "shards")
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file({"x": np.array([1, 2], np.float32)}, os.path.join(folder, names[0]), {"format": "pt"})
    save_file({"y": np.array([3], np.float32), "z": np.array([4], np.float16)}, os.path.join(folder, names[1]),
              {"format": "pt"})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {"total_size": 14}, "weight_map": {"x": names[0], "y": names[1], "z": names[1]}}, f, indent=2)


def mix(a):
    """Order-sensitive sum of a tensor's bits: sum of bits[i] * (2 i + 1) modulo 2^64."""
    bits = np.ascontiguousarray(a, np.float32).reshape(-1).view(np.uint32).astype(np.uint64)
    return int((bits * (2 * np.arange(bits.size, dtype=np.uint64) + 1)).sum(dtype=np.uint64))


def model(path):
    total = 0
    for t in gguf.GGUFReader(path).tensors:
        a = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
        total = (total * 31 + mix(a)) % 2 ** 64
        if t.name in ("token_embd.weight", "blk.0.attn_norm.weight", "blk.0.ffn_down.weight", "blk.29.attn_q.weight",
                      "output_norm.weight"):
            print('        {"%s", %.17g, %du},' % (t.name, a.astype(np.float64).sum(), mix(a)))
    print("    all: %du" % total)


quant()
plain()
shards()
if len(sys.argv) > 1:
    model(sys.argv[1])
