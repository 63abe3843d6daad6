"""The peer scripts on two more shapes: XS, where overhead is all, and E, where no row has padding.

    PYTHON benchmarks/shapes.py DIR/trl_dpo.py --model XS --pairs 4 [...]

XS has 0.2 million parameters and pairs of at most 32 tokens; E is the peers' S with completions of one length.
"""

import functools
import runpy
import sys
from pathlib import Path
from types import ModuleType

LENGTHS = {"XS": {"prompt_len": 8, "lo": 8, "hi": 24}, "E": {"lo": 96, "hi": 96}}


def add_to(common: ModuleType) -> None:
    """Teaches the peers' `common` both shapes and their pairs."""
    common.MODELS["XS"] = {"d": 64, "layers": 2, "heads": 2, "ff": 172, "vocab": 1024}
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
