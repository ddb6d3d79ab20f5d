"""Fills its fresh HOME and TMPDIR with directories that nobody may enter."""

import os
import pathlib
import tempfile


def model_fn(model_dir):
    home, temporary = pathlib.Path(os.environ["HOME"]), pathlib.Path(os.environ["TMPDIR"])
    assert list(home.iterdir()) == list(temporary.iterdir()) == []
    assert [pathlib.Path.home(), pathlib.Path(tempfile.gettempdir())] == [home, temporary]
    for folder in (home, temporary, pathlib.Path(model_dir)):
        inner = folder / "locked" / "inner"
        inner.mkdir(parents=True)
        (inner / "file").write_text("still here")
        for place in (inner / "file", inner, folder / "locked", folder):
            place.chmod(0)
    print(f"path={home}\npath={temporary}")
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
