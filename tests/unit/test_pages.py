"""Links between the repository's pages lead somewhere, down to the heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGES = sorted([*REPO.glob("*.md"), *REPO.glob("*/README.md"), *REPO.glob("docs/*.md")])


def anchors(page: Path) -> set[str]:
    """The names under which GitHub lets headings be linked."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def broken(page: Path) -> list[str]:
    """The page's relative links whose file or heading is not there."""
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith("http"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(link)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(REPO)) for page in PAGES])
def test_links(page: Path):
    assert broken(page) == []


def test_a_broken_link_is_told(tmp_path):
    (tmp_path / "there.md").write_text("# Two words\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md#two-words) [b](there.md#three) [c](gone.md) [d](#two-words)")
    assert broken(page) == ["there.md#three", "gone.md", "#two-words"]


def test_every_page_is_in_the_index():
    index = (REPO / "docs/README.md").read_text()
    for page in REPO.glob("docs/*.md"):
        assert page.name == "README.md" or f"({page.name})" in index
