"""Comparing against a golden file, with a count of what was compared."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "golden"


class Golden:
    """A golden file that remembers which arrays were read by a comparison or as an input."""

    def __init__(self, name: str) -> None:
        with np.load(FOLDER / f"{name}.npz") as arrays:
            self.arrays = {key: arrays[key] for key in arrays.files}
        self.used: set[str] = set()

    def __getitem__(self, key: str) -> Tensor:
        self.used.add(key)
        return torch.as_tensor(self.arrays[key])

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Arrays below a prefix, by what follows it."""
        return {key.removeprefix(prefix): self[key] for key in list(self.arrays) if key.startswith(prefix)}

    def equal(self, key: str, value: Tensor, rtol: float = 1e-4, atol: float = 1e-5) -> None:
        """The value is the golden one, to the tolerances of the file's README."""
        torch.testing.assert_close(
            value.detach(), self[key], rtol=rtol, atol=atol, check_dtype=False, msg=lambda m: f"{key}: {m}"
        )

    def listed(self, prefixes: dict[str, str]) -> None:
        """Every array was used, or stands under a prefix that is listed with a reason, which must be needed."""
        left = self.arrays.keys() - self.used
        assert not {key for key in left if not key.startswith(tuple(prefixes))}
        assert all(reason and any(key.startswith(prefix) for key in left) for prefix, reason in prefixes.items())
