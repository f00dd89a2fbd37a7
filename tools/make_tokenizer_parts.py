#!/usr/bin/env python3
"""Records what the Python package `tokenizers` makes of texts, part by part.

    python3 tools/make_tokenizer_parts.py [--output tests/text/tokenizer_parts.json]

Normalizers (each character and the bytes it came from), pre-tokenizers (each word and its bytes), decoders (lists of
tokens to text) and small whole tokenizers: models with their options over a small drawn vocabulary, and post-processors.
Offsets are in bytes. tests/text/compare_tokenizers.py compares far more, but needs the package where it runs.
"""
import argparse
import itertools
import json
import random
import sys
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, PreTokenizedString, Regex, Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/text"))
from compare_tokenizers import RULES, compiled_rules  # noqa: E402  (SentencePiece's compiled map)

TEXTS = ["Hello, World! it's  42", "É\u0301é ﬁ①½ İSTANBUL ß ǅ", "\ta\u00a0b\u3000c\u200bd\n\r\x01\x7f e\ufffd \u2581x",
         "你好abc，。 ١٢³Ⅷ", "a\u0323\u0301b\u0308 한각\u1100\u1161 \u0e34", "x__y--z ''q'' ``r`` @A[Z]`a{z}~", " lead  trail ",
         "", "...1a2b33 c", "🙂👍🏽 \U0001d7d8 a\u00adb ﷺ", "AZaz09/:", "\u0b3c\u1734\u1885\u1cf2\ua9bd\u166d"]


def part(kind, value):
    tokenizer = Tokenizer(models.BPE())
    setattr(tokenizer, kind, value)
    return json.loads(tokenizer.to_str())[kind]


def byte_offsets(text, pairs):
    place = list(itertools.accumulate((len(c.encode()) for c in text), initial=0))
    return [[place[begin], place[end]] for begin, end in pairs]


def normalizer_cases():
    Seq, Replace = normalizers.Sequence, normalizers.Replace
    bert = [normalizers.BertNormalizer(clean_text=a, handle_chinese_chars=b, strip_accents=c, lowercase=d)
            for a, b, c, d in [(True, True, None, True), (False, False, False, False), (True, False, True, False),
                               (False, True, False, True), (True, False, None, False)]]
    made = [normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(), normalizers.Lowercase(),
            normalizers.StripAccents(), Seq([normalizers.NFD(), normalizers.StripAccents()]), normalizers.Nmt(),
            normalizers.ByteLevel(), normalizers.Strip(left=True, right=False), normalizers.Strip(left=False, right=True),
            normalizers.Strip(), normalizers.Prepend("\u2581<"), Replace(" ", "\u2581"), Replace(Regex("[a-c]+"), "xyz"),
            Replace(Regex(" {2,}"), ""), Seq([Replace("a", ""), normalizers.Prepend("__"), normalizers.NFKC()]), *bert,
            normalizers.Precompiled(compiled_rules(RULES))]
    for each in made:
        out = []
        for text in TEXTS:
            if not text:
                continue
            pieces = PreTokenizedString(text)
            pieces.normalize(each.normalize)
            pieces.split(lambda _, piece: piece.split(Regex("(?m:.)"), "isolated"))
            splits = pieces.get_splits("original", "char")
            out.append({"text": text, "chars": [c for c, _, _ in splits],
                        "offsets": byte_offsets(text, [at for _, at, _ in splits])})
        yield {"kind": "normalizer", "part": part("normalizer", each), "cases": out}


def pre_tokenizer_cases():
    Split, Seq = pre_tokenizers.Split, pre_tokenizers.Sequence
    made = [pre_tokenizers.ByteLevel(add_prefix_space=a, use_regex=b) for a in (True, False) for b in (True, False)]
    made += [pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split) for scheme in ("always", "first", "never")
             for split in (True, False)]
    made += [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Digits(), pre_tokenizers.Whitespace(),
             pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer()]
    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    made += [pre_tokenizers.Punctuation(behavior) for behavior in behaviors]
    made += [Split(Regex(r"\s+|[a-e]"), behavior, invert) for behavior in behaviors for invert in (False, True)]
    made += [Split(" ", "isolated"), Split(Regex("x*"), "isolated"),
             Seq([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]),
             Seq([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])]
    for each in made:
        out = []
        for text in TEXTS:
            words = each.pre_tokenize_str(text)
            out.append({"text": text, "words": [word for word, _ in words],
                        "offsets": byte_offsets(text, [at for _, at in words])})
        yield {"kind": "pre_tokenizer", "part": part("pre_tokenizer", each), "cases": out}


