"""Ctrl-C, SIGTERM and SIGHUP as a flag that loops look at.

``main`` runs a command in :func:`signals_handled`. A loop whose state must not be torn apart runs
in :func:`watched` and calls :func:`check` (or, in a process group, :func:`requested`) where it may
stop; meanwhile a signal only sets the flag. Where nothing is watched there is nothing to lose, and
the signal raises :class:`Interrupted` at once. Python drops an exception that meets a destructor;
this one is raised again a moment later, so that no signal is lost.

A second signal, a second or more after the first, ends the process at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# One Ctrl-C may come twice: from the terminal, and from the program that started this one.
SAME_REQUEST_SECONDS = 1.0
AGAIN_SECONDS = 0.02
ON_ITS_WAY_SECONDS = 0.2


class Interrupted(KeyboardInterrupt):
    """The user, the container or the batch system wants this process to end.

    Attributes:
        signal: that asked for it.
        note: what was kept and how to go on, for the user.
    """

    def __init__(self, number: int, note: str = "") -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = signal.Signals(number)
        self.note = note

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM, as of a shell."""
        return 128 + self.signal

    def __reduce__(self) -> tuple[Any, ...]:
        return Interrupted, (int(self.signal), self.note)


class _State:
    requested: int | None = None
    since = 0.0
    watchers = 0
    again = False  # the next call of the handler repeats a signal that a destructor has swallowed
    insisting = True  # whether a second signal ends the process
    hook: Any = sys.__unraisablehook__  # the one that was there before


_state = _State()


def pending() -> int | None:
    """The signal that asked this process to end, or None."""
    return _state.requested


def check(note: str = "") -> None:
    """Raise :class:`Interrupted` if a signal has asked for it."""
    if _state.requested is not None:
        raise Interrupted(_state.requested, note)


def check_soon(note: str = "") -> None:
    """:func:`check` where another process has died: of a signal to all that is on its way here?"""
    end = time.monotonic() + ON_ITS_WAY_SECONDS
    while _state.requested is None and time.monotonic() < end:
        time.sleep(AGAIN_SECONDS)
    check(note)


def requested(device: torch.device | None = None) -> bool:
    """Whether to stop here; the same answer in all processes of the group, which all must ask.

    Args:
        device: of the group's tensors; None: no group, this process decides alone.
    """
    here = _state.requested is not None
    if device is None:
        return here
    import torch  # commands that do without it do not wait for it

    if not torch.distributed.is_initialized():
        return here
    anywhere = torch.tensor(int(here), device=device)
    torch.distributed.all_reduce(anywhere, op=torch.distributed.ReduceOp.MAX)
    return bool(anywhere.item())


def stop_if_requested(device: torch.device | None = None) -> None:
    """Raise :class:`Interrupted` in all processes of the group, if a signal met one of them."""
    if requested(device):
        raise Interrupted(_state.requested or signal.SIGTERM)


def request(number: int = signal.SIGTERM) -> None:
    """Set the flag, as the signal does."""
    if _state.requested is None:
        _state.requested, _state.since = number, time.monotonic()


@contextmanager
def watched() -> Iterator[None]:
    """A loop that calls :func:`check`: here a signal sets the flag and does nothing else.

    Raises:
        Interrupted: at the end of the block, if the loop did not look in time.
    """
    _state.watchers += 1
    try:
        yield
    finally:
        _state.watchers -= 1
    if _state.watchers == 0:
        check()


@contextmanager
def advice(note: str) -> Iterator[None]:
    """Say ``note`` to the user if the block is interrupted and no inner one has said more."""
    try:
        yield
    except Interrupted as error:
        error.note = error.note or note
        raise


@contextmanager
def signals_handled(insisting: bool = True) -> Iterator[None]:
    """Handle the signals as the module says; afterwards everything is as before.

    Signals that this process was started with ignored (``nohup``) stay ignored. Outside of the main
    thread nothing is done, because Python handles signals there.

    Args:
        insisting: whether a second signal ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread() or _handled():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    hook = sys.unraisablehook
    _reset(insisting)
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _handle)
        _state.hook, sys.unraisablehook = hook, _unraisable
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        sys.unraisablehook = hook
        _reset()


def _handled() -> bool:
    return any(signal.getsignal(number) is _handle for number in SIGNALS)


def _reset(insisting: bool = True) -> None:
    _state.requested, _state.since, _state.watchers = None, 0.0, 0
    _state.again, _state.insisting = False, insisting


def _handle(number: int, frame: FrameType | None) -> None:
    again, _state.again = _state.again, False
    if _state.requested is None:
        request(number)
    elif not again:
        if _state.insisting and time.monotonic() - _state.since >= SAME_REQUEST_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return
    if _state.watchers == 0:
        raise Interrupted(_state.requested or number)


def _unraisable(unraisable: Any) -> None:
    """Where Python would print the exception and go on without it."""
    if not isinstance(unraisable.exc_value, Interrupted):
        _state.hook(unraisable)
        return
    timer = threading.Timer(AGAIN_SECONDS, _repeat)
    timer.daemon = True
    timer.start()


def _repeat() -> None:
    if _handled() and _state.requested is not None:
        _state.again = True
        signal.pthread_kill(threading.main_thread().ident or 0, _state.requested)
