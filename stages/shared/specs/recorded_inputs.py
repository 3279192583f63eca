"""The inputs that a module's code records: `get_inputs()` and `get_init_inputs()`, read without running them."""

import ast
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stages.shared.specs.prose import OPERATOR_WORDS, literal, phrase

_DISTRIBUTIONS = {
    "rand": "uniform in [0, 1)",
    "randn": "standard normal",
    "ones": "all 1",
    "zeros": "all 0",
    "empty": "uninitialised",
    "rand_like": "uniform in [0, 1)",
    "randn_like": "standard normal",
    "ones_like": "all 1",
    "zeros_like": "all 0",
}
_CASTS = {
    "float": "float32",
    "half": "float16",
    "double": "float64",
    "bfloat16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "bool": "bool",
    "short": "int16",
    "byte": "uint8",
}
# Sizes and bounds of inputs are 64-bit numbers; a longer one is not worth working out.
_MOST_BITS = 64
_OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Div: lambda a, b: a / b,
}


class NotLiteralError(Exception):
    """A value that only running the code would give."""


@dataclass(frozen=True)
class RecordedInput:
    """One argument of `forward` as `get_inputs()` makes it."""

    shape: tuple[int, ...] | None
    """None where it is not a tensor of literal shape."""
    dtype: str | None
    text: str
    """The input in words."""


def recorded_inputs(tree: ast.Module) -> list[RecordedInput]:
    """What `get_inputs()` returns, in order; empty where it has no literal list."""
    function, items = _returned(tree, "get_inputs")
    constants = _constants(tree.body) | (_constants(function.body) if function else {})
    values = dict(_assigned(function.body if function else []))
    return [_input(values.get(item.id, item) if isinstance(item, ast.Name) else item, constants) for item in items]


def recorded_arguments(tree: ast.Module) -> list[str]:
    """The constructor's arguments of `get_init_inputs()`, in words; given flat, or as KernelBook's `[args, kwargs]`."""
    function, items = _returned(tree, "get_init_inputs")
    constants = _constants(tree.body) | (_constants(function.body) if function else {})
    if len(items) == 2 and isinstance(items[0], ast.List | ast.Tuple) and isinstance(items[1], ast.Dict):
        named = zip(items[1].keys, items[1].values, strict=True)
        keywords = [
            f"{key.value!s} = {_value(value, constants)}" for key, value in named if isinstance(key, ast.Constant)
        ]
        return [*(_value(item, constants) for item in items[0].elts), *keywords]
    return [_value(item, constants) for item in items]


def _returned(tree: ast.Module, name: str) -> tuple[ast.FunctionDef | None, list[ast.expr]]:
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            for statement in reversed(node.body):
                if isinstance(statement, ast.Return) and isinstance(statement.value, ast.List | ast.Tuple):
                    return node, statement.value.elts
            return node, []
    return None, []


def _input(node: ast.expr, constants: dict[str, Any]) -> RecordedInput:
    dtype = None
    call = node
    while isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and (cast := _cast(call)):
        dtype = dtype or cast
        call = call.func.value
    try:
        shape, made, how = _tensor(call, constants)
    except NotLiteralError:
        return RecordedInput(None, None, f"made as {phrase(node)}")
    cast_from = f", cast from {made}" if dtype not in {None, made} else ""
    dtype = dtype or made
    return RecordedInput(shape, dtype, f"{dtype} tensor of shape {list(shape)}, {how}{cast_from}")


