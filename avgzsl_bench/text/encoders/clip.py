"""CLIP's text tower through open_clip (Radford et al. 2021; OpenAI's weights by default), projected and not normalised.

Two rules. Quick GELU follows the weights, since OpenAI's were trained with it and others were not: what open_clip's table
says of `pretrained`, whatever the name of the model. A text of more tokens than the tower has positions is refused.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench import plugins
from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models

NAMES = "python -c 'import open_clip; print(open_clip.list_models())'"
TAGS = "python -c 'import open_clip; print(open_clip.list_pretrained())'"


class Clip(TextEncoder):
    """Projected text features of a CLIP model, in the space of its picture features."""

    licence = "MIT (OpenAI's weights; others have their own)"
    libraries = ("open_clip_torch",)

    class Settings(TextEncoder.Settings):
        model: str = Field("ViT-B-32", description="Architecture, as open_clip names it.")
        pretrained: str = Field("openai", description="Which weights, as open_clip tags them.")
        path: str = Field("", description="Checkpoint file of these weights; empty looks in the hub cache.")

    @property
    def revision(self) -> str:
        return models.revision({"weights": self._file()})

    @property
    def space(self) -> str:
        return f"clip:{self.settings.model.removesuffix('-quickgelu')}:{self.settings.pretrained}"

    @property
    def quick_gelu(self) -> bool:
        """Whether these weights were trained with quick GELU."""
        return bool(self._table_entry().get("quick_gelu", self.settings.pretrained == "openai"))

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        import open_clip
        import torch

        self._config()
        tokenizer = open_clip.get_tokenizer(self.settings.model)
        _refuse_long(texts, tokenizer)
        model = self._model()
        with torch.inference_mode():
            parts = [model.encode_text(tokenizer(batch).to(self.device)) for batch in models.batches(texts)]
        return np.asarray(torch.cat(parts).float().cpu().numpy())  # (texts, dim)

    def fetch(self) -> str:
        file = self._file() if self.settings.path else models.download_file(*self._source())
        return f"{self.settings.model} {self.settings.pretrained}: {file} ({models.size(file)})"

    def _config(self) -> dict[str, Any]:
        """The architecture. Raises AvgzslError for an unknown one, and for a tokenizer that would need the network."""
        import open_clip

        name = self.settings.model
        config: dict[str, Any] | None = open_clip.get_model_config(name) if ":" not in name else None
        if config is None:
            raise AvgzslError(plugins.unknown("clip model", name, open_clip.list_models(), NAMES))
        if "hf_tokenizer_name" in config["text_cfg"] or "hf_model_name" in config["text_cfg"]:
            raise AvgzslError(f"clip model {name!r} brings its own tokenizer, which is not supported; choose one like ViT-B-16")
        return config

    def _table_entry(self) -> dict[str, Any]:
        from open_clip.pretrained import get_pretrained_cfg

        entry: dict[str, Any] = get_pretrained_cfg(self.settings.model, self.settings.pretrained)
        return entry

    def _source(self) -> tuple[str, ...]:
        """Hub repository of the weights, then the names they may have there, the safe format first."""
        self._config()
        repo, _, name = self._table_entry().get("hf_hub", "").rpartition("/")
        if not repo:
            raise self._no_weights()
        if name in ("", "open_clip_pytorch_model.bin"):
            return (repo, "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        return (repo, *dict.fromkeys([str(Path(name).with_suffix(".safetensors")), name]))

    def _no_weights(self) -> AvgzslError:
        import open_clip

        known = open_clip.list_pretrained_tags_by_model(self.settings.model)
        if self.settings.pretrained not in known:
            what = f"weights of clip {self.settings.model}"
            return AvgzslError(plugins.unknown(what, self.settings.pretrained, known, TAGS))
        tag = f"{self.settings.pretrained} of clip {self.settings.model}"
        return AvgzslError(f"weights {tag} are not on the hub; download them and give encoder.path")

    def _file(self) -> Path:
        if self.settings.path:
            return models.given_file(self.settings.path)
        file = models.cached_file(*self._source())
        if file is None:
            raise models.missing("clip", self.settings, f"{self.settings.model}, {self.settings.pretrained}")
        return file

    def _model(self) -> Any:
        import open_clip

        file = self._file()
        with models.loading(file, f"checkpoint of clip {self.settings.model}"):
            model = open_clip.create_model(
                self.settings.model,
                pretrained=str(file),
                force_quick_gelu=self.quick_gelu,
                device=self.device,
                precision="fp32",
            )
        return model.eval()


def _refuse_long(texts: list[str], tokenizer: Any) -> None:
    limit = tokenizer.context_length
    for text in texts:
        tokens = len(tokenizer.encode(text)) + 2  # the start and the end of a text are tokens too
        if tokens > limit:
            raise AvgzslError(f"text {text[:60]!r}... has {tokens} tokens, clip reads {limit}; shorten it or use another encoder")


MEMBER = Clip
