"""Every recipe builds, says how it is run, and names things that exist."""

import ast
import importlib
from pathlib import Path

import pytest

from prefjax.config import numbers, validate
from prefjax.data import load
from prefjax.resolve import is_call, resolve

ROOT = Path(__file__).parents[1]
RECIPES = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_builds_and_its_names_resolve(name, request):
    module = importlib.import_module(f"configs.{name}")
    c = module.get_config()
    validate(c)
    assert f"--config=configs/{name}.py" in module.__doc__
    numbers(c)  # the loss, the optimizer and the schedule
    resolve(c.algorithm, "prefjax.algorithms")
    resolve(c.data.rows, "prefjax.data.rows")
    resolve(c.data.train, "prefjax.data.readers")
    for call in c.evals.values():
        resolve(call, "prefjax.evals")
        for node in ast.walk(ast.parse(call)):
            if isinstance(node, ast.keyword) and node.arg in ("source", "judge"):
                resolve(ast.literal_eval(node.value), "prefjax.data.readers", "prefjax.judges")
    if is_call(c.model):
        resolve(c.model, "prefjax.models")
    if is_call(c.tokenizer):
        if "PREFJAX_DATA" in module.__doc__:
            request.getfixturevalue("real_data")  # skips the rest without it
        assert load.tokenizer(c.tokenizer).vocab_size > 0
