"""The command line as a whole: help, what plugins add, what the shell completes, and the example of every verb."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import elsewhere
import pytest
import tables
from typer.main import get_command

from avgzsl_bench import cli, contracts, datasets, files, plugins
from avgzsl_bench.cli import _complete
from avgzsl_bench.datasets import _synth
from avgzsl_bench.importers import layout
from avgzsl_bench.text import kda_files, packs


def test_a_bare_group_prints_its_help_and_ends_well(avgzsl):
    for group in ([], ["data"], ["text"], ["plot"], ["submit"], ["plugin"]):
        code, out, err = avgzsl(*group)
        assert (code, err) == (0, ""), group
        assert out == avgzsl(*group, "--help")[1], group
        assert out.count("\n") > 8


# what plugins add


@pytest.fixture
def verb(monkeypatch):
    """Puts a verb into the application for one test."""
    commands = [*cli.app.registered_commands]
    monkeypatch.setattr(cli.app, "registered_commands", commands)
    return cli.app.command("stranger")


@pytest.mark.parametrize(("result", "code"), [("done", 0), ([1], 0), (None, 0), ({}, 0), (1.5, 0), (0, 0), (3, 3)])
def test_a_verb_may_return_anything(avgzsl, verb, result, code):
    verb(lambda: result)
    assert avgzsl("stranger") == (code, "", "")


# completion

SHELL = """
import sys
from avgzsl_bench.cli import main
sys.argv = ["avgzsl"]
try:
    main()
finally:
    print(*sorted({"torch", "numpy", "pandas"} & set(sys.modules)), file=sys.stderr)
"""


def completed(words: str) -> list[str]:
    """What a shell is offered for the last word, and nothing heavy imported for it."""
    shell = {"_AVGZSL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": words}
    environment = {**os.environ, **shell, "AVGZSL_PLUGINS": ""}
    done = subprocess.run([sys.executable, "-c", SHELL], capture_output=True, text=True, env=environment)
    assert done.stderr.strip() == ""
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("run --method k", ["kda"]),
        ("run --encoder h", ["hashed"]),
        ("run --dataset u", ["ucf"]),
        ("run --rules r", ["reference"]),
        ("run --selection t", ["test"]),
        ("evaluate --method avc", ["avca"]),
        ("evaluate --dataset act", ["activitynet"]),
        ("evaluate --encoder word", ["word2vec"]),
        ("evaluate --rules c", ["corrected"]),
        ("status --method esz", ["eszsl"]),
        ("status --encoder has", ["hashed"]),
        ("leaderboard --format m", ["markdown"]),
        ("compare kda esz", ["eszsl"]),
        ("leaderboard --dataset v", ["vggsound"]),
        ("plot curve kda esz", ["eszsl"]),
        ("plot curve kda --width p", ["page"]),
        ("list enc", ["encoders"]),
        ("show esz", ["eszsl"]),
        ("plugin check word", ["word2vec"]),
        ("plugin check eszsl --kind met", ["methods"]),
        ("text fetch mini", ["minilm"]),
        ("text import k", ["kda"]),
        ("text show u", ["ucf"]),
        ("text lint --text d", ["descriptions"]),
        ("text encode demo --prompts cl", ["clipclap"]),
        ("text compare ucf ha", ["hashed"]),
        ("run --text n", ["names"]),
        ("run --prompts s", ["single"]),
        ("text fetch word2vec --dataset act", ["activitynet"]),
        ("data import u", ["ucf"]),
        ("data show d", ["demo"]),
        ("data verify vgg", ["vggsound"]),
        ("data synth a", ["activitynet"]),
    ],
)
def test_the_shell_completes_names(words, offered):
    assert completed(f"avgzsl {words}") == offered


def test_ones_own_tables_are_completed(tmp_path):
    tables.write(tmp_path, name="my_table")
    assert _complete.datasets("my") == _complete.members("my") == ["my_table"]


def test_ones_own_packs_are_completed():
    folder = files.data_root() / "packs" / "demo"
    folder.mkdir(parents=True)
    (folder / "my_pack.toml").touch()
    assert _complete.texts("my") == ["my_pack"]


def test_plugins_are_completed_where_they_are_checked(monkeypatch):
    found = plugins.registry()._replace(plugins=[plugins.Plugin("zebra", "zebra 1.0", "")])
    monkeypatch.setattr(plugins, "registry", lambda: found)
    assert _complete.checkable("z") == ["zebra"]
    assert _complete.members("z") == []


def test_completed_rules_are_those_of_the_protocol():
    assert get_args(contracts.Rules) == _complete.RULES


# examples


def verbs(group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """The epilog of every command below a group, by the words that reach it."""
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= verbs(command, (*path, name))
        else:
            found[*path, name] = command.epilog or ""
    return found


EPILOGS = verbs(get_command(cli.app))
NOT_RUN = {("text", "fetch"): "gets weights from a hub where their package is not installed"}


def small_copy(folder):
    """Features in the authors' layout, of two clips a class, where the example of `data import` looks for them."""
    layout = datasets.get("ucf").layout("main", None)
    few = {subset: dict.fromkeys(known, 2) for subset, known in layout.counts.items()}
    _synth.write_copy(layout._replace(counts=few), folder)


def small_synth(monkeypatch):
    """`data synth` at two clips a class: its full size has a test of its own."""
    monkeypatch.setattr(_synth, "_counts", lambda layout: {name: dict.fromkeys(k, 2) for name, k in layout.counts.items()})


