"""Published weights: names and addresses; of whole models also what they may be used for."""

_APPLE = 'https://docs-assets.developer.apple.com/ml-research/models/fastvit'
_FOLDERS = {
    'apple': 'image_classification_models',
    'apple_dist': 'image_classification_distilled_models',
}
VARIANTS = ('t8', 't12', 's12', 'sa12', 'sa24', 'sa36', 'ma36')
# name -> address; `_reparam` names the folded file
PUBLISHED = {
    f'{group}/fastvit_{variant}{form}': f'{_APPLE}/{folder}/fastvit_{variant}{form}.pth.tar'
    for group, folder in _FOLDERS.items()
    for variant in VARIANTS
    for form in ('', '_reparam')
}
_HUB = 'https://huggingface.co/{name}/resolve/main/model.safetensors'
# by the names of timm's models, which are unfolded and in timm's layout
_TAGS = ('apple_in1k', 'apple_dist_in1k')
_TIMM = [f'timm/fastvit_{variant}.{tag}' for variant in VARIANTS for tag in _TAGS]
_TIMM += [f'timm/mobilevit_{arch}.cvnets_in1k' for arch in ('xxs', 'xs', 's')]
_TIMM += [
    f'timm/mobilevitv2_{width}.cvnets_in1k'
    for width in ('050', '075', '100', '125', '150', '175', '200')
]
PUBLISHED |= {name: _HUB.format(name=name) for name in _TIMM}

# --- whole dense models on MobileViT ---------------------------------------------------------

_CVNETS = 'https://docs-assets.developer.apple.com/ml-research/models'
_HUB_BIN = 'https://huggingface.co/{name}/resolve/main/pytorch_model.bin'
_SIZES = {'xxs': 'xx-small', 'xs': 'x-small', 's': 'small'}
DENSE = {
    'cvnets/deeplabv3_mobilevit_s_os8': (
        f'{_CVNETS}/cvnets-v2/segmentation/pascalvoc/deeplabv3-mobilevitv1.pt'
    )
}
# name of a shipped config -> its published weights
OF_CONFIG = {'deeplabv3_mobilevit_s_os8': 'cvnets/deeplabv3_mobilevit_s_os8'}
for _arch, _size in _SIZES.items():
    _hub = f'apple/deeplabv3-mobilevit-{_size}'
    _deeplab, _ssdlite = f'deeplabv3_mobilevit_{_arch}', f'ssdlite_mobilevit_{_arch}'
    DENSE |= {
        _hub: _HUB_BIN.format(name=_hub),
        f'cvnets/{_deeplab}': f'{_CVNETS}/cvnets/segmentation/{_deeplab}.pt',
        f'cvnets/{_ssdlite}': f'{_CVNETS}/cvnets/detection/ssd_mobilevit_{_arch}_320.pt',
    }
    OF_CONFIG |= {_deeplab: _hub, _ssdlite: f'cvnets/{_ssdlite}'}
PUBLISHED |= DENSE
# what a file may be used for; of the others nothing is written here
LICENCES = dict.fromkeys(
    DENSE,
    "Apple's sample code licence (personal, non-exclusive, no patents granted): "
    'https://github.com/apple/ml-cvnets/blob/main/LICENSE',
)
SHA256: dict[str, str] = {}  # where the publisher states it
