"""Pure loss functions on jax arrays, one family a file: `from prefjax.losses import dpo_loss`.

Every public function named `*_loss` in a file of this folder is exported: a new loss is a new file. Arrays come first
(policy, reference, mask), hyper-parameters are keyword-only; `margin`, `target`, `grade`, `ranks` and `where` are
keyword arrays, a row of which is one of the batch. Each returns `(Mean, {name: Mean})`, in float32: the loss as a
scalar that remembers its weight, and its metrics.
"""

import importlib
import pkgutil
from collections.abc import Callable

_exports = {
    name: value
    for module in pkgutil.iter_modules(__path__)
    for name, value in vars(importlib.import_module(f"{__name__}.{module.name}")).items()
    if name.endswith("_loss") and value.__module__ == f"{__name__}.{module.name}"
}
__all__ = sorted(_exports)


def __getattr__(name: str) -> Callable:
    if name in _exports:
        return _exports[name]
    raise AttributeError(f"module {__name__!r} has no loss {name!r}; it has {', '.join(__all__)}")
