"""What invoices look like to a caller: the description of what `answers` writes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.change import DriverKind
from billing.models import (
    DeliveryKind,
    DeliveryStatus,
    InvoiceStatus,
    LineKind,
    PaymentStatus,
    Purpose,
    TaxCategory,
    Unsent,
)
from catalog.api.calculator import ScaledSerializer, StepSerializer
from catalog.api.filters import FilterSerializer
from catalog.models import RateCategory
from config.base.api.fields import QuantityString

PAYMENT_STATUSES = {
    PaymentStatus.UNPAID: "nothing is paid of it",
    PaymentStatus.PART_PAID: "a part is paid",
    PaymentStatus.PAID: "all is paid, or there was nothing to pay",
    PaymentStatus.OVERPAID: "a payment for it brought more, which is the customer's balance",
}
_PAYMENT = "; ".join(f"`{status}`: {meaning}" for status, meaning in PAYMENT_STATUSES.items())

_GROSS = "With tax, where the invoice's prices include it; else null."


class ServedSerializer(serializers.Serializer[Any]):
    """When the service was given, in the zone of its billing period."""

    start = serializers.CharField(help_text="RFC 3339, with the zone's offset at that time.")
    end = serializers.CharField(help_text="The first instant after it.")


class MeasuredSerializer(serializers.Serializer[Any]):
    """What was measured, before divisor, rounding and allowance."""

    aggregation = serializers.CharField()
    quantity = QuantityString(
        minimum=None, help_text="Of level × time: per period or hour, to 10 decimals."
    )
    unit_hours = QuantityString(
        minimum=None, required=False, help_text="Level × time in hours, of a metric per period."
    )
    hours = QuantityString(required=False, help_text="The length of the whole period.")
    divisor = QuantityString(required=False, help_text="The quantity was divided by it.")
    events = serializers.IntegerField()
    as_of = serializers.DateTimeField(help_text="What was received later is not in it.")


class PastSerializer(serializers.Serializer[Any]):
    """A period as it was billed when the line was drawn; null where nothing was."""

    start = serializers.DateField()
    end = serializers.DateField(help_text="The first day after it.")
    used = QuantityString(allow_null=True)
    included = QuantityString(allow_null=True)


class SettledSerializer(serializers.Serializer[Any]):
    """What was billed before of a price for a period; or, `waived`, not billed on purpose."""

    invoice = serializers.CharField(help_text="Its number; empty where there is none yet.")
    quantity = QuantityString(minimum=None)
    amount = QuantityString(minimum=None, help_text="Before tax, after coupons.")
    waived = serializers.BooleanField(required=False)


class ExplanationSerializer(serializers.Serializer[Any]):
    """How an amount came to be: the steps sum to `exact`, and with `rounding` to `amount`.

    A minimum charge and a minimum commitment have no steps: `floor` less `charged` is the `amount`.
    Nor has a credit: `paid` times `period_fraction`, less what was credited before.
    Late usage is a difference: steps, `exact` and `rounding` make up the `whole`, with its `minimum`,
    and `amount` is that less `coupons` and all that is `billed` already.
    """

    model = serializers.CharField(
        help_text="The price's model, or `minimum`, `commitment`, `credit` or `add_on`."
    )
    measured = MeasuredSerializer(required=False, help_text="Of usage.")
    negative = serializers.BooleanField(
        required=False, help_text="Less than nothing was measured, and is billed as 0."
    )
    used = QuantityString(required=False)
    included = QuantityString(required=False, help_text="The allowance, all of it.")
    overage = QuantityString(required=False, help_text="The units used beyond it.")
    steps = StepSerializer(many=True)
    exact = QuantityString(required=False, minimum=None)
    rounding = QuantityString(required=False, minimum=None, help_text="`amount` less `exact`.")
    floor = QuantityString(required=False, help_text="The minimum.")
    charged = QuantityString(required=False, help_text="What was charged without it.")
    amount = QuantityString(minimum=None)
    whole = QuantityString(
        required=False, help_text="Of late usage: what all usage of the period costs."
    )
    minimum = QuantityString(
        required=False, help_text="Of late usage: the minimum charge in the whole."
    )
    coupons = QuantityString(
        required=False, help_text="What the coupons of the period's invoice take off the whole."
    )
    billed = SettledSerializer(
        many=True, required=False, help_text="Of late usage: what was billed of it before."
    )
    credited = QuantityString(
        required=False,
        help_text="Of late usage that turned out to be less: what credit notes credited already.",
    )
    plan_changed = serializers.BooleanField(
        required=False,
        help_text="Of late usage: the plan was changed from a day that was billed.",
    )
    period_fraction = serializers.CharField(
        required=False, help_text="Where only a part of the period was charged: 16/30."
    )
    scaled = ScaledSerializer(many=True, required=False)
    filters = FilterSerializer(
        many=True, required=False, help_text="Only usage that meets these belongs to the price."
    )
    invoice = serializers.CharField(
        required=False, help_text="Of a credit: the number of the invoice with the fee."
    )
    line = serializers.UUIDField(required=False, help_text="Of a credit: the line of the fee.")
    paid = QuantityString(required=False, help_text="Of a credit: the fee after coupons.")
    credited_before = QuantityString(
        required=False, help_text="Credited before, by invoices and credit notes."
    )
    own_terms_since = serializers.DateField(
        required=False, help_text="The price is the customer's own, agreed from this day on."
    )
    note = serializers.CharField(required=False, help_text="What was noted when it was sold.")
    trend = PastSerializer(
        many=True,
        required=False,
        help_text="Of usage: this period and up to five before it, oldest first; where there are any.",
    )


class LineSerializer(serializers.Serializer[Any]):
    """What one price charges, rounded once."""

    id = serializers.UUIDField(allow_null=True, help_text="null on an upcoming invoice.")
    description = serializers.CharField()
    kind = serializers.ChoiceField(choices=LineKind.values)
    metric = serializers.CharField(allow_null=True, help_text="Its key; null for a fee.")
    subscription = serializers.CharField()
    period = ServedSerializer()
    quantity = QuantityString(minimum=None)
    included = QuantityString(allow_null=True, help_text="The allowance of usage; else null.")
    overage = QuantityString(allow_null=True, help_text="The units used beyond it; else null.")
    net = QuantityString(minimum=None)
    gross = QuantityString(minimum=None, allow_null=True, help_text=_GROSS)
    tax_category = serializers.ChoiceField(
        choices=TaxCategory.values, help_text="EN 16931's code (UNTDID 5305)."
    )
    tax_rate = QuantityString(help_text="In percent.")
    rate_category = serializers.ChoiceField(
        choices=RateCategory.values,
        help_text="Which of a country’s rates what is sold falls under.",
    )
    creditable = QuantityString(
        minimum=None,
        allow_null=True,
        help_text="What credit notes can still take of it after coupons, as it is priced: before "
        "tax, or with it where `gross` is not null; null "
        "until it is issued, and once it is void.",
    )
    explanation = ExplanationSerializer()


class ShareSerializer(serializers.Serializer[Any]):
    """What a coupon takes off one line."""

    line = serializers.UUIDField(allow_null=True, help_text="null on an upcoming invoice.")
    position = serializers.IntegerField(help_text="The line's place on the invoice, from 1.")
    amount = QuantityString(help_text="Before tax.")
    gross = QuantityString(allow_null=True, help_text=_GROSS)


class AllowanceSerializer(serializers.Serializer[Any]):
    """What a coupon takes off the lines of one tax category and rate, before tax."""

    coupon = serializers.CharField(help_text="Its key.")
    description = serializers.CharField()
    percent = QuantityString(allow_null=True, help_text="null: the coupon is an amount.")
    amount = QuantityString(help_text="Before tax; positive; its shares add up to it.")
    gross = QuantityString(allow_null=True, help_text=_GROSS)
    tax_category = serializers.ChoiceField(choices=TaxCategory.values)
    tax_rate = QuantityString(help_text="In percent.")
    shares = ShareSerializer(many=True)


class InvoiceTaxSerializer(serializers.Serializer[Any]):
    """The tax of one category and rate, rounded once on its lines less its allowances."""

    category = serializers.ChoiceField(choices=TaxCategory.values)
    rate = QuantityString(help_text="In percent.")
    base = QuantityString(minimum=None)
    amount = QuantityString(minimum=None)
    reason = serializers.CharField(help_text="Why no tax is charged; empty where it is.")
    rate_category = serializers.ChoiceField(
        choices=["", *RateCategory.values],
        help_text="Which of a country’s rates it is; empty on invoices drawn before these were told.",
    )
    country = serializers.CharField(help_text="Whose rate it is; empty: no country’s.")
    basis = serializers.CharField(help_text="Why this tax applies, in words.")


class TaxInBooksSerializer(serializers.Serializer[Any]):
    """Tax in the currency of the issuer's books: 1 `base` = `rate` `quote`."""

    currency = serializers.CharField()
    amount = QuantityString(minimum=None)
    base = serializers.CharField()
    quote = serializers.CharField()
    rate = QuantityString()
    date = serializers.DateField(help_text="The last one known on or before the issue date.")
    source = serializers.CharField()  # type: ignore[assignment]


