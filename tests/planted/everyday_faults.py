"""Faults as people make them, written from what goes wrong and not from what the rules look for."""

from __future__ import annotations

import functools
import gzip
import io
import pickle
import zlib

import joblib
import numpy
import sklearn
from sklearn.linear_model import LogisticRegression

from tests.planted.fault import GOOD, UNPICKLES, Planted, pickled, planted, raising, reading, with_

JOBLIB = """
import io, json, os
import joblib
import numpy as np

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def input_fn(request_body, request_content_type):
    text = request_body if isinstance(request_body, str) else bytes(request_body).decode()
    return np.genfromtxt(io.StringIO(text), delimiter=",", ndmin=2)

def predict_fn(input_data, model):
    return model.predict(input_data)

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist()), accept
"""
DECODES = "    if not isinstance(body, str): body = bytes(body).decode()\n"
CELLS = "    return [float(cell) for cell in body.split(',')]"


def fitted() -> LogisticRegression:
    return LogisticRegression().fit([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], [0, 1])


def dumped(model: object) -> bytes:
    file = io.BytesIO()
    joblib.dump(model, file)
    return file.getvalue()


def of_another_version() -> bytes:
    """Give the pickle of a model that loads, with a warning."""
    version = sklearn.__version__.encode()
    return pickle.dumps(fitted()).replace(version, b"0" + version[1:])


def npz() -> bytes:
    file = io.BytesIO()
    numpy.savez(file, weights=numpy.arange(300.0))
    return file.getvalue()


MODEL = {"model.joblib": dumped(fitted())}
served = functools.partial(planted, files=MODEL)

