from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CatalogConfig(AppConfig):
    name = "catalog"
    verbose_name = "Sell"

    def ready(self) -> None:
        import catalog.deliveries  # noqa: F401, PLC0415
        from catalog.admin import finders  # noqa: PLC0415
        from catalog.admin.steps import catalog_needs, catalog_steps  # noqa: PLC0415
        from catalog.groups import GRANTS  # noqa: PLC0415
        from catalog.triggers import GUARDS  # noqa: PLC0415
        from config.base.admin.find import FINDERS  # noqa: PLC0415
        from config.base.dashboard import NEEDS, STEPS  # noqa: PLC0415
        from config.base.groups import grant_after_migrate  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415

        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        STEPS.append(catalog_steps)
        NEEDS.append(catalog_needs)
        FINDERS.extend(finders.FINDERS)
