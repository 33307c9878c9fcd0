"""`avgzsl reproduce` from the command to the page, on demo and on a small synthetic copy of UCF, with tiny schedules."""

import json

import pytest
from test_reproduce import small_ucf

from avgzsl_bench import reproduce, runner
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.reproduce import recipes

SHORT = ("--set", "epochs=1", "--set", "batches_per_epoch=2", "--device", "cpu")
SMALL = (*SHORT, "--set", "width=16", "--set", "video_hidden=16")


@pytest.fixture
def cut(monkeypatch):
    """Keeps some lines of a recipe, so that a test trains two methods and not thirteen."""

    def keep(name, *labels):
        whole = recipes.find(name)
        part = whole.model_copy(update={"line": tuple(line for line in whole.line if line.label in labels)})
        monkeypatch.setattr(recipes, "find", lambda _: part)

    return keep


def test_a_table_is_run_drawn_and_then_only_read(avgzsl, tmp_path, monkeypatch):
    command = ("reproduce", "table6", "-d", "demo", "--seeds", 2, *SMALL, "--out", tmp_path / "runs")
    code, out, err = avgzsl(*command)
    assert code == 0, err
    assert err.startswith("table6 on demo: 6 runs: 0 done, 6 to do\n")
    for words in ("Visual only", "Audio only", "KDA", "SYNTHETIC data", "epochs=1", "hashed stands in for clip"):
        assert words in out
    assert "not run" not in out
    records = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/record.json")]
    assert sorted(record["settings"]["modalities"] for record in records) == ["audio"] * 2 + ["both"] * 2 + ["video"] * 2
    monkeypatch.setattr(runner, "GZSL", None)  # nothing is trained any more
    code, again, err = avgzsl(*command, "--page", tmp_path / "page.md")
    assert (code, again) == (0, "")
    assert "6 runs: 6 done, 0 to do" in err
    page = (tmp_path / "page.md").read_text()
    mean = 100 * sum(record["metrics"]["zero_shot"] for record in records if record["settings"]["modalities"] == "both") / 2
    assert f"{mean:.2f} ±" in page


def test_a_dry_run_says_what_would_run_and_what_is_missing(avgzsl, tmp_path):
    small_ucf()
    out = tmp_path / "runs"
    code, said, err = avgzsl("reproduce", "table5", "-d", "ucf", "-d", "demo", "--encoder", "hashed", "--dry-run", "--out", out)
    assert code == 0
    assert err == "table5 on ucf, demo: 30 runs: 0 done, 30 to do\n"
    assert not out.exists()
    for name in ("bert", "gpt2", "instructor", "clap"):
        assert said.count(f"`avgzsl text fetch {name}` gets them") == 1
    assert "fetch clip" not in said
    assert [line.split()[:2] for line in said.splitlines() if line.split()[1:2] == ["ucf"]] == [
        [label, "ucf"] for label in ("BERT", "GPT", "Instructor", "CLAP", "CLIP")
    ]


def test_lines_without_weights_are_left_out_and_do_not_stop_the_others(avgzsl, tmp_path):
    small_ucf()
    command = ("reproduce", "table5", "--encoder", "hashed", "--seeds", 1, *SMALL, "--set", "batch_size=32")
    code, out, err = avgzsl(*command, "--out", tmp_path / "runs")
    assert code == 0, err
    assert "left out: BERT on ucf: weights of bert" in err
    assert out.count("not run") == 4
    assert "±–" in out
    assert "SYNTHETIC data" in out
    assert "28.05" not in out  # what is printed of UCF is no measure of a synthetic copy
    assert "printed: " not in out
    assert len(list(tmp_path.glob("runs/*/record.json"))) == 1


def test_where_nothing_can_be_run_it_is_one_line(avgzsl, tmp_path):
    small_ucf()
    code, out, err = avgzsl("reproduce", "table6", "--out", tmp_path / "runs")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: nothing of this can be run here: weights of clip")
    assert not (tmp_path / "runs").exists()


