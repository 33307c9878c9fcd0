"""Keyed dropout: for places, or for rows that have names."""

import torch

from avgzsl_bench.layers import Dropout, reseed


def dropout(seed=0, rate=0.3):
    layer = Dropout(rate).train()
    reseed(layer, seed)
    return layer


def test_dropout_keeps_a_share_and_its_mean():
    values = dropout()(torch.full((200, 300), 2.0))
    assert values.unique().tolist() == [0.0, torch.tensor(2.0).div(0.7).item()]
    assert abs(values.mean() - 2) < 0.02


def test_dropout_follows_the_names_of_rows_wherever_they_stand():
    values, names = torch.randn(6, 4, 50), torch.arange(24, dtype=torch.int32).view(6, 4) * 1000
    dropped = dropout()(values, names)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0))[:20]
    again = dropout()(values.flatten(0, 1)[order], names.flatten()[order])
    assert again.equal(dropped.flatten(0, 1)[order])
    assert not again.equal(dropout()(values.flatten(0, 1)[order]))
    assert len((dropped == 0).flatten(0, 1).unique(dim=0)) == 24, "every row is drawn for itself"
