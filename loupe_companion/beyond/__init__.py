"""4S in two binary layers beyond MRI."""

from loupe_companion.beyond.local_binary import LocalBinaryConv2d
from loupe_companion.beyond.pixels import PixelMask

__all__ = ["LocalBinaryConv2d", "PixelMask"]
