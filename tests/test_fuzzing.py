"""Damaged files through every reader: an error of ours or values, never anything else."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from torch import nn

from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.model import load_model_state
from fastvit_dense.datasets.freihand_files import read_annotations, read_predictions
from fastvit_dense.datasets.loading import read_image
from fastvit_dense.datasets.mask_reading import read_mask
from fastvit_dense.errors import FastViTDenseError
from fastvit_dense.evaluation.label_maps import read_label_map
from fastvit_dense.evaluation.masks import check_codes, code_bytes
from fastvit_dense.evaluation.report.compare import compare_reports
from fastvit_dense.hand import read_mano, standin_mano
from tests.checkpoints.saving import write
from tests.fuzzing import CASES, CHANGES, damage, damaged, edited_or_damaged, fuzz
from tests.hand.saving import write_mano


@pytest.fixture
def model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def training_state(model):
    return {
        'meta': {'epoch': 1, 'iter': 3, 'seed': np.int64(5), 'cfg': 'a = 1'},
        'state_dict': model.state_dict(),
        'optimizer': {'state': {0: {'exp_avg': torch.ones(3, dtype=torch.float64)}}},
    }


@CASES
@pytest.mark.parametrize('form', ['zip', 'legacy', 'pickle of a zip', 'safetensors'])
def test_checkpoints(tmp_path, model, form, cases):
    path = tmp_path / 'x.pth'
    if form == 'safetensors':
        from safetensors.torch import save_file

        save_file(model.state_dict(), path)
    else:
        write(path, training_state(model), 'legacy' if form == 'legacy' else 'zip')
    content = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        load_model_state(model, path)

    def read_program(data):
        repack(content, path, data)
        load_model_state(model, path)

    if form == 'pickle of a zip':
        with zipfile.ZipFile(path) as archive:
            program = next(archive.read(n) for n in archive.namelist() if n.endswith('data.pkl'))
        fuzz(cases, damaged(program), read_program)
        repack(content, path, program)
        load_model_state(model, path)
    else:
        fuzz(cases, damaged(content), read)
        read(content)


def repack(content, path, program):
    """Write an archive of torch with another program in it."""
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, 'w') as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith('data.pkl') else old.read(name))


def odd_tensors():
    """Strategy: tensors that are no weights, of any kind, layout and size."""
    dtypes = [torch.int8, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.uint16]
    dtypes += [torch.float16, torch.float32, torch.float64, torch.int64]
    shapes = st.lists(st.sampled_from([0, 1, 3, 4]), max_size=4)
    plain = st.builds(lambda d, s: torch.zeros(s).to(d), st.sampled_from(dtypes), shapes)
    return st.one_of(
        plain,
        plain.map(lambda t: t.to('meta')),
        shapes.map(lambda s: torch.zeros(s).to_sparse() if s else torch.zeros(())),
        st.sampled_from([10**6, 10**12]).map(lambda n: torch.zeros(1).expand(n)),
        st.sampled_from([10**6, 10**15]).map(lambda n: torch.empty(n, device='meta')),
        st.sampled_from([None, 5, 'x', [], {}]),
    )


@CASES
def test_weights_of_any_kind(tmp_path, model, cases):
    names = list(model.state_dict())

    def read(change):
        state = dict(model.state_dict())
        state.update(change)
        torch.save({'state_dict': state}, tmp_path / 'x.pth')
        for use in (
            lambda: load_model_state(model, tmp_path / 'x.pth'),
            lambda: convert_file(tmp_path / 'x.pth', tmp_path / 'y.safetensors', 'apple'),
        ):
            try:
                use()
            except FastViTDenseError:
                continue

    fuzz(cases, st.dictionaries(st.sampled_from([*names, 'x']), odd_tensors(), min_size=1), read)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@CASES
def test_index_of_shards(tmp_path, model, cases):
    torch.save(model.state_dict(), tmp_path / 'one.bin')
    index = tmp_path / 'pytorch_model.bin.index.json'
    document = {'metadata': {}, 'weight_map': dict.fromkeys(model.state_dict(), 'one.bin')}

    def read(data):
        index.write_bytes(data)
        load_model_state(model, tmp_path)

    fuzz(cases, edited_or_damaged(document), read)
    read(json.dumps(document).encode())


@CASES
@pytest.mark.parametrize('form', ['pickle', 'npz'])
@pytest.mark.filterwarnings('ignore')
def test_mano(tmp_path, form, cases):
    path = tmp_path / f'hand.{"npz" if form == "npz" else "pkl"}'
    write_mano(tmp_path / 'hand.npz', standin_mano())
    if form == 'pickle':
        with np.load(tmp_path / 'hand.npz') as arrays:
            fields = {name: arrays[name] for name in arrays.files if name[:3] != 'bs_'}
        path.write_bytes(pickle.dumps(fields, 2))
    content = path.read_bytes()
    # arrays are most of a file: damage to their beginnings is worth more
    parts = st.sampled_from([slice(600), slice(-4000, None), slice(None)])

    def read(drawn):
        part, changes = drawn
        start, stop, _ = part.indices(len(content))
        data = content[:start] + damage(content[part], changes) + content[stop:]
        path.write_bytes(data)
        read_mano(path)

    fuzz(cases, st.tuples(parts, CHANGES), read)
    path.write_bytes(content)
    read_mano(path)


@pytest.fixture(scope='session')
def hands(hand_tree):
    """Two entries of each of FreiHAND's files, the mesh cut to a few vertices."""
    names = ('K', 'scale', 'xyz', 'mano')
    return {n: json.loads((hand_tree / f'training_{n}.json').read_text())[:2] for n in names}


