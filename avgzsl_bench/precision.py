"""Precisions of a run: what features and weights are kept in, and what products are computed in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from avgzsl_bench.errors import AvgzslError


class Precision(NamedTuple):
    """One precision; scoring and statistics are in `dtype` always."""

    dtype: torch.dtype
    autocast: torch.dtype | None = None  # of the products in training, where it is another
    tf32: bool = False  # products of float32 matrices with ten bits of mantissa, in training and scoring


USUAL = "float32"
PRECISIONS = {
    USUAL: Precision(torch.float32),
    "float64": Precision(torch.float64),
    "tf32": Precision(torch.float32, tf32=True),
    "bf16": Precision(torch.float32, torch.bfloat16),
}


def checked(name: str) -> str:
    """The name of a precision. Raises AvgzslError for others."""
    if name not in PRECISIONS:
        raise AvgzslError(f"--precision {name!r}; choose {', '.join(PRECISIONS)}")
    return name


def precision(name: str, device: torch.device) -> Precision:
    """A precision by its name. Raises AvgzslError for tf32 away from a GPU that has it."""
    found = PRECISIONS[name]
    if found.tf32 and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise AvgzslError(f"--precision tf32 is of NVIDIA GPUs since Ampere, and this run is on {device}; choose float32 or bf16")
    return found


@contextmanager
def products(tf32: bool) -> Iterator[None]:
    """Compute products of float32 matrices in tf32, or in full, while the block runs."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
