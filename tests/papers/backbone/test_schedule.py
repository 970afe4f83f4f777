from stochastic_depth.papers import load, reproduce, titles


def test_all_are_here():
    names = [name for name in titles() if name.startswith("backbone/")]
    assert names == ["backbone/regularizers", "backbone/section3", "backbone/section6"]


def test_the_printed_schedule_is_ours():
    result = reproduce(load("backbone/section3"), "cpu")
    assert {claim["verdict"] for claim in result.claims} == {"held"}
    assert len(result.claims) == 9
    skipped = result.outcome.data["skipped"].to_list()
    assert [block for block, share in enumerate(skipped) if share == 0] == [0, 3, 7, 13]
