from tests.bench.replies import measure


def test_all_rows_are_answered_by_a_server_that_refuses_some() -> None:
    found = measure(rows=120, concurrency=64, latency=0.05, places=8)

    assert found["rows"] == 120
    assert found["most"] == 8
    assert 0 < found["refused"] < 1
