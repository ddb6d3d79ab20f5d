"""Twenty correct handlers, each with requests; whatever is said of one is wrong.

They are asked strictly, and with changed requests: one row, two rows, a charset.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
from typing import Any

import joblib
import numpy
import pandas
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.conftest import Files
from tests.planted.fault import Planted

CSV, JSON, NPY, TEXT = "text/csv", "application/json", "application/x-npy", "text/plain"
HEAD = """
import io, json, logging, os
logger = logging.getLogger(__name__)

def text_of(body):
    return body if isinstance(body, str) else bytes(body).decode("utf-8")

def kind_of(content_type):
    return (content_type or "").split(";")[0].strip().lower()
"""
ROWS = [[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0]]
TABLE = pandas.DataFrame({"amount": [1.0, 2.0, 3.0, 4.0], "color": ["red", "blue", "red", "blue"]})
NUMBERS = "1,2\n3,4\n5,6\n"


def dumped(model: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def npy(rows: object) -> bytes:
    file = io.BytesIO()
    numpy.save(file, numpy.array(rows))
    return file.getvalue()


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    numpy.savez(file, **{name: numpy.array(value) for name, value in arrays.items()})
    return file.getvalue()


def handler(
    code: str,
    *requests: tuple[str, str | bytes],
    files: Files | None = None,
    accept: tuple[str, ...] = (JSON,),
    **spec: Any,
) -> Planted:
    """Make a package of a module and its files, with requests."""
    samples = tuple(
        {"sample_name": f"{kind} {number}", "content_type": kind, "request_body": body}
        for number, (kind, body) in enumerate(requests)
    )
    given = {"test_data_samples": samples, "supported_accept_types": accept}
    return Planted(
        {"code/inference.py": HEAD + code, **(files or {})},
        (),
        spec={"strict": True, "probe": True, **given, **spec},
    )


HANDLERS: dict[str, Planted] = {
    "scikit-learn: a classifier, CSV and JSON": handler(
        """
import joblib
import numpy as np

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def input_fn(request_body, request_content_type):
    kind = kind_of(request_content_type)
    if kind == "text/csv":
        return np.loadtxt(io.StringIO(text_of(request_body)), delimiter=",", ndmin=2)
    if kind == "application/json":
        return np.array(json.loads(request_body)["instances"], dtype=float)
    raise ValueError(f"Unsupported content type: {request_content_type}")

def predict_fn(input_data, model):
    return model.predict_proba(input_data)

def output_fn(prediction, accept):
    if accept == "text/csv":
        return "\\n".join(",".join(map(str, row)) for row in prediction), accept
    if accept == "application/json":
        return json.dumps({"predictions": prediction.tolist()}), accept
    raise ValueError(f"Unsupported accept type: {accept}")
""",
        (CSV, NUMBERS),
        (JSON, '{"instances": [[1, 2], [3, 4]]}'),
        files={"model.joblib": dumped(LogisticRegression().fit(ROWS, [0, 0, 1, 1]))},
        accept=(JSON, CSV),
    ),
    "scikit-learn: a pipeline on a table": handler(
        """
import pickle
import pandas as pd

def model_fn(model_dir):
    with open(os.path.join(model_dir, "pipeline.pkl"), "rb") as file:
        return pickle.load(file)

def input_fn(body, content_type):
    if kind_of(content_type) == "text/csv":
        return pd.read_csv(io.StringIO(text_of(body)))
    return pd.DataFrame.from_records(json.loads(body))

def predict_fn(frame, model):
    return model.predict(frame[["amount", "color"]])

def output_fn(prediction, accept):
    return json.dumps([int(label) for label in prediction]), "application/json"
""",
        (CSV, "color,amount\nred,1\nblue,2\ngreen,3\n"),
        (JSON, '[{"amount": 1, "color": "red"}, {"amount": 2, "color": "blue"}]'),
        files={
            "pipeline.pkl": pickle.dumps(
                make_pipeline(
                    ColumnTransformer(
                        [
                            ("number", StandardScaler(), ["amount"]),
                            ("word", OneHotEncoder(handle_unknown="ignore"), ["color"]),
                        ]
                    ),
                    LogisticRegression(),
                ).fit(TABLE, [0, 0, 1, 1])
            )
        },
    ),
    "scikit-learn: a forest, npy": handler(
        """
import joblib
import numpy as np

class Served:
    def __init__(self, model, scale):
        self.model, self.scale = model, scale

    def __call__(self, rows):
        return self.model.predict(rows) * self.scale

