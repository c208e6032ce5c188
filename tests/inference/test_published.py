"""Published weights by a config's name: from a server to labels, with the licence said first."""

import hashlib
import io
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from fastvit_dense import load_model
from fastvit_dense.checkpoints import download
from fastvit_dense.checkpoints.published import LICENCES, OF_CONFIG, PUBLISHED
from fastvit_dense.config.reading import CONFIGS
from fastvit_dense.engine.prediction import predict
from fastvit_dense.errors import CheckpointError, ConfigError
from fastvit_dense.evaluation.report.model import model_info
from fastvit_dense.inference.sources import split_words
from fastvit_dense.tasks.config import own_weights
from tests.checkpoints import transformers_golden as golden
from tests.checkpoints.test_download import server  # noqa: F401
from tests.facts import raises_naming

pytestmark = pytest.mark.integration
NAME = 'apple/deeplabv3-mobilevit-xx-small'


@pytest.fixture
def published(server, monkeypatch):  # noqa: F811
    """A server that has the file of XXS, with seeded weights."""
    shapes = json.loads(golden.PATH.read_text())['shapes']
    content = io.BytesIO()
    torch.save(golden.seeded(shapes), content)
    server.files['/xxs/pytorch_model.bin'] = content.getvalue()
    address = f'{server.url}/xxs/pytorch_model.bin'
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], addresses=(address,)))
    return server


def test_a_name_is_enough(published, photo, capfd, tmp_path):
    predictor = load_model('deeplabv3_mobilevit_xxs', device='cpu')
    told = capfd.readouterr().err
    assert told.index(LICENCES[PUBLISHED[NAME].licence]) < told.index('pytorch_model.bin: 100%')
    result = predictor(photo)
    assert result.labels.shape == photo.shape[:2]
    assert result.weights == {'file': NAME, 'licence': LICENCES[PUBLISHED[NAME].licence]}
    assert 'background' in result.classes
    saved = json.loads(result.save(tmp_path / 'photo.json').read_text())
    assert saved['weights']['licence'] == LICENCES[PUBLISHED[NAME].licence]

    by_name = load_model(CONFIGS / 'deeplabv3_mobilevit_xxs.py', NAME, device='cpu')(photo)
    assert (by_name.labels == result.labels).all()
    assert by_name.weights == result.weights
    assert len(published.requests) == 1  # it is kept
    assert 'licence' not in capfd.readouterr().err


def test_other_ways_to_name_it(published, photo, tmp_path):
    """By the weights' name alone, and on the command line without a checkpoint."""
    expected = load_model('deeplabv3_mobilevit_xxs', device='cpu')
    found = load_model(f'hf-hub:{NAME}', device='cpu')
    assert found.weights == expected.weights
    assert found.classes == expected.classes
    state = expected.model.state_dict()
    assert all(torch.equal(t, state[n]) for n, t in found.model.state_dict().items())
    assert own_weights('deeplabv3_mobilevit_xxs') == own_weights(NAME) == NAME
    with raises_naming(ConfigError, 'semfpn_fastvit_t8', 'checkpoint'):
        own_weights('semfpn_fastvit_t8')
    assert split_words('deeplabv3_mobilevit_xxs', ['a', 'b']) == (None, ['a', 'b'])
    assert split_words('deeplabv3_mobilevit_xxs', [NAME, 'b']) == (NAME, ['b'])
    assert split_words('semfpn_fastvit_t8', ['a', 'b']) == ('a', ['b'])
    Image.fromarray(photo).save(tmp_path / 'photo.png')
    predict(NAME, None, str(tmp_path / 'photo.png'), str(tmp_path / 'out'))
    assert (tmp_path / 'out/photo.png').is_file()
    content = published.files['/xxs/pytorch_model.bin']
    info = model_info(found.model, found.cfg, NAME, (64, 64))
    assert info['checkpoint_sha256'] == hashlib.sha256(content).hexdigest()


def test_the_hash_is_checked_where_it_is_known(published, monkeypatch):
    content = published.files['/xxs/pytorch_model.bin']
    digest = hashlib.sha256(content).hexdigest()
    (address,) = PUBLISHED[NAME].addresses
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], sha256='0' * 64))
    with raises_naming(CheckpointError, address, digest[:8]):
        load_model('deeplabv3_mobilevit_xxs', device='cpu')
    assert not download.cache_path(address).exists()
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], sha256=digest))
    assert download.resolve(NAME).read_bytes() == content


def test_own_weights_carry_no_licence(tiny_semantic, random_semantic, photo):
    result = load_model(tiny_semantic, random_semantic, device='cpu')(photo)
    assert result.weights is None
    assert 'weights' not in result.to_dict()


def test_every_published_model_has_a_config_and_a_licence():
    for config, name in OF_CONFIG.items():
        assert (CONFIGS / f'{config}.py').is_file()
        assert name in PUBLISHED
        assert 'licence' in LICENCES[PUBLISHED[name].licence]
