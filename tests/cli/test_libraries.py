"""What libraries log, warn of, and fail at in threads of their own does not reach the terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SPEAKS = """
import logging, threading, warnings
from edgedeploy.cli import libraries

libraries.keep_quiet()
logging.getLogger("paramiko.transport").error("Secsh channel 1 open FAILED")
warnings.warn("TripleDES has been moved", DeprecationWarning)
warnings.warn("a warning")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()


class Failing:
    def __del__(self):
        raise ValueError


del [Failing()][0]
if {loud}:
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger("paramiko.transport").error("heard")
"""


@pytest.mark.parametrize("loud", [False, True])
def test_libraries_are_heard_only_where_somebody_asked(loud: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKS.replace("{loud}", str(loud))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.splitlines() == (["ERROR:paramiko.transport:heard"] if loud else [])
