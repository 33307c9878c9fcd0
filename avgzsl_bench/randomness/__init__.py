"""Keyed random numbers: a hash of (key, row, column), the same bits from every backend, stacked, alone and after a resume.

One operator to torch: `vmap` maps over its key, `torch.compile` leaves it whole, and each device has its own way to compute it.
"""

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

A, B = 0x045D9F3B, 0x2C1B3C6D  # multipliers of the scrambling
ROWS, COLUMNS = 0x1E3779B1, 0x1B873593  # steps from row to row, and from column to column
_BLOCK = 1 << 15  # values hashed at once on the CPU: what stays in its nearest cache


def key_of(*parts: object) -> int:
    """A signed 32-bit key from anything with a stable repr, such as (seed, stage, epoch)."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little", signed=True)


def random_bits(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform int32 of `shape` (at least one axis) from a scalar int32 key."""
    bits: Tensor = _hashed(key, shape[0], math.prod(shape[1:]))
    return bits.view(shape)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform float64 in [0, 1) of `shape`, with 32 random bits each."""
    return (random_bits(key, shape).double() + 2.0**31) / 2.0**32


@torch.library.custom_op("avgzsl::random_bits", mutates_args=())
def _hashed(key: Tensor, rows: int, columns: int) -> Tensor:
    """(..., rows, columns) int32 from keys (...): a hash of the row and one of the column, joined and hashed again."""
    if key.device.type == "cpu":
        found = key.new_empty((*key.shape, rows, columns))
        keys, parts = key.numpy().view(np.uint32).reshape(-1), found.view(-1, rows, columns).numpy().view(np.uint32)
        for one, part in zip(keys, parts, strict=True):
            _on_the_cpu(one, part)
        return found
    try:
        from avgzsl_bench.randomness._triton import by_triton
    except ImportError:  # it comes with torch on Linux only
        return in_torch(key, rows, columns)
    return by_triton(key, rows, columns)


@_hashed.register_fake
def _(key: Tensor, rows: int, columns: int) -> Tensor:
    return key.new_empty((*key.shape, rows, columns))


@_hashed.register_vmap
def _(info: object, dims: tuple[int | None, ...], key: Tensor, rows: int, columns: int) -> tuple[Tensor, int]:
    assert dims[0] is not None
    return _hashed(key.movedim(dims[0], 0), rows, columns), 0


def _on_the_cpu(key: np.uint32, out: NDArray[np.uint32]) -> None:
    rows, columns = out.shape
    salt = _scramble(_scramble(np.array([key], np.uint32)))
    row = _scramble(_scramble(np.arange(rows, dtype=np.uint32) * np.uint32(ROWS) + salt))
    column = _scramble(_scramble(np.arange(columns, dtype=np.uint32) * np.uint32(COLUMNS) - salt))
    step = max(1, _BLOCK // max(1, columns))
    for first in range(0, rows, step):
        part = out[first : first + step]
        np.bitwise_xor(row[first : first + step, None], column, out=part)
        _scramble(part)


def _scramble(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble values in place, each by itself, by a bijection: equal ones stay equal, unequal ones stay unequal."""
    bits *= np.uint32(A)
    bits ^= bits >> np.uint32(15)
    bits *= np.uint32(B)
    bits ^= bits >> np.uint32(16)
    return bits


def in_torch(key: Tensor, rows: int, columns: int) -> Tensor:
    """The same in plain tensor arithmetic, on any device."""
    salt = mix(mix(key))[..., None]
    row = mix(mix(torch.arange(rows, dtype=torch.int32, device=key.device) * ROWS + salt))
    column = mix(mix(torch.arange(columns, dtype=torch.int32, device=key.device) * COLUMNS - salt))
    return mix(row[..., :, None] ^ column[..., None, :])


def mix(bits: Tensor) -> Tensor:
    """Scramble int32 values, each by itself: equal ones stay equal, unequal ones stay unequal."""
    # int32 products wrap, and the mask makes the arithmetic shift a logical one
    bits = bits * A
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * B
    return bits ^ ((bits >> 16) & 0xFFFF)
