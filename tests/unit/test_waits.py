"""What threads wait for is known while they wait, and how much has moved."""

from __future__ import annotations

from envc.cli.bars import task_line, wait_line
from envc.model.progress import SilentTask
from envc.system.waits import Wait, active, failed_try, moved, total_moved, waiting, waits_for


class Counting(SilentTask):
    def __init__(self) -> None:
        self.count = 0

    def advance(self, amount: int = 1) -> None:
        self.count += amount


def test_an_inner_wait_hides_the_outer_one_and_adds_its_bytes() -> None:
    before = total_moved()
    with waiting("index", "numpy") as outer:
        with waiting("host", "page"):
            moved(5)
            assert [one.place for one in active()] == ["host"]
        assert [(one.place, one.moved) for one in active()] == [("index", 5)]
        failed_try("HTTP 503")
    assert (outer.tries, outer.reason) == (2, "HTTP 503")
    assert active() == []
    assert total_moved() - before == 5


def test_a_purpose_names_the_waits_and_counts_for_a_task() -> None:
    task = Counting()
    with waits_for("numpy-2.0.whl"):
        with waits_for("numpy 2.0", task) as purpose, waiting("store", "objects ab12"):
            assert active()[0].what == "numpy 2.0"
            moved(7)
        with waiting("store", "objects ab12"):
            assert active()[0].what == "numpy-2.0.whl"
    assert (task.count, purpose.moved) == (7, 7)
    with waiting("store", "objects ab12"):
        assert active()[0].what == "objects ab12"


def test_lines_name_host_project_bytes_rate_and_retries() -> None:
    first, second = Wait("index.example.com", "the page of numpy", 0), Wait("index.example.com", "x\x1b[2J", 0)
    now = first.began + 8.2
    assert wait_line([], now, 0, 0.0) == ""
    assert wait_line([first], now, 0, 0.0) == "waiting for index.example.com: the page of numpy, 8 s"
    second.tries, second.reason = 3, "HTTP 503"
    assert wait_line([first, second], now, 12_300_000, 1.5e6) == (
        "waiting for index.example.com: the page of numpy and 1 more, 12.3 MB in all at 1.5 MB/s, 8 s (try 3: HTTP 503)"
    )
    assert "\x1b" not in wait_line([second], now, 0, 0.0)
    large = Wait("s3://b", "a.whl", 2_000_000)
    large.moved = 40_000
    assert wait_line([large], large.began, 0, 0.0) == "waiting for s3://b: a.whl, 40.0 kB of 2.0 MB, 0 s"


def test_a_task_is_a_bar_only_with_a_total() -> None:
    assert task_line("solving", 1, 2, "") == f"solving {'━' * 12}{'─' * 12} 1/2"
    assert task_line("pages", 3, None, "") == "pages 3"
    assert task_line("files", 5_000_000, 4_000_000, "B") == f"files {'━' * 24} 5.0 MB/4.0 MB"
