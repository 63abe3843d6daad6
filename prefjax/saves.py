"""Checkpoints of a run as they are written, through Orbax, and the way back to one of them."""

import contextlib
import math
import re
import threading
import time
from collections.abc import Callable, Container, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from prefjax import checkpoint, files
from prefjax.errors import DiskError, HungError
from prefjax.processes import agree, is_first, several
from prefjax.types import TrainState


class Checkpoints:
    """Those of one run, written while it goes on; of the newest steps `keep` stay.

    Steps that are damaged and newer than the newest good one are set aside, since the run will write them again.
    """

    def __init__(
        self,
        workdir: Path,
        keep: int = 2,
        inside: Callable[[], Container[int]] = tuple,
        *,
        limit: int = 1200,
        beside: bool = False,
    ):
        """Opens the folder of a run.

        Args:
          workdir: of the run.
          keep: newest steps that stay.
          inside: returns the steps inside the budget of the run, of which the newest stays too: see `back`.
          limit: seconds that a save may take, after which it counts as hung.
          beside: there are other runs in this process, which may save too.

        Raises:
          CheckpointError: there are steps, and none of them is good.
        """
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, LatestN

        self._folder, self._size, self._inside = workdir.resolve() / checkpoint.FOLDER, 0, inside
        self._waits = beside and several()  # Orbax in several processes knows of one save at a time
        self.latest = self._good = checkpoint.newest(workdir)
        self._limit, self._hangs = limit, False
        self._saving: tuple[int, float] | None = None  # the step that is being written, and since when
        for step in checkpoint.steps(workdir) if is_first() else ():
            if step > (self.latest or 0):
                files.set_aside(self._folder / str(step))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=AnyPreservationPolicy([LatestN(keep), _NewestOf(inside)]),
            cleanup_tmp_directories=True,
            async_options=ocp.AsyncOptions(timeout_secs=limit, post_finalization_callback=self._vouch),
        )
        with files.writing(self._folder):
            self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        if self._hangs:
            return  # closing would wait for it
        with self._surfacing():
            self._wait()
            self._manager.close()

    def save(self, state: TrainState, cut: Any = None) -> None:
        """Starts to save a state under its step; returns once the state may be donated.

        Args:
          state: the state.
          cut: what `restore` shall return with it, of JSON.

        Raises:
          DiskError: this or the save before it failed.
          HungError: the save before it takes too long.
        """
        import orbax.checkpoint as ocp

        self._size = sum(x.nbytes for x in jax.tree.leaves(state))
        rest = state._asdict()
        items = {"params": ocp.args.StandardSave(rest.pop("params")), "rest": ocp.args.StandardSave(rest)}
        with self._surfacing():
            self._wait()
            self._saving = int(state.step), time.monotonic()
            self._manager.save(int(state.step), args=ocp.args.Composite(**items, cut=ocp.args.JsonSave({"cut": cut})))
            if self._waits:
                self._wait()

    def restore(self, like: TrainState) -> tuple[TrainState, Any]:
        """The newest good state, with the structure and types of `like`, and its `cut`; `like` before the first save.

        Raises:
          CheckpointError: the saved state has another structure, shape or type.
        """
        return (like, None) if self.latest is None else checkpoint.restored(self._manager, self.latest, like)

    def back(self, start: TrainState) -> TrainState:
        """The newest good state inside the budget, which is then the newest of the run: later steps are set aside.

        Args:
          start: the state before the first step, which is saved and returned where no step is inside.
        """
        with self._surfacing():
            self._wait()
        steps = checkpoint.steps(self._folder.parent)
        inside = [step for step in steps if step in self._inside() and files.damage(self._folder / str(step)) is None]
        target = max(inside, default=0)
        agree(target)  # all have looked before the first one renames
        for step in steps if is_first() else ():
            if step > target:
                files.set_aside(self._folder / str(step), "over_budget")
        agree(target)
        self._manager.reload()
        if not inside:
            self.save(start)
            return start
        return checkpoint.restored(self._manager, target, start)[0]

    def _wait(self) -> None:
        """Waits for the save that goes on, if there is one, as long as it may take."""
        if self._saving is None:
            return

        def wait():
            with contextlib.suppress(Exception):  # it is raised again below
                self._manager.wait_until_finished()

        step, since = self._saving
        waiter = threading.Thread(target=wait, daemon=True)
        waiter.start()
        waiter.join(max(since + self._limit - time.monotonic(), 1.0))  # one that has ended long ago needs a moment
        if waiter.is_alive():
            raise TimeoutError
        self._manager.wait_until_finished()
        self._saving, self._good = None, step

    def _vouch(self) -> None:
        """The last act of a save: Orbax then gives the folder its name, so that no step is ever without a manifest."""
        (unnamed,) = self._folder.glob("*.orbax-checkpoint-tmp")
        files.vouch(unnamed)

    def _check_hangs(self, error: Exception) -> None:
        """Raises HungError if that is what an error means: one of `_wait`, or Orbax's own."""
        step, since = self._saving or (0, math.inf)
        seconds = time.monotonic() - since
        if not isinstance(error, TimeoutError) or seconds < self._limit:
            return
        self._hangs = True
        whole = f"goes on from step {self._good}, the newest whole one" if self._good is not None else "starts again"
        raise HungError(
            f"{self._folder}: writing the checkpoint of step {step} hangs, after {seconds:.0f} seconds, of which "
            f"config.checkpoint_timeout allows {self._limit}; the same command {whole}"
        ) from error

    @contextlib.contextmanager
    def _surfacing(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            self._check_hangs(error)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            refusal = re.search(r"([^:]+) \[os_error_code", reason)  # at the end of a long story of the writer's
            reason = refusal[1].strip() if refusal else reason
            raise DiskError(
                f"{self._folder}: a checkpoint could not be written: {reason}; "
                f"a state takes {self._size:,} bytes, {files.free(self._folder)}"
            ) from error


class _NewestOf(NamedTuple):
    """Orbax's rule that keeps the newest of some steps, however many newer ones there are."""

    steps: Callable[[], Container[int]]

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        del context
        newest = max((c.step for c in checkpoints if c.step in self.steps()), default=None)
        return [c.step == newest for c in checkpoints]
