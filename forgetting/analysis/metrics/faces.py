"""How much of a face is left, and of whose: YuNet and SFace, from OpenCV's model zoo, run by onnxruntime.

YuNet: Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector". SFace: Zhong et al. 2021, "SFace: Sigmoid-Constrained
Hypersphere Loss for Robust Face Recognition". Both are in int8 as published; their constants are folded into float32 once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from forgetting.analysis.metrics.weights import onnx_network
from forgetting.dependencies import import_extra
from forgetting.engines.engine import Frame

SIDE = 640
"""The detector looks at so many pixels square."""

STRIDES = (8, 16, 32)
"""Pixels from one place to the next on the three grids on which it looks for faces of several sizes."""

PLACES = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where eyes, nose and corners of the mouth (x, y) lie in the 112 x 112 pixels that the recogniser looks at."""

SAME = 0.363
"""Cosine from which two pictures show the same person, as published with SFace."""

FACE = 0.6
"""Score from which a picture shows a face."""


@dataclass(frozen=True)
class DetectedFace:
    """The best face in a picture: ``score`` in [0, 1]; ``marks`` [5, 2] are eyes, nose and mouth (x, y) in pixels."""

    score: float
    marks: NDArray[np.float64]


def face(intact: Frame) -> Callable[[Frame], float]:
    """YuNet's score of the best face, in [0, 1]; from 0.6 on it is one."""
    return lambda frame: detect_face(frame).score


def identity(intact: Frame) -> Callable[[Frame], float]:
    """Cosine between what SFace says of this picture and of the intact one, in [-1, 1]; from 0.363 on it is the same person.

    Each is aligned by what YuNet takes for eyes, nose and mouth in it, as the threshold's authors did, be it ever so little of a face.
    """
    reference = embed_face(intact, detect_face(intact).marks)
    return lambda frame: float(reference @ embed_face(frame, detect_face(frame).marks))


def detect_face(frame: Frame) -> DetectedFace:
    """The best face of a picture [H, W, 3], however bad it is."""
    height, width = frame.shape[:2]
    seen = np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    blue_first = np.ascontiguousarray(
        seen[None, :, :, ::-1].transpose(0, 3, 1, 2), dtype=np.float32
    )
    session = _session("yunet")
    told = dict(
        zip(
            (one.name for one in session.get_outputs()),
            session.run(None, {"input": blue_first}),
            strict=True,
        )
    )
    best = DetectedFace(-1.0, np.zeros((5, 2)))
    for stride in STRIDES:
        score = np.sqrt(
            np.clip(told[f"cls_{stride}"], 0, 1) * np.clip(told[f"obj_{stride}"], 0, 1)
        )[0, :, 0]
        place = int(score.argmax())
        if score[place] > best.score:
            row, column = divmod(place, SIDE // stride)
            marks = (
                (told[f"kps_{stride}"][0, place].reshape(5, 2) + np.array((column, row)))
                * stride
                / SIDE
                * [width, height]
            )
            best = DetectedFace(float(score[place]), marks.astype(np.float64))
    return best


def embed_face(frame: Frame, marks: NDArray[np.float64]) -> NDArray[np.float32]:
    """[128] of unit length: what SFace says of the face whose eyes, nose and mouth are at ``marks``."""
    onto = similarity(marks, PLACES)
    # Looked at in whole steps of pixels, so that nothing between them is missed.
    step = max(1, int(1 / np.sqrt(abs(np.linalg.det(onto[:, :2])))))
    image = Image.fromarray(frame).reduce(step)
    back = np.linalg.inv(np.vstack((onto, [0, 0, 1])))[:2] / step
    small = image.transform(
        (112, 112), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BILINEAR
    )
    red_first = np.ascontiguousarray(
        np.asarray(small)[None].transpose(0, 3, 1, 2), dtype=np.float32
    )
    (said,) = _session("sface").run(None, {"data": red_first})
    unit: NDArray[np.float32] = said[0] / np.linalg.norm(said[0])
    return unit


def similarity(here: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, 3]: the rotation, scale and shift that bring points ``here`` [N, 2] nearest to those ``there``.

    Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns", equations 40 to 42.
    """
    a, b = here - here.mean(axis=0), there - there.mean(axis=0)
    left, strength, right = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    turn = (left * sign) @ right * (strength @ sign / max(a.var(axis=0).sum(), 1e-12))
    return np.column_stack((turn, there.mean(axis=0) - turn @ here.mean(axis=0)))


@cache
def _session(name: str) -> Any:
    runtime = import_extra("onnxruntime", "measures")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(
        str(onnx_network(name)), options, providers=["CPUExecutionProvider"]
    )
