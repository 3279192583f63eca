"""Everything between a stage's questions and their answers: environment, store, lock, seed, client."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from stages.shared.asking import ask
from stages.shared.budget import Budget, Prices
from stages.shared.chat_client import ChatClient
from stages.shared.providers import Provider, accesses
from stages.shared.question import Question, state
from stages.shared.response_seed import seed
from stages.shared.response_store import ResponseStore
from stages.shared.settings import Settings, environment, project_root, store_folder


@contextmanager
def answered(
    stage: str, provider: Provider, prices: Prices, questions: Callable[[], Iterable[Question]]
) -> Iterator[ResponseStore]:
    """Yield the store once every question has its reply in it, or has failed for good.

    One run of a stage at a time: who waits for the lock finds the replies of the other in the store.

    Raises:
        ValueError: what is missing, or why questions are left. All replies that came are stored.
    """
    root, started_by = project_root(), os.getppid()
    env = environment(root)
    settings = Settings.read(env)
    store = ResponseStore(store_folder(root, env))
    try:
        with store.lock(stage):
            if os.getppid() != started_by:
                raise ValueError("the process that started this run is gone")
            if any(state(question, store).owed for question in questions()):
                seed(store, root)
            budget = Budget(settings.max_requests, settings.max_usd)
            ask(
                questions,
                store,
                lambda: ChatClient(accesses(provider, env), settings.concurrency),
                budget,
                prices,
                workers=2 * settings.concurrency,
            )
            yield store
    finally:
        store.close()
