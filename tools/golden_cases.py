"""The models of tests/golden, for make_golden.py.

CASES are BLOOM in all the ways in which it is published; FAMILY_CASES are the other families, as transformers saves them.
"""

from dataclasses import dataclass, field

import torch

# Lengths on both sides of a 16-token page boundary, and one that spans several pages.
LONG = (1, 5, 15, 16, 17, 33, 70)
SHORT = (1, 16, 23)

# How bigscience's own files (HF, BIGSCIENCE) and other writers (LONG_KEYS) name the sizes in config.json.
HF_KEYS = ("hidden_size", "n_head", "n_layer")
BIGSCIENCE_KEYS = ("n_embed", "num_attention_heads", "n_layer")
LONG_KEYS = ("hidden_size", "num_attention_heads", "num_hidden_layers")
TWIN_KEYS = ("n_embed", "num_attention_heads", "num_hidden_layers")  # which win over the others


@dataclass(frozen=True)
class Case:
    name: str
    heads: int
    head_size: int
    layers: int
    vocab: int
    dtype: torch.dtype = torch.float32
    residual_post_norm: bool = False
    container: str = "safetensors"  # or "bin"
    shards: int = 1
    prefix: bool = True  # "transformer." before every name
    lm_head: bool = False  # store the tied head as a second name
    embedding: bool = True  # False: of the tied pair the head's name alone, as safetensors' save_model keeps one of two
    head_apart: bool = False  # a head of its own
    says_tied: bool | None = None  # tie_word_embeddings in config.json; None: no such key
    buffers: bool = False  # causal masks beside the weights, as old versions wrote them
    loose_index: bool = False  # the index lists a tied head that no shard holds, and leaves a norm out
    keys: tuple = HF_KEYS
    contradicts: tuple = ()  # pairs of keys and values that keys of the other name overrule
    lengths: tuple = field(default=SHORT)
    tokenizer: bool = False

    @property
    def hidden(self):
        return self.heads * self.head_size


CASES = [
    Case("heads3_fp32", 3, 8, 2, 211, lengths=LONG),
    Case("heads3_postln_fp32", 3, 16, 2, 211, residual_post_norm=True, lengths=LONG),
    Case("heads12_fp32_sharded", 12, 4, 2, 157, shards=3, lengths=LONG),
    Case("heads12_postln_bf16", 12, 8, 1, 211, torch.bfloat16, residual_post_norm=True, lengths=LONG),
    Case("heads12_fp16_vocab1003", 12, 4, 2, 1003, torch.float16),
    Case("heads4_fp16_bin_sharded_bigscience", 4, 8, 3, 131, torch.float16, container="bin", shards=2,
         prefix=False, keys=BIGSCIENCE_KEYS, lengths=LONG),
    Case("heads3_bf16_bin_no_prefix", 3, 8, 2, 127, torch.bfloat16, container="bin", prefix=False,
         keys=BIGSCIENCE_KEYS),
    Case("heads4_fp32_bin_no_prefix_lm_head", 4, 8, 1, 101, container="bin", prefix=False, lm_head=True,
         keys=LONG_KEYS),
    Case("heads3_fp32_bin_prefix_lm_head", 3, 8, 1, 101, container="bin", lm_head=True),
    Case("heads6_postln_fp32_bin_prefix", 6, 4, 2, 101, container="bin", residual_post_norm=True),
    Case("heads4_fp32_lm_head_tokenizer", 4, 8, 2, 320, lm_head=True, tokenizer=True),
    Case("layers14_fp16", 2, 4, 14, 61, torch.float16, lengths=(3, 17)),
    Case("head_apart_though_tied", 2, 8, 1, 61, head_apart=True, says_tied=True),
    Case("head_apart_bf16_bin", 2, 8, 2, 61, torch.bfloat16, container="bin", prefix=False, head_apart=True),
    Case("head_apart_untied_fp16", 2, 8, 1, 61, torch.float16, head_apart=True, says_tied=False),
    Case("head_alone", 2, 8, 1, 61, lm_head=True, embedding=False),
    Case("twin_keys", 4, 4, 2, 61, keys=TWIN_KEYS, contradicts=(("hidden_size", 64), ("n_head", 8), ("n_layer", 30))),
    Case("buffers", 2, 8, 1, 61, buffers=True),
    Case("loose_index", 2, 8, 1, 61, shards=2, loose_index=True),
]

