"""The two-stage protocol: the test set stays sealed, the selection decides, stage 2 replays stage 1."""

import json
import os

import numpy as np
import pytest
import torch
from alone import result_of
from tables import CLASSES, write

from avgzsl_bench import batches, config, datasets, identity, layers, metrics, records, runner, training
from avgzsl_bench.contracts import Clips, Settings
from avgzsl_bench.datasets._table import Table
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.devise import MEMBER as DEVISE
from avgzsl_bench.metrics import Decisions
from avgzsl_bench.precision import PRECISIONS
from avgzsl_bench.protocols._exams import compare_scales

SMALL = {"epochs": 4, "batches_per_epoch": 5, "batch_size": 16}


def one(method="devise", out="runs", **choices):
    settings = choices.pop("settings", SMALL)
    return runner.run(method, "mini", "hashed", settings=settings, out=out, **choices)[0]


def folder_of(record, out):
    return next(path for path in out.iterdir() if path.name.endswith(record["run_id"]))


def overwrite(path, array):
    """Replace an array behind the store's back: same size, same time."""
    times = path.stat()
    np.save(path, array)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def noise_test_set(store, seed=5):
    """Replace the features and labels of the test subsets on disk."""
    rng = np.random.default_rng(seed)
    replaced = 0
    for path in sorted(store.glob("test_*.npy")):
        array = np.load(path)
        new = rng.standard_normal(array.shape).astype(array.dtype) if array.dtype.kind == "f" else rng.permutation(array)
        overwrite(path, new)
        replaced += 1
    return replaced


