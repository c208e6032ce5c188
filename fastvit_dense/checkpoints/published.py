"""Published weights: names and addresses."""

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
PUBLISHED |= {name: _HUB.format(name=name) for name in _TIMM}