def decoder_cases():
    seq, fuse, fallback = decoders.Sequence, decoders.Fuse(), decoders.ByteFallback()
    made = [None, decoders.ByteLevel(), decoders.Metaspace(), decoders.Metaspace(prepend_scheme="never"),
            decoders.WordPiece(), decoders.WordPiece(prefix="a", cleanup=False), decoders.BPEDecoder(),
            decoders.BPEDecoder("a"), fallback, seq([fallback, fuse]), fuse, decoders.Replace(Regex("[ab]+"), "_"),
            decoders.Replace("ab", ""), seq([fuse, decoders.Replace("ab", "--")]),
            seq([fuse, decoders.Strip("a", 2, 0)]), seq([fuse, decoders.Strip("a", 0, 1)]),
            seq([decoders.Replace("\u2581", " "), fallback, fuse, decoders.Strip(" ", 1, 0)])]
    tokens = [["\u2581a", "b", "\u2581", "c\u2581d", "\u2581\u2581"], ["ab", "a", "ba", "##b", "aab", "c"],
              ["Hello", ",", "do", "not", "n't", "'m", "'s", "'ve", "'re", "'", "x", ".", "!", "?", "##s"],
              ["don", " n't", "a ' b", "I 'm", "we 've", " do not"],
              ["\u0120the", "\u010a", "\u00c3", "\u00a9", "\u00e4", "\u00bd\u0142", "a\u4f60"],
              ["<0xE4>", "<0xBD>", "<0xA0>", "a", "<0xff>", "<0x41>", "<0x4>", "<0x411>", "<0xC3>", "b"],
              ["lo</w>", "w", "er</w>", "</w>", "a</w>b</w>"], ["aaab", "caaa"], ["a"], []]
    for each in made:
        out = []
        for row in tokens:
            tokenizer = Tokenizer(models.BPE())
            tokenizer.add_tokens([AddedToken(token, normalized=False) for token in row])
            if each is not None:
                tokenizer.decoder = each
            try:
                text = tokenizer.decode([tokenizer.token_to_id(token) for token in row])
            except BaseException as error:  # Strip panics where nothing is left to strip
                if "PanicException" not in type(error).__name__:
                    raise
                continue
            out.append({"tokens": row, "text": text})
        yield {"kind": "decoder", "part": part("decoder", each) if each is not None else None, "cases": out}


def draw_merges(r, letters, prefix="", suffix=""):
    first, later = list(letters), [prefix + c for c in letters] if prefix else list(letters)
    if suffix:
        later += [prefix + c + suffix for c in letters]
        first += [c + suffix for c in letters]
    vocab, merges = list(dict.fromkeys(first + later)), []
    for _ in range(40):
        left, right = r.choice(vocab), r.choice(vocab)
        if (prefix and not right.startswith(prefix)) or (suffix and left.endswith(suffix)):
            continue
        joined = left + right[len(prefix):]
        if len(joined) < 8 and joined not in vocab:
            vocab.append(joined)
            merges.append((left, right))
    return vocab, merges


