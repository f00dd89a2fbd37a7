"""What a person at a terminal sees while the command works: bars, and after `generate` how fast it was."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import unicodedata

import harness
from harness import CommandTest, golden
from ranks import environment

MODEL = "heads4_fp32_lm_head_tokenizer"
SPEED = re.compile(r"prompt (\d+) at ([0-9.]+) tokens/s, output (\d+) at ([0-9.]+) tokens/s, first token after (\d+) ms")


def width(text):
    """Columns, by Unicode's own tables."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def lines_of(seen):
    """The lines that were drawn over each other, or one after the other, without colours."""
    return re.split(r"[\r\n]+", re.sub(r"\033\[[0-9;]*[A-Za-z]", "", seen))


class Feedback(CommandTest):
    def at_terminal(self, *args, columns=80, stdout=subprocess.DEVNULL, **variables):
        """Runs the command with stderr on a terminal; what that received. `stdout` may be "terminal", too."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        parts = []

        def read():
            while True:
                try:
                    part = os.read(controller, 65536)
                except OSError:  # the last holder of the terminal has gone
                    return
                if not part:
                    return
                parts.append(part)

        process = subprocess.Popen(harness.command(*args), stdin=subprocess.DEVNULL, stderr=terminal,
                                   stdout=terminal if stdout == "terminal" else stdout, env=environment(**variables))
        os.close(terminal)
        reader = threading.Thread(target=read)
        reader.start()
        self.assertEqual(process.wait(100), 0, b"".join(parts))
        reader.join(20)
        os.close(controller)
        return b"".join(parts).decode()

    def prompts(self, count=6):
        return self.jsonl("prompts.jsonl", [{"prompt": "The fox", "max_new_tokens": 5}] * count)

    def bare_prompts(self, count=6):
        return self.jsonl("bare.jsonl", [{"prompt": "The fox"}] * count)

    def commands(self):
        texts = self.jsonl("texts.jsonl", [{"text": "The fox saw a bear"}] * 3)
        out = self.folder / "out"
        model = ["--model", golden(MODEL)]
        return {"generate": ["generate", *model, "--input", self.prompts(), "--output", out],
                "lambada": ["lambada", *model, "--dataset-path", texts],
                "logits": ["logits", *model, "--input", self.bare_prompts(), "--output", out],
                "bench": ["bench", *model, "--input-len", 4, "--output-len", 2, "--repeats", 1]}

    def test_loading_and_work_show_bars_that_never_wrap(self):
        for name, args in self.commands().items():
            for columns in (80, 24) if name == "generate" else (80,):
                with self.subTest(name, columns=columns):
                    seen = self.at_terminal(*args, columns=columns)
                    bars = [line for line in lines_of(seen) if not SPEED.search(line)]
                    self.assertTrue([bar for bar in bars if bar.startswith("load ") and "100 %" in bar], seen)
                    self.assertTrue([bar for bar in bars if bar.startswith(name) and "100 %" in bar], seen)
                    self.assertLess(max(width(bar) for bar in bars), columns)
                    # What was drawn last is cleared.
                    self.assertRegex(SPEED.sub("", seen).rstrip("\r\n"), r"\r\033\[K$")

    def test_quiet_and_pipes_show_nothing(self):
        for name, args in self.commands().items():
            with self.subTest(name):
                self.assertEqual(self.at_terminal(*args, "--quiet"), "")
                self.ok(*args)  # whose stderr must be empty
        self.assertEqual(self.at_terminal("convert", "-i", golden(MODEL), "-o", self.folder, "--quiet"), "")
        self.refused(*self.commands()["lambada"], "--quiet", "--show-progress", codes=[2], says="--quiet")

    def test_bar_of_generate_knows_how_many_there_are(self):
        seen = self.at_terminal("generate", "--model", golden(MODEL), "--input", self.prompts(6), "--output", self.folder / "o")
        self.assertIn("6/6", seen)
        (self.folder / "plain.txt").write_text("The fox\n\n  \nA bear\n")
        seen = self.at_terminal("generate", "--model", golden(MODEL), "--sample-input-file", self.folder / "plain.txt",
                                "--output", self.folder / "o", "--max-new-tokens", 3)
        self.assertIn("2/2", seen)
        os.mkfifo(self.folder / "pipe")
        writer = threading.Thread(target=lambda: (self.folder / "pipe").write_text('{"prompt": "a", "max_new_tokens": 2}\n' * 3))
        writer.start()
        seen = self.at_terminal("generate", "--model", golden(MODEL), "--input", self.folder / "pipe", "--output",
                                self.folder / "o")
        writer.join()
        self.assertRegex(seen, r"generate +\d")
        self.assertEqual(len((self.folder / "o").read_text().splitlines()), 3)

    def test_text_on_the_terminal_has_no_bar_in_it(self):
        for more in ([], ["--stream"]):
            seen = self.at_terminal("generate", "--model", golden(MODEL), "--prompt", "The fox", "--max-new-tokens", 4, *more,
                                    stdout="terminal")
            self.assertNotIn("generate ", seen)
        seen = self.at_terminal("generate", "--model", golden(MODEL), "--input", self.prompts(2), stdout="terminal")
        self.assertNotRegex(seen, r"generate +[#\-\d]")

    def test_speed_after_generate(self):
        path = self.jsonl("ids.jsonl", [{"input_ids": [5, 6, 7], "max_new_tokens": 4, "ignore_eos": True},
                                        {"input_ids": [8, 9], "max_new_tokens": 6, "ignore_eos": True}])
        for more in ([], ["--stream"]):
            seen = self.at_terminal("generate", "--model", golden(MODEL), "--input", path, "--output", self.folder / "o", *more)
            found = SPEED.search(seen)
            self.assertTrue(found, seen)
            self.assertEqual((found[1], found[3]), ("5", "10"))
            self.assertGreater(float(found[2]), 0)
            self.assertGreater(float(found[4]), 0)
            self.assertTrue(seen.rstrip().endswith(found[0]), seen)
        seen = self.at_terminal("generate", "--model", golden(MODEL), "--input",
                                self.jsonl("one.jsonl", [{"input_ids": [5], "max_new_tokens": 1, "ignore_eos": True}]),
                                "--output", self.folder / "o")
        self.assertGreater(float(SPEED.search(seen)[4]), 0)
        self.assertEqual(len([json.loads(line) for line in (self.folder / "o").read_text().splitlines()]), 1)

    def test_convert_lists_tensors_in_order(self):
        config = json.loads((golden(MODEL) / "config.json").read_text())
        for flags in (["-p", 1], ["-p", 4], ["-s"]):
            with self.subTest(flags):
                out = self.ok("convert", "-i", golden(MODEL), "-o", self.folder, "-tp", 2, "-v", "--force", *flags)
                lines = [line.split() for line in out.splitlines() if line.startswith(" - ")]
                names = [line[1] for line in lines]
                self.assertEqual(names[0], "model.wte")
                layers = [int(found[1]) for found in (re.match(r"model\.layers\.(\d+)\.", name) for name in names) if found]
                self.assertEqual(layers, sorted(layers))
                self.assertEqual(len(set(layers)), config["n_layer"])
                for line in lines:
                    self.assertTrue((self.folder / "2-gpu" / line[line.index("from") - 1]).is_file(), line)
                split = " ".join(next(line for line in lines if line[1] == "model.layers.0.mlp.dense_h_to_4h.weight"))
                self.assertTrue(split.endswith(f"({config['hidden_size']}, {2 * config['hidden_size']}) "
                                               "model.layers.0.mlp.dense_h_to_4h.weight.0.bin from model.safetensors s"))


if __name__ == "__main__":
    harness.main()
