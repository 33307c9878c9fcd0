"""What encoders with weights share: finding the weights on this machine, naming them by hash, fetching them, batches."""

import hashlib
import json
import logging
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import sha256

log = logging.getLogger(__name__)

CONFIGS = {"config.json", "tokenizer_config.json"}
SENTENCES = {"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"}  # of sentence-transformers only
TOKENIZER = "tokenizer.json"  # a whole tokenizer, preferred to what older ones are put together from
VOCABULARY = {"vocab.txt", "vocab.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}
PIECES = VOCABULARY | {"special_tokens_map.json", "added_tokens.json", "merges.txt"}
SAFE = ("model.safetensors", "model.safetensors.index.json")
WEIGHTS = (*SAFE, "pytorch_model.bin", "pytorch_model.bin.index.json")  # the order in which the loaders look
WEIGHTLESS = {"Transformer", "Pooling", "Normalize", "Dropout"}  # modules of sentence-transformers without weights of their own


class Settings(TextEncoder.Settings):
    """What every encoder with a model can be told."""

    batch_size: int = Field(64, ge=1, description="Texts encoded at a time; changes no vector beyond its last bits.")
    device: str = Field("cpu", description="Where it encodes: cpu, cuda or cuda:N. Vectors that are kept serve every device.")
    normalise: bool = Field(False, description="Scale every vector to length one.")
    long_texts: Literal["refuse", "cut"] = Field(
        "refuse", description="A text of more tokens than the model reads: refuse it by name, or cut it and say so."
    )


def encoded(texts: Sequence[str], settings: Settings, encode: Callable[[list[str]], Any]) -> NDArray[np.float32]:
    """Vectors (texts, dim) by `encode`, which makes a tensor (texts, dim) of a batch; long work says how far it is."""
    import torch

    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))  # texts of like length share a batch: less is padded
    parts = []
    for start in range(0, len(texts), settings.batch_size):
        if start:
            log.info("encoded %d of %d texts", start, len(texts))
        with torch.inference_mode():
            parts.append(encode([texts[i] for i in order[start : start + settings.batch_size]]).float().cpu())
    vectors = torch.cat(parts)[np.argsort(order)]
    return np.asarray((torch.nn.functional.normalize(vectors) if settings.normalise else vectors).numpy())


def fit(texts: Sequence[str], lengths: Sequence[int], limit: int, long_texts: str) -> None:
    """Refuse texts of more tokens than a model reads, or say how many of them it will cut."""
    long = [(text, length) for text, length in zip(texts, lengths, strict=True) if length > limit]
    if long and long_texts == "refuse":
        text, length = long[0]
        raise AvgzslError(
            f"text {_start(text)!r} has {length} tokens and the model reads {limit}; shorten it, "
            "choose another encoder, or let it be cut (encoder.long_texts=cut)"
        )
    if long:
        log.warning("%d texts are cut to the first %d tokens, such as %r", len(long), limit, _start(long[0][0]))