@dataclass(frozen=True)
class FamilyCase:
    name: str
    model_class: str
    config: dict
    dtype: torch.dtype = torch.float32
    lengths: tuple = field(default=SHORT)
    gain: float = 2.0  # of the matrices, see draw_model()
    ft: bool = False  # FT has files of this family, and room for this graph


def gpt2(heads, head_size, layers, **more):
    return {"vocab_size": 151, "n_head": heads, "n_embd": heads * head_size, "n_layer": layers, "n_positions": 128, **more}


def llama(heads, kv_heads, head_size, layers, rope, **more):
    return {"vocab_size": 151, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_size,
            "hidden_size": heads * min(head_size, 16), "intermediate_size": 40, "num_hidden_layers": layers,
            "max_position_embeddings": 32, "rope_parameters": {"rope_theta": 10000.0, **rope}, **more}


def opt(heads, head_size, layers, **more):
    return {"vocab_size": 151, "num_attention_heads": heads, "hidden_size": heads * head_size, "ffn_dim": 52,
            "num_hidden_layers": layers, "max_position_embeddings": 128, "word_embed_proj_dim": heads * head_size, **more}


def neox(heads, head_size, layers, **more):
    return {"vocab_size": 151, "num_attention_heads": heads, "hidden_size": heads * head_size, "intermediate_size": 56,
            "num_hidden_layers": layers, "max_position_embeddings": 128, **more}


def falcon(heads, head_size, layers, **more):
    return {"vocab_size": 151, "num_attention_heads": heads, "hidden_size": heads * head_size,
            "num_hidden_layers": layers, "max_position_embeddings": 128, "ffn_hidden_size": 52, **more}