def model_fn(model_dir):
    with open(os.path.join(model_dir, "scale.json")) as file:
        scale = json.load(file)["scale"]
    return Served(joblib.load(os.path.join(model_dir, "forest.joblib")), scale)

def input_fn(body, content_type):
    return np.atleast_2d(np.load(io.BytesIO(body), allow_pickle=False))

def predict_fn(rows, served):
    return served(rows)

def output_fn(prediction, accept):
    if accept == "application/x-npy":
        file = io.BytesIO()
        np.save(file, prediction)
        return file.getvalue(), accept
    return json.dumps(prediction.round(6).tolist()), accept
""",
        (NPY, npy(ROWS)),
        files={
            "forest.joblib": dumped(RandomForestRegressor(5, random_state=1).fit(ROWS, range(4))),
            "scale.json": '{"scale": 2.0}',
        },
        accept=(JSON, NPY),
    ),
    "scikit-learn: clusters": handler(
        """
import joblib

def model_fn(model_dir):
    return joblib.load(model_dir + "/clusters.joblib")

def input_fn(body, content_type):
    lines = text_of(body).strip().splitlines()
    return [[float(cell) for cell in line.split(",")] for line in lines]

def predict_fn(rows, clusters):
    return clusters.predict(rows)

def output_fn(labels, accept):
    return json.dumps({"labels": labels.tolist()})
""",
        (CSV, NUMBERS),
        files={"clusters.joblib": dumped(KMeans(2, n_init=1, random_state=1).fit(ROWS))},
        stack="pytorch",
    ),
    "scikit-learn: texts": handler(
        """
import joblib

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "texts.joblib"))

def input_fn(body, content_type):
    return [line for line in text_of(body).split("\\n") if line]

def predict_fn(texts, model):
    return list(model.predict(texts))

def output_fn(labels, accept):
    return json.dumps([str(label) for label in labels]), "application/json"
""",
        (TEXT, "a good day\na bad night\n"),
        files={
            "texts.joblib": dumped(
                make_pipeline(CountVectorizer(), MultinomialNB()).fit(
                    ["good day", "bad night"], ["positive", "error"]
                )
            )
        },
    ),
    "scikit-learn: on the stack of its name": handler(
        """
import joblib
import numpy as np

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def input_fn(body, content_type):
    return np.loadtxt(io.StringIO(text_of(body)), delimiter=",", ndmin=2)

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist()), "application/json"
""",
        (CSV, NUMBERS),
        files={"model.joblib": dumped(LinearRegression().fit(ROWS, range(4)))},
        stack="sklearn",
    ),
    "numpy: weights of an archive": handler(
        """
import numpy

def model_fn(model_dir):
    with numpy.load(os.path.join(model_dir, "weights.npz")) as file:
        return file["weights"], float(file["bias"])

def input_fn(body, content_type):
    text = text_of(body)
    if kind_of(content_type) == "application/json":
        return numpy.asarray(json.loads(text), dtype=float).reshape(-1, 2)
    return numpy.fromstring(text.replace("\\n", ","), sep=",").reshape(-1, 2)

def predict_fn(rows, model):
    weights, bias = model
    return rows @ weights + bias

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist()), accept
""",
        (CSV, NUMBERS),
        (JSON, "[[1, 2], [3, 4]]"),
        files={"weights.npz": npz(weights=[2.0, 0.5], bias=1.0)},
    ),
    "numpy: nearest of stored rows": handler(
        """
import numpy as np

def model_fn(model_dir, context=None):
    return np.load(os.path.join(model_dir, "rows.npy"), mmap_mode="r")

def input_fn(body, content_type, context=None):
    return np.atleast_2d(np.genfromtxt(io.StringIO(text_of(body)), delimiter=","))

def predict_fn(rows, stored, context=None):
    distances = ((rows[:, None, :] - stored[None]) ** 2).sum(axis=2)
    return {"nearest": distances.argmin(axis=1), "distance": distances.min(axis=1) ** 0.5}

def output_fn(prediction, accept, context=None):
    return json.dumps({name: value.tolist() for name, value in prediction.items()})
""",
        (CSV, NUMBERS),
        files={"rows.npy": npy(ROWS)},
    ),
    "numpy: an image's histogram": handler(
        """
import numpy as np

def model_fn(model_dir):
    return int(open(os.path.join(model_dir, "bins.txt")).read())

def input_fn(body, content_type):
    if kind_of(content_type) != "application/octet-stream":
        raise ValueError("send the pixels as application/octet-stream")
    return np.frombuffer(bytes(body), dtype=np.uint8)

def predict_fn(pixels, bins):
    return np.histogram(pixels, bins=bins, range=(0, 256))[0]

