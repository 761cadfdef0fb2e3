from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Bill"

    def ready(self) -> None:
        import billing.deliveries  # noqa: F401, PLC0415
        from billing.triggers import GUARDS  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415

        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
