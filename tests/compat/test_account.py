"""An account that has a number and no name, as in a container started with `--user 1234`."""

import os
import subprocess
import sys

import pytest

# a process that has imported PyTorch hands its folder on
NAMES = ('LOGNAME', 'USER', 'LNAME', 'USERNAME', 'TORCHINDUCTOR_CACHE_DIR')
# the system's answer for such an account
PROGRAM = """
import pwd

def unknown(uid):
    raise KeyError(f'getpwuid(): uid not found: {uid}')

pwd.getpwuid = unknown
"""


@pytest.fixture
def run_nameless(root_dir):
    """`run_nameless(program)` is what a program prints as an account without a name."""

    def run(program):
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', PROGRAM + program],
            cwd=root_dir,
            env={name: value for name, value in os.environ.items() if name not in NAMES},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.stdout.strip() or done.stderr

    return run


@pytest.mark.skipif(not hasattr(os, 'getuid'), reason='accounts have no numbers here')
def test_an_account_without_a_name(run_nameless):
    alone = run_nameless('import torch._dynamo')
    assert 'uid not found' in alone  # so PyTorch itself still needs the name
    named = 'import fastvit_dense, getpass, torch._dynamo; print(getpass.getuser())'
    assert run_nameless(named) == f'uid{os.getuid()}'


def test_a_name_stays(root_dir):
    program = "import fastvit_dense, os; print(os.environ['USER'], os.environ.get('LOGNAME'))"
    done = subprocess.run(
        [sys.executable, '-c', program],
        cwd=root_dir,
        env={**os.environ, 'USER': 'someone', 'LOGNAME': 'someone'},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ['someone', 'someone']
