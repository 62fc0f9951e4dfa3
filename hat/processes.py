"""Work in processes of its own: sound with Ctrl-C, with a killed parent and with killed workers."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from hat import interruption
from hat.errors import InputError
from hat.library_advice import log_library_advice

Task = TypeVar("Task")
Result = TypeVar("Result")

LOOK_SECONDS = 0.2  # between two looks at a signal
PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[Result]:
    """``work(task)`` of every task, in their order; at most ``jobs`` run at the same time.

    One job means this process. Otherwise each task has a process of its own, started by ``spawn``,
    because ``fork`` would copy locks that threads of the caller's libraries may hold. A caller that
    does not take all results must close the iterator (``contextlib.closing``) to end the processes.

    Args:
        work: of a module, so that another process finds it; what it raises is raised here.

    Raises:
        InputError: a process was killed.
        RuntimeError: one ended otherwise without a result.
    """
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            interruption.check()
            yield work(task)
        return
    waiting = deque(enumerate(tasks))
    running: dict[Connection, tuple[int, SpawnProcess]] = {}
    finished: dict[int, tuple[bool, Any]] = {}
    try:
        for wanted in range(len(tasks)):
            while wanted not in finished:
                while waiting and len(running) < jobs:
                    index, task = waiting.popleft()
                    connection, process = _start(work, task)
                    running[connection] = index, process
                ready = wait(list(running), timeout=LOOK_SECONDS)
                interruption.check()
                for connection in [c for c in running if c in ready]:
                    index, process = running[connection]
                    finished[index] = _received(connection, process)
                    del running[connection]
            good, result = finished.pop(wanted)
            if not good:
                raise result
            yield result
    finally:
        for _, process in running.values():
            process.kill()
            process.join()


def _start(work: Callable[[Task], Result], task: Task) -> tuple[Connection, SpawnProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, task, theirs), daemon=True)
    with interrupts_blocked():
        process.start()
    theirs.close()
    return ours, process


def _run(work: Callable[[Task], Result], task: Task, connection: Connection) -> None:
    end_with_parent()
    log_library_advice()
    try:
        outcome: tuple[bool, Any] = True, work(task)
    except Exception as error:  # it is raised again where the results are taken
        error.add_note(traceback.format_exc())
        outcome = False, error
    connection.send(outcome)


def _received(connection: Connection, process: SpawnProcess) -> tuple[bool, Any]:
    """Whether the work went well, and its result or what it raised."""
    try:
        outcome: tuple[bool, Any] = connection.recv()
    except EOFError:
        process.join()
        if (process.exitcode or 0) < 0:
            interruption.check_soon()
            raise InputError(
                f"--jobs: a process was killed (signal {-(process.exitcode or 0)}), probably for "
                "want of memory; run the same command with fewer jobs"
            ) from None
        raise RuntimeError(
            f"a process of --jobs ended with exit code {process.exitcode} and without a result"
        ) from None
    process.join()
    return outcome


def run_child(words: Sequence[str]) -> int:
    """Run a command; a signal that asks this process to end is handed on to it.

    On Linux it is asked to end as well where this process is killed with -9.

    Returns:
        Its exit code, below 0 for the signal that killed it.

    Raises:
        Interrupted: after the command has ended.
    """
    with (
        interruption.watched(),
        subprocess.Popen(list(words), preexec_fn=_end_asked_by_the_system()) as child,
    ):
        told = False
        while True:
            try:
                return child.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                number = interruption.pending()
                if number is not None and not told:
                    told = True
                    child.send_signal(number)


def _end_asked_by_the_system() -> Callable[[], None] | None:
    """For a new process: the system asks it to end when its parent has ended, however that was."""
    if sys.platform != "linux":
        return None
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:  # it has ended in between
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Hold back Ctrl-C and the terminal's end, which all processes of a terminal get.

    Processes started meanwhile never see them: they are the parent's to handle.
    """
    # It starts with the first process otherwise, and then lets the signals in again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(grace_seconds: float = 0.0) -> None:
    """End this process when its parent does, which tells nobody if it is killed with -9.

    Args:
        grace_seconds: for a loop that looks at :mod:`hat.interruption` to save what it has.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        interruption.request()
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
