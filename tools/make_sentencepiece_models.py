#!/usr/bin/env python3
"""Trains small sentencepiece models and records what transformers makes of folders with them.

    python3 tools/make_sentencepiece_models.py [--output tests/text/sentencepiece.json]

Each case is a model of the list, the name of its file, the files beside it, and for each text the ids and the decoded
texts, with and without special tokens, of transformers' AutoTokenizer; for tiktoken's files of Qwen, whose code is no
part of transformers, those of the package tiktoken. Needs transformers 5, sentencepiece, protobuf and tiktoken.
"""
import argparse
import base64
import contextlib
import io
import json
import os
import random
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
import tiktoken
import transformers

WORDS = """the quick brown fox jumps over the lazy dog and then runs back home while it rains in the old town she said
that nobody knew where this river ends but everyone wanted to see its source one day 2024 had 365 days minus 17 maybe
naïve café façade über straße señor Привет мир это проба пера 日本語 テキスト 世界 你好 世 界 ab abab &amp; <b> x=1; y+=2
don't won't it's we'll ﬁne ① ½ Å ｆｕｌｌ e\u0301 ...""".split()

TEXTS = ["", " ", "   ", "the quick brown fox", " the", "the ", "  the  quick   brown ", "\n", "the\nquick\n\n\nfox\r\n\tdog",
         "naïve café ÜBER straße", "Привет, мир!", "日本語のテキスト。世界", "🙂 👩\u200d👩\u200d👧 the🙂🙂", "\u2581", "\u2581the \u2581 quick",
         "the\u2581quick", " \u2581\u2581 x", "a\u0000b", "\u0000", "\ufffd the\ufffd", "<s>the</s>", "<s> the </s> <unk> quick",
         "</s></s><s><s>", "ab abab xaby", "<sep>the<sep><sep> fox", "the<|im_start|>fox<|im_end|> <|im_start|>", "<pad><mask> the <mask>fox",
         "<extra_id_0> fox <extra_id_99>the<extra_id_1>", "12345 67890 3.14", "ﬁne ① ½ Å ｆｕｌｌ e\u0301 \u00a0x\u3000y\u200bz",
         "<0x41><0x0A>", "x" * 300, "foxthequick" * 40, "don't it's , . ! WE'LL we'll", "the \t quick  \t", "éé\u0301\u0323 각 ᄀ\u1161 ガ",
         "\ufeffthe", "it 's . fox n't , the", "<|extra_0|>the<|endoftext|>", "  <s>  the  </s>  fox  "]

NAME = "tokenizer_config.json"
RULES = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "ﬁ": "fi", "①": "1", "½": "1⁄2", "e\u0301": "é",
         "\u212b": "\u00c5", "ｆ": "f", "ｕ": "u", "ｌ": "l", "…": "...", "\ufeff": ""}


def train(folder, corpus, **options):
    """The bytes of a model. With `rules`, a normalizer of a few rules: sentencepiece's own has 240 KB of them."""
    if options.pop("rules", False):
        rules = "rules.tsv"  # its path becomes part of the model
        Path(folder, rules).write_text("".join(" ".join(f"{ord(c):X}" for c in key) + "\t" + " ".join(f"{ord(c):X}" for c in value) + "\n"
                                 for key, value in RULES.items()))
        options["normalization_rule_tsv"] = rules
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        **{**dict(sentence_iterator=iter(corpus), model_writer=model, vocab_size=300, hard_vocab_limit=False, num_threads=1,
                  minloglevel=2, normalization_rule_name="identity"), **options})
    return model.getvalue()


def corpus():
    r = random.Random(1)
    return [" ".join(r.choice(WORDS) for _ in range(r.randint(3, 12))) for _ in range(400)]


