"""Pictures that need the folder of a run: its weights for the learned space, its log for training curves."""

import json
import shutil
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from decided import record

import avgzsl_bench
from avgzsl_bench import datasets, records, runner
from avgzsl_bench.board import lookup
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import embedding, training

QUICK = {"epochs": 2, "batches_per_epoch": 2, "batch_size": 64, "plateau_patience": 0, "learning_rate": 0.01}
GRID = [0.1, 1.0]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """kda, searched; a method that fits classifiers; one that reads sequences; and one that learns nothing."""
    small = {"latent": 4, "generator_hidden": 8, "critic_hidden": 8, "synthetic_per_class": 4, "classifier_batch_size": 32}
    small |= {"classifier_epochs": 5, "classifier_learning_rate": 0.002, "epochs": 1, "batches_per_epoch": 1, "batch_size": 16}
    tcaf = {"depth": 1, "heads": 2, "head_width": 4, "width": 16, "feed_width": 8, "time_width": 8, "encoder_hidden": 16}
    tcaf |= {"decoder_hidden": 16, "epochs": 1, "batches_per_epoch": 1, "batch_size": 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        out = tmp_path_factory.mktemp("runs")
        avgzsl_bench.run("kda", "demo", settings=QUICK, search={"alignment_weight": GRID}, out=out, device="cpu")
        avgzsl_bench.run("f_vaegan_d2", "demo", settings=small, out=out, device="cpu")
        avgzsl_bench.run("tcaf", "demo", settings=tcaf, out=out, device="cpu")
        avgzsl_bench.run("eszsl", "demo", out=out, device="cpu")
    return out


@pytest.fixture
def kda(runs, tmp_path):
    """The folder of the kda run, as a copy to spoil."""
    (folder,) = runs.glob("kda-*")
    return shutil.copytree(folder, tmp_path / folder.name)


def read(runs, method):
    (path,) = runs.glob(f"{method}-*/record.json")
    return records.read(path)


def change(folder, **changes):
    """Change the identity or the selection in a record; returns it read again."""
    path = folder / "record.json"
    content = json.loads(path.read_text())
    for part in ("identity", "selection"):
        content[part] |= {key: value for key, value in changes.items() if key in content[part]}
    path.write_text(json.dumps(content))
    return records.read(path)


UNSEEN = [info.name for info in datasets.get("demo").classes("main") if info.role == "test_unseen"]


# the learned space


def of_decisions(own, classes):
    """Names of the classes of the clips, and of those that they are decided for among unseen ones, class by class."""
    decisions = records.decisions(own)
    names = dict(zip(np.unique(decisions.label).tolist(), own["per_class"]["name"], strict=True))
    label, decided = ([names[int(i)] for i in column] for column in (decisions.label, decisions.unseen_class))
    index = [i for name in classes for i, own_name in enumerate(label) if own_name == name]
    return [label[i] for i in index], [decided[i] for i in index]


@pytest.mark.parametrize("method", ["kda", "tcaf"])
def test_the_space_is_the_one_that_was_scored(runs, method):
    """Clips of unseen classes are nearest to the class that the record's decisions give them."""
    own = read(runs, method)
    found = embedding.space(own, embedding.rebuild(own, device="cpu"), [",".join(UNSEEN)])
    nearest = torch.cdist(torch.from_numpy(found.learned), torch.from_numpy(found.rows)).argmin(1)
    named = [[found.classes[i] for i in column] for column in (found.label, nearest)]
    assert (named[0], named[1]) == of_decisions(own, found.classes)
    assert found.unseen.all()
    assert found.shown_as == "class text"


@pytest.mark.parametrize("method", ["kda", "tcaf"])
def test_the_features_are_those_of_the_clips(runs, method):
    own = read(runs, method)
    found = embedding.space(own, embedding.rebuild(own, device="cpu"), UNSEEN[:2])
    clips = datasets.get("demo").open(None, "mapped", "main", temporal=method == "tcaf").read("test_unseen")
    ids = [i for name in found.classes for i, info in enumerate(datasets.get("demo").classes("main")) if info.name == name]
    index = np.concatenate([np.flatnonzero(clips.label == i) for i in ids])
    for given, modality in ((clips.audio, found.audio), (clips.video, found.video)):
        rows = np.stack([given.clip(i).mean(0) for i in index]) if method == "tcaf" else given[index]
        np.testing.assert_allclose(modality, rows, rtol=1e-5, atol=1e-6)


def test_a_method_that_fits_classifiers_shows_those_of_its_selected_epoch(runs):
    own = read(runs, "f_vaegan_d2")
    assert own["selection"]["classifier_epoch"] > 1
    found = embedding.space(own, embedding.rebuild(own, device="cpu"), UNSEEN)
    best = (found.learned @ found.rows.T).argmax(1)
    assert [found.classes[i] for i in best] == of_decisions(own, found.classes)[1]
    assert found.shown_as == "fitted classifier"


def test_five_seen_and_two_unseen_classes_are_drawn_by_the_seed(runs):
    own = read(runs, "kda")
    built = embedding.rebuild(own, device="cpu")
    found, again, other = (embedding.space(own, built, seed=seed) for seed in (0, 0, 1))
    assert found.unseen.tolist() == [False] * 5 + [True] * 2
    assert found.classes == again.classes
    assert found.classes != other.classes
    np.testing.assert_array_equal(found.learned, again.learned)


def test_of_many_clips_some_are_drawn(runs, monkeypatch):
    monkeypatch.setattr(embedding, "MOST", 7)
    own = read(runs, "kda")
    found = embedding.space(own, embedding.rebuild(own, device="cpu"), UNSEEN[:2])
    assert np.bincount(found.label).tolist() == [7, 7]


def test_class_names_may_contain_commas():
    ids = {"a": 0, "a, b": 1, "c": 2}
    assert embedding._split("a, b,c", ids, [*ids]) == ["a, b", "c"]
    assert embedding._split("c,a", ids, [*ids]) == ["c", "a"]


def test_the_picture_names_classes_and_is_drawn_alike_at_every_call(avgzsl, runs, tmp_path):
    files = [tmp_path / "one.svg", tmp_path / "two.svg", tmp_path / "one.png"]
    options = ["plot", "embedding", next(runs.glob("kda-*")), "--classes", ",".join(UNSEEN[:2]), "--classes", UNSEEN[3]]
    code, out, err = avgzsl(*options, "--out", files[0], "--out", files[2])
    assert (code, err) == (0, "")
    assert out.split() == [str(files[0]), str(files[2])]
    assert avgzsl(*options, "--out", files[1])[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    words = " ".join(ET.fromstring(files[0].read_bytes()).itertext())
    for word in ("kda, seed 0", "synthetic data", "audio features", "learned space", "class text", f"1  {UNSEEN[0]} (unseen)"):
        assert word in words


def test_perplexity():
    assert embedding.checked_perplexity(None, 1000) == 30
    assert embedding.checked_perplexity(None, 61) == 20
    assert embedding.checked_perplexity(12.5, 61) == 12.5
    for given, clips, message in (
        (None, 15, "15 clips are too few for t-SNE, which needs 16; name more classes"),
        (21, 61, "--perplexity 21 does not go with 61 clips; give 1 to 20, or name more classes"),
        (0.5, 61, "--perplexity 0.5 does not go with"),
        (float("nan"), 61, "--perplexity nan does not go with"),
    ):
        with pytest.raises(AvgzslError, match=message):
            embedding.checked_perplexity(given, clips)


def test_a_run_that_cannot_be_built_again(kda, runs):
    own = change(kda, features_sha256="f" * 64)
    with pytest.raises(AvgzslError, match=r"trained with features_sha256 ffffffffffffffff, and here it is [0-9a-f]{16}; bring"):
        embedding.rebuild(own, device="cpu")
    (kda / "model.safetensors").unlink()
    with pytest.raises(AvgzslError, match=rf"{kda} has no model.safetensors, from which the method is built again; give"):
        embedding.rebuild(own, device="cpu")
    with pytest.raises(AvgzslError, match="eszsl has no weights, so there is no space that it has learned; take another method"):
        embedding.rebuild(read(runs, "eszsl"), device="cpu")


def test_a_method_that_embeds_nothing(runs, monkeypatch):
    own = read(runs, "kda")
    built = embedding.rebuild(own, device="cpu")
    monkeypatch.setattr(type(built.method), "embed", Method.embed)
    with pytest.raises(AvgzslError, match=r"kda has no learned space \(Method.embed\); take another method"):
        embedding.space(own, built)


def test_features_that_are_not_there(kda):
    own = change(kda, dataset="ucf", features="selavi", encoder="hashed")
    with pytest.raises(AvgzslError, match=r"avgzsl data import ucf"):
        embedding.rebuild(own, device="cpu")


def test_classes_that_cannot_be_drawn(runs):
    own = read(runs, "kda")
    built = embedding.rebuild(own, device="cpu")
    with pytest.raises(AvgzslError, match=rf"class '{UNSEEN[0]}s' is unknown; did you mean {UNSEEN[0]}.*\? per_class in"):
        embedding.space(own, built, [UNSEEN[0] + "s"])
    built.exam.seen.remove(gone := built.exam.seen[0])
    name = built.examiner.splits.classes[gone].name
    with pytest.raises(AvgzslError, match=rf"class '{name}' has no test clips in this split"):
        embedding.space(own, built, [name])


# training curves


def test_both_stages_of_the_winner_and_what_else_was_tried(runs):
    own = read(runs, "kda")
    lines = runner.epochs(own.path.parent)
    found = training.course(own)
    winner = own["selection"]["search"]["winner"]["alignment_weight"]
    (loser,) = set(GRID) - {winner}
    for stage, number, weight in ((found.stages[0], 1, winner), (found.stages[1], 2, winner), (found.tried[0], 1, loser)):
        mine = [line for line in lines if line["stage"] == number and line["searched"] == {"alignment_weight": weight}]
        assert stage.epochs.tolist() == [line["epoch"] for line in mine]
        for name, values in stage.losses.items():
            assert values.tolist() == [line["losses"][name] for line in mine]
        assert set(stage.losses) == {"alignment", "classification"}
    scores = found.stages[0].harmonic_mean
    assert scores.tolist() == [line["harmonic_mean"] for line in lines if line["searched"]["alignment_weight"] == winner][:2]
    assert np.isnan(found.stages[1].harmonic_mean).all()
    assert scores.argmax() + 1 == found.stages[0].selected == own["selection"]["epoch"]
    assert len(found.stages[1].epochs) == own["selection"]["epoch"]
    assert len(found.tried) == 1


def logged(folder, **changes):
    """A record with a made-up log beside it: 4 epochs of stage 1, 3 of stage 2."""
    own = record(folder, selection={"epoch": 3, "learning_rate_drops": [1, 2]}, **changes)
    own["selection"]["split"] = changes.get("selected_on", "validation")
    common = {"epochs": 4, "searched": {}, "losses": {"a": 2.0}}
    lines = [{"stage": 1, "epoch": epoch, "harmonic_mean": epoch / 10, **common} for epoch in (2, 1, 3, 4)]
    lines += [{"stage": 2, "epoch": epoch, "harmonic_mean": None, **common} for epoch in (1, 2, 3)]
    (own.path.parent / runner.EPOCHS).write_text("\n".join(map(json.dumps, lines)) + '\n{"stage": 2, "epo')
    return own


def test_marks_are_the_records_and_a_torn_line_is_passed_over(tmp_path):
    first, second = training.course(logged(tmp_path)).stages
    assert (first.selected, first.drops) == (3, (1, 2))
    assert (second.selected, second.drops) == (3, (1, 2))
    assert first.harmonic_mean.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert second.epochs.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("selected_on", "drops"), [("validation", ()), ("test", (1, 2))])
def test_under_reference_rules_stage_2_has_a_schedule_of_its_own(tmp_path, selected_on, drops):
    own = logged(tmp_path, rules="reference", selected_on=selected_on)
    found = training.course(own)
    assert found.stages[0].drops == (1, 2)
    assert found.stages[1].drops == drops
    assert found.scored_on == selected_on


def test_the_picture_says_which_epoch_was_selected(avgzsl, tmp_path):
    own, out = logged(tmp_path), tmp_path / "a.svg"
    code, said, err = avgzsl("plot", "training", own.path.parent, "--out", out)
    assert (code, said) == (0, f"{out}\n"), err
    words = " ".join(ET.fromstring(out.read_bytes()).itertext())
    for word in ("selected epoch, 3", "learning-rate drop", "validation HM (%)", "stage 2", "synthetic data", "kda, seed 0"):
        assert word in words


def test_runs_without_training_curves(runs, tmp_path):
    own = record(tmp_path)
    with pytest.raises(
        AvgzslError, match=rf"{own.path.parent} has no log.jsonl of epochs, which a run leaves beside its record; run"
    ):
        training.course(own)
    (own.path.parent / runner.EPOCHS).write_text('{"stage": 1}\n[2]\n{"st')
    with pytest.raises(AvgzslError, match=r"has no log.jsonl of epochs"):
        training.course(own)
    with pytest.raises(AvgzslError, match="eszsl trains nothing, so it has no training curves; take another run"):
        training.course(read(runs, "eszsl"))


def test_of_several_seeds_the_first_with_what_is_needed_is_drawn(tmp_path):
    for seed in range(3):
        record(tmp_path, seed)
    groups = lookup.settings([str(tmp_path)])
    assert embedding._subjects.one_run(groups, "log.jsonl")["identity"]["seed"] == 0
    (groups[0].records[2].path.parent / "log.jsonl").touch()
    assert embedding._subjects.one_run(groups, "log.jsonl")["identity"]["seed"] == 2
    record(tmp_path, method="avca")
    with pytest.raises(AvgzslError, match=r"these are of several settings: .*; name one"):
        embedding._subjects.one_run(lookup.settings([str(tmp_path)]), "log.jsonl")


# the command


def test_bad_input_is_one_line(refused, tmp_path):
    own = record(tmp_path)
    folder = own.path.parent
    (tmp_path / "empty.json").touch()
    for arguments, said in (
        (("curve", folder, "--out", "a.gif"), "a.gif: pictures are drawn as .png, .pdf, .svg"),
        (("curve", folder, "--width", "huge"), "--width 'huge' is not known"),
        (("curve", "nobody", "--records", tmp_path), "'nobody' is no path, and no method, setting or run"),
        (("classes", folder), "accuracies of two settings are compared"),
        (("sweep", "weight", folder), "unknown setting of kda 'weight'"),
        (("training", folder), "has no log.jsonl"),
        (("embedding", folder), "has no model.safetensors"),
        (("embedding", folder, "--seed", -1), "--seed -1 is no seed; give a whole number from 0 to 4294967295"),
        (("confusion", tmp_path / "kda"), "is no path"),
        (("confusion", tmp_path / "empty.json"), "empty.json cannot be read"),
    ):
        assert said in refused("plot", *arguments)
    assert not list(tmp_path.glob("*.png"))
