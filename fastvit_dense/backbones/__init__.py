"""The backbones, their variants as data, and how they are folded."""

from .fastvit import FastViT
from .macs import count_macs
from .mobilevit import MobileViT
from .reparam import Foldable, reparameterize

__all__ = ['FastViT', 'Foldable', 'MobileViT', 'count_macs', 'reparameterize']
