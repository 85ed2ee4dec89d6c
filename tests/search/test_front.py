from hypothesis import given
from hypothesis import strategies as st

from qdllm.search import Candidate, choose, pareto_front, standard_error

# Few values, so that ties and domination are frequent.
_VALUES = st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 4))
_CANDIDATES = st.lists(_VALUES, min_size=1, max_size=25).map(
    lambda rows: [Candidate(i, {}, 0.5 + a / 10, g, p) for i, (a, g, p) in enumerate(rows)]
)


def _objectives(candidate):
    return candidate.accuracy, candidate.two_qubit_gates, candidate.parameters


def _no_worse(a, b):
    return (
        a.accuracy >= b.accuracy and a.two_qubit_gates <= b.two_qubit_gates and a.parameters <= b.parameters
    )


@given(_CANDIDATES)
def test_nobody_dominates_a_member_of_the_front_and_a_member_is_no_worse_than_anybody_left_out(candidates):
    front = pareto_front(candidates)
    for member in front:
        rivals = [c for c in candidates if _no_worse(c, member)]
        assert {_objectives(c) for c in rivals} == {_objectives(member)}
        assert member.trial == min(c.trial for c in rivals)
    assert len({_objectives(c) for c in front}) == len(front)
    for left_out in candidates:
        assert any(_no_worse(member, left_out) for member in front)


@given(_CANDIDATES, st.integers(1, 2000))
def test_the_chosen_one_is_the_cheapest_within_one_standard_error(candidates, n_rows):
    front = pareto_front(candidates)
    chosen, best = choose(front, n_rows), front[0]
    assert best.accuracy == max(c.accuracy for c in candidates)
    near = [c for c in front if c.accuracy >= best.accuracy - standard_error(best.accuracy, n_rows)]
    assert chosen in near
    assert chosen.costs == min(c.costs for c in near)


def test_a_worked_example():
    """Of 400 rows at 80 %, one standard error is 2 points."""
    front = [Candidate(0, {}, 0.80, 9, 70), Candidate(1, {}, 0.785, 3, 90), Candidate(2, {}, 0.77, 0, 50)]
    assert standard_error(0.8, 400) == 0.02
    assert choose(front, 400).trial == 1
    assert choose(front, 100_000).trial == 0
    assert choose(front, 40).trial == 2
