#!/usr/bin/env python3
"""Makes tests/golden: tiny random checkpoints with the logits and greedy ids of Hugging Face.

    python tools/make_golden.py --output tests/golden [--only NAME ...]

Needs torch, transformers, tokenizers and safetensors. Each case is a folder that holds a checkpoint as Hugging Face
or bigscience would publish it, and

    golden.json         {"prompts": [[id]], "greedy_ids": [[id]], "leads": [[x]], "min_margin": x, ...}
    logits.safetensors  tensors "0", "1", ...: float32 [tokens, vocab], one for each prompt

The cases are in golden_cases.py. A lead is how far a chosen id's logit is above the second best, in units of the row's root mean square. configs.json holds
what transformers reads in variants of config.json and generation_config.json.

Both are recorded from the folder itself, read back through from_pretrained, with the stored weights widened to
float32 and eager attention. Weights are redrawn until every greedy choice leads the second best by MIN_MARGIN, so
that comparing ids exactly is a test of the engine and not of rounding.
"""

import argparse
import json
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import numpy
import safetensors
import safetensors.torch
import tokenizers
import torch
import transformers
from golden_cases import BIGSCIENCE_KEYS, CASES, FAMILY_CASES
from transformers import BloomConfig, BloomForCausalLM

NEW_TOKENS = 24
MIN_MARGIN = 1e-3
MIN_DISTINCT = 5  # a continuation with fewer different ids would hide faults of the later positions
EOS_ID = 2

TOKENIZER_TEXT = [
    "The red kite flew over the old mill, and Mia ran after it as fast as she could.",
    "Tom counted three apples, then four pears; in all he had seven pieces of fruit.",
    "\"Where is the key?\" asked Anna. \"It's under the mat,\" said her brother Ben.",
    "On Monday it rained. On Tuesday the sun shone again, and they'd gone to the lake.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Où est le café ? 東京 日本語 🙂",
]


