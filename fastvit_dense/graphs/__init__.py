"""Models as they are exported: RGB images of 0-255 in, tensors out.

A graph names its outputs in `output_names`; one whose outputs have the image first sets
`takes_batches`.
"""
