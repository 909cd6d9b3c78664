"""The versions that the package is tested with: `make matrix` runs what this machine can.

    nox --list
    nox -s "tests-3.13(django='6.1', database='postgres')" -- tests/pipeline -x

Deprecations are errors. Left out are the scenarios that play for time (races, faults, benchmarks):
they judge the engine, not its versions.
"""

import os
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False

COMBINATIONS = [
    ("3.11", "5.2"),
    ("3.12", "5.2"),
    ("3.12", "6.0"),
    ("3.12", "6.1"),
    ("3.13", "5.2"),
    ("3.13", "6.0"),
    ("3.13", "6.1"),
]
DATABASES = ("sqlite", "postgres")

DEPRECATIONS = (
    "error::DeprecationWarning",
    "error::PendingDeprecationWarning",
    # From 6.1 on Django warns of its older way to set mail up, which is tested as long as it works.
    "ignore:The EMAIL_",
    "ignore:Django 2028 will not have a default mailer",
    "ignore:get_connection",
)

APART = (
    "acceptance",
    "bench",
    "faults",
    "ops",
    "racing",
    "api/test_fuzz.py",
    "api/test_server.py",
    "management/test_serve.py",
    "test_harness.py",
)
"""What is left out; below `tests`."""


@nox.session
@nox.parametrize("database", DATABASES)
@nox.parametrize(("python", "django"), COMBINATIONS)
def tests(session: nox.Session, django: str, database: str) -> None:
    """The suite on one version of Python, of Django and one database."""
    session.install(*_development(session), f"django=={django}.*")
    _pytest(session, database)


@nox.session(python="3.11")
@nox.parametrize("database", DATABASES)
def lowest(session: nox.Session, database: str) -> None:
    """The oldest versions that pyproject.toml allows of every requirement and extra."""
    pinned = Path(session.create_tmp()) / "lowest.txt"
    session.run_install(
        *("uv", "pip", "compile", "--quiet", "--resolution", "lowest-direct", "--all-extras"),
        *("--python-version", "3.11", "--annotation-style", "line", "--output-file", str(pinned)),
        str(ROOT / "pyproject.toml"),
        external=True,
    )
    oldest = [
        line.partition(" ")[0]
        for line in pinned.read_text().splitlines()
        if "==" in line and "pyproject.toml" in line
    ]
    session.install(*_development(session), *oldest)
    _pytest(session, database)


@nox.session(python=["3.11", "3.13"])
def bare(session: nox.Session) -> None:
    """The wheel without any extra, in a project that has set everything otherwise."""
    hostile = ROOT / "tests" / "package" / "hostile"
    session.install(str(_wheel(session)))
    with tempfile.TemporaryDirectory() as directory:
        session.chdir(directory)
        env = {"PYTHONPATH": str(hostile), "SHOP_DIRECTORY": directory}
        session.run("python", *_warnings(), str(hostile / "story.py"), env=env)


@nox.session(venv_backend="none")
@nox.parametrize("version", ["3.11", "3.12", "3.13"])
def quickstart(session: nox.Session, version: str) -> None:
    """docs/quickstart.md, followed in an environment that it makes itself."""
    python = f"python{version}"
    wheel = str(_wheel(session))
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "tests.package.quickstart"]
    session.run(*command, "--python", python, wheel, external=True)


def _development(session: nox.Session) -> list[str]:
    """What the suite needs, without the versions that requirements*.txt pin."""
    lines = (ROOT / "requirements-dev.in").read_text().splitlines()
    tools = Path(session.create_tmp()) / "tools.in"
    tools.write_text("\n".join(line for line in lines if not line.startswith("-r ")))
    return ["-r", str(tools), "-r", str(ROOT / "requirements.in")]


def _pytest(session: nox.Session, database: str) -> None:
    # A redis-server that comes with the development environment serves every version.
    path = f"{session.bin}{os.pathsep}{os.environ['PATH']}{os.pathsep}{ROOT / '.venv' / 'bin'}"
    chosen = session.posargs or ["tests"]
    left_out = [f"--ignore={ROOT / 'tests' / name}" for name in APART]
    session.run(
        *("python", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *(option for warning in DEPRECATIONS for option in ("-W", warning)),
        *left_out,
        *chosen,
        # Not nox's own, whose path is too long for the socket of a PostgreSQL server.
        env={"TEST_DB": database, "PATH": path, "TMPDIR": tempfile.gettempdir()},
    )


def _warnings() -> list[str]:
    errors = (warning for warning in DEPRECATIONS if warning.startswith("error"))
    return [option for warning in errors for option in ("-W", f"{warning}:notifications")]


def _wheel(session: nox.Session) -> Path:
    directory = Path(session.create_tmp()) / "dist"
    python = str(ROOT / ".venv" / "bin" / "python")
    build = [python, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    session.run_install(*build, external=True, silent=True)
    [wheel] = directory.glob("*.whl")
    return wheel
