"""What the package exports: names that others rely on, sorted, each with a docstring."""

import importlib
import inspect
import pkgutil
from functools import cached_property
from types import ModuleType

import pytest

import qdllm

PACKAGES = ["qdllm"] + [info.name for info in pkgutil.walk_packages(qdllm.__path__, "qdllm.") if info.ispkg]
MODULES = ["qdllm.pages", "qdllm.errors", "qdllm.extras", "qdllm.files", "qdllm.progress"]


def _rank(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions: the order that ruff sorts `__all__` into."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _undocumented(module: ModuleType) -> list[str]:
    missing = []
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value) and not inspect.getdoc(value):
            missing.append(name)
        if inspect.isclass(value):
            own = {key: inspect.getattr_static(value, key) for key in vars(value) if not key.startswith("_")}
            methods = {
                f"{name}.{key}"
                for key, member in own.items()
                if inspect.isroutine(member)
                or isinstance(member, property | cached_property | classmethod | staticmethod)
            }
            missing += [] if value.__doc__ else [name]
            missing += [path for path in sorted(methods) if not inspect.getdoc(_member(value, path))]
    return missing


def _member(cls: type, path: str) -> object:
    member = inspect.getattr_static(cls, path.split(".")[1])
    return getattr(member, "__func__", member)


def test_the_public_names_of_the_package():
    assert qdllm.__all__ == ["Student", "Surrogate", "TextStudent", "TextSurrogate"]


def test_the_documented_names_of_the_subpackages():
    """Those that the documentation tells users to import."""
    documented = {
        "circuits": ["GATES", "analyse", "prune", "qd_llm", "to_native", "to_qasm2", "to_qasm3"],
        "data": ["ASSETS", "TextDataset", "deduplicate", "read_dataset", "row_id", "split_dataset"],
        "devices": ["ChipRunner", "load_calibration", "lower", "make_backend"],
        "distill": ["DistillationLoss"],
        "encoders": ["load_encoder", "make_encoder"],
        "pipeline": ["compare_run", "report_run"],
        "report": ["PRICES"],
        "simulate": ["NoiseModel", "NoisySimulator", "StatevectorSimulator"],
        "student": ["Student", "TextStudent"],
        "surrogate": ["Surrogate", "SurrogateClassifier", "check_surrogate", "compile_student"],
        "teachers": ["SoftLabels", "TuningSettings", "fine_tune", "make_teacher"],
    }
    for package, names in documented.items():
        assert set(names) <= set(importlib.import_module(f"qdllm.{package}").__all__), package


@pytest.mark.parametrize("name", PACKAGES + MODULES)
def test_exports_are_sorted_there_and_documented(name):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__), key=_rank)
    assert _undocumented(module) == []
