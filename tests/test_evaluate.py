"""`avgzsl evaluate` of our own weights and of given scores, the records it leaves, and how the leaderboard shows them."""

import json
import os
import shutil
import signal
from pathlib import Path

import elsewhere
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from avgzsl_bench import (
    batches,
    board,
    datasets,
    evaluate,
    evaluation,
    files,
    leaderboard,
    load_records,
    records,
    run,
    scoring,
    training,
)
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.protocols._exams import Examiner
from avgzsl_bench.text import packs

pytest_plugins = ("tiny_models",)

QUICK = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 32}
SMALL_GAN = {"latent": 8, "generator_hidden": 16, "critic_hidden": 16, "encoder_hidden": 16, "synthetic_per_class": 4}
GAN = {**QUICK, **SMALL_GAN, "score_every": 1, "classifier_epochs": 8, "classifier_learning_rate": 0.5}
TOKENS = {"width": 16, "depth": 1, "heads": 2, "head_width": 8, "encoder_hidden": 16, "decoder_hidden": 16, "time_width": 8}
RUNS = {
    "devise": {"settings": QUICK},
    "devise, another seed": {"settings": QUICK, "seeds": [3]},
    "devise, searched": {"settings": QUICK, "search": {"learning_rate": ["0.001", "0.03"]}},
    "devise, reference rules": {"settings": QUICK, "rules": "reference", "encoder": "word2vec"},
    "devise, selected on test": {"settings": QUICK, "rules": "reference", "encoder": "word2vec", "selection": "test"},
    "avca, a loss of its own": {"settings": {**QUICK, "triplet_loss.margin": 0.5}},
    "f_vaegan_d2": {"settings": GAN},
    "tcaf": {"settings": {**QUICK, **TOKENS, "scoring_audio_tokens": 2, "scoring_video_tokens": 4}},
}


@pytest.fixture(autouse=True)
def word_vectors(own_folders):
    elsewhere.store_vectors()


def record_of(case, out):
    (record,) = run(case.split(",")[0], "demo", out=out, device="cpu", **RUNS[case])
    return record, records.place(out, record["identity"], record["run_id"])


@pytest.fixture(scope="module")
def devise(tmp_path_factory):
    """A run of DeViSE: its record and folder."""
    return record_of("devise", tmp_path_factory.mktemp("devise"))


# weights of ours


@pytest.mark.parametrize("case", RUNS)
def test_our_own_weights_give_their_record_again(case, tmp_path):
    old, folder = record_of(case, tmp_path / "runs")
    new = evaluate(checkpoint=folder / "model.safetensors", out=tmp_path / "again", device="cpu")
    assert new["metrics"] == old["metrics"]
    assert new["per_class"] == old["per_class"]
    assert new["decisions"] == old["decisions"], "byte for byte"
    assert new["selection"] == {**old["selection"], "search": None}
    assert (new["source"], new["recipe"], new["status"]) == ("own weights", old["recipe"], old["status"])
    winner = (old["selection"]["search"] or {}).get("winner", {})
    assert new["settings"] == {**old["settings"], **winner}
    kept = ("method", "rules", "form", "seed", "text_sha256", "features_sha256", "encoder", "temporal")
    assert {key: new["identity"][key] for key in kept} == {key: old["identity"][key] for key in kept}
    assert new["run_id"] != old["run_id"]
    if case == "f_vaegan_d2":
        assert new["selection"]["classifier_epoch"] < GAN["classifier_epochs"], "the last one would be taken unasked"


@pytest.mark.parametrize("case", ["devise", "f_vaegan_d2", "tcaf"])
def test_weights_of_stage_1_choose_as_the_run_did(case, tmp_path, monkeypatch):
    trainers, begin = [], training.Trainer.begin
    monkeypatch.setattr(training.Trainer, "begin", lambda trainer: trainers.append(trainer) or begin(trainer))
    settings = {**RUNS[case]["settings"], "epochs": 1}
    (old,) = run(case, "demo", out=tmp_path, device="cpu", settings=settings)
    first, _ = trainers  # one epoch a stage, so that the last weights are the selected ones
    save_file({name: value.clone() for name, value in first.method.state_dict().items()}, tmp_path / "first.safetensors")
    path = next(tmp_path.rglob("model.safetensors"))
    new = evaluate(checkpoint=path, stage1=tmp_path / "first.safetensors", out=tmp_path / "again", device="cpu")
    assert new["metrics"] == old["metrics"]
    chosen = ("split", "seen_bias", "value", *(["classifier_epoch"] if case == "f_vaegan_d2" else []))
    assert {key: new["selection"][key] for key in chosen} == {key: old["selection"][key] for key in chosen}