def draw_model(case, seed):
    """A model whose every parameter matters: biases and norms are random too, and nothing is near zero."""
    torch.manual_seed(seed)
    config = BloomConfig(vocab_size=case.vocab, hidden_size=case.hidden, n_layer=case.layers, n_head=case.heads,
                         apply_residual_connection_post_layernorm=case.residual_post_norm, hidden_dropout=0.0,
                         attention_dropout=0.0, bos_token_id=1, eos_token_id=EOS_ID, pad_token_id=3,
                         tie_word_embeddings=not case.head_apart)
    model = BloomForCausalLM(config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "layernorm" in name or "ln_f" in name:
                value.normal_(1.0 if name.endswith("weight") else 0.0, 0.3)
                if name.endswith("weight"):
                    # With positive weights the tied head echoes the last token for ever.
                    value.mul_(torch.randint(0, 2, value.shape) * 2 - 1)
            elif name.endswith("bias"):
                value.normal_(0.0, 0.3)
            elif "word_embeddings" in name:
                value.normal_(0.0, 0.5)
            else:
                # sqrt(fan_in) keeps activations near 1 at any width; 2 makes attention choose and outweigh the input.
                value.normal_(0.0, 2.0 / value.shape[1] ** 0.5)
    return model.to(case.dtype)


def stored_tensors(case, model):
    """The tensors under the names that this case's file uses."""
    tensors = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and not case.head_apart:
            continue
        tensors[name if case.prefix else name.removeprefix("transformer.")] = value.detach()
    if case.lm_head:
        embedding = "transformer.word_embeddings.weight" if case.prefix else "word_embeddings.weight"
        head = tensors[embedding] if case.embedding else tensors.pop(embedding)
        # In a pickle the head shares the embedding's storage, as torch.save writes tied weights;
        # safetensors cannot share.
        tensors["lm_head.weight"] = head if case.container == "bin" else head.clone()
    if case.buffers:
        tensors["transformer.h.0.self_attention.scale_mask_softmax.causal_mask"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    if case.container == "bin":
        share_storage(tensors)
    return tensors


def share_storage(tensors):
    """Makes the norms views into one storage: torch.save then writes offsets other than 0."""
    names = [name for name in tensors if "layernorm" in name or "ln_f" in name]
    flat = torch.cat([tensors[name] for name in names])
    begin = 0
    for name in names:
        end = begin + tensors[name].numel()
        tensors[name] = flat[begin:end]
        begin = end


def split_shards(tensors, count):
    """Deals the tensors out in order, so that one layer's parts lie in different files."""
    names = list(tensors)
    per_shard = -(-len(names) // count)
    return [{name: tensors[name] for name in names[i:i + per_shard]} for i in range(0, len(names), per_shard)]


def write_weights(case, model, folder):
    tensors = stored_tensors(case, model)
    is_bin = case.container == "bin"
    stem, suffix = ("pytorch_model", "bin") if is_bin else ("model", "safetensors")
    shards = split_shards(tensors, case.shards)
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"{stem}.{suffix}" if case.shards == 1 else f"{stem}-{i + 1:05}-of-{len(shards):05}.{suffix}"
        if is_bin:
            torch.save(shard, folder / name)
        else:
            safetensors.torch.save_file({k: v.contiguous() for k, v in shard.items()}, folder / name, {"format": "pt"})
        weight_map.update(dict.fromkeys(shard, name))
    if case.shards > 1:
        if case.loose_index:
            weight_map["lm_head.weight"] = name
            del weight_map["transformer.ln_f.bias"]
        total = sum(value.numel() * value.element_size() for value in tensors.values())
        write_json(folder / f"{stem}.{suffix}.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_config(case, folder):
    hidden_key, heads_key, layers_key = case.keys
    config = {
        "architectures": ["BloomForCausalLM"],
        "model_type": "bloom",
        "apply_residual_connection_post_layernorm": case.residual_post_norm,
        "attention_dropout": 0.0,
        "hidden_dropout": 0.0,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-5,
        hidden_key: case.hidden,
        heads_key: case.heads,
        layers_key: case.layers,
        "vocab_size": case.vocab,
        "unk_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": EOS_ID,
        "pad_token_id": 3,
        "torch_dtype": str(case.dtype).removeprefix("torch."),
        "use_cache": True,
    }
    config.update(case.contradicts)
    if case.says_tied is not None:
        config["tie_word_embeddings"] = case.says_tied
    if case.keys == BIGSCIENCE_KEYS:
        # Keys that bigscience's files carry and that say nothing about the graph.
        config.update({"attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "masked_softmax_fusion": True,
                       "n_inner": None, "offset_alibi": 100, "pretraining_tp": 2, "seq_length": 2048,
                       "skip_bias_add": True, "skip_bias_add_qkv": False, "slow_but_exact": False})
    write_json(folder / "config.json", config)


def write_tokenizer(case, folder):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(r" ?[^(\s|[.,!?…。,、।۔،])]+"), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=case.vocab, special_tokens=["<unk>", "<s>", "</s>", "<pad>"], show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TOKENIZER_TEXT, trainer)
    if tokenizer.get_vocab_size() != case.vocab:
        raise SystemExit(f"{case.name}: the tokenizer has {tokenizer.get_vocab_size()} ids, not {case.vocab}")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False, "unk_token": "<unk>",
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"})
    return tokenizer


def draw_prompts(case, seed, tokenizer):
    if tokenizer is not None:
        return [tokenizer.encode(text).ids for text in TOKENIZER_TEXT[::2]]
    rng = numpy.random.default_rng(seed)
    return [rng.integers(4, case.vocab, size=length).tolist() for length in case.lengths]


@torch.no_grad()
def record(model, prompts):
    """Logits of every prompt, greedy ids with their leads, and the smallest lead that a chosen id had, as it is."""
    logits, greedy, leads, margin = {}, [], [], float("inf")
    for index, prompt in enumerate(prompts):
        ids, new, lead = list(prompt), [], []
        for _ in range(NEW_TOKENS):
            rows = model(torch.tensor([ids]), use_cache=False).logits[0]
            if not new:
                logits[str(index)] = rows.float().clone()
            best = torch.topk(rows[-1], 2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            lead.append(round((best.values[0] - best.values[1]).item() / rows[-1].square().mean().sqrt().item(), 4))
            new.append(best.indices[0].item())
            ids.append(new[-1])
        greedy.append(new)
        leads.append(lead)
    return logits, greedy, leads, margin


def load(folder, **options):
    model = BloomForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **options)
    return model.eval()


def is_telling(greedy, margin):
    return (margin >= MIN_MARGIN and all(EOS_ID not in ids for ids in greedy)
            and all(len(set(ids)) >= MIN_DISTINCT for ids in greedy))


def check_loaded(case, folder, drawn):
    """from_pretrained fills what it does not find with random numbers; a case must not rest on that."""
    loaded = load(folder)
    want = drawn.float().state_dict()
    for name, value in loaded.state_dict().items():
        if not torch.equal(value, want[name]):
            raise SystemExit(f"{case.name}: {name} read back from {folder} is not what was written")
    return loaded


def make_case(case, output):
    folder = output / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tokenizer = write_tokenizer(case, folder) if case.tokenizer else None
    write_config(case, folder)
    for seed in range(1, 400):
        prompts = draw_prompts(case, seed, tokenizer)
        model = draw_model(case, seed)
        wide = draw_model(case, seed).float()
        wide.set_attn_implementation("eager")
        _, greedy, _, margin = record(wide, prompts)
        if is_telling(greedy, margin):
            break
    else:
        raise SystemExit(f"{case.name}: no seed gives greedy ids with a margin of {MIN_MARGIN}")
    write_weights(case, model, folder)
    logits, greedy, leads, margin = record(check_loaded(case, folder, model), prompts)
    if not is_telling(greedy, margin):
        raise SystemExit(f"{case.name}: the model read back behaves differently from the one drawn")
    safetensors.torch.save_file(logits, folder / "logits.safetensors")
    write_json(folder / "golden.json", {"prompts": prompts, "greedy_ids": greedy, "leads": leads, "seed": seed,
                                        "min_margin": round(margin, 6)})
    spread = torch.cat(list(logits.values())).std().item()
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{case.name:40} seed {seed:3}  margin {margin:.4f}  logits std {spread:6.2f}  {size / 1024:6.0f} KiB")
    return {"name": case.name, "heads": case.heads, "head_size": case.head_size, "layers": case.layers,
            "vocab": case.vocab, "data_type": str(case.dtype).removeprefix("torch."),
            "residual_post_norm": case.residual_post_norm, "container": case.container, "shards": case.shards,
            "prefix": case.prefix, "lm_head": case.lm_head, "head_apart": case.head_apart, "tokenizer": case.tokenizer,
            "warns": bool(case.contradicts) or (case.head_apart and case.says_tied is not False)}


def draw_family_model(case, seed):
    """As draw_model() draws BLOOM."""
    torch.manual_seed(seed)
    model_class = getattr(transformers, case.model_class)
    model = model_class(model_class.config_class(bos_token_id=1, eos_token_id=EOS_ID, pad_token_id=3, **case.config)).eval()
    conv1d = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, transformers.pytorch_utils.Conv1D)}
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.normal_(0.0, 0.3)
            elif value.dim() == 1:
                value.normal_(1.0, 0.3).mul_(torch.randint(0, 2, value.shape) * 2 - 1)
                if case.model_class.startswith("Gemma"):
                    value.sub_(1.0)  # these count from 1
            elif value is model.get_input_embeddings().weight or "wpe" in name or "embed_positions" in name:
                value.normal_(0.0, 0.5)
            else:
                value.normal_(0.0, case.gain / value.shape[0 if name in conv1d else 1] ** 0.5)
    return model.to(case.dtype)


@torch.no_grad()
def record_cached(load_model, prompts):
    """As record(), with a cache, by which dynamic rotary positions differ; each prompt with a model that has seen no other."""
    logits, greedy, leads, margin = {}, [], [], float("inf")
    for index, prompt in enumerate(prompts):
        model = load_model()
        step = model(torch.tensor([prompt]), use_cache=True)
        logits[str(index)] = step.logits[0].float().clone()
        new, lead = [], []
        for _ in range(NEW_TOKENS):
            row = step.logits[0, -1]
            best = torch.topk(row, 2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            lead.append(round((best.values[0] - best.values[1]).item() / row.square().mean().sqrt().item(), 4))
            new.append(best.indices[0].item())
            step = model(torch.tensor([[new[-1]]]), past_key_values=step.past_key_values, use_cache=True)
        greedy.append(new)
        leads.append(lead)
    return logits, greedy, leads, margin


def make_family_case(case, output):
    folder = output / case.name
    model_class = getattr(transformers, case.model_class)
    for seed in range(1, 400):
        rng = numpy.random.default_rng(seed)
        prompts = [rng.integers(4, case.config["vocab_size"], size=length).tolist() for length in case.lengths]
        shutil.rmtree(folder, ignore_errors=True)
        draw_family_model(case, seed).save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        logits, greedy, leads, margin = record_cached(
            lambda: model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval(), prompts)
        if is_telling(greedy, margin):
            break
    else:
        raise SystemExit(f"{case.name}: no seed gives greedy ids with a margin of {MIN_MARGIN}")
    safetensors.torch.save_file(logits, folder / "logits.safetensors")
    write_json(folder / "golden.json", {"prompts": prompts, "greedy_ids": greedy, "leads": leads, "seed": seed,
                                        "min_margin": round(margin, 6)})
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{case.name:40} seed {seed:3}  margin {margin:.4f}  {size / 1024:6.0f} KiB")
    return {"name": case.name, "model_class": case.model_class, "config": case.config,
            "data_type": str(case.dtype).removeprefix("torch."), "ft": case.ft, "warns": False}


def read_by_transformers(config, generation_config):
    """What transformers makes of these two texts; None where it refuses them, or would only later."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("config.json", config), ("generation_config.json", generation_config)):
            if text is not None:
                (Path(folder) / name).write_text(text)
        try:
            read = transformers.AutoConfig.from_pretrained(folder)
            model = BloomForCausalLM(read)
            model.adjust_generation_fn(None, False, False, folder, None, False, None, True, None, "main", "", False)
            tokens, _ = model._prepare_generation_config(None)
            model._prepare_special_tokens(tokens, device="cpu")
        except Exception:  # of any type
            return None
        ends = [] if tokens._eos_token_tensor is None else tokens._eos_token_tensor.tolist()
        return {"hidden_size": read.hidden_size, "n_layer": read.n_layer, "n_head": read.n_head,
                "inner_size": model.transformer.h[0].mlp.dense_h_to_4h.out_features,
                "bos_token_id": -1 if read.bos_token_id is None else read.bos_token_id,
                "eos_token_ids": list(dict.fromkeys(id for id in ends if 0 <= id < read.vocab_size)),  # others never come
                "layer_norm_epsilon": read.layer_norm_epsilon}


def record_configs(output):
    plain = {"architectures": ["BloomForCausalLM"], "model_type": "bloom", "vocab_size": 200, "hidden_size": 48,
             "n_layer": 2, "n_head": 4, "layer_norm_epsilon": 1e-5, "bos_token_id": 1, "eos_token_id": EOS_ID,
             "pad_token_id": 3}
    cases = []

    def add(name, changes, generation_config=None, without=(), first=(), contradicts=False):
        config = {key: value for key, value in {**plain, **changes}.items() if key not in without}
        config = {**{key: config[key] for key in first}, **config}
        text = json.dumps(config)
        cases.append({"name": name, "config": text, "contradicts": contradicts,
                      "transformers": read_by_transformers(text, generation_config)})
        if generation_config is not None:
            cases[-1]["generation_config"] = generation_config

    for one, other, values in (("n_head", "num_attention_heads", (8, 4)), ("n_layer", "num_hidden_layers", (3, 2)),
                               ("hidden_size", "n_embed", (64, 48))):
        both = {one: values[0], other: values[1]}
        add(f"{one} first, {other} second", both, first=(one, other), contradicts=True)
        add(f"{other} first, {one} second", both, first=(other, one), contradicts=True)
        add(f"{one} and {other} agree", {one: values[1], other: values[1]})
        add(f"{other} alone", {other: values[1]}, without=(one,))
    add("n_embed null", {"n_embed": None})
    add("n_inner null", {"n_inner": None})
    add("n_inner of another size", {"n_inner": 100}, contradicts=True)
    add("hidden_act relu", {"hidden_act": "relu"}, contradicts=True)
    add("offset_alibi, pretraining_tp, slow_but_exact", {"offset_alibi": 100, "pretraining_tp": 4, "slow_but_exact": True}, contradicts=True)
    add("an epsilon of its own", {"layer_norm_epsilon": 1e-3})
    add("no epsilon", {}, without=("layer_norm_epsilon",))
    add("no begin id", {"bos_token_id": None})
    add("begin id not said", {}, without=("bos_token_id",))
    for key, value in (("n_layer", 2.9), ("n_layer", 2.0), ("n_layer", True), ("n_layer", "2"), ("vocab_size", 1e300),
                       ("eos_token_id", True), ("eos_token_id", 2.0), ("eos_token_id", "2"), ("eos_token_id", [2, 2.5]),
                       ("bos_token_id", [1]), ("layer_norm_epsilon", "1e-5"), ("layer_norm_epsilon", True),
                       ("tie_word_embeddings", 1)):
        add(f"{key} {json.dumps(value)}", {key: value})
    for name, ends in (("5", 5), ("a list", [5, 6]), ("null", None), ("an empty list", [])):
        add(f"end id {name} in config.json", {"eos_token_id": ends})
        for other in (7, [8, 9], None):
            add(f"end id {name} in config.json, {other} in generation_config.json", {"eos_token_id": ends},
                json.dumps({"eos_token_id": other}), contradicts=other is None and bool(ends))
        add(f"end id {name} in config.json, none in generation_config.json", {"eos_token_id": ends}, '{"bos_token_id": 1}',
            contradicts=bool(ends))
        for text in ("", "{", "<html></html>", "version https://git-lfs.github.com/spec/v1\n"):
            add(f"end id {name} in config.json beside {text!r}", {"eos_token_id": ends}, text, contradicts=True)
        add(f"end id {name} in config.json beside a list", {"eos_token_id": ends}, "[]")
    add("end id not said", {}, without=("eos_token_id",))
    add("end id not said in config.json", {}, '{"eos_token_id": 7}', without=("eos_token_id",))
    add("end id twice", {"eos_token_id": [5, 5, 6]})
    for outside in (-1, 200, [5, -1], [5, 1000000]):
        add(f"end id {outside}", {"eos_token_id": outside}, contradicts=True)
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    (output / "configs.json").write_text(json.dumps({"made_by": "tools/make_golden.py", "versions": versions}, indent=1)[:-2]
                                         + ',\n "cases": [\n  ' + ",\n  ".join(map(json.dumps, cases)) + "\n ]\n}\n")
    print(f"configs.json: {len(cases)} cases, {sum(case['transformers'] is None for case in cases)} refused")


def write_json(path, value):
    text = json.dumps(value, indent=1)
    if path.name == "golden.json":
        text = json.dumps(value, separators=(",", ":"))
    path.write_text(text + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("tests/golden"), metavar="DIR")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="make these cases alone, and renew their rows of manifest.json")
    args = parser.parse_args()
    known = {case.name for case in [*CASES, *FAMILY_CASES]}
    if unknown := set(args.only or ()) - known:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__, "safetensors": safetensors.__version__, "numpy": numpy.__version__}
    path = args.output / "manifest.json"
    before = json.loads(path.read_text(encoding="utf-8")) if args.only and path.exists() else {}
    recorded = before.get("versions", versions)  # one row may be of several versions, in words
    if any(version not in recorded[name] for name, version in versions.items()):
        parser.error(f"{path} is of {recorded}, and here are {versions}: make all cases again, without --only")
    torch.set_num_threads(1)  # sums are then taken in one order on every machine of a kind
    rows = [make_case(case, args.output) for case in CASES if not args.only or case.name in args.only]
    families = [make_family_case(case, args.output) for case in FAMILY_CASES if not args.only or case.name in args.only]
    if not args.only:
        record_configs(args.output)
    made = {row["name"]: row for row in [*before.get("cases", ()), *before.get("families", ()), *rows, *families]}
    write_json(path, {"made_by": "tools/make_golden.py", "new_tokens": NEW_TOKENS, "min_margin": MIN_MARGIN, "versions": recorded,
                      "cases": [made[case.name] for case in CASES if case.name in made],
                      "families": [made[case.name] for case in FAMILY_CASES if case.name in made]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
