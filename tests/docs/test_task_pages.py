"""The pages from pictures to a device, block by block, as a reader would run them."""

import json
import os
import re
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.datasets.formats import annotated

PAGES = ('detection', 'segmentation', 'hands')
BLOCKS = re.compile(r'^```(bash|python)\n(.*?)^```', re.DOTALL | re.MULTILINE)
# what makes the trainings short enough for a test; the rest is as the pages have it
QUICK = (
    'model.backbone.init_cfg=None train_cfg.max_epochs=1 train_cfg.val_interval=1 '
    'train_dataloader.num_workers=0 train_dataloader.persistent_workers=False '
    'val_dataloader.num_workers=0 val_dataloader.persistent_workers=False '
    'test_dataloader.num_workers=0 test_dataloader.persistent_workers=False '
)
DETECTOR = (
    'train_dataloader.dataset.pipeline.3.scales=[(96,96)] '
    'val_dataloader.dataset.pipeline.1.scale=(96,96) '
    'test_dataloader.dataset.pipeline.1.scale=(96,96) '
    'model.test_cfg.rpn.max_per_img=40 model.test_cfg.rcnn.score_thr=0.0 '
    'model.test_cfg.rcnn.max_per_img=20 model.backbone.frozen_stages=-1 '
    'model.backbone.norm_eval=False '
)
SEGMENTOR = (
    'train_dataloader.batch_size=2 train_dataloader.drop_last=False '
    'train_dataloader.dataset.pipeline.3.scale=(128,64) '
    'train_dataloader.dataset.pipeline.4.crop_size=(64,64) model.data_preprocessor.size=(64,64) '
    'model.decode_head.norm_cfg.type=BN model.backbone.frozen_stages=-1 '
    'default_hooks.checkpoint.interval=1 '
)
MANO = ' '.join(f'{loader}_dataloader.dataset.mano=standin' for loader in ('train', 'val', 'test'))
HANDS = (
    f'{MANO} model.mano._delete_=True model.mano.standin=True train_dataloader.batch_size=8 '
    'default_hooks.checkpoint.interval=1 '
)
SHORTER = {
    'train finetune/maskrcnn_fastvit_t8': QUICK + DETECTOR,
    'train finetune/fasterrcnn_fastvit_t8': QUICK + DETECTOR,
    'train finetune/semfpn_fastvit_t8': QUICK + SEGMENTOR,
    'train handmesh_fastvit_t8': QUICK + HANDS,
    'check-data handmesh_fastvit_t8': MANO,
}
PROGRAM = """#!{python}
import json, os, sys
words = sys.argv[1:]
extra = json.loads(os.environ['SHORTER']).get(' '.join(words[:2]), '').split()
if extra and '--cfg-options' not in words:
    words.append('--cfg-options')
os.execv(sys.executable, [sys.executable, '-m', 'fastvit_dense', *words, *extra])
"""


def blocks(root_dir, page):
    return BLOCKS.findall((root_dir / f'docs/tasks/{page}.md').read_text(encoding='utf-8'))


@pytest.mark.parametrize('page', PAGES)
def test_pages_go_from_pictures_to_a_device(root_dir, page):
    text = ''.join(code for _, code in blocks(root_dir, page))
    for word in ('check-data', ' train ', ' test ', ' predict ', ' export ', 'load_model'):
        assert word in text


@pytest.fixture
def folder(hand_tree, photo, tmp_path):
    """What the pages presuppose: annotated folders, photographs, a video, FreiHAND's tree."""
    annotated.yolo(tmp_path / 'parts')
    annotated.masks(tmp_path / 'fields')
    annotated.voc(tmp_path / 'hand_boxes')
    (tmp_path / 'photos').mkdir()
    Image.fromarray(photo).save(tmp_path / 'photos/one.jpg')
    writer = cv2.VideoWriter(
        str(tmp_path / 'clip.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 10, (128, 128)
    )
    for shift in range(3):
        writer.write(np.ascontiguousarray(photo[:128, shift : 128 + shift, ::-1]))
    writer.release()
    (tmp_path / 'data').mkdir()
    shutil.copytree(hand_tree, tmp_path / 'data/freihand')
    program = tmp_path / 'bin/fastvit-dense'
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize('page', PAGES)
def test_every_block_runs(root_dir, folder, page):
    """One after another in one folder; trainings are shortened, nothing is downloaded."""
    pytest.importorskip('onnxruntime', reason='extra [deploy] is not installed')
    offline = dict.fromkeys(('http_proxy', 'https_proxy'), 'http://127.0.0.1:9')
    env = {
        **os.environ,
        **offline,
        'PYTHONPATH': str(root_dir),
        'PATH': f'{folder / "bin"}:{os.environ["PATH"]}',
        'SHORTER': json.dumps(SHORTER),
    }
    for language, code in blocks(root_dir, page):
        words = ('bash', '-euc') if language == 'bash' else (sys.executable, '-c')
        done = subprocess.run((*words, code), cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f'{code}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}'
    text = ' '.join(code for _, code in blocks(root_dir, page))
    made = set(re.findall(r'--(?:out-dir|work-dir|out) (\S+)', text))
    assert len(made) > 3
    assert [name for name in made if not (folder / name).exists()] == []
