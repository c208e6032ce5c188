"""`fastvit-dense predict` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('predict', 'python tools/predict.py')
