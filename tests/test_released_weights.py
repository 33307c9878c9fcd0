"""`avgzsl evaluate` of the authors' checkpoints: what is loaded, in which order its class texts stand, what chooses the bias."""

import json
import os
from pathlib import Path

import elsewhere
import numpy as np
import pytest
import torch
from test_data_cli import small_copy
from tiny_models import tiny_clip as tiny_clip

from avgzsl_bench import batches, datasets, evaluate, features, files, plugins, records, scoring
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers import layout
from avgzsl_bench.text import packs
from avgzsl_bench.text.sources import Choice

RELEASED = [name for name in plugins.names("methods") if plugins.load("methods", name).load_released is not Method.load_released]
PLAIN = [name for name in RELEASED if name != "kda"]  # kda's class text is a description file


@pytest.fixture(autouse=True)
def word_vectors(own_folders):
    elsewhere.store_vectors()


class Files:
    """The authors' two checkpoints of a method on demo."""

    def __init__(self, folder, name):
        self.name = name
        self.first, self.second = elsewhere.train(name, 1), elsewhere.train(name, 2)
        self.stage1 = elsewhere.write(folder / f"{name}_score.pt", elsewhere.released(self.first.method))
        self.checkpoint = elsewhere.write(folder / f"{name}_score_ckpt_2.pt", elsewhere.released(self.second.method))

    def evaluate(self, out, **changes):
        choices = {"stage1": self.stage1, "out": out, "device": "cpu", **changes}
        return evaluate(self.name, self.checkpoint, dataset="demo", **choices)


def scores_of(trained, part, tmp_path):
    """(scores (clips, classes), class ids of columns, unseen ids, labels) of a model in memory, as arrays."""
    examiner = trained.examiner
    (tmp_path / "selection.json").write_text("{}")
    exam = examiner.validation() if part == "validation" else examiner.test(tmp_path / "selection.json")
    own = (elsewhere.SEED,)
    rows = scoring.prepare(trained.method, batches.everything(trained.stage.pool, trained.stage.text), exam.text, *own)[0]
    whole = scoring.score(trained.method, exam.clips, rows, *own)
    alone = scoring.score_modalities(trained.method, exam.clips, rows, *own)
    tables = [whole, *alone.values()]
    return [table.double().numpy() for table in tables], np.array(exam.ids), np.array(exam.unseen), exam.label


def accuracies(scores, ids, unseen, label, bias):
    """S, U, HM and ZSL by hand: the mean over classes of the share of right clips."""
    is_unseen = np.isin(ids, unseen)
    right = ids[np.argmax(scores - bias * ~is_unseen, 1)] == label
    zero_shot = ids[is_unseen][np.argmax(scores[:, is_unseen], 1)] == label
    mean = {
        key: np.mean([hits[label == i].mean() for i in ids[chosen]])
        for key, hits, chosen in (("seen", right, ~is_unseen), ("unseen", right, is_unseen), ("zero_shot", zero_shot, is_unseen))
    }
    total = mean["seen"] + mean["unseen"]
    return {**mean, "harmonic_mean": 2 * mean["seen"] * mean["unseen"] / total if total else 0.0}


def exact_best(scores, ids, unseen, label):
    """The best harmonic mean of any bias, by trying one in every interval between the clips' own."""
    is_unseen = np.isin(ids, unseen)
    points = np.unique(scores[:, ~is_unseen].max(1) - scores[:, is_unseen].max(1))
    return max(accuracies(scores, ids, unseen, label, bias)["harmonic_mean"] for bias in (points[1:] + points[:-1]) / 2)


def grid_best(scores, ids, unseen, label, grid):
    return grid[int(np.argmax([accuracies(scores, ids, unseen, label, bias)["harmonic_mean"] for bias in grid]))]


