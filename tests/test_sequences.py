"""Ragged sequences into batches: crops, padding, masks, times, and the order in which clips are scored."""

import numpy as np
import pytest
import torch

from avgzsl_bench import batches, scoring, training
from avgzsl_bench.contracts import ClassText, Clips, Method, Shapes, TemporalSettings, Tokens
from avgzsl_bench.sequences import SEATS, Limits, gather

CPU = torch.device("cpu")
SECONDS = {"audio": 0.96, "video": 0.64}
LENGTHS = {"audio": [2, 40, 3, 1, 7], "video": [3, 60, 90, 2, 10]}


def tokens(modality, dim=3, kind=np.float32):
    """Token t of clip i is (i, t, 1): what was gathered from where can be read off."""
    rows = [[(i, t, 1) for t in range(n)] for i, n in enumerate(LENGTHS[modality])]
    flat = np.concatenate([np.array(clip, kind) for clip in rows])
    return Tokens.flat(flat, np.cumsum([0, *LENGTHS[modality]]))


def gathered(index, limits=Limits(), place=None, kind=np.float32):
    return gather(tokens("audio", kind=kind), tokens("video", kind=kind), SECONDS, np.array(index), limits, place, CPU)[:2]


def packed(index, limits=Limits(), place=None):
    return gather(tokens("audio"), tokens("video"), SECONDS, np.array(index), limits, place, CPU, packed=1)


def test_whole_clips_are_padded_to_the_longest_of_the_batch():
    audio, video = gathered([3, 0, 4])
    assert (audio.values.shape, video.values.shape) == ((3, 7, 3), (3, 10, 3))
    assert audio.mask.sum(1).tolist() == [1, 2, 7]
    assert video.mask.sum(1).tolist() == [2, 3, 10]
    assert not video.values[~video.mask].any()
    assert video.values[video.mask][:, 0].tolist() == [3.0] * 2 + [0.0] * 3 + [4.0] * 10
    assert torch.allclose(video.time[0], torch.arange(10) * 0.64)
    assert torch.allclose(audio.time[2], torch.arange(7) * 0.96)


@pytest.mark.parametrize(("place", "first"), [(0.0, 0), (0.999999, 30), (None, 15)])
def test_a_longer_video_is_cropped_and_the_audio_follows_in_time(place, first):
    dice = None if place is None else np.array([place])
    audio, video = gathered([2], Limits(2, 60), dice)
    assert video.values[0, :, 1].tolist() == list(range(first, first + 60))
    assert torch.allclose(video.time[0, 0], torch.tensor(first * 0.64))
    begin = min(round(first * 0.64 / 0.96), 3 - 2)  # the audio has three tokens
    assert audio.values[0, :, 1].tolist() == [begin, begin + 1]
    assert audio.time[0, 0].item() == pytest.approx(begin * 0.96)


def test_the_audio_of_a_crop_begins_when_its_video_does():
    audio, video = gathered([1], Limits(20, 30), np.array([0.5]))
    assert (audio.values[0, 0, 1].item(), video.values[0, 0, 1].item()) == (10, 15)  # at 9.6 seconds


def test_every_place_of_a_crop_is_drawn():
    dice = np.random.default_rng(0).random(4000)
    _, video = gathered([4] * 4000, Limits(4, 7), dice)
    assert set(video.values[:, 0, 1].int().tolist()) == {0, 1, 2, 3}


def test_given_lengths_pad_too():
    audio, video = gathered([0, 3], Limits(37, 60))
    assert (audio.values.shape[1], video.values.shape[1]) == (37, 60)
    assert video.mask.sum(1).tolist() == [3, 2]


def test_bytes_become_numbers_on_the_way():
    audio, _ = gathered([1], kind=np.uint8)
    assert audio.values.dtype == torch.float32
    assert audio.values[0, :, 1].tolist() == list(range(40))


def test_short_clips_share_rows_that_are_no_longer_than_the_longest():
    audio, video, packing = packed([1, 4, 4, 3])  # of 40, 7, 7, 1 and 60, 10, 10, 2 tokens
    assert (audio.values.shape, video.values.shape) == ((2, 40, 3), (2, 60, 3))
    assert packing.seat.tolist() == [[0, 0], [1, 0], [1, 1], [1, 2]]
    assert packing.clips.tolist() == [[0, -1, -1], [1, 2, 3]]
    assert packing.audio[1].tolist() == [1] * 7 + [2] * 7 + [3] + [-1] * 25
    assert packing.video[1].tolist() == [1] * 10 + [2] * 10 + [3] * 2 + [-1] * 38
    assert audio.mask.equal(packing.audio >= 0)
    assert video.mask.equal(packing.video >= 0)


@pytest.mark.parametrize(("limits", "place"), [(Limits(), None), (Limits(5, 8), np.linspace(0, 0.99, 9))])
def test_packed_clips_are_the_padded_ones(limits, place):
    index = [4, 0, 2, 3, 3, 1, 0, 4, 4]
    audio, video, packing = packed(index, limits, place)
    for alone, laid, clip in zip(gathered(index, limits, place), (audio, video), (packing.audio, packing.video), strict=True):
        assert len(clip) < len(index)
        assert not laid.values[clip < 0].any()
        for number in range(len(index)):
            assert laid.values[clip == number].equal(alone.values[number, alone.mask[number]])
            assert laid.time[clip == number].equal(alone.time[number, alone.mask[number]])
    rows, seats = packing.seat.T
    assert packing.clips[rows, seats].tolist() == list(range(len(index)))
    assert (packing.clips >= 0).sum() == len(index)


