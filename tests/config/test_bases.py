"""Configs that derive from others: chains, lists of bases, ``_delete_``."""

from __future__ import annotations

import textwrap

import pytest

from hat.config import Config
from hat.errors import InputError


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder / f"{list(files)[-1]}.py"


BASE = 'model = dict(type="Net", head=dict(depth=2, width=4))\ntrainer = dict(model=model)\n'


@pytest.mark.parametrize("between", [0, 1, 3])
def test_delete_reaches_the_base_through_a_chain_of_any_length(tmp_path, between):
    files = {"base": BASE}
    files["middle"] = '_base_ = "base.py"\nmodel = dict(head=dict(_delete_=True, kind="flat"))\n'
    last = "middle"
    for index in range(between):
        files[f"more{index}"] = f'_base_ = "{last}.py"\nmodel = dict(head=dict(e{index}=1))\n'
        last = f"more{index}"
    config = Config.fromfile(write(tmp_path, **files))
    expected = {"kind": "flat", **{f"e{index}": 1 for index in range(between)}}
    assert config.model == {"type": "Net", "head": expected}
    assert config.trainer["model"] is config.model


def test_delete_over_delete_keeps_deleting(tmp_path):
    path = write(
        tmp_path,
        base=BASE,
        middle='_base_ = "base.py"\nmodel = dict(head=dict(_delete_=True, kind="flat"))\n',
        derived='_base_ = "middle.py"\nmodel = dict(head=dict(_delete_=True, kind="round"))\n',
    )
    assert Config.fromfile(path).model["head"] == {"kind": "round"}


def test_delete_is_never_a_key_of_the_result(tmp_path):
    path = write(
        tmp_path,
        base=BASE,
        derived="""
            _base_ = "base.py"
            model = dict(neck=dict(_delete_=True, a=1), many=[dict(_delete_=True, b=2)])
            own = dict(_delete_=True, c=dict(_delete_=False, d=3))
        """,
    )
    config = Config.fromfile(path)
    assert config.model["neck"] == {"a": 1}
    assert config.model["many"] == [{"b": 2}]
    assert config.own == {"c": {"d": 3}}


def test_later_bases_of_a_list_are_laid_over_earlier_ones(tmp_path):
    path = write(
        tmp_path,
        first="size = 1\nlr = size * 10\nmodel = dict(a=1, b=dict(c=1, d=1))\n",
        second="size = 2\nmodel = dict(b=dict(c=2))\nown = 5\n",
        derived='_base_ = ["first.py", "second.py"]\nmodel = dict(b=dict(e=3))\n',
    )
    config = Config.fromfile(path)
    assert (config.size, config.lr, config.own) == (2, 20, 5)
    assert config.model == {"a": 1, "b": {"c": 2, "d": 1, "e": 3}}
    config = Config.fromfile(path, {"size": 7, "model.b.d": 8, "own": 6})
    assert (config.size, config.lr, config.own) == (7, 70, 6)
    assert config.model["b"] == {"c": 2, "d": 8, "e": 3}


def test_a_tuple_of_bases_and_none_at_all(tmp_path):
    path = write(
        tmp_path, first="a = 1\n", second="b = 2\n", d='_base_ = ("first.py", "second.py")'
    )
    assert dict(Config.fromfile(path)) == {"a": 1, "b": 2}
    assert dict(Config.fromfile(write(tmp_path, empty="_base_ = []\na = 1\n"))) == {"a": 1}


def test_what_two_bases_share_does_not_undo_what_one_of_them_changes(tmp_path):
    path = write(
        tmp_path,
        common="lr = 1\nwidth = 1\n",
        first='_base_ = "common.py"\nlr = 5\n',
        second='_base_ = "common.py"\nwidth = 7\n',
        derived='_base_ = ["first.py", "second.py"]\n',
    )
    assert dict(Config.fromfile(path)) == {"lr": 5, "width": 7}


def test_options_inside_a_value_of_one_base_are_seen_by_what_is_computed_from_it(tmp_path):
    path = write(
        tmp_path,
        net='model = dict(width=4)\ndouble = model["width"] * 2\n',
        data="loader = dict(size=1)\n",
        derived='_base_ = ["data.py", "net.py"]\n',
    )
    assert Config.fromfile(path, {"model.width": 8}).double == 16


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("3", r"derived\.py:1: _base_ is 3; expected the path"),
        ("['base.py', 3]", "expected the path of a file or a list of paths"),
        ("name + '.py'", "written out"),
        ("'bse.py'", r"bse\.py: no such config file.*base\.py"),
        ("'derived.py'", "derive from each other"),
        ("['base.py', 'circle.py']", r"derive from each other: .*derived.*circle.*derived"),
    ],
)
def test_bases_that_cannot_be_read(tmp_path, base, message):
    write(tmp_path, base=BASE, circle='_base_ = "derived.py"\n')
    with pytest.raises(InputError, match=message):
        Config.fromfile(write(tmp_path, derived=f"_base_ = {base}\n"))


def test_a_derived_function_replaces_the_bases_where_it_is_used(tmp_path):
    path = write(
        tmp_path,
        base="def collect(x):\n    return x\n\n\nuse = dict(func=collect)\n",
        derived='_base_ = "base.py"\n\n\ndef collect(x):\n    return 2 * x\n',
    )
    config = Config.fromfile(path)
    assert config.collect(2) == 4
    assert config.use["func"](2) == 4


@pytest.mark.parametrize(
    "text", ["a, b = 1, 2\n", "a = b = 1\n", "a = 0\na += 1\n", "if True:\n    a = 1\n"]
)
def test_every_way_to_assign_a_variable_takes_an_option(tmp_path, text):
    path = write(tmp_path, any=text + "follows = a + 1\n")
    assert Config.fromfile(path, {"a": 10}).follows == 11