def test_every_method_of_the_family_takes_released_weights():
    assert {"ale", "apn", "avca", "avgzslnet", "cjme", "devise", "hyper_multiple", "kda", "sje", "tcaf"} <= set(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_names_are_those_of_the_golden_files(name):
    path = Path(__file__).parent / "golden" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the reference of this method was not run")
    method = elsewhere.train(name, 1).method
    with np.load(path) as arrays:
        golden = {key.removeprefix("state/") for key in arrays.files if key.startswith("state/")}
    dead = {key for key in elsewhere.released(method) if key not in golden}
    assert all(torch.equal(elsewhere.released(method)[key], torch.ones(2)) for key in dead)
    loose = {key for key in golden if key not in elsewhere.released(method)}
    assert all(key.startswith(tuple(name.removesuffix("weight") for name in dead)) for key in loose)


@pytest.mark.parametrize("name", PLAIN)
def test_released_weights_score_as_they_do_in_memory(name, tmp_path):
    own = Files(tmp_path, name)
    record = own.evaluate(tmp_path / "out")
    first, second = scores_of(own.first, "validation", tmp_path), scores_of(own.second, "test", tmp_path)
    assert (record["source"], record["status"]) == ("external weights", "complete")
    about = record["identity"]
    form = "reference" if "form" in record["settings"] else "paper"
    assert (about["form"], about["text_order"], about["rules"], about["seed"]) == (form, "reference", "corrected", None)
    selection = record["selection"]
    assert (selection["split"], selection["epoch"]) == ("validation", 3)
    assert selection["value"] == pytest.approx(exact_best(first[0][0], *first[1:]))
    expected = accuracies(second[0][0], *second[1:], selection["seen_bias"])
    assert {key: record["metrics"][key] for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", PLAIN)
def test_reference_rules_take_the_grid_and_the_mean_over_modalities(name, tmp_path):
    own = Files(tmp_path, name)
    record = own.evaluate(tmp_path / "out", rules="reference")
    tables, *exam = scores_of(own.first, "validation", tmp_path)
    assert len(tables) == (3 if name in ("avgzslnet", "cjme") else 1)
    grid = own.first.method.reference_biases
    biases = [grid_best(table, *exam, grid) for table in tables]
    assert record["selection"]["seen_bias"] == pytest.approx(np.mean(biases))
    second = scores_of(own.second, "test", tmp_path)
    expected = accuracies(second[0][0], *second[1:], record["selection"]["seen_bias"])
    assert {key: record["metrics"][key] for key in expected} == pytest.approx(expected)
    assert (record["identity"]["rules"], record["identity"]["text_order"]) == ("reference", "reference")


@pytest.fixture(scope="module")
def devise(tmp_path_factory):
    """DeViSE's two checkpoints."""
    folder = tmp_path_factory.mktemp("devise")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_DATA", str(folder / "data"))
        elsewhere.store_vectors()
        return Files(folder, "devise")


def test_devise_by_hand_from_the_files_alone(devise, tmp_path):
    """Nothing of the harness but its clips: the vectors sorted by name, distances, the grid, the test set once."""
    data = datasets.get("demo")
    splits, infos = data.open(tmp_path, "mapped", "main"), data.classes("main")
    names = [info.text_name for info in infos]
    with np.load(features.word_vectors_file("demo")) as file:
        table = dict(zip(file["names"].tolist(), file["vectors"].astype(np.float64), strict=True))

    def distances(path, clips, ids, order):
        text = np.stack([table[name] for name in order])
        weight = torch.load(path, weights_only=True)["model"]["bilinear.weight"].double().numpy()
        own = np.concatenate([clips.video, clips.audio], 1) @ weight.T
        return -np.linalg.norm(own[:, None] - text[ids], axis=2)

    roles = {role: np.array(splits.role_ids(role)) for role in ("train", "validation_unseen", "test_unseen")}
    clips = splits.load("validation_seen", "validation_unseen")
    ids = np.sort(np.concatenate([roles["train"], roles["validation_unseen"]]))
    validation = distances(devise.stage1, clips, ids, sorted(names))  # row i for class i, whose name is another
    bias = grid_best(validation, ids, roles["validation_unseen"], clips.label, np.linspace(0, 3, 16))
    (tmp_path / "selection.json").write_text("{}")
    clips = splits.unseal(tmp_path / "selection.json")
    ids = np.arange(len(infos))
    expected, joined = (
        accuracies(distances(devise.checkpoint, clips, ids, order), ids, roles["test_unseen"], clips.label, bias)
        for order in (sorted(names), names)
    )
    record = devise.evaluate(tmp_path / "out", rules="reference")
    assert record["selection"]["seen_bias"] == bias
    assert {key: record["metrics"][key] for key in expected} == pytest.approx(expected)
    assert joined["zero_shot"] != pytest.approx(expected["zero_shot"]), "text joined by name scores otherwise"


@pytest.mark.parametrize("name", ["avgzslnet", "cjme"])
def test_the_mean_of_three_biases_that_differ(name, tmp_path):
    own = Files(tmp_path, name)
    method = own.first.method
    with torch.no_grad():  # the distances of sound and of picture spread over the grid, each in its own way
        for part, factor in (("audio", 60), ("video", 20), ("text", 40)):
            linear = [layer for layer in getattr(method, f"embed_{part}") if isinstance(layer, torch.nn.Linear)][-1]
            linear.weight *= factor
            linear.bias *= factor
    elsewhere.write(own.stage1, elsewhere.released(method))
    tables, *exam = scores_of(own.first, "validation", tmp_path)
    biases = [grid_best(table, *exam, method.reference_biases) for table in tables]
    assert len({*biases}) == 3, "a mean of equal biases shows nothing"
    assert own.evaluate(tmp_path / "out", rules="reference")["selection"]["seen_bias"] == pytest.approx(np.mean(biases))


def test_the_bias_is_chosen_by_stage_1_alone(devise, tmp_path):
    chosen = devise.evaluate(tmp_path / "a")
    other = elsewhere.released(elsewhere.train("devise", 2).method)
    other["bilinear.weight"] = other["bilinear.weight"].flip(1)
    path = elsewhere.write(tmp_path / "other.pt", other)
    again = evaluate("devise", path, devise.stage1, "demo", out=tmp_path / "b", device="cpu")
    assert again["selection"] == chosen["selection"]
    assert again["metrics"]["zero_shot"] != chosen["metrics"]["zero_shot"]


@pytest.mark.parametrize("variant", [{"prefix": "module."}, {"_use_new_zipfile_serialization": False}], ids=["parallel", "old"])
def test_other_ways_of_saving_the_same_weights(devise, tmp_path, variant):
    path = elsewhere.write(tmp_path / "other.pt", elsewhere.released(devise.second.method), **variant)
    other = evaluate("devise", path, devise.stage1, "demo", out=tmp_path / "out", device="cpu")
    plain = devise.evaluate(tmp_path / "out")
    assert other["metrics"] == plain["metrics"]
    assert other["run_id"] != plain["run_id"], "another file is another record"


def test_a_bare_state_says_no_epoch(devise, tmp_path):
    torch.save(elsewhere.released(devise.second.method), tmp_path / "bare.pt")
    record = evaluate("devise", tmp_path / "bare.pt", None, "demo", bias=0.5, out=tmp_path / "out", device="cpu")
    assert record["selection"]["epoch"] is None
    assert record["metrics"]["zero_shot"] == devise.evaluate(tmp_path / "out")["metrics"]["zero_shot"]


def test_a_declared_bias_is_taken_as_it_is(devise, tmp_path, caplog):
    record = devise.evaluate(tmp_path, stage1=None, bias=0.25)
    selection = record["selection"]
    assert (selection["split"], selection["criterion"], selection["seen_bias"]) == ("declared", "declared", 0.25)
    assert (selection["value"], record["identity"]["selection"]) == (None, "declared")
    assert not [line for line in caplog.messages if "bias" in line]


def test_without_stage_1_and_bias_it_is_0_with_one_warning(devise, tmp_path, caplog):
    record = devise.evaluate(tmp_path, stage1=None)
    assert record["selection"]["seen_bias"] == 0.0
    at_0 = record["metrics"]["at_bias_0"]
    assert {key: record["metrics"][key] for key in at_0} == at_0
    assert len([line for line in caplog.messages if "neither --stage1 nor --bias is given" in line]) == 1
    assert devise.evaluate(tmp_path, stage1=None, bias=0.0)["run_id"] == record["run_id"]


def test_another_epoch_than_stage_1_selected_is_warned_of(devise, tmp_path, caplog):
    path = elsewhere.write(tmp_path / "later.pt", elsewhere.released(devise.second.method), epoch=9)
    evaluate("devise", path, devise.stage1, "demo", out=tmp_path, device="cpu")
    assert [line for line in caplog.messages if "has 9 epochs and stage 1's best 3" in line]


CHOICES = {
    "form=reference; leave form out": {"settings": {"form": "paper"}},
    "class text names by word2vec or clip+clap, kda by clip, not on names by hashed; give": {"encoder": "hashed"},
    "not on other; give --text and --encoder of one": {"text": "other"},
    "not on kda by word2vec": {"text": "kda", "encoder": "word2vec"},
    "--stage1 chooses the seen bias and --bias declares it": {"bias": 1.0},
    "choose corrected or reference": {"rules": "old"},
    "--bias nan is no number": {"bias": float("nan"), "stage1": None},
    "--name goes with --scores": {"name": "mine"},
    "--manifest goes with --scores": {"manifest": "mine.json"},
    "unknown feature set": {"features": "cls"},
    "is not to be had here": {"device": "quantum"},
    "weight_dcay": {"settings": {"weight_dcay": 1}},
}


@pytest.mark.parametrize("message", CHOICES)
def test_choices_that_the_weights_were_not_trained_with_are_refused(devise, tmp_path, message):
    with pytest.raises(AvgzslError) as error:
        devise.evaluate(tmp_path / "out", **CHOICES[message])
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


# bad files


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


def damaged(state, path):
    elsewhere.write(path, state)
    path.write_bytes(path.read_bytes()[:-400])


def lacking(state, path):
    state = {**state, "pos_emb1D": torch.zeros(2, 2)}
    elsewhere.write(path, {name: value for name, value in state.items() if name != "bilinear.weight"})


def not_finite(value):
    return lambda state, path: elsewhere.write(path, {"bilinear.weight": state["bilinear.weight"].fill_(value)})


BAD = {
    "unknown: pos_emb1D; missing: project.weight": lacking,
    "unknown: A_enc.fc.0.bias": lambda state, path: elsewhere.write(path, elsewhere.released(elsewhere.train("avca", 1).method)),
    "of another shape: project.weight": lambda state, path: elsewhere.write(path, {"bilinear.weight": torch.ones(3, 4)}),
    "for devise: these weights do not fit; give the method and settings they are of (": lambda state, path: elsewhere.write(
        path, {"bilinear.weight": state["bilinear.weight"].T}
    ),
    "is refused: it asks for posix.system": lambda state, path: torch.save({"epoch": 1, "model": state, "x": Evil()}, path),
    "bilinear.weight holds NaN or infinite values": not_finite(float("nan")),
    "weight holds NaN or infinite values; give another": not_finite(float("inf")),
    "is no readable checkpoint": damaged,
    "is no readable checkpoint; get the file again": lambda state, path: path.write_bytes(b"not a checkpoint"),
    "holds no weights (a table of names and plain tensors)": lambda state, path: torch.save({"epoch": 1, "model": [1, 2]}, path),
    "holds no weights": lambda state, path: torch.save({"epoch": 1, "model": {}}, path),
    "names and plain tensors); give": lambda state, path: torch.save({"model": {"a": torch.eye(3).to_sparse()}}, path),
    "plain tensors); give a checkpoint": lambda state, path: torch.save({"model": {"a": torch.ones(3, device="meta")}}, path),
    "give a checkpoint of the method": lambda state, path: torch.save({"model": {1: torch.ones(1)}}, path),
    "there is no file": lambda state, path: None,
}


@pytest.mark.parametrize("place", ["--checkpoint", "--stage1"])
@pytest.mark.parametrize("message", BAD)
def test_a_bad_file_is_one_line_and_leaves_nothing(devise, avgzsl, tmp_path, message, place):
    path, out = tmp_path / "bad.pt", tmp_path / "out"
    BAD[message](elsewhere.released(devise.second.method), path)
    given = {"--checkpoint": devise.checkpoint, "--stage1": devise.stage1, place: path}
    words = [word for pair in given.items() for word in pair]
    code, printed, err = avgzsl("evaluate", "-m", "devise", "-d", "demo", *words, "--out", out, "--device", "cpu")
    assert (code, printed, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")
    assert str(path) in err
    assert message in err
    assert not list(out.rglob("*"))


def test_an_old_file_with_code_in_it(devise, avgzsl, tmp_path):
    torch.save({"model": Evil()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    code, _, err = avgzsl("evaluate", "-m", "devise", "-d", "demo", "--checkpoint", tmp_path / "old.pt", "--bias", "0")
    assert (code, err.count("\n")) == (2, 1)
    assert "posix.system" in err


def test_a_method_without_released_weights_says_so(devise, tmp_path):
    for name in ("vib_gzsl", "f_vaegan_d2"):
        with pytest.raises(AvgzslError, match=r"for \w+: no released weights are known; give a model.safetensors"):
            evaluate(name, devise.checkpoint, None, "demo", bias=0, out=tmp_path / "out", device="cpu")
    assert not list((tmp_path / "out").rglob("*"))


def test_what_weights_are_of_must_be_said(devise, tmp_path):
    for method, dataset in ((None, "demo"), ("devise", None), (None, None)):
        with pytest.raises(AvgzslError, match="does not say what it is; give --method NAME and --dataset NAME"):
            evaluate(method, devise.checkpoint, devise.stage1, dataset, out=tmp_path)
    with pytest.raises(AvgzslError, match="nothing to evaluate; give --checkpoint FILE, or --scores FILE"):
        evaluate("devise", dataset="demo")


# the authors' own layout


@pytest.fixture
def ucf(tmp_path, monkeypatch, ucf_store):
    monkeypatch.setenv("AVGZSL_DATA", str(ucf_store))


@pytest.fixture(scope="module")
def ucf_store(tmp_path_factory):
    """A small synthetic copy of the authors' UCF features, imported as theirs are, and word vectors in 300 dimensions."""
    folder = tmp_path_factory.mktemp("ucf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_DATA", str(folder / "data"))
        layout.import_layout(datasets.get("ucf").layout("main", None), small_copy(folder, "main"), files.data_root())
        elsewhere.store_vectors("ucf", dim=300)
    return folder / "data"


def test_avca_on_ucf_from_the_command_line(ucf, avgzsl, tmp_path):
    own = [elsewhere.train("avca", stage, "ucf") for stage in (1, 2)]
    first, second = (
        elsewhere.write(tmp_path / f"AVCA_{stage}.pt", elsewhere.released(trained.method)) for stage, trained in enumerate(own)
    )
    words = ["evaluate", "--method", "avca", "--dataset", "ucf", "--checkpoint", second, "--stage1", first, "--device", "cpu"]
    code, out, err = avgzsl(*words, "--out", tmp_path / "out")
    assert code == 0, err
    path = Path(out.splitlines()[-1].removeprefix("record: "))
    record = records.read(path)
    assert record["status"] == "partial data", "two clips a class are not the data set"
    assert record["settings"]["form"] == "reference"
    assert record["recipe"].startswith("mercea2022")
    tables, *exam = scores_of(own[1], "test", tmp_path)
    expected = accuracies(tables[0], *exam, record["selection"]["seen_bias"])
    assert {key: record["metrics"][key] for key in expected} == pytest.approx(expected)
    stamp = path.stat().st_mtime_ns
    printed = json.loads(avgzsl(*words, "--out", tmp_path / "out", "--json")[1])
    assert (printed, path.stat().st_mtime_ns) == (record, stamp)


def test_kda_with_the_rows_of_its_description_file_as_they_lie(ucf, tiny_clip, tmp_path):
    classes = datasets.get("ucf").classes("main")
    entries = {info.name: {aspect: f"{aspect} of {info.text_name}" for aspect in packs.ASPECTS} for info in reversed(classes)}
    packs.store(packs.Pack("kda", 1, "ucf", "made up", "", entries), classes)
    text, place = "kda", {f"encoder.{key}": value for key, value in tiny_clip.items()}
    trained = elsewhere.train("kda", 2, "ucf", place, encoder="clip", text=Choice("kda"))
    path = elsewhere.write(tmp_path / "kda.pt", elsewhere.released(trained.method))
    record = evaluate("kda", path, None, "ucf", text=text, settings=place, bias=0.1, out=tmp_path / "out", device="cpu")
    assert (record["identity"]["encoder"], record["identity"]["text"]) == ("clip", "kda@1")
    tables, *exam = scores_of(trained, "test", tmp_path)
    expected = accuracies(tables[0], *exam, 0.1)
    assert {key: record["metrics"][key] for key in expected} == pytest.approx(expected)
