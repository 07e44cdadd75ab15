"""Every proxy on every benchmark: samples, measurements, correlations, stored aggregates, facts, figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from matplotlib.figure import Figure
from torch import nn

from experiments.benchmarks import fidelity, nasbench101, stored_scores, switches
from experiments.benchmarks import network_scores as scoring
from experiments.benchmarks.cell_zen import CellScorer
from experiments.benchmarks.module_zen import PERTURBATION, module_terms
from experiments.benchmarks.nasbench101_space import Cell101
from experiments.benchmarks.nasbench201_space import Cell, build
from experiments.benchmarks.stored_scores import az_nas
from experiments.benchmarks.tables import read_table
from experiments.chapters.benchmarks import figures as draw
from experiments.chapters.benchmarks import study, tables
from experiments.record.citation import citation
from zenlib import PROXIES
from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query
from zenlib.stats import ndcg

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "chapters" / "benchmarks" / "results"
needs_tables = pytest.mark.skipif(
    not all(map(study.is_there, scoring.BENCHMARKS)), reason="needs the benchmarks' files in $ZENLIB_DATA"
)
SMALL = {"widths": (4, 8, 16), "cells_per_stage": 1}
CPU = torch.device("cpu")


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    study.forget()
    yield tmp_path
    study.forget()


@pytest.mark.parametrize(
    "ops", [("nor_conv_3x3",) * 6, ("nor_conv_1x1", "none", "none", "skip_connect", "none", "avg_pool_3x3")]
)
def test_the_zen_score_of_a_module_as_it_is_agrees_with_the_fast_one_of_cells(ops):
    cell = Cell(ops)
    query = Query(build(cell, **SMALL), 8, 6, 0, CPU)
    scorer = CellScorer(0, batch_size=6, resolution=8, **SMALL)
    with torch.no_grad():
        for name, weight in query.module.named_parameters():
            if weight.dim() == 4:  # the module of a query has variance 2 / fan_in
                weight.copy_(scorer.draw(name, tuple(weight.shape)) * (2 / weight[0].numel()) ** 0.5)
    query.__dict__["images"] = scorer.branches[:6]
    noise = torch.randn(query.images.shape, generator=query.generator(4))
    scorer.branches = torch.cat([query.images, query.images + PERTURBATION * noise])
    found, expected = module_terms(query), scorer.terms(cell)
    np.testing.assert_allclose(found[:4], expected[:4], atol=3e-3)
    assert (found.norms, found.silent) == (expected.norms, expected.silent)


def test_a_network_without_batch_norm_has_no_zen_score_as_it_is():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    with pytest.raises(ScoreUndefined, match="needed a network with BatchNorm"):
        module_terms(Query(module, 8, 4, 0, CPU))
    cut = build(Cell(("none",) * 6), **SMALL)
    with pytest.raises(ScoreUndefined, match="the output does not depend on the image"):
        module_terms(Query(cut, 8, 4, 0, CPU))


def test_proxies_that_share_a_module_give_what_they_give_alone():
    cell = build(
        Cell(("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "skip_connect")),
        **SMALL,
    )
    query = Query(cell, 8, 4, 2, CPU)
    shared = {name: proxy.value(query) for name, proxy in PROXIES.items()}
    assert shared == {
        name: proxy(cell, 8, batch_size=4, seed=2, device="cpu") for name, proxy in PROXIES.items()
    }
    assert {name: PROXIES[name].value(query) for name in reversed(PROXIES)} == shared


def test_what_is_undefined_is_kept_as_such_and_the_rest_is_measured():
    nothing = Cell(("none",) * 6).to_string()
    found = scoring.measure(
        scoring.BENCHMARKS["nasbench201"], nothing, ["params", "naswot", "zen-as-built-l1-running"], 0
    )
    assert found["params"] > 0 and np.isnan([found["naswot"], found["zen-as-built-l1-running"]]).all()


@needs_tables
@pytest.mark.parametrize("name", scoring.BENCHMARKS)
def test_every_drawn_network_has_a_module_and_accuracies(name, empty_store):
    found = scoring.BENCHMARKS[name]
    drawn = found.sample(5)
    assert drawn == found.sample(20)[:5] and len(set(found.sample(20))) == 20
    accuracies = found.accuracies().set_index("network").loc[drawn, list(found.datasets)]
    assert accuracies.index.is_unique and accuracies.stack().between(0, 100).all()
    assert sum(weight.numel() for weight in found.build(drawn[0]).parameters()) > 10_000


def test_a_sample_is_random_and_depends_on_no_score(empty_store):
    drawn = scoring.BENCHMARKS["nats_sizes"].sample(500)
    widths = np.array([list(map(int, text.split(":"))) for text in drawn])
    assert len(set(drawn)) == 500
    np.testing.assert_allclose(widths.mean(0), 36, atol=3.5)  # uniform over 8 ... 64


@pytest.fixture
def made_up(empty_store, monkeypatch):
    """Scores that cost nothing: accuracy, parameters or noise."""
    accuracies: dict[str, pd.DataFrame] = {}

    def measure(benchmark, network, names, seed):
        if benchmark.name not in accuracies:
            accuracies[benchmark.name] = benchmark.accuracies().set_index("network")
        row = accuracies[benchmark.name].loc[network]
        rng = np.random.default_rng([seed, *network.encode()])
        size = (
            float(sum(map(int, network.split(":"))))
            if benchmark.name == "nats_sizes"
            else float(rng.integers(10))
        )
        made = {
            "params": size,
            "flops": size + rng.random(),
            "layers": 25.0,
            "naswot": row[benchmark.datasets[0]],
        }
        return {name: made.get(name, rng.random()) for name in names}

    monkeypatch.setattr(scoring, "measure", measure)
    few = {
        "counts": study.COUNTS,
        "forward": ("naswot", "az-expressivity", "az-progressivity"),
        "gradients": ("snip", "az-trainability"),
    }
    monkeypatch.setattr(study, "GROUPS", study.GROUPS | few)


@needs_tables
def test_a_run_correlates_what_it_scored_and_states_every_fact(made_up):
    samples = {
        "nats_sizes": {"counts": 150, "forward": 150, "gradients": 120},
        "nasbench201": {"counts": 400, "forward": 300, "gradients": 200},
    }
    settings = {"samples": samples, "seed": 0, "repeated": [{"nats_sizes": {"forward": 120}}], "pairs": 30}
    rows = study.run(**settings)
    found = rows.correlations.set_index(["benchmark", "dataset", "population", "proxy", "seed"])
    assert found.loc[("nats_sizes", "cifar10", "all", "naswot", 0), "kendall"] == pytest.approx(1)
    assert found.loc[("nats_sizes", "cifar10", "all", "naswot", 0), "n"] == 150
    assert set(rows.correlations["seed"]) == {0}
    again = rows.redrawn.set_index(["proxy", "seed"])
    assert sorted(again.index) == [
        (name, seed) for name in ("az-expressivity", "az-progressivity", "naswot") for seed in (0, 1)
    ]
    assert (again["n"] == 120).all() and tables.seed_ranges(rows).set_index("proxy")["range"][
        "naswot"
    ] == pytest.approx(0)
    assert found.loc[("nats_sizes", "cifar10", "all", "params", 0), "kendall"] > 0.3
    assert found.loc[("nats_sizes", "cifar10", "all", "naswot", 0), "over_params_kendall_low"] > 0
    assert abs(found.loc[("nats_sizes", "cifar10", "all", "snip", 0), "kendall"]) < 0.2
    assert found.loc[("nasbench201", "cifar100", "all", "params", 0), "n"] == 400
    assert rows.isomorphic["equal"].max() < 30 and rows.missing == ()
    facts = tables.facts(rows)
    assert facts["best_nats_sizes_cifar10"] == "naswot" and facts["who_nats_sizes_cifar10_params"] == "naswot"
    assert facts["tau_pycls_imagenet_zico"] == tables.NOT_MEASURED
    shown = tables.overview(rows)
    assert shown.loc["naswot", "NATS sizes"].startswith("1.00 [") and shown.loc[
        "naswot", "NATS sizes"
    ].endswith("(1)")
    pd.testing.assert_frame_equal(study.run(**settings).equal_cost, rows.equal_cost)
    assert "[" in tables.populations(rows).loc["parameters", "CIFAR-10, no dead edges"]
    assert tables.top(rows).loc["naswot", "NATS sizes"].startswith("1.000 (15 of 150)")
    assert list(tables.audit(rows).index) == list(PROXIES) and tables.fidelity(rows).empty
    assert "snip" in tables.measured_names(rows) and "phi" not in tables.measured_names(rows)
    for figure in figures(rows):
        assert isinstance(figure, Figure)


def figures(rows):
    places = {("nats_sizes", "cifar10"): "NATS sizes", ("nasbench201", "cifar10"): "NAS-Bench-201"}
    return (
        draw.overview(rows.correlations, tables.NAMES),
        draw.partials(rows.partials, tables.NAMES, places),
        draw.equal_cost(rows.equal_cost, tables.NAMES, places),
        draw.strata(rows.correlations, tables.NAMES),
        draw.redrawn(tables.seed_ranges(rows), tables.NAMES),
        draw.switched(tables.switched(rows), {"jacob-cov": "Jacobian covariance"}),
    )


def test_networks_that_were_not_scored_before_are_not_scored_again():
    with pytest.raises(
        ValueError,
        match=(
            "repeated: needed at most the 60 networks of nats_sizes that `samples` has for 'forward', got 70"
        ),
    ):
        study.run(
            samples={"nats_sizes": {"forward": 60}},
            seed=0,
            repeated=[{"nats_sizes": {"forward": 70}}],
            pairs=0,
        )


@needs_tables
def test_without_the_files_the_stored_aggregates_are_shown(made_up, monkeypatch, tmp_path):
    samples = {"nats_sizes": {"counts": 60, "forward": 60}, "nasbench101": {"counts": 30}}
    with_files = study.run(samples=samples, seed=0, repeated=[], pairs=0)
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    study.forget()
    without = study.run(samples=samples, seed=0, repeated=[], pairs=0)
    assert without.missing == ("nats_sizes", "nasbench101")
    found, expected = (rows.correlations.reset_index(drop=True) for rows in (without, with_files))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@needs_tables
def test_without_files_and_rows_every_fact_says_so(empty_store, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run(samples={"nats_sizes": {"counts": 60}}, seed=0, repeated=[], pairs=0)
    assert rows.correlations.empty
    assert set(tables.facts(rows).values()) <= {tables.NOT_MEASURED}
    assert all(isinstance(figure, Figure) for figure in figures(rows))


@needs_tables
def test_az_nas_ranks_within_the_drawn_networks(made_up):
    sizes = {"counts": 40, "forward": 40, "gradients": 40}
    study.fill_groups("nats_sizes", sizes, 0)
    study.forget()
    parts = pd.concat(
        [study.scores("nats_sizes", part, 0, 40) for part in stored_scores.JOINED["az-nas"]], axis=1
    )
    np.testing.assert_allclose(study.scores("nats_sizes", "az-nas", 0, 40), az_nas(parts))


@needs_tables
def test_isomorphic_pairs_are_isomorphic_and_different_cells():
    rows = study.networks("nasbench201")
    pairs = study.isomorphic_pairs(100)
    assert len(set(pairs)) == 100
    assert all(
        rows["family"][a] == rows["family"][b] and rows["network"][a] != rows["network"][b] for a, b in pairs
    )


def test_every_predictor_is_in_one_group_and_has_a_name():
    grouped = [name for group in study.GROUPS.values() for name in group]
    assert len(grouped) == len(set(grouped)) and set(grouped) | set(stored_scores.JOINED) == set(
        stored_scores.PREDICTORS
    )
    assert set(stored_scores.PREDICTORS) == set(tables.NAMES)


def test_stored_files_hold_scores_and_no_accuracies():
    for path in BENCHMARKS.glob("*.parquet"):
        found = fidelity.VALUES if path.stem == "fidelity" else scoring.BENCHMARKS[path.stem].scores
        units = json.loads(path.with_suffix(".json").read_text())["columns"]
        names = {name.rpartition("_s")[0] or name for name in pd.read_parquet(path).columns}
        assert names <= {"index", *found.units}
        assert units and found.rows == len(pd.read_parquet(path, columns=["index"]))


def test_stored_values_of_four_proxies_agree_with_their_authors_code():
    found = fidelity.AGREEMENT.stored().query("beside == 'suite' and cells == 120")
    best = found.groupby("proxy")["spearman"].max()
    assert (best[["naswot", "fisher", "snip", "grad-norm"]] > 0.97).all()
    assert best["naswot"] > 0.99 and best["fisher-channels"] < best["fisher"] - 0.05


@pytest.mark.parametrize(("shared", "missing"), [(1.0, 0.0), (0.0, 1.0)])
def test_draws_that_differ_by_chance_alone_come_as_near_to_a_stored_draw_as_can_be(
    monkeypatch, shared, missing
):
    rng = np.random.default_rng(0)
    truth, other = rng.standard_normal((2, 400))
    draws = {
        fidelity.column("grasp", switches.AUTHORS, seed): truth + rng.normal(0, 0.5, 400) for seed in range(3)
    }
    theirs = pd.DataFrame({"grasp": shared * truth + missing * other + rng.normal(0, 0.5, 400)})
    ours = pd.DataFrame(draws | {"index": np.arange(400)})
    monkeypatch.setattr(fidelity, "VALUES", type("Stored", (), {"read": staticmethod(lambda: ours)}))
    monkeypatch.setattr(fidelity, "official", lambda dataset: theirs)
    monkeypatch.setattr(fidelity, "drawn", lambda cells: list(range(cells)))
    found = switches.ceiling_row(proxy="grasp", of=switches.VALUE, draws=3, cells=400)
    assert found["one"] == pytest.approx(0.8, abs=0.04)  # 1 / (1 + 0.5^2), and a little less on ranks
    assert found["ceiling"] == pytest.approx((0.8 * 12 / 13) ** 0.5, abs=0.04)
    assert (found["gap_low"] < 0 < found["gap_high"]) if shared else (found["gap_high"] < -0.6)
    assert found["flips_suite"] == 0 and 0.1 < found["flips"] < 0.25


def test_shifted_images_are_the_same_ones_moved_by_at_most_four_pixels():
    images = fidelity.photographs(3, 0)
    for image, moved in zip(images, switches.shifted(images, 0), strict=True):
        inside = moved[:, 4:-4, 4:-4]
        places = [(y, x) for y in range(9) for x in range(9)]
        assert any(torch.equal(inside, image[:, y : y + 24, x : x + 24]) for y, x in places)


def test_photographs_are_scaled_crops_that_depend_on_the_seed_alone():
    images = fidelity.photographs(8, 3)
    assert images.shape == (8, 3, 32, 32) and torch.equal(images, fidelity.photographs(8, 3))
    assert not torch.equal(images, fidelity.photographs(8, 4))
    assert images.abs().max() < 3 and 0.3 < images.std() < 1.5
    near = (images[..., 1:] * images[..., :-1]).mean() / images.square().mean()
    assert near > 0.8  # neighbours are alike, as in no noise


def test_default_initialisation_is_that_of_pytorch():
    torch.manual_seed(0)
    layer, drawn = nn.Conv2d(16, 64, 3), nn.Conv2d(16, 64, 3)
    fidelity.default_initialisation(drawn, torch.Generator().manual_seed(0))
    for ours, theirs in zip(drawn.parameters(), layer.parameters(), strict=True):
        assert float(ours.detach().std()) == pytest.approx(float(theirs.detach().std()), rel=0.15)
        assert ours.abs().max() <= 144**-0.5


@needs_tables
def test_counts_have_both_published_values_each_in_its_population():
    rows = study.networks("nasbench201")
    live = rows["no dead edges"]
    assert live.sum() == 9445
    expected = {"flops": (0.578, 0.623), "layers": (0.580, 0.626)}
    for cost, values in expected.items():
        taus = [
            scipy.stats.kendalltau(rows[cost][at], rows["cifar10"][at]).statistic
            for at in (live | True, live)
        ]
        assert taus == pytest.approx(values, abs=0.001)
    assert ndcg(rows["flops"][live], rows["cifar10"][live]) == pytest.approx(0.743, abs=0.002)


@needs_tables
def test_the_norm_of_all_weights_is_the_number_of_convolutions():
    columns = {"index": "official index", "dataset": "text", "l2_norm": "score"}
    rows = read_table(fidelity.FILE, columns, "NASLib").query("dataset == 'cifar10'")
    convs = (study.networks("nasbench201")["layers"].loc[rows["index"]].to_numpy() - 8) / 15
    per_edge = 5 * sum((width / 3) ** 0.5 for width in (16, 32, 64))
    rest = rows["l2_norm"] - convs * per_edge
    assert rest.between(25, 31).all() and rows["l2_norm"].max() > 300


def test_weight_times_gradient_vanishes_in_front_of_a_batch_norm():
    query = Query(build(Cell(("nor_conv_3x3",) * 6), **SMALL), 8, 4, 0, CPU)
    gradients = query.weight_gradients(query.loss())
    layers = (nn.Conv2d, nn.Linear)
    names = [name for name, layer in query.module.named_modules() if isinstance(layer, layers)]
    plain = {
        name: abs(float((weight.detach() * gradient).sum() / (weight.detach().norm() * gradient.norm())))
        for name, weight, gradient in zip(names, query.weights, gradients, strict=True)
    }
    assert {name for name in names if plain[name] > 1e-4} == {
        "cells.1.shortcut.1",
        "cells.3.shortcut.1",
        "classifier",
    }


def test_a_chapter_has_a_bibtex_entry(capsys):
    citation("08_benchmarks", "Every proxy, every benchmark")
    printed = capsys.readouterr().out
    assert (
        printed.startswith("@incollection{zenlib_benchmarks,")
        and "{{Every proxy, every benchmark}}" in printed
    )
    with pytest.raises(ValueError, match="title: needed text, got ' '"):
        citation("08_benchmarks", " ")


class Official101:
    """Answers like the package `nasbench` for two cells."""

    CELLS: ClassVar = {
        "b2": (
            [[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]],
            ["input", "conv3x3-bn-relu", "maxpool3x3", "output"],
            0.91,
        ),
        "a1": ([[0, 1], [0, 0]], ["input", "output"], 0.5),
    }

    def hash_iterator(self):
        return self.CELLS.keys()

    def get_metrics_from_hash(self, name):
        matrix, ops, accuracy = self.CELLS[name]
        fixed = {"module_adjacency": np.array(matrix), "module_operations": ops, "trainable_parameters": 12}
        return fixed, {
            108: [
                {"final_validation_accuracy": accuracy},
                {"final_validation_accuracy": 0.1},
                {"final_validation_accuracy": 0.2},
            ]
        }


def test_the_official_release_of_nasbench101_becomes_the_table_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    nasbench101.from_api(Official101()).to_csv(tmp_path / nasbench101.FILE, index=False)
    rows = nasbench101.table()
    assert rows["hash"].tolist() == ["a1", "b2"] and rows["cifar10"].tolist() == [50, 91]
    assert rows["ops"].tolist() == ["", "3M"] and rows["adj_upper"].tolist() == ["1", "101101"]
    cell = Cell101.from_strings(*rows.loc[1, ["ops", "adj_upper"]])
    assert cell.edges == {(0, 1), (0, 3), (1, 2), (2, 3)}


def test_az_nas_joins_ranks_and_keeps_what_is_undefined_apart():
    joined = az_nas([[1, 10], [2, 30], [3, 20], [math.nan, 40]])
    assert math.isnan(joined[3])
    np.testing.assert_allclose(
        joined[:3], [math.log(1 / 4 * 1 / 4), math.log(2 / 4 * 3 / 4), math.log(3 / 4 * 2 / 4)]
    )