def test_few_clips_share_a_row():
    _, video, packing = packed([1] + [3] * (2 * SEATS + 1))  # the short ones have two tokens each
    assert (packing.clips >= 0).sum(1).tolist() == [1, SEATS, SEATS, 1]
    assert video.mask.sum(1).tolist() == [60, 2 * SEATS, 2 * SEATS, 2]


def test_joined_tokens_stay_where_they_are():
    one, other = tokens("video"), tokens("audio")
    joined = Tokens.join([one, other])
    assert len(joined) == 10
    assert joined.clip(6).base is other.parts[0].base or np.shares_memory(joined.clip(6), other.parts[0])
    assert np.array_equal(joined.clip(6), other.clip(1))
    assert np.array_equal(joined[np.array([9, 1])].clip(1), one.clip(1))
    assert Tokens.join([joined, one]).clip(12).tolist() == one.clip(2).tolist()


class Mean(Method):
    """The masked mean of the first video value, and how far the batch was padded."""

    needs = frozenset({"audio", "video", "temporal"})
    Settings = TemporalSettings

    def __init__(self, settings, shapes):
        super().__init__(settings, shapes)
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.lengths = []
        self.scored = []

    def losses(self, batch, classes, turn):
        self.lengths.append((batch.audio.shape[1], batch.video.shape[1], batch.video_time[:, 0].max().item()))
        return {"nothing": self.scale * (batch.video[..., 0] - batch.label[:, None]).mul(batch.video_mask).abs().sum()}

    def prepare(self, training, classes):
        assert training.batch.audio == ()
        return classes.vectors[:, 0]

    def scores(self, batch, rows):
        self.scored.append((batch.audio.shape[1], batch.video[..., :2][:, 0].int().tolist()))
        mean = (batch.video[..., 0] * batch.video_mask).sum(1) / batch.video_mask.sum(1)
        return mean[:, None] + torch.zeros(len(rows))


def temporal_pool():
    clips = Clips(tokens("audio"), tokens("video"), np.arange(5), tuple("abcde"))
    return batches.pool(clips, range(5), CPU, SECONDS)


@pytest.mark.parametrize("shared", [False, True])
def test_training_packs_for_methods_that_are_packed(shared):
    method = method_of()
    method.packed = shared
    batch = next(training.Trainer(method, temporal_pool(), ClassText(torch.zeros(5, 1, 2)), 0, 1).sequences())
    assert bool(batch.packing) == shared
    assert (len(batch.audio) < len(batch.label)) == shared


def method_of(**settings):
    return Mean(Mean.Settings(batches_per_epoch=6, batch_size=8, **settings), Shapes(3, 3, 2, 5))


def test_scores_keep_the_order_of_the_clips(monkeypatch):
    monkeypatch.setattr(scoring, "TEMPORAL_CHUNK", 2)
    method, data = method_of(), temporal_pool()
    classes = ClassText(torch.zeros(5, 1, 2))
    (rows,) = scoring.prepare(method, batches.everything(data, classes), classes, 0)
    assert scoring.score(method, data.clips, rows, 0)[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_training_batches_hold_the_clips_of_their_labels():
    method, data = method_of(), temporal_pool()
    trainer = training.Trainer(method, data, ClassText(torch.zeros(5, 1, 2)), 0, 1)
    assert trainer.epoch() == {"nothing": 0.0}, "value 0 of every token is the label of its clip"


def test_training_crops_at_places_that_follow_from_the_seed():
    def lengths(seed):
        method = method_of(training_audio_tokens=5, training_video_tokens=8)
        training.Trainer(method, temporal_pool(), ClassText(torch.zeros(5, 1, 2)), seed, 1).epoch()
        return method.lengths

    assert lengths(0) == lengths(0) != lengths(1)
    assert all((audio, video) == (5, 8) for audio, video, _ in lengths(0))
    assert any(start > 0 for *_, start in lengths(0))


def test_places_of_crops_follow_from_seed_stage_and_epoch(monkeypatch):
    drawn = []
    monkeypatch.setattr(batches, "gather", lambda *given: drawn.append(given[5]) or gather(*given))

    def places(seed, stage, epochs):
        drawn.clear()
        trainer = training.Trainer(method_of(), temporal_pool(), ClassText(torch.zeros(5, 1, 2)), seed, stage)
        for _ in range(epochs):
            trainer.epoch()
        return tuple(np.concatenate(drawn[-6:]))  # of the last epoch

    assert places(0, 1, 2) == places(0, 1, 2)
    assert len({places(0, 1, 1), places(0, 1, 2), places(0, 2, 1), places(1, 1, 1)}) == 4
    assert len(set(places(0, 1, 1))) == 6 * 8, "every clip of an epoch has a place of its own"


def test_scored_clips_are_cropped_around_the_middle_to_lengths_of_their_own():
    limits = {"scoring_audio_tokens": 3, "scoring_video_tokens": 4}
    method, data = method_of(training_audio_tokens=5, training_video_tokens=8, **limits), temporal_pool()
    scoring.score(method, data.clips, torch.zeros(5, 2), 0)
    ((audio, first),) = method.scored
    assert audio == 3
    assert sorted(first) == [[0, 0], [1, 28], [2, 43], [3, 0], [4, 3]], "(clip, its first token)"


def test_one_limit_alone_is_refused():
    with pytest.raises(ValueError, match="both scoring_audio_tokens and scoring_video_tokens"):
        TemporalSettings(scoring_video_tokens=300)
