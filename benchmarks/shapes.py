"""The peer scripts on more shapes: XS, where overhead is all, E, where no row has padding, and those of sweep.py.

    PYTHON benchmarks/shapes.py DIR/trl_dpo.py --model XS --pairs 4 [...]

XS has 0.2 million parameters and pairs of at most 32 tokens; E is the peers' S with completions of one length; desk is
the model of the desk world and stories260K the one of that name, with pairs as long as those that they are tuned on.
"""

import functools
import runpy
import sys
from pathlib import Path
from types import ModuleType

LENGTHS = {
    "XS": {"prompt_len": 8, "lo": 8, "hi": 24},
    "E": {"lo": 96, "hi": 96},
    "desk": {"prompt_len": 15, "lo": 9, "hi": 40},
    "stories260K": {"prompt_len": 21, "lo": 160, "hi": 330},
}


def add_to(common: ModuleType) -> None:
    """Teaches the peers' `common` these shapes and their pairs."""
    common.MODELS["XS"] = {"d": 64, "layers": 2, "heads": 2, "ff": 172, "vocab": 1024}
    common.MODELS["desk"] = {"d": 96, "layers": 3, "heads": 4, "ff": 256, "vocab": 499}
    common.MODELS["stories260K"] = {"d": 64, "layers": 5, "heads": 8, "ff": 172, "vocab": 512}
    common.MODELS["E"] = common.MODELS["S"]
    make = common.make_pairs
    common.make_pairs = lambda name, *args, **knobs: functools.partial(make, **LENGTHS.get(name, {}))(
        name, *args, **knobs
    )


if __name__ == "__main__":
    script = sys.argv.pop(1)
    sys.path.insert(0, str(Path(script).parent))
    import common

    add_to(common)
    runpy.run_path(script, run_name="__main__")
