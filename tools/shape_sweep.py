#!/usr/bin/env python3
"""Runs models of random shapes, under random settings, and looks at how they end.

    tools/shape_sweep.py --bolide COMMAND [--device cpu|cuda] [--gpus N] [--count 200] [--seed 1] [--jobs 1]
                         [--only I] [--most-elements N] [-v]

Shapes have heads from 1 on, head sizes from 1 to 512, vocabularies from 2 to 262,147 and every data type; settings are
batch and chunk sizes, sizes of the cache, sampling, ranks as threads, and on a GPU graphs and deterministic mode. Weights
are random (--load-format dummy). Shape number I follows from the seed and I alone: --only I runs one again.

A run must end with 0, or with one line that begins `bolide: error: `; never with an internal fault, by a signal or after
the time-out. It may be refused only where the shape or the settings say so. Shapes in fp32 run a second time under other
settings, which must give the same ids but where two logits are as good as equal.

The last line counts; exit 1 where anything is not as it should be.
"""
import argparse
import concurrent.futures
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HEADS = [1, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 25, 32, 33, 64]
HEAD_SIZES = [1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 31, 32, 33, 40, 48, 63, 64, 64, 64, 80, 96, 100, 112, 127, 128, 128, 128, 129,
              160, 192, 200, 255, 256, 257, 320, 511, 512]
VOCABS = [2, 3, 5, 16, 17, 31, 64, 97, 255, 256, 257, 1000, 1003, 4096, 8191, 8192, 8193, 16384, 32000, 50257, 65537, 131072,
          250880, 262144, 262147]
LARGEST_HEAD, LARGEST_GPU_VOCAB = 256, 1 << 20
NEAR = 1e-3  # of a log-probability: a draw that differs by less went the other way at a tie


def draw_shape(rng, most_elements):
    while True:
        heads, size, vocab, layers = (rng.choice(HEADS), rng.choice(HEAD_SIZES), rng.choice(VOCABS), rng.choice([1, 1, 2, 3]))
        hidden = heads * size
        if hidden * (vocab + 12 * hidden * layers) <= most_elements:
            return {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": vocab, "hidden_size": hidden,
                    "n_layer": layers, "n_head": heads, "layer_norm_epsilon": 1e-5,
                    "apply_residual_connection_post_layernorm": rng.random() < 0.3, "bos_token_id": 1, "eos_token_id": vocab - 1,
                    "torch_dtype": rng.choice(["float32", "float16", "bfloat16"])}


def draw_requests(rng, vocab):
    rows = []
    for _ in range(rng.choice([1, 1, 2, 3, 5, 9])):
        length = rng.choice([1, 1, 2, 3, 5, 8, 9, 15, 16, 17, 33, 64, 65, 100])
        row = {"input_ids": [rng.randrange(vocab) for _ in range(length)], "max_new_tokens": rng.choice([1, 2, 5, 9])}
        kind = rng.randrange(5)
        if kind == 1:
            row.update(top_k=rng.choice([1, 2, 40, 2000]), seed=rng.randrange(1000))
        elif kind == 2:
            row.update(top_p=rng.choice([0.1, 0.9, 1.0]), temperature=rng.choice([0.01, 0.7, 3.0]))
        elif kind == 3:
            row.update(top_k=5, top_p=0.5, seed=7)
        rows.append(row)
    return rows


def draw_settings(rng, args, shape, longest):
    """Flags, and whether they may make the run be refused."""
    flags, may_refuse = [], False
    flags += ["--batch-size", rng.choice([1, 2, 3, 8, 64, 1000])]
    if rng.random() < 0.6:
        flags += ["--max-chunk-tokens", rng.choice([1, 2, 7, 16, 64, 1000])]
    tokens = rng.choice([None, None, 16, longest, 10 * longest, 100000])
    if tokens:
        flags += ["--max-kv-tokens", tokens]
        may_refuse = tokens < longest
    if rng.random() < 0.5:
        flags += ["--ignore-eos"]
    ranks = 1
    if rng.random() < 0.25 and shape["n_head"] % 2 == 0:
        flags += ["-tp", 2]
        ranks *= 2
    if rng.random() < 0.25 and shape["n_layer"] > 1:
        flags += ["-pp", 2]
        ranks *= 2
        if rng.random() < 0.5:
            flags += ["--micro-batch-tokens", rng.choice([1, 8, 100])]
    if args.device == "cpu":
        flags += ["--threads", rng.choice([1, 2, 3])]
        return flags, may_refuse
    flags += ["--device", "cuda"]
    if ranks > 1:
        flags += ["--devices", ",".join(str(rank % args.gpus) for rank in range(ranks))]
    if rng.random() < 0.3:
        flags += ["--no-cuda-graphs"]
    if rng.random() < 0.3:
        flags += ["--deterministic"]
    if not tokens:
        flags += rng.choice([[], ["--kv-cache-fraction", 0.01], ["--kv-cache-fraction", 0.3], ["--kv-cache-fraction", 1]])
    return flags, may_refuse


