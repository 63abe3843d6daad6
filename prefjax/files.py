"""Files of a workdir: written whole or not at all, by one process at a time, and without secrets."""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefjax.errors import DiskError, LockedError

LOCK = "LOCK"
MANIFEST = "manifest.json"
# Orbax writes these into a step after its manifest; they hold times, and nothing is restored by them.
_UNVOUCHED = ("_CHECKPOINT_METADATA", "commit_success.txt")
_SECRETS = (  # what stands before a secret, and the secret
    re.compile(r"(?i)((?:key|token|secret|passw(?:or)?d)['\"]?\s*[=:]\s*['\"]?)([\w.+/~-]{8,})"),
    re.compile(r"(://)([^/@\s]+)(?=@)"),
)


@contextlib.contextmanager
def writing(path: Path) -> Generator[None]:
    """Turns the system's refusals to write at or under `path` into a DiskError."""
    try:
        yield
    except OSError as error:
        raise DiskError(f"{error.filename or path}: {error.strerror or error}; {free(path)}") from error


def free(path: Path) -> str:
    """Words for the space that is left where `path` is, or will be."""
    place = path.absolute()
    while place != place.parent and not os.path.exists(place):
        place = place.parent
    return f"{shutil.disk_usage(place).free:,} bytes are free"


def write(path: Path, text: str) -> None:
    """Writes a file that a killed process leaves as it was or as it should be, never between the two."""
    with writing(path):
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text)
        temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, as `write` does."""
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def redact(value: Any) -> Any:
    """A value of JSON without what looks like a secret: `...key=`, `...token=`, the user and password of an address."""
    if isinstance(value, str):
        return functools.reduce(lambda text, pattern: pattern.sub(r"\1REDACTED", text), _SECRETS, value)
    if isinstance(value, Mapping):
        named = lambda key, text: redact(f"{key}={text}")[len(f"{key}=") :]  # a key may tell what its text does not
        return {key: named(key, x) if isinstance(x, str) else redact(x) for key, x in value.items()}
    return [redact(inner) for inner in value] if isinstance(value, list | tuple) else value


def named(reference: str) -> tuple[Path, int | None, bool]:
    """The folder that a reference to a model names, its step, and whether the averaged copy is meant.

    >>> named("runs/dpo@40:ema")
    (PosixPath('runs/dpo'), 40, True)
    """
    stem = reference.removesuffix(":ema")
    match = re.fullmatch(r"(.*)@([0-9]+)", stem)
    folder = Path(os.path.expandvars(match[1] if match else stem)).expanduser()
    return folder, int(match[2]) if match else None, stem != reference


@contextlib.contextmanager
def locked(workdir: Path) -> Generator[None]:
    """Makes a workdir and holds its lock.

    Raises:
      LockedError: another process holds it.
    """
    with writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    with held(workdir / LOCK, f"{workdir}: another run is at work here:"):
        yield


@contextlib.contextmanager
def held(lock: Path, taken: str, who: str = "", advice: str = "") -> Generator[None]:
    """Holds the lock of a file, which the kernel takes back even from a process that was killed.

    Args:
      lock: the file; it stays, and says who held it last.
      taken: what goes before the holder in the message of the error.
      who: the holder, besides its process and machine.
      advice: what goes after it.

    Raises:
      LockedError: another process holds it.
    """
    with contextlib.ExitStack() as stack:
        with writing(lock):
            file = stack.enter_context(lock.open("a+"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise LockedError(": ".join(filter(None, [f"{taken} {file.read().strip()}", advice]))) from None
            file.truncate(0)
            file.write(", ".join(filter(None, [who, f"process {os.getpid()} on {platform.node()}"])) + "\n")
            file.flush()
        yield


def vouch(folder: Path) -> None:
    """Writes the manifest of a saved step: the sha256 of every file that is restored."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in _UNVOUCHED:
        files.pop(name, None)
    write_json(folder / MANIFEST, dict(zip(files, _hashes([*files.values()]), strict=True)))


def damage(folder: Path, item: str = "") -> str | None:
    """What is wrong with a saved step, or with one item of it; None if its files are those it was saved as."""
    try:
        manifest = dict(json.loads((folder / MANIFEST).read_text()))
    except FileNotFoundError:
        return f"there is no {MANIFEST}"
    except (OSError, ValueError, TypeError):
        return f"{MANIFEST} cannot be read"
    names = [name for name in manifest if name.startswith(item)]
    paths = [folder / name for name in names]
    missing = [name for name, path in zip(names, paths, strict=True) if not path.is_file()]
    if missing or not names:
        return f"{(missing or [item or 'every file'])[0]} is missing"
    changed = (name for name, found in zip(names, _hashes(paths), strict=True) if found != manifest[name])
    return next((f"{name} is not as it was saved" for name in changed), None)


def set_aside(folder: Path, why: str = "damaged") -> None:
    """Renames a folder to `<name>.<why>`, in the place of one that was set aside before."""
    aside = folder.with_name(f"{folder.name}.{why}")
    with writing(folder):
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)


def _hashes(paths: list[Path]) -> list[str]:
    def sha256(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(sha256, paths))
