#!/usr/bin/env python3
"""Compares `bolide tokenize` with the Python package `tokenizers`, which is all that this needs.

Builds and trains tokenizers in memory that between them have every part which Bolide reads, writes each one's
tokenizer.json, and compares ids, byte offsets, type ids, sequences and decoded text on lines from a seeded
generator: many scripts, emoji, odd white space, bytes that are no UTF-8, added tokens with every flag.

    compare_tokenizers.py --bolide build/apps/bolide [--lines 20000] [--only NAME]

Exit code 0: all equal. 1: differences, the first of each kind shown. 77: the package is missing (ctest: skipped).
"""

import argparse
import itertools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
try:
    import tokenizers
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers import trainers
except ImportError as error:
    print(f"SKIPPED: comparing tokenizers needs the Python package `tokenizers` ({error})", file=sys.stderr)
    sys.exit(77)

import unicodedata

# Every combination of an added token's flags.
FLAGS = list(itertools.product([False, True], repeat=5))


def added_tokens():
    tokens = []
    for number, (single_word, lstrip, rstrip, normalized, special) in enumerate(FLAGS):
        # Half are words, so that single_word has something to tell apart; some have capitals for normalizers.
        content = f"Tok{number:02d}" if number % 2 else f"<É{number:02d}>"
        tokens.append(AddedToken(content, single_word=single_word, lstrip=lstrip, rstrip=rstrip,
                                 normalized=normalized, special=special))
    return tokens


# --- text ------------------------------------------------------------------------------------------------------

WORDS = """the of and to in that it is was for with as his on be at by had not are but from or have an they which
one you were all her she there would their we him been has when who will no more if out so up said what its about
than into them can only other time new some could these two may first then do any like my now over such our man me
even most made after also well must before back through years where much your way down should because long each
just those people how too little state good very make world still see own work men day get here old life both
between being under never know same last another us while since go right come great might house don't it's we've
I'll you're he'd isn't o'clock rock'n'roll can't Internationalisation antidisestablishmentarianism""".split()
SCRIPTS = [(0x41, 0x7A), (0xC0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x530, 0x58F), (0x5D0, 0x5EA),
           (0x620, 0x6FF), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xE01, 0xE5B), (0xF40, 0xFBC),
           (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13F4), (0x1780, 0x17DD),
           (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2100, 0x218F), (0x2460, 0x24FF), (0x3040, 0x30FF),
           (0x3200, 0x33FF), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3), (0xF900, 0xFA2D), (0xFB00, 0xFB4F),
           (0xFB50, 0xFDFB), (0xFF01, 0xFFEE), (0x10330, 0x1034A), (0x1D400, 0x1D7FF), (0x20000, 0x2A6D6),
           (0x2F800, 0x2FA1D)]
EMOJI = ["🙂", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "1️⃣", "❤️", "🤷🏿‍♀️", "☕", "🧑‍🚀", "\U0001F1E6", "☺︎"]
SPACES = [" ", "  ", "   ", "\t", "\u00a0", "\u2003", "\u200b", "\u3000", "\u2028", "\u1680", "\u0085", "\x0b",
          "\u202f", "\ufeff", " \t ", "       "]
BREAKS = ["\n", "\r\n", "\n\n", " \n ", "\r"]
MARKS = ["\u0301", "\u0323", "\u0327", "\u0308\u0301", "\u0345", "\u05b4", "\u093c", "\u0e34", "\u1dc4", "\u20dd",
         "\u0338", "\u3099", "\u11a8", "\u0315\u0300\u05ae\u0062"]
ODD = ["\u0000", "\u0001", "\u007f", "\u00ad", "\u200d", "\u2581", "\ufffd", "\u0130", "\u01c5", "\u03a3", "\u1e9e",
       "\ue000", "\uffff", "\U0010ffff", "Ġ", "Ċ", "##", "</w>", "<0x41>", "<0xE4>", "``", "''", "…", "。", "、",
       "।", "،", "_", "'S", "'LL", "'", "´", "¨", "ﬁ", "①", "½", "²", "٣", "๔", "Ⅷ", "𝟘"]
