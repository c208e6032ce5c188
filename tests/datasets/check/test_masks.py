"""Masks as people write them: 255 in place of a class, all ignored, floats, channels, palettes."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.models.losses import CrossEntropyLoss
from PIL import Image

from fastvit_dense.datasets.check import semantic
from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.errors import DataError

HEIGHT, WIDTH = 40, 60


def crack(number):
    """A mask of 0 and a square of 1, its place by the number."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5 + number : 15 + number, 20:40] = 1
    return mask


class Masks:
    """Six pictures and masks; `write` says how each mask is made and saved."""

    def __init__(self, root):
        self.root = root
        for folder in ('images', 'masks'):
            (root / folder).mkdir()
        for number in range(6):
            noise = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(noise).save(root / f'images/{number}.png')

    def write(self, change, save=lambda array: Image.fromarray(array)):
        for number in range(6):
            save(change(crack(number), number)).save(self.root / f'masks/{number}.png')
        return self

    def config(self, classes=('ground', 'crack'), palette=None, loader='train', **changes):
        head = {
            'type': 'FPNHead',
            'num_classes': len(classes),
            'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': False},
        }
        metainfo = {'classes': classes} | ({'palette': palette} if palette else {})
        dataset = {
            'type': 'BaseSegDataset',
            'data_root': str(self.root),
            'img_suffix': '.png',
            'data_prefix': {'img_path': 'images', 'seg_map_path': 'masks'},
            'metainfo': metainfo,
            'pipeline': [],
            **changes,
        }
        return Config(
            {
                'default_scope': 'mmseg',
                'model': {'type': 'EncoderDecoder', 'decode_head': head},
                f'{loader}_dataloader': {'dataset': dataset},
                f'{loader}_evaluator': {'type': 'SemanticMetric'},
            }
        )


@pytest.fixture
def masks(tmp_path):
    return Masks(tmp_path)


def kinds(cfg, severity, **options):
    return [finding.kind for finding in check_config(cfg, **options).findings(severity)]


def sixteen_bits(array):
    return Image.fromarray(np.where(array == 255, 65535, array.astype(np.uint16)))


def palette(array):
    image = Image.new('P', array.shape[::-1])
    image.putdata(array.ravel().tolist())
    image.putpalette([0, 0, 0, 255, 0, 0, *[0] * 762])
    return image


WRONG = {
    '8 bits': (lambda m, i: m * 255, Image.fromarray),
    '16 bits': (lambda m, i: m * 255, sixteen_bits),
    'palette': (lambda m, i: m * 255, palette),
    'inverted': (lambda m, i: 255 - m * 255, Image.fromarray),
    'one of six is sound': (lambda m, i: m * (1 if i == 2 else 255), Image.fromarray),
}


@pytest.mark.parametrize('way', WRONG)
def test_255_in_place_of_the_second_class(masks, way):
    change, save = WRONG[way]
    cfg = masks.write(change, save).config()
    for read_files in (True, False):
        (finding,) = check_config(cfg, read_files=read_files).findings('error')
        assert finding.kind == 'ignored_pixels'
        found = 65535 if way == '16 bits' else 255
        assert f"expected 1 for class 'crack', found {found} in" in finding.message
        assert f'mask[mask == {found}] = 1' in finding.message
        inverted = "if 0 stands for 'crack' here, write the masks again with mask = (mask == 0)"
        assert (inverted in finding.message) == (way == 'inverted')


@pytest.mark.parametrize('loader', ['train', 'val', 'test'])
def test_training_and_scoring_refuse_it_too(masks, loader):
    cfg = masks.write(*WRONG['8 bits']).config(loader=loader)
    for with_files in (True, False):
        with pytest.raises(DataError, match="class 'crack', found 255 in 6 of 6 masks"):
            quick_check(cfg, f'{loader}_dataloader', with_files=with_files)


@pytest.mark.parametrize('way', ['8 bits', 'one of six is sound'])
def test_it_is_found_with_reduce_zero_label(masks, way):
    cfg = masks.write(*WRONG[way]).config(reduce_zero_label=True)
    assert kinds(cfg, 'error') == ['ignored_pixels']


def three(mask, number):
    mask[30:, :10] = 2
    return mask


def border(mask, number):
    mask[:2] = mask[-2:] = 255
    return mask


THREE = ('ground', 'crack', 'hole')


def test_255_in_place_of_the_third_class(masks):
    cfg = masks.write(lambda m, i: np.where(three(m, i) == 2, 255, m).astype(np.uint8)).config(
        THREE
    )
    (message,) = check_config(cfg).errors
    assert "expected 2 for class 'hole', found 255 in 6 of 6 masks" in message


def test_a_border_of_255_beside_all_classes_is_sound(masks):
    report = check_config(masks.write(border).config())
    assert report.errors == report.warnings == []
    assert report.of('train').notes[-1] == f'ignored pixels: {4 / HEIGHT:.1%} of 6 masks'
    assert 'ignored pixels: 10.0% of 6 masks' in str(report)
    report = check_config(masks.write(lambda m, i: border(three(m, i), i)).config(THREE))
    assert report.errors == report.warnings == []


