"""Worker processes, because libhdf5 may crash or hang on a corrupt file."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from loupe_lib.errors import InputError

# On Linux, workers are forked from a process that has imported the library, and share its 200 MB of
# memory. On other systems, system libraries do not survive a fork.
START = "forkserver" if sys.platform == "linux" else "spawn"
PRELOAD = ["loupe_lib.data.conversion"]
HEADER_WORKERS = 8  # at most, to read headers: each takes 30 MB of its own
SECONDS = 600  # for one file

Result = TypeVar("Result")


class BadFile(InputError):
    """A file that cannot be read, or that ends the process that reads it."""


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def read_headers(
    function: Callable[[Path], Result], paths: Sequence[Path]
) -> dict[Path, Result | InputError]:
    """Apply a function to paths: see `read_in_workers`."""
    workers = min(cores(), HEADER_WORKERS)
    results = read_in_workers(function, [(path,) for path in paths], workers, "headers")
    return dict(zip(paths, results, strict=True))


def read_in_workers(
    function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], workers: int, title: str
) -> Generator[Result | InputError, None, None]:
    """Call a function of one file in worker processes; with a progress bar, on a terminal.

    The first of its arguments is a path, or has an attribute ``path``. A script that calls this
    needs the usual ``if __name__ == "__main__":``.

    Yields:
        The result of each task in turn; or the InputError that the function raised; or a `BadFile`
        if the worker died, or needed more than ten minutes.
    """
    from pebble import ProcessExpired, ProcessPool

    context: Any = multiprocessing.get_context(START)
    context.set_forkserver_preload(PRELOAD)
    pool = ProcessPool(min(workers, len(tasks)), initializer=_begin, context=context)
    resource_tracker.ensure_running()  # its own start would unblock the signal
    # Ctrl-C reaches workers too, even one that is starting. They inherit that it is blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        try:
            futures = [pool.schedule(function, task, timeout=SECONDS) for task in tasks]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for task, future in zip(tasks, tqdm(futures, title, disable=None), strict=True):
            result: Result | InputError
            try:
                result = future.result()
            except InputError as error:
                result = error
            except (ProcessExpired, TimeoutError):
                reason = "the file is corrupt or too large for the memory"
                path = getattr(task[0], "path", task[0])
                result = BadFile(f"{path} ends the process that reads it: {reason}")
            yield result
    finally:
        pool.stop()
        # Before `join`, which closes what a worker needs that is still starting.
        for process in multiprocessing.active_children():
            if process.name == "pebble_pool_worker":
                process.kill()
        pool.join()


def _begin() -> None:
    """Prepare a worker."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    gc.freeze()  # a collection would write to the shared memory, and so copy it
    torch.set_num_threads(1)


def _exit_with_parent() -> None:
    """Wait until the parent process has ended, which may be killed, and exit."""
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)