def released_weights(folder):
    """The authors' checkpoints of AVCA on UCF (ours of no worth), under the names in the example of `evaluate`."""
    small_copy(folder / "copy")
    layout.import_layout(datasets.get("ucf").layout("main", None), folder / "copy" / "UCF", files.data_root())
    elsewhere.store_vectors("ucf", dim=300)
    for stage, name in ((1, "AVCA_score.pt"), (2, "AVCA_score_ckpt_17.pt")):
        elsewhere.write(folder / name, elsewhere.released(elsewhere.train("avca", stage, "ucf").method), epoch=18)


def kda_release(folder):
    """A description file in KDA's layout, of made-up texts."""
    place = folder / "KDA" / "avgzsl_benchmark_datasets" / "UCF" / "class-split"
    place.mkdir(parents=True)
    names = [info.text_name for info in datasets.get("ucf").classes("main")]
    lines = [",".join([name, *(f"{aspect} of {name}." for aspect in packs.ASPECTS)]) for name in names]
    (place / "UCF.csv").write_text("\n".join([",".join(kda_files.HEADER), *lines]))


def committed_records(folder):
    """A record of this repository where the examples of `submit` look for runs."""
    records = Path(__file__).resolve().parents[1] / "leaderboards" / "records"
    first = sorted(records.glob("eszsl-demo-*"))[0]
    shutil.copytree(first, folder / "runs" / first.name)


def short_runs(folder, methods, **settings):
    """Runs of one step where the examples of `plot` look for them."""
    from avgzsl_bench import run

    run(methods, "demo", settings={"epochs": 1, "batches_per_epoch": 1, **settings}, out=folder / "runs", device="cpu")


@pytest.mark.parametrize("path", EPILOGS, ids=" ".join)
def test_the_example_of_every_verb_runs(avgzsl, path, tmp_path, monkeypatch):
    first, program, *words = EPILOGS[path].split() or ["none", "none"]
    assert (first, program) == ("Example:", "avgzsl"), f"{' '.join(path)} gives no example"
    assert tuple(words[: len(path)]) == path, "the example is of another verb"
    if reason := NOT_RUN.get(path):
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    if path == ("data", "import"):
        small_copy(tmp_path / "avgzsl_benchmark_datasets")
    if path == ("data", "synth"):
        small_synth(monkeypatch)
    if path == ("evaluate",):
        released_weights(tmp_path)
    if path == ("text", "import"):
        kda_release(tmp_path)
    if path[0] == "plot":
        short_runs(tmp_path, ["kda", "avca"] if path[1] in ("curve", "classes") else "kda")
    if path == ("plot", "sweep"):
        short_runs(tmp_path, "kda", alignment_weight=10.0)
    if path[0] == "submit":
        committed_records(tmp_path)
    if path == ("compare",):
        (tmp_path / "leaderboards").symlink_to(Path(__file__).resolve().parents[1] / "leaderboards")
    code, out, err = avgzsl(*words)
    assert code == 0, err
    assert out.strip(), "it says nothing"


def test_the_examples_are_all_there():
    assert len(EPILOGS) >= 14
    assert {("run",), ("data", "import"), ("plugin", "new")} | set(NOT_RUN) <= set(EPILOGS)
    assert isinstance(cli.app.info.epilog, str)
    assert cli.app.info.epilog.startswith("Example: avgzsl ")


# events


class Listener:
    """Keeps what every event of a run is told."""

    def __init__(self):
        self.told = []

    @plugins.hookspecs.hookimpl
    def run_started(self, run):
        self.told.append(("run_started", run))

    @plugins.hookspecs.hookimpl
    def epoch_finished(self, run, epoch, logs):
        self.told.append(("epoch_finished", run, epoch, logs))

    @plugins.hookspecs.hookimpl
    def run_finished(self, run, record):
        self.told.append(("run_finished", run, record))


def events(out, method, **settings):
    from avgzsl_bench import run

    listener = Listener()
    with plugins.listening(listener):
        run(method, "demo", settings=settings, out=out, device="cpu")
    return listener.told


def test_events_tell_what_their_documentation_says(tmp_path):
    told = events(tmp_path, "devise", epochs=1, batches_per_epoch=2)
    assert [event[0] for event in told] == ["run_started", "epoch_finished", "epoch_finished", "run_finished"]
    for _, run, *_ in told:
        assert set(run) == {"run_id", "setting_id", "identity", "settings", "folder"}
        assert all(word in plugins.hookspecs.run_started.__doc__ for word in run)
    for stage, (_, _, epoch, logs) in enumerate(told[1:3], 1):
        timed = {"train_seconds", "evaluate_seconds"}
        assert set(logs) == {"stage", "epochs", "searched", "losses", "harmonic_mean"} | timed
        assert all(word in plugins.hookspecs.epoch_finished.__doc__ for word in logs)
        assert (logs["stage"], epoch, logs["epochs"]) == (stage, 1, 1)
    assert told[1][3]["harmonic_mean"] is not None
    assert told[2][3]["harmonic_mean"] is None, "stage 2 has nothing left to validate on"
    assert told[1][3]["train_seconds"] < told[2][3]["train_seconds"]
    assert told[3][2] == json.loads(next(tmp_path.rglob("record.json")).read_text())


def test_an_untrained_method_reports_epoch_0_of_0_once_a_stage(tmp_path):
    epochs = [event[2:] for event in events(tmp_path, "eszsl") if event[0] == "epoch_finished"]
    assert [(logs["stage"], epoch, logs["epochs"], logs["losses"]) for epoch, logs in epochs] == [(1, 0, 0, {}), (2, 0, 0, {})]
