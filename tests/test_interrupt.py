"""Signals that ask a run to stop: nothing is lost, and no one who did not ask for the handlers has them."""

import json
import os
import signal

import jax
import numpy as np
import pytest

from prefjax import interrupt, train
from prefjax.config import base
from prefjax.errors import Interrupted

DEMOS = "prefjax.worlds.desk:demos(n=32)"


def config():
    c = base()
    c.steps, c.batch_size, c.log_every, c.eval_every, c.mesh.data = 7, 4, 3, 5, 1
    c.algorithm, c.loss = "sft", "sft_loss()"
    c.model, c.tokenizer = "llama(width=16, layers=1, heads=2)", "prefjax.worlds.desk:tokenizer()"
    c.data.train, c.data.rows, c.data.max_length = DEMOS, "demos()", 80
    c.evals.held_out = f"held_out(source={DEMOS!r}, batch_size=32, allow_overlap=True)"
    return c


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    return train.train(config(), workdir), (workdir / "metrics.jsonl").read_bytes(), (workdir / "DONE").read_bytes()


def signalled(monkeypatch, number, at):
    """Sends a signal to this process when the batch of step `at` has been made."""
    prefetch = train.prefetch

    def sending(batch_at, first, total):
        for step, batch in prefetch(batch_at, first, total):
            if step == at:
                os.kill(os.getpid(), number)
            yield step, batch

    monkeypatch.setattr(train, "prefetch", sending)


@pytest.mark.parametrize("at", [4, 5])  # within an interval, and with an evaluation due
def test_a_step_in_flight_is_finished_and_saved_and_the_run_goes_on_from_it(whole, tmp_path, monkeypatch, at):
    with monkeypatch.context() as patch, interrupt.handled():
        signalled(patch, signal.SIGTERM, at)
        with pytest.raises(Interrupted, match=f"SIGTERM: stopped after step {at}; the same command") as caught:
            train.train(config(), tmp_path)
    assert caught.value.exit_code == 143
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [str(at)]
    assert json.loads((tmp_path / "INTERRUPTED.json").read_text())["message"] == str(caught.value)
    state = train.train(config(), tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, whole[0])
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole[1]
    assert (tmp_path / "DONE").read_bytes() == whole[2]


def test_an_evaluation_in_flight_is_dropped_and_made_up_for(whole, tmp_path, monkeypatch):
    evaluate = train.evaluate

    def sending(evals, state, frozen, record):
        if int(state.step) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(evals, state, frozen, record)

    with monkeypatch.context() as patch, interrupt.handled():
        patch.setattr(train, "evaluate", sending)
        with pytest.raises(Interrupted, match="SIGINT: stopped after step 5") as caught:
            train.train(config(), tmp_path)
    assert caught.value.exit_code == 130
    train.train(config(), tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == whole[1]


def test_the_first_signal_raises_and_the_second_ends_the_process(monkeypatch):
    ended = []
    monkeypatch.setattr(interrupt.os, "_exit", ended.append)
    with interrupt.handled():
        with pytest.raises(Interrupted, match="SIGTERM: stopped before the first step"):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert ended == [130]


def test_handlers_are_given_back_and_a_library_call_installs_none():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interrupt.handled():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    with interrupt.deferred() as asked:
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        assert asked() is None


def test_work_is_not_begun_once_a_signal_has_arrived():
    done = []
    with interrupt.handled(), interrupt.deferred() as asked:
        interrupt.attempt(done.append, 1)
        os.kill(os.getpid(), signal.SIGTERM)
        interrupt.attempt(done.append, 2)
        assert asked() == signal.SIGTERM
    assert done == [1]
