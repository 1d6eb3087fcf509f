"""Starts the rules as a policy pack: `pulumi preview --policy-pack policies`.

Leaves out the pack itself (pack.py).
"""

import runpy
import sys
from pathlib import Path

# The engine runs this folder as a program, but its modules belong to the package of that name.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
runpy.run_module("policies.pack")
