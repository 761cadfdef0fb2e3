"""Tax rates as finance keeps them: by country, category and date."""

from __future__ import annotations

import uuid
from datetime import date

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from billing.querysets import TaxRateQuerySet
from catalog.models import RateCategory
from catalog.money import plain
from config.base.constraints import one_of
from config.base.fields import ExactDecimalField


class TaxRate(models.Model):
    """What a country charges on a category of supplies, from a day on and until one (R29).

    Both days are included, as laws say it. Of one country and category no two hold on one day.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    country = models.CharField(max_length=2, help_text="ISO 3166 code, such as DE.")
    category = models.CharField(max_length=20, choices=RateCategory, default=RateCategory.STANDARD)
    percent = ExactDecimalField(
        max_digits=7,
        decimal_places=4,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Such as 19 or 25.5.",
    )
    valid_from = models.DateField(help_text="The first day it holds.")
    valid_until = models.DateField(
        null=True, blank=True, help_text="The last day it holds. Empty: until further notice."
    )
    source = models.CharField(
        max_length=200, blank=True, help_text="Where you read it, for whoever asks later."
    )

    objects = TaxRateQuerySet.as_manager()

    class Meta:
        ordering = ("country", "category", "-valid_from")
        constraints = (
            one_of("category", RateCategory, name="tax_rate_category_is_known"),
            models.CheckConstraint(
                name="tax_rate_from_0_to_100_percent",
                condition=Q(percent__gte=0, percent__lte=100),
                violation_error_message="A rate is from 0 to 100 percent.",
            ),
            models.CheckConstraint(
                name="tax_rate_of_nothing_where_nothing_is_taxed",
                condition=~Q(category__in=["zero", "exempt"]) | Q(percent=0),
                violation_error_message="Zero rated and exempt supplies have the rate 0.",
            ),
            models.CheckConstraint(
                name="tax_rate_ends_not_before_it_starts",
                condition=Q(valid_until__isnull=True) | Q(valid_until__gte=F("valid_from")),
                violation_error_message="It ends on its first day or later.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.country}, {self.get_category_display().lower()}: {plain(self.percent)} %"

    def holds_on(self, day: date) -> bool:
        """Say whether it is the rate of this day."""
        return self.valid_from <= day and (self.valid_until is None or day <= self.valid_until)
