"""LAMBADA as FasterTransformer scores it: splitting, scoring, dumping, thresholds."""
import json

import harness
from harness import CommandTest, golden

MODEL = "heads4_fp32_lm_head_tokenizer"


class Lambada(CommandTest):
    def texts(self, *texts):
        return self.jsonl("texts.jsonl", [{"text": text} for text in texts])

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


if __name__ == "__main__":
    harness.main()
