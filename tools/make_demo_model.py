#!/usr/bin/env python3
"""Makes examples/demo: a BLOOM model that tells and understands little stories, and a last-word test for it.

    python tools/make_demo_model.py --output examples/demo

Needs torch, transformers, tokenizers, safetensors and numpy; some minutes on a GPU, a day or two on a CPU at the
default number of steps. The stories come from tools/demo_world, endlessly and by seed. Written are

    model/             a Hugging Face folder: float16 safetensors, byte-level BPE in BLOOM's form
    lambada.jsonl      held-out stories in LAMBADA's form, {"text": ...}, cut after a word that the story implies
    lambada_hf.jsonl   Hugging Face's float32 greedy prediction on each line, from the stored weights
    accuracy.json      the same, counted

`--record-only` does the last two again from the files that are there.
"""

import argparse
import collections
import json
import math
import multiprocessing
import sys
import time
from pathlib import Path

import numpy
import safetensors.torch
import tokenizers
import torch
import transformers
from transformers import BloomConfig, BloomForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
import demo_world  # noqa: E402  (beside this script, not installed)

EOS_ID = 2
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>", "<pad>"]
# The pattern that BLOOM's tokenizer.json splits by.
SPLIT_PATTERN = " ?[^(\\s|[.,!?…。,、।۔،])]+"
ROW_TOKENS = 256
CHUNK_ROWS = 512
STORIES_PER_CHUNK = CHUNK_ROWS * 4  # seeds set apart for a chunk; about 2.5 stories fill a row
TOKENIZER_SEED = 1 << 40  # far from the chunks' seeds, as are those of the held-out set
HELD_OUT_SEED = 1 << 41

_tokenizer = None  # of a worker process


def train_tokenizer(vocab_size, stories):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(SPLIT_PATTERN), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.post_processor = tokenizers.processors.ByteLevel(add_prefix_space=True, trim_offsets=False,
                                                               use_regex=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel(add_prefix_space=True, trim_offsets=True, use_regex=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    texts = (demo_world.story(TOKENIZER_SEED + i).text for i in range(stories))
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def init_worker(tokenizer_json):
    global _tokenizer
    _tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)


def make_rows(chunk):
    """CHUNK_ROWS rows of whole stories, each ended by </s>. A row begins with a story, as a prompt does, and what
    does not fit into it is dropped."""
    rows = numpy.zeros((CHUNK_ROWS, ROW_TOKENS), dtype=numpy.uint16)
    seed = chunk * STORIES_PER_CHUNK
    for row in rows:
        filled = 0
        while filled < ROW_TOKENS:
            story = demo_world.story(seed)
            seed += 1
            if story.held_out:
                continue
            ids = (_tokenizer.encode(story.text).ids + [EOS_ID])[:ROW_TOKENS - filled]
            row[filled:filled + len(ids)] = ids
            filled += len(ids)
    return rows


def batches(pool, rows_per_batch, steps):
    chunks = math.ceil(steps * rows_per_batch / CHUNK_ROWS)
    left = numpy.zeros((0, ROW_TOKENS), dtype=numpy.uint16)
    for rows in pool.imap(make_rows, range(chunks)):
        left = numpy.concatenate([left, rows])
        while len(left) >= rows_per_batch:
            yield torch.from_numpy(left[:rows_per_batch].astype(numpy.int64))
            left = left[rows_per_batch:]


def make_held_out(count):
    """Held-out lines, every plot as often as chance has it."""
    texts, seed = {}, HELD_OUT_SEED
    while len(texts) < count:
        story = demo_world.story(seed)
        seed += 1
        if story.held_out:
            texts[story.question] = story.plot
    return list(texts.items())


def split_target(text):
    """The target is the last word with its leading blank."""
    at = text.rindex(" ")
    return text[:at], text[at:]


def encode_case(tokenizer, text):
    encoding = tokenizer.encode(*split_target(text))
    ids, types = encoding.ids, encoding.type_ids
    return [i for i, t in zip(ids, types) if t == 0], [i for i, t in zip(ids, types) if t == 1]


@torch.no_grad()
def quick_accuracy(model, tokenizer, cases, device):
    """Greedy ids match a target if and only if each of its ids is the best one after those before it: one pass."""
    right = 0
    for begin in range(0, len(cases), 64):
        pairs = [encode_case(tokenizer, text) for text, _ in cases[begin:begin + 64]]
        width = max(len(p) + len(t) for p, t in pairs)
        batch = torch.tensor([p + t + [EOS_ID] * (width - len(p) - len(t)) for p, t in pairs], device=device)
        best = model(batch, use_cache=False).logits.argmax(-1).tolist()
        right += sum(row[len(p) - 1:len(p) + len(t) - 1] == t for row, (p, t) in zip(best, pairs))
    return right / len(cases)


def new_model(args):
    torch.manual_seed(args.seed)
    return BloomForCausalLM(BloomConfig(
        vocab_size=args.vocab, hidden_size=args.hidden, n_layer=args.layers, n_head=args.heads, hidden_dropout=0.0,
        attention_dropout=0.0, bos_token_id=1, eos_token_id=EOS_ID, pad_token_id=3, use_cache=True))


def alibi_bias(heads, length, device, dtype):
    """[1, heads, length, length]: -slope * distance to the left, no view to the right. With a power of two of heads
    and rows of up to 256 tokens every value is exact in bfloat16."""
    if heads & (heads - 1):
        raise SystemExit(f"--heads {heads}: training needs a power of two")
    slopes = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1, device=device))
    at = torch.arange(length, device=device)
    distance = (at[None, :] - at[:, None]).float()
    bias = slopes[:, None, None] * distance
    return bias.masked_fill(distance > 0, float("-inf")).to(dtype)[None]


