"""What transformers' DeepLabv3 on MobileViT computes with seeded weights, as a file.

python -m tests.checkpoints.transformers_golden    # writes the file anew; needs transformers
"""

import json
import zlib
from pathlib import Path

import torch

PATH = Path(__file__).with_name('transformers_golden.json')
SIZES = {
    'xxs': dict(
        hidden_sizes=[64, 80, 96], neck_hidden_sizes=[16, 16, 24, 48, 64, 80, 320], expand_ratio=2.0
    ),
    'xs': dict(hidden_sizes=[96, 120, 144], neck_hidden_sizes=[16, 32, 48, 64, 80, 96, 384]),
    's': dict(hidden_sizes=[144, 192, 240], neck_hidden_sizes=[16, 32, 64, 96, 128, 160, 640]),
}


def build(arch):
    """transformers' model as it is published: output stride 16, the classes of VOC."""
    from transformers import MobileViTConfig, MobileViTForSemanticSegmentation

    config = MobileViTConfig(**SIZES[arch], output_stride=16, num_labels=21)
    return MobileViTForSemanticSegmentation(config).eval()


def seeded(shapes):
    """Weights that follow from their names and shapes, of a size that keeps signals alive."""
    state = {}
    for name, shape in shapes.items():
        if name.endswith('num_batches_tracked'):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        if name.endswith('running_var'):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        elif len(shape) == 1 and name.endswith('weight'):
            state[name] = 0.8 + 0.4 * torch.rand(shape, generator=generator)
        elif len(shape) == 1:
            state[name] = 0.1 * torch.randn(shape, generator=generator)
        else:
            fan_in = torch.Size(shape[1:]).numel()
            state[name] = torch.randn(shape, generator=generator) * (1.5 / fan_in) ** 0.5
    return state


def picture(height, width):
    """(H, W, 3) uint8, RGB."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (height, width, 3), generator=generator).byte().numpy()


def pixels(image):
    """What transformers' image processor makes of a picture: (1, 3, H, W), BGR, 0-1."""
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255


def write():
    import transformers

    model = build('xxs')
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(seeded(shapes))
    with torch.no_grad():
        logits = model(pixels(picture(64, 96))).logits[0]
    content = dict(
        transformers=transformers.__version__,
        shapes=shapes,
        logits=[round(v, 6) for v in logits.flatten().tolist()],
    )
    PATH.write_text(json.dumps(content, separators=(',', ':')) + '\n')


if __name__ == '__main__':
    write()
