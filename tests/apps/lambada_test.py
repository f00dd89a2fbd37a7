"""LAMBADA as FasterTransformer scores it, against what Hugging Face recorded for the demo model."""
import json
import re

import harness
from harness import CommandTest, golden

MODEL = "heads4_fp32_lm_head_tokenizer"


class Lambada(CommandTest):
    def texts(self, *texts):
        return self.jsonl("texts.jsonl", [{"text": text} for text in texts])

    def score(self, *flags):
        path = self.folder / "cases.jsonl"
        out = self.ok("lambada", *flags, "--output-path", path)
        found = re.search(r"(?m)^Accuracy: ([0-9.]+)% \((\d+)/(\d+)\) \(elapsed time: [0-9.]+ sec, [0-9.]+ prompts/s\)$",
                          out)
        self.assertTrue(found, out)
        return float(found[1]), int(found[2]), int(found[3]), [json.loads(line) for line in path.read_text().splitlines()]

    def test_split_and_dump(self):
        data = self.texts("The fox saw a bear", "One two\n\nthree four", "a b")
        accuracy, correct, total, cases = self.score("--model", golden(MODEL), "--dataset-path", data)
        self.assertEqual(total, 3)
        self.assertEqual(correct, sum(case["correct"] for case in cases))
        self.assertAlmostEqual(accuracy, 100 * correct / 3, places=3)
        self.assertEqual([case["index"] for case in cases], [0, 1, 2])
        self.assertEqual([(case["prompt"], case["target"]) for case in cases],
                         [("The fox saw a", " bear"), ("One two\n\nthree", " four"), ("a", " b")])
        for case in cases:
            self.assertEqual(len(case["output_ids"]), len(case["target_ids"]))
            self.assertEqual(case["correct"], case["output_ids"] == case["target_ids"])

    def test_threshold(self):
        data = self.texts("The fox saw a bear")
        flags = ["lambada", "--model", golden(MODEL), "--dataset-path", data, "--acc-threshold"]
        self.assertTrue(self.ok(*flags, 0).endswith("PASS\n"))
        done = self.refused(*flags, 100, codes=[1], says="--acc-threshold")
        self.assertTrue(done.stdout.endswith("FAIL\n"))

    def test_progress_in_a_pipe_is_on_request(self):
        data = self.texts(*["The fox saw a bear"] * 20)
        done = self.run_bolide("lambada", "--model", golden(MODEL), "--dataset-path", data, "--show-progress")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(done.stderr.splitlines()), 10, done.stderr)

    def test_bad_texts_name_their_line(self):
        for row in ("nonsense", "{}", '{"text": 5}', '{"text": "oneword"}', '{"text": " lead"}', '{"text": "ends in blank "}',
                    '{"text": ""}'):
            with self.subTest(row):
                data = self.jsonl("texts.jsonl", [{"text": "a b"}, row])
                self.refused("lambada", "--model", golden(MODEL), "--dataset-path", data, codes=[1], says="line 2")
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.jsonl("none.jsonl", []), codes=[1])
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.folder / "nowhere", codes=[1],
                     says="nowhere")
        self.refused("lambada", "--model", golden("heads3_fp32"), "--dataset-path", self.texts("a b"), says="tokenizer")


class Demo(CommandTest):
    score = Lambada.score

    def setUp(self):
        super().setUp()
        self.demo = harness.SOURCE / "examples" / "demo"
        self.recorded = [json.loads(line) for line in (self.demo / "lambada_hf.jsonl").read_text().splitlines()]

    def compare(self, model, batch_size):
        _, correct, total, cases = self.score("--model", model, "--tokenizer-path", self.demo / "model", "--data-type",
                                              "fp32", "--dataset-path", self.demo / "lambada.jsonl", "--batch-size",
                                              batch_size)
        self.assertEqual(total, len(self.recorded))
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
