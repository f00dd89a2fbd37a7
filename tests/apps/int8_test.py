"""--weight-scheme int8: as the dense model whose matrices were rounded here, by hand, to 255 levels a row."""
import array
import re
import struct

import harness
from harness import CommandTest, golden, golden_record, read_rows, read_safetensors, worst_row_error, write_safetensors

# The same numbers multiplied in another order, by another kernel.
BOUND = 2e-5

# Tables that no product reads stay as they are.
NOT_ROUNDED = re.compile(r"(wpe|word_embeddings_layernorm|ln_\w+|norm|layernorm)\.")
INPUTS_FIRST = re.compile(r"c_(attn|proj|fc)\.weight$")  # GPT-2's, [in, out]


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def rounded_row(row):
    scale = single(max(map(abs, row)) / 127)
    return [single(round(single(x / scale)) * scale) if scale else 0.0 for x in row]  # round() ties to even


def rounded_matrix(values, rows, columns, inputs_first):
    if inputs_first:
        for c in range(columns):
            values[c::columns] = array.array("f", rounded_row(values[c::columns]))
    else:
        for r in range(rows):
            values[r * columns:(r + 1) * columns] = array.array("f", rounded_row(values[r * columns:(r + 1) * columns]))


class Int8(CommandTest):
    def setUp(self):
        super().setUp()
        self.may_warn = harness.GPUS > 0  # ranks that share a GPU talk slowly, and say so

    def rounded_copy(self, case):
        folder = self.golden_copy(case)
        header, data = read_safetensors(folder / "model.safetensors")
        data, done = bytearray(data), 0
        for name, entry in header.items():
            self.assertEqual(entry["dtype"], "F32")
            begin, end = entry["data_offsets"]
            if len(entry["shape"]) != 2 or NOT_ROUNDED.search(name):
                continue
            values = array.array("f", bytes(data[begin:end]))
            rounded_matrix(values, *entry["shape"], INPUTS_FIRST.search(name))
            data[begin:end] = values.tobytes()
            done += 1
        self.assertGreater(done, 4)
        write_safetensors(folder / "model.safetensors", header, bytes(data))
        return folder

    def logits(self, model, prompts, *flags):
        path = self.folder / "logits.safetensors"
        self.ok("logits", "--model", model, "--input", prompts, "--output", path, "--data-type", "fp32", *flags)
        return read_rows(path)

    def test_is_the_rounded_model(self):
        layouts = [(), ("-pp", 2), ("--max-chunk-tokens", 5)]
        for case, ranks in (("heads3_fp32", 3), ("gpt2_fp32", 3), ("llama_groups_fp32", 4)):
            with self.subTest(case):
                record = golden_record(case)
                prompts = self.jsonl("prompts.jsonl", [{"input_ids": p} for p in record["prompts"]])
                expected = self.logits(self.rounded_copy(case), prompts)
                dense = self.logits(golden(case), prompts)
                for flags in [*layouts, ("-tp", ranks)]:
                    got = self.logits(golden(case), prompts, "--weight-scheme", "int8", *flags)
                    for name in expected:
                        self.assertLess(worst_row_error(got[name], expected[name]), BOUND, (flags, name))
                        self.assertGreater(worst_row_error(got[name], dense[name]), 10 * BOUND)  # it is rounded

    def test_demo_model_is_as_good(self):
        demo = harness.SOURCE / "examples" / "demo"
        few = self.folder / "few.jsonl"
        few.write_text("".join((demo / "lambada.jsonl").read_text().splitlines(keepends=True)[:200]))
        scores = {scheme: self.score("--model", demo / "model", "--dataset-path", few, "--weight-scheme", scheme)[0]
                  for scheme in ("dense", "int8")}
        self.assertLessEqual(abs(scores["dense"] - scores["int8"]), 1.0, scores)

    def test_takes_a_quarter_of_fp32(self):
        sizes = {}
        for scheme in ("dense", "int8"):
            text = self.ok("inspect", "--json", "--model", golden("heads3_fp32"), "--data-type", "fp32",
                           "--weight-scheme", scheme)
            sizes[scheme] = int(re.search(r'"weight_bytes": (\d+)', text)[1])
        self.assertLess(sizes["int8"], 0.6 * sizes["dense"])  # vectors and scales stay fp32
        self.refused("inspect", "--model", golden("heads3_fp32"), "--weight-scheme", "int4", says="must be dense or int8")


if __name__ == "__main__":
    harness.main()
