"""Load customers: here they are drawn, always the same ones for a job type."""

import csv
import json
import os
import random

COLUMNS = ["customer_id", "tenure_months", "monthly_charge", "support_calls", "churned"]


def main(input_paths, output_paths, environ_vars, job_args):
    draw = random.Random(job_args.job_type)
    with open(os.path.join(output_paths["DATA"], "customers.csv"), "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for number in range(job_args.customers):
            rows.writerow(customer(draw, number))
    metadata = {"columns": COLUMNS, "rows": job_args.customers}
    with open(os.path.join(output_paths["METADATA"], "metadata.json"), "w") as file:
        json.dump(metadata, file)
    print(f"{job_args.customers} customers for {job_args.job_type}")


def customer(draw, number):
    tenure, calls = draw.randint(1, 60), draw.randint(0, 9)
    charge = round(draw.uniform(20, 120), 2)
    risk = 0.02 * charge + 0.4 * calls - 0.06 * tenure - 0.5
    # Some charges are not known, as in life.
    return [
        number,
        tenure,
        "" if draw.random() < 0.03 else charge,
        calls,
        int(draw.gauss(risk, 1) > 0),
    ]


if __name__ == "__main__":
    raise SystemExit("this script is run by a pipeline")
