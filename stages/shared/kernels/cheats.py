"""Cheats that show in the syntax tree: replacing or reading the judge, ending the process, training-only kernels."""

import ast
from collections.abc import Callable, Iterator

from stages.shared.code.syntax import root_name

_HIDDEN = {"__globals__", "__closure__", "__code__", "f_back", "f_globals", "f_locals", "gi_frame", "tb_frame"}
_HIDDEN |= {"_pop_torch_function_stack", "_pop_torch_dispatch_stack", "_pop_mode", "_disable_current_modes"}
"""Attributes that lead to the judge's own names, or switch off what it watches with."""
_EXITS = {"os._exit", "os.abort", "os.kill", "os.killpg", "sys.exit", "exit", "quit"}
_LOOKS = {"sys.modules", "sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers"}
_LOOKS |= {"gc.get_referents", "inspect.stack", "inspect.currentframe", "inspect.getouterframes"}
_LOOKS |= {f"os.{name}" for name in ("write", "writev", "pwrite", "pwritev", "sendfile", "fdopen", "dup", "dup2")}
"""What reads the judge, or reaches the channel over which results are told."""
_SETTINGS = ("torch.backends.", "torch._dynamo.config.", "torch._inductor.config.", "triton.language.", "triton.knobs.")
"""What a program may set in other modules: switches, and functions that the language of kernels lacks."""
_OWN_MODULE = "sys.modules[__name__]"


def replaces_or_reads_judge(tree: ast.Module) -> bool:
    """Whether the code assigns to names of imported modules, or looks at frames, objects and modules of others."""
    modules = _imported(tree)
    allowed = [node.value for node in ast.walk(tree) if isinstance(node, ast.Subscript) and _text(node) == _OWN_MODULE]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and node not in allowed:
            full = _full_name(node, modules)
            if full in _LOOKS or full.split(".")[0] in {"ctypes", "stages"} or _is_replaced(node, full, modules):
                return True
            if isinstance(node, ast.Attribute) and node.attr in _HIDDEN:
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"}:
            full = _full_name(node.args[0], modules) if node.args else ""
            if full.split(".")[0] in modules.values() and not f"{full}.".startswith(_SETTINGS):
                return True
    return any(name.split(".")[0] == "stages" for name in modules.values())


def _is_replaced(node: ast.Attribute | ast.Name, full: str, modules: dict[str, str]) -> bool:
    """Whether an attribute of an imported module is assigned to, other than a switch."""
    assigned = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del)
    return assigned and root_name(node) in modules and not full.startswith(_SETTINGS)


def ends_process(tree: ast.Module) -> bool:
    """Whether the code ends its process, other than under `if __name__ == "__main__"`."""
    modules = _imported(tree)
    nodes = (node for statement in tree.body if not _is_main(statement) for node in ast.walk(statement))
    return any(
        (isinstance(node, ast.Call) and _full_name(node.func, modules) in _EXITS)
        or (isinstance(node, ast.Raise) and node.exc is not None and "SystemExit" in _text(node.exc))
        for node in nodes
    )


def launches_in_training_only(function: ast.FunctionDef, launches: Callable[[ast.AST], bool]) -> bool:
    """Whether a function launches kernels, and does so where `self.training` is true and nowhere else.

    Args:
        function: such as `forward`.
        launches: whether a node of it is a launch.
    """
    guarded = {id(node) for node in _guarded(function.body)}
    found = [node for node in ast.walk(function) if launches(node)]
    return bool(found) and all(id(node) in guarded for node in found)


def _guarded(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What runs in training mode alone."""
    for place, statement in enumerate(body):
        if isinstance(statement, ast.If):
            test, negated = statement.test, False
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                test, negated = test.operand, True
            if isinstance(test, ast.Attribute) and test.attr == "training":
                inside = statement.orelse if negated else statement.body
                ends = isinstance(statement.body[-1], ast.Return | ast.Raise)
                behind = body[place + 1 :] if negated and ends else []
                for guarded in (*inside, *behind):
                    yield from ast.walk(guarded)
            yield from _guarded(statement.body)
            yield from _guarded(statement.orelse)


def _imported(tree: ast.Module) -> dict[str, str]:
    """The module or the name of one that stands behind each imported name."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _full_name(node: ast.AST, modules: dict[str, str]) -> str:
    """`triton.language.load` for `tl.load`; empty for what is no dotted name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([modules.get(node.id, node.id), *reversed(parts)])


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in _text(statement.test)


def _text(node: ast.AST) -> str:
    """A dotted, subscripted or compared name as it is written, without anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_text(node.value)}.{node.attr}"
    if isinstance(node, ast.Subscript):
        return f"{_text(node.value)}[{_text(node.slice)}]"
    if isinstance(node, ast.Compare):
        return " ".join(_text(part) for part in (node.left, *node.comparators))
    return _text(node.func) if isinstance(node, ast.Call) else ""
