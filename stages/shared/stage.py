"""Run a stage from the command line.

The signature of a stage's `run` is its interface: a parameter annotated with a `Params` model is a section of
`params.yaml` (`params` is the section named after the stage, any other name is the section's own), a parameter
annotated `Path`, `list[Path]` or `str` is a command-line flag, so that `dvc.yaml` owns every path. What it returns is
written to the flag `--metrics`, which a stage that returns None does not have.
"""

import argparse
import inspect
import json
import logging
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, RootModel, StringConstraints, ValidationError

from stages.shared.atomic import replacing
from stages.shared.table import skip_pandas

PARAMS_FILE = Path("params.yaml")
Metrics = Mapping[str, Any]


class Params(BaseModel):
    """A section of `params.yaml`: no defaults, no unknown knobs, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Knobs(RootModel[dict[str, Any]]):
    """A section of `params.yaml` that is shown, not used: any knobs."""


EntryName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([-_][a-z0-9]+)*$")]
"""Of an entry in a section that is a map: part of paths, and without a dot, which DVC would read as a level."""


ParamsT = TypeVar("ParamsT", bound=BaseModel)


class _DuplicateKeyError(ValueError):
    """A mapping has a key twice: YAML forbids it, and PyYAML keeps the last."""


class _Loader(yaml.SafeLoader):
    """Reads YAML as `safe_load` does, but a key that stands in a mapping twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT002
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, n in keys.items():
            if n > 1:
                raise _DuplicateKeyError(f"the key {key!r} stands there twice")
        return super().construct_mapping(node, deep=deep)


def read_section(name: str, model: type[ParamsT], file: Path = PARAMS_FILE) -> ParamsT:
    """Validate one section of the params file.

    Raises:
        ValueError: file, knob and what was expected, when the section is missing or a knob is wrong.
    """
    try:
        sections = yaml.load(file.read_text(), Loader=_Loader)  # noqa: S506  # it is a safe one
    except _DuplicateKeyError as error:
        raise ValueError(f"{file}: {error}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(sections, dict) or name not in sections:
        raise ValueError(f"{file}: the section '{name}' is missing")
    try:
        return model.model_validate(sections[name])
    except ValidationError as error:
        first = error.errors()[0]
        knob = ".".join([name, *(str(part) for part in first["loc"])])
        given = "" if first["type"] == "missing" else f" (got {first['input']!r})"
        raise ValueError(f"{file}: {knob}: {first['msg']}{given}") from None


def shown_knobs(sections: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The knobs of sections that a card tells of, by section."""
    return {name: read_section(name, Knobs).root for name in sections}


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Write metrics as sorted JSON. NaN and infinity are refused: they are not JSON."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(metrics, indent=2, sort_keys=True, allow_nan=False) + "\n")


def main(run: Callable[..., Metrics | None]) -> None:
    """Call `run` with its sections and flags, write the metrics that it returns to `--metrics`.

    An error that a user can act on (`ValueError`, `OSError`) ends in one line on stderr and exit code 1.
    """
    name = Path(run.__code__.co_filename).stem
    logging.basicConfig(level=logging.INFO, format=f"{name}: %(message)s", stream=sys.stderr)
    spec = sys.modules["__main__"].__spec__
    started = spec.name if spec else f"stages.{name}"
    parser = argparse.ArgumentParser(prog=f"python -m {started}", description=inspect.getdoc(run))
    sections: dict[str, type[BaseModel]] = {}
    signature = inspect.signature(run)
    for parameter in signature.parameters.values():
        if isinstance(parameter.annotation, type) and issubclass(parameter.annotation, BaseModel):
            sections[parameter.name] = parameter.annotation
        else:
            many = parameter.annotation == list[Path]
            flag = f"--{parameter.name.replace('_', '-')}"
            parser.add_argument(
                flag, type=Path if many else parameter.annotation, nargs="+" if many else None, required=True
            )
    if signature.return_annotation is not None:
        parser.add_argument("--metrics", type=Path, required=True)
    flags = vars(parser.parse_args())
    metrics_path = flags.pop("metrics", None)
    skip_pandas()
    end: str | int = 0
    try:
        knobs = {key: read_section(name if key == "params" else key, model) for key, model in sections.items()}
        metrics = run(**knobs, **flags)
        if metrics is not None:
            write_metrics(metrics_path, metrics)
    except (ValueError, OSError) as error:
        end = f"{name}: {' '.join(str(error).split())}"
    except KeyboardInterrupt:
        end = 130  # as a shell tells of it
    # What is left is to end: a further Ctrl-C would only add a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if end:
        sys.exit(end)
