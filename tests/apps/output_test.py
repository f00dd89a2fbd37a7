"""What is written never destroys what is read, and is there whole or not at all."""
import json
import os
import resource
import signal
import stat
import subprocess
import threading
import time

import harness
from harness import CommandTest, golden, golden_record

MODEL = "heads4_fp32_lm_head_tokenizer"
ROW = '{"input_ids": [5, 6]}\n'


class Output(CommandTest):
    def setUp(self):
        super().setUp()
        self.model = self.golden_copy(MODEL)
        self.rows = self.folder / "rows.jsonl"
        self.rows.write_text(ROW * 3)
        self.texts = self.folder / "texts.jsonl"
        self.texts.write_text('{"text": "The fox saw"}\n' * 2)
        self.plain = self.folder / "plain.txt"
        self.plain.write_text("The fox\n" * 2)

    def refused_and_kept(self, file, *args, **options):
        """Refused as wrong usage, and `file` is as it was."""
        before = file.read_bytes()
        self.refused(*args, codes=[2], says="give another output", **options)
        self.assertEqual(file.read_bytes(), before)
        self.assertEqual([p.name for p in self.folder.rglob("*.partial-*")], [])

    def generate(self, *args):
        return ["generate", "--model", self.model, "--max-new-tokens", 2, *args]

    def test_an_input_is_no_output(self):
        for file, args in [
                (self.rows, self.generate("--input", self.rows, "--output", self.rows)),
                (self.plain, self.generate("--sample-input-file", self.plain, "--output", self.plain)),
                (self.texts, ["lambada", "--model", self.model, "--dataset-path", self.texts, "--output-path", self.texts]),
                (self.rows, ["logits", "--model", self.model, "--input", self.rows, "--output", self.rows])]:
            with self.subTest(args[0]):
                self.refused_and_kept(file, *args)

    def test_under_another_name_it_is_the_same_file(self):
        hard, soft = self.folder / "hard", self.folder / "soft"
        os.link(self.rows, hard)
        soft.symlink_to("rows.jsonl")
        (self.folder / "sub").mkdir()
        for name in (hard, soft, self.folder / "sub" / ".." / "rows.jsonl"):
            for command in ("generate", "logits"):
                with self.subTest(name=name.name, command=command):
                    self.refused_and_kept(self.rows, command, "--model", self.model, "--input", self.rows, "--output", name)
                    self.refused_and_kept(self.rows, command, "--model", self.model, "--input", name, "--output", self.rows)
        with open(self.rows) as stdin:
            self.refused_and_kept(self.rows, *self.generate("--input", "-", "--output", self.rows), stdin=stdin)

    def test_a_file_of_the_model_is_no_output(self):
        weights = self.model / "model.safetensors"
        link = self.folder / "link"
        os.link(weights, link)
        for file in (weights, self.model / "config.json", self.model / "tokenizer.json", link):
            for args in (self.generate("--input", self.rows, "--output", file),
                         ["logits", "--model", self.model, "--input", self.rows, "--output", file],
                         ["lambada", "--model", self.model, "--dataset-path", self.texts, "--output-path", file],
                         ["bench", "--model", self.model, "--json", file]):
                with self.subTest(file=file.name, command=args[0]):
                    self.refused_and_kept(file, *args)
        config = self.model / "config.json"
        self.refused_and_kept(config, "bench", "--model", config, "--load-format", "dummy", "--json", config)
        self.refused_and_kept(self.model / "tokenizer.json", "generate", "--model", golden("heads3_fp32"), "--input",
                              self.rows, "--tokenizer-path", self.model, "--output", self.model / "tokenizer.json")
        config = self.model / "tokenizer_config.json"
        config.write_text("{}")
        self.refused_and_kept(config, "generate", "--model", golden("heads3_fp32"), "--input", self.rows,
                              "--tokenizer-path", self.model / "tokenizer.json", "--output", config)

    def test_results_in_the_folder_of_the_model(self):
        out = self.model / "out.jsonl"
        for _ in range(2):
            self.ok(*self.generate("--input", self.rows, "--output", out))
        self.assertEqual(len(out.read_text().splitlines()), 3)

    def test_standard_output_is_an_output_too(self):
        with open(self.rows, "a") as stdout:
            self.refused_and_kept(self.rows, *self.generate("--input", self.rows), stdout=stdout)
        with open(self.plain, "a") as stdout, open(self.plain) as stdin:
            self.refused_and_kept(self.plain, "tokenize", "--tokenizer-path", self.model, stdin=stdin, stdout=stdout)
        out = self.folder / "out"
        out.write_text("")
        for args in (self.generate("--input", self.rows, "--output", out),
                     ["lambada", "--model", self.model, "--dataset-path", self.texts, "--output-path", out],
                     ["logits", "--model", self.model, "--input", self.rows, "--output", out],
                     ["bench", "--model", self.model, "--json", out]):
            with self.subTest(args[0]), open(out, "w") as stdout:
                self.refused_and_kept(out, *args, stdout=stdout)

    def test_links_stay_links(self):
        target, link = self.folder / "target", self.folder / "link"
        link.symlink_to("target")
        logits = ["logits", "--model", self.model, "--input", self.rows, "--output", link]
        for _ in range(2):  # the target is made, and then replaced
            self.ok(*logits)
            self.assertTrue(link.is_symlink())
            self.assertEqual(len(harness.read_rows(target)), 3)
        self.ok(*self.generate("--input", self.rows, "--output", link))
        self.assertTrue(link.is_symlink())
        self.assertEqual(len(target.read_text().splitlines()), 3)
        loop = self.folder / "loop"
        loop.symlink_to("loop")
        self.refused(*logits[:-1], loop, codes=[1], says=("loop", "symbolic links"))

    def test_the_standard_streams_by_name(self):
        before = [os.lstat(path)[:2] for path in ("/dev/stdout", "/dev/fd")]
        logits = ["logits", "--model", self.model, "--input", self.rows, "--output"]
        path = self.folder / "whole"
        self.ok(*logits, path)
        for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            with self.subTest(name):
                with open(self.folder / "given", "wb") as stdout:
                    self.ok(*logits, name, stdout=stdout)
                self.assertEqual((self.folder / "given").read_bytes(), path.read_bytes())
                piped = subprocess.run(harness.command(*logits, name), stdout=subprocess.PIPE, check=True, timeout=100)
                self.assertEqual(piped.stdout, path.read_bytes())
        self.assertEqual([os.lstat(path)[:2] for path in ("/dev/stdout", "/dev/fd")], before)

    def test_closed_standard_streams(self):
        out = self.folder / "out.jsonl"
        for closed in ((1,), (0, 1), (0, 1, 2)):
            with self.subTest(closed):
                args = ["lambada", "--model", self.model, "--dataset-path", self.texts, "--output-path", out]
                done = subprocess.run(harness.command(*args), preexec_fn=lambda: [os.close(fd) for fd in closed],
                                      stderr=subprocess.DEVNULL, timeout=100)
                self.assertEqual(done.returncode, 0)
                self.assertEqual([json.loads(line)["index"] for line in out.read_text().splitlines()], [0, 1])

    def test_the_mode_stays(self):
        out = self.folder / "out"
        logits = ["logits", "--model", self.model, "--input", self.rows, "--output", out]
        self.ok(*logits, umask=0o027)
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o640)
        out.chmod(0o604)
        self.ok(*logits, umask=0o077)
        self.assertEqual(stat.S_IMODE(out.stat().st_mode), 0o604)

    def test_what_a_killed_run_left_is_removed(self):
        out = self.folder / "out"
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        logits = ["logits", "--model", self.model, "--output", out]
        partials = lambda: sorted(p.name for p in self.folder.glob("out.partial-*"))
        with subprocess.Popen(harness.command(*logits, "--input", pipe), stderr=subprocess.DEVNULL) as process:
            deadline = time.time() + 60
            while not partials() and time.time() < deadline:
                time.sleep(0.01)
            first = partials()
            self.assertEqual(len(first), 1)
            self.assertRegex(first[0], r"^out\.partial-[0-9a-f]{16}$")
            self.ok(*logits, "--input", self.rows)  # the other run lives: its file is its own
            self.assertEqual(partials(), first)
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assertEqual(partials(), first)
        others = [self.folder / "out.partial-mine", self.folder / "other.partial-0123456789abcdef"]
        victim = self.folder / "victim"
        for path in (*others, victim):
            path.write_text("mine")
        link = self.folder / "out.partial-0123456789abcdef"
        link.symlink_to(victim)
        self.ok(*logits, "--input", self.rows)
        self.assertEqual(partials(), [link.name, "out.partial-mine"])
        for path in (*others, victim):
            self.assertEqual(path.read_text(), "mine")

    def test_ctrl_c_leaves_nothing_behind(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        out = self.folder / "out"
        bench = ["bench", "--model", self.model, "--input-len", 4, "--output-len", 2, "--repeats", 1000000, "--json", out]
        for args, partial in ((["logits", "--model", self.model, "--input", pipe, "--output", out], True), (bench, False)):
            with self.subTest(args[0]), subprocess.Popen(harness.command(*args), stdout=subprocess.PIPE,
                                                         stderr=subprocess.PIPE) as process:
                deadline = time.time() + 60
                while partial and not list(self.folder.glob("out.partial-*")) and time.time() < deadline:
                    time.sleep(0.01)
                if not partial:
                    process.stdout.readline()  # what the model is: loading is over
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=60)[1]
                self.assertEqual(process.returncode, -signal.SIGINT)
                self.assertRegex(said, rb"^(bolide: error: interrupted: .*\n)?$")
                self.assertEqual(list(self.folder.glob("out*")), [])

    def test_a_pipe_gets_what_a_file_would_get_whole(self):
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        got = []
        reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
        reader.start()
        self.ok("bench", "--model", self.model, "--input-len", 4, "--output-len", 2, "--repeats", 1, "--json", pipe)
        reader.join(20)
        self.assertEqual(json.loads(got[0])["input_len"], 4)

    def test_a_limit_on_the_size_of_files(self):
        # LLVM's OpenMP has a file of 1024 bytes of its own, so that the results must take more.
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
        self.rows.write_text(ROW * 60)
        self.texts.write_text('{"text": "The fox saw"}\n' * 60)
        for args in (self.generate("--input", self.rows, "--output", self.folder / "out"),
                     ["logits", "--model", self.model, "--input", self.rows, "--output", self.folder / "out"],
                     ["lambada", "--model", self.model, "--dataset-path", self.texts, "--output-path", self.folder / "out"]):
            with self.subTest(args[0]):
                self.refused(*args, codes=[1], says=("out", "File too large"), preexec_fn=limit)

    def test_an_interrupted_text_is_told_of(self):
        args = ["generate", "--model", self.model, "--prompt", "The fox", "--stream", "--ignore-eos", "-n", 60000,
                "--max-kv-tokens", 200000]
        with subprocess.Popen(harness.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            self.assertTrue(process.stdout.read(3))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        self.assertTrue(out.endswith(b"\n"))
        self.assertIn(b"0 texts are written whole, of another the beginning", err)


if __name__ == "__main__":
    harness.main()
