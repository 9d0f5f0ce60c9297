"""Files with secrets: their readers and owners, and the folders that the service writes to."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from doctor.check import Check
from doctor.report import Judgement, Status, combine, fail, ok, paste, skip, warn
from doctor.subject import PEM_KEYS, SECRET_KEYS, Subject, readable_by_others
from wechat.domain.errors import Bilingual

LEAST_FREE_MIB = 1024
MIB = 1024 * 1024


def check_settings_mode(subject: Subject) -> Judgement:
    return _mode(subject, subject.file)


def check_settings_owner(subject: Subject) -> Judgement:
    return _owner(subject, subject.file)


def check_key_modes(subject: Subject) -> Judgement:
    paths = list(_paths(subject, SECRET_KEYS))
    return combine([_mode(subject, path) for path in paths], skip("密钥不在文件里", "keys are not in files"))


def check_key_owners(subject: Subject) -> Judgement:
    paths = list(_paths(subject, PEM_KEYS))
    return combine([_owner(subject, path) for path in paths], skip("密钥不在文件里", "keys are not in files"))


def check_key_files(subject: Subject) -> Judgement:
    """Check that each file that the settings name exists and is readable by the current user."""
    found = []
    for setting in PEM_KEYS:
        given = subject.key(setting)
        if given and given.path and given.text is None:
            owner = _user(subject.machine.uid)
            fix = paste(f"sudo chown root:{owner} {given.path} && sudo chmod 640 {given.path}")
            found.append(
                fail(
                    f"{setting}：{given.path} 读不到（{given.error}）",
                    f"{setting}: {given.path} cannot be read ({given.error})",
                    fix if given.path.exists() else paste(f"{setting}: /etc/fenpay/…"),
                )
            )
        elif given and given.path and subject.production and not given.path.is_absolute():
            found.append(
                fail(
                    f"{setting}：{given.path} 是相对路径，换个目录启动就找不到",
                    f"{setting}: {given.path} is a relative path; it is not found if the service starts in another folder",
                    paste(f"{setting}: {given.path.resolve()}"),
                )
            )
    return combine(found, ok("都可读", "all can be read"))


def check_bills(subject: Subject) -> Judgement:
    return _folder(subject, "books.directory", "/var/lib/fenpay/bills")


def check_verify_files(subject: Subject) -> Judgement:
    """Check for the file that WeChat's console requires at the root of a domain before it accepts the domain."""
    settings = subject.settings
    folder = settings.http.verify_files if settings else Path()
    if not subject.production:
        return skip("演示环境不需要", "not needed in the demo")
    if not folder.is_dir():
        return warn(
            f"{folder} 不存在", f"{folder} does not exist", paste(f"sudo mkdir -p {folder} && sudo chmod 755 {folder}")
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        return fail(f"{folder} 读不到", f"{folder} cannot be read", paste(f"sudo chmod 755 {folder}"))
    files = sorted(folder.glob("MP_verify_*.txt"))
    if not files:
        return warn(
            f"{folder} 里没有 MP_verify_*.txt",
            f"there is no MP_verify_*.txt in {folder}",
            Bilingual(
                f"在 微信公众平台 → 设置与开发 → 账号设置 → 功能设置 下载验证文件，放进 {folder}",
                f"download the file in the Official Accounts Platform (设置与开发 → 账号设置 → 功能设置) into {folder}",
            ),
        )
    return ok("、".join(file.name for file in files), ", ".join(file.name for file in files))


def check_free_space(subject: Subject) -> Judgement:
    folder = _existing(subject.settings.books.directory if subject.settings else subject.file)
    free_mib = shutil.disk_usage(folder).free // MIB
    if free_mib < LEAST_FREE_MIB:
        return warn(
            f"{folder} 只剩 {free_mib} MiB", f"only {free_mib} MiB are left for {folder}", paste(f"df -h {folder}")
        )
    return ok(f"{free_mib // 1024} GiB", f"{free_mib // 1024} GiB")


def _mode(subject: Subject, path: Path) -> Judgement:
    """Check the mode: others may neither read nor write a secret; the owner's group may read it."""
    loose = readable_by_others(path)
    if loose is None:
        return skip(f"{path} 不存在", f"{path} does not exist")
    mode = stat.S_IMODE(path.stat().st_mode)
    if not loose:
        return ok(f"{path} {mode:04o}", f"{path} {mode:04o}")
    status = Status.FAIL if subject.production else Status.WARN
    return Judgement(
        status,
        Bilingual(
            f"{path} 的权限是 {mode:04o}，本机其他用户可读写",
            f"{path} has mode {mode:04o}: other users of this machine can read or write it",
        ),
        paste(f"sudo chmod {'640' if mode & stat.S_IRGRP else '600'} {path}"),
    )


def _owner(subject: Subject, path: Path) -> Judgement:
    """Check the owner, who can change the file: root, or the user that runs the service."""
    try:
        uid = path.stat().st_uid
    except OSError:
        return skip(f"{path} 不存在", f"{path} does not exist")
    if uid in (0, subject.machine.uid):
        return ok(f"{path} 属于 {_user(uid)}", f"{path} belongs to {_user(uid)}")
    return warn(
        f"{path} 属于 {_user(uid)}，既不是 root 也不是运行服务的用户",
        f"{path} belongs to {_user(uid)}, which is neither root nor the service's user",
        paste(f"sudo chown root:{_user(subject.machine.uid)} {path} && sudo chmod 640 {path}"),
    )


def _folder(subject: Subject, setting: str, example: str) -> Judgement:
    """Check a folder that the service writes to: absolute in production, existing or creatable, writable."""
    folder = Path(subject.text(setting) or "var/bills")
    name, section = setting.rpartition(".")[2], setting.rpartition(".")[0]
    if subject.production and not folder.is_absolute():
        fix = paste(f"{section}:\n  {name}: {example}")
        return fail(f"{setting}：{folder} 是相对路径", f"{setting}: {folder} is a relative path", fix)
    near = _existing(folder)
    if folder.exists() and not folder.is_dir():
        return fail(f"{folder} 不是目录", f"{folder} is not a folder", paste(f"{setting}: {example}"))
    if why := _try_to_write(near):
        user = _user(subject.machine.uid)
        fix = paste(f"sudo install -d -o {user} -m 750 {folder}")
        return fail(f"{user} 不能写入 {near}（{why}）", f"{user} cannot write into {near} ({why})", fix)
    return ok(f"{folder} 可写", f"{folder} can be written")


def _try_to_write(folder: Path) -> str:
    """Create and remove a file in ``folder``. Return the reason if that fails, otherwise an empty text."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__


def _existing(path: Path) -> Path:
    """Return ``path`` or the nearest existing folder above it."""
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)


def _paths(subject: Subject, settings: tuple[str, ...]) -> Iterator[Path]:
    seen = set()
    for setting in settings:
        given = subject.key(setting)
        if given and given.path and given.path not in seen:
            seen.add(given.path)
            yield given.path


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


CHECKS = (
    Check(
        "files.settings_mode",
        Bilingual(
            "里面有密钥；本机任何用户都能读的密钥不再是密钥",
            "it contains secrets; a secret that every user can read is not secret",
        ),
        check_settings_mode,
        stops=True,
        bare=True,
    ),
    Check(
        "files.settings_owner",
        Bilingual("文件的主人可以改掉收款的商户号", "its owner can change the merchant number that receives payments"),
        check_settings_owner,
        bare=True,
    ),
    Check(
        "files.key_files",
        Bilingual(
            "没有密钥就不能签名，也不能验证微信支付",
            "without keys, the service cannot sign, and cannot verify WeChat Pay",
        ),
        check_key_files,
        bare=True,
    ),
    Check(
        "files.key_modes",
        Bilingual(
            "拿到商户API私钥的人可以退款、转走余额",
            "a person with the merchant API private key can refund and withdraw the balance",
        ),
        check_key_modes,
        stops=True,
        bare=True,
    ),
    Check(
        "files.key_owners",
        Bilingual("文件的主人可以换掉密钥", "its owner can replace the key"),
        check_key_owners,
        bare=True,
    ),
    Check(
        "folders.bills",
        Bilingual(
            "写不进账单，次日的对账就会失败", "if bills cannot be written, the reconciliation of the next day fails"
        ),
        check_bills,
        bare=True,
    ),
    Check(
        "folders.verify_files",
        Bilingual(
            "没有验证文件，微信不接受网页授权域名和 JS接口安全域名",
            "without this file, WeChat does not accept the web authorisation domain and the JS-safe domain",
        ),
        check_verify_files,
    ),
    Check(
        "host.disk",
        Bilingual("磁盘写满时账单和日志都写不进", "on a full disk, bills and logs cannot be written"),
        check_free_space,
    ),
)
