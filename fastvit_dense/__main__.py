"""`python -m fastvit_dense`: what is installed, what does not fit, the command that mends it."""

import sys

from .compat.environment import main
from .integration import load_types

sys.exit(main(load_types))
