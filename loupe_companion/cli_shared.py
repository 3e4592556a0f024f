"""What several commands share."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from loupe_companion.profiles import PROFILES

PROFILE_HELP = f"Sizes and settings: {', '.join(PROFILES)}."
ProfileName = Annotated[str, typer.Option("--profile", help=PROFILE_HELP)]
Data = Annotated[
    Path | None, typer.Option(help="Image file instead of the embedded heads; see 'data'.")
]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Say what Ctrl-C means here, before typer turns it into an exit without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None
