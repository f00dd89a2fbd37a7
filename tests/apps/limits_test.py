"""What the command takes of a machine that gives little: threads and memory; and variables that it does not follow."""
import json
import math
import os
import resource
import subprocess
import unittest

import harness
from harness import CommandTest, golden


class Limits(CommandTest):
    def generate(self, *flags):
        return ["generate", "--model", golden("heads3_fp32"), "--input",
                self.jsonl("one.jsonl", [{"input_ids": [5, 6], "max_new_tokens": 3}]), *flags]

    @harness.without_address_sanitizer  # whose leak check starts a thread, too
    def test_threads(self):
        """However few threads a user may start: a result, or one error line. OpenMP by itself would end the process."""
        if os.geteuid() != 0:
            self.skipTest("NOT RUN: only root can become a user without other processes")
        self.folder.chmod(0o755)
        want = self.ok(*self.generate())
        ended = set()
        for flags in ([], ["--threads", 3], ["-tp", 3]):
            for limit in (1, 2, 3, 5, 6, 7, 8, 12, 40):
                with self.subTest(flags=flags, limit=limit):
                    try:
                        done = self.run_bolide(*self.generate(*flags), user=64321, group=64321, extra_groups=[],
                                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit)))
                    except PermissionError:
                        self.skipTest("NOT RUN: another user cannot read this folder")
                    ended.add(done.returncode)
                    if done.returncode == 0:
                        self.assertEqual(done.stdout, want)
                        self.assertIn(len(done.stderr.splitlines()), (0, 1))
                        if done.stderr:
                            self.assertRegex(done.stderr, r"warning.*this process may start \d+ threads .*: \d+ compute")
                            self.assertEqual(flags != ["--threads", 3], True)
                    else:
                        self.assert_one_error(done, [1], "this process may start")
        self.assertEqual(ended, {0, 1})

    @harness.without_address_sanitizer  # which needs more of it
    def test_stack(self):
        """Never a signal without a word: too little is refused, and what is not refused is enough."""
        limit = lambda kib: {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_STACK, (kib << 10, kib << 10)), "env": {}}
        self.refused(*self.generate("--threads", 2), codes=[1], says=("stack is 64 KiB", "ulimit -s"), **limit(64))
        self.ok(*self.generate("--threads", 2), **limit(128))

    def test_memory_of_a_batch_size_that_nobody_fills(self):
        def peak(size):
            with open(os.devnull, "w") as nowhere:
                process = subprocess.Popen(harness.command(*self.generate("--batch-size", size)), stdout=nowhere)
                _, status, usage = os.wait4(process.pid, 0)
            self.assertEqual(status, 0)
            process.returncode = 0
            return usage.ru_maxrss * 1024

        self.assertLess(peak(536870911), peak(1) + (64 << 20))

    @harness.without_address_sanitizer
    def test_memory_that_no_flag_of_the_command_spares(self):
        model = self.golden_copy("heads3_fp32")
        config = (model / "config.json").read_text()
        (model / "config.json").write_text(config + " " * (60 << 20))
        limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (40 << 20, 40 << 20))
        done = self.refused("inspect", "--model", model, codes=[1], says="out of memory", preexec_fn=limit)
        self.assertNotIn("--batch-size", done.stderr)

    def test_heads_that_no_kernel_computes(self):
        """`generate` refuses them before it reads weights, and `inspect` says so."""
        hidden, ids = 257, 3
        shapes = {"word_embeddings.weight": [ids, hidden]}
        for name in ("word_embeddings_layernorm", "ln_f", "h.0.input_layernorm", "h.0.post_attention_layernorm"):
            shapes[name + ".weight"] = shapes[name + ".bias"] = [hidden]
        for name, out, width in (("self_attention.query_key_value", 3 * hidden, hidden), ("self_attention.dense", hidden, hidden),
                                 ("mlp.dense_h_to_4h", 4 * hidden, hidden), ("mlp.dense_4h_to_h", hidden, 4 * hidden)):
            shapes[f"h.0.{name}.weight"], shapes[f"h.0.{name}.bias"] = [out, width], [out]
        header, data = {}, b""
        for name, shape in sorted(shapes.items()):
            begin = len(data)
            data += bytes(4 * math.prod(shape))
            header["transformer." + name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
        model = self.folder / "model"
        model.mkdir()
        harness.write_safetensors(model / "model.safetensors", header, data)
        config = {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": ids, "hidden_size": hidden,
                  "n_layer": 1, "n_head": 1, "layer_norm_epsilon": 1e-5, "bos_token_id": 1, "eos_token_id": 2,
                  "torch_dtype": "float32"}
        (model / "config.json").write_text(json.dumps(config))
        rows = self.jsonl("row.jsonl", [{"input_ids": [1]}])
        self.refused("generate", "--model", model, "--input", rows, codes=[1], says=("size of 257", "256 at most"))
        self.refused("generate", "--load-format", "dummy", "--model", model / "config.json", "--input", rows, codes=[1],
                     says=("size of 257", "256 at most"))
        told = json.loads(self.ok("inspect", "--model", model, "--json"))["warnings"]
        self.assertEqual(len(told), 1)
        self.assertIn("it cannot be run: the model's heads have a size of 257", told[0])

    def test_variables_that_are_not_followed(self):
        """A warning of each, once, unless its value asks for what is done anyway."""
        def said(**variables):
            done = self.run_bolide(*self.generate("-tp", 3), env={**os.environ, **variables})
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stderr

        self.assertEqual(said(FMHA_ENABLE="ON", FT_NVTX="OFF", FT_DEBUG_LEVEL=""), "")
        for name, value in [("FMHA_ENABLE", "x"), ("FMHA_ENABLE", "OFF"), ("FT_NVTX", "ON"), ("FT_DEBUG_LEVEL", "DEBUG"),
                            ("CONTEXT_ATTENTION_BMM1_HALF_ACCUM", "ON")]:
            with self.subTest(name, value=value):
                lines = said(**{name: value}).splitlines()
                self.assertEqual(len(lines), 1, lines)
                self.assertIn(f"{name}={value} is ignored: ", lines[0])


if __name__ == "__main__":
    harness.main()
