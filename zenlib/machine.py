"""What the library asks of the machine: processor, devices, folders of what is not in the package."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cache_root() -> Path:
    """Folder of what can be measured again: $ZENLIB_CACHE, else `zenlib` in the user's cache."""
    if os.environ.get("ZENLIB_CACHE"):
        return Path(os.environ["ZENLIB_CACHE"]).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zenlib"


IMAGES = "ZENLIB_IMAGES"
"""Variable of the environment that names the folder of images."""


def images_root() -> Path | None:
    """Folder of the images that networks are trained on: $ZENLIB_IMAGES, else None."""
    return Path(os.environ[IMAGES]).resolve() if os.environ.get(IMAGES) else None


def processor() -> str:
    """The processor's name as Linux gives it, elsewhere the machine type."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def chosen(device: str | torch.device | None) -> torch.device:
    """A device on which PyTorch computes here; of None CUDA if there is one, else the CPU."""
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=device).item()
    except Exception as error:  # of many kinds: unknown, not built in, not there, without numbers
        here = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise ValueError(
            f"device: needed a device on which PyTorch computes on this machine ({here}), got {device!r}; "
            "leave the option out, or give one of these"
        ) from error
    return torch.device(device)