@pytest.mark.parametrize("method", ["devise", "eszsl"])
def test_the_test_set_decides_nothing(method, tmp_path):
    store = write(tmp_path / "table")
    settings = SMALL if method == "devise" else {}
    first = one(method, tmp_path / "a", settings=settings)
    assert noise_test_set(store) >= 4
    second = one(method, tmp_path / "b", settings=settings)
    a, b = folder_of(first, tmp_path / "a"), folder_of(second, tmp_path / "b")
    for name in ("selection.json", "model.safetensors"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    assert (a / "decisions.safetensors").read_bytes() != (b / "decisions.safetensors").read_bytes(), "the noise was not read"
    assert first["metrics"]["zero_shot"] > second["metrics"]["zero_shot"]


def test_the_test_set_opens_from_a_selection_on_disk_only(tmp_path):
    write(tmp_path / "table")
    material = identity.Material(config.resolve("devise", "mini", "hashed", settings=SMALL)[0])
    with pytest.raises(AssertionError, match="sealed"):
        material.splits.unseal(tmp_path / "selection.json")
    with pytest.raises(AssertionError, match="sealed"):
        material.splits.load("test_unseen")


def test_source_videos_of_test_clips_are_asked_for_from_a_selection_on_disk_only(tmp_path, monkeypatch):
    write(tmp_path / "table")
    asked = {}

    def watched(self, clip):
        asked[clip] = any((tmp_path / "runs").rglob("selection.json"))
        return clip

    monkeypatch.setattr(Table, "source_video", watched)
    one(out=tmp_path / "runs")
    test = {clip: late for clip, late in asked.items() if clip.startswith("synthetic-test")}
    assert len(test) == 87
    assert all(test.values()), "a test clip was looked at before the selection was written"


def test_source_videos_stand_in_the_decisions(tmp_path, monkeypatch):
    def source(self, clip):
        """Clips 0 and 1 of each class are of one video, wherever they stand; the others are their own."""
        _, subset, text, number = clip.split("-")
        return f"{text}-01" if number in "01" else f"{subset}-{text}-{number}"

    monkeypatch.setattr(Table, "source_video", source)
    write(tmp_path / "table")
    record = one(out=tmp_path / "runs")
    decisions = records.decisions(records.read(folder_of(record, tmp_path / "runs") / "record.json"))
    assert (decisions.video.dtype, decisions.shared.dtype) == (np.int32, np.bool_)
    assert decisions.shared.sum() == 2 * 11, "two clips of each seen class, none of an unseen class"
    assert len(np.unique(decisions.video)) == 87 - 15
    assert not np.isin(decisions.label[decisions.shared], decisions.label[-32:]).any(), "the unseen clips are the last"
    seen = [i for i, info in enumerate(datasets.get("mini").classes("main")) if info.role != "test_unseen"]
    own = metrics.unshared(decisions, record["selection"]["seen_bias"], seen, "corrected")
    assert record["metrics"]["unshared"] == own._asdict()
    assert (own.clips, own.classes) == (33, 11)


def test_metrics_follow_from_the_stored_decisions(tmp_path):
    from safetensors.numpy import load_file

    write(tmp_path / "table")
    record = one(out=tmp_path / "runs")
    columns = load_file(folder_of(record, tmp_path / "runs") / record["decisions"]["path"])
    assert sum(column.dtype.itemsize for column in columns.values()) <= 19, "bytes a clip"
    decisions = metrics.Decisions(**columns)
    names, unseen = record["per_class"]["name"], record["per_class"]["unseen"]
    ids = sorted(set(decisions.label.tolist()))
    seen_ids = [i for i, flag in zip(ids, unseen, strict=True) if not flag]
    unseen_ids = [i for i, flag in zip(ids, unseen, strict=True) if flag]
    again = metrics.at_bias(decisions, record["selection"]["seen_bias"], seen_ids, unseen_ids, "corrected")
    assert again.harmonic_mean == record["metrics"]["harmonic_mean"]
    assert metrics.zero_shot(decisions, unseen_ids) == record["metrics"]["zero_shot"]
    assert sorted(name for name, flag in zip(names, unseen, strict=True) if flag) == sorted(CLASSES["test_unseen"])
    correct = np.array(record["per_class"]["correct_zero_shot"])[unseen] / np.array(record["per_class"]["clips"])[unseen]
    assert correct.mean() == pytest.approx(record["metrics"]["zero_shot"])
    assert record["metrics"]["unseen"] <= record["metrics"]["zero_shot"]


def test_stage_2_runs_the_selected_epochs_and_replays_the_drops(tmp_path):
    from avgzsl_bench import plugins

    class Watch:
        seen: list = []  # noqa: RUF012

        from avgzsl_bench.hookspecs import hookimpl

        @hookimpl
        def epoch_finished(self, run, epoch, logs):
            self.seen.append((logs["stage"], epoch, logs["harmonic_mean"]))

    rates = []
    step = training.Loop._step

    def watched(loop, turn, batch):
        (trainer,) = loop.trainers
        rates.append((trainer.stage, trainer.epochs, trainer._rates()[0]))
        step(loop, turn, batch)

    write(tmp_path / "table")
    with plugins.listening(Watch()), pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "_step", watched)
        settings = {**SMALL, "epochs": 9, "plateau_patience": 0, "learning_rate": 0.02}
        record = one(out=tmp_path / "runs", settings=settings)
    chosen = record["selection"]
    assert [epoch for stage, epoch, _ in Watch.seen if stage == 2] == list(range(1, chosen["epoch"] + 1))
    values = [value for stage, _, value in Watch.seen if stage == 1]
    assert chosen["value"] == max(values)
    assert chosen["epoch"] == values.index(max(values)) + 1, "the first of the best epochs"
    by_epoch = {(stage, epoch): rate for stage, epoch, rate in rates}
    for epoch in range(1, chosen["epoch"] + 1):
        assert by_epoch[2, epoch] == pytest.approx(by_epoch[1, epoch]), "stage 1's drops are replayed"
    if chosen["learning_rate_drops"]:
        assert by_epoch[1, 1] > by_epoch[1, chosen["epoch"]]
    assert len(set(by_epoch.values())) > 1, "no drop happened: the test shows nothing"


def test_a_drop_before_the_selected_epoch_is_replayed_at_its_place(tmp_path):
    from avgzsl_bench.protocols._exams import Examiner

    write(tmp_path / "table")
    values = iter([0.2, 0.1, 0.3, 0.25])  # with a patience of 0 the rate drops after epochs 2 and 4; epoch 3 is selected
    rates, step = {}, training.Loop._step

    def watched(loop, turn, batch):
        (trainer,) = loop.trainers
        rates[trainer.stage, trainer.epochs] = trainer._rates()[0]
        step(loop, turn, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "_step", watched)
        patch.setattr(Examiner, "calibrate", lambda examiner, judged, exam, biases: (0.0, next(values)))
        record = one(out=tmp_path / "runs", settings={**SMALL, "plateau_patience": 0})
    assert record["selection"]["epoch"] == 3
    assert record["selection"]["learning_rate_drops"] == [2]
    first, second = ([rates[stage, epoch] for epoch in (1, 2, 3)] for stage in (1, 2))
    assert second == pytest.approx(first)
    assert second[2] == pytest.approx(second[1] / 10)


