"""The page on the zero frequency (DC): which masks keep it, whether it is the cause, and why."""
