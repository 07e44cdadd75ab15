"""A search space of one's own: a function that builds a module from a dictionary of choices."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Point:
    """One network of a space of one's own; two are equal where their choices are.

    Attributes:
        text: the choices as JSON, which names the network in a history.
        choices: the choices.
        make: builds a module from them.
    """

    text: str
    choices: dict[str, Any] = field(compare=False, repr=False)
    make: Callable[[dict[str, Any]], nn.Module] = field(compare=False, repr=False)

    def build(self) -> nn.Module:
        """The module; a ValueError where `make` gives something else."""
        from torch import nn

        network = self.make(dict(self.choices))
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"build: needed a function that returns a torch.nn.Module, got {type(network).__name__} for "
                f"{self.text}"
            )
        return network

    def to_string(self) -> str:
        """The choices as JSON."""
        return self.text

    __str__ = to_string


@dataclass(frozen=True, eq=False)
class Choices:
    """A space of one's own, `Choices({"width": [16, 24, 32], "depth": range(1, 5)}, build=make)`.

    A changed network is one with one choice drawn again, or two with a chance of 1/2, three with 1/4, and so
    on, so that every network can be reached from every other.

    Attributes:
        options: the values that each choice may take, by its name. Numbers, texts and tuples stand for
            themselves in the history, other objects for their names, and no two may look alike.
        build: makes a module of a dictionary with a value for each choice. It may raise a ValueError where
            choices do not go together. Worker processes must be able to import it.
    """

    options: Mapping[str, Sequence[Any]]
    build: Callable[[dict[str, Any]], nn.Module]

    def __post_init__(self) -> None:
        if not isinstance(self.options, Mapping) or not self.options or not callable(self.build):
            raise ValueError(
                'Choices: needed names with lists of values, {"width": [16, 32]}, and a function `build`; '
                f"got {self.options!r} and {self.build!r}"
            )
        for name, values in self.options.items():
            listed = isinstance(values, Iterable) and not isinstance(values, str)
            labels = [_label(value) for value in values] if listed else []
            if not labels or len({*labels}) < len(labels):
                raise ValueError(
                    f"options: needed a list of different values for {name!r}, got {values!r}; give objects "
                    "that look alike, such as lambdas, by name, and choose them in `build`"
                )

    @cached_property
    def _values(self) -> dict[str, dict[str, Any]]:
        """The values of each choice by their labels."""
        return {name: {_label(value): value for value in values} for name, values in self.options.items()}

    @property
    def name(self) -> str:
        """What a checkpoint calls this space."""
        made = getattr(self.build, "__qualname__", type(self.build).__qualname__)
        return f"{made} of {json.dumps({name: list(values) for name, values in self._values.items()})}"

    @property
    def size(self) -> int:
        """Number of networks."""
        return math.prod(map(len, self._values.values()))

    def point(self, choices: Mapping[str, Any]) -> Point:
        """The network of these choices; a ValueError where one is missing, unknown, or not of its values."""
        labels = {name: _label(value) for name, value in choices.items()}
        if labels.keys() != self._values.keys() or any(
            labels[name] not in self._values[name] for name in labels
        ):
            raise ValueError(f"choices: needed one value each of {self.options}, got {dict(choices)}")
        return self._point({name: values[labels[name]] for name, values in self._values.items()})

    def parse(self, text: str) -> Point:
        """The network that a history calls so."""
        return self.point(json.loads(text))

    def sample(self, rng: random.Random, resolution: int = 32) -> Point:
        """One random network, every choice uniform."""
        return self._point({name: rng.choice(values) for name, values in self.options.items()})

    def mutate(self, parent: Point, rng: random.Random, rule: str = "", replaced: int = 0) -> Point:
        """A changed network; rules and numbers of blocks are for the spaces of blocks."""
        chosen = dict(parent.choices)
        open_choices = [name for name, values in self.options.items() if len(values) > 1]
        count = 1
        while count < len(open_choices) and rng.random() < 0.5:
            count += 1
        for name in rng.sample(open_choices, min(count, len(open_choices))):
            own = _label(chosen[name])
            chosen[name] = rng.choice([value for label, value in self._values[name].items() if label != own])
        return self._point(chosen)

    def _point(self, choices: dict[str, Any]) -> Point:
        labels = ", ".join(f"{json.dumps(name)}: {_label(value)}" for name, value in choices.items())
        return Point("{" + labels + "}", choices, self.build)


def _label(value: Any) -> str:
    """The value as JSON; objects by their names, numbers of NumPy as numbers."""
    return json.dumps(value, default=_named)


def _named(value: Any) -> Any:
    if hasattr(value, "item"):
        return value.item()
    return getattr(value, "__qualname__", None) or repr(value)
