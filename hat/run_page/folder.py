"""What the files of a run's folder say about its stages."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.engine.callbacks.stats_monitor import duration
from hat.engine.run_folder import manifest_path, pictures_folder, read_manifest
from hat.errors import InputError
from hat.provenance import clock
from hat.run_log import read_log
from hat.run_page.pictures import read_strips
from hat.stages import STAGES
from hat.visualize.curves import training_curve
from hat.visualize.run_page import StageOfRun, run_page

LONGEST_CURVE = 2000  # points; of longer logs every second record is drawn, every third, and so on


@dataclass(frozen=True)
class Going:
    """The stage that runs in this process.

    Attributes:
        state: "running", "finished" or "interrupted".
        step, total: done and planned; both 0 for a stage without steps.
        speed: steps per second.
    """

    stage: str
    state: str
    step: int
    total: int
    speed: float


def page_of_folder(folder: Path, title: str, going: Going) -> str:
    """The HTML page of all stages that have begun in ``folder``."""
    stages = [
        _stage(folder, stage, going if stage == going.stage else None)
        for stage in STAGES
        if stage == going.stage or manifest_path(folder, stage).is_file()
    ]
    running = going.state == "running"
    summary = f"{going.stage} is {going.state}" if running else f"{going.stage}: {going.state}"
    return run_page(title, f"{summary}; this page is of {clock()}", stages, running)


def _stage(folder: Path, stage: str, going: Going | None) -> StageOfRun:
    manifest: dict[str, Any] = {}
    records: list[dict[str, Any]] = []
    with contextlib.suppress(InputError):
        manifest = read_manifest(folder, stage) or {}
    with contextlib.suppress(InputError):  # nothing is logged yet
        records = read_log(folder / f"{stage}-log.jsonl")
    return StageOfRun(
        name=stage,
        state=_state(manifest, going),
        share=going.step / going.total
        if going and going.state == "running" and going.total
        else None,
        metrics=_metrics(records),
        curves=_curves(records),
        strips=read_strips(pictures_folder(folder, stage)),
        details=_details(manifest),
    )


def _state(manifest: Mapping[str, Any], going: Going | None) -> str:
    begun = f"Started {manifest['started']}" if manifest.get("started") else "Started"
    resumed = manifest.get("resumed") or []
    begun += f", resumed {resumed[-1]}" if resumed else ""
    if going is None:
        finished = manifest.get("finished")
        return f"{begun}; finished {finished}" if finished else f"{begun}; not finished"
    if not going.total:
        return f"{begun}; {going.state}"
    text = f"{begun}; {going.state} at step {going.step:,} of {going.total:,}"
    if going.state == "running" and going.speed > 0:
        left = (going.total - going.step) / going.speed
        text += f", {going.speed:.3g} steps per second, about {duration(left)} left"
    return text


def _metrics(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, float | None]]]:
    """The last validation, the best one and the first one, as far as they differ."""
    found = [record for record in records if any(str(key).startswith("val/") for key in record)]
    if not found:
        return []
    measured = [record for record in found if isinstance(record.get("val/EPE"), int | float)]
    chosen = {"last": found[-1]}
    if measured:
        chosen["smallest EPE"] = min(measured, key=lambda record: float(record["val/EPE"]))
    chosen["first"] = found[0]
    columns, seen = [], set()
    for heading, record in chosen.items():
        if id(record) not in seen:
            seen.add(id(record))
            columns.append((f"{heading}, step {record.get('step')}", _values(record)))
    return columns


def _values(record: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        key.removeprefix("val/"): value if isinstance(value, int | float) else None
        for key, value in record.items()
        if key.startswith("val/")
    }


def _curves(records: Sequence[Mapping[str, Any]]) -> bytes | None:
    if len(records) < 2:
        return None
    stride = -(-len(records) // LONGEST_CURVE)
    kept = [
        record
        for number, record in enumerate(records)
        if number % stride == 0 or "val/EPE" in record or number == len(records) - 1
    ]
    figure = training_curve(kept)
    if figure is None:
        return None
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def _details(manifest: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    run = [
        ("config", str(manifest.get("config", "-"))),
        ("--opts", " ".join(map(str, manifest.get("opts") or [])) or "-"),
    ]
    tables = [("Run", run)] if manifest else []
    for key, title in (("settings", "Settings"), ("versions", "Versions")):
        rows = manifest.get(key)
        if isinstance(rows, Mapping) and rows:
            tables.append((title, [(str(name), _text(value)) for name, value in rows.items()]))
    return tables


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
