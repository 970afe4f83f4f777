"""The verb `diagnose`, and its page."""

import json

from stochastic_depth.cli import main
from stochastic_depth.training import load, train


def test_the_page_the_table_and_the_figures(tmp_path, capsys):
    run, path = tmp_path / "run", tmp_path / "found.json"
    fields = {
        "model.init_args.depth": 14,
        "model.init_args.width": 2,
        "data.limit": 32,
        "data.test_limit": 20,
        "epochs": 1,
        "learning_rate.warmup_epochs": 0,
        "loggers": [],
    }
    train(load("demo_digits", fields), run, progress=False)
    arguments = ["--samples=20", "--masks=20", f"--json={path}"]
    assert main(["diagnose", str(run), *arguments]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Effective depth: 4.25 of 6 blocks" in printed
    assert "Proposition 1 does not apply to this network" in printed
    record = json.loads(path.read_text())
    dearest = record["ranking"][0]
    assert record["cost"][dearest] == max(record["cost"])
    assert len(record["noise"]["p_value"]) == 200
    page = (run / "diagnosis.html").read_text()
    assert 'src="http' not in page
    for name in ("costs", "discrepancies", "gradients", "regularizers", "noise", "normality"):
        assert f'<figure id="{name}">' in page
    assert page.count("<svg") >= 7


def test_no_run_is_one_line_and_status_2(tmp_path, capsys):
    assert main(["diagnose", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert "must be a run directory or a checkpoint in one" in captured.err
    assert captured.err.count("\n") == 1
