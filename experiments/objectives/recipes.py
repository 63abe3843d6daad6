"""The objectives: a loss or an algorithm each, at the settings of its source and at one or two others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from configs import dpo, grpo, nash_md, online_dpo, ppo, raft, reward, sft, spin
from prefjax import sweep

WORLD = "prefjax.worlds.desk"
PROMPTS = f"{WORLD}:prompts(split='test')"
SEEDS = (0, 1)
ON_POLICY = "on policy"


class Study(NamedTuple):
    """The sizes of the study."""

    steps: int = 60  # on pairs
    eval_every: int = 12
    batch: int = 16  # pairs; as many answers of rankings and of single responses
    pairs: int = 2000
    online_steps: int = 32
    online_eval_every: int = 8
    online_batch: int = 32  # completions
    prompts: int = 108  # held-out ones, every one of the world's
    n: int = 2  # completions of each
    max_new: int = 48


STUDY = Study()


class Objective(NamedTuple):
    """What is trained, and at which settings."""

    name: str
    family: str
    axis: str  # config path of what differs between the settings
    values: tuple[float, ...]  # first that of the source, where it has one
    changes: dict[str, Any]  # config path -> value
    recipe: Callable[[], Any] = dpo.get_config  # what is changed


def _pairs(
    family: str, name: str, loss: str, axis: str = "beta", values: tuple[float, ...] = (0.1, 0.5), **more: Any
) -> Objective:
    return Objective(name, family, f"loss.{axis}", values, {"loss": loss, **more})


def _alone(name: str, loss: str, axis: str, values: tuple[float, ...], **more: Any) -> Objective:
    return Objective(name, "no reference", axis, values, {"loss": loss, **more})


def _rankings(name: str, loss: str, axis: str = "beta") -> Objective:
    return Objective(name, "rankings", f"loss.{axis}", (0.1, 0.5), {"loss": loss})


def _single(name: str, loss: str) -> Objective:
    return Objective(name, "single answers", "loss.beta", (0.1, 0.5), {"loss": loss, "algorithm": "kto"})


def _online(name: str, recipe: Callable[[], Any], axis: str = "rl.kl_coef", value: float = 0.2) -> Objective:
    return Objective(name, ON_POLICY, axis, (value,), {}, recipe)


def _group(name: str, variant: str, kl_coef: float = 0.2) -> Objective:
    return _online(name, lambda: grpo.get_config(variant), value=kl_coef)


_MARGIN, _EACH, _OTHER = "pairs: their margin", "pairs: each reward by itself", "pairs: another reward or weight"
_DEMOS = {"algorithm": "sft", "data.rows": "demos()", "data.train": f"{WORLD}:demos(split='train', n=2000, seed=1)"}
OBJECTIVES = (
    _pairs(_MARGIN, "DPO", "dpo_loss(beta=0.1)", values=(0.1, 0.5, 2.0)),
    _pairs(_MARGIN, "DPO, by token", "dpo_loss(beta=5.0, reduction='mean')", values=(5.0, 20.0)),
    _pairs(_MARGIN, "cDPO", "dpo_loss(beta=0.1, label_smoothing=0.1)"),
    _pairs(_MARGIN, "robust DPO", "robust_dpo_loss(beta=0.1, label_smoothing=0.1)"),
    _pairs(_MARGIN, "IPO", "ipo_loss(tau=0.1)", "tau"),
    _pairs(_MARGIN, "SLiC", "slic_loss(beta=0.1)"),
    _pairs(_MARGIN, "EXO", "exo_loss(beta=0.1, label_smoothing=0.001)"),
    _pairs(_MARGIN, "DiscoPOP", "discopop_loss(beta=0.05, tau=0.05)", values=(0.05, 0.25)),
    _pairs(_EACH, "NCA", "nca_loss(beta=0.1)"),
    _pairs(_EACH, "BCO", "bco_loss(beta=0.1)"),
    _pairs(_EACH, "SPPO, hard labels", "sppo_loss(beta=0.1)"),
    _pairs(_EACH, "APO-zero", "apo_zero_loss(beta=0.1)"),
    _pairs(_EACH, "APO-down", "apo_down_loss(beta=0.1)"),
    _pairs(_EACH, "Cal-DPO", "cal_dpo_loss(beta=0.1)"),
    _pairs(_OTHER, "R-DPO", "rdpo_loss(beta=0.1, alpha=0.01)"),
    _pairs(_OTHER, "LD-DPO", "ld_dpo_loss(beta=0.1, alpha=0.5)"),
    _pairs(_OTHER, "f-DPO, Jensen-Shannon", "f_dpo_loss(beta=0.1, divergence='js')"),
    _pairs(_OTHER, "f-DPO, forward KL", "f_dpo_loss(beta=0.1, divergence='forward_kl')"),
    _pairs(_OTHER, "WPO", "wpo_loss(beta=0.1)"),
    _pairs(_OTHER, "AOT, paired", "aot_loss(beta=0.1, paired=True)"),
    _pairs(_OTHER, "AOT, unpaired", "aot_loss(beta=0.1, paired=False)"),
    _pairs(_OTHER, "beta-DPO", "beta_dpo_loss(beta=0.1, alpha=0.6, threshold=0.0)"),
    _pairs(_OTHER, "DPO and SFT", "dpo_loss(beta=0.1) + 0.2 * sft_loss()"),
    _pairs(_OTHER, "TR-DPO", "dpo_loss(beta=0.1)", reference="sync(alpha=0.6, steps=32)"),
    _alone("SimPO", "simpo_loss(beta=2.0, gamma=1.0)", "loss.beta", (2.0, 10.0)),
    _alone("CPO", "cpo_loss(beta=0.1)", "loss.beta", (0.1, 0.5)),
    _alone("ORPO", "orpo_loss(lam=0.1)", "loss.lam", (0.1, 1.0), **{"optim.lr": 1e-3}),
    _alone("unlikelihood", "unlikelihood_loss(alpha=0.1)", "loss.alpha", (0.1, 0.5)),
    _alone("SFT on the chosen", "sft_loss()", "optim.lr", (1e-3, 2e-3)),
    _alone("SFT on more demonstrations", "sft_loss()", "optim.lr", (1e-3, 2e-3), **_DEMOS),
    _rankings("DPO, Plackett-Luce", "plackett_luce_dpo_loss(beta=0.1)"),
    _rankings("DPO, all pairs", "all_pairs_dpo_loss(beta=0.1)"),
    _rankings("IPO, all pairs", "all_pairs_ipo_loss(tau=0.1)", "tau"),
    _rankings("LiPO-lambda", "lipo_loss(beta=0.1)"),
    _single("KTO", "kto_loss(beta=0.1)"),
    _single("BCO, single", "bco_unpaired_loss(beta=0.1)"),
    _single("APO-zero, single", "apo_zero_unpaired_loss(beta=0.1)"),
    _online("PPO", ppo.get_config),
    _group("GRPO", "grpo"),
    _group("Dr. GRPO", "dr_grpo"),
    _group("DAPO", "dapo", 0.0),
    _group("GSPO", "gspo"),
    _group("CISPO", "cispo", 0.0),
    _group("RLOO", "rloo"),
    _group("ReMax", "remax"),
    _group("REINFORCE++", "reinforce_pp"),
    _online("Nash-MD", nash_md.get_config, value=0.02),
    _online("online DPO", online_dpo.get_config, "loss.beta", 0.5),
    _online("XPO", lambda: online_dpo.get_config("xpo"), "loss.beta", 0.5),
    _online("RAFT", raft.get_config, value=0.0),
    _online("SPIN", spin.get_config, "loss.beta", 0.1),
)
FAMILIES = tuple(dict.fromkeys(objective.family for objective in OBJECTIVES))


def base_models(folder: Path) -> dict[str, Any]:
    """Name -> config of the two models that all start from and are measured with, in the order of training."""
    scorer = reward.get_config()
    scorer.model = str(folder / "sft")
    return {"sft": sft.get_config(), "reward": scorer}


def runs(objective: Objective, models: Path, study: Study = STUDY) -> list[sweep.Run]:
    """The runs of an objective: a lane of one program for each setting and seed.

    Args:
      objective: one of `OBJECTIVES`.
      models: folder of `base_models`.
      study: the sizes.
    """
    c = objective.recipe()
    if objective.family == ON_POLICY:
        _sample(c, study)
    else:
        _read(c, objective.family, study)
    c.model = str(models / "sft")
    c.frozen = {"reference": c.model, "reward": str(models / "reward")}
    c.cache = str(models / "cache")
    if "value" in c.trained:
        c.trained.value = str(models / "reward")
    knobs = f"limit={study.prompts}, n={study.n}, max_new={study.max_new}, batch_size={study.prompts * study.n}"
    c.evals = {"answers": f"samples(source={PROMPTS!r}, judge='{WORLD}:judge', {knobs})"}
    c.budget.kl = 0.0  # how far runs drift is what is measured
    for path, value in objective.changes.items():
        sweep.change(c, path, value)
    return sweep.runs(c, [sweep.Axis(objective.axis, objective.values), sweep.Axis("seed", SEEDS)])


def _read(c: Any, family: str, study: Study) -> None:
    """As many answers a step of pairs, of rankings of four, and one by one."""
    c.steps, c.eval_every, c.batch_size = study.steps, study.eval_every, study.batch
    c.data.train = f"{WORLD}:pairs(split='train', n={study.pairs}, seed=0)"
    c.reference = "cached"
    if family == "rankings":
        c.data.rows, c.batch_size = "rankings()", study.batch // 2
        c.data.train = f"{WORLD}:pairs(split='train', n={study.pairs // 2}, seed=0, label='ranking', candidates=4)"
    if family == "single answers":
        c.data.rows, c.batch_size = "unpaired()", study.batch * 2
    if family in ("single answers", "no reference"):
        c.reference = "frozen"
    c.optim.lr, c.optim.schedule = 3e-4, "constant(warmup=10)"


def _sample(c: Any, study: Study) -> None:
    """As many samples a step of all, at the rate of their recipes."""
    c.steps, c.eval_every, c.batch_size = study.online_steps, study.online_eval_every, study.online_batch // c.rollout.n
    c.rollout.max_new = study.max_new
    c.optim.schedule = "constant(warmup=3)"
    if c.reference != "frozen":
        c.reference = f"sync(alpha=1.0, steps={study.online_steps // 2})"