PLAIN = {"rope_type": "default"}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 16, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0}
FAMILY_CASES = [
    FamilyCase("gpt2_fp32", "GPT2LMHeadModel", gpt2(3, 8, 2), lengths=LONG, ft=True),
    FamilyCase("gpt2_relu_inner_bf16", "GPT2LMHeadModel", gpt2(4, 8, 2, activation_function="relu", n_inner=52),
               torch.bfloat16, ft=True),
    FamilyCase("gpt2_scales_untied_fp16", "GPT2LMHeadModel",
               gpt2(2, 16, 3, activation_function="gelu", scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True,
                    tie_word_embeddings=False), torch.float16),
    # Lengths beyond max_position_embeddings, where the kinds of rotary positions differ.
    FamilyCase("llama_groups_fp32", "LlamaForCausalLM", llama(4, 2, 8, 2, {"rope_type": "default"}), lengths=LONG),
    FamilyCase("llama_one_kv_head_llama3_fp16", "LlamaForCausalLM",
               llama(6, 1, 16, 2, LLAMA3, attention_bias=True, mlp_bias=True, tie_word_embeddings=True), torch.float16,
               lengths=LONG),
    # With a gain of 2 the rounding of bf16 alone would be 5 %: a gate multiplies two rounded values.
    FamilyCase("llama_yarn_bf16", "LlamaForCausalLM",
               llama(4, 4, 8, 2, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}),
               torch.bfloat16, lengths=LONG, gain=1.0),
    FamilyCase("llama_linear_head80_fp32", "LlamaForCausalLM", llama(2, 1, 80, 1, {"rope_type": "linear", "factor": 3.0})),
    FamilyCase("llama_head256_gelu_fp16", "LlamaForCausalLM",
               llama(2, 2, 256, 1, {"rope_type": "default"}, hidden_act="gelu"), torch.float16),
    FamilyCase("llama_dynamic_fp32", "LlamaForCausalLM", llama(4, 2, 8, 2, {"rope_type": "dynamic", "factor": 4.0}),
               lengths=LONG),
    # Windows shorter than the prompts, as long as one of them, and longer than any; none.
    FamilyCase("mistral_window_fp32", "MistralForCausalLM",
               llama(4, 2, 8, 2, {"rope_type": "default"}, sliding_window=5), lengths=LONG),
    FamilyCase("mistral_one_kv_head_fp16", "MistralForCausalLM",
               llama(6, 1, 16, 2, {"rope_type": "default"}, sliding_window=16), torch.float16, lengths=LONG),
    FamilyCase("mistral_wide_fp32", "MistralForCausalLM",
               llama(3, 3, 20, 1, {"rope_type": "default"}, sliding_window=128, intermediate_size=48), lengths=LONG),
    FamilyCase("mistral_no_window_bf16", "MistralForCausalLM",
               llama(4, 4, 8, 2, {"rope_type": "default"}, sliding_window=None), torch.bfloat16, lengths=LONG,
               gain=1.0),
    FamilyCase("opt_fp32", "OPTForCausalLM", opt(3, 8, 2, ffn_dim=54), lengths=LONG, ft=True),
    # As 350m: post-norm blocks, no norm before the head, an embedding of its own width.
    FamilyCase("opt_postnorm_projected_fp32", "OPTForCausalLM",
               opt(4, 8, 2, do_layer_norm_before=False, word_embed_proj_dim=20), lengths=LONG),
    FamilyCase("opt_postnorm_gelu_fp16", "OPTForCausalLM",
               opt(2, 16, 2, do_layer_norm_before=False, activation_function="gelu_new"), torch.float16, ft=True),
    FamilyCase("opt_no_bias_bare_norms_projected_fp16", "OPTForCausalLM",
               opt(6, 4, 3, enable_bias=False, layer_norm_elementwise_affine=False, word_embed_proj_dim=40,
                   activation_function="gelu"), torch.float16),
    FamilyCase("opt_no_final_norm_untied_bf16", "OPTForCausalLM",
               opt(2, 8, 2, _remove_final_layer_norm=True, tie_word_embeddings=False), torch.bfloat16, ft=True),
    # A window in the upper layer alone.
    FamilyCase("qwen2_upper_window_fp32", "Qwen2ForCausalLM",
               llama(4, 2, 8, 2, PLAIN, use_sliding_window=True, sliding_window=6, max_window_layers=1), lengths=LONG),
    FamilyCase("qwen3_fp32", "Qwen3ForCausalLM", llama(4, 2, 8, 2, PLAIN, attention_bias=True), lengths=LONG),
    FamilyCase("qwen3_tied_fp16", "Qwen3ForCausalLM", llama(6, 1, 16, 2, PLAIN, tie_word_embeddings=True), torch.float16),
    FamilyCase("gpt_neox_parallel_fp32", "GPTNeoXForCausalLM", neox(4, 16, 2, rotary_pct=0.25), lengths=LONG),
    FamilyCase("gpt_neox_sequential_fp16", "GPTNeoXForCausalLM",
               neox(3, 8, 2, rotary_pct=1.0, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
                    tie_word_embeddings=True, intermediate_size=54), torch.float16),
    FamilyCase("gptj_fp32", "GPTJForCausalLM", gpt2(3, 8, 2, rotary_dim=4, n_inner=54), lengths=LONG),
    FamilyCase("gptj_fp16", "GPTJForCausalLM", gpt2(4, 16, 2, rotary_dim=16), torch.float16),
    FamilyCase("codegen_fp32", "CodeGenForCausalLM", gpt2(4, 8, 2, rotary_dim=4, n_inner=52), lengths=LONG),
    # Two heads over four blocks.
    FamilyCase("codegen_half_heads_bf16", "CodeGenForCausalLM", gpt2(2, 16, 2, rotary_dim=8), torch.bfloat16, gain=1.0),
    FamilyCase("phi_norms_fp32", "PhiForCausalLM",
               neox(4, 16, 2, partial_rotary_factor=0.5, qk_layernorm=True, hidden_act="gelu_new"), lengths=LONG),
    FamilyCase("phi_groups_fp16", "PhiForCausalLM",
               neox(6, 8, 2, partial_rotary_factor=0.25, num_key_value_heads=2, intermediate_size=54), torch.float16),
    # Prompts on both sides of the length from which longrope changes.
    FamilyCase("phi3_longrope_fp32", "Phi3ForCausalLM",
               {**neox(4, 8, 2), "num_key_value_heads": 2, "max_position_embeddings": 128,
                "original_max_position_embeddings": 20,
                "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.1, 1.2, 1.3],
                                    "long_factor": [1.5, 2.0, 4.0, 8.0], "original_max_position_embeddings": 20}},
               lengths=LONG),
    FamilyCase("phi3_window_fp16", "Phi3ForCausalLM",
               neox(2, 16, 2, num_key_value_heads=2, partial_rotary_factor=0.5, sliding_window=7), torch.float16),
    FamilyCase("stablelm_norms_parallel_fp32", "StableLmForCausalLM",
               neox(4, 8, 2, num_key_value_heads=2, use_parallel_residual=True, qk_layernorm=True, hidden_act="silu",
                    partial_rotary_factor=0.5), lengths=LONG),
    FamilyCase("stablelm_bias_fp16", "StableLmForCausalLM",
               neox(3, 16, 2, num_key_value_heads=3, use_qkv_bias=True, hidden_act="silu", intermediate_size=54),
               torch.float16),
    FamilyCase("gemma_fp32", "GemmaForCausalLM", llama(4, 1, 8, 2, PLAIN), lengths=LONG),
    FamilyCase("gemma2_caps_fp32", "Gemma2ForCausalLM",
               llama(4, 2, 8, 3, PLAIN, sliding_window=6, query_pre_attn_scalar=12, attn_logit_softcapping=8.0,
                     final_logit_softcapping=30.0), lengths=LONG),
    FamilyCase("gemma2_no_caps_bf16", "Gemma2ForCausalLM",
               llama(2, 2, 16, 2, PLAIN, sliding_window=40, query_pre_attn_scalar=16, attn_logit_softcapping=None,
                     final_logit_softcapping=None), torch.bfloat16, gain=1.0),
    FamilyCase("gemma3_two_ropes_fp32", "Gemma3ForCausalLM",
               {**llama(4, 2, 8, 3, {}), "sliding_window": 6, "query_pre_attn_scalar": 10,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
                "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100000.0},
                                    "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}}}, lengths=LONG),
    FamilyCase("olmo2_fp32", "Olmo2ForCausalLM", llama(4, 2, 8, 2, PLAIN), lengths=LONG),
    FamilyCase("olmo2_bf16", "Olmo2ForCausalLM", llama(3, 3, 16, 2, PLAIN, intermediate_size=42), torch.bfloat16, gain=1.0),
    # As 7b, as 40b, and blocks one after the other.
    FamilyCase("falcon_one_kv_head_fp32", "FalconForCausalLM", falcon(4, 8, 2), lengths=LONG),
    FamilyCase("falcon_groups_fp16", "FalconForCausalLM",
               falcon(4, 16, 2, new_decoder_architecture=True, num_kv_heads=2), torch.float16),
    FamilyCase("falcon_sequential_fp32", "FalconForCausalLM",
               falcon(3, 8, 2, multi_query=False, parallel_attn=False, bias=True, tie_word_embeddings=False,
                      ffn_hidden_size=54)),
    FamilyCase("mpt_fp32", "MptForCausalLM", {"vocab_size": 151, "n_heads": 3, "d_model": 24, "n_layers": 2}, lengths=LONG),
    FamilyCase("gpt_bigcode_one_kv_head_fp32", "GPTBigCodeForCausalLM", gpt2(4, 8, 2), lengths=LONG),
    FamilyCase("gpt_bigcode_fp16", "GPTBigCodeForCausalLM",
               gpt2(3, 16, 2, multi_query=False, scale_attn_weights=False, n_inner=54, activation_function="gelu"),
               torch.float16),
    FamilyCase("smollm3_fp32", "SmolLM3ForCausalLM",
               llama(4, 2, 8, 3, PLAIN, no_rope_layers=[1, 0, 1], tie_word_embeddings=True), lengths=LONG),
]
