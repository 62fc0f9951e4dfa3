"""What the Chinese pages repeat of other files stays the same as there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

ENGLISH = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-CN.md").read_text()
CONFIG_PAGE = (ROOT / "docs/zh-CN/config.md").read_text()
CONFIG = (ROOT / "configs/opticalflow_pred/pwcnet/pwcnet_pwcnetneck_flyingchairs.py").read_text()


def commands(page: str) -> list[str]:
    """The commands of the page, without the comments behind them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def figures(page: str) -> list[list[str]]:
    """The numbers of each row of the page's tables, whatever is around them."""
    rows = [line for line in page.splitlines() if line.startswith("|")]
    return [sorted(re.findall(r"\d+(?:[.,]\d+)*", row)) for row in rows]


def test_the_readmes_have_the_same_commands() -> None:
    assert commands(CHINESE) == commands(ENGLISH)


def test_the_readmes_have_the_same_figures() -> None:
    assert len(figures(ENGLISH)) > 50
    assert figures(CHINESE) == figures(ENGLISH)


def test_the_readmes_show_the_same_pictures() -> None:
    picture = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
    assert picture.findall(CHINESE) == picture.findall(ENGLISH)


@pytest.mark.parametrize(
    "snippet",
    [
        block
        for block in re.findall(r"^```python\n(.*?)^```", CONFIG_PAGE, re.DOTALL | re.MULTILINE)
        if not re.search(r"^(import|_base_)", block)
    ],
    ids=lambda text: text.split()[0],
)
def test_the_config_s_snippets_are_as_they_stand_there(snippet: str) -> None:
    assert snippet in CONFIG
