"""Several ranks give what one gives: as threads, under mpirun and over Gloo, at every layout a model allows."""
import json
import subprocess
import time

import harness
from harness import golden, golden_cases, golden_record, read_rows, worst_row_error
from ranks import WAYS, RanksTest, dummy_config, layouts

# fp32 sums in another order: 1e-5 of a row's norm is some 30 times what is measured.
BOUND = 1e-5
TINY = "heads12_fp32_sharded"  # 12 heads, 2 layers
DEEP = "heads4_fp16_bin_sharded_bigscience"  # 4 heads, 3 layers
TEXT = "heads4_fp32_lm_head_tokenizer"

SAMPLED = [{"top_k": 5, "seed": 1}, {"top_p": 0.8, "seed": 2}, {"top_k": 40, "top_p": 0.9, "temperature": 1.5, "seed": 3},
           {"top_p": 1.0, "temperature": 2.0, "seed": 4}]


class Parallel(RanksTest):
    def requests(self, name):
        """Greedy and sampled ones of a golden's prompts, with log-probabilities."""
        prompts = golden_record(name)["prompts"]
        rows = [{"input_ids": prompt} for prompt in prompts]
        rows += [{"input_ids": prompts[i % len(prompts)], "return_log_probs": True, **how}
                 for i, how in enumerate([{}, *SAMPLED])]
        return self.jsonl("requests.jsonl", rows)

    def flags(self, name):
        return ["generate", "--model", golden(name), "--input", self.requests(name), "--data-type", "fp32",
                "--max-new-tokens", 24]

    def check_golden(self, name, ways, pairs):
        record, flags = golden_record(name), self.flags(name)
        alone = self.ok(*flags, "--threads", 1)
        greedy = [json.loads(line)["output_ids"] for line in alone.splitlines()[:len(record["prompts"])]]
        self.assertEqual(greedy, record["greedy_ids"])
        for way in ways:
            for tp, pp in pairs:
                with self.subTest(name, way=way, tp=tp, pp=pp):
                    self.assert_same_results(self.ranks_ok(way, tp, pp, *flags), alone, f"{name} {way} {tp}x{pp}")

    def test_every_golden_by_threads(self):
        for turn, case in enumerate(golden_cases()):
            self.may_warn = case["warns"]
            every = layouts(case["heads"], case["layers"], most=12)
            # A third, in turn: the goldens of a family meet all layouts together.
            some = every if harness.ALL else every[turn % 3::3] or every[:1]
            self.check_golden(case["name"], ["threads"], some)

    def test_processes(self):
        # What a golden gives on a layout, threads have shown. What is new is how messages travel, so with --all each golden takes
        # one layout more, the next one in turn: a start of mpirun takes a second.
        for way in ("mpi", "gloo"):
            with self.subTest(way):
                self.check_golden(TINY, [way], layouts(12, 2) if harness.ALL else [(2, 1), (3, 1), (1, 2), (2, 2)])
                self.check_golden(DEEP, [way], layouts(4, 3) if harness.ALL else [(4, 1), (1, 3)])
        for turn, case in enumerate(golden_cases() if harness.ALL else []):
            self.may_warn = case["warns"]
            every = layouts(case["heads"], case["layers"])
            self.check_golden(case["name"], ["mpi", "gloo"], [every[turn % len(every)]])

    def test_logits(self):
        prompts = self.jsonl("prompts.jsonl", [{"input_ids": p} for p in golden_record(TINY)["prompts"]])
        path = self.folder / "logits.safetensors"
        flags = ["logits", "--model", golden(TINY), "--input", prompts, "--output", path]
        self.assertEqual(self.ok(*flags), "")
        alone = read_rows(path)
        for way in WAYS:
            for tp, pp in [(3, 1), (1, 2), (2, 2)] if way == "threads" else [(2, 2)]:
                for more in ([], ["--max-chunk-tokens", 7]):
                    with self.subTest(way, tp=tp, pp=pp, more=more):
                        path.unlink()
                        self.assertEqual(self.ranks_ok(way, tp, pp, *flags, *more), "")
                        rows = read_rows(path)
                        self.assertEqual(set(rows), set(alone))
                        self.assertLess(max(worst_row_error(rows[name], alone[name]) for name in alone), BOUND)

    def test_stream_and_output_file(self):
        flags, path = self.flags(TINY), self.folder / "out.jsonl"
        alone = self.ok(*flags, "--threads", 1)
        for way in WAYS:
            with self.subTest(way):
                self.assertEqual(self.ranks_ok(way, 2, 2, *flags, "--output", path, "--stream"), "")
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                results = [line for line in lines if "output_ids" in line]
                self.assert_same_results("".join(json.dumps(r) + "\n" for r in results), alone, way)
                for result in results:
                    ids = [line["id"] for line in lines if "id" in line and line["index"] == result["index"]]
                    self.assertEqual([i for i in ids if i is not None], result["output_ids"])

    def test_text_of_prompts_has_no_colours_under_mpirun(self):
        flags = ["generate", "--model", golden(TEXT), "--prompt", "The fox", "--prompt", "[a, b]", "--max-new-tokens", 12]
        alone = self.ok(*flags)
        for way in WAYS:
            with self.subTest(way):
                self.assertEqual(self.ranks_ok(way, 2, 2, *flags), alone)
                self.assertEqual(self.ranks_ok(way, 2, 2, *flags, "--stream"), alone)

    def test_folders_of_any_size_at_any_size(self):
        flags = self.flags(TINY)
        alone = self.ok(*flags)
        for files in (1, 2, 4):
            self.ok("convert", "-i", golden(TINY), "-o", self.folder, "-tp", files)
            flags[2] = self.folder / f"{files}-gpu"
            for tp, pp in [(1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (2, 2)]:
                with self.subTest(files=files, tp=tp, pp=pp):
                    self.assert_same_results(self.ranks_ok("threads", tp, pp, *flags), alone, f"{files} {tp}x{pp}")
        for way in ("mpi", "gloo"):
            with self.subTest(way):
                flags[2] = self.folder / "2-gpu"
                self.assert_same_results(self.ranks_ok(way, 2, 1, *flags), alone, way)
                flags[2] = self.folder / "1-gpu"
                self.assert_same_results(self.ranks_ok(way, 1, 2, *flags), alone, way)

    def test_random_weights_are_the_same_on_every_layout(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [7 * i % 320 for i in range(n)], **how}
                                         for n in (1, 9, 40) for how in ({}, {"top_k": 20, "seed": 5})])
        flags = ["generate", "--model", dummy_config(self.folder / "deep"), "--load-format", "dummy", "--input", rows,
                 "--max-new-tokens", 12, "--return-log-probs", "--ignore-eos"]
        alone = self.ok(*flags)
        self.assertEqual(len({line.split('"text"')[0] for line in alone.splitlines()}), 6)
        for way, tp, pp in [("threads", 1, 2), ("threads", 1, 3), ("threads", 1, 5), ("threads", 4, 1), ("threads", 2, 3),
                            ("mpi", 1, 3), ("gloo", 1, 3)]:
            with self.subTest(way, tp=tp, pp=pp):
                self.assert_same_results(self.ranks_ok(way, tp, pp, *flags), alone, f"{way} {tp}x{pp}")

    def test_a_run_repeats_to_the_bit(self):
        # The rows of a step follow when requests came, and with a pipeline what steps took: not so with these flags.
        flags = [*self.flags(TINY), "--return-log-probs", "--batch-size", 1, "--max-chunk-tokens", 16]
        for tp, pp in [(2, 1), (4, 1), (1, 2), (2, 2)] if harness.ALL else [(4, 1), (2, 2)]:
            first = self.ranks_ok("threads", tp, pp, *flags)
            for way in WAYS:
                with self.subTest(way, tp=tp, pp=pp):
                    self.assertEqual(self.ranks_ok(way, tp, pp, *flags), first)

    def test_lambada(self):
        demo = harness.SOURCE / "examples" / "demo"
        count = None if harness.ALL else 24
        recorded = [json.loads(line) for line in (demo / "lambada_hf.jsonl").read_text().splitlines()][:count]
        dataset = self.folder / "lambada.jsonl"
        dataset.write_text("".join((demo / "lambada.jsonl").read_text().splitlines(keepends=True)[:count]))
        path = self.folder / "cases.jsonl"
        every = [(way, tp, pp) for way in WAYS for tp, pp in [(2, 1), (4, 1), (1, 2), (1, 3), (2, 2)]]
        for way, tp, pp in every if harness.ALL else [(way, 2, 2) for way in WAYS]:
            with self.subTest(way, tp=tp, pp=pp):
                out = self.ranks_ok(way, tp, pp, "lambada", "--model", demo / "model", "--data-type", "fp32",
                                    "--dataset-path", dataset, "--output-path", path, "--acc-threshold", 1)
                right = sum(case["correct"] for case in recorded)
                self.assertRegex(out, rf"\nAccuracy: [0-9.]+% \({right}/{len(recorded)}\) .*\nPASS\n\Z")
                cases = [json.loads(line) for line in path.read_text().splitlines()]
                self.assertEqual(len(cases), len(recorded))
                for case, at in zip(cases, recorded):
                    self.assertEqual(case["output_ids"], at["predicted_ids"][:len(at["target_ids"])], case["index"])
                    self.assertEqual(case["correct"], at["correct"], case["index"])

    def test_bench(self):
        path = self.folder / "bench.json"
        config = dummy_config(self.folder / "small", layers=4)
        for way in WAYS if harness.ALL else ["mpi"]:  # seconds for the roof of each
            with self.subTest(way):
                out = self.ranks_ok(way, 2, 2, "bench", "--model", config, "--load-format", "dummy", "--input-len", 8,
                                    "--output-len", 4, "--repeats", 1, "--batch-size", 2, "--json", path)
                self.assertEqual(out.count("decode step"), 1, out)
                self.assertIn(f"2 tensor x 2 pipeline ranks over {way}", out)
                figures = json.loads(path.read_text())
                self.assertEqual((figures["tensor_para_size"], figures["pipeline_para_size"]), (2, 2))
                self.assertGreater(figures["decode_ms_per_step"], 0)

    def test_open_input_that_is_idle_for_longer_than_the_time_out(self):
        runs = {}
        try:
            for way in WAYS:
                with self.subTest(way):
                    runs[way] = self.start(way, 2, 2, "generate", "--model", golden(TINY), "--input", "-",
                                           "--comm-timeout", 2, stdin=subprocess.PIPE)
            for index in range(2):
                for run in runs.values():
                    run.processes[0].stdin.write(b'{"input_ids": [5], "max_new_tokens": 2}\n')
                    run.processes[0].stdin.flush()
                self.wait_for(runs, lambda run, lines=index + 1: run.output().count("\n") == lines)
                time.sleep(5 * (1 - index))
        finally:
            for run in runs.values():
                run.processes[0].stdin.close()
        for way, run in runs.items():
            with self.subTest(way):
                self.assertEqual(set(run.wait(30)), {0}, run.all_errors())
                self.assertEqual("".join(run.all_errors().values()), "")

    def wait_for(self, runs, holds):
        end = time.monotonic() + 60
        while time.monotonic() < end and not all(holds(run) for run in runs.values()):
            time.sleep(0.02)
        for way, run in runs.items():
            self.assertTrue(holds(run), f"{way}: {run.output()!r} {run.all_errors()}")


if __name__ == "__main__":
    harness.main()
