"""Finding and reading a config: a path, or the name of one that comes with the package."""

from pathlib import Path

import pytest

from fastvit_dense.config.reading import (
    default_work_dir,
    find_config,
    read_config,
    remove_pretrained,
)
from fastvit_dense.errors import ConfigError
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

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
    with raises_naming(ConfigError, wrong, f'did you mean {near}?') as error:
        find_config(wrong)
    assert str(error.value).endswith('?')


@pytest.mark.parametrize('wrong', ['', 'models', '_base_', '../configs'])
def test_no_config(wrong):
    with pytest.raises(ConfigError):
        find_config(wrong)


def test_work_dir_of_a_name_and_of_its_file():
    assert default_work_dir(NAME) == default_work_dir(find_config(NAME)) == f'work_dirs/{NAME}'


@pytest.mark.parametrize(
    ('text', 'place'),
    [
        ("model = dict(_delete_=True, backbone='FastViT')", 'model.backbone'),
        ('randomness = 3', 'randomness'),
        ("param_scheduler = 'fast'", 'param_scheduler'),
        ("train_dataloader = dict(dataset='coco')", 'train_dataloader.dataset'),
        (
            "train_dataloader = dict(dataset=dict(metainfo='x'))",
            'train_dataloader.dataset.metainfo',
        ),
    ],
)
@pytest.mark.parametrize('sample', [False, True])
def test_values_of_another_kind_in_a_file(text, place, sample, root_dir, tmp_path):
    path = tmp_path / 'config.py'
    base = 'semfpn_fastvit_t8.py' if 'dataset' in text else 'maskrcnn_fastvit_t8.py'
    path.write_text(f'_base_ = {str(root_dir / "configs" / base)!r}\n{text}\n')
    with raises_naming(ConfigError, path, place, 'expected'):
        load_config(path, sample=sample)


def test_broken_config_files(root_dir, tmp_path):
    for name, text, *facts in (
        ('broken.py', 'model = dict(\n', 'SyntaxError'),
        ('mine.py', 'model = dict()\nlr = 1 / 0\n', 'ZeroDivisionError', 'mine.py, line 2'),
        ('zoo.py', "_base_ = 'mmdett::rtmdet/x.py'", 'mmdett'),
        ('own.py', "_base_ = './semfpn_fastvit_t8.py'", root_dir / 'configs/semfpn_fastvit_t8.py'),
        ('part.py', "_base_ = '_base_/common.py'", root_dir / 'configs/_base_/common.py'),
        ('mine.json', '{"model": {"type"', 'JSONDecodeError'),
        ('README.md', '# Title', 'py/yml/yaml/json'),
    ):
        (tmp_path / name).write_text(text)
        with raises_naming(ConfigError, tmp_path / name, *facts):
            read_config(tmp_path / name)
    path = root_dir / 'configs/_base_/common.py'
    with raises_naming(ConfigError, path, 'no model'):
        read_config(path)


def test_a_module_that_is_not_there(root_dir, tmp_path, monkeypatch):
    """It is named alone, not the folders that were searched; so is one that a module wants."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'wants_another.py').write_text('import module_not_there\n')
    for name in ('module_not_there', 'wants_another'):
        file = tmp_path / 'config.py'
        file.write_text(f"custom_imports = dict(imports=['fastvit_dense', '{name}'])\n")
        with raises_naming(ConfigError, file, "'module_not_there'", 'PYTHONPATH') as raised:
            load_config(file)
        assert ('wants_another.py, line 1' in str(raised.value)) == (name == 'wants_another')
        assert '\n' not in str(raised.value)


def test_a_checkpoint_that_follows_drops_the_pretrained_file():
    name = 'maskrcnn_fastvit_t8'
    assert load_config(name).model.backbone.init_cfg.checkpoint == 'apple/fastvit_t8'
    assert load_config(name, pretrained=False).model.backbone.init_cfg is None
    model = dict(pretrained='x', neck=[dict(init_cfg=dict(type='Pretrained', checkpoint='y'))])
    remove_pretrained(model)
    assert model == dict(pretrained=None, neck=[dict(init_cfg=None)])
