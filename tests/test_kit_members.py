"""The kit finds faults of losses, encoders, data sets, renderers and launchers."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from faults import outcomes_of

from avgzsl_bench.contracts import Clips, Loss, Renderer, TextEncoder
from avgzsl_bench.datasets.demo import Demo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.launchers.local import Local
from avgzsl_bench.text.encoders.hashed import Hashed


@pytest.fixture
def outcomes(monkeypatch):
    return partial(outcomes_of, monkeypatch=monkeypatch)


# losses


class Squared(Loss):
    family = "alignment"

    def __call__(self, clips, texts, rows):
        return (clips - texts.mean(1)[rows]).square().mean()


class NotAScalar(Squared):
    def __call__(self, clips, texts, rows):
        return (clips - texts.mean(1)[rows]).square().mean(1)


class NoGradient(Squared):
    def __call__(self, clips, texts, rows):
        return super().__call__(clips.detach(), texts, rows)


class PythonLoop(Squared):
    def __call__(self, clips, texts, rows):
        return sum((clips[i] - texts[rows[i].item()].mean(0)).square().mean() for i in range(len(clips)))


class NoFamily(Loss):
    pass


class WritesClips(Squared):
    def __call__(self, clips, texts, rows):
        return super().__call__(clips.sub_(1.0), texts, rows)


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (Squared, set()),
        (NotAScalar, {"is a finite scalar"}),
        (NoGradient, {"has a gradient for its first argument"}),
        (PythonLoop, {"stacked inputs equal each alone"}),
        (NoFamily, {"declares family and version"}),
        (WritesClips, {"leaves its arguments alone"}),
    ],
)
def test_faults_of_losses_are_caught(outcomes, kind, caught):
    found = outcomes("losses", kind)
    assert caught <= set(found["fail"]), found["fail"]
    assert bool(found["fail"]) == bool(caught)


# encoders


class Wide(Hashed):
    def encode(self, texts):
        return super().encode(texts).astype(np.float64)


class CentresTheBatch(Hashed):
    def encode(self, texts):
        vectors = super().encode(texts)
        return vectors - vectors.mean(0)


class Sorts(Hashed):
    def encode(self, texts):
        return super().encode(sorted(texts))


class Drifts(Hashed):
    calls = 0.0

    def encode(self, texts):
        self.calls += 0.1
        return super().encode(texts) + np.float32(self.calls)


class Anonymous(Hashed):
    revision = ""
    licence = ""


class WithoutWeights(TextEncoder):
    licence = "MIT"

    @property
    def revision(self):
        raise AvgzslError("weights of mine are not on this machine; `avgzsl text fetch mine` gets them")


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (Hashed, set()),
        (Wide, {"gives one float32 vector a text"}),
        (CentresTheBatch, {"encodes each text alone"}),
        (Sorts, {"keeps the order of the texts", "gives the same text the same vector"}),
        (Drifts, {"gives the same text the same vector"}),
        (Anonymous, {"has a revision", "says its licence"}),
        (WithoutWeights, set()),
    ],
)
def test_faults_of_encoders_are_caught(outcomes, kind, caught):
    found = outcomes("encoders", kind)
    assert caught <= set(found["fail"]), found["fail"]
    assert bool(found["fail"]) == bool(caught)
    assert ("has a revision" in found["pass"]) == (kind not in (Anonymous, WithoutWeights))


# data sets, renderers, launchers


def leaking(splits):
    def read(subset):
        return splits.read("train" if subset == "validation_seen" else subset)

    return read


def one_class_short(splits):
    def read(subset):
        clips = splits.read(subset)
        keep = clips.label != clips.label[0]
        return Clips(clips.audio[keep], clips.video[keep], clips.label[keep], tuple(np.array(clips.ids)[keep]))

    return read


@pytest.mark.parametrize(("change", "said"), [(leaking, "clips stand twice"), (one_class_short, "has no clips of")])
def test_faulty_clips_are_caught(outcomes, change, said):
    class Faulty(Demo):
        def open(self, store, features, split, temporal=False):
            splits = super().open(store, features, split, temporal)
            return replace(splits, read=change(splits))

    found = outcomes("datasets", Faulty)
    assert list(found["fail"]) == ["has disjoint and complete subsets"]
    assert said in found["fail"]["has disjoint and complete subsets"]


def test_a_temporal_variant_of_averages_is_caught(outcomes):
    class Faulty(Demo):
        def open(self, store, features, split, temporal=False):
            return replace(super().open(store, features, split), temporal=temporal)

    found = outcomes("datasets", Faulty)
    assert list(found["fail"]) == ["has disjoint and complete subsets"]
    assert "audio is a ndarray, temporal is True" in found["fail"]["has disjoint and complete subsets"]


@pytest.mark.parametrize(("video", "said"), [(None, "is no name"), ("", "is no name"), ("counted", "two source videos")])
def test_faulty_source_videos_are_caught(outcomes, video, said):
    class Faulty(Demo):
        asked = 0

        def source_video(self, clip_id):
            self.asked += 1
            return f"video {self.asked}" if video else video

    found = outcomes("datasets", Faulty)
    assert list(found["fail"]) == ["tells source videos"]
    assert said in found["fail"]["tells source videos"]


def test_faulty_facts_are_caught(outcomes):
    class Faulty(Demo):
        revision = ""
        presets = {"main": ("missing", "main")}  # noqa: RUF012

        def classes(self, split):
            return tuple(info._replace(role="train") for info in super().classes(split))

        def open(self, store, features, split, temporal=False):
            raise AvgzslError("not here")

    found = outcomes("datasets", Faulty)
    assert set(found["fail"]) == {
        "says where it comes from",
        "declares features and splits",
        "knows its classes",
        "opens or names the command",
    }


def test_faults_of_renderers_are_caught(outcomes):
    class Mute(Renderer):
        suffix = "txt"

        def render(self, table):
            return str(id(object())) if table.sections else ""

    found = outcomes("renderers", Mute)
    assert {"names its suffix", "shows every row", "says that data are synthetic"} <= set(found["fail"])
    assert "renders an empty table" in found["pass"]


def test_a_launcher_that_loses_a_job_is_caught(outcomes):
    class Forgetful(Local):
        def launch(self, jobs, options):
            yield from super().launch(jobs[:1], options)

    assert set(outcomes("launchers", Forgetful)["fail"]) == {"reports every run of every job", "a failed run stops no other"}
    assert not outcomes("launchers", Local)["fail"]


def test_a_launcher_that_stops_at_a_failure_or_starts_anew_is_caught(outcomes):
    class Timid(Local):
        def launch(self, jobs, options):
            for state in super().launch(jobs, options):
                yield state
                if state.error:
                    return

    class Zealous(Local):
        def launch(self, jobs, options):
            for state in super().launch(jobs, options):
                yield state
                yield state

    assert set(outcomes("launchers", Timid)["fail"]) == {"a failed run stops no other"}
    assert "makes nothing twice" in outcomes("launchers", Zealous)["fail"]
