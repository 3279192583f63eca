"""One thing that is asked of a model, and what its stored replies amount to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from stages.shared.responses.response_store import ResponseStore, StoredReply, request_key

MAX_ATTEMPTS = 4
"""Replies that are paid for before a row counts as unusable."""
_PERMANENT = frozenset({"refusal", "content_filter"})


@dataclass(frozen=True)
class Question:
    """A request and the rules for its reply."""

    body: dict[str, Any]
    """Of a chat completion: model, messages, sampling."""
    sample: list[int]
    """Indices that ask for a fresh reply to an equal body."""
    judge: Callable[[str], str | None]
    """What is wrong with the text of a reply, None when it can be used."""
    feedback: bool = False
    """Whether a further attempt shows the model its unusable reply and what is wrong with it."""
    as_it_comes: bool = False
    """Whether a reply that is cut off or empty is an answer too, as a rollout is."""


@dataclass(frozen=True)
class State:
    """How far a question has come: answered, failed for good, or owed."""

    replies: list[StoredReply] = field(default_factory=list)
    """All that was paid for, in order."""
    text: str | None = None
    """The usable reply."""
    failure: str | None = None
    """Why there will be none."""
    owed: tuple[str, int, dict[str, Any]] | None = None
    """Key, attempt and body of the request to send next."""


def state(question: Question, store: ResponseStore) -> State:
    """Judge the stored replies in order with today's rules, and say what comes next. Nothing is sent."""
    body = question.body
    replies: list[StoredReply] = []
    reason: str | None = None
    for attempt in range(MAX_ATTEMPTS):
        key = request_key(body, question.sample, attempt)
        stored = store.get(key)
        if stored is None:
            return State(replies, owed=(key, attempt, body))
        replies.append(stored)
        text = reply_text(stored.reply)
        reason = unusable(stored.reply)
        if question.as_it_comes and reason not in _PERMANENT:
            reason = None
        reason = reason or question.judge(text)
        if reason is None:
            return State(replies, text=text)
        if reason in _PERMANENT:
            return State(replies, failure=reason)
        body = _next_body(question, body, text, reason)
    return State(replies, failure=f"unusable after {MAX_ATTEMPTS} replies: {reason}")


def unusable(reply: dict[str, Any]) -> str | None:
    """Why no reply like this is an answer, whatever its text: cut off, refused, filtered or empty."""
    choice = reply["choices"][0]
    finish = choice.get("finish_reason")
    if choice["message"].get("refusal"):
        return "refusal"
    if finish in {"length", "content_filter"}:
        return str(finish)
    return None if reply_text(reply).strip() else "empty"


def reply_text(reply: dict[str, Any]) -> str:
    """The content of the first choice, without reasoning that stands in it."""
    content = reply["choices"][0]["message"].get("content")
    text = content if isinstance(content, str) else ""
    _, closed, after = text.rpartition("</think>")
    return after if closed else "" if text.lstrip().startswith("<think>") else text


def is_reply(body: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded body has the shape of a chat completion."""
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return isinstance(first, dict) and isinstance(first.get("message"), dict)


def _next_body(question: Question, body: dict[str, Any], text: str, reason: str) -> dict[str, Any]:
    """The body after the unusable reply to `body`: more room where it was cut off, the reason where feedback helps."""
    if reason == "length":
        return {**body, "max_tokens": 2 * body["max_tokens"]} if body.get("max_tokens") else body
    if question.feedback and text.strip():
        told = f"That reply cannot be used: {reason}. Reply again, complete, with this corrected."
        turns = [{"role": "assistant", "content": text}, {"role": "user", "content": told}]
        return {**body, "messages": [*question.body["messages"], *turns]}
    return body
