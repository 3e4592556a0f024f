"""End with the process that started this one."""

import os
import signal
import threading
import time

GRACE = 5.0  # seconds to write checkpoints and remove locks


def exit_with_parent(parent: int) -> None:
    """Make this process exit within seconds after its parent has, even if that was killed.

    It is interrupted, as by Ctrl-C, and killed if it goes on.

    Args:
        parent: its process number. The parent gives it, because this process could not find it
            out if the parent ended first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, name="exit with parent", daemon=True).start()
