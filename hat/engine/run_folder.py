"""Ownership of the files of a training run.

A run of one stage owns, in each folder that it writes to, what its manifest names::

    {stage}-run.json                           the manifest
    {prefix}checkpoint-{last,best,epoch-0000}.pth.tar
    {stage}-log.txt, {stage}-log.jsonl, tensorboard/{stage}/, {stage}-pictures/
    report.html                                the page of all stages in the folder

A new run does not begin where the checkpoints of another one are, and no stage writes under the
names of another stage. What is replaced (``--overwrite``) is what the manifest names and nothing
else in the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hat.data.files import write_json
from hat.errors import InputError
from hat.provenance import clock
from hat.stages import STAGES

FORMAT = "hat-run"
VERSION = 1
PAGE_MARK = b'<meta name="generator" content="hat train">'
PAGE_HEAD = 1024  # bytes in which it stands


class Start(Enum):
    """How a run begins."""

    NEW = "new"  # refused where another run has saved checkpoints
    RESUME = "resume"  # continues the run that is there
    OVERWRITE = "overwrite"  # replaces the run that is there


@dataclass
class RunFolder:
    """The folders and file names of one run.

    Attributes:
        stage: the stage that is trained.
        ckpt_dir: the folder of the log.
        prefixes: the folders that checkpoints go to, with the beginnings of their names.
        description: what the manifest keeps of the run: config, settings, versions.
    """

    stage: str
    ckpt_dir: Path
    prefixes: dict[Path, set[str]] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prefixes.setdefault(self.ckpt_dir, set())

    def check(self, start: Start) -> None:
        """See that this run may begin here; nothing is changed.

        Raises:
            InputError: a name belongs to another stage, the run is going on in another process, or
                there is a run that ``start`` would destroy.
        """
        page = report_path(self.ckpt_dir)
        if os.path.lexists(page) and not _is_own_page(page):
            raise InputError(
                f"{page}: is no page that hat train has written, and it would be replaced; move it "
                "away or choose another folder: --opts ckpt_dir DIR"
            )
        for folder, prefixes in self.prefixes.items():
            for prefix in sorted(prefixes):
                self._check_prefix(folder, prefix)
            manifest = read_manifest(folder, self.stage)
            if manifest and _is_running(manifest):
                process = manifest["process"]
                raise InputError(
                    f"{folder}: a run of the stage {self.stage} is going on here (process "
                    f"{process['pid']}, started {manifest.get('started')}); wait for it, stop it, "
                    "or choose another folder: --opts ckpt_dir DIR"
                )
            saved = [path for prefix in prefixes for path in saved_checkpoints(folder, prefix)]
            if start is Start.NEW and saved:
                raise InputError(
                    f"{folder}: holds a run of the stage {self.stage} "
                    f"({_summary(manifest)}; {len(saved)} checkpoints, "
                    f"such as {saved[0].name}). Continue it with --resume, replace it with "
                    "--overwrite, or choose another folder: --opts ckpt_dir DIR"
                )

    def begin(self, start: Start) -> None:
        """Take possession: remove what is replaced, write the manifests."""
        for folder in self.prefixes:
            folder.mkdir(parents=True, exist_ok=True)
            before = read_manifest(folder, self.stage) if start is Start.RESUME else None
            if start is not Start.RESUME:
                self._remove(folder)
            now = clock()
            content = {
                "format": FORMAT,
                "version": VERSION,
                "stage": self.stage,
                **self.description,
                "prefixes": sorted(self.prefixes[folder]),
                "started": before["started"] if before else now,
                "resumed": [*before.get("resumed", []), now] if before else [],
                "finished": None,
                "process": _this_process(),
            }
            write_json(manifest_path(folder, self.stage), content)

    def end(self, finished: bool) -> None:
        """Note that no process writes here any more, and whether the run came to its end."""
        for folder in self.prefixes:
            manifest = read_manifest(folder, self.stage)
            if manifest is not None:
                manifest |= {"finished": clock() if finished else None, "process": None}
                write_json(manifest_path(folder, self.stage), manifest)

    def remove(self) -> None:
        """Remove what the run of this stage has made, and nothing else."""
        for folder in self.prefixes:
            self._remove(folder)

    def _check_prefix(self, folder: Path, prefix: str) -> None:
        named = prefix.rstrip("-")
        if named in STAGES and named != self.stage:
            raise InputError(
                f"Checkpoint: name_prefix={prefix!r} names the stage {named}, this is the stage "
                f"{self.stage}: its checkpoints would replace those of {named} in {folder}; "
                f"expected name_prefix='{self.stage}-'"
            )
        for other in STAGES:
            manifest = read_manifest(folder, other) if other != self.stage else None
            if manifest and prefix in manifest.get("prefixes", []):
                raise InputError(
                    f"Checkpoint: name_prefix={prefix!r} belongs to the run of the stage {other} "
                    f"in {folder} ({_summary(manifest)}), which the stage {self.stage} may not "
                    f"replace; expected name_prefix='{self.stage}-' or another save_dir"
                )

    def _remove(self, folder: Path) -> None:
        manifest = read_manifest(folder, self.stage) or {}
        for prefix in {*manifest.get("prefixes", []), *self.prefixes[folder]}:
            _unlink(saved_checkpoints(folder, prefix))
        logs = folder / "tensorboard" / self.stage
        _unlink([folder / f"{self.stage}-log.txt", folder / f"{self.stage}-log.jsonl"])
        _unlink(logs.glob("events.out.tfevents.*"))
        pictures = pictures_folder(folder, self.stage)
        _unlink(pictures.glob("pair*.jpg"))
        with contextlib.suppress(OSError):  # not there, or something else is in it
            pictures.rmdir()
        _unlink([manifest_path(folder, self.stage)])


def manifest_path(folder: Path, stage: str) -> Path:
    """The manifest of the run of ``stage`` in ``folder``."""
    return folder / f"{stage}-run.json"


def read_manifest(folder: Path, stage: str) -> dict[str, Any] | None:
    """The manifest of the run of ``stage`` in ``folder``; None where none has begun.

    Raises:
        InputError: a file of that name that is no manifest.
    """
    path = manifest_path(folder, stage)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable manifest of a run ({error}); move it away or choose another "
            "folder: --opts ckpt_dir DIR"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(
            f"{path}: not the manifest of a run; move it away or choose another folder: "
            "--opts ckpt_dir DIR"
        )
    return content


def report_path(folder: Path) -> Path:
    """The page of the runs in ``folder``."""
    return folder / "report.html"


def pictures_folder(folder: Path, stage: str) -> Path:
    """Where the pictures of the run of ``stage`` are kept."""
    return folder / f"{stage}-pictures"


def _is_own_page(path: Path) -> bool:
    """Whether the file says that this command has written it."""
    try:
        with open(path, "rb") as file:
            return PAGE_MARK in file.read(PAGE_HEAD)
    except OSError:
        return False


def saved_checkpoints(folder: Path, prefix: str) -> list[Path]:
    """The checkpoints in ``folder`` whose names begin with ``prefix``, the newest first."""
    if not folder.is_dir():
        return []
    kinds = ("last", "best", "epoch-")
    found = [
        path
        for path in folder.iterdir()
        if path.name.endswith(".pth.tar")
        and path.name.startswith(tuple(f"{prefix}checkpoint-{kind}" for kind in kinds))
    ]
    return sorted(found, key=lambda path: (-path.stat().st_mtime, path.name))


def _summary(manifest: dict[str, Any] | None) -> str:
    if manifest is None:
        return "no manifest says whose"
    state = f"finished {manifest['finished']}" if manifest.get("finished") else "not finished"
    return f"{manifest.get('config')}, started {manifest.get('started')}, {state}"


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())}


def _is_running(manifest: dict[str, Any]) -> bool:
    """Whether the process that the manifest names still lives; one on another host is not asked."""
    process = manifest.get("process")
    if not process or process.get("host") != socket.gethostname():
        return False
    if process.get("pid") == os.getpid():
        return False
    return process.get("began") is not None and _began(process["pid"]) == process["began"]


def _began(pid: int) -> int | None:
    """When a process began, in clock ticks since the boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])
