from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Bill"

    def ready(self) -> None:
        import billing.deliveries  # noqa: F401, PLC0415
        from billing import invariants  # noqa: PLC0415
        from billing.admin import (  # noqa: PLC0415
            account_panels,
            add_ons,
            coupons_panel,
            customer_panels,
            electronic_panel,
            finders,
            for_customers,
            life,
            move_start,
            overview,
            preview,
            reminders,
        )
        from billing.books import BOOKS  # noqa: PLC0415
        from billing.credit_books import CREDIT_BOOKS  # noqa: PLC0415
        from billing.groups import GRANTS  # noqa: PLC0415
        from billing.late_usage.books import LATE_BOOKS  # noqa: PLC0415
        from billing.mail_books import MAIL_BOOKS  # noqa: PLC0415
        from billing.money_books import MONEY_BOOKS  # noqa: PLC0415
        from billing.settlement import unsettled  # noqa: PLC0415
        from billing.shared_books import SHARED_BOOKS  # noqa: PLC0415
        from billing.triggers import GUARDS, WAITS  # noqa: PLC0415
        from billing.typical import typical_usage  # noqa: PLC0415
        from catalog.admin import TYPICAL  # noqa: PLC0415
        from catalog.admin.versions import PlanVersionAdmin  # noqa: PLC0415
        from config.base.admin.find import FINDERS  # noqa: PLC0415
        from config.base.dashboard import COMING, NEEDS, PANELS, STEPS, WAITING  # noqa: PLC0415
        from config.base.groups import grant_after_migrate  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415
        from config.base.invariants import INVARIANTS  # noqa: PLC0415
        from customers.admin import (  # noqa: PLC0415
            CUSTOMER_PANELS,
            ISSUER_PANELS,
            SUBSCRIPTION_PANELS,
        )
        from metering.services.archive import UNSETTLED  # noqa: PLC0415

        post_migrate.connect(install_after_migrate([*WAITS, *GUARDS]), sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        TYPICAL.append(typical_usage)
        PlanVersionAdmin.panels.insert(0, for_customers.for_customers_panel)
        PlanVersionAdmin.panels.insert(1, move_start.moves_panel)
        UNSETTLED.append(unsettled)
        INVARIANTS.extend(
            [*BOOKS, *SHARED_BOOKS, *LATE_BOOKS, *MONEY_BOOKS, *CREDIT_BOOKS, *MAIL_BOOKS]
        )
        STEPS.append(overview.billing_steps)
        NEEDS.append(overview.billing_needs)
        COMING.append(overview.billing_coming)
        PANELS.append(overview.billed_panels)
        WAITING["billing.invoice.review"] = overview.drafts_to_review
        WAITING["billing.delivery"] = overview.mails_not_gone
        WAITING["billing.dispute"] = overview.disputes_open
        WAITING["billing.lateusage"] = overview.late_usage_held
        WAITING["billing.billingperiod"] = overview.periods_parked
        WAITING["billing.billingperiod.due"] = overview.periods_due
        CUSTOMER_PANELS += [
            customer_panels.customer_running_panel,
            account_panels.account_panel,
            reminders.reminders_panel,
            customer_panels.invoices_panel,
            customer_panels.tax_panel,
        ]
        ISSUER_PANELS += [electronic_panel.electronic_panel, preview.preview_panel]
        SUBSCRIPTION_PANELS.insert(1, customer_panels.subscription_running_panel)
        SUBSCRIPTION_PANELS.insert(1, life.life_panel)
        SUBSCRIPTION_PANELS.insert(3, life.waiting_panel)
        SUBSCRIPTION_PANELS.insert(-1, coupons_panel.coupons_panel)
        SUBSCRIPTION_PANELS.insert(-1, add_ons.sold_add_ons_panel)
        FINDERS.extend(finders.FINDERS)
        INVARIANTS.extend(invariants.INVARIANTS)
