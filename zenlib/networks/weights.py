"""Weights in files: the layout of the published checkpoints, ours, and how one is read without trusting it.

A published checkpoint numbers super-blocks, the modules in them (ReLUs count) and the layers of a unit:

    module_list.I.module_list.J.netblock.*                  a layer of a plain block
    module_list.I.module_list.J.module_list.K.netblock.*    a layer of a residual unit; gates add .1 .2 .4 .5
    module_list.I.module_list.J.proj.{0,1}.*                its projection and BatchNorm
    fc_linear.netblock.*                                    the classifier

Source: the checkpoints of the released code (idstcv/ZenNAS); names and shapes only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeGuard
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor, nn

from zenlib.errors import CheckpointError
from zenlib.networks.architecture import Architecture

WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")
"""Prefixes that data-parallel training and compilation put before every name."""
AVERAGED = ("state_dict_ema", "ema_state_dict", "model_ema", "ema")
"""Entries of a file under which training loops keep the moving average of the weights."""
PLAIN = ("state_dict", "model", "model_state_dict")
"""Entries under which they keep the weights themselves."""
# Accuracies are often saved as numpy scalars; these build numbers and nothing else. Old files name numpy's
# old modules.
_scalar = np.float64(0).__reduce__()[0]
_SCALARS = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(getattr(np.dtypes, name) for name in ("Float64DType", "Float32DType", "Int64DType", "Int32DType")),
]


def read_checkpoint(
    path: str | Path, averaged: bool | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a file, on the CPU, and the settings of our training that wrote it, none if another did.

    The file may be a bare dictionary of tensors, or a training checkpoint that holds one. None for `averaged`
    takes the moving average of the weights where there is one. Prefixes of wrappers are taken off the names.

    Raises:
        CheckpointError: the file is missing, truncated or no file of weights, or has no moving average
            although one is asked for.
    """
    content = load_file(Path(path))
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
    weights = {WRAPPERS.sub("", name): tensor for name, tensor in found.items()}
    settings = content.get("settings") if "format" in content else None
    known = isinstance(settings, dict) and {"architecture", "use_se", "resolution"} <= settings.keys()
    return weights, dict(settings or {}) if known else {}


def load_weights(
    network: nn.Module, architecture: Architecture | None, weights: Mapping[str, Tensor]
) -> None:
    """Copies weights into a network; nothing may be missing, left over or of another shape.

    The names are those of the network itself or, where it is built of an `architecture`, of the published
    layout. The network is left as it was where an error is raised.

    Raises:
        CheckpointError: naming the first weights that are missing, unknown, of another shape, or not finite.
    """
    released = any(name.startswith("module_list.") for name in weights)
    own = network.state_dict()
    theirs = released_names(architecture) if architecture and released else {name: name for name in own}
    _require_same({theirs[name]: tensor for name, tensor in own.items()}, weights)
    network.load_state_dict({name: weights.get(theirs[name], tensor) for name, tensor in own.items()})


def classes_in(weights: Mapping[str, Tensor]) -> int:
    """Width of the classifier whose weights these are; a CheckpointError where there is none."""
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
        names = build_network(architecture).state_dict()
    units = [
        (index, unit) for index, block in enumerate(architecture.blocks) for unit in range(len(block.units()))
    ]
    return {name: _released(name, units) for name in names}


def _released(name: str, units: list[tuple[int, int]]) -> str:
    """The published name: a plain unit takes three places of its super-block, a residual and its ReLU two."""
    if name.startswith("classifier."):
        return name.replace("classifier.", "fc_linear.netblock.")
    _, number, part, rest = name.split(".", 3)
    block, unit = units[int(number)]
    place = f"module_list.{block}.module_list"
    if part == "shortcut":
        return f"{place}.{2 * unit}.proj.{rest}"
    if part == "path":
        layer, _, leaf = rest.partition(".")
        return f"{place}.{2 * unit}.module_list.{layer}.netblock.{leaf.removeprefix('scale.')}"
    return f"{place}.{3 * unit + int(part)}.netblock.{rest}"


def load_file(path: Path) -> Any:
    """What a file of torch.save holds, on the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, damaged or holds objects, whose code is not run.
    """
    if not path.is_file():
        raise CheckpointError(
            f"checkpoint: needed a file of weights, got {path}, which "
            f"{'is a folder' if path.is_dir() else 'does not exist'}"
        )
    try:
        if is_zipfile(path):
            with ZipFile(path) as archive:
                damaged = archive.testzip()  # torch writes checksums but does not read them
            if damaged:
                raise ValueError(f"the checksum of {damaged} is wrong")
        with torch.serialization.safe_globals(_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, BadZipFile, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        told = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        needed = (
            f"a whole file of weights as torch.save writes it, got {path.stat().st_size:,} bytes that cannot "
            f"be read ({told}); it is truncated, damaged or another kind of file: fetch it again"
        )
        if isinstance(error, UnpicklingError) and re.search("Unsupported|(?i:global)", str(error)):
            needed = (
                f"tensors and plain data, got a file with objects in it that would have to be run ({told}); "
                "save its state_dict alone, on a machine where you trust it"
            )
        raise CheckpointError(f"{path}: needed {needed}") from error


def _entry(content: Any, names: tuple[str, ...]) -> Mapping[str, Tensor]:
    """The first of the named entries that holds weights, or whose own entry of such a name does."""
    if not isinstance(content, Mapping):
        return {}
    for name in names:
        inner = content.get(name)
        if _is_weights(inner):
            return inner
        if nested := _entry(inner, (*names, *PLAIN)):
            return nested
    return {}


def _is_weights(value: Any) -> TypeGuard[Mapping[str, Tensor]]:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items())
    )


def _require_same(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> None:
    # BatchNorm's count of batches is absent from old files, and nothing reads it.
    missing = [name for name in wanted if name not in got and not name.endswith("num_batches_tracked")]
    unknown = [name for name in got if name not in wanted]
    if missing or unknown:
        raise CheckpointError(
            f"checkpoint: needed exactly the weights of this network; {len(missing)} are missing "
            f"({_some(missing)}) and {len(unknown)} do not belong to it ({_some(unknown)}); is it the file "
            "of another network, or one with or without gates?"
        )
    for name, tensor in got.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"checkpoint: needed {name} of shape {tuple(wanted[name].shape)}, got {tuple(tensor.shape)}; "
                "is it the file of another network, or trained with another number of classes?"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"checkpoint: needed finite weights, got NaN or infinity in {name}; the training diverged or "
                "the file is damaged"
            )


def _some(names: Any) -> str:
    if not isinstance(names, Mapping | list):
        return type(names).__name__
    shown = ", ".join(map(str, list(names)[:3]))
    return f"{shown}, ..." if len(names) > 3 else shown or "none"
