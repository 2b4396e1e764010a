"""What the objects of one environment are to each other: whose file stands where several hold a path, and what people
are told of that; beside it the scripts of packages that nobody runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envc.errors import EnvcError
from envc.model.digest import Sha256
from envc.model.progress import Progress
from envc.model.record import RecordObject
from envc_solvers.target import Platform


class Unjoinable(EnvcError):
    """Two packages that cannot stand in one environment, whoever wins."""

    hint = "take one of the two out of the step, or lock another version of it"

    def __init__(self, path: str, holder: str, other: str, below: str) -> None:
        super().__init__(path, holder, other, below)
        self.path = path
        self.holder = holder
        self.other = other
        self.below = below

    def __str__(self) -> str:
        return f"{self.holder} holds the file {self.path}, where {self.other} needs a folder for {self.below}"


def check_union(items: Sequence[RecordObject]) -> None:
    """Raise Unjoinable where an object holds a file in whose place another one needs a folder.

    No machine could write that, and the one that would find out may be far away.
    """
    holders: dict[str, str] = {}
    folders: dict[str, tuple[str, str]] = {}  # with the first object and member below
    for item in items:
        for member in item.index.members:
            holders[member.path] = item.name
            folder = member.path.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = item.name, member.path
                folder = folder.rpartition("/")[0]
    both = holders.keys() & folders.keys()
    if both:
        path = min(both)
        raise Unjoinable(path, holders[path], *folders[path])


def warn_of_contests(items: Sequence[RecordObject], winning: Mapping[str, Sha256], progress: Progress) -> None:
    """Name the paths that objects hold with different content: a line for each object that loses some to another."""
    names = {item.index.artifact: item.name for item in items}
    held = [(item, member) for item in items for member in item.index.members if member.path in winning]
    won = {member.path: member for item, member in held if winning[member.path] == item.index.artifact}
    lost: dict[tuple[str, str], list[str]] = {}
    for item, member in held:
        path, winner = member.path, won[member.path]
        if (winner.sha256, winner.mode, winner.link) != (member.sha256, member.mode, member.link):
            lost.setdefault((item.name, names[winning[path]]), []).append(path)
    for (loser, best), paths in lost.items():
        if paths[1:]:
            what, used = f"{paths[0]} and {len(paths) - 1} more", f"those of {best} are used"
        else:
            what, used = paths[0], f"the one of {best} is used"
        progress.warn(f"{loser} and {best} both hold {what}; {used}")


def warn_of_scripts(items: Sequence[RecordObject], platform: Platform, progress: Progress) -> None:
    """Name the scripts that conda would run and envc does not: link scripts, for nothing of a package runs before its
    step does, and on Windows those that activate a package, which are batch files.
    """
    packages = [item for item in items if item.kind == "conda"]
    if not packages:
        return
    from envc.fetch.conda.link_scripts import script_names
    from envc.shipping.prefix.activate import is_activation

    for item in packages:
        names = script_names(item.name)
        for member in item.index.members:
            is_batch = platform.family == "windows" and is_activation(member.path, ".bat")
            if is_batch or member.path in names:
                progress.warn(f"{item.name} {item.version} has {member.path}, which envc never runs")
