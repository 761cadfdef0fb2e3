"""Plainbill's settings as tests see them: nothing of an installation on this machine.

TEST_DATABASE_URL and TEST_BROKER_URL name a database and a broker to test with.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from zlib import crc32

for name in (
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CACHE_URL",
    "EMAIL_URL",
    "SECRET_KEY",
    "DATA_DIR",
    "PUBLIC_URL",
    "DEBUG",
    "ALLOWED_HOSTS",
    "TRUSTED_PROXIES",
):
    os.environ.pop(name, None)
for name in ("DATABASE_URL", "BROKER_URL"):
    if url := os.environ.get(f"TEST_{name}"):
        os.environ["CELERY_BROKER_URL" if name == "BROKER_URL" else name] = url

_directory = tempfile.mkdtemp(prefix="plainbill-tests-")
atexit.register(shutil.rmtree, _directory, ignore_errors=True)
os.environ["DATA_DIR"] = _directory

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = True  # real workers are started by the tests that need them

DATABASES["default"]["CONN_MAX_AGE"] = 0  # a live server's threads keep no connection

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, as threads share no transaction in memory; it need not survive a power cut.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(_directory) / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    )
else:
    # Two checkouts may test at once on one server.
    DATABASES["default"]["TEST"] = {"NAME": f"test_plainbill_{crc32(str(Path.cwd()).encode()):08x}"}
