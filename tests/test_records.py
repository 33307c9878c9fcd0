"""Reading records: what is refused and how it is named, what is skipped, and that every number follows from its decisions."""

import json
import os
import shutil
from pathlib import Path

import decided
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import avgzsl_bench
from avgzsl_bench import calibration, files, metrics, records
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import sha256
from avgzsl_bench.records import _verified
from avgzsl_bench.records._account import account

COMMITTED = Path(__file__).resolve().parents[1] / "leaderboards" / "records"


@pytest.fixture
def whole(tmp_path):
    """The path of a record whose decisions tell source videos."""
    return with_videos(decided.record(tmp_path, seed=3).path)


def with_videos(path):
    """Say of some clips that their source video stands in training, as a run does."""
    record = records.read(path)
    found = records.decisions(record)
    video = np.arange(len(found.label), dtype=np.int32) // 2
    found = found._replace(video=video, shared=(video % 3 == 0) | (found.label == found.label[-1]))
    seen = np.unique(found.label)[~np.array(record["per_class"]["unseen"])]
    own = metrics.unshared(found, record["selection"]["seen_bias"], seen, "corrected")
    return rewrite(path, found.columns(), **{"metrics.unshared": own._asdict()})


def rewrite(path, columns=None, **changes):
    """Change entries of a record (dotted names), and its decisions together with their hash."""
    record = json.loads(path.read_text())
    if columns is not None:
        save_file(columns, path.parent / "decisions.safetensors")
        record["decisions"]["sha256"] = sha256(path.parent / "decisions.safetensors")
    for name, value in changes.items():
        *places, last = name.split(".")
        part = record
        for place in places:
            part = part[place]
        part[last] = value
    path.write_text(json.dumps(record))
    return path


def refusal(path):
    with pytest.raises(AvgzslError) as caught:
        records.read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# numbers follow from decisions


class Decided:
    """Random decisions of seen and unseen classes with gaps in the ids; few levels of scores make many ties."""

    def __init__(self, seed: int, levels: int, rules: str) -> None:
        rng = np.random.default_rng(seed)
        self.ids = np.sort(rng.choice(30, rng.integers(2, 9), replace=False))
        self.flags = rng.permutation(np.arange(len(self.ids)) < rng.integers(1, len(self.ids)))
        self.seen, self.unseen, self.rules = self.ids[~self.flags], self.ids[self.flags], rules
        label = rng.permutation(np.concatenate([self.ids, rng.choice(self.ids, 40)])).astype(np.int16)
        right = rng.random(len(label)) < 0.6
        best = [np.where(right & np.isin(label, of), label, rng.choice(of, len(label))) for of in (self.seen, self.unseen)]
        scores = (rng.integers(0, levels, (2, len(label))) / 4).astype(np.float32)
        shared = None if seed % 4 == 0 else rng.random(len(label)) < rng.choice([0.1, 0.9, 1.0])
        self.decisions = metrics.Decisions(
            label, best[0].astype(np.int16), scores[0], best[1].astype(np.int16), scores[1], shared=shared
        )

    def by_the_run(self, bias):
        """What the protocol records of these decisions."""
        given, curve = self.decisions, calibration.sweep(self.decisions, self.seen, self.unseen)
        at_0 = metrics.at_bias(given, 0.0, self.seen, self.unseen, self.rules)._asdict()
        without = metrics.unshared(given, bias, self.seen, self.rules)
        return {
            **metrics.at_bias(given, bias, self.seen, self.unseen, self.rules)._asdict(),
            "zero_shot": metrics.zero_shot(given, self.unseen),
            "ausuc": calibration.ausuc(curve),
            "oracle_harmonic_mean": calibration.oracle(curve),
            **{f"at_bias_0.{name}": value for name, value in at_0.items()},
            **({f"unshared.{name}": value for name, value in without._asdict().items()} if without else {}),
        }


@settings(max_examples=150, deadline=None)
@given(
    st.builds(Decided, st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 8, 4000]), st.sampled_from(["corrected", "reference"])),
    st.integers(-12, 12).map(lambda steps: steps / 8),
)
def test_the_account_is_that_of_the_run(given_decisions, bias):
    numbers, counts = account(given_decisions.decisions, given_decisions.flags, bias, given_decisions.rules)
    expected = given_decisions.by_the_run(bias)
    assert numbers.keys() == expected.keys()
    for name, value in expected.items():
        assert numbers[name] == (value if value is None else pytest.approx(value, abs=1e-12)), name
    by_class = metrics.per_class(
        given_decisions.decisions, bias, given_decisions.seen, given_decisions.unseen, given_decisions.rules
    )
    assert counts == {name: column.tolist() for name, column in by_class._asdict().items() if name != "id"}


