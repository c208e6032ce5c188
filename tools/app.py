"""`fastvit-dense app` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('app', 'python tools/app.py')
