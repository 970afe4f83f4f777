"""What a run was made of: for `run.json`."""

import importlib.metadata
import os
import platform
from typing import Any

import torch

from .data import Splits

DISTRIBUTIONS = {"torch": "torch", "lightning": "lightning", "stochastic_depth": "stochastic-depth"}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide the result."""
    libraries = {name: importlib.metadata.version(of) for name, of in DISTRIBUTIONS.items()}
    return {"python": platform.python_version(), **libraries}


def hardware() -> dict[str, Any]:
    """Return the processor, its cores, the threads used, and the accelerator."""
    return {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def data(name: str, splits: Splits) -> dict[str, Any]:
    """Return the name of the data set, its sizes and its number of classes."""
    return {
        "name": name,
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "classes": splits.num_classes,
    }


def _processor() -> str:
    """Return the name of the processor; Python itself knows it on few systems."""
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
