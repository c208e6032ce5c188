"""Deployment: export, run and measure models outside PyTorch."""
