"""The error that everything about data raises."""


class DataError(ValueError):
    """A dataset, an annotation file or a picture that cannot be used.

    The message names the file and the entry, what was expected and what was found.
    """
