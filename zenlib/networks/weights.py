"""Weights in files: the layout of the published checkpoints, ours, and how one is read without trusting it.

A published checkpoint numbers super-blocks, the modules in them (ReLUs count) and the layers of a unit:

    module_list.I.module_list.J.netblock.*                  a layer of a plain block
    module_list.I.module_list.J.module_list.K.netblock.*    a layer of a residual unit; gates add .1 .2 .4 .5
    module_list.I.module_list.J.proj.{0,1}.*                its projection and BatchNorm
    fc_linear.netblock.*                                    the classifier

Source: the checkpoints of the released code (idstcv/ZenNAS); names and shapes only.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from zenlib.errors import CheckpointError
from zenlib.networks.architecture import Architecture

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that data-parallel training and compilation put before every name."""
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema")
"""Entries of a file under which training loops keep the moving average of the weights."""
PLAIN = ("state_dict", "model", "model_state_dict")
"""Entries under which they keep the weights themselves."""
_SHOWN = 3
_BATCHES = "num_batches_tracked"
# Accuracies are often saved as numpy scalars; these build numbers and nothing else. Old files name numpy's
# old modules.
_scalar = np.float64(0).__reduce__()[0]
_SCALARS = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(getattr(np.dtypes, name) for name in ("Float64DType", "Float32DType", "Int64DType", "Int32DType")),
]


def read_weights(path: str | Path, *, averaged: bool | None = None) -> dict[str, Tensor]:
    """The weights in a file, see `read_checkpoint`."""
    return read_checkpoint(path, averaged)[0]


def read_checkpoint(
    path: str | Path, averaged: bool | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a file, on the CPU, and the settings of our training that wrote it, none if another did.

    The names of the weights come without the prefixes of wrappers. The file may be a bare dictionary of
    tensors, or a training checkpoint that holds one. Code in it is refused, not run.

    Args:
        path: the file.
        averaged: whether to take the moving average of the weights; None means where the file has one.

    Raises:
        CheckpointError: the file is missing, truncated or no file of weights, or has no moving average
            although one is asked for.
    """
    content = load_file(Path(path))
    chosen = _choose(Path(path), content, averaged)
    settings = content.get("settings") if "format" in content else None
    known = isinstance(settings, dict) and {"architecture", "use_se", "resolution"} <= settings.keys()
    weights = {_unwrapped(name): tensor for name, tensor in chosen.items()}
    return weights, dict(settings or {}) if known else {}


def load_weights(
    network: nn.Module, architecture: Architecture | None, weights: Mapping[str, Tensor]
) -> None:
    """Copies weights into a network; nothing may be missing, left over or of another shape.

    Args:
        network: `build_network(architecture, ...)` or any other module, changed in place, or left as it was
            where an error is raised.
        architecture: says which published name belongs to which parameter; None for a module that is not of
            an architecture.
        weights: names of the published layout or of the module itself.

    Raises:
        CheckpointError: naming the first weights that are missing, unknown, of another shape, or not finite.
    """
    released = any(name.startswith("module_list.") for name in weights)
    own = network.state_dict()
    theirs = released_names(architecture) if architecture and released else {name: name for name in own}
    _require_same({theirs[name]: tensor for name, tensor in own.items()}, weights)
    # BatchNorm's count of batches is absent from old files, and nothing reads it.
    network.load_state_dict({name: weights.get(theirs[name], tensor) for name, tensor in own.items()})


def classes_in(weights: Mapping[str, Tensor]) -> int:
    """Width of the classifier whose weights these are.

    Raises:
        CheckpointError: there is no classifier among them.
    """
    for name in ("fc_linear.netblock.bias", "classifier.bias"):
        if name in weights:
            return weights[name].numel()
    raise CheckpointError(
        "checkpoint: needed the weights of a classifier named fc_linear or classifier, got "
        f"{_some(weights)}; this file is of another kind of network"
    )


def released_names(architecture: Architecture) -> dict[str, str]:
    """Name in the published layout of every parameter and buffer of the built network, in order."""
    from zenlib.networks.module import build_network

    with torch.device("meta"):
        network = build_network(architecture)
    places = [
        place
        for index, block in enumerate(architecture.blocks)
        for place in _places(index, block.kind, len(block.units()))
    ]
    return {name: _released(name, places) for name in network.state_dict()}


def _places(block: int, kind: str, units: int) -> Iterator[str]:
    """Where the units of a super-block stand: a plain one takes three places, a residual and its ReLU two."""
    for unit in range(units):
        yield (
            f"module_list.{block}.module_list."
            if kind == "conv"
            else f"module_list.{block}.module_list.{2 * unit}."
        )


def _released(name: str, places: list[str]) -> str:
    if name.startswith("classifier."):
        return name.replace("classifier.", "fc_linear.netblock.")
    unit, _, rest = name.removeprefix("features.").partition(".")
    number, place = int(unit), places[int(unit)]
    part, _, inner = rest.partition(".")
    if part == "shortcut":
        return f"{place}proj.{inner}"
    if part == "path":
        layer, _, leaf = inner.partition(".")
        return f"{place}module_list.{layer}.netblock.{leaf.removeprefix('scale.')}"
    earlier = places[:number].count(place)  # units of the same plain super-block
    return f"{place}{3 * earlier + int(part)}.netblock.{inner}"


def load_file(path: Path) -> Any:
    """What a file of torch.save holds, on the CPU; code in it is refused, not run.

    Raises:
        CheckpointError: the file is missing, truncated, damaged or holds objects.
    """
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint: needed a file of weights, got {path}, which "
            f"{'is a folder' if path.is_dir() else 'does not exist'}"
        )
    try:
        _require_undamaged(path)
        with torch.serialization.safe_globals(_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "global" in str(error).lower():
            raise CheckpointError(
                f"{path}: needed tensors and plain data, got a file with objects in it that would have to be "
                f"run ({_first_line(error)}); "
                "save its state_dict alone, on a machine where you trust it"
            ) from None
        raise _unreadable(path, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _require_undamaged(path: Path) -> None:
    """Compares the checksums that torch writes but does not read back."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} is wrong")


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: needed a whole file of weights as torch.save writes it, got {path.stat().st_size:,} bytes "
        "that cannot be read "
        f"({_first_line(error)}); it is truncated, damaged or another kind of file: fetch it again"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _choose(path: Path, content: Any, averaged: bool | None) -> Mapping[str, Tensor]:
    found = {} if averaged is False else _entry(content, AVERAGED)
    if averaged and not found:
        raise CheckpointError(
            f"{path}: needed a moving average of the weights, got none ({_some(content)}); ask for the "
            "weights themselves"
        )
    found = found or _entry(content, PLAIN) or (content if _is_weights(content) else {})
    if not found:
        raise CheckpointError(
            f"{path}: needed a dictionary of weights, bare or as one of {', '.join(PLAIN)}; got "
            f"{_some(content)}"
        )
    return found


