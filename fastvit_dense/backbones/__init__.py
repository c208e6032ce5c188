"""The backbones, how they are folded, and how pretrained weights enter them."""

from .fastvit import FastViT
from .macs import count_macs
from .reparam import reparameterize

__all__ = ['FastViT', 'count_macs', 'reparameterize']
