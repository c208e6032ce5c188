import io

import cv2
import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, DefaultScope
from PIL import Image
from torch.utils.data import DataLoader

from fastvit_dense.config.types import find_type
from fastvit_dense.datasets.loading import (
    LoadCheckedImage,
    LoadCheckedMask,
    read_image,
    use_checked_loading,
)
from fastvit_dense.datasets.mask_reading import read_mask
from fastvit_dense.datasets.picture_files import image_problem
from fastvit_dense.errors import DataError
from tests.facts import assert_names, raises_naming


def encode(image, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'WEBP'])
def test_whole_images_have_no_problem(kind, tmp_path):
    path = tmp_path / 'image'
    path.write_bytes(encode(NOISE, kind))
    assert np.array_equal(read_image(str(path)), mmcv.imread(str(path)))


def test_jpeg_with_thumbnail_progressive_or_trailing_bytes_is_whole():
    thumbnail = encode(NOISE[:8, :8], 'JPEG')
    progressive = encode(NOISE, 'JPEG', progressive=True)
    with_thumbnail = (
        progressive[:2]
        + b'\xff\xe1'
        + (len(thumbnail) + 2).to_bytes(2, 'big')
        + thumbnail
        + progressive[2:]
    )
    assert image_problem(with_thumbnail) is None
    assert image_problem(with_thumbnail + b'camera maker notes') is None
    assert 'truncated' in image_problem(with_thumbnail[:-200])


BROKEN = {
    'zero bytes': (b'', ['empty', '0 bytes']),
    'truncated JPEG': (encode(NOISE, 'JPEG')[:900], ['JPEG', 'truncated', 900]),
    'truncated PNG': (encode(NOISE, 'PNG')[:900], ['PNG', 'truncated', 900]),
    'text': (b'<html>404</html>', ['cannot be decoded']),
    'JPEG header only': (b'\xff\xd8\xff\xd9', ['cannot be decoded']),
}


@pytest.mark.parametrize('name', BROKEN)
@pytest.mark.parametrize('read', [read_image, read_mask])
def test_broken_files_are_named(name, read, tmp_path):
    data, facts = BROKEN[name]
    path = tmp_path / 'broken.jpg'
    path.write_bytes(data)
    with raises_naming(DataError, path, 'expected', *facts):
        read(str(path))


@pytest.mark.parametrize('read', [read_image, read_mask])
def test_missing_file_and_folder_are_named(read, tmp_path):
    with raises_naming(DataError, tmp_path / 'none.jpg', 'image', 'no such file'):
        read(str(tmp_path / 'none.jpg'))
    with raises_naming(DataError, tmp_path, 'image', 'found', 'a folder'):
        read(str(tmp_path))


@pytest.mark.parametrize('reduce_zero_label', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0, 3: 255, 4: 2}])
def test_mask_equals_mmseg(reduce_zero_label, label_map, tmp_path):
    from mmseg.datasets.transforms import LoadAnnotations

    path = str(tmp_path / 'mask.png')
    highest = 5 if reduce_zero_label else 4
    labels = np.random.default_rng(1).integers(0, highest + 1, (9, 1), dtype=np.uint8)
    labels = np.concatenate([labels, labels[::-1], np.full_like(labels, 255)], axis=1)
    cv2.imwrite(path, labels)

    def results():
        return {
            'seg_map_path': path,
            'reduce_zero_label': reduce_zero_label,
            'label_map': label_map,
            'seg_fields': [],
        }

    ours = LoadCheckedMask(num_classes=5)(results())
    theirs = LoadAnnotations()(results())
    assert np.array_equal(ours['gt_seg_map'], theirs['gt_seg_map'])
    assert ours['gt_seg_map'].dtype == theirs['gt_seg_map'].dtype
    assert ours['seg_fields'] == theirs['seg_fields']


def mask_results(tree, index=0, **changes):
    return {
        'img_path': str(tree.images[index]),
        'seg_map_path': str(tree.masks[index]),
        'ori_shape': tree.labels[index].shape,
        'reduce_zero_label': True,
        'seg_fields': [],
        **changes,
    }


def test_mask_that_does_not_fit_is_one_error(semantic_tree):
    load = LoadCheckedMask(num_classes=2)
    with raises_naming(DataError, '0.png', '50x40', '0.jpg', 'found', '60x40'):
        load(mask_results(semantic_tree, ori_shape=(40, 50)))
    count = int((semantic_tree.labels[0] == 2).sum())
    with raises_naming(DataError, '0.png', '0 to 1', '2 classes', 'found', 2, count):
        load(mask_results(semantic_tree, reduce_zero_label=False))
    with raises_naming(DataError, '0.png', 'reduce_zero_label=True', 'found', False):
        LoadCheckedMask(num_classes=2, reduce_zero_label=False)(mask_results(semantic_tree))
    semantic_tree.masks[0].unlink()
    with raises_naming(DataError, '0.png', 'no such file'):
        load(mask_results(semantic_tree))


