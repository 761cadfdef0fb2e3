from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Bill"

    def ready(self) -> None:
        import billing.deliveries  # noqa: F401, PLC0415
        from billing.admin import customer_panels, overview  # noqa: PLC0415
        from billing.groups import GRANTS  # noqa: PLC0415
        from billing.triggers import GUARDS  # noqa: PLC0415
        from config.base.dashboard import FIGURES, STEPS  # noqa: PLC0415
        from config.base.groups import grant_after_migrate  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415
        from customers.admin import CUSTOMER_PANELS  # noqa: PLC0415

        post_migrate.connect(install_after_migrate(GUARDS), sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        STEPS.append(overview.billing_steps)
        FIGURES.append(overview.billing_figures)
        CUSTOMER_PANELS += [customer_panels.upcoming_panel, customer_panels.invoices_panel]
