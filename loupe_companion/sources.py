"""Which images a run learns from: the embedded heads, or a file of the user's."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from loupe_companion.profiles import Profile, find_profile
from loupe_lib.data.heads import draw_cohort
from loupe_lib.data.images import SPLITS, Images, read_images
from loupe_lib.data.storage import digest
from loupe_lib.errors import InputError
from loupe_lib.training.config import HEADS, RunConfig


def load_profile(name: str, data: Path | str | None = None, **settings: Any) -> Profile:
    """A profile for the images at hand: an image file decides size and number of slices.

    Args:
        name: of the profile.
        data: the image file; None for the embedded heads.
        settings: see :func:`loupe_companion.profiles.find_profile`.

    Raises:
        InputError: if it is no image file, or a setting does not exist.
    """
    if data is not None:
        images = read_images(data)
        counts = {name: len(getattr(images, name).images) for name in SPLITS}
        settings |= {"data": digest(data), "size": images.size, **counts}
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
        return _cohort(config.size, seed=config.data_seed, **counts)
    if data is None:
        raise InputError(f"{config.label} needs the image file with SHA-256 {config.data}")
    if digest(data) != config.data:
        raise InputError(f"{data} is not the image file with SHA-256 {config.data}")
    return read_images(data)


_cohort = lru_cache(maxsize=1)(draw_cohort)  # a sweep asks for the same one again and again
