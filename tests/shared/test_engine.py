import os
import time
from collections.abc import Iterator

from stages.shared.engine import map_rows


def squared_slowly_at_first(n: int) -> tuple[int, int]:
    """The first rows take longest, so that unordered results would come out of order."""
    if n % 640 == 0:
        time.sleep(0.05)
    return n * n, os.getpid()


def fails_at(n: int) -> int:
    if n == 2100:
        raise ValueError(f"row {n}")
    return n


def test_few_rows_stay_in_this_process() -> None:
    assert list(map_rows(squared_slowly_at_first, range(1999))) == [(n * n, os.getpid()) for n in range(1999)]


def test_many_rows_keep_their_order_across_processes() -> None:
    found = list(map_rows(squared_slowly_at_first, iter(range(4000))))

    assert [square for square, _ in found] == [n * n for n in range(4000)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert (os.getpid() in {pid for _, pid in found}) == (cores == 1)


def test_an_error_in_another_process_arrives_with_its_type_and_text() -> None:
    results = map_rows(fails_at, range(2200))
    message = ""
    try:
        list(results)
    except ValueError as error:
        message = str(error)

    assert message == "row 2100"


def test_no_rows_are_no_results() -> None:
    def none() -> Iterator[int]:
        yield from ()

    assert list(map_rows(fails_at, none())) == []
