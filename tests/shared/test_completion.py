from typing import Any

import pytest

from stages.shared.completion import answer_only, find_answer, published_message, split_reasoning

CODE = "class ScaleNew(nn.Module):\n    pass"


def text(content: str) -> dict[str, str]:
    """A part of a content."""
    return {"type": "text", "text": content}


def message(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


@pytest.mark.parametrize(
    ("given", "content", "reasoning"),
    [
        (message("Done."), "Done.", None),
        (message("Done.", reasoning="One grid."), "Done.", "One grid."),
        (message("Done.", reasoning_content=" One grid.\n"), "Done.", "One grid."),
        (message("Done.", reasoning="One grid.", reasoning_content="One grid."), "Done.", "One grid."),
        (message("Done.", reasoning="First.", reasoning_content="Second."), "Done.", "First.\n\nSecond."),
        (message("Done.", reasoning="", reasoning_content=None), "Done.", None),
        (message("Done.", reasoning_details=[{"text": "One "}, {"summary": "grid."}, "x"]), "Done.", "One grid."),
        (message("Done.", reasoning="Same.", reasoning_details=[{"text": "Other."}]), "Done.", "Same."),
        (message("Done.", reasoning_details=[{"type": "reasoning.encrypted", "data": "aGk="}]), "Done.", None),
        (message("<think>One grid.</think>\n\nDone."), "Done.", "One grid."),
        (message("\n<think>\nOne grid.\n</think>Done."), "Done.", "One grid."),
        (message("One grid.\n</think>\n\nDone."), "Done.", "One grid."),
        (message("<think>\nOne grid, and then"), "", "One grid, and then"),
        (message("<think></think>Done."), "Done.", None),
        (message("</think>Done."), "Done.", None),
        (message("<think>One grid.</think>Done.", reasoning="One grid."), "Done.", "One grid."),
        (message("<think>Inline.</think>Done.", reasoning="Field."), "Done.", "Field.\n\nInline."),
        (message("Done. The tag <think> is no block."), "Done. The tag <think> is no block.", None),
        (message(None, reasoning="Out of tokens."), "", "Out of tokens."),
        (message("Done.", reasoning={"text": "One grid."}), "Done.", "One grid."),
        (
            message("Done.", reasoning={"type": "x", "content": [{"text": "One "}, {"text": "grid."}]}),
            "Done.",
            "One grid.",
        ),
        (message("Done.", reasoning_details={"summary": "One grid."}), "Done.", "One grid."),
        (message([text("Do"), text("ne.")]), "Done.", None),
        (message([{"type": "thinking", "thinking": "One grid."}, text("Done.")]), "Done.", "One grid."),
        (message([{"type": "thinking", "thinking": [text("One grid.")]}, text("Done.")]), "Done.", "One grid."),
        (message([{"type": "reasoning", "summary": [text("One grid.")]}, text("Done.")]), "Done.", "One grid."),
        (message([text("<think>One grid.</think>Done."), {"type": ["odd"]}, None, 3]), "Done.", "One grid."),
    ],
)
def test_reasoning_is_separated_from_content(given: dict[str, Any], content: str, reasoning: str | None) -> None:
    assert split_reasoning(given) == (content, reasoning)


@pytest.mark.parametrize(
    ("content", "answer", "answer_format"),
    [
        (f"Fused.\n\n<answer>\n{CODE}\n</answer>\n", CODE, "answer_tag"),
        (f"Fused.\n\nBEGIN_PYTHON\n{CODE}\nEND_PYTHON", CODE, "begin_python"),
        (f"Fused.\n\n```python\n{CODE}\n```", CODE, "fence"),
        (f"```\n{CODE}\n```", CODE, "fence"),
        (f"<answer>\n```python\n{CODE}\n```\n</answer>", CODE, "answer_tag"),
        (f"BEGIN_PYTHON\n```py\n{CODE}\n```\nEND_PYTHON", CODE, "begin_python"),
        (f"<answer>pass</answer> Better: <answer>\n{CODE}\n</answer>", CODE, "answer_tag"),
        (f"<answer>\n{CODE}\n</answer> Not <answer> \n</answer>", CODE, "answer_tag"),
        (f"BEGIN_PYTHON\npass\nEND_PYTHON\n<answer>\n{CODE}\n</answer>", CODE, "answer_tag"),
        (f"```python\n{CODE}\n```\nUse it so:\n```python\nScaleNew()(x)\n```", CODE, "fence"),
        ("```python\nx = 1\n```\n```python\ny = 2\n```", "y = 2", "fence"),
        (f"<answer>\n    {CODE}\n</answer>", f"    {CODE}", "answer_tag"),
        (f"I write <answer> first.\n<answer>\n{CODE}\n</answer>", CODE, "answer_tag"),
        (f"It stands after BEGIN_PYTHON.\nBEGIN_PYTHON\n{CODE}\nEND_PYTHON", CODE, "begin_python"),
        (f"<answer>\n{CODE}", None, None),
        ("I give up.", None, None),
        ("", None, None),
    ],
)
def test_the_answer_is_the_last_block_of_the_most_explicit_format(
    content: str, answer: str | None, answer_format: str | None
) -> None:
    assert find_answer(content) == (answer, answer_format)


@pytest.mark.parametrize("key", ["reasoning", "reasoning_content", "inline"])
def test_a_published_message_is_read_back_as_it_was(key: str) -> None:
    """What is published under any key is a source that this pipeline reads itself."""
    assert split_reasoning(published_message("Done.", "One grid.", key)) == ("Done.", "One grid.")
    assert published_message("Done.", None, key) == {"role": "assistant", "content": "Done."}


def test_a_row_without_reasoning_publishes_its_answer_alone() -> None:
    assert answer_only(CODE) == f"<answer>\n{CODE}\n</answer>"
    assert find_answer(answer_only(CODE)) == (CODE, "answer_tag")
