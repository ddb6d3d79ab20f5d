"""Writes 64 MiB into one file, BY Python, by a child, or by Python without its guard."""

import os
import signal
import subprocess

MIB = 1024 * 1024


def by_python():
    with open("large", "wb") as file:
        for _ in range(64):
            file.write(b"x" * MIB)


def by_child():
    subprocess.run(["dd", "if=/dev/zero", "of=large", "bs=1M", "count=64"], check=True)


def by_shell():
    subprocess.run("head -c 64M /dev/zero > large; exit $?", shell=True, check=True)


def by_liar():
    subprocess.run("exit 153", shell=True, check=True)


def by_wrapped():
    try:
        by_child()
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"no file: {error}") from error


def by_python_unguarded():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    by_python()


WRITERS = {
    "python": by_python,
    "child": by_child,
    "shell": by_shell,
    "liar": by_liar,
    "wrapped": by_wrapped,
    "unguarded": by_python_unguarded,
}


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    WRITERS[os.environ["BY"]]()
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
