"""Every method equals its released code to the limits of `golden_file.py`, and with one weight changed it does not."""

import golden_file
import pytest
import table


@pytest.mark.parametrize("name", table.names())
def test_equals_the_released_code(name):
    golden = table.compared(name)
    assert golden.measured
    assert golden.used | golden.left_out.keys() == golden.arrays.keys()
    assert golden.used.isdisjoint(golden.left_out)


def matrices(name):
    """The weights of a golden file that its method has."""
    dead = tuple(f"state/{prefix}" for prefix in getattr(table.module(name), "RELEASED_DEAD", ()))
    arrays = golden_file.read(name)
    return [key for key, array in arrays.items() if key.startswith("state/") and array.ndim > 1 and not key.startswith(dead)]


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in table.names() for key in matrices(name)])
def test_one_perturbed_weight_fails(name, key, monkeypatch):
    arrays = golden_file.read(name)
    weight = arrays[key].copy()
    weight.flat[weight.size // 2] += 0.1
    monkeypatch.setattr(golden_file, "read", lambda _: {**arrays, key: weight})
    with pytest.raises(AssertionError, match="differs by"):
        table.module(name).compare()


def test_every_method_of_a_golden_file_has_weights_to_perturb():
    assert [name for name in table.names() if not matrices(name)] == ["eval"]  # the scorer has none


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([], "–"),
        ([0.0], "≤ 1e-7"),
        ([3e-9, 1.2e-8], "≤ 1e-7"),
        ([1e-7, 2.01e-6], "≤ 3e-6"),
        ([9.5e-6], "≤ 1e-5"),
        ([4e-4], "≤ 4e-4"),
    ],
)
def test_differences_are_rounded_up(differences, said):
    assert table.bound(differences) == said
