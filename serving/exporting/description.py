"""What an exported model says about itself."""

from dmenet_tf.prediction.metadata import Metadata
from dmenet_tf.weights.load import TrainedModel
from serving import contract


def model_fields(trained: TrainedModel, recommended_side: int | None = None) -> dict:
    """The model's description in each reply (`contract.MODEL`), and in a file's metadata."""
    fields = Metadata.of(trained).as_dict()
    if recommended_side is not None:
        fields[contract.RECOMMENDED_SIDE] = recommended_side
    if not fields.get(contract.RECOMMENDED_SIDE):
        fields.pop(contract.RECOMMENDED_SIDE, None)
    return fields