def test_one_pixel_wide_mask_keeps_its_shape(tmp_path):
    path = str(tmp_path / 'thin.png')
    cv2.imwrite(path, np.ones((5, 1), np.uint8))
    results = {'seg_map_path': path, 'reduce_zero_label': False, 'ori_shape': (5, 1)}
    assert LoadCheckedMask(num_classes=2)(results)['gt_seg_map'].shape == (5, 1)


def test_image_of_another_size_than_annotated_is_refused(coco_tree):
    load = LoadCheckedImage()
    path = str(coco_tree.images[0])
    assert load({'img_path': path, 'height': 40, 'width': 60})['ori_shape'] == (40, 60)
    with raises_naming(DataError, path, '40x60', 'found', '60x40'):
        load({'img_path': path, 'height': 60, 'width': 40})


def build(cfg, loader):
    use_checked_loading(cfg)
    dataset = dict(cfg[f'{loader}_dataloader'].dataset)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return find_type(dataset.pop('type'), cfg.default_scope)(**dataset)


def test_training_skips_a_broken_image_once_counted(coco_tree, logged):
    coco_tree.images[1].write_bytes(b'')
    dataset = build(coco_tree.config('train'), 'train')
    shapes = {tuple(dataset[1]['data_samples'].ori_shape) for _ in range(20)}
    assert shapes == {(40, 60), (64, 32)}
    warnings = [message for message in logged if 'skipped' in message]
    assert len(warnings) == 1
    assert_names(warnings[0], coco_tree.images[1], 'empty', 1, 10)


def test_training_stops_above_the_limit(tmp_path):
    load = LoadCheckedImage(skip_broken=2)
    for name in ('a', 'b', 'a', 'b'):
        assert load({'img_path': str(tmp_path / name)}) is None
    with raises_naming(DataError, tmp_path / 'c', 3, 2, 'fastvit-dense check-data CONFIG'):
        load({'img_path': str(tmp_path / 'c')})


@pytest.mark.parametrize('loader', ['val', 'test'])
def test_evaluation_stops_at_the_first_broken_image(coco_tree, loader):
    coco_tree.images[1].write_bytes(coco_tree.images[1].read_bytes()[:500])
    dataset = build(coco_tree.config(loader, test_mode=True), loader)
    assert dataset[0]['inputs'].shape == (3, 40, 60)
    with raises_naming(DataError, coco_tree.images[1], 'JPEG', 'truncated', 500):
        dataset[1]


def test_error_of_a_loading_process_comes_without_its_traceback(coco_tree):
    coco_tree.images[1].write_bytes(b'')
    dataset = build(coco_tree.config('val', test_mode=True), 'val')
    loader = DataLoader(dataset, num_workers=1, collate_fn=list)
    with pytest.raises(DataError) as error:
        list(loader)
    path = coco_tree.root / 'images/1.jpg'
    assert str(error.value) == f'{path}: expected an image, found an empty file (0 bytes)'


def test_semantic_pipeline_of_a_config_is_checked(semantic_tree):
    cfg = semantic_tree.config('train')
    dataset = build(cfg, 'train')
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline] == [
        'LoadCheckedImage',
        'LoadCheckedMask',
        'PackSegInputs',
    ]
    truth = dataset[0]['data_samples'].gt_sem_seg.data[0].numpy()
    assert np.array_equal(truth, semantic_tree.labels[0] - 1)  # uint8: 0 - 1 is 255
    cv2.imwrite(str(semantic_tree.masks[2]), semantic_tree.labels[2] + 1)
    with raises_naming(DataError, semantic_tree.masks[2], '0 to 2', 'found', 3):
        dataset[2]


def test_nested_pipelines_and_wrappers_are_reached(coco_tree):
    nested = [
        {
            'type': 'TestTimeAug',
            'transforms': [[{'type': 'mmdet.LoadImageFromFile', 'to_float32': True}]],
        }
    ]
    cfg = Config(
        {
            'default_scope': 'mmdet',
            'train_dataloader': {
                'dataset': {
                    'type': 'RepeatDataset',
                    'times': 2,
                    'dataset': {
                        'type': 'ConcatDataset',
                        'datasets': [coco_tree.dataset(), coco_tree.dataset(pipeline=nested)],
                    },
                }
            },
        }
    )
    use_checked_loading(cfg)
    first, second = cfg.train_dataloader.dataset.dataset.datasets
    assert first.pipeline[0] == {'type': 'LoadCheckedImage', 'skip_broken': 10}
    assert first.pipeline[1].type == 'LoadAnnotations'
    assert second.pipeline[0].transforms[0][0] == {
        'type': 'LoadCheckedImage',
        'skip_broken': 10,
        'to_float32': True,
    }


def test_transforms_are_found_by_plain_name():
    assert TRANSFORMS.get('LoadCheckedImage') is LoadCheckedImage
    assert TRANSFORMS.get('LoadCheckedMask') is LoadCheckedMask
