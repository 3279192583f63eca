"""Say in words what Python code does, so that code with another meaning gets other words.

The words follow the syntax tree node by node, parentheses kept, constants and names spelled out. A construct without
words of its own is named by its node type and described part by part.
"""

import ast
import json
from collections.abc import Iterator

from stages.shared.code.code_hash import f_string_parts

OPERATOR_WORDS: dict[type[ast.operator], str] = {
    ast.Add: "plus",
    ast.Sub: "minus",
    ast.Mult: "times",
    ast.Div: "divided by",
    ast.MatMult: "matrix-multiplied by",
    ast.FloorDiv: "integer-divided by",
    ast.Mod: "modulo",
    ast.Pow: "to the power of",
    ast.BitAnd: "and (bitwise)",
    ast.BitOr: "or (bitwise)",
    ast.BitXor: "xor (bitwise)",
    ast.LShift: "shifted left by",
    ast.RShift: "shifted right by",
}
_COMPARE = {
    ast.Eq: "equals",
    ast.NotEq: "does not equal",
    ast.Lt: "is less than",
    ast.LtE: "is at most",
    ast.In: "is in",
    ast.Gt: "is greater than",
    ast.GtE: "is at least",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.NotIn: "is not in",
}
_UNARY = {ast.USub: "minus", ast.Not: "not", ast.Invert: "the complement of", ast.UAdd: "plus"}
_LONGEST_DECIMAL = 256
"""Bits of the longest integer that is written out."""
_LIBRARIES = frozenset({"torch", "nn", "F", "functional", "np", "numpy", "math", "init", "special", "linalg", "fft"})


def steps(body: list[ast.stmt], depth: int = 0) -> Iterator[str]:
    """A list item for each statement, nested blocks indented; docstrings are left out."""
    for statement in body:
        if isinstance(statement, ast.Expr) and (
            isinstance(statement.value, ast.Constant) or _is_super_init(statement.value)
        ):
            continue
        blocks = _blocks(statement)
        yield f"{'  ' * depth}- {_statement(statement)}{':' if blocks else '.'}"
        for label, inner in blocks:
            if label:
                yield f"{'  ' * depth}- {label}:"
            yield from steps(inner, depth + 1)


def phrase(node: ast.expr | None) -> str:
    """An expression in words."""
    match node:
        case None:
            return "nothing"
        case ast.Name(id=name):
            return f"`{name}`"
        case ast.Constant(value=value):
            return literal(value)
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"its `{name}`"
        case ast.Attribute() if path := _library_path(node):
            return path
        case ast.Attribute(value=value, attr=name):
            return f"the {name} of {phrase(value)}"
        case ast.BinOp(left=left, op=operator, right=right):
            return f"({phrase(left)} {OPERATOR_WORDS[type(operator)]} {phrase(right)})"
        case ast.BoolOp(op=operator, values=values):
            return f"({(' and ' if isinstance(operator, ast.And) else ' or ').join(map(phrase, values))})"
        case ast.UnaryOp(op=operator, operand=operand):
            return f"({_UNARY[type(operator)]} {phrase(operand)})"
        case ast.Compare(left=left, ops=operators, comparators=right):
            tests = " and ".join(
                f"{_COMPARE[type(o)]} {phrase(value)}" for o, value in zip(operators, right, strict=True)
            )
            return f"({phrase(left)} {tests})"
        case ast.IfExp(test=test, body=yes, orelse=no):
            return f"({phrase(yes)} if {phrase(test)}, otherwise {phrase(no)})"
        case ast.Call():
            return _call(node)
        case ast.Subscript(value=value, slice=index):
            return f"{phrase(value)} at [{phrase(index)}]"
        case ast.Slice(lower=lower, upper=upper, step=step):
            bounds = [f"{word} {phrase(end)}" for word, end in (("from", lower), ("to", upper), ("by", step)) if end]
            return " ".join(bounds) or "all"
        case ast.Tuple(elts=items) | ast.List(elts=items):
            kind = "the pair" if isinstance(node, ast.Tuple) and len(items) == 2 else type(node).__name__.lower()
            return f"{kind} ({', '.join(map(phrase, items))})"
        case ast.JoinedStr(values=parts):
            return f"the text ({', '.join(map(_text_part, f_string_parts(parts)))})"
        case ast.Starred(value=value):
            return f"all of {phrase(value)}"
        case _:
            return _generic(node)


