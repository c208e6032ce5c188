"""The list of published files as a user asks for it."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

from fastvit_dense.checkpoints.listing import listing_table
from fastvit_dense.checkpoints.published import PUBLISHED


def test_all_files_with_what_is_known(run_tool):
    done = run_tool('models')
    assert done.status == 0
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(PUBLISHED)]] == list(PUBLISHED)
    (row,) = [line for line in lines if line.startswith('timm/fastvit_mci0.apple_mclip2')]
    assert row.split()[2:5] == ['mci0', '10.74', '9.64']
    assert 'apple-amlr' in row
    assert 'apple-amlr: Apple ML research model licence: scientific research only' in lines
    (row,) = [line for line in lines if line.startswith('apple/fastvit_t8_reparam')]
    assert 'folded: to predict with' in row


def test_some_files_as_json(run_tool):
    """By part of a name of any tool."""
    rows = json.loads(run_tool('models', 'MobileCLIP_S0_timm', '--json').out)
    assert [row['name'] for row in rows] == ['timm/fastvit_mci0.apple_mclip']
    assert rows[0]['parameters'] == 10_737_600
    assert rows[0]['size'] is None
    assert rows[0]['sha256'] is None


def test_reader_that_has_enough(root_dir):
    """As `| head` is one: no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, root_dir / 'tools/models.py']
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, '')


def test_by_the_name_of_the_model(run_tool):
    lines = run_tool('models', 'mobileclip2-s2').out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [
        'timm/fastvit_mci2.apple_mclip2_dfndr2b',
        'mobileclip2/mobileclip2_s2',
    ]


def test_files_without_an_address_are_marked():
    file = replace(PUBLISHED['fastvlm/fastvithd'], addresses=())
    row = {**asdict(file), 'parameters': 1_000_000, 'macs': 10**9}
    text = listing_table([row])
    assert text.splitlines()[1].split()[:2] == ['fastvlm/fastvithd', '*']
    assert '*  its address is not known here' in text


def test_nothing_found(run_tool):
    done = run_tool('models', 'resnet')
    assert done.status == 1
    assert done.out.strip() == "no published file is called 'resnet'"


def test_starts_at_once(root_dir):
    """No library that takes seconds is imported for a table."""
    words = [sys.executable, '-X', 'importtime', 'tools/models.py', 'sa24']
    done = subprocess.run(words, cwd=root_dir, capture_output=True, text=True)
    assert 'apple/fastvit_sa24' in done.stdout
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {'torch', 'mmengine', 'numpy'}
