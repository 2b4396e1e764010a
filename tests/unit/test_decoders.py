"""Many threads decode the first values of a type at the same time."""

from __future__ import annotations

import subprocess
import sys

TRIAL = """
import sys, threading
import msgspec
from envc.model.decoders import decode

sys.setswitchinterval(1e-6)
for number in range(60):
    class Inner(msgspec.Struct):
        a: int
        b: str | None = None
    class Outer(msgspec.Struct):
        x: tuple[Inner, ...] = ()
        y: dict[str, Inner] = {}
    together = threading.Barrier(8)
    found = []
    def work(form=Outer):
        together.wait()
        found.append(decode(b'{"x": [{"a": 1}], "y": {"k": {"a": 2}}}', form))
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(value.y["k"].a == 2 for value in found)
print("done")
"""


def test_threads_may_decode_the_first_value_of_a_type_together() -> None:
    """Plain msgspec crashes here, most often in the first round."""
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