def fused_logits(model, ids, bias):
    """The forward pass of BloomForCausalLM on its own modules, with fused attention. Transformers adds ALiBi to the
    scores in the working precision, which in bfloat16 drowns the scores of far positions; here it is added in float32
    inside the kernel."""
    batch, length = ids.shape
    body = model.transformer
    hidden = body.word_embeddings_layernorm(body.word_embeddings(ids))
    for block in body.h:
        attention, mlp = block.self_attention, block.mlp
        qkv = attention.query_key_value(block.input_layernorm(hidden))
        query, key, value = qkv.view(batch, length, model.config.n_head, 3, -1).permute(3, 0, 2, 1, 4)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        hidden = hidden + attention.dense(mixed.transpose(1, 2).reshape(batch, length, -1))
        inner = mlp.dense_h_to_4h(block.post_attention_layernorm(hidden))
        hidden = hidden + mlp.dense_4h_to_h(torch.nn.functional.gelu(inner, approximate="tanh"))
    return model.lm_head(body.ln_f(hidden))


def save_model(model, tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to("cpu", torch.float16).contiguous()
               for name, value in model.state_dict().items() if name != "lm_head.weight"}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = model.config
    write_json(folder / "config.json", {
        "architectures": ["BloomForCausalLM"], "model_type": "bloom",
        "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0, "hidden_dropout": 0.0,
        "hidden_size": config.hidden_size, "n_head": config.n_head, "n_layer": config.n_layer,
        "initializer_range": config.initializer_range, "layer_norm_epsilon": config.layer_norm_epsilon,
        "vocab_size": config.vocab_size, "bos_token_id": 1, "eos_token_id": EOS_ID, "pad_token_id": 3,
        "unk_token_id": 0, "torch_dtype": "float16", "use_cache": True})
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("unk_token", "bos_token", "eos_token", "pad_token"), SPECIAL_TOKENS))
    write_json(folder / "special_tokens_map.json", names)
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False,
        "clean_up_tokenization_spaces": False, "padding_side": "left", **names})


