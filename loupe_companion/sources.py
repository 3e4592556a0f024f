"""The images of a run: the embedded heads, or an image file of the user's."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from loupe_companion.profiles import Profile, find_profile
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import SPLITS, Images, read_images
from loupe_lib.errors import InputError
from loupe_lib.training.config import HEADS, RunConfig


def load_profile(name: str, data: Path | str | None = None, **settings: Any) -> Profile:
    """A profile for given images: an image file sets the size and the numbers of slices.

    Args:
        name: of the profile.
        data: the image file; None for the embedded heads.
        settings: see :func:`loupe_companion.profiles.find_profile`.

    Raises:
        InputError: if the file is not an image file, or a setting does not exist.
    """
    if data is not None:
        images = _read(data)
        counts = {name: len(getattr(images, name).images) for name in SPLITS}
        settings |= {"data": images.sha256, "size": images.size, **counts}
    return find_profile(name, **settings)


def load_images(config: RunConfig, data: Path | str | None = None) -> Images:
    """The images of a run.

    Args:
        config: the run.
        data: the image file, if the run is not on the heads.

    Raises:
        InputError: if the run asks for another file than the one given.
    """
    if config.data == HEADS:
        counts = {name: getattr(config, name) for name in SPLITS}
        return _cohort(config.size, seed=config.data_seed, test_head=config.test_head, **counts)
    if data is None:
        raise InputError(
            f"{config.label} needs the image file with SHA-256 {config.data}: give it by --data "
            "FILE, in a notebook by the parameter data; `data show FILE` shows a file's SHA-256"
        )
    images = _read(data)
    if images.sha256 != config.data:
        raise InputError(f"{data} is not the image file with SHA-256 {config.data}")
    return images


def _read(data: Path | str) -> Images:
    try:
        status = os.stat(data)
    except OSError as error:
        raise InputError(f"cannot read {data}: {error.strerror}") from error
    return _read_once(str(data), status.st_size, status.st_mtime_ns)


# A sweep asks for the same images for every run.
_cohort = lru_cache(maxsize=1)(draw_cohort)


@lru_cache(maxsize=1)
def _read_once(path: str, size: int, changed: int) -> Images:
    """Read an image file again only if its size or the time of its last change, in ns, differs."""
    return read_images(path)
