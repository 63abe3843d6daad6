"""What can go wrong, each with the exit code of the command line."""

import signal


class PrefjaxError(Exception):
    """A failure a user can mend: its text is one message, printed without a traceback."""

    exit_code = 1


class ConfigError(PrefjaxError):
    """A setting is unknown, mistyped, out of range or contradictory."""

    exit_code = 2


class DataError(PrefjaxError):
    """A file or a row cannot be used; the message gives file, line and field."""

    exit_code = 3


class NonFiniteError(PrefjaxError):
    """A loss or gradient became NaN or infinite."""

    exit_code = 4


class CheckpointError(PrefjaxError):
    """A checkpoint is missing, damaged, or not of this model."""

    exit_code = 5


class HungError(CheckpointError):
    """Writing a checkpoint takes longer than it may. A program leaves by `os._exit`: Python waits for hung threads."""


class LockedError(PrefjaxError):
    """Another process trains in the workdir."""

    exit_code = 6


class DiskError(PrefjaxError):
    """A file of the workdir cannot be written."""

    exit_code = 7


class SweepError(PrefjaxError):
    """Programs of a sweep failed, while the others went on; the exit code is that of the first which did."""

    def __init__(self, message: str, exit_code: int):
        self.exit_code = exit_code
        super().__init__(message)


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to stop; like its parent, it passes through code that catches `Exception`."""

    def __init__(self, number: int, where: str = "before the first step"):
        self.exit_code = 128 + number
        super().__init__(f"{signal.Signals(number).name}: stopped {where}; the same command goes on from there")
