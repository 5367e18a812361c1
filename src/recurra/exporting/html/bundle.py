"""Joins JavaScript modules into one script without imports, for a page that is one file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from functools import partial

IMPORT = re.compile(r'^import (?:\{(?P<names>[^}]*)\} from )?"\./(?P<module>[\w./-]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?P<what>(?:const|let|class|function\*?|async function) (?P<name>[\w$]+))", re.MULTILINE)
LIST = re.compile(r"^export \{(?P<names>[^}]*)\};\n", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str) -> str:
    r"""Joins a module and those that it imports.

    Each module becomes a function that returns its exports, so that the names inside do not collide. Imports and
    exports are one line each, as in the modules of this package.

    Args:
        modules: the modules by the paths of their files; imports are relative to them.
        entry: name of the module that runs last.

    Raises:
        ValueError: a module is missing, two import each other, or an import or export has another form.

    Example:
        >>> modules = {"a.js": "export const a = 1;\n", "b.js": 'import { a as c } from "./a.js";\nc;\n'}
        >>> print(bundle(modules, "b.js"))
        const a_js = (() => {
        const a = 1;
        return { a };
        })();
        (() => {
        const { a: c } = a_js;
        c;
        })();
    """
    done: dict[str, str] = {}
    _join(modules, entry, done, [])
    return "\n".join(done.values())


def _join(modules: Mapping[str, str], name: str, done: dict[str, str], above: list[str]) -> None:
    if name in done:
        return
    if name not in modules or name in above:
        raise ValueError(f"there is no module {name}" if name not in modules else f"{name} imports itself")
    source = modules[name]
    for found in IMPORT.finditer(source):
        _join(modules, _imported(name, found), done, [*above, name])
    exported = [found["name"] for found in EXPORT.finditer(source)]
    exported += [_exported(one) for found in LIST.finditer(source) for one in _listed(found["names"])]
    body = EXPORT.sub(lambda found: found["what"], LIST.sub("", IMPORT.sub(partial(_binding, name), source)))
    left = re.search(r"^(?:import|export)\b.*", body, re.MULTILINE)
    if left:
        raise ValueError(f"{name}: {left[0]}")
    begin = f"const {_variable(name)} = " if above else ""
    end = f"return {{ {', '.join(exported)} }};\n" if above else ""
    done[name] = f"{begin}(() => {{\n{body}{end}}})();"


def _imported(name: str, found: re.Match[str]) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), found["module"]))


def _binding(name: str, found: re.Match[str]) -> str:
    if found["names"] is None:
        return ""
    return f"const {{ {', '.join(map(_pair, _listed(found['names'])))} }} = {_variable(_imported(name, found))};\n"


def _listed(names: str) -> list[str]:
    return [one.strip() for one in names.split(",") if one.strip()]


def _pair(name: str) -> str:
    """Returns `a` for `a`, and `a: b` for `a as b`."""
    return name.replace(" as ", ": ")


def _exported(name: str) -> str:
    """Returns `a` for `a`, and `b: a` for `a as b`."""
    inside, _, outside = name.partition(" as ")
    return f"{outside}: {inside}" if outside else inside


def _variable(module: str) -> str:
    return re.sub(r"\W", "_", module)
