"""Modules in the place of packages that no registry has, in a process of their own."""

import subprocess
import sys

CODE = """
import fastvit_dense
from lvis import LVIS
from panopticapi import utils
from panopticapi.utils import id2rgb, rgb2id
try:
    from lvis import LVISEval
except ImportError:
    print(LVIS.__module__, rgb2id(id2rgb([[300]])).tolist())
try:
    import panopticapi.evaluation
except ImportError:
    print('mmdet does without')
"""


def test_they_have_what_mmdets_datasets_need_and_no_more(tmp_path):
    run = [sys.executable, '-c', CODE]
    found = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    assert found == ['fastvit_dense.datasets.formats.lvis [[300]]', 'mmdet does without']
    (tmp_path / 'lvis.py').write_text('class LVIS: pass\nclass LVISEval: pass\n')
    code = 'import fastvit_dense\nfrom lvis import LVIS\nprint(LVIS.__module__)'
    run = [sys.executable, '-c', code]
    installed = subprocess.run(
        run, capture_output=True, text=True, check=True, env={'PYTHONPATH': f'{tmp_path}:.'}
    )
    assert installed.stdout == 'lvis\n'