def train(args, tokenizer, cases, pool):
    device = torch.device(args.device)
    model = new_model(args).to(device).train()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters on {device}", flush=True)
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
                                  lr=args.learning_rate, betas=(0.9, 0.95), fused=device.type == "cuda")
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    bias = alibi_bias(args.heads, ROW_TOKENS, device, half)
    check_fused(model, bias.float())

    def loss_of(batch):
        with torch.autocast(device.type, dtype=half, enabled=half != torch.float32):
            logits = fused_logits(model, batch, bias)
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten())

    forward = torch.compile(loss_of) if args.compile else loss_of
    begin = time.monotonic()
    losses = []
    for step, batch in enumerate(batches(pool, args.batch_rows, args.steps)):
        seconds = time.monotonic() - begin
        # Whichever limit is nearer drives the schedule, so that a run cut by the clock still ends at a low rate.
        done = max(step / args.steps, seconds / (args.minutes * 60)) if args.minutes else step / args.steps
        if done >= 1:
            break
        rate = args.learning_rate * min(1, (step + 1) / args.warmup) * (0.03 + 0.97 * (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = batch.to(device, non_blocking=True)
        loss = forward(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step == 0:
            print(f"first step took {time.monotonic() - begin:.0f} s, loss {loss.item():.3f}", flush=True)
            begin = time.monotonic()  # the first step may have compiled for long
        losses.append(loss.detach())
        if (step + 1) % 100 == 0:
            mean = torch.stack(losses).mean().item()
            losses.clear()
            print(f"step {step + 1} loss {mean:.4f} rate {rate:.2e} {time.monotonic() - begin:.0f} s", flush=True)
        if (step + 1) % args.save_every == 0:
            report(model, tokenizer, cases, device, args)
    report(model, tokenizer, cases, device, args)
    return model


@torch.no_grad()
def check_fused(model, bias):
    ids = torch.arange(4, 4 + ROW_TOKENS, device=bias.device)[None] % model.config.vocab_size
    want = model(ids, use_cache=False).logits
    error = ((fused_logits(model, ids, bias) - want).norm() / want.norm()).item()
    print(f"fused forward pass against transformers: relative error {error:.1e}", flush=True)
    if error > 1e-3:  # tf32 may be on; a wrong pass is off by tens of percent
        raise SystemExit("the fused forward pass is not BLOOM's")


def report(model, tokenizer, cases, device, args):
    save_model(model, tokenizer, args.output / "model")
    model.eval()
    print(f"accuracy so far {quick_accuracy(model, tokenizer, cases[:400], device):.4f}", flush=True)
    model.train()


@torch.no_grad()
def sample_story(model, tokenizer, prompt, seed, device="cpu", temperature=0.7, top_k=20, limit=160):
    generator = torch.Generator().manual_seed(seed)
    ids = list(tokenizer.encode(prompt).ids)
    for _ in range(limit):
        logits = model(torch.tensor([ids], device=device), use_cache=False).logits[0, -1].float().cpu() / temperature
        best = torch.topk(logits, top_k)
        pick = torch.multinomial(torch.softmax(best.values, 0), 1, generator=generator)
        ids.append(best.indices[pick].item())
        if ids[-1] == EOS_ID:
            break
    return tokenizer.decode(ids)


@torch.no_grad()
def record(folder):
    """Hugging Face's greedy ids in float32 from the stored weights, one case at a time, so that no padding matters,
    and as many as its target has: how many more a batch makes depends on its longest target."""
    torch.set_num_threads(1)  # a model this small gains nothing from more
    model = BloomForCausalLM.from_pretrained(folder / "model", dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    texts = [json.loads(line)["text"] for line in (folder / "lambada.jsonl").read_text().splitlines()]
    pairs = [encode_case(tokenizer, text) for text in texts]
    right = 0
    with (folder / "lambada_hf.jsonl").open("w") as out:
        for index, (prompt, target) in enumerate(pairs):
            step, cache, ids, margin = torch.tensor([prompt]), None, [], float("inf")
            while len(ids) < len(target):
                result = model(step, past_key_values=cache, use_cache=True)
                cache = result.past_key_values
                best = torch.topk(result.logits[0, -1], 2)
                margin = min(margin, (best.values[0] - best.values[1]).item())
                ids.append(best.indices[0].item())
                step = torch.tensor([[ids[-1]]])
            correct = ids == target
            right += correct
            out.write(json.dumps({"index": index, "prompt_ids": prompt, "target_ids": target, "predicted_ids": ids,
                                  "correct": correct, "margin": round(margin, 5)}, separators=(",", ":")) + "\n")
    common = collections.Counter(text.rsplit(" ", 1)[1] for text in texts).most_common(1)[0]
    write_json(folder / "accuracy.json", {
        "correct": right, "total": len(texts), "accuracy": round(100 * right / len(texts), 4),
        "most_frequent_word": common[0], "most_frequent_share": round(100 * common[1] / len(texts), 4),
        "data_type": "fp32", "weights_data_type": "fp16", "longest_target": max(len(target) for _, target in pairs),
        "targets_of_several_tokens": sum(len(target) > 1 for _, target in pairs),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                     "tokenizers": tokenizers.__version__}})
    print(f"accuracy {100 * right / len(texts):.4f}% ({right}/{len(texts)}), most frequent word {common}")


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("examples/demo"), metavar="DIR")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=10000)
    parser.add_argument("--minutes", type=float, default=0, help="end the training after this long (default: no limit)")
    parser.add_argument("--batch-rows", type=int, default=128, help=f"rows of {ROW_TOKENS} tokens a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--warmup", type=int, default=200)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--vocab", type=int, default=2560)
    parser.add_argument("--tokenizer-stories", type=int, default=60000)
    parser.add_argument("--held-out", type=int, default=800, help="lines of the last-word set")
    parser.add_argument("--samples", type=int, default=5, help="stories to print at the end")
    parser.add_argument("--workers", type=int, default=max(1, min(12, multiprocessing.cpu_count() - 2)))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="torch.compile the training step")
    parser.add_argument("--no-record", action="store_true", help="leave the slow recording to --record-only")
    parser.add_argument("--record-only", action="store_true")
    return parser.parse_args()


def main():
    args = parse_args()
    if args.record_only:
        record(args.output)
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    cases = make_held_out(args.held_out)
    with (args.output / "lambada.jsonl").open("w") as out:
        out.writelines(json.dumps({"text": text}) + "\n" for text, _ in cases)
    tokenizer = train_tokenizer(args.vocab, args.tokenizer_stories)
    # Forked before the first use of CUDA, which does not survive a fork.
    with multiprocessing.get_context("fork").Pool(args.workers, init_worker, (tokenizer.to_str(),)) as pool:
        model = train(args, tokenizer, cases, pool)
        pool.terminate()
    model.eval()
    device = torch.device(args.device)
    by_plot = collections.defaultdict(list)
    for case in cases:
        by_plot[case[1]].append(case)
    for plot, some in sorted(by_plot.items()):
        print(f"{plot:18} {quick_accuracy(model, tokenizer, some, device):.3f} of {len(some)}")
    print(f"all {quick_accuracy(model, tokenizer, cases, device):.4f}")
    for i in range(args.samples):
        prompt = ["Once upon a time", "This is", "Mia", "It was", "One fine"][i % 5]
        print(f"--- {sample_story(model, tokenizer, prompt, i, device)}")
    if not args.no_record:
        record(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
