"""Leaves a daemon: forked twice, own session, no variables, nothing open."""

import os


def daemonise(report):
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(report, b"%d" % os.getpid())
    os.closerange(0, 4096)
    os.execve("/bin/sleep", ["sleep", "3600"], {})


def model_fn(model_dir):
    return 2.0


def input_fn(body, content_type):
    return [float(cell) for cell in body.split(",")]


def predict_fn(data, model):
    answer, report = os.pipe()
    child = os.fork()
    if child == 0:
        daemonise(report)
    os.waitpid(child, 0)
    print(f"pid={int(os.read(answer, 32))}")
    os.close(answer)
    os.close(report)
    return model * sum(data)


def output_fn(prediction, accept):
    return str(prediction)
