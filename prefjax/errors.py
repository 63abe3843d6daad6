"""What can go wrong, each with the exit code of the command line."""


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