def _start(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


class HubEncoder(TextEncoder):
    """An encoder whose weights are a folder: that of a model on the hub, or one of the user's."""

    name: ClassVar[str]  # as it is registered
    sentences: ClassVar[bool] = False  # whether sentence-transformers reads the folder, which takes more of its files

    class Settings(Settings):
        model: str = Field("", description="Name of the model on the hub.")
        path: str = Field("", description="Folder of this model; empty looks in the hub cache.")

    @property
    def folder(self) -> Path:
        """The folder that the settings name. Raises AvgzslError naming the command that gets it."""
        if self.settings.path:
            return given_folder(self.settings.path)
        folder = cached_folder(self.settings.model)
        if folder is None:
            raise missing(self.name, self.settings, self.settings.model)
        return folder

    @property
    def revision(self) -> str:
        """Hash of the files that decide the vectors."""
        return folder_revision(self.folder, self.sentences)

    def fetch(self) -> str:
        """Download the model, unless the settings name a folder of the user's."""
        folder = self.folder if self.settings.path else download_folder(self.settings.model)
        return f"{self.settings.model}: {folder} ({size(folder)})"


def device(name: str) -> Any:
    """The torch device of this name. Raises AvgzslError for one that this machine does not have."""
    import torch

    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        said = _short(error)
        raise AvgzslError(f"encoder.device={name!r} cannot be used here ({said}); `avgzsl doctor` lists the devices") from error


def quiet() -> None:
    """Keep transformers from drawing progress bars while it loads; our log says what is being done."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


@contextmanager
def loading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library says about weights it cannot load into one line."""
    try:
        yield
    except Exception as error:
        said = _short(f"{type(error).__name__}: {error}")
        raise AvgzslError(f"{path} is no {what} that can be loaded ({said}); give the right one, or fetch it anew") from error


def given_file(path: str) -> Path:
    """A file of the user's, checked to be there."""
    found = Path(path).expanduser()
    if not found.is_file():
        raise AvgzslError(f"encoder.path={path!r} is not a file; give one, or leave it out to use what was fetched")
    return found


def given_folder(path: str) -> Path:
    """A folder of the user's, checked to be there."""
    found = Path(path).expanduser()
    if not found.is_dir():
        raise AvgzslError(f"encoder.path={path!r} is not a folder; give one, or leave it out to use what was fetched")
    return found


def missing(encoder: str, settings: Any, what: str) -> AvgzslError:
    """The one line for weights that are not here, with the command that gets them."""
    changed = settings.model_dump(exclude_defaults=True, exclude={"path"})
    given = (f"--set {shlex.quote(f'{key}={value}')}" for key, value in changed.items())
    command = " ".join(["avgzsl text fetch", encoder, *given])
    return AvgzslError(f"weights of {encoder} ({what}) are not on this machine; `{command}` gets them")


def cached_file(repo: str, *names: str) -> Path | None:
    """The first of these files that a hub repository has, if the local hub cache holds it; opens no socket.

    A later name counts only where the repository is known to lack the earlier ones: otherwise the revision would depend
    on which of them happens to be here.
    """
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(repo, name) for name in names]
    except HFValidationError:
        raise AvgzslError(
            f"encoder.model={repo!r} is not the name of a hub model; give one, or a folder as encoder.path"
        ) from None
    first = next((path for path in found if path is not _CACHED_NO_EXIST), None)
    return Path(first) if isinstance(first, str) else None


def cached_folder(repo: str) -> Path | None:
    """The folder of a model in the local hub cache, if all of it is there."""
    config = cached_file(repo, "config.json")
    return config.parent if config and _complete(config.parent) else None


def download_file(repo: str, *names: str) -> Path:
    """The first of these files that a hub repository has, downloaded into the hub cache."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    _asking(repo)
    for name in names:
        try:
            return Path(hf_hub_download(repo, name))
        except LocalEntryNotFoundError as error:
            raise _unreachable(repo, error) from error
        except EntryNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise _unreachable(repo, error) from error
    raise AvgzslError(f"hub model {repo!r} has none of {', '.join(names)}; download the weights and give encoder.path")


def download_folder(repo: str) -> Path:
    """A model's configuration, tokenizer and weights (safetensors where there are any), downloaded into the hub cache."""
    from huggingface_hub import snapshot_download

    names = sorted({*CONFIGS, *SENTENCES, TOKENIZER, *PIECES, *SAFE})
    wanted = [pattern for name in names for pattern in (name, f"[0-9]*/{name}")]
    _asking(repo)
    wanted.append("[0-9]*/pytorch_model.bin")  # small, and some models have safetensors of the transformer alone
    try:
        folder = Path(
            snapshot_download(repo, allow_patterns=[*wanted, "*.safetensors"], ignore_patterns=["onnx/*", "openvino/*"])
        )
        if not _weights(folder):
            snapshot_download(repo, allow_patterns=["pytorch_model*.bin", "pytorch_model.bin.index.json"])
    except (OSError, ValueError) as error:
        raise _unreachable(repo, error) from error
    if not _complete(folder):
        raise AvgzslError(f"hub model {repo!r} lacks a tokenizer or PyTorch weights; give a whole model's folder as encoder.path")
    return folder


