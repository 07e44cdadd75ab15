"""Damaged input of every kind: no crash, no hang, and each refusal is a `ValueError` that names the place."""

from __future__ import annotations

import hashlib
import json
import random
import re

import pytest

from experiments.record.results import Store
from experiments.record.score_columns import ScoreColumns, stored_columns
from zenlib.errors import ArchitectureError, ResultsError
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.search import Budget, search
from zenlib.search.checkpoint import read_rounds
from zenlib.spaces import SPACES

STRINGS = 10_000
FILES = 1_500
BINARY_FILES = 300

PIECES = [
    "Super",
    "Conv",
    "Res",
    "IDWE",
    "K",
    "BNRELU",
    "(",
    ")",
    ",",
    "0",
    "1",
    "3",
    "7",
    "-",
    " ",
    "\n",
    "\0",
    "é",
    "٣",
    "9" * 12,
    "9" * 5000,
    "1e9",
    "0x8",
]
TEXTS = [
    b"",
    b"nan",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'"',
    b",",
    b"\n",
    b"\r",
    b"\xff",
    b"\x00",
    b"9" * 5000,
]
TEXTS += [b"[" * 3000, b'"version": 7', b"-"]


def damaged(rng, original, pieces):
    """A copy after one to four edits: something is cut out, put in, doubled, swapped or cut off."""
    for _ in range(rng.randint(1, 4)):
        start, end = sorted(rng.randrange(len(original) + 1) for _ in range(2))
        end = min(end, start + rng.choice([1, 1, 3, 40]))
        middle = rng.choice(
            [rng.choice(pieces), original[start:end] * 2, original[:0], original[start:end][::-1]]
        )
        original = original[:start] + middle + original[end:]
        if rng.random() < 0.05:
            original = original[: rng.randrange(len(original) + 1)]
    return original


def test_ten_thousand_damaged_structure_strings_are_read_or_refused_at_a_character():
    rng = random.Random(0)
    sources = [zennet_architecture(name).to_string() for name in ZENNETS] + [
        SPACES[name].sample(rng).to_string() for name in SPACES
    ]
    read_ones = 0
    for _ in range(STRINGS):
        text = damaged(rng, rng.choice(sources), PIECES)
        try:
            architecture = Architecture.from_string(text)
        except ArchitectureError as error:
            assert error.position is not None and 0 <= error.position <= len(text), text
            assert str(error).startswith("structure string") and (
                "character" in str(error) or "empty" in str(error)
            ), text
        else:
            read_ones += 1
            assert Architecture.from_string(architecture.to_string()) == architecture
            assert architecture.params(10) > 0
    assert STRINGS // 100 < read_ones < STRINGS // 2


def test_a_number_beyond_any_network_is_refused_at_its_place():
    for text in (
        f"SuperConvK{'9' * 5000}BNRELU(3,8,1,1)",
        f"SuperConvK3BNRELU(3,8,1,{'9' * 5000})",
        "SuperConvK3BNRELU(3,8,1,999999999)",
        "SuperConvK1000001BNRELU(3,8,1,1)",
        "SuperConvK3BNRELU(3,\uff18,1,1)",
        "SuperConvK3BNRELU(3,\u0668,1,1)",
        "SuperConvK3BNRELU(3,999999,1,1)SuperConvK3BNRELU(999999,999999,1,1)",
        "SuperConvK3BNRELU(3,8,1,9999)" + "SuperConvK3BNRELU(8,8,1,9999)" * 9,
    ):
        with pytest.raises(ArchitectureError, match="structure string, character"):
            Architecture.from_string(text)


def test_ten_megabytes_of_blocks_are_refused_unread():
    text = "SuperConvK3BNRELU(3,8,1,1)" + "SuperConvK3BNRELU(8,8,1,1)" * 400_000
    with pytest.raises(ArchitectureError, match="needed at most 50,000 blocks, got 400,001"):
        Architecture.from_string(text)


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A store with rows in its CSV and in its journal, and the bytes of its files."""
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    units = {"seed": "1: seed", "name": "text: a name", "score": "nat: a score", "flag": "1: a flag"}
    store = Store("demo", "table", ("seed", "name"), units)
    run = {"id": "run-1", "started": "2026-01-01T00:00:00+00:00", "commit": "unknown"}
    for seed in range(4):
        row = {
            "seed": seed,
            "name": "a,b" if seed else None,
            "score": seed / 3,
            "flag": seed > 1,
            "reason": None,
            "seconds": 0.1,
            "run": "run-1",
        }
        store.append(row, run)
        if seed == 2:
            store.merge()
    return store, {
        path: path.read_bytes() for path in (store.data_path, store.sidecar_path, store.journal_path)
    }


def test_damaged_results_files_are_read_or_refused_by_name(stored, tried):
    """Half of the damaged CSV files carry the right hash, as if another program had written them."""
    store, originals = stored
    tried("piece of a table's files damaged, moved or repeated", FILES)
    rng = random.Random(1)
    refused = 0
    for _ in range(FILES):
        path = rng.choice(list(originals))
        content = damaged(rng, originals[path], TEXTS)
        path.write_bytes(content)
        if path == store.data_path and rng.random() < 0.5:
            digest = hashlib.sha256(content).hexdigest().encode()
            store.sidecar_path.write_bytes(
                re.sub(rb'"sha256": "\w+"', b'"sha256": "' + digest + b'"', originals[store.sidecar_path])
            )
        try:
            store.read()
        except ResultsError as error:
            refused += 1
            assert str(store.folder / "table.") in str(error), content
        for changed in {path, store.sidecar_path}:
            changed.write_bytes(originals[changed])
    assert FILES // 2 < refused < FILES
    assert len(store.read()) == 4


def test_damaged_score_columns_and_histories_are_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    columns = ScoreColumns("demo", 50, {"half": "1: half"})
    columns.fill(("half_s0",), lambda index: {"half_s0": index / 2}, progress=False)
    history = tmp_path / "search.journal"
    search(
        "resnet-like",
        "closed-form",
        Budget(),
        evaluations=8,
        population=4,
        round_size=4,
        checkpoint=history,
        progress=False,
    )
    rng = random.Random(2)
    originals = {path: path.read_bytes() for path in (columns.path, columns.sidecar_path, history)}
    for _ in range(BINARY_FILES):
        path = rng.choice(list(originals))
        path.write_bytes(damaged(rng, originals[path], TEXTS))
        try:
            if path == history:
                assert len([*read_rounds(history)]) <= 3
            else:
                assert len(stored_columns("demo")) == 1
                columns.read()
        except ResultsError as error:
            assert str(path.with_suffix("")) in str(error)
        path.write_bytes(originals[path])
    sidecar = json.loads(columns.sidecar_path.read_text())
    assert sidecar["sha256"] == hashlib.sha256(columns.path.read_bytes()).hexdigest()
