"""The Celery app. A worker and a beat run it; without a broker, tasks run where they are called."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("plainbill")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {  # seconds
    "deliver_outbox": {"task": "config.base.tasks.deliver_outbox", "schedule": 60},
    "sweep": {"task": "billing.tasks.sweep", "schedule": 300},
    "settle_late_usage": {"task": "billing.tasks.settle_late_usage", "schedule": 86_400},
    "review_drafts": {"task": "billing.tasks.review_drafts", "schedule": 300},
    "estimate_close": {"task": "billing.tasks.estimate_close", "schedule": 86_400},
    "make_months": {"task": "metering.tasks.make_months", "schedule": 86_400},
    "build_rollups": {"task": "metering.tasks.build_rollups", "schedule": 60},
    "fold_pieces": {"task": "metering.tasks.fold_pieces", "schedule": 60},
    "remind_of_reviews": {"task": "catalog.tasks.remind", "schedule": 3600},
    "remind_customers": {"task": "billing.tasks.remind_customers", "schedule": 3600},
    "prune": {"task": "config.base.tasks.prune", "schedule": 3600},
}
