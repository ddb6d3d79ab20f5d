"""Handlers with one mistake that a run shows."""

from __future__ import annotations

from tests.planted.fault import GOOD, SKLEARN, UNPICKLES, planted, raising, returning, with_

ARRAYS = """
import io, json
import numpy

class Model:
    n_features_in_ = 3
    def predict(self, rows):
        if rows.ndim != 2:
            raise ValueError("Expected 2D array, got %dD array instead" % rows.ndim)
        if rows.shape[1] != 3:
            raise ValueError("X has %d features, expecting 3" % rows.shape[1])
        return rows.sum(axis=1)

def model_fn(model_dir):
    return Model()

def input_fn(body, content_type):
    return numpy.loadtxt(io.StringIO(body), delimiter=",")

def predict_fn(data, model):
    return model.predict(data)

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist())
"""
HUGGINGFACE = {"stack": "huggingface"}
OF_MAIN = b"\x80\x04\x8c\x08__main__\x94\x8c\x05Model\x94\x93)R."
OF_ANOTHER = b"\x80\x04\x8c\x09fractions\x94\x8c\x08NoSuchOf\x94\x93)R."
# As a pickle of scikit-learn begins: the version, under its key.
OF_SKLEARN = b"\x80\x04\x8c\x10_sklearn_version\x94\x8c\x060.24.2\x9400" + OF_ANOTHER[2:]
FAULTS = {
    "a file of another name": planted(
        GOOD, ("HP101",), "no module 'inference'; serve.py was run", name="code/serve.py"
    ),
    "no file at all": planted(
        GOOD,
        ("HP101", "HP201", "HP205"),
        "the stack's defaults run",
        name="code/notes.txt",
        spec={"stack": "toolkit"},
    ),
    "a path as program": planted(
        GOOD,
        ("HP102",),
        "'code/inference.py'; a module's name",
        spec={"environ_vars": {"SAGEMAKER_PROGRAM": "code/inference.py"}},
    ),
    "resource forks": planted(GOOD, ("HP104",), "1 '._' files", files={"._weights": b"\0"}),
    "requirements at the root": planted(
        GOOD, ("HP105",), "no server installs it", files={"requirements.txt": "x"}
    ),
    "a listed package": planted(
        "import not_there_1\n" + GOOD,
        ("HP106", "HP201"),
        "lists not_the",
        files={"code/requirements.txt": "not-there-1>=2  # so\n"},
    ),
    "an unlisted package": planted("import not_there_1\n" + GOOD, ("HP107", "HP201"), "nor listed"),
    "a package of AWS": planted("import sagemaker_containers\n" + GOOD, ("HP108", "HP201"), "only"),
    "no Python": planted("def model_fn(:\n", ("HP109", "HP201"), "SyntaxError: invalid syntax"),
    "a pickle of __main__": planted(
        UNPICKLES, ("HP202", "HP201"), "loading fails: AttributeError", files={"model.pkl": OF_MAIN}
    ),
    "a pickle of another version": planted(
        "import fractions\nimport pickle\nclass Unpickler(pickle._Unpickler): pass\n"
        + with_("return 2.0", "return Unpickler(open(model_dir + '/model.pkl', 'rb')).load()"),
        ("HP203", "HP201"),
        "loading fails: AttributeError",
        files={"model.pkl": OF_ANOTHER},
    ),
    "a model of another scikit-learn": planted(
        UNPICKLES,
        ("HP203", "HP201"),
        "loading fails: AttributeError",
        files={"model.pkl": OF_SKLEARN},
    ),
    "no model_fn": planted(
        with_("def model_fn", "def get_it"),
        ("HP205", "HP201"),
        "loading fails: NotImplementedError",
    ),
    "pip at import": planted(
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'pip', 'install', 'x', '--no-index'])\n" + GOOD,
        ("HP206",),
        "pip install x",
    ),
    "a file that is not there": planted(
        with_("return 2.0", "return open(model_dir + '/weights')"),
        ("HP207", "HP201"),
        "loading fails: FileNotFoundError",
    ),
    "a parameter too few": planted(
        with_("(data, model)", "(data)"), ("HP301",), "predict_fn has 1 parameters"
    ),
    "a name of its own": planted(
        with_("def model_fn", "def load_model"), ("HP302", "HP201", "HP205"), "loading fails"
    ),
    "async": planted(with_("def predict_fn", "async def predict_fn"), ("HP303",), "an async func"),
    "a threshold": planted(
        with_("(prediction, accept)", "(prediction, accept, digits=3)"),
        ("HP304",),
        "'digits' gets the server's context",
    ),
    "the other way round": planted(
        with_("(data, model)", "(model, data)"), ("HP305",), "the other way round"
    ),
    "transform_fn and three others": planted(
        GOOD + "def transform_fn(model, body, content_type, accept): return body\n",
        ("HP306", "HP201"),
        "Cannot use transform_fn",
    ),
    "one row": planted(ARRAYS, ("HP401",), "ndarray of shape (3,)"),
    "with a charset": planted(
        with_(
            "    return [float",
            "    if content_type != 'text/csv': raise ValueError('type')\n    return [float",
        ),
        ("HP402",),
        "refuses 'text/csv; charset=utf-8'",
        content_type="text/csv; charset=utf-8",
    ),
    "bytes taken for text": planted(
        GOOD, ("HP403",), "a body of text/plain arrives as bytes", content_type="text/plain"
    ),
    "text taken for bytes": planted(
        with_("body.split", "body.decode().split"), ("HP404",), "a body of text/csv arrives as str"
    ),
    "a form": planted(
        GOOD, ("HP405",), "got None", content_type="application/x-www-form-urlencoded"
    ),
    "a type that defaults do not read": planted(
        with_("def input_fn", "def other_fn"),
        ("HP406",),
        "does not read image/png",
        content_type="image/png",
    ),
    "another number of features": planted(
        ARRAYS, ("HP501",), "fitted on 3 features", body="1,2\n3,4\n"
    ),
    "an object": planted(returning("object()"), ("HP601",), "output_fn returned a object"),
    "an object on Flask": planted(
        returning("object()"), ("HP601",), "the client gets 500", spec=SKLEARN
    ),
    "a status in the tuple": planted(
        returning("('x', 200)"), ("HP602",), "the content type is 200"
    ),
    "a tuple on huggingface": planted(
        returning("('x', accept)"), ("HP603",), "returned a tuple", spec=HUGGINGFACE
    ),
    "a bare text on Flask": planted(GOOD, ("HP604",), "a bare str", spec=SKLEARN),
    "a list of types": planted(GOOD, ("HP605",), "the whole list", accept="text/csv, text/plain"),
    "JSON where CSV was asked": planted(
        returning("(json.dumps(prediction), 'application/json')"),
        ("HP605",),
        "text/csv was asked for",
        accept="text/csv",
    ),
    "a message that is not ASCII": planted(
        raising("raise ValueError('naïve')"), ("HP606",), "ASCII"
    ),
    "an error on Flask": planted(
        raising("raise ValueError('x')"), ("HP607",), "without a word", spec=SKLEARN
    ),
    "NaN": planted(returning("json.dumps([float('nan')])"), ("HP608",), "NaN or Infinity"),
    "too long an answer": planted(returning("'x' * 6553501"), ("HP609",), "6553501 bytes"),
    "a type that defaults do not write": planted(
        with_("def output_fn", "def other_fn"),
        ("HP610",),
        "does not write image/png",
        accept="image/png",
    ),
    "many models, one module": planted(
        returning("(json.dumps(prediction), accept)"),
        ("HP704",),
        "one module serves every model",
        spec={"stack": "sklearn", "environ_vars": {"SAGEMAKER_MULTI_MODEL": "true"}},
    ),
    "many models, no requirements": planted(
        GOOD,
        ("HP704",),
        "(six) is not installed",
        files={"code/requirements.txt": "six"},
        spec={"environ_vars": {"SAGEMAKER_MULTI_MODEL": "true"}},
    ),
    "a question to nobody": planted(
        with_("return 2.0", "input(); return 2.0"), ("HP201",), "EOFError: EOF when reading a line"
    ),
    "a model of its own that is no JSON": planted(
        with_("return 2.0", "return json.loads(open(model_dir + '/m.params').read())"),
        ("HP201", "HP208"),
        "loading fails: JSONDecodeError",
        files={"m.params": '{"a": ['},
    ),
    "a text of its own that is no JSON": planted(
        with_("return 2.0", "return json.loads('{]')"), ("HP201",), "JSONDecodeError"
    ),
    "too long a request": planted(GOOD, ("HP702",), "6553501 bytes", body=b"1" * 6_553_501),
}