class Sweep:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder

    def run(self, config, rows, flags, name):
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        command = [self.args.bolide, "generate", "--load-format", "dummy", "--model", config, "--input", path,
                   "--return-log-probs", *flags]
        command = [str(word) for word in command]
        try:
            return command, subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                           timeout=self.args.timeout)
        except subprocess.TimeoutExpired:
            return command, None

    def judge(self, done, must_refuse, may_refuse):
        """What is wrong with how a run ended; None for nothing, "memory" where others had taken the GPU's."""
        if done is None:
            return "it did not end"
        if done.returncode not in (0, 1, 2):
            return f"it ended with {done.returncode}: {done.stderr[-400:]}"
        # What is said of ranks that share a GPU is as it should be.
        lines = [line for line in done.stderr.splitlines() if not re.fullmatch(r"bolide: warning: ranks .* share .*", line)]
        if done.returncode == 0:
            return "it was not refused" if must_refuse else None if not lines else f"it said {done.stderr[-400:]}"
        if len(lines) != 1 or not lines[0].startswith("bolide: error: ") or "internal" in lines[0]:
            return f"not one error line: {done.stderr[-400:]}"
        if must_refuse or may_refuse:
            return None
        if self.args.device == "cuda" and self.args.jobs > 1 and "memory" in lines[0]:
            return "memory"
        return f"refused: {lines[0]}"

    @staticmethod
    def differ(first, second):
        """Where two runs' ids are not the same, although no tie explains it."""
        for a, b in zip(first, second):
            for i, (x, y) in enumerate(zip(a["output_ids"], b["output_ids"])):
                if x == y:
                    continue
                if abs(a["log_probs"][i] - b["log_probs"][i]) > NEAR:
                    return f"request {a['index']} drew {x} and {y} as number {i}"
                break
            else:
                # An end id, of which there is no log-probability, may have been one side of a tie.
                if len(a["output_ids"]) != len(b["output_ids"]) and "end_id" not in (a["finish_reason"], b["finish_reason"]):
                    return f"request {a['index']} has {len(a['output_ids'])} and {len(b['output_ids'])} ids"
        return None

    def one(self, index):
        rng = random.Random(f"{self.args.seed}/{index}")
        shape = draw_shape(rng, self.args.most_elements)
        config = self.folder / f"{index}.json"
        config.write_text(json.dumps(shape))
        rows = draw_requests(rng, shape["vocab_size"])
        longest = max(len(row["input_ids"]) + row["max_new_tokens"] for row in rows)
        must_refuse = shape["hidden_size"] // shape["n_head"] > LARGEST_HEAD
        title = "{}: {n_head} heads of {size}, {n_layer} layers, {vocab_size} ids, {torch_dtype}".format(
            index, size=shape["hidden_size"] // shape["n_head"], **shape)
        flags, may_refuse = draw_settings(rng, self.args, shape, longest)
        command, done = self.run(config, rows, flags, f"{index}a")
        wrong = self.judge(done, must_refuse, may_refuse)
        if wrong is None and done.returncode == 0 and shape["torch_dtype"] == "float32":
            # Greedily, once as drawn and once alone, whole, on one rank.
            for row in rows:
                for name in ("top_k", "top_p", "temperature", "seed"):
                    row.pop(name, None)
            first_command, first = self.run(config, rows, flags, f"{index}b")
            plain = ["--batch-size", 1] + (["--device", "cuda", "--kv-cache-fraction", 0.05] if self.args.device == "cuda" else [])
            command, second = self.run(config, rows, plain + (["--ignore-eos"] if "--ignore-eos" in flags else []), f"{index}c")
            wrong = self.judge(first, False, False) or self.judge(second, False, False)
            if wrong is None and "-tp" not in flags:  # random weights of a part are others than the part of random weights
                wrong = self.differ(*([json.loads(line) for line in run.stdout.splitlines()] for run in (first, second)))
                if wrong:
                    wrong += "\n    " + " ".join(first_command)
        return title, wrong, " ".join(command)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--most-elements", type=int, default=20_000_000, help="weights of a model")
    parser.add_argument("--timeout", type=float, default=120)
    parser.add_argument("-v", "--verbose", action="store_true")
    args = parser.parse_args()
    bad, memory = 0, 0
    indices = [args.only] if args.only is not None else range(args.count)
    with tempfile.TemporaryDirectory(prefix="bolide-sweep-") as folder:
        sweep = Sweep(args, Path(folder))
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for title, wrong, command in pool.map(sweep.one, indices):
                memory += wrong == "memory"
                if wrong and wrong != "memory":
                    bad += 1
                    print(f"{title}\n    {wrong}\n    {command}")
                elif args.verbose:
                    print(f"{title}: {'no memory left by others' if wrong else 'as it should be'}", flush=True)
    print(f"shape_sweep: {len(indices)} shapes on {args.device}, {bad} not as they should be"
          + (f", {memory} without memory beside the others" if memory else ""))
    sys.exit(1 if bad or memory > len(indices) / 4 else 0)


if __name__ == "__main__":
    main()
