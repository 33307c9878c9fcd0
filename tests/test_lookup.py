"""What a name given to `avgzsl plot` and its like means."""

import json

import pytest
from decided import record

from avgzsl_bench.board import lookup
from avgzsl_bench.errors import AvgzslError


def runs_of(groups):
    return [[own["run_id"] for own in group.records] for group in groups]


@pytest.fixture
def stored(tmp_path):
    """Two seeds of one setting of kda, and one run of avca: (folder, records)."""
    out = tmp_path / "runs"
    return out, [record(out, 0), record(out, 1), record(out, 0, method="avca")]


def test_a_path_means_the_records_below_it(stored):
    out, (first, second, other) = stored
    assert runs_of(lookup.settings([str(first.path)])) == [[first["run_id"]]]
    assert runs_of(lookup.settings([str(other.path.parent), str(second.path)])) == [[other["run_id"]], [second["run_id"]]]
    assert sorted(runs_of(lookup.settings([str(out)]))) == sorted([[first["run_id"], second["run_id"]], [other["run_id"]]])


def test_ids_and_methods_are_looked_up_in_the_stores(stored, monkeypatch):
    out, (first, second, other) = stored
    monkeypatch.chdir(out.parent)
    both = [[first["run_id"], second["run_id"]]]
    assert runs_of(lookup.settings([first["setting_id"][:8]])) == both
    assert runs_of(lookup.settings(["kda"])) == both
    assert runs_of(lookup.settings([second["run_id"][:9]], [out])) == [[second["run_id"]]]
    assert runs_of(lookup.settings(["avca", "kda"])) == [[other["run_id"]], *both]


def test_runs_named_one_by_one_are_pooled_and_count_once(stored):
    _, (first, second, _) = stored
    found = lookup.settings([str(second.path), str(first.path), str(second.path)])
    assert runs_of(found) == [[first["run_id"], second["run_id"]]]


def test_a_name_of_several_settings_where_one_is_meant(stored):
    out, (first, _, other) = stored
    assert runs_of([lookup.one("avca", [out])]) == [[other["run_id"]]]
    with pytest.raises(AvgzslError, match=rf"means 2 settings: .*{first['setting_id']} \(kda\).*; name one of them by its id"):
        lookup.one(str(out))


def test_names_that_mean_nothing(stored, tmp_path, monkeypatch):
    out, (first, *_) = stored
    monkeypatch.chdir(out)
    with pytest.raises(AvgzslError, match=r"'kdaa' is no path, and no method, .* in .*runs; did you mean kda or avca\? "):
        lookup.settings(["kdaa"], [out])
    with pytest.raises(AvgzslError, match=r"'kda' is no path, .* in runs or leaderboards/records"):
        lookup.settings(["kda"])
    with pytest.raises(AvgzslError, match="no records at"):
        lookup.settings(["kda"], [tmp_path / "elsewhere"])
    with pytest.raises(AvgzslError, match="is no path"):
        lookup.settings([first["run_id"][:3]], [out])
    (tmp_path / "empty").mkdir()
    with pytest.raises(AvgzslError, match="there are no records in"):
        lookup.settings([str(tmp_path / "empty")])


def test_the_beginning_of_several_ids(stored):
    out, (first, second, _) = stored
    for old, own in ((first, "abcd111111111111"), (second, "abcd222222222222")):
        old.path.write_text(json.dumps({**old, "run_id": own}))
    with pytest.raises(AvgzslError, match="abcd begins 2 ids: abcd111111111111, abcd222222222222; give more of one"):
        lookup.settings(["abcd"], [out])


def test_a_broken_record_is_no_obstacle_unless_it_is_meant(stored):
    out, (_, _, other) = stored
    (out / "broken").mkdir()
    (out / "broken" / "record.json").write_text('{"schema": 1, "run')
    assert runs_of(lookup.settings(["avca"], [out])) == [[other["run_id"]]]
    with pytest.raises(AvgzslError, match=r"broken/record\.json cannot be read"):
        lookup.settings([str(out / "broken")])


def test_incomplete_runs_are_left_out(stored, caplog):
    out, (first, second, _) = stored
    first.path.write_text(json.dumps({**first, "status": "partial data"}))
    assert runs_of(lookup.settings(["kda"], [out])) == [[second["run_id"]]]
    assert "1 of 2 records are left out: they are not complete runs" in caplog.text
    with pytest.raises(AvgzslError, match="no complete run is among these records"):
        lookup.settings([str(first.path)])
