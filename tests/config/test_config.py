from __future__ import annotations

import pytest

from hat.config import Config, parse_opts
from hat.errors import InputError

BASE = """
import math
from pathlib import Path

batch_size = 8
lr = 1e-4 * batch_size / 16
model = dict(type="Net", channels=[1, 2, 3], head=dict(depth=2, width=4))
loader = dict(batch_size=batch_size, model=model)

def double(x):
    return 2 * x

trainer = dict(model=model, loader=loader, callbacks=[dict(type="Log", freq=10)], pair=(1, 2))
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.py"
    path.write_text(BASE)
    return path


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_sections_are_the_public_names(base):
    config = Config.fromfile(base)
    assert set(config) == {"batch_size", "lr", "model", "loader", "double", "trainer"}
    assert config.double(4) == 8
    assert config["trainer"]["model"] is config.model


def test_an_option_changes_everything_computed_from_it(base):
    config = Config.fromfile(base, {"batch_size": 32})
    assert config.lr == 2e-4
    assert config.trainer["loader"]["batch_size"] == 32


def test_an_option_inside_a_section_is_seen_by_those_that_share_it(base):
    config = Config.fromfile(base, {"model.head.width": 16, "model.channels.1": 7})
    assert config.trainer["model"]["head"] == {"depth": 2, "width": 16}
    assert config.loader["model"]["channels"] == [1, 7, 3]


def test_options_reach_into_lists_and_tuples(base):
    config = Config.fromfile(base, {"trainer.callbacks.0.freq": 3, "trainer.pair.1": 9})
    assert config.trainer["callbacks"][0]["freq"] == 3
    assert config.trainer["pair"] == (1, 9)


def test_a_derived_config_replaces_values_and_merges_dicts(base):
    path = write(
        base.parent,
        "derived.py",
        '_base_ = "base.py"\nbatch_size = 2\nmodel = dict(head=dict(depth=5))\nown = 1\n',
    )
    config = Config.fromfile(path)
    assert config.lr == 1e-4 * 2 / 16
    assert config.model == {
        "type": "Net",
        "channels": [1, 2, 3],
        "head": {"depth": 5, "width": 4},
    }
    assert config.trainer["model"] is config.model
    assert config.own == 1


def test_options_win_over_a_derived_config(base):
    write(base.parent, "middle.py", '_base_ = "base.py"\nbatch_size = 2\nmodel = dict(extra=1)\n')
    path = write(
        base.parent,
        "derived.py",
        '_base_ = "middle.py"\nmodel = dict(head=dict(depth=5))\nown = dict(a=1)\n',
    )
    opts = {"batch_size": 64, "model.head.depth": 6, "model.channels.0": 0, "own.a": 2}
    config = Config.fromfile(path, opts)
    assert config.batch_size == 64
    assert config.lr == 1e-4 * 64 / 16
    assert config.trainer["model"]["head"] == {"depth": 6, "width": 4}
    assert config.model["channels"] == [0, 2, 3]
    assert config.model["extra"] == 1
    assert config.own == {"a": 2}


def test_delete_replaces_a_dict(base):
    path = write(
        base.parent,
        "derived.py",
        '_base_ = "base.py"\nmodel = dict(head=dict(_delete_=True, kind="flat"))\n',
    )
    assert Config.fromfile(path).model["head"] == {"kind": "flat"}


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        ({"batchsize": 4}, "'batch_size'"),
        ({"model.hed.depth": 4}, r"model\.hed: no such key.*'head'"),
        ({"trainer.callbacks.3.freq": 4}, "index below 1"),
        ({"batch_size.x": 4}, "which has no keys"),
    ],
)
def test_an_option_that_fits_nothing_is_an_error(base, opts, message):
    with pytest.raises(InputError, match=message):
        Config.fromfile(base, opts)


def test_a_missing_file_names_the_nearest(base):
    with pytest.raises(InputError, match=r"bse\.py: no such config file.*base\.py"):
        Config.fromfile(base.parent / "bse.py")


def test_a_missing_section_names_the_nearest(base):
    with pytest.raises(InputError, match=r"'trainr'.*'trainer'"):
        Config.fromfile(base).section("trainr")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a = (1,\n", ":1: not valid Python"), ("a = 1\nb = a / 0\n", ":2: ZeroDivisionError")],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        Config.fromfile(write(tmp_path, "broken.py", text))


def test_words_of_the_command_line():
    assert parse_opts(["a.b", "3", "c", "x/y", "d", "(1, 2)", "e", "None"]) == {
        "a.b": 3,
        "c": "x/y",
        "d": (1, 2),
        "e": None,
    }
    with pytest.raises(InputError, match="pairs"):
        parse_opts(["a.b"])
