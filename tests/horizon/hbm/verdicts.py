"""Whether the Python reader and the C++ loader agree on files.

``python -m tests.horizon.hbm.verdicts [--count N] [--seed S] [--fuzzer FORGE --corpus FILE ...]``
forges N files with :mod:`tests.horizon.hbm.forge` and, where the program ``forge`` of
``csrc/fuzz/build.sh`` is given, as many with the fuzzer's mutator. Exit code 1 if verdicts differ.
"""

from __future__ import annotations

import argparse
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from horizon import _native
from horizon.errors import InputError
from horizon.hbm import from_bytes, to_bytes
from horizon.hbm.container import join_sections, split_sections
from horizon.hbm.format import SectionKind
from tests.horizon.hbm.forge import RECORD_TYPES, forge, forge_copies, forge_frame
from tests.horizon.hbm.programs import full_program, short_program

METADATA = "program: section metadata: "
MOST_SHOWN = 10
# Of the forged files: those of copies alone, those with a forged frame.
COPIES, FRAMES = 0.25, 0.05


@dataclass
class Count:
    """What became of the files.

    Attributes:
        metadata: files whose metadata only the reader of Python looks at (``docs/hbm_format.md``);
            they were compared without them.
        differing: the files, with both verdicts.
    """

    accepted: int = 0
    refused: int = 0
    metadata: int = 0
    differing: list[tuple[bytes, str, str]] = field(default_factory=list)

    @property
    def files(self) -> int:
        return self.accepted + self.refused


def verdict(read: object, data: bytes) -> str:
    """The message of the refusal, or nothing."""
    assert callable(read)
    try:
        read(data)
    except InputError as error:
        return str(error)
    return ""


def compare(files: Iterable[bytes], count: Count) -> Count:
    """Ask both of each file."""
    for data in files:
        python, native = verdict(from_bytes, data), verdict(_native.check_program, data)
        if python.startswith(METADATA) and not native:
            count.metadata += 1
            data = without_metadata(data)
            python = verdict(from_bytes, data)
        if native:
            count.refused += 1
        else:
            count.accepted += 1
        if bool(python) != bool(native):
            count.differing.append((data, python, native))
    return count


def without_metadata(data: bytes) -> bytes:
    sections = {}
    for kind, part in split_sections(memoryview(data), "program").items():
        content = b"{}" if kind is SectionKind.metadata else bytes(part)
        size = RECORD_TYPES[kind][1].itemsize if kind in RECORD_TYPES else 1
        sections[kind] = (content, len(content) // size)
    return join_sections(sections)


def forged(count: int, seed: int) -> Iterator[bytes]:
    """Files of :mod:`tests.horizon.hbm.forge`: the same for the same seed."""
    rng = random.Random(seed)
    bases = [to_bytes(short_program()), *[to_bytes(full_program(seed))] * 4]
    for _ in range(count):
        yield forged_file(rng.choice(bases), bases[0], rng)


def forged_file(base: bytes, short: bytes, rng: random.Random) -> bytes:
    """``base`` with something else in its records or frame, or ``short`` with copies in front."""
    kind = rng.random()
    if kind < COPIES:
        return forge_copies(short, rng)
    return forge_frame(base, rng) if kind < COPIES + FRAMES else forge(base, rng)


def fuzzed(program: str, corpus: list[str], count: int, seed: int) -> Iterator[bytes]:
    """Files of ``csrc/fuzz/forge.cpp``."""
    command = [program, str(seed), str(count), *corpus]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while head := process.stdout.read(8):
            yield process.stdout.read(struct.unpack("<Q", head)[0])
    assert process.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="of files from each source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fuzzer", help="the program forge of csrc/fuzz/build.sh")
    parser.add_argument("--corpus", nargs="*", default=[], help="files that the fuzzer starts from")
    arguments = parser.parse_args()
    sources = {"records": forged(arguments.count, arguments.seed)}
    if arguments.fuzzer:
        words = (arguments.fuzzer, arguments.corpus, arguments.count, arguments.seed)
        sources["fuzzer"] = fuzzed(*words)
    differing = 0
    for name, files in sources.items():
        start = time.monotonic()
        count = compare(files, Count())
        differing += len(count.differing)
        print(
            f"{name}: {count.files} files, {count.accepted} accepted, {count.refused} refused, "
            f"{count.metadata} compared without metadata, {len(count.differing)} verdicts differ, "
            f"{time.monotonic() - start:.0f} s"
        )
        for _, python, native in count.differing[:MOST_SHOWN]:
            print(f"  Python: {python or 'accepted'}\n  C++:    {native or 'accepted'}")
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
