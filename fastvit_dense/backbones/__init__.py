"""The backbones, their variants as data, and how they are folded."""

from .fastvit import FastViT
from .macs import count_macs
from .reparam import reparameterize

__all__ = ['FastViT', 'count_macs', 'reparameterize']