def test_a_searched_run_is_judged_with_the_settings_that_won(tmp_path):
    case = {"settings": QUICK, "search": {"norm_inputs": ["true", "false"]}}
    (old,) = run("devise", "demo", out=tmp_path, device="cpu", **case)
    assert old["selection"]["search"]["winner"] != {"norm_inputs": old["settings"]["norm_inputs"]}, "the case shows nothing"
    new = evaluate(checkpoint=next(tmp_path.rglob("model.safetensors")), out=tmp_path / "again", device="cpu")
    assert new["metrics"] == old["metrics"]


def test_flags_that_say_what_the_record_says_are_welcome(devise, tmp_path):
    said = {"method": "devise", "dataset": "demo", "encoder": "hashed", "features": "mapped", "split": "main", "text": "names"}
    record = evaluate(checkpoint=devise[1] / "model.safetensors", rules="corrected", out=tmp_path, device="cpu", **said)
    assert record["metrics"] == devise[0]["metrics"]


MINE = """
name = "mine"
version = 2
origin = "made up"
[demo]
hashed = ["{} is seen.", "{} is heard."]
"""


def test_files_of_texts_are_known_by_their_hash_and_not_by_their_names(tmp_path, caplog):
    ours = packs.find("descriptions", "demo", datasets.get("demo").classes("main"))
    (tmp_path / "texts-2.toml").write_text(packs.dump(ours._replace(name="mine")))
    (tmp_path / "prompts-2.toml").write_text(MINE)
    files = {"text": str(tmp_path / "texts-2.toml"), "aspects": "name,sound", "prompts": str(tmp_path / "prompts-2.toml")}
    (old,) = run("devise", "demo", out=tmp_path / "runs", device="cpu", settings=QUICK, **files)
    assert old["identity"]["text"] == "mine@1:name+sound/mine@2"
    path = next(tmp_path.rglob("model.safetensors"))
    assert evaluate(checkpoint=path, out=tmp_path / "again", device="cpu", **files)["metrics"] == old["metrics"]
    (tmp_path / "prompts-2.toml").write_text(MINE.replace("heard", "felt"))
    with pytest.raises(AvgzslError, match="trained with text_sha256"):
        evaluate(checkpoint=path, out=tmp_path / "other", device="cpu", **files)


def test_joined_encoders_are_told_where_their_weights_lie(tiny_clip_folder, tmp_path):
    settings = {**QUICK, "encoder.clip.path": str(tiny_clip_folder)}
    (old,) = run("devise", "demo", "hashed+clip", out=tmp_path / "runs", device="cpu", settings=settings)
    path, given = next(tmp_path.rglob("model.safetensors")), {"encoder.clip.path": str(tiny_clip_folder)}
    new = evaluate(checkpoint=path, settings=given, out=tmp_path / "again", device="cpu")
    assert new["metrics"] == old["metrics"]
    with pytest.raises(AvgzslError, match=r"a record, which says its encoder\.clip\.model; leave --set out"):
        evaluate(checkpoint=path, settings={**given, "encoder.clip.model": "RN50"}, out=tmp_path / "other", device="cpu")


