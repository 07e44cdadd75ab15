"""Settings of a plain `sphinx-build`, read from `_config.yml`: the book without the command of jupyter-book.

    sphinx-build -W -n --keep-going book _build/sphinx

`jupyter-book build` does not read this file.
"""

import sys
from pathlib import Path

import yaml

_root = Path(__file__).resolve().parents[1]
_said = yaml.safe_load((_root / "_config.yml").read_text(encoding="utf-8"))
_static = Path(__file__).with_name("_static")

globals().update(_said["sphinx"]["config"])
extensions = [name for name in _said["sphinx"]["config"]["extensions"] if name != "jupyter_book"]
extensions.append("sphinx_multitoc_numbering")
sys.path += [str(_root / folder) for folder in {*_said["sphinx"]["local_extensions"].values()}]

project = html_title = _said["title"]
author = _said["author"]
copyright = _said["copyright"]
exclude_patterns = _said["exclude_patterns"]
external_toc_exclude_missing = _said["only_build_toc_files"]
nb_execution_mode = _said["execute"]["execute_notebooks"]
myst_enable_extensions = _said["parse"]["myst_enable_extensions"]
bibtex_bibfiles = _said["bibtex_bibfiles"]
suppress_warnings = ["myst.domains"]
html_theme = "sphinx_book_theme"
html_favicon = _said["html"]["favicon"]
html_static_path = [_static.name]
html_css_files = sorted(path.name for path in _static.glob("*.css"))
html_js_files = sorted(path.name for path in _static.glob("*.js"))
pygments_style = "sphinx"
