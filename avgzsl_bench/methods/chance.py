"""A floor: random scores, so that a method can be told from luck under the same rules."""

import torch
from torch import Tensor

from avgzsl_bench import contracts, layers, randomness
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training


class Chance(Method):
    """A score is a hash of the seed, the clip's place and the class text: of a clip it sees nothing.

    The text, and not the row, names the class, so that a class keeps its score among any other classes in any order.
    """

    needs = frozenset({"audio"})
    floor = True
    turns = ()
    Settings = contracts.Settings

    def __init__(self, settings: contracts.Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.dice = layers.Keyed()

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        bits = classes.vectors.float().flatten(1).view(torch.int32)  # (classes, values)
        place = torch.arange(bits.shape[1], dtype=torch.int32, device=bits.device)
        return randomness.mix(randomness.mix(bits) + randomness.mix(place)).sum(1).to(torch.int32)  # (classes,), wraps

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        clips = randomness.random_bits(self.dice.next_key(), (len(batch.audio),))
        bits = randomness.mix(randomness.mix(clips[:, None] ^ rows))
        return bits.double() / 2**31  # (clips, classes) in [-1, 1); float64 keeps all 32 bits, so that rounding makes no ties


MEMBER = Chance
