"""Which CPU this is, and how many of them this process may use."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from horizon.errors import InputError

OVERRIDE = "HORIZON_CPUS"
MOST = 1024


def usable_cpus() -> int:
    """How many CPUs this process may use, at least 1.

    That is the number of CPUs that it may run on (its affinity, as ``taskset`` sets it), or the CPU
    time that its control groups allow, rounded up to whole CPUs, if that is less: a container with
    ``--cpus 2`` sees all CPUs of its host and may use two. The environment variable
    ``HORIZON_CPUS`` replaces both. ``csrc/executor/cpus.cpp`` counts in the same way.

    Raises:
        InputError: ``HORIZON_CPUS`` is no whole number from 1 to 1024.
    """
    forced = os.environ.get(OVERRIDE)
    if forced:
        if not re.fullmatch("[0-9]{1,4}", forced) or not 1 <= int(forced) <= MOST:
            raise InputError(
                f"{OVERRIDE}: found {forced}, expected a whole number from 1 to {MOST}; unset it "
                "to count the CPUs that the system allows"
            )
        return int(forced)
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(root: str | os.PathLike[str] = "/") -> float | None:
    """CPUs' worth of time that the control groups of this process allow; None without a limit.

    Of nested groups the strictest counts. Both versions of control groups are looked at, because a
    system may have both mounted. What cannot be read is no limit.

    Args:
        root: where ``proc/self`` and the paths that are written in it are looked up.
    """
    base = Path(root)
    quotas = [
        quota
        for mount, group, version in _groups(base)
        for folder in _upwards(mount, group)
        if (quota := (_quota_2 if version == 2 else _quota_1)(folder)) is not None
    ]
    return min(quotas, default=None)


def cpuinfo(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """What Linux says of the first CPU, by its own names; nothing where it says nothing."""
    fields: dict[str, str] = {}
    for line in _lines(path):
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _groups(root: Path) -> Iterator[tuple[Path, str, int]]:
    """Where the hierarchies are mounted that limit CPU time, this process's group, the version."""
    groups: dict[int, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            groups[2] = group
        elif "cpu" in controllers.split(","):
            groups[1] = group
    for line in _lines(root / "proc/self/mountinfo"):
        mount, _, system = line.partition(" - ")
        before, after = mount.split(" "), system.split(" ")
        if len(before) < 5 or len(after) < 3:
            continue
        if after[0] == "cgroup2":
            version = 2
        elif after[0] == "cgroup" and "cpu" in after[2].split(","):
            version = 1
        else:
            continue
        if version in groups:
            # In a container the mount may begin at the group itself: `top` is its path outside.
            top, group = _unescaped(before[3]), groups[version]
            inside = group.removeprefix(top.rstrip("/")) if _below(group, top) else ""
            yield root / _unescaped(before[4]).lstrip("/"), inside, version


def _below(group: str, top: str) -> bool:
    return top == "/" or group == top or group.startswith(top + "/")


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """The folders of a group and of all that it lies in."""
    names = [name for name in group.split("/") if name not in ("", ".", "..")]
    for count in range(len(names), -1, -1):
        yield mount.joinpath(*names[:count])


def _quota_2(folder: Path) -> float | None:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_1(folder: Path) -> float | None:
    quota = " ".join(_lines(folder / "cpu.cfs_quota_us")).strip()
    return _ratio(quota, " ".join(_lines(folder / "cpu.cfs_period_us")).strip())


def _ratio(quota: str, period: str) -> float | None:
    """None for what means no limit: ``max`` and -1."""
    numbers = re.fullmatch("[0-9]{1,18}", quota), re.fullmatch("[0-9]{1,18}", period)
    if not all(numbers) or int(quota) == 0 or int(period) == 0:
        return None
    return int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []


def _unescaped(path: str) -> str:
    """mountinfo writes spaces and the like as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)
