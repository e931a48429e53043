"""The init step of a login: `python -m prepare_login` makes the roles of docs/security.md, and the first admin.

Safe to run at every start. The roles get the permissions that this release of Airflow gives them; roles of your own
stay. `admin` is made with $ADMIN_PASSWORD, and has that password again after each run. One that was made inactive stays
so. With another auth manager than Flask-AppBuilder's there is nothing to do.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

FAB = "airflow.providers.fab."
ADMIN, EMAIL, ROLE = "admin", "admin@localhost", "Admin"


@providers_configuration_loaded
def prepare(password: str) -> str:
    """Do both and return what there is to say."""
    if not conf.get_mandatory_value("core", "auth_manager").startswith(FAB):
        return "nothing to prepare, as the auth manager has users and roles of its own"
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    _find_settings(Path(conf.get_mandatory_value("fab", "config_file")))
    with get_application_builder() as builder:
        return f"roles are current, {ADMIN} {_do(builder, password)}"


def _do(builder: Any, password: str) -> str:
    builder.add_permissions(update_perms=True)
    builder.sm.sync_roles()
    _show_pages(builder.sm)
    return _ensure_admin(builder.sm, password)


def _find_settings(file: Path) -> None:
    # The provider goes on without it: with users in the metadata, where a directory was to be asked.
    if not file.is_file():
        raise SystemExit(f"login: there is no file {file}, which [fab] config_file (LOGIN_FILE in .env) names")


def _show_pages(manager: Any) -> None:
    # Airflow's navigation asks for the list of plugins to find our pages, and the provider gives that from Op on.
    seen = manager.create_permission("can_read", "Plugins")
    for role in ("Viewer", "User"):
        manager.add_permission_to_role(manager.find_role(role), seen)


def _ensure_admin(manager: Any, password: str) -> str:
    from werkzeug.security import check_password_hash

    user = manager.find_user(username=ADMIN)
    if user is None:
        manager.add_user(ADMIN, "Millrace", "Admin", EMAIL, manager.find_role(ROLE), password)
        return "is made"
    if user.password and check_password_hash(user.password, password):
        return "is as before"
    manager.reset_password(user.id, password)  # ends the sessions of the old one, too
    return "has its new password"


if __name__ == "__main__":
    print("login:", prepare(os.environ["ADMIN_PASSWORD"]))
