"""`python -m stochastic_depth` is `sdepth`, for launchers that start modules."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
