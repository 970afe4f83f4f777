"""Reading the files of a run directory, each failure said in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from .._errors import DataError

COLUMNS = {
    "epoch": pl.Int64,
    "step": pl.Int64,
    "lr": pl.Float64,
    "train_loss": pl.Float64,
    "train_error": pl.Float64,
    "validation_loss": pl.Float64,
    "validation_error": pl.Float64,
    "test_loss": pl.Float64,
    "test_error": pl.Float64,
    "seconds": pl.Float64,
    "expected_depth": pl.Float64,
    "realised_depth": pl.Float64,
    "expected_cost": pl.Float64,
    "realised_cost": pl.Float64,
    "gradient_first_convolution": pl.Float64,
}


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in `path`."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path, error) from error
    return _mapping(path, value)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in `path`."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _damaged(path, error) from error
    return _mapping(path, value)


def read_metrics(path: Path) -> pl.DataFrame:
    """Return one row per finished epoch; a run that has none yet gives an empty table."""
    if not path.exists():
        return pl.DataFrame(schema=COLUMNS)
    try:
        table = pl.read_csv(path, schema_overrides=COLUMNS)
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=COLUMNS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _damaged(path, error) from error
    absent = [name for name in COLUMNS if name not in table.columns]
    if absent:
        raise DataError(
            f"{path} must have the column {absent[0]}; it has {', '.join(table.columns)}."
        )
    if not table["epoch"].is_unique().all():
        raise DataError(f"{path} must have one row per epoch; an epoch appears twice.")
    return table


def read_gates(path: Path, num_blocks: int) -> np.ndarray | None:
    """Return the realised gates (steps, L), or `None` where the run has written none yet."""
    if not path.exists():
        return None
    try:
        gates = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    if gates.ndim != 2 or gates.shape[1] != num_blocks:
        raise DataError(
            f"{path} must have one column for each of the {num_blocks} blocks; "
            f"its shape is {gates.shape}."
        )
    return gates


def _mapping(path: Path, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{path} must hold named fields; it holds {type(value).__name__}.")
    return dict(value)


def _missing(path: Path) -> DataError:
    if not path.parent.exists():
        return DataError(f"There is no directory {path.parent}.")
    return DataError(
        f"{path.parent} is not a run directory: {path.name} is missing. "
        "Pass a directory that `sdepth train` or `sdepth compare` wrote."
    )


def _damaged(path: Path, error: Exception) -> DataError:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path} cannot be read ({first_line}). Run the training again.")
