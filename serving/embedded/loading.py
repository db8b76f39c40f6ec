"""Loading and warming up a version, so that its first request is as fast as the rest.

The model's warm-up requests are replayed (`saved_model/warmup.py`), and each batch function runs
once.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.embedded import tensors
from serving.embedded.options import ServerOptions
from serving.embedded.scheduling import Batch
from serving.saved_model.session import LoadedModel, smallest_input
from serving.saved_model.warmup import read_warmup


def load(options: ServerOptions, folder: Path) -> LoadedModel:
    """The model of a version's folder, ready to answer.

    Raises an error of TensorFlow if the folder holds no complete model, and those of `warm_up`.
    """
    model = LoadedModel(folder, options.jobs, options.max_batch, options.threads)
    try:
        warm_up(model, folder)
    except BaseException:
        model.close()
        raise
    return model


def warm_up(model: LoadedModel, folder: Path) -> int:
    """Replays the model's own requests and runs each batch function; the number of requests.

    Raises ValueError, RequestError or an error of TensorFlow if a request fails.
    """
    count = 0
    for request in read_warmup(folder):
        signature = model.signature(request.model_spec.signature_name)
        signature.run(tensors.read_inputs(request.inputs, signature.inputs))
        count += 1
    _warm_batches(model)
    return count


def _warm_batches(model: LoadedModel) -> None:
    """A batch function makes its own copy of the graph at its first batch."""
    for signature in model.signatures.values():
        for size, place in signature.batches:
            batch = Batch(place, size, size)
            with ThreadPoolExecutor(size) as members:
                run = members.map(
                    lambda _, batch=batch, signature=signature: signature.run(
                        smallest_input(signature), batch
                    ),
                    range(size),
                )
                list(run)
