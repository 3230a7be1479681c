"""The error for what this machine lacks: conftest.py turns it into one line that ends the run."""


class MissingError(Exception):
    """The tests cannot run here; the text says what is missing and what to install."""
