"""What the table of losses says that the code does not: where defaults come from, and who else has a loss."""

DEFAULTS = {  # loss -> source of its defaults; the others have none, or say it in their docstring
    "aot_loss": "TRL",
    "apo_down_loss": "TRL",
    "apo_zero_loss": "TRL",
    "apo_zero_unpaired_loss": "TRL",
    "all_pairs_dpo_loss": "as `dpo_loss`",
    "all_pairs_ipo_loss": "as `ipo_loss`",
    "bco_loss": "TRL",
    "bco_unpaired_loss": "as `bco_loss`",
    "beta_dpo_loss": "beta as `dpo_loss`; alpha ours",
    "bradley_terry_loss": "0: the plain loss",
    "cal_dpo_loss": "as `dpo_loss`",
    "cispo_loss": "epsilon paper: no bound; epsilon_high Khatri et al. 2025",
    "cpo_loss": "TRL",
    "davidson_loss": "nu 1: three outcomes equally likely at equal rewards",
    "discopop_loss": "paper",
    "dpo_loss": "paper, section 6",
    "exo_loss": "TRL",
    "f_dpo_loss": "beta as `dpo_loss`; alpha TRL",
    "gspo_loss": "paper, section 5.1",
    "ipo_loss": "TRL",
    "kto_loss": "paper; TRL",
    "ld_dpo_loss": "beta as `dpo_loss`; alpha ours",
    "lipo_loss": "as `dpo_loss`",
    "nca_loss": "TRL",
    "ordinal_loss": "ours",
    "orpo_loss": "TRL",
    "plackett_luce_dpo_loss": "as `dpo_loss`",
    "ppo_policy_loss": "epsilon paper; dual clip and clip-higher off",
    "ppo_value_loss": "lm-human-preferences",
    "rao_kupper_loss": "theta 2: three outcomes equally likely at equal rewards",
    "rdpo_loss": "beta as `dpo_loss`; alpha ours",
    "robust_dpo_loss": "beta as `dpo_loss`; label_smoothing ours",
    "simpo_loss": "the authors' for Llama-3-Base",
    "slic_loss": "TRL",
    "sppo_loss": "as `dpo_loss`; the paper's eta of 1,000 is a beta of 0.001",
    "unlikelihood_loss": "ours",
    "wpo_loss": "as `dpo_loss`",
    "xpo_loss": "beta as `dpo_loss`; alpha TRL",
}
TRL = {  # loss -> its name in TRL 1.16
    "aot_loss": "aot, aot_unpaired",
    "apo_down_loss": "apo_down",
    "apo_zero_loss": "apo_zero",
    "apo_zero_unpaired_loss": "apo_zero_unpaired",
    "bco_loss": "bco_pair",
    "bradley_terry_loss": "RewardTrainer",
    "cpo_loss": "CPO (experimental)",
    "discopop_loss": "discopop",
    "dpo_loss": "sigmoid, sigmoid_norm",
    "exo_loss": "exo_pair",
    "f_dpo_loss": "f_divergence_type",
    "ipo_loss": "ipo",
    "kto_loss": "KTO",
    "ld_dpo_loss": "ld_alpha",
    "nca_loss": "nca_pair",
    "orpo_loss": "ORPO (experimental)",
    "robust_dpo_loss": "robust",
    "sft_loss": "sft, SFTTrainer",
    "simpo_loss": "CPO, simpo (experimental)",
    "slic_loss": "hinge",
    "sppo_loss": "sppo_hard",
    "wpo_loss": "use_weighting",
}
OTHERS = {  # loss -> other libraries that have it
    "bradley_terry_loss": "OpenRLHF, EasyDeL, open-instruct, NeMo-RL",
    "cispo_loss": "TRL's GRPO, torchrl",
    "dpo_loss": "OpenRLHF, Tunix, EasyDeL, open-instruct, Levanter, MaxText, NeMo-RL",
    "gspo_loss": "TRL's GRPO, AReaL, ms-swift",
    "kto_loss": "EasyDeL",
    "orpo_loss": "Tunix, EasyDeL, MaxText",
    "ppo_policy_loss": "OpenRLHF, verl, Tunix, EasyDeL, trlx, NeMo-RL",
    "ppo_value_loss": "OpenRLHF, verl, Tunix, EasyDeL, trlx, NeMo-RL",
    "sft_loss": "all",
    "simpo_loss": "EasyDeL; in part open-instruct, Levanter",
    "xpo_loss": "TRL's XPO (experimental), EasyDeL",
}
RESTS = """
## Where they come to rest

With all the data there is, Bradley-Terry labels and a policy that can be anything, `dpo_loss`, `wpo_loss`, `robust_dpo_loss` on
flipped labels, `plackett_luce_dpo_loss` and `all_pairs_dpo_loss` reach the optimum of E r - beta KL; the others reach another
policy, or none. [experiments/closed_form](../experiments/closed_form/README.md) derives which, and trains to it.
"""  # noqa: E501
ALIASES = """
## By other names

What is a setting, a sum or a kind of rows here has no function of its own:

| name | as |
|---|---|
| cDPO, conservative DPO | `dpo_loss(label_smoothing=0.1)` |
| ODPO, DPO with an offset; margin DPO | `dpo_loss()` on `pairs(margin_per_grade=0.5)` |
| DPO on votes, soft labels, ties | `dpo_loss()` on pairs with `votes` or `grade` |
| length-normalised DPO (`sigmoid_norm`) | `dpo_loss(beta=5.0, reduction='mean')` |
| length-normalised IPO | `ipo_loss(reduction='mean')` |
| RPO, DPO with an SFT term | `dpo_loss() + 0.2 * sft_loss()` |
| Preferred-FT | `sft_loss(per='response')` on pairs, or `unlikelihood_loss(alpha=0.0)` |
| TR-DPO, and any other loss with a moving reference | `c.reference = "sync(alpha=0.6, steps=100)"` |
| AOT on unpaired data | `aot_loss(paired=False)` |
| KTO, BCO or APO on pairs, grades and rankings | the losses on judged responses, on `unpaired()` rows: its docstring says which are good |
| DPO or IPO on rankings, as pairs of their own | `pairs(expand_rankings=True)` |
| Dr. GRPO | `1 / max_new * ppo_policy_loss(per='sequence')`, the factor as a number, with `c.rl.std = False` |
| DAPO | `ppo_policy_loss(epsilon_high=0.28)`, with `c.rl.drop_equal = True` and the reward `overlong()` |
| online DPO, OAIF | any loss on pairs with `c.algorithm = "online_dpo"` |
| SPIN | `dpo_loss()` with `c.algorithm = "spin"` |
| InstructGPT's reward model | `all_pairs_loss()` on `rankings()` |
"""  # noqa: E501
DIFFERENCES = """
## Where TRL differs

`tests/losses/test_against_trl.py` holds every loss that TRL 1.16 has too to its own code on random tensors: values to 1e-5,
gradients to 1e-4. By choice we differ in this:

- `ipo_loss` sums over tokens, as in the paper; TRL takes the mean, `reduction='mean'`.
- `wpo_loss` weighs by the likelihood of the tokens; TRL aligns it to that of sampled ones, which needs the whole vocabulary.
- `cpo_loss` and `orpo_loss` average the likelihood of the chosen response over its tokens, then over pairs; TRL over the tokens
  of a batch, which a cut into microbatches changes. The preference terms agree.
- `simpo_loss`'s gamma is in units of reward; TRL divides `simpo_gamma` by beta before it multiplies by it: the same number.
- `f_dpo_loss(alpha=a)` is TRL's `f_alpha_divergence_coef = 1 - a`; the JS divergence lacks its constant log 2, which cancels.
  Ratios are bounded at 20 nats; TRL bounds the exponent at 80.
- `kto_loss` leaves a mismatched response out that answers the same prompt or does not fit, and refuses microbatches, of which
  TRL takes an estimate each.
- `bradley_terry_loss`, `dpo_loss` and others take soft targets, and all losses rows that do not count.
- `robust_dpo_loss` is NaN from a smoothing of 1/2 on, where TRL changes its sign.
- `exo_loss` needs a smoothing above 0; TRL replaces 0 by 0.001, which is our default.
"""  # noqa: E501
