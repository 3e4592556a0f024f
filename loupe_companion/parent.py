"""Stop this process: when its parent has ended, or a cluster's time limit is near."""

import os
import signal
import threading
import time

GRACE = 3.0  # seconds to write checkpoints and remove locks


def exit_with_parent(parent: int) -> None:
    """Make this process exit within seconds after its parent has, even if that was killed.

    Args:
        parent: its process number. The parent gives it, because this process could not find it
            out if the parent ended first.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        _stop()

    _restore_interrupt()
    threading.Thread(target=watch, name="exit with parent", daemon=True).start()


def exit_on_sigterm() -> None:
    """Stop at SIGTERM, which Slurm sends at a job's time limit, half a minute before SIGKILL."""
    _restore_interrupt()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_stop, daemon=True).start())


def _restore_interrupt() -> None:
    """Let SIGINT interrupt: a shell starts its background jobs with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop() -> None:
    """Interrupt this process as by Ctrl-C; again, and then kill it, if it goes on."""
    # Python drops an interrupt that arrives in the callback of a weak reference, for example.
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE)
    os._exit(1)
