"""Weights and inputs made by formulas, for which figures of the released modules are known in float64."""

import torch
from torch import nn

from avgzsl_bench.contracts import Batch, ClassText


def wave(shape, frequency, phase):
    count = torch.Size(shape).numel()
    return torch.sin(frequency * torch.arange(count, dtype=torch.float64) + phase).view(shape)


def cosine_wave(shape, frequency, phase):
    return wave(shape, frequency, phase + torch.pi / 2)


def unit_rows(values):
    return nn.functional.normalize(values)


LABELS = torch.tensor([0, 3, 5, 5, 10, 2, 7, 1])
AUDIO, VIDEO = wave((8, 16), 0.11, 1).abs(), wave((8, 24), 0.13, 2).abs()
AUDIO_NEGATIVE, VIDEO_NEGATIVE = wave((8, 16), 0.19, 3).abs(), wave((8, 24), 0.23, 4).abs()
TEXT, TEXT_NEGATIVE = unit_rows(wave((8, 300), 0.17, 5)), unit_rows(wave((8, 300), 0.29, 6))
CLASSES = unit_rows(wave((11, 300), 0.31, 7))


@torch.no_grad()
def fill(method, amplitude=0.05, others=None):
    """Number the layers in order and fill each from its number; `others` gives some numbers another amplitude of the weight."""
    number = 0
    for module in method.modules():
        if isinstance(module, nn.Linear):
            number += 1
            module.weight.copy_((others or {}).get(number, amplitude) * wave(module.weight.shape, 0.37, number))
            if module.bias is not None:
                module.bias.copy_(0.1 * cosine_wave(module.bias.shape, 0.53, number))
        elif isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            number += 1
            module.weight.copy_(1 + 0.1 * wave(module.weight.shape, 0.71, number))
            module.bias.copy_(0.1 * cosine_wave(module.bias.shape, 0.29, number))
    return number


def pairs():
    """Clips and clips of other classes, with a class each: its text stands in the first eight rows, theirs in the others."""
    rows = torch.arange(8)
    batch = Batch(rows, AUDIO, VIDEO, rows + 8, AUDIO_NEGATIVE, VIDEO_NEGATIVE)
    return batch, ClassText(torch.cat([TEXT, TEXT_NEGATIVE])[:, None])
