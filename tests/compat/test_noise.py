"""Lines of other libraries: these are silenced, others stay."""

import contextlib
import importlib
import io
import json
import logging
import subprocess
import sys
import warnings

import pytest

from fastvit_dense.compat import noise

pytestmark = pytest.mark.integration


def printed(function, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        function(*args, **kwargs)
    return out.getvalue()


def test_debug_lines_are_not_printed():
    print_log = importlib.import_module('mmengine.logging').print_log
    assert printed(print_log, 'Could not import OneDL', level=logging.DEBUG) == ''
    assert printed(print_log, 'no logger') == 'no logger\n'
    assert printed(print_log, 'a warning', None, logging.WARNING) == 'a warning\n'


def test_importing_the_libraries_prints_nothing(root_dir):
    program = 'import fastvit_dense, mmdet.datasets, mmseg.datasets'
    done = subprocess.run(
        [sys.executable, '-c', program], cwd=root_dir, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ''


def test_the_loggers_lines(logged):
    client = importlib.import_module('mmengine.fileio.file_client')
    client.FileClient(backend='disk')
    assert not [line for line in logged if 'deprecated' in line]
    client.print_log('another line', logger='current', level=logging.WARNING)
    assert 'another line' in logged


def test_coco_files_are_read_in_silence(tmp_path):
    module = importlib.import_module('mmdet.datasets.api_wrappers.coco_api')
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(dict(images=[dict(id=1)], annotations=[], categories=[])))
    assert printed(module.COCO, str(path)) == ''
    assert module.COCO(str(path)).get_img_ids() == [1]
    pycocotools = importlib.import_module('pycocotools.coco')
    assert 'index created!' in printed(pycocotools.COCO, str(path))  # for others it is as it was


def test_warnings():
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        noise.install()
        for text in (*noise.WARNINGS, 'Something else'):
            warnings.warn(f'{text} and so on', stacklevel=1)
    assert [str(warning.message) for warning in told] == ['Something else and so on']