def output_fn(counts, accept):
    return json.dumps(counts.tolist()), "application/json"
""",
        ("application/octet-stream", bytes(range(256))),
        files={"bins.txt": "8\n"},
    ),
    "numpy: a softmax with an own encoder": handler(
        """
import numpy as np

class Encoder(json.JSONEncoder):
    def default(self, value):
        if isinstance(value, (np.ndarray, np.generic)):
            return value.tolist()
        return super().default(value)

def model_fn(model_dir):
    return json.load(open(os.path.join(model_dir, "labels.json")))

def input_fn(body, content_type):
    return np.array(json.loads(text_of(body))["logits"], dtype="float32")

def predict_fn(logits, labels):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = shifted / shifted.sum(axis=-1, keepdims=True)
    return [{"label": labels[row.argmax()], "score": row.max()} for row in np.atleast_2d(shares)]

def output_fn(found, accept):
    return json.dumps(found, cls=Encoder), "application/json"
""",
        (JSON, '{"logits": [[1, 2, 3], [3, 2, 1]]}'),
        files={"labels.json": '["cat", "dog", "none"]'},
    ),
    "pandas: totals by group": handler(
        """
import pandas as pd

def model_fn(model_dir):
    return pd.read_csv(os.path.join(model_dir, "rates.csv"), index_col="color")["rate"]

def input_fn(body, content_type):
    return pd.read_csv(io.StringIO(text_of(body)))

def predict_fn(frame, rates):
    return (frame["amount"] * frame["color"].map(rates).fillna(1.0)).rename("total")

def output_fn(totals, accept):
    if accept == "text/csv":
        return totals.to_csv(index=False), accept
    return totals.to_json(orient="values"), accept
""",
        (CSV, "color,amount\nred,1\nblue,2\nred,3\n"),
        files={"rates.csv": "color,rate\nred,2.0\nblue,0.5\n"},
        accept=(JSON, CSV),
    ),
    "pandas: JSON Lines": handler(
        """
import pandas as pd

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    return pd.read_json(io.StringIO(text_of(body)), lines=True)

def predict_fn(frame, model):
    return frame.assign(ratio=frame["a"] / frame["b"])

def output_fn(frame, accept):
    return frame.to_json(orient="records", lines=True), "application/jsonlines"
""",
        ("application/jsonlines", '{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'),
        accept=("application/jsonlines",),
    ),
    "pandas: dates, with missing ones": handler(
        """
import pandas as pd

def model_fn(model_dir):
    with open(os.path.join(model_dir, "holidays.json")) as file:
        return {pd.Timestamp(day) for day in json.load(file)}

def input_fn(body, content_type):
    return pd.read_csv(io.StringIO(text_of(body)), parse_dates=["day"])

def predict_fn(frame, holidays):
    frame["free"] = frame["day"].isin(holidays) | (frame["day"].dt.dayofweek >= 5)
    return frame[["free"]].assign(known=frame["day"].notna())

def output_fn(frame, accept):
    return json.dumps(frame.to_dict(orient="records")), "application/json"
""",
        (CSV, "day,shop\n2024-05-01,1\n2024-05-02,2\n,3\n"),
        files={"holidays.json": '["2024-05-01"]'},
    ),
    "pandas: a join, both orients": handler(
        """
import pandas as pd

def model_fn(model_dir):
    return pd.read_json(os.path.join(model_dir, "items.json"))

def input_fn(body, content_type):
    given = json.loads(text_of(body))
    if isinstance(given, dict):
        return pd.DataFrame(given["data"], columns=given["columns"])
    return pd.DataFrame(given)

def predict_fn(frame, items):
    return frame.merge(items, on="item", how="left").fillna({"price": 0.0})

def output_fn(frame, accept):
    return frame[["item", "price"]].to_json(orient="split", index=False), "application/json"
""",
        (JSON, '{"columns": ["item"], "data": [["a"], ["z"]]}'),
        (JSON, '[{"item": "b"}]'),
        files={"items.json": '[{"item": "a", "price": 1.5}, {"item": "b", "price": 2.5}]'},
    ),
    "plain: rules with a reason": handler(
        """
import dataclasses, functools, re

@dataclasses.dataclass(frozen=True)
class Rule:
    pattern: str
    label: str

    @functools.cached_property
    def compiled(self):
        return re.compile(self.pattern)

def model_fn(model_dir):
    rules = json.load(open(os.path.join(model_dir, "rules.json")))
    logger.info("%d rules", len(rules))
    return [Rule(**rule) for rule in rules]