def models(folder):
    lines = corpus()
    byte_pair = dict(model_type="bpe", byte_fallback=True, vocab_size=500)
    whole = dict(remove_extra_whitespaces=False, allow_whitespace_only_pieces=True)
    return {
        "llama": train(folder, lines, **byte_pair, **whole),
        "user": train(folder, lines, **byte_pair, **whole, user_defined_symbols=["<sep>", "ab", "<|im_start|>", "\n", "\u2581\u2581"],
                      control_symbols=["<|im_end|>"]),
        "gemma": train(folder, lines, **byte_pair, **whole, add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                       pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>", user_defined_symbols=["<mask>", "\n\n", "<b>"]),
        "plain bpe": train(folder, lines, model_type="bpe", rules=True, character_coverage=0.98),
        "unigram": train(folder, lines, model_type="unigram", rules=True, character_coverage=0.98),
        "unigram bytes": train(folder, lines, model_type="unigram", byte_fallback=True, vocab_size=500, user_defined_symbols=["<sep>", "ab"]),
        "unigram without prefix": train(folder, lines, model_type="unigram", add_dummy_prefix=False, character_coverage=0.98),
        "t5": train(folder, lines, model_type="unigram", rules=True, character_coverage=0.98, pad_id=0, eos_id=1, unk_id=2, bos_id=-1),
        "nmt_nfkc": train(folder, lines, model_type="unigram", normalization_rule_name="nmt_nfkc"),
    }


def ranks():
    """tiktoken's lines, with tokens of two and three bytes and a few words."""
    tokens = [bytes([byte]) for byte in range(256)]
    known = set(tokens)
    counts = {}
    for line in corpus():
        for word in line.encode().split(b" "):
            word = b" " + word
            for begin in range(len(word)):
                for end in range(begin + 2, min(begin + 6, len(word)) + 1):
                    counts[word[begin:end]] = counts.get(word[begin:end], 0) + 1
    for token, _ in sorted(counts.items(), key=lambda item: (len(item[0]), -item[1], item[0])):
        halves = any(token[:at] in known and token[at:] in known for at in range(1, len(token)))
        if halves and counts[token] > 20 and token not in known:
            tokens.append(token)
            known.add(token)
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))


def row(content, **flags):
    return {"content": content, **{flag: flags.get(flag, False) for flag in ("lstrip", "rstrip", "single_word", "normalized", "special")}}


def config(kind, **values):
    return {NAME: {"tokenizer_class": kind, **values}}


