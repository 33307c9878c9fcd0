"""The hash of random bits and masks as one GPU kernel: in plain arithmetic it is dozens, that start more slowly than they run."""

import torch
import triton
from torch import Tensor
from triton import language as tl

from avgzsl_bench.randomness import COLUMNS, ROWS, A, B, threshold

SIZE = 1024  # values a program


def by_triton(key: Tensor, rows: Tensor | None, count: int, columns: int, rate: float | None = None) -> Tensor:
    """What `in_torch` gives, on the device of the keys."""
    out = key.new_empty((*key.shape, count, columns), dtype=torch.int32 if rate is None else torch.float32)
    grid = (triton.cdiv(count * columns, SIZE), key.numel())
    numbers = key if rows is None else rows.contiguous()  # what is not there is not read
    per_copy = 0 if rows is None or rows.ndim == 1 else count
    if out.numel():
        given = (key.contiguous(), numbers, out, count, columns, per_copy)
        kept = (0, 0.0) if rate is None else (threshold(rate), 1 / (1 - rate))
        _kernel[grid](*given, *kept, rows is not None, rate is not None, A, B, ROWS, COLUMNS, SIZE)
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _scrambled(bits, a: tl.constexpr, b: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    bits = bits * a
    bits = (bits ^ (bits >> 15)) * b
    return bits ^ (bits >> 16)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]  # noqa: ANN202
    keys,  # noqa: ANN001
    numbers,  # noqa: ANN001
    out,  # noqa: ANN001
    count,  # noqa: ANN001
    columns,  # noqa: ANN001
    per_copy,  # noqa: ANN001
    least,  # noqa: ANN001
    scale,  # noqa: ANN001
    numbered: tl.constexpr,
    masked: tl.constexpr,
    a: tl.constexpr,
    b: tl.constexpr,
    row_step: tl.constexpr,
    column_step: tl.constexpr,
    size: tl.constexpr,
):
    copy = tl.program_id(1)
    place = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    inside = place < count * columns
    salt = tl.load(keys + copy).to(tl.uint32, bitcast=True)
    salt = _scrambled(_scrambled(salt, a, b), a, b)
    row = (place // columns).to(tl.uint32)
    if numbered:
        row = tl.load(numbers + copy * per_copy + place // columns, inside).to(tl.uint32, bitcast=True)
    row = _scrambled(_scrambled(row * row_step + salt, a, b), a, b)
    column = _scrambled(_scrambled((place % columns).to(tl.uint32) * column_step - salt, a, b), a, b)
    found = _scrambled(row ^ column, a, b).to(tl.int32, bitcast=True)
    if masked:
        found = tl.where((found >> 1) >= least, scale, 0.0)
    tl.store(out + copy.to(tl.int64) * count * columns + place, found, inside)
