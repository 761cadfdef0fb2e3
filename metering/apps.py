from django.apps import AppConfig
from django.db.models.signals import post_migrate, post_save


class MeteringConfig(AppConfig):
    name = "metering"
    verbose_name = "Usage"

    def ready(self) -> None:
        from catalog.admin import METRIC_PANELS  # noqa: PLC0415
        from catalog.models import ValueMetric  # noqa: PLC0415
        from config.base.admin.find import FINDERS  # noqa: PLC0415
        from config.base.dashboard import FIGURES, NEEDS, WAITING  # noqa: PLC0415
        from config.base.groups import grant_after_migrate  # noqa: PLC0415
        from config.base.guards import install_after_migrate  # noqa: PLC0415
        from config.base.invariants import INVARIANTS  # noqa: PLC0415
        from customers.admin import CUSTOMER_PANELS  # noqa: PLC0415
        from metering import invariants, overview, querysets, tasks  # noqa: F401, PLC0415 - gives SQLite its functions
        from metering.admin.usage import usage_panel  # noqa: PLC0415
        from metering.groups import GRANTS  # noqa: PLC0415
        from metering.services.months import make_months_after_migrate  # noqa: PLC0415
        from metering.triggers import GUARDS, STAMPS  # noqa: PLC0415

        post_migrate.connect(install_after_migrate([*GUARDS, *STAMPS]), sender=self, weak=False)
        post_migrate.connect(make_months_after_migrate, sender=self, weak=False)
        post_migrate.connect(grant_after_migrate(GRANTS), sender=self, weak=False)
        post_save.connect(tasks.nudge_rollups, sender=ValueMetric)
        METRIC_PANELS.append(overview.rollup_panel)
        CUSTOMER_PANELS += [overview.quarantine_panel, usage_panel]
        INVARIANTS.extend(invariants.INVARIANTS)
        NEEDS.append(overview.quarantine_needs)
        FIGURES.append(overview.usage_figures)
        WAITING["metering.quarantinedevent"] = overview.quarantine_waiting
        FINDERS.extend(overview.FINDERS)
