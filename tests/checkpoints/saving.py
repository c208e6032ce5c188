"""Checkpoint files as programs save them, and objects that make one hostile."""

import pickle

import torch


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


def write(path, content, form):
    """Save as torch does today, as it did before 1.6, or as a plain pickle."""
    if form == 'pickle':
        path.write_bytes(pickle.dumps(content, 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == 'zip')
    return path
