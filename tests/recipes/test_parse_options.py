"""utils/parse_options.sh: values stay text, mistakes end with a line that names them, nothing hangs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = """#!/usr/bin/env bash
# Usage: script [options] NAME
# Does nothing.
#
#   --nj N    jobs
# shellcheck disable=SC2034
# The last line of the help.
set -euo pipefail
# Not a line of the help.
nj=4 use_gpu=true cmd=run stop_stage=6
. parse_options.sh
for name in nj use_gpu cmd stop_stage; do printf '%s=[%s]\\n' "$name" "${!name}"; done
printf '<%s>' "$@"
"""


@pytest.fixture
def script(shell, tmp_path):
    """Run a script with the options nj, use_gpu, cmd and stop_stage; `extra` lines stand before parse_options.sh."""

    def run(*arguments: str, extra: str = "", after: str = "") -> subprocess.CompletedProcess[str]:
        file = tmp_path / "script"
        file.write_text(SCRIPT.replace(". parse_options.sh\n", f"{extra}\n. parse_options.sh\n") + after)
        return shell('bash ./script "$@"', *arguments, timeout=10)

    return run


def test_without_options_the_defaults_stand_and_the_positions_stay(script):
    result = script("a b", "", "c")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "nj=[4]\nuse_gpu=[true]\ncmd=[run]\nstop_stage=[6]\n<a b><><c>"


def test_options_set_variables_and_dashes_stand_for_underscores(script):
    result = script("--nj", "8", "--use-gpu=false", "--stop-stage", "-1", "--cmd", "slurm --mem 4G", "x")
    assert result.stdout == "nj=[8]\nuse_gpu=[false]\ncmd=[slurm --mem 4G]\nstop_stage=[-1]\n<x>"


@pytest.mark.parametrize(
    "value",
    [
        "$(touch pwned)",
        "`touch pwned`",
        "x; touch pwned",
        "' ; touch pwned; '",
        '"$(touch pwned)"',
        "a[$(touch pwned)]",
        "\\",
        "*",
        "two\nlines",
        "a=b=c",
        "",
    ],
)
@pytest.mark.parametrize("form", ["separate", "joined"])
def test_a_value_is_stored_as_it_is_and_never_run(script, tmp_path, value, form):
    result = script(*(["--cmd", value] if form == "separate" else [f"--cmd={value}"]))
    assert result.returncode == 0, result.stderr
    assert f"cmd=[{value}]\n" in result.stdout
    assert not Path(tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["--a[$(touch pwned)]", "--nj[$(touch pwned)]", "--x;touch pwned", "--$(touch pwned)"])
def test_a_hostile_name_is_refused_and_never_run(script, tmp_path, name):
    result = script(name, "1")
    assert result.returncode == 1
    assert "unknown option" in result.stderr
    assert not Path(tmp_path / "pwned").exists()


@pytest.mark.parametrize("arguments", [["--nj"], ["--cmd", "x", "--nj"], ["--nj", "--cmd", "x"]])
def test_an_option_without_a_value_is_an_error_that_names_it(script, arguments):
    result = script(*arguments)
    assert result.returncode == 1
    assert result.stdout == ""
    assert "option --nj needs a value" in result.stderr


def test_an_unknown_option_is_named_beside_the_known_ones(script):
    result = script("--njobs", "3")
    assert result.returncode == 1
    assert result.stderr == "script: error: unknown option --njobs; there are: --cmd --nj --stop-stage --use-gpu\n"


@pytest.mark.parametrize("name", ["--PATH", "--HOME", "--BASH-VERSINFO", "--words"])
def test_the_environment_and_arrays_are_not_options(script, name):
    result = script(name, "x", extra="words=(a b)")
    assert result.returncode == 1
    assert f"unknown option {name};" in result.stderr


def test_a_variable_from_the_environment_that_the_script_sets_is_an_option(script):
    result = script("--nj", "5", extra="export nj")
    assert "nj=[5]" in result.stdout


@pytest.mark.parametrize("value", ["True", "1", "yes", ""])
def test_a_switch_takes_true_or_false_only(script, value):
    result = script(f"--use-gpu={value}")
    assert result.returncode == 1
    assert f"option --use-gpu takes true or false, not '{value}'" in result.stderr


def test_one_dash_is_refused_except_alone(script):
    assert "unknown option -nj" in script("-nj", "3").stderr
    assert script("-").stdout.endswith("<->")


def test_two_dashes_end_the_options(script):
    assert (
        script("--nj", "3", "--", "--cmd", "x").stdout
        == "nj=[3]\nuse_gpu=[true]\ncmd=[run]\nstop_stage=[6]\n<--cmd><x>"
    )


def test_an_option_after_a_position_is_an_error(script):
    result = script("data", "--nj", "3")
    assert result.returncode == 1
    assert "option --nj stands after 'data'; options come first" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--nj", "3", "--help"], ["data", "--help"]])
def test_help_prints_the_head_comment_and_nothing_else(script, arguments):
    result = script(*arguments)
    assert result.returncode == 0
    assert result.stderr == ""
    assert (
        result.stdout == "Usage: script [options] NAME\nDoes nothing.\n\n  --nj N    jobs\nThe last line of the help.\n"
    )


def test_help_is_found_after_a_change_into_the_scripts_own_folder(shell, tmp_path):
    (tmp_path / "egs").mkdir()
    (tmp_path / "egs" / "run.sh").write_text(SCRIPT.replace("nj=4", 'cd "$(dirname "$0")"; nj=4'))
    assert shell("bash egs/run.sh --help").stdout.startswith("Usage: script")


def test_dotted_options_are_collected_where_the_script_asks_for_them(script):
    after = "\nprintf '{%s}' \"${overrides[@]}\""
    result = script(
        "--loss.margin", "0.3", "--nj", "2", "--batch.size=$(touch x)", "d", extra="overrides=()", after=after
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("<d>{--loss.margin}{0.3}{--batch.size}{$(touch x)}")
    assert "nj=[2]" in result.stdout


def test_dotted_options_are_unknown_elsewhere_and_need_values(script):
    assert "unknown option --loss.margin" in script("--loss.margin", "0.3").stderr
    assert "option --loss.margin needs a value" in script("--loss.margin", extra="overrides=()").stderr
    assert "unknown option --overrides" in script("--overrides", "x", extra="overrides=(a)").stderr


def test_usage_error_prints_the_line_and_the_usage(script):
    result = script(after="\nusage_error 'needs NAME'")
    assert result.returncode == 1
    assert result.stderr == "script: error: needs NAME\nUsage: script [options] NAME\nMore: ./script --help\n"
