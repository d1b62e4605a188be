"""What the three programs share, and the orders that ship with them. Their runs are in tests/integration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services import orders, program

pytestmark = pytest.mark.integration

ROOT = Path(orders.__file__).parent.parent


async def read(source: str) -> list[str]:
    return [line async for line in program.read_lines(source)]


def test_orders_that_ship_are_200_with_all_that_the_services_read() -> None:
    lines = orders.ORDERS.read_text(encoding="utf-8").splitlines()
    parsed = list(map(orders.parse_order, lines))
    assert [order["id"] for order in parsed] == list(range(1, 201))
    assert all(order["quantity"] > 0 and order["cents"] > 0 for order in parsed)


@pytest.mark.parametrize("line", ["nonsense", "[]", "7", '{"id": 1}', ""])
def test_parse_order_of_what_is_no_order_raises_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        orders.parse_order(line)


async def test_read_lines_of_a_file_gives_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text("first\nsecönd\n", encoding="utf-8")
    assert await read(str(path)) == ["first", "secönd"]


def test_read_lines_of_standard_input_takes_a_pipe_a_file_and_nothing(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from services import program\n"
        "async def main():\n"
        "    print([line.rstrip('\\n') async for line in program.read_lines('-')])\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    nothing = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=20, check=True
    )
    piped = subprocess.run(command, input="one\ntwo\n", capture_output=True, text=True, env=environment, check=True)
    with path.open() as file:
        redirected = subprocess.run(command, stdin=file, capture_output=True, text=True, env=environment, check=True)
    assert piped.stdout == redirected.stdout == "['one', 'two']\n"
    assert nothing.stdout == "[]\n"


def test_options_go_before_the_environment_which_goes_before_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in program.SETTINGS:  # set and unset, so that what the program sets is unset after the test
        monkeypatch.setenv(f"CAUSAL_{setting.upper()}", "")
        monkeypatch.delenv(f"CAUSAL_{setting.upper()}")
    monkeypatch.setenv("CAUSAL_LISTEN", "127.0.0.1:7101")
    monkeypatch.setenv("CAUSAL_PEERS", "S2=127.0.0.1:7102")
    parser = program.options("S1", name="S1", listen="127.0.0.1:7001", peers="S2=127.0.0.1:7002")
    node = program.open_node(parser.parse_args(["--peers", "S3=127.0.0.1:7203"]))
    assert node.name == "S1"
    assert node.config.listen == "127.0.0.1:7101"
    assert node.config.peers == {"S3": "127.0.0.1:7203"}


def test_say_prints_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    program.say(ready="S1", note="two\nlines")
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == {"ready": "S1", "note": "two\nlines"}


@pytest.mark.parametrize("service", ["orders", "payments", "shipping"])
def test_service_help_names_its_options(service: str) -> None:
    command = [sys.executable, "-m", f"services.{service}", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert {"--listen", "--peers", "--trace", "--ordering"} <= set(shown.replace("[", " ").split())


def test_orders_with_an_input_that_is_not_there_says_so_and_exits_2(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.orders", "--input", str(tmp_path / "none")]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert ended.returncode == 2
    assert "there is no such file" in ended.stderr