CONTRADICTIONS = {
    "was trained with method 'devise', not 'avca'; leave --method out": {"method": "avca"},
    "was trained with dataset 'demo', not 'ucf'": {"dataset": "ucf"},
    "was trained with encoder 'hashed', not 'clip'": {"encoder": "clip"},
    "was trained with features 'mapped', not 'shared'": {"features": "shared"},
    "was trained with text 'names', not 'kda'": {"text": "kda"},
    "was trained with text 'names', not 'names:name'": {"aspects": "name"},
    "was trained with text 'names', not 'names/clipclap'": {"prompts": "clipclap"},
    "was trained with rules 'corrected', not 'reference'": {"rules": "reference"},
    "has a record, which says its dropout; leave --set out": {"settings": {"dropout": 0.1}},
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_what_the_record_contradicts_is_refused(devise, tmp_path, message):
    with pytest.raises(AvgzslError) as error:
        evaluate(checkpoint=devise[1] / "model.safetensors", out=tmp_path / "out", **CONTRADICTIONS[message])
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["features_sha256", "text_sha256", "encoder_revision", "method_version"])
def test_weights_are_scored_on_what_they_were_trained_on(devise, tmp_path, key):
    folder = shutil.copytree(devise[1], tmp_path / "old")
    record = json.loads((folder / "record.json").read_text())
    record["identity"][key] = "another"
    (folder / "record.json").write_text(json.dumps(record))
    with pytest.raises(AvgzslError, match=f"trained with {key} another, and here it is .*; bring the former back"):
        evaluate(checkpoint=folder / "model.safetensors", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_apart_from_their_record(devise, tmp_path, caplog):
    path = shutil.copy(devise[1] / "model.safetensors", tmp_path / "alone.safetensors")
    with pytest.raises(AvgzslError, match="does not say what it is; give --method NAME and --dataset NAME"):
        evaluate(checkpoint=path, out=tmp_path)
    bias = devise[0]["selection"]["seen_bias"]
    record = evaluate("devise", path, None, "demo", bias=bias, out=tmp_path, device="cpu")
    keys = ("seen", "unseen", "harmonic_mean", "zero_shot", "ausuc")
    assert {key: record["metrics"][key] for key in keys} == {key: devise[0]["metrics"][key] for key in keys}
    assert (record["identity"]["seed"], record["identity"]["form"]) == (None, "paper")
    assert not caplog.messages


def test_weights_apart_from_their_record_still_say_their_method(devise, avgzsl, tmp_path):
    shutil.copy(devise[1] / "model.safetensors", tmp_path / "model.safetensors")
    words = ("--checkpoint", tmp_path / "model.safetensors", "--dataset", "demo", "--bias", 0, "--out", tmp_path / "runs")
    code, _, error = avgzsl("evaluate", "--method", "ale", *words)
    assert (code, "holds weights of devise, not of ale" in error) == (2, True)
    assert avgzsl("evaluate", "--method", "devise", *words)[0] == 0


def test_another_kind_of_weights_beside_a_record(devise, tmp_path):
    again = evaluate(checkpoint=devise[1] / "model.safetensors", out=tmp_path, device="cpu")
    folder = records.place(tmp_path, again["identity"], again["run_id"])
    shutil.copy(devise[1] / "model.safetensors", folder)
    with pytest.raises(AvgzslError, match="lies beside the record of own weights; give it from the folder of the run"):
        evaluate(checkpoint=folder / "model.safetensors", out=tmp_path)
    pickled = elsewhere.write(tmp_path / "theirs.pt", load_file(folder / "model.safetensors"))
    with pytest.raises(AvgzslError, match="come from different code; give both stages of one training"):
        evaluate(checkpoint=devise[1] / "model.safetensors", stage1=pickled, out=tmp_path)


BAD_WEIGHTS = {
    "unknown: strange; missing: project.weight": {"strange": torch.ones(2)},
    "of another shape: project.weight": {"project.weight": torch.ones(2, 2)},
    "holds NaN or infinite values": {"project.weight": torch.full((256, 160), torch.nan)},
    "holds no weights": {},
}


@pytest.mark.parametrize("message", [*BAD_WEIGHTS, "is no readable .safetensors file"])
def test_bad_weights_of_ours_are_one_line(avgzsl, tmp_path, message):
    path, out = tmp_path / "model.safetensors", tmp_path / "out"
    if message in BAD_WEIGHTS:
        save_file(BAD_WEIGHTS[message], path)
    else:
        path.write_bytes(b"x" * 40)
    assert message in refused(avgzsl, out, "-m", "devise", "-d", "demo", "--checkpoint", path, "--bias", "0")


def refused(avgzsl, out, *words):
    code, printed, err = avgzsl("evaluate", *words, "--out", out, "--device", "cpu")
    assert (code, printed, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")
    assert not list(out.rglob("*"))
    return err


# scores


def tables_of(out, method="eszsl"):
    """(the record of a run, its scores on validation and test with the clips and classes of both)."""
    (record,) = run(method, "demo", out=out, device="cpu")
    trained = elsewhere.train_nothing(method)
    parts = {}
    for part, number in (("validation", 1), ("test", 2)):
        examiner, method, stage = trained(number)
        (out / "selection.json").write_text("{}")
        exam = examiner.validation() if part == "validation" else examiner.test(out / "selection.json")
        rows = scoring.prepare(method, batches.everything(stage.pool, stage.text), exam.text, 0)[0]
        values = scoring.score(method, exam.clips, rows, 0)
        names = {"clips": list(exam.ids_of_clips), "classes": [examiner.splits.classes[i].name for i in exam.ids]}
        parts[part] = values, names
    return record, parts


@pytest.fixture(scope="module")
def eszsl(tmp_path_factory):
    return tables_of(tmp_path_factory.mktemp("eszsl"))


def write_scores(folder, parts, manifest=True):
    """A score file and its manifest."""
    folder.mkdir(exist_ok=True)
    save_file({part: values.contiguous() for part, (values, _) in parts.items()}, folder / "mine.safetensors")
    if manifest:
        (folder / "mine.json").write_text(json.dumps({part: names for part, (_, names) in parts.items()}))
    return folder / "mine.safetensors"


def judged(folder, parts, **choices):
    return evaluate(scores=write_scores(folder, parts), name="mine", dataset="demo", out=folder, device="cpu", **choices)


def test_the_scores_of_a_run_give_its_metrics(eszsl, tmp_path):
    old, parts = eszsl
    record = judged(tmp_path, parts)
    assert record["metrics"] == old["metrics"]
    assert record["per_class"] == old["per_class"]
    assert record["decisions"] == old["decisions"]
    for key in ("split", "criterion", "seen_bias", "value"):
        assert record["selection"][key] == old["selection"][key]
    own = record["identity"]
    assert (own["method"], own["encoder"], own["text"], own["form"], own["seed"]) == ("mine", *["external"] * 3, None)
    assert (record["source"], record["recipe"], record["settings"]) == ("external scores", "external", {})
    assert own["synthetic"]
    assert own["features_sha256"] == old["identity"]["features_sha256"]


def test_rows_and_columns_may_stand_in_any_order(eszsl, tmp_path):
    old, parts = eszsl
    rng, shuffled = np.random.default_rng(0), {}
    for part, (values, names) in parts.items():
        rows, columns = rng.permutation(len(values)), rng.permutation(values.shape[1])
        other = {"clips": [names["clips"][i] for i in rows], "classes": [names["classes"][i] for i in columns]}
        shuffled[part] = values[torch.from_numpy(rows)][:, torch.from_numpy(columns)], other
    assert judged(tmp_path, shuffled)["metrics"] == old["metrics"]


def test_a_declared_bias_stands_for_validation_scores(eszsl, tmp_path):
    old, parts = eszsl
    bias = old["selection"]["seen_bias"]
    record = judged(tmp_path, {"test": parts["test"]}, bias=bias)
    scale = record["metrics"].pop("score_scale")
    assert record["metrics"] == {key: value for key, value in old["metrics"].items() if key != "score_scale"}
    assert scale["stage_1"] is None
    assert (record["selection"]["split"], record["selection"]["seen_bias"]) == ("declared", bias)
    other = judged(tmp_path, {"test": parts["test"]}, bias=bias + 1)
    assert other["run_id"] != record["run_id"]
    assert other["metrics"]["seen"] < record["metrics"]["seen"]


def test_reference_rules_take_the_grid_for_scores_too(eszsl, tmp_path):
    parts = {part: (20 * values, names) for part, (values, names) in eszsl[1].items()}
    record = judged(tmp_path, parts, rules="reference")
    assert record["selection"]["seen_bias"] in np.linspace(0, 3, 16)
    assert record["identity"]["rules"] == "reference"


def test_a_manifest_may_lie_elsewhere_and_scores_be_of_half_or_double_precision(eszsl, tmp_path):
    old, parts = eszsl
    path = write_scores(tmp_path, {part: (values.double(), names) for part, (values, names) in parts.items()})
    named = shutil.move(tmp_path / "mine.json", tmp_path / "names.json")
    record = evaluate(scores=path, manifest=named, name="mine", dataset="demo", out=tmp_path, device="cpu")
    assert record["metrics"] == old["metrics"]


def short_of_a_clip(values, names):
    return values[1:], {**names, "clips": names["clips"][1:]}


def named_again(which, place, name=None):
    def named(values, names):
        given = [*names[which]]
        given[place] = name or given[place - 1]
        return values, {**names, which: given}

    return named


def more(which):
    def longer(values, names):
        values = torch.cat([values, values[:1]]) if which == "clips" else torch.cat([values, values[:, :1]], 1)
        return values, {**names, which: [*names[which], "stranger"]}

    return longer


def spoilt(value):
    def bad(values, names):
        values = values.clone()
        values[3, 2] = value
        return values, names

    return bad


BAD_SCORES = {
    "short of a clip": (short_of_a_clip, "the {part} scores lack 1 of {clips} clips, first 'demo-"),
    "strange clip": (more("clips"), "the {part} scores hold clips that are not of this split (1, first 'stranger')"),
    "strange class": (more("classes"), "the {part} scores hold classes that are not of this split (1, first 'stranger')"),
    "clip twice": (named_again("clips", 5), "stands twice in {part}; keep one"),
    "class twice": (named_again("classes", 2), "stands twice in {part}; keep one"),
    "unknown clip": (named_again("clips", 5, "unknown"), "the {part} scores lack 1 of {clips} clips, first 'demo-"),
    "unknown class": (named_again("classes", 5, "unknown"), "the {part} scores lack 1 of {classes} classes, first "),
    "NaN": (spoilt(float("nan")), "{part} holds NaN or infinite scores, first for clip 'demo-"),
    "infinite": (spoilt(float("inf")), "{part} holds NaN or infinite scores, first for clip 'demo-"),
    "narrow": (lambda values, names: (values[:, :5], names), "its manifest wants floats of shape ({clips}, {classes})"),
    "integers": (lambda values, names: (values.long(), names), "{part} is int64 of shape ({clips}, {classes})"),
    "flat": (lambda values, names: (values.flatten(), names), "{part} is float32 of shape ("),
    "unnamed": (
        lambda values, names: (values, {"clips": []}),
        "lacks the clips and classes of '{part}'; give both as lists of texts",
    ),
    "numbered": (lambda values, names: (values, {**names, "classes": [1, 2]}), "lacks the clips and classes of '{part}'"),
}


@pytest.mark.parametrize("part", ["test", "validation"])
@pytest.mark.parametrize("case", BAD_SCORES)
def test_bad_scores_are_one_line_and_leave_nothing(eszsl, avgzsl, tmp_path, case, part):
    damage, message = BAD_SCORES[case]
    values, names = eszsl[1][part]
    path = write_scores(tmp_path / "scores", {**eszsl[1], part: damage(values, names)})
    err = refused(avgzsl, tmp_path / "out", "--scores", path, "--name", "mine", "-d", "demo")
    assert message.format(part=part, clips=len(names["clips"]), classes=len(names["classes"])) in err


SCORE_CHOICES = {
    "there are neither validation scores nor --bias": {"keep": ("test",)},
    "there are both validation scores and --bias": {"words": ("--bias", "0.5")},
    "it needs `test` (and `validation`)": {"keep": ("validation",)},
    "--name 'devise' is a method of the harness": {"name": "devise"},
    "system 'My System' is no plain name": {"name": "My System"},
    "there is no manifest": {"manifest": False},
    "--method goes with a checkpoint": {"words": ("--method", "devise")},
    "--text, --stage1 go with a checkpoint": {"words": ("--text", "names", "--stage1", "x.pt")},
    "--encoder goes with a checkpoint": {"words": ("--encoder", "clip")},
    "--set goes with a checkpoint": {"words": ("--set", "epochs=3")},
    "--rules 'old'; choose corrected or reference": {"words": ("--rules", "old")},
    "give --name NAME": {"name": ""},
    "unknown split": {"words": ("--split", "cls")},
}


@pytest.mark.parametrize("message", SCORE_CHOICES)
def test_choices_that_do_not_go_with_scores(eszsl, avgzsl, tmp_path, message):
    case = {"keep": ("test", "validation"), "name": "mine", "words": (), "manifest": True, **SCORE_CHOICES[message]}
    parts = {part: eszsl[1][part] for part in case["keep"]}
    path = write_scores(tmp_path / "scores", parts, case["manifest"])
    words = ("--scores", path, "--name", case["name"], "-d", "demo", *case["words"])
    assert message in refused(avgzsl, tmp_path / "out", *words)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "cannot be read as JSON"), ("[]", "holds no parts"), (b"\xff\xfe{}", "cannot be read as JSON")]
)
def test_a_broken_manifest(eszsl, avgzsl, tmp_path, content, message):
    path = write_scores(tmp_path / "scores", eszsl[1])
    path.with_suffix(".json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in refused(avgzsl, tmp_path / "out", "--scores", path, "--name", "mine", "-d", "demo")


def test_a_score_file_that_is_none(eszsl, avgzsl, tmp_path):
    path = write_scores(tmp_path / "scores", {**eszsl[1], "extra": (torch.ones(1), {})})
    assert "holds 'extra'" in refused(avgzsl, tmp_path / "out", "--scores", path, "--name", "mine", "-d", "demo")
    path.write_bytes(path.read_bytes()[:-100])
    assert "is no readable .safetensors" in refused(avgzsl, tmp_path / "out", "--scores", path, "--name", "mine", "-d", "demo")
    path.unlink()
    assert "there is no file" in refused(avgzsl, tmp_path / "out", "--scores", path, "--name", "mine", "-d", "demo")


# nothing half-written, nothing twice


def test_asked_again_it_only_reads(devise, tmp_path, monkeypatch):
    asked = {"checkpoint": devise[1] / "model.safetensors", "out": tmp_path, "device": "cpu"}
    first = evaluate(**asked)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.setattr(Examiner, "test", lambda *_: pytest.fail("the test set was opened again"))
    assert evaluate(**asked) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


@pytest.mark.parametrize("broken", ["selection.json", "decisions.safetensors", "record.json"])
def test_a_write_that_fails_leaves_nothing_of_it_and_all_else(devise, tmp_path, monkeypatch, broken):
    asked = {"checkpoint": devise[1] / "model.safetensors", "out": tmp_path, "device": "cpu"}
    kept = evaluate(**asked)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    write = files.write_whole

    def full(path, data):
        if path.name == broken:
            raise AvgzslError("could not write: no space")
        write(path, data)

    for module in ("records", "runner", "protocols.external"):
        monkeypatch.setattr(f"avgzsl_bench.{module}.write_whole", full)
    with pytest.raises(AvgzslError, match="no space"):
        evaluate(**asked, bias=0.3)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    monkeypatch.undo()
    assert evaluate(**asked) == kept


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill forks this process")
@pytest.mark.parametrize("after", ["selection.json", "decisions.safetensors"])
def test_killed_it_starts_again(devise, tmp_path, after):
    asked = {"checkpoint": devise[1] / "model.safetensors", "out": tmp_path, "device": "cpu"}
    child = os.fork()
    if child == 0:
        write = files.write_whole

        def killed(path, data):
            write(path, data)
            if path.name == after:
                os.kill(os.getpid(), signal.SIGKILL)

        evaluation.runner.write_whole = evaluation.external.write_whole = killed
        torch.set_num_threads(1)
        evaluate(**asked)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not list(tmp_path.rglob("record.json"))
    assert list(tmp_path.rglob(after))
    record = evaluate(**asked)
    assert record["metrics"] == devise[0]["metrics"]
    assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.rglob("claim.json"))


