"""A second implementation of the released networks' wiring and names, which shares no code with the library.

It is written from the description of the published checkpoints: super-blocks of modules, ReLUs among them,
projections named `proj`, the classifier `fc_linear`.
"""

from __future__ import annotations

import re

import torch
from torch import nn


class Named(nn.Module):
    """One layer under the name `netblock`."""

    def __init__(self, layer):
        super().__init__()
        self.netblock = layer

    def forward(self, x):
        return self.netblock(x)


class Squeeze(nn.Module):
    def __init__(self, width):
        super().__init__()
        inner = max(1, round(width / 4))
        self.netblock = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, inner, 1, bias=False),
            nn.BatchNorm2d(inner, eps=1e-3),
            nn.ReLU(),
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width, eps=1e-3),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.netblock(x)


class Residual(nn.Module):
    def __init__(self, layers, width_in, width_out, stride, first):
        super().__init__()
        self.module_list = nn.ModuleList(layers)
        if first or stride > 1 or width_in != width_out:
            self.proj = nn.Sequential(
                nn.Conv2d(width_in, width_out, 1, stride), nn.BatchNorm2d(width_out, eps=1e-3)
            )

    def forward(self, x):
        y = x
        for layer in self.module_list:
            y = layer(y)
        return y + (self.proj(x) if hasattr(self, "proj") else x)


class Super(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.module_list = nn.ModuleList(layers)

    def forward(self, x):
        for layer in self.module_list:
            x = layer(x)
        return x


class Released(nn.Module):
    def __init__(self, structure, num_classes, use_se):
        super().__init__()
        blocks = re.findall(r"Super(\w+)\(([\d,]+)\)", structure)
        self.module_list = nn.ModuleList(
            [_super(name, [int(n) for n in numbers.split(",")], use_se) for name, numbers in blocks]
        )
        self.fc_linear = Named(nn.Linear(int(blocks[-1][1].split(",")[1]), num_classes))

    def forward(self, x):
        for block in self.module_list:
            x = block(x)
        return self.fc_linear(x.mean((2, 3)))


def _conv(width_in, width_out, kernel, stride=1, groups=1):
    conv = nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [Named(conv), Named(nn.BatchNorm2d(width_out, eps=1e-3))]


def _super(name, numbers, use_se):
    kernels = [int(k) for k in re.findall(r"K(\d+)", name)]
    width_in, width_out, stride, *inner, layers = numbers
    out, gate = [], (lambda width: [Squeeze(width)]) if use_se else (lambda width: [])
    if name.startswith("Conv"):
        for _ in range(layers):
            out += [*_conv(width_in, width_out, kernels[0], stride), nn.ReLU()]
            width_in, stride = width_out, 1
        return Super(out)
    width = inner[0]
    expansion = re.search(r"IDWE(\d+)", name)

    def add(width_in, middle, width_out, stride, groups, kernel, pointwise):
        if pointwise:
            path = [
                *_conv(width_in, middle, 1),
                nn.ReLU(),
                *_conv(middle, middle, kernel, stride, groups),
                nn.ReLU(),
            ]
            path += [*gate(middle), *_conv(middle, width_out, 1)]
        else:
            path = [
                *_conv(width_in, middle, kernel, stride),
                nn.ReLU(),
                *gate(middle),
                *_conv(middle, width_out, kernel),
            ]
        out.extend([Residual(path, width_in, width_out, stride, not out), nn.ReLU()])

    for _ in range(layers):
        if expansion:
            for target in (width, width_out):
                middle = max(8, 8 * round(target * int(expansion[1]) / 8))
                add(width_in, middle, target, stride, middle, kernels[0], True)
                width_in, stride = target, 1
        else:
            for _ in range(2 if len(kernels) == 3 else 1):
                add(
                    width_in,
                    width,
                    width_out,
                    stride,
                    1,
                    kernels[1] if len(kernels) == 3 else kernels[0],
                    len(kernels) == 3,
                )
                width_in, stride = width_out, 1
    return Super(out)


def randomised(module, seed=0):
    """Random weights and statistics, so that no two layers can be mistaken for each other."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(
                torch.rand(tensor.shape, generator=generator) * 0.2 + (0.9 if tensor.dim() == 1 else -0.1)
            )
    return module.eval()
