"""KDA from one modality alone, as in its paper's Table 6: what it reads, that nothing else changes, and the conformance kit."""

import pytest
import torch
from test_methods import CLASSES, SHAPES, build, clips

from avgzsl_bench import config, records
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.kda import Kda
from avgzsl_bench.testing.kit import Skip
from avgzsl_bench.testing.methods import QUESTIONS
from avgzsl_bench.testing.subject import Subject

ALONE = ("audio", "video")


@pytest.fixture(scope="module", params=ALONE)
def subject(request):
    found = Subject("kda", "paper")
    found.given |= {"modalities": request.param, "width": 128, "video_hidden": 128}  # small, to be quick
    found._open(found._features())
    return found


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_the_kit_passes_for_each_modality_alone(subject, question):
    assert subject.build().settings.modalities in ALONE
    if question.__name__ in ("ignores_padding", "scores_packed_clips_alike", "scores_each_modality_like_both"):
        with pytest.raises(Skip):
            question(subject)
    else:
        question(subject)


@pytest.mark.parametrize("modality", ALONE)
def test_one_modality_reads_that_alone_and_has_no_cross_attention(modality):
    method, batch = build("kda", modalities=modality).eval(), clips()
    rows = method.prepare(None, CLASSES)
    scores = method.scores(batch, rows)
    other = {"audio": "video", "video": "audio"}[modality]
    assert torch.equal(method.scores(batch._replace(**{other: getattr(batch, other) + 1}), rows), scores)
    assert torch.equal(method.scores(batch._replace(**{other: ()}), rows), scores)
    assert not torch.equal(method.scores(batch._replace(**{modality: getattr(batch, modality) + 1}), rows), scores)
    heads = {name.split(".")[0] for name, _ in method.named_parameters()}
    assert heads == {f"encode_{modality}", f"project_{modality}", "embed_clips", "embed_texts"}


def test_one_modality_is_its_encoder_its_projector_and_a_half_of_the_embedding():
    both, audio = build("kda").eval(), build("kda", modalities="audio").eval()
    width = both.settings.width
    assert audio.embed_clips.hidden[0].in_features * 2 == both.embed_clips.hidden[0].in_features == 2 * width
    seen = []
    audio.embed_clips.register_forward_hook(lambda module, given, output: seen.append(given[0]))
    audio.embed(clips(), audio.prepare(None, CLASSES))
    assert torch.equal(seen[0], audio.project_audio(audio.encode_audio(clips().audio)))


def test_the_reference_form_reads_both():
    with pytest.raises(AvgzslError, match="does not read modalities"):
        config.resolve("kda", "demo", settings={"form": "reference", "modalities": "audio"})
    assert Kda(Kda.Settings(form="reference"), SHAPES).modality.shape == (2, 512)


def test_the_default_is_hashed_into_no_run():
    usual, said = (config.resolve("kda", "demo", settings=own)[0] for own in ({}, {"modalities": "both"}))
    assert "modalities" not in usual.changed
    assert records.ids({}, usual.changed, []) == records.ids({}, said.changed, [])
    alone = config.resolve("kda", "demo", settings={"modalities": "video"})[0]
    assert alone.changed == usual.changed | {"modalities": "video"}
