"""DPO of a real model on real pairs changes what it writes, and what is exported is that model."""

import json

import jax
import numpy as np
import pytest

from prefjax import checkpoint, models
from prefjax.data import load
from prefjax.evals.stats import interval
from prefjax.types import Sequences


@pytest.fixture(scope="module")
def workdir(prefjax, tmp_path_factory):
    folder = tmp_path_factory.mktemp("roads") / "dpo"
    prefjax("train", "--config=configs/dpo_storybyte.py", f"--workdir={folder}")
    return folder


@pytest.fixture(scope="module")
def stories(workdir):
    """Those before training, and after it to the same requests with the same noise."""
    rows = [json.loads(line) for line in (workdir / "samples.jsonl").read_text().splitlines()]
    before, after = ([row for row in rows if row["step"] == step] for step in (0, rows[-1]["step"]))
    assert [row["prompt"] for row in before] == [row["prompt"] for row in after]
    return before, after


def test_there_is_more_dialogue_for_requests_seen_and_unseen(stories):
    pairs = load.records("jsonl(path='$PREFJAX_DATA/storybyte_pairs/preference_pairs.jsonl.gz', prompt='request')")
    trained_on = {pair["prompt"] for pair in pairs}
    rise = [(new["dialogue"] - old["dialogue"], new["prompt"]) for old, new in zip(*stories, strict=True)]
    unseen = [(change, prompt) for change, prompt in rise if prompt not in trained_on]
    assert 0 < len(unseen) < len(rise)
    for changes in (rise, unseen):
        assert interval(*zip(*changes, strict=True)).low > 0


def test_the_stories_are_still_stories(stories):
    before, after = stories
    assert len({row["response"] for row in after}) == len(after)
    assert np.mean([row["stopped"] for row in after]) > 0.9
    words = [np.mean([len(set(text)) / len(text) for text in texts]) for texts in map(_words, (before, after))]
    assert words[1] > 0.9 * words[0]  # distinct words a word: no babbling


def _words(rows):
    return [row["response"].split() for row in rows]


def test_the_distance_to_the_reference_starts_at_zero_and_is_reported(workdir):
    metrics = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    before, after = (row["eval/stories/kl"] for row in metrics if "eval/stories/kl" in row)
    assert before == 0 < after


@pytest.mark.slow
def test_cached_log_probs_of_the_reference_are_those_of_a_step(prefjax, tmp_path):
    argv = ("train", "--config=configs/dpo_storybyte.py", "--config.steps=1", "--config.evals.stories=")
    argv += (f"--config.cache={tmp_path / 'cache'}", "--config.log_every=1")
    for how, name in (("frozen", "frozen"), ("cached", "computed"), ("cached", "found")):
        prefjax(*argv, f"--config.reference={how}", f"--workdir={tmp_path / name}")
        (row,) = (json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        assert row["train/loss"] == pytest.approx(np.log(2), abs=1e-6)
        facts = json.loads((tmp_path / name / "run.json").read_text())
        assert facts.get("reference", {"logps": "frozen"})["logps"] == name


@pytest.mark.parity
def test_transformers_reads_the_export_as_the_same_model(prefjax, workdir, stories, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: no numbers to compare with")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    prefjax("export", f"--model={workdir}", f"--out={tmp_path}")
    net = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours, (model, params) = load.tokenizer(str(workdir)), checkpoint.load(str(workdir))
    assert net.generation_config.eos_token_id == ours.eos_id == theirs.eos_token_id

    logps = jax.jit(lambda rows: models.logps(model, params, rows))
    for row in stories[1][::16]:
        turns = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]
        render = lambda turns: theirs.apply_chat_template(turns, tokenize=True, return_dict=False)
        encoded = ours.encode_response(row["prompt"], row["response"])
        assert ours.encode_prompt(row["prompt"]) == encoded.prompt == render(turns[:1])
        ids = encoded.prompt + encoded.response
        assert render(turns) == ids

        tokens = np.zeros(model.config.positions, np.int32)
        tokens[: len(ids)] = ids
        at = np.arange(len(tokens))
        rows = Sequences(tokens[None], at[None] < len(ids), (at[None] > 0) & (at[None] < len(ids)))
        with torch.no_grad():
            expected = torch.log_softmax(net(torch.tensor([ids])).logits[0], -1).numpy()
        expected = expected[np.arange(len(ids) - 1), ids[1:]]
        np.testing.assert_allclose(logps(rows)[0, 1 : len(ids)], expected, atol=1e-4)
