"""`fastvit-dense train` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('train', 'python tools/train.py')
