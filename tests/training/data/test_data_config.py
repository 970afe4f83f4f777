import pytest
from jsonargparse import ArgumentParser

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import DataConfig


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("limit", 0, r"data\.limit must be at least 1; got 0"),
        ("test_limit", -3, r"data\.test_limit must be at least 1; got -3"),
        ("image_size", 0, r"data\.image_size must be at least 1; got 0"),
        ("validation", -1, r"data\.validation must be at least 0; got -1"),
        ("split_seed", -1, r"data\.split_seed must be at least 0"),
        ("shift", 1.5, r"data\.shift must be an integer"),
        ("normalization", "pixels", r"data\.normalization .* Did you mean 'pixel'\?"),
        ("name", "cifar-10", r"data\.name must be one of digits, .* Did you mean 'cifar10'\?"),
        ("name", "a/b/c", r"a hub id or the path of a folder; got 'a/b/c'"),
        ("name", "", r"data\.name must be one of"),
        ("data_dir", "/data", r"data\.data_dir must be left out for 'digits'; got /data"),
    ],
)
def test_refuses_a_field_out_of_range(field, value, message):
    with pytest.raises(InvalidArgument, match=message):
        DataConfig(**{field: value})


@pytest.mark.parametrize("name", ["digits", "svhn", "owner/name"])
def test_a_name_is_not_a_folder(name):
    assert DataConfig(name).folder is None


def test_a_published_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "svhn").mkdir()
    assert DataConfig("svhn").folder is None


def test_a_path_is_recognised_by_how_it_is_written_or_because_it_exists(tmp_path, monkeypatch):
    assert DataConfig(str(tmp_path / "missing")).folder == tmp_path / "missing"
    assert DataConfig("./missing").folder is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert DataConfig("owner/name").folder is not None
    assert DataConfig("cifar10", data_dir=str(tmp_path)).folder == tmp_path


def test_command_line_sets_every_field_and_its_help_explains_it(capsys):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DataConfig, "data")
    given = ["--data.name=cifar10", "--data.limit=5", "--data.flip=true", "--data.shift=4"]
    config = parser.instantiate(parser.parse_args(given)).data
    assert config == DataConfig("cifar10", limit=5, flip=True, shift=4)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert "mirrored with probability 1/2" in " ".join(capsys.readouterr().out.split())
