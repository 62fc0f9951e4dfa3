from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from hat.data.image_io import write_png
from hat.visualize.profile_page import Section, profile_page
from hat.visualize.report import PALETTE, html_report
from hat.visualize.run_page import STYLE


def test_the_page_is_self_contained_and_escaped(tmp_path):
    picture = tmp_path / "a&b.png"
    write_png(picture, np.zeros((4, 6, 3), np.uint8))
    page = html_report(
        "A <title>",
        "1 < 2",
        [
            ("Metrics", ("network", "EPE"), [("one & two", 1.23456)]),
            ("More & more", ("x",), [(1,)]),
        ],
        [("Pictures", [picture])],
        ["hat infer --x '<y>'"],
    )
    assert "A &lt;title&gt;" in page
    assert page.index("<h2>Metrics</h2>") < page.index("<h2>More &amp; more</h2>")
    assert "one &amp; two</td><td>1.23<" in page
    assert "--x &#x27;&lt;y&gt;&#x27;" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    data = re.search(r'base64,([^"]+)"', page).group(1)
    assert base64.b64decode(data) == picture.read_bytes()


@pytest.mark.parametrize(
    "page",
    [
        html_report("t", "", [("h", ("x",), [(1,)])], [], []),
        profile_page("t", [], [Section("k", "s", ["found"])]),
        STYLE,
    ],
    ids=["report", "profile", "run"],
)
def test_every_page_has_a_dark_form(page: str) -> None:
    assert PALETTE in page
    rules = page.replace(PALETTE, "")
    colours = set(re.findall(r"(?:color|background|border[a-z-]*): [^;}]*(#[0-9a-f]{3,6})", rules))
    assert colours <= {"#fff", "#0072b2"}  # under pictures; marks that stand out on both
