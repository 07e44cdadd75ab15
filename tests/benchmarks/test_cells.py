"""Cells of NAS-Bench-201 and 101, sizes of NATS-Bench, networks of pycls: text, networks, tables."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from experiments.benchmarks import dds as dds_table
from experiments.benchmarks import dds_space as dds
from experiments.benchmarks import nasbench101 as table101
from experiments.benchmarks import nasbench101_space as nasbench101
from experiments.benchmarks import nasbench201 as table201
from experiments.benchmarks import nats_sizes as sizes_table
from experiments.benchmarks import nats_sizes_space as nats_sizes
from experiments.benchmarks.cell_layers_space import EDGES
from experiments.benchmarks.nasbench201_space import OPS, Cell, build, cells, costs
from experiments.record.results import data_root
from zenlib import PROXIES
from zenlib.errors import ArchitectureError, BenchmarkMissing, ResultsError

ALL = tuple(cells())
TEXT = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
needs_tables = pytest.mark.skipif(data_root() is None, reason="needs the benchmark tables in $ZENLIB_DATA")


def parameters(make, *arguments):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make(*arguments).parameters())


def test_every_cell_has_one_text():
    texts = {cell.to_string(): cell for cell in ALL}
    assert len(texts) == len(ALL) == 5**6
    assert all(
        Cell.from_string(text) == cell for text, cell in random.Random(0).sample(sorted(texts.items()), 200)
    )
    assert Cell.from_string(TEXT).ops == (
        "nor_conv_3x3",
        "none",
        "avg_pool_3x3",
        "skip_connect",
        "nor_conv_1x1",
        "nor_conv_3x3",
    )


def test_the_benchmark_counts_6466_classes_and_341_cells_without_a_path():
    assert len({cell.isomorphism_class for cell in ALL}) == 6466
    assert sum(not cell.is_connected for cell in ALL) == 341


def test_cells_of_one_class_compute_one_function_but_not_the_other_way_round():
    functions = {}
    for cell in ALL:
        assert functions.setdefault(cell.isomorphism_class, cell.function) == cell.function
    assert len(set(functions.values())) == 4930


def test_an_edge_is_live_where_a_path_runs_through_it():
    dead_end = Cell.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
    assert [edge for edge, live in zip(EDGES, dead_end.live, strict=True) if live] == [(0, 3)]
    assert all(Cell(("nor_conv_3x3",) * 6).live) and not any(Cell(("none",) * 6).live)


def test_cutting_skips_keeps_pooling():
    cut = Cell.from_string(TEXT).without_skips()
    assert cut.count("skip_connect") == 0 and cut.count("avg_pool_3x3") == 1 and cut.count("none") == 2


@pytest.mark.parametrize(
    "ops", [("none",) * 6, ("nor_conv_1x1",) * 6, ("nor_conv_3x3",) * 6, Cell.from_string(TEXT).ops]
)
def test_parameters_are_those_of_the_benchmark(ops):
    def conv(width_in, width_out, kernel):
        return width_in * width_out * kernel**2 + 2 * width_out

    shell = (
        conv(3, 16, 3)
        + 2 * 64
        + 650
        + sum(conv(c, 2 * c, 3) + conv(2 * c, 2 * c, 3) + 2 * c * c for c in (16, 32))
    )
    edges = sum(5 * conv(c, c, int(op[9])) for c in (16, 32, 64) for op in ops if op.startswith("nor_conv"))
    assert parameters(build, Cell(ops)) == shell + edges == costs(Cell(ops))[0]
    assert PROXIES["flops"](build(Cell(ops)), 32) == costs(Cell(ops))[1]


@torch.no_grad()
def test_a_cell_without_a_path_gives_every_image_one_answer():
    logits = build(Cell(("none",) * 6), widths=(4, 8, 16), cells_per_stage=1).train()(torch.randn(4, 3, 8, 8))
    assert torch.equal(logits, logits[:1].expand(4, -1))


@torch.no_grad()
def test_a_cell_computes_its_sum():
    cell = build(Cell.from_string(TEXT), widths=(4,), cells_per_stage=1).train().cells[0]
    features = torch.randn(2, 4, 6, 6)
    first = cell.edges[0](features)
    second = nn.functional.avg_pool2d(first, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(cell(features), features + cell.edges[4](first) + cell.edges[5](second))


@torch.no_grad()
def test_sizes_build_with_projections_where_widths_change():
    network = nats_sizes.build(nats_sizes.from_string("8:16:24:24:64")).train()
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)
    assert network.features(torch.randn(2, 3, 16, 16)).shape == (2, 64, 4, 4)
    assert len(network.cells[0].edges[3].state_dict()) == 0 < len(network.cells[2].edges[3].state_dict())
    assert sum(1 for _ in nats_sizes.sizes()) == 32768


@pytest.mark.parametrize(
    ("ops", "edges", "channels", "expected"),
    [
        ("3", {(0, 1), (1, 2)}, 128, [128]),
        ("33", {(0, 1), (0, 2), (1, 3), (2, 3)}, 9, [5, 4]),
        ("31M", {(0, 1), (1, 2), (2, 4), (0, 3), (3, 4)}, 8, [4, 4, 4]),
    ],
)
def test_vertices_of_a_101_cell_share_the_channels(ops, edges, channels, expected):
    assert nasbench101.Cell101(ops, frozenset(edges)).widths(channels) == expected


def test_a_101_cell_is_read_row_by_row():
    assert nasbench101.Cell101.from_strings("3M", "110011").edges == {(0, 1), (0, 2), (1, 3), (2, 3)}


@torch.no_grad()
def test_a_101_cell_may_be_a_projection_alone():
    network = nasbench101.build(nasbench101.Cell101.from_strings("", "1"), stem=4).train()
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 10)


@pytest.mark.parametrize(
    "text", ["", "|none~0|", TEXT.replace("~2", "~1"), TEXT.replace("none", "conv"), TEXT + "|none~0|"]
)
def test_a_wrong_text_of_a_cell_is_refused(text):
    with pytest.raises(ArchitectureError, match="needed"):
        Cell.from_string(text)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: nats_sizes.from_string("8:8:8:8"), "size: needed five of 8, 16"),
        (lambda: nats_sizes.from_string("8:8:8:8:9"), "size: needed five of 8, 16"),
        (
            lambda: nasbench101.Cell101.from_strings("3X", "110011"),
            "cell: needed letters of 3, 1, M and 6 zeros and ones",
        ),
        (lambda: dds.build("ResNet-18"), "model: needed one of RegNetX-200MF"),
        (lambda: Cell(("none",)), "ops: needed 6 of none, skip_connect"),
    ],
)
def test_bad_input_is_one_clear_error(read, message):
    with pytest.raises(ValueError, match=message):
        read()


@pytest.mark.parametrize("reader", [table201, table101, sizes_table, dds_table])
def test_without_its_file_a_reader_says_how_to_get_it(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    with pytest.raises(
        BenchmarkMissing,
        match=(
            f"{reader.FILE}: needed this file in the folder .ZENLIB_DATA .*take the numbers from the "
            ".*columns"
        ),
    ):
        reader.table()
    (tmp_path / reader.FILE).write_text("arch,index\nx,0\n")
    with pytest.raises(ResultsError, match="needed rows with the columns"):
        reader.table()


class Official:
    """Answers as the package nats_bench does, for networks whose accuracy is their index."""

    def get_net_config(self, index, dataset):
        return {"arch_str": ALL[index].to_string()} if index < len(ALL) else {}

    def get_more_info(self, index, dataset, hp, is_random):
        assert (
            dataset in ("cifar10", "cifar100", "ImageNet16-120", "cifar10-valid")
            and hp == "200"
            and is_random is False
        )
        return (
            {"valid-accuracy": index / 2000}
            if dataset == "cifar10-valid"
            else {"test-accuracy": index / 1000, "test-loss": 0.0}
        )


def test_the_official_package_gives_the_table_that_the_reader_reads(tmp_path, monkeypatch):
    table201.from_api(Official()).to_csv(tmp_path / table201.FILE, index=False)
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = table201.table()
    assert len(rows) == 15625 and rows.loc[7, "arch"] == ALL[7].to_string()
    assert rows.loc[7, list(table201.ACCURACIES)].tolist() == [0.007] * 3
    assert rows.loc[7, "cifar10_valid"] == 0.0035


@needs_tables
def test_the_table_of_201_is_that_of_our_cells():
    rows = table201.table()
    assert rows["index"].tolist() == list(range(15625))
    assert set(rows["arch"]) == {cell.to_string() for cell in ALL}
    classes = {text: Cell.from_string(text).isomorphism_class for text in rows["arch"]}
    assert (
        len({(classes[text], number) for text, number in zip(rows["arch"], rows["isomorph"], strict=True)})
        == 6466
    )
    disconnected = rows[[not Cell.from_string(text).is_connected for text in rows["arch"]]]
    assert disconnected["cifar10"].max() == 10
    for row in rows.sample(20, random_state=1).itertuples():
        network = build(Cell.from_string(row.arch))
        assert PROXIES["params"](network) == round(row.params_M * 1e6)
    for row in rows.itertuples():
        assert costs(Cell.from_string(row.arch)) == (round(row.params_M * 1e6), round(row.flops_M * 1e6))


@needs_tables
def test_the_table_of_101_is_that_of_our_networks():
    for row in table101.table().sample(20, random_state=1).itertuples():
        assert (
            parameters(nasbench101.build, nasbench101.Cell101.from_strings(row.ops, row.adj_upper))
            == row.params
        )


@needs_tables
def test_the_table_of_sizes_is_that_of_our_sizes():
    assert set(map(nats_sizes.from_string, sizes_table.table()["channels"])) == set(nats_sizes.sizes())


@needs_tables
def test_the_table_of_pycls_is_that_of_our_networks():
    rows = dds_table.table()
    assert sorted(rows["model"]) == sorted(dds.MODELS)
    for row in rows.itertuples():
        assert parameters(dds.build, row.model) == row.params, row.model


def test_the_order_of_operations_is_that_of_the_search_space():
    assert OPS == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
