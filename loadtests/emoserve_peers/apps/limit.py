"""The limit: the same work in this process, with no server around it.

Orders come as lines of JSON on standard input, answers go as lines of JSON to standard output.
"""

import base64
import json
import sys
import threading
import time
from collections.abc import Sequence

from emoserve_peers.work import Work, work_of_environment


def loop(work: Work, bodies: Sequence[bytes], first: int, until: float) -> list[list[float]]:
    """Return start and end of each call, one body after the other until the time is over."""
    spans = []
    index = first
    while (start := time.monotonic()) < until:
        work([bodies[index % len(bodies)]])
        spans.append([start, time.monotonic()])
        index += 1
    return spans


def measure(work: Work, bodies: Sequence[bytes], threads: int, seconds: float) -> list[list[float]]:
    """Return the spans of all threads, in seconds from the start."""
    begin = time.monotonic()
    spans: list[list[float]] = []

    def one(first: int) -> None:
        spans.extend(loop(work, bodies, first, begin + seconds))

    running = [threading.Thread(target=one, args=(first,)) for first in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return [[start - begin, end - begin] for start, end in spans]


def main() -> None:
    work = work_of_environment()
    for line in sys.stdin:
        order = json.loads(line)
        bodies = [base64.b64decode(body) for body in order["bodies"]]
        if seconds := order.get("seconds"):
            print(json.dumps(measure(work, bodies, order["threads"], seconds)), flush=True)
        else:
            print(json.dumps([answer.decode() for answer in work(bodies)]), flush=True)


if __name__ == "__main__":
    main()
