"""Files that are not what they are called, JSON as Python writes it, names that a terminal would act on: read where that
does no harm, else one plain line, soon and in little memory."""
import ctypes
import json
import os
import resource
import socket
import stat

import harness
from harness import CommandTest, golden, read_safetensors, write_safetensors

MODEL = "heads4_fp32_lm_head_tokenizer"  # one safetensors file and a tokenizer.json
TORCH = "heads3_fp32_bin_prefix_lm_head"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1234\n"
STAND_INS = ((LFS, "git lfs pull"), ("<!DOCTYPE html><html></html>", "web page"), ("\n<html>", "web page"), ("", "is empty"))


def memory_limit(megabytes):
    """Of what is private and may be written to. Address space would be no measure: each thread that finds the heap busy
    reserves 64 MB of it for a heap of its own, more of them the busier the machine is."""
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


class OddFiles(CommandTest):
    def generate(self, model):
        return self.ok("generate", "--model", model, "--prompt", "Hello", "--max-new-tokens", 3)

    def refuse(self, model, *says):
        self.refused("generate", "--model", model, "--prompt", "Hello", says=says, codes=[1])

    def edit(self, path, old, new):
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def test_stand_ins_are_named(self):
        model, torch = self.golden_copy(MODEL), self.golden_copy(TORCH)
        weights = next(torch.glob("pytorch_model*.bin"))
        for path in (model / "config.json", model / "tokenizer.json", model / "model.safetensors", weights):
            sound = path.read_bytes()
            for text, says in STAND_INS:
                with self.subTest(path.name + text[:9]):
                    path.write_text(text)
                    self.refused("logits", "--model", path.parent, "--input", self.jsonl("p.jsonl", [{"input_ids": [5]}]),
                                 "--output", self.folder / "out", codes=[1], says=(path.name, says))
            path.write_bytes(sound)

    def test_text_in_place_of_weights(self):
        for name, pattern in ((MODEL, "model.safetensors"), (TORCH, "pytorch_model*.bin")):
            path = next(self.golden_copy(name).glob(pattern))
            for text in ("Entry not found", '{"error": "Invalid username or password."}\n', "a"):
                path.write_text(text)
                self.refused("inspect", "--model", path.parent, says=(path.name, "is text ('" + text[:9], "not weights"), codes=[1])

    def test_stand_ins_for_an_index_and_its_shards(self):
        model = self.golden_copy("heads12_fp32_sharded")
        index = model / "model.safetensors.index.json"
        shard = sorted(model.glob("model-*.safetensors"))[-1]
        for path in (shard, index):
            for text, says in STAND_INS:
                path.write_text(text)
                self.refused("inspect", "--model", model, says=(path.name, says), codes=[1])

    def test_stand_ins_in_an_ft_folder(self):
        self.ok("convert", "-i", golden(MODEL), "-o", self.folder / "ft", "-tp", 1)
        folder = self.folder / "ft" / "1-gpu"
        for path in (folder / "model.wte.bin", folder / "config.ini"):
            for text, says in STAND_INS:
                path.write_text(text)
                self.refused("inspect", "--model", folder, says=(path.name, says), codes=[1])

    def test_pipes_devices_and_folders_are_not_waited_for(self):
        model, torch = self.golden_copy(MODEL), self.golden_copy(TORCH)
        weights = next(torch.glob("pytorch_model*.bin"))
        sharded = self.golden_copy("heads12_fp32_sharded")
        index = sharded / "model.safetensors.index.json"
        self.ok("convert", "-i", golden(MODEL), "-o", self.folder / "ft", "-tp", 1)
        ini = self.folder / "ft" / "1-gpu" / "config.ini"
        for path in (model / "config.json", model / "tokenizer.json", model / "model.safetensors", weights, index):
            sound = path.read_bytes()
            path.unlink()
            for kind, make in (("a pipe", os.mkfifo), ("a folder", os.mkdir), ("a device", lambda p: os.symlink("/dev/zero", p)),
                               ("a socket", self.bind)):
                with self.subTest(path.name + kind):
                    make(path)
                    self.refuse(path.parent, path.name, f"is {kind}, not a file")
                    if path.name == "config.json":
                        self.refused("generate", "--model", path.parent, "--prompt", "a", "-tp", 2, codes=[1], says=f"is {kind}, not a file")
                    os.rmdir(path) if stat.S_ISDIR(path.lstat().st_mode) else path.unlink()
            path.write_bytes(sound)
        ini.unlink()
        os.mkfifo(ini)
        self.refused("inspect", "--model", ini.parent, says="config.ini", codes=[1])

        os.unlink(ini)
        ini.symlink_to("nowhere")
        self.refused("inspect", "--model", ini.parent, says="config.ini is a link to nowhere", codes=[1])

    def test_pipes_and_broken_links_in_an_ft_folder(self):
        self.ok("convert", "-i", golden(MODEL), "-o", self.folder / "ft", "-tp", 1)
        path = self.folder / "ft" / "1-gpu" / "model.wte.bin"
        for make, says in ((os.mkfifo, "is a pipe, not a file"), (os.mkdir, "is a folder, not a file"),
                           (lambda p: p.symlink_to("/dev/zero"), "is a device, not a file"),
                           (lambda p: p.symlink_to("nowhere"), "is a link to nowhere, which is not there")):
            path.unlink()
            make(path)
            self.refused("inspect", "--model", path.parent, says=("model.wte.bin", says), codes=[1])
            if path.is_dir():
                path.rmdir()
                path.touch()

    def test_broken_links(self):
        """A snapshot of the Hugging Face hub is a folder of links; copied alone, they lead nowhere."""
        model, sharded = self.golden_copy(MODEL), self.golden_copy("heads12_fp32_sharded")
        shard = sorted(sharded.glob("model-*.safetensors"))[-1]
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5], "max_new_tokens": 1}])
        for path in (model / "config.json", model / "model.safetensors", model / "tokenizer.json", model / "tokenizer_config.json",
                     model / "special_tokens_map.json", model / "added_tokens.json", shard, sharded / "model.safetensors.index.json"):
            with self.subTest(path.name):
                kept = path.read_bytes() if path.exists() else None
                path.unlink(missing_ok=True)
                path.symlink_to("../../blobs/0123")
                self.refused("generate", "--model", path.parent, "--input", rows, codes=[1],
                             says=(path.name + " is a link to ../../blobs/0123, which is not there: fetch",))
                path.unlink()
                if kept is not None:
                    path.write_bytes(kept)
        (model / "generation_config.json").unlink(missing_ok=True)
        (model / "generation_config.json").symlink_to("nowhere")
        self.may_warn = True
        done = self.run_bolide("generate", "--model", model, "--input", rows)
        self.assertEqual(done.returncode, 0)
        self.assertIn("generation_config.json is a link to nowhere, which is not there", done.stderr)

    def bind(self, path):
        before = os.getcwd()
        os.chdir(path.parent)  # an address has at most 107 bytes
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(before)

    def test_json_as_python_writes_it(self):
        model = self.golden_copy(MODEL)
        right = self.generate(model)
        config, tokenizer = model / "config.json", model / "tokenizer.json"
        self.edit(config, "{", '{"limit": [0.0, Infinity], "odd": {"x": NaN, "x": 1}, "odd": -Infinity, "half": "\\ud83d", "far": 1e999,')
        self.edit(tokenizer, "{", '{"stray": NaN, "stray": {"model": {"vocab": {}}},')
        for path in (config, tokenizer):
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        self.assertEqual(self.generate(model), right)

    def test_json_that_matters(self):
        for name, change, says in (("n_layer", '"n_layer": 2, "n_layer": 2', "key 'n_layer' is given twice"),
                                   ("n_layer", '"n_layer": NaN', "key 'n_layer' is NaN, not a number"),
                                   ("n_layer", '"n_layer": 2.9', "'n_layer'"),
                                   ("layer_norm_epsilon", '"layer_norm_epsilon": Infinity', "'layer_norm_epsilon' is Infinity"),
                                   ("layer_norm_epsilon", '"layer_norm_epsilon": 1e999', "'layer_norm_epsilon' is Infinity"),
                                   ("model_type", '"model_type": "bloom\\ud800"', "half a surrogate pair")):
            with self.subTest(change):
                harness.shutil.rmtree(self.folder / MODEL, ignore_errors=True)
                model = self.golden_copy(MODEL)
                config = json.loads((model / "config.json").read_text())
                config.pop(name, None)
                (model / "config.json").write_text("{" + change + ", " + json.dumps(config)[1:])
                self.refuse(model, "config.json", says)

    def test_a_vocabulary_or_a_tensor_given_twice(self):
        model = self.golden_copy(MODEL)
        path = model / "tokenizer.json"
        sound = path.read_text(encoding="utf-8")
        self.edit(path, '"vocab"', '"vocab": {"a": 0}, "vocab"')
        self.refuse(model, "tokenizer.json", "'vocab' is given twice")
        path.write_text(sound, encoding="utf-8")
        self.edit(path, '"model"', '"model": {}, "model"')
        self.refuse(model, "tokenizer.json", "'model' is given twice")
        path.write_text(sound, encoding="utf-8")
        weights = model / "model.safetensors"
        header, data = read_safetensors(weights)
        name = next(name for name in header if name != "__metadata__")
        header.pop("__metadata__", None)
        text = json.dumps(header)
        write = lambda text: weights.write_bytes(len(text).to_bytes(8, "little") + text.encode() + data)
        write('{"__metadata__": {"a": "1", "a": "2"}, ' + text[1:])
        self.generate(model)
        write(text[:-1] + ", " + json.dumps({name: header[name]})[1:])
        self.refuse(model, "model.safetensors", f"'{name}' is given twice")

    def test_bytes_after_a_zero_byte(self):
        model = self.golden_copy(MODEL)
        for name in ("config.json", "tokenizer.json"):
            path = model / name
            sound = path.read_bytes()
            path.write_bytes(sound + b"\0{}")
            self.refuse(model, name, "expected nothing more, found a zero byte")
            path.write_bytes(sound)

    def test_syntax_errors_name_line_and_column(self):
        model = self.golden_copy(MODEL)
        (model / "config.json").write_text('{\n  "n_layer": 2,\n}\n')
        self.refuse(model, "config.json", "at line 3, column 1: expected a key in double quotes, found '}'")
        for path in model.glob("*.json"):
            path.write_text('{"a": [1 2]}')
        self.refuse(model, "at line 1, column 10: expected ',' or ']', found '2'")


