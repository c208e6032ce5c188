"""One thread: these tests are many small operators, which only wait for each other's threads."""

import pytest
import torch


@pytest.fixture(autouse=True, scope='package')
def one_thread():
    """Run this folder on one thread, then give the others back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
