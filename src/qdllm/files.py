"""Files that are either the old ones or the new ones, whatever happens in between."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qdllm.errors import DataError

__all__ = [
    "atomic_folder",
    "atomic_path",
    "file_sha256",
    "folder_bytes",
    "read_json",
    "read_versioned",
    "write_json",
    "write_text",
]


@contextmanager
def atomic_path(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends well.

    A crash inside the block leaves the old file. Missing parent folders are made. With `durable`, the new
    file is on the disk afterwards, and outlasts a power cut.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror})") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        if durable:
            _flush(temporary)
        temporary.replace(target)
        if durable and os.name == "posix":
            _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; put it in the place of `path` when the block ends well.

    What stood there before is replaced as a whole.

    Raises
    ------
    DataError
        If the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror})") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        old = temporary.with_suffix(".old")
        if target.exists():
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def file_sha256(path: str | Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_bytes(folder: str | Path) -> int:
    """Count the bytes of all files in a folder and below it."""
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def write_text(path: str | Path, text: str, *, durable: bool = False) -> None:
    """Write `text` as UTF-8, as `atomic_path` does."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any, *, durable: bool = False) -> None:
    """Write `value` as indented JSON, as `atomic_path` does; NaN is refused."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable=durable)


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DataError
        If the file is missing or is not JSON.
    """
    source = Path(path)
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{source}: not valid JSON ({error})") from error


def read_versioned(path: str | Path, name: str, version: int = 1) -> dict[str, Any]:
    """Read a JSON file of ours, and check that it is of this schema.

    Raises
    ------
    DataError
        If the file is missing, is not JSON, or holds something else.
    """
    content = read_json(path)
    expected = {"name": name, "version": version}
    if not isinstance(content, dict) or content.get("schema") != expected:
        raise DataError(f"{path}: not of schema {name}, version {version}; make it again")
    return content


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
