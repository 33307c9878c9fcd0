"""The kit in pytest, for plugin authors: one test a check.

Example::

    @pytest.mark.avgzsl("prototype")            # a plugin, or one member: avgzsl("nearest", kind="methods")
    def test_conformance(avgzsl_check):
        avgzsl_check()
"""

from collections.abc import Callable

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "avgzsl(name, kind=None): check a plugin, or one member, against the contract")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `avgzsl_check` one run a check of what its `avgzsl` marker names."""
    if "avgzsl_check" not in metafunc.fixturenames:
        return
    from avgzsl_bench.testing import checks_of

    marker = metafunc.definition.get_closest_marker("avgzsl")
    if marker is None:
        raise pytest.UsageError(f"{metafunc.definition.nodeid} asks for avgzsl_check; mark it @pytest.mark.avgzsl(NAME)")
    found = checks_of(*marker.args, **marker.kwargs)
    metafunc.parametrize("avgzsl_check", [_running(check) for check in found], ids=[str(check) for check in found])


def _running(check: Callable[[], None]) -> Callable[[], None]:
    """The check as a test: what the kit skips, pytest skips for the same reason."""

    def run() -> None:
        from avgzsl_bench.testing import Skip

        try:
            check()
        except Skip as reason:
            pytest.skip(str(reason))

    return run
