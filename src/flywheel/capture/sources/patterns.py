"""Patterns of log lines: the well-known ones by name, and your own in Grok or as a regular expression.

They run on RE2 (through Arrow), whose time grows with the length of the line and no faster, whatever the pattern and
whoever wrote the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.errors import InvalidConfig

__all__ = ["NAMED", "Pattern", "compiled", "guessed", "named"]

_LONGEST = 4_000
_LONGEST_WHOLE = 40_000

_PIECES = {
    "INT": r"[+-]?\d+",
    "POSINT": r"\d+",
    "NONNEGINT": r"\d+",
    "NUMBER": r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?",
    "BASE10NUM": r"[+-]?\d+(?:\.\d+)?",
    "BASE16NUM": r"(?:0[xX])?[0-9a-fA-F]+",
    "BOOL": r"[Tt]rue|[Ff]alse|TRUE|FALSE|yes|no",
    "WORD": r"\w+",
    "NOTSPACE": r"\S+",
    "SPACE": r"\s*",
    "DATA": r".*?",
    "GREEDYDATA": r".*",
    "QUOTEDSTRING": r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'',
    "UUID": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "IPV4": r"\d{1,3}(?:\.\d{1,3}){3}",
    "IPV6": r"[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(?:%\w+)?",
    "IP": r"%{IPV4}|%{IPV6}",
    "HOSTNAME": r"[0-9A-Za-z_](?:[0-9A-Za-z_.-]*[0-9A-Za-z_])?\.?",
    "IPORHOST": r"%{IP}|%{HOSTNAME}",
    "HOSTPORT": r"(?:%{IPV4}|\[%{IPV6}\]|%{HOSTNAME}):\d+",
    "EMAILADDRESS": r"[\w.+-]+@%{HOSTNAME}",
    "USERNAME": r"[a-zA-Z0-9._-]+",
    "USER": r"%{USERNAME}",
    "PATH": r"(?:/[^\s\"']*|[A-Za-z]:\\[^\s\"']*)",
    "URI": r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+",
    "URIPATH": r"/[^\s?#\"]*",
    "URIPATHPARAM": r"/[^\s\"]*",
    "LOGLEVEL": (
        r"(?i:trace|debug|info(?:rmation)?|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|severe|alert|"
        r"emerg(?:ency)?|panic|verbose|fine|finer|finest|config)"
    ),
    "MONTH": r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*",
    "MONTHNUM": r"0?[1-9]|1[0-2]",
    "MONTHDAY": r"[ 0]?[1-9]|[12]\d|3[01]",
    "DAY": r"(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*",
    "YEAR": r"\d{4}",
    "HOUR": r"[01]?\d|2[0-4]",
    "MINUTE": r"[0-5]\d",
    "SECOND": r"[0-6]\d(?:[.,]\d+)?",
    "TIME": r"(?:%{HOUR}):(?:%{MINUTE}):(?:%{SECOND})",
    "ISO8601_TIMEZONE": r"Z|[+-]\d\d:?\d\d",
    "TIMESTAMP_ISO8601": r"\d{4}[-/]\d\d[-/]\d\d(?:T|\s| - )%{TIME}(?:\s?(?:Z|UTC|[+-]\d\d:?\d\d))?",
    "SYSLOGTIMESTAMP": r"[A-Z][a-z][a-z] +\d{1,2} %{TIME}",
    "HTTPDATE": r"\d\d/[A-Z][a-z][a-z]/\d{4}:%{TIME} [+-]\d{4}",
    "DATESTAMP_EPOCH": r"\d{10}(?:\.\d{1,9}|\d{3})?",
    "SYSLOGHOST": r"%{IPORHOST}",
    "PROG": r"[^\s\[\]:]+",
    "JAVACLASS": r"[a-zA-Z$_][a-zA-Z0-9$_]*(?:\.[a-zA-Z$_][a-zA-Z0-9$_]*)*",
}

NAMED = {
    "syslog5424": (
        r"<%{POSINT:pri}>1 (?:-|%{TIMESTAMP_ISO8601:at}) %{NOTSPACE:host} %{NOTSPACE:process} %{NOTSPACE:pid} "
        r"%{NOTSPACE:msgid} (?:-|(?P<structured>\[(?:[^\]\\]|\\.)*\](?:\[(?:[^\]\\]|\\.)*\])*))"
        r"(?: %{GREEDYDATA:message})?$"
    ),
    "syslog": (
        r"(?:<%{POSINT:pri}>)?(?P<at>%{SYSLOGTIMESTAMP}|%{TIMESTAMP_ISO8601}) %{SYSLOGHOST:host} "
        r"%{PROG:process}(?:\[%{POSINT:pid}\])?: ?%{GREEDYDATA:message}$"
    ),
    "apache-error": (
        r"\[(?P<at>%{DAY} %{MONTH} +\d{1,2} %{TIME} \d{4})\] \[(?:(?P<logger>[\w-]*):)?(?P<level>%{LOGLEVEL})\d?\] "
        r"(?:\[pid %{POSINT:pid}(?::tid %{POSINT:thread})?\] )?(?:\[client (?P<client>[^\]]*)\] )?"
        r"%{GREEDYDATA:message}$"
    ),
    "nginx-error": (
        r"(?P<at>\d{4}/\d\d/\d\d %{TIME}) \[%{LOGLEVEL:level}\] %{POSINT:pid}#%{POSINT:thread}: "
        r"(?:\*\d+ )?%{GREEDYDATA:message}$"
    ),
    "spring": (
        r"%{TIMESTAMP_ISO8601:at}\s+%{LOGLEVEL:level}\s+%{POSINT:pid}\s+--- (?:\[[^\]]*\] )??"
        r"\[\s*(?P<thread>[^\]]*)\] (?:\[[^\]]*\] )?(?P<logger>\S+)\s*: %{GREEDYDATA:message}$"
    ),
    "logback": (
        r"(?P<at>%{TIMESTAMP_ISO8601}|%{TIME}) +\[(?P<thread>[^\]]+)\] +(?P<level>%{LOGLEVEL}) +"
        r"(?P<logger>%{JAVACLASS})(?:\[\d+\])?(?: +-|:) +%{GREEDYDATA:message}$"
    ),
    "zookeeper": (
        r"%{TIMESTAMP_ISO8601:at} - %{LOGLEVEL:level} +\[(?P<thread>.*):(?P<logger>[\w$.]+)@(?P<line>-?\d+)\] - "
        r"%{GREEDYDATA:message}$"
    ),
    "python": (
        r"%{TIMESTAMP_ISO8601:at}(?: +-)? +(?P<logger>[\w.]+)(?: +-)? +%{LOGLEVEL:level}(?: +-|:)? +"
        r"%{GREEDYDATA:message}$"
    ),
    "python-basic": r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):(?P<logger>[\w.]+):%{GREEDYDATA:message}$",
    "uvicorn": (
        r"(?:%{TIMESTAMP_ISO8601:at}[ -]+)?(?P<level>TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL): {2,8}"
        r"%{GREEDYDATA:message}$"
    ),
    "glog": (
        r"(?P<level>[IWEFD])(?P<at>\d{4} \d\d:\d\d:\d\d(?:\.\d+)?) +%{POSINT:thread} "
        r"(?P<logger>[^:\]\s]+):%{POSINT:line}\] %{GREEDYDATA:message}$"
    ),
    "logcat": (
        r"(?P<at>\d\d-\d\d %{TIME}) +%{POSINT:pid} +%{POSINT:thread} (?P<level>[VDIWEFA]) (?P<logger>.*?) *: "
        r"%{GREEDYDATA:message}$"
    ),
    "spark": (
        r"(?P<at>\d\d/\d\d/\d\d %{TIME}) +%{LOGLEVEL:level} +(?P<logger>[\w.$-]+)(?: \[(?P<thread>[^\]]*)\])?: "
        r"%{GREEDYDATA:message}$"
    ),
    "hadoop": r"(?P<at>\d{6} \d{6}) %{POSINT:thread} %{LOGLEVEL:level} (?P<logger>[\w.$]+): %{GREEDYDATA:message}$",
    "bluegene": (
        r"(?P<alert>\S+) %{POSINT:epoch} \d{4}\.\d\d\.\d\d %{NOTSPACE:host} "
        r"(?P<at>\d{4}-\d\d-\d\d-\d\d\.\d\d\.\d\d\.\d+) \S+ (?P<kind_of>\S+) (?P<logger>\S+) (?P<level>[A-Z]+)"
        r"(?: %{GREEDYDATA:message})?$"
    ),
    "cluster": (
        r"%{POSINT:number} %{NOTSPACE:host} (?P<logger>\S+) %{NOTSPACE:state} (?P<at>\d{10}) %{INT:flag} "
        r"%{GREEDYDATA:message}$"
    ),
    "log4j": (
        r"\[?(?P<at>%{TIMESTAMP_ISO8601})\]?(?: -)? +\[?%{LOGLEVEL:level}\]? +(?:\[(?P<thread>[^\]]+)\] +)?"
        r"(?P<logger>%{JAVACLASS})(?::\d+)?(?: +-|:| -:) +%{GREEDYDATA:message}$"
    ),
    "iso-level": (
        r"\[?(?P<at>%{TIMESTAMP_ISO8601})\]?[\s:|-]+\[?(?P<level>%{LOGLEVEL})\]?[\s:|-]+%{GREEDYDATA:message}$"
    ),
    "iso": r"\[?(?P<at>%{TIMESTAMP_ISO8601})\]?[\s:|-]*%{GREEDYDATA:message}$",
    "day": (
        r"\[?(?P<at>%{HTTPDATE}|%{SYSLOGTIMESTAMP}|%{DAY} %{MONTH} +\d{1,2} %{TIME} \d{4})\]?:? "
        r"%{GREEDYDATA:message}$"
    ),
}
"""The patterns that are tried, the more particular first."""

_GROK = re.compile(r"%\{(\w+)(?::([\w.@-]+))?(?::(int|float|string))?\}")
_GROUP = re.compile(r"\(\?P?<([A-Za-z_]\w*)>")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern ready to be used: `of` takes lines and gives each one's fields, or None where it does not fit."""

    name: str
    expression: str
    fields: tuple[str, ...]
    kinds: tuple[str, ...]

    def of(self, lines: Sequence[str]) -> list[dict[str, Any] | None]:
        """The fields of each line; those that are empty are left out."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not lines:
            return []
        found = pc.extract_regex(pa.array(lines, pa.string()), pattern=self.expression).to_pylist()
        return [None if row is None else self._named(row) for row in found]

    def _named(self, row: dict[str, str]) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for place, (name, kind) in enumerate(zip(self.fields, self.kinds, strict=True)):
            value = row[f"g{place}"]
            if value:
                named[name] = _typed(value, kind)
        return named


def _typed(value: str, kind: str) -> Any:
    if kind in ("int", "float"):
        try:
            return int(value) if kind == "int" else float(value)
        except ValueError:
            return value
    return value


def named(name: str) -> Pattern:
    """One of the well-known patterns."""
    return compiled(NAMED[name], name)


def compiled(text: str, name: str = "your pattern") -> Pattern:
    """Make a pattern from Grok (`%{TIMESTAMP_ISO8601:at} %{LOGLEVEL:level} …`) or an expression with named groups.

    It is held against the beginning of the line. `:int` and `:float` after a field's name make a number of it. What
    RE2 does not have (look-around, back-references) and patterns over 4,000 characters are an `InvalidConfig`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(text) > _LONGEST:
        raise InvalidConfig(f"the pattern has {len(text):,} characters; {_LONGEST:,} is the limit. Shorten it")
    fields: list[str] = []
    kinds: list[str] = []

    def group(field: str, kind: str) -> str:
        if field in fields:
            raise InvalidConfig(f"the pattern names {field!r} twice. Give each part a name of its own")
        fields.append(field)
        kinds.append(kind)
        return f"(?P<g{len(fields) - 1}>"

    expression = _expanded(text, group)
    if not fields:
        raise InvalidConfig(
            f"the pattern {text[:80]!r} names no field. Name at least one: %{{GREEDYDATA:message}} or (?P<message>.*)"
        )
    expression = f"^(?:{expression.removeprefix('^')})"
    try:
        pc.extract_regex(pa.array([""], pa.string()), pattern=expression)
    except pa.ArrowInvalid as problem:
        reason = str(problem).removeprefix("Invalid regular expression: ")
        if "unnamed groups" in reason:
            reason = "it has a group without a name; write (?:…) where you need none"
        raise InvalidConfig(f"the pattern {text[:80]!r} cannot be used: {reason}. It is RE2 syntax") from problem
    return Pattern(name, expression, tuple(fields), tuple(kinds))


