import pytest

from qdllm import Student
from qdllm.search import PAPER, SPACE, costs_of, fit_design
from qdllm.search.space import draw, first_design, open_fields

from .lessons import LESSON

optuna = pytest.importorskip("optuna")


@pytest.fixture
def study():
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))


@pytest.mark.parametrize(
    "fixed",
    [{}, {"n_qubits": 11, "epochs": 3}, {"readout": "strings"}, {"n_qubits": 4, "readout": "strings"}],
    ids=str,
)
def test_every_design_that_can_be_drawn_is_one_that_a_student_takes(study, fixed):
    fields = open_fields(fixed, taught=True)
    designs = [draw(study.ask(), fixed, fields) for _ in range(20)]
    for design in [first_design(fixed), *designs]:
        Student(**design).check_parameters()
        assert set(design) == {*SPACE, *fixed}
        assert design.items() >= fixed.items()
    for name in fields:
        assert len({design[name] for design in designs}) > 1, name


def test_without_a_teacher_nothing_of_a_teacher_is_searched():
    assert set(SPACE) - set(open_fields({}, taught=False)) == {"alpha", "temperature"}


def test_a_search_starts_from_the_student_as_it_is_by_default():
    assert first_design({}).items() <= Student().get_params().items()


@pytest.mark.parametrize(
    "design",
    [{"n_qubits": 3, "n_layers": 2, "ansatz": "reuploading", "readout": "zz"}, PAPER],
    ids=["reuploading", "paper"],
)
def test_costs_are_known_before_training(design):
    student = fit_design(LESSON, {**design, "epochs": 1}, seed=0)
    gates, parameters = costs_of(design, 6, 3)
    assert parameters == student.parameter_counts()["trained"]
    assert gates == {"reuploading": 6, "qd_llm": 35}[design["ansatz"]]
