"""The stack `huggingface`: sagemaker-huggingface-inference-toolkit 2.6.0 on multi-model-server.

transformers, numpy and PIL come from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import base64
import csv
import datetime
import io
import json
import os

from .. import failures
from ..replies import Reply
from . import base, coders, model_server

ARITY = {"model_fn": 1, "input_fn": 2, "predict_fn": 2, "output_fn": 2, "transform_fn": 4}
IMAGES = ("jpeg", "png", "tiff", "bmp", "gif", "webp", "x-image")
AUDIO = ("x-flac", "mpeg", "wave", "ogg", "x-audio")
CSV_HEADERS = ("question", "context", "inputs")
NO_CSV = ("zero-shot-classification", "table-question-answering")
# What a pipeline of these tasks gets beside the model is no tokenizer.
OF_FEATURES = (
    "automatic-speech-recognition",
    "image-segmentation",
    "image-classification",
    "audio-classification",
    "object-detection",
    "zero-shot-image-classification",
)
TASKS = {
    "TapasForQuestionAnswering": "table-question-answering",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForSequenceClassification": "text-classification",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "GPT2LMHeadModel": "text-generation",
    "T5WithLMHeadModel": "text2text-generation",
}


class PredictionException(Exception):
    """An error that multi-model-server answers with a status of its own."""

    __module__ = "mms.service"

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return "%s : %s" % (self.message, self.error_code)


class Profile(base.Profile):
    """The handler service of the HuggingFace toolkit, which is no Transformer."""

    exports_code = True

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self._with_context = {
            name: _takes_context(name, function)
            for name, function in self.own.items()
            if function is not base.MISSING
        }

    def find(self, module: Any, name: str) -> Any:
        """Take only None for a function that is not there."""
        value = getattr(module, name, None)
        return base.MISSING if value is None else value

    def conflict(self) -> Exception:
        """Refuse in the toolkit's words."""
        return ValueError(
            "Cannot use transform_fn implementation in conjunction with "
            "input_fn, predict_fn, and/or output_fn implementation"
        )

    # ------------------------------------------------------------ a request

    def body(self, data: bytes | bytearray, content_type: str | None) -> Any:
        """Decode the two text types, and nothing else."""
        return model_server.arrive(data, content_type)

    def accept(self, given: str | None) -> str:
        """Take none and */* for JSON, whatever the container's default."""
        return base.JSON if not given or given == "*/*" else given

    def context(
        self, model_dir: str, content_type: str | None, accept: str | None, body_bytes: int
    ) -> Any:
        """Give the server's context."""
        return model_server.Context(model_dir, content_type, accept, body_bytes)

    def call(self, name: str, arguments: list[Any], context: Any) -> Any:
        """Call by position, with the context as was found when the handler was loaded."""
        extra = [context] if self._with_context.get(name) else []
        return self.function(name)(*arguments, *extra)

    # ------------------------------------------------------------ the answer

    def reply(self, value: Any, accept: str, context: Any) -> Reply:
        """Send what the server can carry, always as what was accepted; a tuple is a list."""
        context.set_response_content_type(0, accept)
        return model_server.carry(value, context, "MMS", lambda value: None)

    def refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer 400 with the message alone, whatever the exception."""
        if not failures.is_ordinary(error):
            return model_server.died("%s ends it" % type(error).__name__)
        try:
            message = str(error)
        except Exception:  # the server's own handler is next
            return model_server.error(503, "Prediction failed")
        try:
            message.encode("utf-8")
        except UnicodeError as refusal:
            return model_server.died("the exception's message cannot be encoded: %s" % refusal)
        return model_server.error(400, message)

    def load_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer as for any exception: every request loads the model again."""
        if failures.is_ordinary(error):
            return self.refusal(error, traceback, context)
        return Reply(None, reason="the worker ends at each start, and is started again")

    # ------------------------------------------------------------ what a handler leaves out

    def default_model_fn(self, model_dir: Any) -> Any:
        """Make a pipeline for HF_TASK, or for what the model's configuration says."""
        files = os.listdir(model_dir)
        if "HF_TASK" in os.environ:
            return _pipeline(os.environ["HF_TASK"], model_dir)
        if "config.json" in files:
            return _pipeline(_task_of(os.path.join(model_dir, "config.json")), model_dir)
        if "model_index.json" in files:
            return _pipeline("text-to-image", model_dir)
        from transformers.pipelines import SUPPORTED_TASKS

        raise ValueError(
            "You need to define one of the following %s or text-to-image as env 'HF_TASK'."
            % list(SUPPORTED_TASKS),
            403,
        )

    def default_input_fn(self, body: Any, content_type: Any) -> Any:
        """Decode JSON, CSV with a header, npy, images and audio."""
        task = os.environ.get("HF_TASK")
        if task in NO_CSV and content_type == coders.CSV:
            raise PredictionException(
                "content type %s not support with %s, use different content_type"
                % (content_type, task),
                400,
            )
        try:
            return _decoder(content_type)(body)
        except KeyError:
            raise coders.UnsupportedFormatError(content_type)  # noqa: B904 - as in coders

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        """Call the pipeline with the inputs, and the parameters if there are any."""
        inputs = data.pop("inputs", data)
        parameters = data.pop("parameters", None)
        return model(inputs) if parameters is None else model(inputs, **parameters)

    def default_output_fn(self, prediction: Any, accept: str) -> Any:
        """Encode for exactly one accept type."""
        try:
            return _encoder(accept)(prediction)
        except KeyError:
            raise coders.UnsupportedFormatError(accept)  # noqa: B904 - as in coders


