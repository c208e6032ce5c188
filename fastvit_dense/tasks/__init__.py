"""The tasks: what differs between them stands here and nowhere else."""

from ..evaluation.metric_names import MetricInfo
from ..evaluation.report.presentation import Presentation
from .base import TASKS, Task, find_task, register_task, task_of
from .hand import HandTask
from .instance import InstanceTask
from .semantic import SemanticTask

for _task in (InstanceTask(), SemanticTask(), HandTask()):
    register_task(_task)

__all__ = [
    'TASKS',
    'MetricInfo',
    'Presentation',
    'Task',
    'find_task',
    'register_task',
    'task_of',
]