def model_cases():
    r = random.Random(4)
    texts = ["".join(r.choice("abcdé x?") for _ in range(size)) for size in (1, 2, 5, 9, 20, 39, 40, 41, 42, 60, 90)]
    texts += ["aaaa", "abcabc" * 9, "", "ééé", "xx  yy", "a" * 100]
    fallback = [f"<0x{byte:02X}>" for byte in sorted(set("abcdé x?".encode()))]
    options = [{}, {"unk_token": "?"}, {"unk_token": "?", "fuse_unk": True}, {"byte_fallback": True, "unk_token": "?"},
               {"ignore_merges": True}, {"continuing_subword_prefix": "##", "unk_token": "?"},
               {"end_of_word_suffix": "</w>", "unk_token": "?", "fuse_unk": True},
               {"byte_fallback": True, "unk_token": "?", "fuse_unk": True, "half": True}]
    for each in options:
        half = each.pop("half", False)
        vocab, merges = draw_merges(r, "abcdé", each.get("continuing_subword_prefix", ""),
                                    each.get("end_of_word_suffix", ""))
        if each.get("ignore_merges"):
            vocab += ["abcabc" * 9, "aaaa"]
        vocab += ["?"] + (fallback[half:] if each.get("byte_fallback") else [])
        if half:
            vocab.remove("é")
            merges = [pair for pair in merges if "é" not in "".join(pair)]
        tokenizer = Tokenizer(models.BPE({token: at for at, token in enumerate(vocab)}, merges, **each))
        if "end_of_word_suffix" in each or "continuing_subword_prefix" in each:
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        yield tokenizer, texts
    for byte_fallback, metaspace in ((False, False), (True, False), (False, True)):
        pieces = {"?": -3.0, "a": -2.0, "b": -2.5, "c": -2.25, "\u2581": -3.5}
        for _ in range(30):
            pieces["".join(r.choice("abcdé") for _ in range(r.randint(2, 4)))] = -r.randint(8, 60) / 8
        if byte_fallback:
            pieces.update({byte: -12.0 for byte in fallback})
        tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=0, byte_fallback=byte_fallback))
        if metaspace:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        yield tokenizer, texts
    words = {"[UNK]": 0, **{piece: at + 1 for at, piece in enumerate(
        ["a", "ab", "abc", "##c", "##a", "##ab", "##b", "x", "é", "##é", "?", "aaaa", "##aaaaa"])}}
    for longest in (9, 40):
        tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]", max_input_chars_per_word=longest))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        yield tokenizer, texts


def processor_cases():
    for post in (processors.BertProcessing(("</s>", 1), ("<s>", 0)),
                 processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=True),
                 processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=False),
                 processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
                 processors.ByteLevel(trim_offsets=True, add_prefix_space=True),
                 processors.TemplateProcessing(single="<s>:2 $A:3 </s>", pair="$B:4 <s> $A:1 </s>:5",
                                               special_tokens=[("<s>", 0), ("</s>", 1)]),
                 processors.Sequence([processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
                                      processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B:1",
                                                                    special_tokens=[("<s>", 0)])])):
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocab = ["<s>", "</s>"] + letters + ["\u0120\u0120", "\u0120a", "a\u0120"]
        tokenizer = Tokenizer(models.BPE({token: at for at, token in enumerate(vocab)},
                                         [("\u0120", "\u0120"), ("\u0120", "a"), ("a", "\u0120")]))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
        tokenizer.post_processor = post
        tokenizer.add_tokens([AddedToken(" x ", normalized=False), AddedToken("<s>", special=True)])
        yield tokenizer, ["a b", " a", "  a  ", "a x  b", "é a ", "a <s> b", "", " "]


def whole_cases():
    for tokenizer, texts in itertools.chain(model_cases(), processor_cases()):
        out = []
        model = json.loads(tokenizer.to_str())["model"]
        pairs = [[a, b] for a, b in zip(texts, texts[1:])] if tokenizer.post_processor else []
        for given in [[text] for text in texts] + pairs:
            for special in (True, False) if tokenizer.post_processor else (True,):
                encoding = tokenizer.encode(*given, add_special_tokens=special)
                sequence = [-1 if each is None else each for each in encoding.sequence_ids]
                offsets = []
                for which, at in zip(sequence, encoding.offsets):
                    offsets += byte_offsets(given[max(which, 0)], [at])
                out.append({"texts": given, "special": special, "ids": encoding.ids, "offsets": offsets,
                            "type_ids": encoding.type_ids, "decoded": tokenizer.decode(encoding.ids)})
                # Where several unknown characters become bytes, the package gives each byte the offsets of all.
                if model["type"] == "Unigram" and model["byte_fallback"]:
                    del out[-1]["offsets"]
        yield {"kind": "whole", "part": json.loads(tokenizer.to_str()), "cases": out}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("tests/text/tokenizer_parts.json"))
    args = parser.parse_args()
    cases = itertools.chain(normalizer_cases(), pre_tokenizer_cases(), decoder_cases(), whole_cases())
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    args.output.write_text(f'{{"version": {json.dumps(tokenizers.__version__)}, "parts": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
