"""Small COCO sets with every oddity, and pycocotools' numbers for them."""

import contextlib
import copy
import io

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = [
    *('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'),
    *('AR@1', 'AR@10', 'AR@100', 'AR_s@100', 'AR_m@100', 'AR_l@100'),
]


def pycocotools_scores(truth, entries, metric, image_ids=None):
    """The twelve numbers of pycocotools; masks from entries without boxes."""
    stats = pycocotools_evaluator(truth, entries, metric, image_ids).stats.tolist()
    return {f'{metric}_{name}': value for name, value in zip(NAMES, stats, strict=True)}


def pycocotools_evaluator(truth, entries, metric, image_ids=None):
    """pycocotools' evaluator when it has run."""
    entries = copy.deepcopy(entries)
    if metric == 'segm':
        for entry in entries:
            entry.pop('bbox', None)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        if entries:
            found = coco.loadRes(entries)
        else:
            found = COCO()
            found.dataset = {**coco.dataset, 'annotations': []}
            found.createIndex()
        evaluator = COCOeval(coco, found, metric)
        if image_ids is not None:
            evaluator.params.imgIds = image_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def rectangle_rle(box, size):
    """Mask of the pixels within a box x, y, width, height, as a run-length code."""
    mask = np.zeros(size, np.uint8, order='F')
    x, y, w, h = (round(v) for v in box)
    mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 1
    code = coco_mask.encode(mask)
    return {'size': list(size), 'counts': code['counts'].decode()}


coordinates = st.one_of(
    st.integers(0, 40).map(float), st.floats(0, 140, width=32), st.just(0.0), st.just(120.0)
)
boxes = st.tuples(coordinates, coordinates, coordinates, coordinates).map(list)
scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1, 2, width=32))


@st.composite
def coco_sets(draw):
    """Ground truth and result entries: crowds, ties, empty images, degenerate boxes and masks."""
    size = (128, 160)
    image_ids = draw(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True))
    category_ids = draw(st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True))
    truth = {
        'images': [{'id': i, 'height': size[0], 'width': size[1]} for i in image_ids],
        'categories': [{'id': i, 'name': f'class {i}'} for i in category_ids],
        'annotations': [],
    }
    pool = draw(st.lists(boxes, min_size=1, max_size=4))
    some_box = st.one_of(st.sampled_from(pool), boxes)
    for number in range(draw(st.integers(0, 8))):
        box = draw(some_box)
        truth['annotations'].append(
            {
                'id': number + 1,
                'image_id': draw(st.sampled_from(image_ids)),
                'category_id': draw(st.sampled_from(category_ids)),
                'bbox': box,
                'area': draw(st.sampled_from([box[2] * box[3], 0, 1024, 9216, 50, 2000.5, 1e10])),
                'iscrowd': draw(st.sampled_from([0, 0, 0, 1])),
                'segmentation': rectangle_rle(box, size),
                **draw(st.sampled_from([{}, {}, {'ignore': 1}])),
            }
        )
    entries = []
    for _ in range(draw(st.integers(0, 14))):
        box = draw(some_box)
        entries.append(
            {
                'image_id': draw(st.sampled_from(image_ids)),
                'category_id': draw(st.sampled_from(category_ids)),
                'bbox': box,
                'score': draw(scores),
                'segmentation': rectangle_rle(
                    draw(st.sampled_from([box, box, [0, 0, 0, 0]])), size
                ),
            }
        )
    return truth, entries
