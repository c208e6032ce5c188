"""Train, test and picture every task on the embedded sample data; what `make demo` runs.

python tools/demo.py
python tools/demo.py --tasks instance
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from _cli import make_parser, run


def main(argv: Sequence[str] | None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument('--tasks', nargs='+', metavar='TASK', help='all by default')
    parser.add_argument('--work-dir', default='work_dirs/demo', help='(default: %(default)s)')
    args = parser.parse_args(argv)

    from fastvit_dense.evaluation.report.content import measured_text
    from fastvit_dense.tasks import TASKS, find_task

    names = args.tasks or [name for name, task in TASKS.items() if task.demo_config]
    root, lines, runs = Path(args.work_dir), [], []
    for name in names:
        task = find_task(name)
        config, folder, start = f'configs/{task.demo_config}.py', root / name, time.time()
        step('train.py', config, '--sample', '--work-dir', folder, '--overwrite')
        trained = time.time()
        checkpoint = (folder / 'last_checkpoint').read_text().strip()
        options = ('--cfg-options', *task.demo_options) if task.demo_options else ()
        step('test.py', config, checkpoint, '--sample', '--work-dir', folder, *options)
        report = json.loads((folder / 'report.json').read_text())
        metrics, mean_pose = report['metrics'], report['protocol'].get('mean_pose')
        numbers = ', '.join(
            f'{metric} {measured_text(report, metric)}' for metric in task.presentation.headlines
        )
        numbers += f' (the mean pose: {mean_pose})' if mean_pose else ''
        minutes = {
            'train': round((trained - start) / 60, 1),
            'test': round((time.time() - trained) / 60, 1),
        }
        runs.append({'task': name, 'config': config, 'minutes': minutes, 'metrics': metrics})
        lines.append(
            f'{name}: {numbers}\n    trained in {minutes["train"]} min, tested in '
            f'{minutes["test"]} min; pictures: {folder}/pictures, report: {folder}/report.html'
        )

    from fastvit_dense.evaluation.report.environment import collect_environment
    from fastvit_dense.evaluation.report.summary import write_summary
    from fastvit_dense.visualization.layout import stack_pictures

    folders = [root / name for name in names]
    page = write_summary(folders, root, {name: task.presentation for name, task in TASKS.items()})
    medians = [min(folder.glob('pictures/*_median_*.png')) for folder in folders]
    stack_pictures(medians).save(root / 'demo.png')
    results = {'command': 'make demo', 'environment': collect_environment(), 'runs': runs}
    (root / 'results.json').write_text(json.dumps(results, indent=1) + '\n')
    print('\nOn the embedded sample data, from random weights (nothing said of accuracy):')
    print('\n'.join(lines))
    print(f'all of it on one page: {page}; pictures: {root}/demo.png; numbers: {root}/results.json')


def step(tool: str, *arguments: object) -> None:
    """Run a tool of this folder, after showing the command; a failure ends the demo."""
    words = [str(Path(__file__).parent / tool), *map(str, arguments)]
    print(f'\n$ python tools/{tool} {" ".join(words[1:])}', flush=True)
    status = subprocess.run([sys.executable, *words], check=False).returncode
    if status:
        sys.exit(status)


if __name__ == '__main__':
    run(main)
