"""File hashes, remembered: a large weights file is read once, not on every start."""

import hashlib
import re
from pathlib import Path

from qdllm.data import cache_dir
from qdllm.files import file_sha256, write_text

__all__ = ["content_hash"]


def content_hash(path: str | Path) -> str:
    """Hexadecimal sha256 of a file, looked up by its path, size and time of change.

    The memory is one small file per hash under the cache folder, so processes do not get in each other's way.
    """
    file = Path(path).resolve()
    status = file.stat()
    identity = f"{file}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
    memory = cache_dir() / "hashes" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    if memory.is_file() and re.fullmatch(r"[0-9a-f]{64}", known := memory.read_text(encoding="ascii")):
        return known
    value = file_sha256(file)
    write_text(memory, value)
    return value
