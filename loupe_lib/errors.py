"""The one exception that means: the user's input, not the program, is at fault."""


class InputError(ValueError):
    """A value from outside that cannot be used.

    Its message is one line that names the value and says what is allowed. The command line
    prints that line and exits with a non-zero status, without a traceback.
    """
