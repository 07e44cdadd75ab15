"""The studies: each computes the rows of its tables, and states its facts from them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from zenlib.threads import cap_threads

cap_threads()  # before a study loads torch: the kernel of a notebook has the environment of whoever started it

STUDIES = {
    "expressivity": "zenlib.studies.expressivity",
    "zen_score": "zenlib.studies.zen_score",
    "imagenet_zoo": "zenlib.studies.imagenet_zoo",
    "closed_form": "zenlib.studies.closed_form",
    "search": "zenlib.studies.search",
    "zennets": "zenlib.studies.zennets",
    "nasbench201": "zenlib.studies.nasbench201",
    "benchmarks": "zenlib.studies.benchmarks",
    "worth": "zenlib.studies.worth",
    "noise": "zenlib.studies.noise",
    "proxy_cost": "zenlib.studies.proxy_cost",
    "cells": "zenlib.studies.cells",
    "blind": "zenlib.studies.blind",
    "population": "zenlib.studies.population",
    "repaired": "zenlib.studies.repaired",
    "table1": "zenlib.studies.table1",
}
"""Module of each study by name; a notebook `NN_<name>.ipynb` tells it."""


def load_study(name: str) -> ModuleType:
    """The module of a study: it has `TABLES`, `run` and `facts`.

    Args:
        name: one of `STUDIES`.
    """
    if name not in STUDIES:
        raise ValueError(f"name: needed one of {', '.join(STUDIES)}, got {name!r}")
    return import_module(STUDIES[name])
