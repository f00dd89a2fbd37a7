#!/usr/bin/env python3
"""A signal ends what is tokenising a text that would take long.

    interrupt_test.py --bolide build/apps/bolide --source .
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

# A search at each of the text's characters takes some 10 ms.
SLOW = {"type": "Split", "pattern": {"Regex": "(?:a|a){20}b|a"}, "behavior": "Isolated", "invert": False}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--source", required=True)
    args = parser.parse_args()
    demo = os.path.join(args.source, "examples/demo/model")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(demo, "tokenizer.json"), encoding="utf-8") as file:
            tokenizer = json.load(file)
        tokenizer["pre_tokenizer"]["pretokenizers"][0] = SLOW
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(tokenizer, file)
        text = os.path.join(folder, "text")
        with open(text, "w", encoding="utf-8") as file:
            file.write("a" * 5_000_000 + "\n")  # 12 s are allowed for it
        generate = [args.bolide, "generate", "--model", demo, "--tokenizer-path", folder, "--sample-input-file", text]
        tokenize = [args.bolide, "tokenize", "--tokenizer-path", folder]
        texts = os.path.join(folder, "texts")
        with open(texts, "w", encoding="utf-8") as file:
            file.write(json.dumps({"text": "a" * 5_000_000 + " b"}) + "\n")
        lambada = [args.bolide, "lambada", "--model", demo, "--tokenizer-path", folder, "--dataset-path", texts]
        says = {"generate": "interrupted: 0 results", "lambada": "error: interrupted", "tokenize": ""}
        for command, sign in [(generate, signal.SIGINT), (generate, signal.SIGTERM), (tokenize, signal.SIGINT),
                              (lambada, signal.SIGINT)]:
            with open(text, "rb") as given, subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE,
                                                             stderr=subprocess.PIPE) as process:
                time.sleep(1)
                sent = time.monotonic()
                process.send_signal(sign)
                error = process.communicate()[1].decode()
                taken = time.monotonic() - sent
            if process.returncode != -sign or taken > 5 or says[command[1]] not in error:
                sys.exit(f"{command[1]} and {sign!r}: ended with {process.returncode} after {taken:.1f} s: {error}")


if __name__ == "__main__":
    main()
