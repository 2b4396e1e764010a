"""URLs of the package files of conda channels. The digest decides whether a file is the locked one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from envc.errors import SourceUnreachable
from envc.fetch.conda.channel_locations import ChannelLocation
from envc.fetch.conda.channels import NOARCH, Channels
from envc.fetch.pypi.listing import ListedFile
from envc.model.environment import EnvironmentMember
from envc_solvers.pypi.language.index import File


class ChannelFiles:
    """Finds package files, which are next to the repodata of their subdir unless it states a base URL (CEP-15).

    Repodata may be large, so it is read only for files that are not next to it. Old channels have noarch packages in
    the subdirs of platforms, so these are tried last.
    """

    def __init__(self, channels: Channels, locations: Mapping[str, ChannelLocation], platforms: Iterable[str]) -> None:
        self._channels = channels
        self._locations = locations
        self._platforms = tuple(platforms)

    def locate(self, member: EnvironmentMember) -> Iterator[ListedFile]:
        """The possible URLs of a member's file, the most likely first. Raises SourceUnreachable and OfflineMiss."""
        location = self._locations.get(member.source)
        if location is None:
            what = f"{member.file} of {member.name} {member.version}"
            raise SourceUnreachable(member.source, what, "the manifest has no such channel", "run `envc lock`")
        file = File(name=member.file, sha256=member.sha256, size=member.size)
        tried = f"{location.url}/{member.subdir}/{member.file}"
        yield ListedFile(file=file, url=tried)
        for subdir in dict.fromkeys((member.subdir, NOARCH, *self._platforms)):
            url = self._channels.subdir(location.name, subdir).file_url(member.file)
            if url != tried:
                yield ListedFile(file=file, url=url)
