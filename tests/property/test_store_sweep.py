"""Laws of garbage collection, for stores with any history."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from envc.model.digest import Sha256, sha256
from envc.model.progress import Silent
from envc.model.record import ObjectIndex, Record, RecordObject, StepPointer
from envc.shipping.format.documents import canonical_json
from envc.shipping.format.frames import compress
from envc.shipping.store.keys import code_key, environment_key, lock_key, object_key, step_key
from envc.shipping.store.tags import put_tag
from envc.shipping.store.upkeep.collect import YOUNG, Collector
from tests.support.stores import MemoryBlobs

NOW = 1e9
RECENT = 30 * 24 * 3600.0
ages = st.sampled_from([0.0, YOUNG - 1, YOUNG + 1, RECENT - 1, RECENT + 1, 1e8])
digests = st.integers(0, 4).map(lambda number: sha256(b"%d" % number))


class Step:
    """A step pointer, everything reachable from it, and the ages."""

    def __init__(self, lock: Sha256, environment: Sha256, code: Sha256 | None, age: float) -> None:
        self.lock, self.environment, self.code, self.age = lock, environment, code, age

    def needs(self, objects: dict[Sha256, list[Sha256]]) -> set[str]:
        needed = {environment_key(self.environment), lock_key(self.lock)}
        needed |= {object_key("any", artifact) for artifact in objects[self.environment]}
        return needed | ({code_key(self.code)} if self.code else set())


steps = st.builds(Step, digests, digests, st.none() | digests, ages)


def record(environment: Sha256, artifacts: list[Sha256]) -> bytes:
    items = tuple(
        RecordObject(
            kind="pypi", name=artifact, version="1", file="f", content=artifact, size=1,
            index=ObjectIndex(artifact=artifact, layout="any", frames=(), members=()),
        )
        for artifact in artifacts
    )  # fmt: skip
    values = {"platform": "linux-64", "python": "cp312", "interpreter": "host"}
    return compress(canonical_json(Record(environment=environment, objects=items, **values)), 1)


@settings(deadline=None)
@given(
    st.lists(steps, max_size=6),
    st.dictionaries(digests, st.lists(digests, max_size=3, unique=True), min_size=5, max_size=5),
    st.lists(digests, max_size=2),
    ages,
)
def test_everything_reachable_from_kept_pointers_stays_and_the_rest_goes(
    history: list[Step], objects: dict[Sha256, list[Sha256]], tagged: list[Sha256], age: float
) -> None:
    store = MemoryBlobs()

    def put(key: str, data: bytes, age: float) -> None:
        store.blobs[key] = data
        store.times[key] = NOW - age

    for artifact in objects:
        put(object_key("any", artifact), b"object", age)
        put(code_key(artifact), b"code", age)
        put(lock_key(artifact), b"lock", age)
        put(environment_key(artifact), record(artifact, objects[artifact]), age)
    pointers = {}
    for number, step in enumerate(history):
        key = step_key("demo", step.lock, f"step-{number}", "linux-64")
        pointer = StepPointer(
            environment=step.environment, record=step.environment, code=step.code, code_object=step.code
        )
        put(key, canonical_json(pointer), step.age)
        pointers[key] = step
    for number, lock in enumerate(tagged):
        put_tag(store, "demo", f"tag-{number}", lock)
    everything = set(store.blobs)
    collector = Collector(store, now=lambda: NOW, recent=RECENT, progress=Silent())
    garbage = collector.find()
    removed = {listed.key for listed in collector.remove(garbage)}

    kept_steps = {key: step for key, step in pointers.items() if step.age < RECENT or step.lock in tagged}
    needed = set(kept_steps).union(*(step.needs(objects) for step in kept_steps.values()))
    assert not needed & removed
    assert set(store.blobs) == everything - removed
    # Everything removable is removed, except items younger than a day.
    tags_ = {key for key in everything if key.startswith("v1/tags")}
    if age > YOUNG:
        assert set(store.blobs) == needed | tags_
    else:
        assert removed == set(pointers) - set(kept_steps)
    assert collector.find().blobs == ()
