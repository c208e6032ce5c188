"""Configs of the project are read by their paths from its root."""

import pytest


@pytest.fixture(autouse=True)
def _in_root(monkeypatch, root_dir):
    monkeypatch.chdir(root_dir)
