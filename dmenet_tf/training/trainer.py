"""One training step of DMENet (Lee et al., CVPR 2019, section 3.3). Knows gradients, not files.

A batch is a dict of float32 tensors, images RGB in [0, 1]:
`synthetic` [N, H, W, 3] with `defocus` [N, H, W, 1]; `labelled` [N, H, W, 3] with `blurred`
[N, H, W, 1], 1 = blurred; `unlabelled` [N, H, W, 3] where D has a part. H and W are multiples of
16. In place of images a tuple of the encoder's features may stand (`cached_features.py`), where D
has none.

A step runs B forward ONCE, on all domains that a loss needs in one batch, where each domain is a
batch of its own to batch normalisation (`domains.py`). The moving statistics of B follow the domain
that `NetworkConfig.statistics` names, those kept beside it the other of the two (`averages.py`). D
learns from the features with the gradient stopped; then L_g is taken through the updated D, and B
and S follow.
"""

import contextlib
from typing import NamedTuple

import keras
import tensorflow as tf

from dmenet_tf import keras_versions, networks
from dmenet_tf.config import LossConfig, NetworkConfig, TrainingConfig
from dmenet_tf.networks.blur_estimation import encoder_layers, parts
from dmenet_tf.training import distribution, domains, losses
from dmenet_tf.training.calls import FasterSteps, Steps, is_jit_measured
from dmenet_tf.training.debugging import checked
from dmenet_tf.training.losses import AUXILIARY, loss_weights
from dmenet_tf.training.optimizers import Made, Updates, build_optimizer
from dmenet_tf.training.recomputation import recomputed_parts
from dmenet_tf.training.time_limit import TimeLimit
from dmenet_tf.weights.averages import Average, Statistics
from dmenet_tf.weights.vgg19_files import load_vgg19_weights

REAL = ("labelled", "unlabelled")


class Networks(NamedTuple):
    """The four networks; those that the configuration leaves out are None."""

    blur_estimation: keras.Model
    discriminator: keras.Model | None
    content: keras.Model | None
    sharpness: keras.Model | None


def build_networks(config: NetworkConfig) -> Networks:
    """The networks of `config.parts`; VGG19's weights in those of B's encoder and C of width 1.

    D and S have the decoder's width.
    """
    parts, (encoder, decoder), content = config.parts, config.widths, config.width_of_content
    calibration = networks.SHARPNESS_NETWORKS[config.sharpness_network]
    built = Networks(
        networks.build_blur_estimation(encoder, decoder),
        networks.build_domain_discriminator(decoder) if "D" in parts else None,
        networks.build_content_preservation(content) if content else None,
        calibration(decoder) if "S" in parts else None,
    )
    for model, width in ((built.blur_estimation, encoder), (built.content, content)):
        if width == 1.0:  # the only one that VGG19's weights have
            load_vgg19_weights(model, config.vgg_weights)
    if config.freeze_encoder:
        for layer in encoder_layers(built.blur_estimation):
            layer.trainable = False
    return built


