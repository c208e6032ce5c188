"""Wheel and source distribution: what they hold, and that the wheel works where it is installed.

The wheel goes into an empty environment that sees the libraries of this one, and is used from
another folder, with the checkout out of sight.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

pytestmark = pytest.mark.integration
NOT_COPIED = ('.*', '*.egg-info', '__pycache__', 'build', 'data', 'dist', 'tests', 'work_dirs')
BUILD = """
import sys
from setuptools import build_meta
getattr(build_meta, f'build_{sys.argv[1]}')(sys.argv[2])
"""
SHORT = (
    *(
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.indices=4',
        'train_dataloader.batch_size=2',
    ),
    *('train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False'),
    *('val_dataloader=None', 'val_cfg=None', 'val_evaluator=None'),
    'default_hooks.checkpoint.save_best=None',
)


@pytest.fixture(scope='module')
def source(root_dir, tmp_path_factory):
    """A copy of the checkout: building leaves files in it."""
    folder = tmp_path_factory.mktemp('source') / 'copy'
    shutil.copytree(root_dir, folder, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
    return folder


def build(kind, source, out):
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BUILD, kind, str(out)],
        cwd=source,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope='module')
def sdist(source, tmp_path_factory):
    out = tmp_path_factory.mktemp('sdist')
    build('sdist', source, out)
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope='module')
def wheel(source, sdist, tmp_path_factory):
    """Built after the source distribution, which leaves nothing that it would take."""
    out = tmp_path_factory.mktemp('wheel')
    build('wheel', source, out)
    (file,) = out.iterdir()
    return file


def contents(wheel):
    """CRC of each file by its name, without the lists of files."""
    with zipfile.ZipFile(wheel) as files:
        return {
            info.filename: info.CRC
            for info in files.infolist()
            if not info.filename.endswith(('/RECORD', '/'))
        }


def test_wheel_holds_package_and_configs(wheel, source):
    expected = {
        f'{prefix}{file.relative_to(source)}'
        for prefix, folder in (('', 'fastvit_dense'), ('fastvit_dense/', 'configs'))
        for file in (source / folder).rglob('*')
        if file.is_file() and '__pycache__' not in file.parts
    }
    held = {name for name in contents(wheel) if '.dist-info/' not in name}
    assert held == expected
    assert 'fastvit_dense/configs/_base_/common.py' in held


def test_source_distribution_makes_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as files:
        files.extractall(tmp_path, filter='data')
    (folder,) = tmp_path.iterdir()
    assert (folder / 'tools/train.py').is_file()
    build('wheel', folder, tmp_path / 'out')
    (again,) = (tmp_path / 'out').iterdir()
    assert contents(again) == contents(wheel)


class Installed:
    """The wheel in an environment of its own, and a folder that knows nothing of the checkout."""

    def __init__(self, wheel, folder):
        venv.create(folder / 'venv', with_pip=False)
        self.bin = folder / 'venv' / 'bin'
        if not (self.bin / 'python').exists():
            pytest.skip('virtual environments look different on this system')
        (site,) = (folder / 'venv').glob('lib/python*/site-packages')
        libraries = [path for path in sys.path if path.endswith('-packages')]
        (site / 'libraries.pth').write_text('\n'.join(libraries))
        pip = (sys.executable, '-m', 'pip', '--python', str(self.bin / 'python'), 'install')
        options = ('--quiet', '--disable-pip-version-check', '--no-deps', '--no-index')
        subprocess.run([*pip, *options, str(wheel)], check=True)
        self.package = site / 'fastvit_dense'
        self.folder = folder / 'elsewhere'
        self.folder.mkdir()

    def run(self, program, *arguments):
        """Run a program of the environment in the other folder."""
        environment = {key: os.environ[key] for key in os.environ if key != 'PYTHONPATH'}
        done = subprocess.run(
            [self.bin / program, *map(str, arguments)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope='module')
def installed(wheel, sample_data, tmp_path_factory):
    installed = Installed(wheel, tmp_path_factory.mktemp('installed'))
    (installed.folder / 'data').mkdir()
    (installed.folder / 'data/sample').symlink_to(sample_data)
    return installed


@pytest.mark.parametrize('called', ['fastvit-dense', 'python -m fastvit_dense'])
def test_help_from_another_folder(installed, called):
    program = called.split()
    listed = installed.run(*program, '--help')
    assert f'usage: {called} COMMAND' in listed
    for command in ('train', 'test', 'evaluate', 'predict', 'export'):
        assert f'\n  {command} ' in listed
    told = installed.run(*program, 'train', '--help')
    assert f'\n{called} train maskrcnn_fastvit_sa24' in told


def test_load_model_from_another_folder(installed):
    program = """
import json, warnings
import fastvit_dense
import numpy

with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter('always')
    model = fastvit_dense.load_model('semfpn_fastvit_t8')
assert any('random weights' in str(warning.message) for warning in warned)
result = model(numpy.zeros((40, 60, 3), numpy.uint8))
print(json.dumps([fastvit_dense.__file__, model.cfg.filename, result.labels.shape]))
"""
    place, config, shape = json.loads(installed.run('python', '-c', program).splitlines()[-1])
    assert place == str(installed.package / '__init__.py')
    assert config == str(installed.package / 'configs/semfpn_fastvit_t8.py')
    assert shape == [40, 60]


@pytest.fixture(scope='module')
def trained(installed):
    """The checkpoint of a training of two iterations, by the name of a config."""
    options = ('--sample', '--cfg-options', *SHORT)
    installed.run('fastvit-dense', 'train', 'semfpn_fastvit_t8', *options)
    return installed.folder / 'work_dirs/semfpn_fastvit_t8/epoch_1.pth'


def test_train_from_another_folder(trained):
    assert trained.is_file()


@pytest.mark.slow  # training checks the same data, from there too
def test_check_data_from_another_folder(installed):
    told = installed.run(
        *('python', '-m', 'fastvit_dense', 'check-data', 'maskrcnn_fastvit_sa24'),
        *('--sample', '--quick'),
    )
    assert 'coco/annotations/instances_train2017.json' in told


@pytest.mark.slow
def test_test_and_predict_from_another_folder(installed, trained):
    config = 'semfpn_fastvit_t8'
    installed.run('fastvit-dense', 'test', config, trained, '--sample')
    report = json.loads((trained.parent / 'report.json').read_text())
    assert report['model']['config'] == f'configs/{config}.py'
    assert (trained.parent / 'report.html').is_file()
    pictures = installed.folder / 'data/sample/ade20k/ADEChallengeData2016/images/validation'
    picture = min(pictures.iterdir())
    installed.run('fastvit-dense', 'predict', config, trained, picture, '--sample')
    assert (installed.folder / 'predictions' / f'{picture.stem}.json').is_file()
