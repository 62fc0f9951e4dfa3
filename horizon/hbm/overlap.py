"""Whether two boxes of a memory share a byte, though they may lie in between each other."""

from __future__ import annotations

from collections.abc import Sequence

from horizon.hbm.records import View

# Boxes of one buffer leave one or two multiples of a stride to try; more are not worth a search.
MAX_TRIES = 3
Term = tuple[int, int, int]  # (stride, lowest multiple, highest multiple)


def overlap(a: View, b: View) -> bool:
    """True if the views share a byte, or if strides that do not fit each other hide the answer.

    Slices of channels, columns or rows of one buffer are always told apart exactly.
    """
    if (a.space, a.index) != (b.space, b.index) or a.end <= b.offset or b.end <= a.offset:
        return False
    # Runs of bytes begin at a.offset + sum of s k in a, and the same in b. The difference of two
    # beginnings is a sum over all strides again, and those that both have are added up.
    terms: dict[int, Term] = {}
    first, second = _run(a), _run(b)
    for view, sign in ((a, 1), (b, -1)):
        for axis, (side, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
            if side == 1 or stride == 0 or (axis == 3 and stride == view.dtype.size):
                continue  # always the same place, or the run itself
            _, low, high = terms.get(stride, (stride, 0, 0))
            last = sign * (side - 1)
            terms[stride] = (stride, low + min(last, 0), high + max(last, 0))
    falling = sorted(terms.values(), reverse=True)
    return _can_meet(falling, a.offset - b.offset, first, second)


def _run(view: View) -> int:
    """Bytes of what lies without gaps along the channels."""
    size = view.dtype.size
    return size * view.shape[3] if view.strides[3] == size else size


def _can_meet(terms: Sequence[Term], distance: int, before: int, after: int) -> bool:
    """Whether multiples of the strides bring ``distance`` between ``-before`` and ``after``."""
    if not terms:
        return -before < distance < after
    (stride, low, high), *rest = terms
    least = sum(step * lowest for step, lowest, _ in rest)
    most = sum(step * highest for step, _, highest in rest)
    begin = max((-before - distance - most) // stride + 1, low)
    end = min((after - 1 - distance - least) // stride, high)
    if end - begin >= MAX_TRIES:
        return True
    return any(
        _can_meet(rest, distance + multiple * stride, before, after)
        for multiple in range(begin, end + 1)
    )
