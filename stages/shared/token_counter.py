"""Count the tokens of many texts with a fast BPE that is checked against the Hugging Face tokenizer."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from fastokens import Tokenizer as FastTokenizer
from tokenizers import Tokenizer

_BATCH_CHARACTERS = 1 << 24
_CHECK_EVERY = 500


class DifferentTokensError(Exception):
    """The fast tokenizer gave other ids than the Hugging Face tokenizer."""


class TokenCounter:
    """Counts with `fastokens`, or with the reference, the Hugging Face `tokenizers`, which is some 50 times slower."""

    def __init__(self, folder: Path, *, fast: bool = True) -> None:
        """Load `tokenizer.json` of a tokenizer folder.

        Raises:
            ValueError: there is none, or it cannot be read.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"{file}: no such file: expected a fast Hugging Face tokenizer")
        try:
            self._reference = Tokenizer.from_file(str(file))
        except Exception as error:  # noqa: BLE001  # tokenizers raises nothing narrower
            raise ValueError(f"{file}: not a readable tokenizer: {error}") from None
        self._reference.no_truncation()
        self._reference.no_padding()
        self._fast = FastTokenizer.from_file(str(file)) if fast else None
        if self._fast is not None:
            self._fast.no_truncation()
        self._seen = 0

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text; nothing is added around it, a special token written in it is one token.

        Raises:
            DifferentTokensError: one of every 500 texts is encoded by both, and the ids differ.
        """
        return [
            n
            for batch in _batches(texts)
            for n in (self._count_fast(batch) if self._fast else self._count_reference(batch))
        ]

    def _count_fast(self, batch: list[str]) -> list[int]:
        assert self._fast is not None
        raw_ids, raw_offsets = self._fast.encode_batch_flat(batch, add_special_tokens=False)
        ids, offsets = np.frombuffer(raw_ids, np.uint32), np.frombuffer(raw_offsets, np.uint64).astype(np.int64)
        for i in range(-self._seen % _CHECK_EVERY, len(batch), _CHECK_EVERY):
            expected = self._reference.encode(batch[i], add_special_tokens=False).ids
            if ids[offsets[i] : offsets[i + 1]].tolist() != expected:
                raise DifferentTokensError
        self._seen += len(batch)
        counts: list[int] = np.diff(offsets).tolist()
        return counts

    def _count_reference(self, batch: list[str]) -> list[int]:
        return [len(encoding) for encoding in self._reference.encode_batch_fast(batch, add_special_tokens=False)]


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Slices of bounded size, so that the ids of a whole table are never in memory at once."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
