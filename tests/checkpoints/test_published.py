"""The table of published files against timm's own list, and its completeness."""

import re

import pytest
import torch

from fastvit_dense.backbones import FastViT, MobileViT, count_macs
from fastvit_dense.backbones.mobilevit_variants import MOBILEVIT_VARIANTS
from fastvit_dense.backbones.variants import VARIANTS
from fastvit_dense.checkpoints.published import LICENCES, PUBLISHED, WIDTHS, published_name
from fastvit_dense.checkpoints.sizes import SIZES

KNOWN = {'FastViT': VARIANTS, 'MobileViT': MOBILEVIT_VARIANTS}


def timm_configs():
    from timm.models import fastvit, mobilevit

    for module in (fastvit, mobilevit):
        for arch, cfgs in module.default_cfgs.items():
            for tag, cfg in cfgs.cfgs.items():
                yield f'{arch}.{tag}', cfg


@pytest.mark.parametrize(('model', 'cfg'), [pytest.param(m, c, id=m) for m, c in timm_configs()])
def test_all_of_timm_are_there(model, cfg):
    """By timm's name, with the repository that timm reads and the licence that it states."""
    file = PUBLISHED[published_name(model)]
    repository = f'timm/{model}' if cfg.hf_hub_id == 'timm/' else cfg.hf_hub_id
    assert (
        file.addresses[0] == f'https://huggingface.co/{repository}/resolve/main/model.safetensors'
    )
    assert file.licence == cfg.license
    assert PUBLISHED[published_name(f'hf-hub:{repository}')] is file
    arch = model.partition('.')[0].removeprefix('fastvit_').removeprefix('mobilevit_')
    width = re.fullmatch(r'mobilevitv2_(\d+)', arch)
    assert file.arch == (str(int(width[1]) / 100) if width else arch)
    if cfg.url:  # the original of the image tower
        (original,) = (f for f in PUBLISHED.values() if f.addresses == (cfg.url,))
        assert original.arch == file.arch


def test_names_of_timm_without_a_tag():
    """`create_model('mobilevit_s')` takes the first; so does our name."""
    from timm.models import fastvit, mobilevit

    for arch, cfgs in (fastvit.default_cfgs | mobilevit.default_cfgs).items():
        if cfgs.is_pretrained:
            tag = next(iter(cfgs.tags))
            assert published_name(arch) == published_name(f'timm/{arch}') == f'timm/{arch}.{tag}'


def test_apples_files():
    files = [f for f in PUBLISHED.values() if f.licence == 'apple-sample-code']
    assert len(files) == 28
    assert sum(f.folded for f in files) == 14
    assert len({f.addresses for f in files}) == 28


@pytest.mark.parametrize(
    ('start', 'archs'),
    [
        ('mobileclip/', ['mci0', 'mci1', 'mci2']),
        ('mobileclip2/', ['mci0', 'mci2', 'mci3', 'mci4']),
        ('fastvlm/', ['mci3']),
        ('apple/mobilevit-', ['xxs', 'xs', 's']),
        ('apple/mobilevitv2-', ['1.0', '2.0', '1.0', '1.5']),
        ('cvnets/mobilevit_', ['xxs', 'xs', 's']),
        ('cvnets/mobilevitv2_', [*WIDTHS, *WIDTHS, *WIDTHS[4:], *WIDTHS[4:]]),
        ('cvnets/ssd_mobilevitv2_', [*WIDTHS]),
        ('cvnets/deeplabv3_ade20k_mobilevitv2_', [*WIDTHS]),
        ('cvnets/deeplabv3_voc_mobilevitv2_', [*WIDTHS[:5]]),
        ('apple/deeplabv3-mobilevit-', ['xxs', 'xs', 's']),
        ('cvnets/ssdlite', ['xxs', 'xs', 's']),
    ],
)
def test_other_publishers(start, archs):
    assert [f.arch for name, f in PUBLISHED.items() if name.startswith(start)] == archs


@pytest.mark.parametrize(
    ('name', 'address'),
    [
        (
            'cvnets/mobilevit_xs',
            'docs-assets.developer.apple.com/ml-research/models/cvnets/classification/mobilevit_xs.pt',
        ),
        (
            'cvnets/mobilevitv2_1.75_in21k_384',
            'docs-assets.developer.apple.com/ml-research/models/cvnets-v2/classification/mobilevitv2/'
            'imagenet21k_to_1k/384x384/mobilevitv2-1.75.pt',
        ),
        (
            'cvnets/ssd_mobilevitv2_0.5',
            'docs-assets.developer.apple.com/ml-research/models/cvnets-v2/detection/mobilevitv2/'
            'coco-ssd-mobilevitv2-0.5.pt',
        ),
        (
            'cvnets/deeplabv3_voc_mobilevitv2_1.0',
            'docs-assets.developer.apple.com/ml-research/models/cvnets-v2/segmentation/pascalvoc/'
            'mobilevitv2/deeplabv3-mobilevitv2-1.0.pt',
        ),
        (
            'apple/MobileCLIP2-S4',
            'huggingface.co/apple/MobileCLIP2-S4/resolve/main/mobileclip2_s4.pt',
        ),
    ],
)
def test_addresses_as_published(name, address):
    """CVNets' README files, and Apple's page on Hugging Face."""
    assert PUBLISHED[published_name(name)].addresses == (f'https://{address}',)


def test_no_address_serves_two():
    addresses = [url for file in PUBLISHED.values() for url in file.addresses]
    assert len(addresses) == len(set(addresses))


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_row_is_whole(name):
    file = PUBLISHED[name]
    assert file.arch in KNOWN[file.backbone]
    assert file.licence is None or file.licence in LICENCES
    assert all(url.startswith('https://') for url in file.addresses)
    assert file.sha256 is None or re.fullmatch('[0-9a-f]{64}', file.sha256)
    assert published_name(name) == name


@pytest.mark.parametrize(('backbone', 'arch'), SIZES)
def test_sizes_are_those_of_the_networks(backbone, arch):
    """Of all stages with output norms; multiply-accumulates of the folded form at 512x512."""
    parameters, macs = SIZES[backbone, arch]
    settings = {}
    if backbone == 'FastViT':
        settings['out_indices'] = range(len(VARIANTS[arch].layers))
    build = {'FastViT': FastViT, 'MobileViT': MobileViT}[backbone]
    with torch.device('meta'):
        model = build(arch, **settings).eval()
        assert sum(p.numel() for p in model.parameters()) == parameters
        if backbone == 'FastViT':
            model = build(arch, reparameterized=True, **settings)
        images = torch.empty(1, 3, 512, 512)
    assert count_macs(model, images) == macs


def test_every_arch_has_a_size():
    assert {(f.backbone, f.arch) for f in PUBLISHED.values()} <= SIZES.keys()
