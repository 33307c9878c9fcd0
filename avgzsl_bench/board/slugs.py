"""Names of keys for files, labels and links."""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avgzsl_bench.board.measured import Place

LONGEST = 120  # letters; file systems hold 255 bytes


def slugs(places: "Sequence[Place]") -> list[str]:
    """`ucf-selavi-main-clip-of-names-1-paper-corrected`: letters, digits and dashes.

    Where two keys would have the same name, or one has a long name or none, it ends in digits of the key's hash.
    """
    plain = [_plain(place) for place in places]
    count = Counter(plain)
    return [
        name if 0 < len(name) <= LONGEST and count[name] == 1 else f"{name[:LONGEST]}-{_digest(place)}".strip("-")
        for name, place in zip(plain, places, strict=True)
    ]


def _plain(place: "Place") -> str:
    parts = (place.dataset, place.features, place.split, place.text, place.form, place.rules, *place.content)
    said = "-".join([*parts, *["synthetic"] * place.synthetic])
    ascii_only = unicodedata.normalize("NFKD", said).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")


def _digest(place: "Place") -> str:
    return hashlib.sha256(json.dumps(place).encode()).hexdigest()[:8]
