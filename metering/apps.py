from django.apps import AppConfig
from django.db.models.signals import post_migrate


class MeteringConfig(AppConfig):
    name = "metering"
    verbose_name = "Usage"

    def ready(self) -> None:
        from config.base.guards import install_after_migrate  # noqa: PLC0415
        from metering import querysets  # noqa: F401, PLC0415 - gives SQLite its functions
        from metering.triggers import GUARDS  # noqa: PLC0415

        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
