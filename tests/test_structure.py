"""The house rules that a machine can hold: imports go one way, files stay small, the command line stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "avgzsl_bench"
LAYERS = [  # top first; names on one line stand side by side and do not import each other
    ["cli"],
    ["launchers"],
    ["testing"],
    ["reproduce"],
    ["plots"],
    ["evaluation", "benchmarking"],
    ["runner"],
    ["identity"],
    ["protocols"],
    ["lockstep"],
    ["compiling"],
    ["training"],
    ["stacking", "recording"],
    ["scoring"],
    ["batches"],
    ["sequences"],
    ["submission"],
    ["board"],
    ["config"],
    ["methods", "text", "datasets"],
    ["losses"],
    ["layers"],
    ["randomness"],
    ["published"],
    ["importers"],
    ["features"],
    ["checkpoints"],
    ["pickles"],
    ["settings"],
    ["records"],
    ["significance"],
    ["calibration"],
    ["metrics"],
    ["claims"],
    ["provenance"],
    ["plugins"],
    ["hookspecs"],
    ["contracts"],
    ["tensors", "precision"],
    ["clips"],
    ["files"],
    ["errors"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in ROOT.rglob("*.py") if "template" not in path.parts)


def _module(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    """First part below avgzsl_bench of everything a file imports, at any depth, type checking aside."""
    found = set()
    todo = list(ast.iter_child_nodes(ast.parse(path.read_text(encoding="utf-8"))))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            todo += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "avgzsl_bench":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("avgzsl_bench."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("avgzsl_bench.")}
        todo += ast.iter_child_nodes(node)
    return found & set(RANK)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    own = _module(path)
    if own in ("__init__", "__main__"):
        return
    assert own in RANK, f"{own} has no place in the list of layers"
    upward = {name for name in _imports(path) if name != own and RANK[name] <= RANK[own]}
    assert not upward, f"{path.relative_to(ROOT)} imports {upward} from its own layer or above"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert path.stem != "utils"
    assert text.count("\n") <= 350
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [node.name for node in functions if node.end_lineno - node.lineno > 45]
    assert not long


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "sys.argv = ['avgzsl', '--help']\n"
        "from avgzsl_bench.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'pydantic', 'numpy', 'pandas', 'transformers', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "leaderboard" in done.stdout


def test_the_package_namespace_is_lazy_and_complete():
    code = (
        "import sys, avgzsl_bench\n"
        "assert 'torch' not in sys.modules\n"
        "for name in avgzsl_bench.__all__:\n    getattr(avgzsl_bench, name)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).returncode == 0
