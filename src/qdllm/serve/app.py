"""The application: POST /predict, /health, /metrics, and a page to try texts on."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field

import qdllm
from qdllm.data import MAX_TEXT_CHARS, TextDataset
from qdllm.errors import RequestError
from qdllm.serve.batches import Batches, Busy
from qdllm.serve.model import TextModel
from qdllm.serve.page import LANGUAGES, STATIC, page
from qdllm.serve.watching import LimitBody, Metrics, Watch

__all__ = ["MAX_TEXTS", "Limits", "create_app"]

MAX_TEXTS = 256
"""Of one request."""

_PATHS = frozenset({"/", "/predict", "/health", "/metrics", "/openapi.json"})
_BEARER = HTTPBearer(auto_error=False)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Limits:
    """How much a server takes at a time.

    Parameters
    ----------
    n_bytes : int
        Of one request's body.
    waiting : int
        Requests that wait for a model; one more gets 503.
    seconds : float
        After which a request whose body has not arrived gets 408, and one without an answer 504.
    batch : int
        Texts that a model is asked about at once.
    """

    n_bytes: int = 1_000_000
    waiting: int = 64
    seconds: float = 10.0
    batch: int = 512


_Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class _Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    texts: list[_Text] = Field(
        min_length=1, max_length=MAX_TEXTS, description="Texts to classify, none blank or with a NUL."
    )
    model: str | None = Field(None, description="Which model is asked, the first of /health by default.")


class _Prediction(BaseModel):
    label: str = Field(description="The most probable class.")
    proba: dict[str, float] = Field(description="The probability of every class.")


class _Answer(BaseModel):
    model: str
    predictions: list[_Prediction] = Field(description="One for each text, in order.")
    milliseconds: float = Field(description="From request to answer, waiting included.")


class _Health(BaseModel):
    status: str
    qdllm: str
    models: dict[str, list[str]] = Field(description="The classes of each model.")
    max_texts: int


class _Refusal(BaseModel):
    detail: Any


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": _Refusal, "description": "The body is not JSON."},
    401: {"model": _Refusal, "description": "A bearer token is needed."},
    404: {"model": _Refusal, "description": "There is no model of this name."},
    408: {"model": _Refusal, "description": "The body did not arrive in time."},
    413: {"model": _Refusal, "description": "The body is too large."},
    422: {"model": _Refusal, "description": "A text cannot be used."},
    503: {"model": _Refusal, "description": "Too many requests wait; try again later."},
    504: {"model": _Refusal, "description": "The model took too long."},
}


def create_app(
    models: Mapping[str, TextModel], *, name: str, limits: Limits | None = None, token: str | None = None
) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    models : mapping of name to TextModel
        At least one.
    name : str
        What the page calls the run.
    limits : Limits, optional
    token : str, optional
        What a client has to send as bearer token to /predict and /metrics; without it everyone may ask.

    Returns
    -------
    FastAPI
        An ASGI application. Nothing of a text is kept or logged.
    """
    bounds = limits or Limits()
    metrics = Metrics()
    queues = {
        key: Batches(model, waiting=bounds.waiting, texts=bounds.batch) for key, model in models.items()
    }
    for key, queue in queues.items():
        metrics.waiting.labels(key).set_function(partial(getattr, queue, "waiting"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        workers = [asyncio.create_task(queue.run()) for queue in queues.values()]
        yield
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    app = FastAPI(
        title="qdllm",
        version=qdllm.__version__,
        description="Class probabilities of texts, by the models of one run.",
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_exception_handler(RequestValidationError, _refuse)
    app.add_middleware(LimitBody, n_bytes=bounds.n_bytes, seconds=bounds.seconds)
    app.add_middleware(Watch, metrics=metrics, paths=_PATHS)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    permitted = [Depends(_guard(token))]

    @app.post("/predict", responses=_REFUSALS, dependencies=permitted)
    async def predict(question: _Question) -> _Answer:
        """Classify texts."""
        started = time.perf_counter()
        queue = _checked(question, queues)
        try:
            proba = await queue.ask(question.texts, bounds.seconds)
        except Busy:
            raise HTTPException(503, "too many requests wait; try again", {"Retry-After": "1"}) from None
        except TimeoutError:
            raise HTTPException(504, f"no answer within {bounds.seconds:g} seconds") from None
        seconds = time.perf_counter() - started
        asked, classes = queue.model.name, queue.model.classes
        metrics.texts.labels(asked).inc(len(question.texts))
        metrics.seconds.labels(asked).observe(seconds)
        return _Answer(
            model=asked,
            predictions=[
                _Prediction(label=classes[row.argmax()], proba=dict(zip(classes, row.tolist(), strict=True)))
                for row in proba
            ],
            milliseconds=round(1000 * seconds, 3),
        )

    @app.get("/health")
    async def health() -> _Health:
        """Say that the server runs, and what it serves."""
        classes = {key: list(model.classes) for key, model in models.items()}
        return _Health(status="ok", qdllm=qdllm.__version__, models=classes, max_texts=MAX_TEXTS)

    @app.get("/metrics", dependencies=permitted, response_class=Response, responses={401: _REFUSALS[401]})
    async def show_metrics() -> Response:
        """Tell counts and times in the form that Prometheus reads."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def show_page(request: Request, lang: str | None = None) -> HTMLResponse:
        asked = request.headers.get("accept-language", "")[:2]
        language = next((one for one in (lang, asked) if one in LANGUAGES), "en")
        written = page(name, list(models), language, max_texts=MAX_TEXTS, needs_token=token is not None)
        return HTMLResponse(written, headers=_HEADERS)

    return app


async def _refuse(_: Request, error: Exception) -> Response:
    """Say what is wrong with a question, without the text that it is wrong with."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    told = [{"where": one["loc"], "what": one["msg"]} for one in found]
    return Response(json.dumps({"detail": told}), 422, media_type="application/json")


def _guard(token: str | None) -> Any:
    """Return what lets a request pass: with the right token, or any where none is asked for."""

    async def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        known = given is not None and hmac.compare_digest(given.credentials.encode(), (token or "").encode())
        if not known:
            raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    async def pass_all() -> None:
        return None

    return pass_all if token is None else check


def _checked(question: _Question, queues: Mapping[str, Batches]) -> Batches:
    """Return the queue of the model that is asked for, once the question is one that can be answered."""
    model = next(iter(queues)) if question.model is None else question.model
    if model not in queues:
        raise HTTPException(404, f"no model of this name; there are {', '.join(queues)}")
    try:
        TextDataset(tuple(question.texts), name="texts")
    except RequestError as error:
        raise HTTPException(422, str(error)) from None
    return queues[model]
