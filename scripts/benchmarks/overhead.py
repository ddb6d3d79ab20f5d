"""A real handler's requests through the harness, against calling its functions in one process."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Case, Ratio, ratios
from harness import InferenceHandlerSpec, InferenceTestSample, RuntimeTester

NAME = "overhead"
WORDS = """\
`scripts/bench overhead`. A random forest of scikit-learn, 100 samples of 1,000 rows, one accept
type. The floor is one process that imports the handler, loads the model, and calls the functions
for each sample; what is compared is the time from the first request to the last, without start,
import and model."""
SAMPLES = 100
HANDLER = """
import json
import joblib
import numpy

def model_fn(model_dir):
    return joblib.load(model_dir + "/model.joblib")

def input_fn(body, content_type):
    return numpy.loadtxt(body.splitlines(), delimiter=",", ndmin=2)

def predict_fn(data, model):
    return model.predict_proba(data)

def output_fn(prediction, accept):
    return json.dumps(prediction[:, 1].round(4).tolist()), accept
"""
TRAIN = """
import sys, joblib, numpy
from sklearn.ensemble import RandomForestClassifier
rows = numpy.random.default_rng(7).uniform(size=(2000, 8))
forest = RandomForestClassifier(n_estimators=100, random_state=7)
joblib.dump(forest.fit(rows, rows[:, 0] > rows[:, 1]), sys.argv[1])
"""
DIRECT = """
import sys, time
sys.path.insert(0, sys.argv[1])
import inference
model = inference.model_fn(sys.argv[1])
body = open(sys.argv[2]).read()
begin = time.perf_counter()
for _ in range(int(sys.argv[3])):
    data = inference.input_fn(body, "text/csv")
    inference.output_fn(inference.predict_fn(data, model), "application/json")
print(time.perf_counter() - begin)
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
        subprocess.run([sys.executable, "-c", TRAIN, f"{folder}/model.joblib"], check=True)
        with tempfile.NamedTemporaryFile("w") as body:
            body.write(ROWS)
            body.flush()
            base = f"{SAMPLES} requests, called directly"
            yield [
                Case(base, functools.partial(directly, folder, body.name), base),
                Case(f"{SAMPLES} requests, tested", functools.partial(tested, folder), base, 1.05),
            ]


def directly(folder: str, body: str) -> float:
    """Time the requests in one process, by its own clock."""
    words = [sys.executable, "-c", DIRECT, folder, body, str(SAMPLES)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout))


def tested(folder: str) -> float:
    """Time the requests of a test: from the end of model_fn to that of the last output_fn."""
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
    moments: list[float] = []
    result = RuntimeTester().test_inference_handler(
        spec, on_row=lambda _: moments.append(time.perf_counter())
    )
    if not result.overall_success:
        raise SystemExit(f"the handler failed: {result.errors}")
    return moments[-1] - moments[0]
