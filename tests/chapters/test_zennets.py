"""The ZenNet study: numbers of Table 7, speed at equal accuracy, the training as a table, facts, figures."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import typer
from matplotlib.figure import Figure

from experiments.benchmarks.network_latency import (
    IMAGENET_ZENNETS,
    LATENCY,
    REFERENCES,
    latency_keys,
    networks,
)
from experiments.benchmarks.published_networks import TABLE7, TRAINED_ELSEWHERE
from experiments.chapters.zennets import facts as zennets_facts
from experiments.chapters.zennets import figures as draw
from experiments.chapters.zennets import speed as zennets_speed
from experiments.chapters.zennets import study
from experiments.chapters.zennets.explorer import explorer
from experiments.chapters.zennets.published_counts import as_number
from experiments.chapters.zennets.training import TRAINING
from tests.library.train.small import few_digits
from zenlib.cli.app import app

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "chapters" / "zennets" / "notebook.ipynb"
SMALL = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,1)SuperConvK1BNRELU(16,32,1,1)"


def measured(milliseconds=10.0, spread=0.1, names=(*IMAGENET_ZENNETS, *REFERENCES)):
    """Rows of latencies in which every network takes its FLOPs' share of a given time."""
    rows = [
        key | {"milliseconds": milliseconds, "undisturbed": milliseconds, "spread": spread}
        for key in latency_keys(names, ["float32"], [1], "cpu")
    ]
    return pd.DataFrame(rows).assign(repeats=5, threads=1, seconds=1.0)


@pytest.fixture(scope="module")
def published():
    return zennets_speed.compared(measured())


def test_the_papers_three_factors_are_read_between_b5_and_b6(published):
    gains = zennets_speed.speed_ups(published).set_index(["network", "column"])["factor"]
    found = [round(gains["zennet-1.2ms", column], 1) for column in ("v100", "t4", "pixel2")]
    assert found == [4.9, 10.9, 1.6]


def test_a_cost_at_an_accuracy_lies_on_the_line_between_two_networks():
    family = pd.DataFrame({"top1": [80.0, 84.0, 82.0], "ms": [1.0, 9.0, 3.0]})
    assert zennets_speed.interpolated(family, "ms", 81.5) == pytest.approx(2.5)
    assert zennets_speed.interpolated(family, "ms", 82.0) == 3.0
    assert pd.isna(zennets_speed.interpolated(family, "ms", 84.5)) and pd.isna(
        zennets_speed.interpolated(family, "other", 81.0)
    )


def test_no_network_beats_one_on_the_front_and_every_other_is_beaten(published):
    members = published[published["accuracy"] == "paper"]
    chosen = zennets_speed.front(published, "v100", ("paper",))
    for row in members.itertuples():
        better = members[
            (members["top1"] >= row.top1)
            & (members["v100"] <= row.v100)
            & ((members["top1"] > row.top1) | (members["v100"] < row.v100))
        ]
        assert (row.name in set(chosen["name"])) == better.empty


def test_every_network_of_table_7_and_every_measured_one_has_its_rows(published):
    counts = published["accuracy"].value_counts()
    assert counts["paper"] == len(TABLE7) + len(IMAGENET_ZENNETS)
    assert set(networks()) <= set(published["network"])
    assert published.loc[published["network"].isin(networks()), "cpu_float32_1"].notna().all()
    assert not published.duplicated(["network", "accuracy"]).any()


def test_a_disturbed_measurement_is_left_out():
    rows = measured()
    rows.loc[rows["network"] == "resnet50", "spread"] = 2.0
    found = zennets_speed.compared(rows).set_index(["network", "accuracy"])["cpu_float32_1"]
    assert pd.isna(found["resnet50", "paper"]) and found["resnet101", "paper"] == 10.0


def test_second_weights_are_for_images_of_the_size_that_was_measured():
    from experiments.benchmarks import torchvision_zoo

    zoo = torchvision_zoo.zoo().pivot(index="model", columns="weights", values="crop").loc[list(REFERENCES)]
    both = zoo[["IMAGENET1K_V1", "IMAGENET1K_V2"]].dropna()
    assert len(both) and (both["IMAGENET1K_V1"] == both["IMAGENET1K_V2"]).all()


def test_printed_sizes_and_names_of_table_7_make_sense():
    assert len({row.name for row in TABLE7}) == len(TABLE7)
    assert {trained.network for trained in TRAINED_ELSEWHERE} <= {row.torchvision for row in TABLE7} | set(
        IMAGENET_ZENNETS
    )
    assert all(
        1e6 < as_number(row.params) < 1e8 and 4e7 < as_number(row.flops) < 4e10 and row.v100 < row.pixel2
        for row in TABLE7
    )


def test_ranks_of_columns_that_agree_are_one():
    rows = measured()
    rows["undisturbed"] = rows["milliseconds"] = [1.0 + index for index in range(len(rows))]
    twice = pd.concat(
        [
            rows,
            rows.assign(
                dtype="bfloat16", undisturbed=3 * rows["undisturbed"], milliseconds=3 * rows["milliseconds"]
            ),
        ]
    )
    found = zennets_speed.rank_agreement(zennets_speed.compared(twice)).set_index(["first", "second"])
    assert found.loc[("cpu_float32_1", "cpu_bfloat16_1"), "kendall"] == pytest.approx(1)
    assert 0.4 < found.loc[("v100", "t4"), "kendall"] < 0.9


