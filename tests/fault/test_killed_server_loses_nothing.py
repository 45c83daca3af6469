"""SIGKILL of a server under load, again and again: what it has answered for is there once, and the books balance.

`FLYWHEEL_FAULT_SERVER_KILLS` sets the number of kills; PostgreSQL takes a tenth of them.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from forked_server import NEVER, Lives, free_port

import flywheel

KILLS = int(os.environ.get("FLYWHEEL_FAULT_SERVER_KILLS", "1000"))
CLIENTS = 6
AT = "2026-03-02T09:00:00Z"

pytestmark = pytest.mark.fault


class Client(threading.Thread):
    """Posts batches until it is told to end, each until it is answered, with much that was sent before among them."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(daemon=True)
        self.label, self.port = name, port
        self.ending = threading.Event()
        self.sent: dict[str, str] = {}  # id -> what distinguishes its content
        self.bad: set[str] = set()
        self.acknowledged: set[str] = set()
        self.answers: Counter[str] = Counter()
        self.answered = self.unanswered = 0
        self.problem: BaseException | None = None
        self._chance = random.Random(name)
        self._number = 0

    def run(self) -> None:
        """Go on until told to end."""
        try:
            before: list[dict[str, Any]] = []
            while not self.ending.is_set():
                kind = self._chance.choice(("interactions", "interactions", "feedback"))
                fresh = [self._record(kind) for _ in range(self._chance.choice((1, 1, 5, 40)))]
                self._post(kind, self._with_more(kind, fresh))
                self.acknowledged.update(record["id"] for record in fresh)
                if before and self._chance.random() < 0.5:
                    self._post("interactions", before)
                before = fresh if kind == "interactions" else before
        except BaseException as problem:
            self.problem = problem

    def _record(self, kind: str) -> dict[str, Any]:
        self._number += 1
        key = f"{self.label}-{self._number}"
        self.sent[key] = f"{kind} {self._number}"
        if kind == "feedback":
            return {"id": key, "at": AT, "interaction_id": f"about {self.sent[key]}", "rating": -1}
        return {"id": key, "at": AT, "input": self.sent[key] + " word" * self._chance.choice((0, 20, 300))}

    def _with_more(self, kind: str, fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A record twice, one that is never good, one without consent, and one whose id means something else."""
        more = [*fresh, fresh[0]]
        if kind == "interactions" and self._chance.random() < 0.2:
            self._number += 1
            self.bad.add(f"{self.label} bad {self._number}")
            more.append({"id": "bad", "at": AT, "input": f"{self.label} bad {self._number}", "confidence": 7})
            more.append({"id": f"none-{self._number}", "at": AT, "input": "secret", "consent": False})
            more.append({"id": "the first", "at": AT, "input": f"{self.label} has another opinion"})
        return more

    def _post(self, kind: str, records: list[dict[str, Any]]) -> None:
        lines = self._chance.random() < 0.5
        body = ("\n".join(map(json.dumps, records)) if lines else json.dumps(records)).encode()
        headers = {"Content-Type": "application/x-ndjson" if lines else "application/json"}
        if self._chance.random() < 0.3:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        until = time.monotonic() + NEVER
        while True:
            assert time.monotonic() < until, f"no server has taken a batch in {NEVER} s"
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=NEVER)
            try:
                connection.request("POST", f"/v1/{kind}", body, headers)
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError):
                self.unanswered += 1
                time.sleep(0.02)
                continue
            finally:
                connection.close()
            if response.status == 503:
                continue
            assert response.status == 200, answer
            parts = ("accepted", "duplicate", "rejected", "dead_lettered")
            assert answer["received"] == len(records) == sum(answer[part] for part in parts)
            self.answered += 1
            self.answers.update({part: answer[part] for part in ("received", *parts)})
            return


@contextmanager
def clients(port: int) -> Iterator[list[Client]]:
    people = [Client(f"c{number}", port) for number in range(CLIENTS)]
    for person in people:
        person.start()
    yield people
    for person in people:
        person.ending.set()
    for person in people:
        person.join(2 * NEVER)
        assert not person.is_alive()
        if person.problem is not None:
            raise person.problem


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_answered_for_survives_every_kill(tmp_path, new_url, capsys, kind):
    folder, url = tmp_path / "bot", new_url(kind)
    kills = KILLS if kind == "sqlite" else max(3, KILLS // 10)
    chance = random.Random(17)
    port = free_port()
    flywheel.open(folder, task="classification", store={"url": url}).close()
    lives = Lives(folder, port, url)
    began = time.monotonic()
    try:
        with clients(port) as people:
            for life in range(kills):
                child = lives.begin()
                if life % 5:
                    lives.served()
                    answered = sum(person.answered for person in people) + chance.randrange(8)
                    until = time.monotonic() + 1
                    while sum(person.answered for person in people) < answered and time.monotonic() < until:
                        time.sleep(0.001)
                # else: also while it opens the folder and mends what the last kill left
                time.sleep(chance.random() * (0.015 if life % 5 else 0.1))
                lives.kill(child)
            child = lives.begin()
            lives.served()
        lives.kill(child)
    finally:
        lives.close()
    took = time.monotonic() - began
    acknowledged = check(folder, url, people)
    with capsys.disabled():
        print(
            f"\n{kind}: {kills} kills in {took:.0f} s, {sum(person.unanswered for person in people)} requests without "
            f"an answer: of {acknowledged} acknowledged records 0 lost, 0 doubled"
        )


def check(folder: Path, url: str, people: list[Client]) -> int:
    """Look into the database for everything that was sent; return how many records were acknowledged."""
    sent = {key: content for person in people for key, content in person.sent.items()}
    acknowledged = {key for person in people for key in person.acknowledged}
    bad = {text for person in people for text in person.bad}
    answers = sum((person.answers for person in people), Counter())
    assert acknowledged == set(sent)
    assert sum(person.unanswered for person in people) > 0
    with flywheel.open(folder, store={"url": url}) as fw:
        rows, after = [], 0
        while batch := fw._store.log.read(after):
            rows.extend(batch)
            after = batch[-1].seq
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "the sequence has a gap"
        there = Counter(row.id for row in rows)
        assert not acknowledged - set(there), "acknowledged records are lost"
        assert max(there.values()) == 1, "a record is there twice"
        assert set(there) == acknowledged | {"the first"}
        for row in rows:
            body = json.loads(row.body)
            if row.id != "the first":
                said = body["input"] if row.kind == "interaction" else body["interaction_id"]
                assert sent[row.id] in said
        letters = fw._store.log.dead_letters(limit=1_000_000)
        kept = Counter(json.loads(letter["body"])["input"] for letter in letters)
        assert kept == Counter(bad), "every bad record is kept aside, once"
        books = fw.books()
        assert books["received"] == sum(books[part] for part in ("stored", "duplicates", "rejected", "dead_lettered"))
        assert books["stored"] == len(rows)
        assert books["dead_lettered"] == len(letters)
        assert books["received"] >= answers["received"] + 1
        assert books["duplicates"] >= answers["duplicate"]
        assert books["rejected"] >= answers["rejected"]
        assert all(line["ok"] for line in fw.doctor()), fw.doctor()
    return len(acknowledged)
