"""The source of kernels, rewritten so that Python means in the interpreter what it means to Triton's compiler.

Triton 3.7's own rewriting (`FunctionRewriter` of `triton/runtime/interpreter.py`) turns what is assigned into tensors
and lets Python do the rest: `and` of two blocks is one of them, a loop variable an int. The rules of the compiler are
those of `triton/compiler/code_generator.py`.
"""

import ast
import builtins
from collections.abc import Callable
from typing import Any

import triton.language as tl
from triton.runtime import interpreter
from triton.runtime.interpreter import ASTTransformer, FunctionRewriter

from stages.shared.code.syntax import last_name

_assign = ASTTransformer.visit_Assign
_HELPERS = "__of_the_interpreter__"
"""The one name, besides Triton's own, that a kernel's module gets."""


def install() -> None:
    """Put the rewriting in place of Triton's. Once for a process."""
    for node, visit in _VISITS.items():
        setattr(ASTTransformer, f"visit_{node.__name__}", visit)
    FunctionRewriter._compile_and_exec = _compile_and_exec  # noqa: SLF001 - there is no public place


class _Helpers:
    """What rewritten code calls."""

    @staticmethod
    def both(*values: Callable[[], Any]) -> Any:
        """`and`: elementwise, except for constants, which end it early."""
        return _joined("logical_and", values, ends=False)

    @staticmethod
    def either(*values: Callable[[], Any]) -> Any:
        """`or`."""
        return _joined("logical_or", values, ends=True)

    @staticmethod
    def negated(value: Any) -> Any:
        """`not`."""
        return value.__not__() if isinstance(value, tl.tensor) else not value

    @staticmethod
    def called(function: Any, *values: Any, **named: Any) -> Any:
        """`min` and `max`, where the names are Python's."""
        combine = {builtins.min: tl.minimum, builtins.max: tl.maximum}.get(function)
        if combine is None or not any(isinstance(value, tl.tensor) for value in values):
            return function(*values, **named)
        found, *others = values
        for other in others:
            found = combine(found, other)
        return found


def _joined(method: str, values: tuple[Callable[[], Any], ...], *, ends: bool) -> Any:
    joined, value = None, None
    for thunk in values:
        value = thunk()
        if isinstance(value, tl.tensor):
            joined = value if joined is None else getattr(joined, method)(value)
        elif bool(value) is ends:
            return value
    return value if joined is None else joined


def _visit_assign(self: ast.NodeTransformer, node: ast.Assign) -> ast.AST:
    """Triton's own does not look at the value."""
    node.value = self.visit(node.value)
    found: ast.AST = _assign(self, node)
    return found


def _visit_assert(_: ast.NodeTransformer, __: ast.Assert) -> ast.AST:
    """A kernel checks nothing, unless it is compiled for debugging."""
    return ast.Pass()


def _visit_bool_op(self: ast.NodeTransformer, node: ast.BoolOp) -> ast.AST:
    self.generic_visit(node)
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    thunks: list[ast.expr] = [ast.Lambda(nothing, value) for value in node.values]
    return _call("both" if isinstance(node.op, ast.And) else "either", thunks)


def _visit_unary_op(self: ast.NodeTransformer, node: ast.UnaryOp) -> ast.AST:
    self.generic_visit(node)
    return _call("negated", [node.operand]) if isinstance(node.op, ast.Not) else node


def _visit_call(self: ast.NodeTransformer, node: ast.Call) -> ast.AST:
    self.generic_visit(node)
    if isinstance(node.func, ast.Name) and node.func.id in {"min", "max"}:
        return _call("called", [node.func, *node.args], node.keywords)
    return node


def _visit_for(self: ast.NodeTransformer, node: ast.For) -> ast.AST:
    """The variable of a loop over a range is a tensor."""
    self.generic_visit(node)
    name = last_name(node.iter.func) if isinstance(node.iter, ast.Call) else ""
    if name == "range" and isinstance(node.target, ast.Name):
        target = node.target.id
        node.body = [*ast.parse(f"{target} = interpreter_semantic.to_tensor({target}, False)").body, *node.body]
    return node


_VISITS: dict[type[ast.AST], Callable[..., ast.AST]] = {
    ast.Assign: _visit_assign,
    ast.Assert: _visit_assert,
    ast.BoolOp: _visit_bool_op,
    ast.UnaryOp: _visit_unary_op,
    ast.Call: _visit_call,
    ast.For: _visit_for,
}


def _call(helper: str, arguments: list[ast.expr], keywords: list[ast.keyword] | None = None) -> ast.Call:
    function = ast.Attribute(ast.Name(_HELPERS, ast.Load()), helper, ast.Load())
    return ast.Call(function, arguments, keywords or [])


def _compile_and_exec(self: FunctionRewriter, tree: ast.Module) -> Any:
    """Triton's own gives the kernel's module all names of the interpreter's, such as `math` and `np`."""
    scope = self.fn.__globals__
    scope |= {_HELPERS: _Helpers, "interpreter_semantic": interpreter.interpreter_semantic}
    local = dict(self.kwargs)
    exec(compile(tree, self.filename, "exec"), scope, local)  # noqa: S102 - this is what it is for
    return local[self.fn.__name__]
