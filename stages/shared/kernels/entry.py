"""How an answer is built and called: a class like the module's, or a function that takes what `forward` takes."""

import inspect
import re
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import torch
from torch import nn

from stages.shared.kernels.loading import positional, sow, takes_any

Entry = Callable[..., Any]

_MISSING = object()
_ABBREVIATIONS = {"w": "weight", "b": "bias", "weights": "weight", "biases": "bias", "epsilon": "eps"}


class Known:
    """What is known of an instance of the module, so that an answer can be given it by name."""

    def __init__(self, model: nn.Module, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Take the parameters, buffers, plain attributes and arguments of the constructor."""
        self.state = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.forward = [parameter.name for parameter in positional(model.forward)]
        self.attributes: dict[str, Any] = {}
        for path, part in model.named_modules():
            for name, value in vars(part).items():
                if not name.startswith("_") and _is_plain(value):
                    self.attributes[f"{path}.{name}".removeprefix(".")] = value
        parameters = positional(type(model))
        self.constructor = dict(zip((parameter.name for parameter in parameters), args, strict=False)) | kwargs
        self._defaults = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.default is not inspect.Parameter.empty
        }

    def tensor(self, name: str) -> Any:
        """The parameter or buffer of a name: whole with underscores for dots, or its last part where that is unique."""
        return _by_name(name, self.state)

    def tensors(self) -> dict[str, torch.Tensor]:
        """All parameters and buffers in order, but for counters, by name."""
        return {name: value for name, value in self.state.items() if value.dim() > 0 or value.is_floating_point()}

    def value(self, name: str) -> Any:
        """The argument of the constructor or plain attribute of a name, found in the same way."""
        for known in (self.constructor, self._defaults):
            if name in known:
                return known[name]
        return _by_name(name, self.attributes)


def find(answer: ModuleType, names: Iterable[str]) -> Entry | None:
    """The first class or function of the answer that has one of the names."""
    return next((value for name in names if callable(value := getattr(answer, name, None))), None)


def build(entry: type, known: Known, args: list[Any], kwargs: dict[str, Any], seed: int) -> Any:
    """An instance of the answer's class, with the module's parameters.

    It is built with the same arguments and the same seed, so that the same order of construction gives the same
    parameters; those of the same name and shape are copied, and where no name is left the rest in order. A constructor
    that does not take the arguments gets by name what it asks for.
    """
    sow(seed)
    made = _construct(entry, known, args, kwargs)
    if isinstance(made, nn.Module):
        _share(known.state, made)
    return made


def _construct(entry: type, known: Known, args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        inspect.signature(entry).bind(*args, **kwargs)
    except ValueError:
        pass
    except TypeError:
        wanted = {parameter.name: known.value(parameter.name) for parameter in positional(entry)}
        return entry(**{name: value for name, value in wanted.items() if value is not _MISSING})
    return entry(*args, **kwargs)


def _share(state: dict[str, torch.Tensor], made: nn.Module) -> None:
    own = made.state_dict()
    same = {name for name, value in own.items() if name in state and state[name].shape == value.shape}
    for name in same:
        own[name].copy_(state[name])
    left = [value for name, value in own.items() if name not in same]
    source = [value for name, value in state.items() if name not in same]
    fits = [value.shape for value in left] == [value.shape for value in source]
    if fits and not _are_alike(left, source):
        for value, other in zip(left, source, strict=True):
            value.copy_(other)


def _are_alike(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    """Whether the seed has already given the same tensors, in whatever order."""
    return all(any(a.shape == b.shape and torch.equal(a, b.to(a.device)) for b in right) for a in left)


def arguments(function: Entry, inputs: list[Any], known: Known) -> tuple[list[Any], dict[str, Any]]:
    """What a function is called with: the inputs, and what else of the module it asks for.

    A function with as many parameters as there are inputs gets those, in order. Another gets the inputs by the names
    that `forward` gives them or else first, further tensors by their names in the module or else in order, and further
    values by the names of the constructor's arguments and the module's attributes, or else in order.
    """
    parameters = _named(function)
    if takes_any(function):
        return [*inputs, *known.tensors().values()], {}
    names = [parameter.name for parameter in parameters]
    if len(names) <= len(inputs):
        return list(inputs), {}
    given = dict(zip(known.forward, inputs, strict=False))
    if not set(given) <= set(names) or len(given) != len(inputs):
        free = [name for name in names if known.tensor(name) is _MISSING]
        given = dict(zip(free if len(free) >= len(inputs) else names, inputs, strict=False))
    for parameter in parameters:
        if parameter.name not in given:
            found = known.tensor(parameter.name)
            found = _fitting(parameter, known.value(parameter.name)) if found is _MISSING else found
            if found is not _MISSING:
                given[parameter.name] = found
    return [], given | _in_order([parameter for parameter in parameters if parameter.name not in given], given, known)


def _in_order(parameters: list[inspect.Parameter], given: dict[str, Any], known: Known) -> dict[str, Any]:
    """What is left over of the module, for parameters whose names say nothing."""
    missing = [parameter.name for parameter in parameters if parameter.default is inspect.Parameter.empty]
    optional = [parameter.name for parameter in parameters if parameter.default is None]
    tensors = {
        name: tensor for name, tensor in known.tensors().items() if not any(tensor is value for value in given.values())
    }
    if not missing and len(optional) == len(tensors):
        return _paired(optional, tensors)
    if len(missing) <= len(tensors):
        return _paired(missing, tensors)
    if len(missing) == len(known.constructor):
        return dict(zip(missing, known.constructor.values(), strict=True))
    return {}


def _paired(names: list[str], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors for names: weights for `w1, w2`, biases for `b1, b2`, if there are as many of each; else in order."""
    asked = {kind: [name for name in names if _kind(name) == kind] for kind in ("weight", "bias")}
    there = {kind: [name for name in tensors if _kind(name) == kind] for kind in asked}
    sizes = {kind: len(found) for kind, found in there.items()}
    if sum(sizes.values()) == len(names) == len(tensors) and {k: len(v) for k, v in asked.items()} == sizes:
        return {name: tensors[of] for kind in asked for name, of in zip(asked[kind], there[kind], strict=True)}
    return dict(zip(names, tensors.values(), strict=False))


def _kind(name: str) -> str | None:
    """Whether a name is that of a weight or of a bias: `fc1.weight`, `w1`, `wq`, `b_2`."""
    last = name.rpartition(".")[2].lower()
    found = re.fullmatch(r"(?:.*_)?(weight|bias|w|b)s?(?:_?[a-z]?\d*)", last)
    return {"w": "weight", "b": "bias"}.get(found[1], found[1]) if found else None


def _named(function: Entry) -> list[inspect.Parameter]:
    """The parameters that can be given by name."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [parameter for parameter in parameters if parameter.kind in kinds]


def _fitting(parameter: inspect.Parameter, value: Any) -> Any:
    """A value for a parameter, if it can be meant: `bias=True` of a constructor is no bias.

    Layers keep one number for all dimensions as a tuple; the parameter's default tells which of the two is wanted.
    """
    default = parameter.default
    if isinstance(value, bool) and not isinstance(default, bool):
        is_tensor = _spelled_out(parameter.name).rpartition("_")[2] in {"weight", "bias"}
        return _MISSING if default is not inspect.Parameter.empty else None if is_tensor else value
    if isinstance(default, int) and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    if isinstance(default, tuple) and isinstance(value, int):
        return (value,) * len(default)
    return value


def _by_name(name: str, known: dict[str, Any]) -> Any:
    for spelled in dict.fromkeys([name, name.strip("_"), _spelled_out(name)]):
        whole = [value for key, value in known.items() if key.replace(".", "_").lower() == spelled.lower()]
        if whole:
            return whole[0]
        last = [value for key, value in known.items() if key.rpartition(".")[2].lower() == spelled.lower()]
        if last and all(value is last[0] or _is_equal(value, last[0]) for value in last):
            return last[0]
    return _MISSING


def _spelled_out(name: str) -> str:
    """`fc1_weight` for `fc1_w`."""
    head, dash, last = name.rpartition("_")
    return f"{head}{dash}{_ABBREVIATIONS.get(last, last)}"


def _is_equal(a: Any, b: Any) -> bool:
    return not isinstance(a, torch.Tensor) and type(a) is type(b) and bool(a == b)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str | torch.Tensor | torch.dtype)
