"""`flywheel.toml` → `Config`: every setting, its default and its meaning.

A folder without the file uses the defaults. Any setting can also be given by the environment as
`FLYWHEEL_<SECTION>_<SETTING>`, for example `FLYWHEEL_STORE_URL`. An unknown section or setting is an error that names
the nearest one, so that a misspelt limit never silently does nothing.
"""

from __future__ import annotations

import difflib
import os
import re
import threading
import tomllib
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flywheel.errors import InvalidConfig, StoreUnavailable

__all__ = ["Config", "load", "write"]


@dataclass(frozen=True, slots=True)
class ProductSettings:
    """`[product]`: what is being improved."""

    name: str = ""
    """Shown in reports; the folder's name when empty."""
    task: str = "classification"
    """`classification`, `regression`, `ranking`, `generation`, or a task plugin."""
    tolerance: float = 0.0
    """Regression: how near to the truth is right. 0 takes a quarter of the seed labels' standard deviation."""
    protected: tuple[str, ...] = ()
    """Context fields whose every value the gate must not make worse, such as `device` or `locale`."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`[store]`: where the log, the tables and the state live."""

    url: str = ""
    """Database of the log and the state: empty for SQLite in the folder, or `postgresql://…`."""
    tables: str = ""
    """Where the Delta tables lie: empty for the folder, or an object-store URL such as `s3://bucket/prefix`."""
    engine: str = "duckdb"
    """`duckdb`, or `spark` (extra `spark`)."""
    max_record_bytes: int = 1_048_576
    """A larger record is refused."""
    keep_old_files_hours: float = 1.0
    """How long a reader may go on with files that compaction has replaced."""


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """`[detect]`: what counts as a sign of failure."""

    latency_ms: float = 0.0
    """Slower answers are a sign of failure; 0 for no limit."""
    low_confidence: float = 0.5
    """A calibrated probability of being right below this is a sign of failure."""
    detectors: tuple[str, ...] = ()
    """Detector plugins beside the built-in signs."""


@dataclass(frozen=True, slots=True)
class ObserveSettings:
    """`[observe]`: what is worth saying about a window."""

    every: str = "hour"
    """Grain of the metrics that seasons, breaks and anomalies are looked for in: `minute`, `hour` or `day`."""
    minimum: float = 0.05
    """Smallest drift that is told: the share of a column's values that changed place."""
    alpha: float = 0.001
    """Chance with which an alarm may be false, over the whole life of the monitor."""
    tolerance: float = 0.005
    """By how much the failure rate may rise before it hurts."""
    parts: tuple[str, ...] = ()
    """Sides from which a spin looks at its window, such as `levels` and `monitor`; empty for all."""
    logs: tuple[str, ...] = ()
    """Application logs to read beside the interactions: files, or patterns such as `/var/log/bot/*.log`."""


@dataclass(frozen=True, slots=True)
class DiagnoseSettings:
    """`[diagnose]`: how failures are grouped."""

    embedder: str = ""
    """Embedder plugin; empty chooses by the kind of input."""
    max_failures: int = 4000
    """At most so many failures of a window are clustered; more are sampled."""
    min_mode: int = 3
    """A group with fewer failures is not a mode."""
    max_modes: int = 200
    """At most so many modes a window; nearest ones are joined until there are no more."""
    min_users: int = 3
    """What fewer users share makes no mode and enters no name, where users are logged; 1 for no such limit."""


