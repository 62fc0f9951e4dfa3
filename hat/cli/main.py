"""The ``hat`` command: ``hat train``, ``hat predict`` ... one subcommand per tool."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from hat import interruption
from hat.errors import InputError
from hat.library_advice import library_advice_logged
from hat.os_errors import message_of
from hat.paths import expand_arguments
from hat.provenance import project_version
from horizon.files import FULL_DISK

COMMANDS = {
    "ls": "list configs, machines, trained networks and the components of configs",
    "cp": "copy a shipped config, to change it",
    "config_check": "check a config before anything runs (also: validate)",
    "demo": "run the whole chain on generated data and write a report",
    "flyingchairs_generator": "make a FlyingChairs-like data set",
    "flyingchairs_packer": "pack FlyingChairs into LMDB",
    "flow_statistics": "print the motions of generated and other pairs beside the published ones",
    "calops": "count parameters and MACs",
    "train": "train a stage of a model",
    "predict": "compute the metrics of a trained model",
    "infer": "estimate and draw the flow of images, folders, videos and cameras",
    "model_checker": "check a network against machines, op by op, before anything is trained",
    "compile_perf": "compile the integer model to a program for a board or this machine",
    "fit_host": "fit a machine description to this CPU, so that its time can be estimated",
    "align_bpu_validation": "validate a compiled program: its integers and its metrics",
    "export_onnx": "export a trained model to ONNX and check it",
    "widen": "begin a wider network with the weights of a trained one",
    "model_profiler": "find the layers where a quantised network leaves its float model",
    "export_network": "write an integer network to a file that horizon_flow.FlowModel runs",
    "completion": "print the completion script of bash, zsh or fish",
}
ALIASES = {"validate": "config_check"}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``hat``."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: hat COMMAND [options]     (hat COMMAND --help, hat --version)\n")
        for name, summary in COMMANDS.items():
            print(f"  {name.replace('_', '-'):{width}}  {summary}")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"hat {project_version()}")
        return 0
    name = words[0].replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in COMMANDS:
        from hat.registry import nearest

        print(
            f"hat: no command {words[0]!r}{nearest(name, [*COMMANDS, *ALIASES])}", file=sys.stderr
        )
        return 2
    return run_command(name, words[1:], prog=f"hat {words[0]}")


def run_command(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command ``hat/cli/{name}.py``; exit code 2 and one line for a user's mistake.

    130 or 143 and one line for a command that Ctrl-C or SIGTERM has ended.
    """
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be no UTF-8
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        with interruption.signals_handled(), library_advice_logged():
            return _run(name, argv, prog)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        _drop_output()
        return 1
    except (OSError, RuntimeError) as error:
        message = message_of(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            _drop_output()  # not once more at the end
        return 2
    except interruption.Interrupted as error:
        words = ["interrupted", *filter(None, [error.note])]
        print(": ".join(words), file=sys.stderr)
        return error.exit_code


def _open_standard_streams() -> None:
    """Put a nowhere in place of those that were closed (``>&-``).

    The next file that is opened would get the number of one that is closed, and with it all that
    libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def _refuse_empty_words(words: Sequence[str]) -> None:
    """InputError for an empty word, which as a path would be the current folder.

    It comes from a variable of the shell that is not set. ``--opts`` may set a key to it.
    """
    option = "argument"
    for word in words:
        if word.startswith("-"):
            option = word.partition("=")[0]
        if option != "--opts" and (word == "" or (word.startswith("--") and word.endswith("="))):
            raise InputError(
                f"{option}: found an empty word, expected a value; is a variable of the shell not "
                "set?"
            )


def _drop_output() -> None:
    """Let what is still to be printed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(name: str, argv: Sequence[str] | None, prog: str | None) -> int:
    module = importlib.import_module(f"hat.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=prog,
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    args = parser.parse_args(argv)
    _refuse_empty_words(sys.argv[1:] if argv is None else argv)
    expand_arguments(args)
    code = int(module.run(args))
    sys.stdout.flush()  # here, where a full disk behind it can be told
    return code


if __name__ == "__main__":
    sys.exit(main())
