"""What an unpacked package can do in the Python that runs this script, told as JSON. Standard library only.

The package's folder comes last on sys.path, as in the worker; nothing else of the product is to be found.
"""

import ast
import importlib
import json
import sys
import time
from pathlib import Path


def imported(source):
    """Every import statement of a file, those inside functions too, as what it wants: (module, name or None)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((each.name, None) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, each.name) for each in node.names)


def problem(module, name):
    try:
        found = importlib.import_module(module)
        if name is not None and not hasattr(found, name):
            _import_from(module, name)
    except ImportError as reason:
        return f"{type(reason).__name__}: {reason}"
    return None


def _import_from(module, name):
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        raise ImportError(f"cannot import name '{name}' from '{module}'") from None


def look(root, settings):
    sys.path[:] = [*(entry for entry in sys.path if entry not in {"", str(Path(__file__).parent)}), str(root)]
    started = time.perf_counter()
    try:
        app = importlib.import_module("function_app").app
        indexed = {each.get_function_name(): each.get_trigger().type for each in app.get_functions()}
    except ImportError as reason:
        return {"problems": [f"function_app.py: {type(reason).__name__}: {reason}"]}
    seconds = time.perf_counter() - started
    wanted = {
        (str(file.relative_to(root)), *each) for file in root.rglob("*.py") for each in imported(file.read_text())
    }
    problems = [f"{file}: {said}" for file, *each in sorted(wanted, key=str) if (said := problem(*each))]
    try:
        importlib.import_module("shared.wiring").configuration(root, settings)
    except Exception as reason:  # noqa: BLE001  # whatever is wrong with it
        problems.append(f"reactions.yaml: {reason}")
    return {
        "functions": indexed,
        "python": sys.version.split()[0],
        "seconds": seconds,
        "problems": problems,
        "loaded": sorted({str(Path(m.__file__)) for m in list(sys.modules.values()) if getattr(m, "__file__", None)}),
    }


if __name__ == "__main__":
    print(json.dumps(look(Path(sys.argv[1]), json.load(sys.stdin))))
