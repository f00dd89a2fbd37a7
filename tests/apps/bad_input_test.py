"""Damaged models and inputs: one clear line, and nothing left behind."""
import json
import os
import shutil
import struct
import zipfile

import harness
from harness import CommandTest, golden, golden_record, read_safetensors, write_safetensors

MODEL = "heads3_fp32"  # one safetensors file


class BadModel(CommandTest):
    def refuse_model(self, model, *says, **options):
        """Loading, looking and converting all refuse, and no converted folder is left."""
        prompt = self.jsonl("one.jsonl", [{"input_ids": [5]}])
        self.refused("generate", "--model", model, "--input", prompt, says=says, **options)
        out = self.folder / "converted"
        self.refused("convert", "-i", model, "-o", out, says=says, **options)
        left = list(out.iterdir()) if out.exists() else []
        self.assertEqual(left, [])

    def damaged(self, change):
        """A copy of MODEL whose tensors `change(header, data)` has changed; it gives the new data."""
        model = self.golden_copy(MODEL)
        header, data = read_safetensors(model / "model.safetensors")
        write_safetensors(model / "model.safetensors", header, change(header, data))
        return model

    def test_no_folder_and_no_config(self):
        self.refuse_model(self.folder / "nowhere", "model folder", "nowhere")
        model = self.golden_copy(MODEL)
        (model / "config.json").unlink()
        self.refuse_model(model, "config.json", "config.ini")

    def test_config_that_is_not_json(self):
        model = self.golden_copy(MODEL)
        (model / "config.json").write_text("{ nonsense")
        self.refuse_model(model, "config.json", "JSON")

    def test_unknown_architecture(self):
        model = self.golden_copy(MODEL)
        config = json.loads((model / "config.json").read_text())
        config.update(architectures=["MambaForCausalLM"], model_type="mamba")
        (model / "config.json").write_text(json.dumps(config))
        self.refuse_model(model, "'mamba'", "BloomForCausalLM")

    def test_missing_tensor(self):
        """Of each kind one, its bytes gone, too: what is left is a sound file."""
        names = list(read_safetensors(golden(MODEL) / "model.safetensors")[0])
        kinds = {name.rsplit(".h.", 1)[-1].lstrip("0123456789."): name for name in names}
        self.assertEqual(len(kinds), 5 + 12)
        for gone in kinds.values():
            def change(header, data):
                begin, end = header.pop(gone)["data_offsets"]
                for entry in header.values():
                    if entry["data_offsets"][0] >= end:
                        entry["data_offsets"] = [offset - (end - begin) for offset in entry["data_offsets"]]
                return data[:begin] + data[end:]
            with self.subTest(gone):
                shutil.rmtree(self.folder / MODEL, ignore_errors=True)
                self.refused("inspect", "--model", self.damaged(change), says=(gone.removeprefix("transformer."), "missing"))
        self.refuse_model(self.folder / MODEL, "missing")

    def test_bytes_that_no_tensor_holds(self):
        def change(header, data):
            header.pop(next(name for name in header if "dense_h_to_4h.weight" in name))
            return data
        self.refuse_model(self.damaged(change), "model.safetensors", "belong to no tensor")

    def test_unused_tensor(self):
        def change(header, data):
            header["surprise.weight"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(data), len(data) + 8]}
            return data + bytes(8)
        self.refuse_model(self.damaged(change), "surprise.weight", "not used")

    def test_wrong_shape(self):
        def change(header, data):
            name = next(name for name in header if name.endswith("ln_f.weight"))
            header[name]["shape"] = [2, header[name]["shape"][0] // 2]
            return data
        self.refuse_model(self.damaged(change), "ln_f.weight", "[2, 12]", "[24]")

    def test_unknown_data_type(self):
        def change(header, data):
            next(iter(header.values()))["dtype"] = "Q7"
            return data
        self.refuse_model(self.damaged(change), "Q7")

    def test_truncated_and_over_long(self):
        self.refuse_model(self.damaged(lambda header, data: data[:-4]), "model.safetensors", "truncated")
        model = self.folder / MODEL
        model.rename(self.folder / "first")
        self.refuse_model(self.damaged(lambda header, data: data + bytes(4)), "model.safetensors", "over-long")

    def test_hostile_headers(self):
        model = self.golden_copy(MODEL)
        path = model / "model.safetensors"
        header, data = read_safetensors(path)
        path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}" + data)
        self.refuse_model(model, "model.safetensors", str(1 << 60))
        names = list(header)
        overlap = {name: dict(entry) for name, entry in header.items()}
        overlap[names[1]]["data_offsets"] = overlap[names[0]]["data_offsets"]
        write_safetensors(path, overlap, data)
        self.refuse_model(model, "model.safetensors", "overlaps")
        outside = {name: dict(entry) for name, entry in header.items()}
        outside[names[0]]["data_offsets"] = [len(data), len(data) + 4]
        write_safetensors(path, outside, data)
        self.refuse_model(model, "model.safetensors", names[0], str(len(data) + 4))
        text = json.dumps(header)
        twice = text[:-1] + ", " + json.dumps({names[0]: header[names[0]]})[1:]
        write_safetensors(path, twice, data)
        self.refuse_model(model, "model.safetensors", "is given twice", names[0])

    def test_pickle_that_calls(self):
        model = self.golden_copy("heads3_bf16_bin_no_prefix")
        path = model / "pytorch_model.bin"
        mark = self.folder / "called"
        pickle = b"\x80\x02cposix\nsystem\nq\x00X" + struct.pack("<I", len(f"touch {mark}")) + \
            f"touch {mark}".encode() + b"\x85R."
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle)
            archive.writestr("archive/version", "3\n")
        self.refuse_model(model, "pytorch_model.bin", "posix.system")
        self.assertFalse(mark.exists())

    def test_zip_bomb(self):
        model = self.golden_copy("heads3_bf16_bin_no_prefix")
        with zipfile.ZipFile(model / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(200 << 20))
        self.refuse_model(model, "pytorch_model.bin", "compressed")


