"""The pictures of a report: prediction beside ground truth."""

import json

import numpy as np
import pytest
from PIL import Image

from fastvit_dense.evaluation.record import EvaluationResult
from fastvit_dense.evaluation.report.pictures import GalleryEntry, make_gallery, save_gallery
from fastvit_dense.tasks import find_task, task_of
from fastvit_dense.tasks.config import load_config
from fastvit_dense.visualization.layout import side_by_side, stack_pictures
from fastvit_dense.visualization.palette import class_color


def result(task, ids):
    """Scores that fall with the place in the list."""
    samples = [{'id': i, 'score': 1 - place / 10} for place, i in enumerate(ids)]
    return EvaluationResult(task, 'sample', 'val', len(samples), {}, per_sample=samples)


def gallery(cfg, scored, predictions):
    assert find_task(scored.task) is task_of(cfg)
    return make_gallery(cfg, scored, predictions, task_of(cfg).draw)


def test_side_by_side_keeps_every_pixel():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (50, width, 3), dtype=np.uint8) for width in (40, 70)]
    pictures = {name: Image.fromarray(i) for name, i in zip('ab', images, strict=True)}
    joined = np.asarray(side_by_side(pictures))
    bar = joined.shape[0] - 50
    assert joined.shape == (50 + bar, 40 + 70 + 6, 3)
    np.testing.assert_array_equal(joined[bar:, :40], images[0])
    np.testing.assert_array_equal(joined[bar:, 46:], images[1])
    assert (joined[:bar] < 255).any(), 'captions'


def test_stacked_pictures_have_one_width(tmp_path):
    for name, size, color in (('a', (40, 10), 10), ('b', (20, 30), 200)):
        Image.new('RGB', size, (color,) * 3).save(tmp_path / f'{name}.png')
    stacked = np.asarray(stack_pictures([tmp_path / 'a.png', tmp_path / 'b.png'], width=80))
    assert stacked.shape == (20 + 120, 80, 3)
    assert (stacked[:20] == 10).all()
    assert (stacked[20:] == 200).all()


@pytest.fixture
def truth(tiny_instance):
    return json.loads(tiny_instance.with_name('val.json').read_text())


