"""The environment check, on this environment and on made-up ones of real package metadata."""

import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from fastvit_dense.compat import environment

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    'torch': '2.11.0+cu130',
    'torchvision': '0.26.0+cu130',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
    **dict.fromkeys(environment.PLAIN_REQUIREMENTS, '1.0'),
}
ORIGINAL = {
    **{name: version for name, version in GOOD.items() if not name.startswith('onedl')},
    'mmengine': '0.10.7',
    'mmcv-lite': '2.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
}


@pytest.fixture
def bare(tmp_path):
    """An empty virtual environment to put packages into."""
    return BareEnvironment(tmp_path / 'venv')


class BareEnvironment:
    def __init__(self, folder):
        venv.create(folder, symlinks=True)
        self.python = folder / 'bin' / 'python'
        if not self.python.exists():
            pytest.skip('virtual environments look different on this system')
        (self.site,) = folder.glob('lib/python*/site-packages')

    def add(self, name, version, module=None, source='', requires=''):
        """A distribution of that name: its metadata, and a module with that source."""
        information = self.site / f'{name.replace("-", "_")}-{version}.dist-info'
        information.mkdir()
        lines = [f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}']
        lines += [f'Requires-Dist: {requires}'] if requires else []
        (information / 'METADATA').write_text('\n'.join(lines) + '\n')
        if module:
            (self.site / module).mkdir()
            (self.site / module / '__init__.py').write_text(source)

    def run(self, *arguments):
        return subprocess.run(
            [self.python, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
        )


def test_this_environment_fits(capsys):
    assert environment.main() == 0
    printed = capsys.readouterr().out
    assert re.search(r'^mmcv operators +(compiled|stand-in from torchvision)$', printed, re.M)
    assert re.search(r'^torch +\d', printed, re.M)
    assert printed.rstrip().endswith('Everything required is here and fits.')


def test_command_line():
    done = subprocess.run(
        [sys.executable, '-m', 'fastvit_dense'], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('fastvit_dense')


def test_nothing_installed(bare):
    done = bare.run('-m', 'fastvit_dense')
    assert done.returncode == 1
    assert done.stderr == ''
    commands = re.findall(r'mend: (.*)', done.stdout)
    assert commands[0] == 'pip install torch==2.11.0 torchvision==0.26.0'
    assert commands[1] == (
        'pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 onedl-mmdetection==3.5.1 '
        'onedl-mmsegmentation==1.4.2'
    )
    assert 'numpy' in commands[2]

    done = bare.run('-c', 'import fastvit_dense')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        'ImportError: torch and torchvision not installed. To mend it: pip install torch==2.11.0'
    )


def test_good_environments_have_no_problems():
    assert environment.find_problems(GOOD) == []
    assert environment.find_problems(ORIGINAL) == []


@pytest.mark.parametrize(
    ('installed', 'what', 'command'),
    [
        (
            {**GOOD, 'mmcv': '2.1.0'},
            r'onedl-mmcv and mmcv are both installed',
            'pip uninstall -y onedl-mmcv mmcv && pip install onedl-mmcv==2.3.6',
        ),
        (
            {**ORIGINAL, 'mmcv': '2.1.0'},
            r'mmcv and mmcv-lite are both installed',
            'pip uninstall -y mmcv mmcv-lite && pip install mmcv-lite==2.1.0',
        ),
        (
            {**ORIGINAL, 'mmcv-lite': '2.2.0'},
            r'mmdet 3\.3\.0 refuses mmcv-lite 2\.2\.0: it takes 2\.0\.0 or newer below 2\.2\.0',
            'pip uninstall -y mmcv-lite && pip install mmcv-lite==2.1.0',
        ),
        (
            {**{n: v for n, v in GOOD.items() if n != 'onedl-mmcv'}, 'mmcv-full': '1.7.2'},
            r'onedl-mmdetection 3\.5\.1 refuses mmcv-full 1\.7\.2',
            'pip uninstall -y mmcv-full && pip install onedl-mmcv==2.3.6',
        ),
        (
            {**GOOD, 'torch': '2.4.1'},
            r'torchvision .* was built for torch 2\.11\.0, but torch 2\.4\.1 is here',
            'pip install torch==2.11.0 torchvision==0.26.0',
        ),
        (
            {name: version for name, version in GOOD.items() if name != 'scipy'},
            r'^scipy not installed',
            'pip install scipy',
        ),
    ],
)
def test_what_does_not_fit(installed, what, command):
    problems = environment.find_problems(installed)
    assert len(problems) == 1
    assert re.search(what, problems[0].what)
    assert problems[0].command == command
    assert problems[0].required


def test_pytorch3d_wants_its_torch_but_only_the_hand_needs_it():
    problems = environment.find_problems({**GOOD, 'torch': '2.9.0', 'easypytorch3d': '0.7.9.post1'})
    (problem,) = [p for p in problems if 'easypytorch3d' in p.what]
    assert not problem.required
    assert problem.command == 'pip install torch==2.11.0 torchvision==0.26.0'


def test_original_mmengine_without_pkg_resources(bare):
    bare.add('mmengine', '0.10.7', 'mmengine')
    bare.add('setuptools', '82.0.0', 'setuptools')
    printed = bare.run('-m', 'fastvit_dense').stdout
    assert (
        "mmengine 0.10.7 needs pkg_resources for `_base_ = 'mmdet::...'`; setuptools 82.0.0"
        in printed
    )
    assert 'mend: pip install "setuptools<81"' in printed
    # The rest is asked for from the same line.
    assert 'mend: pip install mmcv-lite==2.1.0 mmdet==3.3.0 mmsegmentation==1.2.2' in printed


def test_original_mmsegmentation_without_ftfy(bare):
    bare.add('mmsegmentation', '1.2.2', 'mmseg')
    printed = bare.run('-m', 'fastvit_dense').stdout
    assert 'mmsegmentation 1.2.2 imports ftfy' in printed
    assert 'mend: pip install ftfy regex' in printed


def test_opencv_without_its_system_library(bare):
    message = 'libGL.so.1: cannot open shared object file: No such file or directory'
    bare.add('opencv-python', '4.12.0.88', 'cv2', source=f'raise ImportError({message!r})')
    done = bare.run('-m', 'fastvit_dense')
    assert done.returncode == 1
    (command,) = re.findall(r'OpenCV needs libGL\.so\.1.*\n  mend: (.*)', done.stdout)
    assert 'apt-get install libgl1 ' in command
    assert 'pip uninstall -y opencv-python && pip install opencv-python-headless' in command


def test_compiled_operators_that_do_not_load(bare):
    bare.add('torch', '2.11.0', 'torch')
    bare.add('onedl-mmcv', '2.3.6', 'mmcv')
    (bare.site / 'mmcv' / '_ext.so').write_bytes(b'built for something else')
    done = bare.run('-m', 'fastvit_dense')
    assert re.search(r'^mmcv operators +compiled$', done.stdout, re.M)
    assert "onedl-mmcv's compiled operators do not load" in done.stdout
    assert 'pip uninstall -y onedl-mmcv && pip install onedl-mmcv==2.3.6' in done.stdout


def test_left_over_folder_is_not_an_installation(bare):
    (bare.site / 'mmcv').mkdir()
    assert 'mmengine, mmcv, mmdet, mmseg not installed' in bare.run('-m', 'fastvit_dense').stdout


def test_a_fault_of_our_own_is_not_blamed_on_the_environment():
    assert environment.explain(TypeError('unexpected keyword')) is None


def test_import_names_the_system_library():
    reason = environment.explain(ImportError('libGL.so.1: cannot open shared object file'))
    assert 'apt-get install libgl1' in reason
    assert '\n' not in reason


def test_pins_are_those_of_the_requirements_files():
    for line, name in (('onedl', 'requirements.txt'), ('original', 'requirements-upstream.txt')):
        pinned = (ROOT / name).read_text().splitlines()
        assert set(environment.TESTED[line].values()) <= set(pinned)
    assert set(environment.TORCH.split()) <= set(
        (ROOT / 'requirements.txt').read_text().splitlines()
    )


def test_installing_the_package_replaces_no_openmmlab():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    groups = [project['dependencies'], *project['optional-dependencies'].values()]
    names = {re.match(r'[\w-]+', named).group().lower() for group in groups for named in group}
    openmmlab = {name for names_ in environment.DISTRIBUTIONS.values() for name in names_}
    assert names & openmmlab == set()
    # Everything that the check asks for is asked for by pip, too.
    assert set(environment.PLAIN_REQUIREMENTS) <= names
