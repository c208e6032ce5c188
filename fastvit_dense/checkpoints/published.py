"""Published weights as one table: name, addresses, licence, what each file holds.

What is not known here is None, or no address; nothing is guessed. Sources: Apple's addresses are
those of its repository's README; timm's names, addresses and licences are those of its
`default_cfgs` (models fastvit, mobilevit), whose hub serves `model.safetensors`. Of MobileViTv2 on
Hugging Face those four are here whose pages are known. Where the name of a hub's file is not
known, the two that its own libraries try are tried, in that order.
"""

import difflib
import re
from dataclasses import dataclass

HUB = 'https://huggingface.co'
_APPLE = 'https://docs-assets.developer.apple.com/ml-research/models/fastvit'
_MOBILECLIP = 'https://docs-assets.developer.apple.com/ml-research/datasets/mobileclip'
_CVNETS = 'https://docs-assets.developer.apple.com/ml-research/models'

# licence -> what it allows, in a few words; the licence itself decides
LICENCES = {
    'apple-sample-code': "Apple's sample-code licence: copyright grant, no patent licence",
    'fastvit-license': "Apple's sample-code licence of FastViT: copyright grant, no patent licence",
    'cvnets-license': "Apple's sample-code licence of CVNets: copyright grant, no patent licence",
    'apple-amlr': 'Apple ML research model licence: scientific research only',
}
CLASSES = 'features, ImageNet-1k classes'
CLIP = 'features, trained on image-text pairs'


@dataclass(frozen=True)
class PublishedFile:
    """One file that others have published.

    Attributes:
        name: What a user types where a checkpoint is given.
        backbone: 'FastViT' or 'MobileViT'.
        arch: Its variant.
        use: What it can do, in words.
        licence: Its tag, a key of `LICENCES`; None: not known.
        addresses: Where it is, the first that exists counts; none: not known.
        folded: Whether its branches are folded: to predict with, not to train from.
        size: Bytes, or None.
        sha256: 64 hexadecimal digits, or None.
        other_names: Names that other tools have for it.
    """

    name: str
    backbone: str
    arch: str
    use: str
    licence: str | None
    addresses: tuple[str, ...]
    folded: bool = False
    size: int | None = None
    sha256: str | None = None
    other_names: tuple[str, ...] = ()


VARIANTS = ('t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36')
# of MobileCLIP (1 and 2): name of the model -> the backbone that is its image tower
MOBILECLIP = {'s0': 'mci0', 's1': 'mci1', 's2': 'mci2'}
MOBILECLIP2 = {'s0': 'mci0', 's2': 'mci2', 's3': 'mci3', 's4': 'mci4'}
MOBILEVIT = {'xx-small': 'xxs', 'x-small': 'xs', 'small': 's'}
WIDTHS = ('0.5', '0.75', '1.0', '1.25', '1.5', '1.75', '2.0')  # of MobileViTv2


def hub_addresses(repository: str, files: tuple[str, ...] = ('model.safetensors',)) -> tuple:
    """Addresses of files of a repository of Hugging Face."""
    return tuple(f'{HUB}/{repository}/resolve/main/{file}' for file in files)


EITHER = ('model.safetensors', 'pytorch_model.bin')


def _apple_fastvit() -> list[PublishedFile]:
    """Apple's 28: seven variants, plain and distilled, unfolded and folded."""
    folders = {
        'apple': 'image_classification_models',
        'apple_dist': 'image_classification_distilled_models',
    }
    return [
        PublishedFile(
            f'{group}/fastvit_{variant}{form}',
            'FastViT',
            variant,
            CLASSES if group == 'apple' else f'{CLASSES} (distilled)',
            'apple-sample-code',
            (f'{_APPLE}/{folder}/fastvit_{variant}{form}.pth.tar',),
            folded=bool(form),
        )
        for group, folder in folders.items()
        for variant in VARIANTS
        for form in ('', '_reparam')
    ]


