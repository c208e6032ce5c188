"""Parts that mmdet's LVIS datasets need of the package `lvis`, which no registry has."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .coco import make_whole, read_json


class LVIS:
    """An LVIS annotation file, indexed as the package `lvis` does.

    Args:
        annotation_path: The JSON file.

    Attributes:
        cats: Categories by id.
        cat_img_map: Ids of the images of each category, one for each object.
    """

    def __init__(self, annotation_path: str) -> None:
        self.dataset = read_json(annotation_path)
        make_whole(self.dataset)
        self.cats = {c['id']: c for c in self.dataset['categories']}
        self.imgs = {image['id']: image for image in self.dataset['images']}
        self.anns = {a['id']: a for a in self.dataset['annotations']}
        self.cat_img_map: dict[int, list[int]] = defaultdict(list)
        self.img_ann_map: dict[int, list[int]] = defaultdict(list)
        for annotation in self.dataset['annotations']:
            self.cat_img_map[annotation['category_id']].append(annotation['image_id'])
            self.img_ann_map[annotation['image_id']].append(annotation['id'])

    def get_cat_ids(self) -> list[int]:
        """Ids of the categories, ascending."""
        return sorted(self.cats)

    def get_img_ids(self) -> list[int]:
        """Ids of the images, in the order of the file."""
        return list(self.imgs)

    def get_ann_ids(self, img_ids: Sequence[int]) -> list[int]:
        """Ids of the annotations of images."""
        return [i for image in img_ids for i in self.img_ann_map[image]]

    def load_imgs(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Images by id."""
        return [self.imgs[i] for i in ids]

    def load_anns(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """Annotations by id."""
        return [self.anns[i] for i in ids]
