"""The pages for those who write code: their examples are test modules, and they are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT
from tests.test_docs import blocks

TESTING = ROOT / "docs" / "testing.md"
PYTHON = ROOT / "docs" / "python.md"


def test_the_examples_pass_as_they_stand(tmp_path: Path) -> None:
    examples = [*blocks(TESTING, "python"), "\n".join(blocks(PYTHON, "python"))]
    for number, example in enumerate(examples):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    done = _pytest(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = sum(len(re.findall(r"def test_", example)) for example in examples)
    assert f"{wanted} passed" in done.stdout


def _pytest(directory: Path) -> subprocess.CompletedProcess[str]:
    """On SQLite in any case: the two runs of the suite would meet on PostgreSQL."""
    env = os.environ | {"TEST_DB": "sqlite", "PYTHONPATH": str(ROOT)}
    options = ["-q", "--ds=tests.settings", "-p", "no:cacheprovider", f"--rootdir={directory}"]
    plugin = ["-p", "notifications.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", *options, *plugin, "-c", os.devnull, str(directory)]
    return subprocess.run(
        command, cwd=directory, env=env, capture_output=True, text=True, check=False, timeout=60
    )