def test_what_another_process_makes_is_left_alone(devise, tmp_path):
    asked = {"checkpoint": devise[1] / "model.safetensors", "out": tmp_path, "device": "cpu"}
    folder = tmp_path / f"devise-demo-{evaluate(**asked)['run_id']}"
    (folder / "record.json").unlink()
    claim = {"pid": os.getppid(), "host": os.uname().nodename}
    (folder / "claim.json").write_text(json.dumps(claim))
    before = sorted(folder.iterdir())
    with pytest.raises(AvgzslError, match="is being made by another process"):
        evaluate(**asked)
    assert sorted(folder.iterdir()) == before


# the leaderboard


@pytest.fixture(scope="module")
def found(tmp_path_factory, devise, eszsl):
    """A folder of records: a run, its weights scored again (chosen and declared bias), released weights, given scores."""
    out = tmp_path_factory.mktemp("found")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVGZSL_DATA", str(out / "data"))
        elsewhere.store_vectors()
        shutil.copytree(devise[1], out / "runs" / devise[1].name)
        own = {"checkpoint": devise[1] / "model.safetensors", "out": out / "runs", "device": "cpu"}
        evaluate(**own)
        evaluate(**own, bias=0.25)
        released = [elsewhere.released(elsewhere.train("devise", stage).method) for stage in (1, 2)]
        first, second = (elsewhere.write(out / f"{stage}.pt", state) for stage, state in enumerate(released))
        evaluate("devise", second, first, "demo", out=out / "runs", device="cpu")
        judged(out / "runs", eszsl[1])
    return out / "runs"


