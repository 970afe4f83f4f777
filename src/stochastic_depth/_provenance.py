"""On what a number was computed, and with what: stands beside every number that is kept."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any


def hardware() -> dict[str, Any]:
    """Return the processor, its cores, the threads used, and the accelerator."""
    import torch

    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def versions(*distributions: str) -> dict[str, str]:
    """Return the versions of Python, torch, this library, and the named distributions."""
    names = ("torch", "stochastic-depth", *distributions)
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def _processor() -> str:
    """Return the name of the processor; Python itself knows it on few systems."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
