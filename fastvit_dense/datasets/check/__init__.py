"""Faults in the data of a config: everything that can be told before training."""
