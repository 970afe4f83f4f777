"""Small data sets on disk, in every layout the program reads."""

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def random_images(number: int, shape: tuple[int, ...] = (8, 8, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def write_parquet(path: Path, images, labels, *, names=None, columns=("image", "label")) -> None:
    cells = [image if isinstance(image, bytes) else png(image) for image in images]
    structs = [{"bytes": cell, "path": f"{row}.png"} for row, cell in enumerate(cells)]
    table = pa.table({columns[0]: structs, columns[1]: labels})
    if names:
        feature = f'{{"names": {list(names)}, "_type": "ClassLabel"}}'.replace("'", '"')
        info = f'{{"info": {{"features": {{"{columns[1]}": {feature}}}}}}}'
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_shard(path: Path, samples) -> None:
    """Write a WebDataset shard of (key, image, class) samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for key, image, label in samples:
            encoded = image if isinstance(image, bytes) else png(image)
            for suffix, content in (("png", encoded), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                archive.addfile(member, BytesIO(content))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """No test reads or writes the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stochastic_depth"


@pytest.fixture
def parquet_folder(tmp_path) -> Path:
    """Two training shards of 5 and 4 images and a test shard of 6, of 8x8, three classes."""
    folder, images = tmp_path / "parquet", random_images(15)
    names = ("ant", "bee", "cat")
    for file, rows in (("train-0", range(5)), ("train-1", range(5, 9)), ("test-0", range(9, 15))):
        labels = [row % 3 for row in rows]
        write_parquet(folder / f"{file}.parquet", images[list(rows)], labels, names=names)
    return folder


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Four training and two validation images of 8x8 in each of two classes."""
    folder, images = tmp_path / "folder", iter(random_images(12))
    for split, number in (("train", 4), ("val", 2)):
        for name in ("ant", "bee"):
            (folder / split / name).mkdir(parents=True)
            for index in range(number):
                (folder / split / name / f"{index}.png").write_bytes(png(next(images)))
    return folder


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Thirty photographs of 12 to 40 pixels a side, ten of each of three classes, undivided."""
    folder, sizes = tmp_path / "photographs", np.random.default_rng(1).integers(12, 41, (30, 2))
    for row, (height, width) in enumerate(sizes):
        place = folder / ("ant", "bee", "cat")[row % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row:02d}.png").write_bytes(png(random_images(1, (height, width, 3), row)[0]))
    return folder
