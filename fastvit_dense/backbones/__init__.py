"""The backbones, how they are folded, and how pretrained weights enter them."""

from .fastvit import FastViT
from .macs import count_macs
from .pretrained import CheckpointMismatch, LoadReport, load_pretrained
from .reparam import reparameterize

__all__ = [
    'CheckpointMismatch',
    'FastViT',
    'LoadReport',
    'count_macs',
    'load_pretrained',
    'reparameterize',
]
