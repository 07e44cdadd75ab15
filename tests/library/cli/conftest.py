"""Networks of one's own, as people bring them."""

from __future__ import annotations

import sys

import pytest

from tests.library.cli.test_cli import TINY

OWN = """
import torch
from torch import nn
from helper import WIDTH

class Net(nn.Sequential):
    def __init__(self):
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, 10)
        second = nn.Conv2d(8, WIDTH, 3, 2, 1)
        super().__init__(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), second, nn.ReLU(), *head)

class Wide(nn.Module):
    def __init__(self, width, depth=2): ...

class Broken(nn.Module):
    def __init__(self):
        raise RuntimeError("the weights are in the other office")

net = Net()
def number(): return 3
"""

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
options = parser.parse_args()
class Net: pass
"""
LEAVES = """
import sys
from torch import nn
class Net(nn.Sequential):
    def __init__(self): super().__init__(nn.Conv2d(3, 8, 3))
    def forward(self, images): sys.exit(0)
def make(): sys.exit()
"""
WILD = """
import os
import sys
from torch import nn
print("loading", len(sys.argv))
class Loud(nn.Sequential):
    def __init__(self): super().__init__(nn.Conv2d(3, 8, 3))
    def forward(self, images):
        print("shape", images.shape)
        os.system("echo from a shell")
        return super().forward(images)
def tall():
    first = nn.Conv2d(3, 16, (3, 1), padding=(1, 0))
    return nn.Sequential(first, nn.ReLU(), nn.Conv2d(16, 16, (1, 3), padding=(0, 1)))
def flat(side=32, channels=3):
    layers = nn.Conv2d(channels, 16, 3, padding=1), nn.MaxPool2d(2), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16 * (side // 2) ** 2, 10))
def digits(): return flat(28, 1)
def odd(): return flat(100)
class Dies(nn.Sequential):
    def __init__(self): super().__init__(nn.Conv2d(3, 8, 3))
    def forward(self, images): os._exit(3)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with networks of one's own, into which the shell has gone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "helper.py").write_text("WIDTH = 16\n")
    (tmp_path / "bare.py").touch()
    (tmp_path / "lost.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / "best.txt").write_text(TINY + "\n")
    (tmp_path / "wrong.txt").write_text(TINY[:-1])
    (tmp_path / "empty.txt").touch()
    for name in ("weights.pth", "binary.txt"):
        (tmp_path / name).write_bytes(b"\x80\x02\xff")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "leaves.py").write_text(LEAVES)
    (tmp_path / "wild.py").write_text(WILD)
    yield tmp_path
    for name in ("own", "helper", "bare", "lost", "script", "leaves", "wild"):
        sys.modules.pop(name, None)
