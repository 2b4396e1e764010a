"""The indexes, channels and artifacts of a manifest, opened for a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envc.context import Context
from envc.fetch.artifacts import Artifacts
from envc.fetch.context import fetch_context
from envc.fetch.net.settings import read_settings
from envc.fetch.pypi.indexes import Indexes
from envc.fetch.pypi.listing import ListedFile
from envc.locking.plan.expand import StepTarget, target_of
from envc.model.environment import EnvironmentMember
from envc.model.graph import LockGraph
from envc.model.kinds import DIRECT_SOURCES
from envc.model.manifest import Manifest

if TYPE_CHECKING:
    from envc.fetch.net.credentials import Keyring
    from envc.shipping.deliver.pack import Artifacts as Supplier


def open_origins(manifest: Manifest, context: Context) -> Indexes:
    """The indexes of a manifest. Use it as a context manager."""
    fetching = fetch_context(read_settings(context.environ), context)
    archives = manifest.standalone.url or context.environ.get("PBS_INSTALLER_BASE_URL", "")
    if archives.startswith("http:"):
        fetching.keyring.allow_plain(archives)
    return Indexes(
        {name: source for name, source in manifest.sources.items() if source.kind != "conda"},
        fetching,
        root=manifest.root,
        locators={"interpreter": lambda member: _archives(member, manifest, context)},
    )


def _archives(member: EnvironmentMember, manifest: Manifest, context: Context) -> tuple[ListedFile, ...]:
    from envc.fetch.standalone import archive_files

    return archive_files(member.file, member.sha256, manifest.standalone, context.environ, manifest.root)


@contextmanager
def open_artifacts(
    manifest: Manifest, step_targets: tuple[StepTarget, ...], graph: LockGraph, context: Context, kinds: Iterable[str]
) -> Iterator[Supplier]:
    """A supplier of the artifacts of a manifest's lock, for packages of these kinds."""
    with open_origins(manifest, context) as origins:

        def supply(artifacts: Artifacts) -> Supplier:
            """The sources alone, unless the lock has an artifact that none of them serves."""
            if not graph.builds and not DIRECT_SOURCES & {package.source for package in graph.packages}:
                return artifacts
            from envc.locking.builds.supply import Supply

            return Supply(artifacts, origins.context.keyring, manifest, step_targets, graph, context)

        if "conda" not in kinds:
            yield supply(origins.artifacts)
            return
        from envc.fetch.conda.channel_files import ChannelFiles
        from envc.fetch.conda.channel_locations import resolve_channels
        from envc.fetch.conda.channels import Channels

        fetching = origins.context
        locations = resolve_channels(
            manifest.channels,
            manifest.sources,
            fetching.keyring,
            base=fetching.settings.channel_alias,
            root=manifest.root,
        )
        with Channels(locations, origins.context) as channels:
            platforms = {target_of(manifest, name).platform for name in manifest.targets}
            yield supply(
                origins.artifacts.with_locators(conda=ChannelFiles(channels, locations, sorted(platforms)).locate)
            )


def warn_of_link_scripts(
    manifest: Manifest, members: Iterable[EnvironmentMember], context: Context, keyring: Keyring
) -> None:
    """Warn about scripts in newly locked conda packages, which conda would run and envc does not.

    `keyring` is that of the run, so that no login is looked up twice.
    """
    from envc.fetch.conda.channel_locations import resolve_channels
    from envc.fetch.conda.link_scripts import LinkScripts
    from envc.fetch.net.http import Client
    from envc.system.retries import RetryPolicy

    settings = read_settings(context.environ)
    locations = resolve_channels(
        manifest.channels, manifest.sources, keyring, base=settings.channel_alias, root=manifest.root
    )
    # These warnings are not worth a long wait.
    client = Client(keyring, transport=settings.transport, read_timeout=10, retries=RetryPolicy(tries=1))
    try:
        found = LinkScripts(locations, fetch_context(settings, context, keyring, client)).find(members)
    finally:
        client.close()
    for member, scripts in found.items():
        for path in scripts:
            context.progress.warn(f"{member.name} {member.version} has {path}, which envc never runs")