@pytest.fixture
def small_run(tmp_path, monkeypatch):
    """A real run: two networks timed, digits trained for two epochs."""
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ZENLIB_CACHE", str(tmp_path / "cache"))
    few_digits(monkeypatch)
    monkeypatch.setattr(study, "ZENNETS", ("zennet-0.1ms", "zennet-900M-SE", "zennet-0.5M"))
    settings = {
        "latency_networks": ["resnet18", "mobilenet_v2"],
        "latency_dtypes": ["float32"],
        "latency_batches": [1],
        "latency_device": "cpu",
    }
    settings |= {
        "training_architecture": SMALL,
        "training_data": "digits",
        "training_recipe": "digits",
        "training_epochs": 2,
    }
    return study.run(**settings, training_dtype="float32", training_device="cpu", seed=0)


def test_a_run_counts_times_trains_and_tells(small_run, tmp_path):
    assert set(small_run.sizes["params_agree"]) == {"rounded", "nothing printed"}
    assert (small_run.latency["undisturbed"] > 0).all() and set(small_run.latency["network"]) == {
        "resnet18",
        "mobilenet_v2",
    }
    told = zennets_facts.facts(small_run)
    assert told["digits"] == "4 of 4" and told["faster_v100"] == "4.9"
    assert told["faster_cpu_float32_1"] == zennets_facts.NOT_MEASURED
    assert all(text.strip() and "nan" not in text for text in told.values())
    figures = [
        draw.training(small_run.training, 93.0),
        draw.recipes(zennets_facts.evidence(small_run.networks)),
    ]
    figures += [
        draw.accuracy_cost(**panels(small_run.networks))
        for panels in (zennets_speed.printed_panels, zennets_speed.measured_panels)
    ]
    names = zennets_speed.latency_names(small_run.networks)
    figures += [
        draw.speed_ups(small_run.speed_ups, names),
        draw.ranks(small_run.ranks, zennets_speed.PRINTED, names),
    ]
    for figure in figures:
        assert isinstance(figure, Figure)
        figure.canvas.draw()
    assert study.factor_table(small_run).index.tolist() == ["V100", "T4", "Pixel 2", "CPU fp32, batch 1"]
    assert study.size_table(small_run).notna().all(axis=None)
    assert len(study.size_table(small_run)) == 3 and len(study.speed_table(small_run)) == len(
        IMAGENET_ZENNETS
    )


def test_rows_of_a_training_are_its_log_and_are_not_trained_twice(small_run, tmp_path):
    (folder,) = (tmp_path / "cache" / "training").iterdir()
    log = pd.read_csv(folder / "log.csv")
    assert small_run.training["test_top1"].tolist() == pytest.approx(log["test_top1"].tolist())
    assert small_run.training["seconds"].tolist() == pytest.approx(log["seconds"].tolist())
    before = (folder / "last.pth").stat().st_mtime_ns
    (row, other), _ = TRAINING.sample(2, 60.0, seed=0)
    assert all(line.agrees for line in (*TRAINING.recompute(row), *TRAINING.recompute(other)))
    assert (folder / "last.pth").stat().st_mtime_ns == before


def test_a_network_outside_the_study_is_refused():
    with pytest.raises(ValueError, match=r"latency_networks: needed names of this study .* got vit_b_16"):
        latency_keys(["resnet18", "vit_b_16"], ["float32"], [1], "cpu")


def test_the_fragment_carries_every_mark_and_needs_no_network(published):
    text = explorer(published, zennets_speed.cost_names(published), "accuracy <&> cost")
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert len(data["marks"]) == len(published)
    assert {mark["name"] for mark in data["marks"]} == set(published["name"])
    assert "accuracy &lt;&amp;&gt; cost" in text and len(text) < 60_000
    assert re.findall(r"https?://(?!www\.w3\.org)", text) == []


def printed_commands():
    """Every call of `zenlib` in the chapter, as arguments."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for block in re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"\b(?:zenlib\.cli|zenlib)\s+(.*)", line)
            if found:
                yield shlex.split(found[1])


@pytest.mark.parametrize(
    "arguments", list(printed_commands()), ids=lambda arguments: " ".join(arguments)[:60]
)
def test_every_printed_command_is_understood(arguments):
    from zenlib.train.datasets import DATASETS
    from zenlib.train.recipes import RECIPES, changed

    group = typer.main.get_command(app)
    given = group.commands[arguments[0]].make_context(arguments[0], arguments[1:]).params
    assert given.get("data") in (*DATASETS, None)
    changed(RECIPES[given.get("recipe") or "imagenet"], given.get("change") or [])


def test_stored_latencies_are_of_the_networks_of_the_study():
    rows = LATENCY.stored()
    assert set(rows["network"]) <= set(networks()) and (rows["undisturbed"] > 0).all()
    sides = networks()
    assert all(sides[row.network] == row.resolution for row in rows.itertuples())
