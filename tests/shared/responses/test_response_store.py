import asyncio
import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stages.shared.responses.response_store import ResponseStore, StoredReply, request_key
from tests.imports import ROOT


def reply(name: str, text: str = "low") -> StoredReply:
    return StoredReply(name, 0, {"prompt": f"{name} \u00e9"}, {"choices": [{"message": {"content": text}}]})


def add(store: ResponseStore, *replies: StoredReply) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*(store.add(item) for item in replies))

    asyncio.run(all_at_once())


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def test_a_key_depends_on_body_sample_and_attempt_and_on_nothing_else() -> None:
    body = {"model": "m", "temperature": 0.5, "messages": [{"role": "user", "content": "\u00e9"}]}
    key = request_key(body, [0, 1], 0)

    assert key == request_key(dict(reversed(body.items())), [0, 1], 0)
    canonical = '{"attempt":0,"body":{"messages":[{"content":"\u00e9","role":"user"}],"model":"m","temperature":0.5},'
    assert key == hashlib.sha256((canonical + '"sample":[0,1]}').encode()).hexdigest()
    others = [
        request_key({**body, "model": "n"}, [0, 1], 0),
        request_key(body, [1, 0], 0),
        request_key(body, [0, 1], 1),
    ]
    assert len({key, *others}) == 4


def test_how_long_a_reply_took_is_kept_where_it_is_known(tmp_path: Path) -> None:
    """A line of a store that did not keep it stays the same bytes."""
    old = b'{"key":"a","attempt":0,"request":{},"reply":{}}\n'
    (tmp_path / "0.jsonl").write_bytes(old)
    store = ResponseStore(tmp_path)
    add(store, StoredReply("b", 0, {}, {}, 12.5))

    first, second = store.get("a"), store.get("b")
    assert first == StoredReply("a", 0, {}, {})
    assert msgspec.json.encode(first) + b"\n" == old
    assert second is not None
    assert second.elapsed_ms == 12.5


def test_a_reply_that_is_cut_off_at_any_byte_is_owed_and_all_others_are_found(tmp_path: Path) -> None:
    """Then what follows goes to another segment, and the torn line stays harmless."""
    store = ResponseStore(tmp_path / "whole")
    add(store, reply("a"), reply("b"))
    store.close()
    content = segments(tmp_path / "whole")[0].read_bytes()
    first = content.index(b"\n") + 1

    for size in range(len(content) + 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "0.jsonl").write_bytes(content[:size])
        torn = ResponseStore(folder)
        expected = {"a": size >= first, "b": size == len(content)}
        assert {name: torn.get(name) is not None for name in "ab"} == expected
        add(torn, reply("b", "again"), reply("c"))
        torn.close()

        reopened = ResponseStore(folder)
        assert reopened.get("c") == reply("c")
        assert reopened.get("b") == (reply("b") if expected["b"] else reply("b", "again"))
        assert reopened.get("a") == (reply("a") if expected["a"] else None)


@pytest.mark.parametrize(
    "garbage", [b"\0" * 50, b"{}", b'{"key": "b"}', b'{"key": "b", "attempt": 0, "request": {}, "re']
)
def test_a_line_of_anything_hides_no_other(tmp_path: Path, garbage: bytes) -> None:
    store = ResponseStore(tmp_path)
    add(store, reply("a"))
    store.close()
    with segments(tmp_path)[0].open("ab") as file:
        file.write(garbage + b"\n")
    add(store, reply("b"))

    reopened = ResponseStore(tmp_path)

    assert [reopened.get(name) for name in "abc"] == [reply("a"), reply("b"), None]


def test_a_thousand_replies_at_once_share_a_few_flushes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    fsync = os.fsync

    def counted(file: int) -> None:
        flushed.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counted)
    store = ResponseStore(tmp_path)

    add(store, *(reply(str(i)) for i in range(1000)))

    assert 1 <= len(flushed) <= 4
    assert len(ResponseStore(tmp_path)) == 1000
    assert len(segments(tmp_path)) == 1


def test_a_reply_is_on_disk_when_add_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has not been flushed is not used."""
    order: list[str] = []
    fsync = os.fsync

    def slow(file: int) -> None:
        time.sleep(0.01)
        fsync(file)
        order.append("flushed")

    monkeypatch.setattr(os, "fsync", slow)

    async def one_by_one() -> None:
        store = ResponseStore(tmp_path)
        for i in range(3):
            await store.add(reply(str(i)))
            order.append("used")

    asyncio.run(one_by_one())

    assert order == ["flushed", "flushed", "used", "flushed", "used", "flushed", "used"]  # the folder is flushed first


def test_the_first_reply_wins_in_a_process_and_after_it(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    add(store, reply("a", "first"))
    add(store, reply("a", "second"))
    other = ResponseStore(tmp_path)
    add(other, reply("a", "third"))
    assert other.add_all([reply("a", "fourth"), reply("b", "one"), reply("b", "one")]) == 1

    for found in (store, other, ResponseStore(tmp_path)):
        assert found.get("a") == reply("a", "first")


def test_refresh_finds_what_another_process_added(tmp_path: Path) -> None:
    store, other = ResponseStore(tmp_path), ResponseStore(tmp_path)
    add(other, reply("a"))
    assert "a" not in store

    store.refresh()
    assert store.get("a") == reply("a")
    add(other, reply("b"))
    add(store, reply("c"))
    store.refresh()
    assert (len(store), store.get("b")) == (3, reply("b"))


def test_what_waits_is_written_even_if_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    """As after a signal."""
    store = ResponseStore(tmp_path)

    async def cancelled() -> None:
        adding = [asyncio.create_task(store.add(reply(str(i)))) for i in range(10)]
        await asyncio.sleep(0)
        for task in adding:
            task.cancel()
        await asyncio.gather(*adding, return_exceptions=True)
        await store.drain()

    asyncio.run(cancelled())

    assert len(ResponseStore(tmp_path)) == 10


def test_a_full_disk_is_an_error_for_those_who_wait_and_spoils_no_later_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResponseStore(tmp_path)
    add(store, reply("a"))
    write = os.write

    def full(file: int, data: Any) -> int:
        write(file, bytes(data)[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        add(store, reply("b"))
    monkeypatch.setattr(os, "write", write)
    assert "b" not in store
    add(store, reply("c"))

    for found in (store, ResponseStore(tmp_path)):
        assert [found.get(name) for name in "abc"] == [reply("a"), None, reply("c")]


def test_one_process_at_a_time_holds_a_stage_and_the_next_sees_its_replies(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, time; from pathlib import Path\n"
        "from stages.shared.responses.response_store import ResponseStore, StoredReply\n"
        "store = ResponseStore(Path(sys.argv[1]))\n"
        "with store.lock('rate'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(0.3)\n"
        "    asyncio.run(store.add(StoredReply('theirs', 0, {}, {})))\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        store = ResponseStore(tmp_path)
        with store.lock("write"):
            assert "theirs" not in store
        with (tmp_path / "rate.lock").open("w") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with store.lock("rate"):
            assert "theirs" in store


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from stages.shared.responses.response_store import ResponseStore\n"
        "with ResponseStore(Path(sys.argv[1])).lock('rate'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        other.kill()

    with ResponseStore(tmp_path).lock("rate"):
        pass
