"""`fastvit-dense convert-weights` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('convert-weights', 'python tools/convert_weights.py')
