"""Write sample requests for the endpoint: python payload.py --model DIR --output DIR."""

import argparse
import json
import os

SAMPLES = [[48, 30.0, 1], [2, 110.0, 9], [20, 75.5, 4]]


def write(model, output):
    with open(os.path.join(model, "features.json")) as file:
        features = json.load(file)
    for kind in "csv_samples", "json_samples":
        os.makedirs(os.path.join(output, kind))
    with open(os.path.join(output, "csv_samples", "payload_text_csv_0.csv"), "w") as file:
        file.writelines(",".join(map(str, row)) + "\n" for row in SAMPLES)
    records = [dict(zip(features, row)) for row in SAMPLES]
    name = "payload_application_json_0.json"
    with open(os.path.join(output, "json_samples", name), "w") as file:
        json.dump(records, file)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--model", required=True)
    words.add_argument("--output", required=True)
    write(**vars(words.parse_args()))
