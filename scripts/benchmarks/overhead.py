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
from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester

NAME = "overhead"
WORDS = """\
`scripts/bench overhead`. A random forest of scikit-learn, with so many trees that predict_fn takes
some 20 ms here; 100 samples of 1,000 rows, one accept type. The floor is one process that imports
the handler, loads the model, and calls the functions for each sample; what is compared is the time
from the beginning of the first request to the end of the last as the handler sees it, without
start, import and model."""
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
TRAIN = """
import sys, time, joblib, numpy
from sklearn.ensemble import RandomForestClassifier
rows = numpy.random.default_rng(7).uniform(size=(2000, 8))
forest = RandomForestClassifier(n_estimators=100, random_state=7)
forest.fit(rows, rows[:, 0] > rows[:, 1])
times = []
for _ in range(30):
    begin = time.perf_counter()
    forest.predict_proba(rows[:1000])
    times.append(time.perf_counter() - begin)
forest.set_params(n_estimators=round(100 * float(sys.argv[2]) / sorted(times)[15]))
joblib.dump(forest.fit(rows, rows[:, 0] > rows[:, 1]), sys.argv[1])
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
    """Measure both ways in every round; a tenth of the rounds, for each takes seconds."""
    with overhead_cases() as cases:
        return ratios(NAME, cases, max(1, rounds // 10))


@contextmanager
def overhead_cases() -> Iterator[list[Case]]:
    """Give the two ways to make the same requests."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "inference.py").write_text(HANDLER)
        words = [sys.executable, "-c", TRAIN, f"{folder}/model.joblib", str(PREDICT_S)]
        subprocess.run(words, check=True)
        with tempfile.NamedTemporaryFile("w") as body:
            body.write(ROWS)
            body.flush()
            base = f"{SAMPLES} requests, called directly"
            yield [
                Case(base, functools.partial(directly, folder, body.name), base),
                Case(f"{SAMPLES} requests, tested", functools.partial(tested, folder), base, 1.05),
            ]


def directly(folder: str, body: str) -> float:
    """Time the requests in one process."""
    words = [sys.executable, "-c", DIRECT, folder, body, str(SAMPLES)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return seconds(done.stdout)


def tested(folder: str) -> float:
    """Time the requests of a test."""
    spec = InferenceHandlerSpec(
        handler_name="forest",
        packaged_model_path=folder,
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
    return seconds(result.end_to_end_results[-1].response.body or "")


def seconds(answer: str) -> float:
    """Read from the last answer how long all requests took."""
    return float(json.loads(answer)[1])
