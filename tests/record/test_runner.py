"""The runner: executed notebooks are the same bytes every time, and what is wrong is one clear error."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from experiments.record.notebook import changed_parameters, normalise, parameters

ROOT = Path(__file__).parents[2]
RUNNER = ROOT / "experiments" / "run.py"
SPEAKING = """
import sys
from experiments.record.publish import publish
publish({"count": str(repeats)})
print("progress", file=sys.stderr)
print(object())
object()
"""


def notebook(*sources, tags=(("parameters",),)):
    """A notebook of code cells; the first ones carry the tags."""
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in sources]
    for cell, names in zip(cells, tags, strict=False):
        cell.metadata.tags = list(names)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# Title"), *cells], metadata={"kernelspec": kernel}
    )


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A project with the runner and one notebook; the runner works on the tree it lies in."""
    for variable in ("ZENLIB_RESULTS", "ZENLIB_FIGURES"):
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    (tmp_path / "experiments").mkdir()
    shutil.copy(RUNNER, tmp_path / "experiments" / "run.py")
    add(tmp_path, "01_speaking", notebook("repeats = 2", SPEAKING))
    profile(tmp_path, "smoke", "{repeats: 3}\n")
    profile(tmp_path, "cpu", "{}\n")
    return tmp_path


def chapter(house, stem):
    return house / "experiments" / "chapters" / stem.partition("_")[2]


def add(house, stem, content):
    """A chapter: its folder, and its line in the contents."""
    chapter(house, stem).mkdir(parents=True, exist_ok=True)
    nbformat.write(content, chapter(house, stem) / "notebook.ipynb")
    (house / "book").mkdir(exist_ok=True)
    contents = house / "book" / "_toc.yml"
    text = contents.read_text() if contents.exists() else "parts:\n  - chapters:\n"
    contents.write_text(text if stem in text else f"{text}      - file: studies/{stem}\n")


def profile(house, name, text, stem="01_speaking"):
    (chapter(house, stem) / f"{name}.yaml").write_text(text)


def load(house):
    spec = importlib.util.spec_from_file_location("run", house / "experiments" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(house, *arguments):
    return load(house).main(arguments)


def smoke_output(house, stem="01_speaking"):
    return house / "build" / "smoke" / "studies" / f"{stem}.ipynb"


def test_a_rerun_gives_the_same_bytes(house):
    assert run(house, "--profile", "smoke") == 0
    first = smoke_output(house).read_bytes()
    assert run(house, "--profile", "smoke", "--fresh") == 0
    assert smoke_output(house).read_bytes() == first


def test_an_executed_notebook_keeps_facts_and_results_and_nothing_that_varies(house):
    assert run(house, "--profile", "smoke") == 0
    executed = nbformat.read(smoke_output(house), as_version=4)
    nbformat.validate(executed)
    defaults, injected, speaking = executed.cells[1:]
    assert [cell.id for cell in executed.cells] == ["cell-00", "cell-01", "cell-02", "cell-03"]
    assert [cell.execution_count for cell in (defaults, injected, speaking)] == [1, 2, 3]
    assert "repeats = 3" in injected.source
    fact, printed, shown = speaking.outputs
    assert fact.metadata.scrapbook.name == "count"
    assert fact.data == {"application/papermill.record/text/plain": "'3'"}
    assert printed.text == "<object object at 0x...>\n"
    assert shown.data["text/plain"] == "<object at 0x...>"
    assert "papermill" not in executed.metadata and all(
        "papermill" not in cell.metadata for cell in executed.cells
    )
    assert "version" not in executed.metadata.language_info


def test_the_smoke_profile_touches_nothing_that_is_committed(house):
    assert run(house, "--profile", "smoke") == 0
    assert not (house / "book" / "studies").exists() and not (house / "elsewhere").exists()


def test_a_profile_that_repeats_the_defaults_injects_no_cell(house):
    assert run(house, "--profile", "cpu") == 0
    executed = nbformat.read(house / "book" / "studies" / "01_speaking.ipynb", as_version=4)
    assert [cell.source for cell in executed.cells][1] == "repeats = 2"
    assert len(executed.cells) == 3


def test_an_unknown_profile_lists_those_that_exist(house, capsys):
    assert run(house, "--profile", "tpu") == 2
    assert "profile: needed one of cpu, smoke, got 'tpu'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["{repeats: 3", "- repeats\n", "3\n", "\n", "3: repeats\n", "a\tb: :\n\t- c"]
)
def test_a_malformed_profile_is_named(house, capsys, text):
    profile(house, "broken", text)
    assert run(house, "--profile", "broken") == 2
    assert "broken.yaml: needed " in capsys.readouterr().err


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text", [BOMB, "[" * 100_000, "repeats: &x {y: *x}", "!!python/object/apply:os.getcwd []"]
)
def test_a_profile_that_would_fill_the_memory_or_run_code_is_named(house, capsys, text, tried):
    tried("profile that would fill the memory or run code")
    profile(house, "bomb", text)
    assert run(house, "--profile", "bomb") == 2
    assert "bomb.yaml: needed YAML, got " in (told := capsys.readouterr().err) and len(told) < 2000


def test_a_second_runner_of_a_profile_is_told_who_is_at_work(house, capsys, tried):
    tried("second search, training or runner begun in one folder")
    add(
        house,
        "01_speaking",
        notebook("repeats = 2", "import time; open('begun', 'w').close(); time.sleep(5)"),
    )
    command = [sys.executable, str(house / "experiments" / "run.py"), "--profile", "cpu"]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=house) as first:
        while not (house / "begun").exists():
            assert first.poll() is None
            time.sleep(0.05)
        assert run(house, "--profile", "cpu", "--only", "speaking") == 2
        told = capsys.readouterr().err
        assert f"book/studies is at work, got one that process {first.pid} on" in told
        assert first.wait(60) == 0
    assert not [*(house / "build").glob(".*")] and (house / "book" / "studies" / "01_speaking.ipynb").exists()


