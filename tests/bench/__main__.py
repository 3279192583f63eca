"""Measure the whole default pipeline on base rows of the published size, beside a plain baseline.

`python -m tests.bench` generates the rows and a tokenizer, runs baseline and pipeline in turn, and prints Markdown
tables of the medians. It fails when the pipeline publishes other rows than the reference's rule gives, or counts other
tokens than the baseline; how long anything takes fails nothing.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests.bench import pipeline, published_rows
from tests.bench.base_rows import ROWS
from tests.bench.measured_process import Measured, run_measured
from tests.bench.reference_steps import STEPS
from tests.bench.report import stages_table, steps_table
from tests.imports import ROOT


def run_module(name: str, *arguments: object) -> Measured:
    """Run a module of this package."""
    return run_measured([sys.executable, "-m", f"tests.bench.{name}", *map(str, arguments)], ROOT)


def tell(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)


def generate(work: Path, rows: int, wheel: Path | None) -> None:
    """Make the inputs: `data` and `tokenizer`."""
    took = run_module("base_rows", work / "data", "--rows", rows)
    tell(f"{rows:,} rows generated: {took.seconds:.1f} s, {took.peak_mb:,.0f} MB")
    run_module("tokenizer", work / "tokenizer", *(("--wheel", wheel) if wheel else ()))


def measure(work: Path, runs: int, limit: int) -> bool:
    """Run baseline and pipeline in turn, print the tables and checks.

    Args:
        work: folder with `data` and `tokenizer`.
        runs: how many of each.
        limit: rows that the baseline tokenizes.

    Returns:
        Whether the pipeline's rows and counts are the reference's.
    """
    base, data = work / "data" / "rollouts.jsonl", work / "project" / "data"
    pipeline.copy_project(work / "project", work / "data", work / "tokenizer")
    flags = {"filter": ("--base", base), "analyze": ("--tokenizer", work / "tokenizer", "--limit", limit)}
    steps, stages = defaultdict[str, list[Measured]](list), defaultdict[str, list[Measured]](list)
    loop_rates = []
    for run in range(1, runs + 1):
        for step in STEPS:
            took = run_module("reference_steps", step, work / "plain", *flags.get(step, ()))
            steps[step].append(took)
            tell(f"run {run}, plain {step}: {took.seconds:.1f} s, {took.peak_mb:,.0f} MB")
        analyzed = json.loads((work / "plain" / "analyze.json").read_text(encoding="utf-8"))
        counts = analyzed["tokens"]
        loop_rates.append(sum(counts.values()) / analyzed["seconds"])
        for stage, took in pipeline.run_stages(work / "project"):
            stages[stage].append(took)
            tell(f"run {run}, {stage}: {took.seconds:.1f} s, {took.peak_mb:,.0f} MB")
    tokens, loop_rate = published_rows.rendered_tokens(data), median(loop_rates)
    rate = tokens / median(took.seconds for took in stages["measure_lengths"])
    print(
        f"{base.stat().st_size / 1e6:,.0f} MB of JSONL, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"medians of {runs}:\n\n{stages_table(stages)}\n\n"
        f"{steps_table(steps, stages, len(counts), rate / loop_rate)}\n\n"
        f"`measure_lengths` renders and counts {tokens / 1e6:,.1f} M tokens, {rate / 1e6:.2f} M/s of its whole wall "
        f"time; the per-row loop {loop_rate / 1e6:.2f} M/s without its start: {rate / loop_rate:.1f} x."
    )
    return published_rows.agree(base, data, counts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the base set (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="runs of baseline and pipeline (default: %(default)s)")
    parser.add_argument("--limit", type=int, default=400, help="rows that the loop tokenizes (default: %(default)s)")
    parser.add_argument("--wheel", type=Path, help="the tokenizer's wheel; without it, it is downloaded")
    parser.add_argument("--work", type=Path, help="keep the files, some 6 GB, in this empty folder")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = (flags.work or Path(scratch)).resolve()
        generate(work, flags.rows, flags.wheel)
        if not measure(work, flags.runs, flags.limit):
            sys.exit("the pipeline's results differ from the reference's")


if __name__ == "__main__":
    main()
