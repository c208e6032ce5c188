"""`fastvit-dense test` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('test', 'python tools/test.py')
