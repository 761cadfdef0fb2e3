"""Exchange rates as finance keeps them, to state tax in the currency of the books."""

from __future__ import annotations

import uuid

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from catalog.money import plain
from config.base.fields import unit_amount_field


class ExchangeRate(models.Model):
    """What one of a currency was worth in another on a day, as a source published it."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    base = models.CharField(max_length=3, help_text="One of this currency, such as EUR …")
    quote = models.CharField(max_length=3, help_text="… is so much in this one, such as USD.")
    rate = unit_amount_field(
        validators=[MinValueValidator(0)], help_text="Such as 1.0842: 1 EUR = 1.0842 USD."
    )
    date = models.DateField(help_text="The day it was published for.")
    source = models.CharField(max_length=200, help_text="Who published it; printed on invoices.")

    class Meta:
        ordering = ("-date", "base", "quote")
        constraints = (
            models.CheckConstraint(
                name="exchange_rate_above_zero",
                condition=Q(rate__gt=0),
                violation_error_message="A rate is above 0.",
            ),
            models.CheckConstraint(
                name="exchange_rate_between_two_currencies", condition=~Q(base=F("quote"))
            ),
            models.CheckConstraint(name="exchange_rate_names_its_source", condition=~Q(source="")),
            models.UniqueConstraint(
                fields=["base", "quote", "date"], name="exchange_rate_once_per_pair_and_day"
            ),
        )

    def __str__(self) -> str:
        return f"1 {self.base} = {plain(self.rate)} {self.quote}, {self.date:%-d %b %Y}"
