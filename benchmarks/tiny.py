"""The peer scripts on a model XS of 0.2 million parameters and pairs of at most 32 tokens, where overhead is all.

PYTHON benchmarks/tiny.py DIR/trl_dpo.py --model XS --pairs 4 [...]
"""

import functools
import runpy
import sys
from pathlib import Path
from types import ModuleType


def add_to(common: ModuleType) -> None:
    """Teaches the peers' `common` the model XS and its pairs."""
    common.MODELS["XS"] = {"d": 64, "layers": 2, "heads": 2, "ff": 172, "vocab": 1024}
    plain, short = common.make_pairs, functools.partial(common.make_pairs, prompt_len=8, lo=8, hi=24)
    common.make_pairs = lambda name, *args, **kwargs: (short if name == "XS" else plain)(name, *args, **kwargs)


if __name__ == "__main__":
    script = sys.argv.pop(1)
    sys.path.insert(0, str(Path(script).parent))
    import common

    add_to(common)
    runpy.run_path(script, run_name="__main__")
