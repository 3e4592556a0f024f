"""Worker processes, and how much of the machine this process may use."""

import multiprocessing
import os
import threading


def cores() -> int:
    """How many CPU cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def exit_with_parent() -> None:
    """Let this worker process exit as soon as its parent is gone, even if that was killed.

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
