"""From a checkpoint to pictures: `load_model`, what it takes, what it gives."""

import io
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from fastvit_dense import CheckpointMismatch, engine, load_model, reparameterize
from fastvit_dense.errors import CheckpointError, ConfigError, ImageError, PredictionError
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def detector(tiny_instance, trained):
    return load_model(tiny_instance, trained)


@pytest.fixture(scope='module')
def segmentor(tiny_semantic, trained_semantic):
    return load_model(tiny_semantic, trained_semantic)


def assert_same_result(one, other):
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)
        else:
            assert value == getattr(other, name), name


@pytest.mark.parametrize('task', ['detector', 'segmentor'])
def test_path_picture_and_array_give_the_same(request, task, photo, tmp_path):
    """A PNG keeps every pixel, so the file, the PIL image and the array are one picture."""
    model = request.getfixturevalue(task)
    path = tmp_path / 'photo.png'
    Image.fromarray(photo).save(path)
    picture = Image.open(path)
    results = model([str(path), path, picture, photo], batch_size=1)
    assert isinstance(results, list)
    assert len(results) == 4
    for result in results:
        assert_same_result(result, model(photo))
    assert model([]) == []
    np.testing.assert_array_equal(results[0].image, photo)


def test_orientation_and_deep_values_from_every_entrance(segmentor, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    grey[0, 0] = 255
    expected = segmentor(np.repeat(grey[..., None], 3, axis=2)).image
    deep = grey.astype(np.uint16) * 16
    Image.fromarray(deep).save(tmp_path / 'deep.png')
    pictures = [
        tmp_path / 'deep.png',
        Image.open(tmp_path / 'deep.png'),
        Image.fromarray(deep.astype(np.int32)),
        Image.fromarray(deep.astype(np.float32)),
        np.repeat(deep[..., None], 3, axis=2),
    ]
    for picture in pictures:
        with pytest.warns(UserWarning, match='values up to 4080: read as 12 bits'):
            assert (segmentor(picture).image == expected).all()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(tmp_path / 'turned.png', exif=exif)
    for picture in (tmp_path / 'turned.png', Image.open(tmp_path / 'turned.png')):
        assert (segmentor(picture).image == np.rot90(expected, -1)).all()


def test_instances(detector, photo, tmp_path):
    result = detector(photo)
    count = len(result.boxes)
    assert 0 < count <= 100
    assert result.boxes.shape == (count, 4)
    assert result.scores.shape == result.labels.shape == (count,)
    assert (np.diff(result.scores) <= 0).all()
    assert ((result.scores >= 0) & (result.scores <= 1)).all()
    height, width = photo.shape[:2]
    assert (result.boxes >= 0).all()
    assert (result.boxes <= [width, height, width, height]).all()
    assert result.masks.shape == (count, height, width)
    assert result.masks.dtype == bool
    data = json.loads(result.save(tmp_path / 'result.json').read_text())
    assert data == json.loads(json.dumps(result.to_dict()))
    assert len(data['instances']) == count
    for item, box, mask in zip(data['instances'], result.boxes, result.masks, strict=True):
        x, y, w, h = item['bbox']
        np.testing.assert_allclose([x, y, x + w, y + h], box, rtol=1e-6, atol=1e-5)
        assert item['class'] == detector.classes[item['label']]
        np.testing.assert_array_equal(coco_mask.decode(item['segmentation']).astype(bool), mask)


def test_predictions_are_those_of_the_evaluation(detector, tiny_instance, trained, tmp_path):
    """`model(path)` and `tools/test.py` find the same boxes, scores and masks."""
    options = ['test_dataloader.dataset.indices=1']
    engine.evaluate_checkpoint(
        tiny_instance, str(trained), cfg_options=options, work_dir=str(tmp_path)
    )
    saved = json.loads((tmp_path / 'predictions/instances.json').read_text())
    content = json.loads(tiny_instance.with_name('val.json').read_text())
    (image_id,) = {entry['image_id'] for entry in saved}
    name = next(i['file_name'] for i in content['images'] if i['id'] == image_id)
    dataset = detector.cfg.test_dataloader.dataset
    result = detector(f'{dataset.data_root}{dataset.data_prefix.img}{name}')
    assert len(saved) == len(result.boxes)
    saved.sort(key=lambda entry: -entry['score'])
    for entry, item in zip(saved, result.to_dict()['instances'], strict=True):
        assert entry['score'] == pytest.approx(item['score'], abs=1e-7)
    boxes = {tuple(np.round(entry['bbox'], 2)) for entry in saved}
    assert boxes == {tuple(np.round(i['bbox'], 2)) for i in result.to_dict()['instances']}
    masks = {entry['segmentation']['counts'] for entry in saved}
    assert masks == {i['segmentation']['counts'] for i in result.to_dict()['instances']}


def test_labels(segmentor, photo, tmp_path):
    result = segmentor(photo)
    assert result.labels.shape == photo.shape[:2]
    assert result.labels.dtype == np.int64
    assert 0 <= result.labels.min() <= result.labels.max() < len(segmentor.classes)
    data = json.loads(result.save(tmp_path / 'result.json').read_text())
    assert data['size'] == [*photo.shape[:2]]
    assert sum(item['share'] for item in data['classes']) == pytest.approx(1)
    path = result.save_labels(tmp_path / 'labels.png')
    np.testing.assert_array_equal(np.asarray(Image.open(path)), result.labels)


@pytest.mark.parametrize('task', ['detector', 'segmentor'])
def test_one_pixel_and_folded(request, task):
    model = request.getfixturevalue(task)
    result = model(np.full((1, 1, 3), 128, np.uint8))
    assert result.image.shape == (1, 1, 3)
    assert result.draw().size == (1, 1)


def test_folded_model_predicts_the_same(tiny_instance, trained, detector, photo):
    folded = load_model(tiny_instance, trained)
    reparameterize(folded.model)
    one, other = detector(photo), folded(photo)
    np.testing.assert_allclose(other.scores, one.scores, atol=1e-4)


def test_picture_of_no_instance(detector, photo, tmp_path):
    result = detector(photo)
    for name in ('boxes', 'scores', 'labels', 'rles'):
        setattr(result, name, getattr(result, name)[:0])
    assert result.masks.shape == (0, *photo.shape[:2])
    assert result.to_dict()['instances'] == []
    np.testing.assert_array_equal(np.asarray(result.draw()), photo)
    with raises_naming(PredictionError, tmp_path / 'result.gif', '.json', '.png', '.jpg'):
        result.save(tmp_path / 'result.gif')


@pytest.mark.parametrize(
    'bad',
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
    ids=['grey', 'rgba', 'float', 'empty'],
)
def test_arrays_that_are_no_pictures(detector, bad):
    facts = ('(H, W, 3)', 'uint8', np.shape(bad), np.asarray(bad).dtype)
    with raises_naming(ImageError, *facts):
        detector(bad)


@pytest.mark.parametrize(
    'bad', [7, None, iter([]), {'a.jpg'}, io.BytesIO()], ids=lambda bad: type(bad).__name__
)
def test_what_is_no_picture_is_named_by_its_kind(detector, bad):
    with raises_naming(ImageError, 'a path', f'found {type(bad).__name__};', '`stream`'):
        detector(bad)


def test_what_does_not_become_an_array(detector):
    with raises_naming(ImageError, '(H, W, 3)', 'found Tensor', 'detach'):
        detector(torch.ones(8, 8, 3, requires_grad=True))


@pytest.mark.parametrize('device', ['gpu', 'xpu:0'])
def test_a_device_that_is_not_there(tiny_semantic, device):
    with raises_naming(ConfigError, f"device '{device}'"):
        load_model(tiny_semantic, device=device)


@pytest.mark.parametrize('content', [b'', b'GIF89a nonsense', 'half'], ids=str)
def test_files_that_are_no_pictures(detector, photo, tmp_path, content):
    path = tmp_path / 'broken.jpg'
    if content == 'half':
        Image.fromarray(photo).save(path)
        content = path.read_bytes()
        content = content[: len(content) // 2]
    path.write_bytes(content)
    with raises_naming(ImageError, path):
        detector(path)
    with raises_naming(ImageError, tmp_path / 'none.jpg', 'no such file'):
        detector(tmp_path / 'none.jpg')
    with raises_naming(ImageError, tmp_path, 'a folder', '`stream`'):
        detector(tmp_path)


def test_random_weights_without_a_checkpoint(root_dir, monkeypatch):
    """Nothing is looked for: not even when the config names a pretrained file."""

    def refuse(*_, **__):
        raise AssertionError('the pretrained file was looked for')

    monkeypatch.setattr('fastvit_dense.checkpoints.pretrained.load_pretrained', refuse)
    monkeypatch.setattr('fastvit_dense.checkpoints.download.fetch', refuse)
    model = load_model(root_dir / 'configs/maskrcnn_fastvit_t8.py', device='cpu')
    assert len(model.classes) == 80


def test_weights_that_do_not_fit(root_dir, tiny_instance, trained, tmp_path):
    with raises_naming(CheckpointMismatch, trained, 'backbone.'):
        load_model(root_dir / 'configs/maskrcnn_fastvit_t12.py', trained)
    with raises_naming(CheckpointError, tmp_path / 'none.pth'):
        load_model(tiny_instance, tmp_path / 'none.pth')


@pytest.fixture
def server(tmp_path):
    """The address of a server of a folder on this machine."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()
        thread.join()


def test_addresses(segmentor, photo, tmp_path, server):
    Image.fromarray(photo).save(tmp_path / 'photo.png')
    (tmp_path / 'bad.png').write_bytes(b'nothing')
    assert_same_result(segmentor(f'{server}/photo.png'), segmentor(photo))
    for name in ('none.png', 'bad.png'):
        with raises_naming(ImageError, f'{server}/{name}'):
            segmentor(f'{server}/{name}')
    with raises_naming(ImageError, 'http://127.0.0.1:1/x.png', 'cannot be had'):
        segmentor('http://127.0.0.1:1/x.png')
