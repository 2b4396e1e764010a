"""The entry point of the console command. It imports as little as possible before Ctrl-C has a quiet end."""

from __future__ import annotations

from envc.cli.startup import end_at_interrupts


def main() -> None:
    """The console command; see `envc.cli.main`."""
    end_at_interrupts()
    from envc.cli.main import main as run_command

    run_command()
