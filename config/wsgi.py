"""The WSGI application that gunicorn serves."""

import gc
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()

from metering.api.door import behind_door  # noqa: E402 - needs the apps

application = behind_door(django_application)

# What is loaded now stays for good, and a call may make ten thousand objects that die with it:
# going through all of them again and again took a fifth of the time of storing events.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 10, 50)
