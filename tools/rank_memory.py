#!/usr/bin/env python3
"""What each rank of a layout holds in memory at its peak, on the CPU, with random weights of a model's shape.

    tools/rank_memory.py [--bolide COMMAND] [--model CONFIG] [--data-type TYPE] [--layouts 1x1,2x1,1x2,...]

A layout is TENSORxPIPELINE. Its ranks are processes of this host that meet over Gloo; each generates --new-tokens ids for
--batch-size prompts of --input-len, and its peak is what the kernel counted as resident. Prints a Markdown table.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def peaks(args, tensor, pipeline, folder):
    """Peak resident bytes of each rank."""
    command = [args.bolide, "generate", "--model", args.model, "--load-format", "dummy", "--data-type", args.data_type,
               "--input", str(folder / "prompts.jsonl"), "--output", str(folder / "out.jsonl"), "--batch-size",
               str(args.batch_size), "--max-new-tokens", str(args.new_tokens), "--ignore-eos",
               "--tensor-para-size", str(tensor), "--pipeline-para-size", str(pipeline), "--threads", "1"]
    count = tensor * pipeline
    world = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if count > 1 else {}
    ranks = []
    for rank in range(count):
        own = {**os.environ, **world, "OMP_WAIT_POLICY": "passive"}
        if count > 1:
            own["RANK"] = str(rank)
        ranks.append(subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL))
    out = []
    for rank in ranks:
        _, status, used = os.wait4(rank.pid, 0)
        rank.returncode = os.waitstatus_to_exitcode(status)
        out.append(used.ru_maxrss * 1024)
    if any(rank.returncode for rank in ranks):
        sys.exit(f"rank_memory: a rank of {tensor}x{pipeline} failed")
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bolide", default=str(ROOT / "build/apps/bolide"))
    parser.add_argument("--model", default=str(ROOT / "bench/configs/bloom-560m.json"))
    parser.add_argument("--data-type", default="fp16")
    parser.add_argument("--layouts", default="1x1,2x1,1x2,1x3,2x2,4x1,1x4")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--input-len", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=8)
    args = parser.parse_args()
    print("| Layout | Peak of each rank, MB |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prompt = json.dumps({"input_ids": [i % 100 for i in range(args.input_len)]}) + "\n"
        (folder / "prompts.jsonl").write_text(prompt * args.batch_size)
        for layout in args.layouts.split(","):
            tensor, pipeline = map(int, layout.split("x"))
            figures = peaks(args, tensor, pipeline, folder)
            print(f"| TP={tensor} PP={pipeline} | {', '.join(f'{bytes_ / 1e6:.0f}' for bytes_ in figures)} |", flush=True)


if __name__ == "__main__":
    main()