def test_a_failed_run_does_not_stop_the_others_and_ends_in_an_error(avgzsl, tmp_path, monkeypatch):
    train = runner.GZSL.run

    def run(self, job):
        if job.settings.modalities == "audio":
            raise AvgzslError("the sound is lost")
        return train(self, job)

    monkeypatch.setattr(runner.GZSL, "run", run)
    code, out, err = avgzsl("reproduce", "table6", "-d", "demo", "--seeds", 1, *SMALL, "--out", tmp_path)
    assert code == 2
    assert err.splitlines()[-1] == "error: the sound is lost"
    assert "Failed: the sound is lost." in out
    assert out.count("not run") == 1
    assert len(list(tmp_path.glob("*/record.json"))) == 2


def test_the_same_text_is_ranked_in_one_key(avgzsl, tmp_path, cut):
    cut("same-text", "eszsl", "devise", "chance")
    command = ("reproduce", "same-text", "-d", "demo", "--seeds", 2, *SHORT, "--out", tmp_path)
    code, out, err = avgzsl(*command, "--page", tmp_path / "page.json")
    assert (code, out) == (0, ""), err
    found = json.loads((tmp_path / "page.json").read_text())
    groups = {row["method"]: row["tie_group"] for row in found["rows"]}
    assert groups["eszsl"] == 1
    assert groups["devise"] is not None
    assert groups["chance"] is None
    assert len({(row["dataset"], row["features"], row["text"]) for row in found["rows"]}) == 1
    assert any("hashed stands in for clip" in line for line in found["remarks"])
    assert all(row["published_seen_percent"] is None for row in found["rows"])


def test_the_main_table_is_not_ranked_and_keeps_reimplementations_apart(avgzsl, tmp_path, cut):
    cut("table1", "DEVISE", "VIB-GZSL")
    code, out, err = avgzsl("reproduce", "table1", "-d", "demo", "--seeds", 1, *SHORT, "--out", tmp_path)
    assert code == 0, err
    assert "Unranked" in out
    assert "VIB-GZSL (from the" in out
    assert "DEVISE" in out


def test_the_figure_is_a_picture(avgzsl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = avgzsl("reproduce", "figure4", "-d", "demo", *SMALL, "--page", "mine.svg")
    assert code == 0, err
    assert err.startswith("figure4 on demo: 1 run: 0 done, 1 to do\n")
    assert out.splitlines()[-1] == "wrote mine.svg"
    assert "hashed stands in for clip" in out
    assert (tmp_path / "mine.svg").read_text().startswith("<?xml")
    monkeypatch.setattr(reproduce.embedding, "draw", lambda groups, outs, **_: outs)
    assert avgzsl("reproduce", "figure4", "-d", "demo", *SMALL)[1].splitlines()[-1] == "wrote figure4-demo.png"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tabel2",), "did you mean table2"),
        (("table2",), "no data set of table2 is imported"),
        (("table2", "-d", "demo", "--format", "pdf"), "unknown format 'pdf'"),
        (("table2", "-d", "demo", "--page", "page.pdf"), "page.pdf: no format has this ending"),
        (("same-text", "-d", "demo", "--format", "markdwn"), "did you mean markdown"),
        (("figure4", "-d", "demo", "--format", "csv"), "figure4 is a picture"),
        (("figure4", "-d", "demo", "--page", "page.csv"), "page.csv: pictures are drawn as"),
        (("figure4", "-d", "demo", "-d", "ucf", "--page", "page.png"), "one file holds the picture of one data set"),
        (("table2", "-d", "demo", "--device", "tpu"), "device 'tpu'"),
        (("table2", "-d", "demo", "--set", "epochs"), "--set 'epochs' is not key=value"),
        (("table2", "-d", "demo", "--set", "depth=x"), "depth"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(refused, tmp_path, words, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refused("reproduce", *words)
    assert list(tmp_path.iterdir()) == []


def test_no_seed_is_refused(avgzsl):
    code, out, err = avgzsl("reproduce", "table1", "-d", "demo", "--seeds", 0)
    assert (code, out) == (2, "")
    assert "--seeds" in err
