"""Defocus maps from one photo: DMENet (Lee et al., CVPR 2019) on TensorFlow.

    import dmenet_tf

    estimator = dmenet_tf.load("runs/demo")
    result = estimator("photo.jpg")

`load` is all that is needed; `dmenet_tf.prediction.estimator` describes what it gives. Names are
imported when they are first used, and TensorFlow when weights are loaded.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmenet_tf.prediction.estimator import DefocusMap, Estimator, load

    __version__: str

__all__ = ["DefocusMap", "Estimator", "__version__", "load"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from dmenet_tf.prediction.metadata import program_version

        value = program_version()
    else:
        from dmenet_tf.prediction import estimator

        value = getattr(estimator, name)
    globals()[name] = value  # the next time, without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