class OddLines(CommandTest):
    def test_lines_as_python_writes_them(self):
        text = "the quick brown fox"
        plain = self.jsonl("plain.jsonl", [{"text": text}])
        odd = self.jsonl("odd.jsonl", ['{"id": 1, "score": NaN, "id": [2], "text": "%s", "more": {"a": {"a": -Infinity}}}' % text])
        scores = [self.score("--model", golden(MODEL), "--dataset-path", path)[0] for path in (plain, odd)]
        self.assertEqual(scores[0], scores[1])

    def test_bad_lines_name_the_column(self):
        for line, says in (('{"text": "a b", "text": "c d"}', "'text' is given twice"), ('{"text": NaN}', "'text' is NaN"),
                           ('{"text": "a b"} x', "column 17: expected nothing more, found 'x'"), ("[" * 100000, "nested deeper than 256"),
                           ("{'text': 1}", "column 2: expected a key in double quotes")):
            self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.jsonl("t.jsonl", [line]), codes=[1],
                         says=("t.jsonl line 1", says))
        for line, says in (('{"input_ids": [1], "temperature": NaN}', "'temperature' is NaN"),
                           ('{"input_ids": [1], "input_ids": [2]}', "'input_ids' is given twice"),
                           ('{"input_ids": [NaN]}', "not NaN"), ('{"input_ids": [1]', "column 18: expected ',' or '}'")):
            self.refused("generate", "--model", golden(MODEL), "--input", self.jsonl("t.jsonl", [line]), codes=[1],
                         says=("t.jsonl line 1", says))
        for flags, line, says in ((["--json"], "[1", "column 3: expected ',' or ']'"), (["--json"], "[[[[]]]]", "is not a JSON string"),
                                  (["--decode"], "[1.5]", "1.5 is not a token id"), (["--decode"], "[" * 100000, "nested deeper"),
                                  (["--decode"], "[Infinity]", "Infinity is not a token id")):
            self.refused("tokenize", "--tokenizer-path", golden(MODEL), *flags, input=line, codes=[1], says=("line 1", says))

    @harness.without_address_sanitizer
    def test_bombs_in_little_memory(self):
        """Lines and files that would be a hundred times their size as trees of values: refused, or read past, and no abort."""
        for name, line in (("nest", "[" + ",".join(["[" * 200 + "]" * 200] * 16000) + "]"), ("empty", "[" + ",".join(["[]"] * 2_200_000) + "]"),
                           ("open", "[" * 6_700_000), ("strings", "[" + ",".join(['""'] * 2_200_000) + "]")):
            with self.subTest(name):
                self.assertGreater(len(line), 6_000_000)
                limit = {"preexec_fn": memory_limit(300), "codes": [1]}
                for flags in (["--json"], ["--decode"]):
                    self.refused("tokenize", "--tokenizer-path", golden(MODEL), *flags, input=line, says="line 1", **limit)
                path = self.jsonl("bomb.jsonl", ['{"text": %s}' % line])
                model = self.golden_copy(MODEL) if not (self.folder / MODEL).exists() else self.folder / MODEL
                self.refused("lambada", "--model", golden(MODEL), "--dataset-path", path, says="line 1", **limit)
                (model / "config.json").write_text('{"odd": %s}' % line)
                self.refused("inspect", "--model", model, says="config.json", **limit)


