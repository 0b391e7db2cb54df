"""The pages that are drawn from code say what the code says, and the README's links lead somewhere."""

import re
import runpy
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGES = runpy.run_path(str(CHECKOUT / "docs" / "draw.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_drawn_page_is_what_the_code_says(name):
    written = (CHECKOUT / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run: python docs/draw.py"


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (CHECKOUT / "docs").glob("*.md"))])
def test_every_link_between_pages_leads_to_a_file(page):
    folder = (CHECKOUT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (CHECKOUT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (folder / link).exists()] == []
