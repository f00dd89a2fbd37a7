"""LAMBADA as FasterTransformer scores it: splitting, scoring, dumping, thresholds."""
import json
import re

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

    def test_line_feeds_at_the_ends_are_stripped(self):
        """As Python's strip("\\n"), and as nothing else: not inside, no carriage returns, no blanks."""
        plain = "The boy went to the park"
        texts = [plain, plain + "\n", "\n" + plain + "\n\n", "\n\n\n" + plain]
        *_, cases = self.score("--model", golden(MODEL), "--dataset-path", self.texts(*texts))
        self.assertEqual({(case["prompt"], case["target"]) for case in cases}, {("The boy went to the", " park")})
        kept = [("One\ntwo three", ("One\ntwo", " three")), ("a b\r\n", ("a", " b\r")), ("\r\na b", ("\r\na", " b")),
                ("a b\t", ("a", " b\t")), ("a\nb c\n", ("a\nb", " c")), ("a b ", ("a b", " ")), ("a b  \n", ("a b ", " "))]
        *_, cases = self.score("--model", golden(MODEL), "--dataset-path", self.texts(*(text for text, _ in kept)))
        self.assertEqual([(case["prompt"], case["target"]) for case in cases], [case for _, case in kept])
        for text in ("\n", "\n\n\n", "oneword\n", "\noneword\n"):
            with self.subTest(text):
                self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.texts("a b", text), codes=[1],
                             says="line 2")

    def test_blank_lines_are_skipped(self):
        path = self.folder / "blank.jsonl"
        path.write_bytes(b'\n{"text": "a b"}\r\n\r\n  \t \n\x0b\x0c\r\n{"text": "c d"}\n   ')
        *_, cases = self.score("--model", golden(MODEL), "--dataset-path", path)
        self.assertEqual([case["target"] for case in cases], [" b", " d"])
        path.write_bytes(b"\n \r\n\t\n")
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", path, codes=[1], says="holds no texts")
        path.write_bytes(b'\n\n{"text": 5}\n')
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", path, codes=[1], says="line 3")

    def test_a_nest_in_another_field(self):
        """It may be there, as long as it takes no memory to speak of."""
        nest = lambda depth: '{"other": ' + "[" * depth + "]" * depth + ', "text": "a b"}'
        *_, cases = self.score("--model", golden(MODEL), "--dataset-path", self.jsonl("nest.jsonl", [nest(100)]))
        self.assertEqual(cases[0]["target"], " b")
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.jsonl("deep.jsonl", [nest(200000)]), codes=[1],
                     says=("line 1", "nested deeper"))

    def test_blocks_of_fasterTransformers_script(self):
        self.ok("convert", "-i", golden(MODEL), "-o", self.folder, "-dt", "fp16")
        out = self.ok("lambada", "--model", self.folder / "1-gpu", "--tokenizer-path", golden(MODEL), "--dataset-path",
                      self.texts("a b"), "--inference-data-type", "fp32", "--acc-threshold", 0, "--batch-size", 4,
                      "--random-seed", 3, 4)
        arguments, model = (dict(re.findall(r"(?m)^ (\w+) \.+ (.*)$", part)) for part in out.split("= Model =", 1))
        config = json.loads((golden(MODEL) / "config.json").read_text())
        for name, value in {"checkpoint_path": self.folder / "1-gpu", "tokenizer_path": golden(MODEL),
                            "dataset_path": self.folder / "texts.jsonl", "output_path": None, "batch_size": 4,
                            "tensor_para_size": 1, "pipeline_para_size": 1, "shared_contexts_ratio": 1, "top_k": 1,
                            "top_p": 1, "temperature": 1, "beam_width": 1, "len_penalty": 0, "repetition_penalty": 1,
                            "beam_search_diversity_rate": 0, "return_cum_log_probs": 0, "output_length": 32,
                            "random_seed": "3 4", "acc_threshold": 0, "show_progress": "false", "int8_mode": 0,
                            "num_heads": None, "start_id": None, "inference_data_type": "fp32",
                            "weights_data_type": None}.items():
            self.assertEqual(arguments.get(name), str(value), name)
        for name, value in {"head_num": config["n_head"], "size_per_head": config["hidden_size"] // config["n_head"],
                            "inter_size": 4 * config["hidden_size"], "layer_num": config["n_layer"],
                            "vocab_size": config["vocab_size"], "start_id": config["bos_token_id"],
                            "end_id": config["eos_token_id"], "layernorm_eps": config["layer_norm_epsilon"],
                            "weights_data_type": "fp16", "inference_data_type": "fp32", "tensor_para_size": 1,
                            "pipeline_para_size": 1, "shared_contexts_ratio": 1, "int8_mode": 0}.items():
            self.assertEqual(model.get(name), str(value), name)

    def test_names_cannot_speak_to_the_terminal(self):
        data = self.texts("a b").rename(self.folder / "x\033[31my\u202ez.jsonl")
        out = self.ok("lambada", "--model", golden(MODEL), "--dataset-path", data)
        self.assertNotIn("\033", out)
        self.assertNotIn("\u202e", out)
        self.assertIn("x?[31my?z.jsonl", out)

    def test_flags_of_fasterTransformers_script(self):
        config = json.loads((golden(MODEL) / "config.json").read_text())
        flags = ["--model", golden(MODEL), "--dataset-path", self.texts("The fox saw a bear", "a b")]
        plain = self.score(*flags)
        same = ["--num-heads", config["n_head"], "--size-per-head", config["hidden_size"] // config["n_head"],
                "--inter-size", 4 * config["hidden_size"], "--num-layers", config["n_layer"],
                "--vocab-size", config["vocab_size"], "--start-id", config["bos_token_id"],
                "--end-id", config["eos_token_id"], "-tp", 1, "-pp", 1, "--shared-contexts-ratio", "1.0",
                "--output-length", 32, "--beam-width", 1, "--top-k", 1, "--top-p", "1.0", "--temperature", "1.0",
                "--len-penalty", "0.0", "--beam-search-diversity-rate", "0.0", "--repetition-penalty", "1.0",
                "--random-seed", 1, 2, 3, "--return-cum-log-probs", 0, "--inference-data-type", "fp32",
                "--weights-data-type", "fp32", "--int8_mode", 0]
        self.assertEqual(self.score(*flags, *same), plain)
        for flag, value, says in [("--num-heads", 999, f"the checkpoint says {config['n_head']}"),
                                  ("--size-per-head", 1, "the checkpoint says"), ("--inter-size", 1, "leave it out"),
                                  ("--num-layers", 1000, "leave it out"), ("--vocab-size", 7, str(config["vocab_size"])),
                                  ("--start-id", 77, "the checkpoint says"), ("--end-id", 77, "the checkpoint says"),
                                  ("--weights-data-type", "fp16", "--data-type fp16"),
                                  ("--output-length", 8, "as many tokens as its last word"), ("--beam-width", 4, "beam"),
                                  ("--len-penalty", 1, "beam"), ("--beam-search-diversity-rate", 0.5, "beam"),
                                  ("--repetition-penalty", 1.2, "penalties"), ("--int8_mode", 2, "activations"),
                                  ("--return-cum-log-probs", 1, "--return-log-probs"), ("--top-p", 1.5, "--top-p"),
                                  ("--lib-path", "lib/libth_transformer.so", "no library to load"),
                                  ("--test-hf", None, "Hugging Face"), ("--no-remove-padding", None, "never padded"),
                                  ("--shared-contexts-ratio", 2, "--shared-contexts-ratio")]:
            with self.subTest(flag):
                self.refused("lambada", *flags, flag, *([] if value is None else [value]), codes=[2], says=(flag, says))
        self.refused("lambada", *flags, "--int8_mode", 1, "--weight-scheme", "dense", codes=[2],
                     says=("--int8_mode", "--weight-scheme"))
        self.refused("lambada", *flags, "--inference-data-type", "fp32", "--data-type", "fp32", codes=[2],
                     says="--inference-data-type")

    def test_sampling_draws_by_the_seeds_of_a_batch(self):
        data = self.texts(*["The fox saw a very big bear"] * 8)
        flags = ["--model", golden(MODEL), "--dataset-path", data, "--top-k", 0, "--temperature", 5, "--batch-size", 4]
        outputs = {}
        for seeds in ((7,), (8,), (7, 8)):
            *_, cases = self.score(*flags, "--random-seed", *seeds)
            outputs[seeds] = [tuple(case["output_ids"]) for case in cases]
        self.assertEqual(len(set(outputs[7,])), 1)
        self.assertNotEqual(outputs[7,], outputs[8,])
        self.assertEqual(outputs[7, 8], [outputs[7,][0], outputs[8,][0]] * 4)
        *_, cases = self.score(*flags, "--random-seed", 7, 8, "--shared-contexts-ratio", 0)
        self.assertEqual([tuple(case["output_ids"]) for case in cases], outputs[7, 8])

    def test_equal_texts_run_once(self):
        """And score like all others, each in its place."""
        words = ["The fox saw a bear", "a b", "The fox saw a bear", "One two three", "a b", "a b", "x y", "The fox saw a cat"]
        flags = ["--model", golden(MODEL), "--dataset-path", self.texts(*words)]
        shared, apart = self.score(*flags), self.score(*flags, "--shared-contexts-ratio", 0)
        self.assertEqual(shared, apart)
        self.assertEqual([case["index"] for case in shared[-1]], list(range(len(words))))

    def test_bad_texts_name_their_line(self):
        for row in ("nonsense", "{}", '{"text": 5}', '{"text": "oneword"}', '{"text": " lead"}', '{"text": ""}',
                    '{"text": " "}'):
            with self.subTest(row):
                data = self.jsonl("texts.jsonl", [{"text": "a b"}, row])
                self.refused("lambada", "--model", golden(MODEL), "--dataset-path", data, codes=[1], says="line 2")
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.jsonl("none.jsonl", []), codes=[1],
                     says="none.jsonl' holds no texts")
        self.refused("lambada", "--model", golden(MODEL), "--dataset-path", self.folder / "nowhere", codes=[1],
                     says="nowhere")
        self.refused("lambada", "--model", golden("heads3_fp32"), "--dataset-path", self.texts("a b"), says="tokenizer")


if __name__ == "__main__":
    harness.main()
