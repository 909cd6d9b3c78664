"""Into a project that exists: whatever that has set for itself, we work and leave it alone."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

HOSTILE = Path(__file__).with_name("hostile")


def test_a_project_with_everything_set_otherwise(tmp_path: Path) -> None:
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env |= {"PYTHONPATH": f"{HOSTILE}:{ROOT}", "SHOP_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", str(HOSTILE / "story.py")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all as it should be" in done.stdout