FAULTS: dict[str, Planted] = {
    # ------------------------------------------------------------ the package
    "code in src": planted(
        GOOD, ("HP101", "HP201", "HP205"), name="src/inference.py", files={"weights": "1"}
    ),
    "a helper that was not packed": planted(
        "from preprocessing import clean\n" + GOOD, ("HP107", "HP201")
    ),
    "a package that is imported late": planted(
        raising("import not_there_2; return not_there_2.score(data)"), ("HP107",)
    ),
    "joblib of sklearn.externals": planted(
        "from sklearn.externals import joblib\n" + GOOD, ("HP110", "HP201")
    ),
    "a name that numpy has no more": planted(
        "import numpy as np\n" + raising("return [np.float(cell) for cell in data]"), ("HP110",)
    ),
    "Python 2": planted(with_("return 2.0", "print 'loading'; return 2.0"), ("HP109", "HP201")),
    "an indentation": planted(
        with_("    return 2.0", "  x = 1\n    return 2.0"), ("HP109", "HP201")
    ),
    "pip in model_fn": planted(
        "import os, sys\n"
        + with_(
            "return 2.0", "os.system(sys.executable + ' -m pip install --no-index six'); return 2.0"
        ),
        ("HP206",),
    ),
    "a virtual environment": planted(
        GOOD, ("HP805",), files={"code/.venv/lib/python3.11/site-packages/a.py": ""}
    ),
    "an editor's settings": planted(GOOD, ("HP805",), files={".idea/workspace.xml": "<project/>"}),
    "a token of GitHub": planted(
        GOOD, ("HP806",), files={"code/settings.py": f'T = "{"ghp_" + "a1B2" * 9}"'}
    ),
    "credentials of AWS": planted(
        GOOD,
        ("HP806",),
        files={
            "code/.aws/credentials": "[default]\naws_access_key_id = AKIA" + "QRSTUVWXYZ234567\n"
        },
    ),
    "a library of a Mac": planted(
        GOOD, ("HP803",), files={"code/lib/libomp.dylib": b"\xca\xfe\xba\xbe" + bytes(60)}
    ),
    "a compressed pickle that runs a command": planted(
        GOOD, ("HP801",), files={"model.joblib": zlib.compress(pickled("os", "system", 2))}
    ),
    "a gzipped pickle that runs code": planted(
        GOOD, ("HP801",), files={"model.pkl": gzip.compress(pickled("builtins", "exec"))}
    ),
    "ten thousand files": planted(
        GOOD, ("HP808",), files={f"data/{number}": b"" for number in range(10_001)}
    ),
    # ------------------------------------------------------------ loading
    "a model under another name": planted(JOBLIB, ("HP207", "HP201"), files={"model.pkl": b"x"}),
    "a vocabulary that is read late": planted(
        "import pathlib\n" + raising("return pathlib.Path('/opt/ml/vocabulary.txt').read_text()"),
        ("HP207",),
    ),
    "a class of a notebook": planted(
        JOBLIB, ("HP202", "HP201"), files={"model.joblib": pickled("__main__", "Scaler", 2)}
    ),
    "a forest of an old scikit-learn": planted(
        UNPICKLES,
        ("HP203", "HP201"),
        files={"model.pkl": pickled("sklearn.ensemble.forest", "RandomForestClassifier")},
    ),
    "a model that loads with a warning": planted(
        with_("[cell * model for cell in data]", "model.predict([data]).tolist()", UNPICKLES),
        ("HP203",),
        files={"model.pkl": of_another_version()},
    ),
    "an error page for a model": planted(
        JOBLIB,
        ("HP208", "HP201"),
        files={"model.joblib": b"<html><body>404 Not Found</body></html>"},
    ),
    "half of an archive": planted(
        "import numpy\n"
        + with_("return 2.0", "return float(numpy.load(model_dir + '/w.npz')['weights'][0])"),
        ("HP208", "HP201"),
        files={"w.npz": npz()[:900]},
    ),
    "more memory than there is": planted(
        with_("return 2.0", "return bytearray(1 << 50)"), ("HP705", "HP201")
    ),
    # ------------------------------------------------------------ signatures
    "model_fn takes nothing": planted(with_("(model_dir)", "()"), ("HP301", "HP201")),
    "output_fn takes one": planted(with_("(prediction, accept)", "(prediction)"), ("HP301",)),
    "a verbose predict_fn": planted(
        with_("(data, model)", "(data, model, verbose=False)"), ("HP304",)
    ),
    "async model_fn": planted(
        with_("def model_fn", "async def model_fn"), ("HP303", "HP506", "HP507")
    ),
    "output_fn yields": planted(
        with_("return json.dumps(prediction)", "yield json.dumps(prediction)"), ("HP303", "HP601")
    ),
    "input_fn the other way round": planted(
        with_("(body, content_type)", "(content_type, body)"), ("HP305",)
    ),
    "called postprocess": planted(with_("def output_fn", "def postprocess"), ("HP302",)),
    # ------------------------------------------------------------ the request
    "a type that nobody reads": planted(
        reading(
            "    if content_type == 'text/csv': return [1.0]\n"
            "    raise ValueError(f'Unsupported content type: {content_type}')"
        ),
        ("HP410",),
        content_type="application/json",
        body="[1]",
    ),
    "a dict of Python for JSON": planted(
        reading("    return list(json.loads(body).values())"),
        ("HP407",),
        content_type="application/json",
        body="{'a': 1}",
    ),
    "nothing for JSON": planted(
        reading("    return list(json.loads(body))"),
        ("HP407",),
        content_type="application/json",
        body="",
    ),
    "semicolons": planted(GOOD, ("HP408",), body="1;2;3"),
    "a word among numbers": planted(
        "import io, numpy\n"
        + reading("    return numpy.loadtxt(io.StringIO(body), delimiter=',')"),
        ("HP408",),
        body="1,2\n3,N/A\n",
    ),
    "UTF-16": planted(
        reading(DECODES + CELLS),
        ("HP411",),
        body="1,2".encode("utf-16"),
    ),
    "CSV for npy": planted(
        "import io, numpy\n" + reading("    return numpy.load(io.BytesIO(body)).tolist()"),
        ("HP409",),
        content_type="application/x-npy",
        body=b"1,2,3",
    ),
    "decodes what is text": planted(
        reading("    return json.loads(body.decode('utf-8'))"),
        ("HP404",),
        content_type="application/json",
        body="[1]",
    ),
    "reads bytes as text": planted(
        "import io\n" + reading("    return [float(line) for line in io.StringIO(body)]"),
        ("HP403",),
        content_type="application/x-ndjson",
        body="1\n2\n",
    ),
    "one row (probed)": planted(
        with_(", ndmin=2)", ")", JOBLIB),
        ("HP401",),
        files=MODEL,
        body="1,2,3\n4,5,6\n",
        spec={"probe": True},
    ),
    "a charset (probed)": planted(
        reading(
            "    if content_type != 'text/csv': raise ValueError('bad type ' + content_type)\n"
            + DECODES
            + CELLS
        ),
        ("HP402",),
        spec={"probe": True},
    ),
    # ------------------------------------------------------------ the prediction
    "a column too many": served(JOBLIB, ("HP501",), body="1,2,3,4\n"),
    "an empty cell": served(JOBLIB, ("HP504",), body="1,,3\n"),
    "text cells": served(
        with_(
            'np.genfromtxt(io.StringIO(text), delimiter=",", ndmin=2)',
            'np.array([r.split(",") for r in request_body.split()], dtype=object)',
            JOBLIB,
        ),
        ("HP505",),
        body="1,red,3\n",
    ),
    "a column by another name": planted(
        "import io, pandas\n"
        + with_(
            "    return [cell * model for cell in data]",
            "    return (data['amount'] * model).tolist()",
            reading("    return pandas.read_csv(io.StringIO(body))"),
        ),
        ("HP503",),
        body="Amount,age\n1,2\n",
    ),
    "a list for an array": planted(raising("return [data.shape[0]]"), ("HP506",)),
    "the model and its scaler": served(
        with_(
            'return joblib.load(os.path.join(model_dir, "model.joblib"))',
            'return joblib.load(os.path.join(model_dir, "model.joblib")), None',
            JOBLIB,
        ),
        ("HP507",),
    ),
    # ------------------------------------------------------------ the response
    "a number of numpy": planted(
        "import numpy\n" + with_("json.dumps(prediction)", "json.dumps({'p': numpy.float32(1)})"),
        ("HP611",),
    ),
    "a table in JSON": planted(
        "import pandas\n"
        + with_("json.dumps(prediction)", "json.dumps(pandas.DataFrame({'a': [1]}))"),
        ("HP611",),
    ),
    "a table as it is": planted(
        "import pandas\n" + with_("json.dumps(prediction)", "pandas.DataFrame({'a': [1]})"),
        ("HP601",),
    ),
    "an array as text": planted(
        "import numpy\n" + with_("json.dumps(prediction)", "str(numpy.array(prediction))"),
        ("HP623",),
    ),
    "NaN of numpy": planted(
        "import numpy\n" + with_("json.dumps(prediction)", "json.dumps([float(numpy.nan), 1.0])"),
        ("HP608",),
    ),
    "CSV whatever was asked": planted(
        with_("return json.dumps(prediction)", "return ','.join(map(str, prediction)), 'text/csv'"),
        ("HP605",),
    ),
    "an exception that is answered": planted(
        with_(
            "    return json.dumps(prediction)",
            "    try:\n        return json.dumps(prediction['scores'])\n"
            "    except Exception as error:\n"
            "        return json.dumps({'error': str(error)})",
        ),
        ("HP620",),
    ),
    "None where it failed": planted(
        with_(
            "    return [cell * model for cell in data]",
            "    try: return model.predict(data)\n    except Exception: return None",
        ),
        ("HP622",),
    ),
    "an accept type that nobody writes": planted(
        with_(
            "    return json.dumps(prediction)",
            "    if accept == 'application/json': return json.dumps(prediction)\n"
            "    raise NotImplementedError(f'Unsupported accept type: {accept}')",
        ),
        ("HP612",),
        accept="text/csv",
    ),
    "an answer for everyone": planted(
        raising("return [0.5]"),
        ("HP624",),
        spec={
            "suspect": ("constant_predictions",),
            "test_data_samples": [
                {"sample_name": body, "content_type": "text/csv", "request_body": body}
                for body in ("1,2", "3,4")
            ],
        },
    ),
}