def test_without_any_clip_that_could_be_right_every_number_is_zero():
    label, other = np.array([0, 1], np.int16), np.array([2, 2], np.int16)
    found = metrics.Decisions(np.append(label, other), np.array([1, 0, 0, 0], np.int16), np.zeros(4, np.float32),
                              np.array([3, 3, 3, 3], np.int16), np.zeros(4, np.float32))  # fmt: skip
    numbers, counts = account(found, np.array([False, False, True]), 0.0, "corrected")
    assert set(numbers.values()) == {0.0}
    assert counts == {"clips": [1, 1, 2], "correct": [0, 0, 0], "correct_zero_shot": [0, 0, 0]}


def test_the_committed_records_follow_from_their_decisions():
    found = records.read_all(COMMITTED)
    assert len(found) == len(list(COMMITTED.glob("*/record.json"))) > 0
    assert [record for record in found if not record.get("decisions")] == []
    assert found == [json.loads(record.path.read_text()) for record in found]


NUMBERS = [
    *("seen", "unseen", "harmonic_mean", "zero_shot", "ausuc", "oracle_harmonic_mean"),
    *("at_bias_0.seen", "at_bias_0.unseen", "at_bias_0.harmonic_mean", "unshared.seen", "unshared.clips", "unshared.classes"),
]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_was_edited_is_named(whole, name):
    before = dict(records._flat(records.read(whole)["metrics"]))[name]
    rewrite(whole, **{f"metrics.{name}": before + 1 if isinstance(before, int) else before + 1e-6})
    assert f"record {whole}: {name} " in refusal(whole)
    assert "does not follow from its decisions, which give" in refusal(whole)


@pytest.mark.parametrize("name", [*NUMBERS[:6], "at_bias_0", "unshared"])
def test_a_number_that_was_taken_out_is_named(whole, name):
    record = json.loads(whole.read_text())
    del record["metrics"][name]
    whole.write_text(json.dumps(record))
    assert f"lacks {name}" in refusal(whole)


@pytest.mark.parametrize("name", ["clips", "correct", "correct_zero_shot"])
def test_counts_of_classes_that_were_edited_are_named(whole, name):
    counts = records.read(whole)["per_class"][name]
    rewrite(whole, **{f"per_class.{name}": [counts[0] + 1, *counts[1:]]})
    assert f"per_class.{name} does not follow from its decisions" in refusal(whole)
    rewrite(whole, **{f"per_class.{name}": counts[1:]})
    assert f"per_class.{name} does not follow from its decisions" in refusal(whole)


def test_a_list_of_names_of_another_length_is_refused(whole):
    names = records.read(whole)["per_class"]["name"]
    rewrite(whole, **{"per_class.name": names[1:]})
    assert "per_class.name does not follow" in refusal(whole)


def test_shares_need_decisions_that_tell_source_videos(whole):
    columns = load_file(whole.parent / "decisions.safetensors")
    rewrite(whole, {name: columns[name] for name in columns if name not in ("video", "shared")})
    assert "unshared does not follow from its decisions, which tell no source videos" in refusal(whole)


def test_a_record_from_before_source_videos_is_read(tmp_path):
    record = decided.record(tmp_path)
    assert "unshared" not in records.read(record.path)["metrics"]
    assert records.decisions(record).shared is None


# what is no record


WRONG = {
    "metrics.seen": ["0.5", True, [0.5]],
    "metrics.unshared": [{"seen": None, "clips": 1.5, "classes": 1}, 7],
    "metrics.at_bias_0": [0.5],
    "selection.seen_bias": [None, "0.1", {}],
    "selection.search": [[], "grid"],
    "identity.rules": ["mine", None],
    "identity.method": [None, ["kda"]],
    "identity.synthetic": ["false", 0],
    "identity.seed": ["0", 0.5, True],
    "identity": [None, []],
    "settings": [[]],
    "per_class.unseen": [["false"], [0, 1], "no"],
    "per_class.clips": [[1.5], {"a": 1}],
    "per_class.name": [[1]],
    "decisions.path": ["../decisions.safetensors", "/etc/passwd", None],
    "decisions.sha256": [None],
    "run_id": [5, "", "<b>id</b>", "A" * 16, "0" * 17],
    "setting_id": [None],
    "status": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_entry_of_another_type_is_named(whole, name, value):
    rewrite(whole, **{name: value})
    assert f"record {whole}: {name}" in refusal(whole)


@pytest.mark.parametrize("key", records.KEYS)
def test_a_missing_part_is_named(whole, key):
    record = json.loads(whole.read_text())
    del record[key]
    whole.write_text(json.dumps(record))
    assert f"lacks {key}" in refusal(whole)


@pytest.mark.parametrize(
    ("place", "key"), [("selection", "seen_bias"), ("identity", "rules"), ("per_class", "unseen"), ("per_class", "name")]
)
def test_what_the_check_needs_is_named_where_it_is_missing(whole, place, key):
    record = json.loads(whole.read_text())
    del record[place][key]
    whole.write_text(json.dumps(record))
    assert f"record {whole} lacks {key}" in refusal(whole)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_an_unknown_schema_is_refused(whole, schema):
    rewrite(whole, schema=schema)
    assert f"has schema {schema!r}, this version reads 1; update avgzsl-bench" in refusal(whole)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_half_written_file_is_refused(whole, share):
    raw = whole.read_bytes().rstrip()
    whole.write_bytes(raw[: int(share * len(raw))])
    assert f"record {whole} cannot be read" in refusal(whole)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000, b"7", b'"record"', b"[]", b"null"], ids=range(6))
