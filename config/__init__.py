"""The roof: settings, URLs, the API router, the Celery app. Imports all, imported by none."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
