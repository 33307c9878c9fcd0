"""The one error that is the user's to mend: printed in one line, exit code 2. Anything else is a bug."""


class AvgzslError(Exception):
    """Says what was wrong, which value, and what to do next."""
