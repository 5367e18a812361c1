"""Joining of JavaScript modules into one script."""

from __future__ import annotations

import subprocess

import pytest
from javascript import find_node

from recurra.exporting.html.bundle import bundle

MODULES = {
    "words.js": 'let word = "a";\nexport const said = () => word;\nexport function say(other) { word = other; }\n',
    "count.js": 'import "./words.js";\nclass Two {}\nconst many = 2;\nexport { Two, many as two };\n',
    "more/words.js": 'import { said } from "./same.js";\nexport const word = said;\n',
    "more/same.js": 'export { said };\nconst said = "c";\n',
    "main.js": 'import { word as other } from "./more/words.js";\n'
    'import { two as many } from "./count.js";\nimport { said, say } from "./words.js";\n'
    'const word = "b";\nsay(word + many);\nconsole.log(said() + other);\n',
}


def test_a_bundle_runs_each_module_once_in_the_order_of_imports():
    done = subprocess.run([find_node(), "-e", bundle(MODULES, "main.js")], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("b2c\n", "")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a.js": 'import { b } from "./b.js";\n'}, "there is no module b.js"),
        ({"a.js": 'import "./b.js";\n', "b.js": 'import "./a.js";\n'}, "a.js imports itself"),
        ({"a.js": "export default 1;\n"}, "a.js: export default 1;"),
        ({"a.js": 'import b from "https://example.org/b.js";\n'}, "a.js: import b"),
    ],
)
def test_other_imports_and_exports_are_refused(modules, message):
    with pytest.raises(ValueError, match=message):
        bundle(modules, "a.js")
