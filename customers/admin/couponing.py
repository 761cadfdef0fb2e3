"""A subscription's coupons: given and ended on pages of their own."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from catalog.coupons import coupon_in_words
from catalog.models import Coupon, CouponStatus
from config.base.admin.audited import AuditedAdmin
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import action, date_input, select
from config.base.audit import Actor
from customers import services
from customers.models import AppliedCoupon, Subscription
from customers.periods import local_date, zone


class CouponChoice(forms.ModelChoiceField[Coupon]):
    def label_from_instance(self, coupon: Any) -> str:
        return f"{coupon.name} · {coupon_in_words(coupon)}"


class ApplyForm(forms.Form):
    """Which coupon a subscription is given, from when."""

    coupon = CouponChoice(Coupon.objects.none(), widget=select())
    starts_on = forms.DateField(
        widget=date_input(), label="From",
        help_text="It reduces invoices of periods that end, or are billed in advance, on this day "
        "or later. From the first day of service, the first invoice too.",
    )  # fmt: skip

    def __init__(self, *args: Any, coupons: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["coupon"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = coupons


class EndForm(forms.Form):
    ends_on = forms.DateField(
        widget=date_input(), label="Until",
        help_text="Invoices of this day or later are not reduced. Its first day: none is.",
    )  # fmt: skip


class CouponPages(AuditedAdmin[Subscription]):
    """Giving and ending coupons, on pages of the subscription."""

    def has_coupon_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("customers.add_appliedcoupon")

    @action(
        description="Give a coupon…",
        url_path="apply-coupon",
        permissions=["coupon"],
        icon="local_offer",
    )
    def apply_coupon(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose a coupon that fits, and from when it reduces."""
        subscription = self.visible_row(request, object_id)
        if subscription is None:
            return self.missing(request, object_id)
        coupons = _offered(subscription)
        then = self.url("change", subscription.pk)
        if not coupons.exists():
            said = "There is no coupon to give: add one that is on offer and in its currency first."
            self.message_user(request, said)
            return HttpResponseRedirect(then)
        initial = {"starts_on": max(_today(subscription), subscription.starts_on)}
        form = ApplyForm(
            request.POST if request.method == "POST" else None, coupons=coupons, initial=initial
        )
        if form.is_valid():
            try:
                applied = services.apply_coupon(
                    subscription_id=subscription.pk,
                    coupon=form.cleaned_data["coupon"],
                    starts_on=form.cleaned_data["starts_on"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                for path, message in complaints(refusal):
                    name = str(path[0]) if path else ""
                    form.add_error(name if name in form.fields else None, message)
            else:
                done = f"{subscription.customer} has “{applied.coupon}” from {applied.starts_on}."
                return self.attempt(request, lambda: None, done=done, then=then)
        return self.confirm(
            request,
            subscription,
            title=f"Give {subscription.customer} a coupon",
            sentences=[
                "It takes off fees, usage and minimum charges, as they are priced: before tax, or "
                "with it where the prices include it. A draft that is there "
                "already takes it when it is recalculated; issued invoices stay as they are.",
                *form.non_field_errors(),
            ],
            button="Give it",
            template="admin/metering/form.html",
            form=form,
        )

    @action(
        description="End a coupon…",
        url_path="end-coupon",
        permissions=["coupon"],
        icon="event_busy",
    )
    def end_coupon(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask from when invoices are no longer reduced."""
        subscription = self.visible_row(request, object_id)
        if subscription is None:
            return self.missing(request, object_id)
        uuid = request.GET.get("coupon", "")
        running = [one for one in subscription.applied_coupons.all() if one.ends_on is None]
        found = [one for one in running if str(one.uuid) == uuid] or running[:1]
        then = self.url("change", subscription.pk)
        if not found:
            self.message_user(request, "No coupon is running: there is nothing to end.")
            return HttpResponseRedirect(then)
        [applied] = found
        form = EndForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: services.end_coupon(
                    applied_id=applied.pk,
                    ends_on=form.cleaned_data["ends_on"],
                    actor=Actor.user(request.user),
                ),
                done=f"“{applied.coupon}” ends.",
                then=then,
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            subscription,
            title=f"End “{applied.coupon}”?",
            sentences=["What it took off issued invoices stays off."],
            button="End it",
            template="admin/metering/form.html",
            form=form,
        )

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to end a coupon only while one is running."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        running = AppliedCoupon.objects.filter(subscription=object_id, ends_on=None)
        return [one for one in offered if one.path != "end-coupon" or running.exists()]


def _offered(subscription: Subscription) -> Any:
    """Return the coupons that it can be given today."""
    currency = (subscription.payer or subscription.customer).currency
    return Coupon.objects.filter(
        Q(redeemable_until=None) | Q(redeemable_until__gte=_today(subscription)),
        currency__in=["", currency],
        status=CouponStatus.ACTIVE,
    ).order_by("name")


def _today(subscription: Subscription) -> Any:
    return local_date(timezone.now(), zone(subscription.customer.time_zone))
