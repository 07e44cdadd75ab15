"""The notebook of a study: its parameters, and the form in which an executed one is kept.

An executed notebook is kept without anything that changes from run to run, so that the same rows give the
same bytes.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def parameters(notebook: NotebookNode) -> dict[str, Any]:
    """Names and defaults in the cell tagged `parameters`.

    Raises:
        ValueError: where there is no such cell, or where it holds more than `name = literal` lines.
            (papermill only warns about the first and guesses about the second.)
    """
    cells = [cell for cell in notebook.cells if "parameters" in _tags(cell)]
    if len(cells) != 1:
        raise ValueError(
            f"notebook: needed one cell tagged `parameters`, got {len(cells)}; tag the cell that assigns the "
            "defaults"
        )
    return dict(_assignment(statement) for statement in ast.parse(cells[0].source).body)


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    if (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    ):
        try:
            return statement.targets[0].id, ast.literal_eval(statement.value)
        except ValueError:
            pass
    raise ValueError(
        f"parameters cell: needed lines like `repeats = 8` with a literal, got `{ast.unparse(statement)}`"
    )


def changed_parameters(notebook: NotebookNode, wanted: dict[str, Any]) -> dict[str, Any]:
    """Those of the wanted parameters that differ from the notebook's defaults.

    Raises:
        ValueError: for a name that the notebook does not have, or a value of another type than the default's.
    """
    defaults = parameters(notebook)
    unknown = sorted(set(wanted) - set(defaults))
    if unknown:
        raise ValueError(f"parameters: needed names among {', '.join(defaults)}, got {', '.join(unknown)}")
    for name, value in wanted.items():
        if not _same_type(value, defaults[name]):
            raise ValueError(
                f"{name}: needed {type(defaults[name]).__name__} like the default {defaults[name]!r}, got "
                f"{value!r} "
                f"({type(value).__name__}; YAML reads 1e-3 as text, write 1.0e-3)"
            )
    return {name: value for name, value in wanted.items() if _lists(value) != _lists(defaults[name])}


def _same_type(value: Any, default: Any) -> bool:
    """Whether a profile may put this value in the default's place.

    Lists for tuples and integers for floats are fine.
    """
    if value is None or default is None:
        return True
    if isinstance(default, list | tuple):
        sample = default[0] if default else None
        return isinstance(value, list | tuple) and all(_same_type(item, sample) for item in value)
    if isinstance(default, dict):
        sample = next(iter(default.values()), None)
        return isinstance(value, dict) and all(_same_type(item, sample) for item in value.values())
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def _lists(value: Any) -> Any:
    """The value with lists in the place of tuples, which YAML does not have."""
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy without what differs between two runs that give the same numbers.

    Dropped: papermill's metadata, timings, the interpreter's version, everything on stderr, and the outputs
    of cells tagged `remove-output` except glued facts. Cells are numbered, and memory addresses masked.
    """
    cells = [_normalised_cell(cell) for cell in notebook.cells]
    for index, cell in enumerate(cells):
        cell["id"] = f"cell-{index:02d}"
    for count, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        _number(cell, count)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return nbformat.from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def _normalised_cell(cell: NotebookNode) -> NotebookNode:
    metadata = {"tags": _tags(cell)} if _tags(cell) else {}
    clean = {"cell_type": cell.cell_type, "metadata": metadata, "source": cell.source}
    if cell.cell_type == "code":
        hidden = "remove-output" in _tags(cell)
        kept = [output for output in cell.outputs if _is_fact(output) or not (hidden or _is_stderr(output))]
        clean |= {"execution_count": None, "outputs": _joined([_masked(output) for output in kept])}
    return nbformat.from_dict(clean)


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs with what was printed in one go in one piece.

    Where a stream is cut depends on how busy the machine is.
    """
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if (
            before is not None
            and output.output_type == before.output_type == "stream"
            and output.name == before.name
        ):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def _number(cell: NotebookNode, count: int) -> None:
    cell.execution_count = count
    for output in cell.outputs:
        if "execution_count" in output:
            output.execution_count = count


def _tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _is_fact(output: NotebookNode) -> bool:
    return "scrapbook" in output.get("metadata", {})


def _is_stderr(output: NotebookNode) -> bool:
    return output.output_type == "stream" and output.name == "stderr"


def _masked(output: NotebookNode) -> NotebookNode:
    """The output with memory addresses in its text replaced."""
    clean = dict(output)
    if "text" in clean:
        clean["text"] = _ADDRESS.sub("0x...", clean["text"])
    if "data" in clean:
        clean["data"] = {
            mime: _ADDRESS.sub("0x...", value) if "text/" in mime else value
            for mime, value in clean["data"].items()
        }
    return nbformat.from_dict(clean)
