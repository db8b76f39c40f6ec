"""What a run's event files hold."""

import tensorflow as tf


def event_records(run_dir):
    """[(step, tag)] of all summaries in the run's event files, in the order of a reader."""
    return [
        (event.step, value.tag)
        for path in sorted(run_dir.glob("*tfevents*"))
        for event in map(
            tf.compat.v1.Event.FromString, tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        )
        for value in event.summary.value
    ]
