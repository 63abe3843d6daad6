"""The studies, a set of real preferences each, and their arms: what is trained on it, with which loss and labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

from configs import dpo_storybyte, reward_hh, reward_ultrafeedback
from prefjax import sweep

FOLDS = 3  # by prompt; each is held out once
SEEDS = (0, 1)
HERE = "experiments.real.sides"
VOTES = "pandalm(path='$PREFJAX_DATA/pandalm_test/pandalm_testset.jsonl.gz', bad_rows=60)"
N = 2  # stories of each held-out pair's request


class Study(NamedTuple):
    """A set of preferences, and what all of its arms share."""

    title: str
    source: str
    recipe: Callable[[], Any]
    shared: dict[str, Any]  # config path -> value
    policy: bool = False  # a policy is trained, and not a reward model


class Arm(NamedTuple):
    """What is trained in a study; the first arm of each is what the others are compared with."""

    study: str
    name: str
    changes: dict[str, Any]  # config path -> value
    labels: str = "{}"  # what makes the training source of the study's


STUDIES = {
    "oasst": Study(
        "Rankings by people: OpenAssistant",
        "oasst(path='$PREFJAX_DATA/oasst_rankings/ranked_groups.jsonl.gz')",
        reward_hh.get_config,
        {"data.max_length": 512, "steps": 24, "batch_size": 8},
    ),
    "ultrafeedback": Study(
        "Grades by an AI judge: UltraFeedback",
        "ultrafeedback(path='$PREFJAX_DATA/ultrafeedback_slice/*.jsonl.gz', bad_rows=7)",
        reward_ultrafeedback.get_config,
        {},
    ),
    "pandalm": Study(
        "Three votes of people: PandaLM",
        VOTES,
        reward_hh.get_config,
        {"steps": 36},
    ),
    "storybyte": Study(
        "A rule, dialogue or none: StoryByte",
        dpo_storybyte.PAIRS,
        dpo_storybyte.get_config,
        {},
        policy=True,
    ),
}


def _majority(name: str, loss: str, ties: bool = True) -> Arm:
    return Arm("pandalm", name, {"loss": loss}, f"{HERE}:majority(source={{!r}}, ties={ties})")


def _graded(name: str, rows: str, loss: str = "bradley_terry_loss()") -> Arm:
    return Arm("ultrafeedback", name, {"loss": loss, "data.rows": rows})


def _policy(name: str, loss: str, **more: Any) -> Arm:
    return Arm("storybyte", name, {"loss": loss, **more})


_AS_ROWS = {"data.rows": "pairs(expand_rankings=True)", "batch_size": 28}  # as many pairs as 8 rankings have
_SINGLE = {"algorithm": "kto", "data.rows": "unpaired()", "batch_size": 32}
ARMS = (
    Arm("oasst", "Bradley-Terry, pairs as rows", {"loss": "bradley_terry_loss()", **_AS_ROWS}),
    Arm("oasst", "all pairs of a ranking as one", {"loss": "all_pairs_loss()", "data.rows": "rankings()"}),
    Arm("oasst", "Plackett-Luce", {"loss": "plackett_luce_loss()", "data.rows": "rankings()"}),
    _graded("Bradley-Terry", "pairs()"),
    _graded("a margin of 1/3 a grade", "pairs(margin_per_grade=0.3333333333333333)"),
    _graded("a margin of 1 a grade", "pairs(margin_per_grade=1.0)"),
    _graded("ordinal", "pairs(grades=True)", "ordinal_loss()"),
    _majority("Bradley-Terry, majority without ties", "bradley_terry_loss()", ties=False),
    _majority("Bradley-Terry, majority", "bradley_terry_loss()"),
    Arm("pandalm", "Bradley-Terry, votes", {"loss": "bradley_terry_loss()"}),
    _majority("Davidson, majority", "davidson_loss()"),
    _majority("Rao-Kupper, majority", "rao_kupper_loss()"),
    _policy("DPO", "dpo_loss(beta=0.3)"),
    _policy("IPO", "ipo_loss(tau=0.3)"),
    _policy("SimPO", "simpo_loss(beta=2.0, gamma=1.0)"),
    _policy("ORPO", "orpo_loss(lam=0.1)"),
    _policy("KTO", "kto_loss(beta=0.3)", **_SINGLE),
    _policy("SFT on the chosen", "sft_loss()"),
)


def runs(arm: Arm) -> list[sweep.Run]:
    """The runs of an arm: a program for each fold, and a lane of it for each seed."""
    return [run for at in range(FOLDS) for run in sweep.runs(config(arm, at), [sweep.Axis("seed", SEEDS)])]


def config(arm: Arm, at: int) -> Any:
    """What an arm trains where fold `at` is held out."""
    study = STUDIES[arm.study]
    c = study.recipe()
    train, held_out = (fold(source, part, at) for source, part in parts(arm))
    knobs = f"judge='configs.dpo_storybyte:dialogue', n={N}, max_new=208, batch_size=64"
    stories = {"stories": f"samples(source={held_out!r}, {knobs})"} if study.policy else {}
    c.evals = {"sides": f"{HERE}:make(source={held_out!r})"} | stories
    c.data.train = train
    c.budget.kl = 0.0  # how far runs drift is what is measured
    for path, value in (study.shared | arm.changes).items():
        sweep.change(c, path, value)
    return c


def parts(arm: Arm) -> tuple[tuple[str, str], tuple[str, str]]:
    """The source and part of training, with the labels of the arm, and of what is held out, which all arms share."""
    source = STUDIES[arm.study].source
    return (arm.labels.format(source), "train"), (source, "held_out")


def fold(source: str, part: str, at: int) -> str:
    return f"{HERE}:fold(source={source!r}, part={part!r}, at={at}, of={FOLDS})"
