"""A language model on this machine: any causal model of transformers, from a folder or the hub cache, without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import models, transformer
from avgzsl_bench.text.describing.answers import Answer

ANSWER_TOKENS = 512  # three descriptions take some 150


class Local:
    """Generates as the model's own generation settings say, one answer at a time.

    Raises AvgzslError for a model that is not on this machine, naming the command that gets it.
    """

    host = "this machine"

    def __init__(self, source: str, device: Any = "cpu") -> None:
        given = Path(source).expanduser()
        folder = given if given.is_dir() else models.cached_folder(source)
        if folder is None:
            raise AvgzslError(
                f"model {source!r} is neither a folder nor in the hub cache of this machine; `hf download {source}` gets it"
            )
        self.model = given.resolve().name if given.is_dir() else source
        self._folder, self._device = folder, device
        self._served = f"{self.model} ({models.folder_revision(folder)[:16]})"
        self._loaded: tuple[Any, Any] | None = None

    async def answer(self, messages: Sequence[dict[str, str]]) -> Answer:
        """What the model says next. Raises AvgzslError for a model that cannot be loaded, or reads too little."""
        import torch

        self._loaded = self._loaded or self._load()
        tokenizer, model = self._loaded
        tokens = _tokens(tokenizer, messages)
        asked = tokens["input_ids"].shape[1]
        limit = getattr(model.config, "max_position_embeddings", None)
        if limit and asked + ANSWER_TOKENS > limit:
            raise AvgzslError(
                f"model {self.model!r} reads {limit} tokens, and a question with its answer takes {asked + ANSWER_TOKENS}; "
                "use another"
            )
        padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        with torch.inference_mode():
            all_tokens = model.generate(**tokens.to(self._device), max_new_tokens=ANSWER_TOKENS, pad_token_id=padding)
        said = all_tokens[0, asked:]  # (tokens,)
        problem = f"was cut off after {ANSWER_TOKENS} tokens" if len(said) >= ANSWER_TOKENS else ""
        return Answer(tokenizer.decode(said, skip_special_tokens=True), self._served, (asked, len(said)), problem)

    async def close(self) -> None:
        """Nothing is open."""

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        models.quiet()
        with models.loading(self._folder, "causal language model"), transformer.silent():
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model, report = AutoModelForCausalLM.from_pretrained(self._folder, local_files_only=True, output_loading_info=True)
            if missing := report["missing_keys"]:
                raise ValueError(f"it lacks {min(missing)}")
            return tokenizer, model.to(self._device).eval()


def _tokens(tokenizer: Any, messages: Sequence[dict[str, str]]) -> Any:
    """The conversation as the model's chat template has it, or one paragraph after another where it has none."""
    if not tokenizer.chat_template:
        return tokenizer("\n\n".join(message["content"] for message in messages) + "\n\n", return_tensors="pt")
    return tokenizer.apply_chat_template(
        list(messages),
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
        enable_thinking=False,  # templates that know of no thinking pass it over
    )
