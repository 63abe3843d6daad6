"""Adapters against closed forms, against the merged model, and, where peft is there, against it."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from prefjax import models
from prefjax.errors import CheckpointError, ConfigError
from prefjax.models import lora, peft
from prefjax.sampling import generate

SIZES = {"vocab": 37, "width": 16, "layers": 2, "heads": 4, "positions": 32}
LLAMA, GPT2 = models.llama(**SIZES, kv_heads=2, tied=False), models.gpt2(**SIZES)
FAMILIES = pytest.mark.parametrize("model", [LLAMA, GPT2], ids=["llama", "gpt2"])
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 37, (3, 10)), jnp.int32)
SCALE = 0.7


@functools.partial(jax.jit, static_argnames="model")
def logits(model, params):
    return model.apply(params, TOKENS)


def base(model, heads=("lm",)):
    return models.init(model, jax.random.key(0), heads)


def trained(model, pattern="layers/", heads=("lm",)):
    """Adapters that matter: B is not 0."""
    params = lora.scaled(lora.add(base(model, heads), jax.random.key(1), pattern, 3), SCALE)
    noise = np.random.default_rng(2)
    return jax.tree_util.tree_map_with_path(
        lambda path, x: jnp.float32(noise.normal(size=x.shape)) if path[-1].key == "lora_b" else x, params
    )


@FAMILIES
def test_at_the_start_the_model_is_its_base_to_the_bit(model):
    params = lora.scaled(lora.add(base(model), jax.random.key(1), "layers/", 3), SCALE)
    np.testing.assert_array_equal(logits(model, params), logits(model, base(model)))
    a = params["params"]["layers"]["down"]["lora_a"]  # uniform, of variance 1 / (3 in)
    width = model.config.mlp
    assert a.shape == (2, width, 3) and float(jnp.abs(a).max()) <= 1 / math.sqrt(width)
    assert float(a.std()) == pytest.approx(1 / math.sqrt(3 * width), rel=0.15)


@FAMILIES
@pytest.mark.parametrize("pattern", ["layers/", "(query|value)/"])
def test_merged_is_applied(model, pattern):
    params = trained(model, pattern)
    merged = lora.merge(params)
    assert jax.tree.structure(merged) == jax.tree.structure(base(model))
    applied = logits(model, params)
    assert float(jnp.abs(applied - logits(model, base(model))).max()) > 1e-2
    np.testing.assert_allclose(applied, logits(model, merged), rtol=1e-5, atol=1e-5)


def test_what_is_sampled_is_what_the_merged_model_samples():
    params, valid = trained(LLAMA), jnp.ones(TOKENS.shape, bool)
    knobs = {"max_new": 6, "stop": 36}
    ours, logps = generate(LLAMA, params, TOKENS, valid, jax.random.key(3), **knobs)
    theirs, expected = generate(LLAMA, lora.merge(params), TOKENS, valid, jax.random.key(3), **knobs)
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    np.testing.assert_allclose(logps, expected, rtol=1e-4, atol=1e-5)


def test_gradients():
    """By the chain rule from that of the merged kernel, dA = s dW B' and dB = s A' dW; and by finite differences."""
    params, weights = trained(LLAMA), jnp.asarray(np.random.default_rng(4).normal(size=(3, 10, 37)), jnp.float32)
    total = jax.jit(lambda params: jnp.sum(LLAMA.apply(params, TOKENS) * weights))
    adapters, fixed = lora.split(params)
    found = jax.grad(lambda adapters: total(lora.join(adapters, fixed)))(adapters)["params"]["layers"]
    of_merged = jax.grad(total)(lora.merge(params))["params"]["layers"]
    for name, own in found.items():
        a, b, d = (*(params["params"]["layers"][name][x] for x in ("lora_a", "lora_b")), of_merged[name]["kernel"])
        np.testing.assert_allclose(own["lora_a"], SCALE * jnp.einsum("ldf,lrf->ldr", d, b), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(own["lora_b"], SCALE * jnp.einsum("ldr,ldf->lrf", a, d), rtol=1e-3, atol=1e-3)
    way = jax.tree.map(lambda x: jnp.float32(np.random.default_rng(5).normal(size=x.shape)), adapters)
    at = lambda t: float(total(lora.join(jax.tree.map(lambda x, w: x + t * w, adapters, way), fixed)))
    slope = sum(
        jnp.vdot(x, y)
        for x, y in zip(jax.tree.leaves({"params": {"layers": found}}), jax.tree.leaves(way), strict=True)
    )
    assert (at(1e-3) - at(-1e-3)) / 2e-3 == pytest.approx(float(slope), rel=1e-2)


def test_a_tree_says_what_is_trained_of_it():
    scored = models.add_score_head(trained(LLAMA, "query"), LLAMA, jax.random.key(0))
    beside = {"value": base(LLAMA, ("score",))["params"]}
    adapters, fixed = lora.split(scored | beside)
    names = {"lora_a", "lora_b"}
    assert set(adapters["params"]) == {"layers", "score_head"} and set(adapters["params"]["layers"]["query"]) == names
    assert jax.tree.structure(adapters["value"]) == jax.tree.structure(beside["value"])  # it has none: all of it
    assert set(fixed) == {"params"} and set(fixed["params"]["layers"]["query"]) == {"kernel", "lora_scale"}
    jax.tree.map(np.testing.assert_array_equal, lora.join(adapters, fixed), scored | beside)
    whole = base(LLAMA)
    assert lora.split(whole) == (whole, {}) and lora.join(whole, {}) is whole


@pytest.mark.parametrize(
    ("pattern", "rank", "message"),
    [
        ("embed", 2, "finds no linear layer; there are params/layers/down/kernel, "),
        ("score_head", 2, "finds no linear layer"),
        ("(query", 2, "'\\(query', which is no regex: "),
        ("query|key", 9, "lora.rank is 9; it should be at most 8, the narrower side of params/layers/key/kernel"),
    ],
)
def test_what_cannot_be_adapted_is_refused(pattern, rank, message):
    with pytest.raises(ConfigError, match=message):
        lora.targets(base(LLAMA), pattern, rank)


@pytest.mark.parametrize("heads", [("lm",), ("score",)], ids="+".join)
def test_a_folder_for_peft(tmp_path, heads):
    params = trained(LLAMA, "query|down", heads)
    peft.save(tmp_path, LLAMA, params, rank=3, alpha=2.1, base="runs/sft")
    found, layers = load_file(tmp_path / "adapter_model.safetensors"), params["params"]["layers"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == ["mlp.down_proj", "self_attn.q_proj"]
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (3, 2.1, False)
    assert config["modules_to_save"] == (["score"] if "score" in heads else None)
    assert len(found) == 8 + ("score" in heads)
    name = "base_model.model.model.layers.1.mlp.down_proj.lora_{}.weight"
    np.testing.assert_array_equal(found[name.format("A")], layers["down"]["lora_a"][1].T)
    np.testing.assert_array_equal(found[name.format("B")], layers["down"]["lora_b"][1].T)


def test_a_part_of_a_tensor_is_no_adapter_of_peft(tmp_path):
    with pytest.raises(CheckpointError, match="layers/query, layers/key, layers/value are one tensor"):
        peft.save(tmp_path, GPT2, trained(GPT2, "query"), rank=3, alpha=2.1, base="runs/sft")


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@pytest.mark.parametrize(
    ("model", "pattern", "heads"),
    [(LLAMA, "layers/", ("lm",)), (LLAMA, "layers/", ("score",)), (GPT2, "out|up|down", ("lm",))],
    ids=["llama", "reward", "gpt2"],
)
def test_peft_computes_the_same(tmp_path, model, pattern, heads):
    torch, library = pytest.importorskip("torch"), pytest.importorskip("peft")
    import transformers

    params = trained(model, pattern, heads)
    models.save(tmp_path / "base", model, base(model, heads), {"pad_token_id": 0, "eos_token_id": 1})
    peft.save(tmp_path / "own", model, params, rank=3, alpha=3 * SCALE, base=str(tmp_path / "base"))
    reward = "score" in heads
    kind = transformers.AutoModelForSequenceClassification if reward else transformers.AutoModelForCausalLM
    theirs = library.PeftModel.from_pretrained(kind.from_pretrained(tmp_path / "base"), tmp_path / "own").eval()
    tokens = jnp.maximum(TOKENS, 1)
    with torch.no_grad():
        found = theirs(torch.tensor(np.asarray(tokens))).logits.numpy()
    ours = model.apply(params, tokens, tokens > 0, method="score")[:, None] if reward else model.apply(params, tokens)
    np.testing.assert_allclose(ours, found, rtol=1e-4, atol=1e-4)
