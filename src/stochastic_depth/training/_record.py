"""The record of a run: what `run.json` says when it begins and when it ends."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from .._provenance import hardware, versions
from ._depth_record import DepthRecord
from ._history import History
from ._prepare import Prepared
from ._running_mean import Score


def opening(
    prepared: Prepared, before: Mapping[str, Any], *, variant: str | None, command: str
) -> dict[str, Any]:
    """Return the record of a run that begins, or goes on where `before` was written."""
    config = prepared.config
    return {
        "name": config.name,
        "variant": variant or ("stochastic depth" if config.depth.enabled else "constant depth"),
        "seed": config.seed,
        "status": "running",
        "error": None,
        "pid": os.getpid(),
        "command": command,
        "started": before.get("started") or now(),
        "finished": None,
        "versions": versions("lightning"),
        "hardware": hardware(),
        "data": _data(prepared),
        "blocks": _blocks(prepared),
        "summary": None,
    }


def summary(history: History, depth: DepthRecord, train: Score, sent: int | None) -> dict[str, Any]:
    """Return the figures of a finished run.

    Args:
        history: of the run, with an evaluation after the last step.
        depth: of all its steps.
        train: on the training images in evaluation mode, without augmentation.
        sent: bytes of gradients that a process has sent since the last start, if it has any
            others to send them to.
    """
    best, last = history.best, history.evaluations[-1]
    num_steps, num_blocks = depth.active.shape
    realised = depth.realised(0, num_steps)
    return {
        "best_epoch": best and best.epoch,
        "best_validation_error": best and best.validation_error,
        "test_error_at_best": best and best.test_error,
        "test_error_last": last.test_error,
        "train_error_running": history.rows[-1]["train_error"],
        "train_error_final": train.error,
        "seconds": sum(row["seconds"] or 0.0 for row in history.rows),
        "realised_depth": realised.blocks,
        "live_share": realised.blocks / num_blocks if num_blocks else 1.0,
        "live_cost": realised.cost,
        "bytes_sent": sent,
    }


def now() -> str:
    """Return the time as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _data(prepared: Prepared) -> dict[str, Any]:
    splits = prepared.splits
    return {
        "name": prepared.config.data.name,
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "classes": splits.num_classes,
    }


def _blocks(prepared: Prepared) -> list[dict[str, Any]]:
    survival = prepared.survival.tolist()
    return [asdict(block) | {"survival": survival[block.index]} for block in prepared.blocks]
