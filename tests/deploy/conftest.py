"""Tests of deployment need the extra [deploy]."""

import importlib.util

NEEDED = ('onnx', 'onnxruntime')
collect_ignore_glob = [] if all(map(importlib.util.find_spec, NEEDED)) else ['test_*.py']
