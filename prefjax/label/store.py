"""The file of judgements: a line for each, whole and on the disk before the page hears of it.

Beside FILE lie FILE.aside, which keeps what is no label (cannot judge, all equal, undone), and FILE.lock.
"""

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefjax import files
from prefjax.data.lines import clean
from prefjax.data.records import Record, field_map, scan
from prefjax.errors import ConfigError, DataError, DiskError

UNDONE = "undone"
_BEGIN = (b'{"prompt": ', b'{"event": ')  # lines, and lines aside


class Store:
    """The files of one annotator at work; made by `opened`."""

    def __init__(self, path: Path, earlier: list[Record], skipped: dict[tuple[str, str], Record]):
        self.path, self.aside = path, path.with_name(path.name + ".aside")
        self.earlier = earlier
        self.skipped = skipped  # (annotator, key) -> what was set aside

    def add(self, judgement: Record) -> None:
        """Appends a judgement; raises DiskError, and then the file is as it was."""
        append(self.path, judgement)

    def set_aside(self, event: Record) -> None:
        append(self.aside, event)
        self.skipped[str(event["annotator"]), event["key"]] = event

    def undo(self, key: str, last: Record) -> None:
        """Takes back the last thing that was written: it is kept aside, and its line leaves the file.

        Raises:
          DataError: something else stands after it; nothing is touched.
        """
        undone = last | {"event": UNDONE, "key": key}
        if "event" in last:
            append(self.aside, undone)
            del self.skipped[str(last["annotator"]), key]
            return
        with files.writing(self.path), self.path.open("r+b") as file:
            start = max(file.seek(0, os.SEEK_END) - len(line(last)), 0)
            file.seek(start)
            if file.read() != line(last):
                raise DataError(f"{clean(str(self.path))}: something else wrote after the last verdict, which stays")
            append(self.aside, undone)
            file.truncate(start)
            os.fsync(file.fileno())


def line(value: Record) -> bytes:
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


def append(path: Path, value: Record) -> None:
    """Adds a line to a file, whole or not at all, and waits until the disk has it."""
    with files.writing(path):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(file).st_size
            data = line(value)
            try:
                if (written := os.write(file, data)) < len(data):
                    raise DiskError(f"{path}: {written} of {len(data)} bytes written; {files.free(path)}")
                os.fsync(file)
            except (OSError, DiskError):
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)


def sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def opened(path: Path, annotator: str, scale: str) -> Generator[Store]:
    """Holds the lock of a file of judgements, and reads what is there.

    Raises:
      LockedError: somebody labels into it.
      ConfigError: it holds judgements on another scale.
      DataError: it holds something else.
      DiskError: it cannot be written.
    """
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    advice = "wait, or label into a file of your own with another --out and --others=" + clean(str(path))
    with files.held(path.with_name(path.name + ".lock"), f"{path}: in use by", f"annotator {annotator}", advice):
        aside = path.with_name(path.name + ".aside")
        earlier = [*judgements(path, growing=True)] if path.exists() else []
        skipped = skips(aside) if aside.exists() else {}
        for judgement in earlier[:1]:
            if judgement["meta"]["scale"] != scale:
                there = judgement["meta"]["scale"]
                raise ConfigError(f"{clean(str(path))}: holds {there} judgements; --scale={scale} needs another --out")
        mend(path)  # once both are known to be ours
        mend(aside)
        with files.writing(path):
            path.touch()
            sync(path)
        yield Store(path, earlier, skipped)


def mend(path: Path) -> None:
    """Ends a last line that a cut has left without its end, or takes it out where it is not whole."""
    if not path.exists():
        return
    with files.writing(path), path.open("r+b") as file:
        data = file.read()
        start = data.rfind(b"\n") + 1
        if start == len(data):
            return
        try:
            json.loads(data[start:])
            file.write(b"\n")
        except ValueError:
            if not any(data[start:].startswith(begin[: len(data) - start]) for begin in _BEGIN):
                raise DataError(f"{clean(str(path))}: not a file of judgements; give another --out") from None
            file.truncate(start)
            print(f"{clean(str(path))}: its last line was cut and is taken out; it was never confirmed on the page")


def judgements(path: Path | str, *, growing: bool = False) -> Iterator[Record]:
    """The judgements of a file.

    Args:
      path: what `prefjax label` wrote.
      growing: another process may be writing its last line, which is then left for the next time.

    Raises:
      DataError: a line is something else, by file, line and field.
    """
    for row in scan(path, field_map(), "pairs"):
        refused = [problem for problem in row.problems if problem.kind == "refused"]
        if growing and refused and refused[0].message == "last line cut":
            return
        if refused:
            raise DataError(str(refused[0]))
        if row.record is None:
            continue
        for name, found in (("annotator", row.record), ("scale", row.record.get("meta", {}))):
            if name not in found:
                where = f"{row.path}:{row.line}: {'meta.' if name == 'scale' else ''}{name}"
                raise DataError(clean(f"{where}: missing: expected what prefjax label wrote"))
        yield row.record


def holds(path: Path) -> bool:
    """Whether there is a judgement in a file, whatever else it holds."""
    rows = (row.record or {} for row in scan(path, field_map(), "pairs"))
    return any("annotator" in record and "scale" in record.get("meta", {}) for record in rows)


def skips(path: Path) -> dict[tuple[str, str], Record]:
    """What stands aside and was not undone; without a last line that was cut."""
    standing: dict[tuple[str, str], Any] = {}
    with path.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            try:
                event = json.loads(text)
                whose = str(event["annotator"]), event["key"]
                undone = event["event"] == UNDONE
            except (ValueError, KeyError, TypeError) as error:
                if isinstance(error, ValueError) and not text.endswith(b"\n"):
                    break
                raise DataError(clean(f"{path}:{number}: expected what prefjax label sets aside")) from None
            if undone:
                standing.pop(whose, None)
            else:
                standing[whose] = event
    return standing
