"""What is wrong with a task specification that a model wrote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stages.shared.specs.recorded_inputs import RecordedInput

_SHORT_LINE = 25
_DTYPES = {
    "float32": ("float32", "fp32", "single precision", "float tensor", "torch.float"),
    "float16": ("float16", "fp16", "half"),
    "float64": ("float64", "fp64", "double"),
    "bfloat16": ("bfloat16", "bf16"),
    "int64": ("int64", "long"),
    "int32": ("int32",),
    "bool": ("bool",),
}
_TEST_TALK = re.compile(r"get_inputs|get_init_inputs|unit tests?|test cases?|allclose", re.IGNORECASE)


@dataclass(frozen=True)
class SpecLinter:
    """The facts about a module that its specification is checked against."""

    entry_point: str
    python_code: str
    inputs: Sequence[RecordedInput]

    def complaint(self, text: str) -> str | None:
        """The first thing that is wrong with a specification, in words that a model can act on; None for nothing."""
        name = f"{self.entry_point}New"
        if not re.search(rf"\b{re.escape(name)}\b", text):
            return f"it does not name the class `{name}` to implement"
        if "triton" not in text.lower():
            return "it does not say that the work must be done in Triton kernels"
        lowered = text.lower()
        for number, item in enumerate(self.inputs, start=1):
            if item.shape and not _has_shape(text, item.shape):
                return f"it does not state the shape {list(item.shape)} of input {number}"
            if item.dtype and not any(word in lowered for word in _DTYPES.get(item.dtype, (item.dtype,))):
                return f"it does not state the dtype {item.dtype} of input {number}"
        if talk := _TEST_TALK.search(text):
            return f"it talks about tests: {talk[0]!r}"
        if line := self._quoted_line(text):
            return f"it quotes a line of the original code: {line!r}"
        return None

    def _quoted_line(self, text: str) -> str | None:
        """A line of the code that stands in the text; signatures and imports, which a specification needs, may."""
        squeezed = "".join(text.split())
        for line in self.python_code.splitlines():
            code = line.split("#")[0].strip()
            allowed = code.startswith(("import ", "from ", "class ", "def ", '"""', "return [", "@"))
            if len(code) >= _SHORT_LINE and not allowed and "super(" not in code and "".join(code.split()) in squeezed:
                return code
        return None


def _has_shape(text: str, shape: tuple[int, ...]) -> bool:
    """Whether the sizes stand in the text in order, separated as shapes are written: `[4, 4]`, `(4,4)`, `4x4`."""
    sizes = r"\s*(?:,|x|\u00d7|\*|by|\\times)\s*".join(rf"(?<!\d){size}(?!\d)" for size in shape)
    return re.search(sizes, text) is not None
