"""The study of costs: what is timed is the proxy itself, in a process of its own, next to Zen."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from torchvision.models import resnet18

from experiments.chapters.proxy_cost import figures as draw
from experiments.chapters.proxy_cost import measure as proxy_cost_measure
from experiments.chapters.proxy_cost import study
from experiments.chapters.proxy_cost.measure import STEPS, in_its_own_process, measure
from zenlib.proxies import PROXIES

SMALL = {
    "networks": ["resnet18"],
    "scores": ["zen", "naswot", "params"],
    "resolution": 32,
    "batch_size": 4,
    "repeats": 2,
}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Measured in this process: that of its own is asked for below."""
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "in_its_own_process", measure)
    return study.run(**SMALL)


def test_what_is_timed_is_the_proxy_next_to_zen(rows):
    costs = rows.costs.set_index("score")
    for name in SMALL["scores"]:
        assert costs.loc[name, "value"] == pytest.approx(
            PROXIES[name](resnet18(), 32, batch_size=4, seed=0, device="cpu"), rel=1e-4
        )
    assert (costs["ratio_low"] <= costs["ratio"]).all() and (costs["ratio"] <= costs["ratio_high"]).all()
    assert (costs[["time", "zen_time", "ratio"]] > 0).all(axis=None) and (costs["mebibytes"] >= 0).all()
    assert costs.loc["naswot", "needs"] == "forward"
    beside = study.beside_the_paper(rows.costs)
    assert beside["score"].tolist() == ["naswot"] and beside["paper"].iloc[0] == pytest.approx(3.3, abs=0.05)
    facts = study.facts(rows)
    assert (
        facts["ratio_te_nas_r18"] == study.UNKNOWN
        and facts["paper_te_nas_r18"] == "28"
        and facts["scores"] == "3"
    )
    assert isinstance(draw.times(rows.costs, beside), Figure) and isinstance(draw.memory(rows.costs), Figure)


def test_a_score_is_measured_in_a_process_of_its_own():
    found = in_its_own_process("resnet18", "naswot", 32, 4, 1, "cpu")
    assert found["value"] == pytest.approx(
        PROXIES["naswot"](resnet18(), 32, batch_size=4, seed=0, device="cpu"), rel=1e-4
    )
    assert 0 <= found["mebibytes"] < 1000 and found["ratio"] == found["time"] / found["zen_time"] > 0


def test_a_measurement_that_fails_says_of_what_and_why(monkeypatch):
    monkeypatch.setattr(proxy_cost_measure, "_MODULE", "no_such_module")
    with pytest.raises(
        RuntimeError, match=r"zen of resnet18: needed a measurement, got .*No module named no_such_module"
    ):
        in_its_own_process("resnet18", "zen", 32, 2, 1, "cpu")


def test_every_proxy_is_measured():
    assert set(study.SCORES) == {*PROXIES, *STEPS} and set(study.FEWER) <= set(PROXIES)


@pytest.mark.parametrize(
    ("value", "text"),
    [(28.33, "28"), (3.333, "3.3"), (0.00123, "0.0012"), (1234.5, "1,234"), (99.9, "100"), (0.0, "0")],
)
def test_numbers_have_two_digits(value, text):
    assert study._digits(value) == text
