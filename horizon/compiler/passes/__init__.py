"""The passes over the program graph: each is one pure function ``Graph -> Graph``.

All are exact: the program's outputs keep every integer, its inputs and outputs their names.
"""

from __future__ import annotations

from collections.abc import Callable

from horizon.compiler.passes.flatten_concats import flatten_concats
from horizon.compiler.passes.fold_constants import fold_constants
from horizon.compiler.passes.fold_padding import fold_padding
from horizon.compiler.passes.fuse_clamps import fuse_clamps
from horizon.compiler.passes.merge_identical import merge_identical
from horizon.compiler.passes.remove_dead import remove_dead
from horizon.compiler.passes.remove_identities import remove_identities
from horizon.compiler.passes.simplify_slices import simplify_slices
from horizon.compiler.passes.split_groups import split_groups
from horizon.hbir.graph import Graph, verify

Pass = Callable[[Graph], Graph]
NEEDED: tuple[Pass, ...] = (split_groups,)
OPTIMISING: tuple[Pass, ...] = (
    fold_constants,
    remove_identities,
    simplify_slices,
    flatten_concats,
    fuse_clamps,
    fold_padding,
    merge_identical,
    remove_dead,
)


def run_passes(graph: Graph, optimise: bool) -> Graph:
    """The program after all passes, verified after each.

    Args:
        optimise: also run the passes that machines do not need, until none changes anything.

    Raises:
        InputError: the program is no valid one (``horizon.hbir.verify``).
    """
    verify(graph)
    graph = _run(graph, NEEDED)
    while optimise:
        before = graph
        graph = _run(graph, OPTIMISING)
        if graph == before:
            break
    return graph


def _run(graph: Graph, passes: tuple[Pass, ...]) -> Graph:
    for one in passes:
        graph = one(graph)
        verify(graph)
    return graph
