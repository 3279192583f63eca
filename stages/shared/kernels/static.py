"""What can be said of an answer without running it."""

import ast
from collections.abc import Collection
from dataclasses import dataclass, field

from stages.shared.code import reachable
from stages.shared.code.syntax import last_name, parse
from stages.shared.code.torch_ops import torch_ops
from stages.shared.kernels import cheats
from stages.shared.kernels.failures import explain
from stages.shared.kernels.in_place import modified_inputs

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
        return Inspection("wrong", flags=["no_entry_point"], detail=explain("no_answer", "the completion holds none"))
    tree = parse(answer)
    if tree is None:
        return Inspection("wrong", flags=["unparsed"], detail=explain("unparsed", "the answer is not valid Python"))
    kernels = reachable.kernels(tree)
    names = entry_names(entry_point, module_name)
    entry = _entry(tree, [*names, WRAPPER])
    if entry is None:
        detail = explain("no_entry_point", f"expected a class {' or '.join(names)}, or a function {WRAPPER}")
        return Inspection("wrong", bool(kernels), [*([] if kernels else ["no_kernel"]), "no_entry_point"], [], detail)
    reached = reachable.functions(tree, entry)
    operations = torch_ops(reached)
    signals = {
        "no_kernel": not kernels,
        "no_launch": bool(kernels) and not any(_launches(item.function, kernels) for item in reached),
        "torch_fallback": bool(operations),
        "exception_fallback": any(_has_fallback(item.function) for item in reached),
        "in_place_input": bool(modified_inputs(entry.name, reached, kernels)),
        "training_only_kernel": _in_training_only(entry, reached, kernels),
        "patched_checker": cheats.replaces_or_reads_judge(tree),
        "forged_exit": cheats.ends_process(tree),
    }
    return Inspection("unknown", bool(kernels), [flag for flag, seen in signals.items() if seen], operations)


def entry_names(entry_point: str | None, module_name: str) -> list[str]:
    """What the class of an answer may be called, best first."""
    return list(dict.fromkeys(f"{name}New" for name in (entry_point, module_name, "Model") if name))


def _entry(tree: ast.Module, names: list[str]) -> ast.ClassDef | ast.FunctionDef | None:
    """The class or function of the first name; `ANew = B` names B."""
    own = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in own:
            own |= {target.id: own[node.value.id] for target in node.targets if isinstance(target, ast.Name)}
    return next((own[name] for name in names if name in own), None)


def _launches(function: ast.FunctionDef, kernels: Collection[str]) -> bool:
    return any(_is_launch(node, kernels) for node in ast.walk(function))


def _is_launch(node: ast.AST, kernels: Collection[str]) -> bool:
    """Whether a node is a call of the form `kernel[grid](...)` or `kernel.run(...)`."""
    called = node.func if isinstance(node, ast.Call) else None
    return (isinstance(called, ast.Subscript) and not _is_self_layer(called.value)) or (
        isinstance(called, ast.Attribute) and called.attr == "run" and _is_kernel_name(called.value, kernels)
    )


def _in_training_only(
    entry: ast.ClassDef | ast.FunctionDef, reached: list[reachable.Reached], kernels: Collection[str]
) -> bool:
    """Whether `forward` launches, itself or by a function that it calls, in training mode alone."""
    launchers = {item.function.name for item in reached if _launches(item.function, kernels)}
    forward = next((item.function for item in reached if item.owner is entry and item.function.name == "forward"), None)
    return forward is not None and cheats.launches_in_training_only(
        forward,
        lambda node: _is_launch(node, kernels) or (isinstance(node, ast.Call) and last_name(node.func) in launchers),
    )


def _is_kernel_name(node: ast.expr, kernels: Collection[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in kernels


def _is_self_layer(node: ast.expr) -> bool:
    # self.layers[0](x) calls a layer; self.kernel[grid](x) does not occur.
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _has_fallback(function: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Try) and node.handlers for node in ast.walk(function))
