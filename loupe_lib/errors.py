"""The one exception that means: the user's input, not the program, is at fault."""

LONGEST = 1000  # characters; a file may be quoted that gives a text of any length


class InputError(ValueError):
    """A value from outside that cannot be used.

    Its message is one line that names the value and says what is allowed. The command line
    prints that line and exits with a non-zero status, without a traceback.

    Args:
        message: the line. It may quote what a file says: lines are joined, and characters that a
            terminal would not print are escaped.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(part.strip() for part in message.splitlines())
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        super().__init__(shown if len(shown) <= LONGEST else shown[: LONGEST - 3] + "...")
