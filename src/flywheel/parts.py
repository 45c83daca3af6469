"""The parts of one flywheel, each made when it is first needed: which room gets what from which other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel import config as settings
from flywheel import loop, plugins
from flywheel.records import Release
from flywheel.store import Store

if TYPE_CHECKING:
    from flywheel.capture import Intake, Recorder
    from flywheel.govern import Erasure, Keys, Retention, Sessions
    from flywheel.ports import Detector, Embedder, Labeler, Model, Progress, Task, Trainer

__all__ = ["Parts"]


class Parts:
    """What a flywheel is put together from. `Flywheel` adds the verbs."""

    def __init__(self, folder: Path, config: settings.Config) -> None:
        self.folder = folder
        self.config = config
        self.name = config.product.name or folder.resolve().name
        self._store = Store.open(folder, config)
        self._labeler: Labeler | None = None
        self._models: dict[str, Model] = {}

    @cached_property
    def task(self) -> Task:
        """What is right, for this product."""
        name, tolerance = self.config.product.task, self.config.product.tolerance
        if name == "regression":
            tolerance = tolerance or float(self._store.state.get("tolerance", 0.0))
            return plugins.create("tasks", name, tolerance=tolerance)  # type: ignore[no-any-return]
        return plugins.create("tasks", name)  # type: ignore[no-any-return]

    @cached_property
    def _recorder(self) -> Recorder:
        from flywheel import capture
        from flywheel.capture.policy import Policy

        privacy = self.config.privacy
        regions = {"regions": privacy.phone_regions} if privacy.redactor in ("patterns", "presidio") else {}
        key = capture.pseudonym_key(self.folder, self._store.state) if privacy.pseudonyms else None
        policy = Policy.from_config(privacy, key)
        return capture.Recorder(
            self._store.log,
            redactor=plugins.create("redactors", privacy.redactor, **regions),
            pseudonym_key=key,
            max_record_bytes=self.config.store.max_record_bytes,
            consent_required=privacy.consent == "required",
            policy=policy if policy.active else None,
        )

    @cached_property
    def intake(self) -> Intake:
        """The way in for what arrives in batches, whatever its dialect: durable when it returns, books that balance."""
        from flywheel.capture import Intake

        return Intake(self._recorder, self._store.log)

    @cached_property
    def otlp(self) -> Any:
        """The way in for OpenTelemetry's requests."""
        from flywheel.capture.otlp_take import Receiver

        keep_other = self.config.server.keep_other_spans
        return Receiver(self.intake, self._recorder, self._store.log, self._store.state, keep_other=keep_other)

    @cached_property
    def bulk(self) -> Any:
        """The way in for Elasticsearch's bulk requests."""
        from flywheel.capture.bulk import BulkReceiver

        return BulkReceiver(self.intake, max_record_bytes=self.config.store.max_record_bytes)

    @cached_property
    def keys(self) -> Keys:
        """The keys with which clients of the server prove who they are."""
        from flywheel.govern import Keys

        return Keys(self._store.state)

    @cached_property
    def sessions(self) -> Sessions:
        """Who is signed in to the dashboard."""
        from datetime import timedelta

        from flywheel.govern import Sessions

        return Sessions(self._store.state, timedelta(hours=self.config.server.session_hours))

    @cached_property
    def _releases(self) -> Any:
        from flywheel.release import Releases

        release = self.config.release
        options = {"uri": release.mlflow_uri, "name": self.name} if release.registry == "mlflow" else {}
        registry = plugins.create("registries", release.registry, folder=self.folder, **options)
        return Releases(self._store.state, registry, lock=lambda: self._store.lock("release", wait=60))

    @cached_property
    def _predictor(self) -> Any:
        from flywheel.release import Predictor

        return Predictor(self._releases, self._load_model, self._recorder.log_many)

    @cached_property
    def _trail(self) -> Any:
        from flywheel.govern import Trail

        return Trail(self._store.state)

    @cached_property
    def _erasure(self) -> Erasure:
        from flywheel.capture.identity import known_as, pseudonym_ring
        from flywheel.curate.erased import remade
        from flywheel.govern import Erasure

        def names(user: str) -> list[str]:
            keyed = self.config.privacy.pseudonyms or (self.folder / "pseudonym.key").exists()
            return known_as(user, pseudonym_ring(self.folder, self._store.state) if keyed else [])

        return Erasure(self._store, self._trail, name=self.name, known_as=names, remake=remade)

    @cached_property
    def _retention(self) -> Retention:
        from flywheel.govern import Retention

        return Retention(self._store, self._trail, self.config.retention)

    @cached_property
    def _queue(self) -> Any:
        from flywheel.curate import ReviewQueue

        return ReviewQueue(self._store.state)

    def _trainer(self, name: str) -> Trainer:
        if ":" in name:
            return plugins.load_operator_code(name, self.folder)()  # type: ignore[no-any-return]
        kind = "regression" if self.config.product.task == "regression" else "classification"
        own = {"outside": self.config.train.outside, "embedder": self._encoder} if name == "text" else {}
        return plugins.create("trainers", name, task=kind, **own)  # type: ignore[no-any-return]

    @cached_property
    def _encoder(self) -> Embedder | None:
        """The pretrained encoder of the settings; a relative folder lies beside `flywheel.toml`."""
        if not self.config.train.embedder:
            return None
        from flywheel.train.embedders import Remembered

        return Remembered(self._embedder(self.config.train.embedder))

    def _embedder(self, setting: str) -> Embedder:
        name, _, where = setting.partition(":")
        if where and not where.startswith("hub:"):
            where = str(self.folder / where)
        return plugins.create("embedders", name, **({"model": where} if where else {}))  # type: ignore[no-any-return]

    def _trainer_for(self, inputs: Sequence[Any]) -> Trainer:
        from flywheel.train import choose_trainer

        return self._trainer(self.config.train.trainer or choose_trainer(inputs))

    def _load_model(self, release: Release) -> Model:
        """Load a release's model once; the name of its trainer is looked up, never imported."""
        if release.version not in self._models:
            folder = self.folder / release.folder
            if release.trainer == "adopted":
                from flywheel.train import load_adopted

                model: Model = load_adopted(folder)
            else:
                configured = self.config.train.trainer
                own = ":" in configured and self._trainer(configured).name == release.trainer
                model = self._trainer(configured if own else release.trainer).load(folder)
            self._models = {**dict(list(self._models.items())[-2:]), release.version: model}
        return self._models[release.version]

    def _embedder_for(self, inputs: Sequence[Any]) -> Embedder:
        from flywheel.diagnose.embed import choose_embedder

        name = self.config.diagnose.embedder or choose_embedder(inputs)
        return self._embedder(name)

    def _detectors(self) -> list[Detector]:
        return [plugins.create("detectors", name) for name in self.config.detect.detectors]

    def _workshop(
        self,
        labelers: Sequence[Labeler],
        progress: Progress | None,
        on_step: Callable[[str, str], None] | None = None,
    ) -> loop.Workshop:
        return loop.Workshop(
            store=self._store,
            config=self.config,
            task=self.task,
            releases=self._releases,
            trail=self._trail,
            trainer_for=self._trainer_for,
            load_model=self._load_model,
            embedder_for=self._embedder_for,
            detectors=self._detectors(),
            labelers=labelers,
            progress=progress,
            on_step=on_step,
        )
