"""What made a number: code, versions, hardware and flags, without paths or names of the machine."""

import hashlib
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from avgzsl_bench import __version__, plugins

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "transformers",
    "open_clip_torch",
    "sentence-transformers",
    "pydantic",
    "h5py",
    "safetensors",
)
_CODE = Path(__file__).parent


def environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Everything about this process that may explain a number, for the record and for bug reports.

    JSON types only. `code.commit` and `code.dirty` are None outside a git checkout; `code.sha256` tells versions apart there.
    """
    return {
        "avgzsl_bench": __version__,
        "code": code(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cpu_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": describe_device(torch.device(device)),
        "flags": flags(),
        "plugins": [
            {"name": found.name, "distribution": found.distribution} for found in plugins.registry().plugins if not found.problem
        ],
    }


def code() -> dict[str, Any]:
    """The commit of this package's own checkout, whether it differs from it, and a hash of its Python files."""
    digest = hashlib.sha256()
    for file in sorted(_CODE.rglob("*.py")):
        digest.update(f"{file.relative_to(_CODE).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    # an installed copy may stand inside somebody else's repository, whose commit says nothing about it
    ours = (_CODE.parent / ".git").exists()
    commit = _git("rev-parse", "--verify", "HEAD") if ours else None
    changes = _git("status", "--porcelain", "--", _CODE.name) if commit else None
    return {"commit": commit, "dirty": None if changes is None else changes != "", "sha256": digest.hexdigest()}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_CODE.parent), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def describe_device(device: torch.device) -> dict[str, Any]:
    """Name of a device and, for CUDA, its memory in bytes, capability and the versions that drive it."""
    if device.type != "cuda":
        return {"type": device.type, "name": _cpu() if device.type == "cpu" else device.type}
    found = torch.cuda.get_device_properties(device)
    return {
        "type": "cuda",
        "name": found.name,
        "memory_bytes": found.total_memory,
        "capability": f"{found.major}.{found.minor}",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def flags() -> dict[str, Any]:
    """Switches of torch that change low-order digits, as they stand now."""
    return {
        "tf32_matmul": _tf32(torch.backends.cuda.matmul, torch.backends.cuda.matmul),
        "tf32_convolution": _tf32(torch.backends.cudnn, getattr(torch.backends.cudnn, "conv", None)),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    }


def _tf32(backend: Any, operation: Any) -> bool:
    # torch 2.9 renamed the switch, and reading the old name raises once the new one was set
    precision = getattr(operation, "fp32_precision", None)
    return bool(backend.allow_tf32) if precision is None else precision == "tf32"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        if models:
            return models[0]
    return platform.processor() or platform.machine()