SLOW_ROWS = """
import os, sys
from pathlib import Path
os.environ["ZENLIB_RESULTS"] = "rows"
from tests.slow_table import keys, slow_table
print(len(slow_table(Path("log"), 0.15).fill(keys(0, 20), progress=False)))
"""


@pytest.mark.slow
def test_a_runner_that_is_killed_amid_rows_goes_on_and_computes_one_row_again_at_most(house, tried):
    tried("runner killed amid the rows of a notebook", 3)
    source = SLOW_ROWS.replace("import os, sys\n", f"import os, sys\nos.chdir({str(house)!r})\n")
    add(house, "01_speaking", notebook("repeats = 2", source))
    command = [sys.executable, str(house / "experiments" / "run.py"), "--profile", "cpu"]
    kills, done = 0, None
    while done != 0:
        with subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=house, start_new_session=True
        ) as runner:
            before = lines_of(house / "log")
            while (done := runner.poll()) is None and (kills >= 3 or lines_of(house / "log") < before + 3):
                time.sleep(0.02)
            if done is None:
                for kernel in psutil.Process(runner.pid).children(recursive=True):
                    kernel.kill()  # it would go on
                os.killpg(runner.pid, signal.SIGKILL)
                kills += 1
    assert kills == 3
    seeds = (house / "log").read_text().split()
    assert set(seeds) == set(map(str, range(20))) and len(seeds) <= 20 + kills


def lines_of(path):
    return path.read_text().count("\n") if path.exists() else 0


def test_a_notebook_that_does_not_exist_is_refused(house, capsys):
    assert run(house, "--profile", "cpu", "--only", "07_nothing") == 2
    add(house, "02_quiet", notebook("repeats = 2"))
    assert run(house, "--profile", "cpu", "--only", "quiet") == 2
    assert (
        capsys.readouterr().err.count("notebook: needed one that has a file of the profile (01_speaking)")
        == 2
    )


def test_a_chapter_without_a_line_in_the_contents_and_a_line_without_a_chapter_are_refused(house, capsys):
    contents = house / "book" / "_toc.yml"
    contents.write_text(contents.read_text().replace("01_speaking", "01_silent"))
    assert run(house, "--profile", "cpu") == 2
    assert "needed a line for each chapter, got none for speaking" in capsys.readouterr().err
    contents.write_text(contents.read_text() + "      - file: studies/02_speaking\n")
    assert run(house, "--profile", "cpu") == 2
    assert "got none for silent" in capsys.readouterr().err


def test_a_chapter_is_named_with_or_without_its_number(house):
    assert (
        [*load(house).select({"01_speaking": {}}, ["speaking"])]
        == [*load(house).select({"01_speaking": {}}, ["01_speaking"])]
        == ["01_speaking"]
    )


def test_starting_afresh_is_for_the_smoke_profile_only(house, capsys):
    assert run(house, "--profile", "cpu", "--fresh") == 2
    assert "fresh: needed profile smoke, got cpu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{repeat: 3}", "parameters: needed names among repeats, got repeat"),
        ("{repeats: many}", "repeats: needed int like the default 2, got 'many' (str"),
        ("{repeats: 2.5}", "repeats: needed int like the default 2, got 2.5 (float"),
    ],
)
def test_a_wrong_parameter_fails_before_anything_runs(house, capsys, section, message):
    profile(house, "smoke", f"{section}\n")
    assert run(house, "--profile", "smoke") == 1
    assert message in capsys.readouterr().err
    assert not smoke_output(house).exists()


def test_a_notebook_without_a_parameters_cell_fails(house, capsys):
    add(house, "01_speaking", notebook("repeats = 2", tags=()))
    assert run(house, "--profile", "smoke") == 1
    assert "needed one cell tagged `parameters`, got 0" in capsys.readouterr().err