class PostalAddressSerializer(serializers.Serializer[Any]):
    line1 = serializers.CharField()
    line2 = serializers.CharField()
    postal_code = serializers.CharField()
    city = serializers.CharField()
    region = serializers.CharField()
    country = serializers.CharField()


class PartySerializer(serializers.Serializer[Any]):
    """A party as it was when the invoice was issued."""

    key = serializers.CharField(required=False, help_text="Of a buyer.")
    name = serializers.CharField()
    legal_name = serializers.CharField()
    email = serializers.CharField()
    vat_id = serializers.CharField()
    purchase_order = serializers.CharField(required=False, help_text="Of a buyer.")
    buyer_reference = serializers.CharField(required=False, help_text="Of a buyer.")
    tax_number = serializers.CharField(required=False, help_text="Of a seller.")
    address = PostalAddressSerializer()


class ChargedSubscriptionSerializer(serializers.Serializer[Any]):
    """A subscription that an invoice charges, and what its lines come to."""

    subscription = serializers.CharField(help_text="Its key, as on its lines.")
    customer = serializers.CharField(help_text="The key of the one who uses it.")
    net = QuantityString(
        minimum=None, help_text="The sum of its lines' `net`, before the allowances of coupons."
    )


class NoteOfInvoiceSerializer(serializers.Serializer[Any]):
    """A credit note of an invoice; `/credit-notes/{id}` tells all of it."""

    id = serializers.UUIDField()
    number = serializers.CharField()
    total = QuantityString()


class RelatedInvoiceSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    number = serializers.CharField(allow_null=True, help_text="null until it is issued.")


class NoteBesideSerializer(serializers.Serializer[Any]):
    """A credit note that is issued with an invoice, over another."""

    id = serializers.UUIDField(allow_null=True, help_text="null until it is issued.")
    number = serializers.CharField(allow_null=True, help_text="null until it is issued.")
    invoice = RelatedInvoiceSerializer(help_text="What it credits.")
    total = QuantityString()


class BesideSerializer(serializers.Serializer[Any]):
    """Credits that left an invoice whose total would be below zero, and what is issued for them."""

    lines = LineSerializer(many=True, help_text="No part of the invoice's totals; `net` below 0.")
    credit_notes = NoteBesideSerializer(
        many=True, help_text="Of one that is not issued, as they would be now."
    )
    balance = QuantityString(
        help_text="What could not be credited of those invoices, tax included: the customer's balance."
    )


class InvoiceSerializer(serializers.Serializer[Any]):
    """What a customer owes, or will, with every amount explained."""

    id = serializers.UUIDField(allow_null=True, help_text="null on an upcoming invoice.")
    number = serializers.CharField(allow_null=True, help_text="null until it is issued.")
    status = serializers.ChoiceField(choices=[*InvoiceStatus.values, "upcoming"])
    payment_status = serializers.ChoiceField(
        choices=PaymentStatus.values,
        allow_null=True,
        help_text=f"Of an issued invoice; else null. {_PAYMENT}.",
    )
    purpose = serializers.ChoiceField(
        choices=Purpose.values, allow_null=True, help_text="null on an upcoming invoice."
    )
    customer = serializers.CharField(help_text="The key of the one who pays.")
    currency = serializers.CharField()
    issue_date = serializers.DateField(allow_null=True)
    due_date = serializers.DateField(allow_null=True)
    subscriptions = ChargedSubscriptionSerializer(
        many=True, help_text="In the order of their lines; several where they share the invoice."
    )
    lines = LineSerializer(many=True)
    allowances = AllowanceSerializer(many=True)
    prices_include_tax = serializers.BooleanField(
        help_text="Whether its lines are priced with tax: then `total` is what they add up to."
    )
    net_total = QuantityString(
        minimum=None, help_text="The sum of the lines' `net` less that of the allowances."
    )
    tax_total = QuantityString(minimum=None)
    total = QuantityString()
    amount_due = QuantityString(
        help_text="The total less what was paid, credited and written off; 0 if void or discarded."
    )
    creditable = QuantityString(
        allow_null=True,
        help_text="What a credit note over all that is left would come to, tax included; null "
        "until it is issued, and once it is void.",
    )
    credit_notes = NoteOfInvoiceSerializer(many=True, help_text="The oldest first.")
    beside = BesideSerializer(
        allow_null=True,
        help_text="What left it, as its total would be below zero, and is credited of the invoices "
        "that billed it: by credit notes that are issued with it. Mostly null.",
    )
    replaces = RelatedInvoiceSerializer(
        many=True, help_text="Void invoices whose periods or sales it bills anew."
    )
    replaced_by = RelatedInvoiceSerializer(
        many=True, help_text="Of a void invoice: those that bill it anew."
    )
    taxes = InvoiceTaxSerializer(many=True)
    tax_in_books = TaxInBooksSerializer(
        allow_null=True,
        help_text="`tax_total` in the issuer's currency; null in the same one, and until issued.",
    )
    has_xml = serializers.BooleanField(
        help_text="Whether its PDF carries it as XML, too (EN 16931), which `…/xml` answers."
    )
    seller = PartySerializer(allow_null=True, help_text="null until it is issued.")
    buyer = PartySerializer(allow_null=True, help_text="null until it is issued.")
    run = serializers.UUIDField(allow_null=True, help_text="The billing run that drafted it.")
    created_at = serializers.DateTimeField(allow_null=True)
    auto_issue_at = serializers.DateTimeField(
        allow_null=True, help_text="When a run issues it; null: by a person, or never."
    )
    issued_at = serializers.DateTimeField(allow_null=True)
    voided_at = serializers.DateTimeField(
        allow_null=True, help_text="When it became void, or was credited to be billed anew."
    )
    discarded_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(
        help_text="Why it is held for review, or was voided or discarded; empty if nobody said."
    )


