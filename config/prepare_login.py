"""The init step of a login: `python -m prepare_login` makes the roles of docs/security.md, and the first admin.

Safe to run at every start. The roles get the permissions that this release of Airflow gives them; roles of your own
stay. `admin` is made with $ADMIN_PASSWORD, and has that password again after each run. One that was made inactive stays
so.
"""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.providers_configuration_loader import providers_configuration_loaded
from werkzeug.security import check_password_hash

ADMIN, EMAIL, ROLE = "admin", "admin@localhost", "Admin"


@providers_configuration_loaded
def prepare(password: str) -> str:
    """Do both and return what happened to the admin."""
    with get_application_builder() as builder:
        builder.add_permissions(update_perms=True)
        builder.sm.sync_roles()
        return _ensure_admin(builder.sm, password)


def _ensure_admin(manager: Any, password: str) -> str:
    user = manager.find_user(username=ADMIN)
    if user is None:
        manager.add_user(ADMIN, "Admin", "", EMAIL, manager.find_role(ROLE), password)
        return "made"
    if user.password and check_password_hash(user.password, password):
        return "kept"
    manager.reset_password(user.id, password)  # ends the sessions of the old one, too
    return "given its new password"


if __name__ == "__main__":
    print(f"login: roles are current, {ADMIN} is {prepare(os.environ['ADMIN_PASSWORD'])}")
