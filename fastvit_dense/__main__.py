"""`python -m fastvit_dense COMMAND`; without one, what is installed and what does not fit."""

from .cli import main

if __name__ == '__main__':
    main(program='python -m fastvit_dense')
