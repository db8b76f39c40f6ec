"""models.config: what is known is read, anything else is refused."""

from pathlib import Path

import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra [serving]")

from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.model_config import PLATFORM, ConfigError, models_in, read_config
from tests.support.tiny_models import write_model

# No deadline: how fast the machine is proves nothing.
VERSIONS = st.integers(1, 2**63 - 1)
COUNTS = st.integers(1, 2**32 - 1)
NAMES = st.text("abcxyz-_. 0\"'\\é", min_size=1)
ENTRY = 'config {{ name: "{0}" base_path: "{0}" model_platform: "tensorflow" {1} }}'


def write(tmp_path, *entries: str) -> Path:
    path = tmp_path / "models.config"
    path.write_text("model_config_list { " + " ".join(entries) + " }")
    return path


def test_several_models_with_policies_and_labels(tmp_path):
    path = write(
        tmp_path,
        ENTRY.format("a", ""),
        ENTRY.format("b", "model_version_policy { latest { num_versions: 2 } }"),
        ENTRY.format("c", "model_version_policy { all {} }"),
        ENTRY.format(
            "d",
            "model_version_policy { specific { versions: 3 versions: 7 } } "
            'version_labels { key: "stable" value: 3 } version_labels { key: "canary" value: 7 }',
        ),
    )
    a, b, c, d = read_config(path)
    versions = [1, 3, 5, 10]
    assert a.wanted(versions) == {10}
    assert b.wanted(versions) == {5, 10}
    assert c.wanted(versions) == set(versions)
    assert d.wanted(versions) == {3}
    assert d.labels == {"stable": 3, "canary": 7}
    assert a.folder == tmp_path / "a"  # relative to the file


def test_an_absolute_path_stays(tmp_path):
    path = write(tmp_path, 'config { name: "a" base_path: "/m/a" model_platform: "tensorflow" }')
    assert read_config(path)[0].folder == Path("/m/a")


@pytest.mark.parametrize(
    "entry, why",
    [
        ('config { base_path: "a" model_platform: "tensorflow" }', "name and a base_path"),
        ('config { name: "a" model_platform: "tensorflow" }', "name and a base_path"),
        ('config { name: "a" base_path: "a" }', "model_platform must be"),
        ('config { name: "a" base_path: "a" model_platform: "onnx" }', "model_platform must be"),
        (ENTRY.format("a", "logging_config {}"), "received logging_config"),
        (ENTRY.format("a", "model_version_policy { specific {} }"), "must name versions"),
        (ENTRY.format("a", 'version_labels { key: "x" value: 0 }'), "at least 1"),
        (ENTRY.format("gs://bucket/a", ""), "local folder"),
        (ENTRY.format("a", "") + ENTRY.format("a", ""), "a twice"),
        ("config { nome: 1 }", "text form"),
        ("", "received none"),
    ],
)
def test_what_it_does_not_know_it_refuses(tmp_path, entry, why):
    path = write(tmp_path, entry)
    with pytest.raises(ConfigError, match=why) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))


def test_other_kinds_of_configuration_are_refused(tmp_path):
    path = tmp_path / "models.config"
    path.write_text("custom_model_config {}")
    with pytest.raises(ConfigError, match="received custom_model_config"):
        read_config(path)
    with pytest.raises(ConfigError, match="must be readable"):
        read_config(tmp_path / "none.config")


def test_a_folder_of_models(tmp_path):
    write_model(tmp_path / "b", 1)
    (tmp_path / "a").mkdir()
    (tmp_path / ".hidden").mkdir()
    assert [(m.name, m.folder, m.latest) for m in models_in(tmp_path)] == [
        ("a", tmp_path / "a", 1),
        ("b", tmp_path / "b", 1),
    ]


def test_a_folder_that_is_none_of_models(tmp_path):
    with pytest.raises(ConfigError, match="dmenet export"):
        models_in(tmp_path)
    write_model(tmp_path / "dmenet", 1)
    for folder in (tmp_path / "dmenet", tmp_path / "dmenet" / "1"):
        with pytest.raises(ConfigError, match="folder of models"):
            models_in(folder)
    with pytest.raises(ConfigError, match="there is no folder"):
        models_in(tmp_path / "none")


# --- any configuration --------------------------------------------------------------------------


def written(folder, name="a", base_path="a", **fields) -> Path:
    """A file with one model, by the official message, so that text is escaped as it must be."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=base_path, model_platform=PLATFORM, **fields
    )
    path = folder / "models.config"
    path.write_text(text_format.MessageToString(config, as_utf8=True), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of files that are written anew by each of a test's many calls."""
    return tmp_path_factory.mktemp("configs")


@given(name=NAMES, base_path=NAMES, labels=st.dictionaries(NAMES, VERSIONS, max_size=4))
def test_names_and_labels_are_read_as_they_were_written(folder, name, base_path, labels):
    (model,) = read_config(written(folder, name, base_path, version_labels=labels))
    assert (model.name, model.folder, model.labels) == (name, folder / base_path, labels)


@given(found=st.sets(VERSIONS), count=COUNTS, asked=st.sets(VERSIONS, min_size=1))
def test_a_policy_chooses_among_the_versions_that_are_there(folder, found, count, asked):
    def wanted(policy):
        (model,) = read_config(written(folder, model_version_policy=policy))
        return model.wanted(found)

    assert wanted({"all": {}}) == found
    assert wanted({"specific": {"versions": asked}}) == found & asked
    assert wanted({}) == {*sorted(found)[-1:]}
    latest = wanted({"latest": {"num_versions": count}})
    assert latest <= found and len(latest) == min(count, len(found))
    assert all(kept > left for kept in latest for left in found - latest)


WORDS = (
    *("model_config_list", "config", "name", "base_path", "model_version_policy", "specific"),
    *("versions", "latest", "{", "}", ":", '"a"', "7", "#", "\n"),
)


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS)).map(" ".join)))
def test_any_text_is_read_or_refused_with_its_name(folder, text):
    path = folder / "any.config"
    path.write_text(text, encoding="utf-8")
    try:
        assert read_config(path)
    except ConfigError as error:
        assert str(error).startswith(str(path))
