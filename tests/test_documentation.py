"""The README and docs/: every command parses, what can run here runs, every link has a target.

A block of commands (```bash) or of Python (```python) is run in a folder that holds `photo.jpg`,
`photos/`, `more/` and `runs/demo`, a model of a few steps. One that cannot run is preceded by
`<!-- not run: why -->`; its `dmenet` commands must parse all the same.
"""

import re
import shlex

import pytest

from data_gen.io.images import write_png
from data_gen.scenes.photographs import load_photographs
from tests.support.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<why><!-- not run: [^>]+ -->\n)?```(?P<language>bash|python)\n(?P<text>.*?)```", re.S
)
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
OWN = "dmenet "


def blocks(language: str, run: bool) -> list:
    return [
        pytest.param(match["text"], id=f"{page.name}-{number}")
        for page in PAGES
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1)
        if match["language"] == language and (match["why"] is None) == run
    ]


def commands(text: str) -> list[list[str]]:
    """The words of each command of a block; comments are dropped and long lines joined."""
    joined = text.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, trained_run):
    """A folder as the pages assume it."""
    folder = tmp_path_factory.mktemp("documentation")
    photo = load_photographs()["chelsea"][:96, :128]
    for name in ("photo.jpg", "photos/a.png", "more/b.png"):
        write_png((folder / name).with_suffix(".png"), photo)
    (folder / "photo.png").rename(folder / "photo.jpg")
    (folder / "runs").mkdir()
    (folder / "runs" / "demo").symlink_to(trained_run)
    return folder


@pytest.mark.process
@pytest.mark.parametrize("text", blocks("bash", run=True))
def test_commands_run(text, workspace, monkeypatch):
    from dmenet_tf import cli

    monkeypatch.chdir(workspace)
    own = [words for words in commands(text) if words[0] == "dmenet"]
    for words in own:
        if words[1] == "completion":
            continue
        assert cli.main(words[1:]) == 0, shlex.join(words)
    others = {words[0] for words in commands(text)} - {"dmenet"}
    assert others <= {"make"}, f"how is {others} to be run?"


@pytest.mark.process
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page, workspace, monkeypatch):
    """The blocks of a page one after another, as in a notebook."""
    monkeypatch.chdir(workspace)
    names = {}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["language"] == "python" and not block["why"]:
            exec(compile(block["text"], page.name, "exec"), names)


@pytest.mark.parametrize("text", blocks("bash", run=False))
def test_commands_that_cannot_run_parse(text):
    from dmenet_tf import cli

    parser = cli.build_parser(with_options=True)
    for words in commands(text):
        if words[0] == "dmenet" and words[1:3] != ["synthesize", "dedup"]:  # of its own options
            parser.parse_args(words[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_targets(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}
            assert heading in slugs, target


def test_files_named_in_the_pages_exist():
    for page in PAGES:
        for name in re.findall(
            r"`((?:data_gen|dmenet_tf|serving|tests)/[\w/.]+\.\w+)`", page.read_text()
        ):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_first_screen_of_the_readme_answers_five_questions():
    """A terminal of 80 columns and 40 lines."""
    screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:40]
    bold = [line for line in screen if line.startswith("**")]
    assert len(bold) == 5
    for line in screen[: screen.index(bold[-1]) + 2]:
        assert len(line) <= 80, line
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160
