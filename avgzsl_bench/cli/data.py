"""`avgzsl data`: bring features into the store, and look after what is there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgzsl_bench import datasets, files, plugins
from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.clips import Dataset
    from avgzsl_bench.features import Manifest
    from avgzsl_bench.importers import Report

app = typer.Typer(help="Import, list, show, verify and imitate features.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="Name of the data set; `avgzsl data list` lists them.", autocompletion=_complete.datasets)
]
Preset = Annotated[
    str,
    typer.Option("--features", help="The authors' features: main (SeLaVi), cls (C3D and VGGish) or clipclap (CLIP and CLAP)."),
]
Temporal = Annotated[bool, typer.Option("--temporal", help="Sequences of main or cls features, for methods that need them.")]


@app.command("import", epilog="Example: avgzsl data import ucf avgzsl_benchmark_datasets/UCF --features main")
def import_(
    name: Name,
    path: Annotated[Path | None, typer.Argument(help="Folder or zip in the authors' layout.")] = None,
    features: Preset = "main",
    temporal: Temporal = False,
    split: Annotated[
        str | None,
        typer.Option(
            help="main or cls, where it is not that of the features. "
            "With --table: csv with a header and the columns clip, class, subset and, if wished, text_name and video, which "
            "the clip was cut from; "
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
        if temporal:
            raise AvgzslError("--temporal does not go with --table, which takes one row a clip; leave it out")
        _report(_import_table(name, path, own | {"--split": Path(split) if split else None}))
    else:
        if stray := [flag for flag, value in own.items() if value]:
            raise AvgzslError(f"{', '.join(stray)} go with --table; add it, or leave them out")
        _report(_import_layout(name, path, _layout(name, features, split, temporal)))


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


def _import_layout(name: str, path: Path | None, layout: Any) -> "Report":
    from avgzsl_bench.importers.layout import import_layout

    if path is None:
        raise AvgzslError(f"say where the features of {name} are: `avgzsl data import {name} PATH`, a folder or a zip")
    return import_layout(layout, path, files.data_root())


def _layout(name: str, features: str, split: str | None, temporal: bool) -> Any:
    data = datasets.get(name)
    if not hasattr(data, "layout"):
        raise AvgzslError(f"{name} has no files to import or imitate; `avgzsl data list` shows how each data set is had")
    return data.layout(features, split, temporal)


def _report(report: "Report") -> None:
    found = report.manifest
    typer.echo(f"{report.outcome}: {_what(found)}")
    for name, subset in found.subsets.items():
        of = f" of {subset.expected}" if subset.expected else ""
        tokens = " and ".join(f"{count} {modality}" for modality, count in subset.tokens.items())
        typer.echo(f"  {name:18} {subset.clips:6} clips{of}{f', {tokens} tokens' if tokens else ''}")
    if found.left_out:
        typer.echo(f"  left out, since the split does not use them: {_some(found.left_out)}")
    if report.short:
        typer.echo(f"  partial, so that its results never reach a table: {_some(report.short)}")
    if report.texts:
        typer.echo(f"  left alone, since class text is encoded by --encoder: {_some(report.texts)}")
    typer.echo(f"  content {found.content_sha256}")


def _what(found: "Manifest") -> str:
    temporal = ", temporal" if found.temporal else ""
    return f"{found.dataset}, features {found.features}, split {found.split}{temporal}{_marks(found)}"


def _some(lines: Sequence[str], most: int = 5) -> str:
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return ", ".join(lines[:most]) + more


def _marks(found: "Manifest") -> str:
    words = [word for word in ("synthetic", "partial") if getattr(found, word)]
    return f" ({', '.join(words)})" if words else ""


@app.command("list", epilog="Example: avgzsl data list")
def list_() -> None:
    """List data sets, what of them is in the store, and the command that gets the rest."""
    rows = [row for name in datasets.names() for row in _rows(name)]
    draw([Section(f"data in {files.data_root()}", rows, ("data set", "features", "split", "form", "state"))])
    typer.echo("to import: avgzsl data import DATASET FOLDER_OR_ZIP --features main|cls|clipclap [--temporal]")


def _rows(name: str) -> Iterator[tuple[str, ...]]:
    try:
        data = datasets.get(name)
        stored = {(found.features, found.split, found.temporal): found for _, found in _stored(name)}
    except AvgzslError as error:
        yield name, "", "", "", str(error)
        return
    wanted = dict(_wanted(data))
    for features, split, temporal in [*wanted, *(key for key in stored if key not in wanted)]:
        row = name, features, split, "temporal" if temporal else "averaged"
        if found := stored.get((features, split, temporal)):
            clips = sum(subset.clips for subset in found.subsets.values())
            yield *row, f"{clips} clips{_marks(found)}"
        elif hasattr(data, "layout"):
            yield *row, f"missing: {wanted[features, split, temporal]}"
        else:
            yield *row, "synthetic, made on the fly" if data.synthetic else "made on the fly"


def _wanted(data: "Dataset") -> "Iterator[tuple[tuple[str, str, bool], str]]":
    """(features, split, temporal) of every preset, and the flags that import it."""
    for preset, (features, split) in data.presets.items():
        yield (features, split, False), f"--features {preset}"
        if data.features[features].seconds:
            yield (features, split, True), f"--features {preset} --temporal"


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
            [
                Section(
                    f"{name}: nothing in {files.data_root()}",
                    [row[1:] for row in _rows(name)],
                    ("features", "split", "form", "", ""),
                )
            ]
        )
        return
    draw(section for folder, found in stored for section in _sections(folder, found))
    typer.echo(f"licence: {data.licence}; its classes: avgzsl show {name}")


def _sections(folder: Path, found: "Manifest") -> Iterator[Section]:
    facts = [("folder", str(folder)), ("audio, video", f"{found.audio}, {found.video}"), ("content", found.content_sha256)]
    size = sum(source.size for source in found.sources)
    facts.append(("from", f"{len(found.sources)} files, {size / 1e6:.1f} MB"))
    if found.left_out:
        facts.append(("left out", _some(found.left_out)))
    yield Section(_what(found), facts)
    tokens = {name: [", ".join(map(str, s.tokens.values()))] if s.tokens else [] for name, s in found.subsets.items()}
    rows = [
        (name, str(s.clips), str(s.expected or "not known"), *tokens[name], s.sha256[:16]) for name, s in found.subsets.items()
    ]
    yield Section("subsets", rows, ("subset", "clips", "published", *["audio, video tokens"] * found.temporal, "sha256"))


@app.command(epilog="Example: avgzsl data verify")
def verify(
    name: Annotated[
        str | None, typer.Argument(help="Data set to verify; all if left out.", autocompletion=_complete.datasets)
    ] = None,
    classes: Annotated[bool, typer.Option("--classes", help="Name every class that has no other clips.")] = False,
) -> None:
    """Verify stored features: read everything again and compare with the hashes of the import.

    Also counts the test clips whose source video stands in training too: accuracy on them is not that on new videos.
    """
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
        for line in [] if found else _overlap(folder, 10**6 if classes else 5):
            typer.echo(f"  {line}")
        problems += found
    if problems:
        raise AvgzslError(problems[0] + (f" ({len(problems) - 1} more problems)" if len(problems) > 1 else ""))


def _overlap(folder: Path, most: int) -> Iterator[str]:
    """What is to be said of test clips whose source video stands in training too."""
    from avgzsl_bench import features

    try:
        data = datasets.get(features.read_manifest(folder).dataset)
    except AvgzslError as error:  # a plugin's, on a machine without the plugin
        yield f"source videos are not known: {error}"
        return
    found = features.overlap(folder, data.source_video)
    if not found.known:
        yield "source videos are not known: each clip counts as one of its own"
        return
    what = "test clips are of a source video that also stands in training"
    rest = f"{found.seen - found.seen_trained} clips of {found.classes} classes remain"
    yield f"{found.seen_trained} of {found.seen} seen {what}; {rest}"
    if found.left_out:
        yield f"seen classes without any: {_some(found.left_out, most)}"
    if found.unseen_trained:
        yield f"{found.unseen_trained} of {found.unseen} unseen {what}"


@app.command(epilog="Example: avgzsl data synth ucf --out synthetic")
def synth(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write into; the data set's own folder is made in it.")],
    features: Preset = "main",
    temporal: Temporal = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=1, help="With --temporal: length of the longest clips; 4 if left out, real ones last about 10."),
    ] = None,
) -> None:
    """Write a full-size synthetic copy of the authors' layout, to try imports and runs without the real files."""
    from avgzsl_bench.datasets import _synth

    if seconds and not temporal:
        raise AvgzslError("--seconds goes with --temporal; add it, or leave --seconds out")
    target = _synth.write_copy(_layout(name, features, None, temporal), out, seconds or _synth.SECONDS)
    flags = f"--features {features}{' --temporal' if temporal else ''}"
    typer.echo(f"wrote synthetic features to {target}; next: avgzsl data import {name} {target} {flags}")
