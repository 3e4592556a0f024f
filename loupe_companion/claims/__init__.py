"""Every claim of the paper: a test fixed beforehand, and its verdict."""
