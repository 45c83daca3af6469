"""The house stands as it was drawn: one direction, small files, quick to open, and no way to run code from data."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "flywheel"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = ["store", "capture", "observe", "diagnose", "mine", "curate", "train", "prove", "release", "measure", "govern"]
ROOMS += ["testing", "loop", "cli", "demo"]
FORBIDDEN_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "base", "v2", "legacy", "misc"}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What could run code that came as data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            names = []
        yield from (f"line {node.lineno}: imports {name}" for name in names if name in FORBIDDEN_IMPORTS)  # type: ignore[attr-defined]
        yield from (f"line {node.lineno}: imports {name}" for name in names if name in ("joblib.load", "os.system"))  # type: ignore[attr-defined]
        if not isinstance(node, ast.Call):
            continue
        called = dotted(node.func)
        if called in ("eval", "exec", "os.system", "os.popen", "joblib.load", "builtins.eval", "builtins.exec"):
            yield f"line {node.lineno}: calls {called}"
        if called in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
            yield f"line {node.lineno}: calls {called}"
        if called.split(".")[-1] == "load" and _is_true(node, "allow_pickle"):
            yield f"line {node.lineno}: allows pickle"
        if _is_true(node, "shell"):
            yield f"line {node.lineno}: shell=True"
        if called.split(".")[-1] in ("execute", "exec_driver_sql", "text", "sql", "raw_sql") and node.args:
            first = node.args[0]
            made = isinstance(first, ast.JoinedStr) and any(isinstance(v, ast.FormattedValue) for v in first.values)
            joined = isinstance(first, ast.BinOp) and isinstance(first.op, ast.Mod | ast.Add)
            formatted = isinstance(first, ast.Call) and dotted(first.func).endswith(".format")
            if made or joined or formatted:
                yield f"line {node.lineno}: {called} with SQL made from strings"


def _is_true(node: ast.Call, name: str) -> bool:
    return any(
        keyword.arg == name and not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
        for keyword in node.keywords
    )


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_runs_code_that_came_as_data(path: Path) -> None:
    assert not list(unsafe(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib; joblib.load(x)",
        "from joblib import load",
        "eval(x)",
        "exec(x)",
        "import os; os.system(x)",
        "import yaml; yaml.load(x)",
        "subprocess.run(x, shell=True)",
        "np.load(x, allow_pickle=True)",
        "c.execute(f'select {x}')",
        "c.execute('select ' + x)",
        "sa.text('select {}'.format(x))",
        "c.execute('select %s' % x)",
    ],
)
def test_the_guard_against_running_data_sees_it(code: str) -> None:
    assert list(unsafe(ast.parse(code)))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 600, f"{name_of(path)} has {len(text.splitlines())} lines; split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 80, f"{name_of(path)}: {node.name} has {length} lines; split it"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert not FORBIDDEN_NAMES & set(path.relative_to(SOURCE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            assert not node.name.endswith(("Manager", "Helper", "Base", "Util", "Utils")), node.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_errors_are_not_swallowed(path: Path) -> None:
    """A broad `except` is for the doors, and there it must do something with what it caught."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or dotted(node.type) in ("Exception", "BaseException")
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            uses_it = any(isinstance(inner, ast.Name) and inner.id == node.name for inner in ast.walk(node))
            logs = any(
                isinstance(inner, ast.Call) and dotted(inner.func).split(".")[-1] in ("exception", "warning")
                for inner in ast.walk(node)
            )
            assert not broad or raises or uses_it or logs, f"{name_of(path)} line {node.lineno} swallows every error"


def test_every_room_that_is_drawn_stands() -> None:
    for room in ROOMS:
        assert (SOURCE / room / "__init__.py").is_file(), f"there is no room {room}"


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_offers_is_little_and_explained(room: str) -> None:
    module = importlib.import_module(f"flywheel.{room}")
    assert (module.__doc__ or "").strip(), f"flywheel.{room} does not say what it is for"
    assert len(module.__all__) <= 10, f"flywheel.{room} offers {len(module.__all__)} names; ten is the limit"
    for name in module.__all__:
        offered = getattr(module, name)
        if inspect.isclass(offered) or inspect.isroutine(offered):
            assert (inspect.getdoc(offered) or "").strip(), f"flywheel.{room}.{name} has no docstring"


def test_every_public_name_of_the_package_is_there_and_explained() -> None:
    import flywheel

    for name in flywheel.__all__:
        offered = getattr(flywheel, name)
        assert name == "__version__" or (inspect.getdoc(offered) or "").strip(), f"flywheel.{name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


def test_rooms_import_in_one_direction() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh process has loaded after some code."""
    report = f"{code}\nimport sys\nsys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stderr.rpartition("LOADED ")[2].split())


HEAVY = {
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "pyarrow",
    "ibis",
    "duckdb",
    "deltalake",
    "sqlalchemy",
    "mlflow",
    "skops",
}


def test_importing_the_package_loads_nothing_heavy() -> None:
    """What makes `import flywheel` quick; how quick is measured by `make bench-startup`."""
    loaded = loaded_by("import flywheel")
    assert not loaded & (HEAVY | {"typer", "rich", "flywheel.wheel", "flywheel.store"})


def test_the_help_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['flywheel', '--help']; from flywheel.cli import main"
    code += "\ntry: main()\nexcept SystemExit: pass"
    loaded = loaded_by(code)
    assert "flywheel.cli.app" in loaded
    assert not loaded & (HEAVY | {"rich.console", "flywheel.wheel", "flywheel.store", "flywheel.loop"})


def test_tests_have_names_of_their_own() -> None:
    """Two test files of one name would hide each other."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
