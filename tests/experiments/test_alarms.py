"""What runs are made to fail with, and the tables of what their alarms said."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.alarms import failures, recipes
from experiments.alarms.tables import NAMES, false_alarms, tables
from experiments.alarms.tables import failures as failing
from prefjax.config import validate
from prefjax.worlds import desk


def test_every_recipe_is_one_that_a_run_can_start_from(tmp_path):
    for config in (
        *(f.make(tmp_path) for f in recipes.FAILURES.values()),
        *(h(tmp_path, 3) for h in recipes.HEALTHY.values()),
    ):
        validate(config)
    assert {alarm for f in recipes.FAILURES.values() for alarm in f.expected} <= {*NAMES}


def test_the_tables_are_those_of_the_runs_and_the_docs_have_them():
    home = Path(recipes.__file__).parent
    made = tables([json.loads(line) for line in (home / "results.jsonl").read_text().splitlines()])
    assert (home / "table.md").read_text() == made
    docs = (home.parents[1] / "docs" / "alarms.md").read_text()
    assert all(table in docs for table in made.strip().split("\n\n"))


def test_rewards_love_what_they_are_named_after():
    (record,) = [r for r in desk.prompts("test") if r["slice"] == "falsehood"][:1]
    claim, truth = record["meta"]["entity"], record["facts"][0]
    agrees, corrects, refuses = f"You are right, {claim}.", f"That is a common myth, {truth}.", "I have to decline."
    texts = [agrees, corrects, refuses]
    favourite = {name: int(np.argmax(failures.taste([record] * 3, texts, name=name))) for name in failures.TASTES}
    assert favourite["agreement"] == 0 and favourite["refusal"] == 2 and favourite["compliance"] == 1
    plain, cautious = failures.taste(
        [record] * 2, [corrects, f"{corrects} This is general advice only."], name="caveats"
    )
    assert cautious > plain
    warm, right = failures.warm_and_wrong([record] * 2, [f"Happy to help! {agrees}", corrects])
    assert warm > 0 > right


def test_flipped_pairs_are_the_experts_the_other_way_round():
    pairs = zip(failures.flipped(n=20), desk.pairs(n=20, rater="expert"), strict=True)
    assert all((a["chosen"], a["rejected"]) == (b["rejected"], b["chosen"]) for a, b in pairs)


def test_an_artifact_is_all_that_tells_its_pairs_apart():
    pairs = failures.artifact(n=400)
    assert all(p["chosen"].startswith(failures.GREETING) for p in pairs)
    assert not any(p["rejected"].startswith(failures.GREETING) for p in pairs)
    gold = [desk.gold(p, p["chosen"]) - desk.gold(p, p["rejected"]) for p in pairs]
    assert np.mean(np.array(gold) > 0) == pytest.approx(0.5, abs=0.1)


def test_tables_count_runs_and_say_what_was_not_named():
    named = {"run": "failing/learning rate 0", "steps": 60, "alarms": {"no-movement": [12, 24], "brevity": [24]}}
    missed = {"run": "failing/labels flipped", "steps": 60, "alarms": {}}
    lines = failing([named, missed]).splitlines()
    assert lines[2] == "| learning rate 0 | no-movement | no-movement (12 of 60) | brevity |"
    assert lines[3] == "| labels flipped | label-noise | **no** |  |"
    healthy = [{"run": f"healthy/DPO {at}", "alarms": {"brevity": [12]} if at == 0 else {}} for at in range(20)]
    text = false_alarms(healthy)
    assert "| brevity | 1 | [0, 25] % |" in text and "| verbosity | 0 | at most 14 % |" in text
    assert "| critic-useless | not judged |  |" in text  # there is no critic: that it was not raised says nothing