def rows_of(found):
    return [row for row in json.loads(leaderboard(found, "json", "demo"))["rows"] if row["source"] != "published"]


def test_only_runs_are_ranked_and_nothing_is_pooled(found):
    rows = rows_of(found)
    assert sorted(row["source"] for row in rows) == [
        "external scores",
        "external weights",
        "measured",
        "own weights",
        "own weights",
    ]
    assert {row["source"]: row["tie_group"] for row in rows} == {
        "measured": 1,
        "own weights": None,
        "external weights": None,
        "external scores": None,
    }
    assert {row["n"] for row in rows} == {1}
    best = max(rows, key=lambda row: row["harmonic_mean_percent"])
    assert best["source"] == "external scores", "best by HM, and still without a rank"


def test_every_such_row_says_what_it_is(found):
    notes = {(row["source"], "declared" if "was given" in row["notes"] else ""): row["notes"] for row in rows_of(found)}
    assert notes["measured", ""] == ""
    assert notes["own weights", ""] == "Weights that `avgzsl run` left, scored again."
    assert "The seen bias was given (0.25), not chosen on validation." in notes["own weights", "declared"]
    said = "Weights trained elsewhere and evaluated here with the class-text order of the code that trained them."
    assert notes["external weights", ""] == said
    assert notes["external scores", ""] == "Scores computed elsewhere; only judged here."
    names = {row["source"]: (row["name"], row["encoder"], row["text"]) for row in rows_of(found)}
    assert names["external scores"] == ("mine", "external", "external")
    assert names["external weights"] == ("devise (reference)", "word2vec", "names@1")


@pytest.mark.parametrize("name", sorted(board.plugins.registry().members["renderers"]))
def test_every_renderer_shows_them(found, name):
    shown = leaderboard(found, name, "demo")
    assert "mine" in shown
    assert "Scores computed elsewhere" in shown or name == "csv"


def test_records_of_every_source_are_read_and_a_copy_counts_once(found, tmp_path):
    table = load_records(found)
    assert len(table) == 5
    assert table["identity.seed"].isna().sum() == 2
    copy = shutil.copytree(found, tmp_path / "copy")
    assert len(json.loads(leaderboard([found, copy], "json", "demo"))["rows"]) == len(
        json.loads(leaderboard(found, "json", "demo"))["rows"]
    )


def test_the_row_is_shown_with_its_footnote_and_record(devise, avgzsl, tmp_path):
    code, out, err = avgzsl("evaluate", "--checkpoint", devise[1] / "model.safetensors", "--out", tmp_path, "--device", "cpu")
    assert code == 0, err
    assert "own weights" in out
    assert "scored again" in out
    path = Path(out.splitlines()[-1].removeprefix("record: "))
    assert records.read(path)["metrics"] == devise[0]["metrics"]
