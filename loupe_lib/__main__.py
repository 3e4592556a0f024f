"""``python -m loupe_lib`` names the command line."""

import sys

sys.exit("loupe_lib is a library; its command line is `python -m loupe_companion --help`")
