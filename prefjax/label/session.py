"""A sitting of one annotator: what is next, what was judged, how fast, and how far annotators agree."""

import statistics
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefjax.data.files import files
from prefjax.data.records import Record
from prefjax.errors import DataError
from prefjax.evals.agreement import LOW, Comparison, comparisons
from prefjax.label import judgements as judged
from prefjax.label.items import Item, key, order, queue
from prefjax.label.judgements import Verdict
from prefjax.label.store import Store, judgements


class Known(NamedTuple):
    """What is remembered of a judgement."""

    annotator: str
    key: str
    said: list[Comparison]


def known(record: Record) -> Known:
    return Known(str(record["annotator"]), key(record), [*comparisons(record)])


Reading = tuple[Any, list[Known]]  # of a file: its size and time of change, and what it held


class Taken(Exception):
    """The page judges what is not, or no longer, to be judged."""


class Session:
    """The state behind the page; every method may be called from any thread.

    Args:
      items: what is to be judged.
      store: where to.
      annotator: who judges.
      scale: "binary", "graded" or "ranked".
      seed: draws the order of items and of their answers.
      guideline: digest of the guideline, kept with each judgement.
      overlap: how many annotators shall judge an item; None: all.
      others: files of other annotators, read again when they have grown.
    """

    def __init__(
        self,
        items: Sequence[Item],
        store: Store,
        annotator: str,
        scale: str,
        *,
        seed: int = 0,
        guideline: str = "",
        overlap: int | None = None,
        others: Sequence[str] = (),
    ):
        self.items = {item.key: item for item in items}
        self.store, self.annotator, self.scale, self.seed = store, annotator, scale, seed
        self.overlap, self.guideline = overlap, guideline
        self.queue = queue([*items], seed, annotator if overlap else "")
        self.lock = threading.RLock()
        self.known = [known(record) for record in store.earlier]  # of the file, in its order
        self.mine = {one.key for one in self.known if one.annotator == annotator}  # judged or set aside
        self.mine |= {name for whose, name in store.skipped if whose == annotator}
        self.done: list[tuple[Item, Record, Verdict]] = []  # of this sitting, the newest last
        self.redo: tuple[Item, Verdict] | None = None  # what was undone last, to be judged again
        apart = [path for pattern in others for path in files(pattern) if Path(path).resolve() != store.path.resolve()]
        self.others = {path: reread(path) for path in apart}
        self.trouble = ""  # why files of others cannot be read again
        if overlap:  # what others have begun comes first, so that there is agreement to measure
            begun = self.counts()
            self.queue.sort(key=lambda item: item.key not in begun)

    def counts(self) -> dict[str, int]:
        """How many other annotators have judged each item."""
        whose: dict[str, set[str]] = {}
        for one in self.all():
            if one.annotator != self.annotator:
                whose.setdefault(one.key, set()).add(one.annotator)
        return {name: len(annotators) for name, annotators in whose.items()}

    def all(self) -> list[Known]:
        """What all annotators judged, in this file and in the others."""
        return [*self.known, *(one for _, read in self.others.values() for one in read)]

    def follow(self) -> None:
        """Reads the files of others again where they have changed; those of which it fails stay as they were."""
        troubles = []
        for path, before in self.others.items():
            try:
                self.others[path] = reread(path, before)
            except (DataError, OSError) as error:
                troubles.append(str(error))
        self.trouble = "; ".join(troubles)

    def left(self) -> list[Item]:
        """What this annotator has still to judge."""
        full = {name for name, n in self.counts().items() if n >= self.overlap} if self.overlap else ()
        return [item for item in self.queue if item.key not in self.mine and item.key not in full]

    def next(self, left: list[Item]) -> Item | None:
        return self.redo[0] if self.redo else left[0] if left else None

    def state(self) -> dict[str, Any]:
        """What the page shows."""
        with self.lock:
            self.follow()
            left = self.left()
            item = self.next(left)
            shown = order(self.seed, self.annotator, item) if item else []
            return {
                "item": item
                and {"key": item.key, "prompt": item.prompt, "answers": [item.answers[at] for at in shown]},
                "again": self.redo and self.redo[1]._asdict(),
                "judged": len(self.mine & self.items.keys()),
                "left": len(left),
                "undo": bool(self.done),
                "pace": self.pace(len(left)),
                "agreement": self.agreement(),
                "trouble": self.trouble,
            }

    def judge(self, name: str, sent: Any) -> None:
        """Records the verdict on the item of that key.

        Raises:
          Taken: this annotator has judged it already. What others judge meanwhile throws no verdict away.
          ValueError: the verdict is malformed.
          DiskError: it could not be written, and nothing was.
        """
        with self.lock:
            item = self.items.get(name)
            if item is None or name in self.mine:
                raise Taken("this one is judged already: here is the next")
            given = judged.verdict(sent, self.scale, len(item.answers))
            shown = order(self.seed, self.annotator, item)
            about: Record = {"annotator": self.annotator, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
            about |= {"seed": self.seed} | ({"guideline": self.guideline} if self.guideline else {})
            record = judged.record(item, shown, given, self.scale, about)
            if record is None:
                record = judged.unlabelled(item, shown, given, self.scale, about)
                self.store.set_aside(record)
            else:
                self.store.add(record)
                self.known.append(known(record))
            self.mine.add(name)
            self.done.append((item, record, given))
            self.redo = None

    def undo(self) -> None:
        """Takes back the last judgement of this sitting, and shows its item again.

        Raises:
          Taken: there is none.
          DataError: something else was written after it; it stays.
          DiskError: it could not be taken out.
        """
        with self.lock:
            if not self.done:
                raise Taken("nothing was judged in this sitting: there is nothing to undo")
            item, record, given = self.done[-1]
            self.store.undo(item.key, record)
            self.done.pop()
            self.mine.discard(item.key)
            if "event" not in record:
                self.known.pop()
            self.redo = item, given

    def pace(self, left: int) -> str:
        """How fast it goes, in words; empty before the third judgement."""
        if len(self.done) < 3:
            return ""
        seconds = statistics.median(record["meta"]["seconds"] for _, record, _ in self.done)
        minutes = round(seconds * left / 60)
        rest = "" if not left else f", about {minutes} min left" if minutes else ", under a minute left"
        return f"{seconds:.0f} s each{rest}"

    def agreement(self) -> dict[str, Any] | None:
        """Alpha over everything two annotators compared, in words; None where there is nothing yet."""
        told = ((one.annotator, said) for one in self.all() for said in one.said)
        found, pairs, people = judged.agreement(told, resamples=300)
        if found is None:
            return None
        words = f"α {found.mean:.2f} [{found.low:.2f}, {found.high:.2f}] of {people} annotators on {pairs} pairs"
        return {"words": words, "low": found.mean < LOW}


def reread(path: str, before: Reading = (None, [])) -> Reading:
    """The judgements of a file that another process may append to: those of before where it has not changed.

    Raises:
      DataError: it holds something else; an editor may be between two writes.
      OSError: it is gone.
    """
    now = Path(path).stat()
    stamp = now.st_size, now.st_mtime_ns
    return before if stamp == before[0] else (stamp, [known(record) for record in judgements(path, growing=True)])
