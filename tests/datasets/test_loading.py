import io
import struct
import zlib
from contextlib import suppress

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
    image_problem,
    read_image,
    read_mask,
    use_checked_loading,
)
from fastvit_dense.errors import DataError
from fastvit_dense.evaluation.label_maps import read_label_map
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


def test_masks_of_every_depth_give_their_indices(tmp_path):
    labels = np.random.default_rng(0).integers(0, 5, (7, 9), dtype=np.uint8)
    path = str(tmp_path / 'mask.png')
    palette = Image.fromarray(labels).convert('P')
    palette.putdata(labels.ravel().tolist())
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 7, 7, 7])
    palette.save(path)
    assert np.array_equal(read_mask(path), labels)
    cv2.imwrite(path, labels)
    assert np.array_equal(read_mask(path), labels)
    deep = labels.astype(np.uint16) * 256  # eight bits of it would all be 0
    deep[0, 0] = 65535
    cv2.imwrite(path, deep)
    expected = labels.astype(int) * 256
    expected[0, 0] = 255
    assert np.array_equal(read_mask(path), expected)
    Image.fromarray(labels > 2).save(path)
    assert np.array_equal(read_mask(path), labels > 2)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA'])
def test_colour_masks_are_refused_with_a_hint(mode, tmp_path):
    path = tmp_path / 'mask.png'
    Image.fromarray(NOISE).convert(mode).save(path)
    with raises_naming(DataError, path, 'class index', 'found', mode, 'replace each colour'):
        read_mask(str(path))


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


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_grey_masks_of_a_few_bits_hold_their_values(bits, tmp_path):
    values = np.arange(48).reshape(6, 8) % (1 << bits)
    packed = np.packbits((values[..., None] >> np.arange(bits)[::-1]) & 1, axis=None)
    rows = b''.join(b'\0' + row.tobytes() for row in packed.reshape(6, -1))
    head = struct.pack('>IIBBBBB', 8, 6, bits, 0, 0, 0, 0)
    chunks = ((b'IHDR', head), (b'IDAT', zlib.compress(rows)), (b'IEND', b''))
    path = tmp_path / 'mask.png'
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + b''.join(
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )
    assert (read_mask(str(path)) == values).all()
    assert (read_label_map(path) == values).all()


@pytest.mark.filterwarnings('ignore:Corrupt EXIF')
@pytest.mark.parametrize('suffix', ['gif', 'tif'])
def test_damaged_masks_of_several_pages_are_named(suffix, tmp_path):
    """Whatever Pillow raises; a GIF that is cut in its second frame may be read as one of one."""
    path = tmp_path / f'mask.{suffix}'
    page = Image.new('L', (30, 20), 1)
    page.save(path, save_all=True, append_images=[Image.new('L', (30, 20), 2)])
    content = path.read_bytes()
    for size in range(1, len(content), 3):
        path.write_bytes(content[:size])
        with suppress(DataError):
            read_mask(str(path))
    path.write_bytes(content)
    with pytest.raises(DataError, match='found 2 pages or frames'):
        read_mask(str(path))


def test_a_mask_with_alpha_says_which_channel_to_write(tmp_path):
    path = tmp_path / 'mask.png'
    Image.fromarray(NOISE[..., 0] % 2).convert('LA').save(path)
    with raises_naming(DataError, path, 'mode LA', 'values 0, 1', 'mask[..., 0]'):
        read_mask(str(path))
