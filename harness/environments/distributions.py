"""Which distribution a module is of: by the environment's own word, else by what is known."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from harness.environments.requirements import normal

# Where the names differ.
DISTRIBUTION_OF: Final = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "google": "protobuf",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "psycopg2": "psycopg2-binary",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "socks": "pysocks",
    "umap": "umap-learn",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
# Other distributions that give the same module.
ALSO_OF: Final = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python"),
    "psycopg2-binary": ("psycopg2",),
    "faiss-cpu": ("faiss-gpu",),
    "tensorflow": ("tensorflow-cpu", "tensorflow-gpu"),
    "torch": ("torch-cpu",),
}
# What comes with a distribution, so that who lists it need not list these.
BRINGS: Final = {
    "boto3": ("botocore", "s3transfer", "jmespath"),
    "lightgbm": ("numpy", "scipy"),
    "pandas": ("numpy", "python-dateutil", "pytz"),
    "scikit-learn": ("numpy", "scipy", "joblib", "threadpoolctl"),
    "scipy": ("numpy",),
    "sagemaker-inference": ("boto3", "numpy", "six", "psutil", "retrying", "scipy"),
    "tensorflow": ("numpy", "keras", "protobuf"),
    "torchvision": ("torch", "numpy", "pillow"),
    "transformers": ("numpy", "tokenizers", "huggingface-hub", "pyyaml", "requests", "tqdm"),
    "xgboost": ("numpy", "scipy"),
}
# These come with an image of AWS and are on no index, or not in the form that runs there.
AWS_ONLY: Final = re.compile(
    r"sagemaker_containers|sagemaker_(xgboost|sklearn|tensorflow|mxnet|pytorch)\w*_container"
    r"|sagemaker_\w+_serving_container|sagemaker_algorithm_toolkit|smdebug|smdistributed"
    r"|neo(mxnet|pytorch|tf|xgboost|dlr)?|neo_\w+|mlio"
)
_BUILT_IN: Final = {"distutils", "imp", "asyncore", "asynchat", "smtpd"}  # of older Pythons


def name_of(module: str) -> str:
    """Name the distribution of a module, as far as it is known."""
    return normal(DISTRIBUTION_OF.get(module, module))


def is_built_in(module: str) -> bool:
    """Tell a module of Python itself, of this version or an older one."""
    return module in sys.stdlib_module_names or module in _BUILT_IN


def listed(module: str, names: Iterable[str]) -> bool:
    """Tell whether one of these distributions gives a module, itself or by what comes with it."""
    given = set(names)
    for name in tuple(given):
        given.update(BRINGS.get(name, ()))
    wanted = name_of(module)
    return wanted in given or any(other in given for other in ALSO_OF.get(wanted, ()))


def installed(module: str, site_packages: Sequence[str]) -> bool:
    """Tell whether a module lies in these directories."""
    return any(
        (Path(site) / module).is_dir()
        or (Path(site) / f"{module}.py").is_file()
        or any(Path(site).glob(f"{module}.*.so"))
        or (Path(site) / f"{module}.so").is_file()
        for site in site_packages
    )


def version(distribution: str, site_packages: Sequence[str]) -> str | None:
    """Give the installed version of a distribution; None when it is not there."""
    for site in site_packages:
        for path in Path(site).glob("*.dist-info"):
            name, _, found = path.name.removesuffix(".dist-info").rpartition("-")
            if normal(name) == distribution:
                return found
    return None
