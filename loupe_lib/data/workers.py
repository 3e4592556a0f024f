"""Worker processes, and how much of the machine this process may use."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from loupe_lib.errors import InputError

# On Linux, workers are forked from a process that has imported the library, and share its 200 MB of
# memory. On other systems, system libraries do not survive a fork.
START = "forkserver" if sys.platform == "linux" else "spawn"
PRELOAD = ["loupe_lib.data.conversion"]
HEADER_WORKERS = 8  # at most, to read headers: each takes 30 MB of its own
SECONDS = 600  # for one task; libhdf5 may read a corrupt file for ever


class OfFile(Protocol):
    """A task that reads a file."""

    @property
    def path(self) -> Path: ...


Task = TypeVar("Task", bound=OfFile)
Result = TypeVar("Result")


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def exit_with_parent() -> None:
    """Make this worker process exit when its parent does, even if the parent was killed.

    An initializer for worker processes that were started by spawn or forkserver; elsewhere it does
    nothing.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="exit with parent", daemon=True).start()


def read_in_workers(
    function: Callable[[Task], Result], tasks: Iterable[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Apply a function to files in worker processes: libhdf5 may crash on a corrupt file.

    A worker also dies when one task takes ten minutes. A script that calls this needs the usual
    ``if __name__ == "__main__":`` of programs that start processes.

    Args:
        function: a function of a module, applied to one task.
        tasks: the arguments of the function.
        workers: number of processes.

    Yields:
        Each task and its result, in any order.

    Raises:
        InputError: if a worker dies, and dies again when it reads only one of the files that were
            being read; the message names that file.
    """
    todo = list(tasks)
    while todo:
        try:
            yield from _read(function, todo, workers)
        except BrokenProcessPool:
            for suspect in todo[:workers]:
                single = [suspect]
                try:
                    yield from _read(function, single, 1)
                except BrokenProcessPool:
                    raise InputError(
                        f"{suspect.path} ends the process that reads it: the file is corrupt or "
                        "too large for the memory; move it away, then repeat the command"
                    ) from None
                todo.remove(suspect)


def _read(
    function: Callable[[Task], Result], todo: list[Task], workers: int
) -> Iterator[tuple[Task, Result]]:
    """Remove each task from the list when it is done; the first ones, one a worker, are running."""
    context = multiprocessing.get_context(START)
    context.set_forkserver_preload(PRELOAD)
    running: dict[Future[Result], Task] = {}
    waiting = iter(todo.copy())
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        while todo:
            while len(running) < min(workers, len(todo)):
                task = next(waiting)
                running[pool.submit(_call, function, task)] = task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result, task = future.result(), running.pop(future)
                todo.remove(task)
                yield task, result


def _start_worker() -> None:
    exit_with_parent()
    gc.freeze()  # a collection would write to the shared memory, and so copy it
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches workers too: no traceback
    torch.set_num_threads(1)


def _call(function: Callable[[Task], Result], task: Task) -> Result:
    signal.alarm(SECONDS)  # ends the process
    try:
        return function(task)
    finally:
        signal.alarm(0)
