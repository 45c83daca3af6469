"""The operator's word on single fields: `[privacy] keep`, `redact`, `hash` and `drop`, applied before any rule looks.

A path names a field and what is under it: `context.ip`, `input.customer.email`, `output`. A trailing `*` stands for
whatever follows (`context.ip*`, `extra.*`); a list on the way is passed through, so `input.content` is the content of
every message. Of several paths that fit, the longest counts.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flywheel.capture.identity import pseudonym
from flywheel.errors import InvalidConfig

if TYPE_CHECKING:
    from flywheel.config import PrivacySettings
    from flywheel.ports import Redactor

__all__ = ["Policy"]

_FIELDS = (
    *("input", "output", "scores", "error", "context", "extra", "model", "user", "session"),
    *("value", "name", "by", "label", "comment", "outcome", "report"),
)
_FIXED = ("id", "interaction_id", "at", "sent_at", "received_at", "kind", "source", "consent", "propensity")
_NUMBERS = ("scores", "confidence", "latency_ms")
_KINDS = ("label", "comment", "outcome", "report")  # of feedback: its `value` goes by these names too
_MAPPINGS = ("scores", "context", "extra")
_ACTIONS = ("keep", "redact", "hash", "drop")
_REDACTED = "[redacted]"
_GONE = object()
_MOST_PATHS = 8192


class Policy:
    """What to do with which field, worked out once. With no path at all, `apply` hands back what it was given.

    >>> policy = Policy(redact=["input.name"], drop=["context.ip*"])
    >>> policy.apply({"input": {"name": "Ana", "ask": "Hi"}, "context": {"ip_class": "b", "os": "ios"}})
    ({'input': {'name': '[redacted]', 'ask': 'Hi'}, 'context': {'os': 'ios'}}, {'dropped': 1, 'redacted': 1})
    """

    def __init__(
        self,
        *,
        keep: Iterable[str] = (),
        redact: Iterable[str] = (),
        hash: Iterable[str] = (),
        drop: Iterable[str] = (),
        key: bytes | None = None,
    ) -> None:
        self._exact: dict[str, str] = {}
        self._begins: dict[str, str] = {}
        for action, paths in zip(_ACTIONS, (keep, redact, hash, drop), strict=True):
            for path in paths:
                self._add(action, path)
        self._refuse_contradictions()
        self._key = key
        actions = {*self._exact.values(), *self._begins.values()}
        if "hash" in actions and key is None:
            raise InvalidConfig(
                "privacy.hash needs the key of the pseudonyms: without one a digest can be undone by guessing. "
                "Set privacy.pseudonyms = true, or use privacy.redact"
            )
        self.active = bool(actions)
        self._acts = bool(actions - {"keep"})
        self._keeps = "keep" in actions
        self._known: dict[str, tuple[str, bool]] = {}

    @classmethod
    def from_config(cls, privacy: PrivacySettings, key: bytes | None) -> Policy:
        """Make the policy of `[privacy]`. A path that is misspelt or contradicts another is `InvalidConfig`."""
        return cls(keep=privacy.keep, redact=privacy.redact, hash=privacy.hash, drop=privacy.drop, key=key)

    def apply(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, int]]:
        """Redact, hash and drop fields of a record; returns the fields and how many values went which way.

        `fields` are those of an interaction or of feedback, as plain values (a feedback's `value` also goes by its
        `kind`). The dict itself comes back when nothing changes. A dropped field is null; of `context`, `extra` and
        `scores` nothing is left in it.
        """
        if not self._acts:
            return fields, {}
        counts: dict[str, int] = {}
        changed: dict[str, Any] = {}
        for name, value in fields.items():
            if value is None:
                continue
            done = self._of(value, self._called(name, fields), counts)
            if done is _GONE:
                changed[name] = {} if name in _MAPPINGS else None
            elif done is not value:
                changed[name] = done
        return ({**fields, **changed} if changed else fields), dict(sorted(counts.items()))

    def clean(self, fields: dict[str, Any], redactor: Redactor) -> tuple[dict[str, Any], dict[str, int]]:
        """Apply the policy, then the redactor's rules to all that `keep` does not exempt; counts of both.

        The redactor is called once for the whole record. Its rules never see a kept value.
        """
        done, counts = self.apply(fields)
        if not self._keeps:
            cleaned, found = redactor.redact(done)
        else:
            masked = {name: self._mask(value, self._called(name, done)) for name, value in done.items()}
            cleaned, found = redactor.redact(masked)
            cleaned = {
                name: self._restore(after, done[name], self._called(name, done)) for name, after in cleaned.items()
            }
        if found:
            counts = dict(sorted((counts | {kind: counts.get(kind, 0) + n for kind, n in found.items()}).items()))
        return cleaned, counts

    # --- paths ---

    def _add(self, action: str, path: str) -> None:
        plain = path[:-1] if path.endswith("*") else path
        root = plain.split(".", 1)[0]
        where = f"privacy.{action} has {path!r}"
        if "*" in plain or not path.strip(" .") or ".." in path or path.startswith(".") or plain != plain.strip():
            raise InvalidConfig(f"{where}: a path is names with dots between, and `*` at most at the end")
        if root in _FIXED:
            raise InvalidConfig(f"{where}: {root!r} keeps records together and holds no text of people. Leave it out")
        whole = "." in plain or not path.endswith("*")
        if root not in _FIELDS and root not in _NUMBERS and (whole or not any(f.startswith(root) for f in _FIELDS)):
            close = difflib.get_close_matches(root, _FIELDS, n=1)
            fix = f"Did you mean {close[0] + plain[len(root) :]!r}?" if close else f"There are: {', '.join(_FIELDS)}"
            raise InvalidConfig(f"{where}, but {root!r} is no field. {fix}")
        if root in _NUMBERS and action != "keep" and not (root == "scores" and action == "drop"):
            raise InvalidConfig(f"{where}: {root} holds numbers, which cannot be replaced by text. Leave it out")
        table = self._begins if path.endswith("*") else self._exact
        if table.setdefault(plain, action) != action:
            raise InvalidConfig(f"{path!r} stands in privacy.{table[plain]} and in privacy.{action}. Keep one of them")

    def _refuse_contradictions(self) -> None:
        for path, action in self._exact.items():
            if action == "keep":
                continue
            for table in (self._exact, self._begins):
                for other, theirs in table.items():
                    if other.startswith(f"{path}.") and theirs != action:
                        raise InvalidConfig(
                            f"privacy.{action} takes {path!r} as a whole, so {other!r} in privacy.{theirs} has nothing "
                            f"left to act on. Write {path + '.*'!r} in privacy.{action} to treat its parts one by one"
                        )

    @staticmethod
    def _called(name: str, fields: dict[str, Any]) -> str:
        return fields["kind"] if name == "value" and fields.get("kind") in _KINDS else name

    def _rule(self, path: str) -> tuple[str, bool]:
        """The action for a path ("" for none), and whether longer paths say something of what is under it."""
        known = self._known.get(path)
        if known is None:
            action = self._exact.get(path, "")
            if not action:
                fitting = [begin for begin in self._begins if path.startswith(begin)]
                action = self._begins[max(fitting, key=len)] if fitting else ""
            under = f"{path}."
            deeper = any(other.startswith(under) for table in (self._exact, self._begins) for other in table)
            if path.split(".", 1)[0] in _KINDS and not action:
                action, more = self._rule("value" + path[len(path.split(".", 1)[0]) :])
                deeper = deeper or more
            known = action, deeper
            if len(self._known) < _MOST_PATHS:
                self._known[path] = known
        return known

    # --- values ---

    def _of(self, value: Any, path: str, counts: dict[str, int]) -> Any:
        action, deeper = self._rule(path)
        if action == "drop" and not deeper:
            counts["dropped"] = counts.get("dropped", 0) + 1
            return _GONE
        whole = path in _MAPPINGS  # these stay dicts: each value in them is treated by itself
        if action in ("redact", "hash") and not deeper and not whole:
            return value if value is None else self._replaced(value, action, counts)
        if (action in ("", "keep") and not deeper) or not isinstance(value, dict | list | tuple):
            return value
        if isinstance(value, dict):
            return self._dict(value, path, action if whole else "", counts)
        items = [self._of(item, path, counts) for item in value]
        if all(after is before for after, before in zip(items, value, strict=True)):
            return value
        return [item for item in items if item is not _GONE]

    def _dict(self, value: dict[Any, Any], path: str, action: str, counts: dict[str, int]) -> Any:
        copied: dict[Any, Any] = {}
        same = True
        for name, item in value.items():
            under = f"{path}.{name}"
            if action and not self._rule(under)[0]:
                after = item if item is None else self._replaced(item, action, counts)
            else:
                after = self._of(item, under, counts)
            same = same and after is item
            if after is not _GONE:
                copied[name] = after
        return value if same else copied

    def _replaced(self, value: Any, action: str, counts: dict[str, int]) -> str:
        if action == "redact":
            counts["redacted"] = counts.get("redacted", 0) + 1
            return _REDACTED
        counts["hashed"] = counts.get("hashed", 0) + 1
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
        return pseudonym(self._key, text, prefix="h")

    def _mask(self, value: Any, path: str, kept: bool = False) -> Any:
        """Put null in place of what is kept; the same object where nothing is. `kept`: the field around it is."""
        action, deeper = self._rule(path)
        kept = action == "keep" or (kept and not action)
        if not deeper:
            return None if kept else value
        if isinstance(value, dict):
            return {name: self._mask(item, f"{path}.{name}", kept) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._mask(item, path, kept) for item in value]
        return None if kept else value

    def _restore(self, cleaned: Any, before: Any, path: str, kept: bool = False) -> Any:
        """Put back what `_mask` took out. Redactors keep the order of keys and items, so places tell what was where."""
        action, deeper = self._rule(path)
        kept = action == "keep" or (kept and not action)
        if not deeper:
            return before if kept else cleaned
        if isinstance(before, dict) and isinstance(cleaned, dict):
            return {
                name: self._restore(item, old, f"{path}.{key}", kept)
                for (name, item), (key, old) in zip(cleaned.items(), before.items(), strict=True)
            }
        if isinstance(before, list | tuple) and isinstance(cleaned, list | tuple):
            return [self._restore(item, old, path, kept) for item, old in zip(cleaned, before, strict=True)]
        return before if kept else cleaned
