"""A counter as an MLflow model: photos and expected quantities go in, and each row comes back with what `check` says of it.

MLflow keeps this very file as the model, with the modules that it imports beside it, and runs it where the model is loaded:
nothing is pickled. A request that is wrong as a whole is answered with HTTP 400; a photo that is none is a row to look at.
"""

import io
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType
from PIL import Image

from warehouse_classifier.bins.expectation import Expectation
from warehouse_classifier.evaluation.counters import AVERAGE
from warehouse_classifier.models.registry import NETWORKS
from warehouse_classifier.serving.request import EXPECTED, ITEMS, PHOTO, BadRequest, bodies, expectations

MODELS = "models"  # the artifact: calibration.json, and a folder for each network
MOST_BODY = 100_000_000  # bytes, as JSON
SERVER = "mlflow.pyfunc.scoring_server.app"  # of `mlflow models serve`; it loads the model as it is imported
AT_ONCE = 64  # photos in the networks


class Served(PythonModel):
    """A counter as MLflow serves it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Raises UserError if the artifacts are not whole."""
        # with torch, which whoever only logs a model does not wait for
        from warehouse_classifier.serving.list_predictor import opened

        models = Path(context.artifacts[MODELS])
        there = [network for network in NETWORKS if (models / network).is_dir()]
        if SERVER in sys.modules:
            guard()
        self.opened = ExitStack()
        self.counter = self.opened.enter_context(opened(models, there[0] if len(there) == 1 else AVERAGE))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """A row for each photo: predicted, probability, doubt, verdict, reason, and p1, p2, ... of the quantities."""
        try:
            photos, expected = bodies(model_input), expectations(model_input)
        except BadRequest as error:
            refuse(str(error))
        rows: list[dict[str, Any]] = []
        for start in range(0, len(photos), AT_ONCE):
            rows += self._rows(photos[start : start + AT_ONCE], expected[start : start + AT_ONCE])
        return pd.DataFrame(rows, index=model_input.index, dtype=object)  # which leaves None what it is

    def _rows(self, photos: Sequence[bytes], expected: Sequence[Expectation | None]) -> list[dict[str, Any]]:
        from warehouse_classifier.serving.questions import Question

        quantities = self.counter.calibration.quantities
        nothing = {"predicted": None, "probability": None, "doubt": None, "verdict": "look"}
        nobody = dict.fromkeys(map(column, quantities))
        rows: list[dict[str, Any]] = [{}] * len(photos)
        decoded, questions, places = [], [], []
        for place, (body, wanted) in enumerate(zip(photos, expected, strict=True)):
            try:
                pixels = self.counter.pixels(body)
            except ValueError as error:
                rows[place] = {**nothing, "reason": str(error), **nobody}
                continue
            decoded.append(pixels)
            questions.append(Question(wanted, strange=self.counter.strange(body, pixels)))
            places.append(place)
        if not places:
            return rows
        sight = self.counter.see(np.stack(decoded))
        answers = self.counter.say(sight, questions)
        for place, answer, shares in zip(places, answers, sight.probabilities.tolist(), strict=True):
            rows[place] = {**vars(answer), **dict(zip(map(column, quantities), shares, strict=True))}
        return rows


def column(quantity: int) -> str:
    """Of the probability of a quantity."""
    return f"p{quantity}"


def refuse(why: str) -> NoReturn:
    """Raises what MLflow's server answers as a bad request, status 400."""
    raise MlflowException.invalid_parameter_value(why)


def guard() -> None:
    """Have MLflow's server refuse what it would answer with 500, or parse with ten times the memory."""
    from mlflow.pyfunc import scoring_server as server

    answer: Any = server.invocations

    def guarded(data: bytes, content_type: str | None, *more: Any) -> Any:
        if not content_type:
            return server.InvocationsResponse(
                "the request has no Content-Type; send application/json\n", 415, "text/plain"
            )
        if len(data) > MOST_BODY:
            message = f"the request has {len(data):,} bytes, it may have {MOST_BODY:,}\n"
            return server.InvocationsResponse(message, 413, "text/plain")
        try:
            return answer(data, content_type, *more)
        except RecursionError:
            return refuse("the request is nested too deeply")

    server.invocations = guarded


def signature(quantities: Sequence[int]) -> ModelSignature:
    """Of a model that tells these apart."""
    # any, for MLflow's server cuts 1.5 to the long 1, and knows no long that is missing: `expectations` looks closer
    anything = AnyType()  # type: ignore[no-untyped-call]
    asked = [ColSpec(DataType.binary, PHOTO), *(ColSpec(anything, name, required=False) for name in (EXPECTED, ITEMS))]
    names = {
        "predicted": DataType.long, "probability": DataType.double, "doubt": DataType.double,
        "verdict": DataType.string, "reason": DataType.string, **dict.fromkeys(map(column, quantities), DataType.double),
    }  # fmt: skip
    return ModelSignature(
        Schema([*asked]), Schema([ColSpec(kind, name, required=False) for name, kind in names.items()])
    )


def example(quantities: Sequence[int], side: int) -> pd.DataFrame:
    """What a request may look like: a grey photo."""
    body = io.BytesIO()
    Image.new("RGB", (side, side), (128, 128, 128)).save(body, "JPEG")
    return pd.DataFrame({PHOTO: [body.getvalue()], EXPECTED: [quantities[0]]})


set_model(Served())
