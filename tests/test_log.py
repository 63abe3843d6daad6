"""The record of a run: what is written when, and what a resumed run may change."""

import json
import time

import jax
import jax.numpy as jnp
import pytest

from prefjax.config import base
from prefjax.errors import ConfigError, NonFiniteError, PrefjaxError
from prefjax.log import Meter, Record
from prefjax.metrics import Mean


def lines(workdir, name="metrics.jsonl"):
    return [json.loads(line) for line in (workdir / name).read_text().splitlines()]


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path, base().to_dict())
    record.begin({"data": {"rows": 3}})
    return record


def step(total, weight=1.0, finite=1.0):
    return {"loss": Mean(jnp.float32(total), jnp.float32(weight)), "finite": Mean(jnp.float32(finite), jnp.float32(1))}


def test_an_interval_is_written_when_the_next_one_ends(record, tmp_path):
    meter = Meter(record)
    meter.add(1, step(4.0))
    meter.add(2, step(2.0, weight=3.0))
    assert meter.turn() == {}
    assert not (tmp_path / "metrics.jsonl").exists()
    meter.add(3, step(7.0))
    assert meter.turn() == {"train/loss": (4 + 2) / (1 + 3)}
    meter.flush()
    assert lines(tmp_path) == [{"step": 2, "train/loss": 1.5}, {"step": 3, "train/loss": 7.0}]
    assert all(row["seconds"] >= 0 for row in lines(tmp_path, "timing.jsonl"))


def test_the_clock_of_the_last_interval_has_its_steps(record, tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def wait(tree):  # steps are done a second after each other, when they are waited for
        clock[0] += len(jax.tree.leaves(tree)) / len(jax.tree.leaves((1, step(1.0))))
        return tree

    monkeypatch.setattr(jax, "block_until_ready", wait)
    meter = Meter(record)
    for at in (1, 2):
        meter.add(at, step(1.0))
    meter.turn()
    meter.flush()
    assert [row["seconds"] for row in lines(tmp_path, "timing.jsonl")] == [1.0]


def test_a_step_that_is_not_finite_is_named(record):
    meter = Meter(record)
    meter.add(4, step(1.0))
    meter.add(5, step(float("inf"), finite=0.0))
    meter.turn()
    with pytest.raises(NonFiniteError, match="step 5: loss not finite"):
        meter.turn()


def test_a_watch_sees_every_step_and_is_waited_for_at_the_first(record):
    def watch(values):
        if values["train/loss"] > 3:
            raise PrefjaxError(f"loss {values['train/loss']}")

    with pytest.raises(PrefjaxError, match="loss 4"):
        Meter(record, watch).add(1, step(8.0, weight=2.0))
    meter = Meter(record, watch)
    meter.add(1, step(1.0))
    meter.add(2, step(5.0))
    meter.add(3, step(0.0))  # the mean is fine
    meter.turn()
    with pytest.raises(PrefjaxError, match="loss 5"):
        meter.turn()


def test_resume_forgets_what_will_be_written_again(record, tmp_path):
    for at in (1, 2, 3):
        record.metrics(at, {"x": float(at)})
        record.samples(at, [{"response": "a"}, {"response": "b"}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "x"')  # cut by a kill
    record.resume(2)
    assert [row["step"] for row in lines(tmp_path)] == [1, 2]
    assert [row["step"] for row in lines(tmp_path, "samples.jsonl")] == [1, 1, 2, 2]
    assert [(row["step"], row.get("resumed", False)) for row in lines(tmp_path, "timing.jsonl")] == [
        (1, False),
        (2, False),
        (2, True),
    ]


def test_an_evaluation_that_was_cut_is_forgotten_and_one_that_ended_is_named(tmp_path):
    c = base()
    c.evals = {"whole": "a()", "cut": "a()", "off": ""}
    record = Record(tmp_path, c.to_dict())
    record.begin({})
    record.samples(2, [{"eval": "added", "response": "a"}])  # by `prefjax eval`, which keeps no metrics
    for name in ("whole", "cut"):
        record.samples(2, [{"eval": name, "response": "a"}])
    record.metrics(1, {"eval/cut/x": 0.0})
    record.metrics(2, {"train/loss": 0.0})
    record.metrics(2, {"eval/whole/x": 0.0})
    assert record.resume(2) == {"whole"}
    assert [row["eval"] for row in lines(tmp_path, "samples.jsonl")] == ["added", "whole"]
    assert record.resume(0) == set()


def test_an_interval_that_is_cut_in_two_is_recorded_as_one(tmp_path):
    for name, cut in (("whole", False), ("cut", True)):
        record = Record(tmp_path / name, base().to_dict())
        record.begin({})
        meter = Meter(record)
        for at in range(1, 4):
            meter.add(at, step(at / 3))
        if cut:
            sums = json.loads(json.dumps(meter.pause()))
            meter = Meter(record)
            meter.resume(sums)
        meter.add(4, step(4 / 3))
        meter.flush()
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_run_that_starts_again_starts_its_record_again(record, tmp_path):
    record.metrics(0, {"x": 0.0})
    record.resume(0)
    assert lines(tmp_path) == []


def test_length_and_cadence_may_change_and_nothing_else(record, tmp_path):
    c = base()
    c.steps, c.log_every, c.keep = 7, 3, 9
    Record(tmp_path, c.to_dict())
    c.seed = 1
    record.close()
    with pytest.raises(ConfigError, match="seed: 0 there, 1 asked for"):
        Record(tmp_path, c.to_dict())
    assert (tmp_path / "DONE").exists()  # refused, and nothing touched


def test_a_run_ends_as_done_or_as_failed(record, tmp_path):
    record.close(ValueError("why"))
    assert json.loads((tmp_path / "FAILED.json").read_text()) == {"error": "ValueError", "message": "why"}
    again = Record(tmp_path, base().to_dict())
    assert again.facts["data"] == {"rows": 3}
    again.begin({})
    again.close()
    assert (tmp_path / "DONE").exists()
    assert not (tmp_path / "FAILED.json").exists()


SECRET = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "text",
    [
        f"--judge.api_key={SECRET}",
        f"judge(api_key='{SECRET}')",
        f"HF_TOKEN={SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"https://host/rows?token={SECRET}&n=3",
        f"https://user:{SECRET}@host/rows",
        f"https://{SECRET}@host/rows",
    ],
)
def test_secrets_are_left_out(text, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["prefjax", "train", text])
    c = base()
    c.data.train = text
    for _ in range(2):  # and a run goes on whose settings hold one
        record = Record(tmp_path, c.to_dict())
        record.begin({})
        record.close(ValueError(text))
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    assert "REDACTED" in written
    assert SECRET not in written