INVALID = [b"\xff", b"\xc3", b"\xe4\xbd", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80",
           b"\xe0\x80\x80", b"\xf8\x88\x80\x80\x80"]


class Lines:
    """Random lines of bytes, the same for the same seed."""

    def __init__(self, seed, tokens):
        self.random = random.Random(seed)
        self.tokens = tokens
        # Only characters that Unicode 3.2 had: the tables of ICU, Oniguruma and the package agree about those.
        known = unicodedata.ucd_3_2_0
        self.letters = [[chr(c) for c in range(first, last + 1) if known.category(chr(c)) != "Cn"]
                        for first, last in SCRIPTS]

    def word(self):
        r = self.random
        kind = r.random()
        if kind < 0.40:
            word = r.choice(WORDS)
            return word if r.random() < 0.8 else r.choice([word.upper(), word.capitalize(), word * 2])
        if kind < 0.60:
            letters = r.choice(self.letters)
            return "".join(r.choice(letters) for _ in range(r.randint(1, 9)))
        if kind < 0.68:
            return str(r.randint(0, 10 ** r.randint(1, 12)))
        if kind < 0.74:
            return "".join(r.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(r.randint(1, 4)))
        if kind < 0.79:
            return r.choice(EMOJI)
        if kind < 0.84:
            return "".join(r.choice(r.choice(self.letters)) + r.choice(MARKS) for _ in range(r.randint(1, 4)))
        if kind < 0.88:
            return r.choice(ODD)
        if kind < 0.97:
            token = r.choice(self.tokens)
            return token if r.random() < 0.8 else r.choice([token.lower(), token.upper(), token[:-1]])
        return "".join(r.choice("abcdefghijklmnopqrstuvwxyzé") for _ in range(r.randint(20, 150)))

    def line(self, breaks=False, invalid=False):
        r = self.random
        parts = []
        if r.random() < 0.15:
            parts.append(r.choice(SPACES))
        for _ in range(r.choice([0, 1, 2, 3, 5, 8, 12, 20])):
            parts.append(self.word())
            gap = r.random()
            if gap < 0.62:
                parts.append(" ")
            elif gap < 0.75:
                parts.append(r.choice(SPACES))
            elif gap < 0.80 and breaks:
                parts.append(r.choice(BREAKS))
        text = [part.encode() for part in parts]
        if invalid:
            for _ in range(r.randint(1, 3)):
                text.insert(r.randint(0, len(text)), r.choice(INVALID))
        return b"".join(text)


# --- tokenizers ------------------------------------------------------------------------------------------------

BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
ALPHABET = pre_tokenizers.ByteLevel.alphabet()
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
ByteLevel = pre_tokenizers.ByteLevel


def train(tokenizer, trainer, corpus):
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def bpe(corpus, special=("<unk>",), alphabet=ALPHABET, size=2500, limit=None, pre=None, normal=None, trainer=None,
        **options):
    tokenizer = Tokenizer(models.BPE(**options))
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    if normal is not None:
        tokenizer.normalizer = normal
    extra = {"limit_alphabet": limit} if limit else {}
    return train(tokenizer, trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False,
                                                initial_alphabet=alphabet, **extra, **(trainer or {})), corpus)


def byte_level_bpe(corpus, post=None, special=("<unk>", "<s>", "</s>", "<pad>"), **options):
    tokenizer = bpe(corpus, special=special, **options)
    tokenizer.decoder = decoders.ByteLevel()
    if post is not None:
        tokenizer.post_processor = post
    return tokenizer


def template(tokenizer, single, pair, names):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names])
    return tokenizer


def bloom(corpus):
    split = pre_tokenizers.Split(Regex(BLOOM), "isolated")
    return byte_level_bpe(corpus, post=processors.ByteLevel(trim_offsets=False),
                          pre=pre_tokenizers.Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)]))


def gpt2(corpus):
    return byte_level_bpe(corpus, special=["<|endoftext|>"], pre=ByteLevel(add_prefix_space=False),
                          post=processors.ByteLevel(trim_offsets=True, add_prefix_space=False))


