"""The error that everything about data raises."""


class DataError(ValueError):
    """A dataset, an annotation file or a picture that cannot be used.

    The message names the file and the entry, what was expected and what was found.
    """

    def __init__(self, message: str = '') -> None:
        # torch raises a data loading worker's error anew, with the worker's traceback for a message
        super().__init__(message.rpartition(f'{__name__}.DataError: ')[2].rstrip('\n'))
