"""Last words of the demo's stories, prediction by prediction as Hugging Face recorded them."""
import json

import harness
from harness import CommandTest


class Demo(CommandTest):
    def setUp(self):
        super().setUp()
        self.demo = harness.SOURCE / "examples" / "demo"
        self.recorded = [json.loads(line) for line in (self.demo / "lambada_hf.jsonl").read_text().splitlines()]

    def compare(self, model, batch_size):
        _, correct, total, cases = self.score("--model", model, "--tokenizer-path", self.demo / "model", "--data-type",
                                              "fp32", "--dataset-path", self.demo / "lambada.jsonl", "--batch-size",
                                              batch_size)
        self.assertEqual((total, len(cases)), (len(self.recorded), len(self.recorded)))
        self.assertGreater(total, 100)
        for case, recorded in zip(cases, self.recorded):
            with self.subTest(case["index"]):
                self.assertEqual(case["target_ids"], recorded["target_ids"])
                self.assertEqual(case["output_ids"], recorded["predicted_ids"][:len(recorded["target_ids"])])
                self.assertEqual(case["correct"], recorded["correct"])
        self.assertEqual(correct, sum(case["correct"] for case in self.recorded))

    def test_every_prediction_at_any_batch_size(self):
        for batch_size in (1, 8, 33):
            with self.subTest(batch_size=batch_size):
                self.compare(self.demo / "model", batch_size)

    def test_converted(self):
        self.ok("convert", "-i", self.demo / "model", "-o", self.folder, "-tp", 2)
        self.compare(self.folder / "2-gpu", 8)


if __name__ == "__main__":
    harness.main()
