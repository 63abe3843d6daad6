"""Call strings: how a config names a loss, an optimizer, a data source or an evaluation.

    resolve("dpo_loss(beta=0.1)", "prefjax.losses")          a function of a package
    resolve("dpo", "prefjax.algorithms")                     a module of a package: its `make`
    resolve("experiments.mine.loss:my_loss(tau=0.3)")        a function from anywhere

Numbers are traced, words are static: a numeric keyword may vary from run to run of one compiled program, unless the
function annotates it as `int` (a count or a size, which gives shapes). There is no registry.
"""

import ast
import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from prefjax.errors import ConfigError


class Call(NamedTuple):
    """A function and the keywords that a call string gives it."""

    function: Callable
    kwargs: dict[str, Any]
    text: str

    @property
    def numbers(self) -> dict[str, float]:
        """The keywords that may be traced."""
        parameters = inspect.signature(self.function).parameters
        return {k: float(v) for k, v in self.kwargs.items() if _is_number(v) and not _counts(parameters.get(k))}

    @property
    def words(self) -> dict[str, Any]:
        """The keywords that are static."""
        return {k: v for k, v in self.kwargs.items() if k not in self.numbers}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function with the string's keywords; those given here go first.

        Raises:
          ConfigError: the function lacks an argument, or takes none of that name.
        """
        kwargs = self.kwargs | kwargs
        try:
            inspect.signature(self.function).bind(*args, **kwargs)
        except TypeError as error:
            raise ConfigError(f"{self.text!r}: {error}") from None
        return self.function(*args, **kwargs)


def resolve(text: str, *homes: str) -> Call:
    """Finds what a call string names.

    Args:
      text: `name`, `name(keyword=literal, ...)` or `module:name(...)`.
      *homes: packages or modules in which a bare name is looked up, in order.

    Raises:
      ConfigError: the string is no call, the name is not there, or the function takes no such keyword; the message
        gives the nearest name.
    """
    name, kwargs = parse(text)
    function = _find(name, homes, text)
    parameters = inspect.signature(function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        known = [k for k, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
        for key in kwargs:
            if key not in known:
                raise ConfigError(f"{text!r}: {name} takes no keyword {key!r}; {nearest(key, known)}")
    return Call(function, kwargs, text)


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Splits a call string into its name and its literal keywords."""
    head, bracket, arguments = text.partition("(")
    module, _, name = head.rpartition(":")
    try:
        tree = ast.parse(f"{name}{bracket}{arguments}".strip(), mode="eval").body
        if isinstance(tree, ast.Call):
            if tree.args or any(k.arg is None for k in tree.keywords):
                raise ValueError("arguments are given by keyword")
            kwargs = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
            tree = tree.func
        else:
            kwargs = {}
        name = ast.unparse(tree)
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name!r} is no name")
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{text!r} is not a call string like 'name(keyword=1.0)': {error}") from None
    return (f"{module}:{name}" if module else name), kwargs


def is_call(text: str) -> bool:
    """Whether a string is a call with brackets, and not a path."""
    return text.endswith(")") and "/" not in text.partition("(")[0]


def keywords(values: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The part of flat `hparams` that belongs to the call at `path`, as keywords."""
    return {key[len(path) + 1 :]: value for key, value in values.items() if key.startswith(f"{path}.")}


def nearest(name: str, known: Iterable[str]) -> str:
    """Words that point from an unknown name to those that exist."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known) or 'none'}"


def _find(name: str, homes: tuple[str, ...], text: str) -> Callable:
    module_name, _, wanted = name.rpartition(":")
    known: set[str] = set()
    why = f"no {wanted!r} in {module_name or ' or '.join(homes)}"
    for home in (module_name,) if module_name else homes:
        try:
            module = importlib.import_module(home)
        except ModuleNotFoundError as error:
            if error.name and (home == error.name or home.startswith(f"{error.name}.")):
                raise ConfigError(f"{text!r}: there is no module {home!r} on the path") from None
            raise
        found = getattr(module, wanted, None)
        if found is None and _is_submodule(module, wanted):
            found = importlib.import_module(f"{home}.{wanted}")
        if inspect.ismodule(found):
            found, why = getattr(found, "make", None), f"{found.__name__} has no make(...)"
        if callable(found):
            return found
        known |= set(_calls(home, module))
    raise ConfigError(f"{text!r}: {why}; {nearest(wanted, known)}")


def _calls(home: str, module: Any) -> Iterator[str]:
    """What a call string may name there: functions, and modules with a `make`, of our own packages all of them."""
    package = getattr(module, "__path__", ()) if home.startswith("prefjax.") else ()
    inside = {found.name for found in pkgutil.iter_modules(package)}
    for name in {*(getattr(module, "__all__", None) or dir(module)), *inside}:
        if not name.startswith("_"):
            to_import = name in inside and not hasattr(module, name)
            found = importlib.import_module(f"{home}.{name}") if to_import else getattr(module, name, None)
            if callable(getattr(found, "make", None) if inspect.ismodule(found) else found):
                yield name


def _is_submodule(module: Any, name: str) -> bool:
    return hasattr(module, "__path__") and importlib.util.find_spec(f"{module.__name__}.{name}") is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counts(parameter: inspect.Parameter | None) -> bool:
    """Whether a parameter is annotated as an integer, be it as a type or as a string, and so static."""
    kinds = re.findall(r"\w+", str(parameter.annotation)) if parameter else ()
    return "int" in kinds and "float" not in kinds
