"""Execute the notebooks with the parameters of a profile and write what the book renders.

    python experiments/run.py --profile cpu                      all notebooks, from the rows that are stored
    python experiments/run.py --profile cpu --only 02_zen_score  one notebook
    python experiments/run.py --profile smoke --fresh            everything small, in build/smoke
    python experiments/run.py --profile cpu --jobs 2             two at a time, each with one thread
    python experiments/run.py --profile cpu --output build/again written there and not into the book
    python experiments/run.py status                             what is stored for every study
    python experiments/run.py merge FOLDER                       take in rows that another machine computed

Exit status: 0 when everything ran, 1 when a notebook failed, 2 for a wrong call.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from experiments.record import results_command
from experiments.record.chapters import chapters
from experiments.record.notebook import changed_parameters, normalise
from zenlib.durable import held, replace_file
from zenlib.errors import ResultsError
from zenlib.threads import ONE_THREAD, cores

EXPERIMENTS = Path(__file__).resolve().parent
ROOT = EXPERIMENTS.parent
SMOKE = ROOT / "build" / "smoke"
NESTED = 10
"""Most levels of a file of parameters."""
EXECUTED = ROOT / "build" / "executed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in (command.__name__ for command in results_command.COMMANDS):
        return results_command.main(words)
    options = read_options(words)
    try:
        profile = select(load_profile(options.profile), options.only)
        studies = output_folder(options.profile, options.fresh, options.output)
        with nullcontext() if options.part else alone(studies):
            prepare_output(options.profile, options.fresh, options.output)
            failed = run_apart(profile, options) if options.jobs > 1 else run_all(profile, studies, options)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if failed:
        print(f"{len(failed)} of {len(profile)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--profile", required=True, help="a file of parameters in the chapters' folders, without .yaml")
    add("--only", nargs="+", metavar="STEM", help="these notebooks only, e.g. 02_zen_score, or zen_score")
    add("--keep-going", action="store_true", help="run the other notebooks after one has failed")
    add("--output", type=Path, metavar="FOLDER", help="write notebooks and figures there, not into the book")
    add("--fresh", action="store_true", help="smoke only: forget the rows of earlier smoke runs")
    help_jobs = "notebooks at a time; 0 for as many as there are cores (default 1)"
    add("--jobs", type=int, default=1, metavar="N", help=help_jobs)
    add("--part", action="store_true", help=argparse.SUPPRESS)  # of a runner with several jobs
    options = parser.parse_args(arguments)
    if options.jobs < 0:
        parser.error(f"argument --jobs: needed 0 or more notebooks at a time, got {options.jobs}")
    options.jobs = min(options.jobs, cores()) or cores()
    return options


def notebooks() -> dict[str, Path]:
    """The source notebooks by the name of their page, such as "02_zen_score", in the order of the book."""
    return {stem: folder / "notebook.ipynb" for stem, folder in chapters(ROOT).items()}


def load_profile(name: str) -> dict[str, dict[str, Any]]:
    """Parameters by notebook stem, of the chapters that have a file of this profile.

    Raises:
        ValueError: for a profile that no chapter has, or a file that is not a mapping of parameters.
    """
    found = {stem: source.with_name(f"{name}.yaml") for stem, source in notebooks().items()}
    found = {stem: path for stem, path in found.items() if path.is_file()}
    if not found:
        existing = sorted(
            {path.stem for source in notebooks().values() for path in source.parent.glob("*.yaml")}
        )
        raise ValueError(f"profile: needed one of {', '.join(existing)}, got {name!r}")
    return {stem: read_parameters(path) for stem, path in found.items()}


def read_parameters(path: Path) -> dict[str, Any]:
    """The parameters in a file that papermill takes too: names and values.

    Raises:
        ValueError: it holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        _require_plain(text)
        wanted = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: needed YAML, got {' '.join(str(error).split())}") from error
    if not isinstance(wanted, dict) or not all(isinstance(name, str) for name in wanted):
        raise ValueError(
            f"{path}: needed names of parameters with values (`{{}}` for the defaults), got {wanted!r:.200}"
        )
    return wanted


def _require_plain(text: str) -> None:
    """Refuses YAML that is short and yet stands for any amount of data, or is nested without end."""
    depth = 0
    for token in yaml.scan(text):
        name = type(token).__name__
        depth += name.endswith("StartToken") - name.endswith("EndToken")
        if depth > NESTED or isinstance(token, yaml.AliasToken):
            raise yaml.YAMLError(f"an alias (*) or more than {NESTED} levels; write values out flatly")


