"""`python -m concura`."""

import sys

from concura.cli import main

if __name__ == "__main__":
    sys.exit(main())
