"""`avgzsl data`: bring features into the store, and look after what is there."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgzsl_bench import datasets, files, plugins
from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.features import Manifest
    from avgzsl_bench.importers import Report

app = typer.Typer(help="Import, list, show, verify and imitate features.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="Name of the data set; `avgzsl data list` lists them.", autocompletion=_complete.datasets)
]
Preset = Annotated[str, typer.Option("--features", help="The authors' features: main (SeLaVi) or cls (C3D and VGGish).")]


@app.command("import", epilog="Example: avgzsl data import ucf avgzsl_benchmark_datasets/UCF --features main")
def import_(
    name: Name,
    path: Annotated[Path | None, typer.Argument(help="Folder or zip in the authors' layout.")] = None,
    features: Preset = "main",
    split: Annotated[
        str | None,
        typer.Option(
            help="main or cls, where it is not that of the features. "
            "With --table: csv with a header and the columns clip, class, subset and, if wished, text_name; "
            "subset is train, validation_seen, validation_unseen, test_seen or test_unseen."
        ),
    ] = None,
    table: Annotated[bool, typer.Option("--table", help="Import features of your own as a new data set NAME.")] = False,
    audio: Annotated[Path | None, typer.Option(help="With --table: .npy of floats (clips, dim).")] = None,
    video: Annotated[Path | None, typer.Option(help="With --table: .npy of floats (clips, dim).")] = None,
    clips: Annotated[Path | None, typer.Option(help="With --table: text file, the clip id of each row on a line.")] = None,
) -> None:
    """Import features: the authors' files of a published data set, or (--table) a table of your own."""
    own = {"--audio": audio, "--video": video, "--clips": clips}
    if table:
        _report(_import_table(name, path, own | {"--split": Path(split) if split else None}))
    else:
        _report(_import_layout(name, path, features, split, [flag for flag, value in own.items() if value]))


def _import_table(name: str, path: Path | None, given: dict[str, Path | None]) -> "Report":
    from avgzsl_bench.importers.table import Inputs, import_table

    missing = [flag for flag, value in given.items() if value is None]
    if missing or path:
        wrong = f"{', '.join(missing)} missing" if missing else f"{path} is one argument too many"
        raise AvgzslError(f"{wrong}; give --table --audio A.npy --video V.npy --clips IDS.txt --split SPLIT.csv")
    if name in plugins.names("datasets"):
        raise AvgzslError(f"{name!r} is the name of a registered data set; choose another for a table of your own")
    inputs = Inputs(*(value for value in given.values() if value))
    return import_table(name, inputs, files.data_root(), datasets.OWN)


def _import_layout(name: str, path: Path | None, features: str, split: str | None, stray: list[str]) -> "Report":
    from avgzsl_bench.importers.layout import import_layout

    if stray:
        raise AvgzslError(f"{', '.join(stray)} go with --table; add it, or leave them out")
    layout = _layout(name, features, split)
    if path is None:
        raise AvgzslError(f"say where the features of {name} are: `avgzsl data import {name} PATH`, a folder or a zip")
    return import_layout(layout, path, files.data_root())


def _layout(name: str, features: str, split: str | None = None) -> Any:
    data = datasets.get(name)
    if not hasattr(data, "layout"):
        raise AvgzslError(f"{name} has no files to import or imitate; `avgzsl data list` shows how each data set is had")
    return data.layout(features, split)


def _report(report: "Report") -> None:
    found = report.manifest
    what = f"{found.dataset}, features {found.features}, split {found.split}{_marks(found)}"
    typer.echo(f"{report.outcome}: {what}")
    for name, subset in found.subsets.items():
        typer.echo(f"  {name:18} {subset.clips:6} clips" + (f" of {subset.expected}" if subset.expected else ""))
    if found.left_out:
        typer.echo(f"  left out, since the split does not use them: {_some(found.left_out)}")
    if report.notes:
        typer.echo(f"  partial, so that its results never reach a table: {_some(report.notes)}")
    typer.echo(f"  content {found.content_sha256}")


def _some(lines: list[str], most: int = 5) -> str:
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return ", ".join(lines[:most]) + more


