"""Every figure motion detection rests on, in one place, with what it means.

Nobody is asked to tune these: the slider and the zones scale them. They were chosen on rendered scenes and public
footage, and no result hangs on one of them exactly (scripts/bench_motion --shift moves each and scores again). Pixels
are those of a picture 320 wide, grey levels those of 8-bit luma. It holds figures and never code that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Constants:
    """Grouped as in docs/design/motion.md. Shares are of the whole picture, times seconds."""

    # Brightness: how the empty scene is lit now, compared with what is remembered.
    cell_px: int = (
        8  # the light is measured in cells; the median of 5 × 5 cells is what a thing up to 40 px cannot sway
    )
    light_pad: float = 12.0  # added before dividing, so that darkness divides calmly
    light_pace: float = 0.8  # how fast it may change in one place only, as a share per second
    light_step: float = 0.06  # the whole picture brighter or darker by this from frame to frame: a switch, not a figure
    light_settle_s: float = 0.7
    light_slack: float = 0.6  # tolerance for contrast that light alone changed, per unit of gain

    bars_least: float = 0.01  # lamps that flicker make the rows of a rolling shutter brighter and darker, from this
    bars_most: float = 0.12  # to this share
    bars_s: float = 5.0  # over so many seconds
    bars_share: float = 0.8  # in so many of the pictures
    bars_smooth: int = 9  # rows: bars have soft edges

    # Difference: how far a pixel must be from all its neighbours in the empty scene.
    floor: float = 3.5  # grey levels, on a perfectly quiet picture
    per_noise: float = 4.0  # of the median deviation
    noise_free: float = 0.5  # a median deviation that is only rounding
    per_unrest: float = 2.0  # of what this pixel does by itself
    unrest_spread: float = 1.2  # what its surroundings do counts as much
    density: float = 0.42  # share of a 3 × 3 neighbourhood that must differ

    # Unrest: learning what a place does by itself (leaves, water, flags, rain).
    unrest_start: float = 6.0
    unrest_most: float = 60.0
    unrest_up_s: float = 0.7
    unrest_up_blob_s: float = 3.0  # slower where it may be a figure not yet recognised
    unrest_up_standing_s: float = 15.0  # slower still around a recognised one that stays in its place
    unrest_up_young_s: float = 0.3
    unrest_down_s: float = 40.0
    unrest_down_young_s: float = 2.0
    young_s: float = 3.0

    # Remembering the empty scene.
    learn_s: float = 6.0
    learn_settling_s: float = 0.3
    still_s: float = 11.0  # a thing that has not moved for this long becomes part of the scene
    absorb_s: float = 0.6
    static_s: float = 1.0  # a difference that holds still is a thing, not unrest
    guard_share: float = 0.25  # the scene is not relearned around a recognised figure, this much of its size

    # Changing now, against a moment ago.
    ago_s: float = 0.25
    per_threshold: float = 0.7
    per_ago_noise: float = 0.8

    # Rain and snow: what is there for one frame only.
    spike_share: float = 0.002
    spike_s: float = 1.0
    spike_most: float = 0.05
    spike_tail: float = 0.03
    per_rain: float = 0.4  # what still differs once streaks are taken out, as a share of how bright they are
    spike_dt_s: float = 0.22  # slower sources have too little overlap from frame to frame

    # Shake.
    shake_least_px: float = 0.3
    shake_most_px: float = 12.0
    turned_s: float = 10.0  # the same shift for this long is the camera's new place
    shake_gain: float = 0.9  # what remains of the difference, to believe it

    # Damage: packets lost on the way break whole rows of the picture at once; a figure grows into them.
    damage_rows: float = 0.035  # of the rows, at least
    damage_changed: float = 0.5  # of such a row is other than in the frame before,
    damage_differs: float = 0.3  # and differs from the empty scene,
    damage_before: float = 0.25  # where less than this did in the frame before
    damage_elsewhere: float = 0.12  # of the other rows has changed; in another light much of them would have
    damage_s: float = 2.0  # a key frame comes by then
    damage_after_s: float = 0.3

    # A new scene: the infrared switch, a turned camera.
    global_share: float = 0.6
    global_before: float = 0.3
    settle_s: float = 1.0

    # Things.
    area: float = 0.00022
    area_least_px: float = 9.0
    things_most: int = 24
    moving_share: float = 0.03  # of a thing's pixels must change now for it to move
    ghost_rim: float = 0.75  # an outline that was in the empty scene and is gone: what stood there has left
    solid_rim: float = 1.1  # an outline that is new: something stands there
    light_match: float = 0.7  # correlation of structure that says: the same surface in another light
    light_share: float = 0.5
    soft_rim: float = 1.1
    soft_noise: float = 1.5
    soft_least_px: float = 400.0
    soft_rise: float = 0.2  # light sets in gradually: over 3 px, as a share of what it is inside
    soft_core: float = 0.7  # and so up to where it is this bright beside its brightest

    # Recognising a figure by how it goes.
    hits: int = 3
    hits_rain: int = 5
    watch_s: float = 1.05
    watch_long_s: float = 3.0
    travel_px: float = 3.0
    travel_size: float = 0.25  # of its smaller side
    straight: float = 0.5
    straight_long: float = 0.7
    big_times: float = 4.0  # a thing this many times the least area needs to be seen less long
    big_s: float = 0.19
    small_s: float = 0.39
    rain_times: float = 3.0
    rain_patience: float = 1.6  # times as many sightings for what is smaller
    # In a restless place what is small and faint has to be followed for longer: leaves' shadows and glints travel, too.
    restless: float = 1.15  # thresholds around it, against those of the picture's quiet parts
    restless_times: float = 8.0  # least areas: what is larger is no leaf
    restless_strength: float = 2.0  # what is stronger is none either
    restless_s: float = 1.0
    restless_straight: float = 0.65  # it goes by no detours then
    restless_seen: float = 0.7  # share of the frames since its first in which it was there
    # What darts about has to be seen going somewhere: insects before the lens, chance finds of one place and another.
    dart_most_px: float = 24.0  # what is larger, by its longer side, does not
    dart_pace: float = 4.0  # times its longer side in a second: nobody runs as fast
    dart_hits: int = 5
    dart_straight: float = 0.9
    start_s: float = 1.5
    start_frames: int = 12
    start_travel: float = 8.0
    large_share: float = 0.01  # or by its sheer size, when it changes for a while without going anywhere
    large_s: float = 0.6
    large_hits: int = 5
    large_strength: float = 2.0
    large_fill: float = 0.35
    going_s: float = 3.0

    # Following it.
    reach_px: float = 4.0
    reach_px_s: float = 60.0
    reach_size: float = 0.5
    overlap: float = 0.25
    change: float = 4.5  # in area, from frame to frame
    change_inside: float = 9.0  # the same where the rectangles overlap
    velocity_mix: float = 0.4
    forget_s: float = 0.45
    forget_known_s: float = 1.0
    back_hits: int = 12  # up to this many sightings, motion began with the first of them
    linger_share: float = 0.1
    remnant_share: float = 0.1  # what stays in its place and is this small beside the visitor is leaves or a shadow
    visit_s: float = 15.0

    # Restless places: what goes to and fro for long over the same ground, and never came, is no visitor there.
    habit_s: float = 40.0  # of film it has cost: half a minute of motion, and what comes before and after it in a clip
    habit_rolls_s: float = 10.0  # before and after
    habit_pause_s: float = 8.0  # nothing has moved for this long: the clip is over, another one costs its rolls again
    habit_lull_s: float = 300.0  # nothing has moved for this long: the count begins anew
    habit_turns: float = 4.0  # it has gone back again this many times the extent of its ground: twice to and fro
    habit_reach: float = 2.5  # times its longer side: whoever gets further goes about
    habit_most: float = 0.35  # of the picture's height; larger things are never called restless: they may be callers
    habit_edge_px: float = 12.0  # from the edge: whoever comes in small, or is noticed a step late, is first seen here
    habit_growth: float = 1.6  # in area, from frame to frame: two things were joined, or one was torn
    habit_tied: float = 0.42  # share of the time that one spot is under it, as what hangs or stands there keeps to its
    habit_guest_s: float = 300.0  # whoever came from elsewhere has this long: a clip is full by then
    habit_seen: float = 0.02  # share of the time from which a spot belongs to the ground, not to the way there
    habit_margin_px: float = 3.0  # around it; no gust is quite like the last
    habit_keep_s: float = 900.0  # remembered for this long after something last moved there: lulls are shorter
    habit_fresh: float = 0.35  # share of a thing on other ground from which it is more than what moves there anyway
    habit_hold_s: float = 8.0  # who came into it is believed for this long without: as long as who stands still


CONSTANTS = Constants()
