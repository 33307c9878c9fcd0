"""`avgzsl audit`: whether printed numbers, and those of records, can be true."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgzsl_bench.cli._sections import Section, draw, markdown
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.board.audit import Count, Finding

EPILOG = "Example: avgzsl audit"
COLUMNS = ("paper", "rows", "HM\nchecked", "ZSL\nchecked", "pairs\ncompared", "faults", "remarks")


def command(
    records: Annotated[
        list[Path] | None, typer.Argument(metavar="RECORDS", help="Records, or folders searched for them, to audit as well.")
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Audit numbers: can HM follow from S and U, is U at most ZSL, do tables that print the same agree.

    Of every paper, those of plugins too, and of single runs. `avgzsl text audit` is about class texts.
    """
    from avgzsl_bench import board, published
    from avgzsl_bench.board import audit

    if as_markdown and as_json:
        raise AvgzslError("--markdown and --json are two ways to write the same; give one of them")
    found, left_out = board.gather(records or [])
    every = published.printed()
    counts, findings = audit.counts(every), audit.findings(every)
    faults = [(str(getattr(record, "path", None)), fault) for record in found for fault in audit.record_findings(record)]
    if as_json:
        typer.echo(_json(counts, findings, len(found), left_out, faults))
        return
    sections = [Section("printed numbers", list(_summary(counts, findings)), COLUMNS), *_papers(findings)]
    if records:
        sections += _records(len(found), left_out, faults)
    if as_markdown:
        typer.echo(markdown(sections), nl=False)
    else:
        draw(sections)


def _summary(counts: "Sequence[Count]", findings: "Sequence[Finding]") -> Iterator[tuple[str, ...]]:
    rows = [(*count, *_found(findings, count.key)) for count in counts]
    for key, *numbers in rows:
        yield key, *map(str, numbers)
    yield "all", *(str(sum(column)) for column in list(zip(*rows, strict=True))[1:])


def _found(findings: "Sequence[Finding]", key: str) -> tuple[int, int]:
    """Faults and remarks of a paper."""
    remarks = [finding.remark for finding in findings if finding.row.key == key]
    return len(remarks) - sum(remarks), sum(remarks)


def _papers(findings: "Sequence[Finding]") -> Iterator[Section]:
    for key in dict.fromkeys(finding.row.key for finding in findings):
        own = [finding for finding in findings if finding.row.key == key]
        yield Section(key, [("remark" if finding.remark else "fault", finding.sentence) for finding in own])


def _records(checked: int, left_out: Sequence[str], faults: Sequence[tuple[str, str]]) -> Iterator[Section]:
    runs = len({path for path, _ in faults})
    yield Section("records", [("checked", str(checked)), ("with faults", str(runs)), *(("", remark) for remark in left_out)])
    yield Section("faults of records", faults, ("record", "fault"))


def _json(
    counts: "Sequence[Count]",
    findings: "Sequence[Finding]",
    checked: int,
    left_out: Sequence[str],
    faults: Sequence[tuple[str, str]],
) -> str:
    import json

    papers = [
        {**count._asdict(), "findings": [_flat(finding) for finding in findings if finding.row.key == count.key]}
        for count in counts
    ]
    records = {
        "checked": checked,
        "left_out": left_out,
        "findings": [{"path": path, "sentence": fault} for path, fault in faults],
    }
    return json.dumps({"papers": papers, "records": records}, indent=1, ensure_ascii=False)


def _flat(finding: "Finding") -> dict[str, Any]:
    row = finding.row.model_dump(include={"table", "method", "label", "dataset", "features", "split", "variant", "via"})
    return {**row, "metric": finding.metric, "remark": finding.remark, "sentence": finding.sentence}
