"""Prints the packages of this step and the prefix that they are in."""

import sys
from importlib import metadata

import jinja2
import orjson
from rich.console import Console
from rich.table import Table

table = Table(title=jinja2.Template("Hello from Python {{ version }}").render(version=sys.version.split()[0]))
table.add_column("package")
table.add_column("version")
packages = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
for name, version in sorted(packages.items()):
    table.add_row(name, version)

console = Console()
console.print(table)
console.print(f"prefix: {sys.prefix}", soft_wrap=True)
console.print(orjson.dumps(packages, option=orjson.OPT_SORT_KEYS).decode(), soft_wrap=True)
