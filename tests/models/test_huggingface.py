"""Folders written and read here; and, where torch is there, the same numbers as transformers."""

import json

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from prefjax import models
from prefjax.errors import CheckpointError
from prefjax.sampling import generate

SIZES = {"vocab": 32, "width": 16, "layers": 2, "heads": 4}
MODELS = {
    "llama": models.llama(**SIZES, kv_heads=2, tied=False),
    "tied": models.llama(**SIZES),
    "qwen2": models.llama(**SIZES, qkv_bias=True, kv_heads=2),
    "gpt2": models.gpt2(**SIZES),
}
WEIGHTS = "model.safetensors"


def random(model, heads=("lm",)):
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), heads))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), shapes)


@pytest.fixture
def folder(tmp_path):
    models.save(tmp_path, MODELS["llama"], random(MODELS["llama"]))
    return tmp_path


def edit(folder, change):
    """Rewrites the weights of a folder with `change` applied to the dict of tensors."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize("heads", [("lm",), ("score",), ("lm", "score")], ids="+".join)
@pytest.mark.parametrize("name", MODELS)
def test_what_is_saved_is_loaded(tmp_path, name, heads):
    params = random(MODELS[name], heads)
    models.save(tmp_path / "new", MODELS[name], params)
    model, loaded = models.load(tmp_path / "new")
    assert model == MODELS[name] == models.read_config(tmp_path / "new")
    jax.tree.map(np.testing.assert_array_equal, params, loaded)


@pytest.mark.parametrize("name", MODELS)
def test_attributes_are_labels(tmp_path, name):
    judge = models.judging(MODELS[name], ("fact", "warmth"))
    params = random(judge, ("score",))
    assert params["params"]["score_head"]["kernel"].shape[1] == 2
    models.save(tmp_path, judge, params)
    assert json.loads((tmp_path / "config.json").read_text())["id2label"] == {"0": "fact", "1": "warmth"}
    model, loaded = models.load(tmp_path)
    assert model == judge == models.read_config(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, params, loaded)


def test_ids_go_into_both_configs(tmp_path):
    models.save_config(tmp_path, MODELS["gpt2"], {"eos_token_id": 7, "note": "kept"})
    config, generation = (
        json.loads((tmp_path / name).read_text()) for name in ("config.json", "generation_config.json")
    )
    assert config["eos_token_id"] == 7 and config["bos_token_id"] is None and config["note"] == "kept"
    assert generation == {"bos_token_id": None, "eos_token_id": 7, "pad_token_id": None}


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_half_weights_load_as_float32(folder, dtype):
    edit(folder, lambda tensors: tensors.update({name: x.astype(dtype) for name, x in tensors.items()}))
    for half, full in zip(*map(jax.tree.leaves, (models.load(folder)[1], random(MODELS["llama"]))), strict=True):
        assert half.dtype == jnp.float32
        np.testing.assert_array_equal(half, np.asarray(full).astype(dtype).astype(np.float32))


def shard(folder):
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    where = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: tensors[name] for name in names if where[name] == file}, folder / file)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": where}))


def test_shards_load_as_one(folder):
    shard(folder)
    jax.tree.map(np.testing.assert_array_equal, models.load(folder)[1], random(MODELS["llama"]))


def test_a_missing_shard_is_named(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"model-00002-of-00002\.safetensors: not found, though .*index\.json lists"
    ):
        models.load(folder)


def test_files_of_the_trunk_alone_and_old_buffers_load(tmp_path):
    models.save(tmp_path, MODELS["gpt2"], random(MODELS["gpt2"]))

    def change(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = np.ones((1, 1, 8, 8), np.float32)
        tensors["lm_head.weight"] = tensors["wte.weight"].copy()

    edit(tmp_path, change)
    jax.tree.map(np.testing.assert_array_equal, models.load(tmp_path)[1], random(MODELS["gpt2"]))
    edit(tmp_path, lambda tensors: tensors.update({"lm_head.weight": tensors["wte.weight"] + 1}))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is not the embedding, though config\.json ties them"):
        models.load(tmp_path)


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(UP), f"no tensor {UP} of shape \\(48, 16\\)"),
        (lambda t: t.pop("lm_head.weight"), "no tensor lm_head.weight"),
        (lambda t: t.update({UP: t[UP].T.copy()}), f"{UP}: expected floats \\(48, 16\\), got float32 \\(16, 48\\)"),
        (lambda t: t.update({UP: t[UP].astype(np.int8)}), f"{UP}: expected floats \\(48, 16\\), got int8"),
        (
            lambda t: t.update({"model.layers.0.self_attn.q_norm.weight": np.ones(4)}),
            "unexpected tensors, such as .*q_norm",
        ),
        (
            lambda t: t.update({"model.layers.2.mlp.up_proj.weight": t[UP]}),
            "unexpected tensors, such as model.layers.2",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder, change, message):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        models.load(folder)


def test_a_damaged_or_absent_file_is_named(folder):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not readable as safetensors"):
        models.load(folder)
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="read from safetensors alone, never from pickles"):
        models.load(folder)


@pytest.fixture(scope="session")
def hf():
    pytest.importorskip("torch", reason="torch is not installed: no numbers to compare with")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers


def torch_logits(net, tokens):
    import torch

    with torch.no_grad():
        return net.eval()(torch.tensor(np.asarray(tokens, np.int64))).logits.numpy()


SCALING = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
SCALING |= {"original_max_position_embeddings": 16, "rope_theta": 100.0}
COMMON = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.2}
LLAMA = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 44}
LLAMA |= {"max_position_embeddings": 64, "num_key_value_heads": 2}
PEERS = {
    "llama": ("Llama", LLAMA),
    "llama, tied, wide heads": ("Llama", LLAMA | {"tie_word_embeddings": True, "head_dim": 16}),
    "llama, biases": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True}),
    "llama 3": ("Llama", LLAMA | {"rope_parameters": SCALING, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2", LLAMA | {"tie_word_embeddings": True}),
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}),
    "gpt2, untied": (
        "GPT2",
        {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64, "tie_word_embeddings": False},
    ),
}


def peer(hf, name, kind, labels=1):
    """A model of transformers with random weights, biases and norms too."""
    import torch

    torch.manual_seed(0)
    family, keys = PEERS[name]
    config = getattr(hf, f"{family}Config")(**COMMON, **keys, num_labels=labels)
    net = getattr(hf, {"LM": "AutoModelForCausalLM", "RM": "AutoModelForSequenceClassification"}[kind]).from_config(
        config
    )
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net.eval()


@pytest.mark.parity
@pytest.mark.parametrize("name", PEERS)
def test_logits_of_transformers_both_ways(tmp_path, hf, name):
    net, tokens = peer(hf, name, "LM"), np.random.default_rng(0).integers(0, 50, (2, 60)).astype(np.int32)
    net.save_pretrained(tmp_path / "theirs")
    model, params = models.load(tmp_path / "theirs")
    expected = torch_logits(net, tokens)
    np.testing.assert_allclose(jax.jit(model.apply)(params, tokens), expected, atol=1e-4)
    models.save(tmp_path / "ours", model, params, COMMON)
    again = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    np.testing.assert_array_equal(torch_logits(again, tokens), expected)
    assert type(again) is type(net) and again.config.eos_token_id == 2


@pytest.mark.parity
@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_rewards_of_transformers_both_ways(tmp_path, hf, name, labels):
    net, tokens = peer(hf, name, "RM", labels), np.random.default_rng(0).integers(3, 50, (3, 20)).astype(np.int32)
    valid = np.arange(20)[None] < np.array([[20], [7], [1]])
    tokens = np.where(valid, tokens, 0)  # transformers looks for the padding token
    net.save_pretrained(tmp_path / "theirs")
    model, params = models.load(tmp_path / "theirs")
    expected = torch_logits(net, tokens)
    found = model.apply(params, tokens, valid, method="score").reshape(3, labels)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    models.save(tmp_path / "ours", model, params, COMMON)
    again = hf.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours")
    np.testing.assert_array_equal(torch_logits(again, tokens), expected)
    assert again.config.id2label == ({0: "score"} if labels == 1 else net.config.id2label)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["stories260K", "storybyte-nano"])
def test_published_checkpoints(tmp_path, hf, real_data, name):
    import torch

    source, prompt = real_data / "models" / name, np.array([[1, 403, 407, 261, 378]], np.int32)
    net = hf.AutoModelForCausalLM.from_pretrained(source)
    model, params = models.load(source)
    greedy = {"max_new_tokens": 64, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    text = net.generate(torch.tensor(prompt, dtype=torch.int64), **greedy).numpy()
    sequences, _ = generate(model, params, prompt, prompt >= 0, jax.random.key(0), max_new=64, stop=-1, temperature=0.0)
    np.testing.assert_array_equal(sequences.tokens, text)
    expected = torch_logits(net, text)
    np.testing.assert_allclose(jax.jit(model.apply)(params, sequences.tokens), expected, atol=1e-4)
    models.save(tmp_path, model, params)
    np.testing.assert_array_equal(torch_logits(hf.AutoModelForCausalLM.from_pretrained(tmp_path), text), expected)


def test_a_published_checkpoint_tells_a_story(real_data):
    tokenizers = pytest.importorskip("tokenizers")
    source = real_data / "models" / "stories260K"
    model, params = models.load(source)
    prompt = jnp.array([[1]])
    sequences, logps = generate(
        model, params, prompt, prompt >= 0, jax.random.key(0), max_new=48, stop=2, temperature=0.0
    )
    text = tokenizers.Tokenizer.from_file(str(source / "tokenizer.json")).decode(sequences.tokens[0].tolist())
    assert text.startswith("Once upon a time, there was a little")
    assert -jnp.mean(logps[sequences.response]) < 1.0  # nats a token
