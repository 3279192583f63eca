"""`dvc.yaml`, `params.yaml`, the README and the code say the same."""

import importlib
import inspect
import re
import shlex
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from stages import report
from stages.commands import publish
from stages.shared import stage
from tests.imports import ROOT, transitive_imports
from tests.pins import PYPROJECT, pinned
from tests.readme_blocks import README, expected_blocks, replaced

PACKAGES = {"stages": "dvc.yaml", "stages.fetch": "stages/fetch/dvc.yaml", "stages.rollout": "stages/rollout/dvc.yaml"}
"""The pipelines by the package of their modules."""
PIPELINES = {package: yaml.safe_load((ROOT / file).read_text())["stages"] for package, file in PACKAGES.items()}
PACKAGE_OF = {name: package for package, stages in PIPELINES.items() for name in stages}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
ITEM_FLAGS = {"--variant", "--name"}
"""Flags that say which item of a foreach is meant."""
COMMAND_SECTIONS = {"publish"}
"""Sections that a command reads, and no stage."""


def definition(name: str) -> dict[str, Any]:
    """A stage of a dvc.yaml, or what each of its items does."""
    stage_of = PIPELINES[PACKAGE_OF[name]][name]
    found: dict[str, Any] = stage_of.get("do", stage_of)
    return found


def module(name: str) -> str:
    """Dotted name of the module of a stage."""
    return f"{PACKAGE_OF[name]}.{name}"


def source(name: str) -> Path:
    return ROOT.joinpath(*module(name).split(".")).with_suffix(".py")


def signature(name: str) -> dict[str, Any]:
    """Parameters of the stage's `run` with their annotations."""
    run = importlib.import_module(module(name)).run
    return {parameter.name: parameter.annotation for parameter in inspect.signature(run).parameters.values()}


def measures(name: str) -> bool:
    """Whether a stage has metrics: whether its `run` returns them."""
    return inspect.signature(importlib.import_module(module(name)).run).return_annotation is not None


def is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def sections(name: str) -> dict[str, type[BaseModel]]:
    """Params sections that a stage validates."""
    return {name if key == "params" else key: kind for key, kind in signature(name).items() if is_section(kind)}


def declared_sections(name: str) -> set[str]:
    """Params sections in the definition of a stage; an item of a map declares its own entry alone."""
    flat = [entry for item in definition(name).get("params", []) for entry in _entries(item)]
    return {entry.split(".${key}")[0] for entry in flat}


def _entries(item: str | dict[str, list[str]]) -> list[str]:
    return [item] if isinstance(item, str) else [entry for entries in item.values() for entry in entries]


def flags(name: str) -> dict[str, list[str]]:
    """What the command of a stage passes, by flag."""
    words = shlex.split(definition(name)["cmd"])
    assert words[:3] == ["python", "-m", module(name)]
    found: dict[str, list[str]] = {}
    for word in words[3:]:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_stage_has_a_module_and_the_main_pipeline_has_no_others(package: str) -> None:
    files = ROOT.joinpath(*package.split(".")).glob("*.py")
    modules = {file.stem for file in files if file.stem not in {"__init__", "__main__"}}

    assert modules >= set(PIPELINES[package])
    assert package != "stages" or modules == set(PIPELINES[package])


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_code_deps_equal_the_transitive_imports(name: str) -> None:
    declared = {dep for dep in definition(name)["deps"] if dep.endswith(".py")}

    assert declared == transitive_imports(source(name))


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_the_command_passes_exactly_what_run_takes(name: str) -> None:
    expected = {f"--{key.replace('_', '-')}" for key, kind in signature(name).items() if not is_section(kind)}

    assert set(flags(name)) == expected | ({"--metrics"} if measures(name) else set())


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_every_path_of_the_command_is_a_dep_or_an_out(name: str) -> None:
    """So no stage reads or writes what DVC does not know of; the folder of the plots stands for its files."""
    stage_of = definition(name)
    plots = [path for item in stage_of.get("plots", []) for path in item]
    written = [*stage_of.get("outs", []), *(path for item in stage_of.get("metrics", []) for path in item), *plots]
    data_deps = [dep for dep in stage_of["deps"] if not dep.endswith(".py")]
    passed = [value for flag, values in flags(name).items() if flag not in ITEM_FLAGS for value in values]

    assert sorted(passed) == sorted(
        {*data_deps, *(w for w in written if w not in plots), *({"data/plots"} if plots else ())}
    )


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_a_stage_has_a_description_and_what_it_measures_in_git(name: str) -> None:
    key = ".${key}" if "foreach" in PIPELINES[PACKAGE_OF[name]][name] else ""

    assert definition(name)["desc"]
    assert definition(name).get("metrics", []) == [{f"data/metrics/{name}{key}.json": {"cache": False}}] * measures(
        name
    )


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_declared_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    shown = getattr(importlib.import_module(module(name)), "SHOWN_SECTIONS", ())

    assert declared_sections(name) == {*sections(name), *shown}


