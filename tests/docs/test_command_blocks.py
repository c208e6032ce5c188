"""The shell blocks of the pages, line by line, as a reader would run them.

`test_task_pages.py` runs those of docs/tasks. What is run nowhere stands in `NOT_RUN`, with why.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as coco_mask

from fastvit_dense.datasets.formats.categories import COCO_IDS
from tests import tiny
from tests.datasets.formats import annotated
from tests.test_readme import FENCES, PAGES
from tests.tools.test_own_data import ALL
from tests.tools.test_own_data import SEGMENTOR as ITERATIONS

from .test_task_pages import DETECTOR, QUICK, SEGMENTOR

RUN = (
    *('README.md', 'docs/own_data.md', 'docs/prediction.md'),
    *('docs/deployment.md', 'docs/evaluation.md', 'docs/data_checks.md'),
)
# lines as patterns, and why no test runs them as they stand
NOT_RUN = {
    'make *': 'installs, or is a test run itself',
    '*pip install *': 'installs',
    '. .venv/*': 'is of the shell that a person types into',
    '*camera:0*': 'needs a camera',
    'fastvit-dense app *': 'serves until it is stopped; tests/engine/test_app.py opens it',
    '*https://*': 'needs a network; tests/engine/test_prediction.py has a server of its own',
    '*tools/ray_predict.py MODEL*': 'needs a cluster; tests/tools/test_ray_predict.py has one',
    '*tools/benchmark.py *': 'measures for minutes to hours; tests/benchmarks shortens each',
    'python benchmarks/large_pictures.py *': 'measures, and takes gigabytes',
    'python benchmarks/many_pictures.py *': 'measures for minutes',
    'python -m benchmarks.accumulation *': 'measures; tests/benchmarks shortens it',
    '*--checkpoints RANDOM.pth*': 'measures',
    'python tools/export.py * RANDOM.pth *': 'belongs to a measurement',
    'pytest -m gpu': 'needs a GPU',
    'fastvit-dense train benchmarks/camvid/*': 'trains for an hour, on data that is not here',
    'fastvit-dense test work_dirs/*/best_mIoU_epoch_*.pth': 'belongs to that training',
    'fastvit-dense predict work_dirs/fifth/*': 'belongs to that training',
    'for config in handmesh_*': 'trains for an hour',
    'python tools/train.py configs/$config.py *': 'is of the loop before it',
    'done; done': 'is of the loop before it',
    'torchrun --nnodes 2 *': 'needs two machines; tests/engine/test_launches.py has two processes',
    '*srun *': 'needs Slurm',
    '*scontrol *': 'needs Slurm',
    'if ls work_dirs/night/*': 'needs Slurm, or two machines',
    'exec python -m fastvit_dense train maskrcnn_fastvit_sa24 --work-dir work_dirs/night *': (
        'needs two machines'
    ),
    'else': 'is of such a script',
    'fi': 'is of such a script',
    'status=*': 'is of such a script',
    'exit *': 'is of such a script',
    '*convert-weights FILE *': (
        'needs a published file; tests/tools/test_convert_weights.py makes them'
    ),
    '*--corruptions *': '75 runs over the data; tests/engine/test_robustness.py shortens it',
}
FEW = ' '.join(f'{loader}_dataloader.dataset.indices=4' for loader in ('train', 'val', 'test'))
WHOLE_PICTURES = 'train_dataloader.dataset.pipeline.3.scale=(96,96) '
# of a command line, what is added to it so that it ends soon
SHORTER = (
    ('train *rcnn_* --sample*', f'{QUICK} {FEW}'),
    ('train finetune/*rcnn_*', QUICK + DETECTOR),
    ('train finetune/semfpn_*', QUICK + SEGMENTOR),
    ('train *rcnn_*', QUICK + WHOLE_PICTURES),
    ('train *', ' '.join((*ITERATIONS, *ALL))),
    (
        'browse finetune/*',
        'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False',
    ),
)
# word of a line, and the package that it needs
OPTIONAL = {'parquet': 'pyarrow', 'tensorboard': 'tensorboard', 'coreml': 'coremltools'}
# what the lines of a page presuppose that no other line makes
BEFORE = {
    'docs/evaluation.md': [
        f'fastvit-dense test best.pth --work-dir work_dirs/{name}' for name in 'ab'
    ],
}


def shell_lines(page):
    """The commands of the shell blocks of a page, with continued lines in one."""
    blocks = [code for language, code in FENCES.findall(PAGES[page]) if language in ('', 'bash')]
    text = '\n'.join(blocks).replace('\\\n', ' ')
    lines = [line.split('  #')[0].strip() for line in text.splitlines()]
    return [line for line in lines if line and line[0] not in '#' and not is_tree(line)]


def is_tree(line):
    """Whether a line is of a picture of folders."""
    return re.match(r'(data|images|masks|coco|ade\w*|freihand|annotations|training|evaluation|'
                    r'train2017|val2017|mano)/', line) is not None  # fmt: skip


def reason(line):
    """Why a line is not run; None: it is."""
    return next((why for kind, why in NOT_RUN.items() if fnmatch.fnmatch(line, kind)), None)


def is_missing(line):
    """Whether a package that a line needs is not installed."""
    return any(word in line and not find_spec(name) for word, name in OPTIONAL.items())


@pytest.mark.parametrize('page', [page for page in PAGES if shell_lines(page)])
def test_every_line_is_run_or_says_why_not(page):
    if page not in RUN and not page.startswith('docs/tasks/'):
        assert [line for line in shell_lines(page) if not reason(line)] == []


def test_no_reason_is_left_over():
    lines = [line for page in PAGES for line in shell_lines(page)]
    unused = [kind for kind in NOT_RUN if not any(fnmatch.fnmatch(line, kind) for line in lines)]
    assert unused == []


PROGRAM = """#!{python}
import fnmatch, json, os, sys
words = sys.argv[1:]
if os.path.basename(sys.argv[0]) == 'python':
    words[0] = os.path.basename(words[0])[:-3].replace('_', '-')