def _tensor(node: ast.expr, constants: dict[str, Any]) -> tuple[tuple[int, ...], str, str]:
    """Shape, dtype and distribution of a call of a torch factory, possibly shifted or scaled by a number."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        shape, dtype, how = _tensor(node.left, constants)
        other = evaluate(node.right, constants)
        if "float" not in dtype and (isinstance(node.op, ast.Div) or isinstance(other, float)):
            dtype = "float32"
        return shape, dtype, f"{how}, then {OPERATOR_WORDS[type(node.op)]} {phrase(node.right)}"
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _of_torch(node.func)):
        raise NotLiteralError
    name, arguments = node.func.attr, list(node.args)
    keywords = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if len(keywords) < len(node.keywords):
        raise NotLiteralError
    given = _dtype(keywords.get("dtype"))
    if name == "randint":
        # Of high and size, or of low, high and size.
        has_low = "high" in keywords or len(arguments) + len(keywords.keys() & {"low", "size"}) == 3
        values = dict(zip(["low", "high", "size"] if has_low else ["high", "size"], arguments, strict=False)) | keywords
        low = evaluate(values["low"], constants) if "low" in values else 0
        high = evaluate(values.get("high"), constants)
        return _shape([values.get("size")], constants), given or "int64", f"integers from {low} to below {high}"
    if name == "arange":
        limits = [evaluate(argument, constants) for argument in arguments]
        if keywords.keys() & {"start", "end", "step"} or not all(isinstance(limit, int) for limit in limits):
            raise NotLiteralError
        try:
            length = len(range(*limits))
        except (TypeError, ValueError, OverflowError):
            raise NotLiteralError from None
        start, step = limits[0] if len(limits) > 1 else 0, f" by {limits[2]}" if len(limits) > 2 else ""
        return (length,), given or "int64", f"counting from {start}{step}"
    if name == "full":
        values = dict(zip(["size", "fill_value"], arguments, strict=False)) | keywords
        value = evaluate(values.get("fill_value"), constants)
        made = {bool: "bool", int: "int64"}.get(type(value), "float32")
        return _shape([values.get("size")], constants), given or made, f"all {value}"
    if name in _DISTRIBUTIONS and not name.endswith("_like"):
        return _shape(arguments or [keywords.get("size")], constants), given or "float32", _DISTRIBUTIONS[name]
    raise NotLiteralError


def _shape(sizes: Sequence[ast.expr | None], constants: dict[str, Any]) -> tuple[int, ...]:
    values = [evaluate(size.value if isinstance(size, ast.Starred) else size, constants) for size in sizes]
    flat = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    if not all(type(size) is int and size >= 0 for size in flat):
        raise NotLiteralError
    return tuple(flat)


def evaluate(node: ast.expr | None, constants: dict[str, Any]) -> Any:
    """The value of a literal expression: constants, names of constants, arithmetic, lists.

    Raises:
        NotLiteralError: anything else.
    """
    match node:
        case ast.Constant(value=value) if not (isinstance(value, int) and value.bit_length() > _MOST_BITS):
            return value
        case ast.Name(id=name) if name in constants:
            return constants[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = evaluate(operand, constants)
            if isinstance(value, int | float):
                return -value
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _arithmetic(_OPERATORS[type(operator)], evaluate(left, constants), evaluate(right, constants))
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [evaluate(item, constants) for item in items]
    raise NotLiteralError


def _arithmetic(operation: Any, left: Any, right: Any) -> Any:
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in (left, right)):
        raise NotLiteralError
    try:
        result = operation(left, right)
    except ArithmeticError:
        raise NotLiteralError from None
    if isinstance(result, int) and result.bit_length() > _MOST_BITS:
        raise NotLiteralError
    return result


def _cast(call: ast.Call) -> str | None:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr in {"to", "type"} and call.args:
        return _dtype(call.args[0])
    return _CASTS.get(call.func.attr) if not call.args else None


def _dtype(node: ast.expr | None) -> str | None:
    name = _of_torch(node)
    return None if name is None or name.endswith("Tensor") else _CASTS.get(name, name)


def _of_torch(node: ast.expr | None) -> str | None:
    return (
        node.attr
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch"
        else None
    )


def _constants(body: Iterable[ast.stmt]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _assigned(body):
        try:
            found[name] = evaluate(value, found)
        except NotLiteralError:
            found.pop(name, None)
    return found


def _assigned(body: Iterable[ast.stmt]) -> list[tuple[str, ast.expr]]:
    return [
        (target.id, statement.value)
        for statement in body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]


def _value(node: ast.expr, constants: dict[str, Any]) -> str:
    try:
        return literal(evaluate(node, constants))
    except NotLiteralError:
        return phrase(node)
