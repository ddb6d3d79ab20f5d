"""How many planted faults are found, and how much of what is said is right."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measure import Spread, spread

NAME = "judgement"
WORDS = """\
`scripts/bench judgement`. Each package of `tests/planted/` has one fault, and is linted and run.
Recall is the share of faults whose code is given. Precision is the share of right codes among all
that are given to faulty and to correct handlers: of a faulty one the fault's and those of what
follows from it, as its table says; of a correct one none. Correct ones are run with `strict` and
`probe`. One round, for codes do not depend on time. The tables of the rules' own tests hold what
the rules were written for; `everyday` was written after them, from what goes wrong: of its 57 that
could be judged at first 53 were found (93 %), with one wrong code. What was missed is mended since,
so that it is no longer a measure of what the rules have not seen."""
AT_ONCE = 4


def run(rounds: int) -> list[Spread]:
    """Judge everything once, however many rounds are asked for; name what is wrong."""
    del rounds
    sys.path.append(str(Path(__file__).parents[2]))  # the planted faults are the tests'
    from tests.planted import judging
    from tests.planted.collection import faults
    from tests.planted.correct import HANDLERS

    planted = judging.judge_all(faults(), AT_ONCE)
    correct = judging.judge_all(HANDLERS, AT_ONCE)
    for one in (*planted, *correct):
        if one.wrong:
            print(one, file=sys.stderr)
    everyday = [one for one in planted if one.name.startswith("everyday")]
    given = sum(len(one.given) for one in (*planted, *correct))
    silent = 100 * sum(not one.given for one in correct) / len(correct)
    shares = {
        f"recall: {len(planted)} faults": judging.recall(planted),
        f"recall: {len(everyday)} everyday faults": judging.recall(everyday),
        f"precision: {given} codes": judging.precision([*planted, *correct]),
        f"nothing said: {len(correct)} correct handlers": silent,
    }
    return [spread(NAME, name, [share], unit="%") for name, share in shares.items()]
