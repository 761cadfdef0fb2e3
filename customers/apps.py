from django.apps import AppConfig
from django.db.models.signals import post_migrate


class CustomersConfig(AppConfig):
    name = "customers"
    verbose_name = "Customers"

    def ready(self) -> None:
        import customers.deliveries  # noqa: F401, PLC0415
        from catalog.admin import PUBLISH_NOTES, SUBSCRIBERS  # noqa: PLC0415
        from catalog.admin.versions import PlanVersionAdmin  # noqa: PLC0415
        from config.base.admin.find import FINDERS  # noqa: PLC0415
        from config.base.dashboard import FIGURES, NEEDS, STEPS  # noqa: PLC0415
        from config.base.groups import grant_after_migrate  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415
        from config.base.services.pruning import PRUNERS  # noqa: PLC0415
        from customers.admin import finders, in_catalog, steps  # noqa: PLC0415
        from customers.groups import GRANTS  # noqa: PLC0415
        from customers.issuer import create_first_issuer  # noqa: PLC0415
        from customers.services.signing_in import prune_sign_ins  # noqa: PLC0415
        from customers.triggers import GUARDS  # noqa: PLC0415

        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        post_migrate.connect(create_first_issuer, sender=self)
        SUBSCRIBERS.update(in_catalog.SUBSCRIBERS)
        PUBLISH_NOTES.append(in_catalog.kept_versions)
        PlanVersionAdmin.panels.append(in_catalog.subscriptions_panel)
        PRUNERS["sign-in links and portal sessions"] = prune_sign_ins
        STEPS.append(steps.customer_steps)
        NEEDS.append(steps.customer_needs)
        FIGURES.append(steps.customer_figures)
        FINDERS.extend(finders.FINDERS)
