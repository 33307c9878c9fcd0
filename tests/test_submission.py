"""`avgzsl submit`: what may enter a leaderboard, what is found in records that were changed, and entering whole or not at all."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import elsewhere
import numpy as np
import pytest
import test_evaluate
from safetensors.numpy import load_file, save_file

from avgzsl_bench import config, metrics, plugins, provenance, records, submission
from avgzsl_bench.errors import AvgzslError

KEPT = Path(__file__).resolve().parents[1] / "leaderboards" / "records"
CLEAN = {"commit": "0123456789" * 4, "dirty": False, "sha256": "0" * 64}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs as a clean checkout would make them: two seeds of a short training, and one with a search."""
    from avgzsl_bench import run

    out = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "code", lambda: CLEAN)
        short = {"epochs": 1, "batches_per_epoch": 2}
        run("devise", "demo", seeds=2, settings=short, out=out / "seeds", device="cpu")
        # of a setting that the recipe of demo gives another value than its default
        search = {"batch_size": [8, 256]}
        run("devise", "demo", settings=short, search=search, out=out / "search", device="cpu")
    return out


@pytest.fixture
def runs(made, tmp_path):
    """A folder of these runs to change, and one record of it."""
    return shutil.copytree(made / "seeds", tmp_path / "runs")


@pytest.fixture
def to(tmp_path):
    return tmp_path / "leaderboards" / "records"


def first(folder: Path) -> Path:
    return sorted(folder.rglob("record.json"))[0]


def edited(path: Path, change, forge: bool = False) -> dict:
    """Change a record in place; a forger also renames it as its hash."""
    record = json.loads(path.read_text())
    change(record)
    if forge:
        rehash(record)
    path.write_text(json.dumps(record))
    return record


def rehash(record: dict) -> None:
    kind = plugins.load("methods", record["identity"]["method"])
    changed = config.differing(kind, config.settings_of("it", kind, record["settings"]))
    record["run_id"], record["setting_id"] = records.ids(record["identity"], changed, [])


def decided(path: Path, change, forge: bool = True) -> None:
    """Change decisions; a forger also writes their hash into the record."""
    file = path.with_name("decisions.safetensors")
    columns = load_file(file)
    change(columns)
    save_file(columns, file)
    if forge:
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        edited(path, lambda record: record["decisions"].update(sha256=sha))


def faults(path: Path, to: Path = Path("nowhere")) -> list[str]:
    (verdict,) = submission.check([path], to)
    assert verdict.fit == (not verdict.faults)
    assert all("\n" not in fault for fault in verdict.faults)
    return list(verdict.faults)


# records that are fit


def test_what_avgzsl_run_leaves_is_fit(avgzsl, made):
    code, out, err = avgzsl("submit", "check", made)
    assert (code, err) == (0, "3 records: 3 fit, 0 not\n")
    assert out.count(": fit; SYNTHETIC section, corrected rules, demo · mapped · main\n") == 3


def test_every_committed_record_is_fit_and_said_to_be_synthetic(monkeypatch):
    monkeypatch.chdir(KEPT.parents[1])
    found = submission.check([KEPT], KEPT)
    assert len(found) >= 100
    assert [(verdict.path, verdict.faults) for verdict in found if not verdict.fit] == []
    synthetic = [verdict for verdict in found if verdict.record["identity"]["synthetic"]]
    assert all(verdict.remarks[0].startswith("SYNTHETIC section") for verdict in synthetic)
    assert all(f"it is in {KEPT} already" in verdict.remarks for verdict in found)


def test_a_record_that_came_before_a_setting_is_fit(runs):
    path = first(runs)
    missing = "plateau_patience"
    assert missing in json.loads(path.read_text())["settings"]
    edited(path, lambda record: record["settings"].pop(missing))
    assert faults(path) == []


# records that were changed


def put(*keys, value):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


def take(*keys):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        del record[keys[-1]]

    return change


