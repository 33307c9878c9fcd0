"""The conformance kit: the contracts made executable, for our own members and for strangers."""

from avgzsl_bench.testing.kit import Check, Result, Skip, checks_of, members_of, result_of

__all__ = ["Check", "Result", "Skip", "checks_of", "members_of", "result_of"]
