"""The commands of `dmenet` that this package declares (`data_gen/commands.py` says how)."""

from argparse import ArgumentParser
from types import ModuleType

from data_gen.commands import Command


def _train() -> ModuleType:
    from dmenet_tf import train

    return train


def _train_parser() -> ArgumentParser:
    """Without `dmenet_tf.train`, which imports TensorFlow: from the configuration, every field of
    which is an option."""
    import tyro

    from data_gen.command_line import parser_of
    from dmenet_tf.config import Config
    from dmenet_tf.presets import PRESETS

    parser = parser_of(Config, config=(tyro.conf.OmitArgPrefixes,))
    parser.add_argument("--run", help="folder of the run")
    parser.add_argument("--preset", choices=tuple(PRESETS))
    parser.add_argument("--config", help="a configuration file instead of a preset")
    parser.add_argument("--resume", action="store_true", help="continue the run in its folder")
    return parser


def _predict() -> ModuleType:
    from dmenet_tf import predict

    return predict


def _evaluate() -> ModuleType:
    from dmenet_tf import evaluate

    return evaluate


def _apply() -> ModuleType:
    from dmenet_tf.applications import command

    return command


train = Command(_train, "train the networks, or resume a run", parser=_train_parser)
predict = Command(_predict, "write the defocus maps of photos")
evaluate = Command(_evaluate, "measure by a protocol, write a report")
apply = Command(_apply, "magnify, refocus, depth, segment, deblur")
