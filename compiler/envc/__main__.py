"""``python -m envc``: the same as the console command."""

from __future__ import annotations

import os
import sys

# `python -m` puts the current folder first on the path. Modules of a checkout must not replace those of envc.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
    del sys.path[0]

from envc.cli.entry import main

if __name__ == "__main__":
    main()
