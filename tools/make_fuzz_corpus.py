#!/usr/bin/env python3
"""Writes the seeds of fuzz/corpus that are whole models: the folders of fuzz_folder, in that target's archive.

    python3 tools/make_fuzz_corpus.py [--output fuzz/corpus]

The model is the smallest there is (hidden size 2, one head, one layer, a vocabulary of 3), so that a seed is a few kB and
mutations hit its structure more often than its weights. Needs torch, for the pickled one.
"""
import argparse
import io
import json
import struct
from pathlib import Path

import torch

HIDDEN, VOCAB = 2, 3
CONFIG = {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "hidden_size": HIDDEN, "n_head": 1, "n_layer": 1,
          "vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "layer_norm_epsilon": 1e-5}
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None,
             "added_tokens": [{"id": 0, "content": "<s>", "special": True, "single_word": False, "lstrip": False,
                               "rstrip": False, "normalized": False}],
             "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
             "post_processor": None, "decoder": {"type": "ByteLevel"},
             "model": {"type": "BPE", "vocab": {"<s>": 0, "i": 1, "it": 2, "t": 3}, "merges": ["i t"]}}
INI = """[gpt]
model_name=x
num_layer=1
head_num=1
inter_size=8
size_per_head=2
vocab_size=3
tensor_para_size=1
weight_data_type=fp32
model_variant=bloom-pre
layernorm_eps=1e-05
layernorm_type=pre_layernorm
activation_type=Gelu
has_positional_encoding=False
has_pre_decoder_layernorm=True
has_post_decoder_layernorm=True
use_attention_linear_bias=True
start_id=1
end_id=2
"""


def shapes():
    """{name: shape} as transformers names and orders them."""
    def norm(name):
        return {f"{name}.weight": [HIDDEN], f"{name}.bias": [HIDDEN]}

    def linear(name, out, inner):
        return {f"{name}.weight": [out, inner], f"{name}.bias": [out]}

    return {"word_embeddings.weight": [VOCAB, HIDDEN], **norm("word_embeddings_layernorm"), **norm("h.0.input_layernorm"),
            **linear("h.0.self_attention.query_key_value", 3 * HIDDEN, HIDDEN),
            **linear("h.0.self_attention.dense", HIDDEN, HIDDEN), **norm("h.0.post_attention_layernorm"),
            **linear("h.0.mlp.dense_h_to_4h", 4 * HIDDEN, HIDDEN), **linear("h.0.mlp.dense_4h_to_h", HIDDEN, 4 * HIDDEN),
            **norm("ln_f")}


def count(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def safetensors(tensors):
    header, data = {}, 0
    for name, shape in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [data, data + 4 * count(shape)]}
        data += 4 * count(shape)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)


def pickled(tensors):
    """All of them views of one storage: an archive of four entries."""
    flat, state, at = torch.zeros(sum(map(count, tensors.values()))), {}, 0
    for name, shape in tensors.items():
        state[name] = flat[at:at + count(shape)].view(shape)
        at += count(shape)
    out = io.BytesIO()
    torch.save(state, out)
    return out.getvalue()


def ft_name(name):
    """FT's name of a tensor, without the rank."""
    head = {"word_embeddings.weight": "wte", "word_embeddings_layernorm": "pre_decoder_layernorm", "ln_f": "final_layernorm"}
    for hf, ft in head.items():
        if name.startswith(hf + ".") or name == hf:
            return "model." + ft + name[len(hf):]
    return "model.layers." + name[2:].replace("self_attention", "attention")


def ft_files(tensors):
    files = {"config.ini": INI.encode()}
    for name, shape in tensors.items():
        name = ft_name(name)
        split = any(part in name for part in ("query_key_value", "dense_h_to_4h")) or name.endswith("dense.weight") or \
            name.endswith("dense_4h_to_h.weight")
        files[f"{name}{'.0' if split else ''}.bin"] = bytes(4 * count(shape))
    return files


def folders():
    tensors = shapes()
    config = {"config.json": json.dumps(CONFIG).encode(), "tokenizer.json": json.dumps(TOKENIZER).encode()}
    names = list(tensors)
    parts = [dict.fromkeys(names[:8]), dict.fromkeys(names[8:])]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"metadata": {"total_size": 4 * sum(map(count, tensors.values()))},
             "weight_map": {name: shards[name in parts[1]] for name in names}}
    head = {**tensors, "lm_head.weight": [VOCAB, HIDDEN]}
    return {
        "safetensors": {**config, "model.safetensors": safetensors(tensors)},
        "head": {"config.json": json.dumps({**CONFIG, "eos_token_id": [2, 0], "tie_word_embeddings": False}).encode(),
                 "generation_config.json": b'{"eos_token_id": [2, 1], "bos_token_id": 1}',
                 "model.safetensors": safetensors(head)},
        "sharded": {**config, "model.safetensors.index.json": json.dumps(index, separators=(",", ":")).encode(),
                    **{shard: safetensors({name: tensors[name] for name in part}) for shard, part in zip(shards, parts)}},
        "pickled": {**config, "pytorch_model.bin": pickled(tensors),
                    "tokenizer_config.json": b'{"added_tokens_decoder": {"4": {"content": "<x>", "special": true}}}',
                    "added_tokens.json": b'{"<y>": 5}', "special_tokens_map.json": b'{"pad_token": "<z>"}'},
        "ft": {**ft_files(tensors), "vocab.json": b'{"i": 0, "t": 1, "it": 2}', "merges.txt": b"#version: 0.2\ni t\n"},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.parent / "fuzz" / "corpus")
    output = parser.parse_args().output / "fuzz_folder"
    output.mkdir(parents=True, exist_ok=True)
    for name, files in folders().items():
        (output / name).write_bytes(b"".join(f"<<<{file}>>>".encode() + data for file, data in files.items()))


if __name__ == "__main__":
    main()
