"""mmdet's reader of COCO files, made to read what this package's checks have read.

Its labels follow the names of the classes, too: mmdet numbers the classes in the order of the
file's categories, whatever their order in `metainfo.classes`, so that two files of different order,
or one without a class, mean different things by the same label.
"""

import contextlib
import io
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from .coco import absent_ids, make_whole, read_json


def use_own_reader(module: ModuleType) -> None:
    """Change the class `COCO` of `mmdet.datasets.api_wrappers.coco_api`, in place."""
    api = module.COCO
    if getattr(api, 'labels_follow_names', False):
        return
    start, category_ids = api.__init__, api.get_cat_ids

    def init(self: Any, annotation_file: str | None = None) -> None:
        start(self)
        if annotation_file is None:
            return
        self.dataset = read_json(annotation_file)
        if 'annotations' in self.dataset:
            make_whole(self.dataset)
        with contextlib.redirect_stdout(io.StringIO()):
            self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(
        self: Any, cat_names: Sequence[str] = (), sup_names: Any = (), cat_ids: Any = ()
    ) -> list[int]:
        found = category_ids(self, cat_names, sup_names, cat_ids)
        if isinstance(cat_names, str) or not len(cat_names):
            return found
        ids = {self.cats[i]['name']: i for i in found}
        ids |= absent_ids(name for name in cat_names if name not in ids)
        return [ids[name] for name in cat_names]

    api.__init__, api.get_cat_ids = init, get_cat_ids
    api.labels_follow_names = True
