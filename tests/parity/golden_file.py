"""Comparing against a golden file: every difference is measured, held to its limit and kept for the table of `table.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

    def listed(self, prefixes: Mapping[str, str]) -> None:
        """Every array was used, or stands under a prefix that is listed with a reason, which must be needed."""
        left = self.arrays.keys() - self.used
        for prefix, reason in prefixes.items():
            here = {key for key in left if key.startswith(prefix)}
            assert reason, f"{prefix} is listed without a reason"
            assert here, f"{prefix} is listed, but all of it was compared"
            self.left_out |= dict.fromkeys(here, reason)
        assert not left - self.left_out.keys(), f"neither compared nor listed: {sorted(left - self.left_out.keys())[:5]}"
