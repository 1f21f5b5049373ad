"""The pages of the documentation name what there is, and all of it."""

import importlib
import re
from pathlib import Path

import pytest

import tfp_realnvp as nvp

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
TARGETS = [t for page in PAGES for t in re.findall(r"^::: (\S+)", page.read_text(), re.M)]


def found(path):
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("path", TARGETS)
def test_what_a_page_is_of_exists(path):
    assert found(path).__doc__


@pytest.mark.parametrize("name", nvp._PUBLIC)
def test_every_public_name_has_a_page(name):
    module = f"tfp_realnvp.{nvp._PUBLIC[name]}"
    assert module in TARGETS or f"{module}.{name}" in TARGETS


def test_every_page_is_in_the_menu():
    menu = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        assert f" {page.relative_to(ROOT / 'docs').as_posix()}\n" in menu
