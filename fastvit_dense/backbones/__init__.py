"""The backbones, how they are folded, and how pretrained weights enter them."""
