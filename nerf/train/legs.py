"""The legs of a run: `num_steps` may be raised later, and the run then goes on from its newest checkpoint."""

import dataclasses
from collections.abc import Sequence

from nerf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Leg:
    """A part of a run with one schedule.

    Attributes:
        start: step of the checkpoint that it goes on from.
        num_steps: of the whole run, which learning rate and progress are functions of in this leg.
    """

    start: int
    num_steps: int


def next_legs(legs: Sequence[Leg], newest: int, num_steps: int, model_dir: str) -> tuple[Leg, ...]:
    """Return the legs of a run that goes on from step `newest` until `num_steps`.

    The last leg goes on where the length is the same; a greater length begins a new one. Legs that began after `newest`, whose
    checkpoints are gone, are forgotten.

    Raises:
        UserError: a length below the one that the run was begun with.
    """
    if legs and num_steps < legs[-1].num_steps:
        raise UserError(
            f'{model_dir}: config.num_steps was {legs[-1].num_steps} and is {num_steps}: a run can be trained longer, '
            'not shorter; use that number or more, or another --model_dir'
        )
    kept = [leg for leg in legs if leg.start <= newest]
    if kept and kept[-1].num_steps == num_steps:
        return tuple(kept)
    done = [leg for leg in kept if leg.start < newest]
    return (*done, Leg(newest if done else 0, num_steps))
