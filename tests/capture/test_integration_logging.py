"""Python's `logging`: lines that speak of an interaction or of feedback become records; the product notices nothing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest
from loopback import serving
from told import Told

import flywheel
from flywheel.capture.integrations import LogHandler


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def logger(request):
    made = logging.Logger(f"shop.{request.node.name}")
    made.propagate = False
    return made


def test_extra_fields_become_an_interaction(told, logger):
    logger.addHandler(LogHandler(told))
    logger.info(
        "answered %s",
        "it",
        extra={"input": "where", "output": "card", "confidence": 0.5, "user": "ana", "device": "ios", "parts": [1, 2]},
    )
    (seen,) = told.seen
    assert (seen["input"], seen["output"], seen["confidence"], seen["user"]) == ("where", "card", 0.5, "ana")
    assert seen["context"] == {"device": "ios", "logger": logger.name, "level": "INFO"}
    assert seen["extra"] == {"parts": [1, 2]}
    assert abs((datetime.now(UTC) - seen["at"]).total_seconds()) < 60


def test_extra_fields_become_feedback(told, logger):
    logger.addHandler(LogHandler(told))
    logger.warning("thumbs down", extra={"interaction_id": "i1", "rating": -1, "device": "ios"})
    logger.warning("wrong", extra={"flywheel": {"interaction_id": "i2", "label": None, "source": "reviewer"}})
    first, second = told.said
    assert (first["interaction_id"], first["rating"]) == ("i1", -1)
    assert "label" not in first
    assert (second["label"], second["source"]) == (None, "reviewer")


def test_an_exception_is_the_error(told, logger):
    logger.addHandler(LogHandler(told))
    try:
        raise ValueError("bad wires")
    except ValueError:
        logger.exception("failed", extra={"input": "x"})
    assert told.seen[0]["error"] == "ValueError: bad wires"


def test_plain_lines_only_where_asked(told, logger):
    logger.addHandler(LogHandler(told))
    logger.info("started")
    assert told.seen == []
    logger.handlers[:] = [LogHandler(told, "WARNING", lines=True)]
    logger.info("quiet")
    logger.error("cannot reach %s", "db", extra={"shard": 3})
    (seen,) = told.seen
    assert (seen["input"], seen["error"], seen["context"]["shard"]) == ("cannot reach db", "cannot reach db", 3)


def test_trouble_stays_inside_and_is_said_once(logger, caplog):
    handler = LogHandler(Told(OSError("disk full")), lines=True)
    logger.addHandler(handler)
    for _ in range(5):
        logger.info("secret words")
    assert handler.unrecorded == {"OSError": 5}
    assert caplog.text.count("not recorded") == 1
    assert "secret" not in caplog.text


def test_what_logging_a_record_logs_is_not_logged_again(logger):
    class Chatty(Told):
        def log(self, **fields):
            logger.info("the database says", extra={"input": "again"})
            return super().log(**fields)

    told = Chatty()
    logger.addHandler(LogHandler(told))
    logger.info("x", extra={"input": "once"})
    assert [seen["input"] for seen in told.seen] == ["once"]


def test_flywheels_own_lines_are_left_alone(told):
    ours = logging.getLogger("flywheel")
    handler = LogHandler(told, lines=True)
    ours.addHandler(handler)
    try:
        ours.warning("x")
    finally:
        ours.removeHandler(handler)
    assert told.seen == []


def test_an_open_flywheel_and_a_connection_do_alike(tmp_path, logger):
    with serving() as server, flywheel.open(tmp_path / "shop") as fw, flywheel.connect(server.url) as connection:
        logger.handlers[:] = [LogHandler(fw), LogHandler(connection)]
        logger.info("x", extra={"input": "hello", "output": "there", "id": "i1"})
        logger.info("y", extra={"interaction_id": "i1", "rating": 1})
        assert connection.flush()
        assert fw.status()["interactions"] == 1
    assert {key for _, key in server.stored} >= {"i1"}
    assert len(server.stored) == 2


def test_only_what_can_log_is_taken():
    with pytest.raises(TypeError, match="log to what"):
        LogHandler(object())
