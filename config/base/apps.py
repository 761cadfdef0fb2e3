from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate


class BaseConfig(AppConfig):
    name = "config.base"
    label = "base"
    verbose_name = "Set up"

    def ready(self) -> None:
        from config.base.admin import overview  # noqa: PLC0415
        from config.base.dashboard import NEEDS, WAITING  # noqa: PLC0415
        from config.base.groups import GRANTS, grant_after_migrate  # noqa: PLC0415
        from config.base.guards import drop_before_migrate, install_after_migrate  # noqa: PLC0415
        from config.base.triggers import GUARDS  # noqa: PLC0415

        pre_migrate.connect(drop_before_migrate, sender=self)
        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        NEEDS.append(overview.outbox_needs)
        WAITING["base.outbox"] = overview.outbox_waiting
