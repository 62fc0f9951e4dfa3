"""How many CPUs a process may use: affinity, control groups of both versions, HORIZON_CPUS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from horizon import _native, cpus
from horizon.errors import InputError

COUNTERS = {"python": cpus.cpu_quota, "native": lambda root: _native.cpu_quota(str(root))}
V2 = "25 1 0:22 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


def write(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def system(root: Path, group: str, mounts: str, limits: dict[str, str]) -> Path:
    return write(root, {"proc/self/cgroup": group, "proc/self/mountinfo": mounts} | limits)


CASES = {
    "nothing is mounted": ("", "", {}, None),
    "version 2 without a limit": ("0::/a\n", V2, {"sys/fs/cgroup/a/cpu.max": "max 100000\n"}, None),
    "version 2": ("0::/a\n", V2, {"sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 1.5),
    "the outer group is stricter": (
        "0::/pod/job\n",
        V2,
        {
            "sys/fs/cgroup/pod/job/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "200000 100000\n",
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
        2.0,
    ),
    "a container that sees its own group as the root": (
        "0::/\n",
        V2,
        {"sys/fs/cgroup/cpu.max": "50000 100000\n"},
        0.5,
    ),
    "a mount that begins at the group": (
        "0::/docker/abc/inner\n",
        V2.replace(" / ", " /docker/abc ", 1),
        {"sys/fs/cgroup/inner/cpu.max": "300000 100000\n"},
        3.0,
    ),
    "a group outside the mount": (
        "0::/docker/abcd\n",
        V2.replace(" / ", " /docker/abc ", 1),
        {"sys/fs/cgroup/cpu.max": "100000 100000\n", "sys/fs/cgroup/d/cpu.max": "1 100\n"},
        1.0,
    ),
    "version 1": (
        "3:cpuset:/x\n2:cpu,cpuacct:/a/b\n",
        V1,
        {
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpuset/x/cpu.cfs_quota_us": "1\n",
            "sys/fs/cgroup/cpuset/x/cpu.cfs_period_us": "100000\n",
        },
        2.5,
    ),
    "both versions are mounted": (
        "1:cpu,cpuacct:/a\n0::/a\n",
        V1 + V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
        {
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "700000",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/unified/a/cpu.max": "600000 100000",
        },
        6.0,
    ),
    "a mount point with a space": (
        "0::/a\n",
        V2.replace("/sys/fs/cgroup", r"/sys/fs\040x"),
        {"sys/fs x/a/cpu.max": "120000 100000\n"},
        1.2,
    ),
    "what cannot be read as a limit": (
        "0::/a/b\nnonsense\n9:cpu\n",
        "short line\n - \n" + V2,
        {"sys/fs/cgroup/a/b/cpu.max": "many 0\n", "sys/fs/cgroup/a/cpu.max": "\n"},
        None,
    ),
}


@pytest.mark.parametrize("counter", COUNTERS)
@pytest.mark.parametrize("case", CASES)
def test_the_limit_of_the_control_groups(tmp_path, case, counter):
    group, mounts, limits, expected = CASES[case]
    assert COUNTERS[counter](system(tmp_path, group, mounts, limits)) == expected


def test_both_count_the_same_here(monkeypatch):
    monkeypatch.delenv(cpus.OVERRIDE, raising=False)
    assert cpus.cpu_quota() == _native.cpu_quota("/")
    assert cpus.usable_cpus() == _native.usable_cpus()


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [(8, None, 8), (8, 1.5, 2), (8, 2.0, 2), (8, 0.1, 1), (2, 16.0, 2), (1, None, 1)],
)
def test_the_quota_is_rounded_up_and_never_above_the_affinity(
    monkeypatch, affinity, quota, expected
):
    monkeypatch.delenv(cpus.OVERRIDE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    monkeypatch.setattr(cpus, "cpu_quota", lambda: quota)
    assert cpus.usable_cpus() == expected


def test_the_environment_has_the_last_word(monkeypatch):
    monkeypatch.setenv(cpus.OVERRIDE, "7")
    assert cpus.usable_cpus() == _native.usable_cpus() == 7
    monkeypatch.setenv(cpus.OVERRIDE, "")
    assert cpus.usable_cpus() == _native.usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1025", "1.5", "99999"])
def test_a_wrong_number_in_the_environment(monkeypatch, value):
    monkeypatch.setenv(cpus.OVERRIDE, value)
    for count, error in ((cpus.usable_cpus, InputError), (_native.usable_cpus, ValueError)):
        with pytest.raises(error, match=f"HORIZON_CPUS: found {value}, expected a whole number"):
            count()
