"""What runs when a module is called: the functions that can be reached from its `forward`."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Reached:
    """A function that a call can reach, and the class whose method it is."""

    function: ast.FunctionDef
    owner: ast.ClassDef | None


def is_kernel(function: ast.FunctionDef) -> bool:
    """Whether a decorator is `triton.jit` or `jit`, with or without arguments; `torch.jit.script` is another thing."""
    called = [node.func if isinstance(node, ast.Call) else node for node in function.decorator_list]
    return any(
        (isinstance(node, ast.Name) and node.id == "jit")
        or (isinstance(node, ast.Attribute) and node.attr == "jit" and "triton" in _names(node))
        for node in called
    )


def kernels(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    """The Triton kernels of the code, by name, wherever they are defined."""
    return {node.name: node for node in _statements(tree) if isinstance(node, ast.FunctionDef) and is_kernel(node)}


def functions(tree: ast.Module, entry: ast.ClassDef | ast.FunctionDef) -> list[Reached]:
    """The functions that a call of `entry` can reach by the names they mention, in source order.

    Kernels are left out, and so are constructors: they run once. A class of the code is entered through `forward`
    when a constructor or a reached function mentions it, and through each method that a reached function mentions; a
    class brings the classes of the code that it derives from.
    """
    own = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    found: dict[int, Reached] = {}
    classes: dict[str, ast.ClassDef] = {}
    mentioned = {"forward"}
    waiting: list[Reached] = []

    def enter(target: ast.ClassDef | ast.FunctionDef) -> None:
        if isinstance(target, ast.FunctionDef):
            waiting.append(Reached(target, None))
        elif target.name not in classes:
            classes[target.name] = target
            for base in target.bases:
                if isinstance(base, ast.Name) and isinstance(own.get(base.id), ast.ClassDef):
                    enter(own[base.id])
            for constructor in _methods(target, {"__init__"}):
                for name in _names(constructor) & own.keys():
                    if isinstance(own[name], ast.ClassDef):
                        enter(own[name])

    enter(entry)
    while True:
        waiting += [
            Reached(method, owner) for owner in classes.values() for method in _methods(owner, mentioned - {"__init__"})
        ]
        waiting = [
            reached for reached in waiting if id(reached.function) not in found and not is_kernel(reached.function)
        ]
        if not waiting:
            return sorted(found.values(), key=lambda reached: reached.function.lineno)
        for reached in waiting:
            found[id(reached.function)] = reached
            mentioned |= _names(reached.function)
        for name in mentioned & own.keys():
            enter(own[name])


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements at any depth; expressions, the bulk of a tree, hold none and are not entered."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, block, ()):
            if isinstance(child, ast.stmt):
                yield child
            yield from _statements(child)


def _methods(owner: ast.ClassDef, names: set[str]) -> Iterator[ast.FunctionDef]:
    return (node for node in owner.body if isinstance(node, ast.FunctionDef) and node.name in names)


def _names(tree: ast.AST) -> set[str]:
    nodes = list(ast.walk(tree))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }
