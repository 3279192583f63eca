import asyncio
from pathlib import Path
from typing import Any

import pytest

from stages.shared.models.question import MAX_ATTEMPTS, Question, check_failed, is_reply, reply_text, state, unusable
from stages.shared.responses.response_store import ResponseStore, StoredReply
from stages.shared.responses.responses_file import write_responses
from tests.chat_server import completion

BODY = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Rate it."}]}


def judge(text: str) -> str | None:
    return None if text.strip() == "good" else "not good"


def answered(question: Question, store: ResponseStore, *replies: dict[str, Any]) -> list[dict[str, Any]]:
    """Store replies as they are asked for; returns the bodies that were."""
    bodies = []
    for reply in replies:
        owed = state(question, store).owed
        assert owed
        bodies.append(owed[2])
        asyncio.run(store.add(StoredReply(*owed, reply)))
    return bodies


@pytest.mark.parametrize(
    ("reply", "reason", "text"),
    [
        (completion("good"), None, "good"),
        (completion("<think>bad</think>good"), None, "good"),
        (completion("bad</think>good"), None, "good"),
        (completion("<think>bad"), "empty", ""),
        (completion(" \n"), "empty", " \n"),
        (completion(None), "empty", ""),
        (completion("good", "length"), "length", "good"),
        (completion("good", "content_filter"), "content_filter", "good"),
        (completion("", refusal="no"), "refusal", ""),
        (completion("go", "abort"), "finish_reason abort", "go"),
        (completion("go", "eos"), None, "go"),
        (completion("go", {"type": "stop"}), "broken reply", "go"),
        (completion([{"type": "thinking", "thinking": "bad"}, {"type": "text", "text": "good"}]), None, "good"),
        ({"choices": [{"message": {}}]}, "empty", ""),
    ],
)
def test_the_text_of_a_reply_and_why_it_is_none(reply: dict[str, Any], reason: str | None, text: str) -> None:
    assert is_reply(reply)
    assert (unusable(reply), reply_text(reply)) == (reason, text)


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], {}, {"choices": None}, {"choices": []}, {"choices": [1]}, {"choices": [{}]}),
        completion({"text": "good"}),
        completion(1),
    ],
)
def test_what_is_no_chat_completion(body: Any) -> None:
    assert not is_reply(body)


def test_the_first_usable_reply_counts_and_later_rules_are_applied_to_old_replies(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    answered(Question(BODY, [0], judge), store, completion("bad"), completion("good"))

    found = state(Question(BODY, [0], judge), store)
    assert (found.text, found.failure, found.owed, len(found.replies)) == ("good", None, None, 2)
    relaxed = state(Question(BODY, [0], lambda _: None), store)
    assert (relaxed.text, len(relaxed.replies)) == ("bad", 1)
    strict = state(Question(BODY, [0], lambda _: "worse"), store)
    assert strict.owed
    assert strict.owed[1] == 2


def test_a_row_is_unusable_after_four_replies_and_refused_after_one(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    question, refused = Question(BODY, [0], judge), Question(BODY, [1], judge)
    bodies = answered(question, store, *[completion("bad")] * MAX_ATTEMPTS)
    answered(refused, store, completion("", refusal="no"))

    assert bodies == [BODY] * 4
    assert state(question, store).failure == "unusable after 4 replies: not good"
    assert state(refused, store).failure == "refusal"


@pytest.mark.parametrize("reply", [completion("half", "length"), completion(""), completion(None, "length")])
def test_a_question_may_take_its_reply_as_it_comes(tmp_path: Path, reply: dict[str, Any]) -> None:
    """But not a refusal, and not what its own judge refuses."""
    store = ResponseStore(tmp_path)
    taken = Question(BODY, [0], lambda _: None, as_it_comes=True)
    filtered = Question(BODY, [1], lambda _: None, as_it_comes=True)
    answered(taken, store, reply)
    answered(filtered, store, completion("half", "content_filter"))

    assert state(taken, store).text == reply_text(reply)
    assert state(filtered, store).failure == "content_filter"
    assert state(Question(BODY, [0], judge, as_it_comes=True), store).owed


def test_what_a_server_gave_up_is_asked_again_where_it_was_stored(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    question = Question(BODY, [0], lambda _: None, as_it_comes=True)
    answered(question, store, completion("ha", "abort"), completion("half", "length"))

    found = state(question, store)
    assert (found.text, len(found.replies)) == ("half", 2)


def test_a_rejection_is_final_and_tells_what_the_server_said(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path)
    question = Question(BODY, [0], judge)
    answered(question, store, {"rejected": "400: too long"})

    found = state(question, store)
    assert (found.failure, found.detail, found.owed) == ("rejected", "400: too long", None)
    with pytest.raises(ValueError, match=r"^1 of 4 rows failed .*: r0: rejected: 400: too long$"):
        check_failed("rate", [("r0", found)], 4, 0.2)
    check_failed("rate", [("r0", found)], 5, 0.2)


def test_feedback_and_more_room_are_kept_together(tmp_path: Path) -> None:
    question = Question(BODY, [0], judge, feedback=True)
    bodies = answered(
        question,
        ResponseStore(tmp_path),
        completion("go", "length"),
        completion("bad"),
        completion("x"),
        completion(""),
    )

    turns = [[(turn["role"], turn["content"]) for turn in body["messages"][1:]] for body in bodies]
    told = ("user", "That reply cannot be used: not good. Reply again, complete, with this corrected.")
    assert [body["max_tokens"] for body in bodies] == [100, 200, 200, 200]
    assert turns == [[], [], [("assistant", "bad"), told], [("assistant", "x"), told]]


def test_each_reply_is_written_once_in_the_order_of_its_use(tmp_path: Path) -> None:
    one, two = (StoredReply(name, 0, {"b": 1, "a": 2}, {}) for name in ("one", "two"))

    assert write_responses(tmp_path / "out" / "r.jsonl", [two, one, two]) == [two, one]
    line = '{"attempt":0,"key":"two","reply":{},"request":{"a":2,"b":1}}'
    assert (tmp_path / "out" / "r.jsonl").read_text() == f"{line}\n{line.replace('two', 'one')}\n"
    assert write_responses(tmp_path / "none.jsonl", []) == []
    assert (tmp_path / "none.jsonl").read_bytes() == b""