called = ' '.join(words).replace('configs/', '')
kinds = json.loads(os.environ['SHORTER'])
extra = next((more.split() for kind, more in kinds if fnmatch.fnmatch(called, kind)), [])
if extra and '--cfg-options' not in words:
    words.append('--cfg-options')
os.execv(sys.executable, [sys.executable, '-m', 'fastvit_dense', *words, *extra])
"""


@pytest.fixture
def folder(root_dir, hand_tree, photo, trained, tmp_path):
    """What the pages presuppose: data, pictures, a video, a checkpoint."""
    folder = tmp_path
    shutil.copytree(root_dir / 'configs', folder / 'configs')
    (folder / 'tools').symlink_to(root_dir / 'tools')
    annotated.yolo(folder / 'FOLDER')
    annotated.masks(folder / 'data/fields')
    coco(folder / 'data/parts', ('screw', 'nut'), (1, 2))
    coco(folder / 'data/coco', CocoDataset.METAINFO['classes'], COCO_IDS)
    ade(folder / 'data/ade/ADEChallengeData2016')
    for path in ('photos/a.jpg', 'photos/sub/b.jpg', 'photo.jpg', 'a.jpg', 'b.jpg', 'aerial.tif'):
        (folder / path).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(photo).save(folder / path)
    (folder / 'names.txt').write_text('photo.jpg\na.jpg\n')
    video(folder / 'clip.mp4', photo)
    for path in ('best.pth', 'DETECTOR.pth', 'work_dirs/parts/epoch_12.pth'):
        (folder / path).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(trained, folder / path)
    shutil.copytree(hand_tree, folder / 'data/freihand')
    for name in ('fastvit-dense', 'python'):
        program = folder / 'bin' / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
    return folder


def coco(folder, names, ids):
    """COCO's folders, of the pictures of `annotated`."""
    categories = [{'id': i, 'name': name} for i, name in zip(ids, names, strict=True)]
    for split, pictures_of in (('train', 'abc'), ('val', 'ab')):
        for pictures in ('images', f'{split}2017'):
            content = annotated.coco(folder / pictures, pictures_of, folders=False)
        content['categories'] = categories
        annotated.write_json(folder / f'{split}.json', content)
        annotated.write_json(folder / f'annotations/instances_{split}2017.json', content)


def video(path, photo):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 10, (128, 128))
    for shift in range(3):
        writer.write(np.ascontiguousarray(photo[:128, shift : 128 + shift, ::-1]))
    writer.release()


