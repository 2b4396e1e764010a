"""Makes a table of numbers with pandas and numpy from conda, and prints it with tabulate from PyPI."""

import json
from pathlib import Path

import numpy
import pandas
from tabulate import tabulate

days = numpy.arange(30)
table = pandas.DataFrame({"day": days, "sold": (days * 7) % 11 + days // 3})
Path("sold.json").write_text(json.dumps(table.to_dict("list")))
print(tabulate(table.head(), headers="keys", showindex=False))
