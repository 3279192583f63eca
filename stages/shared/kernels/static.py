"""What can be said of an answer without running it."""

import ast
from collections.abc import Collection
from dataclasses import dataclass, field

from stages.shared import reachable
from stages.shared.kernels.in_place import modified_inputs
from stages.shared.syntax import parse
from stages.shared.torch_ops import torch_ops

WRAPPER = "triton_kernel_wrapper"
"""Name of a plain function that may stand for the module: it takes the arguments of `forward`."""


@dataclass(frozen=True)
class Inspection:
    """The signals of one answer."""

    verdict: str
    """`wrong` where the code cannot be right (it does not parse, or nothing can be called), else `unknown`."""
    has_kernel: bool | None = None
    flags: list[str] = field(default_factory=list)
    torch_ops: list[str] = field(default_factory=list)
    detail: str | None = None


def inspect_answer(answer: str | None, entry_point: str | None, module_name: str) -> Inspection:
    """Read the syntax tree of an answer; nothing is executed.

    Args:
        answer: the code, None where the completion holds none.
        entry_point: class of the module that the answer replaces.
        module_name: used as the class name where the module's code shows none.
    """
    if answer is None:
        return Inspection("wrong", flags=["no_entry_point"], detail="the completion holds no answer")
    tree = parse(answer)
    if tree is None:
        return Inspection("wrong", flags=["unparsed"], detail="the answer does not parse")
    kernels = reachable.kernels(tree)
    names = list(dict.fromkeys(f"{name}New" for name in (entry_point, module_name, "Model") if name))
    entry = _entry(tree, [*names, WRAPPER])
    if entry is None:
        detail = f"expected a class {' or '.join(names)}, or a function {WRAPPER}"
        return Inspection("wrong", bool(kernels), [*([] if kernels else ["no_kernel"]), "no_entry_point"], [], detail)
    reached = reachable.functions(tree, entry)
    operations = torch_ops(reached)
    signals = {
        "no_kernel": not kernels,
        "no_launch": bool(kernels) and not any(_launches(item.function, kernels) for item in reached),
        "torch_fallback": bool(operations),
        "exception_fallback": any(_has_fallback(item.function) for item in reached),
        "in_place_input": bool(modified_inputs(entry.name, reached, kernels)),
    }
    return Inspection("unknown", bool(kernels), [flag for flag, seen in signals.items() if seen], operations)


def _entry(tree: ast.Module, names: list[str]) -> ast.ClassDef | ast.FunctionDef | None:
    own = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    return next((own[name] for name in names if name in own), None)


def _launches(function: ast.FunctionDef, kernels: Collection[str]) -> bool:
    """Whether the function has a call of the form `kernel[grid](...)` or `kernel.run(...)`."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return any(
        (isinstance(called, ast.Subscript) and not _is_self_layer(called.value))
        or (isinstance(called, ast.Attribute) and called.attr == "run" and _is_kernel_name(called.value, kernels))
        for called in calls
    )


def _is_kernel_name(node: ast.expr, kernels: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in kernels


def _is_self_layer(node: ast.expr) -> bool:
    # self.layers[0](x) calls a layer; self.kernel[grid](x) does not occur.
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _has_fallback(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Try) and node.handlers for node in ast.walk(function))
