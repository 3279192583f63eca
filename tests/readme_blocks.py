"""Write the generated blocks of the README: `uv run --group test python -m tests.readme_blocks`."""

import re
import subprocess
import sys

import yaml

from tests.imports import ROOT

README = ROOT / "README.md"


def expected_blocks() -> dict[str, str]:
    """Stage table, DAG and knobs, by the name of their block."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    words = [sys.executable, "-m", "dvc", "dag", "--md"]
    dag = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    described = [f"| `{name}` | {stage.get('do', stage)['desc']} |" for name, stage in stages.items()]
    return {
        "stages": "\n".join(["| stage | what it does |", "| --- | --- |", *described]),
        "dag": dag,
        "knobs": "\n".join(["| knob | default | meaning |", "| --- | --- | --- |", *_knobs()]),
    }


def _knobs() -> list[str]:
    """A line per knob, with the comment above it in the params file."""
    rows: list[str] = []
    section, comment = "", ""
    for line in (ROOT / "params.yaml").read_text().splitlines():
        if found := re.fullmatch(r"([a-z_]+):", line):
            section = found[1]
        elif found := re.fullmatch(r" +# (.*)", line):
            comment = f"{comment} {found[1]}".strip()
        elif (found := re.fullmatch(r" +([a-z_]+): (\S.*)", line)) and comment:
            rows.append(
                f"| `{section}{'.<name>' if section == 'variants' else ''}.{found[1]}` | `{found[2]}` | {comment} |"
            )
            comment = ""
    return rows


def replaced(text: str, blocks: dict[str, str]) -> str:
    """The README with its blocks renewed."""
    for name, content in blocks.items():
        found = re.search(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", text, re.DOTALL)
        assert found, f"the README has no block {name}"
        text = f"{text[: found.start()]}{content}\n{text[found.end() :]}"
    return text


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(), expected_blocks()))
