"""Five whys: a chain of reasons for a failure mode. What data can know is tested; what it cannot is asked of people.

Ohno (1988), "Toyota Production System", for the method. A draft never says more than its tests bear out: its last link
is a question, put to the people who can know.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flywheel.diagnose.claims import Claim, Traffic, field_claim, since_claim, slice_claim, training_claim
from flywheel.errors import InvalidRecord, NotFound
from flywheel.records import Example, Failure, Mode, Observation, Why, WhyChain

if TYPE_CHECKING:
    from flywheel.diagnose.evidence import Window

__all__ = ["LONGEST", "MOST", "answered", "draft", "merged", "to_markdown"]

MOST = 9
"""A chain has at most so many links; five are usually enough."""
LONGEST = 2_000
"""An answer has at most so many characters."""

_TOPICS = {"slice": "slice", "version": "since", "since": "since", "missing": "field", "range": "field"}
_TOPICS |= {"value": "field", "label": "training", "coverage": "training"}
_TOPICS |= {"words": "training"}
_QUESTIONS = {
    "slice": "Why do these answers go wrong, and not others?",
    "since": "Why did it begin?",
    "field": "Why does the model see these inputs otherwise?",
    "training": "Why did the model not know better?",
}
_ASKED = {
    "slice": "What is different about {name} before the model sees it? The log cannot say",
    "version": "What did {name} change for these? The log cannot say",
    "since": "What changed about {name}: a release, a partner, a campaign? The log cannot say",
    "missing": "Why does {name} come empty? Ask whoever fills it",
    "range": "Why does {name} leave its usual range? Ask whoever fills it",
    "value": "Why do inputs with this {name} come, and who sends them? The log cannot say",
    "label": "Why were no more examples of {name} collected? The log cannot say",
    "coverage": "Why were so few examples with {name} collected? The log cannot say",
    "words": "Why were no examples with {name} collected? The log cannot say",
}


def draft(
    mode: Mode,
    findings: Sequence[Observation],
    failures: Sequence[Failure],
    examples: Sequence[Example],
    window: Window,
) -> tuple[Why, ...]:
    """Draft a mode's chain: up to four tested claims, and the question that is left for people.

    `failures` are those of the mode within `window`; `examples` what the model was taught; `findings` of the kinds
    slice and influence name slices that are tried beside single context values. In order: where the failures lie, since
    which version or moment, which field comes otherwise, and what the training examples lack. Each is an exact test
    against the rest of the window, corrected for everything of its kind that was tried, with effect, 95 % interval, n
    and the SQL that counts the traffic. What is not borne out is not in the chain. O(window) a column, in the engine.
    """
    traffic = Traffic(window, [f for f in failures if f.mode in (None, mode.id)])
    place, values = slice_claim(traffic, findings)
    since, moments = since_claim(traffic)
    field, fields = field_claim(traffic)
    if field is not None and place is not None and field.name == place.name.partition("=")[0]:
        field = None  # the same thing once more
    taught = training_claim(traffic, failures, examples, place)
    claims = [claim for claim in (place, since, field, taught) if claim is not None]
    tested = [_why(claim) for claim in claims]
    return (*tested, _asked(claims, traffic, (values, moments, fields, len(examples))))


def _why(claim: Claim) -> Why:
    topic = _TOPICS[claim.what]
    return Why(
        topic=topic,
        question=_QUESTIONS[topic],
        answer=claim.said[:1].upper() + claim.said[1:],
        kind="tested",
        effect=round(claim.effect, 6),
        interval=claim.interval,
        n=claim.n,
        query=claim.query,
    )


def _asked(claims: Sequence[Claim], traffic: Traffic, tried: tuple[int, int, int, int]) -> Why:
    """What comes next and cannot be known from the data."""
    if claims:
        deepest = claims[-1]
        return Why(topic=f"ask {deepest.what}", question=f"{_ASKED[deepest.what].format(name=deepest.name)}.")
    values, moments, fields, examples = tried
    if traffic.n:
        looked = (
            f"Nothing tested sets them apart: {traffic.n:,} failures against {traffic.total:,} interactions, by "
            f"{values} context values, {moments} versions and moments, {fields} tests of fields, {examples:,} examples"
        )
    else:
        looked = "None of its failures is in the window that was looked at"
    return Why(topic="ask", question=f"Why do these answers go wrong? {looked}. Look at some, and say.")


def merged(chain: WhyChain | None, fresh: Sequence[Why], mode: str, spin: int) -> WhyChain:
    """Put a new draft into a chain: tested claims are refreshed, what people said stays.

    Where a person has said something on a topic, the fresh claim is kept beside it (`drafted`). A question that people
    have answered is not asked again. Tested claims that are no longer borne out leave the chain; the claim that stood
    there is kept in `before` of what takes its place.
    """
    if chain is None:
        return WhyChain(mode=mode, whys=tuple(fresh), drafted_in=spin)
    known = {why.topic: why for why in chain.whys}
    asked = next((why for why in fresh if why.kind == "open"), None)
    head: list[Why] = []
    for why in fresh:
        old = known.get(why.topic)
        if why.kind == "tested":
            said = old is not None and old.kind == "said"
            head.append(replace(old, drafted=why) if old and said else replace(why, before=_older(old, why)))
    held = {why.topic for why in head}
    head += [replace(w, drafted=None) for w in chain.whys if w.kind == "said" and not _last(w) and w.topic not in held]
    tail = [why for why in chain.whys if _last(why) and why.kind == "said"]
    if asked is not None and not any(why.topic.startswith("ask") for why in tail):
        tail.insert(0, asked)
    return replace(chain, whys=tuple([*head, *tail][:MOST]), drafted_in=spin)


def _last(why: Why) -> bool:
    """Does it come after what was tested: a question that was asked, or what people added?"""
    return why.topic.startswith(("ask", "said"))


def _older(old: Why | None, new: Why) -> tuple[Why, ...]:
    """What is remembered of a claim that is replaced: only one that said something else."""
    if old is None:
        return ()
    if old.answer == new.answer:
        return old.before
    return (*old.before, replace(old, before=(), query=""))[-10:]


def answered(chain: WhyChain, number: int, text: str, *, by: str | None, at: datetime) -> WhyChain:
    """Put a person's answer into link `number` (from 1); one past the end adds a link.

    A tested claim that is edited stays beside the edit (`drafted`), and what stood there before in `before`. Raises
    `NotFound` for a link that there is not, `InvalidRecord` for an answer that says nothing or too much.
    """
    said = text.strip()
    if not said:
        raise InvalidRecord("answer", "it says nothing", "Say why, in a sentence")
    if len(said) > LONGEST:
        raise InvalidRecord("answer", f"it has {len(said):,} characters; {LONGEST:,} are the most", "Say it shorter")
    last = len(chain.whys)
    if not 1 <= number <= min(last + 1, MOST):
        raise NotFound(
            f"the chain of {chain.mode} has {last} whys, so there is no number {number}. Answer 1 to "
            f"{min(last + 1, MOST)}; {min(last + 1, MOST)} adds one"
            if last < MOST
            else f"the chain of {chain.mode} has {last} whys, the most; answer 1 to {MOST}"
        )
    if number == last + 1:
        new = Why(topic=f"said {last + 1}", question="And why is that?", answer=said, kind="said", by=by, at=at)
        return replace(chain, whys=(*chain.whys, new), edited_at=at)
    old = chain.whys[number - 1]
    drafted = old if old.kind == "tested" else old.drafted
    before = (*old.before, replace(old, before=(), drafted=None, query=""))[-10:] if old.kind != "open" else old.before
    edited = replace(
        old, answer=said, kind="said", by=by, at=at, before=before, effect=None, interval=None, n=0, query="",
        drafted=replace(drafted, before=()) if drafted is not None else None,
    )  # fmt: skip
    return replace(chain, whys=(*chain.whys[: number - 1], edited, *chain.whys[number:]), edited_at=at)


# --- Markdown ---

_SPECIAL = re.compile(r"[\\`*_\[\]!~|@$^#]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BEGINS = re.compile(r"^(\d{0,9})([-+=:.)])")
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


def _text(value: object) -> str:
    """Any text as a Markdown paragraph's plain words: what was logged or typed never becomes markup."""
    line = " ".join(_INVISIBLE.sub(" ", str(value)).split()) or "–"
    plain = _BEGINS.sub(r"\1\\\2", _SPECIAL.sub(lambda found: "\\" + found.group(), line))
    return html.escape(plain, quote=False)


