"""The SDK stands alone: its imports, its licence, its README."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

SDK = Path(__file__).parents[2] / "sdk"
ALLOWED = {"aiomqtt", "msgspec", "perpguard_sdk"} | sys.stdlib_module_names


def test_it_imports_nothing_but_aiomqtt_and_msgspec() -> None:
    found = set()
    for path in (SDK / "perpguard_sdk").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    assert found <= ALLOWED, found - ALLOWED


def test_the_session_and_what_it_stands_on_do_no_io() -> None:
    pure = ("session", "oversight", "commands", "pulse", "limits", "records", "actions", "messages", "codec")
    for name in pure:
        text = (SDK / "perpguard_sdk" / f"{name}.py").read_text()
        assert not re.search(
            r"^(import|from) (asyncio|time|os|random|socket|logging|aiomqtt)", text, re.MULTILINE
        )


def test_it_carries_the_projects_licence() -> None:
    assert (SDK / "LICENSE").read_text() == (SDK.parent / "LICENSE").read_text()


def test_the_example_of_the_readme_is_short_and_runs(tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", (SDK / "README.md").read_text(), re.DOTALL)
    assert found is not None
    example = found.group(1)
    assert len([line for line in example.splitlines() if line.strip()]) <= 20
    (tmp_path / "alpha.key").write_text("sixteen bytes or more")
    example = example.replace('"alpha.key"', repr(str(tmp_path / "alpha.key")))
    example = example.replace('"alpha.state.json"', repr(str(tmp_path / "alpha.state.json")))
    names: dict[str, object] = {}
    exec(compile(example.partition("asyncio.run(")[0], "README.md", "exec"), names)
    assert "settings" in names
