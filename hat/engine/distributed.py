"""Processes and devices: one process per device, under ``torchrun`` or started here.

``nccl`` on GPUs and ``gloo`` on CPUs. Every helper also works in a single process without a
process group.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn
from torch.multiprocessing.spawn import ProcessException

from hat import interruption
from hat.errors import InputError
from hat.processes import end_with_parent, interrupts_blocked
from horizon.cpus import usable_cpus

LOOK_SECONDS = 0.2  # between two looks at the processes
GRACE_SECONDS = 5.0  # for the others, when one process has ended
SAVE_SECONDS = 60.0  # for the main process to save, when a signal or the parent's end stops all


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    return rank() == 0


def barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


def everywhere(flag: bool, device: torch.device) -> bool:
    """True if ``flag`` is true in every process."""
    return bool(least(int(flag), device))


def greatest(number: float, device: torch.device) -> float:
    """The greatest of the processes' numbers."""
    if world_size() == 1:
        return number
    value = torch.tensor(number, device=device, dtype=torch.float64)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return float(value.item())


def least(number: int, device: torch.device) -> int:
    """The least of the processes' numbers."""
    if not dist.is_initialized():
        return number
    value = torch.tensor(number, device=device)
    dist.all_reduce(value, op=dist.ReduceOp.MIN)
    return int(value.item())


@torch.no_grad()
def share_buffers(model: nn.Module) -> None:
    """Give every process the main one's buffers: running statistics and scales.

    Between two training steps each process has those of its own last batch, and only the main one
    saves. Evaluation has to see what is saved, in every process.
    """
    if dist.is_initialized():
        for buffer in model.buffers():
            value = buffer.clone()
            dist.broadcast(value, 0)
            buffer.copy_(value)  # which counts as a change of the buffer, a broadcast does not


def parse_device_ids(text: str | None) -> list[int]:
    """``"0,1"`` as ``[0, 1]``; None as ``[0]``."""
    if text is None:
        return [0]
    try:
        ids = [int(word) for word in text.split(",")]
    except ValueError:
        ids = []
    if not ids or min(ids) < 0 or len(set(ids)) != len(ids):
        raise InputError(f"--device-ids {text!r}: expected different numbers such as 0 or 0,1")
    if torch.cuda.is_available() and max(ids) >= torch.cuda.device_count():
        raise InputError(
            f"--device-ids {text}: this machine has {torch.cuda.device_count()} CUDA device(s), "
            f"numbered from 0"
        )
    return ids


def device_of(index: int) -> torch.device:
    """GPU ``index``, or the CPU on a machine without one."""
    if torch.cuda.is_available():
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device("cpu")


def default_device() -> torch.device:
    """The current GPU, or the CPU on a machine without one."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def run_distributed(
    worker: Callable[[torch.device, Any], int],
    argument: Any,
    device_ids: str | None,
    launcher: str | None = None,
    dist_url: str = "auto",
) -> int:
    """Call ``worker(device, argument)`` once per device and return the largest exit code.

    Under ``torchrun`` (or ``launcher="pytorch"`` with its environment variables) this process is
    one of many already. Otherwise several ``device_ids`` start one process each; on a machine
    without a GPU they are CPU processes. ``worker`` and ``argument`` must be picklable.
    """
    under_torchrun = launcher != "mp" and {"RANK", "WORLD_SIZE"} <= os.environ.keys()
    if launcher == "pytorch" and not under_torchrun:
        raise InputError(
            "--launcher pytorch: RANK and WORLD_SIZE are not set; start with "
            "'torchrun --nproc-per-node N tools/train.py ...'"
        )
    if under_torchrun:
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        return _run_member(worker, argument, device_of(local_rank), "env://")
    ids = parse_device_ids(device_ids)
    if device_ids is not None and not torch.cuda.is_available():
        print(f"No CUDA device: --device-ids {device_ids} runs {len(ids)} CPU process(es).")
    if len(ids) == 1:
        return worker(device_of(ids[0]), argument)
    # Listens from now on, at a port that the system chooses: nobody can take it in between.
    store = _store(0, listening=True) if dist_url == "auto" else None
    meeting = dist_url if store is None else store.port
    context = multiprocessing.get_context("spawn")
    codes = context.Array("i", [1] * len(ids))
    messages = context.SimpleQueue()  # of processes that end early: (rank, exception)
    members = (worker, argument, ids, meeting, codes, messages)
    with interrupts_blocked():  # Ctrl-C is the parent's to handle
        processes = multiprocessing.spawn(_spawned, args=members, nprocs=len(ids), join=False)
    try:
        _join(processes)
    except ProcessException:
        raised = sorted(_all_of(messages), key=lambda pair: pair[0])
        for kind in (InputError, interruption.Interrupted):
            for _, error in raised:
                if isinstance(error, kind):
                    if isinstance(error, interruption.Interrupted):
                        interruption.check(error.note)  # by the signal that this process has got
                    raise error from None
        interruption.check()
        raise
    return max(codes[:])


def _join(processes: Any) -> None:
    """Wait for the processes, and hand a signal on to them.

    Raises:
        ProcessException: one has failed or was interrupted, and all have ended.
    """
    told = False
    with interruption.watched():
        while not processes.join(LOOK_SECONDS, SAVE_SECONDS if told else GRACE_SECONDS):
            if interruption.pending() is not None and not told:
                told = True
                for process in processes.processes:
                    process.terminate()


def _all_of(messages: Any) -> list[tuple[int, BaseException]]:
    found = []
    while not messages.empty():
        found.append(messages.get())
    return found


def _spawned(
    index: int,
    worker: Callable[..., int],
    argument: Any,
    ids: list[int],
    meeting: str | int,
    codes: Any,
    messages: Any,
) -> None:
    os.environ.update(RANK=str(index), WORLD_SIZE=str(len(ids)), LOCAL_RANK=str(index))
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, usable_cpus() // len(ids)))
    end_with_parent(SAVE_SECONDS)
    with interruption.signals_handled(insisting=False):  # the parent insists, and ends us
        try:
            codes[index] = _run_member(worker, argument, device_of(ids[index]), meeting)
        except (InputError, interruption.Interrupted) as error:
            # The others may wait for this process: its exit code ends them, its message is told.
            messages.put((index, error))
            sys.exit(error.exit_code if isinstance(error, interruption.Interrupted) else 2)
        except Exception:
            # What another process that has stopped already does to this one is no fault of it.
            interruption.check_soon()
            raise


def _run_member(
    worker: Callable[..., int], argument: Any, device: torch.device, meeting: str | int
) -> int:
    """Call ``worker`` in a process group that meets at a URL, or at a port of this machine."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    place: dict[str, Any] = (
        {"init_method": meeting} if isinstance(meeting, str) else {"store": _store(meeting)}
    )
    dist.init_process_group(
        backend, **place, rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"])
    )
    try:
        return worker(device, argument)
    finally:
        dist.destroy_process_group()


def _store(port: int, listening: bool = False) -> dist.TCPStore:
    return dist.TCPStore("127.0.0.1", port, is_master=listening, wait_for_workers=False)
