"""The error of benchmarks, in a module that imports no PyTorch."""

from fastvit_dense.errors import FastViTDenseError


class BenchmarkError(FastViTDenseError, ValueError):
    """Something that cannot be measured; the message says what and why."""