def test_what_is_no_json_object_is_refused(whole, content):
    whole.write_bytes(content)
    assert f"record {whole} " in refusal(whole)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(whole, number):
    record = json.loads(whole.read_text())
    for part, name in (("metrics", "ausuc"), ("cost", "train_seconds"))[: 1 if number == "1e999" else 2]:
        changed = {**record, part: {**record[part], name: "HERE"}}
        whole.write_text(json.dumps(changed).replace('"HERE"', number))
        assert f"record {whole}" in refusal(whole)


def test_a_folder_in_the_place_of_a_record_is_refused(tmp_path):
    (tmp_path / "record.json").mkdir()
    assert "cannot be read" in refusal(tmp_path / "record.json")


# decisions


def test_other_decisions_than_the_record_describes_are_refused(whole):
    file = whole.parent / "decisions.safetensors"
    raw = file.read_bytes()
    for content in (raw[:-1] + bytes([raw[-1] ^ 1]), raw[: len(raw) // 2], b""):
        file.write_bytes(content)
        assert f"{file} is not the file that its record describes" in refusal(whole)
    file.unlink()
    assert f"{file} is not the file that its record describes" in refusal(whole)


def damaged(columns):
    """Contents of a decisions file with the hash that the record states, none of which a run writes."""
    label = columns["label"]
    yield "missing", {name: columns[name] for name in columns if name != "unseen_score"}
    yield "unexpected", columns | {"more": label}
    yield "columns", columns | {"label": label.astype(np.int32)}
    yield "columns", columns | {"shared": columns["shared"].astype(np.uint8)}
    yield "columns", columns | {"seen_score": columns["seen_score"][1:]}
    yield "columns", {name: column[:0] for name, column in columns.items()}
    yield "columns", {name: column[None] for name, column in columns.items()}
    yield "columns", columns | {"label": np.where(label == label[0], -1, label).astype(np.int16)}
    yield "classes", {name: column[label != label[0]] for name, column in columns.items()}
    yield "for a seen one", columns | {"seen_class": columns["unseen_class"], "unseen_class": columns["seen_class"]}


@pytest.mark.parametrize("case", range(10))
def test_a_file_that_holds_no_decisions_is_refused(whole, case):
    message, columns = list(damaged(load_file(whole.parent / "decisions.safetensors")))[case]
    rewrite(whole, columns)
    assert message in refusal(whole)


def test_bytes_that_are_no_arrays_are_refused(whole):
    file = whole.parent / "decisions.safetensors"
    for content in (b"xx", b"\xff" * 64):
        file.write_bytes(content)
        rewrite(whole, **{"decisions.sha256": sha256(file)})
        assert f"{file} holds no decisions" in refusal(whole)


def test_decisions_that_changed_after_reading_are_refused(whole):
    record = records.read(whole)
    assert len(records.decisions(record).label) == 70
    (whole.parent / "decisions.safetensors").write_bytes(b"xx")
    with pytest.raises(AvgzslError, match="is not the file"):
        records.decisions(record)
    assert records.decisions(dict(record)) is None, "a record of no file has no decisions"


# many records


@pytest.fixture
def store(tmp_path):
    """Five runs of one setting, the second of them damaged."""
    found = [decided.record(tmp_path / "runs", seed) for seed in range(5)]
    paths = records.find(tmp_path / "runs")
    assert paths == sorted(record.path for record in found)
    paths[1].write_text("{")
    return tmp_path / "runs"


def test_every_record_is_read_or_named_in_order(store):
    paths = records.find(store)
    found = list(records.read_each(store))
    assert [path for path, _ in found] == paths
    assert [type(one) for _, one in found] == [records.Record, AvgzslError, *[records.Record] * 3]
    assert [one.path for _, one in found if isinstance(one, records.Record)] == [paths[0], *paths[2:]]
    assert str(paths[1]) in str(found[1][1])
    with pytest.raises(AvgzslError, match="cannot be read"):
        records.load_records(store)


def test_what_is_being_written_is_no_record_yet(store):
    paths = records.find(store)
    whole = paths[0]
    shutil.copytree(whole.parent, store / f".{whole.parent.name}.0123456789abcdef.tmp")
    shutil.copy(whole, whole.with_name(".record.json.0123456789abcdef.tmp"))
    (store / "elsewhere" / "deeper").mkdir(parents=True)
    assert records.find(store) == paths
    assert records.find(whole) == [whole]
    shutil.copytree(whole.parent, store / "elsewhere" / "deeper" / "copy")
    assert len(records.find(store)) == len(paths) + 1
    assert records.find(store / f".{whole.parent.name}.0123456789abcdef.tmp"), "who names such a folder means it"


def test_a_frame_has_a_row_a_run_and_the_columns_of_its_sections(tmp_path):
    pandas = pytest.importorskip("pandas")
    kept = [with_videos(decided.record(tmp_path, seed).path) for seed in range(3)]
    kept.append(decided.record(tmp_path, seed=9).path)
    frame = records.load_records(*kept)
    keep = ("run_id", "setting_id", "status", "source", "recipe", "identity", "selection", "metrics", "cost", "settings")
    expected = pandas.json_normalize([{key: records.read(path).get(key) for key in keep} for path in kept], max_level=1)
    pandas.testing.assert_frame_equal(frame, expected, check_like=True)
    assert list(frame["run_id"]) == [records.read(path)["run_id"] for path in kept]
    assert len(records.load_records(tmp_path)) == 4


# what was checked before


@pytest.fixture
def checked(monkeypatch):
    """The records whose numbers were compared with their decisions, by run id, in order; files are old enough at once."""
    seen, check = [], records._check_numbers
    monkeypatch.setattr(
        records, "_check_numbers", lambda record, decided: (seen.append(record["run_id"]), check(record, decided))
    )
    monkeypatch.setattr(_verified, "NEW", -(10**9))
    return seen


def overwrite(path, content):
    """Replace a file's content behind the reader's back: same size, same time of the last change."""
    times = path.stat()
    assert len(content) == times.st_size
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_an_unchanged_record_is_checked_once(tmp_path, checked, monkeypatch):
    kept = [decided.record(tmp_path / "runs", seed)["run_id"] for seed in range(3)]
    checked.clear()
    first = records.load_records(tmp_path / "runs")
    assert sorted(checked) == sorted(kept)
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "runs", Path("runs"), Path("./runs/../runs")):
        assert records.load_records(root).equals(first)
    assert len(checked) == 3
    new = decided.record(tmp_path / "runs", 3)["run_id"]
    del checked[:]
    assert len(records.load_records(tmp_path / "runs")) == 4
    assert checked == [new], "only the new one"
    records.read(records.find(tmp_path / "runs")[0])
    assert len(checked) == 2, "a record that is named itself is always checked"


def edited(path):
    """The content of a record with another digit in a number that is shown."""
    raw = path.read_bytes()
    place = raw.index(b'"harmonic_mean": 0.') + len(b'"harmonic_mean": 0.')
    return raw[:place] + (b"1" if raw[place : place + 1] != b"1" else b"2") + raw[place + 1 :]


def test_a_record_that_changed_is_checked_again_whatever_its_size_and_time_say(tmp_path, checked):
    path = decided.record(tmp_path / "runs").path
    before = path.read_bytes()
    assert len(records.read_all(tmp_path / "runs")) == 1
    overwrite(path, edited(path))
    for _ in range(2):
        ((_, found),) = records.read_each(tmp_path / "runs")
        assert isinstance(found, AvgzslError), "what is refused is not remembered"
        assert "harmonic_mean" in str(found)
    overwrite(path, before)
    assert len(records.read_all(tmp_path / "runs")) == 1


def test_decisions_that_changed_are_found_whatever_their_size_and_time_say(tmp_path, checked):
    path = decided.record(tmp_path / "runs").path
    assert len(records.read_all(tmp_path / "runs")) == 1
    file = path.with_name("decisions.safetensors")
    overwrite(file, file.read_bytes()[:-1] + b"x")
    ((_, found),) = records.read_each(tmp_path / "runs")
    assert "is not the file that its record describes" in str(found)
    file.unlink()
    ((_, found),) = records.read_each(tmp_path / "runs")
    assert "is not the file that its record describes" in str(found)


def test_a_record_that_another_took_the_place_of_is_checked_again(tmp_path, checked):
    path = decided.record(tmp_path / "runs").path
    assert len(records.read_all(tmp_path / "runs")) == 1
    other, times = tmp_path / "other.json", path.stat()
    other.write_bytes(edited(path))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    ((_, found),) = records.read_each(tmp_path / "runs")
    assert isinstance(found, AvgzslError)


def test_a_record_that_was_only_just_written_is_not_remembered(tmp_path, checked, monkeypatch):
    monkeypatch.setattr(_verified, "NEW", 3600 * 10**9)
    decided.record(tmp_path / "runs")
    del checked[:]
    for _ in range(2):
        records.read_all(tmp_path / "runs")
    assert len(checked) == 2, "it could change once more within the clock's tick"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"code": 1}', '{"whole": 7, "code": 7}'])
