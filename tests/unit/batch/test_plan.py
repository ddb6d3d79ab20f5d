"""What runs when, and what memory is promised."""

from __future__ import annotations

import random

from harness import InferenceHandlerSpec, Limits
from harness.batch.history import History, Known
from harness.batch.plan import MIB, UNKNOWN_BYTES, Plan, cores, memory_available
from harness.batch.task import Task
from harness.batch_results import Status


def task(name: str, memory: int | None = None) -> Task:
    limits = Limits(memory_limit_mb=memory)
    return Task(spec=InferenceHandlerSpec(handler_name=name, handler_path="h.py", limits=limits))


def known(**seconds: float) -> History:
    return History(
        handlers={name: Known(seconds=s, status=Status.passed) for name, s in seconds.items()}
    )


def name_of(given: Task | None) -> str | None:
    return None if given is None else given.spec.handler_name


def test_longest_first_and_the_unknown_before() -> None:
    plan = Plan.of([task("a"), task("b"), task("c"), task("new")], known(a=1, b=9, c=3), 2**40)
    assert [name_of(plan.next()) for _ in range(5)] == ["new", "b", "c", "a", None]


def test_limits_of_what_runs_never_add_up_to_more_than_there_is() -> None:
    """Whatever the order in which handlers end."""
    numbers = random.Random(7)
    tasks = [task(f"h{n}", numbers.randint(1, 900)) for n in range(200)]
    limits = {item.spec.handler_name: item.spec.limits.memory_limit_mb or 0 for item in tasks}
    plan, running, done = Plan.of(tasks, History(), 1000 * MIB), {}, []
    while len(done) < len(tasks):
        while (item := plan.next()) is not None:
            running[item.spec.handler_name] = item
        assert running
        assert sum(limits[name] for name in running) <= 1000
        name = numbers.choice(sorted(running))
        plan.done(running.pop(name))
        done.append(name)
    assert plan.next() is None


def test_handler_larger_than_all_there_is_runs_alone() -> None:
    plan = Plan.of([task("big", 4000), task("small", 10)], known(big=9, small=1), 1000 * MIB)
    assert plan.too_large == ["big"]
    big = plan.next()
    assert name_of(big) == "big"
    assert plan.next() is None
    plan.done(big)  # type: ignore[arg-type]
    assert name_of(plan.next()) == "small"


def test_without_a_limit_history_says_what_to_expect() -> None:
    history = History(
        handlers={"a": Known(seconds=1, memory_bytes=100 * MIB, status=Status.passed)}
    )
    plan = Plan.of([task("a"), task("b")], history, 2**40)
    assert [plan.next(), plan.next()] != [None, None]
    assert plan.running == {"a": 150 * MIB, "b": UNKNOWN_BYTES}


def test_this_machine_has_cores_and_memory() -> None:
    assert cores() >= 1
    assert memory_available() > 0
