"""Keyed random numbers: a hash of (key, row, column), the same from every backend, stacked, alone and after a resume.

They are operators to torch: `vmap` maps over their keys, `torch.compile` leaves them whole, and each device has its own way to
compute them. `in_torch` says what they are.
"""

import hashlib
import math
import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import library as operators

A, B = 0x045D9F3B, 0x2C1B3C6D  # multipliers of the scrambling
ROWS, COLUMNS = 0x1E3779B1, 0x1B873593  # steps from row to row, and from column to column
BLOCK = 1 << 16  # values hashed at once on the CPU: what stays in its cache
WORD = 0xFFFFFFFF
_MEMORY = threading.local()


def key_of(*parts: object) -> int:
    """A signed 32-bit key from anything with a stable repr, such as (seed, stage, epoch)."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "little", signed=True)


def random_bits(key: Tensor, shape: tuple[int, ...], rows: Tensor | None = None) -> Tensor:
    """Uniform int32 of `shape` (at least one axis) from a scalar int32 key.

    Rows are those of the first axis, or those that int32 `rows` numbers, of the shape that `shape` begins with: bits then
    depend on the number of a row and not on its place.
    """
    bits: Tensor = torch.ops.avgzsl.random_bits(key, *_rows(shape, rows))
    return bits.view(shape)


def uniform(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform float64 in [0, 1) of `shape`, with 32 random bits each."""
    return (random_bits(key, shape).double() + 2.0**31) / 2.0**32


def dropout_mask(key: Tensor, shape: tuple[int, ...], rate: float, rows: Tensor | None = None) -> Tensor:
    """Float32 of `shape` from a scalar int32 key: 0 with probability `rate`, else 1 / (1 - rate); `rows` as in `random_bits`."""
    mask: Tensor = torch.ops.avgzsl.dropout_mask(key, *_rows(shape, rows), rate)
    return mask.view(shape)


def _rows(shape: tuple[int, ...], rows: Tensor | None) -> tuple[Tensor | None, int, int]:
    if rows is None:
        return None, shape[0], math.prod(shape[1:])
    return rows.reshape(-1), rows.numel(), math.prod(shape[rows.ndim :])


def in_torch(key: Tensor, rows: Tensor | None, count: int, columns: int, rate: float | None = None) -> Tensor:
    """(..., count, columns): a hash of the row's number and one of the column's, joined and hashed again; a mask with a `rate`.

    One key, or (copies,) of them; `rows` (count,) or (copies, count) are numbers of rows, 0 to count - 1 if left out.
    """
    numbers = torch.arange(count, dtype=torch.int32, device=key.device) if rows is None else rows
    salt = mix(mix(key))[..., None]
    row = mix(mix(numbers * ROWS + salt))
    column = mix(mix(torch.arange(columns, dtype=torch.int32, device=key.device) * COLUMNS - salt))
    bits = mix(row[..., :, None] ^ column[..., None, :])
    return bits if rate is None else ((bits >> 1) >= threshold(rate)).float() * (1 / (1 - rate))


def mix(bits: Tensor) -> Tensor:
    """Scramble int32 values, each by itself: equal ones stay equal, unequal ones stay unequal."""
    # int32 products wrap, and the mask makes the arithmetic shift a logical one
    bits = bits * A
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * B
    return bits ^ ((bits >> 16) & 0xFFFF)


def threshold(rate: float) -> int:
    """What half the bits must reach for a value to be kept."""
    return (int(rate * 2**32) - 2**31) >> 1


def _on_the_cpu(key: Tensor, rows: Tensor | None, count: int, columns: int, rate: float | None = None) -> Tensor:
    found = torch.empty((*key.shape, count, columns), dtype=torch.int32 if rate is None else torch.float32)
    keys, parts = key.reshape(-1).tolist(), found.view(key.numel(), count, columns).numpy().view(np.uint32)
    numbers = np.arange(count, dtype=np.uint32) if rows is None else rows.numpy().view(np.uint32)
    for own, named, part in zip(keys, np.broadcast_to(numbers, (len(keys), count)), parts, strict=True):
        _hash_into(part, own, named, rate)
    return found


