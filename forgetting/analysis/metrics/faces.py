"""Whether a frame shows a face, and whose: YuNet and SFace of OpenCV's model zoo, by onnxruntime.

YuNet: Wu, Peng and Yu 2023, "YuNet: A Tiny Millisecond-level Face Detector". SFace: Zhong et al.
2021, "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition". Both are published
in int8; their constants are converted to float32 once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from forgetting.analysis.metrics.metric import Measure, Metric
from forgetting.analysis.metrics.picture import Picture
from forgetting.analysis.metrics.weights import onnx_network
from forgetting.dependencies import import_extra
from forgetting.engines.pixels import Frame
from forgetting.parts import part

SIDE = 640
"""Pixels of the square picture that the detector is given."""

STRIDES = (8, 16, 32)
"""Pixels between neighbours of the grids on which the detector scores faces of several sizes."""

TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Eyes, nose and corners of the mouth (x, y) in the 112 x 112 pixels of the recogniser."""

SAME_PERSON = 0.363
"""Cosine from which on two pictures show the same person, as published with SFace."""

IS_FACE = 0.6
"""Score from which on a picture shows a face."""


@part("metric/face")
@dataclass(frozen=True)
class FaceScore(Metric):
    """YuNet's score of the best face, in [0, 1]."""

    label: ClassVar[str] = "face (YuNet)"
    colour: ClassVar[str | None] = "#3d7f4b"
    colour_on_black: ClassVar[str | None] = "#7fce92"
    threshold: ClassVar[float | None] = IS_FACE
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnx")

    def bind(self, intact: Picture) -> Measure:
        """Return the measure; it raises a RequestError where onnxruntime is not installed."""
        return lambda picture: picture.derive(detect_face).score


@part("metric/identity")
@dataclass(frozen=True)
class IdentitySimilarity(Metric):
    """The cosine between SFace's embeddings of a frame and of the intact picture, in [-1, 1].

    Each face is aligned by the landmarks that YuNet detects in it, however low their score, as the
    threshold's authors did.
    """

    label: ClassVar[str] = "identity (SFace)"
    colour: ClassVar[str | None] = "#7a3b8f"
    colour_on_black: ClassVar[str | None] = "#c58ae0"
    threshold: ClassVar[float | None] = SAME_PERSON
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnx")

    def bind(self, intact: Picture) -> Measure:
        """Return the measure.

        Raises:
            RequestError: onnxruntime is not installed.
        """
        reference = _embed_best_face(intact)
        return lambda picture: float(reference @ _embed_best_face(picture))


@dataclass(frozen=True)
class DetectedFace:
    """The best face in a picture.

    Args:
        score: in [0, 1].
        marks: [5, 2], eyes, nose and corners of the mouth (x, y) in pixels.
    """

    score: float
    marks: NDArray[np.float64]


def detect_face(picture: Picture) -> DetectedFace:
    """Return the best face of a picture, however low its score."""
    frame = picture.frame
    height, width = frame.shape[:2]
    resized = np.asarray(Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    blue_first = np.ascontiguousarray(
        resized[None, :, :, ::-1].transpose(0, 3, 1, 2), dtype=np.float32
    )
    session = _session("yunet")
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"input": blue_first}), strict=True))
    best = DetectedFace(-1.0, np.zeros((5, 2)))
    for stride in STRIDES:
        class_score, object_score = outputs[f"cls_{stride}"], outputs[f"obj_{stride}"]
        score = np.sqrt(np.clip(class_score, 0, 1) * np.clip(object_score, 0, 1))[0, :, 0]
        index = int(score.argmax())
        if score[index] > best.score:
            row, column = divmod(index, SIDE // stride)
            offsets = outputs[f"kps_{stride}"][0, index].reshape(5, 2)
            marks = (offsets + np.array((column, row))) * stride / SIDE * [width, height]
            best = DetectedFace(float(score[index]), marks.astype(np.float64))
    return best


def embed_face(frame: Frame, marks: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return SFace's embedding [128], of unit length, of the face with these landmarks [5, 2]."""
    to_template = fit_similarity(marks, TEMPLATE)
    # The picture is first reduced by whole pixels, because bilinear sampling would skip pixels.
    step = max(1, int(1 / np.sqrt(abs(np.linalg.det(to_template[:, :2])))))
    image = Image.fromarray(frame).reduce(step)
    to_frame = np.linalg.inv(np.vstack((to_template, [0, 0, 1])))[:2] / step
    aligned = image.transform(
        (112, 112), Image.Transform.AFFINE, to_frame.ravel().tolist(), Image.Resampling.BILINEAR
    )
    red_first = np.ascontiguousarray(
        np.asarray(aligned)[None].transpose(0, 3, 1, 2), dtype=np.float32
    )
    (output,) = _session("sface").run(None, {"data": red_first})
    embedding: NDArray[np.float32] = output[0] / np.linalg.norm(output[0])
    return embedding


def _embed_best_face(picture: Picture) -> NDArray[np.float32]:
    """Return the embedding of the best face of a picture."""
    return embed_face(picture.frame, picture.derive(detect_face).marks)


def fit_similarity(
    points: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return rotation, scale and shift [2, 3] that bring points [N, 2] nearest to their targets.

    Umeyama 1991, "Least-Squares Estimation of Transformation Parameters Between Two Point
    Patterns", equations 40 to 42.
    """
    a, b = points - points.mean(axis=0), targets - targets.mean(axis=0)
    left, singular, right = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    linear = (left * sign) @ right * (singular @ sign / max(a.var(axis=0).sum(), 1e-12))
    return np.column_stack((linear, targets.mean(axis=0) - linear @ points.mean(axis=0)))


@cache
def _session(name: str) -> Any:
    runtime = import_extra("onnxruntime", "measures")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # More threads are no faster on networks as small as these, and they spin between two frames:
    # on two processors they take three to six times the processor time for the same bits.
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(
        str(onnx_network(name)), options, providers=["CPUExecutionProvider"]
    )