def _asking(repo: str) -> None:
    """Say what is being fetched; the hub's own dozen lines about a lost connection are not needed beside the last error."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    log.info("fetching %s from the hub", repo)


def _unreachable(repo: str, error: Exception) -> AvgzslError:
    cause: BaseException = error
    while cause.__cause__:  # what the hub says of a lost connection hides that it was lost
        cause = cause.__cause__
    said = _short(f"{type(cause).__name__}: {cause}")
    return AvgzslError(
        f"could not fetch {repo} from the hub ({said}); try again with a network, or copy the weights here and give encoder.path"
    )


def _short(said: object) -> str:
    """What a library says, in one line that is cut between words."""
    return shorten(str(said), 160, placeholder=" ...")


def _weights(folder: Path) -> list[Path]:
    """The one set of weights that the loaders take, with the index of those in several files; empty unless all are there."""
    first = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if first is None or first.suffix != ".json":
        return [first] if first else []
    try:
        shards = [folder / name for name in sorted(set(json.loads(first.read_bytes())["weight_map"].values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [first, *shards] if all(path.is_file() for path in shards) else []


def _complete(folder: Path) -> bool:
    names = {path.name for path in folder.glob("*")}
    return "config.json" in names and bool(names & {TOKENIZER, *VOCABULARY}) and bool(_weights(folder))


def folder_revision(folder: Path, sentences: bool = False) -> str:
    """Hash of the files of a model folder that decide its vectors, whatever else it holds; equal wherever the folder lies.

    `sentences` adds what sentence-transformers reads beyond transformers.
    """
    if not _complete(folder):
        raise AvgzslError(f"{folder} holds no model; it should have config.json, a tokenizer and model.safetensors")
    used = _used(folder)
    if sentences:
        _check_modules(folder)
        modules = [_used(module) for module in sorted(folder.glob("[0-9]*_*"))]
        used += [path for module in modules for path in module] + _present(folder, SENTENCES)
    return revision({path.relative_to(folder).as_posix(): path for path in used})


def _check_modules(folder: Path) -> None:
    """Refuse a model of sentence-transformers that came without the weights of a module behind its transformer."""
    file = folder / "modules.json"
    with loading(file, "list of modules"):
        modules = json.loads(file.read_bytes()) if file.is_file() else []
        weighted = [module["path"] for module in modules if module["type"].rpartition(".")[2] not in WEIGHTLESS]
        lacking = [path for path in weighted if not _weights(folder / path)]
    if lacking:
        raise AvgzslError(f"{folder} lacks the weights of {lacking[0]}; fetch the model anew, or give all of its folder")


def _used(folder: Path) -> list[Path]:
    # beside tokenizer.json, the pieces of an older tokenizer repeat what it says, and some caches lack them
    tokenizer = _present(folder, {TOKENIZER}) or _present(folder, PIECES)
    return [*_present(folder, CONFIGS), *tokenizer, *_weights(folder)]


def _present(folder: Path, names: set[str]) -> list[Path]:
    return [folder / name for name in sorted(names) if (folder / name).is_file()]


def revision(files: dict[str, Path]) -> str:
    """Hash of named files, from their names and contents."""
    lines = [f"{name} {_content(path)}\n" for name, path in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _content(path: Path) -> str:
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return blob.name  # the hub cache names large files by their sha256, which spares reading them
    stat = blob.stat()
    return _hashed(blob, stat.st_size, stat.st_mtime_ns)


@cache
def _hashed(path: Path, size: int, mtime: int) -> str:
    return sha256(path)


def size(path: Path) -> str:
    """Size of a file, or of a folder's files, in MiB for a sentence."""
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 2**20:.1f} MiB"
