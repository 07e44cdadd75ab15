"""Where a row came from: the code, the versions, the machine and the date of one run."""

from __future__ import annotations

import platform
import secrets
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zenlib.machine import processor

_PACKAGES = ("zenlib", "torch", "torchvision", "numpy")


def provenance(checkout: Path | None) -> dict[str, Any]:
    """The entry that a results file keeps for one run of code from this checkout, None if it is installed.

    Returns:
        `id` (UTC date and a random suffix), `started` (ISO 8601, UTC), `commit`, `versions`, `device` and
        `threads`.
    """
    import torch

    now = datetime.now(UTC)
    return {
        "id": f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        "started": now.isoformat(timespec="seconds"),
        "commit": _commit(checkout),
        "versions": {"python": platform.python_version()}
        | {package: _version(package) for package in _PACKAGES},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else processor(),
        "threads": torch.get_num_threads(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _commit(checkout: Path | None) -> str:
    """The commit, with "+changes" where code of the package or of a study differs from it, or "unknown"."""
    commit = _git(checkout, "rev-parse", "HEAD")
    if not commit:
        return "unknown"
    return commit + (
        "+changes" if _git(checkout, "status", "--porcelain", "--", "zenlib", "experiments/*.py") else ""
    )


def _git(checkout: Path | None, *arguments: str) -> str:
    """Output of a git command, or an empty string where there is no repository or no git."""
    if checkout is None:
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
