"""Class text: sources and their order under both rules, combination, the cache, and what a run may touch."""

from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file
from typer.testing import CliRunner

from avgzsl_bench import datasets, features, plugins, text
from avgzsl_bench.contracts import ClassInfo, TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import cache, models, sources
from avgzsl_bench.text.encoders.hashed import Hashed

pytest_plugins = ("tiny_models",)

FOLDERS = {"ucf": "UCF", "vggsound": "VGGSound", "activitynet": "ActivityNet"}
VECTORS = {"ucf": "ucf", "vggsound": "vggsound", "activitynet": "activity"}
CLASSES = tuple(ClassInfo(name.replace(" ", ""), name, "train") for name in ("play drum", "play guitar", "archery"))


def served(classes=CLASSES, source="names", encoder="hashed", settings=None, rules="corrected", dataset="toy", **choice):
    return text.class_text(dataset, classes, sources.choose(source, **choice), encoder, settings or {}, rules)


def entries():
    return sorted((cache.cache_root() / "text").glob("*/*.safetensors"))


@pytest.mark.parametrize(("dataset", "wrong"), [("ucf", 79), ("vggsound", 205), ("activitynet", 8)])
def test_reference_word_vectors_belong_to_other_classes(shared, dataset, wrong):
    path = shared / "official" / "w2v_features" / f"word_embeddings_{VECTORS[dataset]}_normed.npy"
    classes = datasets.get(dataset).classes("main")
    right = features.read_word_vectors(path)
    tables = {
        rules: served(classes, encoder="word2vec", settings={"path": str(path)}, rules=rules, dataset=dataset)
        for rules in ("corrected", "reference")
    }
    others = {
        rules: sum(not np.array_equal(table.vectors[i, 0], right[info.text_name]) for i, info in enumerate(classes))
        for rules, table in tables.items()
    }
    assert others == {"corrected": 0, "reference": wrong}
    assert tables["corrected"].text_sha256 != tables["reference"].text_sha256
    assert tables["corrected"].encoder_revision == tables["reference"].encoder_revision
    by_name = sorted(right)
    assert all(np.array_equal(tables["reference"].vectors[i, 0], right[name]) for i, name in enumerate(by_name))


def test_reference_unseen_classes_are_the_documented_ones():
    classes = datasets.get("ucf").classes("main")
    pack = sources.served(sources.Choice(), "ucf", classes, "word2vec", "reference")
    unseen = {info.name: pack.texts[i][0] for i, info in enumerate(classes) if info.role == "test_unseen"}
    wrong = {name: other for name, other in unseen.items() if other != classes[[c.name for c in classes].index(name)].text_name}
    assert wrong == {
        "CuttingInKitchen": "Diving",
        "PlayingFlute": "Playing Guitar",
        "PlayingSitar": "Playing Tabla",
        "ShavingBeard": "Shotput",
        "Typing": "Uneven Bars",
    }


@pytest.mark.parametrize(
    ("source", "encoder"), [("names", "hashed"), ("names", "clip"), ("kda", "bert"), ("kda.csv", "clip"), ("mine", "clip")]
)
def test_reference_refuses_what_the_reference_never_used(source, encoder):
    with pytest.raises(AvgzslError, match="has no row order in the reference code") as error:
        served(source=source, encoder=encoder, rules="reference")
    assert "\n" not in str(error.value)


def test_names_follow_the_classes():
    table, turned = served(), served(CLASSES[::-1])
    assert table.source == "names@1"
    assert table.vectors.shape == (3, 1, 256)
    assert table.vectors.dtype == np.float32
    assert np.array_equal(table.vectors, turned.vectors[::-1])
    assert table.text_sha256 != turned.text_sha256
    for i, info in enumerate(CLASSES):
        assert np.array_equal(table.vectors[i], Hashed(Hashed.Settings()).encode([info.text_name]))


