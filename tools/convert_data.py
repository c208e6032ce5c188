"""`fastvit-dense convert-data` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('convert-data', 'python tools/convert_data.py')
