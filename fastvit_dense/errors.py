"""Errors that say all there is to say: what is wrong with a user's input, where, and what to do.

The command lines show these in one line, every other exception with its traceback.
"""


def reason_of(error: BaseException) -> str:
    """Text of another library's error for a message of ours; its class where it says nothing."""
    return str(error).strip() or f'{type(error).__name__} without a message'


class FastViTDenseError(Exception):
    """Base of the package's own errors."""

    def __init__(self, message: str = '') -> None:
        # torch raises a data loading worker's error anew, with the worker's traceback for a message
        name = f'{type(self).__module__}.{type(self).__qualname__}: '
        super().__init__(message.rpartition(name)[2].rstrip('\n'))


class ConfigError(FastViTDenseError, ValueError):
    """A config file or an option that cannot be used; the message says which and why."""


class CheckpointError(FastViTDenseError, ValueError):
    """A file that cannot be had or read; the message names it, what is wrong and what to do."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint that does not fit the network; the network is unchanged."""


class NotWrittenError(CheckpointError):
    """A file of a run that cannot be written; the message names it, and what is whole."""


class NonFiniteError(FastViTDenseError, ArithmeticError):
    """NaN or Inf where training needs numbers; the message says where it met them."""


class ManoFileError(FastViTDenseError, ValueError):
    """A MANO file that cannot be used; the message names file, field, expected and found."""


class DataError(FastViTDenseError, ValueError):
    """A dataset, an annotation file or a picture that cannot be used.

    The message names the file and the entry, what was expected and what was found.
    """


class PredictionError(DataError):
    """A prediction that cannot be scored; the message names the entry."""


class MissingFileError(DataError, FileNotFoundError):
    """A file or folder that is needed is not there; the message says where it was looked for."""


class ImageError(FastViTDenseError, ValueError):
    """A picture that cannot be read; the message names the file and what is wrong with it."""


class ProcessError(FastViTDenseError, RuntimeError):
    """A process of the run that died or does not answer; the message says which and what to do."""


class ShortOfMemoryError(FastViTDenseError, MemoryError):
    """A training that memory does not hold; the message says what would fit."""


class Stopped(FastViTDenseError):
    """Training that a signal ended after a step; the message says where its checkpoint is.

    Attributes:
        status: Exit status of the command lines: EX_TEMPFAIL, "try again later".
    """

    status = 75


class OperatorError(FastViTDenseError, NotImplementedError):
    """A call of a compiled operator of mmcv that is not there; the message says how to get it.

    A `NotImplementedError`, as mmcv's own code raises and expects.
    """


class ExportError(FastViTDenseError, ValueError):
    """An export that cannot be made, or a file that cannot be used; the message says why."""