def _timm(model: str, backbone: str, arch: str, use: str, licence: str) -> PublishedFile:
    """A file of timm's own hub."""
    name = f'timm/{model}'
    return PublishedFile(name, backbone, arch, use, licence, hub_addresses(name))


def _timm_fastvit() -> list[PublishedFile]:
    tags = {'apple_in1k': CLASSES, 'apple_dist_in1k': f'{CLASSES} (distilled)'}
    return [
        _timm(f'fastvit_{variant}.{tag}', 'FastViT', variant, use, 'fastvit-license')
        for variant in VARIANTS
        for tag, use in tags.items()
    ]


def _mobileclip() -> list[PublishedFile]:
    """MobileCLIP: Apple's files with both towers, and the image towers by timm's names."""
    whole = [
        PublishedFile(
            f'mobileclip/mobileclip_{model}',
            'FastViT',
            arch,
            f'{CLIP} (MobileCLIP-{model.upper()})',
            'apple-amlr',
            (f'{_MOBILECLIP}/mobileclip_{model}.pt',),
        )
        for model, arch in MOBILECLIP.items()
    ]
    towers = [
        PublishedFile(
            f'timm/fastvit_{arch}.apple_mclip',
            'FastViT',
            arch,
            f'{CLIP} (MobileCLIP-{model.upper()})',
            'apple-amlr',
            hub_addresses(f'apple/mobileclip_{model}_timm', EITHER),
            other_names=(f'apple/mobileclip_{model}_timm',),
        )
        for model, arch in MOBILECLIP.items()
    ]
    return whole + towers


def _mobileclip2() -> list[PublishedFile]:
    """MobileCLIP2: the image towers by timm's names; Apple's own files, addresses not known."""
    uses = {model: f'{CLIP} (MobileCLIP2-{model.upper()})' for model in MOBILECLIP2}
    towers = [
        _timm(f'fastvit_{arch}.apple_mclip2_dfndr2b', 'FastViT', arch, uses[model], 'apple-amlr')
        for model, arch in MOBILECLIP2.items()
    ]
    whole = [
        PublishedFile(
            f'mobileclip2/mobileclip2_{model}', 'FastViT', arch, uses[model], 'apple-amlr', ()
        )
        for model, arch in MOBILECLIP2.items()
    ]
    return towers + whole


def _fastvlm() -> list[PublishedFile]:
    use = 'features, trained in a vision language model'
    return [
        PublishedFile('fastvlm/fastvithd', 'FastViT', 'mci3', use, 'apple-amlr', (), folded=True)
    ]


def _mobilevit() -> list[PublishedFile]:
    """MobileViT and MobileViTv2 of timm and of Hugging Face; CVNets' own, no address."""
    licence = 'cvnets-license'
    files = [
        _timm(f'mobilevit_{arch}.cvnets_in1k', 'MobileViT', arch, CLASSES, licence)
        for arch in MOBILEVIT.values()
    ]
    larger = {
        'cvnets_in22k_ft_in1k': 'features, ImageNet-1k classes (ImageNet-22k first)',
        'cvnets_in22k_ft_in1k_384': 'features, ImageNet-1k classes (ImageNet-22k first, 384 px)',
    }
    for width in WIDTHS:
        tags = {'cvnets_in1k': CLASSES} | (larger if float(width) >= 1.5 else {})
        model = f'mobilevitv2_{round(100 * float(width)):03}'
        files += [_timm(f'{model}.{t}', 'MobileViT', width, u, licence) for t, u in tags.items()]
    files += [
        PublishedFile(
            f'apple/mobilevit-{size}',
            'MobileViT',
            arch,
            CLASSES,
            None,
            hub_addresses(f'apple/mobilevit-{size}', EITHER),
        )
        for size, arch in MOBILEVIT.items()
    ]
    pixels = 'features, trained on pixels of VOC 2012 (no config for its head)'
    files += [
        PublishedFile(name, 'MobileViT', width, use, None, hub_addresses(name, EITHER))
        for width, trained, use in (
            ('1.0', 'imagenet1k-256', CLASSES),
            ('2.0', 'imagenet1k-256', CLASSES),
            ('1.0', 'voc-deeplabv3', pixels),
            ('1.5', 'voc-deeplabv3', pixels),
        )
        for name in (f'apple/mobilevitv2-{width}-{trained}',)
    ]
    archs = [f'mobilevit_{arch}' for arch in MOBILEVIT.values()]
    archs += [f'mobilevitv2_{width}' for width in WIDTHS]
    files += [
        PublishedFile(f'cvnets/{m}', 'MobileViT', m.partition('_')[2], CLASSES, licence, ())
        for m in archs
    ]
    return files