@dataclass(frozen=True, slots=True)
class CurateSettings:
    """`[curate]`: what to label and what to learn from."""

    audit_share: float = 0.2
    """Share of every label budget that is drawn uniformly at random; never below 0.2."""
    failure_share: float = 0.5
    """Failures make up at most this share of a dataset's weight."""
    propensity_clip: float = 0.0
    """Labels weigh 1/propensity, relative to their median and within 1/clip to clip; 0 weighs all alike."""
    near_duplicate: float = 0.85
    """Jaccard similarity above which two inputs are near-duplicates."""
    label_noise: bool = True
    """Send labels that look wrong back to the queue."""
    max_examples: int = 20_000
    """Most examples in a dataset: the newest spin whole, and a replay buffer of the others by class."""
    folds: int = 5
    """Parts of the cross-fitted replay."""
    spread_groups: bool = False
    """Pass an answer on to alike inputs where two answers, the nearest examples and a model agree."""
    corrections: bool = True
    """Learn from users who name the right answer, where the champion thinks it likely; such labels prove nothing."""
    learned_split: bool = True
    """Let what their labels mended decide how the targeted budget is shared among the ways of choosing."""
    rounds: int = 1
    """Ask for the targeted labels in so many rounds, where each can have ten: a model that knows the answers so far
    says what is asked next. The audit comes with the first round."""
    follow_causes: bool = True
    """Weigh a mode's labels by its cause where likely failures are looked for: 2 where examples are missing, down to
    0.3 where more of them change little. Second looks follow causes in any case."""


@dataclass(frozen=True, slots=True)
class MineSettings:
    """`[mine]`: what is made of failures."""

    novelty: bool = True
    """Say how unlike the examples each doubtful input is, and look for edge cases and groups that no class explains."""
    augment: bool = True
    """Try synthetic examples made like the inputs that fail, and keep those that help on held-out real cases."""
    augment_text: bool = False
    """The same for texts: with the built-in text learner it has gained nothing, at a fifth more time a spin."""
    synthetic_share: float = 0.25
    """Synthetic examples make up at most this share of a dataset's weight."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """`[train]`: who learns."""

    trainer: str = ""
    """`text`, `tabular`, `vector`, a plugin, or your own `train.py:make_trainer`; empty: by the kind of input."""
    outside: str = ""
    """The label that stands for "none of these", for the text trainer; empty: found where there is one."""
    embedder: str = ""
    """A pretrained encoder for the text trainer, with its folder: `onnx:FOLDER`, `sentence-transformers:FOLDER`."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`[gate]`: what a candidate must prove."""

    alpha: float = 0.1
    """Level of the superiority test, nominal, over all candidates held against one champion; and the share of releases
    that may be expected to have gained nothing, where earlier spins speak for one."""
    disagreements: float = 0.0
    """Share of the label budget that is asked last, where the model that has learnt all other labels answers otherwise
    than the champion; 0 for none."""
    margin: float = 0.02
    """Largest loss of accuracy on the regression suite that counts as no loss."""
    slice_margin: float = 0.05
    """The same on each protected slice and class."""
    max_broken_share: float = 0.1
    """Budget of negative flips: share of the champion's right answers that a candidate may break."""
    latency_ratio: float = 2.0
    """A candidate may answer at most so many times slower than the champion."""
    latency_ms: float = 0.0
    """Absolute limit on the milliseconds an answer takes; 0 for none."""


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    """`[release]`: where versions are kept."""

    registry: str = "mlflow"
    """`mlflow`, `folder`, or a registry plugin."""
    mlflow_uri: str = ""
    """Empty for SQLite in the folder, or any MLflow server."""
    automatic: bool = True
    """Release a promoted candidate at once; otherwise it waits as `challenger` for `flywheel releases promote`."""


