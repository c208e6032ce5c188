"""Checkpoints: one safe reader, the layouts of published files, and how weights enter a network."""
