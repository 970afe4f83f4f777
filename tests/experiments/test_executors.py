"""Processes: none is left behind, however a comparison ends."""

import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from stochastic_depth.experiments import CONSTANT_AGAINST_STOCHASTIC, compare
from stochastic_depth.training import RunConfig, load
from tests.experiments import trainers

PATIENCE = 120.0  # far beyond what any of this takes, for a machine that is busy otherwise


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load("demo_digits")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, and fail if it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def pids(out: Path) -> list[int]:
    """Return the processes of the runs that have begun."""
    texts = [file.read_text() for file in out.glob("*/seed-*/pid")]
    return [int(text) for text in texts if text]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def at_a_terminal() -> Iterator[None]:
    """Hear Ctrl-C, which a program that a shell started in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_stops_the_runs(config: RunConfig, tmp_path: Path) -> None:
    def interrupt_once_both_run() -> None:
        wait_until(lambda: len(pids(tmp_path)) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_once_both_run)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="^$"):
        compare(
            config,
            CONSTANT_AGAINST_STOCHASTIC,
            (0,),
            tmp_path,
            processes=2,
            run_one=trainers.never_end,
            console=Console(file=io.StringIO()),
        )
    thread.join()
    assert len(pids(tmp_path)) == 2
    assert not any(is_alive(pid) for pid in pids(tmp_path))


def test_a_killed_comparison_leaves_no_runs_behind(config: RunConfig, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    parent = context.Process(target=trainers.compare_without_end, args=(config, tmp_path))
    parent.start()
    wait_until(lambda: len(pids(tmp_path)) == 2 or not parent.is_alive())
    assert parent.is_alive()
    parent.kill()
    parent.join()
    runs = pids(tmp_path)
    assert len(runs) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in runs))
