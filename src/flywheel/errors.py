"""Every error Flywheel raises, in one tree.

Each leaf says one of two things to the caller: try the same call again (`Retryable`), or change something first
(`Permanent`). Catch `FlywheelError` to catch them all::

    FlywheelError
    ├── Permanent                 the same call will fail again
    │   ├── InvalidRecord         a field of a record cannot be stored; names the field and the fix
    │   ├── Undecodable           bytes that are not of the form they claim to be; kept among the dead letters
    │   │   └── UnsupportedMedia  a content type or encoding that is not spoken here
    │   ├── TooLarge              a body, or what it inflates to, is over the limit
    │   ├── Unauthenticated       no key, or one that is unknown, expired or revoked
    │   ├── Forbidden             a key without the scope that the call needs
    │   ├── InvalidConfig         flywheel.toml or an argument cannot be used
    │   ├── NotFound              an id, version, mode or folder that does not exist
    │   ├── UnknownPlugin         a name that no installed plugin answers to
    │   ├── NothingToLearn        there is no label, no champion or no class to learn from yet
    │   ├── UntrustedModel        a stored model asks for types that are not on the trusted list
    │   ├── MissingExtra          an optional part is not installed; names the extra
    │   └── CorruptStore          stored bytes do not agree with each other; names the command that mends it
    └── Retryable                 the same call may work later
        ├── Overloaded            more arrives than can be stored now; says when to try again
        │   └── RateLimited       one key sends more than it may
        ├── StoreBusy             another process holds the lock or the database for longer than the wait
        └── StoreUnavailable      the database or object store did not answer, or the disk is full
"""


class FlywheelError(Exception):
    """Root of the tree. The message says what happened, with the value, why, and what to do next."""


class Permanent(FlywheelError):
    """The same call will fail again: something has to change first."""


class Retryable(FlywheelError):
    """The same call may work later: nothing was half-done."""


class InvalidRecord(Permanent):
    """A field of a record cannot be stored; nothing of the record was.

    `field` names it (dotted for nested values), so that a form or an importer can point at it.
    """

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field}: {problem}. {fix}")
        self.field = field
        self.problem = problem
        self.fix = fix


class Undecodable(Permanent):
    """Bytes that are not of the form they claim to be: not JSON, not gzip, not a protobuf message."""


class UnsupportedMedia(Undecodable):
    """A content type or encoding that is not spoken here; the message lists those that are."""


class TooLarge(Permanent):
    """A body, or what it inflates to, is over the limit; nothing of it was kept."""


class Unauthenticated(Permanent):
    """No key, or one that is unknown, expired or revoked."""


class Forbidden(Permanent):
    """A key without the scope that the call needs, or for another flywheel."""


class InvalidConfig(Permanent):
    """`flywheel.toml` or an argument cannot be used as given."""


class NotFound(Permanent):
    """An id, version, mode or folder that does not exist."""


class UnknownPlugin(Permanent):
    """A name that no installed plugin answers to; the message lists those that do."""


class NothingToLearn(Permanent):
    """There is no label, no champion or only one class to learn from yet."""


class UntrustedModel(Permanent):
    """A stored model asks for types that are not on the trusted list; it was not loaded."""


class MissingExtra(Permanent):
    """An optional part is not installed; the message gives the `pip install` line."""


class CorruptStore(Permanent):
    """Stored bytes do not agree with each other; the message names the command that mends it."""


class Overloaded(Retryable):
    """More arrives than can be stored now. `retry_after` says in how many seconds to try again."""

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Overloaded):
    """One key sends more than it may; others are not held up."""


class StoreBusy(Retryable):
    """Another process holds the lock or the database for longer than the wait."""


class StoreUnavailable(Retryable):
    """The database or object store did not answer, or the disk is full."""
