"""The router of /api/v1/: every app's endpoints, in one place.

An app's `api.py` lists `routes`, (prefix, viewset, basename) for the router, and `urlpatterns` for
plain views; add the module to MODULES. No path ends in a slash but the schema's.
"""

from types import ModuleType

from rest_framework.routers import SimpleRouter

from billing import api as billing
from catalog import api as catalog
from config.base.api import pages
from customers import api as customers
from metering import api as metering

MODULES: tuple[ModuleType, ...] = (metering, pages, catalog, customers, billing)

router = SimpleRouter(trailing_slash=False)
for module in MODULES:
    for prefix, viewset, basename in getattr(module, "routes", ()):
        router.register(prefix, viewset, basename=basename)

urlpatterns = [
    *(pattern for module in MODULES for pattern in getattr(module, "urlpatterns", ())),
    *router.urls,
]
