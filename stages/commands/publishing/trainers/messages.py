"""Write each split of this dataset as a file of conversations beside this script, for Axolotl and LLaMA-Factory.

A message has `role`, `content` and reasoning as published, `full_text` (the reasoning in <think> before the content)
and `train` (learn it: the completion, not the turns before it).
"""

import json
from pathlib import Path
from typing import Any

from datasets import load_dataset

HERE = Path(__file__).resolve().parent


def message(published: dict[str, str | None], *, train: bool) -> dict[str, Any]:
    """One turn in the keys that the trainers read."""
    kept = {key: value for key, value in published.items() if value is not None}
    thought = "".join(value for key, value in kept.items() if key not in {"role", "content"})
    said = f"<think>\n{thought}\n</think>\n\n{kept['content']}" if thought else kept["content"]
    return {**kept, "full_text": said, "train": train}


def main() -> None:
    """Write `train.jsonl`, and `validation.jsonl` where there is such a split."""
    for name, rows in load_dataset(str(HERE.parent)).items():
        with (HERE / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in rows:
                turns = [message(turn, train=False) for turn in row["prompt"]]
                turns += [message(turn, train=True) for turn in row["completion"]]
                file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
