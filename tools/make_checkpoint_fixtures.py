#!/usr/bin/env python3
"""Writes the small checkpoints of tests/checkpoint/fixtures with the real torch and safetensors.

    python3 tools/make_checkpoint_fixtures.py [--output tests/checkpoint/fixtures]

Every element's value follows from its place, so that the tests need no recorded values: element i of a tensor in C order
is (7 * i) % 31 (its remainder by 2 for booleans). Needs torch and safetensors; about 30 kB come out.
"""
import argparse
import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64,
          "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
          "BOOL": torch.bool}


def ramp(shape, dtype=torch.float32):
    values = torch.arange(torch.Size(shape).numel()) * 7 % 31
    return (values % 2 if dtype == torch.bool else values).reshape(shape).to(dtype)


def plain_tensors():
    tensors = {f"dtype.{name}": ramp([3, 5], dtype) for name, dtype in DTYPES.items()}
    tensors["scalar"] = ramp([])
    tensors["empty"] = ramp([0, 4])
    tensors["six"] = ramp([2, 1, 3, 2, 2, 3])
    return tensors


def strided_tensors():
    """What only torch.save can hold: views. Each reads as a ramp."""
    block = torch.zeros(6, 8)
    block[1:5, 2:7] = ramp([4, 5])
    tied = ramp([4, 6])
    tensors = {"view.block": block[1:5, 2:7], "view.transposed": ramp([5, 3]).t().contiguous().t(),
               "tied.a": tied, "tied.b": tied, "parameter": torch.nn.Parameter(ramp([3, 3]))}
    assert not tensors["view.block"].is_contiguous() and not tensors["view.transposed"].is_contiguous()
    return tensors


class Tiny(torch.nn.Module):
    """Its state dict is an OrderedDict with torch's _metadata attribute, as real models have."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)
        self.norm = torch.nn.LayerNorm(4)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(ramp(list(parameter.shape)))


def sharded(folder, suffix, save):
    shards = {1: {"a.weight": ramp([4, 3])}, 2: {"b.weight": ramp([2, 6]), "c": ramp([5])}}
    names = {number: f"{'model' if suffix == 'safetensors' else 'pytorch_model'}-{number:05}-of-00002.{suffix}"
             for number in shards}
    folder.mkdir(exist_ok=True)
    for number, tensors in shards.items():
        save(tensors, folder / names[number])
    index = "model.safetensors.index.json" if suffix == "safetensors" else "pytorch_model.bin.index.json"
    weight_map = {name: names[number] for number, tensors in shards.items() for name in tensors}
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 116}, "weight_map": weight_map}, indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path,
                        default=Path(__file__).resolve().parent.parent / "tests/checkpoint/fixtures")
    out = parser.parse_args().output
    for name in ("safetensors_plain", "torch_plain"):
        (out / name).mkdir(parents=True, exist_ok=True)
    save_file(plain_tensors(), out / "safetensors_plain/model.safetensors", metadata={"format": "pt"})
    sharded(out / "safetensors_sharded", "safetensors", lambda tensors, path: save_file(tensors, path))
    torch.save(plain_tensors() | strided_tensors(), out / "torch_plain/pytorch_model.bin")
    sharded(out / "torch_sharded", "bin", torch.save)
    torch.save(Tiny().state_dict(), out / "module_protocol2.bin")
    torch.save(OrderedDict(Tiny().state_dict()), out / "module_protocol4.bin", pickle_protocol=4)
    torch.save(dict(Tiny().state_dict()), out / "module_legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": Tiny().state_dict(), "step": 3}, out / "trainer_state.bin")
    torch.save(Tiny(), out / "whole_module.bin")
    torch.save({"odd": ramp([4], torch.uint8).view(torch.uint16)}, out / "unknown_dtype.bin")
    torch.save({"known": torch.zeros(2).to(torch.complex64)}, out / "complex_dtype.bin")


if __name__ == "__main__":
    main()
