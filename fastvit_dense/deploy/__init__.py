"""Deployment: export, run, quantise and check models outside PyTorch."""