@pytest.mark.parametrize("name", PACKAGE_OF)
def test_the_committed_params_are_valid(name: str) -> None:
    for section, model in sections(name).items():
        stage.read_section(section, model, ROOT / "params.yaml")


def test_no_section_of_the_params_is_unused() -> None:
    used = set().union(*(declared_sections(name) for name in PACKAGE_OF))

    assert used | COMMAND_SECTIONS == set(PARAMS)


def declarations(model: type[BaseModel]) -> str:
    """The source of a model and of the models that it extends."""
    return "\n".join(inspect.getsource(base) for base in model.__mro__ if base.__module__.startswith("stages"))


def test_every_knob_is_explained_in_the_params_file_and_in_its_model() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    knobs = [i for i, line in enumerate(lines) if re.match(r" {2}[a-z_]+: \S", line)]

    assert [lines[i] for i in knobs if not lines[i - 1].startswith("  #")] == []
    models = {section: model for name in PACKAGE_OF for section, model in sections(name).items()}
    for section, model in (models | {"publish": publish.Params}).items():
        entry = entry_model(model)
        for knob in entry.model_fields:
            assert re.search(rf'^    {knob}: .*\n    """', declarations(entry), re.MULTILINE), f"{section}.{knob}"


def entry_model(model: type[BaseModel]) -> type[BaseModel]:
    """The model of an entry, where a section is a map of them."""
    root = model.model_fields.get("root")
    found: type[BaseModel] = get_args(root.annotation)[1] if root else model
    return found


def test_packages_are_empty() -> None:
    """Code in them would be an undeclared dep of every stage."""
    assert [file for file in (ROOT / "stages").rglob("__init__.py") if file.read_text()] == []


def test_shared_modules_are_all_used_by_a_stage_or_a_command() -> None:
    commands = (ROOT / "stages" / "commands").rglob("*.py")
    used = set().union(*(transitive_imports(file) for file in [*map(source, PACKAGE_OF), *commands]))
    shared = {file.relative_to(ROOT).as_posix() for file in (ROOT / "stages" / "shared").rglob("*.py")}

    assert {path for path in shared - used if not path.endswith("__init__.py")} == set()


def test_the_report_reads_the_metrics_of_all_stages_before_it() -> None:
    stages = set(PIPELINES["stages"])
    built = {name for name in stages if name.startswith("build")}

    assert set(report.STAGES) == stages - built - {"report"}
    assert [Path(path).stem for path in flags("report")["--stage-metrics"]] == list(report.STAGES)


def test_no_file_is_too_long() -> None:
    sizes = {
        file.relative_to(ROOT).as_posix(): len(file.read_text().splitlines()) for file in ROOT.glob("stages/**/*.py")
    }
    stages = {path: lines for path, lines in sizes.items() if path.count("/") == 1 and lines}

    assert {path: lines for path, lines in sizes.items() if lines > 300} == {}
    assert {path: lines for path, lines in stages.items() if lines > 200} == {}


def test_the_generated_blocks_of_the_readme_are_current() -> None:
    """Stage table, DAG and knobs; `python -m tests.readme_blocks` renews them."""
    assert replaced(README.read_text(), expected_blocks()) == README.read_text()


def test_pins_cover_what_is_installed() -> None:
    versions = {requirement.split(" ;")[0] for requirement in pinned(PYPROJECT.read_text())}
    name = re.compile(r"[-_.]+")
    installed = {f"{name.sub('-', dist.metadata['Name']).lower()}=={dist.version}" for dist in distributions()}
    tools = {"pip", "setuptools", "wheel", "uv"}

    assert {item for item in installed - versions if item.split("==")[0] not in tools} == set()


def test_no_tracked_file_names_a_package_index_or_a_machine() -> None:
    words = ["files.pyth" + "onhosted.org", "pypi." + "org", "/ro" + "ot/", "/work" + "/"]
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    texts = {name: (ROOT / name).read_text(errors="replace") for name in listed.stdout.splitlines()}

    assert [(name, word) for name, text in texts.items() for word in words if word in text] == []
