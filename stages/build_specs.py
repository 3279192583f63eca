"""Write the dataset of task specifications: one row per source row of a module.

Reads `modules`, `specs`, `clusters`, `splits` and `contamination`, never the selection. Source rows with the same code
and name share a specification and keep their own repository, licences and uuid.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from stages.shared import stage, table
from stages.shared.accounting import balance
from stages.shared.atomic import replacing
from stages.shared.dataset import SplitWriter
from stages.shared.dataset_card import card, counts_table
from stages.shared.module_fates import ModuleFates
from stages.shared.records import MODULES, SOURCE_COLUMNS

COLUMNS = pa.schema(
    [
        ("prompt", pa.string()),
        *((name, pa.int64() if name == "uuid" else MODULES.field(name).type) for name in SOURCE_COLUMNS),
        ("writer", pa.string()),
        ("module_id", pa.string()),
        ("split", pa.string()),
        ("contaminated", pa.bool_()),
    ]
)
READS = ["module_id", "uuids", "extra", *(name for name in SOURCE_COLUMNS if name != "uuid")]
SUMMARY = (
    "Task specifications of PyTorch modules, to be solved with Triton kernels; one row per source row, all in `train`. "
    "The column `split` says to which side of the trained datasets a row's module belongs, `contaminated` whether it "
    "stands in a benchmark. `writer` names who wrote the specification; `template` is the syntax tree put into words."
)


def source_rows(module: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The source rows that `ingest_modules` merged into a module, in their order, each with its own provenance."""
    extra = msgspec.json.decode(module["extra"]) if module["extra"] else {}
    copies = [{}, *extra.get("copies", [])]
    for uuid, copy in zip(module["uuids"], copies, strict=True):
        yield {**module, **{name: copy[name] for name in SOURCE_COLUMNS if name in copy}, "uuid": uuid}


def run(
    *, modules: Path, specs: Path, clusters: Path, splits: Path, contamination: Path, dataset: Path
) -> stage.Metrics:
    """Build the dataset of specifications."""
    fates = ModuleFates(clusters, splits, contamination)
    written = table.read(specs, ["module_id", "prompt", "writer"])
    counted = table.read(modules, ["module_id", "n_rows"])
    table.assert_same_keys(counted["module_id"], written["module_id"], "modules and specs")
    texts = {row["module_id"]: row for row in written.to_pylist()}
    sizes = zip(counted["n_rows"].to_pylist(), written["prompt"].to_pylist(), strict=True)
    counts = Counter[str | None]()
    for n_rows, prompt in sizes:
        counts["no_spec" if prompt is None else None] += n_rows
    licenses, sides, writers = Counter[str](), Counter[str](), Counter[str]()
    with replacing(dataset) as folder:
        folder.mkdir()
        writer = SplitWriter(folder, "train", counts[None], COLUMNS)
        for batch in table.batches(modules, READS):
            for row in (
                row
                for module in batch.to_pylist()
                if texts[module["module_id"]]["prompt"]
                for row in source_rows(module)
            ):
                described = row | texts[row["module_id"]] | fates.of(row["module_id"])
                writer.write({name: described[name] for name in COLUMNS.names})
                licenses.update(row["licenses"] or ["unknown"])
                sides[described["split"]] += 1
                writers[described["writer"]] += 1
        files = [writer.close()] if counts[None] else []
        told = {
            "Rows": counts_table("rows", balance(counts) | dict(sides)),
            "Writers": counts_table("writer", dict(writers)),
            "Licences": counts_table("licence of the source", dict(sorted(licenses.items()))),
        }
        text = card("Synthetic kernel tasks", SUMMARY, folder, COLUMNS, splits=files, licenses=licenses, sections=told)
        (folder / "README.md").write_text(text, encoding="utf-8")
    return {**balance(counts), "split": dict(sides), "writer": dict(writers)}


if __name__ == "__main__":
    stage.main(run)
