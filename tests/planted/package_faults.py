"""Packages with one fault that shows without running them, and correct ones very like them."""

from __future__ import annotations

import io
import struct
import zipfile

from tests.conftest import Files
from tests.planted.fault import Planted, pickled

GOOD = """
def model_fn(model_dir): return {}
def input_fn(body, content_type): return body
def predict_fn(data, model): return data
def output_fn(prediction, accept): return prediction
"""


def torch_archive(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model/data.pkl", data)
        archive.writestr("model/data/0", b"\0" * 64)
    return file.getvalue()


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01\x01" + b"\0" * 9 + struct.pack("<HH", 3, machine) + b"\0" * 40


def with_code(code: str) -> Files:
    return {"code/inference.py": code}


AWS = "AKIA" + "ABCDEFGHIJKLMNOP"
FAULTS: dict[str, Planted] = {
    "pickle that runs a command": Planted(
        {**with_code(GOOD), "model.pkl": pickled("posix", "system", 4)},
        ("HP801",),
    ),
    "old pickle that runs a command": Planted(
        {**with_code(GOOD), "model.pkl": pickled("os", "popen", 2)},
        ("HP801",),
    ),
    "pickle that evaluates": Planted(
        {**with_code(GOOD), "model.joblib": pickled("builtins", "eval", 4)},
        ("HP801",),
    ),
    "torch archive that runs a command": Planted(
        {**with_code(GOOD), "model.pt": torch_archive(pickled("subprocess", "Popen", 2))},
        ("HP801",),
    ),
    "pickle of __main__": Planted(
        {**with_code(GOOD), "model.pkl": pickled("__main__", "Model", 4)},
        ("HP202",),
    ),
    "macOS library": Planted(
        {**with_code(GOOD), "code/lib/a.so": b"\xcf\xfa\xed\xfe" + b"\0" * 60},
        ("HP803",),
    ),
    "Windows library": Planted({**with_code(GOOD), "code/a.pyd": b"MZ" + b"\0" * 60}, ("HP803",)),
    "two processors": Planted(
        {**with_code(GOOD), "code/a.so": elf(0x3E), "code/b.so": elf(0xB7)},
        ("HP804",),
    ),
    "two Pythons": Planted(
        {
            **with_code(GOOD),
            "code/a.cpython-310-x86_64-linux-gnu.so": elf(0x3E),
            "code/b.cpython-312-x86_64-linux-gnu.so": elf(0x3E),
        },
        ("HP804",),
    ),
    "repository": Planted({**with_code(GOOD), ".git/HEAD": "ref: refs/heads/main"}, ("HP805",)),
    "notebook's copies": Planted(
        {**with_code(GOOD), "code/.ipynb_checkpoints/a.py": ""}, ("HP805",)
    ),
    "resource forks": Planted({**with_code(GOOD), "code/._inference.py": b"\0\5"}, ("HP104",)),
    "key in code": Planted(with_code(GOOD + f'KEY = "{AWS}"\n'), ("HP806",)),
    "private key": Planted(
        {**with_code(GOOD), "key.txt": "-----BEGIN RSA " + "PRIVATE KEY-----"},
        ("HP806",),
    ),
    "password in a URL": Planted(
        with_code(GOOD + 'DB = "postgres://me:s3cret@db/x"\n'), ("HP806",)
    ),
    "requirements at the root": Planted(
        {**with_code(GOOD), "requirements.txt": "numpy"}, ("HP105",)
    ),
    "root folder": Planted({"model/code/inference.py": GOOD, "model/weights": "1"}, ("HP103",)),
    "syntax error": Planted(with_code("def model_fn(model_dir:\n"), ("HP109", "HP201")),
    "null byte": Planted(with_code(GOOD + "\0"), ("HP109", "HP201")),
    "one parameter too few": Planted(
        with_code(GOOD.replace("(data, model)", "(data)")), ("HP301",)
    ),
    "two parameters too many": Planted(
        with_code(GOOD.replace("(data, model)", "(data, model, a=1, b=2)")),
        ("HP301",),
    ),
    "any keyword": Planted(
        with_code(GOOD.replace("(data, model)", "(data, model, **k)")), ("HP301",)
    ),
    "keyword only": Planted(
        with_code(GOOD.replace("(body, content_type)", "(body, *, content_type)")),
        ("HP301",),
    ),
    "threshold gets the context": Planted(
        with_code(GOOD.replace("(data, model)", "(data, model, threshold=0.5)")),
        ("HP304",),
    ),
    "async": Planted(
        with_code(GOOD.replace("def predict_fn", "async def predict_fn")), ("HP303", "HP601")
    ),
    "generator": Planted(
        with_code(GOOD.replace("model): return data", "model): yield data")), ("HP303", "HP601")
    ),
    "the other way round": Planted(
        with_code(GOOD.replace("predict_fn(data, model)", "predict_fn(model, data)")),
        ("HP305", "HP623"),
    ),
    "called load_fn": Planted(
        with_code(GOOD.replace("model_fn", "load_fn")), ("HP302", "HP201", "HP205")
    ),
    "called predict": Planted(with_code(GOOD.replace("predict_fn", "predict")), ("HP302",)),
    "called preprocess": Planted(
        with_code(GOOD.replace("input_fn", "preprocess")), ("HP302", "HP601")
    ),
    "a typing mistake": Planted(with_code(GOOD.replace("output_fn", "ouput_fn")), ("HP302",)),
    "transform_fn and predict_fn": Planted(
        with_code(GOOD + "def transform_fn(model, body, content_type, accept): return body\n"),
        ("HP306", "HP201"),
    ),
    "no model_fn": Planted(with_code(GOOD.replace("model_fn", "get_it")), ("HP205", "HP201")),
    "an import that is not required": Planted(
        {**with_code("import lightgbm\n" + GOOD), "code/requirements.txt": "numpy==1.26 # x\n"},
        ("HP107", "HP201"),
    ),
    "an import of a helper": Planted(
        {
            **with_code("import helper\n" + GOOD),
            "code/helper.py": "def read():\n    from PIL import Image\n",
            "code/requirements.txt": "pandas\n",
        },
        ("HP107",),
    ),
    "a package of AWS": Planted(
        with_code("from sagemaker_containers import beta\n" + GOOD), ("HP108", "HP201")
    ),
}

CORRECT: dict[str, Files] = {
    "four functions": with_code(GOOD),
    "with context": with_code(GOOD.replace("(data, model)", "(data, model, context)")),
    "with an optional context": with_code(GOOD.replace("(model_dir)", "(model_dir, ctx=None)")),
    "any arguments": with_code(GOOD.replace("(data, model)", "(*args, **kwargs)")),
    "rest": with_code(GOOD.replace("(data, model)", "(data, *rest)")),
    "a lambda": with_code(
        GOOD.replace("def predict_fn(data, model): return data", "predict_fn = lambda d, m: d")
    ),
    "functions of a helper": {
        "code/inference.py": "from helper import *\n",
        "code/helper.py": GOOD,
    },
    "only model_fn": with_code("def model_fn(model_dir): return {}\n"),
    "decorated": with_code(
        "import functools\n" + GOOD.replace("def predict_fn", "@functools.cache\ndef predict_fn")
    ),
    "helpers of other names": with_code(GOOD + "def load_weights(path): return path\n"),
    "defined under a condition": with_code(
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\nif numpy is None:\n"
        "    def model_fn(model_dir): return {}\nelse:\n    def model_fn(model_dir): return []\n"
    ),
    "inner generator": with_code(
        GOOD.replace(
            "def predict_fn(data, model): return data",
            "def predict_fn(data, model):\n    def rows():\n        yield data\n"
            "    return list(rows())",
        )
    ),
    "transform_fn alone": with_code(
        "def model_fn(model_dir): return {}\n"
        "def transform_fn(model, body, content_type, accept): return body\n"
    ),
    "own classes pickled": {**with_code(GOOD), "model.pkl": pickled("inference", "Model", 4)},
    "imports that are required": {
        **with_code(
            "import json, numpy, yaml\nfrom PIL import Image\nfrom sklearn import svm\n"
            "try:\n    import lightgbm\nexcept ImportError:\n    lightgbm = None\n" + GOOD
        ),
        "code/requirements.txt": "--extra-index-url https://wheels.example/simple\n"
        "Scikit_Learn[tests]>=1.0\npyyaml ; python_version > '3'\n"
        "pillow @ https://wheels.example/pillow.whl\n",
    },
    "requirements of another file": {
        **with_code("import lightgbm\n" + GOOD),
        "code/requirements.txt": "-r more.txt\n",
    },
    "requirements that nobody wrote down": with_code("import lightgbm\n" + GOOD),
    "requirements in code": {**with_code(GOOD), "code/requirements.txt": "numpy\n"},
    "a Linux library": {**with_code(GOOD), "code/a.so": elf(0x3E)},
    "a URL without a password": with_code(GOOD + 'DB = "postgres://db.example/x"\n'),
    "a user in a template": with_code(GOOD + 'DB = "postgres://{user}:{word}@db"\n'),
}
