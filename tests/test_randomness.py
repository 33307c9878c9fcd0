"""Keyed random numbers: every backend gives the same, whatever is stacked."""

import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avgzsl_bench import randomness
from avgzsl_bench.randomness import dropout_mask, in_torch, random_bits

KEYS = [0, 5, -1, -(2**31), 2**31 - 1]
SHAPES = [(1,), (7,), (64, 3), (3, 4, 5), (5, 0)]
GOLDEN = {(0, 3): [0, 601684611, 273623465], (-7, 3): [1763326210, -784680433, -413717030]}

AS_ONE_KERNEL = """
import torch
from avgzsl_bench.randomness import in_torch
from avgzsl_bench.randomness._triton import by_triton

keys = torch.tensor([3, -4], dtype=torch.int32)
names = torch.arange(14, dtype=torch.int32).view(2, 7) * -1000003
for rows in (None, names[0], names):
    for rate in (None, 0.3, 0.5):
        for columns in (1, 5, 300):
            given = (keys, rows, 7, columns, rate)
            assert torch.equal(by_triton(*given), in_torch(*given)), given
assert torch.equal(by_triton(keys[0], None, 4, 6), in_torch(keys[0], None, 4, 6))
assert by_triton(keys, None, 0, 6).shape == (2, 0, 6)
"""


def key_of(number):
    return torch.tensor(number, dtype=torch.int32)


@pytest.mark.parametrize("number", KEYS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_cpu_gives_what_tensor_arithmetic_gives(number, shape):
    key, count, columns = key_of(number), shape[0], math.prod(shape[1:])
    assert random_bits(key, shape).equal(in_torch(key, None, count, columns).view(shape))
    for rate in (0.1, 0.3, 0.5, 0.8):
        assert dropout_mask(key, shape, rate).equal(in_torch(key, None, count, columns, rate).view(shape))


def test_bits_are_those_of_earlier_versions():
    """Records and checkpoints rest on them."""
    assert {(number, count): random_bits(key_of(number), (count,)).tolist() for number, count in GOLDEN} == GOLDEN


def test_blocks_do_not_show(monkeypatch):
    whole = random_bits(key_of(9), (40, 6))
    monkeypatch.setattr(randomness, "BLOCK", 16)
    assert random_bits(key_of(9), (40, 6)).equal(whole)


def test_a_mask_keeps_what_its_bits_say():
    bits = random_bits(key_of(1), (200, 50))
    mask = dropout_mask(key_of(1), (200, 50), 0.3)
    assert mask.equal((bits >= int(0.3 * 2**32) - 2**31).float() * (1 / 0.7))
    assert mask.mean() == pytest.approx(1, abs=0.02)


def test_stacked_keys_give_what_each_gives():
    keys, names = torch.tensor([3, -4, 8], dtype=torch.int32), torch.arange(12, dtype=torch.int32).view(3, 4)
    drawn = torch.vmap(lambda key: random_bits(key, (4, 2)))(keys)
    assert drawn.equal(torch.stack([random_bits(key, (4, 2)) for key in keys]))
    named = torch.vmap(lambda key, rows: dropout_mask(key, (4, 2), 0.5, rows))(keys, names)
    assert named.equal(torch.stack([dropout_mask(key, (4, 2), 0.5, rows) for key, rows in zip(keys, names, strict=True)]))
    common = torch.vmap(lambda key: random_bits(key, (4, 2), names[0]))(keys)
    assert common.equal(torch.stack([random_bits(key, (4, 2), names[0]) for key in keys]))
    one_key = torch.vmap(lambda rows: random_bits(keys[0], (4, 2), rows))(names)
    assert one_key.equal(torch.stack([random_bits(keys[0], (4, 2), rows) for rows in names]))


def test_a_row_is_drawn_for_its_number():
    names = torch.tensor([5, -2, 5], dtype=torch.int32)
    drawn = random_bits(key_of(1), (3, 10), names)
    assert drawn[0].equal(drawn[2])
    assert not drawn[0].equal(drawn[1])
    assert random_bits(key_of(1), (8, 10))[5].equal(drawn[0])


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton comes with torch's CUDA builds only")
def test_the_kernel_of_a_gpu_gives_the_same():
    """Interpreted on the CPU, so that its arithmetic is checked where there is no GPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(Path(randomness.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", AS_ONE_KERNEL], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
