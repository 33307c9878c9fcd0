"""Descriptions by a language model: every class is asked about once, every answer logged and checked, a whole pack kept.

A call that failed or was killed continues: answers that the log holds for the same model and the same question are not asked
for again. A pack is written once all classes have their texts, and never over one that is there.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from avgzsl_bench import files
from avgzsl_bench.claims import claimed
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import packs
from avgzsl_bench.text.describing import answers, questions
from avgzsl_bench.text.describing.answers import Answer, Fault

HOPELESS = 5  # classes without one usable answer between them, after which no more are asked
LETTERS_A_TOKEN = 4  # of English, about
ANSWER_TOKENS = 200  # of an answer, about

Append = Callable[[dict[str, Any]], None]


class Writer(Protocol):
    """A language model that can be asked."""

    model: str
    host: str

    async def answer(self, messages: Sequence[dict[str, str]]) -> Answer:
        """What it says next in a conversation of alternating roles, the user's first."""

    async def close(self) -> None:
        """Let go of what is open; nothing is asked after it."""


class Accepted(NamedTuple):
    """The texts of a class by aspect, and whose they are."""

    entry: dict[str, str]
    date: str  # of the answer, in UTC
    served: str  # the model as the server named it


class Spent(NamedTuple):
    """What a call came to. Tokens are 0 where the server does not count them."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class Job:
    """The descriptions of one data set by one model, under the name of a pack.

    Raises AvgzslError for a name that cannot be one of a new pack, and for a pack of the name that would be written over.
    """

    def __init__(self, dataset: str, classes: Sequence[ClassInfo], writer: Writer, name: str = "", about: str = "") -> None:
        self.dataset, self.classes, self.writer = dataset, classes, writer
        self.name = name or re.sub(r"[^a-z0-9]+", "_", writer.model.rpartition("/")[2].lower()).strip("_")
        self.path = packs.place(dataset, self.name)
        self.log = self.path.with_suffix("") / "answers.jsonl"
        self.questions = questions.of_classes(dataset, classes, about)
        self.accepted: dict[str, Accepted] = {}
        self.spent = Spent()
        self._read()
        if self.path.is_file() and self.remaining:
            raise AvgzslError(
                f"pack {self.name!r} of {dataset} is there already ({self.path}); give another --name, or move that file away"
            )

    @property
    def remaining(self) -> list[str]:
        """Names of the classes without a usable answer."""
        return [name for name in self.questions if name not in self.accepted]

    def estimate(self) -> Spent:
        """What the remaining classes will come to if every first answer can be used: a rough figure."""
        letters = sum(len(self.questions[name]) for name in self.remaining)
        return Spent(len(self.remaining), letters // LETTERS_A_TOKEN, ANSWER_TOKENS * len(self.remaining))

    def ask(self, concurrency: int, tries: int, report: Callable[[str], None]) -> None:
        """Ask about every remaining class, `concurrency` at a time, and call `report` with each that is over.

        An answer that cannot be used is asked for again, with what was wrong, up to `tries` times. Raises AvgzslError naming
        the class and aspect where that was in vain, once the other classes are through.
        """
        with claimed(self.log.parent) as beat, files.appending(self.log) as append:
            self._read()  # another process may have answered since

            def log(line: dict[str, Any]) -> None:
                append(line)
                beat()

            asyncio.run(self._all(concurrency, tries, report, log))

    def store(self) -> Path:
        """Keep the whole pack where `--text NAME` finds it, unless it is there."""
        if not self.path.is_file():
            entries = {info.name: self.accepted[info.name].entry for info in self.classes}
            packs.store(packs.Pack(self.name, 1, self.dataset, self._origin(), "none stated", entries), self.classes)
        return self.path

    def _origin(self) -> str:
        dates = sorted(accepted.date[:10] for accepted in self.accepted.values())
        served = sorted({accepted.served for accepted in self.accepted.values()} - {"", self.writer.model})
        model = self.writer.model + (f" (which answered as {', '.join(served)})" if served else "")
        when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
        return f"written by {model} at {self.writer.host}, {when}, asked with {questions.label()}; reviewed by nobody"

    def _read(self) -> None:
        """Take every answer that the log has to these questions, unless it is at fault."""
        self.accepted.clear()
        for line in files.read_log(self.log):
            name, prompt = line.get("class"), line.get("prompt")
            if not isinstance(name, str) or name not in self.remaining or not isinstance(prompt, list):
                continue
            if line.get("model") == self.writer.model and prompt[:1] == _asked(self.questions[name]):
                self._take(name, Answer(str(line.get("answer")), str(line.get("served") or "")), str(line.get("date") or ""))

    def _take(self, name: str, answer: Answer, date: str) -> list[Fault]:
        """Accept an answer, or say what is wrong with it."""
        entry, faults = answers.read(answer, self._taken())
        if not faults:
            self.accepted[name] = Accepted(entry, date, answer.served)
        return faults

    def _taken(self) -> dict[str, str]:
        return {
            packs.folded(text): f"the {aspect} of {name!r}"
            for name, accepted in self.accepted.items()
            for aspect, text in accepted.entry.items()
        }

    async def _all(self, concurrency: int, tries: int, report: Callable[[str], None], log: Append) -> None:
        gate = asyncio.Semaphore(concurrency)

        async def one(name: str) -> tuple[str, list[Fault]]:
            async with gate:
                return name, await self._one(name, tries, log)

        tasks = [asyncio.create_task(one(name)) for name in self.remaining]
        failed: dict[str, list[Fault]] = {}
        try:
            for done in asyncio.as_completed(tasks):
                name, faults = await done
                failed |= {name: faults} if faults else {}
                report(name)
                if len(failed) == HOPELESS and not self.accepted:
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.writer.close()
        if failed:
            raise self._in_vain(failed, tries)

    async def _one(self, name: str, tries: int, log: Append) -> list[Fault]:
        """Ask about one class until an answer can be used; returns the faults of the last one."""
        messages = _asked(self.questions[name])
        faults: list[Fault] = []
        for number in range(1, tries + 1):
            answer = await self.writer.answer(messages)
            date = datetime.now(UTC).isoformat(timespec="seconds")
            faults = self._take(name, answer, date)
            log(self._line(name, number, messages, answer, date, faults))
            self._count(answer)
            if not faults:
                break
            if answer.text:
                mend = {"role": "user", "content": questions.correction([str(fault) for fault in faults])}
                messages = [*_asked(self.questions[name]), {"role": "assistant", "content": answer.text}, mend]
        return faults

    def _line(
        self, name: str, number: int, messages: list[dict[str, str]], answer: Answer, date: str, faults: list[Fault]
    ) -> dict[str, Any]:
        who = {"model": self.writer.model, "served": answer.served, "endpoint": self.writer.host}
        asked = {"class": name, "try": number, "prompt_version": questions.label(), "prompt": messages}
        said = {"answer": answer.text, "tokens": answer.tokens, "faults": [str(fault) for fault in faults]}
        return {"date": date, **who, **asked, **said}

    def _count(self, answer: Answer) -> None:
        requests, tokens_in, tokens_out = self.spent
        self.spent = Spent(requests + 1, tokens_in + answer.tokens[0], tokens_out + answer.tokens[1])

    def _in_vain(self, failed: dict[str, list[Fault]], tries: int) -> AvgzslError:
        name, faults = next(iter(failed.items()))
        aspect = faults[0].aspect or "answer"
        more = f" (and {len(failed) - 1} more classes)" if len(failed) > 1 else ""
        times = "in one try" if tries == 1 else f"in {tries} tries"
        return AvgzslError(
            f"{self.writer.model} gave no usable answer on class {name!r}{more} {times}: the {aspect} {faults[0].what}; "
            f"the same command asks again about those without one, the answers are in {self.log}"
        )


def check_libraries() -> None:
    """Raise AvgzslError, before anything is asked, where the library that tells languages apart is missing."""
    if find_spec("py3langid") is None:
        raise AvgzslError("py3langid is not installed; `pip install 'avgzsl-bench[describe]'` brings it")


def _asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]
