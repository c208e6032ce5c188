"""YOLO and VOC beside supervision's readers: the same boxes where it reads them rightly."""

import numpy as np
import pytest

from fastvit_dense.datasets.formats.recognising import read_folder

from . import annotated

supervision = pytest.importorskip('supervision')


def compared(found, theirs):
    """Our boxes and labels beside theirs; the pictures that both have."""
    ours = {str(picture.path): picture for picture in found.pictures}
    count = 0
    for path, _, detections in theirs:
        objects = ours[path].objects
        assert [o.label for o in objects] == [theirs.classes[k] for k in detections.class_id]
        for entry, box in zip(objects, detections.xyxy, strict=True):
            np.testing.assert_allclose(entry.box, box, atol=0.01)
            count += 1
    return count


def test_yolo_boxes(tmp_path):
    annotated.yolo(tmp_path, polygons=False)
    theirs = supervision.DetectionDataset.from_yolo(
        str(tmp_path / 'train/images'), str(tmp_path / 'train/labels'), str(tmp_path / 'data.yaml')
    )
    assert compared(read_folder(tmp_path), theirs) == 3


def test_voc_boxes(tmp_path):
    annotated.voc(tmp_path, 'The VOC2007 Database', shift=1)
    theirs = supervision.DetectionDataset.from_pascal_voc(
        str(tmp_path / 'JPEGImages'), str(tmp_path / 'Annotations')
    )
    assert compared(read_folder(tmp_path), theirs) == 4


def test_it_rounds_the_corners_of_polygons(tmp_path):
    """Why it does not read polygons here: they become masks of whole pixels."""
    annotated.yolo(tmp_path)
    theirs = supervision.DetectionDataset.from_yolo(
        str(tmp_path / 'train/images'), str(tmp_path / 'train/labels'), str(tmp_path / 'data.yaml')
    )
    corners = {d.mask.dtype for _, _, d in theirs if d.mask is not None}
    assert corners == {np.dtype(bool)}
    assert all('polygons' not in d.data for _, _, d in theirs)
