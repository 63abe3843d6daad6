"""A small run whose policy has random weights, and completions that are given."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from prefjax.config import base
from prefjax.evals.completions import Completion
from prefjax.train import setup
from prefjax.types import Sequences


@pytest.fixture(scope="session")
def tiny():
    """A run of the desk world before its first step, and its state."""
    c = base()
    c.batch_size, c.mesh.data = 8, 1
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = "prefjax.worlds.desk:demos(n=16)", "demos()", 80
    run = setup(c)
    return run, run.algorithm.init(jax.random.key(0), run.start(0))


def of_pairs(algorithm):
    """A run on pairs of the desk world before its first step, and its state: of a reward model, or of a policy."""
    c = base()
    c.batch_size, c.mesh.data, c.algorithm = 4, 1, algorithm
    c.loss = {"reward": "bradley_terry_loss()", "dpo": "simpo_loss(beta=1.0)"}[algorithm]
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.max_length = "prefjax.worlds.desk:pairs(n=8)", 80
    run = setup(c)
    return run, run.algorithm.init(jax.random.key(0), run.start(0))


def bare():
    """A run of which an evaluation needs nothing but a place for what is shared."""
    return SimpleNamespace(shared={})


@pytest.fixture
def writes(monkeypatch):
    """writes(module, texts) makes an evaluation see these texts, in turn for each record, as the completions."""

    def writes(module, texts, n=1):
        def completions(run, source, **knobs):
            from prefjax.data import load

            records = load.records(source, knobs["limit"])
            row = Sequences(*3 * [np.zeros(1, np.int32)])
            owners = [index for index in range(len(records)) for _ in range(n)]
            found = [
                Completion(index, records[index], text, 1, True, row) for index, text in zip(owners, texts, strict=True)
            ]
            return lambda state, key: found

        monkeypatch.setattr(f"prefjax.evals.{module}.completions", completions)

    return writes


def desk(n):
    """The first `n` prompts of each kind, benign and unsafe, of the desk world."""
    from prefjax.worlds.desk import prompts

    found = prompts("validation")
    unsafe = [record for record in found if record["slice"] == "unsafe"]
    return [record for record in found if record["slice"] != "unsafe"][:n] + unsafe[:n]


def questions():
    """Closed-book questions with aliases."""
    asked = {"Who wrote Emma?": ["Jane Austen", "Austen"], "How many legs has a spider?": 8, "Capital of Peru?": "Lima"}
    return [{"prompt": prompt, "facts": facts} for prompt, facts in asked.items()]