def _entry(content: Any, names: tuple[str, ...]) -> Mapping[str, Tensor]:
    """The first of the named entries that holds weights, or whose own entry of such a name does."""
    if not isinstance(content, Mapping):
        return {}
    for name in names:
        inner = content.get(name)
        if _is_weights(inner):
            return cast(Mapping[str, Tensor], inner)
        if isinstance(inner, Mapping) and (nested := _entry(inner, (*names, *PLAIN))):
            return nested
    return {}


def _is_weights(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items())
    )


def _unwrapped(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def _require_same(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    missing = [name for name in wanted if name not in got and not name.endswith(_BATCHES)]
    unknown = [name for name in got if name not in wanted]
    if missing or unknown:
        raise CheckpointError(
            f"checkpoint: needed exactly the weights of this network; {len(missing)} are missing "
            f"({_some(missing)}) and "
            f"{len(unknown)} do not belong to it ({_some(unknown)}); is it the file of another network, or "
            "one with or without gates?"
        )
    for name, tensor in wanted.items():
        if name in got and got[name].shape != tensor.shape:
            raise CheckpointError(
                f"checkpoint: needed {name} of shape {tuple(tensor.shape)}, got {tuple(got[name].shape)}; "
                "is it the file of another network, or trained with another number of classes?"
            )
        if name in got and got[name].is_floating_point() and not torch.isfinite(got[name]).all():
            raise CheckpointError(
                f"checkpoint: needed finite weights, got NaN or infinity in {name}; the training diverged or "
                "the file is damaged"
            )


def _some(names: Any) -> str:
    if not isinstance(names, Mapping | list):
        return type(names).__name__
    shown = ", ".join(map(str, list(names)[:_SHOWN]))
    return f"{shown}, ..." if len(names) > _SHOWN else shown or "none"
