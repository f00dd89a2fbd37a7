"""Ranks that do not fit together, die, hang or are interrupted: who says what, and when everybody has ended."""
import json
import os
import signal
import socket
import subprocess
import time

import harness
from harness import golden
from ranks import WAYS, RanksTest, Run, dummy_config, environment, free_port

TINY = "heads12_fp32_sharded"  # 12 heads, 2 layers
PROCESSES = ("mpi", "gloo")


def of_all(every, choice):
    """`every` with --all; mpirun alone takes a second to end the others."""
    return every if harness.ALL else choice


TIMEOUT = 3
# What ending takes beyond the time-out, on a machine that is busy with other tests.
MARGIN = 40


class Refusals(RanksTest):
    def check(self, way, tp, pp, more, says, codes, **options):
        with self.subTest(way, tp=tp, pp=pp, more=more):
            run = self.start(way, tp, pp, "generate", "--model", golden(TINY), "--prompt", "a", "--tokenizer-path",
                             golden("heads4_fp32_lm_head_tokenizer"), *more, **options)
            ended = run.wait(60)
            self.assertTrue(set(ended) <= set(codes), f"{ended} {run.all_errors()}")
            self.assertEqual(run.output(), "")
            for rank in range(1 if way == "threads" else tp * pp):
                # mpirun ends the others as soon as one has failed, before they can say the same.
                if way != "mpi" or run.errors(rank):
                    self.assert_error_of(run, rank, *says)
            self.assertTrue(any(run.all_errors().values()))
            self.assertEqual(run.left(), {})

    def test_shapes_that_cannot_be_divided(self):
        for way in of_all(WAYS, ["threads", "gloo"]):
            self.check(way, 5, 1, [], ("--tensor-para-size 5", "12 heads"), [2])
            self.check(way, 1, 3, [], ("--pipeline-para-size 3", "2 layers"), [2])

    def test_another_number_of_processes(self):
        for way in PROCESSES:
            for sizes in of_all(([], ["-tp", 3], ["-pp", 4]), ([],)):
                with self.subTest(way, sizes=sizes):
                    self.require_way(way)
                    command = harness.command("generate", "--model", golden(TINY), "--prompt", "a", *sizes)
                    run = self.start_commands(way, [command] * 2)
                    self.assertTrue(set(run.wait(60)) <= {2}, run.all_errors())
                    self.assertTrue(any(run.all_errors().values()))
                    for rank in range(2):
                        if way != "mpi" or run.errors(rank):
                            self.assert_error_of(run, rank, *(["2 processes but 1 rank: add -tp 2"] if not sizes else
                                                              ["2 processes but", "start"]))

    def test_what_all_ranks_find_is_said_once(self):
        """Before they meet, each of mpirun's processes finds it; its user sees it once."""
        base = ["generate", "--model", golden(TINY), "--prompt", "a"]
        cases = [(base, "add -tp 2"), (["generate", "--model", self.folder / "nowhere", "--prompt", "a", "-tp", 2], "nowhere"),
                 ([*base, "-tp", 2, "--prompty"], "--prompty"), ([*base, "-tp", 2, "--transport", "pigeon"], "pigeon")]
        for args, says in of_all(cases, cases[:2]):
            with self.subTest(args):
                self.require_way("mpi")
                run = self.start_commands("mpi", [harness.command(*args)] * 2)
                self.assertNotIn(run.wait(60)[0], (None, 0))
                self.assert_error_of(run, 0, says)
                self.assertEqual(run.errors(1), [])
                self.assertEqual(run.left(), {})

    def test_what_one_rank_finds_is_said_by_it(self):
        self.require_way("mpi")
        commands = [harness.command("generate", "--model", model, "--input", os.devnull, "-tp", 2)
                    for model in (golden(TINY), self.folder / "nowhere")]
        run = self.start_commands("mpi", commands)
        self.assertNotIn(run.wait(60)[0], (None, 0))
        self.assert_error_of(run, 1, "nowhere")

    def start_commands(self, way, commands, **variables):
        run = Run(way, commands, self.folder, **variables)
        self.addCleanup(run.end)
        return run

    def test_ranks_that_are_not_alike(self):
        for way in PROCESSES:
            cases = [(["--data-type", "bf16"], ("rank 1", "--data-type bf16")),
                     (["--max-chunk-tokens", 7], ("rank 1", "--max-chunk-tokens 7")),
                     (["--batch-size", 3], ("rank 1", "batch size 3")),
                     (["--load-format", "dummy"], ("rank 1", "--load-format dummy"))]
            for more, says in of_all(cases, cases if way == "gloo" else cases[:1]):
                self.check(way, 2, 1, [], says, [2], differing={1: more})

    def test_another_model_on_one_rank(self):
        for way in of_all(PROCESSES, ["gloo"]):
            with self.subTest(way):
                self.require_way(way)
                commands = [harness.command("generate", "--model", golden(name), "--input", os.devnull, "-tp", 3)
                            for name in (TINY, "heads12_fp16_vocab1003", TINY)]
                run = self.start_commands(way, commands)
                self.assertTrue(set(run.wait(60)) <= {2}, run.all_errors())
                self.assertTrue(any(run.all_errors().values()))
                for rank in range(3):
                    if way != "mpi" or run.errors(rank):
                        self.assert_error_of(run, rank, "rank 1 has 'model ")

    def test_rank_that_never_starts(self):
        for missing, says in [(0, "rank 0 was not at the meeting"), (1, "1 did not come to the meeting")]:
            with self.subTest(missing):
                run = self.start("gloo", 2, 1, "generate", "--model", golden(TINY), "--input", os.devnull, "--comm-timeout",
                                 TIMEOUT, missing=[missing])
                self.assertEqual(run.wait(TIMEOUT + MARGIN), [1])
                self.assert_error_of(run, 1 - missing, says, f"within {TIMEOUT} s")

    def test_port_in_use_and_wrong_address(self):
        self.require_way("gloo")
        flags = ["generate", "--model", golden(TINY), "--input", os.devnull, "-tp", 2, "--comm-timeout", TIMEOUT]
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        with socket.socket() as taken:
            taken.bind(("", int(place["MASTER_PORT"])))
            taken.listen()
            self.refused(*flags, env=environment(**place, RANK="0"), codes=[2],
                         says=(f"port {place['MASTER_PORT']}", "another process uses it", "MASTER_PORT"))
        place["MASTER_ADDR"] = "no-such-host.invalid"
        for rank in ("0", "1"):
            begin = time.monotonic()
            self.refused(*flags, env=environment(**place, RANK=rank), says=("no-such-host.invalid", "check MASTER_ADDR"))
            self.assertLess(time.monotonic() - begin, TIMEOUT + MARGIN)

    def test_no_place_to_meet(self):
        flags = ["generate", "--model", golden(TINY), "--prompt", "a", "-tp", 2]
        for variables, more, says in [
                ({"RANK": "1", "WORLD_SIZE": "2"}, [], ("rank 1 of 2", "MASTER_ADDR")),
                ({"RANK": "1"}, [], ("RANK is set", "WORLD_SIZE")),
                ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}, [], ("RANK=2", "WORLD_SIZE=2")),
                ({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}, [], ("MASTER_ADDR", "MASTER_PORT")),
                ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, ["--transport", "gloo"],
                 ("--transport gloo", "MASTER_ADDR")),
                ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())},
                 ["--transport", "mpi"], ("--transport mpi", "mpirun")),
                ({}, ["--transport", "gloo"], ("--transport gloo", "torchrun"))]:
            with self.subTest(variables=variables, more=more):
                self.refused(*flags, *more, env=environment(**variables), codes=[2], says=says)

    def test_fault_of_the_input_is_rank_0s_alone(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5], "max_new_tokens": 2}, {"input_ids": [99999]}])
        for way in WAYS:
            with self.subTest(way):
                run = self.start(way, 2, 1, "generate", "--model", golden(TINY), "--input", rows)
                codes = run.wait(60)
                self.assertEqual(codes, {"threads": [1], "mpi": [1], "gloo": [1, 0]}[way], run.all_errors())
                self.assert_error_of(run, 0, "line 2", "99999")
                self.assertEqual(run.errors(1), [])
                self.assertEqual([json.loads(line)["index"] for line in run.output().splitlines()], [0])