def cases():
    """(name, model, its file, model_type, files beside it)"""
    around = dict(add_bos_token=True, add_eos_token=True)
    decoder = {"0": row("<unk>", special=True, normalized=True), "1": row("<s>", special=True, normalized=True),
               "2": row("</s>", special=True), "500": row("<|im_end|>", special=True), "501": row("fox", normalized=True)}
    llama = "LlamaTokenizer"
    for model in ("llama", "user"):
        yield f"{model}: llama", model, "tokenizer.model", "llama", config(llama, add_bos_token=True)
        yield f"{model}: llama, legacy", model, "tokenizer.model", "llama", config(llama, legacy=True, **around)
        yield f"{model}: llama, no prefix", model, "tokenizer.model", "llama", config(llama, add_prefix_space=False)
        yield f"{model}: llama, decoder", model, "tokenizer.model", "llama", config(llama, added_tokens_decoder=decoder, pad_token="<pad>")
        yield f"{model}: mistral", model, "tokenizer.model", "mistral", config(llama, **around)
        yield f"{model}: mistral, not legacy", model, "tokenizer.model", "mistral", config(llama, legacy=False, **around)
        yield f"{model}: mistral, decoder", model, "tokenizer.model", "mistral", config(llama, added_tokens_decoder=decoder)
        yield f"{model}: no class", model, "tokenizer.model", "llama", {}
    yield ("llama: added_tokens.json", "llama", "tokenizer.model", "llama",
           {**config("LlamaTokenizerFast", add_bos_token=True), "added_tokens.json": {"<|im_start|>": 500, "<pad>": 501},
            "special_tokens_map.json": {"bos_token": {"content": "<s>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False},
                                        "eos_token": "</s>", "pad_token": "<pad>"}})
    yield "llama: phi3", "llama", "tokenizer.model", "phi3", config(llama, legacy=False, add_bos_token=True, added_tokens_decoder=decoder)
    yield "llama: additional_special_tokens", "user", "tokenizer.model", "llama", config(llama, additional_special_tokens=["fox", "<|im_start|>"])
    yield "gemma", "gemma", "tokenizer.model", "gemma", config("GemmaTokenizer", add_bos_token=True)
    yield "gemma: no class", "gemma", "tokenizer.model", "gemma2", {}
    yield "gemma: plain", "gemma", "tokenizer.model", "llama", {}
    for model in ("plain bpe", "unigram", "unigram bytes", "unigram without prefix"):
        yield f"{model}: no class", model, "tokenizer.model", "llama", {}
        yield f"{model}: not legacy", model, "tokenizer.model", "mistral", config(llama, legacy=False, clean_up_tokenization_spaces=True, **around)
    yield "t5", "t5", "spiece.model", "t5", {}
    yield ("t5: extra ids", "t5", "spiece.model", "t5",
           config("T5Tokenizer", extra_ids=100, additional_special_tokens=[f"<extra_id_{i}>" for i in range(100)], eos_token="</s>"))
    yield "t5: few extra ids", "t5", "spiece.model", "mt5", config("T5Tokenizer", extra_ids=2, clean_up_tokenization_spaces=True)
    yield ("t5: null", "t5", "spiece.model", "t5", config("T5Tokenizer", additional_special_tokens=None))
    yield "nmt_nfkc", "nmt_nfkc", "tokenizer.model", "llama", {}
    yield "nmt_nfkc: camembert", "nmt_nfkc", "sentencepiece.bpe.model", "camembert", {}
    yield "camembert", "unigram", "sentencepiece.bpe.model", "camembert", config("CamembertTokenizer", add_prefix_space=False, pad_token="<p>")
    yield "xlm-roberta", "unigram", "sentencepiece.bpe.model", "xlm-roberta", {}
    yield "tiktoken", "tiktoken", "tokenizer.model", "llama", {}
    yield ("tiktoken: reserved", "tiktoken", "tokenizer.model", "llama",
           config("PreTrainedTokenizerFast", added_tokens_decoder={"%d" % (TIKTOKEN_SIZE + 1): row("<|im_start|>", special=True),
                                                                   "%d" % (TIKTOKEN_SIZE + 3): row("<|im_end|>", special=True)},
                  bos_token="<|im_start|>", eos_token="<|im_end|>", **around))


TIKTOKEN_SIZE = ranks().count(b"\n")


def record(name, model, file, kind, files, content, texts):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, file).write_bytes(content)
        files = {**files, "config.json": {"model_type": kind}}
        for each, value in files.items():
            Path(folder, each).write_text(json.dumps(value))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(text)["input_ids"] for text in texts]
        pairs = [tokenizer(first, second)["input_ids"] for first, second in zip(texts, texts[3:9])]
        return {"name": name, "model": model, "file": file, "files": files, "size": len(tokenizer), "ids": ids, "pairs": pairs,
                "decoded": [tokenizer.decode(each) for each in ids],
                "without_special": [tokenizer.decode(each, skip_special_tokens=True) for each in ids]}


def record_qwen(content, texts):
    loaded = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in content.splitlines())}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    special = {token: len(loaded) + at for at, token in enumerate(names)}
    encoding = tiktoken.Encoding("qwen", pat_str=pattern, mergeable_ranks=loaded, special_tokens=special)
    ids = [encoding.encode(unicodedata.normalize("NFC", text), allowed_special="all") for text in texts]
    return {"name": "qwen", "model": "tiktoken", "file": "qwen.tiktoken", "files": config("QWenTokenizer"), "size": encoding.n_vocab,
            "ids": ids, "pairs": [], "decoded": [encoding.decode(each) for each in ids],
            "without_special": [encoding.decode([id for id in each if id < len(loaded)]) for each in ids]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("tests/text/sentencepiece.json"))
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        content = {**models(folder), "tiktoken": ranks()}
    recorded = [record(*case, content[case[1]], TEXTS) for case in cases()] + [record_qwen(content["tiktoken"], TEXTS)]
    versions = {"transformers": transformers.__version__, "sentencepiece": sentencepiece.__version__, "tiktoken": tiktoken.__version__}
    parts = [f'"versions": {json.dumps(versions)}', f'"texts": {json.dumps(TEXTS)}']
    parts.append('"models": {\n' + ",\n".join(f'{json.dumps(name)}: "{base64.b64encode(data).decode()}"' for name, data in content.items()) + "}")
    parts.append('"cases": [\n' + ",\n".join(json.dumps(each) for each in recorded) + "]")
    args.output.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    main()
