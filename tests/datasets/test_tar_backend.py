"""Data in tar archives and behind http is read as data on this disk is."""

import functools
import http.server
import json
import os
import re
import shutil
import tarfile
import threading

import numpy as np
import pytest
from mmengine import fileio
from mmengine.registry import DATASETS, DefaultScope

from fastvit_dense.datasets.check.datasets import quick_check
from fastvit_dense.datasets.loading import use_checked_loading
from fastvit_dense.datasets.tar_backend import TarBackend, split
from fastvit_dense.errors import DataError, MissingFileError
from fastvit_dense.evaluation.coco import load_annotations
from fastvit_dense.tasks.config import load_config
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def shard(tiny_instance, sample_data, tmp_path_factory):
    """An archive of annotations and the pictures that they name, and the folder it was made of."""
    folder = tmp_path_factory.mktemp('shard')
    cfg = load_config(tiny_instance)
    source = sample_data / 'coco/train2017'
    ann_file = cfg.train_dataloader.dataset.ann_file
    with open(ann_file) as file:
        names = [image['file_name'] for image in json.load(file)['images']]
    (folder / 'train').mkdir()
    for name in names:
        (folder / 'train' / name).write_bytes((source / name).read_bytes())
    shutil.copy(ann_file, folder / 'train.json')
    with tarfile.open(folder / 'parts.tar', 'w') as archive:
        archive.add(folder / 'train.json', './train.json')
        archive.add(folder / 'train', 'train')
        link = tarfile.TarInfo('train/link.jpg')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(link)
    return folder


def samples(config, root):
    """The training samples of a config whose data lies below a root."""
    cfg = load_config(config)
    dataset = cfg.train_dataloader.dataset
    if root.startswith('http'):  # mmengine's backend joins no names
        dataset.update(ann_file=f'{root}train.json', data_prefix=dict(img=f'{root}train/'))
    else:
        dataset.update(data_root=root, ann_file='train.json', data_prefix=dict(img='train/'))
    use_checked_loading(cfg)
    cfg.train_dataloader.dataset.pipeline = [
        step
        for step in dataset.pipeline
        if step['type'] not in ('RandomFlip', 'RandomChoiceResize')
    ]
    report = quick_check(cfg, 'train_dataloader')
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = DATASETS.build(cfg.train_dataloader.dataset)
    return report, [built[place] for place in range(len(built))]


def assert_same(found, expected):
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one['inputs'], other['inputs'])
        boxes = (sample['data_samples'].gt_instances.bboxes.tensor for sample in (one, other))
        assert np.array_equal(*boxes)


def test_dataset_in_an_archive(tiny_instance, shard):
    report, found = samples(tiny_instance, f'tar://{shard}/parts.tar/')
    assert 'not on this disk' in report.describe('warning')
    assert_same(found, samples(tiny_instance, f'{shard}/')[1])
    truth = load_annotations(f'tar://{shard}/parts.tar/train.json')
    assert len(truth.imgs) == len(os.listdir(shard / 'train'))


def test_dataset_behind_http(tiny_instance, shard):
    """mmengine's own backend; what the server has not is named."""
    handler = functools.partial(Quiet, directory=str(shard))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f'http://127.0.0.1:{server.server_port}/'
        assert_same(samples(tiny_instance, root)[1], samples(tiny_instance, f'{shard}/')[1])
        from fastvit_dense.datasets.loading import read_image

        with raises_naming(DataError, f'{root}none.jpg', 'cannot be read', 404):
            read_image(f'{root}none.jpg')
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def test_object_store_through_fsspec(tiny_instance, shard, root_dir):
    """The backend of docs/training.md, with fsspec's store in memory."""
    import fsspec

    text = (root_dir / 'docs/training.md').read_text()
    (code,) = re.findall(r'```python\n# store.py\n(.*?)```', text, re.DOTALL)
    names = {}
    exec(code.replace("'s3'", "'memory'"), names)
    memory = fsspec.filesystem('memory')
    memory.put(f'{shard}/train.json', '/bucket/train.json')
    memory.put(f'{shard}/train/', '/bucket/train/', recursive=True)
    try:
        found = samples(tiny_instance, 'memory://bucket/')[1]
    finally:
        memory.rm('/bucket', recursive=True)
        fileio.backends.registry_utils.prefix_to_backends.pop('memory')
    assert_same(found, samples(tiny_instance, f'{shard}/')[1])


