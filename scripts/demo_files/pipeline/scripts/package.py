"""Pack the model, its calibration and the handler's code as the serving container wants it."""

import os
import tarfile


def main(input_paths, output_paths, environ_vars, job_args):
    archive = os.path.join(output_paths["packaged_model"], "model.tar.gz")
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, input_paths["model_input"], "")
        add(tar, input_paths["calibration_input"], "calibration/")
        add(tar, input_paths["inference_scripts"], "code/")
    print(f"{os.path.getsize(archive)} bytes")


def add(tar, folder, place):
    for name in sorted(os.listdir(folder)):
        tar.add(os.path.join(folder, name), arcname=place + name)
