"""Tested versions, and the commands that install them; nothing is imported."""

TORCH = 'torch==2.11.0 torchvision==0.26.0'
# Each import name of OpenMMLab has two lines of distributions that install into the same folder.
TESTED = {
    'onedl': {
        'mmengine': 'onedl-mmengine==0.10.12',
        'mmcv': 'onedl-mmcv==2.3.6',
        'mmdet': 'onedl-mmdetection==3.5.1',
        'mmseg': 'onedl-mmsegmentation==1.4.2',
    },
    'original': {
        'mmengine': 'mmengine==0.10.7',
        'mmcv': 'mmcv-lite==2.1.0',
        'mmdet': 'mmdet==3.3.0',
        'mmseg': 'mmsegmentation==1.2.2',
    },
}
DISTRIBUTIONS = {
    'mmengine': ('onedl-mmengine', 'mmengine', 'mmengine-lite'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite', 'mmcv-full'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}
# distribution: lowest version of mmcv that it takes, first that it refuses
MMCV_RANGE = {
    'mmdet': ('2.0.0', '2.2.0'),
    'mmsegmentation': ('2.0.0', '2.2.0'),
    'onedl-mmdetection': ('2.0.0', '3.0.0'),
    'onedl-mmsegmentation': ('2.0.0', '3.0.0'),
}
PLAIN_REQUIREMENTS = (
    'numpy',
    'scipy',
    'pillow',
    'matplotlib',
    'jinja2',
    'pycocotools',
    'hotcoco',
)
EXTRAS = {
    'easypytorch3d': 'hand mesh, extra [hand]',
    'onnx': 'export, extra [deploy]',
    'onnxscript': 'export, extra [deploy]',
    'onnxruntime': 'export, extra [deploy]',
    'openvino': 'export, extra [deploy]',
    'coremltools': 'export, extra [deploy]',
    'timm': 'tests, extra [dev]',
}
OPENCV = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
# shared library that OpenCV looks for: Debian and Ubuntu package that has it
SYSTEM_PACKAGES = {
    'libGL.so.1': 'libgl1',
    'libgthread-2.0.so.0': 'libglib2.0-0',
    'libSM.so.6': 'libsm6',
    'libXext.so.6': 'libxext6',
    'libXrender.so.1': 'libxrender1',
    'libxcb.so.1': 'libxcb1',
}
COMPILE_MMCV = (
    'pip install --no-build-isolation --no-cache-dir --force-reinstall --no-deps '
    f'{TESTED["onedl"]["mmcv"]}  (needs a C++ compiler, for GPUs the CUDA toolkit, and minutes)'
)
