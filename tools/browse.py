"""`fastvit-dense browse` with this checkout's package."""

from _cli import run_command

if __name__ == '__main__':
    run_command('browse', 'python tools/browse.py')
