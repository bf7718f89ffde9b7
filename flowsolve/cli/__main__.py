"""``python -m flowsolve.cli`` is the command ``flowsolve``."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
