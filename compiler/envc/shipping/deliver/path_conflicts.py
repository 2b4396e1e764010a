"""Conflicts between the objects of one environment: paths that several objects contain, and warnings about them.

Also warns about scripts of packages that envc never runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from envc.errors import EnvcError
from envc.model.digest import Sha256
from envc.model.progress import Progress
from envc.model.record import Member, RecordObject
from envc.shipping.format.errors import UnsafePath
from envc.shipping.format.paths import check_case, check_names, fold, ignores_case
from envc_solvers.target import Platform


class Unjoinable(EnvcError):
    """Two packages that cannot be in one environment, whichever of them wins."""

    hint = "remove one of the two from the step, or lock another version of it"

    def __init__(self, path: str, owner: str, other: str, below: str) -> None:
        super().__init__(path, owner, other, below)
        self.path = path
        self.owner = owner
        self.other = other
        self.below = below

    def __str__(self) -> str:
        return f"{self.owner} contains the file {self.path}, where {self.other} needs a folder for {self.below}"


def check_paths(items: Sequence[RecordObject], platform: Platform) -> None:
    """Raise Unjoinable if an object contains a file where another object needs a folder.

    No machine could write such a tree. It is checked here, because hydrate may run on another machine much later.
    """
    key = fold if ignores_case(platform.family) else str
    owners: dict[str, tuple[str, str]] = {}  # by key: the name of the last object, and the path
    folders: dict[str, tuple[str, str]] = {}  # with the name of the first object and its first member below
    for item in items:
        for member in item.index.members:
            path = key(member.path)
            owners[path] = item.name, member.path
            folder = path.rpartition("/")[0]
            while folder and folder not in folders:
                folders[folder] = item.name, member.path
                folder = folder.rpartition("/")[0]
    both = owners.keys() & folders.keys()
    if both:
        first = min(both)
        owner, path = owners[first]
        raise Unjoinable(path, owner, *folders[first])


class Unportable(EnvcError):
    """A file of a package, or of the code of a step, that systems of a target would give another name or no file."""

    hint = "leave this target out for the step, or use another version of the package or another name of the file"

    def __init__(self, owner: str, reason: str, target: str) -> None:
        super().__init__(owner, reason, target)
        self.owner = owner
        self.reason = reason
        self.target = target  # name of the platform

    def __str__(self) -> str:
        return f"{self.owner} cannot be used on {self.target}: {self.reason}"

    def data(self) -> dict[str, object]:
        return {"owner": self.owner, "reason": self.reason, "target": self.target}


def check_portable(owner: str, members: Iterable[Member], platform: Platform, layout: str) -> None:
    """Raise Unportable unless the names of members of an object mean the same on a platform.

    It is checked here, because hydrate may run on another machine much later.
    """
    tree = tuple(members)
    try:
        check_names(tree, platform.family)
        check_case(tree, layout, platform.family)
    except UnsafePath as error:
        raise Unportable(owner, str(error), platform.name) from None


def warn_of_contested_paths(items: Sequence[RecordObject], winning: Mapping[str, Sha256], progress: Progress) -> None:
    """Warn about paths that objects contain with different content: one line for each pair of losing and winning
    object.
    """
    names = {item.index.artifact: item.name for item in items}
    contested = [(item, member) for item in items for member in item.index.members if member.path in winning]
    won = {fold(member.path): member for item, member in contested if winning[member.path] == item.index.artifact}
    won |= {member.path: member for item, member in contested if winning[member.path] == item.index.artifact}
    lost: dict[tuple[str, str], list[str]] = {}
    for item, member in contested:
        path, artifact = member.path, item.index.artifact
        if winning[path] == artifact:
            continue
        winner = won.get(path) or won[fold(path)]
        is_other_name = winner.path != path  # a program may look for the other spelling
        if is_other_name or (winner.sha256, winner.mode, winner.link) != (member.sha256, member.mode, member.link):
            lost.setdefault((item.name, names[winning[path]]), []).append(path)
    for (loser, best), paths in lost.items():
        if paths[1:]:
            what, used = f"{paths[0]} and {len(paths) - 1} more", f"those from {best} are used"
        else:
            what, used = paths[0], f"the one from {best} is used"
        progress.warn(f"{loser} and {best} both contain {what}; {used}")


def warn_of_folders(items: Sequence[RecordObject], platform: Platform, progress: Progress) -> None:
    """Warn about folders of two packages that are one folder on a platform that ignores case. Python finds a module
    only under the spelling of the first.
    """
    if not ignores_case(platform.family):
        return
    found: dict[str, tuple[str, str]] = {}  # by folded path: path, and the name of its object
    told: set[tuple[str, str]] = set()
    for item in items:
        folders = {member.path.rpartition("/")[0] for member in item.index.members}
        for folder in sorted(folders):
            parts = folder.split("/")
            for end in range(1, len(parts) + 1):
                path = "/".join(parts[:end])
                other, owner = found.setdefault(fold(path), (path, item.name))
                if other.rpartition("/")[2] == parts[end - 1] or (item.name, owner) in told or owner == item.name:
                    continue
                told.add((item.name, owner))
                progress.warn(
                    f"{owner} and {item.name} have the folders {other} and {path}, which are one on {platform.name}"
                )


def warn_of_scripts(items: Sequence[RecordObject], platform: Platform, progress: Progress) -> None:
    """Warn about scripts that conda would run, but envc does not. These are link scripts, since no code of a package
    runs before its step does; and on Windows the activation scripts, which are batch files.
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
