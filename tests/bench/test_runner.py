"""The runner: a fresh process for each call, and nothing measured twice."""

from pathlib import Path

import pytest

from labkit import results
from labkit.bench import runner


def test_a_function_runs_in_a_process_of_its_own() -> None:
    assert runner.in_own_process("os:getpid") not in (0, runner.os.getpid())
    assert runner.in_own_process("os:getenv", "MARK", environment={"MARK": "set"}) == "set"


def test_what_fails_there_is_told_here() -> None:
    with pytest.raises(RuntimeError, match="(?s)json:loads failed: .*Expecting value"):
        runner.in_own_process("json:loads", "no json")


def test_figures_of_the_same_configuration_are_kept_and_no_others(tmp_path: Path) -> None:
    config = {"sizes": (1, 2)}
    assert runner.recorded("bench-x", config, folder=tmp_path) == {}
    results.record("bench-x", {"runs": [1]}, config=config, folder=tmp_path)
    assert runner.recorded("bench-x", config, folder=tmp_path) == {"runs": [1]}
    assert runner.recorded("bench-x", {"sizes": (1, 3)}, folder=tmp_path) == {}
