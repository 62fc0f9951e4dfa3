"""Which bytes of the SRAM are copies of constants, followed through instructions in list order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Resident:
    """Ranges of the SRAM that hold constants, each with the place of its first byte there."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._copies: list[tuple[int, int, int]] = []  # (begin, end, constant), none overlap

    def forget(self, begin: int, end: int) -> None:
        """Bytes begin..end-1 now hold something else."""
        self._replace(begin, end, [])

    def remember(self, begin: int, end: int, constant: int) -> None:
        """Bytes begin..end-1 now hold the constants from ``constant`` on."""
        self._replace(begin, end, [(begin, end, constant)])

    def find(self, begin: int, end: int) -> int | None:
        """The offset of the constants that bytes begin..end-1 hold, or None."""
        index = bisect_right(self._begins, begin) - 1
        if index < 0:
            return None
        start, stop, constant = self._copies[index]
        while stop < end:  # a copy in several transfers is one copy
            index += 1
            if index == len(self._copies):
                return None
            following, next_stop, source = self._copies[index]
            if following != stop or source != constant + (following - start):
                return None
            stop = next_stop
        return constant + (begin - start)

    def _replace(self, begin: int, end: int, copies: list[tuple[int, int, int]]) -> None:
        first = bisect_left(self._begins, begin)
        if first and self._copies[first - 1][1] > begin:
            first -= 1
        last = bisect_left(self._begins, end)
        kept = []
        for start, stop, constant in self._copies[first:last]:
            if start < begin:
                kept.append((start, begin, constant))
            if stop > end:
                kept.append((end, stop, constant + (end - start)))
        changed = sorted(kept + copies)
        self._copies[first:last] = changed
        self._begins[first:last] = [copy[0] for copy in changed]
