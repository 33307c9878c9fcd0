"""The plugin `tensorboard`: what it writes of runs, read back as TensorBoard does, and that no trouble of its own stops a run."""

import logging
import subprocess
import sys
import threading
import tomllib
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import test_example_plugin as example

from avgzsl_bench import plugins, run

pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.summary.writer import event_file_writer

FOLDER = Path(__file__).resolve().parents[1] / "plugins" / "avgzsl-tensorboard"
QUICK = {"epochs": 3, "batches_per_epoch": 2}
RESULTS = ("seen", "unseen", "harmonic_mean", "zero_shot", "ausuc")


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The plugin as pip would install it: its folder on the path, and its entry point."""
    points = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["entry-points"]["avgzsl_bench"]
    info = tmp_path / "site" / "avgzsl_tensorboard-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: avgzsl-tensorboard\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[avgzsl_bench]\ntensorboard = {points['tensorboard']}\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("AVGZSL_PLUGINS", "tensorboard")
    monkeypatch.delenv("AVGZSL_TENSORBOARD", raising=False)
    # files are read in the order of their names, which begin with the second: every file has one of its own here
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=count(1).__next__))
    plugins.registry.cache_clear()
    yield
    plugins.registry.cache_clear()
    assert not still_open()


def still_open() -> list[object]:
    """Writers that nobody closed: those that the plugin knows, and the threads that every one of them has."""
    known = sys.modules["avgzsl_tensorboard"]._open if "avgzsl_tensorboard" in sys.modules else {}
    threads = [thread for thread in threading.enumerate() if isinstance(thread, event_file_writer._AsyncWriterThread)]
    return [*known, *threads]


class Listener:
    """What every epoch was told, by stage and searched settings; optionally stops the run at one of them."""

    def __init__(self, stop=None):
        self.told, self.stop = {}, stop

    @plugins.hookspecs.hookimpl(trylast=True)
    def epoch_finished(self, run, epoch, logs):
        self.told[run["run_id"], logs["stage"], str(logs["searched"]), epoch] = logs
        if self.stop == (logs["stage"], epoch):
            raise KeyboardInterrupt


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of every scalar in one folder, as TensorBoard shows them."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def hparams(folder: Path) -> dict[str, object]:
    """The settings that the tab HPARAMS shows of a run."""
    found = EventAccumulator(str(folder))
    found.Reload()
    raw = found.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    values = plugin_data_pb2.HParamsPluginData.FromString(raw).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def stages(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def test_every_epoch_is_written_and_at_the_end_settings_beside_results(tmp_path):
    with plugins.listening(listener := Listener()):
        records = run("devise", "demo", seeds=2, settings=QUICK, out=tmp_path / "runs", device="cpu")
    for record in records:
        folder = tmp_path / "runs" / f"devise-demo-{record['run_id']}" / "tensorboard"
        assert stages(folder) == {"stage1", "stage2"}
        for stage in (1, 2):
            told = {key[3]: logs for key, logs in listener.told.items() if key[:2] == (record["run_id"], stage)}
            found = scalars(folder / f"stage{stage}")
            assert set(found) == {"loss/classification", "seconds/train", "seconds/evaluate"} | (
                {"validation/harmonic_mean"} if stage == 1 else set()
            )
            assert [step for step, _ in found["loss/classification"]] == sorted(told)
            wanted = {
                "loss/classification": [logs["losses"]["classification"] for logs in told.values()],
                "validation/harmonic_mean": [logs["harmonic_mean"] for logs in told.values()],
                "seconds/train": [logs["train_seconds"] for logs in told.values()],
            }
            for tag in set(wanted) & set(found):
                assert [value for _, value in found[tag]] == pytest.approx(wanted[tag], rel=1e-6), tag
        assert {tag: value for tag, ((_, value),) in scalars(folder).items()} == pytest.approx(
            {f"test/{name}": record["metrics"][name] for name in RESULTS}, rel=1e-6
        )
        shown = hparams(folder)
        assert shown["seed"] == record["identity"]["seed"]
        assert shown["method"] == "devise"
        assert {name: shown[name] for name in QUICK} == QUICK
        assert shown["classification_loss.name"] == "devise"


def test_searched_settings_have_folders_of_their_own(tmp_path):
    search = {"learning_rate": [0.01, 0.001]}
    with plugins.listening(listener := Listener()):
        (record,) = run("devise", "demo", settings=QUICK, search=search, out=tmp_path, device="cpu")
    (folder,) = tmp_path.glob("*/tensorboard")
    winner = record["selection"]["search"]["winner"]["learning_rate"]
    tried = {f"stage1,learning_rate={rate}" for rate in (0.01, 0.001)}
    assert stages(folder) == {*tried, f"stage2,learning_rate={winner}"}
    for rate in (0.01, 0.001):
        told = [
            logs["losses"]["classification"]
            for key, logs in listener.told.items()
            if key[1:3] == (1, f"{{'learning_rate': {rate}}}")
        ]
        assert len(told) == 3
        assert [value for _, value in scalars(folder / f"stage1,learning_rate={rate}")["loss/classification"]] == pytest.approx(
            told
        )
    assert hparams(folder)["learning_rate"] == winner


@pytest.mark.parametrize("stop", [(1, 2), (2, 1)])
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path, stop):
    stopped = {"settings": QUICK, "out": tmp_path / "stopped", "device": "cpu"}
    with plugins.listening(Listener(stop)), pytest.raises(KeyboardInterrupt):
        run("devise", "demo", **stopped)
    run("devise", "demo", **stopped)
    (record,) = run("devise", "demo", settings=QUICK, out=tmp_path / "whole", device="cpu")
    for stage in ("stage1", "stage2"):
        first, second = (next((tmp_path / which).glob(f"*/tensorboard/{stage}")) for which in ("stopped", "whole"))
        assert len(list(first.iterdir())) == 1 + (stage == f"stage{stop[0]}"), "the case shows nothing"
        assert scalars(first)["loss/classification"] == scalars(second)["loss/classification"], "every epoch once"
    assert scalars(first.parent)["test/seen"] == [(0, pytest.approx(record["metrics"]["seen"], rel=1e-6))]


def about(folder: Path) -> dict:
    identity = dict.fromkeys(("method", "form", "dataset", "features", "split", "encoder", "text", "rules", "seed"), "x")
    return {"run_id": "0" * 16, "setting_id": "1" * 16, "identity": identity, "settings": {}, "folder": str(folder)}


def epoch(number: int, loss: float, stage: int = 1, searched: dict | None = None) -> dict:
    seconds = {"train_seconds": 1.0, "evaluate_seconds": 1.0}
    return {
        "epoch": number,
        "logs": {"stage": stage, "searched": searched or {}, "losses": {"a": loss}, "harmonic_mean": 0.5} | seconds,
    }


def test_what_is_written_twice_counts_as_it_was_the_second_time(tmp_path):
    import avgzsl_tensorboard as plugin

    told = about(tmp_path)
    for losses in ({1: 1.0, 2: 2.0, 3: 3.0}, {2: 20.0, 3: 30.0, 4: 40.0}):
        plugin.run_started(told)
        for number, loss in losses.items():
            plugin.epoch_finished(told, **epoch(number, loss))
    assert scalars(tmp_path / "tensorboard" / "stage1")["loss/a"] == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0)]
    plugin.run_started(told)


def test_two_runs_at_once_do_not_mix(tmp_path, monkeypatch):
    import avgzsl_tensorboard as plugin

    monkeypatch.setenv("AVGZSL_TENSORBOARD", str(tmp_path / "shared"))
    both = [about(tmp_path) | {"run_id": str(i) * 16} for i in (1, 2)]
    for number in (1, 2):
        for told in both:
            plugin.epoch_finished(told, **epoch(number, number * float(told["run_id"][0])))
    for told in both:
        plugin.run_failed(told, ValueError("stop"))
    found = [scalars(tmp_path / "shared" / told["run_id"] / "stage1")["loss/a"] for told in both]
    assert found == [[(1, 1.0), (2, 2.0)], [(1, 2.0), (2, 4.0)]]


def test_long_and_odd_settings_give_names_that_a_disk_takes(tmp_path):
    import avgzsl_tensorboard as plugin

    told = about(tmp_path)
    searched = [{**{f"setting_{i}": "a/b" for i in range(30)}, "last": value} for value in (1, 2)]
    for one in searched:
        plugin.epoch_finished(told, **epoch(1, 1.0, searched=one))
    plugin.run_started(told)
    names = stages(tmp_path / "tensorboard")
    assert len(names) == 2
    assert all(len(name) <= 100 for name in names)


def test_runs_may_lie_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setenv("AVGZSL_TENSORBOARD", str(tmp_path / "shared"))
    (record,) = run("eszsl", "demo", out=tmp_path / "runs", device="cpu")
    assert [path.name for path in (tmp_path / "shared").iterdir()] == [record["run_id"]]
    assert not list((tmp_path / "runs").glob("*/tensorboard"))
    own = tmp_path / "shared" / record["run_id"]
    assert stages(own) == {"stage1", "stage2"}
    assert [step for step, _ in scalars(own / "stage1")["validation/harmonic_mean"]] == [0], "nothing is trained"


def test_a_failure_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(plugins.load("methods", "devise"), "losses", lambda *_: 1 / 0)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        run("devise", "demo", settings=QUICK, out=tmp_path, device="cpu")
    (folder,) = tmp_path.glob("*/tensorboard")
    found = EventAccumulator(str(folder))
    found.Reload()
    (event,) = found.Tensors("error/text_summary")
    assert event.tensor_proto.string_val == [b"ZeroDivisionError: division by zero"]


# trouble


def test_a_folder_that_cannot_be_made_stops_no_run(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AVGZSL_TENSORBOARD", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        (record,) = run("eszsl", "demo", out=tmp_path / "runs", device="cpu")
    assert record["status"] == "complete"
    said = [message.getMessage() for message in caplog.records if "tensorboard" in message.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("plugin tensorboard failed in epoch_finished and is left out of this run: ")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_disk_that_fails_stops_no_run_and_leaves_no_file_open(tmp_path, monkeypatch, caplog):
    written, write = [], event_file_writer.RecordWriter.write

    def full(writer, data):
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        written.append(write(writer, data))

    monkeypatch.setattr(event_file_writer.RecordWriter, "write", full)
    with caplog.at_level(logging.WARNING):
        (record,) = run("devise", "demo", settings=QUICK, out=tmp_path, device="cpu")
    assert record["status"] == "complete"
    assert len(written) == 5, "the case shows nothing"
    assert len([message for message in caplog.records if "No space left on device" in message.getMessage()]) == 1
    assert still_open() == []


def test_a_loss_that_cannot_be_written_leaves_no_writer_open(tmp_path):
    import avgzsl_tensorboard as plugin

    with pytest.raises(Exception, match="str"):
        plugin.epoch_finished(about(tmp_path), **epoch(1, "a text"))
    assert still_open() == []


# as it is installed


def test_the_plugin_is_short_and_imports_nothing_heavy():
    file = FOLDER / "avgzsl_tensorboard" / "__init__.py"
    assert len(file.read_text().splitlines()) < 100
    code = "import sys, avgzsl_tensorboard; assert not {'torch', 'tensorboard', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=FOLDER).returncode == 0


def test_it_installs_and_is_listed(tmp_path):
    copy = tmp_path / "source"
    for file in (file for file in FOLDER.rglob("*") if file.suffix in (".py", ".toml", ".md")):
        (copy / file.relative_to(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
        (copy / file.relative_to(FOLDER)).write_bytes(file.read_bytes())
    example.install(copy, tmp_path / "own")
    listed = example.avgzsl(tmp_path / "own", "plugin", "list")
    assert "avgzsl-tensorboard 0.1.0" in listed.stdout, listed.stderr
