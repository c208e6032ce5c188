"""The packages of the wheel; everything else stands in pyproject.toml.

The configs, which stand beside the package in a checkout, are shipped inside it.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[
        *find_namespace_packages(include=['fastvit_dense*'], exclude=['*__pycache__*']),
        'fastvit_dense.configs',
        *(f'fastvit_dense.configs.{name}' for name in find_namespace_packages('configs')),
    ],
    package_dir={'fastvit_dense.configs': 'configs'},
)
