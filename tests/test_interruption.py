"""Signals as a flag: where they wait, where they raise, and that none is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator

import pytest

from hat import interruption
from hat.interruption import Interrupted, check, pending, signals_handled, watched
from tests.conftest import ROOT
from tests.other_processes import WATCHDOG_SECONDS


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """A signal that the tests' caller ignores, as nohup does with SIGHUP, is left ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number: int = signal.SIGINT) -> None:
    signal.raise_signal(number)  # in this thread: another one would tell the main one later


def interrupted_in(body: Callable[[], None]) -> Interrupted:
    with signals_handled(), pytest.raises(Interrupted) as caught:
        body()
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_unwatched_code_is_left_at_once(number):
    def body() -> None:
        send(number)
        pytest.fail("the signal was not seen")

    assert interrupted_in(body).exit_code == 128 + number


def test_a_watched_loop_ends_where_it_looks():
    done = []

    @watched()
    def body() -> None:
        for number in range(5):
            check()
            if number == 2:
                send()
            done.append(number)

    interrupted_in(body)
    assert done == [0, 1, 2]


def test_a_watched_loop_that_never_looks_ends_behind_its_last_line():
    done = []

    def body() -> None:
        with watched():
            send()
            with watched():
                done.append("inner")
            done.append("outer")
        done.append("behind")

    interrupted_in(body)
    assert done == ["inner", "outer"]


class Sender:
    """Whose destructor meets a signal: Python drops what it raises."""

    def __del__(self) -> None:
        send()
        time.sleep(0)  # the handler runs at the latest here


def test_a_signal_that_meets_a_destructor_is_not_lost(capfd):
    def body() -> None:
        Sender()
        assert pending() == signal.SIGINT  # the flag was there at once
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.001)

    interrupted_in(body)
    assert capfd.readouterr().err == ""


def test_another_exception_in_a_destructor_is_printed_as_ever(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: seen.append(event.exc_value))

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("a fault")

    with signals_handled():
        Faulty()
    assert [str(error) for error in seen] == ["a fault"]


def test_everything_is_as_before_afterwards():
    before = {number: signal.getsignal(number) for number in interruption.SIGNALS}
    hook = sys.unraisablehook
    with signals_handled(), pytest.raises(Interrupted):
        send()
    assert {number: signal.getsignal(number) for number in interruption.SIGNALS} == before
    assert sys.unraisablehook is hook
    assert pending() is None


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup starts a command
    try:
        with signals_handled():
            send(signal.SIGHUP)
            assert pending() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_innermost_advice_is_given():
    with (
        signals_handled(),
        pytest.raises(Interrupted) as caught,
        interruption.advice("outer"),
        interruption.advice("inner"),
    ):
        send()
    assert caught.value.note == "inner"


def run(program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", textwrap.dedent(program)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=WATCHDOG_SECONDS)


@pytest.mark.parametrize(
    ("seconds", "ends"), [(interruption.SAME_REQUEST_SECONDS, True), (0.0, False)]
)
def test_a_second_signal_ends_at_once_unless_it_is_the_same_request(seconds, ends):
    found = run(f"""
        import os, signal
        from hat import interruption
        with interruption.signals_handled():
            with interruption.watched():
                os.kill(os.getpid(), signal.SIGTERM)
                print("still here", flush=True)
                interruption._state.since -= {seconds}
                if {seconds} == 0.0:  # the clock stands still
                    interruption.time.monotonic = lambda: interruption._state.since
                os.kill(os.getpid(), signal.SIGTERM)
                print("and here", flush=True)
                os._exit(0)
    """)
    assert found.stderr == ""
    assert found.stdout.splitlines() == ["still here"] + ([] if ends else ["and here"])
    assert found.returncode == (-signal.SIGTERM if ends else 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_interrupted_says_so_in_one_line(monkeypatch, capsys, number):
    from hat.cli import flyingchairs_packer, main

    def interrupted(*_, **__):
        send(number)

    monkeypatch.setattr(flyingchairs_packer, "pack_flyingchairs", interrupted)
    words = ["flyingchairs-packer", "--src-data-dir", "x", "--split-name", "train"]
    assert main.main(words) == 128 + number
    note = "the packed pairs are kept; run the same command to continue"
    assert capsys.readouterr().err == f"interrupted: {note}\n"


def test_a_signal_while_a_command_is_loaded(monkeypatch, capsys):
    from hat.cli import main

    monkeypatch.setattr(main.importlib, "import_module", lambda name: send())
    assert main.main(["train"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_command_that_runs_a_command_hands_the_signal_on(tmp_path):
    found = run(f"""
        import os, signal, sys
        from hat import interruption, processes
        child = '''
        import os, signal, sys
        from hat import interruption
        with interruption.signals_handled():
            try:
                with interruption.watched():
                    os.kill(os.getppid(), signal.SIGTERM)
                    while True:
                        interruption.check()
            except interruption.Interrupted as error:
                open({str(tmp_path / "ended")!r}, "w").write(error.signal.name)
        '''
        try:
            with interruption.signals_handled():
                import textwrap
                processes.run_child([sys.executable, "-c", textwrap.dedent(child)])
                print("not reached")
        except interruption.Interrupted as error:
            print(error.exit_code)
    """)
    assert (found.stdout, found.stderr) == ("143\n", "")
    assert (tmp_path / "ended").read_text() == "SIGTERM"