class Trainer:
    """The networks, their two optimizers and the step counter, updated by `train_step`.

    `statistics`: the domain that B's own moving statistics follow, `synthetic` or `photos`.
    `time_limit`: of a run with `minutes`, which the loop keeps; else None.
    `prepare`: makes a batch of what a step is given, in its graph; gives a batch back as it is.
    """

    def __init__(
        self,
        networks: Networks,
        weights: LossConfig,
        training: TrainingConfig,
        steps_per_epoch: int,
        statistics: str = "synthetic",
    ):
        self.networks = networks
        self.weights = weights
        self.real = REAL[: 2 if networks.discriminator is not None else 1]
        if networks.discriminator is None and networks.sharpness is None:
            self.real = ()
        self.statistics = statistics
        self.other_statistics = Statistics(networks.blur_estimation) if self.real else None
        of_b = recomputed_parts if training.recompute else parts
        self._parts = of_b(networks.blur_estimation)
        self.average = None
        if training.average:
            self.average = Average(
                networks.blur_estimation, training.average, self.other_statistics
            )
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        # What is called a batch may be numbers that one is made of within the step.
        self.prepare = lambda batch: batch
        self.time_limit = TimeLimit(training.minutes) if training.minutes else None
        share = self.time_limit.share if self.time_limit else None
        self.generator_variables = list(networks.blur_estimation.trainable_variables)
        if networks.sharpness is not None:
            self.generator_variables += networks.sharpness.trainable_variables
        self.generator_optimizer = build_optimizer(
            training,
            steps_per_epoch,
            self.generator_variables,
            slowed=[
                variable
                for layer in encoder_layers(networks.blur_estimation)
                for variable in layer.trainable_variables
            ],
            share=share,
        )
        self.discriminator_optimizer = None
        if networks.discriminator is not None:
            self.discriminator_optimizer = build_optimizer(
                training, steps_per_epoch, networks.discriminator.trainable_variables, share=share
            )
        self._updates = Updates(self.generator_optimizer, self.discriminator_optimizer)
        # Nothing in a step depends on a tensor's value; without autograph it is traced faster.
        self.train_step, self.pretrain_step = (
            tf.function(
                distribution.replicated(
                    checked(step) if training.debug_nan else step, self._end_step
                ),
                jit_compile=training.jit == "on",
                autograph=False,
            )
            for step in (self._train_step, self._pretrain_step)
        )
        self._measured = is_jit_measured(training)

    def calls(self, pretraining: bool, steps: int):
        """`train_step` or `pretrain_step` on lists of batches; `steps` will be made of it."""
        plain = self.pretrain_step if pretraining else self.train_step
        if not self._measured:
            return Steps(plain)
        compiled = tf.function(plain.python_function, jit_compile=True, autograph=False)
        seconds = self.time_limit.left if self.time_limit else float("inf")
        return FasterSteps(Steps(plain), Steps(compiled), steps, seconds)

    def monitored(self) -> dict[str, float]:
        """The learning rate; with loss scaling, the scale and how many steps were left out."""
        optimizer = self.generator_optimizer
        values = {"learning_rate": keras_versions.learning_rate(optimizer)}
        scale = keras_versions.loss_scale(optimizer)
        if scale is not None:
            values |= {"loss_scale": float(tf.convert_to_tensor(scale))}
            values |= {"skipped_updates": float(self._updates.skipped.numpy())}
        return values

    def weight_norms(self) -> dict[str, float]:
        """L2 norm of each network's weights: NaN or infinite as soon as one of them is."""
        return {
            f"norm of the weights of {name}": float(
                tf.linalg.global_norm([tf.convert_to_tensor(v) for v in model.weights])
            )
            for name, model in self.networks._asdict().items()
            if model is not None
        }

    @contextlib.contextmanager
    def for_inference(self, statistics: str | None = None):
        """Within it, B is what inference takes: its average where one is kept.

        `statistics`: the domain to normalise by where it is not the run's own choice.
        """
        with contextlib.ExitStack() as stack:
            if self.average is not None:
                stack.enter_context(self.average.in_force())
            if statistics not in (None, self.statistics):
                stack.enter_context(self.other_statistics.in_force())
            yield self.networks.blur_estimation

    # --- the step ------------------------------------------------------------------------

    def _train_step(self, batch: dict) -> dict:
        """Updates D, then B and S. Returns the unweighted losses, L_g, L_d and D's accuracy."""
        batch, report, made = self.prepare(batch), {}, None
        with tf.GradientTape() as tape:
            estimates = self._estimate(batch, ("synthetic", *self.real))
            synthetic = estimates["synthetic"]
            real = {name: estimates[name] for name in self.real}
            if self.networks.discriminator is not None:
                with tape.stop_recording():
                    report, made = self._update_discriminator(synthetic, real)
            named = self._map_losses(synthetic, batch["defocus"])
            named |= self._calibration_losses(synthetic, real, batch)
            total = self._total(named)
            scaled = keras_versions.scale_loss(self.generator_optimizer, total)
        self._update_generator(tape, scaled, made)
        return named | report | {"L_g": total}

    def _estimate(self, batch: dict, names: tuple[str, ...]) -> dict:
        """B's outputs for each of these domains, all that a loss or a moving statistic needs.

        Two domains are followed, the synthetic one and labelled photos. A mixture of them would
        suit neither, and unlabelled photos resemble the labelled ones.
        """
        other = self.other_statistics.followers() if self.other_statistics else {}
        own = {"synthetic": "synthetic", "photos": "labelled"}[self.statistics]
        followers = {"synthetic": other, "labelled": other, "unlabelled": {}} | {own: None}
        labels = {"labelled"} if self.networks.sharpness is not None else set()
        return domains.estimate(
            self._parts,
            {name: batch[name] for name in names},
            followers,
            maps={"synthetic"} | labels,
            auxiliary_maps={"synthetic"} | (labels if self.weights.lambda_sharpness_aux else set()),
        )

    def _end_step(self) -> None:
        if self.average is not None:
            self.average.follow(self.step)
        self.step.assign_add(1)

    def _pretrain_step(self, batch: dict) -> dict:
        """Updates B alone, from its map and its auxiliary heads on synthetic images."""
        batch = self.prepare(batch)
        with tf.GradientTape() as tape:
            synthetic = self._estimate(batch, ("synthetic",))["synthetic"]
            named = self._map_losses(synthetic, batch["defocus"])
            total = self._total(named)
            scaled = keras_versions.scale_loss(self.generator_optimizer, total)
        self._update_generator(tape, scaled)
        return named | {"L_g": total}

    # --- L_d -----------------------------------------------------------------------------

    def discriminator_losses(self, synthetic: dict, real: dict) -> tuple[dict, tf.Tensor]:
        """The terms of L_d from B's outputs, no gradient into B; and D's accuracy."""
        named, correct = {}, []
        features = {"synthetic": synthetic["feature"]}
        features |= {f"real_{name}": outputs["feature"] for name, outputs in real.items()}
        stopped = {name: tf.stop_gradient(feature) for name, feature in features.items()}
        for name, logits in self._discriminate(stopped).items():
            is_synthetic = name == "synthetic"
            named[f"d_{name}"] = losses.discriminator_loss(logits, is_synthetic)
            correct.append(tf.reduce_mean(tf.cast((logits > 0) == is_synthetic, tf.float32)))
        # Half for the synthetic domain, half for the two real ones: 0.5 is chance.
        return named, 0.5 * correct[0] + 0.5 * tf.reduce_mean(tf.stack(correct[1:]))

    def _discriminate(self, features: dict) -> dict:
        """D's logits of each domain's feature, normalised by that domain's own batch."""
        network = self.networks.discriminator
        return domains.forward(lambda feature: network(feature, training=True), features)

    def _update_discriminator(self, synthetic: dict, real: dict) -> tuple[dict, Made | None]:
        optimizer = self.discriminator_optimizer
        variables = self.networks.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            named, accuracy = self.discriminator_losses(synthetic, real)
            total = self._total(named)
            scaled = keras_versions.scale_loss(optimizer, total)
        gradients = distribution.mean(tape.gradient(scaled, variables))
        made = distribution.once(
            lambda *values: self._updates.discriminator(values, variables), *gradients
        )
        return named | {"L_d": total, "d_accuracy": accuracy}, made

    # --- L_g -----------------------------------------------------------------------------

    def _map_losses(self, synthetic: dict, defocus: tf.Tensor) -> dict:
        kind = self.weights.map_loss
        named = {"defocus": losses.defocus_loss(synthetic["defocus"], defocus, kind)}
        return named | {
            name: losses.auxiliary_loss(synthetic[name], defocus, kind)
            for name in AUXILIARY
            if self.weights.lambda_aux
        }

    def _calibration_losses(self, synthetic: dict, real: dict, batch: dict) -> dict:
        networks, named = self.networks, {}
        if networks.content is not None:
            # Not in one batch: the gradient through it would be computed for the truth, too.
            truth = networks.content(batch["defocus"], training=False)
            predicted = networks.content(synthetic["defocus"], training=False)
            named["content"] = losses.content_loss(predicted, truth)
        if networks.sharpness is not None:
            logits = networks.sharpness(real["labelled"]["defocus"], training=True)
            named["sharpness"] = losses.sharpness_loss(logits, batch["blurred"])
            if self.weights.lambda_sharpness_aux:
                named["sharpness_aux"] = self._auxiliary_sharpness(real["labelled"], batch)
        if networks.discriminator is not None:
            features = {name: outputs["feature"] for name, outputs in real.items()}
            fooled = [
                losses.adversarial_loss(logits) for logits in self._discriminate(features).values()
            ]
            named["adversarial"] = tf.add_n(fooled) / len(fooled)
        return named

    def _auxiliary_sharpness(self, labelled: dict, batch: dict) -> tf.Tensor:
        terms = []
        for name in AUXILIARY:
            logits = self.networks.sharpness(labelled[name], training=True)
            label = losses.resize_nearest(batch["blurred"], tf.shape(logits)[1:3])
            terms.append(losses.sharpness_loss(logits, label))
        return tf.add_n(terms) / len(terms)

    def _total(self, named: dict) -> tf.Tensor:
        weights = loss_weights(self.weights)
        return tf.add_n([weights[name] * value for name, value in named.items()])

    def _update_generator(self, tape: tf.GradientTape, scaled: tf.Tensor, made=None) -> None:
        gradients = tape.gradient(scaled, self.generator_variables)
        # Parts that this phase or ablation leaves out have no gradient: S, the auxiliary heads.
        reached = [
            (gradient, variable)
            for gradient, variable in zip(gradients, self.generator_variables, strict=True)
            if gradient is not None
        ]
        gradients, variables = zip(*reached, strict=True)
        distribution.once(
            lambda *values: self._updates.generator(values, variables, made),
            *distribution.mean(gradients),
        )
