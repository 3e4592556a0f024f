"""What the readers share: errors of one line, and limits."""

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from loupe_lib.data.workers import BadFile
from loupe_lib.errors import InputError

LARGEST = 512 << 20  # bytes of a volume as it is stored
MAGNITUDES = (  # what works instead of complex numbers
    "save magnitudes (of k-space, the root of the sum of squares over coils of its inverse Fourier "
    "transform), or write complex images of one coil by loupe_lib.data.images.write_images"
)


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn any failure to read a file into a `BadFile` of one line that names it.

    Any exception, because readers raise many kinds for damaged files. Their own warnings and log
    lines are not shown. An InputError, about what the file holds, is raised again with its path.
    """
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except ModuleNotFoundError as error:
        raise InputError(
            f'{path}: {kind} needs {error.name}: pip install "loupe_lib[images]"'
        ) from error
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise BadFile(f"{path} cannot be read as {kind}: {reason}") from error
    finally:
        logging.disable(disabled)


def check_array(shape: Sequence[int], kind: np.dtype) -> None:
    """Raise InputError unless an array is a stack of real images, and small enough to be read."""
    if kind.kind not in "fiu":
        mend = f"; {MAGNITUDES}" if kind.kind == "c" else ""
        raise InputError(f"images must be real numbers; got {kind}{mend}")
    if len(shape) != 3 or not all(n > 0 for n in shape):
        found = " x ".join(map(str, shape)) or "one number"
        mend = "; save one of its volumes as a file of its own" if len(shape) > 3 else ""
        raise InputError(f"a volume must have three dimensions; got {found}{mend}")
    size = math.prod(shape) * kind.itemsize
    if size > LARGEST:
        raise InputError(f"a volume has {size} bytes; at most {LARGEST} can be read")