def neox(corpus):
    return byte_level_bpe(corpus, normal=normalizers.NFC(), pre=ByteLevel(add_prefix_space=False),
                          post=processors.ByteLevel(trim_offsets=False))


def roberta(corpus):
    tokenizer = byte_level_bpe(corpus, pre=ByteLevel(add_prefix_space=True))
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", tokenizer.token_to_id("</s>")), ("<s>", tokenizer.token_to_id("<s>")), trim_offsets=True,
        add_prefix_space=True)
    return tokenizer


def gpt2_spaces(corpus):
    return byte_level_bpe(corpus, pre=ByteLevel(add_prefix_space=True), normal=normalizers.NFKC(),
                          post=processors.ByteLevel(trim_offsets=True, add_prefix_space=True))


def llama3(corpus):
    split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
    tokenizer = byte_level_bpe(corpus, special=["<s>"], ignore_merges=True,
                               pre=pre_tokenizers.Sequence([split, ByteLevel(False, use_regex=False)]))
    template(tokenizer, "<s> $A", "<s> $A <s>:1 $B:1", ["<s>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
                                                    tokenizer.post_processor])
    return tokenizer


def sentencepiece_bpe(corpus, normal, pre):
    """LLaMA's: blanks are U+2581 and unknown characters are bytes. Trained on words, to keep the training short."""
    tokenizer = bpe(corpus, special=["<unk>", "<s>", "</s>"] + BYTES, alphabet=[], limit=500,
                    pre=pre_tokenizers.Metaspace(), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer.normalizer = normal
    tokenizer.pre_tokenizer = pre
    return template(tokenizer, "<s> $A", "<s> $A <s>:1 $B:1", ["<s>"])


def llama2(corpus):
    tokenizer = sentencepiece_bpe(
        corpus, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), None)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def llama_first(corpus):
    tokenizer = sentencepiece_bpe(corpus, None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="first"), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def word_piece(corpus, normal, special=("[PAD]", "[UNK]", "[CLS]", "[SEP]")):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=60))
    tokenizer.normalizer = normal
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return train(tokenizer, trainers.WordPieceTrainer(vocab_size=2500, special_tokens=list(special), show_progress=False,
                                                      limit_alphabet=900), corpus)


def bert(corpus):
    tokenizer = word_piece(corpus, normalizers.BertNormalizer())
    tokenizer.decoder = decoders.WordPiece()
    return template(tokenizer, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ["[CLS]", "[SEP]"])


def bert_cased(corpus):
    tokenizer = word_piece(corpus, normalizers.BertNormalizer(lowercase=False, handle_chinese_chars=False,
                                                              strip_accents=True, clean_text=True))
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", tokenizer.token_to_id("[SEP]")),
                                                         ("[CLS]", tokenizer.token_to_id("[CLS]")))
    return tokenizer


def unigram(corpus, normal, pre, special, byte_fallback=False):
    """The scores are a counted guess, not a training: what matters is that the best path is found.
    They are eighths, which add up without rounding: equal scores are equal to both sides."""
    counts = {}
    for line in corpus[:400]:
        for word in line.split():
            for begin in range(len(word)):
                for end in range(begin + 1, min(begin + 6, len(word)) + 1):
                    piece = ("▁" if begin == 0 else "") + word[begin:end]
                    counts[piece] = counts.get(piece, 0) + 1
    pieces = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:4000]
    vocab = [(token, 0.0) for token in special] + ([(byte, -20.0) for byte in BYTES] if byte_fallback else [])
    known = {token for token, _ in vocab}
    vocab += [(piece, -9.0 + 0.75 * len(piece) - (rank % 13) / 8) for rank, (piece, _) in enumerate(pieces)
              if piece not in known]
    if "▁" not in {token for token, _ in vocab}:
        vocab.append(("▁", -3.0))
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=special.index("<unk>"), byte_fallback=byte_fallback))
    tokenizer.normalizer = normal
    tokenizer.pre_tokenizer = pre
    return tokenizer


