"""What TRL's own code makes of given tensors: a script for a Python that has trl and torch, and needs no prefjax.

    python tests/losses/trl_numbers.py IN.npz OUT.npz

IN holds log-probabilities and masks `[B, 2, T]`, rewards `[B, 2]`, margins and labels `[B]`; OUT the value of each loss
of `CASES` and its gradient. The trainers' own methods are called, on a stand-in for the trainer and for its models.
"""

import sys
from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import torch
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer

PLAIN = {"f_divergence_type": "reverse_kl", "label_smoothing": 0.0, "ld_alpha": None, "use_weighting": False}
DPO = {  # name -> loss type, settings
    "sigmoid": ("sigmoid", {}),
    "hinge": ("hinge", {}),
    "ipo": ("ipo", {}),
    "exo": ("exo_pair", {"label_smoothing": 0.01}),
    "nca": ("nca_pair", {}),
    "robust": ("robust", {"label_smoothing": 0.2}),
    "bco": ("bco_pair", {}),
    "sppo": ("sppo_hard", {}),
    "aot": ("aot", {"label_smoothing": 0.2}),
    "aot_unpaired": ("aot_unpaired", {}),
    "apo_zero": ("apo_zero", {}),
    "apo_down": ("apo_down", {}),
    "discopop": ("discopop", {}),
    "sft": ("sft", {}),
    "sigmoid_norm": ("sigmoid_norm", {}),
    "forward_kl": ("sigmoid", {"f_divergence_type": "forward_kl"}),
    "js": ("sigmoid", {"f_divergence_type": "js_divergence"}),
    "alpha": ("sigmoid", {"f_divergence_type": "alpha_divergence"}),
    "ld_dpo": ("sigmoid", {"ld_alpha": 0.3}),
    "wpo": ("sigmoid", {"use_weighting": True}),
}
BETA = 0.5


def trainer(**settings):
    accelerator = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    shared = {
        "accelerator": accelerator,
        "model": SimpleNamespace(training=True, is_gradient_checkpointing=False),
        "beta": BETA,
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "_total_train_tokens": 0,
        "_tp_size": 1,
        "maybe_activation_offload_context": nullcontext(),
    }
    return SimpleNamespace(**shared | settings)


def model(logps):
    """Says the same log-probabilities, of the tokens after the first, whatever it is given."""
    nothing = torch.zeros_like(logps)
    said = {"log_sum_sq_probs": nothing, "entropy": nothing, "mean_logits": nothing, "is_top1": nothing.bool()}
    return lambda **inputs: SimpleNamespace(log_probs=logps, **said)


def flat(x):
    """`[B, 2, T]` as TRL lies pairs: the chosen side of all, then the rejected one."""
    return torch.cat([x[:, 0], x[:, 1]])


def dpo(data, name, settings):
    logps, mask = data["logps"], data["mask"]
    policy, reference = (flat(torch.where(mask, x, 0))[:, 1:] for x in (logps, data["ref_logps"]))
    args = SimpleNamespace(gradient_checkpointing_kwargs=None, discopop_tau=0.05)
    how = PLAIN | {"f_alpha_divergence_coef": 0.5, "loss_types": [name], "loss_weights": [1.0], "args": args}
    tokens = torch.zeros(flat(mask).shape, dtype=torch.long)
    inputs = {"input_ids": tokens, "completion_mask": flat(mask).long(), "attention_mask": tokens + 1}
    self = trainer(ref_model=model(reference), **how | settings)
    return DPOTrainer._compute_loss(self, model(policy), inputs, False)


def kto(data, loss_type):
    logps, mask = data["logps"], data["mask"]
    policy, reference = (torch.where(mask, x, 0)[:, 0, 1:] for x in (logps, data["ref_logps"]))
    models = model(policy), model(reference)  # of mismatched responses, they speak of the second candidates
    others = [torch.where(mask, x, 0)[:, 1].sum(-1).detach() for x in (logps, data["ref_logps"])]
    self = trainer(
        ref_model=models[1],
        loss_type=loss_type,
        calculate_KL=loss_type == "kto",
        desirable_weight=1.5,
        undesirable_weight=0.5,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        _compute_kl_logps=lambda asked, batch: others[models.index(asked)],
    )
    tokens = torch.zeros(mask[:, 0].shape, dtype=torch.long)
    inputs = {"input_ids": tokens, "completion_mask": mask[:, 0].long(), "attention_mask": tokens + 1}
    return KTOTrainer._compute_loss(self, models[0], inputs | {"label": data["label"].bool()}, False)


def means(data):
    mask = data["mask"]
    return torch.where(mask, data["logps"], 0).sum(-1) / mask.sum(-1)


def cpo(data, loss_type, rewards, **settings):
    self = trainer(alpha=0.0, loss_type=loss_type, **settings)
    return CPOTrainer.cpo_loss(self, rewards[:, 0], rewards[:, 1])[0].mean()


def reward(data, **inputs):
    args = SimpleNamespace(center_rewards_coefficient=0.01)
    logits = torch.cat([data["rewards"][:, 0], data["rewards"][:, 1]])[:, None]
    found = lambda **_: SimpleNamespace(logits=logits)
    attention = torch.ones(len(logits), 1)
    return RewardTrainer.compute_loss(trainer(args=args), found, {"attention_mask": attention} | inputs)


CASES = {name: lambda data, how=how: dpo(data, *how) for name, how in DPO.items()} | {
    "kto": lambda data: kto(data, "kto"),
    "apo_zero_of_one": lambda data: kto(data, "apo_zero_unpaired"),
    "cpo": lambda data: cpo(data, "sigmoid", (data["logps"] * data["mask"]).sum(-1), label_smoothing=0.1),
    "simpo": lambda data: cpo(data, "simpo", means(data), label_smoothing=0.1, simpo_gamma=0.3),
    "orpo": lambda data: -ORPOTrainer.odds_ratio_loss(trainer(), *means(data).T)[0].mean(),
    "reward": lambda data: reward(data),
    "reward_margin": lambda data: reward(data, margin=data["margin"]),
}


def main(source, out):
    found = {}
    for name, loss in CASES.items():
        data = {key: torch.from_numpy(x) for key, x in np.load(source).items()}
        moved = "rewards" if "reward" in name else "logps"
        data[moved].requires_grad_()
        value = loss(data)
        value.backward()
        found |= {name: value.item(), f"{name}/gradient": data[moved].grad.numpy()}
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
