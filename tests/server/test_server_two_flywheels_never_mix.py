"""Several flywheels in one server: a key opens its own and never shows a byte of another's."""

from __future__ import annotations

from pathlib import Path

from serving import served


def test_each_key_writes_and_reads_its_own(tmp_path: Path) -> None:
    with served(tmp_path / "shop", tmp_path / "bank") as (client, (shop, bank)):
        keys = {
            name: fw.keys.create(name, ["ingest", "read", "admin"])[0] for name, fw in (("shop", shop), ("bank", bank))
        }
        for name, key in keys.items():
            sent = [{"id": f"{name}-1", "input": f"only-{name}", "user": "ana"}, {"bad": f"only-{name}"}]
            assert client.post("/v1/interactions", json=sent, headers={"X-API-Key": key}).json()["accepted"] == 1
        for name, other in (("shop", "bank"), ("bank", "shop")):
            mine = {"X-API-Key": keys[name]}
            for path in ("/v1/interactions", "/v1/dead-letters", "/metrics", "/v1/keys", "/v1/books", "/v1/spins"):
                text = client.get(path, headers=mine).text
                assert f"only-{other}" not in text, path
                assert f'"{other}"' not in text, path
            assert f"only-{name}" in client.get("/v1/interactions", headers=mine).text
            assert client.get(f"/v1/interactions/{other}-1", headers=mine).status_code == 404
            assert client.get(f"/flywheels/{other}/v1/interactions", headers=mine).status_code == 401
            assert client.get(f"/flywheels/{name}/v1/interactions", headers=mine).status_code == 200
        pair = [fw.interactions()[0][0] for fw in (shop, bank)]
        assert pair[0].user != pair[1].user  # a pseudonym says nothing beyond its own flywheel
        for fw, other in ((shop, b"only-bank"), (bank, b"only-shop")):
            for path in fw.folder.rglob("*"):
                assert path.is_dir() or other not in path.read_bytes(), path


def test_without_keys_the_path_says_which(tmp_path: Path) -> None:
    with served(tmp_path / "shop", tmp_path / "bank") as (client, (shop, bank)):
        assert client.post("/v1/interactions", json=[{"input": 1}]).status_code == 404
        assert client.post("/flywheels/bank/v1/interactions", json=[{"input": 1}]).status_code == 200
        assert client.post("/flywheels/none/v1/interactions", json=[{"input": 1}]).status_code == 404
        assert (shop.books()["stored"], bank.books()["stored"]) == (0, 1)


def test_one_key_closes_its_flywheel_only(tmp_path: Path) -> None:
    with served(tmp_path / "shop", tmp_path / "bank") as (client, (shop, _)):
        shop.keys.create("k", ["read"])
        assert client.get("/flywheels/shop/v1/spins").status_code == 401
        assert client.get("/flywheels/bank/v1/spins").status_code == 200
