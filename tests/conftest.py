"""One thread, and the same examples every time: a red test is red again."""

import multiprocessing
from multiprocessing import forkserver

import pytest
import torch
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


# Folders whose tests start processes, and what these import for seconds.
TRAINING = {"cli", "experiments", "papers", "reports", "training"}
IMPORTED = [
    "pytest",
    "sklearn.datasets",
    "stochastic_depth.experiments._executors",
    "stochastic_depth.training._train",
]


@pytest.fixture(autouse=True, scope="session")
def _forkserver(request: pytest.FixtureRequest) -> None:
    """Start what the processes of all tests are forked from, whichever test comes first."""
    if any(TRAINING & set(item.path.parts) for item in request.session.items):
        multiprocessing.get_context("forkserver").set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
