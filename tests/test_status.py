"""`avgzsl status`: where every run of a grid or of a reproduction stands, and the command that makes what is missing."""

import json
import os
import shlex
import socket
from pathlib import Path

import pytest

from avgzsl_bench import claims, identity, plugins
from avgzsl_bench.cli import status
from avgzsl_bench.files import sha256
from avgzsl_bench.reproduce import recipes

QUICK = ["--set", "epochs=1", "--set", "batches_per_epoch=2"]
GRID = ["-m", "devise", "-m", "sje", "-d", "demo", "--seeds", 3, *QUICK]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def asked(avgzsl, *words):
    code, text, err = avgzsl("status", *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(text)


def states(found):
    return {(cell["row"], cell["dataset"], cell["encoder"]): [run["state"] for run in cell["runs"]] for cell in found["cells"]}


def folders(found, row):
    (cell,) = [cell for cell in found["cells"] if cell["row"] == row]
    return [cell["folder"] for cell in cell["runs"]]


def listing(folder):
    return {str(path): sha256(path) for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


def lives(folder, error=None, claim=None):
    """Leaves in a run's folder what a failure, or a process that makes it, leaves there."""
    Path(folder).mkdir(parents=True)
    if error is not None:
        Path(folder, "failure.json").write_text(error)
    if claim is not None:
        Path(folder, "claim.json").write_text(json.dumps(claim))


def own_claim():
    return {"pid": os.getpid(), "host": socket.gethostname(), "started": claims._started(os.getpid()), "token": "x"}


def test_runs_are_told_apart_by_where_they_stand(avgzsl, out):
    before = asked(avgzsl, *GRID, "--out", out)
    assert states(before) == {("devise", "demo", "hashed"): ["missing"] * 3, ("sje", "demo", "hashed"): ["missing"] * 3}
    assert not out.exists(), "it only looks"
    avgzsl("run", "-m", "devise", "-d", "demo", *QUICK, "--device", "cpu", "--out", out)
    _, second, third = folders(before, "devise")
    lives(second, claim=own_claim())
    lives(third, error='{"error": "AvgzslError: the loss is\\nnot a number"}')
    lives(folders(before, "sje")[0], error="{", claim={"pid": 2**22, "host": socket.gethostname(), "started": "long ago"})
    held = listing(out)
    found = asked(avgzsl, *GRID, "--out", out)
    assert states(found) == {
        ("devise", "demo", "hashed"): ["done", "running", "failed"],
        ("sje", "demo", "hashed"): ["failed", "missing", "missing"],
    }
    assert [command.split(" -d ")[0] for command in found["commands"]] == ["avgzsl run -m devise -m sje"], "failed ones too"
    said = [run["said"] for cell in found["cells"] for run in cell["runs"]]
    assert said[1] == f"pid {os.getpid()} on {socket.gethostname()}"
    assert said[2] == "AvgzslError: the loss is\nnot a number"
    assert said[3].startswith("see ")
    _, text, _ = avgzsl("status", *GRID, "--out", out)
    assert "1 of 6 runs are done" in text
    assert "1/3, 1 running, 1 failed" in text
    assert "0/3, 1 failed" in text
    assert "failed: devise on demo · hashed, seed 2: AvgzslError: the loss is not a number\n" in text
    assert f"running: devise on demo · hashed, seed 1: pid {os.getpid()}" in text
    assert listing(out) == held, "it changes nothing, not even what a dead process left"


def test_the_command_makes_what_is_missing(avgzsl, out):
    words = [*GRID, "--search", "learning_rate=0.01,0.001", "--out", out]
    _, text, _ = avgzsl("status", *words)
    last = text.rstrip().splitlines()[-1].strip()
    program, *command = shlex.split(last)
    assert program == "avgzsl"
    assert avgzsl(*command, "--device", "cpu")[0] == 0
    code, text, _ = avgzsl("status", *words)
    assert code == 0
    assert "6 of 6 runs are done" in text
    assert "avgzsl run" not in text
    assert asked(avgzsl, *words)["commands"] == []


def test_only_methods_that_lack_something_are_in_the_command(avgzsl, out):
    avgzsl("run", "-m", "eszsl", "-d", "demo", "--device", "cpu", "--out", out)
    found = asked(avgzsl, "-m", "eszsl", "-m", "chance", "-m", "chance", "-d", "demo", "--seeds", 2, "--out", out)
    assert found["commands"] == [f"avgzsl run -m chance -d demo -e hashed --seeds 2 --out {out}"]
    assert states(found)["eszsl", "demo", "hashed"] == ["done"], "every seed gives the same result"


def test_every_choice_goes_into_the_command(avgzsl, tmp_path):
    out = tmp_path / "my runs"
    words = ["--features", "shared", "--split", "main", "--text", "descriptions", "--aspects", "name,sound", "--combine", "set"]
    found = asked(avgzsl, "-m", "kda", "-d", "demo", "-e", "hashed", *words, "--out", out)
    (command,) = found["commands"]
    _, text, _ = avgzsl(*shlex.split(command)[1:], "--dry-run", "--json")
    assert [run["run_id"] for run in json.loads(text)] == [run["run_id"] for cell in found["cells"] for run in cell["runs"]]
    words = ["--rules", "reference", "--selection", "test", "--prompts", "single"]
    named = " ".join(words)
    found = asked(avgzsl, "-m", "kda", "-m", "devise", "-d", "demo", "-e", "hashed", *words)
    assert all("has no row order in the reference code" in cell["impossible"] for cell in found["cells"])
    assert found["commands"] == []
    flags = {"rules": "reference", "selection": "test", "prompts": "single"}
    assert " ".join(status._words(flags)) == named


def test_what_cannot_be_made_here_says_what_gets_it(avgzsl, out):
    words = ["-m", "eszsl", "-m", "tcaf", "-d", "demo", "-d", "ucf", "-e", "hashed", "-e", "word2vec", "--out", out]
    _, text, _ = avgzsl("status", *words)
    assert text.count("`avgzsl data import ucf PATH --features main` brings them there") == 1, "one line for all it stops"
    assert "impossible: eszsl on ucf · hashed, ucf · word2vec: ucf features selavi, split main, are not in" in text
    assert "impossible: tcaf on ucf · hashed, ucf · word2vec: ucf features selavi, split main, temporal, are not in" in text
    assert "impossible: eszsl, tcaf on demo · word2vec: " in text
    assert text.rstrip().endswith(f"avgzsl run -m eszsl -m tcaf -d demo -e hashed --out {out}")
    columns = [line for line in text.splitlines() if "demo · hashed" in line and "ucf · word2vec" in line]
    assert len(columns) == 1


def test_a_method_that_does_not_take_a_setting_does_not_stop_the_others(avgzsl, out):
    found = asked(avgzsl, "-m", "eszsl", "-m", "devise", "-d", "demo", "--set", "epochs=1", "--out", out)
    impossible = {cell["row"]: cell["impossible"] for cell in found["cells"]}
    assert impossible["eszsl"].startswith("eszsl has no setting 'epochs'")
    assert impossible["devise"] is None
    assert len(found["commands"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is nothing to look for; give --method and --dataset, or the name of a reproduction"),
        (["-m", "kda"], "there is nothing to look for"),
        (["-m", "kdaa", "-d", "demo"], "unknown method 'kdaa'; did you mean kda or avca?"),
        (["-m", "kda", "-m", "kdaa", "-d", "demo"], "unknown method 'kdaa'"),
        (["-m", "kda", "-d", "demo", "-d", "demmo", "-e", "hashed"], "unknown dataset 'demmo'"),
        (["-m", "kda", "-d", "demmo"], "unknown dataset 'demmo'; did you mean demo?"),
        (["-m", "kda", "-d", "demo", "--set", "epoch=1"], "kda has no setting 'epoch'; did you mean epochs?"),
        (["-m", "kda", "-d", "demo", "--set", "epochs"], "--set 'epochs' is not key=value"),
        (["-m", "kda", "-d", "demo", "--rules", "mine"], "--rules 'mine'; choose corrected or reference"),
        (["-m", "kda", "-d", "demo", "--seeds", "0"], "--seeds"),
        (["table33"], "unknown reproduction 'table33'; did you mean table3"),
        (["table3", "-m", "kda", "--rules", "reference"], "table3 says itself what --rules, --method would say"),
        (["table3", "-e", "hashed", "-e", "clip"], "table3 takes one --encoder, in place of CLIP"),
    ],
)
def test_bad_questions_are_one_line(refused, words, said):
    assert said in refused("status", *words)


def test_it_computes_nothing(avgzsl, out, monkeypatch):
    monkeypatch.setattr(identity.Material, "table", property(lambda material: pytest.fail("class text was encoded")))
    monkeypatch.setattr(plugins.load("methods", "kda"), "__init__", lambda *_: pytest.fail("a method was built"))
    assert avgzsl("status", "-m", "kda", "-d", "demo", "--out", out)[0] == 0


# reproductions


def test_a_reproduction_is_looked_at_line_by_line(avgzsl, out):
    words = ["table6", "--dataset", "demo", "--seeds", 1, "--set", "epochs=1", "--set", "batches_per_epoch=1", "--out", out]
    found = asked(avgzsl, *words)
    assert len(found["cells"]) == 3
    assert {cell["dataset"] for cell in found["cells"]} == {"demo"}
    assert [run["state"] for cell in found["cells"] for run in cell["runs"]] == ["missing"] * 3
    (command,) = found["commands"]
    asks = "--set epochs=1 --set batches_per_epoch=1 --seeds 1"
    assert command == f"avgzsl reproduce table6 --dataset demo {asks} --out {out}"
    assert avgzsl(*shlex.split(command)[1:], "--device", "cpu")[0] == 0
    found = asked(avgzsl, *words)
    assert [run["state"] for cell in found["cells"] for run in cell["runs"]] == ["done"] * 3
    assert found["commands"] == []


def test_a_reproduction_has_the_seeds_that_it_would_run(avgzsl, out):
    found = asked(avgzsl, "table3", "-d", "demo", "--out", out)
    assert found["commands"] == [f"avgzsl reproduce table3 --dataset demo --out {out}"]
    assert {len(cell["runs"]) for cell in found["cells"]} == {recipes.find("table3").seeds}


def test_a_reproduction_without_its_data_says_what_gets_them(refused):
    assert "`avgzsl data import ucf PATH --features main`" in refused("status", "table3")
