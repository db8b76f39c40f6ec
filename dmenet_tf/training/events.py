"""What TensorBoard shows, as summaries: pictures, text, hyperparameters, curves, histograms.

Each function returns values of one summary, or the summary of one plugin, for `monitoring`, which
writes them. HParams' experiment (which settings and figures there are) and session (the settings of
this run) have tags of their own; a run's final figures are the last points of its scalars.
"""

import tensorflow as tf
from tensorboard.plugins.histogram.summary import pb as histogram_pb
from tensorboard.plugins.hparams import summary as sessions
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.pr_curve.summary import raw_data_pb

from dmenet_tf.metrics import ThresholdCounts, precision_recall

Summary = tf.compat.v1.Summary
HPARAMS = "_hparams_/"  # how the tags of the plugin begin


def picture(tag: str, pixels) -> Summary:
    """uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    png = tf.io.encode_png(pixels).numpy()
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def text(tag: str, lines: str) -> Summary:
    """A block of text, shown as it is."""
    # Indentation marks a Markdown code block and, unlike a fence, no text can end it.
    block = "\n".join("    " + line for line in lines.splitlines())
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="text")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
    tensor = tf.make_tensor_proto(block, dtype=tf.string)
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)])


def settings(values: dict, figures: list[str]) -> list[Summary]:
    """Of HParams: what a run was made with, and the tags of the scalars that it is judged by.

    values: {name: value} of nested dicts, as a configuration is saved.
    """
    flat = _flat(values)
    columns = [hparams.HParam(name) for name in flat]
    metrics = [hparams.Metric(tag) for tag in figures]
    return [
        _own(hparams.hparams_config_pb(columns, metrics)),
        _own(hparams.hparams_pb(flat)),
    ]


def ended() -> Summary:
    """Of HParams: the run reached its last step."""
    return _own(sessions.session_end_pb(STATUS_SUCCESS))


def is_of_settings(event) -> bool:
    """Whether an event holds nothing but HParams; a resumed run writes its own."""
    values = event.summary.value
    return bool(values) and all(value.tag.startswith(HPARAMS) for value in values)


def precision_recall_curve(tag: str, counts: ThresholdCounts) -> Summary:
    """Of "blurred" at evenly spaced thresholds over [0, 1] (`metrics.threshold_counts`)."""
    precision, recall = precision_recall(counts)
    pixels, hits = int(counts.called[0]), counts.hits
    false_positives, false_negatives = counts.called - hits, counts.blurred - hits
    true_negatives = pixels - counts.blurred - false_positives
    rates = hits, false_positives, true_negatives, false_negatives, precision, recall
    return _own(raw_data_pb(tag, *rates, num_thresholds=len(hits)), tag)


def histogram(tag: str, values) -> Summary:
    """Values of any shape."""
    return _own(histogram_pb(tag, values), tag)


def _flat(values: dict, prefix: str = "") -> dict:
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float | str):
            flat[prefix + name] = value
        elif value is not None:  # lists; HParams takes no other type
            flat[prefix + name] = " ".join(map(str, value))
    return flat


def _own(other, tag: str | None = None) -> Summary:
    """TensorBoard's own class of the same message; some of its functions add to the tag."""
    summary = Summary.FromString(other.SerializeToString())
    if tag is not None:
        summary.value[0].tag = tag
    return summary
