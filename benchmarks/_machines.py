"""What was measured where and when, for pages whose figures come from several machines."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["by_machine"]


def by_machine(
    measured: Iterable[tuple[str, str, Mapping[str, Any]]], packages: Iterable[str] = ("torch", "qdllm")
) -> list[str]:
    """Return a line for each machine and day, with what was measured there.

    Parameters
    ----------
    measured : iterable of (whole, part, machine)
        Parts of a whole that were all measured on one machine are not named.
    packages : iterable of str
        Whose versions are told, where the machine's record holds them.
    """
    wholes: dict[str, dict[str, list[str]]] = {}
    for whole, part, machine in measured:
        wholes.setdefault(whole, {}).setdefault(_described(machine, packages), []).append(part)
    lines: dict[str, list[str]] = {}
    for whole, machines in wholes.items():
        for described, parts in machines.items():
            named = whole if len(machines) == 1 else f"{whole} ({', '.join(parts)})"
            lines.setdefault(described, []).append(named)
    return [f"- {', '.join(names)}: {described}" for described, names in lines.items()]


def _described(machine: Mapping[str, Any], packages: Iterable[str]) -> str:
    where = [
        f"{machine['date']}: {machine['cpu']}",
        f"{machine['cores']} cores",
        f"Python {machine['python']}",
    ]
    where += [f"{package} {machine[package]}" for package in packages if package in machine]
    return ", ".join(where)
