"""A floor: every class gets the same score, so that whatever it reaches is what a rule for ties gives away."""

from torch import Tensor

from avgzsl_bench import contracts
from avgzsl_bench.contracts import Batch, ClassText, Method, Training


class Constant(Method):
    """Scores of zero."""

    needs = frozenset({"audio"})
    floor = True
    seeded = False
    turns = ()
    Settings = contracts.Settings

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        return classes.vectors.mean(1)

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        return rows.new_zeros(len(batch.audio), len(rows))


MEMBER = Constant
