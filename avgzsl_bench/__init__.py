"""A benchmark for audio-visual generalised zero-shot learning that can be trusted."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from avgzsl_bench.board import leaderboard
    from avgzsl_bench.contracts import Method
    from avgzsl_bench.evaluation import evaluate
    from avgzsl_bench.hookspecs import hookimpl
    from avgzsl_bench.records import load_records
    from avgzsl_bench.runner import run

__all__ = ["Method", "evaluate", "hookimpl", "leaderboard", "load_records", "run"]

_HOMES = {
    "run": "runner",
    "evaluate": "evaluation",
    "load_records": "records",
    "leaderboard": "board",
    "Method": "contracts",
    "hookimpl": "hookspecs",
}


def __getattr__(name: str) -> Any:
    # lazily, so that `avgzsl --help` and plugin listings import no torch
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
