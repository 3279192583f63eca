"""The plain way to do the reference's steps: row dictionaries, JSONL between the steps, one row at a time.

`python -m tests.bench.reference_steps STEP FOLDER ...` does one step in a process of its own:

- `filter`: keep rewards above 0.85, add a difficulty (a constant: nothing is asked), write `filtered.jsonl`;
- `dedupe`: keep the best row of each module name, the first of a tie, write `unique.jsonl`;
- `analyze`: tokenize filtered rows through the chat template, write `analyze.json`;
- `remove_reasoning`: write both sets with the `<answer>` alone;
- `split`: write 90 % of each of the four sets as train, the rest as validation.

It loads each row once, which is less work than the reference does.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

CUTOFF = 0.85
TRAIN_SHARE = 0.9
STEPS = ("filter", "dedupe", "analyze", "remove_reasoning", "split")
SETS = ("filtered", "unique", "filtered-no-reasoning", "unique-no-reasoning")
_ANSWER = re.compile(r"<answer>.*?</answer>", re.DOTALL)

Row = dict[str, Any]


def read_rows(file: Path) -> Iterator[Row]:
    """Rows of a JSONL file."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSONL."""
    with file.open("w", encoding="utf-8") as lines:
        for row in rows:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def filter_rows(base: Path, folder: Path) -> None:
    """Step `filter`."""
    kept = []
    for row in read_rows(base):
        if row["reward"] > CUTOFF:
            row["difficulty"] = "medium"
            row["evaluation_raw"] = ""
            kept.append(row)
    write_rows(folder / "filtered.jsonl", kept)


def dedupe(folder: Path) -> None:
    """Step `dedupe`."""
    best: dict[str, Row] = {}
    for row in read_rows(folder / "filtered.jsonl"):
        name = row["info"]["module_name"]
        if name not in best or row["reward"] > best[name]["reward"]:
            best[name] = row
    write_rows(folder / "unique.jsonl", best.values())


def analyze(folder: Path, tokenizer_folder: Path, limit: int | None) -> None:
    """Step `analyze`: `seconds` of the loop alone, without what is loaded before, and the tokens of each example."""
    from transformers import AutoTokenizer  # noqa: PLC0415  # the other steps do not wait for it

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_folder)
    rows = list(islice(read_rows(folder / "filtered.jsonl"), limit))
    tokens = {}
    start = time.perf_counter()
    for row in rows:
        message = row["completion"][0]
        said = {"role": message["role"], "content": message["content"], "reasoning_content": message["reasoning"]}
        tokens[row["example_id"]] = len(
            tokenizer.apply_chat_template([*row["prompt"], said], tokenize=True)["input_ids"]
        )
    seconds = time.perf_counter() - start
    (folder / "analyze.json").write_text(json.dumps({"seconds": seconds, "tokens": tokens}), encoding="utf-8")


def remove_reasoning(folder: Path) -> None:
    """Step `remove_reasoning`."""
    for name in ("filtered", "unique"):
        rows = []
        for row in read_rows(folder / f"{name}.jsonl"):
            answer = _ANSWER.search(row["completion"][0]["content"])
            if answer:
                row["completion"] = [{"role": "assistant", "content": answer[0]}]
                rows.append(row)
        write_rows(folder / f"{name}-no-reasoning.jsonl", rows)


def split(folder: Path) -> None:
    """Step `split`."""
    for name in SETS:
        rows = list(read_rows(folder / f"{name}.jsonl"))
        random.Random(0).shuffle(rows)
        n_train = round(len(rows) * TRAIN_SHARE)
        write_rows(folder / f"{name}-train.jsonl", rows[:n_train])
        write_rows(folder / f"{name}-validation.jsonl", rows[n_train:])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.reference_steps", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", type=Path, help="filter: the rollouts")
    parser.add_argument("--tokenizer", type=Path, help="analyze: the tokenizer folder")
    parser.add_argument("--limit", type=int, help="analyze: tokenize the first rows only")
    flags = parser.parse_args()
    flags.folder.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[], None]] = {
        "filter": lambda: filter_rows(flags.base, flags.folder),
        "dedupe": lambda: dedupe(flags.folder),
        "analyze": lambda: analyze(flags.folder, flags.tokenizer, flags.limit),
        "remove_reasoning": lambda: remove_reasoning(flags.folder),
        "split": lambda: split(flags.folder),
    }
    steps[flags.step]()


if __name__ == "__main__":
    main()
