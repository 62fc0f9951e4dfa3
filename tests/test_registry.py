from __future__ import annotations

import pytest
import torch

from hat.errors import InputError
from hat.registry import Component, Registry, build_from_registry


class Leaf:
    def __init__(self, size: int, name: str = "leaf") -> None:
        if size < 0:
            raise ValueError(f"size must not be negative, found {size}")
        self.size = size
        self.name = name


class Tree:
    deferred_args = ("late",)

    def __init__(self, leaves, late=None):
        self.leaves = leaves
        self.late = late


def test_builds_nested_objects_and_leaves_the_config_alone():
    config = {"type": Tree, "leaves": [{"type": Leaf, "size": 1}, {"type": Leaf, "size": 2}]}
    tree = build_from_registry(config)
    assert [leaf.size for leaf in tree.leaves] == [1, 2]
    assert config["leaves"][0] == {"type": Leaf, "size": 1}


def test_deferred_arguments_are_built_by_their_owner():
    tree = build_from_registry({"type": Tree, "leaves": [], "late": {"type": Leaf, "size": 3}})
    assert isinstance(tree.late, Component)
    assert tree.late.build(name="given").name == "given"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"type": "PwcnetHaed"},
            r"^x\.type: unknown type 'PwcnetHaed' \(did you mean 'PwcnetHead'",
        ),
        ({"type": 3}, r"^x\.type: expected a registered name"),
        ({"type": Leaf, "size": 1, "nam": "a"}, r"^x\.nam: Leaf has no argument.*'name'"),
        ({"type": Leaf}, "^x: Leaf needs the argument 'size'"),
        ({"type": Leaf, "size": -1}, "^x: Leaf refuses its arguments: size must not be negative"),
        ({"type": Tree, "leaves": [{"type": Leaf, "size": -1}]}, r"^x\.leaves\.0: Leaf refuses"),
        ({"type": torch.nn.Conv2d, "in_channels": 1}, "^x: Conv2d needs .* 'out_channels'"),
    ],
)
def test_mistakes_are_reported_with_their_path(config, message):
    with pytest.raises(InputError, match=message):
        build_from_registry(config, "x")


def test_a_name_is_registered_once():
    registry = Registry()
    registry.register(Leaf)
    registry.register(Leaf)
    with pytest.raises(ValueError, match="already registered"):
        registry.register(Tree, name="Leaf")