def _hash_into(out: NDArray[np.uint32], key: int, rows: NDArray[np.uint32], rate: float | None) -> None:
    count, columns = out.shape
    salt = np.uint32(_mixed(_mixed(key & WORD)))
    steps = np.empty(count + columns, np.uint32)
    np.multiply(rows, np.uint32(ROWS), out=steps[:count])
    np.multiply(np.arange(columns, dtype=np.uint32), np.uint32(COLUMNS), out=steps[count:])
    steps[:count] += salt
    steps[count:] -= salt
    spare = _spare(max(BLOCK, columns, count + columns))
    for _ in range(2):
        _scramble(steps, spare[: len(steps)])
    high = max(1, BLOCK // max(1, columns))
    for first in range(0, count, high):
        part = out[first : first + high]
        np.bitwise_xor(steps[first : first + len(part), None], steps[count:], out=part)
        _scramble(part, spare[: part.size].reshape(part.shape))
        if rate is not None:
            _keep(part.view(np.int32), rate)


def _spare(size: int) -> NDArray[np.uint32]:
    """Memory of this thread, kept: to the system, a fresh piece of this size costs as much as the hashing."""
    kept: NDArray[np.uint32] | None = getattr(_MEMORY, "spare", None)
    if kept is None or len(kept) < size:
        kept = _MEMORY.spare = np.empty(size, np.uint32)
    return kept


def _mixed(bits: int) -> int:
    bits = bits * A & WORD
    bits = (bits ^ bits >> 15) * B & WORD
    return bits ^ bits >> 16


def _scramble(bits: NDArray[np.uint32], spare: NDArray[np.uint32]) -> None:
    """`mix` in place."""
    np.multiply(bits, np.uint32(A), out=bits)
    np.bitwise_xor(bits, np.right_shift(bits, np.uint32(15), out=spare), out=bits)
    np.multiply(bits, np.uint32(B), out=bits)
    np.bitwise_xor(bits, np.right_shift(bits, np.uint32(16), out=spare), out=bits)


def _keep(bits: NDArray[np.int32], rate: float) -> None:
    """Bits become those of float32: of 1 / (1 - rate) where they reach the threshold, else of 0, by a sign that is spread."""
    np.right_shift(bits, 1, out=bits)
    np.subtract(np.int32(threshold(rate) - 1), bits, out=bits)
    np.right_shift(bits, 31, out=bits)
    np.bitwise_and(bits, np.float32(1 / (1 - rate)).view(np.int32), out=bits)


def _on_cuda(key: Tensor, rows: Tensor | None, count: int, columns: int, rate: float | None = None) -> Tensor:
    try:
        from avgzsl_bench.randomness._triton import by_triton
    except ImportError:  # it comes with torch on Linux only
        return in_torch(key, rows, count, columns, rate)
    with torch.cuda.device(key.device):
        return by_triton(key, rows, count, columns, rate)


def _declare(name: str, more: str, dtype: torch.dtype) -> None:
    """One operator, on both devices, under `vmap` and under `torch.compile`."""
    _LIBRARY.define(f"{name}(Tensor key, Tensor? rows, int count, int columns{more}) -> Tensor")
    _LIBRARY.impl(name, _on_the_cpu, "CPU")
    _LIBRARY.impl(name, _on_cuda, "CUDA")

    def shaped(key: Tensor, rows: Tensor | None, count: int, columns: int, *rate: float) -> Tensor:
        return key.new_empty((*key.shape, count, columns), dtype=dtype)

    def mapped(info: Any, dims: tuple[int | None, ...], key: Tensor, rows: Tensor | None, *others: Any) -> tuple[Tensor, int]:
        keys = key if dims[0] is not None else key.expand(info.batch_size)
        numbers = rows if rows is None or dims[1] is None else rows.movedim(dims[1], 0)
        found: Tensor = getattr(torch.ops.avgzsl, name)(keys.contiguous(), numbers, *others)
        return found, 0

    operators.register_fake(f"avgzsl::{name}", shaped, lib=_LIBRARY)
    operators.register_vmap(f"avgzsl::{name}", mapped, lib=_LIBRARY)


_LIBRARY = operators.Library("avgzsl", "DEF")
_declare("random_bits", "", torch.int32)
_declare("dropout_mask", ", float rate", torch.float32)