class Terminals(CommandTest):
    BAD = ("\x1b[2J", "\x07", "\x7f", "\x9b2J", "\u202e", "\u2066", "\u200f", "\ufeff", "\u2028", "\r")

    def assert_plain(self, text):
        for bad in self.BAD:
            self.assertNotIn(bad[0], text, repr(text[:300]))

    def test_flags_and_names_of_folders(self):
        for bad in self.BAD:
            with self.subTest(repr(bad)):
                for arguments in (["inspect", "--model", f"x{bad}y"], ["inspect", "--model", ".", f"--no{bad}ne"],
                                  [f"no{bad}ne"], [f"--no{bad}ne"], ["inspect", "--model", ".", "--batch-size", f"1{bad}"],
                                  ["generate", "--model", f"x{bad}y", "--data-type", f"fp{bad}"]):
                    done = self.run_bolide(*arguments)
                    self.assert_one_error(done, (1, 2), "?")
                    self.assert_plain(done.stderr)
        done = self.run_bolide("inspect", "--model", b"x\xff\xfey".decode("utf-8", "surrogateescape"))
        self.assertIn("x??y", done.stderr)

    def test_names_of_tensors(self):
        model = self.golden_copy(MODEL)
        header, data = read_safetensors(model / "model.safetensors")
        for bad in self.BAD[:5]:
            write_safetensors(model / "model.safetensors", {**header, f"x{bad}y": {"dtype": "F32", "shape": [0], "data_offsets": [len(data), len(data)]}}, data)
            done = self.run_bolide("inspect", "--model", model)
            self.assertEqual(done.returncode, 1)
            self.assert_plain(done.stderr)
            self.assertIn("'x?", done.stderr)

    def test_what_inspect_prints_of_a_name(self):
        model = self.golden_copy(MODEL)
        odd = model.parent / "odd\x1b[2J\u202e"
        model.rename(odd)
        self.assert_plain(self.ok("inspect", "--model", odd))
        text = self.ok("inspect", "--model", odd, "--json")
        self.assert_plain(text)
        self.assertEqual(json.loads(text)["model"], str(odd))
        self.assert_plain(self.ok("convert", "-i", odd, "-o", self.folder / "out", "-tp", 1))

    def test_values_and_lines_are_cut(self):
        long = "x" * 100_000
        for arguments in (["inspect", "--model", long], ["inspect", "--model", ".", "--batch-size", long], ["inspect", f"--batch-size={long}"],
                          [long], ["inspect", "--model", ".", "--" + long], ["generate", "--model", ".", "--data-type", long],
                          ["generate", "--model", "/".join(["x" * 200] * 18), "--prompt", "a"]):
            done = self.refused(*arguments, says="bytes)")
            self.assertLess(len(done.stderr), 1000, done.stderr[:300])
        model = self.golden_copy(MODEL)
        (model / "config.json").write_text(json.dumps({"architectures": [long], "model_type": "é" * 3000}))
        done = self.refused("inspect", "--model", model, says="...", codes=[1])
        self.assertLess(len(done.stderr), 2100)
        done = self.refused("generate", "--model", golden(MODEL), "--input", self.jsonl("p.jsonl", [{"input_ids": [1], long: 1}]),
                            says="unknown field")
        self.assertLess(len(done.stderr), 300)


