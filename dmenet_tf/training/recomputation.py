"""Gradient checkpointing of B: memory for time, so that larger crops fit.

Of B's parts only what leads from one segment to the next stays in memory until the gradient is
taken; what lies within a segment is computed again then (`tf.recompute_grad`). Segments are the
blocks of VGG19 between two poolings, the decoder, and each refinement block. Losses and gradients
are the same, and moving statistics follow a batch once.
"""

import itertools

import keras
import tensorflow as tf

from dmenet_tf.architecture import REFINEMENTS
from dmenet_tf.networks.blur_estimation import ENCODER_ENDS, Parts, parts
from dmenet_tf.networks.layers import batch_of_groups, groups_in_force


def recomputed_parts(model: keras.Model) -> Parts:
    """`parts(model)`, called alike, for training. The heads, which are small, stay as they are."""
    plain = parts(model)
    # What pools belongs to the segment after it: both of its ends are kept anyway.
    encoder = [model.input, *(model.get_layer(name).output for name in ENCODER_ENDS)]
    refined = [model.get_layer(f"refine{i}_add").output for i in range(REFINEMENTS)]
    refinement = [model.output["feature"], *refined, {"defocus": model.output["defocus"]}]
    return plain._replace(
        encoder=_chain(_models_between(encoder)),
        decoder=_segment(plain.decoder),
        refinement=_chain(_models_between(refinement), ends=False),
    )


def _models_between(tensors) -> list[keras.Model]:
    return [keras.Model(*ends) for ends in itertools.pairwise(tensors)]


def _chain(segments, ends=True):
    """Segments one after another: what each of them gives, or only the last one (not `ends`)."""
    segments = [_segment(model) for model in segments]

    def call(x, training=True):
        outputs = []
        for segment in segments:
            x = segment(x, training=training)
            outputs.append(x)
        return outputs if ends else x

    return call


def _segment(model):
    def call(inputs, training=True):
        groups, calls, structure = groups_in_force(), [], []

        def forward(*tensors):
            # Called a second time for the gradient, when the batch has been followed already.
            again = [group._replace(followers={}) for group in groups]
            packed = tf.nest.pack_sequence_as(inputs, tensors)
            with batch_of_groups(again if calls else groups):
                outputs = model(packed, training=training)
            calls.append(len(calls))
            structure[:] = [outputs]
            return tuple(tf.nest.flatten(outputs))

        flat = tf.recompute_grad(forward)(*tf.nest.flatten(inputs))
        return tf.nest.pack_sequence_as(structure[0], flat)

    return call