def test_masks_are_listed(shard, tmp_path):
    backend = TarBackend()
    root = f'tar://{shard}/parts.tar'
    names = {f'train/{name}' for name in os.listdir(shard / 'train')}
    assert set(backend.list_dir_or_file(root, list_dir=False, recursive=True)) == {
        'train.json',
        *names,
    }
    assert set(backend.list_dir_or_file(root, recursive=False)) == {'train.json', 'train'}
    found = set(backend.list_dir_or_file(f'{root}/train/', suffix='.jpg', list_dir=False))
    assert found == set(os.listdir(shard / 'train'))
    assert backend.isdir(f'{root}/train')
    assert not backend.isdir(f'{root}/tra')
    assert backend.exists(f'{root}/train.json')
    assert not backend.isfile(f'{root}/none')
    assert json.loads(backend.get_text(f'{root}/train.json'))['images']


def test_many_readers_at_once(shard):
    """Threads and forked processes share one open archive."""
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing import get_context

    names = sorted(os.listdir(shard / 'train')) * 5
    expected = [(shard / 'train' / name).read_bytes() for name in names]
    read = functools.partial(_read, f'tar://{shard}/parts.tar/train/')
    assert [read(name) for name in names] == expected
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, names)) == expected
    with get_context('fork').Pool(2) as pool:
        assert pool.map(read, names) == expected


def _read(root, name):
    return fileio.get(root + name)


def test_links_lead_nowhere(shard):
    with raises_naming(MissingFileError, 'train/link.jpg', 'no such file', 'parts.tar'):
        fileio.get(f'tar://{shard}/parts.tar/train/link.jpg')
    with raises_naming(MissingFileError, 'passwd', 'no such file'):
        fileio.get(f'tar://{shard}/parts.tar/../../../etc/passwd')


def test_archives_that_are_none(shard, tmp_path):
    backend = TarBackend()
    with raises_naming(MissingFileError, tmp_path / 'none.tar', 'no such file'):
        backend.get(f'tar://{tmp_path}/none.tar/a.jpg')
    with raises_naming(DataError, 'tar://a.zip/b.jpg', 'tar://ARCHIVE.tar/NAME'):
        backend.get('tar://a.zip/b.jpg')
    (tmp_path / 'text.tar').write_text('no archive' * 100)
    with raises_naming(DataError, tmp_path / 'text.tar', 'tar archive'):
        backend.get(f'tar://{tmp_path}/text.tar/a.jpg')
    with tarfile.open(tmp_path / 'zipped.tar', 'w:gz') as archive:
        archive.add(shard / 'train.json', 'train.json')
    with raises_naming(DataError, tmp_path / 'zipped.tar', 'uncompressed tar archive'):
        backend.get(f'tar://{tmp_path}/zipped.tar/train.json')
    (tmp_path / 'folder.tar').mkdir()
    with raises_naming(DataError, tmp_path / 'folder.tar', 'tar archive'):
        backend.get(f'tar://{tmp_path}/folder.tar/a.jpg')
    whole = (shard / 'parts.tar').read_bytes()
    for part in (len(whole) // 2, 700, 100):
        path = tmp_path / f'cut{part}.tar'
        path.write_bytes(whole[:part])
        with pytest.raises(DataError):
            backend.get(f'tar://{path}/train/{sorted(os.listdir(shard / "train"))[-1]}')


def test_places_are_split():
    assert split('tar://a/b.tar/c/d.jpg') == ('a/b.tar', 'c/d.jpg')
    assert split('tar:///a.tar/./c.jpg') == ('/a.tar', 'c.jpg')
    assert split('tar://a.tar') == split('tar://a.tar/') == ('a.tar', '.')
