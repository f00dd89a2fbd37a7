#!/usr/bin/env python3
"""Records what Hugging Face makes of tokens that only the files beside a tokenizer.json name.

    python3 tools/make_token_files.py [--output tests/text/token_files.json]

Each case is a tokenizer.json (changes to a common one), the files beside it, and for some texts the ids and the
decoded texts, with and without special tokens, of transformers' AutoTokenizer. Some cases are written by hand, the
rest is drawn from a seed. Needs transformers 5.
"""
import argparse
import json
import os
import random
import tempfile
from pathlib import Path

import tokenizers
import transformers

WORDS = ["<|im_start|>", "<|im_end|>", "<x>", "Foo", "foo", "the", "</s>", "<s>", "<pad>", " ", "a b", "Éx"]
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
TEXTS = ["the <|im_start|> the<|im_end|> Foo", "<s> the </s>  <pad>foo", "Éx <x>  a b"]
ROLES = ("bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "image_token")


def row(content, **flags):
    return {"content": content, **{flag: flags.get(flag, False) for flag in FLAGS}}


def common():
    """Byte-level BPE: ids 0 to 255 are the bytes, then th, the and " the"; <s> and </s> are added."""
    letters, extra = [], 0x100
    for byte in range(256):
        plain = 0x21 <= byte <= 0x7E or byte >= 0xA1 and byte != 0xAD
        letters.append(chr(byte if plain else extra))
        extra += not plain
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    tokens = letters + ["th", "the", "\u0120the"]
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
            "post_processor": None, "decoder": byte_level,
            "added_tokens": [{"id": 259, **row("<s>", special=True)}, {"id": 260, **row("</s>", special=True)}],
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {token: at for at, token in enumerate(tokens)},
                      "merges": [["t", "h"], ["th", "e"], ["\u0120", "the"]]}}


def config(**values):
    return {"tokenizer_class": "PreTrainedTokenizerFast", **values}


def written_cases():
    start, end = row("<|im_start|>", special=True), row("<|im_end|>", special=True)
    both = {"<|im_start|>": 261, "<|im_end|>": 262}
    padding = {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 3,
               "pad_type_id": 0, "pad_token": "<pad>"}
    truncation = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    name = "tokenizer_config.json"
    return [
        ("added_tokens_decoder", {}, {name: config(added_tokens_decoder={"261": start, "262": end})}),
        ("added_tokens_decoder out of order and with a hole", {},
         {name: config(added_tokens_decoder={"300": end, "265": start})}),
        ("added_tokens_decoder with other flags", {},
         {name: config(added_tokens_decoder={"259": row("<s>", lstrip=True), "261": row("Foo", normalized=True)})}),
        ("added_tokens_decoder keeps the other files out", {},
         {name: config(added_tokens_decoder={}), "added_tokens.json": both,
          "special_tokens_map.json": {"eos_token": "<x>"}}),
        ("a token of the vocabulary", {}, {name: config(eos_token="the")}),
        ("roles", {}, {name: config(mask_token="<x>", bos_token="<|im_start|>", pad_token="<pad>")}),
        ("roles of the model's own", {}, {name: config(image_token="<x>", boi_token="<|im_end|>")}),
        ("a role as an object", {}, {name: config(eos_token={"__type": "AddedToken", **row("<x>", rstrip=True)})}),
        ("additional_special_tokens", {}, {name: config(additional_special_tokens=["<x>", "<|im_end|>"])}),
        ("extra_special_tokens", {}, {name: config(extra_special_tokens=["<|im_end|>", "<x>"],
                                                   additional_special_tokens=["Foo"])}),
        ("extra_special_tokens as an object", {}, {name: config(extra_special_tokens={"b": "<|im_end|>", "a": "<x>"})}),
        ("added_tokens.json", {}, {name: config(), "added_tokens.json": both}),
        ("added_tokens.json without a config", {}, {"added_tokens.json": both}),
        ("added_tokens.json with a role", {}, {name: config(pad_token="<|im_end|>"), "added_tokens.json": both}),
        ("added_tokens.json with an id that is taken", {}, {"added_tokens.json": {"<x>": 260, "<|im_end|>": 261}}),
        ("special_tokens_map.json", {}, {"special_tokens_map.json": {"additional_special_tokens": ["<x>", "Foo"]}}),
        ("special_tokens_map.json over the config", {},
         {name: config(eos_token="Foo"), "special_tokens_map.json": {"eos_token": "<x>"}}),
        ("special_tokens_map.json with objects", {},
         {"special_tokens_map.json": {"bos_token": {"content": "<x>", "lstrip": True, "rstrip": True,
                                                    "normalized": False, "single_word": False}}}),
        ("split_special_tokens", {}, {name: config(split_special_tokens=True, pad_token="<pad>")}),
        ("add_bos_token and add_eos_token", {},
         {name: config(add_bos_token=True, add_eos_token=True, bos_token="<s>", eos_token="</s>")}),
        ("truncation", {"truncation": truncation}, {name: config()}),
        ("padding", {"padding": padding}, {name: config()}),
        ("padding and a pad token", {"padding": padding}, {name: config(pad_token="<x>")}),
        ("a normalizer", {"normalizer": {"type": "Lowercase"}},
         {name: config(added_tokens_decoder={"261": row("Foo", normalized=True), "262": row("Éx", special=True)})}),
    ]


