"""A name for the account, where the system knows only its number.

A container that is started with `--user 1234` runs as an account without a name. PyTorch asks for
the name when it chooses a folder for what it compiles, and cannot be imported whole without one.
"""

import getpass
import os


def install() -> None:
    """Name the account by its number, for this process and those it starts; cheap, idempotent."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        os.environ['USER'] = f'uid{os.getuid()}'
