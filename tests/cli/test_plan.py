"""The verb `plan`."""

import json

import pytest

from stochastic_depth.cli import main

OWN = [
    "stochastic_depth.models.CifarResNet",
    "--arguments",
    '{"depth": 20, "num_classes": 10, "width": 4}',
]


def test_the_plan_of_seed_003(capsys):
    arguments = [
        "torchvision/resnet50",
        "--schedule",
        "linear",
        "--last",
        "0.8",
        "--rule",
        "linspace",
    ]
    assert main(["plan", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if " Bottleneck " in line]) == 16
    assert len([line for line in lines if "always runs: its shortcut is a projection" in line]) == 4
    for block, keep in {0: 1.0, 3: 0.96, 5: 0.933, 8: 0.893, 11: 0.853, 13: 0.827, 15: 0.8}.items():
        assert f" {keep:.3f} " in lines[1 + block]
    assert "expected blocks 14.71 of 16 (schedule alone 14.40)" in lines


def test_timm_and_branches(capsys):
    arguments = ["timm/vit_tiny_patch16_224", "--last=0.5", "--granularity=branch"]
    assert main(["plan", *arguments, "--arguments.depth=2"]) == 0
    printed = capsys.readouterr().out
    assert "blocks.1 [mlp]" in printed
    assert "VisionTransformer: 4 branches, 4 droppable, 0 protected" in printed


def test_costs_and_json(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert main(["plan", *OWN, "--budget=0.7", "--image-size=16", "--json", str(path)]) == 0
    assert "live share 0.700 by floating point operations" in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert len(record["blocks"]) == 9
    assert record["live_share"] == pytest.approx(0.7, abs=1e-6)


SMALL = [*OWN, "--arguments.width=2", "--data=digits", "--batches=1", "--batch-size=16"]


def test_sensitivities_lead_to_a_schedule_beside_the_others(tmp_path, capsys):
    path = tmp_path / "plan.json"
    assert main(["plan", *SMALL, "--schedule=sense", "--budget=0.6", f"--json={path}"]) == 0
    printed = capsys.readouterr().out
    assert "sense  uniform  linear" in printed
    record = json.loads(path.read_text())
    choices = record["alternatives"]
    assert [block["survival"] for block in record["blocks"]] == choices["survival"]["sense"]
    assert choices["expected_blocks"] == pytest.approx(dict.fromkeys(choices["survival"], 5.4))
    assert len(choices["sensitivities"]) == 9


def test_auto_says_why_and_linear_why_not(capsys):
    assert main(["plan", *SMALL, "--schedule=auto", "--budget=0.3", "--image-size=4"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("auto chose sense because the budget 0.3 is below 0.5")
    assert "live share 0.300 by floating point operations" in printed
    assert "linear: budget must be in [0.4" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["torchvision/resnet5", "--last=0.8"],
            "got 'torchvision/resnet5'. Did you mean 'resnet50'?",
        ),
        (["timm/vit_tinny_patch16_224", "--last=0.8"], "Did you mean 'vit_tiny_patch16_224'?"),
        (
            ["resnet50", "--last=0.8"],
            "model must be torchvision/NAME, timm/NAME, transformers/NAME or an import path",
        ),
        (["stochastic_depth.models.CifarNet", "--last=1"], "Did you mean 'CifarResNet'?"),
        ([*OWN[:1], "--last=0.8"], "must be called with arguments it accepts; got {}. missing"),
        ([*OWN, "--last=1.8"], "last must be in [0, 1]; got 1.8. Survival is P(block runs)"),
        ([*OWN, "--last=nan"], "last must be a number or null; got 'nan'"),
        ([*OWN], "depth must be given by exactly one of last, budget, probabilities"),
        ([*OWN, "--last=0.5", "--schedule=lineer"], "Did you mean 'linear'?"),
        ([*OWN, "--budget=0.05", "--schedule=linear"], "budget must be in [0.4"),
        ([*OWN, "--last=0.5", "--image-size=0"], "image_size must be at least 1"),
        (["torch.nn.Identity", "--last=0.5"], "Identity must show what input it takes"),
        ([*OWN, "--budget=0.3", "--schedule=sense"], "data must be given for schedule sense"),
        ([*OWN, "--budget=0.3", "--schedule=auto"], "data must be given for schedule auto"),
        ([*OWN, "--last=0.3", "--data=digits"], "budget must be given beside data"),
        (
            ["fractions.Fraction", "--trust=fractions", "--last=0.5"],
            "model must be the import path of a torch module; got 'fr",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, capsys):
    assert main(["plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