def _marks(found: "Manifest") -> str:
    words = [word for word in ("synthetic", "partial") if getattr(found, word)]
    return f" ({', '.join(words)})" if words else ""


@app.command("list", epilog="Example: avgzsl data list")
def list_() -> None:
    """List data sets, what of them is in the store, and the command that gets the rest."""
    rows = [row for name in datasets.names() for row in _rows(name)]
    draw([Section(f"data in {files.data_root()}", rows, ("data set", "features", "split", "clips", "state"))])
    typer.echo("to import: avgzsl data import DATASET FOLDER_OR_ZIP --features main|cls")


def _rows(name: str) -> Iterator[tuple[str, str, str, str, str]]:
    try:
        data = datasets.get(name)
        stored = {(found.features, found.split): found for _, found in _stored(name)}
    except AvgzslError as error:
        yield name, "", "", "", str(error)
        return
    wanted = {(features, split): preset for preset, (features, split) in data.presets.items()}
    for features, split in [*wanted, *(key for key in stored if key not in wanted)]:
        if found := stored.get((features, split)):
            clips = sum(subset.clips for subset in found.subsets.values())
            yield name, features, split, str(clips), f"imported{_marks(found)}"
        elif hasattr(data, "layout"):
            yield name, features, split, "", f"not imported (--features {wanted[features, split]})"
        else:
            yield name, features, split, "", "synthetic, made on the fly" if data.synthetic else "made on the fly"


def _stored(name: str) -> "Iterator[tuple[Path, Manifest]]":
    from avgzsl_bench import features

    for folder in features.manifests(files.data_root()):
        if folder.name.startswith(f"{name}-"):
            yield folder, features.read_manifest(folder)


@app.command(epilog="Example: avgzsl data show demo")
def show(name: Name) -> None:
    """Show what the store holds of a data set: clips, widths, hashes and sources."""
    data = datasets.get(name)
    stored = list(_stored(name))
    if not stored:
        draw(
            [Section(f"{name}: nothing in {files.data_root()}", [row[1:] for row in _rows(name)], ("features", "split", "", ""))]
        )
        return
    draw(section for folder, found in stored for section in _sections(folder, found))
    typer.echo(f"licence: {data.licence}; its classes: avgzsl show {name}")


def _sections(folder: Path, found: "Manifest") -> Iterator[Section]:
    title = f"{found.dataset}, features {found.features}, split {found.split}{_marks(found)}"
    facts = [("folder", str(folder)), ("audio, video", f"{found.audio}, {found.video}"), ("content", found.content_sha256)]
    size = sum(source.size for source in found.sources)
    facts.append(("from", f"{len(found.sources)} files, {size / 1e6:.1f} MB"))
    if found.left_out:
        facts.append(("left out", _some(found.left_out)))
    yield Section(title, facts)
    rows = [(name, str(s.clips), str(s.expected or "not known"), s.sha256[:16]) for name, s in found.subsets.items()]
    yield Section("subsets", rows, ("subset", "clips", "published", "sha256"))


@app.command(epilog="Example: avgzsl data verify")
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Data set to verify; all if left out.", autocompletion=_complete.datasets)
    ] = None,
) -> None:
    """Verify stored features: read everything again and compare with the hashes of the import."""
    from avgzsl_bench import features

    if name:
        datasets.get(name)
    problems: list[str] = []
    chosen = [folder for folder in features.manifests(files.data_root()) if folder.name.startswith(f"{name}-" if name else "")]
    if not chosen:
        typer.echo(f"nothing of {name or 'any data set'} to verify in {files.data_root()}")
    for folder in chosen:
        found = features.verify(folder)
        typer.echo(f"{'damaged' if found else 'whole'}  {folder.name}")
        problems += found
    if problems:
        raise AvgzslError(problems[0] + (f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""))


@app.command(epilog="Example: avgzsl data synth ucf --out synthetic")
def synth(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write into; the data set's own folder is made in it.")],
    features: Preset = "main",
) -> None:
    """Write a full-size synthetic copy of the authors' layout, to try imports and runs without the real files."""
    from avgzsl_bench.datasets._synth import write_copy

    target = write_copy(_layout(name, features), out)
    typer.echo(f"wrote synthetic features to {target}; next: avgzsl data import {name} {target} --features {features}")
