"""What a report says of the machine."""

import json
import os

from fastvit_dense.evaluation.report.environment import collect_environment


def test_environment_names_no_folder_of_a_user():
    environment = collect_environment()
    assert set(environment) == {'python', 'system', 'cpu', 'cpu_cores', 'gpu', 'packages'}
    assert {'fastvit_dense', 'torch', 'mmengine', 'mmcv', 'numpy'} <= set(environment['packages'])
    text = json.dumps(environment)
    assert os.path.expanduser('~') + os.sep not in text
    assert os.getcwd() not in text
    assert os.uname().nodename not in text
