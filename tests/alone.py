"""One run by itself, for tests that look at a protocol from inside."""

from avgzsl_bench.lockstep import Lockstep


def result_of(steps):
    """What a run comes to, or its error."""
    ((_, found),) = Lockstep(1, forced=True, compile_="off").results({0: steps})
    if isinstance(found, Exception):
        raise found
    return found