@dataclass(frozen=True, slots=True)
class ValueSettings:
    """`[value]`: prices, so that a receipt can speak of money."""

    per_failure: float = 0.0
    """What one avoided failure is worth."""
    per_label: float = 0.0
    """What one label costs."""
    per_training_hour: float = 0.0
    """What an hour of training costs."""
    interactions_per_year: float = 0.0
    """0 takes the rate of the last window."""
    currency: str = "EUR"


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """`[privacy]`: what is removed before the first byte is written."""

    redactor: str = "patterns"
    """`patterns` (e-mail addresses, card numbers, IP addresses …), `none`, or a redactor plugin."""
    pseudonyms: bool = True
    """Store users as keyed pseudonyms."""
    consent: str = "assumed"
    """`assumed`: kept unless a record says `consent: false`; `required`: kept only where it says `consent: true`."""
    phone_regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES", "IT", "CA", "AU", "IN")
    """Countries whose national telephone numbers (without +…) are looked for."""
    keep: tuple[str, ...] = ()
    """Fields left as they are, such as `context.ip_class` or `input.order`; a trailing `*` stands for what follows."""
    redact: tuple[str, ...] = ()
    """Fields whose whole value becomes `[redacted]`."""
    hash: tuple[str, ...] = ()
    """Fields whose whole value becomes a keyed digest: still the same for the same value."""
    drop: tuple[str, ...] = ()
    """Fields that are left out."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`[server]`: limits of `flywheel serve`."""

    max_body_bytes: int = 20_971_520
    """A larger request, after decompression, is refused (413)."""
    queue_bytes: int = 67_108_864
    """Requests that wait for the disk hold at most this much; from 80 % on more are turned away (503)."""
    disk_share: float = 0.95
    """A disk fuller than this takes no more records (503)."""
    records_per_second: float = 0.0
    """Most records a key may send, averaged over ten seconds (429); 0 for no limit."""
    session_hours: float = 12.0
    """How long somebody stays signed in to the dashboard."""
    keep_other_spans: bool = False
    """Keep OpenTelemetry spans and logs that are no call of a model; else they are counted only."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """`[oidc]`: sign-in to the dashboard through an identity provider."""

    issuer: str = ""
    """The provider's issuer, exactly as it names itself, such as `https://accounts.example`; empty: keys only."""
    client_id: str = ""
    """What the provider knows this dashboard as."""
    key_variable: str = "OIDC_CLIENT_SECRET"
    """Environment variable that holds the client's secret; a public client has none."""
    address: str = ""
    """How browsers reach this server, such as `https://flywheel.example`; empty takes what they ask for."""
    title: str = ""
    """What the button calls the provider; empty takes its host."""
    scopes: tuple[str, ...] = ("profile", "email")
    """What the provider is asked for beside `openid`."""
    name_claim: str = "email"
    """The claim that names a person on the audit trail; where it is missing, the subject does."""
    claim: str = "groups"
    """The claim that says what people are here: a text or a list; dots lead into it, as in `realm_access.roles`."""
    viewer: tuple[str, ...] = ()
    """Values of that claim that make a viewer; `*` is everybody whom the provider signs in."""
    labeler: tuple[str, ...] = ()
    """Values that make a labeler."""
    releaser: tuple[str, ...] = ()
    """Values that make a releaser."""
    admin: tuple[str, ...] = ()
    """Values that make an admin."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`[proxy]`: the OpenAI-compatible proxy."""

    upstream: str = ""
    """Where calls are forwarded, such as `https://api.openai.com/v1`; empty: no proxy."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the upstream's key, for clients that send a Flywheel key in its place."""
    timeout_seconds: float = 600.0
    """How long the upstream may take."""


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """`[retention]`: for how many days each kind of data is kept; 0 for ever."""

    interactions_days: float = 0.0
    """Interactions, with the feedback about them."""
    feedback_days: float = 0.0
    """Feedback alone."""
    dead_letters_days: float = 90.0
    """Records that could not be stored."""
    queue_days: float = 0.0
    """Answered items of the review queue."""
    exports_days: float = 0.0
    """Files written by `export` inside the flywheel's folder, and reports."""
    reports_days: float = 0.0
    """Reports of failures; those about interactions or feedback that go, go with them."""