class LaterUsageSerializer(serializers.Serializer[Any]):
    """A metric that measures something else now than what was drawn."""

    metric = serializers.CharField()
    subscription = serializers.CharField(help_text="The key of the one that used it.")
    drawn = QuantityString(minimum=None, help_text="The quantity on the invoice.")
    now = QuantityString(minimum=None, help_text="The quantity if it were recalculated.")


class DeliverySerializer(serializers.Serializer[Any]):
    """One mail to one address, and what became of it."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=DeliveryKind.values)
    to = serializers.CharField(help_text="Empty: there was no address.")
    status = serializers.ChoiceField(
        choices=DeliveryStatus.values,
        help_text="`sent`: the mail server took it; `failed`: it did not; `unsent`: it was not tried.",
    )
    why = serializers.ChoiceField(
        choices=Unsent.values,
        allow_null=True,
        help_text="Of what failed or was not sent: "
        + "; ".join(f"`{one.value}`: {one.label}" for one in Unsent)
        + ".",
    )
    detail = serializers.CharField(help_text="What the mail server said last; empty: nothing.")
    at_issue = serializers.BooleanField(help_text="Sent by itself, as it was issued.")
    asked_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(
        allow_null=True, help_text="When it was sent, failed or was not sent; null while it waits."
    )
    message_id = serializers.CharField(help_text="Of the mail; empty until it is first tried.")


class DisputeSerializer(serializers.Serializer[Any]):
    """What its customer questions of an invoice now."""

    amount = QuantityString()
    reason = serializers.CharField()
    opened_on = serializers.DateField()
    by_customer = serializers.BooleanField(help_text="Opened in the portal.")


class ReminderStopSerializer(serializers.Serializer[Any]):
    """Why a customer, or an invoice, is left out of reminders."""

    reason = serializers.CharField()
    since = serializers.DateTimeField()
    by = serializers.CharField()


class SentReminderSerializer(serializers.Serializer[Any]):
    """A level at which an invoice was reminded of."""

    level = serializers.IntegerField(help_text="1 friendly, 2 firm, 3 the last.")
    on = serializers.DateField()
    asked = QuantityString(help_text="What was open then, less what was disputed.")
    disputed = QuantityString()
    not_set_off = QuantityString(
        help_text="What lay on the account that no invoice had taken: it came off all that was overdue."
    )
    to_pay = QuantityString(
        allow_null=True,
        help_text="What the reminder asked for in all, of other overdue invoices too; null: not noted.",
    )


class InvoiceDetailSerializer(InvoiceSerializer):
    """An invoice, what came in since it was drawn, and to whom it was sent."""

    deliveries = DeliverySerializer(
        many=True,
        help_text="Mails with this invoice, the newest first; none: it was never sent by e-mail.",
    )
    dispute = DisputeSerializer(allow_null=True, help_text="The open one; null: none.")
    reminders = SentReminderSerializer(many=True, help_text="The first level first.")
    later_usage = LaterUsageSerializer(
        many=True,
        allow_null=True,
        help_text="As measured, of a draft or one in review; empty: nothing changed. Else null.",
    )


class ExplainedLineSerializer(serializers.Serializer[Any]):
    """A line with its explanation in words."""

    id = serializers.UUIDField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(choices=LineKind.values)
    net = QuantityString(minimum=None)
    gross = QuantityString(minimum=None, allow_null=True, help_text=_GROSS)
    explanation = ExplanationSerializer()
    sentences = serializers.ListField(
        child=serializers.CharField(), help_text="The same, to read: each row as a sum to check."
    )


class DriverSerializer(serializers.Serializer[Any]):
    """One reason why the net is not the last one."""

    kind = serializers.ChoiceField(
        choices=[kind.value for kind in DriverKind],
        help_text="`usage`: this usage at the last price, less what was charged then; "
        "`price`: what a new price or plan adds to that; `adjustment`: of earlier periods.",
    )
    name = serializers.CharField()
    before = QuantityString(
        minimum=None,
        allow_null=True,
        help_text="Of usage and its price the quantity, else the amount; null where there was none.",
    )
    now = QuantityString(minimum=None, allow_null=True)
    amount = QuantityString(minimum=None, help_text="What it adds to the last net.")


class NetChangeSerializer(serializers.Serializer[Any]):
    """What was charged last and now; the drivers add up to the difference.

    Net, or with tax where the invoice's prices include it.
    """

    last = serializers.ListField(
        child=serializers.CharField(),
        help_text="The numbers of the last invoices of the same subscriptions.",
    )
    last_net = QuantityString(minimum=None)
    net = QuantityString(minimum=None)
    difference = QuantityString(minimum=None)
    drivers = DriverSerializer(many=True)
    sentences = serializers.ListField(child=serializers.CharField())


class ExplainedInvoiceSerializer(serializers.Serializer[Any]):
    """Why each line of an invoice has its amount, and why the net is not the last one."""

    id = serializers.UUIDField()
    number = serializers.CharField(allow_null=True)
    currency = serializers.CharField()
    language = serializers.CharField(help_text="Of the sentences.")
    change = NetChangeSerializer(
        allow_null=True, help_text="null where nothing was issued for a period before."
    )
    lines = ExplainedLineSerializer(many=True)
