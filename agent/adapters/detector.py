"""Runs a detection model on what moves, in a thread of its own that nobody waits for.

Owns onnxruntime: one thread that sleeps when it has nothing to do, at a lower priority than recording. At most one look
waits; while it does, others are not taken. A model or runtime that fails is said once and never tried again: recording
goes on without labels. What the numbers mean is agent/core/detection.py's.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.core.detection import Floats, Layout, Look, Seen, Shown, show, sightings
from agent.core.errors import Corrupt, Unavailable

log = logging.getLogger(__name__)

_NICENESS: Final = 5
_NO_RUNTIME: Final = (
    "it needs onnxruntime, which is not installed here; 'sudo scripts/install' adds it ('scripts/environment dev' "
    "where nothing is installed)"
)


class DetectorState(Enum):
    """What a detector is doing, for the status line."""

    STARTING = "starting"
    ON = "on"
    FAILED = "failed"


class Model:
    """A model file, loaded. Unavailable where there is no runtime, Corrupt where the file is no model of `layout`."""

    def __init__(self, path: Path, layout: Layout) -> None:
        try:
            import onnxruntime
        except ImportError as e:
            raise Unavailable(_NO_RUNTIME) from e
        runtime = onnxruntime.capi.onnxruntime_pybind11_state
        # onnxruntime has no base class for its errors; these are what a file or a run can raise.
        self._errors: tuple[type[Exception], ...] = (
            runtime.Fail, runtime.InvalidArgument, runtime.InvalidGraph, runtime.InvalidProtobuf, runtime.NoSuchFile,
            runtime.NotImplemented, runtime.RuntimeException, runtime.EPFail, ValueError, RuntimeError,
        )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Both keep memory between looks that a small machine needs elsewhere; a look takes a fifth longer without them.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except self._errors as e:
            raise Corrupt(f"{path} is not a model that can be run ({_first_line(e)}); fetch it again") from e
        self._layout = layout
        self._input = self._checked_input(path)

    def _checked_input(self, path: Path) -> str:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        wanted = [1, 3, self._layout.height, self._layout.width]
        if len(inputs) != 1 or len(outputs) != 1 or list(inputs[0].shape) != wanted:
            raise Corrupt(f"{path} is not a model of YOLOX's layout for pictures of {wanted[3]} × {wanted[2]}")
        return str(inputs[0].name)

    def run(self, shown: Shown) -> Floats:
        """The model's numbers for what it is shown. Corrupt if the runtime refuses."""
        try:
            found: list[Any] = self._session.run(None, {self._input: shown.tensor})
        except self._errors as e:
            raise Corrupt(f"the model cannot be run ({_first_line(e)}); fetch it again") from e
        return np.asarray(found[0], np.float32)


class Detector:
    """Recognises what is shown to it (onlooker.Sight). Loading begins at once, in the detector's own thread.

    `patient`: `offer` waits until the look is taken and `settle` until all are answered, so that footage gets the same
    labels however fast the machine is; a live doorbell must not wait.
    """

    def __init__(self, path: Path, layout: Layout, *, patient: bool = False) -> None:
        self._path = path
        self._layout = layout
        self._patient = patient
        self._waiting: queue.Queue[Look | None] = queue.Queue(maxsize=1)
        self._seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self.state = DetectorState.STARTING
        self._thread = threading.Thread(target=self._work, name="detector", daemon=True)
        self._thread.start()

    def offer(self, look: Look) -> bool:
        """Take a look; False if another one still waits, or the detector has failed."""
        if self.state is DetectorState.FAILED:
            return False
        try:
            self._waiting.put(look, block=self._patient)
        except queue.Full:
            return False
        return True

    def seen(self) -> list[Seen]:
        """What was finished since this was last called, in order."""
        return [self._seen.get() for _ in range(self._seen.qsize())]

    def settle(self) -> None:
        """Answer everything that was taken, if nothing is to be missed."""
        if self._patient:
            self._waiting.join()

    def close(self) -> None:
        """End the thread, after the look at hand."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        # Who runs us may be humbler already, and only root may be less so again.
        us = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, us, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, us)))
        model = self._loaded()
        # What is offered to a detector that has failed meanwhile is taken and forgotten: nobody waits for ever.
        while (look := self._waiting.get()) is not None:
            if model is not None and not self._answer(model, look):
                model = None
            self._waiting.task_done()
        self._waiting.task_done()

    def _loaded(self) -> Model | None:
        try:
            model = Model(self._path, self._layout)
        except (Corrupt, Unavailable) as e:
            self._fail(e)
            return None
        self.state = DetectorState.ON
        log.info("the detector uses %s", self._path.name)
        return model

    def _answer(self, model: Model, look: Look) -> bool:
        assert look.frame.picture is not None, "only frames with a picture are looked at"
        shown = show(look.frame.picture(), look.moving, self._layout)
        try:
            found = sightings(model.run(shown), self._layout, shown)
        except Corrupt as e:
            self._fail(e)
            return False
        self._seen.put(Seen(look, found))
        return True

    def _fail(self, error: Exception) -> None:
        self.state = DetectorState.FAILED
        log.warning("clips get no labels, the detector does not work: %s", error)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160]
