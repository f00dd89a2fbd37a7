#!/usr/bin/env python3
"""Holds `bolide tokenize` against the Python package `sentencepiece`: ids and the text back.

    compare_sentencepiece.py --bolide build/apps/bolide [--models N] [--lines N] [--seed N]

Models of both kinds with settings drawn from the seed are trained, and random lines of mixed scripts encoded with each.
Exit 0 when all agree, 77 where the package is not installed.
"""
import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import sentencepiece
except ImportError:
    print("SKIPPED: no Python package sentencepiece")
    sys.exit(77)

ALPHABETS = ["abcdefghij", "etaoinshr", "äöüßéèñ", "абвгдежз", "日本語世界漢字", "あいうえおカキク", "אבגד", "हिन्दी", "0123456789", ".,!?;:'\"-()",
             "<>&=+*/", "🙂🎉👍"]
# Not U+2581 itself, which the package takes for a blank where it drops those at the ends; transformers does not.
BLANKS = [" ", " ", " ", " ", "  ", "   ", "\t", "\n", " \n "]
# None begins within another: the package cuts such otherwise. Nor does the package keep a unigram model from a token that
# reaches into a piece of the user's, so that those have no letters.
PIECES = {"unigram": ["<sep>", ".*", "世"], "bpe": ["<sep>", ".*", "世", "ab", "the"]}


def word(r):
    alphabet = r.choice(ALPHABETS)
    return "".join(r.choice(alphabet) for _ in range(r.choice([1, 2, 3, 5, 8, 30])))


def line(r, pieces):
    out = []
    for _ in range(r.randint(1, 12)):
        out.append(r.choice(pieces) if pieces and r.random() < 0.2 else word(r))
        out.append(r.choice(BLANKS) if r.random() < 0.8 else "")
    return (r.choice(["", "", " ", "  "]) + "".join(out))


def settings(r):
    kind = r.choice(["bpe", "unigram"])
    pieces = r.sample(PIECES[kind], r.randint(1, 3)) if r.random() < 0.5 else []
    return pieces, dict(model_type=kind, byte_fallback=r.random() < 0.5, vocab_size=r.choice([400, 600, 900]),
                        normalization_rule_name="identity", add_dummy_prefix=r.random() < 0.6,
                        remove_extra_whitespaces=r.random() < 0.5, allow_whitespace_only_pieces=r.random() < 0.5,
                        user_defined_symbols=pieces, character_coverage=r.choice([0.98, 1.0]))


def as_good(package, want, got):
    """The package adds up the scores of a path in 32 bits, transformers in 64: of paths that are as good each may take its own."""
    score = [sum(package.get_score(id) for id in ids) for ids in (want, got)]
    return package.decode(want) == package.decode(got) and abs(score[0] - score[1]) < 1e-3


def tokenize(bolide, folder, flags, lines):
    done = subprocess.run([bolide, "tokenize", "--json", "--tokenizer-path", folder, *flags], capture_output=True, check=False,
                          input="".join(json.dumps(each) + "\n" for each in lines).encode())
    if done.returncode != 0:
        sys.exit(f"bolide tokenize ended with {done.returncode}: {done.stderr.decode()}")
    return [json.loads(each) for each in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    differences = ties = 0
    for number in range(args.models):
        r = random.Random(f"{args.seed} {number}")
        pieces, options = settings(r)
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line(r, []) for _ in range(300)]), model_writer=model, hard_vocab_limit=False, num_threads=1,
            minloglevel=2, **options)
        package = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        # Control pieces in a text are tokens to transformers and characters to the package.
        lines = [line(r, pieces) for _ in range(args.lines)]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "tokenizer.model").write_bytes(model.getvalue())
            encoded = tokenize(args.bolide, folder, [], lines)
            want = [package.encode(each) for each in lines]
            back = tokenize(args.bolide, folder, ["--decode"], want)
        for text, expected, encoding, decoded in zip(lines, want, encoded, back, strict=True):
            got = encoding["ids"]
            # The package writes " \u2047 " for what it does not know, transformers leaves it out.
            known = package.unk_id() not in expected
            ties += got != expected and as_good(package, expected, got)
            if (got != expected and not as_good(package, expected, got)) or (known and decoded != package.decode(expected)):
                differences += 1
                if differences <= 5:
                    print(f"DIFFERENT {json.dumps(options)}\n  {text!r}\n  package {expected} {package.decode(expected)!r}\n"
                          f"  bolide  {got} {decoded!r}")
    print(f"{args.models} models of {args.lines} lines: {differences} differ, {ties} took another path of the same score")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
