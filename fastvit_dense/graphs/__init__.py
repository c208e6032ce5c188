"""Models as they are exported: one RGB image of 0-255 in, tensors out."""