def select(profile: dict[str, dict[str, Any]], only: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """The part of a profile that was asked for, in the order of the notebooks.

    One word may hold several stems.

    Raises:
        ValueError: for a stem without a notebook or without a file of the profile.
    """
    known = [stem for stem in notebooks() if stem in profile]
    by_name = {stem.partition("_")[2]: stem for stem in known}
    stems = [by_name.get(stem, stem) for word in only or profile for stem in word.split()]
    unknown = [stem for stem in stems if stem not in known]
    if unknown:
        raise ValueError(
            f"notebook: needed one that has a file of the profile ({', '.join(known)}), got "
            f"{', '.join(unknown)}"
        )
    return {stem: profile[stem] for stem in known if stem in stems}


def output_folder(profile: str, fresh: bool, output: Path | None = None) -> Path:
    """The folder for executed notebooks.

    The smoke profile keeps all that it writes apart from what is committed.
    """
    if output is not None:
        if profile == "smoke":
            raise ValueError("output: needed another profile, got smoke, which writes into build/smoke")
        return output.resolve() / "studies"
    if profile != "smoke":
        if fresh:
            raise ValueError(
                f"fresh: needed profile smoke, got {profile}; delete a table's two files to compute its rows "
                "again"
            )
        return ROOT / "book" / "studies"
    return SMOKE / "studies"


def alone(studies: Path) -> AbstractContextManager[None]:
    """Keeps other runners from a folder of executed notebooks."""
    name = "_".join(studies.parts[1:])
    return held(ROOT / "build" / f".{name}.lock", f"runner that writes to {studies}", ResultsError)


def prepare_output(profile: str, fresh: bool, output: Path | None = None) -> None:
    """Says where rows and figures go, and that this process and its kernels have one thread."""
    os.environ.update(ONE_THREAD)  # whatever it held before: kernels inherit it
    if output is not None:
        os.environ["ZENLIB_FIGURES"] = str(output.resolve() / "figures")
    elif profile == "smoke":
        if fresh:
            shutil.rmtree(SMOKE, ignore_errors=True)
        os.environ["ZENLIB_RESULTS"] = str(SMOKE / "results")
        os.environ["ZENLIB_FIGURES"] = str(SMOKE / "figures")


def run_all(profile: dict[str, dict[str, Any]], studies: Path, options: argparse.Namespace) -> list[str]:
    """Run the notebooks of a profile one after the other; returns the stems that failed."""
    failed: list[str] = []
    for number, (stem, wanted) in enumerate(profile.items(), start=1):
        print(f"[{number}/{len(profile)}] {stem}: profile {options.profile}", flush=True)
        try:
            seconds = run_notebook(stem, wanted, studies)
            print(f"[{number}/{len(profile)}] {stem}: done in {seconds:.1f} s", flush=True)
        except (ValueError, PapermillExecutionError, DeadKernelError) as error:
            print(f"[{number}/{len(profile)}] {stem}: FAILED\n{error}", file=sys.stderr, flush=True)
            failed.append(stem)
            if not options.keep_going:
                break
    return failed


def run_apart(profile: dict[str, dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """Run several notebooks at a time, each by a runner of its own; returns the stems that failed."""

    def run(stem: str) -> str | None:
        if failed and not options.keep_going:
            return None
        command = [sys.executable, __file__, "--profile", options.profile, "--only", stem, "--part"]
        command += ["--output", str(options.output)] if options.output else []
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout.replace("[1/1] ", ""), end="", flush=True)
        if done.returncode:
            failed.append(stem)
        return stem

    failed: list[str] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(run, profile))
    return sorted(failed)


def run_notebook(stem: str, wanted: dict[str, Any], studies: Path) -> float:
    """Execute one notebook and write its normalised form; returns the seconds it took.

    What papermill wrote stays in `build/executed`, to look at when a cell failed.
    """
    source = notebooks()[stem]
    changed = changed_parameters(nbformat.read(source, as_version=4), wanted)
    EXECUTED.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    # sockets of this run alone, instead of open ports: two runs at a time must not hear each other
    with tempfile.TemporaryDirectory(prefix="zenlib-") as sockets:
        executed = papermill.execute_notebook(
            source,
            EXECUTED / f"{stem}.ipynb",
            changed,
            kernel_name="python3",
            progress_bar=False,
            stderr_file=sys.stderr,
            cwd=ROOT,
            iopub_timeout=60,  # a notebook may tell hundreds of facts at once, on a busy machine
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"}),
        )
    text = nbformat.writes(normalise(executed)) + "\n"
    replace_file(studies / f"{stem}.ipynb", lambda file: file.write(text.encode()), ResultsError)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
