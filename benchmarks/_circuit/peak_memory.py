"""What one training step on 256 samples takes in memory above `import torch`; run in a process of its own."""

import json
from pathlib import Path

import torch


def resident() -> tuple[int, int]:
    """Return the bytes this process holds and the most it has ever held.

    From /proc, not `resource`: that one's peak includes the process that started this one.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    held, peak = (1024 * int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    return held, peak


def main() -> None:
    """Print the bytes as JSON."""
    torch.set_num_threads(1)
    held, _ = resident()
    from _circuit.problems import Step, paper_problem

    _, imported = resident()
    step = Step(paper_problem(), 256, torch.float32)
    for _ in range(5):
        step.step()
    _, peak = resident()
    print(json.dumps({"torch": held, "with_qdllm": imported, "peak": peak}))


if __name__ == "__main__":
    main()
