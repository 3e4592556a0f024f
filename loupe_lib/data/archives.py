"""Files within tar archives, read where they lie: no name in an archive becomes a path.

The standard library's ``tarfile`` finds the members of an archive that a friend made; one that a
foe made can let it read without end (sparse maps, chains of extended headers). fastMRI's archives
need but the plainest part of the format, so that much is read here, each step of it bounded.
"""

import contextlib
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm.utils import CallbackIOWrapper

from loupe_lib.data.window import Window
from loupe_lib.errors import InputError

PLAIN = (".tar",)
COMPRESSED = (".tar.xz", ".txz", ".tar.gz", ".tgz")
BLOCK = 512  # of the tar format
PIECE = 1 << 20  # bytes read at a time
MAX_MEMBER = 16 << 30  # bytes, in a compressed archive; fastMRI's largest have 2 GB
MAX_MEMBERS = 100_000
MAX_EXTENDED = 1 << 16  # bytes of an extended header: long names
MAX_EXPANSION = 100  # times its size; k-space compresses by less than 10, a bomb by 1000
ROOM = 1 << 30  # bytes that any archive may have beyond that
MAX_DICTIONARY = 256 << 20  # bytes of memory for xz; its highest setting takes 65 MB
EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)
DAMAGED = (OSError, EOFError, ValueError, tarfile.HeaderError, lzma.LZMAError, zlib.error)
LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)


@dataclass(frozen=True)
class Member:
    """A regular file within an archive.

    Attributes:
        name: as the archive has it: not to be trusted as a path.
        offset: of its first byte in the file of the operating system that ``open`` opens.
        size: in bytes.
        open: opens it: in a plain archive, part of that; in a compressed one a temporary file
            without a name, until the next member is asked for.
    """

    name: str
    offset: int
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether its name says that it is an archive which `members` reads."""
    return path.name.lower().endswith(PLAIN + COMPRESSED)


def is_compressed(path: Path) -> bool:
    """Whether its name says that it is a compressed archive, which can only be read in order."""
    return path.name.lower().endswith(COMPRESSED)


def members(path: Path, progress: Callable[[int], object] = int) -> Iterator[Member]:
    """The regular files of a tar archive, in their order.

    Args:
        path: a ``.tar``, ``.tar.xz`` or ``.tar.gz`` file.
        progress: is told how many more bytes of the file have been read, or passed over.

    Raises:
        InputError: if it cannot be read, is no such archive, was cut short, or asks for more
            members, memory or bytes than an archive of images would; the message names it.
    """
    with _telling(path), ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(open(path, "rb"))
        size = os.fstat(raw.fileno()).st_size
        if not is_compressed(path):
            plain = _Plain(raw, size, progress)
            yield from _members(plain, lambda first, n: window(path, first, n))
            return
        raw = CallbackIOWrapper(progress, raw)
        unpacked = _Xz(raw) if path.name.lower().endswith("xz") else gzip.GzipFile(fileobj=raw)
        stream = _Compressed(
            stack.enter_context(io.BufferedReader(unpacked, PIECE)),
            ROOM + MAX_EXPANSION * size,
        )

        def opener(_: int, size: int) -> IO[bytes]:
            with _telling(path):
                return stream.spool(size)

        yield from _members(stream, opener)
        stream.finish()


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Make of any failure to read the archive one line that names it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except DAMAGED as error:
        raise InputError(f"{path} is no whole archive: {error}") from error


class _Plain:
    """An archive without compression: what is not wanted is passed over."""

    def __init__(self, file: IO[bytes], size: int, progress: Callable[[int], object]) -> None:
        self.file, self.size, self.progress = file, size, progress
        self.position = 0

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        if len(content) < size:
            raise EOFError("it was cut short")
        self.progress(size)
        self.position += size
        return content

    def check(self, size: int) -> None:
        if self.position + size > self.size:
            raise EOFError("it was cut short")

    def skip_to(self, position: int) -> None:
        self.file.seek(position)
        self.progress(position - self.position)
        self.position = position


class _Compressed:
    """A compressed archive: all of it must be decompressed, and none twice."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.file, self.limit, self.position = file, limit, 0

    def read(self, size: int) -> bytes:
        content = self.file.read(size)  # both kinds of file return fewer bytes at their end alone
        self.position += len(content)
        if len(content) < size:
            raise EOFError("it was cut short")
        self.check_limit()
        return content

    def check(self, size: int) -> None:
        if size > MAX_MEMBER:
            raise InputError(f"a member has {size} bytes; at most {MAX_MEMBER} can be read")

    def skip_to(self, position: int) -> None:
        while self.position < position:
            self.read(min(PIECE, position - self.position))

    def finish(self) -> None:
        """Read the padding, at the end of which gzip has its check sum."""
        while rest := self.file.read(PIECE):
            self.position += len(rest)
            self.check_limit()

    def check_limit(self) -> None:
        if self.position > self.limit:
            raise InputError(f"it expands to more than {self.limit} bytes")

    def spool(self, size: int) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            while size:
                size -= file.write(self.read(min(PIECE, size)))
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file


