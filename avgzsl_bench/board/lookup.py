"""Which settings a name means: a path, the beginning of a run's or a setting's id, or a method."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from avgzsl_bench import plugins, records
from avgzsl_bench.board import measured
from avgzsl_bench.board.measured import Group
from avgzsl_bench.errors import AvgzslError

log = logging.getLogger(__name__)

STORES = (Path("runs"), Path("leaderboards/records"))
_ID = re.compile("[0-9a-f]{4,16}")


def settings(names: Sequence[str], stores: Sequence[Path] = ()) -> list[Group]:
    """The settings that names mean, in the order in which they are first named, each with the runs that are named.

    A name is the path of a record or of a folder that is searched for them; or, in `stores` (by default those of STORES that
    are there), the beginning of a run_id or setting_id, four digits or more, or a method, which means all its settings.

    Records that are not complete runs are left out with a warning. Raises AvgzslError for a name that means nothing or
    several ids, for a record that cannot be read, and where no complete run is left.
    """
    places = stores or [store for store in STORES if store.is_dir()]
    found = [records.read(path) for name in names for path in _paths(name, places)]
    complete, notes = measured.usable(found)
    for note in notes:
        log.warning("warning: %s", note)
    if not complete:
        raise AvgzslError(f"{', '.join(names)}: no complete run is among these records; name another")
    order = list(dict.fromkeys(record["run_id"] for record in found))
    return sorted(measured.groups(complete), key=lambda group: min(order.index(record["run_id"]) for record in group.records))


def one(name: str, stores: Sequence[Path] = ()) -> Group:
    """The one setting that a name means. Raises AvgzslError as `settings`, and where it means several, listing them."""
    found = settings([name], stores)
    if len(found) > 1:
        raise AvgzslError(f"{name} means {len(found)} settings: {listed(found)}; name one of them by its id")
    return found[0]


def listed(groups: Sequence[Group]) -> str:
    """Settings as a message lists them."""
    more = ["…"] * (len(groups) > 4)
    return ", ".join([f"{group.records[0]['setting_id']} ({group.identity['method']})" for group in groups[:4]] + more)


def _paths(name: str, stores: Sequence[Path]) -> list[Path]:
    path = Path(name)
    if path.exists():
        found = records.find(path)
        if not found:
            raise AvgzslError(f"there are no records in {path}; `avgzsl run --method eszsl --dataset demo` makes one")
        return found
    told = [(path, record) for store in stores for path in records.find(store) if (record := _told(path)) is not None]
    ids = {record[key] for _, record in told for key in ("setting_id", "run_id")}
    meant = {own for own in ids if own.startswith(name)} if _ID.fullmatch(name) else set()
    if len(meant) > 1:
        raise AvgzslError(f"{name} begins {len(meant)} ids: {', '.join(sorted(meant)[:4])}; give more of one")
    chosen = [path for path, record in told if meant & {record["setting_id"], record["run_id"]} or record["method"] == name]
    if not chosen:
        where = ", ".join(map(str, stores)) or " or ".join(map(str, STORES))
        said = f"{name!r} is no path, and no method, setting or run with a record in {where}"
        known = plugins.near(name, sorted({record["method"] for _, record in told}))
        raise AvgzslError(f"{said}; {known}`avgzsl leaderboard` shows what there is")
    return chosen


def _told(path: Path) -> dict[str, str] | None:
    """What a record calls itself; one that cannot be read is not what was asked for, and is no obstacle."""
    try:
        record = json.loads(path.read_bytes())
        told = {"setting_id": record["setting_id"], "run_id": record["run_id"], "method": record["identity"]["method"]}
        return {key: str(value) for key, value in told.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None
