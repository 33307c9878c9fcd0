"""TCaF written plainly, as what ours is timed beside: dense masked attention over padded clips, torch's own dropout and norms."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def block(inputs, outputs, dropout):
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]


class PlainLayer(nn.Module):
    def __init__(self, width, heads, head_width, hidden, dropout):
        super().__init__()
        self.heads, inner = heads, heads * head_width
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.join = nn.Sequential(nn.Linear(inner, width), nn.Dropout(dropout))
        feed = (nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout))
        self.feed = nn.Sequential(*feed)

    def forward(self, tokens, allowed):
        inner = self.norm(tokens)
        query, key, value = (
            linear(inner).unflatten(2, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) * query.shape[-1] ** -0.5  # (clips, heads, tokens, tokens)
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
        mixed = (scores.softmax(3) @ value).transpose(1, 2).flatten(2)
        tokens = tokens + self.join(mixed)
        return tokens + self.feed(self.norm(tokens))


class PlainTcaf(nn.Module):
    """The losses of a padded batch (`Batch` with labels); `settings` are those of ours."""

    def __init__(self, settings, shapes):
        super().__init__()
        width, place, joint, dropout = settings.width, settings.time_width, settings.joint_width, settings.dropout_encoder
        hidden, text = settings.encoder_hidden, settings.dropout_text
        self.audio_scale = settings.audio_scale
        self.encode = nn.ModuleList(
            nn.Sequential(*block(dim, hidden, dropout), *block(hidden, width, dropout)) for dim in (shapes.audio, shapes.video)
        )
        self.frequencies = nn.Parameter(settings.frequency_scale * torch.randn(1, place // 2), requires_grad=False)
        self.embed_time = nn.Linear(place, place)
        self.modality, self.padding = nn.Embedding(2, place), nn.Embedding(1, place)
        self.join = nn.ModuleList(nn.Linear(width + place, width) for _ in range(2))
        self.drop_tokens = nn.Dropout(settings.dropout_token)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        sizes = (width, settings.heads, settings.head_width, settings.feed_width, settings.dropout_transformer)
        self.transformer = nn.ModuleList(PlainLayer(*sizes) for _ in range(settings.depth))
        deep, clip = settings.decoder_hidden, settings.dropout_decoder
        self.project_clip = nn.Sequential(*block(width, deep, clip), *block(deep, joint, clip))
        self.decode_clip = nn.Sequential(*block(joint, deep, clip), *block(deep, shapes.text, clip))
        self.project_text = nn.Sequential(*block(shapes.text, joint, text))
        self.decode_text = nn.Sequential(*block(joint, shapes.text, text))

    def forward(self, batch, classes):
        texts = classes.vectors.mean(1)
        text = texts[batch.label]
        theta, theta_text = self.clips(batch), self.project_text(text)
        return (
            F.cross_entropy(theta @ self.project_text(texts).T, batch.label)
            + F.mse_loss(theta, theta_text)
            + F.mse_loss(self.decode_clip(theta), text)
            + F.mse_loss(self.decode_text(theta_text), text)
        )

    def clips(self, batch):
        parts = (
            (batch.audio / self.audio_scale, batch.audio_time, batch.audio_mask),
            (F.normalize(batch.video, dim=2), batch.video_time, batch.video_mask),
        )
        sound, picture = (self.tokens(number, *part) for number, part in enumerate(parts))
        tokens = torch.cat([self.class_token.expand(len(sound), -1, -1), sound, picture], 1)
        allowed = self.allowed(batch)
        for layer in self.transformer:
            tokens = layer(tokens, allowed)
        return self.project_clip(tokens[:, 0])

    def tokens(self, number, features, time, mask):
        features = self.encode[number](features.flatten(0, 1)).unflatten(0, features.shape[:2])
        angles = 2 * math.pi * time[..., None] @ self.frequencies
        place = self.embed_time(torch.cat([angles.sin(), angles.cos()], 2)) + self.modality.weight[number]
        place = place + self.padding.weight * ~mask[..., None]
        return self.drop_tokens(self.join[number](torch.cat([features, place], 2)))

    def allowed(self, batch):
        """Who attends to whom, (clips, 1, tokens, tokens): the class token to all, sound to picture and picture to sound."""
        clips, sound = batch.audio_mask.shape
        real = torch.cat([batch.audio_mask.new_ones(clips, 1), batch.audio_mask, batch.video_mask], 1)
        place = torch.arange(real.shape[1], device=real.device)
        kind = (place > 0).int() + (place > sound).int()
        other = (kind[:, None] != kind) | (kind[:, None] == 0)
        return (other & real[:, :, None] & real[:, None, :])[:, None]
