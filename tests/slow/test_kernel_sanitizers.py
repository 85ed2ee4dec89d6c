"""The kernel, built with address and undefined-behaviour sanitizers, touches nothing that is not its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _library(name: str) -> str:
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("g++"), reason="needs GCC's sanitizers, on Linux"
)
def test_no_sanitizer_has_anything_to_say(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path)]
    build += ["-C", "cmake.define.QDLLM_SANITIZE=ON", "-C", "install.strip=false", str(ROOT)]
    subprocess.run(build, env={**os.environ, "CXX": "g++"}, check=True)
    (kernel,) = (tmp_path / "qdllm" / "simulate").glob("_kernel*.so")
    environment = {
        **os.environ,
        # Python itself is not built for them: they come first, with what they look into.
        "LD_PRELOAD": " ".join(_library(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps memory to the end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "1",
    }
    script = Path(__file__).with_name("run_kernel.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(kernel)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-5000:]
    assert ran.stdout.startswith("done")
    assert "runtime error" not in ran.stderr
    assert "Sanitizer" not in ran.stderr
