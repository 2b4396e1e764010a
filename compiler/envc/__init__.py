"""envc compiles a manifest of steps into environments that can be reviewed, shipped and rebuilt.

The stages and their values are laid out in ``compiler/README.md``; ``envc.pipeline`` shows the compiler on a page.
"""

__version__ = "0.1.0"
