"""Logits and greedy ids of the command equal what Hugging Face recorded, from every kind of folder."""
import json

import harness
from harness import CommandTest, golden, golden_cases, golden_record, read_rows, worst_row_error

# float32 arithmetic on both sides, in another order: 1e-4 of a row's norm is some 100 times what is measured.
BOUND = 1e-4


class Golden(CommandTest):
    def logits_error(self, model, case, *flags):
        record = golden_record(case)
        prompts = self.jsonl("prompts.jsonl", [{"input_ids": p} for p in record["prompts"]])
        path = self.folder / "logits.safetensors"
        self.ok("logits", "--model", model, "--input", prompts, "--output", path, "--data-type", "fp32", *flags)
        got, expected = read_rows(path), read_rows(golden(case) / "logits.safetensors")
        self.assertEqual(set(got), set(expected))
        return max(worst_row_error(got[name], expected[name]) for name in expected)

    def test_hugging_face_folders(self):
        for case in golden_cases():
            name, record = case["name"], golden_record(case["name"])
            self.may_warn = case["warns"]
            with self.subTest(name):
                self.assertLess(self.logits_error(golden(name), name), BOUND)
                ids = self.generate_ids(golden(name), record["prompts"], "--data-type", "fp32")
                self.assertEqual(ids, record["greedy_ids"])

    def test_alone_in_batches_and_in_chunks(self):
        name = "heads12_fp32_sharded"
        record = golden_record(name)
        for flags in (["--batch-size", 1], ["--batch-size", 3], ["--max-chunk-tokens", 5],
                      ["--batch-size", 2, "--max-chunk-tokens", 1], ["--threads", 1]):
            with self.subTest(flags=flags):
                self.assertEqual(self.generate_ids(golden(name), record["prompts"], *flags), record["greedy_ids"])
        self.assertLess(self.logits_error(golden(name), name, "--max-chunk-tokens", 7, "--batch-size", 2), BOUND)

    def test_faster_transformer_folders(self):
        for case in golden_cases():
            name, record = case["name"], golden_record(case["name"])
            self.may_warn = case["warns"]
            for ranks in (1, 2, 4):
                if case["heads"] % ranks:
                    continue
                with self.subTest(name, ranks=ranks):
                    out = self.folder / name
                    self.ok("convert", "-i", golden(name), "-o", out, "-tp", ranks)
                    folder = out / f"{ranks}-gpu"
                    self.assertLess(self.logits_error(folder, name), BOUND)
                    self.assertEqual(self.generate_ids(folder, record["prompts"]), record["greedy_ids"])

    def test_log_probs_and_prompt_tokens(self):
        name = "heads3_fp32"
        prompt = golden_record(name)["prompts"][2]
        path = self.jsonl("one.jsonl", [{"input_ids": prompt, "return_log_probs": True, "max_new_tokens": 3}])
        row = json.loads(self.ok("generate", "--model", golden(name), "--input", path))
        self.assertEqual(row["prompt_tokens"], len(prompt))
        self.assertEqual(row["finish_reason"], "length")
        self.assertEqual(len(row["log_probs"]), 3)
        self.assertTrue(all(p <= 0 for p in row["log_probs"]))


if __name__ == "__main__":
    harness.main()
