import multiprocessing
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from stochastic_depth import RunDirectoryInUse
from stochastic_depth.training._run_directory import RunDirectory, abandoned, locked


def test_a_new_directory_gets_the_configuration(config, run):
    with RunDirectory(run).claim(config()):
        assert (run / "config.yaml").exists()
    assert RunDirectory(run).holds(config())


def test_an_empty_directory_will_do(config, run):
    run.mkdir()
    assert not RunDirectory(run).holds(config())
    with RunDirectory(run).claim(config()):
        assert RunDirectory(run).holds(config())


def test_other_files_are_left_alone(config, run):
    run.mkdir()
    (run / "thesis.tex").write_text("results")
    with pytest.raises(RunDirectoryInUse, match="must be empty or hold a run; it holds other"):
        RunDirectory(run).claim(config()).__enter__()
    assert [path.name for path in run.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_directory(config, run):
    run.write_text("")
    with pytest.raises(RunDirectoryInUse, match="is a file"):
        RunDirectory(run).holds(config())


def test_another_configuration_is_refused_by_the_fields_that_differ(config, run):
    with RunDirectory(run).claim(config()):
        pass
    other = config(epochs=9, depth__last=0.75)
    message = r"another configuration: depth.last is 0.5 there and 0.75 here; epochs is 4 .* 9 here"
    with pytest.raises(RunDirectoryInUse, match=message):
        RunDirectory(run).holds(other)


def test_another_network_is_refused_field_by_field(config, run):
    with RunDirectory(run).claim(config()):
        pass
    other = config(model__init_args__depth=20, model__init_args__width=8)
    message = (
        r"model.init_args.depth is 14 there and 20 here; model.init_args.width is 4 there and 8 "
        r"here\. Pass another directory, or the same configuration to go on with that run\."
    )
    with pytest.raises(RunDirectoryInUse, match=message):
        RunDirectory(run).holds(other)


def test_killed_before_the_configuration_was_written(config, run):
    run.mkdir()
    (run / ".config.yaml.partial").write_text("model:")
    (run / ".lock").touch()
    with RunDirectory(run).claim(config()):
        assert sorted(path.name for path in run.iterdir()) == [".lock", "config.yaml"]


def hold(config, run: Path, held, done) -> None:
    with RunDirectory(run).claim(config):
        RunDirectory(run).write_run({"pid": multiprocessing.current_process().pid})
        held.set()
        done.wait(30)


def test_two_processes_do_not_train_in_one_directory(config, run):
    context = multiprocessing.get_context("forkserver")
    held, done = context.Event(), context.Event()
    process = context.Process(target=hold, args=(config(), run, held, done))
    process.start()
    assert held.wait(60)
    assert not abandoned(run)
    try:
        with pytest.raises(RunDirectoryInUse, match=f"process {process.pid} is training there"):
            RunDirectory(run).claim(config()).__enter__()
    finally:
        process.kill()
        process.join()
    assert abandoned(run)  # the lock went with the process
    with RunDirectory(run).claim(config()):
        assert not abandoned(run)


def test_of_a_copy_without_the_lock_nothing_is_known(run):
    run.mkdir()
    assert not abandoned(run)


def test_a_reader_that_looks_does_not_keep_training_out(run):
    run.mkdir()
    looking = FileLock(run / ".lock", thread_local=False)
    looking.acquire()
    threading.Timer(0.1, looking.release).start()
    with locked(run, lambda: "busy"):
        assert not looking.is_locked