class BadFasterTransformerFolder(CommandTest):
    def setUp(self):
        super().setUp()
        self.ok("convert", "-i", golden("heads12_fp32_sharded"), "-o", self.folder, "-tp", 2)
        self.model = self.folder / "2-gpu"

    def refuse(self, *says):
        prompt = self.jsonl("one.jsonl", [{"input_ids": [5]}])
        self.refused("generate", "--model", self.model, "--input", prompt, says=says)

    def test_it_loads_as_it_is(self):
        prompts = golden_record("heads12_fp32_sharded")
        self.assertEqual(self.generate_ids(self.model, prompts["prompts"]), prompts["greedy_ids"])

    def test_missing_file(self):
        (self.model / "model.layers.1.mlp.dense_h_to_4h.weight.1.bin").unlink()
        self.refuse("model.layers.1.mlp.dense_h_to_4h.weight.1.bin", "missing")

    def test_truncated_and_over_long_files(self):
        path = self.model / "model.layers.0.attention.dense.weight.0.bin"
        whole = path.read_bytes()
        path.write_bytes(whole[:-4])
        self.refuse(path.name, str(len(whole) - 4))
        path.write_bytes(whole + bytes(4))
        self.refuse(path.name, str(len(whole) + 4))

    def test_config_without_a_key(self):
        path = self.model / "config.ini"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line for line in lines if not line.startswith("num_layer")) + "\n")
        self.refuse("num_layer")

    def test_folder_that_claims_another_n(self):
        path = self.model / "config.ini"
        path.write_text(path.read_text().replace("tensor_para_size=2", "tensor_para_size=4"))
        self.refuse("tensor_para_size")


class BadConvert(CommandTest):
    def test_heads_that_do_not_divide(self):
        out = self.folder / "out"
        self.refused("convert", "-i", golden(MODEL), "-o", out, "-tp", 2, says=("--tensor-para-size 2", "3 heads"))
        self.assertEqual(list(out.iterdir()) if out.exists() else [], [])

    def test_folder_that_holds_files(self):
        out = self.folder / "out"
        (out / "1-gpu").mkdir(parents=True)
        (out / "1-gpu" / "precious").write_text("mine")
        self.refused("convert", "-i", golden(MODEL), "-o", out, says=("1-gpu", "--force"))
        self.assertEqual([p.name for p in (out / "1-gpu").iterdir()], ["precious"])
        self.assertEqual([p.name for p in out.iterdir()], ["1-gpu"])
        self.ok("convert", "-i", golden(MODEL), "-o", out, "--force")
        self.assertTrue((out / "1-gpu" / "config.ini").exists())
        self.assertFalse((out / "1-gpu" / "precious").exists())

    def test_output_that_cannot_be_made(self):
        (self.folder / "file").write_text("")
        self.refused("convert", "-i", golden(MODEL), "-o", self.folder / "file" / "out", says="Not a directory")


