"""Text vectors from an embeddings endpoint that speaks OpenAI's protocol: OpenAI's own, or any server of your own.

The weights cannot be seen, so the revision can only name the model and the host; a provider may change what is behind them.
The key is read from OPENAI_API_KEY, sent to the endpoint, and appears in no message, log or file.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat, ValidationError, field_validator

from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError

log = logging.getLogger("avgzsl_bench.text.openai")  # `avgzsl text encode` shows what is said under avgzsl_bench.text

KEY = "OPENAI_API_KEY"
OPENAI = "api.openai.com"
PLAIN = re.compile(r"[!-~]+")  # what addresses and keys are made of
ADVICE = {
    400: "check encoder.model and encoder.dimensions, and that no text is too long for the model",
    401: f"set {KEY} to a key of this endpoint",
    403: f"set {KEY} to a key that may use this model",
    404: "check encoder.model and encoder.endpoint",
    429: "wait, or raise the limits of your account",
}


class Item(BaseModel):
    """One vector of an answer, and the text of the request that it belongs to."""

    index: int
    embedding: list[FiniteFloat] = Field(min_length=1)


class Answer(BaseModel):
    """What an endpoint answers, as far as it is read."""

    data: list[Item]


class OpenAI(TextEncoder):
    """Embeddings as the endpoint gives them (OpenAI's are of length one)."""

    licence = "of the endpoint's provider, who keeps the weights"
    remote = True

    class Settings(TextEncoder.Settings):
        model: str = Field("text-embedding-3-small", min_length=1, description="Name of the model at the endpoint.")
        endpoint: str = Field(f"https://{OPENAI}/v1", description="Address that is asked, up to and without /embeddings.")
        dimensions: int | None = Field(None, ge=1, description="Shorten vectors to this width, where the model can.")
        batch_size: int = Field(128, ge=1, le=2048, description="Texts in one request.")
        timeout: float = Field(60, gt=0, description="Seconds that a request may take.")

        @field_validator("endpoint")
        @classmethod
        def _one_spelling(cls, endpoint: str) -> str:
            return endpoint.rstrip("/")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        _check_address(settings.endpoint)

    @property
    def host(self) -> str:
        """Host of the endpoint, with its port where it has one."""
        return str(urlsplit(self.settings.endpoint).netloc).lower()

    @property
    def revision(self) -> str:
        return f"{self.settings.model}@{self.host}"

    @property
    def space(self) -> str:
        width = self.settings.dimensions
        return f"openai:{self.settings.model}" + (f":{width}" if width else "")

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """(texts, dim). Raises AvgzslError for whatever a server or a network can do wrong."""
        import openai

        key, size = self._key(), self.settings.batch_size
        rows: list[list[float]] = []
        client = openai.OpenAI(api_key=key or "none", base_url=self.settings.endpoint, timeout=self.settings.timeout)
        with client, self._explained(key):
            for start in range(0, len(texts), size):
                if start:
                    log.info("encoded %d of %d texts", start, len(texts))
                rows += self._asked(client, texts[start : start + size])
        self._check_widths({len(row) for row in rows})
        return np.array(rows, dtype=np.float32)

    def fetch(self) -> str:
        raise AvgzslError("openai has nothing to fetch; `avgzsl text encode DATASET --encoder openai` asks the endpoint")

    def _key(self) -> str:
        key = os.environ.get(KEY, "").strip()
        if not key and self.host == OPENAI:
            raise AvgzslError(f"{OPENAI} wants a key; set the environment variable {KEY} to yours")
        if key and not PLAIN.fullmatch(key):
            raise AvgzslError(f"{KEY} holds a space, a line break or a sign that no key has; set it to the key alone")
        return key

    def _check_widths(self, widths: set[int]) -> None:
        asked = self.settings.dimensions
        if len(widths) > 1 or (asked and widths != {asked}):
            found = " and ".join(map(str, sorted(widths))) + (f" entries, not {asked} as asked" if asked else " entries")
            raise AvgzslError(f"{self.host} gave vectors of {found}; check encoder.model and encoder.dimensions")

    def _asked(self, client: Any, texts: list[str]) -> list[list[float]]:
        """Vectors of the texts of one request, in their order whatever that of the answer."""
        more = {"dimensions": self.settings.dimensions} if self.settings.dimensions else {}
        # floats, because not every server packs them; raw, because the client does not check what it is given
        ask = client.embeddings.with_raw_response.create
        raw = ask(model=self.settings.model, input=texts, encoding_format="float", **more)
        try:
            found = Answer.model_validate_json(raw.content).data
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "it"
            what = f"{where}: {error.errors()[0]['msg']}"[:120]
            raise AvgzslError(
                f"{self.host} gave a malformed answer ({what}); check that encoder.endpoint is an embeddings API"
            ) from None
        if sorted(item.index for item in found) != list(range(len(texts))):
            raise AvgzslError(
                f"{self.host} gave {len(found)} vectors for {len(texts)} texts, or numbered them wrongly; try again"
            )
        return [item.embedding for item in sorted(found, key=lambda item: item.index)]

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """One line for whatever the client raises, without what it was raised from: that holds the request and its key."""
        import openai

        try:
            yield
        except openai.APITimeoutError:
            seconds = f"{self.settings.timeout:g} s"
            raise AvgzslError(f"{self.host} did not answer within {seconds}; try again, or raise encoder.timeout") from None
        except openai.APIConnectionError as error:
            said = _said(error.__cause__ or error, key)
            raise AvgzslError(f"connection to {self.host} failed ({said}); check encoder.endpoint, or try again") from None
        except openai.APIStatusError as error:
            advice = ADVICE.get(error.status_code, "try again later")
            raise AvgzslError(f"{self.host} answered {error.status_code} ({_said(error, key)}); {advice}") from None


def _check_address(endpoint: str) -> None:
    """Refuse what is no address, and one that holds a secret: settings are recorded, so it is not repeated here either."""
    try:
        parts = urlsplit(endpoint)
        usable = PLAIN.fullmatch(endpoint) and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        usable = False
    if not usable:
        raise AvgzslError("encoder.endpoint is no address of a server; give one such as http://localhost:8000/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise AvgzslError(f"encoder.endpoint holds a password or a query, and would be recorded; give the key as {KEY} alone")


def _said(error: Any, key: str) -> str:
    """What a server said, in one line, without the key that some repeat."""
    body = getattr(error, "body", None)  # of a status: what `error` held in the answer, or the answer as text
    said = str(body.get("message", body) if isinstance(body, dict) else body or error)
    said = said.replace(key, "***") if key else said
    return " ".join(said.split())[:160]
