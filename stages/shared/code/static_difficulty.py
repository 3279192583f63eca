"""A difficulty that is read from a module's syntax tree: an honest baseline for a model's rating."""

from stages.shared.code import reachable
from stages.shared.code.syntax import module_classes, parse
from stages.shared.code.torch_ops import KIND_OF, torch_ops

MANY_OPERATIONS = 3


def static_difficulty(python_code: str, entry_point: str | None) -> tuple[str | None, str]:
    """Rate a module by the heavy operations that its `forward` reaches, and say why.

    low: none (a copy, elementwise arithmetic). medium: one, or two of one kind (a reduction, a matrix product).
    high: two kinds or `MANY_OPERATIONS` (fused operations), attention, recurrence, full models.

    Returns:
        The difficulty, None for code that cannot be read, and the reason.
    """
    tree = parse(python_code)
    classes = {node.name: node for node in module_classes(tree)} if tree else {}
    if tree is None or not classes:
        return None, "static: the code shows no nn.Module class"
    operations = torch_ops(reachable.functions(tree, classes.get(entry_point or "") or list(classes.values())[-1]))
    kinds = {KIND_OF[name] for name in operations}
    if not operations:
        return "low", "static: low, no heavy operation"
    fused = len(kinds) > 1 or len(operations) >= MANY_OPERATIONS or bool(kinds & {"attention", "recurrent"})
    difficulty = "high" if fused else "medium"
    return difficulty, f"static: {difficulty}, heavy operations: {', '.join(operations)}"
