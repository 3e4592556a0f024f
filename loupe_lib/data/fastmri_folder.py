"""A folder of fastMRI: files in sub-folders, as published."""

import functools
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from loupe_lib.data.formats.fastmri import SUFFIX, open_fastmri, volume_name
from loupe_lib.data.volumes import LeftOut, Volume, reason_of
from loupe_lib.data.workers import BadFile, read_headers
from loupe_lib.errors import InputError

ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tgz")


def read_folder(
    root: Path, is_complex: bool = False, skip_bad: bool = False, progress: bool = True
) -> tuple[list[Volume], list[LeftOut]]:
    """Read the header of every volume below a folder, in worker processes.

    Args:
        root: the folder; or a single file of it.
        is_complex: whether complex images are wanted.
        skip_bad: whether to go on without files that are damaged, or that end the process that
            reads them.
        progress: show a progress bar, on a terminal.

    Returns:
        The volumes, sorted by name (folder and file), and the volumes that cannot be used.

    Raises:
        BadFile: if a file is damaged, or ends the process that reads it, without ``skip_bad``.
        InputError: if the folder cannot be read, holds no such file, or is an archive.
    """
    files = sorted(_files(root))
    if not files:
        raise InputError(f"{root} holds no {SUFFIX} file")
    left_out = [LeftOut(path.name, _unpack(path)) for path in files if _is_archive(path)]
    paths = [path for path in files if not _is_archive(path)]
    headers = read_headers(functools.partial(open_fastmri, is_complex=is_complex), paths, progress)
    volumes: dict[str, Volume] = {}
    for path, one in sorted(headers.items()):
        if isinstance(one, BadFile) and not skip_bad:
            raise one
        if isinstance(one, InputError):
            left_out.append(LeftOut(volume_name(path), reason_of(one, path)))
        elif one.name in volumes:
            left_out.append(LeftOut(str(path), "the same name as another volume"))
        else:
            volumes[one.name] = one
    for name in sorted(volumes):
        if name.startswith("multicoil") and name.replace("multi", "single", 1) in volumes:
            left_out.append(LeftOut(name, "its single-coil data are here as well"))
            del volumes[name]
    return [volumes[name] for name in sorted(volumes)], left_out


def _files(root: Path) -> Iterator[Path]:
    """The volumes and archives below a folder."""
    if root.is_file():
        if _is_archive(root):
            raise InputError(f"{root} is {_unpack(root)}")
        if root.suffix != SUFFIX:
            raise InputError(f"{root} must be a folder or a {SUFFIX} file")
        yield root
        return

    def fail(error: OSError) -> None:
        raise InputError(f"cannot read {error.filename}: {error.strerror}") from error

    for folder, _, names in os.walk(root, onerror=fail, followlinks=True):
        for path in (Path(folder, name) for name in names if not name.startswith(".")):
            if path.suffix == SUFFIX or _is_archive(path):
                yield path


def _is_archive(path: Path) -> bool:
    return path.name.endswith(ARCHIVES)


def _unpack(path: Path) -> str:
    return f"an archive: unpack it with tar -xf {shlex.quote(str(path))} -C FOLDER"
