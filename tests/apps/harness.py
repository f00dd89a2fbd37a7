"""What the end-to-end tests of the command share; the standard library alone.

A test file runs as `python3 FILE --bolide COMMAND --source DIR` (ctest passes both). With --all a file that asks for ALL
runs every combination, not a choice. With --gpus N the commands that run a model do so on GPUs, and layouts of more than N
ranks are skipped. --flags adds words to these commands.
"""
import argparse
import array
import functools
import json
import math
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BOLIDE = None
SOURCE = None
ALL = False
GPUS, FLAGS = 0, []
ON_A_DEVICE = ("generate", "lambada", "logits", "bench")


def main():
    global BOLIDE, SOURCE, ALL, GPUS, FLAGS
    parser = argparse.ArgumentParser()
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--flags", default="")
    args, rest = parser.parse_known_args()
    for number in (signal.SIGINT, signal.SIGHUP):  # a job in the background may ignore them, and so would what it starts
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    BOLIDE = str(Path(args.bolide).resolve())
    SOURCE = Path(args.source).resolve()
    ALL, GPUS, FLAGS = args.all, args.gpus, args.flags.split()
    result = unittest.main(module="__main__", argv=[sys.argv[0], *rest], exit=False).result
    for reason in sorted({reason for _, reason in result.skipped}):
        print(reason)
    if not result.wasSuccessful() or result.testsRun == 0:
        sys.exit(1)
    # Good, but not all of it was tested: ctest then says Skipped. With --gpus a choice of layouts is what was asked for.
    sys.exit(77 if result.skipped and not GPUS else 0)


def command(*args):
    """The words of `bolide ARGS`."""
    more = [*(["--device", "cuda"] if GPUS else []), *FLAGS] if args and args[0] in ON_A_DEVICE else []
    return [BOLIDE, *map(str, args), *more]


def without_address_sanitizer(test):
    """Skips a test of limits that the sanitizer itself exceeds: its shadow memory takes terabytes of address space."""
    @functools.wraps(test)
    def run(self):
        if b"__asan_init" in Path(BOLIDE).read_bytes():
            self.skipTest("no such limit under the address sanitizer")
        test(self)
    return run


class CommandTest(unittest.TestCase):
    """One temporary folder a test, and ways to run the command and to judge how it ended."""

    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="bolide-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.may_warn = False  # True: of a model whose files contradict themselves

    def run_bolide(self, *args, **options):
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if options["stdin"] is None:
            del options["stdin"]
        options.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(command(*args), stderr=subprocess.PIPE, text=True, encoding="utf-8", timeout=100,
                              **options)

    def ok(self, *args, **options):
        """Runs the command, which must succeed and say nothing on stderr; gives its stdout."""
        done = self.run_bolide(*args, **options)
        self.assertEqual(done.returncode, 0, f"{args}: {done.stderr}")
        self.assert_silent(done.stderr)
        return done.stdout

    def assert_silent(self, stderr, about=""):
        warning = "bolide: warning: " if self.may_warn else None
        self.assertEqual([line for line in stderr.splitlines() if not (warning and line.startswith(warning))], [], about)

    def refused(self, *args, says, codes=(1, 2), **options):
        """Runs the command, which must end with one of `codes` and one error line holding every word of `says`."""
        done = self.run_bolide(*args, **options)
        self.assert_one_error(done, codes, says)
        return done

    def assert_one_error(self, done, codes, says):
        self.assertIn(done.returncode, codes, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("bolide: error: "), lines[0])
        # Names of folders are in most messages, whatever they say: "heads" is in heads3_fp32.
        text = lines[0].replace(str(self.folder), "FOLDER").replace(str(SOURCE), "SOURCE")
        text = re.sub(r"SOURCE/tests/golden/\w+", "GOLDEN", text)
        words = [says] if isinstance(says, str) else says
        self.assertTrue(words and all(words), "a test that expects no word passes on any error")
        for word in words:
            self.assertIn(word, text)

    def jsonl(self, name, rows):
        """Writes rows (dicts as JSON, strings as they are) and gives the path."""
        path = self.folder / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    def golden_copy(self, name):
        """A case of tests/golden that may be damaged."""
        return Path(shutil.copytree(golden(name), self.folder / name))

    def generate_ids(self, model, prompts, *flags, new_tokens=24):
        """Greedy ids of prompts of ids, by `bolide generate`."""
        path = self.jsonl("prompts.jsonl", [{"input_ids": prompt} for prompt in prompts])
        out = self.ok("generate", "--model", model, "--input", path, "--max-new-tokens", new_tokens, *flags)
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([row["index"] for row in rows], list(range(len(prompts))))
        return [row["output_ids"] for row in rows]

    def score(self, *flags):
        """Runs `bolide lambada`: accuracy in percent, right ones, all, and the dumped cases."""
        path = self.folder / "cases.jsonl"
        out = self.ok("lambada", *flags, "--output-path", path)
        found = re.search(r"(?m)^Accuracy: ([0-9.]+)% \((\d+)/(\d+)\) \(elapsed time: [0-9.]+ sec, [0-9.]+ prompts/s\)$",
                          out)
        self.assertTrue(found, out)
        return float(found[1]), int(found[2]), int(found[3]), [json.loads(line) for line in path.read_text().splitlines()]


def golden(name):
    return SOURCE / "tests" / "golden" / name


def golden_cases():
    cases = json.loads((SOURCE / "tests" / "golden" / "manifest.json").read_text())["cases"]
    assert cases, "no golden cases: the tests over all of them would pass on nothing"
    return cases


def golden_record(name):
    record = json.loads((golden(name) / "golden.json").read_text())
    assert record["prompts"] and len(record["prompts"]) == len(record["greedy_ids"]), name
    return record


# ---- safetensors, by hand: tests must not trust the code that they test ---------------------------------------------
def read_safetensors(path):
    """(header with absolute order kept, data bytes)"""
    raw = Path(path).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    return header, raw[8 + size:]


def write_safetensors(path, header, data):
    """`header` may be a dict or, for headers that json.dumps cannot make, text."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_rows(path):
    """{name: [rows of floats]} of float32 matrices"""
    header, data = read_safetensors(path)
    out = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", entry
        rows, columns = entry["shape"]
        begin, end = entry["data_offsets"]
        assert end - begin == 4 * rows * columns, entry
        values = array.array("f", data[begin:end])
        out[name] = [values[r * columns:(r + 1) * columns] for r in range(rows)]
    return out


def worst_row_error(got, expected):
    """The largest distance of two rows relative to the norm of the expected one."""
    worst = 0.0
    assert len(got) == len(expected), (len(got), len(expected))
    for a, b in zip(got, expected):
        assert len(a) == len(b)
        norm = math.sqrt(sum(y * y for y in b))
        worst = max(worst, math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b))) / norm)
    return worst