def _members(
    stream: _Plain | _Compressed, opener: Callable[[int, int], IO[bytes]]
) -> Iterator[Member]:
    extended: dict[str, str] = {}  # what headers before the member say about it
    for _ in range(MAX_MEMBERS):
        block = stream.read(BLOCK)
        if not any(block):
            return
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        name, size = extended.get("path", info.name), int(extended.get("size", info.size))
        if size < 0:
            raise ValueError("a member has a negative size")
        first = stream.position
        if info.type in EXTENDED + LONG:
            if size > MAX_EXTENDED:
                raise InputError(f"an extended header has {size} bytes; at most {MAX_EXTENDED}")
            content = stream.read(size)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = content.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type in EXTENDED and info.type != tarfile.XGLTYPE:
                extended |= _records(content)
        else:
            if info.type == tarfile.GNUTYPE_SPARSE or any("sparse" in key for key in extended):
                raise InputError("sparse files in archives cannot be read")
            extended = {}
            if not info.isreg():  # folders and links have nothing to read
                continue
            stream.check(size)
            offset = first if isinstance(stream, _Plain) else 0  # of a file made for the member
            yield Member(name, offset, size, lambda f=first, n=size: opener(f, n))  # type: ignore[misc]
        stream.skip_to(first + -(-size // BLOCK) * BLOCK)
    raise InputError(f"it has more than {MAX_MEMBERS} members")


def _records(content: bytes) -> dict[str, str]:
    """What an extended header says: records ``LENGTH KEY=VALUE`` and a line feed."""
    found = {}
    while content:
        digits = content[:6].partition(b" ")[0]
        record, content = content[: int(digits)], content[int(digits) :]
        if not record.endswith(b"\n"):
            raise ValueError("an extended header is damaged")
        key, _, value = record[len(digits) + 1 : -1].partition(b"=")
        found[key.decode()] = value.decode("utf-8", "surrogateescape")
    return found


def window(path: Path, offset: int, size: int) -> IO[bytes]:
    """Open a member of a plain archive: some bytes of a file as a file of its own."""
    return io.BufferedReader(Window(io.FileIO(path), offset, size), PIECE)


class _Xz(io.RawIOBase):
    """Decompresses xz, with a bound on its memory, which ``lzma.LZMAFile`` has not."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._xz = lzma.LZMADecompressor(memlimit=MAX_DICTIONARY)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            if self._xz.eof:  # files may be several streams, one after the other
                rest = (self._xz.unused_data or self._file.read(PIECE)).lstrip(b"\0")  # padding
                if not rest:
                    return 0
                self._xz = lzma.LZMADecompressor(memlimit=MAX_DICTIONARY)
            else:
                rest = self._file.read(PIECE) if self._xz.needs_input else b""
                if self._xz.needs_input and not rest:
                    raise EOFError("it was cut short")
            content = self._xz.decompress(rest, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)

    def readable(self) -> bool:
        return True
