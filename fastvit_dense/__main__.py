"""`python -m fastvit_dense`: what is installed, what does not fit, the command that mends it."""

import sys

from .environment import main

sys.exit(main())
