"""Published weights as one table: name, addresses, licence, what each file holds.

What is not known here is None, or no address; nothing is guessed. Sources: Apple's addresses are
those of its repository's README; timm's names, addresses and licences are those of its
`default_cfgs` (models fastvit, mobilevit), whose hub serves `model.safetensors`; CVNets' are those
of its `examples/README-mobilevit.md` (0.1) and `docs/source/en/general/README-model-zoo.md` (0.2);
MobileCLIP2's and FastVLM's those of Apple's pages on Hugging Face. Of MobileViTv2 there those four
are here whose pages are known. Where the name of a hub's file is not known, the two that its own
libraries try are tried, in that order.
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
            other_names=(f'apple/MobileCLIP-{model.upper()}',),
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
    """MobileCLIP2: the image towers by timm's names, and Apple's files with both towers."""
    uses = {model: f'{CLIP} (MobileCLIP2-{model.upper()})' for model in MOBILECLIP2}
    towers = [
        _timm(f'fastvit_{arch}.apple_mclip2_dfndr2b', 'FastViT', arch, uses[model], 'apple-amlr')
        for model, arch in MOBILECLIP2.items()
    ]
    whole = [
        PublishedFile(
            f'mobileclip2/mobileclip2_{model}',
            'FastViT',
            arch,
            uses[model],
            'apple-amlr',
            hub_addresses(f'apple/MobileCLIP2-{model.upper()}', (f'mobileclip2_{model}.pt',)),
            other_names=(f'apple/MobileCLIP2-{model.upper()}',),
        )
        for model, arch in MOBILECLIP2.items()
    ]
    return towers + whole


def _fastvlm() -> list[PublishedFile]:
    """FastViTHD inside the smallest FastVLM; the file, 1.5 GB, holds the language model, too."""
    name = 'apple/FastVLM-0.5B'
    return [
        PublishedFile(
            'fastvlm/fastvithd',
            'FastViT',
            'mci3',
            'features, trained in a vision language model (1.5 GB with it)',
            'apple-amlr',
            hub_addresses(name),
            folded=True,
            other_names=(name,),
        )
    ]


def _mobilevit() -> list[PublishedFile]:
    """MobileViT and MobileViTv2 of timm and of Hugging Face."""
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
    return files


def _of_cvnets(name: str, arch: str, use: str, *addresses: str) -> PublishedFile:
    return PublishedFile(name, 'MobileViT', arch, use, 'cvnets-license', addresses)


def _cvnets() -> list[PublishedFile]:
    """CVNets' own files: classifiers, and dense models of the second version, as backbones."""
    files = [
        _of_cvnets(
            f'cvnets/mobilevit_{arch}',
            arch,
            CLASSES,
            f'{_CVNETS}/cvnets/classification/mobilevit_{arch}.pt',
        )
        for arch in MOBILEVIT.values()
    ]
    second = f'{_CVNETS}/cvnets-v2'
    for data, first, before in (
        ('imagenet1k', '', ''),
        ('imagenet21k_to_1k', '_in21k', 'ImageNet-21k first'),
    ):
        for pixels, end in ((256, ''), (384, '_384')):
            more = ', '.join(filter(None, (before, f'{pixels} px' if end else '')))
            use = f'{CLASSES} ({more})' if more else CLASSES
            folder = f'{second}/classification/mobilevitv2/{data}/{pixels}x{pixels}'
            files += [
                _of_cvnets(
                    f'cvnets/mobilevitv2_{width}{first}{end}',
                    width,
                    use,
                    f'{folder}/mobilevitv2-{width}.pt',
                )
                for width in WIDTHS
                if not first or float(width) >= 1.5
            ]
    for model, place, use, widths in (
        ('ssd', 'detection/mobilevitv2/coco-ssd', 'boxes of COCO', WIDTHS),
        (
            'deeplabv3_ade20k',
            'segmentation/ade20k/mobilevitv2/deeplabv3',
            'pixels of ADE20K',
            WIDTHS,
        ),
        (
            'deeplabv3_voc',
            'segmentation/pascalvoc/mobilevitv2/deeplabv3',
            'pixels of VOC',
            WIDTHS[:5],
        ),
    ):
        files += [
            _of_cvnets(
                f'cvnets/{model}_mobilevitv2_{width}',
                width,
                f'features, trained on {use} (no config for its head)',
                f'{second}/{place}-mobilevitv2-{width}.pt',
            )
            for width in widths
        ]
    return files


def _dense_mobilevit() -> list[PublishedFile]:
    """Whole models on MobileViT: DeepLabv3 of Hugging Face and CVNets, SSDLite of CVNets."""
    pixels, boxes = 'pixels of 21 classes (VOC 2012)', 'boxes of 80 classes (COCO)'
    address = f'{_CVNETS}/cvnets-v2/segmentation/pascalvoc/deeplabv3-mobilevitv1.pt'
    files = [_of_cvnets('cvnets/deeplabv3_mobilevit_s_os8', 's', pixels, address)]
    for size, arch in MOBILEVIT.items():
        hub, deeplab = f'apple/deeplabv3-mobilevit-{size}', f'deeplabv3_mobilevit_{arch}'
        whole = f'{_CVNETS}/cvnets/segmentation/{deeplab}.pt'
        ssd = f'{_CVNETS}/cvnets/detection/ssd_mobilevit_{arch}_320.pt'
        files += [
            _of_cvnets(hub, arch, pixels, *hub_addresses(hub, ('pytorch_model.bin',))),
            _of_cvnets(f'cvnets/{deeplab}', arch, pixels, whole),
            _of_cvnets(f'cvnets/ssdlite_mobilevit_{arch}', arch, boxes, ssd),
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
        _cvnets(),
        _dense_mobilevit(),
    )
    for file in files
}
# name of a shipped config -> its published weights
OF_CONFIG = {'deeplabv3_mobilevit_s_os8': 'cvnets/deeplabv3_mobilevit_s_os8'}
for _size, _arch in MOBILEVIT.items():
    OF_CONFIG[f'deeplabv3_mobilevit_{_arch}'] = f'apple/deeplabv3-mobilevit-{_size}'
    OF_CONFIG[f'ssdlite_mobilevit_{_arch}'] = f'cvnets/ssdlite_mobilevit_{_arch}'
CONFIG_OF = {name: config for config, name in OF_CONFIG.items()}
_NAMES = {other: file.name for file in PUBLISHED.values() for other in file.other_names}
# timm's model without a tag -> the first that timm has for it, as its `create_model` takes it
_FIRST_TAGS = {
    name.removeprefix('timm/').partition('.')[0]: name
    for name in reversed(PUBLISHED)
    if name.startswith('timm/')
}


def published_name(text: str) -> str:
    """Return the name in `PUBLISHED` of what other tools and their users write.

    Of a name that is not there, what a hub's address or prefix names is returned.
    """
    name = re.sub(r'^(hf[-_]hub:|https?://(www\.)?huggingface\.co/)', '', text)
    name = re.sub(r'(/tree/main)?/*$', '', name)
    first_tag = _FIRST_TAGS.get(name.removeprefix('timm/'), '')
    for known in (name, _NAMES.get(name, ''), f'timm/{name}', first_tag):
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
