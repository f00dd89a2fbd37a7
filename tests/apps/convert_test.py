"""The report of convert, its files, and what inspect says about both sides."""
import configparser
import json
import math
import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path

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

    def test_names_cannot_speak_to_the_terminal(self):
        hostile = self.folder / "a\033[31mb\u202ec\u0085d"
        hostile.symlink_to(golden("heads3_fp32"))
        out = self.ok("convert", "-i", hostile, "-o", self.folder / "e\033]0;f", "-v")
        for mark in ("\033", "\u202e", "\u0085"):
            self.assertNotIn(mark, out)
        self.assertIn("a?[31mb?c?d", out)

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

    def test_tensors_are_listed_in_the_order_of_the_model(self):
        norm = lambda name: [f"model.{name}.weight", f"model.{name}.bias"]
        layer = lambda n: [name for part in ("input_layernorm", "attention.query_key_value", "attention.dense",
                                             "post_attention_layernorm", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
                           for name in norm(f"layers.{n}.{part}")]
        wanted = ["model.wte", *norm("pre_decoder_layernorm"), *layer(0), *layer(1), *norm("final_layernorm")]
        for number, flags in enumerate((["-p", 1], ["-p", 8], ["-p", 8, "-s"], ["-p", 8, "-tp", 4])):
            out = self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder / str(number), "-v", *flags)
            self.assertEqual([line.split()[1] for line in out.splitlines() if line.startswith(" - ")], wanted, flags)

    def test_more_processes_than_there_is_work(self):
        for number, processes in enumerate((100_000, 2**31 - 1)):
            self.ok("convert", "-i", golden("heads3_fp32"), "-o", self.folder / str(number), "-p", processes)
            self.assertTrue((self.folder / str(number) / "1-gpu" / "config.ini").exists())

    def test_a_failed_run_leaves_no_folder(self):
        model = self.golden_copy("heads3_fp32")
        (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-4])
        outer = self.folder / "out"
        for place in (outer, outer / "of" / "it"):
            self.refused("convert", "-i", model, "-o", place, codes=[1], says="model.safetensors")
            self.assertFalse(outer.exists())
        outer.mkdir()
        self.refused("convert", "-i", model, "-o", outer / "of", codes=[1], says="model.safetensors")
        self.assertEqual(list(outer.iterdir()), [])

    def test_the_input_is_not_overwritten(self):
        self.ok("convert", "-i", golden("heads3_fp32"), "-o", self.folder)
        folder = self.folder / "1-gpu"
        before = {p.name: p.read_bytes() for p in folder.iterdir()}
        link = self.folder / "link"
        link.symlink_to(folder)
        for source in (folder, link, self.folder / "1-gpu" / ".." / "1-gpu"):
            for flags in ([], ["--force"]):
                self.refused("convert", "-i", source, "-o", self.folder, "-dt", "fp16", *flags, codes=[2],
                             says=["1-gpu holds what is read", "choose another output folder"])
        inside = self.folder / "out" / "1-gpu" / "model"
        shutil.copytree(golden("heads3_fp32"), inside)
        linked = self.folder / "linked"
        linked.mkdir()
        for file in inside.iterdir():
            (linked / file.name).symlink_to(file)
        for source in (inside, linked):
            self.refused("convert", "-i", source, "-o", self.folder / "out", "--force", codes=[2],
                         says="holds what is read")
        self.assertEqual({p.name: p.read_bytes() for p in folder.iterdir()}, before)
        self.assertTrue((inside / "model.safetensors").exists())
        # Beside or below the input nothing is lost.
        self.ok("convert", "-i", inside, "-o", inside)
        self.ok("convert", "-i", folder, "-o", self.folder, "-tp", 3)

    def test_a_folder_with_any_name_loads(self):
        for name in ("line\nbreak", "tab\tand\rreturn", "a=b;c #d", " blank ", "[gpt]", "percent%(x)s"):
            model = Path(shutil.copytree(golden("heads3_fp32"), self.folder / name))
            self.ok("convert", "-i", model, "-o", model)
            self.assertEqual(json.loads(self.ok("inspect", "--model", model / "1-gpu", "--json"))["layers"], 2)
            config = configparser.ConfigParser(interpolation=None)
            config.read(model / "1-gpu" / "config.ini")
            self.assertEqual(config["gpt"]["model_name"], str(model).replace("\n", "?").replace("\t", "?")
                             .replace("\r", "?").strip())

    def damaged(self, name, tensor, index, value):
        """A copy of a golden of fp32 with one value changed."""
        model = Path(shutil.copytree(golden("heads3_fp32"), self.folder / name))
        header, data = read_safetensors(model / "model.safetensors")
        at = header[tensor]["data_offsets"][0] + 4 * index
        harness.write_safetensors(model / "model.safetensors", header,
                                  data[:at] + struct.pack("<f", value) + data[at + 4:])
        return model

    def test_values_that_no_weight_may_have(self):
        ids = self.jsonl("ids.jsonl", [{"input_ids": [1, 2]}])
        bias, wte = "transformer.h.0.self_attention.query_key_value.bias", "transformer.word_embeddings.weight"
        for number, (tensor, index, place) in enumerate(((bias, 5, "[5]"), (wte, 50, None))):
            for value, word in ((math.nan, "NaN"), (math.inf, "infinity"), (-math.inf, "infinity")):
                model = self.damaged(f"{word}{number}{value}", tensor, index, value)
                says = [f"'{tensor}'", f"holds {word} at element {place or '['}", "model.safetensors",
                        "the file is damaged, or training diverged"]
                self.refused("convert", "-i", model, "-o", model, codes=[1], says=says)
                self.assertFalse((model / "1-gpu").exists())
                self.refused("generate", "--model", model, "--input", ids, codes=[1], says=says)
        model = self.damaged("large", wte, 50, 1e38)
        says = [f"'{wte}'", "holds 1e+38 at element [", "more than fp16 can hold: use bf16 or fp32"]
        self.refused("convert", "-i", model, "-o", model, "-dt", "fp16", codes=[2], says=says)
        self.refused("generate", "--model", model, "--input", ids, "--data-type", "fp16", codes=[2], says=says)
        self.ok("convert", "-i", model, "-o", model, "-dt", "bf16")
        # In a file of the second rank.
        self.ok("convert", "-i", golden("heads3_fp32"), "-o", self.folder, "-tp", 3)
        file = self.folder / "3-gpu" / "model.layers.1.mlp.dense_h_to_4h.bias.2.bin"
        file.write_bytes(struct.pack("<f", math.nan) + file.read_bytes()[4:])
        self.refused("generate", "--model", self.folder / "3-gpu", "--input", ids, codes=[1],
                     says=["dense_h_to_4h.bias.2.bin", "holds NaN"])

    def test_bookkeeping(self):
        """Buffers, and an index that lists other names than its shards hold, change nothing."""
        prompts = [[1, 2, 3]]
        right = self.generate_ids(golden("heads12_fp32_sharded"), prompts)
        model = self.golden_copy("heads12_fp32_sharded")
        index = json.loads((model / "model.safetensors.index.json").read_text())
        shard = sorted(set(index["weight_map"].values()))[0]
        index["weight_map"] = {"lm_head.weight": shard, "transformer.h.0.rotary_emb.inv_freq": shard,
                               **dict.fromkeys(sorted(set(index["weight_map"].values())), shard),
                               **{f"x{i}": name for i, name in enumerate(set(index["weight_map"].values()))}}
        (model / "model.safetensors.index.json").write_text(json.dumps(index))
        header, data = read_safetensors(model / shard)
        mask = {"dtype": "BOOL", "shape": [1, 1, 2, 2], "data_offsets": [len(data), len(data) + 4]}
        name = "transformer.h.1.self_attention.scale_mask_softmax.causal_mask"
        harness.write_safetensors(model / shard, {**header, name: mask}, data + b"\1\0\1\1")
        self.assertEqual(self.generate_ids(model, prompts), right)
        # What save_model() of safetensors.torch makes of a tied head, whichever name it keeps.
        tied = self.golden_copy("heads3_fp32")
        right = self.generate_ids(tied, prompts)
        plain, values = read_safetensors(tied / "model.safetensors")
        wte, head = "transformer.word_embeddings.weight", "lm_head.weight"
        for kept, dropped in ((wte, head), (head, wte)):
            renamed = {kept if name == wte else name: entry for name, entry in plain.items()}
            harness.write_safetensors(tied / "model.safetensors",
                                      {"__metadata__": {"format": "pt", dropped: kept}, **renamed}, values)
            self.assertEqual(self.generate_ids(tied, prompts), right)
            self.ok("convert", "-i", tied, "-o", tied, "--force")
            self.assertEqual(self.generate_ids(tied / "1-gpu", prompts), right)
        other = "transformer.h.1.self_attention.scale_mask_softmax.other"
        harness.write_safetensors(model / shard, {**header, other: mask}, data + b"\1\0\1\1")
        self.refused("inspect", "--model", model, codes=[1], says=[other, "is not used by this model"])

    def test_sizes_that_overflow(self):
        model = golden("heads3_fp32")
        for flags in (["--batch-size", 2**63 - 1], ["--length", 2**63 - 1], ["--batch-size", 2**32, "--length", 2**32],
                      ["--batch-size", 2**31, "--length", 2**31], ["--batch-size", 2**62],
                      ["--batch-size", 2**62, "--length", 4, "-tp", 3], ["--batch-size", 2**55, "--json"]):
            self.refused("inspect", "--model", model, *flags, codes=[2], says="more than 2^63 bytes")
        memory = json.loads(self.ok("inspect", "--model", model, "--json", "--batch-size", 2**20, "--length",
                                    2**20))["memory"]
        self.assertGreater(memory["kv_bytes"], 2**40)
        self.assertGreater(memory["total_bytes"], memory["kv_bytes"])

    def test_a_killed_run_leaves_nothing_for_the_next(self):
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder)
        whole = {p.name: p.read_bytes() for p in (self.folder / "1-gpu").iterdir()}
        for delay in (0.002, 0.005, 0.01, 0.02):
            process = subprocess.Popen(harness.command("convert", "-i", golden("heads12_fp32_sharded"), "-o",
                                                       self.folder, "--force"),
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(delay)
            process.kill()
            process.wait()
            self.assertEqual({p.name: p.read_bytes() for p in (self.folder / "1-gpu").iterdir()}, whole)
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder, "--force")
        self.assertEqual(os.listdir(self.folder), ["1-gpu"])

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
