from collections.abc import Iterator

import pytest

from stochastic_depth.papers import _experiment


@pytest.fixture(scope="module")
def without_pages() -> Iterator[None]:
    """Leave out the pages beside the runs, which take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_experiment, "write_page", lambda comparison, path: None)
        yield