def _expanded(text: str, group: Any) -> str:
    """Replace `%{PIECE:field}` by its expression, and named groups by numbered ones, from left to right."""
    done: list[str] = []
    place = 0
    token = re.compile(f"{_GROK.pattern}|{_GROUP.pattern}")
    for found in token.finditer(text):
        done.append(text[place : found.start()])
        place = found.end()
        piece, field, kind, own = found.groups()
        if own:
            done.append(group(own, "string"))
            continue
        body = _piece(piece, 0)
        done.append(f"{group(field, kind or 'string')}{body})" if field else f"(?:{body})")
    done.append(text[place:])
    whole = "".join(done)
    if len(whole) > _LONGEST_WHOLE:
        raise InvalidConfig(
            f"the pattern grows to {len(whole):,} characters; {_LONGEST_WHOLE:,} is the limit. Shorten it"
        )
    return whole


def _piece(name: str, depth: int) -> str:
    body = _PIECES.get(name)
    if body is None:
        raise InvalidConfig(f"there is no piece %{{{name}}}. There are: {', '.join(sorted(_PIECES))}")
    return _GROK.sub(lambda found: f"(?:{_piece(found.group(1), depth + 1)})", body)


def guessed(lines: Sequence[str], least: float = 0.05) -> list[Pattern]:
    """The named patterns that a log's first lines are written in: the one that fits most, then what fits the rest.

    One that fits less than `least` of them is left out, so that a stray line names no format. Empty when none fits.
    """
    left = [line for line in lines if line.strip()]
    wanted = max(1.0, least * len(left))
    candidates = [named(name) for name in NAMED]
    chosen: list[Pattern] = []
    while left:
        best, fits = None, 0
        for pattern in candidates:
            count = sum(row is not None for row in pattern.of(left))
            if count > fits * 1.02:  # a later, looser pattern must fit clearly more
                best, fits = pattern, count
        if best is None or fits < wanted:
            break
        chosen.append(best)
        left = [line for line, row in zip(left, best.of(left), strict=True) if row is None]
    return chosen
