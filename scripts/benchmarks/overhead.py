"""A real handler's requests through the harness, against calling its functions in one process."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Case, Ratio, ratios
from harness import InferenceHandlerSpec, InferenceTestResult, InferenceTestSample, RuntimeTester

NAME = "overhead"
WORDS = """\
`scripts/bench overhead`. A random forest of scikit-learn, with so many trees that predict_fn
takes some 20 ms here, counted anew in each round; 100 samples of 1,000 rows, one accept type.
The floor is one process that imports the handler, loads the model, and calls the functions for
each sample; what is compared is the time from the beginning of the first request to the end of
the last as the handler sees it, without start, import and model. From one process to the next
this machine's speed changes by more than the target. So another handler makes each request once
more by itself, in its worker, and tells how long that took: its tested requests are held to
those, each beside the other."""
SAMPLES = 100
PREDICT_S = 0.020
HANDLER = """
import json
import time
import joblib
import numpy

BEGUN = []

def model_fn(model_dir):
    return joblib.load(model_dir + "/model.joblib")

def input_fn(body, content_type):
    BEGUN.append(time.perf_counter())
    return numpy.loadtxt(body.splitlines(), delimiter=",", ndmin=2)

def predict_fn(data, model):
    return model.predict_proba(data)

def output_fn(prediction, accept):
    text = json.dumps(prediction[:, 1].round(4).tolist())
    return json.dumps([text, time.perf_counter() - BEGUN[0]]), accept
"""
BESIDE = """
import time
import forest

KEPT = []
DIRECT = []

def model_fn(model_dir):
    KEPT.append(forest.model_fn(model_dir))
    return KEPT[0]

def input_fn(body, content_type):
    KEPT[1:] = [body]
    return forest.input_fn(body, content_type)

predict_fn = forest.predict_fn

def output_fn(prediction, accept):
    answer = forest.output_fn(prediction, accept)
    begin = time.perf_counter()
    model, body = KEPT
    forest.output_fn(forest.predict_fn(forest.input_fn(body, "text/csv"), model), accept)
    DIRECT.append(time.perf_counter() - begin)
    forest.BEGUN[0] += DIRECT[-1]
    if len(DIRECT) == SAMPLES:
        print(sum(DIRECT))
    return answer
"""
TRAIN = """
import sys, joblib, numpy
from sklearn.ensemble import RandomForestClassifier
rows = numpy.random.default_rng(7).uniform(size=(2000, 8))
forest = RandomForestClassifier(n_estimators=400, random_state=7)
joblib.dump(forest.fit(rows, rows[:, 0] > rows[:, 1]), sys.argv[1])
"""
CUT = """
import sys, time, joblib, numpy
forest = joblib.load(sys.argv[1])
trees = forest.estimators_
asked = numpy.loadtxt(sys.argv[2], delimiter=",")

def cut(count):
    forest.estimators_ = trees[:max(1, round(count))]
    forest.n_estimators = len(forest.estimators_)

def seconds(count):
    cut(count)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        forest.predict_proba(asked)
        times.append(time.perf_counter() - begin)
    return sorted(times)[10]

few, many = 50, 150  # a prediction costs something beside what each tree takes
took = [seconds(count) for count in (few, many, few, many)]
each = max(1e-6, (took[1] + took[3] - took[0] - took[2]) / 2 / (many - few))
cut(few + (float(sys.argv[3]) - (took[0] + took[2]) / 2) / each)
for file in sys.argv[4:]:
    joblib.dump(forest, file)
"""
DIRECT = """
import sys
sys.path.insert(0, sys.argv[1])
import inference
model = inference.model_fn(sys.argv[1])
body = open(sys.argv[2]).read()
for _ in range(int(sys.argv[3])):
    data = inference.input_fn(body, "text/csv")
    answer = inference.output_fn(inference.predict_fn(data, model), "application/json")
print(answer[0])
"""
ROWS = "\n".join(",".join(str((i * j) % 97 / 97) for j in range(1, 9)) for i in range(1000))


def run(rounds: int) -> list[Ratio]:
    """Measure every way in every round; a tenth of the rounds, for each takes seconds."""
    with overhead_cases() as cases:
        return ratios(NAME, cases, max(1, rounds // 10))


@contextmanager
def overhead_cases() -> Iterator[list[Case]]:
    """Give the ways to make the same requests."""
    with tempfile.TemporaryDirectory() as folder:
        alone, beside = Path(folder, "alone"), Path(folder, "beside")
        write(alone, {"inference.py": HANDLER})
        own = BESIDE.replace("SAMPLES", str(SAMPLES))
        write(beside, {"inference.py": own, "forest.py": HANDLER})
        body, whole = Path(folder, "body"), Path(folder, "whole")
        body.write_text(ROWS)
        subprocess.run([sys.executable, "-c", TRAIN, str(whole)], check=True)
        models = [str(package / "model.joblib") for package in (alone, beside)]
        fit = [sys.executable, "-c", CUT, str(whole), str(body), str(PREDICT_S), *models]
        base = f"{SAMPLES} requests, called directly"
        both = Beside(beside)
        yield [
            Case(base, functools.partial(directly, fit, str(alone), str(body)), base),
            Case(f"{SAMPLES} requests, tested", functools.partial(tested, alone), base, 1.05),
            Case(f"{base}, between others", both.direct, f"{base}, between others"),
            Case(
                f"{SAMPLES} requests, tested, between others",
                both.tested,
                f"{base}, between others",
                1.05,
            ),
        ]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write a package."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)


class Beside:
    """One test in which each request is made twice: through the harness, and directly."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tested = 0.0

    def direct(self) -> float:
        """Make all requests both ways; give the seconds of those that were called directly."""
        result = test(self._folder)
        self._tested = span(result)
        log = result.output_fn_results[-1].log
        return float(log.head if log is not None else "nan")

    def tested(self) -> float:
        """Give the seconds of the others."""
        return self._tested


def directly(fit: list[str], folder: str, body: str) -> float:
    """Time the requests in one process, of a forest that is fitted to the machine as it is now."""
    subprocess.run(fit, check=True)
    words = [sys.executable, "-c", DIRECT, folder, body, str(SAMPLES)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return seconds(done.stdout)


def tested(folder: Path) -> float:
    """Time the requests of a test."""
    return span(test(folder))


def test(folder: Path) -> InferenceTestResult:
    """Test a handler with all requests."""
    spec = InferenceHandlerSpec(
        handler_name="forest",
        packaged_model_path=str(folder),
        test_data_samples=tuple(
            InferenceTestSample(
                sample_name=f"sample {number}", content_type="text/csv", request_body=ROWS
            )
            for number in range(SAMPLES)
        ),
        supported_accept_types=["application/json"],
    )
    result = RuntimeTester().test_inference_handler(spec)
    if not result.overall_success:
        raise SystemExit(f"the handler failed: {result.errors}")
    return result


def span(result: InferenceTestResult) -> float:
    """Read from the last answer of a test how long all requests took."""
    return seconds(result.end_to_end_results[-1].response.body or "")


def seconds(answer: str) -> float:
    """Read from the last answer how long all requests took."""
    return float(json.loads(answer)[1])
