"""Results of the three tasks as the metrics leave them, from seeded numbers."""

import numpy as np
from PIL import Image

from fastvit_dense.evaluation import EvaluationResult
from fastvit_dense.evaluation.report.references import find_references
from fastvit_dense.evaluation.report.writing import write_report
from fastvit_dense.tasks import TASKS, find_task

PRESENTATIONS = {name: task.presentation for name, task in TASKS.items()}


def instance_result(classes=('cat', 'dog', 'traffic light'), dataset='COCO', samples=5000, seed=0):
    random = np.random.default_rng(seed)
    metrics = {}
    for kind, ap in (('bbox', 0.4187654321), ('segm', 0.3791234567)):
        scores = {'mAP': ap, 'mAP_50': ap * 1.5, 'mAP_75': ap * 1.1, 'mAP_s': -1.0, 'mAP_l': 0.6}
        recalls = {'AR@1': ap * 0.8, 'AR@10': ap * 1.2, 'AR@100': ap * 1.25, 'AR_s@100': -1.0}
        metrics |= {f'{kind}_{name}': value for name, value in (scores | recalls).items()}
    per_class = [
        {'name': name, 'objects': int(random.integers(5, 500)), 'bbox_AP': ap, 'segm_AP': 0.9 * ap}
        for name, ap in zip(classes, random.beta(3, 4, len(classes)), strict=True)
    ]
    per_class[-1] |= {'objects': 0, 'bbox_AP': None, 'segm_AP': None}
    recall = np.linspace(0, 1, 101)
    curves = {'recall': recall.tolist()}
    for kind in ('bbox', 'segm'):
        for threshold, power in (('50', 3), ('75', 1.2)):
            curves[f'{kind}_{threshold}'] = (0.92 * (1 - recall**power)).tolist()
    return EvaluationResult(
        'instance',
        dataset,
        'val2017',
        samples,
        metrics,
        per_class,
        {'precision_recall': curves},
        per_sample=[{'id': i, 'score': float(s)} for i, s in enumerate(random.random(12))],
        protocol={'metrics': ['bbox', 'segm'], 'max_detections': [1, 10, 100], 'fused': True},
    )


def semantic_result(classes=('wall', 'sky', 'lamp', 'rug'), dataset='ADE20K', samples=2000):
    random = np.random.default_rng(0)
    count = len(classes)
    pixels = 4e6 / np.arange(1, count + 1)
    hit = random.beta(6, 4, count)
    shares = random.dirichlet(np.full(count, 0.1), count) * (1 - hit)[:, None] + np.diag(hit)
    confusion = (pixels[:, None] * shares).astype(np.int64)
    confusion[-1] = 0
    confusion[:, -1] = 0
    hits, truth, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    union = truth + predicted - hits
    known = union > 0
    iou = 100 * hits[known] / union[known]
    accuracy = 100 * hits[known] / truth[known]
    scores = iter(zip(iou.tolist(), accuracy.tolist(), strict=True))
    per_class = []
    for name, occurs in zip(classes, known, strict=True):
        class_iou, class_accuracy = next(scores) if occurs else (None, None)
        per_class.append({'name': name, 'IoU': class_iou, 'Acc': class_accuracy})
    metrics = {
        'mIoU': float(iou.mean()),
        'mAcc': float(accuracy.mean()),
        'aAcc': float(100 * hits.sum() / truth.sum()),
        'mDice': float((2 * iou / (1 + iou / 100)).mean()),
    }
    return EvaluationResult(
        'semantic',
        dataset,
        'validation',
        samples,
        metrics,
        per_class,
        arrays={'confusion_matrix': confusion},
        per_sample=[
            {'id': f'{i:08d}', 'score': 100 * float(s)} for i, s in enumerate(random.random(9))
        ],
        protocol={'image_size': [512, 2048], 'resize': 'to multiples of 32', 'fused': False},
    )


def hand_result(dataset='FreiHAND', samples=3960, stand_in=False):
    threshold = np.linspace(0, 50, 100)
    pck = {'threshold_mm': threshold.tolist()}
    for name, scale in (('xyz', 22.0), ('xyz_al', 7.0), ('mesh', 22.5), ('mesh_al', 7.2)):
        pck[name] = (1 - np.exp(-((threshold / scale) ** 1.6))).tolist()
    metrics = {
        'xyz_mean3d': 5.123456, 'xyz_auc3d': 0.2134, 'xyz_al_mean3d': 0.6612, 'xyz_al_auc3d': 0.868,
        'mesh_mean3d': 5.2, 'mesh_auc3d': 0.21, 'mesh_al_mean3d': 0.671, 'mesh_al_auc3d': 0.866,
        'f_score_5': 0.1, 'f_al_score_5': 0.7251, 'f_score_15': 0.4, 'f_al_score_15': 0.98,
        'PA-MPJPE': 6.612, 'PA-MPVPE': 6.71,
    }  # fmt: skip
    return EvaluationResult(
        'hand',
        dataset,
        'evaluation',
        samples,
        metrics,
        [{'name': f'joint {k}', 'PA-MPJPE': 4.0 + k / 5, 'MPJPE': 20.0 + k} for k in range(21)],
        {'pck': pck},
        per_sample=[{'id': i, 'score': -float(i)} for i in range(20)],
        protocol={'joints': 'FreiHAND, 21', 'hand_model': 'stand-in' if stand_in else 'MANO'},
    )


def picture(width=400, height=150, color=(90, 130, 200)):
    ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1)) * np.array(color)
    return Image.fromarray(ramp.astype(np.uint8))


def published_rows(task, dataset, samples, arch=None, **options):
    """Published rows beside a result of a task."""
    return find_references(find_task(task).published, dataset, samples, arch, **options)


def write_task_report(result, folder, **options):
    """Write a report as a test run does: with the task's words and the paper's own rows."""
    task = find_task(result.task)
    rows = published_rows(result.task, result.dataset, result.samples, split=result.split)
    options = {'presentation': task.presentation, 'references': rows} | options
    return write_report(result, folder, **options)
