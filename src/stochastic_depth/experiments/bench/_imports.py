"""What importing all of `stochastic_depth` costs beside `import torch`."""

import os
import subprocess
import sys
from statistics import median

PROGRAM = """
import time, torch
start = time.process_time()
from stochastic_depth import *
print(time.process_time() - start)
"""


def import_milliseconds(repeats: int = 5) -> float:
    """Return the median processor time of the import in fresh interpreters with torch, in ms.

    A first import, which is not counted, lets the interpreter keep its bytecode.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return 1000 * median([_seconds(environment) for _ in range(1 + repeats)][1:])


def _seconds(environment: dict[str, str]) -> float:
    command = [sys.executable, "-c", PROGRAM]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)