def without_override():
    """Root, too, is held to the permissions of files: PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


class PathsThatCannotBeLookedAt(CommandTest):
    def test_without_permission(self):
        closed = self.folder / "closed"
        shut = self.golden_copy(MODEL).rename(self.folder / "shut")
        closed.mkdir()
        model = shut.rename(closed / "model")
        unreadable = self.golden_copy(MODEL)
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (unreadable / name).chmod(0)
            done = self.refused("generate", "--model", unreadable, "--prompt", "a", says=(name, "Permission denied"), preexec_fn=without_override)
            (unreadable / name).chmod(0o644)
        for mode, path in ((0, model), (0, closed), (0o600, model), (0o100, closed)):
            closed.chmod(mode)
            for arguments in (["generate", "--model", path, "--prompt", "a"], ["inspect", "--model", path], ["convert", "-i", path, "-o", self.folder / "o"],
                              ["convert", "-i", golden(MODEL), "-o", path], ["tokenize", "--tokenizer-path", path]):
                with self.subTest(f"{mode:o} {arguments[0]} {path.name}"):
                    if mode == 0o100 and "tokenize" in arguments:
                        continue  # it looks for names, and may: none is there
                    done = self.refused(*arguments, says="Permission denied", preexec_fn=without_override)
                    self.assertNotIn("filesystem error", done.stderr)
            closed.chmod(0o755)

    def test_in_plain_words(self):
        (self.folder / "loop").symlink_to("loop")
        (self.folder / "file").write_text("")
        long = self.folder / ("n" * 300)
        for path, why in ((self.folder / "loop", "Too many levels of symbolic links"), (long, "File name too long"),
                          (self.folder / "loop" / "x", "Too many levels")):
            for arguments in (["generate", "--model", path, "--prompt", "a"], ["inspect", "--model", path],
                              ["convert", "-i", path, "-o", self.folder / "out"], ["convert", "-i", golden(MODEL), "-o", path],
                              ["tokenize", "--tokenizer-path", path], ["lambada", "--model", golden(MODEL), "--dataset-path", path],
                              ["generate", "--model", golden(MODEL), "--prompt", "a", "--tokenizer-path", path],
                              ["logits", "--model", golden(MODEL), "--input", path, "--output", self.folder / "o"]):
                with self.subTest(arguments[0] + " " + path.name[:5]):
                    done = self.refused(*arguments, says=why)
                    self.assertNotIn("filesystem error", done.stderr)
        for name in ("config.json", "tokenizer.json", "model.safetensors", "config.ini"):
            model = self.golden_copy(MODEL)
            (model / name).unlink(missing_ok=True)
            (model / name).symlink_to(name)
            done = self.refused("generate", "--model", model, "--prompt", "a", says=(name, "Too many levels of symbolic links"))
            self.assertNotIn("filesystem error", done.stderr)
            harness.shutil.rmtree(model)


if __name__ == "__main__":
    harness.main()