@dataclass(frozen=True, slots=True)
class ReportsSettings:
    """`[reports]`: blameless reports of failures."""

    embed_on: tuple[str, ...] = ()
    """Origins whose pages may show the report form in a frame, such as `https://shop.example`."""
    public: bool = False
    """May anybody send the report form without a key? It then works without JavaScript, too."""
    webhook: str = ""
    """URL that is told (POST) when a report is fixed: its id and the version, no text and nobody's name."""


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting of one flywheel."""

    product: ProductSettings = field(default_factory=ProductSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    detect: DetectSettings = field(default_factory=DetectSettings)
    observe: ObserveSettings = field(default_factory=ObserveSettings)
    diagnose: DiagnoseSettings = field(default_factory=DiagnoseSettings)
    mine: MineSettings = field(default_factory=MineSettings)
    curate: CurateSettings = field(default_factory=CurateSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    release: ReleaseSettings = field(default_factory=ReleaseSettings)
    value: ValueSettings = field(default_factory=ValueSettings)
    privacy: PrivacySettings = field(default_factory=PrivacySettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    proxy: ProxySettings = field(default_factory=ProxySettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    reports: ReportsSettings = field(default_factory=ReportsSettings)


_SECTIONS: dict[str, type] = {
    "product": ProductSettings,
    "store": StoreSettings,
    "detect": DetectSettings,
    "observe": ObserveSettings,
    "diagnose": DiagnoseSettings,
    "mine": MineSettings,
    "curate": CurateSettings,
    "train": TrainSettings,
    "gate": GateSettings,
    "release": ReleaseSettings,
    "value": ValueSettings,
    "privacy": PrivacySettings,
    "server": ServerSettings,
    "oidc": OidcSettings,
    "proxy": ProxySettings,
    "retention": RetentionSettings,
    "reports": ReportsSettings,
}


def load(folder: Path, **overrides: dict[str, Any]) -> Config:
    """Read `folder/flywheel.toml`, then the environment, then `overrides` (a dict a section); the last one counts."""
    path = folder / "flywheel.toml"
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except tomllib.TOMLDecodeError as problem:
        raise InvalidConfig(f"{path} is not valid TOML: {problem}. Fix that line, or move the file away") from problem
    for section, kind in _SECTIONS.items():
        for setting in fields(kind):
            variable = f"FLYWHEEL_{section}_{setting.name}".upper()
            if variable in os.environ:
                raw.setdefault(section, {})[setting.name] = _from_text(os.environ[variable], setting.default, variable)
    for section, values in overrides.items():
        raw.setdefault(section, {}).update(values)
    sections = {}
    for section, values in raw.items():
        if section not in _SECTIONS:
            raise InvalidConfig(f"{path}: [{section}] is not a section.{_nearest(section, _SECTIONS)}")
        sections[section] = _section(section, values, path)
    config = Config(**sections)
    _check(config)
    return config


def _section(section: str, values: Any, path: Path) -> Any:
    kind = _SECTIONS[section]
    defaults = {setting.name: setting.default for setting in fields(kind)}
    if not isinstance(values, dict):
        raise InvalidConfig(f"{path}: {section} must be a section, [{section}], not {values!r}")
    checked = {}
    for name, value in values.items():
        if name not in defaults:
            raise InvalidConfig(f"{path}: [{section}] has no setting {name!r}.{_nearest(name, defaults)}")
        checked[name] = _fitting(value, defaults[name])
        if type(checked[name]) is not type(defaults[name]):
            given, wanted = type(value).__name__, type(defaults[name]).__name__
            raise InvalidConfig(f"{path}: {section}.{name} is {value!r}, a {given}; it takes a {wanted}")
    return kind(**checked)


def _fitting(value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(str(item) for item in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _check(config: Config) -> None:
    shares = {
        "mine.synthetic_share": (config.mine.synthetic_share, 0.0, 0.9),
        "curate.audit_share": (config.curate.audit_share, 0.2, 1.0),
        "curate.failure_share": (config.curate.failure_share, 0.0, 1.0),
        "curate.near_duplicate": (config.curate.near_duplicate, 0.1, 1.0),
        "curate.folds": (config.curate.folds, 2, 50),
        "curate.rounds": (config.curate.rounds, 1, 20),
        "gate.disagreements": (config.gate.disagreements, 0.0, 0.5),
        "detect.low_confidence": (config.detect.low_confidence, 0.0, 1.0),
        "diagnose.max_modes": (config.diagnose.max_modes, 1, 100_000),
        "diagnose.min_users": (config.diagnose.min_users, 1, 1_000_000),
        "observe.minimum": (config.observe.minimum, 0.0, 1.0),
        "observe.alpha": (config.observe.alpha, 1e-9, 0.5),
        "observe.tolerance": (config.observe.tolerance, 0.0, 1.0),
        "gate.alpha": (config.gate.alpha, 1e-6, 0.5),
        "gate.margin": (config.gate.margin, 0.0, 1.0),
        "gate.slice_margin": (config.gate.slice_margin, 0.0, 1.0),
        "gate.max_broken_share": (config.gate.max_broken_share, 0.0, 1.0),
        "server.disk_share": (config.server.disk_share, 0.01, 1.0),
        "server.max_body_bytes": (config.server.max_body_bytes, 1024, 2**31),
        "server.queue_bytes": (config.server.queue_bytes, 1024, 2**40),
        "server.records_per_second": (config.server.records_per_second, 0.0, 1e9),
        "server.session_hours": (config.server.session_hours, 0.01, 720.0),
        "proxy.timeout_seconds": (config.proxy.timeout_seconds, 0.001, 86_400.0),
        **{f"retention.{f.name}": (getattr(config.retention, f.name), 0.0, 36_500.0) for f in fields(config.retention)},
    }
    if config.curate.propensity_clip != 0 and not 1 <= config.curate.propensity_clip <= 1000:
        found = config.curate.propensity_clip
        raise InvalidConfig(f"curate.propensity_clip is {found}; it takes 0 for no weights, or 1 to 1000")
    if config.observe.every not in ("minute", "hour", "day"):
        raise InvalidConfig(f"observe.every is {config.observe.every!r}; it takes 'minute', 'hour' or 'day'")
    if config.privacy.consent not in ("assumed", "required"):
        raise InvalidConfig(f"privacy.consent is {config.privacy.consent!r}; it takes 'assumed' or 'required'")
    if config.reports.webhook and not re.match(r"https?://[^/\s]+", config.reports.webhook):
        raise InvalidConfig(f"reports.webhook is {config.reports.webhook!r}; it takes a URL that begins with https://")
    for origin in config.reports.embed_on:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:*]+", origin):
            raise InvalidConfig(
                f"reports.embed_on names {origin!r}; it takes origins such as https://shop.example, without a path"
            )
    _check_oidc(config.oidc)
    for name, (value, low, high) in shares.items():
        if not low <= value <= high:
            raise InvalidConfig(f"{name} is {value}; it must lie between {low} and {high}")


def _check_oidc(oidc: OidcSettings) -> None:
    if not oidc.issuer:
        return
    for name, url in (("issuer", oidc.issuer), ("address", oidc.address)):
        if url and not re.match(r"https://[^/\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/|$)", url):
            raise InvalidConfig(f"oidc.{name} is {url!r}; it takes a URL that begins with https://")
    if not oidc.client_id:
        raise InvalidConfig("oidc.client_id is empty; it takes what the identity provider calls this dashboard")
    if not (oidc.viewer or oidc.labeler or oidc.releaser or oidc.admin):
        raise InvalidConfig(
            "[oidc] gives nobody a role. Say which values of the claim make a viewer, labeler, releaser or admin, "
            'such as viewer = ["*"]'
        )


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(known)}"


def _from_text(text: str, default: Any, variable: str) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if isinstance(default, tuple):
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return type(default)(text)
    except (KeyError, ValueError) as problem:
        raise InvalidConfig(f"{variable}={text!r} is not a {type(default).__name__}") from problem


def write(folder: Path, values: dict[str, dict[str, Any]]) -> Path:
    """Write a first `flywheel.toml` with the given values, whole and synced; an existing file is left alone."""
    path = folder / "flywheel.toml"
    if path.exists():
        return path
    lines = ["# Settings of this flywheel; every one is described in docs/guides/settings.md\n"]
    for section, settings in values.items():
        lines.append(f"\n[{section}]\n")
        lines.extend(f"{name} = {_toml(value)}\n" for name, value in settings.items())
    draft = folder / f".flywheel.toml.{os.getpid()}-{threading.get_ident()}"
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
    except OSError as problem:
        raise StoreUnavailable(
            f"{path} cannot be written: {problem}. Check the folder's permissions and free space, then try again"
        ) from problem
    finally:
        draft.unlink(missing_ok=True)
    return path


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