def _dense(name: str, arch: str, use: str, *addresses: str) -> PublishedFile:
    return PublishedFile(name, 'MobileViT', arch, use, 'cvnets-license', addresses)


def _dense_mobilevit() -> list[PublishedFile]:
    """Whole models on MobileViT: DeepLabv3 of Hugging Face and CVNets, SSDLite of CVNets."""
    pixels, boxes = 'pixels of 21 classes (VOC 2012)', 'boxes of 80 classes (COCO)'
    address = f'{_CVNETS}/cvnets-v2/segmentation/pascalvoc/deeplabv3-mobilevitv1.pt'
    files = [_dense('cvnets/deeplabv3_mobilevit_s_os8', 's', pixels, address)]
    for size, arch in MOBILEVIT.items():
        hub, deeplab = f'apple/deeplabv3-mobilevit-{size}', f'deeplabv3_mobilevit_{arch}'
        whole = f'{_CVNETS}/cvnets/segmentation/{deeplab}.pt'
        ssd = f'{_CVNETS}/cvnets/detection/ssd_mobilevit_{arch}_320.pt'
        files += [
            _dense(hub, arch, pixels, *hub_addresses(hub, ('pytorch_model.bin',))),
            _dense(f'cvnets/{deeplab}', arch, pixels, whole),
            _dense(f'cvnets/ssdlite_mobilevit_{arch}', arch, boxes, ssd),
        ]
    return files


PUBLISHED = {
    file.name: file
    for files in (
        _apple_fastvit(),
        _timm_fastvit(),
        _mobileclip(),
        _mobileclip2(),
        _fastvlm(),
        _mobilevit(),
        _dense_mobilevit(),
    )
    for file in files
}
# name of a shipped config -> its published weights
OF_CONFIG = {'deeplabv3_mobilevit_s_os8': 'cvnets/deeplabv3_mobilevit_s_os8'}
for _size, _arch in MOBILEVIT.items():
    OF_CONFIG[f'deeplabv3_mobilevit_{_arch}'] = f'apple/deeplabv3-mobilevit-{_size}'
    OF_CONFIG[f'ssdlite_mobilevit_{_arch}'] = f'cvnets/ssdlite_mobilevit_{_arch}'
_NAMES = {other: file.name for file in PUBLISHED.values() for other in file.other_names}


def published_name(text: str) -> str:
    """Return the name in `PUBLISHED` of what other tools and their users write.

    Of a name that is not there, what a hub's address or prefix names is returned.
    """
    name = re.sub(r'^(hf[-_]hub:|https?://(www\.)?huggingface\.co/)', '', text)
    name = re.sub(r'(/tree/main)?/*$', '', name)
    for known in (name, _NAMES.get(name, ''), f'timm/{name}'):
        if known in PUBLISHED:
            return known
    return name


def nearest_names(name: str) -> list[str]:
    """Return up to three published names that one, of the same owner, may be meant for."""
    owner = name.partition('/')[0]
    of_owner = [known for known in (*PUBLISHED, *_NAMES) if known.startswith(f'{owner}/')]
    return difflib.get_close_matches(name, of_owner, 3, 0.7)


def known_archs(name: str) -> list[str]:
    """Return the variants of which the owner of a published name has files, in their order."""
    file, owner = PUBLISHED[published_name(name)], name.partition('/')[0]
    files = (f for n, f in PUBLISHED.items() if n.startswith(f'{owner}/'))
    return list(dict.fromkeys(f.arch for f in files if f.backbone == file.backbone))
