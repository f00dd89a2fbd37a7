"""Standard streams, disks that are full, readers that go away, Ctrl-C."""
import json
import os
import pty
import select
import signal
import subprocess
import time

import harness
from harness import CommandTest, golden, golden_record

MODEL = "heads4_fp32_lm_head_tokenizer"



class Streams(CommandTest):
    def test_standard_input_and_output(self):
        record = golden_record(MODEL)
        rows = "".join(json.dumps({"input_ids": p}) + "\r\n\n" for p in record["prompts"])
        out = self.ok("generate", "--model", golden(MODEL), "--input", "-", "--max-new-tokens", 24, input=rows)
        self.assertEqual([json.loads(line)["output_ids"] for line in out.splitlines()], record["greedy_ids"])
        path = self.folder / "out.jsonl"
        self.assertEqual(self.ok("generate", "--model", golden(MODEL), "--input", "-", "--max-new-tokens", 24, "--output",
                                 path, input=rows), "")
        self.assertEqual(path.read_text(), out)

    def test_a_result_comes_before_the_next_line_is_written(self):
        with subprocess.Popen(harness.command("generate", "--model", golden(MODEL), "--input", "-"),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            for index in range(2):
                process.stdin.write('{"input_ids": [5], "max_new_tokens": 2}\n')
                process.stdin.flush()
                self.assertTrue(select.select([process.stdout], [], [], 60)[0], "no result")
                self.assertEqual(json.loads(process.stdout.readline())["index"], index)
            process.stdin.close()
            self.assertEqual(process.wait(60), 0)

    def test_text_of_prompts_is_the_same_streamed_or_not(self):
        flags = ["generate", "--model", golden(MODEL), "--prompt", "The fox", "[a, b]", "--max-new-tokens", 12]
        whole = self.ok(*flags)
        self.assertEqual(self.ok(*flags, "--stream"), whole)
        self.assertEqual(self.ok(*flags, "--stream", "--batch-size", 1), whole)
        texts = [json.loads(line)["text"] for line in self.ok(*flags, "--output", "-").splitlines()]
        self.assertEqual(len(texts), 2)
        self.assertEqual(whole, "".join(text + "\n" for text in texts))

    def test_streamed_lines_add_up(self):
        rows = self.jsonl("two.jsonl", [{"prompt": "The fox", "max_new_tokens": 9},
                                        {"prompt": "[a, b]", "max_new_tokens": 5}])
        lines = [json.loads(line) for line in
                 self.ok("generate", "--model", golden(MODEL), "--input", rows, "--stream").splitlines()]
        results = [line for line in lines if "output_ids" in line]
        self.assertEqual([r["index"] for r in results], [0, 1])
        for result in results:
            tokens = [line for line in lines if "id" in line and line["index"] == result["index"]]
            self.assertEqual([t["id"] for t in tokens if t["id"] is not None], result["output_ids"])
            self.assertEqual("".join(t["text"] for t in tokens), result["text"])

    def test_plain_text_file(self):
        path = self.folder / "prompts.txt"
        path.write_text("The fox\nA second one\n")
        lines = self.ok("generate", "--model", golden(MODEL), "--sample-input-file", path, "--output-len", 3)
        self.assertEqual([len(json.loads(line)["output_ids"]) for line in lines.splitlines()], [3, 3])

    def test_sampling_depends_on_seed_and_not_on_the_batch(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5, 6, 7]}] * 6)
        flags = ["generate", "--model", golden(MODEL), "--input", rows, "--top-k", 40, "--temperature", 2]
        first = self.ok(*flags, "--seed", 1)
        self.assertEqual(self.ok(*flags, "--seed", 1, "--batch-size", 1), first)
        self.assertNotEqual(self.ok(*flags, "--seed", 2), first)
        # The line and its neighbours have no say either.
        ids = [json.loads(line)["output_ids"] for line in first.splitlines()]
        self.assertEqual(ids, ids[:1] * 6)
        alone = self.jsonl("alone.jsonl", [{"input_ids": [9, 8]}, {"input_ids": [5, 6, 7], "seed": 1}])
        flags[4] = alone
        self.assertEqual(json.loads(self.ok(*flags, "--seed", 7).splitlines()[1])["output_ids"], ids[0])

    def test_ignore_eos_and_stop(self):
        rows = self.jsonl("rows.jsonl", [{"prompt": "The fox", "max_new_tokens": 8}])
        whole = json.loads(self.ok("generate", "--model", golden(MODEL), "--input", rows, "--ignore-eos"))
        self.assertEqual(len(whole["output_ids"]), 8)
        stop = whole["text"][3:5]
        cut = json.loads(self.ok("generate", "--model", golden(MODEL), "--input", rows, "--ignore-eos", "--stop", stop))
        self.assertEqual(cut["finish_reason"], "stop")
        self.assertEqual(cut["text"], whole["text"][:whole["text"].index(stop)])

    def test_nothing_to_do_is_no_fault(self):
        done = self.run_bolide("generate", "--model", golden(MODEL), "--input", "-", input="\n\n")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual(done.stderr, "bolide: warning: standard input holds no request: nothing was generated\n")

    @staticmethod
    def closed_pipe():
        read, write = os.pipe()
        os.close(read)
        return write

    def test_reader_that_goes_away(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5]}] * 3)
        text = self.folder / "text.jsonl"
        text.write_text('{"text": "a b"}\n')
        for args in (["generate", "--model", golden(MODEL), "--input", rows],
                     ["generate", "--model", golden(MODEL), "--input", rows, "--stream"],
                     ["generate", "--model", golden(MODEL), "--prompt", "a", "--stream"],
                     ["inspect", "--model", golden(MODEL)], ["lambada", "--model", golden(MODEL), "--dataset-path", text],
                     ["convert", "-i", golden(MODEL), "-o", self.folder / "out", "-v"], ["--help"], ["--version"]):
            with self.subTest(args=args):
                pipe = self.closed_pipe()
                self.refused(*args, stdout=pipe, codes=[1], says="standard output")
                os.close(pipe)
        self.assertEqual(list((self.folder / "out").iterdir()) if (self.folder / "out").exists() else [], [])

    def test_full_disk(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5]}] * 3)
        text = self.folder / "text.jsonl"
        text.write_text('{"text": "a b"}\n')
        for args in (["generate", "--model", golden(MODEL), "--input", rows, "--output", "/dev/full"],
                     ["logits", "--model", golden(MODEL), "--input", rows, "--output", "/dev/full"],
                     ["lambada", "--model", golden(MODEL), "--dataset-path", text, "--output-path", "/dev/full"]):
            with self.subTest(args=args):
                self.refused(*args, codes=[1], says=("/dev/full", "No space left"))
        with open("/dev/full", "w") as full:
            self.refused("generate", "--model", golden(MODEL), "--input", rows, stdout=full, codes=[1],
                         says="No space left")

    def test_output_that_cannot_be_created(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5]}])
        self.refused("generate", "--model", golden(MODEL), "--input", rows, "--output", self.folder / "no" / "file",
                     codes=[1], says="no/file")

    def interrupt(self, args, ready, signals=(signal.SIGINT,), **options):
        """Starts the command, sends Ctrl-C or other signals once `ready(process)` returns, gives the ended process."""
        process = subprocess.Popen(harness.command(*args), stderr=subprocess.PIPE, text=True, **options)
        ready(process)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.1)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def test_ctrl_c_keeps_what_is_written(self):
        path = self.folder / "out.jsonl"
        first = {"input_ids": [5], "max_new_tokens": 1}
        endless = {"input_ids": [5], "max_new_tokens": 60000, "ignore_eos": True}
        rows = self.jsonl("rows.jsonl", [first, endless, endless])

        def first_result(process):
            deadline = time.time() + 60
            while time.time() < deadline and not (path.exists() and path.read_text().endswith("\n")):
                time.sleep(0.02)
        done = self.interrupt(["generate", "--model", golden(MODEL), "--input", rows, "--output", path, "--max-kv-tokens",
                               200000], first_result)
        self.assert_one_error(done, [-signal.SIGINT], "interrupted")  # 130 in a shell
        self.assertEqual([json.loads(line)["index"] for line in path.read_text().splitlines()], [0])

    def waits_for_input(self, signals, **options):
        """Of a run that has answered one line and waits for the next."""
        return self.interrupt(["generate", "--model", golden(MODEL), "--input", "-"], self.first_result, signals,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)

    def first_result(self, process):
        process.stdin.write('{"input_ids": [5], "max_new_tokens": 1}\n')
        process.stdin.flush()
        process.stdout.readline()

    def test_ctrl_c_while_waiting_for_input(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            done = self.waits_for_input([number])
            self.assert_one_error(done, [-number], "interrupted")

    def test_what_is_ignored_stays_ignored(self):
        """nohup ignores the terminal's end, and a shell lets its jobs in the background ignore Ctrl-C."""
        def ignore():
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        done = self.waits_for_input([signal.SIGHUP, signal.SIGINT], preexec_fn=ignore)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Terminal(CommandTest):
    def on_terminal(self, args, env):
        """stdout and stderr of a run on a pseudo-terminal, together."""
        master, slave = pty.openpty()
        with subprocess.Popen(harness.command(*args), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave,
                              env=env) as process:
            os.close(slave)
            out = b""
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:
                    break
                if not part:
                    break
                out += part
            self.assertEqual(process.wait(60), 0, out)
        os.close(master)
        return out.decode()

    def test_bar_and_colours_on_a_terminal_only(self):
        plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
        inspect = ["inspect", "--model", golden(MODEL)]
        self.assertIn("\033[1m", self.on_terminal(inspect, plain))
        self.assertNotIn("\033", self.on_terminal(inspect, {**plain, "NO_COLOR": "1"}))
        self.assertNotIn("\033", self.ok(*inspect))
        convert = ["convert", "-i", golden(MODEL), "--force", "-o", self.folder]
        self.assertIn("\r", self.on_terminal(convert, plain).replace("\r\n", "\n"))
        self.assertNotIn("\r", self.ok(*convert))


if __name__ == "__main__":
    harness.main()
