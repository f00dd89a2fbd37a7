"""The figures of bench: which there are, and that they hang together."""
import json
import math

import harness
from harness import CommandTest, golden

KEYS = ["device", "data_type", "batch_size", "input_len", "output_len", "prefill_ms", "decode_ms_per_step",
        "decode_tokens_per_s", "prefill_roof_share", "decode_roof_share", "measured_bandwidth_bytes_per_s",
        "measured_flops_per_s", "weight_bytes", "peak_memory_bytes"]


class Bench(CommandTest):
    def test_one_object_or_a_list(self):
        path = self.folder / "bench.json"
        base = ["bench", "--model", golden("heads3_fp32"), "--input-len", 20, "--output-len", 6, "--repeats", 2, "--json",
                path]
        table = self.ok(*base, "--batch-size", 3)
        self.assertIn("prefill of 20", table)
        self.assertIn("decode step", table)
        row = json.loads(path.read_text())
        for key in KEYS:
            self.assertIn(key, row)
        self.assertEqual((row["device"], row["data_type"], row["batch_size"]), ("cpu", "fp32", 3))
        self.assertGreater(row["prefill_ms"], 0)
        self.assertGreater(row["decode_ms_per_step"], 0)
        self.assertAlmostEqual(row["decode_tokens_per_s"] * row["decode_ms_per_step"] / 1e3, 3, places=6)
        self.assertGreater(row["decode_roof_share"], 0)
        self.assertGreater(row["peak_memory_bytes"], row["weight_bytes"])
        self.assertFalse(row["random_weights"])
        # A run takes at least its steps: one of prefill, and one for each later token.
        self.assertGreaterEqual(row["wall_ms"] * 1.5, row["prefill_ms"] + 5 * row["decode_ms_per_step"])
        self.ok(*base, "--batch-size", "1,2")
        self.assertEqual([row["batch_size"] for row in json.loads(path.read_text())], [1, 2])

    def test_random_weights_at_the_shape_of_a_config(self):
        path = self.folder / "bench.json"
        out = self.ok("bench", "--model", golden("heads12_fp32_sharded") / "config.json", "--load-format", "dummy",
                      "--data-type", "bf16", "--input-len", 4, "--output-len", 1, "--repeats", 1, "--json", path)
        self.assertIn("(random)", out)
        row = json.loads(path.read_text())
        self.assertTrue(row["random_weights"])
        self.assertEqual(row["data_type"], "bf16")
        self.assertEqual(row["decode_ms_per_step"], 0)  # one new token is the prefill's

    def test_peer_lines(self):
        out = self.ok("bench", "--model", golden("heads3_fp32"), "--peer-lines", "tiny", "--repeats", 1)
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([row["metric"] for row in rows], ["dec1", "pre1", "dec8", "pre8"])
        for row in rows:
            self.assertEqual((row["model"], row["engine"], row["dtype"]), ("tiny", "bolide", "fp32"))
            self.assertTrue(math.isfinite(row["ms"]))
            if row["metric"].startswith("pre"):  # a step's time is the difference of two runs: noise on a tiny model
                self.assertGreater(row["ms"], 0)


if __name__ == "__main__":
    harness.main()
