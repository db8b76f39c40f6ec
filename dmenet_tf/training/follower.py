"""The loop of a worker that is not the chief: it takes every step, and writes nothing."""

from dmenet_tf import console
from dmenet_tf.training.loop import Loop


class Follower(Loop):
    """Takes the steps of a run that another process logs, validates and saves.

    It stops where that one does: losses and weights, which it checks at the same steps, are equal.
    """

    def __init__(self, run, config, streams, trainer, checkpoints, group):
        super().__init__(run, config, streams, trainer, checkpoints, None, None, group)

    def _log(self, *_) -> None:
        pass

    def _validate(self, *_) -> tuple[None, dict]:
        return None, {}

    def _log_weights(self, _) -> None:
        pass

    def _save(self) -> None:
        pass

    def _finish(self, *_) -> None:
        pass

    def _list_skipped(self) -> None:
        for problem in self.streams.skipped:
            if problem not in self._told:
                console.note(f"skipped: {problem}")
                self._told.add(problem)
                self.skipped[problem] = None

    def _keep_state(self, _) -> str:
        return f"the first worker keeps the run, {self.run_dir}"
