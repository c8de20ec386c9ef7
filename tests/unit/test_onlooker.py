"""What a clip shows: the vote, the parked car, the poster, and a detector that comes too late."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.detection import Look, Seen, Sighting
from agent.core.frame import LumaFrame, Picture
from agent.core.labels import Votes, what_moved
from agent.core.motion import Box, Motion
from agent.onlooker import Onlooker

TENTH = 100_000_000
CAR = Sighting("vehicle", 0.9, (0.1, 0.4, 0.5, 0.8))
MAN = Sighting("person", 0.8, (0.3, 0.3, 0.4, 0.7))


def frame(n: int, grey: int = 100) -> LumaFrame:
    """A frame whose picture is `grey` all over."""
    plane = np.full((90, 160), grey, np.uint8)
    half = np.full((45, 80), 128, np.uint8)
    return LumaFrame(n * TENTH, plane, lambda: Picture(plane, half, half, full_range=True))


def moves(n: int, *areas: tuple[float, float, float, float]) -> Motion:
    return Motion(n * TENTH, bool(areas), n * TENTH, False, 1.0, tuple(Box(*area) for area in areas))


class Eyes:
    """A detector that answers when told to."""

    def __init__(self, *sightings: Sighting) -> None:
        self.sightings = sightings
        self.taken: list[Look] = []
        self.busy = False
        self.settled = 0

    def offer(self, look: Look) -> bool:
        if not self.busy:
            self.taken.append(look)
        return not self.busy

    def seen(self) -> list[Seen]:
        done, self.taken = self.taken, []
        return [Seen(look, self.sightings) for look in done]

    def settle(self) -> None:
        self.settled += 1


def test_one_look_decides_nothing_and_two_of_five_do() -> None:
    votes = Votes()
    assert votes.add(["animal"]) == []
    assert [votes.add([]) for _ in range(4)] == [[]] * 4
    assert votes.add(["animal"]) == [], "the first look was five looks ago"
    assert votes.add(["person"]) == []
    assert votes.add(["person", "animal"]) == ["person", "animal"]
    assert votes.add(["person"]) == [], "said once"
    assert votes.won == ["person", "animal"]


def test_a_parked_car_is_no_label_and_one_that_drives_is() -> None:
    beside = (0.32, 0.35, 0.4, 0.7)  # the man, in front of the car
    assert what_moved([CAR, MAN], [beside]) == [MAN]
    assert what_moved([CAR, MAN], [(0.1, 0.45, 0.45, 0.8)]) == [CAR, MAN]


def test_a_person_may_stand_and_move_a_hand() -> None:
    hand = (0.31, 0.5, 0.33, 0.55)
    assert what_moved([MAN], [hand]) == [MAN]
    assert what_moved([Sighting("animal", 0.9, MAN.area)], [hand]) == [], "a pot of flowers behind a hand"
    assert what_moved([MAN], [(0.8, 0.8, 0.9, 0.9)]) == []
    assert what_moved([MAN], []) == []


def test_looks_are_half_a_second_apart_and_only_while_something_moves() -> None:
    eyes = Eyes(MAN)
    onlooker = Onlooker(eyes)
    told: list[tuple[int, str]] = []
    looked = []
    for n in range(30):
        told += [(n, label) for label in onlooker.observe(frame(n), moves(n, MAN.area) if n >= 10 else moves(n))]
        looked += [n for look in eyes.taken if look.frame.time_ns == n * TENTH]
    assert looked == [10, 15, 20, 25]
    assert told == [(16, "person")]
    assert onlooker.conclude().labels == ["person"]
    assert onlooker.conclude().labels == [], "the next clip begins with nothing"


def test_a_busy_detector_is_asked_again_as_soon_as_it_may_be_free() -> None:
    eyes = Eyes(MAN)
    onlooker = Onlooker(eyes)
    eyes.busy = True
    for n in range(3):
        onlooker.observe(frame(n), moves(n, MAN.area))
    assert eyes.taken == []
    eyes.busy = False
    onlooker.observe(frame(3), moves(3, MAN.area))
    assert [look.frame.time_ns for look in eyes.taken] == [3 * TENTH]


def test_answers_about_the_last_clip_do_not_count_for_this_one() -> None:
    class Late(Eyes):
        ready = False

        def seen(self) -> list[Seen]:
            return super().seen() if self.ready else []

    eyes = Late(MAN)
    onlooker = Onlooker(eyes)
    for n in range(20):
        onlooker.observe(frame(n), moves(n, MAN.area))
    assert onlooker.conclude().labels == []
    eyes.ready = True
    assert onlooker.observe(frame(21), moves(21)) == []
    assert onlooker.conclude().labels == []


def test_a_noted_label_comes_first_and_once() -> None:
    onlooker = Onlooker(Eyes(MAN))
    onlooker.note("ring")
    onlooker.note("ring")
    for n in range(12):
        onlooker.observe(frame(n), moves(n, MAN.area))
    assert onlooker.conclude().labels == ["ring", "person"]


@pytest.mark.parametrize(
    ("boxes", "best"),
    [
        ([(0.4, 0.4, 0.5, 0.6), (0.4, 0.3, 0.6, 0.8), (0.5, 0.5, 0.55, 0.6)], 1),  # the largest
        ([(0.2, 0.2, 0.5, 0.6), (0.0, 0.2, 0.35, 0.6)], 0),  # not the one the edge cuts
    ],
)
def test_the_poster_shows_the_most(boxes: list[tuple[float, float, float, float]], best: int) -> None:
    onlooker = Onlooker()
    for n, box in enumerate(boxes):
        onlooker.observe(frame(n, grey=50 + 50 * n), moves(n, box))
    witnessed = onlooker.conclude()
    assert witnessed.poster is not None
    assert witnessed.poster_ns == best * TENTH


def test_what_was_recognised_comes_before_what_merely_moves() -> None:
    onlooker = Onlooker(Eyes(MAN))
    onlooker.observe(frame(0), moves(0, MAN.area))
    onlooker.observe(frame(1), moves(1, (0.0, 0.0, 1.0, 1.0)))
    assert onlooker.conclude().poster_ns == 0


def test_who_rings_without_moving_has_a_poster_too() -> None:
    onlooker = Onlooker()
    onlooker.observe(frame(0), moves(0))
    onlooker.note("ring")
    onlooker.observe(frame(1), moves(1))
    onlooker.observe(frame(2), moves(2))
    witnessed = onlooker.conclude()
    assert witnessed.poster is not None
    assert (witnessed.labels, witnessed.poster_ns) == (["ring"], TENTH)


def test_without_pictures_there_is_no_poster() -> None:
    onlooker = Onlooker()
    onlooker.observe(LumaFrame(0, np.zeros((90, 160), np.uint8)), moves(0, MAN.area))
    assert onlooker.conclude().poster is None
