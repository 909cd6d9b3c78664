"""How many messages a process hands over at once."""

import threading

from notifications.pipeline.window import WINDOW_SECONDS, Window


def test_the_first_is_a_trial() -> None:
    assert Window(20).fitting == 1
    assert Window(50, least=32).fitting == 32


def test_a_quick_provider_is_handed_as_many_as_it_may_have() -> None:
    window = Window(20)
    window.learn(1, 0.0)
    assert window.fitting == 20


def test_a_slow_one_is_handed_what_it_gets_through_in_a_moment() -> None:
    window = Window(20)
    window.learn(10, 10 * WINDOW_SECONDS / 5)
    assert window.fitting == 5
    window.learn(5, 5 * WINDOW_SECONDS * 3)
    assert window.fitting == 1


def test_one_that_sends_several_at_a_time_is_kept_busy() -> None:
    window = Window(50, least=32)
    window.learn(32, 60.0)
    assert window.fitting == 32


def test_all_threads_share_the_places() -> None:
    window, taken = Window(20), []
    with window.take(15) as first, window.take(15) as second:
        waiting = threading.Thread(target=_take, args=(window, taken))
        waiting.start()
        while not window.is_wanted():
            pass
        assert (first, second, taken) == (15, 5, [])
    waiting.join()
    assert taken == [3]


def _take(window: Window, taken: list[int]) -> None:
    with window.take(3) as places:
        taken.append(places)