def test_clipclap_spells_the_names_of_ucf_by_the_class_and_no_others():
    def text_of(dataset, name):
        classes = datasets.get(dataset).classes("main")
        found = sources.served(sources.Choice(), dataset, classes, "clip+clap", "reference")
        return found.texts[[info.name for info in classes].index(name)]

    assert text_of("ucf", "CleanAndJerk") == ("Clean And Jerk",)
    assert text_of("ucf", "YoYo") == ("Yo Yo",)
    assert text_of("ucf", "HandstandPushups") == ("Hand Stand Pushups",)
    assert text_of("ucf", "HandstandWalking") == ("Handstand Walking",)
    assert text_of("activitynet", "Archery") == ("Archery",)


def test_text_hash_knows_where_texts_end():
    packs = [((("ab", "c"),)), ((("a", "bc"),)), ((("abc",),)), (("ab",), ("c",))]
    hashes = {sources.Served("names@1", texts).sha256 for texts in packs}
    hashes |= {sources.Served("names@1", (("ab", "c"),), templates={"clip": ("{}",)}).sha256}
    assert len(hashes) == len(packs) + 1


def test_describe_is_the_identity_without_encoding(monkeypatch):
    table = served(settings={"dim": 8})
    monkeypatch.setattr(Hashed, "encode", None)
    assert text.describe("toy", CLASSES, sources.Choice(), "hashed", {"dim": 8}, "corrected") == table[1:5]
    assert table.encoder_settings == {"dim": 8}
    assert text.describe("toy", CLASSES, sources.Choice(), "hashed", {"dim": 256}, "corrected").encoder_settings == {}


def test_identity_does_not_name_places(tiny_clip):
    table = served(encoder="clip", settings=tiny_clip)
    assert table.encoder_settings == {"model": tiny_clip["model"]}


def test_a_hit_encodes_nothing(monkeypatch):
    first = served()
    monkeypatch.setattr(Hashed, "encode", None)
    assert np.array_equal(served().vectors, first.vectors)


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:40], lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: b"{}", lambda raw: b""]
)
def test_damaged_cache_is_encoded_again(damage, caplog):
    first = served()
    (entry,) = entries()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    assert np.array_equal(served().vectors, first.vectors)
    assert "damaged" in caplog.text
    assert entry.read_bytes() == whole


def test_only_new_texts_are_encoded(monkeypatch):
    asked, encode = [], Hashed.encode
    monkeypatch.setattr(Hashed, "encode", lambda self, texts: asked.extend(texts) or encode(self, texts))
    served(CLASSES[:1])
    both = served()
    assert sorted(asked) == sorted(info.text_name for info in CLASSES)
    assert np.array_equal(both.vectors[:, 0], encode(Hashed(Hashed.Settings()), [info.text_name for info in CLASSES]))


def test_cache_key_covers_what_decides_the_vectors(monkeypatch):
    served()
    served(settings={"dim": 8})
    assert len(entries()) == 2
    monkeypatch.setattr(Hashed, "revision", "2")
    served()
    assert len(entries()) == 3
    served(CLASSES[::-1])  # another order of the same texts, and some of them
    served(CLASSES[:2])
    assert len(entries()) == 3
    assert all(load_file(entry)["vectors"].dtype == np.float32 for entry in entries())


def test_cache_key_covers_what_encoded_them(monkeypatch):
    def key(kind=Hashed):
        return cache.key("hashed", kind(kind.Settings()))

    class Needy(Hashed):
        libraries = ("transformers", "no-such-distribution")

    first, needy = key(), key(kind=Needy)
    assert first != needy
    version = cache.version
    monkeypatch.setattr(cache, "version", lambda name: "0.0" if name == "transformers" else version(name))
    assert key() == first
    assert key(kind=Needy) != needy
    monkeypatch.setattr(cache, "version", lambda name: "0.0" if name == "torch" else version(name))
    assert key() != first


def test_cache_key_leaves_out_where_and_how_texts_were_encoded():
    class Settings(models.Settings):
        path: str = ""

    class Somewhere(Hashed):
        def __init__(self, **settings):
            super().__init__(Settings(**settings))

    def key(**settings):
        return cache.key("somewhere", Somewhere(**settings))

    assert key(device="cuda:1") == key(batch_size=3) == key(path="there") == key()
    assert key(normalise=True) != key()


