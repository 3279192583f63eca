"""What the Hub refuses in the YAML of a card, after huggingface/hub-docs (datasetcard.md and the list of licences)."""

import re
from typing import Any

import yaml

_LICENSES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0
    cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr
    mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma
    unknown other
"""
LICENSES = frozenset(_LICENSES.split())
_SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B"]
SIZES = frozenset([*_SIZES, "10B<n<100B", "100B<n<1T", "n>1T", "other"])
TASKS = frozenset(
    ["text-generation", "question-answering", "summarization", "translation", "text-classification", "other"]
)
STRING_LISTS = ("language", "size_categories", "source_datasets", "tags", "task_categories", "annotations_creators")


def problems(content: str) -> tuple[list[str], list[str]]:
    """Errors and warnings for the text of a README.md."""
    front = re.match(r"---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", content, re.DOTALL)
    if front is None:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        meta = yaml.safe_load(front[1])
    except yaml.YAMLError as error:
        return [f"bad yaml: {' '.join(str(error).split())}"], []
    if not isinstance(meta, dict):
        return ['"value" must be of type object'], []
    return [*_value_errors(meta), *_file_errors(meta)], []


def _value_errors(meta: dict[str, Any]) -> list[str]:
    errors = []
    for key in STRING_LISTS:
        values = _as_list(meta.get(key))
        errors += [f'"{key}[{i}]" must be a string' for i, value in enumerate(values) if not isinstance(value, str)]
    checked = {"license": LICENSES, "size_categories": SIZES, "task_categories": TASKS}
    for key, allowed in checked.items():
        wrong = [value for value in _as_list(meta.get(key)) if value not in allowed]
        errors += [f'"{key}" must be one of [{", ".join(sorted(allowed))}]' for _ in wrong]
    languages = [str(value) for value in _as_list(meta.get("language"))]
    errors += [
        '"language" must only contain ISO 639 codes' for code in languages if not re.fullmatch("[a-z]{2,4}", code)
    ]
    if "pretty_name" in meta and not isinstance(meta["pretty_name"], str):
        errors.append('"pretty_name" must be a string')
    if "license_name" in meta and not re.fullmatch(r"[a-z0-9.-]+", str(meta["license_name"])):
        errors.append('"license_name" with value is not valid: lowercase letters, digits, dots and hyphens only')
    if "other" in _as_list(meta.get("license")) and "license_link" in meta and "license_name" not in meta:
        errors.append('"license_link" needs a "license_name"')
    return errors


def _file_errors(meta: dict[str, Any]) -> list[str]:
    """`configs` and `dataset_info`, which the viewer and `datasets` read."""
    errors = []
    for config in _as_list(meta.get("configs")):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            errors.append('"configs" must have a "config_name"')
            continue
        items = [item for item in _as_list(config.get("data_files")) if isinstance(item, dict)]
        errors += [
            '"configs.data_files" must have "split" and "path"' for i in items if not {"split", "path"} <= i.keys()
        ]
    for info in _as_list(meta.get("dataset_info")):
        splits = info.get("splits", []) if isinstance(info, dict) else None
        if splits is None or not isinstance(info.get("features", []), list):
            errors.append('"dataset_info.features" must be a list')
        elif any(not isinstance(split.get("num_examples"), int) for split in splits):
            errors.append('"dataset_info.splits" must have "num_examples"')
    return errors


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
