import pytest

from stochastic_depth.experiments import Comparison
from tests.experiments.records import comparison


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return comparison(tmp_path_factory.mktemp("runs"), validation=500)
