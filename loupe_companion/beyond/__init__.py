"""4S in two binary layers that have nothing to do with MRI."""

from loupe_companion.beyond.local_binary import LocalBinaryConv2d
from loupe_companion.beyond.pixels import PixelMask

__all__ = ["LocalBinaryConv2d", "PixelMask"]
