"""What several commands share."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

# Written out, because to import the profiles takes as long as to import torch.
PROFILE_NAMES = "smoke, quick, reference, paper, claims, claims-small, claims-smoke"
ProfileName = Annotated[
    str, typer.Option("--profile", help=f"Sizes and settings: {PROFILE_NAMES}.")
]
Data = Annotated[
    Path | None, typer.Option(help="Image file instead of the embedded heads; see 'data'.")
]


def check_out(path: Path | None) -> Path | None:
    """Refuse a path that no file can have, before any work is done: a callback of options."""
    from loupe_lib.data.storage import check_target

    if path is not None:
        check_target(path)
    return path


def check_new(path: Path | None) -> Path | None:
    """Refuse a path as :func:`check_out` does, and one where a file is already."""
    from loupe_lib.errors import InputError

    check_out(path)
    if path is not None and path.exists():
        raise InputError(f"cannot write {path}: it exists; remove it, or give another name")
    return path


def numbers(name: str, text: str | None, kind: type = float) -> Any:
    """A list of numbers, or of whole ones (int), from a text such as ``4,8``; None for None."""
    from loupe_lib.errors import InputError

    if text is None:
        return None
    try:
        return [kind(part) for part in text.split(",")] if text else []
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise InputError(f"{name} must be {what} separated by commas; got {text!r}") from None


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Say that the command can go on after Ctrl-C, which typer would answer without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped; repeat the command to continue", file=sys.stderr)
        raise typer.Exit(130) from None
