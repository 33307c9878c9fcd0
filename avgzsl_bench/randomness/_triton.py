"""The hash of `random_bits` as one GPU kernel: in plain tensor arithmetic it is dozens, each waiting longer than it takes."""

import triton
from torch import Tensor
from triton import language as tl

from avgzsl_bench.randomness import COLUMNS, ROWS, A, B

SIZE = 1024  # values a program


def by_triton(key: Tensor, rows: int, columns: int) -> Tensor:
    """(..., rows, columns) int32 from int32 keys (...), on the device of the keys."""
    out = key.new_empty((*key.shape, rows, columns))
    grid = (triton.cdiv(rows * columns, SIZE), key.numel())
    if out.numel():
        _kernel[grid](key.contiguous(), out, rows, columns, A, B, ROWS, COLUMNS, SIZE)
    return out


@triton.jit  # type: ignore[untyped-decorator]
def _scrambled(bits, a: tl.constexpr, b: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    bits = bits * a
    bits = (bits ^ (bits >> 15)) * b
    return bits ^ (bits >> 16)


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]  # noqa: ANN202
    keys,  # noqa: ANN001
    out,  # noqa: ANN001
    rows,  # noqa: ANN001
    columns,  # noqa: ANN001
    a: tl.constexpr,
    b: tl.constexpr,
    row_step: tl.constexpr,
    column_step: tl.constexpr,
    size: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64) * size + tl.arange(0, size)
    salt = tl.load(keys + tl.program_id(1)).to(tl.uint32, bitcast=True)
    salt = _scrambled(_scrambled(salt, a, b), a, b)
    row = _scrambled(_scrambled((place // columns).to(tl.uint32) * row_step + salt, a, b), a, b)
    column = _scrambled(_scrambled((place % columns).to(tl.uint32) * column_step - salt, a, b), a, b)
    bits = _scrambled(row ^ column, a, b)
    start = tl.program_id(1).to(tl.int64) * rows * columns
    tl.store(out + start + place, bits.to(tl.int32, bitcast=True), place < rows * columns)
