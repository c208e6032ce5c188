"""`fastvit-dense sample-data` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('sample-data', 'python tools/sample_data.py')
