import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.errors import DataError
from tests.facts import assert_names, raises_naming


def only_error(tree, loader='train', read_files=True, **changes):
    errors = check_config(tree.config(loader, **changes), read_files=read_files).errors
    assert len(errors) == 1, errors
    return errors[0]


def test_sound_data(semantic_tree):
    report = check_config(semantic_tree.config())
    assert report.errors == report.warnings == []
    assert report.of('train').images_used == 3
    labels = np.concatenate([mask.ravel() for mask in semantic_tree.labels])
    counts = np.bincount(labels).tolist()
    train = report.of('train')
    assert train.per_class == {'field': counts[1], 'sky': counts[2]}
    assert train.discarded == {'ignored_pixels': counts[0]}
    assert train.annotations == len(labels)
    assert f'field {counts[1] / sum(counts[1:]):.1%}' in str(report)


def test_value_outside_the_classes_names_value_and_file(semantic_tree):
    semantic_tree.labels[1][0, :4] = 7
    cv2.imwrite(str(semantic_tree.masks[1]), semantic_tree.labels[1])
    message = only_error(semantic_tree)
    assert message.endswith(
        'masks/1.png: expected values 0 to 2 (2 classes, reduce_zero_label=True) or 255 (ignored), '
        'found 7 (4 pixels)'
    )
    assert check_config(semantic_tree.config(), read_files=False).errors == [message]


def test_wrong_reduce_zero_label_shows_in_settings_and_values(semantic_tree):
    report = check_config(semantic_tree.config(reduce_zero_label=False))
    assert 'reduce_zero_label=False in the dataset and True in LoadAnnotations' in report.errors[0]
    assert len(report.errors) == 4
    assert all('expected values 0 to 1' in message for message in report.errors[1:])


@pytest.mark.parametrize('depth', ['16 bits', 'palette'])
def test_deep_and_palette_masks_pass(semantic_tree, depth):
    for path, labels in zip(semantic_tree.masks, semantic_tree.labels, strict=True):
        if depth == 'palette':
            image = Image.new('P', labels.shape[::-1])
            image.putdata(labels.ravel().tolist())
            image.putpalette([0, 0, 0, 0, 255, 0, 0, 0, 255])
            image.save(path)
        else:
            labels = labels.astype(np.uint16)
            labels[0, 0] = 65535
            cv2.imwrite(str(path), labels)
    assert check_config(semantic_tree.config()).errors == []


def test_16_bit_values_are_not_wrapped(semantic_tree):
    labels = semantic_tree.labels[0].astype(np.uint16)
    labels[0, 0] = 257  # 1 in eight bits
    cv2.imwrite(str(semantic_tree.masks[0]), labels)
    assert 'found 257 (1 pixels)' in only_error(semantic_tree)


def test_colour_mask_is_refused_with_a_hint(semantic_tree):
    shutil.copy(semantic_tree.images[0], semantic_tree.masks[0])
    message = only_error(semantic_tree)
    assert 'masks/0.png: expected one class index per pixel' in message
    assert 'mode RGB; replace each colour by the index of its class' in message


def test_mask_of_another_size(semantic_tree):
    cv2.imwrite(str(semantic_tree.masks[0]), semantic_tree.labels[0][:30])
    message = only_error(semantic_tree)
    assert 'masks/0.png: expected 60x40 pixels' in message
    assert message.endswith('images/0.jpg, found 60x30')


def test_missing_mask(semantic_tree):
    semantic_tree.masks[2].unlink()
    mask, image = semantic_tree.masks[2], semantic_tree.images[2]
    with raises_naming(DataError, mask, image, 'found', 'none'):
        quick_check(semantic_tree.config(), 'train_dataloader')


def test_broken_files(semantic_tree):
    semantic_tree.images[0].write_bytes(b'')
    semantic_tree.masks[0].write_bytes(b'')
    semantic_tree.masks[1].write_bytes(semantic_tree.masks[1].read_bytes()[:60])
    errors = check_config(semantic_tree.config()).errors
    assert len(errors) == 3
    assert 'images/0.jpg: expected an image, found an empty file' in errors[0]
    assert 'masks/0.png: expected an image, found an empty file' in errors[1]
    assert 'masks/1.png: expected a whole PNG file, found it truncated' in errors[2]


