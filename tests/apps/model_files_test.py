"""Files that people have: a head of its own, end ids in lists and in generation_config.json, more weights than memory."""
import configparser
import json
import shutil
import struct

import harness
from harness import CommandTest, golden, golden_record

TIED_BUT_APART = "head_apart_though_tied"
PLAIN = "heads3_fp32"


class ModelFilesTest(CommandTest):
    def edit(self, path, **changes):
        """Sets keys of a JSON file; a value of Ellipsis removes one."""
        config = json.loads(path.read_text()) if path.exists() else {}
        config.update(changes)
        path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))

    def warned(self, *args):
        """Runs the command, which must succeed with warnings alone on stderr; gives them and its stdout."""
        done = self.run_bolide(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stderr.splitlines()
        for line in lines:
            self.assertTrue(line.startswith("bolide: warning: "), line)
        return lines, done.stdout

    def inspect(self, model):
        return json.loads(self.ok("inspect", "--model", model, "--json"))

    def end_id(self, ft_folder):
        config = configparser.ConfigParser()
        config.read(ft_folder / "config.ini")
        return config["gpt"]["end_id"]


class Recommended(ModelFilesTest):
    """What generation_config.json recommends is what the flags would say, and they win."""

    def setUp(self):
        super().setUp()
        self.model = self.golden_copy(PLAIN)
        self.prompts = self.jsonl("p.jsonl", [{"input_ids": prompt} for prompt in golden_record(PLAIN)["prompts"]])

    def generate(self, *flags):
        return self.warned("generate", "--model", self.model, "--input", self.prompts, *flags)

    def test_it_is_followed_and_flags_win(self):
        greedy = self.generate("-n", 6)
        self.edit(self.model / "generation_config.json", do_sample=True, temperature=3.0, top_k=20, max_new_tokens=6,
                  eos_token_id=2)
        drawn = self.generate()
        self.assertEqual(drawn, self.generate("--temperature", 3, "--top-k", 20, "-n", 6, "--generation-config", "none"))
        self.assertNotEqual(drawn, greedy)
        self.assertEqual(self.generate("--temperature", 0), greedy)
        self.assertEqual(self.generate("--top-k", 1), greedy)
        self.assertEqual(self.generate("--generation-config", "none", "-n", 6), greedy)
        self.assertEqual(self.generate("--generation-config", self.model), drawn)
        requests = self.jsonl("q.jsonl", [{"input_ids": prompt, "temperature": 0}
                                          for prompt in golden_record(PLAIN)["prompts"]])
        self.assertEqual(self.warned("generate", "--model", self.model, "--input", requests), greedy)

    def test_what_is_not_there_is_told(self):
        self.edit(self.model / "generation_config.json", repetition_penalty=1.3, eos_token_id=2)
        lines, _ = self.generate()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("generation_config.json asks for repetition_penalty 1.3: this version does not have that", lines[0])
        self.assertEqual(self.generate("--generation-config", "none")[0], [])
        self.assertIn("repetition_penalty 1.3 is left out", self.ok("inspect", "--model", self.model))

    def test_end_ids_without_it(self):
        first = [json.loads(line)["output_ids"][0] for line in self.generate("-n", 1, "--ignore-eos")[1].splitlines()]
        self.edit(self.model / "generation_config.json", eos_token_id=first)
        ended = [json.loads(line)["finish_reason"] for line in self.generate("-n", 1)[1].splitlines()]
        self.assertEqual(set(ended), {"end_id"})
        ended = [json.loads(line)["finish_reason"]
                 for line in self.generate("-n", 1, "--generation-config", "none")[1].splitlines()]
        self.assertIn("length", ended)

    def test_inspect_shows_it(self):
        self.edit(self.model / "generation_config.json", do_sample=True, temperature=0.5, top_p=0.25, eos_token_id=2)
        shown = self.inspect(self.model)["generation_config"]
        self.assertEqual((shown["temperature"], shown["top_k"], shown["top_p"]), (0.5, 50, 0.25))
        self.assertEqual(shown["file"], str(self.model / "generation_config.json"))
        self.assertIn("temperature 0.5, top_k 50, top_p 0.25, as generation_config.json says", self.ok("inspect", "--model", self.model))

    def test_faults(self):
        gone = self.folder / "gone.json"
        self.refused("generate", "--model", self.model, "--input", self.prompts, "--generation-config", gone, says="gone.json")
        self.edit(self.model / "generation_config.json", top_p=3)
        self.refused("generate", "--model", self.model, "--input", self.prompts, says="top_p is 3")


class Heads(ModelFilesTest):
    def test_a_head_of_its_own_is_told_once(self):
        prompts = self.jsonl("p.jsonl", [{"input_ids": golden_record(TIED_BUT_APART)["prompts"][1], "max_new_tokens": 2}])
        for flags in ([], ["-pp", 1, "-tp", 2]):
            lines, _ = self.warned("generate", "--model", golden(TIED_BUT_APART), "--input", prompts, *flags)
            self.assertEqual(len(lines), 1, lines)
            self.assertIn("'lm_head.weight'", lines[0])
            self.assertIn("tie_word_embeddings", lines[0])

    def test_convert_keeps_it(self):
        lines, _ = self.warned("convert", "-i", golden(TIED_BUT_APART), "-o", self.folder)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue((self.folder / "1-gpu" / "model.lm_head.weight.bin").exists())
        self.assertEqual(self.inspect(self.folder / "1-gpu")["warnings"], [])

    def test_a_head_that_repeats_the_embedding_is_tied(self):
        for name in ("heads3_fp32_bin_prefix_lm_head", "heads4_fp32_lm_head_tokenizer", "head_alone"):
            for says in (True, False, ...):
                if name == "head_alone" and says is False:
                    continue  # nothing then ties the embedding that is missing
                model = self.golden_copy(name)
                self.edit(model / "config.json", tie_word_embeddings=says)
                self.ok("convert", "-i", model, "-o", self.folder / "out", "--force")
                self.assertFalse((self.folder / "out" / "1-gpu" / "model.lm_head.weight.bin").exists())
                harness.shutil.rmtree(model)

    def test_one_row_of_its_own_is_enough(self):
        """A head that differs in a single element, far from any sample."""
        model = self.golden_copy("heads4_fp32_lm_head_tokenizer")
        path = model / "model.safetensors"
        raw = bytearray(path.read_bytes())
        size = struct.unpack("<Q", raw[:8])[0]
        header = json.loads(raw[8:8 + size])
        rows, columns = header["lm_head.weight"]["shape"]
        for row, column in ((0, 0), (rows - 1, columns - 1), (rows // 2 + 3, 1)):
            changed = bytearray(raw)
            at = 8 + size + header["lm_head.weight"]["data_offsets"][0] + 4 * (row * columns + column)
            changed[at:at + 4] = struct.pack("<f", 1.5)
            path.write_bytes(changed)
            warnings = self.inspect(model)["warnings"]
            self.assertEqual(len(warnings), 1, (row, column, warnings))
            self.assertIn("lm_head.weight", warnings[0])
            self.assertIn("lm_head.weight", self.ok("inspect", "--model", model).split("warning")[-1])

    def test_what_is_missing_stays_an_error(self):
        model = self.golden_copy(PLAIN)
        self.edit(model / "config.json", tie_word_embeddings=False)
        self.refused("inspect", "--model", model, says="'lm_head.weight' is missing")
        model = self.golden_copy("head_alone")
        self.edit(model / "config.json", tie_word_embeddings=False)
        self.refused("inspect", "--model", model, says="word_embeddings.weight' is missing")


class EndIds(ModelFilesTest):
    """What ends a text: the golden ids, cut where the first of the end ids comes."""

    def setUp(self):
        super().setUp()
        record = golden_record(PLAIN)
        self.free, self.prompt = record["greedy_ids"][1], record["prompts"][1]
        self.at = next(i for i, x in enumerate(self.free) if i >= 4 and x not in self.free[:i])
        self.stop, self.never = self.free[self.at], next(i for i in range(211) if i not in self.free)
        self.model = self.golden_copy(PLAIN)

    def finish(self, model=None, flags=(), **fields):
        path = self.jsonl("p.jsonl", [{"input_ids": self.prompt, "max_new_tokens": len(self.free), **fields}])
        row = json.loads(self.warned("generate", "--model", model or self.model, "--input", path, *flags)[1])
        return row["output_ids"], row["finish_reason"]

    def check(self, ends, **fields):
        want = (self.free[:self.at], "end_id") if self.stop in ends else (self.free, "length")
        self.assertEqual(self.finish(**fields), want)

    def test_config_json(self):
        for value in (self.stop, [self.stop], [self.never, self.stop], [], None):
            with self.subTest(value):
                self.edit(self.model / "config.json", eos_token_id=value)
                self.check(value if isinstance(value, list) else [value])

    def test_generation_config_wins(self):
        other = self.model / "generation_config.json"
        for own, value in ((self.never, self.stop), (self.stop, [self.never]), (None, [self.never, self.stop]),
                           (self.stop, None), ([self.stop], ...)):
            with self.subTest(own=own, value=value):
                self.edit(self.model / "config.json", eos_token_id=own)
                self.edit(other, bos_token_id=1, eos_token_id=value)
                self.check(value if isinstance(value, list) else [value])
        other.write_text("<html>not found</html>")
        self.check([self.stop])
        self.assertIn("generation_config.json", self.inspect(self.model)["warnings"][0])

    def test_requests_name_their_own(self):
        self.edit(self.model / "config.json", eos_token_id=[self.never, self.stop])
        self.check([], end_id=-1)
        self.check([], end_id=[])
        self.check([], ignore_eos=True)
        self.check([], flags=["--ignore-eos"])
        self.check([self.stop], flags=["--ignore-eos"], end_id=[self.never, self.stop])
        self.check([self.stop], end_id=self.stop)

    def test_inspect_shows_them_all(self):
        for value in (7, [7, 9], None):
            self.edit(self.model / "config.json", eos_token_id=value)
            self.assertEqual(self.inspect(self.model)["eos_id"], value)
            words = {7: "end 7)", None: "end none)"}.get(None if value is None else 7 if value == 7 else 0, "end 7, 9)")
            self.assertIn(words, self.ok("inspect", "--model", self.model))

    def test_convert_and_back(self):
        for value, written, back in ((self.stop, str(self.stop), [self.stop]), (None, "-1", []),
                                     ([self.stop, self.never], str(self.stop), [self.stop])):
            self.edit(self.model / "config.json", eos_token_id=value)
            lines, _ = self.warned("convert", "-i", self.model, "-o", self.folder / "ft", "--force")
            self.assertEqual(len(lines), 1 if isinstance(value, list) else 0, lines)
            self.assertEqual(self.end_id(self.folder / "ft" / "1-gpu"), written)
            self.check(back, model=self.folder / "ft" / "1-gpu")

    def test_faults(self):
        for value in (True, 2.0, "2", [2, True], {"id": 2}):
            self.edit(self.model / "config.json", eos_token_id=value)
            self.refused("inspect", "--model", self.model, says=("config.json", "eos_token_id"))
        path = self.jsonl("p.jsonl", [{"input_ids": [5], "end_id": [3, 211]}])
        self.refused("generate", "--model", golden(PLAIN), "--input", path, says="end id 211")


class Refusals(ModelFilesTest):
    def test_a_folder_of_models_is_none(self):
        self.ok("convert", "-i", golden("heads3_fp32"), "-o", self.folder / "ft")
        self.refused("inspect", "-m", self.folder / "ft", codes=[1], says="ft is no model but holds some: name one of them, for example "
                     "FOLDER/ft/1-gpu")
        cache = self.folder / "models--bigscience--bloom-560m"
        shutil.copytree(golden("heads3_fp32"), cache / "snapshots" / "ac2ae5fa")
        self.refused("inspect", "-m", cache, codes=[1], says="for example FOLDER/models--bigscience--bloom-560m/snapshots/ac2ae5fa")
        self.refused("inspect", "-m", cache / "snapshots", codes=[1], says="snapshots/ac2ae5fa")

    def test_quantised_weights(self):
        model = self.golden_copy(PLAIN)
        self.edit(model / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
        for command in (["inspect", "--model", model], ["convert", "-i", model, "-o", self.folder / "out"],
                        ["bench", "--model", model, "--load-format", "dummy"]):
            self.refused(*command, says=("gptq", "quantised"))

    def test_a_folder_that_is_not_there(self):
        for command in (["inspect", "--model"], ["generate", "--prompt", "x", "--model"], ["convert", "-o", self.folder, "-i"]):
            self.refused(*command, "/nowhere/model", says="model folder not found: /nowhere/model")
            self.refused(*command, "bigscience/bloom-560m", cwd=self.folder,
                         says=("model folder not found: bigscience/bloom-560m", "huggingface-cli download bigscience/bloom-560m"))
            self.refused(*command, golden(PLAIN) / "model.safetensors", says="is a file: name the folder")


class MoreWeightsThanMemory(ModelFilesTest):
    def test_sparse_weights(self):
        """A file that claims far more than any machine has, in a few kB of disk."""
        hidden, vocab = 1 << 16, 1 << 22  # an embedding of 1 TiB
        (self.folder / "config.json").write_text(json.dumps({
            "architectures": ["BloomForCausalLM"], "vocab_size": vocab, "hidden_size": hidden, "n_head": 256, "n_layer": 1}))
        inner, shapes = 4 * hidden, {}
        for norm in ("word_embeddings_layernorm", "ln_f", "h.0.input_layernorm", "h.0.post_attention_layernorm"):
            shapes.update({f"{norm}.weight": [hidden], f"{norm}.bias": [hidden]})
        shapes["word_embeddings.weight"] = [vocab, hidden]
        for linear, out, columns in (("self_attention.query_key_value", 3 * hidden, hidden),
                                     ("self_attention.dense", hidden, hidden), ("mlp.dense_h_to_4h", inner, hidden),
                                     ("mlp.dense_4h_to_h", hidden, inner)):
            shapes.update({f"h.0.{linear}.weight": [out, columns], f"h.0.{linear}.bias": [out]})
        header, at = {}, 0
        for name, shape in shapes.items():
            size = 4
            for extent in shape:
                size *= extent
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
        text = json.dumps(header).encode()
        with open(self.folder / "model.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + at)
        path = self.jsonl("p.jsonl", [{"input_ids": [5]}])
        for flags in ([], ["-tp", 2], ["-pp", 1, "--data-type", "bf16"]):
            done = self.refused("generate", "--model", self.folder, "--input", path, *flags, codes=(1,),
                                says=("bytes of memory", "are available", "--data-type"))
            self.assertRegex(done.stderr, r"needs \d{12,} bytes .* and \d+ are available")
        self.refused("bench", "--model", self.folder, "--load-format", "dummy", codes=(1,), says="bytes of memory")


if __name__ == "__main__":
    harness.main()