def test_search_keeps_the_best_on_validation(tmp_path):
    write(tmp_path / "table")
    alone = {rate: one(out=tmp_path / "alone", settings={**SMALL, "learning_rate": rate}) for rate in (1e-6, 1e-2)}
    searched = one(out=tmp_path / "searched", search={"learning_rate": ["1e-6", "1e-2"]})
    values = [record["selection"]["value"] for record in alone.values()]
    assert searched["selection"]["search"]["values"] == values
    assert searched["selection"]["value"] == max(values)
    best = list(alone)[values.index(max(values))]
    assert searched["selection"]["search"]["winner"] == {"learning_rate": best}
    assert searched["metrics"] == alone[best]["metrics"]
    assert searched["run_id"] != alone[best]["run_id"]


def test_a_search_of_one_value_uses_it(tmp_path):
    write(tmp_path / "table")
    alone = one(out=tmp_path / "alone", settings={**SMALL, "learning_rate": 0.05})
    searched = one(out=tmp_path / "searched", search={"learning_rate": ["0.05"]})
    assert searched["selection"]["search"]["grid"] == [{"learning_rate": 0.05}]
    assert searched["metrics"] == alone["metrics"]


def test_a_plugin_cannot_change_what_is_recorded(tmp_path):
    from avgzsl_bench import hookspecs, plugins

    class Meddler:
        @hookspecs.hookimpl
        def run_started(self, run):
            run["identity"]["method"] = "mine"
            run["settings"].clear()

    write(tmp_path / "table")
    with plugins.listening(Meddler()):
        record = one(out=tmp_path / "runs")
    assert record["identity"]["method"] == "devise"
    assert record["settings"]
    assert (
        records.ids(record["identity"], config.resolve("devise", "mini", "hashed", settings=SMALL)[0].changed, [])[0]
        == record["run_id"]
    )


def test_an_environment_that_no_record_can_hold_is_refused_before_training(tmp_path):
    from avgzsl_bench import hookspecs, plugins

    class Careless:
        @hookspecs.hookimpl
        def update_environment(self, environment):
            environment["load"] = np.float32(0.5)

    write(tmp_path / "table")
    with plugins.listening(Careless()), pytest.raises(AvgzslError, match="update_environment"):
        one(out=tmp_path / "runs")
    assert not list((tmp_path / "runs").rglob("checkpoint.pt"))


def test_a_bug_in_one_run_does_not_stop_the_next(tmp_path, caplog):
    write(tmp_path / "table")
    step, stopped = training.Trainer.step, []

    def breaks(trainer, turn):
        if trainer.seed == 0:
            stopped.append(True)
            raise RuntimeError("a bug")
        step(trainer, turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "step", breaks)
        job = config.resolve("devise", "mini", "hashed", settings=SMALL, seeds=2)
        states = list(runner.run_job(job, runner.Options(tmp_path / "runs")))
    assert stopped
    assert "a bug" in states[0].error
    assert states[1].record
    assert "Traceback" in caplog.text, "a bug keeps its traceback"


@pytest.mark.parametrize("seeds", [0, [], ["a"], 1.5])
def test_seeds_that_name_none_are_refused(seeds):
    with pytest.raises(AvgzslError, match="seeds"):
        config.resolve("devise", "demo", seeds=seeds)


