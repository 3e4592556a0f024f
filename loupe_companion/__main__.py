"""``python -m loupe_companion``: see :mod:`loupe_companion.cli`."""

from loupe_companion.cli import main

if __name__ == "__main__":
    main()
