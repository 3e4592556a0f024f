"""A mask as a file for a scanner's software, or another program."""

import io
from pathlib import Path

import numpy as np
import torch
from matplotlib import image

from loupe_lib.data.storage import write_file
from loupe_lib.errors import InputError
from loupe_lib.mask import Mask

KINDS = ("threshold", "topk", "probabilities")
ORDERS = ("centred", "fft")


def export_mask(mask: Mask, path: Path, kind: str = "threshold", order: str = "centred") -> float:
    """Write a mask as .npy (float32) or .png (black 0, white 1).

    Args:
        mask: a trained mask.
        path: ends in .npy or .png.
        kind: ``threshold`` (the paper's), ``topk`` (exactly round(N*N/R) samples) or
            ``probabilities`` (P itself).
        order: ``centred`` (DC at [N//2, N//2]) or ``fft`` (DC at [0, 0]).

    Returns:
        The achieved R, N*N over the sum of what was written; infinite for an empty mask.

    Raises:
        InputError: for another kind, order or file type, or if the file cannot be written.
    """
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if order not in ORDERS:
        raise InputError(f"order must be one of {', '.join(ORDERS)}; got {order!r}")
    with torch.no_grad():
        values = mask.probabilities() if kind == "probabilities" else mask.binarize(kind)
    array = values.cpu().numpy()
    total = float(array.sum())
    if order == "fft":
        array = np.fft.ifftshift(array)
    buffer = io.BytesIO()
    if path.suffix == ".npy":
        np.save(buffer, array, allow_pickle=False)
    elif path.suffix == ".png":
        grey = np.round(array * 255).astype(np.uint8)  # a colour map would be off by a level
        image.imsave(buffer, np.stack([grey] * 3, axis=-1), format="png")
    else:
        raise InputError(f"the file of a mask must end in .npy or .png; got {path.name!r}")
    write_file(path, buffer.getvalue())
    return array.size / total if total else float("inf")
