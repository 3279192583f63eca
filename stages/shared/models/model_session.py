"""Everything between a stage's questions and their answers: environment, store, lock, seed, server, client."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from stages.shared.interruption import abandoned, handling
from stages.shared.models.asking import ask
from stages.shared.models.budget import Budget, Prices
from stages.shared.models.chat_client import Breaker, ChatClient
from stages.shared.models.providers import Access, Provider, accesses
from stages.shared.models.question import Question, state
from stages.shared.responses.response_seed import seed
from stages.shared.responses.response_store import ResponseStore
from stages.shared.settings import Settings, environment, project_root, store_folder


class Server(Protocol):
    """A server that a stage runs by itself, for as long as there is something to ask."""

    def start(self) -> Access:
        """Return when it answers.

        Raises:
            ValueError: why it does not.
        """

    def fault(self) -> ValueError | None:
        """Why it will answer no more; None while it runs."""

    def stop(self) -> None:
        """End it, if it was started."""


@contextmanager
def answered(
    lock: str,
    provider: Provider,
    prices: Prices,
    questions: Callable[[], Iterable[Question]],
    *,
    server: Server | None = None,
    timeout_s: float | None = None,
) -> Iterator[ResponseStore]:
    """Yield the store once every question has its reply in it, or has failed for good.

    One run at a time of those that may ask the same: who waits for the lock finds the replies of the other in the
    store.

    Args:
        lock: name of the lock, which stands for what is asked: a stage, or a model.
        provider: whose endpoints are asked.
        prices: what a reply costs.
        questions: makes all questions of the stage, the answered ones too; called up to three times.
        server: asked instead of the provider's endpoints; started only when something is owed.
        timeout_s: seconds that a reply may take, where the environment does not say.

    Raises:
        ValueError: what is missing, or why questions are left. All replies that came are stored.
    """
    root, started_by = project_root(), os.getppid()
    env = environment(root)
    settings = Settings.read(env)
    store = ResponseStore(store_folder(root, env))

    def client() -> ChatClient:
        asked = [server.start()] if server else accesses(provider, env)
        breaker = Breaker(settings.patience_s) if settings.patience_s else None
        return ChatClient(asked, settings.concurrency, breaker, settings.timeout_s or timeout_s)

    try:
        with store.lock(lock):
            if os.getppid() != started_by:
                raise abandoned()
            if any(state(question, store).owed for question in questions()):
                seed(store, root)
            budget = Budget(settings.max_requests, settings.max_usd)
            fault = server.fault if server else lambda: None
            try:
                ask(questions, store, client, budget, prices, workers=2 * settings.concurrency, fault=fault)
            finally:
                if server:
                    # An impatient second signal must not leave it half ended.
                    with handling(lambda _: None):
                        server.stop()
            yield store
    finally:
        store.close()
