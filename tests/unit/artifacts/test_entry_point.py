"""Which module the server would import, and which ones could be meant instead."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from harness.artifacts.entry_point import find_candidates, find_module


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("inference", "code/inference.py"),
        ("serve", "serve.py"),
        ("my-serve", "code/my-serve.py"),
        ("both", "code/both/__init__.py"),
        ("package.inner", "code/package/inner.py"),
        ("compiled", "code/compiled.cpython-311-x86_64-linux-gnu.so"),
        ("quick", "code/quick.abi3.so"),
        ("plain", "code/plain.so"),
        ("namespace", None),
        ("code/inference", None),
        ("missing", None),
        ("package..inner", None),
        ("inferenc?", None),
        ("inference.PY", None),
        ("folder", None),
        ("", None),
        (".", None),
        ("/etc/passwd", None),
        ("nul\0byte", None),
    ],
)
def test_module_is_found_where_import_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str | None
) -> None:
    write(
        tmp_path,
        {
            "code/inference.py": "",
            "inference.py": "",
            "serve.py": "",
            "code/my-serve.py": "",
            "code/both.py": "",
            "code/both/__init__.py": "",
            "code/package/__init__.py": "",
            "code/package/inner.py": "",
            "code/compiled.cpython-311-x86_64-linux-gnu.so": "",
            "code/quickly.abi3.so": "",
            "code/quick.so": "",
            "code/quick.py": "",
            "code/quick.abi3.so": "",
            "code/plain.so": "",
            "code/plain.py": "",
            "code/namespace/x.py": "",
            "code/folder.py/x": "",
        },
    )
    found = find_module(name, (tmp_path / "code", tmp_path))
    assert found is None if expected is None else found
    if found is not None:
        assert (found.name, found.file) == (name, tmp_path / str(expected))
    if name.isidentifier() and name not in ("namespace", "compiled", "quick", "plain"):
        monkeypatch.setattr(sys, "path", [str(tmp_path / "code"), str(tmp_path)])
        real = importlib.util.find_spec(name)
        assert (real and real.origin) == (found and str(found.file))


DEFINES = {
    "function": "def model_fn(model_dir):\n    pass\n",
    "async function": "async def predict_fn(data, model): ...\n",
    "assignment": "from joblib import load\nmodel_fn = load\n",
    "assignment of several": "input_fn, output_fn = make()\n",
    "annotated": "transform_fn: object = make()\n",
    "import": "from toolbox import model_fn\n",
    "import under the name": "from toolbox import load as model_fn\n",
    "import in lines": "from toolbox import (\n    load,\n    predict_fn,\n)\n",
    "in a condition": "if True:\n    def model_fn(d): ...\nelse:\n    pass\n",
    "in a try": "try:\n    import torch\nexcept ImportError:\n    def model_fn(d): ...\n",
    "in a with": "with open('x') as f:\n    model_fn = f.read\n",
    "in a match": "match 1:\n    case 1:\n        def model_fn(d): ...\n",
    "with a byte order mark": "\ufeffdef model_fn(d): ...\n",
    "with an invalid escape": 'X = "\\d"\ndef model_fn(d): ...\n',
    "broken syntax": "def model_fn(d):\n    return (\n\ndef x(:\n",
    "Python 2": "print 'loading'\ndef model_fn(d):\n    pass\n",
    "newer syntax, import": "from toolbox import model_fn\nfrobnicate x y\n",
    "newer syntax, assignment": "frobnicate x y\nmodel_fn: Callable = make()\n",
    "too deeply nested": "def model_fn(d): ...\nx = " + "(" * 5000 + ")" * 5000 + "\n",
}
DEFINES_NOT = {
    "empty": "",
    "other functions": "def load_fn(d): ...\ndef predict(d): ...\nmodel = 1\n",
    "method": "class Handler:\n    def model_fn(self, d): ...\n",
    "nested": "def make():\n    def model_fn(d): ...\n",
    "only called": "import server\nserver.model_fn('x')\nprint(model_fn)\n",
    "attribute": "server.model_fn = None\n",
    "declared only": "model_fn: object\n",
    "in a text": "TEXT = '''\ndef model_fn(d): ...\n'''\n",
    "import renamed": "from toolbox import model_fn as load\n",
    "broken, compared": "frobnicate x y\nmodel_fn == 1\n",
    "broken, indented": "class A:\n    def model_fn(self): ...\nfrobnicate x y\n",
}


@pytest.mark.parametrize("case", DEFINES)
def test_module_with_a_handler_function_is_a_candidate(tmp_path: Path, case: str) -> None:
    write(tmp_path, {"other.py": "", "serve.py": DEFINES[case]})
    assert [module.name for module in find_candidates([tmp_path])] == ["serve"]


@pytest.mark.parametrize("case", DEFINES_NOT)
def test_module_without_one_is_no_candidate(tmp_path: Path, case: str) -> None:
    write(tmp_path, {"serve.py": DEFINES_NOT[case]})
    assert find_candidates([tmp_path]) == []


@pytest.mark.parametrize(
    "files",
    [
        {"serve.py": "from helpers import model_fn\n"},
        {"serve.py": "from helpers import *\n"},
        {"serve/__init__.py": "from helpers import model_fn\n"},
        {"serve.py": "from helpers import model_fn\nbroken syntax here\n"},
    ],
)
def test_module_that_lends_its_functions_is_a_helper(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, {"helpers.py": "def model_fn(d): ...\n", **files})
    assert [module.name for module in find_candidates([tmp_path])] == ["serve"]


def test_modules_that_lend_to_each_other_are_all_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"a.py": "from b import model_fn\n", "b.py": "from a import input_fn\n"},
    )
    assert [module.name for module in find_candidates([tmp_path])] == ["a", "b"]


def test_only_what_can_be_imported_by_name_is_a_candidate(tmp_path: Path) -> None:
    text = DEFINES["function"]
    write(
        tmp_path,
        {
            "code/twice.py": text,
            "twice.py": text,
            "code/package/__init__.py": text,
            "code/package/inner.py": text,
            "code/__init__.py": text,
            "code/._mac.py": text,
            "code/two.dots.py": text,
            "code/notes.txt": text,
        },
    )
    found = find_candidates([tmp_path / "code", tmp_path])
    assert [str(module.file.relative_to(tmp_path)) for module in found] == [
        "code/__init__.py",
        "code/package/__init__.py",
        "code/twice.py",
    ]
