"""Install programs that the tests need and no Python package brings: Chromium, a CJK font, nginx, promtool, Node, SDKs,
axe-core.

On Debian and Ubuntu as root they are installed from the distribution; elsewhere this prints how to get them and
continues, so that the tests which need one fail with their own message.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from scripts.steps import Failed, run, step

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROMIUM = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)
PLAYWRIGHT_CACHES = (Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright")
NO_CHROMIUM = """没有找到 Chromium，浏览器测试会失败 · No Chromium found, so the browser tests will fail
  Debian/Ubuntu: sudo apt-get install chromium fonts-noto-cjk
  macOS: brew install --cask chromium
  或 · or: .venv/bin/python -m playwright install chromium"""
NO_NGINX = """没有找到 nginx，它的测试会失败 · No nginx found, so the test of deploy/nginx.conf will fail
  Debian/Ubuntu: sudo apt-get install nginx-light
  macOS: brew install nginx"""
NO_PROMTOOL = """没有找到 promtool，告警规则的测试会失败 · No promtool found, so the tests of the alert rules will fail
  Debian/Ubuntu: .venv/bin/python -m scripts.programs
  macOS: brew install prometheus"""
NO_NODE = """没有找到 Node，JavaScript SDK 的测试会失败 · No Node found, so the tests of JavaScript SDKs will fail
  Debian/Ubuntu: sudo apt-get install nodejs npm
  macOS: brew install node"""
PROMTOOL = Path(sys.prefix) / "bin" / "promtool"
"""Debian has promtool in the server's package only: it is extracted from that package, and no server is installed."""
TESTS = Path(__file__).resolve().parents[1] / "tests"
NODE_PACKAGES = (TESTS / "interop/node", TESTS / "e2e/node")
"""Folders with a package.json: three SDKs, and axe-core, which checks pages."""


def chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome."""
    on_path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    bundled = (path for cache in PLAYWRIGHT_CACHES for path in cache.glob("chromium-*/*/*hrom*"))
    candidates = (str(path) for path in (*MAC_CHROMIUM, *bundled) if path.is_file() and os.access(path, os.X_OK))
    return on_path or next(candidates, None)


def nginx() -> str | None:
    """Return the path of an installed nginx, which Debian installs in a folder on root's PATH only."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def promtool() -> str | None:
    """Return the path of promtool, which checks and tests alert rules."""
    return shutil.which("promtool") or (str(PROMTOOL) if os.access(PROMTOOL, os.X_OK) else None)


def main() -> int:
    missing = [package for package, found in _required_packages().items() if not found]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        try:
            _apt(missing)
        except Failed as error:
            print(error, file=sys.stderr)
    if not promtool() and shutil.which("dpkg-deb"):
        try:
            _extract_promtool()
        except Failed as error:
            print(error, file=sys.stderr)
    _advise()
    for folder in NODE_PACKAGES:
        try:
            _install_node_packages(folder)
        except Failed as error:
            print(error, file=sys.stderr)
    return 0


def _advise() -> None:
    """Print how to get the missing programs."""
    programs = (
        (chromium(), NO_CHROMIUM),
        (nginx(), NO_NGINX),
        (promtool(), NO_PROMTOOL),
        (node(), NO_NODE),
    )
    for found, advice in programs:
        if not found:
            print(f"✘ {advice}", file=sys.stderr)


def node() -> str | None:
    """Return the path of Node, if npm is beside it."""
    return shutil.which("node") if shutil.which("npm") else None


def _install_node_packages(folder: Path) -> None:
    """Install the versions of the lock file, without running any scripts of the packages; only if the file has
    changed."""
    lock, installed = folder / "package-lock.json", folder / "node_modules/.package-lock.json"
    if not node() or (installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime):
        return
    with step(f"npm ci ({folder.relative_to(TESTS.parent)})"):
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
        run(["npm", "ci", *quiet], "npm.log")


def _required_packages() -> dict[str, str | None]:
    """Return Debian's packages, each with what shows that it is installed. An installed browser brought its fonts or
    has its own."""
    browser = chromium()
    return {"chromium": browser, "fonts-noto-cjk": browser, "nginx-light": nginx(), "nodejs": node(), "npm": node()}


def _apt(packages: list[str]) -> None:
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--no-install-recommends"]
    with step("apt-get update"):
        run(["apt-get", "update"], "apt.log")
    with step(f"apt-get install {' '.join(packages)}"):
        run([*quiet, "install", *packages], "apt.log")


def _extract_promtool() -> None:
    """Download 20 MB and extract promtool (48 MB)."""
    with step("promtool"), tempfile.TemporaryDirectory(prefix="promtool-") as folder:
        script = f"""
            cd {folder}
            apt-get download prometheus
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
            install -m 755 usr/bin/promtool {shlex.quote(str(PROMTOOL))}"""
        run(["bash", "-euo", "pipefail", "-c", script], "promtool.log")


if __name__ == "__main__":
    sys.exit(main())
