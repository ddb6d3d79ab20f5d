"""How many requests go out together: ever more, as there is room, and one by one after a break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from harness.checks import arguments, calls
from harness.checks.calls import Planned
from harness.checks.series import FILE_BYTES, FIRST, LINES_BYTES, MOST, Window
from harness.runtime.bodies import INLINE_BYTES

MODEL = arguments.kept_argument("model")


def request(size: int) -> list[Planned]:
    """Plan the three calls of a request with a body of so many bytes."""
    taken = calls.input_of("x" * size, "text/csv")
    predicted = calls.predict(arguments.kept_argument(taken.name), MODEL, taken.headers)
    prediction = arguments.kept_argument(predicted.name)
    return [taken, predicted, calls.output(prediction, "text/csv", taken.headers)]


def whole(size: int) -> list[Planned]:
    """Plan the one call of a request to transform_fn."""
    return [calls.transform(MODEL, "x" * size, "text/csv", "text/csv")]


def taken(window: Window, requests: Sequence[list[Planned]], most: int = 1000) -> list[int]:
    """Take until none is left, or so many times, all answered; give how many each time."""
    counts: list[int] = []
    left = list(requests)
    while left and len(counts) < most:
        parts = [*window.take(left)]
        together = [part.planned for part in parts]
        assert together == left[: len(together)], "in their order, none left out"
        assert [part.frees for part in parts] == together
        assert [part.leads for part in parts] == [*[True] * (len(parts) - 1), False]
        counts.append(len(together))
        window.answered(whole=True)
        left = left[len(together) :]
    return counts


SMALL = [request(1) for _ in range(100)]
ROOM = {
    "none": ([], []),
    "empty": ([0] * 50, [4, 8, 16, 16, 6]),
    "small": ([100] * 50, [4, 8, 16, 16, 6]),
    "many, and then a large one": ([100] * 20 + [LINES_BYTES, 1], [4, 8, 8, 1, 1]),
    "one below the lines": ([LINES_BYTES - 1] * 3, [1, 1, 1]),
    "all that the lines hold": ([1, LINES_BYTES - 2, 1], [2, 1]),
    "one byte more than that": ([1, LINES_BYTES - 1, 1], [1, 1, 1]),
    "the lines at once": ([LINES_BYTES, 1, 1], [1, 2]),
    "the largest in a line": ([INLINE_BYTES, 1, 1], [1, 2]),
    "the smallest in the file": ([INLINE_BYTES + 1, 1, 1], [3]),
    "many in the file": ([FILE_BYTES // 4] * 7, [3, 3, 1]),
    "all that the file holds": ([INLINE_BYTES + 1, FILE_BYTES - INLINE_BYTES - 2, 1, 1], [4]),
    "one byte more in the file": ([INLINE_BYTES + 1, FILE_BYTES - INLINE_BYTES - 1, 1], [1, 2]),
    "the file at once": ([FILE_BYTES, 1, 1], [1, 2]),
    "more than anything": ([10 * FILE_BYTES, 10 * FILE_BYTES, 1], [1, 1, 1]),
    "large ones behind small ones": ([1, 1, LINES_BYTES, 1, 1, FILE_BYTES, 1], [2, 1, 2, 1, 1]),
    "lines do not count as file": ([LINES_BYTES - 1, FILE_BYTES - 1, 0, 0], [4]),
}


@pytest.mark.parametrize("plan", [request, whole])
@pytest.mark.parametrize("name", ROOM)
def test_as_many_go_together_as_there_is_room_for(
    name: str, plan: Callable[[int], list[Planned]]
) -> None:
    sizes, counts = ROOM[name]
    assert taken(Window(), [plan(size) for size in sizes]) == counts


def test_no_more_is_asked_for_than_one_that_does_not_fit() -> None:
    """Who plans them has bodies to read for each."""
    asked: list[int] = []

    def planning(sizes: list[int]) -> Iterator[list[Planned]]:
        for size in sizes:
            asked.append(size)
            yield request(size)

    for sizes, count in (
        ([1] * 100, FIRST),
        ([LINES_BYTES] * 3, 1),
        ([1, LINES_BYTES, 1], 2),
        ([FILE_BYTES] * 3, 1),
    ):
        asked.clear()
        assert len([*Window().take(planning(sizes))]) <= count
        assert len(asked) == count


def test_one_is_given_as_soon_as_it_is_known_whether_another_follows() -> None:
    """The worker may begin with it while the others are planned."""
    asked: list[int] = []

    def planning() -> Iterator[list[Planned]]:
        for number in range(FIRST):
            asked.append(number)
            yield request(1)

    parts = Window().take(planning())
    for number, part in enumerate(parts):
        assert asked == [*range(min(number + 2, FIRST))]
        assert part.leads == (number < FIRST - 1)


def test_first_a_few_go_together_then_twice_as_many_each_time() -> None:
    assert taken(Window(), SMALL, 5) == [FIRST, 2 * FIRST, 4 * FIRST, MOST, MOST]
    assert 4 * FIRST == MOST


def test_after_a_break_one_goes_alone_then_two_then_four() -> None:
    window = Window()
    for alone in (1, 2, 4, 8, 16):
        window.answered(whole=False)
        counts = taken(window, SMALL, alone + 4)
        assert counts == [*[1] * alone, FIRST, 2 * FIRST, 4 * FIRST, MOST]


def test_break_before_the_most_go_together_begins_anew() -> None:
    window = Window()
    assert taken(window, SMALL, 2) == [FIRST, 2 * FIRST]
    window.answered(whole=False)
    assert taken(window, SMALL, 3) == [1, FIRST, 2 * FIRST]


def test_break_while_requests_go_alone_has_as_many_alone_again() -> None:
    window = Window()
    window.answered(whole=False)
    assert taken(window, SMALL, 3) == [1, FIRST, 2 * FIRST]
    window.answered(whole=False)
    assert taken(window, SMALL, 1) == [1]
    window.answered(whole=False)
    assert taken(window, SMALL, 3) == [1, 1, FIRST]


def test_worker_that_always_passes_over_some_has_requests_alone_for_ever() -> None:
    window = Window()
    assert len([*window.take(SMALL)]) == FIRST
    for _ in range(1000):
        window.answered(whole=False)
        assert len([*window.take(SMALL)]) == 1


def test_one_that_goes_alone_may_be_of_any_size() -> None:
    window = Window()
    window.answered(whole=False)
    window.answered(whole=False)
    sizes = [10 * FILE_BYTES, LINES_BYTES, 1, 1]
    assert taken(window, [request(size) for size in sizes]) == [1, 1, 2]
