"""The house's order: which room imports which, which knows the machine, how long a module is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tfp_realnvp"
MODULES = {p.relative_to(PACKAGE).as_posix(): p for p in sorted(PACKAGE.rglob("*.py"))}
MAP = (ROOT / "CONTRIBUTING.md").read_text().split("## Where things are")[1].split("\n## ")[0]

ALLOWED = {
    ("training/model.py", "serving"): "`model.export` is Keras' name for what serving does",
}
MACHINE = (
    "cpu_count",
    "sched_getaffinity",
    "list_physical_devices",
    "list_logical_devices",
    "XLA_FLAGS",
    "/proc/cpuinfo",
)
KNOW_THE_MACHINE = ("execution", "kernels")


def room(module: str) -> str:
    return module.split("/")[0].removesuffix(".py")


ROOMS = {room(module) for module in MODULES} - {"__init__", "registration"}


def order() -> dict[str, set[str]]:
    """What each room may import, by the sentence of CONTRIBUTING.md."""
    law = re.search(r"Imports run from right to left only:(.*?)\n\n", MAP, re.DOTALL)
    assert law, "CONTRIBUTING.md has no order of imports."
    floors, apart = law[1].split(";")
    below: set[str] = set()
    may = {}
    for floor in floors.split("<-"):
        names = re.findall(r"`(\w+)`", floor)
        may.update({name: set(below) for name in names})
        below.update(names)
    *alone, base, first, second = re.findall(r"`(\w+)`", apart)
    for user in (first, second):
        may[user].update(alone)
    return {**may, **{name: {base} for name in alone}}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a module imports, those in its functions too, but for its annotations."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "Imports are absolute."
            inside = [""] if node.module != PACKAGE.name else [f".{a.name}" for a in node.names]
            yield from (f"{node.module}{name}" for name in inside)
        yield from imported(node)


def rooms_of(module: str) -> set[str]:
    """The other rooms that a module imports."""
    names = imported(ast.parse(MODULES[module].read_text()))
    ours = (name.split(".") for name in names if name.split(".")[0] == PACKAGE.name)
    return {name[1] if len(name) > 1 else "" for name in ours} - {room(module)}


def test_the_law_is_about_all_rooms():
    assert order().keys() == ROOMS


def test_imports_run_from_right_to_left():
    may = order()
    against = {
        (module, other)
        for module in MODULES
        if room(module) in may
        for other in rooms_of(module)
        if other not in may[room(module)]
    }
    assert against == ALLOWED.keys()


def test_the_package_s_import_opens_no_room():
    assert rooms_of("__init__.py") == {"registration"} and rooms_of("registration.py") == set()


def test_every_package_is_on_the_map():
    packages = {p.parent.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("__init__.py")}
    rows = re.findall(r"^\| `([\w/.]+)` \| \S.*\|$", MAP, re.MULTILINE)
    assert set(rows) == {f"{name}/" for name in packages - {"."}} | {"flow.py", "registration.py"}


def test_only_execution_and_kernels_know_the_machine():
    known = {
        (module, word)
        for module, path in MODULES.items()
        if room(module) not in KNOW_THE_MACHINE
        for word in MACHINE
        if word in path.read_text()
    }
    assert known == set()


def test_a_module_is_read_in_one_sitting():
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > 400} == {}
