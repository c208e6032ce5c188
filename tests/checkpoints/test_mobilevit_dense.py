"""Published dense models on MobileViT: values of transformers, names of CVNets, all or nothing.

The golden values were computed by transformers itself (`transformers_golden.py`). SSDLite is
compared with the few operations that its tensors stand for, written here by CVNets' names.
"""

import json
import re

import pytest
import torch
import torch.nn.functional as F

from fastvit_dense import load_model, load_pretrained
from fastvit_dense.checkpoints.convert import convert_file
from fastvit_dense.checkpoints.mobilevit_dense import dense_tensors
from fastvit_dense.checkpoints.model import fitting_weights, load_model_state
from fastvit_dense.checkpoints.reader import load_checkpoint_file
from fastvit_dense.errors import CheckpointMismatch
from fastvit_dense.tasks.config import load_config
from tests.backbones.randomise import randomise, relative_error
from tests.checkpoints import transformers_golden as golden
from tests.checkpoints.test_mobilevit import in_style
from tests.facts import raises_naming

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module', autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def save(tmp_path):
    def save(content, name='weights.bin'):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture(scope='module')
def recorded():
    return json.loads(golden.PATH.read_text())


def model_of(name):
    """The predictor of a shipped config with random weights."""
    return load_model(load_config(name, pretrained=False), device='cpu')


@pytest.fixture(scope='module')
def deeplab():
    return model_of('deeplabv3_mobilevit_xxs')


@torch.no_grad()
def logits_of(model, image):
    """Logits at the output stride for a picture (H, W, 3), RGB."""
    rgb = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return model.decode_head(model.extract_feat(rgb))


def test_transformers_values(deeplab, recorded, save):
    """A file for BGR at output stride 16, without dilation: the same logits, the same labels."""
    load_model_state(deeplab.model, save(golden.seeded(recorded['shapes'])))
    found = logits_of(deeplab.model, golden.picture(64, 96))
    expected = torch.tensor(recorded['logits']).view(1, 21, 4, 6)
    assert relative_error(found, expected) < 1e-4
    assert torch.equal(found.argmax(1), expected.argmax(1))
    turned = logits_of(deeplab.model, golden.picture(64, 96)[..., ::-1].copy())
    assert relative_error(turned, expected) > 1e-2  # the order of channels matters


@pytest.mark.slow
@pytest.mark.parametrize('arch', ['xxs', 'xs', 's'])
def test_agrees_with_transformers(arch, save):
    """From the picture's pixels to its labels, at the size that the files are made for.

    A label may differ where two classes are nearer to each other than the two programs' logits:
    one pixel of S, by 7e-7 of the rms, where the logits are 7e-6 apart.
    """
    pytest.importorskip('transformers', reason='transformers is not installed; see CONTRIBUTING.md')
    oracle = golden.build(arch)
    shapes = {name: tensor.shape for name, tensor in oracle.state_dict().items()}
    oracle.load_state_dict(golden.seeded(shapes))
    predictor = model_of(f'deeplabv3_mobilevit_{arch}')
    load_model_state(predictor.model, save(oracle.state_dict()))
    image = golden.picture(512, 512)
    with torch.no_grad():
        expected = oracle(golden.pixels(image)).logits
    logits = logits_of(predictor.model, image)
    assert relative_error(logits, expected) < 1e-4
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    whole = F.interpolate(expected, (512, 512), mode='bilinear', align_corners=False)
    first, second = whole.topk(2, 1).values[0]
    apart = (logits - expected).abs().max()
    differ = torch.from_numpy(predictor(image).labels) != whole.argmax(1)[0]
    assert not differ[first - second > 2 * apart].any()
    assert differ.sum() <= 5


# name in CVNets' file, ours
NAMES = (
    ('seg_head.aspp.aspp_layer.convs.0.block.conv.weight', 'aspp_modules.0.conv.weight'),
    ('seg_head.aspp.aspp_layer.convs.3.block.norm.running_var', 'aspp_modules.3.bn.running_var'),
    (
        'seg_head.aspp.aspp_layer.convs.4.aspp_pool.conv_1x1.block.norm.bias',
        'image_pool.1.bn.bias',
    ),
    ('seg_head.aspp.aspp_layer.project.block.norm.weight', 'bottleneck.bn.weight'),
    ('seg_head.classifier.classifier.block.conv.bias', 'conv_seg.bias'),
)


