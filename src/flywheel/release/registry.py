"""Registries: where versions and their aliases are kept for others to see.

MLflow by default, a plain file without it.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from flywheel.errors import CorruptStore, NotFound, StoreBusy, StoreUnavailable

__all__ = ["FolderRegistry", "MlflowRegistry"]

_VERSION_TAG = "flywheel.version"
_WAIT = 60.0


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the system lets go of it when the process ends in any way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(path, timeout=_WAIT):
            yield
    except filelock.Timeout as problem:
        raise StoreBusy(
            f"{path} is held by another process for more than {_WAIT:g} s. Let it finish, then repeat"
        ) from problem


class MlflowRegistry:
    """The registry `mlflow`: a registered model in MLflow, SQLite in the folder or any server by `uri`.

    `name` is the registered model's. Each of our versions is one MLflow version, with ours in the tag
    `flywheel.version`; look at them with `mlflow ui --backend-store-uri sqlite:///<folder>/registry/mlflow.db`.
    MLflow is imported at first use (2 s).
    """

    name = "mlflow"

    def __init__(self, folder: Path | str, uri: str = "", name: str = "champion model") -> None:
        self._root = Path(folder).absolute()
        self._folder = self._root / "registry"
        self._uri = uri or f"sqlite:///{self._folder / 'mlflow.db'}"
        self._model = name.replace("/", "-").replace(":", "-").replace("'", "-") or "champion model"
        self._client: Any = None
        self._met: dict[str, int] = {}
        """MLflow's numbers of our versions, as they were when the last one was registered; they never change."""
        self._once = threading.Lock()

    def register(self, version: str, folder: Path, tags: dict[str, str]) -> None:
        """Make a version known, with where its files lie; doing it twice is doing it once."""
        with self._speaking() as client, _alone(self._lock_file):
            numbers = self._numbers(client)
            if version not in numbers:
                made = client.create_model_version(
                    self._model, (self._root / folder).as_uri(), tags={**tags, _VERSION_TAG: version}
                )
                numbers[version] = int(made.version)
            self._met = numbers

    def alias(self, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None. Raises `NotFound` for a version nobody registered."""
        with self._speaking() as client:
            if version is None:
                if self._aliased(client, alias) is not None:
                    client.delete_registered_model_alias(self._model, alias)
                return
            numbers = self._met if version in self._met else self._numbers(client)
            if version not in numbers:
                raise NotFound(f"{version!r} is not registered, so {alias!r} cannot point at it. Register it first")
            client.set_registered_model_alias(self._model, alias, str(numbers[version]))

    def resolve(self, alias: str) -> str | None:
        """The version an alias points at, None if at nothing."""
        with self._speaking() as client:
            number = self._aliased(client, alias)
            if number is None:
                return None
            return next((ours for ours, theirs in self._numbers(client).items() if theirs == number), None)

    def versions(self) -> list[str]:
        """Every registered version, oldest first."""
        with self._speaking() as client:
            return list(self._numbers(client))

    @property
    def _lock_file(self) -> Path:
        return self._folder / "mlflow.lock"

    def _numbers(self, client: Any) -> dict[str, int]:
        """Our versions and MLflow's numbers for them, in order."""
        found: list[tuple[int, str]] = []
        token = None
        while True:
            page = client.search_model_versions(f"name='{self._model}'", max_results=1000, page_token=token)
            found += [(int(one.version), one.tags[_VERSION_TAG]) for one in page if _VERSION_TAG in one.tags]
            token = page.token
            if not token:
                break
        numbers: dict[str, int] = {}
        for number, ours in sorted(found):
            numbers.setdefault(ours, number)
        return numbers

    def _aliased(self, client: Any, alias: str) -> int | None:
        number = client.get_registered_model(self._model).aliases.get(alias)
        return None if number is None else int(number)

    @contextmanager
    def _speaking(self) -> Iterator[Any]:
        """MLflow's client, with its errors turned into ours."""
        client = self._connect()
        from mlflow.exceptions import MlflowException

        try:
            yield client
        except MlflowException as problem:
            raise StoreUnavailable(
                f"the MLflow registry at {self._uri} did not take it: {problem.message}. "
                "The release itself stands; repeat the call when the registry answers"
            ) from problem

    def _connect(self) -> Any:
        with self._once:
            if self._client is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                with _alone(self._lock_file):  # the first one builds the database
                    self._client = self._open()
        return self._client

    def _open(self) -> Any:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the import: nothing calls home
        os.environ.setdefault("MLFLOW_DISABLE_AUTO_LOGGING", "true")
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        for noisy in ("mlflow", "mlflow.store.db.utils", "alembic"):  # its import sets them anew
            logging.getLogger(noisy).setLevel(logging.WARNING)
        try:
            client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            if not client.search_registered_models(f"name='{self._model}'"):
                client.create_registered_model(self._model)
        except MlflowException as problem:
            raise StoreUnavailable(
                f"the MLflow registry at {self._uri} cannot be opened: {problem.message}. Check release.mlflow_uri"
            ) from problem
        return client


class FolderRegistry:
    """The registry `folder`: one JSON file in `folder/registry`, without MLflow. `uri` is not used."""

    name = "folder"

    def __init__(self, folder: Path | str, uri: str = "", name: str = "champion model") -> None:
        self._root = Path(folder).absolute()
        self._file = self._root / "registry" / "versions.json"
        self._model = name

    def register(self, version: str, folder: Path, tags: dict[str, str]) -> None:
        """Make a version known, with where its files lie; doing it twice is doing it once."""
        with _alone(self._file.with_suffix(".lock")):
            known = self._read()
            if version not in known["versions"]:
                known["versions"][version] = {"folder": str(self._root / folder), "tags": dict(tags)}
                self._write(known)

    def alias(self, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None. Raises `NotFound` for a version nobody registered."""
        with _alone(self._file.with_suffix(".lock")):
            known = self._read()
            if version is None:
                if known["aliases"].pop(alias, None) is None:
                    return
            elif version not in known["versions"]:
                raise NotFound(f"{version!r} is not registered, so {alias!r} cannot point at it. Register it first")
            else:
                known["aliases"][alias] = version
            self._write(known)

    def resolve(self, alias: str) -> str | None:
        """The version an alias points at, None if at nothing."""
        found = self._read()["aliases"].get(alias)
        return None if found is None else str(found)

    def versions(self) -> list[str]:
        """Every registered version, oldest first."""
        return list(self._read()["versions"])

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"model": self._model, "versions": {}, "aliases": {}}
        except ValueError as problem:
            raise CorruptStore(
                f"{self._file} is not JSON: {problem}. Restore it, or delete it and promote again"
            ) from problem
        if not isinstance(known, dict) or not {"versions", "aliases"} <= set(known):
            raise CorruptStore(f"{self._file} has no versions and aliases. Restore it, or delete it and promote again")
        return known

    def _write(self, known: dict[str, Any]) -> None:
        draft = self._file.with_suffix(".draft")  # one writer at a time, so one name is enough
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(known, file, indent=1, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
        except OSError as problem:
            raise StoreUnavailable(
                f"{self._file} cannot be written: {problem}. Free some space or check the rights"
            ) from problem
