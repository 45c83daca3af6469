"""The source `mlflow`: traces of an MLflow tracking store or server, and files of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from flywheel.capture.genai_messages import as_text, parsed
from flywheel.capture.sources.files import unreadable
from flywheel.capture.sources.places import Place, place_of, without_secrets
from flywheel.capture.sources.row_source import RowSource, said
from flywheel.capture.sources.said import feedback_about, is_truth, right_output
from flywheel.capture.sources.spans import Answered, Span, drafts_of_trace, kept_spans
from flywheel.errors import InvalidConfig, NotFound, StoreUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from mlflow import MlflowClient
    from mlflow.entities import Trace

__all__ = ["MlflowTraces"]

_SETTINGS = ("experiment", "filter", "since", "until", "size", "spans")
_PAGE = 100
_KINDS = {"HUMAN": "HUMAN", "LLM_JUDGE": "LLM", "AI_JUDGE": "LLM", "CODE": "CODE"}
_NO_TRACE = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What MLflow raises at a trace that is not as it should be."""
_HIDDEN = ("mlflow.", "mlflow_", "databricks.")


class MlflowTraces(RowSource):
    """Traces of MLflow 3, from its store or server: `mlflow:sqlite:///mlflow.db?experiment=chat&since=2026-01-01`.

    Settings: `experiment` is a name or an id, and all of them without it; `since` and `until` are times; `filter` is
    in MLflow's own words (`status = 'ERROR'`); `size` traces a page (100). Files of traces (`Trace.to_json`, the column
    `trace` of `mlflow.search_traces`) are read too.

    Spans of types `CHAT_MODEL` and `LLM` become interactions, agents where they are the root, and in a trace that calls
    no model its root; `spans=roots` takes the roots alone, `spans=all` every span. Assessments become feedback:
    expectations that say which answer is right are labels.

    Traces come in the order of their time. `cursor` is the last one's time; `read(…, after=cursor)` goes on there, and
    what is known is not stored twice. `done` is the share of time that has been read.
    """

    name = "mlflow"
    settings = _SETTINGS
    maps: ClassVar[dict[str, str]] = {
        "input": "the span's inputs",
        "output": "the span's outputs",
        "id": "trace id-span id",
        "at": "the span's start",
        "latency_ms": "the span's end - start",
        "model": "attribute mlflow.llm.model, or the model in inputs and outputs",
        "user": "metadata mlflow.trace.user",
        "session": "metadata mlflow.trace.session",
        "error": "status and exception of the span",
        "context": "tokens, tags, metadata",
        "rating": "feedback of a user's opinion (thumbs, user_feedback …)",
        "outcome": "other feedback, by its name",
        "label": "expectations (expected_response, ground_truth …)",
    }

    def __init__(self) -> None:
        super().__init__()
        self._last: int | None = None

    @property
    def cursor(self) -> str | None:
        """Where reading can go on; None before the first trace."""
        return json.dumps({"since": self._last}) if self._last is not None else super().cursor

    @classmethod
    def recognises(cls, rows: Sequence[Mapping[str, Any]]) -> str | None:
        """Say why these rows are traces of MLflow, if they are."""
        found = sum(_as_trace(row) is not None for row in rows)
        return "its rows are traces of MLflow (info, data.spans)" if found * 2 > len(rows) else None

    def begin(self, settings: Mapping[str, str], ranks: Sequence[int]) -> None:
        """Get ready to read from the start."""
        self._kept = kept_spans(settings)
        self._last = None

    def read(
        self, location: str, mapping: dict[str, str] | None = None, *, after: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield the drafts of each trace, with what was said about it."""
        place = place_of(location, (self.name,), _SETTINGS)
        if "://" not in place.path and not place.path.startswith("databricks"):
            yield from super().read(location, mapping, after=after)
            return
        place = Place(place.path, {**place.settings, **self._own(mapping)})
        self.begin(place.settings, [])
        self.done, self.passed = 0.0, 0
        yield from self._stored(place, _since(after))
        self.done = 1.0

    def drafts(self, row: dict[str, Any], place: str) -> Iterator[dict[str, Any]]:
        """Yield what a trace in a file says."""
        from mlflow.entities import Trace
        from mlflow.exceptions import MlflowException

        found = _as_trace(row)
        if found is None:
            yield unreadable(place, "it is no trace of MLflow (it has no info and data)", row)
            return
        passed = self.passed
        try:
            drafts = list(self._trace(Trace.from_dict(dict(found))))
        except (MlflowException, *_NO_TRACE) as problem:
            self.passed = passed
            yield unreadable(place, f"it is no trace of MLflow: {type(problem).__name__}: {str(problem)[:300]}", row)
        else:
            yield from drafts

    def _stored(self, place: Place, since: int | None) -> Iterator[dict[str, Any]]:
        client = _client(place)
        experiments = _experiments(client, place)
        begin, until = place.moment("since"), place.moment("until")
        low = max((moment for moment in (since, _millis(begin)) if moment is not None), default=None)
        question = place.settings.get("filter") or ""
        for words in (
            f"attributes.timestamp_ms >= {low}" if low is not None else "",
            f"attributes.timestamp_ms < {_millis(until)}" if until is not None else "",
        ):
            question = f"{question} AND {words}" if question and words else question or words
        size = place.number("size", _PAGE, 1, 500)
        newest = _newest(client, experiments, question, place)
        self._last = since
        token: str | None = None
        first: int | None = None
        while True:
            page = _asked(client, experiments, question, "ASC", size, token, place)
            for trace in page:
                moment = int(trace.info.request_time)
                first = moment if first is None else first
                drafts = list(self._trace(trace))
                for number, draft in enumerate(drafts, 1):
                    if number == len(drafts):
                        self._last = moment
                    yield draft
                self.done = min(0.999, (moment - first) / max(1, newest - first))
            token = page.token
            if not token:
                return

    def _trace(self, trace: Trace) -> Iterator[dict[str, Any]]:
        spans = [_span(span, trace) for span in trace.data.spans]
        drafts, answered = drafts_of_trace(spans, self._kept)
        self.passed += len(spans) - len(drafts)
        for draft in drafts:
            yield _finished(draft, trace)
        for assessment in trace.info.assessments or ():
            said_of_it = _assessment(assessment, trace, answered)
            if said_of_it is None:
                self.passed += 1
            else:
                yield said_of_it


def _as_trace(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    whole = said(row, "trace")
    found = whole if isinstance(whole, Mapping) else row
    info, data = said(found, "info"), said(found, "data")
    if isinstance(info, Mapping) and isinstance(data, Mapping) and isinstance(data.get("spans"), list):
        return {"info": info, "data": data} if "trace_id" in info or "request_id" in info else None
    return None


def _since(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return int(json.loads(cursor)["since"])
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidConfig(
            f"{cursor[:80]!r} is not a cursor of MLflow's traces. Leave it out to read from the start"
        ) from problem


def _client(place: Place) -> MlflowClient:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = place.path
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise NotFound(
            f"there is no database {uri.removeprefix('sqlite:///')!r}. Check the path after mlflow:sqlite:///"
        )
    try:
        return MlflowClient(tracking_uri=uri)
    except MlflowException as problem:
        raise InvalidConfig(f"{place.shown} is no MLflow store: {without_secrets(str(problem))}") from problem


def _experiments(client: MlflowClient, place: Place) -> list[str]:
    from mlflow.exceptions import MlflowException

    wanted = place.settings.get("experiment")
    try:
        known, token = [], None
        while True:
            page = client.search_experiments(page_token=token)
            known += [(str(one.experiment_id), str(one.name)) for one in page]
            token = page.token
            if not token:
                break
    except MlflowException as problem:
        raise _refused(place, problem) from problem
    if wanted is None:
        return [id for id, _ in known]
    found = [id for id, name in known if wanted in (name, id)]
    if not found:
        names = ", ".join(name for _, name in known[:20])
        raise NotFound(f"{place.shown} has no experiment {wanted!r}. It has: {names or 'none'}")
    return found


def _newest(client: MlflowClient, experiments: list[str], question: str, place: Place) -> int:
    latest = _asked(client, experiments, question, "DESC", 1, None, place, spans=False)
    return int(latest[0].info.request_time) if latest else 0


def _asked(
    client: MlflowClient,
    experiments: list[str],
    question: str,
    order: str,
    size: int,
    token: str | None,
    place: Place,
    *,
    spans: bool = True,
) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.search_traces(
            locations=experiments,
            filter_string=question or None,
            max_results=size,
            order_by=[f"timestamp_ms {order}"],
            page_token=token,
            include_spans=spans,
        )
    except MlflowException as problem:
        raise _refused(place, problem) from problem


def _refused(place: Place, problem: Exception) -> Exception:
    """An error of MLflow: a question that is wrong, or a store that does not answer."""
    words = without_secrets(str(problem))[:300]
    code = getattr(problem, "error_code", "")
    if code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED", "UNAUTHENTICATED"):
        return InvalidConfig(f"{place.shown} refused the question ({code}): {words}")
    return StoreUnavailable(
        f"{place.shown} did not answer: {words}. What was read so far is stored: run the same import again later"
    )


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _trace_id(trace: Trace) -> str:
    """MLflow's trace ids are OpenTelemetry's with a prefix; without it the same trace has the same id everywhere."""
    known = str(trace.info.trace_id)
    plain = known.removeprefix("tr-")
    return plain if len(plain) == 32 else known


def _span(span: Any, trace: Trace) -> Span:
    attributes = {str(name): value for name, value in (span.attributes or {}).items()}
    usage = attributes.get("mlflow.chat.tokenUsage")
    for name in ("input_tokens", "output_tokens"):
        if isinstance(usage, Mapping) and isinstance(usage.get(name), int):
            attributes.setdefault(f"gen_ai.usage.{name}", usage[name])
    kept = {
        name: value
        for name, value in attributes.items()
        if name not in ("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.traceRequestId")
    }
    status = getattr(span.status, "status_code", None)
    return Span(
        trace_id=_trace_id(trace),
        span_id=str(span.span_id),
        parent_id=span.parent_id or None,
        name=span.name,
        attributes=kept,
        input=span.inputs,
        output=span.outputs,
        start=span.start_time_ns,
        end=span.end_time_ns,
        failed=str(getattr(status, "value", status)) == "ERROR",
        message=str(getattr(span.status, "description", "") or ""),
        events=[{"name": one.name, "attributes": dict(one.attributes or {})} for one in span.events or ()],
    )


def _finished(draft: dict[str, Any], trace: Trace) -> dict[str, Any]:
    """Add what the trace says as a whole: who asked, in which session, its tags."""
    told = dict(trace.info.trace_metadata or {})
    context, extra = draft["context"], draft["extra"]
    for field, name in (("user", "mlflow.trace.user"), ("session", "mlflow.trace.session")):
        if told.get(name):
            draft.setdefault(field, as_text(told[name]))
    for name, value in {**told, **(trace.info.tags or {})}.items():
        if not name.startswith(_HIDDEN):
            found = parsed(value)
            (extra if isinstance(found, dict | list) else context).setdefault(str(name), found)
    if told.get("mlflow.modelId"):
        context.setdefault("model_id", told["mlflow.modelId"])
    if trace.info.client_request_id:
        extra.setdefault("client_request_id", trace.info.client_request_id)
    extra["mlflow_trace_id"] = str(trace.info.trace_id)
    return draft


def _assessment(assessment: Any, trace: Trace, answered: Answered) -> dict[str, Any] | None:
    """A draft of what was assessed; None for what has been replaced, failed, or has nobody to be about."""
    about = answered.of(_trace_id(trace), assessment.span_id)
    if about is None or assessment.valid is False or assessment.error is not None:
        return None
    kind = _KINDS.get(str(getattr(assessment.source, "source_type", "")).upper(), "CODE")
    by = getattr(assessment.source, "source_id", None)
    by = None if by in ("default", "unknown") else by
    known = f"mlflow_{assessment.assessment_id}" if assessment.assessment_id else None
    at, name = assessment.create_time_ms, str(assessment.name)
    if assessment.expectation is not None:
        value = assessment.expectation.value
        if is_truth(name):
            return right_output(about, id=known, output=value, at=at, by=by)
        if isinstance(value, dict | list):
            words = {"kind": "feedback", "interaction_id": about, "comment": f"{name}: {as_text(value)}"}
            words |= {"source": "reviewer" if kind == "HUMAN" else "system", "at": at}
            return words | {field: one for field, one in (("id", known), ("by", by)) if one}
    elif assessment.feedback is not None:
        value = assessment.feedback.value
    else:
        return None
    return feedback_about(about, id=known, name=name, kind=kind, value=value, words=assessment.rationale, at=at, by=by)