def test_the_python_api_is_the_command_line(tmp_path, avgzsl):
    import avgzsl_bench

    write(tmp_path / "table")
    common = ["-d", "mini", "-e", "hashed", "--set", "epochs=2", "--set", "batches_per_epoch=3", "--out", tmp_path / "cli"]
    assert avgzsl("run", "-m", "devise", "-m", "eszsl", "--dry-run", *common[:4], "--out", tmp_path / "cli")[0] == 0
    assert avgzsl("run", "-m", "devise", "--seeds", 2, *common)[0] == 0
    settings = {"epochs": 2, "batches_per_epoch": 3}
    found = avgzsl_bench.run("devise", "mini", "hashed", seeds=2, settings=settings, out=tmp_path / "api")
    frame = avgzsl_bench.load_records(tmp_path / "cli")
    assert sorted(frame["run_id"]) == sorted(record["run_id"] for record in found)
    assert sorted(frame["metrics.harmonic_mean"]) == sorted(record["metrics"]["harmonic_mean"] for record in found)
    assert avgzsl_bench.leaderboard(tmp_path / "api", "csv") == avgzsl_bench.leaderboard(tmp_path / "cli", "csv")
    with pytest.raises(TypeError, match="feature"):
        avgzsl_bench.run("devise", "mini", feature="own")


def test_the_same_seed_gives_the_same_result_and_another_seed_another(tmp_path):
    write(tmp_path / "table")
    first, second = one(out=tmp_path / "a"), one(out=tmp_path / "b")
    assert first["decisions"]["sha256"] == second["decisions"]["sha256"]
    other = runner.run("devise", "mini", "hashed", settings=SMALL, out=tmp_path / "a", seeds=[1])[0]
    assert other["setting_id"] == first["setting_id"]
    assert other["decisions"]["sha256"] != first["decisions"]["sha256"]


def test_what_decides_a_number_is_in_its_id(tmp_path):
    write(tmp_path / "table")
    base = config.resolve("devise", "mini", "hashed", settings=SMALL)
    first = identity.plan(base, tmp_path)[0]
    for change in ({"learning_rate": 0.5}, {"encoder.dim": 64}, {"text_normalise": "raw"}):
        other = identity.plan(config.resolve("devise", "mini", "hashed", settings=SMALL | change), tmp_path)[0]
        assert other.run_id != first.run_id, change
    write(tmp_path / "other", seed=1)
    assert identity.plan(base, tmp_path)[0].run_id != first.run_id, "other features, other run"


def test_a_class_without_test_clips_is_named(tmp_path):
    store = write(tmp_path / "table")
    label = np.load(store / "test_unseen.label.npy")
    label[label == label[0]] = label[-1]
    overwrite(store / "test_unseen.label.npy", label)
    state = next(iter(runner.run_job(config.resolve("eszsl", "mini", "hashed"), runner.Options(tmp_path / "runs"))))
    assert state.record is None
    assert "blue bird" in state.error or any(name in state.error for name in CLASSES["test_unseen"])
    failure = json.loads(next((tmp_path / "runs").rglob("failure.json")).read_text())
    assert failure["error"].endswith(state.error)


def test_a_diverged_loss_is_one_line(tmp_path):
    write(tmp_path / "table")
    with pytest.raises(AvgzslError, match=r"loss .* epoch .* learning_rate"):
        one(out=tmp_path / "runs", settings={**SMALL, "learning_rate": 1e37})


def judged(material, contract):
    """The evaluation of one run by itself."""
    data = (material.splits, material.vectors, material.shared)
    return result_of(runner.GZSL(*data, contract.rules, PRECISIONS["float32"], contract.device).run(contract))


def test_reference_rules_use_the_published_grid_and_follow_the_training_score(tmp_path):
    """The text order is refused for hashed names, so the rules are given to the protocol itself."""
    from dataclasses import replace

    write(tmp_path / "table")
    setting = config.resolve("devise", "mini", "hashed", settings=SMALL)[0]
    material = identity.Material(setting)
    logs = []
    planned = identity.plan([setting], tmp_path / "runs")[0]
    planned.folder.mkdir(parents=True)
    contract = runner._contract(planned, torch.device("cpu"), lambda epoch, log: logs.append(log))
    found = judged(material, replace(contract, rules="reference"))
    steps = found.selection["seen_bias"] / 0.2
    assert steps == pytest.approx(round(steps))
    assert all(log["harmonic_mean"] is not None for log in logs if log["stage"] == 2), "the schedule is fed in stage 2 too"


