"""Part of a file, as a file of its own; without imports of the library, as `hdf5_look` runs it."""

import io
import os


class Window(io.RawIOBase):
    """Some bytes of a file, read in place: a member of an archive.

    Nobody else who reads the file moves the place where this one reads.

    Args:
        file: the file; closed together with the window.
        offset: of the first byte.
        size: in bytes.
    """

    def __init__(self, file: io.FileIO, offset: int, size: int) -> None:
        self._file = file
        self._offset, self._size, self._position = offset, size, 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(len(buffer), max(0, self._size - self._position))
        content = os.pread(self.fileno(), wanted, self._offset + self._position)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def fileno(self) -> int:
        return self._file.fileno()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
