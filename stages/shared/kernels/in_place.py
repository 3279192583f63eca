"""Which of its inputs a function writes to, read from the syntax tree."""

import ast
import re
from collections.abc import Iterator

from stages.shared.code.reachable import Reached
from stages.shared.code.syntax import last_name, root_name

# Methods whose result may share memory with the tensor they are called on.
_VIEWS = frozenset(
    [
        "contiguous",
        "view",
        "reshape",
        "flatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "t",
        "movedim",
        "expand",
        "narrow",
        "detach",
        "to",
        "float",
        "half",
        "cuda",
        "view_as",
    ]
)
_WRITES = frozenset(
    {
        "store",
        "atomic_add",
        "atomic_max",
        "atomic_min",
        "atomic_xchg",
        "atomic_cas",
        "atomic_and",
        "atomic_or",
        "atomic_xor",
    }
)
Summaries = dict[str, set[str]]


def modified_inputs(entry: str, reached: list[Reached], kernels: dict[str, ast.FunctionDef]) -> set[str]:
    """Names of the arguments of the entry point's `forward` (or of the function `entry`) that are written to.

    Aliases are followed through views, helper functions, `autograd.Function.apply` and kernel launches. Branches are
    read in source order, so a result is a signal and no proof.
    """
    summaries: Summaries = {name: _stored(kernel) for name, kernel in kernels.items()}
    functions = {
        f"{item.owner.name}.{item.function.name}" if item.owner else item.function.name: item for item in reached
    }
    parameters = {name: _parameters(kernel) for name, kernel in kernels.items()}
    parameters |= {name: _parameters(item.function, method=item.owner is not None) for name, item in functions.items()}
    changed = True
    while changed:
        changed = False
        for name, item in functions.items():
            written = _written(item, parameters[name], summaries, parameters)
            changed |= written != summaries.get(name, set())
            summaries[name] = written
    return summaries.get(f"{entry}.forward", set()) | summaries.get(entry, set())


def _written(item: Reached, own: list[str], summaries: Summaries, parameters: dict[str, list[str]]) -> set[str]:
    alias: dict[str, str] = {name: name for name in own}
    found: set[str | None] = set()
    for node in _in_order(item.function.body):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    _bind(alias, target.id, _aliased(node.value, alias))
                elif isinstance(target, ast.Subscript):
                    found.add(_aliased(target.value, alias))
        elif isinstance(node, ast.AugAssign):
            found.add(_aliased(node.target.value if isinstance(node.target, ast.Subscript) else node.target, alias))
        elif isinstance(node, ast.Call):
            found.update(_written_by_call(node, item.owner, alias, summaries, parameters))
    return {name for name in found if name}


def _written_by_call(
    call: ast.Call,
    owner: ast.ClassDef | None,
    alias: dict[str, str],
    summaries: Summaries,
    parameters: dict[str, list[str]],
) -> Iterator[str | None]:
    name = last_name(call.func)
    # requires_grad_ changes no value.
    if isinstance(call.func, ast.Attribute) and re.fullmatch(r"(?!requires_grad_).*[^_]_", name):
        yield _aliased(call.func.value, alias)
        yield from (_aliased(argument, alias) for argument in call.args[:1] if root_name(call.func) == "torch")
    for keyword in call.keywords:
        if keyword.arg == "out":
            yield _aliased(keyword.value, alias)
        if (
            keyword.arg == "inplace"
            and isinstance(keyword.value, ast.Constant)
            and keyword.value.value is True
            and call.args
        ):
            yield _aliased(call.args[0], alias)
    callee, skip = _callee(call.func, owner)
    names = parameters.get(callee, [])[skip:]
    given = [*zip(names, call.args, strict=False), *((keyword.arg, keyword.value) for keyword in call.keywords)]
    yield from (_aliased(value, alias) for parameter, value in given if parameter in summaries.get(callee, set()))


def _callee(function: ast.expr, owner: ast.ClassDef | None) -> tuple[str, int]:
    """The summary that a call uses, and how many of its leading parameters the caller does not pass."""
    if isinstance(function, ast.Subscript):
        return last_name(function.value), 0
    if isinstance(function, ast.Attribute) and function.attr == "apply":
        return f"{last_name(function.value)}.forward", 1
    if (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "self"
        and owner
    ):
        return f"{owner.name}.{function.attr}", 0
    return (last_name(function), 0) if isinstance(function, ast.Name) else ("", 0)


def _stored(kernel: ast.FunctionDef) -> set[str]:
    """The pointer parameters of a kernel that it stores to, also through pointers computed from them."""
    derived: dict[str, set[str]] = {name: {name} for name in _parameters(kernel)}

    def sources(node: ast.AST) -> set[str]:
        if isinstance(node, ast.Name):
            return derived.get(node.id, set())
        if isinstance(node, ast.Call) and last_name(node.func) == "load":
            return set()
        return set().union(*(sources(child) for child in ast.iter_child_nodes(node)))

    found: set[str] = set()
    for node in _in_order(kernel.body):
        if isinstance(node, ast.Assign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    kept = derived.get(target.id, set()) if isinstance(node, ast.AugAssign) else set()
                    derived[target.id] = kept | sources(node.value)
        elif isinstance(node, ast.Call) and last_name(node.func) in _WRITES:
            pointers = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "pointer")]
            found = found.union(*map(sources, pointers))
    return found


def _aliased(node: ast.expr, alias: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return alias.get(node.id)
    if isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr in {"data", "T", "mT"}):
        return _aliased(node.value, alias)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS:
        return _aliased(node.func.value, alias)
    return None


def _bind(alias: dict[str, str], name: str, source: str | None) -> None:
    if source is None:
        alias.pop(name, None)
    else:
        alias[name] = source


def _parameters(function: ast.FunctionDef, *, method: bool = False) -> list[str]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return names[1:] if method and names[:1] == ["self"] else names


def _in_order(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements and expressions as they run: the value of an assignment before the assignment."""
    for statement in body:
        yield from _visit(statement)


def _visit(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield from _visit(child)
    yield node