CHANGED = {
    "S": (put("metrics", "seen", value=0.5), "metrics.seen 0.5 does not follow from the decisions, which give"),
    "U": (put("metrics", "unseen", value=0.5), "metrics.unseen 0.5 does not follow"),
    "HM": (put("metrics", "harmonic_mean", value=0.5), "metrics.harmonic_mean 0.5 does not follow"),
    "ZSL": (put("metrics", "zero_shot", value=0.9), "metrics.zero_shot 0.9 does not follow"),
    "AUSUC": (put("metrics", "ausuc", value=0.9), "metrics.ausuc 0.9 does not follow"),
    "at bias 0": (put("metrics", "at_bias_0", "seen", value=0.9), "metrics.at_bias_0.seen 0.9 does not follow"),
    "oracle": (put("metrics", "oracle_harmonic_mean", value=0.9), "metrics.oracle_harmonic_mean 0.9 does not follow"),
    "score scale": (put("metrics", "score_scale", "stage_2", value=7.0), "metrics.score_scale.stage_2 7.0 does not follow"),
    "seen bias": (put("selection", "seen_bias", value=9.0), "does not follow"),
    "clips": (put("per_class", "clips", 3, value=4), "per_class.clips of .* is 4, and the decisions give"),
    "correct": (put("per_class", "correct", 3, value=99), "per_class.correct of .* is 99, and the decisions give"),
    "correct ZSL": (put("per_class", "correct_zero_shot", 0, value=99), "per_class.correct_zero_shot of .* is 99"),
    "a class": (put("per_class", "name", 0, value="dog"), "per_class.name are not the 68 test classes of demo, split main"),
    "a hash": (put("decisions", "sha256", value="0" * 64), "is not the file that its record describes"),
    "rules": (put("identity", "rules", value="reference"), "run_id .* is not the hash of its identity and settings"),
    "seed": (put("identity", "seed", value=7), "run_id .* is not the hash"),
    "a setting": (put("settings", "learning_rate", value=0.5), "run_id .* is not the hash"),
    "a setting out of range": (put("settings", "learning_rate", value=-1.0), "settings: .*learning_rate"),
    "a setting of another type": (put("settings", "epochs", value="1"), "settings are not as a run writes them"),
    "an unknown setting": (put("settings", "trick", value=1), "settings: devise has no setting 'trick'"),
    "run id": (put("run_id", value="0" * 16), "run_id 0{16} is not the hash"),
    "setting id": (put("setting_id", value="0" * 16), "setting_id 0{16} is not the hash"),
    "status": (put("status", value="partial data"), "status is 'partial data', not complete"),
    "source": (put("source", value="guessed"), "source is 'guessed'; a leaderboard takes"),
    "own weights": (put("source", value="own weights"), "submit the record of the run that left them"),
    "selection": (put("selection", "split", value="test"), "selection.split is 'test', and identity.selection 'validation'"),
    "declared": (put("selection", "split", value="declared"), "selection.split is 'declared', and a run selects on validation"),
    "changed code": (put("environment", "code", "dirty", value=True), "environment.code.dirty is not false"),
    "unknown change": (put("environment", "code", "dirty", value=None), "environment.code.dirty is not false"),
    "no commit": (put("environment", "code", "commit", value=None), "environment.code.commit is not known"),
    "schema": (put("schema", value=99), "has schema 99, this version reads 1"),
    "a path": (put("environment", "data", value="/home/jane/features"), "environment.data names a path or a machine"),
    "a drive": (put("environment", "data", value="C:\\Users\\jane"), "environment.data names a path or a machine"),
    "a home": (put("environment", "note", value="as in ~/thesis"), "environment.note names a path or a machine"),
    "a server": (put("environment", "asked", value="http://10.0.0.3:8000"), "environment.asked names a path or a machine"),
    "a key": (put("environment", "/scratch/jane", value=1), "a key of environment names a path or a machine"),
    "markup": (put("recipe", value="<b>best</b>"), "recipe is no plain text"),
    "a line break": (put("recipe", value="demo\nbest"), "recipe is no plain text"),
    "method in HTML": (put("identity", "method", value="<script>alert(1)</script>"), "method '<script>.* is no plain name"),
    "encoder": (put("identity", "encoder", value="clip+<b>"), "encoder '<b>' is no plain name"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_change_is_found(runs, what):
    change, said = CHANGED[what]
    edited(first(runs), change)
    found = faults(first(runs))
    assert [fault for fault in found if re.search(said, fault)], found


def test_every_fault_is_listed(avgzsl, runs):
    changes = ("AUSUC", "a class", "changed code", "status", "a path", "seed")
    for what in changes:
        edited(first(runs), CHANGED[what][0])
    code, out, err = avgzsl("submit", "check", runs)
    assert (code, err) == (1, "2 records: 1 fit, 1 not\n")
    lines = [line for line in out.splitlines() if line.startswith(str(first(runs)))]
    for what in changes:
        assert [line for line in lines if re.search(CHANGED[what][1], line)], what
    assert [line for line in out.splitlines() if ": fit; " in line], "the other record is fit"


def test_the_winner_of_a_search_is_the_best_candidate(made, tmp_path):
    path = first(shutil.copytree(made / "search", tmp_path / "runs"))
    record = edited(path, lambda record: record["selection"]["search"]["values"].reverse())
    assert len(set(record["selection"]["search"]["values"])) == 2, "the case shows nothing"
    assert "selection.search: its winner is not the candidate with the best value; run again" in faults(path)
    edited(path, lambda record: record["selection"]["search"]["values"].reverse())
    edited(path, put("selection", "value", value=0.99))
    assert any(fault.startswith("selection.value is 0.99, and the best value of its search 0.") for fault in faults(path))
    edited(path, lambda record: record["selection"].update(search={"grid": [], "winner": {}, "values": []}))
    assert any("selection.search.grid" in fault for fault in faults(path))


def test_the_searched_grid_is_part_of_the_run_id(made, tmp_path):
    path = first(shutil.copytree(made / "search", tmp_path / "runs"))
    assert faults(path) == []
    edited(path, lambda record: record["selection"]["search"]["grid"][1].update(batch_size=7))
    assert any(re.match("run_id .* is not the hash", fault) for fault in faults(path))


def swap_label(columns):
    columns["label"][0] = columns["label"][-1]


def miss(columns):
    """One decision that was right becomes another class of the same kind."""
    right = np.flatnonzero(columns["seen_class"] == columns["label"])[0]
    columns["seen_class"][right] = columns["seen_class"][columns["seen_class"] != columns["label"][right]][0]


def call_seen(columns):
    columns["seen_class"][0] = columns["unseen_class"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (swap_label, "per_class.clips of .* and the decisions give"),
        (miss, "per_class.correct of .* and the decisions give|does not follow"),
        (call_seen, "take an unseen class for a seen one"),
        (lambda columns: columns.update(label=columns["label"] % 7), "are not about the test classes"),
    ],
)
def test_a_decision_that_was_changed_is_found_however_well_it_is_hidden(runs, change, said):
    decided(first(runs), change, forge=False)
    assert any("is not the file that its record describes" in fault for fault in faults(first(runs)))
    sha = hashlib.sha256(first(runs).with_name("decisions.safetensors").read_bytes()).hexdigest()
    edited(first(runs), lambda record: record["decisions"].update(sha256=sha))
    found = faults(first(runs))
    assert [fault for fault in found if re.search(said, fault)], found


SPOILT = {
    "a column less": (lambda columns: columns.pop("unseen_score"), "decisions"),
    "a strange column": (lambda columns: columns.update(more=np.zeros(3, np.float32)), "decisions"),
    "a shorter column": (lambda columns: columns.update(seen_score=columns["seen_score"][:-1]), "columns of decisions"),
    "another type": (lambda columns: columns.update(label=columns["label"].astype(np.float32)), "columns of decisions"),
    "two dimensions": (lambda columns: columns.update(label=columns["label"][:, None]), "columns of decisions"),
    "a negative class": (lambda columns: columns.update(label=-columns["label"] - 1), "columns of decisions"),
    "no clips": (lambda columns: columns.update({name: column[:0] for name, column in columns.items()}), "decisions"),
    "NaN": (lambda columns: columns["seen_score"].__setitem__(0, np.nan), "the decisions hold scores that are not finite"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_spoilt_decisions_are_one_line(runs, what):
    change, said = SPOILT[what]
    decided(first(runs), change)
    (fault,) = faults(first(runs))
    assert said in fault


def test_figures_without_shared_videos_follow_from_the_decisions(runs):
    path = first(runs)
    wrong = [f"metrics.unshared.{name}" for name in ("seen", "clips", "classes")]
    decided(path, lambda columns: columns.update(shared=columns["label"] % 2 == 0))
    assert [fault.split(" ")[0] for fault in faults(path)] == wrong
    record, found = json.loads(path.read_text()), metrics.Decisions(**load_file(path.with_name("decisions.safetensors")))
    seen = np.unique(found.label)[~np.array(record["per_class"]["unseen"])]
    right = metrics.unshared(found, record["selection"]["seen_bias"], seen, "corrected")._asdict()
    edited(path, put("metrics", "unshared", value=right))
    assert faults(path) == []
    edited(path, take("metrics", "unshared"))
    assert [fault.split(" ")[0] for fault in faults(path)] == wrong


@pytest.mark.parametrize("raw", [b"", b"garbage" * 100, b"\xff" * 8])
def test_decisions_that_are_no_safetensors_are_one_line(runs, raw):
    file = first(runs).with_name("decisions.safetensors")
    file.write_bytes(raw)
    edited(first(runs), lambda record: record["decisions"].update(sha256=hashlib.sha256(raw).hexdigest()))
    assert len(faults(first(runs))) == 1


# what is known without the record


def test_demo_cannot_be_called_real(runs):
    edited(first(runs), put("identity", "synthetic", value=False), forge=True)
    assert faults(first(runs)) == ["synthetic is false, and demo is made up; restore it"]


def test_demo_cannot_be_another_data_set(runs):
    edited(first(runs), lambda record: record["identity"].update(dataset="ucf", features="selavi", synthetic=False), forge=True)
    found = faults(first(runs))
    assert "features_sha256 is that of demo, which is synthetic, and not of ucf; restore it" in found
    assert any("per_class.name are not the 51 test classes of ucf" in fault for fault in found)
    own = {"dataset": "demo", "features": "mapped", "features_sha256": "0" * 64}
    edited(first(runs), lambda record: record["identity"].update(own), forge=True)
    assert any("features_sha256 is none of those of demo here" in fault for fault in faults(first(runs)))


def committed(dataset: str, folder: Path, count: int = 1) -> list[Path]:
    """Copies of committed records."""
    found = sorted(KEPT.glob(f"kda-{dataset}-*"))[:count]
    assert len(found) == count, f"no record of kda on {dataset} is committed"
    return [shutil.copytree(path, folder / path.name) / "record.json" for path in found]


def test_features_that_others_call_synthetic_are_synthetic(tmp_path, to):
    committed("ucf", to, 2)
    (path,) = committed("ucf", tmp_path / "runs")
    edited(path, put("identity", "synthetic", value=False), forge=True)
    said = "features_sha256 is that of synthetic data, as other records say, and synthetic is false; restore it"
    assert faults(path, to) == [said]
    (honest,) = committed("ucf", tmp_path / "honest")
    assert [verdict.fit for verdict in submission.check([path, honest], tmp_path / "nowhere")] == [False, True]


def test_one_hash_is_of_one_data_set(runs, to):
    committed("ucf", to, 1)
    (stolen,) = (json.loads(path.read_text())["identity"]["features_sha256"] for path in to.rglob("record.json"))
    edited(first(runs), put("identity", "features_sha256", value=stolen), forge=True)
    assert "features_sha256 is that of ucf in other records, and here of demo; restore it" in faults(first(runs), to)


def test_clip_counts_and_roles_are_the_published_ones(tmp_path):
    (path,) = committed("ucf", tmp_path)
    assert faults(path) == []
    decided(path, lambda columns: columns.update({name: column[1:] for name, column in columns.items()}))
    record = edited(path, lambda record: record["per_class"]["clips"].__setitem__(0, record["per_class"]["clips"][0] - 1))
    name, clips = record["per_class"]["name"][0], record["per_class"]["clips"][0]
    said = f"per_class.clips of {name} is {clips}, and {clips + 1} are published; import the data again, whole"
    assert said in faults(path)
    edited(path, lambda record: record["per_class"]["unseen"].reverse())
    assert any("per_class.unseen are not the roles of the classes in ucf, split main" in fault for fault in faults(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("identity", "dataset", value="mine"), "data set 'mine' is not known here"),
        (put("identity", "dataset_revision", value="0"), "dataset_revision is 0, and demo is at 1 here"),
        (put("identity", "features", value="other"), "features 'other' are none of demo: mapped, shared"),
        (put("identity", "split", value="cls"), "split 'cls' are none of demo: main"),
        (put("identity", "method_version", value=99), "method_version is 99, and devise is at 1 here"),
        (put("identity", "loss_versions", value={"devise": 9}), "loss devise was at version 9, and is at 1 here"),
        (put("identity", "loss_versions", value={"none_such": 1}), "unknown loss 'none_such'"),
        (put("identity", "form", value="reference"), "identity.form is 'reference', and the method and its settings say 'paper'"),
        (put("identity", "known_from", value="abstract"), "identity.known_from is 'abstract'"),
        (put("identity", "temporal", value=True), "identity.temporal is True"),
        (put("identity", "combine", value="set"), "identity.combine is 'set'"),
    ],
)
def test_what_a_forger_renamed_is_found(runs, change, said):
    edited(first(runs), change, forge=True)
    found = faults(first(runs))
    assert [fault for fault in found if said in fault], found


def test_a_method_that_draws_nothing_has_one_seed(tmp_path, monkeypatch):
    from avgzsl_bench import run

    monkeypatch.setattr(provenance, "code", lambda: CLEAN)
    run("eszsl", "demo", out=tmp_path, device="cpu")
    assert faults(first(tmp_path)) == []
    edited(first(tmp_path), put("identity", "seed", value=3), forge=True)
    assert faults(first(tmp_path)) == ["seed is 3, and eszsl gives every seed the same result: only seed 0 counts"]


def test_a_copied_seed_is_found(runs, tmp_path, to):
    copy = shutil.copytree(first(runs).parent, tmp_path / "copy") / "record.json"
    edited(copy, put("identity", "seed", value=9), forge=True)
    assert faults(copy) == []
    said = f"its decisions are those of {first(runs)}, another seed of this setting; run again"
    verdicts = {verdict.path: verdict for verdict in submission.check([runs, copy], to)}
    assert verdicts[copy].faults == (said,)


def test_a_method_of_a_plugin_that_is_not_here_says_what_to_install(runs):
    edited(
        first(runs), lambda record: record["identity"].update(method="prototype", distributions={"prototype": "avgzsl-prototype"})
    )
    said = "method 'prototype' is not installed here, so run_id cannot be computed again; `pip install` avgzsl-prototype"
    assert [fault for fault in faults(first(runs)) if fault.startswith(said)]


def test_plugins_are_heard(runs):
    class Strict:
        @plugins.hookspecs.hookimpl
        def check_record(self, record):
            record["metrics"].clear()  # a copy
            return ["too good\nto be true"]

    with plugins.listening(Strict()):
        assert faults(first(runs)) == ["too good to be true"]


# what is not a run


def test_given_scores_enter_without_a_rank(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "code", lambda: CLEAN)
    _, parts = test_evaluate.tables_of(tmp_path / "eszsl")
    test_evaluate.judged(tmp_path / "chosen", parts)
    (verdict,) = submission.check([tmp_path / "chosen"], tmp_path / "nowhere")
    assert verdict.faults == ()
    assert verdict.remarks[1:] == ("no rank: external scores",)
    edited(verdict.path, lambda record: record["identity"].update(method="eszsl"))
    assert any("method 'eszsl' is one of the harness" in fault for fault in faults(verdict.path))
    edited(verdict.path, put("settings", value={"trick": 1}))
    assert any("scores of another system have none here" in fault for fault in faults(verdict.path))
    test_evaluate.judged(tmp_path / "declared", {"test": parts["test"]}, bias=0.5)
    (verdict,) = submission.check([tmp_path / "declared"], tmp_path / "nowhere")
    assert verdict.faults == ()
    assert verdict.remarks[1:] == ("no rank: external scores", "its seen bias was declared")


def test_released_weights_enter_without_a_rank_and_our_own_do_not(made, tmp_path, monkeypatch):
    from avgzsl_bench.evaluation import evaluate

    monkeypatch.setattr(provenance, "code", lambda: CLEAN)
    elsewhere.store_vectors()
    theirs = elsewhere.write(tmp_path / "devise.pt", elsewhere.released(elsewhere.train("devise", 2).method))
    evaluate("devise", theirs, dataset="demo", bias=0.1, out=tmp_path / "theirs", device="cpu")
    (verdict,) = submission.check([tmp_path / "theirs"], tmp_path / "nowhere")
    assert verdict.faults == ()
    assert verdict.remarks[1:] == ("no rank: external weights", "its seen bias was declared")
    evaluate(checkpoint=first(made / "search").with_name("model.safetensors"), out=tmp_path / "ours", device="cpu")
    assert faults(first(tmp_path / "ours")) == [
        "source is 'own weights': submit the record of the run that left them, whose numbers these are"
    ]


def test_selection_on_test_is_said(runs):
    def on_test(record):
        record["identity"].update(rules="reference", selection="test")
        record["selection"]["split"] = "test"

    edited(first(runs), on_test, forge=True)
    (verdict,) = submission.check([first(runs)], runs / "nowhere")
    assert "no rank: selected on test" in verdict.remarks
    edited(first(runs), put("identity", "rules", value="corrected"), forge=True)
    assert any("which only reference rules know" in fault for fault in faults(first(runs)))


# what cannot be read


def write(raw):
    return lambda path: path.write_bytes(raw)


def link(path):
    path.rename(path.with_name("elsewhere.json"))
    path.symlink_to("elsewhere.json")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


UNREADABLE = {
    "half written": (lambda path: path.write_bytes(path.read_bytes()[:500]), "it cannot be read: "),
    "empty": (write(b""), "it cannot be read: "),
    "a list": (write(b"[]"), "it holds list, not a record"),
    "no text": (write(b"\xff\xfe\x00"), "it cannot be read: "),
    "NaN": (write(b'{"metrics": NaN}'), "NaN is no number of JSON"),
    "a key twice": (write(b'{"run_id": 1, "run_id": 2}'), "a key stands twice in one object"),
    "nested bomb": (write(b"[" * 100_000), "it is nested too deeply|it cannot be read"),
    "nested objects": (write(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "it is nested too deeply"),
    "huge": (lambda path: os.truncate(path, 5 * 2**20), "and no record has more than"),
    "link": (link, "record.json is a link or no file"),
    "pipe": (pipe, "record.json is a link or no file"),
    "huge number": (write(b'{"run_id": ' + b"9" * 10_000 + b"}"), "it cannot be read: "),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_one_line_and_code_2(avgzsl, runs, what):
    spoil, said = UNREADABLE[what]
    spoil(first(runs))
    code, out, err = avgzsl("submit", "check", runs)
    assert (code, err) == (2, "2 records: 1 fit, 1 not\n")
    (line,) = [line for line in out.splitlines() if line.startswith(f"{first(runs)}: ")]
    assert re.search(said, line)


SHAPES = {
    "a missing part": (take("metrics", "ausuc"), ["metrics.ausuc is missing"]),
    "several": (
        lambda record: record.pop("identity") and record.pop("environment"),
        ["identity is missing", "environment is missing"],
    ),
    "a text for a number": (put("metrics", "seen", value="0.5"), ["metrics.seen='0.5': input should be a valid number"]),
    "above 1": (put("metrics", "seen", value=50.0), ["metrics.seen=50.0: input should be less than or equal to 1"]),
    "a list for a dict": (put("identity", value=[]), ["identity: input should be a valid dictionary or instance"]),
    "uneven lists": (
        lambda record: record["per_class"]["name"].pop(),
        ["per_class: value error, its lists are not equally long"],
    ),
    "unknown rules": (
        put("identity", "rules", value="mine"),
        ["identity.rules='mine': input should be 'corrected' or 'reference'"],
    ),
    "no hash": (put("run_id", value="../../etc"), ["run_id='../../etc': string should match pattern"]),
    "another file": (put("decisions", "path", value="../x"), ["decisions.path='../x': input should be 'decisions.safetensors'"]),
    "a flag as a number": (put("identity", "synthetic", value=0), ["identity.synthetic=0: input should be a valid boolean"]),
    "no decisions": (take("decisions"), ["decisions is missing"]),
}


@pytest.mark.parametrize("what", SHAPES)
def test_another_shape_is_told_part_by_part(runs, what):
    change, said = SHAPES[what]
    edited(first(runs), change)
    found = faults(first(runs))
    for line in said:
        assert [fault for fault in found if fault.startswith(line)], found
    assert found[-1] == "the rest was not looked at; restore it, or run again"


def test_decisions_that_are_gone_or_a_link_are_told(runs):
    file = first(runs).with_name("decisions.safetensors")
    file.rename(file.with_name("moved"))
    (fault,) = faults(first(runs))
    assert "decisions.safetensors cannot be read: No such file" in fault
    file.symlink_to("moved")
    (fault,) = faults(first(runs))
    assert fault.startswith("decisions.safetensors is a link or no file")


def test_folders_without_records_are_refused(refused, tmp_path):
    assert "no records at" in refused("submit", "check", tmp_path / "none")
    assert "no record.json in" in refused("submit", "check", tmp_path)
    assert "no record.json in" in refused("submit", "add", tmp_path, "--to", tmp_path / "to")
    assert not (tmp_path / "to").exists()
    (tmp_path / "other.json").write_text("{}")
    assert "other.json is not called record.json" in refused("submit", "check", tmp_path / "other.json")


def test_the_machine_is_not_named(runs, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node-17")
    edited(first(runs), put("environment", "where", value="on node-17, rack 3"))
    (fault,) = faults(first(runs))
    assert fault.startswith("environment.where names a path or a machine")


def test_json_says_the_same(avgzsl, runs):
    edited(first(runs), CHANGED["status"][0])
    sorted(runs.rglob("record.json"))[1].write_text("{")
    code, out, _ = avgzsl("submit", "check", runs, "--json")
    assert code == 2
    changed, broken = json.loads(out)
    assert (changed["fit"], changed["readable"], len(changed["faults"])) == (False, True, 1)
    assert (broken["fit"], broken["readable"], broken["run_id"]) == (False, False, None)


def test_what_a_record_says_cannot_write_to_the_terminal(avgzsl, runs):
    edited(first(runs), put("identity", "method", value="\x1b[2Jgone\u202e"))
    _, out, _ = avgzsl("submit", "check", runs)
    assert "gone" in out
    edited(sorted(runs.rglob("record.json"))[1], put("cost", "\u202e\x07away", value="no number"))
    _, more, _ = avgzsl("submit", "check", runs)
    assert "away" in more
    assert all(line.isprintable() for line in (out + more).split("\n"))


# entering


def test_records_enter_with_their_decisions_and_nothing_else(avgzsl, runs, to):
    (first(runs).parent / "tensorboard").mkdir()
    code, out, err = avgzsl("submit", "add", runs, "--to", to)
    assert code == 0
    assert "copied 2 records" in err
    assert "avgzsl leaderboard --update" in err
    sources = sorted(path.parent for path in runs.rglob("record.json"))
    assert sorted(path.name for path in to.iterdir()) == sorted(path.name for path in sources)
    for folder in sources:
        entered = to / folder.name
        assert {path.name for path in entered.iterdir()} == {"record.json", "decisions.safetensors"}
        assert all((entered / name).read_bytes() == (folder / name).read_bytes() for name in submission.KEPT)
    before = {path: path.stat().st_mtime_ns for path in to.rglob("*")}
    code, out, err = avgzsl("submit", "add", runs, "--to", to)
    assert (code, out.count(f"it is in {to} already")) == (0, 2)
    assert "nothing to copy" in err
    assert {path: path.stat().st_mtime_ns for path in to.rglob("*")} == before


def test_a_folder_of_another_name_enters_under_its_own(avgzsl, runs, to):
    right = first(runs).parent.name
    first(runs).parent.rename(runs / "best")
    assert avgzsl("submit", "add", runs / "best", "--to", to)[0] == 0
    assert [path.name for path in to.iterdir()] == [right]
    (to / right).rename(to / "best")
    assert faults(to / "best" / "record.json", to) == [f"its folder is not called {right}; rename it"]


def test_nothing_enters_when_one_is_unfit(avgzsl, runs, to):
    edited(sorted(runs.rglob("record.json"))[1], CHANGED["S"][0])
    code, out, err = avgzsl("submit", "add", runs, "--to", to)
    assert code == 1
    assert "nothing was copied" in err
    assert "does not follow" in out
    assert not to.exists()
    with pytest.raises(AvgzslError, match="is not fit to enter"):
        submission.add(submission.check([runs], to), to)
    assert not to.exists()


def test_one_run_id_has_one_record(avgzsl, runs, to, tmp_path):
    avgzsl("submit", "add", runs, "--to", to)
    edited(first(runs), put("created", value="2030-01-01T00:00:00+00:00"))
    before = {path: path.read_bytes() for path in to.rglob("*.json")}
    code, out, _ = avgzsl("submit", "add", runs, "--to", to)
    there = to / first(runs).parent.name / "record.json"
    assert (code, f"run_id is that of {there} too, which says something else; leave one of them out" in out) == (1, True)
    assert {path: path.read_bytes() for path in to.rglob("*.json")} == before
    copy = shutil.copytree(runs, tmp_path / "copy")
    verdicts = submission.check([runs, copy], tmp_path / "nowhere")
    assert [verdict.faults for verdict in verdicts] == [()] * 4, "the same record twice is one record"
    edited(first(copy), put("created", value="2031-01-01T00:00:00+00:00"))
    assert [bool(verdict.faults) for verdict in submission.check([runs, copy], tmp_path / "nowhere")] == [True, False] * 2


def test_a_disk_that_fails_leaves_no_half_record(avgzsl, runs, to, monkeypatch):
    copied = []

    def full(source, target):
        if len(copied) == 3:
            raise OSError(28, "No space left on device")
        copied.append(target.write_bytes(source.read_bytes()))

    monkeypatch.setattr(submission.shutil, "copyfile", full)
    code, _, err = avgzsl("submit", "add", runs, "--to", to)
    assert code == 2
    assert err.startswith("error: could not write")
    assert [sorted(path.name for path in folder.iterdir()) for folder in to.iterdir()] == [sorted(submission.KEPT)]


def test_what_changes_between_check_and_copy_does_not_enter(runs, to):
    verdicts = submission.check([runs], to)
    edited(first(runs), CHANGED["S"][0])
    with pytest.raises(AvgzslError, match="does not follow"):
        submission.add(verdicts, to)
    assert not (to / first(runs).parent.name).exists()


def test_a_folder_without_a_record_is_not_written_over(avgzsl, runs, to):
    own = to / first(runs).parent.name
    own.mkdir(parents=True)
    (own / "claim.json").write_text("{}")
    code, _, err = avgzsl("submit", "add", runs, "--to", to)
    assert code == 2
    assert f"{own} is there without a record" in err
    assert [path.name for path in to.iterdir()] == [own.name]
    assert [path.name for path in own.iterdir()] == ["claim.json"]