def results(folder):
    """COCO's result file of perfect predictions of the validation."""
    content = json.loads((folder / 'data/coco/annotations/instances_val2017.json').read_text())
    sizes = {image['id']: (image['height'], image['width']) for image in content['images']}
    found = []
    for entry in content['annotations']:
        (code,) = coco_mask.frPyObjects(entry['segmentation'], *sizes[entry['image_id']])
        code['counts'] = code['counts'].decode()
        kept = {key: entry[key] for key in ('image_id', 'category_id', 'bbox')}
        found.append({**kept, 'score': 0.9, 'segmentation': code})
    annotated.write_json(folder / 'FILE.json', found)
    return 'FILE.json'


def ade(folder):
    """ADE20K's folders, of the pictures of `annotated`."""
    for split, names in (('training', 'abc'), ('validation', 'ab')):
        for name in names:
            annotated.save_picture(folder / 'images' / split / f'{name}.jpg', name)
            path = folder / 'annotations' / split / f'{name}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(annotated.class_mask(name) + 1).save(path)


def random_weights(config, path, meta=None):
    """The name of a checkpoint of random weights."""
    if not path.exists():
        tiny.save_random(config, path)
        if meta:
            content = torch.load(path, weights_only=True)
            torch.save({**content, 'meta': meta}, path)
    return path.name


def newest(folder):
    """The checkpoint that a training wrote last; None: it wrote none."""
    found = [path for path in folder.glob('*.pth') if not path.name.startswith('best')]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def filled_in(line, folder, tiny_hand):
    """A line with files in the place of words in capitals, and of trainings of full length."""
    line = re.sub(r'\bCONFIG\b', 'configs/semfpn_small.py', line)
    config = re.search(r'((?:mask|faster)rcnn|semfpn)_\w+', line)
    if 'CHECKPOINT' in line:
        last = newest(folder / 'work_dirs' / config[0])
        made = str(last.relative_to(folder)) if last else random_weights(
            folder / f'configs/{config[0]}.py', folder / f'{config[0]}.pth'
        )  # fmt: skip
        line = line.replace('CHECKPOINT', made)
    if written := re.search(r'work_dirs/(\w+)/(?:epoch|iter)_\d+\.pth', line):
        line = line.replace(written[0], str(newest(folder / 'work_dirs' / written[1])))
    if 'HANDS' in line:
        meta = {'cfg': Config.fromfile(tiny_hand).pretty_text}
        line = line.replace('HANDS', random_weights(tiny_hand, folder / 'hands.pth', meta))
    if ' FILE' in line:
        line = line.replace(' FILE', f' {results(folder)}')
    line = re.sub(r'\b(MODEL|DETECTOR)\b(?!\.)', 'best.pth', line)
    return line.replace('$SLURM_ARRAY_TASK_ID', '2')


@pytest.mark.slow
@pytest.mark.parametrize('page', RUN)
def test_every_line_runs(root_dir, folder, tiny_hand, tiny_semantic, page):
    """One after another in one folder; trainings are shortened, nothing is downloaded."""
    pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')
    shutil.copy(tiny_semantic, folder / 'configs/semfpn_small.py')
    if page == 'docs/own_data.md':
        (code,) = re.findall(r'```python\n(_base_ = .*?)```', PAGES[page], re.DOTALL)
        (folder / 'configs/fields.py').write_text(code)
    offline = dict.fromkeys(('http_proxy', 'https_proxy'), 'http://127.0.0.1:9')
    env = {
        **os.environ,
        **offline,
        'PYTHONPATH': str(root_dir),
        'PATH': f'{folder / "bin"}:{os.environ["PATH"]}',
        'SHORTER': json.dumps(SHORTER),
    }
    failed = []
    for line in [*BEFORE.get(page, ()), *shell_lines(page)]:
        if reason(line) or any(
            word in line and not find_spec(name) for word, name in OPTIONAL.items()
        ):
            continue
        trained = re.search(r'train.py +configs/(\w+)|train +(?:finetune/)?(\w+)', line)
        if trained:  # each as the first training of its config
            shutil.rmtree(folder / 'work_dirs' / (trained[1] or trained[2]), ignore_errors=True)
        words = filled_in(line, folder, tiny_hand)
        done = subprocess.run(
            ('bash', '-euc', words), cwd=folder, env=env, capture_output=True, text=True
        )
        if done.returncode:
            failed.append(f'{line}\n{words}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}')
    assert failed == [], '\n\n'.join(failed)
