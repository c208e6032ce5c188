"""Small datasets on disk, sound until a test damages them."""

import copy
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

import fastvit_dense  # noqa: F401

SIZES = ((40, 60), (33, 47), (64, 32))  # height, width


def write_noise(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), image)


class CocoTree:
    """Three images with two boxes each; `content` is what `write` puts into the JSON file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ann_file = root / 'annotations' / 'train.json'
        self.images = [root / 'images' / f'{k}.jpg' for k in range(3)]
        for path, size in zip(self.images, SIZES, strict=True):
            write_noise(path, size)
        boxes = [4, 5, 10, 12], [6, 5, 10, 12]
        polygons = [[4, 5, 14, 5, 14, 17, 4, 17]], [[6, 5, 16, 5, 16, 17, 6, 17]]
        self.content = {
            'images': [
                {'id': k + 7, 'file_name': path.name, 'height': size[0], 'width': size[1]}
                for k, (path, size) in enumerate(zip(self.images, SIZES, strict=True))
            ],
            'annotations': [
                {
                    'id': k + 1,
                    'image_id': k // 2 + 7,
                    'category_id': 3 + k % 2,
                    'bbox': list(boxes[k % 2]),
                    'area': 120,
                    'segmentation': copy.deepcopy(polygons[k % 2]),
                    'iscrowd': 0,
                }
                for k in range(6)
            ],
            'categories': [{'id': 3, 'name': 'cat'}, {'id': 4, 'name': 'dog'}],
        }
        self.write()

    def write(self) -> None:
        self.ann_file.parent.mkdir(exist_ok=True)
        self.ann_file.write_text(json.dumps(self.content))

    def dataset(self, **changes) -> dict:
        return {
            'type': 'CocoDataset',
            'data_root': str(self.root),
            'ann_file': 'annotations/train.json',
            'data_prefix': {'img': 'images/'},
            'metainfo': {'classes': ('cat', 'dog')},
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
                {'type': 'PackDetInputs'},
            ],
            **changes,
        }

    def config(self, loader: str = 'train', **changes) -> Config:
        return Config(
            {
                'default_scope': 'mmdet',
                'model': {'roi_head': {'bbox_head': {'num_classes': 2}}},
                f'{loader}_dataloader': {'dataset': self.dataset(**changes)},
            }
        )


class SemanticTree:
    """Three images with masks of two classes; 0 is ignored."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images = [root / 'images' / f'{k}.jpg' for k in range(3)]
        self.masks = [root / 'masks' / f'{k}.png' for k in range(3)]
        (root / 'masks').mkdir(parents=True)
        self.labels = []
        for k, size in enumerate(SIZES):
            write_noise(self.images[k], size)
            labels = np.zeros(size, np.uint8)
            labels[: size[0] // 2] = 1
            labels[size[0] // 2 + 3 :] = 2
            self.labels.append(labels)
            assert cv2.imwrite(str(self.masks[k]), labels)

    def dataset(self, **changes) -> dict:
        return {
            'type': 'BaseSegDataset',
            'data_root': str(self.root),
            'data_prefix': {'img_path': 'images', 'seg_map_path': 'masks'},
            'metainfo': {'classes': ('field', 'sky'), 'palette': [[0, 255, 0], [0, 0, 255]]},
            'reduce_zero_label': True,
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'LoadAnnotations', 'reduce_zero_label': True},
                {'type': 'PackSegInputs'},
            ],
            **changes,
        }

    def config(self, loader: str = 'train', **changes) -> Config:
        return Config(
            {
                'default_scope': 'mmseg',
                'model': {'decode_head': {'num_classes': 2}},
                f'{loader}_dataloader': {'dataset': self.dataset(**changes)},
            }
        )


@pytest.fixture
def coco_tree(tmp_path):
    return CocoTree(tmp_path / 'coco')


@pytest.fixture
def semantic_tree(tmp_path):
    return SemanticTree(tmp_path / 'semantic')


@pytest.fixture
def hand_copy(hand_tree, tmp_path):
    """A copy of `hand_tree`, which a test may damage."""
    return shutil.copytree(hand_tree, tmp_path / 'freihand')
