"""`avgzsl doctor`: what is on this machine, what is missing, and the command that gets it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from avgzsl_bench import plugins
from avgzsl_bench.cli._sections import Section, draw, markdown
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.contracts import Dataset

EPILOG = "Example: avgzsl doctor --markdown"


def command(as_markdown: bool = typer.Option(False, "--markdown", help="Write Markdown, for a bug report.")) -> None:
    """Check versions, devices, folders, data, encoders and plugins, and name the command that gets what is missing."""
    found = list(sections())
    if as_markdown:
        typer.echo(_private(markdown(found)))
    else:
        draw(found)


def _private(report: str) -> str:
    """A report without the user's name: bug reports are public."""
    home = str(Path.home())
    return report.replace(home, "~") if len(home) > 1 else report


def sections() -> Iterator[Section]:
    """Everything that is looked at."""
    from avgzsl_bench import provenance

    environment = provenance.environment()
    yield Section("versions", _tried(_versions(environment)))
    yield Section("devices", _tried(_devices(environment)))
    yield Section("folders", _tried(_folders()), ("holds", "path", "free", "set by"))
    yield Section("data", _tried(_data()), ("data set", "features", "split", "form", "here", ""))
    yield Section("text encoders", _tried(_encoders()), ("encoder", "ready", ""))
    yield Section("plugins", _tried(_plugins()), ("plugin", "distribution", "state"))


def _tried(rows: Iterator[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows of a check; one that breaks is itself a finding and stops no other."""
    found: list[tuple[str, ...]] = []
    try:
        found.extend(rows)  # keeps what came before the fault
    except Exception as error:
        found.append(("broke off", f"{type(error).__name__}: {error}"))
    return found


def _versions(environment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    code = environment["code"]
    commit = (
        f"commit {code['commit'][:12]}{', changed since' if code['dirty'] else ''}" if code["commit"] else "not a git checkout"
    )
    yield "avgzsl-bench", f"{environment['avgzsl_bench']} ({commit})"
    yield "python", f"{environment['python']} on {environment['platform']}"
    yield from environment["packages"].items()


def _devices(environment: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    import torch

    from avgzsl_bench import provenance

    yield "cpu", f"{environment['cpu']}, {environment['cpu_cores']} cores, threads in use: {environment['threads']}"
    for index in range(torch.cuda.device_count()):
        device = provenance.describe_device(torch.device("cuda", index))
        yield (
            f"cuda:{index}",
            f"{device['name']}, {_size(device['memory_bytes'])}, CUDA {device['cuda']}, cuDNN {device['cudnn']}",
        )
    if not torch.cuda.is_available():
        yield "cuda", "none found; runs use the cpu"


def _folders() -> Iterator[tuple[str, ...]]:
    import shutil

    from avgzsl_bench import files

    for holds, path, variable in (
        ("features", files.data_root(), "AVGZSL_DATA"),
        ("class text", files.cache_root(), "AVGZSL_CACHE"),
    ):
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        yield holds, f"{path}{'' if path.exists() else ' (not made yet)'}", _size(shutil.disk_usage(there).free), f"${variable}"


def _data() -> Iterator[tuple[str, ...]]:
    from avgzsl_bench import datasets

    for name in datasets.names():
        try:
            found = datasets.get(name)
        except AvgzslError as error:
            yield name, "", "", "", "no", str(error)
            continue
        for features, split in dict.fromkeys(found.presets.values()):
            for temporal in (False, True)[: 1 + bool(found.features[features].seconds)]:
                form = "temporal" if temporal else "averaged"
                yield name, features, split, form, *_imported(found, features, split, temporal)


def _imported(found: "Dataset", features: str, split: str, temporal: bool) -> tuple[str, str]:
    from avgzsl_bench import files

    if found.synthetic:
        return "yes", "synthetic, made on the fly"
    try:
        splits = found.open(files.data_root(), features, split, temporal)
    except AvgzslError as error:
        return "no", str(error)
    return "partly" if splits.partial else "yes", "synthetic" if splits.synthetic else ""


def _encoders() -> Iterator[tuple[str, ...]]:
    from avgzsl_bench import text

    for name, _, problem in text.readiness():
        yield name, "no" if problem else "yes", problem


def _plugins() -> Iterator[tuple[str, ...]]:
    found = plugins.registry().plugins
    for plugin in found:
        yield plugin.name, plugin.distribution, plugin.problem or "ok"
    if not found:
        yield "none installed", "", ""


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
