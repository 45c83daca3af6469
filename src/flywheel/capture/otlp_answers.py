"""What an OTLP server answers: the export responses and `Status` bodies, in the encoding of the request."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from flywheel.capture.otlp_wire import Signal

__all__ = ["export_response", "status"]

_CODES = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    413: code_pb2.OUT_OF_RANGE,
    415: code_pb2.INVALID_ARGUMENT,
    422: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    501: code_pb2.UNIMPLEMENTED,
    502: code_pb2.UNAVAILABLE,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}


def export_response(signal: Signal, *, json: bool, rejected: int = 0, message: str = "") -> bytes:
    """Write an `ExportTraceServiceResponse` or `ExportLogsServiceResponse`.

    `partial_success` is there only when something was `rejected`, or when there is a `message` to warn with.
    """
    if signal == "traces":
        response: Any = trace_service_pb2.ExportTraceServiceResponse()
        if rejected or message:
            response.partial_success.rejected_spans = rejected
    else:
        response = logs_service_pb2.ExportLogsServiceResponse()
        if rejected or message:
            response.partial_success.rejected_log_records = rejected
    if rejected or message:
        response.partial_success.error_message = message
    return _written(response, json)


def status(http_status: int, message: str, *, json: bool, retry_after: float | None = None) -> bytes:
    """Write a `google.rpc.Status` for an error, with `BadRequest` details for 400 and `RetryInfo` for a retry."""
    answer = status_pb2.Status(code=_CODES.get(http_status, code_pb2.INTERNAL), message=message)
    if http_status in (400, 422):
        details = error_details_pb2.BadRequest()
        details.field_violations.add(field="body", description=message)
        answer.details.add().Pack(details)
    if retry_after is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromNanoseconds(int(max(0.0, min(retry_after, 86_400.0)) * 1e9))
        answer.details.add().Pack(info)
    return _written(answer, json)


def _written(message: Any, json: bool) -> bytes:
    if json:
        return str(json_format.MessageToJson(message, indent=None)).encode()
    return bytes(message.SerializeToString())
