"""Comparing against a golden file: every difference is measured, held to its limit and kept for the table of `table.py`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText

FOLDER = Path(__file__).parents[1] / "golden"

Kind = Literal["output", "loss", "gradient"]
LIMITS: dict[Kind, float] = {"output": 1e-5, "loss": 1e-5, "gradient": 1e-4}  # relative


class Exempt(NamedTuple):
    """Why a comparison is held to a limit of its own: two runs of the released code differ by as much."""

    reason: str
    atol: float = 0.0
    rtol: float = 0.0  # of the largest golden entry


# these and no others
BEFORE_BATCH_NORM = Exempt("the gradient of a bias that a batch norm takes away is rounding noise", atol=1e-5)
AFTER_STEP = Exempt("Adam turns that noise into a step of plus or minus its rate", atol=2.1e-3)
CANCELLED = Exempt("Adam does so too where a gradient and the weight decay cancel to 1e-7", atol=1e-4)
LATER_LOSS = Exempt("the loss after such a step", rtol=1e-3)
LATER_OUTPUT = Exempt("an output after five such steps", atol=2e-2)


class Measured(NamedTuple):
    """One comparison: max |own - golden| / max |golden|, or the numerator alone where every golden entry is zero."""

    kind: Kind
    difference: float
    exempt: Exempt | None


def read(name: str) -> dict[str, NDArray[np.generic]]:
    """The arrays of a golden file."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


class Golden:
    """A golden file that remembers which arrays were compared, which were inputs and which are left out, and why."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays = read(name)
        self.used: set[str] = set()
        self.measured: dict[str, Measured] = {}
        self.left_out: dict[str, str] = {}

    def __getitem__(self, key: str) -> Tensor:
        """An input."""
        self.used.add(key)
        return torch.as_tensor(self.arrays[key])

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Inputs below a prefix, by what follows it."""
        return {key.removeprefix(prefix): self[key] for key in list(self.arrays) if key.startswith(prefix)}

    def equal(self, key: str, value: Tensor | float, kind: Kind = "output", exempt: Exempt | None = None) -> None:
        """The value is the golden one, to the limit of its kind or of one of the exceptions above; flags count as 0 and 1.

        Gradient norms of biases before a batch norm need `exempt=BEFORE_BATCH_NORM`.
        """
        expected, own = self[key].double(), torch.as_tensor(value).detach().double()
        assert own.shape == expected.shape, f"{key} is {tuple(own.shape)} where {tuple(expected.shape)} is expected"
        far, size = (own - expected).abs().max().item(), expected.abs().max().item()
        difference = far / size if size else far
        self.measured[key] = Measured(kind, difference, exempt)
        if exempt is None:
            assert difference <= LIMITS[kind], f"{key} differs by {difference:.2g}; a {kind} may by {LIMITS[kind]:.0e}"
        else:
            assert far <= exempt.atol + exempt.rtol * size, f"{key} differs by {far:.2g} although {exempt.reason}"

    def inputs(self, negatives: bool) -> tuple[Batch, ClassText]:
        """The clips, beside negative ones where the method reads them, and the text of every class."""
        names = ["label", "audio", "video"] + ["label_neg", "audio_neg", "video_neg"] * negatives
        batch, classes = Batch(*(self[f"in/{name}"] for name in names)), ClassText(self["in/classes"][:, None])
        assert classes.vectors[batch.label, 0].equal(self["in/text"])
        assert not negatives or classes.vectors[batch.label_negative, 0].equal(self["in/text_neg"])
        return batch, classes

    def gradients(self, method: nn.Module, names: Mapping[str, str], before_batch_norm: Collection[str]) -> None:
        """The gradient norm of every parameter is the golden one, and none is missing on either side."""
        own = {name: parameter.grad for name, parameter in method.named_parameters()}
        for name in self.under("gradnorm/"):
            gradient = own.pop(layers._rename(name, names))
            exempt = BEFORE_BATCH_NORM if name in before_batch_norm else None
            self.equal(f"gradnone/{name}", gradient is None)
            self.equal(f"gradnorm/{name}", 0.0 if gradient is None else gradient.norm(), "gradient", exempt)
        assert not own

    def listed(self, prefixes: Mapping[str, str]) -> None:
        """Every array was used, or stands under a prefix that is listed with a reason, which must be needed."""
        left = self.arrays.keys() - self.used
        for prefix, reason in prefixes.items():
            here = {key for key in left if key.startswith(prefix)}
            assert reason, f"{prefix} is listed without a reason"
            assert here, f"{prefix} is listed, but all of it was compared"
            self.left_out |= dict.fromkeys(here, reason)
        assert not left - self.left_out.keys(), f"neither compared nor listed: {sorted(left - self.left_out.keys())[:5]}"


def outputs_of(method: nn.Module, parts: Iterable[str]) -> dict[str, list[Tensor]]:
    """What every part gives from now on, in the order of the passes."""
    outputs: dict[str, list[Tensor]] = defaultdict(list)
    for name in parts:
        getattr(method, name).register_forward_hook(lambda module, given, output, name=name: outputs[name].append(output))
    return outputs
