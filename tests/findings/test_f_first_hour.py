"""What stops a new user in the first hour."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from handlers.web import plugin
from service.settings.loading import load
from tests.support.service import ROOT
from wechat.domain.errors import ConfigError

WITHOUT_PACKAGES = (sys.executable, "-S", "-E")
"""A Python that has the standard library and nothing else."""


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WITHOUT_PACKAGES, *arguments], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", [("manage.py", "order", "--help"), ("server.py", "--help")])
def test_f1_a_command_started_outside_the_virtual_environment_runs_inside_it(command: tuple[str, ...]) -> None:
    ended = run(ROOT, *command)
    assert ended.returncode == 0, ended.stderr
    assert "usage" in ended.stdout.lower()


@pytest.mark.parametrize("command", ["manage.py", "server.py"])
def test_f1_a_command_before_the_installation_says_what_to_run(tmp_path: Path, command: str) -> None:
    shutil.copy(ROOT / command, tmp_path)
    shutil.copytree(ROOT / "service", tmp_path / "service")
    ended = run(tmp_path, command)
    assert ended.returncode == 1
    assert "make install" in ended.stderr
    assert "Traceback" not in ended.stderr


BROKEN_PLUGINS = {
    "a syntax error": ("def routes(services):\n    return [\n", "line 2"),
    "a module that is missing": ("import missing_module\n", ":1"),
    "an error while it is imported": ("\nx = 1 / 0\n", ":2"),
    "an error in routes": ("def routes(services):\n    return services.nothing\n", ":2"),
}


@pytest.mark.parametrize("name", BROKEN_PLUGINS)
def test_f1_a_plugin_that_cannot_be_loaded_is_named_with_file_and_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, line = BROKEN_PLUGINS[name]
    module = "broken_" + name.replace(" ", "_")
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError) as raised:
        plugin.load([module], services=object())  # type: ignore[arg-type]  # it is not reached, or fails there
    [problem] = raised.value.problems
    for sentence in problem:
        assert module in sentence
        assert f"{module}.py" in sentence or "syntax" not in name
        assert line in sentence


def test_f10_a_number_without_quotes_is_told_to_put_them(tmp_path: Path) -> None:
    file = tmp_path / "settings.yml"
    file.write_text(f"extends: {ROOT / 'settings.yml'}\npay: {{mchid: 1900000109}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load(file)
    [problem] = [text for text in raised.value.problems if text.en.startswith("pay.mchid")]
    assert "加引号" in problem.zh
    assert 'mchid: "…"' in problem.en
    assert "1900000109" not in f"{problem.zh}{problem.en}"


def going_live(language: str) -> str:
    return (ROOT / "docs" / language / "going-live.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_f8_the_guide_makes_each_user_and_folder_that_the_files_of_deploy_name(language: str) -> None:
    """The guide creates every user and folder that a reader of it needs."""
    guide = going_live(language)
    supervisor = (ROOT / "deploy" / "supervisor.conf").read_text(encoding="utf-8")
    settings = yaml.safe_load((ROOT / "deploy" / "settings.production.yml").read_text(encoding="utf-8"))
    users = set(re.findall(r"^user=(\w+)", supervisor, re.MULTILINE)) - {"root"}
    assert users == set(re.findall(r"useradd --system .* (\w+)$", guide, re.MULTILINE))
    made = set(re.findall(r" (/\S+)", "\n".join(re.findall(r"install -d .*", guide))))
    assert {settings["books"]["directory"], settings["http"]["verify_files"]} <= made
    assert set(re.findall(r"_logfile=(/.*)/", supervisor)) <= made
    [owner] = re.findall(r"install -d -m 750 -o (\w+) .*" + re.escape(settings["books"]["directory"]), guide)
    assert owner in users


@pytest.mark.parametrize("language", ["en", "zh"])
def test_f8_the_service_can_read_what_root_has_written_and_nobody_else(language: str) -> None:
    """Mode 600 would leave root a file that the service's user cannot read."""
    guide = going_live(language)
    assert "chmod 600" not in guide
    for file in ("settings.production.yml", "apiclient_key.pem"):
        assert re.search(rf"install -m 640 -o root -g fenpay .*{re.escape(file)}", guide)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(
    "needed",
    ["replSetName", "rs.initiate()", "install-community", "systemctl enable --now fenpay", "mongodump", "mongorestore"],
)
def test_f8_database_start_on_boot_and_backup_are_told(language: str, needed: str) -> None:
    assert needed in going_live(language)


def test_f8_every_restart_that_is_told_takes_the_processes_one_by_one() -> None:
    """``restart fenpay:*`` stops all processes at once; only three files may contain it, as a warning."""
    files = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), *(ROOT / "deploy").iterdir()]
    told = {file.name for file in files if file.is_file() and "restart fenpay:*" in file.read_text(encoding="utf-8")}
    assert told <= {"supervisor.conf", "restart.sh", "CHANGELOG.md"}
    for language in ("en", "zh"):
        upgrading = going_live(language).partition("ln -sfn")[2]
        assert "deploy/restart.sh" in upgrading


def help_texts(language: str) -> dict[str, str]:
    """The help of every command and option, by its place, as a process with that locale shows it."""
    script = (
        "import json, typer.main, manage\n"
        "def walk(command, name):\n"
        "    yield name, command.help or ''\n"
        "    for each in command.params:\n"
        "        yield f'{name} {each.name}', getattr(each, 'help', None) or ''\n"
        "    for sub, inner in getattr(command, 'commands', {}).items():\n"
        "        yield from walk(inner, f'{name} {sub}')\n"
        "print(json.dumps(dict(walk(typer.main.get_command(manage.app), 'manage'))))\n"
    )
    environment = os.environ | {"LC_ALL": language}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    texts: dict[str, str] = json.loads(ended.stdout)
    assert len(texts) > 60
    return texts


def test_f2_help_is_in_one_language() -> None:
    chinese = re.compile(r"[一-鿿]")
    assert {where: text for where, text in help_texts("en_GB.UTF-8").items() if chinese.search(text)} == {}
    of_typer = ("manage install_completion", "manage show_completion")
    in_chinese = {where: text for where, text in help_texts("C.UTF-8").items() if where not in of_typer}
    assert {where: text for where, text in in_chinese.items() if text and not chinese.search(text)} == {}
