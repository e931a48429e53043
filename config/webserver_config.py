"""The file in which Flask-AppBuilder reads its settings, by the name that Airflow has for it: `[fab] config_file`.

It is executed in the context of Flask, in the API server, and in `init`, which makes roles and the first admin. A file
of your own may begin with `from webserver_config import *`.
"""

from __future__ import annotations

import os

from airflow.configuration import conf
from flask import current_app

from config.limited_login import LimitedLogin
from config.login_cookies import end_with_the_token, keep_to_the_site
from config.login_settings import TYPES, limit_ldap, settings

AUTH_TYPE = TYPES["database"]
globals().update(settings(os.environ.get("MILLRACE_LOGIN", "")))
SECURITY_MANAGER_CLASS = LimitedLogin
SESSION_COOKIE_SECURE = conf.get("api", "base_url", fallback="").startswith("https://")
RATELIMIT_STORAGE_URI = "memory://"  # each process counts for itself
if TYPES["ldap"] == AUTH_TYPE:
    limit_ldap()
current_app.before_request(end_with_the_token)
current_app.after_request(keep_to_the_site)
