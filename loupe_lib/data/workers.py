"""Worker processes, and how much of the machine this process may use."""

import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
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
SECONDS = 600  # for one file; libhdf5 may read a corrupt file for ever

Task = TypeVar("Task")
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
    function: Callable[[Path], Result], paths: Sequence[Path], progress: bool
) -> dict[Path, Result | InputError]:
    """Apply a function to paths; with a progress bar, on a terminal. See `read_in_workers`."""
    headers = read_in_workers(function, paths, min(cores(), HEADER_WORKERS))
    hide = None if progress else True  # None: disabled unless on a terminal
    return dict(tqdm(headers, "headers", len(paths), disable=hide))


def read_in_workers(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    workers: int,
) -> Iterator[tuple[Task, Result | InputError]]:
    """Apply a function to files in worker processes: libhdf5 may crash on a corrupt file.

    A worker also dies when one file takes ten minutes. A script that calls this needs the usual
    ``if __name__ == "__main__":`` of programs that start processes.

    Args:
        function: reads one file; it can be pickled.
        tasks: its arguments: paths, or objects with an attribute ``path``.
        workers: number of processes.

    Yields:
        Each task and its result, in any order; an InputError of the function in its place, or a
        `BadFile` if the worker died. The message names the file.

    Raises:
        Exception: any other that the function raises.
    """
    context: Any = multiprocessing.get_context(START)
    context.set_forkserver_preload(PRELOAD)
    waiting = iter(tasks)
    running: dict[Connection, Task] = {}
    processes = []

    def give_next_task(pipe: Connection | None) -> None:
        for task in itertools.islice(waiting, 1):
            if pipe is None:
                pipe, end_of_worker = context.Pipe()
                process = context.Process(target=_work, args=(end_of_worker, function), daemon=True)
                _start(process)
                processes.append(process)
                end_of_worker.close()
            pipe.send(task)
            running[pipe] = task

    try:
        for _ in range(workers):
            give_next_task(None)
        while running:
            for pipe in set(running) & set(wait(list(running))):
                task = running.pop(pipe)
                path = getattr(task, "path", task)
                try:
                    result, worker = pipe.recv(), pipe
                except (EOFError, ConnectionError):
                    reason = "the file is corrupt or too large for the memory"
                    result = BadFile(f"{path} ends the process that reads it: {reason}")
                    worker = None
                give_next_task(worker)
                if isinstance(result, Exception) and not isinstance(result, InputError):
                    raise result
                yield task, result
    finally:
        for process in processes:
            process.kill()
            process.join()


def _start(process: Any) -> None:
    """Start a worker with SIGINT blocked: Ctrl-C reaches workers too, even one that is starting."""
    resource_tracker.ensure_running()  # its own start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()  # the worker inherits the mask, and so does the server that forks it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe: Connection, function: Callable[[Task], object]) -> None:
    """Apply the function to each task that comes through the pipe, and send the results back."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    gc.freeze()  # a collection would write to the shared memory, and so copy it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # should another have started the server
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent is gone
        while True:
            task = pipe.recv()
            signal.alarm(SECONDS)  # ends the process
            try:
                result = function(task)
            except Exception as error:
                error.add_note(traceback.format_exc())  # pickling loses the traceback
                result = error
            signal.alarm(0)
            pipe.send(result)


def _exit_with_parent() -> None:
    """Wait until the parent process has ended, which may be killed, and exit."""
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)
