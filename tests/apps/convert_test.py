"""The report of convert, its files, and what inspect says about both sides."""
import configparser
import json
import os
import signal
import subprocess
import time

import harness
from harness import CommandTest, golden, read_safetensors


class Convert(CommandTest):
    def test_report(self):
        out = self.ok("convert", "--input-dir", golden("heads12_fp32_sharded"), "--output-dir", self.folder, "-tp", 2,
                      "-dt", "fp16", "-p", 2, "-v")
        self.assertRegex(out, r"(?m)^=+ Arguments =+$")
        self.assertRegex(out, r"(?m)^ tensor_para_size \.+ 2$")
        self.assertRegex(out, r"(?m)^ data_type \.+ fp16$")
        self.assertRegex(out, r"(?m)^Elapsed time: ")
        lines = {line.split()[1]: line for line in out.splitlines() if line.startswith(" - ")}
        # 5 shared tensors and 12 a layer
        self.assertEqual(len(lines), 5 + 12 * 2)
        self.assertNotRegex(lines["model.wte"], r" s$")
        self.assertIn("(157, 48)", lines["model.wte"])
        split = lines["model.layers.0.mlp.dense_h_to_4h.weight"]
        self.assertRegex(split, r" s$")
        self.assertIn("(48, 96)", split)
        self.assertNotIn(" - ", self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder, "-tp", 4))

    def test_files(self):
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder, "-tp", "2")
        self.assertEqual([p.name for p in self.folder.iterdir()], ["2-gpu"])
        folder = self.folder / "2-gpu"
        # 17 shared: 5 outside the layers, and 6 a layer; 6 split ones a layer, once a rank; config.ini
        self.assertEqual(len(list(folder.iterdir())), 5 + 2 * 6 + 2 * 2 * 6 + 1)
        config = configparser.ConfigParser()
        config.read(folder / "config.ini")
        self.assertEqual(config["gpt"]["tensor_para_size"], "2")
        self.assertEqual(config["gpt"]["model_variant"], "bloom-pre")
        self.assertEqual(config["gpt"]["weight_data_type"], "fp32")
        header, data = read_safetensors(golden("heads3_fp32") / "model.safetensors")
        self.ok("convert", "-i", golden("heads3_fp32"), "-o", self.folder, "-tp", "3")
        begin, end = header["transformer.word_embeddings.weight"]["data_offsets"]
        self.assertEqual((self.folder / "3-gpu" / "model.wte.bin").read_bytes(), data[begin:end])

    def test_by_shard_and_processes_give_the_same_files(self):
        names = ("a", "b", "c")
        for name, flags in zip(names, ([], ["-s"], ["-p", 1])):
            self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder / name, "-tp", 4, *flags)
        files = [{p.name: p.read_bytes() for p in (self.folder / name / "4-gpu").iterdir()} for name in names]
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_inspect(self):
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder, "-tp", 4)
        both = [json.loads(self.ok("inspect", "--model", model, "--json", "--batch-size", 2, "--length", 64))
                for model in (golden("heads12_fp32_sharded"), self.folder / "4-gpu")]
        self.assertNotEqual(both[0]["format"], both[1]["format"])
        for key in ("vocab_size", "hidden_size", "layers", "heads", "head_size", "inter_size", "parameters", "memory"):
            self.assertEqual(both[0][key], both[1][key], key)
        self.assertEqual((both[0]["vocab_size"], both[0]["hidden_size"], both[0]["layers"]), (157, 48, 2))
        # keys and values: 2 sequences x 64 tokens x 2 layers x (key + value) x 48 x 4 bytes
        self.assertEqual(both[0]["memory"]["kv_bytes"], 2 * 64 * 2 * 2 * 48 * 4)
        half = json.loads(self.ok("inspect", "--model", golden("heads12_fp32_sharded"), "--json", "--batch-size", 2,
                                  "--length", 64, "--data-type", "bf16"))
        self.assertEqual(half["memory"]["kv_bytes"] * 2, both[0]["memory"]["kv_bytes"])
        # The ranks of a layout hold the cache together, each its layers and heads, and what is not divided twice.
        split = json.loads(self.ok("inspect", "--model", golden("heads12_fp32_sharded"), "--json", "--batch-size", 2,
                                   "--length", 64, "-tp", 3, "-pp", 2))["memory"]
        whole = both[0]["memory"]
        self.assertEqual([(r["first_layer"], r["layers"]) for r in split["ranks"]], [(0, 1), (1, 1)])
        self.assertEqual(split["kv_bytes"], whole["kv_bytes"])
        self.assertEqual(split["ranks"][0]["kv_bytes"] * 6, whole["kv_bytes"])
        self.assertLess(split["ranks"][1]["weight_bytes"] * 3, whole["weight_bytes"])
        self.refused("inspect", "--model", golden("heads12_fp32_sharded"), "-tp", 5, codes=[2], says="12 heads")
        text = self.ok("inspect", "--model", golden("heads12_fp32_sharded"))
        self.assertIn("transformer.word_embeddings.weight", text)
        self.assertIn("memory", text)

    def test_ctrl_c_leaves_a_whole_folder_or_none(self):
        # Whether the signal lands before, while or after writing is chance, and one that comes when the folder is
        # already in place still ends the command by that signal: a whole folder is allowed, a half one never is.
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder / "whole")
        whole = {p.name: p.read_bytes() for p in (self.folder / "whole" / "1-gpu").iterdir()}
        for delay in (0, 0.005, 0.01, 0.02, 0.04):
            out = self.folder / f"out{delay}"
            process = subprocess.Popen(harness.command("convert", "-i", golden("heads12_fp32_sharded"), "-o", out),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            self.assertIn(process.returncode, (0, -signal.SIGINT))
            left = sorted(os.listdir(out)) if out.exists() else []
            if process.returncode == 0:
                self.assertEqual(left, ["1-gpu"])
            self.assertIn(left, ([], ["1-gpu"]))
            if left:
                self.assertEqual({p.name: p.read_bytes() for p in (out / "1-gpu").iterdir()}, whole)


if __name__ == "__main__":
    harness.main()
