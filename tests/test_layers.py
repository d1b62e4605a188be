"""The layers of the design, held by reading every import in the source.

    services ─▶ causal.node ─▶ {transport, store, observe} ─▶ wire ─▶ ordering ─▶ clock, errors

An arrow that runs back up is a failure, wherever the import stands: at the top, in a function, or for types.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "clock": {"errors"},
    "ordering": {"errors", "clock"},
    "wire": {"errors", "clock", "ordering"},
    "store": {"errors", "clock", "ordering"},
    "observe": {"errors", "clock", "ordering"},
    "transport": {"errors", "clock", "ordering", "wire"},
    "node": {"errors", "clock", "ordering", "wire", "store", "observe", "transport"},
    "testing": {"errors", "clock", "ordering", "wire", "store", "observe", "transport", "node"},
    # What a user could write: the public names, and nothing below them.
    "services": {"causal"},
    "cli": {
        "errors", "clock", "ordering", "wire", "store", "observe", "transport", "node", "testing", "services",
        "causal",
    },
}  # fmt: skip

# What a pure module may ask of the standard library: nothing that reads a clock, a random number, the
# environment, a file or a socket.
PURE_LAYERS = ("errors", "clock", "ordering")
PURE_MODULES = {
    "__future__", "abc", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "itertools", "math", "msgspec", "operator", "re", "sortedcontainers", "struct", "types", "typing",
    "weakref", "zlib",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}

# A third-party package is known to the layers named, and can be replaced there.
THIRD_PARTY: dict[str, set[str]] = {
    "grpc": {"transport", "wire"},
    "google": {"wire"},
    "msgpack": {"wire", "node"},
    "msgspec": {"wire", "ordering", "node"},  # its Struct: classes of plain values, made in C
    "sortedcontainers": {"ordering", "testing"},
    "rich": {"cli", "services", "testing"},
    "typer": {"cli", "services"},
    "pytest": {"testing"},
}


class Import(NamedTuple):
    """One imported module, and where the import stands."""

    path: Path
    line: int
    module: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def sources(*folders: str) -> list[Path]:
    """The modules of the folders (or files), without generated code."""
    found = [ROOT / folder for folder in folders if (ROOT / folder).is_file()]
    for folder in folders:
        found += sorted((ROOT / folder).rglob("*.py"))
    return [path for path in found if "_pb2" not in path.name]


def is_module(dotted: str) -> bool:
    base = ROOT.joinpath(*dotted.split("."))
    return base.is_dir() or base.with_suffix(".py").is_file()


def imports_of(path: Path, tree: ast.Module) -> Iterator[Import]:
    """Every import of a module; `from package import module` counts as one of `package.module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(ROOT)}:{node.lineno}: import by absolute name"
            package = node.module or ""
            for alias in node.names:
                inner = f"{package}.{alias.name}"
                yield Import(path, node.lineno, inner if is_module(inner) else package)


def layer_of(dotted: str) -> str | None:
    """The layer of one of our modules; `causal` is the package itself; None is somebody else's module."""
    first, _, rest = dotted.partition(".")
    if first == "causal":
        part = rest.partition(".")[0]
        return "cli" if part == "__main__" else part or "causal"
    return first if first == "services" else None


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def all_imports(*folders: str) -> Iterator[Import]:
    for path in sources(*folders):
        yield from imports_of(path, parsed(path))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def test_layers_every_module_belongs_to_one() -> None:
    layers = {layer_of(module_of(path)) for path in sources("causal", "services")}
    assert layers - {"causal"} <= set(MAY_IMPORT)
    assert {"causal", "errors", "clock", "ordering"} <= layers


def test_layers_no_arrow_runs_back_up() -> None:
    wrong = []
    for found in all_imports("causal", "services"):
        mine, theirs = layer_of(module_of(found.path)), layer_of(found.module)
        # The package itself loads its public names lazily; test_surface.py says what that may cost.
        if mine in (None, "causal") or theirs in (None, mine):
            continue
        if theirs not in MAY_IMPORT[str(mine)]:
            wrong.append(found.place)
    assert not wrong


def test_layers_arrows_form_no_cycle() -> None:
    order = list(MAY_IMPORT)
    for layer, below in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(layer) for other in below - {"causal"})


def test_modules_import_each_other_in_no_circle_not_even_for_types() -> None:
    graph: dict[str, set[str]] = {}
    for found in all_imports("causal", "services"):
        # A package's own file only hands on what its modules define.
        if found.path.name != "__init__.py" and ROOT.joinpath(*found.module.split(".")).with_suffix(".py").is_file():
            graph.setdefault(module_of(found.path), set()).add(found.module)
    assert "causal.node.core" in graph
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


@pytest.mark.parametrize("layer", PURE_LAYERS)
def test_pure_layer_asks_nothing_of_the_world(layer: str) -> None:
    folder = layer if (ROOT / "causal" / layer).is_dir() else f"{layer}.py"
    paths = sources(f"causal/{folder}")
    assert paths
    for path in paths:
        tree = ast.parse(path.read_text("utf-8"))
        for found in imports_of(path, tree):
            assert layer_of(found.module) or found.module.partition(".")[0] in PURE_MODULES, found.place
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in IMPURE_CALLS, f"{path}:{node.lineno} calls {node.func.id}"
            assert not isinstance(node, (ast.Await, ast.AsyncFunctionDef)), f"{path}: a coroutine"


COMMON_OF_A_KIND = ("base", "serving")
"""Modules of a kind that are no adapters: its interface, and what every listener is made of."""


@pytest.mark.parametrize("kind", ["transport", "store"])
def test_adapters_of_one_kind_never_import_each_other(kind: str) -> None:
    def adapter_of(module: str) -> str:
        return module.removeprefix(f"causal.{kind}").strip(".").partition(".")[0].partition("_")[0]

    wrong = []
    for found in all_imports(f"causal/{kind}"):
        if layer_of(found.module) == kind:
            mine, theirs = adapter_of(module_of(found.path)), adapter_of(found.module)
            if theirs not in (*COMMON_OF_A_KIND, mine):
                wrong.append(found.place)
    assert not wrong


def test_third_party_package_stays_in_its_layer() -> None:
    wrong = []
    for found in all_imports("causal", "services"):
        package = found.module.partition(".")[0]
        if layer_of(found.module) or package in sys.stdlib_module_names:
            continue
        if layer_of(module_of(found.path)) not in THIRD_PARTY.get(package, set()):
            wrong.append(found.place)
    assert not wrong


def test_sqlite_is_known_to_the_store_only() -> None:
    wrong = [found.place for found in all_imports("causal", "services") if found.module == "sqlite3"]
    assert all(place.startswith("causal/store/") for place in wrong)


def test_source_module_and_function_stay_short() -> None:
    wrong = []
    for path in sources("causal", "services", "tests", "benchmarks"):
        text = path.read_text("utf-8")
        # A test module is a list; a module of the product is one thing.
        if text.count("\n") > 400 and path.relative_to(ROOT).parts[0] != "tests":
            wrong.append(f"{path.relative_to(ROOT)} has more than 400 lines")
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 70:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines")
    assert not wrong