class Stored(Hashed):
    """An encoder whose weights lie at a path, and are gone from `gone`."""

    gone: ClassVar[set[str]] = set()

    class Settings(TextEncoder.Settings):
        path: str = ""

    @property
    def revision(self):
        if self.settings.path in self.gone:
            raise AvgzslError("no weights here")
        return f"the weights at {self.settings.path}"

    def encode(self, texts):
        return np.ones((len(texts), 2), np.float32)


def test_without_weights_the_revision_is_that_of_the_same_place_only(monkeypatch):
    here, there = (Stored(Stored.Settings(path=path)) for path in ("here", "there"))
    cache.encoded("stored", here, ["a"])
    cache.encoded("stored", there, ["a"])
    monkeypatch.setattr(Stored, "gone", {"here", "there", "elsewhere"})
    assert cache.revision("stored", here) == "the weights at here"
    assert cache.revision("stored", there) == "the weights at there"
    with pytest.raises(AvgzslError, match="no weights here"):
        cache.revision("stored", Stored(Stored.Settings(path="elsewhere")))


def test_new_texts_are_not_encoded_under_a_remembered_revision(monkeypatch):
    encoder = Stored(Stored.Settings(path="here"))
    cache.encoded("stored", encoder, ["a"])
    before = entries()
    monkeypatch.setattr(Stored, "gone", {"here"})
    assert cache.encoded("stored", encoder, ["a"]).shape == (1, 2)
    with pytest.raises(AvgzslError, match="no weights here"):
        cache.encoded("stored", encoder, ["a", "b"])
    assert entries() == before


def test_encoders_name_the_libraries_they_stand_on():
    from importlib.metadata import version

    named = {name: plugins.load("encoders", name).libraries for name in plugins.names("encoders")}
    assert "transformers" in named["bert"]
    assert "open_clip_torch" in named["clip"]
    assert named["minilm"] == named["sentence_transformer"]
    assert "sentence-transformers" in named["minilm"]
    assert all(version(library) for name in ("bert", "clip") for library in named[name])


@pytest.mark.parametrize(("vectors", "message"), [(np.zeros((2, 3)), "shape"), (np.full((3, 2), np.nan), "not finite")])
def test_a_faulty_encoder_is_named_and_nothing_is_cached(monkeypatch, vectors, message):
    monkeypatch.setattr(Hashed, "encode", lambda self, texts: vectors)
    with pytest.raises(AvgzslError, match=f"'hashed'.*{message}|'hashed' gives .*{message}"):
        served()
    assert entries() == []


def test_unknown_encoder_and_setting_are_one_line():
    with pytest.raises(AvgzslError, match="did you mean hashed"):
        served(encoder="hashd")
    with pytest.raises(AvgzslError, match="did you mean dim"):
        served(settings={"dimm": 3})


def test_combine_by_hand():
    vectors = np.array([[[3.0, 0.0], [0.0, 0.5]], [[1.0, 0.0], [1.0, 0.0]]], dtype=np.float32)
    assert np.allclose(text.combine(vectors, "mean", "raw"), [[[1.5, 0.25]], [[1.0, 0.0]]])
    assert np.array_equal(text.combine(vectors, "set", "raw"), vectors)
    assert np.allclose(text.combine(vectors, "set", "unit"), [[[1, 0], [0, 1]], [[1, 0], [1, 0]]])
    half = np.sqrt(0.5)
    assert np.allclose(text.combine(vectors, "mean", "unit"), [[[half, half]], [[1, 0]]])


@given(arrays(np.float32, (3, 4, 5), elements=st.floats(0.125, 8, width=32)), st.permutations(range(4)))
def test_combine_ignores_the_order_of_texts(vectors, order):
    for normalise in ("unit", "raw"):
        mean = text.combine(vectors, "mean", normalise)
        assert np.allclose(mean, text.combine(vectors[:, order], "mean", normalise), rtol=1e-5)
    assert np.allclose(np.linalg.norm(text.combine(vectors, "mean", "unit"), axis=-1), 1, rtol=1e-5)
    scale = np.array([0.25, 1, 2, 4], np.float32)[:, None]
    assert np.allclose(text.combine(vectors * scale, "mean", "unit"), text.combine(vectors, "mean", "unit"), rtol=1e-4)


