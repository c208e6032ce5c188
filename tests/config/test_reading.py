"""Finding a config: a path, or the name of one that comes with the package."""

from pathlib import Path

import pytest

from fastvit_dense.config.reading import default_work_dir, find_config, read_config
from fastvit_dense.errors import ConfigError

NAME = 'maskrcnn_fastvit_sa24'


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_config_by_its_name_from_any_folder(root_dir):
    files = sorted((root_dir / 'configs').glob('*.py'))
    assert len(files) > 20
    for file in files:
        assert find_config(file.stem).samefile(file)


def test_read_by_name():
    cfg = read_config(NAME)
    assert cfg.model.backbone.arch == 'sa24'
    assert Path(cfg.filename).name == f'{NAME}.py'


def test_a_path_is_itself(root_dir):
    path = root_dir / f'configs/{NAME}.py'
    assert find_config(path) == path
    assert find_config(str(path)) == path


def test_a_file_wins_over_a_name(elsewhere):
    (elsewhere / NAME).write_text('')
    assert find_config(NAME) == Path(NAME)


def test_a_folder_does_not(elsewhere):
    (elsewhere / NAME).mkdir()
    assert find_config(NAME).name == f'{NAME}.py'


@pytest.mark.parametrize(
    ('wrong', 'near'),
    [
        ('maskrcnn_fastvit_sa42', NAME),
        (f'{NAME}.py', NAME),
        (f'configs/{NAME}.py', NAME),
        ('mine/my_modle.py', 'mine/my_model.py'),
    ],
)
def test_the_nearest_is_named(elsewhere, wrong, near):
    (elsewhere / 'mine').mkdir()
    (elsewhere / 'mine/my_model.py').write_text('')
    with pytest.raises(ConfigError) as error:
        find_config(wrong)
    assert wrong in str(error.value)
    assert str(error.value).endswith(f'did you mean {near}?')


@pytest.mark.parametrize('wrong', ['', 'models', '_base_', '../configs'])
def test_no_config(wrong):
    with pytest.raises(ConfigError):
        find_config(wrong)


def test_work_dir_of_a_name_and_of_its_file():
    assert default_work_dir(NAME) == default_work_dir(find_config(NAME)) == f'work_dirs/{NAME}'
