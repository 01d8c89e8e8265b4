"""What a server's processes take of the machine, read from /proc."""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

REST_S = 0.2  # how long a server is watched
LONGEST_S = 30.0  # and no longer, if it never rests
REST_CORES = 0.1  # so much more than while nobody calls is noise

_TICK_HZ = os.sysconf("SC_CLK_TCK")


def family(root: int) -> list[int]:
    """Return a process and all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def alive(pid: int) -> bool:
    """Return whether a process exists and is more than an entry for its parent to read."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def parent(pid: int) -> int:
    """Return the parent of a process that is alive."""
    return int(_stat(pid)[1])


def memory_mb(pids: Iterable[int]) -> float:
    """Return the memory of processes: PSS, so what they share counts once."""
    return sum(_pss_kb(pid) for pid in pids) / 1024


def processor_s(pids: Iterable[int]) -> float:
    """Return the processor seconds that processes have used."""
    stats = [_stat(pid) for pid in pids]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats if fields) / _TICK_HZ


class Others:
    """What others than this process and its descendants use of the machine, since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_s, self._own_s = _busy_s(), _own_s()

    @property
    def cores(self) -> float:
        """Cores that others kept busy in the mean; stolen time of a virtual machine is theirs."""
        others_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return max(0.0, others_s / (time.monotonic() - self._began))


def _busy_s() -> float:
    """Return the seconds that all processors together were busy, stolen time included.

    Without those of processes that were made nice: they only take what nobody else wants.
    """
    user, _, system, _, _, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + system + irq + soft + steal) / _TICK_HZ


def _own_s() -> float:
    """Return what this process, its living descendants and its ended children have used."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return processor_s(family(os.getpid())) + ended.ru_utime + ended.ru_stime


@contextlib.contextmanager
def paused(pids: Iterable[int]) -> Iterator[None]:
    """Let processes stand still for the length of the block."""
    stopped = list(pids)
    try:
        send(stopped, signal.SIGSTOP)
        yield
    finally:
        send(stopped, signal.SIGCONT)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def wait_for_rest(pids: Iterable[int], idle_cores: float) -> None:
    """Return when processes take little more than they do while nobody calls.

    h2load leaves its last requests unanswered: a server still works on them when it has gone.

    Args:
        idle_cores: what they take of a core while nobody calls.
    """
    known, end_s = list(pids), time.monotonic() + LONGEST_S
    before_s = processor_s(known)
    while time.monotonic() < end_s:
        time.sleep(REST_S)
        now_s = processor_s(known)
        if (now_s - before_s) / REST_S <= idle_cores + REST_CORES:
            return
        before_s = now_s


def idle_shares(families: Mapping[str, Iterable[int]], seconds: float) -> dict[str, float]:
    """Return what each family takes of one core while nobody calls, over the same seconds."""
    known = {name: list(pids) for name, pids in families.items()}
    before = {name: processor_s(pids) for name, pids in known.items()}
    time.sleep(seconds)
    return {name: (processor_s(pids) - before[name]) / seconds for name, pids in known.items()}


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name (state, parent, ...); none if it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
