#!/usr/bin/env python3
"""Times encoding and decoding on one thread, Bolide's beside that of the Python package `tokenizers`.

    cmake --build build --target bench_tokenizer
    bench_tokenizer.py --program build/tests/text/bench_tokenizer --tokenizer-path DIR --text FILE [--runs 5] [--json F]

The text is encoded line by line. Both sides read it before the clock starts and run in turn, and the best run
counts. The package's time includes one call from Python for each line, some 1 us of its 20 or more; the second
figure for it is encode_batch, which makes one call of all lines, with parallelism off.
"""

import argparse
import json
import os
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

try:
    import tokenizers
except ImportError as error:
    sys.exit(f"this benchmark compares with the Python package `tokenizers`: {error}")


def best(runs, work):
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - started)
    return min(times), result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the program bench_tokenizer of this build")
    parser.add_argument("--tokenizer-path", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", help="where to write the figures")
    args = parser.parse_args()

    with open(args.text, "rb") as file:
        lines = [line.decode(errors="replace") for line in file.read().split(b"\n")]
    megabytes = sum(len(line.encode()) for line in lines) / 1e6

    started = time.perf_counter()
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(args.tokenizer_path, "tokenizer.json"))
    load = time.perf_counter() - started
    encode, ids = best(args.runs, lambda: [tokenizer.encode(line).ids for line in lines])
    batch, _ = best(args.runs, lambda: tokenizer.encode_batch(lines))
    decode, _ = best(args.runs, lambda: [tokenizer.decode(each) for each in ids])
    tokens = sum(len(each) for each in ids)
    package = {"load_ms": load * 1e3, "encode_mb_per_s": megabytes / encode,
               "encode_batch_mb_per_s": megabytes / batch, "decode_mtokens_per_s": tokens / decode / 1e6}

    done = subprocess.run([args.program, args.tokenizer_path, args.text, str(args.runs)], check=True,
                          stdout=subprocess.PIPE)
    bolide = json.loads(done.stdout)
    if bolide.pop("tokens") != tokens:
        sys.exit("the two disagree about the number of tokens: see tests/text/compare_tokenizers.py")

    print(f"{megabytes:.1f} MB, {len(lines)} lines, {tokens} tokens, one thread, tokenizers {tokenizers.__version__}")
    print(f"{'':24}{'bolide':>10}{'package':>10}{'ratio':>8}")
    for name in ("load_ms", "encode_mb_per_s", "encode_batch_mb_per_s", "decode_mtokens_per_s"):
        ours, theirs = bolide[name.replace("encode_batch", "encode")], package[name]
        ratio = theirs / ours if name == "load_ms" else ours / theirs
        print(f"{name:24}{ours:10.1f}{theirs:10.1f}{ratio:8.2f}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"megabytes": megabytes, "tokens": tokens, "bolide": bolide, "tokenizers": package}, file, indent=2)


if __name__ == "__main__":
    main()