def test_a_zero_vector_has_no_direction():
    with pytest.raises(AvgzslError, match="zero vector"):
        text.combine(np.zeros((1, 1, 2), np.float32), "mean", "unit")


def test_shared_spaces():
    same = [("hashed", "hashed"), ("clip", "clip:ViT-B-32:openai"), ("clip:ViT-B-32:openai", "clip:ViT-B-32:openai")]
    assert all(text.shares_space(*pair) for pair in same)
    other = [
        ("", ""),
        ("hashed", ""),
        ("clip", "clipper"),
        ("clip:ViT-B-16", "clip:ViT-B-32:openai"),
        ("clip:ViT-B-32:openai", "clip"),
    ]
    assert not any(text.shares_space(*pair) for pair in other)
    assert not any(text.shares_space(*pair) for pair in permutations(["hashed", "word2vec", "clip"], 2))


def test_fetch_imports_word_vectors(tmp_path):
    from avgzsl_bench.cli.text import app

    classes = datasets.get("ucf").classes("main")
    table = {info.text_name: np.full(3, i, np.float32) for i, info in enumerate(classes)}
    np.save(tmp_path / "made_up.npy", np.array(table, dtype=object), allow_pickle=True)
    result = CliRunner().invoke(app, ["fetch", "word2vec", "--dataset", "ucf", "--from", str(tmp_path / "made_up.npy")])
    assert result.exit_code == 0, result.output
    assert "101 word vectors of ucf" in result.output
    found = served(classes, encoder="word2vec", dataset="ucf")
    assert np.array_equal(found.vectors[:, 0, 0], np.arange(101))
    other = CliRunner().invoke(app, ["fetch", "word2vec", "--dataset", "activitynet", "--from", str(tmp_path / "made_up.npy")])
    assert "has no vector for 'Applying sunscreen'" in str(other.exception)
    assert not features.word_vectors_file("activitynet").exists()


def test_fetch_and_list_speak_plainly(empty_hub):
    from avgzsl_bench.cli.text import app

    run = CliRunner().invoke
    assert "needs no weights" in run(app, ["fetch", "hashed"]).output
    assert isinstance(run(app, ["fetch", "hashd"]).exception, AvgzslError)
    assert "`avgzsl list datasets`" in str(run(app, ["fetch", "word2vec", "--dataset", "ucff"]).exception)
    assert "unknown clip model 'ViT-B-99'" in str(run(app, ["fetch", "clip", "--set", "encoder.model=ViT-B-99"]).exception)
    twice = run(app, ["fetch", "word2vec", "--set", "path=a", "--from", "b"])
    assert "given twice" in str(twice.exception)
    listed = run(app, ["list"], env={"COLUMNS": "200"}).output
    assert all(f"{name} " in listed for name in ("vggsound", "clipclap"))
    assert "names, descriptions" in listed


def test_readiness_is_true(empty_hub):
    problems = {name: problem for name, _, problem in text.readiness()}
    assert problems["hashed"] == ""
    assert "`avgzsl text fetch bert` gets them" in problems["bert"]


def test_readiness_knows_the_libraries(monkeypatch):
    monkeypatch.setattr(plugins.load("encoders", "minilm"), "libraries", ("torch", "no-such-library"))
    problems = {name: problem for name, _, problem in text.readiness()}
    assert problems["minilm"] == "no-such-library is not installed; `pip install 'avgzsl-bench[minilm]'` brings it"


def test_a_new_version_of_an_encoder_is_another_revision(monkeypatch):
    old = served()
    monkeypatch.setattr(Hashed, "version", 2)
    assert (old.encoder_revision, served().encoder_revision) == ("1", "1 code 2")
    assert len(entries()) == 2
