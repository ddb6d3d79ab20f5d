"""The stack `toolkit`: sagemaker-inference 1.10.1 on multi-model-server 1.1.11."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from .. import failures
from ..replies import Reply
from . import base, coders, model_server


class Profile(base.Profile):
    """The toolkit's Transformer: also PyTorch's, but for the defaults and the server."""

    SERVER = "MMS"
    exports_code = True

    def __init__(self, module: Any) -> None:
        self._pre_model_fn = getattr(module, "pre_model_fn", None)
        self._model_warmup_fn = getattr(module, "model_warmup_fn", None)
        super().__init__(module)

    def find(self, module: Any, name: str) -> Any:
        """Take any falsy value for a function that is not there, but a model_fn."""
        if name == "model_fn":
            return getattr(module, name, base.MISSING)
        return super().find(module, name)

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
        """Take none and */* for the container's default."""
        return model_server.default_accept() if not given or given == "*/*" else given

    def context(
        self, model_dir: str, content_type: str | None, accept: str | None, body_bytes: int
    ) -> Any:
        """Give the server's context."""
        return model_server.Context(model_dir, content_type, accept, body_bytes)

    # ------------------------------------------------------------ a call

    def call(self, name: str, arguments: list[Any], context: Any) -> Any:
        """Call a function, and around model_fn what prepares and warms the model."""
        if name == "model_fn" and self._pre_model_fn is not None:
            self.invoke(self._pre_model_fn, arguments, context)
        value = self.invoke(self.function(name), arguments, context)
        if name == "model_fn" and self._model_warmup_fn is not None:
            self.invoke(self._model_warmup_fn, [*arguments, value], context)
        return value

    def invoke(self, function: Any, arguments: list[Any], context: Any) -> Any:
        """Call by position; a function with one parameter more gets the context as its last."""
        count = base.count_parameters(function)
        if count == len(arguments):
            return function(*arguments)
        if count == len(arguments) + 1:
            return function(*arguments, context)
        raise TypeError(
            "%s takes %d arguments but %d were given."
            % (function.__name__, count, len(arguments))  # what has no name fails here, as there
        )

    # ------------------------------------------------------------ the answer

    def reply(self, value: Any, accept: str, context: Any) -> Reply:
        """Take a tuple for (body, content_type, ...), and send what the server can carry."""
        content_type = accept
        if isinstance(value, tuple):
            try:
                value, content_type = value[0], value[1]
            except IndexError as error:
                return self.refusal(error, failures.for_a_client(error), context)
        context.set_response_content_type(0, content_type)
        return model_server.carry(value, context, self.SERVER, self.encode)

    def encode(self, value: Any) -> bytes | None:
        """Give the bytes of what this server carries beside text and JSON: nothing."""
        return None

    def refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer 500 with message and traceback; an error of the toolkit's has its own status.

        The frames between the server and the handler are the toolkit's own, and left out.
        """
        if not failures.is_ordinary(error):
            return model_server.died("%s ends it" % type(error).__name__)
        try:
            status, text, phrase = _told(error)
            phrase = phrase.replace("\r", " ").replace("\n", " ")
        except Exception:  # handling the error fails, and only the server handles that
            return model_server.error(503, "Prediction failed")
        context.set_response_status(code=status, phrase=phrase)
        reply = model_server.carry("%s\n%s" % (text, traceback), context, self.SERVER, self.encode)
        reply.reason = reply.reason or phrase
        return reply

    def load_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Answer as for any exception: the server counts the model as loaded, and loads it again.

        Every request calls model_fn anew. What ends the worker leaves no one to answer.
        """
        if failures.is_ordinary(error):
            return self.refusal(error, traceback, context)
        return Reply(None, reason="the worker ends at each start, and is started again")

    # ------------------------------------------------------------ what a handler leaves out

    def default_model_fn(self, model_dir: Any) -> Any:
        """Refuse: the plain toolkit cannot load a model by itself."""
        raise _missing("model_fn")

    def default_input_fn(self, body: Any, content_type: Any) -> Any:
        """Decode JSON, CSV, npy and npz to an array."""
        return coders.decode(body, content_type)

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        """Refuse: the plain toolkit does not know how to call a model."""
        raise _missing("predict_fn")

    def default_output_fn(self, prediction: Any, accept: str) -> Any:
        """Encode for the first supported type of the accept list; q values are not understood."""
        content_type = coders.first_supported(accept)
        return coders.encode(prediction, content_type), content_type


def _told(error: Any) -> tuple[Any, Any, Any]:
    """Give status, message and phrase: those of an error of the toolkit's, else 500 and str()."""
    if failures.is_a(error, "BaseInferenceToolkitError", "sagemaker_inference"):
        return error.status_code, error.message, error.phrase
    text = str(error) or "Invalid Request"
    return 500, text, text


def _missing(name: str) -> NotImplementedError:
    return NotImplementedError(
        "\nPlease provide a %s implementation.\n"
        "See documentation for %s at https://sagemaker.readthedocs.io/en/stable/\n" % (name, name)
    )
