"""The memory of a GPU that others use, too, and what is larger than its kernels can number. Needs --gpus."""
import json
import re
import subprocess

import harness
from harness import CommandTest, golden, golden_record

MODEL = "heads12_fp16_vocab1003"


class GpuMemory(CommandTest):
    def setUp(self):
        super().setUp()
        if not harness.GPUS:
            self.skipTest("NOT RUN: without --gpus")

    def shape(self, **values):
        path = self.folder / "config.json"
        path.write_text(json.dumps({"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 100,
                                    "hidden_size": 64, "n_layer": 1, "n_head": 1, "layer_norm_epsilon": 1e-5,
                                    "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16", **values}))
        return path

    def dummy(self, config, *flags):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5, 6, 7], "max_new_tokens": 4}])
        return ["generate", "--load-format", "dummy", "--model", config, "--input", rows, "--ignore-eos", *flags]

    def start(self, *flags):
        """One that has loaded, answered a request and waits for the next."""
        process = subprocess.Popen(harness.command("generate", "--model", golden(MODEL), "--input", "-", *flags),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        process.stdin.write('{"input_ids": [5], "max_new_tokens": 2}\n')
        process.stdin.flush()
        return process

    def end(self, process, code=0):
        _, said = process.communicate(timeout=100)
        self.assertEqual(process.returncode, code, said)
        return said

    def test_four_that_start_at_once(self):
        for flags in ([], ["--kv-cache-fraction", 1]):
            with self.subTest(flags):
                processes = [self.start(*flags) for _ in range(4)]
                for process in processes:
                    self.assertTrue(process.stdout.readline(), process.stderr.read() if process.poll() else "no result")
                for process in processes:
                    self.assertEqual(self.end(process), "")

    def test_all_of_the_memory(self):
        record = golden_record(MODEL)
        got = self.generate_ids(golden(MODEL), record["prompts"], "--kv-cache-fraction", 1)
        self.assertEqual(len(got), len(record["prompts"]))

    def test_beside_one_that_took_all(self):
        """What a GPU's whole memory is asked for leaves enough that a small model still starts beside it."""
        holder = self.start("--kv-cache-fraction", 1)
        self.assertTrue(holder.stdout.readline())
        self.ok("generate", "--model", golden(MODEL), "--input", self.jsonl("a.jsonl", [{"input_ids": [5], "max_new_tokens": 2}]))
        self.end(holder)

    def test_a_size_that_was_asked_for(self):
        done = self.refused(*self.dummy(self.shape(n_head=64, hidden_size=8192), "--max-kv-tokens", 20000000),
                            codes=[1], says=("bytes left for the cache", "lower --max-kv-tokens"))
        self.assertTrue(re.search(r"has \d{6,} bytes left", done.stderr), done.stderr)

    def test_small_heads_have_more_tokens_than_a_kernel_can_number(self):
        for hidden, heads in ((8, 1), (1, 1), (2, 2), (9, 9), (33, 33)):
            for graphs in ([], ["--no-cuda-graphs"]):
                with self.subTest(hidden=hidden, heads=heads):
                    out = self.ok(*self.dummy(self.shape(hidden_size=hidden, n_head=heads), *graphs))
                    self.assertEqual(len(json.loads(out)["output_ids"]), 4)
        self.refused(*self.dummy(self.shape(hidden_size=33, n_head=33), "--max-kv-tokens", 500000000), codes=[2],
                     says=("--max-kv-tokens is 500000000", "33 key heads", "at most"))

    def test_what_no_kernel_computes(self):
        self.refused(*self.dummy(self.shape(hidden_size=257)), codes=[1], says=("257", "256 at most"))
        self.refused(*self.dummy(self.shape(vocab_size=(1 << 20) + 1)), codes=[1], says=("1048577", "1048576"))
        self.ok(*self.dummy(self.shape(vocab_size=1 << 20)))
        self.refused(*self.dummy(self.shape(), "--batch-size", 65536), codes=[2], says=("65536", "at most 65535"))
        self.refused(*self.dummy(self.shape(), "--max-chunk-tokens", 262145), codes=[2], says=("262145", "at most 262144"))
        self.ok(*self.dummy(self.shape(torch_dtype="float32"), "--batch-size", 65535, "--max-chunk-tokens", 262144))

    def test_a_prompt_of_many_rows(self):
        """More rows than a grid has blocks in y, in one step."""
        rows = self.jsonl("long.jsonl", [{"input_ids": [5 + i % 90 for i in range(70000)], "max_new_tokens": 2}])
        for dtype in ("float32", "float16"):
            with self.subTest(dtype):
                ids = [json.loads(self.ok("generate", "--load-format", "dummy", "--model", self.shape(torch_dtype=dtype, n_head=4),
                                          "--input", rows, "--max-chunk-tokens", chunk, *flags))["output_ids"]
                       for chunk, flags in ((70000, []), (4096, []), (70000, ["--deterministic"]))]
                if dtype == "float32":
                    self.assertEqual(ids[0], ids[1])


if __name__ == "__main__":
    harness.main()