@CASES
@pytest.mark.parametrize('field', ['K', 'scale', 'xyz', 'mano'])
@pytest.mark.filterwarnings('error:overflow')
def test_annotations_of_hands(tmp_path, hands, field, cases):
    for name, entries in hands.items():
        (tmp_path / f'training_{name}.json').write_text(json.dumps(entries))

    def read(data):
        (tmp_path / f'training_{field}.json').write_bytes(data)
        arrays = read_annotations(tmp_path / 'training', cache_dir=tmp_path / 'arrays')
        for array in arrays.values():
            assert np.isfinite(array).all()

    fuzz(cases, edited_or_damaged(hands[field]), read)
    read(json.dumps(hands[field]).encode())


@CASES
def test_predictions_of_hands(tmp_path, hands, cases):
    document = [hands['xyz'], [xyz[:3] for xyz in hands['xyz']]]

    def read(data):
        (tmp_path / 'pred.json').write_bytes(data)
        read_predictions(tmp_path / 'pred.json', 2)

    fuzz(cases, edited_or_damaged(document), read)
    read(json.dumps(document).encode())


@CASES
def test_archives_of_predictions(tmp_path, hands, cases):
    path = tmp_path / 'pred.zip'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('pred.json', json.dumps([hands['xyz'], hands['xyz']]))
    content = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        read_predictions(path, 2)

    fuzz(cases, damaged(content), read)
    read(content)


TRUTH = {
    'images': [{'id': 1, 'height': 20, 'width': 30}, {'id': 2, 'height': 9, 'width': 9}],
    'categories': [{'id': 3, 'name': 'cat'}, {'id': 5, 'name': 'dog'}],
    'annotations': [
        {
            **dict(id=k, image_id=1, category_id=3, bbox=[2, 2, 8, 8], area=64, iscrowd=0),
            'segmentation': [[2, 2, 10, 2, 10, 10, 2, 10]],
        }
        for k in (1, 2)
    ],
}


@CASES
def test_results_of_detectors(tmp_path, cases):
    """COCO result files, read and scored."""
    from fastvit_dense.evaluation import InstanceMetric, evaluate_predictions

    (tmp_path / 'truth.json').write_text(json.dumps(TRUTH))
    mask = np.zeros((20, 30), np.uint8, order='F')
    mask[2:9, 3:12] = 1
    code = coco_mask.encode(mask)
    segmentation = {'size': code['size'], 'counts': code['counts'].decode()}
    entry = dict(image_id=1, category_id=3, score=0.5, bbox=[2, 2, 8, 8], segmentation=segmentation)
    document = [entry, {**entry, 'category_id': 5}]

    def read(data):
        (tmp_path / 'found.json').write_bytes(data)
        metric = InstanceMetric(ann_file=str(tmp_path / 'truth.json'), metric=['bbox', 'segm'])
        evaluate_predictions(metric, tmp_path / 'found.json')

    fuzz(cases, edited_or_damaged(document), read)
    read(json.dumps(document).encode())


@CASES
def test_run_length_codes(cases):
    """A code that passes the check decodes to a mask of the image."""
    size = [7, 11]
    sizes = st.sampled_from([size, tuple(size), [11, 7], 5, None, 'ab', [7], [7, 11, 1], [7.0, 11]])
    mask = np.zeros(size, np.uint8, order='F')
    mask[2:5, 3:9] = 1
    good = coco_mask.encode(mask)['counts']
    counts = st.one_of(damaged(good), st.binary(max_size=12), st.text(max_size=12), st.integers())
    codes = st.fixed_dictionaries({}, optional={'size': sizes, 'counts': counts})

    def read(code):
        check_codes([code], size, lambda _: 'x')
        whole = coco_mask.decode({'size': size, 'counts': code_bytes(code)})
        assert whole.shape == tuple(size)

    fuzz(cases, st.one_of(codes, st.sampled_from([None, 5, [], 'x'])), read)
    read({'size': size, 'counts': good})


@CASES
@pytest.mark.parametrize('suffix', ['png', 'jpg', 'bmp', 'tif'])
def test_pictures_masks_and_label_maps(tmp_path, suffix, cases):
    path = tmp_path / f'x.{suffix}'
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30) % 7).save(path)
    content = path.read_bytes()

    def read(data):
        path.write_bytes(data)
        for function in (read_image, read_mask, read_label_map):
            try:
                function(path if function is read_label_map else str(path))
            except FastViTDenseError:
                continue

    fuzz(cases, damaged(content), read)
    read(content)


@CASES
def test_reports(tmp_path, cases):
    report = dict(
        **dict(task='instance', dataset='COCO', split='val2017', samples=4),
        metrics={'bbox_mAP': 0.25, 'segm_mAP': -1.0, 'x': None},
        protocol={'metrics': ['bbox'], 'fused': True},
    )
    (tmp_path / 'a.json').write_text(json.dumps(report))

    def read(data):
        (tmp_path / 'b.json').write_bytes(data)
        compare_reports([tmp_path / 'a.json', tmp_path / 'b.json'], tmp_path / 'out')
        json.loads((tmp_path / 'out/compare.json').read_text(encoding='utf-8'))

    fuzz(cases, edited_or_damaged(report), read)
    read(json.dumps(report).encode())
