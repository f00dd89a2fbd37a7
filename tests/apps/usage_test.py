"""Flags: what is accepted, what is refused and how; no model is ever loaded."""
import json
import os
import resource

import harness
from harness import CommandTest, golden

TOKENIZER = "heads4_fp32_lm_head_tokenizer"

SUBCOMMANDS = ["convert", "generate", "lambada", "logits", "inspect", "bench", "tokenize", "tune"]


class Usage(CommandTest):
    def test_help_and_version(self):
        text = self.ok("--help")
        for name in SUBCOMMANDS:
            self.assertIn(f"  {name} ", text)
            self.assertRegex(self.ok(name, "--help"), r"(?m)^ +.*--[a-z]+-[a-z-]+ .*[a-z]{3} ")
        self.assertRegex(self.ok("--version"), r"^bolide \d+\.\d+\.\d+\n$")

    def test_wrong_usage(self):
        for args, says in [((), "subcommand"), (("frob",), "frob"), (("--frob",), "--frob"),
                           (("generate",), "--model"), (("generate", "--model", "x", "--frob", "1"), "--frob"),
                           (("generate", "--model", "x"), "--prompt"),
                           (("generate", "--model", "x", "--prompt", "a", "--input", "b"), "one of"),
                           (("generate", "--model", "x", "--prompt"), "--prompt"),
                           (("generate", "--model", "x", "--prompt", "a", "--top-k", "many"), "--top-k"),
                           (("generate", "--model", "x", "--prompt", "a", "--seed", "-1"), "--seed"),
                           (("logits", "--model", "x", "--input", "y"), "--output"),
                           (("convert", "-i", "x"), "--output-dir"),
                           (("convert", "-i", "x", "-o", "y", "-tp", "0"), ("--tensor-para-size", "at least 1")),
                           (("convert", "-i", "x", "-o", "y", "-p", "two"), "--processes"),
                           (("bench", "--model", "x", "--peer-lines", "m", "--batch-size", "1"), "--peer-lines"),
                           (("inspect", "--model", "x", "--length", "0"), "--length"),
                           (("lambada", "--model", "x", "--dataset-path", "y", "--acc-threshold", "101"),
                            "--acc-threshold"),
                           (("generate", "--model", "x", "--log-level", "loud", "--prompt", "a"), "loud")]:
            with self.subTest(args=args):
                self.refused(*args, codes=[2], says=says)

    def test_batch_size_0(self):
        base = ["--model", "x", "--batch-size", 0]
        for args in (["generate", *base, "--prompt", "a"], ["lambada", *base, "--dataset-path", "y"],
                     ["logits", *base, "--input", "y", "--output", "z"], ["bench", *base], ["inspect", *base], ["tune", *base],
                     ["bench", "--model", "x", "--batch-size", "1,0"]):
            with self.subTest(args=args):
                self.refused(*args, codes=[2], says=("--batch-size", "at least 1, not 0"))

    def test_flags_of_later_versions(self):
        for flag, value in [("--beam-width", 4), ("--repetition-penalty", 1.2), ("--presence-penalty", 0.5),
                            ("--len-penalty", 1), ("--beam-search-diversity-rate", 0.3), ("--min-length", 5),
                            ("--bad-words", "no"), ("--early-stopping", "true"),
                            ("--data-type", "int8"), ("-dt", "fp8")]:
            with self.subTest(flag):
                self.refused("generate", "--model", "x", "--prompt", "a", flag, value, codes=[2], says="not supported")
        self.refused("tune", "--model", "x", codes=[2], says=("tune", "CPU", "no GEMM candidates"))
        self.refused("tune", "--model", "x", "--device", "cuda", "--gemm-config", "f", codes=[2], says="--gemm-config")
        self.refused("tune", "--model", "x", "--device", "cuda", "--weight-scheme", "int8", codes=[2],
                     says=("--weight-scheme int8", "not tuned"))
        self.refused("generate", "--model", "x", "--prompt", "a", "--gemm-config", "f", codes=[2],
                     says=("--gemm-config", "--device cuda"))
        self.refused("convert", "-i", "x", "-o", "y", "-dt", "int8", codes=[2], says=("--data-type", "int8"))

    def test_ranks_that_cannot_be(self):
        model = golden("heads12_fp32_sharded")  # 12 heads, 2 layers
        self.refused("convert", "-i", model, "-o", self.folder, "-tp", 5, codes=[2],
                     says=("--tensor-para-size 5", "12 heads", "1, 2, 3, 4, 6, 12"))
        base = ["generate", "--model", model, "--prompt", "a"]
        for flags, says in [(["-tp", 5], ("--tensor-para-size 5", "12 heads", "1, 2, 3, 4, 6, 12")),
                            (["-pp", 3], ("--pipeline-para-size 3", "2 layers")),
                            (["-tp", 0], ("--tensor-para-size", "at least 1")),
                            (["-tp", 1000, "-pp", 1000], ("1000", "1024 ranks")),
                            (["--transport", "pigeon"], ("pigeon", "mpi", "gloo")),
                            (["--transport", "mpi"], ("--transport mpi", "mpirun")),
                            (["--comm-timeout", 0], "--comm-timeout"),
                            (["--all-reduce", "fax"], ("fax", "nccl", "host"))]:
            with self.subTest(flags):
                self.refused(*base, *flags, codes=[2], says=says)

    def test_flags_for_gpus(self):
        base = ["generate", "--model", golden("heads3_fp32"), "--prompt", "a"]
        for flags in (["--devices", 0], ["--kv-cache-fraction", 0.5], ["--deterministic"], ["--no-cuda-graphs"],
                      ["--gemm-config", "none"], ["--all-reduce", "nccl"], ["--all-reduce", "one_shot"]):
            with self.subTest(flags):
                self.refused(*base, *flags, codes=[2], says=(flags[0], "add --device cuda"))
        self.refused(*base, "--device", "cuda", "--all-reduce", "host", codes=[2],
                     says=("--all-reduce", "several ranks", "--tensor-para-size"))
        for device in ([], ["--device", "cuda"]):
            for value in ("0", "-0.1", "1.5", "nan", "inf", "half"):
                with self.subTest(device=device, value=value):
                    self.refused(*base, *device, "--kv-cache-fraction", value, codes=[2],
                                 says=("--kv-cache-fraction", "above 0 and at most 1"))

    def test_flags_that_would_do_nothing(self):
        model = golden(TOKENIZER)
        base = ["generate", "-m", model, "-p", "The fox", "-n", 2]
        for flags, says in [(["--comm-timeout", 5], "several ranks"), (["--micro-batch-tokens", 4], "pipeline"),
                            (["-tp", 2, "--micro-batch-tokens", 4], "pipeline")]:
            with self.subTest(flags):
                self.refused(*base, *flags, codes=[2], says=(flags[-2], says, "leave it out"))
        self.assertEqual(self.ok(*base, "-tp", 2, "--comm-timeout", 5), self.ok(*base))
        self.assertEqual(self.ok(*base, "-pp", 2, "--micro-batch-tokens", 1, "--comm-timeout", 5), self.ok(*base))
        for command in ("bench", "tune"):
            self.refused(command, "-m", model, "--tokenizer-path", model, codes=[2], says=("--tokenizer-path", command))

    def test_fields_that_do_nothing_for_logits(self):
        rows = [{"prompt": "The fox", "seed": 1, "top_k": 4}, {"input_ids": [5], "stop": "x"}]
        out = self.folder / "out"
        args = ["logits", "-m", golden(TOKENIZER), "--output", out, "--input"]
        done = self.run_bolide(*args, self.jsonl("rows.jsonl", rows))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, r"^bolide: warning: .*rows.jsonl line 1: 'seed' does nothing here.* \(2 more like it\)\n$")
        whole = out.read_bytes()
        self.ok(*args, self.jsonl("plain.jsonl", [{key: row[key] for key in row if key in ("prompt", "input_ids")} for row in rows]))
        self.assertEqual(out.read_bytes(), whole)

    def test_neutral_values_are_accepted(self):
        path = self.jsonl("one.jsonl", [{"input_ids": [5], "max_new_tokens": 1, "beam_width": 1,
                                         "repetition_penalty": 1.0, "presence_penalty": 0}])
        self.ok("generate", "--model", golden("heads3_fp32"), "--input", path, "--tensor-para-size", 1,
                "--pipeline-para-size", 1, "--beam-width", 1, "--repetition-penalty", "1.0", "--presence-penalty", 0,
                "--len-penalty", "0.0", "--beam-search-diversity-rate", 0, "--min-length", 0)

    def test_sampling_parameters_out_of_range(self):
        base = ["generate", "--model", golden("heads3_fp32"), "--input",
                self.jsonl("one.jsonl", [{"input_ids": [5]}])]
        for flag, value in [("--temperature", -1), ("--top-p", 1.5), ("--top-k", -2), ("--temperature", "nan"),
                            ("--max-new-tokens", 0)]:
            with self.subTest(flag, value=value):
                self.refused(*base, flag, value, codes=[2], says=(flag, str(value)))

    def test_numbers_are_numbers(self):
        whole, decimal = ("", "3x", " 3", "1e3"), ("", "1x", " 1", "0x1p-1", "nan")
        many = (*whole, " ", "3 ", "+3", "0x10", "3.0", "nan", "inf", "99999999999999999999")
        generate = ["generate", "--model", "x", "--prompt", "a"]
        cases = [(generate, "--top-k", many), (generate, "--top-p", (*decimal, " ", "inf", "-inf", "1e999", "1,5"))]
        cases += [(generate, flag, whole) for flag in ("--seed", "--max-new-tokens", "--batch-size", "--threads",
                                                      "--max-kv-tokens", "--max-chunk-tokens", "-tp", "-pp",
                                                      "--micro-batch-tokens")]
        cases += [(generate, flag, decimal) for flag in ("--temperature", "--comm-timeout", "--len-penalty",
                                                         "--repetition-penalty", "--min-length")]
        cases += [(["bench", "--model", "x"], flag, whole) for flag in ("--batch-size", "--input-len", "--repeats")]
        cases += [(["bench", "--model", "x"], "--batch-size", ("1,", ",1", "1,,2", "1,x")),
                  (["inspect", "--model", "x"], "--length", whole), (["convert", "-i", "x", "-o", "y"], "-p", whole),
                  (["lambada", "--model", "x", "--dataset-path", "y"], "--acc-threshold", decimal),
                  (["lambada", "--model", "x", "--dataset-path", "y"], "--temperature", decimal)]
        long = {"-tp": "--tensor-para-size", "-pp": "--pipeline-para-size", "-p": "--processes"}
        for base, flag, values in cases:
            for value in values:
                with self.subTest(flag, value=value):
                    self.refused(*base, flag, value, codes=[2], says=long.get(flag, flag))

    def test_flags_that_meet(self):
        big = 2**31 - 1
        self.refused("bench", "--model", golden("heads3_fp32"), "--batch-size", big, "--input-len", big, "--output-len",
                     big, codes=[2], says=("--batch-size", "--input-len", "lower one"))
        self.refused("bench", "--model", golden("heads3_fp32"), "--input-len", 2**63 - 1, codes=[2], says="--input-len")
        self.refused("generate", "--model", golden("heads3_fp32"), "--prompt", "a", "--batch-size", big, codes=[2],
                     says="--batch-size")
        self.refused("generate", "--model", golden("heads3_fp32"), "--prompt", "a", "--threads", 4096, codes=[2],
                     says=("--threads", "4096"))
        self.refused("bench", "--model", golden("heads3_fp32"), "--threads", 4096, codes=[2], says="--threads")

    @harness.without_address_sanitizer
    def test_a_large_batch_takes_no_memory_of_its_own(self):
        rows = self.jsonl("one.jsonl", [{"input_ids": [5], "max_new_tokens": 1}])
        limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
        self.ok("generate", "--model", golden("heads3_fp32"), "--input", rows, "--batch-size", 2**29 - 1,
                "--max-kv-tokens", 64, preexec_fn=limit)

    def test_flags_as_others_call_them(self):
        rows = self.jsonl("one.jsonl", [{"prompt": "The fox"}])
        model = golden(TOKENIZER)
        plain = self.ok("generate", "--model", model, "--prompt", "The fox", "--max-new-tokens", 5)
        for flags in (["-m", model, "-p", "The fox", "-n", 5], ["-m", model, "-p", "The fox", "-n5"],
                      ["--checkpoint-path", model, "--prompt=The fox", "--max-tokens=5"],
                      ["-m", model, "-p", "The fox", "--n-predict", 5, "--dtype", "float32", "-t", 1],
                      ["-m", model, "-p", "The fox", "--output-len", 5, "--dtype", "auto", "-c", 100],
                      ["-m", model, "-p", "The fox", "-n", 5, "--tokenizer", model, "--data-type", "float"],
                      ["-m", model, "-p", "The fox", "-n", 5, "-tp", 2], ["-m", model, "-p", "The fox", "-n", 5, "-pp2"],
                      ["-m", model, "-p", "The fox", "-n", 5, "--tensor-parallel-size", 2, "--temp", 0],
                      ["-m", model, "-p", "The fox", "-n", 5, "--pipeline-parallel-size", 2, "--temperature", "0.0"]):
            with self.subTest(flags):
                self.assertEqual(self.ok("generate", *flags), plain)
        for word in ("float16", "half", "fp16", "bfloat16", "bf16"):
            self.ok("generate", "-m", model, "--input", rows, "-n", 1, "--dtype", word)
        self.ok("inspect", "-m", model, "--dtype", "half", "--tensor-parallel-size", 2)
        self.ok("bench", "--checkpoint-path", model, "-p", 4, "-n", 2, "--repeats", 1)
        self.ok("convert", "-i", model, "-o", self.folder, "--dtype", "half", "--tensor-parallel-size", 2)
        self.refused("convert", "-i", model, "-o", self.folder / "auto", "--dtype", "auto", codes=[2], says="auto")
        self.assertEqual(self.ok("-V"), self.ok("--version"))

    def test_unknown_words_are_named_first(self):
        for args, says in [(("generate", "--max-new-token", 3), "--max-new-token: did you mean --max-new-tokens?"),
                           (("generate", "--temprature", 1, "--prompt"), "did you mean --temperature?"),
                           (("logits", "--inptu", "x"), "did you mean --input?"), (("bench", "--max_tokens", 1), "--max-tokens?"),
                           (("lambada", "--dataset", "x"), "did you mean --dataset-path?"),
                           (("genrate",), "did you mean generate?"), (("--versoin",), "did you mean --version?"),
                           (("--model", "x", "generate"), "unknown flag --model: a subcommand goes first"),
                           (("generate", "model", "--prompt", "a"), ("'model'", "--model DIR")),
                           (("inspect", "--model", "x", "--wibble=5"), "unknown flag --wibble (see"),
                           (("generate", "--model", "--prompt", "a"), "--model needs a value"),
                           (("generate", "--model", "x", "--prompt", "a", "--output", ""), "--output is empty"),
                           (("generate", "--model", "x", "--prompt", ""), "--prompt is empty"),
                           (("generate", "--model", "x", "--prompt", "a", "--stop", "", "b"), "--stop is empty"),
                           (("generate", "--model", "x", "-n", 1, "--max-tokens", 2), "--max-new-tokens is given twice"),
                           (("generate", "--model", "x", "--stream=1"), "--stream takes no value"),
                           (("generate", "--model", "x", "--prompt", "a", "--device", "gpu"), "must be cpu or cuda, not 'gpu'"),
                           (("generate", "--" + "x" * 10000), "bytes)")]:
            with self.subTest(args=args):
                done = self.refused(*args, codes=[2], says=says)
                self.assertLess(len(done.stderr), 500)

    def test_flags_that_others_call_otherwise(self):
        for command, theirs, ours in (("generate", "-ngl", "--device"), ("generate", "--max-length", "--max-new-tokens"),
                                      ("generate", "--max_num_seqs=4", "--batch-size"), ("generate", "-f", "--sample-input-file"),
                                      ("generate", "--do-sample", "--temperature"), ("convert", "--model", "--input-dir"),
                                      ("generate", "-o", "--output"), ("convert", "--output", "--output-dir"),
                                      ("bench", "--gpu-memory-utilization", "--kv-cache-fraction")):
            with self.subTest(theirs):
                self.refused(command, theirs, "x", codes=[2], says=f"unknown flag {theirs.split('=')[0]}: here it is {ours} (see")
        self.refused("tokenize", "--max-num-seqs", 1, codes=[2], says="unknown flag --max-num-seqs (see")

    def test_long_values_are_cut(self):
        long, model = "x" * 5000, golden("heads3_fp32")
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5]}])
        generate = ["generate", "-m", model, "--input"]
        for args, env, says in ((["generate", "-m", long, "--prompt", "a"], {}, "... (5000 bytes)"), ([*generate, long], {}, "cannot read"),
                                ([*generate, rows, "--output", long], {}, "cannot create"),
                                ([*generate, rows, "--log-level", long], {}, "unknown log level"),
                                ([*generate, rows], {"BOLIDE_LOG_LEVEL": long}, "unknown log level"),
                                ([*generate, rows], {"BOLIDE_CPU_ISA": long}, "BOLIDE_CPU_ISA"),
                                (["bench", "-m", model, "--json", long], {}, "cannot create"),
                                (["logits", "-m", model, "--input", rows, "--output", long], {}, "cannot create"),
                                (["lambada", "-m", golden(TOKENIZER), "--dataset-path", long], {}, "File name too long")):
            with self.subTest(args=[str(arg)[:20] for arg in args], env=list(env)):
                done = self.run_bolide(*args, env={**os.environ, **env})
                self.assertNotEqual(done.returncode, 0)
                self.assertLess(len(done.stderr), 600)
                self.assertIn("x" * 100, done.stderr)
                self.assertIn(says, done.stderr)

    def test_temperature_alone_draws(self):
        model = golden(TOKENIZER)

        def ids(*flags, **fields):
            rows = self.jsonl("rows.jsonl", [{"input_ids": [5, 6, 7], **fields}])
            out = self.ok("generate", "-m", model, "--input", rows, "--ignore-eos", "-n", 12, *flags)
            return json.loads(out)["output_ids"]
        greedy = ids()
        drawn = ids("--temperature", 3)
        self.assertNotEqual(drawn, greedy)
        self.assertEqual(ids("--temperature", 3, "--top-p", 1), drawn)
        self.assertEqual(ids("--temperature", 3, "--top-k", -1), drawn)
        self.assertNotEqual(ids("--temperature", 3, "--seed", 1), drawn)
        self.assertEqual(ids(temperature=3), drawn)
        self.assertEqual(ids(temperature=3, top_k=-1, top_p=0), drawn)
        for same in (("--temperature", 0), ("--temperature", 0, "--top-k", 40), ("--top-k", 0), ("--top-k", -1),
                     ("--top-p", 0), ("--temperature", 3, "--top-k", 1), ("--temperature", "1e-45")):
            with self.subTest(same):
                self.assertEqual(ids(*same), greedy)
        self.assertEqual(ids("--temperature", 3, temperature=0), greedy)
        self.assertEqual(ids("--top-k", 40, temperature=0), greedy)

    def test_escapes_of_stop(self):
        rows = self.jsonl("rows.jsonl", [{"prompt": "The fox"}])
        base = ["generate", "-m", golden(TOKENIZER), "--input", rows, "--ignore-eos", "-n", 400, "--temperature", 9]
        text = json.loads(self.ok(*base))["text"]
        for meant, typed in (("\n", r"\n"), ("\t", r"\t"), ("\\", r"\\"), ("\\d", r"\d")):
            if meant not in text:
                continue
            with self.subTest(typed):
                out = json.loads(self.ok(*base, "--stop", typed))
                self.assertEqual((out["finish_reason"], out["text"]), ("stop", text[:text.index(meant)]))

    def test_a_flag_is_blamed_for_a_flag(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5]}])
        base = ["generate", "-m", golden("heads3_fp32"), "--input", rows]
        done = self.refused(*base, "--stop", "x", codes=[2], says=("--stop", "tokenizer"))
        self.assertNotIn("line 1", done.stderr)
        text = self.folder / "plain.txt"
        text.write_text("a\n")
        self.refused("generate", "-m", golden("heads3_fp32"), "--sample-input-file", text, codes=[2],
                     says=("--sample-input-file", "--tokenizer-path"))
        self.refused("generate", "-m", golden("heads3_fp32"), "-p", "a", "--output", "-", codes=[2],
                     says=("--prompt", "--tokenizer-path"))
        self.refused(*base[:-1], self.jsonl("long.jsonl", [{"input_ids": [5] * 90}]), "-c", 32, codes=[1],
                     says=("line 1", "--max-kv-tokens"))
        self.refused("generate", "-m", golden(TOKENIZER), "-p", "a", "--return-log-probs", codes=[2],
                     says=("--return-log-probs", "--output"))
        row = json.loads(self.ok("generate", "-m", golden(TOKENIZER), "-p", "a", "-n", 3, "--return-log-probs", "--output", "-"))
        self.assertEqual(len(row["log_probs"]), len(row["output_ids"]))
        for name, fields in (("top_k", {"top_k": -2}), ("temperature", {"temperature": -1}), ("top_p", {"top_p": 2})):
            self.refused(*base[:-1], self.jsonl("bad.jsonl", [{"input_ids": [5], **fields}]), codes=[1],
                         says=("line 1", f"{name} is"))

    @harness.without_address_sanitizer
    def test_a_limit_on_threads(self):
        huge = lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 45, resource.RLIM_INFINITY))
        rows = self.jsonl("one.jsonl", [{"input_ids": [5], "max_new_tokens": 1}])
        self.refused("generate", "-m", golden("heads3_fp32"), "--input", rows, "--threads", 1, codes=[1],
                     says=("threads", "ulimit -u"), preexec_fn=huge)

    def test_a_request_for_no_token(self):
        rows = self.jsonl("rows.jsonl", [{"input_ids": [5], "max_new_tokens": 0}])
        self.refused("generate", "-m", golden("heads3_fp32"), "--input", rows, codes=[1],
                     says=("line 1", "max_new_tokens is 0", "at least 1"))

    def test_device_that_is_not_there(self):
        done = self.refused("generate", "--model", golden("heads3_fp32"), "--prompt", "a", "--device", "cuda", codes=[2],
                            says="cuda")
        self.assertRegex(done.stderr, "built without CUDA, rebuild with `cmake --preset cuda`|sees no GPU")


if __name__ == "__main__":
    harness.main()
