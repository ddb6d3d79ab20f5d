"""Fill gaps, drop what is no feature, put the label first; split what is for training."""

import csv
import json
import os
import statistics

from columns import FEATURES


def main(input_paths, output_paths, environ_vars, job_args):
    label = environ_vars["LABEL_FIELD"]
    with open(os.path.join(input_paths["METADATA"], "metadata.json")) as file:
        expected = json.load(file)["rows"]
    with open(os.path.join(input_paths["DATA"], "customers.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    if len(rows) != expected:
        raise ValueError(f"{len(rows)} rows, where the metadata say {expected}")
    for name in FEATURES:
        middle = statistics.median(float(row[name]) for row in rows if row[name])
        for row in rows:
            row[name] = float(row[name]) if row[name] else middle
    parts = {"calibration": rows}
    if job_args.job_type == "training":
        cut = len(rows) * 4 // 5
        parts = {"train": rows[:cut], "val": rows[cut:]}
    for part, chosen in parts.items():
        write(output_paths["processed_data"], part, label, chosen)


def write(folder, part, label, rows):
    os.makedirs(os.path.join(folder, part), exist_ok=True)
    with open(os.path.join(folder, part, f"{part}.csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow([label, *FEATURES])
        table.writerows([[row[label], *(row[name] for name in FEATURES)] for row in rows])
    print(f"{part}: {len(rows)} rows")
