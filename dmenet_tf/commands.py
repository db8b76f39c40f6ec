"""The commands of `dmenet` that this package declares (`data_gen/commands.py` says how)."""

from types import ModuleType

from data_gen.commands import Command


def _train() -> ModuleType:
    from dmenet_tf import train

    return train


def _predict() -> ModuleType:
    from dmenet_tf import predict

    return predict


def _evaluate() -> ModuleType:
    from dmenet_tf import evaluate

    return evaluate


def _apply() -> ModuleType:
    from dmenet_tf.applications import command

    return command


def _pack() -> ModuleType:
    from dmenet_tf import pack

    return pack


train = Command(_train, "train the networks, or resume a run")
predict = Command(_predict, "write the defocus maps of photos")
evaluate = Command(_evaluate, "measure by a protocol, write a report")
apply = Command(_apply, "magnify, refocus, depth, segment, deblur")
pack = Command(_pack, "write trained weights as one small file")
