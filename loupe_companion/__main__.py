"""``python -m loupe_lib``: see :mod:`loupe_lib.cli`."""

from loupe_lib.cli import main

if __name__ == "__main__":
    main()
