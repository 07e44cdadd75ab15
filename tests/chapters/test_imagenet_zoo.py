from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.benchmarks import torchvision_zoo
from experiments.chapters.imagenet_zoo import figures as draw
from experiments.chapters.imagenet_zoo import study
from zenlib.scores.zen import zen_score
from zenlib.stats import correlate
from zenlib.vanilla.convert import to_vcnn

SMALL = [
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnet18",
    "resnet34",
    "squeezenet1_1",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> study.ZooRows:
    """A real run over a few networks at 64 pixels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        return study.run(
            models=SMALL, resolution=64, batch_size=4, fewest_repeats=2, most_repeats=2, native=False
        )


@pytest.fixture(scope="module")
def simulated() -> study.ZooRows:
    """The whole zoo with scores that order networks by published FLOPs, so that correlations are known."""
    rows = torchvision_zoo.zoo()
    rows = rows.assign(published_flops=rows["flops"], flops=rows["flops"] * (224 / rows["crop"]) ** 2)
    rows = rows.assign(
        resolution=224,
        batch_size=16,
        repeats=2,
        seconds=1.0,
        convs=np.random.default_rng(0).integers(5, 200, len(rows)),
    )
    for column in study.DEFINITIONS:
        rows = rows.assign(**{column: np.log(rows["published_flops"]), f"{column}_stderr": 0.01})
    # Half of the networks have the same FLOPs at 224 pixels; noise keeps the two orders apart.
    rows["flops"] *= np.exp(np.random.default_rng(1).normal(size=len(rows)))
    measured = rows[rows["chain"] & rows["weights"].isin(("IMAGENET1K_V1", "IMAGENET1K_V2"))]
    return study.ZooRows(rows, measured)


def test_every_network_is_scored_once_and_joined_to_each_of_its_weights(small: study.ZooRows) -> None:
    rows = small.common
    assert set(rows["model"]) == set(SMALL)
    assert list(rows.loc[rows["model"] == "mobilenet_v2", "weights"]) == ["IMAGENET1K_V1", "IMAGENET1K_V2"]
    assert rows.loc[rows["model"] == "mobilenet_v2", "l1_minibatch"].nunique() == 1
    assert rows["l1_minibatch"].notna().all()


def test_a_stored_score_is_that_of_zen_score(small: study.ZooRows) -> None:
    row = small.common.set_index("model").loc["resnet18"]
    vcnn = to_vcnn(torchvision_zoo.build("resnet18"), 64)
    for column, (norm, variance) in study.DEFINITIONS.items():
        found = zen_score(vcnn, batch_size=4, repeats=2, norm=norm, bn_variance=variance)
        assert row[column] == pytest.approx(found.mean, abs=1e-4)
        assert row[f"{column}_stderr"] == pytest.approx(found.stderr, abs=1e-3)
    assert row["convs"] == 17


def test_flops_are_those_of_the_resolution_of_the_score(small: study.ZooRows) -> None:
    row = small.common.set_index("model").loc["resnet18"]
    assert row["published_flops"] == pytest.approx(1.814e9)
    assert row["flops"] == pytest.approx(1.814e9 * (64 / 224) ** 2)


def test_graphs_are_scored_and_kept_apart(small: study.ZooRows) -> None:
    assert math.isfinite(small.common.set_index("model").loc["squeezenet1_1", "l1_minibatch"])
    assert "squeezenet1_1" not in set(study.population(small.common, "V1")["model"])


def test_facts_and_figures_work_on_a_run_of_any_size(small: study.ZooRows, simulated: study.ZooRows) -> None:
    few, all_ = study.facts(small), study.facts(simulated)
    assert set(few) == set(all_)
    assert all(text.strip() and "nan" not in text for text in (*few.values(), *all_.values()))
    assert study.TOO_FEW in few.values()
    for rows in (small, simulated):
        figures = (
            draw.zen_top1(rows.common),
            draw.baselines(rows.common),
            draw.lines(rows.common),
            draw.predictors(rows.correlations),
            draw.apart(rows.pairs_apart),
            draw.partials(rows.partials),
            draw.line_taus(rows.within_lines),
        )
        for figure in figures:
            assert isinstance(figure, Figure)
            figure.canvas.draw()


def test_more_repeats_are_drawn_where_they_are_cheap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    settings = {
        "models": ["resnet18", "shufflenet_v2_x0_5"],
        "resolution": 32,
        "batch_size": 2,
        "native": False,
        "fewest_repeats": 2,
        "most_repeats": 5,
    }
    rows = study.run(multiply_adds=1e8, **settings).common.set_index("model")
    assert rows["repeats"].to_dict() == {"resnet18": 2, "shufflenet_v2_x0_5": 5}


def test_populations_are_what_their_names_say(simulated: study.ZooRows) -> None:
    sizes = {name: len(study.population(simulated.common, name)) for name in study.POPULATIONS}
    assert sizes == {
        "V1": 55,
        "V1, no VGG or AlexNet": 46,
        "V1, plain recipe": 37,
        "V1 of V2's networks": 24,
        "V2": 24,
        "new recipe": 33,
    }
    twice, v2 = (study.population(simulated.common, name)["model"] for name in ("V1 of V2's networks", "V2"))
    assert list(twice) == list(v2)


def test_a_score_that_orders_like_a_baseline_gains_nothing_over_it(simulated: study.ZooRows) -> None:
    gains = simulated.differences.set_index(["population", "baseline"])
    assert gains.loc[("V1", "published_flops"), ["kendall", "kendall_low", "kendall_high"]].tolist() == [
        0,
        0,
        0,
    ]
    assert gains.loc[("V2", "convs"), "kendall_low"] > 0
    members = study.population(simulated.common, "V2")
    expected = correlate(members["published_flops"], members["top1"]).kendall
    assert simulated.correlations.set_index(["population", "predictor"]).loc[
        ("V2", "l1_minibatch"), "kendall"
    ] == pytest.approx(expected)


def test_intervals_over_families_are_wider_where_families_move_together(simulated: study.ZooRows) -> None:
    line = simulated.correlations.set_index(["population", "predictor"]).loc[("V1", "params")]
    assert (
        line["kendall_family_high"] - line["kendall_family_low"] > line["kendall_high"] - line["kendall_low"]
    )


def test_a_reversal_is_a_pair_that_the_score_orders_wrongly() -> None:
    rows = pd.DataFrame(
        {
            "model": ["regnet_x_400mf", "regnet_y_800mf", "regnet_y_1_6gf"],
            "weights": "IMAGENET1K_V1",
            "line": "RegNets",
            "chain": True,
            "l1_minibatch": [150.0, 90.0, 180.0],
            "top1": [72.8, 76.4, 78.0],
        }
    )
    found = study.reversals(rows)
    assert found[["model_preferred", "model_better"]].values.tolist() == [
        ["regnet_x_400mf", "regnet_y_800mf"]
    ]
    assert found["loss"].tolist() == pytest.approx([3.6])


def test_bad_settings_are_named_before_anything_is_computed() -> None:
    with pytest.raises(
        ValueError, match=r"models: needed names of torchvision's convolutional classifiers, got vit_b_16"
    ):
        study.run(models=["resnet18", "vit_b_16"])
    with pytest.raises(ValueError, match=r"fewest_repeats: needed 2 to most_repeats \(8\), got 1"):
        study.run(fewest_repeats=1)
