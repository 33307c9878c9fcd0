"""CLIP's text tower (Radford et al. 2021; OpenAI's weights by default), projected and not normalised.

Three rules. A model whose name has a slash (openai/clip-vit-base-patch32), or whose path is a folder, is transformers', every
other open_clip's. Quick GELU follows the weights, since OpenAI's were trained with it and others were not: open_clip's table
says it of `pretrained`, whatever the name of the model, and the config says it of a transformers model. A text of more tokens
than the tower has positions (77) is refused, or cut with a warning where `long_texts=cut` says so.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models, transformer

NAMES = "python -c 'import open_clip; print(open_clip.list_models())'"
TAGS = "python -c 'import open_clip; print(open_clip.list_pretrained())'"
OPENAI = {  # the same weights as open_clip's tag openai
    "openai/clip-vit-base-patch32": "ViT-B-32",
    "openai/clip-vit-base-patch16": "ViT-B-16",
    "openai/clip-vit-large-patch14": "ViT-L-14",
    "openai/clip-vit-large-patch14-336": "ViT-L-14-336",
}
HOMES = {  # of open_clip's tag openai, as its table has them: asking it costs seconds of import, whenever encoders are listed
    "ViT-B-32": "timm/vit_base_patch32_clip_224.openai",
    "ViT-B-16": "timm/vit_base_patch16_clip_224.openai",
    "ViT-L-14": "timm/vit_large_patch14_clip_224.openai",
    "ViT-L-14-336": "timm/vit_large_patch14_clip_336.openai",
}


FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # of open_clip on the hub, the safe format first


class Clip(models.HubEncoder):
    """Projected text features of a CLIP model, in the space of its picture features."""

    licence = "MIT (OpenAI's weights; others have their own)"
    name = "clip"
    libraries = ("open_clip_torch", *transformer.LIBRARIES)

    class Settings(models.HubEncoder.Settings):
        model: str = Field("ViT-B-32", description="Architecture, as open_clip names it, or a transformers model on the hub.")
        pretrained: str = Field("openai", description="Which weights of an open_clip architecture, as open_clip tags them.")
        path: str = Field("", description="Checkpoint file (open_clip) or folder (transformers); empty looks in the hub cache.")

    settings: Settings

    @property
    def of_transformers(self) -> bool:
        """Whether transformers loads the tower: its name has a slash, or its path is a folder."""
        path = self.settings.path
        return "/" in self.settings.model or (path != "" and Path(path).expanduser().is_dir())

    @property
    def revision(self) -> str:
        return super().revision if self.of_transformers else models.revision({"weights": self._file()})

    @property
    def space(self) -> str:
        name = self.settings.model
        if not self.of_transformers:
            return f"clip:{name.removesuffix('-quickgelu')}:{self.settings.pretrained}"
        if "/" not in name:
            return ""  # a folder of which nobody said what it holds
        return f"clip:{OPENAI[name]}:openai" if name in OPENAI else f"clip:{name}"

    @property
    def quick_gelu(self) -> bool:
        """Whether these weights were trained with quick GELU."""
        return bool(self._table_entry().get("quick_gelu", self.settings.pretrained == "openai"))

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        return self._by_transformers(texts) if self.of_transformers else self._by_open_clip(texts)

    def fetch(self) -> str:
        if self.of_transformers:
            return super().fetch()
        file = self._file() if self.settings.path else models.download_file(*self._source())
        return f"{self.settings.model} {self.settings.pretrained}: {file} ({models.size(file)})"

    def _by_transformers(self, texts: list[str]) -> NDArray[np.float32]:
        from transformers import CLIPTextModelWithProjection

        what = "CLIP text tower with projection"
        tokenizer, model = transformer.load(CLIPTextModelWithProjection, self.folder, self.settings, what)
        limit = transformer.limit(tokenizer, model)
        return transformer.encode(texts, self.settings, tokenizer, limit, lambda tokens: model(**tokens).text_embeds)

    def _by_open_clip(self, texts: list[str]) -> NDArray[np.float32]:
        import open_clip

        self._config()
        tokenizer = open_clip.get_tokenizer(self.settings.model)
        lengths = [len(tokenizer.encode(text)) + 2 for text in texts]  # the start and the end of a text are tokens too
        models.fit(texts, lengths, tokenizer.context_length, self.settings.long_texts)
        model = self._model()

        def vectors(batch: list[str]) -> Any:
            # some architectures (CoCa) scale to length one unless told
            return model.encode_text(tokenizer(batch).to(self.settings.device), normalize=False)

        return models.encoded(texts, self.settings, vectors)

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
        if self.settings.pretrained == "openai" and self.settings.model in HOMES:
            return (HOMES[self.settings.model], *FILES)
        self._config()
        repo, _, name = self._table_entry().get("hf_hub", "").rpartition("/")
        if not repo:
            raise self._no_weights()
        if name in ("", FILES[1]):
            return (repo, *FILES)
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

        file, device = self._file(), models.device(self.settings.device)
        with models.loading(file, f"checkpoint of clip {self.settings.model}"):
            model = open_clip.create_model(
                self.settings.model, pretrained=str(file), force_quick_gelu=self.quick_gelu, precision="fp32"
            )
        return model.to(device).eval()


MEMBER = Clip