def compiled_rules(rules):
    """SentencePiece's precompiled_charsmap: a double-array trie, then the replacements, each ended by a NUL."""
    root = {}
    blob = b""
    for key, replacement in rules.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = len(blob)  # no key holds a NUL
        blob += replacement.encode() + b"\0"
    units = {0: 0}
    todo = [(0, root)]
    while todo:
        place, node = todo.pop(0)
        base = next(base for base in itertools.count(1) if all(base ^ byte not in units for byte in node))
        assert place ^ base < 1 << 21
        units[place] |= (place ^ base) << 10 | (0 in node) << 8
        for byte, child in node.items():
            units[base ^ byte] = 1 << 31 | child if byte == 0 else byte
            if byte:
                todo.append((base ^ byte, child))
    # 0xFF is the label of no character: it keeps free units from being taken for one.
    trie = struct.pack(f"<{max(units) + 257}I", *(units.get(place, 0xFF) for place in range(max(units) + 257)))
    return struct.pack("<I", len(trie)) + trie + blob


RULES = {"\t": " ", "\n": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u200b": "", "\u007f": "",
         "\ufeff": "", "\u00ad": "", "ﬁ": "fi", "①": "1", "½": "1⁄2", "²": "2", "…": "...", "e\u0301": "é", "É": "E",
         "\u0301": "", "\u0323": "", "Ⅷ": "VIII", "ß": "ss", "\u1e9e": "SS", "℀": "a/c", "ガ": "ga", "か": "ka",
         "か\u3099": "が", "\u0308": "\"", "각": "gag", "\u1100\u1161": "가", "丽": "丽", "🙂": ":)", "☕": "cup"}


def t5(corpus):
    normal = normalizers.Sequence([normalizers.Precompiled(compiled_rules(RULES)),
                                   normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False, right=True)])
    tokenizer = unigram(corpus, normal, pre_tokenizers.Metaspace(), ["<pad>", "</s>", "<unk>"])
    tokenizer.decoder = decoders.Metaspace()
    return template(tokenizer, "$A </s>", "$A </s> $B </s>", ["</s>"])


def nmt(corpus):
    normal = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Strip(left=True, right=False)])
    tokenizer = unigram(corpus, normal, pre_tokenizers.Metaspace(prepend_scheme="first"), ["<unk>"])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return tokenizer


def xlnet(corpus):
    normal = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                                   normalizers.StripAccents(), normalizers.Lowercase()])
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer = unigram(corpus, normal, pre, ["<unk>", "<sep>", "<cls>"])
    tokenizer.decoder = decoders.Metaspace()
    return template(tokenizer, "$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2", ["<sep>", "<cls>"])


def unigram_bytes(corpus):
    tokenizer = unigram(corpus, None, pre_tokenizers.Metaspace(prepend_scheme="never"), ["<unk>"], byte_fallback=True)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    return tokenizer


def bpe_suffix(corpus):
    pre = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True),
                                   pre_tokenizers.Punctuation("contiguous")])
    normal = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents(),
                                   normalizers.Strip()])
    tokenizer = bpe(corpus, alphabet=[], limit=400, pre=pre, normal=normal, unk_token="<unk>",
                    end_of_word_suffix="</w>", trainer={"end_of_word_suffix": "</w>"})
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


def bpe_prefix(corpus):
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits()])
    tokenizer = bpe(corpus, alphabet=[], limit=300, pre=pre, unk_token="<unk>", fuse_unk=True,
                    continuing_subword_prefix="##", trainer={"continuing_subword_prefix": "##"})
    tokenizer.decoder = decoders.Sequence([decoders.WordPiece(), decoders.Replace(Regex("[aeiou]+"), "*"),
                                           decoders.Strip("*", 0, 1)])
    return tokenizer


def letters(corpus):
    """ByteLevel letters that the vocabulary lacks in part, and that a further step cuts."""
    pre = pre_tokenizers.Sequence([ByteLevel(add_prefix_space=True), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer = bpe(corpus, alphabet=[], limit=80, pre=pre)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def letters_normalized(corpus):
    """ByteLevel as a normalizer, and no decoder."""
    return bpe(corpus, normal=normalizers.ByteLevel(), pre=pre_tokenizers.Split(Regex(r"Ġ?[^Ġ]+|Ġ+"), "isolated"))


def splits(behavior, invert, pattern):
    def make(corpus):
        tokenizer = byte_level_bpe(corpus[:300], size=800, pre=ByteLevel(add_prefix_space=False))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(pattern, behavior, invert), ByteLevel(add_prefix_space=False, use_regex=False)])
        return tokenizer
    return make


