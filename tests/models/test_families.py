import json

import jax
import pytest

from prefjax import models
from prefjax.errors import CheckpointError
from prefjax.models.families import FAMILIES, parse, spell
from prefjax.models.transformer import RopeScaling

LLAMA = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
GPT2 |= {"layer_norm_epsilon": 1e-5}


def write(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_missing_keys_mean_what_they_mean_to_transformers(tmp_path):
    llama = models.read_config(write(tmp_path, LLAMA)).config
    assert (llama.kv_heads, llama.head_size, llama.tied, llama.rope_theta) == (4, 8, False, 10000.0)
    gpt2 = models.read_config(write(tmp_path, GPT2 | {"n_inner": None})).config
    assert (gpt2.mlp, gpt2.tied, gpt2.rope_theta) == (128, True, None)
    qwen2 = models.read_config(write(tmp_path, LLAMA | {"model_type": "qwen2", "sliding_window": 4096})).config
    assert qwen2.qkv_bias and not qwen2.out_bias and not llama.qkv_bias


def test_both_spellings_of_rotary_settings(tmp_path):
    numbers = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    old = {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3"} | numbers}
    new = {"rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3"} | numbers}
    configs = [models.read_config(write(tmp_path, LLAMA | keys)).config for keys in (old, new)]
    assert configs[0] == configs[1]
    assert configs[0].rope_theta == 5e5 and configs[0].rope_scaling == RopeScaling(8.0, 1.0, 4.0, 64)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LLAMA | {"model_type": "mamba"}, "model_type 'mamba' is not one of llama, qwen2, gpt2"),
        (LLAMA | {"sliding_window": 4096}, "sliding_window = 4096 is not supported, only None"),
        (LLAMA | {"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window = True is not supported"),
        (LLAMA | {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types other than 'full_attention'"),
        (LLAMA | {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type 'yarn' is not supported"),
        (LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type 'linear' is not supported"),
        (LLAMA | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "'llama3' without low_freq_factor"),
        (LLAMA | {"use_qk_norm": True}, "use_qk_norm = True is not supported"),
        (LLAMA | {"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported, only 'silu'"),
        (LLAMA | {"quantization_config": {"bits": 4}}, "quantization_config = .* is not supported"),
        (LLAMA | {"num_key_value_heads": 3}, "kv_heads must divide heads"),
        (LLAMA | {"hidden_size": None}, "no 'hidden_size'"),
        (GPT2 | {"activation_function": "relu"}, "activation_function = 'relu' is not supported, only 'gelu_new' or"),
        (GPT2 | {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True is not supported"),
    ],
)
def test_what_the_transformer_cannot_do_is_refused_by_name(tmp_path, config, message):
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        models.read_config(write(tmp_path, config))


def test_a_folder_without_a_readable_config(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: not found"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(CheckpointError, match=r"config\.json: not JSON"):
        models.load(tmp_path)


def test_a_shape_without_a_name_is_not_written(tmp_path):
    model = models.gpt2(vocab=8, width=8, layers=1, heads=2)
    odd = model.clone(config=spelled_with(model.config, gated=True))
    with pytest.raises(CheckpointError, match="has no name for"):
        models.save(tmp_path, odd, models.init(odd, jax.random.key(0)))
    assert not list(tmp_path.iterdir())


def spelled_with(config, **fields):
    return type(config)(**vars(config) | fields)


def test_every_family_reads_what_it_writes():
    sizes = {"vocab": 64, "width": 32, "layers": 2, "heads": 4}
    nets = (models.llama(**sizes), models.llama(**sizes, qkv_bias=True, kv_heads=2, tied=False), models.gpt2(**sizes))
    for model_type, net in zip(FAMILIES, nets, strict=True):
        family, keys = spell(net.config)
        assert keys["model_type"] == model_type and parse(family, json.loads(json.dumps(keys))) == net.config


@pytest.mark.parametrize(
    ("name", "size"),
    [("hf_llama-3.2-1b", 1_235_814_400), ("hf_gpt2-large", 774_030_080), ("executorch_mtk_Qwen2.5-3B", 3_085_938_688)],
)
def test_published_configs_give_the_published_sizes(tmp_path, real_data, name, size):
    model = models.read_config(write(tmp_path, json.loads((real_data / "hf_configs" / f"{name}.json").read_text())))
    tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(tree)) == size


@pytest.mark.parametrize("name", ["executorch_mtk_Qwen3-4B", "executorch_mtk_gemma2_2b_it"])
def test_other_published_configs_are_refused(tmp_path, real_data, name):
    with pytest.raises(CheckpointError, match="is not one of llama, qwen2, gpt2"):
        models.read_config(write(tmp_path, json.loads((real_data / "hf_configs" / f"{name}.json").read_text())))
