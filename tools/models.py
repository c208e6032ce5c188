"""`fastvit-dense models` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('models', 'python tools/models.py')