class Faults(RanksTest):
    """A long generation on three ranks, one of which is gone all at once."""

    def begin(self, way, tp, pp, prefill, timeout=60):
        """Starts a run, gives it once its first result is written and the long request is under way."""
        prompt = 160000 if harness.GPUS else 40000  # tokens that take seconds in chunks of 32
        model = dummy_config(self.folder / "model") if not (self.folder / "model").exists() else self.folder / "model"
        self.output_path = self.folder / f"{way}{tp}{pp}.jsonl"
        self.output_path.unlink(missing_ok=True)
        run = self.start(way, tp, pp, "generate", "--model", model, "--load-format", "dummy", "--input", "-", "--output",
                         self.output_path, "--stream", "--ignore-eos", "--max-chunk-tokens", 32, "--max-kv-tokens",
                         prompt + 30000, "--comm-timeout", timeout, stdin=subprocess.PIPE)
        stdin = run.processes[0].stdin
        self.addCleanup(stdin.close)
        stdin.write(b'{"input_ids": [5, 6], "max_new_tokens": 2}\n')
        stdin.flush()
        self.wait_until(run, lambda: any("output_ids" in line for line in self.written()))
        long = {"input_ids": [7] * (prompt if prefill else 2), "max_new_tokens": 1 if prefill else 60000}
        stdin.write(json.dumps(long).encode() + b"\n")
        stdin.flush()
        if prefill:
            time.sleep(0.7)
            self.assertEqual(len([line for line in self.written() if '"index":1' in line]), 0, "prefill is over")
        else:
            self.wait_until(run, lambda: sum('"index":1' in line for line in self.written()) > 5)
        self.assertEqual(run.wait(0), [None] * len(run.processes), run.all_errors())
        return run

    def written(self):
        return self.output_path.read_text().splitlines() if self.output_path.exists() else []

    def wait_until(self, run, holds):
        end = time.monotonic() + 60
        while not holds():
            self.assertLess(time.monotonic(), end, f"{run.all_errors()}")
            time.sleep(0.02)

    def check_written(self):
        """What was complete is there, in whole lines."""
        text = self.output_path.read_text()
        self.assertTrue(text.endswith("\n"))
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([line["index"] for line in lines if "output_ids" in line], [0])

    def check_others(self, run, gone, step=True):
        """Each other rank has said, in one line, whom it missed and where."""
        for rank in range(run.ranks):
            if rank != gone:
                self.assert_error_of(run, rank, f"rank {gone} ", *(["step "] if step else []))

    def check_killed(self, way, tp, pp, rank, prefill):
        with self.subTest(way, tp=tp, pp=pp, rank=rank, prefill=prefill):
            run = self.begin(way, tp, pp, prefill)
            os.kill(run.pid(rank), signal.SIGKILL)
            codes = run.wait(MARGIN)
            self.assertNotIn(None, codes, run.all_errors())
            self.assertNotIn(0, codes)
            self.check_others(run, rank)
            self.check_written()
            self.assertEqual(run.left(), {})

    def test_rank_killed_while_it_decodes(self):
        every = [(way, tp, pp, rank) for way in PROCESSES for tp, pp in [(2, 1), (1, 2)] for rank in (0, 1)]
        for way, tp, pp, rank in of_all(every, [("mpi", 2, 1, 1), ("mpi", 2, 1, 0), ("gloo", 1, 2, 1)]):
            self.check_killed(way, tp, pp, rank, prefill=False)

    def test_rank_killed_while_it_takes_a_prompt_in(self):
        every = [(way, tp, pp, rank) for way in PROCESSES for tp, pp in [(2, 1), (1, 2)] for rank in (0, 1)]
        for way, tp, pp, rank in of_all(every, [("mpi", 1, 2, 1), ("gloo", 2, 1, 0)]):
            self.check_killed(way, tp, pp, rank, prefill=True)

    def test_one_of_many_killed(self):
        for way in PROCESSES:
            for rank in of_all((0, 1, 2, 3), [3]):
                self.check_killed(way, 2, 2, rank, prefill=False)

    def test_rank_that_hangs(self):
        every = [(way, tp, pp, rank) for way in PROCESSES for tp, pp in [(2, 1), (1, 2)] for rank in (0, 1)]
        for way, tp, pp, rank in of_all(every, [("mpi", 1, 2, 1), ("gloo", 2, 1, 1)]):
            with self.subTest(way, tp=tp, pp=pp, rank=rank):
                run = self.begin(way, tp, pp, prefill=False, timeout=TIMEOUT)
                stopped = run.pid(rank)
                os.kill(stopped, signal.SIGSTOP)
                begin = time.monotonic()
                others = [p for i, p in enumerate(run.processes) if way == "mpi" or i != rank]
                for process in others:
                    self.assertNotIn(process.wait(TIMEOUT + MARGIN), (None, 0))
                self.assertGreater(time.monotonic() - begin, TIMEOUT - 1)
                self.check_others(run, rank)
                self.assertIn(f"within {TIMEOUT} s", run.errors(1 - rank)[0])
                self.check_written()
                if way == "gloo":  # mpirun has ended it
                    os.kill(stopped, signal.SIGCONT)
                    self.assertNotIn(run.wait(TIMEOUT + MARGIN)[rank], (None, 0), run.all_errors())
                    self.assert_error_of(run, rank, f"rank {1 - rank} ")
                self.assertEqual(run.left(), {})

    def test_ctrl_c(self):
        for way in WAYS:
            with self.subTest(way):
                run = self.begin(way, 2, 2, prefill=False)
                run.processes[0].send_signal(signal.SIGINT)
                codes = run.wait(MARGIN)
                self.assertEqual(codes, {"threads": [-signal.SIGINT], "mpi": [1], "gloo": [-signal.SIGINT, 0, 0, 0]}[way],
                                 run.all_errors())
                self.assert_error_of(run, 0, "interrupted", "1 result is written")
                self.assertEqual([run.errors(rank) for rank in (1, 2, 3)], [[], [], []])
                self.check_written()
                self.assertEqual(run.left(), {})


if __name__ == "__main__":
    harness.main()
