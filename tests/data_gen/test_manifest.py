"""dataset.json and manifest.jsonl."""

from data_gen.dataset import manifest


def test_the_manifest_keeps_what_it_is_given(tmp_path):
    manifest.write_manifest(tmp_path, "generator", 7, seed=3)
    expected = {"version": 1, "encoding": "generator", "count": 7, "seed": 3}
    assert manifest.read_manifest(tmp_path) == expected


def test_lines_that_are_written_are_read_back_and_others_reported(tmp_path):
    about = [{"index": 3, "name": "größe"}, {"index": 0, "alpha_px": 1.5}]
    text = "".join(map(manifest.line_text, about))
    (tmp_path / manifest.MANIFEST_LINES).write_bytes((text + '{"index": 3}\n[1]\n').encode())
    lines, problems = manifest.read_lines(tmp_path)
    assert lines == {3: {"index": 3}, 0: about[1]}
    assert len(problems) == 2
    assert "line 3: index 3" in problems[0] and "line 4: must be a JSON object" in problems[1]
    assert manifest.read_lines(tmp_path / "none") == ({}, [])