def test_a_damaged_memory_is_no_memory(tmp_path, checked, content):
    decided.record(tmp_path / "runs")
    records.read_all(tmp_path / "runs")
    (memory,) = (files.cache_root() / "records").iterdir()
    memory.write_text(content)
    del checked[:]
    assert len(records.read_all(tmp_path / "runs")) == len(checked) == 1
    assert len(records.read_all(tmp_path / "runs")) == 1
    assert len(checked) == 1


def test_what_other_code_checked_is_checked_again(tmp_path, checked, monkeypatch):
    decided.record(tmp_path / "runs")
    records.read_all(tmp_path / "runs")
    monkeypatch.setattr(_verified, "_code", lambda: "of another version")
    del checked[:]
    records.read_all(tmp_path / "runs")
    assert len(checked) == 1


def test_records_are_read_where_nothing_can_be_remembered(tmp_path, checked):
    decided.record(tmp_path / "runs")
    files.cache_root().parent.mkdir(exist_ok=True)
    files.cache_root().write_text("a file in the way")
    for _ in range(2):
        assert len(records.read_all(tmp_path / "runs")) == 1
    assert len(checked) == 3


DAMAGE = {
    "half-written": lambda path: path.write_text(path.read_text()[:200]),
    "empty": lambda path: path.write_text(""),
    "of another schema": lambda path: rewrite(path, schema=9),
    "edited": lambda path: rewrite(path, **{"metrics.harmonic_mean": 0.9876}),
    "with other decisions": lambda path: (path.parent / "decisions.safetensors").write_bytes(b"xx"),
    "of other types": lambda path: rewrite(path, **{"metrics.harmonic_mean": "0.9876"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_leaderboard_names_a_damaged_record_and_shows_none_of_its_numbers(tmp_path, damage):
    good, bad = (decided.record(tmp_path, seed, skill) for seed, skill in ((0, 0.5), (1, 0.9)))
    DAMAGE[damage](bad.path)
    content = json.loads(avgzsl_bench.leaderboard(tmp_path, "json"))
    (row,) = [row for row in content["rows"] if row["source"] == "measured"]
    assert row["n"] == 1
    assert row["harmonic_mean_percent"] == pytest.approx(100 * good["metrics"]["harmonic_mean"])
    assert [line for line in content["remarks"] if line.startswith("Left out: ") and str(bad.path.parent) in line]
    with pytest.raises(AvgzslError):
        avgzsl_bench.leaderboard(bad.path, "json")


def test_a_run_found_twice_counts_once_and_a_second_result_is_named(tmp_path):
    good = decided.record(tmp_path / "runs", 0, 0.5)
    shutil.copytree(good.path.parent, tmp_path / "runs" / "copy")
    content = json.loads(avgzsl_bench.leaderboard(tmp_path / "runs", "json"))
    assert [row["n"] for row in content["rows"] if row["source"] == "measured"] == [1]
    other = decided.record(tmp_path / "other", 0, 0.9)
    rewrite(other.path, run_id=good["run_id"], created="2027-01-01T00:00:00+00:00")
    content = json.loads(avgzsl_bench.leaderboard([tmp_path / "runs", tmp_path / "other"], "json"))
    (row,) = [row for row in content["rows"] if row["source"] == "measured"]
    assert (row["n"], row["harmonic_mean_percent"]) == (1, pytest.approx(100 * good["metrics"]["harmonic_mean"]))
    assert f"Run {good['run_id']} was found with two results; the earlier one counts." in content["remarks"]


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    (tmp_path / "record.json").symlink_to(tmp_path / "gone")
    assert "cannot be read" in refusal(records.find(tmp_path)[0])