def backbone_in_cvnets(model):
    """The encoder of a CVNets file, made from our backbone."""
    state = in_style(model.backbone.state_dict(), 'cvnets', linear=False)
    return {f'encoder.{key}': tensor.clone() for key, tensor in state.items()}


def deeplab_in_cvnets(state, version=1):
    """A CVNets file with the tensors of our DeepLabv3 heads."""
    renamed = {}
    for key, tensor in state.items():
        head, _, name = key.partition('.')
        if head == 'backbone':
            continue
        if name == 'bottleneck.conv.weight':
            pooled, *rest = tensor.chunk(5, 1)
            tensor = torch.cat([*rest, pooled], 1)
        name = re.sub(r'\.bn\.', '.block.norm.', re.sub(r'\.conv\.', '.block.conv.', name))
        if head == 'auxiliary_head':
            name = name.replace('convs.0.', 'aux_head.aux_projection.')
            name = name.replace('conv_seg.', 'aux_head.aux_classifier.block.conv.')
        name = name.replace('image_pool.1.', 'aspp.aspp_layer.convs.4.aspp_pool.conv_1x1.')
        name = name.replace('aspp_modules.', 'aspp.aspp_layer.convs.')
        name = name.replace('bottleneck.', 'aspp.aspp_layer.project.')
        own = 'classifier.classifier.' if version == 1 else 'classifier.'
        renamed[f'seg_head.{re.sub("^conv_seg.", f"{own}block.conv.", name)}'] = tensor
    return renamed


def test_cvnets_deeplab(deeplab, save):
    """Names as in the published source; what is loaded computes what it did."""
    source = randomise(deeplab.model.eval())
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    image = golden.picture(48, 80)
    expected = logits_of(source, image)
    file = backbone_in_cvnets(source) | deeplab_in_cvnets(state)
    assert {name for name, _ in NAMES} <= set(file)
    renamed = dense_tensors(file)
    for theirs, ours in NAMES:
        assert f'decode_head.{ours}' in renamed, theirs
    randomise(source, seed=1)
    assert not torch.equal(logits_of(source, image), expected)
    load_model_state(source, save(file))
    assert torch.equal(logits_of(source, image), expected)


def test_second_version_of_cvnets_reads_rgb(save):
    """Output stride 8, an auxiliary head, other names of the classifier, and Pillow's channels."""
    predictor = model_of('deeplabv3_mobilevit_s_os8')
    state = {name: tensor.clone() for name, tensor in predictor.model.state_dict().items()}
    file = backbone_in_cvnets(predictor.model) | deeplab_in_cvnets(state, version=2)
    key = 'encoder.conv_1.block.conv.weight'
    file[key] = file[key].flip(1)  # in_style made it one for BGR
    assert 'seg_head.aux_head.aux_projection.block.norm.weight' in file
    assert 'seg_head.classifier.block.conv.weight' in file
    load_model_state(predictor.model, save(file))
    for name, tensor in predictor.model.state_dict().items():
        if not name.endswith('num_batches_tracked'):
            assert torch.equal(tensor, state[name]), name


# ------------------------------------------------------------------------------- SSDLite


