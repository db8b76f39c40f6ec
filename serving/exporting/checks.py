"""Checks of options before anything is loaded, and why nothing is published. No TensorFlow."""

from dmenet_tf.architecture import SIZE_MULTIPLE

MAX_VERSION = 2**63 - 1


class PublishError(ValueError):
    """Why nothing was published; the message states the rule."""


def check_version(version: int | None) -> None:
    """ValueError unless it can be a version; None lets the publisher choose."""
    if version is not None and not 0 < version <= MAX_VERSION:
        raise ValueError(f"a version must be a number from 1 to 2^63 - 1; received {version}")


def check_side(recommended_side: int | None) -> None:
    """ValueError unless photos can be reduced to it; 0 means full size, None no opinion."""
    if recommended_side not in (None, 0) and recommended_side < SIZE_MULTIPLE:
        raise ValueError(
            f"the max side must be at least {SIZE_MULTIPLE} px, or 0 for full size; "
            f"received {recommended_side}"
        )
