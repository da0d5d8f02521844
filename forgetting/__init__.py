"""Films of a neural network forgetting.

The units of a trained image generator are ablated one after another, by a chosen strategy; every
degraded state is a frame.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgetting.ablation.curves import (
        Ease,
        Exponential,
        Gompertz,
        Keyframes,
        Linear,
        Never,
        Oscillator,
        Sigmoid,
        Steps,
    )
    from forgetting.ablation.operators.bending import (
        Amplify,
        Binarise,
        Chained,
        Freeze,
        Invert,
        Leak,
        NoiseMap,
        Quantise,
        Saturate,
        Shuffle,
        Swap,
    )
    from forgetting.ablation.operators.removal import Average, Level, Mean, Prune, Zero
    from forgetting.ablation.operators.spatial import (
        Blur,
        Dilate,
        Erode,
        Flip,
        Rotate,
        Scale,
        Shift,
        Spectral,
    )
    from forgetting.ablation.orderings.attribution import Importance, Semantic
    from forgetting.ablation.orderings.basic import Random, ScoreFile, Together
    from forgetting.ablation.orderings.combined import Layers, SequentialOrdering
    from forgetting.ablation.orderings.ordering import RankRequest
    from forgetting.ablation.orderings.regions import Spatial
    from forgetting.ablation.orderings.scores import Activation, Contribution, Magnitude
    from forgetting.ablation.orderings.similarity import Cluster, Contagion
    from forgetting.ablation.pacing import Perceptual, UnitPacing
    from forgetting.ablation.plan import Plan, Track, load_plan, save_plan
    from forgetting.ablation.schedules import Act, Schedule
    from forgetting.analysis.metrics.faces import FaceScore, IdentitySimilarity
    from forgetting.analysis.metrics.features import FeatureDistance
    from forgetting.analysis.metrics.flip import FlipDistance
    from forgetting.analysis.metrics.picture import Picture
    from forgetting.analysis.metrics.plain import (
        Colourfulness,
        HighFrequencyEnergy,
        MeanHue,
        MeanLuma,
        StepDistance,
        StructureDistance,
    )
    from forgetting.api.dreams import dream_film, dream_frames
    from forgetting.api.networks import FilmFile, Network, frames, load, make_plan, to_pil
    from forgetting.dreams.ascent import GradientAscent
    from forgetting.dreams.modes import Dive, StaticImage, VideoOverlay
    from forgetting.dreams.objectives import (
        ChannelMean,
        ClassLogit,
        Direction,
        Energy,
        Guide,
        SingleUnit,
    )
    from forgetting.dreams.sequences import LayerSequence, SceneSequence
    from forgetting.dreams.sources import (
        GeneratedFace,
        Photograph,
        PlainColour,
        StaticNoise,
        VideoSource,
    )
    from forgetting.errors import ForgettingError, RequestError
    from forgetting.models.checkpoints.foreign import CheckpointFile
    from forgetting.models.classifier_file import ClassifierFile
    from forgetting.models.classifier_zoo import NamedClassifier
    from forgetting.models.generator_zoo import NamedGenerator
    from forgetting.models.hooked import Hooked
    from forgetting.models.latents import Seed
    from forgetting.models.units import Layer, Units
    from forgetting.parts import part

__version__ = version("forgetting")

_MODULES = {
    "analysis.metrics.plain": (
        "Colourfulness HighFrequencyEnergy MeanHue MeanLuma StepDistance StructureDistance"
    ),
    "analysis.metrics.faces": "FaceScore IdentitySimilarity",
    "analysis.metrics.features": "FeatureDistance",
    "analysis.metrics.flip": "FlipDistance",
    "analysis.metrics.picture": "Picture",
    "api.dreams": "dream_film dream_frames",
    "dreams.ascent": "GradientAscent",
    "dreams.modes": "Dive StaticImage VideoOverlay",
    "dreams.objectives": "ChannelMean ClassLogit Direction Energy Guide SingleUnit",
    "dreams.sequences": "LayerSequence SceneSequence",
    "dreams.sources": "GeneratedFace Photograph PlainColour StaticNoise VideoSource",
    "models.checkpoints.foreign": "CheckpointFile",
    "models.classifier_file": "ClassifierFile",
    "models.classifier_zoo": "NamedClassifier",
    "models.generator_zoo": "NamedGenerator",
    "ablation.curves": (
        "Ease Exponential Gompertz Keyframes Linear Never Oscillator Sigmoid Steps"
    ),
    "ablation.operators.bending": (
        "Amplify Binarise Chained Freeze Invert Leak NoiseMap Quantise Saturate Shuffle Swap"
    ),
    "ablation.operators.removal": "Average Level Mean Prune Zero",
    "ablation.operators.spatial": "Blur Dilate Erode Flip Rotate Scale Shift Spectral",
    "ablation.orderings.attribution": "Importance Semantic",
    "ablation.orderings.basic": "Random ScoreFile Together",
    "ablation.orderings.combined": "Layers SequentialOrdering",
    "ablation.orderings.ordering": "RankRequest",
    "ablation.orderings.regions": "Spatial",
    "ablation.orderings.scores": "Activation Contribution Magnitude",
    "ablation.orderings.similarity": "Cluster Contagion",
    "ablation.pacing": "Perceptual UnitPacing",
    "ablation.plan": "Plan Track load_plan save_plan",
    "ablation.schedules": "Act Schedule",
    "api.networks": "FilmFile Network frames load make_plan to_pil",
    "errors": "ForgettingError RequestError",
    "models.hooked": "Hooked",
    "models.latents": "Seed",
    "models.units": "Layer Units",
    "parts": "part",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "Act", "Activation", "Amplify", "Average", "Binarise", "Blur", "Chained", "ChannelMean",
    "CheckpointFile", "ClassLogit", "ClassifierFile", "Cluster", "Colourfulness", "Contagion",
    "Contribution", "Dilate", "Direction", "Dive", "Ease", "Energy", "Erode", "Exponential",
    "FaceScore", "FeatureDistance", "FilmFile", "Flip", "FlipDistance", "ForgettingError",
    "Freeze", "GeneratedFace", "Gompertz", "GradientAscent", "Guide", "HighFrequencyEnergy",
    "Hooked", "IdentitySimilarity", "Importance", "Invert", "Keyframes", "Layer", "LayerSequence",
    "Layers", "Leak", "Level", "Linear", "Magnitude", "Mean", "MeanHue", "MeanLuma",
    "NamedClassifier", "NamedGenerator", "Network", "Never", "NoiseMap", "Oscillator",
    "Perceptual", "Photograph", "Picture", "PlainColour", "Plan", "Prune", "Quantise", "Random",
    "RankRequest", "RequestError", "Rotate", "Saturate", "Scale", "SceneSequence", "Schedule",
    "ScoreFile", "Seed", "Semantic", "SequentialOrdering", "Shift", "Shuffle", "Sigmoid",
    "SingleUnit", "Spatial", "Spectral", "StaticImage", "StaticNoise", "StepDistance", "Steps",
    "StructureDistance", "Swap", "Together", "Track", "UnitPacing", "Units", "VideoOverlay",
    "VideoSource", "Zero", "dream_film", "dream_frames", "frames", "load", "load_plan",
    "make_plan", "part", "save_plan", "to_pil",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a name when it is first used.

    Torch takes seconds to import, and help needs none of it.
    """
    if name in _HOMES:
        return getattr(import_module(f"forgetting.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'forgetting' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