def literal(value: object) -> str:
    """A constant as code writes it, the same on every Python.

    `repr` refuses integers of more than 4,300 digits, and escapes the characters that this Python's Unicode lacks.
    """
    if isinstance(value, int) and value.bit_length() > _LONGEST_DECIMAL:
        return hex(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and not value.isascii() else repr(value)


def _library_path(node: ast.expr) -> str | None:
    """`torch.nn.init.normal_` as words, None where the root is not a library."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return " ".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) and node.id in _LIBRARIES else None


def _is_super_init(node: ast.expr) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    owner = called.value if isinstance(called, ast.Attribute) and called.attr == "__init__" else None
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super"


def _text_part(node: ast.AST) -> str:
    if isinstance(node, ast.FormattedValue):
        form = f" formatted as {phrase(node.format_spec)}" if node.format_spec else ""
        shown = f" shown with {chr(node.conversion)}" if node.conversion > 0 else ""
        return f"{phrase(node.value)}{shown}{form}"
    return phrase(node) if isinstance(node, ast.expr) else _generic(node)


def _call(node: ast.Call) -> str:
    given = [phrase(argument) for argument in node.args]
    named = [
        f"{keyword.arg} = {phrase(keyword.value)}" if keyword.arg else f"all named in {phrase(keyword.value)}"
        for keyword in node.keywords
    ]
    match node.func:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return f"its `{name}` applied to ({', '.join(given + named)})"
        case ast.Attribute(attr=name) if _library_path(node.func):
            return f"{name} of ({', '.join(given + named)})"
        case ast.Attribute(value=value, attr=name):
            how = f" with ({', '.join(given + named)})" if given or named else ""
            return f"the {name} of {phrase(value)}{how}"
        case function:
            return f"{phrase(function)} of ({', '.join(given + named)})"


def _statement(node: ast.stmt) -> str:
    match node:
        case ast.Assign(targets=targets, value=value):
            return f"Set {' and '.join(map(phrase, targets))} to {phrase(value)}"
        case ast.AnnAssign(target=target, value=value):
            return f"Set {phrase(target)} to {phrase(value)}"
        case ast.AugAssign(target=target, op=operator, value=value):
            return f"Change {phrase(target)} in place to itself {OPERATOR_WORDS[type(operator)]} {phrase(value)}"
        case ast.Return(value=value):
            return f"Return {phrase(value)}"
        case ast.Expr(value=value):
            return f"Do {phrase(value)}"
        case ast.If(test=test):
            return f"If {phrase(test)}"
        case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
            how = ", awaited" if isinstance(node, ast.AsyncFor) else ""
            return f"For each {phrase(target)} in {phrase(source)}{how}"
        case ast.While(test=test):
            return f"While {phrase(test)}"
        case ast.With(items=items) | ast.AsyncWith(items=items):
            named = [(phrase(item.context_expr), item.optional_vars) for item in items]
            how = ", awaited" if isinstance(node, ast.AsyncWith) else ""
            return f"Within {' and '.join(f'{what} as {phrase(name)}' if name else what for what, name in named)}{how}"
        case ast.Assert(test=test, msg=message):
            return f"Require that {phrase(test)}" + (f", or fail with {phrase(message)}" if message else "")
        case ast.Raise(exc=error, cause=cause):
            return f"Fail with {phrase(error)}" + (f" because of {phrase(cause)}" if cause else "")
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            kind = "coroutine " if isinstance(node, ast.AsyncFunctionDef) else ""
            return f"Let {kind}`{name}` of ({', '.join(_parameters(node.args))}){_decorated(node)} be"
        case ast.ClassDef(name=name, bases=bases, keywords=keywords):
            given = [*map(phrase, bases), *(f"{keyword.arg} = {phrase(keyword.value)}" for keyword in keywords)]
            return f"Let class `{name}` of ({', '.join(given)}){_decorated(node)} be"
        case ast.Match(subject=subject):
            return f"Depending on {phrase(subject)}"
        case _:
            return _generic(node)


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    return f", decorated with {' and '.join(map(phrase, node.decorator_list))}," if node.decorator_list else ""


def _parameters(given: ast.arguments) -> list[str]:
    """Names in the order and with the marks of a signature, each with its default."""
    plain = [argument.arg for argument in (*given.posonlyargs, *given.args)]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    shown = [_parameter(name, default) for name, default in zip(plain, defaults, strict=True)]
    if given.posonlyargs:
        shown.insert(len(given.posonlyargs), "/")
    if given.vararg or given.kwonlyargs:
        shown.append(f"*`{given.vararg.arg}`" if given.vararg else "*")
    shown += [_parameter(a.arg, default) for a, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return shown + ([f"**`{given.kwarg.arg}`"] if given.kwarg else [])


def _parameter(name: str, default: ast.expr | None) -> str:
    return f"`{name}` = {phrase(default)}" if default else f"`{name}`"


def _blocks(node: ast.stmt) -> list[tuple[str, list[ast.stmt]]]:
    match node:
        case ast.If() | ast.For() | ast.AsyncFor() | ast.While():
            return [("", node.body), *([("Otherwise", node.orelse)] if node.orelse else [])]
        case ast.With() | ast.AsyncWith() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [("", node.body)]
        case ast.Try() | ast.TryStar():
            caught = [
                (f"On {phrase(handler.type)}" + (f" as `{handler.name}`" if handler.name else ""), handler.body)
                for handler in node.handlers
            ]
            last = [("If nothing fails", node.orelse), ("In the end", node.finalbody)]
            return [("", node.body), *caught, *(block for block in last if block[1])]
        case ast.Match(cases=cases):
            return [
                (f"If it is {_generic(case.pattern)}" + (f" and {phrase(case.guard)}" if case.guard else ""), case.body)
                for case in cases
            ]
        case _:
            return []


def _generic(node: ast.AST) -> str:
    """The node type and its parts in the order of its fields."""
    if isinstance(node, ast.expr_context | ast.operator | ast.unaryop | ast.cmpop | ast.boolop):
        return type(node).__name__
    parts = []
    for field, value in ast.iter_fields(node):
        if field in {
            "ctx",
            "kind",
            "type_comment",
            "type_params",
            "body",
            "orelse",
            "handlers",
            "finalbody",
        } and isinstance(node, ast.stmt):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.expr):
                parts.append(phrase(item))
            elif isinstance(item, ast.AST):
                if not isinstance(item, ast.expr_context):
                    parts.append(_generic(item))
            elif item is not None:
                parts.append(literal(item))
    return f"{type(node).__name__.lower()} ({', '.join(parts)})"
