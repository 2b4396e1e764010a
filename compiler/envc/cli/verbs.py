"""The table of verbs. A verb is loaded when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envc.cli.commands import Command, Group


# verb: its module in envc.cli (with the name of the command, unless that is `command`), and its help line
VERBS = {
    "init": ("edit:init", "Write a first manifest."),
    "add": ("edit:add", "Add requirements to a step or a group, and lock."),
    "remove": ("edit:remove", "Remove requirements from a step or a group, and lock."),
    "lock": ("lock", "Compile the manifest into its lock file."),
    "status": ("status", "Show steps, environments, ids and what is out of date."),
    "bundle": ("bundle", "Write the packages of locked environments to the store."),
    "hydrate": ("hydrate", "Rebuild a step's environment from the store alone."),
    "run": ("run", "Run a step in its environment."),
    "verify": ("verify", "Check every byte in a store or a prefix."),
    "gc": ("gc", "Find and remove unused blobs in a store."),
    "tag": ("tag", "Tag the lock in the store, so that its environments are kept."),
    "cache": ("cache", "Show or prune this machine's cache."),
    "solve": ("solve", "Resolve requirements once, without a manifest."),
}


def load_verb(name: str) -> Command | Group:
    """The verb of that name, a key of VERBS."""
    module, _, attribute = VERBS[name][0].partition(":")
    verb: Command | Group = getattr(importlib.import_module(f"envc.cli.{module}"), attribute or "command")
    return verb
