import pytest

from nerf.errors import UserError
from nerf.train.legs import Leg, next_legs


@pytest.mark.parametrize(
    ('legs', 'newest', 'num_steps', 'expected'),
    [
        ([], 0, 100, [(0, 100)]),
        ([(0, 100)], 40, 100, [(0, 100)]),
        ([(0, 100)], 100, 250, [(0, 100), (100, 250)]),
        ([(0, 100)], 40, 250, [(0, 100), (40, 250)]),
        ([(0, 100), (100, 250)], 180, 250, [(0, 100), (100, 250)]),
        ([(0, 100), (100, 250)], 100, 250, [(0, 100), (100, 250)]),
        ([(0, 100)], 0, 250, [(0, 250)]),
        # The checkpoint that the second leg began with is damaged.
        ([(0, 100), (100, 250)], 80, 250, [(0, 100), (80, 250)]),
        ([(0, 100), (100, 250)], 0, 250, [(0, 250)]),
    ],
)
def test_a_greater_length_begins_a_leg_and_the_same_goes_on(legs, newest, num_steps, expected):
    found = next_legs([Leg(*leg) for leg in legs], newest, num_steps, 'run')
    assert [(leg.start, leg.num_steps) for leg in found] == expected


def test_a_run_cannot_be_made_shorter():
    with pytest.raises(UserError, match=r'run: config\.num_steps was 100 and is 99: a run can be trained longer, not shorter'):
        next_legs([Leg(0, 100)], 40, 99, 'run')
