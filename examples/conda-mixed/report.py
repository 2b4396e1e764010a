"""Prints the fitted model as a table, with tabulate from PyPI on conda's Python."""

import json
from pathlib import Path

from tabulate import tabulate

print(tabulate(json.loads(Path("model.json").read_text()).items()))