class BadRequests(CommandTest):
    def refuse(self, rows, *says, flags=(), written=0, **options):
        """Bad rows after `written` good ones, whose results must be there all the same."""
        good = [{"input_ids": [5, 6], "max_new_tokens": 2}] * written
        done = self.refused("generate", "--model", golden(MODEL), "--input", self.jsonl("bad.jsonl", [*good, *rows]),
                            *flags, says=says, **options)
        self.assertEqual(len(done.stdout.splitlines()), written)

    def test_malformed_lines_are_named_and_nothing_written_is_lost(self):
        for row in ("nonsense", '{"input_ids": [1}', "[1, 2]", '"text"', "{}", '{"input_ids": "5"}',
                    '{"input_ids": [1.5]}', '{"input_ids": [1e99]}', '{"prompt": 5}', '{"input_ids": [true]}',
                    '{"input_ids": [1], "input_ids": [2]}', '{"prompt": "a", "input_ids": [1]}',
                    '{"input_ids": [4294967296]}', '{"input_ids": [1], "seed": -1}',
                    '{"input_ids": [1], "stop": [5]}', '{"input_ids": [1], "ignore_eos": 1}',
                    '{"input_ids": [1], "temperature": "hot"}', "\x00", '{"input_ids": [' * 1000):
            with self.subTest(row[:40]):
                self.refuse([row], "bad.jsonl line 3", written=2, codes=[1])

    def test_unknown_and_unsupported_fields_are_named(self):
        self.refuse([{"input_ids": [1], "tempratur": 1}], "line 1", "tempratur", codes=[1])
        self.refuse([{"input_ids": [1], "beam_width": 2}], "line 1", "beam_width", codes=[1])

    def test_ids_outside_the_vocabulary(self):
        for bad in (211, -1, 2**31 - 1):
            self.refuse([{"input_ids": [5, bad]}], "line 2", f"token id {bad} ", written=1, codes=[1])

    def test_no_request_at_all(self):
        path = self.jsonl("none.jsonl", [])
        for name, options in ((path, {}), ("-", {"input": ""})):
            done = self.run_bolide("generate", "--model", golden("heads3_fp32"), "--input", name, **options)
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertIn("standard input holds no request" if options else "none.jsonl holds no request", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)

    def test_empty_prompt(self):
        self.refuse([{"input_ids": []}], "line 1", "empty", codes=[1])

    def test_prompt_longer_than_the_cache(self):
        self.refuse([{"input_ids": [5] * 40}], "line 1", "40 tokens", "32 tokens", flags=["--max-kv-tokens", 32],
                    codes=[1])
        self.refuse([{"input_ids": [5] * 10, "max_new_tokens": 40}], "line 1", "10 tokens", "40 new",
                    flags=["--max-kv-tokens", 32], codes=[1])

    def test_prompt_without_a_tokenizer(self):
        self.refuse([{"prompt": "Hello"}], "tokenizer")
        self.refused("generate", "--model", golden(MODEL), "--prompt", "Hello", says="tokenizer")
        self.refused("logits", "--model", golden(MODEL), "--input", self.jsonl("p.jsonl", [{"prompt": "Hello"}]),
                     "--output", self.folder / "out", says="tokenizer")

    def test_files_that_are_not_there(self):
        self.refused("generate", "--model", golden(MODEL), "--input", self.folder / "none", codes=[1], says="none")
        self.refused("generate", "--model", golden(MODEL), "--input", self.folder, codes=[1], says="directory")
        self.refused("logits", "--model", golden(MODEL), "--input", self.folder / "none", "--output",
                     self.folder / "out", codes=[1], says="none")

    def test_bad_logits_leave_no_file(self):
        out = self.folder / "out.safetensors"
        rows = self.jsonl("bad.jsonl", [{"input_ids": [5]}, {"input_ids": [999]}])
        self.refused("logits", "--model", golden(MODEL), "--input", rows, "--output", out, says=("line 2", "999"))
        self.assertEqual([p for p in os.listdir(self.folder) if p.startswith("out")], [])


if __name__ == "__main__":
    harness.main()
