"""The stack `pytorch`: sagemaker-pytorch-inference 2.0.25 on TorchServe 0.12.0.

torch comes from the handler's own environment, and only when a default runs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

import io
import os
import sys

from .. import failures
from ..replies import Reply
from . import base, coders, model_server, toolkit

MODEL_FILE = "model.pt"


class ModelLoadError(Exception):
    """The model file is no TorchScript, as the toolkit names it."""

    __module__ = "sagemaker_pytorch_serving_container.default_pytorch_inference_handler"


class Profile(toolkit.Profile):
    """The toolkit's Transformer with PyTorch's defaults, on TorchServe."""

    SERVER = "TS"

    def context(
        self, model_dir: str, content_type: str | None, accept: str | None, body_bytes: int
    ) -> Any:
        """Give the server's context, which has one field more than multi-model-server's."""
        context = model_server.Context(model_dir, content_type, accept, body_bytes, "0.12.0")
        context.system_properties["limit_max_image_pixels"] = True
        return context

    def encode(self, value: Any) -> bytes | None:
        """Give a tensor as torch.save writes it."""
        if not failures.is_a(value, "Tensor", "torch"):
            return None
        buffer = io.BytesIO()
        sys.modules["torch"].save(value, buffer)
        return buffer.getvalue()

    def load_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Give no answer: the worker ends over it and is started again, ever later."""
        return Reply(
            None,
            reason="no worker comes up: the request waits until the client gives up (%s)"
            % type(error).__name__,
        )

    # ------------------------------------------------------------ what a handler leaves out

    def default_model_fn(self, model_dir: Any) -> Any:
        """Load model.pt, or the only .pt or .pth file, as TorchScript."""
        import torch

        path = os.path.join(model_dir, MODEL_FILE)
        if not os.path.exists(path):
            # Asked of the bare name: right only because the directory is the current one.
            files = [
                file
                for file in os.listdir(model_dir)
                if os.path.isfile(file) and os.path.splitext(file)[1] in (".pt", ".pth")
            ]
            if len(files) != 1:
                raise ValueError(
                    "Exactly one .pth or .pt file is required for PyTorch models: %s" % files
                )
            path = os.path.join(model_dir, files[0])
        device = _device()
        try:
            return torch.jit.load(path, map_location=device).to(device)
        except RuntimeError as error:
            raise ModelLoadError(
                "Failed to load %s. Please ensure model is saved using torchscript." % path
            ) from error

    def default_input_fn(self, body: Any, content_type: Any) -> Any:
        """Decode as the toolkit, to a tensor: of floats for the two text types."""
        import torch

        array = coders.decode(body, content_type)
        text = content_type in base.TEXT_TYPES
        return (torch.FloatTensor(array) if text else torch.from_numpy(array)).to(_device())

    def default_predict_fn(self, data: Any, model: Any) -> Any:
        """Call the model, in evaluation mode and without gradients."""
        import torch

        with torch.no_grad():
            device = _device()
            model = model.to(device)
            data = data.to(device)
            model.eval()
            return model(data)

    def default_output_fn(self, prediction: Any, accept: str) -> Any:
        """Encode as the toolkit, but give the body alone, and CSV as bytes."""
        import torch

        if type(prediction) is torch.Tensor:
            prediction = prediction.detach().cpu().numpy().tolist()
        content_type = coders.first_supported(accept)
        body = coders.encode(prediction, content_type)
        return body.encode("utf-8") if content_type == coders.CSV else body


def _device() -> Any:
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