@pytest.mark.parametrize('content', ['cut', b'', b'<html>404</html>', bytes(4) + b'ftypheic'])
def test_no_picture_can_be_read(semantic_tree, content):
    whole = [path.read_bytes() for path in semantic_tree.images]
    for path, data in zip(semantic_tree.images, whole, strict=True):
        path.write_bytes(data[: len(data) // 2] if content == 'cut' else content)
    first = semantic_tree.images[0]
    with raises_naming(DataError, 'none of 3 pictures can be read, the first', first):
        quick_check(semantic_tree.config(), 'train_dataloader')
    semantic_tree.images[2].write_bytes(whole[2])  # training skips a few
    quick_check(semantic_tree.config(), 'train_dataloader')


def test_all_pictures_of_a_list_are_missing(semantic_tree):
    (semantic_tree.root / 'names.txt').write_text('0\n1\n')
    cfg = semantic_tree.config(ann_file='names.txt')
    semantic_tree.images[0].unlink()
    quick_check(cfg, 'train_dataloader')
    semantic_tree.images[1].unlink()
    with raises_naming(DataError, semantic_tree.images[0], semantic_tree.images[1]):
        quick_check(cfg, 'train_dataloader')


def test_wrong_suffixes(semantic_tree):
    message = only_error(semantic_tree, img_suffix='.jpeg')
    assert "expected images with img_suffix='.jpeg', found 3 files *.jpg" in message
    message = only_error(semantic_tree, seg_map_suffix='_labels.png')
    assert "seg_map_suffix='_labels.png' (0_labels.png, ...), found 3 files *.png" in message
    assert message.endswith("(0.png, ...); set seg_map_suffix='.png'")
    for path in semantic_tree.masks:
        path.rename(path.with_stem(f'{path.stem}_label'))
    message = only_error(semantic_tree)
    assert message.endswith("*.png (0_label.png, ...); set seg_map_suffix='_label.png'")


def test_folders(semantic_tree, tmp_path):
    message = only_error(semantic_tree, data_prefix={'img_path': 'img', 'seg_map_path': 'masks'})
    assert 'img: no such image folder' in message
    assert 'holds images, masks' in message
    message = only_error(semantic_tree, data_root=str(tmp_path / 'nowhere'))
    assert message.startswith(f'{tmp_path}/nowhere: no such folder')
    assert '--sample' in message


def test_missing_official_dataset_says_where_to_get_it(semantic_tree, tmp_path):
    cfg = semantic_tree.config(type='ADE20KDataset', metainfo=None, data_root=str(tmp_path / 'ade'))
    cfg.model.decode_head.num_classes = 150
    (message,) = check_config(cfg).errors
    assert 'http://sceneparsing.csail.mit.edu/' in message


def test_images_missing_from_a_list_of_names(semantic_tree):
    (semantic_tree.root / 'names.txt').write_text('0\n1\n5\n')
    report = quick_check(semantic_tree.config(ann_file=''), 'train_dataloader')
    assert report.of('train').images == 3
    errors = check_config(semantic_tree.config(ann_file='names.txt')).errors
    assert 'images/5.jpg: expected an image of that name, found none' in errors[0]
    message = only_error(semantic_tree, ann_file='no.txt')
    assert 'no.txt: no such list of names' in message


def test_masks_without_image_and_absent_class_are_warnings(semantic_tree):
    semantic_tree.images[1].unlink()
    for path, labels in zip(semantic_tree.masks, semantic_tree.labels, strict=True):
        cv2.imwrite(str(path), labels.clip(0, 1))
    report = check_config(semantic_tree.config())
    assert report.errors == []
    assert 'masks/1.png: 1 masks belong to no image' in report.warnings[0]
    assert "no mask has pixels of 'sky'" in report.warnings[1]


def test_classes_of_ones_own_under_an_official_type(semantic_tree):
    message = only_error(
        semantic_tree, type='ADE20KDataset', metainfo={'classes': ('fields', 'sky')}
    )
    assert "there is no 'fields' (nearest: 'field')" in message
    assert "the type is 'BaseSegDataset'" in message


def test_no_classes_and_wrong_palette(semantic_tree):
    assert (
        'expected metainfo.classes, found none'
        in check_config(semantic_tree.config(metainfo={})).errors[0]
    )
    palette = {'classes': ('field', 'sky'), 'palette': [[0, 255, 0]]}
    assert 'palette does not match classes' in only_error(semantic_tree, metainfo=palette)


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_more_classes_than_a_byte_tells_apart(semantic_tree, reduce_zero_label):
    most = 254 if reduce_zero_label else 255
    for count, errors in ((most, []), (most + 1, [f'at most {most} classes'])):
        names = tuple(map(str, range(count)))
        cfg = semantic_tree.config(metainfo={'classes': names}, reduce_zero_label=reduce_zero_label)
        cfg.model.decode_head.num_classes = count
        del cfg.train_dataloader.dataset.pipeline[1]['reduce_zero_label']
        found = check_config(cfg, read_files=False).errors
        assert len(found) == len(errors)
        assert all(text in message for text, message in zip(errors, found, strict=True))


def test_images_without_masks_to_predict(semantic_tree):
    shutil.rmtree(semantic_tree.root / 'masks')
    report = check_config(semantic_tree.config('test'))
    assert report.errors == []
    assert 'predictions only' in report.warnings[0]
    assert 'masks: no such mask folder' in only_error(semantic_tree, 'val')


def test_subset_of_official_classes_is_counted_by_name(semantic_tree):
    for path, labels in zip(semantic_tree.masks, semantic_tree.labels, strict=True):
        cv2.imwrite(str(path), labels + 1)  # 1 2 3: wall, building, sky of ADE20K
    cfg = semantic_tree.config(
        type='ADE20KDataset', metainfo={'classes': ('sky', 'building')}, reduce_zero_label=True
    )
    report = check_config(cfg)
    assert report.errors == []
    labels = np.concatenate([mask.ravel() for mask in semantic_tree.labels])
    counts = np.bincount(labels).tolist()
    assert report.of('train').per_class == {'sky': counts[2], 'building': counts[1]}


def test_real_masks_pass(shared_dir):
    import json

    root = shared_dir / 'real/voc3'
    classes = json.loads((root / 'classes.json').read_text())
    dataset = {
        'type': 'BaseSegDataset',
        'data_root': str(root),
        'data_prefix': {'img_path': 'images', 'seg_map_path': 'semantic'},
        'metainfo': {'classes': classes},
    }
    from mmengine.config import Config

    report = check_config(
        Config({'default_scope': 'mmseg', 'train_dataloader': {'dataset': dataset}})
    )
    assert report.errors == []
    assert report.of('train').images_used == 3
    assert report.of('train').per_class['bus'] > 0


def test_links_in_a_circle(semantic_tree):
    """Two links that lead back would be walked 2^40 times; one that leads aside is followed."""
    (semantic_tree.root / 'images/aside').symlink_to(semantic_tree.root / 'masks')
    assert check_config(semantic_tree.config()).errors == []
    for name in 'ab':
        (semantic_tree.root / 'images' / name).symlink_to('.')
    report = check_config(semantic_tree.config())
    assert len(report.errors) == 1
    assert_names(report.errors[0], semantic_tree.root / 'images', 'a link to')
    with raises_naming(DataError, 'images', 'a link to'):
        quick_check(semantic_tree.config(), 'train_dataloader')


def test_names_that_lead_out_of_the_folder(semantic_tree):
    """They are opened as pictures, which a list of names may want; the check tells."""
    (semantic_tree.root / 'list.txt').write_text('0\n../images/1\n../../images/x\n')
    report = check_config(semantic_tree.config(ann_file='list.txt'))
    assert any('1 of 3 file names lead out of' in message for message in report.warnings)


@pytest.mark.parametrize(
    ('text', 'facts'),
    [
        ('0\n1\n'.encode('utf-8-sig'), ['byte order mark']),
        ('0\n1\n'.encode('utf-16'), ['UTF-8', 'decode']),
        (b'\n', ['names of pictures', 'found none']),
        (b'', ['names of pictures', 'found none']),
        (b'0\n\n1\n', ['line 2', 'an empty line']),
        (b'0\n1.jpg\n', ['line 2', "'.jpg'", 'img_suffix', "'1.jpg'"]),
    ],
)
def test_lists_of_names_that_cannot_be_meant(semantic_tree, text, facts):
    path = semantic_tree.root / 'list.txt'
    path.write_bytes(text)
    for read_files in (True, False):
        message = only_error(semantic_tree, read_files=read_files, ann_file='list.txt')
        assert_names(message, path, *facts)


def test_settings_of_another_type_and_palettes_of_another_length(semantic_tree):
    steps = [{'type': 'LoadImageFromFile'}]
    message = only_error(semantic_tree, reduce_zero_label='maybe', pipeline=steps)
    assert_names(message, 'reduce_zero_label', 'True or False', "'maybe'")
    metainfo = {'classes': ('field', 'sky'), 'palette': [[1, 2, 3]]}
    message = only_error(semantic_tree, metainfo=metainfo)
    assert_names(message, 'metainfo.palette', 2, 'found', 1)
