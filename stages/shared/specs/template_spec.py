"""A task specification that is a module's syntax tree put into words: an honest baseline for a model's text."""

import ast
from collections.abc import Iterator
from typing import Any

from stages.shared.code import reachable
from stages.shared.code.syntax import method, module_classes, parse
from stages.shared.specs.prose import phrase, steps
from stages.shared.specs.recorded_inputs import recorded_arguments, recorded_inputs

CLOSING = """\
## Requirements
- Write a complete Python file that defines a class `{name}New` from `torch.nn.Module`, with the interface above.
- Do the computation in Triton kernels (`@triton.jit`) that `forward` launches, not in PyTorch operations.
- Any batch size must work, not only that of the recorded inputs.
- Inputs must not be modified unless the specification says so, and outputs must have the shape and dtype that the \
described computation gives."""


def specification(module: dict[str, Any]) -> str | None:
    """The specification of a module (`python_code`, `entry_point`), None where its code shows no class to describe."""
    tree = parse(module["python_code"])
    classes = {node.name: node for node in module_classes(tree)} if tree else {}
    if tree is None or not classes:
        return None
    entry = classes.get(module["entry_point"] or "") or list(classes.values())[-1]
    parts = [
        f"Write Triton kernels for the following PyTorch module, `{entry.name}`.",
        "## Computation\n" + "\n".join(_computation(tree, entry)),
        "## Inputs\n" + "\n".join(_inputs(tree, entry)),
        "## Interface\n" + "\n".join(_interface(tree, entry)),
        CLOSING.format(name=entry.name),
    ]
    return "\n\n".join(parts)


def _computation(tree: ast.Module, entry: ast.ClassDef) -> list[str]:
    """What a call does, function by function, the entry point's `forward` first."""
    reached = reachable.functions(tree, entry)
    first = [item for item in reached if item.owner is entry and item.function.name == "forward"]
    lines: list[str] = []
    for item in [*first, *(item for item in reached if item not in first)]:
        if item not in first:
            owner = f" of `{item.owner.name}`" if item.owner and item.owner is not entry else ""
            lines.append(f"\n`{item.function.name}`{owner}, which takes {_arguments(item.function)}:")
        lines += [f"- Decorated with {phrase(decorator)}." for decorator in item.function.decorator_list]
        lines += steps(item.function.body)
    constants = [node for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    return lines + (["\nwith these values:", *steps(list(constants))] if constants else [])


def _inputs(tree: ast.Module, entry: ast.ClassDef) -> list[str]:
    """The recorded inputs by argument; where they are not literal, also how they are made."""
    forward = method(entry, "forward")
    names = [argument.arg for argument in forward.args.args[1:]] if forward else []
    recorded = recorded_inputs(tree)
    names += [f"argument {i + 1}" for i in range(len(names), len(recorded))]
    lines = [f"- `{name}`: {item.text}" for name, item in zip(names, recorded, strict=False)]
    if recorded and all(item.shape is not None for item in recorded):
        return lines
    makers = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "get_inputs"]
    return [
        *(lines or ["- not recorded as a list"]),
        *(line for maker in makers for line in ["\nmade so:", *steps(maker.body)]),
    ]


def _interface(tree: ast.Module, entry: ast.ClassDef) -> list[str]:
    """Signatures, the recorded constructor arguments, and what the constructors set up, parameters included."""
    forward, built = method(entry, "forward"), recorded_arguments(tree)
    reached = reachable.functions(tree, entry)
    used = {id(item.owner): item.owner for item in reached if item.owner}
    owners = [entry, *(owner for owner in used.values() if owner is not entry)]
    lines = [
        f"- Constructor arguments: {_arguments(method(entry, '__init__'))}.",
        f"- Arguments of `forward`: {_arguments(forward)}.",
        f"- An instance is built with ({', '.join(built)}).",
    ]
    for owner in owners:
        bases = " and ".join(phrase(base).split()[-1].strip("`") for base in owner.bases)
        constructor = method(owner, "__init__")
        values = [node for node in owner.body if isinstance(node, ast.Assign | ast.AnnAssign)]
        lines.append(f"- `{owner.name}` (a `{bases}`) sets up, with the names and shapes of its parameters kept:")
        lines += steps([*values, *(constructor.body if constructor else [])], depth=1)
    for function in _set_up_by(tree, owners, [item.function for item in reached]):
        lines.append(f"\n`{function.name}`, which takes {_arguments(function)}:")
        lines += steps(function.body)
    return lines


def _set_up_by(tree: ast.Module, owners: list[ast.ClassDef], told: list[ast.FunctionDef]) -> Iterator[ast.FunctionDef]:
    """The functions and methods that constructors reach by the names they mention, less those already `told`."""
    bodies = [*tree.body, *(node for owner in owners for node in owner.body)]
    own = [node for node in bodies if isinstance(node, ast.FunctionDef) and node not in told]
    waiting = [constructor for owner in owners if (constructor := method(owner, "__init__"))]
    while waiting:
        nodes = list(ast.walk(waiting.pop(0)))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)} - {"__init__"}
        called = [function for function in own if function.name in names]
        own = [function for function in own if function not in called]
        waiting += called
        yield from called


def _arguments(function: ast.FunctionDef | None) -> str:
    if function is None:
        return "none"
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = dict(zip([a.arg for a in plain][::-1], given.defaults[::-1], strict=False))
    defaults |= {a.arg: value for a, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if value}
    names = [a.arg for a in (*plain, *given.kwonlyargs) if a.arg != "self"]
    shown = [f"`{name}` (by default {phrase(defaults[name])})" if name in defaults else f"`{name}`" for name in names]
    rest = [f"any further {kind} `{a.arg}`" for kind, a in (("positional", given.vararg), ("named", given.kwarg)) if a]
    return ", ".join(shown + rest) or "none"