def to_markdown(chain: WhyChain, mode: Mode) -> str:
    r"""A mode's chain of whys as a Markdown page (CommonMark): questions, answers with their grounds, the fix.

    >>> print(to_markdown(WhyChain(mode="m1", whys=(Why(topic="ask", question="Why?"),)), Mode(id="m1", name="<b>x")))
    # Five whys: &lt;b&gt;x
    <BLANKLINE>
    Failure mode m1, open.
    <BLANKLINE>
    1. **Why?**
    <BLANKLINE>
       *Asked: the data cannot know.*
    <BLANKLINE>
    """
    facts = f"Failure mode {mode.id}, {mode.state}."
    if mode.count:
        facts += f" About {mode.count:.0f} failures, {mode.share:.1%} of the traffic."
    lines = [f"# Five whys: {_text(mode.name)}", "", _text(facts), ""]
    for number, why in enumerate(chain.whys, 1):
        indent = " " * (len(str(number)) + 2)
        lines += [f"{number}. **{_text(why.question)}**", ""]
        if why.kind == "open":
            lines += [f"{indent}*Asked: the data cannot know.*", ""]
            continue
        lines += [f"{indent}{_text(why.answer)}", ""]
        lines += [f"{indent}*{_text(_ground(why))}*", ""]
        if why.drafted is not None:
            lines += [f"{indent}The data says: {_text(why.drafted.answer)}", ""]
    if chain.fix:
        maker = f", by spin {chain.spin}" if chain.spin else ""
        lines += ["## The fix", "", _text(f"Fixed in {chain.fix}{maker}."), ""]
        if chain.receipt:
            lines += [_text(chain.receipt), ""]
    return "\n".join(lines)


def _ground(why: Why) -> str:
    if why.kind == "said":
        when = why.at.astimezone(UTC).strftime("%Y-%m-%d") if why.at else ""
        return f"Said{f' by {why.by}' if why.by else ''}{f' on {when}' if when else ''}."
    return f"Tested on {why.n:,} cases."