def test_selection_on_test_is_marked_and_reports_the_epoch_it_selects(tmp_path):
    from dataclasses import replace

    write(tmp_path / "table")
    setting = config.resolve("devise", "mini", "hashed", settings=SMALL)[0]
    material = identity.Material(setting)
    planned = identity.plan([setting], tmp_path / "runs")[0]
    planned.folder.mkdir(parents=True)
    contract = runner._contract(planned, torch.device("cpu"), lambda epoch, log: None)
    contract = replace(contract, rules="reference", selection="test")
    found = judged(material, contract)
    assert found.selection["split"] == "test"
    assert found.selection["value"] == pytest.approx(found.metrics["harmonic_mean"])


def test_sampling_is_class_uniform_with_negatives_of_other_classes():
    label = np.repeat([3, 5, 9], [2, 50, 400])
    clips = Clips(np.zeros((452, 2), np.float32), np.zeros((452, 2), np.float32), label, ())
    data = batches.pool(clips, [3, 5, 9], torch.device("cpu"))
    index, negative = batches.draw(data, 30_000, torch.tensor(layers.key_of(1), dtype=torch.int32))
    share = torch.bincount(data.label[index]).double() / 30_000
    assert torch.allclose(share, torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.015)
    within = torch.bincount(index[data.label[index] == 0], minlength=2)[:2].double()
    assert (within / within.sum() - 0.5).abs().max() < 0.03
    assert (data.label[index] != data.label[negative]).all()
    assert set(data.label[negative][data.label[index] == 0].tolist()) == {1, 2}


def test_a_training_class_without_clips_is_an_error():
    clips = Clips(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32), np.array([3, 3]), ())
    with pytest.raises(AvgzslError, match="without clips"):
        batches.pool(clips, [3, 5], torch.device("cpu"))


def test_initial_weights_follow_from_the_seed_alone():
    from avgzsl_bench.contracts import Shapes

    torch.manual_seed(123)
    shapes = Shapes(4, 6, 8, 5)
    first = training.build(DEVISE, DEVISE.Settings(), shapes, torch.device("cpu"), 7)
    torch.rand(10)
    again = training.build(DEVISE, DEVISE.Settings(), shapes, torch.device("cpu"), 7)
    other = training.build(DEVISE, DEVISE.Settings(), shapes, torch.device("cpu"), 8)
    weights = [next(iter(method.parameters())) for method in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(("first", "warns"), [(1.9, True), (2.1, False), (4.4, False), (4.6, True), (None, False)])
def test_a_changed_scale_of_the_scores_is_told(caplog, first, warns):
    zero = np.zeros(3, np.int16)
    decisions = Decisions(zero, zero, np.array([3, -2, 40], np.float32), zero, np.zeros(3, np.float32))  # scale 3
    assert compare_scales("kda, seed 0", first, decisions) == {"stage_1": first, "stage_2": 3.0}
    assert ["kda, seed 0: the scores' scale is" in message for message in caplog.messages] == [True] * warns
    compare_scales("", 100.0, decisions)
    assert len(caplog.messages) == warns, "of a floor nothing is told"


def test_records_are_read_back(tmp_path):
    write(tmp_path / "table")
    one(out=tmp_path / "runs")
    frame = records.load_records(tmp_path / "runs")
    assert len(frame) == 1
    assert frame["identity.method"][0] == "devise"
    (next((tmp_path / "runs").rglob("record.json"))).write_text("{")
    with pytest.raises(AvgzslError, match="cannot be read"):
        records.read_all(tmp_path / "runs")


def test_a_record_that_does_not_follow_from_its_decisions_is_refused(tmp_path):
    write(tmp_path / "table")
    record = one(out=tmp_path / "runs")
    path = folder_of(record, tmp_path / "runs") / "record.json"
    for name in ("harmonic_mean", "zero_shot"):
        edited = {**record, "metrics": {**record["metrics"], name: 0.99}}
        path.write_text(json.dumps(edited))
        with pytest.raises(AvgzslError, match=f"{name} 0.9900 does not follow"):
            records.read(path)
    path.write_text(json.dumps(record))
    assert records.read(path) == record
    (path.parent / "decisions.safetensors").write_bytes(b"xx")
    with pytest.raises(AvgzslError, match=r"decisions.safetensors is not the file"):
        records.read(path)


def test_settings_are_complete_in_the_record(tmp_path):
    write(tmp_path / "table")
    record = one(out=tmp_path / "runs")
    assert set(record["settings"]) == set(DEVISE.Settings.model_fields)
    assert issubclass(DEVISE.Settings, Settings)
