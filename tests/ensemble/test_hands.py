"""Hands work at the same time, in order, and are waited for."""

import threading

from emoserve_ensemble.steps._hands import Hands


def test_two_portions_at_once_and_the_third_waits() -> None:
    hands = Hands(2)
    begun, go = threading.Semaphore(0), threading.Event()
    order: list[int] = []

    def work(number: int) -> None:
        order.append(number)
        begun.release()
        go.wait(10)

    for number in range(2):
        hands.give(lambda number=number: work(number))
    assert begun.acquire(timeout=10)
    assert begun.acquire(timeout=10)
    waiting = threading.Thread(target=lambda: hands.give(lambda: work(2)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert sorted(order) == [0, 1]
    go.set()
    waiting.join(10)
    hands.wait()
    hands.close()
    assert order[2:] == [2]


def test_work_that_fails_frees_its_hand() -> None:
    hands = Hands(1)
    done: list[str] = []
    hands.give(lambda: done.append(str(1 / 0)))
    hands.give(lambda: done.append("next"))
    hands.wait()
    hands.close()
    assert done == ["next"]
