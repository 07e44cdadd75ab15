"""Search spaces, and populations of architectures to draw from."""

from __future__ import annotations

from zenlib.spaces.mobilenet_like import MOBILENET_LIKE
from zenlib.spaces.resnet_like import RESNET_LIKE
from zenlib.spaces.space import Space

SPACES: dict[str, Space] = {space.name: space for space in (RESNET_LIKE, MOBILENET_LIKE)}
"""Search spaces by name."""