def clean_up_cases():
    """clean_up_tokenization_spaces, which counts for a BPE model only where a second key says so."""
    words = ["[UNK]", "the", "dog", "s", "n't", "'", "'m", "'s", "'ve", "'re", ".", "?", "!", ",", "do", "not", "##s", "Éx"]
    word_piece = {"added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
                  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                            "max_input_chars_per_word": 100, "vocab": {word: at for at, word in enumerate(words)}},
                  "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    unigram = {"added_tokens": [], "pre_tokenizer": metaspace, "decoder": metaspace,
               "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                         "vocab": [["<unk>", 0], *(["\u2581" + word, -1] for word in words[1:])]}}
    clean = "clean_up_tokenization_spaces"
    anyway = f"{clean}_for_bpe_even_though_it_will_corrupt_output"
    texts = ["the dog do n't . the dog , the", ". . ! ? , the ' ' ' s dog ' 's 'm 've 're not", "do not the 's Éx",
             "the ' dog ' n't ' . '", "dogs . 're", " ' "]
    name = "tokenizer_config.json"
    for kind, changes in (("BPE", {}), ("WordPiece", word_piece), ("Unigram", unigram)):
        for values in ({}, {clean: True}, {clean: True, anyway: True}, {anyway: True}):
            yield f"{kind} and {list(values)}", changes, {name: config(**values)}, texts


def drawn_case(r):
    def flags():
        return {flag: r.random() < 0.4 for flag in FLAGS}

    def token(typed):
        if r.random() < 0.5:
            return r.choice(WORDS)
        return {"content": r.choice(WORDS), **flags(), **({"__type": "AddedToken"} if typed else {})}

    changes, files, at = {}, {}, 261
    if r.random() < 0.5:
        changes["normalizer"] = {"type": "Lowercase"}
    own = common()["added_tokens"][:r.randint(0, 2)]
    for word in r.sample(WORDS, r.randint(0, 2)):
        if word in ("<s>", "</s>", "the"):
            continue
        own.append({"id": at - 2 + len(own), "content": word, **flags()})
    for number, each in enumerate(own):
        each["id"] = 259 + number
    changes["added_tokens"] = own
    values = {role: token(True) for role in ROLES if r.random() < 0.25}
    if r.random() < 0.3:
        values["additional_special_tokens"] = [token(True) for _ in range(r.randint(0, 3))]
    if r.random() < 0.2:
        values["extra_special_tokens"] = [token(True) for _ in range(r.randint(0, 3))]
    if r.random() < 0.35:
        values["added_tokens_decoder"] = {str(key): {"content": r.choice(WORDS), **flags()}
                                          for key in r.sample([0, 5, 100, 259, 260, 261, 262, 270], r.randint(1, 4))}
    if r.random() < 0.85:
        files["tokenizer_config.json"] = config(**values)
    if r.random() < 0.5:
        pairs = {role: r.choice(WORDS) for role in ROLES if r.random() < 0.3}
        if r.random() < 0.4:
            pairs["additional_special_tokens"] = [r.choice(WORDS) for _ in range(r.randint(0, 3))]
        files["special_tokens_map.json"] = pairs
    if r.random() < 0.5:
        files["added_tokens.json"] = {word: at + r.randint(-1, 4) for word in r.sample(WORDS, r.randint(1, 3))}
    texts = ["".join(r.choice(WORDS + ["  ", "x", "\t"]) + r.choice(["", " "]) for _ in range(r.randint(2, 7)))
             for _ in range(3)]
    return changes, files, texts


def record(name, changes, files, texts):
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {"tokenizer.json": {**common(), **changes}, **files}.items():
            Path(folder, file).write_text(json.dumps(content))
        # AutoTokenizer asks for a config that names a known kind of model.
        Path(folder, "config.json").write_text(json.dumps({"model_type": "bloom"}))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(text)["input_ids"] for text in texts]
        return {"name": name, "changes": changes, "files": files, "texts": texts, "ids": ids,
                "decoded": [tokenizer.decode(each) for each in ids],
                "without_special": [tokenizer.decode(each, skip_special_tokens=True) for each in ids]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("tests/text/token_files.json"))
    parser.add_argument("--drawn", type=int, default=40, help="cases from the seed")
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    cases = [record(name, changes, files, TEXTS) for name, changes, files in written_cases()]
    cases += [record(*case) for case in clean_up_cases()]
    for seed in range(args.drawn):
        cases.append(record(f"drawn {seed}", *drawn_case(random.Random(seed))))
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    lines = ",\n".join(json.dumps(case) for case in cases)
    args.output.write_text(f'{{"versions": {json.dumps(versions)},\n"tokenizer": {json.dumps(common())},\n'
                           f'"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
