"""envc compiles a manifest of steps into environments that can be reviewed, shipped and rebuilt.

The stages and their values are described in ``compiler/README.md``; ``envc.pipeline`` shows how they fit together.
"""

__version__ = "0.1.0"