def ssdlite_file(channels, classes=81):
    """Seeded tensors by CVNets' names: shapes from its settings for COCO at 320 pixels."""
    shapes = {}

    def norm(name, width):
        for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{name}.norm.{leaf}'] = [width]

    def separable(name, before, after):
        shapes[f'{name}.dw_conv.block.conv.weight'] = [before, 1, 3, 3]
        norm(f'{name}.dw_conv.block', before)
        shapes[f'{name}.pw_conv.block.conv.weight'] = [after, before, 1, 1]

    before = channels[1]
    for stride, after in ((64, 256), (128, 128), (256, 128)):
        separable(f'extra_layers.os_{stride}', before, after)
        norm(f'extra_layers.os_{stride}.pw_conv.block', after)
        before = after
    shapes['extra_layers.os_-1.1.block.conv.weight'] = [64, 128, 1, 1]
    for index, (before, after) in enumerate(zip(channels, (512, 256), strict=True)):
        shapes[f'ssd_heads.{index}.proj_layer.block.conv.weight'] = [after, before, 1, 1]
        norm(f'ssd_heads.{index}.proj_layer.block', after)
    for index, width in enumerate((512, 256, 256, 128, 128)):
        separable(f'ssd_heads.{index}.loc_cls_layer', width, 6 * (4 + classes))
        shapes[f'ssd_heads.{index}.loc_cls_layer.pw_conv.block.conv.bias'] = [6 * (4 + classes)]
    shapes['ssd_heads.5.loc_cls_layer.block.conv.weight'] = [4 * (4 + classes), 64, 1, 1]
    shapes['ssd_heads.5.loc_cls_layer.block.conv.bias'] = [4 * (4 + classes)]
    return golden.seeded(shapes)