def test_instances_beside_their_truth(tiny_instance, truth, tmp_path):
    """Nothing found on the left: the image; the true boxes on the right, in their places."""
    cfg = load_config(tiny_instance)
    predictions = tmp_path / 'instances.json'
    first = truth['images'][0]
    low = {'image_id': first['id'], 'category_id': 1, 'bbox': [9, 9, 30, 30], 'score': 0.1}
    predictions.write_text(json.dumps([low]))
    ids = [image['id'] for image in truth['images']]
    entries, note = gallery(cfg, result('instance', ids), predictions)
    assert note == ''
    assert entries[0].title == first['file_name']
    assert len(entries) == 4
    dataset = cfg.test_dataloader.dataset
    path = f'{dataset.data_root}{dataset.data_prefix.img}{first["file_name"]}'
    image = np.asarray(Image.open(path).convert('RGB'))
    height, width = image.shape[:2]
    picture = np.asarray(entries[0].picture)[-height:]
    np.testing.assert_array_equal(picture[:, :width], image)
    annotation = min(
        (a for a in truth['annotations'] if a['image_id'] == first['id']), key=lambda a: a['area']
    )
    x, y, _, h = annotation['bbox']
    color = class_color(annotation['category_id'] - 1)
    assert tuple(picture[y + h // 2, width + 6 + x]) == color
    entries, _ = gallery(cfg, result('instance', ids), predictions)
    save_gallery(entries, tmp_path / 'pictures')
    names = sorted(p.name for p in (tmp_path / 'pictures').iterdir())
    assert len(names) == 4
    assert names[0].startswith('00_best_')


def test_labels_beside_their_truth(tiny_semantic, tmp_path):
    """The truth as prediction: both halves are the same picture."""
    cfg = load_config(tiny_semantic)
    dataset = cfg.test_dataloader.dataset
    folder = f'{dataset.data_root}/{dataset.data_prefix.img_path}'
    masks = f'{dataset.data_root}/{dataset.data_prefix.seg_map_path}'
    names = [f'ADE_val_{i + 1:08d}' for i in range(2)]
    for name in names:
        Image.open(f'{masks}/{name}.png').save(tmp_path / f'{name}.png')
    paths = [f'{folder}/{name}.jpg' for name in names]
    entries, note = gallery(cfg, result('semantic', paths), tmp_path)
    assert note == ''
    assert [entry.title for entry in entries] == [f'{name}.jpg' for name in names]
    for entry, path in zip(entries, paths, strict=True):
        width, height = Image.open(path).size
        picture = np.asarray(entry.picture)[-height:]
        np.testing.assert_array_equal(picture[:, :width], picture[:, width + 6 :])
        assert (picture[:, :width] != np.asarray(Image.open(path).convert('RGB'))).any()


def test_labels_as_predict_writes_them_beside_their_truth(tiny_semantic, tmp_path):
    """Class indices from 0, in files named so, although the masks count from 1."""
    cfg = load_config(tiny_semantic)
    dataset = cfg.test_dataloader.dataset
    masks = f'{dataset.data_root}/{dataset.data_prefix.seg_map_path}'
    name = 'ADE_val_00000001'
    labels = np.asarray(Image.open(f'{masks}/{name}.png')) - np.uint8(1)  # 255: not labelled
    Image.fromarray(labels).save(tmp_path / f'{name}_labels.png')
    path = f'{dataset.data_root}/{dataset.data_prefix.img_path}/{name}.jpg'
    (entry,), note = gallery(cfg, result('semantic', [path]), tmp_path)
    assert note == ''
    width, height = Image.open(path).size
    picture = np.asarray(entry.picture)[-height:]
    np.testing.assert_array_equal(picture[:, :width], picture[:, -width:])


def test_why_there_is_no_gallery(tiny_instance, truth, tmp_path):
    cfg = load_config(
        tiny_instance, cfg_options=[f'test_dataloader.dataset.data_prefix.img={tmp_path}']
    )
    predictions = tmp_path / 'instances.json'
    predictions.write_text('[]')
    scored = result('instance', [truth['images'][0]['id']])
    entries, note = gallery(cfg, scored, predictions)
    assert entries == []
    assert note == f'no image {truth["images"][0]["file_name"]} in the data folder'
    assert gallery(cfg, result('instance', []), predictions) == (
        [],
        'no sample has a score of its own',
    )
    cfg.test_evaluator.ann_file = None  # the truth of the data samples was scored
    assert gallery(cfg, scored, predictions) == ([], 'test_evaluator.ann_file is not set')


@pytest.mark.parametrize('name', [None, 7])
def test_images_without_a_file_name_leave_the_gallery_out(tiny_instance, truth, tmp_path, name):
    for image in truth['images']:
        image['file_name'] = name
        if name is None:
            del image['file_name']
    (tmp_path / 'val.json').write_text(json.dumps(truth))
    cfg = load_config(tiny_instance, cfg_options=[f'test_evaluator.ann_file={tmp_path}/val.json'])
    predictions = tmp_path / 'instances.json'
    predictions.write_text('[]')
    ids = [image['id'] for image in truth['images']]
    entries, note = gallery(cfg, result('instance', ids), predictions)
    assert entries == []
    assert note == (
        f'annotation file {tmp_path}/val.json: image {ids[0]}: expected a text "file_name", '
        f'found {name!r}'
    )


@pytest.mark.parametrize('mask', [[[1, 2]], {'size': [1, 1], 'counts': 'x'}, 'none', None])
def test_true_masks_that_were_not_scored_may_be_broken(tiny_instance, truth, tmp_path, mask):
    """Their boxes are drawn alone."""
    for annotation in truth['annotations']:
        annotation['segmentation'] = mask
    (tmp_path / 'val.json').write_text(json.dumps(truth))
    cfg = load_config(tiny_instance, cfg_options=[f'test_evaluator.ann_file={tmp_path}/val.json'])
    predictions = tmp_path / 'instances.json'
    predictions.write_text('[]')
    entries, note = gallery(cfg, result('instance', [truth['images'][0]['id']]), predictions)
    assert note == ''
    assert len(entries) == 1


def test_uncompressed_codes_are_drawn(tiny_instance, truth, tmp_path):
    """Result files may hold lists of run lengths, with boxes or without."""
    cfg = load_config(tiny_instance)
    image = truth['images'][0]
    size = [image['height'], image['width']]
    mask = np.zeros(size, dtype=bool)
    mask[10:30, 20:50] = True
    edges = np.flatnonzero(np.diff(mask.T.ravel().astype(int))) + 1
    runs = np.diff([0, *edges, mask.size]).tolist()
    entry = {
        'image_id': image['id'],
        'category_id': 1,
        'score': 0.9,
        'segmentation': {'size': size, 'counts': runs},
    }
    predictions = tmp_path / 'instances.json'
    pictures = []
    for box in ({}, {'bbox': [20, 10, 30, 20]}):
        predictions.write_text(json.dumps([entry | box]))
        entries, note = gallery(cfg, result('instance', [image['id']]), predictions)
        assert note == ''
        pictures.append(np.asarray(entries[0].picture))
    np.testing.assert_array_equal(*pictures)


def test_a_broken_picture_leaves_the_gallery_out(tiny_instance, truth, tmp_path):
    cfg = load_config(
        tiny_instance, cfg_options=[f'test_dataloader.dataset.data_prefix.img={tmp_path}']
    )
    name = truth['images'][0]['file_name']
    (tmp_path / name).write_bytes(b'no picture')
    predictions = tmp_path / 'instances.json'
    predictions.write_text('[]')
    entries, note = gallery(cfg, result('instance', [truth['images'][0]['id']]), predictions)
    assert entries == []
    assert name in note


def test_an_interruption_leaves_no_half_picture(tmp_path, monkeypatch):
    picture = Image.new('RGB', (4, 4))

    def interrupted(path, **_):
        path.write_bytes(b'half a picture')
        raise KeyboardInterrupt

    monkeypatch.setattr(picture, 'save', interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_gallery([GalleryEntry('a.jpg', 1.0, picture, 'Best')], tmp_path)
    assert not list(tmp_path.iterdir())


def test_pictures_of_an_earlier_run_make_room(tmp_path):
    picture = Image.new('RGB', (4, 4))
    (tmp_path / 'mine.png').write_bytes(b'')
    save_gallery([GalleryEntry('a.jpg', 1.0, picture, 'Best')], tmp_path)
    save_gallery([GalleryEntry('b.jpg', 1.0, picture, 'Best')], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['00_best_b.png', 'mine.png']