def _takes_context(name: str, function: Any) -> bool:
    """Say whether a function gets the context; the toolkit asks when it reads the module."""
    arity, count = ARITY[name], base.count_parameters(function)
    if count not in (arity, arity + 1):
        raise TypeError(
            "%s definition takes %d or %d arguments but %d were given."
            % (function.__name__, arity, arity + 1, count)
        )
    return count == arity + 1


def _pipeline(task: str, model_dir: Any) -> Any:
    from transformers import pipeline

    beside = "feature_extractor" if task in OF_FEATURES else "tokenizer"
    trust = os.environ.get("HF_TRUST_REMOTE_CODE", "false").lower() in (
        *("y", "yes", "t", "true", "on", "1"),
    )
    return pipeline(
        task=task, model=model_dir, device=-1, trust_remote_code=trust, **{beside: model_dir}
    )


def _task_of(config: str) -> str:
    with open(config) as file:
        architecture = json.load(file).get("architectures", [None])[0]
    found = [task for ending, task in TASKS.items() if architecture.endswith(ending)]
    if not found:
        raise ValueError(
            "Task couldn't be inferenced from %s."
            "Inference Toolkit can only inference tasks from architectures ending with %s."
            "Use env `HF_TASK` to define your task." % (architecture, list(TASKS))
        )
    os.environ["HF_TASK"] = found[-1]
    return found[-1]


def _decoder(content_type: Any) -> Any:
    decoders = {coders.JSON: json.loads, coders.CSV: _from_csv, coders.NPY: coders.from_npy}
    decoders.update(("image/" + kind, _from_image) for kind in IMAGES)
    decoders.update(("audio/" + kind, _from_audio) for kind in AUDIO)
    return decoders[content_type]


def _from_csv(text: str) -> dict[str, Any]:
    stream = io.StringIO(text)
    if not any(header in text.splitlines()[0].lower() for header in CSV_HEADERS):
        raise PredictionException(
            "You need to provide the correct CSV with Header columns to use it with the inference "
            "toolkit default handler.",
            400,
        )
    rows = list(csv.DictReader(stream))
    if "inputs" in rows[0]:
        return {"inputs": [row["inputs"] for row in rows]}
    return {"inputs": rows}


def _from_image(data: Any) -> dict[str, Any]:
    from PIL import Image

    return {"inputs": Image.open(io.BytesIO(data)).convert("RGB")}


def _from_audio(data: Any) -> dict[str, Any]:
    return {"inputs": bytes(data)}


def _encoder(accept: Any) -> Any:
    encoders: dict[str, Any] = {
        coders.JSON: _to_json,
        coders.CSV: _to_csv,
        coders.NPY: coders.to_npy,
    }
    for kind in IMAGES:
        form = "PNG" if kind == "x-image" else kind.upper()
        encoders["image/" + kind] = lambda image, form=form: _to_image(image, form)
    return encoders[accept]


def _to_json(content: Any) -> str:
    return json.dumps(
        content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    """Give what JSON can hold of an array or scalar of numpy, a date or an image."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, datetime.datetime):
        return str(value)
    if failures.is_a(value, "Image", "PIL"):
        return base64.b64encode(_to_image(value, "PNG")).decode("utf-8")
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def _to_csv(content: Any) -> str:
    stream = io.StringIO()
    rows = content if isinstance(content, list) else list(content)
    writer = csv.DictWriter(stream, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _to_image(image: Any, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form)
    return buffer.getvalue()
