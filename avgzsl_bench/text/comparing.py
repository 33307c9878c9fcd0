"""How alike two text encoders, or two packs, arrange the classes: their cosines compared, not their vectors.

Vectors of two spaces cannot be compared; the class-by-class cosine matrices can (representational similarity analysis,
Kriegeskorte, Mur, Bandettini 2008): the correlation of their upper triangles, and how many nearest neighbours they share.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.text import TextTable, combine

NEIGHBOURS = 5


class Agreement(NamedTuple):
    """How far two cosine structures over the same classes agree."""

    classes: int
    pearson: float  # of the upper triangles; nan where one has no spread
    spearman: float
    neighbours: float  # share of the five nearest classes that both name, mean over classes; nan with six classes or fewer
    chance: float  # the same share if one of the two were shuffled


def cosines(table: TextTable) -> NDArray[np.float64]:
    """(classes, classes) cosines of the mean vectors of the classes."""
    vectors = combine(table.vectors, "mean", "unit")[:, 0].astype(np.float64)  # (classes, dim)
    return np.asarray(vectors @ vectors.T)


def agreement(first: NDArray[np.float64], second: NDArray[np.float64], ids: Sequence[int]) -> Agreement:
    """The agreement of two cosine matrices (classes, classes) over some of the classes, at least three."""
    a, b = (matrix[np.ix_(ids, ids)] for matrix in (first, second))
    above = np.triu_indices(len(ids), k=1)
    pairs = a[above], b[above]  # (pairs,) each
    flat = min(np.ptp(one) for one in pairs) == 0
    pearson, spearman = (float("nan") if flat else float(kind(*pairs)[0]) for kind in (stats.pearsonr, stats.spearmanr))
    others = len(ids) - 1
    if others <= NEIGHBOURS:
        return Agreement(len(ids), pearson, spearman, float("nan"), float("nan"))
    shared = [len(set(x) & set(y)) for x, y in zip(nearest(a), nearest(b), strict=True)]
    return Agreement(len(ids), pearson, spearman, float(np.mean(shared)) / NEIGHBOURS, NEIGHBOURS / others)


def nearest(matrix: NDArray[np.float64], count: int = NEIGHBOURS) -> NDArray[np.int64]:
    """(classes, count) the nearest other classes of each, best first, from cosines (classes, classes)."""
    apart = matrix.copy()
    np.fill_diagonal(apart, -np.inf)
    return np.asarray(np.argsort(-apart, axis=1, kind="stable")[:, :count])


def neighbours(table: TextTable, of: int) -> list[list[tuple[int, float]]]:
    """The nearest other classes of one class with their cosines, best first: by each text, then by the mean of all."""
    texts = [table._replace(vectors=table.vectors[:, i : i + 1]) for i in range(table.vectors.shape[1])]
    matrices = [cosines(one) for one in (*texts, *([table] if len(texts) > 1 else []))]
    return [[(int(i), float(matrix[of, i])) for i in nearest(matrix)[of]] for matrix in matrices]


def groups(classes: Sequence[ClassInfo]) -> dict[str, list[int]]:
    """Class ids of the comparisons that are drawn: all classes, those of the split, and its unseen test classes."""
    found = {
        "all": list(range(len(classes))),
        "used in the split": [i for i, info in enumerate(classes) if info.role != "unused"],
        "unseen in test": [i for i, info in enumerate(classes) if info.role == "test_unseen"],
    }
    return {name: ids for name, ids in found.items() if len(ids) > 2}
