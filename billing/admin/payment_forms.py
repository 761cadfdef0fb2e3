"""What is asked of payments: the payment itself, why it is undone, what was paid back."""

from __future__ import annotations

from django import forms

from billing.models import Payment, PaymentMethod
from catalog.money import CURRENCIES
from config.base.admin.theme import date_input, number_input, select, switch, text_input, textarea
from config.base.fields import PlainDecimalInput, PlainTextInput, validate_line


class PaymentForm(forms.ModelForm[Payment]):
    """Money that came; what it pays is asked on the next page."""

    currency = forms.ChoiceField(
        required=False,
        choices=[("", "The customer's"), *((code, code) for code in CURRENCIES)],
        widget=select(),
    )

    method = forms.ChoiceField(
        choices=[one for one in PaymentMethod.choices if one[0] != PaymentMethod.CREDIT],
        initial=PaymentMethod.BANK_TRANSFER,
        widget=select(),
    )
    in_other_currency = forms.BooleanField(
        required=False, widget=switch(), label="It did come in this currency"
    )

    class Meta:
        model = Payment
        fields = (
            "customer",
            "amount",
            "currency",
            "received_on",
            "reference",
            "method",
            "kind",
            "max_per_invoice",
        )
        widgets = {
            "amount": number_input(),
            "max_per_invoice": number_input(),
            "received_on": date_input(),
            "kind": select(),
        }
        labels = {"max_per_invoice": "At most per invoice", "received_on": "Received on"}


class ReasonForm(forms.Form):
    reason = PlainTextInput(
        max_length=2000, widget=textarea(rows=3), label="Why?",
        help_text="Stands in the audit trail.",
    )  # fmt: skip


class RefundForm(forms.Form):
    amount = PlainDecimalInput(widget=number_input(), max_digits=19, decimal_places=4)
    refunded_on = forms.DateField(
        required=False, widget=date_input(), label="Paid back on", help_text="Empty: today."
    )
    reference = forms.CharField(
        required=False, max_length=200, widget=text_input(), validators=[validate_line]
    )