def test_one_wrong_mask_of_six_is_a_warning(masks):
    cfg = masks.write(lambda m, i: m * (255 if i == 2 else 1)).config()
    assert kinds(cfg, 'error') == []
    assert kinds(cfg, 'warning') == ['ignored_pixels']


def test_a_class_that_val_lacks_is_no_mistake_where_training_has_it(masks, tmp_path):
    cfg = masks.write(lambda m, i: border(three(m, i), i)).config(THREE)
    (tmp_path / 'other').mkdir()
    other = Masks(tmp_path / 'other').write(border).config(THREE, loader='val')
    assert kinds(other, 'error') == ['ignored_pixels']
    cfg.merge_from_dict({key: other[key] for key in ('val_dataloader', 'val_evaluator')})
    assert kinds(cfg, 'error') == []


NEGATIVES_WITH_A_BORDER = {
    'no crack beside the border': lambda m, i: border(m * 0, i) if i < 4 else m,
    'cracks beside some of the borders': lambda m, i: border(m * (i > 3), i),
}


@pytest.mark.parametrize('way', NEGATIVES_WITH_A_BORDER)
def test_pictures_without_the_class_may_have_a_border(masks, way):
    cfg = masks.write(NEGATIVES_WITH_A_BORDER[way]).config()
    assert kinds(cfg, 'error') == kinds(cfg, 'warning') == []


def blob(mask, number):
    mask[32:36, 50:55] = 255
    return mask


VAL = {
    'negatives with a border': (lambda m, i: border(m * 0, i), border, []),
    'negatives with a blob': (lambda m, i: blob(m * 0, i), blob, []),
    '255 for crack': (lambda m, i: m * 255, border, ['ignored_pixels']),
    '255 for crack and border': (lambda m, i: border(m * 255, i), border, ['ignored_pixels']),
    '255 for crack, blobs in training': (lambda m, i: m * 255, blob, ['ignored_pixels']),
}


@pytest.mark.parametrize('way', VAL)
def test_val_without_the_class_beside_training_that_has_it(masks, tmp_path, way):
    val, train, errors = VAL[way]
    cfg = masks.write(train).config()
    (tmp_path / 'other').mkdir()
    other = Masks(tmp_path / 'other').write(val).config(loader='val')
    cfg.merge_from_dict({key: other[key] for key in ('val_dataloader', 'val_evaluator')})
    assert kinds(cfg, 'error') == errors
    if not errors:
        assert 'class_absent' in kinds(cfg, 'warning')
        quick_check(cfg, 'val_dataloader')


def test_one_sound_mask_with_a_border_hides_no_wrong_ones(masks):
    cfg = masks.write(lambda m, i: border(m, i) if i == 5 else m * 255).config()
    assert 'found 255 in 5 of 6 masks' in check_config(cfg).errors[0]


def test_a_third_class_in_one_mask_without_border(masks):
    cfg = masks.write(lambda m, i: border(m, i) if i else three(m, i)).config(THREE)
    assert kinds(cfg, 'error') == kinds(cfg, 'warning') == []
    cfg = masks.write(lambda m, i: blob(m, i) if i else three(m, i)).config(THREE)
    assert kinds(cfg, 'error') == []


def test_who_means_that_255_counts_for_nothing_says_so(masks):
    masks.write(*WRONG['8 bits'])
    (message,) = check_config(masks.config()).errors
    assert message.endswith('say so with ignore_index=255 in the dataset')
    assert kinds(masks.config(ignore_index=255), 'error') == []
    assert kinds(masks.config(ignore_index=255), 'warning') == ['class_absent', 'ignored_pixels']


def test_all_pixels_ignored(masks):
    cfg = masks.write(lambda m, i: np.full_like(m, 255)).config()
    for read_files in (True, False):
        (message,) = check_config(cfg, read_files=read_files).errors
        assert 'all pixels of 6 masks are ignored' in message


def test_what_the_sample_makes_doubtful_is_looked_at_again(masks, monkeypatch):
    monkeypatch.setattr(semantic, 'LOOKED_AT', 2)
    # first and last picture show no crack, beside which 255 stands
    cfg = masks.write(lambda m, i: border(m * (i % 5 > 0), i)).config()
    assert check_config(cfg, read_files=False).errors == []


def test_equal_channels_floats_and_folders_are_named(masks):
    masks.write(lambda m, i: np.stack([m * 255] * 3, -1))
    (message, *_) = check_config(masks.config()).errors
    assert 'a picture of mode RGB whose channels are equal (values 0, 255)' in message
    assert 'Image.fromarray(mask[..., 0])' in message
    for number in range(6):
        image = Image.fromarray(crack(number).astype(np.float32))
        image.save(masks.root / f'masks/{number}.tif')
    (message, *_) = check_config(masks.config(seg_map_suffix='.tif')).errors
    assert 'found floating-point numbers (0, 1, ...); write them as 8 bits' in message
    masks.write(lambda m, i: m)
    (masks.root / 'images/east').mkdir()
    for path in (masks.root / 'images').glob('*.png'):
        path.rename(path.parent / 'east' / path.name)
    (message, *_) = check_config(masks.config()).errors
    assert f'found {masks.root}/masks/0.png; masks lie in folders like those of' in message


