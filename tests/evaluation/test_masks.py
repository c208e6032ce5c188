"""Run-length codes against pycocotools, pasting against mmdet, and its memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from fastvit_dense.evaluation.masks import encode_masks, encode_part, paste_masks_rle, rle_error


def random_codes(seed, count, size):
    random = np.random.default_rng(seed)
    masks = random.random((count, *size)) < random.random((count, 1, 1))
    return masks, encode_masks(torch.from_numpy(masks))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 5), st.integers(1, 300), st.integers(1, 40))
def test_codes_decode_and_pass(seed, count, height, width):
    masks, codes = random_codes(seed, count, (height, width))
    for mask, code in zip(masks, codes, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(code), mask)
    counts = [code['counts'] for code in codes]
    assert rle_error(counts, height * width) is None
    if count:
        wrong = rle_error(counts, height * width + 1)
        assert wrong[0] == 0
        assert f'covers {height * width} pixels' in wrong[1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-40, 4000), min_size=1, max_size=12))
def test_run_lengths_are_read_as_pycocotools_writes_them(runs):
    total = sum(runs)
    if min(runs) < 0 or total < 1:
        return
    code = coco_mask.frPyObjects({'size': [total, 1], 'counts': runs}, total, 1)['counts']
    assert rle_error([code, code], total) is None
    assert rle_error([code], total - 1) is not None


@pytest.mark.parametrize(
    ('code', 'message'),
    [
        (b'', 'is empty'),
        (b'\x01', 'foreign character'),
        (b'\xff4', 'foreign character'),
        (b'o', 'ends within a number'),
        (b'o' * 30 + b'0', 'huge number'),
        (b'O', 'negative run'),
    ],
)
def test_broken_codes_are_named(code, message):
    _, good = random_codes(0, 1, (10, 10))
    wrong = rle_error([good[0]['counts'], code], 100)
    assert wrong[0] == 1
    assert message in wrong[1]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4))
def test_noise_never_passes_as_a_code_that_pycocotools_refuses(codes):
    if rle_error(codes, 600) is None:
        for code in codes:
            assert coco_mask.decode({'size': [20, 30], 'counts': code}).shape == (20, 30)


@pytest.mark.parametrize('size', [(97, 143), (1, 1), (2500, 900)])
def test_pastes_what_mmdet_pastes(size):
    paste = pytest.importorskip('mmdet.models.roi_heads.mask_heads.fcn_mask_head')._do_paste_mask
    generator = torch.Generator().manual_seed(0)
    height, width = size
    extent = torch.tensor([width, height, width, height])
    boxes = torch.rand(8, 4, generator=generator) * extent * 1.2 - 0.1 * extent
    boxes = torch.cat([boxes[:, :2].minimum(boxes[:, 2:]), boxes[:, :2].maximum(boxes[:, 2:])], 1)
    whole = torch.tensor([[0.0, 0.0, width, height], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.25, 0.25]])
    boxes = torch.cat([boxes, whole])
    boxes[:, :2] = boxes[:, :2].minimum(extent[:2].float())
    probs = torch.rand(len(boxes), 28, 28, generator=generator)
    codes = paste_masks_rle(probs, boxes, size)
    for prob, box, code in zip(probs, boxes, codes, strict=True):
        part, at = paste(prob[None, None], box[None], height, width, skip_empty=True)
        expected = np.zeros(size, np.uint8)
        expected[at] = (part[0] >= 0.5).numpy()
        np.testing.assert_array_equal(coco_mask.decode(code), expected)
    assert codes[8]['size'] == [height, width]


def test_boxes_outside_the_image_and_no_boxes():
    boxes = torch.tensor([[50.0, 50.0, 60.0, 60.0], [-9.0, -9.0, -5.0, -5.0]])
    codes = paste_masks_rle(torch.ones(2, 28, 28), boxes, (20, 20))
    assert [int(coco_mask.area(code)) for code in codes] == [0, 0]
    assert paste_masks_rle(torch.ones(0, 28, 28), torch.zeros(0, 4), (20, 20)) == []


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20), st.data())
def test_a_part_is_encoded_as_the_whole_image(seed, height, width, data):
    random = np.random.default_rng(seed)
    top, left = data.draw(st.integers(0, height)), data.draw(st.integers(0, width))
    whole = np.zeros((height, width), bool)
    part = whole[top : top + data.draw(st.integers(0, 20)), left : left + 7]
    part[:] = random.random(part.shape) < random.choice([0.2, 0.9, 1.0])
    assert encode_part(part, (left, top), (height, width)) == encode_masks(whole[None])[0]


MEASURE = """
import resource, torch
from fastvit_dense.evaluation.masks import paste_masks_rle
boxes = torch.tensor([[0.0, 0.0, 4000.0, 3000.0]]).repeat(100, 1)
boxes[2:, 2:] = 300
probs = torch.rand(100, 28, 28)
paste_masks_rle(probs[:1], boxes[:1, :] / 40, (75, 100))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert len(paste_masks_rle(probs, boxes, (3000, 4000))) == 100
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_large_images_take_little_memory():
    """A stack of 100 masks of 4000x3000 would take 1.2 GB as bool and 4.8 GB as float."""
    output = subprocess.run(
        [sys.executable, '-c', MEASURE], capture_output=True, text=True, check=True, timeout=300
    ).stdout
    assert float(output) < 250


@pytest.mark.gpu
def test_pastes_on_a_gpu():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.tensor([[10.3, 5.2, 400.7, 300.1], [0.0, 0.0, 640.0, 480.0]])
    y, x = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing='ij')
    probs = (4 * (0.7 - x**2 - y**2)).sigmoid() + 0.001 * torch.rand(2, 28, 28, generator=generator)
    expected = paste_masks_rle(probs, boxes, (480, 640))
    found = paste_masks_rle(probs.cuda(), boxes.cuda(), (480, 640))
    for one, other in zip(found, expected, strict=True):
        assert coco_mask.iou([one], [other], [0])[0, 0] > 0.9999
