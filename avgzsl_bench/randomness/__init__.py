"""Keyed random numbers: a hash of (key, row, column), the same bits from every backend, stacked, alone and after a resume.

One operator to torch: `vmap` maps over its key, `torch.compile` leaves it whole, and each device has its own way to compute it.
"""

import hashlib
import math
from typing import Any

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


def random_bits(key: Tensor, shape: tuple[int, ...], rows: Tensor | None = None) -> Tensor:
    """Uniform int32 of `shape` (at least one axis) from a scalar int32 key.

    Rows are those of the first axis, or those that int32 `rows` numbers, of the shape that `shape` begins with: bits then
    depend on the number of a row and not on its place.
    """
    count, columns = (shape[0], math.prod(shape[1:])) if rows is None else (rows.numel(), math.prod(shape[rows.ndim :]))
    bits: Tensor = _hashed(key, None if rows is None else rows.reshape(-1), count, columns)
    return bits.view(shape)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform float64 in [0, 1) of `shape`, with 32 random bits each."""
    return (random_bits(key, shape).double() + 2.0**31) / 2.0**32


@torch.library.custom_op("avgzsl::random_bits", mutates_args=())
def _hashed(key: Tensor, rows: Tensor | None, count: int, columns: int) -> Tensor:
    """(..., count, columns) int32: a hash of the row's number and one of the column's, joined and hashed again.

    One key, or (copies,) of them; `rows` (count,) or (copies, count) are numbers of rows, 0 to count - 1 if left out.
    """
    if key.device.type == "cpu":
        return _on_the_cpu(key, rows, count, columns)
    try:
        from avgzsl_bench.randomness._triton import by_triton
    except ImportError:  # it comes with torch on Linux only
        return in_torch(key, rows, count, columns)
    return by_triton(key, rows, count, columns)


@_hashed.register_fake
def _(key: Tensor, rows: Tensor | None, count: int, columns: int) -> Tensor:
    return key.new_empty((*key.shape, count, columns))


@_hashed.register_vmap
def _(info: Any, dims: tuple[int | None, ...], key: Tensor, rows: Tensor | None, count: int, columns: int) -> tuple[Tensor, int]:
    keys = key.expand(info.batch_size) if dims[0] is None else key
    numbers = rows if rows is None or dims[1] is None else rows.movedim(dims[1], 0)
    return _hashed(keys.contiguous(), numbers, count, columns), 0


def _on_the_cpu(key: Tensor, rows: Tensor | None, count: int, columns: int) -> Tensor:
    found = key.new_empty((*key.shape, count, columns))
    keys, parts = key.numpy().view(np.uint32).reshape(-1), found.view(key.numel(), count, columns).numpy().view(np.uint32)
    numbers = np.arange(count, dtype=np.uint32) if rows is None else rows.numpy().astype(np.uint32)
    for one, own, part in zip(keys, np.broadcast_to(numbers, (len(keys), count)), parts, strict=True):
        _hash_into(part, one, own)
    return found


def _hash_into(out: NDArray[np.uint32], key: np.uint32, rows: NDArray[np.uint32]) -> None:
    count, columns = out.shape
    salt = _scramble(_scramble(np.array([key], np.uint32)))
    row = _scramble(_scramble(rows * np.uint32(ROWS) + salt))
    column = _scramble(_scramble(np.arange(columns, dtype=np.uint32) * np.uint32(COLUMNS) - salt))
    step = max(1, _BLOCK // max(1, columns))
    for first in range(0, count, step):
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


def in_torch(key: Tensor, rows: Tensor | None, count: int, columns: int) -> Tensor:
    """The same in plain tensor arithmetic, on any device."""
    numbers = torch.arange(count, dtype=torch.int32, device=key.device) if rows is None else rows
    salt = mix(mix(key))[..., None]
    row = mix(mix(numbers * ROWS + salt))
    column = mix(mix(torch.arange(columns, dtype=torch.int32, device=key.device) * COLUMNS - salt))
    return mix(row[..., :, None] ^ column[..., None, :])


def mix(bits: Tensor) -> Tensor:
    """Scramble int32 values, each by itself: equal ones stay equal, unequal ones stay unequal."""
    # int32 products wrap, and the mask makes the arithmetic shift a logical one
    bits = bits * A
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * B
    return bits ^ ((bits >> 16) & 0xFFFF)