def test_a_palette_of_other_colours_is_named(masks):
    cfg = masks.write(lambda m, i: m, palette).config(palette=[[255, 0, 0], [0, 0, 0]])
    (message,) = check_config(cfg).warnings
    assert 'expected (255, 0, 0) as the colour of value 0' in message
    assert "found (0, 0, 0), the config's colour of class 1" in message
    cfg = masks.config(palette=[[0, 0, 0], [255, 0, 0]])
    assert check_config(cfg).warnings == []


def test_one_class_is_refused_with_the_two_ways_out(masks):
    cfg = masks.write(lambda m, i: m * 0).config(('crack',))
    for read_files in (True, False):
        assert kinds(cfg, 'error', read_files=read_files) == ['one_class']
    (message,) = check_config(cfg).errors
    assert "metainfo.classes=('background', 'crack')" in message
    assert 'model.decode_head.out_channels=1' in message
    assert 'loss_decode.use_sigmoid=True' in message


def test_one_output_under_softmax_is_refused(masks):
    cfg = masks.write(lambda m, i: m).config()
    cfg.model.decode_head.out_channels = 1
    (message,) = check_config(cfg).errors
    assert 'model.decode_head.loss_decode.use_sigmoid=True' in message
    cfg.model.decode_head.loss_decode.use_sigmoid = True
    assert check_config(cfg).errors == []


def test_settings_of_heads_that_do_not_fit(masks):
    cfg = masks.write(lambda m, i: m).config(loader='val')
    head = cfg.model.decode_head
    head.ignore_index = 0
    (message,) = check_config(cfg).errors
    assert 'found ignore_index=0 here and 255 in val_evaluator' in message
    del head['ignore_index']
    head.loss_decode.class_weight = [1.0, 2.0, 3.0]
    (message,) = check_config(cfg).errors
    assert 'loss_decode.class_weight: expected 2 weights' in message
    head.loss_decode.update(class_weight=[1.0, 2.0], avg_non_ignore=True)
    (message,) = check_config(cfg).errors
    assert message.startswith('model.decode_head.loss_decode.avg_non_ignore: expected False')


def test_an_ignored_label_that_no_mask_is_read_with(masks):
    cfg = masks.write(lambda m, i: border(m, i)).config(loader='val')
    cfg.model.decode_head.ignore_index = cfg.val_evaluator.ignore_index = 254
    (message,) = check_config(cfg).errors
    assert 'found ignore_index=254 here and 255 in masks as they are read' in message


def test_weights_under_a_sigmoid_as_mmseg_takes_them(masks):
    cfg = masks.write(lambda m, i: m).config()
    loss = cfg.model.decode_head.loss_decode
    loss.use_sigmoid = True
    labels = torch.randint(0, 2, (2, 5, 7))
    for weights, sound in (([1.0, 2.0, 3.0], False), ([1.0, 2.0], False), ([2.0], True)):
        loss.class_weight = weights
        assert kinds(cfg, 'error') == ([] if sound else ['class_weight'])
        module = CrossEntropyLoss(use_sigmoid=True, class_weight=weights)
        with nullcontext() if sound else pytest.raises(RuntimeError):
            module(torch.zeros(2, 2, 5, 7), labels, ignore_index=255)


def test_jpeg_masks_are_told_where_their_values_are_classes(masks):
    """Whatever their suffix; PNG masks beside them are not counted."""
    cfg = masks.write(lambda m, i: m).config()
    for read_files in (True, False):
        assert not check_config(cfg, read_files=read_files).findings('warning')
        for number in (2, 4):
            Image.fromarray(crack(0) * 0 + 1).save(masks.root / f'masks/{number}.png', 'JPEG')
        (finding,) = check_config(cfg, read_files=read_files).findings('warning')
        assert finding.kind == 'lossy_mask'
        assert finding.where.endswith('masks/2.png')
        assert 'found JPEG (2 of 6 masks)' in finding.message
        masks.write(lambda m, i: m)


def test_training_masks_of_one_class_are_told_before_training(masks):
    """Unless one that was not among the first looked at holds another class."""
    cfg = masks.write(lambda m, i: m * 0).config()
    (finding,) = quick_check(cfg, 'train_dataloader').findings('warning')
    assert finding.kind == 'class_absent'
    assert "all labelled pixels of 6 masks are of one class, 'ground'" in finding.message
    Image.fromarray(crack(0)).save(masks.root / 'masks/3.png')
    assert not quick_check(cfg, 'train_dataloader').findings('warning')


def test_one_class_is_looked_for_in_more_masks(masks, monkeypatch):
    monkeypatch.setattr(semantic, 'LOOKED_AT', 2)
    cfg = masks.write(lambda m, i: m * (i == 3)).config()
    assert not quick_check(cfg, 'train_dataloader').findings('warning')
