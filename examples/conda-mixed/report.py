"""Show what was learned, with tabulate of PyPI on a Python of conda."""

import json
from pathlib import Path

from tabulate import tabulate

print(tabulate(json.loads(Path("model.json").read_text()).items()))
