"""``python -m loupe_lib`` says where the command line is."""

import sys

sys.exit("loupe_lib is a library; its command line is `python -m loupe_companion --help`")