def ssdlite_by_hand(state, maps):
    """Box deltas (N, 4), class probabilities (N, 81) and anchors (N, 4), centre and size in 0-1."""

    def conv_norm(x, name, **options):
        x = F.conv2d(x, state[f'{name}.block.conv.weight'], **options)
        leaves = (
            state[f'{name}.block.norm.{leaf}']
            for leaf in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return F.batch_norm(x, *leaves)

    def depthwise(x, name, stride=1):
        return conv_norm(x, f'{name}.dw_conv', stride=stride, padding=1, groups=x.shape[1])

    features = [F.relu(conv_norm(x, f'ssd_heads.{i}.proj_layer')) for i, x in enumerate(maps)]
    x = maps[-1]
    for stride in (64, 128, 256):
        name = f'extra_layers.os_{stride}'
        x = F.relu(conv_norm(depthwise(x, name, stride=2), f'{name}.pw_conv'))
        features.append(x)
    x = x.mean((2, 3), keepdim=True)
    features.append(F.relu(F.conv2d(x, state['extra_layers.os_-1.1.block.conv.weight'])))
    scales = torch.linspace(0.1, 1.05, 7).tolist()
    deltas, scores, anchors = [], [], []
    for index, x in enumerate(features):
        name = f'ssd_heads.{index}.loc_cls_layer'
        last = index == 5
        predictor = f'{name}.block.conv' if last else f'{name}.pw_conv.block.conv'
        x = x if last else depthwise(x, name)
        x = F.conv2d(x, state[f'{predictor}.weight'], state[f'{predictor}.bias'])
        height, width = x.shape[2:]
        found = x[0].permute(1, 2, 0).reshape(-1, 85)
        deltas.append(found[:, :4])
        scores.append(found[:, 4:].softmax(1))
        small, large = scales[index], (scales[index] * scales[index + 1]) ** 0.5
        shapes = [(small, small), (large, large)]
        for ratio in (2,) if last else (2, 3):
            root = ratio**0.5
            shapes += [(small * root, small / root), (small / root, small * root)]
        anchors += [
            ((column + 0.5) / width, (row + 0.5) / height, min(w, 1.0), min(h, 1.0))
            for row in range(height)
            for column in range(width)
            for w, h in shapes
        ]
    return torch.cat(deltas), torch.cat(scores), torch.tensor(anchors)


@torch.no_grad()
def test_cvnets_ssdlite(save):
    """The whole way of CVNets, from maps to boxes in pixels, against mmdet's with our modules."""
    model = model_of('ssdlite_mobilevit_xxs').model
    randomise(model.backbone.eval())
    heads = ssdlite_file(channels=(64, 80))
    load_model_state(model, save(backbone_in_cvnets(model) | heads))
    maps = model.backbone(torch.rand(1, 3, 320, 320, generator=torch.Generator().manual_seed(0)))
    deltas, probabilities, anchors = ssdlite_by_hand(heads, maps)
    assert len(anchors) == 6 * (400 + 100 + 25 + 9 + 4) + 4

    head = model.bbox_head
    scores, boxes = head(model.neck(maps))
    scores = torch.cat([s[0].permute(1, 2, 0).reshape(-1, 81) for s in scores]).softmax(1)
    assert relative_error(scores[:, -1], probabilities[:, 0]) < 1e-4  # background
    assert relative_error(scores[:, :-1], probabilities[:, 1:]) < 1e-4
    boxes = torch.cat([b[0].permute(1, 2, 0).reshape(-1, 4) for b in boxes])
    assert relative_error(boxes, deltas) < 1e-4

    priors = torch.cat(
        head.prior_generator.grid_priors([(n, n) for n in (20, 10, 5, 3, 2, 1)], device='cpu')
    )
    found = head.bbox_coder.decode(priors, boxes, max_shape=(320, 320))
    centre = anchors[:, :2] + deltas[:, :2] * 0.1 * anchors[:, 2:]
    half = anchors[:, 2:] * (deltas[:, 2:] * 0.2).exp() / 2
    expected = (torch.cat([centre - half, centre + half], 1) * 320).clamp(0, 320)
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


def test_converted_files_are_ours(deeplab, recorded, save, tmp_path):
    """Decoder and head come along; the values are those of the file itself."""
    source = save(golden.seeded(recorded['shapes']))
    ours = convert_file(source, tmp_path / 'ours.pth', 'fastvit_dense')
    load_model_state(deeplab.model, ours)
    found = logits_of(deeplab.model, golden.picture(64, 96))
    assert relative_error(found, torch.tensor(recorded['logits']).view(1, 21, 4, 6)) < 1e-4
    assert load_checkpoint_file(ours)['state_dict'].keys() <= deeplab.model.state_dict().keys()
    backbone = convert_file(source, tmp_path / 'timm.pth', 'timm')
    assert not load_pretrained(deeplab.model.backbone, backbone).missing


def test_what_does_not_fit_is_refused(deeplab, recorded, save):
    state = golden.seeded(recorded['shapes'])
    before = {name: tensor.clone() for name, tensor in deeplab.model.state_dict().items()}
    first = 'segmentation_head.aspp.convs.1.convolution.weight'
    damages = (
        ({k: v for k, v in state.items() if k != first}, ['missing', 'aspp_modules.1.conv']),
        (
            {**state, 'segmentation_head.more.weight': torch.rand(1)},
            ['not in', 'segmentation_head.more'],
        ),
        ({**state, first: torch.full_like(state[first], torch.nan)}, ['NaN', 'aspp_modules.1']),
        ({**state, first: state[first][:4]}, ['another shape', 'aspp_modules.1']),
    )
    for damaged, facts in damages:
        with raises_naming(CheckpointMismatch, 'weights.bin', *facts):
            load_model_state(deeplab.model, save(damaged))
    for name, tensor in deeplab.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    facts = ('another shape', 'looks like xxs', 'the model is xs')
    with raises_naming(CheckpointMismatch, 'weights.bin', *facts):
        load_model_state(model_of('deeplabv3_mobilevit_xs').model, save(state))
    alone = {k: v for k, v in state.items() if k.startswith('mobilevit.')}
    with raises_naming(CheckpointMismatch, 'weights.bin', 'layout huggingface', 'init_cfg'):
        load_model_state(deeplab.model, save(alone))


def test_training_starts_from_them(recorded, save):
    """`load_from`: all that fits; with other classes all but the classifier."""
    path = save(golden.seeded(recorded['shapes']))
    cfg = load_config('deeplabv3_mobilevit_xxs', pretrained=False)
    cfg.model.decode_head.num_classes = 5
    model = load_model(cfg, device='cpu').model
    fitting, report = fitting_weights(model, path)
    left = {n for n in model.state_dict() if not n.endswith('num_batches_tracked')} - set(fitting)
    assert left == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    assert 'conv_seg.weight' in report


def test_other_files_are_left_alone():
    assert dense_tensors({'backbone.stem.conv.weight': torch.rand(1)}) is None
    assert dense_tensors({'seg_head.classifier.weight': torch.rand(1)}) is None
