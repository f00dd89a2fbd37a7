"""Flags: what is accepted, what is refused and how; no model is ever loaded."""
import harness
from harness import CommandTest, golden

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
        self.refused("generate", "--model", "x", "--prompt", "a", "--gemm-config", "f", codes=[2],
                     says=("--gemm-config", "--device cuda"))
        self.refused("convert", "-i", "x", "-o", "y", "-dt", "int8", codes=[2], says=("--data-type", "int8"))

    def test_ranks_that_cannot_be(self):
        model = golden("heads12_fp32_sharded")  # 12 heads, 2 layers
        base = ["generate", "--model", model, "--prompt", "a"]
        for flags, says in [(["-tp", 5], ("--tensor-para-size 5", "12 heads", "1, 2, 3, 4, 6, 12")),
                            (["-pp", 3], ("--pipeline-para-size 3", "2 layers")),
                            (["-tp", 0], ("--tensor-para-size", "at least 1")),
                            (["-tp", 1000, "-pp", 1000], ("1000", "1024 ranks")),
                            (["--transport", "pigeon"], ("pigeon", "mpi", "gloo")),
                            (["--transport", "mpi"], ("--transport mpi", "mpirun")),
                            (["--comm-timeout", 0], "comm_timeout"),
                            (["--all-reduce", "fax"], ("fax", "nccl", "host"))]:
            with self.subTest(flags):
                self.refused(*base, *flags, codes=[2], says=says)

    def test_flags_for_gpus(self):
        base = ["generate", "--model", golden("heads3_fp32"), "--prompt", "a"]
        for flags in (["--devices", 0], ["--kv-cache-fraction", 0.5], ["--deterministic"], ["--no-cuda-graphs"],
                      ["--gemm-config", "none"], ["--all-reduce", "nccl"], ["--all-reduce", "one_shot"]):
            with self.subTest(flags):
                self.refused(*base, *flags, codes=[2], says=(flags[0], "add --device cuda"))
        for device in ([], ["--device", "cuda"]):
            for value in ("0", "-0.1", "1.5", "nan", "inf", "", "half"):
                with self.subTest(device=device, value=value):
                    self.refused(*base, *device, "--kv-cache-fraction", value, codes=[2],
                                 says=("--kv-cache-fraction", "above 0 and at most 1"))

    def test_neutral_values_are_accepted(self):
        path = self.jsonl("one.jsonl", [{"input_ids": [5], "max_new_tokens": 1, "beam_width": 1,
                                         "repetition_penalty": 1.0, "presence_penalty": 0}])
        self.ok("generate", "--model", golden("heads3_fp32"), "--input", path, "--tensor-para-size", 1,
                "--pipeline-para-size", 1, "--beam-width", 1, "--repetition-penalty", "1.0", "--presence-penalty", 0,
                "--len-penalty", "0.0", "--beam-search-diversity-rate", 0, "--min-length", 0)

    def test_sampling_parameters_out_of_range(self):
        base = ["generate", "--model", golden("heads3_fp32"), "--input",
                self.jsonl("one.jsonl", [{"input_ids": [5]}])]
        for flag, value in [("--temperature", 0), ("--temperature", -1), ("--top-p", 1.5), ("--top-k", -1),
                            ("--temperature", "nan"), ("--max-new-tokens", 0)]:
            with self.subTest(flag, value=value):
                done = self.refused(*base, flag, value, codes=[2], says=str(value))
                self.assertRegex(done.stderr, flag.strip("-").replace("-", "[_-]"))

    def test_device_that_is_not_there(self):
        for device in ("cuda", "tpu"):
            self.refused("generate", "--model", golden("heads3_fp32"), "--prompt", "a", "--device", device, says=device)


if __name__ == "__main__":
    harness.main()