# name: (maker, share of the lines)
TOKENIZERS = {make.__name__: (make, share) for make, share in
              [(bloom, 1.0), (gpt2, 1.0), (neox, 1.0), (roberta, 0.3), (gpt2_spaces, 0.3), (llama3, 1.0),
               (llama2, 1.0), (llama_first, 0.3), (bert, 1.0), (bert_cased, 0.3), (t5, 0.5), (nmt, 0.2), (xlnet, 0.3),
               (unigram_bytes, 0.2), (bpe_suffix, 0.3), (bpe_prefix, 0.3), (letters, 0.2),
               (letters_normalized, 0.2)]}
for number, (split_behavior, split_invert) in enumerate(itertools.product(
        ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"], [False, True])):
    split_pattern = [Regex(r"\s+|[a-e]"), "e", Regex(r"\p{P}"), " "][number % 4]
    TOKENIZERS[f"split_{split_behavior}{'_inverted' * split_invert}"] = (
        splits(split_behavior, split_invert, split_pattern), 0.1)

# With byte_fallback the package gives each byte of several unknown characters in a row the offsets of all of
# them; Bolide gives those of the byte's own character.
IDS_ONLY = {"unigram_bytes"}


# --- comparison ------------------------------------------------------------------------------------------------


class Checker:
    def __init__(self, bolide):
        self.bolide = bolide
        self.differences = 0
        self.panics = 0
        self.shown = {}

    def run(self, folder, flags, lines):
        command = [self.bolide, "tokenize", "--tokenizer-path", folder] + flags
        done = subprocess.run(command, input=b"\n".join(lines) + b"\n", stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}")
        out = done.stdout.split(b"\n")[:-1]
        if len(out) != len(lines):
            sys.exit(f"{' '.join(command)} gave {len(out)} lines for {len(lines)}")
        return out

    def equal(self, kind, given, want, got):
        if want == got:
            return
        self.differences += 1
        self.shown[kind] = self.shown.get(kind, 0) + 1
        if self.shown[kind] <= 3:
            print(f"DIFFERENT {kind}\n  input   {given!r}\n  package {want!r}\n  bolide  {got!r}")


def byte_offsets(text, encoding):
    """The package's offsets, which count characters, in bytes."""
    place = list(itertools.accumulate((len(c.encode()) for c in text), initial=0))
    return [[place[begin], place[end]] for begin, end in encoding]


def sequences(encoding):
    return [-1 if each is None else each for each in encoding.sequence_ids]


def compare_plain(check, name, tokenizer, folder, lines):
    ids = []
    for line, out in zip(lines, check.run(folder, [], lines)):
        want = tokenizer.encode(line.decode(errors="replace")).ids
        check.equal(f"{name}: ids", line, want, json.loads(out))
        ids.append(want)
    return ids


def compare_json(check, name, tokenizer, folder, inputs, special):
    flags = ["--json"] + ([] if special else ["--no-special-tokens"])
    for given, out in zip(inputs, check.run(folder, flags, [json.dumps(each).encode() for each in inputs])):
        got = json.loads(out)
        pair = isinstance(given, list)
        want = tokenizer.encode(*given, add_special_tokens=special) if pair else tokenizer.encode(
            given, add_special_tokens=special)
        kind = f"{name}: {'pair' if pair else 'text'}{'' if special else ' without special tokens'}"
        check.equal(kind + " ids", given, want.ids, got["ids"])
        check.equal(kind + " type ids", given, want.type_ids, got["type_ids"])
        ids = sequences(want)
        if any(each >= 0 for each in ids):  # the package leaves them out where there is no post-processor
            check.equal(kind + " sequence", given, ids, got["sequence"])
        if name in IDS_ONLY or want.ids != got["ids"]:
            continue
        texts = given if pair else [given]
        offsets = []
        for which, (begin, end) in zip(got["sequence"], want.offsets):
            text = texts[max(which, 0)]
            offsets += byte_offsets(text, [(begin, end)])
        check.equal(kind + " offsets", given, offsets, got["offsets"])


def compare_decode(check, name, tokenizer, folder, lists, skip):
    flags = ["--decode", "--json"] + ([] if skip else ["--keep-special-tokens"])
    for ids, out in zip(lists, check.run(folder, flags, [json.dumps(ids).encode() for ids in lists])):
        try:
            want = tokenizer.decode(ids, skip_special_tokens=skip)
        except BaseException as error:  # the package's Strip panics where there is nothing left to strip
            if "PanicException" not in type(error).__name__:
                raise
            check.panics += 1
            continue
        check.equal(f"{name}: decoded text", ids, want, json.loads(out))


def compare(check, name, make, corpus, lines, texts, folder):
    tokenizer = make(corpus)
    tokenizer.add_tokens(added_tokens())
    os.makedirs(folder)
    tokenizer.save(os.path.join(folder, "tokenizer.json"))
    tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    ids = compare_plain(check, name, tokenizer, folder, lines)
    pairs = [list(each) for each in zip(texts[0::3], texts[1::3])]
    compare_json(check, name, tokenizer, folder, texts + pairs, True)
    compare_json(check, name, tokenizer, folder, texts[:200] + pairs[:200], False)
    compare_decode(check, name, tokenizer, folder, ids, True)
    r = random.Random(7)
    known = sorted(tokenizer.get_vocab().values())
    noise = [[r.choice(known) for _ in range(r.randint(0, 12))] for _ in range(1000)]
    compare_decode(check, name, tokenizer, folder, noise + ids[:500], False)
    return tokenizer


def compare_files(check, corpus, lines, folder):
    """vocab.json with merges.txt, read as GPT-2's."""
    source = byte_level_bpe(corpus, special=["<|endoftext|>"], pre=ByteLevel(add_prefix_space=False))
    os.makedirs(folder)
    source.model.save(folder)
    tokenizer = Tokenizer(models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt")))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=True)])
    ids = compare_plain(check, "vocab.json", tokenizer, folder, lines)
    compare_decode(check, "vocab.json", tokenizer, folder, ids, True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bolide", required=True)
    parser.add_argument("--lines", type=int, default=20000)
    parser.add_argument("--only", help="the name of one tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    started = time.time()
    generator = Lines(args.seed, [token.content for token in added_tokens()] + ["<s>", "[SEP]", "</s>", "<|endoftext|>"])
    training = Lines(args.seed + 1, ["and"])
    corpus = [training.line().decode() for _ in range(1200)]
    lines = [generator.line(invalid=number % 5 == 0) for number in range(args.lines)]
    # A line of input ends at a line break, and CR LF is one: such texts go through --json.
    lines = [line.rstrip(b"\r").replace(b"\n", b" ") for line in lines]
    texts = [generator.line(breaks=True).decode() for _ in range(max(args.lines // 20, 1))]

    check = Checker(args.bolide)
    compared = 0
    with tempfile.TemporaryDirectory() as root:
        for name, (make, share) in TOKENIZERS.items():
            if args.only and name != args.only:
                continue
            some = lines[:int(len(lines) * share)]
            compare(check, name, make, corpus, some, texts[:int(len(texts) * share)], os.path.join(root, name))
            compared += len(some)
        if not args.only or args.only == "vocab.json":
            compare_files(check, corpus, lines[:len(lines) // 4], os.path.join(root, "vocab.json"))
    print(f"tokenizers {tokenizers.__version__}: {len(TOKENIZERS)} tokenizers, {len(lines)} lines, {compared} encodings, "
          f"{check.differences} differences, {check.panics} panics of the package, {time.time() - started:.1f} s")
    for kind, count in sorted(check.shown.items()):
        print(f"  {count} {kind}")
    return 1 if check.differences else 0


if __name__ == "__main__":
    sys.exit(main())
