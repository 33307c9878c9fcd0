"""Fixtures of the comparisons with the released code."""

import pytest
import torch


@pytest.fixture
def float64():
    """Doubles by default."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
