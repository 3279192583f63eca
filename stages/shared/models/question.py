"""One thing that is asked of a model, and what its stored replies amount to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from stages.shared.completion import split_parts
from stages.shared.responses.response_store import REJECTED, ResponseStore, StoredReply, request_key

MAX_ATTEMPTS = 4
"""Replies that are paid for before a row counts as unusable."""
_PERMANENT = frozenset({"refusal", "content_filter", REJECTED})
_AS_IT_COMES = frozenset({"length", "empty"})
_GIVEN_UP = frozenset({"abort", "error", "insufficient_system_resource"})
"""Finish reasons of servers (vLLM, SGLang, OpenRouter, DeepSeek) that end before the generation does. Any other one is
that of a reply that was paid for: not every server calls its end `stop`."""


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
    detail: str | None = None
    """What the server said of the failure."""
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
        reason = unusable(stored.reply)
        if reason in _PERMANENT:
            return State(replies, failure=reason, detail=stored.reply.get(REJECTED))
        if question.as_it_comes and reason in _AS_IT_COMES:
            reason = None
        text = reply_text(stored.reply)
        reason = reason or question.judge(text)
        if reason is None:
            return State(replies, text=text)
        body = _next_body(question, body, text, reason)
    return State(replies, failure=f"unusable after {MAX_ATTEMPTS} replies: {reason}")


def check_failed(stage: str, failed: list[tuple[str, State]], rows: int, max_fraction: float) -> None:
    """Fail when too many rows failed for good.

    Args:
        stage: name of the stage.
        failed: row or module id and state of each.
        rows: how many there are.
        max_fraction: the limit.

    Raises:
        ValueError: the share, the limit and the first row.
    """
    if len(failed) > max_fraction * rows:
        row_id, first = failed[0]
        told = f"{first.failure}: {first.detail}" if first.detail else first.failure
        raise ValueError(
            f"{len(failed)} of {rows} rows failed for good, {stage}.max_failed_fraction is {max_fraction}: "
            f"{row_id}: {told}"
        )


def unusable(reply: dict[str, Any]) -> str | None:
    """Why no reply like this is an answer, whatever its text: rejected, given up, cut off, refused, filtered, empty."""
    if REJECTED in reply:
        return REJECTED
    if reason := given_up(reply):
        return reason
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
    text, _ = split_parts(content)
    _, closed, after = text.rpartition("</think>")
    return after if closed else "" if text.lstrip().startswith("<think>") else text


def is_reply(body: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded body has the shape of a chat completion that can be read."""
    choices = body.get("choices") if isinstance(body, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        return False
    content = first["message"].get("content")
    return content is None or isinstance(content, str | list)


def given_up(reply: dict[str, Any]) -> str | None:
    """Why a reply is only what a server had when it gave up, as one that ends while it answers; None of a whole one."""
    finish = reply["choices"][0].get("finish_reason")
    if finish is not None and not isinstance(finish, str):
        return "broken reply"
    return f"finish_reason {finish}" if finish in _GIVEN_UP else None


def _next_body(question: Question, body: dict[str, Any], text: str, reason: str) -> dict[str, Any]:
    """The body after the unusable reply to `body`: more room where it was cut off, the reason where feedback helps."""
    if reason == "length":
        return {**body, "max_tokens": 2 * body["max_tokens"]} if body.get("max_tokens") else body
    if question.feedback and text.strip():
        told = f"That reply cannot be used: {reason}. Reply again, complete, with this corrected."
        turns = [{"role": "assistant", "content": text}, {"role": "user", "content": told}]
        return {**body, "messages": [*question.body["messages"], *turns]}
    return body
