"""Many containers that hydrate at once from a store with limits: none of them fails, and the store is never idle."""

from __future__ import annotations

from pathlib import Path

import pytest

from envc.shipping.store.backends.store_retries import PATIENCE
from envc.system.retries import RetryPolicy
from tests.simulation.model import Client, Limits, Outcome, Simulation
from tests.simulation.real import hydrate_at_once, prepare
from tests.support.limited_store import LimitedStore

SIZES = (2_000, 1_130_000, *[1_080_000] * 263)


def simulate(clients: int, *, policy: RetryPolicy = PATIENCE, paced: bool = True, rack: int = 0) -> Outcome:
    client = Client(requests=SIZES, policy=policy, paced=paced)
    return Simulation(client, Limits(), clients=clients, rack=rack).run()


@pytest.mark.parametrize("clients", [10, 300])
def test_all_clients_succeed_soon_after_the_store_has_served_as_many_requests(clients: int) -> None:
    outcome = simulate(clients)
    assert outcome.failed == 0
    assert outcome.requests == clients * len(SIZES)
    assert outcome.percentile(0.99) < 1.3 * outcome.limit + 2  # processing of one environment takes 1.4 s


def test_a_few_tries_without_a_pace_are_not_enough() -> None:
    """The model is able to fail."""
    outcome = simulate(300, policy=RetryPolicy(), paced=False)
    assert outcome.failed > 200


def test_a_pace_spares_the_store_most_of_the_rejected_requests() -> None:
    paced, unpaced = simulate(300), simulate(300, paced=False)
    assert unpaced.failed == 0
    assert paced.rejected < unpaced.rejected / 2


def test_a_cache_for_each_rack_asks_the_store_once_for_each_range() -> None:
    outcome = simulate(300, rack=100)
    assert outcome.failed == 0
    assert outcome.requests == 3 * len(SIZES)


@pytest.mark.slow
def test_real_clients_of_a_limited_store_all_succeed(tmp_path: Path) -> None:
    place = prepare(tmp_path / "project")
    with LimitedStore(place.folder / "store", Limits(rate=50.0, bandwidth=200e6)) as store:
        measured = hydrate_at_once(place, store, 20)
    assert measured.codes == {0}
    assert measured.rejected > 50
    assert measured.accepted == 20 * 26
