"""`fastvit-dense check-data` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('check-data', 'python tools/check_data.py')