def input_fn(body, content_type):
    return json.loads(text_of(body))["texts"]

def predict_fn(texts, rules):
    def label(text):
        for rule in rules:
            if rule.compiled.search(text):
                return {"label": rule.label, "error": None}
        return {"label": None, "error": None}
    return [label(text) for text in texts]

def output_fn(labels, accept):
    return json.dumps({"status": "ok", "results": labels}), "application/json"
""",
        (JSON, '{"texts": ["an error 42", "nothing"]}'),
        files={"rules.json": '[{"pattern": "[0-9]+", "label": "number"}]'},
    ),
    "plain: modules of its own, and requirements": handler(
        """
import sys
from lib.features import rows_of
from lib import scoring

def model_fn(model_dir):
    return scoring.load(model_dir)

def input_fn(body, content_type):
    return rows_of(text_of(body))

def predict_fn(rows, weights):
    return [scoring.score(row, weights) for row in rows]

def output_fn(scores, accept):
    return json.dumps(scores), accept
""",
        (CSV, NUMBERS),
        files={
            "code/lib/__init__.py": "",
            "code/lib/features.py": (
                "import csv, io\n\n"
                "def rows_of(text):\n"
                "    return [[float(c) for c in row] for row in csv.reader(io.StringIO(text))]\n"
            ),
            "code/lib/scoring.py": (
                "import json\nfrom pathlib import Path\n\n"
                "def load(model_dir):\n"
                "    return json.loads((Path(model_dir) / 'weights.json').read_text())\n\n"
                "def score(row, weights):\n"
                "    return sum(a * b for a, b in zip(row, weights))\n"
            ),
            "code/requirements.txt": f"numpy=={numpy.__version__}\npandas>=1.0  # for training\n",
            "weights.json": json.dumps([2.0, 0.5]),
        },
    ),
    "plain: transform_fn": handler(
        """
def model_fn(model_dir):
    with open(os.path.join(model_dir, "offset")) as file:
        return float(file.read())

def transform_fn(model, request_body, content_type, accept):
    cells = text_of(request_body).replace("\\n", ",").strip(",").split(",")
    return json.dumps([float(cell) + model for cell in cells]), accept
""",
        (CSV, NUMBERS),
        files={"offset": "0.5"},
    ),
    "plain: the context, and an optional package": handler(
        """
try:
    import torch
except ImportError:
    torch = None

def model_fn(model_dir, context):
    return {"device": "cuda" if torch and torch.cuda.is_available() else "cpu", "factor": 3}

def input_fn(body, content_type, context):
    return [int(line) for line in text_of(body).split()]

def predict_fn(data, model, context):
    return [number * model["factor"] for number in data]

def output_fn(prediction, accept, context):
    return json.dumps(prediction)
""",
        (TEXT, "1\n2\n3\n"),
        stack="pytorch",
    ),
    "plain: a form of defaults": handler(
        """
import pathlib

def model_fn(model_dir):
    optional = pathlib.Path(model_dir, "settings.json")
    try:
        return json.loads(optional.read_text())
    except FileNotFoundError:
        return {"threshold": 0.5}

def input_fn(body, content_type):
    try:
        given = json.loads(text_of(body))
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON: {error}") from error
    return [given] if isinstance(given, (int, float)) else given

def predict_fn(scores, settings):
    return ["yes" if score >= settings["threshold"] else "no" for score in scores]

def output_fn(words, accept):
    if accept == "text/csv":
        return "".join(word + "\\n" for word in words), "text/csv"
    return json.dumps(words), "application/json"
""",
        (JSON, "[0.2, 0.7]"),
        (JSON, "0.9"),
        accept=(JSON, CSV),
    ),
    "plain: a trie of words, from bytes": handler(
        """
import gzip

def model_fn(model_dir):
    trie = {}
    with gzip.open(os.path.join(model_dir, "words.txt.gz"), "rt", encoding="utf-8") as file:
        for word in file.read().split():
            node = trie
            for letter in word:
                node = node.setdefault(letter, {})
            node[""] = True
    return trie

def input_fn(body, content_type):
    data = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    return data.decode("utf-8-sig").split()

def predict_fn(words, trie):
    def known(word):
        node = trie
        for letter in word:
            node = node.get(letter)
            if node is None:
                return False
        return "" in node
    return {word: known(word) for word in words}

def output_fn(found, accept):
    return json.dumps(found, ensure_ascii=False).encode("utf-8"), "application/json"
""",
        (TEXT, "Käse cheese\nfromage"),
        files={"words.txt.gz": gzip.compress("käse cheese".encode())},
    ),
}
