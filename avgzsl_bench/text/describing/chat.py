"""A language model behind an OpenAI-compatible chat API.

The `openai` client tries again by itself, with growing and randomly shortened pauses or the one that the server asks for:
after 408, 409, 429 and 5xx, a timeout and a cut connection. The key is that of the environment; it leaves this module in
request headers only.
"""

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text.describing.answers import Answer

if TYPE_CHECKING:
    import openai

KEY = "OPENAI_API_KEY"
ENDPOINT = "OPENAI_BASE_URL"
OPENAI = "https://api.openai.com/v1"
PLAIN = re.compile(r"[!-~]+")  # what addresses and keys are made of
PLACEHOLDER = 12  # a key of fewer letters is one that a local server asks for, and may be a word


class Chat:
    """Asks `model` at `endpoint` (else $OPENAI_BASE_URL, else OpenAI's own).

    Raises AvgzslError for a URL that is none or holds a key, a key that is missing or malformed, and a missing client library.
    """

    def __init__(self, model: str, endpoint: str = "", timeout: float = 120.0, retries: int = 6) -> None:
        self.model = model
        url = endpoint or os.environ.get(ENDPOINT, "") or OPENAI
        self.host = _host(url)
        self._key = _key(url == OPENAI)
        self._client = _client(url, self._key or "none", timeout, retries)
        self._tries = retries + 1

    async def answer(self, messages: Sequence[dict[str, str]]) -> Answer:
        """What the model says next. Raises AvgzslError when the server refuses, or still fails at the last try."""
        import openai

        given: Any = list(messages)
        try:
            reply = await self._client.chat.completions.create(model=self.model, messages=given)
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APITimeoutError:
            raise self._failed(f"did not answer in {self._client.timeout:g} s") from None
        except openai.APIConnectionError:
            raise self._failed("cannot be reached, or cut the connection") from None
        except (ValueError, openai.APIResponseValidationError):
            return Answer("", problem="is not the JSON of a chat completion")
        return self._read(reply)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()

    def _read(self, reply: Any) -> Answer:
        try:
            choice = reply.choices[0]
            text, ended = choice.message.content, choice.finish_reason
        except (AttributeError, IndexError, TypeError):
            return Answer("", problem="is not the JSON of a chat completion")
        problem = "was cut off before its end" if ended == "length" else ""
        served, usage = getattr(reply, "model", None), getattr(reply, "usage", None)
        counted = [getattr(usage, f"{part}_tokens", 0) for part in ("prompt", "completion")]
        tokens = [count if isinstance(count, int) else 0 for count in counted]
        return Answer(self._hidden(text), self._hidden(served), (tokens[0], tokens[1]), problem)

    def _hidden(self, said: object) -> str:
        """A text of the server's, without the key: some proxies repeat what they were sent."""
        text = said if isinstance(said, str) else ""
        return text.replace(self._key, "[key]") if len(self._key) >= PLACEHOLDER else text

    def _refused(self, error: "openai.APIStatusError") -> AvgzslError:
        status = error.status_code
        if status in (401, 403):
            given = f"the key in ${KEY}" if self._key else f"a request without a key; set ${KEY}"
            return AvgzslError(
                f"{self.host} refuses {given} ({status}); check that it is one of this server and may use {self.model}"
            )
        said = f"{status}{self._explained(error.body)}"
        if status == 429 or status >= 500:
            wait = error.response.headers.get("retry-after")
            return self._failed(f"answers {said}{f', and asks to wait {wait} s' if wait else ''}")
        return AvgzslError(f"{self.host} does not answer as model {self.model!r} ({said}); check --model and --endpoint")

    def _explained(self, body: object) -> str:
        said = body.get("message") if isinstance(body, dict) else body
        text = " ".join(self._hidden(said).split())
        return f": {text[:160]}" if text else ""

    def _failed(self, how: str) -> AvgzslError:
        times = f" in {self._tries} tries" if self._tries > 1 else ""
        return AvgzslError(f"{self.host} {how}{times}; what was answered is kept, and the same command continues")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    if not PLAIN.fullmatch(url) or parts.scheme not in ("http", "https") or not parts.hostname:
        raise AvgzslError("the endpoint is no URL of a server; give one such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise AvgzslError(f"the endpoint at {parts.hostname} holds more than an address; give its key as ${KEY}, not in the URL")
    return f"{parts.hostname}{port}"


def _key(needed: bool) -> str:
    key = os.environ.get(KEY, "").strip()
    if needed and not key:
        raise AvgzslError(f"OpenAI's server needs a key; set ${KEY}, or give the --endpoint of another server")
    if key and not PLAIN.fullmatch(key):
        raise AvgzslError(f"${KEY} holds a character that no key has, such as a space; set it again")
    return key


def _client(url: str, key: str, timeout: float, retries: int) -> "openai.AsyncOpenAI":
    try:
        import openai
    except ImportError as error:
        raise AvgzslError("openai is not installed; `pip install 'avgzsl-bench[describe]'` brings it") from error
    return openai.AsyncOpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=retries)
