"""Handlers whose one mistake is an exception, which it takes a look at the data to explain."""

from __future__ import annotations

import pickle

import pandas
from sklearn.linear_model import LogisticRegression

from tests.conftest import Files
from tests.planted.fault import GOOD, UNPICKLES, Planted, pickled, planted, reading, with_


def fitted() -> bytes:
    table = pandas.DataFrame({"amount": [0.0, 1.0, 2.0], "age": [3.0, 2.0, 1.0]})
    return pickle.dumps(LogisticRegression().fit(table, [0, 1, 1]))


JSON = reading("    return json.loads(body)")
FLOATS = reading("    return [[float(c) for c in r.split(',')] for r in body.splitlines()]")
PANDAS = "import io, pandas\n" + reading("    return pandas.read_csv(io.StringIO(body))")
TWO = reading(
    "    if content_type == 'text/csv': return [1.0]\n"
    "    if content_type == 'application/json': return [2.0]\n"
    "    raise ValueError('unsupported type')"
)
MODEL = "import pandas\n" + with_(
    "    return [cell * model for cell in data]",
    "    return model.predict(data).tolist()",
    UNPICKLES,
)


FAULTS: dict[str, Planted] = {
    # ------------------------------------------------------------ import
    "an import of another version": planted(
        "from json import loadz\n" + GOOD, ("HP110", "HP201"), "json has no loadz"
    ),
    "a module of another version": planted(
        "import pandas.core.nowhere\n" + GOOD,
        ("HP110", "HP201"),
        f"pandas {pandas.__version__} has no pandas.core.nowhere; code/requirements.txt says "
        "'pandas==1.0'",
        files={"code/requirements.txt": "pandas==1.0  # old\n"},
    ),
    "a package by its other name": planted(
        "import skimage\n" + GOOD,
        ("HP106", "HP201"),
        "'scikit-image>=0.2'",
        files={"code/requirements.txt": "scikit-image>=0.2\n"},
    ),
    "an optional package": planted(
        "import pandas\n"
        + with_("return 2.0", "return pandas.read_excel(model_dir + '/a.xlsx', engine='openpyxl')"),
        ("HP111", "HP201"),
        "openpyxl",
        files={"a.xlsx": b"PK\x03\x04" + bytes(60)},
    ),
    # ------------------------------------------------------------ loading
    "a name nearly right": planted(
        with_("return 2.0", "return open(model_dir + '/model.pkl')"),
        ("HP207", "HP201"),
        "model directory holds",
        files={"model.plk": b"x", "deep/more.bin": b"x"},
    ),
    "a path of another machine": planted(
        with_("return 2.0", "return open('/home/me/weights')"), ("HP207", "HP201"), "not below"
    ),
    "wrapped": planted(
        with_(
            "return 2.0",
            "\n    try: return open(model_dir + '/weights')\n"
            "    except OSError as error: raise RuntimeError('cannot load') from error",
        ),
        ("HP207", "HP201"),
        "looks for weights",
    ),
    "a pointer of Git LFS": planted(
        UNPICKLES,
        ("HP208", "HP201"),
        "model.pkl is a pointer of Git LFS",
        files={"model.pkl": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"},
    ),
    "an empty model": planted(
        UNPICKLES, ("HP208", "HP201"), "model.pkl is empty", files={"model.pkl": b""}
    ),
    "a model cut short": planted(
        UNPICKLES, ("HP208", "HP201"), "cut short", files={"model.pkl": fitted()[:200]}
    ),
    "a pickle of an older pandas": planted(
        UNPICKLES,
        ("HP203", "HP201"),
        f"is of pandas before 2.0, and pandas {pandas.__version__} loads it",
        files={"model.pkl": pickled("pandas.core.indexes.numeric", "Int64Index")},
    ),
    "too much memory": planted(
        with_("return 2.0", "import numpy; return numpy.empty(1 << 50)"),
        ("HP705", "HP201"),
        "Unable to allocate",
    ),
    # ------------------------------------------------------------ the request
    "no JSON": planted(
        JSON,
        ("HP407",),
        "Expecting value (line 1, column 13)",
        content_type="application/json",
        body='{"invalid": json}',
    ),
    "JSON with a charset": planted(
        JSON,
        ("HP407",),
        "line 2, column 1",
        content_type="application/json; charset=utf-8",
        body=b"[1,\n}",
    ),
    "JSON Lines for JSON": planted(
        JSON, ("HP407",), "as in JSON Lines", content_type="application/json", body="[1]\n[2]"
    ),
    "another number of cells": planted(
        PANDAS, ("HP408",), "line 3 has 3 cells, and line 1 has 2", body="a,b\n1,2\n1,2,3\n"
    ),
    "no number": planted(
        FLOATS, ("HP408",), "'red' is no number (line 2, column 3)", body="1,2\n3,red\n"
    ),
    "a header": planted(FLOATS, ("HP408",), "the first line is a header", body="age,sum\n3,4\n"),
    "no Parquet": planted(
        "import io, pandas\n" + reading("    return pandas.read_parquet(io.BytesIO(body))"),
        ("HP409",),
        "it begins with b'amount,a' (text), not with b'PAR1'",
        content_type="application/x-parquet",
        body=b"amount,age\n1,2\n",
    ),
    "a type that is refused": planted(
        TWO,
        ("HP410",),
        "refuses application/xml; it names application/json, text/csv",
        content_type="application/xml",
    ),
    "a column that is refused": planted(
        TWO.replace("== 'application/json': return [2.0]", "== 'x': pass").replace(
            "unsupported type", "no column age"
        ),
        (),
        "",
        content_type="application/json",
    ),
    "a key of another name": planted(
        reading("    return json.loads(body)['instances']"),
        ("HP503",),
        "input_fn looks for 'instances'; the body has rows, age",
        content_type="application/json",
        body='{"rows": [1], "age": 2}',
    ),
    "latin-1": planted(
        GOOD, ("HP411",), "byte 0xe9 at offset 3", body="caf\xe9,1".encode("latin-1")
    ),
    # ------------------------------------------------------------ the prediction
    "a column that is not there": planted(
        "import pandas\n"
        + with_(
            "    return [cell * model for cell in data]",
            "    return data['age'].tolist()",
            reading("    return pandas.DataFrame({'amount': [1]})"),
        ),
        ("HP503",),
        "looks for 'age'; input_fn gave the columns amount",
    ),
    "a table is wanted": planted(
        with_("    return [cell * model for cell in data]", "    return data.iloc[0]"),
        ("HP506",),
        "input_fn gives a list, and predict_fn wants a DataFrame-like object: it asks for .iloc",
    ),
    "the model in a dict": planted(
        with_(
            "    return [cell * model for cell in data]",
            "    return model.predict(data)",
            with_("return 2.0", "return {'model': 2.0}"),
        ),
        ("HP507",),
        "model_fn returned a dict ({'model': 2.0})",
    ),
    # ------------------------------------------------------------ the response
    "arrays in JSON": planted(
        "import numpy\n" + with_("json.dumps(prediction)", "json.dumps(numpy.ones(2))"),
        ("HP611",),
        "ndarray is not JSON serializable",
    ),
    "an accept type that is refused": planted(
        with_(
            "    return json.dumps(prediction)",
            "    if accept != 'application/json': raise ValueError('not supported')\n"
            "    return json.dumps(prediction)",
        ),
        ("HP612",),
        "refuses text/csv; it names application/json",
        accept="text/csv",
    ),
}

# Requests to a scikit-learn model that was fitted on a table of the columns amount and age.
TO_A_MODEL = {
    '{"amount": [1.0], "height": [2.0]}': ("HP502", "missing age; new height"),
    '{"age": [1.0], "amount": [2.0]}': ("HP502", "another order than at training, from 'age' on"),
    '{"amount": [1.0], "age": [null]}': ("HP504", "NaN"),
    '{"amount": [1.0], "age": ["red"]}': ("HP505", "red"),
    '{"amount": [1.0], "age": [2.0]}': (None, ""),
}
MODEL_FILES: Files = {
    "code/inference.py": with_(
        '    return [float(cell) for cell in body.split(",")]',
        "    return pandas.DataFrame(json.loads(body))",
        MODEL,
    ),
    "model.pkl": fitted(),
}
