"""Dies in the way DEATH at the moment MOMENT: the cells of the death matrix."""

import atexit
import ctypes
import gc
import os
import pathlib
import pickle
import signal
import sys
import threading
import time

later_call = threading.Event()


def throw(error):
    raise error


WAYS = {
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGABRT": os.abort,
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "os._exit(0)": lambda: os._exit(0),
    "os._exit(137)": lambda: os._exit(137),
    "sys.exit(0)": lambda: sys.exit(0),
    "SystemExit": lambda: throw(SystemExit("no more")),
    "KeyboardInterrupt": lambda: throw(KeyboardInterrupt()),
    "GeneratorExit": lambda: throw(GeneratorExit()),
}


def die():
    WAYS[os.environ["DEATH"]]()


def moment(name):
    return os.environ["MOMENT"] == name


class DiesUnpickled:
    def __reduce__(self):
        return die, ()


class DiesDescribed:
    def __len__(self):
        die()

    def __repr__(self):
        die()

    def __str__(self):
        return "6.0"


class DiesFinalised:
    def __init__(self):
        self.cycle = self

    def __del__(self):
        die()


def die_in_a_later_call():
    later_call.wait(10)
    die()


def die_between_calls():
    give_up = time.monotonic() + 10
    while not pathlib.Path(os.environ["GO"]).exists() and time.monotonic() < give_up:
        time.sleep(0.005)
    die()


if moment("atexit"):
    atexit.register(die)
if moment("import"):
    die()


def model_fn(model_dir):
    if moment("model_fn"):
        die()
    if moment("unpickling"):
        pickle.loads(pickle.dumps(DiesUnpickled()))
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    if moment("call"):
        die()
    if moment("describing"):
        return DiesDescribed()
    if moment("finalising"):
        DiesFinalised()
        gc.collect()
    if moment("later call"):
        threading.Thread(target=die_in_a_later_call, name="killer", daemon=True).start()
    if moment("between calls"):
        threading.Thread(target=die_between_calls, daemon=True).start()
    return model * sum(data)


def output_fn(prediction, accept):
    if moment("later call"):
        later_call.set()
        for thread in threading.enumerate():
            if thread.name == "killer":
                thread.join(10)
    return str(prediction)