def test_a_notebook_that_raises_leaves_the_old_one_and_stops_the_run(house, capsys):
    assert run(house, "--profile", "smoke") == 0
    before = smoke_output(house).read_bytes()
    add(house, "01_speaking", notebook("repeats = 2", "1 / 0"))
    add(house, "02_quiet", notebook("repeats = 2"))
    profile(house, "smoke", "{}\n")
    profile(house, "smoke", "{}\n", stem="02_quiet")
    assert run(house, "--profile", "smoke") == 1
    error = capsys.readouterr().err
    assert (
        "01_speaking: FAILED" in error
        and "ZeroDivisionError" in error
        and "1 of 2 notebooks failed: 01_speaking" in error
    )
    assert smoke_output(house).read_bytes() == before
    assert not smoke_output(house, "02_quiet").exists()

    assert run(house, "--profile", "smoke", "--keep-going") == 1
    assert smoke_output(house, "02_quiet").exists()


def test_a_kernel_that_dies_is_a_failure_like_any_other(house, capsys):
    add(house, "01_speaking", notebook("repeats = 2", "import os\nos._exit(1)"))
    assert run(house, "--profile", "smoke") == 1
    assert "01_speaking: FAILED\nKernel died" in capsys.readouterr().err


def test_notebooks_run_at_the_same_time_give_the_bytes_of_one_after_the_other(house, capsys):
    add(house, "02_quiet", notebook("repeats = 2", "1 / 0"))
    profile(house, "smoke", "{}\n")
    profile(house, "smoke", "{}\n", stem="02_quiet")
    assert run(house, "--profile", "smoke", "--only", "01_speaking") == 0
    before = smoke_output(house).read_bytes()
    capsys.readouterr()
    assert run(house, "--profile", "smoke", "--jobs", "2", "--fresh", "--keep-going") == 1
    assert smoke_output(house).read_bytes() == before and not smoke_output(house, "02_quiet").exists()
    told = capsys.readouterr()
    assert "ZeroDivisionError" in told.out and "1 of 2 notebooks failed: 02_quiet" in told.err


def test_a_notebook_has_one_thread_whatever_the_environment_holds(house, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    add(house, "01_speaking", notebook("repeats = 2", "import torch\nprint(torch.get_num_threads())"))
    profile(house, "smoke", "{}\n")
    assert run(house, "--profile", "smoke") == 0
    assert nbformat.read(smoke_output(house), as_version=4).cells[-1].outputs[0].text == "1\n"


def test_a_negative_number_of_jobs_is_refused(house, capsys):
    with pytest.raises(SystemExit):
        run(house, "--profile", "smoke", "--jobs", "-1")
    assert "--jobs: needed 0 or more notebooks at a time, got -1" in capsys.readouterr().err


def test_outputs_of_a_cell_tagged_remove_output_are_dropped_except_facts():
    cell = nbformat.v4.new_code_cell("run()", metadata={"tags": ["remove-output"]})
    fact = nbformat.v4.new_output(
        "display_data",
        {"application/papermill.record/text/plain": "3"},
        metadata={"scrapbook": {"name": "n"}},
    )
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="noise"),
        fact,
        nbformat.v4.new_output("display_data", {"image/png": "AAAA"}),
    ]
    assert normalise(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs == [fact]


def test_a_stream_that_arrived_in_pieces_is_one_output():
    cell = nbformat.v4.new_code_cell("run()")
    pieces = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("one\n", "two\n")]
    cell.outputs = [
        *pieces,
        nbformat.v4.new_output("display_data", {"text/plain": "3"}),
        nbformat.v4.new_output("stream", name="stdout", text="four\n"),
    ]
    outputs = normalise(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert [output.get("text") for output in outputs] == ["one\ntwo\n", None, "four\n"]


def test_parameters_are_literals_and_changes_are_found_among_lists_and_tables():
    source = notebook("sizes = (8, 16)\nalpha = 0.5\nlimit = None\nsets = {'a': [1, 2]}\nname = 'x'")
    assert parameters(source) == {
        "sizes": (8, 16),
        "alpha": 0.5,
        "limit": None,
        "sets": {"a": [1, 2]},
        "name": "x",
    }
    assert changed_parameters(source, {"sizes": [8, 16], "alpha": 1, "limit": 5, "sets": {"a": [1, 2]}}) == {
        "alpha": 1,
        "limit": 5,
    }
    for wrong in ({"sizes": 8}, {"sizes": ["8"]}, {"alpha": "1e-3"}, {"sets": [1]}, {"name": 3}):
        with pytest.raises(ValueError, match=r"needed .* like the default"):
            changed_parameters(source, wrong)


@pytest.mark.parametrize("source", ["repeats = 2 * 4", "a = b = 1", "import os", "x: int = 3"])
def test_a_parameters_cell_with_more_than_literals_is_refused(source):
    with pytest.raises(ValueError, match="parameters cell: needed lines like"):
        parameters(notebook(source))


def test_plain_papermill_runs_a_notebook_from_any_folder_with_the_parameters_of_a_profile(house, tmp_path):
    folder = chapter(house, "01_speaking")
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(folder / "notebook.ipynb"),
        "out.ipynb",
        "-k",
        "python3",
    ]
    subprocess.run(
        [*command, "-f", str(folder / "smoke.yaml")], cwd=tmp_path, check=True, capture_output=True
    )
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    assert outputs[0].data["application/papermill.record/text/plain"] == "'3'"
