"""`python -m prefjax` is `prefjax`."""

import sys

from prefjax.cli import main

sys.exit(main())
